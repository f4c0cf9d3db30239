/*
 * hiredis_client.c: a program of hiredis, in the shapes that C programs use it in.
 *
 *     hiredis_client PORT PROTOCOL TRACKING      (2 or 3; 0 or 1: whether CLIENT TRACKING is there)
 *
 * Each case is a function on connections of its own; it prints "ok NAME" or stops the program with
 * the line that did not hold. hiredis before 1.0 cannot read RESP3, so the same source compiles
 * against both: what needs pushes is left out by the preprocessor and by PROTOCOL 2.
 *
 * Waiting is what hiredis does: redisGetReply() blocks until the reply is there or the socket's
 * timeout has passed. A push that arrives ahead of a reply goes to the push callback, one that
 * arrives alone is returned by redisGetReply() where no callback is set.
 */

#include <hiredis/hiredis.h>

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#if HIREDIS_MAJOR >= 1
#define HAS_RESP3 1
#else
#define HAS_RESP3 0
#endif

/** A reply that takes longer is none. */
#define PATIENCE_S 30
#define PIPELINE_DEPTH 10000
#define CHANNEL_MESSAGES 500

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: not so: %s\n", __func__, __LINE__, #condition);                \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

/** What the command line says. */
struct settings {
    int port;
    int protocol;
    bool tracking;
};

/** What a push callback has seen. */
struct pushes {
    size_t count;
    char last_kind[32];
    char last_key[64];
};

static redisContext *
client_connect(const struct settings *settings)
{
    struct timeval patience = {.tv_sec = PATIENCE_S};
    redisContext *client = redisConnectWithTimeout("127.0.0.1", settings->port, patience);
    CHECK(client != NULL && client->err == 0);
    CHECK(redisSetTimeout(client, patience) == REDIS_OK);
#if HAS_RESP3
    redisSetPushCallback(client, NULL); // the default one throws pushes away
#endif
    redisReply *reply = redisCommand(client, "HELLO %d", settings->protocol);
    CHECK(reply != NULL && reply->type != REDIS_REPLY_ERROR);
    freeReplyObject(reply);
    return client;
}

/** The next reply, which the caller frees; the program ends where there is none. */
static redisReply *
client_take(redisContext *client)
{
    void *reply = NULL;
    CHECK(redisGetReply(client, &reply) == REDIS_OK && reply != NULL);
    return reply;
}

static redisReply *
client_call(redisContext *client, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    redisReply *reply = redisvCommand(client, format, arguments);
    va_end(arguments);
    CHECK(reply != NULL);
    return reply;
}

static void
expect_integer(redisReply *reply, long long value)
{
    CHECK(reply->type == REDIS_REPLY_INTEGER && reply->integer == value);
    freeReplyObject(reply);
}

static void
expect_status(redisReply *reply, const char *text)
{
    CHECK(reply->type == REDIS_REPLY_STATUS && strcmp(reply->str, text) == 0);
    freeReplyObject(reply);
}

static bool
text_is(const redisReply *reply, const char *text)
{
    return reply->type == REDIS_REPLY_STRING && strcmp(reply->str, text) == 0;
}

static void
expect_text(redisReply *reply, const char *text)
{
    CHECK(text_is(reply, text));
    freeReplyObject(reply);
}

/** A message or confirmation of pub/sub: an array in RESP2, a push in RESP3. */
static void
expect_message(const struct settings *settings, redisReply *reply, const char *kind,
               const char *channel, const char *data)
{
#if HAS_RESP3
    CHECK(reply->type == (settings->protocol == 3 ? REDIS_REPLY_PUSH : REDIS_REPLY_ARRAY));
#else
    CHECK(settings->protocol == 2 && reply->type == REDIS_REPLY_ARRAY);
#endif
    CHECK(reply->elements >= 3 && text_is(reply->element[0], kind));
    CHECK(text_is(reply->element[reply->elements - 2], channel));
    if (data != NULL) {
        CHECK(text_is(reply->element[reply->elements - 1], data));
    }
    freeReplyObject(reply);
}

// ---- cases of both protocols ----

/** Ten thousand pairs of commands are sent before the first reply is read. */
static void
case_pipeline(const struct settings *settings)
{
    redisContext *client = client_connect(settings);
    freeReplyObject(client_call(client, "FLUSHALL"));
    for (int i = 0; i < PIPELINE_DEPTH; i++) {
        CHECK(redisAppendCommand(client, "SET key:%d value:%d", i, i) == REDIS_OK);
        CHECK(redisAppendCommand(client, "GET key:%d", i) == REDIS_OK);
    }
    for (int i = 0; i < PIPELINE_DEPTH; i++) {
        char expected[32];
        snprintf(expected, sizeof(expected), "value:%d", i);
        expect_status(client_take(client), "OK");
        expect_text(client_take(client), expected);
    }
    expect_integer(client_call(client, "DBSIZE"), PIPELINE_DEPTH);
    const char binary[] = "a\0\r\nb";
    expect_status(client_call(client, "SET bin %b", binary, sizeof(binary) - 1), "OK");
    redisReply *reply = client_call(client, "GET bin");
    CHECK(reply->len == sizeof(binary) - 1 && memcmp(reply->str, binary, sizeof(binary) - 1) == 0);
    freeReplyObject(reply);
    reply = client_call(client, "INCR bin");
    CHECK(reply->type == REDIS_REPLY_ERROR && strncmp(reply->str, "ERR ", 4) == 0);
    freeReplyObject(reply);
    redisFree(client);
}

/** MULTI over keys of all cores; a second connection dirties a watched key. */
static void
case_transaction(const struct settings *settings)
{
    redisContext *client = client_connect(settings);
    redisContext *other = client_connect(settings);
    freeReplyObject(client_call(client, "FLUSHALL"));
    for (int dirty = 0; dirty <= 1; dirty++) {
        expect_status(client_call(client, "WATCH watched"), "OK");
        if (dirty) {
            expect_status(client_call(other, "SET watched 1"), "OK");
        }
        CHECK(redisAppendCommand(client, "MULTI") == REDIS_OK);
        for (int i = 0; i < 16; i++) {
            CHECK(redisAppendCommand(client, "INCRBY account:%d %d", i, i) == REDIS_OK);
        }
        CHECK(redisAppendCommand(client, "EXEC") == REDIS_OK);
        expect_status(client_take(client), "OK");
        for (int i = 0; i < 16; i++) {
            expect_status(client_take(client), "QUEUED");
        }
        redisReply *reply = client_take(client);
        if (dirty) {
            CHECK(reply->type == REDIS_REPLY_NIL);
        } else {
            CHECK(reply->type == REDIS_REPLY_ARRAY && reply->elements == 16);
            for (int i = 0; i < 16; i++) {
                CHECK(reply->element[i]->integer == i);
            }
        }
        freeReplyObject(reply);
    }
    expect_text(client_call(other, "GET account:15"), "15");
    redisFree(client);
    redisFree(other);
}

static void
case_pubsub(const struct settings *settings)
{
    redisContext *subscriber = client_connect(settings);
    redisContext *publisher = client_connect(settings);
    expect_message(settings, client_call(subscriber, "SUBSCRIBE news"), "subscribe", "news", NULL);
    expect_message(settings, client_call(subscriber, "PSUBSCRIBE n*s"), "psubscribe", "n*s", NULL);
    for (int i = 0; i < CHANNEL_MESSAGES; i++) {
        CHECK(redisAppendCommand(publisher, "PUBLISH news %d", i) == REDIS_OK);
    }
    for (int i = 0; i < CHANNEL_MESSAGES; i++) {
        char expected[16];
        snprintf(expected, sizeof(expected), "%d", i);
        expect_integer(client_take(publisher), 2);
        expect_message(settings, client_take(subscriber), "message", "news", expected);
        expect_message(settings, client_take(subscriber), "pmessage", "news", expected);
    }
    expect_message(settings, client_call(subscriber, "SSUBSCRIBE orders"), "ssubscribe", "orders",
                   NULL);
    expect_integer(client_call(publisher, "SPUBLISH orders shard"), 1);
    expect_message(settings, client_take(subscriber), "smessage", "orders", "shard");
    redisReply *reply = client_call(subscriber, "GET key");
    // Only RESP3 tells replies and messages apart, so only there other commands are allowed.
    CHECK(reply->type == (settings->protocol == 3 ? REDIS_REPLY_NIL : REDIS_REPLY_ERROR));
    freeReplyObject(reply);
    redisFree(subscriber);
    redisFree(publisher);
}

/** A client that waits gets what another pushes; the request is sent and only then the push. */
static void
case_blocking(const struct settings *settings)
{
    redisContext *waiter = client_connect(settings);
    redisContext *pusher = client_connect(settings);
    for (int i = 0; i < 50; i++) {
        int done = 0;
        CHECK(redisAppendCommand(waiter, "BLPOP q:%d r:%d s:%d 0", i, i, i) == REDIS_OK);
        while (!done) {
            CHECK(redisBufferWrite(waiter, &done) == REDIS_OK);
        }
        expect_integer(client_call(pusher, "RPUSH s:%d %d", i, i), 1);
        redisReply *reply = client_take(waiter);
        char key[16], value[16];
        snprintf(key, sizeof(key), "s:%d", i);
        snprintf(value, sizeof(value), "%d", i);
        CHECK(reply->type == REDIS_REPLY_ARRAY && reply->elements == 2);
        CHECK(text_is(reply->element[0], key) && text_is(reply->element[1], value));
        freeReplyObject(reply);
    }
    redisFree(waiter);
    redisFree(pusher);
}

/** Client-side caching as RESP2 has it: another connection gets the invalidations. */
static void
case_redirect(const struct settings *settings)
{
    redisContext *client = client_connect(settings);
    redisContext *writer = client_connect(settings);
    redisContext *listener = client_connect(settings);
    redisReply *id = client_call(listener, "CLIENT ID");
    CHECK(id->type == REDIS_REPLY_INTEGER);
    freeReplyObject(client_call(listener, "SUBSCRIBE __redis__:invalidate"));
    expect_status(client_call(client, "CLIENT TRACKING on REDIRECT %lld", id->integer), "OK");
    freeReplyObject(id);
    for (int i = 0; i < 50; i++) {
        freeReplyObject(client_call(client, "GET cached:%d", i));
        expect_status(client_call(writer, "SET cached:%d x", i), "OK");
        redisReply *reply = client_take(listener);
        char key[32];
        snprintf(key, sizeof(key), "cached:%d", i);
        CHECK(reply->elements >= 2 && reply->element[reply->elements - 1]->elements == 1);
        CHECK(text_is(reply->element[reply->elements - 1]->element[0], key));
        freeReplyObject(reply);
    }
    redisFree(client);
    redisFree(writer);
    redisFree(listener);
}

#if HAS_RESP3

// ---- cases of RESP3 ----

static void
case_types(const struct settings *settings)
{
    redisContext *client = client_connect(settings);
    freeReplyObject(client_call(client, "FLUSHALL"));
    expect_integer(client_call(client, "HSET hash a 1 b 2"), 2);
    redisReply *reply = client_call(client, "HGETALL hash");
    CHECK(reply->type == REDIS_REPLY_MAP && reply->elements == 4);
    freeReplyObject(reply);
    expect_integer(client_call(client, "SADD set a b c"), 3);
    reply = client_call(client, "SMEMBERS set");
    CHECK(reply->type == REDIS_REPLY_SET && reply->elements == 3);
    freeReplyObject(reply);
    expect_integer(client_call(client, "ZADD zset 1.5 m"), 1);
    reply = client_call(client, "ZSCORE zset m");
    CHECK(reply->type == REDIS_REPLY_DOUBLE && reply->dval == 1.5);
    freeReplyObject(reply);
    reply = client_call(client, "GET none");
    CHECK(reply->type == REDIS_REPLY_NIL);
    freeReplyObject(reply);
    reply = client_call(client, "INFO server");
    CHECK(reply->type == REDIS_REPLY_VERB && strcmp(reply->vtype, "txt") == 0);
    freeReplyObject(reply);
    redisFree(client);
}

static void
pushes_take(void *context, void *message)
{
    struct pushes *pushes = context;
    redisReply *reply = message;
    CHECK(reply->type == REDIS_REPLY_PUSH && reply->elements >= 2);
    pushes->count++;
    snprintf(pushes->last_kind, sizeof(pushes->last_kind), "%s", reply->element[0]->str);
    const redisReply *last = reply->element[reply->elements - 1];
    if (last->type == REDIS_REPLY_ARRAY && last->elements == 1) {
        snprintf(pushes->last_key, sizeof(pushes->last_key), "%s", last->element[0]->str);
    } else {
        snprintf(pushes->last_key, sizeof(pushes->last_key), "%s",
                 last->type == REDIS_REPLY_NIL ? "(all)"
                 : last->str != NULL           ? last->str
                                               : "");
    }
    freeReplyObject(reply);
}

/** Messages come through the callback between the replies of an ordinary pipeline. */
static void
case_push_callback(const struct settings *settings)
{
    struct pushes pushes = {0};
    redisContext *client = client_connect(settings);
    client->privdata = &pushes;
    redisSetPushCallback(client, pushes_take);
    // Confirmations are pushes too: the callback has it when the next command is answered.
    CHECK(redisAppendCommand(client, "SUBSCRIBE self") == REDIS_OK);
    expect_status(client_call(client, "PING"), "PONG");
    CHECK(pushes.count == 1 && strcmp(pushes.last_kind, "subscribe") == 0);
    for (int i = 0; i < CHANNEL_MESSAGES; i++) {
        CHECK(redisAppendCommand(client, "PUBLISH self %d", i) == REDIS_OK);
        CHECK(redisAppendCommand(client, "INCR counter:%d", i) == REDIS_OK);
    }
    for (int i = 0; i < CHANNEL_MESSAGES; i++) {
        expect_integer(client_take(client), 1);
        expect_integer(client_take(client), 1);
    }
    while (pushes.count < 1 + CHANNEL_MESSAGES) {
        expect_status(client_call(client, "PING"), "PONG");
    }
    CHECK(pushes.count == 1 + CHANNEL_MESSAGES && strcmp(pushes.last_kind, "message") == 0);
    CHECK(strcmp(pushes.last_key, "499") == 0);
    redisFree(client);
}

/** An invalidation is there no later than a reply that was asked for after the write. */
static void
case_tracking(const struct settings *settings)
{
    struct pushes pushes = {0};
    redisContext *client = client_connect(settings);
    redisContext *writer = client_connect(settings);
    client->privdata = &pushes;
    redisSetPushCallback(client, pushes_take);
    expect_status(client_call(client, "CLIENT TRACKING on"), "OK");
    for (int i = 0; i < 100; i++) {
        char key[32];
        snprintf(key, sizeof(key), "cached:%d", i);
        freeReplyObject(client_call(client, "GET %s", key));
        expect_status(client_call(writer, "SET %s new", key), "OK");
        expect_text(client_call(client, "GET %s", key), "new");
        CHECK(pushes.count == (size_t)i + 1 && strcmp(pushes.last_kind, "invalidate") == 0);
        CHECK(strcmp(pushes.last_key, key) == 0);
    }
    freeReplyObject(client_call(writer, "FLUSHALL"));
    while (strcmp(pushes.last_key, "(all)") != 0) {
        expect_status(client_call(client, "PING"), "PONG");
    }
    expect_status(client_call(client, "CLIENT TRACKING off"), "OK");
    expect_status(client_call(client, "CLIENT TRACKING on BCAST PREFIX p: NOLOOP"), "OK");
    size_t before = pushes.count;
    expect_status(client_call(client, "SET p:own 1"), "OK");
    expect_status(client_call(writer, "SET q:other 1"), "OK");
    expect_status(client_call(writer, "SET p:other 1"), "OK");
    while (pushes.count == before) {
        expect_status(client_call(client, "PING"), "PONG");
    }
    CHECK(pushes.count == before + 1 && strcmp(pushes.last_key, "p:other") == 0);
    redisFree(client);
    redisFree(writer);
}

#endif

/** One row of what is run. */
struct test_case {
    const char *name;
    void (*run)(const struct settings *settings);
    int protocol_min;
    bool needs_tracking;
};

static const struct test_case cases[] = {
    {"pipeline", case_pipeline, 2, false}, {"transaction", case_transaction, 2, false},
    {"pubsub", case_pubsub, 2, false},     {"blocking", case_blocking, 2, false},
    {"redirect", case_redirect, 2, true},
#if HAS_RESP3
    {"types", case_types, 3, false},       {"push_callback", case_push_callback, 3, false},
    {"tracking", case_tracking, 3, true},
#endif
};

int
main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        printf("%d.%d.%d\n", HIREDIS_MAJOR, HIREDIS_MINOR, HIREDIS_PATCH);
        return 0;
    }
    if (argc != 4) {
        fprintf(stderr, "usage: hiredis_client PORT PROTOCOL TRACKING\n");
        return 2;
    }
    struct settings settings = {
        .port = atoi(argv[1]), .protocol = atoi(argv[2]), .tracking = atoi(argv[3]) != 0};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (settings.protocol < cases[i].protocol_min ||
            (cases[i].needs_tracking && !settings.tracking)) {
            continue;
        }
        cases[i].run(&settings);
        printf("ok %s\n", cases[i].name);
        fflush(stdout);
    }
    return 0;
}
