/*
 * zset_range.c: elements by rank, score or byte order: ZRANGE and all its former names,
 * ZRANGESTORE, ZCOUNT, ZLEXCOUNT, ZREMRANGEBY*.
 *
 * Whatever a range is said in, it comes down to an interval of ranks: its ends are looked up, and
 * what follows (LIMIT, REV, counting, replying, storing, removing) is the same for all three.
 */
#include <math.h>
#include <stdlib.h>

#include "shard/command/families.h"
#include "shard/command/zset_internal.h"

enum range_kind { RANGE_ANY, RANGE_RANK, RANGE_SCORE, RANGE_LEX };
enum range_direction { DIRECTION_ANY, DIRECTION_FORWARD, DIRECTION_BACKWARD };

/** One end of a range of scores or members. */
struct range_bound {
    /** Of members: '-' is below, '+' above all. */
    enum { BOUND_LOWEST, BOUND_VALUE, BOUND_HIGHEST } place;
    bool is_exclusive;
    double score;
    struct slice member;
};

struct range {
    enum range_kind kind;
    bool is_backward;
    bool has_scores;
    int64_t start; /* RANGE_RANK: as said, negative from the end */
    int64_t stop;
    struct range_bound min;
    struct range_bound max;
    int64_t offset;
    int64_t limit; /* negative: none */
};

/* ---- reading ---- */

/** As strtod() reads it up to the end or a zero byte, blanks in front and nothing at all (0)
 * included; not NaN. */
static bool
score_parse(struct call *call, struct slice text, double *score)
{
    char *copy = call_scratch(call, text.size + 1);
    if (text.size > 0) {
        memcpy(copy, text.data, text.size);
    }
    copy[text.size] = '\0';
    char *end;
    *score = strtod(copy, &end);
    return *end == '\0' && !isnan(*score);
}

static bool
score_bound_read(struct call *call, struct slice text, struct range_bound *bound)
{
    *bound = (struct range_bound){.place = BOUND_VALUE};
    if (text.size > 0 && text.data[0] == '(') {
        bound->is_exclusive = true;
        text = slice_of(text.data + 1, text.size - 1);
    }
    return score_parse(call, text, &bound->score);
}

static bool
lex_bound_read(struct slice text, struct range_bound *bound)
{
    *bound = (struct range_bound){.place = BOUND_VALUE};
    if (text.size == 0) {
        return false;
    }
    switch (text.data[0]) {
    case '-':
    case '+':
        bound->place = text.data[0] == '-' ? BOUND_LOWEST : BOUND_HIGHEST;
        return text.size == 1 || text.data[1] == '\0';
    case '(':
    case '[':
        bound->is_exclusive = text.data[0] == '(';
        bound->member = slice_of(text.data + 1, text.size - 1);
        return true;
    default:
        return false;
    }
}

/** The two ends, as the range's kind has them. Replies the error and returns false. */
static bool
range_ends_read(struct call *call, struct range *range, uint32_t min_index, uint32_t max_index)
{
    struct slice min = call->argv[min_index];
    struct slice max = call->argv[max_index];
    switch (range->kind) {
    case RANGE_ANY:
    case RANGE_RANK:
        return call_integer(call, min_index, &range->start, NULL) &&
               call_integer(call, max_index, &range->stop, NULL);
    case RANGE_SCORE:
        if (!score_bound_read(call, min, &range->min) ||
            !score_bound_read(call, max, &range->max)) {
            reply_error(call->reply, "ERR min or max is not a float");
            return false;
        }
        return true;
    case RANGE_LEX:
        if (!lex_bound_read(min, &range->min) || !lex_bound_read(max, &range->max)) {
            reply_error(call->reply, "ERR min or max not valid string range item");
            return false;
        }
        return true;
    }
    return false;
}

/** The words behind the ends, from `index` on. Replies the error and returns false. */
static bool
range_options_read(struct call *call, uint32_t index, bool is_store, struct range *range,
                   enum range_direction direction)
{
    range->limit = -1;
    for (; index < call->argc; index++) {
        struct slice word = call->argv[index];
        if (!is_store && slice_is_word(word, "withscores")) {
            range->has_scores = true;
        } else if (slice_is_word(word, "limit") && index + 2 < call->argc) {
            if (!call_integer(call, index + 1, &range->offset, NULL) ||
                !call_integer(call, index + 2, &range->limit, NULL)) {
                return false;
            }
            index += 2;
        } else if (direction == DIRECTION_ANY && slice_is_word(word, "rev")) {
            direction = DIRECTION_BACKWARD;
        } else if (range->kind == RANGE_ANY && slice_is_word(word, "bylex")) {
            range->kind = RANGE_LEX;
        } else if (range->kind == RANGE_ANY && slice_is_word(word, "byscore")) {
            range->kind = RANGE_SCORE;
        } else {
            call_syntax_error(call);
            return false;
        }
    }
    range->is_backward = direction == DIRECTION_BACKWARD;
    if (range->kind == RANGE_ANY) {
        range->kind = RANGE_RANK;
    }
    if (range->limit != -1 && range->kind == RANGE_RANK) {
        reply_error(call->reply, "ERR syntax error, LIMIT is only supported in combination with "
                                 "either BYSCORE or BYLEX");
        return false;
    }
    if (range->has_scores && range->kind == RANGE_LEX) {
        reply_error(call->reply,
                    "ERR syntax error, WITHSCORES not supported in combination with BYLEX");
        return false;
    }
    return true;
}

/* ---- ranks ---- */

static uint64_t
bound_rank(const struct zset *zset, const struct range *range, const struct range_bound *bound,
           bool is_after)
{
    if (range->kind == RANGE_SCORE) {
        return zset_rank_of_score(zset, bound->score, is_after);
    }
    if (bound->place == BOUND_VALUE) {
        return zset_rank_of_member(zset, bound->member, is_after);
    }
    return bound->place == BOUND_LOWEST ? 0 : zset_count(zset);
}

/** The interval of ranks that the range says, in ascending order, without LIMIT. */
static void
range_ranks(const struct zset *zset, const struct range *range, uint64_t *from, uint64_t *to)
{
    if (range->kind != RANGE_RANK) {
        *from = bound_rank(zset, range, &range->min, range->min.is_exclusive);
        *to = bound_rank(zset, range, &range->max, !range->max.is_exclusive);
        *to = MAX(*to, *from);
        return;
    }
    int64_t count = (int64_t)zset_count(zset);
    int64_t start = range->start < 0 ? range->start + count : range->start;
    int64_t stop = range->stop < 0 ? range->stop + count : range->stop;
    start = MAX(start, 0);
    stop = MIN(stop, count - 1);
    if (start > stop) {
        *from = 0;
        *to = 0;
        return;
    }
    /* Ranks said backwards count from the end. */
    *from = (uint64_t)(range->is_backward ? count - 1 - stop : start);
    *to = *from + (uint64_t)(stop - start + 1);
}

/** How many elements LIMIT leaves, and the rank of the first one in the range's direction. */
static uint64_t
range_limit(const struct range *range, uint64_t from, uint64_t to, uint64_t *first)
{
    uint64_t count = to - from;
    uint64_t offset = 0;
    if (range->kind != RANGE_RANK) {
        offset = range->offset < 0 ? count : MIN((uint64_t)range->offset, count);
        count -= offset;
        if (range->limit >= 0) {
            count = MIN(count, (uint64_t)range->limit);
        }
    }
    *first = range->is_backward ? to - 1 - offset : from + offset;
    return count;
}

/* ---- ZRANGE and kin ---- */

static void
range_reply(struct call *call, const struct zset *zset, const struct range *range)
{
    uint64_t from;
    uint64_t to;
    uint64_t first;
    struct zset_walk walk;
    struct ztree_item item;
    range_ranks(zset, range, &from, &to);
    uint64_t count = range_limit(range, from, to, &first);
    zset_array_reply(call, count, range->has_scores);
    if (count == 0) {
        return;
    }
    zset_walk_start(&walk, zset, first, range->is_backward);
    for (; count > 0; count--) {
        bool is_there = zset_next(&walk, &item);
        ASSERT(is_there);
        zset_item_reply(call, &item, range->has_scores);
    }
}

static void
range_store(struct call *call, struct view *target, const struct zset *zset,
            const struct range *range)
{
    uint64_t from;
    uint64_t to;
    uint64_t first;
    struct zset_walk walk;
    struct ztree_item item;
    struct zset result = {.encoding = ENCODING_LISTPACK};
    struct zset_limits limits = zset_limits_of(call);
    range_ranks(zset, range, &from, &to);
    uint64_t count = range_limit(range, from, to, &first);
    if (range->kind == RANGE_RANK && count > limits.listpack_count) {
        result = (struct zset){.encoding = ENCODING_SKIPLIST, .object = ztree_new(limits.seed)};
    }
    if (count > 0) {
        /* In the range's direction, as redis-server does: a set that outgrows the listpack on the
         * way has turned a -0 into 0 by then, and which one that is depends on the order. */
        zset_walk_start(&walk, zset, first, range->is_backward);
    }
    for (; count > 0; count--) {
        bool is_there = zset_next(&walk, &item);
        ASSERT(is_there);
        zset_put(&result, &limits, item.member, item.score);
    }
    zset_store(call, target, &result, "zrangestore");
}

/** `key_index`: the argument that names the source. */
static void
range_run(struct call *call, uint32_t key_index, enum range_kind kind,
          enum range_direction direction)
{
    bool is_store = key_index == 2;
    struct range range = {.kind = kind};
    if (!range_options_read(call, key_index + 3, is_store, &range, direction)) {
        return;
    }
    uint32_t min_index = key_index + 1;
    uint32_t max_index = key_index + 2;
    if (range.is_backward && range.kind != RANGE_RANK) {
        min_index = key_index + 2;
        max_index = key_index + 1;
    }
    if (!range_ends_read(call, &range, min_index, max_index)) {
        return;
    }
    struct view *view = call->views[key_index - 1];
    if (is_store) {
        call_count(call, view);
    }
    if (!view_check_type(call, view, VALUE_ZSET)) {
        return;
    }
    struct zset zset = zset_of_view(view);
    if (is_store) {
        range_store(call, call->views[0], &zset, &range);
    } else {
        range_reply(call, &zset, &range);
    }
}

static void
zrange_run(struct call *call)
{
    range_run(call, 1, RANGE_ANY, DIRECTION_ANY);
}

static void
zrangestore_run(struct call *call)
{
    range_run(call, 2, RANGE_ANY, DIRECTION_ANY);
}

static void
zrangebyscore_run(struct call *call)
{
    range_run(call, 1, RANGE_SCORE, DIRECTION_FORWARD);
}

static void
zrevrangebyscore_run(struct call *call)
{
    range_run(call, 1, RANGE_SCORE, DIRECTION_BACKWARD);
}

static void
zrangebylex_run(struct call *call)
{
    range_run(call, 1, RANGE_LEX, DIRECTION_FORWARD);
}

static void
zrevrangebylex_run(struct call *call)
{
    range_run(call, 1, RANGE_LEX, DIRECTION_BACKWARD);
}

static void
zrevrange_run(struct call *call)
{
    range_run(call, 1, RANGE_RANK, DIRECTION_BACKWARD);
}

/* ---- counting and removing ---- */

static void
count_run(struct call *call, enum range_kind kind)
{
    struct range range = {.kind = kind};
    struct view *view = call->views[0];
    if (!range_ends_read(call, &range, 2, 3) || !view_check_type(call, view, VALUE_ZSET)) {
        return;
    }
    struct zset zset = zset_of_view(view);
    uint64_t from;
    uint64_t to;
    range_ranks(&zset, &range, &from, &to);
    reply_i64(call->reply, (int64_t)(to - from));
}

static void
zcount_run(struct call *call)
{
    count_run(call, RANGE_SCORE);
}

static void
zlexcount_run(struct call *call)
{
    count_run(call, RANGE_LEX);
}

static void
remove_run(struct call *call, enum range_kind kind, const char *event)
{
    struct range range = {.kind = kind};
    struct view *view = call->views[0];
    if (!range_ends_read(call, &range, 2, 3) || !view_check_type(call, view, VALUE_ZSET)) {
        return;
    }
    struct zset zset = zset_of_view(view);
    uint64_t from;
    uint64_t to;
    range_ranks(&zset, &range, &from, &to);
    if (from < to) {
        zset_remove_ranks(&zset, from, to);
        zset_to_view(call, view, &zset);
        call_effect_same(call, view);
        call_event_removal(call, view, NOTIFY_ZSET, event);
    }
    reply_i64(call->reply, (int64_t)(to - from));
}

static void
zremrangebyrank_run(struct call *call)
{
    remove_run(call, RANGE_RANK, "zremrangebyrank");
}

static void
zremrangebyscore_run(struct call *call)
{
    remove_run(call, RANGE_SCORE, "zremrangebyscore");
}

static void
zremrangebylex_run(struct call *call)
{
    remove_run(call, RANGE_LEX, "zremrangebylex");
}

/* ---- documentation ---- */

static const struct command_argument zrange_arguments_sortby[] = {
    {.kind = ARGUMENT_PURE_TOKEN, .name = "byscore", .token = "BYSCORE"},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "bylex", .token = "BYLEX"},
    {0},
};
static const struct command_argument zrange_arguments_offset_count[] = {
    {.kind = ARGUMENT_INTEGER, .name = "offset"},
    {.kind = ARGUMENT_INTEGER, .name = "count"},
    {0},
};
static const struct command_argument zrange_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "key"},
    {.kind = ARGUMENT_STRING, .name = "start"},
    {.kind = ARGUMENT_STRING, .name = "stop"},
    {.kind = ARGUMENT_ONEOF,
     .name = "sortby",
     .since = "6.2.0",
     .is_optional = true,
     .arguments = zrange_arguments_sortby},
    {.kind = ARGUMENT_PURE_TOKEN,
     .name = "rev",
     .token = "REV",
     .since = "6.2.0",
     .is_optional = true},
    {.kind = ARGUMENT_BLOCK,
     .name = "offset_count",
     .token = "LIMIT",
     .since = "6.2.0",
     .is_optional = true,
     .arguments = zrange_arguments_offset_count},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "withscores", .token = "WITHSCORES", .is_optional = true},
    {0},
};
static const struct command_history zrange_history[] = {
    {"6.2.0", "Takes REV, BYSCORE, BYLEX and LIMIT."},
    {NULL, NULL},
};
static const struct command_argument zrangestore_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "dst"},
    {.kind = ARGUMENT_KEY, .name = "src", .key_spec_index = 1},
    {.kind = ARGUMENT_STRING, .name = "min"},
    {.kind = ARGUMENT_STRING, .name = "max"},
    {.kind = ARGUMENT_ONEOF,
     .name = "sortby",
     .is_optional = true,
     .arguments = zrange_arguments_sortby},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "rev", .token = "REV", .is_optional = true},
    {.kind = ARGUMENT_BLOCK,
     .name = "offset_count",
     .token = "LIMIT",
     .is_optional = true,
     .arguments = zrange_arguments_offset_count},
    {0},
};
static const struct command_argument zrangebyscore_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "key"},
    {.kind = ARGUMENT_DOUBLE, .name = "min"},
    {.kind = ARGUMENT_DOUBLE, .name = "max"},
    {.kind = ARGUMENT_PURE_TOKEN,
     .name = "withscores",
     .token = "WITHSCORES",
     .since = "2.0.0",
     .is_optional = true},
    {.kind = ARGUMENT_BLOCK,
     .name = "offset_count",
     .token = "LIMIT",
     .is_optional = true,
     .arguments = zrange_arguments_offset_count},
    {0},
};
static const struct command_history zrangebyscore_history[] = {
    {"2.0.0", "Takes WITHSCORES."},
    {NULL, NULL},
};
static const struct command_argument zrevrangebyscore_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "key"},
    {.kind = ARGUMENT_DOUBLE, .name = "max"},
    {.kind = ARGUMENT_DOUBLE, .name = "min"},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "withscores", .token = "WITHSCORES", .is_optional = true},
    {.kind = ARGUMENT_BLOCK,
     .name = "offset_count",
     .token = "LIMIT",
     .is_optional = true,
     .arguments = zrange_arguments_offset_count},
    {0},
};
static const struct command_history zrevrangebyscore_history[] = {
    {"2.1.6", "The bounds may be exclusive."},
    {NULL, NULL},
};
static const struct command_argument zrangebylex_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "key"},
    {.kind = ARGUMENT_STRING, .name = "min"},
    {.kind = ARGUMENT_STRING, .name = "max"},
    {.kind = ARGUMENT_BLOCK,
     .name = "offset_count",
     .token = "LIMIT",
     .is_optional = true,
     .arguments = zrange_arguments_offset_count},
    {0},
};
static const struct command_argument zrevrangebylex_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "key"},
    {.kind = ARGUMENT_STRING, .name = "max"},
    {.kind = ARGUMENT_STRING, .name = "min"},
    {.kind = ARGUMENT_BLOCK,
     .name = "offset_count",
     .token = "LIMIT",
     .is_optional = true,
     .arguments = zrange_arguments_offset_count},
    {0},
};
static const struct command_argument zrevrange_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "key"},
    {.kind = ARGUMENT_INTEGER, .name = "start"},
    {.kind = ARGUMENT_INTEGER, .name = "stop"},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "withscores", .token = "WITHSCORES", .is_optional = true},
    {0},
};
static const struct command_argument zcount_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "key"},
    {.kind = ARGUMENT_DOUBLE, .name = "min"},
    {.kind = ARGUMENT_DOUBLE, .name = "max"},
    {0},
};
static const struct command_argument zlexcount_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "key"},
    {.kind = ARGUMENT_STRING, .name = "min"},
    {.kind = ARGUMENT_STRING, .name = "max"},
    {0},
};
static const struct command_argument zremrangebyrank_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "key"},
    {.kind = ARGUMENT_INTEGER, .name = "start"},
    {.kind = ARGUMENT_INTEGER, .name = "stop"},
    {0},
};

static const struct command zset_range_commands[] = {
    {.name = "zrange",
     .run = zrange_run,
     .flags = CMD_READONLY,
     .arity = -4,
     .key_specs = {KEYS_AT(1, KEY_RO | KEY_ACCESS)},
     .key_spec_count = 1,
     .group = GROUP_SORTED_SET,
     .since = "1.2.0",
     .complexity = "O(log N + M) where M members of N are answered.",
     .summary = "Answers members by rank, score or byte order, in either direction.",
     .history = zrange_history,
     .arguments = zrange_arguments},
    {.name = "zrangestore",
     .run = zrangestore_run,
     .flags = CMD_WRITE | CMD_DENYOOM,
     .arity = -5,
     .key_specs = {KEYS_AT(1, KEY_OW | KEY_UPDATE), KEYS_AT(2, KEY_RO | KEY_ACCESS)},
     .key_spec_count = 2,
     .group = GROUP_SORTED_SET,
     .since = "6.2.0",
     .complexity = "O(log N + M) where M members of N are stored.",
     .summary = "Stores a range of one sorted set as another one.",
     .arguments = zrangestore_arguments},
    {.name = "zrangebyscore",
     .run = zrangebyscore_run,
     .flags = CMD_READONLY,
     .arity = -4,
     .key_specs = {KEYS_AT(1, KEY_RO | KEY_ACCESS)},
     .key_spec_count = 1,
     .group = GROUP_SORTED_SET,
     .since = "1.0.5",
     .complexity = "O(log N + M) where M members of N are answered.",
     .summary = "Answers the members whose scores lie in a range, lowest first.",
     .deprecated_since = "6.2.0",
     .replaced_by = "`ZRANGE` with the `BYSCORE` argument",
     .history = zrangebyscore_history,
     .arguments = zrangebyscore_arguments},
    {.name = "zrevrangebyscore",
     .run = zrevrangebyscore_run,
     .flags = CMD_READONLY,
     .arity = -4,
     .key_specs = {KEYS_AT(1, KEY_RO | KEY_ACCESS)},
     .key_spec_count = 1,
     .group = GROUP_SORTED_SET,
     .since = "2.2.0",
     .complexity = "O(log N + M) where M members of N are answered.",
     .summary = "Answers the members whose scores lie in a range, highest first.",
     .deprecated_since = "6.2.0",
     .replaced_by = "`ZRANGE` with the `REV` and `BYSCORE` arguments",
     .history = zrevrangebyscore_history,
     .arguments = zrevrangebyscore_arguments},
    {.name = "zrangebylex",
     .run = zrangebylex_run,
     .flags = CMD_READONLY,
     .arity = -4,
     .key_specs = {KEYS_AT(1, KEY_RO | KEY_ACCESS)},
     .key_spec_count = 1,
     .group = GROUP_SORTED_SET,
     .since = "2.8.9",
     .complexity = "O(log N + M) where M members of N are answered.",
     .summary = "Answers the members within a range of byte order, where all scores are the same.",
     .deprecated_since = "6.2.0",
     .replaced_by = "`ZRANGE` with the `BYLEX` argument",
     .arguments = zrangebylex_arguments},
    {.name = "zrevrangebylex",
     .run = zrevrangebylex_run,
     .flags = CMD_READONLY,
     .arity = -4,
     .key_specs = {KEYS_AT(1, KEY_RO | KEY_ACCESS)},
     .key_spec_count = 1,
     .group = GROUP_SORTED_SET,
     .since = "2.8.9",
     .complexity = "O(log N + M) where M members of N are answered.",
     .summary = "Answers the members within a range of byte order, last first, where all scores "
                "are the same.",
     .deprecated_since = "6.2.0",
     .replaced_by = "`ZRANGE` with the `REV` and `BYLEX` arguments",
     .arguments = zrevrangebylex_arguments},
    {.name = "zrevrange",
     .run = zrevrange_run,
     .flags = CMD_READONLY,
     .arity = -4,
     .key_specs = {KEYS_AT(1, KEY_RO | KEY_ACCESS)},
     .key_spec_count = 1,
     .group = GROUP_SORTED_SET,
     .since = "1.2.0",
     .complexity = "O(log N + M) where M members of N are answered.",
     .summary = "Answers members by rank, highest score first.",
     .deprecated_since = "6.2.0",
     .replaced_by = "`ZRANGE` with the `REV` argument",
     .arguments = zrevrange_arguments},
    {.name = "zcount",
     .run = zcount_run,
     .flags = CMD_READONLY | CMD_FAST,
     .arity = 4,
     .key_specs = {KEYS_AT(1, KEY_RO | KEY_ACCESS)},
     .key_spec_count = 1,
     .group = GROUP_SORTED_SET,
     .since = "2.0.0",
     .complexity = "O(log N) where N is the size of the sorted set.",
     .summary = "Counts the members whose scores lie in a range.",
     .arguments = zcount_arguments},
    {.name = "zlexcount",
     .run = zlexcount_run,
     .flags = CMD_READONLY | CMD_FAST,
     .arity = 4,
     .key_specs = {KEYS_AT(1, KEY_RO | KEY_ACCESS)},
     .key_spec_count = 1,
     .group = GROUP_SORTED_SET,
     .since = "2.8.9",
     .complexity = "O(log N) where N is the size of the sorted set.",
     .summary = "Counts the members within a range of byte order, where all scores are the same.",
     .arguments = zlexcount_arguments},
    {.name = "zremrangebyrank",
     .run = zremrangebyrank_run,
     .flags = CMD_WRITE,
     .arity = 4,
     .key_specs = {KEYS_AT(1, KEY_RW | KEY_DELETE)},
     .key_spec_count = 1,
     .group = GROUP_SORTED_SET,
     .since = "2.0.0",
     .complexity = "O(log N + M) where M members of N are removed.",
     .summary = "Removes the members whose ranks lie in a range.",
     .arguments = zremrangebyrank_arguments},
    {.name = "zremrangebyscore",
     .run = zremrangebyscore_run,
     .flags = CMD_WRITE,
     .arity = 4,
     .key_specs = {KEYS_AT(1, KEY_RW | KEY_DELETE)},
     .key_spec_count = 1,
     .group = GROUP_SORTED_SET,
     .since = "1.2.0",
     .complexity = "O(log N + M) where M members of N are removed.",
     .summary = "Removes the members whose scores lie in a range.",
     .arguments = zcount_arguments},
    {.name = "zremrangebylex",
     .run = zremrangebylex_run,
     .flags = CMD_WRITE,
     .arity = 4,
     .key_specs = {KEYS_AT(1, KEY_RW | KEY_DELETE)},
     .key_spec_count = 1,
     .group = GROUP_SORTED_SET,
     .since = "2.8.9",
     .complexity = "O(log N + M) where M members of N are removed.",
     .summary = "Removes the members within a range of byte order, where all scores are the same.",
     .arguments = zlexcount_arguments},
};

const struct command_family zset_range_family = {zset_range_commands,
                                                 ARRAY_COUNT(zset_range_commands)};
