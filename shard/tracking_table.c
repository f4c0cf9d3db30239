/*
 * tracking_table.c: a linear hash table of names, each with a sorted array of trackers.
 *
 *     segments ─▶ [bucket 0 .. 511] ─▶ key "a" (one tracker, in the key) ─▶ key "b" ─▶ [3, 7, 12]
 *              ─▶ [bucket 512 .. ]
 *
 * The table may hold millions of names that clients have read, and be emptied by one FLUSHALL: it
 * grows and shrinks by one bucket with each key, and is drained in steps, so that no call is long.
 * Most names have one tracker, which lies in the key; many are kept sorted, since adding is a
 * search and, for a new one, a move of some bytes.
 *
 * Invariants: bucket_count is 0 or at least key_count / 2; a key has at least one tracker;
 * item_count is the sum of their counts. Rejected: a table that doubles (a turn of milliseconds),
 * and entries in the keyspace that know their trackers (names are tracked that do not exist).
 */
#include "shard/tracking_table.h"

#include "core/heap.h"

#define SEGMENT_BUCKETS 512

void
tracking_table_create(struct tracking_table *table)
{
    *table = (struct tracking_table){0};
}

static inline struct tracked_key **
bucket_at(const struct tracking_table *table, uint64_t index)
{
    return &table->segments[index / SEGMENT_BUCKETS][index % SEGMENT_BUCKETS];
}

/** The largest power of two that is not above `value`, which is not 0. */
static inline uint64_t
power_below(uint64_t value)
{
    return UINT64_C(1) << (63 - __builtin_clzll(value));
}

/** Buckets that have been split this round are found by one bit more of the hash. */
static inline struct tracked_key **
bucket_of(const struct tracking_table *table, uint64_t hash)
{
    uint64_t half = power_below(table->bucket_count);
    uint64_t index = hash & (half * 2 - 1);
    return bucket_at(table, index < table->bucket_count ? index : index - half);
}

/** One bucket more at the end, empty. */
static void
push_bucket(struct tracking_table *table)
{
    uint64_t index = table->bucket_count++;
    uint32_t segment = (uint32_t)(index / SEGMENT_BUCKETS);
    if (index % SEGMENT_BUCKETS == 0) {
        if (segment == table->segment_capacity) {
            table->segment_capacity = MAX(segment * 2, 4U);
            table->segments =
                heap_realloc(table->segments, table->segment_capacity * sizeof(*table->segments));
        }
        table->segments[segment] = heap_alloc(SEGMENT_BUCKETS * sizeof(struct tracked_key *));
    }
    *bucket_at(table, index) = NULL;
}

static void
pop_bucket(struct tracking_table *table)
{
    uint64_t index = --table->bucket_count;
    if (index % SEGMENT_BUCKETS == 0) {
        heap_free(table->segments[index / SEGMENT_BUCKETS]);
    }
    if (index == 0) {
        heap_free(table->segments);
        table->segments = NULL;
        table->segment_capacity = 0;
    }
}

/** A key has come: split the bucket whose turn it is. */
static void
table_grow(struct tracking_table *table)
{
    uint64_t index = table->bucket_count;
    push_bucket(table);
    if (index == 0) {
        return;
    }
    uint64_t half = power_below(index);
    struct tracked_key **from = bucket_at(table, index - half);
    struct tracked_key **to = bucket_at(table, index);
    while (*from != NULL) {
        struct tracked_key *key = *from;
        if ((key->hash & (half * 2 - 1)) != index) {
            from = &key->next;
            continue;
        }
        *from = key->next;
        key->next = NULL;
        *to = key;
        to = &key->next;
    }
}

/** A key has gone: merge the last bucket into the one that it was split from. */
static void
table_shrink(struct tracking_table *table)
{
    while (table->bucket_count > 0 && table->key_count * 2 < table->bucket_count) {
        uint64_t index = table->bucket_count - 1;
        struct tracked_key *moved = *bucket_at(table, index);
        if (index > 0) {
            struct tracked_key **to = bucket_at(table, index - power_below(index));
            while (*to != NULL) {
                to = &(*to)->next;
            }
            *to = moved;
        }
        ASSERT(index > 0 || moved == NULL);
        pop_bucket(table);
    }
}

/** Where the key is linked from, or the end of its chain. There is a bucket. */
static struct tracked_key **
find_key(const struct tracking_table *table, struct slice name, uint64_t hash)
{
    struct tracked_key **place = bucket_of(table, hash);
    while (*place != NULL &&
           ((*place)->hash != hash || !slice_equal(tracked_key_name(*place), name))) {
        place = &(*place)->next;
    }
    return place;
}

/** False: it is there already. */
static bool
key_add_tracker(struct tracked_key *key, uint64_t added)
{
    const uint64_t *trackers = tracked_key_trackers(key);
    uint32_t low = 0;
    uint32_t high = key->tracker_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (trackers[middle] < added) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low < key->tracker_count && trackers[low] == added) {
        return false;
    }
    if (key->tracker_count == key->tracker_capacity) {
        uint32_t capacity = key->tracker_capacity * 2;
        if (key->tracker_capacity == 1) {
            uint64_t one = key->one;
            key->many = heap_alloc(capacity * sizeof(uint64_t));
            key->many[0] = one;
        } else {
            key->many = heap_realloc(key->many, capacity * sizeof(uint64_t));
        }
        key->tracker_capacity = capacity;
    }
    memmove(key->many + low + 1, key->many + low, (key->tracker_count - low) * sizeof(uint64_t));
    key->many[low] = added;
    key->tracker_count++;
    return true;
}

void
tracking_table_add(struct tracking_table *table, struct slice name, uint64_t hash, uint64_t tracker)
{
    if (table->key_count > 0) {
        struct tracked_key *known = *find_key(table, name, hash);
        if (known != NULL) {
            table->item_count += key_add_tracker(known, tracker);
            return;
        }
    }
    struct tracked_key *key = heap_alloc(sizeof(*key) + name.size);
    *key = (struct tracked_key){.hash = hash,
                                .size = (uint32_t)name.size,
                                .tracker_count = 1,
                                .tracker_capacity = 1,
                                .one = tracker};
    if (name.size > 0) {
        memcpy(key->bytes, name.data, name.size);
    }
    if (table->key_count == table->bucket_count) {
        table_grow(table);
    }
    struct tracked_key **bucket = bucket_of(table, hash);
    key->next = *bucket;
    *bucket = key;
    table->key_count++;
    table->item_count++;
}

static struct tracked_key *
take_at(struct tracking_table *table, struct tracked_key **place)
{
    struct tracked_key *key = *place;
    *place = key->next;
    table->key_count--;
    table->item_count -= key->tracker_count;
    table_shrink(table);
    return key;
}

struct tracked_key *
tracking_table_take(struct tracking_table *table, struct slice name, uint64_t hash)
{
    if (table->key_count == 0) {
        return NULL;
    }
    struct tracked_key **place = find_key(table, name, hash);
    return *place == NULL ? NULL : take_at(table, place);
}

struct tracked_key *
tracking_table_take_random(struct tracking_table *table, struct random *random)
{
    if (table->key_count == 0) {
        return NULL;
    }
    /* At least every second bucket has a key, on average. */
    uint64_t index = random_below(random, table->bucket_count);
    while (*bucket_at(table, index) == NULL) {
        index = (index + 1) % table->bucket_count;
    }
    return take_at(table, bucket_at(table, index));
}

void
tracked_key_delete(struct tracked_key *key)
{
    if (key->tracker_capacity > 1) {
        heap_free(key->many);
    }
    heap_free(key);
}

bool
tracking_table_drain(struct tracking_table *table, uint32_t count)
{
    while (table->bucket_count > 0 && count > 0) {
        struct tracked_key **last = bucket_at(table, table->bucket_count - 1);
        while (*last != NULL && count > 0) {
            struct tracked_key *key = *last;
            *last = key->next;
            table->key_count--;
            table->item_count -= key->tracker_count;
            tracked_key_delete(key);
            count--;
        }
        if (*last == NULL) {
            pop_bucket(table);
            count -= count > 0;
        }
    }
    return table->bucket_count == 0;
}

void
tracking_table_destroy(struct tracking_table *table)
{
    while (!tracking_table_drain(table, UINT32_MAX)) {
    }
}
