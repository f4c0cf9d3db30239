/*
 * config_value.c: a value as a field, as words and as text.
 *
 *     words of a file or of CONFIG SET --parse--> field of struct config --print--> CONFIG GET
 *
 * Each kind of directive has one case in each of the functions here, and -Wswitch-enum finds the
 * forgotten one. Invariants: print, then parse, gives the field back; a parse that fails leaves the
 * field alone. Two values are the same when their texts are, so there is no third notion of
 * equality to keep in step. Messages are those of redis-server 7.0, because tools match them.
 *
 * Not a parser and a printer for each directive: 140 directives of nine kinds would be 280
 * functions.
 */
#include "core/config_internal.h"

#include "core/number.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

/** As long as a host name may be. */
#define CONFIG_HOSTNAME_SIZE_MAX 255

static const char *const config_class_names[CONFIG_CLIENT_CLASS_COUNT] = {
    [CONFIG_CLIENT_NORMAL] = "normal",
    [CONFIG_CLIENT_REPLICA] = "slave",
    [CONFIG_CLIENT_PUBSUB] = "pubsub",
};

void *
config_allocate(size_t size)
{
    void *memory = calloc(1, MAX(size, 1));
    ASSERT(memory != NULL);
    return memory;
}

char *
config_string_copy(struct slice bytes)
{
    char *copy = config_allocate(bytes.size + 1);
    if (bytes.size > 0) {
        memcpy(copy, bytes.data, bytes.size);
    }
    return copy;
}

void
config_text_append(struct config_text *text, struct slice bytes)
{
    if (text->size + bytes.size + 1 > text->capacity) {
        size_t capacity = (text->size + bytes.size + 1) * 2;
        char *data = realloc(text->data, capacity);
        ASSERT(data != NULL);
        text->data = data;
        text->capacity = capacity;
    }
    if (bytes.size > 0) {
        memcpy(text->data + text->size, bytes.data, bytes.size);
    }
    text->size += bytes.size;
    text->data[text->size] = '\0';
}

void
config_text_format(struct config_text *text, const char *format, ...)
{
    va_list arguments;
    char *line = NULL;
    va_start(arguments, format);
    int size = vasprintf(&line, format, arguments);
    va_end(arguments);
    ASSERT(size >= 0);
    config_text_append(text, slice_of(line, (size_t)size));
    free(line);
}

void
config_text_destroy(struct config_text *text)
{
    free(text->data);
    *text = (struct config_text){0};
}

static bool
config_refuse(struct config_reason *reason, const char *why)
{
    snprintf(reason->text, sizeof(reason->text), "%s", why);
    return false;
}

/* ---- checks ---- */

/** The absolute path, so that a later change of the working directory does not change its meaning.
 */
const char *
config_check_dir(char **text, struct config_reason *reason)
{
    struct stat status;
    int code = 0;
    char *path = realpath(*text, NULL);
    if (path == NULL || stat(path, &status) != 0 || access(path, X_OK) != 0) {
        code = errno;
    } else if (!S_ISDIR(status.st_mode)) {
        code = ENOTDIR;
    }
    if (code != 0) {
        free(path);
        snprintf(reason->text, sizeof(reason->text), "%s", strerror(code));
        return reason->text;
    }
    free(*text);
    *text = path;
    return NULL;
}

const char *
config_check_title(char **text, struct config_reason *reason)
{
    static const char *const variables[] = {
        "{title}",    "{listen-addr}", "{server-mode}", "{port}",
        "{tls-port}", "{unixsocket}",  "{config-file}",
    };
    const char *rest = *text;
    bool is_fine = true;
    /* A program without a name would have an empty title: so it takes more than blanks and {title}.
     */
    bool is_empty = true;
    while (is_fine && *rest != '\0') {
        size_t step = *rest != '{' ? 1 : rest[1] == '{' ? 2 : 0; /* "{{" is a brace */
        is_empty = is_empty && (*rest == ' ' || strncmp(rest, "{title}", 7) == 0);
        for (size_t i = 0; step == 0 && i < ARRAY_COUNT(variables); i++) {
            if (strncmp(rest, variables[i], strlen(variables[i])) == 0) {
                step = strlen(variables[i]);
            }
        }
        is_fine = step > 0;
        rest += step;
    }
    return is_fine && !is_empty ? NULL : "template format is invalid or contains unknown variables";
}

const char *
config_check_oom_score(char **text, struct config_reason *reason)
{
    int64_t score;
    if (!number_parse_i64(slice_of_string(*text), &score) || score < -2000 || score > 2000) {
        return "Invalid oom-score-adj-values, elements must be between -2000 and 2000.";
    }
    return NULL;
}

const char *
config_check_percentile(char **text, struct config_reason *reason)
{
    double percentile;
    if (!number_parse_double(slice_of_string(*text), &percentile)) {
        return "Invalid latency-tracking-info-percentiles parameters";
    }
    if (percentile < 0.0 || percentile > 100.0) {
        return "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]";
    }
    char plain[64];
    snprintf(plain, sizeof(plain), "%.15g", percentile);
    free(*text);
    *text = config_string_copy(slice_of_string(plain));
    return NULL;
}

const char *
config_check_save(char **text, struct config_reason *reason)
{
    int64_t number;
    if (!number_parse_i64(slice_of_string(*text), &number) || number < 0) {
        return "Invalid save parameters";
    }
    return NULL;
}

/** In redis-server's order, with "A" for the ten classes that it stands for. */
const char *
config_check_notify(char **text, struct config_reason *reason)
{
    static const char order[] = "g$lshzxetdnKEm";
    static const char all[] = "g$lshzxetd";
    bool is_set[sizeof(order)] = {false};
    for (const char *at = *text; *at != '\0'; at++) {
        const char *letter = strchr(order, *at);
        if (letter == NULL && *at != 'A') {
            return "Invalid event class character. Use 'Ag$lshzxeKEtmdn'.";
        }
        for (size_t i = 0; *at == 'A' && i < sizeof(all) - 1; i++) {
            is_set[i] = true;
        }
        if (letter != NULL) {
            is_set[letter - order] = true;
        }
    }
    bool has_all = true;
    for (size_t i = 0; i < sizeof(all) - 1; i++) {
        has_all = has_all && is_set[i];
    }
    char plain[sizeof(order) + 1];
    size_t size = 0;
    if (has_all) {
        plain[size++] = 'A';
    }
    for (size_t i = has_all ? sizeof(all) - 1 : 0; i < sizeof(order) - 1; i++) {
        if (is_set[i]) {
            plain[size++] = order[i];
        }
    }
    free(*text);
    *text = config_string_copy(slice_of(plain, size));
    return NULL;
}

const char *
config_check_dbfilename(char **text, struct config_reason *reason)
{
    return strpbrk(*text, "/\\") == NULL ? NULL : "dbfilename can't be a path, just a filename";
}

const char *
config_check_appendfilename(char **text, struct config_reason *reason)
{
    if (**text == '\0') {
        return "appendfilename can't be empty";
    }
    return strpbrk(*text, "/\\") == NULL ? NULL : "appendfilename can't be a path, just a filename";
}

const char *
config_check_appenddirname(char **text, struct config_reason *reason)
{
    if (**text == '\0') {
        return "appenddirname can't be empty";
    }
    return strpbrk(*text, "/\\") == NULL ? NULL : "appenddirname can't be a path, just a dirname";
}

const char *
config_check_hostname(char **text, struct config_reason *reason)
{
    size_t size = strlen(*text);
    if (size > CONFIG_HOSTNAME_SIZE_MAX) {
        return "Hostnames must be less than 256 characters";
    }
    for (size_t i = 0; i < size; i++) {
        char byte = (*text)[i];
        bool is_letter = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
        bool is_digit = byte >= '0' && byte <= '9';
        if (!is_letter && !is_digit && byte != '-' && byte != '.') {
            return "Hostnames may only contain alphanumeric characters, hyphens or dots";
        }
    }
    return NULL;
}

/** In the order that a list of them is kept in. */
static const char *const config_shutdown_words[] = {"default", "save", "nosave", "now", "force"};
#define CONFIG_SHUTDOWN_WORDS                                                                      \
    "argument(s) must be one of the following: default, save, nosave, now, force"

const char *
config_check_shutdown(char **text, struct config_reason *reason)
{
    for (size_t i = 0; i < ARRAY_COUNT(config_shutdown_words); i++) {
        if (strcasecmp(*text, config_shutdown_words[i]) == 0) {
            return NULL;
        }
    }
    return CONFIG_SHUTDOWN_WORDS;
}

/* ---- a field's life ---- */

static void
config_list_clear(struct config_list *list)
{
    for (uint32_t i = 0; i < list->count; i++) {
        free(list->items[i]);
    }
    free(list->items);
    *list = (struct config_list){0};
}

void
config_value_clear(const struct config_row *row, void *field)
{
    if (row->kind == CONFIG_KIND_STRING) {
        free(*(char **)field);
        *(char **)field = NULL;
    } else if (row->kind == CONFIG_KIND_LIST) {
        config_list_clear(field);
    }
}

static size_t
config_value_size(const struct config_row *row)
{
    switch (row->kind) {
    case CONFIG_KIND_BOOL:
        return sizeof(bool);
    case CONFIG_KIND_INT:
    case CONFIG_KIND_OCTAL:
    case CONFIG_KIND_PERCENT:
        return sizeof(int64_t);
    case CONFIG_KIND_MEMORY:
        return sizeof(uint64_t);
    case CONFIG_KIND_ENUM:
        return sizeof(int32_t);
    case CONFIG_KIND_STRING:
        return sizeof(char *);
    case CONFIG_KIND_LIST:
        return sizeof(struct config_list);
    case CONFIG_KIND_LIMITS:
        return sizeof(struct config_output_limit) * CONFIG_CLIENT_CLASS_COUNT;
    }
    ASSERT(false);
    return 0;
}

void
config_value_copy(const struct config_row *row, void *field, const void *from)
{
    if (row->kind == CONFIG_KIND_STRING) {
        *(char **)field = config_string_copy(slice_of_string(*(char *const *)from));
    } else if (row->kind == CONFIG_KIND_LIST) {
        const struct config_list *list = from;
        struct config_list *copy = field;
        *copy = (struct config_list){
            .items = config_allocate(sizeof(char *) * list->count),
            .count = list->count,
        };
        for (uint32_t i = 0; i < list->count; i++) {
            copy->items[i] = config_string_copy(slice_of_string(list->items[i]));
        }
    } else {
        memcpy(field, from, config_value_size(row));
    }
}

void
config_value_reset(const struct config_row *row, void *field)
{
    memset(field, 0, config_value_size(row));
    switch (row->kind) {
    case CONFIG_KIND_BOOL:
        *(bool *)field = row->start != 0;
        return;
    case CONFIG_KIND_INT:
    case CONFIG_KIND_OCTAL:
    case CONFIG_KIND_PERCENT:
        *(int64_t *)field = row->start;
        return;
    case CONFIG_KIND_MEMORY:
        *(uint64_t *)field = (uint64_t)row->start;
        return;
    case CONFIG_KIND_ENUM:
        *(int32_t *)field = (int32_t)row->start;
        return;
    case CONFIG_KIND_STRING:
        *(char **)field = config_string_copy(slice_of_string(row->start_text));
        if (row->check != NULL) {
            /* The default of `dir` becomes a path here; in a folder that is gone it stays ".". */
            struct config_reason reason;
            (void)row->check(field, &reason);
        }
        return;
    case CONFIG_KIND_LIST:
    case CONFIG_KIND_LIMITS: {
        struct config_reason reason;
        struct slice text = slice_of_string(row->start_text);
        bool is_fine = config_value_parse(row, field, &text, 1, &reason);
        ASSERT(is_fine);
        return;
    }
    }
}

/* ---- words to fields ---- */

static bool
config_parse_bool(bool *field, struct slice word, struct config_reason *reason)
{
    bool is_yes = slice_is_word(word, "yes");
    if (!is_yes && !slice_is_word(word, "no")) {
        return config_refuse(reason, "argument must be 'yes' or 'no'");
    }
    *field = is_yes;
    return true;
}

static bool
config_parse_int(const struct config_row *row, int64_t *field, struct slice word,
                 struct config_reason *reason)
{
    int64_t number;
    if (!number_parse_i64(word, &number)) {
        return config_refuse(reason, "argument couldn't be parsed into an integer");
    }
    if (number < row->least || number > row->most) {
        snprintf(reason->text, sizeof(reason->text),
                 "argument must be between %lld and %lld inclusive", (long long)row->least,
                 (long long)row->most);
        return false;
    }
    *field = number;
    return true;
}

static bool
config_parse_octal(const struct config_row *row, int64_t *field, struct slice word,
                   struct config_reason *reason)
{
    int64_t number = 0;
    bool is_negative = word.size > 0 && word.data[0] == '-';
    size_t start = is_negative ? 1 : 0;
    bool is_fine = word.size > start && word.size <= 20;
    for (size_t i = start; is_fine && i < word.size; i++) {
        is_fine = word.data[i] >= '0' && word.data[i] <= '7';
        number = number * 8 + (word.data[i] - '0');
    }
    number = is_negative ? -number : number;
    if (!is_fine) {
        return config_refuse(reason, "argument couldn't be parsed as an octal number");
    }
    if (number < row->least || number > row->most) {
        snprintf(reason->text, sizeof(reason->text),
                 "argument must be between %llo and %llo inclusive", (long long)row->least,
                 (long long)row->most);
        return false;
    }
    *field = number;
    return true;
}

static bool
config_parse_memory(const struct config_row *row, uint64_t *field, struct slice word,
                    struct config_reason *reason)
{
    uint64_t bytes;
    if (!number_parse_memory(word, &bytes)) {
        return config_refuse(reason, "argument must be a memory value");
    }
    if (bytes < (uint64_t)row->least || bytes > (uint64_t)row->most) {
        snprintf(reason->text, sizeof(reason->text),
                 "argument must be between %llu and %llu inclusive", (unsigned long long)row->least,
                 (unsigned long long)row->most);
        return false;
    }
    *field = bytes;
    return true;
}

static bool
config_parse_percent(int64_t *field, struct slice word, struct config_reason *reason)
{
    uint64_t bytes;
    if (word.size > 1 && word.data[word.size - 1] == '%') {
        int64_t percent;
        if (!number_parse_i64(slice_of(word.data, word.size - 1), &percent) || percent < 0) {
            return config_refuse(reason, "argument must be a memory or percent value");
        }
        if (percent > 100) {
            return config_refuse(reason, "percentage argument must be less or equal to 100");
        }
        *field = -percent;
        return true;
    }
    if (!number_parse_memory(word, &bytes) || bytes > INT64_MAX) {
        return config_refuse(reason, "argument must be a memory or percent value");
    }
    *field = (int64_t)bytes;
    return true;
}

static bool
config_parse_enum(const struct config_row *row, int32_t *field, struct slice word,
                  struct config_reason *reason)
{
    struct config_text all = {0};
    for (const struct config_word *known = row->words; known->word != NULL; known++) {
        if (slice_is_word(word, known->word)) {
            config_text_destroy(&all);
            *field = known->value;
            return true;
        }
        config_text_format(&all, "%s%s", all.size == 0 ? "" : ", ", known->word);
    }
    snprintf(reason->text, sizeof(reason->text), "argument(s) must be one of the following: %s",
             all.data);
    config_text_destroy(&all);
    return false;
}

static bool
config_parse_string(const struct config_row *row, char **field, struct slice word,
                    struct config_reason *reason)
{
    if (word.size > 0 && memchr(word.data, '\0', word.size) != NULL) {
        return config_refuse(reason, "argument must not hold a NUL byte");
    }
    char *text = config_string_copy(word);
    const char *why = row->check == NULL ? NULL : row->check(&text, reason);
    if (why != NULL) {
        free(text);
        return why == reason->text ? false : config_refuse(reason, why);
    }
    free(*field);
    *field = text;
    return true;
}

/** Pairs of seconds and changes; the numbers are checked already. */
static bool
config_is_save_list(const struct config_list *list)
{
    for (uint32_t i = 0; i < list->count; i += 2) {
        int64_t seconds;
        if (!number_parse_i64(slice_of_string(list->items[i]), &seconds) || seconds < 1) {
            return false;
        }
    }
    return list->count % 2 == 0;
}

/** Each word once, in one order, and `default` only by itself; the words are checked already. */
static const char *
config_shutdown_settle(struct config_list *list)
{
    bool is_there[ARRAY_COUNT(config_shutdown_words)] = {false};
    for (uint32_t i = 0; i < list->count; i++) {
        for (size_t j = 0; j < ARRAY_COUNT(is_there); j++) {
            is_there[j] |= strcasecmp(list->items[i], config_shutdown_words[j]) == 0;
        }
    }
    if (list->count == 0) {
        return CONFIG_SHUTDOWN_WORDS;
    }
    if (is_there[1] && is_there[2]) {
        return "shutdown options SAVE and NOSAVE can't be used simultaneously";
    }
    is_there[0] = !is_there[1] && !is_there[2] && !is_there[3] && !is_there[4];
    for (uint32_t i = 0; i < list->count; i++) {
        free(list->items[i]);
    }
    list->count = 0;
    for (size_t j = 0; j < ARRAY_COUNT(is_there); j++) {
        if (is_there[j]) {
            list->items[list->count++] =
                config_string_copy(slice_of_string(config_shutdown_words[j]));
        }
    }
    return NULL;
}

/** What is wrong with a list as a whole, or NULL. */
static const char *
config_list_settle(const struct config_row *row, struct config_list *list)
{
    if (row->check == config_check_save && !config_is_save_list(list)) {
        return "Invalid save parameters";
    }
    return row->check == config_check_shutdown ? config_shutdown_settle(list) : NULL;
}

static bool
config_parse_list(const struct config_row *row, struct config_list *field,
                  const struct slice *words, uint32_t word_count, struct config_reason *reason)
{
    if (word_count < (uint64_t)row->least || word_count > (uint64_t)row->most) {
        return config_refuse(reason, strcmp(row->name, "bind") == 0
                                         ? "Too many bind addresses specified."
                                         : "wrong number of arguments");
    }
    struct config_list list = {.items = config_allocate(sizeof(char *) * word_count)};
    struct config_row item = {.name = row->name, .check = row->check};
    for (; list.count < word_count; list.count++) {
        if (!config_parse_string(&item, &list.items[list.count], words[list.count], reason)) {
            config_list_clear(&list);
            return false;
        }
    }
    const char *why = config_list_settle(row, &list);
    if (why != NULL) {
        config_list_clear(&list);
        return config_refuse(reason, why);
    }
    config_list_clear(field);
    *field = list;
    return true;
}

static bool
config_parse_limits(struct config_output_limit *field, const struct slice *words,
                    uint32_t word_count, struct config_reason *reason)
{
    struct config_output_limit limits[CONFIG_CLIENT_CLASS_COUNT];
    memcpy(limits, field, sizeof(limits));
    if (word_count % 4 != 0) {
        return config_refuse(reason, "Wrong number of arguments in buffer limit configuration.");
    }
    for (uint32_t i = 0; i < word_count; i += 4) {
        uint32_t which = 0;
        while (which < CONFIG_CLIENT_CLASS_COUNT &&
               !slice_is_word(words[i], config_class_names[which])) {
            which++;
        }
        if (slice_is_word(words[i], "replica")) {
            which = CONFIG_CLIENT_REPLICA;
        }
        if (which == CONFIG_CLIENT_CLASS_COUNT) {
            return config_refuse(reason,
                                 "Invalid client class specified in buffer limit configuration.");
        }
        struct config_output_limit *limit = &limits[which];
        if (!number_parse_memory(words[i + 1], &limit->hard_bytes) ||
            !number_parse_memory(words[i + 2], &limit->soft_bytes) ||
            !number_parse_i64(words[i + 3], &limit->soft_s) || limit->soft_s < 0) {
            return config_refuse(reason, "Error in hard, soft or soft_seconds setting in buffer "
                                         "limit configuration.");
        }
    }
    memcpy(field, limits, sizeof(limits));
    return true;
}

bool
config_value_parse(const struct config_row *row, void *field, const struct slice *words,
                   uint32_t word_count, struct config_reason *reason)
{
    if (row->kind == CONFIG_KIND_LIST || row->kind == CONFIG_KIND_LIMITS) {
        struct config_words cut = {0};
        if (word_count == 1) {
            config_words_cut(&cut, words[0]);
            words = cut.items;
            word_count = cut.count;
        }
        bool is_fine = row->kind == CONFIG_KIND_LIST
                           ? config_parse_list(row, field, words, word_count, reason)
                           : config_parse_limits(field, words, word_count, reason);
        config_words_destroy(&cut);
        return is_fine;
    }
    if (word_count != 1) {
        return config_refuse(reason, "wrong number of arguments");
    }
    switch (row->kind) {
    case CONFIG_KIND_BOOL:
        return config_parse_bool(field, words[0], reason);
    case CONFIG_KIND_INT:
        return config_parse_int(row, field, words[0], reason);
    case CONFIG_KIND_OCTAL:
        return config_parse_octal(row, field, words[0], reason);
    case CONFIG_KIND_MEMORY:
        return config_parse_memory(row, field, words[0], reason);
    case CONFIG_KIND_PERCENT:
        return config_parse_percent(field, words[0], reason);
    case CONFIG_KIND_ENUM:
        return config_parse_enum(row, field, words[0], reason);
    case CONFIG_KIND_STRING:
        return config_parse_string(row, field, words[0], reason);
    case CONFIG_KIND_LIST:
    case CONFIG_KIND_LIMITS:
        break;
    }
    ASSERT(false);
    return false;
}

/* ---- fields to text ---- */

static const char *
config_enum_word(const struct config_row *row, int32_t value)
{
    const struct config_word *known = row->words;
    while (known->word != NULL && known->value != value) {
        known++;
    }
    ASSERT(known->word != NULL);
    return known->word;
}

void
config_value_print(const struct config_row *row, const void *field, struct config_text *text)
{
    switch (row->kind) {
    case CONFIG_KIND_BOOL:
        config_text_format(text, "%s", *(const bool *)field ? "yes" : "no");
        return;
    case CONFIG_KIND_INT:
        config_text_format(text, "%lld", (long long)*(const int64_t *)field);
        return;
    case CONFIG_KIND_OCTAL:
        config_text_format(text, "%llo", (long long)*(const int64_t *)field);
        return;
    case CONFIG_KIND_MEMORY:
        config_text_format(text, "%llu", (unsigned long long)*(const uint64_t *)field);
        return;
    case CONFIG_KIND_PERCENT: {
        int64_t value = *(const int64_t *)field;
        config_text_format(text, "%lld%s", (long long)(value < 0 ? -value : value),
                           value < 0 ? "%" : "");
        return;
    }
    case CONFIG_KIND_ENUM:
        config_text_format(text, "%s", config_enum_word(row, *(const int32_t *)field));
        return;
    case CONFIG_KIND_STRING:
        config_text_format(text, "%s", *(char *const *)field);
        return;
    case CONFIG_KIND_LIST: {
        const struct config_list *list = field;
        for (uint32_t i = 0; i < list->count; i++) {
            config_text_format(text, "%s%s", i == 0 ? "" : " ", list->items[i]);
        }
        return;
    }
    case CONFIG_KIND_LIMITS: {
        const struct config_output_limit *limits = field;
        for (uint32_t which = 0; which < CONFIG_CLIENT_CLASS_COUNT; which++) {
            config_text_format(
                text, "%s%s %llu %llu %lld", which == 0 ? "" : " ", config_class_names[which],
                (unsigned long long)limits[which].hard_bytes,
                (unsigned long long)limits[which].soft_bytes, (long long)limits[which].soft_s);
        }
        return;
    }
    }
}

bool
config_value_equal(const struct config_row *row, const void *a, const void *b)
{
    struct config_text a_text = {0};
    struct config_text b_text = {0};
    config_value_print(row, a, &a_text);
    config_value_print(row, b, &b_text);
    bool is_equal = slice_equal(config_text_slice(&a_text), config_text_slice(&b_text));
    config_text_destroy(&a_text);
    config_text_destroy(&b_text);
    return is_equal;
}
