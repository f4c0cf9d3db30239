/*
 * disk.h: the simulated disk, and what is known of the journals that are written to it. disk.c has
 * the files and what a stop of the machine leaves of them, witness_disk.c what must be among that.
 */
#pragma once

#include "sim.h"

#include "shard/aof.h"
#include "shard/journal.h"

/** Cuts that nobody has asked for, in one history. */
#define DISK_CUTS_MAX 6
/** The first file's; one more cut, two more. */
#define DISK_GENERATION_FIRST 2
#define DISK_BOOT_ID 1

/** A file of a shard's log, or one with what concerns all shards. */
struct disk_file {
    struct sim_bytes bytes; /* that the kernel has */
    size_t synced_size;     /* of them: that the power cannot take */
    uint32_t shard;
    uint64_t generation;
    bool is_barrier;
    bool is_closed;
};

/** At most one of each is in flight for each shard. */
struct disk_write {
    struct ring_op *op; /* NULL: none */
    const struct iovec *vector;
    uint32_t vector_count;
    size_t size; /* of all parts */
    int fd;
};

struct disk_sync {
    struct ring_op *op;
    int fd;
    size_t size; /* of the file when it began */
};

/** New files that are to be made: a cut's. */
struct disk_task {
    struct disk_task *next;
    uint32_t cut_number; /* shards that have told of so many cuts may have it */
    uint64_t generation;
    char *bytes; /* of the barrier; NULL: none */
    size_t size;
};

/** What has become of a group in a crash. */
enum disk_fate { DISK_LOST, DISK_DROPPED, DISK_THERE };

/** What one command, EXEC or part has changed on a shard, as the journal has it. */
struct disk_group {
    struct sim_op *op; /* NULL: nobody's (expiry) */
    uint64_t ticket;   /* of a part; 0: it is none */
    uint32_t participant_count;
    uint64_t generation;
    size_t record_first; /* in the log */
    uint32_t record_count;
    uint32_t changed[SIM_DATABASES]; /* bits of keys */
    uint32_t touched[SIM_DATABASES]; /* and those that its command has looked at */
    enum disk_fate fate;             /* of the crash that is being looked at */
};

struct disk_barrier {
    struct sim_op *op;
    uint64_t generation;
};

struct disk_shard {
    struct disk_write write;
    struct disk_sync sync;
    uint32_t opened_count; /* files that were handed out */
    uint32_t cut_count;    /* cuts before which all is on disk */
    struct disk_group *groups;
    uint32_t group_count;
    uint32_t group_capacity;
    uint32_t read_count;     /* of groups: read from the journal */
    struct sim_op *running;  /* what the next group is of */
    struct sim_op *returned; /* whose RETURN is being carried out */
    bool is_cut_due;         /* DISK_FAULT_CUT_OPEN */
    /** The last group that has changed a key, and one more. */
    uint32_t changed[SIM_DATABASES][SIM_KEYS_MAX];
};

struct sim_disk {
    struct sim *sim;
    struct disk_shard shards[SIM_SHARDS_MAX];
    struct disk_file *files; /* in the order of the manifest */
    uint32_t file_count;
    uint32_t file_capacity;
    uint32_t made_cut_count; /* that nobody has asked for */
    uint32_t cut_count;
    struct disk_task *tasks;
    struct disk_task *tasks_last;
    struct disk_barrier *barriers;
    uint32_t barrier_count;
    uint64_t crash_count;
};

/** What the files say after a crash is compared with the journals, and with what was promised.
 * `remains` are their bytes, in the order of disk->files. witness_disk.c */
void disk_check(struct sim_disk *disk, const struct sim_bytes *remains, bool is_power_lost);

/** A group is closed: whose it is, and what it changes. witness_disk.c */
void disk_group_closed(struct sim_disk *disk, struct shard *shard, const struct journal_part *part,
                       size_t effects_offset);
