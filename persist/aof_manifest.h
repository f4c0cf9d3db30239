/*
 * aof_manifest.h: the list of an AOF folder's files, as redis-server 7 has it, with two fields
 * more.
 *
 *     file appendonly.aof.4.base.rdb seq 4 type b
 *     file appendonly.aof.7.incr.aof seq 7 type i gen 3 shard 0
 *     file appendonly.aof.8.incr.aof seq 8 type i gen 3 shard 1
 *
 * Files with a generation are ours; those of one generation hold disjoint slots. The whole text is
 * replaced by renaming a temporary file over it. Functions over memory only: one thread at a time
 * for each manifest.
 */
#pragma once

#include "core/slice.h"

/** A longer line is refused, by redis-server too. */
#define AOF_MANIFEST_LINE_SIZE_MAX 1024

struct aof_file {
    char *name; /* without a folder */
    uint64_t seq;
    char type; /* 'b' base, 'i' incremental, 'h' history: not needed any more, to be unlinked */
    bool has_generation;
    uint64_t generation;
    uint32_t shard;
};

/** Base first, then the incremental ones by rising `seq`, then history, as redis-server keeps it
 * however the lines stood. */
struct aof_manifest {
    struct aof_file *files;
    uint32_t count;
    uint32_t capacity;
    /** Highest of what is in it, 0: none. */
    uint64_t seq_last; /* of incremental files */
    uint64_t base_seq_last;
    uint64_t generation_last;
};

void aof_manifest_create(struct aof_manifest *manifest);
void aof_manifest_destroy(struct aof_manifest *manifest);

/**
 * Create it from text. 0, or -EBADMSG with the number of the line and what is wrong with it in
 * `error`; then nothing is to destroy. What follows the fields that are known is passed by if it
 * comes in pairs.
 */
MUST_CHECK int aof_manifest_parse(struct aof_manifest *manifest, struct slice text, char *error,
                                  size_t error_size);

/** The text, heap_free() it; not NUL-terminated. */
char *aof_manifest_format(const struct aof_manifest *manifest, size_t *size);

/** A deep copy, so that a new state can be prepared and given up. */
void aof_manifest_copy(struct aof_manifest *manifest, const struct aof_manifest *from);

/** Put a file at its place; the name is copied. A second base makes the first history. */
void aof_manifest_add(struct aof_manifest *manifest, const struct aof_file *file);

/** Make history of the base and of all incremental files with a seq of at most `seq`. */
void aof_manifest_retire(struct aof_manifest *manifest, uint64_t seq);

/** Forget history: after its files have been unlinked. */
void aof_manifest_remove_history(struct aof_manifest *manifest);

/** The base; NULL: there is none. */
const struct aof_file *aof_manifest_base(const struct aof_manifest *manifest);

/* ---- names; all on the heap ---- */

/** `base`.manifest, temp-`base`.manifest. */
char *aof_manifest_name(const char *base);
char *aof_manifest_temporary_name(const char *base);
/** `base`.SEQ.base.rdb (is_rdb) or `base`.SEQ.base.aof; with temp- in front while it is written. */
char *aof_base_name(const char *base, uint64_t seq, bool is_rdb, bool is_temporary);
/** `base`.SEQ.incr.aof. */
char *aof_incr_name(const char *base, uint64_t seq);
/** `folder`/`name`. */
char *aof_path(const char *folder, const char *name);
