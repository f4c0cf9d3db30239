/*
 * execute.h: run one command on the shard that owns its keys.
 */
#pragma once

#include "shard/call.h"
#include "shard/request.h"

struct shard;
struct session;
struct view_set;

/** Prepare a call; the views are the caller's business. `session` only where the command may see
 * it. */
void call_prepare(struct call *call, struct shard *shard, const struct request *request,
                  struct reply *reply, struct session *session);

/** Carry what the handlers made of the views into the keyspace, then tell those who want to hear of
 * it. */
void execute_commit(struct shard *shard, const struct request *request, struct call *call,
                    struct view *views, uint32_t view_count);

/** Count a command that has run: its time since the shard's last look at the ticks, and its error.
 */
void call_account(struct call *call);
/** Free what it used, when its views are committed. */
void call_release(struct call *call);
/** Both. */
void call_finish(struct call *call);

/** Free a large argument that no view has taken over; it is in nobody's account. */
void large_raw_drop(struct shard *shard, struct raw *raw);

/** May it run now, or is a key of it lent or waited for? Owner thread. */
bool execute_is_free(const struct shard *shard, const struct request *request);

/** Run a SCOPE_KEYS request whose keys are all this shard's and free; the reply goes to `output`.
 */
void execute_keys(struct shard *shard, const struct request *request, struct output *output);
/** The same where its only key is known: key_index is not REQUEST_KEYS_MANY. */
void execute_key(struct shard *shard, const struct request *request, struct output *output);

/** Run without keys: SCOPE_LOCAL, or arguments that name none (the handler replies the error). */
void execute_local(struct shard *shard, const struct request *request, struct session *session,
                   struct output *output);
