#include "persist/crc64.h"

/*
 * crc64.c: eight bytes at a step, by eight tables of 256.
 *
 * Table k says what a byte becomes with k bytes of zeros behind it, so the eight bytes of a word
 * are looked up apart and added. A table is linear: the entry of a number is the sum (xor) of the
 * entries of its bits. So eight constants stand for each table here, and the compiler adds up the
 * 2,048 entries:
 *
 *     crc ^ word   =  [b0] [b1] [b2] [b3] [b4] [b5] [b6] [b7]
 *     new crc      =  T7    T6   T5   T4   T3   T2   T1   T0      all xored
 *
 * To combine two sums, the first one is multiplied by x^(8 n): what n bytes of zeros behind its
 * bytes would make of it. Powers come by squaring, and a product of two polynomials takes 64 steps.
 *
 * Rejected: filling the tables at start (state that two threads would share), and the carry-less
 * multiplication of newer CPUs (a second path, for what is a small part of writing a file).
 */

/** x^64 modulo the polynomial; the top bit stands for 1. */
#define POLYNOMIAL UINT64_C(0x95ac9329ac4bc9b5)
#define ONE (UINT64_C(1) << 63)

#define BIT(index, bit, constant) (((index) >> (bit)&1) != 0 ? UINT64_C(constant) : 0)
#define ENTRY(i, a, b, c, d, e, f, g, h)                                                           \
    (BIT(i, 0, a) ^ BIT(i, 1, b) ^ BIT(i, 2, c) ^ BIT(i, 3, d) ^ BIT(i, 4, e) ^ BIT(i, 5, f) ^     \
     BIT(i, 6, g) ^ BIT(i, 7, h))
#define ENTRIES_4(i, ...)                                                                          \
    ENTRY(i, __VA_ARGS__), ENTRY((i) + 1, __VA_ARGS__), ENTRY((i) + 2, __VA_ARGS__),               \
        ENTRY((i) + 3, __VA_ARGS__)
#define ENTRIES_16(i, ...)                                                                         \
    ENTRIES_4(i, __VA_ARGS__), ENTRIES_4((i) + 4, __VA_ARGS__), ENTRIES_4((i) + 8, __VA_ARGS__),   \
        ENTRIES_4((i) + 12, __VA_ARGS__)
#define ENTRIES_64(i, ...)                                                                         \
    ENTRIES_16(i, __VA_ARGS__), ENTRIES_16((i) + 16, __VA_ARGS__),                                 \
        ENTRIES_16((i) + 32, __VA_ARGS__), ENTRIES_16((i) + 48, __VA_ARGS__)
#define TABLE(...)                                                                                 \
    {                                                                                              \
        ENTRIES_64(0, __VA_ARGS__), ENTRIES_64(64, __VA_ARGS__), ENTRIES_64(128, __VA_ARGS__),     \
            ENTRIES_64(192, __VA_ARGS__)                                                           \
    }

static const uint64_t tables[8][256] = {
    TABLE(0x7ad870c830358979, 0xf5b0e190606b12f2, 0xc038e5739841b68f, 0xab28ecb46814fe75,
          0x7d08ff3b88be6f81, 0xfa11fe77117cdf02, 0xdf7adabd7a6e2d6f, 0x95ac9329ac4bc9b5),
    TABLE(0x89e99ffd73bddf69, 0x388a19a9bfec2db9, 0x711433537fd85b72, 0xe22866a6ffb0b6e4,
          0xef09eb1ea7f6fea3, 0xf54af06e177a6e2d, 0xc1ccc68f76634f31, 0xa8c0ab4db4510d09),
    TABLE(0xf4125129ce4038be, 0xc37d8400c417e217, 0xada22e52d0b85745, 0x701d7af6f9e73de1,
          0xe03af5edf3ce7bc2, 0xeb2ccd88bf0b64ef, 0xfd00bd4226815ab5, 0xd1585cd715952601),
    TABLE(0x8ce168638c796306, 0x329bf69440655567, 0x6537ed2880caaace, 0xca6fda510195559c,
          0xbf8692f15bbd3853, 0x545403b1efede3cd, 0xa8a80763dfdbc79a, 0x7a092894e7201c5f),
    TABLE(0x3504e58b9ba6dd1e, 0x6a09cb17374dba3c, 0xd413962e6e9b7478, 0x837e0a0f85a17b9b,
          0x2da5324c53d5645d, 0x5b4a6498a7aac8ba, 0xb694c9314f559174, 0x4670b431c63cb183),
    TABLE(0xe39d1389931b9354, 0xec6301407ea0b5c3, 0xf39f24d3a5d6f8ed, 0xcc676ff4133a62b1,
          0xb397f9bb7ee35609, 0x4c76d525a5513f79, 0x98edaa4b4aa27ef2, 0x1a8272c5cdd36e8f),
    TABLE(0x62a95de6e302eff2, 0xc552bbcdc605dfe4, 0xa1fc51c8d49c2ca3, 0x68a185c2f1afca2d,
          0xd1430b85e35f945a, 0x89df31589e28bbdf, 0x38e744e264c6e4d5, 0x71ce89c4c98dc9aa),
    TABLE(0x381d0015c96f4444, 0x703a002b92de8888, 0xe074005725bd1110, 0xebb126fd13edb14b,
          0xfc3b6ba97f4cf1fd, 0xd32ff101a60e7091, 0x8d06c450148b7249, 0x3154aef3718177f9),
};

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "words are read as they lie");

static inline uint64_t
crc64_word(uint64_t word)
{
    return tables[7][word & 255] ^ tables[6][word >> 8 & 255] ^ tables[5][word >> 16 & 255] ^
           tables[4][word >> 24 & 255] ^ tables[3][word >> 32 & 255] ^ tables[2][word >> 40 & 255] ^
           tables[1][word >> 48 & 255] ^ tables[0][word >> 56];
}

uint64_t
crc64_update(uint64_t crc, struct slice bytes)
{
    const unsigned char *at = (const unsigned char *)bytes.data;
    size_t left_size = bytes.size;
    for (; left_size >= sizeof(uint64_t); left_size -= sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, at, sizeof(word));
        crc = crc64_word(crc ^ word);
        at += sizeof(word);
    }
    for (; left_size > 0; left_size--) {
        crc = crc >> 8 ^ tables[0][(crc ^ *at++) & 255];
    }
    return crc;
}

/** The product of two polynomials, modulo ours. */
static uint64_t
multiply(uint64_t a, uint64_t b)
{
    uint64_t product = 0;
    for (uint64_t bit = ONE; bit != 0; bit >>= 1) {
        if ((a & bit) != 0) {
            product ^= b;
        }
        b = b >> 1 ^ ((b & 1) != 0 ? POLYNOMIAL : 0);
    }
    return product;
}

uint64_t
crc64_combine(uint64_t crc_a, uint64_t crc_b, uint64_t size_b)
{
    uint64_t power = ONE >> 8; /* x^8: one byte */
    uint64_t shift = ONE;
    for (; size_b != 0; size_b >>= 1) {
        if ((size_b & 1) != 0) {
            shift = multiply(shift, power);
        }
        power = multiply(power, power);
    }
    return multiply(crc_a, shift) ^ crc_b;
}
