/*
 * set_internal.h: what the files of set commands share: a set as a view has it, and back.
 */
#pragma once

#include "shard/call.h"
#include "shard/notify.h"
#include "shard/value/set.h"

/** What the view holds, a set; an empty one where the key is absent. */
static inline struct set
set_of_view(const struct view *view)
{
    if (!view_exists(view)) {
        return (struct set){.encoding = ENCODING_INTSET};
    }
    return (struct set){.encoding = (enum value_encoding)view->value.encoding,
                        .object = view_object(view)};
}

static inline struct set_limits
set_limits_of(const struct call *call)
{
    const struct config *config = call->shard->config;
    return (struct set_limits){
        .intset_count = (uint64_t)config->set_max_intset_entries,
        .listpack_count = (uint64_t)config->set_max_listpack_entries,
        .listpack_member_size = config->set_max_listpack_value,
        .seed = call->shard->keyspace.hash_seed,
    };
}

/** The view's set was changed and is `set` now; an empty one is no key. */
static inline void
set_to_view(struct call *call, struct view *view, const struct set *set)
{
    view_object_edit(call, view, VALUE_SET, set->encoding, set->object);
    if (set_count(set) == 0) {
        view_delete(call, view);
    }
}

/** The key gets another set in place of whatever it held, no deadline, and the effects of that. */
void set_store(struct call *call, struct view *view, struct set *set);

/** Effects "COMMAND key member ..." of any number of members, in pieces. */
struct set_effect {
    struct call *call;
    struct view *view;
    uint32_t count;
    struct slice argv[128];
};

void set_effect_start(struct set_effect *effect, struct call *call, struct view *view,
                      struct slice command);
/** Copies the member; nothing where nobody reads effects. */
void set_effect_add(struct set_effect *effect, struct slice member);
void set_effect_end(struct set_effect *effect);
