/*
 * rig.h: a harness with several clients on its shard, for tests of commands about connections and
 * the server. What the core would have been asked to do is written down.
 */
#pragma once

#include "harness.h"

#define RIG_SESSIONS 3

struct rig {
    struct harness *harness;
    struct session *sessions[RIG_SESSIONS]; /* ids 1, 2, 3; the first one sends the commands */
    uint64_t closed[RIG_SESSIONS];          /* ids, in the order in which they were closed */
    bool is_after_reply[RIG_SESSIONS];
    uint32_t closed_count;
    uint32_t shutdown_flags;
    uint32_t shutdown_count;
    uint32_t refresh_count;
};

struct rig *rig_new(void);
void rig_delete(struct rig *rig);
/** Run the line and compare its reply with `expected`; prints both where they differ. */
bool rig_says(struct rig *rig, const char *line, const char *expected);
/** Does the reply of the line contain the text? */
bool rig_shows(struct rig *rig, const char *line, const char *part);
