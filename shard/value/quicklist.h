/*
 * quicklist.h: a long list as a chain of listpacks, the inner ones compressed where that is wanted.
 * Any thread that holds the object (see object.h). Elements are named by places, which a change of
 * the list makes stale unless it hands out a new one. Texts given in must not lie in the list.
 *
 * A node's listpack is looked at through quicklist_node_listpack(), never by the field: it may be
 * compressed, and several cores may be reading the list at the same time, so that a reader brings
 * the memory that it is unpacked into. All of a list, node by node:
 *
 *     struct quicklist_scratch scratch = {0};
 *     for (const struct quicklist_node *node = list->first; node != NULL; node = node->next) {
 *         const struct listpack *listpack = quicklist_node_listpack(node, &scratch);
 *         write(listpack_bytes(listpack));
 *     }
 *     quicklist_scratch_release(&scratch);
 */
#pragma once

#include "shard/value/listpack.h"

/** How a node keeps its elements. */
enum quicklist_node_form {
    QUICKLIST_NODE_PLAIN,
    /** Plain, and compressing it as it is now would not be worth it: that was tried. */
    QUICKLIST_NODE_INCOMPRESSIBLE,
    QUICKLIST_NODE_COMPRESSED,
};

/** A listpack's bytes as LZF packs them. */
struct quicklist_compressed {
    uint32_t size;            /* of the listpack */
    uint32_t compressed_size; /* of the bytes here */
    unsigned char bytes[];
};

struct quicklist_node {
    struct quicklist_node *previous;
    struct quicklist_node *next;
    union {
        struct listpack *listpack;
        struct quicklist_compressed *compressed;
    };
    /** Elements, so that looking for an index does not touch the listpacks it passes. */
    uint32_t count;
    /** Of what the node held when the list's image was made: 1 and its place among the image's
     * blocks; 0: it was not there. Without an image it says nothing. */
    uint32_t image_place : 30;
    enum quicklist_node_form form : 2;
};
static_assert(sizeof(struct quicklist_node) == 32, "fills its allocation class");

/** No list of more nodes has an image. */
#define QUICKLIST_IMAGE_NODES_MAX ((UINT32_C(1) << 30) - 2)

struct quicklist {
    struct object object;
    struct quicklist_node *first; /* this one and the last one are never compressed */
    struct quicklist_node *last;
    uint64_t count;
    uint32_t node_count;
    uint32_t compressed_count; /* nodes */
};

/** How large a node may become, and which are compressed. */
struct quicklist_limits {
    uint64_t size_max;  /* bytes of its listpack */
    uint64_t count_max; /* elements */
    /** Nodes at both ends that stay plain; 0: none is compressed. Of what was compressed under
     * another depth a change mends what it comes across. */
    uint32_t compress_depth;
};

/** An element. `node` NULL: none. */
struct quicklist_place {
    struct quicklist_node *node;
    uint32_t position; /* in its listpack */
};

extern const struct object_ops quicklist_ops;

/** From list-max-listpack-size: elements, or -1 to -5 for 4 to 64 KB. Nothing is compressed. */
struct quicklist_limits quicklist_limits_of(int64_t max_listpack_size);

/* ---- life ---- */

/** Takes the listpack as its only node. */
struct quicklist *quicklist_new(struct listpack *listpack);
/** Takes the list, which has one node or none, and returns what it holds as a listpack. */
struct listpack *quicklist_unwrap(struct quicklist *quicklist);
/** Takes a listpack, not empty, as the last node: how a list is put together again that was stored
 * node by node. */
void quicklist_append(struct quicklist *quicklist, const struct quicklist_limits *limits,
                      struct listpack *listpack);

/* ---- looking ---- */

/** The node of an index below `count`, and the index in it; from the nearer end. */
struct quicklist_node *quicklist_find(const struct quicklist *quicklist, uint64_t index,
                                      uint32_t *index_in_node);

/** Where a reader has compressed nodes unpacked. All zero: none yet. */
struct quicklist_scratch {
    struct listpack *listpack;
    size_t size;
};

/** What a node holds, good until the scratch is used again or released. Changes nothing. */
const struct listpack *quicklist_node_listpack(const struct quicklist_node *node,
                                               struct quicklist_scratch *scratch);
/** What a compressed block takes. */
static inline size_t
quicklist_compressed_block_size(const struct quicklist_compressed *compressed)
{
    return memory_class_size(sizeof(*compressed) + compressed->compressed_size);
}
/** Bytes of a node's listpack, compressed or not. */
size_t quicklist_node_size(const struct quicklist_node *node);
/** NULL: the node is plain. */
static inline const struct quicklist_compressed *
quicklist_node_compressed(const struct quicklist_node *node)
{
    return node->form == QUICKLIST_NODE_COMPRESSED ? node->compressed : NULL;
}
/** As often as you like. */
void quicklist_scratch_release(struct quicklist_scratch *scratch);

/* ---- changing ---- */

/** An element that is about to be changed: by index below `count`, its node unpacked for good. */
struct quicklist_place quicklist_seek(struct quicklist *quicklist, uint64_t index);

void quicklist_push_first(struct quicklist *quicklist, const struct quicklist_limits *limits,
                          struct slice text);
void quicklist_push_last(struct quicklist *quicklist, const struct quicklist_limits *limits,
                         struct slice text);
/** In front of the place. */
void quicklist_insert(struct quicklist *quicklist, const struct quicklist_limits *limits,
                      struct quicklist_place place, struct slice text);
void quicklist_replace(struct quicklist *quicklist, const struct quicklist_limits *limits,
                       struct quicklist_place place, struct slice text);
/** `count` elements from an index on; there are so many. */
void quicklist_remove(struct quicklist *quicklist, const struct quicklist_limits *limits,
                      uint64_t index, uint64_t count);
/** The same, but they become a list of their own, with no more work than to walk over its nodes. */
struct quicklist *quicklist_take(struct quicklist *quicklist, const struct quicklist_limits *limits,
                                 uint64_t index, uint64_t count);
/** Elements equal to a text, up to `count_max`, from the first or from the last one on. Returns how
 * many. */
uint64_t quicklist_remove_equal(struct quicklist *quicklist, const struct quicklist_limits *limits,
                                struct slice text, uint64_t count_max, bool is_backward);

/** The same for one listpack; *removed_count: how many. */
struct listpack *quicklist_listpack_remove_equal(struct listpack *listpack, struct slice text,
                                                 uint64_t count_max, bool is_backward,
                                                 uint64_t *removed_count);

/** Recount everything. For tests. */
bool quicklist_check(const struct quicklist *quicklist);
