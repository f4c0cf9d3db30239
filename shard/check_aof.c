/*
 * check_aof.c: an AOF folder as recovery sees it, or a single file.
 *
 *     manifest -> files -> RDB in front? check_rdb()      each file by itself
 *                          log: recovery_scan()
 *              -> all together: recovery_decide()         what a server would load
 *              -> each file's commands up to its verdict's end, and what is told of it
 *              -> --fix: recovery_file_repair()           then all of it once more, silently
 *
 * What is decided here is what a server decides that starts on the folder (shard/loader_files.c),
 * by the same functions. A fix cuts what such a server would cut, so that the two come to the same
 * keys; it closes the last file besides, so that redis-server may append to it.
 *
 * Nothing is fixed where a file is refused, missing or holds a command that nobody knows: what
 * would go then is more than an unfinished write, and a backup may have it.
 */
#include "core/heap.h"
#include "core/process.h"
#include "persist/aof_manifest.h"
#include "persist/rdb_file_read.h"
#include "shard/check_aof_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

/* ---- opening ---- */

static bool
hopeless(struct aof_check *aof)
{
    aof->is_hopeless = true;
    return false;
}

static bool
file_open(struct aof_check *aof, struct aof_checked *file)
{
    int rc = file_map(file->path, &file->map);
    if (rc == -ENOENT && aof->has_manifest) {
        check_say(aof->check, "%s", file->path);
        check_problem(aof->check, UINT64_MAX, "the manifest names it, and there is no such file");
        return hopeless(aof);
    }
    if (rc < 0) {
        check_error(aof->check, file->path, rc, "cannot be read");
        return hopeless(aof);
    }
    file->is_mapped = true;
    return true;
}

static bool
name_ends(const char *name, const char *ending)
{
    size_t size = strlen(name);
    size_t ending_size = strlen(ending);
    return size > ending_size && strcmp(name + size - ending_size, ending) == 0;
}

static char *
path_copy(const char *path)
{
    size_t size = strlen(path) + 1;
    char *copy = heap_alloc(size);
    memcpy(copy, path, size);
    return copy;
}

static void
files_new(struct aof_check *aof, uint32_t count)
{
    aof->count = count;
    aof->files = heap_alloc_lines(MAX(count, 1), sizeof(*aof->files));
}

/** What the manifest names, but for history. */
static void
files_of(struct aof_check *aof, const struct aof_manifest *manifest, const char *folder)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < manifest->count; i++) {
        count += manifest->files[i].type != 'h';
    }
    files_new(aof, count);
    struct aof_checked *file = aof->files;
    for (uint32_t i = 0; i < manifest->count; i++) {
        const struct aof_file *named = &manifest->files[i];
        if (named->type == 'h') {
            continue;
        }
        file->path = aof_path(folder, named->name);
        file->is_base = named->type == 'b';
        file->is_rdb_by_name = file->is_base && name_ends(named->name, ".rdb");
        file->has_place = named->has_generation;
        file->generation = named->generation;
        file->shard = named->shard;
        file++;
    }
}

static void
files_delete(struct aof_check *aof)
{
    for (uint32_t i = 0; i < aof->count; i++) {
        struct aof_checked *file = &aof->files[i];
        if (file->is_mapped) {
            file_unmap(&file->map);
        }
        if (file->is_scanned) {
            recovery_segment_destroy(&file->segment);
        }
        if (file->is_decided) {
            recovery_verdicts_destroy(&file->verdict, 1);
        }
        heap_free(file->path);
    }
    heap_free(aof->files);
    libraries_clear(&aof->libraries);
}

/* ---- each file by itself ---- */

/** The RDB that it begins with, if it does. */
static bool
rdb_part(struct aof_check *aof, struct aof_checked *file)
{
    struct slice bytes = slice_of(file->map.bytes, file->map.size);
    if (!rdb_file_begins(bytes) && !file->is_rdb_by_name) {
        return true;
    }
    struct check_rdb rdb = check_rdb(aof->check, bytes, &aof->libraries);
    file->rdb_size = rdb.end_offset;
    if (rdb.is_good && file->is_rdb_by_name && rdb.end_offset < bytes.size) {
        check_problem(aof->check, rdb.end_offset, "bytes follow where its RDB ends");
        return hopeless(aof);
    }
    return rdb.is_good || hopeless(aof);
}

static void
log_scan(struct aof_checked *file)
{
    recovery_scan(&file->segment, check_aof_log(file));
    file->is_scanned = true;
    /* A file of ours whose first line is lost; one that somebody else has begun is his. */
    if (file->has_place && file->segment.is_ours) {
        recovery_place(&file->segment, file->generation, file->shard);
    }
}

static void
tell_size(struct aof_check *aof, const struct aof_checked *file)
{
    check_say(aof->check, "%s: %s%zu bytes", file->path, file->is_base ? "base, " : "",
              file->map.size);
}

/* ---- all together ---- */

void
check_aof_decide(struct aof_check *aof, uint32_t first, uint32_t count, bool may_be_torn)
{
    struct recovery_segment *segments = heap_alloc(MAX(count, 1) * sizeof(*segments));
    memset(segments, 0, MAX(count, 1) * sizeof(*segments)); /* gcc cannot see the loop fill them */
    struct recovery_verdict *verdicts = heap_alloc(MAX(count, 1) * sizeof(*verdicts));
    for (uint32_t i = 0; i < count; i++) {
        recovery_boot(&aof->files[first + i].segment, process_boot_id());
        segments[i] = aof->files[first + i].segment;
        if (!aof->has_manifest) {
            segments[i].part_count = 0; /* the other parts are in files that are not here */
        }
    }
    if (recovery_decide(segments, count, may_be_torn, verdicts) < 0) {
        aof->is_refused = true;
    }
    for (uint32_t i = 0; i < count; i++) {
        aof->files[first + i].verdict = verdicts[i];
        aof->files[first + i].is_decided = true;
    }
    heap_free(segments);
    heap_free(verdicts);
}

/** As the server does it: the base by itself, since it is whole before the manifest names it. */
static void
decide_all(struct aof_check *aof)
{
    uint32_t first = 0;
    if (aof->count > 0 && aof->files[0].is_base) {
        if (aof->files[0].is_scanned) {
            check_aof_decide(aof, 0, 1, aof->count == 1);
        }
        first = 1;
    }
    for (uint32_t i = first; i < aof->count; i++) {
        if (!aof->files[i].is_scanned) {
            return; /* it cannot be read; nothing is decided behind */
        }
    }
    if (first < aof->count) {
        check_aof_decide(aof, first, aof->count - first, true);
    }
}

/* ---- what is in a log ---- */

struct commands {
    uint64_t count;
    uint64_t new_count; /* of those that redis-server 7.0 does not know */
    const char *new_name;
};

static bool
is_newer_than_redis(const struct command *command)
{
    char *end;
    unsigned long major = command->since == NULL ? 0 : strtoul(command->since, &end, 10);
    return major > 7 || (major == 7 && *end == '.' && strtoul(end + 1, NULL, 10) > 0);
}

static void
command_meet(struct aof_check *aof, struct commands *commands, const struct aof_item *item,
             uint64_t offset)
{
    const struct command *command = command_find(aof->check->commands, item->argv[0]);
    commands->count++;
    if (slice_is_word(item->argv[0], "function")) {
        (void)libraries_apply(&aof->libraries, item->argv, item->argc); /* as a load takes it */
    } else if (command == NULL || command_runs_code(command)) {
        char shown[CHECK_SHOWN_SIZE];
        check_problem(aof->check, offset, "the command '%s' %s", check_show(shown, item->argv[0]),
                      command == NULL ? "is not known here" : "runs code, which is not done here");
        hopeless(aof);
    } else if (is_newer_than_redis(command)) {
        commands->new_count++;
        commands->new_name = command->name;
    }
}

/** The commands that are loaded. */
static struct commands
commands_walk(struct aof_check *aof, const struct aof_checked *file)
{
    struct commands commands = {0};
    const struct recovery_verdict *verdict = &file->verdict;
    struct aof_reader reader;
    struct aof_item item;
    uint32_t hole = 0;
    uint64_t end = verdict->action == RECOVERY_REFUSE ? file->segment.group_end : verdict->end;
    aof_reader_create_trusting(&reader, slice_of(check_aof_log(file).data, end));
    while (aof_reader_next(&reader, &item)) {
        while (hole < verdict->hole_count && verdict->holes[hole].end <= item.offset) {
            hole++;
        }
        bool is_left_out = hole < verdict->hole_count && verdict->holes[hole].begin <= item.offset;
        if (item.kind == AOF_COMMAND && !is_left_out) {
            command_meet(aof, &commands, &item, file->rdb_size + item.offset);
        }
    }
    aof_reader_destroy(&reader);
    return commands;
}

/* ---- report ---- */

static void
tell_origin(struct aof_check *aof, const struct aof_checked *file, const struct commands *commands)
{
    const struct recovery_segment *segment = &file->segment;
    char origin[128];
    if (segment->size == 0) {
        snprintf(origin, sizeof(origin), "empty");
    } else if (segment->has_head) {
        snprintf(origin, sizeof(origin), "log of shard %u of %u, generation %" PRIu64,
                 segment->shard, segment->shard_count, segment->generation);
    } else {
        snprintf(origin, sizeof(origin), "log %s",
                 segment->is_ours ? "whose first line is lost"
                                  : "without marks, as redis-server's");
    }
    check_say(aof->check, "  %s: %" PRIu64 " commands%s", origin, commands->count,
              segment->is_appended ? ", the last ones appended by redis-server" : "");
    if (segment->part_count > 0 && aof->has_manifest) {
        check_say(aof->check,
                  "  its last %u transactions over several shards were looked for in all files",
                  segment->part_count);
    }
    if (commands->new_count > 0) {
        check_say(aof->check,
                  "  redis-server 7.0 cannot read it: %" PRIu64 " commands are newer, such as %s",
                  commands->new_count, commands->new_name);
    }
}

static const char *
seen_why(const struct recovery_segment *segment)
{
    if (segment->kind != AOF_END && segment->why != NULL) {
        return segment->why;
    }
    return "no check line stands behind what is there";
}

static void
tell_verdict(struct aof_check *aof, const struct aof_checked *file)
{
    const struct recovery_segment *segment = &file->segment;
    const struct recovery_verdict *verdict = &file->verdict;
    uint64_t offset = file->rdb_size + verdict->offset;
    if (verdict->action == RECOVERY_REFUSE) {
        check_problem(aof->check, offset, "%s (offset %" PRIu64 ": %s)", verdict->why,
                      file->rdb_size + segment->offset, seen_why(segment));
        if (verdict->advice != NULL) {
            check_say(aof->check, "    %s", verdict->advice);
        }
        return;
    }
    if (!recovery_file_changes(verdict)) {
        return;
    }
    aof->needs_fix = true;
    check_problem(aof->check, offset, "%s", verdict->why);
    if (!segment->is_whole && segment->kind != AOF_END) {
        check_say(aof->check, "    seen at offset %" PRIu64 ": %s",
                  file->rdb_size + segment->offset, seen_why(segment));
    }
    check_say(aof->check,
              "    a server keeps %" PRIu64 " of %" PRIu64 " bytes, and leaves %u transactions out",
              check_aof_kept_size(file), segment->size, verdict->dropped_count);
}

static void
tell_file(struct aof_check *aof, struct aof_checked *file)
{
    if (!file->is_decided) {
        if (file->is_scanned) {
            check_say(aof->check, "  not judged: a file in front of it cannot be read");
        }
        return;
    }
    struct commands commands = commands_walk(aof, file);
    tell_origin(aof, file, &commands);
    tell_verdict(aof, file);
}

/** Files one by one, then all together. */
static void
look(struct aof_check *aof)
{
    for (uint32_t i = 0; i < aof->count; i++) {
        struct aof_checked *file = &aof->files[i];
        if (!file_open(aof, file)) {
            continue;
        }
        if (rdb_file_begins(slice_of(file->map.bytes, file->map.size)) || file->is_rdb_by_name) {
            tell_size(aof, file);
            if (!rdb_part(aof, file) || file->is_rdb_by_name) {
                continue;
            }
        }
        log_scan(file);
    }
    decide_all(aof);
    for (uint32_t i = 0; i < aof->count; i++) {
        struct aof_checked *file = &aof->files[i];
        if (file->is_scanned && file->rdb_size == 0) {
            tell_size(aof, file);
        } else if (file->is_decided) {
            check_say(aof->check, "%s: behind its RDB", file->path);
        }
        aof->check->problem_count = 0;
        tell_file(aof, file);
    }
    check_say_libraries(aof->check, &aof->libraries);
}

/* ---- from outside ---- */

static void
folder_look(struct check *check, const char *manifest_path)
{
    struct aof_check aof = {.check = check, .has_manifest = true};
    struct aof_manifest manifest;
    char error[256];
    char *text;
    size_t size;
    int rc = file_read_all(manifest_path, &text, &size);
    if (rc < 0) {
        check_error(check, manifest_path, rc, "cannot be read");
        return;
    }
    rc = aof_manifest_parse(&manifest, slice_of(text, size), error, sizeof(error));
    heap_free(text);
    if (rc < 0) {
        check_say(check, "%s", manifest_path);
        check_problem(check, UINT64_MAX, "%s", error);
        if (check->mode != CHECK_LOOK) {
            check_say(check, "nothing is changed: a manifest is text, and can be mended by hand");
        }
        return;
    }
    char *folder = path_copy(manifest_path);
    char *slash = strrchr(folder, '/');
    ASSERT(slash != NULL);
    *slash = '\0';
    files_of(&aof, &manifest, folder);
    heap_free(folder);
    check_say(check, "%s: %u files", manifest_path, aof.count);
    aof_manifest_destroy(&manifest);
    look(&aof);
    if (check->mode != CHECK_LOOK) {
        check_aof_fix(&aof, folder_look, manifest_path);
    }
    files_delete(&aof);
}

static void
file_look(struct check *check, const char *path)
{
    struct aof_check aof = {.check = check};
    files_new(&aof, 1);
    aof.files[0].path = path_copy(path);
    look(&aof);
    const struct aof_checked *file = &aof.files[0];
    if (file->is_decided && file->segment.is_ours) {
        check_say(check,
                  "  one file of a folder: give the folder to see whether its transactions "
                  "are whole%s",
                  check->mode != CHECK_LOOK ? ", and to have it fixed" : "");
    } else if (check->mode != CHECK_LOOK) {
        check_aof_fix(&aof, file_look, path);
    }
    files_delete(&aof);
}

/** The result of one thing among others. */
static void
part_of_all(struct check *check, void (*part)(struct check *check, const char *path),
            const char *path)
{
    enum check_result before = check->result;
    check->result = CHECK_GOOD;
    check->problem_count = 0;
    part(check, path);
    check->result = MAX(check->result, before);
}

void
check_aof_folder(struct check *check, const char *manifest_path)
{
    part_of_all(check, folder_look, manifest_path);
}

void
check_aof_file(struct check *check, const char *path)
{
    part_of_all(check, file_look, path);
}
