/*
 * config_internal.h: what the rooms of the configuration share: the row of a directive, values as
 * words and as text. For core/config*.c and their tests only.
 */
#pragma once

#include "core/config.h"

enum config_kind {
    CONFIG_KIND_BOOL,
    CONFIG_KIND_INT,
    CONFIG_KIND_OCTAL,
    CONFIG_KIND_MEMORY,
    CONFIG_KIND_PERCENT,
    CONFIG_KIND_ENUM,
    CONFIG_KIND_STRING,
    CONFIG_KIND_LIST,
    CONFIG_KIND_LIMITS,
};

enum config_flag {
    CONFIG_IMMUTABLE = 1 << 0,
    CONFIG_PROTECTED = 1 << 1,
    CONFIG_NOT_YET = 1 << 2,
    CONFIG_KEPT = 1 << 3,
    CONFIG_NEVER = 1 << 4,
};

/** Why a value is refused, as the user reads it; cut where it is too long. */
struct config_reason {
    char text[512];
};

struct config_word {
    const char *word;
    int32_t value;
};

/**
 * Looks at one text and may put another in its place (malloc'd, the old one freed). NULL = fine,
 * else what is wrong. The answer is a constant or lives in `reason`.
 */
typedef const char *config_check_fn(char **text, struct config_reason *reason);

struct config_row {
    const char *name;
    /** "" = none. */
    const char *alias;
    const char *help;
    enum config_kind kind;
    uint32_t flags;
    /** Where the field lies in struct config. */
    size_t offset;
    /** Range of numbers, counts of words; of memory too, where `most` is -1 for all 64 bits. */
    int64_t least;
    int64_t most;
    /** The default: a number, or a text. */
    int64_t start;
    const char *start_text;
    /** The words of an enumeration, ended by a NULL word. */
    const struct config_word *words;
    config_check_fn *check;
};

/** Bytes that grow; ends the process when there is no memory. */
struct config_text {
    char *data;
    size_t size;
    size_t capacity;
};

void config_text_append(struct config_text *text, struct slice bytes);
void config_text_format(struct config_text *text, const char *format, ...) PRINTF_LIKE(2, 3);
void config_text_destroy(struct config_text *text);
static inline struct slice
config_text_slice(const struct config_text *text)
{
    return slice_of(text->size == 0 ? "" : text->data, text->size);
}

/** `bytes` in double quotes with escapes, so that config_words_split() gives it back. */
void config_text_append_quoted(struct config_text *text, struct slice bytes);

/** Words of one line: their bytes lie one behind the other in `bytes`. */
struct config_words {
    struct slice *items;
    uint32_t count;
    char *bytes;
};

/** Split a line by the quoting rules of redis.conf; false where quotes are unbalanced (then nothing
 * is to destroy). */
bool config_words_split(struct config_words *words, struct slice line) MUST_CHECK;

/** Cut at every single space, as the values of CONFIG SET are: two spaces have an empty word
 * between. */
void config_words_cut(struct config_words *words, struct slice text);
void config_words_destroy(struct config_words *words);

/** The rows, in the table's order. */
const struct config_row *config_rows(uint32_t *count);

/** By name or alias without regard to case; NULL if unknown. */
const struct config_row *config_row_find(struct slice name);

static inline void *
config_row_field(const struct config_row *row, struct config *config)
{
    return (char *)config + row->offset;
}

static inline const void *
config_row_value(const struct config_row *row, const struct config *config)
{
    return (const char *)config + row->offset;
}

/** Put the default in a field that owns nothing. */
void config_value_reset(const struct config_row *row, void *field);

/** Free what a field owns. */
void config_value_clear(const struct config_row *row, void *field);

/** Copy into a field that owns nothing. */
void config_value_copy(const struct config_row *row, void *field, const void *from);

/** Take the words behind the directive's name. False and why, with the field as it was. */
bool config_value_parse(const struct config_row *row, void *field, const struct slice *words,
                        uint32_t word_count, struct config_reason *reason) MUST_CHECK;

/** Append the value as CONFIG GET answers it. */
void config_value_print(const struct config_row *row, const void *field, struct config_text *text);

/** The same value? */
bool config_value_equal(const struct config_row *row, const void *a, const void *b);

/** Set a directive from the words of a file or of CONFIG SET, with all that depends on it. */
bool config_assign(struct config *config, const struct config_row *row, const struct slice *words,
                   uint32_t word_count, struct config_reason *reason) MUST_CHECK;

/** Load text; an error is told as that of the configuration file. `depth` counts nested includes.
 */
int config_text_load(struct config *config, struct slice text, const char *included_from,
                     uint32_t depth, char *error, size_t error_size) MUST_CHECK;

/** Append a whole file, "-" being standard input. 0 or -errno. */
int config_file_read(struct config_text *text, const char *path) MUST_CHECK;

/** Memory for the configuration: NULL ends the process, for without it there is nothing to run. */
void *config_allocate(size_t size);
char *config_string_copy(struct slice bytes);

/* The checks that the table names. */
config_check_fn config_check_dir;
config_check_fn config_check_title;
config_check_fn config_check_oom_score;
config_check_fn config_check_percentile;
config_check_fn config_check_save;
config_check_fn config_check_notify;
config_check_fn config_check_dbfilename;
config_check_fn config_check_appendfilename;
config_check_fn config_check_appenddirname;
config_check_fn config_check_hostname;
config_check_fn config_check_shutdown;
