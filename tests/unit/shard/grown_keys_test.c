/*
 * grown_keys_test.c: names that a command asks for while it runs, against an array that is searched
 * from the front; and what the command is told of those that are not there yet.
 */
#include "shard/grown_keys.h"

#include "core/random.h"
#include "shard/call.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define NAMES_MAX 3000
#define NAME_SIZE_MAX 12

struct model {
    char names[NAMES_MAX][NAME_SIZE_MAX];
    size_t sizes[NAMES_MAX];
    uint32_t count;
};

static uint32_t
model_index(struct model *model, struct slice name)
{
    for (uint32_t i = 0; i < model->count; i++) {
        if (slice_equal(slice_of(model->names[i], model->sizes[i]), name)) {
            return i;
        }
    }
    cr_assert_lt(model->count, NAMES_MAX);
    memcpy(model->names[model->count], name.data, name.size);
    model->sizes[model->count] = name.size;
    return model->count++;
}

/** Few letters, zero bytes among them, so that names are often asked for again, or begin alike. */
static struct slice
draw_name(struct random *random, char *bytes)
{
    static const char letters[] = {'a', 'b', '\0', '{'};
    size_t size = random_below(random, random_below(random, 3) == 0 ? NAME_SIZE_MAX : 6);
    for (size_t i = 0; i < size; i++) {
        bytes[i] = letters[random_below(random, ARRAY_COUNT(letters))];
    }
    return slice_of(bytes, size);
}

Test(grown_keys, indexes_are_those_of_the_model)
{
    uint64_t seed = (uint64_t)time(NULL) << 16;
    fprintf(stderr, "grown keys: seed %llu\n", (unsigned long long)seed);
    struct model *model = calloc(1, sizeof(*model));
    for (uint32_t round = 0; round < 6; round++) {
        struct random random;
        struct grown_keys keys;
        random_create(&random, seed + round);
        grown_keys_create(&keys);
        model->count = 0;
        uint64_t step_count = 1 + random_below(&random, 4000);
        for (uint64_t i = 0; i < step_count && model->count < NAMES_MAX; i++) {
            char bytes[NAME_SIZE_MAX];
            struct slice name = draw_name(&random, bytes);
            uint32_t expected = model_index(model, name);
            cr_assert_eq(grown_keys_index(&keys, name), expected, "seed %llu, step %llu",
                         (unsigned long long)(seed + round), (unsigned long long)i);
            memset(bytes, '#', sizeof(bytes)); /* the name was copied */
            cr_assert_eq(keys.count, model->count);
        }
        for (uint32_t i = 0; i < model->count; i++) {
            cr_assert(slice_equal(keys.names[i], slice_of(model->names[i], model->sizes[i])));
        }
        grown_keys_destroy(&keys);
        cr_assert_eq(keys.count, 0);
        cr_assert_null(keys.names);
        cr_assert_null(keys.table);
    }
    free(model);
}

Test(grown_keys, none_is_nothing_to_free)
{
    struct grown_keys keys;
    grown_keys_create(&keys);
    grown_keys_destroy(&keys);
    cr_assert_eq(keys.count, 0);
}

Test(grown_keys, bytes_stay_where_they_are)
{
    struct grown_keys keys;
    grown_keys_create(&keys);
    cr_assert_eq(grown_keys_index(&keys, SLICE("first")), 0);
    const char *bytes = keys.names[0].data;
    for (uint32_t i = 0; i < 1000; i++) {
        char name[16];
        int size = snprintf(name, sizeof(name), "n%u", i);
        cr_assert_eq(grown_keys_index(&keys, slice_of(name, (size_t)size)), i + 1);
    }
    cr_assert_eq(keys.names[0].data, bytes, "views point to it");
    cr_assert_eq(grown_keys_index(&keys, SLICE("first")), 0);
    grown_keys_destroy(&keys);
}

Test(grown_keys, a_command_that_misses_one_grows)
{
    struct grown_keys keys;
    struct view views[2];
    struct view *ready[2] = {&views[0], &views[1]};
    struct call call = {.grown = &keys};
    grown_keys_create(&keys);
    cr_assert_null(call_key(&call, SLICE("a")));
    cr_assert_neq(call.flags & CALL_GROWS, 0);
    cr_assert_null(call_key(&call, SLICE("b")));
    cr_assert_null(call_key(&call, SLICE("a")));
    cr_assert_eq(keys.count, 2, "asked for once");
    /* It runs again, with what it has asked for. */
    keys.views = ready;
    keys.ready_count = 2;
    call.flags = 0;
    cr_assert_eq(call_key(&call, SLICE("b")), &views[1]);
    cr_assert_eq(call_key(&call, SLICE("a")), &views[0]);
    cr_assert_eq(call.flags & CALL_GROWS, 0);
    /* And asks for more. */
    cr_assert_null(call_key(&call, SLICE("c")));
    cr_assert_neq(call.flags & CALL_GROWS, 0);
    cr_assert_eq(keys.count, 3);
    grown_keys_destroy(&keys);
}
