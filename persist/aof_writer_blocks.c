/*
 * aof_writer_blocks.c: the writer's bytes while they are in memory: blocks, and the check lines in
 * them.
 *
 *     first --> [ bytes ] <--> [ bytes | check ] <--> [ check | bytes ..... ] <-- last
 *
 * A block is 64 KiB, or larger for what does not fit one; its end is where the next one starts, so
 * that appending counts in one place only. Bytes of one reservation and those of a check line are
 * never split. Which blocks hold the end of a check line is noted in them, the newest end only:
 * enough to find where a write may stop.
 *
 * Blocks that are done with are kept as spares, the last one used first: under `everysec` a
 * second's worth of them goes round, and fresh pages would cost more than what is written into
 * them. After each sync those are given back that the time since the last one did without.
 *
 * Rejected: a ring of bytes (it would have to grow while a write is in flight), a table of the
 * check lines' places (they are found from the back: each says how much it covers).
 */
#include "persist/aof_writer_internal.h"

#include "core/heap.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

/* What mimalloc hands out in one piece; a thousand of them hold what a second of heavy writing
 * leaves unsynced. */
#define AOF_BLOCK_SIZE 65536u
#define AOF_BLOCK_CAPACITY (AOF_BLOCK_SIZE - sizeof(struct aof_writer_block))
/* Blocks kept for later by a writer that has nothing to do, and by one under load. */
#define AOF_SPARE_COUNT_IDLE 16u
#define AOF_SPARE_COUNT_MAX 1024u

/* ---- blocks ---- */

static struct aof_writer_block *
block_new(struct aof_writer *writer, size_t size)
{
    struct aof_writer_block *block = writer->spares;
    size_t capacity = AOF_BLOCK_CAPACITY;
    if (size > capacity) {
        capacity = size + AOF_CHECK_SIZE_MAX;
        block = NULL;
    }
    if (block != NULL) {
        writer->spares = block->next;
        writer->spare_count--;
        writer->spare_count_low = MIN(writer->spare_count_low, writer->spare_count);
    } else {
        block = heap_alloc(sizeof(*block) + capacity);
        writer->held_size += sizeof(*block) + capacity;
    }
    block->capacity = capacity;
    return block;
}

static void
block_delete(struct aof_writer *writer, struct aof_writer_block *block)
{
    writer->held_size -= sizeof(*block) + block->capacity;
    heap_free(block);
}

void
aof_block_push(struct aof_writer *writer, size_t size)
{
    struct aof_writer_block *block = block_new(writer, size);
    block->next = NULL;
    block->previous = writer->blocks_last;
    block->start_offset = writer->appended_offset;
    block->check_end_offset = 0;
    if (writer->blocks_last != NULL) {
        writer->blocks_last->next = block;
    } else {
        writer->blocks_first = block;
    }
    writer->blocks_last = block;
    writer->at = block->bytes;
    writer->end = block->bytes + block->capacity;
}

static void
spares_trim(struct aof_writer *writer, uint32_t count)
{
    while (writer->spare_count > count) {
        struct aof_writer_block *block = writer->spares;
        writer->spares = block->next;
        writer->spare_count--;
        block_delete(writer, block);
    }
    writer->spare_count_low = MIN(writer->spare_count_low, writer->spare_count);
}

void
aof_blocks_release(struct aof_writer *writer)
{
    /* The last block stays, but not a large one, which nothing may follow for long. */
    if (writer->blocks_last->capacity > AOF_BLOCK_CAPACITY &&
        writer->retained_offset == writer->appended_offset) {
        aof_block_push(writer, 0);
    }
    while (writer->blocks_first != writer->blocks_last &&
           aof_block_end_offset(writer, writer->blocks_first) <= writer->retained_offset) {
        struct aof_writer_block *block = writer->blocks_first;
        writer->blocks_first = block->next;
        block->next->previous = NULL;
        if (writer->sealed_block == block) {
            writer->sealed_block = block->next;
        }
        if (writer->chunk_block == block) {
            writer->chunk_block = block->next;
        }
        if (block->capacity == AOF_BLOCK_CAPACITY && writer->spare_count < AOF_SPARE_COUNT_MAX) {
            block->next = writer->spares;
            writer->spares = block;
            writer->spare_count++;
        } else {
            block_delete(writer, block);
        }
    }
    if (writer->retained_offset == writer->appended_offset) {
        spares_trim(writer, AOF_SPARE_COUNT_IDLE);
    }
}

struct aof_writer_block *
aof_block_find(const struct aof_writer *writer, uint64_t offset)
{
    struct aof_writer_block *block = writer->chunk_block;
    if (block->start_offset > offset) {
        block = writer->blocks_first;
    }
    while (aof_block_end_offset(writer, block) <= offset) {
        block = block->next;
        ASSERT(block != NULL);
    }
    ASSERT(block->start_offset <= offset);
    return block;
}

char *
aof_writer_grow(struct aof_writer *writer, size_t size)
{
    ASSERT(!writer->is_closing);
    aof_block_push(writer, size);
    return writer->at;
}

void
aof_blocks_trim(struct aof_writer *writer)
{
    spares_trim(writer, writer->spare_count - writer->spare_count_low);
    writer->spare_count_low = writer->spare_count;
}

void
aof_blocks_destroy(struct aof_writer *writer)
{
    while (writer->blocks_first != NULL) {
        struct aof_writer_block *block = writer->blocks_first;
        writer->blocks_first = block->next;
        block_delete(writer, block);
    }
    spares_trim(writer, 0);
    ASSERT(writer->held_size == 0);
}

/* ---- check lines ---- */

static uint64_t
unsealed_sum(const struct aof_writer *writer)
{
    const struct aof_writer_block *block = writer->sealed_block;
    size_t skip = (size_t)(writer->sealed_offset - block->start_offset);
    if (block->next == NULL) {
        return XXH3_64bits(block->bytes + skip,
                           (size_t)(writer->appended_offset - writer->sealed_offset));
    }
    XXH3_state_t state;
    XXH3_64bits_reset(&state);
    for (; block != NULL; block = block->next) {
        size_t size = (size_t)(aof_block_end_offset(writer, block) - block->start_offset) - skip;
        XXH3_64bits_update(&state, block->bytes + skip, size);
        skip = 0;
    }
    return XXH3_64bits_digest(&state);
}

void
aof_blocks_seal(struct aof_writer *writer, uint64_t synced_size)
{
    uint64_t size = writer->appended_offset - writer->sealed_offset;
    ASSERT(size > 0);
    uint64_t sum = unsealed_sum(writer);
    if ((size_t)(writer->end - writer->at) < AOF_CHECK_SIZE_MAX) {
        aof_block_push(writer, AOF_CHECK_SIZE_MAX);
    }
    aof_writer_commit(writer, aof_check_format(writer->at, size, sum, synced_size));
    writer->sealed_offset = writer->appended_offset;
    writer->sealed_block = writer->blocks_last;
    writer->blocks_last->check_end_offset = writer->sealed_offset;
}

/** The start of the check line that ends at `end_offset`, and its bytes. */
static uint64_t
check_line_find(const struct aof_writer_block *block, uint64_t end_offset, char **line)
{
    size_t end = (size_t)(end_offset - block->start_offset);
    size_t start = end - 1;
    ASSERT(block->bytes[start] == '\n');
    while (start > 0 && block->bytes[start - 1] != '\n') {
        start--;
    }
    *line = (char *)(uintptr_t)(block->bytes + start);
    return block->start_offset + start;
}

void
aof_blocks_forget_synced(struct aof_writer *writer, uint64_t from_offset, uint64_t end_offset)
{
    struct aof_writer_block *block = writer->blocks_last;
    /* From the last to the first, since each tells where the one before it ends. */
    while (end_offset > from_offset) {
        while (block->start_offset >= end_offset) {
            block = block->previous;
            ASSERT(block != NULL);
        }
        char *line;
        uint64_t line_offset = check_line_find(block, end_offset, &line);
        uint64_t size = aof_check_forget_synced(line, (size_t)(end_offset - line_offset));
        ASSERT(size <= line_offset - from_offset);
        end_offset = line_offset - size;
    }
    ASSERT(end_offset == from_offset);
}
