/*
 * ring_test.c: bytes that are received and echoed, with few buffers, small queues and receivers
 * that stop and start; and the choice of the back end. Each test runs on every variant of the ring.
 */
#include "ring_fixture.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

/* ---- echo ---- */

#define ECHO_COUNT 12
#define ECHO_SIZE 200000

struct echoer {
    struct end end;
    struct ring_buffer *queue[4096];
    uint32_t queue_count;
    uint32_t queue_sent;
    uint32_t offset; /* of what is unsent in the first buffer */
    struct iovec vector[8];
};

static void
echoer_send(struct echoer *echoer)
{
    uint32_t count = 0;
    uint32_t offset = echoer->offset;
    if (echoer->end.op.is_active || echoer->queue_sent == echoer->queue_count) {
        return;
    }
    for (uint32_t i = echoer->queue_sent; i < echoer->queue_count && count < 8; i++) {
        struct ring_buffer *buffer = echoer->queue[i];
        echoer->vector[count].iov_base = buffer->data + offset;
        echoer->vector[count++].iov_len = buffer->size - offset;
        offset = 0;
    }
    ring_send(echoer->end.ring, &echoer->end.op, echoer->end.fd, echoer->vector, count);
}

static void
echoer_sent(struct ring_op *op, int32_t result)
{
    struct echoer *echoer = container_of(op, struct echoer, end.op);
    cr_assert_gt(result, 0);
    uint32_t left = (uint32_t)result;
    while (left > 0) {
        struct ring_buffer *buffer = echoer->queue[echoer->queue_sent];
        uint32_t size = MIN(left, buffer->size - echoer->offset);
        echoer->offset += size;
        left -= size;
        if (echoer->offset == buffer->size) {
            ring_buffer_unref(buffer);
            echoer->queue_sent++;
            echoer->offset = 0;
        }
    }
    echoer_send(echoer);
}

static void
echoer_received(struct ring_receiver *receiver, struct ring_buffer *buffer, int32_t result)
{
    struct echoer *echoer = container_of(receiver, struct echoer, end.receiver);
    if (result <= 0) {
        end_received(receiver, buffer, result);
        return;
    }
    if (echoer->queue_sent == echoer->queue_count) {
        echoer->queue_sent = echoer->queue_count = 0;
    }
    cr_assert_lt(echoer->queue_count, ARRAY_COUNT(echoer->queue));
    echoer->queue[echoer->queue_count++] = buffer;
    echoer_send(echoer);
}

static bool
echo_peer_turn(struct end *end, uint64_t *chance)
{
    char data[8192];
    if (end->peer_written_size < ECHO_SIZE) {
        size_t size = draw(chance, 6000) + 1;
        size = MIN(size, ECHO_SIZE - end->peer_written_size);
        end->peer_written_size +=
            stream_write(end->peer_fd, end->seed, end->peer_written_size, size);
    }
    ssize_t rc = recv(end->peer_fd, data, draw(chance, sizeof(data)) + 1, MSG_DONTWAIT);
    if (rc > 0) {
        stream_check(end->seed, end->peer_read_size, data, (size_t)rc);
        end->peer_read_size += (size_t)rc;
    }
    return end->peer_read_size == ECHO_SIZE;
}

static void
run_echo(struct ring *ring, uint64_t seed)
{
    struct echoer *echoers = calloc(ECHO_COUNT, sizeof(*echoers));
    uint64_t chance = seed;
    for (uint32_t i = 0; i < ECHO_COUNT; i++) {
        end_create(&echoers[i].end, ring, seed + i);
        echoers[i].end.receiver.received = echoer_received;
        echoers[i].end.op.done = echoer_sent;
        ring_receive_start(ring, &echoers[i].end.receiver, echoers[i].end.fd);
    }
    uint32_t complete_count = 0;
    for (uint32_t turn = 0; complete_count < ECHO_COUNT; turn++) {
        cr_assert_lt(turn, TURN_COUNT_MAX);
        complete_count = 0;
        for (uint32_t i = 0; i < ECHO_COUNT; i++) {
            complete_count += echo_peer_turn(&echoers[i].end, &chance) ? 1 : 0;
        }
        (void)ring_wait(ring, 0);
    }
    for (uint32_t i = 0; i < ECHO_COUNT; i++) {
        close(echoers[i].end.peer_fd);
        echoers[i].end.peer_fd = -1;
        ring_turn_until(ring, &echoers[i].end.receive_end_count, 1);
        cr_assert_eq(echoers[i].end.receive_result, 0);
        end_destroy(&echoers[i].end);
    }
    free(echoers);
}

Test(ring, echo_returns_every_byte)
{
    variants_run(&options_default, run_echo);
}

/* ---- many sockets: few buffers, a small queue ---- */

#define CROWD_COUNT 50
#define CROWD_SIZE 20000

static struct end *
crowd_new(struct ring *ring, uint64_t seed)
{
    struct end *ends = calloc(CROWD_COUNT, sizeof(*ends));
    for (uint32_t i = 0; i < CROWD_COUNT; i++) {
        end_create(&ends[i], ring, seed + i);
        ends[i].holds_buffers = true;
        ring_receive_start(ring, &ends[i].receiver, ends[i].fd);
    }
    return ends;
}

static void
crowd_delete(struct end *ends)
{
    for (uint32_t i = 0; i < CROWD_COUNT; i++) {
        end_destroy(&ends[i]);
        cr_assert_eq(ends[i].receive_end_count, 1);
    }
    free(ends);
}

/** Everybody writes; buffers are given back a turn later than they came. */
static void
run_crowd(struct ring *ring, uint64_t seed)
{
    struct end *ends = crowd_new(ring, seed);
    uint64_t total_size = 0;
    for (uint32_t turn = 0; total_size < (uint64_t)CROWD_COUNT * CROWD_SIZE; turn++) {
        cr_assert_lt(turn, TURN_COUNT_MAX, "%llu bytes", (unsigned long long)total_size);
        total_size = 0;
        for (uint32_t i = 0; i < CROWD_COUNT; i++) {
            struct end *end = &ends[i];
            end->peer_written_size += stream_write(end->peer_fd, end->seed, end->peer_written_size,
                                                   CROWD_SIZE - end->peer_written_size);
        }
        (void)ring_wait(ring, 0);
        for (uint32_t i = 0; i < CROWD_COUNT; i++) {
            total_size += ends[i].received_size;
            end_release(&ends[i]);
        }
    }
    crowd_delete(ends);
}

static void
run_starved_crowd(struct ring *ring, uint64_t seed)
{
    run_crowd(ring, seed);
    cr_assert_gt(ring_counters(ring)->starved_count, 0);
}

Test(ring, two_buffers_serve_fifty_sockets)
{
    struct ring_options options = options_default;
    options.buffer_count = 2;
    options.buffer_count_max = 2;
    options.buffer_size = 1024;
    variants_run(&options, run_starved_crowd);
}

Test(ring, full_queues_lose_nothing)
{
    struct ring_options options = options_default;
    options.entry_count = 4;
    variants_run(&options, run_crowd);
}

/** A held buffer for each socket: the pool has to grow. */
static void
run_growth(struct ring *ring, uint64_t seed)
{
    struct end *ends = crowd_new(ring, seed);
    uint32_t held_count = 0;
    for (uint32_t i = 0; i < CROWD_COUNT; i++) {
        cr_assert_eq(stream_write(ends[i].peer_fd, ends[i].seed, 0, 100), 100);
    }
    for (uint32_t turn = 0; held_count < CROWD_COUNT; turn++) {
        cr_assert_lt(turn, 1000);
        (void)ring_wait(ring, 1000000);
        held_count = 0;
        for (uint32_t i = 0; i < CROWD_COUNT; i++) {
            held_count += ends[i].received_size == 100 ? 1 : 0;
        }
    }
    crowd_delete(ends);
}

Test(ring, buffers_become_more_when_needed)
{
    struct ring_options options = options_default;
    options.buffer_count = 2;
    options.buffer_count_max = 64;
    variants_run(&options, run_growth);
}

/** Starved receivers can be stopped, and buffers that come back later hurt nobody. */
static void
run_starved_stop(struct ring *ring, uint64_t seed)
{
    struct end ends[3];
    for (uint32_t i = 0; i < 3; i++) {
        end_create(&ends[i], ring, seed + i);
        ends[i].holds_buffers = true;
        ring_receive_start(ring, &ends[i].receiver, ends[i].fd);
        cr_assert_eq(stream_write(ends[i].peer_fd, ends[i].seed, 0, 100), 100);
    }
    ring_turns(ring, 20);
    for (uint32_t i = 0; i < 3; i++) {
        ring_receive_stop(ring, &ends[i].receiver);
        ring_receive_stop(ring, &ends[i].receiver);
    }
    for (uint32_t i = 0; i < 3; i++) {
        ring_turn_until(ring, &ends[i].receive_end_count, 1);
        cr_assert_eq(ends[i].receive_result, -ECANCELED);
    }
    cr_assert_eq(ends[0].received_size + ends[1].received_size + ends[2].received_size, 100);
    for (uint32_t i = 0; i < 3; i++) {
        end_destroy(&ends[i]);
    }
}

Test(ring, a_starved_receiver_can_be_stopped)
{
    struct ring_options options = options_default;
    options.buffer_count = 1;
    options.buffer_count_max = 1;
    variants_run(&options, run_starved_stop);
}

/* ---- stopping and starting ---- */

static void
stopper_received(struct ring_receiver *receiver, struct ring_buffer *buffer, int32_t result)
{
    struct end *end = container_of(receiver, struct end, receiver);
    end_received(receiver, buffer, result);
    if (result > 0) {
        if (draw(&end->chance, 3) == 0) {
            ring_receive_stop(end->ring, receiver);
            end->stop_count += receiver->is_stopping ? 1 : 0;
        }
    } else if (result == -ECANCELED && draw(&end->chance, 2) == 0) {
        ring_receive_start(end->ring, receiver, end->fd);
    }
}

static void
run_stop_start(struct ring *ring, uint64_t seed)
{
    struct end end;
    uint64_t size = 400000;
    end_create(&end, ring, seed);
    end.receiver.received = stopper_received;
    for (uint32_t turn = 0; end.received_size < size; turn++) {
        cr_assert_lt(turn, TURN_COUNT_MAX);
        if (!end.receiver.op.is_active) {
            ring_receive_start(ring, &end.receiver, end.fd);
        } else if (draw(&end.chance, 4) == 0) {
            ring_receive_stop(ring, &end.receiver);
        }
        if (draw(&end.chance, 2) == 0) {
            size_t part = draw(&end.chance, 8000) + 1;
            part = MIN(part, size - end.peer_written_size);
            end.peer_written_size +=
                part > 0 ? stream_write(end.peer_fd, seed, end.peer_written_size, part) : 0;
        }
        (void)ring_wait(ring, 0);
    }
    cr_assert_gt(end.stop_count, 10);
    cr_assert_gt(end.receive_end_count, 10);
    cr_assert_eq(end.receive_result, -ECANCELED);
    end.receiver.received = end_received;
    end_destroy(&end);
}

Test(ring, stopping_and_starting_loses_nothing)
{
    variants_run(&options_default, run_stop_start);
}

/** The end of the stream may come before the stop is seen: one end, whichever it is. */
static void
run_stop_at_end(struct ring *ring, uint64_t seed)
{
    for (uint32_t i = 0; i < 300; i++) {
        struct end end;
        end_create(&end, ring, seed + i);
        ring_receive_start(ring, &end.receiver, end.fd);
        ring_turns(ring, (uint32_t)draw(&end.chance, 3));
        cr_assert_eq(stream_write(end.peer_fd, end.seed, 0, 10), 10);
        close(end.peer_fd);
        end.peer_fd = -1;
        ring_turns(ring, (uint32_t)draw(&end.chance, 2));
        if (end.receiver.op.is_active) {
            ring_receive_stop(ring, &end.receiver);
        }
        ring_turn_until(ring, &end.receive_end_count, 1);
        ring_turns(ring, 2);
        cr_assert_eq(end.receive_end_count, 1);
        cr_assert(end.receive_result == 0 || end.receive_result == -ECANCELED);
        cr_assert(end.received_size == 10 || end.receive_result == -ECANCELED);
        end_destroy(&end);
    }
}

Test(ring, a_stop_that_meets_the_end_gives_one_end)
{
    variants_run(&options_default, run_stop_at_end);
}

/* ---- choosing ---- */

static void
io_uring_forbid(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 425 /* io_uring_setup */, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = ARRAY_COUNT(filter), .filter = filter};
    cr_assert_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    cr_assert_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

Test(ring, auto_takes_epoll_where_io_uring_is_forbidden)
{
    struct ring_options options = options_default;
    int error = 0;
    io_uring_forbid();
    options.backend = RING_IO_URING;
    cr_assert_null(ring_new(&options, &error));
    cr_assert_eq(error, -EPERM);
    options.backend = RING_AUTO;
    struct ring *ring = ring_new(&options, &error);
    cr_assert_not_null(ring);
    cr_assert_eq(ring_backend(ring), RING_EPOLL);
    cr_assert_str_eq(ring_backend_name(ring), "epoll");
    cr_assert_str_eq(ring_reason(ring), "epoll: io_uring_setup: Operation not permitted");
    ring_delete(ring);
}
