/*
 * hash_ex.c: fields and their deadlines at once: HSETEX writes both, HGETEX reads the one and
 * changes the other, HGETDEL reads and removes.
 *
 * HSETEX leaves as one effect with an absolute deadline, and as HSET where it gives none, which
 * every reader knows. Of the others only what they changed leaves: HPEXPIREAT, HPERSIST or HDEL.
 */
#include "shard/command/families.h"
#include "shard/command/hash_internal.h"

/* ---- options ---- */

#define OPTION_NX (1u << 0)
#define OPTION_XX (1u << 1)
#define OPTION_FNX (1u << 2)
#define OPTION_FXX (1u << 3)
#define OPTION_EX (1u << 4)
#define OPTION_PX (1u << 5)
#define OPTION_EXAT (1u << 6)
#define OPTION_PXAT (1u << 7)
#define OPTION_KEEPTTL (1u << 8)
#define OPTION_PERSIST (1u << 9)

#define OPTIONS_TIME (OPTION_EX | OPTION_PX | OPTION_EXAT | OPTION_PXAT)
#define OPTIONS_DEADLINE (OPTIONS_TIME | OPTION_KEEPTTL | OPTION_PERSIST)
#define OPTIONS_HSETEX                                                                             \
    (OPTIONS_TIME | OPTION_KEEPTTL | OPTION_NX | OPTION_XX | OPTION_FNX | OPTION_FXX)
#define OPTIONS_HGETEX (OPTIONS_TIME | OPTION_PERSIST)

struct option {
    const char *word;
    uint32_t bit;
    /** At most one of these is given, though maybe twice. */
    uint32_t group;
};

static const struct option option_table[] = {
    {"nx", OPTION_NX, OPTION_NX | OPTION_XX},      {"xx", OPTION_XX, OPTION_NX | OPTION_XX},
    {"fnx", OPTION_FNX, OPTION_FNX | OPTION_FXX},  {"fxx", OPTION_FXX, OPTION_FNX | OPTION_FXX},
    {"ex", OPTION_EX, OPTIONS_DEADLINE},           {"px", OPTION_PX, OPTIONS_DEADLINE},
    {"exat", OPTION_EXAT, OPTIONS_DEADLINE},       {"pxat", OPTION_PXAT, OPTIONS_DEADLINE},
    {"keepttl", OPTION_KEEPTTL, OPTIONS_DEADLINE}, {"persist", OPTION_PERSIST, OPTIONS_DEADLINE},
};

struct options {
    uint32_t bits;
    uint32_t time_index; /* in argv */
    int64_t deadline_ms; /* HASH_NO_DEADLINE: none is given */
    bool is_past;
    uint32_t first; /* field, in argv */
};

/** Everything up to the fields, of which each is `width` words. Replies the error and returns
 * false. */
static bool
options_parse(struct call *call, uint32_t allowed, uint32_t width, struct options *options)
{
    *options = (struct options){.deadline_ms = HASH_NO_DEADLINE};
    uint32_t fields = hash_fields_find(call, 2);
    for (uint32_t i = 2; i < fields && fields < call->argc; i++) {
        const struct option *option = option_table;
        const struct option *end = option_table + ARRAY_COUNT(option_table);
        while (option < end && !slice_is_word(call->argv[i], option->word)) {
            option++;
        }
        bool needs_time = option < end && (option->bit & OPTIONS_TIME) != 0;
        if (option == end || (option->bit & allowed) == 0 ||
            (options->bits & option->group & ~option->bit) != 0 ||
            (needs_time && i + 1 == fields)) {
            call_syntax_error(call);
            return false;
        }
        options->bits |= option->bit;
        if (needs_time) {
            options->time_index = ++i;
        }
    }
    options->first = fields + 2;
    return hash_fields_parse(call, fields + 1, width, NULL);
}

/** The deadline that the options say. Replies the error and returns false. */
static bool
options_deadline(struct call *call, struct options *options)
{
    if (options->time_index == 0) {
        return true;
    }
    int64_t unit_ms = (options->bits & (OPTION_EX | OPTION_EXAT)) != 0 ? 1000 : 1;
    bool is_relative = (options->bits & (OPTION_EX | OPTION_PX)) != 0;
    if (!hash_deadline_parse(call, options->time_index, unit_ms, is_relative,
                             &options->deadline_ms)) {
        return false;
    }
    options->is_past = options->deadline_ms <= call->now_ms;
    return true;
}

/* ---- HSETEX ---- */

/** May the fields be set? */
static bool
hsetex_holds(struct call *call, const struct options *options)
{
    struct hash hash = hash_of_view(call, call->views[0]);
    bool wants_all = (options->bits & OPTION_FXX) != 0;
    if ((options->bits & (OPTION_FNX | OPTION_FXX)) == 0) {
        return true;
    }
    for (uint32_t i = options->first; i < call->argc; i += 2) {
        struct hash_pair pair;
        if (hash_find(&hash, call->argv[i], &pair) != wants_all) {
            return false;
        }
    }
    return true;
}

/** The deadline has passed: the fields are gone as soon as they are set. */
static void
hsetex_remove(struct call *call, struct hash *hash, const struct options *options)
{
    struct view *view = call->views[0];
    struct hash_effect effect = hash_effect_new(call, view, SLICE("HDEL"), call->argc);
    for (uint32_t i = options->first; i < call->argc && hash->object != NULL; i += 2) {
        if (hash_remove(hash, call->argv[i])) {
            hash_effect_add_field(&effect, call->argv[i]);
        }
    }
    if (effect.field_count > 0) {
        hash_to_view(call, view, hash);
        hash_effect_say(call, view, &effect);
        call->shard->counters.expired_field_count += effect.field_count;
    }
}

static struct hash_effect
hsetex_effect(struct call *call, const struct options *options)
{
    struct view *view = call->views[0];
    if ((options->bits & (OPTIONS_TIME | OPTION_KEEPTTL)) == 0) {
        return hash_effect_new(call, view, SLICE("HSET"), call->argc);
    }
    struct hash_effect effect = hash_effect_new(call, view, SLICE("HSETEX"), call->argc);
    if ((options->bits & OPTION_KEEPTTL) != 0) {
        hash_effect_add(&effect, SLICE("KEEPTTL"));
    } else {
        hash_effect_add(&effect, SLICE("PXAT"));
        hash_effect_add_number(call, &effect, options->deadline_ms);
    }
    hash_effect_add_fields(&effect);
    return effect;
}

static void
hsetex_store(struct call *call, struct hash *hash, const struct options *options)
{
    struct view *view = call->views[0];
    struct hash_limits limits = hash_limits_of(call);
    struct hash_effect effect = hsetex_effect(call, options);
    bool is_kept = (options->bits & OPTION_KEEPTTL) != 0;
    for (uint32_t i = options->first; i < call->argc; i += 2) {
        struct hash_pair pair;
        int64_t deadline_ms = options->deadline_ms;
        if (is_kept && hash_find(hash, call->argv[i], &pair)) {
            deadline_ms = pair.deadline_ms;
        }
        hash_set_timed(hash, &limits, call->argv[i], call->argv[i + 1], deadline_ms);
        hash_effect_add_field(&effect, call->argv[i]);
        hash_effect_add(&effect, call->argv[i + 1]);
    }
    hash_to_view(call, view, hash);
    hash_effect_say(call, view, &effect);
}

static void
hsetex_run(struct call *call)
{
    struct view *view = call->views[0];
    struct options options;
    if (!options_parse(call, OPTIONS_HSETEX, 2, &options) ||
        !view_check_type(call, view, VALUE_HASH)) {
        return;
    }
    uint32_t unwanted = view_exists(view) ? OPTION_NX : OPTION_XX;
    if ((options.bits & unwanted) != 0) {
        reply_i64(call->reply, 0);
        return;
    }
    if (!options_deadline(call, &options)) {
        return;
    }
    if (!hsetex_holds(call, &options)) {
        reply_i64(call->reply, 0);
        return;
    }
    struct hash hash = hash_to_write(call, view, options.first, 2);
    if (options.is_past) {
        hsetex_remove(call, &hash, &options);
    } else {
        hsetex_store(call, &hash, &options);
    }
    call_event(call, view, NOTIFY_HASH, "hset");
    if (options.time_index != 0) {
        call_event(call, view, NOTIFY_HASH, "hexpire");
    }
    if (options.is_past) {
        hash_removed_event(call, view, "hexpired");
    }
    reply_i64(call->reply, 1);
}

/* ---- HGETEX ---- */

static struct hash_effect
hgetex_effect(struct call *call, const struct options *options)
{
    struct view *view = call->views[0];
    if (options->is_past) {
        return hash_effect_new(call, view, SLICE("HDEL"), call->argc);
    }
    bool is_persist = (options->bits & OPTION_PERSIST) != 0;
    struct hash_effect effect = hash_effect_new(
        call, view, is_persist ? SLICE("HPERSIST") : SLICE("HPEXPIREAT"), call->argc);
    if (!is_persist) {
        hash_effect_add_number(call, &effect, options->deadline_ms);
    }
    hash_effect_add_fields(&effect);
    return effect;
}

/** What the options want of a field that is there. True: it was changed. */
static bool
hgetex_change(const struct call *call, struct hash *hash, struct slice field, int64_t old_ms,
              const struct options *options)
{
    if (options->is_past) {
        return hash_remove(hash, field);
    }
    bool is_persist = (options->bits & OPTION_PERSIST) != 0;
    if (is_persist && old_ms == HASH_NO_DEADLINE) {
        return false;
    }
    struct hash_limits limits = hash_limits_of(call);
    return hash_deadline_set(hash, &limits, field, options->deadline_ms);
}

static void
hgetex_reply(struct call *call, const struct options *options)
{
    struct view *view = call->views[0];
    struct hash hash = hash_of_view(call, view);
    bool is_writing = options->bits != 0;
    struct hash_effect effect = {0};
    if (is_writing) {
        hash = hash_to_write(call, view, options->first, 1);
        effect = hgetex_effect(call, options);
    }
    reply_array(call->reply, call->argc - options->first);
    for (uint32_t i = options->first; i < call->argc; i++) {
        struct hash_pair pair;
        if (!hash_find(&hash, call->argv[i], &pair)) {
            reply_null(call->reply);
            continue;
        }
        reply_bulk(call->reply, pair.value);
        if (is_writing && hgetex_change(call, &hash, call->argv[i], pair.deadline_ms, options)) {
            hash_effect_add_field(&effect, call->argv[i]);
        }
    }
    if (effect.field_count == 0) {
        return;
    }
    hash_to_view(call, view, &hash);
    hash_effect_say(call, view, &effect);
    if (options->is_past) {
        call->shard->counters.expired_field_count += effect.field_count;
        hash_removed_event(call, view, "hexpired");
    } else {
        bool is_persist = (options->bits & OPTION_PERSIST) != 0;
        call_event(call, view, NOTIFY_HASH, is_persist ? "hpersist" : "hexpire");
    }
}

static void
hgetex_run(struct call *call)
{
    struct options options;
    if (options_parse(call, OPTIONS_HGETEX, 1, &options) &&
        view_check_type(call, call->views[0], VALUE_HASH) && options_deadline(call, &options)) {
        hgetex_reply(call, &options);
    }
}

/* ---- HGETDEL ---- */

static void
hgetdel_run(struct call *call)
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
    struct hash_effect effect = hash_effect_new(call, view, SLICE("HDEL"), call->argc);
    reply_array(call->reply, call->argc - 4);
    for (uint32_t i = 4; i < call->argc; i++) {
        struct hash_pair pair;
        if (!hash_find(&hash, call->argv[i], &pair)) {
            reply_null(call->reply);
            continue;
        }
        reply_bulk(call->reply, pair.value);
        hash_remove(&hash, call->argv[i]);
        hash_effect_add_field(&effect, call->argv[i]);
    }
    if (effect.field_count > 0) {
        hash_to_view(call, view, &hash);
        hash_effect_say(call, view, &effect);
        hash_removed_event(call, view, "hdel");
    }
}

/* ---- documentation ---- */

static const struct command_argument fields_arguments[] = {
    {.kind = ARGUMENT_INTEGER, .name = "numfields"},
    {.kind = ARGUMENT_STRING, .name = "field", .is_multiple = true},
    {0},
};
static const struct command_argument pair_arguments[] = {
    {.kind = ARGUMENT_STRING, .name = "field"},
    {.kind = ARGUMENT_STRING, .name = "value"},
    {0},
};
static const struct command_argument pairs_arguments[] = {
    {.kind = ARGUMENT_INTEGER, .name = "numfields"},
    {.kind = ARGUMENT_BLOCK, .name = "data", .is_multiple = true, .arguments = pair_arguments},
    {0},
};
static const struct command_argument key_condition_arguments[] = {
    {.kind = ARGUMENT_PURE_TOKEN, .name = "nx", .token = "NX"},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "xx", .token = "XX"},
    {0},
};
static const struct command_argument fields_condition_arguments[] = {
    {.kind = ARGUMENT_PURE_TOKEN, .name = "fnx", .token = "FNX"},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "fxx", .token = "FXX"},
    {0},
};
#define TIME_ARGUMENTS                                                                             \
    {.kind = ARGUMENT_INTEGER, .name = "seconds", .token = "EX"},                                  \
        {.kind = ARGUMENT_INTEGER, .name = "milliseconds", .token = "PX"},                         \
        {.kind = ARGUMENT_UNIX_TIME, .name = "unix-time-seconds", .token = "EXAT"},                \
    {                                                                                              \
        .kind = ARGUMENT_UNIX_TIME, .name = "unix-time-milliseconds", .token = "PXAT"              \
    }
static const struct command_argument hsetex_expiration_arguments[] = {
    TIME_ARGUMENTS,
    {.kind = ARGUMENT_PURE_TOKEN, .name = "keepttl", .token = "KEEPTTL"},
    {0},
};
static const struct command_argument hgetex_expiration_arguments[] = {
    TIME_ARGUMENTS,
    {.kind = ARGUMENT_PURE_TOKEN, .name = "persist", .token = "PERSIST"},
    {0},
};
static const struct command_argument hsetex_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "key"},
    {.kind = ARGUMENT_ONEOF,
     .name = "key-condition",
     .is_optional = true,
     .arguments = key_condition_arguments},
    {.kind = ARGUMENT_ONEOF,
     .name = "fields-condition",
     .is_optional = true,
     .arguments = fields_condition_arguments},
    {.kind = ARGUMENT_ONEOF,
     .name = "expiration",
     .is_optional = true,
     .arguments = hsetex_expiration_arguments},
    {.kind = ARGUMENT_BLOCK, .name = "fields", .token = "FIELDS", .arguments = pairs_arguments},
    {0},
};
static const struct command_argument hgetex_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "key"},
    {.kind = ARGUMENT_ONEOF,
     .name = "expiration",
     .is_optional = true,
     .arguments = hgetex_expiration_arguments},
    {.kind = ARGUMENT_BLOCK, .name = "fields", .token = "FIELDS", .arguments = fields_arguments},
    {0},
};
static const struct command_argument hgetdel_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "key"},
    {.kind = ARGUMENT_BLOCK, .name = "fields", .token = "FIELDS", .arguments = fields_arguments},
    {0},
};

static const struct command hash_ex_commands[] = {
    {.name = "hsetex",
     .run = hsetex_run,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST,
     .arity = -6,
     .key_specs = {KEYS_AT(1, KEY_RW | KEY_INSERT)},
     .key_spec_count = 1,
     .group = GROUP_HASH,
     .since = "9.0.0",
     .complexity = "O(N) with N fields.",
     .summary = "Gives fields of a hash their values and a deadline.",
     .arguments = hsetex_arguments},
    {.name = "hgetex",
     .run = hgetex_run,
     .flags = CMD_WRITE | CMD_FAST,
     .arity = -5,
     .key_specs = {KEYS_AT(1, KEY_RW | KEY_ACCESS)},
     .key_spec_count = 1,
     .group = GROUP_HASH,
     .since = "9.0.0",
     .complexity = "O(N) with N fields.",
     .summary = "Answers the values of fields and gives them a deadline, or none.",
     .arguments = hgetex_arguments},
    {.name = "hgetdel",
     .run = hgetdel_run,
     .flags = CMD_WRITE | CMD_FAST,
     .arity = -5,
     .key_specs = {KEYS_AT(1, KEY_RW | KEY_ACCESS | KEY_DELETE)},
     .key_spec_count = 1,
     .group = GROUP_HASH,
     .since = "9.1.0",
     .complexity = "O(N) with N fields.",
     .summary = "Answers the values of fields and takes them out of the hash.",
     .arguments = hgetdel_arguments},
};

const struct command_family hash_ex_family = {hash_ex_commands, ARRAY_COUNT(hash_ex_commands)};
