/*
 * hash_expire.c: when fields die: HEXPIRE and its kin set their deadlines, HTTL and its kin tell
 * them, HPERSIST takes them away.
 *
 * As with keys (key_expire.c) the effect is absolute: HPEXPIREAT of the fields that got the
 * deadline, or HDEL of those that have gone, as it had passed already.
 */
#include "shard/command/families.h"
#include "shard/command/hash_internal.h"

#define CONDITION_NX (1u << 0)
#define CONDITION_XX (1u << 1)
#define CONDITION_GT (1u << 2)
#define CONDITION_LT (1u << 3)

/* What is replied for each field. */
#define FIELD_ABSENT (-2)
#define FIELD_TIMELESS (-1)
#define FIELD_UNCHANGED 0
#define FIELD_CHANGED 1
#define FIELD_GONE 2

/* ---- HEXPIRE ---- */

/** The conditions, argv[3] up to the word FIELDS at `end`. Replies the error and returns false. */
static bool
conditions_parse(struct call *call, uint32_t end, uint32_t *conditions)
{
    static const char *const words[] = {"nx", "xx", "gt", "lt"};
    *conditions = 0;
    for (uint32_t i = 3; i < end; i++) {
        uint32_t word = 0;
        while (word < ARRAY_COUNT(words) && !slice_is_word(call->argv[i], words[word])) {
            word++;
        }
        if (word == ARRAY_COUNT(words)) {
            /* As a C string: what follows a zero byte is not shown. */
            size_t size = strnlen(call->argv[i].data, call->argv[i].size);
            reply_error_format(call->reply, "ERR Unsupported option %.*s",
                               (int)MIN(size, INT32_MAX), call->argv[i].data);
            return false;
        }
        *conditions |= UINT32_C(1) << word;
    }
    if ((*conditions & CONDITION_NX) != 0 && (*conditions & ~CONDITION_NX) != 0) {
        reply_error(call->reply,
                    "ERR NX and XX, GT or LT options at the same time are not compatible");
        return false;
    }
    if ((*conditions & CONDITION_GT) != 0 && (*conditions & CONDITION_LT) != 0) {
        reply_error(call->reply, "ERR GT and LT options at the same time are not compatible");
        return false;
    }
    return true;
}

/** No deadline counts as one that never comes: as an unsigned number it is the greatest. */
static bool
conditions_hold(uint32_t conditions, int64_t old_ms, int64_t new_ms)
{
    bool has_old = old_ms != HASH_NO_DEADLINE;
    return ((conditions & CONDITION_NX) == 0 || !has_old) &&
           ((conditions & CONDITION_XX) == 0 || has_old) &&
           ((conditions & CONDITION_GT) == 0 || (uint64_t)new_ms > (uint64_t)old_ms) &&
           ((conditions & CONDITION_LT) == 0 || (uint64_t)new_ms < (uint64_t)old_ms);
}

/** What a command gives its fields. */
struct field_deadline {
    int64_t deadline_ms;
    uint32_t conditions;
    bool is_past;
};

static int64_t
field_expire(const struct call *call, struct hash *hash, struct slice field,
             const struct field_deadline *want)
{
    struct hash_pair pair;
    if (!hash_find(hash, field, &pair)) {
        return FIELD_ABSENT;
    }
    if (!conditions_hold(want->conditions, pair.deadline_ms, want->deadline_ms)) {
        return FIELD_UNCHANGED;
    }
    if (want->is_past) {
        hash_remove(hash, field);
        return FIELD_GONE;
    }
    struct hash_limits limits = hash_limits_of(call);
    hash_deadline_set(hash, &limits, field, want->deadline_ms);
    return FIELD_CHANGED;
}

static struct hash_effect
expire_effect(struct call *call, struct view *view, const struct field_deadline *want)
{
    if (want->is_past) {
        return hash_effect_new(call, view, SLICE("HDEL"), call->argc);
    }
    struct hash_effect effect = hash_effect_new(call, view, SLICE("HPEXPIREAT"), call->argc);
    hash_effect_add_number(call, &effect, want->deadline_ms);
    hash_effect_add_fields(&effect);
    return effect;
}

static void
expire_run(struct call *call, int64_t unit_ms, bool is_relative)
{
    struct view *view = call->views[0];
    struct field_deadline want;
    uint32_t fields = hash_fields_find(call, 3);
    if (!conditions_parse(call, fields < call->argc ? fields : 3, &want.conditions) ||
        !hash_fields_parse(call, fields + 1, 1, NULL) ||
        !hash_deadline_parse(call, 2, unit_ms, is_relative, &want.deadline_ms) ||
        !view_check_type(call, view, VALUE_HASH)) {
        return;
    }
    want.is_past = want.deadline_ms <= call->now_ms;
    uint32_t first = fields + 2;
    struct hash hash = hash_to_write(call, view, first, 1);
    struct hash_effect effect = expire_effect(call, view, &want);
    reply_array(call->reply, call->argc - first);
    for (uint32_t i = first; i < call->argc; i++) {
        int64_t result = field_expire(call, &hash, call->argv[i], &want);
        reply_i64(call->reply, result);
        if (result > FIELD_UNCHANGED) {
            hash_effect_add_field(&effect, call->argv[i]);
        }
    }
    if (effect.field_count == 0) {
        return;
    }
    hash_to_view(call, view, &hash);
    hash_effect_say(call, view, &effect);
    if (want.is_past) {
        call->shard->counters.expired_field_count += effect.field_count;
        hash_removed_event(call, view, "hexpired");
    } else {
        call_event(call, view, NOTIFY_HASH, "hexpire");
    }
}

static void
hexpire_run(struct call *call)
{
    expire_run(call, 1000, true);
}

static void
hpexpire_run(struct call *call)
{
    expire_run(call, 1, true);
}

static void
hexpireat_run(struct call *call)
{
    expire_run(call, 1000, false);
}

static void
hpexpireat_run(struct call *call)
{
    expire_run(call, 1, false);
}

/* ---- HTTL ---- */

/** To the nearest second, without overflow. */
static int64_t
seconds_of(int64_t duration_ms)
{
    return duration_ms / 1000 + (duration_ms % 1000 >= 500);
}

static void
ttl_run(struct call *call, bool is_seconds, bool is_relative)
{
    struct view *view = call->views[0];
    if (!slice_is_word(call->argv[2], "fields")) {
        call_syntax_error(call);
        return;
    }
    if (!hash_fields_parse(call, 3, 1, "ERR syntax error") ||
        !view_check_type(call, view, VALUE_HASH)) {
        return;
    }
    struct hash hash = hash_of_view(call, view);
    reply_array(call->reply, call->argc - 4);
    for (uint32_t i = 4; i < call->argc; i++) {
        struct hash_pair pair;
        if (!hash_find(&hash, call->argv[i], &pair)) {
            reply_i64(call->reply, FIELD_ABSENT);
        } else if (pair.deadline_ms == HASH_NO_DEADLINE) {
            reply_i64(call->reply, FIELD_TIMELESS);
        } else {
            int64_t time_ms = pair.deadline_ms - (is_relative ? call->now_ms : 0);
            reply_i64(call->reply, is_seconds ? seconds_of(time_ms) : time_ms);
        }
    }
}

static void
httl_run(struct call *call)
{
    ttl_run(call, true, true);
}

static void
hpttl_run(struct call *call)
{
    ttl_run(call, false, true);
}

static void
hexpiretime_run(struct call *call)
{
    ttl_run(call, true, false);
}

static void
hpexpiretime_run(struct call *call)
{
    ttl_run(call, false, false);
}

/* ---- HPERSIST ---- */

static void
hpersist_run(struct call *call)
{
    struct view *view = call->views[0];
    if (!slice_is_word(call->argv[2], "fields")) {
        call_syntax_error(call);
        return;
    }
    if (!hash_fields_parse(call, 3, 1, NULL) || !view_check_type(call, view, VALUE_HASH)) {
        return;
    }
    struct hash hash = hash_to_write(call, view, 4, 1);
    struct hash_limits limits = hash_limits_of(call);
    struct hash_effect effect = hash_effect_new(call, view, SLICE("HPERSIST"), call->argc);
    hash_effect_add_fields(&effect);
    reply_array(call->reply, call->argc - 4);
    for (uint32_t i = 4; i < call->argc; i++) {
        struct hash_pair pair;
        if (!hash_find(&hash, call->argv[i], &pair)) {
            reply_i64(call->reply, FIELD_ABSENT);
        } else if (pair.deadline_ms == HASH_NO_DEADLINE) {
            reply_i64(call->reply, FIELD_TIMELESS);
        } else {
            hash_deadline_set(&hash, &limits, call->argv[i], HASH_NO_DEADLINE);
            hash_effect_add_field(&effect, call->argv[i]);
            reply_i64(call->reply, FIELD_CHANGED);
        }
    }
    if (effect.field_count > 0) {
        hash_to_view(call, view, &hash);
        hash_effect_say(call, view, &effect);
        call_event(call, view, NOTIFY_HASH, "hpersist");
    }
}

/* ---- documentation ---- */

static const struct command_argument fields_arguments[] = {
    {.kind = ARGUMENT_INTEGER, .name = "numfields"},
    {.kind = ARGUMENT_STRING, .name = "field", .is_multiple = true},
    {0},
};
static const struct command_argument condition_arguments[] = {
    {.kind = ARGUMENT_PURE_TOKEN, .name = "nx", .token = "NX"},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "xx", .token = "XX"},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "gt", .token = "GT"},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "lt", .token = "LT"},
    {0},
};
static const struct command_argument key_fields_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "key"},
    {.kind = ARGUMENT_BLOCK, .name = "fields", .token = "FIELDS", .arguments = fields_arguments},
    {0},
};
#define EXPIRE_ARGUMENTS(amount_kind, amount_name)                                                 \
    {                                                                                              \
        {.kind = ARGUMENT_KEY, .name = "key"}, {.kind = (amount_kind), .name = (amount_name)},     \
            {.kind = ARGUMENT_ONEOF,                                                               \
             .name = "condition",                                                                  \
             .is_optional = true,                                                                  \
             .arguments = condition_arguments},                                                    \
            {.kind = ARGUMENT_BLOCK,                                                               \
             .name = "fields",                                                                     \
             .token = "FIELDS",                                                                    \
             .arguments = fields_arguments},                                                       \
        {                                                                                          \
            0                                                                                      \
        }                                                                                          \
    }
static const struct command_argument hexpire_arguments[] =
    EXPIRE_ARGUMENTS(ARGUMENT_INTEGER, "seconds");
static const struct command_argument hpexpire_arguments[] =
    EXPIRE_ARGUMENTS(ARGUMENT_INTEGER, "milliseconds");
static const struct command_argument hexpireat_arguments[] =
    EXPIRE_ARGUMENTS(ARGUMENT_UNIX_TIME, "unix-time-seconds");
static const struct command_argument hpexpireat_arguments[] =
    EXPIRE_ARGUMENTS(ARGUMENT_UNIX_TIME, "unix-time-milliseconds");

/** What all these commands have in common. */
#define FIELDS_COMMAND(key_flags)                                                                  \
    .key_specs = {KEYS_AT(1, key_flags)}, .key_spec_count = 1, .group = GROUP_HASH,                \
    .since = "9.0.0", .complexity = "O(N) with N fields."

static const struct command hash_expire_commands[] = {
    {.name = "hexpire",
     .run = hexpire_run,
     .flags = CMD_WRITE | CMD_FAST,
     .arity = -6,
     FIELDS_COMMAND(KEY_RW | KEY_UPDATE),
     .summary = "Lets fields of a hash die after so many seconds.",
     .arguments = hexpire_arguments},
    {.name = "hpexpire",
     .run = hpexpire_run,
     .flags = CMD_WRITE | CMD_FAST,
     .arity = -6,
     FIELDS_COMMAND(KEY_RW | KEY_UPDATE),
     .summary = "Lets fields of a hash die after so many milliseconds.",
     .arguments = hpexpire_arguments},
    {.name = "hexpireat",
     .run = hexpireat_run,
     .flags = CMD_WRITE | CMD_FAST,
     .arity = -6,
     FIELDS_COMMAND(KEY_RW | KEY_UPDATE),
     .summary = "Lets fields of a hash die at a time in seconds since 1970.",
     .arguments = hexpireat_arguments},
    {.name = "hpexpireat",
     .run = hpexpireat_run,
     .flags = CMD_WRITE | CMD_FAST,
     .arity = -6,
     FIELDS_COMMAND(KEY_RW | KEY_UPDATE),
     .summary = "Lets fields of a hash die at a time in milliseconds since 1970.",
     .arguments = hpexpireat_arguments},
    {.name = "httl",
     .run = httl_run,
     .flags = CMD_READONLY | CMD_FAST,
     .arity = -5,
     FIELDS_COMMAND(KEY_RO | KEY_ACCESS),
     .summary = "Tells how many seconds fields of a hash still have.",
     .arguments = key_fields_arguments},
    {.name = "hpttl",
     .run = hpttl_run,
     .flags = CMD_READONLY | CMD_FAST,
     .arity = -5,
     FIELDS_COMMAND(KEY_RO | KEY_ACCESS),
     .summary = "Tells how many milliseconds fields of a hash still have.",
     .arguments = key_fields_arguments},
    {.name = "hexpiretime",
     .run = hexpiretime_run,
     .flags = CMD_READONLY | CMD_FAST,
     .arity = -5,
     FIELDS_COMMAND(KEY_RO | KEY_ACCESS),
     .summary = "Tells when fields of a hash die, in seconds since 1970.",
     .arguments = key_fields_arguments},
    {.name = "hpexpiretime",
     .run = hpexpiretime_run,
     .flags = CMD_READONLY | CMD_FAST,
     .arity = -5,
     FIELDS_COMMAND(KEY_RO | KEY_ACCESS),
     .summary = "Tells when fields of a hash die, in milliseconds since 1970.",
     .arguments = key_fields_arguments},
    {.name = "hpersist",
     .run = hpersist_run,
     .flags = CMD_WRITE | CMD_FAST,
     .arity = -5,
     FIELDS_COMMAND(KEY_RW | KEY_UPDATE),
     .summary = "Takes the deadlines of fields of a hash away.",
     .arguments = key_fields_arguments},
};

const struct command_family hash_expire_family = {hash_expire_commands,
                                                  ARRAY_COUNT(hash_expire_commands)};
