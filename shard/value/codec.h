/*
 * codec.h: values as RDB files and DUMP payloads have them, and back.
 *
 * Written is what redis-server 7.0 reads (RDB version 10); only a hash whose fields have deadlines
 * is in Valkey's form (version 80). Read is every form of versions 1 to 12 and of Valkey's 80 that
 * can exist here. Any thread that holds the value (see object.h).
 */
#pragma once

#include "persist/rdb.h"
#include "shard/value/hash.h"
#include "shard/value/image.h"
#include "shard/value/list_value.h"
#include "shard/value/set.h"
#include "shard/value/stream.h"
#include "shard/value/zset.h"

struct config;

/* ---- writing ---- */

/** What stands in front of the value (in files, in front of its key). */
enum rdb_type codec_type(const struct value *value);

/** The value, without its type. */
void codec_write(struct rdb_writer *writer, const struct value *value);

/** The same in steps, for a value that would take too long at once; it must not change meanwhile,
 * unless it has an image. */
struct codec_writer {
    struct rdb_writer *writer;
    struct value value;
    bool is_started;
    struct image *image; /* the caller's to delete; NULL: none */
    union {
        struct set_walk set;
        struct hash_walk hash;
        struct zset_walk zset;
        struct quicklist_node *node;
        struct codec_stream_walk {
            uint32_t phase; /* codec_stream.c's */
            uint32_t group_index;
            uint32_t consumer_index;
            struct stream_place place;
        } stream;
    };
    struct quicklist_scratch scratch;
    struct rdb_writer tail; /* of a stream with an image: what stands behind the nodes */
    size_t tail_offset;     /* so much of it is written */
};

void codec_writer_create(struct codec_writer *state, struct rdb_writer *writer,
                         const struct value *value);
/** At any time. What was written stays. */
void codec_writer_destroy(struct codec_writer *state);
/** Can a value of this type and encoding have an image? */
bool codec_has_image(const struct value *value);
/**
 * The value may change from now on, be freed, and become another one's: what is not written yet is
 * kept by an image. The caller fills in its room, context and memory. Only where there are images.
 */
struct image *codec_writer_image(struct codec_writer *state);
/** Write some `size_max` bytes more: at least one element, and no element is cut. True: that was
 * all. */
bool codec_write_step(struct codec_writer *state, size_t size_max);

/** What DUMP answers: type, value, version and checksum. */
void codec_write_payload(struct rdb_writer *writer, const struct value *value);

/* ---- reading ---- */

/** A buffer for short strings that are read. */
#define CODEC_TEXT_SIZE 1024

struct codec_options {
    struct hash_limits hash;
    struct set_limits set;
    struct zset_limits zset;
    struct quicklist_limits list;
    /** Long strings come from here, and are in nobody's account (memory_disown). */
    struct memory *memory;
    /** CODEC_TEXT_SIZE bytes, where a short string lies that was read. */
    char *text;
    /** Of the file; payloads tell theirs. */
    uint16_t version;
};

/** Of a server with this configuration and hash seed. */
struct codec_options codec_options_of(const struct config *config, uint64_t seed,
                                      struct memory *memory, char text[CODEC_TEXT_SIZE]);

/**
 * Read a value of a type. False: it is damaged, or of a type that does not exist here, or empty;
 * nothing is left behind. Else the value is the caller's, in the encoding that the limits say.
 */
MUST_CHECK bool codec_read(struct rdb_reader *reader, uint8_t type,
                           const struct codec_options *options, struct value *value);

/** Move behind a value of a type without building it. True wherever codec_read() would have been,
 * and the reader stands at the same place; but the value may still be damaged. False: the bytes end
 * too early, or the type does not exist here. */
MUST_CHECK bool codec_skip(struct rdb_reader *reader, uint8_t type);

enum codec_payload {
    CODEC_PAYLOAD_GOOD,
    CODEC_PAYLOAD_UNKNOWN, /* the version or the checksum are wrong */
    CODEC_PAYLOAD_DAMAGED,
};

/** Read what DUMP gave, here or elsewhere. */
enum codec_payload codec_read_payload(struct slice payload, const struct codec_options *options,
                                      struct value *value);

/** Does redis-server 7.0 read this payload, which is a good one? */
bool codec_payload_is_common(struct slice payload);
