/*
 * libraries_test.c: names are found as redis-server finds them; FUNCTION does to texts what it does
 * to libraries; what is written is read again; a history races a naive model.
 */
#include "persist/libraries.h"

#include "core/random.h"
#include "persist/aof_reader.h"
#include "persist/crc64.h"
#include "persist/rdb_file_read.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define ARGUMENTS_MAX 4
#define NAME_COUNT 6

/** FUNCTION with the words of a line; a word "@a" stands for the code of the library a. */
static const char *
apply(struct libraries *libraries, const char *line)
{
    char codes[ARGUMENTS_MAX][64];
    struct slice argv[ARGUMENTS_MAX] = {SLICE("FUNCTION")};
    uint32_t argc = 1;
    while (*line != '\0') {
        size_t size = strcspn(line, " ");
        cr_assert(argc < ARGUMENTS_MAX);
        argv[argc] = slice_of(line, size);
        if (*line == '@') {
            int written = snprintf(codes[argc], sizeof(codes[argc]), "#!lua name=%.*s\ncode %.*s",
                                   (int)size - 1, line + 1, (int)size - 1, line + 1);
            argv[argc] = slice_of(codes[argc], (size_t)written);
        }
        argc++;
        line += size + (line[size] == ' ');
    }
    return libraries_apply(libraries, argv, argc);
}

static bool
has(const struct libraries *libraries, const char *name)
{
    return libraries_find(libraries, slice_of_string(name)) != NULL;
}

Test(libraries, names_are_in_the_first_line)
{
    static const struct {
        const char *code;
        const char *name;
    } cases[] = {
        {"#!lua name=mylib\nreturn 1", "mylib"},
        {"#!lua   name=mylib  \n", "mylib"},
        {"#!LUA NAME=MyLib\n", "MyLib"},
        {"#!lua name=\"mylib\"\n", "mylib"},
        {"#!lua 'name=mylib'\n", "mylib"},
        {"#!lua other=1 name=a_1\r\nname=b\n", "a_1"},
        {"#!lua name=mylib", ""}, /* no end of the line: no server loads it */
        {"#!lua\nname=mylib\n", ""},
        {"#!lua name=\n", ""},
        {"#! name=x\n", "x"},
        {"lua name=x\n", ""},
        {"#\n", ""},
        {"#", ""},
        {"", ""},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct slice name = library_name(slice_of_string(cases[i].code));
        cr_expect(slice_equal(name, slice_of_string(cases[i].name)), "%s: '%.*s'", cases[i].code,
                  (int)name.size, name.data);
    }
}

Test(libraries, function_changes_which_there_are)
{
    struct libraries libraries = {0};
    cr_assert_null(apply(&libraries, "LOAD @a"));
    cr_assert_null(apply(&libraries, "load @b"));
    cr_assert_not_null(apply(&libraries, "LOAD @a"));
    cr_assert_null(apply(&libraries, "LOAD REPLACE @a"));
    cr_assert_not_null(apply(&libraries, "LOAD KEEP @a"));
    cr_assert_not_null(apply(&libraries, "LOAD"));
    cr_assert(libraries.count == 2 && has(&libraries, "a") && has(&libraries, "b"));
    cr_assert_not(has(&libraries, "A"));
    cr_assert_not_null(apply(&libraries, "DELETE c"));
    cr_assert_not_null(apply(&libraries, "DELETE"));
    cr_assert_null(apply(&libraries, "DELETE a"));
    cr_assert(libraries.count == 1 && has(&libraries, "b"));
    cr_assert_not_null(apply(&libraries, "FLUSH now"));
    cr_assert_not_null(apply(&libraries, "LIST"));
    cr_assert_not_null(apply(&libraries, ""));
    cr_assert(libraries.count == 1);
    cr_assert_null(apply(&libraries, "FLUSH async"));
    cr_assert(libraries.count == 0);
    cr_assert_null(apply(&libraries, "FLUSH"));
    libraries_clear(&libraries);
}

Test(libraries, those_without_a_name_are_told_apart_by_their_code)
{
    struct libraries libraries = {0};
    cr_assert(libraries_put(&libraries, SLICE("one"), false));
    cr_assert(libraries_put(&libraries, SLICE("two"), false));
    cr_assert_not(libraries_put(&libraries, SLICE("one"), false));
    cr_assert(libraries_put(&libraries, SLICE("one"), true));
    cr_assert(libraries_put(&libraries, SLICE(""), false));
    cr_assert(libraries.count == 3);
    libraries_clear(&libraries);
}

/** What FUNCTION DUMP would answer. */
static void
payload_write(const struct libraries *libraries, struct rdb_writer *writer)
{
    libraries_write_records(libraries, writer);
    rdb_write_u16(writer, RDB_VERSION);
    rdb_write_u64(writer, crc64_update(0, rdb_writer_bytes(writer)));
}

static const char *
restore(struct libraries *libraries, struct slice payload, const char *word)
{
    struct slice argv[] = {SLICE("function"), SLICE("restore"), payload,
                           slice_of_string(word == NULL ? "" : word)};
    return libraries_apply(libraries, argv, word == NULL ? 3 : 4);
}

Test(libraries, payloads_are_restored_or_change_nothing)
{
    struct libraries given = {0};
    struct libraries libraries = {0};
    struct rdb_writer payload;
    rdb_writer_create(&payload, true);
    cr_assert_null(apply(&given, "LOAD @a"));
    cr_assert_null(apply(&given, "LOAD @b"));
    payload_write(&given, &payload);
    struct slice bytes = rdb_writer_bytes(&payload);

    cr_assert_null(apply(&libraries, "LOAD @c"));
    cr_assert_null(restore(&libraries, bytes, NULL));
    cr_assert(libraries.count == 3);
    cr_assert_not_null(restore(&libraries, bytes, "append"));
    cr_assert_not_null(restore(&libraries, bytes, "keep"));
    cr_assert_null(restore(&libraries, bytes, "REPLACE"));
    cr_assert(libraries.count == 3);
    cr_assert_null(restore(&libraries, bytes, "flush"));
    cr_assert(libraries.count == 2 && has(&libraries, "a") && has(&libraries, "b"));
    cr_assert_null(apply(&libraries, "DELETE a"));
    cr_assert_not_null(restore(&libraries, bytes, "append")); /* b is there: a does not come */
    cr_assert(libraries.count == 1);
    for (size_t at = 0; at < payload.size; at++) {
        payload.bytes[at] ^= 16;
        cr_assert_not_null(restore(&libraries, bytes, "flush"), "byte %zu", at);
        cr_assert_not_null(restore(&libraries, slice_of(bytes.data, at), "flush"), "size %zu", at);
        payload.bytes[at] ^= 16;
    }
    cr_assert(libraries.count == 1);
    rdb_writer_destroy(&payload);
    libraries_clear(&libraries);
    libraries_clear(&given);
}

/** One record of a payload twice, with a right checksum. */
Test(libraries, payloads_with_a_library_twice_are_refused)
{
    struct libraries given = {0};
    struct rdb_writer payload;
    rdb_writer_create(&payload, false);
    cr_assert_null(apply(&given, "LOAD @a"));
    libraries_write_records(&given, &payload);
    payload_write(&given, &payload);
    cr_assert_not_null(restore(&given, rdb_writer_bytes(&payload), "flush"));
    cr_assert(given.count == 1);
    rdb_writer_destroy(&payload);
    libraries_clear(&given);
}

static void
same(const struct libraries *a, const struct libraries *b)
{
    cr_assert_eq(a->count, b->count);
    for (uint32_t i = 0; i < a->count; i++) {
        const struct library *other = libraries_find(b, a->items[i].name);
        cr_assert_not_null(other);
        cr_assert(slice_equal(a->items[i].code, other->code));
    }
}

/** What is written, as records and as commands, is the same libraries when it is read. */
static void
write_and_read(const struct libraries *libraries)
{
    struct libraries found = {0};
    struct rdb_writer writer;
    rdb_writer_create(&writer, false);
    rdb_write_bytes(&writer, SLICE("REDIS0010"));
    libraries_write_records(libraries, &writer);
    struct rdb_file_reader reader;
    struct rdb_item record;
    rdb_file_reader_create(&reader, rdb_writer_bytes(&writer), false);
    while (rdb_file_next(&reader, &record)) {
        cr_assert_eq(record.kind, RDB_ITEM_FUNCTION);
        cr_assert(libraries_put(&found, record.value, false));
    }
    rdb_file_reader_destroy(&reader);
    same(libraries, &found);
    libraries_clear(&found);
    rdb_writer_clear(&writer);
    libraries_write_commands(libraries, &writer);
    struct aof_reader commands;
    struct aof_item item;
    aof_reader_create_trusting(&commands, rdb_writer_bytes(&writer));
    while (aof_reader_next(&commands, &item)) {
        cr_assert_eq(item.kind, AOF_COMMAND);
        cr_assert_null(libraries_apply(&found, item.argv, item.argc));
    }
    cr_assert_eq(item.kind, AOF_END);
    aof_reader_destroy(&commands);
    same(libraries, &found);
    libraries_clear(&found);
    rdb_writer_destroy(&writer);
}

Test(libraries, a_history_is_that_of_a_naive_model)
{
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct random random;
        struct libraries libraries = {0};
        uint64_t versions[NAME_COUNT] = {0}; /* 0: not there */
        random_create(&random, seed);
        for (uint64_t step = 1; step <= 60; step++) {
            uint64_t index = random_below(&random, NAME_COUNT);
            char name[8];
            char code[64];
            snprintf(name, sizeof(name), "n%u", (unsigned)index);
            int size = snprintf(code, sizeof(code), "#!lua name=%s\n%u", name, (unsigned)step);
            struct slice argv[] = {SLICE("FUNCTION"), SLICE("LOAD"), SLICE("REPLACE"),
                                   slice_of(code, (size_t)size)};
            bool is_there = versions[index] != 0;
            bool is_refused = false;
            switch (random_below(&random, 8)) {
            case 0:
                libraries_clear(&libraries);
                memset(versions, 0, sizeof(versions));
                break;
            case 1:
            case 2:
                argv[1] = SLICE("DELETE");
                argv[2] = slice_of_string(name);
                is_refused = libraries_apply(&libraries, argv, 3) != NULL;
                cr_assert_eq(is_refused, !is_there, "seed %u", (unsigned)seed);
                versions[index] = 0;
                break;
            case 3:
            case 4:
                cr_assert_null(libraries_apply(&libraries, argv, 4));
                versions[index] = step;
                break;
            default:
                argv[2] = argv[3];
                is_refused = libraries_apply(&libraries, argv, 3) != NULL;
                cr_assert_eq(is_refused, is_there, "seed %u", (unsigned)seed);
                versions[index] = is_there ? versions[index] : step;
                break;
            }
            for (uint32_t i = 0; i < NAME_COUNT; i++) {
                snprintf(name, sizeof(name), "n%u", i);
                const struct library *library = libraries_find(&libraries, slice_of_string(name));
                cr_assert_eq(library != NULL, versions[i] != 0, "seed %u", (unsigned)seed);
                size =
                    snprintf(code, sizeof(code), "#!lua name=%s\n%u", name, (unsigned)versions[i]);
                cr_assert(library == NULL ||
                          slice_equal(library->code, slice_of(code, (size_t)size)));
            }
        }
        write_and_read(&libraries);
        libraries_clear(&libraries);
    }
}
