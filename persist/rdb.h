/*
 * rdb.h: the bytes that RDB files and DUMP payloads are made of: lengths, strings, doubles, times.
 * Knows no value: what a type's number means is shard/value/codec.h's affair.
 *
 * One thread at a time for each writer and reader; they hold nothing but their own memory.
 */
#pragma once

#include "core/slice.h"

/** What stands in front of a value. https://rdb.fnordig.de/file_format.html and the two servers. */
enum rdb_type {
    RDB_TYPE_STRING = 0,
    RDB_TYPE_LIST = 1,
    RDB_TYPE_SET = 2,
    RDB_TYPE_ZSET = 3, /* scores as text */
    RDB_TYPE_HASH = 4,
    RDB_TYPE_ZSET_2 = 5, /* scores as doubles */
    RDB_TYPE_HASH_ZIPMAP = 9,
    RDB_TYPE_LIST_ZIPLIST = 10,
    RDB_TYPE_SET_INTSET = 11,
    RDB_TYPE_ZSET_ZIPLIST = 12,
    RDB_TYPE_HASH_ZIPLIST = 13,
    RDB_TYPE_LIST_QUICKLIST = 14, /* of ziplists */
    RDB_TYPE_STREAM_LISTPACKS = 15,
    RDB_TYPE_HASH_LISTPACK = 16,
    RDB_TYPE_ZSET_LISTPACK = 17,
    RDB_TYPE_LIST_QUICKLIST_2 = 18, /* of listpacks; the newest that redis-server 7.0 reads is 19 */
    RDB_TYPE_STREAM_LISTPACKS_2 = 19,
    RDB_TYPE_SET_LISTPACK = 20, /* redis-server 7.2, version 11 */
    RDB_TYPE_STREAM_LISTPACKS_3 = 21,
    RDB_TYPE_HASH_2 = 22,           /* Valkey 9, version 80: fields with deadlines */
    RDB_TYPE_HASH_METADATA = 24,    /* redis-server 7.4, version 12: the same, in its way */
    RDB_TYPE_HASH_LISTPACK_EX = 25, /* and as a listpack */
};

/** What we write, unless a value needs Valkey's. */
#define RDB_VERSION 10
/** Up to there versions are Redis's. */
#define RDB_VERSION_REDIS_MAX 12
#define RDB_VERSION_VALKEY 80

/* ---- writing ---- */

/** Bytes that grow. */
struct rdb_writer {
    char *bytes;
    size_t size;
    size_t capacity;
    /** LZF for strings above 20 bytes where it makes them shorter. */
    bool is_compressing;
};

void rdb_writer_create(struct rdb_writer *writer, bool is_compressing);
void rdb_writer_destroy(struct rdb_writer *writer);

static inline struct slice
rdb_writer_bytes(const struct rdb_writer *writer)
{
    return slice_of(writer->bytes, writer->size);
}

/** The bytes have been taken elsewhere; the memory is used again. */
static inline void
rdb_writer_clear(struct rdb_writer *writer)
{
    writer->size = 0;
}

void rdb_write_bytes(struct rdb_writer *writer, struct slice bytes);
void rdb_write_u8(struct rdb_writer *writer, uint8_t byte);
void rdb_write_u16(struct rdb_writer *writer, uint16_t number);
/** Eight bytes, little-endian: checksums and times in milliseconds. */
void rdb_write_u64(struct rdb_writer *writer, uint64_t number);
void rdb_write_double(struct rdb_writer *writer, double number);
/** A count or size, as short as it can be. */
void rdb_write_length(struct rdb_writer *writer, uint64_t length);
/** A string: as an integer of 8, 16 or 32 bits where it is one, compressed, or as it is. */
void rdb_write_string(struct rdb_writer *writer, struct slice text);
/** A string that is an integer's digits. */
void rdb_write_integer(struct rdb_writer *writer, int64_t integer);
/** A string whose bytes, `size` of them, somebody has compressed already. */
void rdb_write_compressed(struct rdb_writer *writer, struct slice compressed, uint64_t size);

/* ---- reading ---- */

/** Fill a buffer: returns the bytes, 0 where there are no more, or -errno. */
typedef int64_t rdb_fill_fn(void *context, void *buffer, size_t size);

/**
 * Reads what nobody vouches for. Every function answers false at the first byte that is missing or
 * wrong, and from then on; `error` tells why. No length that stands in the bytes is believed before
 * the bytes are there: memory grows with what has been read.
 */
struct rdb_reader {
    const unsigned char *at;
    const unsigned char *end;
    /** 0; -EBADMSG: the bytes are damaged or end too early; else what `fill` said. */
    int error;
    /* ---- of a source that is read piece by piece; else NULL ---- */
    rdb_fill_fn *fill;
    void *context;
    unsigned char *buffer;
    /** All bytes up to `end`. */
    uint64_t passed_size;
};

/** Over bytes that outlive the reader. */
void rdb_reader_create(struct rdb_reader *reader, struct slice bytes);
/** Over all that `fill` gives. */
void rdb_reader_create_source(struct rdb_reader *reader, rdb_fill_fn *fill, void *context);
void rdb_reader_destroy(struct rdb_reader *reader);

/** Says that the bytes are damaged. Returns false. */
bool rdb_reader_fail(struct rdb_reader *reader);

/** Are all bytes read? */
bool rdb_reader_is_at_end(struct rdb_reader *reader);

/** Bytes read so far. */
uint64_t rdb_reader_offset(const struct rdb_reader *reader);

/**
 * A string that was read. `bytes` point into the reader's bytes, into `digits` or into `block`, and
 * are good until this text is read into again. All zero at first.
 */
struct rdb_text {
    struct slice bytes;
    char digits[24];
    char *block;
    size_t capacity;
};

void rdb_text_release(struct rdb_text *text);

MUST_CHECK bool rdb_read_bytes(struct rdb_reader *reader, void *out, size_t size);
MUST_CHECK bool rdb_read_u8(struct rdb_reader *reader, uint8_t *byte);
MUST_CHECK bool rdb_read_u64(struct rdb_reader *reader, uint64_t *number);
MUST_CHECK bool rdb_read_double(struct rdb_reader *reader, double *number);
/** A double as text, as old sorted sets have their scores. May be NaN. */
MUST_CHECK bool rdb_read_double_text(struct rdb_reader *reader, double *number);
MUST_CHECK bool rdb_read_length(struct rdb_reader *reader, uint64_t *length);
MUST_CHECK bool rdb_read_string(struct rdb_reader *reader, struct rdb_text *text);
