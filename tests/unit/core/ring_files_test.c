/*
 * ring_files_test.c: files through the ring: what arrives, in which order, what goes wrong and who
 * is woken. Each test runs on every variant of the ring.
 */
#include "core/ring_fault.h"
#include "core/ring_files.h"
#include "ring_fixture.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/** An operation that counts its ends. */
struct call {
    struct ring_op op;
    struct ring *ring;
    uint32_t done_count;
    int32_t result;
    uint32_t *order; /* the next place, if it is asked for */
    uint32_t place;
};

static void
call_done(struct ring_op *op, int32_t result)
{
    struct call *call = container_of(op, struct call, op);
    call->done_count++;
    call->result = result;
    if (call->order != NULL) {
        call->place = (*call->order)++;
    }
}

static int32_t
call_wait(struct ring *ring, struct call *call)
{
    ring_turn_until(ring, &call->done_count, 1);
    call->done_count = 0;
    return call->result;
}

/** Work that does not end before a byte is written to the gate. */
struct gate {
    int pipes[2];
    _Atomic uint32_t begun_count;
};

static void
gate_create(struct gate *gate)
{
    cr_assert_eq(pipe(gate->pipes), 0);
    atomic_init(&gate->begun_count, 0);
}

static void
gate_destroy(struct gate *gate)
{
    close(gate->pipes[0]);
    close(gate->pipes[1]);
}

static void
gate_open(struct gate *gate)
{
    cr_assert_eq(write(gate->pipes[1], "x", 1), 1);
}

static int32_t
gate_work(void *context)
{
    struct gate *gate = context;
    char byte;
    atomic_fetch_add(&gate->begun_count, 1);
    return read(gate->pipes[0], &byte, 1) == 1 ? 17 : -EIO;
}

static int32_t
number_work(void *context)
{
    (void)context;
    return 5;
}

/** A file without a name. */
static int
file_new(void)
{
    char path[] = "/tmp/ring_files_XXXXXX";
    int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    cr_assert_eq(unlink(path), 0);
    return fd;
}

/** Threads of this process that do files, by their name: a sanitizer has threads of its own. */
static uint32_t
thread_count(void)
{
    DIR *folder = opendir("/proc/self/task");
    uint32_t count = 0;
    cr_assert_not_null(folder);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        char path[300];
        char name[16] = "";
        snprintf(path, sizeof(path), "/proc/self/task/%s/comm", entry->d_name);
        FILE *file = fopen(path, "re");
        if (file != NULL) {
            count += fgets(name, sizeof(name), file) != NULL && strcmp(name, "files\n") == 0;
            fclose(file);
        }
    }
    closedir(folder);
    return count;
}

static void
faults_run(void (*run)(struct ring *ring, uint64_t seed))
{
    struct ring_options options = options_default;
    options.faults = ring_faults_new();
    variants_run(&options, run);
    ring_faults_delete(options.faults);
}

/* ---- bytes ---- */

/** A file that several writers fill with a stream, each its own stretch, piece by piece. */
#define WRITER_COUNT 4
#define STRETCH_SIZE (300u << 10)
#define PIECES_MAX 5

struct writer {
    struct call call;
    struct iovec vector[PIECES_MAX];
    char *bytes;
    uint64_t written_size;
    bool is_syncing;
};

static void
writer_step(struct writer *writer, int fd, uint64_t base, uint64_t *chance)
{
    if (!writer->is_syncing && draw(chance, 8) == 0) {
        writer->is_syncing = true;
        ring_sync(writer->call.ring, &writer->call.op, fd);
        return;
    }
    writer->is_syncing = false;
    uint32_t count = 1 + (uint32_t)draw(chance, PIECES_MAX);
    uint64_t at = writer->written_size;
    uint64_t size_max = draw(chance, 4) == 0 ? STRETCH_SIZE : 5000;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t drawn = draw(chance, size_max);
        uint64_t size = MIN(drawn, STRETCH_SIZE - at);
        writer->vector[i] = (struct iovec){.iov_base = writer->bytes + at, .iov_len = size};
        at += size;
    }
    ring_write(writer->call.ring, &writer->call.op, fd, writer->vector, count,
               base + writer->written_size);
}

static void
run_bytes(struct ring *ring, uint64_t seed)
{
    struct writer writers[WRITER_COUNT] = {0};
    uint64_t chance = seed;
    uint32_t left = WRITER_COUNT;
    int fd = file_new();
    for (uint32_t i = 0; i < WRITER_COUNT; i++) {
        writers[i].call.op.done = call_done;
        writers[i].call.ring = ring;
        writers[i].bytes = malloc(STRETCH_SIZE);
        stream_fill(seed, i * STRETCH_SIZE, writers[i].bytes, STRETCH_SIZE);
        writer_step(&writers[i], fd, i * STRETCH_SIZE, &chance);
    }
    for (uint32_t turn = 0; left > 0; turn++) {
        cr_assert_lt(turn, TURN_COUNT_MAX);
        (void)ring_wait(ring, draw(&chance, 2) * 1000000);
        for (uint32_t i = 0; i < WRITER_COUNT; i++) {
            struct writer *writer = &writers[i];
            if (writer->call.done_count == 0) {
                continue;
            }
            writer->call.done_count = 0;
            cr_assert_geq(writer->call.result, 0, "%s", strerror(-writer->call.result));
            writer->written_size += (uint64_t)writer->call.result;
            if (writer->written_size == STRETCH_SIZE) {
                left--;
            } else {
                writer_step(writer, fd, i * STRETCH_SIZE, &chance);
            }
        }
    }
    for (uint32_t i = 0; i < WRITER_COUNT; i++) {
        cr_assert_eq(pread(fd, writers[i].bytes, STRETCH_SIZE, i * STRETCH_SIZE), STRETCH_SIZE);
        stream_check(seed, i * STRETCH_SIZE, writers[i].bytes, STRETCH_SIZE);
        free(writers[i].bytes);
    }
    close(fd);
}

Test(ring_files, what_is_written_arrives_where_it_belongs)
{
    variants_run(&options_default, run_bytes);
}

/** All of it by threads, and each write in the file only as far as the fault lets it. */
static void
run_short(struct ring *ring, uint64_t seed)
{
    struct ring_fault fault = {.size_max = 4000};
    ring_fault_set(ring->faults, RING_FAULT_WRITE, &fault);
    run_bytes(ring, seed);
    cr_assert_eq(ring_counters(ring)->file_spot_count, 0);
    cr_assert_geq(ring_fault_hit_count(ring->faults, RING_FAULT_WRITE),
                  WRITER_COUNT * STRETCH_SIZE / 4000);
    ring_fault_set(ring->faults, RING_FAULT_WRITE, NULL);
}

Test(ring_files, short_writes_go_on)
{
    faults_run(run_short);
}

static void
run_ways(struct ring *ring, uint64_t seed)
{
    struct call call = {.op.done = call_done};
    uint32_t before = thread_count();
    uint32_t size = 129u << 10;
    char *bytes = malloc(size);
    int fd = file_new();
    stream_fill(seed, 0, bytes, size);
    struct iovec vector[2] = {{.iov_base = bytes, .iov_len = size - 4096},
                              {.iov_base = bytes + size - 4096, .iov_len = 4096}};
    /* A busy machine may let any write wait: then it is a thread's turn, and there is one. */
    ring_write(ring, &call.op, fd, vector + 1, 1, 0);
    cr_assert_eq(call.done_count, 0);
    cr_assert_eq(call_wait(ring, &call), 4096);
    cr_assert_eq(ring_counters(ring)->file_spot_count, 1);
    cr_assert_eq(thread_count(), before);
    ring_write(ring, &call.op, fd, vector, 2, 0);
    cr_assert_eq(call_wait(ring, &call), (int32_t)size);
    cr_assert_eq(ring_counters(ring)->file_spot_count, 1);
    cr_assert_eq(ring_counters(ring)->file_thread_count, 1);
    cr_assert_eq(thread_count(), before + 1);
    close(fd);
    free(bytes);
}

Test(ring_files, small_writes_need_no_thread)
{
    variants_run(&options_default, run_ways);
}

static void
run_errors(struct ring *ring, uint64_t seed)
{
    static char bytes[200u << 10];
    struct call call = {.op.done = call_done};
    struct iovec vector = {.iov_base = bytes, .iov_len = 10};
    int pipes[2];
    (void)seed;
    cr_assert_eq(pipe(pipes), 0);
    int fd = open("/dev/null", O_RDONLY);
    ring_write(ring, &call.op, fd, &vector, 1, 0);
    cr_assert_eq(call_wait(ring, &call), -EBADF);
    vector.iov_len = sizeof(bytes);
    ring_write(ring, &call.op, fd, &vector, 1, 0);
    cr_assert_eq(call_wait(ring, &call), -EBADF);
    ring_sync(ring, &call.op, pipes[1]);
    cr_assert_eq(call_wait(ring, &call), -EINVAL);
    ring_work(ring, &call.op, number_work, NULL);
    cr_assert_eq(call_wait(ring, &call), 5);
    close(fd);
    close(pipes[0]);
    close(pipes[1]);
}

Test(ring_files, errors_come_back)
{
    variants_run(&options_default, run_errors);
}

/* ---- order ---- */

struct numbered {
    struct call call;
    uint32_t *running;
    uint32_t *next;
    uint32_t number;
    bool was_alone;
};

static int32_t
numbered_work(void *context)
{
    struct numbered *numbered = context;
    numbered->was_alone = (*numbered->running)++ == 0;
    numbered->number = (*numbered->next)++;
    sched_yield();
    (*numbered->running)--;
    return (int32_t)numbered->number;
}

static void
run_work_order(struct ring *ring, uint64_t seed)
{
    struct numbered works[50] = {0};
    uint32_t running = 0; /* plain on purpose: work runs one after the other */
    uint32_t next = 0;
    uint32_t order = 0;
    uint64_t chance = seed;
    int fd = file_new();
    struct call sync = {.op.done = call_done};
    for (uint32_t i = 0; i < ARRAY_COUNT(works); i++) {
        works[i].call = (struct call){.op.done = call_done, .order = &order};
        works[i].running = &running;
        works[i].next = &next;
        ring_work(ring, &works[i].call.op, numbered_work, &works[i]);
        if (!sync.op.is_active) {
            ring_sync(ring, &sync.op, fd);
        }
        if (draw(&chance, 3) == 0) {
            (void)ring_wait(ring, 0);
        }
    }
    for (uint32_t i = 0; i < ARRAY_COUNT(works); i++) {
        cr_assert_eq(call_wait(ring, &works[i].call), (int32_t)i);
        cr_assert_eq(works[i].call.place, i);
        cr_assert(works[i].was_alone);
    }
    while (sync.op.is_active) {
        (void)ring_wait(ring, 1000000);
    }
    close(fd);
}

Test(ring_files, work_runs_in_order_and_alone)
{
    variants_run(&options_default, run_work_order);
}

static void
run_lanes(struct ring *ring, uint64_t seed)
{
    static char bytes[200u << 10];
    struct call work = {.op.done = call_done};
    struct call call = {.op.done = call_done};
    struct iovec vector = {.iov_base = bytes, .iov_len = sizeof(bytes)};
    struct gate gate;
    int fd = file_new();
    (void)seed;
    gate_create(&gate);
    ring_work(ring, &work.op, gate_work, &gate);
    ring_write(ring, &call.op, fd, &vector, 1, 0);
    cr_assert_eq(call_wait(ring, &call), (int32_t)sizeof(bytes));
    ring_sync(ring, &call.op, fd);
    cr_assert_eq(call_wait(ring, &call), 0);
    cr_assert_eq(work.done_count, 0);
    gate_open(&gate);
    cr_assert_eq(call_wait(ring, &work), 17);
    gate_destroy(&gate);
    close(fd);
}

Test(ring_files, long_work_holds_up_no_write_and_no_sync)
{
    variants_run(&options_default, run_lanes);
}

/* ---- ends ---- */

static void
run_cancel(struct ring *ring, uint64_t seed)
{
    struct call running = {.op.done = call_done};
    struct call queued = {.op.done = call_done};
    struct call last = {.op.done = call_done};
    struct gate gate;
    (void)seed;
    gate_create(&gate);
    ring_work(ring, &running.op, gate_work, &gate);
    ring_work(ring, &queued.op, gate_work, &gate);
    ring_work(ring, &last.op, number_work, NULL);
    while (atomic_load(&gate.begun_count) == 0) {
        (void)ring_wait(ring, 1000000);
    }
    ring_cancel(ring, &queued.op);
    ring_cancel(ring, &queued.op);
    ring_cancel(ring, &running.op);
    cr_assert_eq(queued.done_count, 0);
    cr_assert_eq(call_wait(ring, &queued), -ECANCELED);
    cr_assert_eq(running.done_count, 0);
    gate_open(&gate);
    cr_assert_eq(call_wait(ring, &running), 17);
    cr_assert_eq(call_wait(ring, &last), 5);
    cr_assert_eq(atomic_load(&gate.begun_count), 1);
    gate_destroy(&gate);
}

Test(ring_files, what_has_not_begun_can_be_cancelled)
{
    variants_run(&options_default, run_cancel);
}

/** A write that is ready already, and one whose end has not been told yet. */
static void
run_cancel_late(struct ring *ring, uint64_t seed)
{
    struct call call = {.op.done = call_done};
    struct iovec vector = {.iov_base = (char *)"abcd", .iov_len = 4};
    int fd = file_new();
    (void)seed;
    ring_write(ring, &call.op, fd, &vector, 1, 0);
    ring_cancel(ring, &call.op);
    cr_assert_eq(call_wait(ring, &call), 4);
    for (uint32_t i = 0; i < 100; i++) {
        ring_work(ring, &call.op, number_work, NULL);
        ring_cancel(ring, &call.op);
        int32_t result = call_wait(ring, &call);
        cr_assert(result == 5 || result == -ECANCELED);
    }
    close(fd);
}

Test(ring_files, cancelling_too_late_does_nothing)
{
    variants_run(&options_default, run_cancel_late);
}

struct chain {
    struct ring_op op;
    struct ring *ring;
    struct iovec vector;
    uint32_t *freed_count;
    uint32_t left;
    int fd;
};

static void
chain_done(struct ring_op *op, int32_t result)
{
    struct chain *chain = container_of(op, struct chain, op);
    cr_assert_geq(result, 0);
    if (chain->left == 0) {
        (*chain->freed_count)++;
        memset(chain, 0x5a, sizeof(*chain));
        free(chain);
    } else if (chain->left-- % 2 == 0) {
        ring_write(chain->ring, op, chain->fd, &chain->vector, 1, chain->left);
    } else {
        ring_work(chain->ring, op, number_work, NULL);
    }
}

static void
run_chain(struct ring *ring, uint64_t seed)
{
    uint32_t freed_count = 0;
    int fd = file_new();
    for (uint32_t i = 0; i < 20; i++) {
        struct chain *chain = malloc(sizeof(*chain));
        *chain = (struct chain){.op.done = chain_done,
                                .ring = ring,
                                .vector = {.iov_base = (char *)"ab", .iov_len = 2},
                                .freed_count = &freed_count,
                                .left = (uint32_t)(seed % 7) + i,
                                .fd = fd};
        ring_work(ring, &chain->op, number_work, NULL);
    }
    ring_turn_until(ring, &freed_count, 20);
    close(fd);
}

Test(ring_files, the_callback_may_start_again_or_free)
{
    variants_run(&options_default, run_chain);
}

static void
run_threads_end(struct ring *ring, uint64_t seed)
{
    (void)seed;
    struct ring_options options = options_default;
    options.backend = ring_backend(ring);
    uint32_t before = thread_count();
    for (uint32_t i = 0; i < 20; i++) {
        int error = 0;
        struct ring *other = ring_new(&options, &error);
        cr_assert_not_null(other);
        cr_assert_eq(thread_count(), before);
        struct call calls[2] = {{.op.done = call_done}, {.op.done = call_done}};
        int fd = file_new();
        ring_work(other, &calls[0].op, number_work, NULL);
        ring_sync(other, &calls[1].op, fd);
        cr_assert_gt(thread_count(), before);
        call_wait(other, &calls[0]);
        call_wait(other, &calls[1]);
        close(fd);
        ring_delete(other);
        /* A thread that was joined may be listed for some moments more. */
        for (uint32_t wait = 0; thread_count() != before; wait++) {
            cr_assert_lt(wait, TURN_COUNT_MAX);
            sched_yield();
        }
    }
}

Test(ring_files, threads_begin_with_use_and_end_with_the_ring)
{
    variants_run(&options_default, run_threads_end);
}

/* ---- waking ---- */

static void
run_wake(struct ring *ring, uint64_t seed)
{
    struct call call = {.op.done = call_done};
    struct ring_fault late = {.delay_ms = 20};
    (void)seed;
    ring_fault_set(ring->faults, RING_FAULT_WORK, &late);
    ring_work(ring, &call.op, number_work, NULL);
    while (call.done_count == 0) {
        (void)ring_wait(ring, UINT64_MAX);
    }
    cr_assert_eq(call.result, 5);
    /* Asleep for sure, and woken no more often than needed. */
    cr_assert_leq(ring_counters(ring)->wake_count, 1);
    ring_fault_set(ring->faults, RING_FAULT_WORK, NULL);
    /* Just falling asleep, over and over. */
    for (uint32_t i = 0; i < 3000; i++) {
        call.done_count = 0;
        ring_work(ring, &call.op, number_work, NULL);
        for (uint32_t spin = 0; spin < i % 60 * 20; spin++) {
            cpu_relax();
        }
        while (call.done_count == 0) {
            (void)ring_wait(ring, UINT64_MAX);
        }
    }
}

Test(ring_files, a_sleeping_core_is_woken)
{
    faults_run(run_wake);
}

/** A core on one CPU has its files done on any. */
static int32_t
cpus_work(void *context)
{
    cpu_set_t *cpus = context;
    return sched_getaffinity(0, sizeof(*cpus), cpus) == 0 ? 0 : -errno;
}

static void *
pinned_run(void *argument)
{
    cpu_set_t *cpus = argument;
    cpu_set_t one;
    struct ring_options options = options_default;
    struct call call = {.op.done = call_done};
    int error = 0;
    options.backend = RING_EPOLL;
    CPU_ZERO(&one);
    for (int i = 0; CPU_COUNT(&one) == 0; i++) {
        if (CPU_ISSET(i, cpus)) {
            CPU_SET(i, &one);
        }
    }
    cr_assert_eq(pthread_setaffinity_np(pthread_self(), sizeof(one), &one), 0);
    struct ring *ring = ring_new(&options, &error);
    /* The first work may be quicker than the thread's CPUs are set. */
    ring_work(ring, &call.op, number_work, NULL);
    call_wait(ring, &call);
    ring_work(ring, &call.op, cpus_work, cpus);
    cr_assert_eq(call_wait(ring, &call), 0);
    ring_delete(ring);
    return NULL;
}

Test(ring_files, threads_are_not_bound_to_the_cores_cpu)
{
    cpu_set_t cpus;
    cpu_set_t seen;
    pthread_t thread;
    cr_assert_eq(sched_getaffinity(0, sizeof(cpus), &cpus), 0);
    seen = cpus;
    cr_assert_eq(pthread_create(&thread, NULL, pinned_run, &seen), 0);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    cr_assert(CPU_EQUAL(&seen, &cpus));
}

/* ---- faults ---- */

static int32_t
write_small(struct ring *ring, int fd, uint64_t offset)
{
    struct call call = {.op.done = call_done};
    struct iovec vector[2] = {{.iov_base = (char *)"abcde", .iov_len = 5},
                              {.iov_base = (char *)"fgh", .iov_len = 3}};
    ring_write(ring, &call.op, fd, vector, 2, offset);
    return call_wait(ring, &call);
}

static uint64_t
size_of(int fd)
{
    struct stat status;
    cr_assert_eq(fstat(fd, &status), 0);
    return (uint64_t)status.st_size;
}

static void
run_faults(struct ring *ring, uint64_t seed)
{
    struct call call = {.op.done = call_done};
    struct ring_fault full = {.pass_count = 2, .fail_count = 2, .error = ENOSPC};
    struct ring_fault torn = {.fail_count = 1, .error = EIO, .size_max = 6};
    struct ring_fault broken = {.error = EIO};
    int fd = file_new();
    (void)seed;
    ring_fault_set(ring->faults, RING_FAULT_WRITE, &full);
    int32_t expected[] = {8, 8, -ENOSPC, -ENOSPC, 8};
    for (uint32_t i = 0; i < ARRAY_COUNT(expected); i++) {
        cr_assert_eq(write_small(ring, fd, i * 8), expected[i], "write %u", i);
        cr_assert_eq(size_of(fd), i == 2 || i == 3 ? 16 : (i + 1) * 8);
    }
    cr_assert_eq(ring_fault_hit_count(ring->faults, RING_FAULT_WRITE), 2);
    ring_fault_set(ring->faults, RING_FAULT_WRITE, &torn);
    cr_assert_eq(write_small(ring, fd, 100), -EIO);
    cr_assert_eq(size_of(fd), 106);
    ring_fault_set(ring->faults, RING_FAULT_WRITE, NULL);
    cr_assert_eq(write_small(ring, fd, 200), 8);
    ring_fault_set(ring->faults, RING_FAULT_SYNC, &broken);
    ring_fault_set(ring->faults, RING_FAULT_WORK, &broken);
    for (uint32_t i = 0; i < 3; i++) {
        ring_sync(ring, &call.op, fd);
        cr_assert_eq(call_wait(ring, &call), -EIO);
        ring_work(ring, &call.op, number_work, NULL);
        cr_assert_eq(call_wait(ring, &call), -EIO);
    }
    ring_fault_set(ring->faults, RING_FAULT_SYNC, NULL);
    ring_fault_set(ring->faults, RING_FAULT_WORK, NULL);
    ring_sync(ring, &call.op, fd);
    cr_assert_eq(call_wait(ring, &call), 0);
    ring_work(ring, &call.op, number_work, NULL);
    cr_assert_eq(call_wait(ring, &call), 5);
    close(fd);
}

Test(ring_files, faults_hit_what_they_are_told_to)
{
    faults_run(run_faults);
}

#define ASKERS 4
#define QUESTIONS 1000

static void *
asker_run(void *argument)
{
    struct ring_faults *faults = argument;
    struct ring_fault fault;
    uintptr_t hit_count = 0;
    for (uint32_t i = 0; i < QUESTIONS; i++) {
        hit_count += ring_faults_meet(faults, RING_FAULT_SYNC, &fault);
    }
    return (void *)hit_count;
}

Test(ring_files, faults_are_counted_over_all_threads)
{
    struct ring_faults *faults = ring_faults_new();
    struct ring_fault fault = {.pass_count = 100, .fail_count = 1234, .error = EIO};
    pthread_t threads[ASKERS];
    uint64_t hit_count = 0;
    enum ring_fault_kind kind;
    ring_fault_set(faults, RING_FAULT_SYNC, &fault);
    for (uint32_t i = 0; i < ASKERS; i++) {
        cr_assert_eq(pthread_create(&threads[i], NULL, asker_run, faults), 0);
    }
    for (uint32_t i = 0; i < ASKERS; i++) {
        void *result;
        cr_assert_eq(pthread_join(threads[i], &result), 0);
        hit_count += (uintptr_t)result;
    }
    cr_assert_eq(hit_count, 1234);
    cr_assert_eq(ring_fault_hit_count(faults, RING_FAULT_SYNC), 1234);
    cr_assert(ring_fault_parse("sync", &kind));
    cr_assert_eq(kind, RING_FAULT_SYNC);
    cr_assert_not(ring_fault_parse("syn", &kind));
    ring_faults_delete(faults);
}

/* ---- pace ---- */

Test(ring_files, a_slow_disk_is_left_to_threads_for_longer_each_time)
{
    const uint64_t second_ns = 1000000000u;
    struct ring_pace pace = {.calm_ns = RING_PACE_CALM_MIN_NS};
    uint64_t now_ns = 1000 * second_ns;
    cr_assert(ring_pace_is_calm(&pace, 0));
    for (uint64_t calm_s = 1; calm_s <= 64; calm_s *= 2) {
        ring_pace_slow(&pace, now_ns, true);
        cr_assert_not(ring_pace_is_calm(&pace, now_ns));
        cr_assert_not(ring_pace_is_calm(&pace, now_ns + calm_s * second_ns - 1));
        now_ns += calm_s * second_ns;
        cr_assert(ring_pace_is_calm(&pace, now_ns));
    }
    ring_pace_slow(&pace, now_ns, true);
    cr_assert_not(ring_pace_is_calm(&pace, now_ns + 64 * second_ns - 1));
    cr_assert(ring_pace_is_calm(&pace, now_ns + 64 * second_ns));
    /* A thread's slow write puts the next attempt off, yet not further than before. */
    ring_pace_slow(&pace, now_ns + second_ns, false);
    cr_assert_not(ring_pace_is_calm(&pace, now_ns + 65 * second_ns - 1));
    cr_assert(ring_pace_is_calm(&pace, now_ns + 65 * second_ns));
    /* Well for long: as at first. */
    now_ns += 66 * second_ns;
    ring_pace_slow(&pace, now_ns, true);
    cr_assert(ring_pace_is_calm(&pace, now_ns + second_ns));
}
