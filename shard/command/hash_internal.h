/*
 * hash_internal.h: what the files of hash commands share: a hash as a view has it, and back.
 */
#pragma once

#include "shard/call.h"
#include "shard/value/hash.h"

/** What the view holds, a hash; an empty one where the key is absent. */
static inline struct hash
hash_of_view(const struct view *view)
{
    if (!view_exists(view)) {
        return (struct hash){.encoding = ENCODING_LISTPACK};
    }
    return (struct hash){.encoding = (enum value_encoding)view->value.encoding,
                         .object = view_object(view)};
}

static inline struct hash_limits
hash_limits_of(const struct call *call)
{
    const struct config *config = call->shard->config;
    return (struct hash_limits){
        .listpack_count = (uint64_t)config->hash_max_listpack_entries,
        .listpack_text_size = config->hash_max_listpack_value,
        .seed = call->shard->keyspace.hash_seed,
    };
}

/** The view's hash was changed and is `hash` now; an empty one is no key. */
static inline void
hash_to_view(struct call *call, struct view *view, const struct hash *hash)
{
    view_object_edit(call, view, VALUE_HASH, hash->encoding, hash->object);
    if (hash_count(hash) == 0) {
        view_delete(call, view);
    }
}
