#include "shard/value/bits.h"

#include <assert.h>

/*
 * bits.c: strings as arrays of bits.
 * Everything runs over 64-bit words and treats the ragged ends apart:
 *
 *       first                                last
 *     [..xxxxxx][xxxxxxxx ... words ... ][xxx.....]
 *      masked     whole bytes             masked
 *
 * Words are loaded and stored by memcpy, so nothing need be aligned. Counting asks once a call
 * whether the CPU has an instruction for it; without one it adds up bits in parallel. Several
 * sources are combined block by block, so that what one source leaves is still in the cache when
 * the next one comes.
 *
 * Invariant: no byte outside the given ones is read or written, so that a string may end at the end
 * of its memory.
 *
 * Rejected: tables of 256 counts (a load for each byte, four times slower), and functions that the
 * loader picks by CPU (sanitizers do not start with them).
 */

/** Half of a first-level cache: a block of the result and the block of a source beside it. */
#define COMBINE_BLOCK_SIZE ((size_t)16384)

#define WORD_SIZE sizeof(uint64_t)

static inline uint64_t
word_load(const char *data)
{
    uint64_t word;
    memcpy(&word, data, sizeof(word));
    return word;
}

static inline void
word_store(char *data, uint64_t word)
{
    memcpy(data, &word, sizeof(word));
}

/* ---- counting ---- */

/** Four sums, so that no addition waits for the one before it. */
static inline __attribute__((always_inline)) uint64_t
count_words(const char *data, size_t size)
{
    uint64_t sums[4] = {0};
    size_t i = 0;
    for (; i + 4 * WORD_SIZE <= size; i += 4 * WORD_SIZE) {
        for (size_t j = 0; j < 4; j++) {
            sums[j] += (uint64_t)__builtin_popcountll(word_load(data + i + j * WORD_SIZE));
        }
    }
    for (; i + WORD_SIZE <= size; i += WORD_SIZE) {
        sums[0] += (uint64_t)__builtin_popcountll(word_load(data + i));
    }
    if (i < size) {
        uint64_t rest = 0;
        memcpy(&rest, data + i, size - i);
        sums[1] += (uint64_t)__builtin_popcountll(rest);
    }
    return sums[0] + sums[1] + sums[2] + sums[3];
}

#if defined(__x86_64__)

__attribute__((target("popcnt"))) static uint64_t
count_with_instruction(const char *data, size_t size)
{
    return count_words(data, size);
}

/** Bits become sums of two, of four, of eight, in all bytes of a word at once. */
static inline uint64_t
word_count(uint64_t word)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    word -= word >> 1 & ones * 0x55;
    word = (word & ones * 0x33) + (word >> 2 & ones * 0x33);
    word = (word + (word >> 4)) & ones * 0x0f;
    return word * ones >> 56;
}

static uint64_t
count_without_instruction(const char *data, size_t size)
{
    uint64_t count = 0;
    size_t i = 0;
    for (; i + WORD_SIZE <= size; i += WORD_SIZE) {
        count += word_count(word_load(data + i));
    }
    if (i < size) {
        uint64_t rest = 0;
        memcpy(&rest, data + i, size - i);
        count += word_count(rest);
    }
    return count;
}

uint64_t
bits_count(const char *data, size_t size)
{
    return __builtin_cpu_supports("popcnt") ? count_with_instruction(data, size)
                                            : count_without_instruction(data, size);
}

#else

uint64_t
bits_count(const char *data, size_t size)
{
    return count_words(data, size);
}

#endif

/** The bits of its first byte that a range from `first` on has. */
static inline unsigned
mask_from(uint64_t first)
{
    return 0xffU >> (first & 7);
}

/** The bits of its last byte that a range up to `last` has. */
static inline unsigned
mask_to(uint64_t last)
{
    return 0xffU << (7 - (last & 7)) & 0xffU;
}

uint64_t
bits_count_range(const char *data, uint64_t first, uint64_t last)
{
    ASSERT(first <= last);
    uint64_t first_byte = first >> 3;
    uint64_t last_byte = last >> 3;
    unsigned before = (unsigned char)data[first_byte] & ~mask_from(first);
    unsigned behind = (unsigned char)data[last_byte] & ~mask_to(last);
    return bits_count(data + first_byte, last_byte - first_byte + 1) -
           (uint64_t)__builtin_popcount(before) - (uint64_t)__builtin_popcount(behind);
}

/* ---- searching ---- */

/** Where the first byte other than `skip` stands from `at` on; `end`: nowhere before it. */
static uint64_t
find_byte_not(const char *data, uint64_t at, uint64_t end, unsigned char skip)
{
    uint64_t skip_word = UINT64_C(0x0101010101010101) * skip;
    for (; at + 4 * WORD_SIZE <= end; at += 4 * WORD_SIZE) {
        uint64_t others = 0;
        for (uint64_t j = 0; j < 4; j++) {
            others |= word_load(data + at + j * WORD_SIZE) ^ skip_word;
        }
        if (others != 0) {
            break;
        }
    }
    for (; at + WORD_SIZE <= end; at += WORD_SIZE) {
        uint64_t others = word_load(data + at) ^ skip_word;
        if (others != 0) {
            return at + (uint64_t)__builtin_ctzll(others) / 8;
        }
    }
    while (at < end && (unsigned char)data[at] == skip) {
        at++;
    }
    return at;
}
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the lowest byte of a word comes first");

int64_t
bits_find(const char *data, uint64_t first, uint64_t last, bool bit)
{
    ASSERT(first <= last);
    unsigned char skip = bit ? 0x00 : 0xff;
    uint64_t at = first >> 3;
    uint64_t last_byte = last >> 3;
    unsigned found = ((unsigned char)data[at] ^ skip) & mask_from(first);
    if (found == 0 && at < last_byte) {
        at = find_byte_not(data, at + 1, last_byte, skip);
        found = (unsigned char)data[at] ^ skip;
    }
    if (at == last_byte) {
        found &= mask_to(last);
    }
    return found == 0 ? -1 : (int64_t)(at * 8) + __builtin_clz(found) - 24;
}

/* ---- combining ---- */

static inline uint64_t
word_combine(uint64_t a, uint64_t b, enum bits_operation operation)
{
    switch (operation) {
    case BITS_AND:
        return a & b;
    case BITS_OR:
        return a | b;
    case BITS_XOR:
        return a ^ b;
    case BITS_NOT:
        return ~b;
    }
    return 0;
}

/** out = out op in. Each caller names one operation, so that the loop has no choice in it. */
static inline __attribute__((always_inline)) void
combine_bytes(char *restrict out, const char *restrict in, size_t size,
              enum bits_operation operation)
{
    size_t i = 0;
    for (; i + WORD_SIZE <= size; i += WORD_SIZE) {
        word_store(out + i, word_combine(word_load(out + i), word_load(in + i), operation));
    }
    for (; i < size; i++) {
        out[i] = (char)word_combine((unsigned char)out[i], (unsigned char)in[i], operation);
    }
}

static void
combine_block(char *out, const char *in, size_t size, enum bits_operation operation)
{
    switch (operation) {
    case BITS_AND:
        combine_bytes(out, in, size, BITS_AND);
        break;
    case BITS_OR:
        combine_bytes(out, in, size, BITS_OR);
        break;
    case BITS_XOR:
        combine_bytes(out, in, size, BITS_XOR);
        break;
    case BITS_NOT:
        combine_bytes(out, in, size, BITS_NOT);
        break;
    }
}

/** The bytes of `source` in the block that begins at `at`; perhaps none. */
static inline struct slice
block_of(struct slice source, size_t at, size_t size)
{
    if (at >= source.size) {
        return slice_of("", 0);
    }
    return slice_of(source.data + at, MIN(size, source.size - at));
}

void
bits_combine(char *out, size_t size, enum bits_operation operation, const struct slice *sources,
             uint32_t source_count)
{
    ASSERT(source_count > 0);
    ASSERT(operation != BITS_NOT || source_count == 1);
    for (size_t at = 0; at < size; at += COMBINE_BLOCK_SIZE) {
        size_t block_size = MIN(COMBINE_BLOCK_SIZE, size - at);
        char *block = out + at;
        struct slice first = block_of(sources[0], at, block_size);
        memcpy(block, first.data, first.size);
        memset(block + first.size, 0, block_size - first.size);
        if (operation == BITS_NOT) {
            combine_block(block, sources[0].data + at, block_size, BITS_NOT);
        }
        for (uint32_t i = 1; i < source_count; i++) {
            struct slice next = block_of(sources[i], at, block_size);
            combine_block(block, next.data, next.size, operation);
            if (operation == BITS_AND) {
                memset(block + next.size, 0, block_size - next.size);
            }
        }
    }
}

/* ---- integers of any width ---- */

/** A number of 64 bits that begins within a byte touches nine. */
#define FIELD_BYTES_MAX 9

static inline uint64_t
width_mask(uint32_t width)
{
    return width == 64 ? UINT64_MAX : (UINT64_C(1) << width) - 1;
}

uint64_t
bits_read(struct slice bytes, uint64_t offset, uint32_t width)
{
    ASSERT(width >= 1 && width <= 64);
    uint64_t at = offset >> 3;
    unsigned char window[FIELD_BYTES_MAX] = {0};
    if (at < bytes.size) {
        memcpy(window, bytes.data + at, MIN(bytes.size - at, sizeof(window)));
    }
    uint64_t word = __builtin_bswap64(word_load((const char *)window));
    uint32_t shift = (uint32_t)(offset & 7);
    if (shift > 0) {
        word = word << shift | (uint64_t)window[8] >> (8 - shift);
    }
    return word >> (64 - width);
}

void
bits_write(char *data, size_t size, uint64_t offset, uint32_t width, uint64_t value)
{
    ASSERT(width >= 1 && width <= 64);
    uint64_t at = offset >> 3;
    uint32_t shift = (uint32_t)(offset & 7);
    uint32_t touched_size = (shift + width + 7) / 8;
    ASSERT(at + touched_size <= size);
    unsigned __int128 mask = (unsigned __int128)width_mask(width) << (128 - shift - width);
    unsigned __int128 bits = (unsigned __int128)(value & width_mask(width))
                             << (128 - shift - width);
    for (uint32_t i = 0; i < touched_size; i++) {
        unsigned char keep = (unsigned char)~(mask >> (120 - 8 * i));
        data[at + i] =
            (char)(((unsigned char)data[at + i] & keep) | (unsigned char)(bits >> (120 - 8 * i)));
    }
}
