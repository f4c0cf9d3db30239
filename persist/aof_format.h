/*
 * aof_format.h: the annotation lines of AOF files, as text and read back.
 *
 *     #tessera segment v=1 shards=2 shard=0 gen=3 slots=0-8191
 *     *3 $3 SET ...
 *     #tessera part ticket=812 policy=always shards=0,1
 *     *3 $3 SET ...
 *     #tessera check size=160 sum=9c0f6c0a3b1d2e4f synced=0
 *
 * Lines begin with `#`, so that redis-server skips them, end with "\r\n" and stay below
 * AOF_LINE_SIZE_MAX bytes; what does not fit takes several lines. Pure functions: any thread.
 */
#pragma once

#include "core/keyslot.h"
#include "core/slice.h"

/** Every line is shorter, its end included. redis-server 7.0 refuses more than 1,023 bytes. */
#define AOF_LINE_SIZE_MAX 1000
/** Longest line that redis-server skips, its end included. */
#define AOF_FOREIGN_LINE_SIZE_MAX 1023
/** Shards have numbers below. */
#define AOF_SHARD_COUNT_MAX 1024
/** Longest check line or closing line. */
#define AOF_CHECK_SIZE_MAX 128

/** When bytes have to be on disk (`appendfsync`). */
enum aof_policy {
    AOF_POLICY_ALWAYS,   /* before the reply leaves */
    AOF_POLICY_EVERYSEC, /* about a second later */
    AOF_POLICY_NO,       /* when the kernel likes */
};

/* ---- writing; each function returns how many bytes it has put into `out` ---- */

/** What a file of ours begins with. */
struct aof_segment_head {
    uint32_t shard_count;
    uint32_t shard;
    uint64_t generation;
    /** Of the run of the machine (process_boot_id()): what was written in this run is still there
     * while it lasts, whatever became of the process. 0: not known. */
    uint64_t boot;
};

/** More than any head takes. */
size_t aof_segment_size_max(void);

/** The first line, and more if the slots' ranges need them: those that `slot_owner` (SLOT_COUNT
 * numbers of shards) gives to head->shard; NULL: all slots. */
size_t aof_segment_format(char *out, const struct aof_segment_head *head,
                          const uint16_t *slot_owner);

/** A part of a transaction over several shards. Its policy is that under which the transaction
 * runs, the same in all its parts. */
struct aof_part {
    uint64_t ticket;
    enum aof_policy policy;
    const uint16_t *participants; /* shards, this one too */
    uint32_t participant_count;
    bool is_empty; /* keys were only read: no command follows */
};

size_t aof_part_size_max(const struct aof_part *part);

/** What stands in front of MULTI or of the one command (a SELECT may stand between), or of nothing
 * if the part is empty. */
size_t aof_part_format(char *out, const struct aof_part *part);

/** How often the bytes between two check lines are hashed is the writer's affair: XXH3_64bits()
 * over all of them in order. */
uint64_t aof_bytes_sum(struct slice bytes);

/**
 * A check line for the `size` bytes in front of it, which follow the last check line or the file's
 * start; `bytes_sum` is their XXH3 (64 bits, no seed). `synced` is the offset in this file before
 * which all is known to be on disk, all bytes of earlier files of this shard included; at most
 * where those `size` bytes begin. The sum in the line covers the numbers too. `out` has room for
 * AOF_CHECK_SIZE_MAX bytes.
 */
size_t aof_check_format(char *out, uint64_t size, uint64_t bytes_sum, uint64_t synced);

/** Make a check line say that nothing is known to be on disk, in as many bytes, with a sum that
 * fits. Returns its `size`: how many bytes in front of it it covers. */
uint64_t aof_check_forget_synced(char *line, size_t line_size);

/**
 * The last line of a file that is whole and on disk, directly behind a check line (or the start):
 * `offset` is where it begins. What follows has been appended by somebody else (redis-server), and
 * is read although no check line vouches for it. Without it such bytes are a torn tail.
 */
size_t aof_closed_format(char *out, uint64_t offset);

/**
 * All parts of all transactions with tickets below `ticket` are in their files and on disk (synced)
 * in every segment, so that recovery need not look for them. `out` has room for AOF_LINE_SIZE_MAX.
 */
size_t aof_complete_format(char *out, uint64_t ticket);

/** The time, as redis-server writes it (aof-timestamp-enabled). `out` as above. */
size_t aof_stamp_format(char *out, int64_t now_s);

/* ---- reading ---- */

enum aof_note_kind {
    AOF_NOTE_OTHER,    /* somebody's comment, or a line of a newer version */
    AOF_NOTE_WRONG,    /* ours by its first word, but not as we write it */
    AOF_NOTE_SEGMENT,  /* shard_count, shard, generation, list = slots */
    AOF_NOTE_SLOTS,    /* list = more slots */
    AOF_NOTE_PART,     /* ticket, policy, list = participants, is_more */
    AOF_NOTE_EMPTY,    /* the same */
    AOF_NOTE_CHECK,    /* size, sum, synced */
    AOF_NOTE_CLOSED,   /* synced */
    AOF_NOTE_COMPLETE, /* ticket */
    AOF_NOTE_STAMP,    /* time_s */
};

struct aof_note {
    enum aof_note_kind kind;
    bool is_more; /* the next line belongs to it */
    enum aof_policy policy;
    uint32_t shard_count;
    uint32_t shard;
    uint64_t generation;
    uint64_t boot;
    uint64_t ticket;
    uint64_t size;
    uint64_t sum;
    uint64_t synced;
    int64_t time_s;
    struct slice list; /* of the line's bytes, checked: aof_list_next() gives its numbers */
};

/** Read a line, which begins with '#' and ends with '\n'. */
void aof_note_parse(struct aof_note *note, struct slice line);

/** Take the next number or range off a list; false at its end. */
bool aof_list_next(struct slice *list, uint32_t *first, uint32_t *last);

/** Are the bytes those that the check line is about? */
bool aof_check_is_right(const struct aof_note *note, uint64_t bytes_sum);
