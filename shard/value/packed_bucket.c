#include "shard/value/packed_bucket.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

/*
 * packed_bucket.c: several members in one block.
 *
 *     [data size][count][t t t][m m m][v v v][member value|member value|member value|  slack ]
 *                        planes of a byte for each
 *
 * Whoever looks for a member compares all tags at once (they and the sizes share the block's first
 * line), and adds up the sizes before the one that matches: no pointer, no length in between that
 * had to be read to find the next. One more member moves the data up by its tag and sizes, some two
 * hundred bytes; a block that is full is allocated again in the next size class. Slack is what the
 * size class leaves, nothing is kept in reserve.
 *
 * Invariant: a block takes bucket_block_size() of what is in it, so that its size is stored
 * nowhere.
 *
 * Rejected: tags and sizes growing down from the block's end (no moving, but one more line for each
 * lookup), sizes between the data (a chain of dependent loads), a gap in the middle for growth (the
 * bytes per member are the point of all this).
 */

/** Flags of a split that are kept on the stack; only a hash that fails brings more together. */
#define SPLIT_COUNT 256

/* ---- looking ---- */

/** Which of the 16 tags from `base` on are `tag`, or lead to a large member. */
static inline uint32_t
tags_match(const uint8_t *tags, uint32_t count, uint8_t tag)
{
#if defined(__SSE2__)
    __m128i line = _mm_loadu_si128((const __m128i *)(const void *)tags);
    __m128i equal = _mm_or_si128(_mm_cmpeq_epi8(line, _mm_set1_epi8((char)tag)),
                                 _mm_cmpeq_epi8(line, _mm_setzero_si128()));
    uint32_t match = (uint32_t)_mm_movemask_epi8(equal);
#else
    uint32_t match = 0;
    for (uint32_t i = 0; i < MIN(count, 16U); i++) {
        match |= (uint32_t)(tags[i] == tag || tags[i] == PACKED_TAG_LARGE) << i;
    }
#endif
    return count < 16 ? match & ((1U << count) - 1) : match;
}

static bool
cell_matches(const char *data, struct slice member, uint64_t hash)
{
    uint64_t cell;
    memcpy(&cell, data, sizeof(cell));
    if (cell >> 48 != (hash >> 32 & 0xffff)) {
        return false;
    }
    const struct packed_large *large = cell_large(data);
    return large->hash == hash && slice_equal(slice_of(large->bytes, large->member_size), member);
}

uint32_t
bucket_find(const struct packed *packed, const struct packed_bucket *bucket, struct slice member,
            uint64_t hash, uint32_t *offset)
{
    if (bucket == NULL) {
        return PACKED_NOT_FOUND;
    }
    uint8_t tag = packed_tag(hash);
    uint32_t count = bucket->count;
    const uint8_t *tags = bucket_tags(bucket);
    const uint8_t *sizes = bucket_member_sizes(bucket);
    for (uint32_t base = 0; base < count; base += 16) {
        uint32_t match = tags_match(tags + base, count - base, tag);
        for (; match != 0; match &= match - 1) {
            uint32_t i = base + (uint32_t)__builtin_ctz(match);
            bool is_large = tags[i] == PACKED_TAG_LARGE;
            if (!is_large && sizes[i] != member.size) {
                continue;
            }
            uint32_t at = bucket_offset(packed, bucket, i);
            const char *data = bucket_data(packed, bucket) + at;
            if (is_large ? cell_matches(data, member, hash)
                         : slice_equal(slice_of(data, sizes[i]), member)) {
                *offset = at;
                return i;
            }
        }
    }
    return PACKED_NOT_FOUND;
}

uint64_t
bucket_item_hash(const struct packed *packed, const struct packed_bucket *bucket, uint32_t index,
                 uint32_t offset)
{
    const char *data = bucket_data(packed, bucket) + offset;
    if (bucket_tags(bucket)[index] == PACKED_TAG_LARGE) {
        return cell_large(data)->hash;
    }
    return hash_bytes(data, bucket_member_sizes(bucket)[index], packed->seed);
}

/* ---- large members ---- */

static inline void
bytes_copy(void *to, const void *from, size_t size)
{
    if (size > 0) {
        memcpy(to, from, size);
    }
}

static uint64_t
large_new(struct packed *packed, struct slice member, struct slice value, uint64_t hash)
{
    struct packed_large *large =
        object_alloc(&packed->object, sizeof(*large) + member.size + value.size);
    ASSERT(((uintptr_t)large & ~PACKED_CELL_POINTER_MASK) == 0);
    large->hash = hash;
    large->member_size = member.size;
    large->value_size = value.size;
    bytes_copy(large->bytes, member.data, member.size);
    bytes_copy(large->bytes + member.size, value.data, value.size);
    return (uint64_t)(uintptr_t)large | (hash >> 32 & 0xffff) << 48;
}

static void
large_free(struct packed *packed, struct packed_large *large)
{
    object_free(&packed->object, large, large_block_size(large));
}

/* ---- changing ---- */

static struct packed_bucket *
block_new(struct packed *packed, size_t block_size)
{
    return object_alloc(&packed->object, block_size);
}

static size_t
block_size_of(const struct packed *packed, const struct packed_bucket *bucket)
{
    return bucket_block_size(bucket_stride(packed, bucket), bucket->count, bucket->data_size);
}

static void
deadline_store(const struct packed *packed, struct packed_bucket *bucket, uint32_t index,
               int64_t deadline_ms)
{
    uint8_t *plane = bucket->bytes + packed_stride(packed, false) * bucket->count + index;
    for (unsigned i = 0; i < PACKED_DEADLINE_PLANES; i++) {
        *plane = (uint8_t)((uint64_t)deadline_ms >> (8 * i));
        plane += bucket->count;
    }
}

/** Give a bucket the planes of deadlines (all PACKED_NO_DEADLINE), or take them away. */
static void
bucket_time(struct packed *packed, struct packed_bucket **place, bool is_timed)
{
    struct packed_bucket *from = *place;
    if (from == NULL || from->is_timed == is_timed) {
        return;
    }
    size_t count = from->count;
    size_t stride = packed_stride(packed, is_timed);
    struct packed_bucket *to = block_new(packed, bucket_block_size(stride, count, from->data_size));
    to->count = from->count;
    to->data_size = from->data_size;
    to->is_timed = is_timed;
    size_t plain_size = packed_stride(packed, false) * count;
    memcpy(to->bytes, from->bytes, plain_size);
    if (is_timed) {
        memset(to->bytes + plain_size, 0xff, PACKED_DEADLINE_PLANES * count);
    }
    bytes_copy(to->bytes + stride * count, bucket_data(packed, from), from->data_size);
    object_free(&packed->object, from, block_size_of(packed, from));
    *place = to;
}

/** Room for one record more behind the others, whose bytes are where they belong then; it has no
 * deadline. Returns where its data goes. */
static char *
record_append(struct packed *packed, struct packed_bucket **place, uint8_t tag, size_t member_size,
              size_t value_size)
{
    struct packed_bucket *from = *place;
    bool is_timed = from != NULL && from->is_timed;
    size_t count = from == NULL ? 0 : from->count;
    size_t data_size = from == NULL ? 0 : from->data_size;
    size_t stride = packed_stride(packed, is_timed);
    size_t old_size = from == NULL ? 0 : block_size_of(packed, from);
    size_t new_size = bucket_block_size(stride, count + 1, data_size + member_size + value_size);
    ASSERT(count < UINT16_MAX);
    struct packed_bucket *to = new_size == old_size ? from : block_new(packed, new_size);
    if (from != NULL) {
        /* Backwards, as this may be one and the same block. */
        memmove(to->bytes + stride * (count + 1), from->bytes + stride * count, data_size);
        for (size_t i = stride - 1; i > 0; i--) {
            memmove(to->bytes + i * (count + 1), from->bytes + i * count, count);
        }
        if (to != from) {
            memcpy(to->bytes, from->bytes, count);
            object_free(&packed->object, from, old_size);
        }
    }
    to->bytes[count] = tag;
    to->bytes[2 * count + 1] = (uint8_t)member_size;
    if (packed->has_values) {
        to->bytes[3 * count + 2] = (uint8_t)value_size;
    }
    to->count = (uint16_t)(count + 1);
    to->data_size = (uint32_t)(data_size + member_size + value_size) & INT32_MAX;
    to->is_timed = is_timed;
    if (UNLIKELY(is_timed)) {
        deadline_store(packed, to, (uint32_t)count, PACKED_NO_DEADLINE);
    }
    packed->chain_max = MAX(packed->chain_max, to->count);
    *place = to;
    return (char *)to->bytes + stride * (count + 1) + data_size;
}

void
bucket_append(struct packed *packed, struct packed_bucket **bucket, struct slice member,
              struct slice value, int64_t deadline_ms, uint64_t hash)
{
    ASSERT(packed->has_values || value.size == 0);
    if (member.size + value.size > PACKED_INLINE_SIZE_MAX) {
        uint64_t cell = large_new(packed, member, value, hash);
        memcpy(record_append(packed, bucket, PACKED_TAG_LARGE, PACKED_CELL_SIZE, 0), &cell,
               PACKED_CELL_SIZE);
    } else {
        char *data = record_append(packed, bucket, packed_tag(hash), member.size, value.size);
        bytes_copy(data, member.data, member.size);
        bytes_copy(data + member.size, value.data, value.size);
    }
    if (UNLIKELY(deadline_ms != PACKED_NO_DEADLINE)) {
        bucket_deadline_set(packed, bucket, (*bucket)->count - 1U, deadline_ms);
    }
}

/** Has any member a deadline? */
static bool
bucket_has_deadline(const struct packed *packed, const struct packed_bucket *bucket)
{
    for (uint32_t i = 0; i < bucket->count; i++) {
        if (bucket_deadline_ms(packed, bucket, i) != PACKED_NO_DEADLINE) {
            return true;
        }
    }
    return false;
}

void
bucket_deadline_set(struct packed *packed, struct packed_bucket **bucket, uint32_t index,
                    int64_t deadline_ms)
{
    if (bucket_deadline_ms(packed, *bucket, index) == deadline_ms) {
        return;
    }
    bucket_time(packed, bucket, true);
    deadline_store(packed, *bucket, index, deadline_ms);
    if (deadline_ms == PACKED_NO_DEADLINE && !bucket_has_deadline(packed, *bucket)) {
        bucket_time(packed, bucket, false);
    }
}

/** Take byte `index` out of `count`, forwards: the target may lie at or in front of the source. */
static uint8_t *
bytes_without(uint8_t *to, const uint8_t *from, size_t count, size_t index)
{
    memmove(to, from, index);
    memmove(to + index, from + index + 1, count - index - 1);
    return to + count - 1;
}

void
bucket_remove(struct packed *packed, struct packed_bucket **bucket, uint32_t index, uint32_t offset)
{
    struct packed_bucket *from = *bucket;
    size_t count = from->count;
    size_t data_size = from->data_size;
    size_t record_size = bucket_record_size(packed, from, index);
    if (bucket_tags(from)[index] == PACKED_TAG_LARGE) {
        large_free(packed, cell_large(bucket_data(packed, from) + offset));
    }
    size_t old_size = block_size_of(packed, from);
    if (count == 1) {
        object_free(&packed->object, from, old_size);
        *bucket = NULL;
        return;
    }
    size_t stride = bucket_stride(packed, from);
    bool is_timed = from->is_timed;
    size_t new_size = bucket_block_size(stride, count - 1, data_size - record_size);
    struct packed_bucket *to = new_size == old_size ? from : block_new(packed, new_size);
    uint8_t *end = to->bytes;
    for (size_t i = 0; i < stride; i++) {
        end = bytes_without(end, from->bytes + i * count, count, index);
    }
    const uint8_t *data = from->bytes + stride * count;
    memmove(end, data, offset);
    memmove(end + offset, data + offset + record_size, data_size - offset - record_size);
    if (to != from) {
        object_free(&packed->object, from, old_size);
    }
    to->count = (uint16_t)(count - 1);
    to->data_size = (uint32_t)(data_size - record_size) & INT32_MAX;
    to->is_timed = is_timed;
    *bucket = to;
    if (UNLIKELY(is_timed) && !bucket_has_deadline(packed, to)) {
        bucket_time(packed, bucket, false);
    }
}

bool
bucket_overwrite(struct packed *packed, struct packed_bucket *bucket, uint32_t index,
                 uint32_t offset, struct slice value)
{
    struct packed_item item = bucket_item(packed, bucket, index, offset);
    if (item.value.size != value.size) {
        return false;
    }
    /* The block is the caller's to change; the item is read-only for those who only look. */
    bytes_copy((char *)(uintptr_t)item.value.data, value.data, value.size);
    return true;
}

/* ---- splitting, merging, copying ---- */

/** The members of a bucket whose flag is `flag`, with all that belongs to them. */
static struct packed_bucket *
bucket_select(struct packed *packed, const struct packed_bucket *from, const bool *flags, bool flag)
{
    size_t count = 0;
    size_t data_size = 0;
    bool is_timed = false;
    for (uint32_t i = 0; i < from->count; i++) {
        if (flags[i] == flag) {
            count++;
            data_size += bucket_record_size(packed, from, i);
            is_timed = is_timed || bucket_deadline_ms(packed, from, i) != PACKED_NO_DEADLINE;
        }
    }
    if (count == 0) {
        return NULL;
    }
    size_t stride = packed_stride(packed, is_timed);
    struct packed_bucket *to = block_new(packed, bucket_block_size(stride, count, data_size));
    to->count = (uint16_t)count;
    to->data_size = (uint32_t)data_size & INT32_MAX;
    to->is_timed = is_timed;
    const char *data = bucket_data(packed, from);
    uint8_t *out = to->bytes + stride * count;
    size_t at = 0;
    for (uint32_t i = 0; i < from->count; i++) {
        size_t size = bucket_record_size(packed, from, i);
        if (flags[i] == flag) {
            for (size_t plane = 0; plane < stride; plane++) {
                to->bytes[plane * count + at] = from->bytes[plane * from->count + i];
            }
            memcpy(out, data, size);
            out += size;
            at++;
        }
        data += size;
    }
    return to;
}

void
bucket_split(struct packed *packed, struct packed_bucket **bucket, struct packed_bucket **target,
             uint64_t bit)
{
    struct packed_bucket *from = *bucket;
    if (from == NULL) {
        return;
    }
    bool on_stack[SPLIT_COUNT];
    bool *flags = from->count <= SPLIT_COUNT ? on_stack : heap_alloc(from->count);
    uint32_t moved_count = 0;
    uint32_t offset = 0;
    for (uint32_t i = 0; i < from->count; i++) {
        flags[i] = (bucket_item_hash(packed, from, i, offset) & bit) != 0;
        moved_count += flags[i];
        offset += bucket_record_size(packed, from, i);
    }
    if (moved_count == from->count) {
        *target = from;
        *bucket = NULL;
    } else if (moved_count > 0) {
        *target = bucket_select(packed, from, flags, true);
        *bucket = bucket_select(packed, from, flags, false);
        object_free(&packed->object, from, block_size_of(packed, from));
    }
    if (flags != on_stack) {
        heap_free(flags);
    }
}

void
bucket_merge(struct packed *packed, struct packed_bucket **bucket, struct packed_bucket **source)
{
    struct packed_bucket *first = *bucket;
    struct packed_bucket *second = *source;
    *source = NULL;
    if (first == NULL || second == NULL) {
        *bucket = first == NULL ? second : first;
        return;
    }
    if (UNLIKELY(first->is_timed != second->is_timed)) {
        bucket_time(packed, &first, true);
        bucket_time(packed, &second, true);
    }
    size_t count = (size_t)first->count + second->count;
    size_t data_size = (size_t)first->data_size + second->data_size;
    size_t stride = bucket_stride(packed, first);
    ASSERT(count <= UINT16_MAX);
    struct packed_bucket *to = block_new(packed, bucket_block_size(stride, count, data_size));
    to->count = (uint16_t)count;
    to->data_size = (uint32_t)data_size & INT32_MAX;
    to->is_timed = first->is_timed;
    uint8_t *end = to->bytes;
    for (size_t i = 0; i < stride; i++) {
        memcpy(end, first->bytes + i * first->count, first->count);
        memcpy(end + first->count, second->bytes + i * second->count, second->count);
        end += count;
    }
    bytes_copy(end, bucket_data(packed, first), first->data_size);
    bytes_copy(end + first->data_size, bucket_data(packed, second), second->data_size);
    packed->chain_max = MAX(packed->chain_max, to->count);
    object_free(&packed->object, first, block_size_of(packed, first));
    object_free(&packed->object, second, block_size_of(packed, second));
    *bucket = to;
}

struct packed_bucket *
bucket_copy(struct packed *copy, const struct packed_bucket *bucket)
{
    if (bucket == NULL) {
        return NULL;
    }
    struct packed_bucket *to = block_new(copy, block_size_of(copy, bucket));
    size_t stride = bucket_stride(copy, bucket);
    memcpy(to, bucket,
           offsetof(struct packed_bucket, bytes) + stride * bucket->count + bucket->data_size);
    char *data = (char *)to->bytes + stride * to->count;
    for (uint32_t i = 0; i < to->count; i++) {
        if (to->bytes[i] == PACKED_TAG_LARGE) {
            const struct packed_large *large = cell_large(data);
            struct slice member = slice_of(large->bytes, large->member_size);
            struct slice value = slice_of(large->bytes + large->member_size, large->value_size);
            uint64_t cell = large_new(copy, member, value, large->hash);
            memcpy(data, &cell, sizeof(cell));
        }
        data += bucket_record_size(copy, to, i);
    }
    return to;
}

uint32_t
bucket_free(struct packed *packed, struct packed_bucket *bucket)
{
    if (bucket == NULL) {
        return 0;
    }
    uint32_t freed_count = 1;
    const char *data = bucket_data(packed, bucket);
    for (uint32_t i = 0; i < bucket->count; i++) {
        if (bucket_tags(bucket)[i] == PACKED_TAG_LARGE) {
            large_free(packed, cell_large(data));
            freed_count++;
        }
        data += bucket_record_size(packed, bucket, i);
    }
    object_free(&packed->object, bucket, block_size_of(packed, bucket));
    return freed_count;
}
