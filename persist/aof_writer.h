/*
 * aof_writer.h: one shard's stream of bytes into its files, one after the other.
 * The owner appends, says where a file ends, hands in files that others opened, and is told how far
 * the stream has come. Bytes are counted by logical offsets: all that was ever appended by this
 * writer, over all files, the check lines that the writer puts in between included; so an owner
 * compares offsets that it read from `appended_offset`, and computes none.
 *
 * Everything runs on the ring's thread and nothing blocks.
 */
#pragma once

#include "core/ring.h"
#include "persist/aof_format.h"

#include <string.h>

/** Parts of one write; longer runs of blocks take several. */
#define AOF_WRITER_VECTOR_MAX 64

struct aof_writer_ops {
    /** written_offset or synced_offset has moved; or, once after a restart, the disk has taken
     * something again (with a sync, but under `no`), and what was written before may be on its way
     * still. The owner may call any function but _destroy() in it and in failed(). */
    void (*advanced)(void *owner);
    /** A file is spoiled: -errno and "write" or "fsync". Nothing is in flight any more, and nothing
     * is started until aof_writer_restart(). Once for each failure. */
    void (*failed)(void *owner, int error, const char *what);
    /** After aof_writer_close() or _abandon(): nothing is left. The owner may destroy the writer
     * in it. NULL: nobody asks. */
    void (*closed)(void *owner);
};

struct aof_writer_block;
struct aof_writer_file;

struct aof_writer {
    /* ---- the owner reads these ---- */
    uint64_t appended_offset;
    /** All before is in files, check line behind it, and survives the process. */
    uint64_t written_offset;
    /** All before is on disk and survives the machine. */
    uint64_t synced_offset;
    /** Memory that blocks take. */
    uint64_t held_size;
    /* ---- appending ---- */
    /** Where the next byte goes, and the end of its block. */
    char *at;
    char *end;
    /** appended_offset and policy with which aof_writer_flush() has nothing to do. */
    uint64_t settled;
    /** End of the last check line, or of the last file. */
    uint64_t sealed_offset;
    struct aof_writer_block *sealed_block;
    /* ---- blocks, oldest first ---- */
    struct aof_writer_block *blocks_first;
    struct aof_writer_block *blocks_last;
    struct aof_writer_block *spares;
    uint32_t spare_count;
    /** The least that there were since the last sync: so many more than needed. */
    uint32_t spare_count_low;
    /** All before may be forgotten. */
    uint64_t retained_offset;
    /* ---- files: the oldest that is not on disk, ..., the one that takes what is appended ---- */
    struct aof_writer_file *files_first;
    struct aof_writer_file *files_last;
    /** What is being written and synced; NULL: nothing. */
    struct aof_writer_file *writing;
    struct aof_writer_file *syncing;
    /** The part of `writing` that is under way: all up to a check line's end. */
    uint64_t chunk_offset;
    uint64_t chunk_end_offset;
    struct aof_writer_block *chunk_block;
    uint64_t sync_target_offset;
    /* ---- the rest ---- */
    int64_t sync_due_ms;
    int64_t now_ms;
    enum aof_policy policy;
    bool is_failing; /* a file is spoiled: nothing is started */
    bool is_told;    /* and the owner knows */
    bool is_recovering;
    bool is_news; /* offsets have moved, and the owner does not know yet */
    bool is_telling;
    bool is_closing;
    bool is_abandoned;
    bool is_closed;
    void *owner;
    const struct aof_writer_ops *ops;
    struct ring *ring;
    struct ring_op write_op;
    struct ring_op sync_op;
    struct iovec vector[AOF_WRITER_VECTOR_MAX];
    char closing_line[AOF_CHECK_SIZE_MAX];
};

/** The stream begins with file number 0, which aof_writer_open() has to bring. `ops` stays. */
void aof_writer_create(struct aof_writer *writer, struct ring *ring,
                       const struct aof_writer_ops *ops, void *owner);

/** Nothing may be in flight: after closed(), or before anything was opened. Frees what is held. */
void aof_writer_destroy(struct aof_writer *writer);

/** Out of line: a block that has room for `size` bytes. */
char *aof_writer_grow(struct aof_writer *writer, size_t size);

/** Room for `size` bytes, until the next call of any function of the writer. Never NULL. */
static inline char *
aof_writer_reserve(struct aof_writer *writer, size_t size)
{
    if (LIKELY(size <= (size_t)(writer->end - writer->at))) {
        return writer->at;
    }
    return aof_writer_grow(writer, size);
}

/** The first `size` bytes of what was reserved are part of the stream. */
static inline void
aof_writer_commit(struct aof_writer *writer, size_t size)
{
    ASSERT(size <= (size_t)(writer->end - writer->at));
    writer->at += size;
    writer->appended_offset += size;
}

static inline void
aof_writer_append(struct aof_writer *writer, const void *bytes, size_t size)
{
    if (size > 0) {
        memcpy(aof_writer_reserve(writer, size), bytes, size);
        aof_writer_commit(writer, size);
    }
}

/** Offset and policy in one word; offsets have 62 bits. */
static inline uint64_t
aof_writer_settled_key(const struct aof_writer *writer, enum aof_policy policy)
{
    return writer->appended_offset << 2 | (uint64_t)policy;
}

/** Out of line: there may be something to do. */
void aof_writer_flush_slow(struct aof_writer *writer, enum aof_policy policy, int64_t now_ms);

/**
 * The end of a turn: puts a check line behind what is new and starts what is due. What was
 * committed ends with a whole command here. The policy may be another one each time. `now_ms` is of
 * any clock, the same one each time.
 */
static inline void
aof_writer_flush(struct aof_writer *writer, enum aof_policy policy, int64_t now_ms)
{
    if (UNLIKELY(writer->settled != aof_writer_settled_key(writer, policy))) {
        aof_writer_flush_slow(writer, policy, now_ms);
    }
}

/** Is something being written or synced? */
static inline bool
aof_writer_is_busy(const struct aof_writer *writer)
{
    return writer->writing != NULL || writer->syncing != NULL;
}

/** When aof_writer_flush() should be called although nothing happens; INT64_MAX: no need. */
int64_t aof_writer_next_ms(const struct aof_writer *writer);

/**
 * All that is appended from now on belongs to the next file, whose number is one higher. It may be
 * called again before that file is there: each cut waits for an aof_writer_open() of its own. What
 * was committed ends with a whole command here.
 */
void aof_writer_cut(struct aof_writer *writer);

/**
 * The next file in order of the cuts: open for writing, with `size` bytes in it already (its head,
 * which ends with a check line if it is to be covered by one); the stream goes on behind them. The
 * descriptor is the writer's from now on. A file that has its end is synced and closed when all of
 * it is written. May be called while the writer has failed.
 */
void aof_writer_open(struct aof_writer *writer, int fd, uint64_t size);

/** How many files wait for aof_writer_open(): the one at the start, and one for each cut. */
uint32_t aof_writer_waiting_count(const struct aof_writer *writer);

/*
 * After failed(). Spoiled is one file, mostly the newest, but it may be an older one whose last
 * sync has failed; files behind it are good and stay as they are.
 */

/** Its number: 0 for the first that was opened, one more for each cut. */
uint64_t aof_writer_failed_file(const struct aof_writer *writer);

/** Bytes of the spoiled file that may stay; what is behind them is written again, hence the file
 * has to be truncated to that, and synced, before the restart. */
uint64_t aof_writer_good_size(const struct aof_writer *writer);

/**
 * Another file in the place of the spoiled one, whose descriptor is closed: it takes its number and
 * gets all bytes of it behind its good size, from `size` on, and what belongs to it from now on.
 * It stands between the spoiled file and the next one in the order of loading. It may be the
 * spoiled file itself, truncated and opened anew, with `size` = aof_writer_good_size(). When a
 * further file is spoiled too, failed() comes again, within this call.
 */
void aof_writer_restart(struct aof_writer *writer, int fd, uint64_t size);

/**
 * Nothing is appended any more: write, sync and close all, under whatever policy, with a closing
 * line in the last file; then closed(), perhaps within this call. Files that were cut and have got
 * no byte need not be opened. The writer may fail and be restarted meanwhile.
 */
void aof_writer_close(struct aof_writer *writer);

/** Give up what is not written: nothing is started any more; closed() when nothing is in flight,
 * perhaps within this call. Also after aof_writer_close(), also when it has failed. */
void aof_writer_abandon(struct aof_writer *writer);
