/*
 * quicklist_internal.h: nodes of a quicklist and their two forms, for quicklist.c and its tests.
 */
#pragma once

#include "shard/value/quicklist.h"

/** Unpack the node where it is compressed. It may be changed then, once it is kept. */
void quicklist_node_open(struct quicklist *quicklist, struct quicklist_node *node);

/** The node, which is open, is about to be changed: quicklist_node_keep(). */
void quicklist_node_copy_to_image(struct quicklist *quicklist, struct quicklist_node *node);

static inline void
quicklist_node_keep(struct quicklist *quicklist, struct quicklist_node *node)
{
    if (UNLIKELY(quicklist->object.image != NULL)) {
        quicklist_node_copy_to_image(quicklist, node);
    }
}

/**
 * After a change: pack what lies deeper than the limits say among the nodes around `near` (NULL:
 * the change was at an end) and where the depth begins, and open the nodes above it. All nodes that
 * one change opens are near each other. Nothing but a look at two fields where nothing is
 * compressed.
 */
void quicklist_compress_near(struct quicklist *quicklist, const struct quicklist_limits *limits,
                             struct quicklist_node *near);

/** Bytes that the node takes beside its own, as object.size counts them. */
size_t quicklist_node_block_size(const struct quicklist_node *node);
/** Free what the node holds; its own block stays. */
void quicklist_node_drop(struct quicklist *quicklist, struct quicklist_node *node);
/** Let an empty node of the same or another list hold a copy of what `from` holds. */
void quicklist_node_copy(struct quicklist *quicklist, struct quicklist_node *node,
                         const struct quicklist_node *from);
