/*
 * string_many.c: several strings at once: MGET, MSET, MSETNX, MSETEX.
 * A key that is named twice is one view named twice, so the last of its values wins without a word
 * about it here. MSET and its kin have one effect for each key, never one for all: keys have
 * different owners, and each journals its own.
 */
#include "core/number.h"
#include "shard/command/families.h"
#include "shard/command/string_set.h"

static void
mget_run(struct call *call)
{
    reply_array(call->reply, call->view_count);
    for (uint32_t i = 0; i < call->view_count; i++) {
        struct view *view = call->views[i];
        if (view->value.type == VALUE_STRING) {
            view_string_reply(call, view);
        } else {
            reply_null(call->reply);
        }
    }
}

static bool
mset_check(struct call *call)
{
    if (call->argc % 2 == 0) {
        call_arity_error(call);
        return false;
    }
    return true;
}

static void
mset_store(struct call *call)
{
    for (uint32_t i = 0; i < call->view_count; i++) {
        string_set_store(call, call->views[i], call->argv[2 + 2 * i], VIEW_NO_DEADLINE);
    }
}

static void
mset_run(struct call *call)
{
    if (mset_check(call)) {
        ASSERT(call->view_count == call->argc / 2);
        mset_store(call);
        reply_ok(call->reply);
    }
}

static bool
any_exists(const struct call *call)
{
    for (uint32_t i = 0; i < call->view_count; i++) {
        if (view_exists(call->views[i])) {
            return true;
        }
    }
    return false;
}

static bool
all_exist(const struct call *call)
{
    for (uint32_t i = 0; i < call->view_count; i++) {
        if (!view_exists(call->views[i])) {
            return false;
        }
    }
    return true;
}

static void
msetnx_run(struct call *call)
{
    if (!mset_check(call)) {
        return;
    }
    if (any_exists(call)) {
        reply_i64(call->reply, 0);
        return;
    }
    mset_store(call);
    reply_i64(call->reply, 1);
}

#define MSETEX_DEADLINE_FLAGS (STRING_SET_EX | STRING_SET_PX | STRING_SET_EXAT | STRING_SET_PXAT)

/** Everything that can be wrong with MSETEX. Replies the error. */
static bool
msetex_read(struct call *call, struct string_set_options *options, int64_t *deadline_ms)
{
    int64_t count;
    if (!call_integer_in(call, 1, 1, INT32_MAX, &count, "ERR invalid numkeys value")) {
        return false;
    }
    if (count > (call->argc - 2) / 2) {
        reply_error(call->reply, "ERR wrong number of key-value pairs");
        return false;
    }
    uint32_t allowed = STRING_SET_NX | STRING_SET_XX | STRING_SET_KEEPTTL | MSETEX_DEADLINE_FLAGS;
    *deadline_ms = VIEW_NO_DEADLINE;
    return string_set_options_read(call, 2 + 2 * (uint32_t)count, allowed, options) &&
           (options->deadline_index == 0 ||
            string_set_deadline_read(call, options->deadline_index,
                                     options->flags & MSETEX_DEADLINE_FLAGS, deadline_ms));
}

static bool
msetex_check(struct call *call)
{
    struct string_set_options options;
    int64_t deadline_ms;
    return msetex_read(call, &options, &deadline_ms);
}

static void
msetex_run(struct call *call)
{
    struct string_set_options options;
    int64_t deadline_ms;
    if (!msetex_read(call, &options, &deadline_ms)) {
        return;
    }
    if (((options.flags & STRING_SET_NX) != 0 && any_exists(call)) ||
        ((options.flags & STRING_SET_XX) != 0 && !all_exist(call))) {
        reply_i64(call->reply, 0);
        return;
    }
    for (uint32_t i = 0; i < call->view_count; i++) {
        struct view *view = call->views[i];
        if ((options.flags & STRING_SET_KEEPTTL) != 0) {
            string_set_keep(call, view, call->argv[3 + 2 * i]);
        } else {
            string_set_store(call, view, call->argv[3 + 2 * i], deadline_ms);
        }
    }
    reply_i64(call->reply, 1);
}

/* ---- documentation ---- */

static const struct command_argument mget_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "key", .is_multiple = true},
    {0},
};
static const struct command_argument pair_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "key"},
    {.kind = ARGUMENT_STRING, .name = "value"},
    {0},
};
static const struct command_argument mset_arguments[] = {
    {.kind = ARGUMENT_BLOCK, .name = "key_value", .is_multiple = true, .arguments = pair_arguments},
    {0},
};
static const struct command_argument msetex_condition[] = {
    {.kind = ARGUMENT_PURE_TOKEN, .name = "nx", .token = "NX"},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "xx", .token = "XX"},
    {0},
};
static const struct command_argument msetex_expiration[] = {
    {.kind = ARGUMENT_INTEGER, .name = "seconds", .token = "EX"},
    {.kind = ARGUMENT_INTEGER, .name = "milliseconds", .token = "PX"},
    {.kind = ARGUMENT_UNIX_TIME, .name = "unix-time-seconds", .token = "EXAT"},
    {.kind = ARGUMENT_UNIX_TIME, .name = "unix-time-milliseconds", .token = "PXAT"},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "keepttl", .token = "KEEPTTL"},
    {0},
};
static const struct command_argument msetex_arguments[] = {
    {.kind = ARGUMENT_INTEGER, .name = "numkeys"},
    {.kind = ARGUMENT_BLOCK, .name = "data", .is_multiple = true, .arguments = pair_arguments},
    {.kind = ARGUMENT_ONEOF,
     .name = "condition",
     .is_optional = true,
     .arguments = msetex_condition},
    {.kind = ARGUMENT_ONEOF,
     .name = "expiration",
     .is_optional = true,
     .arguments = msetex_expiration},
    {0},
};
static const char *const mget_tips[] = {"request_policy:multi_shard", NULL};
static const char *const mset_tips[] = {"request_policy:multi_shard",
                                        "response_policy:all_succeeded", NULL};
static const char *const msetnx_tips[] = {"request_policy:multi_shard", "response_policy:agg_min",
                                          NULL};

static const struct command string_many_commands[] = {
    {.name = "mget",
     .run = mget_run,
     .flags = CMD_READONLY | CMD_FAST,
     .arity = -2,
     .key_specs = {KEYS_FROM(1, -1, 1, KEY_RO | KEY_ACCESS)},
     .key_spec_count = 1,
     .group = GROUP_STRING,
     .since = "1.0.0",
     .complexity = "O(N) where N is the number of keys.",
     .summary = "Answers the strings of several keys, as of one moment.",
     .tips = mget_tips,
     .arguments = mget_arguments},
    {.name = "mset",
     .run = mset_run,
     .flags = CMD_WRITE | CMD_DENYOOM,
     .arity = -3,
     .key_specs = {KEYS_FROM(1, -1, 2, KEY_OW | KEY_UPDATE)},
     .key_spec_count = 1,
     .check = mset_check,
     .group = GROUP_STRING,
     .since = "1.0.1",
     .complexity = "O(N) where N is the number of keys.",
     .summary = "Stores a string under each of several keys, all in one step.",
     .tips = mset_tips,
     .arguments = mset_arguments},
    {.name = "msetnx",
     .run = msetnx_run,
     .flags = CMD_WRITE | CMD_DENYOOM,
     .arity = -3,
     .key_specs = {KEYS_FROM(1, -1, 2, KEY_OW | KEY_INSERT)},
     .key_spec_count = 1,
     .check = mset_check,
     .group = GROUP_STRING,
     .since = "1.0.1",
     .complexity = "O(N) where N is the number of keys.",
     .summary = "Stores a string under each of several keys, if all of them are still free.",
     .tips = msetnx_tips,
     .arguments = mset_arguments},
    {.name = "msetex",
     .run = msetex_run,
     .flags = CMD_WRITE | CMD_DENYOOM,
     .arity = -4,
     .key_specs = {{.flags = KEY_OW | KEY_UPDATE,
                    .begin = KEYS_BEGIN_INDEX,
                    .begin_index = 1,
                    .find = KEYS_FIND_KEYNUM,
                    .keynum_index = 0,
                    .keynum_first = 1,
                    .step = 2}},
     .key_spec_count = 1,
     .check = msetex_check,
     .group = GROUP_STRING,
     .since = "9.1.0",
     .complexity = "O(N) where N is the number of keys.",
     .summary = "Stores a string under each of several keys and gives all of them one deadline, in "
                "one step.",
     .tips = mset_tips,
     .arguments = msetex_arguments},
};

const struct command_family string_many_family = {string_many_commands,
                                                  ARRAY_COUNT(string_many_commands)};
