/* Arm MPS2 and MPS3: the up-counter of the "FPGA system control and I/O" block, which runs from
 * reset on (application note AN505, Arm; QEMU models it for all images of these boards). */
#include "counter.h"

#define COUNTER (*(volatile const uint32_t *)(BG_COUNTER_ADDRESS + 0x18U))

void counter_start(void) {
}

uint32_t counter_ticks(void) {
    return COUNTER;
}
