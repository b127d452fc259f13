/* Reset and vectors of any Cortex-M. */
#include <stdint.h>

#include "semihosting.h"
#include "stack.h"

extern uint32_t data_load, data_start, data_end, bss_start, bss_end;
int main(void);

enum { EXIT_FAULT = 99 };
#define CPACR (*(volatile uint32_t *)0xE000ED88U) /* coprocessor access control */
#define CP10_CP11_FULL (0xFU << 20)

void reset_handler(void);
void fault_handler(void);

void reset_handler(void) {
    const uint32_t *from = &data_load;
    for (uint32_t *to = &data_start; to != &data_end; to++) {
        *to = *from++;
    }
    for (uint32_t *to = &bss_start; to != &bss_end; to++) {
        *to = 0;
    }
    const volatile uint32_t *top;
    __asm volatile("mov %0, sp" : "=r"(top));
    /* Volatile: else the compiler calls memset, which uses the stack that it paints. */
    for (volatile uint32_t *to = stack_limit; to != top; to++) {
        *to = STACK_PATTERN;
    }
#if defined(__ARM_FP) || defined(__ARM_FEATURE_MVE)
    CPACR |= CP10_CP11_FULL;
    __asm volatile("dsb\n isb");
#endif
    semihosting_exit(main());
}

void fault_handler(void) {
    semihosting_exit(EXIT_FAULT);
}

/* The core reads it. */
typedef union {
    const void *stack;      /* cppcheck-suppress unusedStructMember */
    void (*handler)(void);  /* cppcheck-suppress unusedStructMember */
} vector;

__attribute__((section(".vectors"), used)) static const vector vectors[16] = {
    {.stack = stack_top},
    {.handler = reset_handler},
    {.handler = fault_handler}, /* NMI */
    {.handler = fault_handler}, /* HardFault */
    {.handler = fault_handler}, /* MemManage */
    {.handler = fault_handler}, /* BusFault */
    {.handler = fault_handler}, /* UsageFault */
    {.handler = fault_handler}, /* SecureFault */
};
