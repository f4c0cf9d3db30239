/*
 * loader_internal.h: what the rooms of the loader share: loader, loader_files, loader_rdb,
 * loader_aof, loader_run, loader_report.
 */
#pragma once

#include "core/file.h"
#include "core/mailbox.h"
#include "net/output.h"
#include "persist/aof_manifest.h"
#include "persist/aof_reader.h"
#include "persist/libraries.h"
#include "persist/rdb_file_read.h"
#include "persist/recovery.h"
#include "shard/lane.h"
#include "shard/loader.h"
#include "shard/request.h"
#include "shard/session.h"
#include "shard/shard.h"
#include "shard/value/codec.h"

#include <errno.h>
#include <stdatomic.h>

/** Commands or keys that are looked at together, so that their cache misses overlap. */
#define LOADER_BATCH_MAX 32
/** Arguments of a batch; a command with more is a batch of its own. */
#define LOADER_ARGUMENTS_MAX 512
/** What a turn may take while files are loaded: nobody is served yet who would mind, and mail for
 * commands over several cores does not wait longer than this. */
#define LOADER_TURN_NS 2000000

struct load;

/** One file, mapped; the order of files is that in which every core walks them. */
struct load_file {
    char *path;
    struct file_map map;
    bool is_mapped;
    bool is_aof;    /* it may begin with an RDB nevertheless */
    bool is_base;   /* of an AOF folder */
    bool is_rdb;    /* it begins with one */
    bool keeps_all; /* of an AOF: keys whose time is over stay */
    uint64_t base;  /* the position of its first byte, all files behind each other */
    uint64_t size;  /* what is loaded of it */
    /* ---- RDB with an index ---- */
    bool has_index;
    struct rdb_index index;
    /** Chunks with keys that are not those of the core that walked them. */
    _Atomic bool *has_foreign;
    /** Cores that have walked their chunks. */
    _Atomic uint32_t walked_count;
    /* ---- AOF; offsets count from behind the RDB ---- */
    bool is_scanned;
    bool is_decided;
    bool has_place; /* the manifest says whose it is */
    uint64_t generation;
    uint32_t shard;
    uint64_t rdb_size; /* where its RDB ends, 0: it has none */
    struct recovery_segment segment;
    struct recovery_verdict verdict;
};

enum load_phase {
    LOAD_SCAN,  /* look at segments */
    LOAD_PLAY,  /* keys and commands */
    LOAD_LEAVE, /* all are done */
};

/** A command that may name a time as so many seconds from now: effects never do, but files of
 * others can hold it. */
struct load_timed {
    const struct command *command;
    const char *words[2]; /* one of them among the arguments; NULL: always */
};
#define LOADER_TIMED_MAX 8

/** One load; the home core's, read by all. */
struct load {
    /* ---- fixed while a phase lasts ---- */
    struct shard *home;
    enum loader_source source;
    bool is_merge;               /* keys take the place of those that are there */
    struct libraries *libraries; /* the home core's */
    loader_done_fn *done;
    void *context;
    enum load_phase phase;
    uint32_t core_count;
    struct loader *cores;
    struct load_file *files;
    uint32_t file_count;
    uint64_t size; /* of all files */
    int64_t start_ms;
    uint64_t start_ns;
    uint64_t play_ns;
    uint64_t ticket_next;
    /** Rows that are played key by key. */
    const struct command *mset;
    const struct command *del;
    const struct command *unlink;
    const struct command *select;
    struct load_timed timed[LOADER_TIMED_MAX];
    /* ---- home core ---- */
    uint32_t waiting_count; /* cores that have not ended the phase */
    uint64_t report_ns;
    struct loader_result result;
    /* ---- any core ---- */
    _Alignas(CACHE_LINE_SIZE) _Atomic uint32_t scan_next; /* the next file to be scanned */
    /** Somebody has failed, and has written `error` and `text` of the result if he was the first:
     * all end early. */
    _Atomic bool is_failed;
    _Atomic bool is_blamed;
    _Atomic bool has_told_error; /* of commands that were answered with one */
};

enum loader_stage {
    STAGE_OPEN,       /* the next file */
    STAGE_RDB_OWN,    /* chunks that this core walks for all */
    STAGE_RDB_WAIT,   /* until all cores have */
    STAGE_RDB_OTHERS, /* chunks of others that hold keys of this core */
    STAGE_RDB_WHOLE,
    STAGE_AOF,
    STAGE_END,
};

/** A key of an RDB on its way into the keyspace. */
struct loader_key {
    struct slice key;
    uint64_t hash;
    uint64_t offset;
    int64_t deadline_ms;
    uint32_t access;
    uint16_t db;
    uint16_t slot;
    struct value value;
    char *key_copy; /* of a key that does not lie in the map; else NULL */
    char text[CODEC_TEXT_SIZE];
};

/** One core's part. */
struct loader {
    struct mail mail; /* to the core, and home again when it has ended its phase */
    struct load *load;
    struct shard *shard;
    bool is_homeward; /* the next time that the mail comes, it comes home */
    bool is_active;   /* the phase is under way here */
    enum loader_stage stage;
    uint32_t file_index;
    uint16_t db;
    /* ---- RDB ---- */
    struct rdb_file_reader rdb;
    bool is_rdb_open;
    uint32_t chunk_index;
    struct codec_options options;
    struct loader_key *keys; /* LOADER_BATCH_MAX */
    uint32_t key_batch_count;
    /* ---- AOF ---- */
    struct aof_reader aof;
    bool is_aof_open;
    uint64_t aof_start; /* in the file, of the reader's bytes */
    uint32_t hole_index;
    struct request *requests; /* LOADER_BATCH_MAX */
    uint64_t *offsets;        /* of the commands */
    struct slice *storage;    /* LOADER_ARGUMENTS_MAX */
    uint32_t request_count;
    uint32_t storage_used;
    struct output output; /* of what is played here: errors only */
    /* ---- a command over several cores ---- */
    bool is_joint; /* one stands at joint_begin, and nothing behind it may be played */
    bool is_joint_mine;
    bool is_joint_started;
    uint16_t joint_runner;
    bool is_joint_for_all;
    uint32_t wait_count;  /* looks at other cores' positions, in vain, behind each other */
    uint64_t joint_begin; /* positions */
    uint64_t joint_end;
    uint64_t joint_offset; /* among the reader's bytes */
    struct request joint;
    uint64_t *joint_owners; /* a bit for each core */
    struct session session;
    struct lane lane;
    struct output lane_output;
    /* ---- written here, read by all ---- */
    /** All that stands before it is loaded, as far as it is this core's. */
    _Alignas(CACHE_LINE_SIZE) _Atomic uint64_t position;
    _Atomic uint64_t held_count; /* keys in the core's keyspace */
    /* ---- written here, read when the phase has ended ---- */
    uint64_t key_count;
    uint64_t expired_count;
    uint64_t command_count;
    uint64_t error_count;
};

static inline bool
load_has_failed(struct load *load)
{
    return atomic_load_explicit(&load->is_failed, memory_order_relaxed);
}

/** The home core speaks for all where everybody meets the same. */
static inline bool
loader_is_home(const struct loader *loader)
{
    return loader->shard == loader->load->home;
}

static inline struct load_file *
loader_file(struct loader *loader)
{
    return &loader->load->files[loader->file_index];
}

/** Up to here this core needs nothing more of the files. */
static inline void
loader_pass(struct loader *loader, uint64_t position)
{
    /* Pairs with the acquire in loader_aof.c: who waits for it sees what was played before. */
    atomic_store_explicit(&loader->position, position, memory_order_release);
}

/** Another core is not there yet: look again next turn. It may need this very CPU. */
void loader_wait(struct loader *loader);

/* ---- loader_report.c ---- */

/** End the load. The first who fails says why; `file` may be NULL, `offset` UINT64_MAX. Returns
 * false. Any core. */
bool load_fail(struct load *load, int error, const struct load_file *file, uint64_t offset,
               const char *format, ...) PRINTF_LIKE(5, 6);
void load_log_begin(struct load *load);
/** Now and then a line of progress, and the memory of what has been read goes. Home core. */
void load_log_progress(struct load *load, uint64_t now_ns);
void load_log_end(struct load *load);

/* ---- loader_files.c ---- */

/** Find and map what `path` names. False: load_fail() has said why. */
MUST_CHECK bool load_files_open(struct load *load, const char *path);
/** Let go of the memory of what no core needs any more. Home core. */
void load_files_drop(struct load *load);
void load_files_close(struct load *load);
/** Is there anything for this core in the file? */
bool loader_wants(const struct loader *loader, const struct load_file *file);
/** Any core: look at segments until none is left. */
void load_files_scan(struct loader *loader);
/** All are scanned: what is to be loaded of each. */
MUST_CHECK bool load_files_decide(struct load *load);
/** After a good load: take what recovery has left out of the files, and keep it aside. */
MUST_CHECK bool load_files_cut(struct load *load);

/* ---- loader_rdb.c ---- */

/** Begin with the RDB of the current file. */
void loader_rdb_open(struct loader *loader);
/** Keys until the time is over (true), or until the stage has ended: stage says what comes. */
bool loader_rdb_step(struct loader *loader, uint64_t until_ns);
/** Free what is under way. */
void loader_rdb_close(struct loader *loader);

/* ---- loader_aof.c ---- */

void loader_aof_open(struct loader *loader, uint64_t begin);
bool loader_aof_step(struct loader *loader, uint64_t until_ns);
void loader_aof_close(struct loader *loader);

/* ---- loader_run.c ---- */

/** Run a command whose keys are all this core's, with no client and no statistics. The reply is in
 * loader->output if it was an error, which answers false. */
bool loader_run(struct loader *loader, const struct request *request);
