#include "net/endpoints.h"

#include "core/log.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CORES 3

static struct log *
quiet_log(void)
{
    struct log *log = log_new();
    cr_assert_not_null(log);
    cr_assert_eq(log_open(log, "/dev/null"), 0);
    return log;
}

/** A port that nobody listens on. */
static int
free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    close(fd);
    return ntohs(address.sin_port);
}

static int
open_set(struct endpoints *next, const struct endpoints *now, int port, const char *a,
         const char *b)
{
    struct log *log = quiet_log();
    char *addresses[] = {(char *)a, (char *)b};
    struct endpoints_wish wish = {
        .addresses = addresses,
        .address_count = b == NULL ? 1 : 2,
        .port = port,
        .backlog = 5,
        .core_count = CORES,
    };
    int rc = endpoints_open(next, now, &wish, log);
    log_delete(log);
    return rc;
}

static bool
can_connect(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    bool is_connected = connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
    close(fd);
    return is_connected;
}

/** The cores' sockets: what they would own. */
static void
take_all(struct endpoints *endpoints, int fds[], uint32_t *count)
{
    for (uint32_t i = 0; i < endpoints->count; i++) {
        for (uint32_t core = 0; core < CORES; core++) {
            int fd = endpoints_take(endpoints, i, core);
            if (fd >= 0) {
                fds[(*count)++] = fd;
            }
        }
    }
    endpoints_settle(endpoints, false);
}

Test(endpoints, each_core_has_a_socket)
{
    struct endpoints none = {0};
    struct endpoints set;
    int fds[32];
    uint32_t count = 0;
    int port = free_port();
    cr_assert_eq(open_set(&set, &none, port, "127.0.0.1", "-192.0.2.99"), 0);
    cr_assert_eq(set.count, 1);
    cr_assert(can_connect(port));
    take_all(&set, fds, &count);
    cr_assert_eq(count, CORES);
    cr_assert_eq(endpoints_take(&set, 0, 1), -1);
    for (uint32_t i = 0; i < count; i++) {
        close(fds[i]);
    }
    cr_assert(!can_connect(port));
}

Test(endpoints, what_stays_keeps_its_sockets)
{
    struct endpoints none = {0};
    struct endpoints now;
    struct endpoints next;
    int fds[32];
    uint32_t count = 0;
    int port = free_port();
    cr_assert_eq(open_set(&now, &none, port, "127.0.0.1", NULL), 0);
    take_all(&now, fds, &count);
    cr_assert_eq(count, CORES);
    cr_assert_eq(open_set(&next, &now, port, "127.0.0.2", "127.0.0.1"), 0);
    cr_assert_eq(next.count, 2);
    cr_assert_eq(next.items[1].id, now.items[0].id);
    cr_assert_neq(next.items[0].id, now.items[0].id);
    take_all(&next, fds, &count);
    cr_assert_eq(count, 2 * CORES);
    /* All addresses overlap our own: nobody else can be there. */
    struct endpoints wide;
    cr_assert_eq(open_set(&wide, &next, port, "*", NULL), 0);
    cr_assert_gt(wide.items[0].id, next.items[0].id);
    endpoints_settle(&wide, true);
    /* Another port is another place. */
    cr_assert_eq(open_set(&wide, &next, free_port(), "127.0.0.1", NULL), 0);
    cr_assert_gt(wide.items[0].id, next.items[0].id);
    endpoints_settle(&wide, true);
    for (uint32_t i = 0; i < count; i++) {
        close(fds[i]);
    }
}

Test(endpoints, one_that_cannot_be_had_takes_all_back)
{
    struct endpoints none = {0};
    struct endpoints set;
    struct endpoints theirs;
    int port = free_port();
    cr_assert_eq(open_set(&set, &none, port, "127.0.0.1", "192.0.2.99"), -EADDRNOTAVAIL);
    cr_assert(!can_connect(port));
    cr_assert_eq(open_set(&set, &none, port, "127.0.0.1", "127.0.0.1"), -EADDRINUSE);
    cr_assert_eq(open_set(&set, &none, port, "*", "127.0.0.1"), -EADDRINUSE);
    cr_assert_eq(open_set(&set, &none, port, "no address", NULL), -EADDRNOTAVAIL);
    cr_assert(!can_connect(port));
    /* Another server that shares its port among its cores. */
    cr_assert_eq(open_set(&theirs, &none, port, "127.0.0.1", NULL), 0);
    cr_assert_eq(open_set(&set, &none, port, "127.0.0.1", NULL), -EADDRINUSE);
    cr_assert_eq(open_set(&set, &none, port, "*", NULL), -EADDRINUSE);
    endpoints_settle(&theirs, true);
    cr_assert_eq(open_set(&set, &none, port, "127.0.0.1", NULL), 0);
    endpoints_settle(&set, true);
}

Test(endpoints, no_port_and_no_words_are_nothing)
{
    struct endpoints none = {0};
    struct endpoints set;
    cr_assert_eq(open_set(&set, &none, 0, "127.0.0.1", NULL), 0);
    cr_assert_eq(set.count, 0);
    cr_assert_eq(open_set(&set, &none, free_port(), "", NULL), 0);
    cr_assert_eq(set.count, 0);
}
