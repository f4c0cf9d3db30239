/*
 * client_list.c: CLIENT LIST and CLIENT INFO.
 *
 * Every core writes the lines of its own connections, each with its id beside it; the coordinator
 * sorts all of them by id, which is the order in which clients came, and copies them together. The
 * list is exact for each core at the instant of its answer; a connection that is handed from core
 * to core keeps its id, so it is never shown twice in one place of the order.
 *
 *     core 0:  id 1 "..."  id 4 "..."  \
 *     core 1:  id 2 "..."               >  1 2 3 4
 *     core 2:  id 3 "..."              /
 */
#include "core/heap.h"
#include "core/number.h"
#include "shard/command/client_internal.h"
#include "shard/session.h"
#include "shard/shard.h"

#include <stdlib.h>

/** The size of one line; the lines stand in part->bytes in the same order. */
struct client_line {
    uint64_t id;
    uint64_t size;
};

/** part->data */
struct client_lines {
    uint32_t count;
    struct client_line lines[];
};

/** A line with its bytes, at the coordinator. */
struct client_text {
    uint64_t id;
    struct slice text;
};

bool
client_type_parse(struct call *call, struct slice word, enum client_type *type)
{
    if (slice_is_word(word, "normal")) {
        *type = CLIENT_TYPE_NORMAL;
    } else if (slice_is_word(word, "replica") || slice_is_word(word, "slave")) {
        *type = CLIENT_TYPE_REPLICA;
    } else if (slice_is_word(word, "pubsub")) {
        *type = CLIENT_TYPE_PUBSUB;
    } else if (slice_is_word(word, "master")) {
        *type = CLIENT_TYPE_MASTER;
    } else {
        reply_error_format(call->reply, "ERR Unknown client type '%.*s'",
                           (int)MIN(word.size, (size_t)INT32_MAX), word.data);
        return false;
    }
    return true;
}

enum client_type
client_type_of(const struct session *session)
{
    return (session->flags & SESSION_PUBSUB) != 0 ? CLIENT_TYPE_PUBSUB : CLIENT_TYPE_NORMAL;
}

bool
client_list_check(struct call *call)
{
    if (call->argc == 2) {
        return true;
    }
    if (call->argc == 4 && slice_is_word(call->argv[2], "type")) {
        enum client_type type;
        return client_type_parse(call, call->argv[3], &type);
    }
    if (call->argc > 3 && slice_is_word(call->argv[2], "id")) {
        for (uint32_t i = 3; i < call->argc; i++) {
            int64_t id;
            if (!call_integer(call, i, &id, "ERR Invalid client ID")) {
                return false;
            }
        }
        return true;
    }
    call_syntax_error(call);
    return false;
}

/** Does LIST ask for this connection? The arguments have passed client_list_check(). */
static bool
client_list_wants(const struct slice *argv, uint32_t argc, const struct session *session)
{
    if (argc == 2) {
        return true;
    }
    if (slice_is_word(argv[2], "type")) {
        return slice_is_word(argv[3],
                             client_type_of(session) == CLIENT_TYPE_PUBSUB ? "pubsub" : "normal");
    }
    for (uint32_t i = 3; i < argc; i++) {
        int64_t id;
        if (number_parse_i64(argv[i], &id) && id >= 0 && (uint64_t)id == session->id) {
            return true;
        }
    }
    return false;
}

void
client_list_part(struct part *part)
{
    struct shard *shard = part->shard;
    struct client_lines *lines =
        heap_alloc(sizeof(*lines) + shard->session_count * sizeof(struct client_line));
    lines->count = 0;
    for (struct list_node *node = list_first(&shard->sessions); node != NULL;
         node = list_next(&shard->sessions, node)) {
        struct session *session = container_of(node, struct session, shard_link);
        if (!client_list_wants(part->argv, part->argc, session)) {
            continue;
        }
        uint64_t size_before = part->bytes.byte_count;
        session_describe(session, shard->now_ms, &part->bytes);
        ASSERT(lines->count < shard->session_count);
        lines->lines[lines->count++] = (struct client_line){
            .id = session->id,
            .size = part->bytes.byte_count - size_before,
        };
    }
    part->data = lines;
}

static int
client_text_compare(const void *a, const void *b)
{
    uint64_t id_a = ((const struct client_text *)a)->id;
    uint64_t id_b = ((const struct client_text *)b)->id;
    return (id_a > id_b) - (id_a < id_b);
}

/** The lines in the order in which LIST ID names them, as often as it does. */
static void
client_list_pick(struct call *call, const struct client_text *texts, uint32_t count,
                 struct output *out)
{
    for (uint32_t i = 3; i < call->argc; i++) {
        int64_t id = -1;
        bool is_number = number_parse_i64(call->argv[i], &id);
        ASSERT(is_number);
        struct client_text wanted = {.id = (uint64_t)id};
        const struct client_text *found =
            id < 0 || count == 0
                ? NULL
                : bsearch(&wanted, texts, count, sizeof(*texts), client_text_compare);
        if (found != NULL) {
            output_append(out, found->text.data, found->text.size);
        }
    }
}

/** Reply what `out` holds as one text, and destroy it. */
static void
client_reply_text(struct call *call, struct output *out)
{
    char *text = output_flatten(out);
    reply_verbatim(call->reply, slice_of(text, out->byte_count), "txt");
    heap_free(text);
    output_destroy(out);
}

void
client_list(struct call *call)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < call->part_count; i++) {
        count += ((struct client_lines *)call->parts[i].data)->count;
    }
    struct client_text *texts = heap_alloc(count * sizeof(*texts));
    char **blocks = heap_alloc(call->part_count * sizeof(*blocks));
    uint32_t filled = 0;
    for (uint32_t i = 0; i < call->part_count; i++) {
        const struct client_lines *lines = call->parts[i].data;
        blocks[i] = output_flatten(&call->parts[i].bytes);
        const char *at = blocks[i];
        for (uint32_t j = 0; j < lines->count; j++) {
            texts[filled++] = (struct client_text){
                .id = lines->lines[j].id,
                .text = slice_of(at, lines->lines[j].size),
            };
            at += lines->lines[j].size;
        }
    }
    ASSERT(filled == count);
    if (count > 0) {
        qsort(texts, count, sizeof(*texts), client_text_compare);
    }
    struct output out;
    output_create(&out);
    if (call->argc > 3 && slice_is_word(call->argv[2], "id")) {
        client_list_pick(call, texts, count, &out);
    } else {
        for (uint32_t i = 0; i < count; i++) {
            output_append(&out, texts[i].text.data, texts[i].text.size);
        }
    }
    client_reply_text(call, &out);
    for (uint32_t i = 0; i < call->part_count; i++) {
        heap_free(blocks[i]);
    }
    heap_free(blocks);
    heap_free(texts);
}

void
client_info(struct call *call)
{
    struct output out;
    output_create(&out);
    session_describe(call->session, call->now_ms, &out);
    client_reply_text(call, &out);
}
