/*
 * ztree_internal.h: what the rooms of the sorted tree share: its blocks and how they are read.
 * ztree.c tells the whole; ztree_leaf.c and ztree_inner.c keep the order, ztree_index.c the
 * members.
 */
#pragma once

#include "core/hash.h"
#include "shard/value/ztree.h"

#include <assert.h>

/** Pointers in blocks of at most 8 KiB, so that growing never copies many. */
struct ztree_array {
    void ***segments;
    uint32_t segment_count;
    uint32_t segment_capacity;
    /** Pointers in the first segment, as long as it is the only one. */
    uint32_t first_capacity;
};

#define ZTREE_SEGMENT_BITS 10
#define ZTREE_SEGMENT_COUNT (1U << ZTREE_SEGMENT_BITS)

struct ztree {
    struct object object;
    uint64_t seed;
    uint64_t count;
    /** By id: leaves and inner nodes. A free id holds the free ones before and behind it; the last
     * id is never free. */
    struct ztree_array nodes;
    /** By number: struct ztree_bucket, or NULL. */
    struct ztree_array buckets;
    uint32_t node_count; /* ids, the free ones too */
    uint32_t node_free;  /* the first free one, ZTREE_NONE: none */
    uint32_t node_free_count;
    uint32_t root;
    uint32_t height; /* levels of inner nodes: 0, the root is a leaf */
    uint32_t leaf_first;
    uint32_t leaf_last;
    uint32_t bucket_count;
    uint32_t free_position; /* ztree_free_steps() has come so far */
};

/** What leaves and inner nodes begin with. */
struct ztree_node {
    uint32_t parent;
    uint16_t count; /* elements or children */
    uint16_t size;  /* of a leaf's block; 0: an inner node */
};

/**
 * Some elements in order, in columns: scores, ends of members (u16, with a mark for members that
 * lie elsewhere), bytes of members.
 */
struct ztree_leaf {
    struct ztree_node node;
    uint32_t next;
    uint32_t previous;
    unsigned char data[];
};

/** A leaf's block is no larger: some 35 elements of 17 bytes, and a memmove of it takes 20 ns. */
#define ZTREE_LEAF_SIZE_MAX 1024
/** Below this a leaf looks for a neighbour to join. */
#define ZTREE_LEAF_SIZE_LOW 288
/** Two leaves are joined if they fit into so much: room to grow stays. */
#define ZTREE_LEAF_SIZE_JOINED 768
/** What an element takes beside its member's bytes. */
#define ZTREE_ITEM_SIZE (sizeof(double) + sizeof(uint16_t))
/** Longer members lie in blocks of their own: a leaf has room for four at least. */
#define ZTREE_INLINE_SIZE_MAX 200
#define ZTREE_OUTSIDE 0x8000U

/** What the leaf holds of a long member. */
struct ztree_outside {
    char *data;
    uint64_t size;
};

/** 47: a block of 768 bytes. */
#define ZTREE_CHILDREN_MAX 47
#define ZTREE_CHILDREN_LOW 12
#define ZTREE_CHILDREN_JOINED 36

/**
 * scores[i], i > 0, parts child i - 1 from child i: no element of the one is above it, none of the
 * other below. Where a score equals it, the first element of child i decides.
 */
struct ztree_inner {
    struct ztree_node node;
    uint32_t level; /* 1: the children are leaves */
    double scores[ZTREE_CHILDREN_MAX];
    uint32_t children[ZTREE_CHILDREN_MAX];
    /** Elements below each child. */
    uint32_t counts[ZTREE_CHILDREN_MAX];
};
static_assert(sizeof(struct ztree_inner) <= 768, "fills its allocation class");

/** Ids are below: two of them and a mark fit into a pointer. There are fewer elements than 32 bits
 * count, and far fewer nodes. */
#define ZTREE_ID_COUNT_MAX 0x7fffffffU
/** So many more free ids than others there may be, so that small trees leave theirs alone. */
#define ZTREE_ID_SLACK 64U

/** A place in the order that elements are below of, or not. */
struct ztree_bound {
    enum { ZTREE_BOUND_ITEM, ZTREE_BOUND_SCORE, ZTREE_BOUND_MEMBER } kind;
    /** SCORE, MEMBER: what equals it is below. */
    bool is_after;
    double score;
    struct slice member;
};

static inline void **
ztree_array_slot(const struct ztree_array *array, uint32_t index)
{
    return &array->segments[index >> ZTREE_SEGMENT_BITS][index & (ZTREE_SEGMENT_COUNT - 1)];
}

static inline struct ztree_node *
ztree_node_of(const struct ztree *tree, uint32_t id)
{
    return *ztree_array_slot(&tree->nodes, id);
}

static inline struct ztree_leaf *
ztree_leaf_of(const struct ztree *tree, uint32_t id)
{
    return *ztree_array_slot(&tree->nodes, id);
}

static inline struct ztree_inner *
ztree_inner_of(const struct ztree *tree, uint32_t id)
{
    return *ztree_array_slot(&tree->nodes, id);
}

static inline double *
ztree_leaf_scores(const struct ztree_leaf *leaf)
{
    return (double *)(uintptr_t)leaf->data;
}

static inline uint16_t *
ztree_leaf_ends(const struct ztree_leaf *leaf)
{
    return (uint16_t *)(uintptr_t)(leaf->data + sizeof(double) * leaf->node.count);
}

static inline char *
ztree_leaf_bytes(const struct ztree_leaf *leaf)
{
    return (char *)(uintptr_t)(leaf->data + ZTREE_ITEM_SIZE * leaf->node.count);
}

/** Where the bytes of element `index` begin; of `count`: where all end. */
static inline uint32_t
ztree_leaf_start(const struct ztree_leaf *leaf, uint32_t index)
{
    return index == 0 ? 0 : ztree_leaf_ends(leaf)[index - 1] & ~ZTREE_OUTSIDE;
}

static inline size_t
ztree_leaf_used(const struct ztree_leaf *leaf)
{
    return sizeof(*leaf) + ZTREE_ITEM_SIZE * leaf->node.count +
           ztree_leaf_start(leaf, leaf->node.count);
}

static inline struct slice
ztree_leaf_member(const struct ztree_leaf *leaf, uint32_t index)
{
    uint32_t start = ztree_leaf_start(leaf, index);
    uint32_t end = ztree_leaf_ends(leaf)[index];
    const char *bytes = ztree_leaf_bytes(leaf) + start;
    if (UNLIKELY((end & ZTREE_OUTSIDE) != 0)) {
        struct ztree_outside outside;
        memcpy(&outside, bytes, sizeof(outside));
        return slice_of(outside.data, outside.size);
    }
    return slice_of(bytes, end - start);
}

static inline uint64_t
ztree_hash(const struct ztree *tree, struct slice member)
{
    return hash_bytes(member.data, member.size, tree->seed);
}

/* ---- ztree_array ---- */

/** Room for `count` pointers: segments come and go at the end. New ones are NULL. */
void ztree_array_resize(struct object *object, struct ztree_array *array, uint32_t count);
void ztree_array_destroy(struct object *object, struct ztree_array *array);

/* ---- ztree_leaf.c: one leaf ---- */

/** A new leaf without elements and links; its id. */
uint32_t ztree_leaf_new(struct ztree *tree);
void ztree_leaf_delete(struct ztree *tree, uint32_t id);
/** Bytes that the member takes in a leaf. */
size_t ztree_stored_size(struct slice member);
/** Insert where it fits: used size and element together within ZTREE_LEAF_SIZE_MAX. */
void ztree_leaf_insert(struct ztree *tree, uint32_t id, uint32_t index, double score,
                       struct slice member);
/** Append `count` elements from `index` on to the end of another leaf, and take them out here. */
void ztree_leaf_move(struct ztree *tree, uint32_t from, uint32_t index, uint32_t count,
                     uint32_t to);
/** Remove elements, their outside blocks too. The leaf may be empty then. */
void ztree_leaf_erase(struct ztree *tree, uint32_t id, uint32_t index, uint32_t count);
/** Give back slack beyond `room` more bytes. */
void ztree_leaf_fit(struct ztree *tree, uint32_t id, size_t room);
/** How many elements are below the bound. */
uint32_t ztree_leaf_search(const struct ztree_leaf *leaf, const struct ztree_bound *bound);
/** Of a member, or ZTREE_NONE. */
uint32_t ztree_leaf_find(const struct ztree_leaf *leaf, struct slice member);

/** An id for a block; the block's id from then on. */
uint32_t ztree_node_add(struct ztree *tree, void *node);
/** The id is free; the block is the caller's. */
void ztree_node_drop(struct ztree *tree, uint32_t id);

static inline bool
ztree_node_is_free(const void *node)
{
    return ((uintptr_t)node & 1) != 0;
}

/** The next in the list of free ids, or ZTREE_NONE. */
uint32_t ztree_node_free_next(const struct ztree *tree, uint32_t id);
/** The id's block answers to another, free id now; the old one is gone or free. It is the caller's
 * to tell all who know the block. Only where another id is free. Returns the new id. */
uint32_t ztree_node_rename(struct ztree *tree, uint32_t id);

/* ---- ztree_inner.c: the tree above the leaves ---- */

/** The leaf where the bound lies, how many of its elements are below, and (rank may be NULL) of all
 * elements. */
struct ztree_place ztree_descend(const struct ztree *tree, const struct ztree_bound *bound,
                                 uint64_t *rank);
/** Elements before this leaf. */
uint64_t ztree_leaf_rank(const struct ztree *tree, uint32_t id);
/** The leaf has so many elements more (or, negative, less): tell those above. */
void ztree_count_change(struct ztree *tree, uint32_t id, int64_t delta);
/** A new leaf right of `id`, empty, known to the inner nodes. */
uint32_t ztree_leaf_add_right(struct ztree *tree, uint32_t id, double score);
/** Elements have been removed: join it with a neighbour, or remove it if it is empty. The index is
 * told what moves. */
void ztree_leaf_settle(struct ztree *tree, uint32_t id);
/** Far more ids are free than used: give the block with the last id another one, so that the table
 * of ids can be shorter. Any id may mean another block then. True: something was done. */
bool ztree_ids_compact(struct ztree *tree);

/* ---- ztree_index.c: from a member to its leaf ---- */

void ztree_index_create(struct ztree *tree);
void ztree_index_add(struct ztree *tree, uint64_t hash, uint32_t leaf);
void ztree_index_remove(struct ztree *tree, uint64_t hash, uint32_t leaf);
/** The member is in another leaf now. */
void ztree_index_move(struct ztree *tree, uint64_t hash, uint32_t from, uint32_t to);
/** The place of a member. */
struct ztree_place ztree_index_find(const struct ztree *tree, struct slice member, uint64_t hash);
/** Grow or shrink by one bucket, if the count asks for it. True: something was done. */
bool ztree_index_adjust(struct ztree *tree);
size_t ztree_bucket_size(const void *bucket);
uint64_t ztree_index_scan(const struct ztree *tree, uint64_t cursor, ztree_scan_fn *scan,
                          void *context);
/** Cells of all buckets. */
uint64_t ztree_index_count(const struct ztree *tree);
