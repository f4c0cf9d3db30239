/*
 * bit_field.c: integers of any width anywhere in a string: BITFIELD, BITFIELD_RO.
 * All operations of a command are read before any of them runs, so that a mistake in the last one
 * leaves the string as it was. Then the string grows once, to the end of the farthest field that is
 * written; that happens also when OVERFLOW FAIL lets no operation write.
 *
 *     BITFIELD k  OVERFLOW SAT  SET u8 #0 300  INCRBY i5 100 1  GET u4 0
 *       fields:  [SET u8, bit 0, SAT, 300] [INCRBY i5, bit 100, SAT, 1] [GET u4, bit 0]
 *
 * A command of nothing but GETs is a read: it neither creates nor changes anything.
 */
#include "core/number.h"
#include "shard/call.h"
#include "shard/command/bit.h"
#include "shard/command/families.h"
#include "shard/notify.h"
#include "shard/value/bits.h"

enum field_overflow {
    OVERFLOW_WRAP,
    OVERFLOW_SAT,
    OVERFLOW_FAIL,
};

enum field_operation {
    FIELD_GET,
    FIELD_SET,
    FIELD_INCRBY,
};

struct field {
    uint64_t offset;
    int64_t argument; /* of SET and INCRBY */
    uint8_t operation;
    uint8_t overflow;
    uint8_t width;
    bool is_signed;
};

struct field_list {
    struct field *fields;
    uint32_t count;
    bool is_write;
    uint64_t last_bit; /* the farthest that is written */
};

/* ---- reading ---- */

/** "u8", "i16". Replies the error. */
static bool
field_type_read(struct call *call, uint32_t index, struct field *field)
{
    struct slice word = call->argv[index];
    int64_t width = 0;
    bool is_type = word.size > 1 && (word.data[0] == 'i' || word.data[0] == 'u') &&
                   number_parse_i64(slice_of(word.data + 1, word.size - 1), &width);
    field->is_signed = is_type && word.data[0] == 'i';
    if (!is_type || width < 1 || width > (field->is_signed ? 64 : 63)) {
        reply_error(call->reply, "ERR Invalid bitfield type. Use something like i16 u8. Note that "
                                 "u64 is not supported but i64 is.");
        return false;
    }
    field->width = (uint8_t)width;
    return true;
}

/** Replies the error. */
static bool
field_overflow_read(struct call *call, uint32_t index, enum field_overflow *overflow)
{
    struct slice word = call->argv[index];
    if (slice_is_word(word, "wrap")) {
        *overflow = OVERFLOW_WRAP;
    } else if (slice_is_word(word, "sat")) {
        *overflow = OVERFLOW_SAT;
    } else if (slice_is_word(word, "fail")) {
        *overflow = OVERFLOW_FAIL;
    } else {
        reply_error(call->reply, "ERR Invalid OVERFLOW type specified");
        return false;
    }
    return true;
}

/** How many words behind it an operation has; 0: the word is no operation. */
static uint32_t
field_operation_find(struct slice word, enum field_operation *operation)
{
    if (slice_is_word(word, "get")) {
        *operation = FIELD_GET;
        return 2;
    }
    if (slice_is_word(word, "set")) {
        *operation = FIELD_SET;
        return 3;
    }
    if (slice_is_word(word, "incrby")) {
        *operation = FIELD_INCRBY;
        return 3;
    }
    return 0;
}

/** All operations of the command line. Replies the error. */
static bool
field_list_read(struct call *call, struct field_list *list)
{
    *list = (struct field_list){.fields = call_scratch(call, call->argc * sizeof(struct field))};
    enum field_overflow overflow = OVERFLOW_WRAP;
    for (uint32_t i = 2; i < call->argc;) {
        uint32_t left = call->argc - i - 1;
        if (slice_is_word(call->argv[i], "overflow") && left >= 1) {
            if (!field_overflow_read(call, i + 1, &overflow)) {
                return false;
            }
            i += 2;
            continue;
        }
        enum field_operation operation = FIELD_GET;
        uint32_t word_count = field_operation_find(call->argv[i], &operation);
        if (word_count == 0 || left < word_count) {
            call_syntax_error(call);
            return false;
        }
        struct field *field = &list->fields[list->count++];
        *field = (struct field){.operation = (uint8_t)operation, .overflow = (uint8_t)overflow};
        if (!field_type_read(call, i + 1, field) ||
            !bit_offset_read(call, i + 2, field->width, &field->offset)) {
            return false;
        }
        if (operation != FIELD_GET) {
            if (!call_integer(call, i + 3, &field->argument, NULL)) {
                return false;
            }
            list->is_write = true;
            list->last_bit = MAX(list->last_bit, field->offset + field->width - 1);
        }
        i += 1 + word_count;
    }
    return true;
}

/* ---- arithmetic ---- */

static inline int64_t
field_sign_extend(uint64_t bits, uint32_t width)
{
    return (int64_t)(bits << (64 - width)) >> (64 - width);
}

/**
 * base + increment in a field of this type: into *result as the overflow mode has it. False: it
 * does not fit and the mode is FAIL. Unsigned fields take `base` for 64 bits without a sign.
 */
static bool
field_add(const struct field *field, int64_t base, int64_t increment, int64_t *result)
{
    uint32_t value_width = field->is_signed ? field->width - 1U : field->width;
    int64_t max = (int64_t)((UINT64_C(1) << value_width) - 1);
    int64_t min = field->is_signed ? -max - 1 : 0;
    __int128 sum = field->is_signed ? (__int128)base : (__int128)(uint64_t)base;
    sum += increment;
    bool is_above = sum > max;
    bool is_below = sum < min;
    if (field->is_signed && field->width < 64 && base < max - INT64_MAX) {
        /* What SET gives so far below a narrow field counts as above it: redis-server's room up to
         * the maximum wraps there, and SAT shows it. */
        is_above = true;
        is_below = false;
    }
    if (!is_above && !is_below) {
        *result = (int64_t)sum;
        return true;
    }
    switch ((enum field_overflow)field->overflow) {
    case OVERFLOW_WRAP:
        *result = field->is_signed ? field_sign_extend((uint64_t)sum, field->width)
                                   : (int64_t)((uint64_t)sum & ((UINT64_C(1) << field->width) - 1));
        return true;
    case OVERFLOW_SAT:
        *result = is_above ? max : min;
        return true;
    case OVERFLOW_FAIL:
        break;
    }
    return false;
}

static int64_t
field_load(const struct field *field, struct slice bytes)
{
    uint64_t bits = bits_read(bytes, field->offset, field->width);
    return field->is_signed ? field_sign_extend(bits, field->width) : (int64_t)bits;
}

/* ---- running ---- */

static void
fields_get(struct call *call, const struct field_list *list)
{
    char digits[24];
    struct slice bytes = view_string(call->views[0], digits);
    for (uint32_t i = 0; i < list->count; i++) {
        reply_i64(call->reply, field_load(&list->fields[i], bytes));
    }
}

/** SET or INCRBY. False: FAIL kept it from writing. *is_other becomes true where that made a
 * difference. */
static bool
field_write(struct call *call, const struct field *field, char *data, size_t size, bool *is_other)
{
    int64_t old = field_load(field, slice_of(data, size));
    bool is_set = field->operation == FIELD_SET;
    int64_t fresh;
    if (!field_add(field, is_set ? field->argument : old, is_set ? 0 : field->argument, &fresh)) {
        reply_null(call->reply);
        return false;
    }
    bits_write(data, size, field->offset, field->width, (uint64_t)fresh);
    reply_i64(call->reply, is_set ? old : fresh);
    *is_other |= fresh != old;
    return true;
}

static void
fields_write(struct call *call, const struct field_list *list)
{
    struct view *view = call->views[0];
    size_t old_size = view_string_size(view);
    size_t size = MAX(old_size, (size_t)(list->last_bit >> 3) + 1);
    bool is_grown = !view_exists(view) || size > old_size;
    bool is_written = false;
    bool is_other = false;
    char *data = view_string_edit(call, view, size);
    for (uint32_t i = 0; i < list->count; i++) {
        const struct field *field = &list->fields[i];
        if (field->operation == FIELD_GET) {
            reply_i64(call->reply, field_load(field, slice_of(data, size)));
        } else {
            is_written |= field_write(call, field, data, size, &is_other);
        }
    }
    if (is_grown || is_written) {
        call_effect_same(call, view);
    }
    if (is_other || (is_grown && is_written)) {
        call_event(call, view, NOTIFY_STRING, "setbit");
    }
}

static void
bitfield_run(struct call *call)
{
    struct view *view = call->views[0];
    struct field_list list;
    if (!field_list_read(call, &list)) {
        return;
    }
    bool is_read_only = (call->command->flags & CMD_WRITE) == 0;
    if (list.is_write && is_read_only) {
        reply_error(call->reply, "ERR BITFIELD_RO only supports the GET subcommand");
        return;
    }
    if (!list.is_write && !is_read_only) {
        call_count(call, view);
    }
    if (!view_check_type(call, view, VALUE_STRING)) {
        return;
    }
    reply_array(call->reply, list.count);
    if (list.is_write) {
        fields_write(call, &list);
    } else {
        fields_get(call, &list);
    }
}

/** A command of nothing but GETs reads. */
static uint32_t
bitfield_key_flags(const struct slice *argv, uint32_t argc)
{
    for (uint32_t i = 2; i < argc;) {
        uint32_t left = argc - i - 1;
        if (slice_is_word(argv[i], "get") && left >= 2) {
            i += 3;
        } else if (slice_is_word(argv[i], "overflow") && left >= 1) {
            i += 2;
        } else {
            return KEY_RW | KEY_ACCESS | KEY_UPDATE;
        }
    }
    return KEY_RO | KEY_ACCESS;
}

/* ---- documentation ---- */

#define KEY_ARGUMENT                                                                               \
    {                                                                                              \
        .kind = ARGUMENT_KEY, .name = "key"                                                        \
    }

static const struct command_argument get_arguments[] = {
    {.kind = ARGUMENT_STRING, .name = "encoding"},
    {.kind = ARGUMENT_INTEGER, .name = "offset"},
    {0},
};
static const struct command_argument set_arguments[] = {
    {.kind = ARGUMENT_STRING, .name = "encoding"},
    {.kind = ARGUMENT_INTEGER, .name = "offset"},
    {.kind = ARGUMENT_INTEGER, .name = "value"},
    {0},
};
static const struct command_argument incrby_arguments[] = {
    {.kind = ARGUMENT_STRING, .name = "encoding"},
    {.kind = ARGUMENT_INTEGER, .name = "offset"},
    {.kind = ARGUMENT_INTEGER, .name = "increment"},
    {0},
};
static const struct command_argument overflow_arguments[] = {
    {.kind = ARGUMENT_PURE_TOKEN, .name = "wrap", .token = "WRAP"},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "sat", .token = "SAT"},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "fail", .token = "FAIL"},
    {0},
};
static const struct command_argument write_operation_arguments[] = {
    {.kind = ARGUMENT_BLOCK,
     .name = "encoding_offset_value",
     .token = "SET",
     .arguments = set_arguments},
    {.kind = ARGUMENT_BLOCK,
     .name = "encoding_offset_increment",
     .token = "INCRBY",
     .arguments = incrby_arguments},
    {0},
};
static const struct command_argument write_arguments[] = {
    {.kind = ARGUMENT_ONEOF,
     .name = "wrap_sat_fail",
     .token = "OVERFLOW",
     .is_optional = true,
     .arguments = overflow_arguments},
    {.kind = ARGUMENT_ONEOF, .name = "write_operation", .arguments = write_operation_arguments},
    {0},
};
static const struct command_argument operation_arguments[] = {
    {.kind = ARGUMENT_BLOCK, .name = "encoding_offset", .token = "GET", .arguments = get_arguments},
    {.kind = ARGUMENT_BLOCK, .name = "write", .arguments = write_arguments},
    {0},
};
static const struct command_argument bitfield_arguments[] = {
    KEY_ARGUMENT,
    {.kind = ARGUMENT_ONEOF,
     .name = "operation",
     .is_optional = true,
     .is_multiple = true,
     .arguments = operation_arguments},
    {0},
};
static const struct command_argument bitfield_ro_arguments[] = {
    KEY_ARGUMENT,
    {.kind = ARGUMENT_BLOCK,
     .name = "encoding_offset",
     .token = "GET",
     .is_optional = true,
     .is_multiple = true,
     .is_multiple_token = true,
     .arguments = get_arguments},
    {0},
};

static const struct command bit_field_commands[] = {
    {.name = "bitfield",
     .run = bitfield_run,
     .flags = CMD_WRITE | CMD_DENYOOM,
     .arity = -2,
     .key_specs = {{.flags = KEY_RW | KEY_ACCESS | KEY_UPDATE | KEY_VARIABLE_FLAGS,
                    .notes = "Whether the key is read or changed depends on the operations",
                    .begin = KEYS_BEGIN_INDEX,
                    .begin_index = 1,
                    .find = KEYS_FIND_RANGE,
                    .step = 1}},
     .key_spec_count = 1,
     .key_flags = bitfield_key_flags,
     .group = GROUP_BITMAP,
     .since = "3.2.0",
     .complexity = "O(1) for each operation.",
     .summary = "Reads, sets and adds to integers of any width within a string.",
     .arguments = bitfield_arguments},
    {.name = "bitfield_ro",
     .run = bitfield_run,
     .flags = CMD_READONLY | CMD_FAST,
     .arity = -2,
     .key_specs = {KEYS_AT(1, KEY_RO | KEY_ACCESS)},
     .key_spec_count = 1,
     .group = GROUP_BITMAP,
     .since = "6.0.0",
     .complexity = "O(1) for each operation.",
     .summary = "Reads integers of any width within a string.",
     .arguments = bitfield_ro_arguments},
};

const struct command_family bit_field_family = {bit_field_commands,
                                                ARRAY_COUNT(bit_field_commands)};
