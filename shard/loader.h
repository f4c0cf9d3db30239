/*
 * loader.h: from files to keys, at the start and for DEBUG RELOAD and LOADAOF.
 * All cores load together; the core that began it (the home core) leads. While it lasts its caller
 * sees to it that node->is_loading is set, that shard->clock_mask is 0 and that no core keeps
 * effects.
 */
#pragma once

#include "core/base.h"

struct libraries;
struct mail;
struct output;
struct shard;

enum loader_source {
    LOADER_RDB,          /* an RDB file */
    LOADER_RDB_MERGE,    /* the same; its keys take the place of those that are there */
    LOADER_AOF_MANIFEST, /* an AOF folder: `path` is its manifest's */
    LOADER_AOF_FILE,     /* one AOF file without a manifest, as redis-server wrote before 7.0 */
};

#define LOADER_TEXT_SIZE 768

/** What a load has come to. */
struct loader_result {
    int error; /* 0; -ENOENT: there is no such file; else -errno, -EBADMSG where bytes are wrong */
    char text[LOADER_TEXT_SIZE]; /* of the error: file, offset, what to do; already in the log */
    uint64_t key_count;          /* keys that stood in RDB files and were kept */
    uint64_t expired_count;      /* and were left out, since their time was over */
    uint64_t command_count;      /* played from AOF files */
    uint64_t error_count;        /* of these, answered with an error */
    uint64_t cut_size;           /* bytes of AOF files that were set aside by recovery */
    uint64_t ticket_next;        /* above all tickets in the files; node->ticket_next has it too */
    uint64_t size;               /* of all files */
    uint64_t spent_ns;
};

/** On the home core, when all cores are done and hold no map of a file any more. `result` is good
 * during the call only. After an error the keyspaces hold what was read so far. */
typedef void loader_done_fn(void *context, const struct loader_result *result);

/** Load into the keyspaces of all cores, which are empty, or hold what the caller wants to add to.
 * Libraries of functions go into `libraries`, of which the same holds; the home core's until
 * done(). No other load is under way, no client has commands under way, all journals are off.
 * Returns at once, the work is loader_step()'s; done() follows, also after errors. Home core (any
 * core). */
void loader_start(struct shard *home, enum loader_source source, const char *path,
                  struct libraries *libraries, loader_done_fn *done, void *context);

/** Work on this core's part until `until_ns` or a few milliseconds. True: more can be done now.
 * Each core, as background work, while shard->loader is not NULL. */
bool loader_step(struct shard *shard, uint64_t until_ns);

/** MAIL_LOADER has arrived. */
void loader_receive(struct shard *shard, struct mail *mail);

/** Have the load end early, with -ECANCELED. Home core. */
void loader_cancel(struct shard *home);

/** For INFO's loading_* fields and the log: as of about now. Any core. */
struct loader_progress {
    int64_t start_ms;
    uint64_t total_size;
    uint64_t loaded_size;
    uint64_t key_count;
    uint64_t left_s; /* estimated */
};
/** False: nothing is being loaded. */
bool loader_progress(const struct shard *shard, struct loader_progress *progress);
