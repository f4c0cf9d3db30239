/*
 * ring_fault.c: a table of what is to go wrong with files.
 *
 *     test, DEBUG --> ring_fault_set() --> [write: pass 3, fail 1, ENOSPC] <-- each operation
 * counts [sync:  -                     ] [work:  all, 50 ms late       ]
 *
 * An operation asks when it begins, on the thread that does it, and takes its own copy of what it
 * meets: a later change does not touch it. What may go wrong is always left to a thread, also a
 * write that would be made on the spot, so that no delay is ever slept on a core.
 * Invariant: each operation of a kind is counted once, and exactly `fail_count` of them (0: all)
 * are hit after the first `pass_count`, however many rings and threads there are.
 *
 * A table of the process's would need no pointer in each ring, yet it would be the only mutable
 * state at file scope. Rejected: faults below the system calls (an LD_PRELOAD, a file system of
 * ours): they hit what the test itself writes, and a container may not mount.
 */
#include "core/ring_fault.h"

#include "core/heap.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

struct ring_fault_state {
    struct ring_fault fault;
    uint64_t begun_count;
    uint64_t hit_count;
};

struct ring_faults {
    pthread_mutex_t lock;
    struct ring_fault_state states[RING_FAULT_COUNT];
    /* Read without the lock: whether to take the way that asks. */
    atomic_bool are_set[RING_FAULT_COUNT];
};

struct ring_faults *
ring_faults_new(void)
{
    struct ring_faults *faults = heap_alloc_lines(1, sizeof(*faults));
    pthread_mutex_init(&faults->lock, NULL);
    for (uint32_t i = 0; i < RING_FAULT_COUNT; i++) {
        atomic_init(&faults->are_set[i], false);
    }
    return faults;
}

void
ring_faults_delete(struct ring_faults *faults)
{
    if (faults != NULL) {
        pthread_mutex_destroy(&faults->lock);
        heap_free(faults);
    }
}

void
ring_fault_set(struct ring_faults *faults, enum ring_fault_kind kind,
               const struct ring_fault *fault)
{
    ASSERT(kind < RING_FAULT_COUNT);
    pthread_mutex_lock(&faults->lock);
    faults->states[kind] = (struct ring_fault_state){0};
    if (fault != NULL) {
        ASSERT(fault->error >= 0);
        faults->states[kind].fault = *fault;
    }
    atomic_store(&faults->are_set[kind], fault != NULL);
    pthread_mutex_unlock(&faults->lock);
}

uint64_t
ring_fault_hit_count(struct ring_faults *faults, enum ring_fault_kind kind)
{
    ASSERT(kind < RING_FAULT_COUNT);
    pthread_mutex_lock(&faults->lock);
    uint64_t count = faults->states[kind].hit_count;
    pthread_mutex_unlock(&faults->lock);
    return count;
}

bool
ring_fault_parse(const char *name, enum ring_fault_kind *kind)
{
    static const char *const names[RING_FAULT_COUNT] = {
        [RING_FAULT_WRITE] = "write",
        [RING_FAULT_SYNC] = "sync",
        [RING_FAULT_WORK] = "work",
    };
    for (uint32_t i = 0; i < RING_FAULT_COUNT; i++) {
        if (strcmp(name, names[i]) == 0) {
            *kind = (enum ring_fault_kind)i;
            return true;
        }
    }
    return false;
}

bool
ring_faults_are_set(struct ring_faults *faults, enum ring_fault_kind kind)
{
    return atomic_load(&faults->are_set[kind]);
}

bool
ring_faults_meet(struct ring_faults *faults, enum ring_fault_kind kind, struct ring_fault *fault)
{
    ASSERT(kind < RING_FAULT_COUNT);
    *fault = (struct ring_fault){0};
    if (!atomic_load(&faults->are_set[kind])) {
        return false;
    }
    pthread_mutex_lock(&faults->lock);
    struct ring_fault_state *state = &faults->states[kind];
    uint64_t place = state->begun_count++;
    uint64_t first = state->fault.pass_count;
    bool is_hit = atomic_load(&faults->are_set[kind]) && place >= first &&
                  (state->fault.fail_count == 0 || place < first + state->fault.fail_count);
    if (is_hit) {
        state->hit_count++;
        *fault = state->fault;
    }
    pthread_mutex_unlock(&faults->lock);
    return is_hit;
}

void
ring_fault_delay(const struct ring_fault *fault)
{
    struct timespec left = {
        .tv_sec = fault->delay_ms / 1000,
        .tv_nsec = (long)(fault->delay_ms % 1000) * 1000000,
    };
    while (fault->delay_ms > 0 && nanosleep(&left, &left) < 0 && errno == EINTR) {
    }
}

int32_t
ring_fault_write(const struct ring_fault *fault, int fd, const struct iovec *vector,
                 uint32_t vector_count, uint64_t offset)
{
    ASSERT(fault->size_max > 0);
    struct iovec *cut = heap_alloc(vector_count * sizeof(*cut));
    size_t left = fault->size_max;
    for (uint32_t i = 0; i < vector_count; i++) {
        cut[i] =
            (struct iovec){.iov_base = vector[i].iov_base, .iov_len = MIN(vector[i].iov_len, left)};
        left -= cut[i].iov_len;
    }
    ssize_t size = pwritev(fd, cut, (int)vector_count, (off_t)offset);
    int32_t result = size < 0 ? -errno : (int32_t)size;
    heap_free(cut);
    return fault->error != 0 ? -fault->error : result;
}
