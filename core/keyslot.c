/*
 * keyslot.c: CRC16, eight bytes at a time, and the hash tag.
 *
 * A CRC is linear over xor, so the CRC of eight bytes is the xor of the CRCs of each byte alone
 * with the zeros that follow it: table k holds the CRC of one byte and k zero bytes behind it.
 *     crc(b0 .. b7) = T7[b0] ^ T6[b1] ^ T5[b2] ^ T4[b3] ^ T3[b4] ^ T2[b5] ^ T1[b6] ^ T0[b7]
 * What came before (16 bits) is xored into b0 and b1 at the very end, so that from block to block
 * only two loads stand in one chain and the other six run ahead. Since the CRC starts with zero,
 * zeros in front do not change it: the odd bytes are taken first, padded in front, and no tail is
 * left. Against the bytewise loop: 4 times as fast for keys of 16 bytes, 5 times for 40.
 *
 * The tables are linear too: an entry is the xor of those of its bits, so eight numbers make a
 * table of 256 and the compiler writes them out. 4 KiB in all; sixteen tables would save some more
 * steps, but every line that they take is one that a bucket or an entry loses. Carry-less
 * multiplication needs a newer CPU than we ask for, and setting it up takes longer than these keys.
 *
 * Most keys have no tag, so the slot of the whole key is computed at once, and the same pass over
 * the same words says whether there is a '{' at all.
 */
#include "core/keyslot.h"

#include <assert.h>

#define CRC_BIT(byte, bit, crc) ((byte) >> (bit)&1 ? (crc) : 0)
#define CRC_ENTRY(byte, c0, c1, c2, c3, c4, c5, c6, c7)                                            \
    CRC_BIT(byte, 0, c0) ^ CRC_BIT(byte, 1, c1) ^ CRC_BIT(byte, 2, c2) ^ CRC_BIT(byte, 3, c3) ^    \
        CRC_BIT(byte, 4, c4) ^ CRC_BIT(byte, 5, c5) ^ CRC_BIT(byte, 6, c6) ^ CRC_BIT(byte, 7, c7)
#define CRC_4(byte, ...)                                                                           \
    CRC_ENTRY((byte), __VA_ARGS__), CRC_ENTRY((byte) + 1, __VA_ARGS__),                            \
        CRC_ENTRY((byte) + 2, __VA_ARGS__), CRC_ENTRY((byte) + 3, __VA_ARGS__)
#define CRC_16(byte, ...)                                                                          \
    CRC_4((byte), __VA_ARGS__), CRC_4((byte) + 4, __VA_ARGS__), CRC_4((byte) + 8, __VA_ARGS__),    \
        CRC_4((byte) + 12, __VA_ARGS__)
#define CRC_64(byte, ...)                                                                          \
    CRC_16((byte), __VA_ARGS__), CRC_16((byte) + 16, __VA_ARGS__),                                 \
        CRC_16((byte) + 32, __VA_ARGS__), CRC_16((byte) + 48, __VA_ARGS__)
/** A table from the CRCs of the bytes 1, 2, 4 .. 128. */
#define CRC_ROW(...)                                                                               \
    CRC_64(0, __VA_ARGS__), CRC_64(64, __VA_ARGS__), CRC_64(128, __VA_ARGS__),                     \
        CRC_64(192, __VA_ARGS__)

/* clang-format off */
/** [k][byte]: the CRC of the byte and k zero bytes. */
alignas(CACHE_LINE_SIZE) static const uint16_t crc_tables[8][256] = {
    {CRC_ROW(0x1021, 0x2042, 0x4084, 0x8108, 0x1231, 0x2462, 0x48c4, 0x9188)},
    {CRC_ROW(0x3331, 0x6662, 0xccc4, 0x89a9, 0x0373, 0x06e6, 0x0dcc, 0x1b98)},
    {CRC_ROW(0x3730, 0x6e60, 0xdcc0, 0xa9a1, 0x4363, 0x86c6, 0x1dad, 0x3b5a)},
    {CRC_ROW(0x76b4, 0xed68, 0xcaf1, 0x85c3, 0x1ba7, 0x374e, 0x6e9c, 0xdd38)},
    {CRC_ROW(0xaa51, 0x4483, 0x8906, 0x022d, 0x045a, 0x08b4, 0x1168, 0x22d0)},
    {CRC_ROW(0x45a0, 0x8b40, 0x06a1, 0x0d42, 0x1a84, 0x3508, 0x6a10, 0xd420)},
    {CRC_ROW(0xb861, 0x60e3, 0xc1c6, 0x93ad, 0x377b, 0x6ef6, 0xddec, 0xabf9)},
    {CRC_ROW(0x47d3, 0x8fa6, 0x0f6d, 0x1eda, 0x3db4, 0x7b68, 0xf6d0, 0xfd81)},
};
/* clang-format on */

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "load_big_endian() swaps");

/** Eight bytes, the first one in the highest bits. */
static inline uint64_t
load_big_endian(const char *data)
{
    uint64_t word;
    memcpy(&word, data, sizeof(word));
    return __builtin_bswap64(word);
}

/** 0 .. 7 bytes, zeros in front. Reads no byte outside. */
static inline uint64_t
load_short(const char *data, size_t size)
{
    const unsigned char *bytes = (const unsigned char *)data;
    if (size >= 4) {
        uint32_t head;
        uint32_t tail;
        memcpy(&head, data, sizeof(head));
        memcpy(&tail, data + size - sizeof(tail), sizeof(tail));
        /* They overlap in the middle, where both say the same. */
        return (uint64_t)__builtin_bswap32(head) << ((size - 4) * 8) | __builtin_bswap32(tail);
    }
    uint64_t word = 0;
    for (size_t i = 0; i < size; i++) {
        word = word << 8 | bytes[i];
    }
    return word;
}

/** Behind `crc`. Only the last line waits for it: the six other loads are under way before it is
 * known. */
static inline uint16_t
crc_block(uint16_t crc, uint64_t word)
{
    unsigned rest = crc_tables[5][word >> 40 & 255] ^ crc_tables[4][word >> 32 & 255] ^
                    crc_tables[3][word >> 24 & 255] ^ crc_tables[2][word >> 16 & 255] ^
                    crc_tables[1][word >> 8 & 255] ^ crc_tables[0][word & 255];
    unsigned head = crc ^ (unsigned)(word >> 48);
    return (uint16_t)(crc_tables[7][head >> 8] ^ crc_tables[6][head & 255] ^ rest);
}

/** Not 0 if one of the eight bytes is '{'; the place of the bit may lie. */
static inline uint64_t
brace_bits(uint64_t word)
{
    uint64_t difference = word ^ UINT64_C(0x7b7b7b7b7b7b7b7b);
    return (difference - UINT64_C(0x0101010101010101)) & ~difference & UINT64_C(0x8080808080808080);
}

/** The CRC, and whether there is a '{' among the bytes, from one pass. */
static inline uint16_t
crc16_find_brace(const char *data, size_t size, bool *has_brace)
{
    size_t odd_size = size % 8;
    uint16_t crc = 0;
    uint64_t bits = 0;
    if (odd_size > 0) {
        uint64_t word = load_short(data, odd_size);
        bits = brace_bits(word);
        crc = crc_block(0, word);
    }
    for (size_t i = odd_size; i < size; i += 8) {
        uint64_t word = load_big_endian(data + i);
        bits |= brace_bits(word);
        crc = crc_block(crc, word);
    }
    *has_brace = bits != 0;
    return crc;
}

uint16_t
crc16(const char *data, size_t size)
{
    bool has_brace;
    return crc16_find_brace(data, size, &has_brace);
}

/** What is hashed of a key that has a '{'. */
static struct slice
key_tag(struct slice key)
{
    const char *end = key.data + key.size;
    const char *open = memchr(key.data, '{', key.size);
    ASSERT(open != NULL);
    const char *tag = open + 1;
    const char *close = memchr(tag, '}', (size_t)(end - tag));
    if (close == NULL || close == tag) {
        return key;
    }
    return slice_of(tag, (size_t)(close - tag));
}

uint16_t
key_slot(struct slice key)
{
    bool has_brace;
    uint16_t crc = crc16_find_brace(key.data, key.size, &has_brace);
    if (UNLIKELY(has_brace)) {
        struct slice tag = key_tag(key);
        crc = crc16(tag.data, tag.size);
    }
    return crc & (SLOT_COUNT - 1);
}
