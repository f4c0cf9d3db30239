/*
 * check_fix.c: AOF files as recovery would leave them.
 *
 * --fix does what a server does that starts on the folder: each log is cut where its last write is
 * incomplete, and all of them so that every transaction is in all of its files or in none. The
 * bytes that go are kept in a file beside. The last file is closed, so that redis-server may append
 * to it. Afterwards everything is looked at once more.
 *
 * --give-up does so where recovery refuses, since something was lost that had been on disk: marks
 * of what was on disk are not believed then. Every transaction is looked for in all files, also
 * those that were complete once; and where one is not there any more the files end in front of it,
 * whatever the policy was, since others have seen it. A log of ours ends at its damage; where
 * redis-server has written it everything ends, as its files hold keys of every slot.
 *
 * If the process ends in the middle the files that are done stay as they are, and another run comes
 * to the same point.
 */
#include "core/heap.h"
#include "shard/check_aof_internal.h"

#include <errno.h>
#include <inttypes.h>

/** Names beside a file that are tried for what is cut off. */
#define ASIDE_TRIES 1000

/* ---- one file ---- */

/** A name beside the file that nobody has. False: all are taken. */
static bool
name_beside(char *out, size_t size, const char *path, const char *ending)
{
    for (uint32_t i = 0; i < ASIDE_TRIES; i++) {
        int used = i == 0 ? snprintf(out, size, "%s%s", path, ending)
                          : snprintf(out, size, "%s%s-%u", path, ending, i + 1);
        if (used < 0 || (size_t)used >= size) {
            return false;
        }
        if (!file_exists(out)) {
            return true;
        }
    }
    return false;
}

/** The file to which redis-server would append is of ours, and does not say that it may. */
static bool
lacks_closing(const struct aof_check *aof, uint32_t index)
{
    const struct aof_checked *file = &aof->files[index];
    const struct recovery_segment *segment = &file->segment;
    return index + 1 == aof->count && segment->is_ours && file->verdict.end > 0 &&
           segment->closed_end == 0;
}

static bool
is_unchanged(struct aof_check *aof)
{
    for (uint32_t i = 0; i < aof->count; i++) {
        const struct aof_checked *file = &aof->files[i];
        uint64_t size;
        int rc = file_size(file->path, &size);
        if (rc < 0) {
            return check_error(aof->check, file->path, rc, "cannot be read");
        }
        if (size != file->map.size) {
            return check_error(aof->check, file->path, -EBUSY,
                               "somebody writes to it: stop the server first");
        }
    }
    return true;
}

static bool
fix_file(struct aof_check *aof, const struct aof_checked *file)
{
    char aside[FILE_PATH_SIZE_MAX];
    char temporary[FILE_PATH_SIZE_MAX];
    struct recovery_file changed = {
        .path = file->path,
        .bytes = slice_of(file->map.bytes, file->map.size),
        .rdb_size = file->rdb_size,
        .segment = &file->segment,
        .verdict = &file->verdict,
    };
    uint64_t cut_size = 0;
    bool changes = recovery_file_changes(&file->verdict);
    int rc = -ENAMETOOLONG;
    if (name_beside(aside, sizeof(aside), file->path, ".cut") &&
        name_beside(temporary, sizeof(temporary), file->path, ".temp")) {
        rc = recovery_file_repair(&changed, aside, temporary, !changes, &cut_size);
    }
    if (rc < 0) {
        return check_error(aof->check, file->path, rc, "cannot be fixed");
    }
    if (!changes) {
        check_say(aof->check, "%s: closed, so that redis-server may append to it", file->path);
    } else {
        check_say(aof->check, "%s: %" PRIu64 " bytes are cut off; what stood there is kept in %s",
                  file->path, check_aof_log(file).size - check_aof_kept_size(file), aside);
    }
    return true;
}

static bool
fix_all(struct aof_check *aof)
{
    for (uint32_t i = 0; i < aof->count; i++) {
        const struct aof_checked *file = &aof->files[i];
        if (file->is_decided && (recovery_file_changes(&file->verdict) || lacks_closing(aof, i)) &&
            !fix_file(aof, file)) {
            return false;
        }
    }
    return true;
}

/* ---- giving up ---- */

/** Take the file for one that ends in front of what cannot be read, and all its transactions for
 * ones that may be incomplete. */
static void
scan_again(struct aof_checked *file, bool ends_at_group)
{
    struct slice bytes = check_aof_log(file);
    if (ends_at_group) {
        bytes.size = file->segment.group_end;
    }
    recovery_segment_destroy(&file->segment);
    recovery_scan_all(&file->segment, bytes);
    if (file->has_place && file->segment.is_ours) {
        recovery_place(&file->segment, file->generation, file->shard);
    }
    file->segment.synced = 0;
    for (uint32_t i = 0; i < file->segment.part_count; i++) {
        /* It may have been complete, and others have built on it: it cannot be left out alone. */
        file->segment.parts[i].policy = AOF_POLICY_NO;
    }
}

static void
drop(struct aof_checked *file)
{
    recovery_verdicts_destroy(&file->verdict, 1);
    file->verdict = (struct recovery_verdict){
        .action = RECOVERY_CUT,
        .why = "it stands behind what another file has lost",
    };
}

/** What recovery refuses becomes an end: of one shard's log where it is ours, of everything where
 * others have written it. */
static bool
give_up(struct aof_check *aof)
{
    uint32_t first = aof->files[0].is_base && aof->count > 1 ? 1 : 0;
    uint32_t count = aof->count;
    for (uint32_t i = 0; i < aof->count; i++) {
        struct aof_checked *file = &aof->files[i];
        if (!file->is_scanned) {
            continue;
        }
        if (i >= count) {
            drop(file);
            continue;
        }
        bool is_theirs = !file->segment.is_ours || file->segment.is_appended;
        bool is_end = file->verdict.action == RECOVERY_REFUSE && (is_theirs || i < first);
        scan_again(file, is_end);
        if (is_end) {
            count = i + 1;
        }
    }
    aof->is_refused = false;
    for (uint32_t i = 0; i < count; i++) {
        recovery_verdicts_destroy(&aof->files[i].verdict, 1);
    }
    if (first == 1 && aof->files[0].is_scanned) {
        check_aof_decide(aof, 0, 1, true);
    }
    if (count > first) {
        check_aof_decide(aof, first, count - first, true);
    }
    for (uint32_t i = 0; i < count; i++) {
        struct aof_checked *file = &aof->files[i];
        if (file->is_decided && file->verdict.action == RECOVERY_LOAD &&
            file->verdict.end < check_aof_log(file).size) {
            file->verdict.action = RECOVERY_CUT;
        }
    }
    aof->needs_fix = true;
    if (aof->is_refused) {
        check_say(aof->check,
                  "nothing is changed: there is no end at which the files could be cut");
    }
    return !aof->is_refused;
}

/* ---- all ---- */

void
check_aof_fix(struct aof_check *aof, void (*again)(struct check *check, const char *path),
              const char *path)
{
    struct check *check = aof->check;
    if (aof->is_hopeless || (aof->is_refused && check->mode != CHECK_GIVE_UP)) {
        check_say(check, "nothing is changed: what is wrong is more than an unfinished write%s",
                  aof->is_hopeless ? "" : "; --give-up cuts there all the same");
        return;
    }
    if (aof->is_refused && !give_up(aof)) {
        return;
    }
    if (!is_unchanged(aof) || !fix_all(aof)) {
        return;
    }
    FILE *out = check->out;
    check->out = NULL;
    enum check_mode mode = check->mode;
    check->mode = CHECK_LOOK;
    check->result = CHECK_GOOD;
    again(check, path);
    check->out = out;
    check->mode = mode;
    if (aof->needs_fix) {
        check_say(check, "%s: %s", path,
                  check->result == CHECK_GOOD ? "fixed, and good now" : "still damaged");
    }
}
