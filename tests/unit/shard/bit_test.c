/*
 * bit_test.c: the commands on bits, each run as the owner's own and as a borrower's, and the
 * functions under them against one bit at a time.
 */
#include "core/keyslot.h"
#include "core/random.h"
#include "harness.h"
#include "shard/value/bits.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#define WRONG_OFFSET "-ERR bit offset is not an integer or out of range\r\n"
#define NOT_INTEGER "-ERR value is not an integer or out of range\r\n"
#define SYNTAX "-ERR syntax error\r\n"
#define WRONG_FIELD                                                                                \
    "-ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but "   \
    "i64 is.\r\n"

struct step {
    const char *line;
    const char *reply;
};

static void
steps_run_as(const struct step *steps, bool is_borrowed)
{
    struct harness *harness = harness_new();
    harness->is_borrowed = is_borrowed;
    for (; steps->line != NULL; steps++) {
        const char *reply = harness_line(harness, steps->line);
        cr_expect_str_eq(reply, steps->reply, "%s: %s instead of %s", steps->line, reply,
                         steps->reply);
    }
    struct harness *replica = harness_new();
    harness_replay(harness, replica);
    cr_expect(harness_equal(harness, replica));
    harness_delete(replica);
    harness_delete(harness);
}

/** Each table runs twice, and its effects are replayed on an empty shard. */
static void
steps_run(const struct step *steps)
{
    steps_run_as(steps, false);
    steps_run_as(steps, true);
}

Test(bit, setbit_and_getbit)
{
    steps_run((const struct step[]){
        {"SETBIT k 7 1", ":0\r\n"},
        {"SETBIT k 7 1", ":1\r\n"},
        {"GET k", "$1\r\n\x01\r\n"},
        {"SETBIT k 17 0", ":0\r\n"},
        {"STRLEN k", ":3\r\n"},
        {"GETBIT k 7", ":1\r\n"},
        {"GETBIT k 8", ":0\r\n"},
        {"GETBIT k 4294967295", ":0\r\n"},
        {"SETBIT k 7 0", ":1\r\n"},
        {"SET n 12", "+OK\r\n"},
        {"SETBIT n 6 1", ":0\r\n"},
        {"GET n", "$2\r\n32\r\n"},
        {"SETBIT far 100000 1", ":0\r\n"},
        {"STRLEN far", ":12501\r\n"},
        {"GETBIT far 100000", ":1\r\n"},
        {"SETBIT k -1 1", WRONG_OFFSET},
        {"SETBIT k 4294967296 1", WRONG_OFFSET},
        {"SETBIT k 01 1", WRONG_OFFSET},
        {"SETBIT k #1 1", WRONG_OFFSET},
        {"GETBIT k 4294967296", WRONG_OFFSET},
        {"SETBIT k 4294967295 2", "-ERR bit is not an integer or out of range\r\n"},
        {"SETBIT k 1 x", "-ERR bit is not an integer or out of range\r\n"},
        {0},
    });
}

Test(bit, setbit_keeps_deadline_and_tells_only_changes)
{
    struct harness *harness = harness_new();
    harness_line(harness, "SET k abc EX 10");
    harness_effects(harness);
    harness_line(harness, "SETBIT k 0 0");
    cr_expect_str_eq(harness_effects(harness), "");
    cr_expect_str_eq(harness_encoding(harness, "k"), "raw");
    harness_line(harness, "SETBIT k 0 1");
    cr_expect_str_eq(harness_effects(harness), "SETBIT k 0 1\n");
    harness_line(harness, "SETBIT k 31 0");
    cr_expect_str_eq(harness_effects(harness), "SETBIT k 31 0\n");
    cr_expect_eq(harness_deadline_ms(harness, "k"), HARNESS_START_MS + 10000);
    harness_line(harness, "SETBIT n 0 0");
    cr_expect_str_eq(harness_effects(harness), "SETBIT n 0 0\n");
    harness_delete(harness);
}

Test(bit, setbit_works_in_place)
{
    struct harness *harness = harness_new();
    harness->is_checked = false;
    harness_line(harness, "SETBIT k 80000000 1");
    struct slice key = SLICE("k");
    struct keyspace *keyspace = &harness->shard->keyspace;
    struct value before;
    struct value after;
    entry_value(keyspace_find(keyspace, 0, key_slot(key), key, keyspace_hash(keyspace, key)),
                &before);
    harness_line(harness, "SETBIT k 12345678 1");
    entry_value(keyspace_find(keyspace, 0, key_slot(key), key, keyspace_hash(keyspace, key)),
                &after);
    cr_expect_eq(before.raw, after.raw);
    cr_expect_str_eq(harness_line(harness, "BITCOUNT k"), ":2\r\n");
    harness_delete(harness);
}

Test(bit, offsets_end_with_the_largest_string)
{
    struct harness *harness = harness_new();
    harness->config->proto_max_bulk_len = 1 << 20;
    cr_expect_str_eq(harness_line(harness, "SETBIT k 8388608 1"), WRONG_OFFSET);
    cr_expect_str_eq(harness_line(harness, "SETBIT k 8388607 1"), ":0\r\n");
    cr_expect_str_eq(harness_line(harness, "STRLEN k"), ":1048576\r\n");
    /* A field may begin with the last bit. */
    cr_expect_str_eq(harness_line(harness, "BITFIELD k SET u16 8388607 3"), "*1\r\n:32768\r\n");
    cr_expect_str_eq(harness_line(harness, "STRLEN k"), ":1048578\r\n");
    cr_expect_str_eq(harness_line(harness, "BITPOS k 1"), ":8388621\r\n");
    harness_delete(harness);
}

Test(bit, bitcount)
{
    steps_run((const struct step[]){
        {"SET k foobar", "+OK\r\n"},
        {"BITCOUNT k", ":26\r\n"},
        {"BITCOUNT k 0 0", ":4\r\n"},
        {"BITCOUNT k 1 1 BYTE", ":6\r\n"},
        {"BITCOUNT k 5 30 bit", ":17\r\n"},
        {"BITCOUNT k -2 -1", ":7\r\n"},
        {"BITCOUNT k 0 -100", ":4\r\n"},
        {"BITCOUNT k -1 -2 nonsense", ":0\r\n"},
        {"BITCOUNT k 3 2", ":0\r\n"},
        {"BITCOUNT k 6 9", ":0\r\n"},
        {"BITCOUNT k -9223372036854775808 9223372036854775807 BIT", ":26\r\n"},
        {"BITCOUNT k 0", SYNTAX},
        {"BITCOUNT k 0 1 nonsense", SYNTAX},
        {"BITCOUNT k 0 1 BIT BIT", SYNTAX},
        {"BITCOUNT k x 1", NOT_INTEGER},
        {"BITCOUNT none x 1 y z", ":0\r\n"},
        {"SET n 123", "+OK\r\n"},
        {"BITCOUNT n", ":10\r\n"},
        {"SET e ''", "+OK\r\n"},
        {"BITCOUNT e 0 -1", ":0\r\n"},
        {0},
    });
}

Test(bit, bitpos)
{
    steps_run((const struct step[]){
        {"SET k \"\\xff\\xf0\\x00\"", "+OK\r\n"},
        {"BITPOS k 0", ":12\r\n"},
        {"BITPOS k 1", ":0\r\n"},
        {"BITPOS k 1 2", ":-1\r\n"},
        {"BITPOS k 0 0 0", ":-1\r\n"},
        {"BITPOS k 0 -3 -3", ":-1\r\n"},
        {"BITPOS k 1 13 -1 BIT", ":-1\r\n"},
        {"BITPOS k 0 3 12 BIT", ":12\r\n"},
        {"BITPOS k 0 3 11 bit", ":-1\r\n"},
        {"SET ones \"\\xff\\xff\"", "+OK\r\n"},
        {"BITPOS ones 0", ":16\r\n"},
        {"BITPOS ones 0 1", ":16\r\n"},
        {"BITPOS ones 0 2", ":-1\r\n"},
        {"BITPOS ones 0 0 -1", ":-1\r\n"},
        {"BITPOS none 0", ":0\r\n"},
        {"BITPOS none 1 x", ":-1\r\n"},
        {"SET e ''", "+OK\r\n"},
        {"BITPOS e 0", ":-1\r\n"},
        {"BITPOS k 2", "-ERR The bit argument must be 1 or 0.\r\n"},
        {"BITPOS k x", NOT_INTEGER},
        {"BITPOS k 1 x 1 y", NOT_INTEGER},
        {"BITPOS k 1 0 x y", SYNTAX},
        {"BITPOS k 1 0 1 BIT x", SYNTAX},
        {0},
    });
}

Test(bit, bitop)
{
    steps_run((const struct step[]){
        {"SET a abcdefgh", "+OK\r\n"},
        {"SET b ABC", "+OK\r\n"},
        {"SET n 12", "+OK\r\n"},
        {"BITOP AND d a b", ":8\r\n"},
        {"GET d", "$8\r\nABC\0\0\0\0\0\r\n"},
        {"BITOP or d a b", ":8\r\n"},
        {"GET d", "$8\r\nabcdefgh\r\n"},
        {"BITOP Xor d a b", ":8\r\n"},
        {"GET d", "$8\r\n   defgh\r\n"},
        {"BITOP XOR d d a none b", ":8\r\n"},
        {"STRLEN d", ":8\r\n"},
        {"BITCOUNT d", ":0\r\n"},
        {"BITOP NOT n n", ":2\r\n"},
        {"BITOP NOT n n", ":2\r\n"},
        {"GET n", "$2\r\n12\r\n"},
        {"BITOP OR a a", ":8\r\n"},
        {"BITOP OR a none none2", ":0\r\n"},
        {"EXISTS a", ":0\r\n"},
        {"BITOP AND none none", ":0\r\n"},
        {"BITOP NOT d a b", "-ERR BITOP NOT must be called with a single source key.\r\n"},
        {"BITOP NAND d a", SYNTAX},
        {0},
    });
}

Test(bit, bitop_replaces_deadline_and_encoding)
{
    struct harness *harness = harness_new();
    harness_line(harness, "SET d 1 EX 10");
    harness_line(harness, "SET a 12");
    harness_effects(harness);
    harness_line(harness, "BITOP OR d a a d");
    cr_expect_eq(harness_deadline_ms(harness, "d"), ENTRY_NO_DEADLINE);
    cr_expect_str_eq(harness_encoding(harness, "d"), "raw");
    cr_expect_str_eq(harness_effects(harness), "SET d 12\n");
    harness_line(harness, "BITOP OR d none");
    cr_expect_str_eq(harness_effects(harness), "DEL d\n");
    harness_delete(harness);
}

Test(bit, bitfield)
{
    steps_run((const struct step[]){
        {"BITFIELD k INCRBY i5 100 1 GET u4 0", "*2\r\n:1\r\n:0\r\n"},
        {"STRLEN k", ":14\r\n"},
        {"BITFIELD k SET u8 #1 255 GET u4 8 get i8 #1", "*3\r\n:0\r\n:15\r\n:-1\r\n"},
        {"BITFIELD k INCRBY u8 #1 2", "*1\r\n:1\r\n"},
        {"BITFIELD k OVERFLOW SAT INCRBY u8 #1 300 INCRBY u8 #1 -300", "*2\r\n:255\r\n:0\r\n"},
        {"BITFIELD k OVERFLOW FAIL INCRBY u8 #1 -1 OVERFLOW WRAP INCRBY u8 #1 -1",
         "*2\r\n$-1\r\n:255\r\n"},
        {"BITFIELD k SET i64 #3 -9223372036854775808", "*1\r\n:0\r\n"},
        {"BITFIELD k INCRBY i64 #3 -1", "*1\r\n:9223372036854775807\r\n"},
        {"BITFIELD k OVERFLOW SAT INCRBY i64 #3 1", "*1\r\n:9223372036854775807\r\n"},
        {"BITFIELD k SET u63 3 -1 GET u63 3", "*2\r\n:287104476244869120\r\n"
                                              ":9223372036854775807\r\n"},
        {"BITFIELD s OVERFLOW SAT SET i8 0 -129 GET i8 0", "*2\r\n:0\r\n:-128\r\n"},
        {"BITFIELD s OVERFLOW SAT SET i8 0 -9223372036854775808 GET i8 0",
         "*2\r\n:-128\r\n:127\r\n"},
        {"BITFIELD s SET i8 0 -200 GET i8 0", "*2\r\n:127\r\n:56\r\n"},
        {"BITFIELD s", "*0\r\n"},
        {"BITFIELD s OVERFLOW SAT", "*0\r\n"},
        {"BITFIELD none GET i64 4294967295", "*1\r\n:0\r\n"},
        {"EXISTS none", ":0\r\n"},
        {"BITFIELD none OVERFLOW FAIL INCRBY u2 0 4", "*1\r\n$-1\r\n"},
        {"STRLEN none", ":1\r\n"},
        {"BITFIELD_RO s GET u8 0 get u4 4", "*2\r\n:56\r\n:8\r\n"},
        {"BITFIELD_RO s SET u8 0 1", "-ERR BITFIELD_RO only supports the GET subcommand\r\n"},
        {"BITFIELD_RO s SET u8 0 x", NOT_INTEGER},
        {"BITFIELD s GET u64 0", WRONG_FIELD},
        {"BITFIELD s GET u0 0", WRONG_FIELD},
        {"BITFIELD s GET I8 0", WRONG_FIELD},
        {"BITFIELD s SET u8 4294967296 1", WRONG_OFFSET},
        {"BITFIELD s SET u8 #x 1", WRONG_OFFSET},
        {"BITFIELD s OVERFLOW x", "-ERR Invalid OVERFLOW type specified\r\n"},
        {"BITFIELD s SET u8 0 200 GET u8", SYNTAX},
        {"BITFIELD s GET u8 0", "*1\r\n:56\r\n"},
        {0},
    });
}

/* ---- the functions under them ---- */

#define MODEL_SIZE 300

static bool
model_get(const unsigned char *data, uint64_t offset)
{
    return (data[offset / 8] >> (7 - offset % 8) & 1) != 0;
}

/** Bytes with long runs, in a block of exactly their size, so that a sanitizer sees what reads on.
 */
static char *
model_new(struct random *random, size_t size)
{
    unsigned char *data = malloc(size);
    cr_assert_not_null(data);
    memset(data, random_below(random, 2) == 0 ? 0 : 0xff, size);
    for (uint64_t changes = random_below(random, 4); changes > 0; changes--) {
        data[random_below(random, size)] = (unsigned char)random_below(random, 256);
    }
    return (char *)data;
}

Test(bits, counts_and_finds_like_one_bit_at_a_time)
{
    struct random random;
    random_create(&random, 1);
    for (int round = 0; round < 20000; round++) {
        size_t size = 1 + random_below(&random, MODEL_SIZE);
        char *data = model_new(&random, size);
        uint64_t first = random_below(&random, size * 8);
        uint64_t last = first + random_below(&random, size * 8 - first);
        bool bit = random_below(&random, 2) == 1;
        uint64_t count = 0;
        int64_t found = -1;
        for (uint64_t i = first; i <= last; i++) {
            bool is_set = model_get((unsigned char *)data, i);
            count += is_set;
            found = found < 0 && is_set == bit ? (int64_t)i : found;
        }
        cr_assert_eq(bits_count_range(data, first, last), count, "seed 1, round %d", round);
        cr_assert_eq(bits_find(data, first, last, bit), found, "seed 1, round %d", round);
        free(data);
    }
}

Test(bits, reads_and_writes_fields_like_one_bit_at_a_time)
{
    struct random random;
    random_create(&random, 2);
    for (int round = 0; round < 50000; round++) {
        size_t size = 1 + random_below(&random, 20);
        char *data = model_new(&random, size);
        uint32_t width = 1 + (uint32_t)random_below(&random, MIN(64, size * 8));
        uint64_t offset = random_below(&random, size * 8 - width + 1);
        uint64_t value = random_next(&random);
        char *written = malloc(size);
        memcpy(written, data, size);
        bits_write(written, size, offset, width, value);
        for (uint64_t i = 0; i < size * 8; i++) {
            bool expected = i < offset || i >= offset + width
                                ? model_get((unsigned char *)data, i)
                                : (value >> (offset + width - 1 - i) & 1) != 0;
            cr_assert_eq(model_get((unsigned char *)written, i), expected, "seed 2, round %d",
                         round);
        }
        uint64_t kept = width == 64 ? value : value & ((UINT64_C(1) << width) - 1);
        cr_assert_eq(bits_read(slice_of(written, size), offset, width), kept);
        /* Half of it behind the end. */
        uint64_t start = size * 8 - 1;
        cr_assert_eq(bits_read(slice_of(written, size), start, 2),
                     (uint64_t)model_get((unsigned char *)written, start) << 1);
        free(written);
        free(data);
    }
}

Test(bits, combines_like_one_byte_at_a_time)
{
    struct random random;
    random_create(&random, 3);
    for (int round = 0; round < 3000; round++) {
        struct slice sources[5];
        enum bits_operation operation = (enum bits_operation)random_below(&random, 4);
        uint32_t count = operation == BITS_NOT ? 1 : 1 + (uint32_t)random_below(&random, 5);
        size_t size = 0;
        for (uint32_t i = 0; i < count; i++) {
            size_t source_size = 1 + random_below(&random, round % 10 == 0 ? 40000 : 100);
            sources[i] = slice_of(model_new(&random, source_size), source_size);
            size = MAX(size, source_size);
        }
        unsigned char *out = malloc(size);
        bits_combine((char *)out, size, operation, sources, count);
        for (size_t at = 0; at < size; at++) {
            unsigned expected = 0;
            for (uint32_t i = 0; i < count; i++) {
                unsigned byte = at < sources[i].size ? (unsigned char)sources[i].data[at] : 0;
                expected = i == 0                  ? byte
                           : operation == BITS_AND ? expected & byte
                           : operation == BITS_OR  ? expected | byte
                                                   : expected ^ byte;
            }
            expected = operation == BITS_NOT ? ~expected & 0xff : expected;
            cr_assert_eq(out[at], expected, "seed 3, round %d, byte %zu", round, at);
        }
        for (uint32_t i = 0; i < count; i++) {
            free((char *)sources[i].data);
        }
        free(out);
    }
}
