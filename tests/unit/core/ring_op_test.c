/*
 * ring_op_test.c: the ring's other operations: cancelling, ends of streams, accepting, sending,
 * reading, waking. Each test runs on every variant of the ring.
 */
#include "ring_fixture.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

/* ---- cancelling ---- */

static void
run_cancel(struct ring *ring, uint64_t seed)
{
    char data[64];
    int pipes[2];
    cr_assert_eq(pipe(pipes), 0);
    for (uint32_t i = 0; i < 8; i++) {
        struct end end;
        end_create(&end, ring, seed);
        if (i % 4 == 0) {
            ring_receive_into(ring, &end.op, end.fd, data, sizeof(data));
        } else if (i % 4 == 1) {
            ring_read(ring, &end.op, pipes[0], data, sizeof(data));
        } else if (i % 4 == 2) {
            while (stream_write(end.fd, seed, 0, 8192) > 0) {
            }
            static const struct iovec vector = {.iov_base = (char *)"x", .iov_len = 1};
            ring_send(ring, &end.op, end.fd, &vector, 1);
        } else {
            int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
            cr_assert_eq(listen(fd, 5), 0);
            dup2(fd, end.fd);
            close(fd);
            ring_accept(ring, &end.op, end.fd);
        }
        if (i >= 4) {
            ring_turns(ring, 3);
        }
        cr_assert_eq(end.op_done_count, 0);
        ring_cancel(ring, &end.op);
        ring_cancel(ring, &end.op);
        ring_turn_until(ring, &end.op_done_count, 1);
        ring_turns(ring, 3);
        cr_assert_eq(end.op_done_count, 1);
        cr_assert_eq(end.op_result, -ECANCELED);
        end_destroy(&end);
    }
    close(pipes[0]);
    close(pipes[1]);
}

Test(ring, every_kind_can_be_cancelled)
{
    variants_run(&options_default, run_cancel);
}

static void
freeing_received(struct ring_receiver *receiver, struct ring_buffer *buffer, int32_t result)
{
    struct end *end = container_of(receiver, struct end, receiver);
    struct ring *ring = end->ring;
    if (result > 0) {
        ring_buffer_unref(buffer);
        ring_receive_stop(ring, receiver);
        return;
    }
    ring_close(ring, end->fd);
    memset(end, 0x5a, sizeof(*end));
    free(end);
}

/** The sanitizers see it when the ring touches an operation behind its end. */
static void
run_free(struct ring *ring, uint64_t seed)
{
    int peers[200];
    for (uint32_t i = 0; i < ARRAY_COUNT(peers); i++) {
        struct end *end = malloc(sizeof(*end));
        end_create(end, ring, seed + i);
        end->receiver.received = freeing_received;
        peers[i] = end->peer_fd;
        ring_receive_start(ring, &end->receiver, end->fd);
        if (i % 3 != 0) {
            (void)stream_write(end->peer_fd, end->seed, 0, 6000);
        } else {
            ring_receive_stop(ring, &end->receiver);
        }
        if (i % 7 == 0) {
            ring_turns(ring, 1);
        }
    }
    ring_turns(ring, 100);
    for (uint32_t i = 0; i < ARRAY_COUNT(peers); i++) {
        char byte;
        while (recv(peers[i], &byte, 1, MSG_DONTWAIT) > 0) {
        }
        /* Closed by the callback: all have ended. */
        cr_assert_eq(send(peers[i], "x", 1, MSG_NOSIGNAL), -1);
        close(peers[i]);
    }
}

Test(ring, the_last_callback_may_free)
{
    variants_run(&options_default, run_free);
}

/* ---- ends of streams ---- */

static void
run_half_close(struct ring *ring, uint64_t seed)
{
    struct end end;
    char data[8];
    struct iovec vector = {.iov_base = (char *)"reply", .iov_len = 5};
    end_create(&end, ring, seed);
    ring_receive_start(ring, &end.receiver, end.fd);
    end.peer_written_size = stream_write(end.peer_fd, seed, 0, 5000);
    cr_assert_eq(shutdown(end.peer_fd, SHUT_WR), 0);
    ring_turn_until(ring, &end.receive_end_count, 1);
    cr_assert_eq(end.receive_result, 0);
    cr_assert_eq(end.received_size, 5000);
    ring_send(ring, &end.op, end.fd, &vector, 1);
    ring_turn_until(ring, &end.op_done_count, 1);
    cr_assert_eq(end.op_result, 5);
    cr_assert_eq(recv(end.peer_fd, data, sizeof(data), MSG_DONTWAIT), 5);
    end_destroy(&end);
}

Test(ring, a_half_closed_socket_still_sends)
{
    variants_run(&options_default, run_half_close);
}

static int
listen_any(struct sockaddr_in *address)
{
    socklen_t size = sizeof(*address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    cr_assert_eq(bind(fd, (struct sockaddr *)address, sizeof(*address)), 0);
    cr_assert_eq(listen(fd, 64), 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)address, &size), 0);
    return fd;
}

static int
connect_to(const struct sockaddr_in *address)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_geq(fd, 0);
    cr_assert_eq(connect(fd, (const struct sockaddr *)address, sizeof(*address)), 0);
    return fd;
}

static void
run_reset(struct ring *ring, uint64_t seed)
{
    static char big[4 << 20];
    struct sockaddr_in address;
    struct linger linger = {.l_onoff = 1};
    struct iovec vector = {.iov_base = big, .iov_len = sizeof(big)};
    struct end end;
    int listener = listen_any(&address);
    end_create(&end, ring, seed);
    close(end.fd);
    close(end.peer_fd);
    end.peer_fd = connect_to(&address);
    end.fd = accept(listener, NULL, NULL);
    ring_receive_start(ring, &end.receiver, end.fd);
    /* The kernel's buffers hold less than all of it: the last send is under way at the reset. */
    do {
        uint32_t count = end.op_done_count;
        ring_send(ring, &end.op, end.fd, &vector, 1);
        for (uint32_t i = 0; i < 100 && end.op_done_count == count; i++) {
            (void)ring_wait(ring, 100000);
        }
    } while (!end.op.is_active);
    uint32_t count = end.op_done_count;
    cr_assert_eq(setsockopt(end.peer_fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
    close(end.peer_fd);
    end.peer_fd = -1;
    ring_turn_until(ring, &end.receive_end_count, 1);
    ring_turn_until(ring, &end.op_done_count, count + 1);
    /* Either may be told first what happened; the other sees a socket that is closed. */
    cr_assert(end.receive_result == -ECONNRESET || end.receive_result == 0);
    cr_assert(end.op_result == -ECONNRESET || end.op_result == -EPIPE);
    end_destroy(&end);
    close(listener);
}

Test(ring, a_reset_ends_what_is_under_way)
{
    variants_run(&options_default, run_reset);
}

/* ---- accepting ---- */

struct acceptor {
    struct ring_op op;
    int fds[64];
    uint32_t fd_count;
    uint32_t end_count;
    int32_t result;
};

static void
acceptor_done(struct ring_op *op, int32_t result)
{
    struct acceptor *acceptor = container_of(op, struct acceptor, op);
    if (result >= 0) {
        acceptor->fds[acceptor->fd_count++] = result;
    } else {
        acceptor->result = result;
        acceptor->end_count++;
    }
}

static void
run_accept(struct ring *ring, uint64_t seed)
{
    struct sockaddr_in address;
    struct acceptor acceptor = {.op.done = acceptor_done};
    struct rlimit usual;
    int clients[24];
    int listener = listen_any(&address);
    (void)seed;
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &usual), 0);
    struct rlimit low = {.rlim_cur = (rlim_t)listener + 60, .rlim_max = usual.rlim_max};
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
    ring_accept(ring, &acceptor.op, listener);
    for (uint32_t i = 0; i < 20; i++) {
        clients[i] = connect_to(&address);
        if (i % 5 == 4) {
            ring_turn_until(ring, &acceptor.fd_count, i + 1);
        }
    }
    cr_assert_neq(fcntl(acceptor.fds[7], F_GETFL) & O_NONBLOCK, 0);
    cr_assert_neq(fcntl(acceptor.fds[7], F_GETFD) & FD_CLOEXEC, 0);
    /* No descriptor is left but the client's own. */
    int spares[64];
    uint32_t spare_count = 0;
    while ((spares[spare_count] = dup(listener)) >= 0) {
        spare_count++;
    }
    cr_assert_gt(spare_count, 2);
    close(spares[--spare_count]);
    clients[20] = connect_to(&address);
    ring_turn_until(ring, &acceptor.end_count, 1);
    cr_assert_eq(acceptor.result, -EMFILE);
    cr_assert_eq(acceptor.fd_count, 20);
    while (spare_count > 0) {
        close(spares[--spare_count]);
    }
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &usual), 0);
    ring_accept(ring, &acceptor.op, listener);
    clients[21] = connect_to(&address);
    ring_turn_until(ring, &acceptor.fd_count, 22);
    ring_cancel(ring, &acceptor.op);
    ring_turn_until(ring, &acceptor.end_count, 2);
    cr_assert_eq(acceptor.result, -ECANCELED);
    for (uint32_t i = 0; i < 22; i++) {
        ring_close(ring, acceptor.fds[i]);
        close(clients[i]);
    }
    close(listener);
}

Test(ring, accept_goes_on_until_descriptors_run_out)
{
    variants_run(&options_default, run_accept);
}

/* ---- sending and reading ---- */

#define SLOW_SIZE (6u << 20)
#define SLOW_VECTOR_COUNT 500

static void
run_slow_reader(struct ring *ring, uint64_t seed)
{
    static char bytes[SLOW_SIZE];
    static char data[50000];
    struct iovec vector[SLOW_VECTOR_COUNT];
    struct end end;
    end_create(&end, ring, seed);
    stream_fill(seed, 0, bytes, SLOW_SIZE);
    uint32_t done_count = 0;
    for (uint32_t turn = 0; end.peer_read_size < SLOW_SIZE; turn++) {
        cr_assert_lt(turn, TURN_COUNT_MAX);
        if (end.op_done_count > done_count) {
            cr_assert_gt(end.op_result, 0);
            end.sent_size += (uint64_t)end.op_result;
            done_count = end.op_done_count;
        }
        if (!end.op.is_active && end.sent_size < SLOW_SIZE) {
            uint32_t count = 0;
            uint64_t offset = end.sent_size;
            while (count < SLOW_VECTOR_COUNT && offset < SLOW_SIZE) {
                size_t size = draw(&end.chance, 20000);
                size = MIN(size, SLOW_SIZE - offset);
                vector[count++] = (struct iovec){.iov_base = bytes + offset, .iov_len = size};
                offset += size;
            }
            ring_send(ring, &end.op, end.fd, vector, count);
        }
        (void)ring_wait(ring, 0);
        ssize_t rc = recv(end.peer_fd, data, draw(&end.chance, sizeof(data)) + 1, MSG_DONTWAIT);
        if (rc > 0) {
            cr_assert_eq(memcmp(data, bytes + end.peer_read_size, (size_t)rc), 0);
            end.peer_read_size += (size_t)rc;
        }
    }
    cr_assert_gt(end.op_done_count, 1, "a short send was what this is about");
    end_destroy(&end);
}

Test(ring, a_slow_reader_gets_all_of_a_vector)
{
    variants_run(&options_default, run_slow_reader);
}

static void
run_receive_into(struct ring *ring, uint64_t seed)
{
    static char value[300000];
    struct end end;
    uint32_t done_count = 0;
    end_create(&end, ring, seed);
    ring_receive_start(ring, &end.receiver, end.fd);
    cr_assert_eq(stream_write(end.peer_fd, seed, 0, 100), 100);
    end.peer_written_size = 100;
    while (end.received_size < 100) {
        (void)ring_wait(ring, 1000000);
    }
    ring_receive_stop(ring, &end.receiver);
    ring_turn_until(ring, &end.receive_end_count, 1);
    size_t size = 0;
    while (size < sizeof(value)) {
        if (!end.op.is_active) {
            ring_receive_into(ring, &end.op, end.fd, value + size, sizeof(value) - size);
        }
        end.peer_written_size += stream_write(end.peer_fd, seed, end.peer_written_size,
                                              100 + sizeof(value) - end.peer_written_size);
        (void)ring_wait(ring, 0);
        if (end.op_done_count > done_count) {
            cr_assert_gt(end.op_result, 0);
            size += (size_t)end.op_result;
            done_count = end.op_done_count;
        }
    }
    stream_check(seed, 100, value, sizeof(value));
    /* And back to buffers. */
    end.received_size = end.peer_written_size;
    ring_receive_start(ring, &end.receiver, end.fd);
    cr_assert_eq(stream_write(end.peer_fd, seed, end.peer_written_size, 50), 50);
    while (end.received_size < end.peer_written_size + 50) {
        (void)ring_wait(ring, 1000000);
    }
    ring_receive_stop(ring, &end.receiver);
    ring_turn_until(ring, &end.receive_end_count, 2);
    close(end.peer_fd);
    end.peer_fd = -1;
    ring_receive_into(ring, &end.op, end.fd, value, sizeof(value));
    ring_turn_until(ring, &end.op_done_count, done_count + 1);
    cr_assert_eq(end.op_result, 0);
    end_destroy(&end);
}

Test(ring, large_values_arrive_in_their_own_memory)
{
    variants_run(&options_default, run_receive_into);
}

static void
run_read(struct ring *ring, uint64_t seed)
{
    struct signalfd_siginfo info;
    struct end end;
    sigset_t signals;
    end_create(&end, ring, seed);
    sigemptyset(&signals);
    sigaddset(&signals, SIGUSR1);
    cr_assert_eq(sigprocmask(SIG_BLOCK, &signals, NULL), 0);
    int fd = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
    for (uint32_t i = 1; i <= 5; i++) {
        if (i % 2 == 0) {
            raise(SIGUSR1);
        }
        ring_read(ring, &end.op, fd, &info, sizeof(info));
        ring_turns(ring, 2);
        if (i % 2 == 1) {
            cr_assert_eq(end.op_done_count, i - 1);
            raise(SIGUSR1);
        }
        ring_turn_until(ring, &end.op_done_count, i);
        cr_assert_eq(end.op_result, (int32_t)sizeof(info));
        cr_assert_eq(info.ssi_signo, SIGUSR1);
    }
    close(fd);
    end_destroy(&end);
}

Test(ring, signals_are_read)
{
    variants_run(&options_default, run_read);
}

/* ---- waiting and waking ---- */

#define WAKE_COUNT 20000

struct waker {
    struct ring *ring;
    atomic_uint written;
    atomic_uint seen;
};

static void *
waker_run(void *argument)
{
    struct waker *waker = argument;
    for (uint32_t i = 1; i <= WAKE_COUNT; i++) {
        atomic_store_explicit(&waker->written, i, memory_order_relaxed);
        ring_wake(waker->ring);
        /* Now and then wait for the owner, so that it parks in between. */
        while (i % 4 == 0 && atomic_load(&waker->seen) < i) {
        }
    }
    return NULL;
}

static void
run_wake(struct ring *ring, uint64_t seed)
{
    struct waker waker = {.ring = ring};
    pthread_t thread;
    (void)seed;
    cr_assert_eq(pthread_create(&thread, NULL, waker_run, &waker), 0);
    /* A lost wake-up leaves us in here for good. */
    while (atomic_load(&waker.seen) < WAKE_COUNT) {
        (void)ring_wait(ring, UINT64_MAX);
        atomic_store(&waker.seen, atomic_load_explicit(&waker.written, memory_order_relaxed));
    }
    pthread_join(thread, NULL);
    cr_assert_leq(ring_counters(ring)->wake_count, WAKE_COUNT);
    ring_wake(ring);
    ring_wake(ring);
    (void)ring_wait(ring, UINT64_MAX);
}

Test(ring, no_wake_up_is_lost, .timeout = 60)
{
    variants_run(&options_default, run_wake);
}

static void
run_timeout(struct ring *ring, uint64_t seed)
{
    struct timespec start;
    struct timespec stop;
    (void)seed;
    ring_turns(ring, 3);
    clock_gettime(CLOCK_MONOTONIC, &start);
    cr_assert_eq(ring_wait(ring, 3000000), 0);
    clock_gettime(CLOCK_MONOTONIC, &stop);
    int64_t passed_ns = (stop.tv_sec - start.tv_sec) * 1000000000 + (stop.tv_nsec - start.tv_nsec);
    cr_assert_geq(passed_ns, 3000000);
}

Test(ring, a_wait_ends_at_its_timeout)
{
    variants_run(&options_default, run_timeout);
}
