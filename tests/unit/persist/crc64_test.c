/*
 * crc64_test.c: the published check value, a sum bit by bit, and sums of parts.
 */
#include "persist/crc64.h"

#include "core/random.h"

#include <criterion/criterion.h>
#include <stdio.h>

/** The definition, bit by bit. */
static uint64_t
slow_crc64(struct slice bytes)
{
    uint64_t crc = 0;
    for (size_t i = 0; i < bytes.size; i++) {
        crc ^= (unsigned char)bytes.data[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ ((crc & 1) != 0 ? UINT64_C(0x95ac9329ac4bc9b5) : 0);
        }
    }
    return crc;
}

Test(crc64, check_value)
{
    cr_expect_eq(crc64_update(0, SLICE("123456789")), UINT64_C(0xe9c6d914c4b8d9ca));
    cr_expect_eq(crc64_update(0, SLICE("")), 0);
}

Test(crc64, parts_and_their_sums)
{
    uint64_t seed = random_system_seed();
    printf("crc64: seed %llu\n", (unsigned long long)seed);
    struct random random;
    random_create(&random, seed);
    char bytes[600];
    for (uint32_t round = 0; round < 2000; round++) {
        size_t size = random_below(&random, sizeof(bytes) - 8);
        size_t offset = random_below(&random, 8);
        for (size_t i = 0; i < size; i++) {
            bytes[offset + i] = (char)random_next(&random);
        }
        struct slice whole = slice_of(bytes + offset, size);
        size_t cut = random_below(&random, size + 1);
        struct slice a = slice_of(whole.data, cut);
        struct slice b = slice_of(whole.data + cut, size - cut);
        uint64_t crc = slow_crc64(whole);
        cr_assert_eq(crc64_update(0, whole), crc);
        cr_assert_eq(crc64_update(crc64_update(0, a), b), crc);
        cr_assert_eq(crc64_combine(crc64_update(0, a), crc64_update(0, b), b.size), crc);
    }
}

/** What cannot be summed in a test: 2^40 zeros are as many times 2^20 of them. */
Test(crc64, combines_over_large_sizes)
{
    uint64_t crc = crc64_update(0, SLICE("tessera"));
    uint64_t at_once = crc64_combine(crc, 0, UINT64_C(1) << 40);
    for (uint32_t i = 0; i < 1 << 10; i++) {
        crc = crc64_combine(crc, 0, UINT64_C(1) << 30);
    }
    cr_expect_eq(crc, at_once);
}
