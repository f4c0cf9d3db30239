/*
 * disk.c: a disk for the shards' logs, and machines that stop.
 *
 * The logs are the real ones (shard/aof.c, persist/aof_writer.c). What they ask of the ring, of
 * core 0 and of the journal comes here instead, by the linker (--wrap): a write or a sync is kept,
 * and is carried out in a later step that the seed draws, some writes only in part. New files are
 * made, and handed out shard by shard, in such steps too.
 *
 *     file     |===== synced =====|===== written =====|~~ being written ~~|
 *     kill -9                                          ^ torn here, at any byte
 *     power                        ^ or here, each file for itself
 *
 * A crash does not end the history: what the disk would hold is copied, recovered and looked at
 * (witness_disk.c), and the history goes on. So one history has many crashes.
 */
#include "disk.h"

#include "core/heap.h"
#include "shard/durable.h"
#include "shard/persistence.h"
#include "shard/router_internal.h"

#include <stdatomic.h>
#include <stdlib.h>

/* Longer than a log waits for more to write together. */
#define TURN_NS_MAX 200000

/* The linker's names: what is called, and what it was before. */
void __wrap_ring_write(struct ring *ring, struct ring_op *op, int fd, const struct iovec *vector,
                       uint32_t vector_count, uint64_t offset);
void __wrap_ring_sync(struct ring *ring, struct ring_op *op, int fd);
void __wrap_ring_close(struct ring *ring, int fd);
void __wrap_persistence_log_cut(struct persistence *persistence, uint64_t generation, char *bytes,
                                size_t size, bool is_behind_files);
void __wrap_persistence_flushed(struct persistence *persistence);
void __wrap_journal_close_group(struct shard *shard, const struct journal_part *part);
void __real_journal_close_group(struct shard *shard, const struct journal_part *part);
bool __wrap_aof_point_is_synced(const struct shard *shard, const struct aof_point *point);
bool __real_aof_point_is_synced(const struct shard *shard, const struct aof_point *point);
uint64_t __wrap_transaction_oldest_ticket(const struct router *router);
uint64_t __real_transaction_oldest_ticket(const struct router *router);

/* ---- what the logs ask for ---- */

static struct sim_disk *
disk_of_ring(struct ring *ring)
{
    return (struct sim_disk *)(void *)ring;
}

void
__wrap_ring_write(struct ring *ring, struct ring_op *op, int fd, const struct iovec *vector,
                  uint32_t vector_count, uint64_t offset)
{
    struct sim_disk *disk = disk_of_ring(ring);
    struct disk_file *file = &disk->files[fd];
    struct disk_write *write = &disk->shards[file->shard].write;
    ASSERT(write->op == NULL && !file->is_closed && offset == file->bytes.size);
    *write =
        (struct disk_write){.op = op, .vector = vector, .vector_count = vector_count, .fd = fd};
    for (uint32_t i = 0; i < vector_count; i++) {
        write->size += vector[i].iov_len;
    }
}

void
__wrap_ring_sync(struct ring *ring, struct ring_op *op, int fd)
{
    struct sim_disk *disk = disk_of_ring(ring);
    struct disk_file *file = &disk->files[fd];
    struct disk_sync *sync = &disk->shards[file->shard].sync;
    ASSERT(sync->op == NULL && !file->is_closed);
    *sync = (struct disk_sync){.op = op, .fd = fd, .size = file->bytes.size};
}

void
__wrap_ring_close(struct ring *ring, int fd)
{
    disk_of_ring(ring)->files[fd].is_closed = true;
}

void
__wrap_persistence_log_cut(struct persistence *persistence, uint64_t generation, char *bytes,
                           size_t size, bool is_behind_files)
{
    struct sim_disk *disk = (struct sim_disk *)(void *)persistence;
    struct disk_task *task = calloc(1, sizeof(*task));
    ASSERT(task != NULL);
    disk->cut_count += is_behind_files;
    *task = (struct disk_task){
        .cut_number = disk->cut_count, .generation = generation, .bytes = bytes, .size = size};
    if (disk->tasks_last == NULL) {
        disk->tasks = task;
    } else {
        disk->tasks_last->next = task;
    }
    disk->tasks_last = task;
}

void
__wrap_persistence_flushed(struct persistence *persistence)
{
    (void)persistence; /* no snapshots are written here */
}

void
__wrap_journal_close_group(struct shard *shard, const struct journal_part *part)
{
    struct sim_disk *disk = disk_of_ring(shard->ring);
    const struct journal *journal = shard->journal_room;
    if (disk == NULL) {
        __real_journal_close_group(shard, part);
        return;
    }
    uint32_t group_count = journal->group_count;
    size_t offset = journal->closed_size;
    bool is_told = (disk->sim->options.disk_faults & DISK_FAULT_NO_PARTS) == 0;
    __real_journal_close_group(shard, is_told ? part : NULL);
    if (journal->group_count > group_count) {
        disk_group_closed(disk, shard, part, offset);
    }
    if (!journal->is_kept_open) {
        disk->shards[shard->index].running = NULL;
    }
}

bool
__wrap_aof_point_is_synced(const struct shard *shard, const struct aof_point *point)
{
    const struct sim_disk *disk = disk_of_ring(shard->ring);
    return (disk->sim->options.disk_faults & DISK_FAULT_EARLY_MARKS) != 0 ||
           __real_aof_point_is_synced(shard, point);
}

uint64_t
__wrap_transaction_oldest_ticket(const struct router *router)
{
    const struct sim_disk *disk = disk_of_ring(router->shard->ring);
    if ((disk->sim->options.disk_faults & DISK_FAULT_BLIND_MARKS) != 0) {
        return atomic_load(&router->shard->node->ticket_next);
    }
    return __real_transaction_oldest_ticket(router);
}

void
sim_disk_mark(struct sim *sim)
{
    struct aof *aof = sim->shards[0]->aof;
    if (aof != NULL) {
        aof_mark_begin(aof);
    }
}

/* ---- what happens on the disk ---- */

static uint32_t
file_add(struct sim_disk *disk, uint32_t shard, uint64_t generation)
{
    if (disk->file_count == disk->file_capacity) {
        disk->file_capacity = MAX(disk->file_capacity * 2, 64u);
        disk->files = realloc(disk->files, disk->file_capacity * sizeof(*disk->files));
        ASSERT(disk->files != NULL);
    }
    disk->files[disk->file_count] = (struct disk_file){.shard = shard, .generation = generation};
    return disk->file_count++;
}

/** A file is named when all that it stands on is on disk, at every shard. */
static bool
task_is_due(const struct sim_disk *disk)
{
    if (disk->tasks == NULL) {
        return false;
    }
    bool is_early = (disk->sim->options.disk_faults & DISK_FAULT_EARLY_FILES) != 0;
    for (uint32_t i = 0; i < disk->sim->shape.shard_count && !is_early; i++) {
        if (disk->shards[i].cut_count < disk->tasks->cut_number) {
            return false;
        }
    }
    return true;
}

void
sim_disk_receive(struct sim *sim, uint32_t to, struct mail *mail)
{
    struct aof_mail *aof_mail = container_of(mail, struct aof_mail, mail);
    if (aof_mail_is_marks(aof_mail)) {
        aof_mark_receive(sim->shards[to], aof_mail);
        return;
    }
    if (aof_mail->kind == AOF_MAIL_CUT) {
        sim->disk->shards[aof_mail->shard].cut_count++;
    }
    heap_free(aof_mail);
}

/** The manifest that names the cut's files is on disk. */
static void
task_run(struct sim_disk *disk)
{
    struct disk_task *task = disk->tasks;
    if (task->bytes != NULL) {
        uint32_t index = file_add(disk, 0, task->generation - 1);
        struct disk_file *file = &disk->files[index];
        file->is_barrier = true;
        sim_bytes_append(&file->bytes, task->bytes, task->size);
        file->synced_size = task->size;
    }
    for (uint32_t i = 0; i < disk->sim->shape.shard_count; i++) {
        (void)file_add(disk, i, task->generation);
    }
    disk->tasks = task->next;
    if (disk->tasks == NULL) {
        disk->tasks_last = NULL;
    }
    heap_free(task->bytes);
    free(task);
}

/** The shard's next file that was made and not handed out; -1: none. */
static int
open_find(const struct sim_disk *disk, uint32_t index)
{
    uint32_t opened_count = disk->shards[index].opened_count;
    for (uint32_t i = 0; i < disk->file_count; i++) {
        const struct disk_file *file = &disk->files[i];
        if (!file->is_barrier && file->shard == index && opened_count-- == 0) {
            return (int)i;
        }
    }
    return -1;
}

static bool
open_is_due(const struct sim_disk *disk, uint32_t index)
{
    const struct aof *aof = disk->sim->shards[index]->aof;
    return aof != NULL && aof_writer_waiting_count(&aof->writer) > 0 && open_find(disk, index) >= 0;
}

static void
open_run(struct sim_disk *disk, uint32_t index)
{
    struct disk_shard *shard = &disk->shards[index];
    struct aof_mail *mail = heap_alloc(sizeof(*mail));
    *mail = (struct aof_mail){.kind = AOF_MAIL_OPEN, .fd = open_find(disk, index)};
    shard->opened_count++;
    aof_receive(disk->sim->shards[index], mail);
}

/** The first `size` bytes of what is being written, appended. */
static void
write_copy(const struct disk_write *write, struct sim_bytes *bytes, size_t size)
{
    for (uint32_t i = 0; size > 0; i++) {
        size_t part = MIN(size, write->vector[i].iov_len);
        sim_bytes_append(bytes, write->vector[i].iov_base, part);
        size -= part;
    }
}

static void
write_run(struct sim_disk *disk, uint32_t index)
{
    const struct disk_write write = disk->shards[index].write;
    size_t size = write.size;
    if (sim_below(disk->sim, 5) == 0) {
        size = 1 + sim_below(disk->sim, (uint32_t)size);
    }
    write_copy(&write, &disk->files[write.fd].bytes, size);
    disk->shards[index].write.op = NULL;
    write.op->done(write.op, (int32_t)size);
}

static void
sync_run(struct sim_disk *disk, uint32_t index)
{
    const struct disk_sync sync = disk->shards[index].sync;
    struct disk_file *file = &disk->files[sync.fd];
    file->synced_size = MAX(file->synced_size, sync.size);
    disk->shards[index].sync.op = NULL;
    sync.op->done(sync.op, 0);
}

bool
sim_disk_step(struct sim *sim)
{
    struct sim_disk *disk = sim->disk;
    enum { KIND_TASK, KIND_OPEN, KIND_WRITE, KIND_SYNC, KIND_CUT };
    struct {
        uint8_t kind;
        uint8_t shard;
    } found[1 + 4 * SIM_SHARDS_MAX];
    uint32_t count = 0;
    if (task_is_due(disk)) {
        found[count].shard = 0;
        found[count++].kind = KIND_TASK;
    }
    for (uint32_t i = 0; i < sim->shape.shard_count; i++) {
        const struct disk_shard *shard = &disk->shards[i];
        const bool is_there[] = {[KIND_TASK] = false,
                                 [KIND_OPEN] = open_is_due(disk, i),
                                 [KIND_WRITE] = shard->write.op != NULL,
                                 [KIND_SYNC] = shard->sync.op != NULL,
                                 [KIND_CUT] = shard->is_cut_due};
        for (uint8_t kind = KIND_OPEN; kind <= KIND_CUT; kind++) {
            if (is_there[kind]) {
                found[count].shard = (uint8_t)i;
                found[count++].kind = kind;
            }
        }
    }
    if (count == 0) {
        return false;
    }
    uint32_t drawn = sim_below(sim, count);
    uint32_t index = found[drawn].shard;
    switch (found[drawn].kind) {
    case KIND_TASK:
        task_run(disk);
        break;
    case KIND_OPEN:
        open_run(disk, index);
        break;
    case KIND_WRITE:
        write_run(disk, index);
        break;
    case KIND_SYNC:
        sync_run(disk, index);
        break;
    default:
        disk->shards[index].is_cut_due = false;
        journal_cut(sim->shards[index], NULL);
        break;
    }
    return true;
}

void
sim_disk_flush(struct sim *sim, uint32_t index)
{
    struct shard *shard = sim->shards[index];
    if (shard->aof == NULL) {
        return;
    }
    shard->now_ns += sim_below(sim, TURN_NS_MAX);
    aof_flush(shard);
    if ((sim->options.disk_faults & DISK_FAULT_EARLY_ANSWERS) != 0) {
        durable_written(shard, shard->durable.next_mark - 1);
    }
}

void
sim_disk_settle(struct sim *sim)
{
    bool is_busy;
    do {
        for (uint32_t i = 0; i < sim->shape.shard_count; i++) {
            sim->shards[i]->now_ns += TURN_NS_MAX * UINT64_C(10);
            sim_disk_flush(sim, i);
        }
        is_busy = sim_disk_step(sim);
    } while (is_busy);
}

void
sim_disk_cut(struct sim *sim)
{
    if (sim->disk->made_cut_count == DISK_CUTS_MAX) {
        return;
    }
    sim->disk->made_cut_count++;
    for (uint32_t i = 0; i < sim->shape.shard_count; i++) {
        if ((sim->options.disk_faults & DISK_FAULT_CUT_OPEN) != 0) {
            sim->disk->shards[i].is_cut_due = true;
        } else {
            journal_cut(sim->shards[i], NULL);
        }
    }
}

/* ---- the machine stops ---- */

/** Where the power leaves a file that has these bytes. */
static size_t
power_leaves(struct sim_disk *disk, const struct sim_bytes *bytes, size_t synced_size)
{
    static const char line[] = "#tessera check ";
    size_t size = synced_size + sim_below(disk->sim, (uint32_t)(bytes->size - synced_size) + 1);
    switch (sim_below(disk->sim, 4)) {
    case 0:
        return bytes->size;
    case 1:
        /* The end of a run: nothing tells that there was more. */
        for (size_t at = size; at > synced_size; at--) {
            if (bytes->size - at > sizeof(line) &&
                memcmp(bytes->data + at, line, sizeof(line) - 1) == 0) {
                const char *end = memchr(bytes->data + at, '\n', bytes->size - at);
                return end == NULL ? size : (size_t)(end - bytes->data) + 1;
            }
        }
        return synced_size;
    default:
        return size;
    }
}

void
sim_disk_crash(struct sim *sim)
{
    struct sim_disk *disk = sim->disk;
    bool is_power_lost = sim_below(sim, 2) == 0;
    struct sim_bytes *remains = calloc(MAX(disk->file_count, 1u), sizeof(*remains));
    ASSERT(remains != NULL);
    sim_say(sim, "%s", is_power_lost ? "the power fails" : "the process is killed");
    for (uint32_t i = 0; i < disk->file_count; i++) {
        const struct disk_file *file = &disk->files[i];
        const struct disk_write *write = &disk->shards[file->shard].write;
        sim_bytes_append(&remains[i], file->bytes.data, file->bytes.size);
        if (write->op != NULL && write->fd == (int)i) {
            write_copy(write, &remains[i], sim_below(sim, (uint32_t)write->size + 1));
        }
        if (is_power_lost && remains[i].size > file->synced_size) {
            size_t size = power_leaves(disk, &remains[i], file->synced_size);
            if (sim_below(sim, 8) == 0) {
                memset(remains[i].data + size, 0, remains[i].size - size); /* blocks of zeros */
            } else {
                remains[i].size = size;
            }
        }
    }
    sim->totals->crash_count++;
    disk_check(disk, remains, is_power_lost);
    for (uint32_t i = 0; i < disk->file_count; i++) {
        free(remains[i].data);
    }
    free(remains);
}

/* ---- life ---- */

void
sim_disk_create(struct sim *sim)
{
    struct sim_disk *disk = calloc(1, sizeof(*disk));
    ASSERT(disk != NULL);
    sim->disk = disk;
    disk->sim = sim;
    sim->node->boot_id = DISK_BOOT_ID;
    for (uint32_t i = 0; i < sim->shape.shard_count; i++) {
        struct shard *shard = sim->shards[i];
        shard->ring = (struct ring *)(void *)disk;
        shard->persistence = (struct persistence *)(void *)disk;
        aof_start(shard, DISK_GENERATION_FIRST);
    }
}

void
sim_disk_stop(struct sim *sim)
{
    sim_disk_settle(sim);
    for (uint32_t i = 0; i < sim->shape.shard_count; i++) {
        aof_stop(sim->shards[i]);
    }
    while (sim_disk_step(sim)) {
    }
}

void
sim_disk_destroy(struct sim *sim)
{
    struct sim_disk *disk = sim->disk;
    for (uint32_t i = 0; i < disk->file_count; i++) {
        free(disk->files[i].bytes.data);
    }
    for (uint32_t i = 0; i < sim->shape.shard_count; i++) {
        free(disk->shards[i].groups);
        sim->shards[i]->ring = NULL;
        sim->shards[i]->persistence = NULL;
    }
    free(disk->barriers);
    free(disk->files);
    free(disk);
    sim->disk = NULL;
}
