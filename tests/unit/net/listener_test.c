#include "net/listener.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

struct taken {
    int fds[8];
    uint32_t count;
    int32_t error;
    uint32_t error_count;
};

static void
take(struct listener *listener, int32_t result)
{
    struct taken *taken = listener->owner;
    if (result < 0) {
        taken->error = result;
        taken->error_count++;
        return;
    }
    taken->fds[taken->count++] = result;
}

static struct ring *
ring_of(enum ring_backend backend)
{
    struct ring_options options = {.backend = backend,
                                   .entry_count = 64,
                                   .buffer_size = 4096,
                                   .buffer_count = 8,
                                   .buffer_count_max = 8};
    int error;
    return ring_new(&options, &error);
}

static int
connect_to(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static void
wait_for(struct ring *ring, const uint32_t *count, uint32_t wanted)
{
    for (int i = 0; i < 1000 && *count < wanted; i++) {
        ring_wait(ring, 10000000);
    }
    cr_assert_eq(*count, wanted);
}

static void
accepts_and_stops(enum ring_backend backend)
{
    struct ring *ring = ring_of(backend);
    if (ring == NULL) {
        return;
    }
    int port = 0;
    int fd = listener_bind_tcp("127.0.0.1", &port, 16);
    cr_assert_geq(fd, 0);
    cr_assert_gt(port, 0);
    struct taken taken = {.count = 0};
    struct listener listener;
    listener_start(&listener, ring, fd, false, &taken, take);
    int peers[3];
    for (uint32_t i = 0; i < 3; i++) {
        peers[i] = connect_to(port);
        wait_for(ring, &taken.count, i + 1);
        cr_assert(fcntl(taken.fds[i], F_GETFL) & O_NONBLOCK);
        struct socket_names names;
        socket_prepare(taken.fds[i], 300);
        socket_describe(taken.fds[i], false, NULL, &names);
        cr_assert(names.is_peer_local);
        char local[64];
        snprintf(local, sizeof(local), "127.0.0.1:%d", port);
        cr_assert_str_eq(names.local, local);
        cr_assert_eq(strncmp(names.peer, "127.0.0.1:", 10), 0);
    }
    listener_stop(&listener);
    wait_for(ring, &taken.error_count, 1);
    cr_assert_eq(taken.error, -ECANCELED);
    listener_resume(&listener);
    int late = connect_to(port);
    wait_for(ring, &taken.count, 4);
    listener_stop(&listener);
    wait_for(ring, &taken.error_count, 2);
    for (int i = 0; i < 3; i++) {
        close(peers[i]);
    }
    for (uint32_t i = 0; i < taken.count; i++) {
        close(taken.fds[i]);
    }
    close(late);
    close(fd);
    ring_delete(ring);
}

Test(listener, accepts_and_stops)
{
    accepts_and_stops(RING_EPOLL);
    accepts_and_stops(RING_IO_URING);
}

static void
pauses_without_descriptors(enum ring_backend backend)
{
    struct ring *ring = ring_of(backend);
    if (ring == NULL) {
        return;
    }
    int port = 0;
    int fd = listener_bind_tcp("127.0.0.1", &port, 16);
    struct taken taken = {.count = 0};
    struct listener listener;
    listener_start(&listener, ring, fd, false, &taken, take);
    int peer = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct rlimit before;
    getrlimit(RLIMIT_NOFILE, &before);
    int next = dup(0); /* no descriptor above the lowest free one is to be had */
    close(next);
    struct rlimit none = {.rlim_cur = (rlim_t)next, .rlim_max = before.rlim_max};
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    cr_assert_eq(connect(peer, (struct sockaddr *)&address, sizeof(address)), 0);
    wait_for(ring, &taken.error_count, 1);
    cr_assert_eq(taken.error, -EMFILE);
    cr_assert(listener.is_paused);
    /* Too early: it fails again, and stays where it was. */
    listener_resume(&listener);
    wait_for(ring, &taken.error_count, 2);
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    listener_resume(&listener);
    wait_for(ring, &taken.count, 1);
    listener_stop(&listener);
    wait_for(ring, &taken.error_count, 3);
    close(taken.fds[0]);
    close(peer);
    close(fd);
    ring_delete(ring);
}

Test(listener, pauses_without_descriptors)
{
    pauses_without_descriptors(RING_EPOLL);
    pauses_without_descriptors(RING_IO_URING);
}

Test(listener, refuses_what_others_serve)
{
    int port = 0;
    int fd = listener_bind_tcp("127.0.0.1", &port, 4);
    cr_assert_geq(fd, 0);
    cr_assert_eq(listener_probe_tcp("127.0.0.1", port), -EADDRINUSE);
    /* Our own cores share it. */
    int same = port;
    int other = listener_bind_tcp("127.0.0.1", &same, 4);
    cr_assert_geq(other, 0);
    cr_assert_eq(same, port);
    close(fd);
    close(other);
    cr_assert_eq(listener_probe_tcp("127.0.0.1", port), 0);
    cr_assert_eq(listener_probe_tcp("not an address", port), -EADDRNOTAVAIL);
    cr_assert_lt(listener_bind_tcp("192.0.2.1", &port, 4), 0);
}

Test(listener, unix_sockets_replace_what_nobody_serves)
{
    char directory[] = "/tmp/listener-test-XXXXXX";
    cr_assert_not_null(mkdtemp(directory));
    char path[108];
    snprintf(path, sizeof(path), "%s/socket", directory);
    int fd = listener_bind_unix(path, 0600, 4);
    cr_assert_geq(fd, 0);
    struct stat status;
    cr_assert_eq(stat(path, &status), 0);
    cr_assert_eq(status.st_mode & 0777, 0600);
    cr_assert_eq(listener_bind_unix(path, 0, 4), -EADDRINUSE);
    close(fd);
    int again = listener_bind_unix(path, 0, 4);
    cr_assert_geq(again, 0);
    close(again);
    unlink(path);
    rmdir(directory);
    char longer[200];
    memset(longer, 'x', sizeof(longer));
    longer[sizeof(longer) - 1] = '\0';
    cr_assert_eq(listener_bind_unix(longer, 0, 4), -ENAMETOOLONG);
}
