#include "core/random.h"
#include "shard/keyspace.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

/*
 * The keyspace against arrays of keys for each database: puts, deadlines, removals, SWAPDB, flushes
 * that are collected while others write, and time that passes. keyspace_check() recounts everything
 * between.
 */

#define DATABASE_COUNT 4
#define KEY_MAX 2000

struct model_key {
    bool is_there;
    size_t size;
    int64_t deadline_ms;
};

struct model {
    struct memory memory;
    struct keyspace keyspace;
    struct random random;
    int64_t now_ms;
    uint32_t due_count;
    struct model_key keys[DATABASE_COUNT][KEY_MAX];
};

static struct model model;

static struct slice
model_key_name(char *buffer, uint32_t i)
{
    /* A third of them under one tag: a crowded slot. */
    int size = snprintf(buffer, 32, i % 3 == 0 ? "{tag}%u" : "key:%u", i);
    return slice_of(buffer, (size_t)size);
}

static uint32_t
model_key_number(struct slice key)
{
    char buffer[32] = {0};
    memcpy(buffer, key.data, key.size);
    return (uint32_t)strtoul(strpbrk(buffer, ":}") + 1, NULL, 10);
}

static void
model_put(uint32_t db, uint32_t i, struct entry *entry)
{
    static char bytes[3000];
    char buffer[32];
    struct slice key = model_key_name(buffer, i);
    struct model_key *want = &model.keys[db][i];
    want->is_there = true;
    want->size = random_below(&model.random, random_below(&model.random, 4) == 0 ? 3000 : 100);
    want->deadline_ms = random_below(&model.random, 2) == 0
                            ? ENTRY_NO_DEADLINE
                            : model.now_ms + (int64_t)random_below(&model.random, 5000);
    memset(bytes, 'a' + (int)(i % 26), want->size);
    struct value value = value_string(slice_of(bytes, want->size), ENCODING_RAW);
    keyspace_put(&model.keyspace, db, key_slot(key), keyspace_hash(&model.keyspace, key), key,
                 entry, &value, want->deadline_ms);
}

static void
model_look(uint32_t db, uint32_t i, const struct entry *entry)
{
    const struct model_key *want = &model.keys[db][i];
    cr_assert_eq(want->is_there, entry != NULL);
    if (entry == NULL) {
        return;
    }
    struct value value;
    entry_value(entry, &value);
    cr_assert_eq(entry_deadline_ms(entry), want->deadline_ms);
    cr_assert_eq(value.bytes.size, want->size);
    cr_assert(want->size == 0 || value.bytes.data[want->size - 1] == 'a' + (int)(i % 26));
}

static void
model_step(void)
{
    uint32_t db = (uint32_t)random_below(&model.random, DATABASE_COUNT);
    uint32_t i = (uint32_t)random_below(&model.random, KEY_MAX);
    char buffer[32];
    struct slice key = model_key_name(buffer, i);
    uint32_t slot = key_slot(key);
    uint64_t hash = keyspace_hash(&model.keyspace, key);
    keyspace_prefetch_slot(&model.keyspace, db, slot);
    keyspace_prefetch_bucket(&model.keyspace, db, slot, hash);
    if (!keyspace_prefetch_entry(&model.keyspace, db, slot, hash)) {
        keyspace_prefetch_overflow(&model.keyspace, db, slot, hash);
    }
    struct entry *entry = keyspace_find(&model.keyspace, db, slot, key, hash);
    struct model_key *want = &model.keys[db][i];
    model_look(db, i, entry);
    uint64_t kind = random_below(&model.random, 8);
    if (entry == NULL || kind < 3) {
        model_put(db, i, entry);
    } else if (kind == 3) {
        want->is_there = false;
        keyspace_remove(&model.keyspace, db, slot, hash, entry);
    } else if (kind == 4) {
        struct value taken;
        keyspace_take(&model.keyspace, db, slot, hash, entry, &taken);
        want->is_there = false;
        if (taken.raw != NULL) {
            cr_assert_eq(taken.bytes.size, want->size);
            raw_delete(&model.memory, taken.raw);
        }
    } else if (kind == 5) {
        want->deadline_ms =
            random_below(&model.random, 2) == 0 ? ENTRY_NO_DEADLINE : model.now_ms + 50;
        keyspace_deadline_set(&model.keyspace, db, slot, hash, entry, want->deadline_ms);
    } else if (kind == 6) {
        char *data;
        size_t old_size = want->size;
        want->size = old_size + random_below(&model.random, 500);
        keyspace_string_resize(&model.keyspace, db, slot, hash, entry, ENCODING_RAW, want->size,
                               &data);
        memset(data + old_size, 'a' + (int)(i % 26), want->size - old_size);
    }
}

static void
model_due(void *context, uint32_t db, uint32_t slot, uint64_t hash, struct entry *entry)
{
    cr_assert_eq(context, &model);
    uint32_t i = model_key_number(entry_key(entry));
    cr_assert_eq(slot, key_slot(entry_key(entry)));
    cr_assert(model.keys[db][i].is_there);
    cr_assert_eq(model.keys[db][i].deadline_ms, entry_deadline_ms(entry));
    cr_assert_leq(entry_deadline_ms(entry), model.now_ms);
    model.due_count++;
    if (random_below(&model.random, 10) == 0) {
        model.keys[db][i].deadline_ms = model.now_ms + 100;
        keyspace_deadline_set(&model.keyspace, db, slot, hash, entry, model.now_ms + 100);
    } else {
        model.keys[db][i].is_there = false;
        keyspace_remove(&model.keyspace, db, slot, hash, entry);
    }
}

static void
model_database_step(void)
{
    uint32_t a = (uint32_t)random_below(&model.random, DATABASE_COUNT);
    uint32_t b = (uint32_t)random_below(&model.random, DATABASE_COUNT);
    if (random_below(&model.random, 2) == 0) {
        static struct model_key keys[KEY_MAX];
        memcpy(keys, model.keys[a], sizeof(keys));
        memcpy(model.keys[a], model.keys[b], sizeof(keys));
        memcpy(model.keys[b], keys, sizeof(keys));
        keyspace_swap(&model.keyspace, a, b);
    } else {
        keyspace_flush(&model.keyspace, a);
        memset(model.keys[a], 0, sizeof(model.keys[a]));
        cr_assert_eq(keyspace_slot_next(&model.keyspace, a, 0), SLOT_COUNT);
    }
}

static void
count_visit(void *context, struct entry *entry)
{
    (void)entry;
    (*(uint64_t *)context)++;
}

static void
model_check(void)
{
    cr_assert(keyspace_check(&model.keyspace));
    for (uint32_t db = 0; db < DATABASE_COUNT; db++) {
        uint64_t count = 0;
        uint64_t seen_count = 0;
        for (uint32_t i = 0; i < KEY_MAX; i++) {
            count += model.keys[db][i].is_there;
        }
        cr_assert_eq(count, model.keyspace.databases[db].key_count);
        uint32_t slot = keyspace_slot_next(&model.keyspace, db, 0);
        for (; slot < SLOT_COUNT; slot = keyspace_slot_next(&model.keyspace, db, slot + 1)) {
            cr_assert_gt(keyspace_slot_size(&model.keyspace, db, slot), 0);
            uint64_t position = 0;
            do {
                position =
                    keyspace_scan(&model.keyspace, db, slot, position, count_visit, &seen_count);
            } while (position != 0);
        }
        cr_assert_eq(count, seen_count);
        struct entry *entry = keyspace_random(&model.keyspace, db, &model.random);
        cr_assert_eq(entry == NULL, count == 0);
        if (entry != NULL) {
            cr_assert(model.keys[db][model_key_number(entry_key(entry))].is_there);
        }
    }
}

static void
model_run(uint64_t seed)
{
    memset(&model, 0, sizeof(model));
    memory_create(&model.memory);
    random_create(&model.random, seed);
    model.now_ms = 1000000;
    keyspace_create(&model.keyspace, &model.memory, DATABASE_COUNT, random_next(&model.random),
                    model.now_ms);
    for (uint32_t i = 0; i < 40000; i++) {
        model_step();
        if (i % 8 == 0) {
            model.now_ms += (int64_t)random_below(&model.random, 4);
            uint32_t step_count_max = 1 + (uint32_t)random_below(&model.random, 40);
            keyspace_advance(&model.keyspace, model.now_ms, step_count_max, model_due, &model);
            keyspace_collect(&model.keyspace, (uint32_t)random_below(&model.random, 200));
        }
        if (i % 3000 == 0) {
            model_database_step();
        }
        if (i % 2000 == 0) {
            model_check();
        }
    }
    cr_assert_gt(model.due_count, 1000, "seed %lu", (unsigned long)seed);
    model_check();
    keyspace_destroy(&model.keyspace);
    cr_assert_eq(model.memory.used_size, 0);
    memory_destroy(&model.memory);
}

Test(keyspace, races_arrays_of_keys)
{
    for (uint64_t seed = 1; seed <= 4; seed++) {
        model_run(seed);
    }
}

Test(keyspace, flushed_keys_never_come_due)
{
    memset(&model, 0, sizeof(model));
    memory_create(&model.memory);
    random_create(&model.random, 1);
    keyspace_create(&model.keyspace, &model.memory, DATABASE_COUNT, 1, 0);
    for (uint32_t i = 0; i < KEY_MAX; i++) {
        model_put(0, i, NULL);
    }
    keyspace_flush_all(&model.keyspace);
    cr_assert_eq(model.keyspace.databases[0].key_count, 0);
    model.now_ms = 1000000;
    keyspace_advance(&model.keyspace, model.now_ms, 100, model_due, &model);
    cr_assert_not(keyspace_collect(&model.keyspace, 100));
    keyspace_advance(&model.keyspace, model.now_ms, UINT32_MAX, model_due, &model);
    while (!keyspace_collect(&model.keyspace, 100)) {
    }
    cr_assert_eq(model.due_count, 0);
    cr_assert_eq(model.keyspace.wheel.count, 0);
    keyspace_destroy(&model.keyspace);
    cr_assert_eq(model.memory.used_size, 0);
    memory_destroy(&model.memory);
}

Test(keyspace, random_keys_are_about_equally_likely)
{
    memset(&model, 0, sizeof(model));
    memory_create(&model.memory);
    random_create(&model.random, 1);
    keyspace_create(&model.keyspace, &model.memory, 1, 1, 0);
    enum { COUNT = 300 };
    static uint32_t drawn[3 * COUNT];
    for (uint32_t i = 0; i < 3 * COUNT; i++) {
        if (i % 3 != 0) {
            model_put(0, i, NULL);
        }
    }
    for (uint32_t i = 0; i < COUNT * 2 * 200; i++) {
        struct entry *entry = keyspace_random(&model.keyspace, 0, &model.random);
        drawn[model_key_number(entry_key(entry))]++;
    }
    for (uint32_t i = 0; i < 3 * COUNT; i++) {
        cr_assert(i % 3 == 0 || (drawn[i] > 100 && drawn[i] < 320), "%u drawn %u times", i,
                  drawn[i]);
    }
    keyspace_destroy(&model.keyspace);
    memory_destroy(&model.memory);
}
