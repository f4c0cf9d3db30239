/*
 * snapshot_chunk.c: bytes on their way to the file.
 *
 *     records --> chunk [SELECTDB record record ...]  256 KiB: its size and sum are known
 *                   |
 *                   v takes the next range of the file, for all shards one counter
 *                 block --write--> [......|chunk of shard 1|chunk of shard 0|chunk of shard 1|...
 *
 * So the chunks of all shards stand in one file side by side, and which comes first is nobody's
 * business: each is whole by itself. Blocks are the unit of writing, chunks that of the index; a
 * large value is one chunk of many blocks.
 *
 * Memory: blocks live until they are written. The walk stops while SNAPSHOT_WRITES_MAX are under
 * way; what commands hasten does not wait, since that would be waiting for the disk. So the bytes
 * here are at most some chunks, and what is overwritten for the first time while the disk is busy.
 *
 * The first error ends the whole job: no other shard writes any more, either.
 *
 * Rejected: a file for each shard, put together at the end (twice the writing), ranges given out in
 * advance (holes).
 */
#include "shard/snapshot_internal.h"

#include "core/heap.h"
#include "persist/crc64.h"

#include <errno.h>
#include <stdatomic.h>

/* ---- the file ---- */

uint64_t
snapshot_range_take(struct snapshot *snapshot, uint64_t size)
{
    snapshot->part->size += size;
    /* Nothing but the number itself is shared here; the file's bytes are told of by mail. */
    return atomic_fetch_add_explicit(&snapshot->job->end_offset, size, memory_order_relaxed);
}

void
snapshot_range_note(struct snapshot *snapshot, const struct rdb_chunk *chunk)
{
    struct snapshot_part *part = snapshot->part;
    if (part->chunk_count == part->chunk_capacity) {
        part->chunk_capacity = MAX(part->chunk_capacity * 2, 64U);
        part->chunks = heap_realloc(part->chunks, part->chunk_capacity * sizeof(*part->chunks));
    }
    struct rdb_chunk *noted = &part->chunks[part->chunk_count++];
    *noted = *chunk;
    noted->shard = (uint16_t)snapshot->shard->index;
    part->key_count += chunk->key_count;
}

/* ---- blocks ---- */

void
snapshot_writer_room(struct snapshot *snapshot, struct rdb_writer *writer)
{
    writer->size = 0;
    if (snapshot->spare != NULL) {
        writer->bytes = snapshot->spare;
        writer->capacity = snapshot->spare_capacity;
        snapshot->spare = NULL;
        return;
    }
    writer->bytes = heap_alloc(SNAPSHOT_CHUNK_CAPACITY);
    writer->capacity = SNAPSHOT_CHUNK_CAPACITY;
}

static struct snapshot_block *
block_new(struct snapshot *snapshot, void *bytes, size_t size)
{
    struct snapshot_block *block = heap_alloc(sizeof(*block));
    *block = (struct snapshot_block){.snapshot = snapshot,
                                     .vector = {.iov_base = bytes, .iov_len = size}};
    return block;
}

struct snapshot_block *
snapshot_block_take(struct snapshot *snapshot, struct rdb_writer *writer)
{
    struct snapshot_block *block = block_new(snapshot, writer->bytes, writer->size);
    block->bytes = writer->bytes;
    block->capacity = writer->capacity;
    bool is_compressing = writer->is_compressing;
    rdb_writer_create(writer, is_compressing);
    return block;
}

struct snapshot_block *
snapshot_block_of_raw(struct snapshot *snapshot, struct raw *raw, uint64_t offset, uint64_t size)
{
    struct snapshot_block *block = block_new(snapshot, raw->data + offset, size);
    block->raw = raw;
    raw_pin(raw);
    return block;
}

void
snapshot_block_delete(struct snapshot_block *block)
{
    struct snapshot *snapshot = block->snapshot;
    if (block->raw != NULL) {
        raw_unpin(&snapshot->shard->memory, block->raw);
    } else if (snapshot->spare == NULL && block->capacity >= SNAPSHOT_CHUNK_CAPACITY &&
               block->capacity <= 4 * SNAPSHOT_CHUNK_CAPACITY) {
        snapshot->spare = block->bytes;
        snapshot->spare_capacity = block->capacity;
    } else {
        heap_free(block->bytes);
    }
    heap_free(block);
}

static void
block_write(struct snapshot_block *block)
{
    const struct snapshot *snapshot = block->snapshot;
    const struct snapshot_job *job = snapshot->job;
    job->write(snapshot->shard, &block->op, job->fd, &block->vector, 1, block->offset);
}

void
snapshot_fail(struct snapshot_job *job, int32_t error)
{
    int32_t none = 0;
    atomic_compare_exchange_strong_explicit(&job->error, &none, error, memory_order_relaxed,
                                            memory_order_relaxed);
    /* Pairs with the acquire in snapshot_step(): who gives up sees why. */
    atomic_store_explicit(&job->is_given_up, true, memory_order_release);
}

static void
block_written(struct ring_op *op, int32_t result)
{
    struct snapshot_block *block = container_of(op, struct snapshot_block, op);
    struct snapshot *snapshot = block->snapshot;
    bool is_given_up = atomic_load_explicit(&snapshot->job->is_given_up, memory_order_relaxed);
    if (result <= 0) {
        snapshot_fail(snapshot->job, result == 0 ? -EIO : result);
    } else if ((size_t)result < block->vector.iov_len && !is_given_up) {
        block->vector.iov_base = (char *)block->vector.iov_base + result;
        block->vector.iov_len -= (size_t)result;
        block->offset += (uint64_t)result;
        block_write(block);
        return;
    }
    ASSERT(snapshot->write_count > 0);
    snapshot->write_count--;
    snapshot_block_delete(block);
}

void
snapshot_block_send(struct snapshot_block *block, uint64_t offset)
{
    ASSERT(block->vector.iov_len > 0);
    block->op.done = block_written;
    block->offset = offset;
    block->snapshot->write_count++;
    block_write(block);
}

/* ---- the chunk of small records ---- */

void
snapshot_chunk_add(struct snapshot *snapshot, uint32_t db, struct entry *entry)
{
    struct rdb_writer *chunk = &snapshot->chunk;
    if (chunk->bytes == NULL) {
        snapshot_writer_room(snapshot, chunk);
    }
    if (snapshot->chunk_db != db) {
        snapshot_write_select(snapshot, chunk, db);
        snapshot->chunk_db = db;
    }
    snapshot_write_record(snapshot, chunk, entry);
    snapshot->chunk_key_count++;
    snapshot_settle(snapshot, entry);
    if (chunk->size >= SNAPSHOT_CHUNK_SIZE) {
        snapshot_chunk_send(snapshot);
    }
}

static void
chunk_begin(struct snapshot *snapshot)
{
    snapshot->chunk_key_count = 0;
    snapshot->chunk_db = UINT32_MAX;
}

void
snapshot_chunk_send(struct snapshot *snapshot)
{
    if (snapshot->chunk.size == 0) {
        return;
    }
    struct rdb_chunk chunk = {
        .size = snapshot->chunk.size,
        .crc = snapshot->job->form == SNAPSHOT_RDB
                   ? crc64_update(0, rdb_writer_bytes(&snapshot->chunk))
                   : 0,
        .key_count = snapshot->chunk_key_count,
        .offset = snapshot_range_take(snapshot, snapshot->chunk.size),
    };
    snapshot_range_note(snapshot, &chunk);
    snapshot_block_send(snapshot_block_take(snapshot, &snapshot->chunk), chunk.offset);
    chunk_begin(snapshot);
}

void
snapshot_chunk_drop(struct snapshot *snapshot)
{
    rdb_writer_destroy(&snapshot->chunk);
    rdb_writer_create(&snapshot->chunk, snapshot->job->is_compressing);
    chunk_begin(snapshot);
}
