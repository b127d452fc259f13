#include "overlap.h"

enum { PIECES_MAX = 3 };

/* The layers that need a tensor, counted from 1; 0 is before the first, n_layers + 1 after the
 * last. A tensor that no layer touches has first > last. */
typedef struct {
    uint16_t first, last;
} life;

/* Bytes [start, end) in use from time `first` to time `last`. Each lies inside a memory of 2^24
 * bytes at most: the checks before this one have seen to that. */
typedef struct {
    uint32_t start, end;
    uint32_t first, last;
} piece;

typedef struct {
    const bg_blob_header *header;
    const bg_tensor *tensors;
    const bg_layer *layers;
    const bg_stream_tensor *stream; /* NULL: the plan of the whole window */
    life lives[BG_TENSORS_MAX];
} plan;

static void touch(plan *p, uint32_t tensor, uint32_t time) {
    life *l = &p->lives[tensor];
    l->first = (uint16_t)(time < l->first ? time : l->first);
    l->last = (uint16_t)(time > l->last ? time : l->last);
}

static void find_lives(plan *p) {
    for (uint32_t i = 0; i < p->header->n_tensors; i++) {
        p->lives[i] = (life){.first = UINT16_MAX};
    }
    touch(p, p->header->input, 0);
    for (uint32_t i = 0; i < p->header->n_layers; i++) {
        for (uint32_t k = 0; k < p->layers[i].n_inputs; k++) {
            touch(p, p->layers[i].inputs[k], i + 1);
        }
        touch(p, p->layers[i].output, i + 1);
    }
    touch(p, p->header->output, p->header->n_layers + 1U);
}

static piece piece_at(uint32_t start, uint64_t bytes, uint32_t first, uint32_t last) {
    return (piece){start, start + (uint32_t)bytes, first, last};
}

static uint32_t whole_pieces(const plan *p, uint32_t tensor, piece pieces[PIECES_MAX]) {
    const life lived = p->lives[tensor];
    const uint64_t bytes = bg_tensor_bytes(&p->tensors[tensor]);
    pieces[0] = piece_at(p->tensors[tensor].offset, bytes, lived.first, lived.last);
    if (lived.first == 0) {
        return 1;
    }
    const bg_layer *writer = &p->layers[lived.first - 1];
    const uint64_t scratch = bg_scratch_bytes(writer, &p->tensors[writer->inputs[0]],
                                              &p->tensors[tensor]);
    pieces[1] = piece_at(writer->scratch, scratch, lived.first, lived.first);
    return 2;
}

/* Whether a layer behind the one at `time` runs while columns of `period` steps are coming in. */
static bool runs_behind(const plan *p, uint32_t time, uint32_t period) {
    for (uint32_t i = time; i < p->header->n_layers; i++) {
        const bg_stream_tensor *source = bg_stream_source(&p->layers[i], p->stream);
        if (source != NULL && source->period < period) {
            return true;
        }
    }
    return false;
}

/* Time in the streaming form: frames come in at 0, layer i of a step runs at i + 1, what follows
 * the mean runs behind all of these, at a window's end. */
static uint32_t stream_pieces(const plan *p, uint32_t tensor, piece pieces[PIECES_MAX]) {
    const bg_stream_tensor *row = &p->stream[tensor];
    const life lived = p->lives[tensor];
    const uint32_t behind = p->header->n_layers + 1U;
    const uint32_t end = 2 * behind;
    const uint32_t column = p->tensors[tensor].channels;
    const uint32_t kept = row->carry * column;
    if (lived.first == 0) {
        const uint32_t last = runs_behind(p, lived.last, row->period) ? end : lived.last;
        pieces[0] = piece_at(row->offset, kept, 0, end);
        pieces[1] = piece_at(row->offset + kept, row->columns * column, 0, last);
        return 2;
    }
    const bg_layer *writer = &p->layers[lived.first - 1];
    const uint64_t scratch = bg_stream_scratch_bytes(writer, p->tensors, p->stream);
    if (row->columns > 0) {
        const bool fills_up = bg_stream_source(writer, p->stream)->period < row->period;
        const uint32_t first = fills_up ? 0 : lived.first;
        const uint32_t last =
            fills_up && runs_behind(p, lived.last, row->period) ? end : lived.last;
        pieces[0] = piece_at(row->offset, kept, 0, end);
        pieces[1] = piece_at(row->offset + kept, row->columns * column, first, last);
        pieces[2] = piece_at(row->scratch, scratch, lived.first, lived.first);
        return 3;
    }
    const uint64_t bytes = bg_tensor_bytes(&p->tensors[tensor]);
    if (row->block > 0) {
        const bg_tensor *in = &p->tensors[writer->inputs[0]];
        pieces[0] = piece_at(row->offset, bytes, lived.first, behind + lived.last);
        pieces[1] = piece_at(row->pool, bg_stream_pool_bytes(in, row->block), 0, end);
        return 2;
    }
    const uint32_t first = behind + lived.first;
    pieces[0] = piece_at(row->offset, bytes, first, behind + lived.last);
    pieces[1] = piece_at(row->scratch, scratch, first, first);
    return 2;
}

/* Where a tensor lies, and the scratch memory of the layer that writes it. */
static uint32_t pieces_of(const plan *p, uint32_t tensor, piece pieces[PIECES_MAX]) {
    if (p->lives[tensor].first > p->lives[tensor].last || bg_is_constant(&p->tensors[tensor])) {
        return 0;
    }
    return p->stream == NULL ? whole_pieces(p, tensor, pieces) : stream_pieces(p, tensor, pieces);
}

/* Whether a convolution may write `out`, `lead` bytes in front of the input it reads: all it reads
 * of a tile of columns it has read before it writes the first. After n columns the bytes written
 * must end where those still to be read begin; the gap is linear in n. */
static bool conv_follows(const bg_layer *layer, const bg_tensor *in, const bg_tensor *out,
                         int64_t lead) {
    const int64_t growth = (int64_t)out->channels - (int64_t)layer->stride * in->channels;
    const int64_t room = lead - (int64_t)layer->pad_left * in->channels;
    return out->width == 1 || (growth <= room && growth * (out->width - 1) <= room);
}

/* Whether a layer may write over its input; `lead`: how far in front of it the output begins.
 * Kernels go through time and, in a column, through the channels. */
static bool may_overwrite(const bg_layer *layer, const bg_tensor *in, const bg_tensor *out,
                          int64_t lead) {
    switch (layer->op) {
    case BG_OP_ADD:
    case BG_OP_SUB:
    case BG_OP_MUL:
    case BG_OP_LOOKUP:
    case BG_OP_RESHAPE:
        return lead == 0 && bg_tensor_bytes(in) == bg_tensor_bytes(out);
    case BG_OP_FULLY_CONNECTED: /* has all of its input in scratch memory first */
        return true;
    case BG_OP_CONV:
        return conv_follows(layer, in, out, lead);
    case BG_OP_MEAN:
    case BG_OP_STRIDED_SLICE:
        return lead == 0;
    case BG_OP_DEPTHWISE_CONV:
    case BG_OP_AVERAGE_POOL:
    case BG_OP_MAX_POOL:
        return lead == 0 && layer->pad_left == 0 && in->channels == out->channels;
    default:
        return false;
    }
}

/* Whether the layer that writes `b` may do so over its input `a`, which nobody needs afterwards. */
static bool in_place(const plan *p, uint32_t a, uint32_t b) {
    const life from = p->lives[a];
    const life to = p->lives[b];
    if (p->stream != NULL || from.last != to.first || to.first == 0 ||
        to.first > p->header->n_layers) {
        return false;
    }
    const bg_layer *layer = &p->layers[to.first - 1];
    bool reads = false;
    for (uint32_t k = 0; k < layer->n_inputs; k++) {
        reads = reads || layer->inputs[k] == a;
    }
    const int64_t lead = (int64_t)p->tensors[a].offset - p->tensors[b].offset;
    return reads && layer->output == b &&
           may_overwrite(layer, &p->tensors[a], &p->tensors[b], lead);
}

static bool collide(const piece *a, const piece *b) {
    const uint32_t start = a->start > b->start ? a->start : b->start;
    const uint32_t end = a->end < b->end ? a->end : b->end;
    return start < end && a->first <= b->last && b->first <= a->last;
}

static bool are_apart(const plan *p, uint32_t i, uint32_t j) {
    piece a[PIECES_MAX];
    piece b[PIECES_MAX];
    const uint32_t n_a = pieces_of(p, i, a);
    const uint32_t n_b = pieces_of(p, j, b);
    const bool shared = i != j && (in_place(p, i, j) || in_place(p, j, i));
    for (uint32_t k = 0; k < n_a; k++) {
        for (uint32_t l = 0; l < n_b; l++) {
            const bool same = i == j && k == l;
            const bool sharing = shared && k == 0 && l == 0; /* not the scratch memory */
            if (!same && !sharing && collide(&a[k], &b[l])) {
                return false;
            }
        }
    }
    return true;
}

static bool all_apart(const plan *p) {
    for (uint32_t i = 0; i < p->header->n_tensors; i++) {
        for (uint32_t j = 0; j <= i; j++) {
            if (!are_apart(p, i, j)) {
                return false;
            }
        }
    }
    return true;
}

bg_status bg_overlap_check(const bg_blob_header *header, const bg_tensor *tensors,
                           const bg_layer *layers, const bg_stream_tensor *stream) {
    plan p = {.header = header, .tensors = tensors, .layers = layers};
    find_lives(&p);
    if (!all_apart(&p)) {
        return BG_ERR_OVERLAP;
    }
    p.stream = stream;
    return stream == NULL || all_apart(&p) ? BG_OK : BG_ERR_OVERLAP;
}
