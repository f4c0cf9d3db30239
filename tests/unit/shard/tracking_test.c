/*
 * tracking_test.c: the table of tracked names against a naive model, and random histories of
 * several shards in one thread, with every order of mail: members read and write at the same time
 * and keep what they have read until they are told that it has changed. In the end nobody may keep
 * anything that is not so.
 */
#include "shard/tracking.h"

#include "core/hash.h"
#include "core/heap.h"
#include "core/mailbox.h"
#include "core/random.h"
#include "shard/change.h"
#include "shard/lane.h"
#include "shard/multi.h"
#include "shard/router.h"
#include "shard/session.h"
#include "shard/tracking_table.h"
#include "shard/view.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* ---- the table ---- */

#define TABLE_NAMES 900
#define TABLE_TRACKERS 40

/** Which tracker has which name. */
struct table_model {
    bool has[TABLE_NAMES][TABLE_TRACKERS];
    uint32_t tracker_counts[TABLE_NAMES];
    uint64_t key_count;
    uint64_t item_count;
};

static struct slice
table_name(char bytes[16], uint32_t index)
{
    return slice_of(bytes, index == 0 ? 0 : (size_t)snprintf(bytes, 16, "name%u", index));
}

/** The key that was taken out has exactly the model's trackers; the model forgets it. */
static void
check_taken(struct table_model *model, uint32_t name, struct tracked_key *key)
{
    cr_assert_eq(key == NULL, model->tracker_counts[name] == 0, "name %u", name);
    if (key == NULL) {
        return;
    }
    cr_assert_eq(key->tracker_count, model->tracker_counts[name], "name %u", name);
    for (uint32_t i = 0; i < key->tracker_count; i++) {
        uint64_t tracker = tracked_key_trackers(key)[i];
        uint32_t session = (uint32_t)tracker_session_id(tracker) - 1;
        cr_assert(i == 0 || tracked_key_trackers(key)[i - 1] < tracker);
        cr_assert_eq(tracker_core(tracker), session % 7);
        cr_assert(model->has[name][session]);
        model->has[name][session] = false;
    }
    model->key_count--;
    model->item_count -= key->tracker_count;
    model->tracker_counts[name] = 0;
    tracked_key_delete(key);
}

static void
table_step(struct table_model *model, struct tracking_table *table, struct random *random,
           uint32_t add_share)
{
    char bytes[16];
    uint32_t name = (uint32_t)random_below(random, TABLE_NAMES);
    struct slice slice = table_name(bytes, name);
    uint64_t hash = hash_bytes(slice.data, slice.size, 7);
    if (random_below(random, 100) < add_share) {
        uint32_t session = (uint32_t)random_below(random, TABLE_TRACKERS);
        tracking_table_add(table, slice, hash, tracker_of(session + 1, session % 7));
        if (!model->has[name][session]) {
            model->key_count += model->tracker_counts[name] == 0;
            model->tracker_counts[name]++;
            model->item_count++;
            model->has[name][session] = true;
        }
    } else if (random_below(random, 4) > 0) {
        check_taken(model, name, tracking_table_take(table, slice, hash));
    } else {
        struct tracked_key *key = tracking_table_take_random(table, random);
        cr_assert_eq(key == NULL, model->key_count == 0);
        if (key != NULL) {
            char digits[16] = "";
            memcpy(digits, key->bytes, key->size);
            check_taken(model, key->size == 0 ? 0 : (uint32_t)strtoul(digits + 4, NULL, 10), key);
        }
    }
    cr_assert_eq(table->key_count, model->key_count);
    cr_assert_eq(table->item_count, model->item_count);
}

Test(tracking, table_is_what_the_model_says)
{
    uint64_t seed = (uint64_t)time(NULL) << 16;
    fprintf(stderr, "tracking table: seed %llu\n", (unsigned long long)seed);
    struct random random;
    random_create(&random, seed);
    struct table_model *model = calloc(1, sizeof(*model));
    struct tracking_table table;
    tracking_table_create(&table);
    for (uint32_t i = 0; i < 200000; i++) {
        /* It grows, shrinks to nothing and grows again. */
        table_step(model, &table, &random, i / 20000 % 2 == 0 ? 80 : 20);
    }
    uint32_t drained_count = 0;
    while (!tracking_table_drain(&table, 1 + (uint32_t)random_below(&random, 50))) {
        drained_count++;
        cr_assert_lt(drained_count, 100000);
    }
    cr_assert_eq(table.key_count, 0);
    cr_assert_eq(table.item_count, 0);
    cr_assert_null(table.segments);
    free(model);
}

/* ---- histories ---- */

#define MEMBERS 6
#define OPS_MAX 50
#define KEYS 5
#define SHARDS_MAX 5

static const char *const keys[KEYS] = {"a", "b", "c", "user:1", "user:2"};

enum verb { GET, MGET, SET, MSET, DEL, FLUSHALL, TRACKING, MULTI, EXEC };

struct op {
    enum verb verb;
    struct slice argv[6];
    uint32_t argc;
    char text[8];
};

struct member {
    struct session session;
    struct lane lane;
    struct output output;
    struct op ops[OPS_MAX];
    uint32_t op_count;
    uint32_t started_count;
    uint32_t mode; /* index in `modes` */
    bool is_over;
    bool has[KEYS]; /* its cache */
    char kept[KEYS][8];
};

struct history {
    struct random random;
    struct node *node;
    struct shard *shards[SHARDS_MAX];
    struct exchange *exchange;
    struct config *config;
    struct command_table *table;
    struct member members[MEMBERS];
    uint32_t value;
};

/** NOLOOP would keep what it has written itself. */
static const char *const modes[] = {"CLIENT TRACKING ON", "CLIENT TRACKING ON",
                                    "CLIENT TRACKING ON BCAST",
                                    "CLIENT TRACKING ON BCAST PREFIX user:"};

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

static uint32_t
below(struct history *history, uint32_t limit)
{
    return (uint32_t)random_below(&history->random, limit);
}

static void
op_word(struct op *op, const char *word)
{
    op->argv[op->argc++] = slice_of_string(word);
}

static void
op_draw(struct history *history, struct op *op)
{
    static const enum verb verbs[] = {GET, GET, GET,  GET, MGET,  MGET, SET,
                                      SET, SET, MSET, DEL, MULTI, EXEC, EXEC};
    static const char *const words[] = {"GET",      "MGET",   "SET",   "MSET", "DEL",
                                        "FLUSHALL", "CLIENT", "MULTI", "EXEC"};
    op->verb = verbs[below(history, ARRAY_COUNT(verbs))];
    if (below(history, 60) == 0) {
        op->verb = FLUSHALL;
    }
    op_word(op, words[op->verb]);
    snprintf(op->text, sizeof(op->text), "%u", history->value++);
    if (op->verb == GET || op->verb == SET || op->verb == DEL) {
        op_word(op, keys[below(history, KEYS)]);
    }
    if (op->verb == MGET || op->verb == MSET) {
        uint32_t first = below(history, KEYS);
        op_word(op, keys[first]);
        if (op->verb == MSET) {
            op_word(op, op->text);
        }
        op_word(op, keys[(first + 1 + below(history, KEYS - 1)) % KEYS]);
    }
    if (op->verb == SET || op->verb == MSET) {
        op_word(op, op->text);
    }
}

static void
member_create(struct history *history, struct member *member, uint64_t id)
{
    struct shard *shard = history->shards[below(history, history->node->shard_count)];
    session_create(&member->session, shard, id, 1000);
    member->session.protocol = 3;
    output_create(&member->output);
    lane_create(&member->lane, shard, &member->session, &member->output, &member_ops);
    member->mode = below(history, ARRAY_COUNT(modes));
    member->op_count = 1 + below(history, OPS_MAX - 2);
    struct op *first = &member->ops[0];
    first->verb = TRACKING;
    for (const char *at = modes[member->mode]; *at != '\0';) {
        size_t size = strcspn(at, " ");
        first->argv[first->argc++] = slice_of(at, size);
        at += size + (at[size] == ' ');
    }
    for (uint32_t j = 1; j < member->op_count; j++) {
        op_draw(history, &member->ops[j]);
    }
    struct op *last = &member->ops[member->op_count++];
    last->verb = EXEC;
    op_word(last, "EXEC");
}

static void
history_create(struct history *history, uint64_t seed)
{
    random_create(&history->random, seed);
    uint32_t shard_count = 1 + below(history, SHARDS_MAX);
    history->config = config_new();
    history->table = command_table_new();
    history->exchange = exchange_new(shard_count);
    history->node = heap_alloc_lines(1, sizeof(*history->node));
    history->node->shard_count = shard_count;
    history->node->commands = history->table;
    history->node->shards = history->shards;
    for (uint32_t i = 0; i < SLOT_COUNT; i++) {
        history->node->slot_owner[i] = (uint16_t)(i % shard_count);
    }
    struct shard_seed shard_seed = {.hash_seed = seed, .random_seed = seed, .now_ms = 1000};
    for (uint32_t i = 0; i < shard_count; i++) {
        history->shards[i] = calloc(1, sizeof(struct shard));
        shard_create(history->shards[i], history->node, i, history->config, history->exchange,
                     &shard_seed);
    }
    for (uint32_t i = 0; i < MEMBERS; i++) {
        member_create(history, &history->members[i], i + 1);
    }
}

static void
receive(void *context, struct mail *mail)
{
    cr_assert(router_receive(context, mail));
}

static bool
deliver_one(struct history *history)
{
    uint32_t count = history->node->shard_count;
    uint32_t link = below(history, count * count);
    for (uint32_t i = 0; i < count; i++) {
        mail_flush(history->exchange, i);
    }
    for (uint32_t i = 0; i < count * count; i++) {
        uint32_t to = link % count;
        if (mail_receive_from(history->exchange, to, link / count, 1, receive,
                              history->shards[to]) > 0) {
            return true;
        }
        link = (link + 1) % (count * count);
    }
    return false;
}

static void
start_one(struct member *member)
{
    struct op *op = &member->ops[member->started_count];
    struct session *session = &member->session;
    struct shard *shard = session->shard;
    struct request request = {.argv = op->argv, .argc = op->argc};
    router_resolve(shard, &request);
    request.session_id = session->id;
    request.protocol = 3;
    request.flags = (session->flags & SESSION_MULTI) != 0 ? REQUEST_MULTI : 0;
    uint32_t flags_before = session->flags;
    if (tracking_adopt(session, request.command)) {
        request.flags |= REQUEST_TRACK;
    }
    if (router_start(shard, &member->lane, &request, NULL) == ROUTER_STARTED) {
        member->started_count++;
    } else {
        session->flags = flags_before;
    }
    router_lane_end(shard, &member->lane);
}

static void
history_run(struct history *history)
{
    bool has_more = true;
    while (has_more) {
        struct member *member = &history->members[below(history, MEMBERS)];
        bool has_delivered = below(history, 3) > 0 && deliver_one(history);
        if (!has_delivered && member->started_count < member->op_count) {
            start_one(member);
        }
        has_more = has_delivered;
        for (uint32_t i = 0; i < MEMBERS; i++) {
            has_more |= history->members[i].started_count < history->members[i].op_count ||
                        !lane_is_idle(&history->members[i].lane);
        }
    }
    while (deliver_one(history)) {
    }
}

static void
history_destroy(struct history *history)
{
    for (uint32_t i = 0; i < MEMBERS; i++) {
        lane_abandon(&history->members[i].lane);
        output_destroy(&history->members[i].output);
        cr_assert(history->members[i].is_over);
    }
    while (deliver_one(history)) {
    }
    for (uint32_t i = 0; i < history->node->shard_count; i++) {
        struct shard *shard = history->shards[i];
        cr_assert_eq(tracking_prefix_total(shard), 0);
        cr_assert_eq(tracking_session_count(shard), 0);
        cr_assert_eq((shard->interest & INTEREST_TRACKING) != 0, tracking_key_count(shard) > 0);
        shard_destroy(shard);
        free(shard);
    }
    exchange_delete(history->exchange);
    command_table_delete(history->table);
    config_delete(history->config);
    heap_free(history->node);
}

/* ---- what the members keep ---- */

static uint32_t
key_index(struct slice name)
{
    uint32_t i = 0;
    while (i < KEYS && !slice_equal(slice_of_string(keys[i]), name)) {
        i++;
    }
    return i;
}

/** The next element: a bulk string's bytes; other kinds as their line, null as "_". */
static struct slice
element(const char **at)
{
    const char *end = strchr(*at, '\r');
    struct slice bytes = slice_of(*at, (size_t)(end - *at));
    *at = end + 2;
    if (*bytes.data == '$') {
        size_t size = strtoul(bytes.data + 1, NULL, 10);
        bytes = slice_of(end + 2, size);
        *at += size + 2;
    }
    return bytes;
}

/** The member has read the key. */
static void
keep(struct member *member, struct slice name, struct slice value)
{
    uint32_t index = key_index(name);
    if (member->mode == 3 && index < 3) {
        return; /* it is not told of these */
    }
    member->has[index] = true;
    snprintf(member->kept[index], sizeof(member->kept[index]), "%.*s", (int)value.size, value.data);
}

static void
take_reply(struct member *member, const struct op *op, const char **at)
{
    if (op->verb == MGET) {
        *at = strchr(*at, '\n') + 1;
        keep(member, op->argv[1], element(at));
        keep(member, op->argv[2], element(at));
        return;
    }
    struct slice value = element(at);
    if (op->verb == GET) {
        keep(member, op->argv[1], value);
    }
}

static void
take_push(struct member *member, const char **at)
{
    *at += 4;
    cr_assert(slice_equal(element(at), SLICE("invalidate")));
    struct slice what = element(at);
    if (*what.data == '_') {
        memset(member->has, 0, sizeof(member->has));
        return;
    }
    cr_assert(slice_equal(what, SLICE("*1")));
    uint32_t index = key_index(element(at));
    cr_assert_lt(index, KEYS);
    cr_assert(member->mode != 3 || index >= 3);
    member->has[index] = false;
}

/** Everything that the member got, in order. */
static void
take_output(struct member *member)
{
    char *text = output_flatten(&member->output);
    text = heap_realloc(text, member->output.byte_count + 1);
    text[member->output.byte_count] = '\0';
    uint32_t next = 0;
    uint32_t queued[OPS_MAX];
    uint32_t queued_count = 0;
    for (const char *at = text; *at != '\0';) {
        if (*at == '>') {
            take_push(member, &at);
            continue;
        }
        const struct op *op = &member->ops[next++];
        if (strncmp(at, "+QUEUED", 7) == 0) {
            queued[queued_count++] = next - 1;
            at += 9;
        } else if (op->verb == EXEC && *at == '*') {
            at = strchr(at, '\n') + 1;
            for (uint32_t i = 0; i < queued_count; i++) {
                take_reply(member, &member->ops[queued[i]], &at);
            }
            queued_count = 0;
        } else {
            take_reply(member, op, &at);
        }
    }
    cr_assert_eq(next, member->op_count);
    heap_free(text);
}

/** The key as its owner has it. */
static struct slice
truth(const struct history *history, const char *name, char digits[24])
{
    struct slice key = slice_of_string(name);
    uint32_t slot = key_slot(key);
    const struct shard *shard = history->shards[history->node->slot_owner[slot]];
    struct entry *entry =
        keyspace_find(&shard->keyspace, 0, slot, key, keyspace_hash(&shard->keyspace, key));
    if (entry == NULL) {
        return SLICE("_");
    }
    struct view view = {0};
    entry_value(entry, &view.value);
    return view_string(&view, digits);
}

static void
history_check(struct history *history, uint64_t seed)
{
    for (uint32_t i = 0; i < MEMBERS; i++) {
        struct member *member = &history->members[i];
        take_output(member);
        for (uint32_t j = 0; j < KEYS; j++) {
            char digits[24];
            struct slice value = truth(history, keys[j], digits);
            cr_assert(!member->has[j] || slice_equal(slice_of_string(member->kept[j]), value),
                      "seed %llu: member %u (%s) keeps %s of %s, which is %.*s",
                      (unsigned long long)seed, i, modes[member->mode], member->kept[j], keys[j],
                      (int)value.size, value.data);
        }
    }
}

Test(tracking, nobody_keeps_what_is_not_so)
{
    uint64_t seed = (uint64_t)time(NULL) << 16;
    fprintf(stderr, "tracking histories: seed %llu\n", (unsigned long long)seed);
    for (uint32_t i = 0; i < 500; i++) {
        struct history *history = calloc(1, sizeof(*history));
        history_create(history, seed + i);
        history_run(history);
        history_check(history, seed + i);
        history_destroy(history);
        free(history);
    }
}
