#include "shard/value/listpack.h"

#include "core/number.h"
#include "shard/value/listpack_internal.h"

#include <assert.h>
#include <string.h>

/*
 * listpack.c: a sequence of elements in one block, walked in both directions.
 *
 *     [mark] | [u32 total bytes] [u16 count] [element] [element] ... [0xFF]
 *              ^ bytes, 6 in front of the first element
 *
 *     element: [encoding and length, or the integer itself] [data] [backlen]
 *
 *     0xxxxxxx             0 .. 127               10xxxxxx + data        string below 64 bytes
 *     110xxxxx y           13 bits, signed        1110xxxx y + data      below 4096
 *     F1, F2, F3, F4 + n   16, 24, 32, 64 bits    F0 u32 + data          any
 *
 * Numbers are little-endian, but for the lengths and the 13 bits that share a byte with the
 * encoding. `backlen` is the size of what stands in front of it, for walking back: seven bits in
 * each byte, the highest bits first, all bytes but the first marked by their top bit. The layout is
 * the published one of Redis (listpack.md), the byte order of every file and DUMP payload, so that
 * these need no conversion.
 *
 * All changes are one: replace so many bytes at a place by so many others (splice()); the rest is
 * deciding which. The block is a whole size class, which its mark names: that tells the room in it.
 *
 * Invariants: listpack_validate() accepts the bytes, `total bytes` fits the block, the count is
 * exact or 65535. Foreign bytes come in through listpack_validate() and need not be encoded as
 * shortly as ours are.
 *
 * Rejected: room in front for pops and pushes at the head (the bytes would not begin at one place;
 * lists of any size are quicklists of small ones anyway), pointers as positions (each change would
 * have to hand out new ones).
 */

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "numbers are read as they lie");

/** An element takes an encoding byte and a backlen byte at least. */
#define ELEMENT_SIZE_MIN 2

/** Longest integer as text. */
#define INTEGER_TEXT_SIZE_MAX 20

/** An element on its way into a listpack, without its backlen. */
struct encoded {
    unsigned char head[9];
    uint8_t head_size;
    struct slice data;
};

/* ---- encoding ---- */

static struct encoded
encode_integer(int64_t value)
{
    struct encoded encoded = {.head_size = 1};
    uint64_t bits = (uint64_t)value;
    if (value >= 0 && value <= 127) {
        encoded.head[0] = (unsigned char)value;
    } else if (value >= -4096 && value <= 4095) {
        encoded.head[0] = (unsigned char)(0xC0 | (bits >> 8 & 31));
        encoded.head[1] = (unsigned char)bits;
        encoded.head_size = 2;
    } else {
        uint32_t size = 8;
        encoded.head[0] = LISTPACK_INTEGER_64;
        if (value >= INT16_MIN && value <= INT16_MAX) {
            size = 2;
            encoded.head[0] = LISTPACK_INTEGER_16;
        } else if (value >= -(1 << 23) && value < 1 << 23) {
            size = 3;
            encoded.head[0] = LISTPACK_INTEGER_24;
        } else if (value >= INT32_MIN && value <= INT32_MAX) {
            size = 4;
            encoded.head[0] = LISTPACK_INTEGER_32;
        }
        memcpy(encoded.head + 1, &bits, size);
        encoded.head_size = (uint8_t)(1 + size);
    }
    return encoded;
}

static struct encoded
encode_text(struct slice text)
{
    int64_t value;
    if (text.size <= INTEGER_TEXT_SIZE_MAX && number_parse_i64(text, &value)) {
        return encode_integer(value);
    }
    ASSERT(text.size <= LISTPACK_SIZE_MAX);
    struct encoded encoded = {.head_size = 1, .data = text};
    if (text.size < 64) {
        encoded.head[0] = (unsigned char)(0x80 | text.size);
    } else if (text.size < 4096) {
        encoded.head[0] = (unsigned char)(0xE0 | text.size >> 8);
        encoded.head[1] = (unsigned char)text.size;
        encoded.head_size = 2;
    } else {
        uint32_t size = (uint32_t)text.size;
        encoded.head[0] = LISTPACK_STRING_32;
        memcpy(encoded.head + 1, &size, sizeof(size));
        encoded.head_size = 5;
    }
    return encoded;
}

static size_t
encoded_size(const struct encoded *encoded)
{
    size_t size = encoded->head_size + encoded->data.size;
    return size + listpack_backlen_size(size);
}

static void
encoded_write(unsigned char *out, const struct encoded *encoded)
{
    if (LIKELY(encoded->head_size == 1)) {
        *out = encoded->head[0];
    } else {
        memcpy(out, encoded->head, encoded->head_size);
    }
    out += encoded->head_size;
    if (encoded->data.size > 0) {
        memcpy(out, encoded->data.data, encoded->data.size);
        out += encoded->data.size;
    }
    listpack_backlen_write(out, encoded->head_size + encoded->data.size);
}

/* ---- decoding ---- */

static inline uint32_t
element_size(const unsigned char *element)
{
    /* Nearly all are short texts or small numbers. */
    unsigned char first = element[0];
    if (LIKELY(first < 0xC0)) {
        return first < 0x80 ? 2U : 2U + (first & 63U);
    }
    uint64_t size = listpack_body_size(element);
    return (uint32_t)(size + listpack_backlen_size(size));
}

static int64_t
load_signed(const unsigned char *bytes, uint32_t size)
{
    uint64_t bits = 0;
    memcpy(&bits, bytes, size);
    unsigned shift = 64 - 8 * size;
    return (int64_t)(bits << shift) >> shift;
}

static inline struct listpack_item
decode(const unsigned char *element)
{
    unsigned char first = element[0];
    if (first < 0x80) {
        return (struct listpack_item){.is_integer = true, .integer = first};
    }
    if (first < 0xC0) {
        return (struct listpack_item){.bytes = slice_of(element + 1, first & 63U)};
    }
    if (first < 0xE0) {
        unsigned bits = (first & 31U) << 8 | element[1];
        return (struct listpack_item){
            .is_integer = true, .integer = bits < 4096 ? (int64_t)bits : (int64_t)bits - 8192};
    }
    uint32_t head_size = listpack_head_size(first);
    if (first <= LISTPACK_STRING_32) {
        return (struct listpack_item){
            .bytes = slice_of(element + head_size, listpack_body_size(element) - head_size)};
    }
    return (struct listpack_item){.is_integer = true,
                                  .integer = load_signed(element + 1, head_size - 1)};
}

static inline const unsigned char *
element_at(const struct listpack *listpack, uint32_t position)
{
    ASSERT_SLOW(position >= LISTPACK_HEADER_SIZE && position < listpack_size(listpack) - 1);
    return listpack->bytes + position;
}

/* ---- header ---- */

static inline uint16_t
count_read(const struct listpack *listpack)
{
    uint16_t count;
    memcpy(&count, listpack->bytes + sizeof(uint32_t), sizeof(count));
    return count;
}

static void
header_write(struct listpack *listpack, uint32_t size, uint32_t count)
{
    uint16_t stored = (uint16_t)MIN(count, (uint32_t)LISTPACK_COUNT_UNKNOWN);
    memcpy(listpack->bytes, &size, sizeof(size));
    memcpy(listpack->bytes + sizeof(size), &stored, sizeof(stored));
}

static uint32_t
count_walk(const struct listpack *listpack)
{
    uint32_t count = 0;
    const unsigned char *element = listpack->bytes + LISTPACK_HEADER_SIZE;
    for (; *element != LISTPACK_END; element += element_size(element)) {
        count++;
    }
    return count;
}

uint32_t
listpack_count(const struct listpack *listpack)
{
    uint16_t count = count_read(listpack);
    return LIKELY(count != LISTPACK_COUNT_UNKNOWN) ? count : count_walk(listpack);
}

/** After a change; the bytes are as they will be, the end mark too. */
static void
count_change(struct listpack *listpack, uint32_t added, uint32_t removed)
{
    uint32_t count = count_read(listpack);
    uint32_t size = listpack_size(listpack);
    if (count != LISTPACK_COUNT_UNKNOWN) {
        count = count + added - removed;
    } else if (size < LISTPACK_COUNT_UNKNOWN * ELEMENT_SIZE_MIN + LISTPACK_SIZE_EMPTY) {
        /* So few bytes that they can be counted again, once. */
        count = count_walk(listpack);
    }
    header_write(listpack, size, count);
}

/* ---- life ---- */

static size_t
used_size(const struct listpack *listpack)
{
    return sizeof(struct listpack) + listpack_size(listpack);
}

struct listpack *
listpack_new(size_t room_size)
{
    ASSERT(room_size <= LISTPACK_SIZE_MAX);
    struct listpack *listpack =
        object_block_new(sizeof(struct listpack) + LISTPACK_SIZE_EMPTY + room_size);
    header_write(listpack, LISTPACK_SIZE_EMPTY, 0);
    listpack->bytes[LISTPACK_HEADER_SIZE] = LISTPACK_END;
    return listpack;
}

void
listpack_delete(struct listpack *listpack)
{
    heap_free(listpack);
}

struct listpack *
listpack_copy(const struct listpack *listpack)
{
    return listpack_from_bytes(listpack_bytes(listpack));
}

struct listpack *
listpack_from_bytes(struct slice bytes)
{
    ASSERT(bytes.size >= LISTPACK_SIZE_EMPTY);
    struct listpack *listpack = object_block_new(sizeof(struct listpack) + bytes.size);
    memcpy(listpack->bytes, bytes.data, bytes.size);
    ASSERT(listpack_size(listpack) == bytes.size);
    return listpack;
}

struct listpack *
listpack_trim(struct listpack *listpack)
{
    return object_block_resize(listpack, used_size(listpack), used_size(listpack));
}

struct listpack *
listpack_reserve(struct listpack *listpack, size_t added_size)
{
    ASSERT(listpack_fits(listpack, added_size));
    size_t size = used_size(listpack);
    if (size + added_size <= object_block_size(listpack)) {
        return listpack;
    }
    return object_block_resize(listpack, size, size + added_size);
}

/* ---- walking ---- */

static inline uint32_t
position_or_none(const struct listpack *listpack, uint32_t position)
{
    return listpack->bytes[position] == LISTPACK_END ? LISTPACK_NONE : position;
}

uint32_t
listpack_first(const struct listpack *listpack)
{
    return position_or_none(listpack, LISTPACK_HEADER_SIZE);
}

uint32_t
listpack_next(const struct listpack *listpack, uint32_t position)
{
    return position_or_none(listpack, position + element_size(element_at(listpack, position)));
}

/** The element that ends in front of this place. */
static uint32_t
element_before(const struct listpack *listpack, uint32_t position)
{
    if (position == LISTPACK_HEADER_SIZE) {
        return LISTPACK_NONE;
    }
    uint64_t size = 0;
    unsigned shift = 0;
    unsigned char byte;
    do {
        byte = listpack->bytes[--position];
        size |= (uint64_t)(byte & 127U) << shift;
        shift += 7;
    } while ((byte & 128U) != 0);
    ASSERT(size + LISTPACK_HEADER_SIZE <= position);
    return (uint32_t)(position - size);
}

uint32_t
listpack_last(const struct listpack *listpack)
{
    return element_before(listpack, listpack_size(listpack) - 1);
}

uint32_t
listpack_previous(const struct listpack *listpack, uint32_t position)
{
    return element_before(listpack, position);
}

static uint32_t
seek_forward(const struct listpack *listpack, uint64_t index)
{
    const unsigned char *element = listpack->bytes + LISTPACK_HEADER_SIZE;
    for (; index > 0 && *element != LISTPACK_END; index--) {
        element += element_size(element);
    }
    return position_or_none(listpack, (uint32_t)(element - listpack->bytes));
}

/** `distance` 1 is the last one. */
static uint32_t
seek_backward(const struct listpack *listpack, uint64_t distance)
{
    uint32_t position = listpack_size(listpack) - 1;
    while (distance > 0 && (position = element_before(listpack, position)) != LISTPACK_NONE) {
        distance--;
    }
    return position;
}

uint32_t
listpack_seek(const struct listpack *listpack, int64_t index)
{
    uint32_t count = count_read(listpack);
    if (count == LISTPACK_COUNT_UNKNOWN) {
        return index >= 0 ? seek_forward(listpack, (uint64_t)index)
                          : seek_backward(listpack, 0 - (uint64_t)index);
    }
    if (index >= (int64_t)count || index < -(int64_t)count) {
        return LISTPACK_NONE;
    }
    uint32_t from_first = (uint32_t)(index >= 0 ? index : index + count);
    return from_first <= count / 2 ? seek_forward(listpack, from_first)
                                   : seek_backward(listpack, count - from_first);
}

/* ---- elements ---- */

struct listpack_item
listpack_get(const struct listpack *listpack, uint32_t position)
{
    return decode(element_at(listpack, position));
}

struct slice
listpack_text(const struct listpack *listpack, uint32_t position, char digits[LISTPACK_DIGITS_SIZE])
{
    struct listpack_item item = decode(element_at(listpack, position));
    if (item.is_integer) {
        return slice_of(digits, number_format_i64(digits, item.integer));
    }
    return item.bytes;
}

uint32_t
listpack_text_size(const struct listpack *listpack, uint32_t position)
{
    char digits[LISTPACK_DIGITS_SIZE];
    return (uint32_t)listpack_text(listpack, position, digits).size;
}

bool
listpack_integer(const struct listpack *listpack, uint32_t position, int64_t *value)
{
    struct listpack_item item = decode(element_at(listpack, position));
    if (item.is_integer) {
        *value = item.integer;
        return true;
    }
    /* Foreign bytes may hold it as text. */
    return item.bytes.size <= INTEGER_TEXT_SIZE_MAX && number_parse_i64(item.bytes, value);
}

/** What one text is compared with many elements by. */
struct needle {
    struct slice text;
    int64_t integer;
    bool is_integer;
};

static struct needle
needle_of(struct slice text)
{
    struct needle needle = {.text = text};
    needle.is_integer =
        text.size <= INTEGER_TEXT_SIZE_MAX && number_parse_i64(text, &needle.integer);
    return needle;
}

static inline bool
needle_is(const struct needle *needle, const unsigned char *element)
{
    size_t text_size = needle->text.size;
    unsigned char first = element[0];
    if (LIKELY((first & 0xC0) == 0x80)) {
        /* What stands beside each other often begins alike and seldom ends so. */
        return text_size == (first & 63U) &&
               (text_size == 0 ||
                (element[text_size] == (unsigned char)needle->text.data[text_size - 1] &&
                 memcmp(element + 1, needle->text.data, text_size) == 0));
    }
    struct listpack_item item = decode(element);
    if (item.is_integer) {
        return needle->is_integer && item.integer == needle->integer;
    }
    return item.bytes.size == text_size &&
           memcmp(item.bytes.data, needle->text.data, text_size) == 0;
}

bool
listpack_equal(const struct listpack *listpack, uint32_t position, struct slice text)
{
    struct needle needle = needle_of(text);
    return needle_is(&needle, element_at(listpack, position));
}

uint32_t
listpack_find(const struct listpack *listpack, uint32_t position, struct slice text,
              uint32_t skip_count)
{
    if (position == LISTPACK_NONE) {
        return LISTPACK_NONE;
    }
    struct needle needle = needle_of(text);
    const unsigned char *element = listpack->bytes + position;
    while (*element != LISTPACK_END) {
        if (needle_is(&needle, element)) {
            return (uint32_t)(element - listpack->bytes);
        }
        element += element_size(element);
        for (uint32_t i = 0; i < skip_count && *element != LISTPACK_END; i++) {
            element += element_size(element);
        }
    }
    return LISTPACK_NONE;
}

size_t
listpack_item_size(struct slice text)
{
    int64_t value;
    size_t size = text.size + 1;
    if (text.size <= INTEGER_TEXT_SIZE_MAX && number_parse_i64(text, &value)) {
        size = encode_integer(value).head_size;
    } else if (text.size >= 64) {
        size += text.size < 4096 ? 1 : 4;
    }
    return size + listpack_backlen_size(size);
}

/* ---- changing ---- */

/** Make `new_size` bytes out of `old_size` at a place; they are to be written yet. */
static struct listpack *
splice(struct listpack *listpack, uint32_t position, size_t old_size, size_t new_size)
{
    uint32_t size = listpack_size(listpack);
    ASSERT(position >= LISTPACK_HEADER_SIZE);
    ASSERT(position + old_size < size);
    ASSERT(size - old_size + new_size <= LISTPACK_SIZE_MAX);
    uint32_t size_after = (uint32_t)(size - old_size + new_size);
    listpack =
        object_block_grow(listpack, used_size(listpack), sizeof(struct listpack) + size_after);
    memmove(listpack->bytes + position + new_size, listpack->bytes + position + old_size,
            size - position - old_size);
    memcpy(listpack->bytes, &size_after, sizeof(size_after));
    return listpack;
}

static struct listpack *
insert_encoded(struct listpack *listpack, uint32_t position, const struct encoded *encoded)
{
    listpack = splice(listpack, position, 0, encoded_size(encoded));
    encoded_write(listpack->bytes + position, encoded);
    count_change(listpack, 1, 0);
    return listpack;
}

static struct listpack *
replace_encoded(struct listpack *listpack, uint32_t position, const struct encoded *encoded)
{
    uint32_t old_size = element_size(element_at(listpack, position));
    size_t new_size = encoded_size(encoded);
    if (old_size == new_size) {
        encoded_write(listpack->bytes + position, encoded);
        return listpack;
    }
    listpack = splice(listpack, position, old_size, new_size);
    encoded_write(listpack->bytes + position, encoded);
    return object_block_shrink(listpack, used_size(listpack));
}

struct listpack *
listpack_append(struct listpack *listpack, struct slice text)
{
    struct encoded encoded = encode_text(text);
    return insert_encoded(listpack, listpack_size(listpack) - 1, &encoded);
}

struct listpack *
listpack_append_integer(struct listpack *listpack, int64_t value)
{
    struct encoded encoded = encode_integer(value);
    return insert_encoded(listpack, listpack_size(listpack) - 1, &encoded);
}

struct listpack *
listpack_prepend(struct listpack *listpack, struct slice text)
{
    struct encoded encoded = encode_text(text);
    return insert_encoded(listpack, LISTPACK_HEADER_SIZE, &encoded);
}

struct listpack *
listpack_insert(struct listpack *listpack, uint32_t *position, struct slice text)
{
    struct encoded encoded = encode_text(text);
    if (*position == LISTPACK_NONE) {
        *position = listpack_size(listpack) - 1;
    }
    return insert_encoded(listpack, *position, &encoded);
}

struct listpack *
listpack_insert_integer(struct listpack *listpack, uint32_t *position, int64_t value)
{
    struct encoded encoded = encode_integer(value);
    if (*position == LISTPACK_NONE) {
        *position = listpack_size(listpack) - 1;
    }
    return insert_encoded(listpack, *position, &encoded);
}

struct listpack *
listpack_insert_after(struct listpack *listpack, uint32_t *position, struct slice text)
{
    struct encoded encoded = encode_text(text);
    *position += element_size(element_at(listpack, *position));
    return insert_encoded(listpack, *position, &encoded);
}

struct listpack *
listpack_replace(struct listpack *listpack, uint32_t position, struct slice text)
{
    struct encoded encoded = encode_text(text);
    return replace_encoded(listpack, position, &encoded);
}

struct listpack *
listpack_replace_integer(struct listpack *listpack, uint32_t position, int64_t value)
{
    struct encoded encoded = encode_integer(value);
    return replace_encoded(listpack, position, &encoded);
}

/** Where `count` elements from a place on end; *count becomes how many there are. */
static uint32_t
range_end(const struct listpack *listpack, uint32_t position, uint32_t *count)
{
    const unsigned char *element = listpack->bytes + position;
    uint32_t passed = 0;
    for (; passed < *count && *element != LISTPACK_END; passed++) {
        element += element_size(element);
    }
    *count = passed;
    return (uint32_t)(element - listpack->bytes);
}

struct listpack *
listpack_remove(struct listpack *listpack, uint32_t *position, uint32_t count)
{
    uint32_t from = *position;
    ASSERT(from != LISTPACK_NONE);
    uint32_t end = range_end(listpack, from, &count);
    listpack = splice(listpack, from, end - from, 0);
    count_change(listpack, 0, count);
    *position = position_or_none(listpack, from);
    return object_block_shrink(listpack, used_size(listpack));
}

struct listpack *
listpack_remove_range(struct listpack *listpack, int64_t index, uint32_t count)
{
    uint32_t position = listpack_seek(listpack, index);
    if (position == LISTPACK_NONE || count == 0) {
        return listpack;
    }
    return listpack_remove(listpack, &position, count);
}

struct listpack *
listpack_append_from(struct listpack *listpack, const struct listpack *from, uint32_t position,
                     uint32_t count)
{
    ASSERT(from != listpack);
    if (position == LISTPACK_NONE || count == 0) {
        return listpack;
    }
    uint32_t size = range_end(from, position, &count) - position;
    uint32_t end = listpack_size(listpack) - 1;
    listpack = splice(listpack, end, 0, size);
    memcpy(listpack->bytes + end, from->bytes + position, size);
    count_change(listpack, count, 0);
    return listpack;
}

/* ---- as an object ---- */

static size_t
object_count_elements(const void *object)
{
    return listpack_count(object);
}

static size_t
object_count_pairs(const void *object)
{
    return listpack_count(object) / 2;
}

static void *
object_copy_listpack(const void *object)
{
    return listpack_copy(object);
}

static bool
object_free_listpack(void *object, uint32_t step_count_max)
{
    (void)step_count_max;
    listpack_delete(object);
    return true;
}

const struct object_ops listpack_ops = {
    .count = object_count_elements,
    .copy = object_copy_listpack,
    .free_steps = object_free_listpack,
};

const struct object_ops listpack_pair_ops = {
    .count = object_count_pairs,
    .copy = object_copy_listpack,
    .free_steps = object_free_listpack,
};
