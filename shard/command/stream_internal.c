#include "shard/command/stream_internal.h"

#include "core/config.h"
#include "core/number.h"
#include "shard/shard.h"

#include <errno.h>
#include <stdlib.h>

/*
 * stream_internal.c: what the stream commands share.
 *
 * Ids are read as redis-server reads them: a canonical number by the usual rules, and what is none
 * of those as strtoull() has it: blanks, a plus sign and leading zeros are let pass. Clients that
 * compute ids depend on none of it, but a file may hold such a command line.
 *
 * Effects speak of one entry at a time, as redis-server tells its replicas: what was delivered is
 * an XCLAIM with everything that is known of it, so that it can be applied to a stream in any
 * state.
 */

/** What redis-server looks at, at most. */
#define ID_TEXT_SIZE_MAX 127

/* ---- ids ---- */

/** A NUL-terminated number, as string2ull() of redis-server. */
static bool
number_read(const char *text, uint64_t *value)
{
    int64_t canonical;
    if (number_parse_i64(slice_of_string(text), &canonical)) {
        *value = (uint64_t)canonical;
        return canonical >= 0;
    }
    char *end;
    errno = 0;
    *value = strtoull(text, &end, 10);
    return errno == 0 && text[0] != '\0' && *end == '\0';
}

bool
stream_text_is(struct slice text, char character)
{
    return text.size == 1 && text.data[0] == character;
}

bool
stream_id_parse(struct slice text, uint64_t sequence, bool is_strict, bool *has_sequence,
                struct stream_id *id)
{
    if (has_sequence != NULL) {
        *has_sequence = true;
    }
    if (stream_text_is(text, '-') || stream_text_is(text, '+')) {
        *id = text.data[0] == '-' ? STREAM_ID_MIN : STREAM_ID_MAX;
        return !is_strict;
    }
    if (text.size > ID_TEXT_SIZE_MAX) {
        return false;
    }
    char copy[ID_TEXT_SIZE_MAX + 1];
    if (text.size > 0) {
        memcpy(copy, text.data, text.size);
    }
    copy[text.size] = '\0';
    char *dash = strchr(copy, '-');
    id->sequence = sequence;
    if (dash != NULL) {
        *dash = '\0';
        if (has_sequence != NULL && dash[1] == '*' && dash[2] == '\0') {
            *has_sequence = false;
            id->sequence = 0;
        } else if (!number_read(dash + 1, &id->sequence)) {
            return false;
        }
    }
    return number_read(copy, &id->ms);
}

static void
id_error(struct call *call)
{
    reply_error(call->reply, "ERR Invalid stream ID specified as stream command argument");
}

bool
stream_id_argument(struct call *call, uint32_t index, struct stream_id *id)
{
    if (stream_id_parse(call->argv[index], 0, true, NULL, id)) {
        return true;
    }
    id_error(call);
    return false;
}

bool
stream_bound_argument(struct call *call, uint32_t index, bool is_upper, struct stream_id *id)
{
    struct slice text = call->argv[index];
    bool is_open = text.size > 1 && text.data[0] == '(';
    if (is_open) {
        text = slice_of(text.data + 1, text.size - 1);
    }
    if (!stream_id_parse(text, is_upper ? UINT64_MAX : 0, is_open, NULL, id)) {
        id_error(call);
        return false;
    }
    if (is_open && !(is_upper ? stream_id_decrement(id) : stream_id_increment(id))) {
        reply_error(call->reply, is_upper ? "ERR invalid end ID for the interval"
                                          : "ERR invalid start ID for the interval");
        return false;
    }
    return true;
}

struct slice
stream_id_text(char text[STREAM_ID_TEXT_SIZE], struct stream_id id)
{
    return slice_of(text, stream_id_format(text, id));
}

void
stream_id_reply(struct reply *reply, struct stream_id id)
{
    char text[STREAM_ID_TEXT_SIZE];
    reply_bulk(reply, stream_id_text(text, id));
}

/* ---- entries ---- */

static void
item_reply(struct reply *reply, const struct listpack_item *item)
{
    if (item->is_integer) {
        reply_bulk_i64(reply, item->integer);
    } else {
        reply_bulk(reply, item->bytes);
    }
}

void
stream_entry_reply(struct reply *reply, struct stream_walk *walk, struct stream_id id,
                   uint32_t pair_count)
{
    reply_array(reply, 2);
    stream_id_reply(reply, id);
    reply_array(reply, 2 * (uint64_t)pair_count);
    for (uint32_t i = 0; i < pair_count; i++) {
        struct listpack_item field;
        struct listpack_item value;
        stream_walk_pair(walk, &field, &value);
        item_reply(reply, &field);
        item_reply(reply, &value);
    }
}

bool
stream_one_reply(struct reply *reply, const struct stream *stream, struct stream_id id)
{
    struct stream_walk walk;
    uint32_t pair_count;
    stream_walk_start(&walk, stream, id, id, false);
    if (!stream_walk_next(&walk, &id, &pair_count)) {
        return false;
    }
    stream_entry_reply(reply, &walk, id, pair_count);
    return true;
}

uint64_t
stream_range_reply(struct reply *reply, const struct stream *stream, struct stream_id from,
                   struct stream_id to, bool is_backward, uint64_t count_max)
{
    struct stream_walk walk;
    struct stream_id id;
    uint32_t pair_count;
    uint64_t count = 0;
    struct reply_later later = reply_later(reply);
    stream_walk_start(&walk, stream, from, to, is_backward);
    while ((count_max == 0 || count < count_max) && stream_walk_next(&walk, &id, &pair_count)) {
        stream_entry_reply(reply, &walk, id, pair_count);
        count++;
    }
    reply_later_array(reply, later, count);
    return count;
}

/* ---- groups ---- */

void
stream_drop(struct call *call, struct stream *rest)
{
    if (rest != NULL) {
        struct value value = value_object(VALUE_STREAM, ENCODING_STREAM, rest);
        keyspace_object_drop(&call->shard->keyspace, &value);
    }
}

struct stream_group *
stream_group_argument(struct call *call, struct view *view, struct slice name)
{
    struct stream *stream = stream_of_view(view);
    struct stream_group *group = stream != NULL ? stream_group_find(stream, name) : NULL;
    if (group == NULL) {
        reply_error_format(call->reply, "NOGROUP No such key '%.*s' or consumer group '%.*s'",
                           (int)view->key.size, view->key.data, (int)name.size, name.data);
    }
    return group;
}

void
stream_consumer_visit(struct stream_reader *reader, struct slice name)
{
    struct call *call = reader->call;
    reader->consumer = stream_consumer_find(reader->group, name);
    if (reader->consumer == NULL) {
        reader->consumer =
            stream_consumer_create(reader->stream, reader->group, name, stream_now_ms(call));
        stream_to_view_quiet(reader->view, reader->stream);
        struct slice argv[] = {SLICE("XGROUP"), SLICE("CREATECONSUMER"), reader->view->key,
                               stream_group_name(reader->group), name};
        call_effect(call, reader->view, argv, ARRAY_COUNT(argv));
        call_event(call, reader->view, NOTIFY_STREAM, "xgroup-createconsumer");
    }
    reader->consumer->seen_ms = stream_now_ms(call);
}

void
stream_effect_claim(const struct stream_reader *reader, struct stream_id id,
                    const struct stream_pending *pending, const struct stream_consumer *consumer)
{
    if (!call_has_effects(reader->call)) {
        return;
    }
    char id_text[STREAM_ID_TEXT_SIZE];
    char last_text[STREAM_ID_TEXT_SIZE];
    char time[NUMBER_I64_SIZE_MAX];
    char count[NUMBER_I64_SIZE_MAX];
    struct slice argv[] = {
        SLICE("XCLAIM"),
        reader->view->key,
        stream_group_name(reader->group),
        stream_consumer_name(consumer),
        SLICE("0"),
        stream_id_text(id_text, id),
        SLICE("TIME"),
        slice_of(time, number_format_i64(time, pending->delivery_ms)),
        SLICE("RETRYCOUNT"),
        slice_of(count, number_format_u64(count, pending->delivery_count)),
        SLICE("FORCE"),
        SLICE("JUSTID"),
        SLICE("LASTID"),
        stream_id_text(last_text, reader->group->last_id),
    };
    call_effect(reader->call, reader->view, argv, ARRAY_COUNT(argv));
}

void
stream_effect_group(const struct stream_reader *reader)
{
    if (!call_has_effects(reader->call)) {
        return;
    }
    char id_text[STREAM_ID_TEXT_SIZE];
    char count[NUMBER_I64_SIZE_MAX];
    struct slice argv[] = {
        SLICE("XGROUP"),
        SLICE("SETID"),
        reader->view->key,
        stream_group_name(reader->group),
        stream_id_text(id_text, reader->group->last_id),
        SLICE("ENTRIESREAD"),
        slice_of(count, number_format_i64(count, reader->group->read_count)),
    };
    call_effect(reader->call, reader->view, argv, ARRAY_COUNT(argv));
}
