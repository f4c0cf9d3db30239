/*
 * zset_block.c: the commands on sorted sets that wait: BZPOPMIN, BZPOPMAX, BZMPOP.
 * As list_block.c does for lists: each is its brother without the B, and where there is nothing it
 * calls call_block() and is run again when a key has become a sorted set.
 */
#include "shard/command/families.h"
#include "shard/command/zset_internal.h"

static void
block_pop(struct call *call, bool is_max)
{
    int64_t timeout_ms;
    if (!call_block_timeout(call, call->argc - 1, &timeout_ms)) {
        return;
    }
    for (uint32_t i = 0; i < call->view_count; i++) {
        struct view *view = call->views[i];
        if (!view_check_type(call, view, VALUE_ZSET)) {
            return;
        }
        if (view_exists(view)) {
            reply_array(call->reply, 3);
            reply_bulk(call->reply, view->key);
            zset_pop_items(call, view, is_max, 1, false);
            return;
        }
    }
    if (!call_block(call, timeout_ms, call->view_count, call->argv)) {
        reply_null_array(call->reply);
    }
}

static void
bzpopmin_run(struct call *call)
{
    block_pop(call, false);
}

static void
bzpopmax_run(struct call *call)
{
    block_pop(call, true);
}

static void
bzmpop_run(struct call *call)
{
    int64_t timeout_ms;
    struct zmpop options;
    if (call_block_timeout(call, 1, &timeout_ms) && zmpop_read(call, 2, &options) &&
        !zmpop(call, &options) && !call_block(call, timeout_ms, call->view_count, call->argv)) {
        reply_null_array(call->reply);
    }
}

/* ---- rows ---- */

static const struct command_argument pop_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "key", .is_multiple = true},
    {.kind = ARGUMENT_DOUBLE, .name = "timeout"},
    {.kind = ARGUMENT_END},
};
static const struct command_argument end_arguments[] = {
    {.kind = ARGUMENT_PURE_TOKEN, .name = "min", .token = "MIN"},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "max", .token = "MAX"},
    {.kind = ARGUMENT_END},
};
static const struct command_argument bzmpop_arguments[] = {
    {.kind = ARGUMENT_DOUBLE, .name = "timeout"},
    {.kind = ARGUMENT_INTEGER, .name = "numkeys"},
    {.kind = ARGUMENT_KEY, .name = "key", .is_multiple = true},
    {.kind = ARGUMENT_ONEOF, .name = "where", .arguments = end_arguments},
    {.kind = ARGUMENT_INTEGER, .name = "count", .token = "COUNT", .is_optional = true},
    {.kind = ARGUMENT_END},
};
static const struct command_history timeout_history[] = {
    {"6.0.0", "The timeout may have a fraction."},
    {NULL, NULL},
};

#define POP_ROW(command_name, handler)                                                             \
    .name = (command_name), .run = (handler),                                                      \
    .flags = CMD_WRITE | CMD_NOSCRIPT | CMD_BLOCKING | CMD_FAST, .arity = -3, .scope = SCOPE_KEYS, \
    .key_specs = {KEYS_FROM(1, -2, 1, KEY_RW | KEY_ACCESS | KEY_DELETE)}, .key_spec_count = 1,     \
    .group = GROUP_SORTED_SET, .since = "5.0.0", .complexity = "O(log(N)) for N elements.",        \
    .history = timeout_history, .arguments = pop_arguments

static const struct command zset_block_commands[] = {
    {POP_ROW("bzpopmin", bzpopmin_run),
     .summary = "Takes the lowest element of the first sorted set that has one, and waits for it."},
    {POP_ROW("bzpopmax", bzpopmax_run),
     .summary =
         "Takes the highest element of the first sorted set that has one, and waits for it."},
    {.name = "bzmpop",
     .run = bzmpop_run,
     .flags = CMD_WRITE | CMD_BLOCKING | CMD_MOVABLE_KEYS,
     .arity = -5,
     .scope = SCOPE_KEYS,
     .key_specs = {{.flags = KEY_RW | KEY_ACCESS | KEY_DELETE,
                    .begin = KEYS_BEGIN_INDEX,
                    .begin_index = 2,
                    .find = KEYS_FIND_KEYNUM,
                    .step = 1,
                    .keynum_index = 0,
                    .keynum_first = 1}},
     .key_spec_count = 1,
     .group = GROUP_SORTED_SET,
     .since = "7.0.0",
     .complexity = "O(K)+O(M*log(N)) for K keys, N elements and M taken.",
     .summary = "Takes elements from the first sorted set that has some, and waits for them.",
     .arguments = bzmpop_arguments},
};

const struct command_family zset_block_family = {zset_block_commands,
                                                 ARRAY_COUNT(zset_block_commands)};
