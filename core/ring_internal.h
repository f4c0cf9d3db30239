/*
 * ring_internal.h: what the two back ends of the ring share: the table of calls that each of them
 * fills, lists of operations, and the pool that receive buffers come from.
 */
#pragma once

#include "core/ring.h"

#include <stdatomic.h>

enum ring_op_kind {
    RING_OP_ACCEPT,
    RING_OP_RECEIVE, /* the operation of a struct ring_receiver */
    RING_OP_RECEIVE_INTO,
    RING_OP_SEND,
    RING_OP_READ,
    RING_OP_WAKE,
    RING_OP_WRITE, /* this one and the next two: ring_files.c, never a back end */
    RING_OP_SYNC,
    RING_OP_WORK,
};

/** An operation is in one list at most; which one says how far it has come. */
enum ring_list_id {
    RING_LIST_NONE,
    RING_LIST_READY,        /* has its result; done() is due in ring_wait() */
    RING_LIST_STARVED,      /* a receiver that waits for a buffer */
    RING_LIST_UNSUBMITTED,  /* io_uring: found the submission queue full */
    RING_LIST_READABLE,     /* epoll: worth trying in this ring_wait() */
    RING_LIST_FILES_QUEUED, /* ring_files.c, under its lock: not begun */
    RING_LIST_FILES_DONE,
};

struct ring_list {
    struct ring_op *first;
    struct ring_op *last;
    uint32_t count;
    uint8_t id;
};

/**
 * Receive buffers side by side in one reservation of address space, each behind its header:
 *     | header 64 | bytes | header 64 | bytes | ...
 * The header's line makes the first lines of the buffers fall into different sets of the cache,
 * which multiples of a page would not. Memory is touched when a buffer is used for the first time.
 */
struct ring_pool {
    char *memory;
    size_t stride;
    uint32_t buffer_size;
    uint32_t count; /* buffers that exist */
    uint32_t count_max;
    struct ring_buffer *free; /* epoll; io_uring keeps the free ones in the kernel's ring */
};

/** One back end. Each call has the contract of the function ring_<name> in ring.h. */
struct ring_calls {
    enum ring_backend backend;
    const char *name;
    void (*delete)(struct ring *ring);
    uint32_t (*wait)(struct ring *ring, uint64_t timeout_ns);
    void (*submit)(struct ring *ring);
    void (*gather)(struct ring *ring, uint64_t gather_ns);
    /** Begin any operation but a send; `kind`, `fd` and the memory are set. */
    void (*start)(struct ring *ring, struct ring_op *op);
    /** Begin a send; address and size are its vector. */
    void (*send)(struct ring *ring, struct ring_op *op);
    void (*cancel)(struct ring *ring, struct ring_op *op);
    void (*close)(struct ring *ring, int fd);
    void (*release)(struct ring *ring, struct ring_buffer *buffer);
};

/** The part that both back ends begin with. */
struct ring {
    const struct ring_calls *calls;
    struct ring_list ready;
    struct ring_list starved;
    struct ring_pool pool;
    struct ring_counters counters;
    struct ring_files *files; /* NULL until the first use */
    struct ring_faults *faults;
    int wake_fd;
    bool is_waiting; /* inside ring_wait(), which callbacks must not enter again */
    char reason[160];
    /* ---- any thread ---- */
    alignas(CACHE_LINE_SIZE) atomic_bool is_wake_pending;
};

/** How the io_uring back end goes about its work; the defaults are what was measured to win. */
struct ring_uring_tuning {
    bool is_single_shot; /* do not use multishot receive */
    bool is_send_direct; /* try sendmsg() before queueing a send */
    bool is_plain;       /* no deferred or cooperative task work */
};

/** The back ends' constructors: a ring, or NULL with *error set and *step naming what failed. */
struct ring *ring_uring_new(const struct ring_options *options,
                            const struct ring_uring_tuning *tuning, int *error, const char **step);
struct ring *ring_epoll_new(const struct ring_options *options, int *error, const char **step);

/** Set up and tear down what `struct ring` itself holds. */
MUST_CHECK int ring_create(struct ring *ring, const struct ring_calls *calls,
                           const struct ring_options *options);
void ring_destroy(struct ring *ring);

/** The buffer with that number; it need not have been used before. */
static inline struct ring_buffer *
ring_pool_buffer(const struct ring_pool *pool, uint32_t id)
{
    ASSERT(id < pool->count);
    return (struct ring_buffer *)(void *)(pool->memory + pool->stride * id);
}

/** One more buffer, or NULL when there are as many as there may be. */
struct ring_buffer *ring_pool_grow(struct ring *ring);

static inline void
ring_list_append(struct ring_list *list, struct ring_op *op)
{
    ASSERT(op->list == RING_LIST_NONE);
    op->list = list->id;
    op->next = NULL;
    op->previous = list->last;
    if (list->last != NULL) {
        list->last->next = op;
    } else {
        list->first = op;
    }
    list->last = op;
    list->count++;
}

static inline void
ring_list_remove(struct ring_list *list, struct ring_op *op)
{
    ASSERT(op->list == list->id);
    if (op->previous != NULL) {
        op->previous->next = op->next;
    } else {
        list->first = op->next;
    }
    if (op->next != NULL) {
        op->next->previous = op->previous;
    } else {
        list->last = op->previous;
    }
    op->list = RING_LIST_NONE;
    list->count--;
}

static inline struct ring_op *
ring_list_pop(struct ring_list *list)
{
    struct ring_op *op = list->first;
    if (op != NULL) {
        ring_list_remove(list, op);
    }
    return op;
}

static inline struct ring_receiver *
ring_op_receiver(struct ring_op *op)
{
    ASSERT(op->kind == RING_OP_RECEIVE);
    return container_of(op, struct ring_receiver, op);
}

/** The operation is over: tell its owner, who may free it or start it again. */
static inline void
ring_op_finish(struct ring_op *op, int32_t result)
{
    ASSERT(op->is_active);
    ASSERT(!op->is_inflight);
    ASSERT(op->list == RING_LIST_NONE);
    op->is_active = false;
    if (op->kind == RING_OP_RECEIVE) {
        struct ring_receiver *receiver = ring_op_receiver(op);
        receiver->received(receiver, NULL, result);
    } else {
        op->done(op, result);
    }
}

/** The operation is over, and its owner hears of it in ring_wait(). */
static inline void
ring_op_ready(struct ring *ring, struct ring_op *op, int32_t result)
{
    op->result = result;
    ring_list_append(&ring->ready, op);
}

/** Hand what arrived to the receiver, which is still there afterwards: this is not its end. */
static inline void
ring_receiver_deliver(struct ring_receiver *receiver, struct ring_buffer *buffer, int32_t size)
{
    ASSERT(size > 0);
    buffer->size = (uint32_t)size;
    buffer->ref_count = 1;
    buffer->next = NULL;
    receiver->received(receiver, buffer, size);
}

static inline void
ring_receiver_starve(struct ring *ring, struct ring_receiver *receiver)
{
    receiver->is_starved = true;
    ring->counters.starved_count++;
    ring_list_append(&ring->starved, &receiver->op);
}

static inline struct ring_op *
ring_starved_pop(struct ring *ring)
{
    struct ring_op *op = ring_list_pop(&ring->starved);
    if (op != NULL) {
        ring_op_receiver(op)->is_starved = false;
    }
    return op;
}

/** Call the owners of what is in the ready list now; what they add waits for the next round. */
uint32_t ring_ready_run(struct ring *ring);

/** A cancelled operation that the kernel does not hold: out of its list, and ready. */
void ring_cancel_held_back(struct ring *ring, struct ring_list *list, struct ring_op *op);

/** Try a send at once: bytes, or -1 with errno. */
static inline ssize_t
ring_op_send_now(const struct ring_op *op)
{
    struct msghdr message = {.msg_iov = op->address, .msg_iovlen = op->size};
    return sendmsg(op->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}
