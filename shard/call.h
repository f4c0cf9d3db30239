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

struct session;
struct scratch_block;

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
    struct scratch_block *scratch;
    /** A large argument that was received straight into its final memory, counted in nobody's
     * account (memory_disown): the view that stores argv's slice of it takes it and leaves NULL
     * here. Whoever made the call frees what was not taken. Its bytes are good until the commit.
     * NULL: none. */
    struct raw *large_raw;
    uint16_t
        coordinator; /* the core that holds the connection: replies end there, pins with them */
};

#define CALL_EXCLUSIVE (1u << 0) /* inside a whole-shard loan */
#define CALL_NO_TOUCH (1u << 1)  /* the session's CLIENT NO-TOUCH */

/** One lookup that counts as a hit or a miss. */
static inline void
call_count(struct call *call, const struct view *view)
{
    if (view_exists(view)) {
        call->shard->counters.hit_count++;
    } else {
        call->shard->counters.miss_count++;
    }
}

/** Run the handler on views that are open: what every runner calls. */
static inline void
call_run(struct call *call)
{
    uint32_t flags = call->command->flags;
    if ((flags & (CMD_READONLY | CMD_COUNT)) != 0 && (flags & CMD_NO_COUNT) == 0) {
        for (uint32_t i = 0; i < call->view_count; i++) {
            call_count(call, call->views[i]);
        }
    }
    call->command->run(call);
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
/** DEL key. */
void call_effect_delete(struct call *call, struct view *view);
/** PEXPIREAT key ms, or PERSIST key, from the view's deadline. */
void call_effect_deadline(struct call *call, struct view *view);

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
    struct output bytes; /* RESP or text, appended */
    struct reply reply;  /* writes into bytes, under the session's protocol */
    void *data;          /* from heap_alloc(), freed with the part */
    struct effects *effects;
};
