#include "core/random.h"
#include "shard/table.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

/*
 * The table against an array of flags: random inserts and removals while the population swings up
 * and down, scans that run at the same time and must not miss what was there throughout, and a hash
 * that fails.
 */

#define KEY_MAX 60000

struct model {
    struct memory memory;
    struct wheel wheel;
    struct table table;
    struct random random;
    uint64_t hash_seed;
    struct entry *entries[KEY_MAX];
    uint32_t count;
    uint32_t key_max;
    uint64_t start_size;
    /** Scan under way: keys present since its start, and keys it has seen. */
    bool was_there[KEY_MAX];
    bool is_seen[KEY_MAX];
    uint64_t position;
    uint32_t scan_count;
};

static struct slice
model_key(char *buffer, uint32_t i)
{
    int size = snprintf(buffer, 32, "k%u", i);
    return slice_of(buffer, (size_t)size);
}

static void
model_create(struct model *model, uint64_t seed)
{
    memset(model, 0, sizeof(*model));
    memory_create(&model->memory);
    wheel_create(&model->wheel, &model->memory, 0);
    random_create(&model->random, seed);
    model->hash_seed = random_next(&model->random);
    model->start_size = model->memory.used_size;
    model->key_max = KEY_MAX;
}

static void
model_insert(struct model *model, uint32_t i)
{
    char buffer[32];
    struct slice key = model_key(buffer, i);
    uint64_t hash = hash_bytes(key.data, key.size, model->hash_seed);
    cr_assert_null(table_find(&model->table, key, hash));
    struct value value = value_integer(i);
    struct entry *entry =
        entry_new(&model->memory, &model->wheel, key, &value, ENTRY_NO_DEADLINE, 0);
    table_insert(&model->memory, &model->table, entry, hash, model->hash_seed);
    model->entries[i] = entry;
    model->count++;
}

static void
model_remove(struct model *model, uint32_t i)
{
    char buffer[32];
    struct slice key = model_key(buffer, i);
    uint64_t hash = hash_bytes(key.data, key.size, model->hash_seed);
    struct entry *entry = table_find(&model->table, key, hash);
    cr_assert_eq(entry, model->entries[i]);
    table_remove(&model->memory, &model->table, entry, hash, model->hash_seed);
    entry_delete(&model->memory, &model->wheel, entry);
    model->entries[i] = NULL;
    model->was_there[i] = false;
    model->count--;
}

static void
model_move(struct model *model, uint32_t i)
{
    struct entry *old = model->entries[i];
    uint64_t hash = entry_hash(old, model->hash_seed);
    struct value value = value_string(SLICE("a longer value that does not fit"), ENCODING_RAW);
    struct entry *entry = entry_assign(&model->memory, &model->wheel, old, &value, -1, 0);
    table_replace(&model->table, old, entry, hash);
    value = value_integer(i);
    struct entry *back = entry_assign(&model->memory, &model->wheel, entry, &value, -1, 0);
    table_replace(&model->table, entry, back, hash);
    model->entries[i] = back;
}

static uint32_t
entry_number(const struct entry *entry)
{
    struct value value;
    entry_value(entry, &value);
    return (uint32_t)value.integer;
}

static void
scan_visit(void *context, struct entry *entry)
{
    struct model *model = context;
    model->is_seen[entry_number(entry)] = true;
}

static void
model_scan(struct model *model)
{
    if (model->position == 0) {
        for (uint32_t i = 0; i < model->key_max; i++) {
            model->was_there[i] = model->entries[i] != NULL;
            model->is_seen[i] = false;
        }
    }
    uint64_t position = table_scan(&model->table, model->position, scan_visit, model);
    cr_assert(position == 0 || position > model->position);
    model->position = position;
    if (position == 0) {
        model->scan_count++;
        for (uint32_t i = 0; i < model->key_max; i++) {
            cr_assert(!model->was_there[i] || model->is_seen[i], "missed %u", i);
        }
    }
}

static void
model_check(struct model *model)
{
    cr_assert_eq(table_count(&model->table), model->count);
    cr_assert(table_check(&model->table, model->hash_seed));
    uint64_t size = model->start_size + table_size(&model->table);
    for (uint32_t i = 0; i < model->key_max; i++) {
        if (model->entries[i] != NULL) {
            size += entry_size(model->entries[i]);
        }
    }
    cr_assert_eq(size, model->memory.used_size);
}

static void
drain_visit(void *context, struct entry *entry)
{
    struct model *model = context;
    uint32_t i = entry_number(entry);
    cr_assert_eq(model->entries[i], entry);
    model->entries[i] = NULL;
    entry_delete(&model->memory, &model->wheel, entry);
    model->count--;
}

static void
model_destroy(struct model *model)
{
    while (!table_drain(&model->memory, &model->table, drain_visit, model)) {
    }
    cr_assert_eq(model->count, 0);
    cr_assert_eq(table_size(&model->table), 0);
    cr_assert_eq(model->memory.used_size, model->start_size);
    wheel_destroy(&model->wheel);
    cr_assert_eq(model->memory.used_size, 0);
    memory_destroy(&model->memory);
}

/** One random change; the more so towards `goal` keys. */
static void
model_step(struct model *model, uint32_t key_max, uint32_t goal)
{
    uint32_t i = (uint32_t)random_below(&model->random, key_max);
    bool is_up = model->count < goal ? random_below(&model->random, 4) != 0
                                     : random_below(&model->random, 4) == 0;
    for (uint32_t k = 0; k < 16 && (model->entries[i] == NULL) != is_up; k++) {
        i = (i + 1) % key_max;
    }
    if (model->entries[i] == NULL) {
        if (is_up) {
            model_insert(model, i);
        }
    } else if (!is_up) {
        model_remove(model, i);
    } else {
        model_move(model, i);
    }
}

static void
model_run(struct model *model, uint64_t seed, uint32_t key_max, uint32_t step_count)
{
    model_create(model, seed);
    model->key_max = key_max;
    uint32_t goal = key_max;
    for (uint32_t i = 0; i < step_count; i++) {
        if (i % (2 * key_max) == 0) {
            goal = (uint32_t)random_below(&model->random, key_max);
            goal = random_below(&model->random, 3) == 0 ? 0 : goal;
        }
        model_step(model, key_max, goal);
        if (random_below(&model->random, key_max > 1000 ? 8 : 2) == 0) {
            model_scan(model);
        }
        if (i % (key_max > 1000 ? 20000 : 500) == 0) {
            model_check(model);
        }
    }
    cr_assert_gt(model->scan_count, 5, "seed %lu", (unsigned long)seed);
    model_check(model);
    model_destroy(model);
}

static struct model model;

Test(table, races_an_array_of_flags_when_small)
{
    for (uint64_t seed = 0; seed < 12; seed++) {
        model_run(&model, seed, 4 + (uint32_t)seed * (uint32_t)seed, 6000);
    }
}

Test(table, races_an_array_of_flags_when_large)
{
    model_run(&model, 1000, 3000, 100000);
    model_run(&model, 1001, KEY_MAX, 600000);
}

Test(table, grows_and_shrinks_through_all_sizes)
{
    model_create(&model, 5);
    uint64_t cell_size = 0;
    uint64_t size = 0;
    for (uint32_t i = 0; i < KEY_MAX; i++) {
        model_insert(&model, i);
        cell_size += 8 * i;
        size += table_size(&model.table);
        if (i % 64 == 0) {
            /* Among neighbours at any size. */
            cr_assert(i == 0 || size * 70 < cell_size * 100, "%u keys", i);
            cell_size = 0;
            size = 0;
        }
        if (i >= 64) {
            cr_assert_lt(table_size(&model.table), 8 * i * 100 / 65, "%u keys", i);
        }
    }
    model_check(&model);
    for (uint32_t i = 0; i < KEY_MAX; i++) {
        model_remove(&model, i);
        uint32_t left = KEY_MAX - i - 1;
        if (left >= 64) {
            cr_assert_lt(table_size(&model.table), 8 * left * 100 / 58, "%u keys", left);
        }
    }
    cr_assert_eq(table_size(&model.table), 0);
    model_destroy(&model);
}

Test(table, survives_a_hash_that_fails)
{
    /* 5000 entries with one hash: chains of runs. Splits send them to one side; which is the key's
     * true hash's. */
    model_create(&model, 5);
    enum { COUNT = 5000 };
    static struct entry *entries[COUNT];
    char buffer[32];
    uint64_t hash = 0;
    for (uint32_t i = 0; i < COUNT; i++) {
        /* All of one key's hash: inserted without asking for equals, as table_insert() allows. */
        struct slice key = model_key(buffer, 7);
        hash = hash_bytes(key.data, key.size, model.hash_seed);
        struct value value = value_integer(i);
        entries[i] = entry_new(&model.memory, &model.wheel, key, &value, -1, 0);
        table_insert(&model.memory, &model.table, entries[i], hash, model.hash_seed);
    }
    cr_assert_eq(table_count(&model.table), COUNT);
    for (uint32_t i = 0; i < COUNT; i++) {
        uint32_t at = (i * 7919U) % COUNT;
        table_remove(&model.memory, &model.table, entries[at], hash, model.hash_seed);
        entry_delete(&model.memory, &model.wheel, entries[at]);
    }
    cr_assert_eq(table_size(&model.table), 0);
    model_destroy(&model);
}

Test(table, random_entries_are_about_equally_likely)
{
    model_create(&model, 9);
    enum { COUNT = 700, DRAW_COUNT = 700 * 200 };
    for (uint32_t i = 0; i < COUNT; i++) {
        model_insert(&model, i);
    }
    static uint32_t drawn[COUNT];
    memset(drawn, 0, sizeof(drawn));
    for (uint32_t i = 0; i < DRAW_COUNT; i++) {
        drawn[entry_number(table_random(&model.table, &model.random))]++;
    }
    for (uint32_t i = 0; i < COUNT; i++) {
        cr_assert_gt(drawn[i], 120);
        cr_assert_lt(drawn[i], 300);
    }
    model_destroy(&model);
}
