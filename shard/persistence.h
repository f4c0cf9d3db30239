/*
 * persistence.h: what becomes of the data when the process ends: the snapshot, the append-only
 * file, and how both are read at the start. Everything here runs on core 0, which leads; the
 * other cores take part by shard/snapshot.h, shard/aof.h and shard/loader.h.
 */
#pragma once

#include "shard/loader.h"
#include "shard/shard.h"

struct mail;
struct part;
struct output;

/** On core 0, when the cores are made and before they run. */
struct persistence *persistence_new(struct shard *shard);
void persistence_delete(struct persistence *persistence);

/** The process ends: whose command waits for something waits no more. */
void persistence_let_go(struct persistence *persistence);

/** Load what the configuration names, then begin the log if there is to be one. Clients get
 * -LOADING until it is done (node->is_loading). Errors end the process. */
void persistence_begin(struct persistence *persistence);

/** Some ten times a second: save points, growth of the log, what has failed and is tried again. */
void persistence_tick(struct persistence *persistence);

/** At the end of the process, in the place of persistence_tick(). */
void persistence_tick_end(struct persistence *persistence);
/** Is anything of its own under way on the file thread? */
bool persistence_is_working(const struct persistence *persistence);

/** Does it need persistence_tick() though no client is there? */
bool persistence_is_waiting(const struct persistence *persistence);

/** MAIL_SNAPSHOT, and MAIL_AOF for core 0. */
void persistence_receive(struct persistence *persistence, struct mail *mail);

/** FLUSHALL: a snapshot that is being written has what is gone now, and is given up. With save
 * points another one begins, so that no file brings it back. Core 0, under closed shards. */
void persistence_flushed(struct persistence *persistence);

/** SIGTERM and SIGINT, as SHUTDOWN without options. */
void persistence_shutdown(struct persistence *persistence, uint32_t flags);

/** CONFIG SET has changed something of the files: shard 0's part of it. */
void persistence_configure(struct persistence *persistence, const struct config *old);

/* ---- commands: shard 0's part of each; the text of an error, or NULL ---- */

/** SAVE, DEBUG RELOAD, SHUTDOWN: the part is answered later (part_put_off()). */
const char *persistence_save(struct persistence *persistence, struct part *part);
const char *persistence_reload(struct persistence *persistence, struct part *part, bool is_saving,
                               bool is_flushing, bool is_merging);
const char *persistence_load_log(struct persistence *persistence, struct part *part);
const char *persistence_shutdown_part(struct persistence *persistence, struct part *part,
                                      uint32_t flags);
const char *persistence_shutdown_abort(struct persistence *persistence);
/** BGSAVE and BGREWRITEAOF. *is_scheduled: later, when what runs now has ended. */
const char *persistence_background_save(struct persistence *persistence, bool may_schedule,
                                        bool *is_scheduled);
const char *persistence_rewrite(struct persistence *persistence, bool *is_scheduled);
int64_t persistence_last_save_s(const struct persistence *persistence);

/** What INFO tells of it, but for what the shards tell themselves. */
struct persistence_facts {
    bool is_known; /* false: there is no persistence */
    bool is_loading;
    bool has_progress;
    bool is_saving;
    bool is_rewriting;
    bool is_rewrite_scheduled;
    bool has_save_failed;
    bool has_rewrite_failed;
    bool has_log;
    bool has_log_failed;
    struct loader_progress progress;
    int64_t spent_s;         /* on what is being written; -1: nothing is */
    uint64_t save_key_total; /* keys that are being written */
    uint64_t saved_change_count;
    int64_t last_save_s;
    int64_t last_save_time_s;
    uint64_t save_count;
    uint64_t loaded_expired_count;
    uint64_t loaded_key_count;
    int64_t last_rewrite_time_s;
    uint64_t rewrite_count;
    uint64_t rewrite_failure_count;
    uint64_t log_start_size;
    uint64_t log_base_size;
};

void persistence_facts(const struct persistence *persistence, struct persistence_facts *facts);

/** INFO's section, NUL-terminated. Returns its size. Any core; all shards have just told
 * (shard_tell()). */
#define PERSISTENCE_INFO_SIZE_MAX 4096
size_t persistence_facts_show(const struct persistence_facts *facts, const struct node *node,
                              char *out, size_t size);

/** A flush or swap with all that was in one EXEC with it, as text: shard 0's log has ended a
 * generation before it and begins one behind it, as all other shards' do. `bytes` becomes
 * persistence's. `is_behind_files`: there were files before it, and AOF_MAIL_CUT tells of each
 * shard when its one is on disk. */
void persistence_log_cut(struct persistence *persistence, uint64_t generation, char *bytes,
                         size_t size, bool is_behind_files);
