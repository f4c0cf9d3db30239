/*
 * main.c: reads the configuration, lays out the cores, starts them, and stops them in reverse.
 */
#include "core/config.h"
#include "core/crash.h"
#include "core/heap.h"
#include "core/log.h"
#include "core/process.h"
#include "core/random.h"
#include "core/ring_fault.h"
#include "core/topology.h"
#include "net/endpoints.h"
#include "shard/command.h"
#include "shard/persistence.h"
#include "shard/router.h"
#include "shard/version.h"
#include "shard/worker.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <syslog.h>
#include <unistd.h>

/** Descriptors that are not clients': rings, listeners, files, log. */
#define DESCRIPTORS_RESERVED 32
#define DESCRIPTORS_FOR_EACH_CORE 8
/** A process that was killed is gone a moment before the kernel lets go of its ring's sockets:
 * whoever starts the next one at once finds the port still in use. */
#define LISTEN_RETRIES_MAX 4
#define LISTEN_RETRY_US 150000
/** How long the end waits for a disk that refuses the log. */
#define END_FILES_MS 10000

struct server {
    struct node node;
    struct topology topology;
    const struct config *config;
    struct exchange *exchange;
    struct worker_setup setup;
    struct worker *workers;
    pthread_t *threads;
    pthread_barrier_t created;   /* all workers have their rings and shards */
    pthread_barrier_t listening; /* all have their listeners */
    pthread_barrier_t running;   /* ready to accept: from now on the cores are on their own */
    pthread_barrier_t stopping;  /* all have taken the same step of the end */
    _Atomic uint32_t settled[3]; /* work of this round, of the last, and of the next, in turn */
    _Atomic int create_error;
    _Atomic bool is_stopping;
    bool has_failed;            /* the files could not be loaded */
    struct endpoints endpoints; /* changed while all shards are closed only */
    int unix_fd;
    struct process_title title; /* likewise */
    struct ring_op signal_op;
    struct signalfd_siginfo signal_info;
    int signal_fd;
};

struct server_thread {
    struct server *server;
    uint32_t index;
};

/* ---- stopping ---- */

static void
server_stop(void *context, uint32_t flags)
{
    struct server *server = context;
    if (atomic_exchange(&server->is_stopping, true)) {
        return;
    }
    server->has_failed = (flags & SHUTDOWN_FAILED) != 0;
    for (uint32_t i = 0; i < server->node.shard_count; i++) {
        server->workers[i].reactor.is_stopping = true;
        ring_wake(server->workers[i].ring);
    }
}

/** The options of SHUTDOWN that stand for a signal; `default` is none. */
static uint32_t
signal_flags(const struct config_list *words)
{
    uint32_t flags = 0;
    for (uint32_t i = 0; i < words->count; i++) {
        struct slice word = slice_of_string(words->items[i]);
        flags |= slice_is_word(word, "save") ? SHUTDOWN_SAVE : 0;
        flags |= slice_is_word(word, "nosave") ? SHUTDOWN_NOSAVE : 0;
        flags |= slice_is_word(word, "now") ? SHUTDOWN_NOW : 0;
        flags |= slice_is_word(word, "force") ? SHUTDOWN_FORCE : 0;
    }
    return flags;
}

static void
signal_received(struct ring_op *op, int32_t result)
{
    struct server *server = container_of(op, struct server, signal_op);
    if (result == (int32_t)sizeof(server->signal_info)) {
        bool is_int = server->signal_info.ssi_signo == SIGINT;
        log_write(server->node.log, LOG_WARNING_LEVEL, "Received %s scheduling shutdown...",
                  is_int ? "SIGINT" : "SIGTERM");
        const struct config *config = server->workers[0].shard.config;
        persistence_shutdown(
            server->workers[0].shard.persistence,
            signal_flags(is_int ? &config->shutdown_on_sigint : &config->shutdown_on_sigterm));
    }
    if (result == -ECANCELED) {
        return;
    }
    ring_read(server->workers[0].ring, &server->signal_op, server->signal_fd, &server->signal_info,
              sizeof(server->signal_info));
}

/* ---- configuration at work ---- */

static enum log_level
log_level_of(const struct config *config)
{
    static const enum log_level levels[] = {
        [CONFIG_LOGLEVEL_DEBUG] = LOG_DEBUG_LEVEL,
        [CONFIG_LOGLEVEL_VERBOSE] = LOG_VERBOSE_LEVEL,
        [CONFIG_LOGLEVEL_NOTICE] = LOG_NOTICE_LEVEL,
        [CONFIG_LOGLEVEL_WARNING] = LOG_WARNING_LEVEL,
    };
    return levels[config->loglevel];
}

/** Descriptors that are not clients'. */
static uint64_t
descriptors_reserved(const struct server *server)
{
    return DESCRIPTORS_RESERVED + (uint64_t)server->node.shard_count * DESCRIPTORS_FOR_EACH_CORE;
}

static void
raise_descriptor_limit(const struct server *server, struct config *config)
{
    uint64_t reserved = descriptors_reserved(server);
    uint64_t wanted = (uint64_t)config->maxclients + reserved;
    uint64_t possible;
    if (process_descriptor_limit_raise(wanted, &possible) >= wanted) {
        return;
    }
    uint64_t limit = process_descriptor_limit_raise(possible, &possible);
    if (limit <= reserved) {
        log_write(server->node.log, LOG_WARNING_LEVEL,
                  "The limit of open files (%llu) leaves no room for clients: raise it with "
                  "'ulimit -n'.",
                  (unsigned long long)limit);
        exit(1);
    }
    if (limit < wanted) {
        config->maxclients = (int64_t)(limit - reserved);
        log_write(server->node.log, LOG_WARNING_LEVEL,
                  "maxclients has been reduced to %lld to compensate for low ulimit.",
                  (long long)config->maxclients);
    }
}

/* ---- listening ---- */

static int
server_endpoints_open(struct server *server, const struct config *config, struct endpoints *next)
{
    struct endpoints_wish wish = {
        .addresses = config->bind.items,
        .address_count = config->bind.count,
        .port = (int)config->port,
        .backlog = (int)config->tcp_backlog,
        .core_count = server->node.shard_count,
    };
    return endpoints_open(next, &server->endpoints, &wish, server->node.log);
}

static int
server_listen(struct server *server)
{
    const struct config *config = server->config;
    struct log *log = server->node.log;
    server->unix_fd = -1;
    struct endpoints endpoints;
    int rc = server_endpoints_open(server, config, &endpoints);
    for (uint32_t i = 0; rc == -EADDRINUSE && i < LISTEN_RETRIES_MAX; i++) {
        usleep(LISTEN_RETRY_US);
        rc = server_endpoints_open(server, config, &endpoints);
    }
    if (rc < 0) {
        log_write(log, LOG_WARNING_LEVEL, "Failed listening on port %d (TCP), aborting.",
                  (int)config->port);
        return rc;
    }
    server->endpoints = endpoints;
    server->node.tcp_port = (int32_t)config->port;
    if (config->unixsocket[0] != '\0') {
        server->unix_fd = listener_bind_unix(config->unixsocket, (uint32_t)config->unixsocketperm,
                                             (int)config->tcp_backlog);
        if (server->unix_fd < 0) {
            log_write(log, LOG_WARNING_LEVEL, "Failed opening Unix socket: bind: %s",
                      strerror(-server->unix_fd));
            return server->unix_fd;
        }
    }
    if (endpoints.count == 0 && server->unix_fd < 0) {
        log_write(log, LOG_WARNING_LEVEL, "Configured to not listen anywhere, exiting.");
        return -EINVAL;
    }
    return 0;
}

/** All cores listen on `next` from now on, and on nothing else. */
static void
server_listen_change(struct server *server, struct worker *caller, struct endpoints *next)
{
    for (uint32_t core = 0; core < server->node.shard_count; core++) {
        struct worker_listen *listen =
            heap_alloc(sizeof(*listen) + next->count * sizeof(listen->places[0]));
        listen->count = next->count;
        for (uint32_t i = 0; i < next->count; i++) {
            listen->places[i] = (struct worker_listen_place){
                .id = next->items[i].id,
                .fd = endpoints_take(next, i, core),
            };
        }
        worker_listen_change(caller, core, listen);
    }
    endpoints_settle(next, false);
    server->endpoints = *next;
}

/* ---- a new configuration ---- */

/** The process list shows what the configuration says. */
static void
server_title_set(struct server *server, const struct config *config)
{
    if (!config->set_proc_title) {
        return;
    }
    const char *address = config->bind.count > 0 ? config->bind.items[0] : "*";
    char listen[512];
    if (config->port != 0) {
        snprintf(listen, sizeof(listen), "%s:%d", address[0] == '\0' ? "*" : address,
                 (int)config->port);
    } else {
        snprintf(listen, sizeof(listen), "unixsocket:%s", config->unixsocket);
    }
    char port[16];
    char tls_port[16];
    snprintf(port, sizeof(port), "%d", (int)config->port);
    snprintf(tls_port, sizeof(tls_port), "%d", (int)config->tls_port);
    const struct process_title_variable variables[] = {
        {"title", server->title.program},
        {"listen-addr", listen},
        {"server-mode", config->cluster_enabled ? "[cluster]" : ""},
        {"port", port},
        {"tls-port", tls_port},
        {"unixsocket", config->unixsocket},
        {"config-file", config->file_path == NULL ? "-" : config->file_path},
    };
    char text[4096];
    if (process_title_expand(config->proc_title_template, variables, ARRAY_COUNT(variables), text,
                             sizeof(text))) {
        process_title_set(&server->title, text);
    }
}

/** Room for so many clients? Else why not, in `error`. */
static int
server_clients_allow(const struct server *server, const struct config *config, char *error,
                     size_t error_size)
{
    uint64_t reserved = descriptors_reserved(server);
    uint64_t wanted = (uint64_t)config->maxclients + reserved;
    uint64_t possible;
    if (process_descriptor_limit_raise(wanted, &possible) >= wanted) {
        return 0;
    }
    char why[160];
    snprintf(why, sizeof(why),
             "The operating system is not able to handle the specified number of clients, try "
             "with %lld",
             (long long)(possible - MIN(reserved, possible)));
    config_set_error(error, error_size, SLICE("maxclients"), why);
    return -EMFILE;
}

/** What can fail of a change comes first, and the new sockets before all: they are closed again. */
static int
server_config_apply(void *context, struct worker *caller, const struct config *old,
                    const struct config *now, char *error, size_t error_size)
{
    struct server *server = context;
    bool has_other_bind = config_differs(old, now, "bind");
    bool has_other_port = config_differs(old, now, "port");
    struct endpoints next = server->endpoints;
    if (has_other_bind || has_other_port) {
        int rc = server_endpoints_open(server, now, &next);
        if (rc < 0) {
            config_set_error(error, error_size, has_other_bind ? SLICE("bind") : SLICE("port"),
                             has_other_bind ? "Failed to bind to specified addresses."
                                            : "Unable to listen on this port. Check server logs.");
            return rc;
        }
    }
    int rc = 0;
    if (now->maxclients > old->maxclients) {
        rc = server_clients_allow(server, now, error, error_size);
    }
    /* Also where it stays the same: a folder that was deleted and made again is another one. */
    if (rc == 0 && chdir(now->dir) < 0 && config_differs(old, now, "dir")) {
        rc = -errno;
        config_set_error(error, error_size, SLICE("dir"), strerror(-rc));
    }
    if (rc < 0) {
        endpoints_settle(&next, true);
        return rc;
    }
    if (has_other_bind || has_other_port) {
        server_listen_change(server, caller, &next);
        server->node.tcp_port = (int32_t)now->port;
    }
    log_level_set(server->node.log, log_level_of(now));
    crash_report_set(now->crash_log_enabled);
    server_title_set(server, now);
    return 0;
}

/* ---- cores ---- */

static void
thread_listen(struct server *server, struct worker *worker, uint32_t index)
{
    for (uint32_t i = 0; i < server->endpoints.count; i++) {
        worker_listen(worker, server->endpoints.items[i].id,
                      endpoints_take(&server->endpoints, i, index), false);
    }
    if (index == 0 && server->unix_fd >= 0) {
        worker_listen(worker, 0, server->unix_fd, true);
    }
    if (index == 0) {
        worker->shard.persistence = persistence_new(&worker->shard);
        ring_read(worker->ring, &server->signal_op, server->signal_fd, &server->signal_info,
                  sizeof(server->signal_info));
    }
}

typedef uint32_t end_fn(struct worker *worker);

/** Rounds until nobody has anything to do; a disk that does not take the logs has its time, then
 * the process ends without. */
static void
thread_end_rounds(struct server *server, struct worker *worker, uint32_t index, end_fn *end)
{
    /* One that has failed to begin its files has nothing to write to them. */
    int64_t deadline_ms = clock_unix_ms() + (server->has_failed ? 0 : END_FILES_MS);
    for (uint32_t round = 0;; round++) {
        if (index == 0) {
            atomic_store(&server->settled[(round + 1) % 3], 0);
        }
        if (round == 0) {
            pthread_barrier_wait(&server->stopping);
            if (index == 0) {
                atomic_store(&server->settled[0], 0);
            }
            pthread_barrier_wait(&server->stopping);
        }
        atomic_fetch_add(&server->settled[round % 3], end(worker));
        if (index == 0 && clock_unix_ms() > deadline_ms) {
            log_write(server->node.log, LOG_WARNING_LEVEL,
                      "The append only file could not be written to its end: exiting all the same, "
                      "answers that waited for it have not been given.");
            _exit(1);
        }
        pthread_barrier_wait(&server->stopping);
        if (atomic_load(&server->settled[round % 3]) == 0) {
            break;
        }
    }
}

/**
 * The end of a core, in step with all others. Requests under way run on until no mail is left
 * anywhere: a round in which nobody had any mail is the last, since mail comes from mail alone.
 */
static void
thread_end(struct server *server, struct worker *worker, uint32_t index)
{
    if (index == 0) {
        if (server->signal_op.is_active) {
            ring_cancel(worker->ring, &server->signal_op);
        }
        while (server->signal_op.is_active) {
            ring_wait(worker->ring, 1000000);
        }
    }
    worker_close(worker);
    pthread_barrier_wait(&server->stopping);
    for (uint32_t round = 0;; round++) {
        if (index == 0) {
            /* Nobody looks at the next round's any more, nor adds to it yet. */
            atomic_store(&server->settled[(round + 1) % 3], 0);
        }
        atomic_fetch_add(&server->settled[round % 3], worker_settle(worker));
        pthread_barrier_wait(&server->stopping);
        if (atomic_load(&server->settled[round % 3]) == 0) {
            break;
        }
    }
    thread_end_rounds(server, worker, index, worker_end_requests);
    thread_end_rounds(server, worker, index, worker_end_files);
    worker_destroy(worker);
}

static void *
thread_main(void *argument)
{
    struct server_thread *thread = argument;
    struct server *server = thread->server;
    uint32_t index = thread->index;
    struct worker *worker = &server->workers[index];
    char name[16];
    snprintf(name, sizeof(name), "core-%u", index);
    (void)prctl(PR_SET_NAME, name);
    /* Sleeps of some microseconds: the usual slack is 50. */
    (void)prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
    int32_t cpu = -1;
    if (server->topology.pinned && topology_pin(server->topology.cpus[index]) == 0) {
        cpu = server->topology.cpus[index];
    }
    int rc = worker_create(worker, &server->setup, index, server->config, cpu);
    if (rc < 0) {
        atomic_store(&server->create_error, rc);
    }
    pthread_barrier_wait(&server->created);
    if (atomic_load(&server->create_error) == 0) {
        thread_listen(server, worker, index);
        pthread_barrier_wait(&server->listening);
        pthread_barrier_wait(&server->running);
        worker_run(worker);
        thread_end(server, worker, index);
    }
    heap_free(thread);
    return NULL;
}

static void
wake_core(void *context, uint32_t core)
{
    struct server *server = context;
    ring_wake(server->workers[core].ring);
}

static int
server_start_threads(struct server *server)
{
    uint32_t count = server->node.shard_count;
    pthread_barrier_init(&server->created, NULL, count + 1);
    pthread_barrier_init(&server->listening, NULL, count + 1);
    pthread_barrier_init(&server->running, NULL, count + 1);
    pthread_barrier_init(&server->stopping, NULL, count);
    server->threads = heap_alloc(count * sizeof(pthread_t));
    for (uint32_t i = 0; i < count; i++) {
        struct server_thread *thread = heap_alloc(sizeof(*thread));
        *thread = (struct server_thread){.server = server, .index = i};
        int rc = pthread_create(&server->threads[i], NULL, thread_main, thread);
        if (rc != 0) {
            log_write(server->node.log, LOG_WARNING_LEVEL, "Cannot start core %u: %s", i,
                      strerror(rc));
            exit(1);
        }
    }
    pthread_barrier_wait(&server->created);
    int rc = atomic_load(&server->create_error);
    if (rc < 0) {
        log_write(server->node.log, LOG_WARNING_LEVEL, "Cannot start the I/O back end: %s",
                  strerror(-rc));
        return rc;
    }
    server->node.io_name = ring_backend_name(server->workers[0].ring);
    server->node.io_reason = ring_reason(server->workers[0].ring);
    return 0;
}

/* ---- the process ---- */

static void
node_create(struct node *node, const struct topology *topology, struct log *log)
{
    struct random random;
    random_create(&random, random_system_seed());
    memset(node, 0, sizeof(*node));
    node->shard_count = topology->shard_count;
    node->commands = command_table_new();
    node->log = log;
    random_hex(&random, node->run_id, 40);
    node->start_ms = clock_unix_ms();
    clock_scale_create(&node->clock_scale);
    node->boot_id = process_boot_id();
    process_executable(node->executable, sizeof(node->executable));
    for (uint32_t slot = 0; slot < SLOT_COUNT; slot++) {
        node->slot_owner[slot] = (uint16_t)((uint64_t)slot * topology->shard_count / SLOT_COUNT);
    }
    atomic_init(&node->is_loading, true); /* until persistence_begin() has come to its end */
    atomic_init(&node->ticket_next, 1);
    atomic_init(&node->session_id_next, 1);
}

static void
block_signals(struct server *server)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* EFBIG instead */
    server->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

/** "" = none. */
static const char *
pid_file_path(const struct config *config)
{
    bool is_default = config->pidfile[0] == '\0' && config->daemonize;
    return is_default ? "/var/run/tessera.pid" : config->pidfile;
}

static void
write_pid_file(const struct server *server)
{
    const char *path = pid_file_path(server->config);
    if (path[0] == '\0') {
        return;
    }
    FILE *file = fopen(path, "w");
    if (file == NULL) {
        log_write(server->node.log, LOG_WARNING_LEVEL, "Cannot write the pid file %s: %s", path,
                  strerror(errno));
        return;
    }
    fprintf(file, "%d\n", (int)getpid());
    fclose(file);
}

static void
log_start(const struct server *server)
{
    struct log *log = server->node.log;
    log_write(log, LOG_NOTICE_LEVEL, "Tessera version=%s, bits=%d, pid=%d, just started",
              TESSERA_VERSION, (int)sizeof(void *) * 8, (int)getpid());
    log_write(log, LOG_NOTICE_LEVEL, "Cores: %s", server->topology.reason);
    log_write(log, LOG_NOTICE_LEVEL, "I/O back end: %s", server->node.io_reason);
}

static void
log_ready(const struct server *server)
{
    struct log *log = server->node.log;
    log_write(log, LOG_NOTICE_LEVEL, "Server initialized");
    if (server->node.tcp_port != 0) {
        log_write(log, LOG_NOTICE_LEVEL, "Listening on port %d", server->node.tcp_port);
    }
    if (server->unix_fd >= 0) {
        log_write(log, LOG_NOTICE_LEVEL, "The server is now ready to accept connections at %s",
                  server->config->unixsocket);
    }
}

static int
server_run(struct server *server)
{
    if (server_listen(server) < 0) {
        return 1;
    }
    int rc = server_start_threads(server);
    if (rc < 0) {
        return 1;
    }
    log_start(server);
    write_pid_file(server);
    pthread_barrier_wait(&server->listening);
    endpoints_settle(&server->endpoints, false);
    server_title_set(server, server->config);
    log_ready(server);
    pthread_barrier_wait(&server->running);
    for (uint32_t i = 0; i < server->node.shard_count; i++) {
        pthread_join(server->threads[i], NULL);
    }
    /* CONFIG SET has put others in the place of the one that it began with. */
    server->config = server->workers[0].shard.config;
    if (server->config->unixsocket[0] != '\0') {
        (void)unlink(server->config->unixsocket);
    }
    if (pid_file_path(server->config)[0] != '\0') {
        (void)unlink(pid_file_path(server->config));
    }
    log_write(server->node.log, LOG_WARNING_LEVEL, "Tessera is now ready to exit, bye bye...");
    return server->has_failed ? 1 : 0;
}

/** Nothing runs any more. */
static void
server_destroy(struct server *server)
{
    pthread_barrier_destroy(&server->created);
    pthread_barrier_destroy(&server->listening);
    pthread_barrier_destroy(&server->running);
    pthread_barrier_destroy(&server->stopping);
    close(server->signal_fd);
    struct log *log = server->node.log;
    command_table_delete((struct command_table *)server->node.commands);
    exchange_delete(server->exchange);
    ring_faults_delete(server->setup.faults);
    config_delete((struct config *)server->config);
    heap_free(server->threads);
    heap_free(server->node.shards);
    free(server->workers);
    free(server);
    log_delete(log);
}

static void
server_create(struct server *server, struct config *config, struct log *log)
{
    server->config = config;
    struct topology_input input = {0};
    int rc = topology_read(&input);
    if (rc < 0) {
        log_write(log, LOG_WARNING_LEVEL, "Cannot read the CPU affinity: %s", strerror(-rc));
    }
    topology_plan(&server->topology, (uint32_t)config->shards, &input);
    node_create(&server->node, &server->topology, log);
    uint32_t count = server->node.shard_count;
    raise_descriptor_limit(server, config);
    size_t size =
        (count * sizeof(struct worker) + CACHE_LINE_SIZE - 1) / CACHE_LINE_SIZE * CACHE_LINE_SIZE;
    server->workers = aligned_alloc(CACHE_LINE_SIZE, size);
    ASSERT(server->workers != NULL);
    memset(server->workers, 0, size);
    server->node.shards = heap_alloc(count * sizeof(struct shard *));
    for (uint32_t i = 0; i < count; i++) {
        server->node.shards[i] = &server->workers[i].shard;
    }
    server->exchange = exchange_new(count);
    exchange_wake_set(server->exchange, wake_core, server);
    server->signal_op.done = signal_received;
    struct random random;
    random_create(&random, random_system_seed());
    server->setup = (struct worker_setup){
#ifdef TESSERA_SLOW_ASSERTS
        .faults = ring_faults_new(),
#endif
        .node = &server->node,
        .exchange = server->exchange,
        .workers = server->workers,
        .seed = {.hash_seed = random_next(&random),
                 .random_seed = random_next(&random),
                 .now_ms = clock_unix_ms()},
        .is_pinned = server->topology.pinned,
        .is_oversubscribed = server->topology.oversubscribed,
        .stop = server_stop,
        .stop_context = server,
        .config_apply = server_config_apply,
    };
}

/** Exit code of a run that ends here, or -1: go on. */
static int
read_configuration(struct config *config, int argc, char **argv)
{
    char error[8192];
    int rc = config_load(config, argc, argv, error, sizeof(error));
    if (rc == CONFIG_REQUEST_VERSION) {
        printf("Tessera server v=%s bits=%d\n", TESSERA_VERSION, (int)sizeof(void *) * 8);
        return 0;
    }
    if (rc == CONFIG_REQUEST_HELP) {
        printf("Usage: tessera-server [/path/to/tessera.conf] [--directive value ...]\n"
               "       tessera-server --version\n"
               "Examples:\n"
               "       tessera-server --port 7000 --shards 2\n"
               "       tessera-server my.conf --loglevel verbose\n");
        return 0;
    }
    if (rc < 0) {
        fprintf(stderr, "%s\n", error);
        return 1;
    }
    return -1;
}

int
main(int argc, char **argv)
{
    struct config *config = config_new();
    int rc = read_configuration(config, argc, argv);
    if (rc >= 0) {
        config_delete(config);
        return rc;
    }
    struct log *log = log_new();
    log_level_set(log, log_level_of(config));
    if (config->dir[0] != '\0' && chdir(config->dir) < 0) {
        fprintf(stderr, "Can't chdir to '%s': %s\n", config->dir, strerror(errno));
        return 1;
    }
    if (config->logfile[0] != '\0' && (rc = log_open(log, config->logfile)) < 0) {
        fprintf(stderr, "Can't open the log file %s: %s\n", config->logfile, strerror(-rc));
        return 1;
    }
    if (config->syslog_enabled) {
        log_syslog(log, config->syslog_ident, config->syslog_facility);
    }
    if (config->daemonize && daemon(1, 0) < 0) {
        fprintf(stderr, "Cannot daemonize: %s\n", strerror(errno));
        return 1;
    }
    struct server *server = aligned_alloc(CACHE_LINE_SIZE, (sizeof(*server) + CACHE_LINE_SIZE - 1) /
                                                               CACHE_LINE_SIZE * CACHE_LINE_SIZE);
    ASSERT(server != NULL);
    memset(server, 0, sizeof(*server));
    block_signals(server);
    crash_report_set(config->crash_log_enabled);
    if (config->disable_thp) {
        (void)prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
    }
    if (config->set_proc_title) {
        process_title_create(&server->title, argc, argv);
    }
    server_create(server, config, log);
    rc = server_run(server);
    if (rc == 0) {
        server_destroy(server);
    }
    return rc;
}
