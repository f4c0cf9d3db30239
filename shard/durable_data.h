/*
 * durable_data.h: the part of struct shard that belongs to shard/durable.h.
 */
#pragma once

#include "core/base.h"

struct mail;

/** Why writes are refused (node->write_refusal): bits. */
enum durable_refusal {
    DURABLE_REFUSAL_LOG = 1 << 0,      /* the append-only file cannot be written */
    DURABLE_REFUSAL_SNAPSHOT = 1 << 1, /* the last snapshot failed */
};

/** An answer that waits for its changes to be in the files. */
struct durable_mail {
    uint64_t mark;
    struct mail *mail;
    uint16_t to;
};

struct durable_queue {
    struct durable_mail *mails; /* a ring, by age */
    uint32_t first;
    uint32_t count;
    uint32_t capacity;
};

/** A part of a transaction over several shards, until all of them have theirs. */
struct durable_part {
    uint64_t mark;
    bool is_complete;
};

struct durable {
    /** What is journaled now is safe when safe_mark has come to this. */
    uint64_t next_mark;
    /** In the files as far as `appendfsync` wants it; of this shard. */
    uint64_t written_mark;
    /** The same, and no part before it is incomplete anywhere. */
    uint64_t safe_mark;
    /** What has run since somebody last set it to 0 must not be answered before this. */
    uint64_t hold_mark;
    /** appendfsync always: the mark of each slot's last change; else NULL. */
    uint64_t *slot_marks;
    struct durable_queue held;      /* for safe_mark */
    struct durable_queue parts_out; /* DONE of parts: for written_mark */
    struct durable_part *parts;     /* a ring, by age */
    uint32_t part_first;
    uint32_t part_count;
    uint32_t part_capacity;
    uint64_t part_id; /* of the first: ids rise by one */
};
