/* What the simulator and an emulated board say to each other: little-endian words over two pipes.
 * firmware_sim/engines/qemu.py is the other end. */
#ifndef PROTOCOL_H
#define PROTOCOL_H

#include <stdint.h>

typedef enum {
    COMMAND_OPEN = 1,  /* argument: 1 with the filter, 0 classifier alone; reply: open_reply */
    COMMAND_RESET = 2, /* no reply */
    COMMAND_PUSH = 3,  /* argument: n_samples <= PUSH_MAX, then the counts; reply: push_reply, then
                          n_decisions decision_reply */
    COMMAND_TRACE = 4, /* argument: which blob, then one window of codes; reply: n_layers CRCs */
} command_code;

enum { PUSH_MAX = 64 };

typedef struct {
    uint32_t command;
    uint32_t argument;
} command;

typedef struct {
    uint32_t status; /* bg_status */
    uint32_t pipeline_bytes;
} open_reply;

typedef struct {
    uint32_t status;
    uint32_t n_decisions;
    uint32_t chain_ticks; /* of the frames that completed no window */
    uint32_t n_chain_frames;
} push_reply;

typedef struct {
    uint64_t window_start;
    int64_t score[2];
    uint32_t gate_ticks; /* one frame of the chain included */
    uint32_t classifier_ticks;
    int16_t label;
    int16_t margin;
    uint8_t accepted;
    uint8_t reason;
    uint16_t reserved;
} decision_reply;

#endif
