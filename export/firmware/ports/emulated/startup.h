/* What the start-up code can tell of the core it started. */
#ifndef STARTUP_H
#define STARTUP_H

#include <stdint.h>

/* Return the most bytes of stack ever used: those that no longer hold the pattern of the start. */
uint32_t stack_bytes_used(void);

#endif
