#include "shard/value/packed.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * The packed table against an array of versions: random insertions, new values and removals while
 * the population swings up and down, scans that run at the same time and must not miss what was
 * there throughout, members too large for a bucket, fair choice, copies and deletion in steps.
 */

#define MEMBER_MAX 30000
#define MEMBER_SIZE_MAX 3000

struct model {
    struct packed *packed;
    struct random random;
    uint64_t seed;
    /** What belongs to each member: 0: it is not there. */
    uint32_t versions[MEMBER_MAX];
    uint32_t count;
    uint32_t member_max;
    bool has_values;
    /** Scan under way: members present since its start, and those it has seen. */
    bool was_there[MEMBER_MAX];
    bool is_seen[MEMBER_MAX];
    uint64_t position;
    uint32_t scan_count;
    char member[MEMBER_SIZE_MAX];
    char value[MEMBER_SIZE_MAX];
};

/** Bytes that follow from a number, of a size that follows from it too; one in 50 is large. */
static struct slice
model_bytes(char *buffer, uint32_t number, uint32_t salt)
{
    uint32_t mixed = (number * 2654435761U + salt * 40503U) >> 7;
    size_t size = mixed % 50 == 0   ? 200 + mixed % 2000
                  : mixed % 50 == 1 ? 120 + mixed % 12
                                    : 8 + mixed % 24;
    size_t start = (size_t)snprintf(buffer, 32, "%u:", number);
    for (size_t i = start; i < size; i++) {
        buffer[i] = (char)(mixed + i * 31);
    }
    return slice_of(buffer, MAX(size, start));
}

static struct slice
model_member(struct model *model, uint32_t i)
{
    /* The empty member is one of them. */
    return i == 0 ? slice_of(NULL, 0) : model_bytes(model->member, i, 0);
}

static struct slice
model_value(struct model *model, uint32_t version)
{
    if (!model->has_values || version % 40 == 0) {
        return slice_of(NULL, 0);
    }
    return model_bytes(model->value, version, 1);
}

static struct model *
model_new(uint64_t seed, bool has_values)
{
    struct model *model = calloc(1, sizeof(*model));
    random_create(&model->random, seed);
    model->seed = seed;
    model->has_values = has_values;
    model->member_max = MEMBER_MAX;
    model->packed = packed_new(random_next(&model->random), has_values);
    return model;
}

static void
model_delete(struct model *model)
{
    packed_delete(model->packed);
    free(model);
}

static void
model_check(struct model *model)
{
    cr_assert(packed_check(model->packed), "seed %llu", (unsigned long long)model->seed);
    cr_assert_eq(packed_count(model->packed), model->count);
    for (uint32_t i = 0; i < model->member_max; i++) {
        struct slice value = SLICE("untouched");
        bool is_there = packed_find(model->packed, model_member(model, i), &value);
        cr_assert_eq(is_there, model->versions[i] != 0, "member %u", i);
        if (is_there) {
            cr_assert(slice_equal(value, model_value(model, model->versions[i])), "value %u", i);
        }
    }
}

static void
model_step(struct model *model, uint32_t insert_percent)
{
    uint32_t i = (uint32_t)random_below(&model->random, model->member_max);
    bool is_there = model->versions[i] != 0;
    uint32_t version = 1 + (uint32_t)random_below(&model->random, 1000000);
    if (random_below(&model->random, 100) >= insert_percent) {
        cr_assert_eq(packed_remove(model->packed, model_member(model, i)), is_there);
        model->versions[i] = 0;
        model->was_there[i] = false;
        model->count -= is_there;
        return;
    }
    struct slice member = model_member(model, i);
    if (random_below(&model->random, 2) == 0) {
        cr_assert_eq(packed_insert(model->packed, member, model_value(model, version)), !is_there);
        model->versions[i] = is_there ? model->versions[i] : version;
    } else {
        cr_assert_eq(packed_set(model->packed, member, model_value(model, version)), !is_there);
        model->versions[i] = version;
    }
    model->count += !is_there;
}

static void
model_visit(void *context, const struct packed_item *item)
{
    struct model *model = context;
    uint32_t i = item->member.size == 0 ? 0 : (uint32_t)strtoul(item->member.data, NULL, 10);
    cr_assert_lt(i, MEMBER_MAX);
    cr_assert(slice_equal(item->member, model_member(model, i)));
    cr_assert(slice_equal(item->value, model_value(model, model->versions[i])));
    model->is_seen[i] = true;
}

static void
model_scan_step(struct model *model)
{
    if (model->position == 0) {
        for (uint32_t i = 0; i < MEMBER_MAX; i++) {
            model->was_there[i] = model->versions[i] != 0;
            model->is_seen[i] = false;
        }
    }
    model->position = packed_scan(model->packed, model->position, model_visit, model);
    if (model->position == 0) {
        for (uint32_t i = 0; i < MEMBER_MAX; i++) {
            cr_assert(!model->was_there[i] || model->is_seen[i], "seed %llu: scan missed %u",
                      (unsigned long long)model->seed, i);
        }
        model->scan_count++;
    }
}

static void
model_race(bool has_values)
{
    uint64_t seed = random_system_seed();
    fprintf(stderr, "packed race: seed %llu\n", (unsigned long long)seed);
    struct model *model = model_new(seed, has_values);
    static const uint32_t percents[] = {90, 70, 5, 50, 60, 2, 0, 95};
    for (uint32_t phase = 0; phase < ARRAY_COUNT(percents); phase++) {
        for (uint32_t step = 0; step < 40000; step++) {
            model_step(model, percents[phase]);
            if (step % 16 == 0) {
                model_scan_step(model);
            }
        }
        model_check(model);
    }
    cr_assert_gt(model->scan_count, 5);
    model_delete(model);
}

Test(packed, races_a_model_as_a_set)
{
    model_race(false);
}

Test(packed, races_a_model_as_a_hash)
{
    model_race(true);
}

Test(packed, small_populations_swing_from_empty_and_back)
{
    struct model *model = model_new(7, true);
    model->member_max = 40;
    for (uint32_t round = 0; round < 200; round++) {
        uint32_t percent = round % 3 == 0 ? 95 : round % 3 == 1 ? 50 : 3;
        for (uint32_t step = 0; step < 100; step++) {
            model_step(model, percent);
        }
        model_check(model);
    }
    model_delete(model);
}

Test(packed, a_copy_shares_nothing)
{
    struct model *model = model_new(11, true);
    for (uint32_t step = 0; step < 30000; step++) {
        model_step(model, 80);
    }
    struct packed *copy = packed_copy(model->packed);
    cr_assert(packed_check(copy));
    cr_assert_eq(copy->object.size, model->packed->object.size);
    packed_delete(model->packed);
    model->packed = copy;
    model_check(model);
    model_delete(model);
}

Test(packed, a_walk_sees_each_member_once)
{
    struct model *model = model_new(12, true);
    for (uint32_t step = 0; step < 30000; step++) {
        model_step(model, 80);
    }
    struct packed_walk walk = packed_walk(model->packed);
    struct packed_item item;
    uint32_t count = 0;
    while (packed_next(&walk, &item)) {
        model_visit(model, &item);
        count++;
    }
    cr_assert_eq(count, model->count);
    for (uint32_t i = 0; i < MEMBER_MAX; i++) {
        cr_assert_eq(model->is_seen[i], model->versions[i] != 0);
    }
    model_delete(model);
}

Test(packed, random_members_are_equally_likely)
{
    enum { COUNT = 500, DRAWS = 400 * COUNT };
    struct packed *packed = packed_new(5, false);
    for (uint32_t i = 0; i < COUNT; i++) {
        packed_insert(packed, slice_of(&i, sizeof(i)), slice_of(NULL, 0));
    }
    struct random random;
    random_create(&random, 99);
    uint32_t hits[COUNT] = {0};
    for (uint32_t draw = 0; draw < DRAWS; draw++) {
        uint32_t i;
        memcpy(&i, packed_random(packed, &random).member.data, sizeof(i));
        hits[i]++;
    }
    /* Chi-squared of 499 degrees of freedom: beyond 650 comes up once in 100,000 times, and the
     * seed is fixed. */
    double chi_squared = 0;
    for (uint32_t i = 0; i < COUNT; i++) {
        double difference = hits[i] - (double)DRAWS / COUNT;
        chi_squared += difference * difference / ((double)DRAWS / COUNT);
    }
    cr_assert_lt(chi_squared, 650);
    packed_delete(packed);
}

Test(packed, is_freed_in_steps)
{
    struct model *model = model_new(13, true);
    for (uint32_t step = 0; step < 60000; step++) {
        model_step(model, 90);
    }
    struct object *object = &model->packed->object;
    uint32_t call_count = 0;
    void *rest = object;
    while (!packed_ops.free_steps(rest, 10)) {
        call_count++;
    }
    cr_assert_gt(call_count, model->count / 200);
    free(model);
}

Test(packed, removes_a_member_named_by_its_own_bytes)
{
    struct packed *packed = packed_new(3, false);
    for (uint32_t i = 0; i < 1000; i++) {
        packed_insert(packed, slice_of(&i, sizeof(i)), slice_of(NULL, 0));
    }
    struct random random;
    random_create(&random, 1);
    while (packed_count(packed) > 0) {
        cr_assert(packed_remove(packed, packed_random(packed, &random).member));
        cr_assert(packed_check(packed));
    }
    packed_delete(packed);
}

Test(packed, a_large_population_stays_within_its_bytes)
{
    struct packed *set = packed_new(21, false);
    struct packed *hash = packed_new(22, true);
    for (uint32_t i = 0; i < 200000; i++) {
        char member[32];
        snprintf(member, sizeof(member), "member:%010u", i);
        packed_insert(set, slice_of(member, 17), slice_of(NULL, 0));
        packed_insert(hash, slice_of(member, 16), slice_of("value-123456", 12));
    }
    cr_assert_leq((double)set->object.size / 200000, 28.0);
    cr_assert_leq((double)hash->object.size / 200000, 40.0);
    packed_delete(set);
    packed_delete(hash);
}
