/*
 * listener.h: sockets that take connections.
 */
#pragma once

#include "core/list.h"
#include "core/ring.h"

#define LISTENER_ADDRESS_SIZE 128

struct listener;

/** A connection: a non-blocking descriptor that is the callee's, or -errno (the listener pauses).
 */
typedef void listener_accepted_fn(struct listener *listener, int32_t result);

struct listener {
    struct ring_op accept_op;
    int fd;
    bool is_unix;
    bool is_paused; /* out of descriptors: listener_resume() tries again */
    struct ring *ring;
    void *owner;
    listener_accepted_fn *accepted;
    /* ---- the owner's ---- */
    struct list_node link;
    uint32_t id;      /* of its endpoint */
    bool is_stopping; /* it ends when its accept has */
};

/**
 * Bind and listen on `address` ("127.0.0.1", "::1", "*", "::*"; a leading '-' is the caller's to
 * cut) with SO_REUSEPORT, so that each core has a socket of its own on the same port. Returns the
 * descriptor or -errno. *port: the one that is bound, also when 0 was asked for.
 */
MUST_CHECK int listener_bind_tcp(const char *address, int *port, int backlog);

/** Is some other server listening there? SO_REUSEPORT alone would let two servers share a port. 0,
 * or -EADDRINUSE, or what else keeps the address from being bound. */
MUST_CHECK int listener_probe_tcp(const char *address, int port);

/** The same for a path; a socket file that nobody listens on is replaced. `mode` 0: as umask says.
 */
MUST_CHECK int listener_bind_unix(const char *path, uint32_t mode, int backlog);

/** Take connections from `fd`, which the listener owns from now on. */
void listener_start(struct listener *listener, struct ring *ring, int fd, bool is_unix, void *owner,
                    listener_accepted_fn *accepted);
void listener_resume(struct listener *listener);
/** End it; its last call has -ECANCELED. */
void listener_stop(struct listener *listener);

/** Settings of an accepted TCP socket: no delay, keep-alive probes after `keepalive_s` (0: none).
 */
void socket_prepare(int fd, int64_t keepalive_s);

/** "127.0.0.1:6379", "[::1]:6379", or "/path:0" for both ends; and whether the peer is this
 * machine. */
struct socket_names {
    char peer[LISTENER_ADDRESS_SIZE];
    char local[LISTENER_ADDRESS_SIZE];
    bool is_peer_local;
};
void socket_describe(int fd, bool is_unix, const char *unix_path, struct socket_names *names);
