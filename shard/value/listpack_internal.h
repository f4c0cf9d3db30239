/*
 * listpack_internal.h: how a listpack's bytes are read, for its own rooms. listpack.c draws them.
 */
#pragma once

#include "shard/value/listpack.h"

#include <string.h>

#define LISTPACK_HEADER_SIZE 6
#define LISTPACK_COUNT_UNKNOWN UINT16_MAX
#define LISTPACK_END 0xFF

enum listpack_encoding {
    LISTPACK_STRING_32 = 0xF0,
    LISTPACK_INTEGER_16 = 0xF1,
    LISTPACK_INTEGER_24 = 0xF2,
    LISTPACK_INTEGER_32 = 0xF3,
    LISTPACK_INTEGER_64 = 0xF4,
};

static inline uint32_t
listpack_backlen_size(uint64_t size)
{
    if (LIKELY(size <= 127)) {
        return 1;
    }
    /* These limits are one too early; files are written so. */
    if (size < 16383) {
        return 2;
    }
    if (size < 2097151) {
        return 3;
    }
    return size < 268435455 ? 4 : 5;
}

static inline void
listpack_backlen_write(unsigned char *out, uint64_t size)
{
    if (LIKELY(size <= 127)) {
        *out = (unsigned char)size;
        return;
    }
    uint32_t count = listpack_backlen_size(size);
    for (uint32_t i = count; i-- > 0;) {
        out[i] = (unsigned char)((size & 127) | (i > 0 ? 128 : 0));
        size >>= 7;
    }
}

/** Bytes of the encoding with lengths, in front of the data. 0: no such encoding. Reads one byte.
 */
static inline uint32_t
listpack_head_size(unsigned char first)
{
    if (first < 0xC0) {
        return 1;
    }
    if (first < 0xF0) {
        return 2;
    }
    static const uint8_t sizes[16] = {5, 3, 4, 5, 9};
    return sizes[first & 15];
}

/** The element without its backlen. Reads its head only. */
static inline uint64_t
listpack_body_size(const unsigned char *element)
{
    unsigned char first = element[0];
    if (first < 0x80) {
        return 1;
    }
    if (first < 0xC0) {
        return 1U + (first & 63U);
    }
    if (first < 0xE0) {
        return 2;
    }
    if (first < 0xF0) {
        return 2U + ((first & 15U) << 8 | element[1]);
    }
    if (first == LISTPACK_STRING_32) {
        uint32_t size;
        memcpy(&size, element + 1, sizeof(size));
        return UINT64_C(5) + size;
    }
    return listpack_head_size(first);
}
