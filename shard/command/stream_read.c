/*
 * stream_read.c: what is new in some streams: XREAD, and XREADGROUP for one of a group's consumers.
 *
 *     XREAD      [options] STREAMS key 1 .. key n  id 1 .. id n
 *     XREADGROUP GROUP group consumer [options] STREAMS ...
 *
 * The words are checked first, then each stream with its id in turn, as redis-server does, so that
 * of several mistakes the same one is replied. Then each stream gives what it has. XREADGROUP reads
 * either what nobody of the group has got yet (">"), which becomes pending with the consumer, or
 * again what is pending with it.
 *
 * Where the keys are is for these words to say: any of them may also be a group's or a consumer's
 * name, so the router finds the keys with the same steps over the options as the handler.
 *
 * A handler may run several times for one command that blocks: a run that delivers nothing changes
 * nothing. "$" means the end of the stream at the first run;
 * stream_read_resolve() puts the id in its place.
 */
#include "shard/command/families.h"
#include "shard/command/stream_internal.h"

#include "core/number.h"

struct read_options {
    bool is_group;     /* XREADGROUP */
    bool is_no_ack;    /* NOACK */
    int64_t block_ms;  /* -1: no BLOCK; 0: forever */
    uint64_t count;    /* 0: no limit */
    uint32_t group_at; /* argument; the consumer's name is behind it; 0: none */
    uint32_t keys_at;  /* argument; 0: there is no STREAMS */
    uint32_t stream_count;
};

/** XREADGROUP's ">". */
static inline bool
id_is_new(struct stream_id id)
{
    return stream_id_compare(id, STREAM_ID_MAX) == 0;
}

/* ---- options ---- */

enum option {
    OPTION_BLOCK,
    OPTION_COUNT,
    OPTION_STREAMS,
    OPTION_GROUP,
    OPTION_NOACK,
    OPTION_NONE,
};

/** The option at an argument, if what belongs to it is there too. */
static enum option
option_at(const struct slice *argv, uint32_t argc, uint32_t index)
{
    uint32_t more = argc - index - 1;
    if (more > 0 && slice_is_word(argv[index], "block")) {
        return OPTION_BLOCK;
    }
    if (more > 0 && slice_is_word(argv[index], "count")) {
        return OPTION_COUNT;
    }
    if (more > 0 && slice_is_word(argv[index], "streams")) {
        return OPTION_STREAMS;
    }
    if (more > 1 && slice_is_word(argv[index], "group")) {
        return OPTION_GROUP;
    }
    return slice_is_word(argv[index], "noack") ? OPTION_NOACK : OPTION_NONE;
}

/** How many arguments follow an option that are not options. */
static uint32_t
option_argument_count(enum option option)
{
    switch (option) {
    case OPTION_BLOCK:
    case OPTION_COUNT:
        return 1;
    case OPTION_GROUP:
        return 2;
    case OPTION_STREAMS:
    case OPTION_NOACK:
    case OPTION_NONE:
        break;
    }
    return 0;
}

/** The keys for the router; where the words are wrong there are none, and the handler says why. */
static int64_t
read_views(const struct slice *argv, uint32_t argc, uint16_t selected_db, uint32_t key_flags,
           struct command_view *out, uint32_t views_max)
{
    for (uint32_t i = 1; i < argc; i++) {
        enum option option = option_at(argv, argc, i);
        if (option == OPTION_NONE) {
            return 0;
        }
        if (option == OPTION_STREAMS) {
            uint32_t count = argc - i - 1;
            if (count % 2 != 0) {
                return 0;
            }
            for (uint32_t j = 0; j < count / 2 && j < views_max; j++) {
                out[j] = (struct command_view){
                    .index = i + 1 + j, .db = selected_db, .flags = key_flags};
            }
            return count / 2;
        }
        i += option_argument_count(option);
    }
    return 0;
}

static int64_t
xread_views(const struct slice *argv, uint32_t argc, uint16_t selected_db, uint32_t database_count,
            struct command_view *out, uint32_t views_max)
{
    (void)database_count;
    return read_views(argv, argc, selected_db, KEY_RO | KEY_ACCESS, out, views_max);
}

/** What COMMAND tells of XREADGROUP's keys is that they are read; but groups change. */
static int64_t
xreadgroup_views(const struct slice *argv, uint32_t argc, uint16_t selected_db,
                 uint32_t database_count, struct command_view *out, uint32_t views_max)
{
    (void)database_count;
    return read_views(argv, argc, selected_db, KEY_RW | KEY_ACCESS, out, views_max);
}

static bool
block_read(struct call *call, uint32_t index, struct read_options *options)
{
    if (!call_integer(call, index, &options->block_ms,
                      "ERR timeout is not an integer or out of range")) {
        return false;
    }
    if (options->block_ms < 0) {
        reply_error(call->reply, "ERR timeout is negative");
        return false;
    }
    /* For whoever adds the time to it. */
    options->block_ms = MIN(options->block_ms, INT64_MAX - call->now_ms);
    return true;
}

static bool
streams_read(struct call *call, uint32_t index, struct read_options *options)
{
    uint32_t count = call->argc - index;
    if (count % 2 != 0) {
        reply_error(call->reply, "ERR Unbalanced XREAD list of streams: for each stream key an ID "
                                 "or '$' must be specified.");
        return false;
    }
    options->keys_at = index;
    options->stream_count = count / 2;
    return true;
}

static bool
only_for_group(struct call *call, const struct read_options *options, const char *option)
{
    if (!options->is_group) {
        reply_error_format(call->reply,
                           "ERR The %s option is only supported by XREADGROUP. You called XREAD "
                           "instead.",
                           option);
    }
    return options->is_group;
}

/** One option and what belongs to it. False: an error is replied. */
static bool
option_read(struct call *call, uint32_t index, enum option option, struct read_options *options)
{
    int64_t count;
    switch (option) {
    case OPTION_BLOCK:
        return block_read(call, index + 1, options);
    case OPTION_COUNT:
        if (!call_integer(call, index + 1, &count, NULL)) {
            return false;
        }
        options->count = (uint64_t)MAX(count, 0);
        return true;
    case OPTION_STREAMS:
        return streams_read(call, index + 1, options);
    case OPTION_GROUP:
        options->group_at = index + 1;
        return only_for_group(call, options, "GROUP");
    case OPTION_NOACK:
        options->is_no_ack = true;
        return only_for_group(call, options, "NOACK");
    case OPTION_NONE:
        break;
    }
    call_syntax_error(call);
    return false;
}

/** False: an error is replied. */
static bool
options_read(struct call *call, bool is_group, struct read_options *options)
{
    *options = (struct read_options){.is_group = is_group, .block_ms = -1};
    for (uint32_t i = 1; i < call->argc && options->keys_at == 0; i++) {
        enum option option = option_at(call->argv, call->argc, i);
        if (!option_read(call, i, option, options)) {
            return false;
        }
        i += option_argument_count(option);
    }
    if (options->keys_at == 0) {
        call_syntax_error(call);
        return false;
    }
    if (is_group && options->group_at == 0) {
        reply_error(call->reply, "ERR Missing GROUP option for XREADGROUP");
        return false;
    }
    ASSERT(call->view_count == options->stream_count);
    return true;
}

/* ---- streams and ids ---- */

/** From where on a stream is read; false, and an error is replied. */
static bool
id_read(struct call *call, const struct read_options *options, uint32_t index,
        const struct stream *stream, struct stream_id *id)
{
    struct slice text = call->argv[index];
    if (stream_text_is(text, '$')) {
        if (options->is_group) {
            reply_error(call->reply,
                        "ERR The $ ID is meaningless in the context of XREADGROUP: you want to "
                        "read the history of this consumer by specifying a proper ID, or use the "
                        "> ID to get new messages. The $ ID would just return an empty result "
                        "set.");
            return false;
        }
        *id = stream != NULL ? stream->last_id : STREAM_ID_MIN;
        return true;
    }
    if (stream_text_is(text, '>')) {
        if (!options->is_group) {
            reply_error(call->reply, "ERR The > ID can be specified only when calling XREADGROUP "
                                     "using the GROUP <group> <consumer> option.");
            return false;
        }
        *id = STREAM_ID_MAX;
        return true;
    }
    return stream_id_argument(call, index, id);
}

static bool
group_check(struct call *call, const struct read_options *options, struct slice key,
            const struct stream *stream)
{
    struct slice name = call->argv[options->group_at];
    if (stream != NULL && stream_group_find(stream, name) != NULL) {
        return true;
    }
    reply_error_format(call->reply,
                       "NOGROUP No such key '%.*s' or consumer group '%.*s' in XREADGROUP with "
                       "GROUP option",
                       (int)key.size, key.data, (int)name.size, name.data);
    return false;
}

/** A command that has waited for a group: is it still there? Replies the error and returns false.
 */
static bool
group_is_left(struct call *call, const struct read_options *options, const struct view *view)
{
    if ((call->flags & CALL_WOKEN) == 0) {
        return true;
    }
    if (!view_exists(view) || view->value.type != VALUE_STREAM) {
        reply_error(call->reply, "UNBLOCKED the stream key no longer exists");
        return false;
    }
    if (stream_group_find(stream_of_view(view), call->argv[options->group_at]) == NULL) {
        reply_error(call->reply,
                    "NOGROUP the consumer group this client was blocked on no longer exists");
        return false;
    }
    return true;
}

static bool
ids_read(struct call *call, const struct read_options *options, struct stream_id *ids)
{
    for (uint32_t i = 0; i < options->stream_count; i++) {
        struct view *view = call->views[i];
        if ((view->flags & VIEW_HIDDEN) != 0) {
            continue;
        }
        call_count(call, view);
        if (options->is_group && !group_is_left(call, options, view)) {
            return false;
        }
        if (!view_check_type(call, view, VALUE_STREAM)) {
            return false;
        }
        const struct stream *stream = stream_of_view(view);
        if ((options->is_group && !group_check(call, options, view->key, stream)) ||
            !id_read(call, options, options->keys_at + options->stream_count + i, stream,
                     &ids[i])) {
            return false;
        }
    }
    return true;
}

/* ---- XREADGROUP's entries ---- */

/** The entry goes to the consumer, and is pending unless it need not be acknowledged. */
static void
entry_deliver(const struct stream_reader *reader, struct stream_id id, bool is_no_ack)
{
    if (stream_id_compare(id, reader->group->last_id) > 0) {
        stream_group_advance(reader->stream, reader->group, id);
    }
    if (is_no_ack) {
        return;
    }
    struct stream_pending *pending =
        stream_pending_add(reader->stream, reader->group, id, reader->consumer);
    if (pending == NULL) {
        /* The group's last id was set back. */
        stream_pending_give(reader->stream, reader->group, id, reader->consumer);
        pending = stream_pending_find(reader->group, id);
    }
    pending->delivery_ms = stream_now_ms(reader->call);
    pending->delivery_count = 1;
    stream_effect_claim(reader, id, pending, reader->consumer);
}

static void
new_reply(const struct stream_reader *reader, struct stream_id from,
          const struct read_options *options)
{
    struct reply *reply = reader->call->reply;
    struct stream_walk walk;
    struct stream_id id;
    uint32_t pair_count;
    uint64_t count = 0;
    struct reply_later later = reply_later(reply);
    stream_walk_start(&walk, reader->stream, from, STREAM_ID_MAX, false);
    while ((options->count == 0 || count < options->count) &&
           stream_walk_next(&walk, &id, &pair_count)) {
        stream_entry_reply(reply, &walk, id, pair_count);
        entry_deliver(reader, id, options->is_no_ack);
        count++;
    }
    reply_later_array(reply, later, count);
    stream_effect_group(reader);
}

/** What is pending with the consumer, from an id on; what was deleted meanwhile is null. */
static void
history_reply(const struct stream_reader *reader, struct stream_id from, uint64_t count_max)
{
    struct reply *reply = reader->call->reply;
    uint64_t count = 0;
    struct reply_later later = reply_later(reply);
    for (struct stream_place at = stream_tree_seek(&reader->consumer->pending, from);
         at.leaf != NULL && (count_max == 0 || count < count_max); at = stream_place_next(at)) {
        struct stream_id id = stream_place_id(at);
        if (stream_one_reply(reply, reader->stream, id)) {
            struct stream_pending *pending = stream_pending_find(reader->group, id);
            pending->delivery_ms = stream_now_ms(reader->call);
            pending->delivery_count++;
            stream_effect_claim(reader, id, pending, reader->consumer);
        } else {
            reply_array(reply, 2);
            stream_id_reply(reply, id);
            reply_null_array(reply);
        }
        count++;
    }
    reply_later_array(reply, later, count);
}

/* ---- serving ---- */

/** The reply as it comes into being: its first stream makes it one. */
struct answer {
    struct reply *reply;
    struct reply_later later;
    uint64_t count;
};

static void
answer_stream(struct answer *answer, struct slice key)
{
    if (answer->count == 0) {
        answer->later = reply_later(answer->reply);
    }
    answer->count++;
    if (answer->reply->protocol == 2) {
        reply_array(answer->reply, 2);
    }
    reply_bulk(answer->reply, key);
}

static void
group_serve(struct call *call, const struct read_options *options, struct view *view,
            struct stream_id id, struct answer *answer)
{
    struct stream *stream = stream_of_view(view);
    struct stream_reader reader = {.call = call, .view = view, .stream = stream};
    reader.group = stream_group_find(stream, call->argv[options->group_at]);
    struct stream_id from = id;
    bool is_new = id_is_new(id);
    bool is_served = !is_new;
    if (is_new && stream->count > 0) {
        from = reader.group->last_id;
        is_served = stream_id_compare(stream_last_entry_id(stream), from) > 0;
    }
    if (!is_served) {
        return;
    }
    stream_consumer_visit(&reader, call->argv[options->group_at + 1]);
    answer_stream(answer, view->key);
    stream_id_increment(&from);
    if (is_new) {
        new_reply(&reader, from, options);
    } else {
        history_reply(&reader, from, options->count);
    }
    stream_to_view_quiet(view, stream);
}

static void
plain_serve(const struct read_options *options, const struct view *view, struct stream_id id,
            struct answer *answer)
{
    const struct stream *stream = stream_of_view(view);
    if (stream->count == 0 || stream_id_compare(stream_last_entry_id(stream), id) <= 0) {
        return;
    }
    answer_stream(answer, view->key);
    stream_id_increment(&id);
    stream_range_reply(answer->reply, stream, id, STREAM_ID_MAX, false, options->count);
}

/** Nothing is there and BLOCK was given: wait until there is, or for so long (0: forever). */
static void
stream_wait(struct call *call, int64_t timeout_ms)
{
    if (!call_block(call, timeout_ms, call->view_count, stream_read_resolve(call))) {
        reply_null_array(call->reply);
    }
}

static void
read_run(struct call *call, bool is_group)
{
    struct read_options options;
    if (!options_read(call, is_group, &options)) {
        return;
    }
    struct stream_id *ids = call_scratch(call, options.stream_count * sizeof(*ids));
    if (!ids_read(call, &options, ids)) {
        return;
    }
    struct answer answer = {.reply = call->reply};
    for (uint32_t i = 0; i < options.stream_count; i++) {
        /* Looked up once more: ids_read() was the first time. */
        call_count(call, call->views[i]);
        if (!view_exists(call->views[i])) {
            continue;
        }
        if ((call->flags & CALL_WOKEN) != 0 && answer.count > 0) {
            break; /* named twice */
        }
        if (is_group) {
            group_serve(call, &options, call->views[i], ids[i], &answer);
        } else {
            plain_serve(&options, call->views[i], ids[i], &answer);
        }
    }
    if (answer.count > 0 && call->reply->protocol == 2) {
        reply_later_array(call->reply, answer.later, answer.count);
    } else if (answer.count > 0) {
        reply_later_map(call->reply, answer.later, answer.count);
    } else if (options.block_ms >= 0) {
        stream_wait(call, options.block_ms);
    } else {
        reply_null_array(call->reply);
    }
}

static bool
read_may_block(const struct slice *argv, uint32_t argc)
{
    for (uint32_t i = 1; i < argc && !slice_is_word(argv[i], "streams"); i++) {
        if (slice_is_word(argv[i], "block")) {
            return true;
        }
    }
    return false;
}

static void
xread_run(struct call *call)
{
    read_run(call, false);
}

static void
xreadgroup_run(struct call *call)
{
    read_run(call, true);
}

const struct slice *
stream_read_resolve(struct call *call)
{
    uint32_t first = call->argc - call->view_count;
    struct slice *argv = NULL;
    for (uint32_t i = 0; i < call->view_count; i++) {
        if (!stream_text_is(call->argv[first + i], '$')) {
            continue;
        }
        if (argv == NULL) {
            argv = call_scratch(call, call->argc * sizeof(*argv));
            memcpy(argv, call->argv, call->argc * sizeof(*argv));
        }
        const struct stream *stream = stream_of_view(call->views[i]);
        char *text = call_scratch(call, STREAM_ID_TEXT_SIZE);
        argv[first + i] = stream_id_text(text, stream != NULL ? stream->last_id : STREAM_ID_MIN);
    }
    return argv != NULL ? argv : call->argv;
}

/* ---- documentation ---- */

static const struct command_argument streams_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "key", .is_multiple = true},
    {.kind = ARGUMENT_STRING, .name = "id", .is_multiple = true},
    {0},
};
static const struct command_argument group_arguments[] = {
    {.kind = ARGUMENT_STRING, .name = "group"},
    {.kind = ARGUMENT_STRING, .name = "consumer"},
    {0},
};

#define COUNT_ARGUMENT                                                                             \
    {                                                                                              \
        .kind = ARGUMENT_INTEGER, .name = "count", .token = "COUNT", .is_optional = true           \
    }
#define BLOCK_ARGUMENT                                                                             \
    {                                                                                              \
        .kind = ARGUMENT_INTEGER, .name = "milliseconds", .token = "BLOCK", .is_optional = true    \
    }
#define STREAMS_ARGUMENT                                                                           \
    {                                                                                              \
        .kind = ARGUMENT_BLOCK, .name = "streams", .token = "STREAMS",                             \
        .arguments = streams_arguments                                                             \
    }
#define STREAMS_KEYS(start)                                                                        \
    {                                                                                              \
        .flags = KEY_RO | KEY_ACCESS, .begin = KEYS_BEGIN_KEYWORD, .begin_index = (start),         \
        .begin_keyword = "STREAMS", .find = KEYS_FIND_RANGE, .last = -1, .step = 1, .limit = 2     \
    }

static const struct command_argument xread_arguments[] = {
    COUNT_ARGUMENT,
    BLOCK_ARGUMENT,
    STREAMS_ARGUMENT,
    {0},
};
static const struct command_argument xreadgroup_arguments[] = {
    {.kind = ARGUMENT_BLOCK,
     .name = "group_consumer",
     .token = "GROUP",
     .arguments = group_arguments},
    COUNT_ARGUMENT,
    BLOCK_ARGUMENT,
    {.kind = ARGUMENT_PURE_TOKEN, .name = "noack", .token = "NOACK", .is_optional = true},
    STREAMS_ARGUMENT,
    {0},
};

static const struct command stream_read_commands[] = {
    {.name = "xread",
     .run = xread_run,
     .flags = CMD_READONLY | CMD_BLOCKING | CMD_MOVABLE_KEYS | CMD_NO_COUNT,
     .arity = -4,
     .key_specs = {STREAMS_KEYS(1)},
     .key_spec_count = 1,
     .views = xread_views,
     .may_block = read_may_block,
     .group = GROUP_STREAM,
     .since = "5.0.0",
     .complexity = "O(log N + M) for each stream with N entries and M to answer.",
     .summary = "Answers the entries of streams behind given ids, and may wait for some.",
     .arguments = xread_arguments},
    {.name = "xreadgroup",
     .run = xreadgroup_run,
     .flags = CMD_WRITE | CMD_BLOCKING | CMD_MOVABLE_KEYS,
     .arity = -7,
     .key_specs = {STREAMS_KEYS(4)},
     .key_spec_count = 1,
     .views = xreadgroup_views,
     .may_block = read_may_block,
     .group = GROUP_STREAM,
     .since = "5.0.0",
     .complexity = "O(M log P) for each stream with M entries to answer and P that are pending.",
     .summary = "Delivers entries of streams to a consumer of a group: new ones, or again those "
                "that it has not acknowledged.",
     .arguments = xreadgroup_arguments},
};

const struct command_family stream_read_family = {stream_read_commands,
                                                  ARRAY_COUNT(stream_read_commands)};
