/* What can go wrong, one code a cause. The numbers are stable: devices report them. */
#ifndef BG_STATUS_H
#define BG_STATUS_H

typedef enum {
    BG_OK = 0,
    BG_ERR_ALIGNMENT = 1,     /* blob or arena is not aligned to BG_ALIGN */
    BG_ERR_TRUNCATED = 2,     /* fewer bytes than a header, or than the header says */
    BG_ERR_MAGIC = 3,         /* not a model blob */
    BG_ERR_VERSION = 4,       /* a format version this runtime does not know */
    BG_ERR_CRC = 5,           /* bytes differ from those that were written */
    BG_ERR_ROLE = 6,          /* a classifier where a gate belongs, or the reverse */
    BG_ERR_RANGE = 7,         /* a table or constant lies outside the blob */
    BG_ERR_TENSOR = 8,        /* a tensor does not fit the activation memory it declares */
    BG_ERR_LAYER = 9,         /* a layer's shapes or parameters contradict each other */
    BG_ERR_OPERATOR = 10,     /* an operator this runtime does not have */
    BG_ERR_SCORE = 11,        /* an unknown score rule, or constants out of range */
    BG_ERR_CHAIN = 12,        /* signal-chain settings this runtime cannot run */
    BG_ERR_MISMATCH = 13,     /* the blobs of one pipeline disagree on chain or window */
    BG_ERR_ARENA = 14,        /* the arena is smaller than bg_arena_bytes */
    BG_ERR_QUEUE_FULL = 15,   /* decisions wait: call bg_poll, then push the same samples again */
    BG_ERR_CONFIGURATION = 16, /* no network at all, more gates than BG_GATES_MAX, or not open */
    BG_ERR_CHUNK = 17,        /* more windows in one call than the queue holds: push less at once */
    BG_ERR_OVERLAP = 18,      /* two tensors share memory while both are in use */
    BG_ERR_STREAM = 19,       /* the streaming form contradicts the network */
    BG_ERR_SELF_TEST = 20,    /* a golden window was decided otherwise than recorded */
    BG_ERR_BYTE_ORDER = 21,   /* a model blob of the other byte order */
    BG_ERR_NOT_LINKED = 22    /* an operator that was left out of this image: link all of them */
} bg_status;

#endif
