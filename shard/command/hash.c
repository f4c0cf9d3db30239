/*
 * hash.c: commands on the fields of one hash.
 * Counters are in hash_number.c, what chance decides in hash_random.c. A command line on one key
 * that says what to store is its own effect.
 */
#include "shard/command/families.h"
#include "shard/command/hash_internal.h"
#include "shard/command/scan_collection.h"

/* ---- writing ---- */

static bool
hset_check(struct call *call)
{
    if (call->argc % 2 != 0) {
        call_arity_error(call);
        return false;
    }
    return true;
}

/** Returns how many fields are new, or -1 where the error was replied. */
static int64_t
hset_store(struct call *call)
{
    struct view *view = call->views[0];
    if (!hset_check(call) || !view_check_type(call, view, VALUE_HASH)) {
        return -1;
    }
    struct hash_limits limits = hash_limits_of(call);
    struct hash hash = hash_to_write(call, view, 2, 2);
    int64_t added_count = 0;
    for (uint32_t i = 2; i < call->argc; i += 2) {
        added_count += hash_set(&hash, &limits, call->argv[i], call->argv[i + 1]);
    }
    hash_to_view(call, view, &hash);
    call_effect_same(call, view);
    call_event(call, view, NOTIFY_HASH, "hset");
    return added_count;
}

static void
hset_run(struct call *call)
{
    int64_t added_count = hset_store(call);
    if (added_count >= 0) {
        reply_i64(call->reply, added_count);
    }
}

static void
hmset_run(struct call *call)
{
    if (hset_store(call) >= 0) {
        reply_ok(call->reply);
    }
}

static void
hsetnx_run(struct call *call)
{
    struct view *view = call->views[0];
    char digits[HASH_DIGITS_SIZE];
    struct slice value;
    if (!view_check_type(call, view, VALUE_HASH)) {
        return;
    }
    struct hash hash = hash_of_view(call, view);
    if (hash_get(&hash, call->argv[2], &value, digits)) {
        reply_i64(call->reply, 0);
        return;
    }
    struct hash_limits limits = hash_limits_of(call);
    hash = hash_to_write(call, view, 2, 2);
    hash_set(&hash, &limits, call->argv[2], call->argv[3]);
    hash_to_view(call, view, &hash);
    call_effect_same(call, view);
    call_event(call, view, NOTIFY_HASH, "hset");
    reply_i64(call->reply, 1);
}

static void
hdel_run(struct call *call)
{
    struct view *view = call->views[0];
    if (!view_check_type(call, view, VALUE_HASH)) {
        return;
    }
    if (!view_exists(view)) {
        reply_i64(call->reply, 0);
        return;
    }
    struct hash hash = hash_to_write(call, view, 2, 1);
    int64_t removed_count = 0;
    for (uint32_t i = 2; i < call->argc && hash.object != NULL; i++) {
        removed_count += hash_remove(&hash, call->argv[i]);
    }
    if (removed_count > 0) {
        hash_to_view(call, view, &hash);
        call_effect_same(call, view);
        hash_removed_event(call, view, "hdel");
    }
    reply_i64(call->reply, removed_count);
}

/* ---- reading ---- */

/** False: no such field, or the key is something else, and that was replied. */
static bool
field_find(struct call *call, struct slice *value, char digits[HASH_DIGITS_SIZE], bool *is_wrong)
{
    struct view *view = call->views[0];
    *is_wrong = !view_check_type(call, view, VALUE_HASH);
    if (*is_wrong) {
        return false;
    }
    struct hash hash = hash_of_view(call, view);
    return hash_get(&hash, call->argv[2], value, digits);
}

static void
hget_run(struct call *call)
{
    char digits[HASH_DIGITS_SIZE];
    struct slice value;
    bool is_wrong;
    if (field_find(call, &value, digits, &is_wrong)) {
        reply_bulk(call->reply, value);
    } else if (!is_wrong) {
        reply_null(call->reply);
    }
}

static void
hexists_run(struct call *call)
{
    char digits[HASH_DIGITS_SIZE];
    struct slice value;
    bool is_wrong;
    bool is_there = field_find(call, &value, digits, &is_wrong);
    if (!is_wrong) {
        reply_i64(call->reply, is_there);
    }
}

static void
hstrlen_run(struct call *call)
{
    char digits[HASH_DIGITS_SIZE];
    struct slice value = slice_of(NULL, 0);
    bool is_wrong;
    bool is_there = field_find(call, &value, digits, &is_wrong);
    if (!is_wrong) {
        reply_i64(call->reply, is_there ? (int64_t)value.size : 0);
    }
}

static void
hmget_run(struct call *call)
{
    struct view *view = call->views[0];
    if (!view_check_type(call, view, VALUE_HASH)) {
        return;
    }
    struct hash hash = hash_of_view(call, view);
    reply_array(call->reply, call->argc - 2);
    for (uint32_t i = 2; i < call->argc; i++) {
        char digits[HASH_DIGITS_SIZE];
        struct slice value;
        if (hash_get(&hash, call->argv[i], &value, digits)) {
            reply_bulk(call->reply, value);
        } else {
            reply_null(call->reply);
        }
    }
}

static void
hlen_run(struct call *call)
{
    struct view *view = call->views[0];
    if (view_check_type(call, view, VALUE_HASH)) {
        struct hash hash = hash_of_view(call, view);
        reply_i64(call->reply, (int64_t)hash_count(&hash));
    }
}

static void
hash_reply(struct call *call, const struct hash *hash, bool has_fields, bool has_values)
{
    struct hash_walk walk;
    struct hash_pair pair;
    hash_walk_start(&walk, hash);
    while (hash_next(&walk, &pair)) {
        if (has_fields) {
            reply_bulk(call->reply, pair.field);
        }
        if (has_values) {
            reply_bulk(call->reply, pair.value);
        }
    }
}

static void
hgetall_run(struct call *call)
{
    struct view *view = call->views[0];
    if (view_check_type(call, view, VALUE_HASH)) {
        struct hash hash = hash_of_view(call, view);
        reply_map(call->reply, hash_count_seen(&hash));
        hash_reply(call, &hash, true, true);
    }
}

static void
hkeys_run(struct call *call)
{
    struct view *view = call->views[0];
    if (view_check_type(call, view, VALUE_HASH)) {
        struct hash hash = hash_of_view(call, view);
        reply_array(call->reply, hash_count_seen(&hash));
        hash_reply(call, &hash, true, false);
    }
}

static void
hvals_run(struct call *call)
{
    struct view *view = call->views[0];
    if (view_check_type(call, view, VALUE_HASH)) {
        struct hash hash = hash_of_view(call, view);
        reply_array(call->reply, hash_count_seen(&hash));
        hash_reply(call, &hash, false, true);
    }
}

/* ---- HSCAN ---- */

struct hscan {
    struct call *call;
    struct hash hash;
    struct scan_options options;
    bool is_counting;
    uint64_t counted;
    uint64_t replied;
};

static void
hscan_visit(void *context, struct slice field, struct slice value)
{
    struct hscan *scan = context;
    if (scan->is_counting) {
        scan->counted++;
        return;
    }
    if (!scan_passes(&scan->options, field)) {
        return;
    }
    reply_bulk(scan->call->reply, field);
    scan->replied++;
    if (!scan->options.is_without_values) {
        reply_bulk(scan->call->reply, value);
        scan->replied++;
    }
}

static uint64_t
hscan_step(void *context, uint64_t position, bool is_counting)
{
    struct hscan *scan = context;
    scan->is_counting = is_counting;
    return hash_scan(&scan->hash, position, hscan_visit, scan);
}

static void
hscan_run(struct call *call)
{
    struct view *view = call->views[0];
    struct hscan scan = {.call = call};
    if (!scan_cursor_read(call, &scan.options)) {
        return;
    }
    if (!view_exists(view)) {
        scan_empty_reply(call);
        return;
    }
    if (!view_check_type(call, view, VALUE_HASH) || !scan_options_read(call, true, &scan.options)) {
        return;
    }
    scan.hash = hash_of_view(call, view);
    scan_reply(call, &scan.options, scan.hash.encoding != ENCODING_HASHTABLE, hscan_step, &scan,
               &scan.counted, &scan.replied);
}

/* ---- documentation ---- */

static const struct command_history hset_history[] = {{"4.0.0", "Takes several fields."},
                                                      {NULL, NULL}};
static const struct command_argument hset_field_value_arguments[] = {
    {.kind = ARGUMENT_STRING, .name = "field"},
    {.kind = ARGUMENT_STRING, .name = "value"},
    {0},
};
static const struct command_argument hset_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "key"},
    {.kind = ARGUMENT_BLOCK,
     .name = "field_value",
     .is_multiple = true,
     .arguments = hset_field_value_arguments},
    {0},
};
static const struct command_argument hsetnx_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "key"},
    {.kind = ARGUMENT_STRING, .name = "field"},
    {.kind = ARGUMENT_STRING, .name = "value"},
    {0},
};
static const struct command_argument hget_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "key"},
    {.kind = ARGUMENT_STRING, .name = "field"},
    {0},
};
static const struct command_argument hmget_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "key"},
    {.kind = ARGUMENT_STRING, .name = "field", .is_multiple = true},
    {0},
};
static const char *const hgetall_tips[] = {"nondeterministic_output_order", NULL};
static const struct command_argument hgetall_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "key"},
    {0},
};
static const struct command_history hdel_history[] = {{"2.4.0", "Takes several fields."},
                                                      {NULL, NULL}};
static const char *const hscan_tips[] = {"nondeterministic_output", NULL};
static const struct command_argument hscan_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "key"},
    {.kind = ARGUMENT_INTEGER, .name = "cursor"},
    {.kind = ARGUMENT_PATTERN, .name = "pattern", .token = "MATCH", .is_optional = true},
    {.kind = ARGUMENT_INTEGER, .name = "count", .token = "COUNT", .is_optional = true},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "novalues", .token = "NOVALUES", .is_optional = true},
    {0},
};

static const struct command hash_commands[] = {
    {.name = "hset",
     .run = hset_run,
     .check = hset_check,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST,
     .arity = -4,
     .key_specs = {KEYS_AT(1, KEY_RW | KEY_UPDATE)},
     .key_spec_count = 1,
     .group = GROUP_HASH,
     .since = "2.0.0",
     .complexity = "O(N) with N fields.",
     .summary = "Gives fields of a hash their values; an absent hash is created.",
     .history = hset_history,
     .arguments = hset_arguments},
    {.name = "hmset",
     .run = hmset_run,
     .check = hset_check,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST,
     .arity = -4,
     .key_specs = {KEYS_AT(1, KEY_RW | KEY_UPDATE)},
     .key_spec_count = 1,
     .group = GROUP_HASH,
     .since = "2.0.0",
     .complexity = "O(N) with N fields.",
     .summary = "Gives fields of a hash their values; an absent hash is created.",
     .deprecated_since = "4.0.0",
     .replaced_by = "`HSET` with multiple field-value pairs",
     .arguments = hset_arguments},
    {.name = "hsetnx",
     .run = hsetnx_run,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST,
     .arity = 4,
     .key_specs = {KEYS_AT(1, KEY_RW | KEY_INSERT)},
     .key_spec_count = 1,
     .group = GROUP_HASH,
     .since = "2.0.0",
     .complexity = "O(1)",
     .summary = "Gives a field of a hash its value, if there is no such field yet.",
     .arguments = hsetnx_arguments},
    {.name = "hget",
     .run = hget_run,
     .flags = CMD_READONLY | CMD_FAST,
     .arity = 3,
     .key_specs = {KEYS_AT(1, KEY_RO | KEY_ACCESS)},
     .key_spec_count = 1,
     .group = GROUP_HASH,
     .since = "2.0.0",
     .complexity = "O(1)",
     .summary = "Answers the value of a field.",
     .arguments = hget_arguments},
    {.name = "hmget",
     .run = hmget_run,
     .flags = CMD_READONLY | CMD_FAST,
     .arity = -3,
     .key_specs = {KEYS_AT(1, KEY_RO | KEY_ACCESS)},
     .key_spec_count = 1,
     .group = GROUP_HASH,
     .since = "2.0.0",
     .complexity = "O(N) with N fields to look for.",
     .summary = "Answers the values of several fields.",
     .arguments = hmget_arguments},
    {.name = "hgetall",
     .run = hgetall_run,
     .flags = CMD_READONLY,
     .arity = 2,
     .key_specs = {KEYS_AT(1, KEY_RO | KEY_ACCESS)},
     .key_spec_count = 1,
     .group = GROUP_HASH,
     .since = "2.0.0",
     .complexity = "O(N) with N fields.",
     .summary = "Lists all fields of a hash with their values.",
     .tips = hgetall_tips,
     .arguments = hgetall_arguments},
    {.name = "hdel",
     .run = hdel_run,
     .flags = CMD_WRITE | CMD_FAST,
     .arity = -3,
     .key_specs = {KEYS_AT(1, KEY_RW | KEY_DELETE)},
     .key_spec_count = 1,
     .group = GROUP_HASH,
     .since = "2.0.0",
     .complexity = "O(N) with N fields to take out.",
     .summary = "Takes fields out of a hash; one that becomes empty is gone.",
     .history = hdel_history,
     .arguments = hmget_arguments},
    {.name = "hlen",
     .run = hlen_run,
     .flags = CMD_READONLY | CMD_FAST,
     .arity = 2,
     .key_specs = {KEYS_AT(1, KEY_RO)},
     .key_spec_count = 1,
     .group = GROUP_HASH,
     .since = "2.0.0",
     .complexity = "O(1)",
     .summary = "Counts the fields of a hash.",
     .arguments = hgetall_arguments},
    {.name = "hexists",
     .run = hexists_run,
     .flags = CMD_READONLY | CMD_FAST,
     .arity = 3,
     .key_specs = {KEYS_AT(1, KEY_RO)},
     .key_spec_count = 1,
     .group = GROUP_HASH,
     .since = "2.0.0",
     .complexity = "O(1)",
     .summary = "Tells whether a hash has a field.",
     .arguments = hget_arguments},
    {.name = "hkeys",
     .run = hkeys_run,
     .flags = CMD_READONLY,
     .arity = 2,
     .key_specs = {KEYS_AT(1, KEY_RO | KEY_ACCESS)},
     .key_spec_count = 1,
     .group = GROUP_HASH,
     .since = "2.0.0",
     .complexity = "O(N) with N fields.",
     .summary = "Lists all fields of a hash.",
     .tips = hgetall_tips,
     .arguments = hgetall_arguments},
    {.name = "hvals",
     .run = hvals_run,
     .flags = CMD_READONLY,
     .arity = 2,
     .key_specs = {KEYS_AT(1, KEY_RO | KEY_ACCESS)},
     .key_spec_count = 1,
     .group = GROUP_HASH,
     .since = "2.0.0",
     .complexity = "O(N) with N fields.",
     .summary = "Lists the values of all fields of a hash.",
     .tips = hgetall_tips,
     .arguments = hgetall_arguments},
    {.name = "hstrlen",
     .run = hstrlen_run,
     .flags = CMD_READONLY | CMD_FAST,
     .arity = 3,
     .key_specs = {KEYS_AT(1, KEY_RO)},
     .key_spec_count = 1,
     .group = GROUP_HASH,
     .since = "3.2.0",
     .complexity = "O(1)",
     .summary = "Tells how many bytes the value of a field has.",
     .arguments = hget_arguments},
    {.name = "hscan",
     .run = hscan_run,
     .flags = CMD_READONLY,
     .arity = -3,
     .key_specs = {KEYS_AT(1, KEY_RO | KEY_ACCESS)},
     .key_spec_count = 1,
     .group = GROUP_HASH,
     .since = "2.8.0",
     .complexity = "O(1) for each call, O(N) for all calls until the cursor is 0 again.",
     .summary = "Lists the fields of a hash a few at a time.",
     .tips = hscan_tips,
     .arguments = hscan_arguments},
};

const struct command_family hash_family = {hash_commands, ARRAY_COUNT(hash_commands)};
