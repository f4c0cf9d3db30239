/*
 * random.h: repeatable pseudo-random numbers, and the one place that asks the system for a seed.
 * A generator belongs to one thread. Not for secrets: who sees some outputs can compute the rest.
 */
#pragma once

#include "core/base.h"

struct random {
    uint64_t state[4];
};

/** The same seed gives the same numbers on every machine; any seed will do, 0 too. */
void random_create(struct random *random, uint64_t seed);

/** All 64 bits are good. */
uint64_t random_next(struct random *random);

/** Each of 0 .. bound - 1 equally likely. `bound` is at least 1. */
uint64_t random_below(struct random *random, uint64_t bound);

/** `count` lower-case hexadecimal digits, without a NUL. */
void random_hex(struct random *random, char *out, size_t count);

/** 64 bits from the operating system. Any thread; may wait for entropy early at boot. */
uint64_t random_system_seed(void);
