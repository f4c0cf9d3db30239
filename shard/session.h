/*
 * session.h: what a client has said about itself and selected. It lives on the core that holds the
 * connection; other cores see it by message only.
 */
#pragma once

#include "core/list.h"
#include "net/reply.h"

struct blocker;
struct command;
struct multi;
struct lane;
struct multi_watches;
struct shard;
struct subscriptions;
struct tracking_session;

/* Flags of a session. */
#define SESSION_NO_EVICT (1u << 0)
#define SESSION_NO_TOUCH (1u << 1)
#define SESSION_REPLY_OFF (1u << 2)
#define SESSION_REPLY_SKIP_NEXT (1u << 3) /* CLIENT REPLY SKIP: the command after it is muted */
#define SESSION_REPLY_SKIP (1u << 4)      /* the running command is muted */
#define SESSION_CLOSE_AFTER_REPLY (1u << 5)
#define SESSION_UNIX_SOCKET (1u << 6)
#define SESSION_KILLED (1u << 7)
#define SESSION_MULTI (1u << 8)    /* commands are queued until EXEC */
#define SESSION_PUBSUB (1u << 10)  /* it subscribes to something */
#define SESSION_MONITOR (1u << 11) /* it sees the commands of all */
#define SESSION_LEAVING (1u << 12) /* its UNSUBSCRIBE is under way */

#define SESSION_TRACKING (1u << 16)     /* what it reads may be tracked; see shard/tracking.h */
#define SESSION_CACHING (1u << 17)      /* CLIENT CACHING was said */
#define SESSION_CACHING_USED (1u << 18) /* ... and counts for the running command, not the next */

struct session {
    struct list_node shard_link; /* in shard->sessions */
    uint64_t id;
    struct shard *shard; /* the core that holds the connection */
    uint16_t db;
    uint8_t protocol; /* 2 or 3 */
    uint32_t flags;
    int64_t created_ms;
    int64_t last_command_ms;
    const struct command *last_command; /* NULL: none yet */
    struct multi *multi;                /* what MULTI has queued, or NULL; see shard/multi.h */
    struct multi_watches *watches;      /* keys under WATCH, or NULL */
    struct blocker *blocker;            /* the command that waits for a key, or NULL */
    char *name;                         /* CLIENT SETNAME, heap, or NULL */
    char *library;   /* CLIENT SETINFO: name and version, each with its NUL; NULL: neither */
    char *addresses; /* the same of session_address() and session_local_address() */
    int fd;
    struct lane *lane;                   /* the order of its replies; NULL: it has no connection */
    struct subscriptions *subscriptions; /* NULL: none; see shard/subscriptions.h */
    struct tracking_session *tracking;   /* NULL: it never tracked; see shard/tracking.h */
};

/** What a connection has in its buffers now, in bytes. */
struct session_traffic {
    uint64_t query_size;         /* read and not yet executed: qbuf */
    uint64_t query_free_size;    /* qbuf-free */
    uint64_t output_size;        /* replies that wait to be sent */
    uint64_t output_memory_size; /* of the buffers that they wait in */
};

/** What the shard's ops know of it; all 0 where they do not. The shard's core. */
struct session_traffic session_traffic(struct session *session);

/** A new client of this core, in shard->sessions; addresses, fd and conn are for the caller to set.
 * The shard's core. */
void session_create(struct session *session, struct shard *shard, uint64_t id, int64_t now_ms);
/** Out of shard->sessions; frees the strings. The shard's core. */
void session_destroy(struct session *session);
/** RESET: as session_create() left it, but id, addresses, ages and byte counts stay. */
void session_reset(struct session *session);

/** Have the connection closed: at once, or when what was replied so far has left. The session lives
 * on until its core destroys it. */
void session_close(struct session *session, bool after_reply);

/** May a client be called this? No blanks, no line ends, nothing but visible ASCII. */
bool session_name_is_valid(struct slice name);
/** CLIENT SETNAME: copies; empty takes the name away. False: not valid, the name stays. */
bool session_name_set(struct session *session, struct slice name);
/** CLIENT SETINFO: the same for the library's name and version. */
bool session_library_name_set(struct session *session, struct slice name);
bool session_library_version_set(struct session *session, struct slice version);

/** "127.0.0.1:50000", "[::1]:50000", "/path:0"; "" where none is known. */
static inline const char *
session_address(const struct session *session)
{
    return session->addresses == NULL ? "" : session->addresses;
}

/** Where the connection arrived, likewise. */
static inline const char *
session_local_address(const struct session *session)
{
    return session->addresses == NULL ? "" : session->addresses + strlen(session->addresses) + 1;
}

/** Where the connection comes from and where it arrived; copies. */
void session_addresses_set(struct session *session, const char *peer, const char *local);

/** Does it come from this machine: a Unix socket, 127.0.0.1 or ::1? */
bool session_is_local(const struct session *session);

/** The line of CLIENT LIST and CLIENT INFO, with its newline. The shard's core. */
void session_describe(struct session *session, int64_t now_ms, struct output *output);
/** Bytes that it takes in memory, buffers included. */
uint64_t session_memory_size(const struct session *session, const struct session_traffic *traffic);
