/*
 * stream_info.c: what a stream, its groups and their consumers are like: XINFO.
 *
 * Names and order of the fields are redis-server's. The nodes of a radix tree that it tells of are
 * counted from the ids (stream_radix_node_count()): clients compare the numbers with what they know
 * of other servers, and there is no such tree here.
 */
#include "shard/command/families.h"
#include "shard/command/stream_internal.h"

/** XINFO STREAM FULL shows so many entries, and so many pending ones of each list. */
#define FULL_COUNT_DEFAULT 10

/** The stream, which has to be there. NULL: an error is replied. */
static struct stream *
stream_argument(struct call *call)
{
    struct view *view = call->views[0];
    call_count(call, view);
    if (!view_exists(view)) {
        reply_error(call->reply, "ERR no such key");
        return NULL;
    }
    return view_check_type(call, view, VALUE_STREAM) ? view_object(view) : NULL;
}

static void
number_field(struct reply *reply, const char *name, uint64_t value)
{
    reply_bulk_string(reply, name);
    reply_i64(reply, (int64_t)value);
}

static void
id_field(struct reply *reply, const char *name, struct stream_id id)
{
    reply_bulk_string(reply, name);
    stream_id_reply(reply, id);
}

/** How far a group has come, and how far it has to go. */
static void
progress_fields(struct reply *reply, const struct stream *stream, const struct stream_group *group)
{
    id_field(reply, "last-delivered-id", group->last_id);
    reply_bulk_string(reply, "entries-read");
    if (group->read_count == STREAM_READ_COUNT_UNKNOWN) {
        reply_null(reply);
    } else {
        reply_i64(reply, group->read_count);
    }
    reply_bulk_string(reply, "lag");
    int64_t lag;
    if (stream_group_lag(stream, group, &lag)) {
        reply_i64(reply, lag);
    } else {
        reply_null(reply);
    }
}

/* ---- STREAM ---- */

static void
stream_fields(struct reply *reply, const struct stream *stream)
{
    number_field(reply, "length", stream->count);
    number_field(reply, "radix-tree-keys", stream->nodes.count);
    number_field(reply, "radix-tree-nodes", stream_radix_node_count(stream));
    id_field(reply, "last-generated-id", stream->last_id);
    id_field(reply, "max-deleted-entry-id", stream->deleted_id_max);
    number_field(reply, "entries-added", stream->added_count);
    id_field(reply, "recorded-first-entry-id", stream->first_id);
}

static void
edge_field(struct reply *reply, const char *name, const struct stream *stream, bool is_last)
{
    struct stream_walk walk;
    struct stream_id id;
    uint32_t pair_count;
    reply_bulk_string(reply, name);
    stream_walk_start(&walk, stream, is_last ? STREAM_ID_MAX : STREAM_ID_MIN,
                      is_last ? STREAM_ID_MIN : STREAM_ID_MAX, is_last);
    if (stream_walk_next(&walk, &id, &pair_count)) {
        stream_entry_reply(reply, &walk, id, pair_count);
    } else {
        reply_null(reply);
    }
}

/** What is pending with a group, or with one of its consumers. */
static void
pending_field(struct reply *reply, const struct stream_group *group,
              const struct stream_consumer *consumer, uint64_t count_max)
{
    const struct stream_tree *tree = consumer != NULL ? &consumer->pending : &group->pending;
    number_field(reply, "pel-count", tree->count);
    reply_bulk_string(reply, "pending");
    uint64_t count = count_max == 0 ? tree->count : MIN(tree->count, count_max);
    reply_array(reply, count);
    struct stream_place at = stream_tree_first(tree);
    for (; count > 0; count--, at = stream_place_next(at)) {
        struct stream_id id = stream_place_id(at);
        const struct stream_pending *pending = stream_pending_find(group, id);
        reply_array(reply, consumer != NULL ? 3 : 4);
        stream_id_reply(reply, id);
        if (consumer == NULL) {
            reply_bulk(reply, stream_consumer_name(pending->consumer));
        }
        reply_i64(reply, pending->delivery_ms);
        reply_i64(reply, (int64_t)pending->delivery_count);
    }
}

static void
group_full(struct reply *reply, const struct stream *stream, const struct stream_group *group,
           uint64_t count_max)
{
    reply_map(reply, 7);
    reply_bulk_string(reply, "name");
    reply_bulk(reply, stream_group_name(group));
    progress_fields(reply, stream, group);
    pending_field(reply, group, NULL, count_max);
    reply_bulk_string(reply, "consumers");
    reply_array(reply, group->consumer_count);
    for (uint32_t i = 0; i < group->consumer_count; i++) {
        const struct stream_consumer *consumer = group->consumers[i];
        reply_map(reply, 4);
        reply_bulk_string(reply, "name");
        reply_bulk(reply, stream_consumer_name(consumer));
        number_field(reply, "seen-time", (uint64_t)consumer->seen_ms);
        pending_field(reply, group, consumer, count_max);
    }
}

static void
stream_full(struct reply *reply, const struct stream *stream, uint64_t count_max)
{
    reply_map(reply, 9);
    stream_fields(reply, stream);
    reply_bulk_string(reply, "entries");
    stream_range_reply(reply, stream, STREAM_ID_MIN, STREAM_ID_MAX, false, count_max);
    reply_bulk_string(reply, "groups");
    reply_array(reply, stream->group_count);
    for (uint32_t i = 0; i < stream->group_count; i++) {
        group_full(reply, stream, stream->groups[i], count_max);
    }
}

static void
xinfo_stream(struct call *call)
{
    const struct stream *stream = stream_argument(call);
    if (stream == NULL) {
        return;
    }
    struct reply *reply = call->reply;
    if (call->argc == 3) {
        reply_map(reply, 10);
        stream_fields(reply, stream);
        number_field(reply, "groups", stream->group_count);
        edge_field(reply, "first-entry", stream, false);
        edge_field(reply, "last-entry", stream, true);
        return;
    }
    int64_t count = FULL_COUNT_DEFAULT;
    bool has_count = call->argc == 6 && slice_is_word(call->argv[4], "count");
    if (!slice_is_word(call->argv[3], "full") || (call->argc != 4 && !has_count)) {
        reply_error_format(reply,
                           "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try "
                           "XINFO HELP.",
                           (int)MIN(call->argv[1].size, (size_t)128), call->argv[1].data);
        return;
    }
    if (has_count && !call_integer(call, 5, &count, NULL)) {
        return;
    }
    stream_full(reply, stream, count < 0 ? FULL_COUNT_DEFAULT : (uint64_t)count);
}

/* ---- GROUPS and CONSUMERS ---- */

static void
xinfo_groups(struct call *call)
{
    const struct stream *stream = stream_argument(call);
    if (stream == NULL) {
        return;
    }
    struct reply *reply = call->reply;
    reply_array(reply, stream->group_count);
    for (uint32_t i = 0; i < stream->group_count; i++) {
        const struct stream_group *group = stream->groups[i];
        reply_map(reply, 6);
        reply_bulk_string(reply, "name");
        reply_bulk(reply, stream_group_name(group));
        number_field(reply, "consumers", group->consumer_count);
        number_field(reply, "pending", group->pending.count);
        progress_fields(reply, stream, group);
    }
}

static void
xinfo_consumers(struct call *call)
{
    const struct stream *stream = stream_argument(call);
    if (stream == NULL) {
        return;
    }
    struct reply *reply = call->reply;
    struct slice name = call->argv[3];
    const struct stream_group *group = stream_group_find(stream, name);
    if (group == NULL) {
        reply_error_format(reply, "NOGROUP No such consumer group '%.*s' for key name '%.*s'",
                           (int)name.size, name.data, (int)call->argv[2].size, call->argv[2].data);
        return;
    }
    reply_array(reply, group->consumer_count);
    for (uint32_t i = 0; i < group->consumer_count; i++) {
        const struct stream_consumer *consumer = group->consumers[i];
        reply_map(reply, 3);
        reply_bulk_string(reply, "name");
        reply_bulk(reply, stream_consumer_name(consumer));
        number_field(reply, "pending", consumer->pending.count);
        number_field(reply, "idle", (uint64_t)MAX(call->now_ms - consumer->seen_ms, INT64_C(0)));
    }
}

static void
xinfo_help(struct call *call)
{
    static const char *const lines[] = {
        "CONSUMERS <key> <group>",
        "    The consumers of a group.",
        "GROUPS <key>",
        "    The groups of a stream.",
        "STREAM <key> [FULL [COUNT <count>]]",
        "    The stream; FULL shows entries, groups and what is pending as well.",
        NULL,
    };
    reply_help(call->reply, "XINFO", lines);
}

/* ---- documentation ---- */

static const char *const random_tips[] = {"nondeterministic_output", NULL};
static const struct command_history groups_history[] = {
    {"7.0.0", "Answers `entries-read` and `lag` too."}, {NULL, NULL}};
static const struct command_history stream_history[] = {
    {"6.0.0", "Takes `FULL`."},
    {"7.0.0", "Answers `max-deleted-entry-id`, `entries-added`, `recorded-first-entry-id`, "
              "`entries-read` and `lag` too."},
    {NULL, NULL}};

static const struct command_argument consumers_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "key"},
    {.kind = ARGUMENT_STRING, .name = "groupname"},
    {0},
};
static const struct command_argument groups_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "key"},
    {0},
};
static const struct command_argument full_arguments[] = {
    {.kind = ARGUMENT_INTEGER, .name = "count", .token = "COUNT", .is_optional = true},
    {0},
};
static const struct command_argument stream_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "key"},
    {.kind = ARGUMENT_BLOCK,
     .name = "full",
     .token = "FULL",
     .is_optional = true,
     .arguments = full_arguments},
    {0},
};

#define XINFO_ROW(name_, arity_)                                                                   \
    .name = #name_, .parent = "xinfo", .run = xinfo_##name_, .arity = (arity_),                    \
    .flags = CMD_READONLY | CMD_NO_COUNT, .key_specs = {KEYS_AT(2, KEY_RO | KEY_ACCESS)},          \
    .key_spec_count = 1, .group = GROUP_STREAM, .since = "5.0.0"

static const struct command xinfo_subcommands[] = {
    {XINFO_ROW(consumers, 4), .complexity = "O(N) with N consumers.",
     .summary = "Lists the consumers of a group.", .tips = random_tips,
     .arguments = consumers_arguments},
    {XINFO_ROW(groups, 3), .complexity = "O(N) with N groups.",
     .summary = "Lists the groups of a stream.", .history = groups_history,
     .arguments = groups_arguments},
    {XINFO_ROW(stream, -3), .complexity = "O(N) with N nodes, a hundred entries or so each.",
     .summary = "Tells what a stream is like.", .history = stream_history,
     .arguments = stream_arguments},
    {.name = "help",
     .parent = "xinfo",
     .run = xinfo_help,
     .flags = CMD_LOADING | CMD_STALE,
     .arity = 2,
     .scope = SCOPE_LOCAL,
     .group = GROUP_STREAM,
     .since = "5.0.0",
     .complexity = "O(1)",
     .summary = "Lists what XINFO can tell."},
};

static const struct command stream_info_commands[] = {
    {.name = "xinfo",
     .run = call_unknown_subcommand_error,
     .arity = -2,
     .scope = SCOPE_LOCAL,
     .group = GROUP_STREAM,
     .since = "5.0.0",
     .complexity = "Depends on subcommand.",
     .summary = "Tells what streams, their groups and consumers are like.",
     .subcommands = xinfo_subcommands,
     .subcommand_count = ARRAY_COUNT(xinfo_subcommands)},
};

const struct command_family stream_info_family = {stream_info_commands,
                                                  ARRAY_COUNT(stream_info_commands)};
