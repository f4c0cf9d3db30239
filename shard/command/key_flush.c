/*
 * key_flush.c: databases emptied and exchanged: FLUSHDB, FLUSHALL, SWAPDB.
 *
 * All shards are closed for the instant in which each of them does its part, so that nobody sees
 * one shard before and another behind it. The part itself is short whatever there was: a flush
 * takes the tables out and lets the shard free them in the background, a swap exchanges two
 * pointers. So SYNC and ASYNC are the same here: the keys are gone with the reply, their memory
 * soon after.
 *
 * These effects concern no key and stand for all shards, so they are told once, by shard 0's part,
 * and every shard's journal is cut there: what came before must not be loaded behind it. A flush of
 * what is empty is not told: whoever flushes before each of his tests would get new files each
 * time.
 */
#include "shard/call.h"
#include "shard/command/families.h"

#include "core/number.h"
#include "shard/change.h"
#include "shard/effect.h"
#include "shard/journal.h"
#include "shard/persistence.h"
#include "shard/shard.h"

/** call->shared of a flush: there are no keys. */
static const char nothing_to_flush;

/* ---- FLUSHDB, FLUSHALL ---- */

/** All shards are closed: nobody changes what is counted here. `db` UINT32_MAX: all. */
static bool
is_empty(const struct node *node, uint32_t db)
{
    for (uint32_t i = 0; i < node->shard_count; i++) {
        const struct keyspace *keyspace = &node->shards[i]->keyspace;
        for (uint32_t k = 0; k < keyspace->database_count; k++) {
            if ((k == db || db == UINT32_MAX) && keyspace->databases[k].key_count > 0) {
                return false;
            }
        }
    }
    return true;
}

static bool
key_flushdb_prepare(struct call *call)
{
    call->shared =
        is_empty(call->shard->node, call->db) ? (void *)(uintptr_t)&nothing_to_flush : NULL;
    return true;
}

static bool
key_flushall_prepare(struct call *call)
{
    call->shared =
        is_empty(call->shard->node, UINT32_MAX) ? (void *)(uintptr_t)&nothing_to_flush : NULL;
    return true;
}

static bool
key_flush_check(struct call *call)
{
    if (call->argc == 1 || (call->argc == 2 && (slice_is_word(call->argv[1], "sync") ||
                                                slice_is_word(call->argv[1], "async")))) {
        return true;
    }
    call_syntax_error(call);
    return false;
}

/** The shard's journal ends before it and begins behind it; shard 0's is told what it was. In an
 * EXEC it is the coordinator who tells, with all that was around it. */
static void
part_effect(struct part *part, const struct slice *argv, uint32_t argc)
{
    struct effects barrier;
    if (part->effects == NULL || part->is_in_multi || part->shared == &nothing_to_flush) {
        return;
    }
    effects_create(&barrier);
    effects_append(&barrier, part->db, 0, argv, argc);
    journal_cut(part->shard, part->shard->index == 0 ? &barrier : NULL);
    effects_destroy(&barrier);
}

static void
key_flushdb_part(struct part *part)
{
    part->shard->change_count += part->shard->keyspace.databases[part->db].key_count;
    change_flush(part->shard, part->db);
    keyspace_flush(&part->shard->keyspace, part->db);
    part_effect(part, (struct slice[]){SLICE("FLUSHDB")}, 1);
}

static void
key_flushall_part(struct part *part)
{
    struct shard *shard = part->shard;
    for (uint32_t db = 0; db < shard->keyspace.database_count; db++) {
        shard->change_count += shard->keyspace.databases[db].key_count;
    }
    change_flush(shard, UINT32_MAX);
    keyspace_flush_all(&shard->keyspace);
    part_effect(part, (struct slice[]){SLICE("FLUSHALL")}, 1);
    if (shard->persistence != NULL) {
        persistence_flushed(shard->persistence);
    }
}

static void
key_flush_done(struct call *call)
{
    reply_ok(call->reply);
}

/* ---- SWAPDB ---- */

/* Replies the error and returns false. */
static bool
swap_parse(struct call *call, uint32_t index, const char *error, int64_t *db)
{
    if (!number_parse_i64(call->argv[index], db) || *db < INT32_MIN || *db > INT32_MAX) {
        reply_error(call->reply, error);
        return false;
    }
    return true;
}

static bool
key_swapdb_check(struct call *call)
{
    int64_t db_a;
    int64_t db_b;
    if (!swap_parse(call, 1, "ERR invalid first DB index", &db_a) ||
        !swap_parse(call, 2, "ERR invalid second DB index", &db_b)) {
        return false;
    }
    int64_t database_count = call->shard->keyspace.database_count;
    if (db_a < 0 || db_a >= database_count || db_b < 0 || db_b >= database_count) {
        reply_error(call->reply, "ERR DB index is out of range");
        return false;
    }
    if (db_a == db_b) {
        reply_ok(call->reply);
        return false;
    }
    return true;
}

static void
key_swapdb_part(struct part *part)
{
    int64_t db_a = 0;
    int64_t db_b = 0;
    bool is_ok = number_parse_i64(part->argv[1], &db_a) && number_parse_i64(part->argv[2], &db_b);
    ASSERT(is_ok); /* key_swapdb_check() */
    keyspace_swap(&part->shard->keyspace, (uint32_t)db_a, (uint32_t)db_b);
    change_swap(part->shard, (uint32_t)db_a, (uint32_t)db_b);
    part->shard->change_count += part->shard->index == 0;
    part_effect(part, (struct slice[]){SLICE("SWAPDB"), part->argv[1], part->argv[2]}, 3);
}

/* ---- rows ---- */

static const char *const flush_tips[] = {"request_policy:all_shards",
                                         "response_policy:all_succeeded", NULL};
static const struct command_argument flush_mode_arguments[] = {
    {.kind = ARGUMENT_PURE_TOKEN, .name = "async", .token = "ASYNC", .since = "4.0.0"},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "sync", .token = "SYNC", .since = "6.2.0"},
    {.kind = ARGUMENT_END},
};
static const struct command_argument flush_arguments[] = {
    {.kind = ARGUMENT_ONEOF,
     .name = "async",
     .is_optional = true,
     .arguments = flush_mode_arguments},
    {.kind = ARGUMENT_END},
};
static const struct command_history flush_history[] = {
    {"4.0.0", "Takes `ASYNC`."},
    {"6.2.0", "Takes `SYNC`."},
    {NULL, NULL},
};
static const struct command_argument swapdb_arguments[] = {
    {.kind = ARGUMENT_INTEGER, .name = "index1"},
    {.kind = ARGUMENT_INTEGER, .name = "index2"},
    {.kind = ARGUMENT_END},
};

static const struct command key_flush_commands[] = {
    {
        .name = "flushdb",
        .run = key_flush_done,
        .prepare = key_flushdb_prepare,
        .part = key_flushdb_part,
        .check = key_flush_check,
        .flags = CMD_WRITE,
        .arity = -1,
        .scope = SCOPE_CLOSED,
        .group = GROUP_SERVER,
        .categories = ACL_KEYSPACE | ACL_DANGEROUS,
        .since = "1.0.0",
        .complexity = "O(1); the memory of N keys is given back in steps behind the reply.",
        .summary = "Removes all keys of the database.",
        .history = flush_history,
        .tips = flush_tips,
        .arguments = flush_arguments,
    },
    {
        .name = "flushall",
        .run = key_flush_done,
        .prepare = key_flushall_prepare,
        .part = key_flushall_part,
        .check = key_flush_check,
        .flags = CMD_WRITE,
        .arity = -1,
        .scope = SCOPE_CLOSED,
        .group = GROUP_SERVER,
        .categories = ACL_KEYSPACE | ACL_DANGEROUS,
        .since = "1.0.0",
        .complexity = "O(1); the memory of N keys is given back in steps behind the reply.",
        .summary = "Removes all keys of all databases.",
        .history = flush_history,
        .tips = flush_tips,
        .arguments = flush_arguments,
    },
    {
        .name = "swapdb",
        .run = key_flush_done,
        .part = key_swapdb_part,
        .check = key_swapdb_check,
        .flags = CMD_WRITE | CMD_FAST,
        .arity = 3,
        .scope = SCOPE_CLOSED,
        .group = GROUP_SERVER,
        .categories = ACL_KEYSPACE | ACL_DANGEROUS,
        .since = "4.0.0",
        .complexity = "O(1)",
        .summary = "Exchanges the contents of two databases.",
        .arguments = swapdb_arguments,
    },
};

const struct command_family key_flush_family = {
    .commands = key_flush_commands,
    .count = ARRAY_COUNT(key_flush_commands),
};
