/*
 * ztree_index.c: from a member to the leaf that holds it, in some seven bytes for each.
 *
 * A table of buckets that grows one bucket at a time (linear hashing). A bucket is one packed block
 * of cells: the id of a leaf (4 bytes) and 16 bits of the member's hash. The member itself is in
 * the leaf only; a cell that fits is believed when the leaf has the member.
 *
 *     hash ... | t t t t t t t t t t t t t t t t | b b b b b b      bucket of depth 6: its number
 *                16 bits of cell from depth / 6 * 6 on              is the lowest 6 bits
 *
 * A bucket of depth d is told from its twin by bit d: splitting needs that bit of every cell. The
 * cells hold the bits from base(d) = d / 6 * 6 on, so five splits of six read the cells alone, and
 * ten bits at least tell members of a bucket apart. The sixth split looks the leaves up and hashes
 * their members again. Joining goes the same way back.
 *
 * Cursors count in the order of the reversed low 48 bits of the hash. In that order a bucket of any
 * depth is one interval and a split halves it, so what lies behind a cursor stays behind it.
 *
 * A score of 8 bytes in each cell would save the visit to the leaf, but take more than twice as
 * much; pointers in place of ids would have to be corrected whenever a leaf's block grows.
 */
#include "shard/value/ztree_internal.h"

struct ztree_bucket {
    uint16_t count;
    uint16_t capacity;
    /** `capacity` ids, then as many tags. */
    uint32_t leaves[];
};

/** Splits and joins keep the mean between. A cell is found with two or three lines. */
#define BUCKET_MEAN_MAX 32
#define BUCKET_MEAN_MIN 20
#define CELL_SIZE (sizeof(uint32_t) + sizeof(uint16_t))
#define DEPTH_STEP 6
#define CURSOR_BITS 48

static inline uint16_t *
bucket_tags(const struct ztree_bucket *bucket)
{
    return (uint16_t *)(uintptr_t)(bucket->leaves + bucket->capacity);
}

static size_t
bucket_size_of(uint32_t capacity)
{
    return sizeof(struct ztree_bucket) + CELL_SIZE * capacity;
}

size_t
ztree_bucket_size(const void *bucket)
{
    return bucket_size_of(((const struct ztree_bucket *)bucket)->capacity);
}

/** How many bits all buckets have at least. */
static inline uint32_t
index_level(const struct ztree *tree)
{
    return 31 - (uint32_t)__builtin_clz(tree->bucket_count);
}

static inline uint32_t
bucket_number(const struct ztree *tree, uint64_t hash)
{
    uint32_t level = index_level(tree);
    uint32_t number = (uint32_t)(hash & ((UINT64_C(2) << level) - 1));
    return number < tree->bucket_count ? number : number & ((UINT32_C(1) << level) - 1);
}

static inline uint32_t
bucket_depth(const struct ztree *tree, uint32_t number)
{
    uint32_t level = index_level(tree);
    uint32_t whole = UINT32_C(1) << level;
    return number >= whole || number + whole < tree->bucket_count ? level + 1 : level;
}

static inline uint16_t
hash_tag(uint64_t hash, uint32_t depth)
{
    return (uint16_t)(hash >> (depth / DEPTH_STEP * DEPTH_STEP));
}

void
ztree_index_create(struct ztree *tree)
{
    tree->bucket_count = 1;
    ztree_array_resize(&tree->object, &tree->buckets, 1);
}

/** The bucket in a block of another capacity. */
static struct ztree_bucket *
bucket_resize(struct ztree *tree, uint32_t number, uint32_t need)
{
    void **slot = ztree_array_slot(&tree->buckets, number);
    struct ztree_bucket *old = *slot;
    struct ztree_bucket *bucket = NULL;
    if (need > 0) {
        size_t size = memory_class_size(bucket_size_of(need));
        uint32_t capacity = (uint32_t)((size - sizeof(*bucket)) / CELL_SIZE);
        ASSERT(capacity <= UINT16_MAX);
        bucket = object_alloc(&tree->object, bucket_size_of(capacity));
        bucket->count = 0;
        bucket->capacity = (uint16_t)capacity;
        if (old != NULL) {
            bucket->count = old->count;
            memcpy(bucket->leaves, old->leaves, old->count * sizeof(uint32_t));
            memcpy(bucket_tags(bucket), bucket_tags(old), old->count * sizeof(uint16_t));
        }
    }
    if (old != NULL) {
        object_free(&tree->object, old, ztree_bucket_size(old));
    }
    *slot = bucket;
    return bucket;
}

static void
cell_add(struct ztree *tree, uint32_t number, uint16_t tag, uint32_t leaf)
{
    struct ztree_bucket *bucket = *ztree_array_slot(&tree->buckets, number);
    if (bucket == NULL || bucket->count == bucket->capacity) {
        bucket = bucket_resize(tree, number, bucket == NULL ? 1 : bucket->count + 1U);
    }
    bucket->leaves[bucket->count] = leaf;
    bucket_tags(bucket)[bucket->count] = tag;
    bucket->count++;
}

void
ztree_index_add(struct ztree *tree, uint64_t hash, uint32_t leaf)
{
    uint32_t number = bucket_number(tree, hash);
    cell_add(tree, number, hash_tag(hash, bucket_depth(tree, number)), leaf);
}

/** The first cell from `index` on with this tag; bucket->count: none. */
static inline uint32_t
cell_find(const struct ztree_bucket *bucket, uint32_t index, uint16_t tag)
{
    const uint16_t *tags = bucket_tags(bucket);
    uint32_t count = bucket->count;
    for (; index + 8 <= count; index += 8) {
        uint32_t hits = 0;
        for (uint32_t i = 0; i < 8; i++) {
            hits |= (uint32_t)(tags[index + i] == tag) << i;
        }
        if (hits != 0) {
            return index + (uint32_t)__builtin_ctz(hits);
        }
    }
    while (index < count && tags[index] != tag) {
        index++;
    }
    return index;
}

/** The cell that says that a member with this hash is in `leaf`. */
static uint32_t
cell_of(const struct ztree_bucket *bucket, uint16_t tag, uint32_t leaf)
{
    ASSERT(bucket != NULL);
    uint32_t index = cell_find(bucket, 0, tag);
    while (index < bucket->count && bucket->leaves[index] != leaf) {
        index = cell_find(bucket, index + 1, tag);
    }
    ASSERT(index < bucket->count);
    return index;
}

void
ztree_index_move(struct ztree *tree, uint64_t hash, uint32_t from, uint32_t to)
{
    uint32_t number = bucket_number(tree, hash);
    struct ztree_bucket *bucket = *ztree_array_slot(&tree->buckets, number);
    /* Of two cells that are alike either will do. */
    bucket->leaves[cell_of(bucket, hash_tag(hash, bucket_depth(tree, number)), from)] = to;
}

void
ztree_index_remove(struct ztree *tree, uint64_t hash, uint32_t leaf)
{
    uint32_t number = bucket_number(tree, hash);
    struct ztree_bucket *bucket = *ztree_array_slot(&tree->buckets, number);
    uint32_t index = cell_of(bucket, hash_tag(hash, bucket_depth(tree, number)), leaf);
    bucket->count--;
    bucket->leaves[index] = bucket->leaves[bucket->count];
    bucket_tags(bucket)[index] = bucket_tags(bucket)[bucket->count];
    size_t size_low = bucket_size_of(bucket->count + bucket->count / 4U + 4);
    if (bucket->count == 0 || memory_class_size(size_low) < ztree_bucket_size(bucket) * 3 / 4) {
        bucket_resize(tree, number, bucket->count);
    }
}

struct ztree_place
ztree_index_find(const struct ztree *tree, struct slice member, uint64_t hash)
{
    uint32_t number = bucket_number(tree, hash);
    const struct ztree_bucket *bucket = *ztree_array_slot(&tree->buckets, number);
    if (bucket == NULL) {
        return (struct ztree_place){.leaf = ZTREE_NONE};
    }
    uint16_t tag = hash_tag(hash, bucket_depth(tree, number));
    for (uint32_t i = cell_find(bucket, 0, tag); i < bucket->count;
         i = cell_find(bucket, i + 1, tag)) {
        uint32_t id = bucket->leaves[i];
        const struct ztree_leaf *leaf = ztree_leaf_of(tree, id);
        /* All of it is looked through, and its lines can come at the same time. */
        for (size_t offset = 0; offset < ZTREE_LEAF_SIZE_MAX; offset += CACHE_LINE_SIZE) {
            __builtin_prefetch((const char *)leaf + offset);
        }
        uint32_t index = ztree_leaf_find(leaf, member);
        if (index != ZTREE_NONE) {
            return (struct ztree_place){.leaf = id, .index = index};
        }
    }
    return (struct ztree_place){.leaf = ZTREE_NONE};
}

/* ---- growing and shrinking ---- */

/** Has an earlier cell of the bucket the same leaf? */
static bool
cell_is_repeated(const struct ztree_bucket *bucket, uint32_t index)
{
    for (uint32_t i = 0; i < index; i++) {
        if (bucket->leaves[i] == bucket->leaves[index]) {
            return true;
        }
    }
    return false;
}

/** Enter again what a bucket, taken out of the table, held: all members of its leaves whose lowest
 * `depth` bits are `number`. */
static void
bucket_rehash(struct ztree *tree, const struct ztree_bucket *bucket, uint32_t number,
              uint32_t depth)
{
    uint64_t mask = (UINT64_C(1) << depth) - 1;
    for (uint32_t i = 0; i < bucket->count; i++) {
        if (cell_is_repeated(bucket, i)) {
            continue;
        }
        const struct ztree_leaf *leaf = ztree_leaf_of(tree, bucket->leaves[i]);
        for (uint32_t k = 0; k < leaf->node.count; k++) {
            uint64_t hash = ztree_hash(tree, ztree_leaf_member(leaf, k));
            if ((hash & mask) == number) {
                ztree_index_add(tree, hash, bucket->leaves[i]);
            }
        }
    }
}

/** A bucket out of the table, as its number and depth were, goes where its cells belong now. */
static void
bucket_spread(struct ztree *tree, struct ztree_bucket *bucket, uint32_t number, uint32_t depth)
{
    if (bucket == NULL) {
        return;
    }
    uint32_t depth_now = bucket_depth(tree, bucket_number(tree, number));
    if (depth / DEPTH_STEP != depth_now / DEPTH_STEP) {
        bucket_rehash(tree, bucket, number, depth);
    } else {
        const uint16_t *tags = bucket_tags(bucket);
        uint32_t base = depth / DEPTH_STEP * DEPTH_STEP;
        for (uint32_t i = 0; i < bucket->count; i++) {
            /* The bits that the tag has and those that the number has make enough of the hash. */
            uint64_t hash = ((uint64_t)tags[i] << base) | number;
            cell_add(tree, bucket_number(tree, hash), tags[i], bucket->leaves[i]);
        }
    }
    object_free(&tree->object, bucket, ztree_bucket_size(bucket));
}

static struct ztree_bucket *
bucket_take(struct ztree *tree, uint32_t number)
{
    void **slot = ztree_array_slot(&tree->buckets, number);
    struct ztree_bucket *bucket = *slot;
    *slot = NULL;
    return bucket;
}

static void
index_grow(struct ztree *tree)
{
    uint32_t level = index_level(tree);
    uint32_t number = tree->bucket_count - (UINT32_C(1) << level);
    struct ztree_bucket *bucket = bucket_take(tree, number);
    tree->bucket_count++;
    ztree_array_resize(&tree->object, &tree->buckets, tree->bucket_count);
    bucket_spread(tree, bucket, number, level);
}

static void
index_shrink(struct ztree *tree)
{
    uint32_t high = tree->bucket_count - 1;
    uint32_t depth = bucket_depth(tree, high);
    uint32_t low = high - (UINT32_C(1) << (depth - 1));
    struct ztree_bucket *bucket_low = bucket_take(tree, low);
    struct ztree_bucket *bucket_high = bucket_take(tree, high);
    tree->bucket_count--;
    ztree_array_resize(&tree->object, &tree->buckets, tree->bucket_count);
    bucket_spread(tree, bucket_low, low, depth);
    bucket_spread(tree, bucket_high, high, depth);
}

bool
ztree_index_adjust(struct ztree *tree)
{
    uint64_t buckets = tree->bucket_count;
    if (tree->count > buckets * BUCKET_MEAN_MAX) {
        index_grow(tree);
        return true;
    }
    if (buckets > 1 && tree->count < (buckets - 1) * BUCKET_MEAN_MIN) {
        index_shrink(tree);
        return true;
    }
    return false;
}

uint64_t
ztree_index_count(const struct ztree *tree)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < tree->bucket_count; i++) {
        const struct ztree_bucket *bucket = *ztree_array_slot(&tree->buckets, i);
        count += bucket == NULL ? 0 : bucket->count;
    }
    return count;
}

/* ---- scanning ---- */

/** The lowest 48 bits in reverse order. */
static uint64_t
bits_reverse(uint64_t bits)
{
    uint64_t reversed = 0;
    for (uint32_t i = 0; i < CURSOR_BITS; i++) {
        reversed = (reversed << 1) | ((bits >> i) & 1);
    }
    return reversed;
}

uint64_t
ztree_index_scan(const struct ztree *tree, uint64_t cursor, ztree_scan_fn *scan, void *context)
{
    if (cursor >> CURSOR_BITS != 0) {
        return 0;
    }
    uint32_t number = bucket_number(tree, bits_reverse(cursor));
    uint32_t depth = bucket_depth(tree, number);
    uint64_t mask = (UINT64_C(1) << depth) - 1;
    const struct ztree_bucket *bucket = *ztree_array_slot(&tree->buckets, number);
    for (uint32_t i = 0; bucket != NULL && i < bucket->count; i++) {
        if (cell_is_repeated(bucket, i)) {
            continue;
        }
        const struct ztree_leaf *leaf = ztree_leaf_of(tree, bucket->leaves[i]);
        for (uint32_t k = 0; k < leaf->node.count; k++) {
            struct slice member = ztree_leaf_member(leaf, k);
            uint64_t hash = ztree_hash(tree, member);
            if ((hash & mask) == number && bits_reverse(hash) >= cursor) {
                scan(context, (struct ztree_item){ztree_leaf_scores(leaf)[k], member});
            }
        }
    }
    uint64_t span = UINT64_C(1) << (CURSOR_BITS - depth);
    return ((cursor & ~(span - 1)) + span) & ((UINT64_C(1) << CURSOR_BITS) - 1);
}
