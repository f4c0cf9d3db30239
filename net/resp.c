/*
 * resp.c: requests out of bytes, without copying an argument.
 *
 * Two ways lead to the same requests:
 *
 *     a request that lies whole in the bytes, with short well-formed headers   -> request_take()
 *     anything else: cut anywhere, odd, wrong, inline, large, many arguments   -> request_resume()
 *
 * The first keeps all its state in registers and writes slices into the caller's array; it never
 * says why it cannot go on. The second then starts the same request over, once, and keeps in the
 * parser how far it came, so that a request that trickles in costs each byte once:
 *
 *     *3 \r\n $3 \r\n SET \r\n $1 \r\n k \r\n $9 \r\n abc
 *     '------ pending[0..done_count) ------'          '-- offset: body of 9 bytes, three are there
 *
 * Until a request is whole its bytes may move, so `pending` holds offsets from the request's first
 * byte; request_finish() makes pointers of them.
 *
 * Invariant: what comes out depends on the bytes alone, not on where they were cut. A line is too
 * long when no end is among its first RESP_INLINE_SIZE_MAX + 1 bytes, whether or not it ends later.
 * And what redis-server 7.0 takes is taken, so that no client notices the difference: the '\n' of a
 * header and the CRLF behind a body may be any two bytes, and a NUL hides the end of its line.
 *
 * Rejected: a search with SIMD for line ends. Headers are three to six bytes long, and the compare
 * of a header's whole shape in one word beats any search.
 */
#include "net/resp.h"

#include "core/heap.h"
#include "core/number.h"

#include <assert.h>
#include <stdio.h>

/** Places for arguments at first: nearly all commands fit. */
/** Of the one error that quotes a byte. */
#define ERROR_TEXT_SIZE 48
#define PENDING_COUNT_MIN 16
/** More are not kept behind the request that needed them. */
#define PENDING_COUNT_KEPT_MAX 64
/** "$0\r\n\r\n", the shortest argument: so many bytes may be looked at without asking. */
#define ARGUMENT_SIZE_MIN 6
/** Marks the size of a pending argument whose data is a pointer, not an offset. */
#define POINTER_BIT (1ULL << 63)

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "words are compared in memory order");

/** kind, digit, CR, LF as one word with the digit masked out. */
#define SHORT_HEADER_MASK 0xffff00ffU
#define SHORT_HEADER(kind) ((uint32_t)(kind) | (uint32_t)'\r' << 16 | (uint32_t)'\n' << 24)

void
resp_parser_create(struct resp_parser *parser, uint64_t bulk_size_max)
{
    *parser = (struct resp_parser){
        .bulk_size_max = bulk_size_max,
        .bulk_size_max_now = bulk_size_max,
        .argument_count_max = RESP_ARGUMENT_COUNT_MAX,
        .bulk_size = -1,
    };
}

void
resp_parser_destroy(struct resp_parser *parser)
{
    heap_free(parser->pending);
    heap_free(parser->own_argv);
    heap_free(parser->own_memory);
    heap_free(parser->error_text);
    *parser = (struct resp_parser){.bulk_size = -1};
}

void
resp_parser_trim(struct resp_parser *parser)
{
    heap_free(parser->own_argv);
    heap_free(parser->own_memory);
    parser->own_argv = NULL;
    parser->own_memory = NULL;
    parser->argv = NULL;
    parser->argc = 0;
    if (parser->wanted_count == 0) {
        heap_free(parser->pending);
        parser->pending = NULL;
        parser->pending_count = 0;
    }
}

/** Forget the request that was parsed; the next byte begins a new one. */
static void
parser_reset(struct resp_parser *parser)
{
    parser->wanted_count = 0;
    parser->done_count = 0;
    parser->is_large_offered = false;
    parser->offset = 0;
    parser->scanned = 0;
    parser->bulk_size = -1;
    parser->large_memory = NULL;
}

void
resp_parser_restart(struct resp_parser *parser)
{
    ASSERT(parser->large_memory == NULL);
    parser_reset(parser);
}

static enum resp_result
parser_fail(struct resp_parser *parser, const char *error)
{
    parser->error = error;
    return RESP_ERROR;
}

/** One more place behind `count` used ones, of `wanted` in the end. */
static void
pending_reserve(struct resp_parser *parser, uint32_t count, uint32_t wanted)
{
    if (LIKELY(count < parser->pending_count)) {
        return;
    }
    uint64_t grown = MAX((uint64_t)parser->pending_count * 2, PENDING_COUNT_MIN);
    parser->pending_count = (uint32_t)MIN(grown, MAX(wanted, PENDING_COUNT_MIN));
    parser->pending =
        heap_realloc(parser->pending, parser->pending_count * sizeof(*parser->pending));
}

/* ---- headers of the usual shape ---- */

/** Headers of four to nine digits; at least ARGUMENT_SIZE_MIN bytes are there. */
static const char *
header_read_long(const char *at, const char *end, uint64_t *value)
{
    uint64_t number = 0;
    const char *digit = at + 1;
    if (*digit == '0') {
        return NULL;
    }
    for (const char *digits_end = MIN(end - 2, at + 10); digit < digits_end; digit++) {
        unsigned char d = (unsigned char)(*digit - '0');
        if (d > 9) {
            break;
        }
        number = number * 10 + d;
    }
    if (digit == at + 1 || digit[0] != '\r' || digit[1] != '\n') {
        return NULL;
    }
    *value = number;
    return digit + 2;
}

/**
 * The header `kind`, number, CRLF at `at`, where at least ARGUMENT_SIZE_MIN bytes are. Returns what
 * follows it, or NULL when it is not whole or of another shape: the careful way finds out.
 */
static inline __attribute__((always_inline)) const char *
header_read(const char *at, const char *end, char kind, uint64_t *value)
{
    uint32_t word;
    memcpy(&word, at, sizeof(word));
    unsigned char d1 = (unsigned char)(at[1] - '0');
    if ((word & SHORT_HEADER_MASK) == SHORT_HEADER(kind)) {
        *value = d1;
        return LIKELY(d1 <= 9) ? at + 4 : NULL;
    }
    if (UNLIKELY(at[0] != kind)) {
        return NULL;
    }
    unsigned char d2 = (unsigned char)(at[2] - '0');
    if (at[3] == '\r' && at[4] == '\n') {
        *value = d1 * 10U + d2;
        return LIKELY(d1 - 1U <= 8 && d2 <= 9) ? at + 5 : NULL;
    }
    unsigned char d3 = (unsigned char)(at[3] - '0');
    if (at[4] == '\r' && at[5] == '\n') {
        *value = d1 * 100U + d2 * 10U + d3;
        return LIKELY(d1 - 1U <= 8 && d2 <= 9 && d3 <= 9) ? at + 6 : NULL;
    }
    return header_read_long(at, end, value);
}

/**
 * A whole request of usual shape whose arguments fit `storage`: puts them there and returns what
 * follows it. NULL for any other; nothing has changed then.
 */
static inline __attribute__((always_inline)) const char *
request_take(struct resp_parser *parser, const char *data, size_t size, struct slice *storage,
             uint32_t storage_count)
{
    const char *end = data + size;
    uint64_t count;
    if (UNLIKELY(size < ARGUMENT_SIZE_MIN)) {
        return NULL;
    }
    const char *at = header_read(data, end, '*', &count);
    uint32_t count_max = MIN(storage_count, parser->argument_count_max);
    if (UNLIKELY(at == NULL || count - 1 >= count_max)) {
        return NULL;
    }
    uint64_t bulk_size_max = MIN(parser->bulk_size_max_now, parser->bulk_size_max);
    struct slice *place = storage;
    struct slice *places_end = storage + count;
    do {
        uint64_t bulk_size;
        if (UNLIKELY(end - at < ARGUMENT_SIZE_MIN)) {
            return NULL;
        }
        at = header_read(at, end, '$', &bulk_size);
        if (UNLIKELY(at == NULL || bulk_size > bulk_size_max)) {
            return NULL;
        }
        if (UNLIKELY((uint64_t)(end - at) < bulk_size + 2)) {
            return NULL;
        }
        place->data = at;
        place->size = bulk_size;
        at += bulk_size + 2;
    } while (++place < places_end);
    parser->argc = (uint32_t)count;
    return at;
}

/* ---- the careful way ---- */

enum line_result {
    LINE_FOUND,
    LINE_UNFINISHED,
    LINE_TOO_LONG,
};

/** The line from `offset` on, up to the byte `last`: *line_size bytes without it. */
static enum line_result
line_find(struct resp_parser *parser, const char *data, size_t size, char last, uint64_t *line_size)
{
    const char *line = data + parser->offset;
    uint64_t available = size - parser->offset;
    uint64_t bound = MIN(available, RESP_INLINE_SIZE_MAX + 1);
    uint64_t at = parser->scanned;
    while (at < bound && line[at] != last && line[at] != '\0') {
        at++;
    }
    parser->scanned = at;
    if (at < bound && line[at] == last) {
        *line_size = at;
        return LINE_FOUND;
    }
    return available > RESP_INLINE_SIZE_MAX ? LINE_TOO_LONG : LINE_UNFINISHED;
}

/** As line_find for a header, which ends with CR and one more byte. */
static enum line_result
header_find(struct resp_parser *parser, const char *data, size_t size, uint64_t *line_size)
{
    enum line_result result = line_find(parser, data, size, '\r', line_size);
    if (result == LINE_FOUND && size - parser->offset < *line_size + 2) {
        return LINE_UNFINISHED;
    }
    return result;
}

/** The request's first line. RESP_REQUEST: wanted_count is known, go on. */
static enum resp_result
count_parse(struct resp_parser *parser, const char *data, size_t size, size_t *consumed)
{
    uint64_t line_size;
    switch (header_find(parser, data, size, &line_size)) {
    case LINE_UNFINISHED:
        return RESP_NEED_MORE;
    case LINE_TOO_LONG:
        return parser_fail(parser, "ERR Protocol error: too big mbulk count string");
    case LINE_FOUND:
        break;
    }
    int64_t count;
    if (!number_parse_i64(slice_of(data + 1, line_size - 1), &count) ||
        count > RESP_ARGUMENT_COUNT_MAX) {
        return parser_fail(parser, "ERR Protocol error: invalid multibulk length");
    }
    if (count > (int64_t)parser->argument_count_max) {
        return parser_fail(parser, "ERR Protocol error: unauthenticated multibulk length");
    }
    if (count <= 0) {
        *consumed = line_size + 2;
        parser_reset(parser);
        return RESP_EMPTY;
    }
    parser->wanted_count = (uint32_t)count;
    parser->offset = line_size + 2;
    parser->scanned = 0;
    return RESP_REQUEST;
}

/** An argument's header. RESP_REQUEST: bulk_size is known, go on. */
static enum resp_result
bulk_size_parse(struct resp_parser *parser, const char *data, size_t size)
{
    uint64_t bulk_size;
    const char *at = data + parser->offset;
    if (size - parser->offset >= ARGUMENT_SIZE_MIN) {
        const char *body = header_read(at, data + size, '$', &bulk_size);
        if (body != NULL && bulk_size <= MIN(parser->bulk_size_max_now, parser->bulk_size_max)) {
            parser->bulk_size = (int64_t)bulk_size;
            parser->offset = (uint64_t)(body - data);
            parser->scanned = 0;
            return RESP_REQUEST;
        }
    }
    uint64_t line_size;
    switch (header_find(parser, data, size, &line_size)) {
    case LINE_UNFINISHED:
        return RESP_NEED_MORE;
    case LINE_TOO_LONG:
        return parser_fail(parser, "ERR Protocol error: too big bulk count string");
    case LINE_FOUND:
        break;
    }
    if (*at != '$') {
        heap_free(parser->error_text);
        parser->error_text = heap_alloc(ERROR_TEXT_SIZE);
        snprintf(parser->error_text, ERROR_TEXT_SIZE, "ERR Protocol error: expected '$', got '%c'",
                 *at);
        return parser_fail(parser, parser->error_text);
    }
    int64_t number;
    if (!number_parse_i64(slice_of(at + 1, line_size - 1), &number) || number < 0 ||
        (uint64_t)number > parser->bulk_size_max) {
        return parser_fail(parser, "ERR Protocol error: invalid bulk length");
    }
    if ((uint64_t)number > parser->bulk_size_max_now) {
        return parser_fail(parser, "ERR Protocol error: unauthenticated bulk length");
    }
    parser->bulk_size = number;
    parser->offset += line_size + 2;
    parser->scanned = 0;
    return RESP_REQUEST;
}

/** The body of an argument has not arrived whole: may it have memory of its own? */
static enum resp_result
bulk_wait(struct resp_parser *parser, uint64_t available)
{
    uint64_t bulk_size = (uint64_t)parser->bulk_size;
    if (parser->is_large_offered || bulk_size < RESP_LARGE_SIZE_MIN || available >= bulk_size) {
        return RESP_NEED_MORE;
    }
    parser->is_large_offered = true;
    parser->large_index = parser->done_count;
    parser->large_size = bulk_size;
    parser->large_header_size = parser->offset;
    parser->large_arrived = available;
    return RESP_LARGE;
}

static inline struct slice
pending_slice(struct slice pending, const char *data)
{
    if ((pending.size & POINTER_BIT) != 0) {
        return slice_of(pending.data, pending.size & ~POINTER_BIT);
    }
    return slice_of(data + (uintptr_t)pending.data, pending.size);
}

/** All arguments are there: hand them out. */
static void
request_finish(struct resp_parser *parser, const char *data, size_t *consumed,
               struct slice *storage, uint32_t storage_count)
{
    struct slice *pending = parser->pending;
    struct slice *argv = storage;
    if (parser->wanted_count > storage_count) {
        argv = pending;
        parser->memory = pending;
        parser->pending = NULL;
        parser->pending_count = 0;
    }
    for (uint32_t i = 0; i < parser->wanted_count; i++) {
        argv[i] = pending_slice(pending[i], data);
    }
    if (parser->pending_count > PENDING_COUNT_KEPT_MAX) {
        heap_free(parser->pending);
        parser->pending = NULL;
        parser->pending_count = 0;
    }
    parser->argc = parser->wanted_count;
    parser->argv = argv;
    *consumed = parser->offset;
    parser_reset(parser);
}

static enum resp_result
arguments_parse(struct resp_parser *parser, const char *data, size_t size)
{
    while (parser->done_count < parser->wanted_count) {
        if (parser->bulk_size < 0) {
            enum resp_result result = bulk_size_parse(parser, data, size);
            if (result != RESP_REQUEST) {
                return result;
            }
        }
        bool is_elsewhere = parser->large_memory != NULL;
        uint64_t body_size = is_elsewhere ? 0 : (uint64_t)parser->bulk_size;
        uint64_t available = size - parser->offset;
        if (available < body_size + 2) {
            return is_elsewhere ? RESP_NEED_MORE : bulk_wait(parser, available);
        }
        pending_reserve(parser, parser->done_count, parser->wanted_count);
        struct slice *argument = &parser->pending[parser->done_count];
        argument->data = is_elsewhere ? parser->large_memory : (char *)(uintptr_t)parser->offset;
        argument->size = (uint64_t)parser->bulk_size | (is_elsewhere ? POINTER_BIT : 0);
        parser->done_count++;
        parser->offset += body_size + 2;
        parser->bulk_size = -1;
        parser->large_memory = NULL;
        parser->is_large_offered = false;
    }
    return RESP_REQUEST;
}

/* ---- inline requests ---- */

static inline bool
is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/** Ends an unquoted argument. Not the same bytes as those skipped between arguments. */
static inline bool
is_separator(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static int
hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/** What stands at `at`, behind a backslash within double quotes, as *byte. Returns what follows. */
static const char *
escape_read(const char *at, const char *end, char *byte)
{
    if (*at == 'x' && end - at >= 3 && hex_digit(at[1]) >= 0 && hex_digit(at[2]) >= 0) {
        *byte = (char)(hex_digit(at[1]) * 16 + hex_digit(at[2]));
        return at + 3;
    }
    switch (*at) {
    case 'n':
        *byte = '\n';
        break;
    case 'r':
        *byte = '\r';
        break;
    case 't':
        *byte = '\t';
        break;
    case 'b':
        *byte = '\b';
        break;
    case 'a':
        *byte = '\a';
        break;
    default:
        *byte = *at;
        break;
    }
    return at + 1;
}

/**
 * The argument at `at`, which has a quote in it, unquoted to `out`, whose end is returned in
 * *out_end. A closing quote ends the argument and needs a blank behind it. Returns what follows the
 * argument, NULL when quotes are unbalanced.
 */
static const char *
quoted_read(const char *at, const char *end, char *out, char **out_end)
{
    while (at < end && *at != '"' && *at != '\'') {
        *out++ = *at++;
    }
    char quote = *at++;
    for (; at < end && *at != quote; out++) {
        if (*at != '\\' || end - at < 2) {
            *out = *at++;
        } else if (quote == '"') {
            at = escape_read(at + 1, end, out);
        } else if (at[1] == '\'') {
            *out = '\'';
            at += 2;
        } else {
            *out = *at++;
        }
    }
    if (at == end || (at + 1 < end && !is_blank(at[1]))) {
        return NULL;
    }
    *out_end = out;
    return at + 1;
}

/**
 * Split a line into parser->pending (pointers, not offsets here). Arguments with quotes are copied
 * to *text, a block of its own, which is NULL when there were none. False: unbalanced quotes.
 */
static bool
line_split(struct resp_parser *parser, struct slice line, uint32_t *argc, char **text,
           size_t *text_size)
{
    const char *at = line.data;
    const char *end = line.data + line.size;
    uint32_t count = 0;
    char *out = NULL;
    *text = NULL;
    for (;;) {
        while (at < end && is_blank(*at)) {
            at++;
        }
        if (at == end) {
            break;
        }
        const char *first = at;
        while (at < end && !is_separator(*at) && *at != '"' && *at != '\'') {
            at++;
        }
        struct slice argument = slice_of(first, (size_t)(at - first));
        if (at < end && !is_separator(*at)) {
            if (*text == NULL) {
                *text = heap_alloc(line.size);
                out = *text;
            }
            char *out_end;
            at = quoted_read(first, end, out, &out_end);
            if (at == NULL) {
                return false;
            }
            argument = slice_of(out, (size_t)(out_end - out));
            out = out_end;
        }
        pending_reserve(parser, count, UINT32_MAX);
        parser->pending[count++] = argument;
    }
    *argc = count;
    *text_size = out == NULL ? 0 : (size_t)(out - *text);
    return true;
}

/** Many arguments and some with quotes: one block for both, as the caller frees but one. */
static void
inline_pack(struct resp_parser *parser, uint32_t argc, char *text, size_t text_size)
{
    size_t argv_size = argc * sizeof(struct slice);
    struct slice *argv = heap_alloc(argv_size + text_size);
    char *text_copy = (char *)argv + argv_size;
    memcpy(text_copy, text, text_size);
    for (uint32_t i = 0; i < argc; i++) {
        argv[i] = parser->pending[i];
        uintptr_t position = (uintptr_t)argv[i].data - (uintptr_t)text;
        if (position < text_size || (position == text_size && argv[i].size == 0)) {
            argv[i].data = text_copy + position;
        }
    }
    heap_free(text);
    parser->argv = argv;
    parser->memory = argv;
}

static enum resp_result
inline_parse(struct resp_parser *parser, const char *data, size_t size, size_t *consumed,
             struct slice *storage, uint32_t storage_count)
{
    uint64_t line_size;
    switch (line_find(parser, data, size, '\n', &line_size)) {
    case LINE_UNFINISHED:
        return RESP_NEED_MORE;
    case LINE_TOO_LONG:
        return parser_fail(parser, "ERR Protocol error: too big inline request");
    case LINE_FOUND:
        break;
    }
    struct slice line = slice_of(data, line_size);
    if (line_size > 0 && data[line_size - 1] == '\r') {
        line.size--;
    }
    uint32_t argc;
    char *text;
    size_t text_size;
    if (!line_split(parser, line, &argc, &text, &text_size)) {
        heap_free(text);
        return parser_fail(parser, "ERR Protocol error: unbalanced quotes in request");
    }
    *consumed = line_size + 1;
    parser_reset(parser);
    if (argc == 0) {
        return RESP_EMPTY;
    }
    parser->argc = argc;
    if (argc <= storage_count) {
        memcpy(storage, parser->pending, argc * sizeof(*storage));
        parser->argv = storage;
        parser->memory = text;
    } else if (text != NULL) {
        inline_pack(parser, argc, text, text_size);
    } else {
        parser->argv = parser->pending;
        parser->memory = parser->pending;
        parser->pending = NULL;
        parser->pending_count = 0;
    }
    if (parser->pending_count > PENDING_COUNT_KEPT_MAX) {
        heap_free(parser->pending);
        parser->pending = NULL;
        parser->pending_count = 0;
    }
    return RESP_REQUEST;
}

/** Begin or go on with a request that request_take() does not take. */
static __attribute__((noinline)) enum resp_result
request_resume(struct resp_parser *parser, const char *data, size_t size, size_t *consumed,
               struct slice *storage, uint32_t storage_count)
{
    ASSERT(!parser->is_large_taken);
    ASSERT(size >= parser->offset + parser->scanned);
    *consumed = 0;
    if (size == 0) {
        return RESP_NEED_MORE;
    }
    if (parser->wanted_count == 0) {
        if (data[0] != '*') {
            return inline_parse(parser, data, size, consumed, storage, storage_count);
        }
        enum resp_result result = count_parse(parser, data, size, consumed);
        if (result != RESP_REQUEST) {
            return result;
        }
    }
    enum resp_result result = arguments_parse(parser, data, size);
    if (result == RESP_REQUEST) {
        request_finish(parser, data, consumed, storage, storage_count);
    }
    return result;
}

enum resp_result
resp_parse_into(struct resp_parser *parser, const char *data, size_t size, size_t *consumed,
                struct slice *storage, uint32_t storage_count)
{
    parser->memory = NULL;
    if (LIKELY((parser->wanted_count | parser->scanned) == 0)) {
        const char *end = request_take(parser, data, size, storage, storage_count);
        if (LIKELY(end != NULL)) {
            parser->argv = storage;
            *consumed = (size_t)(end - data);
            return RESP_REQUEST;
        }
    }
    return request_resume(parser, data, size, consumed, storage, storage_count);
}

enum resp_result
resp_parse(struct resp_parser *parser, const char *data, size_t size, size_t *consumed)
{
    if (parser->own_argv == NULL) {
        parser->own_argv = heap_alloc(PENDING_COUNT_MIN * sizeof(*parser->own_argv));
    }
    if (parser->own_memory != NULL) {
        heap_free(parser->own_memory);
        parser->own_memory = NULL;
    }
    enum resp_result result =
        resp_parse_into(parser, data, size, consumed, parser->own_argv, PENDING_COUNT_MIN);
    parser->own_memory = parser->memory;
    parser->memory = NULL;
    return result;
}

void
resp_large_begin(struct resp_parser *parser, const char *memory)
{
    ASSERT(parser->is_large_offered);
    ASSERT(parser->large_memory == NULL);
    ASSERT(memory != NULL);
    parser->large_memory = memory;
    parser->is_large_taken = true;
}

void
resp_large_done(struct resp_parser *parser)
{
    ASSERT(parser->is_large_taken);
    parser->is_large_taken = false;
}

struct slice
resp_argument(const struct resp_parser *parser, const char *data, uint32_t index)
{
    ASSERT(index < parser->done_count);
    return pending_slice(parser->pending[index], data);
}

size_t
resp_size_hint(const struct resp_parser *parser, size_t size)
{
    uint64_t wanted = parser->offset + 1;
    if (parser->wanted_count > 0) {
        bool is_elsewhere = parser->large_memory != NULL;
        uint64_t body_size =
            parser->bulk_size < 0 || is_elsewhere ? 0 : (uint64_t)parser->bulk_size;
        wanted = parser->offset + body_size + (parser->bulk_size < 0 ? ARGUMENT_SIZE_MIN : 2);
    }
    return wanted > size ? wanted - size : 1;
}
