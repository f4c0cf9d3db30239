/*
 * file_test.c: files and folders.
 */
#include "core/file.h"

#include "core/heap.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/** A folder of the test's own, in which it stands. */
static void
folder_enter(char *folder, size_t size)
{
    snprintf(folder, size, "/tmp/file_test_XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    cr_assert_eq(chdir(folder), 0);
}

static void
folder_leave(const char *folder)
{
    cr_assert_eq(chdir("/"), 0);
    cr_assert_eq(rmdir(folder), 0);
}

static void
file_is(const char *path, const char *text)
{
    char *bytes = NULL;
    size_t size = 0;
    cr_assert_eq(file_read_all(path, &bytes, &size), 0);
    cr_assert_eq(size, strlen(text));
    cr_assert_str_eq(bytes, text);
    heap_free(bytes);
}

Test(file, is_written_read_cut_and_removed)
{
    char folder[64];
    uint64_t size = 1;
    folder_enter(folder, sizeof(folder));
    cr_assert_not(file_exists("a"));
    int fd = file_open_new("a");
    cr_assert_geq(fd, 0);
    cr_assert_eq(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    cr_assert_eq(file_write_all(fd, "hello world", 11), 0);
    close(fd);
    cr_assert(file_exists("a"));
    cr_assert_eq(file_size("a", &size), 0);
    cr_assert_eq(size, 11);
    file_is("a", "hello world");
    cr_assert_eq(file_truncate("a", 5), 0);
    file_is("a", "hello");
    fd = file_open_write("a");
    cr_assert_eq(pwrite(fd, "J", 1, 0), 1);
    close(fd);
    file_is("a", "Jello");
    fd = file_open_read("a");
    cr_assert_geq(fd, 0);
    cr_assert_eq(file_write_all(fd, "x", 1), -EBADF);
    close(fd);
    close(file_open_new("a"));
    file_is("a", "");
    cr_assert_eq(file_unlink("a"), 0);
    cr_assert_eq(file_unlink("a"), 0);
    folder_leave(folder);
}

Test(file, what_is_not_there_is_an_error)
{
    char folder[64];
    char *bytes = NULL;
    size_t length = 1;
    uint64_t size = 1;
    struct file_map map;
    folder_enter(folder, sizeof(folder));
    cr_assert_eq(file_open_read("a"), -ENOENT);
    cr_assert_eq(file_open_write("a"), -ENOENT);
    cr_assert_eq(file_open_new("b/a"), -ENOENT);
    cr_assert_eq(file_size("a", &size), -ENOENT);
    cr_assert_eq(size, 0);
    cr_assert_eq(file_read_all("a", &bytes, &length), -ENOENT);
    cr_assert_null(bytes);
    cr_assert_eq(file_read_all(".", &bytes, &length), -EISDIR);
    cr_assert_eq(file_map("a", &map), -ENOENT);
    cr_assert_eq(file_map(".", &map), -EISDIR);
    cr_assert_eq(file_truncate("a", 0), -ENOENT);
    cr_assert_eq(file_replace("a", "b"), -ENOENT);
    cr_assert_eq(file_store("b/a", "b/c", "x", 1), -ENOENT);
    cr_assert_eq(folder_sync("b"), -ENOENT);
    cr_assert_eq(folder_make("b/c"), -ENOENT);
    folder_leave(folder);
}

Test(file, another_takes_its_place)
{
    char folder[64];
    char path[80];
    folder_enter(folder, sizeof(folder));
    snprintf(path, sizeof(path), "%s/a", folder);
    cr_assert_eq(file_store("t", "a", "one", 3), 0);
    file_is("a", "one");
    cr_assert_eq(file_store("t", path, "two", 3), 0);
    file_is("a", "two");
    cr_assert_not(file_exists("t"));
    /* A folder is in the way: what was written aside goes, what stands there stays. */
    cr_assert_eq(folder_make("f"), 0);
    cr_assert_eq(file_store("t", "f", "three", 5), -EISDIR);
    cr_assert_not(file_exists("t"));
    cr_assert(file_exists("f"));
    cr_assert_eq(rmdir("f"), 0);
    cr_assert_eq(file_unlink("a"), 0);
    folder_leave(folder);
}

Test(file, folders_are_made_once)
{
    char folder[64];
    struct stat status;
    folder_enter(folder, sizeof(folder));
    umask(0);
    cr_assert_eq(folder_make("f"), 0);
    cr_assert_eq(folder_make("f"), 0);
    cr_assert_eq(folder_make("f/g/"), 0);
    cr_assert_eq(stat("f", &status), 0);
    cr_assert_eq(status.st_mode & 0777, 0755);
    cr_assert_eq(folder_sync("f"), 0);
    cr_assert_eq(folder_sync_of("f/g/h"), 0);
    cr_assert_eq(folder_sync_of("/f"), 0);
    cr_assert_eq(rmdir("f/g"), 0);
    close(file_open_new("f/a"));
    cr_assert_eq(folder_make("f/a"), -ENOTDIR);
    cr_assert_eq(folder_sync("f/a"), -ENOTDIR);
    cr_assert_eq(file_unlink("f/a"), 0);
    cr_assert_eq(rmdir("f"), 0);
    folder_leave(folder);
}

/** Pages of the mapping that count as this process's memory, in KiB. */
static uint64_t
mapped_kib(const struct file_map *map)
{
    char line[256];
    char start[32];
    uint64_t kib = UINT64_MAX;
    bool is_ours = false;
    FILE *file = fopen("/proc/self/smaps", "re");
    cr_assert_not_null(file);
    snprintf(start, sizeof(start), "%lx-", (unsigned long)(uintptr_t)map->bytes);
    while (kib == UINT64_MAX && fgets(line, sizeof(line), file) != NULL) {
        is_ours = is_ours || strncmp(line, start, strlen(start)) == 0;
        if (is_ours && strncmp(line, "Rss:", 4) == 0) {
            kib = strtoull(line + 4, NULL, 10);
        }
    }
    fclose(file);
    cr_assert_neq(kib, UINT64_MAX);
    return kib;
}

Test(file, is_mapped_and_dropped_behind_the_reader)
{
    char folder[64];
    struct file_map map;
    size_t size = (size_t)9 << 20;
    char *bytes = malloc(size);
    folder_enter(folder, sizeof(folder));
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (char)(i * 2654435761u >> 13);
    }
    cr_assert_eq(file_store("t", "a", bytes, size), 0);
    cr_assert_eq(file_map("a", &map), 0);
    cr_assert_eq(map.size, size);
    cr_assert_eq(memcmp(map.bytes, bytes, size), 0);
    cr_assert_geq(mapped_kib(&map), 9u << 10);
    file_map_drop(&map, (size_t)7 << 20);
    cr_assert_leq(mapped_kib(&map), 5u << 10);
    file_map_drop(&map, (size_t)7 << 20);
    file_map_drop(&map, size);
    cr_assert_leq(mapped_kib(&map), 1u << 10);
    cr_assert_eq(memcmp(map.bytes, bytes, size), 0);
    file_unmap(&map);
    close(file_open_new("a"));
    cr_assert_eq(file_map("a", &map), 0);
    cr_assert_eq(map.size, 0);
    cr_assert_not_null(map.bytes);
    file_map_drop(&map, 0);
    file_unmap(&map);
    cr_assert_eq(file_unlink("a"), 0);
    free(bytes);
    folder_leave(folder);
}

Test(file, a_folder_that_was_removed_is_returned_to_when_it_is_there_again)
{
    char folder[64];
    folder_enter(folder, sizeof(folder));
    cr_assert_eq(folder_return(folder), 0);
    cr_assert_eq(folder_return("/nowhere"), 0); /* it is still there: nobody looks elsewhere */
    cr_assert_eq(rmdir(folder), 0);
    cr_assert_eq(folder_return(folder), -ENOENT);
    cr_assert_eq(file_open_new("a"), -ENOENT);
    cr_assert_eq(mkdir(folder, 0755), 0);
    cr_assert_eq(file_open_new("a"), -ENOENT); /* the same name, another folder */
    cr_assert_eq(folder_return(folder), 1);
    cr_assert_eq(folder_return(folder), 0);
    close(file_open_new("a"));
    cr_assert_eq(file_unlink("a"), 0);
    folder_leave(folder);
}
