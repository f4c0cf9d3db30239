#include "shard/value/codec_internal.h"

/*
 * codec_hash.c: hashes.
 *
 *     4        count, (field, value)
 *     9        a zipmap
 *     13, 16   a ziplist, a listpack: field, value, field, value ...
 *     22       count, (field, value, deadline: 8 bytes, -1 none)               Valkey 9
 *     24       the first deadline, count, (deadline, field, value)             redis-server 7.4
 *     25       the first deadline, a listpack: field, value, deadline ...      and the same
 *
 * In 24 a deadline is a length: the milliseconds behind the first deadline and one more, 0 none; in
 * 25 it is the time itself, or 0. A listpack within the limits stays one, unless fields have
 * deadlines. No field comes twice. Fields whose time is over come in too, and leave by the wheel.
 */

static bool
read_pairs(struct rdb_reader *reader, const struct hash_limits *limits, struct hash *hash)
{
    uint64_t count;
    if (!rdb_read_length(reader, &count)) {
        return false;
    }
    if (count > limits->listpack_count) {
        *hash =
            (struct hash){.encoding = ENCODING_HASHTABLE, .object = packed_new(limits->seed, true)};
    }
    struct rdb_text field = {0};
    struct rdb_text value = {0};
    bool is_read = true;
    for (; is_read && count > 0; count--) {
        is_read = codec_read_member(reader, &field) && codec_read_member(reader, &value) &&
                  hash_set(hash, limits, field.bytes, value.bytes);
    }
    rdb_text_release(&field);
    rdb_text_release(&value);
    return is_read;
}

/** The deadline of a field that was read in the form `type`; false: it is none. */
static bool
read_deadline(struct rdb_reader *reader, uint8_t type, uint64_t first_ms, int64_t *deadline_ms)
{
    uint64_t number;
    if (type == RDB_TYPE_HASH_2) {
        if (!rdb_read_u64(reader, &number)) {
            return false;
        }
        *deadline_ms = (int64_t)number;
        return *deadline_ms >= 0 || *deadline_ms == HASH_NO_DEADLINE;
    }
    if (!rdb_read_length(reader, &number)) {
        return false;
    }
    *deadline_ms = HASH_NO_DEADLINE;
    if (number > 0) {
        *deadline_ms = (int64_t)(number - 1 + first_ms);
        return number - 1 <= INT64_MAX && first_ms <= INT64_MAX && *deadline_ms >= 0;
    }
    return true;
}

/** Types 22 and 24. */
static bool
read_timed_pairs(struct rdb_reader *reader, uint8_t type, const struct hash_limits *limits,
                 struct hash *hash)
{
    uint64_t first_ms = 0;
    uint64_t count;
    bool is_redis = type == RDB_TYPE_HASH_METADATA;
    if ((is_redis && !rdb_read_u64(reader, &first_ms)) || !rdb_read_length(reader, &count)) {
        return false;
    }
    struct rdb_text field = {0};
    struct rdb_text value = {0};
    bool is_read = true;
    for (; is_read && count > 0; count--) {
        int64_t deadline_ms = HASH_NO_DEADLINE;
        is_read = (!is_redis || read_deadline(reader, type, first_ms, &deadline_ms)) &&
                  codec_read_member(reader, &field) && codec_read_member(reader, &value) &&
                  (is_redis || read_deadline(reader, type, first_ms, &deadline_ms)) &&
                  hash_set_timed(hash, limits, field.bytes, value.bytes, deadline_ms);
    }
    rdb_text_release(&field);
    rdb_text_release(&value);
    return is_read;
}

/** The elements of a listpack by threes. */
static bool
hash_set_triples(struct hash *hash, const struct hash_limits *limits,
                 const struct listpack *listpack)
{
    char digits[2][LISTPACK_DIGITS_SIZE];
    for (uint32_t at = listpack_first(listpack); at != LISTPACK_NONE;) {
        uint32_t value_at = listpack_next(listpack, at);
        uint32_t deadline_at = listpack_next(listpack, value_at);
        int64_t deadline_ms;
        if (!listpack_integer(listpack, deadline_at, &deadline_ms) || deadline_ms < 0) {
            return false;
        }
        if (!hash_set_timed(hash, limits, listpack_text(listpack, at, digits[0]),
                            listpack_text(listpack, value_at, digits[1]),
                            deadline_ms == 0 ? HASH_NO_DEADLINE : deadline_ms)) {
            return false;
        }
        at = listpack_next(listpack, deadline_at);
    }
    return true;
}

static bool
read_timed_listpack(struct rdb_reader *reader, const struct hash_limits *limits, struct hash *hash)
{
    uint64_t first_ms;
    if (!rdb_read_u64(reader, &first_ms)) {
        return false;
    }
    struct listpack *listpack = codec_read_listpack(reader);
    if (listpack == NULL) {
        return false;
    }
    bool is_read = listpack_count(listpack) % 3 == 0 && hash_set_triples(hash, limits, listpack);
    listpack_delete(listpack);
    return is_read;
}

static void
hash_grow(struct hash *hash, const struct hash_limits *limits)
{
    struct packed *packed = packed_new(limits->seed, true);
    struct hash_walk walk;
    struct hash_pair pair;
    hash_walk_start(&walk, hash);
    while (hash_next(&walk, &pair)) {
        packed_insert(packed, pair.field, pair.value);
    }
    object_delete(VALUE_HASH, hash->encoding, hash->object);
    *hash = (struct hash){.encoding = ENCODING_HASHTABLE, .object = packed};
}

static bool
read_listpack(struct rdb_reader *reader, uint8_t type, const struct hash_limits *limits,
              struct hash *hash)
{
    size_t text_size_max = 0;
    struct listpack *listpack;
    if (type == RDB_TYPE_HASH_LISTPACK) {
        listpack = codec_read_listpack(reader);
    } else if (type == RDB_TYPE_HASH_ZIPLIST) {
        listpack = codec_read_ziplist(reader);
    } else {
        listpack = codec_read_zipmap(reader, &text_size_max);
    }
    if (listpack == NULL) {
        return false;
    }
    *hash = (struct hash){.encoding = ENCODING_LISTPACK, .object = listpack};
    if (!codec_listpack_is_unique(listpack, true, limits->seed)) {
        return false;
    }
    if (hash_count(hash) > limits->listpack_count || text_size_max > limits->listpack_text_size) {
        hash_grow(hash, limits);
    }
    return true;
}

static bool
read_hash(struct rdb_reader *reader, uint8_t type, const struct hash_limits *limits,
          struct hash *hash)
{
    switch (type) {
    case RDB_TYPE_HASH:
        return read_pairs(reader, limits, hash);
    case RDB_TYPE_HASH_2:
    case RDB_TYPE_HASH_METADATA:
        return read_timed_pairs(reader, type, limits, hash);
    case RDB_TYPE_HASH_LISTPACK_EX:
        return read_timed_listpack(reader, limits, hash);
    default:
        return read_listpack(reader, type, limits, hash);
    }
}

bool
codec_read_hash(struct rdb_reader *reader, uint8_t type, const struct codec_options *options,
                struct value *value)
{
    struct hash hash = {.encoding = ENCODING_LISTPACK};
    if (!read_hash(reader, type, &options->hash, &hash) || hash_count(&hash) == 0) {
        object_delete(VALUE_HASH, hash.encoding, hash.object);
        return false;
    }
    *value = value_object(VALUE_HASH, hash.encoding, hash.object);
    return true;
}
