/*
 * ring_echo.c: what the I/O layer alone costs: a server that answers +PONG to every
 * request, which it knows by its asterisk.
 * It has the reactor's shape (reap, answer, flush once a turn, wait) and nothing of a server's
 * work, so that its CPU time for each request (schedstat) is the floor of what the I/O layer
 * allows. Compare it with redis-server's PING under the same load:
 *
 *     taskset -c 0 ring_echo uring 7100 &
 *     taskset -c 1 redis-benchmark -p 7100 -t ping_mbulk -c 50
 *
 * usage: ring_echo uring|single|direct|plain|epoll PORT [BUFFER_SIZE BUFFER_COUNT]
 * `single`: single-shot receive; `direct`: sendmsg() before queueing; `plain`: no deferred work.
 */
#include "core/ring_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ECHO_REPLY "+PONG\r\n"
#define ECHO_REPLY_SIZE (sizeof(ECHO_REPLY) - 1)
/* Replies of one send: a pipeline of 1,000 in one go. */
#define ECHO_REPLIES_MAX 1024

struct echo {
    struct ring *ring;
    struct ring_op accept;
    struct echo_conn *dirty;
    char replies[ECHO_REPLIES_MAX * ECHO_REPLY_SIZE];
};

struct echo_conn {
    struct echo *echo;
    int fd;
    struct ring_receiver receiver;
    struct ring_op send;
    struct iovec vector;
    size_t unsent_size;
    bool is_dirty;
    bool is_ended;
    struct echo_conn *next;
};

static void
echo_conn_mark(struct echo_conn *conn)
{
    if (!conn->is_dirty) {
        conn->is_dirty = true;
        conn->next = conn->echo->dirty;
        conn->echo->dirty = conn;
    }
}

static void
echo_sent(struct ring_op *op, int32_t result)
{
    struct echo_conn *conn = container_of(op, struct echo_conn, send);
    if (result < 0) {
        conn->unsent_size = 0;
    } else {
        conn->unsent_size -= (size_t)result;
    }
    if (conn->unsent_size > 0 || conn->is_ended) {
        echo_conn_mark(conn);
    }
}

static void
echo_received(struct ring_receiver *receiver, struct ring_buffer *buffer, int32_t result)
{
    struct echo_conn *conn = container_of(receiver, struct echo_conn, receiver);
    echo_conn_mark(conn);
    if (result <= 0) {
        conn->is_ended = true;
        return;
    }
    uint32_t request_count = 0;
    for (uint32_t i = 0; i < buffer->size; i++) {
        request_count += buffer->data[i] == '*';
    }
    conn->unsent_size += request_count * ECHO_REPLY_SIZE;
    ring_buffer_unref(buffer);
}

static void
echo_accepted(struct ring_op *op, int32_t result)
{
    struct echo *echo = container_of(op, struct echo, accept);
    int one = 1;
    struct echo_conn *conn = calloc(1, sizeof(*conn));
    if (result < 0 || conn == NULL) {
        fprintf(stderr, "accept: %s\n", strerror(result < 0 ? -result : ENOMEM));
        exit(1);
    }
    conn->echo = echo;
    conn->fd = result;
    conn->receiver.received = echo_received;
    conn->send.done = echo_sent;
    (void)setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    ring_receive_start(echo->ring, &conn->receiver, conn->fd);
}

static void
echo_flush(struct echo *echo)
{
    struct echo_conn *conn = echo->dirty;
    echo->dirty = NULL;
    while (conn != NULL) {
        struct echo_conn *next = conn->next;
        conn->is_dirty = false;
        if (conn->send.is_active) {
            /* echo_sent() marks it again */
        } else if (conn->unsent_size > 0) {
            size_t sent = conn->unsent_size % ECHO_REPLY_SIZE;
            size_t offset = sent == 0 ? 0 : ECHO_REPLY_SIZE - sent;
            conn->vector.iov_base = echo->replies + offset;
            conn->vector.iov_len = MIN(conn->unsent_size, sizeof(echo->replies) - offset);
            ring_send(echo->ring, &conn->send, conn->fd, &conn->vector, 1);
        } else if (conn->is_ended) {
            ring_close(echo->ring, conn->fd);
            free(conn);
        }
        conn = next;
    }
}

static int
echo_listen(uint16_t port)
{
    int one = 1;
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons(port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 511) < 0) {
        perror("listen");
        exit(1);
    }
    return fd;
}

static struct ring *
echo_ring_new(const char *mode, uint32_t buffer_size, uint32_t buffer_count)
{
    struct ring_options options = {
        .backend = RING_EPOLL,
        .entry_count = 1024,
        .buffer_size = buffer_size,
        .buffer_count = buffer_count,
        .buffer_count_max = MAX(buffer_count, 1024u),
    };
    struct ring_uring_tuning tuning = {
        .is_single_shot = strcmp(mode, "single") == 0,
        .is_send_direct = strcmp(mode, "direct") == 0,
        .is_plain = strcmp(mode, "plain") == 0,
    };
    int error = 0;
    const char *step = "";
    struct ring *ring = strcmp(mode, "epoll") == 0
                            ? ring_new(&options, &error)
                            : ring_uring_new(&options, &tuning, &error, &step);
    if (ring == NULL) {
        fprintf(stderr, "ring: %s: %s\n", step, strerror(-error));
        exit(1);
    }
    return ring;
}

int
main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: %s uring|single|direct|plain|epoll PORT [SIZE COUNT]\n", argv[0]);
        return 2;
    }
    struct echo echo = {0};
    uint32_t buffer_size = argc > 4 ? (uint32_t)strtoul(argv[3], NULL, 10) : 16384;
    uint32_t buffer_count = argc > 4 ? (uint32_t)strtoul(argv[4], NULL, 10) : 64;
    for (size_t i = 0; i < ECHO_REPLIES_MAX; i++) {
        memcpy(echo.replies + i * ECHO_REPLY_SIZE, ECHO_REPLY, ECHO_REPLY_SIZE);
    }
    echo.ring = echo_ring_new(argv[1], buffer_size, buffer_count);
    echo.accept.done = echo_accepted;
    ring_accept(echo.ring, &echo.accept, echo_listen((uint16_t)strtoul(argv[2], NULL, 10)));
    fprintf(stderr, "%s\n", ring_reason(echo.ring));
    for (;;) {
        (void)ring_wait(echo.ring, UINT64_MAX);
        echo_flush(&echo);
    }
}
