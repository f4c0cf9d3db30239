#include "shard/value/ziplist.h"

/*
 * ziplist.c: two layouts that nobody writes any more.
 *
 *     ziplist   [u32 bytes] [u32 offset of the last element] [u16 count] [element] ... [FF]
 *     element   [size of the element before it: one byte, or FE and four] [encoding] [data]
 *
 *     00xxxxxx, 01xxxxxx y, 10...... + 4    strings; the longer sizes are big-endian
 *     C0 D0 E0 F0 FE + 2, 4, 8, 3, 1        integers, little-endian
 *     F1 .. FD                              0 .. 12, in the encoding itself
 *
 *     zipmap    [u8 count] ([size] [field] [size] [unused: u8] [value] [so many bytes]) ... [FF]
 *     size      one byte below FE, or FE and four, little-endian
 *
 * A count that does not fit is the highest number (65535), or above (FE and FF). Both are checked
 * whole before they are walked: every size against what is left, every size of a predecessor, the
 * offset of the last element, the count. So the walks need no checks.
 *
 * Not a writer: what comes in becomes a listpack at once.
 */

#define ZIPLIST_HEADER_SIZE 10
#define ZIPLIST_COUNT_UNKNOWN UINT16_MAX
#define ZIPMAP_COUNT_UNKNOWN 254
#define END 0xFF
/** Sizes from there on take four bytes more. */
#define SIZE_LONG 0xFE

/** Bytes of a predecessor's size, by its first byte. */
static inline uint32_t
previous_head_size(unsigned char first)
{
    return first < SIZE_LONG ? 1 : 5;
}

static inline uint32_t
load_u32(const unsigned char *bytes)
{
    uint32_t number;
    memcpy(&number, bytes, sizeof(number));
    return number;
}

/** Bytes of the encoding, sizes included. 0: there is no such encoding. */
static uint32_t
encoding_size(unsigned char first)
{
    switch (first >> 6) {
    case 0:
        return 1;
    case 1:
        return 2;
    case 2:
        return 5;
    default:
        break;
    }
    switch (first) {
    case 0xC0:
    case 0xD0:
    case 0xE0:
    case 0xF0:
    case 0xFE:
        return 1;
    default:
        return first > 0xF0 && first < 0xFE ? 1 : 0;
    }
}

/** Bytes of the data behind an encoding that is there. */
static uint64_t
data_size(const unsigned char *encoding)
{
    unsigned char first = encoding[0];
    switch (first >> 6) {
    case 0:
        return first;
    case 1:
        return (uint64_t)(first & 0x3f) << 8 | encoding[1];
    case 2:
        return __builtin_bswap32(load_u32(encoding + 1));
    default:
        break;
    }
    switch (first) {
    case 0xC0:
        return 2;
    case 0xD0:
        return 4;
    case 0xE0:
        return 8;
    case 0xF0:
        return 3;
    case 0xFE:
        return 1;
    default:
        return 0;
    }
}

/** Bytes of the element at `at`, of which `left_size` may be read; 0: damaged. */
static uint64_t
element_validate(const unsigned char *at, uint64_t left_size, uint64_t previous_size)
{
    uint32_t head_size = previous_head_size(at[0]);
    if (head_size >= left_size) {
        return 0;
    }
    uint64_t told_size = head_size == 1 ? at[0] : load_u32(at + 1);
    uint32_t code_size = encoding_size(at[head_size]);
    if (told_size != previous_size || code_size == 0 || head_size + code_size > left_size) {
        return 0;
    }
    uint64_t size = head_size + code_size + data_size(at + head_size);
    return size <= left_size ? size : 0;
}

bool
ziplist_validate(struct slice bytes, uint32_t *count)
{
    const unsigned char *data = (const unsigned char *)bytes.data;
    uint16_t stored_count;
    if (bytes.size <= ZIPLIST_HEADER_SIZE || bytes.size > LISTPACK_SIZE_MAX) {
        return false;
    }
    memcpy(&stored_count, data + 8, sizeof(stored_count));
    if (load_u32(data) != bytes.size || data[bytes.size - 1] != END) {
        return false;
    }
    uint64_t end = bytes.size - 1;
    uint64_t last = ZIPLIST_HEADER_SIZE;
    uint64_t previous_size = 0;
    *count = 0;
    for (uint64_t at = ZIPLIST_HEADER_SIZE; at < end; (*count)++) {
        uint64_t size = data[at] == END ? 0 : element_validate(data + at, end - at, previous_size);
        if (size == 0) {
            return false;
        }
        last = at;
        previous_size = size;
        at += size;
    }
    return load_u32(data + 4) == last &&
           (stored_count == ZIPLIST_COUNT_UNKNOWN || stored_count == *count);
}

struct ziplist_walk
ziplist_walk(struct slice bytes)
{
    return (struct ziplist_walk){.at = (const unsigned char *)bytes.data + ZIPLIST_HEADER_SIZE};
}

bool
ziplist_next(struct ziplist_walk *walk, struct listpack_item *item)
{
    if (walk->at[0] == END) {
        return false;
    }
    const unsigned char *encoding = walk->at + previous_head_size(walk->at[0]);
    const unsigned char *data = encoding + encoding_size(encoding[0]);
    uint64_t size = data_size(encoding);
    walk->at = data + size;
    if (encoding[0] < 0xC0) {
        *item = (struct listpack_item){.bytes = slice_of(data, size)};
        return true;
    }
    int64_t integer = (encoding[0] & 15) - 1;
    if (size > 0) {
        uint64_t bits = 0;
        memcpy(&bits, data, size);
        unsigned shift = (unsigned)(64 - 8 * size);
        integer = (int64_t)(bits << shift) >> shift;
    }
    *item = (struct listpack_item){.is_integer = true, .integer = integer};
    return true;
}

/* ---- zipmaps ---- */

/** A size, of which `*at` moves behind; the bytes are there. */
static uint32_t
zipmap_size(const unsigned char **at)
{
    uint32_t size = **at;
    uint32_t head_size = previous_head_size((unsigned char)size);
    if (head_size > 1) {
        size = load_u32(*at + 1);
    }
    *at += head_size;
    return size;
}

/** Passes a size, `skip` bytes, and the bytes that the size tells. Each has to end before `end`. */
static bool
zipmap_pass(const unsigned char **at, const unsigned char *end, bool is_value)
{
    if (*at >= end || **at == END || (size_t)(end - *at) <= previous_head_size(**at)) {
        return false;
    }
    uint64_t size = zipmap_size(at);
    if (is_value) {
        size += 1 + (uint64_t) * *at;
    }
    if (size > (uint64_t)(end - *at)) {
        return false;
    }
    *at += size;
    return true;
}

bool
zipmap_validate(struct slice bytes, uint32_t *count)
{
    const unsigned char *at = (const unsigned char *)bytes.data;
    *count = 0;
    if (bytes.size < 2 || bytes.size > LISTPACK_SIZE_MAX || at[bytes.size - 1] != END) {
        return false;
    }
    const unsigned char *end = at + bytes.size - 1;
    uint32_t stored_count = *at++;
    for (; at < end; (*count)++) {
        if (!zipmap_pass(&at, end, false) || !zipmap_pass(&at, end, true)) {
            return false;
        }
    }
    return stored_count >= ZIPMAP_COUNT_UNKNOWN || stored_count == *count;
}

struct zipmap_walk
zipmap_walk(struct slice bytes)
{
    return (struct zipmap_walk){.at = (const unsigned char *)bytes.data + 1};
}

bool
zipmap_next(struct zipmap_walk *walk, struct slice *field, struct slice *value)
{
    if (walk->at[0] == END) {
        return false;
    }
    size_t size = zipmap_size(&walk->at);
    *field = slice_of(walk->at, size);
    walk->at += size;
    size = zipmap_size(&walk->at);
    size_t unused_size = *walk->at++;
    *value = slice_of(walk->at, size);
    walk->at += size + unused_size;
    return true;
}
