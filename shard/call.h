/*
 * call.h: one execution of one command, as its handler sees it. The handler does not know whether
 * it runs for a local client, a forwarded request, a transaction, a script, a file or a replication
 * stream.
 */
#pragma once

#include "net/reply.h"
#include "shard/command.h"
#include "shard/shard.h"
#include "shard/view.h"

struct aof_point;
struct grown_keys;
struct session;
struct scratch_block;

/** What a place in the logs is to a command that waits. */
enum block_point_use {
    BLOCK_POINT_ALL,      /* when that is on disk, the wait is over */
    BLOCK_POINT_WANTED,   /* it waits for something else, too, but not without a log */
    BLOCK_POINT_REPORTED, /* its reply tells of it */
};

struct call {
    const struct command *command;
    const struct slice *argv;
    uint32_t argc;
    uint16_t db;         /* the session's selected database when the command was sent */
    uint16_t flags;      /* CALL_ */
    struct view **views; /* of the declared keys in the order of the key specifications; a key that
                            is named twice is the same view twice */
    uint32_t view_count;
    struct reply *reply;
    struct shard *shard;     /* where it runs: clock, configuration, memory, random numbers */
    int64_t now_ms;          /* frozen for the whole transaction */
    struct session *session; /* SCOPE_LOCAL and the merging run() of ALL/CLOSED/WALK; else NULL */
    struct part *parts;      /* SCOPE_ALL, CLOSED: one for each shard; WALK: one */
    uint32_t part_count;
    void *shared;            /* what check() or prepare() made for the parts; run() frees it */
    struct effects *effects; /* NULL: nobody reads effects */
    struct effects
        *events; /* what call_event() and call_publish() say; never NULL where views are */
    struct scratch_block *scratch;
    /** A large argument that was received straight into its final memory, counted in nobody's
     * account (memory_disown): the view that stores argv's slice of it takes it and leaves NULL
     * here. Whoever made the call frees what was not taken. Its bytes are good until the commit.
     * NULL: none. */
    struct raw *large_raw;
    uint16_t
        coordinator;     /* the core that holds the connection: replies end there, pins with them */
    uint64_t session_id; /* of the client whose command it is */
    /* ---- CALL_BLOCKS ---- */
    int64_t block_timeout_ms;
    uint32_t block_view_count;
    const struct slice *block_argv;
    struct aof_point *block_point; /* call_block_point() */
    enum block_point_use block_point_use;
    struct grown_keys *grown; /* for call_key(); NULL where the row does not grow */
};

#define CALL_EXCLUSIVE (1u << 0) /* inside a whole-shard loan */
#define CALL_NO_TOUCH (1u << 1)  /* the session's CLIENT NO-TOUCH */
#define CALL_IN_MULTI (1u << 5)  /* one of several commands with the same views */
#define CALL_MAY_BLOCK (1u << 2) /* call_block() will wait; not so inside MULTI and scripts */
#define CALL_BLOCKS (1u << 3)    /* it was called */
#define CALL_WOKEN (1u << 7)     /* it has waited; of what it waits for it sees one key only */
#define CALL_GROWS (1u << 4)     /* call_key() was asked for keys that are not borrowed yet */
#define CALL_TRACK (1u << 6)     /* what it reads is tracked; see shard/tracking.h */

/** How long a command may make a string. What is loaded was allowed once, whatever is configured
 * now. */
static inline uint64_t
call_string_size_max(const struct call *call)
{
    bool is_loading = UNLIKELY(call->shard->loader != NULL);
    return is_loading ? INT64_MAX : (uint64_t)call->shard->config->proto_max_bulk_len;
}

/** The event "keymiss". */
void call_miss(struct call *call, const struct view *view);

/** One lookup that counts as a hit or a miss. */
static inline void
call_count(struct call *call, const struct view *view)
{
    if (view_exists(view)) {
        call->shard->counters.hit_count++;
    } else {
        call->shard->counters.miss_count++;
        if (UNLIKELY(call->shard->notify_classes != 0)) {
            call_miss(call, view);
        }
    }
}

/** The lookups of a command that only reads: behind it, for one whose arguments are wrong (its
 * error is an "ERR") has not looked. */
static inline void
call_count_reads(struct call *call)
{
    if (UNLIKELY(call->reply->is_error) && strcmp(call->reply->error_code, "ERR") == 0) {
        return;
    }
    for (uint32_t i = 0; i < call->view_count; i++) {
        call_count(call, call->views[i]);
    }
}

/** Run the handler on views that are open: what every runner calls. */
static inline void
call_run(struct call *call)
{
    uint32_t flags = call->command->flags;
    if (UNLIKELY((flags & CMD_COUNT) != 0)) {
        for (uint32_t i = 0; i < call->view_count; i++) {
            call_count(call, call->views[i]);
        }
    }
    call->command->run(call);
    if ((flags & (CMD_READONLY | CMD_NO_COUNT)) == CMD_READONLY) {
        call_count_reads(call);
    }
}

/** Memory that lives until the views of this call are committed. Never NULL. */
void *call_scratch(struct call *call, size_t size);
void call_scratch_free_blocks(struct call *call);
/** Free all scratch memory; the runner's, after the commit. */
static inline void
call_scratch_free(struct call *call)
{
    if (UNLIKELY(call->scratch != NULL)) {
        call_scratch_free_blocks(call);
    }
}

/**
 * Say what this command changed, as a deterministic command of redis 7.0 that acts on the view's
 * key only (times absolute, randomness resolved). Once for each change, after it; nothing when
 * nothing changed.
 */
void call_effect(struct call *call, struct view *view, const struct slice *argv, uint32_t argc);
/** The usual forms. */
static inline bool
call_has_effects(const struct call *call)
{
    return call->effects != NULL;
}
/** The command line as it was sent is its own effect (SET k v, APPEND, INCR ...). */
void call_effect_same(struct call *call, struct view *view);
/** SET key value [PXAT deadline] of what the view holds now (a string). */
void call_effect_set(struct call *call, struct view *view);
/** The whole of what the view holds now, of any type, in place of whatever the key held: as
 * call_effect_set(), or RESTORE key deadline payload REPLACE ABSTTL. */
void call_effect_value(struct call *call, struct view *view);
/** DEL key. */
void call_effect_delete(struct call *call, struct view *view);
/** PEXPIREAT key ms, or PERSIST key, from the view's deadline. */
void call_effect_deadline(struct call *call, struct view *view);

/**
 * There is nothing to take: wait until the key of one of the first `waited_count` views has got a
 * value of the command's type, then run again, on that key alone. `timeout_ms` 0: for ever. `argv`:
 * the arguments for the next run, call->argv or what became of them, in call_scratch(). The handler
 * replies nothing then. False: nothing blocks here; it replies what it would after the timeout.
 */
bool call_block(struct call *call, int64_t timeout_ms, uint32_t waited_count,
                const struct slice *argv);

/** The error of who waits for an append-only file that ends. */
#define BLOCK_LOG_ENDED_ERROR                                                                      \
    "ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled."

/** The same with no key to wait for, but with a place in the logs (shard/aof.h), which is taken. */
bool call_block_point(struct call *call, int64_t timeout_ms, struct aof_point *point,
                      enum block_point_use use);

/** The timeout of BLPOP and its kin: seconds, perhaps with a fraction; 0: none. False: the error
 * has been replied. */
bool call_block_timeout(struct call *call, uint32_t index, int64_t *timeout_ms);

/**
 * A key that the command line does not name (SORT's BY and GET patterns), to be read only, of any
 * core. NULL: it is not borrowed yet. The handler then goes on to ask for all keys that it needs
 * and ends without a reply; it runs again from its beginning when all of them are here, and the
 * keys that it names may hold something else by then. Only for rows with `grows`; `key` is copied.
 */
struct view *call_key(struct call *call, struct slice key);

/* Errors that many commands share, with redis-server's texts. */
void call_syntax_error(struct call *call);      /* "ERR syntax error" */
void call_not_integer_error(struct call *call); /* "ERR value is not an integer or out of range" */
void call_wrong_type_error(struct call *call);
void call_arity_error(struct call *call); /* "ERR wrong number of arguments for 'x' command" */
/** "ERR unknown subcommand 'x'. Try Y HELP." */
void call_unknown_subcommand_error(struct call *call);
/** Parse argv[index] as an integer, or reply the error (NULL: not_integer's) and return false. */
bool call_integer(struct call *call, uint32_t index, int64_t *value, const char *error);
bool call_integer_in(struct call *call, uint32_t index, int64_t min, int64_t max, int64_t *value,
                     const char *error);

/**
 * What one shard contributes to a command that asks several. `part` runs on that shard's core; the
 * coordinator's run() reads all of them afterwards, then they are destroyed.
 */
struct part {
    /* ---- input ---- */
    const struct command *command;
    const struct slice *argv;
    uint32_t argc;
    uint16_t db;
    uint16_t coordinator; /* the core that asks */
    uint64_t session_id;  /* of the asking client */
    int64_t now_ms;
    struct shard *shard; /* the shard that it runs on */
    /** Prepared by check() or by the core for all parts of the command (e.g. a new configuration).
     */
    void *shared;
    /* ---- output ---- */
    int64_t number;
    int64_t number_2;
    uint64_t cursor;     /* SCOPE_WALK: state that travels */
    int32_t next_shard;  /* SCOPE_WALK: where to go on, -1: finished */
    uint64_t tick_count; /* that it took; the runner's */
    struct output bytes; /* RESP or text, appended */
    struct reply reply;  /* writes into bytes, under the session's protocol */
    void *data;          /* from heap_alloc(), freed with the part */
    struct effects *effects;
    /** It is answered later, by gather_part_home(): the part sets it. Not of CLOSED, not in MULTI.
     */
    bool is_put_off;
    bool is_in_multi;  /* a step of an EXEC, whose effects are told together */
    struct mail *mail; /* the runner's */
};
