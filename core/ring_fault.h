/*
 * ring_fault.h: makes file operations of rings fail, for tests.
 * A table that any number of rings look into (ring_options.faults) and that any thread may set
 * while they run. Only builds with TESSERA_SLOW_ASSERTS look; in the others every question is
 * answered with a constant no.
 */
#pragma once

#include "core/base.h"

#include <sys/uio.h>

enum ring_fault_kind {
    RING_FAULT_WRITE, /* ring_write() */
    RING_FAULT_SYNC,  /* ring_sync(); the file is not synced when it fails */
    RING_FAULT_WORK,  /* ring_work(); the work is left out when it fails */
    RING_FAULT_COUNT,
};

/** What goes wrong with the operations of a kind. All zero: they just go by a thread. */
struct ring_fault {
    /** Operations that pass unharmed first. */
    uint32_t pass_count;
    /** Operations that are hit after them; 0: all, until it is set anew. */
    uint32_t fail_count;
    /** What they end with, as errno (ENOSPC, EIO ...); 0: they succeed, though late or short. */
    int32_t error;
    /** Writes: bytes that reach the file, at most. 0: all, or none if there is an error. Both an
     * error and a size: bytes reach the file, and the error is told. */
    uint32_t size_max;
    /** Time that they take longer. */
    uint32_t delay_ms;
};

struct ring_faults;

/** A table in which nothing goes wrong. Never NULL. */
struct ring_faults *ring_faults_new(void);

/** No ring may use it any more. NULL is nothing to delete. */
void ring_faults_delete(struct ring_faults *faults);

/** From now on, for operations that have not begun; the counts begin anew. NULL: nothing goes wrong
 * any more. Any thread. */
void ring_fault_set(struct ring_faults *faults, enum ring_fault_kind kind,
                    const struct ring_fault *fault);

/** Operations of the kind that were hit since they were last set. Any thread. */
uint64_t ring_fault_hit_count(struct ring_faults *faults, enum ring_fault_kind kind);

/** The kind as a test names it ("write", "sync", "work"); false: there is none. */
MUST_CHECK bool ring_fault_parse(const char *name, enum ring_fault_kind *kind);

struct ring;

/** The ring's table, NULL: it has none. */
struct ring_faults *ring_faults_of(const struct ring *ring);

/* ---- for the ring ---- */

bool ring_faults_are_set(struct ring_faults *faults, enum ring_fault_kind kind);
bool ring_faults_meet(struct ring_faults *faults, enum ring_fault_kind kind,
                      struct ring_fault *fault);

/** Could something go wrong with the kind? Such operations are left to a thread. */
static inline bool
ring_fault_is_set(struct ring_faults *faults, enum ring_fault_kind kind)
{
#ifdef TESSERA_SLOW_ASSERTS
    return faults != NULL && ring_faults_are_set(faults, kind);
#else
    (void)faults;
    (void)kind;
    return false;
#endif
}

/** An operation begins: true when it is hit, and by what. Counts it. */
static inline bool
ring_fault_meet(struct ring_faults *faults, enum ring_fault_kind kind, struct ring_fault *fault)
{
#ifdef TESSERA_SLOW_ASSERTS
    return faults != NULL && ring_faults_meet(faults, kind, fault);
#else
    (void)faults;
    (void)kind;
    *fault = (struct ring_fault){0};
    return false;
#endif
}

/** Take the time that the fault costs: sleeps. */
void ring_fault_delay(const struct ring_fault *fault);

/** What becomes of a write that `fault`, which has a size_max, has hit: bytes, or -errno. */
int32_t ring_fault_write(const struct ring_fault *fault, int fd, const struct iovec *vector,
                         uint32_t vector_count, uint64_t offset);
