/*
 * execute_multi.h: run the commands that MULTI has queued.
 */
#pragma once

#include "shard/call.h"
#include "shard/request.h"

struct multi;

/** Run an EXEC whose keys are all this shard's and free. `session`: of the client, where the queue
 * has commands that need it. */
void execute_multi(struct shard *shard, const struct request *request, struct session *session,
                   struct output *output);

/**
 * Run queued commands [from, to) on views that are open; `declared` is what view_set_create_multi()
 * has laid out for them. The call was prepared for the EXEC; it is released after the commit.
 */
void multi_run(struct call *call, struct multi *multi, uint32_t from, uint32_t to,
               struct view **declared, struct session *session);

/** Count the EXEC itself, with the time that all of it took. */
void multi_account(struct shard *shard, const struct request *request, uint64_t start_ticks);
