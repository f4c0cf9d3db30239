/*
 * libraries.c: libraries of functions as texts: kept, told apart by name, written again.
 *
 *     item    name ─┐   code ──▶ [#!lua name=mylib\n redis.register_function ...]
 *                   └──────────────────────^
 *
 * A library is one block, and its name points into it. What FUNCTION does to which libraries there
 * are is done here with the texts alone, so that a log of redis-server comes to the same libraries
 * as there. What only running the code can tell (does it compile, does another library register a
 * function of the same name) was known to the server that wrote the log.
 *
 * Invariant: no two libraries have one name.
 * Rejected: reading the code for the names of its functions (that takes an engine), and refusing a
 * library without a name (nobody can call it here, but nobody shall lose it either).
 */
#include "persist/libraries.h"

#include "core/heap.h"
#include "core/number.h"
#include "persist/crc64.h"
#include "persist/rdb_file.h"

/** Behind the records of FUNCTION DUMP: a version of two bytes, a checksum of eight. */
#define PAYLOAD_TAIL_SIZE 10
#define PAYLOAD_CRC_SIZE 8

static const char *const syntax_error = "ERR syntax error";

/* ---- names ---- */

static bool
is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f';
}

/** Take the first word off a line. False: there is none. */
static bool
word_next(struct slice *line, struct slice *word)
{
    while (line->size > 0 && is_blank(line->data[0])) {
        *line = slice_of(line->data + 1, line->size - 1);
    }
    size_t size = 0;
    while (size < line->size && !is_blank(line->data[size])) {
        size++;
    }
    *word = slice_of(line->data, size);
    *line = slice_of(line->data + size, line->size - size);
    return size > 0;
}

/** Without the quotation marks around it. */
static struct slice
unquoted(struct slice word)
{
    bool is_quoted = word.size >= 2 && (word.data[0] == '"' || word.data[0] == '\'') &&
                     word.data[word.size - 1] == word.data[0];
    return is_quoted ? slice_of(word.data + 1, word.size - 2) : word;
}

struct slice
library_name(struct slice code)
{
    static const char mark[] = "name=";
    const size_t mark_size = sizeof(mark) - 1;
    const char *end = code.size < 2 ? NULL : memchr(code.data, '\n', code.size);
    if (end == NULL || memcmp(code.data, "#!", 2) != 0) {
        return SLICE("");
    }
    struct slice line = slice_of(code.data, (size_t)(end - code.data));
    struct slice word;
    while (word_next(&line, &word)) {
        word = unquoted(word);
        if (word.size > mark_size && slice_is_word(slice_of(word.data, mark_size), mark)) {
            return unquoted(slice_of(word.data + mark_size, word.size - mark_size));
        }
    }
    return SLICE("");
}

/* ---- which there are ---- */

static uint32_t
index_of(const struct libraries *libraries, struct slice name)
{
    uint32_t i = 0;
    while (i < libraries->count && !slice_equal(libraries->items[i].name, name)) {
        i++;
    }
    return i;
}

const struct library *
libraries_find(const struct libraries *libraries, struct slice name)
{
    uint32_t i = index_of(libraries, name);
    return i < libraries->count ? &libraries->items[i] : NULL;
}

static struct slice
known_name(struct slice code)
{
    struct slice name = library_name(code);
    return name.size == 0 ? code : name;
}

static struct library
library_copy(struct slice code)
{
    char *bytes = heap_alloc(code.size);
    if (code.size > 0) {
        memcpy(bytes, code.data, code.size);
    }
    struct slice copy = slice_of(bytes, code.size);
    return (struct library){.name = known_name(copy), .code = copy};
}

static void
library_free(struct library *library)
{
    heap_free((char *)(uintptr_t)library->code.data);
}

bool
libraries_put(struct libraries *libraries, struct slice code, bool is_replacing)
{
    uint32_t i = index_of(libraries, known_name(code));
    if (i < libraries->count) {
        if (is_replacing) {
            struct library copy = library_copy(code);
            library_free(&libraries->items[i]);
            libraries->items[i] = copy;
        }
        return is_replacing;
    }
    if (libraries->count == libraries->capacity) {
        libraries->capacity = MAX(libraries->capacity * 2, 8U);
        libraries->items =
            heap_realloc(libraries->items, libraries->capacity * sizeof(*libraries->items));
    }
    libraries->items[libraries->count++] = library_copy(code);
    return true;
}

void
libraries_clear(struct libraries *libraries)
{
    for (uint32_t i = 0; i < libraries->count; i++) {
        library_free(&libraries->items[i]);
    }
    heap_free(libraries->items);
    *libraries = (struct libraries){0};
}

/* ---- FUNCTION ---- */

static const char *
apply_load(struct libraries *libraries, const struct slice *argv, uint32_t argc)
{
    bool is_replacing = argc == 4 && slice_is_word(argv[2], "replace");
    if (argc != 3 && !is_replacing) {
        return "ERR Unknown option given";
    }
    if (!libraries_put(libraries, argv[argc - 1], is_replacing)) {
        return "ERR Library already exists";
    }
    return NULL;
}

static const char *
apply_delete(struct libraries *libraries, const struct slice *argv, uint32_t argc)
{
    uint32_t i = argc == 3 ? index_of(libraries, argv[2]) : libraries->count;
    if (i == libraries->count) {
        return "ERR Library not found";
    }
    library_free(&libraries->items[i]);
    libraries->items[i] = libraries->items[--libraries->count];
    return NULL;
}

static const char *
apply_flush(struct libraries *libraries, const struct slice *argv, uint32_t argc)
{
    bool is_good =
        argc == 2 ||
        (argc == 3 && (slice_is_word(argv[2], "sync") || slice_is_word(argv[2], "async")));
    if (!is_good) {
        return syntax_error;
    }
    libraries_clear(libraries);
    return NULL;
}

/** The libraries of a payload, behind those that are in `found`. False: it is damaged. */
static bool
payload_read(struct slice payload, struct libraries *found)
{
    uint64_t crc;
    if (payload.size < PAYLOAD_TAIL_SIZE) {
        return false;
    }
    size_t summed_size = payload.size - PAYLOAD_CRC_SIZE;
    memcpy(&crc, payload.data + summed_size, sizeof(crc));
    if (crc64_update(0, slice_of(payload.data, summed_size)) != crc) {
        return false;
    }
    struct rdb_reader reader;
    struct rdb_text code = {0};
    rdb_reader_create(&reader, slice_of(payload.data, payload.size - PAYLOAD_TAIL_SIZE));
    bool is_good = true;
    while (is_good && !rdb_reader_is_at_end(&reader)) {
        uint8_t opcode;
        is_good = rdb_read_u8(&reader, &opcode) && opcode == RDB_OPCODE_FUNCTION &&
                  rdb_read_string(&reader, &code) && libraries_put(found, code.bytes, false);
    }
    rdb_text_release(&code);
    rdb_reader_destroy(&reader);
    return is_good;
}

static const char *
apply_restore(struct libraries *libraries, const struct slice *argv, uint32_t argc)
{
    bool is_flush = argc == 4 && slice_is_word(argv[3], "flush");
    bool is_replacing = argc == 4 && slice_is_word(argv[3], "replace");
    bool is_append = argc == 3 || (argc == 4 && slice_is_word(argv[3], "append"));
    if (!is_flush && !is_replacing && !is_append) {
        return syntax_error;
    }
    struct libraries found = {0};
    const char *error = NULL;
    if (!payload_read(argv[2], &found)) {
        error = "ERR DUMP payload version or checksum are wrong";
    }
    for (uint32_t i = 0; i < found.count && error == NULL && is_append; i++) {
        if (libraries_find(libraries, found.items[i].name) != NULL) {
            error = "ERR Library already exists";
        }
    }
    if (error == NULL && is_flush) {
        libraries_clear(libraries);
    }
    for (uint32_t i = 0; i < found.count && error == NULL; i++) {
        bool is_put = libraries_put(libraries, found.items[i].code, is_replacing);
        ASSERT(is_put);
    }
    libraries_clear(&found);
    return error;
}

const char *
libraries_apply(struct libraries *libraries, const struct slice *argv, uint32_t argc)
{
    static const struct {
        const char *name;
        uint32_t argc_min;
        const char *(*apply)(struct libraries *libraries, const struct slice *argv, uint32_t argc);
    } verbs[] = {
        {"load", 3, apply_load},
        {"delete", 3, apply_delete},
        {"flush", 2, apply_flush},
        {"restore", 3, apply_restore},
    };
    for (size_t i = 0; i < ARRAY_COUNT(verbs); i++) {
        if (argc >= verbs[i].argc_min && slice_is_word(argv[1], verbs[i].name)) {
            return verbs[i].apply(libraries, argv, argc);
        }
    }
    return "ERR unknown subcommand or wrong number of arguments for 'function'";
}

/* ---- writing ---- */

void
libraries_write_records(const struct libraries *libraries, struct rdb_writer *writer)
{
    for (uint32_t i = 0; i < libraries->count; i++) {
        rdb_write_function(writer, libraries->items[i].code);
    }
}

/** "*2\r\n" or "$4\r\n". */
static void
write_mark(struct rdb_writer *writer, char mark, uint64_t number)
{
    char digits[NUMBER_I64_SIZE_MAX];
    rdb_write_u8(writer, (uint8_t)mark);
    rdb_write_bytes(writer, slice_of(digits, number_format_u64(digits, number)));
    rdb_write_bytes(writer, SLICE("\r\n"));
}

static void
write_argument(struct rdb_writer *writer, struct slice argument)
{
    write_mark(writer, '$', argument.size);
    rdb_write_bytes(writer, argument);
    rdb_write_bytes(writer, SLICE("\r\n"));
}

void
libraries_write_commands(const struct libraries *libraries, struct rdb_writer *writer)
{
    for (uint32_t i = 0; i < libraries->count; i++) {
        write_mark(writer, '*', 3);
        write_argument(writer, SLICE("FUNCTION"));
        write_argument(writer, SLICE("LOAD"));
        write_argument(writer, libraries->items[i].code);
    }
}
