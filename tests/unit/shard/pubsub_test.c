/*
 * pubsub_test.c: random histories of several shards in one thread, with every order of mail:
 * sessions subscribe, unsubscribe and publish at the same time. Each PUBLISH must be answered with
 * the number of those who got its message, everybody must see one order of each channel, and nobody
 * may hear what it does not subscribe to.
 */
#include "shard/pubsub.h"

#include "core/heap.h"
#include "core/mailbox.h"
#include "core/random.h"
#include "shard/lane.h"
#include "shard/lock.h"
#include "shard/router.h"
#include "shard/session.h"
#include "shard/subscriptions.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define MEMBERS 6
#define OPS_MAX 60
#define NAMES_MAX 4
#define SHARDS_MAX 5
#define MESSAGES_MAX (MEMBERS * OPS_MAX)
#define CHANNELS 5
#define PATTERNS 4

static const char *const channels[CHANNELS] = {"a", "news", "news.it", "x{tag}",
                                               "__keyspace@0__:k"};
static const char *const patterns[PATTERNS] = {"*", "news*", "[ab]", "__key*"};

enum verb { SUBSCRIBE, UNSUBSCRIBE, PSUBSCRIBE, PUNSUBSCRIBE, PUBLISH, PING };

struct op {
    enum verb verb;
    struct slice argv[NAMES_MAX + 2];
    uint32_t argc;
    uint32_t message;
    char text[8];
};

struct member {
    struct session session;
    struct lane lane;
    struct output output;
    struct op ops[OPS_MAX];
    uint32_t op_count;
    uint32_t started_count;
    bool is_over;
    bool hears_channel[CHANNELS];
    bool hears_pattern[PATTERNS];
    uint32_t heard[CHANNELS][MESSAGES_MAX]; /* in the order of their arrival, through the channel */
    uint32_t heard_count[CHANNELS];
};

struct history {
    struct random random;
    struct node *node;
    struct shard *shards[SHARDS_MAX];
    struct exchange *exchange;
    struct config *config;
    struct command_table *table;
    struct member members[MEMBERS];
    uint32_t message_count;
    uint32_t delivered[MESSAGES_MAX];
    uint32_t answered[MESSAGES_MAX];
};

static void
member_resume(struct lane *lane)
{
    (void)lane;
}

static void
member_ended(struct lane *lane)
{
    struct member *member = container_of(lane, struct member, lane);
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
op_draw(struct history *history, struct op *op)
{
    static const char *const words[] = {"SUBSCRIBE",    "UNSUBSCRIBE", "PSUBSCRIBE",
                                        "PUNSUBSCRIBE", "PUBLISH",     "PING"};
    static const enum verb verbs[] = {SUBSCRIBE, SUBSCRIBE, UNSUBSCRIBE, PSUBSCRIBE, PUNSUBSCRIBE,
                                      PUBLISH,   PUBLISH,   PUBLISH,     PUBLISH,    PING};
    op->verb = verbs[below(history, ARRAY_COUNT(verbs))];
    op->argv[op->argc++] = slice_of_string(words[op->verb]);
    if (op->verb == PUBLISH) {
        op->message = history->message_count++;
        snprintf(op->text, sizeof(op->text), "%u", op->message);
        op->argv[op->argc++] = slice_of_string(channels[below(history, CHANNELS)]);
        op->argv[op->argc++] = slice_of_string(op->text);
    } else if (op->verb != PING) {
        bool is_pattern = op->verb == PSUBSCRIBE || op->verb == PUNSUBSCRIBE;
        bool is_removal = op->verb == UNSUBSCRIBE || op->verb == PUNSUBSCRIBE;
        uint32_t count = is_removal && below(history, 4) == 0 ? 0 : 1 + below(history, NAMES_MAX);
        for (uint32_t i = 0; i < count; i++) {
            op->argv[op->argc++] = slice_of_string(is_pattern ? patterns[below(history, PATTERNS)]
                                                              : channels[below(history, CHANNELS)]);
        }
    }
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
        struct member *member = &history->members[i];
        struct shard *shard = history->shards[below(history, shard_count)];
        session_create(&member->session, shard, i + 1, 1000);
        member->session.protocol = 3;
        output_create(&member->output);
        lane_create(&member->lane, shard, &member->session, &member->output, &member_ops);
        member->op_count = below(history, OPS_MAX + 1);
        for (uint32_t j = 0; j < member->op_count; j++) {
            op_draw(history, &member->ops[j]);
        }
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
    struct shard *shard = member->session.shard;
    struct request request = {.argv = op->argv, .argc = op->argc};
    router_resolve(shard, &request);
    request.session_id = member->session.id;
    request.protocol = 3;
    request.flags = (member->session.flags & SESSION_PUBSUB) != 0 ? REQUEST_LIMITED : 0;
    if (router_start(shard, &member->lane, &request, NULL) == ROUTER_STARTED) {
        member->started_count++;
    }
    router_lane_end(shard, &member->lane);
}

static void
history_run(struct history *history)
{
    bool has_more = true;
    while (has_more) {
        for (uint32_t i = 0; i < history->node->shard_count; i++) {
            mail_flush(history->exchange, i);
        }
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
    do {
        for (uint32_t i = 0; i < history->node->shard_count; i++) {
            mail_flush(history->exchange, i);
        }
    } while (deliver_one(history));
}

static void
history_destroy(struct history *history)
{
    for (uint32_t i = 0; i < MEMBERS; i++) {
        lane_abandon(&history->members[i].lane);
        output_destroy(&history->members[i].output);
        cr_assert(history->members[i].is_over);
    }
    do {
        for (uint32_t i = 0; i < history->node->shard_count; i++) {
            mail_flush(history->exchange, i);
        }
    } while (deliver_one(history));
    for (uint32_t i = 0; i < history->node->shard_count; i++) {
        struct shard *shard = history->shards[i];
        for (uint32_t kind = 0; kind < TOPIC_KIND_COUNT; kind++) {
            cr_assert_eq(pubsub_channel_count(shard, (enum topic_kind)kind), 0);
        }
        shard_destroy(shard);
        free(shard);
    }
    exchange_delete(history->exchange);
    command_table_delete(history->table);
    config_delete(history->config);
    heap_free(history->node);
}

/* ---- what the members were told ---- */

static uint32_t
index_of(const char *const *names, uint32_t count, struct slice name)
{
    for (uint32_t i = 0; i < count; i++) {
        if (slice_equal(slice_of_string(names[i]), name)) {
            return i;
        }
    }
    return UINT32_MAX;
}

/** The next element: a bulk string's bytes, or the digits of an integer; NULL data: null. */
static struct slice
element(const char **at)
{
    const char *end = strchr(*at, '\r');
    if (**at != '$') {
        bool is_null = **at == '_';
        struct slice digits = slice_of(is_null ? NULL : *at + 1, (size_t)(end - *at) - 1);
        *at = end + 2;
        return digits;
    }
    size_t size = strtoul(*at + 1, NULL, 10);
    struct slice bytes = slice_of(end + 2, size);
    *at = end + 2 + size + 2;
    return bytes;
}

static void
check_message(struct history *history, struct member *member, struct slice channel,
              struct slice text)
{
    uint32_t message = (uint32_t)strtoul(text.data, NULL, 10);
    uint32_t index = index_of(channels, CHANNELS, channel);
    cr_assert_lt(message, history->message_count);
    cr_assert(member->hears_channel[index], "not subscribed to %s", channels[index]);
    history->delivered[message]++;
    member->heard[index][member->heard_count[index]++] = message;
}

static void
check_push(struct history *history, struct member *member, const char **at)
{
    bool is_pattern = (*at)[1] == '4';
    *at += 4;
    struct slice word = element(at);
    struct slice name = element(at);
    struct slice third = element(at);
    if (is_pattern) {
        uint32_t index = index_of(patterns, PATTERNS, name);
        struct slice text = element(at);
        cr_assert(member->hears_pattern[index], "not subscribed to %s", patterns[index]);
        history->delivered[strtoul(text.data, NULL, 10)]++;
        return;
    }
    if (slice_equal(word, SLICE("message"))) {
        check_message(history, member, name, third);
        return;
    }
    bool is_on = word.size < SLICE("unsubscribe").size;
    bool *hears = word.data[0] == 'p' ? member->hears_pattern : member->hears_channel;
    uint32_t index = word.data[0] == 'p' ? index_of(patterns, PATTERNS, name)
                                         : index_of(channels, CHANNELS, name);
    if (name.data != NULL) {
        hears[index] = is_on;
    }
    uint32_t count = 0;
    for (uint32_t i = 0; i < CHANNELS; i++) {
        count += member->hears_channel[i];
    }
    for (uint32_t i = 0; i < PATTERNS; i++) {
        count += member->hears_pattern[i];
    }
    cr_assert_eq(strtoul(third.data, NULL, 10), count);
}

static void
check_member(struct history *history, struct member *member)
{
    char *text = output_flatten(&member->output);
    text = heap_realloc(text, member->output.byte_count + 1);
    text[member->output.byte_count] = '\0';
    uint32_t next = 0;
    for (const char *at = text; *at != '\0';) {
        if (*at == '>') {
            check_push(history, member, &at);
            continue;
        }
        cr_assert(*at == ':' || *at == '+', "%.40s", at);
        if (*at == ':') {
            while (member->ops[next].verb != PUBLISH) {
                next++;
            }
            history->answered[member->ops[next++].message] = (uint32_t)strtoul(at + 1, NULL, 10);
        }
        at = strchr(at, '\n') + 1;
    }
    heap_free(text);
}

/** Two members' messages of one channel come in one order. */
static void
check_order(const struct member *a, const struct member *b, uint32_t channel)
{
    uint32_t from = 0;
    for (uint32_t i = 0; i < a->heard_count[channel]; i++) {
        uint32_t message = a->heard[channel][i];
        for (uint32_t j = 0; j < b->heard_count[channel]; j++) {
            if (b->heard[channel][j] == message) {
                cr_assert_geq(j, from, "message %u", message);
                from = j + 1;
            }
        }
    }
}

static void
history_check(struct history *history)
{
    for (uint32_t i = 0; i < MEMBERS; i++) {
        check_member(history, &history->members[i]);
    }
    for (uint32_t i = 0; i < history->message_count; i++) {
        cr_assert_eq(history->delivered[i], history->answered[i], "message %u: %u got it, not %u",
                     i, history->delivered[i], history->answered[i]);
    }
    for (uint32_t i = 0; i < MEMBERS * MEMBERS * CHANNELS; i++) {
        check_order(&history->members[i / CHANNELS / MEMBERS],
                    &history->members[i / CHANNELS % MEMBERS], i % CHANNELS);
    }
}

Test(pubsub, everybody_gets_what_was_counted)
{
    uint64_t seed = (uint64_t)time(NULL) << 16;
    fprintf(stderr, "pubsub histories: seed %llu\n", (unsigned long long)seed);
    for (uint32_t i = 0; i < 300; i++) {
        struct history *history = calloc(1, sizeof(*history));
        history_create(history, seed + i);
        history_run(history);
        history_check(history);
        history_destroy(history);
        free(history);
    }
}
