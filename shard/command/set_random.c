/*
 * set_random.c: members that chance chooses: SPOP and SRANDMEMBER.
 *
 * Distinct members of a large set are drawn one by one, and drawn again where one came up before; a
 * part of some size is chosen on one walk over the set instead, each member with the chance that
 * leaves the right number: both are fair. What SPOP took is told to the journal as SREM or DEL.
 */
#include "core/hash.h"
#include "core/heap.h"
#include "shard/command/families.h"
#include "shard/command/set_internal.h"

/** From this part of the set on, a walk costs less than drawing. */
#define WALK_PART_MIN 3

/** With at most this part of the members left SPOP keeps them in the smallest form, as redis-server
 * does. */
#define POP_REST_PART 5

/* ---- SPOP ---- */

static void
spop_one(struct call *call, struct view *view)
{
    char digits[SET_DIGITS_SIZE];
    struct set set = set_of_view(view);
    struct slice member = set_random(&set, &call->shard->random, digits);
    reply_bulk(call->reply, member);
    if (call_has_effects(call)) {
        struct slice effect[] = {SLICE("SREM"), view->key, member};
        call_effect(call, view, effect, 3);
    }
    set_remove(&set, member);
    set_to_view(call, view, &set);
    call_event_removal(call, view, NOTIFY_SET, "spop");
}

static void
spop_all(struct call *call, struct view *view, const struct set *set)
{
    struct set_walk walk;
    struct slice member;
    reply_set(call->reply, set_count(set));
    set_walk_start(&walk, set);
    while (set_next(&walk, &member)) {
        reply_bulk(call->reply, member);
    }
    view_delete(call, view);
    call_effect_delete(call, view);
    call_event_removal(call, view, NOTIFY_SET, "spop");
}

static void
set_compact(struct call *call, struct set *set)
{
    struct set_limits limits = set_limits_of(call);
    struct set compact = {.encoding = ENCODING_INTSET};
    struct set_walk walk;
    struct slice member;
    set_walk_start(&walk, set);
    while (set_next(&walk, &member)) {
        set_add(&compact, &limits, member);
    }
    set_delete(set);
    *set = compact;
}

static void
spop_some(struct call *call, struct view *view, struct set *set, uint64_t count)
{
    struct set_effect effect;
    char digits[SET_DIGITS_SIZE];
    uint64_t rest_count = set_count(set) - count;
    set_effect_start(&effect, call, view, SLICE("SREM"));
    reply_set(call->reply, count);
    for (uint64_t i = 0; i < count; i++) {
        struct slice member = set_random(set, &call->shard->random, digits);
        reply_bulk(call->reply, member);
        set_effect_add(&effect, member);
        set_remove(set, member);
    }
    if (rest_count * POP_REST_PART <= count) {
        set_compact(call, set);
    }
    set_to_view(call, view, set);
    set_effect_end(&effect);
    call_event(call, view, NOTIFY_SET, "spop");
}

static void
spop_run(struct call *call)
{
    struct view *view = call->views[0];
    int64_t count = 0;
    if (call->argc > 3) {
        call_syntax_error(call);
        return;
    }
    if (call->argc == 3 && !call_integer_in(call, 2, 0, INT64_MAX, &count,
                                            "ERR value is out of range, must be positive")) {
        return;
    }
    if (!view_check_type(call, view, VALUE_SET)) {
        return;
    }
    if (call->argc == 2) {
        if (view_exists(view)) {
            spop_one(call, view);
        } else {
            reply_null(call->reply);
        }
        return;
    }
    struct set set = set_of_view(view);
    if (count == 0 || !view_exists(view)) {
        reply_set(call->reply, 0);
    } else if ((uint64_t)count >= set_count(&set)) {
        spop_all(call, view, &set);
    } else {
        spop_some(call, view, &set, (uint64_t)count);
    }
}

/* ---- SRANDMEMBER ---- */

/** `count` of the set's members, each with the same chance, in the order of a walk. */
static void
srandmember_walk(struct call *call, const struct set *set, uint64_t count)
{
    struct set_walk walk;
    struct slice member;
    uint64_t rest_count = set_count(set);
    reply_array(call->reply, count);
    set_walk_start(&walk, set);
    while (count > 0 && set_next(&walk, &member)) {
        if (count == rest_count || random_below(&call->shard->random, rest_count) < count) {
            reply_bulk(call->reply, member);
            count--;
        }
        rest_count--;
    }
    ASSERT(count == 0);
}

/** The same by drawing; the members of a packed table are known by where they lie. */
static void
srandmember_draw(struct call *call, const struct set *set, uint64_t count)
{
    char digits[SET_DIGITS_SIZE];
    uint64_t room = UINT64_C(4) << (63 - __builtin_clzll(count));
    uintptr_t *drawn = heap_alloc(room * sizeof(*drawn));
    memset(drawn, 0, room * sizeof(*drawn));
    reply_array(call->reply, count);
    while (count > 0) {
        struct slice member = set_random(set, &call->shard->random, digits);
        /* The empty member has no bytes of its own to be known by. */
        uintptr_t place = member.size == 0 ? 1 : (uintptr_t)member.data;
        uint64_t at = hash_u64(place) & (room - 1);
        while (drawn[at] != 0 && drawn[at] != place) {
            at = (at + 1) & (room - 1);
        }
        if (drawn[at] == 0) {
            drawn[at] = place;
            reply_bulk(call->reply, member);
            count--;
        }
    }
    heap_free(drawn);
}

static void
srandmember_count(struct call *call, const struct set *set, int64_t count)
{
    uint64_t size = set_count(set);
    if (count == 0 || size == 0) {
        reply_array(call->reply, 0);
    } else if (count < 0) {
        char digits[SET_DIGITS_SIZE];
        uint64_t draw_count = 0 - (uint64_t)count;
        reply_array(call->reply, draw_count);
        for (uint64_t i = 0; i < draw_count; i++) {
            reply_bulk(call->reply, set_random(set, &call->shard->random, digits));
        }
    } else if (set->encoding != ENCODING_HASHTABLE || (uint64_t)count >= size / WALK_PART_MIN) {
        srandmember_walk(call, set, MIN((uint64_t)count, size));
    } else {
        srandmember_draw(call, set, (uint64_t)count);
    }
}

static void
srandmember_run(struct call *call)
{
    struct view *view = call->views[0];
    int64_t count = 0;
    if (call->argc > 3) {
        call_syntax_error(call);
        return;
    }
    if (call->argc == 3 && !call_integer_in(call, 2, -INT64_MAX, INT64_MAX, &count, NULL)) {
        return;
    }
    if (!view_check_type(call, view, VALUE_SET)) {
        return;
    }
    struct set set = set_of_view(view);
    if (call->argc == 3) {
        srandmember_count(call, &set, count);
    } else if (view_exists(view)) {
        char digits[SET_DIGITS_SIZE];
        reply_bulk(call->reply, set_random(&set, &call->shard->random, digits));
    } else {
        reply_null(call->reply);
    }
}

/* ---- documentation ---- */

static const struct command_history spop_history[] = {{"3.2.0", "Takes `count`."}, {NULL, NULL}};
static const char *const spop_tips[] = {"nondeterministic_output", NULL};
static const struct command_argument spop_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "key"},
    {.kind = ARGUMENT_INTEGER, .name = "count", .since = "3.2.0", .is_optional = true},
    {0},
};
static const struct command_history srandmember_history[] = {{"2.6.0", "Takes `count`."},
                                                             {NULL, NULL}};
static const struct command_argument srandmember_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "key"},
    {.kind = ARGUMENT_INTEGER, .name = "count", .since = "2.6.0", .is_optional = true},
    {0},
};

static const struct command set_random_commands[] = {
    {.name = "spop",
     .run = spop_run,
     .flags = CMD_WRITE | CMD_FAST,
     .arity = -2,
     .key_specs = {KEYS_AT(1, KEY_RW | KEY_ACCESS | KEY_DELETE)},
     .key_spec_count = 1,
     .group = GROUP_SET,
     .since = "1.0.0",
     .complexity = "O(N) with N members to take out.",
     .summary = "Takes any members out of a set and answers them.",
     .history = spop_history,
     .tips = spop_tips,
     .arguments = spop_arguments},
    {.name = "srandmember",
     .run = srandmember_run,
     .flags = CMD_READONLY,
     .arity = -2,
     .key_specs = {KEYS_AT(1, KEY_RO | KEY_ACCESS)},
     .key_spec_count = 1,
     .group = GROUP_SET,
     .since = "1.0.0",
     .complexity = "O(N) with N members to answer.",
     .summary = "Answers any members of a set, which stay in it.",
     .history = srandmember_history,
     .tips = spop_tips,
     .arguments = srandmember_arguments},
};

const struct command_family set_random_family = {set_random_commands,
                                                 ARRAY_COUNT(set_random_commands)};
