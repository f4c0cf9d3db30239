/*
 * debug_replies.c: DEBUG's verbs that the coordinator answers alone: samples of every kind of
 * reply, a line for the log, and switches for machinery that other servers have.
 *
 * Tests turn such switches on their way to something else: they shrink a threshold so that a list
 * of theirs gets nodes of two kinds, or stop a clock that would resize a buffer. What is switched
 * does not exist here (a list's node is a listpack, whatever it holds; reply buffers are chunks),
 * and nobody who has said it can tell the difference by what commands answer. So these are
 * accepted, and checked as redis-server checks them; HELP says that they do nothing.
 *
 * Not accepted is what somebody would rely on: a crash, a leak, a delay of the files.
 */
#include "core/heap.h"
#include "core/log.h"
#include "core/number.h"
#include "shard/command/debug_internal.h"
#include "shard/session.h"
#include "shard/shard.h"

#include <stdio.h>

/** What redis-server takes as the size of an element: a little less than 4 GiB. */
#define PACKED_THRESHOLD_MAX ((UINT64_C(1) << 32) - (UINT64_C(1) << 20))

/* ---- PROTOCOL ---- */

static void
protocol_string(struct reply *reply)
{
    reply_bulk_string(reply, "Hello World");
}

static void
protocol_integer(struct reply *reply)
{
    reply_i64(reply, 12345);
}

static void
protocol_double(struct reply *reply)
{
    reply_double(reply, 3.141);
}

static void
protocol_bignum(struct reply *reply)
{
    if (reply->protocol == 3) {
        reply_raw(reply, SLICE("(1234567999999999999999999999999999999\r\n"));
    } else {
        reply_bulk_string(reply, "1234567999999999999999999999999999999");
    }
}

static void
protocol_array(struct reply *reply)
{
    reply_array(reply, 3);
    for (int64_t i = 0; i < 3; i++) {
        reply_i64(reply, i);
    }
}

static void
protocol_set(struct reply *reply)
{
    reply_set(reply, 3);
    for (int64_t i = 0; i < 3; i++) {
        reply_i64(reply, i);
    }
}

static void
protocol_map(struct reply *reply)
{
    reply_map(reply, 3);
    for (int64_t i = 0; i < 3; i++) {
        reply_i64(reply, i);
        reply_bool(reply, i == 1);
    }
}

/** What RESP2 does not know is left out there. */
static void
protocol_attribute(struct reply *reply)
{
    if (reply->protocol == 3) {
        reply_attribute(reply, 1);
        reply_bulk_string(reply, "key-popularity");
        reply_array(reply, 2);
        reply_bulk_string(reply, "key:123");
        reply_i64(reply, 90);
    }
    reply_bulk_string(reply, "Some real reply following the attribute");
}

static void
protocol_push(struct reply *reply)
{
    if (reply->protocol != 3) {
        reply_error(reply, "ERR RESP2 is not supported by this command");
        return;
    }
    reply_push(reply, 2);
    reply_bulk_string(reply, "server-cpu-usage");
    reply_i64(reply, 42);
    reply_bulk_string(reply, "Some real reply following the push reply");
}

static void
protocol_verbatim(struct reply *reply)
{
    reply_verbatim(reply, SLICE("This is a verbatim\nstring"), "txt");
}

static void
protocol_true(struct reply *reply)
{
    reply_bool(reply, true);
}

static void
protocol_false(struct reply *reply)
{
    reply_bool(reply, false);
}

void
debug_protocol(struct call *call)
{
    static const struct {
        const char *name;
        void (*say)(struct reply *reply);
    } kinds[] = {
        {"string", protocol_string},
        {"integer", protocol_integer},
        {"double", protocol_double},
        {"bignum", protocol_bignum},
        {"null", reply_null},
        {"array", protocol_array},
        {"set", protocol_set},
        {"map", protocol_map},
        {"attrib", protocol_attribute},
        {"push", protocol_push},
        {"verbatim", protocol_verbatim},
        {"true", protocol_true},
        {"false", protocol_false},
    };
    for (size_t i = 0; i < ARRAY_COUNT(kinds); i++) {
        if (slice_is_word(call->argv[2], kinds[i].name)) {
            kinds[i].say(call->reply);
            return;
        }
    }
    reply_error(call->reply,
                "ERR Wrong protocol type name. Please use one of the following: "
                "string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false");
}

/* ---- what the caller says himself ---- */

/** Line ends are spaces, at its end too. */
void
debug_error(struct call *call)
{
    struct slice text = call->argv[2];
    char *line = heap_alloc(text.size + 1);
    for (size_t i = 0; i < text.size; i++) {
        bool is_line_end = text.data[i] == '\r' || text.data[i] == '\n';
        line[i] = is_line_end ? ' ' : text.data[i];
    }
    reply_error_slice(call->reply, slice_of(line, text.size));
    heap_free(line);
}

void
debug_log(struct call *call)
{
    struct slice text = call->argv[2];
    log_write(call->shard->node->log, LOG_WARNING_LEVEL, "DEBUG LOG: %.*s",
              (int)MIN(text.size, (size_t)LOG_LINE_SIZE_MAX), text.data);
    reply_ok(call->reply);
}

/* ---- what there is ---- */

void
debug_structsize(struct call *call)
{
    char text[256];
    int size = snprintf(text, sizeof(text),
                        "bits:%zu value:%zu entry:%zu wheel-node:%zu slot:%zu raw:%zu "
                        "view:%zu session:%zu ",
                        sizeof(void *) * 8, sizeof(struct value), sizeof(struct entry),
                        sizeof(struct wheel_node), sizeof(struct slot), sizeof(struct raw),
                        sizeof(struct view), sizeof(struct session));
    ASSERT(size > 0 && (size_t)size < sizeof(text));
    reply_bulk(call->reply, slice_of(text, (size_t)size));
}

void
debug_client_eviction(struct call *call)
{
    const struct config *config = call->shard->config;
    const struct node *node = call->shard->node;
    int64_t limit = config->maxmemory_clients;
    if (limit == 0) {
        reply_error(call->reply, "ERR maxmemory-clients is disabled.");
        return;
    }
    if (limit < 0) { /* a part of maxmemory */
        limit = (int64_t)(config->maxmemory / 100 * (uint64_t)-limit);
    }
    char text[256];
    int size = snprintf(
        text, sizeof(text), "limit: %lld bytes\nclients: %lld, %lld bytes\n", (long long)limit,
        (long long)atomic_load_explicit(&node->connection_count, memory_order_relaxed),
        (long long)atomic_load_explicit(&node->client_memory_size, memory_order_relaxed));
    ASSERT(size > 0 && (size_t)size < sizeof(text));
    reply_verbatim(call->reply, slice_of(text, (size_t)size), "txt");
}

/* ---- switches without a lamp ---- */

void
debug_quicklist_packed_threshold(struct call *call)
{
    uint64_t size;
    if (!number_parse_memory(call->argv[2], &size) || size > PACKED_THRESHOLD_MAX) {
        reply_error(call->reply,
                    "ERR argument must be a memory value bigger than 1 and smaller than 4gb");
        return;
    }
    reply_ok(call->reply);
}

/** REPLYBUFFER PEAK-RESET-TIME ms|NEVER|RESET, REPLYBUFFER RESIZING 0|1 */
void
debug_replybuffer(struct call *call)
{
    struct slice value = call->argv[3];
    int64_t time_ms;
    if (slice_is_word(call->argv[2], "resizing")) {
        reply_ok(call->reply);
    } else if (!slice_is_word(call->argv[2], "peak-reset-time")) {
        debug_unknown(call);
    } else if (slice_is_word(value, "never") || slice_is_word(value, "reset") ||
               call_integer(call, 3, &time_ms, NULL)) {
        reply_ok(call->reply);
    }
}
