/*
 * multi.h: what MULTI queues until EXEC, and the keys that a session WATCHes.
 * A queue owns copies of its commands' arguments. It belongs to the session until EXEC, then to the
 * request that runs it, on whatever core that is; made and freed by the core of the connection.
 */
#pragma once

#include "shard/request.h"

struct session;
struct shard;

struct multi_item {
    const struct command *command;
    const struct slice *argv;
    uint32_t argc;
    uint32_t declared_index; /* of its views in the view set's `declared`; see multi_plan() */
    uint32_t declared_count; /* 0: it has no keys, or its arguments do not say them well */
    uint16_t db;             /* selected when it runs */
    struct raw *large_raw;
};

/** A key under WATCH. */
struct multi_watch {
    struct slice key; /* heap */
    uint64_t hash;
    uint16_t slot;
    uint16_t db;
};

struct multi_watches {
    uint32_t count;
    uint32_t capacity;
    struct multi_watch items[];
};

struct multi_block;

#define MULTI_INLINE_ITEMS 12
#define MULTI_INLINE_BYTES 1536

struct multi {
    struct multi_item *items;
    uint32_t count;
    uint32_t capacity;
    uint32_t command_flags; /* of all queued commands */
    bool has_unloadable;    /* one of them does not run while files are loaded */
    bool is_aborted;        /* a command was refused: EXEC will not run the others */
    bool has_local;         /* a queued command needs the session: it runs where that is */
    bool has_whole;         /* a queued command concerns all shards, or keys that are not known */
    uint32_t size;          /* of `bytes` */
    uint64_t memory_size;   /* of all queued arguments, for CLIENT LIST */
    struct multi_block *blocks;
    struct multi_watches *watches; /* taken over by EXEC; NULL: none */
    struct multi_item inline_items[MULTI_INLINE_ITEMS];
    _Alignas(16) char bytes[MULTI_INLINE_BYTES];
};

struct multi *multi_new(void);
/** Frees the arguments, large ones too. The core that made it. NULL is nothing to free. */
void multi_delete(struct shard *shard, struct multi *multi);

/** Copy the request to the end of the queue; large_raw is taken over. */
void multi_add(struct multi *multi, const struct request *request);

/** Which database each command will find selected, beginning with `db`. */
void multi_plan(struct multi *multi, uint16_t db, uint32_t database_count);

/** WATCH: remember the key. */
void multi_watch(struct session *session, uint16_t db, struct slice key);
/** NULL is nothing to free. */
void multi_watches_delete(struct multi_watches *watches);

/** Take the session's watches back at all their owners. Its lane has nothing under way that
 * concerns them. The session's core. */
void multi_unwatch(struct session *session);

/** End of MULTI without EXEC: drop queue and watches. The session's core. */
void multi_discard(struct session *session);
