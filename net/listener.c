/*
 * listener.c: binding, and accepting through the ring.
 * Every core listens on the same addresses by SO_REUSEPORT and the kernel spreads new connections
 * over them by hash, which is uneven when they are few: the one who accepts hands over
 * (shard/worker.c).
 */
#include "net/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_un path;
    struct sockaddr_storage storage;
};

/** Size of what `text` and `port` mean, 0: not an address. */
static socklen_t
address_parse(const char *text, int port, union address *address)
{
    memset(address, 0, sizeof(*address));
    if (strcmp(text, "*") == 0) {
        address->v4.sin_family = AF_INET;
        address->v4.sin_addr.s_addr = htonl(INADDR_ANY);
        address->v4.sin_port = htons((uint16_t)port);
        return sizeof(address->v4);
    }
    if (strcmp(text, "::*") == 0) {
        text = "::";
    }
    if (inet_pton(AF_INET, text, &address->v4.sin_addr) == 1) {
        address->v4.sin_family = AF_INET;
        address->v4.sin_port = htons((uint16_t)port);
        return sizeof(address->v4);
    }
    if (inet_pton(AF_INET6, text, &address->v6.sin6_addr) == 1) {
        address->v6.sin6_family = AF_INET6;
        address->v6.sin6_port = htons((uint16_t)port);
        return sizeof(address->v6);
    }
    return 0;
}

static int
socket_bind(const union address *address, socklen_t size, bool is_shared)
{
    int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return -errno;
    }
    int on = 1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (is_shared) {
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
    }
    if (address->any.sa_family == AF_INET6) {
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
    }
    if (bind(fd, &address->any, size) < 0) {
        int rc = -errno;
        close(fd);
        return rc;
    }
    return fd;
}

int
listener_probe_tcp(const char *address_text, int port)
{
    union address address;
    socklen_t size = address_parse(address_text, port, &address);
    if (size == 0) {
        return -EADDRNOTAVAIL;
    }
    if (port == 0) {
        return 0;
    }
    int fd = socket_bind(&address, size, false);
    if (fd < 0) {
        return fd;
    }
    close(fd);
    return 0;
}

int
listener_bind_tcp(const char *address_text, int *port, int backlog)
{
    union address address;
    socklen_t size = address_parse(address_text, *port, &address);
    if (size == 0) {
        return -EADDRNOTAVAIL;
    }
    int fd = socket_bind(&address, size, true);
    if (fd < 0) {
        return fd;
    }
    if (listen(fd, backlog) < 0) {
        int rc = -errno;
        close(fd);
        return rc;
    }
    size = sizeof(address);
    if (getsockname(fd, &address.any, &size) == 0) {
        *port =
            ntohs(address.any.sa_family == AF_INET6 ? address.v6.sin6_port : address.v4.sin_port);
    }
    return fd;
}

int
listener_bind_unix(const char *path, uint32_t mode, int backlog)
{
    union address address;
    memset(&address, 0, sizeof(address));
    if (strlen(path) >= sizeof(address.path.sun_path)) {
        return -ENAMETOOLONG;
    }
    address.path.sun_family = AF_UNIX;
    memcpy(address.path.sun_path, path, strlen(path) + 1);
    int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (probe < 0) {
        return -errno;
    }
    bool is_served = connect(probe, &address.any, sizeof(address.path)) == 0;
    close(probe);
    if (is_served) {
        return -EADDRINUSE;
    }
    (void)unlink(path);
    int fd = socket_bind(&address, sizeof(address.path), false);
    if (fd < 0) {
        return fd;
    }
    if ((mode != 0 && chmod(path, mode) < 0) || listen(fd, backlog) < 0) {
        int rc = -errno;
        close(fd);
        return rc;
    }
    return fd;
}

static void
listener_done(struct ring_op *op, int32_t result)
{
    struct listener *listener = container_of(op, struct listener, accept_op);
    if (result < 0) {
        listener->is_paused = true;
    }
    listener->accepted(listener, result);
}

void
listener_start(struct listener *listener, struct ring *ring, int fd, bool is_unix, void *owner,
               listener_accepted_fn *accepted)
{
    *listener = (struct listener){
        .ring = ring, .fd = fd, .is_unix = is_unix, .owner = owner, .accepted = accepted};
    listener->accept_op.done = listener_done;
    ring_accept(ring, &listener->accept_op, fd);
}

void
listener_resume(struct listener *listener)
{
    if (listener->is_paused) {
        listener->is_paused = false;
        ring_accept(listener->ring, &listener->accept_op, listener->fd);
    }
}

void
listener_stop(struct listener *listener)
{
    if (!listener->is_paused) {
        ring_cancel(listener->ring, &listener->accept_op);
    }
}

void
socket_prepare(int fd, int64_t keepalive_s)
{
    int on = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (keepalive_s > 0) {
        int idle_s = (int)keepalive_s;
        int interval_s = MAX(idle_s / 3, 1);
        int probe_count = 3;
        (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
        (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
        (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof(interval_s));
        (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probe_count, sizeof(probe_count));
    }
}

static void
address_format(const union address *address, char *out, size_t size)
{
    char text[INET6_ADDRSTRLEN] = "?";
    if (address->any.sa_family == AF_INET) {
        (void)inet_ntop(AF_INET, &address->v4.sin_addr, text, sizeof(text));
        snprintf(out, size, "%s:%d", text, ntohs(address->v4.sin_port));
    } else {
        (void)inet_ntop(AF_INET6, &address->v6.sin6_addr, text, sizeof(text));
        snprintf(out, size, "[%s]:%d", text, ntohs(address->v6.sin6_port));
    }
}

static bool
address_is_loopback(const union address *address)
{
    if (address->any.sa_family == AF_INET) {
        return (ntohl(address->v4.sin_addr.s_addr) >> 24) == 127;
    }
    const struct in6_addr *v6 = &address->v6.sin6_addr;
    return IN6_IS_ADDR_LOOPBACK(v6) || (IN6_IS_ADDR_V4MAPPED(v6) && v6->s6_addr[12] == 127);
}

void
socket_describe(int fd, bool is_unix, const char *unix_path, struct socket_names *names)
{
    *names = (struct socket_names){.is_peer_local = is_unix};
    if (is_unix) {
        snprintf(names->peer, sizeof(names->peer), "%.120s:0", unix_path);
        snprintf(names->local, sizeof(names->local), "%.120s:0", unix_path);
        return;
    }
    union address address;
    socklen_t size = sizeof(address);
    if (getpeername(fd, &address.any, &size) == 0) {
        address_format(&address, names->peer, sizeof(names->peer));
        names->is_peer_local = address_is_loopback(&address);
    }
    size = sizeof(address);
    if (getsockname(fd, &address.any, &size) == 0) {
        address_format(&address, names->local, sizeof(names->local));
    }
}
