/*
 * ring_files.c: writes, syncs and slow work of a core, which files make wait and sockets do not.
 *
 *     ring_write(), small, disk calm ------ pwritev() at once ----------------> ready list
 *     any other   --> lane of writes (2) --.                                        |
 *     ring_sync() --> lane of syncs  (2) --+--> threads, the last to fall     .--> done()
 *     ring_work() --> lane of work   (1) --'    asleep is called first --> done list
 *
 * A lane is a queue and how many of it may run at once: the work of a ring runs in order, a long
 * sync of one file holds up neither the writes of another nor its sync, and no flood of one kind
 * takes the threads of another. A thread is made when there is more to run than threads are awake,
 * so that a ring that only appends to a file has one, and a ring without files none. They all
 * inherit the process's CPUs, not the one that the core is pinned to.
 *
 * Measured (CPU of all threads for a 4 KiB append to the page cache of ext4, a write each 20 or
 * 100 us, on a virtual machine with two CPUs): pwrite() on the spot 3 to 6 us; IORING_OP_WRITEV,
 * which goes to a worker of the kernel on this file system, 13 to 26 us; a thread of our own 11 to
 * 27 us. Of the latter two the core itself pays 7 to 10 us, twice what the write costs, and the
 * reply that waits for the write leaves 20 to 30 us later. With 64 KiB: 14, 33 and 33 us. So a
 * hand-over costs more than the write for all that a turn usually appends, and kernel workers cost
 * what threads cost, without telling what they do. Hence: writes up to FILES_SPOT_SIZE_MAX are made
 * where they are asked for; io_uring is not used for files; both back ends share this room.
 *
 * What speaks against it is a disk that cannot follow: the kernel then makes whoever writes wait,
 * and a core that waits serves nobody. Therefore a write goes to a thread while a sync of this ring
 * runs, and for a while (struct ring_pace) after any write that waited. Slow is what took more than
 * a millisecond and gave up the CPU by itself meanwhile: a core that was merely preempted learns
 * nothing about the disk. In a bad hour one write a minute finds out whether it is over.
 *
 * The owner polls `done_count` in ring_wait() and is woken only when it sleeps. The two sides meet
 * as in any such protocol: it says that it sleeps, then looks for results; a thread leaves its
 * result, then looks whether it sleeps; both in sequentially consistent order, so one of them sees
 * the other.
 *
 * Invariant: threads awake >= sum over the lanes of min(running + queued, running_max), or there
 * was no memory for more threads and none is asleep: nothing that may run is without a thread.
 * Operations in a lane or in the done list are the lock's; `is_inflight` is the owner's and says
 * that the operation is somewhere in here.
 *
 * Rejected: RWF_NOWAIT on the spot (ext4 does not take it for the page cache, and where XFS does,
 * the plain write does not wait either); one thread for all (a sync of a second would hold up each
 * write and with it each reply); threads shared by the cores (a lock between them).
 */
#include "core/ring_files.h"

#include "core/clock.h"
#include "core/heap.h"
#include "core/ring_fault.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* Some 30 us of copying, and more than most turns append: above it another CPU should do that. */
#define FILES_SPOT_SIZE_MAX (128u << 10)

enum files_lane {
    FILES_LANE_WRITE,
    FILES_LANE_SYNC,
    FILES_LANE_WORK,
    FILES_LANE_COUNT,
};

/* Two writes: the journal's beside a snapshot's. Two syncs likewise. */
static const uint32_t lane_running_max[FILES_LANE_COUNT] = {
    [FILES_LANE_WRITE] = 2,
    [FILES_LANE_SYNC] = 2,
    [FILES_LANE_WORK] = 1,
};
#define FILES_THREADS_MAX 5

struct files_thread {
    struct ring_files *files;
    struct files_thread *next_idle;
    pthread_t thread;
    pthread_cond_t called;
    bool is_called;
};

struct ring_files {
    /* ---- owner ---- */
    struct ring *ring;
    uint32_t pending_count; /* handed over and not reaped */
    uint32_t syncing_count; /* syncs among them */
    struct ring_pace pace;
    /* ---- the lock's ---- */
    alignas(CACHE_LINE_SIZE) pthread_mutex_t lock;
    struct ring_list lanes[FILES_LANE_COUNT];
    uint32_t running_counts[FILES_LANE_COUNT];
    struct ring_list done;
    struct files_thread *idle; /* the last to fall asleep first */
    uint32_t thread_count;
    uint32_t awake_count;
    bool is_ending;
    struct files_thread threads[FILES_THREADS_MAX];
    /* ---- both ---- */
    alignas(CACHE_LINE_SIZE) _Atomic uint32_t done_count; /* in `done` */
    atomic_bool is_owner_asleep;
    _Atomic uint64_t slow_ns; /* when a thread's last slow write ended */
};

static enum files_lane
lane_of(const struct ring_op *op)
{
    ASSERT(ring_op_is_file(op));
    return op->kind == RING_OP_WRITE  ? FILES_LANE_WRITE
           : op->kind == RING_OP_SYNC ? FILES_LANE_SYNC
                                      : FILES_LANE_WORK;
}

/* ---- doing it ---- */

static int32_t
files_write(const struct ring_op *op)
{
    ssize_t size;
    do {
        size = pwritev(op->fd, op->address, (int)op->size, (off_t)op->offset);
    } while (size < 0 && errno == EINTR);
    return size < 0 ? -errno : (int32_t)size;
}

/** Voluntary context switches of the calling thread: it waited for something. */
static uint64_t
files_wait_count(void)
{
    struct rusage usage = {0};
    (void)getrusage(RUSAGE_THREAD, &usage);
    return (uint64_t)usage.ru_nvcsw;
}

/** Write; *slow_ns is when a slow write ended, else 0. `now_ns` is now. */
static int32_t
files_write_watched(const struct ring_op *op, uint64_t now_ns, uint64_t *slow_ns)
{
    uint64_t wait_count = files_wait_count();
    int32_t result = files_write(op);
    uint64_t end_ns = clock_monotonic_ns();
    bool is_slow = end_ns - now_ns > RING_PACE_SLOW_NS && files_wait_count() != wait_count;
    *slow_ns = is_slow ? end_ns : 0;
    return result;
}

static int32_t
files_sync(const struct ring_op *op)
{
    int rc;
    do {
        rc = fdatasync(op->fd);
    } while (rc < 0 && errno == EINTR);
    return rc < 0 ? -errno : 0;
}

/** On a thread of ours. */
static int32_t
files_run(struct ring_files *files, struct ring_op *op)
{
    static const enum ring_fault_kind fault_kinds[FILES_LANE_COUNT] = {
        [FILES_LANE_WRITE] = RING_FAULT_WRITE,
        [FILES_LANE_SYNC] = RING_FAULT_SYNC,
        [FILES_LANE_WORK] = RING_FAULT_WORK,
    };
    enum files_lane lane = lane_of(op);
    struct ring_fault fault;
    if (ring_fault_meet(files->ring->faults, fault_kinds[lane], &fault)) {
        ring_fault_delay(&fault);
        if (lane == FILES_LANE_WRITE && fault.size_max > 0) {
            return ring_fault_write(&fault, op->fd, op->address, (uint32_t)op->size, op->offset);
        }
        if (fault.error != 0) {
            return -fault.error;
        }
    }
    if (lane == FILES_LANE_WRITE) {
        uint64_t slow_ns = 0;
        int32_t result = files_write_watched(op, clock_monotonic_ns(), &slow_ns);
        if (slow_ns != 0) {
            atomic_store_explicit(&files->slow_ns, slow_ns, memory_order_relaxed);
        }
        return result;
    }
    return lane == FILES_LANE_SYNC ? files_sync(op) : op->work(op->address);
}

/* ---- the threads ---- */

/** The next operation that may run, out of its lane; NULL: none. Under the lock. */
static struct ring_op *
files_take(struct ring_files *files)
{
    for (uint32_t i = 0; i < FILES_LANE_COUNT; i++) {
        if (files->lanes[i].count > 0 && files->running_counts[i] < lane_running_max[i]) {
            files->running_counts[i]++;
            return ring_list_pop(&files->lanes[i]);
        }
    }
    return NULL;
}

/** Sleep until called. Under the lock. */
static void
files_thread_idle(struct files_thread *thread)
{
    struct ring_files *files = thread->files;
    thread->next_idle = files->idle;
    files->idle = thread;
    files->awake_count--;
    thread->is_called = false;
    while (!thread->is_called) {
        pthread_cond_wait(&thread->called, &files->lock);
    }
}

/** Take a thread from among the sleeping ones; whoever does so signals it. Under the lock. */
static struct files_thread *
files_thread_call(struct ring_files *files)
{
    struct files_thread *thread = files->idle;
    if (thread != NULL) {
        files->idle = thread->next_idle;
        files->awake_count++;
        thread->is_called = true;
    }
    return thread;
}

static void *
files_thread_run(void *argument)
{
    struct files_thread *thread = argument;
    struct ring_files *files = thread->files;
    pthread_mutex_lock(&files->lock);
    for (;;) {
        struct ring_op *op = files_take(files);
        if (op == NULL) {
            if (files->is_ending) {
                break;
            }
            files_thread_idle(thread);
            continue;
        }
        pthread_mutex_unlock(&files->lock);
        enum files_lane lane = lane_of(op);
        int32_t result = files_run(files, op);
        pthread_mutex_lock(&files->lock);
        files->running_counts[lane]--;
        op->result = result;
        ring_list_append(&files->done, op);
        /* Meets ring_files_park(): see the top. */
        atomic_store(&files->done_count, files->done.count);
        if (atomic_exchange(&files->is_owner_asleep, false)) {
            pthread_mutex_unlock(&files->lock);
            ring_wake(files->ring);
            pthread_mutex_lock(&files->lock);
        }
    }
    pthread_mutex_unlock(&files->lock);
    return NULL;
}

/** Start a thread with the CPUs of the process's first thread, and without signals: those are for
 * the core that reads them. 0 or -errno. */
MUST_CHECK static int
files_thread_spawn(struct files_thread *thread)
{
    sigset_t all;
    sigset_t before;
    cpu_set_t cpus;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&thread->thread, NULL, files_thread_run, thread);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc != 0) {
        return -rc;
    }
    (void)pthread_setname_np(thread->thread, "files");
    if (sched_getaffinity(getpid(), sizeof(cpus), &cpus) == 0) {
        (void)pthread_setaffinity_np(thread->thread, sizeof(cpus), &cpus);
    }
    return 0;
}

/** One more thread. False when there cannot be more. Under the lock, which the new one waits for.
 */
static bool
files_thread_add(struct ring_files *files)
{
    if (files->thread_count == FILES_THREADS_MAX) {
        return false;
    }
    struct files_thread *thread = &files->threads[files->thread_count];
    thread->files = files;
    pthread_cond_init(&thread->called, NULL);
    if (files_thread_spawn(thread) < 0) {
        pthread_cond_destroy(&thread->called);
        return false;
    }
    files->thread_count++;
    files->awake_count++;
    return true;
}

/* ---- making and ending ---- */

static struct ring_files *
files_new(struct ring *ring)
{
    struct ring_files *files = heap_alloc_lines(1, sizeof(*files));
    files->ring = ring;
    files->pace.calm_ns = RING_PACE_CALM_MIN_NS;
    pthread_mutex_init(&files->lock, NULL);
    for (uint32_t i = 0; i < FILES_LANE_COUNT; i++) {
        files->lanes[i].id = RING_LIST_FILES_QUEUED;
    }
    files->done.id = RING_LIST_FILES_DONE;
    atomic_init(&files->done_count, 0);
    atomic_init(&files->is_owner_asleep, false);
    atomic_init(&files->slow_ns, 0);
    return files;
}

void
ring_files_delete(struct ring_files *files)
{
    ASSERT(files->pending_count == 0);
    pthread_mutex_lock(&files->lock);
    files->is_ending = true;
    struct files_thread *thread;
    while ((thread = files_thread_call(files)) != NULL) {
        pthread_cond_signal(&thread->called);
    }
    pthread_mutex_unlock(&files->lock);
    for (uint32_t i = 0; i < files->thread_count; i++) {
        int rc = pthread_join(files->threads[i].thread, NULL);
        ASSERT(rc == 0);
        pthread_cond_destroy(&files->threads[i].called);
    }
    pthread_mutex_destroy(&files->lock);
    heap_free(files);
}

/* ---- the owner's side ---- */

void
ring_pace_slow(struct ring_pace *pace, uint64_t now_ns, bool is_on_the_spot)
{
    if (now_ns > pace->slow_ns + RING_PACE_CALM_MAX_NS) {
        pace->calm_ns = RING_PACE_CALM_MIN_NS;
    } else if (is_on_the_spot && pace->slow_ns != 0) {
        pace->calm_ns = MIN(pace->calm_ns * 2, RING_PACE_CALM_MAX_NS);
    }
    pace->slow_ns = MAX(pace->slow_ns, now_ns);
}

/** How many operations could run now if there were threads for all. Under the lock. */
static uint32_t
files_runnable_count(const struct ring_files *files)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < FILES_LANE_COUNT; i++) {
        count += MIN(files->running_counts[i] + files->lanes[i].count, lane_running_max[i]);
    }
    return count;
}

static void
files_hand_over(struct ring_files *files, struct ring_op *op)
{
    struct files_thread *called = NULL;
    op->is_inflight = true;
    files->pending_count++;
    files->syncing_count += op->kind == RING_OP_SYNC;
    files->ring->counters.file_thread_count++;
    pthread_mutex_lock(&files->lock);
    struct ring_list *lane = &files->lanes[lane_of(op)];
    ring_list_append(lane, op);
    if (files->awake_count < files_runnable_count(files)) {
        called = files_thread_call(files);
        if (called == NULL && !files_thread_add(files) && files->thread_count == 0) {
            ring_list_remove(lane, op);
            op->result = -EAGAIN;
            ring_list_append(&files->done, op);
            atomic_store(&files->done_count, files->done.count);
        }
    }
    pthread_mutex_unlock(&files->lock);
    if (called != NULL) {
        pthread_cond_signal(&called->called);
    }
}

static bool
files_is_small(const struct ring_op *op)
{
    const struct iovec *vector = op->address;
    size_t size = 0;
    for (uint64_t i = 0; i < op->size; i++) {
        size += vector[i].iov_len;
        if (size > FILES_SPOT_SIZE_MAX) {
            return false;
        }
    }
    return true;
}

/** Write on the spot if that seems wise. */
static bool
files_try_write(struct ring_files *files, struct ring_op *op)
{
    struct ring *ring = files->ring;
    if (op->kind != RING_OP_WRITE || files->syncing_count > 0 || !files_is_small(op) ||
        ring_fault_is_set(ring->faults, RING_FAULT_WRITE)) {
        return false;
    }
    uint64_t slow_ns = atomic_load_explicit(&files->slow_ns, memory_order_relaxed);
    if (slow_ns > files->pace.slow_ns) {
        ring_pace_slow(&files->pace, slow_ns, false);
    }
    uint64_t now_ns = clock_monotonic_ns();
    if (!ring_pace_is_calm(&files->pace, now_ns)) {
        return false;
    }
    int32_t result = files_write_watched(op, now_ns, &slow_ns);
    if (slow_ns != 0) {
        ring_pace_slow(&files->pace, slow_ns, true);
    }
    ring->counters.file_spot_count++;
    ring_op_ready(ring, op, result);
    return true;
}

void
ring_files_start(struct ring *ring, struct ring_op *op)
{
    if (UNLIKELY(ring->files == NULL)) {
        ring->files = files_new(ring);
    }
    if (!files_try_write(ring->files, op)) {
        files_hand_over(ring->files, op);
    }
}

void
ring_files_cancel(struct ring *ring, struct ring_op *op)
{
    struct ring_files *files = ring->files;
    ASSERT(op->is_inflight);
    pthread_mutex_lock(&files->lock);
    if (op->list == RING_LIST_FILES_QUEUED) {
        ring_list_remove(&files->lanes[lane_of(op)], op);
        op->result = -ECANCELED;
        ring_list_append(&files->done, op);
        atomic_store(&files->done_count, files->done.count);
    }
    pthread_mutex_unlock(&files->lock);
}

bool
ring_files_park(struct ring_files *files)
{
    if (files->pending_count == 0) {
        return true;
    }
    atomic_store(&files->is_owner_asleep, true);
    return atomic_load(&files->done_count) == 0;
}

void
ring_files_unpark(struct ring_files *files)
{
    if (files->pending_count > 0) {
        atomic_store_explicit(&files->is_owner_asleep, false, memory_order_relaxed);
    }
}

uint32_t
ring_files_reap(struct ring *ring)
{
    struct ring_files *files = ring->files;
    if (atomic_load_explicit(&files->done_count, memory_order_relaxed) == 0) {
        return 0;
    }
    pthread_mutex_lock(&files->lock);
    struct ring_list done = files->done;
    files->done = (struct ring_list){.id = RING_LIST_FILES_DONE};
    atomic_store_explicit(&files->done_count, 0, memory_order_relaxed);
    pthread_mutex_unlock(&files->lock);
    uint32_t count = done.count;
    struct ring_op *op;
    while ((op = ring_list_pop(&done)) != NULL) {
        op->is_inflight = false;
        files->pending_count--;
        files->syncing_count -= op->kind == RING_OP_SYNC;
        ring_op_finish(op, op->result);
    }
    return count;
}

uint32_t
ring_files_pending_count(const struct ring_files *files)
{
    return files->pending_count;
}

struct ring_faults *
ring_faults_of(const struct ring *ring)
{
    return ring->faults;
}
