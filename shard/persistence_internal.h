/*
 * persistence_internal.h: what the rooms of persistence share: persistence (who asks for what, and
 * when), persistence_cut (what all shards do at one instant), persistence_save (a snapshot from cut
 * to rename), persistence_log (which files the log has), persistence_folder (are they still there),
 * persistence_load (the start).
 */
#pragma once

#include "core/file.h"
#include "core/ring.h"
#include "net/output.h"
#include "persist/aof_manifest.h"
#include "persist/libraries.h"
#include "shard/aof.h"
#include "shard/command.h"
#include "shard/lane.h"
#include "shard/loader.h"
#include "shard/persistence.h"
#include "shard/request.h"
#include "shard/session.h"
#include "shard/snapshot.h"

/** What a file is wanted for. */
enum save_kind {
    SAVE_SNAPSHOT, /* dump.rdb */
    SAVE_BASE,     /* the log's beginning */
};

enum save_state {
    SAVE_IDLE,
    SAVE_OPENING, /* the file is being made */
    SAVE_CUTTING, /* all shards are being closed */
    SAVE_WALKING, /* the shards write */
    SAVE_ENDING,  /* head, tail, sync, rename */
};

/** What becomes of the shards' logs when all shards are closed. */
enum log_change {
    LOG_STAYS,
    LOG_CUTS,   /* the next file */
    LOG_BEGINS, /* there was none */
};

/** What all shards do at one instant, closed; the `shared` of the internal command's parts. */
struct cut {
    struct snapshot_job *job; /* begin to write it; NULL: none */
    enum log_change log;
    uint64_t generation; /* LOG_BEGINS: of the first files */
    bool is_flush;       /* empty all databases */
    bool begins_load;    /* deadlines do not count from now on */
    bool ends_load;
    _Atomic uint64_t change_count; /* of all shards, as of the cut */
    _Atomic uint64_t key_count;    /* if there is a job */
};

typedef void persistence_done_fn(struct persistence *persistence, int32_t result);

/** One piece of work on the file thread. */
struct file_work {
    struct ring_op op;
    struct persistence *persistence;
    persistence_done_fn *done;
};

struct save {
    enum save_state state;
    enum save_kind kind;
    struct snapshot_job *job;
    uint32_t over_count; /* parts */
    int fd;
    bool is_cancelled;
    bool has_checksum;
    bool is_commands; /* a base without preamble */
    /** Libraries of functions: between the head and the first chunk. */
    struct rdb_writer libraries;
    char data_folder[FILE_PATH_SIZE_MAX]; /* `dir` */
    bool has_returned;                    /* it was gone, and is there again */
    char temporary[FILE_PATH_SIZE_MAX];
    char path[FILE_PATH_SIZE_MAX];
    struct file_work work;
    int64_t start_ms;
    uint64_t start_change_count;
    uint64_t used_memory;
    uint64_t written_size;
    uint64_t written_key_count;
    uint64_t key_total; /* that are to be written */
    char folder[FILE_PATH_SIZE_MAX];
    uint64_t cut_generation; /* SAVE_BASE: the log's files from here on stay */
    uint64_t cut_log_size;
};

/** New files for all shards, in order of the cuts. */
struct log_task {
    struct log_task *next;
    uint64_t cut_number; /* shards that have told of so many cuts may have it */
    uint64_t generation; /* of the shards' files; what is between has one less */
    char *bytes;         /* to stand between: a flush, a swap; NULL: nothing */
    size_t size;
};

/** A shard's file that is spoiled. */
struct log_repair {
    struct log_repair *next;
    struct file_work work;
    uint16_t shard;
    uint64_t size;
    char data_folder[FILE_PATH_SIZE_MAX];
    char folder[FILE_PATH_SIZE_MAX];
    char path[FILE_PATH_SIZE_MAX];
    bool is_running;
    bool was_missing; /* the file is gone, and its place is taken by an empty one */
};

/** The manifest with a new base, and what it replaces. */
struct log_base {
    char temporary[FILE_PATH_SIZE_MAX];
    char manifest_path[FILE_PATH_SIZE_MAX];
    struct aof_manifest manifest;
    char *text; /* with what it replaces as history */
    size_t text_size;
    char *clean_text;
    size_t clean_text_size;
    char **unlinks;
    uint32_t unlink_count;
    uint64_t base_size;
    uint64_t cut_size;
};

struct log_file {
    struct log_file *next;
    uint64_t number; /* the shard's writer's */
    char *name;
};

struct log_shard {
    struct log_file *files; /* newest first */
    uint64_t next_number;
    uint64_t cut_count; /* before which all is on disk */
    bool is_failed;
};

struct logs {
    bool is_on;
    bool is_listed; /* the manifest names the files: not before the first base is there */
    bool is_ending;
    bool is_lost;        /* somebody has removed its files; writes are refused until a rewrite */
    uint32_t open_count; /* shards whose log has not ended */
    uint64_t generation; /* of the newest files that were asked for */
    uint64_t cut_count;  /* since the logs began */
    struct aof_manifest manifest;
    struct log_task *tasks;
    struct log_task *tasks_last;
    bool is_task_running;
    int64_t task_retry_ms;
    struct file_work task_work;
    struct log_task_files *task_files; /* of the one that runs */
    struct log_repair *repairs;
    int64_t repair_ms;
    struct log_shard *shards;
    struct log_base *base; /* the manifest is getting another one */
    uint64_t rebase_generation;
    bool is_rebase_due;
    uint64_t base_size;  /* of the log behind the last rewrite or load */
    uint64_t start_size; /* bytes in the files when the shards' counters began */
    int last_error;
    struct folder_look *look; /* is being looked whether the files are there */
    int64_t look_ms;          /* when that is done next */
};

struct persistence {
    struct shard *shard;
    struct node *node;
    /* ---- the internal command ---- */
    struct session session;
    struct lane lane;
    struct output output;
    struct cut cut;
    persistence_done_fn *cut_done;
    struct request cut_request;
    /** Of functions: what the files held, kept for the files to come. Nothing else here changes
     * them, and no load runs while a file is written. */
    struct libraries libraries;
    /* ---- what goes on ---- */
    struct save save;
    struct logs logs;
    struct part *save_part;     /* SAVE, which waits */
    struct part *reload_part;   /* DEBUG RELOAD or LOADAOF */
    struct part *shutdown_part; /* SHUTDOWN */
    bool is_reload_saving;
    bool is_reload_flushing;
    bool is_reload_merging;
    bool is_reload_log;
    bool has_reload_failed;
    const char *reload_failure; /* what is answered then */
    bool is_shutting_down;
    bool is_last_save; /* what is being saved is what the end waits for */
    uint32_t shutdown_flags;
    bool is_save_scheduled;
    bool is_rewrite_scheduled;
    bool is_log_wanted; /* CONFIG SET appendonly yes: begins with the next rewrite */
    /* ---- for INFO ---- */
    int64_t last_save_s;
    uint64_t saved_change_count;
    bool has_save_failed;
    int64_t save_try_ms;
    int64_t last_save_time_s;
    uint64_t save_count;
    int64_t last_rewrite_time_s;
    uint64_t rewrite_count;
    uint64_t rewrite_failure_count;
    bool has_rewrite_failed;
    uint64_t loaded_key_count;
    uint64_t loaded_expired_count;
};

/** Run `work->op` as `run` on the file thread; done() on this one. `run` gets work's container by
 * its own means. */
void persistence_work(struct persistence *persistence, struct file_work *work, ring_work_fn *run,
                      void *context, persistence_done_fn *done);

/* ---- persistence_cut.c ---- */

/** The session that it sends its command with. */
void persistence_cut_create(struct persistence *persistence);
/** Close all shards and do what persistence->cut says; done(0) when they are open again. One at a
 * time. */
void persistence_cut(struct persistence *persistence, persistence_done_fn *done);

uint64_t persistence_change_count(const struct persistence *persistence);
uint64_t persistence_memory_used(const struct persistence *persistence);
uint64_t persistence_log_size(const struct persistence *persistence);

/** `dir`/appenddirname, and a file in it. */
void persistence_log_folder(const struct persistence *persistence, char path[FILE_PATH_SIZE_MAX]);
void persistence_log_path(const struct persistence *persistence, const char *name,
                          char path[FILE_PATH_SIZE_MAX]);

/* ---- persistence.c ---- */

/** A file is there, or is not: tell who waits, and begin what is due. */
void persistence_saved(struct persistence *persistence, enum save_kind kind, int error);

/* ---- persistence_save.c ---- */

/** Nothing is being saved. `log`: what the cut does to the logs. */
void save_begin(struct persistence *persistence, enum save_kind kind, enum log_change log);
void save_part_over(struct persistence *persistence);
/** Give it up; persistence_saved() follows. */
void save_cancel(struct persistence *persistence);
/** The process ends, and no shard writes any more: nothing of it stays. */
void save_abandon(struct persistence *persistence);

/* ---- persistence_log.c ---- */

/** The logs begin in generation logs.generation, at a cut that is about to come. */
void logs_begin(struct persistence *persistence, bool is_listed);
/** What logs_begin() would begin with. */
uint64_t logs_next_generation(const struct persistence *persistence);
/** New files for all shards from `generation` on. */
void logs_add(struct persistence *persistence, uint64_t generation, char *bytes, size_t size);
void logs_tick(struct persistence *persistence);
void logs_receive(struct persistence *persistence, struct aof_mail *mail);
/** The base is there under `name`: let the manifest begin with it and drop what was before
 * `generation`. persistence_saved() follows. */
void logs_rebase(struct persistence *persistence, uint64_t generation);
/** The name that the next base has. */
void logs_base_name(const struct persistence *persistence, bool is_commands,
                    char path[FILE_PATH_SIZE_MAX]);
void logs_destroy(struct persistence *persistence);
/** Its files are gone: writes are refused until others are there. */
void logs_lose(struct persistence *persistence);
/** They are there. */
void logs_found(struct persistence *persistence);

/* ---- persistence_folder.c ---- */

/** Now and then: look for the log's files, and have them written anew if they are gone. */
void folder_tick(struct persistence *persistence);

/* ---- persistence_load.c ---- */

/** What the configuration names now; done() when it is loaded. */
void persistence_load(struct persistence *persistence, bool is_log);
