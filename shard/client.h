/*
 * client.h: a connection with its session and its lane: where requests leave the wire and enter the
 * router. Everything happens on the core that holds the connection.
 */
#pragma once

#include "net/conn.h"
#include "shard/lane.h"
#include "shard/request.h"
#include "shard/session.h"

/** Requests of one connection that are parsed and prefetched before the first of them runs. */
#define CLIENT_BATCH_MAX 32
/** Requests of one connection in one turn; then the others have theirs. */
#define CLIENT_TURN_MAX 256
#define CLIENT_ARGUMENTS_MAX 512

struct client;
struct client_postponed;

/** The clients of one core. */
struct client_room {
    struct shard *shard;
    struct ring *ring;
    struct list ready; /* have something to do in this turn */
    struct list dirty; /* have something to send at its end */
    struct list held;  /* have answers that wait for the disk (shard/durable.h) */
    uint32_t ready_count;
    int64_t told_memory_size; /* of these clients, in node->client_memory_size */
    /** Pinned for the batch that is being run. */
    struct request requests[CLIENT_BATCH_MAX];
    struct conn_position positions[CLIENT_BATCH_MAX];
    void *memories[CLIENT_BATCH_MAX];
    struct slice storage[CLIENT_ARGUMENTS_MAX];
};

struct client {
    struct conn conn;
    struct session session;
    struct lane lane;
    struct client_room *room;
    struct list_node ready_link;
    struct list_node held_link;
    uint64_t held_mark;      /* what lies behind conn.send_limit waits for; 0: nothing does */
    uint64_t next_held_mark; /* and what lies behind next_held_size; 0: nothing */
    uint64_t next_held_size;
    struct raw *large_raw; /* a large argument being received or parsed, in nobody's account */
    struct client_postponed *postponed; /* a request with a large argument that may not start yet */
    int64_t soft_limit_since_ms;        /* output above its soft limit since then; 0: it is not */
    uint64_t counted_input_size; /* of the connection's bytes, in the core's counters already */
    uint64_t counted_output_size;
    uint64_t
        tick_moved_size; /* bytes in and out at the last tick: it is not idle while they move */
    bool is_close_wanted;
    bool is_conn_closed;
    bool has_error_pending; /* a protocol error waits to be answered behind earlier replies */
};

void client_room_create(struct client_room *room, struct shard *shard, struct ring *ring);

/** Serve a connected socket, which the client owns from now on. */
struct client *client_new(struct client_room *room, int fd, uint64_t id);

static inline struct client *
client_of_session(struct session *session)
{
    return container_of(session, struct client, session);
}

/** Run what the ready clients have to do, each within its budget. True: some have more. */
bool client_room_run(struct client_room *room);
/** Start the sends of all clients with new output. */
void client_room_flush(struct client_room *room);
/** Close all connections, at once. Their requests under way run on. */
void client_room_close(struct client_room *room);

/** Some ten times a second: timeouts, soft limits, memory of idle connections. Bounded work. */
void client_room_tick(struct client_room *room);
/** Some ten times a second: close the largest clients while all take more than maxmemory-clients.
 * client_evict.c */
void client_room_evict(struct client_room *room);
/** More has become safe: let those answers go. */
void client_room_release(struct client_room *room);
/** Look at all clients again, since a pause may be over. */
void client_room_resume_all(struct client_room *room);

/** A connection of this core is closed: take it off the counts. The worker's. */
void shard_connection_ended(struct shard *shard);

/** The shard's ops. */
void client_close(struct session *session, bool after_reply);
void client_traffic(struct session *session, struct session_traffic *traffic);
