/*
 * tracking_prefix.c: what BCAST sessions want their keys to begin with.
 *
 *     lengths: 0, 3, 5       key "user:17"  ─▶ "", "use", "user:" looked up in one hash table
 *
 * Every shard knows every prefix and how many sessions on each core want it, since any key may
 * begin so; a core knows in the same place which of its own sessions those are. A change costs one
 * look-up for each different length, however many prefixes there are.
 *
 * Invariants: a prefix exists while it is counted; counted_count is the sum of core_counts; the
 * members are counted; lengths lists each length of a prefix once, ascending.
 */
#include "core/hash.h"
#include "core/heap.h"
#include "shard/tracking_internal.h"

#define BUCKETS_MIN 16

static inline struct tracking_prefix **
prefix_bucket(const struct tracking_prefixes *prefixes, uint64_t hash)
{
    return &prefixes->buckets[(uint32_t)(hash >> 8) & (prefixes->bucket_count - 1)];
}

static void
prefix_delete(struct tracking_prefix *prefix)
{
    ASSERT(prefix->member_count == 0);
    heap_free(prefix->members);
    heap_free(prefix->core_counts);
    heap_free(prefix);
}

void
tracking_prefixes_destroy(struct tracking_prefixes *prefixes)
{
    for (uint32_t i = 0; i < prefixes->bucket_count; i++) {
        for (struct tracking_prefix *prefix = prefixes->buckets[i], *next; prefix != NULL;
             prefix = next) {
            next = prefix->next;
            prefix_delete(prefix);
        }
    }
    heap_free(prefixes->buckets);
    heap_free(prefixes->lengths);
}

static struct tracking_prefix *
find(const struct tracking_prefixes *prefixes, struct slice bytes, uint64_t hash)
{
    if (prefixes->count == 0) {
        return NULL;
    }
    struct tracking_prefix *prefix = *prefix_bucket(prefixes, hash);
    while (prefix != NULL && (prefix->hash != hash || !slice_equal(prefix_bytes(prefix), bytes))) {
        prefix = prefix->next;
    }
    return prefix;
}

struct tracking_prefix *
tracking_prefix_find(const struct shard *shard, struct slice bytes)
{
    return find(&shard->tracking->prefixes, bytes, keyspace_hash(&shard->keyspace, bytes));
}

/** One prefix of this length more, or one less. */
static void
length_count(struct tracking_prefixes *prefixes, size_t size, int32_t delta)
{
    uint32_t at = 0;
    while (at < prefixes->length_count && prefixes->lengths[at].size < size) {
        at++;
    }
    bool is_known = at < prefixes->length_count && prefixes->lengths[at].size == size;
    if (!is_known) {
        ASSERT(delta > 0);
        prefixes->lengths = heap_realloc(prefixes->lengths,
                                         (prefixes->length_count + 1) * sizeof(*prefixes->lengths));
        memmove(prefixes->lengths + at + 1, prefixes->lengths + at,
                (prefixes->length_count - at) * sizeof(*prefixes->lengths));
        prefixes->lengths[at] = (struct tracking_length){.size = size};
        prefixes->length_count++;
    }
    prefixes->lengths[at].prefix_count += (uint64_t)(int64_t)delta;
    if (prefixes->lengths[at].prefix_count == 0) {
        prefixes->length_count--;
        memmove(prefixes->lengths + at, prefixes->lengths + at + 1,
                (prefixes->length_count - at) * sizeof(*prefixes->lengths));
    }
}

static void
grow(struct tracking_prefixes *prefixes)
{
    if (prefixes->count < prefixes->bucket_count) {
        return;
    }
    struct tracking_prefix **old = prefixes->buckets;
    uint32_t old_count = prefixes->bucket_count;
    prefixes->bucket_count = MAX(old_count * 2, (uint32_t)BUCKETS_MIN);
    prefixes->buckets = heap_alloc(prefixes->bucket_count * sizeof(struct tracking_prefix *));
    memset(prefixes->buckets, 0, prefixes->bucket_count * sizeof(struct tracking_prefix *));
    for (uint32_t i = 0; i < old_count; i++) {
        for (struct tracking_prefix *prefix = old[i], *next; prefix != NULL; prefix = next) {
            next = prefix->next;
            struct tracking_prefix **bucket = prefix_bucket(prefixes, prefix->hash);
            prefix->next = *bucket;
            *bucket = prefix;
        }
    }
    heap_free(old);
}

static struct tracking_prefix *
prefix_new(struct tracking *tracking, struct slice bytes, uint64_t hash)
{
    struct tracking_prefixes *prefixes = &tracking->prefixes;
    grow(prefixes);
    struct tracking_prefix *prefix = heap_alloc(sizeof(*prefix) + bytes.size);
    *prefix = (struct tracking_prefix){.hash = hash, .size = bytes.size};
    if (bytes.size > 0) {
        memcpy(prefix->bytes, bytes.data, bytes.size);
    }
    size_t counts_size = tracking->shard_count * sizeof(*prefix->core_counts);
    prefix->core_counts = heap_alloc(counts_size);
    memset(prefix->core_counts, 0, counts_size);
    struct tracking_prefix **bucket = prefix_bucket(prefixes, hash);
    prefix->next = *bucket;
    *bucket = prefix;
    prefixes->count++;
    length_count(prefixes, bytes.size, 1);
    return prefix;
}

void
tracking_prefix_count(struct shard *shard, struct slice bytes, uint32_t core, int32_t delta)
{
    struct tracking_prefixes *prefixes = &shard->tracking->prefixes;
    uint64_t hash = keyspace_hash(&shard->keyspace, bytes);
    struct tracking_prefix *prefix = find(prefixes, bytes, hash);
    if (prefix == NULL) {
        prefix = prefix_new(shard->tracking, bytes, hash);
    }
    ASSERT(delta > 0 || prefix->core_counts[core] > 0);
    prefix->core_counts[core] += (uint32_t)delta;
    prefix->counted_count += (uint64_t)(int64_t)delta;
    if (prefix->counted_count == 0) {
        struct tracking_prefix **place = prefix_bucket(prefixes, hash);
        while (*place != prefix) {
            place = &(*place)->next;
        }
        *place = prefix->next;
        prefixes->count--;
        length_count(prefixes, prefix->size, -1);
        prefix_delete(prefix);
    }
    tracking_interest_update(shard);
}

void
tracking_prefix_join(struct tracking_prefix *prefix, struct tracking_session *member)
{
    if (prefix->member_count == prefix->member_capacity) {
        prefix->member_capacity = MAX(prefix->member_capacity * 2, 2U);
        prefix->members =
            heap_realloc(prefix->members, prefix->member_capacity * sizeof(*prefix->members));
    }
    prefix->members[prefix->member_count++] = member;
}

void
tracking_prefix_leave(struct tracking_prefix *prefix, struct tracking_session *member)
{
    uint32_t at = 0;
    while (prefix->members[at] != member) {
        at++;
        ASSERT(at < prefix->member_count);
    }
    prefix->members[at] = prefix->members[--prefix->member_count];
}

void
tracking_prefix_each(const struct shard *shard, struct slice key, tracking_prefix_fn *visit,
                     void *context)
{
    const struct tracking_prefixes *prefixes = &shard->tracking->prefixes;
    for (uint32_t i = 0; i < prefixes->length_count; i++) {
        if (prefixes->lengths[i].size > key.size) {
            return;
        }
        struct tracking_prefix *prefix =
            tracking_prefix_find(shard, slice_of(key.data, prefixes->lengths[i].size));
        if (prefix != NULL) {
            visit(context, prefix);
        }
    }
}
