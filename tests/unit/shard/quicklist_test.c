/*
 * quicklist_test.c: lists in both forms against a plain array of texts, with and without
 * compression.
 */
#include "core/heap.h"
#include "core/number.h"
#include "core/random.h"
#include "shard/value/list_value.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define TEXT_SIZE_MAX 12000

/* ---- the model ---- */

struct model {
    struct slice *texts;
    uint64_t count;
    uint64_t capacity;
};

static struct slice
text_copy(struct slice text)
{
    char *bytes = malloc(text.size + 1);
    cr_assert_not_null(bytes);
    memcpy(bytes, text.data, text.size);
    return slice_of(bytes, text.size);
}

static void
model_insert(struct model *model, uint64_t index, struct slice text)
{
    if (model->count == model->capacity) {
        model->capacity = model->capacity * 2 + 16;
        model->texts = realloc(model->texts, model->capacity * sizeof(*model->texts));
        cr_assert_not_null(model->texts);
    }
    memmove(model->texts + index + 1, model->texts + index,
            (model->count - index) * sizeof(*model->texts));
    model->texts[index] = text_copy(text);
    model->count++;
}

static void
model_remove(struct model *model, uint64_t index, uint64_t count)
{
    for (uint64_t i = index; i < index + count; i++) {
        free((void *)(uintptr_t)model->texts[i].data);
    }
    memmove(model->texts + index, model->texts + index + count,
            (model->count - index - count) * sizeof(*model->texts));
    model->count -= count;
}

static uint64_t
model_remove_equal(struct model *model, struct slice text, uint64_t count_max, bool is_backward)
{
    uint64_t removed = 0;
    uint64_t i = is_backward ? model->count : 0;
    while (removed < count_max && (is_backward ? i > 0 : i < model->count)) {
        uint64_t at = is_backward ? --i : i;
        if (slice_equal(model->texts[at], text)) {
            model_remove(model, at, 1);
            removed++;
        } else if (!is_backward) {
            i++;
        }
    }
    return removed;
}

/* ---- the race ---- */

struct race {
    struct list_value list;
    struct model model;
    struct quicklist_limits limits;
    struct random random;
    bool is_depth_changing;
    char text[TEXT_SIZE_MAX];
};

/** From few texts, so that some are equal; now and then a long one. */
static struct slice
race_text(struct race *race)
{
    uint64_t draw = random_below(&race->random, 100);
    if (draw < 40) {
        int64_t value = (int64_t)random_below(&race->random, 12) - 2;
        return slice_of(race->text, number_format_i64(race->text, value * value * value));
    }
    size_t size = random_below(&race->random, 20);
    if (draw > 97) {
        size = 3500 + random_below(&race->random, TEXT_SIZE_MAX - 3500);
    } else if (draw > 90) {
        size = random_below(&race->random, 900);
    }
    memset(race->text, (int)('a' + random_below(&race->random, 3)), size);
    return slice_of(race->text, size);
}

static bool
item_is(const struct listpack_item *item, struct slice text)
{
    struct list_value_needle needle = list_value_needle(text);
    return list_value_is(&needle, item);
}

/** Deep nodes are packed or not worth it, the others are plain. */
static void
depth_check(const struct quicklist *quicklist, uint32_t depth)
{
    uint32_t index = 0;
    for (const struct quicklist_node *node = quicklist->first; node != NULL; node = node->next) {
        bool is_deep =
            depth > 0 && index >= depth && (uint64_t)index + depth < quicklist->node_count;
        cr_assert_eq(node->form == QUICKLIST_NODE_PLAIN ||
                         (!is_deep && node->form == QUICKLIST_NODE_INCOMPRESSIBLE),
                     !is_deep, "node %u of %u: form %d", index, quicklist->node_count, node->form);
        index++;
    }
}

static void
race_check(struct race *race)
{
    uint64_t count = race->model.count;
    cr_assert_eq(list_value_count(&race->list), count, "%llu, not %llu elements",
                 (unsigned long long)list_value_count(&race->list), (unsigned long long)count);
    if (race->list.encoding == ENCODING_QUICKLIST) {
        cr_assert(quicklist_check(race->list.object));
        const struct quicklist *quicklist = race->list.object;
        if (!race->is_depth_changing) {
            depth_check(quicklist, race->limits.compress_depth);
        }
        for (const struct quicklist_node *node = quicklist->first; node != NULL;
             node = node->next) {
            cr_assert_leq(node->count, race->limits.count_max);
            /* What was one listpack is judged by its texts, as redis-server does: so much more. */
            cr_assert(node->count == 1 || quicklist_node_size(node) <= race->limits.size_max + 11);
        }
    }
    for (int is_backward = 0; is_backward < 2; is_backward++) {
        struct list_value_walk walk =
            list_value_walk(&race->list, is_backward ? count - 1 : 0, is_backward);
        struct listpack_item item;
        uint64_t passed = 0;
        while (list_value_next(&walk, &item)) {
            cr_assert_lt(passed, count);
            uint64_t index = is_backward ? count - 1 - passed : passed;
            cr_assert(item_is(&item, race->model.texts[index]), "element %llu",
                      (unsigned long long)index);
            passed++;
        }
        cr_assert_eq(passed, count);
    }
    if (count > 0) {
        uint64_t index = random_below(&race->random, count);
        struct list_value_walk walk = list_value_walk(&race->list, index, false);
        struct listpack_item item;
        cr_assert(list_value_next(&walk, &item));
        cr_assert(item_is(&item, race->model.texts[index]));
        list_value_walk_end(&walk);
    }
}

static void
race_add(struct race *race, uint64_t draw)
{
    struct slice text = race_text(race);
    uint64_t count = race->model.count;
    list_value_grow(&race->list, &race->limits, &text, 1);
    if (draw == 0) {
        list_value_push_first(&race->list, &race->limits, text);
        model_insert(&race->model, 0, text);
    } else if (draw == 1) {
        list_value_push_last(&race->list, &race->limits, text);
        model_insert(&race->model, count, text);
    } else if (draw == 2) {
        uint64_t index = random_below(&race->random, count + 1);
        list_value_insert(&race->list, &race->limits, index, text);
        model_insert(&race->model, index, text);
    } else if (count > 0) {
        uint64_t index = random_below(&race->random, count);
        list_value_replace(&race->list, &race->limits, index, text);
        model_remove(&race->model, index, 1);
        model_insert(&race->model, index, text);
    }
}

static void
race_take(struct race *race, uint64_t draw)
{
    uint64_t length = race->model.count;
    if (draw == 0) {
        struct slice text = race_text(race);
        bool is_backward = random_below(&race->random, 2) == 0;
        uint64_t most = random_below(&race->random, 40) == 0 ? UINT64_MAX : 2;
        uint64_t removed =
            list_value_remove_equal(&race->list, &race->limits, text, most, is_backward);
        cr_assert_eq(removed, model_remove_equal(&race->model, text, most, is_backward));
    } else if (length > 0) {
        uint64_t index = draw == 1 ? 0 : random_below(&race->random, length);
        uint64_t most = random_below(&race->random, 200) == 0 ? length - index : 6;
        uint64_t drawn = 1 + random_below(&race->random, most);
        uint64_t count = MIN(length - index, drawn);
        if (race->list.encoding == ENCODING_QUICKLIST && random_below(&race->random, 8) == 0) {
            struct quicklist *taken =
                quicklist_take(race->list.object, &race->limits, index, count);
            if (!race->is_depth_changing) {
                depth_check(taken, race->limits.compress_depth);
            }
            cr_assert(quicklist_check(taken));
            cr_assert_eq(taken->count, count);
            struct list_value part = {.encoding = ENCODING_QUICKLIST, .object = taken};
            struct list_value_walk walk = list_value_walk(&part, 0, false);
            struct listpack_item item;
            for (uint64_t i = 0; list_value_next(&walk, &item); i++) {
                cr_assert(item_is(&item, race->model.texts[index + i]));
            }
            object_delete(VALUE_LIST, ENCODING_QUICKLIST, taken);
        } else {
            list_value_remove(&race->list, &race->limits, index, count);
        }
        model_remove(&race->model, index, count);
    }
    list_value_shrink(&race->list, &race->limits);
}

/** A depth of DEPTH_CHANGING is another one every hundred steps. */
#define DEPTH_CHANGING UINT32_MAX

/** Returns whether a node was compressed at any time. */
static bool
race_run(int64_t max_listpack_size, uint32_t depth, uint64_t seed, uint32_t step_count)
{
    struct race *race = calloc(1, sizeof(*race));
    cr_assert_not_null(race);
    fprintf(stderr, "quicklist: limit %lld, depth %u, seed %llu\n", (long long)max_listpack_size,
            depth, (unsigned long long)seed);
    race->limits = quicklist_limits_of(max_listpack_size);
    race->is_depth_changing = depth == DEPTH_CHANGING;
    race->limits.compress_depth = race->is_depth_changing ? 0 : depth;
    race->list = list_value_new();
    random_create(&race->random, seed);
    bool was_quicklist = false;
    bool was_compressed = false;
    for (uint32_t i = 0; i < step_count; i++) {
        /* It grows for 2500 steps, then shrinks for as many. */
        bool is_growing = i / 2500 % 2 == 0;
        if (race->is_depth_changing && i % 100 == 0) {
            race->limits.compress_depth = (uint32_t)random_below(&race->random, 5);
        }
        uint64_t draw = random_below(&race->random, 10);
        if (is_growing ? draw < 9 : draw < 3) {
            race_add(race, random_below(&race->random, 4));
        } else {
            race_take(race, random_below(&race->random, 3));
        }
        was_quicklist |= race->list.encoding == ENCODING_QUICKLIST;
        was_compressed |= race->list.encoding == ENCODING_QUICKLIST &&
                          ((const struct quicklist *)race->list.object)->compressed_count > 0;
        if (i % 5 == 0) {
            race_check(race);
        }
    }
    /* 64 KB may be more than some seeds ever bring together. */
    cr_assert(was_quicklist || max_listpack_size == -5);
    list_value_remove(&race->list, &race->limits, 0, race->model.count);
    model_remove(&race->model, 0, race->model.count);
    race_check(race);
    object_delete(VALUE_LIST, race->list.encoding, race->list.object);
    free(race->model.texts);
    free(race);
    return was_compressed;
}

static const int64_t race_limits[] = {-2, -1, -5, 0, 1, 2, 5, 30, 200};

Test(quicklist, races_a_model)
{
    uint64_t seed = (uint64_t)time(NULL);
    for (size_t i = 0; i < ARRAY_COUNT(race_limits); i++) {
        cr_assert_not(race_run(race_limits[i], 0, seed + i, 7500));
    }
}

Test(quicklist, compressed_races_a_model)
{
    static const uint32_t depths[] = {1, 2, 5, DEPTH_CHANGING};
    uint64_t seed = (uint64_t)time(NULL);
    uint32_t compressed_count = 0;
    for (size_t i = 0; i < ARRAY_COUNT(race_limits); i++) {
        for (size_t k = 0; k < 2; k++) {
            uint32_t depth = depths[(i + k) % ARRAY_COUNT(depths)];
            compressed_count += race_run(race_limits[i], depth, seed + i, 5000);
        }
    }
    /* A few large nodes are all of them ends. */
    cr_assert_geq(compressed_count, ARRAY_COUNT(race_limits));
}

/* ---- limits and sizes ---- */

Test(quicklist, limits)
{
    struct quicklist_limits limits = quicklist_limits_of(-2);
    cr_expect_eq(limits.size_max, 8192);
    cr_expect_eq(quicklist_limits_of(-1).size_max, 4096);
    cr_expect_eq(quicklist_limits_of(-5).size_max, 65536);
    cr_expect_eq(quicklist_limits_of(INT32_MIN).size_max, 65536);
    cr_expect_eq(quicklist_limits_of(0).count_max, 1);
    cr_expect_eq(quicklist_limits_of(7).count_max, 7);
    cr_expect_eq(quicklist_limits_of(INT32_MAX).count_max, 32767);
}

static struct quicklist *
filled_to_depth(uint64_t count, size_t text_size, bool is_at_front, uint32_t depth)
{
    struct quicklist_limits limits = quicklist_limits_of(-2);
    limits.compress_depth = depth;
    struct quicklist *quicklist = quicklist_new(listpack_new(0));
    char text[64];
    for (uint64_t i = 0; i < count; i++) {
        snprintf(text, sizeof(text), "%0*llux", (int)text_size - 1, (unsigned long long)i);
        if (is_at_front) {
            quicklist_push_first(quicklist, &limits, slice_of(text, text_size));
        } else {
            quicklist_push_last(quicklist, &limits, slice_of(text, text_size));
        }
    }
    cr_assert(quicklist_check(quicklist));
    return quicklist;
}

static struct quicklist *
filled(uint64_t count, size_t text_size, bool is_at_front)
{
    return filled_to_depth(count, text_size, is_at_front, 0);
}

Test(quicklist, a_million_short_elements_stay_small)
{
    for (int is_at_front = 0; is_at_front < 2; is_at_front++) {
        struct quicklist *quicklist = filled(1000000, 18, is_at_front);
        double each = (double)object_size(quicklist) / 1000000;
        fprintf(stderr, "quicklist: %.2f bytes for each element of 18\n", each);
        cr_expect_leq(each, 20.5);
        object_delete(VALUE_LIST, ENCODING_QUICKLIST, quicklist);
    }
}

static void
copy_and_free_in_steps(uint32_t depth)
{
    struct quicklist *quicklist = filled_to_depth(20000, 20, false, depth);
    struct quicklist *copy = object_copy(VALUE_LIST, ENCODING_QUICKLIST, quicklist);
    cr_assert(quicklist_check(copy));
    cr_expect_eq(object_size(copy), object_size(quicklist));
    cr_expect_eq(object_count(VALUE_LIST, ENCODING_QUICKLIST, copy), 20000);
    struct object *rest = &quicklist->object;
    uint32_t step_count = 1;
    while (!object_free_steps(&rest, VALUE_LIST, ENCODING_QUICKLIST, 5)) {
        step_count++;
    }
    cr_expect_null(rest);
    cr_expect_gt(step_count, 8);
    cr_assert(quicklist_check(copy));
    object_delete(VALUE_LIST, ENCODING_QUICKLIST, copy);
}

Test(quicklist, copies_and_is_freed_in_steps)
{
    copy_and_free_in_steps(0);
    copy_and_free_in_steps(1);
}

/* ---- compression ---- */

Test(quicklist, compresses_all_but_the_ends)
{
    struct quicklist *plain = filled(20000, 20, false);
    for (uint32_t depth = 1; depth < 4; depth++) {
        struct quicklist *quicklist = filled_to_depth(20000, 20, depth == 2, depth);
        depth_check(quicklist, depth);
        cr_expect_eq(quicklist->compressed_count, quicklist->node_count - 2 * depth);
        cr_expect_lt(object_size(quicklist), object_size(plain) / 2);
        object_delete(VALUE_LIST, ENCODING_QUICKLIST, quicklist);
    }
    object_delete(VALUE_LIST, ENCODING_QUICKLIST, plain);
}

Test(quicklist, compresses_what_is_large_enough_and_gains)
{
    struct quicklist_limits limits = quicklist_limits_of(1);
    limits.compress_depth = 1;
    struct quicklist *quicklist = quicklist_new(listpack_new(0));
    struct random random;
    random_create(&random, 1);
    char noise[200];
    for (size_t i = 0; i < sizeof(noise); i++) {
        noise[i] = (char)random_below(&random, 256);
    }
    /* 7 bytes around, 2 for the length in front and behind. */
    char same[64];
    memset(same, 's', sizeof(same));
    const struct slice texts[] = {SLICE("end"),       slice_of(noise, sizeof(noise)),
                                  slice_of(same, 38), slice_of(same, 39),
                                  slice_of(same, 60), SLICE("end")};
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        quicklist_push_last(quicklist, &limits, texts[i]);
    }
    static const enum quicklist_node_form forms[] = {
        QUICKLIST_NODE_PLAIN,      QUICKLIST_NODE_INCOMPRESSIBLE, QUICKLIST_NODE_INCOMPRESSIBLE,
        QUICKLIST_NODE_COMPRESSED, QUICKLIST_NODE_COMPRESSED,     QUICKLIST_NODE_PLAIN};
    const struct quicklist_node *node = quicklist->first;
    for (size_t i = 0; i < ARRAY_COUNT(forms); i++, node = node->next) {
        cr_expect_eq(node->form, forms[i], "node %zu of %zu bytes: %d", i,
                     quicklist_node_size(node), node->form);
        cr_expect_eq(quicklist_node_compressed(node) != NULL,
                     forms[i] == QUICKLIST_NODE_COMPRESSED);
    }
    cr_expect(quicklist_check(quicklist));
    object_delete(VALUE_LIST, ENCODING_QUICKLIST, quicklist);
}

Test(quicklist, readers_change_nothing)
{
    struct quicklist *quicklist = filled_to_depth(20000, 20, false, 1);
    struct quicklist_node *middle = quicklist->first->next->next;
    struct quicklist_node before = *middle;
    size_t size = object_size(quicklist);
    struct list_value list = {.encoding = ENCODING_QUICKLIST, .object = quicklist};
    struct list_value_walk walks[2] = {list_value_walk(&list, 1000, false),
                                       list_value_walk(&list, 1000, true)};
    struct listpack_item item;
    char text[24];
    for (uint64_t i = 1000; list_value_next(&walks[0], &item); i++) {
        snprintf(text, sizeof(text), "%019llux", (unsigned long long)i);
        cr_assert(item_is(&item, slice_of(text, 20)));
        if (i <= 2000) {
            cr_assert(list_value_next(&walks[1], &item));
            snprintf(text, sizeof(text), "%019llux", (unsigned long long)(2000 - i));
            cr_assert(item_is(&item, slice_of(text, 20)));
        }
    }
    list_value_walk_end(&walks[0]);
    list_value_walk_end(&walks[0]);
    list_value_walk_end(&walks[1]);
    cr_expect_eq(memcmp(middle, &before, sizeof(before)), 0);
    cr_expect_eq(object_size(quicklist), size);
    object_delete(VALUE_LIST, ENCODING_QUICKLIST, quicklist);
}

Test(quicklist, is_put_together_node_by_node)
{
    struct quicklist_limits limits = quicklist_limits_of(-2);
    limits.compress_depth = 1;
    struct quicklist *from = filled_to_depth(20000, 20, false, 1);
    struct quicklist *quicklist = quicklist_new(listpack_new(0));
    struct quicklist_scratch scratch = {0};
    for (const struct quicklist_node *node = from->first; node != NULL; node = node->next) {
        const struct listpack *listpack = quicklist_node_listpack(node, &scratch);
        cr_assert_eq(listpack_size(listpack), quicklist_node_size(node));
        quicklist_append(quicklist, &limits, listpack_from_bytes(listpack_bytes(listpack)));
    }
    quicklist_scratch_release(&scratch);
    cr_assert(quicklist_check(quicklist));
    depth_check(quicklist, 1);
    cr_expect_eq(quicklist->count, from->count);
    cr_expect_eq(quicklist->compressed_count, from->compressed_count);
    object_delete(VALUE_LIST, ENCODING_QUICKLIST, quicklist);
    object_delete(VALUE_LIST, ENCODING_QUICKLIST, from);
}

/* ---- nodes ---- */

Test(quicklist, large_elements_have_nodes_of_their_own)
{
    struct quicklist_limits limits = quicklist_limits_of(-2);
    struct quicklist *quicklist = filled(1000, 20, false);
    size_t size = 100000;
    char *large = malloc(size);
    cr_assert_not_null(large);
    memset(large, 'l', size);
    struct slice text = slice_of(large, size);
    quicklist_insert(quicklist, &limits, quicklist_seek(quicklist, 500), text);
    quicklist_replace(quicklist, &limits, quicklist_seek(quicklist, 100), text);
    quicklist_push_first(quicklist, &limits, text);
    quicklist_push_last(quicklist, &limits, text);
    cr_assert(quicklist_check(quicklist));
    static const uint64_t places[] = {0, 101, 501, 1002};
    for (size_t i = 0; i < ARRAY_COUNT(places); i++) {
        struct quicklist_place place = quicklist_seek(quicklist, places[i]);
        cr_expect_eq(place.node->count, 1);
        cr_expect_eq(listpack_text_size(place.node->listpack, place.position), size);
    }
    free(large);
    object_delete(VALUE_LIST, ENCODING_QUICKLIST, quicklist);
}

Test(quicklist, small_nodes_join)
{
    struct quicklist_limits limits = quicklist_limits_of(-2);
    struct quicklist *quicklist = filled(20000, 18, false);
    /* Leave every hundredth only. */
    for (uint64_t i = 0; i < 200; i++) {
        quicklist_remove(quicklist, &limits, i + 1, 99);
    }
    cr_assert(quicklist_check(quicklist));
    cr_expect_eq(quicklist->count, 200);
    uint32_t node_count = 0;
    for (struct quicklist_node *node = quicklist->first; node != NULL; node = node->next) {
        node_count++;
    }
    cr_expect_leq(node_count, 4);
    object_delete(VALUE_LIST, ENCODING_QUICKLIST, quicklist);
}

Test(quicklist, converts_both_ways)
{
    struct quicklist_limits limits = quicklist_limits_of(10);
    struct list_value list = list_value_new();
    struct slice text = SLICE("t");
    for (uint32_t i = 0; i < 10; i++) {
        list_value_grow(&list, &limits, &text, 1);
        list_value_push_last(&list, &limits, text);
    }
    cr_expect_eq(list.encoding, ENCODING_LISTPACK);
    list_value_grow(&list, &limits, &text, 1);
    list_value_push_last(&list, &limits, text);
    cr_expect_eq(list.encoding, ENCODING_QUICKLIST);
    list_value_remove(&list, &limits, 0, 5);
    list_value_shrink(&list, &limits);
    cr_expect_eq(list.encoding, ENCODING_QUICKLIST);
    list_value_remove(&list, &limits, 5, 1);
    list_value_shrink(&list, &limits);
    cr_expect_eq(list.encoding, ENCODING_LISTPACK);
    cr_expect_eq(list_value_count(&list), 5);
    object_delete(VALUE_LIST, list.encoding, list.object);
}
