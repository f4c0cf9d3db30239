/*
 * block.h: commands that wait for a key: BLPOP and its kin, XREAD BLOCK.
 * The client's side (a blocker) lives on the core that holds the connection, its parts on the cores
 * that own the keys. block.c tells how they meet.
 */
#pragma once

#include "core/mailbox.h"
#include "shard/call.h"
#include "shard/lock.h"
#include "shard/request.h"

struct block_table;
struct blocker;
struct blocker_part;
struct loan;
struct router;
struct view_set;

/** Why a wait ends without a key. */
enum block_end {
    BLOCK_TIMEOUT,       /* as after the time has passed: null */
    BLOCK_UNBLOCK_ERROR, /* CLIENT UNBLOCK ... ERROR */
    BLOCK_LOG_ENDED,     /* what was to be in the append-only file will not be */
    BLOCK_GONE,          /* the connection is over */
};

struct block_table *block_table_new(struct memory *memory, int64_t now_ms);
void block_table_delete(struct block_table *table);

/* ---- the coordinator's side ---- */

/** Start a command whose keys are one owner's and that may block. Everything before it in its lane
 * has been answered. */
void block_start(struct router *router, struct lane *lane, const struct request *request);

/** A transaction's command, or one without keys, wants to wait: `call` says for what. The parts
 * travel with the loans' RETURN, which registers them. `deadline_ms` INT64_MAX: by the call's
 * timeout. Its reply comes behind what its lane owes already. */
void block_begin(struct router *router, struct lane *lane, const struct request *request,
                 struct call *call, struct loan *loans, uint32_t loan_count, uint64_t ticket,
                 int64_t deadline_ms, enum block_end end);

/** End the session's wait. False: it does not wait, or is being served already. */
bool block_end(struct session *session, enum block_end end);

/** The append-only file ends here: so do the waits of this core's clients for it. */
void block_end_log_waits(struct shard *shard);

/** End the waits whose time has passed, or whose log is on disk. The shard's core, each turn. */
void block_advance(struct shard *shard);
/** When block_advance() is to be called at the latest; INT64_MAX: never. */
int64_t block_next_ms(const struct shard *shard);
/** Clients of this core that wait. */
uint32_t block_client_count(const struct shard *shard);

/** A part has come home. */
void block_home(struct router *router, struct mail *mail);
/** A command that was sent to its keys' owner waits there. */
void block_parked(struct mail *mail);

/* ---- the owner's side ---- */

void block_receive(struct router *router, struct mail *mail);
void block_cancel(struct router *router, struct mail *mail);
/** A part's lock request holds its keys. */
void block_serve_locked(struct router *router, struct lock_request *request);
/** With RETURN, before the keys are unlocked: its waited keys are waited for from now on. */
void block_register_loan(struct shard *shard, struct loan *loan);
/** The transaction that an offer has started stands in the queue, for itself. */
void block_offer_taken(struct router *router, struct blocker_part *part);

/** What change.h tells: a key has got a value, or another one. */
void block_key_changed(struct shard *shard, uint16_t db, struct slice key, uint64_t hash);
/** The keys of this database, or of all (UINT32_MAX), are gone. */
void block_flushed(struct shard *shard, uint32_t db);
/** Keys of these databases may be others now. */
void block_swapped(struct shard *shard, uint32_t db_a, uint32_t db_b);
/** Serve those who wait for keys that are ready: directly behind what made them so. */
void block_serve_ready(struct shard *shard);
