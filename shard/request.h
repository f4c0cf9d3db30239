/*
 * request.h: a command line on its way from the parser to the shard that executes it.
 */
#pragma once

#include "shard/command.h"
#include "shard/lane.h"

struct multi;
struct ring_buffer;
struct raw;

#define REQUEST_MUTED (1u << 0)    /* CLIENT REPLY OFF or SKIP */
#define REQUEST_NO_TOUCH (1u << 1) /* CLIENT NO-TOUCH */
#define REQUEST_MULTI (1u << 2)    /* between MULTI and EXEC */
#define REQUEST_LIMITED (1u << 3)  /* of a session that subscribes or monitors */
#define REQUEST_TRACK (1u << 6)    /* what it reads is tracked */

/** `key_index` of a request whose keys are not just one at a fixed place. */
#define REQUEST_KEYS_MANY UINT32_MAX

struct request {
    struct lane_item item;         /* when it is forwarded */
    const struct command *command; /* NULL: unknown */
    const struct slice *argv;
    uint32_t argc;
    uint32_t key_index; /* of its only key, or REQUEST_KEYS_MANY */
    uint64_t hash;      /* of that key */
    uint16_t slot;
    uint16_t owner; /* shard */
    uint16_t db;
    uint16_t coordinator; /* the core that holds the connection */
    uint8_t protocol;
    uint8_t flags;         /* REQUEST_ */
    struct raw *large_raw; /* a large argument in memory of its own, to be adopted; or NULL */
    uint64_t session_id;   /* of the client that sent it */
    struct multi *multi;   /* EXEC: what it runs; else NULL */
};

/** Is it a command that may wait for its keys? */
static inline bool
command_may_block(const struct request *request)
{
    const struct command *command = request->command;
    return (command->flags & CMD_BLOCKING) != 0 &&
           (command->may_block == NULL || command->may_block(request->argv, request->argc));
}
