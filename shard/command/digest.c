/*
 * digest.c: DEBUG DIGEST and DIGEST-VALUE: do two servers hold the same data?
 *
 * A key's digest mixes its name and its value (shard/value/digest.h). A database adds up those of
 * its keys, in whichever order they are found, so each shard adds up its own and the coordinator
 * joins the sums. Databases come one after the other: the number of one that has keys is mixed into
 * what those before it gave, and then its keys are added:
 *
 *     shard 0   db 0 [ sum ]   db 3 [     ]         mix(0) + sum + sum
 *     shard 1   db 0 [ sum ]   db 3 [ sum ]    ->   mix(3)       + sum    ->  40 digits
 *
 * so a shard answers with a sum for each database, and whether there was a key.
 *
 * A key past its deadline that nobody has removed yet counts, for both verbs, as in redis-server:
 * they show what is there. Neither counts as a use of a key.
 */
#include "shard/command/digest.h"

#include "core/heap.h"
#include "shard/call.h"
#include "shard/shard.h"
#include "shard/value/digest.h"

/* ---- DIGEST ---- */

/** A shard's share of a database. */
struct digest_share {
    struct digest sum;
    uint64_t key_count;
};

static void
entry_digest(struct digest *digest, const struct entry *entry)
{
    struct value value;
    entry_value(entry, &value);
    digest_mix_value(digest, &value, entry_has_deadline(entry));
}

static void
share_visit_entry(void *context, struct entry *entry)
{
    struct digest_share *share = context;
    struct digest digest = {0};
    digest_mix(&digest, entry_key(entry));
    entry_digest(&digest, entry);
    digest_add(&share->sum, slice_of(digest.bytes, DIGEST_SIZE));
    share->key_count++;
}

static void
share_collect(struct digest_share *share, const struct keyspace *keyspace, uint32_t db)
{
    uint32_t slot = keyspace_slot_next(keyspace, db, 0);
    while (slot < SLOT_COUNT) {
        uint64_t position = 0;
        do {
            position = keyspace_scan(keyspace, db, slot, position, share_visit_entry, share);
        } while (position != 0);
        if (++slot < SLOT_COUNT) {
            slot = keyspace_slot_next(keyspace, db, slot);
        }
    }
}

void
digest_all_part(struct part *part)
{
    const struct keyspace *keyspace = &part->shard->keyspace;
    size_t size = keyspace->database_count * sizeof(struct digest_share);
    struct digest_share *shares = heap_alloc(size);
    memset(shares, 0, size);
    for (uint32_t db = 0; db < keyspace->database_count; db++) {
        share_collect(&shares[db], keyspace, db);
        ASSERT(shares[db].key_count == keyspace->databases[db].key_count);
    }
    part->data = shares;
}

void
digest_all_run(struct call *call)
{
    struct digest digest = {0};
    uint32_t database_count = call->shard->keyspace.database_count;
    for (uint32_t db = 0; db < database_count; db++) {
        struct digest_share all = {0};
        for (uint32_t i = 0; i < call->part_count; i++) {
            const struct digest_share *shares = call->parts[i].data;
            digest_join(&all.sum, &shares[db].sum);
            all.key_count += shares[db].key_count;
        }
        if (all.key_count > 0) {
            digest_mix_number(&digest, db);
            digest_join(&digest, &all.sum);
        }
    }
    char text[DIGEST_TEXT_SIZE];
    digest_format(&digest, text);
    reply_simple(call->reply, text);
}

/* ---- DIGEST-VALUE ---- */

/** DEBUG DIGEST-VALUE */
#define DIGEST_KEYS_FIRST 2

/** A shard leaves zeros for the keys that are not its own. */
void
digest_keys_part(struct part *part)
{
    const struct shard *shard = part->shard;
    uint32_t count = part->argc - DIGEST_KEYS_FIRST;
    size_t size = count * sizeof(struct digest);
    struct digest *digests = heap_alloc(size);
    memset(digests, 0, size);
    for (uint32_t i = 0; i < count; i++) {
        struct slice key = part->argv[DIGEST_KEYS_FIRST + i];
        uint16_t slot = key_slot(key);
        if (shard->node->slot_owner[slot] != shard->index) {
            continue;
        }
        uint64_t hash = keyspace_hash(&shard->keyspace, key);
        const struct entry *entry = keyspace_find(&shard->keyspace, part->db, slot, key, hash);
        if (entry != NULL) {
            entry_digest(&digests[i], entry);
        }
    }
    part->data = digests;
}

void
digest_keys_run(struct call *call)
{
    uint32_t count = call->argc - DIGEST_KEYS_FIRST;
    reply_array(call->reply, count);
    for (uint32_t i = 0; i < count; i++) {
        struct digest digest = {0};
        for (uint32_t j = 0; j < call->part_count; j++) {
            const struct digest *digests = call->parts[j].data;
            digest_join(&digest, &digests[i]);
        }
        char text[DIGEST_TEXT_SIZE];
        digest_format(&digest, text);
        reply_simple(call->reply, text);
    }
}
