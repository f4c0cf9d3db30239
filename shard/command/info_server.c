/*
 * info_server.c: INFO's sections about the process: what it is, what it holds, what is switched
 * off.
 *
 * Numbers of the operating system come from core/process.h, asked for once for each INFO at the
 * coordinator. Memory: `used_memory` is what the shards' accounts say, exact to the block; buffers
 * of connections are not in it, but in mem_clients_normal. The peak is the sum of the shards'
 * peaks, which need not have been at the same time: it is never too small. The allocator's three
 * numbers are:
 *
 *     allocator_allocated   used_memory and the connections' buffers, by size class
 *     allocator_active      of the next, what the allocator still counts as its own
 *     allocator_resident    pages in RAM that belong to no file: the allocator's, and the stacks
 *
 * The allocator takes address space in large pieces, most of it never touched: that is no memory
 * and not counted. What it has given back and the kernel has not yet taken is allocator_rss;
 * rss_overhead is the program itself.
 */
#include "core/clock.h"
#include "core/heap.h"
#include "core/process.h"
#include "shard/command/info_internal.h"
#include "shard/version.h"

#include <stdio.h>

#define INFO_HUMAN_SIZE 32

#ifdef TESSERA_SYSTEM_MALLOC
#define INFO_ALLOCATOR_NAME "libc"
#else
#define INFO_ALLOCATOR_TEXT_OF(value) #value
#define INFO_ALLOCATOR_TEXT(value) INFO_ALLOCATOR_TEXT_OF(value)
/** "mimalloc-209": the allocator's version is one number. */
#define INFO_ALLOCATOR_NAME "mimalloc-" INFO_ALLOCATOR_TEXT(MI_MALLOC_VERSION)
#endif

/** "967.01K": bytes as people read them. */
static const char *
info_human(char out[INFO_HUMAN_SIZE], uint64_t bytes)
{
    static const char units[] = "KMGTP";
    if (bytes < 1024) {
        snprintf(out, INFO_HUMAN_SIZE, "%lluB", (unsigned long long)bytes);
        return out;
    }
    double value = (double)bytes / 1024;
    uint32_t unit = 0;
    while (value >= 1024 && unit + 2 < sizeof(units)) {
        value /= 1024;
        unit++;
    }
    snprintf(out, INFO_HUMAN_SIZE, "%.2f%c", value, units[unit]);
    return out;
}

void
info_server(const struct info_sum *sum, struct output *out)
{
    char os[256];
    process_os_name(os, sizeof(os));
    const struct node *node = sum->node;
    int64_t uptime_s = MAX(sum->call->now_ms - node->start_ms, 0) / 1000;
    info_print(out,
               "redis_version:%s\r\ntessera_version:%s\r\nredis_git_sha1:00000000\r\n"
               "redis_git_dirty:0\r\nredis_build_id:0\r\nredis_mode:standalone\r\nos:%s\r\n"
               "arch_bits:%u\r\nmonotonic_clock:POSIX clock_gettime\r\n",
               TESSERA_REDIS_VERSION, TESSERA_VERSION, os, process_word_bits());
    info_print(out,
               "multiplexing_api:%s\r\nio_backend:%s\r\nio_reason:%s\r\n"
               "atomicvar_api:c11-builtin\r\ngcc_version:%s\r\nprocess_id:%lld\r\n"
               "process_supervised:no\r\nrun_id:%s\r\ntcp_port:%d\r\n",
               node->io_name == NULL ? "" : node->io_name,
               node->io_name == NULL ? "" : node->io_name,
               node->io_reason == NULL ? "" : node->io_reason, process_compiler_version(),
               (long long)process_id(), node->run_id, (int)node->tcp_port);
    info_print(out,
               "server_time_usec:%lld\r\nuptime_in_seconds:%lld\r\nuptime_in_days:%lld\r\n"
               "hz:%lld\r\nconfigured_hz:%lld\r\nlru_clock:%lld\r\n",
               (long long)clock_unix_us(), (long long)uptime_s, (long long)(uptime_s / 86400),
               (long long)sum->config->hz, (long long)sum->config->hz,
               (long long)((sum->call->now_ms / 1000) & 0xffffff));
    info_print(out, "executable:%s\r\n", node->executable);
    info_print(out, "config_file:%s\r\n",
               sum->config->file_path == NULL ? "" : sum->config->file_path);
    info_print(out, "io_threads_active:0\r\nshards:%u\r\n", node->shard_count);
}

void
info_clients(const struct info_sum *sum, struct output *out)
{
    info_print(out,
               "connected_clients:%llu\r\ncluster_connections:0\r\nmaxclients:%lld\r\n"
               "client_recent_max_input_buffer:%llu\r\nclient_recent_max_output_buffer:%llu\r\n"
               "blocked_clients:%llu\r\ntracking_clients:%llu\r\nclients_in_timeout_table:0\r\n",
               (unsigned long long)sum->session_count, (long long)sum->config->maxclients,
               (unsigned long long)sum->session_input_size_max,
               (unsigned long long)sum->session_output_size_max,
               (unsigned long long)sum->blocked_count,
               (unsigned long long)sum->tracking_session_count);
}

static void
info_memory_bytes(struct output *out, const char *name, uint64_t bytes)
{
    char human[INFO_HUMAN_SIZE];
    info_print(out, "%s:%llu\r\n%s_human:%s\r\n", name, (unsigned long long)bytes, name,
               info_human(human, bytes));
}

static const char *
info_policy_name(enum config_maxmemory_policy policy)
{
    static const char *const names[] = {
        [CONFIG_MAXMEMORY_VOLATILE_LRU] = "volatile-lru",
        [CONFIG_MAXMEMORY_VOLATILE_LFU] = "volatile-lfu",
        [CONFIG_MAXMEMORY_VOLATILE_RANDOM] = "volatile-random",
        [CONFIG_MAXMEMORY_VOLATILE_TTL] = "volatile-ttl",
        [CONFIG_MAXMEMORY_ALLKEYS_LRU] = "allkeys-lru",
        [CONFIG_MAXMEMORY_ALLKEYS_LFU] = "allkeys-lfu",
        [CONFIG_MAXMEMORY_ALLKEYS_RANDOM] = "allkeys-random",
        [CONFIG_MAXMEMORY_NOEVICTION] = "noeviction",
    };
    ASSERT((size_t)policy < ARRAY_COUNT(names));
    return names[policy];
}

/** Of used_memory: the most it was, what is not keys and values, and what the empty server had. */
static void
info_memory_used(const struct info_sum *sum, uint64_t used, uint64_t peak, struct output *out)
{
    uint64_t data = MIN(sum->data_size, used);
    uint64_t beyond_start = used - MIN(sum->memory_start_size, used);
    info_print(
        out,
        "used_memory_peak_perc:%.2f%%\r\nused_memory_overhead:%llu\r\n"
        "used_memory_startup:%llu\r\nused_memory_dataset:%llu\r\n"
        "used_memory_dataset_perc:%.2f%%\r\n",
        peak == 0 ? 0 : 100.0 * (double)used / (double)peak, (unsigned long long)(used - data),
        (unsigned long long)sum->memory_start_size, (unsigned long long)sum->data_size,
        beyond_start == 0 ? 0 : 100.0 * (double)MIN(data, beyond_start) / (double)beyond_start);
}

const char *
info_allocator_name(void)
{
    return INFO_ALLOCATOR_NAME;
}

struct info_allocator
info_allocator(const struct info_sum *sum)
{
    uint64_t anonymous = process_anonymous_size();
    return (struct info_allocator){
        .allocated = sum->memory_used_size + sum->session_memory_size,
        .active = MIN(process_heap_size(), anonymous),
        .resident = anonymous,
    };
}

/** How much more the one is than the other, as a ratio and in bytes. */
static void
info_memory_gap(struct output *out, const char *name, uint64_t outer, uint64_t inner)
{
    info_print(out, "%s_ratio:%.2f\r\n%s_bytes:%lld\r\n", name,
               inner == 0 ? 0 : (double)outer / (double)inner, name,
               (long long)outer - (long long)inner);
}

void
info_memory(const struct info_sum *sum, struct output *out)
{
    uint64_t used = sum->memory_used_size;
    uint64_t peak = MAX(sum->memory_peak_size, used);
    uint64_t resident = process_resident_size();
    struct info_allocator allocator = info_allocator(sum);
    info_memory_bytes(out, "used_memory", used);
    info_memory_bytes(out, "used_memory_rss", resident);
    info_memory_bytes(out, "used_memory_peak", peak);
    info_memory_used(sum, used, peak, out);
    info_print(out,
               "allocator_allocated:%llu\r\nallocator_active:%llu\r\n"
               "allocator_resident:%llu\r\n",
               (unsigned long long)allocator.allocated, (unsigned long long)allocator.active,
               (unsigned long long)allocator.resident);
    info_memory_bytes(out, "total_system_memory", process_machine_memory_size());
    info_print(out, "used_memory_lua:0\r\nused_memory_vm_eval:0\r\nused_memory_lua_human:0B\r\n"
                    "used_memory_scripts_eval:0\r\nnumber_of_cached_scripts:0\r\n"
                    "number_of_functions:0\r\nnumber_of_libraries:0\r\n"
                    "used_memory_vm_functions:0\r\nused_memory_vm_total:0\r\n"
                    "used_memory_vm_total_human:0B\r\nused_memory_functions:0\r\n"
                    "used_memory_scripts:0\r\nused_memory_scripts_human:0B\r\n");
    info_memory_bytes(out, "maxmemory", sum->config->maxmemory);
    info_print(out, "maxmemory_policy:%s\r\n",
               info_policy_name((enum config_maxmemory_policy)sum->config->maxmemory_policy));
    info_memory_gap(out, "allocator_frag", allocator.active, allocator.allocated);
    info_memory_gap(out, "allocator_rss", allocator.resident, allocator.active);
    info_memory_gap(out, "rss_overhead", resident, allocator.resident);
    info_memory_gap(out, "mem_fragmentation", resident, used);
    info_print(out,
               "mem_not_counted_for_evict:0\r\nmem_replication_backlog:0\r\n"
               "mem_total_replication_buffers:0\r\nmem_clients_slaves:0\r\n"
               "mem_clients_normal:%llu\r\nmem_cluster_links:0\r\nmem_aof_buffer:0\r\n"
               "mem_allocator:%s\r\nactive_defrag_running:0\r\nlazyfree_pending_objects:%llu\r\n"
               "lazyfreed_objects:%llu\r\n",
               (unsigned long long)sum->session_memory_size, INFO_ALLOCATOR_NAME,
               (unsigned long long)sum->garbage_count, (unsigned long long)sum->collected_count);
}

void
info_cpu(const struct info_sum *sum, struct output *out)
{
    struct process_cpu cpu;
    process_cpu(&cpu);
    info_print(out,
               "used_cpu_sys:%lld.%06lld\r\nused_cpu_user:%lld.%06lld\r\n"
               "used_cpu_sys_children:0.000000\r\nused_cpu_user_children:0.000000\r\n",
               (long long)(cpu.system_us / 1000000), (long long)(cpu.system_us % 1000000),
               (long long)(cpu.user_us / 1000000), (long long)(cpu.user_us % 1000000));
    /* The thread that takes signals and the Unix socket is core 0's. */
    const struct process_cpu *first = &sum->parts[0]->cpu_thread;
    info_print(out,
               "used_cpu_sys_main_thread:%lld.%06lld\r\n"
               "used_cpu_user_main_thread:%lld.%06lld\r\n",
               (long long)(first->system_us / 1000000), (long long)(first->system_us % 1000000),
               (long long)(first->user_us / 1000000), (long long)(first->user_us % 1000000));
}

/** Core 0 knows; without it (in tests) there is nothing to say. */
void
info_persistence(const struct info_sum *sum, struct output *out)
{
    const struct persistence_facts *facts = &sum->parts[0]->persistence;
    if (facts->is_known) {
        char text[PERSISTENCE_INFO_SIZE_MAX];
        output_append(out, text, persistence_facts_show(facts, sum->node, text, sizeof(text)));
    }
}

/** A master without replicas, whose history has the process's id. */
void
info_replication(const struct info_sum *sum, struct output *out)
{
    info_print(out,
               "role:master\r\nconnected_slaves:0\r\nmaster_failover_state:no-failover\r\n"
               "master_replid:%s\r\nmaster_replid2:0000000000000000000000000000000000000000\r\n"
               "master_repl_offset:0\r\nsecond_repl_offset:-1\r\nrepl_backlog_active:0\r\n"
               "repl_backlog_size:%llu\r\nrepl_backlog_first_byte_offset:0\r\n"
               "repl_backlog_histlen:0\r\n",
               sum->node->run_id, (unsigned long long)sum->config->repl_backlog_size);
}

void
info_modules(const struct info_sum *sum, struct output *out)
{
    MAYBE(sum->part_count > 0 && output_is_empty(out));
}

void
info_cluster(const struct info_sum *sum, struct output *out)
{
    info_print(out, "cluster_enabled:%d\r\n", sum->config->cluster_enabled);
}
