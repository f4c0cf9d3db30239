/*
 * stream.h: a stream: entries in the order of their ids, and groups of consumers who share them.
 * Any thread that holds the object (see object.h). Texts given in must not lie in the stream.
 *
 * Entries lie in nodes: listpacks in Redis's own layout (stream_node.h), found by the id of their
 * first entry. Files and DUMP payloads carry them as they are:
 *
 *     for (struct stream_place at = stream_tree_first(&stream->nodes); at.leaf != NULL;
 *          at = stream_place_next(at)) {
 *         struct stream_id master_id = stream_place_id(at);
 *         struct slice bytes = listpack_bytes(stream_node_at(at));
 *     }
 *
 * and who makes a stream of foreign bytes goes
 *
 *     stream_new()
 *     for each node, in order:      stream_load_node()
 *     last_id, added_count, deleted_id_max are plain members
 *     for each group:               stream_group_create()
 *         for each pending entry:   stream_pending_add() with no consumer
 *         for each consumer:        stream_consumer_create()
 *             for each id:          stream_pending_assign()
 *     stream_load_end()
 *
 * each of which tells whether what it got can be.
 */
#pragma once

#include "shard/value/listpack.h"
#include "shard/value/stream_tree.h"

/** A group's read_count: how far it has come is not known. */
#define STREAM_READ_COUNT_UNKNOWN (-1)

/** An entry that was delivered and not acknowledged: value in a group's `pending`. */
struct stream_pending {
    int64_t delivery_ms;
    uint64_t delivery_count;
    /** NULL only while a stream is loaded. */
    struct stream_consumer *consumer;
};

struct stream_consumer {
    int64_t seen_ms;
    /** Ids without values, each of them in the group's `pending` with this consumer. */
    struct stream_tree pending;
    uint32_t name_size;
    char name[];
};

struct stream_group {
    struct stream_id last_id;
    /** Entries from the stream's first ever to last_id, or STREAM_READ_COUNT_UNKNOWN. */
    int64_t read_count;
    /** Values are struct stream_pending. */
    struct stream_tree pending;
    /** In the order of their names. */
    struct stream_consumer **consumers;
    uint32_t consumer_count;
    uint32_t consumer_capacity;
    uint32_t name_size;
    char name[];
};

struct stream {
    struct object object;
    /** By the ids of their first entries; values are struct listpack *. */
    struct stream_tree nodes;
    /** Bytes of their listpacks, which object.size counts too. */
    uint64_t listpack_size;
    /** Entries that are there. */
    uint64_t count;
    /** Entries that ever were. */
    uint64_t added_count;
    struct stream_id last_id;
    /** Of the first entry that is there; 0-0: there is none. */
    struct stream_id first_id;
    /** The highest that XDEL removed. */
    struct stream_id deleted_id_max;
    /** In the order of their names. */
    struct stream_group **groups;
    uint32_t group_count;
    uint32_t group_capacity;
};

extern const struct object_ops stream_ops;

/* ---- life ---- */

struct stream *stream_new(void);
/** All at once, however large. */
void stream_delete(struct stream *stream);

/* ---- entries ---- */

/** How large nodes become: stream-node-max-bytes and stream-node-max-entries, 0: no limit. */
struct stream_limits {
    uint64_t size_max;
    uint64_t count_max;
};

/** No entry may be larger. */
#define STREAM_ENTRY_SIZE_MAX (UINT64_C(1) << 30)

/** Is an entry of these fields and values, in turn, not too large? */
bool stream_texts_fit(const struct slice *texts, uint32_t pair_count);
/** Such an entry, with an id above last_id. */
void stream_append(struct stream *stream, const struct stream_limits *limits, struct stream_id id,
                   const struct slice *texts, uint32_t pair_count);
bool stream_has(const struct stream *stream, struct stream_id id);
/** False: it is not there. deleted_id_max and first_id follow. */
bool stream_remove(struct stream *stream, struct stream_id id);
/** The last entry that is there; 0-0 where none is. */
struct stream_id stream_last_entry_id(const struct stream *stream);

struct stream_trim {
    bool is_by_id;        /* else by count */
    bool is_approximate;  /* whole nodes only */
    uint64_t count_max;   /* keep so many */
    struct stream_id id;  /* keep from here on */
    uint64_t removed_max; /* look at no more than so many entries; 0: no limit */
};

/**
 * Remove entries from the first one on. Returns how many. What was cut off and is long to free is
 * in *rest as a stream that somebody frees in steps; NULL: nothing.
 */
uint64_t stream_trim(struct stream *stream, const struct stream_trim *trim, struct stream **rest);

/** Nodes that a radix tree over the ids of the stream's nodes would have. O(nodes). */
uint64_t stream_radix_node_count(const struct stream *stream);

/* ---- walking over entries ---- */

struct stream_walk {
    struct stream_place place;
    struct stream_id from;
    struct stream_id to;
    bool is_backward;
    const struct listpack *node;
    struct stream_id master_id;
    uint32_t master_fields_at;
    uint32_t master_field_count;
    uint32_t entries_at;
    /** Of the entry that is looked at: where it begins, where its next text is, and in the master
     * entry its next field (0: fields stand with their values). */
    uint32_t entry_at;
    uint32_t text_at;
    uint32_t field_at;
    uint32_t pairs_left;
};

/** From the entry at or behind `from` to that at or in front of `to`, or the other way round.
 * The stream does not change meanwhile. */
void stream_walk_start(struct stream_walk *walk, const struct stream *stream, struct stream_id from,
                       struct stream_id to, bool is_backward);
/** The next entry and how many fields it has. False: there is none. */
bool stream_walk_next(struct stream_walk *walk, struct stream_id *id, uint32_t *pair_count);
/** The entry's next field and its value; at most as often as it has fields. */
void stream_walk_pair(struct stream_walk *walk, struct listpack_item *field,
                      struct listpack_item *value);

/* ---- groups ---- */

struct stream_group *stream_group_find(const struct stream *stream, struct slice name);
/** NULL: there is one of this name. */
struct stream_group *stream_group_create(struct stream *stream, struct slice name,
                                         struct stream_id last_id, int64_t read_count);
/** Out of the stream, with its consumers and pending entries, into a stream of its own, which
 * somebody frees in steps. */
struct stream *stream_group_take(struct stream *stream, struct stream_group *group);

struct stream_consumer *stream_consumer_find(const struct stream_group *group, struct slice name);
/** NULL: there is one of this name. */
struct stream_consumer *stream_consumer_create(struct stream *stream, struct stream_group *group,
                                               struct slice name, int64_t seen_ms);
/** With its pending entries. What is long to free is in *rest (stream_trim()). */
void stream_consumer_remove(struct stream *stream, struct stream_group *group,
                            struct stream_consumer *consumer, struct stream **rest);

static inline struct slice
stream_group_name(const struct stream_group *group)
{
    return slice_of(group->name, group->name_size);
}

static inline struct slice
stream_consumer_name(const struct stream_consumer *consumer)
{
    return slice_of(consumer->name, consumer->name_size);
}

/** How many entries the group has behind it when it has come to `id`, where that can be told. */
int64_t stream_read_count_at(const struct stream *stream, struct stream_id id);
/** Entries that the group has still to read; false where that cannot be told. */
bool stream_group_lag(const struct stream *stream, const struct stream_group *group, int64_t *lag);
/** The group has read on to `id`, the entry behind its last_id: that and read_count follow. */
void stream_group_advance(const struct stream *stream, struct stream_group *group,
                          struct stream_id id);

/* ---- pending entries: places and pointers are good until one is added or removed ---- */

/** NULL: it is not pending. */
struct stream_pending *stream_pending_find(const struct stream_group *group, struct stream_id id);
static inline struct stream_pending *
stream_pending_at(struct stream_place place)
{
    return stream_place_value(place);
}
/** A new one, zero but for its consumer, which may be NULL while a stream is loaded. NULL: it is
 * pending already. */
struct stream_pending *stream_pending_add(struct stream *stream, struct stream_group *group,
                                          struct stream_id id, struct stream_consumer *consumer);
/** From whomever it belongs to, to this consumer, who may be the same. */
void stream_pending_give(struct stream *stream, struct stream_group *group, struct stream_id id,
                         struct stream_consumer *consumer);
/** False: it was not pending. */
bool stream_pending_remove(struct stream *stream, struct stream_group *group, struct stream_id id);

/* ---- nodes as they are, and foreign ones ---- */

static inline struct listpack *
stream_node_at(struct stream_place place)
{
    struct listpack *node;
    memcpy(&node, stream_place_value(place), sizeof(node));
    return node;
}

/** What a node holds. */
struct stream_node_content {
    uint32_t count;         /* entries that are there */
    uint32_t deleted_count; /* and those that are marked as deleted */
    struct stream_id first_id;
    struct stream_id last_id; /* deleted ones included */
};

/** Are these bytes, whoever made them, a listpack, and that a node through and through, whose
 * entries' ids rise from `master_id` on, with at least one that is not deleted? */
bool stream_node_is_valid(struct slice bytes, struct stream_id master_id,
                          struct stream_node_content *content);

/** A copy of foreign bytes becomes the last node. False: they are none, or do not follow what is
 * there; nothing has changed then. */
bool stream_load_node(struct stream *stream, struct stream_id master_id, struct slice bytes);
/** A consumer for a pending entry that has none. False: it is not pending, or has one. */
bool stream_pending_assign(struct stream *stream, struct stream_group *group, struct stream_id id,
                           struct stream_consumer *consumer);
/** All was loaded, and last_id, deleted_id_max and added_count are set; `count` is what the stream
 * said of itself. False: it contradicts itself, and is good for stream_delete() only. */
bool stream_load_end(struct stream *stream, uint64_t count);

/** Recount everything. For tests. */
bool stream_check(const struct stream *stream);
