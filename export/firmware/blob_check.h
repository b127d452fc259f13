/* Blobs are untrusted: nothing of one is used before it has passed here. */
#ifndef BG_BLOB_CHECK_H
#define BG_BLOB_CHECK_H

#include "blob.h"

/* Check everything a later run relies on: envelope, tables, shapes, constants, order. */
bg_status bg_blob_check(const void *data, size_t bytes, bg_role role);

#endif
