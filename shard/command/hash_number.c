/*
 * hash_number.c: fields as counters: HINCRBY and HINCRBYFLOAT. A counter keeps its deadline.
 * A float counter's effect is HSET of the result: text that another machine would compute from the
 * same addition might differ in its last digit.
 */
#include "core/number.h"
#include "shard/command/families.h"
#include "shard/command/hash_internal.h"

#include <math.h>

/** The field keeps its deadline, which was read before its value is given up. */
static void
field_store(struct call *call, struct view *view, struct hash *hash, struct slice value,
            int64_t deadline_ms)
{
    struct hash_limits limits = hash_limits_of(call);
    hash_set_timed(hash, &limits, call->argv[2], value, deadline_ms);
    hash_to_view(call, view, hash);
}

static void
hincrby_run(struct call *call)
{
    struct view *view = call->views[0];
    struct hash_pair pair = {.deadline_ms = HASH_NO_DEADLINE};
    int64_t increment;
    int64_t value = 0;
    if (!call_integer(call, 3, &increment, NULL) || !view_check_type(call, view, VALUE_HASH)) {
        return;
    }
    struct hash hash = hash_to_write(call, view, 2, 2);
    if (hash_find(&hash, call->argv[2], &pair) && !number_parse_i64(pair.value, &value)) {
        reply_error(call->reply, "ERR hash value is not an integer");
        return;
    }
    if (__builtin_add_overflow(value, increment, &value)) {
        reply_error(call->reply, "ERR increment or decrement would overflow");
        return;
    }
    char digits[NUMBER_I64_SIZE_MAX];
    struct slice text = slice_of(digits, number_format_i64(digits, value));
    field_store(call, view, &hash, text, pair.deadline_ms);
    call_effect_same(call, view);
    call_event(call, view, NOTIFY_HASH, "hincrby");
    reply_i64(call->reply, value);
}

/** The field holds this text now. */
static void
counter_effect(struct call *call, struct view *view, struct slice text, int64_t deadline_ms)
{
    if (deadline_ms == HASH_NO_DEADLINE) {
        struct slice effect[] = {SLICE("HSET"), view->key, call->argv[2], text};
        call_effect(call, view, effect, 4);
        return;
    }
    char digits[NUMBER_I64_SIZE_MAX];
    struct slice deadline = slice_of(digits, number_format_i64(digits, deadline_ms));
    struct slice effect[] = {SLICE("HSETEX"), view->key,  SLICE("PXAT"), deadline,
                             SLICE("FIELDS"), SLICE("1"), call->argv[2], text};
    call_effect(call, view, effect, 8);
}

static void
hincrbyfloat_run(struct call *call)
{
    struct view *view = call->views[0];
    struct hash_pair pair = {.deadline_ms = HASH_NO_DEADLINE};
    long double increment;
    long double value = 0;
    if (!number_parse_long_double(call->argv[3], &increment)) {
        reply_error(call->reply, "ERR value is not a valid float");
        return;
    }
    if (isnan(increment) || isinf(increment)) {
        reply_error(call->reply, "ERR value is NaN or Infinity");
        return;
    }
    if (!view_check_type(call, view, VALUE_HASH)) {
        return;
    }
    struct hash hash = hash_to_write(call, view, 2, 2);
    if (hash_find(&hash, call->argv[2], &pair) && !number_parse_long_double(pair.value, &value)) {
        reply_error(call->reply, "ERR hash value is not a float");
        return;
    }
    value += increment;
    if (isnan(value) || isinf(value)) {
        reply_error(call->reply, "ERR increment would produce NaN or Infinity");
        return;
    }
    char result[NUMBER_LONG_DOUBLE_SIZE_MAX];
    struct slice text = slice_of(result, number_format_long_double(result, value));
    field_store(call, view, &hash, text, pair.deadline_ms);
    reply_bulk(call->reply, text);
    counter_effect(call, view, text, pair.deadline_ms);
    call_event(call, view, NOTIFY_HASH, "hincrbyfloat");
}

/* ---- documentation ---- */

static const struct command_argument hincrby_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "key"},
    {.kind = ARGUMENT_STRING, .name = "field"},
    {.kind = ARGUMENT_INTEGER, .name = "increment"},
    {0},
};
static const struct command_argument hincrbyfloat_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "key"},
    {.kind = ARGUMENT_STRING, .name = "field"},
    {.kind = ARGUMENT_DOUBLE, .name = "increment"},
    {0},
};

static const struct command hash_number_commands[] = {
    {.name = "hincrby",
     .run = hincrby_run,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST,
     .arity = 4,
     .key_specs = {KEYS_AT(1, KEY_RW | KEY_ACCESS | KEY_UPDATE)},
     .key_spec_count = 1,
     .group = GROUP_HASH,
     .since = "2.0.0",
     .complexity = "O(1)",
     .summary = "Adds to the integer that a field holds; an absent one counts from 0.",
     .arguments = hincrby_arguments},
    {.name = "hincrbyfloat",
     .run = hincrbyfloat_run,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST,
     .arity = 4,
     .key_specs = {KEYS_AT(1, KEY_RW | KEY_ACCESS | KEY_UPDATE)},
     .key_spec_count = 1,
     .group = GROUP_HASH,
     .since = "2.6.0",
     .complexity = "O(1)",
     .summary = "Adds to the decimal number that a field holds; an absent one counts from 0.",
     .arguments = hincrbyfloat_arguments},
};

const struct command_family hash_number_family = {hash_number_commands,
                                                  ARRAY_COUNT(hash_number_commands)};
