/*
 * load.c: a load generator that knows which core owns a key and which core serves its connection,
 * or that draws whole requests from a file.
 *
 * Ordinary generators pick keys blindly, so over two shards half of their requests cross to another
 * core and half do not. What the crossing costs is the difference between a run of only the one and
 * a run of only the other. Here each connection asks the server which core it landed on (`core=` of
 * CLIENT INFO) and then draws its keys from those that this core owns (local) or does not (remote):
 *
 *     key file            connection on core 0          connection on core 1
 *     0 {a}:1      local: {a}:1 {a}:2 ...               {b}:1 {b}:2 ...
 *     0 {a}:2     remote: {b}:1 {b}:2 ...               {a}:1 {a}:2 ...
 *     1 {b}:1
 *
 * With -l the file holds requests instead, one for each line, words apart by single blanks; each
 * connection draws from all of them. A line may hold several commands, apart by tabs, that are sent
 * together (MULTI ... EXEC); they count as one request. That is for what redis-benchmark cannot
 * say: its random numbers have leading zeros, which are no index.
 *
 * A connection sends a batch of requests, waits for all of its replies and sends the next. One
 * thread, since it only has to keep a few connections busy; requests are laid out once and copied.
 *
 * Invariant: a reply to a GET that is not a value, or any reply that is an error, is counted and
 * fails the run, so that no number is ever taken of a server that answers with errors or has lost
 * the keys.
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
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONN_COUNT_MAX 512
#define CORE_COUNT_MAX 256
#define KEY_SIZE_MAX 128
#define LINE_SIZE_MAX 4096
/* Holds a batch's replies of usual size at one read, and any CLIENT INFO. */
#define READ_SIZE 65536

enum load_mode {
    LOAD_ANY,
    LOAD_LOCAL,
    LOAD_REMOTE,
};

struct options {
    int port;
    int conn_count;
    int pipeline;
    double duration_s;
    const char *keys_path;
    const char *lines_path;
    enum load_mode mode;
};

struct request {
    char *text;
    size_t size;
    int core;
    int reply_count;
};

struct conn {
    int fd;
    int core;
    /** Indices into the requests that this connection may draw from. */
    uint32_t *pool;
    uint32_t pool_count;
    uint64_t random;
    /** One batch, and what of it has been sent. */
    char *batch;
    size_t batch_size;
    size_t sent_size;
    int awaited_count;
    char read[READ_SIZE];
    size_t read_size;
};

struct load {
    struct options options;
    struct request *requests;
    uint32_t request_count;
    uint32_t request_capacity;
    size_t request_size_max;
    struct conn *conns;
    uint64_t reply_count;
    uint64_t miss_count;
    uint64_t error_count;
};

_Noreturn static void
die(const char *what)
{
    fprintf(stderr, "load: %s%s%s\n", what, errno != 0 ? ": " : "",
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

static double
now_s(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static uint32_t
random_below(uint64_t *state, uint32_t bound)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return (uint32_t)(((*state >> 32) * bound) >> 32);
}

/** Takes over the text, which is on the heap. */
static void
request_add(struct load *load, char *text, size_t size, int core, int reply_count)
{
    if (load->request_count == load->request_capacity) {
        load->request_capacity = load->request_capacity * 2 + 1024;
        load->requests = realloc(load->requests, load->request_capacity * sizeof(*load->requests));
        if (load->requests == NULL) {
            die("out of memory");
        }
    }
    load->requests[load->request_count++] =
        (struct request){.text = text, .size = size, .core = core, .reply_count = reply_count};
    if (size > load->request_size_max) {
        load->request_size_max = size;
    }
}

static void
keys_read(struct load *load, FILE *file)
{
    char key[KEY_SIZE_MAX + 1];
    int core;
    while (fscanf(file, "%d %128s", &core, key) == 2) {
        char *text = allocate(KEY_SIZE_MAX + 64);
        int size = snprintf(text, KEY_SIZE_MAX + 64, "*2\r\n$3\r\nGET\r\n$%zu\r\n%s\r\n",
                            strlen(key), key);
        request_add(load, text, (size_t)size, core, 1);
    }
}

/** Append one command in RESP. Returns the bytes written; `out` has room for them. */
static size_t
command_write(char *out, size_t size_max, char *command)
{
    size_t word_count = 1;
    for (const char *blank = strchr(command, ' '); blank != NULL; blank = strchr(blank + 1, ' ')) {
        word_count++;
    }
    size_t size = (size_t)snprintf(out, size_max, "*%zu\r\n", word_count);
    char *rest = command;
    for (char *word = strsep(&rest, " "); word != NULL; word = strsep(&rest, " ")) {
        size += (size_t)snprintf(out + size, size_max - size, "$%zu\r\n%s\r\n", strlen(word), word);
    }
    return size;
}

static void
lines_read(struct load *load, FILE *file)
{
    char line[LINE_SIZE_MAX];
    while (fgets(line, sizeof(line), file) != NULL) {
        line[strcspn(line, "\r\n")] = '\0';
        size_t break_count = 2;
        for (const char *at = line; *at != '\0'; at++) {
            break_count += (*at == ' ') + 2 * (*at == '\t');
        }
        /* A header of less than 16 bytes for each word and each command. */
        size_t size_max = strlen(line) + 16 * (break_count + 1);
        char *text = allocate(size_max);
        size_t size = 0;
        int reply_count = 0;
        char *rest = line;
        for (char *command = strsep(&rest, "\t"); command != NULL; command = strsep(&rest, "\t")) {
            size += command_write(text + size, size_max - size, command);
            reply_count++;
        }
        request_add(load, text, size, 0, reply_count);
    }
}

static void
requests_read(struct load *load)
{
    bool is_lines = load->options.lines_path != NULL;
    const char *path = is_lines ? load->options.lines_path : load->options.keys_path;
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        die(path);
    }
    if (is_lines) {
        lines_read(load, file);
    } else {
        keys_read(load, file);
    }
    fclose(file);
    if (load->request_count == 0) {
        errno = 0;
        die("the file is empty");
    }
}

/** The core that serves this connection, as the server says. */
static int
conn_ask_core(struct conn *conn)
{
    static const char ask[] = "*2\r\n$6\r\nCLIENT\r\n$4\r\nINFO\r\n";
    if (write(conn->fd, ask, sizeof(ask) - 1) != (ssize_t)sizeof(ask) - 1) {
        die("write");
    }
    size_t size = 0;
    char *header_end = NULL;
    size_t needed = 0;
    while (header_end == NULL || size < needed) {
        ssize_t rc = read(conn->fd, conn->read + size, READ_SIZE - 1 - size);
        if (rc <= 0) {
            die("read of CLIENT INFO");
        }
        size += (size_t)rc;
        conn->read[size] = '\0';
        header_end = strstr(conn->read, "\r\n");
        if (header_end != NULL) {
            needed = (size_t)(header_end - conn->read) + 2 + strtoul(conn->read + 1, NULL, 10) + 2;
        }
    }
    char *field = strstr(conn->read, " core=");
    if (conn->read[0] == '-' || field == NULL) {
        errno = 0;
        die("CLIENT INFO has no field core=");
    }
    return atoi(field + strlen(" core="));
}

static void
conn_fill_pool(struct load *load, struct conn *conn)
{
    conn->pool = allocate(load->request_count * sizeof(*conn->pool));
    for (uint32_t i = 0; i < load->request_count; i++) {
        bool is_mine = load->requests[i].core == conn->core;
        if (load->options.mode == LOAD_ANY || is_mine == (load->options.mode == LOAD_LOCAL)) {
            conn->pool[conn->pool_count++] = i;
        }
    }
    if (conn->pool_count == 0) {
        errno = 0;
        die("no key for a connection's core");
    }
}

static void
conn_open(struct load *load, struct conn *conn, uint64_t seed)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)load->options.port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    conn->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (conn->fd < 0 || connect(conn->fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
        die("connect");
    }
    int on = 1;
    setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    conn->random = seed * 0x9e3779b97f4a7c15u + 1;
    conn->core = load->options.mode == LOAD_ANY ? 0 : conn_ask_core(conn);
    conn_fill_pool(load, conn);
    conn->batch = allocate((size_t)load->options.pipeline * load->request_size_max);
}

static void
conn_compose(struct load *load, struct conn *conn)
{
    conn->batch_size = 0;
    conn->sent_size = 0;
    conn->awaited_count = 0;
    for (int i = 0; i < load->options.pipeline; i++) {
        uint32_t index = conn->pool[random_below(&conn->random, conn->pool_count)];
        const struct request *request = &load->requests[index];
        memcpy(conn->batch + conn->batch_size, request->text, request->size);
        conn->batch_size += request->size;
        conn->awaited_count += request->reply_count;
    }
}

static void
conn_send(struct conn *conn)
{
    while (conn->sent_size < conn->batch_size) {
        ssize_t rc = send(conn->fd, conn->batch + conn->sent_size,
                          conn->batch_size - conn->sent_size, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (rc < 0 && errno == EAGAIN) {
            return;
        }
        if (rc <= 0) {
            die("send");
        }
        conn->sent_size += (size_t)rc;
    }
}

/** Size of the whole reply at `data`, with all that it holds; 0 when it has not arrived yet. */
static size_t
reply_size(const char *data, size_t size)
{
    const char *end = memchr(data, '\n', size);
    if (end == NULL) {
        return 0;
    }
    size_t taken = (size_t)(end - data) + 1;
    long number = data[0] == '$' || data[0] == '*' ? strtol(data + 1, NULL, 10) : -1;
    if (data[0] == '$' && number >= 0) {
        taken += (size_t)number + 2;
    }
    for (long i = 0; data[0] == '*' && i < number; i++) {
        size_t part = taken < size ? reply_size(data + taken, size - taken) : 0;
        if (part == 0) {
            return 0;
        }
        taken += part;
    }
    return taken <= size ? taken : 0;
}

/** The same, and counts what it is. */
static size_t
reply_take(struct load *load, const char *data, size_t size)
{
    size_t taken = reply_size(data, size);
    if (taken == 0 && size == READ_SIZE) {
        errno = 0;
        die("a reply is too large for this generator");
    }
    if (taken > 0 && data[0] == '-') {
        load->error_count++;
    } else if (taken > 0 && load->options.lines_path == NULL) {
        load->miss_count += data[0] != '$' || data[1] == '-';
    }
    return taken;
}

static void
conn_receive(struct load *load, struct conn *conn)
{
    ssize_t rc = recv(conn->fd, conn->read + conn->read_size, READ_SIZE - conn->read_size, 0);
    if (rc <= 0) {
        die("the server closed a connection");
    }
    conn->read_size += (size_t)rc;
    size_t taken_size = 0;
    while (taken_size < conn->read_size) {
        size_t size = reply_take(load, conn->read + taken_size, conn->read_size - taken_size);
        if (size == 0) {
            break;
        }
        taken_size += size;
        conn->awaited_count--;
        load->reply_count++;
    }
    conn->read_size -= taken_size;
    memmove(conn->read, conn->read + taken_size, conn->read_size);
}

/** Keep every connection busy until the time is over, then wait for what is under way. */
static void
load_run(struct load *load)
{
    int conn_count = load->options.conn_count;
    struct pollfd *polls = allocate((size_t)conn_count * sizeof(*polls));
    double end_s = now_s() + load->options.duration_s;
    int open_count = conn_count;
    for (int i = 0; i < conn_count; i++) {
        polls[i] = (struct pollfd){.fd = load->conns[i].fd, .events = POLLIN};
        conn_compose(load, &load->conns[i]);
        conn_send(&load->conns[i]);
    }
    while (open_count > 0) {
        for (int i = 0; i < conn_count; i++) {
            struct conn *conn = &load->conns[i];
            polls[i].events = conn->sent_size < conn->batch_size ? POLLIN | POLLOUT : POLLIN;
        }
        if (poll(polls, (nfds_t)conn_count, 10000) <= 0) {
            die("no answer for ten seconds");
        }
        bool is_over = now_s() >= end_s;
        for (int i = 0; i < conn_count; i++) {
            struct conn *conn = &load->conns[i];
            if (polls[i].revents & POLLOUT) {
                conn_send(conn);
            }
            if (polls[i].revents & ~POLLOUT) {
                conn_receive(load, conn);
            }
            if (polls[i].fd < 0 || conn->awaited_count > 0) {
                continue;
            }
            if (is_over) {
                polls[i].fd = -1;
                open_count--;
                continue;
            }
            conn_compose(load, conn);
            conn_send(conn);
        }
    }
    free(polls);
}

static struct options
options_read(int argc, char **argv)
{
    struct options options = {.conn_count = 1, .pipeline = 30, .duration_s = 2, .mode = LOAD_ANY};
    int letter;
    while ((letter = getopt(argc, argv, "p:c:P:t:k:l:m:")) != -1) {
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
        case 'k':
            options.keys_path = optarg;
            break;
        case 'l':
            options.lines_path = optarg;
            break;
        case 'm':
            options.mode = strcmp(optarg, "local") == 0    ? LOAD_LOCAL
                           : strcmp(optarg, "remote") == 0 ? LOAD_REMOTE
                                                           : LOAD_ANY;
            break;
        default:
            exit(2);
        }
    }
    if (options.port <= 0 || (options.keys_path == NULL) == (options.lines_path == NULL) ||
        options.conn_count < 1 || options.conn_count > CONN_COUNT_MAX || options.pipeline < 1) {
        fprintf(stderr,
                "usage: load -p PORT (-k KEYFILE | -l LINEFILE) [-c CONNECTIONS] [-P PIPELINE]"
                " [-t SECONDS] [-m any|local|remote]\n");
        exit(2);
    }
    return options;
}

int
main(int argc, char **argv)
{
    struct load load = {.options = options_read(argc, argv)};
    requests_read(&load);
    load.conns = allocate((size_t)load.options.conn_count * sizeof(*load.conns));
    uint32_t core_conns[CORE_COUNT_MAX] = {0};
    for (int i = 0; i < load.options.conn_count; i++) {
        conn_open(&load, &load.conns[i], (uint64_t)i + 1);
        if (load.conns[i].core >= 0 && load.conns[i].core < CORE_COUNT_MAX) {
            core_conns[load.conns[i].core]++;
        }
    }
    double start_s = now_s();
    load_run(&load);
    printf("requests=%llu seconds=%.6f errors=%llu misses=%llu cores=",
           (unsigned long long)load.reply_count, now_s() - start_s,
           (unsigned long long)load.error_count, (unsigned long long)load.miss_count);
    for (int i = 0; i < CORE_COUNT_MAX; i++) {
        if (core_conns[i] > 0) {
            printf("%d:%u/", i, core_conns[i]);
        }
    }
    printf("\n");
    for (int i = 0; i < load.options.conn_count; i++) {
        close(load.conns[i].fd);
        free(load.conns[i].pool);
        free(load.conns[i].batch);
    }
    for (uint32_t i = 0; i < load.request_count; i++) {
        free(load.requests[i].text);
    }
    free(load.conns);
    free(load.requests);
    return load.error_count + load.miss_count > 0 ? 1 : 0;
}
