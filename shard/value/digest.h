/*
 * digest.h: fingerprints of values, the same as redis-server's DEBUG DIGEST makes, so that data
 * sets on both compare. How a value is kept does not show. Pure functions: any thread that may read
 * the value.
 */
#pragma once

#include "shard/value/value.h"

#define DIGEST_SIZE 20
/** Room for a digest in hexadecimal, with its NUL. */
#define DIGEST_TEXT_SIZE (2 * DIGEST_SIZE + 1)

/** Zeroed: of nothing. */
struct digest {
    unsigned char bytes[DIGEST_SIZE];
};

/** Bytes in no order: the digest is the same whichever comes first, and twice the same is nothing.
 */
void digest_add(struct digest *digest, struct slice bytes);
/** Bytes whose place counts. */
void digest_mix(struct digest *digest, struct slice bytes);
/** A number of a database or of a type, as digest_mix() takes it: four bytes, the highest first. */
void digest_mix_number(struct digest *digest, uint32_t number);

/** What a key holds, and whether it has a deadline, whichever. The value exists (not VALUE_NONE).
 */
void digest_mix_value(struct digest *digest, const struct value *value, bool has_deadline);

/** Digests of parts that digest_add() has made, in any order. */
static inline void
digest_join(struct digest *digest, const struct digest *other)
{
    for (uint32_t i = 0; i < DIGEST_SIZE; i++) {
        digest->bytes[i] ^= other->bytes[i];
    }
}

/** Lower-case hexadecimal, NUL-terminated. */
void digest_format(const struct digest *digest, char text[DIGEST_TEXT_SIZE]);
