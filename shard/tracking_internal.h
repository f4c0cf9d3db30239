/*
 * tracking_internal.h: what the owner's side (tracking.c), prefixes (tracking_prefix.c) and
 * sessions (tracking_session.c) share.
 */
#pragma once

#include "core/list.h"
#include "core/mailbox.h"
#include "shard/tracking.h"
#include "shard/tracking_table.h"

/** How a session of this core tracks, or that others redirect to it. */
struct tracking_session {
    struct tracking_session *next; /* in its bucket of tracking->sessions */
    struct session *session;
    struct list_node link; /* in tracking->active while it tracks */
    uint32_t options;      /* TRACKING_ */
    uint16_t redirect_core;
    uint64_t redirect_id;              /* 0: none */
    struct tracking_prefix **prefixes; /* in ascending order */
    uint32_t prefix_count;
    uint32_t prefix_capacity;
};

/** What some sessions' keys begin with. Known at every shard while it is counted. */
struct tracking_prefix {
    struct tracking_prefix *next;
    uint64_t hash;
    uint64_t counted_count;            /* the sum of core_counts */
    struct tracking_session **members; /* this core's sessions */
    uint32_t member_count;
    uint32_t member_capacity;
    uint32_t *core_counts; /* [shard_count]: sessions on each core */
    size_t size;
    char bytes[];
};

static inline struct slice
prefix_bytes(const struct tracking_prefix *prefix)
{
    return slice_of(prefix->bytes, prefix->size);
}

/** A length that some prefixes have. */
struct tracking_length {
    size_t size;
    uint64_t prefix_count;
};

struct tracking_prefixes {
    struct tracking_prefix **buckets;
    uint32_t bucket_count; /* 0, or a power of two */
    uint32_t count;
    struct tracking_length *lengths; /* ascending */
    uint32_t length_count;
};

struct tracking_remains;

struct tracking {
    uint32_t shard_count;
    struct tracking_table table;
    struct tracking_remains *remains; /* tables that a FLUSHALL has put away */
    struct tracking_prefixes prefixes;
    struct tracking_session **sessions; /* by id */
    uint32_t session_bucket_count;      /* 0, or a power of two */
    uint32_t session_count;
    struct list active; /* the sessions that track */
    uint32_t active_count;
    uint32_t *core_counts; /* [shard_count], scratch of tracking_key_changed() */
    bool *is_wanted;       /* [shard_count], the same */
};

/* ---- what cores say to each other about it ---- */

enum tracking_message_kind {
    TRACKING_INVALIDATE, /* owner to core: a key has changed */
    TRACKING_REDIRECT,   /* core to core: tell a session of yours */
    TRACKING_GONE,       /* the answer if there is no such session */
    TRACKING_UNTRACK,    /* core to shards: prefixes that a session leaves */
};

struct tracking_message {
    struct mail mail;
    enum tracking_message_kind kind;
    uint64_t session_id; /* INVALIDATE: whose command it was; REDIRECT, GONE: who redirects */
    uint64_t target_id;  /* REDIRECT, GONE: to whom */
    uint32_t id_count;   /* INVALIDATE: sessions that have read the key */
    bool is_broadcast;   /* ... and those with prefixes that match */
    bool is_flush;       /* REDIRECT: no key but all of them */
    size_t size;
    uint64_t ids[]; /* then `size` bytes: the key, or packed prefixes */
};

static inline char *
tracking_message_bytes(struct tracking_message *message)
{
    return (char *)(message->ids + message->id_count);
}

struct tracking_message *tracking_message_new(enum tracking_message_kind kind, uint32_t id_count,
                                              size_t size);

/** A session that tracks is told to drop everything. */
void tracking_tell_flush(struct shard *shard, struct tracking_session *tracker);
/** INVALIDATE at the core of the sessions. */
void tracking_deliver(struct shard *shard, struct tracking_message *message);
/** REDIRECT at the core of the session that is told. */
void tracking_redirected(struct shard *shard, struct tracking_message *message, uint32_t from);
/** GONE. */
void tracking_gone(struct shard *shard, uint64_t session_id, uint64_t target_id);

/* ---- tracking_prefix.c ---- */

void tracking_prefixes_destroy(struct tracking_prefixes *prefixes);
/** NULL: nobody wants it. */
struct tracking_prefix *tracking_prefix_find(const struct shard *shard, struct slice bytes);
void tracking_prefix_join(struct tracking_prefix *prefix, struct tracking_session *member);
/** It stays while it is counted. */
void tracking_prefix_leave(struct tracking_prefix *prefix, struct tracking_session *member);

typedef void tracking_prefix_fn(void *context, struct tracking_prefix *prefix);
/** Visit all that the key begins with, shorter ones first. */
void tracking_prefix_each(const struct shard *shard, struct slice key, tracking_prefix_fn *visit,
                          void *context);

/** Is anybody interested in keys of this shard? Say so where changes are told. */
void tracking_interest_update(struct shard *shard);
