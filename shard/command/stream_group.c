/*
 * stream_group.c: groups of consumers: XGROUP and its subcommands, and XACK.
 *
 * What a group leaves behind when it goes, and a consumer who had everything that was pending, is
 * freed in the background: there may be millions of pending entries.
 */
#include "shard/command/families.h"
#include "shard/command/stream_internal.h"

#include "core/number.h"

/* ---- shared ---- */

/** XGROUP sub key group id [options]: from argument 5 on. */
struct group_options {
    bool is_make_stream;
    int64_t read_count;
};

static void
usage_error(struct call *call)
{
    reply_error_format(call->reply,
                       "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try "
                       "XGROUP HELP.",
                       (int)MIN(call->argv[1].size, (size_t)128), call->argv[1].data);
}

static bool
options_read(struct call *call, bool is_create, struct group_options *options)
{
    *options = (struct group_options){.read_count = STREAM_READ_COUNT_UNKNOWN};
    for (uint32_t i = 5; i < call->argc; i++) {
        if (is_create && slice_is_word(call->argv[i], "mkstream")) {
            options->is_make_stream = true;
        } else if (i + 1 < call->argc && slice_is_word(call->argv[i], "entriesread")) {
            if (!call_integer(call, ++i, &options->read_count, NULL)) {
                return false;
            }
            if (options->read_count < STREAM_READ_COUNT_UNKNOWN) {
                reply_error(call->reply, "ERR value for ENTRIESREAD must be positive or -1");
                return false;
            }
        } else {
            usage_error(call);
            return false;
        }
    }
    return true;
}

/** The stream, which has to be there; NULL, and an error is replied: it is not. */
static struct stream *
stream_argument(struct call *call)
{
    struct view *view = call->views[0];
    if (!view_check_type(call, view, VALUE_STREAM)) {
        return NULL;
    }
    if (!view_exists(view)) {
        reply_error(call->reply,
                    "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE "
                    "you may want to use the MKSTREAM option to create an empty stream "
                    "automatically.");
    }
    return stream_of_view(view);
}

/** The group of that stream. NULL: an error is replied. */
static struct stream_group *
group_argument(struct call *call)
{
    const struct stream *stream = stream_argument(call);
    if (stream == NULL) {
        return NULL;
    }
    struct slice name = call->argv[3];
    struct slice key = call->argv[2];
    struct stream_group *group = stream_group_find(stream, name);
    if (group == NULL) {
        reply_error_format(call->reply, "NOGROUP No such consumer group '%.*s' for key name '%.*s'",
                           (int)name.size, name.data, (int)key.size, key.data);
    }
    return group;
}

/* ---- XGROUP ---- */

static void
xgroup_create(struct call *call)
{
    struct view *view = call->views[0];
    struct group_options options;
    if (!options_read(call, true, &options) || !view_check_type(call, view, VALUE_STREAM) ||
        (!options.is_make_stream && stream_argument(call) == NULL)) {
        return;
    }
    if (call->argc > 8) {
        usage_error(call);
        return;
    }
    struct stream *stream = stream_of_view(view);
    struct stream_id id = stream != NULL ? stream->last_id : STREAM_ID_MIN;
    if (!stream_text_is(call->argv[4], '$') && !stream_id_argument(call, 4, &id)) {
        return;
    }
    bool is_new = stream == NULL;
    stream = is_new ? stream_new() : stream;
    if (stream_group_create(stream, call->argv[3], id, options.read_count) == NULL) {
        reply_error(call->reply, "BUSYGROUP Consumer Group name already exists");
        return;
    }
    if (is_new) {
        stream_to_view(call, view, stream);
    } else {
        stream_to_view_quiet(view, stream);
    }
    call_effect_same(call, view);
    call_event(call, view, NOTIFY_STREAM, "xgroup-create");
    reply_ok(call->reply);
}

static void
xgroup_setid(struct call *call)
{
    struct group_options options;
    if (!options_read(call, false, &options)) {
        return;
    }
    struct stream_group *group = group_argument(call);
    if (group == NULL) {
        return;
    }
    if (call->argc > 7) {
        usage_error(call);
        return;
    }
    struct view *view = call->views[0];
    struct stream *stream = stream_of_view(view);
    struct stream_id id = stream->last_id;
    if (!stream_text_is(call->argv[4], '$') &&
        !stream_id_parse(call->argv[4], 0, false, NULL, &id)) {
        reply_error(call->reply, "ERR Invalid stream ID specified as stream command argument");
        return;
    }
    group->last_id = id;
    group->read_count = options.read_count;
    stream_to_view_quiet(view, stream);
    call_effect_same(call, view);
    call_event(call, view, NOTIFY_STREAM, "xgroup-setid");
    reply_ok(call->reply);
}

static void
xgroup_destroy(struct call *call)
{
    struct stream *stream = stream_argument(call);
    if (stream == NULL) {
        return;
    }
    struct view *view = call->views[0];
    struct stream_group *group = stream_group_find(stream, call->argv[3]);
    if (group == NULL) {
        reply_i64(call->reply, 0);
        return;
    }
    struct stream *rest = stream_group_take(stream, group);
    stream_to_view_quiet(view, stream);
    stream_drop(call, rest);
    call_effect_same(call, view);
    call_event(call, view, NOTIFY_STREAM, "xgroup-destroy");
    reply_i64(call->reply, 1);
}

static void
xgroup_createconsumer(struct call *call)
{
    struct stream_group *group = group_argument(call);
    if (group == NULL) {
        return;
    }
    struct view *view = call->views[0];
    struct stream *stream = stream_of_view(view);
    if (stream_consumer_create(stream, group, call->argv[4], stream_now_ms(call)) == NULL) {
        reply_i64(call->reply, 0);
        return;
    }
    stream_to_view_quiet(view, stream);
    call_effect_same(call, view);
    call_event(call, view, NOTIFY_STREAM, "xgroup-createconsumer");
    reply_i64(call->reply, 1);
}

static void
xgroup_delconsumer(struct call *call)
{
    struct stream_group *group = group_argument(call);
    if (group == NULL) {
        return;
    }
    struct view *view = call->views[0];
    struct stream *stream = stream_of_view(view);
    struct stream_consumer *consumer = stream_consumer_find(group, call->argv[4]);
    if (consumer == NULL) {
        reply_i64(call->reply, 0);
        return;
    }
    reply_i64(call->reply, (int64_t)consumer->pending.count);
    struct stream *rest;
    stream_consumer_remove(stream, group, consumer, &rest);
    stream_to_view_quiet(view, stream);
    stream_drop(call, rest);
    call_effect_same(call, view);
    call_event(call, view, NOTIFY_STREAM, "xgroup-delconsumer");
}

static void
xgroup_help(struct call *call)
{
    static const char *const lines[] = {
        "CREATE <key> <group> <id|$> [MKSTREAM] [ENTRIESREAD <count>]",
        "    A new group that reads on behind the id. MKSTREAM: the stream may be absent.",
        "CREATECONSUMER <key> <group> <consumer>",
        "    A new consumer of the group.",
        "DELCONSUMER <key> <group> <consumer>",
        "    Remove a consumer and what is pending with it.",
        "DESTROY <key> <group>",
        "    Remove a group.",
        "SETID <key> <group> <id|$> [ENTRIESREAD <count>]",
        "    Let the group read on behind another id.",
        NULL,
    };
    reply_help(call->reply, "XGROUP", lines);
}

/* ---- XACK ---- */

static void
xack_run(struct call *call)
{
    struct view *view = call->views[0];
    call_count(call, view);
    if (!view_check_type(call, view, VALUE_STREAM)) {
        return;
    }
    struct stream *stream = stream_of_view(view);
    struct stream_group *group = stream != NULL ? stream_group_find(stream, call->argv[2]) : NULL;
    if (group == NULL) {
        reply_i64(call->reply, 0);
        return;
    }
    struct stream_id id;
    for (uint32_t i = 3; i < call->argc; i++) {
        if (!stream_id_argument(call, i, &id)) {
            return;
        }
    }
    int64_t count = 0;
    for (uint32_t i = 3; i < call->argc; i++) {
        stream_id_argument(call, i, &id);
        count += stream_pending_remove(stream, group, id);
    }
    if (count > 0) {
        stream_to_view_quiet(view, stream);
        call_effect_same(call, view);
    }
    reply_i64(call->reply, count);
}

/* ---- documentation ---- */

static const struct command_history create_history[] = {{"7.0.0", "Takes `entries_read`."},
                                                        {NULL, NULL}};

static const struct command_argument id_arguments[] = {
    {.kind = ARGUMENT_STRING, .name = "id"},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "new_id", .token = "$"},
    {0},
};

#define GROUP_ARGUMENTS                                                                            \
    {.kind = ARGUMENT_KEY, .name = "key"},                                                         \
    {                                                                                              \
        .kind = ARGUMENT_STRING, .name = "groupname"                                               \
    }
#define READ_COUNT_ARGUMENT                                                                        \
    {                                                                                              \
        .kind = ARGUMENT_INTEGER, .name = "entries_read", .token = "ENTRIESREAD",                  \
        .is_optional = true                                                                        \
    }

static const struct command_argument create_arguments[] = {
    GROUP_ARGUMENTS,
    {.kind = ARGUMENT_ONEOF, .name = "id", .arguments = id_arguments},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "mkstream", .token = "MKSTREAM", .is_optional = true},
    READ_COUNT_ARGUMENT,
    {0},
};
static const struct command_argument setid_arguments[] = {
    GROUP_ARGUMENTS,
    {.kind = ARGUMENT_ONEOF, .name = "id", .arguments = id_arguments},
    READ_COUNT_ARGUMENT,
    {0},
};
static const struct command_argument group_arguments[] = {GROUP_ARGUMENTS, {0}};
static const struct command_argument consumer_arguments[] = {
    GROUP_ARGUMENTS, {.kind = ARGUMENT_STRING, .name = "consumername"}, {0}};
static const struct command_argument xack_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "key"},
    {.kind = ARGUMENT_STRING, .name = "group"},
    {.kind = ARGUMENT_STRING, .name = "id", .is_multiple = true},
    {0},
};

#define XGROUP_ROW(name_, arity_, flags_, key_flags_)                                              \
    .name = #name_, .parent = "xgroup", .run = xgroup_##name_, .arity = (arity_),                  \
    .flags = (flags_), .key_specs = {KEYS_AT(2, KEY_RW | (key_flags_))}, .key_spec_count = 1,      \
    .group = GROUP_STREAM

static const struct command xgroup_subcommands[] = {
    {XGROUP_ROW(create, -5, CMD_WRITE | CMD_DENYOOM, KEY_INSERT), .since = "5.0.0",
     .complexity = "O(1)", .summary = "Makes a group of consumers.", .history = create_history,
     .arguments = create_arguments},
    {XGROUP_ROW(createconsumer, 5, CMD_WRITE | CMD_DENYOOM, KEY_INSERT), .since = "6.2.0",
     .complexity = "O(1)", .summary = "Makes a consumer in a group.",
     .arguments = consumer_arguments},
    {XGROUP_ROW(delconsumer, 5, CMD_WRITE, KEY_DELETE), .since = "5.0.0",
     .complexity = "O(N log M) with N entries pending with the consumer, of M in its group.",
     .summary = "Removes a consumer from a group.", .arguments = consumer_arguments},
    {XGROUP_ROW(destroy, 4, CMD_WRITE, KEY_DELETE), .since = "5.0.0",
     .complexity = "O(N) with N consumers; what is pending is freed in the background.",
     .summary = "Removes a group of consumers.", .arguments = group_arguments},
    {XGROUP_ROW(setid, -5, CMD_WRITE, KEY_UPDATE), .since = "5.0.0", .complexity = "O(1)",
     .summary = "Sets from where on a group reads.", .history = create_history,
     .arguments = setid_arguments},
    {.name = "help",
     .parent = "xgroup",
     .run = xgroup_help,
     .flags = CMD_LOADING | CMD_STALE,
     .arity = 2,
     .scope = SCOPE_LOCAL,
     .group = GROUP_STREAM,
     .since = "5.0.0",
     .complexity = "O(1)",
     .summary = "Lists what XGROUP can do."},
};

static const struct command stream_group_commands[] = {
    {.name = "xgroup",
     .run = call_unknown_subcommand_error,
     .arity = -2,
     .scope = SCOPE_LOCAL,
     .group = GROUP_STREAM,
     .since = "5.0.0",
     .complexity = "Depends on subcommand.",
     .summary = "Makes, changes and removes groups of consumers.",
     .subcommands = xgroup_subcommands,
     .subcommand_count = ARRAY_COUNT(xgroup_subcommands)},
    {.name = "xack",
     .run = xack_run,
     .flags = CMD_WRITE | CMD_FAST,
     .arity = -4,
     .key_specs = {KEYS_AT(1, KEY_RW | KEY_UPDATE)},
     .key_spec_count = 1,
     .group = GROUP_STREAM,
     .since = "5.0.0",
     .complexity = "O(log N) for each id with N pending entries.",
     .summary = "Acknowledges entries that were delivered to a group: they are pending no more.",
     .arguments = xack_arguments},
};

const struct command_family stream_group_family = {stream_group_commands,
                                                   ARRAY_COUNT(stream_group_commands)};
