/*
 * check_internal.h: what the rooms of the checker share: check (which files, what is said),
 * check_rdb, check_aof.
 */
#pragma once

#include "core/config.h"
#include "core/file.h"
#include "core/memory.h"
#include "core/slice.h"
#include "persist/libraries.h"
#include "shard/check.h"
#include "shard/command.h"
#include "shard/value/codec.h"

/** More problems of one file are counted, not told. */
#define CHECK_PROBLEMS_MAX 20
/** Bytes of a key that are shown. */
#define CHECK_NAME_SIZE_MAX 64

struct check {
    FILE *out;
    enum check_mode mode;
    enum check_result result;
    /** Problems of the file that is being looked at. */
    uint32_t problem_count;
    /** Which deadlines are over. */
    int64_t now_ms;
    struct config *config;
    struct command_table *commands;
    /** Values are built in it, and dropped. */
    struct memory memory;
    char text[CODEC_TEXT_SIZE];
};

void check_say(struct check *check, const char *format, ...) PRINTF_LIKE(2, 3);

/** Damage; `offset` UINT64_MAX: of no place. The result is CHECK_DAMAGED at least. Returns false.
 */
bool check_problem(struct check *check, uint64_t offset, const char *format, ...) PRINTF_LIKE(3, 4);

/** Which libraries of functions there are, by name; nothing where there are none. */
void check_say_libraries(struct check *check, const struct libraries *libraries);

/** What could not be done, -errno. The result is CHECK_FAILED. Returns false. */
bool check_error(struct check *check, const char *path, int error, const char *what);

/** A key or a command's name as text: printable bytes as they are, others as \xNN, cut where it is
 * long. `out` has room for CHECK_SHOWN_SIZE bytes. */
#define CHECK_SHOWN_SIZE (CHECK_NAME_SIZE_MAX * 4 + 4)
const char *check_show(char *out, struct slice bytes);

/* ---- check_rdb.c ---- */

/** What an RDB turned out to be. */
struct check_rdb {
    bool is_good;
    /** Where it ends; bytes may follow. Only if it is good. */
    uint64_t end_offset;
    uint64_t key_count;
};

/** Look at the RDB that the bytes begin with: structure, checksums, index, every value. Libraries
 * of functions are put into `libraries`. */
struct check_rdb check_rdb(struct check *check, struct slice bytes, struct libraries *libraries);

/* ---- check_keys.c ---- */

/** The first key with a hash that several have. */
struct check_first {
    uint64_t db;
    char *bytes; /* NULL: not met yet */
    size_t size;
};

/** Which keys were met, to find those that are in a file twice. All zero at first. */
struct check_keys {
    uint64_t *hashes;
    uint64_t count;
    uint64_t capacity;
    /** After check_keys_sort(): hashes that several keys have, rising, and their first ones. */
    uint64_t twin_count;
    struct check_first *firsts;
};

void check_keys_add(struct check_keys *keys, uint64_t db, struct slice key);
/** All are added: keep the hashes that were added more than once. */
void check_keys_sort(struct check_keys *keys);
/** In a second walk over the same keys, after check_keys_sort(): has it been there before? */
bool check_keys_met_again(struct check_keys *keys, uint64_t db, struct slice key);
void check_keys_destroy(struct check_keys *keys);

/* ---- check_aof.c ---- */

/** An AOF folder, by its manifest, whose path has a slash. */
void check_aof_folder(struct check *check, const char *manifest_path);
/** A file without a manifest. */
void check_aof_file(struct check *check, const char *path);
