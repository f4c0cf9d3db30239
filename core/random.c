/*
 * random.c: xoshiro256** (Blackman and Vigna, 2018), filled by splitmix64.
 *
 * Four words of state, about a nanosecond a number, every bit as good as another, and a period of
 * 2^256 - 1. The state must not be all zero: splitmix64 is a bijection walked by an odd step, so
 * four results in a row are never all zero, whatever the seed. Not a cryptographic generator:
 * nothing here is a secret, and a server that runs in the simulator has to be repeatable from its
 * seed.
 */
#include "core/random.h"

#include "core/hash.h"

#include <errno.h>
#include <sys/random.h>

static inline uint64_t
rotate_left(uint64_t x, int count)
{
    return x << count | x >> (64 - count);
}

void
random_create(struct random *random, uint64_t seed)
{
    for (size_t i = 0; i < ARRAY_COUNT(random->state); i++) {
        seed += UINT64_C(0x9e3779b97f4a7c15);
        random->state[i] = hash_u64(seed);
    }
}

uint64_t
random_next(struct random *random)
{
    uint64_t *s = random->state;
    uint64_t result = rotate_left(s[1] * 5, 7) * 9;
    uint64_t shifted = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = rotate_left(s[3], 45);
    return result;
}

uint64_t
random_below(struct random *random, uint64_t bound)
{
    ASSERT(bound > 0);
    /*
     * The high word of number * bound (Lemire, "Fast random integer generation in an interval",
     * 2019). Each result has floor or ceiling of 2^64 / bound numbers; dropping the 2^64 mod bound
     * lowest low words evens it out. The chance of a second round is below bound / 2^64, and of a
     * hundredth beyond words.
     */
    unsigned __int128 product = (unsigned __int128)random_next(random) * bound;
    if ((uint64_t)product < bound) {
        uint64_t surplus = (0 - bound) % bound;
        while ((uint64_t)product < surplus) {
            product = (unsigned __int128)random_next(random) * bound;
        }
    }
    return (uint64_t)(product >> 64);
}

void
random_hex(struct random *random, char *out, size_t count)
{
    uint64_t bits = 0;
    for (size_t i = 0; i < count; i++) {
        if (i % 16 == 0) {
            bits = random_next(random);
        }
        out[i] = "0123456789abcdef"[bits >> 60];
        bits <<= 4;
    }
}

uint64_t
random_system_seed(void)
{
    uint64_t seed = 0;
    ssize_t size;
    do {
        size = getrandom(&seed, sizeof(seed), 0);
    } while (size < 0 && errno == EINTR);
    /* Up to 256 bytes come whole or not at all, and every kernel that we run on has the call. */
    ASSERT(size == (ssize_t)sizeof(seed));
    return seed;
}
