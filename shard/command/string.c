/*
 * string.c: one string read or edited: GET, STRLEN, GETRANGE, SUBSTR, APPEND, SETRANGE.
 * Reads answer from where the bytes lie. The two edits ask the view for writable bytes and write
 * what is new; that the string was an integer or lay in its entry before is the view's affair.
 */
#include "shard/call.h"
#include "shard/command/families.h"
#include "shard/notify.h"

static void
get_run(struct call *call)
{
    struct view *view = call->views[0];
    if (view_check_type(call, view, VALUE_STRING)) {
        view_string_reply(call, view);
    }
}

static void
strlen_run(struct call *call)
{
    struct view *view = call->views[0];
    if (view_check_type(call, view, VALUE_STRING)) {
        reply_i64(call->reply, (int64_t)view_string_size(view));
    }
}

static void
getrange_run(struct call *call)
{
    struct view *view = call->views[0];
    int64_t start;
    int64_t end;
    if (!call_integer(call, 2, &start, NULL) || !call_integer(call, 3, &end, NULL) ||
        !view_check_type(call, view, VALUE_STRING)) {
        return;
    }
    char digits[24];
    struct slice bytes = view_string(view, digits);
    int64_t size = (int64_t)bytes.size;
    if (start < 0 && end < 0 && start > end) {
        reply_bulk(call->reply, SLICE(""));
        return;
    }
    start = MAX(start < 0 ? start + size : start, 0);
    end = MIN(MAX(end < 0 ? end + size : end, 0), size - 1);
    if (start > end) {
        reply_bulk(call->reply, SLICE(""));
        return;
    }
    reply_bulk(call->reply, slice_of(bytes.data + start, (size_t)(end - start + 1)));
}

/** Would a string of size + more bytes be larger than clients may make it? Replies the error then.
 */
static bool
size_check(struct call *call, uint64_t size, uint64_t more)
{
    uint64_t sum;
    if (__builtin_add_overflow(size, more, &sum) || sum > call_string_size_max(call)) {
        reply_error(call->reply, "ERR string exceeds maximum allowed size (proto-max-bulk-len)");
        return false;
    }
    return true;
}

static void
append_run(struct call *call)
{
    struct view *view = call->views[0];
    struct slice bytes = call->argv[2];
    if (!view_exists(view)) {
        view_string_set(call, view, bytes);
        reply_i64(call->reply, (int64_t)bytes.size);
        call_effect_same(call, view);
        call_event(call, view, NOTIFY_STRING, "append");
        return;
    }
    if (!view_check_type(call, view, VALUE_STRING)) {
        return;
    }
    size_t size = view_string_size(view);
    if (!size_check(call, size, bytes.size)) {
        return;
    }
    char *data = view_string_edit(call, view, size + bytes.size);
    if (bytes.size > 0) {
        memcpy(data + size, bytes.data, bytes.size);
    }
    reply_i64(call->reply, (int64_t)(size + bytes.size));
    call_effect_same(call, view);
    call_event(call, view, NOTIFY_STRING, "append");
}

static void
setrange_run(struct call *call)
{
    struct view *view = call->views[0];
    int64_t offset;
    if (!call_integer(call, 2, &offset, NULL)) {
        return;
    }
    if (offset < 0) {
        reply_error(call->reply, "ERR offset is out of range");
        return;
    }
    if (!view_check_type(call, view, VALUE_STRING)) {
        return;
    }
    struct slice bytes = call->argv[3];
    size_t size = view_string_size(view);
    if (bytes.size == 0) {
        /* Nothing to write: the string does not grow, and an absent one does not come into being.
         */
        reply_i64(call->reply, (int64_t)size);
        return;
    }
    if (!size_check(call, (uint64_t)offset, bytes.size)) {
        return;
    }
    size_t new_size = MAX(size, (size_t)offset + bytes.size);
    char *data = view_string_edit(call, view, new_size);
    memcpy(data + offset, bytes.data, bytes.size);
    reply_i64(call->reply, (int64_t)new_size);
    call_effect_same(call, view);
    call_event(call, view, NOTIFY_STRING, "setrange");
}

/* ---- documentation ---- */

#define KEY_ARGUMENT                                                                               \
    {                                                                                              \
        .kind = ARGUMENT_KEY, .name = "key"                                                        \
    }

static const struct command_argument key_arguments[] = {KEY_ARGUMENT, {0}};
static const struct command_argument append_arguments[] = {
    KEY_ARGUMENT,
    {.kind = ARGUMENT_STRING, .name = "value"},
    {0},
};
static const struct command_argument getrange_arguments[] = {
    KEY_ARGUMENT,
    {.kind = ARGUMENT_INTEGER, .name = "start"},
    {.kind = ARGUMENT_INTEGER, .name = "end"},
    {0},
};
static const struct command_argument setrange_arguments[] = {
    KEY_ARGUMENT,
    {.kind = ARGUMENT_INTEGER, .name = "offset"},
    {.kind = ARGUMENT_STRING, .name = "value"},
    {0},
};

static const struct command string_commands[] = {
    {.name = "get",
     .run = get_run,
     .flags = CMD_READONLY | CMD_FAST,
     .arity = 2,
     .key_specs = {KEYS_AT(1, KEY_RO | KEY_ACCESS)},
     .key_spec_count = 1,
     .group = GROUP_STRING,
     .since = "1.0.0",
     .complexity = "O(1)",
     .summary = "Answers the string that a key holds.",
     .arguments = key_arguments},
    {.name = "strlen",
     .run = strlen_run,
     .flags = CMD_READONLY | CMD_FAST,
     .arity = 2,
     .key_specs = {KEYS_AT(1, KEY_RO)},
     .key_spec_count = 1,
     .group = GROUP_STRING,
     .since = "2.2.0",
     .complexity = "O(1)",
     .summary = "Answers how many bytes a string has.",
     .arguments = key_arguments},
    {.name = "getrange",
     .run = getrange_run,
     .flags = CMD_READONLY,
     .arity = 4,
     .key_specs = {KEYS_AT(1, KEY_RO | KEY_ACCESS)},
     .key_spec_count = 1,
     .group = GROUP_STRING,
     .since = "2.4.0",
     .complexity = "O(N) where N is the number of bytes that are answered.",
     .summary = "Answers the bytes of a string from one position to another.",
     .arguments = getrange_arguments},
    {.name = "substr",
     .run = getrange_run,
     .flags = CMD_READONLY,
     .arity = 4,
     .key_specs = {KEYS_AT(1, KEY_RO | KEY_ACCESS)},
     .key_spec_count = 1,
     .group = GROUP_STRING,
     .since = "1.0.0",
     .complexity = "O(N) where N is the number of bytes that are answered.",
     .summary = "Answers the bytes of a string from one position to another, by its old name.",
     .deprecated_since = "2.0.0",
     .replaced_by = "`GETRANGE`",
     .arguments = getrange_arguments},
    {.name = "append",
     .run = append_run,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST,
     .arity = 3,
     .key_specs = {KEYS_AT(1, KEY_RW | KEY_INSERT)},
     .key_spec_count = 1,
     .group = GROUP_STRING,
     .since = "2.0.0",
     .complexity = "O(N) where N is the number of bytes that are appended, amortized over many "
                   "appends to one string.",
     .summary = "Writes bytes behind the end of a string.",
     .arguments = append_arguments},
    {.name = "setrange",
     .run = setrange_run,
     .flags = CMD_WRITE | CMD_DENYOOM,
     .arity = 4,
     .key_specs = {KEYS_AT(1, KEY_RW | KEY_UPDATE)},
     .key_spec_count = 1,
     .group = GROUP_STRING,
     .since = "2.2.0",
     .complexity = "O(N) where N is the number of bytes that are written, zeros before them "
                   "included.",
     .summary = "Writes bytes at a position of a string, with zeros up to it where it was shorter.",
     .arguments = setrange_arguments},
};

const struct command_family string_family = {string_commands, ARRAY_COUNT(string_commands)};
