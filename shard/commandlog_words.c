/*
 * commandlog_words.c: what the logs copy of a command line: enough to recognize it, bounded, and
 * nothing that lets a reader of the log in. 32 arguments of 128 bytes at the most:
 *
 *     MSET a 1 b 2 ... (969 more arguments)         SET k xxxxx... (99872 more bytes)
 *
 * A log is read after the command's views are committed. A large argument may have become a value
 * in memory of its own by then, and that value may be gone again (MSET with one key twice):
 * argument_is_there() tells. What is gone is shown by its size alone.
 */
#include "shard/commandlog_words.h"

#include "core/heap.h"
#include "core/number.h"
#include "net/resp.h"

#include <stdio.h>

/* ---- secrets ---- */

static bool
row_is(const struct command *command, const char *parent, const char *name)
{
    bool is_parent_same = parent == NULL
                              ? command->parent == NULL
                              : command->parent != NULL && strcmp(command->parent, parent) == 0;
    return is_parent_same && strcmp(command->name, name) == 0;
}

/** Is argv[index] one of the `count` arguments behind this word? */
static bool
is_behind_word(const struct slice *argv, uint32_t index, const char *word, uint32_t count)
{
    for (uint32_t i = 1; i <= count && i < index; i++) {
        if (slice_is_word(argv[index - i], word)) {
            return true;
        }
    }
    return false;
}

static bool
directive_is_secret(struct slice name)
{
    static const char *const names[] = {
        "requirepass", "masterauth",        "masteruser",
        "primaryauth", "tls-key-file-pass", "tls-client-key-file-pass",
        "primaryuser",
    };
    for (uint32_t i = 0; i < ARRAY_COUNT(names); i++) {
        if (slice_is_word(name, names[i])) {
            return true;
        }
    }
    return false;
}

bool
commandlog_is_secret(const struct command *command, const struct slice *argv, uint32_t argc,
                     uint32_t index)
{
    ASSERT(index < argc);
    if (row_is(command, NULL, "auth")) {
        return index >= 1;
    }
    if (row_is(command, NULL, "hello")) {
        return is_behind_word(argv, index, "auth", 2);
    }
    if (row_is(command, NULL, "migrate")) {
        return is_behind_word(argv, index, "auth", 1) || is_behind_word(argv, index, "auth2", 2);
    }
    if (row_is(command, "acl", "setuser")) {
        return index >= 2;
    }
    if (row_is(command, "config", "set")) {
        return index >= 3 && index % 2 == 1 && directive_is_secret(argv[index - 1]);
    }
    return false;
}

/* ---- words ---- */

/** Are the bytes of a large argument still what they were? */
static bool
argument_is_there(const struct call *call, struct slice argument)
{
    if (argument.size < RESP_LARGE_SIZE_MIN || call->large_raw != NULL || call->view_count == 0) {
        return true;
    }
    for (uint32_t i = 0; i < call->view_count; i++) {
        const struct view *view = call->views[i];
        if (view->key.data == argument.data ||
            (view->value.type == VALUE_STRING && !view->value.is_object &&
             view->value.encoding != ENCODING_INT && view->value.bytes.data == argument.data)) {
            return true;
        }
    }
    return false;
}

static void
reply_argument(struct reply *reply, const struct call *call, struct slice argument)
{
    if (argument.size <= COMMANDLOG_ARGUMENT_SIZE_MAX) {
        reply_bulk(reply, argument);
        return;
    }
    char text[COMMANDLOG_ARGUMENT_SIZE_MAX + 64];
    size_t kept = argument_is_there(call, argument) ? COMMANDLOG_ARGUMENT_SIZE_MAX : 0;
    memcpy(text, argument.data, kept);
    int size =
        snprintf(text + kept, sizeof(text) - kept, "... (%zu more bytes)", argument.size - kept);
    reply_bulk(reply, slice_of(text, kept + (size_t)size));
}

char *
commandlog_arguments(const struct call *call, size_t *size)
{
    struct output output;
    struct reply reply;
    output_create(&output);
    reply_create(&reply, &output, 2);
    uint32_t shown = MIN(call->argc, (uint32_t)COMMANDLOG_ARGUMENTS_MAX);
    bool is_cut = shown < call->argc;
    reply_array(&reply, shown);
    shown -= is_cut;
    for (uint32_t i = 0; i < shown; i++) {
        if (commandlog_is_secret(call->command, call->argv, call->argc, i)) {
            reply_bulk(&reply, SLICE("(redacted)"));
        } else {
            reply_argument(&reply, call, call->argv[i]);
        }
    }
    if (is_cut) {
        char text[64];
        int text_size = snprintf(text, sizeof(text), "... (%u more arguments)", call->argc - shown);
        reply_bulk(&reply, slice_of(text, (size_t)text_size));
    }
    *size = output.byte_count;
    char *bytes = output_flatten(&output);
    output_destroy(&output);
    return bytes;
}

static uint64_t
header_size(uint64_t number)
{
    char digits[24];
    return 1 + (uint64_t)number_format_u64(digits, number) + 2;
}

uint64_t
commandlog_request_size(const struct call *call)
{
    uint64_t size = header_size(call->argc);
    for (uint32_t i = 0; i < call->argc; i++) {
        size += header_size(call->argv[i].size) + call->argv[i].size + 2;
    }
    return size;
}
