/* Kernels for x86-64 hosts; whether the processor can run them is asked at run time. */
#ifndef BG_X86_H
#define BG_X86_H

#include "../elementwise.h"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(BG_PORTABLE)
#define BG_X86 1
#else
#define BG_X86 0
#endif

/* A function whose loops the compiler shall make vectors of, for the wider ones the
 * processor may have. */
#if BG_X86 && !defined(__SANITIZE_ADDRESS__)
#define BG_HOST_VECTORS __attribute__((target_clones("avx2", "default")))
#else
#define BG_HOST_VECTORS
#endif

#if BG_X86

bool bg_has_vnni(void);

/* The functions below are for where bg_has_vnni. */

/* bg_conv_s8, bg_fully_connected_s8; false, nothing done, where the window is too long for it. */
bool bg_conv_s8_vnni(const bg_job *job);
bool bg_fully_connected_s8_vnni(const bg_job *job);

/* ADD; SUB with sign -1. Both steps of the run are 1. */
void bg_add_codes_avx512(const bg_job *job, bg_run run, int32_t sign, int8_t *y);

#endif
#endif
