#include "stack.h"

uint32_t stack_bytes_used(void) {
    const uint32_t *lowest = stack_limit;
    while (lowest != stack_top && *lowest == STACK_PATTERN) {
        lowest++;
    }
    return (uint32_t)((uintptr_t)stack_top - (uintptr_t)lowest);
}
