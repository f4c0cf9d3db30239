/*
 * recovery.h: what of the AOF files is to be loaded after whatever has happened.
 *
 * First each file is scanned by itself, by any thread: recovery_scan(). Then one thread looks at
 * all of them together: recovery_decide(). Pure functions over bytes: they touch no file.
 */
#pragma once

#include "persist/aof_reader.h"

/** A part of a transaction over several shards, as it stands in a segment. */
struct recovery_part {
    uint64_t ticket;
    uint64_t begin; /* of its first line */
    uint64_t end;   /* of its command or EXEC; of an empty one, of its last line */
    enum aof_policy policy;
    uint32_t participant_index; /* of segment->participants */
    uint32_t participant_count;
    uint32_t hole_index; /* of segment->holes */
    uint32_t hole_count;
};

/** Bytes that are left out. */
struct recovery_hole {
    uint64_t begin;
    uint64_t end;
};

/** What one file says about itself. */
struct recovery_segment {
    /** Has lines of ours; else it is redis-server's. */
    bool is_ours;
    /** There is a segment line that is vouched for: shard_count, shard, generation and slots count.
     * Otherwise it may hold keys of all slots. */
    bool has_head;
    /** No head, but the manifest has told generation and shard. */
    bool has_place;
    /** Is vouched for to the last byte. */
    bool is_whole;
    /** Ends with bytes behind a closing line, from closed_end on: redis-server's. */
    bool is_appended;
    uint32_t shard_count;
    uint32_t shard;
    uint64_t generation;
    /** Of the machine's run in which it was begun; 0: not known. */
    uint64_t boot;
    /** A bit for each slot, SLOT_COUNT / 64 words. */
    uint64_t *slots;
    uint64_t size;
    /** How the walk ended: AOF_END, AOF_TORN or AOF_DAMAGED, where and why. */
    enum aof_item_kind kind;
    uint64_t offset;
    const char *why;
    /** The end of the last whole group; of what is vouched for; of the last check line. */
    uint64_t group_end;
    uint64_t good_end;
    uint64_t check_end;
    uint64_t closed_end;
    /** Largest offset known to be on disk, by any line that fits, be it behind damage. */
    uint64_t synced;
    /** The highest ticket, 0: none: new ones go on from there. */
    uint64_t ticket_last;
    /** Transactions with lower tickets are complete. */
    uint64_t complete_below;
    /* ---- parts of what is vouched for, in the order of the file; complete ones may be missing */
    struct recovery_part *parts;
    uint32_t part_count;
    uint32_t part_capacity;
    uint16_t *participants;
    uint32_t participant_count;
    uint32_t participant_capacity;
    /** What to leave out of a dropped part: all but the SELECTs, on which later commands stand. */
    struct recovery_hole *holes;
    uint32_t hole_count;
    uint32_t hole_capacity;
};

enum recovery_action {
    RECOVERY_LOAD,   /* all of it */
    RECOVERY_CUT,    /* up to `end` */
    RECOVERY_REFUSE, /* the server does not start */
};

struct recovery_verdict {
    enum recovery_action action;
    uint64_t end;
    /** To leave out of what is in front of `end`: parts of incomplete transactions, rising. */
    struct recovery_hole *holes;
    uint32_t hole_count;
    /** Transactions of which a part in this file is left out or cut off. */
    uint32_t dropped_count;
    /** Where and why it is not loaded as it is; NULL: it is. */
    uint64_t offset;
    const char *why;
    /** What its reader can do about a refusal; else NULL. */
    const char *advice;
};

/** Walk a file's bytes (without the RDB that may stand in front of them; all offsets count from
 * there). Any thread. recovery_segment_destroy() is due. */
void recovery_scan(struct recovery_segment *segment, struct slice bytes);
/** The same, but every part is kept and none is taken to be complete: for files of which something
 * is lost that had been on disk. Takes as much memory as there are parts. */
void recovery_scan_all(struct recovery_segment *segment, struct slice bytes);
void recovery_segment_destroy(struct recovery_segment *segment);

/**
 * The machine's run now. In a segment of the same run nothing that was written is missing: only the
 * process has ended. Its incomplete transactions are left out alone then, as under `always`, for
 * their keys were lent until all parts were written. Before recovery_decide().
 */
static inline void
recovery_boot(struct recovery_segment *segment, uint64_t boot_now)
{
    for (uint32_t i = 0; segment->boot != 0 && segment->boot == boot_now && i < segment->part_count;
         i++) {
        segment->parts[i].policy = AOF_POLICY_ALWAYS;
    }
}

/** What the manifest says of it, for a file that has lost its own first line (or never had it on
 * disk). Optional, before recovery_decide(). */
static inline void
recovery_place(struct recovery_segment *segment, uint64_t generation, uint32_t shard)
{
    if (!segment->has_head) {
        segment->generation = generation;
        segment->shard = shard;
        segment->has_place = true;
        segment->is_ours = true;
    }
}

/**
 * What is to be done with each of the files, which stand in the order of the manifest, base and
 * history not among them. `is_load_truncated`: aof-load-truncated. 0, or -EBADMSG: at least one is
 * refused. recovery_verdicts_destroy() is due either way. Any thread.
 */
MUST_CHECK int recovery_decide(const struct recovery_segment *segments, uint32_t count,
                               bool is_load_truncated, struct recovery_verdict *verdicts);
void recovery_verdicts_destroy(struct recovery_verdict *verdicts, uint32_t count);

/**
 * How a file becomes one that holds what its verdict leaves of it, and is whole: its first
 * `keep_size` bytes, and `tail` behind them. In place (truncate, sync, append, sync) no moment is
 * worse than the one before; where that is not so the new file has to be written aside, synced, and
 * renamed. Offsets count as those of the scan. The tail of a file of ours ends with a closing line,
 * so that redis-server may append.
 */
struct recovery_repair {
    uint64_t keep_size;
    bool is_in_place;
    char *tail;
    size_t tail_size;
};
void recovery_repair_create(struct recovery_repair *repair, struct slice bytes,
                            const struct recovery_segment *segment,
                            const struct recovery_verdict *verdict);
void recovery_repair_destroy(struct recovery_repair *repair);
