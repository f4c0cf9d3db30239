#include "persist/rdb_skip.h"
#include "shard/value/codec.h"

/*
 * codec_skip.c: where a value ends, by its lengths alone.
 *
 * Most forms are a count and so many times the same few parts, so a table has a line for each type:
 *
 *     type            in front   parts of one element, `count` times (or once)
 *     set             -          string
 *     hash, Valkey's  -          string, string, 8 bytes
 *     hash, 7.4's     8 bytes    length, string, string
 *     listpacks       -          string                                     once
 *     ...
 *
 * Lists of nodes and streams nest, and have functions. Every part is at least a byte long, so a
 * count that lies ends with the bytes.
 *
 * Invariant: where codec_read() succeeds, codec_skip() does, and stops at the same byte. It says
 * nothing about what lies between.
 *
 * Rejected: a skipping mode of codec_read() (its every line would have two meanings), and the
 * version as an argument (a number of a type means one thing only among those that exist here).
 */

enum part {
    PART_NONE,
    PART_STRING,
    PART_LENGTH,
    PART_8_BYTES,
    PART_DOUBLE_TEXT,
};

#define PART_COUNT_MAX 3

struct shape {
    bool is_known;
    enum part first;
    /** A count stands in front of the elements; else there is one. */
    bool is_counted;
    enum part parts[PART_COUNT_MAX];
};

/** By type. */
static const struct shape shapes[] = {
    [RDB_TYPE_STRING] = {true, PART_NONE, false, {PART_STRING}},
    [RDB_TYPE_LIST] = {true, PART_NONE, true, {PART_STRING}},
    [RDB_TYPE_SET] = {true, PART_NONE, true, {PART_STRING}},
    [RDB_TYPE_ZSET] = {true, PART_NONE, true, {PART_STRING, PART_DOUBLE_TEXT}},
    [RDB_TYPE_HASH] = {true, PART_NONE, true, {PART_STRING, PART_STRING}},
    [RDB_TYPE_ZSET_2] = {true, PART_NONE, true, {PART_STRING, PART_8_BYTES}},
    [RDB_TYPE_HASH_ZIPMAP] = {true, PART_NONE, false, {PART_STRING}},
    [RDB_TYPE_LIST_ZIPLIST] = {true, PART_NONE, false, {PART_STRING}},
    [RDB_TYPE_SET_INTSET] = {true, PART_NONE, false, {PART_STRING}},
    [RDB_TYPE_ZSET_ZIPLIST] = {true, PART_NONE, false, {PART_STRING}},
    [RDB_TYPE_HASH_ZIPLIST] = {true, PART_NONE, false, {PART_STRING}},
    [RDB_TYPE_LIST_QUICKLIST] = {true, PART_NONE, true, {PART_STRING}},
    [RDB_TYPE_HASH_LISTPACK] = {true, PART_NONE, false, {PART_STRING}},
    [RDB_TYPE_ZSET_LISTPACK] = {true, PART_NONE, false, {PART_STRING}},
    [RDB_TYPE_LIST_QUICKLIST_2] = {true, PART_NONE, true, {PART_LENGTH, PART_STRING}},
    [RDB_TYPE_SET_LISTPACK] = {true, PART_NONE, false, {PART_STRING}},
    [RDB_TYPE_HASH_2] = {true, PART_NONE, true, {PART_STRING, PART_STRING, PART_8_BYTES}},
    [RDB_TYPE_HASH_METADATA] = {true, PART_8_BYTES, true, {PART_LENGTH, PART_STRING, PART_STRING}},
    [RDB_TYPE_HASH_LISTPACK_EX] = {true, PART_8_BYTES, false, {PART_STRING}},
};

/** Doubles as text: sizes from here on stand for infinities and what is no number. */
#define DOUBLE_TEXT_SPECIAL_MIN 253

static bool
skip_double_text(struct rdb_reader *reader)
{
    uint8_t size;
    return rdb_read_u8(reader, &size) &&
           (size >= DOUBLE_TEXT_SPECIAL_MIN || rdb_skip_bytes(reader, size));
}

static bool
skip_part(struct rdb_reader *reader, enum part part)
{
    switch (part) {
    case PART_STRING:
        return rdb_skip_string(reader);
    case PART_LENGTH:
        return rdb_skip_length(reader);
    case PART_8_BYTES:
        return rdb_skip_bytes(reader, 8);
    case PART_DOUBLE_TEXT:
        return skip_double_text(reader);
    case PART_NONE:
    default:
        return true;
    }
}

static bool
skip_shape(struct rdb_reader *reader, const struct shape *shape)
{
    uint64_t count = 1;
    if (!skip_part(reader, shape->first) ||
        (shape->is_counted && !rdb_read_length(reader, &count))) {
        return false;
    }
    for (; count > 0; count--) {
        for (uint32_t i = 0; i < PART_COUNT_MAX; i++) {
            if (!skip_part(reader, shape->parts[i])) {
                return false;
            }
        }
    }
    return true;
}

/* ---- streams: see codec_stream.c ---- */

/** An id as two lengths. */
static bool
skip_id(struct rdb_reader *reader)
{
    return rdb_skip_length(reader) && rdb_skip_length(reader);
}

/** Nodes: id and listpack, both strings. */
static bool
skip_nodes(struct rdb_reader *reader)
{
    uint64_t count;
    if (!rdb_read_length(reader, &count)) {
        return false;
    }
    for (; count > 0; count--) {
        if (!rdb_skip_string(reader) || !rdb_skip_string(reader)) {
            return false;
        }
    }
    return true;
}

static bool
skip_pending(struct rdb_reader *reader)
{
    uint64_t count;
    if (!rdb_read_length(reader, &count)) {
        return false;
    }
    for (; count > 0; count--) {
        /* Id, time of delivery, deliveries. */
        if (!rdb_skip_bytes(reader, STREAM_ID_BYTES_SIZE + 8) || !rdb_skip_length(reader)) {
            return false;
        }
    }
    return true;
}

static bool
skip_consumer(struct rdb_reader *reader, uint8_t type)
{
    uint64_t count;
    size_t times_size = type == RDB_TYPE_STREAM_LISTPACKS_3 ? 16 : 8;
    if (!rdb_skip_string(reader) || !rdb_skip_bytes(reader, times_size) ||
        !rdb_read_length(reader, &count)) {
        return false;
    }
    for (; count > 0; count--) {
        if (!rdb_skip_bytes(reader, STREAM_ID_BYTES_SIZE)) {
            return false;
        }
    }
    return true;
}

static bool
skip_group(struct rdb_reader *reader, uint8_t type)
{
    uint64_t count;
    if (!rdb_skip_string(reader) || !skip_id(reader) ||
        (type != RDB_TYPE_STREAM_LISTPACKS && !rdb_skip_length(reader)) || !skip_pending(reader) ||
        !rdb_read_length(reader, &count)) {
        return false;
    }
    for (; count > 0; count--) {
        if (!skip_consumer(reader, type)) {
            return false;
        }
    }
    return true;
}

static bool
skip_stream(struct rdb_reader *reader, uint8_t type)
{
    uint64_t group_count;
    /* Entries and last id; first id, highest deleted id and entries added. */
    if (!skip_nodes(reader) || !rdb_skip_length(reader) || !skip_id(reader)) {
        return false;
    }
    if (type != RDB_TYPE_STREAM_LISTPACKS &&
        (!skip_id(reader) || !skip_id(reader) || !rdb_skip_length(reader))) {
        return false;
    }
    if (!rdb_read_length(reader, &group_count)) {
        return false;
    }
    for (; group_count > 0; group_count--) {
        if (!skip_group(reader, type)) {
            return false;
        }
    }
    return true;
}

bool
codec_skip(struct rdb_reader *reader, uint8_t type)
{
    if (type == RDB_TYPE_STREAM_LISTPACKS || type == RDB_TYPE_STREAM_LISTPACKS_2 ||
        type == RDB_TYPE_STREAM_LISTPACKS_3) {
        return skip_stream(reader, type) || rdb_reader_fail(reader);
    }
    if (type >= ARRAY_COUNT(shapes) || !shapes[type].is_known) {
        return rdb_reader_fail(reader);
    }
    return skip_shape(reader, &shapes[type]) || rdb_reader_fail(reader);
}
