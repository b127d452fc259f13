/* A TCG plugin for QEMU: how often every instruction of an image ran.
 *
 *     -plugin function_counts.so,out=FILE,origin=0x10000000,bytes=12345
 *
 * counts instructions at [origin, origin + bytes) and, when the emulation ends, writes one
 * little-endian uint64 for every halfword of that range into FILE: Thumb instructions start at even
 * addresses. firmware_sim/functions.py reads it. Two runs of equal input write equal files.
 *
 * Debian ships QEMU's plugin interface but not its header, so what is used of it is declared here
 * after its documentation ("QEMU TCG Plugins", docs/devel/tcg-plugins.rst, interface version 1).
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORTED __attribute__((visibility("default")))

typedef uint64_t qemu_plugin_id_t;
typedef struct qemu_info_t qemu_info_t;
struct qemu_plugin_tb;   /* a block of instructions that QEMU translates at once */
struct qemu_plugin_insn; /* one of them */
enum qemu_plugin_op { QEMU_PLUGIN_INLINE_ADD_U64 };

void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id,
                                           void (*call)(qemu_plugin_id_t,
                                                        struct qemu_plugin_tb *));
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t id, void (*call)(qemu_plugin_id_t, void *),
                                    void *context);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *block);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *block, size_t index);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *instruction);
void qemu_plugin_register_vcpu_insn_exec_inline(struct qemu_plugin_insn *instruction,
                                                enum qemu_plugin_op op, void *counter,
                                                uint64_t step);

EXPORTED extern int qemu_plugin_version;
EXPORTED int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc,
                                 char **argv);

int qemu_plugin_version = 1;

static uint64_t *counts; /* one a halfword */
static uint64_t origin, n_counts;
static char path[4096];

static void count_block(qemu_plugin_id_t id, struct qemu_plugin_tb *block) {
    (void)id;
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(block); i++) {
        struct qemu_plugin_insn *instruction = qemu_plugin_tb_get_insn(block, i);
        const uint64_t index = (qemu_plugin_insn_vaddr(instruction) - origin) / 2;
        if (index < n_counts) {
            qemu_plugin_register_vcpu_insn_exec_inline(instruction, QEMU_PLUGIN_INLINE_ADD_U64,
                                                       &counts[index], 1);
        }
    }
}

static void write_counts(qemu_plugin_id_t id, void *context) {
    (void)id, (void)context;
    FILE *file = fopen(path, "wb");
    if (file == NULL || fwrite(counts, sizeof counts[0], n_counts, file) != n_counts ||
        fclose(file) != 0) {
        perror(path);
    }
}

int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv) {
    (void)info;
    for (int i = 0; i < argc; i++) {
        const char *equals = strchr(argv[i], '=');
        const char *value = equals == NULL ? "" : equals + 1;
        if (strncmp(argv[i], "out=", 4) == 0) {
            snprintf(path, sizeof path, "%s", value);
        } else if (strncmp(argv[i], "origin=", 7) == 0) {
            origin = strtoull(value, NULL, 0);
        } else if (strncmp(argv[i], "bytes=", 6) == 0) {
            n_counts = strtoull(value, NULL, 0) / 2;
        }
    }
    counts = calloc(n_counts, sizeof counts[0]);
    if (path[0] == 0 || n_counts == 0 || counts == NULL) {
        fprintf(stderr, "this plugin needs out=FILE,origin=ADDRESS,bytes=N\n");
        return -1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, count_block);
    qemu_plugin_register_atexit_cb(id, write_counts, NULL);
    return 0;
}
