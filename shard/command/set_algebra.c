/*
 * set_algebra.c: several sets at once: intersections, unions, differences, and their STORE forms.
 *
 * An intersection walks the smallest set and asks the others, smaller ones first; a difference
 * walks the first set and asks the others. Only a union must remember what it has met, in a set of
 * its own. A STORE form builds its result before it touches the destination, which may be a source
 * too.
 */
#include "shard/command/families.h"
#include "shard/command/set_internal.h"

/** The sets that a command reads: its views from `first` on. Absent ones are empty. */
struct operands {
    uint32_t count;
    struct set *sets;
};

/** Replies the error and returns false where one is something else. */
static bool
operands_read(struct call *call, uint32_t first, struct operands *operands)
{
    operands->count = call->view_count - first;
    operands->sets = call_scratch(call, operands->count * sizeof(struct set));
    for (uint32_t i = 0; i < operands->count; i++) {
        struct view *view = call->views[first + i];
        call_count(call, view);
        if (!view_check_type(call, view, VALUE_SET)) {
            return false;
        }
        operands->sets[i] = set_of_view(view);
    }
    return true;
}

/** Where results go: into a reply, into a set, or nowhere but the count. */
struct sink {
    struct reply *reply;
    struct set *set;
    struct set_limits limits;
    uint64_t count;
    uint64_t count_max;
};

static void
sink_add(struct sink *sink, struct slice member)
{
    sink->count++;
    if (sink->reply != NULL) {
        reply_bulk(sink->reply, member);
    } else if (sink->set != NULL) {
        set_add(sink->set, &sink->limits, member);
    }
}

/* ---- the operations ---- */

static void
operands_sort(struct operands *operands)
{
    for (uint32_t i = 1; i < operands->count; i++) {
        struct set set = operands->sets[i];
        uint64_t count = set_count(&set);
        uint32_t at = i;
        for (; at > 0 && set_count(&operands->sets[at - 1]) > count; at--) {
            operands->sets[at] = operands->sets[at - 1];
        }
        operands->sets[at] = set;
    }
}

static void
operands_intersect(struct operands *operands, struct sink *sink)
{
    struct set_walk walk;
    struct slice member;
    operands_sort(operands);
    set_walk_start(&walk, &operands->sets[0]);
    while (sink->count < sink->count_max && set_next(&walk, &member)) {
        uint32_t i = 1;
        while (i < operands->count && set_contains(&operands->sets[i], member)) {
            i++;
        }
        if (i == operands->count) {
            sink_add(sink, member);
        }
    }
}

static void
operands_subtract(struct operands *operands, struct sink *sink)
{
    struct set_walk walk;
    struct slice member;
    set_walk_start(&walk, &operands->sets[0]);
    while (set_next(&walk, &member)) {
        uint32_t i = 1;
        while (i < operands->count && !set_contains(&operands->sets[i], member)) {
            i++;
        }
        if (i == operands->count) {
            sink_add(sink, member);
        }
    }
}

static void
operands_unite(struct operands *operands, struct sink *sink)
{
    struct set met = {.encoding = ENCODING_INTSET};
    struct set_walk walk;
    struct slice member;
    for (uint32_t i = 0; i < operands->count; i++) {
        set_walk_start(&walk, &operands->sets[i]);
        while (set_next(&walk, &member)) {
            if (set_add(&met, &sink->limits, member)) {
                sink->count++;
                if (sink->reply != NULL) {
                    reply_bulk(sink->reply, member);
                }
            }
        }
    }
    if (sink->set != NULL) {
        *sink->set = met;
    } else {
        set_delete(&met);
    }
}

typedef void operation_fn(struct operands *operands, struct sink *sink);

static void
operation_reply(struct call *call, operation_fn *operation)
{
    struct operands operands;
    if (!operands_read(call, 0, &operands)) {
        return;
    }
    struct sink sink = {
        .reply = call->reply, .limits = set_limits_of(call), .count_max = UINT64_MAX};
    struct reply_later later = reply_later(call->reply);
    operation(&operands, &sink);
    reply_later_set(call->reply, later, sink.count);
}

static void
operation_store(struct call *call, operation_fn *operation)
{
    struct operands operands;
    if (!operands_read(call, 1, &operands)) {
        return;
    }
    struct set result = {.encoding = ENCODING_INTSET};
    struct sink sink = {.set = &result, .limits = set_limits_of(call), .count_max = UINT64_MAX};
    operation(&operands, &sink);
    set_store(call, call->views[0], &result);
    reply_i64(call->reply, (int64_t)sink.count);
}

/* ---- commands ---- */

static void
sinter_run(struct call *call)
{
    operation_reply(call, operands_intersect);
}

static void
sunion_run(struct call *call)
{
    operation_reply(call, operands_unite);
}

static void
sdiff_run(struct call *call)
{
    operation_reply(call, operands_subtract);
}

static void
sinterstore_run(struct call *call)
{
    operation_store(call, operands_intersect);
}

static void
sunionstore_run(struct call *call)
{
    operation_store(call, operands_unite);
}

static void
sdiffstore_run(struct call *call)
{
    operation_store(call, operands_subtract);
}

/** Everything that can be wrong with SINTERCARD. Replies the error. */
static bool
sintercard_read(struct call *call, uint64_t *count_max)
{
    int64_t key_count;
    *count_max = UINT64_MAX;
    if (!call_integer_in(call, 1, 1, INT64_MAX, &key_count,
                         "ERR numkeys should be greater than 0")) {
        return false;
    }
    if (key_count > call->argc - 2) {
        reply_error(call->reply, "ERR Number of keys can't be greater than number of args");
        return false;
    }
    for (uint32_t i = 2 + (uint32_t)key_count; i < call->argc; i += 2) {
        int64_t limit;
        if (i + 1 == call->argc || !slice_is_word(call->argv[i], "limit")) {
            call_syntax_error(call);
            return false;
        }
        if (!call_integer_in(call, i + 1, 0, INT64_MAX, &limit, "ERR LIMIT can't be negative")) {
            return false;
        }
        *count_max = limit == 0 ? UINT64_MAX : (uint64_t)limit;
    }
    return true;
}

static bool
sintercard_check(struct call *call)
{
    uint64_t count_max;
    return sintercard_read(call, &count_max);
}

static void
sintercard_run(struct call *call)
{
    struct operands operands;
    struct sink sink = {.count = 0};
    if (sintercard_read(call, &sink.count_max) && operands_read(call, 0, &operands)) {
        operands_intersect(&operands, &sink);
        reply_i64(call->reply, (int64_t)sink.count);
    }
}

/* ---- documentation ---- */

static const char *const sinter_tips[] = {"nondeterministic_output_order", NULL};
static const struct command_argument sinter_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "key", .is_multiple = true},
    {0},
};
static const struct command_argument sinterstore_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "destination"},
    {.kind = ARGUMENT_KEY, .name = "key", .key_spec_index = 1, .is_multiple = true},
    {0},
};
static const struct command_argument sintercard_arguments[] = {
    {.kind = ARGUMENT_INTEGER, .name = "numkeys"},
    {.kind = ARGUMENT_KEY, .name = "key", .is_multiple = true},
    {.kind = ARGUMENT_INTEGER, .name = "limit", .token = "LIMIT", .is_optional = true},
    {0},
};

static const struct command set_algebra_commands[] = {
    {.name = "sinter",
     .run = sinter_run,
     .flags = CMD_READONLY | CMD_NO_COUNT,
     .arity = -2,
     .key_specs = {KEYS_FROM(1, -1, 1, KEY_RO | KEY_ACCESS)},
     .key_spec_count = 1,
     .group = GROUP_SET,
     .since = "1.0.0",
     .complexity = "O(N*M) with N members in the smallest of M sets.",
     .summary = "Lists what is in all of several sets.",
     .tips = sinter_tips,
     .arguments = sinter_arguments},
    {.name = "sinterstore",
     .run = sinterstore_run,
     .flags = CMD_WRITE | CMD_DENYOOM,
     .arity = -3,
     .key_specs = {KEYS_AT(1, KEY_RW | KEY_UPDATE), KEYS_FROM(2, -1, 1, KEY_RO | KEY_ACCESS)},
     .key_spec_count = 2,
     .group = GROUP_SET,
     .since = "1.0.0",
     .complexity = "O(N*M) with N members in the smallest of M sets.",
     .summary = "Stores what is in all of several sets as a set.",
     .arguments = sinterstore_arguments},
    {.name = "sintercard",
     .run = sintercard_run,
     .check = sintercard_check,
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
     .group = GROUP_SET,
     .since = "7.0.0",
     .complexity = "O(N*M) with N members in the smallest of M sets.",
     .summary = "Counts what is in all of several sets, up to a limit.",
     .arguments = sintercard_arguments},
    {.name = "sunion",
     .run = sunion_run,
     .flags = CMD_READONLY | CMD_NO_COUNT,
     .arity = -2,
     .key_specs = {KEYS_FROM(1, -1, 1, KEY_RO | KEY_ACCESS)},
     .key_spec_count = 1,
     .group = GROUP_SET,
     .since = "1.0.0",
     .complexity = "O(N) with N members in all sets together.",
     .summary = "Lists what is in any of several sets.",
     .tips = sinter_tips,
     .arguments = sinter_arguments},
    {.name = "sunionstore",
     .run = sunionstore_run,
     .flags = CMD_WRITE | CMD_DENYOOM,
     .arity = -3,
     .key_specs = {KEYS_AT(1, KEY_OW | KEY_UPDATE), KEYS_FROM(2, -1, 1, KEY_RO | KEY_ACCESS)},
     .key_spec_count = 2,
     .group = GROUP_SET,
     .since = "1.0.0",
     .complexity = "O(N) with N members in all sets together.",
     .summary = "Stores what is in any of several sets as a set.",
     .arguments = sinterstore_arguments},
    {.name = "sdiff",
     .run = sdiff_run,
     .flags = CMD_READONLY | CMD_NO_COUNT,
     .arity = -2,
     .key_specs = {KEYS_FROM(1, -1, 1, KEY_RO | KEY_ACCESS)},
     .key_spec_count = 1,
     .group = GROUP_SET,
     .since = "1.0.0",
     .complexity = "O(N*M) with N members in the first of M sets.",
     .summary = "Lists what is in the first of several sets and in none of the others.",
     .tips = sinter_tips,
     .arguments = sinter_arguments},
    {.name = "sdiffstore",
     .run = sdiffstore_run,
     .flags = CMD_WRITE | CMD_DENYOOM,
     .arity = -3,
     .key_specs = {KEYS_AT(1, KEY_OW | KEY_UPDATE), KEYS_FROM(2, -1, 1, KEY_RO | KEY_ACCESS)},
     .key_spec_count = 2,
     .group = GROUP_SET,
     .since = "1.0.0",
     .complexity = "O(N*M) with N members in the first of M sets.",
     .summary = "Stores what is in the first of several sets and in none of the others as a set.",
     .arguments = sinterstore_arguments},
};

const struct command_family set_algebra_family = {set_algebra_commands,
                                                  ARRAY_COUNT(set_algebra_commands)};
