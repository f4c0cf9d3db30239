#include "core/clock.h"
#include "core/memory.h"
#include "core/random.h"
#include "core/wheel.h"

#include <stdio.h>
#include <stdlib.h>

/*
 * micro_wheel.c: what a deadline costs: adding, removing, moving inward and coming due, and the
 * longest single advance while a crowd comes due. A node of a million lies by itself in memory, as
 * entries do.
 */

#define NODE_COUNT 1000000
#define STEP_COUNT_MAX 1000

static void
bench_due(void *context, struct wheel_node *node)
{
    (void)node;
    (*(uint64_t *)context)++;
}

static struct wheel_node **
nodes_new(struct memory *memory, struct random *random, int64_t from_ms, int64_t span_ms)
{
    struct wheel_node **nodes = malloc(NODE_COUNT * sizeof(*nodes));
    for (uint32_t i = 0; i < NODE_COUNT; i++) {
        nodes[i] = memory_alloc(memory, 80);
        int64_t delay_ms = (int64_t)random_below(random, (uint64_t)span_ms);
        *nodes[i] = (struct wheel_node){.deadline_ms = from_ms + delay_ms, .place = WHEEL_NOWHERE};
    }
    return nodes;
}

static void
nodes_delete(struct memory *memory, struct wheel_node **nodes)
{
    for (uint32_t i = 0; i < NODE_COUNT; i++) {
        memory_free(memory, nodes[i], 80);
    }
    free(nodes);
}

/** A million deadlines within `span_ms` from `delay_ms` on, in turns of 1 ms. */
static void
bench_crowd(const char *name, int64_t delay_ms, int64_t span_ms)
{
    struct memory memory;
    struct wheel wheel;
    struct random random;
    memory_create(&memory);
    random_create(&random, 1);
    int64_t now_ms = 1700000000000;
    wheel_create(&wheel, &memory, now_ms);
    struct wheel_node **nodes = nodes_new(&memory, &random, now_ms + delay_ms, span_ms);
    uint64_t before_size = memory.used_size;
    uint64_t start = clock_thread_cpu_ns();
    for (uint32_t i = 0; i < NODE_COUNT; i++) {
        wheel_add(&wheel, nodes[i]);
    }
    uint64_t add_ns = clock_thread_cpu_ns() - start;
    double node_size = (double)(memory.used_size - before_size) / NODE_COUNT;
    uint64_t due_count = 0;
    uint64_t worst_ns = 0;
    uint64_t all_ns = 0;
    uint64_t call_count = 0;
    while (due_count < NODE_COUNT) {
        start = clock_thread_cpu_ns();
        wheel_advance(&wheel, now_ms, STEP_COUNT_MAX, bench_due, &due_count);
        uint64_t ns = clock_thread_cpu_ns() - start;
        worst_ns = MAX(worst_ns, ns);
        all_ns += ns;
        call_count++;
        now_ms = MAX(now_ms + 1, wheel_next_ms(&wheel));
    }
    printf("%-28s add %5.1f ns, %5.2f bytes each; until due %5.1f ns each in %llu advances, worst "
           "%.1f us\n",
           name, (double)add_ns / NODE_COUNT, node_size, (double)all_ns / NODE_COUNT,
           (unsigned long long)call_count, (double)worst_ns / 1000);
    wheel_destroy(&wheel);
    nodes_delete(&memory, nodes);
    memory_destroy(&memory);
}

static void
bench_remove(void)
{
    struct memory memory;
    struct wheel wheel;
    struct random random;
    memory_create(&memory);
    random_create(&random, 1);
    wheel_create(&wheel, &memory, 0);
    struct wheel_node **nodes = nodes_new(&memory, &random, 3600000, 60000);
    for (uint32_t i = 0; i < NODE_COUNT; i++) {
        wheel_add(&wheel, nodes[i]);
    }
    uint64_t start = clock_thread_cpu_ns();
    for (uint32_t i = 0; i < NODE_COUNT; i++) {
        wheel_remove(&wheel, nodes[(uint64_t)i * 7919 % NODE_COUNT]);
    }
    uint64_t ns = clock_thread_cpu_ns() - start;
    printf("remove in random order       %5.1f ns\n", (double)ns / NODE_COUNT);
    wheel_destroy(&wheel);
    nodes_delete(&memory, nodes);
    memory_destroy(&memory);
}

int
main(void)
{
    bench_crowd("all within 10 s", 0, 10000);
    bench_crowd("one second, an hour ahead", 3600000, 1000);
    bench_crowd("one millisecond, a day ahead", 86400000, 1);
    bench_remove();
    return 0;
}
