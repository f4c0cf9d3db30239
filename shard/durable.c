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
 * Marks, not offsets: what follows is the journal's affair alone, and a reader may add bytes of its
 * own (checksums) without anybody having to count them.
 */
#include "shard/durable.h"

#include "core/heap.h"
#include "core/mailbox.h"
#include "shard/router_internal.h"

#define MAIL_CAPACITY_MIN 64

void
durable_create(struct durable *durable)
{
    *durable = (struct durable){.next_mark = 1};
}

void
durable_destroy(struct durable *durable)
{
    ASSERT(durable->mail_count == 0);
    heap_free(durable->mails);
    heap_free(durable->slot_marks);
}

static void
mails_grow(struct durable *durable)
{
    uint32_t capacity = MAX(durable->mail_capacity * 2, (uint32_t)MAIL_CAPACITY_MIN);
    struct durable_mail *mails = heap_alloc(capacity * sizeof(*mails));
    for (uint32_t i = 0; i < durable->mail_count; i++) {
        mails[i] = durable->mails[(durable->mail_first + i) % durable->mail_capacity];
    }
    heap_free(durable->mails);
    durable->mails = mails;
    durable->mail_first = 0;
    durable->mail_capacity = capacity;
}

void
durable_hold(struct durable *durable, uint64_t mark, uint32_t to, struct mail *mail)
{
    if (durable->mail_count == durable->mail_capacity) {
        mails_grow(durable);
    }
    uint32_t at = (durable->mail_first + durable->mail_count++) % durable->mail_capacity;
    durable->mails[at] = (struct durable_mail){.mark = mark, .mail = mail, .to = (uint16_t)to};
}

void
durable_safe(struct shard *shard, uint64_t mark)
{
    struct durable *durable = &shard->durable;
    durable->safe_mark = MAX(durable->safe_mark, MIN(mark, durable->next_mark));
    while (durable->mail_count > 0) {
        const struct durable_mail *held = &durable->mails[durable->mail_first];
        if (!durable_is_safe(durable, held->mark)) {
            return;
        }
        struct mail *mail = held->mail;
        uint32_t to = held->to;
        durable->mail_first = (durable->mail_first + 1) % durable->mail_capacity;
        durable->mail_count--;
        router_post(shard->router, to, (enum mail_kind)mail->kind, mail);
    }
}
