/*
 * hash.h: the hash functions of tables. XXH3 for bytes, a finalizer for numbers.
 * Pure functions without state: any thread may call them. What they return may be kept in memory
 * but never written to disk or sent: the seed differs from start to start, so that nobody can
 * prepare colliding keys.
 */
#pragma once

#include "core/base.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

static inline uint64_t
hash_bytes(const char *data, size_t size, uint64_t seed)
{
    return XXH3_64bits_withSeed(data, size, seed);
}

/**
 * A bijection in which each bit of the input moves about half of the output's, low and high ones
 * alike. Not seeded: for numbers that clients cannot choose, or xor a seed in.
 */
static inline uint64_t
hash_u64(uint64_t x)
{
    x ^= x >> 30;
    x *= UINT64_C(0xbf58476d1ce4e5b9);
    x ^= x >> 27;
    x *= UINT64_C(0x94d049bb133111eb);
    x ^= x >> 31;
    return x;
}
