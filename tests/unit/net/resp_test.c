/*
 * resp_test.c: requests as redis-server 7.0 takes them, wherever the bytes are cut. What comes out
 * is compared as the text that tests/fuzz/resp_drive.h writes.
 */
#include "net/resp.h"

#include "tests/fuzz/resp_drive.h"

#include <criterion/criterion.h>

struct row {
    struct slice bytes;
    const char *text;
};

#define ROW(bytes_, text_)                                                                         \
    {                                                                                              \
        .bytes = {(bytes_), sizeof(bytes_) - 1}, .text = (text_)                                   \
    }
#define PING "*1\r\n$4\r\nPING\r\n"
#define PINGED "request 1: 4:PING\n"
#define FAIL "ERR Protocol error: "

/** Asked of redis-server 7.0.15, byte for byte. */
static const struct row rows[] = {
    ROW(PING, PINGED),
    ROW("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$0\r\n\r\n" PING, "request 3: 3:SET 1:k 0:\n" PINGED),
    ROW("*2\r\n$12\r\nab\r\ncd\r\n$1\r\n\r\n$100\r\n" /* unfinished */, ""),
    ROW("*0\r\n*-1\r\n*-5\r\n" PING, "empty\nempty\nempty\n" PINGED),
    ROW("*-9223372036854775808\r\n", "empty\n"),
    ROW("*-9223372036854775809\r\n", FAIL "invalid multibulk length"),
    ROW("*-0\r\n", FAIL "invalid multibulk length"),
    ROW("*+1\r\n", FAIL "invalid multibulk length"),
    ROW("*01\r\n$4\r\nPING\r\n", FAIL "invalid multibulk length"),
    ROW("*001\r\n$4\r\nPING\r\n", FAIL "invalid multibulk length"),
    ROW("*\r\n$4\r\nPING\r\n", FAIL "invalid multibulk length"),
    ROW("* 1\r\n", FAIL "invalid multibulk length"),
    ROW("*1 \r\n", FAIL "invalid multibulk length"),
    ROW("*:\r\n$4\r\nPING\r\n", FAIL "invalid multibulk length"),
    ROW("*1:\r\n$4\r\nPING\r\n", FAIL "invalid multibulk length"),
    ROW("*:1\r\n$4\r\nPING\r\n", FAIL "invalid multibulk length"),
    ROW("*1:1\r\n$4\r\nPING\r\n", FAIL "invalid multibulk length"),
    ROW("*2147483647\r\n", ""),
    ROW("*2147483648\r\n", FAIL "invalid multibulk length"),
    ROW("*9999999999999999999999\r\n", FAIL "invalid multibulk length"),
    ROW("*1\n$4\nPING\n", ""),
    ROW("*1\r$4\r\nPING\r\n", FAIL "expected '$', got '4'"),
    ROW("*1\rX$4\rXPINGXX" PING, PINGED PINGED),
    ROW("*1\r\n\r\n$4\r\n", FAIL "expected '$', got '\r'"),
    ROW("*1\r\n\n\r\n$4\r\n", FAIL "expected '$', got '\n'"),
    ROW("*1\r\nPING\r\n", FAIL "expected '$', got 'P'"),
    ROW("*1\r\n\xff"
        "4\r\n",
        FAIL "expected '$', got '\xff'"),
    ROW("*1\r\n\0$4\r\nPING\r\n", ""),
    ROW("*1\0\r\n$4\r\nPING\r\n", ""),
    ROW("*1\r\n$4\0\r\nPING\r\n", ""),
    ROW("*1\r\n$-1\r\nxxxx\r\n", FAIL "invalid bulk length"),
    ROW("*1\r\n$-0\r\n", FAIL "invalid bulk length"),
    ROW("*1\r\n$+4\r\nPING\r\n", FAIL "invalid bulk length"),
    ROW("*1\r\n$04\r\nPING\r\n", FAIL "invalid bulk length"),
    ROW("*1\r\n$004\r\nPING\r\n", FAIL "invalid bulk length"),
    ROW("*1\r\n$0004\r\nPING\r\n", FAIL "invalid bulk length"),
    ROW("*1\r\n$\r\nPING\r\n", FAIL "invalid bulk length"),
    ROW("*1\r\n$a\r\nPING\r\n", FAIL "invalid bulk length"),
    ROW("*1\r\n$536870913\r\n", FAIL "invalid bulk length"),
    ROW("*1\r\n$536870912\r\n", ""),
    ROW("*1\r\n$99999999999999999999\r\n", FAIL "invalid bulk length"),
    ROW("\r\n\n \t\r\n" PING, "empty\nempty\nempty\n" PINGED),
    ROW("PING\n", PINGED),
    ROW("PING\r", ""),
    ROW("PING\rfoo\n", "request 2: 4:PING 3:foo\n"),
    ROW("PING\r\r\n", PINGED),
    ROW("  a\v  b\f \vc\r\n", "request 3: 2:a\v 2:b\f 1:c\n"),
    ROW("PI\0NG\r\nPING\r\n", ""),
    ROW("PING \"a b\"  ''\r\n", "request 3: 4:PING 3:a b 0:\n"),
    ROW("x \"a\\x41\\n\\r\\t\\b\\a\\q\\xzz\\x4\\\"\\\\\" y\r\n",
        "request 3: 1:x 15:aA\n\r\t\b\aqxzzx4\"\\ 1:y\n"),
    ROW("PING 'a\\'b\\n'\r\n", "request 2: 4:PING 5:a'b\\n\n"),
    ROW("PING a\"b c\" a\\x41\r\n", "request 3: 4:PING 4:ab c 5:a\\x41\n"),
    ROW("PING \"a\"\v\r\n", "request 2: 4:PING 1:a\n"),
    ROW("PING \"a\r\n", FAIL "unbalanced quotes in request"),
    ROW("PING \"a\"b\r\n", FAIL "unbalanced quotes in request"),
    ROW("PING 'a'b\r\n", FAIL "unbalanced quotes in request"),
    ROW("PING a\"b\"c\r\n", FAIL "unbalanced quotes in request"),
    ROW("PING \"\\\r\n", FAIL "unbalanced quotes in request"),
    ROW("PING '\\'\r\n", FAIL "unbalanced quotes in request"),
    ROW("\"\"\r\n", "request 1: 0:\n"),
    ROW("+PING\r\n$4\r\n", "request 1: 5:+PING\nrequest 1: 2:$4\n"),
    ROW("a b c d e f \"g h\" i j k l m n o p q r\n",
        "request 17: 1:a 1:b 1:c 1:d 1:e 1:f 3:g h 1:i 1:j 1:k 1:l 1:m 1:n 1:o 1:p 1:q 1:r\n"),
};

static void
check(struct drive drive, struct slice bytes, struct slice expected)
{
    struct slice text = drive_run(&drive, bytes);
    cr_assert(slice_equal(text, expected), "\n%.*s\ngave\n%.*s\nnot\n%.*s",
              (int)MIN(bytes.size, 300), bytes.data, (int)MIN(text.size, 300), text.data,
              (int)MIN(expected.size, 300), expected.data);
    heap_free((void *)(uintptr_t)text.data);
}

Test(resp, takes_what_redis_takes_wherever_it_is_cut)
{
    for (uint32_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct slice expected = slice_of_string(rows[i].text);
        for (uint32_t storage_count = 0; storage_count <= 18; storage_count++) {
            struct drive drive = {.cut_next = drive_cut_once, .storage_count = storage_count};
            for (; drive.cut_state <= rows[i].bytes.size; drive.cut_state++) {
                check(drive, rows[i].bytes, expected);
            }
            drive.cut_next = drive_cut_bytes;
            check(drive, rows[i].bytes, expected);
        }
    }
}

Test(resp, limits_who_has_not_authenticated)
{
    static const struct row limited[] = {
        ROW("*11\r\n$1\r\na\r\n", FAIL "unauthenticated multibulk length"),
        ROW("*2147483648\r\n$1\r\na\r\n", FAIL "invalid multibulk length"),
        ROW("*10\r\n$1\r\na\r\n", ""),
        ROW("*1\r\n$16384\r\n", ""),
        ROW("*1\r\n$16385\r\na", FAIL "unauthenticated bulk length"),
        ROW("*1\r\n$536870913\r\n", FAIL "invalid bulk length"),
    };
    for (uint32_t i = 0; i < ARRAY_COUNT(limited); i++) {
        struct drive drive = {.storage_count = 16, .is_unauthenticated = true};
        drive.cut_next = drive_cut_whole;
        check(drive, limited[i].bytes, slice_of_string(limited[i].text));
        drive.cut_next = drive_cut_bytes;
        check(drive, limited[i].bytes, slice_of_string(limited[i].text));
    }
}

/** `head`, then 'x' up to `size` bytes, then `tail`. */
static struct slice
long_line(const char *head, size_t size, struct slice tail)
{
    char *bytes = heap_alloc(size + tail.size);
    memset(bytes, 'x', size);
    memcpy(bytes, head, strlen(head));
    memcpy(bytes + size, tail.data, tail.size);
    return slice_of(bytes, size + tail.size);
}

Test(resp, refuses_long_lines_by_their_length_alone)
{
    static const struct {
        const char *head;
        const char *error;
    } lines[] = {
        {"A", FAIL "too big inline request"},
        {"*1", FAIL "too big mbulk count string"},
        {"*1\r\n$1", FAIL "too big bulk count string"},
        {"*1\r\nx", FAIL "too big bulk count string"},
    };
    for (uint32_t i = 0; i < ARRAY_COUNT(lines); i++) {
        const char *line = strrchr(lines[i].head, '\n');
        size_t before = line == NULL ? 0 : (size_t)(line + 1 - lines[i].head);
        struct slice at_most = long_line(lines[i].head, before + RESP_INLINE_SIZE_MAX, SLICE(""));
        struct slice beyond =
            long_line(lines[i].head, before + RESP_INLINE_SIZE_MAX + 1, SLICE("\r\n"));
        struct drive drive = {.cut_next = drive_cut_whole, .storage_count = 4};
        check(drive, at_most, SLICE(""));
        check(drive, beyond, slice_of_string(lines[i].error));
        drive.cut_next = drive_cut_random;
        check(drive, beyond, slice_of_string(lines[i].error));
        heap_free((void *)(uintptr_t)at_most.data);
        heap_free((void *)(uintptr_t)beyond.data);
    }
    struct slice longest = long_line("A", RESP_INLINE_SIZE_MAX, SLICE("\n"));
    struct resp_parser parser;
    resp_parser_create(&parser, 1024);
    size_t consumed;
    cr_assert_eq(resp_parse(&parser, longest.data, longest.size, &consumed), RESP_REQUEST);
    cr_assert_eq(parser.argv[0].size, RESP_INLINE_SIZE_MAX);
    cr_assert_eq(consumed, longest.size);
    resp_parser_destroy(&parser);
    heap_free((void *)(uintptr_t)longest.data);
}

/** Appends a request of `argc` arguments to `stream`, what it should give to `text`. */
static void
request_append(struct output *stream, struct output *text, const struct slice *argv, uint32_t argc)
{
    char head[32];
    output_append(stream, head, (size_t)snprintf(head, sizeof(head), "*%u\r\n", argc));
    output_append(text, head, (size_t)snprintf(head, sizeof(head), "request %u:", argc));
    for (uint32_t i = 0; i < argc; i++) {
        int size = snprintf(head, sizeof(head), "$%zu\r\n", argv[i].size);
        output_append(stream, head, (size_t)size);
        output_append(stream, argv[i].data, argv[i].size);
        output_append(stream, "\r\n", 2);
        output_append(text, head, (size_t)snprintf(head, sizeof(head), " %zu:", argv[i].size));
        output_append(text, argv[i].data, argv[i].size);
    }
    output_append(text, "\n", 1);
}

Test(resp, large_arguments_at_all_cuts)
{
    char big[RESP_LARGE_SIZE_MIN + 3];
    for (size_t i = 0; i < sizeof(big); i++) {
        big[i] = (char)(i * 7 + i / 251);
    }
    struct slice argv[] = {SLICE("MSET"), SLICE("a"), slice_of(big, sizeof(big)), SLICE("b"),
                           slice_of(big, RESP_LARGE_SIZE_MIN)};
    struct output stream;
    struct output text;
    output_create(&stream);
    output_create(&text);
    request_append(&stream, &text, argv, 5);
    request_append(&stream, &text, argv, 1);
    struct slice bytes = slice_of(output_flatten(&stream), stream.byte_count);
    struct slice expected = slice_of(output_flatten(&text), text.byte_count);
    for (uint32_t takes_large = 0; takes_large <= 1; takes_large++) {
        struct drive drive = {.takes_large = takes_large == 1};
        drive.cut_next = drive_cut_once;
        for (size_t cut = 0; cut < bytes.size; cut += cut % 32700 < 100 ? 1 : 61) {
            drive.cut_state = cut;
            drive.storage_count = cut % 7;
            check(drive, bytes, expected);
        }
        drive.cut_next = drive_cut_random;
        for (uint64_t seed = 0; seed < 200; seed++) {
            drive.cut_state = seed;
            check(drive, bytes, expected);
        }
    }
    heap_free((void *)(uintptr_t)bytes.data);
    heap_free((void *)(uintptr_t)expected.data);
    output_destroy(&stream);
    output_destroy(&text);
}

Test(resp, offers_large_memory_once_and_only_for_what_is_missing)
{
    static const char head[] = "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$40000\r\n";
    struct slice bytes = long_line(head, sizeof(head) - 1 + 40000, SLICE("\r\n"));
    struct resp_parser parser;
    size_t consumed;
    resp_parser_create(&parser, 512U << 20);
    cr_assert_eq(resp_parse(&parser, bytes.data, bytes.size - 2, &consumed), RESP_NEED_MORE);
    cr_assert_eq(resp_size_hint(&parser, bytes.size - 2), 2);
    cr_assert_eq(resp_parse(&parser, bytes.data, bytes.size, &consumed), RESP_REQUEST);
    cr_assert_eq(consumed, bytes.size);
    size_t some = sizeof(head) - 1 + 3;
    cr_assert_eq(resp_parse(&parser, bytes.data, some, &consumed), RESP_LARGE);
    cr_assert_eq(parser.large_index, 2);
    cr_assert_eq(parser.large_size, 40000);
    cr_assert_eq(parser.large_header_size, sizeof(head) - 1);
    cr_assert_eq(parser.large_arrived, 3);
    cr_assert_eq(resp_argument_count(&parser), 2);
    cr_assert(slice_equal(resp_argument(&parser, bytes.data, 0), SLICE("SET")));
    cr_assert(slice_equal(resp_argument(&parser, bytes.data, 1), SLICE("k")));
    cr_assert_eq(resp_parse(&parser, bytes.data, some + 1, &consumed), RESP_NEED_MORE);
    cr_assert_eq(resp_parse(&parser, bytes.data, bytes.size, &consumed), RESP_REQUEST);
    resp_parser_destroy(&parser);
    heap_free((void *)(uintptr_t)bytes.data);
}

Test(resp, argv_goes_to_the_callers_places_or_to_a_block_of_its_own)
{
    static const char bytes[] = "*3\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n";
    struct slice places[3];
    struct resp_parser parser;
    size_t consumed;
    resp_parser_create(&parser, 1024);
    cr_assert_eq(resp_parse_into(&parser, bytes, sizeof(bytes) - 1, &consumed, places, 3),
                 RESP_REQUEST);
    cr_assert_eq(parser.argv, places);
    cr_assert_null(parser.memory);
    cr_assert_eq(resp_parse_into(&parser, bytes, sizeof(bytes) - 1, &consumed, places, 2),
                 RESP_REQUEST);
    cr_assert_neq(parser.argv, places);
    cr_assert_not_null(parser.memory);
    struct slice *kept = parser.argv;
    void *memory = parser.memory;
    resp_parser_destroy(&parser);
    cr_assert(slice_equal(kept[2], SLICE("c")));
    heap_free(memory);
}

/** A million arguments, a byte at a time: each call has to cost the same. */
Test(resp, a_million_arguments_byte_by_byte, .timeout = 60)
{
    enum { COUNT = 1000000 };
    char *bytes = heap_alloc(32 + (size_t)COUNT * 7);
    size_t size = (size_t)snprintf(bytes, 32, "*%d\r\n", COUNT);
    for (uint32_t i = 0; i < COUNT; i++, size += 7) {
        memcpy(bytes + size, "$1\r\nx\r\n", 7);
        bytes[size + 4] = (char)('a' + i % 26);
    }
    struct resp_parser parser;
    size_t consumed;
    resp_parser_create(&parser, 1024);
    for (size_t i = 0; i < size; i++) {
        cr_assert_eq(resp_parse(&parser, bytes, i, &consumed), RESP_NEED_MORE);
    }
    cr_assert_eq(resp_parse(&parser, bytes, size, &consumed), RESP_REQUEST);
    cr_assert_eq(parser.argc, COUNT);
    for (uint32_t i = 0; i < COUNT; i++) {
        cr_assert(parser.argv[i].size == 1 && *parser.argv[i].data == (char)('a' + i % 26));
    }
    resp_parser_destroy(&parser);
    heap_free(bytes);
}

/** Random requests of all sizes, fed at random: what comes out is what went in. */
Test(resp, random_pipelines_at_random_cuts)
{
    char filler[100000];
    for (size_t i = 0; i < sizeof(filler); i++) {
        filler[i] = (char)(i * 31 + i / 97);
    }
    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct drive drive = {.cut_state = seed};
        struct output stream;
        struct output text;
        output_create(&stream);
        output_create(&text);
        for (uint32_t request = 0; request < 20; request++) {
            struct slice argv[130];
            uint32_t argc = 1 + (uint32_t)drive_cut_random(&drive, request == 7 ? 129 : 12);
            for (uint32_t i = 0; i < argc; i++) {
                size_t most = i == 3 && request % 9 == 0 ? sizeof(filler) : 1200;
                argv[i] = slice_of(filler + i, drive_cut_random(&drive, most - i) - (i & 1));
            }
            request_append(&stream, &text, argv, argc);
        }
        struct slice bytes = slice_of(output_flatten(&stream), stream.byte_count);
        struct slice expected = slice_of(output_flatten(&text), text.byte_count);
        drive.cut_next = drive_cut_random;
        drive.storage_count = seed % 20;
        drive.takes_large = seed % 2 == 0;
        struct slice got = drive_run(&drive, bytes);
        cr_assert(slice_equal(got, expected), "seed %lu", (unsigned long)seed);
        heap_free((void *)(uintptr_t)got.data);
        heap_free((void *)(uintptr_t)bytes.data);
        heap_free((void *)(uintptr_t)expected.data);
        output_destroy(&stream);
        output_destroy(&text);
    }
}
