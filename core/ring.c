/*
 * ring.c: the front of the ring: chooses a back end by trying it, and holds what both share.
 *
 *     ring.h --> ring.c --> ring_calls --> ring_uring.c   io_uring_enter once a turn
 *                           \         \--> ring_epoll.c   epoll_wait, then read and send
 *                            `-> ring_files.c   files, with either of them
 *
 * Which one runs is found out by doing: the io_uring back end sets up a ring, registers buffers and
 * receives a byte through them before it says yes. Kernel versions are never asked, because
 * distributions patch and containers forbid: the version says nothing about a seccomp filter or a
 * limit on locked memory.
 *
 * An operation is a structure of its owner and in one of four states: idle, held by the kernel,
 * held back in a list of the ring (no buffer, no room to submit), or ready, which means that its
 * result is known and done() is due. Invariant: between start and the final callback `is_active` is
 * set, exactly one final callback follows, it is made from ring_wait() and nothing touches the
 * operation behind it, so that the owner may free it there.
 *
 * The wake-up is an eventfd in front of which stands a flag: of many ring_wake() between two
 * ring_wait() only the first costs a system call. The owner clears the flag before it looks for
 * what it was woken for, hence no wake-up is lost. The eventfd is never read: both back ends watch
 * it edge-triggered, and each write is an edge.
 *
 * Rejected: a virtual call for each kind of operation (they differ in a switch at the back end
 * only), and freeing grown buffers again (their pages are few and the next burst wants them).
 */
#include "core/ring.h"

#include "core/heap.h"
#include "core/ring_files.h"
#include "core/ring_internal.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

/* io_uring's buffer numbers have 16 bits and its buffer rings at most 2^15 entries. */
#define RING_BUFFER_COUNT_MAX 32768u
#define RING_BUFFER_HEADER_SIZE 64

static_assert(sizeof(struct ring_buffer) <= RING_BUFFER_HEADER_SIZE, "the header has one line");

/* ---- making one ---- */

MUST_CHECK static int
ring_pool_create(struct ring_pool *pool, const struct ring_options *options)
{
    ASSERT(options->buffer_size > 0);
    ASSERT(options->buffer_size % CACHE_LINE_SIZE == 0);
    pool->buffer_size = options->buffer_size;
    pool->stride = (size_t)options->buffer_size + RING_BUFFER_HEADER_SIZE;
    pool->count_max = MAX(options->buffer_count_max, options->buffer_count);
    ASSERT(pool->count_max > 0);
    ASSERT(pool->count_max <= RING_BUFFER_COUNT_MAX);
    void *memory = mmap(NULL, pool->stride * pool->count_max, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        return -errno;
    }
    /* A huge page would make the first buffer cost 2 MiB. */
    (void)madvise(memory, pool->stride * pool->count_max, MADV_NOHUGEPAGE);
    pool->memory = memory;
    return 0;
}

int
ring_create(struct ring *ring, const struct ring_calls *calls, const struct ring_options *options)
{
    ring->calls = calls;
    ring->ready.id = RING_LIST_READY;
    ring->starved.id = RING_LIST_STARVED;
    ring->faults = options->faults;
    atomic_init(&ring->is_wake_pending, false);
    int rc = ring_pool_create(&ring->pool, options);
    if (rc < 0) {
        return rc;
    }
    ring->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (ring->wake_fd < 0) {
        rc = -errno;
        goto undo_pool;
    }
    return 0;
undo_pool:
    munmap(ring->pool.memory, ring->pool.stride * ring->pool.count_max);
    return rc;
}

void
ring_destroy(struct ring *ring)
{
    close(ring->wake_fd);
    munmap(ring->pool.memory, ring->pool.stride * ring->pool.count_max);
}

static struct ring *
ring_auto_new(const struct ring_options *options, int *error, const char **step)
{
    static const struct ring_uring_tuning tuning = {0};
    struct ring *ring = ring_uring_new(options, &tuning, error, step);
    if (ring != NULL) {
        return ring;
    }
    int uring_error = *error;
    const char *uring_step = *step;
    ring = ring_epoll_new(options, error, step);
    if (ring != NULL) {
        snprintf(ring->reason, sizeof(ring->reason), "epoll: %s: %s", uring_step,
                 strerror(-uring_error));
    }
    return ring;
}

struct ring *
ring_new(const struct ring_options *options, int *error)
{
    static const struct ring_uring_tuning tuning = {0};
    const char *step = NULL;
    ASSERT(options->entry_count > 0);
    ASSERT((options->entry_count & (options->entry_count - 1)) == 0);
    switch (options->backend) {
    case RING_AUTO:
        return ring_auto_new(options, error, &step);
    case RING_IO_URING:
        return ring_uring_new(options, &tuning, error, &step);
    case RING_EPOLL:
        return ring_epoll_new(options, error, &step);
    }
    ASSERT(!"a back end");
    return NULL;
}

void
ring_delete(struct ring *ring)
{
    ASSERT(!ring->is_waiting);
    ASSERT(ring->ready.count == 0);
    ASSERT(ring->starved.count == 0);
    if (ring->files != NULL) {
        ring_files_delete(ring->files);
        ring->files = NULL;
    }
    ring->calls->delete (ring);
}

enum ring_backend
ring_backend(const struct ring *ring)
{
    return ring->calls->backend;
}

const char *
ring_backend_name(const struct ring *ring)
{
    return ring->calls->name;
}

const char *
ring_reason(const struct ring *ring)
{
    return ring->reason;
}

const struct ring_counters *
ring_counters(const struct ring *ring)
{
    return &ring->counters;
}

/* ---- buffers ---- */

struct ring_buffer *
ring_pool_grow(struct ring *ring)
{
    struct ring_pool *pool = &ring->pool;
    if (pool->count == pool->count_max) {
        return NULL;
    }
    uint32_t id = pool->count++;
    struct ring_buffer *buffer = ring_pool_buffer(pool, id);
    *buffer = (struct ring_buffer){
        .data = (char *)buffer + RING_BUFFER_HEADER_SIZE,
        .capacity = pool->buffer_size,
        .id = id,
        .ring = ring,
    };
    return buffer;
}

void
ring_buffer_release(struct ring_buffer *buffer)
{
    ASSERT(buffer->ref_count == 0);
    if (buffer->ring == NULL) {
        heap_free(buffer);
        return;
    }
    buffer->ring->calls->release(buffer->ring, buffer);
}

/* ---- running ---- */

uint32_t
ring_ready_run(struct ring *ring)
{
    uint32_t count = ring->ready.count;
    for (uint32_t i = 0; i < count; i++) {
        struct ring_op *op = ring_list_pop(&ring->ready);
        ring_op_finish(op, op->result);
    }
    return count;
}

/** A wait of a ring whose files have threads. */
static uint32_t
ring_wait_files(struct ring *ring, uint64_t timeout_ns)
{
    struct ring_files *files = ring->files;
    bool is_sleeping = timeout_ns > 0 && ring_files_park(files);
    uint32_t count = ring->calls->wait(ring, is_sleeping ? timeout_ns : 0);
    ring_files_unpark(files);
    return count + ring_files_reap(ring);
}

uint32_t
ring_wait(struct ring *ring, uint64_t timeout_ns)
{
    ASSERT(!ring->is_waiting);
    ring->is_waiting = true;
    uint32_t count = ring->files == NULL ? ring->calls->wait(ring, timeout_ns)
                                         : ring_wait_files(ring, timeout_ns);
    ring->is_waiting = false;
    ring->counters.completion_count += count;
    return count;
}

void
ring_submit(struct ring *ring)
{
    ring->calls->submit(ring);
}

void
ring_gather(struct ring *ring, uint64_t gather_ns)
{
    if (ring->ready.count == 0) {
        ring->calls->gather(ring, gather_ns);
    }
}

void
ring_wake(struct ring *ring)
{
    /* Pairs with the exchange where the back end sees the wake-up: what was published before this
     * call is visible to the owner behind its ring_wait(). */
    if (atomic_exchange_explicit(&ring->is_wake_pending, true, memory_order_acq_rel)) {
        return;
    }
    uint64_t one = 1;
    ssize_t rc = write(ring->wake_fd, &one, sizeof(one));
    ASSERT(rc == (ssize_t)sizeof(one));
}

/* ---- operations ---- */

static void
ring_op_begin(struct ring_op *op, enum ring_op_kind kind, int fd, void *address, size_t size)
{
    ASSERT(!op->is_active);
    ASSERT(fd >= 0);
    op->kind = (uint8_t)kind;
    op->list = RING_LIST_NONE;
    op->is_active = true;
    op->is_multishot = false;
    op->is_inflight = false;
    op->is_cancelling = false;
    op->fd = fd;
    op->address = address;
    op->size = size;
}

void
ring_accept(struct ring *ring, struct ring_op *op, int fd)
{
    ring_op_begin(op, RING_OP_ACCEPT, fd, NULL, 0);
    ring->calls->start(ring, op);
}

void
ring_receive_start(struct ring *ring, struct ring_receiver *receiver, int fd)
{
    int domain = AF_UNSPEC;
    socklen_t size = sizeof(domain);
    (void)getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size);
    ring_op_begin(&receiver->op, RING_OP_RECEIVE, fd, NULL, 0);
    /* A Unix socket's end that comes together with its last bytes is not told to a multishot
     * receive (seen on 6.18), which then waits for ever. */
    receiver->op.is_multishot = domain != AF_UNIX;
    receiver->is_stopping = false;
    receiver->is_starved = false;
    ring->calls->start(ring, &receiver->op);
}

void
ring_receive_stop(struct ring *ring, struct ring_receiver *receiver)
{
    receiver->is_stopping = true;
    ring_cancel(ring, &receiver->op);
}

void
ring_receive_into(struct ring *ring, struct ring_op *op, int fd, void *data, size_t size)
{
    ASSERT(size > 0);
    ring_op_begin(op, RING_OP_RECEIVE_INTO, fd, data, size);
    ring->calls->start(ring, op);
}

void
ring_send(struct ring *ring, struct ring_op *op, int fd, const struct iovec *vector,
          uint32_t vector_count)
{
    ASSERT(vector_count > 0);
    ring_op_begin(op, RING_OP_SEND, fd, (void *)(uintptr_t)vector, vector_count);
    ring->calls->send(ring, op);
}

void
ring_read(struct ring *ring, struct ring_op *op, int fd, void *data, size_t size)
{
    ring_op_begin(op, RING_OP_READ, fd, data, size);
    ring->calls->start(ring, op);
}

void
ring_write(struct ring *ring, struct ring_op *op, int fd, const struct iovec *vector,
           uint32_t vector_count, uint64_t offset)
{
    ASSERT(vector_count > 0);
    ASSERT(vector_count <= IOV_MAX);
    ASSERT(offset <= INT64_MAX);
    ring_op_begin(op, RING_OP_WRITE, fd, (void *)(uintptr_t)vector, vector_count);
    op->offset = offset;
    ring_files_start(ring, op);
}

void
ring_sync(struct ring *ring, struct ring_op *op, int fd)
{
    ring_op_begin(op, RING_OP_SYNC, fd, NULL, 0);
    ring_files_start(ring, op);
}

void
ring_work(struct ring *ring, struct ring_op *op, ring_work_fn *work, void *context)
{
    ring_op_begin(op, RING_OP_WORK, ring->wake_fd, context, 0);
    op->work = work;
    ring_files_start(ring, op);
}

void
ring_cancel(struct ring *ring, struct ring_op *op)
{
    ASSERT(op->is_active);
    if (op->is_cancelling) {
        return;
    }
    op->is_cancelling = true;
    if (ring_op_is_file(op)) {
        /* Not in flight: it is ready. */
        if (op->is_inflight) {
            ring_files_cancel(ring, op);
        }
    } else if (op->list != RING_LIST_READY) {
        ring->calls->cancel(ring, op);
    }
}

void
ring_cancel_held_back(struct ring *ring, struct ring_list *list, struct ring_op *op)
{
    ASSERT(!op->is_inflight);
    if (list != NULL) {
        ring_list_remove(list, op);
    }
    if (op->kind == RING_OP_RECEIVE) {
        ring_op_receiver(op)->is_starved = false;
    }
    ring_op_ready(ring, op, -ECANCELED);
}

void
ring_close(struct ring *ring, int fd)
{
    ring->calls->close(ring, fd);
}
