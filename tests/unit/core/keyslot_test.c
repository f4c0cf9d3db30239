/* keyslot_test.c: the table-driven CRC against single bits, slots against known answers. */
#include "core/keyslot.h"

#include "core/random.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdlib.h>

static uint16_t
model_crc(const char *data, size_t size)
{
    uint32_t crc = 0;
    for (size_t i = 0; i < size; i++) {
        crc ^= (uint32_t)(unsigned char)data[i] << 8;
        for (int bit = 0; bit < 8; bit++) {
            crc = crc & 0x8000 ? (crc << 1 ^ 0x1021) & 0xffff : crc << 1;
        }
    }
    return (uint16_t)crc;
}

/** The rule as the specification words it, byte by byte. */
static uint16_t
model_slot(const char *key, size_t size)
{
    size_t open = 0;
    while (open < size && key[open] != '{') {
        open++;
    }
    size_t close = open + 1;
    while (close < size && key[close] != '}') {
        close++;
    }
    if (close < size && close > open + 1) {
        return model_crc(key + open + 1, close - open - 1) % SLOT_COUNT;
    }
    return model_crc(key, size) % SLOT_COUNT;
}

Test(keyslot, known_crc)
{
    cr_assert_eq(crc16("123456789", 9), 0x31C3);
    cr_assert_eq(crc16("", 0), 0);
}

Test(keyslot, slots_as_the_oracle_gives_them)
{
    const struct {
        struct slice key;
        uint16_t slot;
    } cases[] = {
        {SLICE(""), 0},
        {SLICE("a"), 15495},
        {SLICE("{a}"), 15495},
        {SLICE("}{a}"), 15495},
        {SLICE("{}a"), 10875},
        {SLICE("{}"), 15257},
        {SLICE("{}{a}"), 13650},
        {SLICE("{a"), 10276},
        {SLICE("a{b}{c}"), 3300},
        {SLICE("a}b{c}d"), 7365},
        {SLICE("foo{}{bar}"), 8363},
        {SLICE("foo{{bar}}zap"), 4015},
        {SLICE("foo{bar}{zap}"), 5061},
        {SLICE("{user1000}.following"), 3443},
        {SLICE("{\0}x"), 0},
        {SLICE("123456789"), 12739},
        {SLICE("somekey"), 11058},
        {SLICE("foo{hash_tag}"), 2515},
        {SLICE("xxxxxxxxxxxxxxxx"), 8238},
        {SLICE("yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"), 5426},
        {SLICE("\xff\xfe\0\x01"), 9169},
    };
    for (size_t c = 0; c < ARRAY_COUNT(cases); c++) {
        cr_expect_eq(key_slot(cases[c].key), cases[c].slot, "%s", cases[c].key.data);
    }
}

Test(keyslot, every_byte_at_every_place)
{
    for (size_t size = 1; size <= 24; size++) {
        char data[24] = {0};
        for (size_t at = 0; at < size; at++) {
            for (int byte = 0; byte < 256; byte++) {
                data[at] = (char)byte;
                cr_assert_eq(crc16(data, size), model_crc(data, size), "size %zu at %zu byte %d",
                             size, at, byte);
            }
            data[at] = 0;
        }
    }
}

Test(keyslot, races_a_bytewise_model)
{
    uint64_t seed = random_system_seed();
    cr_log_info("seed %" PRIu64, seed);
    struct random random;
    random_create(&random, seed);
    for (int round = 0; round < 200000; round++) {
        /* On the heap and exactly as long as the key: a sanitizer sees a byte read too far. */
        size_t size = random_below(&random, 80);
        char *key = malloc(MAX(size, (size_t)1));
        for (size_t i = 0; i < size; i++) {
            key[i] = (char)random_next(&random);
        }
        size_t brace_count = size == 0 ? 0 : random_below(&random, 5);
        for (size_t i = 0; i < brace_count; i++) {
            key[random_below(&random, size)] = "{}{|z"[random_below(&random, 5)];
        }
        cr_assert_eq(crc16(key, size), model_crc(key, size), "seed %" PRIu64, seed);
        cr_assert_eq(key_slot(slice_of(key, size)), model_slot(key, size), "seed %" PRIu64, seed);
        free(key);
    }
}
