/*
 * codec_internal.h: what the files of the codec share.
 */
#pragma once

#include "shard/value/codec.h"

/** No text of a collection is longer: lists could not hold it. */
#define CODEC_MEMBER_SIZE_MAX (LISTPACK_SIZE_MAX - 64)

/** Forms of a list's nodes: a single element, a listpack. */
#define CODEC_NODE_PLAIN 1
#define CODEC_NODE_PACKED 2

/** A string that is to be an element; false where it is too long for one. */
static inline bool
codec_read_member(struct rdb_reader *reader, struct rdb_text *text)
{
    return rdb_read_string(reader, text) &&
           (text->bytes.size <= CODEC_MEMBER_SIZE_MAX || rdb_reader_fail(reader));
}

/* ---- codec_listpack.c ---- */

/** The listpack that a string holds, each element in the one shape that ours have; NULL: damaged.
 * The caller's. */
struct listpack *codec_read_listpack(struct rdb_reader *reader);
/** The same of a ziplist, and of a zipmap, where *text_size_max is the longest text. */
struct listpack *codec_read_ziplist(struct rdb_reader *reader);
struct listpack *codec_read_zipmap(struct rdb_reader *reader, size_t *text_size_max);
/** The listpack that these bytes are, as codec_read_listpack(). */
struct listpack *codec_listpack_of(struct slice bytes);
/** Is each element different, or (`is_paired`) each first one of two? Pairs are whole then. */
bool codec_listpack_is_unique(const struct listpack *listpack, bool is_paired, uint64_t seed);

/* ---- a file for each type ---- */

bool codec_read_list(struct rdb_reader *reader, uint8_t type, const struct codec_options *options,
                     struct value *value);
bool codec_read_set(struct rdb_reader *reader, uint8_t type, const struct codec_options *options,
                    struct value *value);
bool codec_read_zset(struct rdb_reader *reader, uint8_t type, const struct codec_options *options,
                     struct value *value);
bool codec_read_hash(struct rdb_reader *reader, uint8_t type, const struct codec_options *options,
                     struct value *value);
bool codec_read_stream(struct rdb_reader *reader, uint8_t type, const struct codec_options *options,
                       struct value *value);

/** The counts in front, unless they are written. Not of what is written in one piece. */
void codec_write_begin(struct codec_writer *state);
/** codec_write_step() of a value that has an image. */
bool codec_image_step(struct codec_writer *state, size_t size_max);

/** What a list's node holds. */
void codec_write_list_node(struct codec_writer *state, const struct quicklist_node *node);

/** What a stream is written with: counts in front, and then piece by piece; false: none is left. */
void codec_write_stream_start(struct codec_writer *state);
bool codec_write_stream_next(struct codec_writer *state);
/** The same with an image. What stands behind the nodes is written aside at once: groups, and what
 * is pending in them, change too often to be kept piece by piece. That takes some 100 ns for each
 * pending entry. */
void codec_image_stream_begin(struct codec_writer *state);
bool codec_image_stream_next(struct codec_writer *state);
