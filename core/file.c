/*
 * file.c: the few things that we do with whole files, each with its errors told and its interrupted
 * calls repeated.
 *
 * A new file takes an old one's place in four steps, and a power cut between any two of them leaves
 * one of the files whole under its name:
 *     write aside --> fsync the file --> rename over the old one --> fsync the folder
 * Without the first fsync the name could come to stand for a file whose bytes never reached the
 * disk; without the second the old file could be back.
 *
 * Files to be read are mapped: the loader's arguments are slices of the mapping, which costs no
 * copy and no buffer. Pages that it has left behind are dropped (file_map_drop()), in steps of some
 * MiB because each is a system call; else the file would count as our memory for as long as we
 * read.
 *
 * Invariant: a call that fails leaves no descriptor open and no memory behind.
 * Rejected: O_TMPFILE with linkat() (it cannot replace a name), and a reader with a buffer for
 * files that do not fit in RAM (the mapping does that).
 */
#include "core/file.h"

#include "core/heap.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Rare enough not to be felt, small enough not to count. */
#define MAP_DROP_SIZE ((size_t)4 << 20)

MUST_CHECK static int
file_open(const char *path, int flags)
{
    int fd;
    do {
        fd = open(path, flags | O_CLOEXEC, 0644);
    } while (fd < 0 && errno == EINTR);
    return fd < 0 ? -errno : fd;
}

int
file_open_new(const char *path)
{
    return file_open(path, O_CREAT | O_TRUNC | O_WRONLY);
}

int
file_open_read(const char *path)
{
    return file_open(path, O_RDONLY);
}

int
file_open_write(const char *path)
{
    return file_open(path, O_WRONLY);
}

bool
file_exists(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0;
}

int
file_size(const char *path, uint64_t *size)
{
    struct stat status;
    *size = 0;
    if (stat(path, &status) < 0) {
        return -errno;
    }
    *size = (uint64_t)status.st_size;
    return 0;
}

/** The size of what is open; -EISDIR for a folder, -EINVAL for what has no size. */
MUST_CHECK static int
file_size_of(int fd, size_t *size)
{
    struct stat status;
    if (fstat(fd, &status) < 0) {
        return -errno;
    }
    if (!S_ISREG(status.st_mode)) {
        return S_ISDIR(status.st_mode) ? -EISDIR : -EINVAL;
    }
    *size = (size_t)status.st_size;
    return 0;
}

/** Up to `size` bytes, until the end: how many, or -errno. */
static ssize_t
file_read(int fd, char *bytes, size_t size)
{
    size_t done = 0;
    while (done < size) {
        ssize_t rc = read(fd, bytes + done, MIN(size - done, (size_t)INT_MAX));
        if (rc == 0) {
            break;
        }
        if (rc < 0 && errno != EINTR) {
            return -errno;
        }
        done += rc > 0 ? (size_t)rc : 0;
    }
    return (ssize_t)done;
}

int
file_read_all(const char *path, char **bytes, size_t *size)
{
    size_t expected = 0;
    *bytes = NULL;
    *size = 0;
    int fd = file_open_read(path);
    if (fd < 0) {
        return fd;
    }
    int rc = file_size_of(fd, &expected);
    if (rc == 0) {
        char *memory = heap_alloc(expected + 1);
        ssize_t count = file_read(fd, memory, expected);
        if (count < 0) {
            rc = (int)count;
            heap_free(memory);
        } else {
            memory[count] = '\0';
            *bytes = memory;
            *size = (size_t)count;
        }
    }
    close(fd);
    return rc;
}

int
file_write_all(int fd, const void *bytes, size_t size)
{
    const char *data = bytes;
    while (size > 0) {
        ssize_t rc = write(fd, data, MIN(size, (size_t)INT_MAX));
        if (rc < 0 && errno != EINTR) {
            return -errno;
        }
        if (rc > 0) {
            data += rc;
            size -= (size_t)rc;
        }
    }
    return 0;
}

MUST_CHECK static int
fd_sync(int fd)
{
    int rc;
    do {
        rc = fsync(fd);
    } while (rc < 0 && errno == EINTR);
    return rc < 0 ? -errno : 0;
}

/** Open, fsync, close. */
MUST_CHECK static int
path_sync(const char *path, int flags)
{
    int fd = file_open(path, flags);
    if (fd < 0) {
        return fd;
    }
    int rc = fd_sync(fd);
    close(fd);
    return rc;
}

int
folder_sync(const char *path)
{
    int rc = path_sync(path, O_RDONLY | O_DIRECTORY);
    /* Some file systems cannot sync a folder, and need not. */
    return rc == -EINVAL ? 0 : rc;
}

int
folder_sync_of(const char *path)
{
    char folder[FILE_PATH_SIZE_MAX];
    size_t size = strlen(path);
    while (size > 1 && path[size - 1] == '/') {
        size--;
    }
    while (size > 0 && path[size - 1] != '/') {
        size--;
    }
    if (size == 0) {
        return folder_sync(".");
    }
    if (size >= sizeof(folder)) {
        return -ENAMETOOLONG;
    }
    memcpy(folder, path, size);
    folder[size] = '\0';
    return folder_sync(folder);
}

int
folder_return(const char *path)
{
    char here[FILE_PATH_SIZE_MAX];
    if (getcwd(here, sizeof(here)) != NULL || errno != ENOENT) {
        return 0;
    }
    return chdir(path) < 0 ? -errno : 1;
}

int
folder_make(const char *path)
{
    struct stat status;
    if (mkdir(path, 0755) == 0) {
        return folder_sync_of(path);
    }
    if (errno != EEXIST) {
        return -errno;
    }
    if (stat(path, &status) < 0) {
        return -errno;
    }
    return S_ISDIR(status.st_mode) ? 0 : -ENOTDIR;
}

int
file_replace(const char *temporary, const char *path)
{
    int rc = path_sync(temporary, O_WRONLY);
    if (rc < 0) {
        return rc;
    }
    if (rename(temporary, path) < 0) {
        return -errno;
    }
    return folder_sync_of(path);
}

int
file_store(const char *temporary, const char *path, const void *bytes, size_t size)
{
    int fd = file_open_new(temporary);
    if (fd < 0) {
        return fd;
    }
    int rc = file_write_all(fd, bytes, size);
    close(fd);
    if (rc == 0) {
        rc = file_replace(temporary, path);
    }
    if (rc < 0) {
        (void)unlink(temporary);
    }
    return rc;
}

int
file_unlink(const char *path)
{
    return unlink(path) == 0 || errno == ENOENT ? 0 : -errno;
}

int
file_truncate(const char *path, uint64_t size)
{
    if (size > INT64_MAX) {
        return -EFBIG;
    }
    int fd = file_open_write(path);
    if (fd < 0) {
        return fd;
    }
    int rc;
    do {
        rc = ftruncate(fd, (off_t)size) < 0 ? -errno : 0;
    } while (rc == -EINTR);
    if (rc == 0) {
        rc = fd_sync(fd);
    }
    close(fd);
    return rc;
}

int
file_map(const char *path, struct file_map *map)
{
    *map = (struct file_map){.bytes = ""};
    int fd = file_open_read(path);
    if (fd < 0) {
        return fd;
    }
    int rc = file_size_of(fd, &map->size);
    if (rc == 0 && map->size > 0) {
        void *memory = mmap(NULL, map->size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (memory == MAP_FAILED) {
            rc = -errno;
            map->size = 0;
        } else {
            (void)madvise(memory, map->size, MADV_SEQUENTIAL);
            map->bytes = memory;
        }
    }
    close(fd);
    return rc;
}

void
file_unmap(struct file_map *map)
{
    if (map->size > 0) {
        int rc = munmap((void *)(uintptr_t)map->bytes, map->size);
        ASSERT(rc == 0);
    }
    *map = (struct file_map){.bytes = ""};
}

void
file_map_drop(struct file_map *map, size_t up_to)
{
    ASSERT(up_to <= map->size);
    size_t end = up_to / MAP_DROP_SIZE * MAP_DROP_SIZE;
    if (end > map->dropped) {
        (void)madvise((char *)(uintptr_t)map->bytes + map->dropped, end - map->dropped,
                      MADV_DONTNEED);
        map->dropped = end;
    }
}
