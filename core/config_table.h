/*
 * config_table.h: every directive that the server knows, declared once.
 * A line makes the field of `struct config`, its default, its range, its row in CONFIG GET, its
 * line in a rewritten file and its help. This file is included once for each of these: the includer
 * defines the nine macros, the end of this file takes them back. Hence no #pragma once.
 *
 *     CONFIG_BOOL   (field, name, alias, start, flags, help)                     bool
 *     CONFIG_INT    (field, name, alias, least, most, start, flags, help)        int64_t
 *     CONFIG_OCTAL  (field, name, alias, least, most, start, flags, help)        int64_t, in octal
 *     CONFIG_MEMORY (field, name, alias, least, most, start, flags, help)        uint64_t, "64mb"
 *     CONFIG_PERCENT(field, name, alias, start, flags, help)     int64_t: bytes, or minus percent
 *     CONFIG_ENUM   (field, name, alias, words, start, flags, help)              int32_t
 *     CONFIG_STRING (field, name, alias, check, start, flags, help)              char *, never NULL
 *     CONFIG_LIST   (field, name, alias, check, least, most, start, flags, help) struct config_list
 *     CONFIG_LIMITS (field, name, alias, start, flags, help)             an output limit a class
 *
 * `start` is the default, `alias` an older name ("" = none), `words` the values of an enumeration;
 * `check` says what is wrong with a text (NULL takes all). Flags: CONFIG_IMMUTABLE (only at start),
 * CONFIG_PROTECTED (at run time only where enable-protected-configs allows it), CONFIG_KEPT
 * (written by CONFIG REWRITE even if it is the default), and
 *
 *     CONFIG_NOT_YET   Redis has it, we cannot honour it yet: only the default is accepted, which
 *                      is what the server really does, and all else is refused in clear words.
 *     CONFIG_NEVER     the same, where our design has something else instead: the help says what.
 *
 * So nothing is silently ignored: what is accepted either works or has nothing to work on (a
 * snapshot's file name without snapshots), and the help says so.
 */

/* ---- the cores: ours ---- */
CONFIG_INT(shards, "shards", "", 0, 1024, 0, CONFIG_IMMUTABLE,
           "cores that serve, each with its own slots; 0 = one for each CPU that may be used")
CONFIG_ENUM(io_backend, "io-backend", "", config_io_backend_words, CONFIG_IO_BACKEND_AUTO,
            CONFIG_IMMUTABLE,
            "how cores talk to the kernel; auto = io_uring where the kernel lets us, else epoll")
CONFIG_INT(turn_gather_us, "turn-gather-us", "", 0, 1000, 20, 0,
           "microseconds that a core under a load of deep pipelines lets input gather before it "
           "serves it, so that it wakes up less often; 0: never")
CONFIG_INT(mail_poll_us, "mail-poll-us", "", 0, 1000, 5, 0,
           "microseconds that a core with unanswered forwarded requests looks for mail before it "
           "sleeps; 0 = sleep at once")
CONFIG_ENUM(pipeline_order, "pipeline-order", "", config_pipeline_order_words,
            CONFIG_PIPELINE_ORDER_OVERLAP, 0,
            "overlap = commands of one pipeline for several cores run side by side; strict = each "
            "waits for the one before it")

/* ---- sockets and clients ---- */
CONFIG_LIST(bind, "bind", "", NULL, 0, 16, "* -::*", 0,
            "addresses to listen on; * = all of IPv4, ::* = all of IPv6, a leading - = no error "
            "where the address is missing")
CONFIG_INT(port, "port", "", 0, 65535, 6379, 0, "TCP port; 0 = no TCP")
CONFIG_STRING(unixsocket, "unixsocket", "", NULL, "", CONFIG_IMMUTABLE,
              "path of a Unix socket to listen on as well")
CONFIG_OCTAL(unixsocketperm, "unixsocketperm", "", 0, 0777, 0, CONFIG_IMMUTABLE,
             "mode of the Unix socket in octal; 0 = as the umask leaves it")
CONFIG_INT(tcp_backlog, "tcp-backlog", "", 0, INT32_MAX, 511, CONFIG_IMMUTABLE,
           "connections that may wait to be accepted")
CONFIG_INT(tcp_keepalive_s, "tcp-keepalive", "", 0, INT32_MAX, 300, 0,
           "seconds of silence after which the kernel probes a peer; 0 = never")
CONFIG_INT(timeout_s, "timeout", "", 0, INT32_MAX, 0, 0,
           "seconds after which an idle client is closed; 0 = never")
CONFIG_BOOL(protected_mode, "protected-mode", "", true, 0,
            "while there is no password, answer clients of other machines with an error only")
CONFIG_INT(maxclients, "maxclients", "", 1, UINT32_MAX, 10000, 0, "connections at the same time")
CONFIG_MEMORY(client_query_buffer_limit, "client-query-buffer-limit", "", 1 << 20, INT64_MAX,
              1ull << 30, 0, "bytes of unfinished requests that a client may pile up")
CONFIG_LIMITS(client_output_buffer_limit, "client-output-buffer-limit", "",
              "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60", 0,
              "for each class of clients (normal, replica, pubsub): unread reply bytes at which a "
              "client is closed, and bytes that it may stay above for so many seconds; 0 = no "
              "limit")
CONFIG_MEMORY(proto_max_bulk_len, "proto-max-bulk-len", "", 1 << 20, INT64_MAX, 512ull << 20, 0,
              "largest argument of a command")
CONFIG_STRING(requirepass, "requirepass", "", NULL, "", CONFIG_NOT_YET,
              "password of the default user")
CONFIG_STRING(aclfile, "aclfile", "", NULL, "", CONFIG_IMMUTABLE | CONFIG_NOT_YET,
              "file of ACL users")
CONFIG_INT(acllog_max_len, "acllog-max-len", "", 0, INT64_MAX, 128, 0,
           "entries that ACL LOG keeps; matters with ACL users")
CONFIG_ENUM(acl_pubsub_default, "acl-pubsub-default", "", config_acl_pubsub_words,
            CONFIG_ACL_PUBSUB_RESETCHANNELS, 0,
            "channels that a new user may use; matters with ACL users")
CONFIG_INT(tracking_table_max_keys, "tracking-table-max-keys", "", 0, INT64_MAX, 1000000, 0,
           "keys that client-side caching remembers")
CONFIG_PERCENT(maxmemory_clients, "maxmemory-clients", "", 0, 0,
               "bytes that all clients' buffers may take together")
CONFIG_STRING(bind_source_addr, "bind-source-addr", "", NULL, "", 0,
              "address that outgoing connections start from; matters with replication")
CONFIG_INT(socket_mark_id, "socket-mark-id", "", 0, UINT32_MAX, 0,
           CONFIG_IMMUTABLE | CONFIG_NOT_YET, "mark of the listening sockets for the firewall")
CONFIG_INT(tls_port, "tls-port", "", 0, 65535, 0, CONFIG_NOT_YET, "port for TLS; 0 = no TLS")
CONFIG_BOOL(tls_replication, "tls-replication", "", false, CONFIG_NOT_YET, "replicate over TLS")
CONFIG_BOOL(tls_cluster, "tls-cluster", "", false, CONFIG_NOT_YET, "cluster bus over TLS")
CONFIG_STRING(tls_cert_file, "tls-cert-file", "", NULL, "", CONFIG_NOT_YET, "TLS certificate")
CONFIG_STRING(tls_key_file, "tls-key-file", "", NULL, "", CONFIG_NOT_YET, "TLS private key")
CONFIG_STRING(tls_ca_cert_file, "tls-ca-cert-file", "", NULL, "", CONFIG_NOT_YET, "TLS authorities")
CONFIG_STRING(tls_ca_cert_dir, "tls-ca-cert-dir", "", NULL, "", CONFIG_NOT_YET,
              "folder of TLS authorities")
CONFIG_STRING(tls_key_file_pass, "tls-key-file-pass", "", NULL, "", CONFIG_NOT_YET,
              "password of the TLS private key")
CONFIG_STRING(tls_client_cert_file, "tls-client-cert-file", "", NULL, "", CONFIG_NOT_YET,
              "TLS certificate of outgoing connections")
CONFIG_STRING(tls_client_key_file, "tls-client-key-file", "", NULL, "", CONFIG_NOT_YET,
              "TLS private key of outgoing connections")
CONFIG_STRING(tls_client_key_file_pass, "tls-client-key-file-pass", "", NULL, "", CONFIG_NOT_YET,
              "its password")
CONFIG_STRING(tls_dh_params_file, "tls-dh-params-file", "", NULL, "", CONFIG_NOT_YET,
              "Diffie-Hellman parameters")
CONFIG_STRING(tls_auth_clients, "tls-auth-clients", "", NULL, "yes", CONFIG_NOT_YET,
              "ask clients for a TLS certificate")
CONFIG_STRING(tls_protocols, "tls-protocols", "", NULL, "", CONFIG_NOT_YET, "TLS versions")
CONFIG_STRING(tls_ciphers, "tls-ciphers", "", NULL, "", CONFIG_NOT_YET, "ciphers of TLS 1.2")
CONFIG_STRING(tls_ciphersuites, "tls-ciphersuites", "", NULL, "", CONFIG_NOT_YET,
              "ciphers of TLS 1.3")
CONFIG_BOOL(tls_prefer_server_ciphers, "tls-prefer-server-ciphers", "", false, CONFIG_NOT_YET,
            "the server chooses the cipher")
CONFIG_BOOL(tls_session_caching, "tls-session-caching", "", true, CONFIG_NOT_YET,
            "resume TLS sessions")
CONFIG_INT(tls_session_cache_size, "tls-session-cache-size", "", 0, INT32_MAX, 20480,
           CONFIG_NOT_YET, "TLS sessions to remember")
CONFIG_INT(tls_session_cache_timeout, "tls-session-cache-timeout", "", 0, INT32_MAX, 300,
           CONFIG_NOT_YET, "seconds to remember a TLS session")

/* ---- the process ---- */
CONFIG_INT(databases, "databases", "", 1, INT32_MAX, 16, CONFIG_IMMUTABLE,
           "databases that SELECT chooses from")
CONFIG_STRING(dir, "dir", "", config_check_dir, ".", CONFIG_PROTECTED | CONFIG_KEPT,
              "working directory, where files are written")
CONFIG_BOOL(daemonize, "daemonize", "", false, CONFIG_IMMUTABLE, "run in the background")
CONFIG_STRING(pidfile, "pidfile", "", NULL, "", CONFIG_IMMUTABLE,
              "file for the process id; empty = none")
CONFIG_ENUM(supervised, "supervised", "", config_supervised_words, CONFIG_SUPERVISED_NO,
            CONFIG_IMMUTABLE | CONFIG_NOT_YET, "tell the service manager when the server is ready")
CONFIG_ENUM(loglevel, "loglevel", "", config_loglevel_words, CONFIG_LOGLEVEL_NOTICE, 0,
            "least important lines that are logged")
CONFIG_STRING(logfile, "logfile", "", NULL, "", CONFIG_IMMUTABLE,
              "file for the log; empty = standard output")
CONFIG_BOOL(syslog_enabled, "syslog-enabled", "", false, CONFIG_IMMUTABLE, "copy the log to syslog")
CONFIG_STRING(syslog_ident, "syslog-ident", "", NULL, "tessera", CONFIG_IMMUTABLE,
              "name of the server in syslog")
CONFIG_ENUM(syslog_facility, "syslog-facility", "", config_syslog_facility_words, LOG_LOCAL0,
            CONFIG_IMMUTABLE, "facility in syslog")
CONFIG_BOOL(always_show_logo, "always-show-logo", "", false, CONFIG_IMMUTABLE,
            "print the logo even if the log is not a terminal")
CONFIG_BOOL(set_proc_title, "set-proc-title", "", true, CONFIG_IMMUTABLE,
            "show port and mode in the process list")
CONFIG_STRING(proc_title_template, "proc-title-template", "", config_check_title,
              "{title} {listen-addr} {server-mode}", 0, "what the process list shows")
CONFIG_BOOL(crash_log_enabled, "crash-log-enabled", "", true, 0,
            "report registers and stack when the server crashes")
CONFIG_BOOL(crash_memcheck_enabled, "crash-memcheck-enabled", "", true, 0,
            "taken for compatibility: memory is not tested after a crash")
CONFIG_BOOL(disable_thp, "disable-thp", "", true, CONFIG_IMMUTABLE,
            "keep transparent huge pages away from the process")
CONFIG_ENUM(oom_score_adj, "oom-score-adj", "", config_oom_score_adj_words, CONFIG_OOM_SCORE_NO,
            CONFIG_NOT_YET, "set the kernel's out-of-memory score")
CONFIG_LIST(oom_score_adj_values, "oom-score-adj-values", "", config_check_oom_score, 3, 3,
            "0 200 800", 0, "scores of master, replica and child; matters with oom-score-adj")
CONFIG_ENUM(enable_debug_command, "enable-debug-command", "", config_access_words, CONFIG_ACCESS_NO,
            CONFIG_IMMUTABLE, "who may use DEBUG; local = clients of this machine")
CONFIG_ENUM(enable_protected_configs, "enable-protected-configs", "", config_access_words,
            CONFIG_ACCESS_NO, CONFIG_IMMUTABLE, "who may change protected directives by CONFIG SET")
CONFIG_ENUM(enable_module_command, "enable-module-command", "", config_access_words,
            CONFIG_ACCESS_NO, CONFIG_IMMUTABLE,
            "who may load modules; taken for compatibility: there are no modules")
CONFIG_INT(shutdown_timeout_s, "shutdown-timeout", "", 0, INT32_MAX, 10, 0,
           "seconds that SHUTDOWN waits for replicas; matters with replication")
CONFIG_LIST(
    shutdown_on_sigint, "shutdown-on-sigint", "", config_check_shutdown, 0, 16, "default", 0,
    "how SIGINT ends the server: default, or options of SHUTDOWN (save, nosave, now, force)")
CONFIG_LIST(
    shutdown_on_sigterm, "shutdown-on-sigterm", "", config_check_shutdown, 0, 16, "default", 0,
    "how SIGTERM ends the server: default, or options of SHUTDOWN (save, nosave, now, force)")
CONFIG_STRING(ignore_warnings, "ignore-warnings", "", NULL, "", 0,
              "taken for compatibility: there are no warnings that keep the server from "
              "starting")
CONFIG_INT(hz, "hz", "", 0, INT32_MAX, 10, 0,
           "1 to 500; taken for compatibility: cores do background work in every turn")
CONFIG_BOOL(dynamic_hz, "dynamic-hz", "", true, 0,
            "taken for compatibility: cores do background work in every turn")
CONFIG_INT(io_threads, "io-threads", "", 1, 128, 1, CONFIG_IMMUTABLE | CONFIG_NEVER,
           "every core does its own input and output: set `shards`")
CONFIG_BOOL(io_threads_do_reads, "io-threads-do-reads", "", false, CONFIG_IMMUTABLE | CONFIG_NEVER,
            "every core does its own input and output: set `shards`")
CONFIG_STRING(server_cpulist, "server_cpulist", "", NULL, "", CONFIG_IMMUTABLE | CONFIG_NEVER,
              "cores follow the affinity mask: start the server under taskset")
CONFIG_STRING(bio_cpulist, "bio_cpulist", "", NULL, "", CONFIG_IMMUTABLE | CONFIG_NEVER,
              "there are no background threads")
CONFIG_STRING(aof_rewrite_cpulist, "aof_rewrite_cpulist", "", NULL, "",
              CONFIG_IMMUTABLE | CONFIG_NEVER, "there are no child processes")
CONFIG_STRING(bgsave_cpulist, "bgsave_cpulist", "", NULL, "", CONFIG_IMMUTABLE | CONFIG_NEVER,
              "there are no child processes")

/* ---- watching ---- */
CONFIG_INT(slowlog_log_slower_than_us, "slowlog-log-slower-than",
           "commandlog-execution-slower-than", -1, INT64_MAX, 10000, 0,
           "microseconds from which a command is noted in the slow log; -1 = none")
CONFIG_INT(slowlog_max_len, "slowlog-max-len", "commandlog-slow-execution-max-len", 0, INT64_MAX,
           128, 0, "entries that the slow log keeps")
CONFIG_INT(commandlog_request_larger_than, "commandlog-request-larger-than", "", -1, INT64_MAX,
           1 << 20, 0,
           "bytes of a request from which it is noted in the log of large requests; -1 = none")
CONFIG_INT(commandlog_large_request_max_len, "commandlog-large-request-max-len", "", 0, INT64_MAX,
           128, 0, "entries that the log of large requests keeps")
CONFIG_INT(commandlog_reply_larger_than, "commandlog-reply-larger-than", "", -1, INT64_MAX, 1 << 20,
           0,
           "bytes of a reply from which its command is noted in the log of large replies; "
           "-1 = none")
CONFIG_INT(commandlog_large_reply_max_len, "commandlog-large-reply-max-len", "", 0, INT64_MAX, 128,
           0, "entries that the log of large replies keeps")
CONFIG_BOOL(latency_tracking, "latency-tracking", "", true, 0,
            "count the durations of each command")
CONFIG_LIST(latency_tracking_info_percentiles, "latency-tracking-info-percentiles", "",
            config_check_percentile, 0, 64, "50 99 99.9", 0,
            "percentiles that INFO latencystats shows")
CONFIG_INT(latency_monitor_threshold_ms, "latency-monitor-threshold", "", 0, INT64_MAX, 0, 0,
           "milliseconds from which the latency monitor notes an event; 0 = off")
CONFIG_STRING(notify_keyspace_events, "notify-keyspace-events", "", config_check_notify, "", 0,
              "classes of keyspace events that are published, and where: K by key, E by event")

/* ---- memory ---- */
CONFIG_MEMORY(maxmemory, "maxmemory", "", 0, UINT64_MAX, 0, CONFIG_NOT_YET,
              "bytes from which keys are evicted; 0 = no limit")
CONFIG_ENUM(maxmemory_policy, "maxmemory-policy", "", config_maxmemory_policy_words,
            CONFIG_MAXMEMORY_NOEVICTION, 0,
            "which keys are evicted; also whether OBJECT tells FREQ (lfu) or IDLETIME")
CONFIG_INT(maxmemory_samples, "maxmemory-samples", "", 1, INT32_MAX, 5, 0,
           "keys that are compared for each eviction; matters with maxmemory")
CONFIG_INT(maxmemory_eviction_tenacity, "maxmemory-eviction-tenacity", "", 0, 100, 10, 0,
           "how hard eviction works at a stretch; matters with maxmemory")
CONFIG_INT(lfu_log_factor, "lfu-log-factor", "", 0, INT32_MAX, 10, 0,
           "how slowly the access counter of a key grows")
CONFIG_INT(lfu_decay_time_min, "lfu-decay-time", "", 0, INT32_MAX, 1, 0,
           "minutes after which the access counter of a key loses one; 0 = never")
CONFIG_INT(active_expire_effort, "active-expire-effort", "", 1, 10, 1, 0,
           "taken for compatibility: keys are removed at their deadline at every effort")
CONFIG_BOOL(lazyfree_lazy_eviction, "lazyfree-lazy-eviction", "", false, 0,
            "free evicted values in the background")
CONFIG_BOOL(lazyfree_lazy_expire, "lazyfree-lazy-expire", "", false, 0,
            "free expired values in the background")
CONFIG_BOOL(lazyfree_lazy_server_del, "lazyfree-lazy-server-del", "", false, 0,
            "free overwritten values in the background")
CONFIG_BOOL(lazyfree_lazy_user_del, "lazyfree-lazy-user-del", "", false, 0, "DEL is UNLINK")
CONFIG_BOOL(lazyfree_lazy_user_flush, "lazyfree-lazy-user-flush", "", false, 0,
            "FLUSHALL and FLUSHDB without an option are ASYNC")
CONFIG_BOOL(activerehashing, "activerehashing", "", true, 0,
            "taken for compatibility: tables grow bucket by bucket in any case")
CONFIG_BOOL(activedefrag, "activedefrag", "", false, CONFIG_NOT_YET,
            "move values to give memory back")
CONFIG_MEMORY(active_defrag_ignore_bytes, "active-defrag-ignore-bytes", "", 1, INT64_MAX, 100 << 20,
              0, "waste from which values are moved; matters with activedefrag")
CONFIG_INT(active_defrag_threshold_lower, "active-defrag-threshold-lower", "", 0, 1000, 10, 0,
           "percent of waste from which values are moved; matters with activedefrag")
CONFIG_INT(active_defrag_threshold_upper, "active-defrag-threshold-upper", "", 0, 1000, 100, 0,
           "percent of waste from which they are moved at full effort; matters with "
           "activedefrag")
CONFIG_INT(active_defrag_cycle_min, "active-defrag-cycle-min", "", 1, 99, 1, 0,
           "least percent of CPU time for moving values; matters with activedefrag")
CONFIG_INT(active_defrag_cycle_max, "active-defrag-cycle-max", "", 1, 99, 25, 0,
           "most percent of CPU time for moving values; matters with activedefrag")
CONFIG_INT(active_defrag_max_scan_fields, "active-defrag-max-scan-fields", "", 1, INT64_MAX, 1000,
           0, "elements that are moved at a stretch; matters with activedefrag")
CONFIG_BOOL(jemalloc_bg_thread, "jemalloc-bg-thread", "", true, 0,
            "taken for compatibility: the allocator is mimalloc, which needs no thread")

/* ---- encodings ---- */
CONFIG_INT(hash_max_listpack_entries, "hash-max-listpack-entries", "hash-max-ziplist-entries", 0,
           INT64_MAX, 512, 0, "fields up to which a hash is one listpack")
CONFIG_MEMORY(hash_max_listpack_value, "hash-max-listpack-value", "hash-max-ziplist-value", 0,
              INT64_MAX, 64, 0, "bytes of a field or value up to which a hash is one listpack")
CONFIG_INT(list_max_listpack_size, "list-max-listpack-size", "list-max-ziplist-size", INT32_MIN,
           INT32_MAX, -2, 0,
           "elements of a list's listpack; -1 to -5 = 4, 8, 16, 32, 64 KB instead")
CONFIG_INT(list_compress_depth, "list-compress-depth", "", 0, INT32_MAX, 0, 0,
           "listpacks at both ends of a list that stay uncompressed; 0 = no compression")
CONFIG_INT(set_max_listpack_entries, "set-max-listpack-entries", "", 0, INT64_MAX, 128, 0,
           "members up to which a set that is no set of integers is one listpack")
CONFIG_MEMORY(set_max_listpack_value, "set-max-listpack-value", "", 0, INT64_MAX, 64, 0,
              "bytes of a member up to which a set is one listpack")
CONFIG_INT(set_max_intset_entries, "set-max-intset-entries", "", 0, INT64_MAX, 512, 0,
           "integers up to which a set is one sorted array")
CONFIG_INT(zset_max_listpack_entries, "zset-max-listpack-entries", "zset-max-ziplist-entries", 0,
           INT64_MAX, 128, 0, "members up to which a sorted set is one listpack")
CONFIG_MEMORY(zset_max_listpack_value, "zset-max-listpack-value", "zset-max-ziplist-value", 0,
              INT64_MAX, 64, 0, "bytes of a member up to which a sorted set is one listpack")
CONFIG_MEMORY(hll_sparse_max_bytes, "hll-sparse-max-bytes", "", 0, INT64_MAX, 3000, 0,
              "bytes up to which a HyperLogLog is sparse")
CONFIG_MEMORY(stream_node_max_bytes, "stream-node-max-bytes", "", 0, INT64_MAX, 4096, 0,
              "bytes of a stream's listpack; 0 = no limit")
CONFIG_INT(stream_node_max_entries, "stream-node-max-entries", "", 0, INT64_MAX, 100, 0,
           "entries of a stream's listpack; 0 = no limit")
CONFIG_ENUM(sanitize_dump_payload, "sanitize-dump-payload", "", config_sanitize_words,
            CONFIG_SANITIZE_NO, 0,
            "taken for compatibility: what is restored is checked to its end in any case")

/* ---- scripts ---- */
CONFIG_INT(busy_reply_threshold_ms, "busy-reply-threshold", "lua-time-limit", 0, INT64_MAX, 5000, 0,
           "milliseconds after which a script makes others hear BUSY; matters with scripts")

/* ---- files ---- */
CONFIG_LIST(save, "save", "", config_check_save, 0, 64, "3600 1 300 100 60 10000", 0,
            "seconds and changes after which a snapshot is taken; empty = none")
CONFIG_STRING(dbfilename, "dbfilename", "", config_check_dbfilename, "dump.rdb", CONFIG_PROTECTED,
              "name of the snapshot in `dir`")
CONFIG_BOOL(rdbcompression, "rdbcompression", "", true, 0, "compress texts in the snapshot")
CONFIG_BOOL(rdbchecksum, "rdbchecksum", "", true, CONFIG_IMMUTABLE,
            "checksum at the end of the snapshot")
CONFIG_BOOL(rdb_del_sync_files, "rdb-del-sync-files", "", false, 0,
            "delete snapshots that only served replication, where neither `save` nor `appendonly` "
            "is set; without replication there are none")
CONFIG_BOOL(rdb_save_incremental_fsync, "rdb-save-incremental-fsync", "", true, 0,
            "taken for compatibility: chunks go to the file as they are made, beside "
            "everything else")
CONFIG_MEMORY(snapshot_max_bytes_per_second, "snapshot-max-bytes-per-second", "", 0, INT64_MAX, 0,
              0, "how fast snapshots are written at most; 0 = as fast as the cores have time")
CONFIG_BOOL(stop_writes_on_bgsave_error, "stop-writes-on-bgsave-error", "", true, 0,
            "refuse writes after a failed snapshot")
CONFIG_BOOL(appendonly, "appendonly", "", false, 0, "keep a log of all changes")
CONFIG_STRING(appendfilename, "appendfilename", "", config_check_appendfilename, "appendonly.aof",
              CONFIG_IMMUTABLE, "name that the log's files begin with")
CONFIG_STRING(appenddirname, "appenddirname", "", config_check_appenddirname, "appendonlydir",
              CONFIG_IMMUTABLE, "folder of the log's files in `dir`")
CONFIG_ENUM(appendfsync, "appendfsync", "", config_appendfsync_words, CONFIG_APPENDFSYNC_EVERYSEC,
            0, "when the log is forced to the disk")
CONFIG_BOOL(no_appendfsync_on_rewrite, "no-appendfsync-on-rewrite", "", false, 0,
            "do not force the log to the disk while it is rewritten")
CONFIG_INT(auto_aof_rewrite_percentage, "auto-aof-rewrite-percentage", "", 0, INT32_MAX, 100, 0,
           "growth after which the log is rewritten; 0 = never")
CONFIG_MEMORY(auto_aof_rewrite_min_size, "auto-aof-rewrite-min-size", "", 0, INT64_MAX, 64 << 20, 0,
              "size below which the log is not rewritten")
CONFIG_BOOL(aof_load_truncated, "aof-load-truncated", "", true, 0, "load a log whose end is torn")
CONFIG_BOOL(aof_use_rdb_preamble, "aof-use-rdb-preamble", "", true, 0,
            "begin a rewritten log with a snapshot")
CONFIG_BOOL(aof_disable_auto_gc, "aof-disable-auto-gc", "", false, 0,
            "keep files of the log that are replaced")
CONFIG_BOOL(aof_timestamp_enabled, "aof-timestamp-enabled", "", false, 0,
            "note the time in the log")
CONFIG_BOOL(aof_rewrite_incremental_fsync, "aof-rewrite-incremental-fsync", "", true, 0,
            "taken for compatibility: chunks go to the file as they are made, beside "
            "everything else")

/* ---- replication ---- */
CONFIG_LIST(replicaof, "replicaof", "slaveof", NULL, 0, 2, "", CONFIG_IMMUTABLE | CONFIG_NOT_YET,
            "host and port of the master")
CONFIG_STRING(masterauth, "masterauth", "", NULL, "", 0,
              "password of the master; matters with replication")
CONFIG_STRING(masteruser, "masteruser", "", NULL, "", 0,
              "user on the master; matters with replication")
CONFIG_BOOL(replica_serve_stale_data, "replica-serve-stale-data", "slave-serve-stale-data", true, 0,
            "a replica without its master goes on answering; matters with replication")
CONFIG_BOOL(replica_read_only, "replica-read-only", "slave-read-only", true, 0,
            "a replica refuses writes; matters with replication")
CONFIG_BOOL(replica_lazy_flush, "replica-lazy-flush", "slave-lazy-flush", false, 0,
            "a replica drops its old data in the background; matters with replication")
CONFIG_BOOL(replica_ignore_maxmemory, "replica-ignore-maxmemory", "slave-ignore-maxmemory", true, 0,
            "a replica leaves eviction to its master; matters with replication")
CONFIG_INT(replica_priority, "replica-priority", "slave-priority", 0, INT32_MAX, 100, 0,
           "rank among the replicas that may become master; matters with replication")
CONFIG_STRING(replica_announce_ip, "replica-announce-ip", "slave-announce-ip", NULL, "", 0,
              "address that a replica tells its master; matters with replication")
CONFIG_INT(replica_announce_port, "replica-announce-port", "slave-announce-port", 0, 65535, 0, 0,
           "port that a replica tells its master; matters with replication")
CONFIG_BOOL(replica_announced, "replica-announced", "", true, 0,
            "show this replica to sentinels; matters with replication")
CONFIG_INT(min_replicas_to_write, "min-replicas-to-write", "min-slaves-to-write", 0, INT32_MAX, 0,
           CONFIG_NOT_YET, "replicas without which writes are refused")
CONFIG_INT(min_replicas_max_lag_s, "min-replicas-max-lag", "min-slaves-max-lag", 0, INT32_MAX, 10,
           0, "seconds that a replica may lag behind to be counted; matters with replication")
CONFIG_MEMORY(repl_backlog_size, "repl-backlog-size", "", 1, INT64_MAX, 1 << 20, 0,
              "bytes of changes that are kept for replicas that come back; matters with "
              "replication")
CONFIG_INT(repl_backlog_ttl_s, "repl-backlog-ttl", "", 0, INT64_MAX, 3600, 0,
           "seconds that they are kept without a replica; matters with replication")
CONFIG_INT(repl_timeout_s, "repl-timeout", "", 1, INT32_MAX, 60, 0,
           "seconds of silence after which a replication link is broken; matters with "
           "replication")
CONFIG_INT(repl_ping_replica_period_s, "repl-ping-replica-period", "repl-ping-slave-period", 1,
           INT32_MAX, 10, 0, "seconds between pings of replicas; matters with replication")
CONFIG_BOOL(repl_disable_tcp_nodelay, "repl-disable-tcp-nodelay", "", false, 0,
            "send to replicas in fewer, later packets; matters with replication")
CONFIG_BOOL(repl_diskless_sync, "repl-diskless-sync", "", true, 0,
            "send snapshots to replicas without a file; matters with replication")
CONFIG_INT(repl_diskless_sync_delay_s, "repl-diskless-sync-delay", "", 0, INT32_MAX, 5, 0,
           "seconds to wait for more replicas before it; matters with replication")
CONFIG_INT(repl_diskless_sync_max_replicas, "repl-diskless-sync-max-replicas", "", 0, INT32_MAX, 0,
           0, "replicas that end this waiting; matters with replication")
CONFIG_ENUM(repl_diskless_load, "repl-diskless-load", "", config_diskless_load_words,
            CONFIG_DISKLESS_LOAD_DISABLED, 0,
            "load the master's snapshot without a file; matters with replication")
CONFIG_BOOL(replica_ignore_disk_write_errors, "replica-ignore-disk-write-errors", "", false, 0,
            "a replica goes on after a failed write to its log; matters with replication")
CONFIG_ENUM(propagation_error_behavior, "propagation-error-behavior", "",
            config_propagation_error_words, CONFIG_PROPAGATION_ERROR_IGNORE, 0,
            "what an error in replicated commands leads to; matters with replication")

/* ---- cluster ---- */
CONFIG_BOOL(cluster_enabled, "cluster-enabled", "", false, CONFIG_IMMUTABLE | CONFIG_NOT_YET,
            "be a node of a cluster")
CONFIG_STRING(cluster_config_file, "cluster-config-file", "", NULL, "nodes.conf", CONFIG_IMMUTABLE,
              "file of the node's view of the cluster; matters with cluster mode")
CONFIG_INT(cluster_node_timeout_ms, "cluster-node-timeout", "", 0, INT64_MAX, 15000, 0,
           "milliseconds after which a silent node is suspected; matters with cluster mode")
CONFIG_BOOL(cluster_require_full_coverage, "cluster-require-full-coverage", "", true, 0,
            "refuse queries while some slot has no node; matters with cluster mode")
CONFIG_INT(cluster_replica_validity_factor, "cluster-replica-validity-factor",
           "cluster-slave-validity-factor", 0, INT32_MAX, 10, 0,
           "how stale a replica may be to stand for election; matters with cluster mode")
CONFIG_INT(cluster_migration_barrier, "cluster-migration-barrier", "", 0, INT32_MAX, 1, 0,
           "replicas that a master keeps when one moves away; matters with cluster mode")
CONFIG_BOOL(cluster_replica_no_failover, "cluster-replica-no-failover", "cluster-slave-no-failover",
            false, 0, "a replica never stands for election; matters with cluster mode")
CONFIG_BOOL(cluster_allow_reads_when_down, "cluster-allow-reads-when-down", "", false, 0,
            "answer reads while the cluster is down; matters with cluster mode")
CONFIG_STRING(cluster_announce_ip, "cluster-announce-ip", "", NULL, "", 0,
              "address that the node tells others; matters with cluster mode")
CONFIG_INT(cluster_announce_port, "cluster-announce-port", "", 0, 65535, 0, 0,
           "port that the node tells others; matters with cluster mode")
CONFIG_INT(cluster_announce_bus_port, "cluster-announce-bus-port", "", 0, 65535, 0, 0,
           "bus port that the node tells others; matters with cluster mode")
CONFIG_INT(cluster_port, "cluster-port", "", 0, 65535, 0, CONFIG_IMMUTABLE,
           "port of the cluster bus; 0 = port + 10000; matters with cluster mode")
CONFIG_INT(cluster_announce_tls_port, "cluster-announce-tls-port", "", 0, 65535, 0, 0,
           "TLS port that the node tells others; matters with cluster mode")
CONFIG_STRING(cluster_announce_hostname, "cluster-announce-hostname", "", config_check_hostname, "",
              0, "host name that the node tells others; matters with cluster mode")
CONFIG_ENUM(cluster_preferred_endpoint_type, "cluster-preferred-endpoint-type", "",
            config_endpoint_words, CONFIG_ENDPOINT_IP, 0,
            "what clients are sent to; matters with cluster mode")
CONFIG_BOOL(cluster_allow_replica_migration, "cluster-allow-replica-migration", "", true, 0,
            "replicas move to masters that have none; matters with cluster mode")
CONFIG_BOOL(cluster_allow_pubsubshard_when_down, "cluster-allow-pubsubshard-when-down", "", true, 0,
            "serve shard channels while the cluster is down; matters with cluster mode")
CONFIG_MEMORY(cluster_link_sendbuf_limit, "cluster-link-sendbuf-limit", "", 0, UINT64_MAX, 0, 0,
              "bytes that may wait for a node; 0 = no limit; matters with cluster mode")

#undef CONFIG_BOOL
#undef CONFIG_INT
#undef CONFIG_OCTAL
#undef CONFIG_MEMORY
#undef CONFIG_PERCENT
#undef CONFIG_ENUM
#undef CONFIG_STRING
#undef CONFIG_LIST
#undef CONFIG_LIMITS
