/*
 * field_expiry.c: the end of fields.
 * A hash hangs in the wheel once, with its first deadline. When that comes a few fields go, and the
 * hash is hung up by the next one; where that is due, too, the same millisecond goes on with it. So
 * a hash of which a million fields die at once takes many small steps, and its owner's turns stay
 * short; nobody sees these fields meanwhile.
 *
 *     wheel -> entry -> hash: [. . x . | x x . . | . . . x]  -> one bucket's x: HDEL key x x
 *       ^-------- first deadline of those that are left -------'
 *
 * Not when somebody reads: a hash that is lent to several readers is nobody's to change.
 */
#include "shard/field_expiry.h"

#include "core/heap.h"
#include "shard/change.h"
#include "shard/effect.h"
#include "shard/journal.h"
#include "shard/notify.h"
#include "shard/snapshot.h"
#include "shard/value/object.h"
#include "shard/value/packed.h"

struct field_expiry {
    struct shard *shard;
    const struct packed *packed;
    struct slice key;
    uint16_t db;
    uint16_t slot;
};

/** HDEL of these fields, or DEL where they are all that is left. */
static void
fields_effect(void *context, const struct packed_item *items, uint32_t count)
{
    const struct field_expiry *expiry = context;
    struct slice argv[2 + PACKED_EXPIRE_MAX] = {SLICE("HDEL"), expiry->key};
    if (packed_count(expiry->packed) == count) {
        argv[0] = SLICE("DEL");
        effects_append(expiry->shard->journal, expiry->db, expiry->slot, argv, 2);
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        argv[2 + i] = items[i].member;
    }
    effects_append(expiry->shard->journal, expiry->db, expiry->slot, argv, 2 + count);
}

/** Tell those who want to know; the key lies in the entry, which may have gone. */
static void
expiry_tell(struct shard *shard, struct change *change)
{
    notify_key(shard, change->db, change->key, NOTIFY_HASH, "hexpired");
    if (change->type == VALUE_NONE) {
        notify_key(shard, change->db, change->key, NOTIFY_GENERIC, "del");
    }
    change_key(shard, change);
}

void
field_expiry_step(struct shard *shard, uint16_t db, uint16_t slot, uint64_t hash,
                  struct entry *entry)
{
    struct keyspace *keyspace = &shard->keyspace;
    if (UNLIKELY(shard->snapshot != NULL)) {
        snapshot_before_change(shard, db, entry);
    }
    struct value value;
    entry_value(entry, &value);
    ASSERT(value.type == VALUE_HASH && value.encoding == ENCODING_HASHTABLE);
    struct packed *packed = value.object;
    uint64_t old_size = object_size(packed);
    struct field_expiry expiry = {
        .shard = shard, .packed = packed, .key = entry_key(entry), .db = db, .slot = slot};
    packed_expire_fn *effect = shard->journal != NULL ? fields_effect : NULL;
    uint32_t count = packed_expire(packed, shard->now_ms, effect, &expiry);
    shard->counters.expired_field_count += count;
    journal_close(shard);

    struct change change = {.key = expiry.key,
                            .hash = hash,
                            .db = db,
                            .slot = slot,
                            .type = packed_count(packed) == 0 ? VALUE_NONE : VALUE_HASH};
    bool is_told = count > 0 && (shard->interest != 0 || shard->notify_classes != 0);
    char *copy = NULL;
    if (UNLIKELY(is_told)) {
        copy = heap_alloc(MAX(change.key.size, (size_t)1));
        memcpy(copy, change.key.data, change.key.size);
        change.key.data = copy;
    }
    entry = keyspace_object_set(keyspace, db, slot, hash, entry, &value, old_size);
    if (change.type == VALUE_NONE) {
        keyspace_remove(keyspace, db, slot, hash, entry);
    }
    if (UNLIKELY(is_told)) {
        expiry_tell(shard, &change);
        heap_free(copy);
    }
}
