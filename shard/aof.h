/*
 * aof.h: a shard's append-only file: the reader of the journal that writes it down as commands.
 * Owner thread only. Which files there are, and what they are called, is shard/persistence.h's
 * affair, which hands them in; docs/files.md has the format.
 */
#pragma once

#include "core/mailbox.h"
#include "persist/aof_writer.h"
#include "shard/journal.h"

/** Bytes that are not written yet, from which on clients wait. */
#define AOF_CLOGGED_SIZE (UINT64_C(256) << 20)

/** What a turn has made, and how far the writer must be for it to be safe. */
struct aof_portion {
    uint64_t mark;
    uint64_t offset;
};

/** From a shard's log to core 0, and back: MAIL_AOF. */
enum aof_mail_kind {
    AOF_MAIL_OPEN,      /* to the shard: its next file */
    AOF_MAIL_FAILED,    /* to core 0: a file is spoiled */
    AOF_MAIL_RESTART,   /* to the shard: the spoiled file, repaired */
    AOF_MAIL_RECOVERED, /* to core 0: the repaired file takes bytes again */
    AOF_MAIL_CUT,       /* to core 0: all before the shard's next cut is on disk */
    AOF_MAIL_CLOSED,    /* to core 0: all is written, the log has ended */
    /* ---- marks: shard/aof_mark.c ---- */
    AOF_MAIL_ASK,      /* to the shard: its oldest transaction whose parts are to come */
    AOF_MAIL_ANSWER,   /* to core 0: its ticket */
    AOF_MAIL_COMPLETE, /* to the shard: all tickets below are on disk everywhere */
};

struct aof_mail {
    struct mail mail;
    enum aof_mail_kind kind;
    uint16_t shard;
    int fd;
    int error;
    uint64_t size;        /* of the file */
    uint64_t file_number; /* the writer's: 0 for the first, one more for each cut */
    char what[16];        /* of an error */
    uint64_t round;       /* marks: the question that it belongs to */
    uint64_t ticket;
};

/** Is it aof_mark_receive()'s? */
static inline bool
aof_mail_is_marks(const struct aof_mail *mail)
{
    return mail->kind == AOF_MAIL_ASK || mail->kind == AOF_MAIL_ANSWER ||
           mail->kind == AOF_MAIL_COMPLETE;
}

/** How often core 0 asks which transactions are complete. */
#define AOF_MARK_INTERVAL_MS 1000

/** Core 0's question which transactions are complete. */
struct aof_mark {
    uint64_t round;
    uint64_t last_ticket; /* the next one when it was asked: none was drawn since, none is asked */
    uint32_t waiting_count;  /* answers that are to come */
    uint64_t ticket;         /* the lowest that was answered */
    struct aof_point *point; /* that has to be on disk before it is told; NULL: none */
    int64_t next_ms;
};

struct aof {
    struct shard *shard;
    struct journal_reader reader;
    struct aof_writer writer;
    uint32_t db; /* that the file has selected */
    uint64_t generation;
    uint64_t portion_offset; /* of the last portion */
    struct aof_portion *portions;
    uint32_t portion_first;
    uint32_t portion_count;
    uint32_t portion_capacity;
    int64_t stamp_s; /* of the last time in the file (aof-timestamp-enabled) */
    /* ---- appendfsync always: how many commands share a sync ---- */
    uint32_t gathered_count; /* groups since the last sync was started */
    uint32_t expected_count; /* of the last one */
    uint64_t gather_start_ns;
    bool is_gathering;     /* it is worth waiting for more */
    uint64_t *cut_offsets; /* ends of files that are not known to be on disk, rising */
    uint32_t cut_count;
    struct aof_mark mark; /* shard 0's */
    bool has_parts;       /* of transactions, since the last mark */
    bool is_closing;
    bool is_recovering;     /* a repaired file has not taken anything yet */
    struct aof_mail *early; /* AOF_MAIL_OPEN for a cut that has yet to come; NULL: none */
};

/** Begin a log in generation `generation`: all shards are closed, or nobody is served yet. Changes
 * are journaled from here on; its first file comes with AOF_MAIL_OPEN. */
void aof_start(struct shard *shard, uint64_t generation);

/** End it: AOF_MAIL_CLOSED follows when all is in the files, and shard->aof is NULL. Changes are
 * journaled no more. */
void aof_stop(struct shard *shard);

/** The end of a turn: what was journaled is on its way to the file. */
void aof_flush(struct shard *shard);

/** Is so much waiting to be written that clients have to? */
static inline bool
aof_is_clogged(const struct shard *shard)
{
    return UNLIKELY(shard->aof != NULL) &&
           shard->aof->writer.appended_offset - shard->aof->writer.written_offset >
               AOF_CLOGGED_SIZE;
}

/** Shard 0: ask which transactions are complete, unless that is being asked. */
void aof_mark_begin(struct aof *aof);
/** Shard 0: tell it, if the time has come. */
void aof_mark_advance(struct aof *aof);
/** A mail of theirs has arrived; there may be no log any more. */
void aof_mark_receive(struct shard *shard, struct aof_mail *mail);

/** When aof_flush() is to be called though nothing happens; INT64_MAX: never. */
int64_t aof_next_ms(const struct shard *shard);

/** AOF_MAIL_OPEN or AOF_MAIL_RESTART has arrived. */
void aof_receive(struct shard *shard, struct aof_mail *mail);

/** `appendfsync` has another value, or a log begins or ends: who waits for what. */
void aof_configure(struct shard *shard);

/** Put into shard->told how far the log has come. */
void aof_tell(struct shard *shard);

/** What the logs of all shards hold at some moment. */
struct aof_point {
    uint32_t shard_count;
    uint64_t offsets[];
};

/** Now, on any core: all that this core has been told of, its own journal included; where the log
 * has yet to begin, its base. heap_free() it. */
struct aof_point *aof_point_new(struct shard *shard);
/** Is all of that on disk? As far as the shards have told. While the same log goes on. */
bool aof_point_is_synced(const struct shard *shard, const struct aof_point *point);

/** A command as the file has it, appended to `bytes`. Returns its size; `bytes` NULL: only that. */
size_t aof_command_format(char *bytes, const struct slice *argv, uint32_t argc);
