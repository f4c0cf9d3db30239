#include "shard/value/packed.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Deadlines in a packed table against an array of them: values, deadlines and removals at random
 * while the population swings and time goes on, the first deadline after each step, what expires
 * and what stays, copies, and the end in steps.
 */

#define MEMBER_MAX 6000
#define MEMBER_SIZE_MAX 400

struct model {
    struct packed *packed;
    struct random random;
    uint64_t seed;
    /** What belongs to each member: 0: it is not there. */
    uint32_t versions[MEMBER_MAX];
    int64_t deadlines[MEMBER_MAX];
    uint32_t count;
    uint32_t member_max;
    int64_t now_ms;
    char member[MEMBER_SIZE_MAX];
    char value[MEMBER_SIZE_MAX];
};

/** Some are too large for a bucket. */
static struct slice
model_bytes(char *buffer, uint32_t number, uint32_t salt)
{
    uint32_t mixed = (number * 2654435761U + salt * 40503U) >> 7;
    size_t size = mixed % 40 == 0 ? 200 + mixed % 190 : 8 + mixed % 24;
    size_t start = (size_t)snprintf(buffer, 32, "%u:", number);
    for (size_t i = start; i < size; i++) {
        buffer[i] = (char)(mixed + i * 31);
    }
    return slice_of(buffer, MAX(size, start));
}

static struct slice
model_member(struct model *model, uint32_t i)
{
    return i == 0 ? slice_of(NULL, 0) : model_bytes(model->member, i, 0);
}

static struct slice
model_value(struct model *model, uint32_t version)
{
    return model_bytes(model->value, version % 7, 1);
}

static struct model *
model_new(uint64_t seed, uint32_t member_max)
{
    struct model *model = calloc(1, sizeof(*model));
    random_create(&model->random, seed);
    model->seed = seed;
    model->member_max = member_max;
    model->now_ms = 1000;
    model->packed = packed_new(random_next(&model->random), true);
    return model;
}

static uint32_t
below(struct model *model, uint32_t end)
{
    return (uint32_t)random_below(&model->random, end);
}

static void
model_check(struct model *model, const struct packed *packed)
{
    unsigned long long seed = model->seed;
    cr_assert(packed_check(packed), "seed %llu", seed);
    cr_assert_eq(packed_count(packed), model->count);
    uint64_t first_ms = (uint64_t)PACKED_NO_DEADLINE;
    for (uint32_t i = 0; i < model->member_max; i++) {
        struct packed_item item;
        bool is_there = packed_find_item(packed, model_member(model, i), &item);
        cr_assert_eq(is_there, model->versions[i] != 0, "seed %llu: member %u", seed, i);
        if (is_there) {
            cr_assert(slice_equal(item.value, model_value(model, model->versions[i])));
            cr_assert_eq(item.deadline_ms, model->deadlines[i], "seed %llu: member %u", seed, i);
            first_ms = MIN(first_ms, (uint64_t)item.deadline_ms);
        }
    }
    cr_assert_eq((uint64_t)packed_first_ms(packed), first_ms, "seed %llu", seed);
}

static int64_t
model_deadline(struct model *model)
{
    static const int64_t far[] = {INT64_MAX, INT64_C(1) << 47, INT64_C(0x0102030405060708)};
    switch (below(model, 8)) {
    case 0:
        return PACKED_NO_DEADLINE;
    case 1:
        return far[below(model, ARRAY_COUNT(far))];
    default:
        return model->now_ms + 1 + below(model, 3000);
    }
}

static void
model_step(struct model *model, uint32_t insert_percent)
{
    uint32_t i = below(model, model->member_max);
    bool is_there = model->versions[i] != 0;
    struct slice member = model_member(model, i);
    if (below(model, 100) >= insert_percent) {
        cr_assert_eq(packed_remove(model->packed, member), is_there);
        model->versions[i] = 0;
        model->count -= is_there;
        return;
    }
    uint32_t version = 1 + below(model, 1000000);
    int64_t deadline_ms = model_deadline(model);
    model->packed = packed_time(model->packed);
    switch (below(model, 3)) {
    case 0:
        cr_assert_eq(packed_deadline_set(model->packed, member, deadline_ms), is_there);
        model->deadlines[i] = deadline_ms;
        return;
    case 1:
        deadline_ms = PACKED_NO_DEADLINE;
        cr_assert_eq(packed_set(model->packed, member, model_value(model, version)), !is_there);
        break;
    default:
        cr_assert_eq(
            packed_set_timed(model->packed, member, model_value(model, version), deadline_ms),
            !is_there);
    }
    model->versions[i] = version;
    model->deadlines[i] = deadline_ms;
    model->count += !is_there;
}

static void
model_expire(void *context, const struct packed_item *items, uint32_t count)
{
    struct model *model = context;
    cr_assert(count > 0 && count <= PACKED_EXPIRE_MAX);
    for (uint32_t at = 0; at < count; at++) {
        struct slice member = items[at].member;
        uint32_t i = member.size == 0 ? 0 : (uint32_t)strtoul(member.data, NULL, 10);
        cr_assert(slice_equal(member, model_member(model, i)));
        cr_assert_neq(model->versions[i], 0);
        cr_assert_eq(items[at].deadline_ms, model->deadlines[i]);
        cr_assert(packed_is_due(model->deadlines[i], model->now_ms));
        model->versions[i] = 0;
        model->count--;
    }
}

static void
model_advance(struct model *model)
{
    model->now_ms += below(model, 400);
    while (packed_expire(model->packed, model->now_ms, model_expire, model) > 0) {
    }
    cr_assert(!packed_is_due(packed_first_ms(model->packed), model->now_ms));
}

static void
model_race(const char *name, uint32_t member_max)
{
    uint64_t seed = random_system_seed();
    fprintf(stderr, "packed times %s: seed %llu\n", name, (unsigned long long)seed);
    struct model *model = model_new(seed, member_max);
    static const uint32_t percents[] = {60, 95, 30, 5, 97, 80, 2, 90};
    for (uint32_t phase = 0; phase < ARRAY_COUNT(percents); phase++) {
        for (uint32_t step = 0; step < 4 * member_max; step++) {
            model_step(model, percents[phase]);
            if (below(model, 500) == 0) {
                model_advance(model);
            }
        }
        model_check(model, model->packed);
        struct packed *copy = packed_copy(model->packed);
        model_check(model, copy);
        packed_delete(copy);
    }
    struct object *rest = &model->packed->object;
    while (!object_free_steps(&rest, VALUE_HASH, ENCODING_HASHTABLE, 1 + below(model, 20))) {
    }
    free(model);
}

Test(packed_times, races_a_model_of_a_few)
{
    model_race("few", 40);
}

Test(packed_times, races_a_model_of_some)
{
    model_race("some", 700);
}

Test(packed_times, races_a_model_of_many)
{
    model_race("many", MEMBER_MAX);
}

Test(packed_times, one_deadline_in_a_large_table_costs_little)
{
    struct packed *packed = packed_new(7, true);
    char member[32];
    for (int i = 0; i < 200000; i++) {
        size_t size = (size_t)snprintf(member, sizeof(member), "field:%d", i);
        packed_set(packed, slice_of(member, size), SLICE("value"));
    }
    size_t size = object_size(packed);
    packed = packed_time(packed);
    cr_assert(packed_deadline_set(packed, SLICE("field:77777"), 5));
    cr_assert_lt(object_size(packed), size + 2000);
    cr_assert_eq(packed_first_ms(packed), 5);
    cr_assert(packed_deadline_set(packed, SLICE("field:77777"), PACKED_NO_DEADLINE));
    cr_assert_lt(object_size(packed), size + 100);
    cr_assert(packed_check(packed));
    packed_delete(packed);
}

Test(packed_times, a_million_deadlines_cost_ten_bytes_each)
{
    struct packed *packed = packed_new(7, true);
    char member[32];
    for (int i = 0; i < 1000000; i++) {
        size_t size = (size_t)snprintf(member, sizeof(member), "field:%010d", i);
        packed_set(packed, slice_of(member, size), SLICE("twelve bytes"));
    }
    size_t size = object_size(packed);
    packed = packed_time(packed);
    for (int i = 0; i < 1000000; i++) {
        size_t text_size = (size_t)snprintf(member, sizeof(member), "field:%010d", i);
        packed_deadline_set(packed, slice_of(member, text_size), 1000000 - i);
    }
    cr_assert_eq(packed_first_ms(packed), 1);
    cr_assert_lt(object_size(packed), size + 10 * (size_t)1000000);
    packed_delete(packed);
}
