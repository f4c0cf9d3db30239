/*
 * micro_resp.c: what a request costs to parse and a reply to write, in nanoseconds.
 * One connection's buffer with a pipeline of 30 requests is parsed over and over, as a batch into
 * one array of arguments; then 30 replies are written, described and consumed. The best of several
 * rounds is shown: what disturbs a round only ever adds to it.
 */
#include "core/clock.h"
#include "net/reply.h"
#include "net/resp.h"

#include <assert.h>
#include <stdio.h>

#define PIPELINE_COUNT 30
#define BATCH_COUNT 20000
#define ROUND_COUNT 15

static void
round_show(const char *name, double best_ns)
{
    printf("%-34s %6.1f ns\n", name, best_ns);
}

/** Parses the pipeline BATCH_COUNT times; nanoseconds for each request. */
static double
parse_round(struct resp_parser *parser, const char *data, size_t size, uint64_t *sum)
{
    struct slice slices[PIPELINE_COUNT * 5] = {{0}};
    uint64_t start = clock_monotonic_ns();
    for (uint32_t batch = 0; batch < BATCH_COUNT; batch++) {
        struct slice *place = slices;
        struct slice *places_end = slices + ARRAY_COUNT(slices);
        size_t at = 0;
        while (at < size) {
            size_t consumed;
            enum resp_result result = resp_parse_into(parser, data + at, size - at, &consumed,
                                                      place, (uint32_t)(places_end - place));
            ASSERT(result == RESP_REQUEST);
            place += parser->argc;
            at += consumed;
        }
        *sum += slices[1].size + (uint64_t)(place - slices);
        __asm__ volatile("" ::"r"(slices) : "memory");
    }
    return (double)(clock_monotonic_ns() - start) / BATCH_COUNT / PIPELINE_COUNT;
}

static void
parse_bench(const char *name, const char *request, size_t request_size)
{
    static_assert(PIPELINE_COUNT * 256 <= 16384, "the buffer fits a pipeline");
    char data[16384];
    size_t size = 0;
    for (uint32_t i = 0; i < PIPELINE_COUNT; i++) {
        memcpy(data + size, request, request_size);
        size += request_size;
    }
    struct resp_parser parser;
    resp_parser_create(&parser, 512U << 20);
    double best_ns = 1e9;
    uint64_t sum = 0;
    for (uint32_t round = 0; round < ROUND_COUNT; round++) {
        best_ns = MIN(best_ns, parse_round(&parser, data, size, &sum));
    }
    ASSERT(sum > 0);
    round_show(name, best_ns);
    resp_parser_destroy(&parser);
}

enum reply_kind {
    REPLY_BULK,
    REPLY_INTEGER,
    REPLY_OK,
};

static void
reply_bench(const char *name, enum reply_kind kind)
{
    static const char value[64] = "v";
    struct output output;
    struct reply reply;
    output_create(&output);
    reply_create(&reply, &output, 2);
    double best_ns = 1e9;
    for (uint32_t round = 0; round < ROUND_COUNT; round++) {
        uint64_t start = clock_monotonic_ns();
        for (uint32_t batch = 0; batch < BATCH_COUNT; batch++) {
            for (uint32_t i = 0; i < PIPELINE_COUNT; i++) {
                switch (kind) {
                case REPLY_BULK:
                    reply_bulk(&reply, slice_of(value, sizeof(value)));
                    break;
                case REPLY_INTEGER:
                    reply_i64(&reply, i);
                    break;
                case REPLY_OK:
                    reply_ok(&reply);
                    break;
                }
            }
            struct iovec vector[8];
            uint32_t count = output_vector(&output, vector, ARRAY_COUNT(vector));
            ASSERT(count > 0);
            output_consume(&output, output.byte_count);
        }
        best_ns =
            MIN(best_ns, (double)(clock_monotonic_ns() - start) / BATCH_COUNT / PIPELINE_COUNT);
    }
    round_show(name, best_ns);
    output_destroy(&output);
}

#define VALUE_64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define GET "*2\r\n$3\r\nGET\r\n$16\r\nkey:000000000001\r\n"
#define SET "*3\r\n$3\r\nSET\r\n$16\r\nkey:000000000001\r\n$64\r\n" VALUE_64 "\r\n"
#define SET_EX                                                                                     \
    "*5\r\n$3\r\nSET\r\n$16\r\nkey:000000000001\r\n$64\r\n" VALUE_64 "\r\n$2\r\nEX\r\n$"           \
    "3\r\n100\r\n"
#define SET_200                                                                                    \
    "*3\r\n$3\r\nSET\r\n$16\r\nkey:000000000001\r\n$200\r\n" VALUE_64 VALUE_64 VALUE_64            \
    "01234567\r\n"

int
main(void)
{
    printf("for each request, pipeline of %d:\n", PIPELINE_COUNT);
    parse_bench("parse GET, 16-byte key", GET, sizeof(GET) - 1);
    parse_bench("parse SET, 64-byte value", SET, sizeof(SET) - 1);
    parse_bench("parse SET EX, 64-byte value", SET_EX, sizeof(SET_EX) - 1);
    parse_bench("parse SET, 200-byte value", SET_200, sizeof(SET_200) - 1);
    parse_bench("parse inline GET", "GET key:000000000001\r\n", 22);
    reply_bench("reply bulk of 64 bytes", REPLY_BULK);
    reply_bench("reply integer", REPLY_INTEGER);
    reply_bench("reply OK", REPLY_OK);
    return 0;
}
