/*
 * shards.h: several shards in one thread without mail, for tests of commands that span shards or
 * databases: a command line in, RESP bytes out. The client sits on shard 0; each shard owns every
 * n-th run of slots.
 */
#pragma once

#include "shard/call.h"
#include "shard/effect.h"
#include "shard/session.h"
#include "shard/shard.h"

#define SHARDS_MAX 8
#define SHARDS_START_MS INT64_C(1700000000000)

struct shards {
    struct node node;
    struct exchange *exchange; /* nobody receives its mail */
    struct shard *shards[SHARDS_MAX];
    uint32_t count;
    struct config *config;
    struct command_table *table;
    struct effects journal; /* of all shards, in the order in which things happened */
    struct session session;
    uint32_t turn_count; /* parts that ran for the last command */
    /** Recount the keyspaces after each command that writes; tests with thousands of keys do not.
     */
    bool is_checked;
    char *text; /* the last reply, NUL-terminated */
    size_t text_size;
};

/** `run_size`: how many slots in a row belong to one shard. */
struct shards *shards_new(uint32_t count, uint32_t run_size);
/** Asserts that every byte was given back. */
void shards_delete(struct shards *shards);

/** Execute one command; unknown commands and wrong arities are replied as errors. */
struct slice shards_run(struct shards *shards, const struct slice *argv, uint32_t argc);
/** The same for words with single blanks between them. '' is the empty word. */
const char *shards_line(struct shards *shards, const char *line);
/** Move all clocks. */
void shards_advance(struct shards *shards, int64_t ms);
/** Run all effects of `from` on `to`, which ends up with from's clock. */
void shards_replay(struct shards *from, struct shards *to);
/** The journal, one command for each line, with its database in front: "0 DEL k\n". */
const char *shards_effects(struct shards *shards);
