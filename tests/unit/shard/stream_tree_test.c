/*
 * stream_tree_test.c: the trees in streams against a sorted array that does everything the slow
 * way, with values of several sizes and without.
 */
#include "core/heap.h"
#include "core/random.h"
#include "shard/value/stream_tree.h"

#include <criterion/criterion.h>
#include <stdio.h>

static struct stream_id
id_of(uint64_t ms, uint64_t sequence)
{
    return (struct stream_id){ms, sequence};
}

static bool
id_equal(struct stream_id a, struct stream_id b)
{
    return stream_id_compare(a, b) == 0;
}

#define TREE_COUNT_MAX 20000

struct tree_item {
    struct stream_id id;
    uint64_t value;
};

struct tree_race {
    struct random random;
    struct object *object;
    struct stream_tree tree;
    struct tree_item *items;
    uint32_t count;
    uint32_t height_max;
};

/** The first item at or behind `id`. */
static uint32_t
model_seek(const struct tree_race *race, struct stream_id id)
{
    uint32_t index = 0;
    uint32_t end = race->count;
    while (index < end) {
        uint32_t middle = (index + end) / 2;
        if (stream_id_compare(race->items[middle].id, id) < 0) {
            index = middle + 1;
        } else {
            end = middle;
        }
    }
    return index;
}

static void
tree_says(const struct tree_race *race, struct stream_place place, uint32_t index)
{
    cr_assert_eq(place.leaf != NULL, index < race->count);
    if (place.leaf == NULL) {
        return;
    }
    cr_assert(id_equal(stream_place_id(place), race->items[index].id));
    if (race->tree.value_size > 0) {
        uint64_t value;
        memcpy(&value, stream_place_value(place), sizeof(value));
        cr_assert_eq(value, race->items[index].value);
    }
}

static void
tree_look(const struct tree_race *race, struct stream_id id)
{
    uint32_t index = model_seek(race, id);
    bool is_there = index < race->count && id_equal(race->items[index].id, id);
    tree_says(race, stream_tree_seek(&race->tree, id), index);
    tree_says(race, stream_tree_find(&race->tree, id), is_there ? index : UINT32_MAX);
    /* In front of the first one there is none: UINT32_MAX. */
    tree_says(race, stream_tree_seek_back(&race->tree, id), is_there ? index : index - 1);
}

static void
tree_add(struct tree_race *race, struct stream_id id)
{
    uint32_t index = model_seek(race, id);
    bool is_there = index < race->count && id_equal(race->items[index].id, id);
    bool is_new;
    struct stream_place place = stream_tree_insert(race->object, &race->tree, id, &is_new);
    cr_assert_eq(is_new, !is_there);
    if (!is_there) {
        memmove(race->items + index + 1, race->items + index,
                (race->count - index) * sizeof(*race->items));
        race->items[index] = (struct tree_item){.id = id, .value = random_next(&race->random)};
        race->count++;
        if (race->tree.value_size > 0) {
            memcpy(stream_place_value(place), &race->items[index].value, sizeof(uint64_t));
        }
    }
    tree_says(race, place, index);
}

static void
tree_drop(struct tree_race *race, struct stream_id id)
{
    uint32_t index = model_seek(race, id);
    bool is_there = index < race->count && id_equal(race->items[index].id, id);
    cr_assert_eq(stream_tree_remove(race->object, &race->tree, id), is_there);
    if (is_there) {
        race->count--;
        memmove(race->items + index, race->items + index + 1,
                (race->count - index) * sizeof(*race->items));
    }
}

static void
tree_check(const struct tree_race *race, uint64_t empty_size)
{
    cr_assert(stream_tree_check(&race->tree));
    cr_assert_eq(race->tree.count, race->count);
    cr_assert_eq(race->object->size, empty_size + race->tree.size);
    struct stream_place at = stream_tree_first(&race->tree);
    struct stream_place back = stream_tree_last(&race->tree);
    for (uint32_t i = 0; i < race->count; i++) {
        tree_says(race, at, i);
        tree_says(race, back, race->count - 1 - i);
        at = stream_place_next(at);
        back = stream_place_previous(back);
    }
    cr_assert_null(at.leaf);
    cr_assert_null(back.leaf);
}

/** Ids lie in 1000 milliseconds, so that they meet again and often share them. */
static void
tree_step(struct tree_race *race, uint32_t add_percent, bool is_queue)
{
    struct stream_id id =
        id_of(random_below(&race->random, 1000), random_below(&race->random, 1000) << 40);
    bool is_add = random_below(&race->random, 100) < add_percent && race->count < TREE_COUNT_MAX;
    if (is_queue && race->count > 0) {
        id = is_add ? race->items[race->count - 1].id : race->items[0].id;
        id.ms += is_add;
    } else if (!is_add && race->count > 0 && random_below(&race->random, 8) > 0) {
        id = race->items[random_below(&race->random, race->count)].id;
    }
    if (is_add) {
        tree_add(race, id);
    } else {
        tree_drop(race, id);
    }
    race->height_max = MAX(race->height_max, race->tree.height);
    tree_look(race, id_of(random_below(&race->random, 1002), random_next(&race->random) >> 14));
}

static void
tree_race_run(uint32_t value_size)
{
    static const struct {
        uint32_t step_count;
        uint32_t add_percent;
        bool is_queue;
    } phases[] = {{200, 60, false},  {12000, 95, false}, {9000, 10, false}, {8000, 90, true},
                  {12000, 20, true}, {9000, 90, false},  {6000, 50, false}, {20000, 0, false}};
    struct tree_race race = {.items = heap_alloc((TREE_COUNT_MAX + 1) * sizeof(*race.items))};
    uint64_t seed = random_system_seed();
    fprintf(stderr, "stream tree race: seed %llu\n", (unsigned long long)seed);
    random_create(&race.random, seed);
    race.object = object_new(sizeof(struct object));
    uint64_t empty_size = race.object->size;
    stream_tree_create(&race.tree, value_size);
    for (uint32_t i = 0; i < ARRAY_COUNT(phases); i++) {
        for (uint32_t step = 0; step < phases[i].step_count; step++) {
            tree_step(&race, phases[i].add_percent, phases[i].is_queue);
            if (step % 512 == 0) {
                tree_check(&race, empty_size);
            }
        }
        tree_check(&race, empty_size);
    }
    cr_assert_geq(race.height_max, 2U);
    for (uint32_t i = 0; i < 10000; i++) {
        tree_add(&race, id_of(random_below(&race.random, 1000), i));
    }
    uint64_t count = race.tree.count;
    while (!stream_tree_free_steps(race.object, &race.tree, 3)) {
        cr_assert(stream_tree_check(&race.tree));
        cr_assert_lt(race.tree.count, count);
        count = race.tree.count;
    }
    race.count = 0;
    tree_check(&race, empty_size);
    heap_free(race.object);
    heap_free(race.items);
}

Test(stream_tree, trees_race_a_sorted_array)
{
    tree_race_run(0);
    tree_race_run(8);
    tree_race_run(24);
}
