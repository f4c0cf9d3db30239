/*
 * aof_writer_internal.h: what the two rooms of the writer share: its blocks, and what
 * aof_writer_blocks.c does with them.
 */
#pragma once

#include "persist/aof_writer.h"

struct aof_writer_block {
    struct aof_writer_block *next;
    struct aof_writer_block *previous;
    uint64_t start_offset;
    /** The end of the last check line in it, 0: none. */
    uint64_t check_end_offset;
    size_t capacity;
    char bytes[];
};

static inline uint64_t
aof_block_end_offset(const struct aof_writer *writer, const struct aof_writer_block *block)
{
    return block->next != NULL ? block->next->start_offset : writer->appended_offset;
}

/** A new block behind the last, with room for `size` bytes, which what is appended goes into. */
void aof_block_push(struct aof_writer *writer, size_t size);

/** The block that holds the byte at `offset`, which is retained and has been appended. */
struct aof_writer_block *aof_block_find(const struct aof_writer *writer, uint64_t offset);

/** Forget what nobody needs any more: all in front of retained_offset. */
void aof_blocks_release(struct aof_writer *writer);

/** After a sync: give back the spare blocks that nobody has needed since the last one. */
void aof_blocks_trim(struct aof_writer *writer);

/** Free them all. */
void aof_blocks_destroy(struct aof_writer *writer);

/** A check line behind all that is new, which is something. Of its file `synced_size` bytes are
 * known to be on disk. */
void aof_blocks_seal(struct aof_writer *writer, uint64_t synced_size);

/** What stands between the offsets, both ends of check lines, goes into another file, of which
 * nothing is on disk: its check lines shall say so. */
void aof_blocks_forget_synced(struct aof_writer *writer, uint64_t from_offset, uint64_t end_offset);
