/*
 * zset_internal.h: what the files of sorted set commands share: a set as a view has it and back,
 * replies of elements, effects of many elements, and the spellings of scores and counts.
 */
#pragma once

#include "core/number.h"
#include "shard/call.h"
#include "shard/notify.h"
#include "shard/value/zset.h"

/** What the view holds, a sorted set; an empty one where the key is absent. */
static inline struct zset
zset_of_view(const struct view *view)
{
    if (!view_exists(view)) {
        return (struct zset){.encoding = ENCODING_LISTPACK};
    }
    return (struct zset){.encoding = (enum value_encoding)view->value.encoding,
                         .object = view_object(view)};
}

static inline struct zset_limits
zset_limits_of(const struct call *call)
{
    const struct config *config = call->shard->config;
    return (struct zset_limits){
        .listpack_count = (uint64_t)config->zset_max_listpack_entries,
        .listpack_member_size = config->zset_max_listpack_value,
        .seed = call->shard->keyspace.hash_seed,
    };
}

/** The view's set was changed and is `zset` now; an empty one is no key. */
void zset_to_view(struct call *call, struct view *view, const struct zset *zset);
/** The key gets this set, which is the view's from now on, in place of whatever it held, and no
 * deadline, with the effects of that. An empty set removes the key. Replies the count.
 * `event`: what happened to the key. */
void zset_store(struct call *call, struct view *view, struct zset *zset, const char *event);

/** A score among the arguments, or the error (NULL: not a valid float) and false. */
bool zset_score_read(struct call *call, uint32_t index, double *score, const char *error);

/** The head of an array of so many elements, each to be replied by zset_item_reply(). */
void zset_array_reply(struct call *call, uint64_t count, bool has_scores);
/** In RESP3 an element with its score is an array of its own. */
void zset_item_reply(struct call *call, const struct ztree_item *item, bool has_scores);

/** Effects "COMMAND key ..." of any number of elements, in pieces. */
#define ZSET_EFFECT_COUNT 63

struct zset_effect {
    struct call *call;
    struct view *view;
    uint32_t argc;
    uint32_t count;
    struct slice argv[2 + 2 * ZSET_EFFECT_COUNT];
    char scores[ZSET_EFFECT_COUNT][NUMBER_DOUBLE_SIZE_MAX];
    char members[ZSET_EFFECT_COUNT][LISTPACK_DIGITS_SIZE];
};

void zset_effect_start(struct zset_effect *effect, struct call *call, struct view *view,
                       struct slice command);
/** The member, behind its score if it has one. The set must not change until the end. */
void zset_effect_add(struct zset_effect *effect, const struct ztree_item *item, bool has_score);
void zset_effect_end(struct zset_effect *effect);

/** Reply up to `count` elements from one end as an array, and remove them. `is_nested`: each one as
 * an array of its own, in RESP2 too. */
void zset_pop(struct call *call, struct view *view, bool is_max, uint64_t count, bool is_nested);
/** The same without the array's head; there are so many. */
void zset_pop_items(struct call *call, struct view *view, bool is_max, uint64_t count,
                    bool is_nested);

/** ZMPOP's arguments. */
struct zmpop {
    bool is_max;
    int64_t count;
};

/** Read numkeys ... from argument `index` on; false: the error has been replied. */
bool zmpop_read(struct call *call, uint32_t index, struct zmpop *zmpop);
/** Pop from the first view that holds something. False: none does, nothing was replied. */
bool zmpop(struct call *call, const struct zmpop *zmpop);
