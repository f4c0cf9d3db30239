/*
 * main.c: histories by the thousand.
 *
 *     sim [--seeds 1000] [--seed 1] [--shards n] [--flood] [--crash] [--fault name] [-v]
 *
 * With --crash each history has a disk, and machines that stop.
 *
 * With --seed alone one history is replayed, -v tells all that happens in it. TESSERA_SIM_SEEDS
 * takes the place of --seeds where that is not given.
 *
 * With --fault the rule of that name is left out, and the run succeeds when that is noticed:
 * histories run in a child process, since a broken rule may also be noticed by an assertion of the
 * server's own.
 */
#include "sim.h"

#include "shard/lock.h"
#include "shard/router.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define SEEDS_DEFAULT 1000
#define EXIT_SKIPPED 77

static const struct fault {
    const char *name;
    uint32_t router;
    uint32_t lock;
    uint32_t disk;
    bool is_crash;
} faults[] = {
    {"hold-back", .router = ROUTER_FAULT_NO_HOLD_BACK},
    {"singles-first", .router = ROUTER_FAULT_NO_SINGLES_FIRST},
    {"return-first", .router = ROUTER_FAULT_NO_RETURN_FIRST},
    {"watch-marks", .router = ROUTER_FAULT_NO_WATCH_MARKS},
    {"watch-locked", .router = ROUTER_FAULT_EARLY_WATCH},
    {"exec-closed", .router = ROUTER_FAULT_EXEC_OPEN},
    {"wait-registered", .router = ROUTER_FAULT_LATE_WAIT},
    {"wake", .router = ROUTER_FAULT_NO_WAKE},
    {"offer-locked", .router = ROUTER_FAULT_OFFER_UNLOCKED},
    {"wait-ticket", .router = ROUTER_FAULT_NEW_TICKET},
    {"publish-last", .router = ROUTER_FAULT_EARLY_PUBLISH},
    {"tracking-registered", .router = ROUTER_FAULT_LATE_TRACKING},
    {"push-last", .router = ROUTER_FAULT_EARLY_PUSH},
    {"wound", .lock = LOCK_FAULT_NO_WOUND},
    {"place", .lock = LOCK_FAULT_NO_PLACE},
    {"answer-last", .disk = DISK_FAULT_EARLY_ANSWERS},
    {"part-kept", .router = ROUTER_FAULT_PARTS_FREE, .is_crash = true},
    {"part-lines", .disk = DISK_FAULT_NO_PARTS},
    {"cut-closed", .disk = DISK_FAULT_CUT_OPEN},
    {"cut-synced", .disk = DISK_FAULT_EARLY_FILES},
    {"mark-synced", .disk = DISK_FAULT_EARLY_MARKS},
    {"mark-oldest", .disk = DISK_FAULT_BLIND_MARKS},
};

struct arguments_read {
    struct sim_options options;
    uint64_t seed_count;
    bool has_one_seed;
    const struct fault *fault;
};

static int
usage(void)
{
    fprintf(stderr, "sim [--seeds count] [--seed first] [--shards n] [--flood] [--crash] "
                    "[--fault name] [-v]\n");
    return 2;
}

static bool
read_arguments(struct arguments_read *out, int argc, char **argv)
{
    bool has_count = false;
    const char *count = getenv("TESSERA_SIM_SEEDS");
    *out = (struct arguments_read){.options = {.seed = 1}, .seed_count = SEEDS_DEFAULT};
    if (count != NULL) {
        out->seed_count = strtoull(count, NULL, 10);
    }
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(argv[i], "-v") == 0) {
            out->options.is_verbose = true;
            continue;
        }
        if (strcmp(argv[i], "--flood") == 0) {
            out->options.is_flood = true;
            continue;
        }
        if (strcmp(argv[i], "--crash") == 0) {
            out->options.is_crash = true;
            continue;
        }
        if (value == NULL) {
            return false;
        }
        i++;
        if (strcmp(argv[i - 1], "--seeds") == 0) {
            out->seed_count = strtoull(value, NULL, 10);
            has_count = true;
        } else if (strcmp(argv[i - 1], "--seed") == 0) {
            out->options.seed = strtoull(value, NULL, 10);
            out->has_one_seed = true;
        } else if (strcmp(argv[i - 1], "--shards") == 0) {
            out->options.shard_count = (uint32_t)strtoul(value, NULL, 10);
        } else if (strcmp(argv[i - 1], "--fault") == 0) {
            for (size_t j = 0; j < ARRAY_COUNT(faults); j++) {
                out->fault = strcmp(faults[j].name, value) == 0 ? &faults[j] : out->fault;
            }
            if (out->fault == NULL) {
                return false;
            }
        } else {
            return false;
        }
    }
    if (out->has_one_seed && !has_count) {
        out->seed_count = 1;
    }
    return out->options.shard_count == 0 ||
           (out->options.shard_count >= 1 && out->options.shard_count <= SIM_SHARDS_MAX);
}

/** Run the seeds until one fails. True: none did. `seed` says where it stands. */
static bool
run_seeds(const struct arguments_read *arguments, volatile uint64_t *seed,
          struct sim_totals *totals)
{
    char failure[1024];
    struct command_table *table = command_table_new();
    struct sim_options options = arguments->options;
    if (arguments->fault != NULL) {
        options.router_faults = arguments->fault->router;
        options.lock_faults = arguments->fault->lock;
        options.disk_faults = arguments->fault->disk;
        options.is_crash |= options.disk_faults != 0 || arguments->fault->is_crash;
    }
    for (uint64_t i = 0; i < arguments->seed_count; i++) {
        *seed = options.seed;
        if (!sim_run(&options, table, failure, sizeof(failure), totals)) {
            fprintf(stderr, "seed %llu: %s\n", (unsigned long long)options.seed, failure);
            return false;
        }
        options.seed++;
    }
    command_table_delete(table);
    return true;
}

static int
run_fault(const struct arguments_read *arguments)
{
#ifndef TESSERA_SLOW_ASSERTS
    fprintf(stderr, "rules can be left out only in builds with slow_asserts\n");
    return EXIT_SKIPPED;
#endif
    uint64_t *seed =
        mmap(NULL, sizeof(*seed), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT(seed != MAP_FAILED);
    pid_t child = fork();
    ASSERT(child >= 0);
    if (child == 0) {
        struct sim_totals totals = {0};
        _exit(run_seeds(arguments, seed, &totals) ? 0 : 1);
    }
    int status = 0;
    pid_t waited = waitpid(child, &status, 0);
    ASSERT(waited == child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        fprintf(stderr, "%s was left out, and %llu seeds did not notice\n", arguments->fault->name,
                (unsigned long long)arguments->seed_count);
        return 1;
    }
    printf("%s was left out, and seed %llu noticed\n", arguments->fault->name,
           (unsigned long long)*seed);
    return 0;
}

static void
report(const struct sim_totals *totals)
{
    const struct {
        const char *name;
        uint64_t count;
    } rows[] = {
        {"histories", totals->history_count},
        {"requests", totals->op_count},
        {"messages", totals->mail_count},
        {"loans", totals->loan_count},
        {"wounds", totals->wound_count},
        {"put off: mailbox full", totals->full_count},
        {"put off: lane full", totals->lane_full_count},
        {"connections that ended in the middle", totals->abandoned_count},
        {"keys expired", totals->expired_count},
        {"keys found by an older loan", totals->revived_count},
        {"effects replayed", totals->effect_count},
        {"transactions run", totals->exec_count},
        {"transactions not run, for a key was changed", totals->dirty_count},
        {"waits for a key", totals->wait_count},
        {"of them served", totals->served_count},
        {"of them ended otherwise", totals->timeout_count},
        {"messages published", totals->publish_count},
        {"messages heard", totals->heard_count},
        {"values kept", totals->kept_count},
        {"invalidations heard", totals->invalidated_count},
        {"crashes", totals->crash_count},
        {"groups of the journals then", totals->crash_group_count},
        {"of them lost", totals->crash_lost_count},
        {"of them left out", totals->crash_dropped_count},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        printf("%10llu %s\n", (unsigned long long)rows[i].count, rows[i].name);
    }
}

int
main(int argc, char **argv)
{
    struct arguments_read arguments;
    if (!read_arguments(&arguments, argc, argv)) {
        return usage();
    }
    if (arguments.fault != NULL) {
        return run_fault(&arguments);
    }
    uint64_t seed = 0;
    struct sim_totals totals = {0};
    if (!run_seeds(&arguments, &seed, &totals)) {
        fprintf(stderr, "replay it with: sim --seed %llu%s%s -v\n", (unsigned long long)seed,
                arguments.options.is_flood ? " --flood" : "",
                arguments.options.is_crash ? " --crash" : "");
        return 1;
    }
    report(&totals);
    return 0;
}
