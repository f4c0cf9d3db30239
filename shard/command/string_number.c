/*
 * string_number.c: strings as counters: INCR, DECR, INCRBY, DECRBY, INCRBYFLOAT.
 * An integer counter lives in the entry as an integer; nothing is formatted but the reply. A float
 * counter is its text, and its effect is SET of the result: text that another machine would compute
 * from the same addition might differ in its last digit.
 */
#include "core/number.h"
#include "shard/call.h"
#include "shard/command/families.h"
#include "shard/notify.h"

#include <math.h>

static void
counter_add(struct call *call, int64_t increment)
{
    struct view *view = call->views[0];
    if (!view_check_type(call, view, VALUE_STRING)) {
        return;
    }
    int64_t value = 0;
    if (view_exists(view)) {
        if (view->value.encoding == ENCODING_INT) {
            value = view->value.integer;
        } else if (!number_parse_i64(view->value.bytes, &value)) {
            call_not_integer_error(call);
            return;
        }
    }
    if (__builtin_add_overflow(value, increment, &value)) {
        reply_error(call->reply, "ERR increment or decrement would overflow");
        return;
    }
    view_integer_set(call, view, value);
    reply_i64(call->reply, value);
    if (call_has_effects(call)) {
        call_effect_same(call, view);
    }
    call_event(call, view, NOTIFY_STRING, "incrby");
}

static void
incr_run(struct call *call)
{
    counter_add(call, 1);
}

static void
decr_run(struct call *call)
{
    counter_add(call, -1);
}

static void
incrby_run(struct call *call)
{
    int64_t increment;
    if (call_integer(call, 2, &increment, NULL)) {
        counter_add(call, increment);
    }
}

static void
decrby_run(struct call *call)
{
    int64_t decrement;
    if (!call_integer(call, 2, &decrement, NULL)) {
        return;
    }
    if (decrement == INT64_MIN) {
        reply_error(call->reply, "ERR decrement would overflow");
        return;
    }
    counter_add(call, -decrement);
}

static bool
float_read(struct call *call, struct slice text, long double *value)
{
    if (number_parse_long_double(text, value)) {
        return true;
    }
    reply_error(call->reply, "ERR value is not a valid float");
    return false;
}

static void
incrbyfloat_run(struct call *call)
{
    struct view *view = call->views[0];
    char digits[24];
    long double value = 0;
    long double increment;
    if (!view_check_type(call, view, VALUE_STRING) ||
        (view_exists(view) && !float_read(call, view_string(view, digits), &value)) ||
        !float_read(call, call->argv[2], &increment)) {
        return;
    }
    value += increment;
    if (isnan(value) || isinf(value)) {
        reply_error(call->reply, "ERR increment would produce NaN or Infinity");
        return;
    }
    char text[NUMBER_LONG_DOUBLE_SIZE_MAX];
    size_t size = number_format_long_double(text, value);
    char *bytes = call_scratch(call, size);
    memcpy(bytes, text, size);
    view_text_set(call, view, slice_of(bytes, size));
    reply_bulk(call->reply, slice_of(bytes, size));
    struct slice effect[] = {SLICE("SET"), view->key, slice_of(bytes, size), SLICE("KEEPTTL")};
    call_effect(call, view, effect, 4);
    call_event(call, view, NOTIFY_STRING, "incrbyfloat");
}

/* ---- documentation ---- */

#define KEY_ARGUMENT                                                                               \
    {                                                                                              \
        .kind = ARGUMENT_KEY, .name = "key"                                                        \
    }
/** What all rows have in common. */
#define COUNTER_ROW(row_name, row_run, row_arity)                                                  \
    .name = (row_name), .run = (row_run), .arity = (row_arity), .group = GROUP_STRING,             \
    .flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST, .complexity = "O(1)", .key_spec_count = 1,        \
    .key_specs = {KEYS_AT(1, KEY_RW | KEY_ACCESS | KEY_UPDATE)}

static const struct command_argument key_arguments[] = {KEY_ARGUMENT, {0}};
static const struct command_argument incrby_arguments[] = {
    KEY_ARGUMENT,
    {.kind = ARGUMENT_INTEGER, .name = "increment"},
    {0},
};
static const struct command_argument decrby_arguments[] = {
    KEY_ARGUMENT,
    {.kind = ARGUMENT_INTEGER, .name = "decrement"},
    {0},
};
static const struct command_argument incrbyfloat_arguments[] = {
    KEY_ARGUMENT,
    {.kind = ARGUMENT_DOUBLE, .name = "increment"},
    {0},
};

static const struct command string_number_commands[] = {
    {COUNTER_ROW("incr", incr_run, 2), .since = "1.0.0",
     .summary = "Adds one to the integer that a key holds; an absent one counts from 0.",
     .arguments = key_arguments},
    {COUNTER_ROW("decr", decr_run, 2), .since = "1.0.0",
     .summary = "Takes one off the integer that a key holds; an absent one counts from 0.",
     .arguments = key_arguments},
    {COUNTER_ROW("incrby", incrby_run, 3), .since = "1.0.0",
     .summary = "Adds to the integer that a key holds; an absent one counts from 0.",
     .arguments = incrby_arguments},
    {COUNTER_ROW("decrby", decrby_run, 3), .since = "1.0.0",
     .summary = "Subtracts from the integer that a key holds; an absent one counts from 0.",
     .arguments = decrby_arguments},
    {COUNTER_ROW("incrbyfloat", incrbyfloat_run, 3), .since = "2.6.0",
     .summary = "Adds to the decimal number that a key holds; an absent one counts from 0.",
     .arguments = incrbyfloat_arguments},
};

const struct command_family string_number_family = {string_number_commands,
                                                    ARRAY_COUNT(string_number_commands)};
