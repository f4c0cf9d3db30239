#include "core/heap.h"
#include "core/random.h"
#include "net/conn.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/*
 * A connection over a socket pair on a real ring. Its owner does at random what the real one may
 * do: it parses batches, goes back to a request that may not start, stops for a while and parks
 * what waits, keeps buffers that arguments lie in, gives large arguments memory of their own or
 * not.
 */

#define REQUESTS 120
#define ARGUMENTS_MAX 5
#define HELD_MAX 16
#define TURNS_MAX 200000

/** Every byte of the stream is a function of the request, the argument and its place there. */
static char
byte_at(uint32_t request, uint32_t argument, size_t place)
{
    return (char)('a' + (request * 7 + argument * 3 + place + place / 251) % 26);
}

struct wanted {
    uint32_t argc;
    uint32_t sizes[ARGUMENTS_MAX];
};

struct held {
    struct ring_buffer *buffer;
    struct slice argument;
    uint32_t request;
    uint32_t index;
};

struct fixture {
    struct conn conn;
    struct ring *ring;
    struct random random;
    uint64_t seed;
    int peer;
    uint32_t readable_count;
    uint32_t drained_count;
    uint32_t closed_count;
    char *large; /* memory of a large argument that is not yet taken */
    uint32_t large_count;
    bool wants_large;
    struct wanted wanted[REQUESTS];
    char *stream;
    size_t stream_size;
    size_t written;
    uint32_t next; /* request to come */
    struct held held[HELD_MAX];
    uint32_t stalled_turns;
};

static void
on_readable(struct conn *conn)
{
    container_of(conn, struct fixture, conn)->readable_count++;
}

static void
on_drained(struct conn *conn)
{
    container_of(conn, struct fixture, conn)->drained_count++;
}

static void
on_closed(struct conn *conn)
{
    container_of(conn, struct fixture, conn)->closed_count++;
}

static void *
on_large_new(struct conn *conn, uint64_t size)
{
    struct fixture *fixture = container_of(conn, struct fixture, conn);
    if (fixture->large != NULL || !fixture->wants_large) {
        return NULL;
    }
    fixture->large = heap_alloc(size);
    fixture->large_count++;
    return fixture->large;
}

static void
on_large_drop(struct conn *conn, void *memory)
{
    struct fixture *fixture = container_of(conn, struct fixture, conn);
    cr_assert_eq(memory, (void *)fixture->large);
    heap_free(fixture->large);
    fixture->large = NULL;
}

static const struct conn_ops fixture_ops = {
    .readable = on_readable,
    .drained = on_drained,
    .closed = on_closed,
    .large_new = on_large_new,
    .large_drop = on_large_drop,
};

static struct ring *
ring_of(enum ring_backend backend)
{
    struct ring_options options = {.backend = backend,
                                   .entry_count = 64,
                                   .buffer_size = 4096,
                                   .buffer_count = 16,
                                   .buffer_count_max = 64};
    int error;
    return ring_new(&options, &error);
}

/** Two ends of a connection. TCP, as most clients are: it tells of an end that comes with data. */
static void
stream_pair(int fds[2])
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(listener, (struct sockaddr *)&address, size), 0);
    cr_assert_eq(listen(listener, 1), 0);
    cr_assert_eq(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    fds[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    /* So that a reader who is slow is noticed soon. */
    int size_max = 64 << 10;
    cr_assert_eq(setsockopt(listener, SOL_SOCKET, SO_SNDBUF, &size_max, sizeof(size_max)), 0);
    cr_assert_eq(setsockopt(fds[1], SOL_SOCKET, SO_RCVBUF, &size_max, sizeof(size_max)), 0);
    cr_assert_eq(connect(fds[1], (struct sockaddr *)&address, size), 0);
    fds[0] = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    cr_assert_geq(fds[0], 0);
    cr_assert_eq(fcntl(fds[1], F_SETFL, O_NONBLOCK), 0);
    close(listener);
}

/** NULL where the back end does not work. */
static struct fixture *
fixture_new(enum ring_backend backend, uint64_t seed)
{
    struct ring *ring = ring_of(backend);
    if (ring == NULL) {
        return NULL;
    }
    struct fixture *fixture = heap_alloc(sizeof(*fixture));
    memset(fixture, 0, sizeof(*fixture));
    fixture->ring = ring;
    fixture->seed = seed;
    fixture->wants_large = true;
    random_create(&fixture->random, seed);
    int fds[2];
    stream_pair(fds);
    fixture->peer = fds[1];
    conn_create(&fixture->conn, ring, fds[0], &fixture_ops, 512u << 20, 1u << 30);
    return fixture;
}

static void
fixture_delete(struct fixture *fixture)
{
    conn_close(&fixture->conn);
    for (uint32_t i = 0; fixture->closed_count == 0; i++) {
        cr_assert_lt(i, 1000);
        ring_wait(fixture->ring, 1000000);
    }
    cr_assert_eq(fixture->closed_count, 1);
    heap_free(fixture->large);
    heap_free(fixture->stream);
    if (fixture->peer >= 0) {
        close(fixture->peer);
    }
    ring_delete(fixture->ring);
    heap_free(fixture);
}

static void
make_stream(struct fixture *fixture)
{
    struct random *random = &fixture->random;
    size_t capacity = (size_t)REQUESTS * ARGUMENTS_MAX * 210000;
    fixture->stream = heap_alloc(capacity);
    char *end = fixture->stream;
    for (uint32_t i = 0; i < REQUESTS; i++) {
        struct wanted *wanted = &fixture->wanted[i];
        wanted->argc = 1 + (uint32_t)random_below(random, ARGUMENTS_MAX);
        bool is_inline = random_below(random, 6) == 0;
        if (random_below(random, 10) == 0) {
            end += snprintf(end, 32, "%s", random_below(random, 2) == 0 ? "\r\n" : "*0\r\n");
        }
        end += is_inline ? 0 : snprintf(end, 32, "*%u\r\n", wanted->argc);
        for (uint32_t j = 0; j < wanted->argc; j++) {
            uint64_t kind = random_below(random, 40);
            uint32_t size = (uint32_t)random_below(random, 30);
            if (kind == 0 && !is_inline) {
                size = 30000 + (uint32_t)random_below(random, 170000);
            } else if (kind < 4) {
                size = (uint32_t)random_below(random, 6000);
            }
            size += is_inline; /* an inline argument is not empty */
            wanted->sizes[j] = size;
            end += is_inline ? 0 : snprintf(end, 32, "$%u\r\n", size);
            for (uint32_t k = 0; k < size; k++) {
                *end++ = byte_at(i, j, k);
            }
            if (!is_inline) {
                end += snprintf(end, 32, "\r\n");
            } else if (j + 1 < wanted->argc) {
                *end++ = ' ';
            }
        }
        end += is_inline ? snprintf(end, 32, "\r\n") : 0;
    }
    fixture->stream_size = (size_t)(end - fixture->stream);
}

static void
check_argument(const struct fixture *fixture, uint32_t request, uint32_t index,
               struct slice argument)
{
    for (size_t k = 0; k < argument.size; k++) {
        cr_assert_eq(argument.data[k], byte_at(request, index, k),
                     "seed %llu, request %u, argument %u, byte %zu",
                     (unsigned long long)fixture->seed, request, index, k);
    }
}

static void
let_go(struct fixture *fixture, struct held *held)
{
    if (held->buffer != NULL) {
        check_argument(fixture, held->request, held->index, held->argument);
        ring_buffer_unref(held->buffer);
        held->buffer = NULL;
    }
}

static void
check_request(struct fixture *fixture, uint32_t request, struct slice *argv, uint32_t argc,
              struct ring_buffer *buffer)
{
    const struct wanted *wanted = &fixture->wanted[request];
    cr_assert_lt(request, REQUESTS);
    cr_assert_eq(argc, wanted->argc, "seed %llu, request %u: %u arguments instead of %u",
                 (unsigned long long)fixture->seed, request, argc, wanted->argc);
    for (uint32_t j = 0; j < argc; j++) {
        cr_assert_eq(argv[j].size, wanted->sizes[j], "seed %llu, request %u",
                     (unsigned long long)fixture->seed, request);
        check_argument(fixture, request, j, argv[j]);
    }
    struct held *held = &fixture->held[random_below(&fixture->random, HELD_MAX)];
    struct slice first = argv[0];
    if (first.data >= buffer->data && first.data < buffer->data + buffer->capacity &&
        random_below(&fixture->random, 3) == 0) {
        let_go(fixture, held);
        ring_buffer_ref(buffer);
        *held = (struct held){.buffer = buffer, .argument = first, .request = request};
    }
}

/** Parse a batch, start some of it, go back to the rest. False: nothing more is to be had. */
static bool
run_batch(struct fixture *fixture, enum conn_state *state)
{
    enum { BATCH = 8 };
    struct slice storage[BATCH * 4];
    struct slice *argvs[BATCH];
    uint32_t argcs[BATCH];
    void *memories[BATCH];
    struct conn_position positions[BATCH];
    struct ring_buffer *buffer = NULL;
    uint32_t count = 0, used = 0;
    bool is_large = false;
    uint32_t count_max = 1 + (uint32_t)random_below(&fixture->random, BATCH);
    while (count < count_max && !is_large) {
        *state = conn_parse(&fixture->conn, count == 0, storage + used, BATCH * 4 - used, &buffer);
        if (*state != CONN_REQUEST) {
            break;
        }
        struct resp_parser *parser = &fixture->conn.parser;
        argvs[count] = parser->argv;
        argcs[count] = parser->argc;
        memories[count] = parser->memory;
        positions[count] = conn_position(&fixture->conn);
        used += parser->argv == storage + used ? parser->argc : 0;
        count++;
        is_large = fixture->large != NULL;
    }
    uint32_t started = count;
    if (!is_large && count > 0 && random_below(&fixture->random, 4) == 0) {
        started = (uint32_t)random_below(&fixture->random, count);
        fixture->stalled_turns = (uint32_t)random_below(&fixture->random, 20);
    }
    for (uint32_t i = 0; i < count; i++) {
        if (i < started) {
            check_request(fixture, fixture->next++, argvs[i], argcs[i], buffer);
        }
        heap_free(memories[i]);
    }
    if (is_large) {
        heap_free(fixture->large);
        fixture->large = NULL;
    }
    if (started < count) {
        conn_rewind(&fixture->conn, positions[started]);
        return false;
    }
    return count > 0;
}

static void
peer_write(struct fixture *fixture)
{
    size_t left = fixture->stream_size - fixture->written;
    size_t size = random_below(&fixture->random, 4) == 0
                      ? 1 + random_below(&fixture->random, 100000)
                      : 1 + random_below(&fixture->random, 40);
    ssize_t rc = write(fixture->peer, fixture->stream + fixture->written, MIN(size, left));
    fixture->written += rc > 0 ? (size_t)rc : 0;
    if (fixture->written == fixture->stream_size) {
        shutdown(fixture->peer, SHUT_WR);
    }
}

static void
requests_survive_cuts(enum ring_backend backend, uint64_t seed)
{
    struct fixture *fixture = fixture_new(backend, seed);
    if (fixture == NULL) {
        return;
    }
    fixture->wants_large = random_below(&fixture->random, 3) != 0;
    make_stream(fixture);
    enum conn_state state = CONN_WAITING;
    for (uint32_t turn = 0; state != CONN_ENDED; turn++) {
        cr_assert_lt(turn, TURNS_MAX, "seed %llu: stuck at request %u, state %d",
                     (unsigned long long)seed, fixture->next, (int)state);
        if (fixture->written < fixture->stream_size) {
            peer_write(fixture);
        }
        ring_wait(fixture->ring, 0);
        if (fixture->stalled_turns > 0) {
            fixture->stalled_turns--;
        } else {
            while (run_batch(fixture, &state)) {
            }
            cr_assert(state == CONN_WAITING || state == CONN_ENDED || state == CONN_REQUEST);
        }
        if (fixture->stalled_turns > 0 && random_below(&fixture->random, 2) == 0) {
            conn_park(&fixture->conn);
            let_go(fixture, &fixture->held[random_below(&fixture->random, HELD_MAX)]);
        }
        if (fixture->conn.input == NULL) {
            cr_assert_eq(fixture->conn.input_size, 0);
        }
        conn_balance(&fixture->conn);
    }
    cr_assert_eq(fixture->next, REQUESTS, "seed %llu", (unsigned long long)seed);
    for (uint32_t i = 0; i < HELD_MAX; i++) {
        let_go(fixture, &fixture->held[i]);
    }
    fixture_delete(fixture);
}

Test(conn, requests_survive_cuts)
{
    uint64_t first = (uint64_t)time(NULL);
    fprintf(stderr, "seeds from %llu\n", (unsigned long long)first);
    for (uint64_t seed = first; seed < first + 8; seed++) {
        requests_survive_cuts(RING_EPOLL, seed);
        requests_survive_cuts(RING_IO_URING, seed);
    }
}

/** An end in the middle of whatever it is gives everything back. */
static void
ends_anywhere(enum ring_backend backend, uint64_t seed)
{
    struct fixture *fixture = fixture_new(backend, seed);
    if (fixture == NULL) {
        return;
    }
    make_stream(fixture);
    size_t end = random_below(&fixture->random, fixture->stream_size);
    bool is_peers = random_below(&fixture->random, 2) == 0;
    for (uint32_t turn = 0; fixture->written < end && turn < TURNS_MAX; turn++) {
        peer_write(fixture);
        ring_wait(fixture->ring, 0);
        enum conn_state state;
        while (run_batch(fixture, &state)) {
        }
        conn_balance(&fixture->conn);
    }
    if (is_peers) {
        close(fixture->peer);
        fixture->peer = -1;
        ring_wait(fixture->ring, 1000000);
    }
    for (uint32_t i = 0; i < HELD_MAX; i++) {
        let_go(fixture, &fixture->held[i]);
    }
    fixture_delete(fixture);
}

Test(conn, ends_anywhere)
{
    uint64_t first = (uint64_t)time(NULL) + 1000;
    for (uint64_t seed = first; seed < first + 30; seed++) {
        ends_anywhere(RING_EPOLL, seed);
        ends_anywhere(RING_IO_URING, seed);
    }
}

/** Who does not parse does not read on, and what is parked leaves the ring's buffers to others. */
static void
stops_reading(enum ring_backend backend)
{
    struct fixture *fixture = fixture_new(backend, 1);
    if (fixture == NULL) {
        return;
    }
    struct fixture *other = heap_alloc(sizeof(*other));
    memset(other, 0, sizeof(*other));
    int fds[2];
    stream_pair(fds);
    conn_create(&other->conn, fixture->ring, fds[0], &fixture_ops, 1u << 20, 1u << 20);
    char ping[] = "PING\r\n";
    uint32_t idle_turns = 0;
    for (uint32_t turn = 0; turn < TURNS_MAX && idle_turns < 100; turn++) {
        uint64_t size = fixture->conn.input_size;
        ssize_t rc = write(fixture->peer, ping, sizeof(ping) - 1);
        cr_assert(rc > 0 || errno == EAGAIN);
        ring_wait(fixture->ring, 0);
        conn_park(&fixture->conn);
        conn_balance(&fixture->conn);
        idle_turns = fixture->conn.input_size == size ? idle_turns + 1 : 0;
    }
    cr_assert_eq(idle_turns, 100);
    cr_assert_gt(fixture->conn.input_size, CONN_INPUT_SIZE_MAX);
    cr_assert_lt(fixture->conn.input_size, 4 * CONN_INPUT_SIZE_MAX);
    cr_assert_eq(write(fds[1], ping, sizeof(ping) - 1), (ssize_t)sizeof(ping) - 1);
    for (int i = 0; i < 100 && other->readable_count == 0; i++) {
        ring_wait(fixture->ring, 1000000);
    }
    cr_assert_eq(other->conn.input_size, sizeof(ping) - 1);
    conn_close(&other->conn);
    for (int i = 0; i < 100 && other->closed_count == 0; i++) {
        ring_wait(fixture->ring, 1000000);
    }
    cr_assert_eq(other->closed_count, 1);
    close(fds[1]);
    heap_free(other);
    fixture_delete(fixture);
}

Test(conn, stops_reading)
{
    stops_reading(RING_EPOLL);
    stops_reading(RING_IO_URING);
}

#define SENT_SIZE (6u << 20)

static void
fill_output(struct fixture *fixture)
{
    char *bytes = heap_alloc(SENT_SIZE);
    for (uint32_t i = 0; i < SENT_SIZE; i++) {
        bytes[i] = byte_at(0, 0, i);
    }
    for (uint32_t at = 0; at < SENT_SIZE;) {
        uint32_t size = MIN(SENT_SIZE - at, 1 + (uint32_t)random_below(&fixture->random, 100000));
        output_append(&fixture->conn.output, bytes + at, size);
        at += size;
    }
    heap_free(bytes);
}

/** Read what has come. Returns true at the end of the stream. */
static bool
peer_read(struct fixture *fixture, size_t *read_size)
{
    char bytes[50000];
    size_t size = 1 + random_below(&fixture->random, sizeof(bytes));
    ssize_t rc = read(fixture->peer, bytes, size);
    for (ssize_t i = 0; i < rc; i++) {
        cr_assert_eq(bytes[i], byte_at(0, 0, *read_size + (size_t)i));
    }
    *read_size += rc > 0 ? (size_t)rc : 0;
    return rc == 0;
}

static void
sends_all_then_closes(enum ring_backend backend)
{
    struct fixture *fixture = fixture_new(backend, 3);
    if (fixture == NULL) {
        return;
    }
    fill_output(fixture);
    conn_balance(&fixture->conn);
    cr_assert(fixture->conn.is_output_high);
    conn_flush(&fixture->conn);
    size_t read_size = 0;
    bool is_asked = false;
    for (uint32_t turn = 0; !peer_read(fixture, &read_size); turn++) {
        cr_assert_lt(turn, TURNS_MAX);
        ring_wait(fixture->ring, 0);
        if (read_size > SENT_SIZE / 2 && !is_asked) {
            /* Below the mark again: the owner has been told, and reads on. */
            cr_assert_gt(fixture->drained_count, 0);
            conn_close_after_output(&fixture->conn);
            cr_assert_eq(fixture->closed_count, 0);
            is_asked = true;
        }
    }
    cr_assert_eq(read_size, SENT_SIZE);
    cr_assert_eq(fixture->conn.sent_size, SENT_SIZE);
    fixture_delete(fixture);
}

Test(conn, sends_all_then_closes)
{
    sends_all_then_closes(RING_EPOLL);
    sends_all_then_closes(RING_IO_URING);
}

static void
closes_while_sending(enum ring_backend backend, bool is_peers)
{
    struct fixture *fixture = fixture_new(backend, 4);
    if (fixture == NULL) {
        return;
    }
    fill_output(fixture);
    conn_flush(&fixture->conn);
    ring_wait(fixture->ring, 0);
    cr_assert(fixture->conn.is_sending);
    if (is_peers) {
        close(fixture->peer);
        fixture->peer = -1;
        for (int i = 0; i < 1000 && fixture->closed_count == 0; i++) {
            ring_wait(fixture->ring, 1000000);
            conn_flush(&fixture->conn);
        }
        cr_assert_eq(fixture->closed_count, 1);
    }
    fixture_delete(fixture);
}

Test(conn, closes_while_sending)
{
    closes_while_sending(RING_EPOLL, false);
    closes_while_sending(RING_IO_URING, false);
    signal(SIGPIPE, SIG_IGN);
    closes_while_sending(RING_EPOLL, true);
    closes_while_sending(RING_IO_URING, true);
}
