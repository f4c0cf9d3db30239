#include "rig.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>

/** CONFIG SET hands out a new configuration and deletes the old one. */
static void
follow(struct rig *rig)
{
    rig->harness->config = (struct config *)rig->harness->shard->config;
    rig->harness->shards[1]->config = rig->harness->config;
}

Test(config_command, get)
{
    struct rig *rig = rig_new();
    cr_assert(
        rig_says(rig, "CONFIG GET maxmemory MAXMEMORY maxmemory-sam*",
                 "*4\r\n$9\r\nmaxmemory\r\n$1\r\n0\r\n$17\r\nmaxmemory-samples\r\n$1\r\n5\r\n"));
    cr_assert(rig_says(rig, "CONFIG GET foo", "*0\r\n"));
    harness_line(rig->harness, "HELLO 3");
    cr_assert(rig_says(rig, "CONFIG GET maxclients", "%1\r\n$10\r\nmaxclients\r\n$5\r\n10000\r\n"));
    cr_assert(rig_says(rig, "CONFIG GET foo", "%0\r\n"));
    rig_delete(rig);
}

Test(config_command, set_is_all_or_nothing)
{
    struct rig *rig = rig_new();
    const struct config *before = rig->harness->shard->config;
    cr_assert(rig_says(rig, "CONFIG SET maxclients 7 foo", "-ERR syntax error\r\n"));
    cr_assert(rig_says(rig, "CONFIG SET maxclients 7 foo bar",
                       "-ERR Unknown option or number of arguments for CONFIG SET - 'foo'\r\n"));
    cr_assert(rig_says(rig, "CONFIG SET maxclients 7 daemonize yes",
                       "-ERR CONFIG SET failed (possibly related to argument 'daemonize') - can't "
                       "set immutable config\r\n"));
    cr_assert_eq(rig->harness->shard->config, before);
    cr_assert_eq(before->maxclients, 10000);
    cr_assert(rig_says(rig, "CONFIG SET maxclients 7 latency-tracking no", "+OK\r\n"));
    follow(rig);
    cr_assert_eq(rig->harness->config->maxclients, 7);
    cr_assert(rig->harness->shard->stats.is_latency_ignored);
    cr_assert(rig_says(rig, "CONFIG GET maxclients", "*2\r\n$10\r\nmaxclients\r\n$1\r\n7\r\n"));
    rig_delete(rig);
}

static int
refuse(void *core, const struct config *old, const struct config *now, char *error,
       size_t error_size)
{
    ASSERT(core != NULL);
    cr_assert_eq(old->timeout_s, 0);
    cr_assert_eq(now->timeout_s, 5);
    config_set_error(error, error_size, SLICE("timeout"), "not today");
    return -EBUSY;
}

Test(config_command, what_cannot_be_put_to_work_changes_nothing)
{
    struct rig *rig = rig_new();
    rig->harness->shard->ops.config_apply = refuse;
    cr_assert(rig_says(rig, "CONFIG SET timeout 5",
                       "-ERR CONFIG SET failed (possibly related to argument 'timeout') - not "
                       "today\r\n"));
    cr_assert_eq(rig->harness->shard->config->timeout_s, 0);
    rig_delete(rig);
}

Test(config_command, rewrite_needs_a_file)
{
    struct rig *rig = rig_new();
    cr_assert(
        rig_says(rig, "CONFIG REWRITE", "-ERR The server is running without a config file\r\n"));
    rig_delete(rig);
}

Test(config_command, resetstat_clears_counters)
{
    struct rig *rig = rig_new();
    rig->harness->shard->counters.hit_count = 5;
    cr_assert(rig_shows(rig, "INFO stats", "keyspace_hits:5\r\n"));
    cr_assert(rig_says(rig, "CONFIG RESETSTAT", "+OK\r\n"));
    cr_assert(rig_shows(rig, "INFO stats", "keyspace_hits:0\r\n"));
    rig_delete(rig);
}

Test(config_command, help)
{
    struct rig *rig = rig_new();
    cr_assert(
        rig_shows(rig, "CONFIG HELP",
                  "\r\n+CONFIG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:\r\n"));
    rig_delete(rig);
}
