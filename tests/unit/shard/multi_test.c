/*
 * multi_test.c: what MULTI queues: copies of requests of all sizes, compared with the requests;
 * which database each command will find; keys under WATCH, and whom UNWATCH is mailed to.
 */
#include "shard/multi.h"

#include "core/mailbox.h"
#include "core/random.h"
#include "shard/change.h"
#include "shard/router.h"
#include "shard/value/raw.h"
#include "shard/watch.h"
#include "shards.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define QUEUE_MAX 80
#define ARGUMENTS_MAX 40

/** What was queued: bytes of our own. */
struct wanted {
    struct slice argv[ARGUMENTS_MAX];
    uint32_t argc;
    const struct command *command;
    struct raw *raw;
};

static struct slice
draw_bytes(struct random *random)
{
    static const size_t sizes[] = {0, 1, 7, 15, 16, 17, 100, 500, 1500, 9000};
    size_t size = sizes[random_below(random, ARRAY_COUNT(sizes))];
    char *bytes = malloc(size + 1);
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (char)random_below(random, 256);
    }
    return slice_of(bytes, size);
}

/** Queue a request whose bytes are overwritten afterwards. */
static void
queue_one(struct shards *shards, struct multi *multi, struct random *random, struct wanted *wanted)
{
    struct slice argv[ARGUMENTS_MAX];
    struct shard *shard = shards->shards[0];
    wanted->command = command_find(shards->table, SLICE("mset"));
    wanted->argc = 1 + (uint32_t)random_below(random, ARGUMENTS_MAX - 1);
    struct request request = {.command = wanted->command, .argv = argv, .argc = wanted->argc};
    for (uint32_t i = 0; i < wanted->argc; i++) {
        wanted->argv[i] = draw_bytes(random);
        argv[i] = slice_of(malloc(wanted->argv[i].size + 1), wanted->argv[i].size);
        memcpy((char *)(uintptr_t)argv[i].data, wanted->argv[i].data, argv[i].size);
    }
    wanted->raw = NULL;
    const char *moved = NULL;
    if (random_below(random, 5) == 0) {
        /* The last one has come in memory of its own, which counts in nobody's account. */
        uint32_t last = wanted->argc - 1;
        wanted->raw = raw_new(&shard->memory, 200, 200);
        memset(wanted->raw->data, 'r', 200);
        memory_disown(&shard->memory, raw_block_size(wanted->raw));
        request.large_raw = wanted->raw;
        moved = argv[last].data;
        argv[last] = slice_of(wanted->raw->data, 200);
    }
    multi_add(multi, &request);
    for (uint32_t i = 0; i < wanted->argc; i++) {
        char *bytes = (char *)(uintptr_t)argv[i].data;
        if (wanted->raw != NULL && i == wanted->argc - 1) {
            bytes = (char *)(uintptr_t)moved;
        } else {
            memset(bytes, '#', argv[i].size);
        }
        free(bytes);
    }
}

static void
check_queue(const struct multi *multi, const struct wanted *wanted, uint32_t count)
{
    cr_assert_eq(multi->count, count);
    for (uint32_t i = 0; i < count; i++) {
        const struct multi_item *item = &multi->items[i];
        cr_assert_eq(item->command, wanted[i].command);
        cr_assert_eq(item->argc, wanted[i].argc);
        cr_assert_eq(item->large_raw, wanted[i].raw);
        for (uint32_t j = 0; j < item->argc; j++) {
            bool is_large = wanted[i].raw != NULL && j == item->argc - 1;
            struct slice bytes = is_large ? slice_of(wanted[i].raw->data, 200) : wanted[i].argv[j];
            cr_assert(slice_equal(item->argv[j], bytes), "command %u, argument %u", i, j);
            cr_assert(!is_large || item->argv[j].data == wanted[i].raw->data, "it was copied");
        }
    }
}

Test(multi, what_is_queued_is_copied)
{
    uint64_t seed = (uint64_t)time(NULL) << 16;
    fprintf(stderr, "multi: seed %llu\n", (unsigned long long)seed);
    struct shards *shards = shards_new(1, 1);
    struct wanted *wanted = calloc(QUEUE_MAX, sizeof(*wanted));
    for (uint32_t round = 0; round < 15; round++) {
        struct random random;
        random_create(&random, seed + round);
        struct multi *multi = multi_new();
        uint32_t count = (uint32_t)random_below(&random, QUEUE_MAX);
        for (uint32_t i = 0; i < count; i++) {
            queue_one(shards, multi, &random, &wanted[i]);
            if (i % 16 == 0 || i == count - 1) {
                check_queue(multi, wanted, i + 1);
            }
        }
        multi_delete(shards->shards[0], multi);
        for (uint32_t i = 0; i < count; i++) {
            for (uint32_t j = 0; j < wanted[i].argc; j++) {
                free((void *)(uintptr_t)wanted[i].argv[j].data);
            }
        }
    }
    free(wanted);
    shards_delete(shards); /* asserts that large arguments were given back */
}

/** Queue a line of words. */
static void
queue_line(struct shards *shards, struct multi *multi, const char *line)
{
    struct slice argv[ARGUMENTS_MAX];
    uint32_t argc = 0;
    for (const char *at = line; *at != '\0';) {
        size_t size = strcspn(at, " ");
        argv[argc++] = slice_of(at, size);
        at += size + (at[size] == ' ');
    }
    struct request request = {
        .argv = argv, .argc = argc, .command = command_resolve(shards->table, argv, argc)};
    cr_assert_not_null(request.command, "%s", line);
    multi_add(multi, &request);
}

Test(multi, the_queue_says_what_it_needs)
{
    static const struct {
        const char *line;
        bool has_local;
        bool has_whole;
        uint32_t flags;
    } rows[] = {
        {"GET a", false, false, CMD_READONLY},     {"SET a b", false, false, CMD_WRITE},
        {"CLIENT GETNAME", true, false, 0},        {"SELECT 1", true, false, 0},
        {"DBSIZE", false, true, CMD_READONLY},     {"FLUSHALL", false, true, CMD_WRITE},
        {"SCAN 0", false, true, CMD_READONLY},     {"SORT a", false, false, CMD_WRITE},
        {"SORT a BY w*", false, true, CMD_WRITE},  {"MGET a b c", false, false, CMD_READONLY},
        {"PUBLISH c m", false, false, CMD_PUBSUB},
    };
    struct shards *shards = shards_new(1, 1);
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct multi *multi = multi_new();
        queue_line(shards, multi, rows[i].line);
        cr_assert_eq(multi->has_local, rows[i].has_local, "%s", rows[i].line);
        cr_assert_eq(multi->has_whole, rows[i].has_whole, "%s", rows[i].line);
        cr_assert_eq(multi->command_flags & rows[i].flags, rows[i].flags, "%s", rows[i].line);
        queue_line(shards, multi, "ECHO x");
        cr_assert_eq(multi->has_whole, rows[i].has_whole, "what is said stays said");
        multi_delete(shards->shards[0], multi);
    }
    multi_delete(shards->shards[0], NULL);
    shards_delete(shards);
}

Test(multi, each_command_knows_its_database)
{
    static const struct {
        const char *line;
        uint16_t db;
    } rows[] = {{"GET a", 3},    {"SELECT 5", 3},  {"GET a", 5},       {"SELECT x", 5},
                {"GET a", 5},    {"SELECT 16", 5}, {"GET a", 5},       {"SELECT -1", 5},
                {"SELECT 0", 5}, {"GET a", 0},     {"SELECT 15", 0},   {"GET SELECT", 15},
                {"ECHO 2", 15},  {"select 2", 15}, {"SET a SELECT", 2}};
    struct shards *shards = shards_new(1, 1);
    struct multi *multi = multi_new();
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        queue_line(shards, multi, rows[i].line);
    }
    for (uint32_t round = 0; round < 2; round++) { /* a plan may be made anew */
        multi_plan(multi, 3, 16);
        for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
            cr_assert_eq(multi->items[i].db, rows[i].db, "%zu: %s", i, rows[i].line);
        }
    }
    multi_delete(shards->shards[0], multi);
    shards_delete(shards);
}

/* ---- WATCH ---- */

#define SHARDS 4

static void
receive(void *context, struct mail *mail)
{
    cr_assert(router_receive(context, mail));
}

/** Returns how many messages there were. */
static uint32_t
deliver_all(struct shards *shards)
{
    uint32_t count = 0;
    for (uint32_t from = 0; from < shards->count; from++) {
        mail_flush(shards->exchange, from);
        for (uint32_t to = 0; to < shards->count; to++) {
            count += mail_receive_from(shards->exchange, to, from, UINT32_MAX, receive,
                                       shards->shards[to]);
        }
    }
    return count;
}

/** As WATCH does it, at both ends. */
static void
watch(struct shards *shards, uint16_t db, const char *name)
{
    struct slice key = slice_of_string(name);
    struct shard *owner = shards->shards[shards->node.slot_owner[key_slot(key)]];
    multi_watch(&shards->session, db, key);
    watch_add(owner, shards->session.id, db, key, keyspace_hash(&owner->keyspace, key));
}

static uint32_t
watching_shard_count(const struct shards *shards)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < shards->count; i++) {
        count += (shards->shards[i]->interest & INTEREST_WATCH) != 0;
    }
    return count;
}

Test(multi, watched_twice_is_watched_once)
{
    struct shards *shards = shards_new(SHARDS, 1);
    struct session *session = &shards->session;
    cr_assert_null(session->watches);
    for (uint32_t round = 0; round < 2; round++) {
        for (uint32_t i = 0; i < 100; i++) {
            char name[16];
            snprintf(name, sizeof(name), "key%u", i);
            multi_watch(session, (uint16_t)(i % 2), slice_of_string(name));
            memset(name, '#', sizeof(name)); /* it is copied */
        }
    }
    cr_assert_eq(session->watches->count, 100);
    multi_watch(session, 1, SLICE("key0")); /* in another database it is another key */
    multi_watch(session, 0, SLICE(""));
    multi_watch(session, 0, SLICE(""));
    cr_assert_eq(session->watches->count, 102);
    for (uint32_t i = 0; i < 100; i++) {
        char name[16];
        snprintf(name, sizeof(name), "key%u", i);
        const struct multi_watch *item = &session->watches->items[i];
        cr_assert(slice_equal(item->key, slice_of_string(name)));
        cr_assert_eq(item->db, i % 2);
        cr_assert_eq(item->slot, key_slot(item->key));
        cr_assert_eq(item->hash, keyspace_hash(&shards->shards[0]->keyspace, item->key));
    }
    multi_watches_delete(session->watches);
    session->watches = NULL;
    shards_delete(shards);
}

Test(multi, unwatch_goes_to_each_owner_once)
{
    struct shards *shards = shards_new(SHARDS, 1);
    for (uint32_t i = 0; i < 50; i++) {
        char name[16];
        snprintf(name, sizeof(name), "key%u", i);
        watch(shards, 0, name);
    }
    cr_assert_eq(watching_shard_count(shards), SHARDS);
    multi_unwatch(&shards->session);
    cr_assert_null(shards->session.watches);
    cr_assert_leq(deliver_all(shards), SHARDS);
    cr_assert_eq(watching_shard_count(shards), 0);
    multi_unwatch(&shards->session); /* nothing */
    cr_assert_eq(deliver_all(shards), 0);
    watch(shards, 0, "alone");
    multi_unwatch(&shards->session);
    cr_assert_leq(deliver_all(shards), 1);
    cr_assert_eq(watching_shard_count(shards), 0);
    shards_delete(shards);
}

Test(multi, discard_drops_queue_and_watches)
{
    struct shards *shards = shards_new(SHARDS, 1);
    struct session *session = &shards->session;
    session->multi = multi_new();
    session->flags |= SESSION_MULTI;
    queue_line(shards, session->multi, "SET a b");
    watch(shards, 0, "a");
    multi_discard(session);
    deliver_all(shards);
    cr_assert_null(session->multi);
    cr_assert_null(session->watches);
    cr_assert_eq(session->flags & SESSION_MULTI, 0);
    cr_assert_eq(watching_shard_count(shards), 0);
    multi_discard(session);
    shards_delete(shards);
}

Test(multi, watches_that_exec_took_over_go_with_the_queue)
{
    struct shards *shards = shards_new(1, 1);
    struct session *session = &shards->session;
    struct multi *multi = multi_new();
    multi_watch(session, 0, SLICE("a"));
    multi->watches = session->watches;
    session->watches = NULL;
    multi_delete(shards->shards[0], multi); /* leaks are a sanitizer's business */
    shards_delete(shards);
}
