/*
 * commandlog_data.h: the memory of shard/commandlog.h that lies in struct shard and struct node.
 * Zeroed is empty and valid: every command is looked at until commandlog_configure() knows better.
 */
#pragma once

#include "core/base.h"

#include <stdatomic.h>

struct session;
struct commandlog_entry;

/** The logs, each with its threshold, its length and its numbers. */
enum commandlog_type {
    COMMANDLOG_SLOW,          /* by microseconds; SLOWLOG is this one */
    COMMANDLOG_LARGE_REQUEST, /* by bytes on the wire */
    COMMANDLOG_LARGE_REPLY,
    COMMANDLOG_TYPE_COUNT,
};

struct commandlog_list {
    struct commandlog_entry *newest;
    struct commandlog_entry *oldest;
    uint64_t count;
};

struct commandlog {
    uint64_t notice_ticks; /* a command that took so long is looked at */
    uint64_t usual_ticks;  /* the same while nothing special is expected */
    /** The client whose requests are started now, as a hint: what runs may be somebody else's.
     * NULL: nobody's. */
    const struct session *client;
    struct commandlog_entry *unsettled; /* lack their client; linked by `older` */
    struct commandlog_list lists[COMMANDLOG_TYPE_COUNT];
};

/** What all cores share of one log. */
struct commandlog_numbers {
    _Atomic uint64_t id_next;
    _Atomic uint64_t id_first; /* entries before it have made room for others */
};
