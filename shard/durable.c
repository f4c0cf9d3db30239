/*
 * durable.c: answers that wait for the disk.
 *
 * What a turn journals is one portion with one mark, a number that rises: portions become safe in
 * order, so one comparison tells whether an answer may go.
 *
 *     turn 7: SET a, SET b   -> mark 7 ──▶ written (everysec, no) or synced (always) ──▶ safe: 7
 *     answers of turn 7: held as "7"                                                     go
 *
 * An answer to a connection of this core waits in the connection (client.c holds its output), an
 * answer that travels to another core waits here as mail. A reader of another connection waits only
 * under `always`, and only where it has looked at a slot with changes that are not safe yet.
 *
 * A part of a transaction over several shards is worth nothing without the others. Its keys stay
 * lent until all shards have theirs (lender.c), so nothing that is answered here can be built on it
 * before; what else comes behind it in the file does not depend on it.
 *
 * Marks, not offsets: what follows is the journal's affair alone, and a reader may add bytes of its
 * own (checksums) without anybody having to count them.
 */
#include "shard/durable.h"

#include "core/heap.h"
#include "core/mailbox.h"
#include "shard/router_internal.h"

#define CAPACITY_MIN 64

void
durable_create(struct durable *durable)
{
    *durable = (struct durable){.next_mark = 1};
}

void
durable_destroy(struct durable *durable)
{
    ASSERT(durable->held.count == 0);
    heap_free(durable->held.mails);
    heap_free(durable->slot_marks);
}

/* ---- mail that waits ---- */

static void
queue_push(struct durable_queue *queue, uint64_t mark, uint32_t to, struct mail *mail)
{
    if (queue->count == queue->capacity) {
        uint32_t capacity = MAX(queue->capacity * 2, (uint32_t)CAPACITY_MIN);
        struct durable_mail *mails = heap_alloc(capacity * sizeof(*mails));
        for (uint32_t i = 0; i < queue->count; i++) {
            mails[i] = queue->mails[(queue->first + i) % queue->capacity];
        }
        heap_free(queue->mails);
        *queue =
            (struct durable_queue){.mails = mails, .count = queue->count, .capacity = capacity};
    }
    uint32_t at = (queue->first + queue->count++) % queue->capacity;
    queue->mails[at] = (struct durable_mail){.mark = mark, .mail = mail, .to = (uint16_t)to};
}

static void
queue_post(struct shard *shard, struct durable_queue *queue, uint64_t mark)
{
    while (queue->count > 0 && queue->mails[queue->first].mark <= mark) {
        const struct durable_mail held = queue->mails[queue->first];
        queue->first = (queue->first + 1) % queue->capacity;
        queue->count--;
        router_post(shard->router, held.to, (enum mail_kind)held.mail->kind, held.mail);
    }
}

uint64_t
durable_hold(struct durable *durable, uint64_t mark, uint32_t to, struct mail *mail)
{
    struct durable_queue *queue = &durable->held;
    if (queue->count > 0) {
        uint32_t last = (queue->first + queue->count - 1) % queue->capacity;
        mark = MAX(mark, queue->mails[last].mark);
    }
    queue_push(queue, mark, to, mail);
    return mark;
}

/* ---- what is safe ---- */

void
durable_written(struct shard *shard, uint64_t mark)
{
    struct durable *durable = &shard->durable;
    mark = MIN(mark, durable->next_mark);
    if (mark <= durable->safe_mark) {
        return;
    }
    durable->safe_mark = mark;
    queue_post(shard, &durable->held, mark);
    if (shard->ops.durable_advanced != NULL) {
        shard->ops.durable_advanced(shard->core);
    }
}
