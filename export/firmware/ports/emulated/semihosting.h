/* Files of the machine that emulates us: Arm semihosting, the calls the simulator needs. */
#ifndef SEMIHOSTING_H
#define SEMIHOSTING_H

#include <stddef.h>

typedef enum { SEMIHOSTING_READ = 1, SEMIHOSTING_WRITE = 5 } semihosting_mode; /* "rb", "wb" */

/* Return a handle, or -1. */
int semihosting_open(const char *path, size_t length, semihosting_mode mode);
void semihosting_read(int handle, void *data, size_t bytes);   /* all of them, or exit 3 */
void semihosting_write(int handle, const void *data, size_t bytes); /* likewise */
_Noreturn void semihosting_exit(int code);

#endif
