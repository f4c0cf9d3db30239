/*
 * zset.c: members of one sorted set by name: ZADD ZINCRBY ZREM ZCARD ZSCORE ZMSCORE ZRANK ZREVRANK
 * ZSCAN.
 *
 * ZADD reads all scores before it looks at the key, so that a wrong one changes nothing. Without
 * conditions a put is all that an element needs; a condition looks the old score up first. What
 * an increment came to is told to the journal as a score.
 */
#include "shard/command/families.h"
#include "shard/command/scan_collection.h"
#include "shard/command/zset_internal.h"

#define ZADD_NX (1U << 0)
#define ZADD_XX (1U << 1)
#define ZADD_GT (1U << 2)
#define ZADD_LT (1U << 3)
#define ZADD_CH (1U << 4)
#define ZADD_INCR (1U << 5)
#define ZADD_CONDITIONS (ZADD_NX | ZADD_XX | ZADD_GT | ZADD_LT)

/** So many scores need no memory of their own. */
#define ZADD_FEW 8

struct zadd {
    uint32_t flags;
    uint32_t first; /* the first score's argument */
    uint32_t count; /* of pairs */
    double *scores;
    double few[ZADD_FEW];
};

enum zadd_outcome { ZADD_REFUSED, ZADD_UNCHANGED, ZADD_UPDATED, ZADD_NEW, ZADD_NOT_A_NUMBER };

static uint32_t
zadd_flag(struct slice word)
{
    static const struct {
        const char *word;
        uint32_t flag;
    } flags[] = {{"nx", ZADD_NX}, {"xx", ZADD_XX}, {"gt", ZADD_GT},
                 {"lt", ZADD_LT}, {"ch", ZADD_CH}, {"incr", ZADD_INCR}};
    for (uint32_t i = 0; i < ARRAY_COUNT(flags); i++) {
        if (slice_is_word(word, flags[i].word)) {
            return flags[i].flag;
        }
    }
    return 0;
}

/** Options and scores. Replies the error and returns false. */
static bool
zadd_read(struct call *call, struct zadd *zadd)
{
    zadd->first = 2;
    for (; zadd->first < call->argc; zadd->first++) {
        uint32_t flag = zadd_flag(call->argv[zadd->first]);
        if (flag == 0) {
            break;
        }
        zadd->flags |= flag;
    }
    uint32_t flags = zadd->flags;
    uint32_t rest = call->argc - zadd->first;
    if (rest == 0 || rest % 2 != 0) {
        call_syntax_error(call);
        return false;
    }
    zadd->count = rest / 2;
    if ((flags & ZADD_NX) != 0 && (flags & ZADD_XX) != 0) {
        reply_error(call->reply, "ERR XX and NX options at the same time are not compatible");
        return false;
    }
    uint32_t exclusive = flags & (ZADD_NX | ZADD_GT | ZADD_LT);
    if ((exclusive & (exclusive - 1)) != 0) {
        reply_error(call->reply,
                    "ERR GT, LT, and/or NX options at the same time are not compatible");
        return false;
    }
    if ((flags & ZADD_INCR) != 0 && zadd->count > 1) {
        reply_error(call->reply, "ERR INCR option supports a single increment-element pair");
        return false;
    }
    zadd->scores =
        zadd->count <= ZADD_FEW ? zadd->few : call_scratch(call, zadd->count * sizeof(double));
    for (uint32_t i = 0; i < zadd->count; i++) {
        if (!zset_score_read(call, zadd->first + 2 * i, &zadd->scores[i], NULL)) {
            return false;
        }
    }
    return true;
}

/** One element; *score becomes what it has then. */
static enum zadd_outcome
zadd_one(const struct zadd *zadd, struct zset *zset, const struct zset_limits *limits,
         struct slice member, double *score)
{
    static const enum zadd_outcome outcomes[] = {
        [ZTREE_ADDED] = ZADD_NEW, [ZTREE_MOVED] = ZADD_UPDATED, [ZTREE_SAME] = ZADD_UNCHANGED};
    uint32_t flags = zadd->flags;
    if ((flags & (ZADD_CONDITIONS | ZADD_INCR)) == 0) {
        return outcomes[zset_put(zset, limits, member, *score)];
    }
    double old;
    if (!zset_find(zset, member, &old)) {
        return (flags & ZADD_XX) != 0 ? ZADD_REFUSED
                                      : outcomes[zset_put(zset, limits, member, *score)];
    }
    if ((flags & ZADD_NX) != 0) {
        return ZADD_REFUSED;
    }
    if ((flags & ZADD_INCR) != 0) {
        *score += old;
        if (__builtin_isnan(*score)) {
            return ZADD_NOT_A_NUMBER;
        }
    }
    if (((flags & ZADD_LT) != 0 && *score >= old) || ((flags & ZADD_GT) != 0 && *score <= old)) {
        return ZADD_REFUSED;
    }
    return outcomes[zset_put(zset, limits, member, *score)];
}

/** INCR: replies the new score, or null. */
static void
zadd_increment(struct call *call, const struct zadd *zadd, struct view *view, struct zset *zset,
               const struct zset_limits *limits)
{
    struct slice member = call->argv[zadd->first + 1];
    double score = zadd->scores[0];
    enum zadd_outcome outcome = zadd_one(zadd, zset, limits, member, &score);
    if (outcome == ZADD_NOT_A_NUMBER) {
        reply_error(call->reply, "ERR resulting score is not a number (NaN)");
        return;
    }
    if (outcome == ZADD_REFUSED) {
        reply_null(call->reply);
        return;
    }
    reply_double(call->reply, score);
    if (outcome != ZADD_UNCHANGED) {
        zset_to_view(call, view, zset);
        char digits[NUMBER_DOUBLE_SIZE_MAX];
        struct slice effect[] = {SLICE("ZADD"), view->key,
                                 slice_of(digits, number_format_double(digits, score)), member};
        call_effect(call, view, effect, ARRAY_COUNT(effect));
        call_event(call, view, NOTIFY_ZSET, "zincr");
    }
}

static void
zadd_apply(struct call *call, const struct zadd *zadd)
{
    struct view *view = call->views[0];
    if (!view_check_type(call, view, VALUE_ZSET)) {
        return;
    }
    struct zset zset = zset_of_view(view);
    struct zset_limits limits = zset_limits_of(call);
    if ((zadd->flags & ZADD_INCR) != 0) {
        zadd_increment(call, zadd, view, &zset, &limits);
        return;
    }
    uint32_t new_count = 0;
    uint32_t updated_count = 0;
    for (uint32_t i = 0; i < zadd->count; i++) {
        double score = zadd->scores[i];
        struct slice member = call->argv[zadd->first + 2 * i + 1];
        enum zadd_outcome outcome = zadd_one(zadd, &zset, &limits, member, &score);
        new_count += outcome == ZADD_NEW;
        updated_count += outcome == ZADD_UPDATED;
    }
    if (new_count + updated_count > 0) {
        zset_to_view(call, view, &zset);
        call_effect_same(call, view);
        call_event(call, view, NOTIFY_ZSET, "zadd");
    }
    reply_i64(call->reply, new_count + ((zadd->flags & ZADD_CH) != 0 ? updated_count : 0));
}

static void
zadd_run(struct call *call)
{
    struct zadd zadd;
    zadd.flags = 0;
    if (zadd_read(call, &zadd)) {
        zadd_apply(call, &zadd);
    }
}

static void
zincrby_run(struct call *call)
{
    double increment;
    struct zadd zadd = {.flags = ZADD_INCR, .first = 2, .count = 1, .scores = &increment};
    if (zset_score_read(call, 2, &increment, NULL)) {
        zadd_apply(call, &zadd);
    }
}

static void
zrem_run(struct call *call)
{
    struct view *view = call->views[0];
    if (!view_check_type(call, view, VALUE_ZSET)) {
        return;
    }
    struct zset zset = zset_of_view(view);
    int64_t count = 0;
    for (uint32_t i = 2; i < call->argc; i++) {
        count += zset_remove(&zset, call->argv[i]);
    }
    if (count > 0) {
        zset_to_view(call, view, &zset);
        call_effect_same(call, view);
        call_event_removal(call, view, NOTIFY_ZSET, "zrem");
    }
    reply_i64(call->reply, count);
}

static void
zcard_run(struct call *call)
{
    struct view *view = call->views[0];
    if (view_check_type(call, view, VALUE_ZSET)) {
        struct zset zset = zset_of_view(view);
        reply_i64(call->reply, (int64_t)zset_count(&zset));
    }
}

static void
score_reply(struct call *call, const struct zset *zset, struct slice member)
{
    double score;
    if (zset_find(zset, member, &score)) {
        reply_double(call->reply, score);
    } else {
        reply_null(call->reply);
    }
}

static void
zscore_run(struct call *call)
{
    struct view *view = call->views[0];
    if (view_check_type(call, view, VALUE_ZSET)) {
        struct zset zset = zset_of_view(view);
        score_reply(call, &zset, call->argv[2]);
    }
}

static void
zmscore_run(struct call *call)
{
    struct view *view = call->views[0];
    if (!view_check_type(call, view, VALUE_ZSET)) {
        return;
    }
    struct zset zset = zset_of_view(view);
    reply_array(call->reply, call->argc - 2);
    for (uint32_t i = 2; i < call->argc; i++) {
        score_reply(call, &zset, call->argv[i]);
    }
}

static void
rank_run(struct call *call, bool is_reverse)
{
    if (call->argc > 4) {
        call_arity_error(call);
        return;
    }
    bool has_score = call->argc == 4;
    if (has_score && !slice_is_word(call->argv[3], "withscore")) {
        call_syntax_error(call);
        return;
    }
    struct view *view = call->views[0];
    if (!view_check_type(call, view, VALUE_ZSET)) {
        return;
    }
    struct zset zset = zset_of_view(view);
    uint64_t rank;
    double score;
    if (!zset_rank(&zset, call->argv[2], &rank, &score)) {
        if (has_score) {
            reply_null_array(call->reply);
        } else {
            reply_null(call->reply);
        }
        return;
    }
    if (has_score) {
        reply_array(call->reply, 2);
    }
    reply_i64(call->reply, (int64_t)(is_reverse ? zset_count(&zset) - 1 - rank : rank));
    if (has_score) {
        reply_double(call->reply, score);
    }
}

static void
zrank_run(struct call *call)
{
    rank_run(call, false);
}

static void
zrevrank_run(struct call *call)
{
    rank_run(call, true);
}

/* ---- ZSCAN ---- */

struct zscan {
    struct call *call;
    const struct scan_options *options;
    struct zset zset;
    bool is_counting;
    uint64_t counted;
    uint64_t replied;
};

static void
zscan_visit(void *context, struct ztree_item item)
{
    struct zscan *zscan = context;
    if (zscan->is_counting) {
        zscan->counted++;
        return;
    }
    if (!scan_passes(zscan->options, item.member)) {
        return;
    }
    char digits[NUMBER_DOUBLE_SIZE_MAX];
    reply_bulk(zscan->call->reply, item.member);
    reply_bulk(zscan->call->reply,
               slice_of(digits, zset_score_text(&zscan->zset, item.score, digits)));
    zscan->replied += 2;
}

static uint64_t
zscan_step(void *context, uint64_t position, bool is_counting)
{
    struct zscan *zscan = context;
    zscan->is_counting = is_counting;
    return zset_scan(&zscan->zset, position, zscan_visit, zscan);
}

static void
zscan_run(struct call *call)
{
    struct scan_options options;
    struct view *view = call->views[0];
    if (!scan_cursor_read(call, &options)) {
        return;
    }
    if (!view_exists(view)) {
        scan_empty_reply(call);
        return;
    }
    if (!view_check_type(call, view, VALUE_ZSET) || !scan_options_read(call, false, &options)) {
        return;
    }
    struct zscan zscan = {.call = call, .options = &options, .zset = zset_of_view(view)};
    scan_reply(call, &options, zscan.zset.encoding == ENCODING_LISTPACK, zscan_step, &zscan,
               &zscan.counted, &zscan.replied);
}

/* ---- documentation ---- */

static const struct command_argument zadd_arguments_condition[] = {
    {.kind = ARGUMENT_PURE_TOKEN, .name = "nx", .token = "NX"},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "xx", .token = "XX"},
    {0},
};
static const struct command_argument zadd_arguments_comparison[] = {
    {.kind = ARGUMENT_PURE_TOKEN, .name = "gt", .token = "GT"},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "lt", .token = "LT"},
    {0},
};
static const struct command_argument zadd_arguments_score_member[] = {
    {.kind = ARGUMENT_DOUBLE, .name = "score"},
    {.kind = ARGUMENT_STRING, .name = "member"},
    {0},
};
static const struct command_argument zadd_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "key"},
    {.kind = ARGUMENT_ONEOF,
     .name = "condition",
     .since = "3.0.2",
     .is_optional = true,
     .arguments = zadd_arguments_condition},
    {.kind = ARGUMENT_ONEOF,
     .name = "comparison",
     .since = "6.2.0",
     .is_optional = true,
     .arguments = zadd_arguments_comparison},
    {.kind = ARGUMENT_PURE_TOKEN,
     .name = "change",
     .token = "CH",
     .since = "3.0.2",
     .is_optional = true},
    {.kind = ARGUMENT_PURE_TOKEN,
     .name = "increment",
     .token = "INCR",
     .since = "3.0.2",
     .is_optional = true},
    {.kind = ARGUMENT_BLOCK,
     .name = "score_member",
     .is_multiple = true,
     .arguments = zadd_arguments_score_member},
    {0},
};
static const struct command_history zadd_history[] = {
    {"2.4.0", "Takes several members."},
    {"3.0.2", "Takes XX, NX, CH and INCR."},
    {"6.2.0", "Takes GT and LT."},
    {NULL, NULL},
};
static const struct command_argument zincrby_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "key"},
    {.kind = ARGUMENT_INTEGER, .name = "increment"},
    {.kind = ARGUMENT_STRING, .name = "member"},
    {0},
};
static const struct command_argument zrem_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "key"},
    {.kind = ARGUMENT_STRING, .name = "member", .is_multiple = true},
    {0},
};
static const struct command_history zrem_history[] = {
    {"2.4.0", "Takes several members."},
    {NULL, NULL},
};
static const struct command_argument zcard_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "key"},
    {0},
};
static const struct command_argument zscore_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "key"},
    {.kind = ARGUMENT_STRING, .name = "member"},
    {0},
};
static const struct command_argument zscan_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "key"},
    {.kind = ARGUMENT_INTEGER, .name = "cursor"},
    {.kind = ARGUMENT_PATTERN, .name = "pattern", .token = "MATCH", .is_optional = true},
    {.kind = ARGUMENT_INTEGER, .name = "count", .token = "COUNT", .is_optional = true},
    {0},
};
static const char *const zscan_tips[] = {"nondeterministic_output", NULL};

static const struct command_argument zrank_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "key"},
    {.kind = ARGUMENT_STRING, .name = "member"},
    {.kind = ARGUMENT_PURE_TOKEN,
     .name = "withscore",
     .token = "WITHSCORE",
     .since = "7.2.0",
     .is_optional = true},
    {0},
};
static const struct command_history zrank_history[] = {
    {"7.2.0", "Takes WITHSCORE."},
    {NULL, NULL},
};

static const struct command zset_commands[] = {
    {.name = "zadd",
     .run = zadd_run,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST,
     .arity = -4,
     .key_specs = {KEYS_AT(1, KEY_RW | KEY_UPDATE)},
     .key_spec_count = 1,
     .group = GROUP_SORTED_SET,
     .since = "1.2.0",
     .complexity = "O(log N) for each member, where N is the size of the sorted set.",
     .summary = "Adds members with their scores to a sorted set, or gives members other scores.",
     .history = zadd_history,
     .arguments = zadd_arguments},
    {.name = "zincrby",
     .run = zincrby_run,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST,
     .arity = 4,
     .key_specs = {KEYS_AT(1, KEY_RW | KEY_ACCESS | KEY_UPDATE)},
     .key_spec_count = 1,
     .group = GROUP_SORTED_SET,
     .since = "1.2.0",
     .complexity = "O(log N) where N is the size of the sorted set.",
     .summary = "Adds to the score of a member, which begins at 0 where it is new.",
     .arguments = zincrby_arguments},
    {.name = "zrem",
     .run = zrem_run,
     .flags = CMD_WRITE | CMD_FAST,
     .arity = -3,
     .key_specs = {KEYS_AT(1, KEY_RW | KEY_DELETE)},
     .key_spec_count = 1,
     .group = GROUP_SORTED_SET,
     .since = "1.2.0",
     .complexity = "O(log N) for each member removed, where N is the size of the sorted set.",
     .summary = "Removes members from a sorted set.",
     .history = zrem_history,
     .arguments = zrem_arguments},
    {.name = "zcard",
     .run = zcard_run,
     .flags = CMD_READONLY | CMD_FAST,
     .arity = 2,
     .key_specs = {KEYS_AT(1, KEY_RO)},
     .key_spec_count = 1,
     .group = GROUP_SORTED_SET,
     .since = "1.2.0",
     .complexity = "O(1)",
     .summary = "Counts the members of a sorted set.",
     .arguments = zcard_arguments},
    {.name = "zscore",
     .run = zscore_run,
     .flags = CMD_READONLY | CMD_FAST,
     .arity = 3,
     .key_specs = {KEYS_AT(1, KEY_RO | KEY_ACCESS)},
     .key_spec_count = 1,
     .group = GROUP_SORTED_SET,
     .since = "1.2.0",
     .complexity = "O(1)",
     .summary = "Answers the score of a member.",
     .arguments = zscore_arguments},
    {.name = "zmscore",
     .run = zmscore_run,
     .flags = CMD_READONLY | CMD_FAST,
     .arity = -3,
     .key_specs = {KEYS_AT(1, KEY_RO | KEY_ACCESS)},
     .key_spec_count = 1,
     .group = GROUP_SORTED_SET,
     .since = "6.2.0",
     .complexity = "O(M) where M is the number of members asked for.",
     .summary = "Answers the scores of several members.",
     .arguments = zrem_arguments},
    {.name = "zrank",
     .run = zrank_run,
     .flags = CMD_READONLY | CMD_FAST,
     .key_specs = {KEYS_AT(1, KEY_RO | KEY_ACCESS)},
     .key_spec_count = 1,
     .arity = -3,
     .group = GROUP_SORTED_SET,
     .since = "2.0.0",
     .complexity = "O(log N) where N is the size of the sorted set.",
     .summary = "Tells how many members come before one, from the lowest score on.",
     .history = zrank_history,
     .arguments = zrank_arguments},
    {.name = "zrevrank",
     .run = zrevrank_run,
     .flags = CMD_READONLY | CMD_FAST,
     .key_specs = {KEYS_AT(1, KEY_RO | KEY_ACCESS)},
     .key_spec_count = 1,
     .arity = -3,
     .group = GROUP_SORTED_SET,
     .since = "2.0.0",
     .complexity = "O(log N) where N is the size of the sorted set.",
     .summary = "Tells how many members come before one, from the highest score on.",
     .history = zrank_history,
     .arguments = zrank_arguments},
    {.name = "zscan",
     .run = zscan_run,
     .flags = CMD_READONLY,
     .arity = -3,
     .key_specs = {KEYS_AT(1, KEY_RO | KEY_ACCESS)},
     .key_spec_count = 1,
     .group = GROUP_SORTED_SET,
     .since = "2.8.0",
     .complexity = "O(1) for each call, O(N) for a whole walk over N members.",
     .summary = "Walks over members and scores, some at a call.",
     .tips = zscan_tips,
     .arguments = zscan_arguments},
};

const struct command_family zset_family = {zset_commands, ARRAY_COUNT(zset_commands)};
