/* What the simulator and an emulated board say to each other: little-endian words over two pipes.
 * firmware_sim/engines/qemu.py is the other end. */
#ifndef PROTOCOL_H
#define PROTOCOL_H

#include <stdint.h>

typedef enum {
    COMMAND_OPEN = 1,    /* argument: 1 with the filter | 2 with the classifier; reply: open_reply */
    COMMAND_RESET = 2,   /* no reply */
    COMMAND_PUSH = 3,    /* argument: n_samples, n_samples * n_leads <= PUSH_COUNTS_MAX, then the
                            counts; reply: push_reply, then n_decisions decision_reply, and again
                            until `more` is 0 */
    COMMAND_TRACE = 4,   /* argument: which blob; reply: trace_header; where n_layers is not 0 then
                            takes one window of codes and replies n_layers CRCs */
    COMMAND_PROFILE = 5, /* reply: profile_reply, then n_layers uint64 of ticks since COMMAND_OPEN */
    COMMAND_EXIT = 6,    /* no reply */
} command_code;

enum { PUSH_COUNTS_MAX = 128, DECISIONS_MAX = 4 };
enum { OPEN_FILTER = 1, OPEN_CLASSIFIER = 2 };

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
    uint32_t n_decisions; /* at most DECISIONS_MAX */
    uint32_t more;        /* another push_reply follows */
    uint32_t n_frames;
    uint32_t chain_ticks; /* of n_frames */
    uint32_t frame_ticks_max; /* of the costliest of them */
} push_reply;

/* The ticks are those of every frame since the decision before. */
typedef struct {
    uint64_t window_start;
    int64_t score[2];
    uint32_t gate_ticks;
    uint32_t classifier_ticks;
    int16_t label;
    int16_t margin;
    uint8_t accepted;
    uint8_t reason;
    uint16_t reserved;
} decision_reply;

typedef struct {
    uint32_t n_layers; /* 0: too little free RAM to trace this network */
} trace_header;

typedef struct {
    uint32_t stack_bytes; /* the most that was ever used since the start */
    uint32_t n_layers;
} profile_reply;

#endif
