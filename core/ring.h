/*
 * ring.h: everything that a core asks of the kernel while it runs.
 * One interface, two back ends (io_uring and epoll) chosen by probing at start. A ring belongs to
 * one thread; only ring_wake() may be called by others. Operations are embedded in their owners, so
 * that starting one allocates nothing.
 */
#pragma once

#include "core/base.h"

#include <sys/socket.h>
#include <sys/uio.h>

struct ring;
struct ring_op;

enum ring_backend {
    RING_AUTO, /* io_uring where it works, else epoll */
    RING_IO_URING,
    RING_EPOLL,
};

/** `result` as the system call would give it, -errno on failure. Called from ring_wait() only. */
typedef void ring_done_fn(struct ring_op *op, int32_t result);

/** Something that may take long, on a thread of the ring's: 0 or more, or -errno. */
typedef int32_t ring_work_fn(void *context);

/** One operation in flight. The owner fills `done`, then leaves it alone until `done` is called. */
struct ring_op {
    ring_done_fn *done;
    /* ---- the back end's ---- */
    uint8_t kind;
    uint8_t list; /* enum ring_list_id */
    bool is_active;
    bool is_multishot; /* a receive that may go on by itself */
    bool is_inflight;  /* the kernel knows of it */
    bool is_cancelling;
    int32_t result;
    int fd;
    void *address; /* bytes, the vector of a send or write, or the context of work */
    uint64_t size; /* of them, or of the vector */
    union {
        uint64_t offset; /* of a write */
        ring_work_fn *work;
    };
    struct ring_op *next;
    struct ring_op *previous;
};

/**
 * A receive buffer that the ring lent out. Arguments are slices of it. It goes back to the ring
 * with the last ring_buffer_unref(); owner thread only.
 */
struct ring_buffer {
    char *data;
    uint32_t size; /* bytes that arrived */
    uint32_t capacity;
    uint32_t ref_count;
    uint32_t id;              /* the back end's */
    struct ring *ring;        /* NULL: a block of heap memory that plays a buffer's part */
    struct ring_buffer *next; /* free for whoever holds the buffer, else the back end's */
};

struct ring_receiver;

/**
 * Bytes have arrived: `result` > 0 and a buffer with one reference that is now the callee's; the
 * end of the stream: 0; or -errno; the last two without a buffer, and nothing follows them.
 */
typedef void ring_received_fn(struct ring_receiver *receiver, struct ring_buffer *buffer,
                              int32_t result);

/** A stream socket that is being read until it is stopped, ends or fails. */
struct ring_receiver {
    ring_received_fn *received;
    /* ---- the back end's ---- */
    struct ring_op op;
    bool is_stopping;
    bool is_starved; /* waits for a free buffer */
};

struct ring_faults;

struct ring_options {
    enum ring_backend backend;
    uint32_t entry_count;  /* submission entries, a power of two */
    uint32_t buffer_size;  /* bytes of each receive buffer */
    uint32_t buffer_count; /* buffers at the start; the ring may add more up to buffer_count_max */
    uint32_t buffer_count_max;
    /** What is to go wrong with files (core/ring_fault.h), shared by any rings and outliving them.
     * NULL: nothing. Release builds do not look. */
    struct ring_faults *faults;
};

/** A new ring of the calling thread. NULL with errno-style code in *error when no back end works.
 */
struct ring *ring_new(const struct ring_options *options, int *error);

/** All operations must have ended or been cancelled. */
void ring_delete(struct ring *ring);

/** Which back end runs, and why, for the log and INFO ("io_uring", "multishot receive, ..."). */
enum ring_backend ring_backend(const struct ring *ring);
const char *ring_backend_name(const struct ring *ring);
const char *ring_reason(const struct ring *ring);

/**
 * Submit what was started, wait for a completion, a wake-up or `timeout_ns` (0: do not wait,
 * UINT64_MAX: no limit), and call what is done. Returns the number of calls made.
 */
uint32_t ring_wait(struct ring *ring, uint64_t timeout_ns);

/** Hand started operations to the kernel now, without waiting or calling anybody. */
void ring_submit(struct ring *ring);

/** Submit what was started, and let completions gather for `gather_ns` (some microseconds), or
 * until there are many, for the next ring_wait() to take together. One system call, one sleep. */
void ring_gather(struct ring *ring, uint64_t gather_ns);

/** Make the owner's current or next ring_wait() return. Any thread; costs a system call. */
void ring_wake(struct ring *ring);

/** Accept on a listening socket until cancelled or failed: done() for each descriptor
 * (non-blocking, close-on-exec) as `result`. After a negative result it has ended and may be
 * started again. */
void ring_accept(struct ring *ring, struct ring_op *op, int fd);

/**
 * Read a connected stream socket, buffer by buffer, for as long as it lasts. `buffer` memory is the
 * ring's. When no buffer is free the receiver waits for one without losing anything.
 */
void ring_receive_start(struct ring *ring, struct ring_receiver *receiver, int fd);

/**
 * Stop reading, for back-pressure or before closing. What had arrived already may still be
 * delivered; the receiver has ended when `received` is called with -ECANCELED, and may be started
 * again then.
 */
void ring_receive_stop(struct ring *ring, struct ring_receiver *receiver);

/** One receive into the caller's memory, for large values. The receiver of that socket must be
 * stopped. done(): bytes, 0 at the end, -errno. */
void ring_receive_into(struct ring *ring, struct ring_op *op, int fd, void *data, size_t size);

/** One vectored send; may send less than asked. `vector` and the bytes stay until done(). */
void ring_send(struct ring *ring, struct ring_op *op, int fd, const struct iovec *vector,
               uint32_t vector_count);

/** One read from a descriptor that becomes ready by itself (signalfd, pipe). */
void ring_read(struct ring *ring, struct ring_op *op, int fd, void *data, size_t size);

/*
 * Files. A small write is done on the spot while the disk takes it without waiting (its done()
 * follows in ring_wait() all the same); all else runs beside the core, on threads that begin with
 * the first use and end with the ring. Writes and syncs that are in flight together are in no
 * order, also those of one file: whoever needs an order starts the second from the first one's
 * done(). A sync covers the writes whose done() came before it was started. At ring_delete() all of
 * them must have ended, as any operation.
 */

/** One vectored write at `offset` of a regular file; may write less than asked. `vector` (at most
 * IOV_MAX) and the bytes stay until done(): bytes, or -errno. */
void ring_write(struct ring *ring, struct ring_op *op, int fd, const struct iovec *vector,
                uint32_t vector_count, uint64_t offset);

/** fdatasync(). done(): 0 or -errno. */
void ring_sync(struct ring *ring, struct ring_op *op, int fd);

/** Run what may take long (open, rename, unlink, fsync of a folder, read) beside the core: the work
 * of one ring one after the other, in the order it was started. done() with what it returned. */
void ring_work(struct ring *ring, struct ring_op *op, ring_work_fn *work, void *context);

/** End an operation early: done() follows, with -ECANCELED or what had already happened. What
 * happens with files is not interrupted: it is left out if it has not begun. */
void ring_cancel(struct ring *ring, struct ring_op *op);

/** Close a descriptor that no operation uses any more. */
void ring_close(struct ring *ring, int fd);

static inline void
ring_buffer_ref(struct ring_buffer *buffer)
{
    buffer->ref_count++;
}

/** Give the buffer back to its ring when nobody else holds it. Owner thread only. */
void ring_buffer_release(struct ring_buffer *buffer);

static inline void
ring_buffer_unref(struct ring_buffer *buffer)
{
    ASSERT(buffer->ref_count > 0);
    if (--buffer->ref_count == 0) {
        ring_buffer_release(buffer);
    }
}

/** Counters for INFO; written by the owner, read by message. */
struct ring_counters {
    uint64_t wait_count; /* system calls made by ring_wait() and ring_submit() */
    uint64_t completion_count;
    uint64_t wake_count;        /* wake-ups that arrived */
    uint64_t starved_count;     /* receives that found no free buffer */
    uint64_t file_spot_count;   /* writes done on the spot */
    uint64_t file_thread_count; /* operations given to a file thread */
};
const struct ring_counters *ring_counters(const struct ring *ring);
