/*
 * recovery_file.c: a verdict, carried out.
 *
 *     file       [ kept ............ ][ check, part, SET ][ torn
 *     aside                           [ check, part, SET ][ torn      synced first
 *     temporary  [ kept ............ ][ SET, check, closed ]          synced, renamed
 *
 * At every moment the folder holds the old file whole, or the new one and what was taken out of the
 * old. Several files change one after the other, and the process may end in between; that does no
 * harm, since recovery comes to the same result again: a transaction that is missing in one file is
 * incomplete in all others.
 *
 * Where nothing is written but a closing line the file may be cut in place instead, which does not
 * copy gigabytes for the sake of its last write: cut, synced, closed, synced.
 *
 * Rejected: doing so where whole transactions have to be written again behind the cut. For a moment
 * they would not be in the file.
 */
#include "persist/recovery_file.h"

#include "core/file.h"

#include <errno.h>
#include <unistd.h>

/** Two runs of bytes into a new file, durably. */
static int
write_new(const char *path, struct slice first, struct slice second)
{
    int fd = file_open_new(path);
    if (fd < 0) {
        return fd;
    }
    int rc = file_write_all(fd, first.data, first.size);
    if (rc == 0 && second.size > 0) {
        rc = file_write_all(fd, second.data, second.size);
    }
    if (rc == 0 && fsync(fd) < 0) {
        rc = -errno;
    }
    close(fd);
    return rc;
}

static int
replace(const struct recovery_file *file, const char *temporary, struct slice kept,
        struct slice tail)
{
    int rc = write_new(temporary, kept, tail);
    if (rc == 0) {
        rc = file_replace(temporary, file->path);
    }
    if (rc < 0 && file_unlink(temporary) < 0) {
        /* It is in nobody's way. */
    }
    return rc;
}

/** Cut the file, and put `tail` behind. */
static int
cut_in_place(const char *path, uint64_t keep_size, struct slice tail)
{
    int rc = file_truncate(path, keep_size);
    if (rc < 0 || tail.size == 0) {
        return rc;
    }
    int fd = file_open_write(path);
    if (fd < 0) {
        return fd;
    }
    if (lseek(fd, (off_t)keep_size, SEEK_SET) < 0) {
        rc = -errno;
    }
    if (rc == 0) {
        rc = file_write_all(fd, tail.data, tail.size);
    }
    if (rc == 0 && fsync(fd) < 0) {
        rc = -errno;
    }
    close(fd);
    return rc;
}

int
recovery_file_repair(const struct recovery_file *file, const char *aside, const char *temporary,
                     bool may_cut, uint64_t *cut_size)
{
    ASSERT(file->verdict->action != RECOVERY_REFUSE);
    ASSERT(file->rdb_size <= file->bytes.size);
    struct recovery_repair repair;
    struct slice log =
        slice_of(file->bytes.data + file->rdb_size, file->bytes.size - file->rdb_size);
    recovery_repair_create(&repair, log, file->segment, file->verdict);
    uint64_t keep_size = file->rdb_size + repair.keep_size;
    struct slice kept = slice_of(file->bytes.data, keep_size);
    struct slice rest = slice_of(file->bytes.data + keep_size, file->bytes.size - keep_size);
    int rc = 0;
    if (rest.size > 0) {
        rc = write_new(aside, rest, slice_of(NULL, 0));
        if (rc == 0) {
            rc = folder_sync_of(aside);
        }
    }
    struct slice tail = slice_of(repair.tail, repair.tail_size);
    if (rc == 0 && may_cut && repair.is_in_place) {
        rc = cut_in_place(file->path, keep_size, tail);
    } else if (rc == 0) {
        rc = replace(file, temporary, kept, tail);
    }
    *cut_size = rest.size > repair.tail_size ? rest.size - repair.tail_size : 0;
    recovery_repair_destroy(&repair);
    return rc;
}
