/*
 * debug_internal.h: what the files of DEBUG share: debug.c (which verb is meant, and may it be),
 * debug_keys.c (verbs that ask the shards for keys and tables), debug_replies.c (verbs that the
 * coordinator answers alone).
 */
#pragma once

#include "shard/call.h"

/* ---- debug.c ---- */

/** DEBUG's answer to what it does not know, and to the wrong number of arguments. */
void debug_unknown(struct call *call);
void debug_ok(struct call *call);

/* ---- debug_keys.c: parts run while all shards are closed ---- */

/** Bytes of the value in an RDB file that this server would write, without its type. Who calls has
 * the value for himself or to read. */
uint64_t debug_file_size(const struct shard *shard, const struct value *value);

/** DEBUG POPULATE count [prefix [size]] */
bool debug_populate_check(struct call *call);
void debug_populate_part(struct part *part);

/** DEBUG SDSLEN key, LISTPACK key, HTSTATS-KEY key: run() replies what the key's part found. */
void debug_sdslen_part(struct part *part);
void debug_sdslen_run(struct call *call);
void debug_listpack_part(struct part *part);
void debug_listpack_run(struct call *call);
void debug_htstats_key_part(struct part *part);
void debug_htstats_key_run(struct call *call);

/** DEBUG HTSTATS db */
bool debug_htstats_check(struct call *call);
void debug_htstats_part(struct part *part);
void debug_htstats_run(struct call *call);

/* ---- debug_replies.c ---- */

void debug_client_eviction(struct call *call);
void debug_error(struct call *call);
void debug_log(struct call *call);
void debug_protocol(struct call *call);
void debug_quicklist_packed_threshold(struct call *call);
void debug_replybuffer(struct call *call);
void debug_structsize(struct call *call);
