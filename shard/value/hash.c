#include "shard/value/hash.h"

#include "shard/value/listpack.h"

/*
 * hash.c: hashes as small as they can be.
 *
 *     listpack: [field value field value ...]
 *         | too many fields, a text too long, a field with a deadline
 *         v
 *     packed table
 *
 * Who has a hash to read changes nothing in it: a field whose time is over is passed by, and the
 * owner of the key removes it soon after, through the wheel.
 *
 * The way leads up only: a hash that shrinks keeps its form, so that one at a limit does not swing
 * between two.
 */

/** Random draws that may hit fields that are not seen, before these are left out by counting. */
#define RANDOM_TRIES 100

static void
hash_become(struct hash *hash, enum value_encoding encoding, void *object)
{
    hash->encoding = encoding;
    hash->object = object;
}

static bool
is_seen(const struct hash *hash, int64_t deadline_ms)
{
    return LIKELY(!packed_is_due(deadline_ms, hash->now_ms));
}

uint64_t
hash_count(const struct hash *hash)
{
    if (hash->object == NULL) {
        return 0;
    }
    return object_count(VALUE_HASH, hash->encoding, hash->object);
}

bool
hash_has_due(const struct hash *hash)
{
    return hash->object != NULL && hash->encoding == ENCODING_HASHTABLE &&
           packed_is_due(packed_first_ms(hash->object), hash->now_ms);
}

uint64_t
hash_count_seen(const struct hash *hash)
{
    if (LIKELY(!hash_has_due(hash))) {
        return hash_count(hash);
    }
    uint64_t count = 0;
    struct hash_walk walk;
    struct hash_pair pair;
    hash_walk_start(&walk, hash);
    while (hash_next(&walk, &pair)) {
        count++;
    }
    return count;
}

/** The position of a field in a listpack. */
static uint32_t
listpack_field(const struct listpack *listpack, struct slice field)
{
    return listpack_find(listpack, listpack_first(listpack), field, 1);
}

bool
hash_get(const struct hash *hash, struct slice field, struct slice *value,
         char digits[HASH_DIGITS_SIZE])
{
    if (hash->object == NULL) {
        return false;
    }
    if (hash->encoding == ENCODING_HASHTABLE) {
        struct packed_item item;
        if (!packed_find_item(hash->object, field, &item) || !is_seen(hash, item.deadline_ms)) {
            return false;
        }
        *value = item.value;
        return true;
    }
    ASSERT(hash->encoding == ENCODING_LISTPACK);
    uint32_t position = listpack_field(hash->object, field);
    if (position == LISTPACK_NONE) {
        return false;
    }
    *value = listpack_text(hash->object, listpack_next(hash->object, position), digits);
    return true;
}

static void
listpack_pair(const struct listpack *listpack, uint32_t position, struct hash_pair *pair)
{
    pair->field = listpack_text(listpack, position, pair->field_digits);
    pair->value = listpack_text(listpack, listpack_next(listpack, position), pair->value_digits);
    pair->deadline_ms = HASH_NO_DEADLINE;
}

static void
packed_pair(const struct packed_item *item, struct hash_pair *pair)
{
    pair->field = item->member;
    pair->value = item->value;
    pair->deadline_ms = item->deadline_ms;
}

bool
hash_find(const struct hash *hash, struct slice field, struct hash_pair *pair)
{
    if (hash->object == NULL) {
        return false;
    }
    if (hash->encoding == ENCODING_HASHTABLE) {
        struct packed_item item;
        if (!packed_find_item(hash->object, field, &item) || !is_seen(hash, item.deadline_ms)) {
            return false;
        }
        packed_pair(&item, pair);
        return true;
    }
    uint32_t position = listpack_field(hash->object, field);
    if (position == LISTPACK_NONE) {
        return false;
    }
    listpack_pair(hash->object, position, pair);
    return true;
}

/** Where many fields are not seen: one of the others by its number. */
static bool
hash_random_seen(const struct hash *hash, struct random *random, struct hash_pair *pair)
{
    uint64_t count = hash_count_seen(hash);
    if (count == 0) {
        return false;
    }
    struct hash_walk walk;
    hash_walk_start(&walk, hash);
    for (uint64_t i = random_below(random, count) + 1; i > 0; i--) {
        bool is_there = hash_next(&walk, pair);
        ASSERT(is_there);
    }
    return true;
}

bool
hash_random(const struct hash *hash, struct random *random, struct hash_pair *pair)
{
    if (hash_count(hash) == 0) {
        return false;
    }
    if (hash->encoding == ENCODING_HASHTABLE) {
        for (unsigned i = 0; i < RANDOM_TRIES; i++) {
            struct packed_item item = packed_random(hash->object, random);
            if (is_seen(hash, item.deadline_ms)) {
                packed_pair(&item, pair);
                return true;
            }
        }
        return hash_random_seen(hash, random, pair);
    }
    const struct listpack *listpack = hash->object;
    int64_t index = (int64_t)random_below(random, listpack_count(listpack) / 2);
    listpack_pair(listpack, listpack_seek(listpack, 2 * index), pair);
    return true;
}

/* ---- changing ---- */

static void
hash_convert(struct hash *hash, const struct hash_limits *limits)
{
    struct packed *packed = packed_new(limits->seed, true);
    struct hash_walk walk;
    struct hash_pair pair;
    hash_walk_start(&walk, hash);
    while (hash_next(&walk, &pair)) {
        packed_insert(packed, pair.field, pair.value);
    }
    object_delete(VALUE_HASH, hash->encoding, hash->object);
    hash_become(hash, ENCODING_HASHTABLE, packed);
}

static bool
hash_set_in_listpack(struct hash *hash, const struct hash_limits *limits, struct slice field,
                     struct slice value)
{
    struct listpack *listpack = hash->object;
    size_t added_size = listpack_item_size(field) + listpack_item_size(value);
    if (MAX(field.size, value.size) > limits->listpack_text_size ||
        !listpack_fits(listpack, added_size)) {
        hash_convert(hash, limits);
        return packed_set(hash->object, field, value);
    }
    uint32_t position = listpack_field(listpack, field);
    bool is_new = position == LISTPACK_NONE;
    /* A limit that was lowered meanwhile holds for hashes that are written to. */
    if (listpack_count(listpack) / 2 + (uint64_t)is_new > limits->listpack_count) {
        hash_convert(hash, limits);
        return packed_set(hash->object, field, value);
    }
    if (is_new) {
        hash->object = listpack_append(listpack_append(listpack, field), value);
    } else {
        hash->object = listpack_replace(listpack, listpack_next(listpack, position), value);
    }
    return is_new;
}

bool
hash_set(struct hash *hash, const struct hash_limits *limits, struct slice field,
         struct slice value)
{
    if (hash->object == NULL) {
        hash_become(hash, ENCODING_LISTPACK, listpack_new(0));
    }
    if (hash->encoding == ENCODING_HASHTABLE) {
        return packed_set(hash->object, field, value);
    }
    ASSERT(hash->encoding == ENCODING_LISTPACK);
    return hash_set_in_listpack(hash, limits, field, value);
}

/** Make it a table that knows deadlines. */
static void
hash_time(struct hash *hash, const struct hash_limits *limits)
{
    if (hash->object == NULL) {
        hash_become(hash, ENCODING_HASHTABLE, packed_new(limits->seed, true));
    } else if (hash->encoding == ENCODING_LISTPACK) {
        hash_convert(hash, limits);
    }
    hash->object = packed_time(hash->object);
}

bool
hash_set_timed(struct hash *hash, const struct hash_limits *limits, struct slice field,
               struct slice value, int64_t deadline_ms)
{
    if (deadline_ms == HASH_NO_DEADLINE) {
        return hash_set(hash, limits, field, value);
    }
    hash_time(hash, limits);
    return packed_set_timed(hash->object, field, value, deadline_ms);
}

bool
hash_deadline_set(struct hash *hash, const struct hash_limits *limits, struct slice field,
                  int64_t deadline_ms)
{
    if (hash->object == NULL) {
        return false;
    }
    if (hash->encoding == ENCODING_LISTPACK) {
        /* Only for a field that is there, and only for a deadline, the hash changes its form. */
        if (listpack_field(hash->object, field) == LISTPACK_NONE) {
            return false;
        }
        if (deadline_ms == HASH_NO_DEADLINE) {
            return true;
        }
    }
    if (deadline_ms != HASH_NO_DEADLINE) {
        hash_time(hash, limits);
    }
    return packed_deadline_set(hash->object, field, deadline_ms);
}

bool
hash_remove_due(struct hash *hash, struct slice field)
{
    struct packed_item item;
    if (!hash_has_due(hash) || !packed_find_item(hash->object, field, &item) ||
        is_seen(hash, item.deadline_ms)) {
        return false;
    }
    return packed_remove(hash->object, field);
}

bool
hash_remove(struct hash *hash, struct slice field)
{
    if (hash->encoding == ENCODING_HASHTABLE) {
        return packed_remove(hash->object, field);
    }
    ASSERT(hash->encoding == ENCODING_LISTPACK);
    uint32_t position = listpack_field(hash->object, field);
    if (position == LISTPACK_NONE) {
        return false;
    }
    hash->object = listpack_remove(hash->object, &position, 2);
    return true;
}

/* ---- walking ---- */

void
hash_walk_start(struct hash_walk *walk, const struct hash *hash)
{
    walk->hash = *hash;
    walk->position = LISTPACK_NONE;
    if (hash->object == NULL) {
        return;
    }
    if (hash->encoding == ENCODING_HASHTABLE) {
        walk->packed = packed_walk(hash->object);
    } else {
        walk->position = listpack_first(hash->object);
    }
}

bool
hash_next(struct hash_walk *walk, struct hash_pair *pair)
{
    const void *object = walk->hash.object;
    if (object == NULL) {
        return false;
    }
    if (walk->hash.encoding == ENCODING_HASHTABLE) {
        struct packed_item item;
        do {
            if (!packed_next(&walk->packed, &item)) {
                return false;
            }
        } while (!is_seen(&walk->hash, item.deadline_ms));
        packed_pair(&item, pair);
        return true;
    }
    if (walk->position == LISTPACK_NONE) {
        return false;
    }
    listpack_pair(object, walk->position, pair);
    walk->position = listpack_next(object, listpack_next(object, walk->position));
    return true;
}

struct hash_scan_context {
    const struct hash *hash;
    hash_visit_fn *visit;
    void *context;
};

static void
hash_scan_visit(void *context, const struct packed_item *item)
{
    struct hash_scan_context *scan = context;
    if (is_seen(scan->hash, item->deadline_ms)) {
        scan->visit(scan->context, item->member, item->value);
    }
}

uint64_t
hash_scan(const struct hash *hash, uint64_t position, hash_visit_fn *visit, void *context)
{
    if (hash->encoding == ENCODING_HASHTABLE) {
        struct hash_scan_context scan = {.hash = hash, .visit = visit, .context = context};
        return packed_scan(hash->object, position, hash_scan_visit, &scan);
    }
    struct hash_walk walk;
    struct hash_pair pair;
    hash_walk_start(&walk, hash);
    while (hash_next(&walk, &pair)) {
        visit(context, pair.field, pair.value);
    }
    return 0;
}
