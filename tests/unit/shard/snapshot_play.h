/*
 * snapshot_play.h: random commands of all families, for tests of snapshots: on small and on large
 * values, with time, flushes and swaps between them.
 */
#pragma once

#include "snapshot_rig.h"

#define PLAY_FILLER_SIZE (700 << 10)

struct play {
    struct snapshot_rig *rig;
    char *texts; /* of the words */
    size_t used;
    char filler[PLAY_FILLER_SIZE];
};

struct play *play_new(uint32_t shard_count, uint64_t seed);
void play_delete(struct play *play);
/** TESSERA_SEED, or any; printed. */
uint64_t play_seed(void);
uint64_t play_below(struct play *play, uint64_t bound);

/** A word with a number in it, good until play->used is set back. */
struct slice play_format(struct play *play, const char *format, uint64_t number);
/** A command of words with single blanks between them; K, V, N and T stand for others: see the
 * tables. */
struct slice play_line(struct play *play, const char *line);
/** Many keys come into one slot, or go. */
void play_crowd(struct play *play, bool is_growing);
/** A value that takes many steps. */
void play_large(struct play *play);
/** So many commands, or what else may happen. */
void play_some(struct play *play, uint32_t count);
