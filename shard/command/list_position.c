/*
 * list_position.c: commands that look for elements of a list by their value.
 *
 * Elements are compared as they are stored: a text that is an integer in its one canonical spelling
 * is an integer in the list, so what was parsed once is compared as a number with each of them.
 */
#include "shard/command/families.h"
#include "shard/command/list_internal.h"

/** The first element from one end on that equals a text. False: there is none. */
static bool
element_find(const struct list_value *list, struct slice text, uint64_t *index)
{
    struct list_value_needle needle = list_value_needle(text);
    struct list_value_walk walk = list_value_walk(list, 0, false);
    struct listpack_item item;
    for (*index = 0; list_value_next(&walk, &item); ++*index) {
        if (list_value_is(&needle, &item)) {
            list_value_walk_end(&walk);
            return true;
        }
    }
    return false;
}

static void
linsert_run(struct call *call)
{
    struct view *view = call->views[0];
    bool is_after = slice_is_word(call->argv[2], "after");
    if (!is_after && !slice_is_word(call->argv[2], "before")) {
        call_syntax_error(call);
        return;
    }
    if (!view_exists(view)) {
        reply_i64(call->reply, 0);
        return;
    }
    if (!list_text_check(call, call->argv[4]) || !view_check_type(call, view, VALUE_LIST)) {
        return;
    }
    struct quicklist_limits limits = list_limits_of(call);
    struct list_value list = list_of_view(view);
    uint64_t index;
    if (!element_find(&list, call->argv[3], &index)) {
        reply_i64(call->reply, -1);
        return;
    }
    list_value_grow(&list, &limits, call->argv + 4, 1);
    list_value_insert(&list, &limits, index + is_after, call->argv[4]);
    list_to_view(call, view, &list);
    call_effect_same(call, view);
    call_event(call, view, NOTIFY_LIST, "linsert");
    reply_i64(call->reply, (int64_t)list_value_count(&list));
}

static void
lrem_run(struct call *call)
{
    struct view *view = call->views[0];
    int64_t count;
    if (!call_integer(call, 2, &count, NULL) || !view_check_type(call, view, VALUE_LIST)) {
        return;
    }
    if (!view_exists(view)) {
        reply_i64(call->reply, 0);
        return;
    }
    struct quicklist_limits limits = list_limits_of(call);
    struct list_value list = list_of_view(view);
    uint64_t count_max = count < 0 ? 0 - (uint64_t)count : (uint64_t)count;
    uint64_t removed_count = list_value_remove_equal(
        &list, &limits, call->argv[3], count == 0 ? UINT64_MAX : count_max, count < 0);
    if (removed_count > 0) {
        list_value_shrink(&list, &limits);
        list_to_view(call, view, &list);
        call_effect_same(call, view);
        call_event_removal(call, view, NOTIFY_LIST, "lrem");
    }
    reply_i64(call->reply, (int64_t)removed_count);
}

/* ---- LPOS ---- */

struct lpos {
    int64_t rank;       /* the match to begin with, from 1 */
    int64_t count;      /* matches to answer, 0: all */
    int64_t length_max; /* elements to look at, 0: all */
    bool is_backward;
    bool has_count;
};

static bool
lpos_options_read(struct call *call, struct lpos *options)
{
    *options = (struct lpos){.rank = 1, .count = 1};
    for (uint32_t i = 3; i < call->argc; i += 2) {
        struct slice word = call->argv[i];
        if (i + 1 == call->argc) {
            call_syntax_error(call);
            return false;
        }
        if (slice_is_word(word, "rank")) {
            if (!call_integer(call, i + 1, &options->rank, NULL)) {
                return false;
            }
            if (options->rank == 0) {
                reply_error(call->reply,
                            "ERR RANK can't be zero: use 1 to start from the first match, 2 from "
                            "the second ... or use negative to start from the end of the list");
                return false;
            }
        } else if (slice_is_word(word, "count")) {
            options->has_count = true;
            if (!call_integer_in(call, i + 1, 0, INT64_MAX, &options->count,
                                 "ERR COUNT can't be negative")) {
                return false;
            }
        } else if (slice_is_word(word, "maxlen")) {
            if (!call_integer_in(call, i + 1, 0, INT64_MAX, &options->length_max,
                                 "ERR MAXLEN can't be negative")) {
                return false;
            }
        } else {
            call_syntax_error(call);
            return false;
        }
    }
    if (options->rank < 0) {
        options->is_backward = true;
        /* The least one has no positive counterpart: it stays, below each match's number. */
        options->rank = (int64_t)(0 - (uint64_t)options->rank);
    }
    return true;
}

/** Replies each position that is wanted. Returns how many. */
static uint64_t
lpos_reply(struct call *call, const struct list_value *list, const struct lpos *options)
{
    struct list_value_needle needle = list_value_needle(call->argv[2]);
    uint64_t length = list_value_count(list);
    struct list_value_walk walk =
        list_value_walk(list, options->is_backward ? length - 1 : 0, options->is_backward);
    uint64_t length_max = options->length_max == 0 ? UINT64_MAX : (uint64_t)options->length_max;
    int64_t match_count = 0;
    uint64_t replied_count = 0;
    struct listpack_item item;
    for (uint64_t passed = 0; passed < length_max && list_value_next(&walk, &item); passed++) {
        if (!list_value_is(&needle, &item) || ++match_count < options->rank) {
            continue;
        }
        reply_i64(call->reply, (int64_t)(options->is_backward ? length - 1 - passed : passed));
        replied_count++;
        /* As redis-server has it: with the least rank this is never true. */
        uint64_t so_far = (uint64_t)match_count - (uint64_t)options->rank + 1;
        if (!options->has_count || (options->count > 0 && (int64_t)so_far >= options->count)) {
            break;
        }
    }
    list_value_walk_end(&walk);
    return replied_count;
}

static void
lpos_run(struct call *call)
{
    struct view *view = call->views[0];
    struct lpos options;
    if (!lpos_options_read(call, &options) || !view_check_type(call, view, VALUE_LIST)) {
        return;
    }
    if (!view_exists(view)) {
        if (options.has_count) {
            reply_array(call->reply, 0);
        } else {
            reply_null(call->reply);
        }
        return;
    }
    struct list_value list = list_of_view(view);
    if (options.has_count) {
        struct reply_later later = reply_later(call->reply);
        uint64_t count = lpos_reply(call, &list, &options);
        reply_later_array(call->reply, later, count);
    } else if (lpos_reply(call, &list, &options) == 0) {
        reply_null(call->reply);
    }
}

/* ---- documentation ---- */

static const struct command_argument where_arguments[] = {
    {.kind = ARGUMENT_PURE_TOKEN, .name = "before", .token = "BEFORE"},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "after", .token = "AFTER"},
    {0},
};
static const struct command_argument linsert_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "key"},
    {.kind = ARGUMENT_ONEOF, .name = "where", .arguments = where_arguments},
    {.kind = ARGUMENT_STRING, .name = "pivot"},
    {.kind = ARGUMENT_STRING, .name = "element"},
    {0},
};
static const struct command_argument lrem_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "key"},
    {.kind = ARGUMENT_INTEGER, .name = "count"},
    {.kind = ARGUMENT_STRING, .name = "element"},
    {0},
};
static const struct command_argument lpos_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "key"},
    {.kind = ARGUMENT_STRING, .name = "element"},
    {.kind = ARGUMENT_INTEGER, .name = "rank", .token = "RANK", .is_optional = true},
    {.kind = ARGUMENT_INTEGER, .name = "num-matches", .token = "COUNT", .is_optional = true},
    {.kind = ARGUMENT_INTEGER, .name = "len", .token = "MAXLEN", .is_optional = true},
    {0},
};

static const struct command list_position_commands[] = {
    {.name = "linsert",
     .run = linsert_run,
     .flags = CMD_WRITE | CMD_DENYOOM,
     .arity = 5,
     .key_specs = {KEYS_AT(1, KEY_RW | KEY_INSERT)},
     .key_spec_count = 1,
     .group = GROUP_LIST,
     .since = "2.2.0",
     .complexity = "O(N) with N elements up to the one that is looked for.",
     .summary = "Puts an element before or behind the first one that equals another.",
     .arguments = linsert_arguments},
    {.name = "lrem",
     .run = lrem_run,
     .flags = CMD_WRITE,
     .arity = 4,
     .key_specs = {KEYS_AT(1, KEY_RW | KEY_DELETE)},
     .key_spec_count = 1,
     .group = GROUP_LIST,
     .since = "1.0.0",
     .complexity = "O(N) with N elements of the list.",
     .summary = "Takes elements out of a list that equal a given one, all or so many from one end.",
     .arguments = lrem_arguments},
    {.name = "lpos",
     .run = lpos_run,
     .flags = CMD_READONLY,
     .arity = -3,
     .key_specs = {KEYS_AT(1, KEY_RO | KEY_ACCESS)},
     .key_spec_count = 1,
     .group = GROUP_LIST,
     .since = "6.0.6",
     .complexity = "O(N) with N elements to look at: all up to the last match, or MAXLEN.",
     .summary = "Tells at which indexes of a list elements equal a given one.",
     .arguments = lpos_arguments},
};

const struct command_family list_position_family = {list_position_commands,
                                                    ARRAY_COUNT(list_position_commands)};
