/*
 * check_aof_internal.h: what check_aof (looking) and check_fix (mending) share.
 */
#pragma once

#include "persist/recovery_file.h"
#include "shard/check_internal.h"

struct aof_checked {
    char *path;
    struct file_map map;
    bool is_mapped;
    bool is_base;
    bool is_rdb_by_name; /* holds nothing else */
    bool has_place;      /* the manifest says whose it is */
    uint64_t generation;
    uint32_t shard;
    uint64_t rdb_size;
    bool is_scanned;
    struct recovery_segment segment;
    bool is_decided;
    struct recovery_verdict verdict;
};

struct aof_check {
    struct check *check;
    struct aof_checked *files;
    uint32_t count;
    /** Of functions: what a load of all files comes to. */
    struct libraries libraries;
    /** In a folder; else one file, whose manifest nobody has. */
    bool has_manifest;
    /** A file is missing, an RDB damaged, a command unknown: no cut mends that. */
    bool is_hopeless;
    /** A log is damaged where more than an unfinished write is lost. */
    bool is_refused;
    /** Bytes that a cut takes, transactions that lose a part. */
    bool needs_fix;
};

/** A file's bytes behind its RDB: what recovery's offsets count from. */
static inline struct slice
check_aof_log(const struct aof_checked *file)
{
    return slice_of(file->map.bytes + file->rdb_size, file->map.size - file->rdb_size);
}

/** How much of it a server keeps. */
static inline uint64_t
check_aof_kept_size(const struct aof_checked *file)
{
    uint64_t size = file->verdict.end;
    for (uint32_t i = 0; i < file->verdict.hole_count; i++) {
        size -= file->verdict.holes[i].end - file->verdict.holes[i].begin;
    }
    return size;
}

/** What is to become of `count` files from `first` on, which are scanned. */
void check_aof_decide(struct aof_check *aof, uint32_t first, uint32_t count, bool may_be_torn);

/** Change the files, if check->mode and what was found allow it, and look whether they are good
 * then: `again` looks at `path`, which names them. */
void check_aof_fix(struct aof_check *aof, void (*again)(struct check *check, const char *path),
                   const char *path);
