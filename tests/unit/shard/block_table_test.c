/*
 * block_table_test.c: who waits for which key, and who is served: one shard with its router, some
 * connections, and a model that holds lists as arrays and those who wait as a queue by age. Each
 * command is answered, and each wait that it ends, before the next one is drawn, so that the model
 * knows every byte that every connection gets.
 */
#include "shard/block.h"

#include "core/heap.h"
#include "core/mailbox.h"
#include "core/random.h"
#include "shard/change.h"
#include "shard/lane.h"
#include "shard/multi.h"
#include "shard/router.h"
#include "shard/session.h"
#include "shard/shard.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define MEMBERS 8
#define KEYS 4
#define LIST_MAX 4000
#define WORDS_MAX 12
#define EXPECTED_MAX 4096
#define START_MS INT64_C(1700000000000)

#define WRONG_TYPE "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"

enum wait_kind { WAIT_NONE, WAIT_LEFT, WAIT_RIGHT, WAIT_MOVE };

struct member {
    struct session session;
    struct lane lane;
    struct output output;
    bool is_over;
    /* ---- the model's ---- */
    enum wait_kind waits;
    uint64_t age;
    int64_t deadline_ms; /* INT64_MAX: none */
    uint32_t keys[KEYS];
    uint32_t key_count;
    uint32_t destination;
    char expected[EXPECTED_MAX];
    size_t expected_size;
};

struct model_key {
    bool is_string;
    uint32_t count; /* of a list; 0: there is none */
    uint32_t items[LIST_MAX];
};

struct race {
    struct random random;
    uint64_t seed;
    struct node *node;
    struct shard *shard;
    struct exchange *exchange;
    struct config *config;
    struct command_table *table;
    struct member members[MEMBERS];
    uint64_t next_id;
    struct model_key keys[KEYS];
    uint32_t ready[KEYS];
    uint32_t ready_count;
    uint32_t next_value;
    uint64_t next_age;
    uint64_t served_count;
    char line[256]; /* the command, for messages */
};

static uint32_t
below(struct race *race, uint32_t bound)
{
    return (uint32_t)random_below(&race->random, bound);
}

static void PRINTF_LIKE(2, 3) expect(struct member *member, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    size_t room = sizeof(member->expected) - member->expected_size;
    int size = vsnprintf(member->expected + member->expected_size, room, format, arguments);
    va_end(arguments);
    cr_assert(size >= 0 && (size_t)size < room);
    member->expected_size += (size_t)size;
}

/* ---- the shard ---- */

static void
member_resume(struct lane *lane)
{
    (void)lane;
}

static void
member_ended(struct lane *lane)
{
    struct member *member = container_of(lane, struct member, lane);
    multi_discard(&member->session);
    session_destroy(&member->session);
    member->is_over = true;
}

static const struct lane_ops member_ops = {.resume = member_resume, .ended = member_ended};

static void
member_create(struct race *race, struct member *member)
{
    *member = (struct member){0};
    session_create(&member->session, race->shard, ++race->next_id, START_MS);
    member->session.protocol = 2;
    output_create(&member->output);
    lane_create(&member->lane, race->shard, &member->session, &member->output, &member_ops);
}

static void
receive(void *context, struct mail *mail)
{
    cr_assert(router_receive(context, mail));
}

static void
deliver_all(struct race *race)
{
    mail_flush(race->exchange, 0);
    while (mail_receive_from(race->exchange, 0, 0, UINT32_MAX, receive, race->shard) > 0) {
    }
}

/** The connection ends, whatever it does. */
static void
member_leave(struct race *race, struct member *member)
{
    if (member->session.blocker != NULL) {
        member->lane.output = NULL;
        cr_assert(block_end(&member->session, BLOCK_GONE));
    } else {
        lane_abandon(&member->lane);
    }
    deliver_all(race);
    cr_assert(member->is_over);
    output_destroy(&member->output);
}

static struct race *
race_new(uint64_t seed)
{
    struct race *race = calloc(1, sizeof(*race));
    race->seed = seed;
    random_create(&race->random, seed);
    race->config = config_new();
    race->table = command_table_new();
    race->exchange = exchange_new(1);
    race->node = heap_alloc_lines(1, sizeof(*race->node));
    race->node->shard_count = 1;
    race->node->commands = race->table;
    race->node->shards = &race->shard;
    race->shard = calloc(1, sizeof(*race->shard));
    struct shard_seed shard_seed = {.hash_seed = seed, .random_seed = seed, .now_ms = START_MS};
    shard_create(race->shard, race->node, 0, race->config, race->exchange, &shard_seed);
    for (uint32_t i = 0; i < MEMBERS; i++) {
        member_create(race, &race->members[i]);
    }
    return race;
}

static void
race_delete(struct race *race)
{
    for (uint32_t i = 0; i < MEMBERS; i++) {
        member_leave(race, &race->members[i]);
    }
    cr_assert_eq(block_client_count(race->shard), 0);
    cr_assert_eq(race->shard->interest & (INTEREST_BLOCK | INTEREST_READY), 0,
                 "nobody waits any more");
    cr_assert_eq(router_pending_count(race->shard), 0);
    shard_destroy(race->shard);
    free(race->shard);
    exchange_delete(race->exchange);
    command_table_delete(race->table);
    config_delete(race->config);
    heap_free(race->node);
    free(race);
}

/** Send a line of words. */
static void
say(struct race *race, struct member *member, const char *line)
{
    struct slice argv[WORDS_MAX];
    struct request request = {.argv = argv};
    snprintf(race->line, sizeof(race->line), "%" PRIu64 ": %s", member->session.id, line);
    for (const char *at = line; *at != '\0';) {
        size_t size = strcspn(at, " ");
        cr_assert_lt(request.argc, WORDS_MAX);
        argv[request.argc++] = slice_of(at, size);
        at += size + (at[size] == ' ');
    }
    router_resolve(race->shard, &request);
    request.session_id = member->session.id;
    request.protocol = 2;
    request.flags = (member->session.flags & SESSION_MULTI) != 0 ? REQUEST_MULTI : 0;
    cr_assert_eq(router_start(race->shard, &member->lane, &request, NULL), ROUTER_STARTED);
    router_lane_end(race->shard, &member->lane);
    deliver_all(race);
}

static void
check(struct race *race)
{
    uint32_t waiting_count = 0;
    for (uint32_t i = 0; i < MEMBERS; i++) {
        struct member *member = &race->members[i];
        char *bytes = output_flatten(&member->output);
        size_t size = member->output.byte_count;
        bool is_right = size == member->expected_size &&
                        (size == 0 || memcmp(bytes, member->expected, size) == 0);
        cr_assert(is_right, "seed %" PRIu64 ", %s\n%" PRIu64 " got %.*s\nexpected %.*s", race->seed,
                  race->line, member->session.id, (int)size, bytes, (int)member->expected_size,
                  member->expected);
        cr_assert_eq(member->session.blocker != NULL, member->waits != WAIT_NONE);
        waiting_count += member->waits != WAIT_NONE;
        output_consume(&member->output, size);
        heap_free(bytes);
        member->expected_size = 0;
    }
    cr_assert_eq(block_client_count(race->shard), waiting_count);
    cr_assert_eq((race->shard->interest & INTEREST_BLOCK) != 0, waiting_count > 0);
}

/* ---- the model ---- */

static void
model_push(struct race *race, uint32_t key, uint32_t value, bool is_first)
{
    struct model_key *list = &race->keys[key];
    cr_assert_lt(list->count, LIST_MAX);
    if (is_first) {
        memmove(list->items + 1, list->items, list->count * sizeof(list->items[0]));
        list->items[0] = value;
    } else {
        list->items[list->count] = value;
    }
    list->count++;
}

static uint32_t
model_pop(struct race *race, uint32_t key, bool is_first)
{
    struct model_key *list = &race->keys[key];
    cr_assert_gt(list->count, 0);
    uint32_t value = list->items[is_first ? 0 : list->count - 1];
    list->count--;
    if (is_first) {
        memmove(list->items, list->items + 1, list->count * sizeof(list->items[0]));
    }
    return value;
}

static void
model_ready(struct race *race, uint32_t key)
{
    for (uint32_t i = 0; i < race->ready_count; i++) {
        if (race->ready[i] == key) {
            return;
        }
    }
    race->ready[race->ready_count++] = key;
}

/** The member's command gets what is in the list. */
static void
model_serve(struct race *race, struct member *member, enum wait_kind kind, uint32_t key)
{
    member->waits = WAIT_NONE;
    if (kind != WAIT_MOVE) {
        uint32_t value = model_pop(race, key, kind == WAIT_LEFT);
        char text[16];
        int size = snprintf(text, sizeof(text), "%u", value);
        expect(member, "*2\r\n$2\r\nk%u\r\n$%d\r\n%s\r\n", key, size, text);
        return;
    }
    if (race->keys[member->destination].is_string) {
        expect(member, WRONG_TYPE);
        return;
    }
    uint32_t value = model_pop(race, key, true);
    char text[16];
    int size = snprintf(text, sizeof(text), "%u", value);
    expect(member, "$%d\r\n%s\r\n", size, text);
    model_push(race, member->destination, value, false);
    model_ready(race, member->destination);
}

static bool
waits_for(const struct member *member, uint32_t key)
{
    for (uint32_t i = 0; i < member->key_count; i++) {
        if (member->keys[i] == key) {
            return member->waits != WAIT_NONE;
        }
    }
    return false;
}

/** The oldest who waits for the key and is younger than `age`. */
static struct member *
next_waiting(struct race *race, uint32_t key, uint64_t age)
{
    struct member *found = NULL;
    for (uint32_t i = 0; i < MEMBERS; i++) {
        struct member *member = &race->members[i];
        if (waits_for(member, key) && member->age > age &&
            (found == NULL || member->age < found->age)) {
            found = member;
        }
    }
    return found;
}

static void
model_serve_ready(struct race *race)
{
    while (race->ready_count > 0) {
        uint32_t key = race->ready[0];
        memmove(race->ready, race->ready + 1, --race->ready_count * sizeof(race->ready[0]));
        struct member *member = next_waiting(race, key, 0);
        while (member != NULL) {
            uint64_t age = member->age;
            if (race->keys[key].count > 0) {
                model_serve(race, member, member->waits, key);
                race->served_count++;
            }
            member = next_waiting(race, key, age);
        }
    }
}

/* ---- commands ---- */

/** A command that waits: what the model says of it at once. */
static void
model_wait(struct race *race, struct member *member, enum wait_kind kind, int64_t timeout_ms)
{
    member->waits = kind;
    member->age = ++race->next_age;
    member->deadline_ms = timeout_ms == 0 ? INT64_MAX : race->shard->now_ms + timeout_ms;
    for (uint32_t i = 0; i < member->key_count; i++) {
        const struct model_key *key = &race->keys[member->keys[i]];
        if (key->is_string) {
            member->waits = WAIT_NONE;
            expect(member, WRONG_TYPE);
            return;
        }
        if (key->count > 0) {
            model_serve(race, member, kind, member->keys[i]);
            model_serve_ready(race);
            return;
        }
    }
}

static void
do_wait(struct race *race, struct member *member)
{
    char line[128];
    int64_t timeout_ms = below(race, 4) == 0 ? 1 + below(race, 40) : 0;
    char timeout[16];
    snprintf(timeout, sizeof(timeout), "0.%03d", (int)timeout_ms);
    if (below(race, 3) == 0) {
        member->key_count = 1;
        member->keys[0] = below(race, KEYS);
        member->destination = below(race, KEYS);
        snprintf(line, sizeof(line), "BLMOVE k%u k%u LEFT RIGHT %s", member->keys[0],
                 member->destination, timeout);
        model_wait(race, member, WAIT_MOVE, timeout_ms);
    } else {
        enum wait_kind kind = below(race, 2) == 0 ? WAIT_LEFT : WAIT_RIGHT;
        member->key_count = 1 + below(race, KEYS);
        size_t size = (size_t)snprintf(line, sizeof(line), kind == WAIT_LEFT ? "BLPOP" : "BRPOP");
        for (uint32_t i = 0; i < member->key_count; i++) {
            member->keys[i] = below(race, KEYS); /* perhaps one of them twice */
            size += (size_t)snprintf(line + size, sizeof(line) - size, " k%u", member->keys[i]);
        }
        snprintf(line + size, sizeof(line) - size, " %s", timeout);
        model_wait(race, member, kind, timeout_ms);
    }
    say(race, member, line);
}

static void
do_push(struct race *race, struct member *member, uint32_t key, uint32_t count)
{
    char line[128];
    bool is_first = below(race, 2) == 0;
    bool is_string = race->keys[key].is_string;
    size_t size = (size_t)snprintf(line, sizeof(line), "%s k%u", is_first ? "LPUSH" : "RPUSH", key);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t value = ++race->next_value;
        size += (size_t)snprintf(line + size, sizeof(line) - size, " %u", value);
        if (!is_string) {
            model_push(race, key, value, is_first);
        }
    }
    if (is_string) {
        expect(member, WRONG_TYPE);
    } else {
        expect(member, ":%u\r\n", race->keys[key].count);
        model_ready(race, key);
    }
    model_serve_ready(race);
    say(race, member, line);
}

/** The key becomes a string, or goes away: nobody is served. */
static void
do_replace(struct race *race, struct member *member, uint32_t key)
{
    char line[128];
    struct model_key *model = &race->keys[key];
    bool is_there = model->is_string || model->count > 0;
    bool is_set = below(race, 3) == 0;
    model->count = 0;
    model->is_string = is_set;
    if (is_set) {
        expect(member, "+OK\r\n");
    } else {
        expect(member, ":%d\r\n", is_there);
    }
    snprintf(line, sizeof(line), is_set ? "SET k%u x" : "DEL k%u", key);
    say(race, member, line);
}

/** Whoever waits sees what a transaction leaves, not what was there in between. */
static void
do_exec(struct race *race, struct member *member, uint32_t key)
{
    char line[128];
    uint32_t first = ++race->next_value;
    uint32_t second = ++race->next_value;
    bool leaves_one = below(race, 2) == 0;
    if (race->keys[key].is_string) {
        return;
    }
    expect(member, "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*3\r\n:%u\r\n",
           race->keys[key].count + 1);
    say(race, member, "MULTI");
    snprintf(line, sizeof(line), "RPUSH k%u %u", key, first);
    say(race, member, line);
    snprintf(line, sizeof(line), "DEL k%u", key);
    say(race, member, line);
    expect(member, ":1\r\n:1\r\n");
    race->keys[key].count = 0;
    snprintf(line, sizeof(line), leaves_one ? "LPUSH k%u %u" : "EXISTS k%u k%u", key,
             leaves_one ? second : key);
    if (leaves_one) {
        model_push(race, key, second, true);
    } else {
        member->expected_size -= strlen(":1\r\n");
        expect(member, ":0\r\n");
    }
    model_ready(race, key);
    model_serve_ready(race);
    say(race, member, line);
    say(race, member, "EXEC");
}

static void
do_time(struct race *race)
{
    race->shard->now_ms += 1 + below(race, 20);
    snprintf(race->line, sizeof(race->line), "time passes");
    for (uint32_t i = 0; i < MEMBERS; i++) {
        struct member *member = &race->members[i];
        if (member->waits != WAIT_NONE && member->deadline_ms <= race->shard->now_ms) {
            expect(member, "*-1\r\n");
            member->waits = WAIT_NONE;
        }
    }
    cr_assert(block_client_count(race->shard) == 0 || block_next_ms(race->shard) > START_MS);
    block_advance(race->shard);
    deliver_all(race);
}

static void
do_unblock(struct race *race, struct member *member)
{
    bool is_error = below(race, 2) == 0;
    bool was_waiting = member->waits != WAIT_NONE;
    snprintf(race->line, sizeof(race->line), "%" PRIu64 " is unblocked", member->session.id);
    if (was_waiting && is_error) {
        expect(member, "-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n");
    } else if (was_waiting) {
        expect(member, "*-1\r\n");
    }
    member->waits = WAIT_NONE;
    cr_assert_eq(block_end(&member->session, is_error ? BLOCK_UNBLOCK_ERROR : BLOCK_TIMEOUT),
                 was_waiting);
    deliver_all(race);
}

static void
step(struct race *race)
{
    struct member *member = &race->members[below(race, MEMBERS)];
    uint32_t key = below(race, KEYS);
    uint32_t drawn = below(race, 100);
    if (drawn < 4) {
        snprintf(race->line, sizeof(race->line), "%" PRIu64 " leaves", member->session.id);
        member_leave(race, member);
        member_create(race, member);
    } else if (drawn < 8) {
        do_unblock(race, member);
    } else if (drawn < 14) {
        do_time(race);
    } else if (member->waits != WAIT_NONE) {
        return;
    } else if (drawn < 55) {
        do_wait(race, member);
    } else if (drawn < 75) {
        do_push(race, member, key, 1 + below(race, 3));
    } else if (drawn < 90) {
        do_replace(race, member, key);
    } else {
        do_exec(race, member, key);
    }
}

Test(block_table, the_oldest_is_served_first)
{
    uint64_t seed = (uint64_t)time(NULL) << 16;
    fprintf(stderr, "block table: seed %" PRIu64 "\n", seed);
    uint64_t served_count = 0;
    for (uint32_t round = 0; round < 40; round++) {
        struct race *race = race_new(seed + round);
        for (uint32_t i = 0; i < 600; i++) {
            step(race);
            check(race);
        }
        served_count += race->served_count;
        race_delete(race);
    }
    cr_assert_gt(served_count, 1000, "the race is too tame");
}

/** Whoever registers again, after an offer in vain, has his old ticket: his old place. */
Test(block_table, tickets_decide_and_not_arrival)
{
    static const uint64_t tickets[] = {500, 900, 100, 700, 300};
    static const uint32_t served[] = {2, 4, 0, 3, 1};
    struct race *race = race_new(5);
    for (uint32_t i = 0; i < ARRAY_COUNT(tickets); i++) {
        atomic_store(&race->node->ticket_next, tickets[i]);
        say(race, &race->members[i], "BLPOP k0 0");
        race->members[i].waits = WAIT_LEFT;
    }
    check(race);
    struct member *other = &race->members[ARRAY_COUNT(tickets)];
    for (uint32_t i = 0; i < ARRAY_COUNT(served); i++) {
        expect(other, ":1\r\n");
        expect(&race->members[served[i]], "*2\r\n$2\r\nk0\r\n$1\r\nx\r\n");
        race->members[served[i]].waits = WAIT_NONE;
        say(race, other, "RPUSH k0 x");
        check(race);
    }
    race_delete(race);
}

Test(block_table, a_swapped_database_wakes)
{
    struct race *race = race_new(1);
    struct member *waiting = &race->members[0];
    struct member *other = &race->members[1];
    say(race, waiting, "BLPOP k0 0");
    waiting->waits = WAIT_LEFT;
    other->session.db = 1;
    struct slice argv[] = {SLICE("RPUSH"), SLICE("k0"), SLICE("7")};
    struct request request = {.argv = argv, .argc = 3, .db = 1, .protocol = 2};
    router_resolve(race->shard, &request);
    cr_assert_eq(router_start(race->shard, &other->lane, &request, NULL), ROUTER_STARTED);
    deliver_all(race);
    expect(other, ":1\r\n");
    check(race); /* the key of another database is another key */
    expect(other, "+OK\r\n");
    expect(waiting, "*2\r\n$2\r\nk0\r\n$1\r\n7\r\n");
    waiting->waits = WAIT_NONE;
    say(race, other, "SWAPDB 0 1");
    check(race);
    race_delete(race);
}

Test(block_table, a_flush_wakes_nobody_and_forgets_nobody)
{
    struct race *race = race_new(2);
    struct member *waiting = &race->members[0];
    say(race, waiting, "BLPOP k0 0");
    waiting->waits = WAIT_LEFT;
    for (uint32_t i = 0; i < 2; i++) {
        expect(&race->members[1], "+OK\r\n");
        say(race, &race->members[1], i == 0 ? "FLUSHALL" : "FLUSHDB");
        check(race);
    }
    expect(&race->members[1], ":1\r\n");
    expect(waiting, "*2\r\n$2\r\nk0\r\n$1\r\n9\r\n");
    waiting->waits = WAIT_NONE;
    say(race, &race->members[1], "RPUSH k0 9");
    check(race);
    race_delete(race);
}

/** Sorted sets and streams wait in the same table, each for its own type. */
Test(block_table, each_type_wakes_its_own)
{
    struct race *race = race_new(3);
    struct member *list = &race->members[0];
    struct member *zset = &race->members[1];
    struct member *other = &race->members[2];
    say(race, list, "BLPOP k0 0");
    list->waits = WAIT_LEFT;
    say(race, zset, "BZPOPMIN k0 0");
    zset->waits = WAIT_LEFT;
    check(race);
    expect(other, ":1\r\n");
    expect(zset, "*3\r\n$2\r\nk0\r\n$1\r\nm\r\n$1\r\n5\r\n");
    zset->waits = WAIT_NONE;
    say(race, other, "ZADD k0 5 m");
    check(race);
    expect(other, ":1\r\n");
    expect(list, "*2\r\n$2\r\nk0\r\n$1\r\nx\r\n");
    list->waits = WAIT_NONE;
    say(race, other, "RPUSH k0 x");
    check(race);
    race_delete(race);
}

/** The table grows and comes down to nothing again. */
Test(block_table, many_keys)
{
    struct race *race = race_new(4);
    struct member *other = &race->members[1];
    for (uint32_t i = 0; i < 300; i++) {
        char line[64];
        struct member *waiting = &race->members[0];
        snprintf(line, sizeof(line), "BLPOP a%u b%u c%u d%u 0", i, i, i, i);
        say(race, waiting, line);
        waiting->waits = WAIT_LEFT;
        check(race);
        expect(other, ":1\r\n");
        char name[16];
        int size = snprintf(name, sizeof(name), "%c%u", "abcd"[i % 4], i);
        expect(waiting, "*2\r\n$%d\r\n%s\r\n$1\r\nv\r\n", size, name);
        waiting->waits = WAIT_NONE;
        snprintf(line, sizeof(line), "RPUSH %s v", name);
        say(race, other, line);
        check(race);
    }
    race_delete(race);
}
