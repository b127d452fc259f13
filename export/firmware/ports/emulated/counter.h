/* A free-running 32-bit counter of the emulated machine's virtual time; each machine family has its
 * own. Under QEMU's -icount virtual time is the number of instructions executed. */
#ifndef COUNTER_H
#define COUNTER_H

#include <stdint.h>

void counter_start(void);
uint32_t counter_ticks(void); /* counts up and wraps */

#endif
