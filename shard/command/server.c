/*
 * server.c: the time of day, the role among replicas, and a picture.
 *
 * ROLE is what INFO's section about replication says, for programs that look for the master: there
 * are no replicas, so this is one, at the beginning of its history.
 *
 * LOLWUT lays a mosaic, mirrored to both sides as on a Roman floor, of as many kinds of tiles as
 * there are shades. It is drawn from the shard's random numbers, so every call has another one.
 */
#include "core/clock.h"
#include "core/heap.h"
#include "shard/call.h"
#include "shard/command/families.h"
#include "shard/shard.h"
#include "shard/version.h"

#include <stdio.h>

/** A quarter of the mosaic, in tiles; the whole fits a terminal of 80 columns. */
#define MOSAIC_COLUMNS 20
#define MOSAIC_ROWS 9

static void
server_time(struct call *call)
{
    int64_t now_us = clock_unix_us();
    reply_array(call->reply, 2);
    reply_bulk_i64(call->reply, now_us / 1000000);
    reply_bulk_i64(call->reply, now_us % 1000000);
}

/** A master at offset 0 with an empty list of replicas. */
static void
server_role(struct call *call)
{
    reply_array(call->reply, 3);
    reply_bulk_string(call->reply, "master");
    reply_i64(call->reply, 0);
    reply_array(call->reply, 0);
}

/** The shades of a quarter: random tiles, smoothed towards their neighbours so that shapes appear.
 */
static void
mosaic_lay(struct random *random, uint8_t tiles[MOSAIC_ROWS][MOSAIC_COLUMNS])
{
    for (uint32_t row = 0; row < MOSAIC_ROWS; row++) {
        for (uint32_t column = 0; column < MOSAIC_COLUMNS; column++) {
            uint8_t tile = (uint8_t)random_below(random, 5);
            uint64_t choice = random_below(random, 4);
            if (choice == 0 && row > 0) {
                tile = tiles[row - 1][column];
            } else if (choice == 1 && column > 0) {
                tile = tiles[row][column - 1];
            } else if (choice == 2 && row > 0 && column > 0) {
                tile = tiles[row - 1][column - 1];
            }
            tiles[row][column] = tile;
        }
    }
}

static void
mosaic_draw(struct random *random, struct output *out)
{
    static const char *const shades[] = {"  ", "░░", "▒▒", "▓▓", "██"};
    uint8_t tiles[MOSAIC_ROWS][MOSAIC_COLUMNS];
    mosaic_lay(random, tiles);
    for (uint32_t y = 0; y < 2 * MOSAIC_ROWS; y++) {
        const uint8_t *row = tiles[y < MOSAIC_ROWS ? y : 2 * MOSAIC_ROWS - 1 - y];
        for (uint32_t x = 0; x < 2 * MOSAIC_COLUMNS; x++) {
            const char *shade = shades[row[x < MOSAIC_COLUMNS ? x : 2 * MOSAIC_COLUMNS - 1 - x]];
            output_append(out, shade, strlen(shade));
        }
        output_append(out, "\n", 1);
    }
}

/** The version says which picture redis-server draws; we have one for all of them. */
static bool
server_lolwut_check(struct call *call)
{
    int64_t version;
    return call->argc < 3 || !slice_is_word(call->argv[1], "version") ||
           call_integer(call, 2, &version, NULL);
}

static void
server_lolwut(struct call *call)
{
    if (!server_lolwut_check(call)) {
        return;
    }
    struct output out;
    output_create(&out);
    mosaic_draw(&call->shard->random, &out);
    char line[128];
    int size =
        snprintf(line, sizeof(line), "\nMosaic of %u cores. Tessera ver. %s, Redis ver. %s\n",
                 call->shard->node->shard_count, TESSERA_VERSION, TESSERA_REDIS_VERSION);
    ASSERT(size > 0 && (size_t)size < sizeof(line));
    output_append(&out, line, (size_t)size);
    char *text = output_flatten(&out);
    reply_verbatim(call->reply, slice_of(text, out.byte_count), "txt");
    heap_free(text);
    output_destroy(&out);
}

static const char *const nondeterministic_output_tips[] = {"nondeterministic_output", NULL};

static const struct command_argument lolwut_arguments[] = {
    {.kind = ARGUMENT_INTEGER, .name = "version", .token = "VERSION", .is_optional = true},
    {.kind = ARGUMENT_END},
};

static const struct command server_commands[] = {
    {
        .name = "time",
        .run = server_time,
        .scope = SCOPE_LOCAL,
        .flags = CMD_LOADING | CMD_STALE | CMD_FAST,
        .arity = 1,
        .group = GROUP_SERVER,
        .since = "2.6.0",
        .complexity = "O(1)",
        .summary = "Tells the server's time of day.",
        .tips = nondeterministic_output_tips,
    },
    {
        .name = "role",
        .run = server_role,
        .scope = SCOPE_LOCAL,
        .flags = CMD_NOSCRIPT | CMD_LOADING | CMD_STALE | CMD_FAST,
        .arity = 1,
        .group = GROUP_SERVER,
        .categories = ACL_ADMIN | ACL_DANGEROUS,
        .since = "2.8.12",
        .complexity = "O(1)",
        .summary = "Tells whether this is a master or a replica, and with whom it is linked.",
    },
    {
        .name = "lolwut",
        .run = server_lolwut,
        .scope = SCOPE_LOCAL,
        .flags = CMD_READONLY | CMD_FAST,
        .arity = -1,
        .group = GROUP_SERVER,
        .since = "5.0.0",
        .summary = "Draws a mosaic and tells the version.",
        .arguments = lolwut_arguments,
    },
};

const struct command_family server_family = {
    .commands = server_commands,
    .count = ARRAY_COUNT(server_commands),
};
