/*
 * loader_libraries_test.c: libraries of functions that files hold, on any number of cores.
 */
#include "loading.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LIBRARY_A "#!lua name=a\nredis.register_function('f', function() return 1 end)"
#define LIBRARY_A_NEW "#!lua name=a\nredis.register_function('f', function() return 2 end)"
#define LIBRARY_B "#!lua name=b\nredis.register_function('g', function() return 1 end)"

static void
holds(const struct libraries *libraries, const char *name, const char *code)
{
    const struct library *library = libraries_find(libraries, slice_of_string(name));
    cr_assert_eq(library != NULL, code != NULL, "%s", name);
    cr_assert(code == NULL || slice_equal(library->code, slice_of_string(code)), "%s", name);
}

Test(loader, keeps_libraries_of_functions_of_an_rdb)
{
    struct shards *source = loading_filled(2, 1);
    struct libraries libraries = {0};
    struct folder folder = folder_new();
    cr_assert(libraries_put(&libraries, SLICE(LIBRARY_A), false));
    cr_assert(libraries_put(&libraries, SLICE(LIBRARY_B), false));
    for (uint32_t round = 0; round < 6; round++) {
        struct shards *shards = shards_new(1 + round / 2, 1);
        struct libraries found = {0};
        size_t size;
        char *bytes = loading_rdb_with(source, round % 2 == 0, &libraries, &size);
        folder_write(&folder, "dump.rdb", bytes, size);
        const char *path = folder_file(&folder, "dump.rdb");
        struct loader_result result = loading_run_with(shards, LOADER_RDB, path, &found);
        cr_assert(result.error == 0, "%s", result.text);
        cr_assert(result.key_count == 601);
        cr_assert(found.count == 2);
        holds(&found, "a", LIBRARY_A);
        holds(&found, "b", LIBRARY_B);
        /* Once more: as with keys, they are there already, or give way. */
        libraries_clear(&found);
        cr_assert(libraries_put(&found, SLICE(LIBRARY_A_NEW), false));
        result = loading_run_with(shards, LOADER_RDB_MERGE, path, &found);
        cr_assert(result.error == 0, "%s", result.text);
        cr_assert(found.count == 2);
        holds(&found, "a", LIBRARY_A);
        result = loading_run_with(shards, LOADER_RDB, path, &found);
        cr_assert(result.error == -EBADMSG);
        libraries_clear(&found);
        free(bytes);
        shards_delete(shards);
    }
    folder_delete(&folder);
    libraries_clear(&libraries);
    shards_delete(source);
}

Test(loader, plays_what_a_log_says_of_libraries)
{
    static const char text[] =
        "*3\r\n$8\r\nFUNCTION\r\n$4\r\nLOAD\r\n$11\r\n#!x name=a\n\r\n"
        "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n"
        "*3\r\n$8\r\nfunction\r\n$4\r\nload\r\n$11\r\n#!x name=b\n\r\n"
        "*4\r\n$8\r\nFUNCTION\r\n$4\r\nLOAD\r\n$7\r\nREPLACE\r\n$12\r\n#!x name=a\n2\r\n"
        "*3\r\n$8\r\nFUNCTION\r\n$4\r\nLOAD\r\n$12\r\n#!x name=a\n3\r\n"
        "*3\r\n$8\r\nFUNCTION\r\n$6\r\nDELETE\r\n$1\r\nb\r\n";
    for (uint32_t count = 1; count <= 3; count++) {
        struct shards *shards = shards_new(count, 1);
        struct folder folder = folder_new();
        struct libraries found = {0};
        folder_write(&folder, "appendonly.aof", text, sizeof(text) - 1);
        struct loader_result result = loading_run_with(
            shards, LOADER_AOF_FILE, folder_file(&folder, "appendonly.aof"), &found);
        cr_assert(result.error == 0, "%s", result.text);
        cr_assert(result.error_count == 1, "the one that is there already");
        cr_assert(result.command_count == 6, "%u", (unsigned)result.command_count);
        cr_assert(found.count == 1);
        holds(&found, "a", "#!x name=a\n2");
        libraries_clear(&found);
        folder_delete(&folder);
        shards_delete(shards);
    }
}
