/*
 * digest.c: fingerprints of values.
 *
 * Two steps on SHA-1 hashes make everything:
 *
 *     add:  digest ^= sha1(bytes)             members of sets, keys of a database: no order
 *     mix:  digest  = sha1(digest ^ sha1(bytes))   what follows one another: order counts
 *
 * A value's digest begins with its type, mixed. Then a string mixes its bytes, a list its elements,
 * a stream its entries' ids, fields and values, and a set adds its members. Hashes and sorted sets
 * add a small digest for each element, field mixed with value, member mixed with score, so that
 * pairs stay pairs while the pairs have no order. A deadline adds a fixed word: that there is one
 * counts, when does not, since clocks of two servers differ.
 *
 * All is fed as text as clients read it, integers by their digits and scores with 17 significant
 * digits; so encodings, which differ by settings and history, do not show. The scheme, the order of
 * steps and the numbers of the types are redis-server's; nothing here is a defence against forgery,
 * and SHA-1 serves as the hash only because the other side has it.
 *
 * SHA-1 is here and not from a library: it is one page, and speed is of no concern where whole data
 * sets are walked for a test.
 */
#include "shard/value/digest.h"

#include "core/number.h"
#include "shard/value/hash.h"
#include "shard/value/list_value.h"
#include "shard/value/set.h"
#include "shard/value/stream.h"
#include "shard/value/zset.h"

#include <stdio.h>

/* ---- SHA-1: FIPS 180-4, 5.1.1, 5.3.1 and 6.1.2 ---- */

#define SHA1_BLOCK_SIZE 64
#define SHA1_ROUNDS 80
/** Bytes of the message's length, at the end of the last block. */
#define SHA1_LENGTH_SIZE 8

static inline uint32_t
rotate_left(uint32_t word, unsigned count)
{
    return word << count | word >> (32 - count);
}

static inline uint32_t
word_read(const unsigned char *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static inline void
word_write(unsigned char *bytes, uint32_t word)
{
    for (unsigned i = 0; i < sizeof(word); i++) {
        bytes[i] = (unsigned char)(word >> (24 - 8 * i));
    }
}

/** The function and the constant of a round. */
static inline uint32_t
sha1_round(unsigned round, uint32_t b, uint32_t c, uint32_t d)
{
    if (round < 20) {
        return ((b & c) ^ (~b & d)) + 0x5a827999;
    }
    if (round < 40) {
        return (b ^ c ^ d) + 0x6ed9eba1;
    }
    if (round < 60) {
        return ((b & c) ^ (b & d) ^ (c & d)) + 0x8f1bbcdc;
    }
    return (b ^ c ^ d) + 0xca62c1d6;
}

static void
sha1_block(uint32_t state[5], const unsigned char *block)
{
    uint32_t schedule[SHA1_ROUNDS];
    for (unsigned t = 0; t < 16; t++) {
        schedule[t] = word_read(block + 4 * t);
    }
    for (unsigned t = 16; t < SHA1_ROUNDS; t++) {
        schedule[t] =
            rotate_left(schedule[t - 3] ^ schedule[t - 8] ^ schedule[t - 14] ^ schedule[t - 16], 1);
    }
    uint32_t a = state[0];
    uint32_t b = state[1];
    uint32_t c = state[2];
    uint32_t d = state[3];
    uint32_t e = state[4];
    for (unsigned t = 0; t < SHA1_ROUNDS; t++) {
        uint32_t next = rotate_left(a, 5) + sha1_round(t, b, c, d) + e + schedule[t];
        e = d;
        d = c;
        c = rotate_left(b, 30);
        b = a;
        a = next;
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
    state[4] += e;
}

static void
sha1(struct slice message, unsigned char out[DIGEST_SIZE])
{
    uint32_t state[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    const unsigned char *bytes = (const unsigned char *)message.data;
    size_t left = message.size;
    for (; left >= SHA1_BLOCK_SIZE; left -= SHA1_BLOCK_SIZE, bytes += SHA1_BLOCK_SIZE) {
        sha1_block(state, bytes);
    }
    /* The rest, a one bit, zeros, and the length in bits: one block, or two. */
    unsigned char tail[2 * SHA1_BLOCK_SIZE] = {0};
    if (left > 0) {
        memcpy(tail, bytes, left);
    }
    tail[left] = 0x80;
    bool is_one = left + 1 + SHA1_LENGTH_SIZE <= SHA1_BLOCK_SIZE;
    size_t tail_size = is_one ? SHA1_BLOCK_SIZE : 2 * SHA1_BLOCK_SIZE;
    uint64_t bit_count = (uint64_t)message.size * 8;
    word_write(tail + tail_size - 8, (uint32_t)(bit_count >> 32));
    word_write(tail + tail_size - 4, (uint32_t)bit_count);
    for (size_t at = 0; at < tail_size; at += SHA1_BLOCK_SIZE) {
        sha1_block(state, tail + at);
    }
    for (unsigned i = 0; i < ARRAY_COUNT(state); i++) {
        word_write(out + 4 * i, state[i]);
    }
}

/* ---- the two steps ---- */

void
digest_add(struct digest *digest, struct slice bytes)
{
    struct digest other;
    sha1(bytes, other.bytes);
    digest_join(digest, &other);
}

void
digest_mix(struct digest *digest, struct slice bytes)
{
    digest_add(digest, bytes);
    struct digest mixed = *digest;
    sha1(slice_of(mixed.bytes, DIGEST_SIZE), digest->bytes);
}

void
digest_mix_number(struct digest *digest, uint32_t number)
{
    unsigned char bytes[4];
    word_write(bytes, number);
    digest_mix(digest, slice_of(bytes, sizeof(bytes)));
}

void
digest_format(const struct digest *digest, char text[DIGEST_TEXT_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    for (uint32_t i = 0; i < DIGEST_SIZE; i++) {
        text[2 * i] = digits[digest->bytes[i] >> 4];
        text[2 * i + 1] = digits[digest->bytes[i] & 15];
    }
    text[DIGEST_TEXT_SIZE - 1] = '\0';
}

/* ---- values ---- */

/** The types' numbers in redis-server, which the digest begins with. */
static uint32_t
type_number(enum value_type type)
{
    switch (type) {
    case VALUE_STRING:
        return 0;
    case VALUE_LIST:
        return 1;
    case VALUE_SET:
        return 2;
    case VALUE_ZSET:
        return 3;
    case VALUE_HASH:
        return 4;
    case VALUE_STREAM:
        return 6;
    case VALUE_NONE:
        break;
    }
    ASSERT(false);
}

static void
mix_integer(struct digest *digest, int64_t integer)
{
    char digits[NUMBER_I64_SIZE_MAX];
    digest_mix(digest, slice_of(digits, number_format_i64(digits, integer)));
}

static void
mix_string(struct digest *digest, const struct value *value)
{
    if (value->encoding == ENCODING_INT) {
        mix_integer(digest, value->integer);
    } else {
        digest_mix(digest, value->bytes);
    }
}

static void
mix_item(struct digest *digest, const struct listpack_item *item)
{
    if (item->is_integer) {
        mix_integer(digest, item->integer);
    } else {
        digest_mix(digest, item->bytes);
    }
}

static void
mix_list(struct digest *digest, const struct value *value)
{
    struct list_value list = {.encoding = (enum value_encoding)value->encoding,
                              .object = value->object};
    struct list_value_walk walk = list_value_walk(&list, 0, false);
    struct listpack_item item;
    while (list_value_next(&walk, &item)) {
        mix_item(digest, &item);
    }
}

static void
add_set(struct digest *digest, const struct value *value)
{
    struct set set = {.encoding = (enum value_encoding)value->encoding, .object = value->object};
    struct set_walk walk;
    struct slice member;
    set_walk_start(&walk, &set);
    while (set_next(&walk, &member)) {
        digest_add(digest, member);
    }
}

/** An element of two parts: their order counts, the elements' does not. */
static void
add_pair(struct digest *digest, struct slice first, struct slice second)
{
    struct digest pair = {0};
    digest_mix(&pair, first);
    digest_mix(&pair, second);
    digest_add(digest, slice_of(pair.bytes, DIGEST_SIZE));
}

static void
add_hash(struct digest *digest, const struct value *value)
{
    struct hash hash = {.encoding = (enum value_encoding)value->encoding, .object = value->object};
    struct hash_walk walk;
    struct hash_pair pair;
    hash_walk_start(&walk, &hash);
    while (hash_next(&walk, &pair)) {
        add_pair(digest, pair.field, pair.value);
    }
}

static void
add_zset(struct digest *digest, const struct value *value)
{
    struct zset zset = {.encoding = (enum value_encoding)value->encoding, .object = value->object};
    struct zset_walk walk;
    struct ztree_item item;
    zset_walk_start(&walk, &zset, 0, false);
    while (zset_next(&walk, &item)) {
        /* Not number_format_double(): the protocol's spelling is free to change, this is not. */
        char score[NUMBER_DOUBLE_SIZE_MAX];
        int size = snprintf(score, sizeof(score), "%.17g", item.score);
        ASSERT(size > 0 && (size_t)size < sizeof(score));
        add_pair(digest, item.member, slice_of(score, (size_t)size));
    }
}

/** Entries in their order. What groups have read does not count. */
static void
mix_stream(struct digest *digest, const struct value *value)
{
    struct stream_walk walk;
    struct stream_id id;
    uint32_t pair_count;
    stream_walk_start(&walk, value->object, STREAM_ID_MIN, STREAM_ID_MAX, false);
    while (stream_walk_next(&walk, &id, &pair_count)) {
        char text[STREAM_ID_TEXT_SIZE];
        size_t size = stream_id_format(text, id);
        /* Not as clients read it. */
        *(char *)memchr(text, '-', size) = '.';
        digest_mix(digest, slice_of(text, size));
        for (uint32_t i = 0; i < pair_count; i++) {
            struct listpack_item field;
            struct listpack_item item;
            stream_walk_pair(&walk, &field, &item);
            mix_item(digest, &field);
            mix_item(digest, &item);
        }
    }
}

void
digest_mix_value(struct digest *digest, const struct value *value, bool has_deadline)
{
    enum value_type type = (enum value_type)value->type;
    digest_mix_number(digest, type_number(type));
    switch (type) {
    case VALUE_STRING:
        mix_string(digest, value);
        break;
    case VALUE_LIST:
        mix_list(digest, value);
        break;
    case VALUE_SET:
        add_set(digest, value);
        break;
    case VALUE_ZSET:
        add_zset(digest, value);
        break;
    case VALUE_HASH:
        add_hash(digest, value);
        break;
    case VALUE_STREAM:
        mix_stream(digest, value);
        break;
    case VALUE_NONE:
        ASSERT(false);
    }
    if (has_deadline) {
        digest_add(digest, SLICE("!!expire!!"));
    }
}
