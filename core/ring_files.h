/*
 * ring_files.h: the ring's way to files: small writes on the spot, all else on threads beside the
 * core. For the ring's own rooms; everybody else calls ring_write(), ring_sync() and ring_work().
 */
#pragma once

#include "core/ring_internal.h"

struct ring_files;

/** A write that took longer than this had to wait for the disk (if it gave up the CPU). */
#define RING_PACE_SLOW_NS 1000000u
/** How long no write was slow before one is tried on the spot again: at first, and at most. */
#define RING_PACE_CALM_MIN_NS 1000000000u
#define RING_PACE_CALM_MAX_NS (64u * (uint64_t)RING_PACE_CALM_MIN_NS)

/** Whether the disk takes writes without making the writer wait. Owner thread only. */
struct ring_pace {
    uint64_t slow_ns; /* when the last slow write ended; 0: none yet */
    uint64_t calm_ns; /* to be over since then */
};

/** May a write be done on the spot? */
static inline bool
ring_pace_is_calm(const struct ring_pace *pace, uint64_t now_ns)
{
    return pace->slow_ns == 0 || now_ns >= pace->slow_ns + pace->calm_ns;
}

/** A write was slow. One on the spot has held up the core: the next such attempt comes later each
 * time, unless the disk was well for long. */
void ring_pace_slow(struct ring_pace *pace, uint64_t now_ns, bool is_on_the_spot);

/** The operation is a write, a sync or work, with all of its fields set. Owner thread only. */
void ring_files_start(struct ring *ring, struct ring_op *op);

/** An operation that a thread has (is_inflight) is not wanted any more. Owner thread only. */
void ring_files_cancel(struct ring *ring, struct ring_op *op);

/** The owner is about to sleep: false when something is done already, so that it must not. */
MUST_CHECK bool ring_files_park(struct ring_files *files);
/** It is awake again. */
void ring_files_unpark(struct ring_files *files);

/** Call the owners of what is done; returns the number of calls. */
uint32_t ring_files_reap(struct ring *ring);

/** Operations in flight on threads. */
uint32_t ring_files_pending_count(const struct ring_files *files);

/** End the threads. Nothing may be in flight. */
void ring_files_delete(struct ring_files *files);

static inline bool
ring_op_is_file(const struct ring_op *op)
{
    return op->kind == RING_OP_WRITE || op->kind == RING_OP_SYNC || op->kind == RING_OP_WORK;
}
