#include "shard/value/packed.h"

#include "shard/value/image.h"
#include "shard/value/packed_bucket.h"

/*
 * packed.c: linear hashing over buckets that are one block each.
 *
 *     root -> [ bucket* bucket* bucket* ... ]          up to 1024 buckets: one array
 *     root -> [ segment* segment* ... ]                above: a directory of arrays of 1024
 *
 * A member of a large set costs its bytes, a tag and a size; the pointer to its bucket, the block's
 * header and what the size class leaves are shared by some six (bench/micro_packed). Bucket i is
 * for hashes whose low bits are i, as in shard/table.c: with 2^L + s buckets the first s have been
 * split by one more bit. An insertion above the load splits one bucket, a removal below it merges
 * two, so each step touches two blocks, however large the table. The directory is the one thing
 * that is copied when it is full, twice as large each time: 10 KB at 10M members, and 1 MB at a
 * billion.
 *
 * Whoever changes a bucket keeps it first (image.h): for somebody who writes the table as it was.
 *
 * Invariants: each member lies in the bucket of its hash; empty buckets are NULL; pointers behind
 * the last bucket are NULL.
 *
 * Rejected: an element of its own for each member (pointer, header and size class cost more than
 * most members), fixed bucket sizes with overflow (members have any size), doubling (a turn's worth
 * of copying).
 */

#define SEGMENT_POINTERS 1024
#define SEGMENT_SIZE (SEGMENT_POINTERS * sizeof(struct packed_bucket *))
#define CAPACITY_MIN 16

/** Members a bucket: more make room, fewer give it up; between the two nothing moves. Measured:
 * bench/micro_packed. */
#define LOAD_GROW 6
#define LOAD_SHRINK 5

/* ---- pointers ---- */

struct packed_bucket **
packed_slot(const struct packed *packed, uint32_t index)
{
    struct packed_bucket **slots = packed->root;
    if (packed->capacity > SEGMENT_POINTERS) {
        slots = ((struct packed_bucket ***)packed->root)[index / SEGMENT_POINTERS];
        index %= SEGMENT_POINTERS;
    }
    return &slots[index];
}

uint32_t
packed_index(const struct packed *packed, uint64_t hash)
{
    uint32_t mask = (uint32_t)(UINT64_MAX >> __builtin_clzll(packed->bucket_count));
    uint32_t index = (uint32_t)hash & mask;
    return index < packed->bucket_count ? index : index & (mask >> 1);
}

/** Bytes of the directory for so many segments (> 1). */
static size_t
directory_size(uint32_t segment_count)
{
    uint32_t room = UINT32_C(2) << (31 - __builtin_clz(segment_count - 1));
    return room * sizeof(void *);
}

static struct packed_bucket **
segment_new(struct packed *packed)
{
    struct packed_bucket **segment = object_alloc(&packed->object, SEGMENT_SIZE);
    memset(segment, 0, SEGMENT_SIZE);
    return segment;
}

void
packed_slots_push(struct packed *packed)
{
    ASSERT(packed->bucket_count < UINT32_MAX - SEGMENT_POINTERS);
    uint32_t capacity = packed->capacity;
    if (packed->bucket_count++ < capacity) {
        return;
    }
    if (capacity < SEGMENT_POINTERS) {
        uint32_t wanted = MAX(capacity * 2, (uint32_t)CAPACITY_MIN);
        size_t old_size = capacity * sizeof(struct packed_bucket *);
        size_t size = wanted * sizeof(struct packed_bucket *);
        packed->root = object_realloc(&packed->object, packed->root, old_size, size);
        memset((char *)packed->root + old_size, 0, size - old_size);
        packed->capacity = wanted;
        return;
    }
    uint32_t count = capacity / SEGMENT_POINTERS;
    if (count == 1) {
        void **directory = object_alloc(&packed->object, directory_size(2));
        directory[0] = packed->root;
        packed->root = directory;
    } else {
        packed->root = object_realloc(&packed->object, packed->root, directory_size(count),
                                      directory_size(count + 1));
    }
    ((struct packed_bucket ***)packed->root)[count] = segment_new(packed);
    packed->capacity = capacity + SEGMENT_POINTERS;
}

void
packed_slots_pop(struct packed *packed)
{
    ASSERT(packed->bucket_count > 0);
    packed->bucket_count--;
    uint32_t capacity = packed->capacity;
    if (capacity > SEGMENT_POINTERS) {
        if (packed->bucket_count > capacity - SEGMENT_POINTERS) {
            return;
        }
        uint32_t count = capacity / SEGMENT_POINTERS;
        void **directory = packed->root;
        object_free(&packed->object, directory[count - 1], SEGMENT_SIZE);
        if (count == 2) {
            packed->root = directory[0];
            object_free(&packed->object, directory, directory_size(2));
        } else {
            packed->root = object_realloc(&packed->object, directory, directory_size(count),
                                          directory_size(count - 1));
        }
        packed->capacity = capacity - SEGMENT_POINTERS;
    } else if (capacity > CAPACITY_MIN && packed->bucket_count <= capacity / 4) {
        packed->root =
            object_realloc(&packed->object, packed->root, capacity * sizeof(struct packed_bucket *),
                           capacity / 2 * sizeof(struct packed_bucket *));
        packed->capacity = capacity / 2;
    }
}

uint64_t
packed_slots_size(const struct packed *packed)
{
    if (packed->capacity <= SEGMENT_POINTERS) {
        return memory_class_size(packed->capacity * sizeof(struct packed_bucket *));
    }
    uint32_t count = packed->capacity / SEGMENT_POINTERS;
    return memory_class_size(directory_size(count)) + (uint64_t)count * SEGMENT_SIZE;
}

/* ---- growing and shrinking ---- */

/** The largest power of two <= bucket_count (> 0). */
static inline uint32_t
level_count(uint32_t bucket_count)
{
    return UINT32_C(1) << (31 - __builtin_clz(bucket_count));
}

/** One member more has come: one bucket more at most. */
static void
packed_grow(struct packed *packed)
{
    uint32_t target = packed->bucket_count;
    if (packed->count <= (uint64_t)target * LOAD_GROW) {
        return;
    }
    uint32_t level = level_count(target);
    object_part_keep(&packed->object, target - level);
    packed_slots_push(packed);
    struct packed_bucket **source = packed_slot(packed, target - level);
    bool is_timed = *source != NULL && (*source)->is_timed;
    bucket_split(packed, source, packed_slot(packed, target), level);
    if (UNLIKELY(is_timed)) {
        packed_times_update(packed, target - level);
        packed_times_update(packed, target);
    }
}

/* One bucket less at most. */
void
packed_shrink(struct packed *packed)
{
    uint32_t source = packed->bucket_count - 1;
    /* In small tables one bucket is a large part: what merged must not split again at once. */
    if (source == 0 || packed->count >= (uint64_t)packed->bucket_count * LOAD_SHRINK ||
        packed->count + 1 >= (uint64_t)source * LOAD_GROW) {
        return;
    }
    uint32_t target = source - level_count(source);
    object_part_keep(&packed->object, target);
    object_part_keep(&packed->object, source);
    struct packed_bucket **from = packed_slot(packed, source);
    bool is_timed = *from != NULL && (*from)->is_timed;
    bucket_merge(packed, packed_slot(packed, target), from);
    packed_slots_pop(packed);
    if (UNLIKELY(is_timed)) {
        packed_times_update(packed, target);
        packed_times_update(packed, source);
    }
}

/* ---- public ---- */

struct packed *
packed_new(uint64_t seed, bool has_values)
{
    struct packed *packed = object_new(sizeof(*packed));
    packed->seed = seed;
    packed->has_values = has_values;
    packed_slots_push(packed);
    return packed;
}

bool
packed_find_item(const struct packed *packed, struct slice member, struct packed_item *item)
{
    uint64_t hash = packed_hash(packed, member);
    const struct packed_bucket *bucket = *packed_slot(packed, packed_index(packed, hash));
    uint32_t offset = 0;
    uint32_t index = bucket_find(packed, bucket, member, hash, &offset);
    if (index == PACKED_NOT_FOUND) {
        return false;
    }
    *item = bucket_item(packed, bucket, index, offset);
    return true;
}

bool
packed_find(const struct packed *packed, struct slice member, struct slice *value)
{
    uint64_t hash = packed_hash(packed, member);
    const struct packed_bucket *bucket = *packed_slot(packed, packed_index(packed, hash));
    uint32_t offset = 0;
    uint32_t index = bucket_find(packed, bucket, member, hash, &offset);
    if (index == PACKED_NOT_FOUND) {
        return false;
    }
    if (value != NULL) {
        *value = bucket_item(packed, bucket, index, offset).value;
    }
    return true;
}

void
packed_prefetch(const struct packed *packed, struct slice member)
{
    const struct packed_bucket *bucket =
        *packed_slot(packed, packed_index(packed, packed_hash(packed, member)));
    __builtin_prefetch(bucket);
    __builtin_prefetch((const char *)bucket + CACHE_LINE_SIZE);
}

bool
packed_insert(struct packed *packed, struct slice member, struct slice value)
{
    uint64_t hash = packed_hash(packed, member);
    uint32_t bucket_index = packed_index(packed, hash);
    struct packed_bucket **bucket = packed_slot(packed, bucket_index);
    uint32_t offset;
    if (bucket_find(packed, *bucket, member, hash, &offset) != PACKED_NOT_FOUND) {
        return false;
    }
    object_part_keep(&packed->object, bucket_index);
    bucket_append(packed, bucket, member, value, PACKED_NO_DEADLINE, hash);
    packed->count++;
    packed_grow(packed);
    return true;
}

/** A member of a bucket has another deadline than before. */
static void
times_change(struct packed *packed, uint32_t bucket_index, int64_t old_ms, int64_t new_ms)
{
    if (LIKELY(old_ms == new_ms)) {
        return;
    }
    /* As unsigned numbers: what is earlier than before cannot hide another minimum. */
    if ((uint64_t)new_ms < (uint64_t)old_ms) {
        packed_times_add(packed, bucket_index, new_ms);
    } else {
        packed_times_remove(packed, bucket_index, old_ms);
    }
}

bool
packed_set_timed(struct packed *packed, struct slice member, struct slice value,
                 int64_t deadline_ms)
{
    ASSERT(deadline_ms == PACKED_NO_DEADLINE || packed->is_timed);
    uint64_t hash = packed_hash(packed, member);
    uint32_t bucket_index = packed_index(packed, hash);
    struct packed_bucket **bucket = packed_slot(packed, bucket_index);
    uint32_t offset = 0;
    uint32_t index = bucket_find(packed, *bucket, member, hash, &offset);
    object_part_keep(&packed->object, bucket_index);
    if (index == PACKED_NOT_FOUND) {
        bucket_append(packed, bucket, member, value, deadline_ms, hash);
        times_change(packed, bucket_index, PACKED_NO_DEADLINE, deadline_ms);
        packed->count++;
        packed_grow(packed);
        return true;
    }
    int64_t old_ms = bucket_deadline_ms(packed, *bucket, index);
    if (bucket_overwrite(packed, *bucket, index, offset, value)) {
        bucket_deadline_set(packed, bucket, index, deadline_ms);
    } else {
        bucket_remove(packed, bucket, index, offset);
        bucket_append(packed, bucket, member, value, deadline_ms, hash);
    }
    times_change(packed, bucket_index, old_ms, deadline_ms);
    return false;
}

bool
packed_set(struct packed *packed, struct slice member, struct slice value)
{
    return packed_set_timed(packed, member, value, PACKED_NO_DEADLINE);
}

bool
packed_deadline_set(struct packed *packed, struct slice member, int64_t deadline_ms)
{
    ASSERT(deadline_ms == PACKED_NO_DEADLINE || packed->is_timed);
    uint64_t hash = packed_hash(packed, member);
    uint32_t bucket_index = packed_index(packed, hash);
    struct packed_bucket **bucket = packed_slot(packed, bucket_index);
    uint32_t offset = 0;
    uint32_t index = bucket_find(packed, *bucket, member, hash, &offset);
    if (index == PACKED_NOT_FOUND) {
        return false;
    }
    object_part_keep(&packed->object, bucket_index);
    int64_t old_ms = bucket_deadline_ms(packed, *bucket, index);
    bucket_deadline_set(packed, bucket, index, deadline_ms);
    times_change(packed, bucket_index, old_ms, deadline_ms);
    return true;
}

bool
packed_remove(struct packed *packed, struct slice member)
{
    uint64_t hash = packed_hash(packed, member);
    uint32_t bucket_index = packed_index(packed, hash);
    struct packed_bucket **bucket = packed_slot(packed, bucket_index);
    uint32_t offset = 0;
    uint32_t index = bucket_find(packed, *bucket, member, hash, &offset);
    if (index == PACKED_NOT_FOUND) {
        return false;
    }
    object_part_keep(&packed->object, bucket_index);
    int64_t old_ms = bucket_deadline_ms(packed, *bucket, index);
    bucket_remove(packed, bucket, index, offset);
    times_change(packed, bucket_index, old_ms, PACKED_NO_DEADLINE);
    packed->count--;
    packed_shrink(packed);
    return true;
}
