/*
 * watch_test.c: watches and their marks against a list of who watches what: commands change keys,
 * time passes, databases are emptied and swapped, sessions come and go.
 */
#include "shard/watch.h"

#include "core/random.h"
#include "shard/change.h"
#include "shards.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define SHARDS 2
#define SESSIONS 40
#define KEYS 30
#define DATABASES 2
#define STEPS 6000

struct model {
    bool watches[SESSIONS][DATABASES][KEYS];
    /** On the shard of the key. Once there, it goes with all watches there. */
    bool is_dirty[SESSIONS][SHARDS];
    bool exists[DATABASES][KEYS];
    int64_t deadline_ms[DATABASES][KEYS]; /* INT64_MAX: none */
};

struct race {
    struct shards *shards;
    struct random random;
    struct model model;
    char names[KEYS][8];
    uint32_t owners[KEYS];
    uint64_t hashes[KEYS];
};

static uint32_t
below(struct race *race, uint32_t bound)
{
    return (uint32_t)random_below(&race->random, bound);
}

static int64_t
now_ms(const struct race *race)
{
    return race->shards->shards[0]->now_ms;
}

/** Something happens to the key. */
static void
model_touch(struct race *race, uint32_t db, uint32_t key)
{
    for (uint32_t i = 0; i < SESSIONS; i++) {
        if (race->model.watches[i][db][key]) {
            race->model.is_dirty[i][race->owners[key]] = true;
        }
    }
}

/** Keys whose time has passed are gone, as far as those who watch them are concerned. */
static void
model_expire(struct race *race)
{
    for (uint32_t db = 0; db < DATABASES; db++) {
        for (uint32_t key = 0; key < KEYS; key++) {
            if (race->model.exists[db][key] && race->model.deadline_ms[db][key] <= now_ms(race)) {
                race->model.exists[db][key] = false;
                model_touch(race, db, key);
            }
        }
    }
}

static void
expire(struct race *race)
{
    for (uint32_t i = 0; i < SHARDS; i++) {
        shard_expire(race->shards->shards[i], 1000);
    }
}

static void
run(struct race *race, uint32_t db, const char *line)
{
    race->shards->session.db = (uint16_t)db;
    const char *reply = shards_line(race->shards, line);
    cr_assert_neq(reply[0], '-', "%s: %s", line, reply);
}

static void
alter_key(struct race *race)
{
    char line[64];
    uint32_t db = below(race, DATABASES);
    uint32_t key = below(race, KEYS);
    struct model *model = &race->model;
    uint32_t drawn = below(race, 10);
    if (drawn < 3) {
        snprintf(line, sizeof(line), "SET %s v", race->names[key]);
        model->deadline_ms[db][key] = INT64_MAX;
    } else if (drawn < 6) {
        uint32_t lifetime_ms = 1 + below(race, 50);
        snprintf(line, sizeof(line), "SET %s v PX %u", race->names[key], lifetime_ms);
        model->deadline_ms[db][key] = now_ms(race) + lifetime_ms;
    } else if (drawn < 8) {
        snprintf(line, sizeof(line), "DEL %s", race->names[key]);
        run(race, db, line);
        if (model->exists[db][key]) {
            model_touch(race, db, key);
        }
        model->exists[db][key] = false;
        return;
    } else {
        snprintf(line, sizeof(line), "GET %s", race->names[key]);
        run(race, db, line);
        return;
    }
    run(race, db, line);
    model->exists[db][key] = true;
    model_touch(race, db, key);
}

static void
model_flush(struct race *race, uint32_t db)
{
    for (uint32_t key = 0; key < KEYS; key++) {
        if (race->model.exists[db][key]) {
            model_touch(race, db, key);
        }
        race->model.exists[db][key] = false;
    }
}

static void
alter_all(struct race *race)
{
    struct model *model = &race->model;
    uint32_t drawn = below(race, 4);
    if (drawn == 0) {
        run(race, 0, "FLUSHALL");
        model_flush(race, 0);
        model_flush(race, 1);
        return;
    }
    if (drawn < 3) {
        uint32_t db = below(race, DATABASES);
        run(race, db, "FLUSHDB");
        model_flush(race, db);
        return;
    }
    /* What is over and not yet removed counts as there when it is swapped, as in redis-server. */
    expire(race);
    run(race, 0, "SWAPDB 0 1");
    for (uint32_t key = 0; key < KEYS; key++) {
        bool existed = model->exists[0][key];
        int64_t deadline_ms = model->deadline_ms[0][key];
        if (existed || model->exists[1][key]) {
            model_touch(race, 0, key);
            model_touch(race, 1, key);
        }
        model->exists[0][key] = model->exists[1][key];
        model->deadline_ms[0][key] = model->deadline_ms[1][key];
        model->exists[1][key] = existed;
        model->deadline_ms[1][key] = deadline_ms;
    }
}

static void
watch(struct race *race)
{
    char line[32];
    uint32_t session = below(race, SESSIONS);
    uint32_t db = below(race, DATABASES);
    uint32_t key = below(race, KEYS);
    /* WATCH opens a view, which takes a key away whose time is over. */
    snprintf(line, sizeof(line), "EXISTS %s", race->names[key]);
    run(race, db, line);
    struct shard *shard = race->shards->shards[race->owners[key]];
    watch_add(shard, session + 1, (uint16_t)db, slice_of_string(race->names[key]),
              race->hashes[key]);
    race->model.watches[session][db][key] = true;
    cr_assert_neq(shard->interest & INTEREST_WATCH, 0);
}

static void
unwatch(struct race *race)
{
    uint32_t session = below(race, SESSIONS);
    uint32_t owner = below(race, SHARDS);
    watch_remove(race->shards->shards[owner], session + 1);
    race->model.is_dirty[session][owner] = false;
    for (uint32_t db = 0; db < DATABASES; db++) {
        for (uint32_t key = 0; key < KEYS; key++) {
            race->model.watches[session][db][key] &= race->owners[key] != owner;
        }
    }
}

static void
check(struct race *race, uint64_t seed, uint32_t step)
{
    for (uint32_t owner = 0; owner < SHARDS; owner++) {
        struct shard *shard = race->shards->shards[owner];
        bool is_any = false;
        for (uint32_t i = 0; i < SESSIONS; i++) {
            cr_assert_eq(watch_is_dirty(shard, i + 1), race->model.is_dirty[i][owner],
                         "seed %llu, step %u: session %u at %u", (unsigned long long)seed, step, i,
                         owner);
            for (uint32_t key = 0; key < KEYS; key++) {
                for (uint32_t db = 0; db < DATABASES; db++) {
                    is_any |= race->owners[key] == owner && race->model.watches[i][db][key];
                }
            }
        }
        cr_assert_eq((shard->interest & INTEREST_WATCH) != 0, is_any);
    }
}

static void
step(struct race *race)
{
    uint32_t drawn = below(race, 100);
    if (drawn < 45) {
        watch(race);
    } else if (drawn < 65) {
        alter_key(race);
    } else if (drawn < 85) {
        unwatch(race);
    } else if (drawn < 87) {
        alter_all(race);
    } else if (drawn < 95) {
        shards_advance(race->shards, 1 + below(race, 10));
        model_expire(race);
    } else {
        expire(race);
    }
}

Test(watch, marks_are_those_of_the_model)
{
    uint64_t seed = (uint64_t)time(NULL) << 16;
    fprintf(stderr, "watch: seed %llu\n", (unsigned long long)seed);
    struct race *race = calloc(1, sizeof(*race));
    race->shards = shards_new(SHARDS, 1);
    random_create(&race->random, seed);
    const struct keyspace *keyspace = &race->shards->shards[0]->keyspace;
    for (uint32_t key = 0; key < KEYS; key++) {
        snprintf(race->names[key], sizeof(race->names[key]), "k%u", key);
        struct slice name = slice_of_string(race->names[key]);
        race->owners[key] = race->shards->node.slot_owner[key_slot(name)];
        race->hashes[key] = keyspace_hash(keyspace, name);
    }
    for (uint32_t i = 0; i < STEPS; i++) {
        step(race);
        check(race, seed, i);
    }
    shards_delete(race->shards); /* watches that are left go with their shard */
    free(race);
}

Test(watch, nobody_watches)
{
    struct shards *shards = shards_new(1, 1);
    struct shard *shard = shards->shards[0];
    cr_assert_not(watch_is_dirty(shard, 1));
    watch_remove(shard, 1);
    watch_flushed(shard, UINT32_MAX);
    watch_swapped(shard, 0, 1);
    cr_assert_eq(shard->interest & INTEREST_WATCH, 0);
    shards_delete(shards);
}

Test(watch, the_empty_key_and_one_with_zero_bytes)
{
    struct shards *shards = shards_new(1, 1);
    struct shard *shard = shards->shards[0];
    struct slice zero = slice_of("a\0b", 3);
    watch_add(shard, 1, 0, SLICE(""), keyspace_hash(&shard->keyspace, SLICE("")));
    watch_add(shard, 2, 0, zero, keyspace_hash(&shard->keyspace, zero));
    watch_key_changed(shard, 0, SLICE("a"), keyspace_hash(&shard->keyspace, SLICE("a")));
    cr_assert_not(watch_is_dirty(shard, 1));
    cr_assert_not(watch_is_dirty(shard, 2));
    shards_line(shards, "SET '' v");
    cr_assert(watch_is_dirty(shard, 1));
    cr_assert_not(watch_is_dirty(shard, 2));
    watch_key_changed(shard, 0, zero, keyspace_hash(&shard->keyspace, zero));
    cr_assert(watch_is_dirty(shard, 2));
    shards_delete(shards);
}
