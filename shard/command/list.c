/*
 * list.c: commands on one list. Where its elements are found by value is list_position.c, what
 * moves between lists is list_move.c.
 *
 * What comes from both ends is one function with the end as its argument: left is the first
 * element, right the last one. Each text that comes in is announced to list_value_grow() first,
 * each removal is followed by list_value_shrink(): how a list is stored follows from nothing else.
 */
#include "shard/command/families.h"
#include "shard/command/list_internal.h"

/* ---- shared ---- */

bool
list_text_check(struct call *call, struct slice text)
{
    if (UNLIKELY(list_value_is_too_large(text))) {
        reply_error(call->reply, "ERR Element too large");
        return false;
    }
    return true;
}

bool
list_end_read(struct call *call, uint32_t index, bool *is_first)
{
    *is_first = slice_is_word(call->argv[index], "left");
    if (!*is_first && !slice_is_word(call->argv[index], "right")) {
        call_syntax_error(call);
        return false;
    }
    return true;
}

void
list_pop_reply(struct call *call, struct view *view, bool is_first, uint64_t count)
{
    struct quicklist_limits limits = list_limits_of(call);
    struct list_value list = list_of_view(view);
    uint64_t length = list_value_count(&list);
    ASSERT(count > 0 && count <= length);
    struct list_value_walk walk = list_value_walk(&list, is_first ? 0 : length - 1, !is_first);
    struct listpack_item item;
    reply_array(call->reply, count);
    for (uint64_t i = 0; i < count && list_value_next(&walk, &item); i++) {
        list_item_reply(call->reply, &item);
    }
    list_value_walk_end(&walk);
    if (count == length) {
        view_delete(call, view);
    } else {
        list_value_remove(&list, &limits, is_first ? 0 : length - count, count);
        list_value_shrink(&list, &limits);
        list_to_view(call, view, &list);
    }
    call_event_removal(call, view, NOTIFY_LIST, is_first ? "lpop" : "rpop");
}

/** An index that clients name, from 0, negative ones from the end. False: there is none. */
static bool
index_resolve(int64_t index, uint64_t count, uint64_t *resolved)
{
    if (index < 0) {
        index += (int64_t)count;
    }
    *resolved = (uint64_t)index;
    return index >= 0 && *resolved < count;
}

/** From one index to another, both included, cut to what there is. Returns how many that are. */
static uint64_t
range_resolve(int64_t start, int64_t end, uint64_t count, uint64_t *first)
{
    int64_t length = (int64_t)count;
    start = MAX(start < 0 ? start + length : start, 0);
    end = MIN(end < 0 ? end + length : end, length - 1);
    *first = (uint64_t)start;
    return start > end ? 0 : (uint64_t)(end - start) + 1;
}

/* ---- pushes and pops ---- */

static void
push_run(struct call *call, bool is_first, bool is_to_existing)
{
    struct view *view = call->views[0];
    if (!view_check_type(call, view, VALUE_LIST)) {
        return;
    }
    if (is_to_existing && !view_exists(view)) {
        reply_i64(call->reply, 0);
        return;
    }
    for (uint32_t i = 2; i < call->argc; i++) {
        if (!list_text_check(call, call->argv[i])) {
            return;
        }
    }
    struct quicklist_limits limits = list_limits_of(call);
    struct list_value list = list_of_view(view);
    list_value_grow(&list, &limits, call->argv + 2, call->argc - 2);
    for (uint32_t i = 2; i < call->argc; i++) {
        list_push(&list, &limits, is_first, call->argv[i]);
    }
    list_to_view(call, view, &list);
    call_effect_same(call, view);
    call_event(call, view, NOTIFY_LIST, is_first ? "lpush" : "rpush");
    reply_i64(call->reply, (int64_t)list_value_count(&list));
}

static void
lpush_run(struct call *call)
{
    push_run(call, true, false);
}

static void
rpush_run(struct call *call)
{
    push_run(call, false, false);
}

static void
lpushx_run(struct call *call)
{
    push_run(call, true, true);
}

static void
rpushx_run(struct call *call)
{
    push_run(call, false, true);
}

void
list_pop_one(struct call *call, struct view *view, bool is_first)
{
    struct quicklist_limits limits = list_limits_of(call);
    struct list_value list = list_of_view(view);
    uint64_t index = is_first ? 0 : list_value_count(&list) - 1;
    struct list_value_walk walk = list_value_walk(&list, index, false);
    struct listpack_item item;
    list_value_next(&walk, &item);
    list_item_reply(call->reply, &item);
    list_value_walk_end(&walk);
    list_value_remove(&list, &limits, index, 1);
    list_value_shrink(&list, &limits);
    list_to_view(call, view, &list);
    call_event_removal(call, view, NOTIFY_LIST, is_first ? "lpop" : "rpop");
}

static void
pop_run(struct call *call, bool is_first)
{
    struct view *view = call->views[0];
    bool has_count = call->argc == 3;
    int64_t count = 1;
    if (call->argc > 3) {
        call_arity_error(call);
        return;
    }
    if (has_count && !call_integer_in(call, 2, 0, INT64_MAX, &count,
                                      "ERR value is out of range, must be positive")) {
        return;
    }
    if (!view_check_type(call, view, VALUE_LIST)) {
        return;
    }
    if (!has_count && !view_exists(view)) {
        reply_null(call->reply);
    } else if (!view_exists(view)) {
        reply_null_array(call->reply);
    } else if (!has_count) {
        list_pop_one(call, view, is_first);
        call_effect_same(call, view);
    } else if (count == 0) {
        reply_array(call->reply, 0);
    } else {
        struct list_value list = list_of_view(view);
        list_pop_reply(call, view, is_first, MIN((uint64_t)count, list_value_count(&list)));
        call_effect_same(call, view);
    }
}

static void
lpop_run(struct call *call)
{
    pop_run(call, true);
}

static void
rpop_run(struct call *call)
{
    pop_run(call, false);
}

/* ---- by index ---- */

static void
llen_run(struct call *call)
{
    struct view *view = call->views[0];
    if (!view_check_type(call, view, VALUE_LIST)) {
        return;
    }
    if (!view_exists(view)) {
        reply_i64(call->reply, 0);
        return;
    }
    struct list_value list = list_of_view(view);
    reply_i64(call->reply, (int64_t)list_value_count(&list));
}

static void
lrange_run(struct call *call)
{
    struct view *view = call->views[0];
    int64_t start;
    int64_t end;
    if (!call_integer(call, 2, &start, NULL) || !call_integer(call, 3, &end, NULL) ||
        !view_check_type(call, view, VALUE_LIST)) {
        return;
    }
    if (!view_exists(view)) {
        reply_array(call->reply, 0);
        return;
    }
    struct list_value list = list_of_view(view);
    uint64_t first;
    uint64_t count = range_resolve(start, end, list_value_count(&list), &first);
    reply_array(call->reply, count);
    if (count == 0) {
        return;
    }
    struct list_value_walk walk = list_value_walk(&list, first, false);
    struct listpack_item item;
    for (uint64_t i = 0; i < count && list_value_next(&walk, &item); i++) {
        list_item_reply(call->reply, &item);
    }
    list_value_walk_end(&walk);
}

static void
lindex_run(struct call *call)
{
    struct view *view = call->views[0];
    if (!view_exists(view)) {
        reply_null(call->reply);
        return;
    }
    int64_t index;
    if (!view_check_type(call, view, VALUE_LIST) || !call_integer(call, 2, &index, NULL)) {
        return;
    }
    struct list_value list = list_of_view(view);
    uint64_t resolved;
    if (!index_resolve(index, list_value_count(&list), &resolved)) {
        reply_null(call->reply);
        return;
    }
    struct list_value_walk walk = list_value_walk(&list, resolved, false);
    struct listpack_item item;
    list_value_next(&walk, &item);
    list_item_reply(call->reply, &item);
    list_value_walk_end(&walk);
}

static void
lset_run(struct call *call)
{
    struct view *view = call->views[0];
    int64_t index;
    if (!view_exists(view)) {
        reply_error(call->reply, "ERR no such key");
        return;
    }
    if (!list_text_check(call, call->argv[3]) || !view_check_type(call, view, VALUE_LIST) ||
        !call_integer(call, 2, &index, NULL)) {
        return;
    }
    struct quicklist_limits limits = list_limits_of(call);
    struct list_value list = list_of_view(view);
    uint64_t resolved;
    if (!index_resolve(index, list_value_count(&list), &resolved)) {
        reply_error(call->reply, "ERR index out of range");
        return;
    }
    list_value_grow(&list, &limits, call->argv + 3, 1);
    list_value_replace(&list, &limits, resolved, call->argv[3]);
    list_value_shrink(&list, &limits);
    list_to_view(call, view, &list);
    call_effect_same(call, view);
    call_event(call, view, NOTIFY_LIST, "lset");
    reply_ok(call->reply);
}

/** What a list loses at its ends is freed in the background. So is the old list itself where less
 * is kept than lost: the smaller part is the one that is walked over. */
static void
trim_quicklist(struct call *call, struct view *view, uint64_t first, uint64_t count)
{
    struct quicklist_limits limits = list_limits_of(call);
    struct list_value list = list_of_view(view);
    struct quicklist *quicklist = list.object;
    uint64_t behind_count = quicklist->count - first - count;
    if (count < first + behind_count) {
        list.object = quicklist_take(quicklist, &limits, first, count);
        list_value_shrink(&list, &limits);
        /* The view knows the old one, and drops it. */
        view_object_set(call, view, VALUE_LIST, list.encoding, list.object);
        return;
    }
    struct value lost = value_object(VALUE_LIST, ENCODING_QUICKLIST, NULL);
    if (behind_count > 0) {
        lost.object = quicklist_take(quicklist, &limits, first + count, behind_count);
        keyspace_object_drop(&call->shard->keyspace, &lost);
    }
    if (first > 0) {
        lost.object = quicklist_take(quicklist, &limits, 0, first);
        keyspace_object_drop(&call->shard->keyspace, &lost);
    }
    list_value_shrink(&list, &limits);
    list_to_view(call, view, &list);
}

static void
ltrim_run(struct call *call)
{
    struct view *view = call->views[0];
    int64_t start;
    int64_t end;
    if (!call_integer(call, 2, &start, NULL) || !call_integer(call, 3, &end, NULL)) {
        return;
    }
    if (!view_exists(view)) {
        reply_ok(call->reply);
        return;
    }
    if (!view_check_type(call, view, VALUE_LIST)) {
        return;
    }
    struct quicklist_limits limits = list_limits_of(call);
    struct list_value list = list_of_view(view);
    uint64_t length = list_value_count(&list);
    uint64_t first;
    uint64_t count = range_resolve(start, end, length, &first);
    reply_ok(call->reply);
    if (count == length) {
        call_event(call, view, NOTIFY_LIST, "ltrim");
        return;
    }
    if (count == 0) {
        /* Not element by element: what is left of the key is freed in the background. */
        view_delete(call, view);
        call_effect_same(call, view);
        call_event_removal(call, view, NOTIFY_LIST, "ltrim");
        return;
    }
    if (list.encoding == ENCODING_QUICKLIST) {
        trim_quicklist(call, view, first, count);
    } else {
        list_value_remove(&list, &limits, first + count, length - first - count);
        list_value_remove(&list, &limits, 0, first);
        list_to_view(call, view, &list);
    }
    call_effect_same(call, view);
    call_event(call, view, NOTIFY_LIST, "ltrim");
}

/* ---- documentation ---- */

static const struct command_history push_history[] = {{"2.4.0", "Takes several elements."},
                                                      {NULL, NULL}};
static const struct command_history pushx_history[] = {{"4.0.0", "Takes several elements."},
                                                       {NULL, NULL}};
static const struct command_history pop_history[] = {{"6.2.0", "Takes a `count`."}, {NULL, NULL}};
static const struct command_argument push_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "key"},
    {.kind = ARGUMENT_STRING, .name = "element", .is_multiple = true},
    {0},
};
static const struct command_argument pop_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "key"},
    {.kind = ARGUMENT_INTEGER, .name = "count", .since = "6.2.0", .is_optional = true},
    {0},
};
static const struct command_argument key_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "key"},
    {0},
};
static const struct command_argument range_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "key"},
    {.kind = ARGUMENT_INTEGER, .name = "start"},
    {.kind = ARGUMENT_INTEGER, .name = "stop"},
    {0},
};
static const struct command_argument lindex_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "key"},
    {.kind = ARGUMENT_INTEGER, .name = "index"},
    {0},
};
static const struct command_argument lset_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "key"},
    {.kind = ARGUMENT_INTEGER, .name = "index"},
    {.kind = ARGUMENT_STRING, .name = "element"},
    {0},
};

/** What the rows of pushes, and of pops, have in common. */
#define PUSH_ROW(row_name, row_run, row_since, row_history)                                        \
    .name = (row_name), .run = (row_run), .arity = -3, .group = GROUP_LIST, .since = (row_since),  \
    .flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST, .key_spec_count = 1,                              \
    .key_specs = {KEYS_AT(1, KEY_RW | KEY_INSERT)}, .complexity = "O(N) with N elements to push.", \
    .history = (row_history), .arguments = push_arguments
#define POP_ROW(row_name, row_run)                                                                 \
    .name = (row_name), .run = (row_run), .arity = -2, .group = GROUP_LIST, .since = "1.0.0",      \
    .flags = CMD_WRITE | CMD_FAST, .key_spec_count = 1,                                            \
    .key_specs = {KEYS_AT(1, KEY_RW | KEY_ACCESS | KEY_DELETE)},                                   \
    .complexity = "O(N) with N elements to take.", .history = pop_history,                         \
    .arguments = pop_arguments

static const struct command list_commands[] = {
    {PUSH_ROW("lpush", lpush_run, "1.0.0", push_history),
     .summary =
         "Puts elements in front of a list, one after the other; an absent list is created."},
    {PUSH_ROW("rpush", rpush_run, "1.0.0", push_history),
     .summary = "Puts elements behind the end of a list; an absent list is created."},
    {PUSH_ROW("lpushx", lpushx_run, "2.2.0", pushx_history),
     .summary = "Puts elements in front of a list that is there; does nothing otherwise."},
    {PUSH_ROW("rpushx", rpushx_run, "2.2.0", pushx_history),
     .summary = "Puts elements behind the end of a list that is there; does nothing otherwise."},
    {POP_ROW("lpop", lpop_run),
     .summary = "Takes elements from the front of a list and answers them; the last one takes the "
                "key along."},
    {POP_ROW("rpop", rpop_run),
     .summary = "Takes elements from the end of a list and answers them; the last one takes the "
                "key along."},
    {.name = "llen",
     .run = llen_run,
     .flags = CMD_READONLY | CMD_FAST,
     .arity = 2,
     .key_specs = {KEYS_AT(1, KEY_RO)},
     .key_spec_count = 1,
     .group = GROUP_LIST,
     .since = "1.0.0",
     .complexity = "O(1)",
     .summary = "Counts the elements of a list.",
     .arguments = key_arguments},
    {.name = "lrange",
     .run = lrange_run,
     .flags = CMD_READONLY,
     .arity = 4,
     .key_specs = {KEYS_AT(1, KEY_RO | KEY_ACCESS)},
     .key_spec_count = 1,
     .group = GROUP_LIST,
     .since = "1.0.0",
     .complexity = "O(S+N) with N elements that are answered, and S as the way to the first of "
                   "them from the nearer end: some hundred elements are one step of it.",
     .summary = "Answers the elements of a list from one index to another.",
     .arguments = range_arguments},
    {.name = "lindex",
     .run = lindex_run,
     .flags = CMD_READONLY,
     .arity = 3,
     .key_specs = {KEYS_AT(1, KEY_RO | KEY_ACCESS)},
     .key_spec_count = 1,
     .group = GROUP_LIST,
     .since = "1.0.0",
     .complexity = "O(N) with N as the way to the element from the nearer end: some hundred "
                   "elements are one step of it.",
     .summary = "Answers the element of a list at an index.",
     .arguments = lindex_arguments},
    {.name = "lset",
     .run = lset_run,
     .flags = CMD_WRITE | CMD_DENYOOM,
     .arity = 4,
     .key_specs = {KEYS_AT(1, KEY_RW | KEY_UPDATE)},
     .key_spec_count = 1,
     .group = GROUP_LIST,
     .since = "1.0.0",
     .complexity = "O(N) with N as the way to the element from the nearer end.",
     .summary = "Puts another element in the place of the one at an index.",
     .arguments = lset_arguments},
    {.name = "ltrim",
     .run = ltrim_run,
     .flags = CMD_WRITE,
     .arity = 4,
     .key_specs = {KEYS_AT(1, KEY_RW | KEY_DELETE)},
     .key_spec_count = 1,
     .group = GROUP_LIST,
     .since = "1.0.0",
     .complexity = "O(N) with N elements to drop; some hundred of them at a time.",
     .summary = "Keeps the elements of a list from one index to another and drops all others.",
     .arguments = range_arguments},
};

const struct command_family list_family = {list_commands, ARRAY_COUNT(list_commands)};
