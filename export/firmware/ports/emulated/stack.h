/* How deep the stack went: the start-up code paints it, and what was used shows. */
#ifndef STACK_H
#define STACK_H

#include <stdint.h>

#define STACK_PATTERN 0xB6B6B6B6U

/* Made by the linker: the lowest word of the stack, and the one above its highest. */
extern uint32_t stack_limit[], stack_top[];

/* Return the most bytes of stack ever used: those that no longer hold the pattern. */
uint32_t stack_bytes_used(void);

#endif
