#include "core/clock.h"
#include "core/random.h"
#include "shard/value/ztree.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/*
 * micro_ztree.c: what a member of a large sorted set costs, in bytes and in nanoseconds, and how
 * long the longest step is. micro_ztree [members, default 1000000]
 */

#define MEMBER_SIZE 17
#define LOOK_COUNT 1000000

struct bench {
    struct ztree *tree;
    struct random random;
    uint32_t count;
};

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
bench_member(char *buffer, uint64_t i)
{
    snprintf(buffer, MEMBER_SIZE + 1, "member:%010llu", (unsigned long long)i);
    return slice_of(buffer, MEMBER_SIZE);
}

static double
bench_score(struct bench *bench)
{
    return (double)random_below(&bench->random, UINT64_C(1) << 40) / 1024;
}

static void
bench_fill(struct bench *bench, uint32_t order)
{
    uint64_t longest_ns = 0;
    uint64_t sum_ns = 0;
    size_t resident_before = resident_size();
    for (uint32_t i = 0; i < bench->count; i++) {
        char buffer[MEMBER_SIZE + 1];
        struct slice member = bench_member(buffer, i);
        double score = order == 0 ? bench_score(bench) : order == 1 ? (double)i : 0;
        uint64_t start_ns = clock_thread_cpu_ns();
        ztree_put(bench->tree, member, score);
        uint64_t step_ns = clock_thread_cpu_ns() - start_ns;
        longest_ns = MAX(longest_ns, step_ns);
        sum_ns += step_ns;
    }
    double count = bench->count;
    printf("  new     %7.1f ns (with the clock), longest %.0f us\n", (double)sum_ns / count,
           (double)longest_ns / 1000);
    printf("  bytes   %7.2f counted, %.2f resident\n", (double)object_size(bench->tree) / count,
           (double)(resident_size() - resident_before) / count);
}

static void
bench_one(struct bench *bench, const char *name, uint32_t what)
{
    uint64_t found_count = 0;
    uint64_t start_ns = clock_monotonic_ns();
    for (uint32_t i = 0; i < LOOK_COUNT; i++) {
        char buffer[MEMBER_SIZE + 1];
        uint64_t rank = random_below(&bench->random, bench->count);
        struct slice member = bench_member(buffer, rank);
        double score;
        switch (what) {
        case 0:
            break;
        case 1:
            found_count += ztree_find(bench->tree, member, &score);
            break;
        case 2:
            found_count += ztree_rank(bench->tree, member, &rank, NULL);
            break;
        case 3:
            found_count += ztree_put(bench->tree, member, bench_score(bench));
            break;
        case 4: {
            struct ztree_place place = ztree_at(bench->tree, rank);
            for (uint32_t k = 0; k < 10 && place.leaf != ZTREE_NONE; k++) {
                found_count += ztree_get(bench->tree, place).member.size;
                place = ztree_next(bench->tree, place);
            }
            break;
        }
        case 5:
            found_count += ztree_rank_of_score(bench->tree, bench_score(bench), false);
            break;
        default:
            ztree_remove(bench->tree, member);
            ztree_put(bench->tree, member, bench_score(bench));
            break;
        }
    }
    printf("  %-8s%7.1f ns (%llu)\n", name, (double)(clock_monotonic_ns() - start_ns) / LOOK_COUNT,
           (unsigned long long)found_count);
}

static void
bench_order(uint32_t count, uint32_t order, const char *name)
{
    struct bench bench = {.tree = ztree_new(42), .count = count};
    random_create(&bench.random, 42);
    printf("%u members, %s scores\n", count, name);
    bench_fill(&bench, order);
    static const char *const names[] = {"nothing", "score", "rank",   "update",
                                        "nth +10", "count", "replace"};
    for (uint32_t i = 0; i < ARRAY_COUNT(names); i++) {
        bench_one(&bench, names[i], i);
    }
    printf("  bytes   %7.2f counted\n", (double)object_size(bench.tree) / count);
    uint64_t longest_ns = 0;
    bool is_done = false;
    while (!is_done) {
        uint64_t start_ns = clock_thread_cpu_ns();
        is_done = ztree_free_steps(bench.tree, 1000);
        longest_ns = MAX(longest_ns, clock_thread_cpu_ns() - start_ns);
    }
    printf("  free    longest %.0f us for 1000 steps\n", (double)longest_ns / 1000);
}

int
main(int argc, char **argv)
{
    uint32_t count = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 1000000;
    bench_order(count, 0, "random");
    bench_order(count, 1, "ascending");
    bench_order(count, 2, "equal");
    return 0;
}
