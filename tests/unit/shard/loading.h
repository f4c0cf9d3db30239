/*
 * loading.h: what tests of the loader share: a load turn by turn, folders, and files to be loaded.
 */
#pragma once

#include "shards.h"

#include "persist/libraries.h"
#include "shard/loader.h"

/** Load into the shards, turn by turn, libraries of functions into `libraries`. */
struct loader_result loading_run_with(struct shards *shards, enum loader_source source,
                                      const char *path, struct libraries *libraries);
/** The same where there are none. */
struct loader_result loading_run(struct shards *shards, enum loader_source source,
                                 const char *path);

struct folder {
    char path[64];
    char file[128];
};

struct folder folder_new(void);
/** Good until the next call. */
const char *folder_file(struct folder *folder, const char *name);
void folder_write(struct folder *folder, const char *name, const void *bytes, size_t size);
void folder_delete(struct folder *folder);

/** Commands, one a line, as an AOF has them. '#' lines are taken as they are. For free(). */
char *loading_aof(const char *lines, size_t *size);

/** An RDB of all that the shards have, one chunk or more for each of them. For free(). */
char *loading_rdb(struct shards *shards, bool has_index, size_t *size);
char *loading_rdb_with(struct shards *shards, bool has_index, const struct libraries *libraries,
                       size_t *size);

/** Some hundred keys of all types in two databases. */
struct shards *loading_filled(uint32_t count, uint32_t run_size);
