/*
 * list_move.c: commands on several lists: LMOVE, RPOPLPUSH, LMPOP.
 *
 * Lists may belong to different cores, so the effect of a move is two: a pop of the one key and a
 * push to the other. LMPOP's is a pop of the key that it found. An element that moves is copied
 * into scratch memory in between, for the two lists may be the same one.
 */
#include "core/number.h"
#include "shard/command/families.h"
#include "shard/command/list_internal.h"

/** A copy of an element's text that lives as long as the call. */
static struct slice
item_text(struct call *call, const struct listpack_item *item)
{
    if (item->is_integer) {
        char *digits = call_scratch(call, LISTPACK_DIGITS_SIZE);
        return slice_of(digits, number_format_i64(digits, item->integer));
    }
    char *bytes = call_scratch(call, item->bytes.size);
    if (item->bytes.size > 0) {
        memcpy(bytes, item->bytes.data, item->bytes.size);
    }
    return slice_of(bytes, item->bytes.size);
}

static void
move_effects(struct call *call, bool is_from_first, bool is_to_first, bool is_alone,
             struct slice text)
{
    struct view *source = call->views[0];
    struct view *target = call->views[1];
    struct slice pop[] = {is_from_first ? SLICE("LPOP") : SLICE("RPOP"), source->key};
    struct slice push[] = {is_to_first ? SLICE("LPUSH") : SLICE("RPUSH"), target->key, text};
    /* The only element onto itself: as two effects the key would be gone in between, and its
     * deadline with it. */
    if (source != target || !is_alone) {
        call_effect(call, source, pop, 2);
        call_effect(call, target, push, 3);
    }
    call_event(call, target, NOTIFY_LIST, is_to_first ? "lpush" : "rpush");
    call_event_removal(call, source, NOTIFY_LIST, is_from_first ? "lpop" : "rpop");
}

void
list_move(struct call *call, bool is_from_first, bool is_to_first)
{
    struct view *source = call->views[0];
    struct view *target = call->views[1];
    if (!view_exists(source)) {
        reply_null(call->reply);
        return;
    }
    if (!view_check_type(call, source, VALUE_LIST) || !view_check_type(call, target, VALUE_LIST)) {
        return;
    }
    struct quicklist_limits limits = list_limits_of(call);
    struct list_value from = list_of_view(source);
    bool is_alone = list_value_count(&from) == 1;
    uint64_t index = is_from_first ? 0 : list_value_count(&from) - 1;
    struct list_value_walk walk = list_value_walk(&from, index, false);
    struct listpack_item item;
    list_value_next(&walk, &item);
    struct slice text = item_text(call, &item);
    list_value_walk_end(&walk);
    reply_bulk(call->reply, text);
    list_value_remove(&from, &limits, index, 1);
    if (source == target) {
        list_value_grow(&from, &limits, &text, 1);
        list_push(&from, &limits, is_to_first, text);
        list_value_shrink(&from, &limits);
        list_to_view(call, source, &from);
    } else {
        list_value_shrink(&from, &limits);
        list_to_view(call, source, &from);
        struct list_value to = list_of_view(target);
        list_value_grow(&to, &limits, &text, 1);
        list_push(&to, &limits, is_to_first, text);
        list_to_view(call, target, &to);
    }
    move_effects(call, is_from_first, is_to_first, is_alone, text);
}

static void
lmove_run(struct call *call)
{
    bool is_from_first;
    bool is_to_first;
    if (list_end_read(call, 3, &is_from_first) && list_end_read(call, 4, &is_to_first)) {
        list_move(call, is_from_first, is_to_first);
    }
}

static void
rpoplpush_run(struct call *call)
{
    list_move(call, false, true);
}

/* ---- LMPOP ---- */

bool
list_mpop_read(struct call *call, uint32_t index, struct list_mpop *mpop)
{
    int64_t key_count;
    if (!call_integer_in(call, index, 1, INT64_MAX, &key_count,
                         "ERR numkeys should be greater than 0")) {
        return false;
    }
    if (key_count > (int64_t)call->argc - index - 2) {
        call_syntax_error(call);
        return false;
    }
    uint32_t where = index + 1 + (uint32_t)key_count;
    if (!list_end_read(call, where, &mpop->is_first)) {
        return false;
    }
    mpop->count = 1;
    if (where + 1 == call->argc) {
        return true;
    }
    if (call->argc < where + 3 || !slice_is_word(call->argv[where + 1], "count")) {
        call_syntax_error(call);
        return false;
    }
    if (!call_integer_in(call, where + 2, 1, INT64_MAX, &mpop->count,
                         "ERR count should be greater than 0")) {
        return false;
    }
    if (call->argc > where + 3) {
        call_syntax_error(call);
        return false;
    }
    return true;
}

bool
list_mpop(struct call *call, const struct list_mpop *mpop)
{
    uint32_t i = 0;
    while (i < call->view_count && !view_exists(call->views[i])) {
        i++;
    }
    if (i == call->view_count) {
        return false;
    }
    struct view *view = call->views[i];
    if (!view_check_type(call, view, VALUE_LIST)) {
        return true;
    }
    struct list_value list = list_of_view(view);
    uint64_t popped_count = MIN((uint64_t)mpop->count, list_value_count(&list));
    reply_array(call->reply, 2);
    reply_bulk(call->reply, view->key);
    list_pop_reply(call, view, mpop->is_first, popped_count);
    char digits[LISTPACK_DIGITS_SIZE];
    struct slice effect[] = {mpop->is_first ? SLICE("LPOP") : SLICE("RPOP"), view->key,
                             slice_of(digits, number_format_u64(digits, popped_count))};
    call_effect(call, view, effect, 3);
    return true;
}

static void
lmpop_run(struct call *call)
{
    struct list_mpop mpop;
    if (list_mpop_read(call, 1, &mpop) && !list_mpop(call, &mpop)) {
        reply_null_array(call->reply);
    }
}

/* ---- documentation ---- */

static const struct command_argument from_arguments[] = {
    {.kind = ARGUMENT_PURE_TOKEN, .name = "left", .token = "LEFT"},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "right", .token = "RIGHT"},
    {0},
};
static const struct command_argument lmove_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "source"},
    {.kind = ARGUMENT_KEY, .name = "destination", .key_spec_index = 1},
    {.kind = ARGUMENT_ONEOF, .name = "wherefrom", .arguments = from_arguments},
    {.kind = ARGUMENT_ONEOF, .name = "whereto", .arguments = from_arguments},
    {0},
};
static const struct command_argument rpoplpush_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "source"},
    {.kind = ARGUMENT_KEY, .name = "destination", .key_spec_index = 1},
    {0},
};
static const struct command_argument lmpop_arguments[] = {
    {.kind = ARGUMENT_INTEGER, .name = "numkeys"},
    {.kind = ARGUMENT_KEY, .name = "key", .is_multiple = true},
    {.kind = ARGUMENT_ONEOF, .name = "where", .arguments = from_arguments},
    {.kind = ARGUMENT_INTEGER, .name = "count", .token = "COUNT", .is_optional = true},
    {0},
};

static const struct command list_move_commands[] = {
    {.name = "lmove",
     .run = lmove_run,
     .flags = CMD_WRITE | CMD_DENYOOM,
     .arity = 5,
     .key_specs = {KEYS_AT(1, KEY_RW | KEY_ACCESS | KEY_DELETE), KEYS_AT(2, KEY_RW | KEY_INSERT)},
     .key_spec_count = 2,
     .group = GROUP_LIST,
     .since = "6.2.0",
     .complexity = "O(1)",
     .summary = "Moves an element from one end of a list to an end of another, in one step.",
     .arguments = lmove_arguments},
    {.name = "rpoplpush",
     .run = rpoplpush_run,
     .flags = CMD_WRITE | CMD_DENYOOM,
     .arity = 3,
     .key_specs = {KEYS_AT(1, KEY_RW | KEY_ACCESS | KEY_DELETE), KEYS_AT(2, KEY_RW | KEY_INSERT)},
     .key_spec_count = 2,
     .group = GROUP_LIST,
     .since = "1.2.0",
     .complexity = "O(1)",
     .summary = "Moves the last element of a list to the front of another, in one step.",
     .deprecated_since = "6.2.0",
     .replaced_by = "`LMOVE` with the `RIGHT` and `LEFT` arguments",
     .arguments = rpoplpush_arguments},
    {.name = "lmpop",
     .run = lmpop_run,
     .flags = CMD_WRITE | CMD_MOVABLE_KEYS,
     .arity = -4,
     .key_specs = {{.flags = KEY_RW | KEY_ACCESS | KEY_DELETE,
                    .begin = KEYS_BEGIN_INDEX,
                    .begin_index = 1,
                    .find = KEYS_FIND_KEYNUM,
                    .step = 1,
                    .keynum_index = 0,
                    .keynum_first = 1}},
     .key_spec_count = 1,
     .group = GROUP_LIST,
     .since = "7.0.0",
     .complexity = "O(N+M) with N keys to look at and M elements to take.",
     .summary = "Takes elements from the first of several lists that is there.",
     .arguments = lmpop_arguments},
};

const struct command_family list_move_family = {list_move_commands,
                                                ARRAY_COUNT(list_move_commands)};
