/*
 * ztree_test.c: the sorted tree against a sorted array that does everything the slow way.
 */
#include "core/heap.h"
#include "core/random.h"
#include "shard/value/ztree.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define MEMBER_SIZE_MAX 700
#define MODEL_COUNT_MAX 6000

struct model_item {
    double score;
    uint32_t size;
    char *bytes;
};

struct model {
    struct model_item *items; /* in order */
    uint32_t count;
};

struct race {
    struct random random;
    struct ztree *tree;
    struct model model;
    uint32_t member_count; /* different ones */
    uint32_t score_count;  /* 0: any double */
    bool is_long;
};

static struct slice
item_member(const struct model_item *item)
{
    return slice_of(item->bytes, item->size);
}

static int
item_compare(const struct model_item *item, double score, struct slice member)
{
    if (item->score != score) {
        return item->score < score ? -1 : 1;
    }
    return slice_compare(item_member(item), member);
}

static uint32_t
model_find(const struct model *model, struct slice member)
{
    for (uint32_t i = 0; i < model->count; i++) {
        if (slice_equal(item_member(&model->items[i]), member)) {
            return i;
        }
    }
    return UINT32_MAX;
}

static void
model_remove(struct model *model, uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to; i++) {
        free(model->items[i].bytes);
    }
    memmove(model->items + from, model->items + to, (model->count - to) * sizeof(*model->items));
    model->count -= to - from;
}

static void
model_add(struct model *model, double score, struct slice member)
{
    uint32_t index = 0;
    while (index < model->count && item_compare(&model->items[index], score, member) < 0) {
        index++;
    }
    cr_assert(model->count < MODEL_COUNT_MAX);
    memmove(model->items + index + 1, model->items + index,
            (model->count - index) * sizeof(*model->items));
    struct model_item *item = &model->items[index];
    *item = (struct model_item){.score = score, .size = (uint32_t)member.size};
    item->bytes = malloc(member.size + 1);
    if (member.size > 0) {
        memcpy(item->bytes, member.data, member.size);
    }
    model->count++;
}

static struct slice
race_member(struct race *race, char *buffer)
{
    uint64_t number = random_below(&race->random, race->member_count);
    if (number == 0) {
        return slice_of(buffer, 0);
    }
    int size = snprintf(buffer, MEMBER_SIZE_MAX, number % 3 == 0 ? "m%llu" : "member:%010llu",
                        (unsigned long long)number);
    size_t length = (size_t)size;
    if (race->is_long && number % 5 == 0) {
        size_t more = number * 37 % 500;
        memset(buffer + length, (int)('a' + number % 26), more);
        length += more;
    }
    return slice_of(buffer, length);
}

static double
race_score(struct race *race)
{
    if (race->score_count > 0) {
        return (double)random_below(&race->random, race->score_count) - 2;
    }
    switch (random_below(&race->random, 30)) {
    case 0:
        return INFINITY;
    case 1:
        return -INFINITY;
    case 2:
        return 0.0;
    case 3:
        return -0.0;
    default:
        return ((double)random_below(&race->random, 1000000) - 500000) / 16;
    }
}

static void
race_put(struct race *race)
{
    char buffer[MEMBER_SIZE_MAX];
    struct slice member = race_member(race, buffer);
    double score = race_score(race);
    enum ztree_put put = ztree_put(race->tree, member, score);
    uint32_t index = model_find(&race->model, member);
    if (index == UINT32_MAX) {
        cr_assert_eq(put, ZTREE_ADDED);
    } else if (race->model.items[index].score == score) {
        cr_assert_eq(put, ZTREE_SAME);
        return;
    } else {
        cr_assert_eq(put, ZTREE_MOVED);
        model_remove(&race->model, index, index + 1);
    }
    model_add(&race->model, score, member);
}

static void
race_remove(struct race *race)
{
    char buffer[MEMBER_SIZE_MAX];
    struct slice member = race_member(race, buffer);
    uint32_t index = model_find(&race->model, member);
    cr_assert_eq(ztree_remove(race->tree, member), index != UINT32_MAX);
    if (index != UINT32_MAX) {
        model_remove(&race->model, index, index + 1);
    }
}

static void
race_remove_ranks(struct race *race, uint64_t count_max)
{
    uint64_t from = random_below(&race->random, race->model.count + 1);
    uint64_t to = from + random_below(&race->random, count_max + 1);
    ztree_remove_ranks(race->tree, from, to);
    model_remove(&race->model, (uint32_t)from, (uint32_t)MIN(to, race->model.count));
}

static void
race_look(struct race *race)
{
    char buffer[MEMBER_SIZE_MAX];
    struct slice member = race_member(race, buffer);
    uint32_t index = model_find(&race->model, member);
    uint64_t rank = 0;
    double score = 0;
    cr_assert_eq(ztree_rank(race->tree, member, &rank, &score), index != UINT32_MAX);
    cr_assert_eq(ztree_find(race->tree, member, NULL), index != UINT32_MAX);
    if (index != UINT32_MAX) {
        cr_assert_eq(rank, index);
        cr_assert_eq(memcmp(&score, &race->model.items[index].score, sizeof(score)), 0);
    }
    double bound = race_score(race);
    uint64_t below = 0;
    uint64_t not_above = 0;
    uint64_t members_below = 0;
    for (uint32_t i = 0; i < race->model.count; i++) {
        const struct model_item *item = &race->model.items[i];
        below += item->score < bound;
        not_above += item->score <= bound;
        members_below += slice_compare(item_member(item), member) < 0;
    }
    cr_assert_eq(ztree_rank_of_score(race->tree, bound, false), below);
    cr_assert_eq(ztree_rank_of_score(race->tree, bound, true), not_above);
    if (race->score_count == 1) {
        cr_assert_eq(ztree_rank_of_member(race->tree, member, false), members_below);
        cr_assert_eq(ztree_rank_of_member(race->tree, member, true),
                     members_below + (index != UINT32_MAX));
    }
}

static void
items_equal(const struct ztree *tree, struct ztree_place place, const struct model_item *item)
{
    struct ztree_item got = ztree_get(tree, place);
    cr_assert_eq(memcmp(&got.score, &item->score, sizeof(got.score)), 0);
    cr_assert(slice_equal(got.member, item_member(item)));
}

/** Everything is there, forwards, backwards and by rank. */
static void
race_compare(struct race *race, const struct ztree *tree)
{
    cr_assert(ztree_is_valid(tree));
    cr_assert_eq(ztree_count(tree), race->model.count);
    struct ztree_place place = ztree_at(tree, 0);
    struct ztree_place last = {.leaf = ZTREE_NONE};
    for (uint32_t i = 0; i < race->model.count; i++) {
        cr_assert_neq(place.leaf, ZTREE_NONE);
        items_equal(tree, place, &race->model.items[i]);
        items_equal(tree, ztree_at(tree, i), &race->model.items[i]);
        last = place;
        place = ztree_next(tree, place);
    }
    cr_assert_eq(place.leaf, ZTREE_NONE);
    for (uint32_t i = race->model.count; i > 0; i--) {
        items_equal(tree, last, &race->model.items[i - 1]);
        last = ztree_previous(tree, last);
    }
    cr_assert_eq(last.leaf, ZTREE_NONE);
}

static void
race_step(struct race *race, uint32_t put_percent)
{
    uint64_t draw = random_below(&race->random, 1000);
    if (draw < put_percent * 9) {
        race_put(race);
    } else if (draw < 900) {
        race_remove(race);
    } else if (draw < 998) {
        race_look(race);
    } else {
        race_remove_ranks(race, draw == 998 ? 300 : 20);
    }
}

static void
race_run(const char *name, uint32_t member_count, uint32_t score_count, bool is_long)
{
    uint64_t seed = random_system_seed();
    printf("ztree race %s: seed %llu\n", name, (unsigned long long)seed);
    struct race race = {
        .member_count = member_count, .score_count = score_count, .is_long = is_long};
    random_create(&race.random, seed);
    race.tree = ztree_new(seed);
    race.model.items = malloc(MODEL_COUNT_MAX * sizeof(*race.model.items));
    for (uint32_t round = 0; round < 24; round++) {
        uint32_t put_percent = round % 6 < 3 ? 85 : 25;
        for (uint32_t i = 0; i < member_count; i++) {
            race_step(&race, put_percent);
        }
        race_compare(&race, race.tree);
        struct ztree *copy = ztree_copy(race.tree);
        cr_assert_eq(object_size(copy) <= object_size(race.tree), true);
        race_compare(&race, copy);
        ztree_delete(copy);
    }
    ztree_remove_ranks(race.tree, 0, UINT64_MAX);
    model_remove(&race.model, 0, race.model.count);
    race_compare(&race, race.tree);
    ztree_delete(race.tree);
    free(race.model.items);
}

Test(ztree, race_few)
{
    race_run("few", 40, 0, false);
}

Test(ztree, race_scores)
{
    race_run("scores", 4000, 0, false);
}

Test(ztree, race_same_score)
{
    race_run("same score", 4000, 1, false);
}

Test(ztree, race_few_scores)
{
    race_run("few scores", 4000, 7, false);
}

Test(ztree, race_long_members)
{
    race_run("long members", 3000, 50, true);
}

/* ---- scanning ---- */

struct seen {
    uint8_t *counts;
};

static uint64_t
member_number(struct slice member)
{
    char digits[16] = {0};
    cr_assert(member.size > 1 && member.size < sizeof(digits));
    memcpy(digits, member.data + 1, member.size - 1);
    return strtoull(digits, NULL, 10);
}

static void
seen_note(void *context, struct ztree_item item)
{
    struct seen *seen = context;
    uint64_t number = member_number(item.member);
    seen->counts[number] = (uint8_t)MIN(seen->counts[number] + 1, 200);
}

static void
number_put(struct ztree *tree, uint64_t number, double score)
{
    char buffer[24];
    int size = snprintf(buffer, sizeof(buffer), "m%llu", (unsigned long long)number);
    ztree_put(tree, slice_of(buffer, (size_t)size), score);
}

static void
number_remove(struct ztree *tree, uint64_t number)
{
    char buffer[24];
    int size = snprintf(buffer, sizeof(buffer), "m%llu", (unsigned long long)number);
    ztree_remove(tree, slice_of(buffer, (size_t)size));
}

#define SCAN_KEPT 2000
#define SCAN_ALL 40000

/** Numbers below SCAN_KEPT stay (and change their scores) while the others come and go. */
static void
scan_run(bool is_growing, uint64_t seed)
{
    struct random random;
    random_create(&random, seed);
    struct ztree *tree = ztree_new(seed);
    uint64_t other = is_growing ? SCAN_KEPT : SCAN_ALL;
    for (uint64_t i = 0; i < other; i++) {
        number_put(tree, i, (double)random_below(&random, 1000));
    }
    struct seen seen = {.counts = calloc(SCAN_ALL, 1)};
    uint64_t cursor = 0;
    uint32_t call_count = 0;
    do {
        cursor = ztree_scan(tree, cursor, seen_note, &seen);
        cr_assert_lt(cursor, UINT64_C(1) << 48);
        call_count++;
        for (uint32_t i = 0; i < 50; i++) {
            if (is_growing && other < SCAN_ALL) {
                number_put(tree, other++, (double)random_below(&random, 1000));
            } else if (!is_growing && other > SCAN_KEPT) {
                number_remove(tree, --other);
            }
        }
        number_put(tree, random_below(&random, SCAN_KEPT), (double)random_below(&random, 1000));
    } while (cursor != 0 && call_count < 100000);
    cr_assert_eq(cursor, 0);
    for (uint32_t i = 0; i < SCAN_KEPT; i++) {
        cr_assert_gt(seen.counts[i], 0, "seed %llu: m%u", (unsigned long long)seed, i);
    }
    cr_assert(ztree_is_valid(tree));
    free(seen.counts);
    ztree_delete(tree);
}

Test(ztree, scan_while_it_changes)
{
    for (uint32_t i = 0; i < 5; i++) {
        uint64_t seed = random_system_seed();
        printf("ztree scan: seed %llu\n", (unsigned long long)seed);
        scan_run(true, seed);
        scan_run(false, seed);
    }
}

Test(ztree, scan_once_each)
{
    struct ztree *tree = ztree_new(7);
    for (uint32_t i = 0; i < 10000; i++) {
        number_put(tree, i, i % 10);
    }
    struct seen seen = {.counts = calloc(10000, 1)};
    uint64_t cursor = 0;
    do {
        cursor = ztree_scan(tree, cursor, seen_note, &seen);
    } while (cursor != 0);
    for (uint32_t i = 0; i < 10000; i++) {
        cr_assert_eq(seen.counts[i], 1);
    }
    cr_assert_eq(ztree_scan(tree, UINT64_MAX, seen_note, &seen), 0);
    free(seen.counts);
    ztree_delete(tree);
}

/* ---- sizes and steps ---- */

Test(ztree, bytes_for_a_member)
{
    struct random random;
    random_create(&random, 3);
    struct ztree *tree = ztree_new(3);
    for (uint32_t i = 0; i < 150000; i++) {
        char member[18];
        snprintf(member, sizeof(member), "member:%010u", i);
        ztree_put(tree, slice_of(member, 17), (double)random_below(&random, UINT32_MAX));
    }
    cr_assert_leq(object_size(tree), 50 * 150000);
    cr_assert(ztree_is_valid(tree));
    ztree_delete(tree);
}

Test(ztree, ascending_and_descending_fill_their_leaves)
{
    for (int direction = -1; direction <= 1; direction += 2) {
        struct ztree *tree = ztree_new(3);
        for (int i = 0; i < 50000; i++) {
            number_put(tree, (uint64_t)i, direction * i);
        }
        cr_assert(ztree_is_valid(tree));
        cr_assert_leq(object_size(tree), 34 * 50000);
        ztree_remove_ranks(tree, 10, 49990);
        cr_assert(ztree_is_valid(tree));
        cr_assert_eq(ztree_count(tree), 20);
        ztree_delete(tree);
    }
}

Test(ztree, shrinks_wherever_its_elements_were)
{
    enum { COUNT = 60000, STRIDE = 1500 };
    for (int is_by_rank = 0; is_by_rank < 2; is_by_rank++) {
        struct ztree *tree = ztree_new(3);
        uint64_t empty_size = object_size(tree);
        struct random random;
        random_create(&random, 5);
        uint32_t order[COUNT];
        for (uint32_t i = 0; i < COUNT; i++) {
            uint32_t other = (uint32_t)random_below(&random, i + 1);
            order[i] = order[other];
            order[other] = i;
        }
        for (uint32_t i = 0; i < COUNT; i++) {
            number_put(tree, order[i], order[i]);
        }
        uint64_t full_size = object_size(tree);
        /* What stays is spread over nodes of any age. */
        for (uint32_t i = 0; i < COUNT; i++) {
            if (is_by_rank != 0) {
                uint64_t rank = ztree_count(tree) - 1 - i / STRIDE;
                if (i % STRIDE == 0) {
                    ztree_remove_ranks(tree, rank - (STRIDE - 1), rank);
                }
            } else if (order[i] % STRIDE != 0) {
                number_remove(tree, order[i]);
            }
            if (i % 5000 == 0) {
                cr_assert(ztree_is_valid(tree));
            }
        }
        cr_assert(ztree_is_valid(tree));
        cr_assert_eq(ztree_count(tree), COUNT / STRIDE);
        cr_assert_lt(object_size(tree), empty_size + 4096);
        for (uint32_t i = 0; i < COUNT; i++) {
            number_put(tree, order[i], order[i]);
        }
        cr_assert(ztree_is_valid(tree));
        cr_assert_leq(object_size(tree), full_size + full_size / 50);
        ztree_delete(tree);
    }
}

Test(ztree, freed_in_steps)
{
    struct ztree *tree = ztree_new(3);
    for (uint32_t i = 0; i < 20000; i++) {
        number_put(tree, i, i % 100);
    }
    uint64_t size = object_size(tree);
    uint32_t step_count = 1;
    while (!ztree_free_steps(tree, 10)) {
        step_count++;
        if (step_count % 50 == 0) {
            cr_assert_lt(object_size(tree), size);
            size = object_size(tree);
        }
    }
    cr_assert_gt(step_count, 100);
}
