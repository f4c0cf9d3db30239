/*
 * view_test.c: views against a model: two shards that own keys and borrow from each other,
 * transactions of many edits on a few keys, commits in any order, replies that still point into
 * values.
 */
#include "shard/view.h"

#include "core/heap.h"
#include "harness.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#define KEY_COUNT 10
#define VIEW_COUNT 4
#define SIZE_MAX_TESTED 60000
#define KEPT_COUNT 8

struct model {
    bool exists;
    size_t size;
    int64_t deadline_ms;
    char *bytes;
};

/** A reply that points into values, and what it must say. */
struct kept {
    struct output output;
    char *expected;
    size_t expected_size;
    uint64_t transaction; /* that made it */
};

struct race {
    struct harness *harness;
    struct random random;
    struct model models[KEY_COUNT];
    struct kept kept[KEPT_COUNT];
    char names[KEY_COUNT][16];
    /* ---- the running transaction ---- */
    struct call call;
    struct reply reply;
    struct output output;
    struct command command;
    uint64_t number;
    struct view views[VIEW_COUNT];
    uint32_t keys[VIEW_COUNT];
    uint32_t view_count;
};

static uint64_t
below(struct race *race, uint64_t bound)
{
    return random_below(&race->random, bound);
}

/** Sizes around everything that makes a difference. */
static size_t
any_size(struct race *race)
{
    static const size_t sizes[] = {0,    1,    2,    19,    20,    21,    44,    45,   64,
                                   1023, 1024, 1025, 16383, 16384, 32768, 50000, 60000};
    return below(race, 2) == 0 ? sizes[below(race, ARRAY_COUNT(sizes))] : below(race, 200);
}

static void
model_set(struct model *model, const void *bytes, size_t size)
{
    model->exists = true;
    model->size = size;
    memmove(model->bytes, bytes, size);
}

static void
model_delete(struct model *model)
{
    model->exists = false;
    model->size = 0;
    model->deadline_ms = VIEW_NO_DEADLINE;
}

static void
view_matches(struct race *race, uint32_t at)
{
    const struct view *view = &race->views[at];
    const struct model *model = &race->models[race->keys[at]];
    char digits[24];
    cr_assert_eq(view_exists(view), model->exists);
    if (model->exists) {
        cr_assert(slice_equal(view_string(view, digits), slice_of(model->bytes, model->size)));
        cr_assert_eq(view_string_size(view), model->size);
    }
    cr_assert_eq(view->deadline_ms, model->deadline_ms);
}

/** Random letters in scratch memory or, if large, sometimes in a raw as a request brings it. */
static struct slice
any_bytes(struct race *race)
{
    size_t size = any_size(race);
    char *bytes;
    if (size >= 32768 && race->call.large_raw == NULL && below(race, 2) == 0) {
        struct memory *memory = &race->call.shard->memory;
        struct raw *raw = raw_new(memory, size, size + below(race, 3));
        memory_disown(memory, raw_block_size(raw));
        race->call.large_raw = raw;
        bytes = raw->data;
    } else {
        bytes = call_scratch(&race->call, size);
    }
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (char)('a' + (i * 7 + size) % 26);
    }
    return slice_of(bytes, size);
}

static void
edit(struct race *race, struct view *view, struct model *model)
{
    size_t size = model->size + (below(race, 2) == 0 ? any_size(race) : below(race, 30));
    if (size > SIZE_MAX_TESTED) {
        return;
    }
    size_t at = size == 0 ? 0 : below(race, size);
    char *data = view_string_edit(&race->call, view, size);
    memset(model->bytes + model->size, 0, size - model->size);
    model->exists = true;
    model->size = size;
    memset(data + at, '!', size - at);
    memset(model->bytes + at, '!', size - at);
}

static void
keep_reply(struct race *race, struct view *view, const struct model *model)
{
    struct kept *kept = &race->kept[below(race, KEPT_COUNT)];
    if (kept->transaction == race->number) {
        /* A borrower's pin is known to the owner with the commit only, so it is not released
         * before. */
        return;
    }
    kept->transaction = race->number;
    /* What was kept there is sent now, from whatever has become of its value. */
    char *bytes = output_flatten(&kept->output);
    cr_assert(slice_equal(slice_of(bytes, kept->output.byte_count),
                          slice_of(kept->expected, kept->expected_size)));
    heap_free(bytes);
    output_destroy(&kept->output);
    free(kept->expected);
    output_create(&kept->output);
    race->reply.output = &kept->output;
    view_string_reply(&race->call, view);
    race->reply.output = &race->output;
    kept->expected = malloc(model->size + 40);
    kept->expected_size =
        (size_t)(model->exists ? snprintf(kept->expected, 40, "$%zu\r\n", model->size)
                               : snprintf(kept->expected, 40, "$-1\r\n"));
    if (model->exists) {
        memcpy(kept->expected + kept->expected_size, model->bytes, model->size);
        kept->expected_size += model->size;
        memcpy(kept->expected + kept->expected_size, "\r\n", 2);
        kept->expected_size += 2;
    }
}

static void
move(struct race *race, uint32_t from_at, uint32_t to_at)
{
    struct model *from = &race->models[race->keys[from_at]];
    struct model *to = &race->models[race->keys[to_at]];
    struct view *from_view = &race->views[from_at];
    struct view *to_view = &race->views[to_at];
    if (!from->exists || from_at == to_at) {
        return;
    }
    if (below(race, 2) == 0) {
        view_value_move(&race->call, from_view, to_view);
        model_set(to, from->bytes, from->size);
        to->deadline_ms = from->deadline_ms;
        model_delete(from);
    } else {
        struct value value = view_value_copy(&race->call, from_view);
        view_value_set(&race->call, to_view, &value);
        model_set(to, from->bytes, from->size);
    }
    view_matches(race, from_at);
}

static void
one_edit(struct race *race)
{
    uint32_t at = (uint32_t)below(race, race->view_count);
    struct view *view = &race->views[at];
    struct model *model = &race->models[race->keys[at]];
    char text[32];
    struct slice bytes;
    switch (below(race, 8)) {
    case 0:
    case 1:
        bytes = any_bytes(race);
        view_string_set(&race->call, view, bytes);
        model_set(model, bytes.data, bytes.size);
        break;
    case 2: {
        int64_t number = (int64_t)random_next(&race->random);
        view_integer_set(&race->call, view, number);
        model_set(model, text, (size_t)snprintf(text, sizeof(text), "%lld", (long long)number));
        break;
    }
    case 3:
        edit(race, view, model);
        break;
    case 4:
        view_delete(&race->call, view);
        model_delete(model);
        break;
    case 5:
        if (model->exists) {
            model->deadline_ms = below(race, 2) == 0
                                     ? VIEW_NO_DEADLINE
                                     : race->call.now_ms + 1 + (int64_t)below(race, 50);
            view_deadline_set(&race->call, view, model->deadline_ms);
        }
        break;
    case 6:
        keep_reply(race, view, model);
        break;
    default:
        move(race, at, (uint32_t)below(race, race->view_count));
        break;
    }
    view_matches(race, at);
}

static void
transaction_begin(struct race *race)
{
    struct shard *shard = race->harness->shards[below(race, 2)];
    race->number++;
    race->call = (struct call){.command = &race->command,
                               .reply = &race->reply,
                               .shard = shard,
                               .coordinator = (uint16_t)shard->index,
                               .now_ms = shard->now_ms};
    output_create(&race->output);
    reply_create(&race->reply, &race->output, 2);
    race->view_count = 1 + (uint32_t)below(race, VIEW_COUNT);
    uint32_t first = (uint32_t)below(race, KEY_COUNT);
    for (uint32_t i = 0; i < race->view_count; i++) {
        uint32_t key_index = (first + i) % KEY_COUNT;
        struct slice key = slice_of_string(race->names[key_index]);
        struct shard *owner = race->harness->shards[key_index % 2];
        race->keys[i] = key_index;
        race->views[i] = (struct view){.key = key,
                                       .hash = keyspace_hash(&owner->keyspace, key),
                                       .slot = key_slot(key),
                                       .owner = (uint16_t)owner->index,
                                       .flags = view_flags(CMD_WRITE, false)};
        view_open(owner, &race->views[i]);
        struct model *model = &race->models[key_index];
        if (model->exists && model->deadline_ms != VIEW_NO_DEADLINE &&
            model->deadline_ms <= shard->now_ms) {
            model_delete(model);
        }
        view_matches(race, i);
    }
}

static void
transaction_end(struct race *race)
{
    uint32_t start = (uint32_t)below(race, race->view_count);
    for (uint32_t i = 0; i < race->view_count; i++) {
        struct view *view = &race->views[(start + i) % race->view_count];
        view_commit(race->harness->shards[view->owner], view);
    }
    call_scratch_free(&race->call);
    if (race->call.large_raw != NULL) {
        struct memory *memory = &race->call.shard->memory;
        memory_adopt(memory, raw_block_size(race->call.large_raw));
        raw_delete(memory, race->call.large_raw);
    }
    output_destroy(&race->output);
}

static void
race_run(uint64_t seed, uint32_t transaction_count)
{
    struct race *race = calloc(1, sizeof(*race));
    race->harness = harness_new();
    race->command.flags = CMD_WRITE;
    random_create(&race->random, seed);
    for (uint32_t i = 0; i < KEY_COUNT; i++) {
        snprintf(race->names[i], sizeof(race->names[i]), "key-%u", i);
        race->models[i].bytes = calloc(1, SIZE_MAX_TESTED + 1);
        race->models[i].deadline_ms = VIEW_NO_DEADLINE;
    }
    for (uint32_t i = 0; i < KEPT_COUNT; i++) {
        output_create(&race->kept[i].output);
    }
    for (uint32_t i = 0; i < transaction_count; i++) {
        transaction_begin(race);
        for (uint64_t edits = below(race, 8); edits > 0; edits--) {
            one_edit(race);
        }
        transaction_end(race);
        harness_advance(race->harness, (int64_t)below(race, 3));
        cr_assert(keyspace_check(&race->harness->shards[0]->keyspace));
        cr_assert(keyspace_check(&race->harness->shards[1]->keyspace));
    }
    for (uint32_t i = 0; i < KEPT_COUNT; i++) {
        output_destroy(&race->kept[i].output);
        free(race->kept[i].expected);
    }
    for (uint32_t i = 0; i < KEY_COUNT; i++) {
        free(race->models[i].bytes);
    }
    harness_delete(race->harness);
    free(race);
}

Test(view, races_a_model)
{
    const char *wanted = getenv("TESSERA_SEED");
    uint64_t seed = wanted != NULL ? strtoull(wanted, NULL, 10) : random_system_seed();
    fprintf(stderr, "seed %llu\n", (unsigned long long)seed);
    for (uint64_t i = 0; i < 20; i++) {
        race_run(seed + i, 400);
    }
}

/* ---- access clocks ---- */

static uint32_t
access_of(struct harness *harness)
{
    struct slice key = SLICE("k");
    struct keyspace *keyspace = &harness->shard->keyspace;
    return entry_access(
        keyspace_find(keyspace, 0, key_slot(key), key, keyspace_hash(keyspace, key)));
}

Test(view, idle_time)
{
    struct harness *harness = harness_new();
    harness_line(harness, "SET k v");
    cr_expect_eq(view_idle_s(harness->shard, access_of(harness)), 0);
    harness_advance(harness, 5000);
    cr_expect_eq(view_idle_s(harness->shard, access_of(harness)), 5);
    harness_line(harness, "GET k");
    cr_expect_eq(view_idle_s(harness->shard, access_of(harness)), 0);
    harness_advance(harness, 1000);
    harness_line(harness, "APPEND k x");
    cr_expect_eq(view_idle_s(harness->shard, access_of(harness)), 0);
    harness_advance(harness, 1000);
    harness_line(harness, "GETEX k EX 100");
    cr_expect_eq(view_idle_s(harness->shard, access_of(harness)), 0);
    /* The clock wraps after 194 days. */
    harness_advance(harness, INT64_C(90) * 1000);
    harness->shard->now_ms += (INT64_C(1) << 24) * 1000;
    cr_expect_eq(view_idle_s(harness->shard, access_of(harness)), 90);
    harness_delete(harness);
}

Test(view, frequency)
{
    struct harness *harness = harness_new();
    harness->config->maxmemory_policy = CONFIG_MAXMEMORY_ALLKEYS_LFU;
    harness_line(harness, "SET k v");
    cr_expect_eq(view_frequency(harness->shard, access_of(harness)), 5);
    for (int i = 0; i < 1000; i++) {
        harness_line(harness, "GET k");
    }
    uint32_t frequency = view_frequency(harness->shard, access_of(harness));
    /* About 18 after 1000 accesses with the factor 10. */
    cr_expect_gt(frequency, 10);
    cr_expect_lt(frequency, 30);
    harness_advance(harness, 3 * 60000);
    cr_expect_eq(view_frequency(harness->shard, access_of(harness)), frequency - 3);
    harness_advance(harness, 100 * 60000);
    cr_expect_eq(view_frequency(harness->shard, access_of(harness)), 0);
    harness->config->lfu_decay_time_min = 0;
    cr_expect_eq(view_frequency(harness->shard, access_of(harness)), frequency);
    harness->config->lfu_log_factor = 0;
    for (int i = 0; i < 300; i++) {
        harness_line(harness, "GET k");
    }
    cr_expect_eq(view_frequency(harness->shard, access_of(harness)), 255);
    harness_delete(harness);
}

Test(view, a_deadline_that_passes_in_between)
{
    struct harness *harness = harness_new();
    harness_line(harness, "SET k v PX 10");
    harness_effects(harness);
    struct slice key = SLICE("k");
    struct view view = {.key = key,
                        .hash = keyspace_hash(&harness->shard->keyspace, key),
                        .slot = key_slot(key),
                        .flags = view_flags(CMD_WRITE, false)};
    view_open(harness->shard, &view);
    harness_advance(harness, 10);
    struct call call = {.shard = harness->shards[1],
                        .now_ms = harness->shard->now_ms,
                        .effects = &harness->journal};
    view_expire(&call, &view);
    cr_expect(!view_exists(&view));
    view_expire(&call, &view);
    view_commit(harness->shard, &view);
    cr_expect_eq(harness->shard->keyspace.databases[0].key_count, 0);
    cr_expect_eq(harness->shards[1]->counters.expired_count, 1);
    cr_expect_str_eq(harness_effects(harness), "DEL k\n");
    harness_delete(harness);
}

Test(view, lent_keys_stay_when_their_time_is_over)
{
    struct harness *harness = harness_new();
    harness_line(harness, "SET k v PX 10");
    struct slice key = SLICE("k");
    struct keyspace *keyspace = &harness->shard->keyspace;
    uint64_t hash = keyspace_hash(keyspace, key);
    entry_lent_set(keyspace_find(keyspace, 0, key_slot(key), key, hash), true);
    harness_advance(harness, 10);
    struct view view = {.key = key, .hash = hash, .slot = key_slot(key)};
    view_open(harness->shard, &view);
    cr_expect(!view_exists(&view));
    view_commit(harness->shard, &view);
    struct entry *entry = keyspace_find(keyspace, 0, key_slot(key), key, hash);
    cr_assert_not_null(entry);
    entry_lent_set(entry, false);
    harness_delete(harness);
}
