/*
 * pace.c: a load generator that keeps a pace and tells how long answers took.
 *
 * Ordinary generators wait for an answer before they send the next request. A server that stands
 * still for 20 ms then delays one request of each connection, and the ones that would have come
 * meanwhile are never sent: the percentiles hardly notice. With -r requests are sent at their time
 * whatever is unanswered, and each is measured from there:
 *
 *     due        | | | | | | | | | | | |        one line of requests, dealt to all connections
 *     server     ....|   stands still   |..
 *     waits          |----------------->|       each of them is counted
 *                      |--------------->|
 *                        |------------->|
 *
 * Without -r each connection sends a pipeline, waits for its answers and sends the next, as fast as
 * the server can. -f sends each key once and ends. Otherwise keys are drawn at random, all alike.
 * Values are noise that no compression shortens.
 *
 * It says `ready` when all connections are open, begins at once, and ends after -t seconds or when
 * its standard input ends (-s), whichever is first; then it waits for what is unanswered.
 *
 * Invariant: error replies and missing keys are counted and printed, so that no number is taken of
 * a server that answers with errors. A request that finds no room is an error of the run, never
 * left out.
 */
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONN_COUNT_MAX 512
#define READ_SIZE 65536
#define VALUE_SIZE_MAX 16384
#define NOISE_SIZE (1u << 20)
/* Unanswered requests of one connection: half a minute of a thousand a second. A power of two. */
#define STAMP_COUNT 32768
/* Everything of a request but its value. */
#define REQUEST_HEAD_SIZE_MAX 128
/* How long the generator sleeps between looks at the time: requests are late by half of it. */
#define TICK_NS 100000
#define NO_ANSWER_MS 120000

/* Durations in nanoseconds, counted by their power of two and the next seven bits: within 1 %. */
#define BUCKET_BITS 7
#define BUCKET_COUNT ((64 - BUCKET_BITS) << BUCKET_BITS)

struct options {
    int port;
    int conn_count;
    int pipeline;
    bool is_set;
    bool is_fill;
    bool ends_with_input;
    uint64_t key_count;
    size_t value_size;
    double rate;
    double duration_s;
};

struct conn {
    int fd;
    /** What is to be sent; the first sent_size bytes are gone. */
    char *out;
    size_t out_size;
    size_t out_capacity;
    size_t sent_size;
    /** When the unanswered requests were due, a ring. */
    uint64_t *stamps;
    uint64_t asked_count;
    uint64_t answered_count;
    char read[READ_SIZE];
    size_t read_size;
};

struct pace {
    struct options options;
    struct conn *conns;
    char *noise;
    uint64_t random;
    uint64_t request_count;
    uint64_t reply_count;
    uint64_t error_count;
    uint64_t miss_count;
    uint64_t longest_ns;
    uint64_t *buckets;
};

_Noreturn static void
die(const char *what)
{
    fprintf(stderr, "pace: %s%s%s\n", what, errno != 0 ? ": " : "",
            errno != 0 ? strerror(errno) : "");
    exit(2);
}

static void *
allocate(size_t size)
{
    void *memory = calloc(1, size);
    if (memory == NULL) {
        die("out of memory");
    }
    return memory;
}

static uint64_t
now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static uint64_t
random_next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state * 0x2545f4914f6cdd1du;
}

static uint64_t
random_below(uint64_t *state, uint64_t bound)
{
    return (uint64_t)(((unsigned __int128)random_next(state) * bound) >> 64);
}

/* ---- durations ---- */

static uint32_t
bucket_of(uint64_t ns)
{
    if (ns < (1u << BUCKET_BITS)) {
        return (uint32_t)ns;
    }
    uint32_t shift = 63u - (uint32_t)__builtin_clzll(ns) - BUCKET_BITS;
    return ((shift + 1) << BUCKET_BITS) + (uint32_t)((ns >> shift) & ((1u << BUCKET_BITS) - 1));
}

/** The lower end of a bucket. */
static uint64_t
bucket_ns(uint32_t bucket)
{
    uint32_t octave = bucket >> BUCKET_BITS;
    uint64_t rest = bucket & ((1u << BUCKET_BITS) - 1);
    return octave == 0 ? rest : ((1u << BUCKET_BITS) + rest) << (octave - 1);
}

static double
percentile_us(const struct pace *pace, double share)
{
    uint64_t wanted = (uint64_t)((double)pace->reply_count * share);
    uint64_t seen = 0;
    for (uint32_t i = 0; i < BUCKET_COUNT; i++) {
        seen += pace->buckets[i];
        if (seen > wanted) {
            return (double)bucket_ns(i) / 1000;
        }
    }
    return (double)pace->longest_ns / 1000;
}

/* ---- requests ---- */

static void
conn_reserve(struct conn *conn, size_t size)
{
    if (conn->sent_size == conn->out_size) {
        conn->sent_size = 0;
        conn->out_size = 0;
    }
    if (conn->out_size + size > conn->out_capacity) {
        conn->out_capacity = conn->out_capacity * 2 + size;
        conn->out = realloc(conn->out, conn->out_capacity);
        if (conn->out == NULL) {
            die("out of memory");
        }
    }
}

static void
conn_compose(struct pace *pace, struct conn *conn, uint64_t due_ns)
{
    const struct options *options = &pace->options;
    if (conn->asked_count - conn->answered_count == STAMP_COUNT) {
        errno = 0;
        die("the server does not keep up with the rate");
    }
    conn->stamps[conn->asked_count++ % STAMP_COUNT] = due_ns;
    uint64_t key =
        options->is_fill ? pace->request_count : random_below(&pace->random, options->key_count);
    pace->request_count++;
    conn_reserve(conn, REQUEST_HEAD_SIZE_MAX + options->value_size);
    char *at = conn->out + conn->out_size;
    if (!options->is_set) {
        conn->out_size +=
            (size_t)snprintf(at, REQUEST_HEAD_SIZE_MAX, "*2\r\n$3\r\nGET\r\n$16\r\nkey:%012llu\r\n",
                             (unsigned long long)key);
        return;
    }
    size_t size = (size_t)snprintf(at, REQUEST_HEAD_SIZE_MAX,
                                   "*3\r\n$3\r\nSET\r\n$16\r\nkey:%012llu\r\n$%zu\r\n",
                                   (unsigned long long)key, options->value_size);
    memcpy(at + size, pace->noise + random_below(&pace->random, NOISE_SIZE - VALUE_SIZE_MAX),
           options->value_size);
    size += options->value_size;
    memcpy(at + size, "\r\n", 2);
    conn->out_size += size + 2;
}

static void
conn_send(struct conn *conn)
{
    while (conn->sent_size < conn->out_size) {
        ssize_t rc = send(conn->fd, conn->out + conn->sent_size, conn->out_size - conn->sent_size,
                          MSG_DONTWAIT | MSG_NOSIGNAL);
        if (rc < 0 && errno == EAGAIN) {
            return;
        }
        if (rc <= 0) {
            die("send");
        }
        conn->sent_size += (size_t)rc;
    }
}

/** Size of the whole reply at `data`; 0 when it has not arrived yet. */
static size_t
reply_size(const char *data, size_t size)
{
    const char *end = memchr(data, '\n', size);
    if (end == NULL) {
        return 0;
    }
    size_t taken = (size_t)(end - data) + 1;
    if (data[0] == '$' && data[1] != '-') {
        taken += strtoul(data + 1, NULL, 10) + 2;
    }
    return taken <= size ? taken : 0;
}

static void
conn_take(struct pace *pace, struct conn *conn, const char *reply, uint64_t now)
{
    uint64_t spent_ns = now - conn->stamps[conn->answered_count++ % STAMP_COUNT];
    pace->buckets[bucket_of(spent_ns)]++;
    pace->longest_ns = spent_ns > pace->longest_ns ? spent_ns : pace->longest_ns;
    pace->reply_count++;
    if (reply[0] == '-') {
        pace->error_count++;
        if (pace->error_count == 1) {
            fprintf(stderr, "pace: %.100s\n", reply);
        }
    } else if (reply[0] == '$' && reply[1] == '-') {
        pace->miss_count++;
    }
}

static void
conn_receive(struct pace *pace, struct conn *conn)
{
    ssize_t rc = recv(conn->fd, conn->read + conn->read_size, READ_SIZE - conn->read_size, 0);
    if (rc <= 0) {
        die("the server closed a connection");
    }
    uint64_t now = now_ns();
    conn->read_size += (size_t)rc;
    size_t taken = 0;
    while (taken < conn->read_size) {
        size_t size = reply_size(conn->read + taken, conn->read_size - taken);
        if (size == 0) {
            break;
        }
        conn_take(pace, conn, conn->read + taken, now);
        taken += size;
    }
    conn->read_size -= taken;
    memmove(conn->read, conn->read + taken, conn->read_size);
}

/* ---- the run ---- */

static bool
has_more(const struct pace *pace)
{
    return !pace->options.is_fill || pace->request_count < pace->options.key_count;
}

/** Requests that are due by now, dealt out in turn. */
static void
send_due(struct pace *pace, uint64_t start_ns, uint64_t now)
{
    uint64_t due = (uint64_t)((double)(now - start_ns) / 1e9 * pace->options.rate);
    uint64_t count = (uint64_t)pace->options.conn_count;
    uint64_t first = pace->request_count;
    while (pace->request_count < due && has_more(pace)) {
        conn_compose(pace, &pace->conns[pace->request_count % count], now);
    }
    for (uint64_t i = first; i < pace->request_count && i < first + count; i++) {
        conn_send(&pace->conns[i % count]);
    }
}

/** A pipeline for each connection that has its answers. */
static void
send_next(struct pace *pace, uint64_t now)
{
    for (int i = 0; i < pace->options.conn_count; i++) {
        struct conn *conn = &pace->conns[i];
        if (conn->asked_count != conn->answered_count) {
            continue;
        }
        for (int k = 0; k < pace->options.pipeline && has_more(pace); k++) {
            conn_compose(pace, conn, now);
        }
        conn_send(conn);
    }
}

static bool
input_has_ended(const struct pollfd *poll)
{
    char byte;
    return poll->revents != 0 && read(poll->fd, &byte, 1) <= 0;
}

/** Send what the time is for, take what comes. Seconds that it took. */
static double
pace_run(struct pace *pace)
{
    const struct options *options = &pace->options;
    int count = options->conn_count;
    struct pollfd *polls = allocate((size_t)(count + 1) * sizeof(*polls));
    polls[count] = (struct pollfd){.fd = options->ends_with_input ? 0 : -1, .events = POLLIN};
    uint64_t start = now_ns();
    uint64_t end = start + (uint64_t)(options->duration_s * 1e9);
    bool is_over = false;
    uint64_t replied = 0;
    uint64_t replied_ns = start;
    while (!is_over || pace->reply_count < pace->request_count) {
        uint64_t now = now_ns();
        is_over = is_over || (options->duration_s > 0 && now >= end) || !has_more(pace);
        if (!is_over && options->rate > 0) {
            send_due(pace, start, now);
        } else if (!is_over) {
            send_next(pace, now);
        }
        for (int i = 0; i < count; i++) {
            const struct conn *conn = &pace->conns[i];
            bool has_rest = conn->sent_size < conn->out_size;
            polls[i] =
                (struct pollfd){.fd = conn->fd, .events = has_rest ? POLLIN | POLLOUT : POLLIN};
        }
        bool is_paced = options->rate > 0 && !is_over;
        struct timespec wait = {.tv_sec = is_paced ? 0 : 1, .tv_nsec = is_paced ? TICK_NS : 0};
        if (ppoll(polls, (nfds_t)count + 1, &wait, NULL) < 0 && errno != EINTR) {
            die("poll");
        }
        for (int i = 0; i < count; i++) {
            if (polls[i].revents & POLLOUT) {
                conn_send(&pace->conns[i]);
            }
            if (polls[i].revents & ~POLLOUT) {
                conn_receive(pace, &pace->conns[i]);
            }
        }
        is_over = is_over || input_has_ended(&polls[count]);
        if (pace->reply_count > replied || pace->reply_count == pace->request_count) {
            replied = pace->reply_count;
            replied_ns = now_ns();
        } else if (now_ns() - replied_ns > NO_ANSWER_MS * UINT64_C(1000000)) {
            errno = 0;
            die("no answer for two minutes");
        }
    }
    free(polls);
    return (double)(now_ns() - start) / 1e9;
}

static void
conn_open(struct conn *conn, int port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    conn->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (conn->fd < 0 || connect(conn->fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
        die("connect");
    }
    int on = 1;
    setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    conn->stamps = allocate(STAMP_COUNT * sizeof(*conn->stamps));
}

static void
noise_make(struct pace *pace)
{
    pace->noise = allocate(NOISE_SIZE);
    for (size_t i = 0; i < NOISE_SIZE; i++) {
        pace->noise[i] = (char)(' ' + 1 + random_below(&pace->random, 94));
    }
}

static struct options
options_read(int argc, char **argv)
{
    struct options options = {.conn_count = 50, .pipeline = 1, .value_size = 64, .key_count = 1};
    int letter;
    while ((letter = getopt(argc, argv, "p:c:P:t:n:d:r:o:fs")) != -1) {
        switch (letter) {
        case 'p':
            options.port = atoi(optarg);
            break;
        case 'c':
            options.conn_count = atoi(optarg);
            break;
        case 'P':
            options.pipeline = atoi(optarg);
            break;
        case 't':
            options.duration_s = atof(optarg);
            break;
        case 'n':
            options.key_count = strtoull(optarg, NULL, 10);
            break;
        case 'd':
            options.value_size = strtoul(optarg, NULL, 10);
            break;
        case 'r':
            options.rate = atof(optarg);
            break;
        case 'o':
            options.is_set = strcmp(optarg, "set") == 0;
            break;
        case 'f':
            options.is_fill = true;
            break;
        case 's':
            options.ends_with_input = true;
            break;
        default:
            exit(2);
        }
    }
    bool has_end = options.is_fill || options.ends_with_input || options.duration_s > 0;
    if (options.port <= 0 || !has_end || options.conn_count < 1 || options.key_count < 1 ||
        options.conn_count > CONN_COUNT_MAX || options.pipeline < 1 ||
        options.pipeline > STAMP_COUNT || options.value_size > VALUE_SIZE_MAX) {
        fprintf(stderr, "usage: pace -p PORT -o get|set -n KEYS [-d VALUE SIZE] [-c CONNECTIONS]"
                        " [-P PIPELINE | -r REQUESTS A SECOND] [-t SECONDS] [-f] [-s]\n");
        exit(2);
    }
    return options;
}

int
main(int argc, char **argv)
{
    struct pace pace = {.options = options_read(argc, argv), .random = 0x9e3779b97f4a7c15u};
    int count = pace.options.conn_count;
    /* Else the kernel rounds the sleep between two looks up by half of it. */
    prctl(PR_SET_TIMERSLACK, 1);
    noise_make(&pace);
    pace.buckets = allocate(BUCKET_COUNT * sizeof(*pace.buckets));
    pace.conns = allocate((size_t)count * sizeof(*pace.conns));
    for (int i = 0; i < count; i++) {
        conn_open(&pace.conns[i], pace.options.port);
    }
    printf("ready\n");
    fflush(stdout);
    double seconds = pace_run(&pace);
    printf("requests=%llu seconds=%.6f errors=%llu misses=%llu p50_us=%.1f p99_us=%.1f "
           "p999_us=%.1f max_us=%.1f\n",
           (unsigned long long)pace.reply_count, seconds, (unsigned long long)pace.error_count,
           (unsigned long long)pace.miss_count, percentile_us(&pace, 0.5),
           percentile_us(&pace, 0.99), percentile_us(&pace, 0.999), (double)pace.longest_ns / 1000);
    for (int i = 0; i < count; i++) {
        close(pace.conns[i].fd);
        free(pace.conns[i].out);
        free(pace.conns[i].stamps);
    }
    free(pace.conns);
    free(pace.buckets);
    free(pace.noise);
    return pace.error_count == 0 ? 0 : 1;
}
