/*
 * hash_internal.h: what the files of hash commands share: a hash as a view has it, and back.
 */
#pragma once

#include "shard/call.h"
#include "shard/notify.h"
#include "shard/value/hash.h"

/** What the view holds, a hash, with those fields that are seen now; an empty one where the key is
 * absent. */
static inline struct hash
hash_of_view(const struct call *call, const struct view *view)
{
    if (!view_exists(view)) {
        return (struct hash){.encoding = ENCODING_LISTPACK, .now_ms = call->now_ms};
    }
    return (struct hash){.encoding = (enum value_encoding)view->value.encoding,
                         .object = view_object(view),
                         .now_ms = call->now_ms};
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

/** Fields have gone, by what `event` says, and maybe the key with the last of them. */
static inline void
hash_removed_event(struct call *call, const struct view *view, const char *event)
{
    call_event(call, view, NOTIFY_HASH, event);
    if (!view_exists(view)) {
        call_event(call, view, NOTIFY_GENERIC, "del");
    }
}

/** hash_to_write() where some fields are not seen. */
struct hash hash_purge(struct call *call, struct view *view, uint32_t first, uint32_t step);

/**
 * hash_of_view() for a command that changes the fields argv[first], argv[first + step] ...: those
 * of them whose time is over are removed before, with their own effect, so that the command's
 * effect means the same wherever it is replayed.
 */
static inline struct hash
hash_to_write(struct call *call, struct view *view, uint32_t first, uint32_t step)
{
    struct hash hash = hash_of_view(call, view);
    return UNLIKELY(hash_has_due(&hash)) ? hash_purge(call, view, first, step) : hash;
}

/**
 * The effect of a command on some of its fields, those that it has changed: filled while it runs.
 * Nothing is kept where nobody reads effects.
 */
struct hash_effect {
    struct slice *argv; /* NULL: nobody */
    uint32_t argc;
    uint32_t count_index; /* 0: the number of fields is not said */
    uint32_t field_count;
};

/** "HDEL key". `word_max` words will follow. */
struct hash_effect hash_effect_new(struct call *call, struct view *view, struct slice name,
                                   uint32_t word_max);

static inline void
hash_effect_add(struct hash_effect *effect, struct slice word)
{
    if (UNLIKELY(effect->argv != NULL)) {
        effect->argv[effect->argc++] = word;
    }
}

/** A number that lives as long as the call. */
void hash_effect_add_number(struct call *call, struct hash_effect *effect, int64_t number);
/** "FIELDS n"; n is what hash_effect_add_field() counts from now on. */
void hash_effect_add_fields(struct hash_effect *effect);

/** The field was changed. */
static inline void
hash_effect_add_field(struct hash_effect *effect, struct slice field)
{
    effect->field_count++;
    hash_effect_add(effect, field);
}

/** Say it, unless no field was changed. */
void hash_effect_say(struct call *call, struct view *view, struct hash_effect *effect);

/** Where the word FIELDS is, from argv[from] on and with something behind it; argc: nowhere. */
uint32_t hash_fields_find(const struct call *call, uint32_t from);

/** How a command tells deadlines: seconds or milliseconds, from now or since 1970. False: the error
 * was replied. */
bool hash_deadline_parse(struct call *call, uint32_t index, int64_t unit_ms, bool is_relative,
                         int64_t *deadline_ms);

/** The number behind FIELDS, argv[index]: it must be that of the words that follow, divided by
 * `width`. NULL `error`: the usual one. False: the error was replied. */
bool hash_fields_parse(struct call *call, uint32_t index, uint32_t width, const char *error);
