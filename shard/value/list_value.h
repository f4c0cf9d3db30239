/*
 * list_value.h: a list in whichever form it has: one listpack or a quicklist of them.
 * Any thread that holds the object (see object.h). A change may move or convert the object: the
 * handle then says what it is now, and view_object_edit() has to be told. Indexes are from 0 and
 * exist. Texts given in must not lie in the list.
 */
#pragma once

#include "shard/value/quicklist.h"

struct list_value {
    enum value_encoding encoding;
    void *object;
};

/** One that does not exist yet: an empty listpack. */
struct list_value list_value_new(void);

static inline uint64_t
list_value_count(const struct list_value *list)
{
    return list->encoding == ENCODING_LISTPACK ? listpack_count(list->object)
                                               : ((struct quicklist *)list->object)->count;
}

/* ---- looking ---- */

/** From an element on, in either direction; a change of the list ends the walk. */
struct list_value_walk {
    const struct listpack *listpack;
    const struct quicklist_node *node; /* NULL: there is one listpack only */
    uint32_t position;
    bool is_backward;
    struct quicklist_scratch scratch; /* what the list has compressed is unpacked here */
};

/** Where the list has no such index there is nothing to walk over. */
struct list_value_walk list_value_walk(const struct list_value *list, uint64_t index,
                                       bool is_backward);
/** False: that was all, and the walk is over as after list_value_walk_end(). */
bool list_value_next(struct list_value_walk *walk, struct listpack_item *item);
/** Of each walk that may have ended before that. The last item's text is gone then. */
static inline void
list_value_walk_end(struct list_value_walk *walk)
{
    if (UNLIKELY(walk->scratch.listpack != NULL)) {
        quicklist_scratch_release(&walk->scratch);
    }
}

/** A text that many elements are compared with. */
struct list_value_needle {
    struct slice text;
    int64_t integer;
    bool is_integer;
};

struct list_value_needle list_value_needle(struct slice text);

static inline bool
list_value_is(const struct list_value_needle *needle, const struct listpack_item *item)
{
    if (item->is_integer) {
        return needle->is_integer && item->integer == needle->integer;
    }
    return slice_equal(needle->text, item->bytes);
}

/* ---- changing ---- */

/** May no list hold it? */
static inline bool
list_value_is_too_large(struct slice text)
{
    return text.size > LISTPACK_SIZE_MAX - 64;
}

/** `count` texts are about to come in: a listpack that could not take them becomes a quicklist. Has
 * to be called before the functions below that take a text. */
void list_value_grow(struct list_value *list, const struct quicklist_limits *limits,
                     const struct slice *texts, uint32_t count);
/** After removals: a quicklist that has shrunk to half of what a listpack may hold becomes one. */
void list_value_shrink(struct list_value *list, const struct quicklist_limits *limits);

void list_value_push_first(struct list_value *list, const struct quicklist_limits *limits,
                           struct slice text);
void list_value_push_last(struct list_value *list, const struct quicklist_limits *limits,
                          struct slice text);
/** In front of an index, which may be the count: at the end. */
void list_value_insert(struct list_value *list, const struct quicklist_limits *limits,
                       uint64_t index, struct slice text);
void list_value_replace(struct list_value *list, const struct quicklist_limits *limits,
                        uint64_t index, struct slice text);
/** `count` elements from an index on; there are so many. A list that becomes empty stays one. */
void list_value_remove(struct list_value *list, const struct quicklist_limits *limits,
                       uint64_t index, uint64_t count);
/** Elements equal to a text, up to `count_max`, from the first or from the last one on. Returns how
 * many. */
uint64_t list_value_remove_equal(struct list_value *list, const struct quicklist_limits *limits,
                                 struct slice text, uint64_t count_max, bool is_backward);
