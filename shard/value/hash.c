#include "shard/value/hash.h"

#include "shard/value/listpack.h"

/*
 * hash.c: hashes as small as they can be.
 *
 *     listpack: [field value field value ...]  --(too many fields, a text too long)-->  packed
 * table
 *
 * The way leads up only: a hash that shrinks keeps its form, so that one at a limit does not swing
 * between two.
 */

static struct hash
hash_of(enum value_encoding encoding, void *object)
{
    return (struct hash){.encoding = encoding, .object = object};
}

uint64_t
hash_count(const struct hash *hash)
{
    if (hash->object == NULL) {
        return 0;
    }
    return object_count(VALUE_HASH, hash->encoding, hash->object);
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
        return packed_find(hash->object, field, value);
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
}

void
hash_random(const struct hash *hash, struct random *random, struct hash_pair *pair)
{
    if (hash->encoding == ENCODING_HASHTABLE) {
        struct packed_item item = packed_random(hash->object, random);
        pair->field = item.member;
        pair->value = item.value;
        return;
    }
    const struct listpack *listpack = hash->object;
    int64_t index = (int64_t)random_below(random, listpack_count(listpack) / 2);
    listpack_pair(listpack, listpack_seek(listpack, 2 * index), pair);
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
    *hash = hash_of(ENCODING_HASHTABLE, packed);
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
        *hash = hash_of(ENCODING_LISTPACK, listpack_new(0));
    }
    if (hash->encoding == ENCODING_HASHTABLE) {
        return packed_set(hash->object, field, value);
    }
    ASSERT(hash->encoding == ENCODING_LISTPACK);
    return hash_set_in_listpack(hash, limits, field, value);
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
        if (!packed_next(&walk->packed, &item)) {
            return false;
        }
        pair->field = item.member;
        pair->value = item.value;
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
    hash_visit_fn *visit;
    void *context;
};

static void
hash_scan_visit(void *context, const struct packed_item *item)
{
    struct hash_scan_context *scan = context;
    scan->visit(scan->context, item->member, item->value);
}

uint64_t
hash_scan(const struct hash *hash, uint64_t position, hash_visit_fn *visit, void *context)
{
    if (hash->encoding == ENCODING_HASHTABLE) {
        struct hash_scan_context scan = {.visit = visit, .context = context};
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
