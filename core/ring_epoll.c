/*
 * ring_epoll.c: the ring on epoll, for kernels and containers without a usable io_uring.
 *
 * Each descriptor is added once, edge-triggered for both directions, and never modified: an edge
 * costs no second look by the kernel, where a level-triggered descriptor is polled again in the
 * next epoll_wait() only to find it empty. What follows from that:
 *   - an edge without a reader is lost, therefore a reader that starts on a descriptor which had
 *     been added before (EEXIST) tries at once;
 *   - a read that fills its buffer leaves bytes behind without another edge, therefore the reader
 *     stays in the `readable` list; a shorter one has drained the socket, and what comes afterwards
 *     is a new edge. Only the end of the stream may have been announced already, which is kept in
 *     the watch and makes the reader go on until it sees that end.
 *
 *     edge --> readable --> recv() --> received()           drained: wait for an edge
 *                 ^   no buffer: starved --> buffer back --.
 *                 '----------------------------------------'
 *
 * Sends are tried when they are asked for and their result waits in the ready list, because done()
 * belongs to ring_wait(); only EAGAIN makes a send wait for an edge.
 * Buffers are lent last in, first out: at most as many are warm as are held at once.
 *
 * Invariant: `watches[fd]` names the active operations of fd that this ring has not finished, at
 * most one for each direction; an operation that is over is in no watch.
 *
 * Rejected: remembering which descriptors are in the epoll set, to save the call that says EEXIST.
 * A descriptor may be closed by another core which it was handed to, and a stale mark would leave a
 * new connection of the same number unwatched.
 */
#include "core/ring_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

/* As many as a turn can use without growing its latency; what is left comes with the next call. */
#define EPOLL_EVENTS_MAX 256
/* Reads of one receiver in a turn: a bulk upload keeps going, and the others wait 64 KiB at most
 * with buffers of 16 KiB. */
#define EPOLL_READS_MAX 4
#define EPOLL_ACCEPTS_MAX 64

/** Who waits for edges of a descriptor. */
struct ring_watch {
    struct ring_op *reader;
    struct ring_op *writer;
    bool is_ending; /* the end of the stream or an error was announced: read until it comes */
};

struct ring_epoll {
    struct ring base;
    int epoll_fd;
    bool has_pwait2; /* epoll_pwait2(): timeouts of nanoseconds */
    struct ring_list readable;
    struct ring_watch *watches; /* by descriptor */
    uint32_t watch_count;
    struct epoll_event events[EPOLL_EVENTS_MAX];
};

static struct ring_epoll *
ring_epoll_of(struct ring *ring)
{
    return container_of(ring, struct ring_epoll, base);
}

/* ---- watching ---- */

MUST_CHECK static int
epoll_watches_grow(struct ring_epoll *epoll, int fd)
{
    uint32_t count = MAX(epoll->watch_count, 64u);
    while (count <= (uint32_t)fd) {
        count *= 2;
    }
    struct ring_watch *watches = realloc(epoll->watches, count * sizeof(*watches));
    if (watches == NULL) {
        return -ENOMEM;
    }
    memset(watches + epoll->watch_count, 0, (count - epoll->watch_count) * sizeof(*watches));
    epoll->watches = watches;
    epoll->watch_count = count;
    return 0;
}

/**
 * Make `op` wait for edges of its descriptor. 0: one will come; 1: it had been watched before or
 * cannot be, so that it must be tried now; or -errno.
 */
MUST_CHECK static int
epoll_watch(struct ring_epoll *epoll, struct ring_op *op)
{
    if ((uint32_t)op->fd >= epoll->watch_count) {
        int rc = epoll_watches_grow(epoll, op->fd);
        if (rc < 0) {
            return rc;
        }
    }
    struct ring_watch *watch = &epoll->watches[op->fd];
    struct ring_op **place = op->kind == RING_OP_SEND ? &watch->writer : &watch->reader;
    ASSERT(*place == NULL);
    *place = op;
    struct epoll_event event = {
        .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
        .data.fd = op->fd,
    };
    if (epoll_ctl(epoll->epoll_fd, EPOLL_CTL_ADD, op->fd, &event) == 0) {
        watch->is_ending = false;
        return 0;
    }
    if (errno == EEXIST || errno == EPERM) {
        return 1;
    }
    *place = NULL;
    return -errno;
}

/** Forget a waiting operation, in whatever list it is. */
static void
epoll_unwatch(struct ring_epoll *epoll, struct ring_op *op)
{
    if ((uint32_t)op->fd < epoll->watch_count) {
        struct ring_watch *watch = &epoll->watches[op->fd];
        if (watch->reader == op) {
            watch->reader = NULL;
        }
        if (watch->writer == op) {
            watch->writer = NULL;
        }
    }
}

static void
epoll_finish(struct ring_epoll *epoll, struct ring_op *op, int32_t result)
{
    epoll_unwatch(epoll, op);
    ring_op_finish(op, result);
}

/* ---- trying ---- */

static struct ring_buffer *
epoll_buffer_take(struct ring_epoll *epoll)
{
    struct ring_buffer *buffer = epoll->base.pool.free;
    if (buffer != NULL) {
        epoll->base.pool.free = buffer->next;
        return buffer;
    }
    return ring_pool_grow(&epoll->base);
}

/** Try to read for a receiver; returns the number of calls made to its owner. */
static uint32_t
epoll_receive(struct ring_epoll *epoll, struct ring_op *op)
{
    struct ring_receiver *receiver = ring_op_receiver(op);
    for (uint32_t i = 0; i < EPOLL_READS_MAX; i++) {
        struct ring_buffer *buffer = epoll_buffer_take(epoll);
        if (buffer == NULL) {
            ring_receiver_starve(&epoll->base, receiver);
            return i;
        }
        ssize_t size;
        do {
            size = recv(op->fd, buffer->data, buffer->capacity, MSG_DONTWAIT);
        } while (size < 0 && errno == EINTR);
        if (size <= 0) {
            int32_t result = size == 0 ? 0 : -errno;
            buffer->ref_count = 0;
            epoll->base.calls->release(&epoll->base, buffer);
            if (result == -EAGAIN) {
                return i;
            }
            epoll_finish(epoll, op, result);
            return i + 1;
        }
        bool is_drained = (size_t)size < buffer->capacity && !epoll->watches[op->fd].is_ending;
        ring_receiver_deliver(receiver, buffer, (int32_t)size);
        if (is_drained || op->is_cancelling) {
            return i + 1;
        }
    }
    ring_list_append(&epoll->readable, op);
    return EPOLL_READS_MAX;
}

static bool
epoll_accept_is_transient(int error)
{
    return error == ECONNABORTED || error == EPROTO || error == EINTR;
}

static uint32_t
epoll_accept(struct ring_epoll *epoll, struct ring_op *op)
{
    uint32_t call_count = 0;
    for (uint32_t i = 0; i < EPOLL_ACCEPTS_MAX; i++) {
        int fd = accept4(op->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            call_count++;
            op->done(op, fd);
            if (op->is_cancelling) {
                return call_count;
            }
        } else if (errno == EAGAIN) {
            return call_count;
        } else if (!epoll_accept_is_transient(errno)) {
            epoll_finish(epoll, op, -errno);
            return call_count + 1;
        }
    }
    ring_list_append(&epoll->readable, op);
    return call_count;
}

/** One attempt at an operation that ends with its first result; -EAGAIN: wait for an edge. */
static int32_t
epoll_attempt(struct ring_op *op)
{
    struct pollfd ready = {.fd = op->fd, .events = POLLIN};
    ssize_t size;
    do {
        if (op->kind == RING_OP_SEND) {
            size = ring_op_send_now(op);
        } else if (op->kind == RING_OP_RECEIVE_INTO) {
            size = recv(op->fd, op->address, MIN(op->size, (size_t)INT_MAX), MSG_DONTWAIT);
        } else if (poll(&ready, 1, 0) == 0) {
            return -EAGAIN; /* the descriptor may be a blocking one */
        } else {
            size = read(op->fd, op->address, MIN(op->size, (size_t)INT_MAX));
        }
    } while (size < 0 && errno == EINTR);
    return size < 0 ? -errno : (int32_t)size;
}

/** Try what is waiting for its descriptor; returns the number of calls made. */
static uint32_t
epoll_try(struct ring_epoll *epoll, struct ring_op *op)
{
    if (op->kind == RING_OP_RECEIVE) {
        return epoll_receive(epoll, op);
    }
    if (op->kind == RING_OP_ACCEPT) {
        return epoll_accept(epoll, op);
    }
    int32_t result = epoll_attempt(op);
    if (result == -EAGAIN) {
        return 0;
    }
    epoll_finish(epoll, op, result);
    return 1;
}

/* ---- the calls ---- */

static void
epoll_start(struct ring *ring, struct ring_op *op)
{
    struct ring_epoll *epoll = ring_epoll_of(ring);
    if (op->kind == RING_OP_ACCEPT) {
        int flags = fcntl(op->fd, F_GETFL);
        if (flags >= 0 && (flags & O_NONBLOCK) == 0) {
            (void)fcntl(op->fd, F_SETFL, flags | O_NONBLOCK);
        }
    }
    if (op->kind == RING_OP_RECEIVE_INTO) {
        int32_t result = epoll_attempt(op);
        if (result != -EAGAIN) {
            ring_op_ready(ring, op, result);
            return;
        }
    }
    int rc = epoll_watch(epoll, op);
    if (rc < 0) {
        ring_op_ready(ring, op, rc);
    } else if (rc > 0) {
        ring_list_append(&epoll->readable, op);
    }
}

static void
epoll_send(struct ring *ring, struct ring_op *op)
{
    struct ring_epoll *epoll = ring_epoll_of(ring);
    int32_t result = epoll_attempt(op);
    if (result == -EAGAIN) {
        result = epoll_watch(epoll, op);
        if (result == 0) {
            return;
        }
        if (result == 1) {
            /* Room may have come before EAGAIN marked the socket, and its edge have gone. */
            ring_list_append(&epoll->readable, op);
            return;
        }
    }
    ring_op_ready(ring, op, result);
}

static void
epoll_cancel(struct ring *ring, struct ring_op *op)
{
    struct ring_epoll *epoll = ring_epoll_of(ring);
    struct ring_list *list = op->list == RING_LIST_STARVED    ? &ring->starved
                             : op->list == RING_LIST_READABLE ? &epoll->readable
                                                              : NULL;
    epoll_unwatch(epoll, op);
    ring_cancel_held_back(ring, list, op);
}

static void
epoll_close(struct ring *ring, int fd)
{
    struct ring_epoll *epoll = ring_epoll_of(ring);
    if ((uint32_t)fd < epoll->watch_count) {
        ASSERT(epoll->watches[fd].reader == NULL);
        ASSERT(epoll->watches[fd].writer == NULL);
    }
    close(fd);
}

static void
epoll_release(struct ring *ring, struct ring_buffer *buffer)
{
    buffer->next = ring->pool.free;
    ring->pool.free = buffer;
    struct ring_op *op = ring_starved_pop(ring);
    if (op != NULL) {
        ring_list_append(&ring_epoll_of(ring)->readable, op);
    }
}

static int
epoll_poll(struct ring_epoll *epoll, uint64_t timeout_ns)
{
    int timeout_ms = -1;
    epoll->base.counters.wait_count++;
    if (timeout_ns > 0 && timeout_ns < INT64_MAX) {
        if (epoll->has_pwait2) {
            struct timespec timeout = {
                .tv_sec = (time_t)(timeout_ns / 1000000000u),
                .tv_nsec = (long)(timeout_ns % 1000000000u),
            };
            int count =
                epoll_pwait2(epoll->epoll_fd, epoll->events, EPOLL_EVENTS_MAX, &timeout, NULL);
            if (count >= 0 || errno == EINTR) {
                return count;
            }
            epoll->has_pwait2 = false;
        }
        timeout_ms = (int)MIN((timeout_ns + 999999u) / 1000000u, (uint64_t)INT_MAX);
    } else if (timeout_ns == 0) {
        timeout_ms = 0;
    }
    return epoll_wait(epoll->epoll_fd, epoll->events, EPOLL_EVENTS_MAX, timeout_ms);
}

static uint32_t
epoll_event_handle(struct ring_epoll *epoll, const struct epoll_event *event)
{
    struct ring *ring = &epoll->base;
    int fd = event->data.fd;
    if (fd == ring->wake_fd) {
        ring->counters.wake_count++;
        /* Pairs with the exchange in ring_wake(). */
        (void)atomic_exchange_explicit(&ring->is_wake_pending, false, memory_order_acq_rel);
        return 0;
    }
    if ((uint32_t)fd >= epoll->watch_count) {
        return 0;
    }
    struct ring_watch *watch = &epoll->watches[fd];
    uint32_t reading = EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR;
    uint32_t writing = EPOLLOUT | EPOLLHUP | EPOLLERR;
    watch->is_ending |= (event->events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
    /* The lists are worked off when all edges are seen: a callback may free what a later event of
     * this batch would otherwise lead to. */
    if ((event->events & reading) != 0 && watch->reader != NULL &&
        watch->reader->list == RING_LIST_NONE) {
        ring_list_append(&epoll->readable, watch->reader);
    }
    if ((event->events & writing) != 0 && watch->writer != NULL &&
        watch->writer->list == RING_LIST_NONE) {
        ring_list_append(&epoll->readable, watch->writer);
    }
    return 0;
}

static uint32_t
epoll_ring_wait(struct ring *ring, uint64_t timeout_ns)
{
    struct ring_epoll *epoll = ring_epoll_of(ring);
    uint32_t call_count = ring_ready_run(ring);
    if (call_count > 0 || ring->ready.count > 0 || epoll->readable.count > 0) {
        timeout_ns = 0;
    }
    int event_count = epoll_poll(epoll, timeout_ns);
    for (int i = 0; i < event_count; i++) {
        call_count += epoll_event_handle(epoll, &epoll->events[i]);
    }
    uint32_t count = epoll->readable.count;
    for (uint32_t i = 0; i < count && epoll->readable.count > 0; i++) {
        call_count += epoll_try(epoll, ring_list_pop(&epoll->readable));
    }
    return call_count;
}

static void
epoll_submit(struct ring *ring)
{
    /* Everything has been tried already. */
    (void)ring;
}

static void
epoll_gather(struct ring *ring, uint64_t gather_ns)
{
    struct ring_epoll *epoll = ring_epoll_of(ring);
    struct timespec duration = {.tv_nsec = (long)gather_ns};
    if (epoll->readable.count == 0) {
        ring->counters.wait_count++;
        (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &duration, NULL);
    }
}

static void
epoll_delete(struct ring *ring)
{
    struct ring_epoll *epoll = ring_epoll_of(ring);
    ASSERT(epoll->readable.count == 0);
    close(epoll->epoll_fd);
    ring_destroy(ring);
    free(epoll->watches);
    free(epoll);
}

static const struct ring_calls epoll_calls = {
    .backend = RING_EPOLL,
    .name = "epoll",
    .delete = epoll_delete,
    .wait = epoll_ring_wait,
    .submit = epoll_submit,
    .gather = epoll_gather,
    .start = epoll_start,
    .send = epoll_send,
    .cancel = epoll_cancel,
    .close = epoll_close,
    .release = epoll_release,
};

struct ring *
ring_epoll_new(const struct ring_options *options, int *error, const char **step)
{
    struct ring_epoll *epoll = aligned_alloc(alignof(struct ring_epoll), sizeof(*epoll));
    *step = "memory";
    if (epoll == NULL) {
        *error = -ENOMEM;
        return NULL;
    }
    memset(epoll, 0, sizeof(*epoll));
    epoll->readable.id = RING_LIST_READABLE;
    epoll->has_pwait2 = true;
    int rc = ring_create(&epoll->base, &epoll_calls, options);
    if (rc < 0) {
        goto undo_memory;
    }
    *step = "epoll_create1";
    epoll->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll->epoll_fd < 0) {
        rc = -errno;
        goto undo_ring;
    }
    *step = "epoll_ctl";
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.fd = epoll->base.wake_fd};
    if (epoll_ctl(epoll->epoll_fd, EPOLL_CTL_ADD, epoll->base.wake_fd, &event) < 0) {
        rc = -errno;
        goto undo_epoll;
    }
    snprintf(epoll->base.reason, sizeof(epoll->base.reason), "epoll: as configured");
    return &epoll->base;
undo_epoll:
    close(epoll->epoll_fd);
undo_ring:
    ring_destroy(&epoll->base);
undo_memory:
    free(epoll);
    *error = rc;
    return NULL;
}
