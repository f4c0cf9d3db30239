/* hash_test.c: a table needs bits that move; that XXH3 is a good hash is not proved again. */
#include "core/hash.h"

#include "core/random.h"

#include <criterion/criterion.h>
#include <string.h>

Test(hash, bytes_depend_on_every_byte_the_size_and_the_seed)
{
    char data[64];
    memset(data, 'a', sizeof(data));
    for (size_t size = 1; size <= sizeof(data); size++) {
        uint64_t hash = hash_bytes(data, size, 1);
        cr_assert_eq(hash, hash_bytes(data, size, 1));
        cr_assert_neq(hash, hash_bytes(data, size, 2));
        cr_assert_neq(hash, hash_bytes(data, size - 1, 1));
        for (size_t i = 0; i < size; i++) {
            data[i] = 'b';
            cr_assert_neq(hash, hash_bytes(data, size, 1), "size %zu byte %zu", size, i);
            data[i] = 'a';
        }
    }
}

Test(hash, one_bit_of_a_number_moves_half_of_the_bits)
{
    struct random random;
    random_create(&random, 7);
    for (int bit = 0; bit < 64; bit++) {
        int moved_count = 0;
        for (int round = 0; round < 1000; round++) {
            uint64_t x = random_next(&random);
            moved_count += __builtin_popcountll(hash_u64(x) ^ hash_u64(x ^ UINT64_C(1) << bit));
        }
        cr_assert_gt(moved_count, 31000, "bit %d", bit);
        cr_assert_lt(moved_count, 33000, "bit %d", bit);
    }
}

Test(hash, small_numbers_spread_over_the_low_and_the_high_bits)
{
    int low[256] = {0};
    int high[256] = {0};
    for (uint64_t x = 0; x < 256 * 100; x++) {
        uint64_t hash = hash_u64(x);
        low[hash & 255]++;
        high[hash >> 56]++;
    }
    for (int i = 0; i < 256; i++) {
        cr_assert_gt(low[i], 50);
        cr_assert_lt(low[i], 160);
        cr_assert_gt(high[i], 50);
        cr_assert_lt(high[i], 160);
    }
}
