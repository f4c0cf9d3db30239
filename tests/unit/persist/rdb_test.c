/*
 * rdb_test.c: what is written is read again, from a slice and from a source that comes in pieces;
 * what is cut or lies about its size is refused, and takes no memory.
 */
#include "persist/rdb.h"

#include "core/heap.h"
#include "core/random.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>

/** A source that gives a few bytes at a time. */
struct pieces {
    struct slice bytes;
    size_t size_max;
    int error;
};

static int64_t
pieces_fill(void *context, void *buffer, size_t size)
{
    struct pieces *pieces = context;
    size = MIN(MIN(size, pieces->size_max), pieces->bytes.size);
    if (size == 0) {
        return pieces->error;
    }
    memcpy(buffer, pieces->bytes.data, size);
    pieces->bytes.data += size;
    pieces->bytes.size -= size;
    return (int64_t)size;
}

/** What a test writes and reads: the same sequence from the same seed. */
struct sample {
    uint32_t kind;
    uint64_t number;
    char *text;
    size_t size;
};

static struct sample
sample_make(struct random *random)
{
    struct sample sample = {.kind = (uint32_t)random_below(random, 6)};
    sample.number = random_next(random) >> random_below(random, 64);
    sample.size = random_below(random, random_below(random, 30) == 0 ? 100000 : 80);
    sample.text = heap_alloc(sample.size + 24);
    bool is_noise = random_below(random, 2) == 0;
    for (size_t i = 0; i < sample.size; i++) {
        sample.text[i] = (char)(is_noise ? random_next(random) : 'a' + random_below(random, 2));
    }
    if (random_below(random, 3) == 0) {
        int64_t integer = (int64_t)sample.number * (random_below(random, 2) == 0 ? 1 : -1);
        sample.size = (size_t)snprintf(sample.text, 24, "%lld", (long long)integer);
    }
    return sample;
}

static void
sample_write(const struct sample *sample, struct rdb_writer *writer)
{
    switch (sample->kind) {
    case 0:
        rdb_write_length(writer, sample->number);
        break;
    case 1:
        rdb_write_u64(writer, sample->number);
        break;
    case 2:
        rdb_write_integer(writer, (int64_t)sample->number);
        break;
    case 3:
        rdb_write_double(writer, (double)sample->number);
        break;
    default:
        rdb_write_string(writer, slice_of(sample->text, sample->size));
        break;
    }
}

static bool
sample_read(const struct sample *sample, struct rdb_reader *reader, struct rdb_text *text)
{
    uint64_t number;
    double real;
    char digits[24];
    switch (sample->kind) {
    case 0:
        return rdb_read_length(reader, &number) && number == sample->number;
    case 1:
        return rdb_read_u64(reader, &number) && number == sample->number;
    case 2:
        snprintf(digits, sizeof(digits), "%lld", (long long)sample->number);
        return rdb_read_string(reader, text) && slice_equal(text->bytes, slice_of_string(digits));
    case 3:
        return rdb_read_double(reader, &real) && real == (double)sample->number;
    default:
        return rdb_read_string(reader, text) &&
               slice_equal(text->bytes, slice_of(sample->text, sample->size));
    }
}

#define SAMPLE_COUNT 300

Test(rdb, what_is_written_is_read)
{
    uint64_t seed = random_system_seed();
    printf("rdb: seed %llu\n", (unsigned long long)seed);
    struct random random;
    random_create(&random, seed);
    for (uint32_t round = 0; round < 60; round++) {
        struct sample samples[SAMPLE_COUNT];
        struct rdb_writer writer;
        struct rdb_text text = {0};
        rdb_writer_create(&writer, round % 2 == 0);
        for (uint32_t i = 0; i < SAMPLE_COUNT; i++) {
            samples[i] = sample_make(&random);
            sample_write(&samples[i], &writer);
        }
        struct pieces pieces = {.bytes = rdb_writer_bytes(&writer),
                                .size_max = 1 + random_below(&random, 5000)};
        struct rdb_reader reader;
        if (round % 3 == 0) {
            rdb_reader_create(&reader, rdb_writer_bytes(&writer));
        } else {
            rdb_reader_create_source(&reader, pieces_fill, &pieces);
        }
        for (uint32_t i = 0; i < SAMPLE_COUNT; i++) {
            cr_assert(sample_read(&samples[i], &reader, &text), "sample %u of round %u", i, round);
            heap_free(samples[i].text);
        }
        cr_expect_eq(rdb_reader_offset(&reader), writer.size);
        cr_expect(rdb_reader_is_at_end(&reader));
        cr_expect_eq(reader.error, 0);
        rdb_text_release(&text);
        rdb_reader_destroy(&reader);
        rdb_writer_destroy(&writer);
    }
}

static void
expect_bytes(const struct rdb_writer *writer, const char *hex)
{
    char text[256] = "";
    for (size_t i = 0; i < writer->size && i < 100; i++) {
        snprintf(text + 2 * i, 3, "%02x", (unsigned char)writer->bytes[i]);
    }
    cr_expect_str_eq(text, hex);
}

Test(rdb, the_shortest_form_is_written)
{
    static const struct {
        const char *text;
        const char *hex;
    } strings[] = {
        {"", "00"},
        {"0", "c000"},
        {"-128", "c080"},
        {"128", "c18000"},
        {"-32769", "c2ff7fffff"},
        {"2147483647", "c2ffffff7f"},
        {"2147483648", "0a32313437343833363438"},
        {"01", "023031"},
        {"-0", "022d30"},
        {"aaaaaaaaaaaaaaaaaaaa", "146161616161616161616161616161616161616161"},
        {"aaaaaaaaaaaaaaaaaaaaa", "c30615016161e00a00"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(strings); i++) {
        struct rdb_writer writer;
        rdb_writer_create(&writer, true);
        rdb_write_string(&writer, slice_of_string(strings[i].text));
        expect_bytes(&writer, strings[i].hex);
        rdb_writer_destroy(&writer);
    }
    static const struct {
        uint64_t length;
        const char *hex;
    } lengths[] = {
        {63, "3f"},
        {64, "4040"},
        {16383, "7fff"},
        {16384, "8000004000"},
        {UINT32_MAX, "80ffffffff"},
        {UINT64_C(1) << 32, "810000000100000000"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(lengths); i++) {
        struct rdb_writer writer;
        rdb_writer_create(&writer, true);
        rdb_write_length(&writer, lengths[i].length);
        expect_bytes(&writer, lengths[i].hex);
        rdb_writer_destroy(&writer);
    }
}

/** The bytes in a block of their exact size, so that a sanitizer sees who reads beyond. */
static bool
reads_string(struct slice bytes, bool is_source, size_t *capacity, int *error)
{
    char *copy = heap_alloc(bytes.size);
    memcpy(copy, bytes.data, bytes.size);
    struct pieces pieces = {.bytes = slice_of(copy, bytes.size), .size_max = 3};
    struct rdb_reader reader;
    struct rdb_text text = {0};
    if (is_source) {
        rdb_reader_create_source(&reader, pieces_fill, &pieces);
    } else {
        rdb_reader_create(&reader, slice_of(copy, bytes.size));
    }
    bool is_read = rdb_read_string(&reader, &text);
    *capacity = text.capacity;
    *error = reader.error;
    if (!is_read) {
        /* It stays so. */
        uint8_t byte;
        cr_expect(!rdb_read_u8(&reader, &byte));
    }
    rdb_text_release(&text);
    rdb_reader_destroy(&reader);
    heap_free(copy);
    return is_read;
}

Test(rdb, hostile_strings_are_refused_without_memory)
{
    static const struct slice hostile[] = {
        SLICE(""),
        SLICE("\x05"
              "abc"),
        SLICE("\x81\xff\xff\xff\xff\xff\xff\xff\xff"
              "abc"),
        SLICE("\x81\x7f\xff\xff\xff\xff\xff\xff\xff"
              "abc"),
        SLICE("\x80\xff\xff\xff\xff"),
        SLICE("\x80\xff"),
        SLICE("\x82"),
        SLICE("\x40"),
        SLICE("\xc4"),
        SLICE("\xff"),
        SLICE("\xc0"),
        SLICE("\xc2\x01\x02\x03"),
        /* Compressed: four bytes that say they were four billion, none, a mark of two bytes alone,
         * one that points in front of the beginning, one byte too many, and one too few. */
        SLICE("\xc3\x04\x80\xff\xff\xff\xff\x02"
              "abc"),
        SLICE("\xc3\x00\x00"),
        SLICE("\xc3\x01\x03\x20"),
        SLICE("\xc3\x02\x03\x20\x00"),
        SLICE("\xc3\x04\x04\x02"
              "abc"),
        SLICE("\xc3\x04\x02\x02"
              "abc"),
        SLICE("\xc3\x81\xff\xff\xff\xff\xff\xff\xff\xff\x05"),
        SLICE("\xc3\xc0\x05\x05"),
    };
    for (size_t i = 0; i < ARRAY_COUNT(hostile); i++) {
        for (int is_source = 0; is_source < 2; is_source++) {
            size_t capacity;
            int error;
            cr_expect(!reads_string(hostile[i], is_source, &capacity, &error), "%zu", i);
            cr_expect_leq(capacity, 65536, "%zu", i);
            cr_expect_eq(error, -EBADMSG);
        }
    }
    size_t capacity;
    int error;
    cr_expect(reads_string(SLICE("\xc3\x04\x03\x02"
                                 "abc"),
                           true, &capacity, &error));
}

Test(rdb, any_cut_is_an_error)
{
    struct rdb_writer writer;
    rdb_writer_create(&writer, true);
    char text[200];
    memset(text, 'x', sizeof(text));
    rdb_write_string(&writer, slice_of(text, sizeof(text)));
    size_t capacity;
    int error;
    for (size_t size = 0; size < writer.size; size++) {
        cr_expect(!reads_string(slice_of(writer.bytes, size), false, &capacity, &error));
        cr_expect(!reads_string(slice_of(writer.bytes, size), true, &capacity, &error));
    }
    cr_expect(reads_string(rdb_writer_bytes(&writer), false, &capacity, &error));
    rdb_writer_destroy(&writer);
}

Test(rdb, a_source_says_what_was_wrong)
{
    struct pieces pieces = {.bytes = SLICE("\x05"
                                           "abc"),
                            .size_max = 100,
                            .error = -EIO};
    struct rdb_reader reader;
    struct rdb_text text = {0};
    rdb_reader_create_source(&reader, pieces_fill, &pieces);
    cr_expect(!rdb_read_string(&reader, &text));
    cr_expect_eq(reader.error, -EIO);
    rdb_text_release(&text);
    rdb_reader_destroy(&reader);
}

Test(rdb, doubles_as_text)
{
    static const struct {
        struct slice bytes;
        double number;
    } doubles[] = {
        {SLICE("\x03"
               "1.5"),
         1.5},
        {SLICE("\x17"
               "-3.14159265358979311600"),
         -3.141592653589793},
        {SLICE("\xfe"), (double)INFINITY},
        {SLICE("\xff"), (double)-INFINITY},
    };
    for (size_t i = 0; i < ARRAY_COUNT(doubles); i++) {
        struct rdb_reader reader;
        double number;
        rdb_reader_create(&reader, doubles[i].bytes);
        cr_assert(rdb_read_double_text(&reader, &number));
        cr_expect_eq(number, doubles[i].number);
    }
    struct rdb_reader reader;
    double number;
    rdb_reader_create(&reader, SLICE("\xfd"));
    cr_assert(rdb_read_double_text(&reader, &number));
    cr_expect(isnan(number));
    rdb_reader_create(&reader, SLICE("\x03"
                                     "1.x"));
    cr_expect(!rdb_read_double_text(&reader, &number));
    rdb_reader_create(&reader, SLICE("\x04"
                                     "1.5"));
    cr_expect(!rdb_read_double_text(&reader, &number));
}
