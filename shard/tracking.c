/*
 * tracking.c: the owner's side of client-side caching.
 *
 *     client 7 on core 2: GET a ──▶ owner of a: value ──▶ core 2 ──▶ client 7 keeps it
 *                                     table: a ─▶ {7 on 2}
 *     client 9 on core 0: SET a ──▶ owner: a changes; a ─▶ {} ──▶ core 2: client 7, drop "a"
 *
 * A name is registered by the commit of the view that was read: at once for the owner's own
 * commands, with RETURN for a loan, so always before anybody else can change the key. Every change
 * is told by shard/change.h; its readers are taken out of the table (they will read again) and told
 * by one mail for each core. Mail from the owner to a core keeps its order, so that an invalidation
 * comes behind the reply that it is about; there it goes to the end of the session's lane, behind
 * all replies that are known or owed.
 *
 * The table knows names, not databases: what has the same name in two of them is invalidated for
 * both, as in redis-server. Sessions that have ended or do not track any more are found out when
 * they are to be told something: ids are not used twice.
 *
 * In a transaction a key may be read and written, in either order. A view that was read before a
 * writing command registers ahead of its change, and so is told; one that was read last registers
 * behind it.
 *
 * `tracking-table-max-keys` is shared out evenly: each shard forgets names at random above its
 * part, with an invalidation, as if they had changed.
 *
 * Invariant: INTEREST_TRACKING is set while the table or the prefixes are not empty. Rejected: a
 * registration by mail from the reader's core (a change could come before it), and telling the
 * readers without the table (each change to all cores).
 */
#include "shard/tracking.h"

#include "core/heap.h"
#include "shard/call.h"
#include "shard/change.h"
#include "shard/router_internal.h"
#include "shard/tracking_internal.h"

static_assert(SHARD_COUNT_MAX <= 1 << TRACKER_CORE_BITS, "a tracker's core");

/** Names that one reading command may push out of the table: more than it brings in, so that the
 * table comes down to a lower limit. */
#define EVICTIONS_MAX 8

/** A table that was emptied at once and is freed in steps. */
struct tracking_remains {
    struct tracking_remains *next;
    struct tracking_table table;
};

struct tracking *
tracking_new(uint32_t shard_count)
{
    struct tracking *tracking = heap_alloc(sizeof(*tracking));
    *tracking = (struct tracking){.shard_count = shard_count};
    tracking_table_create(&tracking->table);
    list_create(&tracking->active);
    tracking->core_counts = heap_alloc(shard_count * sizeof(*tracking->core_counts));
    tracking->is_wanted = heap_alloc(shard_count * sizeof(*tracking->is_wanted));
    memset(tracking->core_counts, 0, shard_count * sizeof(*tracking->core_counts));
    memset(tracking->is_wanted, 0, shard_count * sizeof(*tracking->is_wanted));
    return tracking;
}

void
tracking_delete(struct tracking *tracking)
{
    ASSERT(tracking->session_count == 0);
    while (tracking->remains != NULL) {
        struct tracking_remains *remains = tracking->remains;
        tracking->remains = remains->next;
        tracking_table_destroy(&remains->table);
        heap_free(remains);
    }
    tracking_table_destroy(&tracking->table);
    tracking_prefixes_destroy(&tracking->prefixes);
    heap_free(tracking->sessions);
    heap_free(tracking->core_counts);
    heap_free(tracking->is_wanted);
    heap_free(tracking);
}

void
tracking_interest_update(struct shard *shard)
{
    const struct tracking *tracking = shard->tracking;
    if (tracking->table.key_count > 0 || tracking->prefixes.count > 0) {
        shard->interest |= INTEREST_TRACKING;
    } else {
        shard->interest &= ~INTEREST_TRACKING;
    }
}

struct tracking_message *
tracking_message_new(enum tracking_message_kind kind, uint32_t id_count, size_t size)
{
    struct tracking_message *message =
        heap_alloc(sizeof(*message) + id_count * sizeof(message->ids[0]) + size);
    *message = (struct tracking_message){.kind = kind, .id_count = id_count, .size = size};
    return message;
}

/* ---- changes ---- */

static void
want_cores(void *context, struct tracking_prefix *prefix)
{
    struct tracking *tracking = context;
    for (uint32_t i = 0; i < tracking->shard_count; i++) {
        tracking->is_wanted[i] |= prefix->core_counts[i] > 0;
    }
}

/** Tell one core of a changed key; clears its scratch. */
static void
send_invalidation(struct shard *shard, uint32_t core, struct slice name,
                  const struct tracked_key *key, uint64_t actor_id)
{
    struct tracking *tracking = shard->tracking;
    uint32_t id_count = tracking->core_counts[core];
    struct tracking_message *message =
        tracking_message_new(TRACKING_INVALIDATE, id_count, name.size);
    message->session_id = actor_id;
    message->is_broadcast = tracking->is_wanted[core];
    uint32_t next = 0;
    for (uint32_t i = 0; next < id_count; i++) {
        uint64_t tracker = tracked_key_trackers(key)[i];
        if (tracker_core(tracker) == core) {
            message->ids[next++] = tracker_session_id(tracker);
        }
    }
    if (name.size > 0) {
        memcpy(tracking_message_bytes(message), name.data, name.size);
    }
    tracking->core_counts[core] = 0;
    tracking->is_wanted[core] = false;
    if (core == shard->index) {
        tracking_deliver(shard, message);
        heap_free(message);
    } else {
        router_post(shard->router, core, MAIL_TRACKING, &message->mail);
    }
}

/** Tell the readers of a key that was taken out of the table (or NULL), and the cores that are
 * wanted already. */
static void
send_invalidations(struct shard *shard, struct slice name, const struct tracked_key *key,
                   uint64_t actor_id)
{
    struct tracking *tracking = shard->tracking;
    for (uint32_t i = 0; key != NULL && i < key->tracker_count; i++) {
        tracking->core_counts[tracker_core(tracked_key_trackers(key)[i])]++;
    }
    for (uint32_t core = 0; core < tracking->shard_count; core++) {
        if (tracking->core_counts[core] > 0 || tracking->is_wanted[core]) {
            send_invalidation(shard, core, name, key, actor_id);
        }
    }
}

void
tracking_key_changed(struct shard *shard, const struct change *change)
{
    struct tracking *tracking = shard->tracking;
    struct tracked_key *key = tracking_table_take(&tracking->table, change->key, change->hash);
    if (LIKELY(key == NULL && tracking->prefixes.count == 0)) {
        return;
    }
    tracking_prefix_each(shard, change->key, want_cores, tracking);
    send_invalidations(shard, change->key, key, change->session_id);
    if (key != NULL) {
        tracked_key_delete(key);
        tracking_interest_update(shard);
    }
}

void
tracking_flushed(struct shard *shard)
{
    struct tracking *tracking = shard->tracking;
    for (struct list_node *node = list_first(&tracking->active); node != NULL;
         node = list_next(&tracking->active, node)) {
        tracking_tell_flush(shard, container_of(node, struct tracking_session, link));
    }
    if (tracking->table.key_count == 0) {
        return;
    }
    struct tracking_remains *remains = heap_alloc(sizeof(*remains));
    remains->table = tracking->table;
    remains->next = tracking->remains;
    tracking->remains = remains;
    tracking_table_create(&tracking->table);
    tracking_interest_update(shard);
}

/* ---- reads ---- */

void
tracking_mark(struct call *call, bool is_writer)
{
    call->shard->actor_core = call->coordinator;
    for (uint32_t i = 0; i < call->view_count; i++) {
        struct view *view = call->views[i];
        if (view_is_channel(view)) {
            continue;
        }
        if (!is_writer) {
            view->flags |= VIEW_TRACK;
        } else if ((view->flags & VIEW_TRACK) != 0) {
            view->flags &= (uint16_t)~VIEW_TRACK;
            view->flags |= VIEW_TRACK_BEFORE;
        }
    }
}

/** The shard's part of the limit; UINT64_MAX: none. */
static uint64_t
key_count_max(const struct shard *shard)
{
    uint64_t limit = (uint64_t)shard->config->tracking_table_max_keys;
    uint32_t shard_count = shard->tracking->shard_count;
    return limit == 0 ? UINT64_MAX : (limit + shard_count - 1) / shard_count;
}

/** Forget names above the limit, at most `count`. Returns how many. */
static uint32_t
evict(struct shard *shard, uint32_t count)
{
    struct tracking *tracking = shard->tracking;
    uint64_t key_count_limit = key_count_max(shard);
    uint32_t evicted_count = 0;
    while (evicted_count < count && tracking->table.key_count > key_count_limit) {
        struct tracked_key *key = tracking_table_take_random(&tracking->table, &shard->random);
        send_invalidations(shard, tracked_key_name(key), key, 0);
        tracked_key_delete(key);
        evicted_count++;
    }
    return evicted_count;
}

void
tracking_read(struct shard *shard, const struct view *view)
{
    tracking_table_add(&shard->tracking->table, view->key, view->hash,
                       tracker_of(shard->actor_id, shard->actor_core));
    shard->interest |= INTEREST_TRACKING;
    evict(shard, EVICTIONS_MAX);
}

bool
tracking_collect(struct shard *shard, uint32_t step_count_max)
{
    struct tracking *tracking = shard->tracking;
    if (LIKELY(tracking->remains == NULL && tracking->table.key_count == 0)) {
        return true;
    }
    if (tracking->remains != NULL) {
        struct tracking_remains *remains = tracking->remains;
        if (tracking_table_drain(&remains->table, step_count_max)) {
            tracking->remains = remains->next;
            heap_free(remains);
        }
        return tracking->remains == NULL;
    }
    return evict(shard, step_count_max) < step_count_max;
}

/* ---- mail ---- */

/** Packed prefixes: size and bytes of one after the other. */
static void
untrack(struct shard *shard, struct tracking_message *message, uint32_t core)
{
    const char *at = tracking_message_bytes(message);
    const char *end = at + message->size;
    while (at < end) {
        size_t size;
        memcpy(&size, at, sizeof(size));
        tracking_prefix_count(shard, slice_of(at + sizeof(size), size), core, -1);
        at += sizeof(size) + size;
    }
}

void
tracking_receive(struct shard *shard, struct mail *mail)
{
    struct tracking_message *message = container_of(mail, struct tracking_message, mail);
    switch (message->kind) {
    case TRACKING_INVALIDATE:
        tracking_deliver(shard, message);
        break;
    case TRACKING_REDIRECT:
        tracking_redirected(shard, message, mail->from);
        break;
    case TRACKING_GONE:
        tracking_gone(shard, message->session_id, message->target_id);
        break;
    case TRACKING_UNTRACK:
        untrack(shard, message, mail->from);
        break;
    }
    heap_free(message);
}

/* ---- numbers ---- */

uint64_t
tracking_key_count(const struct shard *shard)
{
    return shard->tracking->table.key_count;
}

uint64_t
tracking_item_count(const struct shard *shard)
{
    return shard->tracking->table.item_count;
}

uint64_t
tracking_prefix_total(const struct shard *shard)
{
    return shard->tracking->prefixes.count;
}

uint64_t
tracking_session_count(const struct shard *shard)
{
    return shard->tracking->active_count;
}
