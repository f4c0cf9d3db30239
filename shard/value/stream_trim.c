#include "shard/value/stream_internal.h"

/*
 * stream_trim.c: taking entries off a stream's beginning.
 *
 *     [ node ] [ node ] [ node ] [ no|de ] [ node ] ...
 *       goes     goes     goes     cut       stays
 *
 * What goes is whole nodes, and, unless the trimming is approximate, a part of the node behind
 * them, whose entries are marked one by one. Which nodes go follows from their counts (MAXLEN) or
 * ids (MINID), as redis-server decides it, so that the same entries stay.
 *
 * Cutting off much must not take long. A few nodes are freed at once; of more, those on the shorter
 * side of the cut move to a stream of their own, one pointer each: where little stays, what stays
 * moves, and the rest is never looked at. What was cut off is then freed by the owner in steps. A
 * limit on what may be looked at (LIMIT) needs the counts from the first node on, and keeps the
 * work small by itself.
 *
 * Rejected: counts of entries in the tree's inner nodes, which would find the cut in O(log n):
 * every XADD would pay for it.
 */

/** So many nodes are freed at once: some ten microseconds. */
#define FREED_COUNT_MAX 64

/** Does the node at `place` go whole? `count_behind`: entries behind it. */
static bool
node_goes(const struct stream_trim *trim, struct stream_place place, uint64_t count_behind)
{
    if (!trim->is_by_id) {
        return count_behind >= trim->count_max;
    }
    struct stream_id master_id = stream_place_id(place);
    /* Looking at the node itself is for the one that the id lies in. */
    if (stream_id_compare(master_id, trim->id) >= 0) {
        return false;
    }
    struct stream_place next = stream_place_next(place);
    if (next.leaf != NULL && stream_id_compare(stream_place_id(next), trim->id) <= 0) {
        return true;
    }
    return stream_id_compare(stream_node_last_id(stream_node_at(place), master_id), trim->id) < 0;
}

/** Mark entries of the first node, which does not go whole. Returns how many. */
static uint64_t
trim_first_node(struct stream *stream, const struct stream_trim *trim)
{
    struct stream_place place = stream_tree_first(&stream->nodes);
    stream_node_keep(stream, place);
    struct listpack *node = stream_node_at(place);
    size_t old_size = object_size(node);
    struct stream_id master_id = stream_place_id(place);
    struct stream_node_head head = stream_node_head(node);
    int64_t marked_count = 0;
    uint32_t position = head.entries_at;
    while (position != LISTPACK_NONE) {
        struct stream_node_entry entry = stream_node_entry(node, &head, master_id, position);
        bool is_kept = trim->is_by_id ? stream_id_compare(entry.id, trim->id) >= 0
                                      : stream->count <= trim->count_max;
        if (is_kept) {
            break;
        }
        if (!entry.is_deleted) {
            node = stream_node_mark(node, &entry);
            marked_count++;
            stream->count--;
        }
        position = stream_node_entry_next(node, &entry);
    }
    if (marked_count == head.count) {
        /* Behind the threshold it has deleted entries only. */
        stream_node_drop(stream, place, 0);
        return (uint64_t)marked_count;
    }
    node = stream_node_count_deleted(node, marked_count);
    stream_node_set(stream, place, old_size, node);
    return (uint64_t)marked_count;
}

/** The rest of a stream is long to free: a stream of its own takes nodes from the first one on. */
static struct stream *
rest_of(struct stream *stream, struct stream **rest)
{
    if (*rest == NULL) {
        *rest = stream_new();
        stream_join_image(stream, *rest);
    }
    return *rest;
}

/** Whole nodes from the first one on, as long as they go. */
static uint64_t
trim_forward(struct stream *stream, const struct stream_trim *trim, bool *is_limited,
             struct stream **rest)
{
    uint64_t removed_count = 0;
    for (uint32_t node_count = 0; stream->count > 0; node_count++) {
        struct stream_place place = stream_tree_first(&stream->nodes);
        uint64_t count = (uint64_t)stream_node_count(stream_node_at(place));
        if (!trim->is_by_id && stream->count <= trim->count_max) {
            break;
        }
        if (trim->removed_max > 0 && removed_count + count > trim->removed_max) {
            *is_limited = true;
            break;
        }
        if (!node_goes(trim, place, stream->count - count)) {
            break;
        }
        if (node_count < FREED_COUNT_MAX) {
            stream_node_drop(stream, place, count);
        } else {
            stream_node_move(stream, place, count, rest_of(stream, rest));
        }
        removed_count += count;
    }
    return removed_count;
}

/** How many of the last nodes stay, and the entries in them. More than `node_count_max`: false. */
static bool
count_kept(const struct stream *stream, const struct stream_trim *trim, uint64_t node_count_max,
           uint64_t *node_count)
{
    uint64_t count_behind = 0;
    *node_count = 0;
    for (struct stream_place place = stream_tree_last(&stream->nodes); place.leaf != NULL;
         place = stream_place_previous(place)) {
        if (node_goes(trim, place, count_behind)) {
            return true;
        }
        if (*node_count == node_count_max) {
            return false;
        }
        count_behind += (uint64_t)stream_node_count(stream_node_at(place));
        *node_count += 1;
    }
    return true;
}

/** All nodes with what is in them; `to` has none. */
static void
nodes_move(struct stream *to, struct stream *from)
{
    ASSERT(to->nodes.root == NULL);
    stream_tree_move(&to->object, &to->nodes, &from->object, &from->nodes);
    to->object.size += from->listpack_size;
    from->object.size -= from->listpack_size;
    to->listpack_size = from->listpack_size;
    from->listpack_size = 0;
    to->count = from->count;
    from->count = 0;
}

/** The last `node_count` nodes stay, all others are the rest. */
static uint64_t
trim_to_last(struct stream *stream, uint64_t node_count, struct stream **rest)
{
    uint64_t old_count = stream->count;
    struct stream_place place = stream_tree_last(&stream->nodes);
    for (uint64_t i = 1; i < node_count; i++) {
        place = stream_place_previous(place);
    }
    struct stream *kept = stream_new();
    for (uint64_t i = 0; i < node_count; i++) {
        struct stream_id master_id = stream_place_id(place);
        uint64_t count = (uint64_t)stream_node_count(stream_node_at(place));
        stream_node_move(stream, place, count, kept);
        place = stream_tree_seek(&stream->nodes, master_id);
    }
    *rest = stream_new();
    stream_join_image(stream, *rest);
    nodes_move(*rest, stream);
    nodes_move(stream, kept);
    stream_delete(kept);
    return old_count - stream->count;
}

uint64_t
stream_trim(struct stream *stream, const struct stream_trim *trim, struct stream **rest)
{
    *rest = NULL;
    uint64_t removed_count = 0;
    uint64_t kept_count;
    bool is_limited = false;
    if (trim->removed_max == 0 && stream->nodes.count > FREED_COUNT_MAX &&
        count_kept(stream, trim, stream->nodes.count / 2, &kept_count) &&
        stream->nodes.count - kept_count > FREED_COUNT_MAX) {
        removed_count = trim_to_last(stream, kept_count, rest);
    } else {
        removed_count = trim_forward(stream, trim, &is_limited, rest);
    }
    if (!trim->is_approximate && !is_limited && stream->count > 0) {
        removed_count += trim_first_node(stream, trim);
    }
    if (removed_count > 0) {
        stream_first_id_update(stream);
    }
    return removed_count;
}

/* ---- the radix tree that is not there ---- */

/** How many bytes two ids have in common from the first one on, highest bytes first. */
static int32_t
bytes_in_common(struct stream_id a, struct stream_id b)
{
    if (a.ms != b.ms) {
        return __builtin_clzll((unsigned long long)(a.ms ^ b.ms)) / 8;
    }
    ASSERT(a.sequence != b.sequence);
    return 8 + __builtin_clzll((unsigned long long)(a.sequence ^ b.sequence)) / 8;
}

/** A node with its children at `depth` bytes, below one at `parent_depth` (-1: the root is above),
 * and the bytes between them, which are one more where there are any. */
static uint64_t
radix_nodes(int32_t depth, int32_t parent_depth)
{
    return depth > parent_depth + 1 ? 2 : 1;
}

/*
 * XINFO tells how many nodes redis-server's radix tree has. Where neighbouring ids part is all that
 * it takes: a branch at each depth where they do, under the branches that are open there.
 */
uint64_t
stream_radix_node_count(const struct stream *stream)
{
    int32_t open[STREAM_ID_BYTES_SIZE + 1];
    uint32_t open_count = 0;
    uint64_t node_count = 0;
    int32_t common_before = -1;
    struct stream_place place = stream_tree_first(&stream->nodes);
    if (place.leaf == NULL) {
        return 1;
    }
    while (place.leaf != NULL) {
        struct stream_place next = stream_place_next(place);
        int32_t common =
            next.leaf != NULL ? bytes_in_common(stream_place_id(place), stream_place_id(next)) : -1;
        node_count += radix_nodes(STREAM_ID_BYTES_SIZE, MAX(common, common_before));
        while (open_count > 0 && open[open_count - 1] > common) {
            open_count--;
            int32_t parent = open_count > 0 ? MAX(open[open_count - 1], common) : common;
            node_count += radix_nodes(open[open_count], parent);
        }
        if (common >= 0 && (open_count == 0 || open[open_count - 1] < common)) {
            open[open_count++] = common;
        }
        common_before = common;
        place = next;
    }
    return node_count;
}
