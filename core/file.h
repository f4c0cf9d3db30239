/*
 * file.h: files and folders, synchronously: for the start, for tools and for work that a ring runs
 * beside its core (ring_work()). Never on a core's own turn.
 * Any thread. Descriptors are close-on-exec. Errors are -errno; what fails leaves nothing open.
 */
#pragma once

#include "core/base.h"

/** The longest path, its end included; what does not fit is -ENAMETOOLONG. */
#define FILE_PATH_SIZE_MAX 4096

/** A file of that name for writing, empty, mode 0644; what it held is lost. A descriptor. */
MUST_CHECK int file_open_new(const char *path);

/** A file that is there, for reading or for writing at given offsets. A descriptor. */
MUST_CHECK int file_open_read(const char *path);
MUST_CHECK int file_open_write(const char *path);

bool file_exists(const char *path);
MUST_CHECK int file_size(const char *path, uint64_t *size);

/** The whole file, with a zero byte behind it that *size does not count. *bytes is the caller's,
 * for heap_free(). */
MUST_CHECK int file_read_all(const char *path, char **bytes, size_t *size);

/** Write all of it where the descriptor stands. After an error some of it may be there. */
MUST_CHECK int file_write_all(int fd, const void *bytes, size_t size);

/** Put `temporary` in the place of `path`, so that after a power cut one of them is there whole:
 * fsync, rename, fsync of the folder. Both are in one folder. If it fails before the rename,
 * `temporary` stays. */
MUST_CHECK int file_replace(const char *temporary, const char *path);

/** Make `path` hold these bytes, as file_replace() does; `temporary` is the name on the way and is
 * gone after an error. */
MUST_CHECK int file_store(const char *temporary, const char *path, const void *bytes, size_t size);

/** Remove the file. One that is not there is removed already: 0. */
MUST_CHECK int file_unlink(const char *path);

/** Cut the file to `size` bytes and make that durable. */
MUST_CHECK int file_truncate(const char *path, uint64_t size);

/** Make the folder's entries durable: what was made, renamed or removed in it. */
MUST_CHECK int folder_sync(const char *path);

/** Make the folder that holds `path` durable. */
MUST_CHECK int folder_sync_of(const char *path);

/** Make the folder, mode 0755; one that is there already is fine. Its parent is synced. */
MUST_CHECK int folder_make(const char *path);

/** If the process's working directory was removed: go to `path`, where somebody has perhaps made it
 * again. 1: gone there; 0: the working directory is still there; -errno: it is nowhere. */
MUST_CHECK int folder_return(const char *path);

/** A file's bytes, to be read only. A file that is cut short meanwhile kills the reader (SIGBUS):
 * for files that are ours alone. */
struct file_map {
    const char *bytes; /* never NULL, also of an empty file */
    size_t size;
    size_t dropped; /* bytes from the start that file_map_drop() has given back */
};

MUST_CHECK int file_map(const char *path, struct file_map *map);
void file_unmap(struct file_map *map);

/** What lies before `up_to` is not needed in memory any more; it can still be read, from the file.
 * Cheap to call often: it acts when some MiB have come together. For one thread at a time. */
void file_map_drop(struct file_map *map, size_t up_to);
