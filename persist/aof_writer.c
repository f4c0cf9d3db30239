/*
 * aof_writer.c: one shard's stream of bytes, cut into files, written and synced through the ring.
 *
 *     retained        synced    written   sealed  appended
 *        |              |          |         |       |
 *     [block ][block ][block ][block ][block ][block.....]      blocks of 64 KiB, oldest first
 *        |--- file 3 ------------->|--- file 4 ------------>    a file knows where in the stream it
 *                                                               begins and ends
 *
 * What is appended lies in blocks until nobody needs it: until it is on disk, so that it can be
 * written once more when the disk turns out to have lost it; under the policy `no`, which promises
 * nothing about disks, until it is written. The stream is cut into runs, each with a check line
 * behind it: the end of a run is where offsets stop, since recovery throws away what has no check
 * line. So written_offset never points into a run although some of it may be in the file, and a
 * sync counts for the runs that were complete when it began.
 *
 * A flush seals what is new with a check line when it can be written at once; while a write is
 * under way what is new gathers for the next one, which is the group commit. A run is sealed early
 * when it is long, so that no turn has to hash megabytes and a slow disk's progress is told bit by
 * bit. One write is in flight, and one sync. Under `always` they take turns, under `everysec` the
 * sync goes beside the writes. The oldest file is synced first, and a file that has its end is
 * synced when all of it is written, whatever the policy, then closed and forgotten.
 *
 * After an error nothing is started. When the other operation has ended too, the owner is told
 * which file is spoiled. Its bytes that are not on disk go into the file that replaces it. Files
 * behind it stay: an fsync that fails says nothing about another file's pages, and the border
 * between two files is the border between two generations, which bytes may not cross (what is older
 * than a FLUSHALL would be loaded behind it). Check lines name how much of their file is on disk;
 * those that are written again into another file name 0 there.
 *
 * When the stream ends, its last file gets a closing line behind its last sync, beside the stream
 * and its offsets: it says that whatever follows is somebody else's. A torn one is a torn tail.
 *
 * Invariants: retained <= written of the first file; a block is freed only when all of it is in
 * front of retained; the end of a file is the end of a check line or nothing; the ends of writes
 * and the targets of syncs are ends of check lines; offsets that the owner reads never fall.
 *
 * Under `no` the bytes are forgotten when they are written. When the policy becomes another one,
 * the first sync covers them all the same; if that one fails they are lost to us, and the file
 * keeps what the kernel makes of them.
 *
 * Rejected: check lines beside the stream (each offset would need a table to find its place in a
 * file), one buffer that is swapped (bytes have to stay until the sync, and a sync takes as long as
 * it likes), writes beside the sync under `always` (more and smaller writes for the same number of
 * syncs), trusting the second fsync of the same pages (it says yes to what is lost).
 */
#include "persist/aof_writer.h"

#include "core/heap.h"
#include "persist/aof_writer_internal.h"

#include <errno.h>

/* 0.1 ms of hashing. */
#define AOF_SEAL_SIZE (1u << 20)
/* So often is the owner told of progress while a backlog is written. */
#define AOF_CHUNK_SIZE_MAX (4u << 20)
/* A write of this size keeps a thread busy for some milliseconds; far below what fits the int32_t
 * of a result. */
#define AOF_WRITE_SIZE_MAX (8u << 20)
/* Under `everysec`: bounds the memory that waits for the sync of the second. */
#define AOF_UNSYNCED_SIZE_MAX (64u << 20)
#define AOF_SYNC_PERIOD_MS 1000

#define AOF_NEVER_SETTLED UINT64_MAX
#define AOF_NO_END UINT64_MAX

struct aof_writer_file {
    struct aof_writer_file *next;
    /** Cuts before it. */
    uint64_t number;
    /** -1: not opened yet. */
    int fd;
    int error;        /* 0: none; else it is spoiled */
    const char *what; /* failed */
    /** Where the stream is in the file: start_offset is at base_size. After a restart the bytes
     * before start_offset are in the file that this one replaced. */
    uint64_t start_offset;
    uint64_t end_offset;
    uint64_t base_size;
    /** Between start and end; ends of check lines. */
    uint64_t written_offset;
    uint64_t synced_offset;
    /** A sync has succeeded; without one not even the base is on disk. */
    bool is_synced;
    /** The closing line has been tried. */
    bool is_ended;
};

/* ---- files ---- */

static struct aof_writer_file *
file_push(struct aof_writer *writer)
{
    struct aof_writer_file *last = writer->files_last;
    struct aof_writer_file *file = heap_alloc(sizeof(*file));
    *file = (struct aof_writer_file){
        .number = last == NULL ? 0 : last->number + 1,
        .fd = -1,
        .start_offset = writer->appended_offset,
        .end_offset = AOF_NO_END,
        .written_offset = writer->appended_offset,
        .synced_offset = writer->appended_offset,
    };
    if (last != NULL) {
        last->next = file;
    } else {
        writer->files_first = file;
    }
    writer->files_last = file;
    return file;
}

static bool
file_is_written(const struct aof_writer_file *file)
{
    return file->written_offset == file->end_offset;
}

/** All of it, which has its end? */
static bool
file_is_on_disk(const struct aof_writer_file *file)
{
    return file_is_written(file) && file->is_synced && file->synced_offset == file->end_offset;
}

/** Bytes of the file that are known to be on disk. */
static uint64_t
file_synced_size(const struct aof_writer_file *file)
{
    return file->is_synced ? file->base_size + (file->synced_offset - file->start_offset) : 0;
}

static void
file_fail(struct aof_writer *writer, struct aof_writer_file *file, int error, const char *what)
{
    ASSERT(error < 0);
    writer->is_failing = true;
    if (file->error == 0) {
        file->error = error;
        file->what = what;
    }
}

static struct aof_writer_file *
file_spoiled(const struct aof_writer *writer)
{
    struct aof_writer_file *file = writer->files_first;
    while (file != NULL && file->error == 0) {
        file = file->next;
    }
    return file;
}

/** The first file that waits for its descriptor. */
static struct aof_writer_file *
file_waiting(const struct aof_writer *writer)
{
    struct aof_writer_file *file = writer->files_first;
    while (file != NULL && file->fd >= 0) {
        file = file->next;
    }
    return file;
}

/** Where all that is in front of is written: nothing may be missing before it. */
static uint64_t
files_written_offset(const struct aof_writer *writer)
{
    for (const struct aof_writer_file *file = writer->files_first; file != NULL;
         file = file->next) {
        if (!file_is_written(file)) {
            return file->written_offset;
        }
    }
    return writer->appended_offset;
}

static uint64_t
files_synced_offset(const struct aof_writer *writer)
{
    const struct aof_writer_file *file = writer->files_first;
    while (file != NULL && file_is_on_disk(file)) {
        file = file->next;
    }
    return file != NULL ? file->synced_offset : writer->appended_offset;
}

/** The very last file gets a closing line when it is on disk: redis-server may append to it. */
static bool
file_wants_line(const struct aof_writer *writer, const struct aof_writer_file *file)
{
    return writer->is_closing && file->next == NULL && !file->is_ended;
}

/** Close and forget the files that are on disk, all of them. */
static void
files_retire(struct aof_writer *writer)
{
    struct aof_writer_file *file = writer->files_first;
    while (file != NULL && file_is_on_disk(file) && !file_wants_line(writer, file)) {
        ASSERT(file->error == 0);
        ring_close(writer->ring, file->fd);
        writer->files_first = file->next;
        if (file->next == NULL) {
            ASSERT(writer->is_closing);
            writer->files_last = NULL;
        }
        heap_free(file);
        file = writer->files_first;
    }
}

/** The owner's offsets and what may be forgotten, after the files' offsets have moved. */
static void
writer_publish(struct aof_writer *writer)
{
    uint64_t written = files_written_offset(writer);
    /* What a spoiled file holds may not stay; it counts again when it is in its new file. */
    if (!writer->is_failing && written > writer->written_offset) {
        writer->written_offset = written;
        writer->is_news = true;
    }
    uint64_t synced = files_synced_offset(writer);
    if (synced > writer->synced_offset) {
        writer->synced_offset = synced;
        writer->is_news = true;
    }
    /* What is written counts under `no` only, and not while a written file may be spoiled. */
    bool is_written_enough = writer->policy == AOF_POLICY_NO && !writer->is_failing;
    uint64_t needed = is_written_enough ? MAX(written, synced) : synced;
    writer->retained_offset = MAX(writer->retained_offset, needed);
    aof_blocks_release(writer);
}

/** A check line behind all that is new. */
static void
writer_seal(struct aof_writer *writer)
{
    aof_blocks_seal(writer, file_synced_size(writer->files_last));
}

/* ---- what is in flight ---- */

static void writer_pump(struct aof_writer *writer);
static void writer_tell(struct aof_writer *writer);

static bool
writer_is_stopped(const struct aof_writer *writer)
{
    return writer->is_failing || writer->is_abandoned;
}

/** After a restart the owner hears of the first success although no offset may have moved. */
static void
writer_recovered(struct aof_writer *writer, bool is_success)
{
    if (UNLIKELY(writer->is_recovering) && is_success && !writer->is_failing) {
        writer->is_recovering = false;
        writer->is_news = true;
    }
}

/** Hand the next part of the chunk to the ring. */
static void
write_step(struct aof_writer *writer)
{
    struct aof_writer_file *file = writer->writing;
    struct aof_writer_block *block = aof_block_find(writer, writer->chunk_offset);
    writer->chunk_block = block;
    uint64_t offset = writer->chunk_offset;
    uint64_t end_offset = MIN(writer->chunk_end_offset, offset + AOF_WRITE_SIZE_MAX);
    uint32_t count = 0;
    while (offset < end_offset && count < AOF_WRITER_VECTOR_MAX) {
        size_t skip = (size_t)(offset - block->start_offset);
        size_t size = (size_t)(MIN(aof_block_end_offset(writer, block), end_offset) - offset);
        if (size > 0) {
            writer->vector[count++] =
                (struct iovec){.iov_base = block->bytes + skip, .iov_len = size};
        }
        offset += size;
        block = block->next;
    }
    ASSERT(count > 0);
    ring_write(writer->ring, &writer->write_op, file->fd, writer->vector, count,
               file->base_size + (writer->chunk_offset - file->start_offset));
}

/** The end of the last run that may go with the next chunk. */
static uint64_t
chunk_find_end(struct aof_writer *writer, const struct aof_writer_file *file)
{
    uint64_t start_offset = file->written_offset;
    uint64_t limit = MIN(writer->sealed_offset, file->end_offset);
    uint64_t end_offset = start_offset;
    struct aof_writer_block *block = aof_block_find(writer, start_offset);
    writer->chunk_block = block;
    for (; block != NULL && end_offset < limit; block = block->next) {
        if (end_offset > start_offset &&
            aof_block_end_offset(writer, block) - start_offset > AOF_CHUNK_SIZE_MAX) {
            break;
        }
        if (block->check_end_offset > start_offset) {
            end_offset = MIN(block->check_end_offset, limit);
        }
    }
    ASSERT(end_offset > start_offset);
    return end_offset;
}

static void
closing_line_done(struct ring_op *op, int32_t result)
{
    struct aof_writer *writer = container_of(op, struct aof_writer, write_op);
    /* All is on disk: nothing depends on this line, hence its errors are nobody's. */
    MAYBE(result < 0);
    writer->writing->is_ended = true;
    writer->writing = NULL;
    writer_pump(writer);
    writer_tell(writer);
}

static void
closing_line_start(struct aof_writer *writer)
{
    struct aof_writer_file *file = writer->files_first;
    ASSERT(file_wants_line(writer, file));
    uint64_t offset = file->base_size + (file->end_offset - file->start_offset);
    size_t size = aof_closed_format(writer->closing_line, offset);
    writer->writing = file;
    writer->vector[0] = (struct iovec){.iov_base = writer->closing_line, .iov_len = size};
    writer->write_op.done = closing_line_done;
    ring_write(writer->ring, &writer->write_op, file->fd, writer->vector, 1, offset);
}

static void
write_start(struct aof_writer *writer)
{
    if (writer->writing != NULL ||
        (writer->policy == AOF_POLICY_ALWAYS && writer->syncing != NULL)) {
        return;
    }
    struct aof_writer_file *file = writer->files_first;
    if (file != NULL && file_is_on_disk(file)) {
        closing_line_start(writer);
        return;
    }
    while (file != NULL && file_is_written(file)) {
        file = file->next;
    }
    if (file == NULL || file->fd < 0 || file->written_offset >= writer->sealed_offset) {
        return;
    }
    writer->writing = file;
    writer->chunk_offset = file->written_offset;
    writer->chunk_end_offset = chunk_find_end(writer, file);
    write_step(writer);
}

static void
write_done(struct ring_op *op, int32_t result)
{
    struct aof_writer *writer = container_of(op, struct aof_writer, write_op);
    struct aof_writer_file *file = writer->writing;
    bool is_interrupted = result == -EINTR || result == -EAGAIN;
    ASSERT(file != NULL);
    writer->settled = AOF_NEVER_SETTLED;
    if (result <= 0 && !is_interrupted) {
        file_fail(writer, file, result == 0 ? -EIO : result, "write");
    } else if (result > 0) {
        writer->chunk_offset += (uint64_t)result;
        ASSERT(writer->chunk_offset <= writer->chunk_end_offset);
    }
    if (writer->chunk_offset < writer->chunk_end_offset && !writer_is_stopped(writer)) {
        write_step(writer);
        return;
    }
    writer->writing = NULL;
    if (writer->chunk_offset == writer->chunk_end_offset) {
        file->written_offset = writer->chunk_end_offset;
        writer_publish(writer);
        writer_recovered(writer, writer->policy == AOF_POLICY_NO);
    }
    writer_pump(writer);
    writer_tell(writer);
}

static bool
sync_is_due(const struct aof_writer *writer, const struct aof_writer_file *file)
{
    if (file->fd < 0) {
        return false;
    }
    if (file_is_written(file)) {
        return !file_is_on_disk(file);
    }
    uint64_t unsynced_size = file->written_offset - file->synced_offset;
    if (unsynced_size == 0) {
        return false;
    }
    switch (writer->policy) {
    case AOF_POLICY_ALWAYS:
        return true;
    case AOF_POLICY_EVERYSEC:
        return writer->now_ms >= writer->sync_due_ms || unsynced_size > AOF_UNSYNCED_SIZE_MAX;
    case AOF_POLICY_NO:
        return false;
    }
    ASSERT(!"a policy");
    return false;
}

static void
sync_start(struct aof_writer *writer)
{
    struct aof_writer_file *file = writer->files_first;
    if (writer->syncing != NULL || file == NULL || !sync_is_due(writer, file)) {
        return;
    }
    writer->syncing = file;
    writer->sync_target_offset = file->written_offset;
    writer->sync_due_ms = writer->now_ms + AOF_SYNC_PERIOD_MS;
    ring_sync(writer->ring, &writer->sync_op, file->fd);
}

static void
sync_done(struct ring_op *op, int32_t result)
{
    struct aof_writer *writer = container_of(op, struct aof_writer, sync_op);
    struct aof_writer_file *file = writer->syncing;
    ASSERT(file != NULL);
    writer->syncing = NULL;
    writer->settled = AOF_NEVER_SETTLED;
    if (result < 0) {
        file_fail(writer, file, result, "fsync");
    } else {
        ASSERT(writer->sync_target_offset >= file->synced_offset);
        file->synced_offset = writer->sync_target_offset;
        file->is_synced = true;
        writer_publish(writer);
        aof_blocks_trim(writer);
        writer_recovered(writer, true);
    }
    writer_pump(writer);
    writer_tell(writer);
}

/** Start what can be started. The sync comes first: under `always` it keeps the next write back,
 * which takes all along that comes meanwhile. */
static void
writer_pump(struct aof_writer *writer)
{
    if (writer_is_stopped(writer)) {
        return;
    }
    files_retire(writer);
    sync_start(writer);
    write_start(writer);
}

/**
 * Call the owner, as the last thing that anybody does: he may call every function of the writer,
 * and what that leads to is told when he returns.
 */
static void
writer_tell(struct aof_writer *writer)
{
    if (writer->is_telling) {
        return;
    }
    writer->is_telling = true;
    for (;;) {
        bool is_idle = writer->writing == NULL && writer->syncing == NULL;
        if (writer->is_news) {
            writer->is_news = false;
            writer->ops->advanced(writer->owner);
        } else if (writer->is_failing && is_idle && !writer->is_told && !writer->is_abandoned) {
            const struct aof_writer_file *file = file_spoiled(writer);
            writer->is_told = true;
            writer->ops->failed(writer->owner, file->error, file->what);
        } else if (is_idle && !writer->is_closed &&
                   (writer->is_abandoned || (writer->is_closing && writer->files_first == NULL))) {
            writer->is_closed = true;
            break;
        } else {
            writer->is_telling = false;
            return;
        }
    }
    writer->is_telling = false;
    if (writer->ops->closed != NULL) {
        writer->ops->closed(writer->owner);
    }
}

/* ---- what the owner calls ---- */

void
aof_writer_create(struct aof_writer *writer, struct ring *ring, const struct aof_writer_ops *ops,
                  void *owner)
{
    *writer = (struct aof_writer){
        .settled = AOF_NEVER_SETTLED,
        .sync_due_ms = INT64_MIN,
        .policy = AOF_POLICY_EVERYSEC,
        .owner = owner,
        .ops = ops,
        .ring = ring,
        .write_op = {.done = write_done},
        .sync_op = {.done = sync_done},
    };
    aof_block_push(writer, 0);
    writer->sealed_block = writer->blocks_first;
    writer->chunk_block = writer->blocks_first;
    file_push(writer);
}

void
aof_writer_destroy(struct aof_writer *writer)
{
    ASSERT(writer->writing == NULL);
    ASSERT(writer->syncing == NULL);
    while (writer->files_first != NULL) {
        struct aof_writer_file *file = writer->files_first;
        writer->files_first = file->next;
        if (file->fd >= 0) {
            ring_close(writer->ring, file->fd);
        }
        heap_free(file);
    }
    aof_blocks_destroy(writer);
}

/** Would what is sealed now be written at once? */
static bool
writer_is_ready(const struct aof_writer *writer)
{
    const struct aof_writer_file *file = writer->files_last;
    return !writer->is_failing && writer->writing == NULL && file->fd >= 0 &&
           file->written_offset == writer->sealed_offset &&
           !(writer->policy == AOF_POLICY_ALWAYS && writer->syncing != NULL);
}

void
aof_writer_flush_slow(struct aof_writer *writer, enum aof_policy policy, int64_t now_ms)
{
    if (writer->is_closing || writer->is_abandoned) {
        return;
    }
    writer->now_ms = now_ms;
    /* A clock that was set back shall not put the sync off for long. */
    writer->sync_due_ms = MIN(writer->sync_due_ms, now_ms + AOF_SYNC_PERIOD_MS);
    if (writer->policy != policy) {
        writer->policy = policy;
        writer_publish(writer);
    }
    uint64_t unsealed_size = writer->appended_offset - writer->sealed_offset;
    if (unsealed_size >= AOF_SEAL_SIZE || (unsealed_size > 0 && writer_is_ready(writer))) {
        writer_seal(writer);
    }
    writer_pump(writer);
    bool is_calm =
        writer->appended_offset == writer->sealed_offset && aof_writer_next_ms(writer) == INT64_MAX;
    writer->settled = is_calm ? aof_writer_settled_key(writer, policy) : AOF_NEVER_SETTLED;
}

int64_t
aof_writer_next_ms(const struct aof_writer *writer)
{
    const struct aof_writer_file *file = writer->files_first;
    if (writer->policy != AOF_POLICY_EVERYSEC || writer_is_stopped(writer) ||
        writer->syncing != NULL || file == NULL || file->written_offset == file->synced_offset) {
        return INT64_MAX;
    }
    return writer->sync_due_ms;
}

void
aof_writer_cut(struct aof_writer *writer)
{
    ASSERT(!writer->is_closing);
    if (writer->appended_offset > writer->sealed_offset) {
        writer_seal(writer);
    }
    writer->files_last->end_offset = writer->appended_offset;
    file_push(writer);
    /* The file may be ready for its sync. */
    writer->settled = AOF_NEVER_SETTLED;
}

void
aof_writer_open(struct aof_writer *writer, int fd, uint64_t size)
{
    struct aof_writer_file *file = file_waiting(writer);
    ASSERT(fd >= 0);
    if (file == NULL) {
        ASSERT(writer->is_closing);
        ring_close(writer->ring, fd);
        return;
    }
    file->fd = fd;
    file->base_size = size;
    writer->settled = AOF_NEVER_SETTLED;
    writer_pump(writer);
    writer_tell(writer);
}

uint32_t
aof_writer_waiting_count(const struct aof_writer *writer)
{
    uint32_t count = 0;
    for (const struct aof_writer_file *file = file_waiting(writer); file != NULL;
         file = file->next) {
        count++;
    }
    return count;
}

/** Where what is written again begins: behind what is on disk or forgotten. */
static uint64_t
file_restart_offset(const struct aof_writer *writer, const struct aof_writer_file *file)
{
    uint64_t retained = MIN(writer->retained_offset, file->end_offset);
    return MAX(MAX(file->start_offset, file->synced_offset), retained);
}

uint64_t
aof_writer_failed_file(const struct aof_writer *writer)
{
    ASSERT(writer->is_told);
    return file_spoiled(writer)->number;
}

uint64_t
aof_writer_good_size(const struct aof_writer *writer)
{
    ASSERT(writer->is_told);
    const struct aof_writer_file *file = file_spoiled(writer);
    return file->base_size + (file_restart_offset(writer, file) - file->start_offset);
}

void
aof_writer_restart(struct aof_writer *writer, int fd, uint64_t size)
{
    ASSERT(writer->is_told);
    ASSERT(fd >= 0);
    ASSERT(writer->writing == NULL);
    ASSERT(writer->syncing == NULL);
    struct aof_writer_file *file = file_spoiled(writer);
    uint64_t offset = file_restart_offset(writer, file);
    ring_close(writer->ring, file->fd);
    file->fd = fd;
    file->error = 0;
    file->base_size = size;
    file->start_offset = offset;
    file->written_offset = offset;
    file->is_synced = false;
    aof_blocks_forget_synced(writer, offset, MIN(writer->sealed_offset, file->end_offset));
    writer->is_told = false;
    writer->is_failing = file_spoiled(writer) != NULL;
    writer->is_recovering = true;
    writer->settled = AOF_NEVER_SETTLED;
    /* Whether the disk works again is soon known. */
    writer->sync_due_ms = INT64_MIN;
    writer_pump(writer);
    writer_recovered(writer, writer->writing == NULL && writer->syncing == NULL);
    writer_tell(writer);
}

/** Files behind the last byte that nobody has opened yet need not come. */
static void
files_drop_empty(struct aof_writer *writer)
{
    struct aof_writer_file **link = &writer->files_first;
    struct aof_writer_file *last = NULL;
    while (*link != NULL && ((*link)->fd >= 0 || (*link)->start_offset < writer->appended_offset)) {
        last = *link;
        link = &last->next;
    }
    struct aof_writer_file *file = *link;
    *link = NULL;
    writer->files_last = last;
    while (file != NULL) {
        struct aof_writer_file *next = file->next;
        heap_free(file);
        file = next;
    }
}

void
aof_writer_close(struct aof_writer *writer)
{
    ASSERT(!writer->is_closing);
    if (writer->appended_offset > writer->sealed_offset) {
        writer_seal(writer);
    }
    writer->is_closing = true;
    writer->files_last->end_offset = writer->appended_offset;
    files_drop_empty(writer);
    writer_pump(writer);
    writer_tell(writer);
}

void
aof_writer_abandon(struct aof_writer *writer)
{
    writer->is_closing = true;
    writer->is_abandoned = true;
    writer_tell(writer);
}
