/* The shipped C as Python sees it, through cffi. This file is read by cffi as it is: declarations
 * only, no preprocessor. */
typedef struct bgh_pipeline bgh_pipeline;

typedef struct {
    uint64_t window_start;
    int64_t score[2];
    bool accepted;
    uint8_t reason;
    int16_t label;
    int16_t margin;
} bgh_decision;

/* sizeof bg_blob_header, bg_tensor, bg_layer, bg_chain_settings, bg_pipeline: the Python writer
 * compares. */
void bgh_sizes(uint32_t sizes[5]);

/* Filter one recording of n_samples frames, from a primed start; codes has room for all of it.
 * Returns a bg_status. */
int bgh_chain_apply(const void *settings, const int16_t *adc_counts, size_t n_samples,
                    int8_t *codes);

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
