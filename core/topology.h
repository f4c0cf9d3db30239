/*
 * topology.h: how many cores serve, and on which CPUs.
 * Reading the machine and deciding are apart: topology_plan() is pure and tested as a table.
 */
#pragma once

#include "core/base.h"

#define TOPOLOGY_CPU_COUNT_MAX 4096
#define TOPOLOGY_SHARD_COUNT_MAX 1024

/** What the kernel lets us have. */
struct topology_input {
    /** CPUs of the affinity mask, ascending. */
    uint32_t cpu_count;
    uint16_t cpus[TOPOLOGY_CPU_COUNT_MAX];
    /** CPU time of the tightest cgroup quota in thousandths of a CPU; 0 = no quota. */
    uint64_t quota_milli_cpus;
};

/** What we do with it. */
struct topology {
    uint32_t shard_count;
    /** Whether shard i is to run on `cpus[i]` only. */
    bool pinned;
    /** Threads may have to share a CPU: no shard may spin, not even briefly. */
    bool oversubscribed;
    uint16_t cpus[TOPOLOGY_SHARD_COUNT_MAX];
    /** One line for the log and INFO: how many, pinned or not, and why. */
    char reason[160];
};

/** Decide; `shards_wanted` is the directive `shards` (0 = as many as there is CPU time for). Pure.
 */
void topology_plan(struct topology *topology, uint32_t shards_wanted,
                   const struct topology_input *input);

/** Ask the kernel: affinity mask of the calling thread, cgroup v2 and v1 quota. 0 or -errno. At
 * start. */
int topology_read(struct topology_input *input) MUST_CHECK;

/** Bind the calling thread to one CPU. 0 or -errno. */
int topology_pin(uint32_t cpu) MUST_CHECK;

/** cgroup quota read from files under `root` ("" in production, a made-up tree in tests). */
uint64_t topology_quota_read(const char *root);
