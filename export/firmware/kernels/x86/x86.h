/* Kernels for x86-64 hosts; whether the processor can run them is asked at run time. */
#ifndef BG_X86_H
#define BG_X86_H

#include "../kernels.h"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(BG_PORTABLE)
#define BG_X86 1
#else
#define BG_X86 0
#endif

/* A function whose loops the compiler shall make vectors of, for the widest the processor has. */
#if BG_X86 && !defined(__SANITIZE_ADDRESS__)
#define BG_HOST_VECTORS __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define BG_HOST_VECTORS
#endif

#if BG_X86

bool bg_has_vnni(void);

/* bg_conv_s8 where bg_has_vnni; false, nothing done, where the window is too long for it. */
bool bg_conv_s8_vnni(const bg_job *job);

#endif
#endif
