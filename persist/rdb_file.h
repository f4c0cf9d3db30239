/*
 * rdb_file.h: writing whole RDB files: what stands around the values, in which order, and the index
 * by which all cores load one file side by side.
 *
 *     head                    signature and AUX fields, RDB_HEAD_SIZE bytes
 *     libraries of functions  if there are any
 *     chunk, chunk, ...       whole records, each chunk begins with SELECTDB; anybody's, any order
 *     tail                    AUX index, AUX locator (of a fixed size), EOF, CRC-64
 *
 * Whoever does not know the index passes it by as an unknown AUX field. Pure functions over the
 * caller's writer: any thread.
 */
#pragma once

#include "persist/rdb.h"

/** What stands where a type could. */
enum rdb_opcode {
    RDB_OPCODE_SLOT_INFO = 244, /* Valkey 8, redis-server 7.4: sizes of a slot */
    RDB_OPCODE_FUNCTION = 245,
    RDB_OPCODE_FUNCTION_OLD = 246, /* of release candidates of redis-server 7.0 */
    RDB_OPCODE_MODULE_AUX = 247,
    RDB_OPCODE_IDLE = 248,
    RDB_OPCODE_FREQUENCY = 249,
    RDB_OPCODE_AUX = 250,
    RDB_OPCODE_RESIZE = 251,
    RDB_OPCODE_DEADLINE_MS = 252,
    RDB_OPCODE_DEADLINE_S = 253,
    RDB_OPCODE_SELECT = 254,
    RDB_OPCODE_END = 255,
};

/** Bytes of every head, whatever it says: the first chunk may be written before the head is. */
#define RDB_HEAD_SIZE 192
/** Longest version text in a head. */
#define RDB_HEAD_VERSION_SIZE_MAX 40

/** A rest that is to be padded has at least so many bytes, or none. */
#define RDB_PADDING_SIZE_MIN 6

/** The size of the EOF byte and the checksum. */
#define RDB_END_SIZE 9

struct rdb_head {
    /** RDB_VERSION; RDB_VERSION_VALKEY where the file holds a type of Valkey's. */
    uint16_t version;
    /** What `redis-ver` says, at most RDB_HEAD_VERSION_SIZE_MAX bytes. */
    const char *server_version;
    int64_t now_s;
    uint64_t used_memory;
    /** A base of an AOF. */
    bool is_aof_base;
};

/** Signature, AUX redis-ver, redis-bits, ctime, used-mem, aof-base: RDB_HEAD_SIZE bytes. */
void rdb_write_head(struct rdb_writer *writer, const struct rdb_head *head);

/** A field that readers may ignore. Names beginning with '%' have a meaning of their own. */
void rdb_write_aux(struct rdb_writer *writer, struct slice name, struct slice value);
void rdb_write_select(struct rdb_writer *writer, uint32_t db);
/** How many keys this database has, and how many of them have a deadline: a hint. */
void rdb_write_resize(struct rdb_writer *writer, uint64_t key_count, uint64_t deadline_count);
/** A library of functions, as FUNCTION LOAD takes it. */
void rdb_write_function(struct rdb_writer *writer, struct slice code);

/** What stands in front of a value. */
struct rdb_key {
    struct slice key;
    /** Unix time; -1: none. */
    int64_t deadline_ms;
    /** Since its last use; -1: not kept. */
    int64_t idle_s;
    /** LFU's counter, up to 255; -1: not kept. */
    int32_t frequency;
    /** codec_type() of the value. */
    uint8_t type;
};

/** The value follows (codec_write). */
void rdb_write_key(struct rdb_writer *writer, const struct rdb_key *key);

/**
 * Padding, field by field, until *left_size is 0; at first it is RDB_PADDING_SIZE_MIN or more. Each
 * call writes the head of a field and takes it and the field's zeros from *left_size. The zeros, as
 * many as it returns, have to follow: written, or left to the file as a hole. A checksum goes over
 * n zeros with crc64_combine(crc, 0, n).
 */
uint64_t rdb_write_padding(struct rdb_writer *writer, uint64_t *left_size);

/** A part of a file: whole records, SELECTDB first. */
struct rdb_chunk {
    uint64_t offset;
    uint64_t size;
    /** CRC-64 of its bytes; 0 where the file has no checksum. */
    uint64_t crc;
    uint64_t key_count;
    /** Who wrote it. */
    uint16_t shard;
};

/** Orders chunks by their offset: for qsort(). */
int rdb_chunk_compare(const void *a, const void *b);

/**
 * Writes all that stands behind the last chunk, into an empty writer. `chunks` are sorted and lie
 * side by side, from the end of `head` (all bytes in front of the first chunk) to `offset`, where
 * the tail begins. Without a checksum the file says 0, and chunks are not checked either. Takes
 * about a microsecond for each chunk: a file of many gigabytes' is better written by a file thread.
 */
void rdb_write_tail(struct rdb_writer *writer, const struct rdb_chunk *chunks, uint32_t chunk_count,
                    struct slice head, uint64_t offset, bool has_checksum);
