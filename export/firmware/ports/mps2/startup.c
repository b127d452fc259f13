/* Reset and vectors of a Cortex-M with an FPU. */
#include <stdint.h>

#include "semihosting.h"

extern uint32_t _sidata, _sdata, _edata, _sbss, _ebss, _estack;
int main(void);

enum { EXIT_FAULT = 99 };
#define CPACR (*(volatile uint32_t *)0xE000ED88U) /* coprocessor access control */
#define CP10_CP11_FULL (0xFU << 20)

void reset_handler(void);
void fault_handler(void);

void reset_handler(void) {
    const uint32_t *from = &_sidata;
    for (uint32_t *to = &_sdata; to < &_edata; to++) {
        *to = *from++;
    }
    for (uint32_t *to = &_sbss; to < &_ebss; to++) {
        *to = 0;
    }
    CPACR |= CP10_CP11_FULL;
    __asm volatile("dsb\n isb");
    semihosting_exit(main());
}

void fault_handler(void) {
    semihosting_exit(EXIT_FAULT);
}

typedef union {
    const void *stack;
    void (*handler)(void);
} vector;

__attribute__((section(".vectors"), used)) static const vector vectors[16] = {
    {.stack = &_estack},
    {.handler = reset_handler},
    {.handler = fault_handler}, /* NMI */
    {.handler = fault_handler}, /* HardFault */
    {.handler = fault_handler}, /* MemManage */
    {.handler = fault_handler}, /* BusFault */
    {.handler = fault_handler}, /* UsageFault */
};
