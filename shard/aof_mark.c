/*
 * aof_mark.c: which transactions over several shards are in all their files, once and for all.
 *
 * Recovery has to look for the parts of each such transaction, and keeps what it has found of it
 * until it knows them all. A line in the files ends that: "all tickets below this one are
 * complete".
 *
 *     core 0    ask ──▶ every shard: your oldest transaction that has parts to come?   T = the
 * least (it has none: the ticket that is drawn next) wait until all that the logs hold by now is on
 * disk                   parts < T are tell ──▶ every shard: T "complete T"
 *
 * A shard that has answered draws no ticket below its answer any more, and what was drawn below T
 * had been released, so its parts were in the logs. They are on disk when the logs are, and only
 * then does it stand anywhere that they are: another file may be torn further in front.
 *
 * Now and then, and only where there were transactions: a log without them gets no marks, and one
 * under `appendfsync no`, where nobody knows what is on disk, neither.
 */
#include "shard/aof.h"

#include "core/heap.h"
#include "persist/aof_format.h"
#include "shard/router_internal.h"

#include <stdatomic.h>

static struct aof_mail *
mark_mail(enum aof_mail_kind kind, uint64_t round, uint64_t ticket)
{
    struct aof_mail *mail = heap_alloc(sizeof(*mail));
    *mail = (struct aof_mail){.kind = kind, .round = round, .ticket = ticket};
    return mail;
}

static void
tell_all(struct aof *aof, enum aof_mail_kind kind, uint64_t round, uint64_t ticket)
{
    struct router *router = aof->shard->router;
    for (uint32_t i = 0; i < aof->shard->node->shard_count; i++) {
        router_post(router, i, MAIL_AOF, &mark_mail(kind, round, ticket)->mail);
    }
}

void
aof_mark_begin(struct aof *aof)
{
    struct aof_mark *mark = &aof->mark;
    struct node *node = aof->shard->node;
    ASSERT(aof->shard->index == 0);
    mark->next_ms = aof->shard->now_ms + AOF_MARK_INTERVAL_MS;
    if (mark->waiting_count > 0 || mark->point != NULL || aof->is_closing ||
        atomic_load_explicit(&node->ticket_next, memory_order_relaxed) == mark->last_ticket) {
        return;
    }
    /* Any number that comes once will do to tell the rounds apart. */
    mark->round = atomic_fetch_add_explicit(&node->ticket_next, 1, memory_order_relaxed);
    mark->last_ticket = mark->round + 1;
    mark->waiting_count = node->shard_count;
    mark->ticket = UINT64_MAX;
    tell_all(aof, AOF_MAIL_ASK, mark->round, 0);
}

void
aof_mark_advance(struct aof *aof)
{
    struct aof_mark *mark = &aof->mark;
    if (mark->point == NULL || !aof_point_is_synced(aof->shard, mark->point)) {
        return;
    }
    heap_free(mark->point);
    mark->point = NULL;
    tell_all(aof, AOF_MAIL_COMPLETE, mark->round, mark->ticket);
}

/** Core 0: a shard has answered. */
static void
mark_answer(struct aof *aof, const struct aof_mail *mail)
{
    struct aof_mark *mark = &aof->mark;
    if (mark->waiting_count == 0 || mail->round != mark->round) {
        return; /* asked by a log that has ended */
    }
    mark->ticket = MIN(mark->ticket, mail->ticket);
    if (--mark->waiting_count == 0) {
        mark->point = aof_point_new(aof->shard);
    }
}

static void
mark_append(struct aof *aof, uint64_t ticket)
{
    if (!aof->has_parts || aof->is_closing) {
        return;
    }
    aof->has_parts = false;
    char *bytes = aof_writer_reserve(&aof->writer, AOF_LINE_SIZE_MAX);
    aof_writer_commit(&aof->writer, aof_complete_format(bytes, ticket));
}

void
aof_mark_receive(struct shard *shard, struct aof_mail *mail)
{
    struct aof *aof = shard->aof;
    switch (mail->kind) {
    case AOF_MAIL_ASK:
        mail->kind = AOF_MAIL_ANSWER;
        mail->ticket = transaction_oldest_ticket(shard->router);
        router_post(shard->router, 0, MAIL_AOF, &mail->mail);
        return;
    case AOF_MAIL_ANSWER:
        if (aof != NULL) {
            mark_answer(aof, mail);
        }
        break;
    case AOF_MAIL_COMPLETE:
        if (aof != NULL) {
            mark_append(aof, mail->ticket);
        }
        break;
    case AOF_MAIL_OPEN:
    case AOF_MAIL_FAILED:
    case AOF_MAIL_RESTART:
    case AOF_MAIL_RECOVERED:
    case AOF_MAIL_CUT:
    case AOF_MAIL_CLOSED:
        ASSERT(false);
    }
    heap_free(mail);
}
