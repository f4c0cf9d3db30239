/*
 * monitor.c: lines for MONITOR.
 *
 *     +1700000000.123456 [0 127.0.0.1:50000] "SET" "key" "a\nb"
 *
 * A line is laid out before the request starts, since its arguments may be gone afterwards, and
 * shown when it has started: then the database is the one that a SELECT has selected, as
 * redis-server shows it, and requests that had to wait are shown once. What is refused before it
 * runs is not shown, nor what only administrators use, and secrets are hidden. Queued commands are
 * shown with their EXEC, in front of it.
 *
 * Monitors are subscribers of a topic without a name (shard/pubsub.h), so that lines go to other
 * cores as messages do. Lines of one core come in its order; none is promised between cores.
 */
#include "shard/monitor.h"

#include "core/clock.h"
#include "core/heap.h"
#include "core/number.h"
#include "shard/commandlog_words.h"
#include "shard/multi.h"
#include "shard/pubsub.h"
#include "shard/session.h"
#include "shard/shard.h"
#include "shard/subscriptions.h"

#include <stdio.h>

#define PREFIX_SIZE_MAX 512
#define DB_OF_SESSION UINT32_MAX

struct monitor_text {
    uint32_t db; /* DB_OF_SESSION: the one selected at the end */
    size_t end;  /* of its bytes */
};

struct monitor_line {
    int64_t unix_us;
    char *bytes; /* the texts, each without its prefix */
    size_t size;
    size_t capacity;
    uint32_t count;
    struct monitor_text texts[];
};

static void
line_append(struct monitor_line *line, const char *bytes, size_t size)
{
    if (line->capacity - line->size < size) {
        line->capacity = MAX(line->capacity * 2, line->size + size + 256);
        line->bytes = heap_realloc(line->bytes, line->capacity);
    }
    memcpy(line->bytes + line->size, bytes, size);
    line->size += size;
}

/** In quotes, with what cannot be printed as escapes. */
static void
line_append_quoted(struct monitor_line *line, struct slice bytes)
{
    static const char hex[] = "0123456789abcdef";
    line_append(line, "\"", 1);
    for (size_t i = 0; i < bytes.size; i++) {
        unsigned char c = (unsigned char)bytes.data[i];
        const char *escapes = "\\\\\"\"\nn\rr\tt\aa\bb";
        while (*escapes != '\0' && (unsigned char)*escapes != c) {
            escapes += 2;
        }
        if (*escapes != '\0') {
            line_append(line, (const char[]){'\\', escapes[1]}, 2);
        } else if (c >= ' ' && c <= '~') {
            line_append(line, (const char *)&c, 1);
        } else {
            line_append(line, (const char[]){'\\', 'x', hex[c >> 4], hex[c & 15]}, 4);
        }
    }
    line_append(line, "\"", 1);
}

static void
line_add(struct monitor_line *line, const struct command *command, const struct slice *argv,
         uint32_t argc, uint32_t db)
{
    if ((command->flags & (CMD_ADMIN | CMD_SKIP_MONITOR)) != 0) {
        return;
    }
    for (uint32_t i = 0; i < argc; i++) {
        line_append(line, " ", 1);
        bool is_secret = commandlog_is_secret(command, argv, argc, i);
        line_append_quoted(line, is_secret ? SLICE("(redacted)") : argv[i]);
    }
    line_append(line, "\r\n", 2);
    line->texts[line->count++] = (struct monitor_text){.db = db, .end = line->size};
}

static bool
is_shown(const struct lane *lane, const struct request *request)
{
    const struct command *command = request->command;
    const struct session *session = lane->session;
    bool is_queued = session->multi != NULL && (command->flags & CMD_UNQUEUED) == 0;
    return !is_queued && subscriptions_allow(session, command);
}

/** The database that is selected behind a queued command. */
static uint32_t
db_behind(const struct multi *multi, uint32_t index, uint32_t database_count)
{
    const struct multi_item *item = &multi->items[index];
    if (index + 1 < multi->count) {
        return multi->items[index + 1].db;
    }
    int64_t db;
    bool is_select = strcmp(item->command->name, "select") == 0 && item->argc == 2 &&
                     number_parse_i64(item->argv[1], &db) && db >= 0 && db < database_count;
    return is_select ? (uint32_t)db : item->db;
}

struct monitor_line *
monitor_line_new(struct shard *shard, const struct lane *lane, const struct request *request)
{
    const struct command *command = request->command;
    if (command == NULL || !command_arity_ok(command, request->argc) || command->run == NULL ||
        !is_shown(lane, request)) {
        return NULL;
    }
    struct multi *multi = command->scope == SCOPE_EXEC ? lane->session->multi : NULL;
    bool has_items = multi != NULL && !multi->is_aborted;
    uint32_t item_count = has_items ? multi->count : 0;
    struct monitor_line *line =
        heap_alloc(sizeof(*line) + (item_count + 1) * sizeof(line->texts[0]));
    *line = (struct monitor_line){.unix_us = clock_unix_us()};
    if (has_items) {
        multi_plan(multi, lane->session->db, shard->keyspace.database_count);
    }
    uint32_t db = DB_OF_SESSION;
    for (uint32_t i = 0; i < item_count; i++) {
        db = db_behind(multi, i, shard->keyspace.database_count);
        line_add(line, multi->items[i].command, multi->items[i].argv, multi->items[i].argc, db);
    }
    line_add(line, command, request->argv, request->argc, db);
    return line;
}

static void
line_show(struct shard *shard, const struct session *session, const struct monitor_line *line,
          uint32_t index)
{
    const struct monitor_text *text = &line->texts[index];
    size_t start = index == 0 ? 0 : line->texts[index - 1].end;
    bool is_unix = (session->flags & SESSION_UNIX_SOCKET) != 0;
    char prefix[PREFIX_SIZE_MAX];
    int size = snprintf(prefix, sizeof(prefix), "+%lld.%06lld [%u %s%s]",
                        (long long)(line->unix_us / 1000000), (long long)(line->unix_us % 1000000),
                        text->db == DB_OF_SESSION ? session->db : text->db, is_unix ? "unix:" : "",
                        is_unix ? shard->config->unixsocket : session_address(session));
    ASSERT(size > 0 && (size_t)size < sizeof(prefix));
    size_t text_size = text->end - start;
    char *bytes = heap_alloc((size_t)size + text_size);
    memcpy(bytes, prefix, (size_t)size);
    memcpy(bytes + size, line->bytes + start, text_size);
    pubsub_publish(shard, TOPIC_MONITOR, SLICE(""), slice_of(bytes, (size_t)size + text_size));
    heap_free(bytes);
}

void
monitor_line_end(struct shard *shard, const struct lane *lane, struct monitor_line *line,
                 bool is_started)
{
    for (uint32_t i = 0; i < line->count && is_started; i++) {
        line_show(shard, lane->session, line, i);
    }
    heap_free(line->bytes);
    heap_free(line);
}
