/*
 * key_expire.c: when keys die: EXPIRE and its kin set a deadline, TTL and its kin tell it, PERSIST
 * takes it away.
 *
 * Eight commands are two ideas with two switches each: seconds or milliseconds, from now or since
 * 1970. The effect is always absolute (PEXPIREAT), so that replaying it later means the same
 * instant; a deadline that has passed already deletes the key here and now, and its effect is DEL.
 */
#include "shard/call.h"
#include "shard/command/families.h"
#include "shard/notify.h"

#define CONDITION_NX (1u << 0)
#define CONDITION_XX (1u << 1)
#define CONDITION_GT (1u << 2)
#define CONDITION_LT (1u << 3)

/* Replies the error and returns false. */
static bool
conditions_parse(struct call *call, uint32_t *conditions)
{
    static const char *const words[] = {"nx", "xx", "gt", "lt"};
    *conditions = 0;
    for (uint32_t i = 3; i < call->argc; i++) {
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

/* No deadline counts as one that never comes. */
static bool
conditions_hold(uint32_t conditions, int64_t old_ms, int64_t new_ms)
{
    bool has_old = old_ms != VIEW_NO_DEADLINE;
    if ((conditions & CONDITION_NX) != 0 && has_old) {
        return false;
    }
    if ((conditions & CONDITION_XX) != 0 && !has_old) {
        return false;
    }
    if ((conditions & CONDITION_GT) != 0 && (!has_old || new_ms <= old_ms)) {
        return false;
    }
    return (conditions & CONDITION_LT) == 0 || !has_old || new_ms < old_ms;
}

static bool
deadline_parse(struct call *call, int64_t unit_ms, int64_t base_ms, int64_t *deadline_ms)
{
    int64_t amount;
    if (!call_integer(call, 2, &amount, NULL)) {
        return false;
    }
    if (__builtin_mul_overflow(amount, unit_ms, &amount) ||
        __builtin_add_overflow(amount, base_ms, deadline_ms)) {
        reply_error_format(call->reply, "ERR invalid expire time in '%s' command",
                           call->command->name);
        return false;
    }
    return true;
}

static void
expire_run(struct call *call, int64_t unit_ms, int64_t base_ms)
{
    uint32_t conditions;
    int64_t deadline_ms;
    if (!conditions_parse(call, &conditions) ||
        !deadline_parse(call, unit_ms, base_ms, &deadline_ms)) {
        return;
    }
    struct view *view = call->views[0];
    if (!view_exists(view) || !conditions_hold(conditions, view->deadline_ms, deadline_ms)) {
        reply_i64(call->reply, 0);
        return;
    }
    if (deadline_ms <= call->now_ms) {
        view_delete(call, view);
        call_effect_delete(call, view);
        call_event(call, view, NOTIFY_GENERIC, "del");
    } else {
        view_deadline_set(call, view, deadline_ms);
        call_effect_deadline(call, view);
        call_event(call, view, NOTIFY_GENERIC, "expire");
    }
    reply_i64(call->reply, 1);
}

static void
key_expire(struct call *call)
{
    expire_run(call, 1000, call->now_ms);
}

static void
key_pexpire(struct call *call)
{
    expire_run(call, 1, call->now_ms);
}

static void
key_expireat(struct call *call)
{
    expire_run(call, 1000, 0);
}

static void
key_pexpireat(struct call *call)
{
    expire_run(call, 1, 0);
}

/* Replies -2 and -1 for an absent key and one without a deadline, and returns false. */
static bool
deadline_read(struct call *call, int64_t *deadline_ms)
{
    const struct view *view = call->views[0];
    if (!view_exists(view)) {
        reply_i64(call->reply, -2);
        return false;
    }
    if (view->deadline_ms == VIEW_NO_DEADLINE) {
        reply_i64(call->reply, -1);
        return false;
    }
    *deadline_ms = view->deadline_ms;
    return true;
}

/* To the nearest second, without overflow. */
static int64_t
seconds_of(int64_t duration_ms)
{
    return duration_ms / 1000 + (duration_ms % 1000 >= 500);
}

static void
key_ttl(struct call *call)
{
    int64_t deadline_ms;
    if (deadline_read(call, &deadline_ms)) {
        reply_i64(call->reply, seconds_of(MAX(deadline_ms - call->now_ms, 0)));
    }
}

static void
key_pttl(struct call *call)
{
    int64_t deadline_ms;
    if (deadline_read(call, &deadline_ms)) {
        reply_i64(call->reply, MAX(deadline_ms - call->now_ms, 0));
    }
}

static void
key_expiretime(struct call *call)
{
    int64_t deadline_ms;
    if (deadline_read(call, &deadline_ms)) {
        reply_i64(call->reply, seconds_of(deadline_ms));
    }
}

static void
key_pexpiretime(struct call *call)
{
    int64_t deadline_ms;
    if (deadline_read(call, &deadline_ms)) {
        reply_i64(call->reply, deadline_ms);
    }
}

static void
key_persist(struct call *call)
{
    struct view *view = call->views[0];
    if (!view_exists(view) || view->deadline_ms == VIEW_NO_DEADLINE) {
        reply_i64(call->reply, 0);
        return;
    }
    view_deadline_set(call, view, VIEW_NO_DEADLINE);
    call_effect_deadline(call, view);
    call_event(call, view, NOTIFY_GENERIC, "persist");
    reply_i64(call->reply, 1);
}

static const struct command_argument condition_arguments[] = {
    {.kind = ARGUMENT_PURE_TOKEN, .name = "nx", .token = "NX"},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "xx", .token = "XX"},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "gt", .token = "GT"},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "lt", .token = "LT"},
    {.kind = ARGUMENT_END},
};
#define EXPIRE_ARGUMENTS(kind_, name_)                                                             \
    {                                                                                              \
        {.kind = ARGUMENT_KEY, .name = "key"}, {.kind = (kind_), .name = (name_)},                 \
            {.kind = ARGUMENT_ONEOF,                                                               \
             .name = "condition",                                                                  \
             .since = "7.0.0",                                                                     \
             .is_optional = true,                                                                  \
             .arguments = condition_arguments},                                                    \
        {                                                                                          \
            .kind = ARGUMENT_END                                                                   \
        }                                                                                          \
    }
static const struct command_argument expire_arguments[] =
    EXPIRE_ARGUMENTS(ARGUMENT_INTEGER, "seconds");
static const struct command_argument pexpire_arguments[] =
    EXPIRE_ARGUMENTS(ARGUMENT_INTEGER, "milliseconds");
static const struct command_argument expireat_arguments[] =
    EXPIRE_ARGUMENTS(ARGUMENT_UNIX_TIME, "unix-time-seconds");
static const struct command_argument pexpireat_arguments[] =
    EXPIRE_ARGUMENTS(ARGUMENT_UNIX_TIME, "unix-time-milliseconds");
static const struct command_argument one_key_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "key"},
    {.kind = ARGUMENT_END},
};
static const struct command_history expire_history[] = {
    {"7.0.0", "Takes `NX`, `XX`, `GT` and `LT`."},
    {NULL, NULL},
};
static const struct command_history ttl_history[] = {
    {"2.8.0", "Replies -2 where there is no such key."},
    {NULL, NULL},
};
static const char *const ttl_tips[] = {"nondeterministic_output", NULL};

#define EXPIRE_ROW(name_, since_, summary_)                                                        \
    .name = #name_, .run = key_##name_, .flags = CMD_WRITE | CMD_FAST, .arity = -3,                \
    .scope = SCOPE_KEYS, .key_specs = {KEYS_AT(1, KEY_RW | KEY_UPDATE)}, .key_spec_count = 1,      \
    .group = GROUP_GENERIC, .categories = ACL_KEYSPACE, .since = since_, .complexity = "O(1)",     \
    .summary = summary_, .history = expire_history, .arguments = name_##_arguments
#define TTL_ROW(name_, since_, summary_)                                                           \
    .name = #name_, .run = key_##name_, .flags = CMD_READONLY | CMD_FAST | CMD_NO_TOUCH,           \
    .arity = 2, .scope = SCOPE_KEYS, .key_specs = {KEYS_AT(1, KEY_RO | KEY_ACCESS)},               \
    .key_spec_count = 1, .group = GROUP_GENERIC, .categories = ACL_KEYSPACE, .since = since_,      \
    .complexity = "O(1)", .summary = summary_, .arguments = one_key_arguments

static const struct command key_expire_commands[] = {
    {EXPIRE_ROW(expire, "1.0.0", "Lets a key live for so many more seconds.")},
    {EXPIRE_ROW(pexpire, "2.6.0", "Lets a key live for so many more milliseconds.")},
    {EXPIRE_ROW(expireat, "1.2.0", "Lets a key live until a Unix time in seconds.")},
    {EXPIRE_ROW(pexpireat, "2.6.0", "Lets a key live until a Unix time in milliseconds.")},
    {TTL_ROW(ttl, "1.0.0", "Tells how many seconds a key has left to live."),
     .history = ttl_history, .tips = ttl_tips},
    {TTL_ROW(pttl, "2.6.0", "Tells how many milliseconds a key has left to live."),
     .history = ttl_history, .tips = ttl_tips},
    {TTL_ROW(expiretime, "7.0.0", "Tells until which Unix time in seconds a key lives.")},
    {TTL_ROW(pexpiretime, "7.0.0", "Tells until which Unix time in milliseconds a key lives.")},
    {
        .name = "persist",
        .run = key_persist,
        .flags = CMD_WRITE | CMD_FAST,
        .arity = 2,
        .scope = SCOPE_KEYS,
        .key_specs = {KEYS_AT(1, KEY_RW | KEY_UPDATE)},
        .key_spec_count = 1,
        .group = GROUP_GENERIC,
        .categories = ACL_KEYSPACE,
        .since = "2.2.0",
        .complexity = "O(1)",
        .summary = "Takes a key's deadline away: it lives until it is removed.",
        .arguments = one_key_arguments,
    },
};

const struct command_family key_expire_family = {
    .commands = key_expire_commands,
    .count = ARRAY_COUNT(key_expire_commands),
};
