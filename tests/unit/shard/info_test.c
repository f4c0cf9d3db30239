#include "rig.h"

#include "core/random.h"
#include "shard/stats.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

Test(info, sections)
{
    struct rig *rig = rig_new();
    cr_assert(rig_says(rig, "INFO foo", "$0\r\n\r\n"));
    cr_assert(rig_says(rig, "INFO keyspace", "$12\r\n# Keyspace\r\n\r\n"));
    cr_assert(rig_says(rig, "INFO KEYSPACE keyspace cluster",
                       "$44\r\n# Cluster\r\ncluster_enabled:0\r\n\r\n# Keyspace\r\n\r\n"));
    cr_assert(rig_shows(rig, "INFO", "# Server\r\nredis_version:7.0.15\r\n"));
    cr_assert(rig_shows(rig, "INFO", "connected_clients:3\r\n"));
    cr_assert_null(strstr(harness_line(rig->harness, "INFO"), "# Commandstats"));
    cr_assert_null(strstr(harness_line(rig->harness, "INFO default"), "# Latencystats"));
    cr_assert(rig_shows(rig, "INFO all", "# Commandstats\r\n"));
    cr_assert(rig_shows(rig, "INFO everything", "# Latencystats\r\n"));
    cr_assert(rig_shows(rig, "INFO cores", "core0:cpu=-1,connections=3,keys=0,"));
    harness_line(rig->harness, "HELLO 3");
    cr_assert(rig_says(rig, "INFO cluster", "=34\r\ntxt:# Cluster\r\ncluster_enabled:0\r\n\r\n"));
    rig_delete(rig);
}

Test(info, counts_keys_and_deadlines)
{
    struct rig *rig = rig_new();
    harness_line(rig->harness, "SET a 1");
    harness_line(rig->harness, "SET b 2 PX 1000");
    harness_line(rig->harness, "SET c 2 PX 3000");
    harness_line(rig->harness, "SELECT 3");
    harness_line(rig->harness, "SET d 2");
    cr_assert(rig_shows(rig, "INFO keyspace",
                        "db0:keys=3,expires=2,avg_ttl=2000\r\ndb3:keys=1,expires=0,avg_ttl=0\r\n"));
    harness_advance(rig->harness, 500);
    cr_assert(rig_shows(rig, "INFO keyspace", "db0:keys=3,expires=2,avg_ttl=1500\r\n"));
    rig_delete(rig);
}

static const struct command *
row(struct rig *rig, const char *name, const char *subcommand)
{
    struct slice argv[2] = {slice_of_string(name), slice_of_string(subcommand)};
    return command_resolve(rig->harness->table, argv, subcommand[0] == '\0' ? 1 : 2);
}

Test(info, commands_and_errors_are_counted)
{
    struct rig *rig = rig_new();
    struct shard *shard = rig->harness->shard;
    /* One tick is one nanosecond. */
    shard->node->clock_scale.ns_per_tick_q32 = UINT64_C(1) << 32;
    for (uint32_t i = 1; i <= 100; i++) {
        stats_command(shard, row(rig, "get", ""), i * 1000, i % 10 == 0);
    }
    stats_reject(shard, row(rig, "get", ""));
    stats_command(shard, row(rig, "client", "list"), 5000, false);
    stats_error(shard, "ERR");
    stats_error(shard, "WRONGTYPE");
    stats_error(shard, "ERR");
    cr_assert(rig_shows(rig, "INFO commandstats",
                        "# Commandstats\r\n"
                        "cmdstat_client|list:calls=1,usec=5,usec_per_call=5.00,rejected_calls=0,"
                        "failed_calls=0\r\n"
                        "cmdstat_get:calls=100,usec=5050,usec_per_call=50.50,rejected_calls=1,"
                        "failed_calls=10\r\n"));
    cr_assert(
        rig_shows(rig, "INFO errorstats",
                  "# Errorstats\r\nerrorstat_ERR:count=2\r\nerrorstat_WRONGTYPE:count=1\r\n"));
    const char *reply = harness_line(rig->harness, "INFO latencystats");
    const char *line = strstr(reply, "latency_percentiles_usec_get:p50=");
    cr_assert_not_null(line);
    double p50;
    double p99;
    cr_assert_eq(sscanf(line, "latency_percentiles_usec_get:p50=%lf,p99=%lf", &p50, &p99), 2);
    cr_assert(p50 >= 50 && p50 <= 51, "p50 is %f", p50);
    cr_assert(p99 >= 99 && p99 <= 101, "p99 is %f", p99);
    cr_assert(rig_says(rig, "CONFIG RESETSTAT", "+OK\r\n"));
    cr_assert(rig_says(rig, "INFO commandstats errorstats latencystats",
                       "$50\r\n# Commandstats\r\n\r\n# Errorstats\r\n\r\n# Latencystats\r\n\r\n"));
    rig_delete(rig);
}

Test(info, histogram_buckets_cover_all_durations)
{
    struct random random;
    uint64_t seed = random_system_seed();
    random_create(&random, seed);
    cr_assert_eq(stats_bucket(UINT64_MAX), STATS_HISTOGRAM_SIZE - 1);
    for (uint32_t i = 0; i < 100000; i++) {
        uint64_t ticks = random_next(&random) >> (18 + random_below(&random, 46));
        uint32_t bucket = stats_bucket(ticks);
        cr_assert(bucket < STATS_HISTOGRAM_SIZE, "seed %llu", (unsigned long long)seed);
        uint64_t end = stats_bucket_end(bucket);
        cr_assert(ticks <= end, "seed %llu", (unsigned long long)seed);
        cr_assert(end - ticks <= ticks / 64, "seed %llu", (unsigned long long)seed);
        cr_assert(bucket == 0 || stats_bucket_end(bucket - 1) < ticks, "seed %llu",
                  (unsigned long long)seed);
    }
}

Test(info, rates_are_of_the_last_moments)
{
    struct rig *rig = rig_new();
    struct shard *shard = rig->harness->shard;
    struct stats_sample span;
    stats_recent(shard, &span);
    cr_assert_eq(span.command_count, 0);
    for (uint32_t i = 0; i < 50; i++) {
        shard->counters.command_count += 10;
        shard->counters.busy_ns += 25;
        shard->counters.idle_ns += 75;
        harness_advance(rig->harness, 100);
        stats_sample(shard);
        stats_sample(shard);
    }
    stats_recent(shard, &span);
    cr_assert_eq(span.at_ms, 1500);
    cr_assert_eq(span.command_count, 150);
    cr_assert(rig_shows(rig, "INFO stats", "instantaneous_ops_per_sec:100\r\n"));
    cr_assert(rig_shows(rig, "INFO cores", ",busy=0.250,"));
    /* A core that slept: nothing happened since its newest sample. */
    harness_advance(rig->harness, 60000);
    cr_assert(rig_shows(rig, "INFO stats", "instantaneous_ops_per_sec:0\r\n"));
    rig_delete(rig);
}

Test(info, fields_that_dashboards_read)
{
    static const char *const fields[] = {
        "redis_mode:standalone",
        "uptime_in_seconds:0",
        "process_id:",
        "tessera_version:",
        "maxclients:10000",
        "blocked_clients:0",
        "used_memory:",
        "used_memory_rss_human:",
        "used_memory_peak:",
        "maxmemory_policy:noeviction",
        "mem_fragmentation_ratio:",
        "mem_allocator:",
        "loading:0",
        "rdb_bgsave_in_progress:0",
        "rdb_last_bgsave_status:ok",
        "aof_enabled:0",
        "total_connections_received:0",
        "total_commands_processed:0",
        "keyspace_hits:0",
        "expired_keys:0",
        "evicted_keys:0",
        "role:master",
        "connected_slaves:0",
        "used_cpu_user:",
        "cluster_enabled:0",
        "# Modules",
        "longest_turn_us:",
    };
    struct rig *rig = rig_new();
    for (size_t i = 0; i < ARRAY_COUNT(fields); i++) {
        cr_assert(rig_shows(rig, "INFO", fields[i]));
    }
    rig_delete(rig);
}

/** The fields of redis-server 7.0 in its order, each between blanks. */
static const struct {
    const char *section;
    const char *fields;
} ordered_fields[] = {
    {"memory",
     "used_memory used_memory_human used_memory_rss used_memory_rss_human used_memory_peak "
     "used_memory_peak_human used_memory_peak_perc used_memory_overhead "
     "used_memory_startup used_memory_dataset used_memory_dataset_perc allocator_allocated "
     "allocator_active allocator_resident total_system_memory total_system_memory_human "
     "used_memory_lua used_memory_vm_eval used_memory_lua_human used_memory_scripts_eval "
     "number_of_cached_scripts number_of_functions number_of_libraries "
     "used_memory_vm_functions used_memory_vm_total used_memory_vm_total_human "
     "used_memory_functions used_memory_scripts used_memory_scripts_human maxmemory "
     "maxmemory_human maxmemory_policy allocator_frag_ratio allocator_frag_bytes "
     "allocator_rss_ratio allocator_rss_bytes rss_overhead_ratio rss_overhead_bytes "
     "mem_fragmentation_ratio mem_fragmentation_bytes mem_not_counted_for_evict "
     "mem_replication_backlog mem_total_replication_buffers mem_clients_slaves "
     "mem_clients_normal mem_cluster_links mem_aof_buffer mem_allocator "
     "active_defrag_running lazyfree_pending_objects lazyfreed_objects"},
    {"stats", "total_connections_received total_commands_processed instantaneous_ops_per_sec "
              "total_net_input_bytes total_net_output_bytes total_net_repl_input_bytes "
              "total_net_repl_output_bytes instantaneous_input_kbps instantaneous_output_kbps "
              "instantaneous_input_repl_kbps instantaneous_output_repl_kbps rejected_connections "
              "sync_full sync_partial_ok sync_partial_err expired_keys expired_stale_perc "
              "expired_time_cap_reached_count expire_cycle_cpu_milliseconds evicted_keys "
              "evicted_clients total_eviction_exceeded_time current_eviction_exceeded_time "
              "keyspace_hits keyspace_misses pubsub_channels pubsub_patterns pubsubshard_channels "
              "latest_fork_usec total_forks migrate_cached_sockets slave_expires_tracked_keys "
              "active_defrag_hits active_defrag_misses active_defrag_key_hits "
              "active_defrag_key_misses total_active_defrag_time current_active_defrag_time "
              "tracking_total_keys tracking_total_items tracking_total_prefixes "
              "unexpected_error_replies total_error_replies dump_payload_sanitizations "
              "total_reads_processed total_writes_processed io_threaded_reads_processed "
              "io_threaded_writes_processed reply_buffer_shrinks reply_buffer_expands"},
    {"cpu", "used_cpu_sys used_cpu_user used_cpu_sys_children used_cpu_user_children "
            "used_cpu_sys_main_thread used_cpu_user_main_thread"},
};

Test(info, fields_stand_in_the_order_of_redis_server)
{
    struct rig *rig = rig_new();
    for (uint32_t i = 0; i < ARRAY_COUNT(ordered_fields); i++) {
        char request[64];
        snprintf(request, sizeof(request), "INFO %s", ordered_fields[i].section);
        const char *place = harness_line(rig->harness, request);
        char *names = strdup(ordered_fields[i].fields);
        char *rest = NULL;
        for (char *name = strtok_r(names, " ", &rest); name != NULL;
             name = strtok_r(NULL, " ", &rest)) {
            char line[128];
            snprintf(line, sizeof(line), "\r\n%s:", name);
            const char *found = strstr(place, line);
            cr_assert_not_null(found, "INFO %s: %s is missing or too early", request + 5, name);
            place = found;
        }
        free(names);
    }
    rig_delete(rig);
}

Test(info, reads_writes_and_expiry_are_counted)
{
    struct rig *rig = rig_new();
    struct shard *shard = rig->harness->shard;
    shard->counters.read_count = 7;
    shard->counters.write_count = 5;
    shard->counters.expire_ns = 3999999;
    shard->memory_start_size = 1000;
    cr_assert(
        rig_shows(rig, "INFO stats", "total_reads_processed:7\r\ntotal_writes_processed:5\r\n"));
    cr_assert(rig_shows(rig, "INFO stats", "expire_cycle_cpu_milliseconds:3\r\n"));
    cr_assert(rig_shows(rig, "INFO memory", "used_memory_startup:1000\r\n"));
    harness_line(rig->harness, "CONFIG RESETSTAT");
    cr_assert(
        rig_shows(rig, "INFO stats", "total_reads_processed:0\r\ntotal_writes_processed:0\r\n"));
    rig_delete(rig);
}
