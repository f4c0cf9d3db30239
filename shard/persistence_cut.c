/*
 * persistence_cut.c: what all shards do at one instant: begin a snapshot, end a file of the log,
 * begin or end a load.
 *
 * It is an internal command that closes all shards as FLUSHALL does, sent by a session that no
 * client has. What is to be done was decided before the shards were closed; what depends on them
 * is looked at again in each part, and is the same in all of them.
 */
#include "shard/persistence_internal.h"

#include "shard/change.h"
#include "shard/journal.h"
#include "shard/router_internal.h"

#include <stdatomic.h>

static uint64_t
key_count(const struct shard *shard)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < shard->keyspace.database_count; i++) {
        count += shard->keyspace.databases[i].key_count;
    }
    return count;
}

/** The log was decided upon before the shards were closed, and CONFIG SET may have closed them
 * first: what it has made of the log is the same at all of them. */
static void
cut_log(struct shard *shard, struct cut *cut)
{
    bool is_there = shard->aof != NULL && !shard->aof->is_closing;
    switch (cut->log) {
    case LOG_STAYS:
        break;
    case LOG_CUTS:
        if (is_there) {
            journal_cut(shard, NULL);
        }
        if (is_there && shard->index == 0) {
            cut->generation = shard->aof->generation;
        }
        break;
    case LOG_BEGINS:
        if (!shard->config->appendonly) {
            break;
        }
        if (cut->job != NULL && shard->index == 0) {
            logs_begin(shard->persistence, false); /* a base; else all is prepared */
        }
        aof_start(shard, cut->generation);
        break;
    }
}

static void
cut_part(struct part *part)
{
    struct shard *shard = part->shard;
    struct cut *cut = part->shared;
    if (cut->begins_load) {
        journal_suspend(shard, true);
        shard->clock_mask = 0;
    }
    if (cut->is_flush) {
        change_flush(shard, UINT32_MAX);
        keyspace_flush_all(&shard->keyspace);
    }
    if (cut->ends_load) {
        journal_suspend(shard, false);
        shard->clock_mask = -1;
    }
    cut_log(shard, cut);
    if (cut->job != NULL) {
        atomic_fetch_add_explicit(&cut->key_count, key_count(shard), memory_order_relaxed);
        atomic_store_explicit(&shard->told.saved_key_count, 0, memory_order_relaxed);
        snapshot_cut(shard, cut->job);
    }
    shard_tell(shard);
    atomic_fetch_add_explicit(&cut->change_count, shard->change_count, memory_order_relaxed);
}

static void
cut_run(struct call *call)
{
    reply_ok(call->reply);
}

static const struct command cut_command = {
    .name = "cut",
    .run = cut_run,
    .part = cut_part,
    .scope = SCOPE_CLOSED,
    .is_internal = true,
    .arity = 1,
};

/** The lane says that something has come: it is the reply. */
static void
cut_resume(struct lane *lane)
{
    struct persistence *persistence = container_of(lane, struct persistence, lane);
    if (output_is_empty(&persistence->output) || !lane_is_idle(lane)) {
        return;
    }
    output_consume(&persistence->output, persistence->output.byte_count);
    persistence_done_fn *done = persistence->cut_done;
    persistence->cut_done = NULL;
    done(persistence, 0);
}

static void
cut_ended(struct lane *lane)
{
    (void)lane;
}

static const struct lane_ops cut_lane_ops = {.resume = cut_resume, .ended = cut_ended};

void
persistence_cut_create(struct persistence *persistence)
{
    persistence->session.shard = persistence->shard;
    persistence->session.protocol = 2;
    output_create(&persistence->output);
    lane_create(&persistence->lane, persistence->shard, &persistence->session, &persistence->output,
                &cut_lane_ops);
}

void
persistence_cut(struct persistence *persistence, persistence_done_fn *done)
{
    static const struct slice argv[] = {{.data = "CUT", .size = 3}};
    ASSERT(persistence->cut_done == NULL);
    persistence->cut_done = done;
    persistence->cut_request = (struct request){
        .command = &cut_command,
        .argv = argv,
        .argc = 1,
        .key_index = REQUEST_KEYS_MANY,
        .protocol = 2,
        .coordinator = (uint16_t)persistence->shard->index,
    };
    transaction_start_closed(persistence->shard->router, &persistence->lane,
                             &persistence->cut_request, NULL, &persistence->cut);
}
