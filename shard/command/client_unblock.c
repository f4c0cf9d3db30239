/*
 * client_unblock.c: CLIENT UNBLOCK: end another client's wait.
 * Only one core has the client; all look. Who is being served at this moment is not waiting any
 * more, and 0 is the answer.
 */
#include "core/number.h"
#include "shard/block.h"
#include "shard/command/client_internal.h"
#include "shard/session.h"
#include "shard/shard.h"

bool
client_unblock_check(struct call *call)
{
    int64_t id;
    if (call->argc > 4) {
        reply_error(call->reply, "ERR unknown subcommand or wrong number of arguments for "
                                 "'unblock'. Try CLIENT HELP.");
        return false;
    }
    if (call->argc == 4 && !slice_is_word(call->argv[3], "timeout") &&
        !slice_is_word(call->argv[3], "error")) {
        reply_error(call->reply, "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR");
        return false;
    }
    return call_integer(call, 2, &id, NULL);
}

void
client_unblock_part(struct part *part)
{
    int64_t id;
    enum block_end end = part->argc == 4 && slice_is_word(part->argv[3], "error")
                             ? BLOCK_UNBLOCK_ERROR
                             : BLOCK_TIMEOUT;
    if (!number_parse_i64(part->argv[2], &id)) {
        return;
    }
    struct list *sessions = &part->shard->sessions;
    for (struct list_node *node = list_first(sessions); node != NULL;
         node = list_next(sessions, node)) {
        struct session *session = container_of(node, struct session, shard_link);
        if ((int64_t)session->id == id) {
            part->number = block_end(session, end);
            return;
        }
    }
}

void
client_unblock(struct call *call)
{
    int64_t count = 0;
    for (uint32_t i = 0; i < call->part_count; i++) {
        count += call->parts[i].number;
    }
    reply_i64(call->reply, count);
}
