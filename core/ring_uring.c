/*
 * ring_uring.c: the ring on io_uring: one io_uring_enter() for each turn of the reactor submits all
 * sends, waits, and brings all that arrived.
 *
 *      ring_send() ...              received(), done() ...
 *           |                             ^
 *     submission queue --enter()--> completion queue
 *                          ^
 *                     free buffers <-- ring_buffer_release()
 *
 * A receiver is one multishot receive: it is submitted once and completes for each arrival, with a
 * buffer that the kernel picked at that moment, so that an idle connection holds none. The kernel
 * ends it when the buffers are used up (ENOBUFS); the receiver is then `starved`, the pool grows if
 * it may, and ring_wait() submits it again as soon as there is a buffer. A multishot operation that
 * ends for reasons of the kernel's own is submitted again at once. Where the trial at the start
 * finds no multishot receive, each receive is submitted by itself, with the hint to poll first when
 * the socket was left empty.
 *
 * Completions are made only inside io_uring_enter() where the kernel can defer them; a flag in
 * shared memory tells when there are some, so that ring_wait(0) mostly costs no system call.
 *
 * Invariant: an operation with `is_inflight` has one entry in the kernel and exactly one completion
 * without IORING_CQE_F_MORE to come, and nothing but that completion clears the flag. Cancelling
 * only asks; the end is always the operation's own completion. A cancel that is still queued when
 * the operation ends stands in front of whatever is submitted later, so it can never hit a new
 * operation at the same address.
 *
 * When a queue is full: an operation that finds no submission entry even after a submit waits in
 * `unsubmitted`; completions that do not fit are kept by the kernel (NODROP is required).
 *
 * Measured against redis-server's PING (CPU time for each request, 50 connections, loopback, one
 * CPU for the server). Medians of four runs on a machine that had other work: without pipelining
 * multishot receive with queued sends took 0.83 to 0.91 of it, sendmsg() tried first 0.86 to 0.94,
 * single-shot receive 0.88 to 0.91, epoll 0.86 to 0.93; with a pipeline of 30 all took 0.44 to
 * 0.52. Most of that is TCP, and the order between them is within the noise: the choice fell on
 * what makes the fewest system calls. Nor could 16 to 1,024 buffers of 16 KiB be told apart.
 *
 * Rejected: kernels without buffer rings (a provide-buffers entry for each release, or a poll and a
 * read for each arrival, is what epoll does with less machinery; they get epoll); waiting for more
 * than one completion (a blocked send could then hold back a request that has arrived); an
 * io_uring close, which saves nothing at the rate that connections come and go; files (ring_files.c
 * says what they cost here).
 */
#include "core/ring_uring.h"

#include "core/heap.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static struct ring_uring *
ring_uring_of(struct ring *ring)
{
    return container_of(ring, struct ring_uring, base);
}

/* ---- submitting ---- */

static void
uring_flush(struct ring_uring *uring)
{
    uring->base.counters.wait_count++;
    /* Fails when completions must be reaped first (-EBUSY) or memory is short (-EAGAIN): the
     * entries stay in the queue for the next call. */
    (void)io_uring_submit(&uring->io);
}

static struct io_uring_sqe *
uring_sqe(struct ring_uring *uring)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&uring->io);
    if (UNLIKELY(sqe == NULL)) {
        uring_flush(uring);
        sqe = io_uring_get_sqe(&uring->io);
    }
    return sqe;
}

static void
uring_prepare_receive(struct ring_uring *uring, struct io_uring_sqe *sqe, struct ring_op *op)
{
    if (uring->is_multishot_receive && op->is_multishot) {
        io_uring_prep_recv_multishot(sqe, op->fd, NULL, 0, 0);
    } else {
        io_uring_prep_recv(sqe, op->fd, NULL, uring->base.pool.buffer_size, 0);
        /* The socket was seen empty: spare the attempt to read it. */
        sqe->ioprio |= op->result != 0 ? IORING_RECVSEND_POLL_FIRST : 0;
    }
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = URING_BUFFER_GROUP;
}

static void
uring_prepare(struct ring_uring *uring, struct io_uring_sqe *sqe, struct ring_op *op)
{
    switch ((enum ring_op_kind)op->kind) {
    case RING_OP_ACCEPT:
        if (uring->is_multishot_accept) {
            io_uring_prep_multishot_accept(sqe, op->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        } else {
            io_uring_prep_accept(sqe, op->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        }
        break;
    case RING_OP_RECEIVE:
        uring_prepare_receive(uring, sqe, op);
        break;
    case RING_OP_RECEIVE_INTO:
        io_uring_prep_recv(sqe, op->fd, op->address, MIN(op->size, (size_t)INT_MAX), 0);
        sqe->ioprio |= op->result != 0 ? IORING_RECVSEND_POLL_FIRST : 0;
        break;
    case RING_OP_SEND:
        if (op->size == 1) {
            const struct iovec *vector = op->address;
            io_uring_prep_send(sqe, op->fd, vector->iov_base, MIN(vector->iov_len, (size_t)INT_MAX),
                               MSG_NOSIGNAL);
        } else {
            struct msghdr *message = &uring->messages[sqe - uring->io.sq.sqes];
            *message = (struct msghdr){.msg_iov = op->address, .msg_iovlen = op->size};
            io_uring_prep_sendmsg(sqe, op->fd, message, MSG_NOSIGNAL);
        }
        sqe->ioprio |= op->result != 0 ? IORING_RECVSEND_POLL_FIRST : 0;
        break;
    case RING_OP_READ:
        io_uring_prep_poll_add(sqe, op->fd, POLLIN);
        break;
    case RING_OP_WAKE:
        io_uring_prep_poll_multishot(sqe, op->fd, POLLIN);
        break;
    case RING_OP_WRITE:
    case RING_OP_SYNC:
    case RING_OP_WORK:
        ASSERT(!"an operation of the back end");
    }
    io_uring_sqe_set_data(sqe, op);
}

void
uring_arm(struct ring_uring *uring, struct ring_op *op)
{
    ASSERT(!op->is_inflight);
    struct io_uring_sqe *sqe = uring_sqe(uring);
    if (UNLIKELY(sqe == NULL)) {
        ring_list_append(&uring->unsubmitted, op);
        return;
    }
    op->is_inflight = true;
    uring_prepare(uring, sqe, op);
}

/** Ask the kernel to end an operation that it holds. */
static void
uring_disarm(struct ring_uring *uring, struct ring_op *op)
{
    ASSERT(op->is_inflight);
    struct io_uring_sqe *sqe = uring_sqe(uring);
    if (UNLIKELY(sqe == NULL)) {
        ring_list_append(&uring->unsubmitted, op);
        return;
    }
    io_uring_prep_cancel(sqe, op, 0);
    io_uring_sqe_set_data(sqe, NULL);
    if ((uring->io.features & IORING_FEAT_CQE_SKIP) != 0) {
        sqe->flags |= IOSQE_CQE_SKIP_SUCCESS; /* nobody is to be woken by it */
    }
}

/** Second chance for what found the submission queue full. */
static void
uring_unsubmitted_retry(struct ring_uring *uring)
{
    uint32_t count = uring->unsubmitted.count;
    for (uint32_t i = 0; i < count; i++) {
        struct ring_op *op = ring_list_pop(&uring->unsubmitted);
        if (op->is_inflight) {
            uring_disarm(uring, op);
        } else {
            uring_arm(uring, op);
        }
    }
}

/** Receivers that found no buffer try again when there is one. */
static void
uring_starved_retry(struct ring_uring *uring)
{
    uint32_t count = uring->base.starved.count;
    for (uint32_t i = 0; i < count && uring->lent_count > 0; i++) {
        uring_arm(uring, ring_starved_pop(&uring->base));
    }
}

/* ---- buffers ---- */

static void
uring_release(struct ring *ring, struct ring_buffer *buffer)
{
    struct ring_uring *uring = ring_uring_of(ring);
    io_uring_buf_ring_add(uring->buffers, buffer->data, buffer->capacity,
                          (unsigned short)buffer->id, uring->buffers_mask, 0);
    io_uring_buf_ring_advance(uring->buffers, 1);
    uring->lent_count++;
}

void
uring_buffers_grow(struct ring_uring *uring, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct ring_buffer *buffer = ring_pool_grow(&uring->base);
        if (buffer == NULL) {
            return;
        }
        uring_release(&uring->base, buffer);
    }
}

/* ---- completing ---- */

static void
uring_starve(struct ring_uring *uring, struct ring_receiver *receiver)
{
    ring_receiver_starve(&uring->base, receiver);
    if (uring->lent_count == 0) {
        uring_buffers_grow(uring, uring->base.pool.count);
    }
}

/** What a receiver's completion without bytes means. */
static void
uring_receive_ended(struct ring_uring *uring, struct ring_op *op, int32_t result)
{
    bool is_retry = result == -ENOBUFS || result == -EAGAIN || result == -EINTR;
    if (is_retry && op->is_cancelling) {
        result = -ECANCELED;
        is_retry = false;
    }
    if (!is_retry) {
        ring_op_finish(op, result);
    } else if (result == -ENOBUFS) {
        uring_starve(uring, ring_op_receiver(op));
    } else {
        uring_arm(uring, op);
    }
}

static void
uring_received(struct ring_uring *uring, struct ring_op *op, int32_t result, uint32_t flags)
{
    struct ring_buffer *buffer = NULL;
    if ((flags & IORING_CQE_F_BUFFER) != 0) {
        buffer = ring_pool_buffer(&uring->base.pool, flags >> IORING_CQE_BUFFER_SHIFT);
        ASSERT(uring->lent_count > 0);
        uring->lent_count--;
    }
    if (result <= 0) {
        if (buffer != NULL) {
            uring_release(&uring->base, buffer);
        }
        if (!op->is_inflight) {
            uring_receive_ended(uring, op, result);
        }
        return;
    }
    ASSERT(buffer != NULL);
    op->result = (flags & IORING_CQE_F_SOCK_NONEMPTY) == 0;
    ring_receiver_deliver(ring_op_receiver(op), buffer, result);
    if (op->is_inflight || op->list == RING_LIST_READY) {
        return;
    }
    if (op->is_cancelling) {
        ring_op_finish(op, -ECANCELED);
    } else {
        uring_arm(uring, op);
    }
}

static bool
uring_accept_is_transient(int32_t result)
{
    return result == -ECONNABORTED || result == -EPROTO || result == -EINTR || result == -EAGAIN;
}

static void
uring_accepted(struct ring_uring *uring, struct ring_op *op, int32_t result)
{
    if (result >= 0) {
        op->done(op, result);
    } else if (!op->is_inflight && (op->is_cancelling || !uring_accept_is_transient(result))) {
        ring_op_finish(op, op->is_cancelling ? -ECANCELED : result);
        return;
    }
    if (op->is_inflight || op->list == RING_LIST_READY) {
        return;
    }
    if (op->is_cancelling) {
        ring_op_finish(op, -ECANCELED);
    } else {
        uring_arm(uring, op);
    }
}

/** The descriptor of a ring_read() is ready, or the poll failed. */
static void
uring_readable(struct ring_uring *uring, struct ring_op *op, int32_t result)
{
    if (result >= 0) {
        ssize_t size = read(op->fd, op->address, MIN(op->size, (size_t)INT_MAX));
        result = size < 0 ? -errno : (int32_t)size;
        if ((result == -EAGAIN || result == -EINTR) && !op->is_cancelling) {
            uring_arm(uring, op);
            return;
        }
        result = result == -EAGAIN || result == -EINTR ? -ECANCELED : result;
    }
    ring_op_finish(op, result);
}

/** A send or a receive into the owner's memory has come back. */
static void
uring_moved(struct ring_uring *uring, struct ring_op *op, int32_t result)
{
    if (LIKELY(result != -EAGAIN && result != -EINTR)) {
        ring_op_finish(op, result);
    } else if (op->is_cancelling) {
        ring_op_finish(op, -ECANCELED);
    } else {
        op->result = 1; /* wait for the socket first */
        uring_arm(uring, op);
    }
}

static void
uring_woken(struct ring_uring *uring, struct ring_op *op)
{
    struct ring *ring = &uring->base;
    ring->counters.wake_count++;
    /* Pairs with the exchange in ring_wake(). */
    (void)atomic_exchange_explicit(&ring->is_wake_pending, false, memory_order_acq_rel);
    if (!op->is_inflight) {
        uring_arm(uring, op);
    }
}

static uint32_t
uring_complete(struct ring_uring *uring, struct ring_op *op, int32_t result, uint32_t flags)
{
    op->is_inflight = (flags & IORING_CQE_F_MORE) != 0;
    if (UNLIKELY(op->list == RING_LIST_UNSUBMITTED) && !op->is_inflight) {
        ring_list_remove(&uring->unsubmitted, op); /* its cancellation, no longer needed */
    }
    switch ((enum ring_op_kind)op->kind) {
    case RING_OP_ACCEPT:
        uring_accepted(uring, op, result);
        return 1;
    case RING_OP_RECEIVE:
        uring_received(uring, op, result, flags);
        return 1;
    case RING_OP_READ:
        uring_readable(uring, op, result);
        return 1;
    case RING_OP_WAKE:
        uring_woken(uring, op);
        return 0;
    case RING_OP_RECEIVE_INTO:
    case RING_OP_SEND:
        uring_moved(uring, op, result);
        return 1;
    case RING_OP_WRITE:
    case RING_OP_SYNC:
    case RING_OP_WORK:
        ASSERT(!"an operation of the back end");
    }
    return 0;
}

/** Call the owners of all that was completed when we began. */
static uint32_t
uring_reap(struct ring_uring *uring)
{
    struct io_uring_cq *queue = &uring->io.cq;
    uint32_t count = io_uring_cq_ready(&uring->io);
    uint32_t call_count = 0;
    uint32_t head = *queue->khead;
    for (uint32_t i = 0; i < count; i++, head++) {
        const struct io_uring_cqe *cqe = &queue->cqes[head & queue->ring_mask];
        struct ring_op *op = io_uring_cqe_get_data(cqe);
        if (op != NULL) {
            call_count += uring_complete(uring, op, cqe->res, cqe->flags);
        }
    }
    io_uring_cq_advance(&uring->io, count);
    return call_count;
}

/* ---- the calls ---- */

static void
uring_start(struct ring *ring, struct ring_op *op)
{
    op->result = 0;
    uring_arm(ring_uring_of(ring), op);
}

static void
uring_send(struct ring *ring, struct ring_op *op)
{
    struct ring_uring *uring = ring_uring_of(ring);
    if (uring->is_send_direct) {
        ssize_t size = ring_op_send_now(op);
        if (size >= 0 || (errno != EAGAIN && errno != EINTR)) {
            ring_op_ready(ring, op, size < 0 ? -errno : (int32_t)size);
            return;
        }
    }
    op->result = 0;
    uring_arm(uring, op);
}

static void
uring_cancel(struct ring *ring, struct ring_op *op)
{
    struct ring_uring *uring = ring_uring_of(ring);
    if (op->is_inflight) {
        uring_disarm(uring, op);
        return;
    }
    struct ring_list *list = op->list == RING_LIST_STARVED       ? &ring->starved
                             : op->list == RING_LIST_UNSUBMITTED ? &uring->unsubmitted
                                                                 : NULL;
    ring_cancel_held_back(ring, list, op);
}

static void
uring_close(struct ring *ring, int fd)
{
    (void)ring;
    close(fd);
}

/** Enter the kernel if there is a reason to: something to submit, to wait for, or deferred work. */
static void
uring_enter(struct ring_uring *uring, uint64_t timeout_ns)
{
    struct io_uring *io = &uring->io;
    if (timeout_ns > 0) {
        struct __kernel_timespec timeout = {
            .tv_sec = (int64_t)(timeout_ns / 1000000000u),
            .tv_nsec = (long long)(timeout_ns % 1000000000u),
        };
        struct io_uring_cqe *cqe = NULL;
        uring->base.counters.wait_count++;
        (void)io_uring_submit_and_wait_timeout(io, &cqe, 1,
                                               timeout_ns < INT64_MAX ? &timeout : NULL, NULL);
        return;
    }
    uint32_t flags = __atomic_load_n(io->sq.kflags, __ATOMIC_RELAXED);
    if (io_uring_sq_ready(io) > 0) {
        uring->base.counters.wait_count++;
        (void)io_uring_submit_and_get_events(io);
    } else if ((flags & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0) {
        uring->base.counters.wait_count++;
        (void)io_uring_get_events(io);
    }
}

static uint32_t
uring_wait(struct ring *ring, uint64_t timeout_ns)
{
    struct ring_uring *uring = ring_uring_of(ring);
    uint32_t call_count = ring_ready_run(ring);
    if (UNLIKELY(uring->unsubmitted.count > 0)) {
        uring_unsubmitted_retry(uring);
    }
    if (UNLIKELY(ring->starved.count > 0)) {
        uring_starved_retry(uring);
    }
    if (call_count > 0 || ring->ready.count > 0 || uring->unsubmitted.count > 0 ||
        io_uring_cq_ready(&uring->io) > 0) {
        timeout_ns = 0;
    }
    uring_enter(uring, timeout_ns);
    return call_count + uring_reap(uring);
}

static void
uring_submit(struct ring *ring)
{
    struct ring_uring *uring = ring_uring_of(ring);
    if (io_uring_sq_ready(&uring->io) > 0) {
        uring_flush(uring);
    }
}

/** Completions that are enough for a turn: waking up for more saves little. */
#define GATHER_COUNT 64

static void
uring_gather(struct ring *ring, uint64_t gather_ns)
{
    struct ring_uring *uring = ring_uring_of(ring);
    struct __kernel_timespec timeout = {.tv_nsec = (long long)gather_ns};
    struct io_uring_cqe *cqe = NULL;
    if (uring->unsubmitted.count == 0 && io_uring_cq_ready(&uring->io) == 0) {
        uring->base.counters.wait_count++;
        (void)io_uring_submit_and_wait_timeout(&uring->io, &cqe, GATHER_COUNT, &timeout, NULL);
    }
}

static void
uring_delete(struct ring *ring)
{
    struct ring_uring *uring = ring_uring_of(ring);
    ASSERT(uring->unsubmitted.count == 0);
    io_uring_queue_exit(&uring->io);
    heap_free(uring->messages);
    munmap(uring->buffers, uring->buffers_size);
    ring_destroy(ring);
    free(uring);
}

const struct ring_calls uring_calls = {
    .backend = RING_IO_URING,
    .name = "io_uring",
    .delete = uring_delete,
    .wait = uring_wait,
    .submit = uring_submit,
    .gather = uring_gather,
    .start = uring_start,
    .send = uring_send,
    .cancel = uring_cancel,
    .close = uring_close,
    .release = uring_release,
};
