/*
 * ztree.c: a large sorted set in half the memory of a skiplist and a dictionary.
 *
 *                    [ inner: parting score, child, count ... ]            rank, nth, ranges
 *                     /                 |                \
 *     [leaf: scores|ends|members] <-> [leaf ...] <-> [leaf ...]            order
 *             ^                          ^
 *     index:  (16 bits of hash, leaf id) (16 bits, leaf id) ...            member -> score
 *
 * A B+ tree in the order of (score, member bytes). Leaves pack some thirty elements into one block;
 * inner nodes count the elements below each child, so that a rank is a sum along one path. The
 * index finds a member's leaf by its hash, and the score is there. Nodes name each other by 32-bit
 * ids, so a leaf's block may grow elsewhere without anybody being told.
 *
 * An element of 17 bytes takes 27 in its leaf, seven in the index, and some five for slack and the
 * nodes above.
 *
 * Whoever changes a leaf keeps it first (image.h): for somebody who writes the set as it was, leaf
 * by leaf along the chain. A new leaf is kept while it is empty, whatever its id has been before.
 *
 * Invariants: each element is in one leaf and has one cell in the index that names this leaf; a
 * count is the number of elements below; leaves are chained in order; no leaf but the root is
 * empty.
 *
 * Nothing here takes long at once, however large the set: a put splits one node of each level and
 * one bucket of the index. Rejected: a skiplist (two pointers a level for each element, one cache
 * miss for each step), and scores in the index (the leaf has them already).
 */
#include "shard/value/ztree.h"

#include "shard/value/image.h"
#include "shard/value/ztree_internal.h"

/* ---- life ---- */

struct ztree *
ztree_new(uint64_t seed)
{
    struct ztree *tree = object_new(sizeof(*tree));
    tree->seed = seed;
    tree->node_free = ZTREE_NONE;
    tree->root = ztree_leaf_new(tree);
    tree->leaf_first = tree->root;
    tree->leaf_last = tree->root;
    ztree_index_create(tree);
    return tree;
}

/** A leaf with its outside members, or an inner node. Returns how many blocks that were. */
static uint32_t
node_free(struct ztree *tree, void *block)
{
    const struct ztree_node *node = block;
    uint32_t block_count = 1;
    if (node->size == 0) {
        object_free(&tree->object, block, sizeof(struct ztree_inner));
        return block_count;
    }
    const struct ztree_leaf *leaf = block;
    for (uint32_t i = 0; i < node->count; i++) {
        if (UNLIKELY((ztree_leaf_ends(leaf)[i] & ZTREE_OUTSIDE) != 0)) {
            struct slice member = ztree_leaf_member(leaf, i);
            object_free(&tree->object, (void *)(uintptr_t)member.data, member.size);
            block_count++;
        }
    }
    object_free(&tree->object, block, node->size);
    return block_count;
}

bool
ztree_free_steps(struct ztree *tree, uint32_t step_count_max)
{
    uint32_t step_count = 0;
    uint64_t end = (uint64_t)tree->node_count + tree->bucket_count;
    for (; tree->free_position < end; tree->free_position++) {
        if (step_count >= step_count_max) {
            return false;
        }
        step_count++;
        uint32_t position = tree->free_position;
        if (position < tree->node_count) {
            void *node = *ztree_array_slot(&tree->nodes, position);
            if (!ztree_node_is_free(node)) {
                step_count += node_free(tree, node);
            }
        } else {
            void *bucket = *ztree_array_slot(&tree->buckets, position - tree->node_count);
            if (bucket != NULL) {
                object_free(&tree->object, bucket, ztree_bucket_size(bucket));
            }
        }
    }
    ztree_array_destroy(&tree->object, &tree->nodes);
    ztree_array_destroy(&tree->object, &tree->buckets);
    ASSERT(tree->object.size == memory_class_size(sizeof(*tree)));
    heap_free(tree);
    return true;
}

void
ztree_delete(struct ztree *tree)
{
    while (!ztree_free_steps(tree, UINT32_MAX)) {
    }
}

static void *
node_copy(struct ztree *to, const struct ztree_node *node)
{
    if (node->size == 0) {
        struct ztree_inner *inner = object_alloc(&to->object, sizeof(*inner));
        memcpy(inner, node, sizeof(*inner));
        return inner;
    }
    struct ztree_leaf *leaf = object_alloc(&to->object, node->size);
    memcpy(leaf, node, ztree_leaf_used((const struct ztree_leaf *)node));
    for (uint32_t i = 0; i < node->count; i++) {
        if (UNLIKELY((ztree_leaf_ends(leaf)[i] & ZTREE_OUTSIDE) != 0)) {
            struct slice member = ztree_leaf_member(leaf, i);
            struct ztree_outside outside = {
                .data = object_alloc(&to->object, member.size),
                .size = member.size,
            };
            memcpy(outside.data, member.data, member.size);
            memcpy(ztree_leaf_bytes(leaf) + ztree_leaf_start(leaf, i), &outside, sizeof(outside));
        }
    }
    return leaf;
}

struct ztree *
ztree_copy(const struct ztree *tree)
{
    struct ztree *to = object_new(sizeof(*to));
    struct object object = to->object;
    *to = *tree;
    to->object = object;
    to->nodes = (struct ztree_array){0};
    to->buckets = (struct ztree_array){0};
    ztree_array_resize(&to->object, &to->nodes, tree->node_count);
    ztree_array_resize(&to->object, &to->buckets, tree->bucket_count);
    for (uint32_t i = 0; i < tree->node_count; i++) {
        void *node = *ztree_array_slot(&tree->nodes, i);
        *ztree_array_slot(&to->nodes, i) = ztree_node_is_free(node) ? node : node_copy(to, node);
    }
    for (uint32_t i = 0; i < tree->bucket_count; i++) {
        const void *bucket = *ztree_array_slot(&tree->buckets, i);
        if (bucket != NULL) {
            size_t bucket_size = ztree_bucket_size(bucket);
            void *block = object_alloc(&to->object, bucket_size);
            memcpy(block, bucket, bucket_size);
            *ztree_array_slot(&to->buckets, i) = block;
        }
    }
    return to;
}

uint64_t
ztree_count(const struct ztree *tree)
{
    return tree->count;
}

static size_t
ops_count(const void *object)
{
    return ztree_count(object);
}

static void *
ops_copy(const void *object)
{
    return ztree_copy(object);
}

static bool
ops_free_steps(void *object, uint32_t step_count_max)
{
    return ztree_free_steps(object, step_count_max);
}

const struct object_ops ztree_ops = {
    .count = ops_count,
    .copy = ops_copy,
    .free_steps = ops_free_steps,
};

/* ---- one member ---- */

bool
ztree_find(const struct ztree *tree, struct slice member, double *score)
{
    struct ztree_place place = ztree_index_find(tree, member, ztree_hash(tree, member));
    if (place.leaf == ZTREE_NONE) {
        return false;
    }
    if (score != NULL) {
        *score = ztree_leaf_scores(ztree_leaf_of(tree, place.leaf))[place.index];
    }
    return true;
}

bool
ztree_rank(const struct ztree *tree, struct slice member, uint64_t *rank, double *score)
{
    struct ztree_place place = ztree_index_find(tree, member, ztree_hash(tree, member));
    if (place.leaf == ZTREE_NONE) {
        return false;
    }
    if (score != NULL) {
        *score = ztree_leaf_scores(ztree_leaf_of(tree, place.leaf))[place.index];
    }
    *rank = ztree_leaf_rank(tree, place.leaf) + place.index;
    return true;
}

/** How many elements of a full leaf stay in it: those of the first half of its bytes. */
static uint32_t
leaf_half(const struct ztree_leaf *leaf)
{
    size_t half = (ztree_leaf_used(leaf) - sizeof(*leaf)) / 2;
    uint32_t kept = 1;
    while (kept + 1U < leaf->node.count &&
           ZTREE_ITEM_SIZE * (kept + 1U) + ztree_leaf_start(leaf, kept + 1) <= half) {
        kept++;
    }
    return kept;
}

/** The leaf has no room for `need` bytes at `place`: part it in two, and say where the place is. */
static struct ztree_place
leaf_split(struct ztree *tree, struct ztree_place place, double score, size_t need)
{
    struct ztree_leaf *leaf = ztree_leaf_of(tree, place.leaf);
    uint32_t count = leaf->node.count;
    if (place.index == count && leaf->next == ZTREE_NONE) {
        /* Appended: leaves stay full behind. */
        return (struct ztree_place){.leaf = ztree_leaf_add_right(tree, place.leaf, score)};
    }
    uint32_t kept = leaf_half(leaf);
    uint32_t right = ztree_leaf_add_right(tree, place.leaf, ztree_leaf_scores(leaf)[kept]);
    for (uint32_t i = kept; i < count; i++) {
        ztree_index_move(tree, ztree_hash(tree, ztree_leaf_member(leaf, i)), place.leaf, right);
    }
    ztree_leaf_move(tree, place.leaf, kept, count - kept, right);
    ztree_count_change(tree, place.leaf, -(int64_t)(count - kept));
    ztree_count_change(tree, right, count - kept);
    ztree_leaf_fit(tree, place.leaf, place.index <= kept ? need : 0);
    if (place.index > kept) {
        place = (struct ztree_place){.leaf = right, .index = place.index - kept};
    }
    return place;
}

static void
item_insert(struct ztree *tree, struct slice member, double score, uint64_t hash)
{
    ASSERT(tree->count < UINT32_MAX); /* what inner nodes count with */
    struct ztree_bound bound = {.kind = ZTREE_BOUND_ITEM, .score = score, .member = member};
    struct ztree_place place = ztree_descend(tree, &bound, NULL);
    size_t need = ZTREE_ITEM_SIZE + ztree_stored_size(member);
    if (ztree_leaf_used(ztree_leaf_of(tree, place.leaf)) + need > ZTREE_LEAF_SIZE_MAX) {
        place = leaf_split(tree, place, score, need);
    }
    ztree_leaf_insert(tree, place.leaf, place.index, score, member);
    ztree_count_change(tree, place.leaf, 1);
    tree->count++;
    ztree_index_add(tree, hash, place.leaf);
    ztree_index_adjust(tree);
}

static void
item_remove(struct ztree *tree, struct ztree_place place, uint64_t hash)
{
    ztree_index_remove(tree, hash, place.leaf);
    ztree_leaf_erase(tree, place.leaf, place.index, 1);
    ztree_count_change(tree, place.leaf, -1);
    tree->count--;
    ztree_leaf_settle(tree, place.leaf);
    ztree_index_adjust(tree);
    while (ztree_ids_compact(tree)) {
    }
}

/** Give the element another score if it can stay in its leaf. */
static bool
item_move_near(struct ztree *tree, struct ztree_place place, struct slice member, double score)
{
    struct ztree_leaf *leaf = ztree_leaf_of(tree, place.leaf);
    struct ztree_bound bound = {.kind = ZTREE_BOUND_ITEM, .score = score, .member = member};
    uint32_t index = ztree_leaf_search(leaf, &bound);
    if ((index == 0 && leaf->previous != ZTREE_NONE) ||
        (index == leaf->node.count && leaf->next != ZTREE_NONE)) {
        return false;
    }
    if (index == place.index || index == place.index + 1) {
        object_part_keep(&tree->object, place.leaf);
        ztree_leaf_scores(leaf)[place.index] = score;
        return true;
    }
    ztree_leaf_erase(tree, place.leaf, place.index, 1);
    ztree_leaf_insert(tree, place.leaf, index > place.index ? index - 1 : index, score, member);
    return true;
}

enum ztree_put
ztree_put(struct ztree *tree, struct slice member, double score)
{
    ASSERT(score == score);
    uint64_t hash = ztree_hash(tree, member);
    struct ztree_place place = ztree_index_find(tree, member, hash);
    if (place.leaf == ZTREE_NONE) {
        item_insert(tree, member, score, hash);
        return ZTREE_ADDED;
    }
    if (ztree_leaf_scores(ztree_leaf_of(tree, place.leaf))[place.index] == score) {
        return ZTREE_SAME;
    }
    if (!item_move_near(tree, place, member, score)) {
        item_remove(tree, place, hash);
        item_insert(tree, member, score, hash);
    }
    return ZTREE_MOVED;
}

bool
ztree_remove(struct ztree *tree, struct slice member)
{
    uint64_t hash = ztree_hash(tree, member);
    struct ztree_place place = ztree_index_find(tree, member, hash);
    if (place.leaf == ZTREE_NONE) {
        return false;
    }
    item_remove(tree, place, hash);
    return true;
}

void
ztree_remove_ranks(struct ztree *tree, uint64_t from, uint64_t to)
{
    ASSERT(from <= to);
    to = MIN(to, tree->count);
    while (from < to) {
        struct ztree_place place = ztree_at(tree, from);
        const struct ztree_leaf *leaf = ztree_leaf_of(tree, place.leaf);
        uint32_t count = (uint32_t)MIN(leaf->node.count - (uint64_t)place.index, to - from);
        for (uint32_t i = 0; i < count; i++) {
            struct slice member = ztree_leaf_member(leaf, place.index + i);
            ztree_index_remove(tree, ztree_hash(tree, member), place.leaf);
        }
        ztree_leaf_erase(tree, place.leaf, place.index, count);
        ztree_count_change(tree, place.leaf, -(int64_t)count);
        tree->count -= count;
        to -= count;
        ztree_leaf_settle(tree, place.leaf);
        while (ztree_index_adjust(tree)) {
        }
        while (ztree_ids_compact(tree)) {
        }
    }
}

/* ---- order ---- */

uint64_t
ztree_rank_of_score(const struct ztree *tree, double score, bool is_after)
{
    struct ztree_bound bound = {.kind = ZTREE_BOUND_SCORE, .is_after = is_after, .score = score};
    uint64_t rank;
    ztree_descend(tree, &bound, &rank);
    return rank;
}

uint64_t
ztree_rank_of_member(const struct ztree *tree, struct slice member, bool is_after)
{
    struct ztree_bound bound = {.kind = ZTREE_BOUND_MEMBER, .is_after = is_after, .member = member};
    uint64_t rank;
    ztree_descend(tree, &bound, &rank);
    return rank;
}

struct ztree_place
ztree_at(const struct ztree *tree, uint64_t rank)
{
    if (rank >= tree->count) {
        return (struct ztree_place){.leaf = ZTREE_NONE};
    }
    uint32_t id = tree->root;
    for (uint32_t level = tree->height; level > 0; level--) {
        const struct ztree_inner *inner = ztree_inner_of(tree, id);
        uint32_t index = 0;
        while (rank >= inner->counts[index]) {
            rank -= inner->counts[index];
            index++;
            ASSERT(index < inner->node.count);
        }
        id = inner->children[index];
    }
    return (struct ztree_place){.leaf = id, .index = (uint32_t)rank};
}

struct ztree_place
ztree_next(const struct ztree *tree, struct ztree_place place)
{
    const struct ztree_leaf *leaf = ztree_leaf_of(tree, place.leaf);
    if (place.index + 1 < leaf->node.count) {
        return (struct ztree_place){.leaf = place.leaf, .index = place.index + 1};
    }
    return (struct ztree_place){.leaf = leaf->next};
}

struct ztree_place
ztree_previous(const struct ztree *tree, struct ztree_place place)
{
    if (place.index > 0) {
        return (struct ztree_place){.leaf = place.leaf, .index = place.index - 1};
    }
    uint32_t previous = ztree_leaf_of(tree, place.leaf)->previous;
    if (previous == ZTREE_NONE) {
        return (struct ztree_place){.leaf = ZTREE_NONE};
    }
    uint32_t count = ztree_leaf_of(tree, previous)->node.count;
    return (struct ztree_place){.leaf = previous, .index = count - 1};
}

uint32_t
ztree_leaf_count(const struct ztree *tree, uint32_t leaf)
{
    return ztree_leaf_of(tree, leaf)->node.count;
}

uint32_t
ztree_leaf_previous(const struct ztree *tree, uint32_t leaf)
{
    return ztree_leaf_of(tree, leaf)->previous;
}

uint32_t
ztree_id_count(const struct ztree *tree)
{
    return tree->node_count;
}

struct ztree_item
ztree_get(const struct ztree *tree, struct ztree_place place)
{
    const struct ztree_leaf *leaf = ztree_leaf_of(tree, place.leaf);
    ASSERT(place.index < leaf->node.count);
    return (struct ztree_item){
        .score = ztree_leaf_scores(leaf)[place.index],
        .member = ztree_leaf_member(leaf, place.index),
    };
}

uint64_t
ztree_scan(const struct ztree *tree, uint64_t cursor, ztree_scan_fn *scan, void *context)
{
    return ztree_index_scan(tree, cursor, scan, context);
}
