#include "shard/value/packed_bucket.h"

#include "shard/value/image.h"

/*
 * packed_times.c: which members of a packed table die next.
 *
 *     first_ms                          the first deadline of all
 *        [ m m m m ... ]                the first of each 16 below
 *     [ m m . . ]  [ . m . . ]          the first of each group of 8 buckets
 *     bucket bucket ...                 the deadlines themselves, with their members
 *
 * A tournament: deadlines lie in the buckets, and above these only minima are kept, a tenth of a
 * byte for each member. An earlier deadline is noted on the way up; when the one that a minimum
 * stood for goes, its group is looked through again, some fifty members. What is due is found from
 * the top down. Buckets without deadlines have no planes for them and groups without any no nodes,
 * so a large table pays for deadlines where it has them, and its first one is set in O(1).
 *
 * Invariants: a minimum is the least of what is below it, as unsigned numbers, where none
 * (PACKED_NO_DEADLINE) is the greatest; a node in which all are none is freed; a table of one group
 * has no node. All is in the owner of the object's hands; there is no wheel place for a field.
 *
 * Rejected: a second index of deadlines (as large as the fields themselves), a heap of positions
 * (each change of a bucket moves members), a conversion to another kind of table (a turn's worth of
 * copying where one field of many gets a deadline).
 */

#define GROUP_BUCKETS 8
#define FANOUT_BITS 4
#define FANOUT (1U << FANOUT_BITS)
#define NONE ((uint64_t)PACKED_NO_DEADLINE)

/** The lowest level has no children. */
struct times_leaf {
    uint64_t first_ms[FANOUT];
};

struct times_node {
    struct times_leaf leaf;
    void *children[FANOUT];
};

static struct packed_timed *
timed_of(struct packed *packed)
{
    ASSERT(packed->is_timed);
    return (struct packed_timed *)packed;
}

static size_t
node_size(uint32_t height)
{
    return height > 1 ? sizeof(struct times_node) : sizeof(struct times_leaf);
}

/* ---- nodes ---- */

static void *
node_new(struct packed *packed, uint32_t height)
{
    struct times_node *node = object_alloc(&packed->object, node_size(height));
    for (unsigned i = 0; i < FANOUT; i++) {
        node->leaf.first_ms[i] = NONE;
    }
    if (height > 1) {
        memset(node->children, 0, sizeof(node->children));
    }
    return node;
}

static uint64_t
leaf_first_ms(const struct times_leaf *leaf)
{
    uint64_t first_ms = NONE;
    for (unsigned i = 0; i < FANOUT; i++) {
        first_ms = MIN(first_ms, leaf->first_ms[i]);
    }
    return first_ms;
}

/** Which child of a node leads to the group. */
static unsigned
child_index(uint32_t group, uint32_t height)
{
    return group >> (FANOUT_BITS * (height - 1)) & (FANOUT - 1);
}

/** Groups that a tree of this height has room for. */
static uint64_t
groups_below(uint32_t height)
{
    return UINT64_C(1) << (FANOUT_BITS * height);
}

/** Note a group's minimum below *node, which comes into being with the first and goes with the
 * last. Returns the node's own. */
static uint64_t
node_store(struct packed *packed, void **node, uint32_t height, uint32_t group, uint64_t first_ms)
{
    if (height == 0) {
        return first_ms;
    }
    if (*node == NULL) {
        if (first_ms == NONE) {
            return NONE;
        }
        *node = node_new(packed, height);
    }
    struct times_leaf *leaf = *node;
    unsigned i = child_index(group, height);
    void *none = NULL;
    void **child = height > 1 ? &((struct times_node *)*node)->children[i] : &none;
    leaf->first_ms[i] = node_store(packed, child, height - 1, group, first_ms);
    uint64_t least_ms = leaf_first_ms(leaf);
    if (least_ms == NONE) {
        object_free(&packed->object, leaf, node_size(height));
        *node = NULL;
    }
    return least_ms;
}

static uint64_t
times_load(const struct packed_timed *timed, uint32_t group)
{
    if (group >= groups_below(timed->height)) {
        return NONE;
    }
    uint64_t first_ms = timed->first_ms;
    const void *node = timed->root;
    for (uint32_t height = timed->height; height > 0; height--) {
        if (node == NULL) {
            return NONE;
        }
        unsigned i = child_index(group, height);
        first_ms = ((const struct times_leaf *)node)->first_ms[i];
        node = height > 1 ? ((const struct times_node *)node)->children[i] : NULL;
    }
    return first_ms;
}

static void
times_store(struct packed_timed *timed, uint32_t group, uint64_t first_ms)
{
    struct packed *packed = &timed->packed;
    if (first_ms == NONE && group >= groups_below(timed->height)) {
        return;
    }
    while (group >= groups_below(timed->height)) {
        uint32_t height = timed->height + 1;
        if (timed->first_ms != NONE) {
            struct times_node *root = node_new(packed, height);
            root->leaf.first_ms[0] = timed->first_ms;
            if (height > 1) {
                root->children[0] = timed->root;
            }
            timed->root = root;
        }
        timed->height = height;
    }
    timed->first_ms = node_store(packed, &timed->root, timed->height, group, first_ms);
    if (timed->first_ms == NONE) {
        timed->height = 0;
    }
}

/* ---- buckets ---- */

/** As an unsigned number. */
static uint64_t
bucket_first_ms(const struct packed *packed, const struct packed_bucket *bucket)
{
    uint64_t first_ms = NONE;
    if (bucket == NULL || !bucket->is_timed) {
        return first_ms;
    }
    for (uint32_t i = 0; i < bucket->count; i++) {
        first_ms = MIN(first_ms, (uint64_t)bucket_deadline_ms(packed, bucket, i));
    }
    return first_ms;
}

static uint64_t
group_first_ms(const struct packed *packed, uint32_t group)
{
    uint64_t first_ms = NONE;
    uint32_t start = group * GROUP_BUCKETS;
    for (uint32_t i = start; i < start + GROUP_BUCKETS && i < packed->bucket_count; i++) {
        first_ms = MIN(first_ms, bucket_first_ms(packed, *packed_slot(packed, i)));
    }
    return first_ms;
}

void
packed_times_add(struct packed *packed, uint32_t bucket_index, int64_t deadline_ms)
{
    struct packed_timed *timed = timed_of(packed);
    uint32_t group = bucket_index / GROUP_BUCKETS;
    if ((uint64_t)deadline_ms < times_load(timed, group)) {
        times_store(timed, group, (uint64_t)deadline_ms);
    }
}

void
packed_times_update(struct packed *packed, uint32_t bucket_index)
{
    struct packed_timed *timed = timed_of(packed);
    uint32_t group = bucket_index / GROUP_BUCKETS;
    uint64_t first_ms = group_first_ms(packed, group);
    if (first_ms != times_load(timed, group)) {
        times_store(timed, group, first_ms);
    }
}

void
packed_times_remove(struct packed *packed, uint32_t bucket_index, int64_t deadline_ms)
{
    if (times_load(timed_of(packed), bucket_index / GROUP_BUCKETS) >= (uint64_t)deadline_ms) {
        packed_times_update(packed, bucket_index);
    }
}

void
packed_times_rebuild(struct packed *packed)
{
    for (uint32_t i = 0; packed->is_timed && i < packed->bucket_count; i += GROUP_BUCKETS) {
        packed_times_update(packed, i);
    }
}

bool
packed_times_free_one(struct packed *packed)
{
    if (!packed->is_timed) {
        return false;
    }
    struct packed_timed *timed = timed_of(packed);
    void **place = &timed->root;
    uint32_t height = timed->height;
    if (*place == NULL) {
        return false;
    }
    while (height > 1) {
        struct times_node *node = *place;
        unsigned i = 0;
        while (i < FANOUT && node->children[i] == NULL) {
            i++;
        }
        if (i == FANOUT) {
            break;
        }
        place = &node->children[i];
        height--;
    }
    object_free(&packed->object, *place, node_size(height));
    *place = NULL;
    return true;
}

/* ---- public ---- */

struct packed *
packed_time(struct packed *packed)
{
    if (packed->is_timed) {
        return packed;
    }
    struct packed_timed *timed = heap_alloc(sizeof(*timed));
    *timed = (struct packed_timed){.packed = *packed, .first_ms = NONE};
    timed->packed.is_timed = true;
    timed->packed.object.size +=
        memory_class_size(sizeof(*timed)) - memory_class_size(sizeof(*packed));
    if (UNLIKELY(packed->object.image != NULL)) {
        image_move(packed->object.image, &packed->object, &timed->packed.object);
    }
    heap_free(packed);
    return &timed->packed;
}

/** The first bucket of a group with something due. */
static uint32_t
due_bucket(const struct packed_timed *timed, uint64_t now_ms)
{
    const void *node = timed->root;
    uint32_t group = 0;
    for (uint32_t height = timed->height; height > 0; height--) {
        const struct times_leaf *leaf = node;
        unsigned i = 0;
        while (leaf->first_ms[i] > now_ms) {
            i++;
            ASSERT(i < FANOUT);
        }
        group = group << FANOUT_BITS | i;
        node = height > 1 ? ((const struct times_node *)node)->children[i] : NULL;
    }
    uint32_t bucket_index = group * GROUP_BUCKETS;
    const struct packed *packed = &timed->packed;
    while (bucket_first_ms(packed, *packed_slot(packed, bucket_index)) > now_ms) {
        bucket_index++;
        ASSERT(bucket_index < packed->bucket_count);
    }
    return bucket_index;
}

uint32_t
packed_expire(struct packed *packed, int64_t now_ms, packed_expire_fn *expire, void *context)
{
    if (!packed_is_due(packed_first_ms(packed), now_ms)) {
        return 0;
    }
    uint32_t bucket_index = due_bucket(timed_of(packed), (uint64_t)now_ms);
    struct packed_bucket **bucket = packed_slot(packed, bucket_index);
    struct packed_item items[PACKED_EXPIRE_MAX];
    uint32_t indexes[PACKED_EXPIRE_MAX];
    uint32_t offsets[PACKED_EXPIRE_MAX];
    uint32_t count = 0;
    uint32_t offset = 0;
    for (uint32_t i = 0; i < (*bucket)->count && count < PACKED_EXPIRE_MAX; i++) {
        if (packed_is_due(bucket_deadline_ms(packed, *bucket, i), now_ms)) {
            items[count] = bucket_item(packed, *bucket, i, offset);
            indexes[count] = i;
            offsets[count++] = offset;
        }
        offset += bucket_record_size(packed, *bucket, i);
    }
    if (expire != NULL) {
        expire(context, items, count);
    }
    object_part_keep(&packed->object, bucket_index);
    /* From the last one on: indexes and offsets of those before stay. */
    for (uint32_t i = count; i > 0; i--) {
        bucket_remove(packed, bucket, indexes[i - 1], offsets[i - 1]);
    }
    packed_times_update(packed, bucket_index);
    for (uint32_t i = 0; i < count; i++) {
        packed->count--;
        packed_shrink(packed);
    }
    return count;
}

/* ---- checking ---- */

static bool
node_check(const struct packed *packed, const void *node, uint32_t height, uint32_t group,
           uint64_t want_ms, uint64_t *size)
{
    if (height == 0) {
        return group_first_ms(packed, group) == want_ms;
    }
    if (node == NULL) {
        return want_ms == NONE;
    }
    const struct times_leaf *leaf = node;
    *size += memory_class_size(node_size(height));
    for (uint32_t i = 0; i < FANOUT; i++) {
        const void *child = height > 1 ? ((const struct times_node *)node)->children[i] : NULL;
        if (!node_check(packed, child, height - 1, group << FANOUT_BITS | i, leaf->first_ms[i],
                        size)) {
            return false;
        }
    }
    return want_ms != NONE && leaf_first_ms(leaf) == want_ms;
}

bool
packed_times_check(const struct packed *packed, uint64_t *size)
{
    uint64_t first_ms = NONE;
    for (uint32_t i = 0; i < packed->bucket_count; i++) {
        const struct packed_bucket *bucket = *packed_slot(packed, i);
        uint64_t bucket_ms = bucket_first_ms(packed, bucket);
        if (bucket != NULL && bucket->is_timed && bucket_ms == NONE) {
            return false;
        }
        first_ms = MIN(first_ms, bucket_ms);
    }
    if (!packed->is_timed) {
        return first_ms == NONE;
    }
    const struct packed_timed *timed = (const struct packed_timed *)packed;
    for (uint32_t group = 0; group * GROUP_BUCKETS < packed->bucket_count; group++) {
        if (times_load(timed, group) != group_first_ms(packed, group)) {
            return false;
        }
    }
    return first_ms == timed->first_ms &&
           node_check(packed, timed->root, timed->height, 0, first_ms, size);
}
