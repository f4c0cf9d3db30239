/*
 * info_stats.c: INFO's sections about what has been done: totals, cores, databases.
 *
 * Totals are sums over the shards; rates are taken over the last 1.6 seconds, each core over its
 * own span. `# Cores` is the one section that redis-server does not have: a line for each core, so
 * that an uneven load is seen at a glance. Reply memory is chunks that come and go with the
 * replies: no buffer is ever resized, so reply_buffer_shrinks and reply_buffer_expands stay 0.
 */
#include "shard/command/info_internal.h"

/** Of something that happened `count` times in `span_ms`, how often in a second. */
static double
info_rate(uint64_t count, int64_t span_ms)
{
    return span_ms <= 0 ? 0 : (double)count * 1000 / (double)span_ms;
}

void
info_stats(const struct info_sum *sum, struct output *out)
{
    double command_rate = 0;
    double input_rate = 0;
    double output_rate = 0;
    for (uint32_t i = 0; i < sum->part_count; i++) {
        const struct stats_sample *recent = &sum->parts[i]->recent;
        command_rate += info_rate(recent->command_count, recent->at_ms);
        input_rate += info_rate(recent->input_size, recent->at_ms);
        output_rate += info_rate(recent->output_size, recent->at_ms);
    }
    const struct shard_counters *counters = &sum->counters;
    info_print(out,
               "total_connections_received:%llu\r\ntotal_commands_processed:%llu\r\n"
               "instantaneous_ops_per_sec:%.0f\r\ntotal_net_input_bytes:%llu\r\n"
               "total_net_output_bytes:%llu\r\ntotal_net_repl_input_bytes:0\r\n"
               "total_net_repl_output_bytes:0\r\ninstantaneous_input_kbps:%.2f\r\n"
               "instantaneous_output_kbps:%.2f\r\ninstantaneous_input_repl_kbps:0.00\r\n"
               "instantaneous_output_repl_kbps:0.00\r\nrejected_connections:%llu\r\n",
               (unsigned long long)counters->connection_count,
               (unsigned long long)counters->command_count, command_rate,
               (unsigned long long)counters->input_size, (unsigned long long)counters->output_size,
               input_rate / 1024, output_rate / 1024, (unsigned long long)counters->rejected_count);
    info_print(out,
               "sync_full:0\r\nsync_partial_ok:0\r\nsync_partial_err:0\r\nexpired_keys:%llu\r\n"
               "expired_stale_perc:0.00\r\nexpired_time_cap_reached_count:0\r\n"
               "expire_cycle_cpu_milliseconds:%llu\r\nevicted_keys:%llu\r\n"
               "evicted_clients:%llu\r\ntotal_eviction_exceeded_time:0\r\n"
               "current_eviction_exceeded_time:0\r\nkeyspace_hits:%llu\r\nkeyspace_misses:%llu\r\n"
               "pubsub_channels:%llu\r\npubsub_patterns:%llu\r\n"
               "pubsubshard_channels:%llu\r\n"
               "latest_fork_usec:0\r\ntotal_forks:0\r\nmigrate_cached_sockets:0\r\n"
               "slave_expires_tracked_keys:0\r\n",
               (unsigned long long)counters->expired_count,
               (unsigned long long)(counters->expire_ns / 1000000),
               (unsigned long long)counters->evicted_count,
               (unsigned long long)counters->evicted_client_count,
               (unsigned long long)counters->hit_count, (unsigned long long)counters->miss_count,
               (unsigned long long)sum->channel_count, (unsigned long long)sum->pattern_count,
               (unsigned long long)sum->shard_channel_count);
    info_print(
        out,
        "active_defrag_hits:0\r\nactive_defrag_misses:0\r\nactive_defrag_key_hits:0\r\n"
        "active_defrag_key_misses:0\r\ntotal_active_defrag_time:0\r\n"
        "current_active_defrag_time:0\r\ntracking_total_keys:%llu\r\n"
        "tracking_total_items:%llu\r\ntracking_total_prefixes:%llu\r\n"
        "unexpected_error_replies:0\r\n"
        "total_error_replies:%llu\r\ndump_payload_sanitizations:0\r\n"
        "total_reads_processed:%llu\r\ntotal_writes_processed:%llu\r\n"
        "io_threaded_reads_processed:0\r\nio_threaded_writes_processed:0\r\n"
        "reply_buffer_shrinks:0\r\nreply_buffer_expands:0\r\n",
        (unsigned long long)sum->tracking_key_count, (unsigned long long)sum->tracking_item_count,
        (unsigned long long)sum->tracking_prefix_count, (unsigned long long)counters->error_count,
        (unsigned long long)counters->read_count, (unsigned long long)counters->write_count);
    info_print(
        out,
        "total_forwarded:%llu\r\ntotal_loans:%llu\r\ntotal_wounds:%llu\r\n"
        "total_mail_sent:%llu\r\ntotal_mail_received:%llu\r\ntotal_mail_put_off:%llu\r\n"
        "total_turns:%llu\r\nlongest_turn_us:%llu\r\n",
        (unsigned long long)counters->forwarded_count, (unsigned long long)counters->loan_count,
        (unsigned long long)counters->wound_count, (unsigned long long)counters->mail_sent_count,
        (unsigned long long)counters->mail_received_count,
        (unsigned long long)counters->mail_put_off_count, (unsigned long long)counters->turn_count,
        (unsigned long long)(counters->longest_turn_ns / 1000));
}

void
info_cores(const struct info_sum *sum, struct output *out)
{
    for (uint32_t i = 0; i < sum->part_count; i++) {
        const struct info_part *part = sum->parts[i];
        const struct shard_counters *counters = &part->counters;
        uint64_t span_ns = part->recent.busy_ns + part->recent.idle_ns;
        info_print(out,
                   "core%u:cpu=%d,connections=%llu,keys=%llu,commands=%llu,mail_sent=%llu,"
                   "mail_received=%llu,busy=%.3f,executed=%llu,forwarded=%llu,used_memory=%llu,"
                   "used_cpu=%.6f,longest_turn_us=%llu\r\n",
                   part->shard_index, part->cpu, (unsigned long long)part->session_count,
                   (unsigned long long)part->key_count, (unsigned long long)counters->command_count,
                   (unsigned long long)counters->mail_sent_count,
                   (unsigned long long)counters->mail_received_count,
                   span_ns == 0 ? 0 : (double)part->recent.busy_ns / (double)span_ns,
                   (unsigned long long)counters->executed_count,
                   (unsigned long long)counters->forwarded_count,
                   (unsigned long long)part->memory_used_size, (double)part->cpu_used_ns / 1e9,
                   (unsigned long long)(counters->longest_turn_ns / 1000));
    }
}

void
info_keyspace(const struct info_sum *sum, struct output *out)
{
    uint32_t database_count = sum->part_count == 0 ? 0 : sum->parts[0]->database_count;
    for (uint32_t db = 0; db < database_count; db++) {
        struct info_database total = {0};
        for (uint32_t i = 0; i < sum->part_count; i++) {
            const struct info_database *database = &sum->parts[i]->databases[db];
            total.key_count += database->key_count;
            total.deadline_count += database->deadline_count;
            if (__builtin_add_overflow(total.left_sum_ms, database->left_sum_ms,
                                       &total.left_sum_ms)) {
                total.left_sum_ms = INT64_MAX;
            }
        }
        if (total.key_count > 0) {
            int64_t left_ms =
                total.deadline_count == 0 ? 0 : total.left_sum_ms / (int64_t)total.deadline_count;
            info_print(out, "db%u:keys=%llu,expires=%llu,avg_ttl=%lld\r\n", db,
                       (unsigned long long)total.key_count,
                       (unsigned long long)total.deadline_count, (long long)left_ms);
        }
    }
}
