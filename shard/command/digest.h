/*
 * digest.h: DEBUG DIGEST and DIGEST-VALUE: what shard/command/debug.c calls for them. The parts run
 * while all shards are closed: no value is another core's then.
 */
#pragma once

struct call;
struct part;

/** DEBUG DIGEST: of all keys of all databases. */
void digest_all_part(struct part *part);
void digest_all_run(struct call *call);

/** DEBUG DIGEST-VALUE key [key ...]: one for each value, zeros where the key is absent. */
void digest_keys_part(struct part *part);
void digest_keys_run(struct call *call);
