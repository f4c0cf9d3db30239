/*
 * snapshot_rig.h: shards in one thread that snapshot into memory, and a model that keeps what they
 * held at the cut. Writes complete late, in any order and in pieces.
 */
#pragma once

#include "shards.h"

#include "shard/snapshot.h"

#define SNAPSHOT_RIG_WRITES_MAX 4096

/** A key at the cut. */
struct snapshot_key {
    char *key;
    size_t key_size;
    uint32_t db;
    uint8_t type;
    int64_t deadline_ms;
    uint64_t print; /* of the value */
    bool is_found;
};

struct snapshot_rig {
    struct shards *shards;
    struct random random;
    struct snapshot_job *job;
    /* ---- the file ---- */
    char *bytes;
    size_t size;
    size_t capacity;
    struct snapshot_rig_write {
        struct ring_op *op;
        const struct iovec *vector;
        uint64_t offset;
    } writes[SNAPSHOT_RIG_WRITES_MAX];
    uint32_t write_count;
    uint32_t write_peak;
    uint32_t pace;   /* the walk takes a step in one of so many calls of snapshot_rig_play() */
    bool is_failing; /* writes end with ENOSPC */
    uint32_t over_count;
    /* ---- the model ---- */
    struct snapshot_key *keys;
    uint32_t key_count;
    uint32_t key_capacity;
};

struct snapshot_rig *snapshot_rig_new(uint32_t shard_count, uint64_t seed);
void snapshot_rig_delete(struct snapshot_rig *rig);

/** Keep a copy of all and cut. */
void snapshot_rig_cut(struct snapshot_rig *rig, enum snapshot_form form);
/** Some steps of some shards, some completions. */
void snapshot_rig_play(struct snapshot_rig *rig);
/** Complete one write, or a piece of it. False: there is none. */
bool snapshot_rig_complete(struct snapshot_rig *rig);
/** Until all parts are over. */
void snapshot_rig_drain(struct snapshot_rig *rig);
/** All bits are equal, nothing is held. */
void snapshot_rig_check_bits(const struct snapshot_rig *rig);
/** The file holds exactly what there was at the cut. Frees the job. */
void snapshot_rig_check_file(struct snapshot_rig *rig);
/** The same without looking at the file. */
void snapshot_rig_forget(struct snapshot_rig *rig);

/** A number that tells values apart, in whatever encoding they are. */
uint64_t snapshot_print(const struct value *value);
