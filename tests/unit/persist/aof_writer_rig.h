/*
 * aof_writer_rig.h: a writer with its owner and a disk that the test plays, and the files read as
 * recovery reads them. Included once, by aof_writer_test.c, whose fake ring the writer is built on.
 */
#pragma once

#include "persist/aof_writer.h"

#include "core/heap.h"
#include "core/random.h"

static void fake_write(struct ring *ring, struct ring_op *op, int fd, const struct iovec *vector,
                       uint32_t vector_count, uint64_t offset);
static void fake_sync(struct ring *ring, struct ring_op *op, int fd);
static void fake_close(struct ring *ring, int fd);

/* The writer itself, on the test's ring. */
#define ring_write fake_write
#define ring_sync fake_sync
#define ring_close fake_close
#include "persist/aof_writer.c"
#undef ring_write
#undef ring_sync
#undef ring_close

#include <criterion/criterion.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define FILE_COUNT_MAX 512
#define ITEM_COUNT_MAX 4096
#define HEAD_SIZE_MAX 64

/* ---- the disk ---- */

/** A file. Several have one number when a spoiled one was replaced; they are in order. */
struct disk_file {
    uint64_t number;
    char *bytes;
    uint64_t size;
    uint64_t capacity;
    uint64_t head_size;
    uint64_t synced_size; /* that the power cannot take */
    bool is_open;
};

struct rig {
    struct random random;
    struct aof_writer writer;
    /* ---- the disk; a descriptor is an index ---- */
    struct disk_file files[FILE_COUNT_MAX];
    uint32_t file_count;
    uint32_t order[FILE_COUNT_MAX]; /* of loading */
    struct ring_op *write;
    struct ring_op *sync;
    uint64_t sync_size; /* what the sync in flight covers */
    uint32_t write_count;
    uint32_t sync_count;
    /* ---- the owner ---- */
    uint64_t item_ends[ITEM_COUNT_MAX]; /* appended_offset behind each item */
    uint32_t item_count;
    uint64_t opened_count; /* numbers handed in */
    uint64_t cut_count;
    uint64_t written_offset; /* as last seen */
    uint64_t synced_offset;
    uint64_t shaken_offset; /* up to there a failure may have taken what was written */
    uint32_t advanced_count;
    int error;
    const char *what;
    uint32_t failed_count;
    bool is_restarted;
    bool is_closed;
    int64_t now_ms;
};

static struct disk_file *
disk_file_new(struct rig *rig, uint64_t number, int *fd)
{
    cr_assert(rig->file_count < FILE_COUNT_MAX);
    /* Behind all of the same number or a lower one. */
    uint32_t at = rig->file_count;
    while (at > 0 && rig->files[rig->order[at - 1]].number > number) {
        rig->order[at] = rig->order[at - 1];
        at--;
    }
    *fd = (int)rig->file_count++;
    rig->order[at] = (uint32_t)*fd;
    struct disk_file *file = &rig->files[*fd];
    *file = (struct disk_file){.number = number, .is_open = true};
    return file;
}

static void
disk_file_put(struct disk_file *file, uint64_t offset, const char *bytes, uint64_t size)
{
    cr_assert(offset <= file->size, "a hole");
    if (offset + size > file->capacity) {
        file->capacity = (offset + size) * 2;
        file->bytes = heap_realloc(file->bytes, file->capacity);
    }
    if (size > 0) {
        memcpy(file->bytes + offset, bytes, size);
    }
    file->size = MAX(file->size, offset + size);
}

/** No check line may say more than is true at its time. */
static void
disk_check_marks(const struct disk_file *file, const struct iovec *part)
{
    static const char name[] = " synced=";
    const char *at = part->iov_base;
    const char *end = at + part->iov_len;
    while ((at = memmem(at, (size_t)(end - at), name, sizeof(name) - 1)) != NULL) {
        at += sizeof(name) - 1;
        uint64_t mark = strtoull(at, NULL, 10);
        cr_assert(mark <= file->synced_size, "a mark of %" PRIu64 " but %" PRIu64 " are on disk",
                  mark, file->synced_size);
    }
}

/** The first `size` bytes of the write in flight reach their file. */
static void
disk_land(struct rig *rig, uint64_t size)
{
    const struct ring_op *op = rig->write;
    const struct iovec *vector = op->address;
    uint64_t offset = op->offset;
    for (uint64_t i = 0; i < op->size && size > 0; i++) {
        uint64_t part = MIN(size, (uint64_t)vector[i].iov_len);
        disk_file_put(&rig->files[op->fd], offset, vector[i].iov_base, part);
        offset += part;
        size -= part;
    }
}

static uint64_t
disk_write_size(const struct rig *rig)
{
    const struct iovec *vector = rig->write->address;
    uint64_t size = 0;
    for (uint64_t i = 0; i < rig->write->size; i++) {
        size += vector[i].iov_len;
    }
    return size;
}

static void
fake_write(struct ring *ring, struct ring_op *op, int fd, const struct iovec *vector,
           uint32_t vector_count, uint64_t offset)
{
    struct rig *rig = (struct rig *)(void *)ring;
    cr_assert(rig->files[fd].is_open);
    cr_assert_null(rig->write, "one write at a time");
    cr_assert(vector_count <= AOF_WRITER_VECTOR_MAX);
    op->fd = fd;
    op->address = (void *)(uintptr_t)vector;
    op->size = vector_count;
    op->offset = offset;
    rig->write = op;
    rig->write_count++;
    for (uint32_t i = 0; i < vector_count; i++) {
        disk_check_marks(&rig->files[fd], &vector[i]);
    }
}

static void
fake_sync(struct ring *ring, struct ring_op *op, int fd)
{
    struct rig *rig = (struct rig *)(void *)ring;
    cr_assert(rig->files[fd].is_open);
    cr_assert_null(rig->sync, "one sync at a time");
    op->fd = fd;
    rig->sync = op;
    rig->sync_count++;
    rig->sync_size = rig->files[fd].size;
}

static void
fake_close(struct ring *ring, int fd)
{
    struct rig *rig = (struct rig *)(void *)ring;
    cr_assert(rig->files[fd].is_open);
    cr_assert(rig->write == NULL || rig->write->fd != fd);
    cr_assert(rig->sync == NULL || rig->sync->fd != fd);
    rig->files[fd].is_open = false;
}

static void
end_write(struct rig *rig, int64_t result)
{
    struct ring_op *op = rig->write;
    cr_assert_not_null(op);
    if (result > 0) {
        disk_land(rig, (uint64_t)result);
    }
    rig->write = NULL;
    op->done(op, (int32_t)result);
}

static void
end_write_all(struct rig *rig)
{
    end_write(rig, (int64_t)disk_write_size(rig));
}

static void
end_sync(struct rig *rig, int32_t result)
{
    struct ring_op *op = rig->sync;
    cr_assert_not_null(op);
    struct disk_file *file = &rig->files[op->fd];
    if (result == 0) {
        file->synced_size = MAX(file->synced_size, rig->sync_size);
    }
    rig->sync = NULL;
    op->done(op, result);
}

/* ---- the owner ---- */

static void
rig_advanced(void *owner)
{
    struct rig *rig = owner;
    const struct aof_writer *writer = &rig->writer;
    cr_assert(writer->written_offset > rig->written_offset ||
              writer->synced_offset > rig->synced_offset || rig->is_restarted);
    rig->is_restarted = false;
    cr_assert(writer->written_offset >= rig->written_offset);
    cr_assert(writer->synced_offset >= rig->synced_offset);
    cr_assert(writer->synced_offset <= writer->written_offset);
    cr_assert(writer->written_offset <= writer->appended_offset);
    rig->written_offset = writer->written_offset;
    rig->synced_offset = writer->synced_offset;
    rig->advanced_count++;
}

static void
rig_failed(void *owner, int error, const char *what)
{
    struct rig *rig = owner;
    cr_assert_null(rig->write);
    cr_assert_null(rig->sync);
    cr_assert_eq(rig->error, 0);
    rig->error = error;
    rig->what = what;
    rig->failed_count++;
    rig->shaken_offset = rig->writer.written_offset;
}

static void
rig_closed(void *owner)
{
    struct rig *rig = owner;
    cr_assert_not(rig->is_closed);
    rig->is_closed = true;
    aof_writer_destroy(&rig->writer);
    for (uint32_t i = 0; i < rig->file_count; i++) {
        cr_assert_not(rig->files[i].is_open);
    }
}

static const struct aof_writer_ops rig_ops = {
    .advanced = rig_advanced, .failed = rig_failed, .closed = rig_closed};

static struct rig *
rig_new(uint64_t seed)
{
    struct rig *rig = calloc(1, sizeof(*rig));
    random_create(&rig->random, seed);
    aof_writer_create(&rig->writer, (struct ring *)(void *)rig, &rig_ops, rig);
    return rig;
}

static void
rig_delete(struct rig *rig)
{
    if (!rig->is_closed) {
        rig->write = NULL;
        rig->sync = NULL;
        rig->writer.writing = NULL;
        rig->writer.syncing = NULL;
        aof_writer_destroy(&rig->writer);
    }
    for (uint32_t i = 0; i < rig->file_count; i++) {
        heap_free(rig->files[i].bytes);
    }
    free(rig);
}

/** "+<index>:<size>:xxx\r\n": not RESP, but lines, which is all that the reader below needs. */
static void
rig_append(struct rig *rig, size_t size)
{
    cr_assert(rig->item_count < ITEM_COUNT_MAX);
    size_t room = size + 64;
    char *out = aof_writer_reserve(&rig->writer, room);
    int head = snprintf(out, room, "+%" PRIu32 ":%zu:", rig->item_count, size);
    memset(out + head, 'a' + (int)(rig->item_count % 26), size);
    out[(size_t)head + size] = '\r';
    out[(size_t)head + size + 1] = '\n';
    aof_writer_commit(&rig->writer, (size_t)head + size + 2);
    rig->item_ends[rig->item_count++] = rig->writer.appended_offset;
}

static void
rig_flush(struct rig *rig, enum aof_policy policy)
{
    aof_writer_flush(&rig->writer, policy, rig->now_ms);
}

static void
rig_cut(struct rig *rig)
{
    aof_writer_cut(&rig->writer);
    rig->cut_count++;
}

static struct disk_file *
rig_open_sized(struct rig *rig, uint64_t head_size)
{
    static const char head[HEAD_SIZE_MAX] =
        "#tessera segment v=1 shards=1 shard=0 gen=1 slots=0-16383\r\n";
    int fd;
    struct disk_file *file = disk_file_new(rig, rig->opened_count++, &fd);
    cr_assert(head_size < sizeof(head));
    disk_file_put(file, 0, head, head_size);
    file->head_size = head_size;
    aof_writer_open(&rig->writer, fd, head_size);
    return file;
}

static struct disk_file *
rig_open(struct rig *rig)
{
    return rig_open_sized(rig, 0);
}

/** What the owner has to do after failed(): the pages behind the good size are lost in any case. */
static void
rig_restart(struct rig *rig, bool is_same_file)
{
    cr_assert_neq(rig->error, 0);
    uint64_t number = aof_writer_failed_file(&rig->writer);
    uint64_t good_size = aof_writer_good_size(&rig->writer);
    struct disk_file *spoiled = NULL;
    for (uint32_t i = 0; i < rig->file_count; i++) {
        struct disk_file *file = &rig->files[rig->order[i]];
        if (file->number == number) {
            spoiled = file;
        }
    }
    cr_assert_not_null(spoiled);
    cr_assert(spoiled->is_open);
    cr_assert(good_size <= spoiled->size);
    cr_assert(good_size >= spoiled->head_size);
    spoiled->size = good_size;
    spoiled->synced_size = good_size;
    rig->error = 0;
    rig->is_restarted = true;
    int fd;
    struct disk_file *file = disk_file_new(rig, number, &fd);
    if (is_same_file) {
        /* A file of its own here; the old one plays a file that was removed. */
        disk_file_put(file, 0, spoiled->bytes, good_size);
        file->head_size = spoiled->head_size;
        file->synced_size = good_size;
        spoiled->size = 0;
        spoiled->synced_size = 0;
        aof_writer_restart(&rig->writer, fd, good_size);
        return;
    }
    aof_writer_restart(&rig->writer, fd, 0);
}

/* ---- reading as recovery does ---- */

/** Goes on counting items with one file's first `size` bytes, up to the last check line that is
 * right, or to where items are missing, which a file that is not complete yet may cause. */
static void
read_file(const struct disk_file *file, uint64_t size, uint32_t *next_item)
{
    uint64_t at = MIN(file->head_size, size);
    uint64_t run_start = at;
    uint32_t item = *next_item;
    while (at < size) {
        const char *line = file->bytes + at;
        const char *end = memchr(line, '\n', (size_t)(size - at));
        if (end == NULL) {
            return;
        }
        uint64_t line_size = (uint64_t)(end + 1 - line);
        if (line[0] == '+') {
            uint32_t index = (uint32_t)strtoul(line + 1, NULL, 10);
            cr_assert(index >= item, "an item twice, or out of order");
            if (index > item) {
                return;
            }
            item++;
        } else {
            struct aof_note note;
            aof_note_parse(&note, slice_of(line, (size_t)line_size));
            if (note.kind == AOF_NOTE_CLOSED) {
                cr_assert_eq(note.synced, at);
                cr_assert(at <= file->synced_size);
                return;
            }
            cr_assert_eq(note.kind, AOF_NOTE_CHECK, "neither an item nor a check line");
            cr_assert_eq(note.size, at - run_start, "a run without its check line");
            uint64_t sum = aof_bytes_sum(slice_of(file->bytes + run_start, (size_t)note.size));
            if (!aof_check_is_right(&note, sum)) {
                return;
            }
            run_start = at + line_size;
            *next_item = item;
        }
        at += line_size;
    }
}

static uint32_t
rig_items_before(const struct rig *rig, uint64_t offset)
{
    uint32_t count = 0;
    while (count < rig->item_count && rig->item_ends[count] <= offset) {
        count++;
    }
    return count;
}

/** The machine dies: of each file what is synced is there, and a part of what was written. */
static void
rig_check_power_loss(struct rig *rig)
{
    uint32_t item = 0;
    bool is_whole = true;
    for (uint32_t i = 0; i < rig->file_count && is_whole; i++) {
        const struct disk_file *file = &rig->files[rig->order[i]];
        uint64_t size = file->synced_size;
        size += random_below(&rig->random, file->size - size + 1);
        read_file(file, size, &item);
        is_whole = size == file->size;
    }
    uint32_t least = rig_items_before(rig, rig->writer.synced_offset);
    cr_assert(item >= least, "%" PRIu32 " items on disk, %" PRIu32 " called synced", item, least);
}

/** The process dies: all that was written is there. */
static void
rig_check_kill(struct rig *rig)
{
    if (rig->error != 0 || rig->writer.is_failing ||
        (rig->shaken_offset != 0 && rig->writer.written_offset <= rig->shaken_offset)) {
        return;
    }
    uint32_t item = 0;
    for (uint32_t i = 0; i < rig->file_count; i++) {
        const struct disk_file *file = &rig->files[rig->order[i]];
        read_file(file, file->size, &item);
    }
    uint32_t least = rig_items_before(rig, rig->writer.written_offset);
    cr_assert(item >= least, "%" PRIu32 " items in files, %" PRIu32 " called written", item, least);
}

/** All items are in the files, and nothing else. */
static void
rig_check_all(struct rig *rig)
{
    uint32_t item = 0;
    for (uint32_t i = 0; i < rig->file_count; i++) {
        struct disk_file *file = &rig->files[rig->order[i]];
        read_file(file, file->synced_size, &item);
        /* But for the closing line. */
        cr_assert(file->size - file->synced_size < (rig->is_closed ? AOF_CHECK_SIZE_MAX : 1));
    }
    cr_assert_eq(item, rig->item_count);
}
