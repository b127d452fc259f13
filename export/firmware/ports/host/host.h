/* The shipped C as Python sees it, through cffi. This file is read by cffi as it is: declarations
 * only, no preprocessor. */
typedef struct bgh_chain bgh_chain;
typedef struct bgh_pipeline bgh_pipeline;

typedef struct {
    uint64_t window_start;
    int64_t score[2];
    bool accepted;
    uint8_t reason;
    int16_t label;
    int16_t margin;
} bgh_decision;

/* sizeof bg_blob_header, bg_tensor, bg_layer, bg_chain_settings, bg_pipeline, bg_stream_tensor,
 * bg_stream_pool: the Python writer compares. */
void bgh_sizes(uint32_t sizes[7]);

/* The signal chain; settings and taps (NULL where it does not resample) must outlive it. NULL with
 * *status set when bg_chain_check refuses. */
bgh_chain *bgh_chain_open(const void *settings, const int16_t *taps, int *status);
size_t bgh_chain_frames(const bgh_chain *chain, size_t n_samples);
/* Take n_samples frames of counts; codes has room for bgh_chain_frames frames of them. `states`,
 * unless NULL, receives the values that were rounded to the codes, 2^-12 of a count each. */
void bgh_chain_push(bgh_chain *chain, const int16_t *adc_counts, size_t n_samples, int8_t *codes,
                    int32_t *states);
void bgh_chain_reset(bgh_chain *chain);
void bgh_chain_close(bgh_chain *chain);

/* Check one blob; returns a bg_status. */
int bgh_blob_check(const void *blob, size_t bytes, int role);

/* Run one network over n_windows windows of codes; `outputs` receives every output tensor and
 * `scores`, unless NULL, every score. Returns a bg_status. */
int bgh_model_run(const void *blob, size_t bytes, int role, const int8_t *windows,
                  size_t n_windows, int8_t *outputs, int64_t *scores);

/* Run one network over one window; crcs[i] becomes the CRC-32 of layer i's output. */
int bgh_model_trace(const void *blob, size_t bytes, int role, const int8_t *window,
                    uint32_t *crcs);

/* The pipeline; blobs (gates first, then the classifier) must outlive it. NULL with *status set
 * when bg_open refuses. */
bgh_pipeline *bgh_open(const void *const *blobs, const size_t *bytes, uint32_t n_gates,
                       bool has_classifier, int *status);
size_t bgh_arena_bytes(const bgh_pipeline *pipeline);
int bgh_push(bgh_pipeline *pipeline, const int16_t *adc_counts, size_t n_samples);
bool bgh_poll(bgh_pipeline *pipeline, bgh_decision *decision);
void bgh_reset(bgh_pipeline *pipeline);

/* Play n windows of n_samples frames each from a reset and compare the decisions with those
 * expected; *failed becomes the first that differs. Returns a bg_status. */
int bgh_self_test(bgh_pipeline *pipeline, const int16_t *adc_counts, size_t n_samples,
                  const bgh_decision *expected, size_t n, size_t *failed);

/* For tests: let the pipeline believe that this many frames have passed. */
void bgh_skip_to_frame(bgh_pipeline *pipeline, uint64_t n_frames);
void bgh_close(bgh_pipeline *pipeline);
