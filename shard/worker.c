/*
 * worker.c: what a core does in each step of its turn.
 *
 * Admission: whoever accepts a connection decides which core serves it, the one with the fewest,
 * and counts it there at once, so that even a handful of connections spreads evenly whatever the
 * kernel's hash of addresses says. The descriptor travels by mail.
 */
#include "shard/worker.h"

#include "core/heap.h"
#include "core/log.h"
#include "shard/aof.h"
#include "shard/block.h"
#include "shard/commandlog.h"
#include "shard/latency.h"
#include "shard/loader.h"
#include "shard/lock.h"
#include "shard/persistence.h"
#include "shard/router.h"
#include "shard/snapshot.h"
#include "shard/stats.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define TICK_MS 100
/** Keys looked at by one expiry call, so that a turn stays below a millisecond. */
#define EXPIRE_STEPS 256
#define EXPIRE_CALLS_MAX 8
#define COLLECT_STEPS 128

/** How long the end waits for the kernel to let go of connections, in all: a second. */
#define CLOSE_WAITS_MAX 200
#define CLOSE_WAIT_NS 5000000
/** And how long a look at the files takes when nothing happens. */
#define END_WAIT_NS 1000000

#define RING_ENTRY_COUNT 1024
#define RING_BUFFER_SIZE 16384
#define RING_BUFFER_COUNT 64
#define RING_BUFFER_COUNT_MAX 4096

/** An accepted connection on its way to its core. */
struct connection_mail {
    struct mail mail;
    int fd;
    bool is_unix;
    bool is_peer_local;
    struct socket_names names;
};

/* ---- admission ---- */

static void
refuse(int fd, const char *text)
{
    ssize_t rc = write(fd, text, strlen(text));
    (void)rc; /* the peer may be gone already */
    close(fd);
}

static uint32_t
least_loaded_core(const struct worker_setup *setup)
{
    uint32_t best = 0;
    uint32_t best_count = UINT32_MAX;
    for (uint32_t i = 0; i < setup->node->shard_count; i++) {
        uint32_t count =
            atomic_load_explicit(&setup->workers[i].connection_count, memory_order_relaxed);
        if (count < best_count) {
            best = i;
            best_count = count;
        }
    }
    return best;
}

static const char protected_mode_text[] =
    "-DENIED Redis is running in protected mode because protected mode is enabled and no "
    "password is set for the default user. In this mode connections are only accepted from the "
    "loopback interface. If you want to connect from external computers to Redis you may adopt "
    "one of the following solutions: 1) Just disable protected mode sending the command 'CONFIG "
    "SET protected-mode no' from the loopback interface by connecting to Redis from the same "
    "host the server is running, however MAKE SURE Redis is not publicly accessible from "
    "internet if you do so. Use CONFIG REWRITE to make this change permanent. 2) Alternatively "
    "you can just disable the protected mode by editing the Redis configuration file, and "
    "setting the protected mode option to 'no', and then restarting the server. 3) If you "
    "started the server manually just for testing, restart it with the '--protected-mode no' "
    "option. 4) Setup a an authentication password for the default user. NOTE: You only need to "
    "do one of the above things in order for the server to start accepting connections from the "
    "outside.\r\n";

static void
serve_connection(struct worker *worker, struct connection_mail *connection)
{
    struct shard *shard = &worker->shard;
    uint64_t id = atomic_fetch_add_explicit(&shard->node->session_id_next, 1, memory_order_relaxed);
    struct client *client = client_new(&worker->room, connection->fd, id);
    struct session *session = &client->session;
    if (connection->is_unix) {
        session->flags |= SESSION_UNIX_SOCKET;
    }
    session_addresses_set(session, connection->names.peer, connection->names.local);
    heap_free(connection);
}

static void
admit(struct worker *worker, int fd, bool is_unix)
{
    struct shard *shard = &worker->shard;
    const struct config *config = shard->config;
    struct connection_mail *connection = heap_alloc(sizeof(*connection));
    connection->fd = fd;
    connection->is_unix = is_unix;
    socket_describe(fd, is_unix, config->unixsocket, &connection->names);
    int64_t count =
        atomic_fetch_add_explicit(&shard->node->connection_count, 1, memory_order_relaxed);
    const char *refusal = NULL;
    if (count >= config->maxclients) {
        refusal = "-ERR max number of clients reached\r\n";
    } else if (config->protected_mode && !connection->names.is_peer_local) {
        refusal = protected_mode_text;
    }
    if (refusal != NULL) {
        atomic_fetch_sub_explicit(&shard->node->connection_count, 1, memory_order_relaxed);
        shard->counters.rejected_count++;
        refuse(fd, refusal);
        heap_free(connection);
        return;
    }
    if (!is_unix) {
        socket_prepare(fd, config->tcp_keepalive_s);
    }
    uint32_t core = least_loaded_core(worker->setup);
    atomic_fetch_add_explicit(&worker->setup->workers[core].connection_count, 1,
                              memory_order_relaxed);
    if (core == shard->index) {
        serve_connection(worker, connection);
        return;
    }
    connection->mail.kind = MAIL_CONNECTION;
    mail_post(worker->setup->exchange, shard->index, core, &connection->mail);
}

static void
worker_listener_end(struct listener *listener)
{
    list_remove(&listener->link);
    close(listener->fd);
    heap_free(listener);
}

static void
worker_accepted(struct listener *listener, int32_t result)
{
    struct worker *worker = listener->owner;
    if (result >= 0 && worker->reactor.is_stopping) {
        close(result);
    } else if (result >= 0) {
        admit(worker, result, listener->is_unix);
    } else if (listener->is_stopping) {
        worker_listener_end(listener);
    } else if (result != -ECANCELED) {
        log_write(worker->shard.node->log, LOG_WARNING_LEVEL, "Accepting client connection: %s",
                  strerror(-result));
    }
}

/* ---- listening elsewhere ---- */

static void
worker_listener_stop(struct listener *listener)
{
    if (listener->is_stopping) {
        return;
    }
    listener->is_stopping = true;
    /* The cancellation takes its time; nobody shall connect meanwhile. */
    (void)shutdown(listener->fd, SHUT_RDWR);
    if (listener->is_paused) {
        worker_listener_end(listener);
    } else {
        listener_stop(listener);
    }
}

static bool
listen_has(const struct worker_listen *listen, uint32_t id)
{
    for (uint32_t i = 0; i < listen->count; i++) {
        if (listen->places[i].id == id) {
            return true;
        }
    }
    return false;
}

static void
worker_listen_receive(struct worker *worker, struct worker_listen *listen)
{
    bool is_stopping = worker->reactor.is_stopping;
    for (struct list_node *node = list_first(&worker->listeners), *next = NULL;
         node != NULL && !is_stopping; node = next) {
        next = list_next(&worker->listeners, node);
        struct listener *listener = container_of(node, struct listener, link);
        if (!listener->is_unix && !listen_has(listen, listener->id)) {
            worker_listener_stop(listener);
        }
    }
    for (uint32_t i = 0; i < listen->count; i++) {
        const struct worker_listen_place *place = &listen->places[i];
        if (place->fd >= 0 && is_stopping) {
            close(place->fd);
        } else if (place->fd >= 0) {
            worker_listen(worker, place->id, place->fd, false);
        }
    }
    heap_free(listen);
}

void
worker_listen_change(struct worker *worker, uint32_t to, struct worker_listen *listen)
{
    if (to == worker->shard.index) {
        worker_listen_receive(worker, listen);
        return;
    }
    listen->mail.kind = MAIL_LISTEN;
    mail_post(worker->setup->exchange, worker->shard.index, to, &listen->mail);
}

void
shard_connection_ended(struct shard *shard)
{
    struct worker *worker = shard->core;
    atomic_fetch_sub_explicit(&worker->connection_count, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&shard->node->connection_count, 1, memory_order_relaxed);
}

/* ---- the steps of a turn ---- */

static void
worker_begin(void *owner)
{
    struct worker *worker = owner;
    struct shard *shard = &worker->shard;
    shard->now_ms = worker->reactor.now_ms;
    shard->now_ns = worker->reactor.now_ns;
    bool has_files_hurdle =
        atomic_load_explicit(&shard->node->is_loading, memory_order_acquire) ||
        atomic_load_explicit(&shard->node->write_refusal, memory_order_relaxed) != 0 ||
        shard->snapshot != NULL;
    shard_hurdle_set(shard, HURDLE_FILES, has_files_hurdle);
    shard->last_ticks = clock_ticks();
    shard->stats.is_latency_ignored = !shard->config->latency_tracking;
    commandlog_turn(shard);
    worker->reactor.gather_max_ns = (uint64_t)shard->config->turn_gather_us * 1000;
    worker->reactor.mail_poll_ns =
        worker->setup->is_oversubscribed ? 0 : (uint64_t)shard->config->mail_poll_us * 1000;
    stats_sample(shard);
}

/** Mail about files: what core 0 leads, or its part here. */
static void
worker_file_mail(struct shard *shard, struct mail *mail)
{
    if (mail->kind == MAIL_SNAPSHOT) {
        persistence_receive(shard->persistence, mail);
        return;
    }
    if (mail->kind == MAIL_LOADER) {
        loader_receive(shard, mail);
        return;
    }
    ASSERT(mail->kind == MAIL_AOF);
    struct aof_mail *aof_mail = container_of(mail, struct aof_mail, mail);
    if (aof_mail->kind == AOF_MAIL_OPEN || aof_mail->kind == AOF_MAIL_RESTART) {
        aof_receive(shard, aof_mail);
    } else if (aof_mail_is_marks(aof_mail)) {
        aof_mark_receive(shard, aof_mail);
    } else {
        persistence_receive(shard->persistence, mail);
    }
}

static void
worker_mail(void *owner, struct mail *mail)
{
    struct worker *worker = owner;
    if (router_receive(&worker->shard, mail)) {
        return;
    }
    if (mail->kind == MAIL_LISTEN) {
        worker_listen_receive(worker, container_of(mail, struct worker_listen, mail));
        return;
    }
    if (UNLIKELY(mail->kind != MAIL_CONNECTION)) {
        worker_file_mail(&worker->shard, mail);
        return;
    }
    struct connection_mail *connection = container_of(mail, struct connection_mail, mail);
    if (UNLIKELY(worker->reactor.is_stopping)) {
        close(connection->fd);
        shard_connection_ended(&worker->shard);
        heap_free(connection);
        return;
    }
    serve_connection(worker, connection);
}

static bool
worker_run_clients(void *owner)
{
    struct worker *worker = owner;
    worker->shard.last_ticks = clock_ticks();
    return client_room_run(&worker->room);
}

static void
worker_tick(struct worker *worker)
{
    struct shard *shard = &worker->shard;
    worker->next_tick_ms = shard->now_ms + TICK_MS;
    for (struct list_node *node = list_first(&worker->listeners); node != NULL;
         node = list_next(&worker->listeners, node)) {
        listener_resume(container_of(node, struct listener, link));
    }
    client_room_tick(&worker->room);
    client_room_evict(&worker->room);
    struct shard_counters *counters = &shard->counters;
    struct reactor *reactor = &worker->reactor;
    /* Added up, since CONFIG RESETSTAT begins anew. */
    counters->turn_count += reactor->turn_count - worker->counted_turn_count;
    counters->busy_ns += reactor->busy_ns - worker->counted_busy_ns;
    counters->idle_ns += reactor->idle_ns - worker->counted_idle_ns;
    counters->longest_turn_ns = MAX(counters->longest_turn_ns, reactor->longest_turn_ns);
    shard_tell(shard);
    if (shard->persistence != NULL) {
        persistence_tick(shard->persistence);
    }
    worker->counted_turn_count = reactor->turn_count;
    worker->counted_busy_ns = reactor->busy_ns;
    worker->counted_idle_ns = reactor->idle_ns;
    reactor->longest_turn_ns = 0;
}

/** A pause that has just ended lets everybody go on. */
static void
end_pause(struct worker *worker)
{
    struct shard *shard = &worker->shard;
    bool was_paused = worker->is_paused;
    worker->is_paused = shard->pause_until_ms > shard->now_ms;
    if (!worker->is_paused) {
        /* Also one that was over when it began: its time must not keep the core awake. */
        shard_pause_set(shard, 0);
    }
    if (was_paused && !worker->is_paused) {
        client_room_resume_all(&worker->room);
    }
}

static void
worker_expire(struct shard *shard)
{
    uint64_t start_ticks = clock_ticks();
    uint32_t step_count = 0;
    for (uint32_t i = 0; i < EXPIRE_CALLS_MAX; i++) {
        uint32_t count = shard_expire(shard, EXPIRE_STEPS);
        step_count += count;
        if (count < EXPIRE_STEPS || clock_monotonic_ns() - shard->now_ns > REACTOR_BACKGROUND_NS) {
            break;
        }
    }
    if (step_count > 0) {
        uint64_t spent_ns =
            clock_ticks_to_ns(&shard->node->clock_scale, clock_ticks() - start_ticks);
        shard->counters.expire_ns += spent_ns;
        latency_note(shard, LATENCY_EXPIRE_CYCLE, spent_ns / 1000000);
    }
}

static bool
worker_advance(void *owner)
{
    struct worker *worker = owner;
    struct shard *shard = &worker->shard;
    worker_expire(shard);
    block_advance(shard);
    /* The wall clock may have been set back. */
    if (shard->now_ms >= worker->next_tick_ms || worker->next_tick_ms > shard->now_ms + TICK_MS) {
        worker_tick(worker);
    }
    if (UNLIKELY(shard->pause_until_ms != 0 || worker->is_paused)) {
        end_pause(worker);
    }
    return !shard->is_expiry_paused && shard->clock_mask != 0 &&
           wheel_is_behind(&shard->keyspace.wheel);
}

static bool
worker_background(void *owner, uint64_t until_ns)
{
    struct worker *worker = owner;
    struct shard *shard = &worker->shard;
    bool has_more = UNLIKELY(shard->aof != NULL) && shard->aof->is_gathering;
    if (UNLIKELY(shard->loader != NULL)) {
        has_more = loader_step(shard, until_ns);
    }
    if (UNLIKELY(shard->snapshot != NULL)) {
        has_more |= snapshot_step(shard, until_ns);
    }
    if (LIKELY(shard->keyspace.garbage == NULL)) {
        return has_more;
    }
    bool is_done;
    /* What is freed goes back to the system step by step, not in one long call some turns later. */
    heap_purge_at_once(true);
    do {
        is_done = shard_collect(&worker->shard, COLLECT_STEPS);
    } while (!is_done && clock_monotonic_ns() < until_ns);
    heap_purge_at_once(false);
    return has_more || !is_done;
}

static void
worker_flush(void *owner)
{
    struct worker *worker = owner;
    if (UNLIKELY(worker->shard.aof != NULL)) {
        aof_flush(&worker->shard);
    }
    client_room_flush(&worker->room);
}

static uint32_t
worker_pending_count(void *owner)
{
    struct worker *worker = owner;
    return router_pending_count(&worker->shard);
}

static uint64_t
worker_work_count(void *owner)
{
    const struct worker *worker = owner;
    return worker->shard.counters.command_count;
}

static int64_t
worker_next_ms(void *owner)
{
    struct worker *worker = owner;
    struct shard *shard = &worker->shard;
    bool has_tick = shard->session_count > 0 || shard->aof != NULL || shard->snapshot != NULL ||
                    (shard->persistence != NULL && persistence_is_waiting(shard->persistence));
    for (struct list_node *node = list_first(&worker->listeners); node != NULL;
         node = list_next(&worker->listeners, node)) {
        has_tick |= container_of(node, struct listener, link)->is_paused;
    }
    int64_t next_ms = has_tick ? worker->next_tick_ms : INT64_MAX;
    if (!shard->is_expiry_paused && shard->clock_mask != 0) {
        next_ms = MIN(next_ms, wheel_next_ms(&shard->keyspace.wheel));
    }
    next_ms = MIN(next_ms, block_next_ms(shard));
    next_ms = MIN(next_ms, aof_next_ms(shard));
    if (UNLIKELY(shard->snapshot != NULL)) {
        next_ms = MIN(next_ms, snapshot_next_ms(shard));
    }
    if (shard->pause_until_ms != 0) {
        next_ms = MIN(next_ms, shard->pause_until_ms);
    }
    return next_ms;
}

static const struct reactor_ops worker_reactor_ops = {
    .begin = worker_begin,
    .mail = worker_mail,
    .run = worker_run_clients,
    .advance = worker_advance,
    .background = worker_background,
    .flush = worker_flush,
    .pending_count = worker_pending_count,
    .work_count = worker_work_count,
    .next_ms = worker_next_ms,
};

/* ---- the shard's ops ---- */

static void
ops_session_close(void *core, struct session *session, bool after_reply)
{
    (void)core;
    client_close(session, after_reply);
}

static void
ops_session_traffic(void *core, struct session *session, struct session_traffic *traffic)
{
    (void)core;
    client_traffic(session, traffic);
}

static void
ops_durable_advanced(void *core)
{
    struct worker *worker = core;
    client_room_release(&worker->room);
}

static void
ops_shutdown(void *core, uint32_t flags)
{
    struct worker *worker = core;
    worker->setup->stop(worker->setup->stop_context, flags);
}

static int
ops_config_apply(void *core, const struct config *old, const struct config *now, char *error,
                 size_t error_size)
{
    struct worker *worker = core;
    return worker->setup->config_apply(worker->setup->stop_context, worker, old, now, error,
                                       error_size);
}

/* ---- life ---- */

int
worker_create(struct worker *worker, const struct worker_setup *setup, uint32_t index,
              const struct config *config, int32_t cpu)
{
    static const enum ring_backend backends[] = {
        [CONFIG_IO_BACKEND_AUTO] = RING_AUTO,
        [CONFIG_IO_BACKEND_URING] = RING_IO_URING,
        [CONFIG_IO_BACKEND_EPOLL] = RING_EPOLL,
    };
    struct ring_options options = {
        .backend = backends[config->io_backend],
        .entry_count = RING_ENTRY_COUNT,
        .buffer_size = RING_BUFFER_SIZE,
        .buffer_count = RING_BUFFER_COUNT,
        .buffer_count_max = RING_BUFFER_COUNT_MAX,
        .faults = setup->faults,
    };
    int error = 0;
    worker->setup = setup;
    worker->ring = ring_new(&options, &error);
    if (worker->ring == NULL) {
        return error;
    }
    struct shard *shard = &worker->shard;
    shard_create(shard, setup->node, index, config, setup->exchange, &setup->seed);
    shard->cpu = cpu;
    shard->core = worker;
    shard->ring = worker->ring;
    shard->ops.session_close = ops_session_close;
    shard->ops.session_traffic = ops_session_traffic;
    shard->ops.shutdown = ops_shutdown;
    shard->ops.durable_advanced = ops_durable_advanced;
    shard->ops.config_apply = ops_config_apply;
    list_create(&worker->listeners);
    client_room_create(&worker->room, shard, worker->ring);
    worker->reactor = (struct reactor){
        .core = index,
        .ring = worker->ring,
        .exchange = setup->exchange,
        .ops = &worker_reactor_ops,
        .owner = worker,
    };
    return 0;
}

void
worker_listen(struct worker *worker, uint32_t id, int fd, bool is_unix)
{
    struct listener *listener = heap_alloc(sizeof(*listener));
    listener_start(listener, worker->ring, fd, is_unix, worker, worker_accepted);
    listener->id = id;
    list_push_back(&worker->listeners, &listener->link);
}

void
worker_run(struct worker *worker)
{
    worker->shard.memory_start_size = worker->shard.memory.used_size;
    if (worker->shard.persistence != NULL) {
        persistence_begin(worker->shard.persistence);
    }
    reactor_run(&worker->reactor);
}

/** Connections and listeners that have not ended. */
static uint32_t
worker_open_count(const struct worker *worker)
{
    uint32_t count = atomic_load_explicit(&worker->connection_count, memory_order_relaxed);
    return count + !list_is_empty(&worker->listeners);
}

void
worker_close(struct worker *worker)
{
    for (struct list_node *node = list_first(&worker->listeners), *next = NULL; node != NULL;
         node = next) {
        next = list_next(&worker->listeners, node);
        worker_listener_stop(container_of(node, struct listener, link));
    }
    client_room_close(&worker->room);
    if (worker->shard.persistence != NULL) {
        persistence_let_go(worker->shard.persistence);
    }
    for (uint32_t i = 0; i < CLOSE_WAITS_MAX && worker_open_count(worker) > 0; i++) {
        ring_wait(worker->ring, CLOSE_WAIT_NS);
    }
    mail_flush(worker->setup->exchange, worker->shard.index);
}

static void
settle_mail(void *context, struct mail *mail)
{
    worker_mail(context, mail);
}

uint32_t
worker_settle(struct worker *worker)
{
    struct exchange *exchange = worker->setup->exchange;
    uint32_t core = worker->shard.index;
    uint32_t count = mail_receive(exchange, core, UINT32_MAX, settle_mail, worker);
    mail_flush(exchange, core);
    return count + mail_is_waiting(exchange, core);
}

/** A turn of the end. Returns what there was to do. */
static uint32_t
end_turn(struct worker *worker)
{
    struct shard *shard = &worker->shard;
    if (shard->snapshot != NULL) {
        snapshot_abandon(shard);
    }
    ring_wait(worker->ring, END_WAIT_NS);
    shard->now_ms = clock_unix_ms();
    shard->now_ns = clock_monotonic_ns();
    if (shard->persistence != NULL) {
        persistence_tick_end(shard->persistence);
    }
    return worker_settle(worker);
}

uint32_t
worker_end_requests(struct worker *worker)
{
    struct shard *shard = &worker->shard;
    const struct durable *durable = &shard->durable;
    if (shard->aof != NULL && !shard->aof->is_closing) {
        aof_flush(shard);
    }
    uint32_t count = end_turn(worker);
    return count + durable->held.count + (router_pending_count(shard) > 0);
}

uint32_t
worker_end_files(struct worker *worker)
{
    struct shard *shard = &worker->shard;
    if (shard->aof != NULL && !shard->aof->is_closing) {
        aof_stop(shard);
    }
    uint32_t count = end_turn(worker);
    return count + (shard->aof != NULL) + (shard->snapshot != NULL) +
           (shard->persistence != NULL && persistence_is_working(shard->persistence));
}

void
worker_destroy(struct worker *worker)
{
    struct shard *shard = &worker->shard;
    if (shard->persistence != NULL) {
        persistence_delete(shard->persistence);
        shard->persistence = NULL;
    }
    ASSERT_SLOW(router_pending_count(shard) == 0);
    ASSERT_SLOW(lock_table_request_count(shard->locks) == 0);
    if (worker_open_count(worker) > 0 || shard->session_count > 0) {
        log_write(shard->node->log, LOG_WARNING_LEVEL,
                  "Core %u ends with %u connections that could not be closed", shard->index,
                  shard->session_count);
        return;
    }
    ring_delete(worker->ring);
#ifdef TESSERA_SLOW_ASSERTS
    /* Millions of keys take their time, and the process takes all with it. */
    shard_destroy(shard);
#endif
}
