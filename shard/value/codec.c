#include "shard/value/codec.h"

#include "core/config.h"
#include "core/number.h"
#include "persist/crc64.h"
#include "shard/entry.h"
#include "shard/value/codec_internal.h"
#include "shard/value/raw.h"

/*
 * codec.c: which form is read by whom; strings; and DUMP's payload:
 *
 *     [type] [value] [u16 version] [u64 CRC-64 of all before]     little-endian
 *
 * codec_write.c writes all types; codec_list.c, codec_set.c, codec_hash.c, codec_zset.c and
 * codec_stream.c read one each; codec_listpack.c brings in what small values of any age are made
 * of.
 *
 * Whoever reads validates everything, always: a payload's checksum proves nothing about who made
 * it. What is read becomes what the limits of this server's configuration say, as redis-server
 * converts on loading: a small form above its limit grows, a large one below it shrinks where it is
 * a sorted set. A collection without elements does not exist and is damage, but for streams.
 *
 * Rejected: reading into a tree of parsed elements first and building the value from that (twice
 * the memory, and twice the work for what is most of all data: listpacks that need a check only).
 */

/** Version and checksum. */
#define FOOTER_SIZE 10

/** Longest string with the encoding embstr. */
#define EMBSTR_SIZE_MAX 44
/** No integer is longer. */
#define INTEGER_SIZE_MAX 20

_Static_assert(CODEC_TEXT_SIZE >= ENTRY_INLINE_SIZE_MAX, "longer strings are raws");

struct codec_options
codec_options_of(const struct config *config, uint64_t seed, struct memory *memory,
                 char text[CODEC_TEXT_SIZE])
{
    struct codec_options options = {
        .hash = {.listpack_count = (uint64_t)config->hash_max_listpack_entries,
                 .listpack_text_size = config->hash_max_listpack_value,
                 .seed = seed},
        .set = {.intset_count = (uint64_t)config->set_max_intset_entries,
                .listpack_count = (uint64_t)config->set_max_listpack_entries,
                .listpack_member_size = config->set_max_listpack_value,
                .seed = seed},
        .zset = {.listpack_count = (uint64_t)config->zset_max_listpack_entries,
                 .listpack_member_size = config->zset_max_listpack_value,
                 .seed = seed},
        .list = quicklist_limits_of(config->list_max_listpack_size),
        .memory = memory,
        .text = text,
        .version = RDB_VERSION,
    };
    options.list.compress_depth = (uint32_t)config->list_compress_depth;
    return options;
}

/* ---- strings ---- */

static void
string_value(struct slice bytes, const struct codec_options *options, struct value *value)
{
    int64_t integer;
    if (bytes.size <= INTEGER_SIZE_MAX && number_parse_i64(bytes, &integer)) {
        *value = value_integer(integer);
        return;
    }
    enum value_encoding encoding = bytes.size <= EMBSTR_SIZE_MAX ? ENCODING_EMBSTR : ENCODING_RAW;
    struct raw *raw = NULL;
    char *copy = options->text;
    if (bytes.size > CODEC_TEXT_SIZE) {
        raw = raw_new(options->memory, bytes.size, bytes.size);
        memory_disown(options->memory, raw_block_size(raw));
        copy = raw->data;
    }
    if (bytes.size > 0) {
        memcpy(copy, bytes.data, bytes.size);
    }
    *value = value_string(slice_of(copy, bytes.size), encoding);
    value->raw = raw;
}

static bool
read_string(struct rdb_reader *reader, const struct codec_options *options, struct value *value)
{
    struct rdb_text text = {0};
    bool is_read = rdb_read_string(reader, &text);
    if (is_read) {
        string_value(text.bytes, options, value);
    }
    rdb_text_release(&text);
    return is_read;
}

/* ---- all types ---- */

/** Numbers mean different things to Redis and Valkey from 22 on. */
static bool
type_is_of_version(uint8_t type, uint16_t version)
{
    switch (type) {
    case RDB_TYPE_SET_LISTPACK:
    case RDB_TYPE_STREAM_LISTPACKS_3:
        return version > RDB_VERSION;
    case RDB_TYPE_HASH_2:
        return version == RDB_VERSION_VALKEY;
    case RDB_TYPE_HASH_METADATA:
    case RDB_TYPE_HASH_LISTPACK_EX:
        return version == RDB_VERSION_REDIS_MAX;
    default:
        return true;
    }
}

static bool
read_value(struct rdb_reader *reader, uint8_t type, const struct codec_options *options,
           struct value *value)
{
    switch (type) {
    case RDB_TYPE_STRING:
        return read_string(reader, options, value);
    case RDB_TYPE_LIST:
    case RDB_TYPE_LIST_ZIPLIST:
    case RDB_TYPE_LIST_QUICKLIST:
    case RDB_TYPE_LIST_QUICKLIST_2:
        return codec_read_list(reader, type, options, value);
    case RDB_TYPE_SET:
    case RDB_TYPE_SET_INTSET:
    case RDB_TYPE_SET_LISTPACK:
        return codec_read_set(reader, type, options, value);
    case RDB_TYPE_ZSET:
    case RDB_TYPE_ZSET_2:
    case RDB_TYPE_ZSET_ZIPLIST:
    case RDB_TYPE_ZSET_LISTPACK:
        return codec_read_zset(reader, type, options, value);
    case RDB_TYPE_HASH:
    case RDB_TYPE_HASH_ZIPMAP:
    case RDB_TYPE_HASH_ZIPLIST:
    case RDB_TYPE_HASH_LISTPACK:
    case RDB_TYPE_HASH_2:
    case RDB_TYPE_HASH_METADATA:
    case RDB_TYPE_HASH_LISTPACK_EX:
        return codec_read_hash(reader, type, options, value);
    case RDB_TYPE_STREAM_LISTPACKS:
    case RDB_TYPE_STREAM_LISTPACKS_2:
    case RDB_TYPE_STREAM_LISTPACKS_3:
        return codec_read_stream(reader, type, options, value);
    default:
        return false;
    }
}

bool
codec_read(struct rdb_reader *reader, uint8_t type, const struct codec_options *options,
           struct value *value)
{
    if (type_is_of_version(type, options->version) && read_value(reader, type, options, value)) {
        return true;
    }
    return rdb_reader_fail(reader);
}

/* ---- payloads ---- */

void
codec_write_payload(struct rdb_writer *writer, const struct value *value)
{
    ASSERT(writer->size == 0);
    enum rdb_type type = codec_type(value);
    rdb_write_u8(writer, (uint8_t)type);
    codec_write(writer, value);
    rdb_write_u16(writer, type == RDB_TYPE_HASH_2 ? RDB_VERSION_VALKEY : RDB_VERSION);
    rdb_write_u64(writer, crc64_update(0, rdb_writer_bytes(writer)));
}

static bool
footer_is_good(struct slice payload, uint16_t *version)
{
    uint64_t crc;
    if (payload.size < FOOTER_SIZE) {
        return false;
    }
    memcpy(version, payload.data + payload.size - FOOTER_SIZE, sizeof(*version));
    memcpy(&crc, payload.data + payload.size - sizeof(crc), sizeof(crc));
    return (*version <= RDB_VERSION_REDIS_MAX || *version == RDB_VERSION_VALKEY) &&
           crc64_update(0, slice_of(payload.data, payload.size - sizeof(crc))) == crc;
}

static void
value_drop(const struct value *value, struct memory *memory)
{
    if (value->is_object) {
        value_object_delete(value);
    } else if (value->raw != NULL) {
        memory_adopt(memory, raw_block_size(value->raw));
        raw_delete(memory, value->raw);
    }
}

enum codec_payload
codec_read_payload(struct slice payload, const struct codec_options *options, struct value *value)
{
    struct codec_options own_options = *options;
    if (!footer_is_good(payload, &own_options.version)) {
        return CODEC_PAYLOAD_UNKNOWN;
    }
    struct rdb_reader reader;
    uint8_t type;
    rdb_reader_create(&reader, slice_of(payload.data, payload.size - FOOTER_SIZE));
    bool is_read = rdb_read_u8(&reader, &type) && codec_read(&reader, type, &own_options, value);
    if (is_read && !rdb_reader_is_at_end(&reader)) {
        value_drop(value, options->memory);
        is_read = false;
    }
    rdb_reader_destroy(&reader);
    return is_read ? CODEC_PAYLOAD_GOOD : CODEC_PAYLOAD_DAMAGED;
}

bool
codec_payload_is_common(struct slice payload)
{
    uint16_t version;
    memcpy(&version, payload.data + payload.size - FOOTER_SIZE, sizeof(version));
    return version <= RDB_VERSION;
}
