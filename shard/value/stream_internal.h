/*
 * stream_internal.h: what the files of the stream share.
 */
#pragma once

#include "shard/value/stream.h"
#include "shard/value/stream_node.h"

/** The place's node, `old_size` bytes large before, was changed and is `node` now. */
static inline void
stream_node_set(struct stream *stream, struct stream_place place, size_t old_size,
                struct listpack *node)
{
    stream->object.size += object_size(node) - old_size;
    stream->listpack_size += object_size(node) - old_size;
    memcpy(stream_place_value(place), &node, sizeof(node));
}

/** The place's node is about to be changed: if the stream has an image that is still to write it,
 * that gets a copy. */
void stream_node_keep(struct stream *stream, struct stream_place place);
/** Nodes go from one stream to another for good, which gets the same image. */
void stream_join_image(struct stream *stream, struct stream *to);

/** Takes a node behind all others; `count` entries are in it. */
void stream_node_push(struct stream *stream, struct stream_id master_id, struct listpack *node,
                      uint64_t count);
/** Out of the stream and freed, with the `count` entries that are in it. */
void stream_node_drop(struct stream *stream, struct stream_place place, uint64_t count);
/** The same, to the end of another stream, without a look at its entries. */
void stream_node_move(struct stream *stream, struct stream_place place, uint64_t count,
                      struct stream *to);
/** first_id, after entries were removed. */
void stream_first_id_update(struct stream *stream);

/** A group with all that is in it: one step. True: it is freed. */
bool stream_group_free_steps(struct stream *stream, struct stream_group *group,
                             uint32_t step_count_max);
/** A deep copy of all groups into a stream without any. */
void stream_groups_copy(struct stream *stream, const struct stream *from);
bool stream_groups_check(const struct stream *stream);
