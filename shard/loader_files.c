/*
 * loader_files.c: which files a load consists of, and what recovery makes of them.
 *
 * An AOF folder's manifest names base files and incremental ones; all of them are mapped at once
 * and lie behind each other in the order of the manifest, which is the order in which every core
 * walks them. Generations need no barrier of their own: a core plays what concerns its slots in
 * that order anyway.
 *
 * What is no RDB is scanned before anything is played, each file by one core: how they
 * end, what their check lines vouch for, which parts of transactions they hold. Then one core
 * decides for all of them (persist/recovery.h), so that nothing is played of files that are
 * refused, and a transaction is left out of every segment or of none. What recovery leaves out is
 * taken out of the files when everything else has been loaded, and kept in a file beside.
 */
#include "core/heap.h"
#include "core/log.h"
#include "persist/recovery_file.h"
#include "shard/loader_internal.h"

#include <stdio.h>
#include <string.h>

/* ---- opening ---- */

static bool
file_open(struct load *load, struct load_file *file)
{
    int rc = file_map(file->path, &file->map);
    if (rc == -ENOENT && load->source == LOADER_AOF_MANIFEST) {
        return load_fail(load, -EBADMSG, file, UINT64_MAX,
                         "the manifest names it, and there is no such file.");
    }
    if (rc < 0) {
        return load_fail(load, rc, file, UINT64_MAX, "%s", strerror(-rc));
    }
    file->is_mapped = true;
    file->size = file->map.size;
    struct slice bytes = slice_of(file->map.bytes, file->map.size);
    file->is_rdb = !file->is_aof || rdb_file_begins(bytes);
    if (file->is_rdb) {
        file->has_index = rdb_index_read(bytes, &file->index);
    }
    if (file->has_index) {
        file->has_foreign =
            heap_alloc(MAX(file->index.chunk_count, 1) * sizeof(*file->has_foreign));
        for (uint32_t i = 0; i < file->index.chunk_count; i++) {
            atomic_init(&file->has_foreign[i], false);
        }
    }
    file->base = load->size;
    load->size += file->size;
    return true;
}

static struct load_file *
files_new(struct load *load, uint32_t count)
{
    load->file_count = count;
    load->files = heap_alloc_lines(MAX(count, 1), sizeof(*load->files));
    return load->files;
}

static char *
path_copy(const char *folder, size_t folder_size, const char *name)
{
    size_t size = folder_size + strlen(name) + 1;
    char *path = heap_alloc(size);
    memcpy(path, folder, folder_size);
    memcpy(path + folder_size, name, size - folder_size);
    return path;
}

/** The base, then the others in their order; history has been replaced by them. */
static bool
manifest_open(struct load *load, const struct aof_manifest *manifest, const char *path)
{
    const char *slash = strrchr(path, '/');
    size_t folder_size = slash == NULL ? 0 : (size_t)(slash - path) + 1;
    uint32_t count = 0;
    for (uint32_t i = 0; i < manifest->count; i++) {
        count += manifest->files[i].type != 'h';
    }
    struct load_file *file = files_new(load, count);
    for (uint32_t i = 0; i < manifest->count; i++) {
        if (manifest->files[i].type != 'h') {
            file->is_aof = true;
            file->keeps_all = true;
            file->is_base = manifest->files[i].type == 'b';
            file->has_place = manifest->files[i].has_generation;
            file->generation = manifest->files[i].generation;
            file->shard = manifest->files[i].shard;
            file->path = path_copy(path, folder_size, manifest->files[i].name);
            file++;
        }
    }
    ASSERT(file == load->files + count);
    for (uint32_t i = 0; i < count; i++) {
        if (!file_open(load, &load->files[i])) {
            return false;
        }
    }
    return true;
}

static bool
folder_open(struct load *load, const char *path)
{
    struct load_file named = {.path = (char *)path, .is_aof = true};
    char *text;
    size_t size;
    int rc = file_read_all(path, &text, &size);
    if (rc < 0) {
        return load_fail(load, rc, &named, UINT64_MAX, "%s", strerror(-rc));
    }
    char error[256];
    struct aof_manifest manifest;
    rc = aof_manifest_parse(&manifest, slice_of(text, size), error, sizeof(error));
    heap_free(text);
    if (rc < 0) {
        return load_fail(load, -EBADMSG, &named, UINT64_MAX, "%s", error);
    }
    bool is_good = manifest_open(load, &manifest, path);
    aof_manifest_destroy(&manifest);
    return is_good;
}

bool
load_files_open(struct load *load, const char *path)
{
    if (load->source == LOADER_AOF_MANIFEST) {
        return folder_open(load, path);
    }
    struct load_file *file = files_new(load, 1);
    file->is_aof = load->source == LOADER_AOF_FILE;
    file->keeps_all = file->is_aof;
    file->path = path_copy("", 0, path);
    return file_open(load, file);
}

void
load_files_drop(struct load *load)
{
    uint64_t passed = UINT64_MAX;
    for (uint32_t i = 0; i < load->core_count; i++) {
        uint64_t position = atomic_load_explicit(&load->cores[i].position, memory_order_relaxed);
        passed = MIN(passed, position);
    }
    for (uint32_t i = 0; i < load->file_count && load->files[i].base < passed; i++) {
        struct load_file *file = &load->files[i];
        uint64_t size = MIN(passed - file->base, file->map.size);
        /* Chunks lie anywhere: such a file is passed when all have left it. */
        if (!file->has_index || size == file->map.size) {
            file_map_drop(&file->map, size);
        }
    }
}

void
load_files_close(struct load *load)
{
    for (uint32_t i = 0; i < load->file_count; i++) {
        struct load_file *file = &load->files[i];
        if (file->is_mapped) {
            file_unmap(&file->map);
        }
        if (file->has_index) {
            rdb_index_destroy(&file->index);
        }
        if (file->is_scanned) {
            recovery_segment_destroy(&file->segment);
        }
        if (file->is_decided) {
            recovery_verdicts_destroy(&file->verdict, 1);
        }
        heap_free(file->has_foreign);
        heap_free(file->path);
    }
    heap_free(load->files);
    load->files = NULL;
    load->file_count = 0;
}

/* ---- scanning ---- */

/** Where the RDB ends that an AOF file begins with. False: it is damaged, which whoever loads it
 * will say. */
static bool
find_rdb_end(struct load_file *file)
{
    struct rdb_file_reader reader;
    struct rdb_item item;
    rdb_file_reader_create(&reader, slice_of(file->map.bytes, file->map.size), false);
    bool is_good = true;
    while (is_good && rdb_file_next(&reader, &item)) {
        is_good = item.kind != RDB_ITEM_KEY || codec_skip(&reader.reader, item.key.type);
    }
    is_good = is_good && item.kind == RDB_ITEM_END;
    file->rdb_size = reader.end_offset;
    rdb_file_reader_destroy(&reader);
    return is_good;
}

/** A base that is called an RDB holds nothing else: no need to look for its end first. */
static bool
is_rdb_by_name(const struct load_file *file)
{
    size_t size = strlen(file->path);
    return file->is_rdb && file->is_base && size > 4 && strcmp(file->path + size - 4, ".rdb") == 0;
}

static void
scan(struct load_file *file)
{
    if (!file->is_aof || file->has_index || is_rdb_by_name(file) ||
        (file->is_rdb && !find_rdb_end(file))) {
        return;
    }
    recovery_scan(&file->segment,
                  slice_of(file->map.bytes + file->rdb_size, file->map.size - file->rdb_size));
    file->is_scanned = true;
    /* A file of ours whose first line is lost; one that somebody else has begun is his. */
    if (file->has_place && file->segment.is_ours) {
        recovery_place(&file->segment, file->generation, file->shard);
    }
}

void
load_files_scan(struct loader *loader)
{
    struct load *load = loader->load;
    for (;;) {
        uint32_t next = atomic_fetch_add_explicit(&load->scan_next, 1, memory_order_relaxed);
        if (next >= load->file_count || load_has_failed(load)) {
            return;
        }
        scan(&load->files[next]);
    }
}

/* ---- deciding ---- */

/** What is to be loaded of scanned files [first, first + count). */
static bool
decide(struct load *load, uint32_t first, uint32_t count, bool is_truncation_fine)
{
    struct load_file *files = load->files + first;
    struct recovery_segment *segments = heap_alloc(MAX(count, 1) * sizeof(*segments));
    memset(segments, 0, MAX(count, 1) * sizeof(*segments)); /* gcc cannot see the loop fill them */
    struct recovery_verdict *verdicts = heap_alloc(MAX(count, 1) * sizeof(*verdicts));
    for (uint32_t i = 0; i < count; i++) {
        ASSERT(files[i].is_scanned);
        recovery_boot(&files[i].segment, load->home->node->boot_id);
        segments[i] = files[i].segment;
    }
    int rc = recovery_decide(segments, count, is_truncation_fine, verdicts);
    for (uint32_t i = 0; i < count; i++) {
        struct recovery_verdict *verdict = &verdicts[i];
        files[i].verdict = *verdict;
        files[i].is_decided = true;
        if (verdict->action == RECOVERY_REFUSE) {
            load_fail(load, -EBADMSG, &files[i], files[i].rdb_size + verdict->offset, "%s. %s",
                      verdict->why, verdict->advice == NULL ? "" : verdict->advice);
        } else if (verdict->action == RECOVERY_CUT) {
            files[i].size = files[i].rdb_size + verdict->end;
        }
    }
    ASSERT((rc == 0) != load_has_failed(load));
    heap_free(segments);
    heap_free(verdicts);
    return rc == 0;
}

bool
load_files_decide(struct load *load)
{
    bool is_truncation_fine = load->home->config->aof_load_truncated;
    uint32_t first = 0;
    /* A base is written whole before the manifest names it. */
    if (load->file_count > 0 && load->files[0].is_base) {
        bool is_alone = load->file_count == 1;
        if (load->files[0].is_scanned && !decide(load, 0, 1, is_alone && is_truncation_fine)) {
            return false;
        }
        first = 1;
    }
    uint32_t count = load->source == LOADER_RDB ? 0 : load->file_count - first;
    if (first == 0 && count == 1 && !load->files[0].is_scanned) {
        return true; /* an old file whose RDB is damaged */
    }
    if (!decide(load, first, count, is_truncation_fine)) {
        return false;
    }
    for (uint32_t i = 0; i < load->file_count; i++) {
        const struct load_file *file = &load->files[i];
        if (file->is_scanned) {
            load->ticket_next = MAX(load->ticket_next, file->segment.ticket_last + 1);
        }
    }
    return true;
}

bool
loader_wants(const struct loader *loader, const struct load_file *file)
{
    const struct recovery_segment *segment = &file->segment;
    const struct node *node = loader->shard->node;
    if (!file->is_scanned || file->is_rdb || !segment->has_head || !segment->is_whole) {
        return true;
    }
    for (uint32_t slot = 0; slot < SLOT_COUNT; slot++) {
        if ((segment->slots[slot / 64] >> slot % 64 & 1) != 0 &&
            node->slot_owner[slot] == loader->shard->index) {
            return true;
        }
    }
    return false;
}

/* ---- cutting ---- */

/** A name beside the file's. */
static char *
name_beside(const char *path, const char *format, int64_t number)
{
    size_t room = strlen(path) + 64;
    char *name = heap_alloc(room);
    int size = snprintf(name, room, "%s", path);
    snprintf(name + size, room - (size_t)size, format, (long long)number);
    return name;
}

static int
repair_file(struct load *load, struct load_file *file, const char *aside)
{
    char *temporary = name_beside(file->path, ".temp-%lld", load->start_ms);
    struct recovery_file cut = {
        .path = file->path,
        .bytes = slice_of(file->map.bytes, file->map.size),
        .rdb_size = file->rdb_size,
        .segment = &file->segment,
        .verdict = &file->verdict,
    };
    uint64_t cut_size;
    int rc = recovery_file_repair(&cut, aside, temporary, true, &cut_size);
    load->result.cut_size += cut_size;
    heap_free(temporary);
    return rc;
}

bool
load_files_cut(struct load *load)
{
    for (uint32_t i = 0; i < load->file_count; i++) {
        struct load_file *file = &load->files[i];
        const struct recovery_verdict *verdict = &file->verdict;
        if (!file->is_decided || !recovery_file_changes(verdict)) {
            continue;
        }
        char *aside = name_beside(file->path, ".cut-%lld", load->start_ms);
        int rc = repair_file(load, file, aside);
        if (rc < 0) {
            load_fail(load, rc, file, UINT64_MAX,
                      "what recovery has left out of it cannot be taken out of the file: %s",
                      strerror(-rc));
        } else {
            log_write(load->home->node->log, LOG_WARNING_LEVEL,
                      "%.300s, at offset %llu: %s. %u transactions are left out; what was taken "
                      "out of the file is kept in %.300s",
                      file->path, (unsigned long long)(file->rdb_size + verdict->offset),
                      verdict->why == NULL ? "incomplete transactions" : verdict->why,
                      verdict->dropped_count, aside);
        }
        heap_free(aside);
        if (rc < 0) {
            return false;
        }
    }
    return true;
}
