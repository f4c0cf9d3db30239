/*
 * packed_bucket.h: a bucket of a packed table: for packed.c, packed_walk.c and their test only.
 *
 *     [u32 data size][u16 count][tags][member sizes][value sizes][data: member value member ...]
 *                                 1 byte each         tables with values only
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
    uint32_t data_size;
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

/** Bytes beside the data for each member. */
static inline size_t
packed_stride(const struct packed *packed)
{
    return packed->has_values ? 3 : 2;
}

static inline const char *
bucket_data(const struct packed *packed, const struct packed_bucket *bucket)
{
    return (const char *)bucket->bytes + packed_stride(packed) * bucket->count;
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
bucket_block_size(const struct packed *packed, size_t count, size_t data_size)
{
    size_t size = offsetof(struct packed_bucket, bytes) + packed_stride(packed) * count + data_size;
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
    if (UNLIKELY(bucket_tags(bucket)[index] == PACKED_TAG_LARGE)) {
        const struct packed_large *large = cell_large(data);
        return (struct packed_item){
            .member = slice_of(large->bytes, large->member_size),
            .value = slice_of(large->bytes + large->member_size, large->value_size)};
    }
    size_t size = bucket_member_sizes(bucket)[index];
    size_t value_size = packed->has_values ? bucket_value_sizes(bucket)[index] : 0;
    return (struct packed_item){.member = slice_of(data, size),
                                .value = slice_of(data + size, value_size)};
}

/* ---- packed_bucket.c; a bucket may be NULL: empty ---- */

/** The index of a member, or PACKED_NOT_FOUND. *offset: where its data begins. */
uint32_t bucket_find(const struct packed *packed, const struct packed_bucket *bucket,
                     struct slice member, uint64_t hash, uint32_t *offset);
/** No such member is there before. */
void bucket_append(struct packed *packed, struct packed_bucket **bucket, struct slice member,
                   struct slice value, uint64_t hash);
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

/* ---- packed.c ---- */

struct packed_bucket **packed_slot(const struct packed *packed, uint32_t index);
uint32_t packed_index(const struct packed *packed, uint64_t hash);
/** One more bucket's pointer (NULL) at the end, or one less; packed->bucket_count follows. */
void packed_slots_push(struct packed *packed);
void packed_slots_pop(struct packed *packed);
/** Bytes that all these pointers take. */
uint64_t packed_slots_size(const struct packed *packed);
