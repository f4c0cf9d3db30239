/*
 * ring_uring.h: what the running half of the io_uring back end (ring_uring.c) and the half that
 * sets it up (ring_uring_setup.c) share. For these two only.
 */
#pragma once

#include "core/ring_internal.h"

#include <liburing.h>

#define URING_BUFFER_GROUP 0

struct ring_uring {
    struct ring base;
    struct io_uring io;
    struct msghdr *messages; /* one for each submission entry: read when that is consumed */
    struct io_uring_buf_ring *buffers; /* free buffers, consumed by the kernel */
    size_t buffers_size;
    int buffers_mask;
    uint32_t lent_count; /* buffers that the kernel has, minus completions not reaped yet */
    bool is_deferred;    /* completions are made in io_uring_enter() only */
    bool is_multishot_receive;
    bool is_multishot_accept;
    bool is_send_direct;
    struct ring_list unsubmitted;
    struct ring_op wake;
};

extern const struct ring_calls uring_calls;

/** Hand an operation to the kernel, now or when the submission queue has room again. */
void uring_arm(struct ring_uring *uring, struct ring_op *op);

/** Lend the kernel `count` buffers more, as far as the pool goes. */
void uring_buffers_grow(struct ring_uring *uring, uint32_t count);
