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

struct durable {
    /** What is journaled now is safe when safe_mark has come to this. */
    uint64_t next_mark;
    /** In the files as far as `appendfsync` wants it. */
    uint64_t safe_mark;
    /** What has run since somebody last set it to 0 must not be answered before this. */
    uint64_t hold_mark;
    /** appendfsync always: the mark of each slot's last change; else NULL. */
    uint64_t *slot_marks;
    struct durable_queue held; /* for safe_mark */
};
