/*
 * string_set.c: SET and the commands that are SET with something said beforehand: SETNX, SETEX,
 * GETSET, GETEX, GETDEL, DELIFEQ. All read the same options with the same reader, compute one
 * absolute deadline, and end in the same store. So the effect of each is one of four: SET (with
 * PXAT where there is a deadline), PEXPIREAT, PERSIST, DEL: what is relative to the clock or to the
 * old value is resolved here, once.
 *
 * SET without options is the most frequent write of all: it leaves before any option is looked at.
 */
#include "shard/command/string_set.h"

#include "core/number.h"
#include "shard/command/families.h"
#include "shard/notify.h"

#define DEADLINE_FLAGS (STRING_SET_EX | STRING_SET_PX | STRING_SET_EXAT | STRING_SET_PXAT)

struct option_word {
    const char *word;
    uint32_t flag;
    uint32_t excludes; /* options that may not stand before it */
    bool has_value;
};

/* An option may be repeated where redis-server lets it: only IFEQ excludes itself. */
static const struct option_word option_words[] = {
    {"nx", STRING_SET_NX, STRING_SET_XX | STRING_SET_IFEQ, false},
    {"xx", STRING_SET_XX, STRING_SET_NX | STRING_SET_IFEQ, false},
    {"ifeq", STRING_SET_IFEQ, STRING_SET_NX | STRING_SET_XX | STRING_SET_IFEQ, true},
    {"get", STRING_SET_GET, 0, false},
    {"keepttl", STRING_SET_KEEPTTL, STRING_SET_PERSIST | DEADLINE_FLAGS, false},
    {"persist", STRING_SET_PERSIST, STRING_SET_KEEPTTL | DEADLINE_FLAGS, false},
    {"ex", STRING_SET_EX,
     STRING_SET_KEEPTTL | STRING_SET_PERSIST | (DEADLINE_FLAGS & ~STRING_SET_EX), true},
    {"px", STRING_SET_PX,
     STRING_SET_KEEPTTL | STRING_SET_PERSIST | (DEADLINE_FLAGS & ~STRING_SET_PX), true},
    {"exat", STRING_SET_EXAT,
     STRING_SET_KEEPTTL | STRING_SET_PERSIST | (DEADLINE_FLAGS & ~STRING_SET_EXAT), true},
    {"pxat", STRING_SET_PXAT,
     STRING_SET_KEEPTTL | STRING_SET_PERSIST | (DEADLINE_FLAGS & ~STRING_SET_PXAT), true},
};

static const struct option_word *
option_find(struct slice word, uint32_t allowed)
{
    for (size_t i = 0; i < ARRAY_COUNT(option_words); i++) {
        if ((option_words[i].flag & allowed) != 0 && slice_is_word(word, option_words[i].word)) {
            return &option_words[i];
        }
    }
    return NULL;
}

bool
string_set_options_read(struct call *call, uint32_t index, uint32_t allowed,
                        struct string_set_options *options)
{
    *options = (struct string_set_options){0};
    for (; index < call->argc; index++) {
        const struct option_word *option = option_find(call->argv[index], allowed);
        if (option == NULL || (options->flags & option->excludes) != 0 ||
            (option->has_value && index + 1 == call->argc)) {
            call_syntax_error(call);
            return false;
        }
        options->flags |= option->flag;
        if (!option->has_value) {
            continue;
        }
        index++;
        if (option->flag == STRING_SET_IFEQ) {
            options->comparison = call->argv[index];
        } else {
            options->deadline_index = index;
        }
    }
    return true;
}

bool
string_set_deadline_read(struct call *call, uint32_t index, uint32_t flag, int64_t *deadline_ms)
{
    int64_t time;
    if (!call_integer(call, index, &time, NULL)) {
        return false;
    }
    bool is_valid = time > 0;
    if ((flag & (STRING_SET_EX | STRING_SET_EXAT)) != 0) {
        is_valid = is_valid && !__builtin_mul_overflow(time, INT64_C(1000), &time);
    }
    if ((flag & (STRING_SET_EX | STRING_SET_PX)) != 0) {
        is_valid = is_valid && !__builtin_add_overflow(time, call->now_ms, &time);
    }
    if (!is_valid) {
        reply_error_format(call->reply, "ERR invalid expire time in '%s' command",
                           call->command->name);
        return false;
    }
    *deadline_ms = time;
    return true;
}

/** The deadline that the options ask for, of the key in `view`. Replies the error. */
static bool
options_deadline(struct call *call, const struct string_set_options *options, int64_t *deadline_ms)
{
    if (options->deadline_index == 0) {
        return true;
    }
    return string_set_deadline_read(call, options->deadline_index, options->flags & DEADLINE_FLAGS,
                                    deadline_ms);
}

static void
delete_with_effect(struct call *call, struct view *view)
{
    if (view_exists(view)) {
        view_delete(call, view);
        call_effect_delete(call, view);
        call_event(call, view, NOTIFY_GENERIC, "del");
    }
}

/** A string whose deadline has passed already is there for its events only. */
static void
string_set_expired(struct call *call, struct view *view)
{
    if (view_exists(view)) {
        view_delete(call, view);
        call_effect_delete(call, view);
    } else {
        call_event(call, view, NOTIFY_NEW, "new");
    }
    call_event(call, view, NOTIFY_STRING, "set");
    call_event(call, view, NOTIFY_GENERIC, "expire");
    call_event(call, view, NOTIFY_EXPIRED, "expired");
}

void
string_set_store(struct call *call, struct view *view, struct slice bytes, int64_t deadline_ms)
{
    if (deadline_ms != VIEW_NO_DEADLINE && deadline_ms <= call->now_ms) {
        string_set_expired(call, view);
        return;
    }
    view_string_set(call, view, bytes);
    view_deadline_set(call, view, deadline_ms);
    if (call_has_effects(call)) {
        call_effect_set(call, view);
    }
    call_event(call, view, NOTIFY_STRING, "set");
    if (deadline_ms != VIEW_NO_DEADLINE) {
        call_event(call, view, NOTIFY_GENERIC, "expire");
    }
}

void
string_set_keep(struct call *call, struct view *view, struct slice bytes)
{
    view_string_set(call, view, bytes);
    if (call_has_effects(call)) {
        call_effect_set(call, view);
    }
    call_event(call, view, NOTIFY_STRING, "set");
}

/** SET with options. */
static void
set_with_options(struct call *call)
{
    struct view *view = call->views[0];
    struct string_set_options options;
    uint32_t allowed = STRING_SET_NX | STRING_SET_XX | STRING_SET_GET | STRING_SET_KEEPTTL |
                       STRING_SET_IFEQ | DEADLINE_FLAGS;
    int64_t deadline_ms = VIEW_NO_DEADLINE;
    if (!string_set_options_read(call, 3, allowed, &options) ||
        !options_deadline(call, &options, &deadline_ms)) {
        return;
    }
    uint32_t flags = options.flags;
    if ((flags & STRING_SET_GET) != 0) {
        call_count(call, view);
    }
    if ((flags & (STRING_SET_GET | STRING_SET_IFEQ)) != 0 &&
        !view_check_type(call, view, VALUE_STRING)) {
        return;
    }
    bool is_set = true;
    if ((flags & STRING_SET_NX) != 0) {
        is_set = !view_exists(view);
    } else if ((flags & STRING_SET_XX) != 0) {
        is_set = view_exists(view);
    } else if ((flags & STRING_SET_IFEQ) != 0) {
        char digits[24];
        is_set = view_exists(view) && slice_equal(view_string(view, digits), options.comparison);
    }
    if ((flags & STRING_SET_GET) != 0) {
        view_string_reply(call, view);
    } else if (is_set) {
        reply_ok(call->reply);
    } else {
        reply_null(call->reply);
    }
    if (is_set && (flags & STRING_SET_KEEPTTL) != 0) {
        string_set_keep(call, view, call->argv[2]);
    } else if (is_set) {
        string_set_store(call, view, call->argv[2], deadline_ms);
    }
}

static void
set_run(struct call *call)
{
    if (UNLIKELY(call->argc > 3)) {
        set_with_options(call);
        return;
    }
    string_set_store(call, call->views[0], call->argv[2], VIEW_NO_DEADLINE);
    reply_ok(call->reply);
}

static void
setnx_run(struct call *call)
{
    struct view *view = call->views[0];
    if (view_exists(view)) {
        reply_i64(call->reply, 0);
        return;
    }
    string_set_store(call, view, call->argv[2], VIEW_NO_DEADLINE);
    reply_i64(call->reply, 1);
}

static void
setex_with_unit(struct call *call, uint32_t flag)
{
    int64_t deadline_ms;
    if (!string_set_deadline_read(call, 2, flag, &deadline_ms)) {
        return;
    }
    string_set_store(call, call->views[0], call->argv[3], deadline_ms);
    reply_ok(call->reply);
}

static void
setex_run(struct call *call)
{
    setex_with_unit(call, STRING_SET_EX);
}

static void
psetex_run(struct call *call)
{
    setex_with_unit(call, STRING_SET_PX);
}

static void
getset_run(struct call *call)
{
    struct view *view = call->views[0];
    if (!view_check_type(call, view, VALUE_STRING)) {
        return;
    }
    view_string_reply(call, view);
    string_set_store(call, view, call->argv[2], VIEW_NO_DEADLINE);
}

static void
getdel_run(struct call *call)
{
    struct view *view = call->views[0];
    if (!view_check_type(call, view, VALUE_STRING)) {
        return;
    }
    view_string_reply(call, view);
    delete_with_effect(call, view);
}

static void
getex_run(struct call *call)
{
    struct view *view = call->views[0];
    struct string_set_options options;
    if (!string_set_options_read(call, 2, STRING_SET_PERSIST | DEADLINE_FLAGS, &options)) {
        return;
    }
    call_count(call, view);
    if (!view_exists(view)) {
        reply_null(call->reply);
        return;
    }
    int64_t deadline_ms = view->deadline_ms;
    if (!view_check_type(call, view, VALUE_STRING) ||
        !options_deadline(call, &options, &deadline_ms)) {
        return;
    }
    view_string_reply(call, view);
    if (options.deadline_index != 0 && deadline_ms <= call->now_ms) {
        delete_with_effect(call, view);
        return;
    }
    if ((options.flags & STRING_SET_PERSIST) != 0) {
        deadline_ms = VIEW_NO_DEADLINE;
    }
    if (deadline_ms != view->deadline_ms) {
        view_deadline_set(call, view, deadline_ms);
        call_effect_deadline(call, view);
        if (deadline_ms == VIEW_NO_DEADLINE) {
            call_event(call, view, NOTIFY_GENERIC, "persist");
        }
    }
    if (options.deadline_index != 0) {
        call_event(call, view, NOTIFY_GENERIC, "expire");
    }
}

static void
delifeq_run(struct call *call)
{
    struct view *view = call->views[0];
    if (!view_check_type(call, view, VALUE_STRING)) {
        return;
    }
    char digits[24];
    bool is_equal = view_exists(view) && slice_equal(view_string(view, digits), call->argv[2]);
    if (is_equal) {
        delete_with_effect(call, view);
    }
    reply_i64(call->reply, is_equal);
}

/* ---- documentation ---- */

#define KEY_ARGUMENT                                                                               \
    {                                                                                              \
        .kind = ARGUMENT_KEY, .name = "key"                                                        \
    }
#define VALUE_ARGUMENT                                                                             \
    {                                                                                              \
        .kind = ARGUMENT_STRING, .name = "value"                                                   \
    }

static const struct command_argument set_condition[] = {
    {.kind = ARGUMENT_PURE_TOKEN, .name = "nx", .token = "NX"},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "xx", .token = "XX"},
    {.kind = ARGUMENT_STRING, .name = "comparison-value", .token = "IFEQ", .since = "8.1.0"},
    {0},
};
static const struct command_argument set_expiration[] = {
    {.kind = ARGUMENT_INTEGER, .name = "seconds", .token = "EX", .since = "2.6.12"},
    {.kind = ARGUMENT_INTEGER, .name = "milliseconds", .token = "PX", .since = "2.6.12"},
    {.kind = ARGUMENT_UNIX_TIME, .name = "unix-time-seconds", .token = "EXAT", .since = "6.2.0"},
    {.kind = ARGUMENT_UNIX_TIME,
     .name = "unix-time-milliseconds",
     .token = "PXAT",
     .since = "6.2.0"},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "keepttl", .token = "KEEPTTL", .since = "6.0.0"},
    {0},
};
static const struct command_argument set_arguments[] = {
    KEY_ARGUMENT,
    VALUE_ARGUMENT,
    {.kind = ARGUMENT_ONEOF,
     .name = "condition",
     .since = "2.6.12",
     .is_optional = true,
     .arguments = set_condition},
    {.kind = ARGUMENT_PURE_TOKEN,
     .name = "get",
     .token = "GET",
     .since = "6.2.0",
     .is_optional = true},
    {.kind = ARGUMENT_ONEOF,
     .name = "expiration",
     .is_optional = true,
     .arguments = set_expiration},
    {0},
};
static const struct command_history set_history[] = {
    {"2.6.12", "Options `EX`, `PX`, `NX` and `XX`."},
    {"6.0.0", "Option `KEEPTTL`."},
    {"6.2.0", "Options `GET`, `EXAT` and `PXAT`."},
    {"7.0.0", "`NX` and `GET` may stand together."},
    {"8.1.0", "Option `IFEQ`, as in Valkey."},
    {NULL, NULL},
};
static const struct command_argument key_value_arguments[] = {KEY_ARGUMENT, VALUE_ARGUMENT, {0}};
static const struct command_argument key_arguments[] = {KEY_ARGUMENT, {0}};
static const struct command_argument setex_arguments[] = {
    KEY_ARGUMENT,
    {.kind = ARGUMENT_INTEGER, .name = "seconds"},
    VALUE_ARGUMENT,
    {0},
};
static const struct command_argument psetex_arguments[] = {
    KEY_ARGUMENT,
    {.kind = ARGUMENT_INTEGER, .name = "milliseconds"},
    VALUE_ARGUMENT,
    {0},
};
static const struct command_argument getex_expiration[] = {
    {.kind = ARGUMENT_INTEGER, .name = "seconds", .token = "EX"},
    {.kind = ARGUMENT_INTEGER, .name = "milliseconds", .token = "PX"},
    {.kind = ARGUMENT_UNIX_TIME, .name = "unix-time-seconds", .token = "EXAT"},
    {.kind = ARGUMENT_UNIX_TIME, .name = "unix-time-milliseconds", .token = "PXAT"},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "persist", .token = "PERSIST"},
    {0},
};
static const struct command_argument getex_arguments[] = {
    KEY_ARGUMENT,
    {.kind = ARGUMENT_ONEOF,
     .name = "expiration",
     .is_optional = true,
     .arguments = getex_expiration},
    {0},
};

/** With GET it reads its key, too. */
static uint32_t
set_key_flags(const struct slice *argv, uint32_t argc)
{
    for (uint32_t i = 3; i < argc; i++) {
        if (slice_is_word(argv[i], "get")) {
            return KEY_RW | KEY_ACCESS | KEY_UPDATE;
        }
    }
    return KEY_OW | KEY_UPDATE;
}

static const struct command string_set_commands[] = {
    {.name = "set",
     .run = set_run,
     .flags = CMD_WRITE | CMD_DENYOOM,
     .arity = -3,
     .key_specs = {{.flags = KEY_RW | KEY_ACCESS | KEY_UPDATE | KEY_VARIABLE_FLAGS,
                    .notes = "RW and ACCESS due to the optional `GET` argument",
                    .begin = KEYS_BEGIN_INDEX,
                    .begin_index = 1,
                    .find = KEYS_FIND_RANGE,
                    .step = 1}},
     .key_spec_count = 1,
     .key_flags = set_key_flags,
     .group = GROUP_STRING,
     .since = "1.0.0",
     .complexity = "O(1)",
     .summary = "Stores a string under a key, whatever was there before; options make it depend on "
                "what is there, and say how long it lives.",
     .history = set_history,
     .arguments = set_arguments},
    {.name = "setnx",
     .run = setnx_run,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST,
     .arity = 3,
     .key_specs = {KEYS_AT(1, KEY_OW | KEY_INSERT)},
     .key_spec_count = 1,
     .group = GROUP_STRING,
     .since = "1.0.0",
     .complexity = "O(1)",
     .summary = "Stores a string where the key is still free.",
     .arguments = key_value_arguments},
    {.name = "setex",
     .run = setex_run,
     .flags = CMD_WRITE | CMD_DENYOOM,
     .arity = 4,
     .key_specs = {KEYS_AT(1, KEY_OW | KEY_UPDATE)},
     .key_spec_count = 1,
     .group = GROUP_STRING,
     .since = "2.0.0",
     .complexity = "O(1)",
     .summary = "Stores a string that lives for so many seconds.",
     .arguments = setex_arguments},
    {.name = "psetex",
     .run = psetex_run,
     .flags = CMD_WRITE | CMD_DENYOOM,
     .arity = 4,
     .key_specs = {KEYS_AT(1, KEY_OW | KEY_UPDATE)},
     .key_spec_count = 1,
     .group = GROUP_STRING,
     .since = "2.6.0",
     .complexity = "O(1)",
     .summary = "Stores a string that lives for so many milliseconds.",
     .arguments = psetex_arguments},
    {.name = "getset",
     .run = getset_run,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST | CMD_COUNT,
     .arity = 3,
     .key_specs = {KEYS_AT(1, KEY_RW | KEY_ACCESS | KEY_UPDATE)},
     .key_spec_count = 1,
     .group = GROUP_STRING,
     .since = "1.0.0",
     .complexity = "O(1)",
     .summary = "Stores a string and answers the one that it replaces.",
     .deprecated_since = "6.2.0",
     .replaced_by = "`SET` with the `!GET` argument",
     .arguments = key_value_arguments},
    {.name = "getdel",
     .run = getdel_run,
     .flags = CMD_WRITE | CMD_FAST | CMD_COUNT,
     .arity = 2,
     .key_specs = {KEYS_AT(1, KEY_RW | KEY_ACCESS | KEY_DELETE)},
     .key_spec_count = 1,
     .group = GROUP_STRING,
     .since = "6.2.0",
     .complexity = "O(1)",
     .summary = "Answers a string and deletes its key.",
     .arguments = key_arguments},
    {.name = "getex",
     .run = getex_run,
     .flags = CMD_WRITE | CMD_FAST,
     .arity = -2,
     .key_specs = {{.flags = KEY_RW | KEY_ACCESS | KEY_UPDATE,
                    .notes = "RW and UPDATE because it changes the TTL",
                    .begin = KEYS_BEGIN_INDEX,
                    .begin_index = 1,
                    .find = KEYS_FIND_RANGE,
                    .step = 1}},
     .key_spec_count = 1,
     .group = GROUP_STRING,
     .since = "6.2.0",
     .complexity = "O(1)",
     .summary = "Answers a string and gives its key another deadline, or none.",
     .arguments = getex_arguments},
    {.name = "delifeq",
     .run = delifeq_run,
     .flags = CMD_WRITE | CMD_FAST,
     .arity = 3,
     .key_specs = {KEYS_AT(1, KEY_RM | KEY_ACCESS | KEY_DELETE)},
     .key_spec_count = 1,
     .group = GROUP_STRING,
     .since = "9.0.0",
     .complexity = "O(1)",
     .summary = "Deletes a key if it holds exactly this string.",
     .arguments = key_value_arguments},
};

const struct command_family string_set_family = {string_set_commands,
                                                 ARRAY_COUNT(string_set_commands)};
