/*
 * key.c: commands on keys whatever they hold: is it there, what is it, away with it.
 *
 * A key that is named twice is one view, so DEL k k counts it once and EXISTS k k twice, as clients
 * know it. UNLINK is DEL: what a key held is freed by its owner after the commit in either case,
 * large collections in steps.
 */
#include "shard/call.h"
#include "shard/command/families.h"
#include "shard/notify.h"

static void
key_delete(struct call *call)
{
    int64_t deleted_count = 0;
    for (uint32_t i = 0; i < call->view_count; i++) {
        struct view *view = call->views[i];
        if (view_exists(view)) {
            view_delete(call, view);
            call_effect_delete(call, view);
            call_event(call, view, NOTIFY_GENERIC, "del");
            deleted_count++;
        }
    }
    reply_i64(call->reply, deleted_count);
}

/* EXISTS, TOUCH: that TOUCH also moves the access clock is the rows' difference. */
static void
key_exists(struct call *call)
{
    int64_t found_count = 0;
    for (uint32_t i = 0; i < call->view_count; i++) {
        found_count += view_exists(call->views[i]);
    }
    reply_i64(call->reply, found_count);
}

static void
key_type(struct call *call)
{
    reply_simple(call->reply, value_type_name((enum value_type)call->views[0]->value.type));
}

static const char *const many_keys_tips[] = {"request_policy:multi_shard",
                                             "response_policy:agg_sum", NULL};
static const struct command_argument one_key_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "key"},
    {.kind = ARGUMENT_END},
};
static const struct command_argument many_keys_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "key", .is_multiple = true},
    {.kind = ARGUMENT_END},
};
static const struct command_history exists_history[] = {
    {"3.0.3", "Takes several keys."},
    {NULL, NULL},
};

static const struct command key_commands[] = {
    {
        .name = "del",
        .run = key_delete,
        .flags = CMD_WRITE,
        .arity = -2,
        .scope = SCOPE_KEYS,
        .key_specs = {KEYS_FROM(1, -1, 1, KEY_RM | KEY_DELETE)},
        .key_spec_count = 1,
        .group = GROUP_GENERIC,
        .categories = ACL_KEYSPACE,
        .since = "1.0.0",
        .complexity = "O(N) with N keys, and O(M) for each that holds a collection of M elements.",
        .summary = "Removes keys with all that they hold.",
        .tips = many_keys_tips,
        .arguments = many_keys_arguments,
    },
    {
        .name = "unlink",
        .run = key_delete,
        .flags = CMD_WRITE | CMD_FAST,
        .arity = -2,
        .scope = SCOPE_KEYS,
        .key_specs = {KEYS_FROM(1, -1, 1, KEY_RM | KEY_DELETE)},
        .key_spec_count = 1,
        .group = GROUP_GENERIC,
        .categories = ACL_KEYSPACE,
        .since = "4.0.0",
        .complexity = "O(1) for each key; what it held is freed in steps behind the reply.",
        .summary = "Removes keys; their memory is given back later.",
        .tips = many_keys_tips,
        .arguments = many_keys_arguments,
    },
    {
        .name = "exists",
        .run = key_exists,
        .flags = CMD_READONLY | CMD_FAST | CMD_NO_TOUCH,
        .arity = -2,
        .scope = SCOPE_KEYS,
        .key_specs = {KEYS_FROM(1, -1, 1, KEY_RO)},
        .key_spec_count = 1,
        .group = GROUP_GENERIC,
        .categories = ACL_KEYSPACE,
        .since = "1.0.0",
        .complexity = "O(N) with N keys to look for.",
        .summary = "Counts how many of the named keys are there.",
        .history = exists_history,
        .tips = many_keys_tips,
        .arguments = many_keys_arguments,
    },
    {
        .name = "touch",
        .run = key_exists,
        .flags = CMD_READONLY | CMD_FAST,
        .arity = -2,
        .scope = SCOPE_KEYS,
        .key_specs = {KEYS_FROM(1, -1, 1, KEY_RO)},
        .key_spec_count = 1,
        .group = GROUP_GENERIC,
        .categories = ACL_KEYSPACE,
        .since = "3.2.1",
        .complexity = "O(N) with N keys to touch.",
        .summary = "Marks keys as just used, and counts how many of them are there.",
        .tips = many_keys_tips,
        .arguments = many_keys_arguments,
    },
    {
        .name = "type",
        .run = key_type,
        .flags = CMD_READONLY | CMD_FAST | CMD_NO_TOUCH,
        .arity = 2,
        .scope = SCOPE_KEYS,
        .key_specs = {KEYS_AT(1, KEY_RO)},
        .key_spec_count = 1,
        .group = GROUP_GENERIC,
        .categories = ACL_KEYSPACE,
        .since = "1.0.0",
        .complexity = "O(1)",
        .summary = "Tells what kind of value a key holds.",
        .arguments = one_key_arguments,
    },
};

const struct command_family key_family = {
    .commands = key_commands,
    .count = ARRAY_COUNT(key_commands),
};
