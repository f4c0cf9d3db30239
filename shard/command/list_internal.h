/*
 * list_internal.h: what the files of list commands share: a list as a view has it, and back.
 */
#pragma once

#include "shard/call.h"
#include "shard/notify.h"
#include "shard/value/list_value.h"

/** What the view holds, a list; a new one where the key is absent. */
static inline struct list_value
list_of_view(const struct view *view)
{
    if (!view_exists(view)) {
        return list_value_new();
    }
    return (struct list_value){.encoding = (enum value_encoding)view->value.encoding,
                               .object = view_object(view)};
}

static inline struct quicklist_limits
list_limits_of(const struct call *call)
{
    const struct config *config = call->shard->config;
    struct quicklist_limits limits = quicklist_limits_of(config->list_max_listpack_size);
    limits.compress_depth = (uint32_t)config->list_compress_depth;
    return limits;
}

/** The view's list was changed and is `list` now; an empty one is no key. */
static inline void
list_to_view(struct call *call, struct view *view, const struct list_value *list)
{
    view_object_edit(call, view, VALUE_LIST, list->encoding, list->object);
    if (list_value_count(list) == 0) {
        view_delete(call, view);
    }
}

static inline void
list_item_reply(struct reply *reply, const struct listpack_item *item)
{
    if (item->is_integer) {
        reply_bulk_i64(reply, item->integer);
    } else {
        reply_bulk(reply, item->bytes);
    }
}

static inline void
list_push(struct list_value *list, const struct quicklist_limits *limits, bool is_first,
          struct slice text)
{
    if (is_first) {
        list_value_push_first(list, limits, text);
    } else {
        list_value_push_last(list, limits, text);
    }
}

/** False, and an error is replied: the text is larger than any list can hold. */
bool list_text_check(struct call *call, struct slice text);
/** LEFT or RIGHT; else false, and an error is replied. */
bool list_end_read(struct call *call, uint32_t index, bool *is_first);
/** Reply one element from one end of an existing list and take it out; its effect is the caller's.
 */
void list_pop_one(struct call *call, struct view *view, bool is_first);
/** LMOVE between the views 0 and 1, as far as there is something to move: else null. */
void list_move(struct call *call, bool is_from_first, bool is_to_first);

/** LMPOP's arguments. */
struct list_mpop {
    bool is_first;
    int64_t count;
};

/** Read numkeys ... from argument `index` on; false: the error has been replied. */
bool list_mpop_read(struct call *call, uint32_t index, struct list_mpop *mpop);
/** Pop from the first view that holds something. False: none does, nothing was replied. */
bool list_mpop(struct call *call, const struct list_mpop *mpop);

/** Reply `count` elements (there are so many) from one end on as an array, and take them out. */
void list_pop_reply(struct call *call, struct view *view, bool is_first, uint64_t count);
