/*
 * stream_range.c: entries from one id to another: XRANGE, XREVRANGE.
 *
 * Both name the bounds as they come, the one that the walk begins with first; all else is one
 * function.
 */
#include "shard/command/families.h"
#include "shard/command/stream_internal.h"

/** COUNT, or `count` stays. */
static bool
count_read(struct call *call, int64_t *count)
{
    for (uint32_t i = 4; i < call->argc; i += 2) {
        if (i + 1 == call->argc || !slice_is_word(call->argv[i], "count")) {
            call_syntax_error(call);
            return false;
        }
        if (!call_integer(call, i + 1, count, NULL)) {
            return false;
        }
        *count = MAX(*count, 0);
    }
    return true;
}

static void
range_run(struct call *call, bool is_backward)
{
    struct view *view = call->views[0];
    struct stream_id lower;
    struct stream_id upper;
    int64_t count = -1; /* all */
    if (!stream_bound_argument(call, is_backward ? 3 : 2, false, &lower) ||
        !stream_bound_argument(call, is_backward ? 2 : 3, true, &upper) ||
        !count_read(call, &count)) {
        return;
    }
    if (!view_exists(view)) {
        reply_array(call->reply, 0);
        return;
    }
    if (!view_check_type(call, view, VALUE_STREAM)) {
        return;
    }
    if (count == 0) {
        reply_null_array(call->reply);
        return;
    }
    stream_range_reply(call->reply, stream_of_view(view), is_backward ? upper : lower,
                       is_backward ? lower : upper, is_backward, count == -1 ? 0 : (uint64_t)count);
}

static void
xrange_run(struct call *call)
{
    range_run(call, false);
}

static void
xrevrange_run(struct call *call)
{
    range_run(call, true);
}

/* ---- documentation ---- */

static const struct command_history range_history[] = {{"6.2.0", "Takes bounds that are left out."},
                                                       {NULL, NULL}};
static const struct command_argument xrange_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "key"},
    {.kind = ARGUMENT_STRING, .name = "start"},
    {.kind = ARGUMENT_STRING, .name = "end"},
    {.kind = ARGUMENT_INTEGER, .name = "count", .token = "COUNT", .is_optional = true},
    {0},
};
static const struct command_argument xrevrange_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "key"},
    {.kind = ARGUMENT_STRING, .name = "end"},
    {.kind = ARGUMENT_STRING, .name = "start"},
    {.kind = ARGUMENT_INTEGER, .name = "count", .token = "COUNT", .is_optional = true},
    {0},
};

static const struct command stream_range_commands[] = {
    {.name = "xrange",
     .run = xrange_run,
     .flags = CMD_READONLY,
     .arity = -4,
     .key_specs = {KEYS_AT(1, KEY_RO | KEY_ACCESS)},
     .key_spec_count = 1,
     .group = GROUP_STREAM,
     .since = "5.0.0",
     .complexity = "O(log N + M) with N entries in the stream and M to answer.",
     .summary = "Answers the entries of a stream from one id to another.",
     .history = range_history,
     .arguments = xrange_arguments},
    {.name = "xrevrange",
     .run = xrevrange_run,
     .flags = CMD_READONLY,
     .arity = -4,
     .key_specs = {KEYS_AT(1, KEY_RO | KEY_ACCESS)},
     .key_spec_count = 1,
     .group = GROUP_STREAM,
     .since = "5.0.0",
     .complexity = "O(log N + M) with N entries in the stream and M to answer.",
     .summary = "Answers the entries of a stream from one id back to another.",
     .history = range_history,
     .arguments = xrevrange_arguments},
};

const struct command_family stream_range_family = {stream_range_commands,
                                                   ARRAY_COUNT(stream_range_commands)};
