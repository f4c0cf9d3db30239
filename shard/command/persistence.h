/*
 * persistence.h: what DEBUG shares with the commands about files.
 */
#pragma once

#include "shard/call.h"

/** DEBUG RELOAD's options. False: the error is replied. */
bool debug_reload_check(struct call *call);
void debug_reload_part(struct part *part);
void debug_loadaof_part(struct part *part);
void debug_reload_run(struct call *call);
