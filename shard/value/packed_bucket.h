/*
 * packed_bucket.h: a bucket of a packed table: for the files of packed and their test only.
 *
 *     [u31 data size, timed?][u16 count][tags][member sizes][value sizes][deadlines][data ...]
 *                                         1 byte each         if values   if timed
 *
 * What there is for each member beside its data lies in planes: all tags, then all first sizes, and
 * so on. Deadlines are eight planes, the lowest byte first: so whoever adds, removes or moves
 * members moves planes, and need not know how many there are. Only a bucket that has a member with
 * a deadline has these.
 *
 * A tag is eight bits of the hash, never 0. Members that are too large for a bucket lie in a block
 * of their own: tag 0, and the data is a cell of eight bytes that leads there.
 *
 *     cell: [16 bits of the hash | 48 bits: the block]
 */
#pragma once

#include "core/hash.h"
#include "shard/value/packed.h"

/** A member and its value together lie in the bucket up to so many bytes: sizes are bytes, and what
 * moves with each insertion stays short. */
#define PACKED_INLINE_SIZE_MAX 248

/** No block is smaller, so that 16 tags can be compared at once. */
#define PACKED_BLOCK_SIZE_MIN 32

#define PACKED_TAG_LARGE 0
#define PACKED_CELL_SIZE sizeof(uint64_t)
#define PACKED_CELL_POINTER_MASK ((UINT64_C(1) << 48) - 1)

struct packed_bucket {
    uint32_t data_size : 31;
    uint32_t is_timed : 1;
    uint16_t count;
    uint8_t bytes[];
};

struct packed_large {
    /** Whole: a large member is not hashed again when its bucket splits. */
    uint64_t hash;
    uint64_t member_size;
    uint64_t value_size;
    char bytes[];
};

#define PACKED_NOT_FOUND UINT32_MAX

/* ---- where things are ---- */

static inline uint64_t
packed_hash(const struct packed *packed, struct slice member)
{
    return hash_bytes(member.data, member.size, packed->seed);
}

static inline uint8_t
packed_tag(uint64_t hash)
{
    uint8_t tag = (uint8_t)(hash >> 56);
    return tag == PACKED_TAG_LARGE ? 1 : tag;
}

static inline const uint8_t *
bucket_tags(const struct packed_bucket *bucket)
{
    return bucket->bytes;
}

static inline const uint8_t *
bucket_member_sizes(const struct packed_bucket *bucket)
{
    return bucket->bytes + bucket->count;
}

static inline const uint8_t *
bucket_value_sizes(const struct packed_bucket *bucket)
{
    return bucket->bytes + 2 * (size_t)bucket->count;
}

/** Planes of a deadline. */
#define PACKED_DEADLINE_PLANES sizeof(int64_t)

/** Bytes beside the data for each member: planes. */
static inline size_t
packed_stride(const struct packed *packed, bool is_timed)
{
    return (packed->has_values ? 3U : 2U) + (is_timed ? PACKED_DEADLINE_PLANES : 0);
}

static inline size_t
bucket_stride(const struct packed *packed, const struct packed_bucket *bucket)
{
    return packed_stride(packed, bucket->is_timed);
}

static inline const char *
bucket_data(const struct packed *packed, const struct packed_bucket *bucket)
{
    return (const char *)bucket->bytes + bucket_stride(packed, bucket) * bucket->count;
}

/** Of the member at an index, or PACKED_NO_DEADLINE. */
static inline int64_t
bucket_deadline_ms(const struct packed *packed, const struct packed_bucket *bucket, uint32_t index)
{
    if (LIKELY(!bucket->is_timed)) {
        return PACKED_NO_DEADLINE;
    }
    const uint8_t *plane = bucket->bytes + packed_stride(packed, false) * bucket->count + index;
    uint64_t deadline_ms = 0;
    for (unsigned i = 0; i < PACKED_DEADLINE_PLANES; i++) {
        deadline_ms |= (uint64_t)*plane << (8 * i);
        plane += bucket->count;
    }
    return (int64_t)deadline_ms;
}

/** Bytes of data that belong to one member, its value included. */
static inline uint32_t
bucket_record_size(const struct packed *packed, const struct packed_bucket *bucket, uint32_t index)
{
    uint32_t size = bucket_member_sizes(bucket)[index];
    return packed->has_values ? size + bucket_value_sizes(bucket)[index] : size;
}

/** Where its data begins. */
static inline uint32_t
bucket_offset(const struct packed *packed, const struct packed_bucket *bucket, uint32_t index)
{
    const uint8_t *sizes = bucket_member_sizes(bucket);
    uint32_t offset = 0;
    for (uint32_t i = 0; i < index; i++) {
        offset += sizes[i];
    }
    if (packed->has_values) {
        sizes += bucket->count;
        for (uint32_t i = 0; i < index; i++) {
            offset += sizes[i];
        }
    }
    return offset;
}

/** What the block takes: size classes are filled before a bucket moves. */
static inline size_t
bucket_block_size(size_t stride, size_t count, size_t data_size)
{
    size_t size = offsetof(struct packed_bucket, bytes) + stride * count + data_size;
    return memory_class_size(MAX(size, (size_t)PACKED_BLOCK_SIZE_MIN));
}

static inline struct packed_large *
cell_large(const char *data)
{
    uint64_t cell;
    memcpy(&cell, data, sizeof(cell));
    return (struct packed_large *)(uintptr_t)(cell & PACKED_CELL_POINTER_MASK);
}

static inline size_t
large_block_size(const struct packed_large *large)
{
    return sizeof(*large) + large->member_size + large->value_size;
}

/** The member at an index, whose data begins at `offset`. */
static inline struct packed_item
bucket_item(const struct packed *packed, const struct packed_bucket *bucket, uint32_t index,
            uint32_t offset)
{
    const char *data = bucket_data(packed, bucket) + offset;
    int64_t deadline_ms = bucket_deadline_ms(packed, bucket, index);
    if (UNLIKELY(bucket_tags(bucket)[index] == PACKED_TAG_LARGE)) {
        const struct packed_large *large = cell_large(data);
        return (struct packed_item){
            .member = slice_of(large->bytes, large->member_size),
            .value = slice_of(large->bytes + large->member_size, large->value_size),
            .deadline_ms = deadline_ms};
    }
    size_t size = bucket_member_sizes(bucket)[index];
    size_t value_size = packed->has_values ? bucket_value_sizes(bucket)[index] : 0;
    return (struct packed_item){.member = slice_of(data, size),
                                .value = slice_of(data + size, value_size),
                                .deadline_ms = deadline_ms};
}

/* ---- packed_bucket.c; a bucket may be NULL: empty ---- */

/** The index of a member, or PACKED_NOT_FOUND. *offset: where its data begins. */
uint32_t bucket_find(const struct packed *packed, const struct packed_bucket *bucket,
                     struct slice member, uint64_t hash, uint32_t *offset);
/** No such member is there before. */
void bucket_append(struct packed *packed, struct packed_bucket **bucket, struct slice member,
                   struct slice value, int64_t deadline_ms, uint64_t hash);
/** PACKED_NO_DEADLINE takes it away. The block may move. */
void bucket_deadline_set(struct packed *packed, struct packed_bucket **bucket, uint32_t index,
                         int64_t deadline_ms);
void bucket_remove(struct packed *packed, struct packed_bucket **bucket, uint32_t index,
                   uint32_t offset);
/** Overwrite the value, where it keeps its size. False: it does not, and nothing was changed. */
bool bucket_overwrite(struct packed *packed, struct packed_bucket *bucket, uint32_t index,
                      uint32_t offset, struct slice value);
/** Members whose hash has `bit` go to *target, which is empty. */
void bucket_split(struct packed *packed, struct packed_bucket **bucket,
                  struct packed_bucket **target, uint64_t bit);
/** All members of *source go to *bucket. */
void bucket_merge(struct packed *packed, struct packed_bucket **bucket,
                  struct packed_bucket **source);
struct packed_bucket *bucket_copy(struct packed *copy, const struct packed_bucket *bucket);
/** Returns how many blocks were freed. */
uint32_t bucket_free(struct packed *packed, struct packed_bucket *bucket);
uint64_t bucket_item_hash(const struct packed *packed, const struct packed_bucket *bucket,
                          uint32_t index, uint32_t offset);

/* ---- packed_times.c; for tables that know deadlines ---- */

/** A deadline has come into a bucket. */
void packed_times_add(struct packed *packed, uint32_t bucket_index, int64_t deadline_ms);
/** One has left it. */
void packed_times_remove(struct packed *packed, uint32_t bucket_index, int64_t deadline_ms);
/** Several have come or gone. */
void packed_times_update(struct packed *packed, uint32_t bucket_index);
/** All of them. */
void packed_times_rebuild(struct packed *packed);
/** Free one block of what this file keeps. False: there is none left. */
bool packed_times_free_one(struct packed *packed);
/** Are all minima what they should be? Adds what they take to *size. */
bool packed_times_check(const struct packed *packed, uint64_t *size);

/* ---- packed.c ---- */

/** A member has gone: merge a bucket if there are few members for them. */
void packed_shrink(struct packed *packed);

struct packed_bucket **packed_slot(const struct packed *packed, uint32_t index);
uint32_t packed_index(const struct packed *packed, uint64_t hash);
/** One more bucket's pointer (NULL) at the end, or one less; packed->bucket_count follows. */
void packed_slots_push(struct packed *packed);
void packed_slots_pop(struct packed *packed);
/** Bytes that all these pointers take. */
uint64_t packed_slots_size(const struct packed *packed);
