/*
 * zset_pop.c: elements that the command chooses: ZPOPMIN ZPOPMAX ZMPOP, and ZRANDMEMBER by chance.
 *
 * Elements are replied from where they lie and removed afterwards, as one interval of ranks. The
 * journal is told which ones: ZREM.
 */
#include "core/hash.h"
#include "shard/command/families.h"
#include "shard/command/zset_internal.h"

/* ---- popping ---- */

void
zset_pop(struct call *call, struct view *view, bool is_max, uint64_t count, bool is_nested)
{
    struct zset zset = zset_of_view(view);
    count = MIN(count, zset_count(&zset));
    reply_array(call->reply, is_nested ? count : 2 * count);
    zset_pop_items(call, view, is_max, count, is_nested);
}

void
zset_pop_items(struct call *call, struct view *view, bool is_max, uint64_t count, bool is_nested)
{
    struct zset zset = zset_of_view(view);
    uint64_t size = zset_count(&zset);
    struct zset_effect effect;
    struct zset_walk walk;
    struct ztree_item item;
    zset_effect_start(&effect, call, view, SLICE("ZREM"));
    zset_walk_start(&walk, &zset, is_max ? size - 1 : 0, is_max);
    for (uint64_t i = 0; i < count; i++) {
        bool is_there = zset_next(&walk, &item);
        ASSERT(is_there);
        if (is_nested) {
            reply_array(call->reply, 2);
        }
        reply_bulk(call->reply, item.member);
        reply_double(call->reply, item.score);
        zset_effect_add(&effect, &item, false);
    }
    zset_effect_end(&effect);
    zset_remove_ranks(&zset, is_max ? size - count : 0, is_max ? size : count);
    zset_to_view(call, view, &zset);
    call_event_removal(call, view, NOTIFY_ZSET, is_max ? "zpopmax" : "zpopmin");
}

static void
pop_run(struct call *call, bool is_max)
{
    int64_t count = 1;
    if (call->argc > 3) {
        call_syntax_error(call);
        return;
    }
    if (call->argc == 3 && !call_integer_in(call, 2, 0, INT64_MAX, &count,
                                            "ERR value is out of range, must be positive")) {
        return;
    }
    struct view *view = call->views[0];
    if (!view_check_type(call, view, VALUE_ZSET)) {
        return;
    }
    if (!view_exists(view) || count == 0) {
        reply_array(call->reply, 0);
        return;
    }
    zset_pop(call, view, is_max, (uint64_t)count, call->argc == 3 && call->reply->protocol > 2);
}

static void
zpopmin_run(struct call *call)
{
    pop_run(call, false);
}

static void
zpopmax_run(struct call *call)
{
    pop_run(call, true);
}

bool
zmpop_read(struct call *call, uint32_t index, struct zmpop *zmpop)
{
    int64_t key_count;
    if (!call_integer_in(call, index, 1, INT64_MAX, &key_count,
                         "ERR numkeys should be greater than 0")) {
        return false;
    }
    if (key_count >= (int64_t)call->argc - index - 1) {
        call_syntax_error(call);
        return false;
    }
    uint32_t at = index + 1 + (uint32_t)key_count;
    zmpop->is_max = slice_is_word(call->argv[at], "max");
    if (!zmpop->is_max && !slice_is_word(call->argv[at], "min")) {
        call_syntax_error(call);
        return false;
    }
    zmpop->count = 1;
    at++;
    if (at == call->argc) {
        return true;
    }
    if (at + 2 > call->argc || !slice_is_word(call->argv[at], "count")) {
        call_syntax_error(call);
        return false;
    }
    if (!call_integer_in(call, at + 1, 1, INT64_MAX, &zmpop->count,
                         "ERR count should be greater than 0")) {
        return false;
    }
    if (at + 2 < call->argc) {
        call_syntax_error(call);
        return false;
    }
    return true;
}

static bool
zmpop_check(struct call *call)
{
    struct zmpop zmpop;
    return zmpop_read(call, 1, &zmpop);
}

bool
zmpop(struct call *call, const struct zmpop *zmpop)
{
    for (uint32_t i = 0; i < call->view_count; i++) {
        struct view *view = call->views[i];
        if (!view_check_type(call, view, VALUE_ZSET)) {
            return true;
        }
        if (view_exists(view)) {
            reply_array(call->reply, 2);
            reply_bulk(call->reply, view->key);
            zset_pop(call, view, zmpop->is_max, (uint64_t)zmpop->count, true);
            return true;
        }
    }
    return false;
}

static void
zmpop_run(struct call *call)
{
    struct zmpop options;
    if (zmpop_read(call, 1, &options) && !zmpop(call, &options)) {
        reply_null_array(call->reply);
    }
}

/* ---- ZRANDMEMBER ---- */

/** From this part of the set on, a walk costs less than drawing. */
#define WALK_PART_MIN 3

static struct ztree_item
item_at(const struct zset *zset, struct zset_walk *walk, uint64_t rank)
{
    struct ztree_item item;
    zset_walk_start(walk, zset, rank, false);
    bool is_there = zset_next(walk, &item);
    ASSERT(is_there);
    return item;
}

static void
random_reply(struct call *call, const struct zset *zset, bool has_scores)
{
    struct zset_walk walk;
    uint64_t rank = random_below(&call->shard->random, zset_count(zset));
    struct ztree_item item = item_at(zset, &walk, rank);
    zset_item_reply(call, &item, has_scores);
}

/** On one walk, each element with the chance that leaves the right number. */
static void
random_walk(struct call *call, const struct zset *zset, uint64_t count, bool has_scores)
{
    struct zset_walk walk;
    struct ztree_item item;
    uint64_t rest = zset_count(zset);
    zset_walk_start(&walk, zset, 0, false);
    for (; count > 0 && zset_next(&walk, &item); rest--) {
        if (random_below(&call->shard->random, rest) < count) {
            zset_item_reply(call, &item, has_scores);
            count--;
        }
    }
}

/** Ranks drawn one by one, and again where one came up before; a small part of the set. */
static void
random_draw(struct call *call, const struct zset *zset, uint64_t count, bool has_scores)
{
    uint64_t size = zset_count(zset);
    uint64_t slot_count = 4;
    while (slot_count < 2 * count) {
        slot_count *= 2;
    }
    /* An open table of ranks plus one; at most half full. */
    uint64_t *slots = call_scratch(call, slot_count * sizeof(*slots));
    memset(slots, 0, slot_count * sizeof(*slots));
    while (count > 0) {
        uint64_t rank = random_below(&call->shard->random, size);
        uint64_t slot = hash_u64(rank) & (slot_count - 1);
        while (slots[slot] != 0 && slots[slot] != rank + 1) {
            slot = (slot + 1) & (slot_count - 1);
        }
        if (slots[slot] == 0) {
            slots[slot] = rank + 1;
            struct zset_walk walk;
            struct ztree_item item = item_at(zset, &walk, rank);
            zset_item_reply(call, &item, has_scores);
            count--;
        }
    }
}

/** The count and WITHSCORES. Replies the error and returns false. */
static bool
zrandmember_read(struct call *call, int64_t *count, bool *has_scores)
{
    if (!call_integer_in(call, 2, -INT64_MAX, INT64_MAX, count, NULL)) {
        return false;
    }
    *has_scores = call->argc == 4;
    if (call->argc > 4 || (*has_scores && !slice_is_word(call->argv[3], "withscores"))) {
        call_syntax_error(call);
        return false;
    }
    if (*has_scores && (*count < -INT64_MAX / 2 || *count > INT64_MAX / 2)) {
        reply_error(call->reply, "ERR value is out of range");
        return false;
    }
    return true;
}

static void
zrandmember_run(struct call *call)
{
    struct view *view = call->views[0];
    int64_t count = 0;
    bool has_scores = false;
    bool has_count = call->argc > 2;
    if ((has_count && !zrandmember_read(call, &count, &has_scores)) ||
        !view_check_type(call, view, VALUE_ZSET)) {
        return;
    }
    struct zset zset = zset_of_view(view);
    if (!has_count) {
        if (view_exists(view)) {
            random_reply(call, &zset, false);
        } else {
            reply_null(call->reply);
        }
        return;
    }
    if (!view_exists(view) || count == 0) {
        reply_array(call->reply, 0);
        return;
    }
    if (count < 0) {
        zset_array_reply(call, (uint64_t)-count, has_scores);
        for (; count < 0; count++) {
            random_reply(call, &zset, has_scores);
        }
        return;
    }
    uint64_t wanted = MIN((uint64_t)count, zset_count(&zset));
    zset_array_reply(call, wanted, has_scores);
    if (wanted * WALK_PART_MIN > zset_count(&zset)) {
        random_walk(call, &zset, wanted, has_scores);
    } else {
        random_draw(call, &zset, wanted, has_scores);
    }
}

/* ---- documentation ---- */

static const struct command_argument zpopmin_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "key"},
    {.kind = ARGUMENT_INTEGER, .name = "count", .is_optional = true},
    {0},
};
static const struct command_argument zmpop_arguments_where[] = {
    {.kind = ARGUMENT_PURE_TOKEN, .name = "min", .token = "MIN"},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "max", .token = "MAX"},
    {0},
};
static const struct command_argument zmpop_arguments[] = {
    {.kind = ARGUMENT_INTEGER, .name = "numkeys"},
    {.kind = ARGUMENT_KEY, .name = "key", .is_multiple = true},
    {.kind = ARGUMENT_ONEOF, .name = "where", .arguments = zmpop_arguments_where},
    {.kind = ARGUMENT_INTEGER, .name = "count", .token = "COUNT", .is_optional = true},
    {0},
};
static const struct command_argument zrandmember_arguments_options[] = {
    {.kind = ARGUMENT_INTEGER, .name = "count"},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "withscores", .token = "WITHSCORES", .is_optional = true},
    {0},
};
static const struct command_argument zrandmember_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "key"},
    {.kind = ARGUMENT_BLOCK,
     .name = "options",
     .is_optional = true,
     .arguments = zrandmember_arguments_options},
    {0},
};
static const char *const zrandmember_tips[] = {"nondeterministic_output", NULL};

static const struct command zset_pop_commands[] = {
    {.name = "zpopmin",
     .run = zpopmin_run,
     .flags = CMD_WRITE | CMD_FAST,
     .arity = -2,
     .key_specs = {KEYS_AT(1, KEY_RW | KEY_ACCESS | KEY_DELETE)},
     .key_spec_count = 1,
     .group = GROUP_SORTED_SET,
     .since = "5.0.0",
     .complexity = "O(M) where M members are taken out.",
     .summary = "Takes the members with the lowest scores out of a sorted set.",
     .arguments = zpopmin_arguments},
    {.name = "zpopmax",
     .run = zpopmax_run,
     .flags = CMD_WRITE | CMD_FAST,
     .arity = -2,
     .key_specs = {KEYS_AT(1, KEY_RW | KEY_ACCESS | KEY_DELETE)},
     .key_spec_count = 1,
     .group = GROUP_SORTED_SET,
     .since = "5.0.0",
     .complexity = "O(M) where M members are taken out.",
     .summary = "Takes the members with the highest scores out of a sorted set.",
     .arguments = zpopmin_arguments},
    {.name = "zmpop",
     .run = zmpop_run,
     .flags = CMD_WRITE | CMD_MOVABLE_KEYS,
     .arity = -4,
     .key_specs = {{.flags = KEY_RW | KEY_ACCESS | KEY_DELETE,
                    .begin = KEYS_BEGIN_INDEX,
                    .begin_index = 1,
                    .find = KEYS_FIND_KEYNUM,
                    .keynum_index = 0,
                    .keynum_first = 1,
                    .step = 1}},
     .key_spec_count = 1,
     .check = zmpop_check,
     .group = GROUP_SORTED_SET,
     .since = "7.0.0",
     .complexity = "O(K + M) where K is the number of keys and M members are taken out.",
     .summary = "Takes members from one end of the first sorted set that has any.",
     .arguments = zmpop_arguments},
    {.name = "zrandmember",
     .run = zrandmember_run,
     .flags = CMD_READONLY,
     .arity = -2,
     .key_specs = {KEYS_AT(1, KEY_RO | KEY_ACCESS)},
     .key_spec_count = 1,
     .group = GROUP_SORTED_SET,
     .since = "6.2.0",
     .complexity = "O(M) where M is the number of members answered.",
     .summary = "Answers random members of a sorted set.",
     .tips = zrandmember_tips,
     .arguments = zrandmember_arguments},
};

const struct command_family zset_pop_family = {zset_pop_commands, ARRAY_COUNT(zset_pop_commands)};
