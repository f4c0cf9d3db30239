/*
 * endpoints.h: the TCP addresses that the server listens on, each with a socket for every core.
 * A set is made by one thread, at the start or while all shards are closed; the sockets in it are
 * then handed to the cores. Sets are compared to find what a new configuration adds and drops.
 */
#pragma once

#include "core/base.h"

struct log;

/** As many as the directive `bind` takes. */
#define ENDPOINTS_MAX 16
#define ENDPOINT_ADDRESS_SIZE 64

/** An address that is listened on. */
struct endpoint {
    char address[ENDPOINT_ADDRESS_SIZE];
    int port;
    /** Of its sockets on all cores; never used again for others. */
    uint32_t id;
    /** New sockets, by core, until they are handed over; NULL: the cores have them. */
    int *fds;
};

struct endpoints {
    struct endpoint items[ENDPOINTS_MAX];
    uint32_t count;
    uint32_t core_count;
    uint32_t id_last;
};

/** What is to be listened on. */
struct endpoints_wish {
    /** "127.0.0.1", "*", "::*" ...; behind a leading '-': may be missing on this machine. */
    char *const *addresses;
    uint32_t address_count;
    /** 0: no TCP at all. */
    int port;
    int backlog;
    uint32_t core_count;
};

/**
 * Make the set that fulfils `wish`, where `now` is what is listened on (zeroed: nothing). Addresses
 * of `now` keep their sockets, for all others new ones are bound. 0, or -errno: nothing was
 * changed, and the log says which address it was.
 */
MUST_CHECK int endpoints_open(struct endpoints *next, const struct endpoints *now,
                              const struct endpoints_wish *wish, struct log *log);

/** The socket of a core, which is the caller's from now on; -1: the core has it already. */
int endpoints_take(struct endpoints *endpoints, uint32_t index, uint32_t core);

/** Every core has taken its sockets, or (`is_closing`) nobody will: close those that are left. */
void endpoints_settle(struct endpoints *endpoints, bool is_closing);
