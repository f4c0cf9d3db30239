/*
 * refusal.c: -LOADING and -MISCONF.
 * Looked at only while HURDLE_FILES is set, which a core brings up to date once a turn: a write
 * that still passes in that turn is journaled as all others, and its answer waits for the disk.
 */
#include "shard/refusal.h"

#include "shard/lane.h"
#include "shard/multi.h"
#include "shard/session.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

static const char *
misconf_text(const struct node *node, uint32_t refusal, char text[REFUSAL_TEXT_SIZE])
{
    if ((refusal & DURABLE_REFUSAL_SNAPSHOT) != 0) {
        return "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to "
               "persist to disk. Commands that may modify the data set are disabled, because this "
               "instance is configured to report errors during writes if RDB snapshotting fails "
               "(stop-writes-on-bgsave-error option). Please check the Redis logs for details "
               "about the RDB error.";
    }
    snprintf(text, REFUSAL_TEXT_SIZE, "MISCONF Errors writing to the AOF file: %s",
             strerror(atomic_load_explicit(&node->write_error, memory_order_relaxed)));
    return text;
}

const char *
refusal_of(const struct shard *shard, const struct lane *lane, const struct request *request,
           char text[REFUSAL_TEXT_SIZE])
{
    const struct node *node = shard->node;
    uint32_t flags = request->command->flags;
    const struct multi *multi = lane->session->multi;
    bool is_exec = request->command->scope == SCOPE_EXEC && multi != NULL;
    if (atomic_load_explicit(&node->is_loading, memory_order_acquire) &&
        ((flags & CMD_LOADING) == 0 || (is_exec && multi->has_unloadable))) {
        return "LOADING Redis is loading the dataset in memory";
    }
    uint32_t refusal = atomic_load_explicit(&node->write_refusal, memory_order_relaxed);
    flags |= is_exec ? multi->command_flags : 0;
    if (refusal != 0 && ((flags & CMD_WRITE) != 0 || strcmp(request->command->name, "ping") == 0)) {
        return misconf_text(node, refusal, text);
    }
    return NULL;
}
