/*
 * stream_test.c: streams, with their groups and what is pending there, against sorted arrays that
 * do everything the slow way; and nodes of foreign bytes.
 */
#include "core/heap.h"
#include "core/random.h"
#include "shard/value/stream.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

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

/** Of items of `size` bytes that begin with their ids, the first one at or behind `id`. */
static uint32_t
model_seek(const void *items, uint32_t count, size_t size, struct stream_id id)
{
    uint32_t index = 0;
    uint32_t end = count;
    while (index < end) {
        uint32_t middle = (index + end) / 2;
        struct stream_id at;
        memcpy(&at, (const char *)items + middle * size, sizeof(at));
        if (stream_id_compare(at, id) < 0) {
            index = middle + 1;
        } else {
            end = middle;
        }
    }
    return index;
}

/* ---- streams ---- */

#define ENTRIES_MAX 40000
#define PAIRS_MAX 6
#define TEXT_SIZE_MAX 6000
#define GROUPS 3
#define CONSUMERS 4
#define PENDING_MAX 3000

struct model_entry {
    struct stream_id id;
    uint32_t seed; /* what its texts are made from */
};

struct model_pending {
    struct stream_id id;
    uint32_t consumer;
    uint32_t stamp;
};

struct model_group {
    bool is_there;
    bool has_consumer[CONSUMERS];
    struct stream_id last_id;
    struct model_pending pending[PENDING_MAX];
    uint32_t pending_count;
};

struct race {
    struct random random;
    struct stream *stream;
    struct stream_limits limits;
    struct model_entry entries[ENTRIES_MAX];
    uint32_t count;
    uint64_t added_count;
    struct stream_id last_id;
    struct stream_id deleted_id_max;
    struct model_group groups[GROUPS];
    uint32_t node_count_max;
    bool is_growing;
    char bytes[2 * PAIRS_MAX][TEXT_SIZE_MAX];
};

static struct slice
name_of(uint32_t index)
{
    static const char *const names[CONSUMERS] = {"", "bob", "ann", "a name that is longer"};
    return slice_of_string(names[index]);
}

/** The texts of an entry; most have the same fields, and some hold numbers. */
static uint32_t
texts_make(struct race *race, uint32_t seed, struct slice *texts)
{
    uint32_t pair_count = seed % 7 == 0 ? 1 + seed % PAIRS_MAX : 2;
    for (uint32_t i = 0; i < 2 * pair_count; i++) {
        char *out = race->bytes[i];
        uint32_t kind = i % 2 == 0 ? seed % 7 : (seed + i) % 9;
        int size = 0;
        if (i % 2 == 0) {
            size = snprintf(out, TEXT_SIZE_MAX, kind == 0 ? "own-%u-%u" : "%u", i, seed);
        } else if (kind < 6) {
            static const char *const forms[] = {"", "%u", "-%u000000", "v%u", "%070u", "0%u"};
            size = snprintf(out, TEXT_SIZE_MAX, forms[kind], seed);
        } else {
            size = snprintf(out, TEXT_SIZE_MAX, seed % 101 == 0 ? "%05000u" : "text:%08u", seed);
        }
        texts[i] = slice_of(out, (size_t)size);
    }
    return pair_count;
}

static bool
item_is(const struct listpack_item *item, struct slice text)
{
    char digits[LISTPACK_DIGITS_SIZE];
    if (!item->is_integer) {
        return slice_equal(item->bytes, text);
    }
    int size = snprintf(digits, sizeof(digits), "%lld", (long long)item->integer);
    return slice_equal(slice_of(digits, (size_t)size), text);
}

static void
entry_says(struct race *race, struct stream_walk *walk, const struct model_entry *entry,
           struct stream_id id, uint32_t pair_count)
{
    struct slice texts[2 * PAIRS_MAX];
    cr_assert(id_equal(id, entry->id));
    cr_assert_eq(pair_count, texts_make(race, entry->seed, texts));
    /* Who looks at a part of the texts goes on to the next entry all the same. */
    uint32_t looked_count = (uint32_t)random_below(&race->random, pair_count + 1);
    for (uint32_t i = 0; i < looked_count; i++) {
        struct listpack_item field;
        struct listpack_item value;
        stream_walk_pair(walk, &field, &value);
        cr_assert(item_is(&field, texts[2 * i]) && item_is(&value, texts[2 * i + 1]));
    }
}

static void
range_check(struct race *race, const struct stream *stream, struct stream_id low,
            struct stream_id high)
{
    uint32_t first = model_seek(race->entries, race->count, sizeof(*race->entries), low);
    uint32_t end = first;
    while (end < race->count && stream_id_compare(race->entries[end].id, high) <= 0) {
        end++;
    }
    struct stream_walk walk;
    struct stream_id id;
    uint32_t pair_count;
    stream_walk_start(&walk, stream, low, high, false);
    for (uint32_t i = first; i < end; i++) {
        cr_assert(stream_walk_next(&walk, &id, &pair_count));
        entry_says(race, &walk, &race->entries[i], id, pair_count);
    }
    cr_assert(!stream_walk_next(&walk, &id, &pair_count));
    stream_walk_start(&walk, stream, high, low, true);
    for (uint32_t i = end; i > first; i--) {
        cr_assert(stream_walk_next(&walk, &id, &pair_count));
        entry_says(race, &walk, &race->entries[i - 1], id, pair_count);
    }
    cr_assert(!stream_walk_next(&walk, &id, &pair_count));
}

static void
group_says(const struct model_group *model, const struct stream_group *group)
{
    uint32_t counts[CONSUMERS] = {0};
    cr_assert(id_equal(group->last_id, model->last_id));
    cr_assert_eq(group->pending.count, model->pending_count);
    struct stream_place at = stream_tree_first(&group->pending);
    for (uint32_t i = 0; i < model->pending_count; i++) {
        const struct model_pending *expected = &model->pending[i];
        const struct stream_pending *pending = stream_pending_at(at);
        cr_assert(id_equal(stream_place_id(at), expected->id));
        cr_assert(
            slice_equal(stream_consumer_name(pending->consumer), name_of(expected->consumer)));
        cr_assert_eq(pending->delivery_count, expected->stamp);
        cr_assert_eq(pending->delivery_ms, (int64_t)expected->stamp + 1);
        counts[expected->consumer]++;
        at = stream_place_next(at);
    }
    for (uint32_t i = 0; i < CONSUMERS; i++) {
        const struct stream_consumer *consumer = stream_consumer_find(group, name_of(i));
        cr_assert_eq(consumer != NULL, model->has_consumer[i]);
        cr_assert(consumer == NULL || consumer->pending.count == counts[i]);
    }
}

/** The whole stream is what the model is. */
static void
stream_says(struct race *race, const struct stream *stream)
{
    cr_assert(stream_check(stream));
    cr_assert_eq(stream->count, race->count);
    cr_assert_eq(stream->added_count, race->added_count);
    cr_assert(id_equal(stream->last_id, race->last_id));
    cr_assert(id_equal(stream->deleted_id_max, race->deleted_id_max));
    struct stream_id last_id = race->count > 0 ? race->entries[race->count - 1].id : STREAM_ID_MIN;
    cr_assert(id_equal(stream_last_entry_id(stream), last_id));
    range_check(race, stream, STREAM_ID_MIN, STREAM_ID_MAX);
    for (uint32_t i = 0; i < GROUPS; i++) {
        const struct stream_group *group = stream_group_find(stream, name_of(i));
        cr_assert_eq(group != NULL, race->groups[i].is_there);
        if (group != NULL) {
            group_says(&race->groups[i], group);
        }
    }
}

/* ---- steps of entries ---- */

static void
step_add(struct race *race)
{
    if (race->count == ENTRIES_MAX) {
        return;
    }
    struct stream_id id = race->last_id;
    uint64_t kind = random_below(&race->random, 200);
    if (kind < 60) {
        id.sequence++;
    } else if (kind < 199) {
        id = id_of(id.ms + 1 + random_below(&race->random, 300), 0);
    } else {
        id = id_of(id.ms + (UINT64_C(1) << 48), random_next(&race->random));
    }
    struct slice texts[2 * PAIRS_MAX];
    uint32_t seed = (uint32_t)random_below(&race->random, 100000);
    uint32_t pair_count = texts_make(race, seed, texts);
    cr_assert(stream_texts_fit(texts, pair_count));
    stream_append(race->stream, &race->limits, id, texts, pair_count);
    race->entries[race->count++] = (struct model_entry){.id = id, .seed = seed};
    race->added_count++;
    race->last_id = id;
}

/** An id of an entry, or beside one, or anywhere. */
static struct stream_id
id_draw(struct race *race)
{
    uint64_t kind = random_below(&race->random, 10);
    if (kind == 0 || race->count == 0) {
        return id_of(random_below(&race->random, race->last_id.ms + 2), kind);
    }
    struct stream_id id = race->entries[random_below(&race->random, race->count)].id;
    id.sequence += kind == 1;
    return id;
}

static void
step_remove(struct race *race)
{
    struct stream_id id = id_draw(race);
    uint32_t index = model_seek(race->entries, race->count, sizeof(*race->entries), id);
    bool is_there = index < race->count && id_equal(race->entries[index].id, id);
    cr_assert_eq(stream_has(race->stream, id), is_there);
    cr_assert_eq(stream_remove(race->stream, id), is_there);
    cr_assert(!stream_has(race->stream, id));
    if (!is_there) {
        return;
    }
    race->count--;
    memmove(race->entries + index, race->entries + index + 1,
            (race->count - index) * sizeof(*race->entries));
    if (stream_id_compare(id, race->deleted_id_max) > 0) {
        race->deleted_id_max = id;
    }
}

static void
free_in_steps(struct random *random, void *object)
{
    struct object *rest = object;
    uint64_t size = rest->size;
    while (!object_free_steps(&rest, VALUE_STREAM, ENCODING_STREAM,
                              1 + (uint32_t)random_below(random, 20))) {
        cr_assert_leq(rest->size, size);
        size = rest->size;
    }
    cr_assert_null(rest);
}

/** Of a threshold, `expected_count` entries go where all may that are in front of it. */
static void
trim_says(const struct race *race, const struct stream_trim *trim, uint64_t removed_count,
          uint64_t expected_count)
{
    if (!trim->is_approximate) {
        cr_assert_eq(removed_count, expected_count);
        return;
    }
    cr_assert_leq(removed_count, expected_count);
    if (trim->removed_max > 0) {
        cr_assert_leq(removed_count, trim->removed_max);
        return;
    }
    /* No whole node was left that might have gone. */
    if (race->stream->count > 0) {
        struct stream_node_content content;
        struct stream_place place = stream_tree_first(&race->stream->nodes);
        cr_assert(stream_node_is_valid(listpack_bytes(stream_node_at(place)),
                                       stream_place_id(place), &content));
        /* A deleted entry at or behind the id keeps its node. */
        cr_assert_lt(expected_count - removed_count, content.count + (trim->is_by_id ? 1 : 0));
    }
}

static void
step_trim(struct race *race)
{
    struct stream_trim trim = {
        .is_by_id = random_below(&race->random, 2) == 0,
        .is_approximate = random_below(&race->random, 2) == 0,
    };
    /* Mostly little goes, sometimes nearly all, but not while many nodes are to come. */
    uint32_t share = !race->is_growing && random_below(&race->random, 12) == 0 ? 1 : 20;
    race->node_count_max = MAX(race->node_count_max, (uint32_t)race->stream->nodes.count);
    uint32_t expected_count = (uint32_t)random_below(&race->random, race->count / share + 2);
    expected_count = MIN(expected_count, race->count);
    trim.count_max = race->count - expected_count;
    trim.id = expected_count < race->count ? race->entries[expected_count].id : STREAM_ID_MAX;
    if (expected_count > 0 && random_below(&race->random, 2) == 0) {
        /* Deleted entries may lie at or behind it, and none that is there in between. */
        trim.id = race->entries[expected_count - 1].id;
        trim.id.sequence++;
    }
    if (trim.is_approximate && random_below(&race->random, 2) == 0) {
        trim.removed_max = 1 + random_below(&race->random, 300);
    }
    struct stream *rest;
    uint64_t count_before = race->stream->count;
    uint64_t removed_count = stream_trim(race->stream, &trim, &rest);
    cr_assert_eq(race->stream->count, count_before - removed_count);
    if (rest != NULL) {
        cr_assert_gt(rest->nodes.count, 0U);
        cr_assert(stream_tree_check(&rest->nodes));
        free_in_steps(&race->random, rest);
    }
    race->count -= (uint32_t)removed_count;
    memmove(race->entries, race->entries + removed_count, race->count * sizeof(*race->entries));
    trim_says(race, &trim, removed_count, expected_count);
}

static void
step_range(struct race *race)
{
    struct stream_id low = id_draw(race);
    struct stream_id high = low;
    high.ms += random_below(&race->random, random_below(&race->random, 50) == 0 ? 1000000 : 5000);
    range_check(race, race->stream, low, high);
}

static void
step_copy(struct race *race)
{
    struct stream *copy = object_copy(VALUE_STREAM, ENCODING_STREAM, race->stream);
    stream_says(race, race->stream);
    if (random_below(&race->random, 2) == 0) {
        /* The copy goes on, and the original goes. */
        struct stream *original = race->stream;
        race->stream = copy;
        copy = original;
    }
    free_in_steps(&race->random, copy);
    stream_says(race, race->stream);
}

/* ---- steps of groups ---- */

static void
step_group(struct race *race)
{
    uint32_t index = (uint32_t)random_below(&race->random, GROUPS);
    struct model_group *model = &race->groups[index];
    struct stream_id last_id = id_draw(race);
    struct stream_group *group = stream_group_find(race->stream, name_of(index));
    if (group != NULL && random_below(&race->random, 10) == 0) {
        uint64_t size = race->stream->object.size;
        struct stream *rest = stream_group_take(race->stream, group);
        cr_assert_lt(race->stream->object.size, size);
        cr_assert(stream_check(rest));
        free_in_steps(&race->random, rest);
        model->is_there = false;
        model->pending_count = 0;
        memset(model->has_consumer, 0, sizeof(model->has_consumer));
        return;
    }
    bool is_new = stream_group_create(race->stream, name_of(index), last_id, 0) != NULL;
    cr_assert_eq(is_new, group == NULL);
    if (is_new) {
        model->is_there = true;
        model->last_id = last_id;
    }
}

static void
model_consumer_remove(struct model_group *model, uint32_t consumer)
{
    uint32_t kept_count = 0;
    for (uint32_t i = 0; i < model->pending_count; i++) {
        if (model->pending[i].consumer != consumer) {
            model->pending[kept_count++] = model->pending[i];
        }
    }
    model->pending_count = kept_count;
    model->has_consumer[consumer] = false;
}

static void
step_consumer(struct race *race, struct model_group *model, struct stream_group *group)
{
    uint32_t index = (uint32_t)random_below(&race->random, CONSUMERS);
    struct stream_consumer *consumer = stream_consumer_find(group, name_of(index));
    if (consumer != NULL && random_below(&race->random, 10) == 0) {
        struct stream *rest;
        stream_consumer_remove(race->stream, group, consumer, &rest);
        if (rest != NULL) {
            free_in_steps(&race->random, rest);
        }
        model_consumer_remove(model, index);
        return;
    }
    bool is_new = stream_consumer_create(race->stream, group, name_of(index), 7) != NULL;
    cr_assert_eq(is_new, consumer == NULL);
    model->has_consumer[index] = true;
}

static void
pending_stamp(struct race *race, struct stream_pending *pending, struct model_pending *model)
{
    model->stamp = (uint32_t)random_below(&race->random, 1000000);
    pending->delivery_count = model->stamp;
    pending->delivery_ms = (int64_t)model->stamp + 1;
}

static void
step_pending(struct race *race, struct model_group *model, struct stream_group *group)
{
    uint32_t who = (uint32_t)random_below(&race->random, CONSUMERS);
    struct stream_consumer *consumer = stream_consumer_find(group, name_of(who));
    struct stream_id id = id_draw(race);
    if (model->pending_count > 0 && random_below(&race->random, 2) == 0) {
        id = model->pending[random_below(&race->random, model->pending_count)].id;
    }
    uint32_t index = model_seek(model->pending, model->pending_count, sizeof(*model->pending), id);
    bool is_there = index < model->pending_count && id_equal(model->pending[index].id, id);
    cr_assert_eq(stream_pending_find(group, id) != NULL, is_there);
    if (random_below(&race->random, 3) == 0) {
        cr_assert_eq(stream_pending_remove(race->stream, group, id), is_there);
        if (is_there) {
            model->pending_count--;
            memmove(model->pending + index, model->pending + index + 1,
                    (model->pending_count - index) * sizeof(*model->pending));
        }
    } else if (consumer != NULL && is_there) {
        cr_assert_null(stream_pending_add(race->stream, group, id, consumer));
        stream_pending_give(race->stream, group, id, consumer);
        model->pending[index].consumer = who;
    } else if (consumer != NULL && model->pending_count < PENDING_MAX) {
        memmove(model->pending + index + 1, model->pending + index,
                (model->pending_count - index) * sizeof(*model->pending));
        model->pending_count++;
        model->pending[index] = (struct model_pending){.id = id, .consumer = who};
        pending_stamp(race, stream_pending_add(race->stream, group, id, consumer),
                      &model->pending[index]);
    }
}

static void
step_in_group(struct race *race)
{
    uint32_t index = (uint32_t)random_below(&race->random, GROUPS);
    struct model_group *model = &race->groups[index];
    struct stream_group *group = stream_group_find(race->stream, name_of(index));
    if (group == NULL) {
        step_group(race);
    } else if (random_below(&race->random, 60) == 0) {
        step_consumer(race, model, group);
    } else if (random_below(&race->random, 20) == 0) {
        model->last_id = id_draw(race);
        stream_group_advance(race->stream, group, model->last_id);
    } else {
        step_pending(race, model, group);
    }
}

/* ---- races ---- */

/** What comes in phases: growing, changing, shrinking. */
struct phase {
    uint32_t step_count;
    uint32_t add_count; /* of 100 steps */
    uint32_t remove_count;
    uint32_t group_count;
};

static void
race_step(struct race *race, const struct phase *phase)
{
    uint32_t kind = (uint32_t)random_below(&race->random, 100);
    if (kind < phase->add_count) {
        step_add(race);
    } else if (kind < phase->add_count + phase->remove_count) {
        step_remove(race);
    } else if (kind < phase->add_count + phase->remove_count + phase->group_count) {
        step_in_group(race);
    } else {
        step_range(race);
    }
}

static uint32_t
race_run(struct stream_limits limits)
{
    static const struct phase phases[] = {
        {300, 60, 20, 15}, {9000, 85, 5, 9}, {4000, 5, 45, 49}, {5000, 60, 5, 34}, {6000, 1, 90, 8},
    };
    struct race *race = heap_alloc(sizeof(*race));
    memset(race, 0, sizeof(*race));
    uint64_t seed = random_system_seed();
    fprintf(stderr, "stream race: seed %llu\n", (unsigned long long)seed);
    random_create(&race->random, seed);
    race->stream = stream_new();
    race->limits = limits;
    for (uint32_t i = 0; i < ARRAY_COUNT(phases); i++) {
        race->is_growing = phases[i].add_count > 80;
        for (uint32_t step = 0; step < phases[i].step_count; step++) {
            race_step(race, &phases[i]);
            if (step % 256 == 255) {
                step_trim(race);
                cr_assert(stream_check(race->stream));
            }
            if (i == 0) {
                stream_says(race, race->stream);
            }
        }
        step_group(race);
        stream_says(race, race->stream);
        step_copy(race);
    }
    uint32_t node_count_max = race->node_count_max;
    free_in_steps(&race->random, race->stream);
    heap_free(race);
    return node_count_max;
}

Test(stream, races_a_model_with_usual_nodes)
{
    cr_expect_gt(race_run((struct stream_limits){.size_max = 4096, .count_max = 100}), 40U);
    race_run((struct stream_limits){.size_max = 0, .count_max = 0});
}

Test(stream, races_a_model_with_small_nodes)
{
    cr_expect_gt(race_run((struct stream_limits){.size_max = 64, .count_max = 0}), 2000U);
    cr_expect_gt(race_run((struct stream_limits){.size_max = 0, .count_max = 3}), 700U);
    cr_expect_gt(race_run((struct stream_limits){.size_max = 0, .count_max = 1}), 2000U);
}

/* ---- how far a group has come ---- */

/** A group that reads entry by entry from the first one on always knows what is left. */
Test(stream, a_group_knows_what_it_has_to_read)
{
    struct stream *stream = stream_new();
    struct stream_limits limits = {.size_max = 4096, .count_max = 10};
    struct slice texts[] = {SLICE("field"), SLICE("value")};
    struct stream_group *group = stream_group_create(stream, SLICE("g"), STREAM_ID_MIN, 0);
    struct random random;
    uint64_t seed = random_system_seed();
    fprintf(stderr, "lag: seed %llu\n", (unsigned long long)seed);
    random_create(&random, seed);
    uint64_t added_count = 0;
    uint64_t read_count = 0;
    for (uint32_t i = 0; i < 2000; i++) {
        if (random_below(&random, 2) == 0) {
            stream_append(stream, &limits, id_of(++added_count, 5), texts, 1);
        } else if (read_count < added_count) {
            stream_group_advance(stream, group, id_of(++read_count, 5));
        }
        int64_t lag;
        cr_assert(stream_group_lag(stream, group, &lag));
        cr_assert_eq((uint64_t)lag, added_count - read_count);
        cr_assert_eq((uint64_t)group->read_count, read_count);
    }
    stream_delete(stream);
}

/* ---- foreign bytes ---- */

/** Whatever a valid node says of itself, a stream can be made of it and read from both ends. */
static void
node_load(struct slice bytes, struct stream_id master_id, const struct stream_node_content *content)
{
    struct stream *stream = stream_new();
    cr_assert(stream_load_node(stream, master_id, bytes));
    cr_assert(stream_check(stream));
    cr_assert_eq(stream->count, content->count);
    cr_assert(id_equal(stream->first_id, content->first_id));
    for (uint32_t is_backward = 0; is_backward < 2; is_backward++) {
        struct stream_walk walk;
        struct stream_id id;
        uint32_t pair_count;
        uint64_t count = 0;
        stream_walk_start(&walk, stream, is_backward ? STREAM_ID_MAX : STREAM_ID_MIN,
                          is_backward ? STREAM_ID_MIN : STREAM_ID_MAX, is_backward);
        while (stream_walk_next(&walk, &id, &pair_count)) {
            struct listpack_item field;
            struct listpack_item value;
            while (pair_count-- > 0) {
                stream_walk_pair(&walk, &field, &value);
            }
            cr_assert(stream_has(stream, id));
            count++;
        }
        cr_assert_eq(count, content->count);
    }
    /* It is changed like any other. */
    struct stream *rest;
    struct stream_trim trim = {.count_max = content->count / 2};
    cr_assert_eq(stream_trim(stream, &trim, &rest), content->count - content->count / 2);
    cr_assert(stream_check(stream));
    while (stream->count > 0) {
        cr_assert(stream_remove(stream, stream->first_id));
        cr_assert(stream_check(stream));
    }
    stream_delete(stream);
}

static struct stream *
node_sample(struct race *race)
{
    struct stream *stream = stream_new();
    struct stream_limits limits = {0};
    struct slice texts[2 * PAIRS_MAX];
    uint32_t count = 1 + (uint32_t)random_below(&race->random, 12);
    for (uint32_t i = 1; i <= count; i++) {
        uint32_t pair_count =
            texts_make(race, (uint32_t)random_below(&race->random, 100000), texts);
        stream_append(stream, &limits, id_of(i * 100, random_below(&race->random, 3)), texts,
                      pair_count);
    }
    for (uint32_t i = 1; i < count; i++) {
        if (random_below(&race->random, 4) == 0) {
            stream_remove(stream, stream->first_id);
        }
    }
    return stream;
}

Test(stream, foreign_nodes_are_refused_or_good)
{
    struct race *race = heap_alloc(sizeof(*race));
    uint64_t seed = random_system_seed();
    uint32_t valid_count = 0;
    fprintf(stderr, "foreign nodes: seed %llu\n", (unsigned long long)seed);
    random_create(&race->random, seed);
    for (uint32_t i = 0; i < 3000; i++) {
        struct stream *stream = node_sample(race);
        struct stream_place place = stream_tree_first(&stream->nodes);
        struct slice bytes = listpack_bytes(stream_node_at(place));
        struct stream_id master_id = stream_place_id(place);
        struct stream_node_content content;
        cr_assert(stream_node_is_valid(bytes, master_id, &content));
        cr_assert_eq(content.count, stream->count);
        node_load(bytes, master_id, &content);
        for (uint32_t j = 0; j < 30; j++) {
            /* A block of its own size, so that sanitizers see each byte too many. */
            size_t size = bytes.size;
            if (random_below(&race->random, 8) == 0) {
                size = random_below(&race->random, size);
            }
            char *mutant = malloc(size + 1);
            memcpy(mutant + 1, bytes.data, size);
            for (uint64_t flips = 1 + random_below(&race->random, 3); flips > 0 && size > 0;
                 flips--) {
                /* Mostly a small change of what is no text: near the beginning. */
                size_t span = random_below(&race->random, 2) == 0 ? MIN(size, (size_t)40) : size;
                char *at = mutant + 1 + random_below(&race->random, span);
                *at = (char)(random_below(&race->random, 2) == 0
                                 ? *at + 1 - (int)random_below(&race->random, 3)
                                 : (int)random_next(&race->random));
            }
            struct slice mutant_bytes = slice_of(mutant + 1, size);
            if (stream_node_is_valid(mutant_bytes, master_id, &content)) {
                node_load(mutant_bytes, master_id, &content);
                valid_count++;
            }
            free(mutant);
        }
        stream_delete(stream);
    }
    fprintf(stderr, "%u of 90000 were still valid\n", valid_count);
    cr_expect_gt(valid_count, 0U);
    cr_expect_lt(valid_count, 60000U);
    heap_free(race);
}

Test(stream, a_node_with_deleted_entries_behind_the_threshold_goes)
{
    struct stream *stream = stream_new();
    struct stream_limits limits = {0};
    struct slice texts[] = {SLICE("field"), SLICE("value")};
    stream_append(stream, &limits, id_of(1, 0), texts, 1);
    stream_append(stream, &limits, id_of(2, 0), texts, 1);
    cr_assert(stream_remove(stream, id_of(2, 0)));
    struct stream *rest;
    struct stream_trim trim = {.is_by_id = true, .id = id_of(2, 0)};
    cr_assert_eq(stream_trim(stream, &trim, &rest), 1U);
    cr_assert_null(rest);
    cr_assert(stream_check(stream));
    cr_assert_eq(stream->count, 0U);
    stream_delete(stream);
}
