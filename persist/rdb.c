#include "persist/rdb.h"

#include "core/heap.h"
#include "core/number.h"

#include <errno.h>
#include <lzf.h>
#include <math.h>

/*
 * rdb.c: lengths, strings and numbers as files have them.
 *
 *     00xxxxxx                     a length below 64
 *     01xxxxxx y                   14 bits, the high ones first
 *     10000000 + 4, 10000001 + 8   32 and 64 bits, big-endian
 *     11000000 + 1, 2, 4           a string that is an integer, little-endian  (C0, C1, C2)
 *     11000011 length length data  a string that LZF has compressed: its size there and in truth
 *
 * A string is a length and its bytes, or one of the special forms. All other numbers have a fixed
 * size and are little-endian.
 *
 * Reading trusts nothing. A string of a slice is not copied, so its length is checked against what
 * is left. A string from a source grows in steps, each of which has to arrive before the next one
 * is allocated. What LZF would unpack is added up from the compressed bytes (a walk over their
 * marks) before the memory for it is taken: they can make 88 times their size, but never more than
 * they say.
 *
 * Rejected: an error code for each call's caller to pass on (one place in the reader keeps it, and
 * false travels), and a reader that copies all strings (most are listpacks that are copied into
 * their place once more).
 */

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "numbers are written as they lie");

/** First bytes of lengths, and of special strings. */
#define LENGTH_14 0x40
#define LENGTH_32 0x80
#define LENGTH_64 0x81
#define SPECIAL 0xC0
#define SPECIAL_I8 0xC0
#define SPECIAL_I16 0xC1
#define SPECIAL_I32 0xC2
#define SPECIAL_LZF 0xC3

/** Longest integer of 32 bits as text. */
#define INTEGER_TEXT_SIZE_MAX 11
/** Shorter strings are not worth compressing, and a result has to be so much shorter. */
#define COMPRESS_SIZE_MIN 21
#define COMPRESS_GAIN_MIN 4
/** LZF counts in 32 bits. */
#define COMPRESS_SIZE_MAX UINT32_MAX
/** Mark and two lengths in front of compressed bytes. */
#define COMPRESSED_HEAD_SIZE_MAX 19

#define WRITER_CAPACITY_MIN 256

/** Text of doubles: lengths that are none. */
#define DOUBLE_TEXT_NAN 253
#define DOUBLE_TEXT_INFINITE 254
#define DOUBLE_TEXT_MINUS_INFINITE 255

/** A source is asked for so much at once: a read's usual cost is small beside it. */
#define READER_BUFFER_SIZE ((size_t)64 << 10)

/* ---- writing ---- */

void
rdb_writer_create(struct rdb_writer *writer, bool is_compressing)
{
    *writer = (struct rdb_writer){.is_compressing = is_compressing};
}

void
rdb_writer_destroy(struct rdb_writer *writer)
{
    heap_free(writer->bytes);
    *writer = (struct rdb_writer){0};
}

/** Room for `size` more bytes; returns where they begin. */
static char *
writer_reserve(struct rdb_writer *writer, size_t size)
{
    if (UNLIKELY(writer->capacity - writer->size < size)) {
        size_t capacity = MAX(writer->capacity * 2, (size_t)WRITER_CAPACITY_MIN);
        writer->capacity = MAX(capacity, writer->size + size);
        writer->bytes = heap_realloc(writer->bytes, writer->capacity);
    }
    return writer->bytes + writer->size;
}

void
rdb_write_bytes(struct rdb_writer *writer, struct slice bytes)
{
    if (bytes.size > 0) {
        memcpy(writer_reserve(writer, bytes.size), bytes.data, bytes.size);
        writer->size += bytes.size;
    }
}

void
rdb_write_u8(struct rdb_writer *writer, uint8_t byte)
{
    *writer_reserve(writer, 1) = (char)byte;
    writer->size++;
}

void
rdb_write_u16(struct rdb_writer *writer, uint16_t number)
{
    rdb_write_bytes(writer, slice_of(&number, sizeof(number)));
}

void
rdb_write_u64(struct rdb_writer *writer, uint64_t number)
{
    rdb_write_bytes(writer, slice_of(&number, sizeof(number)));
}

void
rdb_write_double(struct rdb_writer *writer, double number)
{
    rdb_write_bytes(writer, slice_of(&number, sizeof(number)));
}

/** Writes up to nine bytes; returns how many. */
static size_t
length_encode(unsigned char *out, uint64_t length)
{
    if (length < 1 << 6) {
        out[0] = (unsigned char)length;
        return 1;
    }
    if (length < 1 << 14) {
        out[0] = (unsigned char)(LENGTH_14 | length >> 8);
        out[1] = (unsigned char)length;
        return 2;
    }
    if (length <= UINT32_MAX) {
        uint32_t swapped = __builtin_bswap32((uint32_t)length);
        out[0] = LENGTH_32;
        memcpy(out + 1, &swapped, sizeof(swapped));
        return 1 + sizeof(swapped);
    }
    uint64_t swapped = __builtin_bswap64(length);
    out[0] = LENGTH_64;
    memcpy(out + 1, &swapped, sizeof(swapped));
    return 1 + sizeof(swapped);
}

void
rdb_write_length(struct rdb_writer *writer, uint64_t length)
{
    unsigned char *out = (unsigned char *)writer_reserve(writer, 1 + sizeof(length));
    writer->size += length_encode(out, length);
}

static size_t
compressed_head(unsigned char *out, uint64_t compressed_size, uint64_t size)
{
    out[0] = SPECIAL_LZF;
    size_t used_size = 1 + length_encode(out + 1, compressed_size);
    return used_size + length_encode(out + used_size, size);
}

void
rdb_write_compressed(struct rdb_writer *writer, struct slice compressed, uint64_t size)
{
    unsigned char head[COMPRESSED_HEAD_SIZE_MAX];
    rdb_write_bytes(writer, slice_of(head, compressed_head(head, compressed.size, size)));
    rdb_write_bytes(writer, compressed);
}

/** False: it does not get shorter. */
static bool
write_compressing(struct rdb_writer *writer, struct slice text)
{
    size_t room_size = text.size - COMPRESS_GAIN_MIN;
    char *out = writer_reserve(writer, COMPRESSED_HEAD_SIZE_MAX + room_size);
    unsigned size = lzf_compress(text.data, (unsigned)text.size, out + COMPRESSED_HEAD_SIZE_MAX,
                                 (unsigned)room_size);
    if (size == 0) {
        return false;
    }
    size_t head_size = compressed_head((unsigned char *)out, size, text.size);
    memmove(out + head_size, out + COMPRESSED_HEAD_SIZE_MAX, size);
    writer->size += head_size + size;
    return true;
}

void
rdb_write_integer(struct rdb_writer *writer, int64_t integer)
{
    char *out = writer_reserve(writer, 1 + NUMBER_I64_SIZE_MAX);
    size_t size;
    uint8_t mark;
    if (integer >= INT8_MIN && integer <= INT8_MAX) {
        mark = SPECIAL_I8;
        size = 1;
    } else if (integer >= INT16_MIN && integer <= INT16_MAX) {
        mark = SPECIAL_I16;
        size = 2;
    } else if (integer >= INT32_MIN && integer <= INT32_MAX) {
        mark = SPECIAL_I32;
        size = 4;
    } else {
        size = number_format_i64(out + 1, integer);
        out[0] = (char)size;
        writer->size += 1 + size;
        return;
    }
    out[0] = (char)mark;
    memcpy(out + 1, &integer, size);
    writer->size += 1 + size;
}

void
rdb_write_string(struct rdb_writer *writer, struct slice text)
{
    int64_t integer;
    if (text.size <= INTEGER_TEXT_SIZE_MAX && number_parse_i64(text, &integer) &&
        integer >= INT32_MIN && integer <= INT32_MAX) {
        rdb_write_integer(writer, integer);
        return;
    }
    if (writer->is_compressing && text.size >= COMPRESS_SIZE_MIN &&
        text.size <= COMPRESS_SIZE_MAX && write_compressing(writer, text)) {
        return;
    }
    rdb_write_length(writer, text.size);
    rdb_write_bytes(writer, text);
}

/* ---- reading ---- */

void
rdb_reader_create(struct rdb_reader *reader, struct slice bytes)
{
    const unsigned char *at = (const unsigned char *)bytes.data;
    *reader = (struct rdb_reader){.at = at, .end = bytes.size == 0 ? at : at + bytes.size};
    reader->passed_size = bytes.size;
}

void
rdb_reader_create_source(struct rdb_reader *reader, rdb_fill_fn *fill, void *context)
{
    unsigned char *buffer = heap_alloc(READER_BUFFER_SIZE);
    *reader = (struct rdb_reader){
        .at = buffer, .end = buffer, .fill = fill, .context = context, .buffer = buffer};
}

void
rdb_reader_destroy(struct rdb_reader *reader)
{
    heap_free(reader->buffer);
    *reader = (struct rdb_reader){0};
}

bool
rdb_reader_fail(struct rdb_reader *reader)
{
    if (reader->error == 0) {
        reader->error = -EBADMSG;
    }
    return false;
}

uint64_t
rdb_reader_offset(const struct rdb_reader *reader)
{
    return reader->passed_size - (uint64_t)(reader->end - reader->at);
}

static inline size_t
left_size(const struct rdb_reader *reader)
{
    return (size_t)(reader->end - reader->at);
}

/** The buffer is used up. False: there is no more. */
static bool
reader_fill(struct rdb_reader *reader)
{
    ASSERT(reader->at == reader->end);
    if (reader->error != 0 || reader->fill == NULL) {
        return false;
    }
    int64_t size = reader->fill(reader->context, reader->buffer, READER_BUFFER_SIZE);
    if (size < 0) {
        reader->error = (int)size;
    }
    if (size <= 0) {
        return false;
    }
    ASSERT((size_t)size <= READER_BUFFER_SIZE);
    reader->at = reader->buffer;
    reader->end = reader->buffer + size;
    reader->passed_size += (uint64_t)size;
    return true;
}

bool
rdb_reader_is_at_end(struct rdb_reader *reader)
{
    return reader->at == reader->end && !reader_fill(reader);
}

bool
rdb_read_bytes(struct rdb_reader *reader, void *out, size_t size)
{
    char *to = out;
    if (LIKELY(left_size(reader) >= size && reader->error == 0)) {
        if (size > 0) {
            memcpy(to, reader->at, size);
            reader->at += size;
        }
        return true;
    }
    if (reader->fill == NULL || reader->error != 0) {
        return rdb_reader_fail(reader);
    }
    while (size > 0) {
        if (rdb_reader_is_at_end(reader)) {
            return rdb_reader_fail(reader);
        }
        size_t part_size = MIN(size, left_size(reader));
        memcpy(to, reader->at, part_size);
        reader->at += part_size;
        to += part_size;
        size -= part_size;
    }
    return true;
}

bool
rdb_read_u8(struct rdb_reader *reader, uint8_t *byte)
{
    return rdb_read_bytes(reader, byte, sizeof(*byte));
}

bool
rdb_read_u64(struct rdb_reader *reader, uint64_t *number)
{
    return rdb_read_bytes(reader, number, sizeof(*number));
}

bool
rdb_read_double(struct rdb_reader *reader, double *number)
{
    return rdb_read_bytes(reader, number, sizeof(*number));
}

bool
rdb_read_double_text(struct rdb_reader *reader, double *number)
{
    uint8_t size;
    char text[DOUBLE_TEXT_NAN];
    if (!rdb_read_u8(reader, &size)) {
        return false;
    }
    if (size >= DOUBLE_TEXT_NAN) {
        *number = size == DOUBLE_TEXT_NAN ? (double)NAN : (double)INFINITY;
        if (size == DOUBLE_TEXT_MINUS_INFINITE) {
            *number = -*number;
        }
        return true;
    }
    return rdb_read_bytes(reader, text, size) &&
           (number_parse_double(slice_of(text, size), number) || rdb_reader_fail(reader));
}

/** A length, or (*is_special) the mark of a special string. */
static bool
read_length(struct rdb_reader *reader, uint64_t *length, bool *is_special)
{
    uint8_t first;
    uint8_t second;
    uint32_t word;
    *is_special = false;
    if (!rdb_read_u8(reader, &first)) {
        return false;
    }
    switch (first & SPECIAL) {
    case 0:
        *length = first;
        return true;
    case LENGTH_14:
        if (!rdb_read_u8(reader, &second)) {
            return false;
        }
        *length = (uint64_t)(first & 0x3f) << 8 | second;
        return true;
    case SPECIAL:
        *length = first;
        *is_special = true;
        return true;
    default:
        break;
    }
    if (first == LENGTH_64) {
        if (!rdb_read_u64(reader, length)) {
            return false;
        }
        *length = __builtin_bswap64(*length);
        return true;
    }
    if (first != LENGTH_32 || !rdb_read_bytes(reader, &word, sizeof(word))) {
        return rdb_reader_fail(reader);
    }
    *length = __builtin_bswap32(word);
    return true;
}

bool
rdb_read_length(struct rdb_reader *reader, uint64_t *length)
{
    bool is_special;
    return read_length(reader, length, &is_special) && (!is_special || rdb_reader_fail(reader));
}

/* ---- strings ---- */

void
rdb_text_release(struct rdb_text *text)
{
    heap_free(text->block);
    *text = (struct rdb_text){0};
}

static void
text_reserve(struct rdb_text *text, size_t size)
{
    if (text->capacity < size) {
        text->capacity = MAX(size, text->capacity * 2);
        text->block = heap_realloc(text->block, text->capacity);
    }
}

/** `size` bytes: those of a slice where they lie, those of a source gathered as they come. */
static bool
read_plain(struct rdb_reader *reader, struct rdb_text *text, uint64_t size)
{
    if (reader->fill == NULL) {
        if (size > left_size(reader)) {
            return rdb_reader_fail(reader);
        }
        text->bytes = slice_of(reader->at, size);
        reader->at += size;
        return true;
    }
    uint64_t used_size = 0;
    while (used_size < size) {
        size_t part_size = (size_t)MIN(size - used_size, (uint64_t)READER_BUFFER_SIZE);
        text_reserve(text, used_size + part_size);
        if (!rdb_read_bytes(reader, text->block + used_size, part_size)) {
            return false;
        }
        used_size += part_size;
    }
    text->bytes = slice_of(text->block, used_size);
    return true;
}

static bool
read_integer(struct rdb_reader *reader, struct rdb_text *text, size_t size)
{
    uint64_t bits = 0;
    if (!rdb_read_bytes(reader, &bits, size)) {
        return false;
    }
    unsigned shift = (unsigned)(64 - 8 * size);
    int64_t integer = (int64_t)(bits << shift) >> shift;
    text->bytes = slice_of(text->digits, number_format_i64(text->digits, integer));
    return true;
}

/** What LZF would make of the bytes. 0: nothing, they are damaged. */
static uint64_t
lzf_size(struct slice compressed)
{
    const unsigned char *at = (const unsigned char *)compressed.data;
    const unsigned char *end = at + compressed.size;
    uint64_t size = 0;
    while (at < end) {
        size_t mark = *at++;
        if (mark < 32) {
            /* So many bytes and one, as they are. */
            if ((size_t)(end - at) < mark + 1) {
                return 0;
            }
            at += mark + 1;
            size += mark + 1;
            continue;
        }
        size_t repeat_size = (mark >> 5) + 2;
        if (mark >> 5 == 7) {
            if (at == end) {
                return 0;
            }
            repeat_size += *at++;
        }
        if (at == end) {
            return 0;
        }
        uint64_t distance = (uint64_t)((mark & 31) << 8 | *at++) + 1;
        if (distance > size) {
            return 0;
        }
        size += repeat_size;
    }
    return size;
}

static bool
read_compressed(struct rdb_reader *reader, struct rdb_text *text)
{
    uint64_t compressed_size;
    uint64_t size;
    struct rdb_text compressed = {0};
    if (!rdb_read_length(reader, &compressed_size) || !rdb_read_length(reader, &size)) {
        return false;
    }
    bool is_read = compressed_size > 0 && compressed_size <= COMPRESS_SIZE_MAX && size > 0 &&
                   size <= COMPRESS_SIZE_MAX && read_plain(reader, &compressed, compressed_size) &&
                   lzf_size(compressed.bytes) == size;
    if (is_read) {
        text_reserve(text, size);
        is_read = lzf_decompress(compressed.bytes.data, (unsigned)compressed_size, text->block,
                                 (unsigned)size) == size;
        text->bytes = slice_of(text->block, size);
    }
    rdb_text_release(&compressed);
    return is_read || rdb_reader_fail(reader);
}

bool
rdb_read_string(struct rdb_reader *reader, struct rdb_text *text)
{
    uint64_t length;
    bool is_special;
    if (!read_length(reader, &length, &is_special)) {
        return false;
    }
    if (!is_special) {
        return read_plain(reader, text, length);
    }
    switch (length) {
    case SPECIAL_I8:
        return read_integer(reader, text, 1);
    case SPECIAL_I16:
        return read_integer(reader, text, 2);
    case SPECIAL_I32:
        return read_integer(reader, text, 4);
    case SPECIAL_LZF:
        return read_compressed(reader, text);
    default:
        return rdb_reader_fail(reader);
    }
}
