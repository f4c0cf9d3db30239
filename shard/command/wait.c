/*
 * wait.c: WAIT and WAITAOF of a server that has no replicas.
 * What was to be confirmed by others will not be: where a client asks for more than there can be,
 * all that is left of the command is the time it gives them. It waits as those do who wait for a
 * key, with no key to wait for. What is to be confirmed by this server's own log is all that any
 * client has changed so far, on any core: that needs no book for each client, and asks for no more
 * than the next sync anyway.
 */
#include "shard/command/families.h"

#include "core/heap.h"
#include "shard/aof.h"
#include "shard/call.h"
#include "shard/shard.h"

/** Milliseconds; false: the error has been replied. */
static bool
timeout_read(struct call *call, uint32_t index, int64_t *timeout_ms)
{
    if (!call_integer(call, index, timeout_ms, "ERR timeout is not an integer or out of range")) {
        return false;
    }
    if (*timeout_ms < 0) {
        reply_error(call->reply, "ERR timeout is negative");
        return false;
    }
    if (*timeout_ms > INT64_MAX - call->now_ms) {
        reply_error(call->reply, "ERR timeout is out of range");
        return false;
    }
    return true;
}

static void
wait_reply(struct reply *reply, bool is_synced)
{
    (void)is_synced;
    reply_i64(reply, 0);
}

static void
wait_run(struct call *call)
{
    int64_t replica_count;
    int64_t timeout_ms;
    if (!call_integer(call, 1, &replica_count, NULL) || !timeout_read(call, 2, &timeout_ms)) {
        return;
    }
    if (replica_count <= 0 || !call_block(call, timeout_ms, 0, call->argv)) {
        wait_reply(call->reply, false);
    }
}

static void
waitaof_reply(struct reply *reply, bool is_synced)
{
    reply_array(reply, 2);
    reply_i64(reply, is_synced);
    reply_i64(reply, 0);
}

static void
waitaof_run(struct call *call)
{
    int64_t local_count;
    int64_t replica_count;
    int64_t timeout_ms;
    if (!call_integer_in(call, 1, 0, 1, &local_count, NULL) ||
        !call_integer_in(call, 2, 0, INT64_MAX, &replica_count,
                         "ERR value is out of range, must be positive") ||
        !timeout_read(call, 3, &timeout_ms)) {
        return;
    }
    struct shard *shard = call->shard;
    if (!shard->config->appendonly) {
        if (local_count > 0) {
            reply_error(call->reply, BLOCK_LOG_ENDED_ERROR);
        } else if (replica_count == 0 || !call_block(call, timeout_ms, 0, call->argv)) {
            waitaof_reply(call->reply, false);
        }
        return;
    }
    struct aof_point *point = aof_point_new(shard);
    bool is_synced = aof_point_is_synced(shard, point);
    bool is_enough = replica_count == 0 && (local_count == 0 || is_synced);
    enum block_point_use use = local_count == 0     ? BLOCK_POINT_REPORTED
                               : replica_count == 0 ? BLOCK_POINT_ALL
                                                    : BLOCK_POINT_WANTED;
    if (is_enough || !call_block_point(call, timeout_ms, point, use)) {
        heap_free(point);
        waitaof_reply(call->reply, is_synced);
    }
}

/* ---- rows ---- */

static const struct command_argument wait_arguments[] = {
    {.kind = ARGUMENT_INTEGER, .name = "numreplicas"},
    {.kind = ARGUMENT_INTEGER, .name = "timeout"},
    {.kind = ARGUMENT_END},
};
static const struct command_argument waitaof_arguments[] = {
    {.kind = ARGUMENT_INTEGER, .name = "numlocal"},
    {.kind = ARGUMENT_INTEGER, .name = "numreplicas"},
    {.kind = ARGUMENT_INTEGER, .name = "timeout"},
    {.kind = ARGUMENT_END},
};
static const char *const wait_tips[] = {"request_policy:all_shards", "response_policy:agg_min",
                                        NULL};

static const struct command wait_commands[] = {
    {.name = "wait",
     .run = wait_run,
     .flags = CMD_NOSCRIPT,
     .arity = 3,
     .scope = SCOPE_LOCAL,
     .is_after_all = true,
     .is_waiting = true,
     .timed_out = wait_reply,
     .group = GROUP_GENERIC,
     .categories = ACL_CONNECTION,
     .since = "3.0.0",
     .complexity = "O(1)",
     .summary = "Waits until replicas have what this client has written, or for some time.",
     .tips = wait_tips,
     .arguments = wait_arguments},
    {.name = "waitaof",
     .run = waitaof_run,
     .flags = CMD_NOSCRIPT,
     .arity = 4,
     .scope = SCOPE_LOCAL,
     .is_after_all = true,
     .is_waiting = true,
     .timed_out = waitaof_reply,
     .group = GROUP_GENERIC,
     .categories = ACL_CONNECTION,
     .since = "7.2.0",
     .complexity = "O(1)",
     .summary = "Waits until what this client has written is on disk, here and at replicas.",
     .tips = wait_tips,
     .arguments = waitaof_arguments},
};

const struct command_family wait_family = {wait_commands, ARRAY_COUNT(wait_commands)};
