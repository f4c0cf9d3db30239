/*
 * ring_uring_setup.c: makes a ring on io_uring, or says which step the kernel refuses.
 *
 *     set up (deferred | cooperative | plain task work) -> probe operations -> register buffers
 *         -> receive a byte for real (multishot, else single-shot) -> accept (multishot or not)
 *
 * Every choice is made by trying: a flag that the kernel does not know gives EINVAL and the next
 * best is taken. Probing tells which operations exist, yet not which of their flags do; therefore a
 * multishot receive is carried out over a socket pair before connections depend on it.
 * Invariant: when an error is returned nothing is left, and no operation of a trial is in flight in
 * a ring that is returned.
 */
#include "core/ring_uring.h"

#include "core/heap.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Completions for each submission entry: multishot operations complete more often than they are
 * submitted, and what does not fit is kept by the kernel at the cost of an allocation. */
#define URING_COMPLETIONS_PER_ENTRY 4
/* What the trial receive may take before the back end counts as broken. */
#define URING_TRIAL_TIMEOUT_MS 1000

/** Set the ring up with the best task-work mode that the kernel takes. */
MUST_CHECK static int
uring_setup(struct ring_uring *uring, const struct ring_options *options,
            const struct ring_uring_tuning *tuning)
{
    static const uint32_t modes[] = {
        IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
        IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
        0,
    };
    int rc = -EINVAL;
    for (size_t i = tuning->is_plain ? 2 : 0; i < ARRAY_COUNT(modes) && rc == -EINVAL; i++) {
        struct io_uring_params params = {
            .flags = modes[i] | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP,
            .cq_entries = options->entry_count * URING_COMPLETIONS_PER_ENTRY,
        };
        rc = io_uring_queue_init_params(options->entry_count, &uring->io, &params);
        uring->is_deferred = (modes[i] & IORING_SETUP_DEFER_TASKRUN) != 0;
    }
    if (rc == 0) {
        uring->messages = heap_alloc(uring->io.sq.ring_entries * sizeof(*uring->messages));
    }
    return rc;
}

/** The operations that the back end cannot do without. */
MUST_CHECK static int
uring_probe(struct ring_uring *uring)
{
    static const int needed[] = {IORING_OP_ACCEPT,  IORING_OP_RECV,     IORING_OP_SEND,
                                 IORING_OP_SENDMSG, IORING_OP_POLL_ADD, IORING_OP_ASYNC_CANCEL};
    uint32_t features = IORING_FEAT_NODROP | IORING_FEAT_EXT_ARG | IORING_FEAT_FAST_POLL |
                        IORING_FEAT_SUBMIT_STABLE;
    if ((uring->io.features & features) != features) {
        return -ENOSYS;
    }
    struct io_uring_probe *probe = io_uring_get_probe_ring(&uring->io);
    if (probe == NULL) {
        return -ENOSYS;
    }
    bool is_complete = true;
    for (size_t i = 0; i < ARRAY_COUNT(needed); i++) {
        is_complete = is_complete && io_uring_opcode_supported(probe, needed[i]) != 0;
    }
    io_uring_free_probe(probe);
    return is_complete ? 0 : -ENOSYS;
}

MUST_CHECK static int
uring_buffers_register(struct ring_uring *uring, const struct ring_options *options)
{
    uint32_t entry_count = 1;
    while (entry_count < uring->base.pool.count_max) {
        entry_count *= 2;
    }
    uring->buffers_size = entry_count * sizeof(struct io_uring_buf);
    void *memory =
        mmap(NULL, uring->buffers_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        return -errno;
    }
    uring->buffers = memory;
    uring->buffers_mask = io_uring_buf_ring_mask(entry_count);
    io_uring_buf_ring_init(uring->buffers);
    struct io_uring_buf_reg registration = {
        .ring_addr = (uintptr_t)memory,
        .ring_entries = entry_count,
        .bgid = URING_BUFFER_GROUP,
    };
    int rc = io_uring_register_buf_ring(&uring->io, &registration, 0);
    if (rc < 0) {
        munmap(memory, uring->buffers_size);
        return rc;
    }
    uring_buffers_grow(uring, options->buffer_count);
    return 0;
}

/** What a trial has seen. */
struct uring_trial {
    struct ring_receiver receiver;
    struct ring_op accept;
    int32_t size;   /* bytes received */
    int32_t result; /* of the end */
    bool is_over;
    bool was_multishot;
};

static void
uring_trial_received(struct ring_receiver *receiver, struct ring_buffer *buffer, int32_t result)
{
    struct uring_trial *trial = container_of(receiver, struct uring_trial, receiver);
    if (buffer != NULL) {
        trial->size += result;
        trial->was_multishot = receiver->op.is_inflight;
        ring_buffer_unref(buffer);
        return;
    }
    trial->result = result;
    trial->is_over = true;
}

/** Wait until the trial is over; false when the kernel leaves us waiting. */
static bool
uring_trial_wait(struct ring_uring *uring, const struct uring_trial *trial)
{
    for (uint32_t i = 0; i < URING_TRIAL_TIMEOUT_MS && !trial->is_over; i++) {
        (void)ring_wait(&uring->base, 1000000);
    }
    return trial->is_over;
}

/** Receive a byte and the end of the stream for real, the way that `uring` is set to. */
MUST_CHECK static int
uring_trial_receive(struct ring_uring *uring)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0) {
        return -errno;
    }
    struct uring_trial trial = {.receiver.received = uring_trial_received};
    ring_receive_start(&uring->base, &trial.receiver, pair[0]);
    ring_submit(&uring->base);
    int rc = write(pair[1], "x", 1) == 1 ? 0 : -errno;
    close(pair[1]);
    if (!uring_trial_wait(uring, &trial)) {
        rc = -ETIMEDOUT;
    }
    close(pair[0]);
    if (rc == 0 && (trial.result != 0 || trial.size != 1)) {
        rc = trial.result < 0 ? trial.result : -EIO;
    }
    if (rc == 0 && uring->is_multishot_receive && !trial.was_multishot) {
        rc = -EINVAL;
    }
    return rc;
}

static void
uring_trial_accepted(struct ring_op *op, int32_t result)
{
    struct uring_trial *trial = container_of(op, struct uring_trial, accept);
    trial->result = result;
    trial->is_over = true;
}

/**
 * Does accept take the multishot flag? A kernel without it fails at once; one with it stays armed
 * until it is cancelled.
 */
MUST_CHECK static int
uring_trial_accept(struct ring_uring *uring)
{
    int rc = 0;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return -errno;
    }
    /* No name: the kernel picks an abstract one. */
    struct sockaddr address = {.sa_family = AF_UNIX};
    struct uring_trial trial = {.accept.done = uring_trial_accepted};
    if (bind(fd, &address, sizeof(sa_family_t)) < 0 || listen(fd, 1) < 0) {
        rc = -errno;
        goto undo_socket;
    }
    ring_accept(&uring->base, &trial.accept, fd);
    (void)ring_wait(&uring->base, 0);
    if (!trial.is_over) {
        ring_cancel(&uring->base, &trial.accept);
    }
    if (!uring_trial_wait(uring, &trial)) {
        rc = -ETIMEDOUT;
    } else if (trial.result != -ECANCELED) {
        rc = trial.result;
    }
undo_socket:
    close(fd);
    return rc;
}

/** Find out by doing what this kernel lets us do. */
MUST_CHECK static int
uring_try(struct ring_uring *uring, const struct ring_uring_tuning *tuning)
{
    int rc = -EINVAL;
    if (!tuning->is_single_shot) {
        uring->is_multishot_receive = true;
        rc = uring_trial_receive(uring);
    }
    /* A trial that does not even end leaves an operation behind: the ring is of no use then. */
    if (rc < 0 && rc != -ETIMEDOUT) {
        uring->is_multishot_receive = false;
        rc = uring_trial_receive(uring);
    }
    if (rc < 0) {
        return rc;
    }
    uring->is_multishot_accept = true;
    rc = uring_trial_accept(uring);
    uring->is_multishot_accept = rc == 0;
    return rc == -ETIMEDOUT ? rc : 0;
}

static void
uring_reason_write(struct ring_uring *uring)
{
    struct ring *ring = &uring->base;
    snprintf(ring->reason, sizeof(ring->reason), "io_uring: buffer ring, %s receive, %s accept, %s",
             uring->is_multishot_receive ? "multishot" : "single-shot",
             uring->is_multishot_accept ? "multishot" : "single-shot",
             uring->is_deferred                              ? "deferred task work"
             : (uring->io.flags & IORING_SETUP_COOP_TASKRUN) ? "cooperative task work"
                                                             : "plain task work");
}

struct ring *
ring_uring_new(const struct ring_options *options, const struct ring_uring_tuning *tuning,
               int *error, const char **step)
{
    struct ring_uring *uring = aligned_alloc(alignof(struct ring_uring), sizeof(*uring));
    *step = "memory";
    if (uring == NULL) {
        *error = -ENOMEM;
        return NULL;
    }
    memset(uring, 0, sizeof(*uring));
    uring->unsubmitted.id = RING_LIST_UNSUBMITTED;
    uring->is_send_direct = tuning->is_send_direct;
    int rc = ring_create(&uring->base, &uring_calls, options);
    if (rc < 0) {
        goto undo_memory;
    }
    *step = "io_uring_setup";
    rc = uring_setup(uring, options, tuning);
    if (rc < 0) {
        goto undo_ring;
    }
    /* Spares a reference to the file in each call; an older kernel just has no such table. */
    (void)io_uring_register_ring_fd(&uring->io);
    *step = "io_uring operations";
    rc = uring_probe(uring);
    if (rc < 0) {
        goto undo_queue;
    }
    *step = "io_uring buffer ring";
    rc = uring_buffers_register(uring, options);
    if (rc < 0) {
        goto undo_queue;
    }
    *step = "io_uring trial receive";
    rc = uring_try(uring, tuning);
    if (rc < 0) {
        goto undo_buffers;
    }
    uring->wake =
        (struct ring_op){.kind = RING_OP_WAKE, .is_active = true, .fd = uring->base.wake_fd};
    uring_arm(uring, &uring->wake);
    uring->base.counters = (struct ring_counters){0};
    uring_reason_write(uring);
    return &uring->base;
undo_buffers:
    io_uring_queue_exit(&uring->io);
    heap_free(uring->messages);
    munmap(uring->buffers, uring->buffers_size);
    goto undo_ring;
undo_queue:
    io_uring_queue_exit(&uring->io);
    heap_free(uring->messages);
undo_ring:
    ring_destroy(&uring->base);
undo_memory:
    free(uring);
    *error = rc;
    return NULL;
}
