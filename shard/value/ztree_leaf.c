/*
 * ztree_leaf.c: one leaf of a sorted tree: a block with three columns and nothing between them.
 *
 *     header | score score score | end end end | bytes bytes bytes |  (slack)
 *
 * Members follow each other without gaps, so an end is all that is needed to find one. An element
 * comes or goes by moving the columns apart or together, back to front or front to back, a few
 * hundred bytes. Blocks grow by allocation classes, not to full size at once: a leaf that is half
 * full takes half the memory. A member above ZTREE_INLINE_SIZE_MAX lies in its own block.
 */
#include "shard/value/image.h"
#include "shard/value/ztree_internal.h"

/* ---- ztree_array ---- */

static uint32_t
segment_need(uint32_t count)
{
    return (uint32_t)(((uint64_t)count + ZTREE_SEGMENT_COUNT - 1) >> ZTREE_SEGMENT_BITS);
}

/** The only segment gets room for `capacity` pointers. */
static void
first_resize(struct object *object, struct ztree_array *array, uint32_t capacity)
{
    uint32_t old_capacity = array->first_capacity;
    void **segment = object_alloc(object, capacity * sizeof(void *));
    uint32_t kept = MIN(old_capacity, capacity);
    if (kept > 0) {
        memcpy(segment, array->segments[0], kept * sizeof(void *));
    }
    memset(segment + kept, 0, (capacity - kept) * sizeof(void *));
    object_free(object, array->segments[0], old_capacity * sizeof(void *));
    array->segments[0] = segment;
    array->first_capacity = capacity;
}

static void
segments_reserve(struct object *object, struct ztree_array *array, uint32_t capacity)
{
    if (capacity <= array->segment_capacity) {
        return;
    }
    capacity = MAX(capacity, 2 * array->segment_capacity);
    void ***segments = object_alloc(object, capacity * sizeof(void **));
    if (array->segment_count > 0) {
        memcpy(segments, array->segments, array->segment_count * sizeof(void **));
    }
    object_free(object, array->segments, array->segment_capacity * sizeof(void **));
    array->segments = segments;
    array->segment_capacity = capacity;
}

void
ztree_array_resize(struct object *object, struct ztree_array *array, uint32_t count)
{
    ASSERT(count > 0);
    uint32_t need = segment_need(count);
    segments_reserve(object, array, need);
    if (array->segment_count == 0) {
        array->segments[0] = NULL;
        array->segment_count = 1;
    }
    uint32_t first = array->first_capacity;
    if (count > first && first < ZTREE_SEGMENT_COUNT) {
        uint32_t capacity = MAX(first * 2, 2U);
        while (capacity < count && capacity < ZTREE_SEGMENT_COUNT) {
            capacity *= 2;
        }
        first_resize(object, array, capacity);
    } else if (need == 1 && first > 2 && count < first / 4) {
        first_resize(object, array, first / 2);
    }
    while (array->segment_count < need) {
        size_t size = ZTREE_SEGMENT_COUNT * sizeof(void *);
        void **segment = object_alloc(object, size);
        memset(segment, 0, size);
        array->segments[array->segment_count] = segment;
        array->segment_count++;
    }
    /* One spare segment stays, so that a count around a border does not allocate and free. */
    uint32_t kept = count > ZTREE_SEGMENT_COUNT / 2 ? need + 1 : need;
    while (array->segment_count > kept) {
        array->segment_count--;
        object_free(object, array->segments[array->segment_count],
                    ZTREE_SEGMENT_COUNT * sizeof(void *));
    }
}

void
ztree_array_destroy(struct object *object, struct ztree_array *array)
{
    for (uint32_t i = 0; i < array->segment_count; i++) {
        uint32_t capacity = i == 0 ? array->first_capacity : ZTREE_SEGMENT_COUNT;
        object_free(object, array->segments[i], capacity * sizeof(void *));
    }
    object_free(object, array->segments, array->segment_capacity * sizeof(void **));
    *array = (struct ztree_array){0};
}

/* ---- ids ---- */

/** What the slot of a free id holds: a mark in the lowest bit, which no block's address has, and
 * the ids (ZTREE_ID_COUNT_MAX: none) before and behind it in the list of free ones. */
static void *
free_slot(uint32_t before, uint32_t behind)
{
    uint64_t before_bits = before == ZTREE_NONE ? ZTREE_ID_COUNT_MAX : before;
    uint64_t behind_bits = behind == ZTREE_NONE ? ZTREE_ID_COUNT_MAX : behind;
    return (void *)(uintptr_t)(before_bits << 32 | behind_bits << 1 | 1);
}

static uint32_t
free_before(const struct ztree *tree, uint32_t id)
{
    uint32_t before = (uint32_t)((uintptr_t)*ztree_array_slot(&tree->nodes, id) >> 32);
    return before == ZTREE_ID_COUNT_MAX ? ZTREE_NONE : before;
}

uint32_t
ztree_node_free_next(const struct ztree *tree, uint32_t id)
{
    uint32_t behind = (uint32_t)(uintptr_t)*ztree_array_slot(&tree->nodes, id) >> 1;
    return behind == ZTREE_ID_COUNT_MAX ? ZTREE_NONE : behind;
}

/** Out of the list of free ids. */
static void
free_unlink(struct ztree *tree, uint32_t id)
{
    uint32_t before = free_before(tree, id);
    uint32_t behind = ztree_node_free_next(tree, id);
    if (before == ZTREE_NONE) {
        tree->node_free = behind;
    } else {
        *ztree_array_slot(&tree->nodes, before) = free_slot(free_before(tree, before), behind);
    }
    if (behind != ZTREE_NONE) {
        *ztree_array_slot(&tree->nodes, behind) =
            free_slot(before, ztree_node_free_next(tree, behind));
    }
    tree->node_free_count--;
}

uint32_t
ztree_node_add(struct ztree *tree, void *node)
{
    uint32_t id = tree->node_free;
    if (id != ZTREE_NONE) {
        free_unlink(tree, id);
        *ztree_array_slot(&tree->nodes, id) = node;
        return id;
    }
    id = tree->node_count;
    ASSERT(id < ZTREE_ID_COUNT_MAX);
    tree->node_count++;
    ztree_array_resize(&tree->object, &tree->nodes, tree->node_count);
    *ztree_array_slot(&tree->nodes, id) = node;
    return id;
}

void
ztree_node_drop(struct ztree *tree, uint32_t id)
{
    uint32_t first = tree->node_free;
    *ztree_array_slot(&tree->nodes, id) = free_slot(ZTREE_NONE, first);
    if (first != ZTREE_NONE) {
        *ztree_array_slot(&tree->nodes, first) = free_slot(id, ztree_node_free_next(tree, first));
    }
    tree->node_free = id;
    tree->node_free_count++;
    if (id + 1 < tree->node_count) {
        return;
    }
    /* Each of these was freed once, so that is paid for. */
    while (ztree_node_is_free(*ztree_array_slot(&tree->nodes, tree->node_count - 1))) {
        free_unlink(tree, tree->node_count - 1);
        tree->node_count--;
    }
    ztree_array_resize(&tree->object, &tree->nodes, tree->node_count);
}

uint32_t
ztree_node_rename(struct ztree *tree, uint32_t id)
{
    ASSERT(tree->node_free != ZTREE_NONE);
    uint32_t to = ztree_node_add(tree, ztree_node_of(tree, id));
    ztree_node_drop(tree, id);
    return to;
}

/* ---- leaves ---- */

#define LEAF_SIZE_NEW 64

uint32_t
ztree_leaf_new(struct ztree *tree)
{
    struct ztree_leaf *leaf = object_alloc(&tree->object, LEAF_SIZE_NEW);
    *leaf = (struct ztree_leaf){
        .node = {.parent = ZTREE_NONE, .size = LEAF_SIZE_NEW},
        .next = ZTREE_NONE,
        .previous = ZTREE_NONE,
    };
    return ztree_node_add(tree, leaf);
}

void
ztree_leaf_delete(struct ztree *tree, uint32_t id)
{
    struct ztree_leaf *leaf = ztree_leaf_of(tree, id);
    ASSERT(leaf->node.count == 0);
    object_free(&tree->object, leaf, leaf->node.size);
    ztree_node_drop(tree, id);
}

size_t
ztree_stored_size(struct slice member)
{
    return member.size > ZTREE_INLINE_SIZE_MAX ? sizeof(struct ztree_outside) : member.size;
}

static struct ztree_leaf *
leaf_block_new(struct ztree *tree, const struct ztree_leaf *leaf, size_t need)
{
    ASSERT(need <= ZTREE_LEAF_SIZE_MAX);
    size_t size = memory_class_size(need);
    struct ztree_leaf *block = object_alloc(&tree->object, size);
    *block = *leaf;
    block->node.size = (uint16_t)size;
    return block;
}

static void
leaf_block_replace(struct ztree *tree, uint32_t id, struct ztree_leaf *block)
{
    struct ztree_leaf *leaf = ztree_leaf_of(tree, id);
    *ztree_array_slot(&tree->nodes, id) = block;
    object_free(&tree->object, leaf, leaf->node.size);
}

/** Part the columns at `index`, in `to`, which is `leaf` itself or a new block. The new element's
 * end is set; its score and bytes are the caller's. */
static void
columns_part(const struct ztree_leaf *leaf, struct ztree_leaf *to, uint32_t index, uint32_t size,
             uint32_t mark)
{
    uint32_t count = leaf->node.count;
    uint32_t start = ztree_leaf_start(leaf, index);
    uint32_t end = ztree_leaf_start(leaf, count);
    const char *bytes = ztree_leaf_bytes(leaf);
    const uint16_t *ends = ztree_leaf_ends(leaf);
    const double *scores = ztree_leaf_scores(leaf);
    to->node.count = (uint16_t)(count + 1);
    char *to_bytes = ztree_leaf_bytes(to);
    uint16_t *to_ends = ztree_leaf_ends(to);
    double *to_scores = ztree_leaf_scores(to);
    memmove(to_bytes + start + size, bytes + start, end - start);
    memmove(to_bytes, bytes, start);
    memmove(to_ends + index + 1, ends + index, (count - index) * sizeof(*ends));
    memmove(to_ends, ends, index * sizeof(*ends));
    for (uint32_t i = index + 1; i <= count; i++) {
        to_ends[i] = (uint16_t)(to_ends[i] + size);
    }
    to_ends[index] = (uint16_t)((start + size) | mark);
    memmove(to_scores + index + 1, scores + index, (count - index) * sizeof(*scores));
    if (to != leaf) {
        memcpy(to_scores, scores, index * sizeof(*scores));
    }
}

void
ztree_leaf_insert(struct ztree *tree, uint32_t id, uint32_t index, double score,
                  struct slice member)
{
    object_part_keep(&tree->object, id);
    struct ztree_leaf *leaf = ztree_leaf_of(tree, id);
    ASSERT(index <= leaf->node.count);
    size_t stored_size = ztree_stored_size(member);
    bool is_outside = member.size > ZTREE_INLINE_SIZE_MAX;
    size_t need = ztree_leaf_used(leaf) + ZTREE_ITEM_SIZE + stored_size;
    struct ztree_leaf *to = need <= leaf->node.size ? leaf : leaf_block_new(tree, leaf, need);
    columns_part(leaf, to, index, (uint32_t)stored_size, is_outside ? ZTREE_OUTSIDE : 0);
    if (to != leaf) {
        leaf_block_replace(tree, id, to);
    }
    ztree_leaf_scores(to)[index] = score;
    char *bytes = ztree_leaf_bytes(to) + ztree_leaf_start(to, index);
    if (UNLIKELY(is_outside)) {
        struct ztree_outside outside = {
            .data = object_alloc(&tree->object, member.size),
            .size = member.size,
        };
        memcpy(outside.data, member.data, member.size);
        memcpy(bytes, &outside, sizeof(outside));
    } else if (member.size > 0) {
        memcpy(bytes, member.data, member.size);
    }
}

/** Close the columns over elements that are taken out. */
static void
columns_close(struct ztree_leaf *leaf, uint32_t index, uint32_t count)
{
    uint32_t rest = leaf->node.count - index - count;
    uint32_t start = ztree_leaf_start(leaf, index);
    uint32_t start_rest = ztree_leaf_start(leaf, index + count);
    uint32_t end = ztree_leaf_start(leaf, leaf->node.count);
    char *bytes = ztree_leaf_bytes(leaf);
    uint16_t *ends = ztree_leaf_ends(leaf);
    double *scores = ztree_leaf_scores(leaf);
    leaf->node.count = (uint16_t)(leaf->node.count - count);
    char *to_bytes = ztree_leaf_bytes(leaf);
    uint16_t *to_ends = ztree_leaf_ends(leaf);
    memmove(scores + index, scores + index + count, rest * sizeof(*scores));
    memmove(to_ends, ends, index * sizeof(*ends));
    memmove(to_ends + index, ends + index + count, rest * sizeof(*ends));
    for (uint32_t i = index; i < index + rest; i++) {
        to_ends[i] = (uint16_t)(to_ends[i] - (start_rest - start));
    }
    memmove(to_bytes, bytes, start);
    memmove(to_bytes + start, bytes + start_rest, end - start_rest);
}

void
ztree_leaf_move(struct ztree *tree, uint32_t from, uint32_t index, uint32_t count, uint32_t to)
{
    object_part_keep(&tree->object, from);
    object_part_keep(&tree->object, to);
    struct ztree_leaf *source = ztree_leaf_of(tree, from);
    struct ztree_leaf *old = ztree_leaf_of(tree, to);
    ASSERT(index + count <= source->node.count);
    uint32_t start = ztree_leaf_start(source, index);
    uint32_t size = ztree_leaf_start(source, index + count) - start;
    uint32_t old_count = old->node.count;
    uint32_t old_end = ztree_leaf_start(old, old_count);
    size_t need = ztree_leaf_used(old) + ZTREE_ITEM_SIZE * count + size;
    /* Always a new block: leaves are joined and parted much less often than changed. */
    struct ztree_leaf *block = leaf_block_new(tree, old, need);
    block->node.count = (uint16_t)(old_count + count);
    double *scores = ztree_leaf_scores(block);
    uint16_t *ends = ztree_leaf_ends(block);
    char *bytes = ztree_leaf_bytes(block);
    memcpy(scores, ztree_leaf_scores(old), old_count * sizeof(*scores));
    memcpy(scores + old_count, ztree_leaf_scores(source) + index, count * sizeof(*scores));
    memcpy(ends, ztree_leaf_ends(old), old_count * sizeof(*ends));
    const uint16_t *source_ends = ztree_leaf_ends(source) + index;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t end = (source_ends[i] & ~ZTREE_OUTSIDE) - start + old_end;
        ends[old_count + i] = (uint16_t)(end | (source_ends[i] & ZTREE_OUTSIDE));
    }
    memcpy(bytes, ztree_leaf_bytes(old), old_end);
    memcpy(bytes + old_end, ztree_leaf_bytes(source) + start, size);
    leaf_block_replace(tree, to, block);
    columns_close(source, index, count);
}

void
ztree_leaf_erase(struct ztree *tree, uint32_t id, uint32_t index, uint32_t count)
{
    object_part_keep(&tree->object, id);
    struct ztree_leaf *leaf = ztree_leaf_of(tree, id);
    ASSERT(index + count <= leaf->node.count);
    for (uint32_t i = index; i < index + count; i++) {
        if (UNLIKELY((ztree_leaf_ends(leaf)[i] & ZTREE_OUTSIDE) != 0)) {
            struct slice member = ztree_leaf_member(leaf, i);
            object_free(&tree->object, (void *)(uintptr_t)member.data, member.size);
        }
    }
    columns_close(leaf, index, count);
}

void
ztree_leaf_fit(struct ztree *tree, uint32_t id, size_t room)
{
    struct ztree_leaf *leaf = ztree_leaf_of(tree, id);
    size_t need = MIN(ztree_leaf_used(leaf) + room, (size_t)ZTREE_LEAF_SIZE_MAX);
    if (memory_class_size(need) >= leaf->node.size) {
        return;
    }
    struct ztree_leaf *block = leaf_block_new(tree, leaf, need);
    memcpy(block->data, leaf->data, ztree_leaf_used(leaf) - sizeof(*leaf));
    leaf_block_replace(tree, id, block);
}

/* ---- looking ---- */

/** The first in [low, high) whose member is not below. */
static uint32_t
member_search(const struct ztree_leaf *leaf, uint32_t low, uint32_t high, struct slice member,
              bool is_after)
{
    int limit = is_after ? 1 : 0;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (slice_compare(ztree_leaf_member(leaf, middle), member) < limit) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

uint32_t
ztree_leaf_search(const struct ztree_leaf *leaf, const struct ztree_bound *bound)
{
    if (bound->kind == ZTREE_BOUND_MEMBER) {
        return member_search(leaf, 0, leaf->node.count, bound->member, bound->is_after);
    }
    const double *scores = ztree_leaf_scores(leaf);
    uint32_t below = 0;
    uint32_t not_above = 0;
    for (uint32_t i = 0; i < leaf->node.count; i++) {
        below += scores[i] < bound->score;
        not_above += scores[i] <= bound->score;
    }
    if (bound->kind == ZTREE_BOUND_SCORE) {
        return bound->is_after ? not_above : below;
    }
    return member_search(leaf, below, not_above, bound->member, false);
}

uint32_t
ztree_leaf_find(const struct ztree_leaf *leaf, struct slice member)
{
    uint32_t count = leaf->node.count;
    if (member.size < sizeof(uint64_t) || member.size > ZTREE_INLINE_SIZE_MAX) {
        for (uint32_t i = 0; i < count; i++) {
            if (slice_equal(ztree_leaf_member(leaf, i), member)) {
                return i;
            }
        }
        return ZTREE_NONE;
    }
    /* Members of one set tend to begin alike and to differ in their last bytes: these come first.
     */
    uint64_t tail;
    memcpy(&tail, member.data + member.size - sizeof(tail), sizeof(tail));
    const uint16_t *ends = ztree_leaf_ends(leaf);
    const char *bytes = ztree_leaf_bytes(leaf);
    uint32_t start = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t end = ends[i];
        if (end == start + member.size) {
            uint64_t other;
            memcpy(&other, bytes + end - sizeof(other), sizeof(other));
            if (other == tail && memcmp(bytes + start, member.data, member.size) == 0) {
                return i;
            }
        }
        start = end & ~ZTREE_OUTSIDE;
    }
    return ZTREE_NONE;
}
