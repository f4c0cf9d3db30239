/*
 * list_block.c: the commands on lists that wait: BLPOP, BRPOP, BLMOVE, BRPOPLPUSH, BLMPOP.
 * Each does what its brother without the B does; where there is nothing it calls call_block(), and
 * the same handler runs again when a key has become a list. So nothing here knows how waiting
 * works.
 */
#include "shard/command/families.h"
#include "shard/command/list_internal.h"

static void
block_pop(struct call *call, bool is_first)
{
    int64_t timeout_ms;
    if (!call_block_timeout(call, call->argc - 1, &timeout_ms)) {
        return;
    }
    for (uint32_t i = 0; i < call->view_count; i++) {
        struct view *view = call->views[i];
        if (!view_exists(view)) {
            continue;
        }
        if (!view_check_type(call, view, VALUE_LIST)) {
            return;
        }
        reply_array(call->reply, 2);
        reply_bulk(call->reply, view->key);
        list_pop_one(call, view, is_first);
        struct slice effect[] = {is_first ? SLICE("LPOP") : SLICE("RPOP"), view->key};
        call_effect(call, view, effect, 2);
        return;
    }
    if (!call_block(call, timeout_ms, call->view_count, call->argv)) {
        reply_null_array(call->reply);
    }
}

static void
blpop_run(struct call *call)
{
    block_pop(call, true);
}

static void
brpop_run(struct call *call)
{
    block_pop(call, false);
}

static void
block_move(struct call *call, bool is_from_first, bool is_to_first)
{
    int64_t timeout_ms;
    if (!call_block_timeout(call, call->argc - 1, &timeout_ms)) {
        return;
    }
    if (view_exists(call->views[0])) {
        list_move(call, is_from_first, is_to_first);
    } else if (!call_block(call, timeout_ms, 1, call->argv)) {
        reply_null(call->reply);
    }
}

static void
blmove_run(struct call *call)
{
    bool is_from_first;
    bool is_to_first;
    if (list_end_read(call, 3, &is_from_first) && list_end_read(call, 4, &is_to_first)) {
        block_move(call, is_from_first, is_to_first);
    }
}

static void
brpoplpush_run(struct call *call)
{
    block_move(call, false, true);
}

static void
blmpop_run(struct call *call)
{
    int64_t timeout_ms;
    struct list_mpop mpop;
    if (call_block_timeout(call, 1, &timeout_ms) && list_mpop_read(call, 2, &mpop) &&
        !list_mpop(call, &mpop) && !call_block(call, timeout_ms, call->view_count, call->argv)) {
        reply_null_array(call->reply);
    }
}

/* ---- documentation ---- */

static const struct command_argument pop_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "key", .is_multiple = true},
    {.kind = ARGUMENT_DOUBLE, .name = "timeout"},
    {0},
};
static const struct command_argument end_arguments[] = {
    {.kind = ARGUMENT_PURE_TOKEN, .name = "left", .token = "LEFT"},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "right", .token = "RIGHT"},
    {0},
};
static const struct command_argument blmove_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "source"},
    {.kind = ARGUMENT_KEY, .name = "destination", .key_spec_index = 1},
    {.kind = ARGUMENT_ONEOF, .name = "wherefrom", .arguments = end_arguments},
    {.kind = ARGUMENT_ONEOF, .name = "whereto", .arguments = end_arguments},
    {.kind = ARGUMENT_DOUBLE, .name = "timeout"},
    {0},
};
static const struct command_argument brpoplpush_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "source"},
    {.kind = ARGUMENT_KEY, .name = "destination", .key_spec_index = 1},
    {.kind = ARGUMENT_DOUBLE, .name = "timeout"},
    {0},
};
static const struct command_argument blmpop_arguments[] = {
    {.kind = ARGUMENT_DOUBLE, .name = "timeout"},
    {.kind = ARGUMENT_INTEGER, .name = "numkeys"},
    {.kind = ARGUMENT_KEY, .name = "key", .is_multiple = true},
    {.kind = ARGUMENT_ONEOF, .name = "where", .arguments = end_arguments},
    {.kind = ARGUMENT_INTEGER, .name = "count", .token = "COUNT", .is_optional = true},
    {0},
};
static const struct command_history timeout_history[] = {
    {"6.0.0", "The timeout may have a fraction."},
    {NULL, NULL},
};

#define POP_ROW(command_name, handler)                                                             \
    .name = (command_name), .run = (handler), .flags = CMD_WRITE | CMD_NOSCRIPT | CMD_BLOCKING,    \
    .arity = -3, .scope = SCOPE_KEYS,                                                              \
    .key_specs = {KEYS_FROM(1, -2, 1, KEY_RW | KEY_ACCESS | KEY_DELETE)}, .key_spec_count = 1,     \
    .group = GROUP_LIST, .since = "2.0.0", .complexity = "O(N) for N keys.",                       \
    .history = timeout_history, .arguments = pop_arguments

static const struct command list_block_commands[] = {
    {POP_ROW("blpop", blpop_run),
     .summary = "Takes the first element of the first list that has one, and waits for it."},
    {POP_ROW("brpop", brpop_run),
     .summary = "Takes the last element of the first list that has one, and waits for it."},
    {.name = "blmove",
     .run = blmove_run,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_NOSCRIPT | CMD_BLOCKING,
     .arity = 6,
     .scope = SCOPE_KEYS,
     .key_specs = {KEYS_AT(1, KEY_RW | KEY_ACCESS | KEY_DELETE), KEYS_AT(2, KEY_RW | KEY_INSERT)},
     .key_spec_count = 2,
     .group = GROUP_LIST,
     .since = "6.2.0",
     .complexity = "O(1)",
     .summary = "Moves an element from one list to another, and waits for it.",
     .arguments = blmove_arguments},
    {.name = "brpoplpush",
     .run = brpoplpush_run,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_NOSCRIPT | CMD_BLOCKING,
     .arity = 4,
     .scope = SCOPE_KEYS,
     .key_specs = {KEYS_AT(1, KEY_RW | KEY_ACCESS | KEY_DELETE), KEYS_AT(2, KEY_RW | KEY_INSERT)},
     .key_spec_count = 2,
     .group = GROUP_LIST,
     .since = "2.2.0",
     .complexity = "O(1)",
     .summary = "Moves the last element of a list to the front of another, and waits for it.",
     .deprecated_since = "6.2.0",
     .replaced_by = "`BLMOVE` with the `RIGHT` and `LEFT` arguments",
     .history = timeout_history,
     .arguments = brpoplpush_arguments},
    {.name = "blmpop",
     .run = blmpop_run,
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
     .group = GROUP_LIST,
     .since = "7.0.0",
     .complexity = "O(N+M) for N keys and M elements taken.",
     .summary = "Takes elements from the first list that has some, and waits for them.",
     .arguments = blmpop_arguments},
};

const struct command_family list_block_family = {list_block_commands,
                                                 ARRAY_COUNT(list_block_commands)};
