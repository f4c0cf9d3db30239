/*
 * wheel.h: what happens when. A hierarchical timing wheel with ticks of 1 ms for timers and key
 * expiries alike. Adding, removing and moving a node cost O(1) whatever the deadline. One thread;
 * time is an argument.
 */
#pragma once

#include "core/memory.h"

/** `place` of a node that is in no wheel. */
#define WHEEL_NOWHERE UINT32_MAX

/** Embedded in what has a deadline. The wheel points to it; only its owner moves it, with
 * wheel_relocate(). */
struct wheel_node {
    int64_t deadline_ms;
    /** Where the wheel holds it; WHEEL_NOWHERE before wheel_add(), which the owner has to set. */
    uint32_t place;
    /** The owner's. */
    uint32_t spare;
};

#define WHEEL_LEVEL_BITS 7
#define WHEEL_LEVEL_COUNT 9
/** Twice as many buckets as a level's ratio: the next bucket of the level above fits in too, ahead
 * of time. */
#define WHEEL_BUCKET_COUNT (2 << WHEEL_LEVEL_BITS)

struct wheel_ring;
struct wheel_block;

struct wheel {
    struct memory *memory;
    /** Nodes in the wheel. */
    uint64_t count;
    /** The clock of the last wheel_advance(). */
    int64_t target_ms;
    /* ---- internal ---- */
    struct wheel_ring *ring;
    /** Only after the clock was set back: what is still placed by the old time. */
    struct wheel_ring *old_ring;
    struct wheel_block *blocks;
    uint32_t block_count;
    uint32_t block_capacity;
    /** Heads of lists through `blocks`: those with free chunks, and unused numbers. */
    uint32_t partial_block;
    uint32_t unused_block;
    uint32_t empty_block_count;
};

void wheel_create(struct wheel *wheel, struct memory *memory, int64_t now_ms);

/** Nodes that are still in it are forgotten, their `place` means nothing any more. */
void wheel_destroy(struct wheel *wheel);

/** `node->deadline_ms` is set, `node->place` is WHEEL_NOWHERE. A deadline in the past is due at the
 * next advance. */
void wheel_add(struct wheel *wheel, struct wheel_node *node);

/** Nothing happens to a node that is nowhere. */
void wheel_remove(struct wheel *wheel, struct wheel_node *node);

/** The node's memory has moved (or is about to: only old_node->place is read); its deadline is the
 * same. */
void wheel_relocate(struct wheel *wheel, const struct wheel_node *old_node,
                    struct wheel_node *new_node);

/**
 * `node` is due and already out of the wheel, so it may be freed or added again; other nodes may be
 * added, removed or moved from here as well.
 */
typedef void wheel_due_fn(void *context, struct wheel_node *node);

/**
 * Time is `now_ms`: call `due` for what has reached its deadline, in order of milliseconds, and
 * move what comes up soon inward. At most `step_count_max` nodes are touched; where that cuts it
 * short wheel_is_behind() says so and the next call goes on. Returns how many were touched. A clock
 * that was set back is followed: deadlines are kept (by up to a second it is waited for, and
 * deadlines within that second are late by as much).
 */
uint32_t wheel_advance(struct wheel *wheel, int64_t now_ms, uint32_t step_count_max,
                       wheel_due_fn *due, void *context);

/** Is something overdue at the clock of the last advance? Then call it again soon, also without new
 * time. */
bool wheel_is_behind(const struct wheel *wheel);

/**
 * When to call wheel_advance() again at the latest: the first deadline or an inward move before it.
 * Never later than the first deadline; INT64_MAX when empty.
 */
int64_t wheel_next_ms(const struct wheel *wheel);
