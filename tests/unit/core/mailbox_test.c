#include "core/mailbox.h"
#include "core/random.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

/*
 * Mail against a sequence of numbers: nothing is lost, nothing overtakes, whatever the rings hold
 * and whoever sleeps.
 */

struct letter {
    struct mail mail;
    uint32_t number;
};

struct reader {
    uint32_t next[4]; /* by sender */
    uint32_t count;
};

static void
read_letter(void *context, struct mail *mail)
{
    struct reader *reader = context;
    struct letter *letter = (struct letter *)mail;
    cr_assert_eq(letter->number, reader->next[mail->from]);
    reader->next[mail->from]++;
    reader->count++;
}

Test(mailbox, mail_travels_with_the_bell_and_not_before)
{
    struct exchange *exchange = exchange_new(3);
    struct letter letter = {.number = 0};
    struct reader reader = {.count = 0};
    mail_post(exchange, 2, 1, &letter.mail);
    cr_assert(!mail_is_waiting(exchange, 1));
    cr_assert_eq(mail_receive(exchange, 1, 10, read_letter, &reader), 0);
    mail_flush(exchange, 2);
    cr_assert(mail_is_waiting(exchange, 1));
    cr_assert(!mail_is_waiting(exchange, 0));
    cr_assert_eq(mail_receive(exchange, 0, 10, read_letter, &reader), 0);
    cr_assert_eq(mail_receive(exchange, 1, 10, read_letter, &reader), 1);
    cr_assert_eq(reader.next[2], 1);
    cr_assert(!mail_is_waiting(exchange, 1));
    exchange_delete(exchange);
}

Test(mailbox, mail_to_oneself_needs_no_bell)
{
    struct exchange *exchange = exchange_new(2);
    struct letter letters[3] = {{.number = 0}, {.number = 1}, {.number = 2}};
    struct reader reader = {.count = 0};
    for (int i = 0; i < 3; i++) {
        mail_post(exchange, 1, 1, &letters[i].mail);
    }
    cr_assert(mail_is_waiting(exchange, 1));
    cr_assert(!mail_park(exchange, 1));
    cr_assert_eq(mail_receive(exchange, 1, 2, read_letter, &reader), 2);
    cr_assert_eq(mail_receive(exchange, 1, 2, read_letter, &reader), 1);
    cr_assert(mail_park(exchange, 1));
    mail_unpark(exchange, 1);
    exchange_delete(exchange);
}

Test(mailbox, what_does_not_fit_waits_and_keeps_its_place)
{
    enum { COUNT = 5000 };
    struct exchange *exchange = exchange_new(2);
    struct letter *letters = calloc(COUNT, sizeof(*letters));
    struct reader reader = {.count = 0};
    cr_assert(mail_has_room(exchange, 0, 1));
    for (uint32_t i = 0; i < COUNT; i++) {
        letters[i].number = i;
        mail_post(exchange, 0, 1, &letters[i].mail);
    }
    cr_assert(!mail_has_room(exchange, 0, 1));
    /* The sender may not sleep on what is still with it. */
    mail_flush(exchange, 0);
    cr_assert(mail_is_waiting(exchange, 0));
    cr_assert(!mail_park(exchange, 0));
    for (uint32_t round = 0; reader.count < COUNT; round++) {
        cr_assert_lt(round, COUNT);
        mail_receive(exchange, 1, 300, read_letter, &reader);
        mail_flush(exchange, 0);
    }
    cr_assert(mail_has_room(exchange, 0, 1));
    cr_assert(mail_park(exchange, 0));
    cr_assert(!mail_is_waiting(exchange, 1) ||
              mail_receive(exchange, 1, 300, read_letter, &reader) == 0);
    free(letters);
    exchange_delete(exchange);
}

Test(mailbox, random_posts_against_counters)
{
    enum { CORES = 4, COUNT = 40000 };
    uint64_t seed = (uint64_t)time(NULL);
    fprintf(stderr, "seed %llu\n", (unsigned long long)seed);
    struct random random;
    random_create(&random, seed);
    struct exchange *exchange = exchange_new(CORES);
    struct letter *letters = calloc(COUNT, sizeof(*letters));
    struct reader readers[CORES] = {{.count = 0}};
    uint32_t sent[CORES][CORES] = {{0}};
    uint32_t received = 0;
    for (uint32_t i = 0; i < COUNT;) {
        uint32_t core = (uint32_t)random_below(&random, CORES);
        uint32_t to = (uint32_t)random_below(&random, CORES);
        uint64_t kind = random_below(&random, 10);
        if (kind < 2) {
            mail_flush(exchange, core);
        } else if (kind < 4) {
            uint32_t count_max = 1 + (uint32_t)random_below(&random, 100);
            received += mail_receive(exchange, core, count_max, read_letter, &readers[core]);
        } else if (kind < 5) {
            received += mail_receive_from(exchange, core, to, 50, read_letter, &readers[core]);
        } else {
            uint32_t count = (uint32_t)random_below(&random, 40);
            for (; count > 0 && i < COUNT; count--, i++) {
                letters[i].number = sent[core][to]++;
                mail_post(exchange, core, to, &letters[i].mail);
            }
        }
    }
    for (uint32_t round = 0; received < COUNT; round++) {
        cr_assert_lt(round, 10000, "seed %llu: %u of %u", (unsigned long long)seed, received,
                     COUNT);
        uint32_t core = round % CORES;
        mail_flush(exchange, core);
        received += mail_receive(exchange, core, 1000, read_letter, &readers[core]);
    }
    free(letters);
    exchange_delete(exchange);
}

/* ---- sleepers ---- */

enum { PARK_COUNT = 100000 };

struct pair {
    struct exchange *exchange;
    int wake_fd[2];
    struct letter *letters;
    struct reader reader;
    _Atomic uint32_t wake_count;
    uint64_t seed;
};

static void
pair_wake(void *context, uint32_t core)
{
    struct pair *pair = context;
    uint64_t one = 1;
    atomic_fetch_add(&pair->wake_count, 1);
    cr_assert_eq(write(pair->wake_fd[core], &one, sizeof(one)), (ssize_t)sizeof(one));
}

static void *
pair_send(void *context)
{
    struct pair *pair = context;
    struct random random;
    random_create(&random, pair->seed);
    for (uint32_t i = 0; i < PARK_COUNT;) {
        uint32_t count = 1 + (uint32_t)random_below(&random, 3);
        for (; count > 0 && i < PARK_COUNT; count--, i++) {
            pair->letters[i].number = i;
            mail_post(pair->exchange, 0, 1, &pair->letters[i].mail);
        }
        mail_flush(pair->exchange, 0);
        for (uint64_t spin = random_below(&random, 200); spin > 0; spin--) {
            cpu_relax();
        }
    }
    while (mail_is_waiting(pair->exchange, 0)) {
        mail_flush(pair->exchange, 0);
        sched_yield();
    }
    return NULL;
}

Test(mailbox, a_sleeper_misses_no_mail)
{
    struct pair pair = {.exchange = exchange_new(2), .seed = (uint64_t)time(NULL)};
    pair.wake_fd[1] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pair.letters = calloc(PARK_COUNT, sizeof(*pair.letters));
    exchange_wake_set(pair.exchange, pair_wake, &pair);
    pthread_t sender;
    cr_assert_eq(pthread_create(&sender, NULL, pair_send, &pair), 0);
    while (pair.reader.count < PARK_COUNT) {
        if (mail_receive(pair.exchange, 1, 64, read_letter, &pair.reader) > 0) {
            continue;
        }
        if (!mail_park(pair.exchange, 1)) {
            continue;
        }
        struct pollfd wait = {.fd = pair.wake_fd[1], .events = POLLIN};
        cr_assert_eq(poll(&wait, 1, 20000), 1, "asleep with %u of %u received", pair.reader.count,
                     (unsigned)PARK_COUNT);
        uint64_t value;
        cr_assert_eq(read(pair.wake_fd[1], &value, sizeof(value)), (ssize_t)sizeof(value));
        mail_unpark(pair.exchange, 1);
    }
    pthread_join(sender, NULL);
    cr_assert_gt(atomic_load(&pair.wake_count), 0);
    close(pair.wake_fd[1]);
    free(pair.letters);
    exchange_delete(pair.exchange);
}
