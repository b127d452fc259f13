/* Nordic nRF51: TIMER0, the one that counts 32 bits (nRF51 Series Reference Manual, chapter 18). */
#include "counter.h"

#define REGISTER(offset) (*(volatile uint32_t *)(BG_COUNTER_ADDRESS + (offset)))
#define TASKS_START REGISTER(0x000U)
#define TASKS_CAPTURE0 REGISTER(0x040U)
#define BITMODE REGISTER(0x508U)
#define PRESCALER REGISTER(0x510U)
#define CC0 REGISTER(0x540U)

enum { BITMODE_32 = 3 };

void counter_start(void) {
    BITMODE = BITMODE_32;
    PRESCALER = 0;
    TASKS_START = 1;
}

uint32_t counter_ticks(void) {
    TASKS_CAPTURE0 = 1;
    return CC0;
}
