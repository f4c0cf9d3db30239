/*
 * families.h: the rows of each file in this folder. Whoever adds a file adds its family in both
 * lists; shard/command_table.c builds the index from them.
 */
#pragma once

#include "shard/command.h"

/** All families, in no particular order. */
#define COMMAND_FAMILIES(X)                                                                        \
    X(string_family)                                                                               \
    X(string_set_family)                                                                           \
    X(string_number_family)                                                                        \
    X(string_many_family)                                                                          \
    X(string_lcs_family)                                                                           \
    X(set_family)                                                                                  \
    X(set_algebra_family)                                                                          \
    X(set_random_family)                                                                           \
    X(hash_family)                                                                                 \
    X(hash_number_family)                                                                          \
    X(hash_random_family)                                                                          \
    X(hash_expire_family)                                                                          \
    X(hash_ex_family)                                                                              \
    X(list_family)                                                                                 \
    X(list_move_family)                                                                            \
    X(list_block_family)                                                                           \
    X(list_position_family)                                                                        \
    X(bit_family)                                                                                  \
    X(bit_op_family)                                                                               \
    X(bit_field_family)                                                                            \
    X(hyperloglog_family)                                                                          \
    X(hyperloglog_debug_family)                                                                    \
    X(zset_family)                                                                                 \
    X(zset_range_family)                                                                           \
    X(zset_pop_family)                                                                             \
    X(zset_block_family)                                                                           \
    X(zset_algebra_family)                                                                         \
    X(geo_family)                                                                                  \
    X(geo_search_family)                                                                           \
    X(stream_family)                                                                               \
    X(stream_range_family)                                                                         \
    X(stream_read_family)                                                                          \
    X(stream_group_family)                                                                         \
    X(stream_pending_family)                                                                       \
    X(stream_info_family)                                                                          \
    X(key_family)                                                                                  \
    X(key_copy_family)                                                                             \
    X(key_expire_family)                                                                           \
    X(key_flush_family)                                                                            \
    X(key_scan_family)                                                                             \
    X(sort_family)                                                                                 \
    X(dump_family)                                                                                 \
    X(object_family)                                                                               \
    X(memory_family)                                                                               \
    X(connection_family)                                                                           \
    X(multi_family)                                                                                \
    X(wait_family)                                                                                 \
    X(client_family)                                                                               \
    X(server_family)                                                                               \
    X(persistence_family)                                                                          \
    X(info_family)                                                                                 \
    X(commandlog_family)                                                                           \
    X(latency_family)                                                                              \
    X(config_family)                                                                               \
    X(cluster_family)                                                                              \
    X(debug_family)                                                                                \
    X(pubsub_family)                                                                               \
    X(monitor_family)                                                                              \
    X(module_family)                                                                               \
    X(script_family)                                                                               \
    X(command_family)

extern const struct command_family string_family;            /* GET STRLEN APPEND GETRANGE ... */
extern const struct command_family string_set_family;        /* SET and its kin */
extern const struct command_family string_number_family;     /* INCR ... */
extern const struct command_family string_many_family;       /* MGET MSET ... */
extern const struct command_family string_lcs_family;        /* LCS */
extern const struct command_family set_family;               /* SADD SREM SMOVE ... */
extern const struct command_family set_algebra_family;       /* SINTER SUNION SDIFF ... */
extern const struct command_family set_random_family;        /* SPOP SRANDMEMBER */
extern const struct command_family hash_family;              /* HSET HGET HDEL ... */
extern const struct command_family hash_number_family;       /* HINCRBY HINCRBYFLOAT */
extern const struct command_family hash_random_family;       /* HRANDFIELD */
extern const struct command_family hash_expire_family;       /* HEXPIRE HTTL HPERSIST ... */
extern const struct command_family hash_ex_family;           /* HSETEX HGETEX HGETDEL */
extern const struct command_family list_family;              /* LPUSH LPOP LRANGE ... */
extern const struct command_family list_block_family;        /* BLPOP BRPOP BLMOVE ... */
extern const struct command_family list_move_family;         /* LMOVE RPOPLPUSH LMPOP */
extern const struct command_family list_position_family;     /* LINSERT LREM LPOS */
extern const struct command_family bit_family;               /* SETBIT GETBIT BITCOUNT BITPOS */
extern const struct command_family bit_op_family;            /* BITOP */
extern const struct command_family bit_field_family;         /* BITFIELD BITFIELD_RO */
extern const struct command_family hyperloglog_family;       /* PFADD PFCOUNT PFMERGE */
extern const struct command_family hyperloglog_debug_family; /* PFDEBUG PFSELFTEST */
extern const struct command_family zset_family;              /* ZADD ZSCORE ZRANK ... */
extern const struct command_family zset_range_family;        /* ZRANGE and kin */
extern const struct command_family zset_pop_family;          /* ZPOPMIN ZRANDMEMBER ... */
extern const struct command_family zset_block_family;        /* BZPOPMIN BZMPOP ... */
extern const struct command_family zset_algebra_family;      /* ZUNION ... */
extern const struct command_family geo_family;               /* GEOADD GEOPOS GEOHASH GEODIST */
extern const struct command_family geo_search_family;        /* GEOSEARCH GEORADIUS and kin */
extern const struct command_family stream_family;            /* XADD XDEL XTRIM XSETID XLEN */
extern const struct command_family stream_range_family;      /* XRANGE XREVRANGE */
extern const struct command_family stream_read_family;       /* XREAD XREADGROUP */
extern const struct command_family stream_group_family;      /* XGROUP XACK */
extern const struct command_family stream_pending_family;    /* XPENDING XCLAIM XAUTOCLAIM */
extern const struct command_family stream_info_family;       /* XINFO */
extern const struct command_family key_family;
extern const struct command_family key_copy_family;
extern const struct command_family key_expire_family;
extern const struct command_family key_flush_family;
extern const struct command_family key_scan_family;
extern const struct command_family sort_family; /* SORT SORT_RO */
extern const struct command_family dump_family; /* DUMP RESTORE */
extern const struct command_family object_family;
extern const struct command_family memory_family;
extern const struct command_family connection_family;
extern const struct command_family multi_family; /* MULTI EXEC DISCARD WATCH UNWATCH */
extern const struct command_family wait_family;  /* WAIT WAITAOF */
extern const struct command_family client_family;
extern const struct command_family server_family;
extern const struct command_family persistence_family; /* SAVE BGSAVE BGREWRITEAOF SHUTDOWN */
extern const struct command_family info_family;
extern const struct command_family commandlog_family; /* SLOWLOG COMMANDLOG */
extern const struct command_family latency_family;    /* LATENCY */
extern const struct command_family config_family;
extern const struct command_family cluster_family;
extern const struct command_family debug_family;
extern const struct command_family pubsub_family;  /* PUBLISH SUBSCRIBE PUBSUB ... */
extern const struct command_family monitor_family; /* MONITOR */
extern const struct command_family module_family;  /* MODULE */
extern const struct command_family script_family;  /* EVAL FCALL SCRIPT FUNCTION ... */
extern const struct command_family command_family; /* COMMAND */
