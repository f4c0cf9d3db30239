/*
 * reply.c: what a command answers, as bytes.
 *
 * Every reply is a kind byte, digits, CRLF, and for some a body with a CRLF of its own:
 *
 *     [':' digits CRLF]        ['$' digits CRLF body CRLF]        ['*' digits CRLF] elements...
 *
 * The short ones are written in one piece into one reservation of the output, without a buffer in
 * between. Where RESP2 lacks a type the same function falls back to what redis-server sends there,
 * so a handler does not ask which protocol its client speaks.
 *
 * Muted replies take part in the statistics of errors and release what they were lent, but write
 * nothing.
 *
 * Rejected: a table of ready-made small headers. Storing four bytes that are computed in registers
 * costs no more than the load of a table's line, which a busy server would have to keep in its
 * cache.
 */
#include "net/reply.h"

#include "core/heap.h"
#include "core/number.h"

#include <stdarg.h>
#include <stdio.h>

/** Kind, digits of 64 bits, CRLF. */
#define HEADER_SIZE_MAX (1 + NUMBER_I64_SIZE_MAX + 2)
/** Bodies up to this size go with their header into one reservation, whatever tail of a chunk is
 * lost by it; longer ones fill the chunk up first. */
#define BULK_SIZE_WHOLE 512

void
reply_create(struct reply *reply, struct output *output, uint8_t protocol)
{
    *reply =
        (struct reply){.output = output, .protocol = protocol, .start_size = output->byte_count};
}

/** Writes kind, number, CRLF to `out`; returns their size. */
static inline __attribute__((always_inline)) uint32_t
header_write(char *out, char kind, uint64_t number)
{
    out[0] = kind;
    if (LIKELY(number < 10)) {
        out[1] = (char)('0' + number);
        memcpy(out + 2, "\r\n", 2);
        return 4;
    }
    if (LIKELY(number < 100)) {
        uint32_t tens = (uint32_t)number * 103 >> 10;
        out[1] = (char)('0' + tens);
        out[2] = (char)('0' + (uint32_t)number - tens * 10);
        memcpy(out + 3, "\r\n", 2);
        return 5;
    }
    uint32_t size = 1 + (uint32_t)number_format_u64(out + 1, number);
    memcpy(out + size, "\r\n", 2);
    return size + 2;
}

static void
header_append(struct reply *reply, char kind, uint64_t number)
{
    if (reply->is_muted) {
        return;
    }
    char *out = output_reserve(reply->output, HEADER_SIZE_MAX);
    output_commit(reply->output, header_write(out, kind, number));
}

static inline void
literal_append(struct reply *reply, struct slice bytes)
{
    if (!reply->is_muted) {
        char *out = output_reserve(reply->output, (uint32_t)bytes.size);
        memcpy(out, bytes.data, bytes.size);
        output_commit(reply->output, (uint32_t)bytes.size);
    }
}

void
reply_ok(struct reply *reply)
{
    literal_append(reply, SLICE("+OK\r\n"));
}

void
reply_simple(struct reply *reply, const char *text)
{
    if (reply->is_muted) {
        return;
    }
    output_append(reply->output, "+", 1);
    output_append(reply->output, text, strlen(text));
    output_append(reply->output, "\r\n", 2);
}

/** The code is the first word if it ends soon, as redis-server's statistics have it. */
static void
error_note(struct reply *reply, struct slice text)
{
    static const char code_default[] = "ERR";
    const char *space = memchr(text.data, ' ', MIN(text.size, 31U));
    size_t size = space == NULL ? sizeof(code_default) - 1 : (size_t)(space - text.data);
    size = MIN(size, sizeof(reply->error_code) - 1);
    memcpy(reply->error_code, space == NULL ? code_default : text.data, size);
    reply->error_code[size] = '\0';
    reply->is_error = true;
    reply->error_count++;
}

void
reply_error_slice(struct reply *reply, struct slice text)
{
    while (text.size > 0 &&
           (text.data[text.size - 1] == '\r' || text.data[text.size - 1] == '\n')) {
        text.size--;
    }
    error_note(reply, text);
    if (reply->is_muted) {
        return;
    }
    struct output *output = reply->output;
    output_append(output, "-", 1);
    while (text.size > 0) {
        size_t clean = 0;
        while (clean < text.size && text.data[clean] != '\r' && text.data[clean] != '\n') {
            clean++;
        }
        output_append(output, text.data, clean);
        if (clean < text.size) {
            output_append(output, " ", 1);
            clean++;
        }
        text.data += clean;
        text.size -= clean;
    }
    output_append(output, "\r\n", 2);
}

void
reply_error(struct reply *reply, const char *text)
{
    reply_error_slice(reply, slice_of_string(text));
}

void
reply_error_format(struct reply *reply, const char *format, ...)
{
    char buffer[512];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(buffer, sizeof(buffer), format, arguments);
    va_end(arguments);
    ASSERT(size >= 0);
    if ((size_t)size < sizeof(buffer)) {
        reply_error_slice(reply, slice_of(buffer, (size_t)size));
        return;
    }
    char *text = heap_alloc((size_t)size + 1);
    va_start(arguments, format);
    vsnprintf(text, (size_t)size + 1, format, arguments);
    va_end(arguments);
    reply_error_slice(reply, slice_of(text, (size_t)size));
    heap_free(text);
}

void
reply_i64(struct reply *reply, int64_t value)
{
    if (UNLIKELY(reply->is_muted)) {
        return;
    }
    struct output *output = reply->output;
    char *out = output_reserve(output, HEADER_SIZE_MAX);
    if (LIKELY(value >= 0)) {
        output_commit(output, header_write(out, ':', (uint64_t)value));
        return;
    }
    out[0] = ':';
    uint32_t size = 1 + (uint32_t)number_format_i64(out + 1, value);
    memcpy(out + size, "\r\n", 2);
    output_commit(output, size + 2);
}

void
reply_bulk(struct reply *reply, struct slice bytes)
{
    if (UNLIKELY(reply->is_muted)) {
        return;
    }
    struct output *output = reply->output;
    if (LIKELY(bytes.size <= BULK_SIZE_WHOLE)) {
        char *out = output_reserve(output, HEADER_SIZE_MAX + (uint32_t)bytes.size + 2);
        uint32_t size = header_write(out, '$', bytes.size);
        if (bytes.size > 0) {
            memcpy(out + size, bytes.data, bytes.size);
        }
        size += (uint32_t)bytes.size;
        memcpy(out + size, "\r\n", 2);
        output_commit(output, size + 2);
        return;
    }
    char *out = output_reserve(output, HEADER_SIZE_MAX);
    output_commit(output, header_write(out, '$', bytes.size));
    output_append(output, bytes.data, bytes.size);
    output_append(output, "\r\n", 2);
}

void
reply_bulk_string(struct reply *reply, const char *text)
{
    reply_bulk(reply, slice_of_string(text));
}

void
reply_bulk_i64(struct reply *reply, int64_t value)
{
    char text[NUMBER_I64_SIZE_MAX];
    reply_bulk(reply, slice_of(text, number_format_i64(text, value)));
}

void
reply_bulk_external(struct reply *reply, struct slice bytes, struct output_pin *pin)
{
    if (reply->is_muted) {
        if (pin != NULL) {
            pin->release(pin);
        }
        return;
    }
    header_append(reply, '$', bytes.size);
    output_append_external(reply->output, bytes, pin);
    output_append(reply->output, "\r\n", 2);
}

void
reply_null(struct reply *reply)
{
    /* Two calls, so that each copies a constant size. */
    if (reply->protocol >= 3) {
        literal_append(reply, SLICE("_\r\n"));
    } else {
        literal_append(reply, SLICE("$-1\r\n"));
    }
}

void
reply_null_array(struct reply *reply)
{
    /* Two calls, so that each copies a constant size. */
    if (reply->protocol >= 3) {
        literal_append(reply, SLICE("_\r\n"));
    } else {
        literal_append(reply, SLICE("*-1\r\n"));
    }
}

void
reply_array(struct reply *reply, uint64_t count)
{
    header_append(reply, '*', count);
}

void
reply_map(struct reply *reply, uint64_t count)
{
    if (reply->protocol >= 3) {
        header_append(reply, '%', count);
    } else {
        header_append(reply, '*', count * 2);
    }
}

void
reply_set(struct reply *reply, uint64_t count)
{
    header_append(reply, reply->protocol >= 3 ? '~' : '*', count);
}

void
reply_push(struct reply *reply, uint64_t count)
{
    header_append(reply, reply->protocol >= 3 ? '>' : '*', count);
}

void
reply_attribute(struct reply *reply, uint64_t count)
{
    ASSERT(reply->protocol >= 3);
    header_append(reply, '|', count);
}

void
reply_double(struct reply *reply, double value)
{
    char text[NUMBER_DOUBLE_SIZE_MAX + 3];
    if (reply->protocol < 3) {
        reply_bulk(reply, slice_of(text, number_format_double(text, value)));
        return;
    }
    text[0] = ',';
    size_t size = 1 + number_format_double(text + 1, value);
    memcpy(text + size, "\r\n", 2);
    literal_append(reply, slice_of(text, size + 2));
}

void
reply_bulk_long_double(struct reply *reply, long double value)
{
    char text[NUMBER_LONG_DOUBLE_SIZE_MAX];
    reply_bulk(reply, slice_of(text, number_format_long_double(text, value)));
}

void
reply_bool(struct reply *reply, bool value)
{
    if (reply->protocol >= 3) {
        literal_append(reply, value ? SLICE("#t\r\n") : SLICE("#f\r\n"));
    } else {
        literal_append(reply, value ? SLICE(":1\r\n") : SLICE(":0\r\n"));
    }
}

void
reply_verbatim(struct reply *reply, struct slice text, const char *extension)
{
    if (reply->protocol < 3) {
        reply_bulk(reply, text);
        return;
    }
    if (reply->is_muted) {
        return;
    }
    ASSERT(strlen(extension) == 3);
    header_append(reply, '=', text.size + 4);
    output_append(reply->output, extension, 3);
    output_append(reply->output, ":", 1);
    output_append(reply->output, text.data, text.size);
    output_append(reply->output, "\r\n", 2);
}

void
reply_raw(struct reply *reply, struct slice bytes)
{
    if (!reply->is_muted) {
        output_append(reply->output, bytes.data, bytes.size);
    }
}

struct reply_later
reply_later(struct reply *reply)
{
    return (struct reply_later){.mark = output_mark(reply->output)};
}

static void
later_insert(struct reply *reply, struct reply_later later, char kind, uint64_t count)
{
    if (reply->is_muted) {
        return;
    }
    char header[HEADER_SIZE_MAX];
    output_insert(reply->output, later.mark, slice_of(header, header_write(header, kind, count)));
}

void
reply_later_array(struct reply *reply, struct reply_later later, uint64_t count)
{
    later_insert(reply, later, '*', count);
}

void
reply_later_map(struct reply *reply, struct reply_later later, uint64_t count)
{
    if (reply->protocol >= 3) {
        later_insert(reply, later, '%', count);
    } else {
        later_insert(reply, later, '*', count * 2);
    }
}

void
reply_later_set(struct reply *reply, struct reply_later later, uint64_t count)
{
    later_insert(reply, later, reply->protocol >= 3 ? '~' : '*', count);
}

void
reply_help(struct reply *reply, const char *command, const char *const *lines)
{
    if (reply->is_muted) {
        return;
    }
    uint64_t line_count = 0;
    while (lines[line_count] != NULL) {
        line_count++;
    }
    reply_array(reply, line_count + 3);
    output_append(reply->output, "+", 1);
    for (const char *c = command; *c != '\0'; c++) {
        char upper = *c >= 'a' && *c <= 'z' ? (char)(*c - 0x20) : *c;
        output_append(reply->output, &upper, 1);
    }
    reply_raw(reply, SLICE(" <subcommand> [<arg> [value] [opt] ...]. Subcommands are:\r\n"));
    for (uint64_t i = 0; i < line_count; i++) {
        reply_simple(reply, lines[i]);
    }
    reply_simple(reply, "HELP");
    reply_simple(reply, "    Prints this help.");
}
