/* The bundle's blobs, as they are, in flash; of a network that is left out the file is empty.
 * Assembly gives them no C type, so the runtime may read them through its own structures. */
    .syntax unified
    .section .models, "a"

    .balign 16
    .global filter_blob, filter_blob_end
filter_blob:
    .incbin "filter.bgm"
filter_blob_end:

    .balign 16
    .global classifier_blob, classifier_blob_end
classifier_blob:
    .incbin "classifier.bgm"
classifier_blob_end:
