/*
 * set.c: commands on one set, and SMOVE.
 * What sets have in common with each other is in set_algebra.c, what chance decides in
 * set_random.c. The files share how a set is stored and how long effects are cut: a *STORE
 * command's effect on its destination is DEL and as many SADD as it takes, for its sources may be
 * elsewhere.
 */
#include "shard/command/families.h"
#include "shard/command/scan_collection.h"
#include "shard/command/set_internal.h"

/* ---- shared ---- */

void
set_effect_start(struct set_effect *effect, struct call *call, struct view *view,
                 struct slice command)
{
    effect->call = call;
    effect->view = view;
    effect->argv[0] = command;
    effect->argv[1] = view->key;
    effect->count = 2;
}

void
set_effect_end(struct set_effect *effect)
{
    if (effect->count > 2) {
        call_effect(effect->call, effect->view, effect->argv, effect->count);
        effect->count = 2;
    }
}

void
set_effect_add(struct set_effect *effect, struct slice member)
{
    if (!call_has_effects(effect->call)) {
        return;
    }
    char *bytes = call_scratch(effect->call, member.size);
    if (member.size > 0) {
        memcpy(bytes, member.data, member.size);
    }
    effect->argv[effect->count++] = slice_of(bytes, member.size);
    if (effect->count == ARRAY_COUNT(effect->argv)) {
        set_effect_end(effect);
    }
}

void
set_store(struct call *call, struct view *view, struct set *set)
{
    bool was_there = view_exists(view);
    if (set_count(set) == 0) {
        set_delete(set);
        if (was_there) {
            view_delete(call, view);
            call_effect_delete(call, view);
            call_event(call, view, NOTIFY_GENERIC, "del");
        }
        return;
    }
    view_object_set(call, view, VALUE_SET, set->encoding, set->object);
    if (view->deadline_ms != VIEW_NO_DEADLINE) {
        view_deadline_set(call, view, VIEW_NO_DEADLINE);
    }
    call_event(call, view, NOTIFY_SET, call->command->name);
    if (!call_has_effects(call)) {
        return;
    }
    if (was_there) {
        call_effect_delete(call, view);
    }
    struct set_effect effect;
    struct set_walk walk;
    struct slice member;
    set_effect_start(&effect, call, view, SLICE("SADD"));
    set_walk_start(&walk, set);
    while (set_next(&walk, &member)) {
        set_effect_add(&effect, member);
    }
    set_effect_end(&effect);
}

/* ---- commands ---- */

static void
sadd_run(struct call *call)
{
    struct view *view = call->views[0];
    if (!view_check_type(call, view, VALUE_SET)) {
        return;
    }
    struct set_limits limits = set_limits_of(call);
    struct set set = set_of_view(view);
    int64_t added_count = 0;
    for (uint32_t i = 2; i < call->argc; i++) {
        added_count += set_add(&set, &limits, call->argv[i]);
    }
    if (added_count > 0) {
        set_to_view(call, view, &set);
        call_effect_same(call, view);
        call_event(call, view, NOTIFY_SET, "sadd");
    }
    reply_i64(call->reply, added_count);
}

static void
srem_run(struct call *call)
{
    struct view *view = call->views[0];
    if (!view_check_type(call, view, VALUE_SET)) {
        return;
    }
    if (!view_exists(view)) {
        reply_i64(call->reply, 0);
        return;
    }
    struct set set = set_of_view(view);
    int64_t removed_count = 0;
    for (uint32_t i = 2; i < call->argc; i++) {
        removed_count += set_remove(&set, call->argv[i]);
    }
    if (removed_count > 0) {
        set_to_view(call, view, &set);
        call_effect_same(call, view);
        call_event_removal(call, view, NOTIFY_SET, "srem");
    }
    reply_i64(call->reply, removed_count);
}

static void
sismember_run(struct call *call)
{
    struct view *view = call->views[0];
    if (view_check_type(call, view, VALUE_SET)) {
        struct set set = set_of_view(view);
        reply_i64(call->reply, set_contains(&set, call->argv[2]));
    }
}

static void
smismember_run(struct call *call)
{
    struct view *view = call->views[0];
    if (!view_check_type(call, view, VALUE_SET)) {
        return;
    }
    struct set set = set_of_view(view);
    reply_array(call->reply, call->argc - 2);
    for (uint32_t i = 2; i < call->argc; i++) {
        reply_i64(call->reply, set_contains(&set, call->argv[i]));
    }
}

static void
smembers_run(struct call *call)
{
    struct view *view = call->views[0];
    if (!view_check_type(call, view, VALUE_SET)) {
        return;
    }
    struct set set = set_of_view(view);
    struct set_walk walk;
    struct slice member;
    reply_set(call->reply, set_count(&set));
    set_walk_start(&walk, &set);
    while (set_next(&walk, &member)) {
        reply_bulk(call->reply, member);
    }
}

static void
scard_run(struct call *call)
{
    struct view *view = call->views[0];
    if (view_check_type(call, view, VALUE_SET)) {
        struct set set = set_of_view(view);
        reply_i64(call->reply, (int64_t)set_count(&set));
    }
}

static void
smove_run(struct call *call)
{
    struct view *source = call->views[0];
    struct view *target = call->views[1];
    struct slice member = call->argv[3];
    if (!view_exists(source)) {
        reply_i64(call->reply, 0);
        return;
    }
    if (!view_check_type(call, source, VALUE_SET) || !view_check_type(call, target, VALUE_SET)) {
        return;
    }
    struct set from = set_of_view(source);
    if (source == target || !set_contains(&from, member)) {
        reply_i64(call->reply, set_contains(&from, member));
        return;
    }
    set_remove(&from, member);
    set_to_view(call, source, &from);
    struct slice removal[] = {SLICE("SREM"), source->key, member};
    call_effect(call, source, removal, 3);
    call_event_removal(call, source, NOTIFY_SET, "srem");
    struct set_limits limits = set_limits_of(call);
    struct set to = set_of_view(target);
    if (set_add(&to, &limits, member)) {
        set_to_view(call, target, &to);
        struct slice addition[] = {SLICE("SADD"), target->key, member};
        call_effect(call, target, addition, 3);
        call_event(call, target, NOTIFY_SET, "sadd");
    }
    reply_i64(call->reply, 1);
}

/* ---- SSCAN ---- */

struct sscan {
    struct call *call;
    struct set set;
    struct scan_options options;
    bool is_counting;
    uint64_t counted;
    uint64_t replied;
};

static void
sscan_visit(void *context, struct slice member)
{
    struct sscan *scan = context;
    if (scan->is_counting) {
        scan->counted++;
    } else if (scan_passes(&scan->options, member)) {
        reply_bulk(scan->call->reply, member);
        scan->replied++;
    }
}

static uint64_t
sscan_step(void *context, uint64_t position, bool is_counting)
{
    struct sscan *scan = context;
    scan->is_counting = is_counting;
    return set_scan(&scan->set, position, sscan_visit, scan);
}

static void
sscan_run(struct call *call)
{
    struct view *view = call->views[0];
    struct sscan scan = {.call = call};
    if (!scan_cursor_read(call, &scan.options)) {
        return;
    }
    if (!view_exists(view)) {
        scan_empty_reply(call);
        return;
    }
    if (!view_check_type(call, view, VALUE_SET) || !scan_options_read(call, false, &scan.options)) {
        return;
    }
    scan.set = set_of_view(view);
    scan_reply(call, &scan.options, scan.set.encoding != ENCODING_HASHTABLE, sscan_step, &scan,
               &scan.counted, &scan.replied);
}

/* ---- documentation ---- */

static const struct command_history sadd_history[] = {{"2.4.0", "Takes several members."},
                                                      {NULL, NULL}};
static const struct command_argument sadd_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "key"},
    {.kind = ARGUMENT_STRING, .name = "member", .is_multiple = true},
    {0},
};
static const struct command_argument sismember_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "key"},
    {.kind = ARGUMENT_STRING, .name = "member"},
    {0},
};
static const char *const smembers_tips[] = {"nondeterministic_output_order", NULL};
static const struct command_argument smembers_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "key"},
    {0},
};
static const struct command_argument smove_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "source"},
    {.kind = ARGUMENT_KEY, .name = "destination", .key_spec_index = 1},
    {.kind = ARGUMENT_STRING, .name = "member"},
    {0},
};
static const char *const sscan_tips[] = {"nondeterministic_output", NULL};
static const struct command_argument sscan_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "key"},
    {.kind = ARGUMENT_INTEGER, .name = "cursor"},
    {.kind = ARGUMENT_PATTERN, .name = "pattern", .token = "MATCH", .is_optional = true},
    {.kind = ARGUMENT_INTEGER, .name = "count", .token = "COUNT", .is_optional = true},
    {0},
};

static const struct command set_commands[] = {
    {.name = "sadd",
     .run = sadd_run,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST,
     .arity = -3,
     .key_specs = {KEYS_AT(1, KEY_RW | KEY_INSERT)},
     .key_spec_count = 1,
     .group = GROUP_SET,
     .since = "1.0.0",
     .complexity = "O(N) with N members to add.",
     .summary = "Adds members to a set; an absent one is created.",
     .history = sadd_history,
     .arguments = sadd_arguments},
    {.name = "srem",
     .run = srem_run,
     .flags = CMD_WRITE | CMD_FAST,
     .arity = -3,
     .key_specs = {KEYS_AT(1, KEY_RW | KEY_DELETE)},
     .key_spec_count = 1,
     .group = GROUP_SET,
     .since = "1.0.0",
     .complexity = "O(N) with N members to take out.",
     .summary = "Takes members out of a set; one that becomes empty is gone.",
     .history = sadd_history,
     .arguments = sadd_arguments},
    {.name = "sismember",
     .run = sismember_run,
     .flags = CMD_READONLY | CMD_FAST,
     .arity = 3,
     .key_specs = {KEYS_AT(1, KEY_RO)},
     .key_spec_count = 1,
     .group = GROUP_SET,
     .since = "1.0.0",
     .complexity = "O(1)",
     .summary = "Tells whether something is a member of a set.",
     .arguments = sismember_arguments},
    {.name = "smismember",
     .run = smismember_run,
     .flags = CMD_READONLY | CMD_FAST,
     .arity = -3,
     .key_specs = {KEYS_AT(1, KEY_RO | KEY_ACCESS)},
     .key_spec_count = 1,
     .group = GROUP_SET,
     .since = "6.2.0",
     .complexity = "O(N) with N things to look for.",
     .summary = "Tells of several things whether they are members of a set.",
     .arguments = sadd_arguments},
    {.name = "smembers",
     .run = smembers_run,
     .flags = CMD_READONLY,
     .arity = 2,
     .key_specs = {KEYS_AT(1, KEY_RO | KEY_ACCESS)},
     .key_spec_count = 1,
     .group = GROUP_SET,
     .since = "1.0.0",
     .complexity = "O(N) with N members.",
     .summary = "Lists all members of a set.",
     .tips = smembers_tips,
     .arguments = smembers_arguments},
    {.name = "scard",
     .run = scard_run,
     .flags = CMD_READONLY | CMD_FAST,
     .arity = 2,
     .key_specs = {KEYS_AT(1, KEY_RO)},
     .key_spec_count = 1,
     .group = GROUP_SET,
     .since = "1.0.0",
     .complexity = "O(1)",
     .summary = "Counts the members of a set.",
     .arguments = smembers_arguments},
    {.name = "smove",
     .run = smove_run,
     .flags = CMD_WRITE | CMD_FAST,
     .arity = 4,
     .key_specs = {KEYS_AT(1, KEY_RW | KEY_ACCESS | KEY_DELETE), KEYS_AT(2, KEY_RW | KEY_INSERT)},
     .key_spec_count = 2,
     .group = GROUP_SET,
     .since = "1.0.0",
     .complexity = "O(1)",
     .summary = "Moves a member from one set to another, in one step.",
     .arguments = smove_arguments},
    {.name = "sscan",
     .run = sscan_run,
     .flags = CMD_READONLY,
     .arity = -3,
     .key_specs = {KEYS_AT(1, KEY_RO | KEY_ACCESS)},
     .key_spec_count = 1,
     .group = GROUP_SET,
     .since = "2.8.0",
     .complexity = "O(1) for each call, O(N) for all calls until the cursor is 0 again.",
     .summary = "Lists the members of a set a few at a time.",
     .tips = sscan_tips,
     .arguments = sscan_arguments},
};

const struct command_family set_family = {set_commands, ARRAY_COUNT(set_commands)};
