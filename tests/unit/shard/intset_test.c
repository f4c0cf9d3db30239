/*
 * intset_test.c: intsets against a sorted array, against bytes that redis-server wrote, and against
 * damaged bytes.
 */
#include "shard/value/intset.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define COUNT_MAX 600

struct model {
    struct random random;
    struct intset *intset;
    uint32_t count;
    int64_t values[COUNT_MAX];
};

static uint64_t
below(struct model *model, uint64_t bound)
{
    return random_below(&model->random, bound);
}

static uint64_t
seed_new(void)
{
    const char *wanted = getenv("TESSERA_SEED");
    uint64_t seed = wanted != NULL ? strtoull(wanted, NULL, 10) : random_system_seed();
    fprintf(stderr, "seed %" PRIu64 "\n", seed);
    return seed;
}

static int64_t
any_value(struct model *model, unsigned bits)
{
    static const int64_t limits[] = {INT16_MAX, INT16_MIN, INT32_MAX, INT32_MIN,
                                     INT64_MAX, INT64_MIN, 0};
    if (bits == 64 && below(model, 8) == 0) {
        int64_t value = limits[below(model, ARRAY_COUNT(limits))];
        uint64_t step = below(model, 3) - 1;
        return (int64_t)((uint64_t)value + step);
    }
    return (int64_t)random_next(&model->random) >> (64 - bits);
}

static bool
model_find(const struct model *model, int64_t value, uint32_t *index)
{
    *index = 0;
    while (*index < model->count && model->values[*index] < value) {
        (*index)++;
    }
    return *index < model->count && model->values[*index] == value;
}

static void
matches(const struct model *model)
{
    const struct intset *intset = model->intset;
    cr_assert(intset_validate(intset_bytes(intset)));
    cr_assert_eq(intset_count(intset), model->count);
    cr_assert_leq(offsetof(struct intset, width) + intset_bytes(intset).size, object_size(intset));
    for (uint32_t i = 0; i < model->count; i++) {
        cr_assert_eq(intset_get(intset, i), model->values[i]);
    }
}

static void
change(struct model *model, unsigned bits)
{
    int64_t value = any_value(model, bits);
    if (model->count > 0 && below(model, 3) == 0) {
        value = intset_random(model->intset, &model->random);
    }
    uint32_t index;
    uint32_t found;
    bool is_there = model_find(model, value, &index);
    cr_assert_eq(intset_find(model->intset, value, &found), is_there);
    cr_assert_eq(found, index);
    bool is_done;
    if (below(model, 5) < 3 && model->count < COUNT_MAX) {
        model->intset = intset_add(model->intset, value, &is_done);
        cr_assert_eq(is_done, !is_there);
        if (!is_there) {
            memmove(model->values + index + 1, model->values + index,
                    (model->count - index) * sizeof(int64_t));
            model->values[index] = value;
            model->count++;
        }
        return;
    }
    uint32_t count = is_there ? 1 : 0;
    if (below(model, 200) == 0) {
        count = (uint32_t)below(model, model->count - index + 1);
        model->intset = intset_remove_range(model->intset, index, count);
    } else {
        model->intset = intset_remove(model->intset, value, &is_done);
        cr_assert_eq(is_done, is_there);
    }
    memmove(model->values + index, model->values + index + count,
            (model->count - index - count) * sizeof(int64_t));
    model->count -= count;
}

Test(intset, races_a_model)
{
    struct model *model = calloc(1, sizeof(*model));
    random_create(&model->random, seed_new());
    for (int round = 0; round < 60; round++) {
        model->intset = intset_new();
        model->count = 0;
        static const unsigned widths[] = {8, 16, 24, 32, 64};
        unsigned bits = widths[round % 5];
        for (int i = 0; i < 2000; i++) {
            change(model, i < 1000 ? bits : 64);
            if (i % 20 == 0) {
                matches(model);
            }
        }
        matches(model);
        struct intset *copy = intset_copy(model->intset);
        cr_assert(slice_equal(intset_bytes(copy), intset_bytes(model->intset)));
        intset_delete(copy);
        intset_delete(model->intset);
    }
    free(model);
}

static void
check_hex(const struct intset *intset, const char *expected)
{
    char hex[256];
    struct slice bytes = intset_bytes(intset);
    for (size_t i = 0; i < bytes.size; i++) {
        snprintf(hex + 2 * i, 3, "%02x", (unsigned char)bytes.data[i]);
    }
    cr_assert_str_eq(hex, expected);
}

Test(intset, bytes_are_redis_bytes)
{
    /* SADD of these, then DUMP, by redis-server 7.0.15. */
    static const int64_t values[] = {
        5, -3, 300, 100000, -100000, INT64_C(1) << 40, -(INT64_C(1) << 40)};
    struct intset *intset = intset_new();
    bool is_added;
    for (size_t i = 0; i < ARRAY_COUNT(values); i++) {
        intset = intset_add(intset, values[i], &is_added);
        if (i == 2) {
            check_hex(intset, "0200000003000000fdff05002c01");
        } else if (i == 4) {
            check_hex(intset, "04000000050000006079fefffdffffff050000002c010000a0860100");
        }
    }
    check_hex(intset,
              "08000000070000000000000000ffffff6079fefffffffffffdffffffffffffff0500000000000000"
              "2c01000000000000a0860100000000000000000000010000");
    intset_delete(intset);
}

Test(intset, draws_evenly)
{
    struct random random;
    random_create(&random, seed_new());
    struct intset *intset = intset_new();
    uint32_t hits[10] = {0};
    bool is_added;
    for (int i = 0; i < 10; i++) {
        intset = intset_add(intset, i, &is_added);
    }
    for (int i = 0; i < 10000; i++) {
        hits[intset_random(intset, &random)]++;
    }
    for (int i = 0; i < 10; i++) {
        cr_assert_gt(hits[i], 800);
    }
    intset_delete(intset);
}

Test(intset, validates_whatever_comes)
{
    struct model *model = calloc(1, sizeof(*model));
    random_create(&model->random, seed_new());
    uint32_t accepted = 0;
    for (int round = 0; round < 100000; round++) {
        struct intset *intset = intset_new();
        bool is_added;
        for (uint64_t i = below(model, 10); i > 0; i--) {
            intset = intset_add(intset, any_value(model, 16U << below(model, 3)), &is_added);
        }
        size_t size = intset_bytes(intset).size;
        unsigned char *bytes = malloc(size);
        memcpy(bytes, intset_bytes(intset).data, size);
        for (uint64_t i = below(model, 3); i > 0; i--) {
            bytes[below(model, MIN(size, (size_t)16))] = (unsigned char)below(model, 10);
        }
        size_t damaged_size = below(model, 4) == 0 ? below(model, size + 1) : size;
        unsigned char *exact = malloc(MAX(damaged_size, (size_t)1));
        memcpy(exact, bytes, damaged_size);
        intset_delete(intset);
        if (intset_validate(slice_of(exact, damaged_size))) {
            accepted++;
            intset = intset_from_bytes(slice_of(exact, damaged_size));
            for (uint32_t i = 0; i < intset_count(intset); i++) {
                cr_assert(intset_contains(intset, intset_get(intset, i)));
            }
            intset = intset_add(intset, any_value(model, 64), &is_added);
            cr_assert(intset_validate(intset_bytes(intset)));
            intset_delete(intset);
        }
        free(exact);
        free(bytes);
    }
    cr_assert_gt(accepted, 1000);
    free(model);
}
