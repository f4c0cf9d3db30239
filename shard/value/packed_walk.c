#include "shard/value/packed_bucket.h"

/*
 * packed_walk.c: what goes over a whole packed table, at once or in steps: walks, scans, random
 * members, copies, the end.
 *
 * A scan goes through the hashes in the order of their reversed bits, as shard/table.c does. There
 * a bucket is an interval, a split halves an interval and a merge joins two, so that a position
 * stays good whatever happens between two calls.
 *
 * A random member is any bucket, then any of as many places as the fullest bucket ever had, until
 * there is somebody: fair, at some five buckets for each draw. Rejected: any bucket, then any of
 * its members (those of crowded buckets come up half as often).
 */

/* ---- walking ---- */

bool
packed_next(struct packed_walk *walk, struct packed_item *item)
{
    const struct packed *packed = walk->packed;
    while (walk->bucket_index < packed->bucket_count) {
        const struct packed_bucket *bucket = *packed_slot(packed, walk->bucket_index);
        if (bucket != NULL && walk->item_index < bucket->count) {
            *item = bucket_item(packed, bucket, walk->item_index, walk->item_offset);
            walk->item_offset += bucket_record_size(packed, bucket, walk->item_index);
            walk->item_index++;
            return true;
        }
        walk->bucket_index++;
        walk->item_index = 0;
        walk->item_offset = 0;
    }
    return false;
}

static uint64_t
bits_reverse(uint64_t x)
{
    x = __builtin_bswap64(x);
    x = (x >> 4 & UINT64_C(0x0f0f0f0f0f0f0f0f)) | (x & UINT64_C(0x0f0f0f0f0f0f0f0f)) << 4;
    x = (x >> 2 & UINT64_C(0x3333333333333333)) | (x & UINT64_C(0x3333333333333333)) << 2;
    return (x >> 1 & UINT64_C(0x5555555555555555)) | (x & UINT64_C(0x5555555555555555)) << 1;
}

/** The hash bits that decide about bucket `index`. */
static unsigned
packed_depth(const struct packed *packed, uint32_t index)
{
    unsigned level = 31 - (unsigned)__builtin_clz(packed->bucket_count);
    uint32_t level_count = UINT32_C(1) << level;
    bool is_split = index >= level_count || index < packed->bucket_count - level_count;
    return level + is_split;
}

uint32_t
packed_bucket_visit(const struct packed *packed, uint32_t index, uint32_t from,
                    packed_visit_fn *visit, void *context)
{
    const struct packed_bucket *bucket = *packed_slot(packed, index);
    uint32_t offset = 0;
    uint32_t count = bucket == NULL ? 0 : bucket->count;
    for (uint32_t i = 0; i < count; i++) {
        if (i >= from) {
            struct packed_item item = bucket_item(packed, bucket, i, offset);
            visit(context, &item);
        }
        offset += bucket_record_size(packed, bucket, i);
    }
    return count;
}

uint64_t
packed_scan(const struct packed *packed, uint64_t position, packed_visit_fn *visit, void *context)
{
    position &= (UINT64_C(1) << PACKED_POSITION_BITS) - 1;
    uint64_t hash = bits_reverse(position) >> (64 - PACKED_POSITION_BITS);
    uint32_t index = packed_index(packed, hash);
    uint64_t interval = UINT64_C(1) << (PACKED_POSITION_BITS - packed_depth(packed, index));
    packed_bucket_visit(packed, index, 0, visit, context);
    uint64_t next = (position & ~(interval - 1)) + interval;
    return next >> PACKED_POSITION_BITS != 0 ? 0 : next;
}

struct packed_item
packed_random(const struct packed *packed, struct random *random)
{
    ASSERT(packed->count > 0);
    while (true) {
        uint32_t index = (uint32_t)random_below(random, packed->bucket_count);
        uint32_t choice = (uint32_t)random_below(random, packed->chain_max);
        const struct packed_bucket *bucket = *packed_slot(packed, index);
        if (bucket != NULL && choice < bucket->count) {
            return bucket_item(packed, bucket, choice, bucket_offset(packed, bucket, choice));
        }
    }
}

/* ---- life ---- */

struct packed *
packed_copy(const struct packed *packed)
{
    struct packed *copy = packed_new(packed->seed, packed->has_values);
    if (packed->is_timed) {
        copy = packed_time(copy);
    }
    while (copy->bucket_count < packed->bucket_count) {
        packed_slots_push(copy);
    }
    for (uint32_t i = 0; i < packed->bucket_count; i++) {
        *packed_slot(copy, i) = bucket_copy(copy, *packed_slot(packed, i));
    }
    copy->count = packed->count;
    copy->chain_max = packed->chain_max;
    packed_times_rebuild(copy);
    return copy;
}

/** The block of the table itself. */
static size_t
packed_block_size(const struct packed *packed)
{
    return memory_class_size(packed->is_timed ? sizeof(struct packed_timed) : sizeof(*packed));
}

static bool
packed_free_steps(void *object, uint32_t step_count_max)
{
    struct packed *packed = object;
    uint32_t step_count = 0;
    while (step_count < step_count_max && packed_times_free_one(packed)) {
        step_count++;
    }
    while (packed->bucket_count > 0) {
        if (step_count >= step_count_max) {
            return false;
        }
        struct packed_bucket **bucket = packed_slot(packed, packed->bucket_count - 1);
        step_count += bucket_free(packed, *bucket);
        *bucket = NULL;
        packed_slots_pop(packed);
    }
    object_free(&packed->object, packed->root, packed->capacity * sizeof(struct packed_bucket *));
    ASSERT(packed->object.size == packed_block_size(packed));
    heap_free(packed);
    return true;
}

void
packed_delete(struct packed *packed)
{
    if (packed != NULL) {
        bool is_gone = packed_free_steps(packed, UINT32_MAX);
        ASSERT(is_gone);
    }
}

static size_t
packed_object_count(const void *object)
{
    return ((const struct packed *)object)->count;
}

static void *
packed_object_copy(const void *object)
{
    return packed_copy(object);
}

const struct object_ops packed_ops = {
    .count = packed_object_count,
    .copy = packed_object_copy,
    .free_steps = packed_free_steps,
};

/* ---- checking ---- */

/** Is everything in this bucket where it belongs? Adds what it takes to *size. */
static bool
bucket_check(const struct packed *packed, uint32_t bucket_index, uint64_t *size)
{
    const struct packed_bucket *bucket = *packed_slot(packed, bucket_index);
    if (bucket == NULL) {
        return true;
    }
    uint32_t offset = 0;
    for (uint32_t i = 0; i < bucket->count; i++) {
        struct packed_item item = bucket_item(packed, bucket, i, offset);
        uint64_t hash = packed_hash(packed, item.member);
        uint32_t found_offset = 0;
        if (packed_index(packed, hash) != bucket_index ||
            bucket_item_hash(packed, bucket, i, offset) != hash ||
            bucket_find(packed, bucket, item.member, hash, &found_offset) != i ||
            found_offset != offset) {
            return false;
        }
        if (bucket_tags(bucket)[i] == PACKED_TAG_LARGE) {
            *size += memory_class_size(
                large_block_size(cell_large(bucket_data(packed, bucket) + offset)));
        }
        offset += bucket_record_size(packed, bucket, i);
    }
    *size += bucket_block_size(bucket_stride(packed, bucket), bucket->count, bucket->data_size);
    return bucket->count > 0 && bucket->count <= packed->chain_max && offset == bucket->data_size;
}

bool
packed_check(const struct packed *packed)
{
    uint64_t size = packed_slots_size(packed) + packed_block_size(packed);
    uint64_t count = 0;
    for (uint32_t i = 0; i < packed->bucket_count; i++) {
        if (!bucket_check(packed, i, &size)) {
            return false;
        }
        const struct packed_bucket *bucket = *packed_slot(packed, i);
        count += bucket == NULL ? 0 : bucket->count;
    }
    bool is_good = packed_times_check(packed, &size);
    return is_good && count == packed->count && size == packed->object.size;
}
