/*
 * durable.h: when an answer may leave. Every change goes to the shard's journal; its answer waits
 * until the journal's readers (the append-only file) have it where `appendfsync` wants it.
 * Owner thread only. Without a journal nothing waits, and nothing is asked.
 */
#pragma once

#include "shard/shard.h"

void durable_create(struct durable *durable);
/** Nobody waits any more. */
void durable_destroy(struct durable *durable);

/** What has been journaled since the last call is one portion: it is safe when durable_safe() names
 * the returned mark. */
static inline uint64_t
durable_portion(struct durable *durable)
{
    return durable->next_mark++;
}

/** Changes were journaled: what runs now must not be answered before they are safe. */
static inline void
durable_changed(struct durable *durable)
{
    durable->hold_mark = durable->next_mark;
}

/** A key of this slot is looked at: under `always`, what is seen must be on disk before it is told.
 */
static inline void
durable_seen(struct durable *durable, uint32_t slot)
{
    if (UNLIKELY(durable->slot_marks != NULL)) {
        durable->hold_mark = MAX(durable->hold_mark, durable->slot_marks[slot]);
    }
}

/** All slots are looked at: one place behind theirs has the mark of the latest change. */
static inline void
durable_seen_all(struct durable *durable)
{
    durable_seen(durable, SLOT_COUNT);
}

/** What an answer depends on is collected from here ... */
static inline uint64_t
durable_begin(struct durable *durable)
{
    uint64_t outer = durable->hold_mark;
    durable->hold_mark = 0;
    return outer;
}

/** ... to here: the mark that it has to wait for. `outer` is what durable_begin() returned. */
static inline uint64_t
durable_end(struct durable *durable, uint64_t outer)
{
    uint64_t mark = durable->hold_mark;
    durable->hold_mark = MAX(mark, outer);
    return mark;
}

static inline bool
durable_is_safe(const struct durable *durable, uint64_t mark)
{
    return mark <= durable->safe_mark;
}

/** Keep a mail whose kind is set until `mark` is safe, and what was kept before it has gone.
 * Returns the mark with which further mail stays behind it. */
uint64_t durable_hold(struct durable *durable, uint64_t mark, uint32_t to, struct mail *mail);

/** Everything up to `mark` is written; UINT64_MAX: whatever there is. The mail that waited for it
 * is posted, and the core is told (ops.durable_advanced). */
void durable_written(struct shard *shard, uint64_t mark);
