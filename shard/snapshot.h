/*
 * snapshot.h: all keys as they were at one instant, written while commands go on. No fork and no
 * copy: an entry's bit tells whether it is still to be written, and whoever wants to change one
 * that is writes it first.
 *
 *     home core (persistence)                each shard's core
 *     snapshot_job_new()
 *     all shards closed                 ──▶  snapshot_cut()
 *                                            snapshot_step() turn by turn, snapshot_save_old()
 *     MAIL_SNAPSHOT: part is over       ◀──  its chunks are in the file, every bit is current
 *     all parts: head, tail, rename
 *     snapshot_job_delete()
 */
#pragma once

#include "core/mailbox.h"
#include "core/ring.h"
#include "persist/rdb_file.h"
#include "shard/shard.h"

struct snapshot;

enum snapshot_form {
    SNAPSHOT_RDB,      /* records of an RDB file; each chunk begins with SELECTDB */
    SNAPSHOT_COMMANDS, /* SELECT, SET, RESTORE as an AOF has them: a base without preamble */
};

/** As ring_write(), on the ring of the shard's core; `op->done` is called later, never from here.
 */
typedef void snapshot_write_fn(struct shard *shard, struct ring_op *op, int fd,
                               const struct iovec *vector, uint32_t vector_count, uint64_t offset);

/** One shard's share: the shard's until it has posted `mail`, then the home core's. */
struct snapshot_part {
    struct mail mail;
    bool is_over;             /* all its bits are current, nothing of it is under way */
    bool has_field_deadlines; /* some value is in Valkey's form: the file must say version 80 */
    uint32_t chunk_count;
    uint32_t chunk_capacity;
    struct rdb_chunk *chunks; /* in the order in which they took their places; crc of RDB only */
    uint64_t key_count;       /* written */
    uint64_t size;            /* of the chunks */
    uint64_t saved_count;     /* of the keys: those that a change made hasten */
    uint64_t waited_count;    /* large values that somebody had to wait for to change them */
    uint64_t waited_ns_max;   /* the longest of these waits */
};

/** Made by the home core, which fills the first section before the cut. */
struct snapshot_job {
    enum snapshot_form form;
    int fd;
    uint32_t home; /* the shard whose core gets the mail */
    bool is_compressing;
    bool keeps_idle;      /* maxmemory-policy is an LRU one */
    bool keeps_frequency; /* or an LFU one */
    /** Of all shards together; 0: no limit. Old values that a change hastens are not held back. */
    uint64_t bytes_per_second_max;
    uint64_t start_ns; /* monotonic, of the cut: the limit counts from here */
    uint64_t start_offset;
    snapshot_write_fn *write;
    /* ---- shared ---- */
    /** Where the next chunk goes: start_offset at first, the tail's place at last. Shards take
     * their ranges by adding to it; what is there becomes visible by the parts' mail, so the
     * additions are relaxed. */
    _Atomic uint64_t end_offset;
    /** The first error of a write, -errno; the job is given up by it. 0: none. */
    _Atomic int32_t error;
    /** Nobody writes any more; the parts end when their bits are current. Any thread may set it. */
    _Atomic bool is_given_up;
    uint32_t shard_count;
    struct snapshot_part parts[];
};

/** A job with its parts and `end_offset` at `start_offset`; all else zero, for the caller to fill.
 */
struct snapshot_job *snapshot_job_new(uint32_t shard_count, uint64_t start_offset);
/** All parts are over, or no shard was cut. */
void snapshot_job_delete(struct snapshot_job *job);

/* ---- the shard's core only ---- */

/**
 * The instant: what the shard holds now is what the file will hold. All shards are closed, no
 * snapshot runs here. Costs the same whatever there is.
 */
void snapshot_cut(struct shard *shard, struct snapshot_job *job);

/**
 * Background work of a turn, while shard->snapshot is not NULL: go on until the monotonic clock
 * passes `until_ns`, one step at least (0: one, and the clock is not asked). True: more can be done
 * now. Posts MAIL_SNAPSHOT (part->mail) to job->home when the part is over; shard->snapshot is NULL
 * then.
 */
bool snapshot_step(struct shard *shard, uint64_t until_ns);

/** Somebody waits to change a large value: a turn may give snapshot_step() more time than usual. A
 * snapshot runs. */
bool snapshot_is_urgent(const struct shard *shard);

/** When snapshot_step() is to be called again though nothing happens, because a limit held it back;
 * by the clock of shard->now_ms. INT64_MAX: never. */
int64_t snapshot_next_ms(const struct shard *shard);

/** Write an entry that is still to be written, whatever its size, and make its bit current. */
void snapshot_save_old(struct shard *shard, uint16_t db, struct entry *entry);

/**
 * The entry is about to be changed, lent exclusively or removed (by a command, by its deadline, by
 * eviction), and a snapshot runs: write it first if that still needs it. Not for what a flush takes
 * out: those contents wait for the snapshot by themselves (struct database, is_held).
 */
static inline void
snapshot_before_change(struct shard *shard, uint16_t db, struct entry *entry)
{
    if (UNLIKELY(entry_snapshot_bit(entry) != shard->keyspace.snapshot_bit)) {
        snapshot_save_old(shard, db, entry);
    }
}

/** The value of an entry that is not old may still be being written, while its owner changes it:
 * then write the rest now. Where somebody else is about to change it who has not waited for that.
 */
void snapshot_finish_image(struct shard *shard, const struct entry *entry);

/**
 * The entry is to be removed or changed, but that can wait, and a snapshot runs: would it take long
 * to write it first? Then that is begun now, beside everything else. Eviction takes another key.
 */
bool snapshot_puts_off(struct shard *shard, uint16_t db, struct entry *entry);

/** The core ends (a crash does not need it): forget a snapshot that runs, with what it holds. No
 * mail will be posted. While writes are under way shard->snapshot stays: call it again then. */
void snapshot_abandon(struct shard *shard);
