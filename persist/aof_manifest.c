/*
 * aof_manifest.c: the manifest of an AOF folder, line by line.
 *
 * A line is pairs of a name and a value, in any order; `file`, `seq` and `type` have to be there,
 * `gen` and `shard` are ours, others are passed by, as redis-server passes by ours. Quotes and
 * escapes are those of redis.conf. Whatever order the lines have, incremental files have to rise.
 * Lines that begin with `#` are comments.
 *
 * What a manifest may name lies in its folder: a name with a slash in it is refused.
 *
 * Rejected: a manifest of our own beside redis-server's. The rename of one file is what makes a
 * rewrite or a flush happen; there is no such rename of two.
 */
#include "persist/aof_manifest.h"

#include "core/heap.h"
#include "core/number.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#define FILES_MIN 8
/* Longest of what a line holds beside its name. */
#define LINE_REST_SIZE_MAX 160
#define WORDS_MAX 64

static char *
text_copy(struct slice text)
{
    char *copy = heap_alloc(text.size + 1);
    if (text.size > 0) {
        memcpy(copy, text.data, text.size);
    }
    copy[text.size] = '\0';
    return copy;
}

void
aof_manifest_create(struct aof_manifest *manifest)
{
    *manifest = (struct aof_manifest){0};
}

void
aof_manifest_destroy(struct aof_manifest *manifest)
{
    for (uint32_t i = 0; i < manifest->count; i++) {
        heap_free(manifest->files[i].name);
    }
    heap_free(manifest->files);
    *manifest = (struct aof_manifest){0};
}

void
aof_manifest_copy(struct aof_manifest *manifest, const struct aof_manifest *from)
{
    *manifest = *from;
    manifest->capacity = MAX(from->count, (uint32_t)FILES_MIN);
    manifest->files = heap_alloc(manifest->capacity * sizeof(*manifest->files));
    for (uint32_t i = 0; i < from->count; i++) {
        manifest->files[i] = from->files[i];
        manifest->files[i].name = text_copy(slice_of_string(from->files[i].name));
    }
}

/* ---- order ---- */

static uint32_t
type_rank(char type)
{
    return type == 'b' ? 0 : type == 'i' ? 1 : 2;
}

/** Does `a` stand in front of `b`? */
static bool
is_before(const struct aof_file *a, const struct aof_file *b)
{
    if (type_rank(a->type) != type_rank(b->type)) {
        return type_rank(a->type) < type_rank(b->type);
    }
    return a->type == 'i' && a->seq < b->seq;
}

/** The file's name is the manifest's from now on. */
static void
file_insert(struct aof_manifest *manifest, struct aof_file file)
{
    if (manifest->count == manifest->capacity) {
        manifest->capacity = MAX(manifest->capacity * 2, (uint32_t)FILES_MIN);
        manifest->files =
            heap_realloc(manifest->files, manifest->capacity * sizeof(*manifest->files));
    }
    uint32_t at = manifest->count++;
    for (; at > 0 && is_before(&file, &manifest->files[at - 1]); at--) {
        manifest->files[at] = manifest->files[at - 1];
    }
    manifest->files[at] = file;
    if (file.type == 'i') {
        manifest->seq_last = MAX(manifest->seq_last, file.seq);
    } else if (file.type == 'b') {
        manifest->base_seq_last = MAX(manifest->base_seq_last, file.seq);
    }
    if (file.has_generation) {
        manifest->generation_last = MAX(manifest->generation_last, file.generation);
    }
}

static struct aof_file
file_take(struct aof_manifest *manifest, uint32_t index)
{
    struct aof_file file = manifest->files[index];
    manifest->count--;
    memmove(manifest->files + index, manifest->files + index + 1,
            (manifest->count - index) * sizeof(*manifest->files));
    return file;
}

static void
file_retire(struct aof_manifest *manifest, uint32_t index)
{
    struct aof_file file = file_take(manifest, index);
    file.type = 'h';
    file_insert(manifest, file);
}

void
aof_manifest_add(struct aof_manifest *manifest, const struct aof_file *file)
{
    ASSERT(file->type == 'b' || file->type == 'i' || file->type == 'h');
    struct aof_file copy = *file;
    copy.name = text_copy(slice_of_string(file->name));
    if (file->type == 'b' && aof_manifest_base(manifest) != NULL) {
        file_retire(manifest, 0);
    }
    file_insert(manifest, copy);
}

void
aof_manifest_retire(struct aof_manifest *manifest, uint64_t seq)
{
    if (aof_manifest_base(manifest) != NULL) {
        file_retire(manifest, 0);
    }
    while (manifest->count > 0 && manifest->files[0].type == 'i' && manifest->files[0].seq <= seq) {
        file_retire(manifest, 0);
    }
}

void
aof_manifest_remove_history(struct aof_manifest *manifest)
{
    while (manifest->count > 0 && manifest->files[manifest->count - 1].type == 'h') {
        heap_free(manifest->files[--manifest->count].name);
    }
}

const struct aof_file *
aof_manifest_base(const struct aof_manifest *manifest)
{
    return manifest->count > 0 && manifest->files[0].type == 'b' ? manifest->files : NULL;
}

/* ---- reading ---- */

/** Words of a line; their bytes lie in a buffer of the line's size. */
struct words {
    struct slice items[WORDS_MAX];
    uint32_t count;
};

static int
hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/** One character between double quotes, which may be an escape. */
static char
quoted_take(const char **at, const char *end)
{
    const char *from = *at;
    if (*from != '\\' || end - from < 2) {
        *at = from + 1;
        return *from;
    }
    if (from[1] == 'x' && end - from >= 4 && hex_digit(from[2]) >= 0 && hex_digit(from[3]) >= 0) {
        *at = from + 4;
        return (char)(hex_digit(from[2]) * 16 + hex_digit(from[3]));
    }
    *at = from + 2;
    switch (from[1]) {
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    case 'b':
        return '\b';
    case 'a':
        return '\a';
    default:
        return from[1];
    }
}

static bool
is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f' || c == '\0';
}

/** A word in quotes, at its quote. False: there is no other, or something directly behind it. */
static bool
quoted_read(const char **at, const char *end, char **out)
{
    char quote = *(*at)++;
    while (*at < end && **at != quote) {
        if (quote == '"') {
            *(*out)++ = quoted_take(at, end);
        } else {
            *at += end - *at >= 2 && (*at)[0] == '\\' && (*at)[1] == '\'';
            *(*out)++ = *(*at)++;
        }
    }
    if (*at == end) {
        return false;
    }
    (*at)++;
    return *at == end || is_blank(**at);
}

static bool
words_split(struct words *words, struct slice line, char *buffer)
{
    const char *at = line.data;
    const char *end = at + line.size;
    words->count = 0;
    while (true) {
        while (at < end && is_blank(*at)) {
            at++;
        }
        if (at == end) {
            return true;
        }
        if (words->count == WORDS_MAX) {
            return false;
        }
        char *word = buffer;
        if (*at == '"' || *at == '\'') {
            if (!quoted_read(&at, end, &buffer)) {
                return false;
            }
        } else {
            while (at < end && !is_blank(*at)) {
                *buffer++ = *at++;
            }
        }
        words->items[words->count++] = slice_of(word, (size_t)(buffer - word));
    }
}

static bool
name_is_plain(struct slice name)
{
    return name.size > 0 && memchr(name.data, '/', name.size) == NULL &&
           memchr(name.data, '\0', name.size) == NULL;
}

/** One pair of a line; NULL, or what is wrong. */
static const char *
pair_read(struct aof_file *file, struct slice *name, struct slice key, struct slice value)
{
    uint64_t number;
    if (slice_is_word(key, "file")) {
        *name = value;
        return name_is_plain(value) ? NULL : "File can't be a path, just a filename";
    }
    if (slice_is_word(key, "seq")) {
        return number_parse_u64(value, &file->seq) ? NULL : "Invalid AOF manifest file format";
    }
    if (slice_is_word(key, "type")) {
        file->type = value.size > 0 ? value.data[0] : '\0';
        bool is_known =
            value.size == 1 && (file->type == 'b' || file->type == 'i' || file->type == 'h');
        return is_known ? NULL : "Unknown AOF file type";
    }
    if (slice_is_word(key, "gen")) {
        file->has_generation = number_parse_u64(value, &file->generation);
        return file->has_generation ? NULL : "Invalid generation";
    }
    if (slice_is_word(key, "shard")) {
        if (!number_parse_u64(value, &number) || number > UINT32_MAX) {
            return "Invalid shard";
        }
        file->shard = (uint32_t)number;
    }
    return NULL;
}

/** Put the file of a line into the manifest. NULL, or what is wrong. */
static const char *
line_read(struct aof_manifest *manifest, struct slice line)
{
    char buffer[AOF_MANIFEST_LINE_SIZE_MAX];
    struct words words;
    struct aof_file file = {0};
    struct slice name = {0};
    if (line.size >= AOF_MANIFEST_LINE_SIZE_MAX) {
        return "The AOF manifest file contains too long line";
    }
    if (!words_split(&words, line, buffer) || words.count < 6 || words.count % 2 != 0) {
        return "Invalid AOF manifest file format";
    }
    for (uint32_t i = 0; i < words.count; i += 2) {
        const char *wrong = pair_read(&file, &name, words.items[i], words.items[i + 1]);
        if (wrong != NULL) {
            return wrong;
        }
    }
    if (name.size == 0 || file.seq == 0 || file.type == '\0') {
        return "Invalid AOF manifest file format";
    }
    if (file.type == 'b' && aof_manifest_base(manifest) != NULL) {
        return "Found duplicate base file information";
    }
    if (file.type == 'i' && file.seq <= manifest->seq_last) {
        return "Found a non-monotonic sequence number";
    }
    file.name = text_copy(name);
    file_insert(manifest, file);
    return NULL;
}

static int
parse_failed(struct aof_manifest *manifest, char *error, size_t error_size, uint32_t line_number,
             const char *wrong)
{
    aof_manifest_destroy(manifest);
    snprintf(error, error_size, "Reading the manifest file, at line %u: %s", line_number, wrong);
    return -EBADMSG;
}

int
aof_manifest_parse(struct aof_manifest *manifest, struct slice text, char *error, size_t error_size)
{
    uint32_t line_number = 0;
    aof_manifest_create(manifest);
    while (text.size > 0) {
        const char *newline = memchr(text.data, '\n', text.size);
        size_t size = newline == NULL ? text.size : (size_t)(newline - text.data);
        line_number++;
        if (newline == NULL) {
            return parse_failed(manifest, error, error_size, line_number,
                                "The AOF manifest file contains an incomplete line");
        }
        if (size == 0) {
            return parse_failed(manifest, error, error_size, line_number,
                                "Invalid AOF manifest file format");
        }
        if (text.data[0] != '#') {
            const char *wrong = line_read(manifest, slice_of(text.data, size));
            if (wrong != NULL) {
                return parse_failed(manifest, error, error_size, line_number, wrong);
            }
        }
        text = slice_of(newline + 1, text.size - size - 1);
    }
    if (line_number == 0) {
        return parse_failed(manifest, error, error_size, 0, "Found an empty AOF manifest");
    }
    return 0;
}

/* ---- writing ---- */

static bool
name_needs_quotes(const char *name)
{
    for (const char *at = name; *at != '\0'; at++) {
        unsigned char c = (unsigned char)*at;
        if (c <= ' ' || c >= 0x7f || c == '"' || c == '\'' || c == '\\') {
            return true;
        }
    }
    return name[0] == '#';
}

static char *
quoted_put(char *out, const char *name)
{
    *out++ = '"';
    for (const char *at = name; *at != '\0'; at++) {
        unsigned char c = (unsigned char)*at;
        if (c == '"' || c == '\\') {
            *out++ = '\\';
            *out++ = (char)c;
        } else if (c < ' ' || c >= 0x7f) {
            *out++ = '\\';
            *out++ = 'x';
            *out++ = "0123456789abcdef"[c >> 4];
            *out++ = "0123456789abcdef"[c & 15];
        } else {
            *out++ = (char)c;
        }
    }
    *out++ = '"';
    return out;
}

static char *
line_put(char *out, const struct aof_file *file)
{
    memcpy(out, "file ", 5);
    out += 5;
    if (name_needs_quotes(file->name)) {
        out = quoted_put(out, file->name);
    } else {
        size_t size = strlen(file->name);
        memcpy(out, file->name, size);
        out += size;
    }
    out += snprintf(out, LINE_REST_SIZE_MAX, " seq %llu type %c", (unsigned long long)file->seq,
                    file->type);
    if (file->has_generation) {
        out += snprintf(out, LINE_REST_SIZE_MAX, " gen %llu shard %u",
                        (unsigned long long)file->generation, file->shard);
    }
    *out++ = '\n';
    return out;
}

char *
aof_manifest_format(const struct aof_manifest *manifest, size_t *size)
{
    size_t capacity = 1;
    for (uint32_t i = 0; i < manifest->count; i++) {
        capacity += 4 * strlen(manifest->files[i].name) + 2 * (size_t)LINE_REST_SIZE_MAX;
    }
    char *text = heap_alloc(capacity);
    char *out = text;
    for (uint32_t i = 0; i < manifest->count; i++) {
        out = line_put(out, &manifest->files[i]);
    }
    *size = (size_t)(out - text);
    ASSERT(*size <= capacity);
    return text;
}

/* ---- names ---- */

static char *name_new(const char *format, ...) PRINTF_LIKE(1, 2);

static char *
name_new(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    ASSERT(size >= 0);
    char *name = heap_alloc((size_t)size + 1);
    va_start(arguments, format);
    vsnprintf(name, (size_t)size + 1, format, arguments);
    va_end(arguments);
    return name;
}

char *
aof_manifest_name(const char *base)
{
    return name_new("%s.manifest", base);
}

char *
aof_manifest_temporary_name(const char *base)
{
    return name_new("temp-%s.manifest", base);
}

char *
aof_base_name(const char *base, uint64_t seq, bool is_rdb, bool is_temporary)
{
    return name_new("%s%s.%llu.base.%s", is_temporary ? "temp-" : "", base, (unsigned long long)seq,
                    is_rdb ? "rdb" : "aof");
}

char *
aof_incr_name(const char *base, uint64_t seq)
{
    return name_new("%s.%llu.incr.aof", base, (unsigned long long)seq);
}

char *
aof_path(const char *folder, const char *name)
{
    return name_new("%s/%s", folder, name);
}
