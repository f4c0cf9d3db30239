/*
 * bit.c: single bits of a string, and counting and finding them: SETBIT, GETBIT, BITCOUNT, BITPOS.
 * Reads work on the bytes where they lie (shard/value/bits.h). SETBIT asks the view for writable
 * bytes only when something is to change, so that a borrower does not copy a large string in order
 * to leave it as it is.
 *
 * The order in which mistakes are found is redis-server's: BITCOUNT and BITPOS on an absent key do
 * not look at their range at all.
 */
#include "shard/command/bit.h"

#include "core/number.h"
#include "shard/call.h"
#include "shard/command/families.h"
#include "shard/notify.h"
#include "shard/value/bits.h"

bool
bit_offset_read(struct call *call, uint32_t index, uint32_t width, uint64_t *offset)
{
    struct slice word = call->argv[index];
    int64_t value;
    uint64_t scale = 1;
    if (width > 0 && word.size > 0 && word.data[0] == '#') {
        word = slice_of(word.data + 1, word.size - 1);
        scale = width;
    }
    if (number_parse_i64(word, &value)) {
        /* Wraps as redis-server's product does. */
        value = (int64_t)((uint64_t)value * scale);
        if (value >= 0 && (uint64_t)value >> 3 < call_string_size_max(call)) {
            *offset = (uint64_t)value;
            return true;
        }
    }
    reply_error(call->reply, "ERR bit offset is not an integer or out of range");
    return false;
}

static void
setbit_run(struct call *call)
{
    struct view *view = call->views[0];
    uint64_t offset;
    int64_t bit;
    if (!bit_offset_read(call, 2, 0, &offset) ||
        !call_integer_in(call, 3, 0, 1, &bit, "ERR bit is not an integer or out of range") ||
        !view_check_type(call, view, VALUE_STRING)) {
        return;
    }
    char digits[24];
    struct slice bytes = view_string(view, digits);
    bool was_set = bits_get(bytes, offset);
    bool is_change = offset >> 3 >= bytes.size || was_set != (bit == 1);
    if (is_change || view->value.encoding != ENCODING_RAW) {
        char *data = view_string_edit(call, view, MAX(bytes.size, (size_t)(offset >> 3) + 1));
        unsigned mask = 0x80U >> (offset & 7);
        unsigned byte = (unsigned char)data[offset >> 3];
        data[offset >> 3] = (char)(bit == 1 ? byte | mask : byte & ~mask);
    }
    reply_i64(call->reply, was_set);
    if (is_change) {
        call_effect_same(call, view);
        call_event(call, view, NOTIFY_STRING, "setbit");
    }
}

static void
getbit_run(struct call *call)
{
    struct view *view = call->views[0];
    uint64_t offset;
    if (!bit_offset_read(call, 2, 0, &offset) || !view_check_type(call, view, VALUE_STRING)) {
        return;
    }
    char digits[24];
    reply_i64(call->reply, bits_get(view_string(view, digits), offset));
}

/* ---- ranges ---- */

/** A range of bits, both ends included; empty where first > last. */
struct bit_range {
    int64_t first;
    int64_t last;
};

/** BYTE or BIT. Replies the error. */
static bool
unit_read(struct call *call, uint32_t index, bool *is_bit)
{
    *is_bit = slice_is_word(call->argv[index], "bit");
    if (!*is_bit && !slice_is_word(call->argv[index], "byte")) {
        call_syntax_error(call);
        return false;
    }
    return true;
}

/** From what was asked for, in units, to bits of a string of `size` bytes. */
static struct bit_range
range_resolve(size_t size, int64_t start, int64_t end, bool is_bit)
{
    int64_t total = is_bit ? (int64_t)size * 8 : (int64_t)size;
    start = MAX(start < 0 ? start + total : start, 0);
    end = MIN(MAX(end < 0 ? end + total : end, 0), total - 1);
    if (start > end) {
        return (struct bit_range){.first = 0, .last = -1};
    }
    if (is_bit) {
        return (struct bit_range){.first = start, .last = end};
    }
    return (struct bit_range){.first = start * 8, .last = end * 8 + 7};
}

static void
bitcount_run(struct call *call)
{
    struct view *view = call->views[0];
    if (!view_exists(view)) {
        reply_i64(call->reply, 0);
        return;
    }
    if (!view_check_type(call, view, VALUE_STRING)) {
        return;
    }
    char digits[24];
    struct slice bytes = view_string(view, digits);
    if (call->argc == 2) {
        reply_i64(call->reply, (int64_t)bits_count(bytes.data, bytes.size));
        return;
    }
    if (call->argc != 4 && call->argc != 5) {
        call_syntax_error(call);
        return;
    }
    int64_t start;
    int64_t end;
    bool is_bit = false;
    if (!call_integer(call, 2, &start, NULL) || !call_integer(call, 3, &end, NULL)) {
        return;
    }
    if (start < 0 && end < 0 && start > end) {
        reply_i64(call->reply, 0);
        return;
    }
    if (call->argc == 5 && !unit_read(call, 4, &is_bit)) {
        return;
    }
    struct bit_range range = range_resolve(bytes.size, start, end, is_bit);
    uint64_t count = range.first > range.last ? 0
                                              : bits_count_range(bytes.data, (uint64_t)range.first,
                                                                 (uint64_t)range.last);
    reply_i64(call->reply, (int64_t)count);
}

/** BITPOS's range and its unit. Replies the error. */
static bool
bitpos_range_read(struct call *call, size_t size, struct bit_range *range)
{
    int64_t start = 0;
    int64_t end = (int64_t)size - 1;
    bool is_bit = false;
    if (call->argc > 6) {
        call_syntax_error(call);
        return false;
    }
    if ((call->argc > 3 && !call_integer(call, 3, &start, NULL)) ||
        (call->argc > 5 && !unit_read(call, 5, &is_bit)) ||
        (call->argc > 4 && !call_integer(call, 4, &end, NULL))) {
        return false;
    }
    *range = range_resolve(size, start, end, is_bit);
    return true;
}

static void
bitpos_run(struct call *call)
{
    struct view *view = call->views[0];
    int64_t bit;
    if (!call_integer(call, 2, &bit, NULL)) {
        return;
    }
    if (bit != 0 && bit != 1) {
        reply_error(call->reply, "ERR The bit argument must be 1 or 0.");
        return;
    }
    if (!view_exists(view)) {
        reply_i64(call->reply, bit == 1 ? -1 : 0);
        return;
    }
    if (!view_check_type(call, view, VALUE_STRING)) {
        return;
    }
    char digits[24];
    struct slice bytes = view_string(view, digits);
    struct bit_range range;
    if (!bitpos_range_read(call, bytes.size, &range)) {
        return;
    }
    if (range.first > range.last) {
        reply_i64(call->reply, -1);
        return;
    }
    int64_t position = bits_find(bytes.data, (uint64_t)range.first, (uint64_t)range.last, bit == 1);
    if (position < 0 && bit == 0 && call->argc <= 4) {
        /* Without an end the string goes on in zeros. */
        position = (int64_t)bytes.size * 8;
    }
    reply_i64(call->reply, position);
}

/* ---- documentation ---- */

#define KEY_ARGUMENT                                                                               \
    {                                                                                              \
        .kind = ARGUMENT_KEY, .name = "key"                                                        \
    }

static const struct command_argument unit_arguments[] = {
    {.kind = ARGUMENT_PURE_TOKEN, .name = "byte", .token = "BYTE"},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "bit", .token = "BIT"},
    {0},
};
static const struct command_argument setbit_arguments[] = {
    KEY_ARGUMENT,
    {.kind = ARGUMENT_INTEGER, .name = "offset"},
    {.kind = ARGUMENT_INTEGER, .name = "value"},
    {0},
};
static const struct command_argument getbit_arguments[] = {
    KEY_ARGUMENT,
    {.kind = ARGUMENT_INTEGER, .name = "offset"},
    {0},
};
static const struct command_argument bitcount_range_arguments[] = {
    {.kind = ARGUMENT_INTEGER, .name = "start"},
    {.kind = ARGUMENT_INTEGER, .name = "end"},
    {.kind = ARGUMENT_ONEOF,
     .name = "index_unit",
     .since = "7.0.0",
     .is_optional = true,
     .arguments = unit_arguments},
    {0},
};
static const struct command_argument bitcount_arguments[] = {
    KEY_ARGUMENT,
    {.kind = ARGUMENT_BLOCK,
     .name = "index",
     .is_optional = true,
     .arguments = bitcount_range_arguments},
    {0},
};
static const struct command_argument bitpos_end_arguments[] = {
    {.kind = ARGUMENT_INTEGER, .name = "end"},
    {.kind = ARGUMENT_ONEOF,
     .name = "index_unit",
     .since = "7.0.0",
     .is_optional = true,
     .arguments = unit_arguments},
    {0},
};
static const struct command_argument bitpos_range_arguments[] = {
    {.kind = ARGUMENT_INTEGER, .name = "start"},
    {.kind = ARGUMENT_BLOCK,
     .name = "end_index",
     .is_optional = true,
     .arguments = bitpos_end_arguments},
    {0},
};
static const struct command_argument bitpos_arguments[] = {
    KEY_ARGUMENT,
    {.kind = ARGUMENT_INTEGER, .name = "bit"},
    {.kind = ARGUMENT_BLOCK,
     .name = "index",
     .is_optional = true,
     .arguments = bitpos_range_arguments},
    {0},
};
static const struct command_history unit_history[] = {
    {"7.0.0", "Takes BYTE or BIT as the unit of its range."},
    {NULL, NULL},
};

static const struct command bit_commands[] = {
    {.name = "setbit",
     .run = setbit_run,
     .flags = CMD_WRITE | CMD_DENYOOM,
     .arity = 4,
     .key_specs = {KEYS_AT(1, KEY_RW | KEY_ACCESS | KEY_UPDATE)},
     .key_spec_count = 1,
     .group = GROUP_BITMAP,
     .since = "2.2.0",
     .complexity = "O(1)",
     .summary = "Sets or clears one bit of a string, which grows where it is too short.",
     .arguments = setbit_arguments},
    {.name = "getbit",
     .run = getbit_run,
     .flags = CMD_READONLY | CMD_FAST,
     .arity = 3,
     .key_specs = {KEYS_AT(1, KEY_RO | KEY_ACCESS)},
     .key_spec_count = 1,
     .group = GROUP_BITMAP,
     .since = "2.2.0",
     .complexity = "O(1)",
     .summary = "Answers one bit of a string.",
     .arguments = getbit_arguments},
    {.name = "bitcount",
     .run = bitcount_run,
     .flags = CMD_READONLY,
     .arity = -2,
     .key_specs = {KEYS_AT(1, KEY_RO | KEY_ACCESS)},
     .key_spec_count = 1,
     .group = GROUP_BITMAP,
     .since = "2.6.0",
     .complexity = "O(N) where N is the number of bytes that are looked at.",
     .summary = "Counts the bits that are set in a string or in a part of it.",
     .history = unit_history,
     .arguments = bitcount_arguments},
    {.name = "bitpos",
     .run = bitpos_run,
     .flags = CMD_READONLY,
     .arity = -3,
     .key_specs = {KEYS_AT(1, KEY_RO | KEY_ACCESS)},
     .key_spec_count = 1,
     .group = GROUP_BITMAP,
     .since = "2.8.7",
     .complexity = "O(N) where N is the number of bytes that are looked at.",
     .summary = "Finds the first bit that is set, or clear, in a string or in a part of it.",
     .history = unit_history,
     .arguments = bitpos_arguments},
};

const struct command_family bit_family = {bit_commands, ARRAY_COUNT(bit_commands)};
