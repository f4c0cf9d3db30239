/*
 * commandlog.h: commands that took long, came large or were answered at length: SLOWLOG,
 * COMMANDLOG. Each core keeps the entries of the clients that it serves. Owner: the shard's core,
 * unless told otherwise.
 */
#pragma once

#include "shard/call.h"
#include "shard/commandlog_data.h"
#include "shard/shard.h"

/** An executed command in a log. */
struct commandlog_entry {
    struct commandlog_entry *newer;
    struct commandlog_entry *older;
    enum commandlog_type type;
    uint64_t id;
    uint64_t session_id; /* whose command it was */
    int64_t unix_s;
    uint64_t value;  /* microseconds, or bytes */
    char *arguments; /* RESP, of both protocols: the array of what is shown of them */
    size_t arguments_size;
    char *client; /* RESP: the client's address and its name; NULL: not settled */
    size_t client_size;
};

/** Thresholds have changed: at the start, and in each shard's part of CONFIG SET. */
void commandlog_configure(struct shard *shard);
/** Frees all entries; the logs are empty and valid afterwards. */
void commandlog_destroy(struct shard *shard);

/** Look at the next command whatever time it takes: it brings or replies bytes that cost none. */
static inline void
commandlog_arm(struct shard *shard)
{
    shard->commandlog.notice_ticks = 0;
}

/** A turn begins. */
static inline void
commandlog_turn(struct shard *shard)
{
    shard->commandlog.notice_ticks = shard->commandlog.usual_ticks;
}

/** Is a command that took `ticks` to be looked at? */
static inline bool
commandlog_wants(const struct shard *shard, uint64_t ticks)
{
    return ticks >= shard->commandlog.notice_ticks;
}

/** A command has run: enter it wherever a threshold is reached, and tell the latency monitor. Its
 * reply is complete and its arguments are still there. */
void commandlog_notice(struct call *call, uint64_t ticks);

/** The entries whose client this core does not know, for whoever travels to its core; NULL: none.
 */
static inline struct commandlog_entry *
commandlog_take(struct shard *shard)
{
    struct commandlog_entry *entries = shard->commandlog.unsettled;
    shard->commandlog.unsettled = NULL;
    return entries;
}

/** Put back what commandlog_take() gave, when the entries of a command within another one have been
 * taken. */
static inline void
commandlog_restore(struct shard *shard, struct commandlog_entry *entries)
{
    ASSERT(shard->commandlog.unsettled == NULL);
    shard->commandlog.unsettled = entries;
}

/** Put `entries` in front of others that travel. */
struct commandlog_entry *commandlog_join(struct commandlog_entry *entries,
                                         struct commandlog_entry *others);

/** Enter what commandlog_take() gave; most of it, or all, is the client's, whose core this is.
 * Consumes the entries. */
void commandlog_settle(struct shard *shard, struct commandlog_entry *entries,
                       const struct session *client);

/** Drop the entries that have made room for others on any core. Returns how many are left. */
uint64_t commandlog_trim(struct shard *shard, enum commandlog_type type);
void commandlog_clear(struct shard *shard, enum commandlog_type type);
