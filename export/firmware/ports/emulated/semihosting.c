#include "semihosting.h"

#include <stdint.h>

/* Operation numbers of "Semihosting for AArch32 and AArch64", Arm, release 2.0. */
enum { SYS_OPEN = 0x01, SYS_WRITE = 0x05, SYS_READ = 0x06, SYS_EXIT_EXTENDED = 0x20 };
enum { APPLICATION_EXIT = 0x20026, EXIT_PIPE_BROKEN = 3 };

static uint32_t call(uint32_t operation, const uint32_t *arguments) {
    register uint32_t r0 __asm("r0") = operation;
    register const uint32_t *r1 __asm("r1") = arguments;
    __asm volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

int semihosting_open(const char *path, size_t length, semihosting_mode mode) {
    const uint32_t arguments[3] = {(uint32_t)(uintptr_t)path, (uint32_t)mode, length};
    return (int)call(SYS_OPEN, arguments);
}

/* SYS_READ and SYS_WRITE return how many bytes were not transferred. */
static void transfer(uint32_t operation, int handle, uintptr_t data, size_t bytes) {
    while (bytes > 0) {
        const uint32_t arguments[3] = {(uint32_t)handle, (uint32_t)data, bytes};
        const size_t left = call(operation, arguments);
        if (left >= bytes) {
            semihosting_exit(EXIT_PIPE_BROKEN);
        }
        data += bytes - left;
        bytes = left;
    }
}

void semihosting_read(int handle, void *data, size_t bytes) {
    transfer(SYS_READ, handle, (uintptr_t)data, bytes);
}

void semihosting_write(int handle, const void *data, size_t bytes) {
    transfer(SYS_WRITE, handle, (uintptr_t)data, bytes);
}

void semihosting_exit(int code) {
    const uint32_t arguments[2] = {APPLICATION_EXIT, (uint32_t)code};
    (void)call(SYS_EXIT_EXTENDED, arguments);
    for (;;) {
    }
}
