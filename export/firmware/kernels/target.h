/* Which kernels the compiler's target has beside those in portable C. */
#ifndef BG_TARGET_H
#define BG_TARGET_H

#if defined(__ARM_FEATURE_MVE)
#define BG_MVE 1
#else
#define BG_MVE 0
#endif

#if defined(__ARM_FEATURE_DSP) && !BG_MVE
#define BG_DSP 1
#else
#define BG_DSP 0
#endif

#endif
