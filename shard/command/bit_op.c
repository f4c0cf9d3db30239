/*
 * bit_op.c: BITOP: strings combined bit by bit into another.
 * The result is made in memory of its own and handed to the destination's view when it is complete,
 * so that the destination may be one of the sources. Keys may live at any owners: the effect is a
 * SET of the result, for a journal that has the destination need not have the sources.
 */
#include "shard/call.h"
#include "shard/command/families.h"
#include "shard/notify.h"
#include "shard/value/bits.h"
#include "shard/value/raw.h"

struct bitop_word {
    const char *word;
    enum bits_operation operation;
};

static const struct bitop_word bitop_words[] = {
    {"and", BITS_AND},
    {"or", BITS_OR},
    {"xor", BITS_XOR},
    {"not", BITS_NOT},
};

/** Replies the error. */
static bool
bitop_read(struct call *call, enum bits_operation *operation)
{
    size_t i = 0;
    while (i < ARRAY_COUNT(bitop_words) && !slice_is_word(call->argv[1], bitop_words[i].word)) {
        i++;
    }
    if (i == ARRAY_COUNT(bitop_words)) {
        call_syntax_error(call);
        return false;
    }
    *operation = bitop_words[i].operation;
    if (*operation == BITS_NOT && call->argc != 4) {
        reply_error(call->reply, "ERR BITOP NOT must be called with a single source key.");
        return false;
    }
    return true;
}

static bool
bitop_check(struct call *call)
{
    enum bits_operation operation;
    return bitop_read(call, &operation);
}

/** The strings of all views but the first, and the size of the longest. False: one is no string. */
static bool
sources_read(struct call *call, struct slice *sources, size_t *size)
{
    *size = 0;
    for (uint32_t i = 1; i < call->view_count; i++) {
        struct view *view = call->views[i];
        call_count(call, view);
        if (!view_check_type(call, view, VALUE_STRING)) {
            return false;
        }
        char digits[24];
        struct slice bytes = view_string(view, digits);
        if (bytes.data == digits) {
            char *kept = call_scratch(call, sizeof(digits));
            memcpy(kept, digits, sizeof(digits));
            bytes.data = kept;
        }
        sources[i - 1] = bytes;
        *size = MAX(*size, bytes.size);
    }
    return true;
}

/** A string for `view` of this size, not filled yet, where it may stay. */
static struct value
result_new(struct call *call, size_t size, char **data)
{
    if (size <= ENTRY_INLINE_SIZE_MAX) {
        *data = call_scratch(call, size);
        return value_string(slice_of(*data, size), ENCODING_RAW);
    }
    struct memory *memory = &call->shard->memory;
    struct raw *raw = raw_new(memory, size, size);
    memory_disown(memory, raw_block_size(raw));
    *data = raw->data;
    struct value value = value_string(raw_bytes(raw), ENCODING_RAW);
    value.raw = raw;
    return value;
}

static void
bitop_run(struct call *call)
{
    enum bits_operation operation;
    if (!bitop_read(call, &operation)) {
        return;
    }
    ASSERT(call->view_count >= 2);
    struct view *target = call->views[0];
    uint32_t source_count = call->view_count - 1;
    struct slice *sources = call_scratch(call, source_count * sizeof(*sources));
    size_t size;
    if (!sources_read(call, sources, &size)) {
        return;
    }
    if (size == 0) {
        if (view_exists(target)) {
            view_delete(call, target);
            call_effect_delete(call, target);
            call_event(call, target, NOTIFY_GENERIC, "del");
        }
        reply_i64(call->reply, 0);
        return;
    }
    char *data;
    struct value result = result_new(call, size, &data);
    bits_combine(data, size, operation, sources, source_count);
    view_value_set(call, target, &result);
    view_deadline_set(call, target, VIEW_NO_DEADLINE);
    call_effect_set(call, target);
    call_event(call, target, NOTIFY_STRING, "set");
    reply_i64(call->reply, (int64_t)size);
}

/* ---- documentation ---- */

static const struct command_argument bitop_arguments[] = {
    {.kind = ARGUMENT_STRING, .name = "operation"},
    {.kind = ARGUMENT_KEY, .name = "destkey"},
    {.kind = ARGUMENT_KEY, .name = "key", .key_spec_index = 1, .is_multiple = true},
    {0},
};

static const struct command bit_op_commands[] = {
    {.name = "bitop",
     .run = bitop_run,
     .check = bitop_check,
     .flags = CMD_WRITE | CMD_DENYOOM,
     .arity = -4,
     .key_specs = {KEYS_AT(2, KEY_OW | KEY_UPDATE), KEYS_FROM(3, -1, 1, KEY_RO | KEY_ACCESS)},
     .key_spec_count = 2,
     .group = GROUP_BITMAP,
     .since = "2.6.0",
     .complexity = "O(N) where N is the number of bytes of all sources.",
     .summary = "Combines strings bit by bit (AND, OR, XOR, NOT) and stores the result.",
     .arguments = bitop_arguments},
};

const struct command_family bit_op_family = {bit_op_commands, ARRAY_COUNT(bit_op_commands)};
