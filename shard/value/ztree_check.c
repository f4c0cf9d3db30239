/*
 * ztree_check.c: does a sorted tree keep its promises? Walks all of it; for tests and slow asserts.
 */
#include "shard/value/ztree_internal.h"

struct check {
    const struct ztree *tree;
    uint64_t size;
    uint64_t node_count;
    uint32_t leaf_last; /* that the walk has passed */
    bool is_valid;
};

static void
expect(struct check *check, bool condition)
{
    check->is_valid = check->is_valid && condition;
}

static uint64_t
leaf_check(struct check *check, uint32_t id, double low, double high)
{
    const struct ztree *tree = check->tree;
    const struct ztree_leaf *leaf = ztree_leaf_of(tree, id);
    check->size += memory_class_size(leaf->node.size);
    expect(check, leaf->previous == check->leaf_last);
    expect(check, check->leaf_last != ZTREE_NONE || tree->leaf_first == id);
    expect(check, leaf->node.count > 0 || tree->count == 0);
    expect(check, ztree_leaf_used(leaf) <= leaf->node.size);
    const double *scores = ztree_leaf_scores(leaf);
    for (uint32_t i = 0; i < leaf->node.count; i++) {
        struct slice member = ztree_leaf_member(leaf, i);
        expect(check, scores[i] >= low && scores[i] <= high);
        if (member.size > ZTREE_INLINE_SIZE_MAX) {
            check->size += memory_class_size(member.size);
        }
        const struct ztree_leaf *before = leaf;
        uint32_t before_index = i - 1;
        if (i == 0) {
            if (leaf->previous == ZTREE_NONE) {
                continue;
            }
            before = ztree_leaf_of(tree, leaf->previous);
            before_index = before->node.count - 1U;
        }
        double before_score = ztree_leaf_scores(before)[before_index];
        expect(check, before_score < scores[i] ||
                          (before_score == scores[i] &&
                           slice_compare(ztree_leaf_member(before, before_index), member) < 0));
        struct ztree_place place = ztree_index_find(tree, member, ztree_hash(tree, member));
        expect(check, place.leaf == id && place.index == i);
    }
    check->leaf_last = id;
    return leaf->node.count;
}

/** Depth is bounded by the height of the tree. */
static uint64_t
node_check(struct check *check, uint32_t id, uint32_t parent, uint32_t level, double low,
           double high)
{
    const struct ztree *tree = check->tree;
    check->node_count++;
    expect(check, ztree_node_of(tree, id)->parent == parent);
    if (level == 0) {
        return leaf_check(check, id, low, high);
    }
    const struct ztree_inner *inner = ztree_inner_of(tree, id);
    check->size += memory_class_size(sizeof(*inner));
    expect(check, inner->node.size == 0 && inner->level == level && inner->node.count > 0);
    uint64_t sum = 0;
    for (uint32_t i = 0; i < inner->node.count; i++) {
        double child_low = i == 0 ? low : inner->scores[i];
        double child_high = i + 1U < inner->node.count ? inner->scores[i + 1] : high;
        expect(check, child_low <= child_high);
        uint64_t count =
            node_check(check, inner->children[i], id, level - 1, child_low, child_high);
        expect(check, count == inner->counts[i]);
        sum += count;
    }
    return sum;
}

static uint64_t
array_check(const struct ztree_array *array)
{
    uint64_t size = memory_class_size(array->segment_capacity * sizeof(void **));
    for (uint32_t i = 0; i < array->segment_count; i++) {
        uint32_t capacity = i == 0 ? array->first_capacity : ZTREE_SEGMENT_COUNT;
        size += memory_class_size(capacity * sizeof(void *));
    }
    return size;
}

bool
ztree_is_valid(const struct ztree *tree)
{
    struct check check = {.tree = tree, .leaf_last = ZTREE_NONE, .is_valid = true};
    uint64_t count =
        node_check(&check, tree->root, ZTREE_NONE, tree->height, -__builtin_inf(), __builtin_inf());
    expect(&check, count == tree->count);
    expect(&check, check.leaf_last == tree->leaf_last);
    expect(&check, ztree_index_count(tree) == tree->count);
    uint64_t free_count = 0;
    for (uint32_t id = tree->node_free; id != ZTREE_NONE && check.is_valid; free_count++) {
        expect(&check, ztree_node_is_free(*ztree_array_slot(&tree->nodes, id)));
        expect(&check, free_count < tree->node_free_count);
        id = ztree_node_free_next(tree, id);
    }
    expect(&check, free_count == tree->node_free_count);
    expect(&check, check.node_count + free_count == tree->node_count);
    expect(&check, free_count <= check.node_count + ZTREE_ID_SLACK);
    expect(&check, !ztree_node_is_free(*ztree_array_slot(&tree->nodes, tree->node_count - 1)));
    for (uint32_t i = 0; i < tree->bucket_count; i++) {
        const void *bucket = *ztree_array_slot(&tree->buckets, i);
        check.size += bucket == NULL ? 0 : memory_class_size(ztree_bucket_size(bucket));
    }
    check.size += array_check(&tree->nodes) + array_check(&tree->buckets);
    expect(&check, check.size + memory_class_size(sizeof(*tree)) == tree->object.size);
    return check.is_valid;
}
