/*
 * bits.h: strings as arrays of bits: counting, searching, combining, and integers of any width.
 * Bit 0 is the highest bit of the first byte, as in the protocol's bitmaps. Pure functions: any
 * thread may call them.
 */
#pragma once

#include "core/slice.h"

/** How many bits are set. */
uint64_t bits_count(const char *data, size_t size);

/** How many bits from `first` to `last`, both included and within `data`, are set. */
uint64_t bits_count_range(const char *data, uint64_t first, uint64_t last);

/** The first bit from `first` to `last`, both included and within `data`, that is `bit`; -1: none.
 */
int64_t bits_find(const char *data, uint64_t first, uint64_t last, bool bit);

static inline bool
bits_get(struct slice bytes, uint64_t offset)
{
    uint64_t byte = offset >> 3;
    return byte < bytes.size && ((unsigned char)bytes.data[byte] >> (7 - (offset & 7)) & 1) != 0;
}

enum bits_operation {
    BITS_AND,
    BITS_OR,
    BITS_XOR,
    BITS_NOT,
};

/**
 * Combine sources into `out`, which is as large as the largest of them and overlaps none. Shorter
 * ones count as continued with zeros. BITS_NOT has one source.
 */
void bits_combine(char *out, size_t size, enum bits_operation operation,
                  const struct slice *sources, uint32_t source_count);

/** The `width` (1..64) bits from `offset` on as a number, the first the highest; zeros behind the
 * end. */
uint64_t bits_read(struct slice bytes, uint64_t offset, uint32_t width);

/** Set the `width` (1..64) bits from `offset` on to the low bits of `value`; all lie in `data`. */
void bits_write(char *data, size_t size, uint64_t offset, uint32_t width, uint64_t value);
