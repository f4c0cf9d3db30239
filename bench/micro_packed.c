#include "core/random.h"
#include "shard/value/packed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/*
 * micro_packed.c: what a member of a large set and a field of a large hash cost, in bytes and in
 * nanoseconds, and how long the longest single insertion and removal are.
 * micro_packed [members, default 1000000]
 */

#define MEMBER_SIZE_SET 17
#define MEMBER_SIZE_HASH 16
#define VALUE_SIZE 12

static uint64_t
now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static size_t
resident_size(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    unsigned long total = 0;
    unsigned long resident = 0;
    if (file == NULL || fscanf(file, "%lu %lu", &total, &resident) != 2) {
        exit(1);
    }
    fclose(file);
    return resident * (size_t)sysconf(_SC_PAGESIZE);
}

static struct slice
bench_member(char *buffer, uint64_t i, bool has_values)
{
    size_t size = has_values ? MEMBER_SIZE_HASH : MEMBER_SIZE_SET;
    memcpy(buffer, "element:000000000", MEMBER_SIZE_SET);
    for (size_t at = size; i > 0; i /= 10) {
        buffer[--at] = (char)('0' + i % 10);
    }
    return slice_of(buffer, size);
}

static void
report(const char *name, uint64_t ns, uint64_t count)
{
    printf("    %-28s %7.1f ns\n", name, (double)ns / (double)count);
}

static void
bench_insert(struct packed *packed, uint64_t count)
{
    char buffer[32];
    struct slice value = packed->has_values ? SLICE("value-123456") : slice_of(NULL, 0);
    uint64_t start_ns = now_ns();
    for (uint64_t i = 0; i < count; i++) {
        packed_insert(packed, bench_member(buffer, i, packed->has_values), value);
    }
    report("insert", now_ns() - start_ns, count);
}

static void
bench_find(const char *name, struct packed *packed, uint64_t count, uint64_t range)
{
    char buffer[32];
    struct random random;
    random_create(&random, 1);
    uint64_t found_count = 0;
    uint64_t start_ns = now_ns();
    for (uint64_t i = 0; i < count; i++) {
        uint64_t which = random_below(&random, range);
        struct slice value;
        found_count += packed_find(packed, bench_member(buffer, which, packed->has_values), &value);
    }
    report(name, now_ns() - start_ns, count);
    if (found_count != count) {
        exit(1);
    }
}

static void
bench_random(struct packed *packed, uint64_t count)
{
    struct random random;
    random_create(&random, 2);
    uint64_t sum = 0;
    uint64_t start_ns = now_ns();
    for (uint64_t i = 0; i < count; i++) {
        sum += packed_random(packed, &random).member.size;
    }
    report("random member", now_ns() - start_ns, count);
    if (sum == 0) {
        exit(1);
    }
}

static void
bench_remove(struct packed *packed, uint64_t count)
{
    char buffer[32];
    uint64_t start_ns = now_ns();
    for (uint64_t i = 0; i < count; i++) {
        packed_remove(packed, bench_member(buffer, i, packed->has_values));
    }
    report("remove", now_ns() - start_ns, count);
}

/** Each single step timed: what a turn may meet at worst. */
static void
bench_longest(uint64_t count, bool has_values)
{
    struct packed *packed = packed_new(5, has_values);
    char buffer[32];
    uint64_t longest_ns[2] = {0, 0};
    for (uint64_t i = 0; i < 2 * count; i++) {
        struct slice member = bench_member(buffer, i % count, has_values);
        uint64_t start_ns = now_ns();
        if (i < count) {
            packed_insert(packed, member, slice_of(NULL, 0));
        } else {
            packed_remove(packed, member);
        }
        uint64_t ns = now_ns() - start_ns;
        longest_ns[i >= count] = MAX(longest_ns[i >= count], ns);
    }
    printf("    longest insert, remove       %7.1f us, %.1f us\n", (double)longest_ns[0] / 1000,
           (double)longest_ns[1] / 1000);
    packed_delete(packed);
}

static void
bench_all(uint64_t count, bool has_values)
{
    size_t resident_before = resident_size();
    struct packed *packed = packed_new(42, has_values);
    printf("%s of %llu\n", has_values ? "hash" : "set", (unsigned long long)count);
    bench_insert(packed, count);
    printf("    bytes for each member        %7.2f counted, %.2f resident; longest chain %u\n",
           (double)packed->object.size / (double)count,
           (double)(resident_size() - resident_before) / (double)count, packed->chain_max);
    bench_find("find, hot (1000 members)", packed, 1000000, MIN(count, UINT64_C(1000)));
    bench_find("find, cold", packed, 1000000, count);
    bench_random(packed, 1000000);
    bench_remove(packed, count);
    packed_delete(packed);
    bench_longest(count, has_values);
}

/** In a process of its own, so that nothing is resident from before. */
static void
bench_alone(uint64_t count, bool has_values)
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        bench_all(count, has_values);
        fflush(stdout);
        _exit(0);
    }
    if (pid < 0 || waitpid(pid, NULL, 0) != pid) {
        exit(1);
    }
}

int
main(int argc, char **argv)
{
    uint64_t count = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
    bench_alone(count, false);
    bench_alone(count, true);
    return 0;
}
