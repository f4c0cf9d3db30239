/*
 * stream_node.h: a node of a stream: a listpack of some entries, in Redis's own layout.
 * For the stream's own files; shard/value/stream.h is for all others.
 */
#pragma once

#include "shard/value/stream.h"

/** Where the node's count stands: its first element. */
#define STREAM_NODE_COUNT_AT 6U

/** The entry in front of all others, which has no texts but the fields that most share. */
struct stream_node_head {
    int64_t count;
    int64_t deleted_count;
    uint32_t field_count;
    uint32_t fields_at;
    /** The first entry; at the end of the listpack there is none. */
    uint32_t entries_at;
};

/** An entry, deleted or not. */
struct stream_node_entry {
    uint32_t at;
    bool is_deleted;
    struct stream_id id;
    uint32_t pair_count;
    /** Its fields are the node's: only values follow. */
    bool has_node_fields;
    /** Its first text. */
    uint32_t texts_at;
};

struct stream_node_head stream_node_head(const struct listpack *node);

/** Where `element_count` elements from a position on end: LISTPACK_NONE at the node's end. */
uint32_t stream_node_skip(const struct listpack *node, uint32_t position, uint32_t element_count);

/** What begins at `position`, which is an entry's. */
struct stream_node_entry stream_node_entry(const struct listpack *node,
                                           const struct stream_node_head *head,
                                           struct stream_id master_id, uint32_t position);
/** Behind the last of its elements. LISTPACK_NONE: it is the last entry. */
uint32_t stream_node_entry_next(const struct listpack *node, const struct stream_node_entry *entry);
/** The entry whose last element ends in front of `position` (LISTPACK_NONE: the node's last one).
 * LISTPACK_NONE: only the head is there. */
uint32_t stream_node_entry_before(const struct listpack *node, const struct stream_node_head *head,
                                  uint32_t position);

/** Deleted ones included. */
struct stream_id stream_node_last_id(const struct listpack *node, struct stream_id master_id);

/** Entries that are there, the first thing in a node. */
int64_t stream_node_count(const struct listpack *node);

/** A node with no entry yet and the fields of `texts`, which are fields and values in turn. */
struct listpack *stream_node_new(size_t room_size, const struct slice *texts, uint32_t pair_count);
/** Add the entry behind all others. */
struct listpack *stream_node_append(struct listpack *node, struct stream_id master_id,
                                    struct stream_id id, const struct slice *texts,
                                    uint32_t pair_count);
/** Mark an entry that is there; the counts follow with stream_node_count_deleted(). */
struct listpack *stream_node_mark(struct listpack *node, const struct stream_node_entry *entry);
/** So many entries were marked. Moves what is behind the counts. */
struct listpack *stream_node_count_deleted(struct listpack *node, int64_t marked_count);
