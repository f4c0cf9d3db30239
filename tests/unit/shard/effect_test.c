/*
 * effect_test.c: records go in and come out the same, spliced or not.
 */
#include "shard/effect.h"

#include "core/random.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

Test(effect, nothing_to_read)
{
    struct effects effects;
    effects_create(&effects);
    struct effect_reader reader;
    struct effect effect;
    effect_reader_create(&reader, &effects);
    cr_expect(!effect_read(&reader, &effect));
    cr_expect(!effect_read(&reader, &effect));
    effect_reader_destroy(&reader);
    effects_destroy(&effects);
}

Test(effect, bytes_of_any_kind)
{
    struct effects effects;
    effects_create(&effects);
    struct slice argv[] = {SLICE("SET"), SLICE(""), SLICE("a\0\r\n")};
    effects_append(&effects, 15, 16383, argv, 3);
    cr_expect_eq(effects.count, 1);
    struct effect_reader reader;
    struct effect effect;
    effect_reader_create(&reader, &effects);
    cr_assert(effect_read(&reader, &effect));
    cr_expect_eq(effect.db, 15);
    cr_expect_eq(effect.slot, 16383);
    cr_assert_eq(effect.argc, 3);
    for (int i = 0; i < 3; i++) {
        cr_expect(slice_equal(effect.argv[i], argv[i]));
    }
    cr_expect(!effect_read(&reader, &effect));
    effect_reader_destroy(&reader);
    effects_clear(&effects);
    cr_expect_eq(effects.count, 0);
    effects_destroy(&effects);
}

#define EFFECT_COUNT 2000

/** An effect that can be told from its number alone. */
static uint32_t
effect_make(uint64_t number, struct slice *argv, char *bytes)
{
    struct random random;
    random_create(&random, number);
    uint32_t argc = 1 + (uint32_t)random_below(&random, 6);
    for (uint32_t i = 0; i < argc; i++) {
        size_t size = random_below(&random, i == 3 ? 5000 : 20);
        memset(bytes, (int)random_below(&random, 256), size);
        argv[i] = slice_of(bytes, size);
        bytes += size;
    }
    return argc;
}

Test(effect, splices_keep_the_order)
{
    const char *wanted = getenv("TESSERA_SEED");
    uint64_t seed = wanted != NULL ? strtoull(wanted, NULL, 10) : random_system_seed();
    fprintf(stderr, "seed %llu\n", (unsigned long long)seed);
    struct random random;
    random_create(&random, seed);
    struct effects all;
    struct effects some;
    effects_create(&all);
    effects_create(&some);
    struct slice argv[8];
    char *bytes = malloc(40000);
    for (uint64_t i = 0; i < EFFECT_COUNT; i++) {
        uint32_t argc = effect_make(seed + i, argv, bytes);
        effects_append(&some, (uint16_t)(i % 16), (uint16_t)(i % 16384), argv, argc);
        if (random_below(&random, 3) == 0) {
            effects_splice(&all, &some);
            cr_assert_eq(some.count, 0);
            cr_assert_eq(all.count, i + 1);
        }
    }
    effects_splice(&all, &some);
    effects_splice(&all, &some);
    cr_assert_eq(all.count, EFFECT_COUNT);
    struct effect_reader reader;
    struct effect effect;
    effect_reader_create(&reader, &all);
    for (uint64_t i = 0; i < EFFECT_COUNT; i++) {
        uint32_t argc = effect_make(seed + i, argv, bytes);
        cr_assert(effect_read(&reader, &effect));
        cr_assert_eq(effect.argc, argc);
        cr_assert_eq(effect.db, i % 16);
        cr_assert_eq(effect.slot, i % 16384);
        for (uint32_t j = 0; j < argc; j++) {
            cr_assert(slice_equal(effect.argv[j], argv[j]));
        }
    }
    cr_assert(!effect_read(&reader, &effect));
    effect_reader_destroy(&reader);
    effects_destroy(&all);
    effects_destroy(&some);
    free(bytes);
}
