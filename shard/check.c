/*
 * check.c: which files a path means, and how it is told what is found in them.
 *
 * One line for each file, with what is in it on lines of two spaces, and what is wrong with it
 * on lines that begin with "  DAMAGED": so a script finds them, and a reader sees which file they
 * belong to. The last line says what it comes to, as the exit code does.
 *
 * What a file is follows from its bytes rather than its name: an RDB begins with a signature, and
 * may be the beginning of an AOF. Damage may be anywhere, so a file that is called one of them is
 * taken for that. What neither looks nor is called so is left alone: no mending can be meant.
 */
#include "shard/check.h"

#include "core/clock.h"
#include "core/heap.h"
#include "persist/rdb_file_read.h"
#include "shard/check_internal.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/** Entries of a folder that are looked at. */
#define NAMES_MAX 100000

/* ---- telling ---- */

void
check_say(struct check *check, const char *format, ...)
{
    if (check->out == NULL) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    vfprintf(check->out, format, arguments);
    va_end(arguments);
    fputc('\n', check->out);
}

bool
check_problem(struct check *check, uint64_t offset, const char *format, ...)
{
    char text[1024];
    va_list arguments;
    check->result = MAX(check->result, CHECK_DAMAGED);
    check->problem_count++;
    if (check->problem_count == CHECK_PROBLEMS_MAX) {
        check_say(check, "  DAMAGED in more places, which are not listed");
    }
    if (check->problem_count >= CHECK_PROBLEMS_MAX) {
        return false;
    }
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (offset == UINT64_MAX) {
        check_say(check, "  DAMAGED: %s", text);
    } else {
        check_say(check, "  DAMAGED at offset %" PRIu64 ": %s", offset, text);
    }
    return false;
}

void
check_say_libraries(struct check *check, const struct libraries *libraries)
{
    char names[512];
    size_t used = 0;
    uint32_t shown = 0;
    while (shown < libraries->count && used + CHECK_SHOWN_SIZE + 2 < sizeof(names)) {
        char name[CHECK_SHOWN_SIZE];
        used += (size_t)snprintf(names + used, sizeof(names) - used, "%s%s", shown == 0 ? "" : ", ",
                                 check_show(name, libraries->items[shown].name));
        shown++;
    }
    if (shown > 0) {
        check_say(check, "  libraries of functions: %u: %s%s", libraries->count, names,
                  shown < libraries->count ? ", ..." : "");
    }
}

bool
check_error(struct check *check, const char *path, int error, const char *what)
{
    check->result = CHECK_FAILED;
    check_say(check, "%s: %s: %s", path, what, strerror(-error));
    return false;
}

const char *
check_show(char *out, struct slice bytes)
{
    size_t used = 0;
    for (size_t i = 0; i < MIN(bytes.size, (size_t)CHECK_NAME_SIZE_MAX); i++) {
        unsigned char byte = (unsigned char)bytes.data[i];
        bool is_plain = byte >= ' ' && byte <= '~' && byte != '\'' && byte != '\\';
        used += (size_t)snprintf(out + used, CHECK_SHOWN_SIZE - used, is_plain ? "%c" : "\\x%02x",
                                 byte);
    }
    snprintf(out + used, CHECK_SHOWN_SIZE - used, "%s",
             bytes.size > CHECK_NAME_SIZE_MAX ? "..." : "");
    return out;
}

/* ---- files ---- */

static bool
name_ends(const char *name, const char *ending)
{
    size_t size = strlen(name);
    size_t ending_size = strlen(ending);
    return size > ending_size && strcmp(name + size - ending_size, ending) == 0;
}

static void
rdb_look(struct check *check, const char *path, const struct file_map *map)
{
    struct slice bytes = slice_of(map->bytes, map->size);
    check->problem_count = 0;
    check_say(check, "%s: %zu bytes", path, map->size);
    struct libraries libraries = {0};
    struct check_rdb rdb = check_rdb(check, bytes, &libraries);
    check_say_libraries(check, &libraries);
    libraries_clear(&libraries);
    if (rdb.is_good && rdb.end_offset < bytes.size) {
        check_say(check, "  %" PRIu64 " bytes follow its end, which servers pass by",
                  bytes.size - rdb.end_offset);
    }
    if (!rdb.is_good && check->mode != CHECK_LOOK) {
        check_say(check, "  nothing is changed: an RDB file can only be had from a backup");
    }
}

/** Does it begin as an AOF, or does one go on where the RDB ends that it begins with? */
static bool
is_aof_by_bytes(struct slice bytes)
{
    if (!rdb_file_begins(bytes)) {
        static const char *const starts[] = {"*", "#tessera ", "#TS:"};
        for (size_t i = 0; i < ARRAY_COUNT(starts); i++) {
            size_t size = strlen(starts[i]);
            if (bytes.size >= size && memcmp(bytes.data, starts[i], size) == 0) {
                return true;
            }
        }
        return bytes.size == 0;
    }
    struct rdb_file_reader reader;
    struct rdb_item item;
    rdb_file_reader_create(&reader, bytes, false);
    while (rdb_file_next(&reader, &item)) {
        if (item.kind == RDB_ITEM_KEY && !codec_skip(&reader.reader, item.key.type)) {
            break;
        }
    }
    uint64_t end = reader.end_offset;
    bool is_there = item.kind == RDB_ITEM_END && end < bytes.size &&
                    (bytes.data[end] == '*' || bytes.data[end] == '#');
    rdb_file_reader_destroy(&reader);
    return is_there;
}

static void
file_look(struct check *check, const char *path)
{
    struct file_map map;
    int rc = file_map(path, &map);
    if (rc < 0) {
        check_error(check, path, rc, "cannot be read");
        return;
    }
    struct slice bytes = slice_of(map.bytes, map.size);
    bool is_aof = name_ends(path, ".aof") || is_aof_by_bytes(bytes);
    bool is_rdb = name_ends(path, ".rdb") || (rdb_file_begins(bytes) && !is_aof);
    if (is_rdb) {
        rdb_look(check, path, &map);
    }
    file_unmap(&map);
    if (!is_rdb && is_aof) {
        check_aof_file(check, path);
    } else if (!is_rdb) {
        check->result = CHECK_FAILED;
        check_say(check, "%s: this is neither an RDB file nor an AOF", path);
    }
}

/* ---- folders ---- */

static int
name_compare(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

/** Paths of all that is in a folder, sorted, put behind none. False: it cannot be read. */
static bool
names_read(struct check *check, const char *path, char ***names, uint32_t *count)
{
    DIR *folder = opendir(path);
    if (folder == NULL) {
        return check_error(check, path, -errno, "cannot be read");
    }
    uint32_t capacity = 0;
    const struct dirent *entry;
    while (*count < NAMES_MAX && (entry = readdir(folder)) != NULL) {
        if (entry->d_name[0] == '.') {
            continue;
        }
        if (*count == capacity) {
            capacity = MAX(capacity * 2, (uint32_t)64);
            *names = heap_realloc(*names, capacity * sizeof(**names));
        }
        size_t size = strlen(path) + strlen(entry->d_name) + 2;
        char *name = heap_alloc(size);
        snprintf(name, size, "%s/%s", path, entry->d_name);
        (*names)[(*count)++] = name;
    }
    closedir(folder);
    if (*count > 1) {
        qsort(*names, *count, sizeof(**names), name_compare);
    }
    return true;
}

static bool
is_folder(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

/** What is in a folder that can be checked; folders in it too while `depth` is above 0. */
static uint32_t
folder_look(struct check *check, const char *path, uint32_t depth)
{
    char **names = NULL;
    uint32_t count = 0;
    uint32_t found = 0;
    if (!names_read(check, path, &names, &count)) {
        return 1;
    }
    bool has_manifest = false;
    for (uint32_t i = 0; i < count; i++) {
        const char *base = strrchr(names[i], '/') + 1;
        if (name_ends(base, ".manifest") && strncmp(base, "temp-", 5) != 0) {
            check_aof_folder(check, names[i]);
            has_manifest = true;
            found++;
        }
    }
    for (uint32_t i = 0; i < count && !has_manifest; i++) {
        const char *base = strrchr(names[i], '/') + 1;
        bool is_data = name_ends(base, ".rdb") || name_ends(base, ".aof");
        if (is_data && strncmp(base, "temp-", 5) != 0 && !is_folder(names[i])) {
            file_look(check, names[i]);
            found++;
        } else if (depth > 0 && is_folder(names[i])) {
            found += folder_look(check, names[i], depth - 1);
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        heap_free(names[i]);
    }
    heap_free(names);
    return found;
}

static void
path_look(struct check *check, const char *path)
{
    if (is_folder(path)) {
        if (folder_look(check, path, 1) == 0) {
            check->result = CHECK_FAILED;
            check_say(check, "%s: no AOF folder and no RDB file is in it", path);
        }
    } else if (name_ends(path, ".manifest")) {
        char absolute[FILE_PATH_SIZE_MAX];
        snprintf(absolute, sizeof(absolute), "%s%s", strchr(path, '/') == NULL ? "./" : "", path);
        check_aof_folder(check, absolute);
    } else {
        file_look(check, path);
    }
}

enum check_result
check_run(const char *path, enum check_mode mode, FILE *out)
{
    static const char *const words[] = {"good", "damaged", "not checked, or not all of it"};
    struct check *check = heap_alloc_lines(1, sizeof(*check));
    check->out = out;
    check->mode = mode;
    check->now_ms = clock_unix_ms();
    check->config = config_new();
    check->commands = command_table_new();
    memory_create(&check->memory);
    path_look(check, path);
    enum check_result result = check->result;
    check_say(check, "%s: %s", path, words[result]);
    memory_destroy(&check->memory);
    command_table_delete(check->commands);
    config_delete(check->config);
    heap_free(check);
    return result;
}
