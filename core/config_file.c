/*
 * config_file.c: from the text of a file to directives.
 *
 *     bytes -> lines -> words (quotes, escapes) -> row of the table -> config_assign()
 *                         \-> `include`: the same again, one level deeper
 *
 * A line is a directive and its words. A word may be in double quotes (with \n \r \t \a \b \xHH and
 * \ before anything else) or in single quotes (with \' only), also from its middle on; a closing
 * quote ends the word.
 * '#' begins a comment only at the start of a line. A later line wins over an earlier one.
 *
 * Invariant: the first error ends the load and is told with its line; the config is then of no use,
 * for the server does not start with half of what its owner wrote.
 *
 * Rejected: going on after an unknown directive with a warning. A misspelt `requirepass` would be
 * an open server.
 */
#include "core/config_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

/** Files within files: far more than anyone nests, few enough to end a file that includes itself.
 */
#define CONFIG_INCLUDE_DEPTH_MAX 16
/** A configuration beyond this is some other file named by mistake. */
#define CONFIG_FILE_SIZE_MAX ((size_t)64 << 20)

/* ---- words ---- */

static bool
config_is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\v' || c == '\f' || c == '\0';
}

static int
config_hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f') {
        return (c | 0x20) - 'a' + 10;
    }
    return -1;
}

/** The byte that the escape behind a backslash stands for; `size` is set to the bytes of the
 * escape. */
static char
config_unescape(struct slice rest, size_t *size)
{
    *size = 1;
    if (rest.size >= 3 && rest.data[0] == 'x') {
        int high = config_hex_digit(rest.data[1]);
        int low = config_hex_digit(rest.data[2]);
        if (high >= 0 && low >= 0) {
            *size = 3;
            return (char)(high * 16 + low);
        }
    }
    switch (rest.data[0]) {
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    case 'a':
        return '\a';
    case 'b':
        return '\b';
    default:
        return rest.data[0];
    }
}

/**
 * Take one word from `line` at `*at` into `out`, which has room for the rest of the line.
 * How many bytes were written, or -1 where quotes are unbalanced.
 */
static ssize_t
config_word_take(struct slice line, size_t *at, char *out)
{
    size_t size = 0;
    char quote = '\0';
    size_t i = *at;
    while (i < line.size && (quote != '\0' || !config_is_blank(line.data[i]))) {
        char c = line.data[i];
        if (quote == '\0' && (c == '"' || c == '\'')) {
            quote = c;
            i++;
        } else if (quote != '\0' && c == quote) {
            *at = i + 1;
            bool is_end = i + 1 == line.size || config_is_blank(line.data[i + 1]);
            return is_end ? (ssize_t)size : -1;
        } else if (quote == '"' && c == '\\' && i + 1 < line.size) {
            size_t escape_size;
            out[size++] =
                config_unescape(slice_of(line.data + i + 1, line.size - i - 1), &escape_size);
            i += 1 + escape_size;
        } else if (quote == '\'' && c == '\\' && i + 1 < line.size && line.data[i + 1] == '\'') {
            out[size++] = '\'';
            i += 2;
        } else {
            out[size++] = c;
            i++;
        }
    }
    *at = i;
    return quote == '\0' ? (ssize_t)size : -1;
}

bool
config_words_split(struct config_words *words, struct slice line)
{
    /* A word takes at least one byte of the line, but for a blank behind it: so this is room
     * enough. */
    *words = (struct config_words){
        .items = config_allocate((line.size / 2 + 1) * sizeof(struct slice)),
        .bytes = config_allocate(line.size + 1),
    };
    char *out = words->bytes;
    size_t at = 0;
    for (;;) {
        while (at < line.size && config_is_blank(line.data[at])) {
            at++;
        }
        if (at == line.size) {
            return true;
        }
        ssize_t size = config_word_take(line, &at, out);
        if (size < 0) {
            config_words_destroy(words);
            return false;
        }
        words->items[words->count++] = slice_of(out, (size_t)size);
        out += size;
    }
}

void
config_words_cut(struct config_words *words, struct slice text)
{
    *words = (struct config_words){
        .items = config_allocate((text.size + 1) * sizeof(struct slice)),
    };
    size_t start = 0;
    for (size_t i = 0; text.size > 0 && i <= text.size; i++) {
        if (i == text.size || text.data[i] == ' ') {
            words->items[words->count++] = slice_of(text.data + start, i - start);
            start = i + 1;
        }
    }
}

void
config_words_destroy(struct config_words *words)
{
    free(words->items);
    free(words->bytes);
    *words = (struct config_words){0};
}

void
config_text_append_quoted(struct config_text *text, struct slice bytes)
{
    config_text_append(text, SLICE("\""));
    for (size_t i = 0; i < bytes.size; i++) {
        unsigned char c = (unsigned char)bytes.data[i];
        if (c == '"' || c == '\\') {
            config_text_format(text, "\\%c", c);
        } else if (c == '\n' || c == '\r' || c == '\t' || c == '\a' || c == '\b') {
            const char *letter = c == '\n'   ? "n"
                                 : c == '\r' ? "r"
                                 : c == '\t' ? "t"
                                 : c == '\a' ? "a"
                                             : "b";
            config_text_format(text, "\\%s", letter);
        } else if (c < 0x20 || c >= 0x7f) {
            config_text_format(text, "\\x%02x", c);
        } else {
            config_text_append(text, slice_of(&bytes.data[i], 1));
        }
    }
    config_text_append(text, SLICE("\""));
}

/* ---- files ---- */

int
config_file_read(struct config_text *text, const char *path)
{
    bool is_stdin = strcmp(path, "-") == 0;
    int fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    int rc = 0;
    size_t total = 0;
    for (;;) {
        char chunk[4096];
        ssize_t size = read(fd, chunk, sizeof(chunk));
        if (size < 0 && errno == EINTR) {
            continue;
        }
        if (size <= 0) {
            rc = size < 0 ? -errno : 0;
            break;
        }
        total += (size_t)size;
        if (total > CONFIG_FILE_SIZE_MAX) {
            rc = -EFBIG;
            break;
        }
        config_text_append(text, slice_of(chunk, (size_t)size));
    }
    if (!is_stdin) {
        close(fd);
    }
    return rc;
}

/** What is being loaded, for errors and nested files. */
struct config_load {
    struct config *config;
    /** NULL: the main file, standard input and the command line. */
    const char *included_from;
    uint32_t depth;
    uint32_t line_number;
    char *error;
    size_t error_size;
};

static int
config_load_fail(const struct config_load *load, struct slice line, const char *why)
{
    bool is_included = load->included_from != NULL;
    snprintf(load->error, load->error_size,
             "\n*** FATAL CONFIG FILE ERROR (Tessera " TESSERA_VERSION ") ***\n"
             "Reading the configuration file%s%s%s, at line %u\n>>> '%.*s'\n%s",
             is_included ? " '" : "", is_included ? load->included_from : "",
             is_included ? "'" : "", load->line_number, (int)MIN(line.size, 512), line.data, why);
    return -EINVAL;
}

static int
config_include_one(const struct config_load *load, const char *path)
{
    struct config_text text = {0};
    int rc = config_file_read(&text, path);
    if (rc < 0) {
        snprintf(load->error, load->error_size, "Fatal error, can't open config file '%s': %s",
                 path, strerror(-rc));
    } else {
        rc = config_text_load(load->config, config_text_slice(&text), path, load->depth + 1,
                              load->error, load->error_size);
    }
    config_text_destroy(&text);
    return rc;
}

/** `include`: one file, or all that a glob names, which may be none. */
static int
config_include(const struct config_load *load, struct slice line, struct slice pattern)
{
    if (load->depth >= CONFIG_INCLUDE_DEPTH_MAX) {
        return config_load_fail(load, line, "Too many nested include directives");
    }
    char *path = config_string_copy(pattern);
    glob_t found = {0};
    int rc = 0;
    if (strpbrk(path, "*?[") == NULL) {
        rc = config_include_one(load, path);
    } else if (glob(path, 0, NULL, &found) == 0) {
        for (size_t i = 0; rc == 0 && i < found.gl_pathc; i++) {
            rc = config_include_one(load, found.gl_pathv[i]);
        }
        globfree(&found);
    }
    free(path);
    return rc;
}

/** Directives of Redis that are no rows of the table. NULL = none of them. */
static const char *
config_special_refusal(struct slice name)
{
    static const struct {
        const char *name;
        const char *why;
    } specials[] = {
        {"rename-command", "'rename-command' is not supported yet by this version of Tessera"},
        {"user", "'user' is not supported yet by this version of Tessera"},
        {"loadmodule", "'loadmodule' is not supported: Tessera has no modules"},
        {"sentinel", "sentinel directive while not in sentinel mode"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(specials); i++) {
        if (slice_is_word(name, specials[i].name)) {
            return specials[i].why;
        }
    }
    return NULL;
}

static int
config_load_words(const struct config_load *load, struct slice line,
                  const struct config_words *words)
{
    struct slice name = words->items[0];
    if (slice_is_word(name, "include") && words->count == 2) {
        return config_include(load, line, words->items[1]);
    }
    const struct config_row *row = config_row_find(name);
    if (row == NULL) {
        const char *why = words->count > 1 ? config_special_refusal(name) : NULL;
        return config_load_fail(load, line,
                                why != NULL ? why : "Bad directive or wrong number of arguments");
    }
    struct config_reason reason;
    if (!config_assign(load->config, row, words->items + 1, words->count - 1, &reason)) {
        return config_load_fail(load, line, reason.text);
    }
    return 0;
}

static int
config_load_line(const struct config_load *load, struct slice line)
{
    while (line.size > 0 && config_is_blank(line.data[0])) {
        line = slice_of(line.data + 1, line.size - 1);
    }
    while (line.size > 0 && config_is_blank(line.data[line.size - 1])) {
        line.size--;
    }
    if (line.size == 0 || line.data[0] == '#') {
        return 0;
    }
    struct config_words words;
    if (!config_words_split(&words, line)) {
        return config_load_fail(load, line, "Unbalanced quotes in configuration line");
    }
    ASSERT(words.count > 0);
    int rc = config_load_words(load, line, &words);
    config_words_destroy(&words);
    return rc;
}

int
config_text_load(struct config *config, struct slice text, const char *included_from,
                 uint32_t depth, char *error, size_t error_size)
{
    struct config_load load = {
        .config = config,
        .included_from = included_from,
        .depth = depth,
        .error = error,
        .error_size = error_size,
    };
    while (text.size > 0) {
        const char *end = memchr(text.data, '\n', text.size);
        size_t size = end == NULL ? text.size : (size_t)(end - text.data);
        load.line_number++;
        int rc = config_load_line(&load, slice_of(text.data, size));
        if (rc < 0) {
            return rc;
        }
        size_t step = MIN(size + 1, text.size);
        text = slice_of(text.data + step, text.size - step);
    }
    return 0;
}

int
config_load_text(struct config *config, struct slice text, char *error, size_t error_size)
{
    return config_text_load(config, text, NULL, 0, error, error_size);
}
