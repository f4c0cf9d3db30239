/*
 * journal.h: what a shard changes, in order, for whoever keeps a copy of it: the append-only file;
 * replicas and slots that move later. Owner thread only.
 *
 * Changes come as effects (shard/effect.h) in groups: those of one command, EXEC or part of a
 * transaction, which are carried out whole or not at all. Once a turn each reader is given the
 * groups of that turn; what it needs for longer it keeps itself, in the form that it needs, with a
 * bound of its own. The journal holds no more than a turn has made.
 */
#pragma once

#include "shard/effect.h"
#include "shard/shard.h"

/** This shard's share of a transaction over several owners. */
struct journal_part {
    uint64_t ticket;
    uint32_t participant_count;
    const uint16_t *participants; /* shards, the reader's while it reads */
};

struct journal_group {
    uint32_t effect_count; /* 0: a part whose keys were only read */
    uint32_t part_index;   /* in the journal's parts; JOURNAL_NO_PART */
};

#define JOURNAL_NO_PART UINT32_MAX

struct journal_reader {
    struct journal_reader *next;
    /** The groups of this turn: journal->groups, with their effects one after the other. */
    void (*read)(struct journal_reader *reader, const struct journal *journal);
    /** All that was changed before this point of the journal is to be in another file than what
     * comes behind it. The groups before it have been read. `barrier`: effects that concern all
     * shards and are to stand alone between the two; NULL: none, or another shard is told. */
    void (*cut)(struct journal_reader *reader, const struct effects *barrier);
};

struct journal {
    struct effects effects; /* of the groups, then those of the open one */
    struct journal_group *groups;
    uint32_t group_count;
    uint32_t group_capacity;
    struct journal_part *parts;
    uint32_t part_count;
    uint32_t part_capacity;
    uint64_t closed_effect_count;
    size_t closed_size; /* of the groups' effects, in bytes */
    uint64_t read_size; /* bytes of effects that have been read since the start: the offset */
    bool is_kept_open;  /* an EXEC with closed shards goes on in several steps */
    struct journal_reader *readers;
};

struct journal *journal_new(void);
void journal_delete(struct journal *journal);

/** From the next command on; effects are made when there is a reader. */
void journal_reader_add(struct shard *shard, struct journal_reader *reader);
/** It has read everything (journal_read()). */
void journal_reader_remove(struct shard *shard, struct journal_reader *reader);

/** journal_close() where there is a journal. `part` NULL: the shard is the only one. */
void journal_close_group(struct shard *shard, const struct journal_part *part);

/** A command has run, or a part of one: what it changed is a group. */
static inline void
journal_close(struct shard *shard)
{
    if (UNLIKELY(shard->journal != NULL)) {
        journal_close_group(shard, NULL);
    }
}

/** Has something been changed that is in no group yet? */
static inline bool
journal_is_open(const struct shard *shard)
{
    return shard->journal != NULL &&
           shard->journal_room->effects.count > shard->journal_room->closed_effect_count;
}

/** What follows, several calls of journal_close(), is one group, until journal_close_group() with
 * `is_kept_open` false again. */
static inline void
journal_keep_open(struct shard *shard, bool is_kept_open)
{
    if (UNLIKELY(shard->journal != NULL)) {
        shard->journal_room->is_kept_open = is_kept_open;
    }
}

/** Hand the groups to the readers. Once a turn. */
void journal_read(struct shard *shard);

/** Read, then have the readers begin anew: all shards are closed. `barrier`: see the reader's cut;
 * on shard 0 only. */
void journal_cut(struct shard *shard, const struct effects *barrier);

/** Files are loaded: nothing is journaled meanwhile, and what was has been read. */
void journal_suspend(struct shard *shard, bool is_suspended);
