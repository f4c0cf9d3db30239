#include "persist/rdb_file_read.h"

#include "persist/crc64.h"
#include "persist/rdb_file_internal.h"
#include "persist/rdb_skip.h"

#include <stdarg.h>
#include <stdio.h>

/*
 * rdb_file_read.c: from the signature to the checksum, one item at a time.
 *
 *     REDIS0010            or VALKEY080
 *     FA name value        AUX
 *     FE db                SELECTDB; FB keys deadlines: sizes, a hint
 *     FC ms | FD s         deadline   \
 *     F8 s  | F9 counter   last use    > of the key that comes next, in any order
 *     type key value       a key      /
 *     F5 code              functions; F6: as release candidates had them
 *     F7 id (op data).. 0  a module's own data; F4 slot keys deadlines: sizes of a slot
 *     FF crc               the end; no checksum before version 5, 0 where it was switched off
 *
 * Whatever stands in front of a key is kept until that key comes, and is handed out with it. The
 * value is not for this room: the caller moves the reader behind it. If that fails, the reader says
 * so by itself, and the next item is the damage.
 *
 * The checksum goes along behind the reader, in pieces that are still in the cache.
 *
 * A chunk is read the same way, without signature, end mark and checksum of its own: it ends where
 * the index says, and has as many keys and the checksum that the index says.
 *
 * Invariant: each item takes at least a byte, so that every walk ends.
 *
 * Rejected: a callback for each kind (the caller could not stop between two keys), and going on
 * behind an opcode that is not known (nobody knows where it ends).
 */

#define SIGNATURE_REDIS "REDIS"
#define SIGNATURE_VALKEY "VALKEY"

/** Since this version a checksum stands at the end. */
#define VERSION_CHECKSUM_MIN 5

/** So much is read before it is summed: it is still in the cache then. */
#define SUM_SIZE_MIN ((ptrdiff_t)16 << 10)

/** A module's id: nine characters of six bits, and ten bits of a version. */
#define MODULE_NAME_SIZE 9
#define MODULE_VERSION_BITS 10

enum module_opcode {
    MODULE_END = 0,
    MODULE_SIGNED = 1,
    MODULE_UNSIGNED = 2,
    MODULE_FLOAT = 3,
    MODULE_DOUBLE = 4,
    MODULE_STRING = 5,
};

/** Types of values that modules own: before and since redis-server 4.0. */
#define TYPE_MODULE 6
#define TYPE_MODULE_2 7

static const struct rdb_key no_key = {.deadline_ms = -1, .idle_s = -1, .frequency = -1};

/* ---- signature ---- */

static bool
slice_begins(struct slice slice, struct slice with)
{
    return slice.size >= with.size && memcmp(slice.data, with.data, with.size) == 0;
}

bool
rdb_file_begins(struct slice file)
{
    return slice_begins(file, SLICE(SIGNATURE_REDIS)) ||
           slice_begins(file, SLICE(SIGNATURE_VALKEY));
}

/** The digits of the signature; -1: there is none. */
static int32_t
signature_number(struct slice file)
{
    if (file.size < RDB_SIGNATURE_SIZE || !rdb_file_begins(file)) {
        return -1;
    }
    size_t at = slice_begins(file, SLICE(SIGNATURE_VALKEY)) ? sizeof(SIGNATURE_VALKEY) - 1
                                                            : sizeof(SIGNATURE_REDIS) - 1;
    int32_t number = 0;
    for (; at < RDB_SIGNATURE_SIZE; at++) {
        if (file.data[at] < '0' || file.data[at] > '9') {
            return -1;
        }
        number = number * 10 + (file.data[at] - '0');
    }
    return number;
}

uint16_t
rdb_file_version(struct slice file)
{
    int32_t number = signature_number(file);
    bool is_redis = slice_begins(file, SLICE(SIGNATURE_REDIS));
    if (number == RDB_VERSION_VALKEY ||
        (is_redis && number >= 1 && number <= RDB_VERSION_REDIS_MAX)) {
        return (uint16_t)number;
    }
    return 0;
}

/* ---- the reader ---- */

static void
reader_start(struct rdb_file_reader *reader, struct slice bytes, bool is_summing)
{
    rdb_reader_create(&reader->reader, bytes);
    reader->summed = reader->reader.at;
    reader->is_summing = is_summing;
    reader->next_key = no_key;
}

void
rdb_file_reader_create(struct rdb_file_reader *reader, struct slice file, bool is_summing)
{
    *reader = (struct rdb_file_reader){.file = file, .version = rdb_file_version(file)};
    reader_start(reader, file, is_summing);
}

void
rdb_file_reader_create_chunk(struct rdb_file_reader *reader, struct slice file,
                             const struct rdb_index *index, uint32_t chunk_index, bool is_summing)
{
    ASSERT(chunk_index < index->chunk_count);
    const struct rdb_chunk *chunk = &index->chunks[chunk_index];
    ASSERT(chunk->offset <= file.size);
    ASSERT(chunk->size <= file.size - chunk->offset);
    *reader = (struct rdb_file_reader){
        .file = file, .version = index->version, .chunk = chunk, .base_offset = chunk->offset};
    reader_start(reader, slice_of(file.data + chunk->offset, chunk->size),
                 is_summing && index->has_checksums);
}

void
rdb_file_reader_destroy(struct rdb_file_reader *reader)
{
    rdb_text_release(&reader->name);
    rdb_text_release(&reader->value);
    rdb_reader_destroy(&reader->reader);
}

uint64_t
rdb_file_offset(const struct rdb_file_reader *reader)
{
    return reader->base_offset + rdb_reader_offset(&reader->reader);
}

/** Sums what is behind the reader. */
static void
reader_sum(struct rdb_file_reader *reader)
{
    if (reader->is_summing) {
        size_t size = (size_t)(reader->reader.at - reader->summed);
        reader->crc = crc64_update(reader->crc, slice_of(reader->summed, size));
        reader->summed = reader->reader.at;
    }
}

/** Where an item begins that cannot be read, and why. Returns false. */
static PRINTF_LIKE(4, 5) bool item_damaged(struct rdb_file_reader *reader, struct rdb_item *item,
                                           uint64_t offset, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reader->why, sizeof(reader->why), format, arguments);
    va_end(arguments);
    *item = (struct rdb_item){.kind = RDB_ITEM_DAMAGED, .offset = offset, .why = reader->why};
    return false;
}

/* ---- items ---- */

static bool
read_aux(struct rdb_file_reader *reader, struct rdb_item *item)
{
    item->kind = RDB_ITEM_AUX;
    if (!rdb_read_string(&reader->reader, &reader->name) ||
        !rdb_read_string(&reader->reader, &reader->value)) {
        return false;
    }
    item->name = reader->name.bytes;
    item->value = reader->value.bytes;
    return true;
}

static bool
read_function(struct rdb_file_reader *reader, struct rdb_item *item)
{
    item->kind = RDB_ITEM_FUNCTION;
    if (!rdb_read_string(&reader->reader, &reader->value)) {
        return false;
    }
    item->value = reader->value.bytes;
    return true;
}

/** Name, engine, perhaps a description, code. */
static bool
read_old_function(struct rdb_file_reader *reader, struct rdb_item *item)
{
    uint64_t has_description;
    item->is_old_function = true;
    if (!rdb_read_string(&reader->reader, &reader->name) || !rdb_skip_string(&reader->reader) ||
        !rdb_read_length(&reader->reader, &has_description) ||
        (has_description != 0 && !rdb_skip_string(&reader->reader))) {
        return false;
    }
    item->name = reader->name.bytes;
    return read_function(reader, item);
}

static bool
skip_module_part(struct rdb_reader *reader, uint64_t opcode)
{
    switch (opcode) {
    case MODULE_SIGNED:
    case MODULE_UNSIGNED:
        return rdb_skip_length(reader);
    case MODULE_FLOAT:
        return rdb_skip_bytes(reader, sizeof(float));
    case MODULE_DOUBLE:
        return rdb_skip_bytes(reader, sizeof(double));
    case MODULE_STRING:
        return rdb_skip_string(reader);
    default:
        return rdb_reader_fail(reader);
    }
}

static bool
read_module_aux(struct rdb_file_reader *reader, struct rdb_item *item)
{
    static const char characters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    _Static_assert(sizeof(reader->name.digits) >= MODULE_NAME_SIZE, "the name lies there");
    uint64_t id;
    uint64_t opcode;
    item->kind = RDB_ITEM_MODULE_AUX;
    if (!rdb_read_length(&reader->reader, &id)) {
        return false;
    }
    for (;;) {
        if (!rdb_read_length(&reader->reader, &opcode)) {
            return false;
        }
        if (opcode == MODULE_END) {
            break;
        }
        if (!skip_module_part(&reader->reader, opcode)) {
            return false;
        }
    }
    id >>= MODULE_VERSION_BITS;
    for (uint32_t i = MODULE_NAME_SIZE; i > 0; i--) {
        reader->name.digits[i - 1] = characters[id & 63];
        id >>= 6;
    }
    item->name = slice_of(reader->name.digits, MODULE_NAME_SIZE);
    return true;
}

/** Of the key that comes next. */
static bool
read_attribute(struct rdb_file_reader *reader, uint8_t opcode)
{
    struct rdb_key *key = &reader->next_key;
    uint64_t number;
    int32_t deadline_s;
    uint8_t frequency;
    switch (opcode) {
    case RDB_OPCODE_DEADLINE_MS:
        if (!rdb_read_u64(&reader->reader, &number)) {
            return false;
        }
        /* -1 has always stood for none; other times before 1970 are over all the same. */
        key->deadline_ms = (int64_t)number >= -1 ? (int64_t)number : 0;
        return true;
    case RDB_OPCODE_DEADLINE_S:
        if (!rdb_read_bytes(&reader->reader, &deadline_s, sizeof(deadline_s))) {
            return false;
        }
        key->deadline_ms = MAX((int64_t)deadline_s, 0) * 1000;
        return true;
    case RDB_OPCODE_IDLE:
        if (!rdb_read_length(&reader->reader, &number)) {
            return false;
        }
        key->idle_s = (int64_t)MIN(number, (uint64_t)INT64_MAX);
        return true;
    default:
        ASSERT(opcode == RDB_OPCODE_FREQUENCY);
        if (!rdb_read_u8(&reader->reader, &frequency)) {
            return false;
        }
        key->frequency = frequency;
        return true;
    }
}

static bool
read_key(struct rdb_file_reader *reader, struct rdb_item *item, uint8_t type)
{
    item->kind = RDB_ITEM_KEY;
    if (!rdb_read_string(&reader->reader, &reader->name)) {
        return false;
    }
    const char *key = reader->name.bytes.data;
    item->key = reader->next_key;
    item->key.key = reader->name.bytes;
    item->key.type = type;
    item->is_key_mapped = key >= reader->file.data && key < reader->file.data + reader->file.size;
    if (reader->has_next_key) {
        item->offset = reader->next_key_offset;
        reader->has_next_key = false;
        reader->next_key = no_key;
    }
    reader->key_count++;
    return true;
}

static bool
type_is_known(uint8_t type)
{
    return type <= RDB_TYPE_ZSET_2 ||
           (type >= RDB_TYPE_HASH_ZIPMAP && type <= RDB_TYPE_HASH_LISTPACK_EX &&
            type != RDB_TYPE_HASH_2 + 1);
}

/* ---- ends ---- */

static bool
read_end(struct rdb_file_reader *reader, struct rdb_item *item)
{
    uint64_t crc = 0;
    reader_sum(reader);
    if (reader->chunk != NULL) {
        return item_damaged(reader, item, item->offset, "an end mark inside of a chunk");
    }
    if (reader->version >= VERSION_CHECKSUM_MIN && !rdb_read_u64(&reader->reader, &crc)) {
        return item_damaged(reader, item, item->offset, "the file ends within its checksum");
    }
    if (reader->is_summing && crc != 0 && crc != reader->crc) {
        return item_damaged(reader, item, item->offset,
                            "the file's checksum is wrong (%016llx, its bytes make %016llx)",
                            (unsigned long long)crc, (unsigned long long)reader->crc);
    }
    item->kind = RDB_ITEM_END;
    reader->is_verified = reader->is_summing && crc != 0;
    reader->end_offset = rdb_file_offset(reader);
    return false;
}

static bool
read_chunk_end(struct rdb_file_reader *reader, struct rdb_item *item)
{
    const struct rdb_chunk *chunk = reader->chunk;
    reader_sum(reader);
    if (reader->is_summing && reader->crc != chunk->crc) {
        return item_damaged(reader, item, chunk->offset,
                            "a chunk's checksum is wrong (%016llx, its bytes make %016llx)",
                            (unsigned long long)chunk->crc, (unsigned long long)reader->crc);
    }
    if (reader->key_count != chunk->key_count) {
        return item_damaged(
            reader, item, chunk->offset, "a chunk has %llu keys, by the index it had %llu",
            (unsigned long long)reader->key_count, (unsigned long long)chunk->key_count);
    }
    item->kind = RDB_ITEM_END;
    reader->is_verified = reader->is_summing;
    reader->end_offset = rdb_file_offset(reader);
    return false;
}

static bool
read_signature(struct rdb_file_reader *reader, struct rdb_item *item)
{
    reader->is_started = true;
    if (reader->chunk != NULL) {
        if (reader->reader.at == reader->reader.end || *reader->reader.at != RDB_OPCODE_SELECT) {
            return item_damaged(reader, item, reader->chunk->offset,
                                "a chunk does not begin with a database's number");
        }
        return true;
    }
    if (reader->version == 0) {
        int32_t number = signature_number(reader->file);
        return number < 0
                   ? item_damaged(reader, item, 0, "no signature of an RDB file")
                   : item_damaged(reader, item, 0, "RDB version %d is not known here", (int)number);
    }
    return rdb_skip_bytes(&reader->reader, RDB_SIGNATURE_SIZE);
}

/* ---- all ---- */

/** Of all opcodes but the end and what belongs to a key. False: the bytes are damaged. */
static bool
read_item(struct rdb_file_reader *reader, struct rdb_item *item, uint8_t opcode)
{
    struct rdb_reader *bytes = &reader->reader;
    switch (opcode) {
    case RDB_OPCODE_AUX:
        return read_aux(reader, item);
    case RDB_OPCODE_SELECT:
        item->kind = RDB_ITEM_SELECT;
        return rdb_read_length(bytes, &item->db);
    case RDB_OPCODE_RESIZE:
        item->kind = RDB_ITEM_RESIZE;
        return rdb_read_length(bytes, &item->key_count) &&
               rdb_read_length(bytes, &item->deadline_count);
    case RDB_OPCODE_SLOT_INFO:
        item->kind = RDB_ITEM_SLOT_INFO;
        return rdb_read_length(bytes, &item->slot) && rdb_read_length(bytes, &item->key_count) &&
               rdb_read_length(bytes, &item->deadline_count);
    case RDB_OPCODE_FUNCTION:
        return read_function(reader, item);
    case RDB_OPCODE_FUNCTION_OLD:
        return read_old_function(reader, item);
    case RDB_OPCODE_MODULE_AUX:
        return read_module_aux(reader, item);
    default:
        return read_key(reader, item, opcode);
    }
}

static bool
opcode_is_attribute(uint8_t opcode)
{
    return opcode == RDB_OPCODE_DEADLINE_MS || opcode == RDB_OPCODE_DEADLINE_S ||
           opcode == RDB_OPCODE_IDLE || opcode == RDB_OPCODE_FREQUENCY;
}

/** False: kind is RDB_ITEM_END or RDB_ITEM_DAMAGED. */
static bool
item_next(struct rdb_file_reader *reader, struct rdb_item *item)
{
    for (;;) {
        uint8_t opcode;
        item->offset = rdb_file_offset(reader);
        if (reader->chunk != NULL && reader->reader.at == reader->reader.end) {
            return read_chunk_end(reader, item);
        }
        if (!rdb_read_u8(&reader->reader, &opcode)) {
            return item_damaged(reader, item, item->offset, "the file ends before its end mark");
        }
        if (opcode == RDB_OPCODE_END) {
            return read_end(reader, item);
        }
        if (opcode_is_attribute(opcode)) {
            if (!reader->has_next_key) {
                reader->has_next_key = true;
                reader->next_key_offset = item->offset;
            }
            if (!read_attribute(reader, opcode)) {
                return item_damaged(reader, item, item->offset,
                                    "the file ends within a key's deadline or time of use");
            }
            continue;
        }
        if (opcode == TYPE_MODULE || opcode == TYPE_MODULE_2) {
            return item_damaged(reader, item, item->offset,
                                "a value of a module, of which there are none here");
        }
        if (opcode < RDB_OPCODE_SLOT_INFO && !type_is_known(opcode)) {
            return item_damaged(reader, item, item->offset, "type or opcode %u is not known here",
                                (unsigned)opcode);
        }
        return read_item(reader, item, opcode) ||
               item_damaged(reader, item, item->offset, "a record is damaged or cut (opcode %u)",
                            (unsigned)opcode);
    }
}

bool
rdb_file_next(struct rdb_file_reader *reader, struct rdb_item *item)
{
    if (reader->is_over) {
        *item = reader->last;
        return false;
    }
    *item = (struct rdb_item){.key = no_key};
    bool is_there;
    if (reader->reader.error != 0) {
        /* Of the value that the caller was to read. */
        is_there = item_damaged(reader, item, reader->last.offset,
                                "a key's value is damaged or cut (type %u)",
                                (unsigned)reader->last.key.type);
    } else if (!reader->is_started && !read_signature(reader, item)) {
        is_there = false;
    } else {
        if (reader->reader.at - reader->summed >= SUM_SIZE_MIN) {
            reader_sum(reader);
        }
        is_there = item_next(reader, item);
    }
    reader->is_over = !is_there;
    reader->last = *item;
    return is_there;
}
