/*
 * snapshot_internal.h: what the rooms behind snapshot.h share: snapshot.c (one snapshot's life),
 * snapshot_walk.c (finding what is to be written), snapshot_record.c (an entry as bytes),
 * snapshot_chunk.c (bytes on their way to the file), snapshot_large.c (what takes many steps),
 * snapshot_guard.c (who wants to change that).
 */
#pragma once

#include "core/list.h"
#include "shard/lock.h"
#include "shard/snapshot.h"
#include "shard/value/codec.h"

/** Enough that a chunk's cost (a write, a line in the index) does not show, and its checksum is a
 * small part of a turn. */
#define SNAPSHOT_CHUNK_SIZE ((size_t)256 << 10)
/** Records are added until the chunk is full, so it ends somewhat above. */
#define SNAPSHOT_CHUNK_CAPACITY (SNAPSHOT_CHUNK_SIZE + ((size_t)16 << 10))

/** Above that many writes under way the walk waits: this bounds the memory. */
#define SNAPSHOT_WRITES_MAX 4

/** Collections above this size are written in steps: one takes some hundred microseconds. */
#define SNAPSHOT_OBJECT_SIZE_LARGE (UINT64_C(256) << 10)
/** Longer strings are written from where they lie, uncompressed. */
#define SNAPSHOT_STRING_SIZE_LARGE (UINT64_C(128) << 10)
/** A collection that may become more bytes than this takes its place in the file before it is
 * written; smaller ones are gathered first, and take what they need. */
#define SNAPSHOT_GATHER_SIZE_MAX (UINT64_C(8) << 20)
/** Bytes of a collection for each step. */
#define SNAPSHOT_STEP_SIZE ((size_t)16 << 10)

/** Entries that the walk looks at together, at the most. */
#define SNAPSHOT_FOUND_MAX 128

/** Bytes on their way to the file. */
struct snapshot_block {
    struct ring_op op;
    struct iovec vector; /* what is still to be written */
    uint64_t offset;
    struct snapshot *snapshot;
    char *bytes; /* the block's own, or NULL */
    size_t capacity;
    struct raw *raw; /* pinned: the bytes are part of it */
    struct snapshot_block *next;
};

/** What takes many steps: a collection, whose key is locked (shared) meanwhile or which has an
 * image, or a string, which is pinned. */
struct snapshot_large {
    struct list_node link; /* in `larges` */
    struct snapshot *snapshot;
    uint64_t wanted_ns; /* since when somebody waits to change it; 0: nobody does */
    /* ---- a collection ---- */
    bool is_locked; /* `request` holds the key; what a flush took out needs no lock */
    struct lock_request request;
    /** Whose value it is, as long as it is locked or has no image: nobody moves it then. */
    struct entry *entry;
    uint64_t hash;       /* the entry's */
    uint16_t db;         /* nobody can exchange it while the key is locked */
    uint8_t type;        /* enum rdb_type */
    struct image *image; /* the entry is settled, and the value may change; NULL: it may not */
    struct codec_writer codec;
    struct snapshot_block *front; /* as commands: what stands in front of the payload's size */
    /* ---- a string ---- */
    struct raw *raw;            /* NULL: a collection */
    uint64_t raw_offset;        /* bytes of it that are on their way */
    struct snapshot_block *end; /* what stands behind it, or NULL */
    /* ---- its chunk ---- */
    struct rdb_writer writer;
    bool is_placed;      /* it has taken its range */
    bool is_failed;      /* and needs more: the job is given up */
    uint64_t offset;     /* of the range */
    uint64_t range_size; /* all of it */
    uint64_t size;       /* of what is written or gathered */
    uint64_t crc;        /* of that; as commands: of the payload so far */
    struct snapshot_block *gathered_first;
    struct snapshot_block *gathered_last;
};

struct snapshot {
    struct shard *shard;
    struct snapshot_job *job;
    struct snapshot_part *part;
    bool is_given_up; /* as far as this shard has noticed */
    bool is_walk_over;
    bool is_blocked;   /* the walk has met what it cannot lock now */
    bool is_serve_due; /* a key has become free: those who waited are to be served */
    uint32_t write_count;
    struct list larges; /* that are being written, those first that somebody waits for */
    /* ---- the chunk that is being filled ---- */
    struct rdb_writer chunk;
    uint64_t chunk_key_count;
    uint32_t chunk_db;         /* of its last SELECT; UINT32_MAX: none yet */
    struct rdb_writer payload; /* of RESTORE */
    char *spare;               /* a chunk's memory, or NULL */
    size_t spare_capacity;
    /* ---- where the walk is ---- */
    uint32_t walk_id; /* the contents' */
    bool is_walking;  /* in contents */
    uint32_t walk_slot;
    uint64_t walk_position;
    bool is_found_all;
    uint32_t found_count;
    struct entry *found[SNAPSHOT_FOUND_MAX]; /* of some buckets, on their way into the cache */
};

/** The entry needs no writing any more. */
static inline void
snapshot_settle(const struct snapshot *snapshot, struct entry *entry)
{
    entry_snapshot_bit_set(entry, snapshot->shard->keyspace.snapshot_bit);
}

static inline bool
snapshot_is_old(const struct snapshot *snapshot, const struct entry *entry)
{
    return entry_snapshot_bit(entry) != snapshot->shard->keyspace.snapshot_bit;
}

/* ---- snapshot_record.c ---- */

/** SELECT, or SELECTDB. */
void snapshot_write_select(const struct snapshot *snapshot, struct rdb_writer *writer, uint32_t db);
/** All that stands in front of the value, in a file of RDB's form. */
void snapshot_write_key(struct snapshot *snapshot, struct rdb_writer *writer,
                        const struct entry *entry, const struct value *value);
/** One argument of a command, or its beginning with `size` bytes to come. */
void snapshot_write_argument(struct rdb_writer *writer, struct slice argument);
void snapshot_write_argument_head(struct rdb_writer *writer, uint64_t size);
/** SET up to its value's bytes, and what follows these. */
void snapshot_write_set(struct rdb_writer *writer, const struct entry *entry, uint64_t size);
void snapshot_write_set_end(struct rdb_writer *writer, const struct entry *entry);
/** RESTORE up to its payload, and what follows the payload's bytes. */
void snapshot_write_restore(struct rdb_writer *writer, const struct entry *entry);
void snapshot_write_restore_end(struct rdb_writer *writer);
/** What ends a payload of this type: a version; `crc` is that of all before it. */
void snapshot_write_payload_end(struct rdb_writer *writer, uint8_t type, uint64_t crc);
/** A whole record. */
void snapshot_write_record(struct snapshot *snapshot, struct rdb_writer *writer,
                           const struct entry *entry);

/* ---- snapshot_chunk.c ---- */

/** Write the entry into the shard's chunk, whatever its size. `db`: at the cut. */
void snapshot_chunk_add(struct snapshot *snapshot, uint32_t db, struct entry *entry);
/** Send the chunk off, however full it is. */
void snapshot_chunk_send(struct snapshot *snapshot);
/** Forget it. */
void snapshot_chunk_drop(struct snapshot *snapshot);
/** A range of the file that nobody else gets. */
uint64_t snapshot_range_take(struct snapshot *snapshot, uint64_t size);
/** The range holds a whole chunk, or will. */
void snapshot_range_note(struct snapshot *snapshot, const struct rdb_chunk *chunk);
/** The writer's bytes as a block, which owns them; the writer is empty and goes on with other
 * memory. */
struct snapshot_block *snapshot_block_take(struct snapshot *snapshot, struct rdb_writer *writer);
/** A chunk's room for an empty writer, so that it grows no more than it must. */
void snapshot_writer_room(struct snapshot *snapshot, struct rdb_writer *writer);
/** Part of a raw, which is pinned until it is written. */
struct snapshot_block *snapshot_block_of_raw(struct snapshot *snapshot, struct raw *raw,
                                             uint64_t offset, uint64_t size);
static inline struct slice
snapshot_block_bytes(const struct snapshot_block *block)
{
    return slice_of(block->vector.iov_base, block->vector.iov_len);
}
/** The job cannot be finished: all shards give up. `error`: -errno. */
void snapshot_fail(struct snapshot_job *job, int32_t error);
/** Write it there; it frees itself. */
void snapshot_block_send(struct snapshot_block *block, uint64_t offset);
void snapshot_block_delete(struct snapshot_block *block);

/* ---- snapshot_large.c ---- */

/** A collection of many steps, or a string of many. */
bool snapshot_is_large_object(const struct entry *entry);
bool snapshot_is_large_string(const struct entry *entry);
/** Begin to write a large collection that is still to be written, unless that has begun. `db`: now,
 * KEYSPACE_NO_DATABASE of what was flushed; `cut_db`: at the cut. `is_wanted`: somebody waits to
 * change it. False: the whole shard is somebody's, it cannot be locked now. */
bool snapshot_large_begin(struct snapshot *snapshot, uint32_t db, uint32_t cut_db,
                          struct entry *entry, bool is_wanted);
/** The same for one that has not begun, without a lock where none is wanted. NULL: it cannot be
 * locked. */
struct snapshot_large *snapshot_large_new(struct snapshot *snapshot, uint32_t db, uint32_t cut_db,
                                          struct entry *entry, bool is_locking);
/** What is being written from this entry; NULL: nothing. Not what has an image. */
struct snapshot_large *snapshot_large_find(const struct snapshot *snapshot,
                                           const struct entry *entry);
/** The bytes in its writer go on. */
void snapshot_large_put(struct snapshot_large *large);
/** Begin with a string, which needs no lock; the entry is settled with it. */
void snapshot_string_begin(struct snapshot *snapshot, uint32_t cut_db, struct entry *entry);
/** Write the rest of the collection at once, which ends it. Those who wait for it are served by
 * snapshot_step(). */
void snapshot_large_write_rest(struct snapshot_large *large);
/** Do that with what is being written from this entry. False: nothing is. */
bool snapshot_large_finish(struct snapshot *snapshot, const struct entry *entry);
/** Go on with the first large; there is one. */
void snapshot_large_step(struct snapshot *snapshot);
/** The snapshot is given up: their keys are free. */
void snapshot_large_drop_all(struct snapshot *snapshot);

/* ---- snapshot_guard.c ---- */

/** What the guard of the lock table asks: lock_guard_fn. */
bool snapshot_guard(void *context, uint16_t db, struct slice key, uint64_t hash, bool is_borrower);
/** False: the whole shard is somebody's. */
bool snapshot_large_lock(struct snapshot_large *large);
/** Others may have the key for themselves. */
void snapshot_large_unlock(struct snapshot_large *large);
/** Somebody waits for it: it goes first. */
void snapshot_large_want(struct snapshot_large *large);

/* ---- snapshot_walk.c ---- */

/** Look at some more entries; no large is being written. is_walk_over: that were all; is_blocked:
 * it cannot go on now. */
void snapshot_walk_step(struct snapshot *snapshot);
