/*
 * zset_algebra.c: several sorted sets, and plain sets, at once: ZUNION ZINTER ZDIFF, their STORE
 * forms, ZINTERCARD.
 *
 * Results are built in a tree of their own, then replied or stored; so the destination may be a
 * source. Unions and intersections take the smallest input first: that decides in which order
 * scores are added up, and with it their last bits. A member of a plain set has the score 1.
 */
#include <math.h>

#include "shard/command/families.h"
#include "shard/command/zset_internal.h"
#include "shard/value/set.h"

enum algebra_kind { ALGEBRA_UNION, ALGEBRA_INTER, ALGEBRA_DIFF };
enum algebra_aggregate { AGGREGATE_SUM, AGGREGATE_MIN, AGGREGATE_MAX };

struct input {
    bool is_set;
    struct set set;
    struct zset zset;
    uint64_t count;
    double weight;
};

struct algebra {
    enum algebra_kind kind;
    bool is_store;
    bool is_count; /* ZINTERCARD */
    bool has_scores;
    enum algebra_aggregate aggregate;
    uint32_t input_count;
    struct input *inputs;
    uint64_t limit;
    uint64_t found; /* is_count */
    struct ztree *result;
};

/* ---- inputs ---- */

struct input_walk {
    const struct input *input;
    struct set_walk set;
    struct zset_walk zset;
};

static void
input_walk_start(struct input_walk *walk, const struct input *input)
{
    walk->input = input;
    if (input->is_set) {
        set_walk_start(&walk->set, &input->set);
    } else {
        zset_walk_start(&walk->zset, &input->zset, 0, false);
    }
}

static bool
input_next(struct input_walk *walk, struct ztree_item *item)
{
    if (!walk->input->is_set) {
        return zset_next(&walk->zset, item);
    }
    item->score = 1;
    return set_next(&walk->set, &item->member);
}

static bool
input_find(const struct input *input, struct slice member, double *score)
{
    if (!input->is_set) {
        return zset_find(&input->zset, member, score);
    }
    *score = 1;
    return input->count > 0 && set_contains(&input->set, member);
}

/** Replies the error and returns false. */
static bool
input_read(struct call *call, const struct view *view, struct input *input)
{
    call_count(call, view);
    *input = (struct input){.weight = 1, .is_set = view->value.type == VALUE_SET};
    if (input->is_set) {
        input->set.encoding = (enum value_encoding)view->value.encoding;
        input->set.object = view_object(view);
        input->count = set_count(&input->set);
        return true;
    }
    if (!view_check_type(call, view, VALUE_ZSET)) {
        return false;
    }
    input->zset = zset_of_view(view);
    input->count = zset_count(&input->zset);
    return true;
}

static void
inputs_sort(struct algebra *algebra)
{
    struct input *inputs = algebra->inputs;
    for (uint32_t i = 1; i < algebra->input_count; i++) {
        struct input input = inputs[i];
        uint32_t at = i;
        for (; at > 0 && inputs[at - 1].count > input.count; at--) {
            inputs[at] = inputs[at - 1];
        }
        inputs[at] = input;
    }
}

/* ---- operations ---- */

static double
weighted(const struct input *input, double score)
{
    double product = input->weight * score;
    return isnan(product) ? 0 : product;
}

static double
aggregated(const struct algebra *algebra, double target, double score)
{
    switch (algebra->aggregate) {
    case AGGREGATE_SUM:
        target += score;
        /* Infinities of both signs. */
        return isnan(target) ? 0 : target;
    case AGGREGATE_MIN:
        return score < target ? score : target;
    case AGGREGATE_MAX:
        return score > target ? score : target;
    }
    return target;
}

static void
unite(struct algebra *algebra)
{
    inputs_sort(algebra);
    for (uint32_t i = 0; i < algebra->input_count; i++) {
        const struct input *input = &algebra->inputs[i];
        struct input_walk walk;
        struct ztree_item item;
        input_walk_start(&walk, input);
        while (input_next(&walk, &item)) {
            double score = weighted(input, item.score);
            double old;
            if (i > 0 && ztree_find(algebra->result, item.member, &old)) {
                score = aggregated(algebra, old, score);
                if (score == 0 && old == 0) {
                    /* 0 and -0 have one place in the order, and a put would leave what is there. */
                    ztree_remove(algebra->result, item.member);
                }
            }
            ztree_put(algebra->result, item.member, score);
        }
    }
}

static void
intersect(struct algebra *algebra)
{
    inputs_sort(algebra);
    const struct input *inputs = algebra->inputs;
    struct input_walk walk;
    struct ztree_item item;
    input_walk_start(&walk, &inputs[0]);
    while (input_next(&walk, &item)) {
        double score = weighted(&inputs[0], item.score);
        uint32_t i = 1;
        for (; i < algebra->input_count; i++) {
            double other;
            if (!input_find(&inputs[i], item.member, &other)) {
                break;
            }
            score = aggregated(algebra, score, other * inputs[i].weight);
        }
        if (i < algebra->input_count) {
            continue;
        }
        if (algebra->is_count) {
            algebra->found++;
            if (algebra->found == algebra->limit) {
                return;
            }
        } else {
            ztree_put(algebra->result, item.member, score);
        }
    }
}

static void
subtract(struct algebra *algebra)
{
    struct input_walk walk;
    struct ztree_item item;
    input_walk_start(&walk, &algebra->inputs[0]);
    while (input_next(&walk, &item)) {
        uint32_t i = 1;
        double other;
        while (i < algebra->input_count && !input_find(&algebra->inputs[i], item.member, &other)) {
            i++;
        }
        if (i == algebra->input_count) {
            ztree_put(algebra->result, item.member, item.score);
        }
    }
}

/* ---- arguments ---- */

/** The number of keys at argv[index]. Replies the error and returns false. */
static bool
key_count_read(struct call *call, uint32_t index, uint32_t *count)
{
    int64_t number;
    if (!call_integer(call, index, &number, NULL)) {
        return false;
    }
    if (number < 1) {
        reply_error_format(call->reply, "ERR at least 1 input key is needed for '%s' command",
                           call->command->name);
        return false;
    }
    if (number > (int64_t)call->argc - index - 1) {
        call_syntax_error(call);
        return false;
    }
    *count = (uint32_t)number;
    return true;
}

/** A STORE form's destination comes before the number. */
static uint32_t
key_count_index(const struct call *call)
{
    return (call->command->flags & CMD_WRITE) != 0 ? 2 : 1;
}

/** What must be known before any key is. */
static bool
algebra_check(struct call *call)
{
    uint32_t count;
    return key_count_read(call, key_count_index(call), &count);
}

static bool
aggregate_read(struct call *call, struct slice word, struct algebra *algebra)
{
    if (slice_is_word(word, "sum")) {
        algebra->aggregate = AGGREGATE_SUM;
    } else if (slice_is_word(word, "min")) {
        algebra->aggregate = AGGREGATE_MIN;
    } else if (slice_is_word(word, "max")) {
        algebra->aggregate = AGGREGATE_MAX;
    } else {
        call_syntax_error(call);
        return false;
    }
    return true;
}

static bool
weights_read(struct call *call, uint32_t index, struct algebra *algebra)
{
    for (uint32_t i = 0; i < algebra->input_count; i++) {
        if (!zset_score_read(call, index + i, &algebra->inputs[i].weight,
                             "ERR weight value is not a float")) {
            return false;
        }
    }
    return true;
}

/** From argv[index] on. Replies the error and returns false. */
static bool
options_read(struct call *call, uint32_t index, struct algebra *algebra)
{
    bool has_scoring = algebra->kind != ALGEBRA_DIFF && !algebra->is_count;
    while (index < call->argc) {
        struct slice word = call->argv[index];
        uint32_t rest = call->argc - index;
        if (has_scoring && rest > algebra->input_count && slice_is_word(word, "weights")) {
            if (!weights_read(call, index + 1, algebra)) {
                return false;
            }
            index += 1 + algebra->input_count;
        } else if (has_scoring && rest >= 2 && slice_is_word(word, "aggregate")) {
            if (!aggregate_read(call, call->argv[index + 1], algebra)) {
                return false;
            }
            index += 2;
        } else if (!algebra->is_store && !algebra->is_count && slice_is_word(word, "withscores")) {
            algebra->has_scores = true;
            index++;
        } else if (algebra->is_count && rest >= 2 && slice_is_word(word, "limit")) {
            int64_t limit;
            if (!call_integer_in(call, index + 1, 0, INT64_MAX, &limit,
                                 "ERR LIMIT can't be negative")) {
                return false;
            }
            algebra->limit = (uint64_t)limit;
            index += 2;
        } else {
            call_syntax_error(call);
            return false;
        }
    }
    return true;
}

/** Inputs and options. Replies the error and returns false. */
static bool
algebra_read(struct call *call, struct algebra *algebra)
{
    uint32_t index = key_count_index(call);
    if (!key_count_read(call, index, &algebra->input_count)) {
        return false;
    }
    algebra->inputs = call_scratch(call, algebra->input_count * sizeof(struct input));
    for (uint32_t i = 0; i < algebra->input_count; i++) {
        struct view *view = call->views[(algebra->is_store ? 1 : 0) + i];
        if (!input_read(call, view, &algebra->inputs[i])) {
            return false;
        }
    }
    return options_read(call, index + 1 + algebra->input_count, algebra);
}

static void
result_reply(struct call *call, const struct algebra *algebra)
{
    struct zset zset = {.encoding = ENCODING_SKIPLIST, .object = algebra->result};
    struct zset_walk walk;
    struct ztree_item item;
    zset_array_reply(call, zset_count(&zset), algebra->has_scores);
    zset_walk_start(&walk, &zset, 0, false);
    while (zset_next(&walk, &item)) {
        zset_item_reply(call, &item, algebra->has_scores);
    }
    zset_delete(&zset);
}

static void
algebra_run(struct call *call, enum algebra_kind kind)
{
    struct algebra algebra = {.kind = kind, .is_store = key_count_index(call) == 2};
    if (!algebra_read(call, &algebra)) {
        return;
    }
    struct zset_limits limits = zset_limits_of(call);
    algebra.result = ztree_new(limits.seed);
    switch (kind) {
    case ALGEBRA_UNION:
        unite(&algebra);
        break;
    case ALGEBRA_INTER:
        intersect(&algebra);
        break;
    case ALGEBRA_DIFF:
        subtract(&algebra);
        break;
    }
    if (!algebra.is_store) {
        result_reply(call, &algebra);
        return;
    }
    struct zset zset = {.encoding = ENCODING_SKIPLIST, .object = algebra.result};
    zset_compact(&zset, &limits);
    zset_store(call, call->views[0], &zset, call->command->name);
}

static void
zintercard_run(struct call *call)
{
    struct algebra algebra = {.kind = ALGEBRA_INTER, .is_count = true};
    if (algebra_read(call, &algebra)) {
        intersect(&algebra);
        reply_i64(call->reply, (int64_t)algebra.found);
    }
}

static void
zunion_run(struct call *call)
{
    algebra_run(call, ALGEBRA_UNION);
}

static void
zinter_run(struct call *call)
{
    algebra_run(call, ALGEBRA_INTER);
}

static void
zdiff_run(struct call *call)
{
    algebra_run(call, ALGEBRA_DIFF);
}

static void
zunionstore_run(struct call *call)
{
    algebra_run(call, ALGEBRA_UNION);
}

static void
zinterstore_run(struct call *call)
{
    algebra_run(call, ALGEBRA_INTER);
}

static void
zdiffstore_run(struct call *call)
{
    algebra_run(call, ALGEBRA_DIFF);
}

/* ---- documentation ---- */

static const struct command_argument zunion_arguments_aggregate[] = {
    {.kind = ARGUMENT_PURE_TOKEN, .name = "sum", .token = "SUM"},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "min", .token = "MIN"},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "max", .token = "MAX"},
    {0},
};
static const struct command_argument zunion_arguments[] = {
    {.kind = ARGUMENT_INTEGER, .name = "numkeys"},
    {.kind = ARGUMENT_KEY, .name = "key", .is_multiple = true},
    {.kind = ARGUMENT_INTEGER,
     .name = "weight",
     .token = "WEIGHTS",
     .is_optional = true,
     .is_multiple = true},
    {.kind = ARGUMENT_ONEOF,
     .name = "aggregate",
     .token = "AGGREGATE",
     .is_optional = true,
     .arguments = zunion_arguments_aggregate},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "withscores", .token = "WITHSCORES", .is_optional = true},
    {0},
};
static const struct command_argument zdiff_arguments[] = {
    {.kind = ARGUMENT_INTEGER, .name = "numkeys"},
    {.kind = ARGUMENT_KEY, .name = "key", .is_multiple = true},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "withscores", .token = "WITHSCORES", .is_optional = true},
    {0},
};
static const struct command_argument zintercard_arguments[] = {
    {.kind = ARGUMENT_INTEGER, .name = "numkeys"},
    {.kind = ARGUMENT_KEY, .name = "key", .is_multiple = true},
    {.kind = ARGUMENT_INTEGER, .name = "limit", .token = "LIMIT", .is_optional = true},
    {0},
};
static const struct command_argument zunionstore_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "destination"},
    {.kind = ARGUMENT_INTEGER, .name = "numkeys"},
    {.kind = ARGUMENT_KEY, .name = "key", .key_spec_index = 1, .is_multiple = true},
    {.kind = ARGUMENT_INTEGER,
     .name = "weight",
     .token = "WEIGHTS",
     .is_optional = true,
     .is_multiple = true},
    {.kind = ARGUMENT_ONEOF,
     .name = "aggregate",
     .token = "AGGREGATE",
     .is_optional = true,
     .arguments = zunion_arguments_aggregate},
    {0},
};
static const struct command_argument zdiffstore_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "destination"},
    {.kind = ARGUMENT_INTEGER, .name = "numkeys"},
    {.kind = ARGUMENT_KEY, .name = "key", .key_spec_index = 1, .is_multiple = true},
    {0},
};

static const struct command zset_algebra_commands[] = {
    {.name = "zunion",
     .run = zunion_run,
     .flags = CMD_READONLY | CMD_MOVABLE_KEYS | CMD_NO_COUNT,
     .arity = -3,
     .key_specs = {{.flags = KEY_RO | KEY_ACCESS,
                    .begin = KEYS_BEGIN_INDEX,
                    .begin_index = 1,
                    .find = KEYS_FIND_KEYNUM,
                    .keynum_index = 0,
                    .keynum_first = 1,
                    .step = 1}},
     .key_spec_count = 1,
     .check = algebra_check,
     .group = GROUP_SORTED_SET,
     .since = "6.2.0",
     .complexity = "O(N + M log M) where N is the size of all inputs and M that of the result.",
     .summary = "Answers the members of any of several sorted sets, their scores put together.",
     .arguments = zunion_arguments},
    {.name = "zinter",
     .run = zinter_run,
     .flags = CMD_READONLY | CMD_MOVABLE_KEYS | CMD_NO_COUNT,
     .arity = -3,
     .key_specs = {{.flags = KEY_RO | KEY_ACCESS,
                    .begin = KEYS_BEGIN_INDEX,
                    .begin_index = 1,
                    .find = KEYS_FIND_KEYNUM,
                    .keynum_index = 0,
                    .keynum_first = 1,
                    .step = 1}},
     .key_spec_count = 1,
     .check = algebra_check,
     .group = GROUP_SORTED_SET,
     .since = "6.2.0",
     .complexity = "O(N * K + M log M) where N is the size of the smallest of K inputs and M that "
                   "of the result.",
     .summary =
         "Answers the members that several sorted sets have in common, their scores put together.",
     .arguments = zunion_arguments},
    {.name = "zdiff",
     .run = zdiff_run,
     .flags = CMD_READONLY | CMD_MOVABLE_KEYS | CMD_NO_COUNT,
     .arity = -3,
     .key_specs = {{.flags = KEY_RO | KEY_ACCESS,
                    .begin = KEYS_BEGIN_INDEX,
                    .begin_index = 1,
                    .find = KEYS_FIND_KEYNUM,
                    .keynum_index = 0,
                    .keynum_first = 1,
                    .step = 1}},
     .key_spec_count = 1,
     .check = algebra_check,
     .group = GROUP_SORTED_SET,
     .since = "6.2.0",
     .complexity = "O(N + M log M) where N is the size of all inputs and M that of the result.",
     .summary = "Answers the members of the first sorted set that the others do not have.",
     .arguments = zdiff_arguments},
    {.name = "zintercard",
     .run = zintercard_run,
     .flags = CMD_READONLY | CMD_MOVABLE_KEYS | CMD_NO_COUNT,
     .arity = -3,
     .key_specs = {{.flags = KEY_RO | KEY_ACCESS,
                    .begin = KEYS_BEGIN_INDEX,
                    .begin_index = 1,
                    .find = KEYS_FIND_KEYNUM,
                    .keynum_index = 0,
                    .keynum_first = 1,
                    .step = 1}},
     .key_spec_count = 1,
     .check = algebra_check,
     .group = GROUP_SORTED_SET,
     .since = "7.0.0",
     .complexity = "O(N * K) where N is the size of the smallest of K inputs.",
     .summary = "Counts the members that several sorted sets have in common.",
     .arguments = zintercard_arguments},
    {.name = "zunionstore",
     .run = zunionstore_run,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_MOVABLE_KEYS,
     .arity = -4,
     .key_specs = {KEYS_AT(1, KEY_OW | KEY_UPDATE),
                   {.flags = KEY_RO | KEY_ACCESS,
                    .begin = KEYS_BEGIN_INDEX,
                    .begin_index = 2,
                    .find = KEYS_FIND_KEYNUM,
                    .keynum_index = 0,
                    .keynum_first = 1,
                    .step = 1}},
     .key_spec_count = 2,
     .check = algebra_check,
     .group = GROUP_SORTED_SET,
     .since = "2.0.0",
     .complexity = "O(N + M log M) where N is the size of all inputs and M that of the result.",
     .summary = "Stores the union of several sorted sets as another one.",
     .arguments = zunionstore_arguments},
    {.name = "zinterstore",
     .run = zinterstore_run,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_MOVABLE_KEYS,
     .arity = -4,
     .key_specs = {KEYS_AT(1, KEY_OW | KEY_UPDATE),
                   {.flags = KEY_RO | KEY_ACCESS,
                    .begin = KEYS_BEGIN_INDEX,
                    .begin_index = 2,
                    .find = KEYS_FIND_KEYNUM,
                    .keynum_index = 0,
                    .keynum_first = 1,
                    .step = 1}},
     .key_spec_count = 2,
     .check = algebra_check,
     .group = GROUP_SORTED_SET,
     .since = "2.0.0",
     .complexity = "O(N * K + M log M) where N is the size of the smallest of K inputs and M that "
                   "of the result.",
     .summary = "Stores what several sorted sets have in common as another one.",
     .arguments = zunionstore_arguments},
    {.name = "zdiffstore",
     .run = zdiffstore_run,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_MOVABLE_KEYS,
     .arity = -4,
     .key_specs = {KEYS_AT(1, KEY_OW | KEY_UPDATE),
                   {.flags = KEY_RO | KEY_ACCESS,
                    .begin = KEYS_BEGIN_INDEX,
                    .begin_index = 2,
                    .find = KEYS_FIND_KEYNUM,
                    .keynum_index = 0,
                    .keynum_first = 1,
                    .step = 1}},
     .key_spec_count = 2,
     .check = algebra_check,
     .group = GROUP_SORTED_SET,
     .since = "6.2.0",
     .complexity = "O(N + M log M) where N is the size of all inputs and M that of the result.",
     .summary = "Stores what the first sorted set has beyond the others as another one.",
     .arguments = zdiffstore_arguments},
};

const struct command_family zset_algebra_family = {zset_algebra_commands,
                                                   ARRAY_COUNT(zset_algebra_commands)};
