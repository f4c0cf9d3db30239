/*
 * monitor.h: the command lines that MONITOR shows, told by the core that takes them from a client.
 * A shard knows by HURDLE_MONITOR whether any core has monitors; nothing here runs otherwise.
 */
#pragma once

#include "shard/lane.h"
#include "shard/request.h"

struct monitor_line;

/** A request is about to start: lay out what monitors will see of it. NULL: nothing. */
struct monitor_line *monitor_line_new(struct shard *shard, const struct lane *lane,
                                      const struct request *request);
/** It has started: show it. Or it has not (it comes again): nothing. Frees the line. */
void monitor_line_end(struct shard *shard, const struct lane *lane, struct monitor_line *line,
                      bool is_started);
