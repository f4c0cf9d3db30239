/*
 * recovery_file.h: making a file on disk what recovery has left of it: for the server that starts,
 * and for tessera-check --fix. Synchronous (core/file.h); any thread, one at a time for each file.
 */
#pragma once

#include "persist/recovery.h"

/** A file, what was found in it, and what is to become of it. */
struct recovery_file {
    const char *path;
    /** All of it, mapped: its log begins behind the RDB that it may begin with. */
    struct slice bytes;
    uint64_t rdb_size;
    const struct recovery_segment *segment;
    const struct recovery_verdict *verdict; /* not RECOVERY_REFUSE */
};

/** Does a verdict ask for a change? */
static inline bool
recovery_file_changes(const struct recovery_verdict *verdict)
{
    return verdict->action == RECOVERY_CUT || verdict->hole_count > 0;
}

/**
 * Leave in the file what its verdict says, durably, with a closing line behind it if it is ours.
 * All bytes behind the first one that changes are kept in a new file `aside` first; it is not made
 * if nothing stands there. Then the file is cut in place, where `may_cut` allows it and nothing but
 * the closing line is to be written, else written anew as `temporary`, which takes its name.
 * *cut_size: bytes that have gone. 0 or -errno: then the file may be cut already, but holds no
 * less than its verdict says. The map is of the old file, and may be read up to the cut only.
 */
MUST_CHECK int recovery_file_repair(const struct recovery_file *file, const char *aside,
                                    const char *temporary, bool may_cut, uint64_t *cut_size);
