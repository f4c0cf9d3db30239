/*
 * endpoints.c: from the words of `bind` to sockets, and from one set of addresses to the next.
 *
 *     now    127.0.0.1:7000 #1    [::1]:7000 #2
 *     wish   127.0.0.1:7000                        192.0.2.2:7000
 *     next   127.0.0.1:7000 #1                     192.0.2.2:7000 #3 [fd of core 0, of core 1 ...]
 *
 * What stays keeps its sockets: to bind it again would reset the connections that wait in the old
 * sockets' queues. What is new is bound for every core before anything is closed, so a set that
 * cannot be had changes nothing.
 *
 * SO_REUSEPORT, which gives each core a socket of its own, would also let a second server share the
 * port. So each new address is first bound once without it. That fails where our own sockets
 * overlap it (127.0.0.1 while we listen on all addresses): there the port is ours already, and the
 * look is left out.
 *
 * Not "close, bind, and bind the old ones again after an error", which has moments without any
 * listener and can fail on its way back.
 */
#include "net/endpoints.h"

#include "core/heap.h"
#include "core/log.h"
#include "net/listener.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool
address_is_wildcard(const char *address)
{
    return strcmp(address, "*") == 0 || strcmp(address, "::*") == 0 ||
           strcmp(address, "0.0.0.0") == 0 || strcmp(address, "::") == 0;
}

/** Could both not be bound by different servers? */
static bool
address_overlaps(const struct endpoint *endpoint, const char *address, int port)
{
    bool is_v6 = strchr(endpoint->address, ':') != NULL;
    if (endpoint->port != port || is_v6 != (strchr(address, ':') != NULL)) {
        return false;
    }
    return address_is_wildcard(endpoint->address) || address_is_wildcard(address) ||
           strcmp(endpoint->address, address) == 0;
}

static const struct endpoint *
endpoints_find_overlap(const struct endpoints *endpoints, const char *address, int port)
{
    for (uint32_t i = 0; i < endpoints->count; i++) {
        if (address_overlaps(&endpoints->items[i], address, port)) {
            return &endpoints->items[i];
        }
    }
    return NULL;
}

/** The address whose sockets can be kept; NULL: there are none. */
static const struct endpoint *
endpoints_find_same(const struct endpoints *endpoints, const char *address, int port)
{
    for (uint32_t i = 0; i < endpoints->count; i++) {
        const struct endpoint *endpoint = &endpoints->items[i];
        if (endpoint->port == port && strcmp(endpoint->address, address) == 0) {
            return endpoint;
        }
    }
    return NULL;
}

static int
endpoint_bind(struct endpoint *endpoint, int backlog, uint32_t core_count)
{
    endpoint->fds = heap_alloc(core_count * sizeof(int));
    int rc = 0;
    uint32_t count = 0;
    while (count < core_count && rc >= 0) {
        int port = endpoint->port;
        rc = listener_bind_tcp(endpoint->address, &port, backlog);
        if (rc >= 0) {
            endpoint->fds[count++] = rc;
        }
    }
    if (rc >= 0) {
        return 0;
    }
    while (count > 0) {
        close(endpoint->fds[--count]);
    }
    heap_free(endpoint->fds);
    endpoint->fds = NULL;
    return rc;
}

static int
endpoints_add(struct endpoints *next, const struct endpoints *now, const char *address,
              const struct endpoints_wish *wish)
{
    ASSERT(next->count < ENDPOINTS_MAX);
    if (strlen(address) >= ENDPOINT_ADDRESS_SIZE) {
        return -EADDRNOTAVAIL;
    }
    if (endpoints_find_overlap(next, address, wish->port) != NULL) {
        return -EADDRINUSE;
    }
    const struct endpoint *same = endpoints_find_same(now, address, wish->port);
    struct endpoint *endpoint = &next->items[next->count];
    if (same != NULL) {
        *endpoint = *same;
        endpoint->fds = NULL;
        next->count++;
        return 0;
    }
    *endpoint = (struct endpoint){.port = wish->port};
    snprintf(endpoint->address, sizeof(endpoint->address), "%s", address);
    int rc = 0;
    if (endpoints_find_overlap(now, address, wish->port) == NULL) {
        rc = listener_probe_tcp(address, wish->port);
    }
    if (rc >= 0) {
        rc = endpoint_bind(endpoint, wish->backlog, wish->core_count);
    }
    if (rc >= 0) {
        endpoint->id = ++next->id_last;
        next->count++;
    }
    return rc;
}

int
endpoints_open(struct endpoints *next, const struct endpoints *now,
               const struct endpoints_wish *wish, struct log *log)
{
    *next = (struct endpoints){.core_count = wish->core_count, .id_last = now->id_last};
    uint32_t count = wish->port == 0 ? 0 : wish->address_count;
    for (uint32_t i = 0; i < count; i++) {
        const char *address = wish->addresses[i];
        bool is_optional = address[0] == '-';
        address += is_optional;
        if (address[0] == '\0') {
            continue; /* an empty word is no address: so `bind ""` listens nowhere */
        }
        int rc = endpoints_add(next, now, address, wish);
        if (rc >= 0) {
            continue;
        }
        log_write(log, LOG_WARNING_LEVEL,
                  "Warning: Could not create server TCP listening socket %s:%d: bind: %s", address,
                  wish->port, strerror(-rc));
        if (is_optional &&
            (rc == -EADDRNOTAVAIL || rc == -EAFNOSUPPORT || rc == -EPROTONOSUPPORT)) {
            continue;
        }
        endpoints_settle(next, true);
        return rc;
    }
    return 0;
}

int
endpoints_take(struct endpoints *endpoints, uint32_t index, uint32_t core)
{
    ASSERT(index < endpoints->count);
    ASSERT(core < endpoints->core_count);
    struct endpoint *endpoint = &endpoints->items[index];
    if (endpoint->fds == NULL) {
        return -1;
    }
    int fd = endpoint->fds[core];
    endpoint->fds[core] = -1;
    return fd;
}

void
endpoints_settle(struct endpoints *endpoints, bool is_closing)
{
    for (uint32_t i = 0; i < endpoints->count; i++) {
        struct endpoint *endpoint = &endpoints->items[i];
        for (uint32_t core = 0; endpoint->fds != NULL && core < endpoints->core_count; core++) {
            ASSERT(is_closing || endpoint->fds[core] < 0);
            if (endpoint->fds[core] >= 0) {
                close(endpoint->fds[core]);
            }
        }
        heap_free(endpoint->fds);
        endpoint->fds = NULL;
    }
}
