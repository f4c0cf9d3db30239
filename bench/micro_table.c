#include "core/clock.h"
#include "core/keyslot.h"
#include "core/memory.h"
#include "core/random.h"
#include "shard/keyspace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * micro_table.c: what a key costs, in bytes and in nanoseconds, and how long the longest step of a
 * growing table is. micro_table [keys of the large table, default 10000000]
 */

#define KEY_COUNT 1000000
#define KEY_SIZE 16
#define BATCH_COUNT 30

struct bench {
    struct memory memory;
    struct keyspace keyspace;
    struct clock_scale scale;
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
bench_key(char *buffer, uint64_t i)
{
    snprintf(buffer, KEY_SIZE + 1, "key:%012llu", (unsigned long long)i);
    return slice_of(buffer, KEY_SIZE);
}

static void
bench_fill(struct bench *bench, uint32_t key_count, size_t value_size, bool has_deadline)
{
    char bytes[1024];
    memset(bytes, 'v', sizeof(bytes));
    struct value value = value_string(slice_of(bytes, value_size), ENCODING_EMBSTR);
    for (uint32_t i = 0; i < key_count; i++) {
        char buffer[KEY_SIZE + 1];
        struct slice key = bench_key(buffer, i);
        int64_t deadline_ms = has_deadline ? 3600000 + i / 200 : ENTRY_NO_DEADLINE;
        keyspace_put(&bench->keyspace, 0, key_slot(key), keyspace_hash(&bench->keyspace, key), key,
                     NULL, &value, deadline_ms);
    }
}

static void
bench_clear(struct bench *bench)
{
    keyspace_flush_all(&bench->keyspace);
    while (!keyspace_collect(&bench->keyspace, UINT32_MAX)) {
    }
}

static void
bench_bytes(uint32_t key_count, size_t value_size, bool has_deadline)
{
    struct bench bench;
    size_t resident_before = resident_size();
    memory_create(&bench.memory);
    keyspace_create(&bench.keyspace, &bench.memory, 1, 42, 0);
    uint64_t used_before = bench.memory.used_size;
    bench_fill(&bench, key_count, value_size, has_deadline);
    uint64_t table_bytes = 0;
    for (uint32_t slot = 0; slot < SLOT_COUNT; slot++) {
        table_bytes += table_size(&bench.keyspace.databases[0].slots[slot].table);
    }
    double count = key_count;
    printf(
        "%8u keys, value %3zu, deadline %d: %6.2f used, %6.2f resident; entry %6.2f table %5.2f\n",
        key_count, value_size, has_deadline, (double)(bench.memory.used_size - used_before) / count,
        (double)(resident_size() - resident_before) / count,
        (double)bench.keyspace.databases[0].byte_count / count, (double)table_bytes / count);
    fflush(stdout);
    bench_clear(&bench);
    keyspace_destroy(&bench.keyspace);
    memory_destroy(&bench.memory);
}

/** In a process of its own, so that nothing is resident from before. */
static void
bench_bytes_alone(uint32_t key_count, size_t value_size, bool has_deadline)
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        bench_bytes(key_count, value_size, has_deadline);
        _exit(0);
    }
    if (pid < 0 || waitpid(pid, NULL, 0) != pid) {
        exit(1);
    }
}

static void
bench_find(struct bench *bench, const char *name, uint32_t key_count, uint32_t step, bool prefetch)
{
    struct keyspace *keyspace = &bench->keyspace;
    struct slice keys[BATCH_COUNT];
    uint32_t slots[BATCH_COUNT];
    uint64_t hashes[BATCH_COUNT];
    char buffers[BATCH_COUNT][KEY_SIZE + 1];
    uint64_t found_count = 0;
    uint64_t ns = 0;
    uint64_t next = 0;
    for (uint32_t round = 0; round < 40000; round++) {
        for (uint32_t i = 0; i < BATCH_COUNT; i++) {
            keys[i] = bench_key(buffers[i], next);
            next = (next + step) % key_count;
        }
        uint64_t start = clock_ticks();
        for (uint32_t i = 0; i < BATCH_COUNT; i++) {
            slots[i] = key_slot(keys[i]);
            hashes[i] = keyspace_hash(keyspace, keys[i]);
            if (prefetch) {
                keyspace_prefetch_slot(keyspace, 0, slots[i]);
            }
        }
        for (uint32_t i = 0; prefetch && i < BATCH_COUNT; i++) {
            keyspace_prefetch_bucket(keyspace, 0, slots[i], hashes[i]);
        }
        uint32_t overflow_count = 0;
        uint32_t overflows[BATCH_COUNT];
        for (uint32_t i = 0; prefetch && i < BATCH_COUNT; i++) {
            overflows[overflow_count] = i;
            overflow_count += !keyspace_prefetch_entry(keyspace, 0, slots[i], hashes[i]);
        }
        for (uint32_t i = 0; i < overflow_count; i++) {
            uint32_t k = overflows[i];
            keyspace_prefetch_overflow(keyspace, 0, slots[k], hashes[k]);
        }
        for (uint32_t i = 0; i < BATCH_COUNT; i++) {
            struct entry *entry = keyspace_find(keyspace, 0, slots[i], keys[i], hashes[i]);
            struct value value;
            entry_value(entry, &value);
            found_count += (unsigned char)value.bytes.data[value.bytes.size - 1] == 'v';
        }
        ns += clock_ticks() - start;
    }
    ns = clock_ticks_to_ns(&bench->scale, ns);
    printf("find %-24s %6.1f ns\n", name, (double)ns / (double)found_count);
    fflush(stdout);
}

static void
bench_change(struct bench *bench)
{
    struct keyspace *keyspace = &bench->keyspace;
    uint64_t start = clock_thread_cpu_ns();
    bench_fill(bench, KEY_COUNT, 32, false);
    uint64_t ns = clock_thread_cpu_ns() - start;
    printf("insert %24s %6.1f ns (with making the key)\n", "", (double)ns / KEY_COUNT);
    start = clock_thread_cpu_ns();
    for (uint32_t i = 0; i < KEY_COUNT; i++) {
        char buffer[KEY_SIZE + 1];
        struct slice key = bench_key(buffer, (uint64_t)i * 7919 % KEY_COUNT);
        uint64_t hash = keyspace_hash(keyspace, key);
        uint32_t slot = key_slot(key);
        struct entry *entry = keyspace_find(keyspace, 0, slot, key, hash);
        keyspace_remove(keyspace, 0, slot, hash, entry);
    }
    ns = clock_thread_cpu_ns() - start;
    printf("delete %24s %6.1f ns (with making the key)\n", "", (double)ns / KEY_COUNT);
}

/** One slot takes all, and gives all back. `least_ns[i]` is the least CPU time that insert i has
 * taken so far. */
static void
bench_large_once(uint32_t key_count, uint32_t *least_ns, bool is_last)
{
    struct bench bench;
    memory_create(&bench.memory);
    keyspace_create(&bench.keyspace, &bench.memory, 1, 42, 0);
    struct keyspace *keyspace = &bench.keyspace;
    struct value value = value_integer(1);
    uint64_t before = clock_thread_cpu_ns();
    for (uint32_t i = 0; i < 2 * key_count; i++) {
        char buffer[KEY_SIZE + 1];
        struct slice key = bench_key(buffer, i % key_count);
        uint64_t hash = keyspace_hash(keyspace, key);
        if (i < key_count) {
            keyspace_put(keyspace, 0, 1, hash, key, NULL, &value, ENTRY_NO_DEADLINE);
        } else {
            keyspace_remove(keyspace, 0, 1, hash, keyspace_find(keyspace, 0, 1, key, hash));
        }
        uint64_t now = clock_thread_cpu_ns();
        least_ns[i] = (uint32_t)MIN(now - before, least_ns[i]);
        if (is_last && i == key_count - 1) {
            const struct table *table = &keyspace->databases[0].slots[1].table;
            printf("one slot of %u keys: table %.2f bytes a key, %u buckets\n", key_count,
                   (double)table_size(table) / key_count, table->bucket_count);
        }
        before = clock_thread_cpu_ns();
    }
    keyspace_destroy(keyspace);
    memory_destroy(&bench.memory);
}

/**
 * The longest single insert and delete of a table that grows to `key_count` and shrinks again.
 * Every run does the same, so what only one of three runs sees is the machine's doing, not ours.
 */
static void
bench_large(uint32_t key_count)
{
    uint32_t *least_ns = malloc(2 * (size_t)key_count * sizeof(*least_ns));
    memset(least_ns, 0xff, 2 * (size_t)key_count * sizeof(*least_ns));
    for (unsigned i = 0; i < 3; i++) {
        bench_large_once(key_count, least_ns, i == 2);
    }
    for (unsigned half = 0; half < 2; half++) {
        uint32_t worst_ns = 0;
        uint64_t sum_ns = 0;
        for (uint32_t i = 0; i < key_count; i++) {
            worst_ns = MAX(worst_ns, least_ns[half * key_count + i]);
            sum_ns += least_ns[half * key_count + i];
        }
        printf("  %s: %.1f ns each, worst %.1f us (with reading the clock)\n",
               half == 0 ? "insert" : "delete", (double)sum_ns / key_count,
               (double)worst_ns / 1000);
    }
    free(least_ns);
}

struct bench_expiry {
    struct keyspace *keyspace;
    uint64_t count;
};

static void
bench_due(void *context, uint32_t db, uint32_t slot, uint64_t hash, struct entry *entry)
{
    struct bench_expiry *expiry = context;
    keyspace_remove(expiry->keyspace, db, slot, hash, entry);
    expiry->count++;
}

/** A million keys of one second, in turns of at most 1000 steps. */
static void
bench_expire(void)
{
    struct bench bench;
    memory_create(&bench.memory);
    keyspace_create(&bench.keyspace, &bench.memory, 1, 42, 0);
    struct random random;
    random_create(&random, 1);
    struct value value = value_integer(1);
    for (uint32_t i = 0; i < KEY_COUNT; i++) {
        char buffer[KEY_SIZE + 1];
        struct slice key = bench_key(buffer, i);
        keyspace_put(&bench.keyspace, 0, key_slot(key), keyspace_hash(&bench.keyspace, key), key,
                     NULL, &value, 60000 + (int64_t)random_below(&random, 1000));
    }
    struct bench_expiry expiry = {.keyspace = &bench.keyspace};
    uint64_t worst_ns = 0;
    uint64_t start = clock_thread_cpu_ns();
    uint64_t before = start;
    for (int64_t now_ms = 0; expiry.count < KEY_COUNT; now_ms++) {
        keyspace_advance(&bench.keyspace, now_ms, 1000, bench_due, &expiry);
        uint64_t now = clock_thread_cpu_ns();
        worst_ns = MAX(worst_ns, now - before);
        before = now;
    }
    printf("expire 1M keys of one second: %.1f ns each, worst advance of 1000 steps %.1f us\n",
           (double)(before - start) / KEY_COUNT, (double)worst_ns / 1000);
    fflush(stdout);
    keyspace_destroy(&bench.keyspace);
    memory_destroy(&bench.memory);
}

int
main(int argc, char **argv)
{
    static const uint32_t counts[] = {16384, 100000, 500000, 2000000};
    for (unsigned i = 0; i < ARRAY_COUNT(counts); i++) {
        bench_bytes_alone(counts[i], 32, false);
    }
    static const size_t sizes[] = {8, 32, 200};
    for (unsigned i = 0; i < ARRAY_COUNT(sizes); i++) {
        bench_bytes_alone(KEY_COUNT, sizes[i], false);
        bench_bytes_alone(KEY_COUNT, sizes[i], true);
    }
    struct bench bench;
    memory_create(&bench.memory);
    keyspace_create(&bench.keyspace, &bench.memory, 1, 42, 0);
    clock_scale_create(&bench.scale);
    bench_change(&bench);
    bench_fill(&bench, KEY_COUNT, 32, false);
    bench_find(&bench, "hot (1000 keys)", 1000, 1, false);
    bench_find(&bench, "cold", KEY_COUNT, 611953, false);
    bench_find(&bench, "cold, batch of 30", KEY_COUNT, 611953, true);
    keyspace_destroy(&bench.keyspace);
    memory_destroy(&bench.memory);
    bench_expire();
    bench_large(argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 10000000);
    return 0;
}
