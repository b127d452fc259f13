#ifndef BG_CRC32_H
#define BG_CRC32_H

#include <stdint.h>

/* Return the CRC-32 (IEEE 802.3, reflected, as zlib's) of `bytes` bytes. */
uint32_t bg_crc32(const uint8_t *data, uint32_t bytes);

#endif
