/*
 * topology.c: how many cores serve, and on which CPUs.
 *
 *     affinity mask  {0,1,2,3}   --\
 *     cgroup quota   2.5 CPUs    ----> topology_plan --> 3 shards, not pinned, because ...
 *     `shards`       0           --/
 *
 * `shards 0` takes as many as there is CPU time for: the CPUs of the mask, but not more than the
 * quota rounded up. (Rounded down, a container with 1.9 CPUs would leave half of them lying;
 * rounded up, the last core is throttled now and then.) A number that the owner gives is taken as
 * it is.
 *
 * Pinned is the rule, because a shard's data stays in its core's caches. Not pinned:
 *   - more shards than CPUs: two shards bound to one CPU would wait for each other while the
 *     scheduler could have given one of them the moment that another CPU was free;
 *   - a quota below the mask: the kernel takes the whole group off the CPUs when the quota is used
 * up, and the mask is shared with other groups (two containers of 2 CPUs each on a host of 8, both
 * of which would bind to CPUs 0 and 1). Only the scheduler knows which CPUs are free; Pinned with
 * fewer shards than CPUs (`shards 2` of 8) takes the first of the mask.
 *
 * Invariant: pinned implies that `cpus` holds distinct CPUs of the mask, one for each shard.
 *
 * Rejected: following the quota as it changes. A shard count is the layout of the data in memory;
 * an orchestrator that resizes a container restarts the process or lives with the count it began
 * with.
 */
#include "core/topology.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/** Longest path of a cgroup that is looked at, and the largest of the small files read here. */
#define TOPOLOGY_PATH_SIZE 4096

/** CPUs that a quota is worth, a part of one counting as one. */
static uint64_t
topology_quota_cpus(uint64_t milli_cpus)
{
    return milli_cpus / 1000 + (milli_cpus % 1000 != 0);
}

/** Why the shards are not pinned, or NULL if they are to be. */
static const char *
topology_unpinned_reason(uint32_t shard_count, const struct topology_input *input)
{
    if (input->cpu_count == 0) {
        return "the affinity mask is unknown";
    }
    if (shard_count > input->cpu_count) {
        return "more shards than CPUs";
    }
    if (input->quota_milli_cpus != 0 &&
        input->quota_milli_cpus < (uint64_t)input->cpu_count * 1000) {
        return "the cgroup's quota is less than the CPUs of the mask";
    }
    return NULL;
}

void
topology_plan(struct topology *topology, uint32_t shards_wanted, const struct topology_input *input)
{
    ASSERT(input->cpu_count <= TOPOLOGY_CPU_COUNT_MAX);
    ASSERT(shards_wanted <= TOPOLOGY_SHARD_COUNT_MAX);
    uint64_t available = MAX(input->cpu_count, 1);
    if (input->quota_milli_cpus != 0) {
        available = MIN(available, topology_quota_cpus(input->quota_milli_cpus));
    }
    uint64_t shard_count = shards_wanted != 0 ? shards_wanted : available;
    *topology = (struct topology){
        .shard_count = (uint32_t)MIN(shard_count, TOPOLOGY_SHARD_COUNT_MAX),
        .oversubscribed = shard_count > available,
    };
    const char *why = topology_unpinned_reason(topology->shard_count, input);
    topology->pinned = why == NULL;
    for (uint32_t i = 0; topology->pinned && i < topology->shard_count; i++) {
        topology->cpus[i] = input->cpus[i];
    }
    char quota[48] = "";
    if (input->quota_milli_cpus != 0) {
        snprintf(quota, sizeof(quota), ", quota %" PRIu64 ".%03" PRIu64 " CPUs",
                 input->quota_milli_cpus / 1000, input->quota_milli_cpus % 1000);
    }
    snprintf(
        topology->reason, sizeof(topology->reason), "%u shard%s on %u CPU%s%s, %s%s",
        topology->shard_count, topology->shard_count == 1 ? "" : "s", input->cpu_count,
        input->cpu_count == 1 ? "" : "s", quota,
        topology->pinned ? "each pinned to its own" : "not pinned: ", topology->pinned ? "" : why);
}

/* ---- asking the kernel ---- */

/** A small file as a string; false where it is not there. */
static bool
topology_file_read(const char *path, char *text, size_t text_size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    size_t size = 0;
    ssize_t got = 1;
    while (got > 0 && size < text_size - 1) {
        got = read(fd, text + size, text_size - 1 - size);
        size += got > 0 ? (size_t)got : 0;
    }
    close(fd);
    text[size] = '\0';
    return got >= 0;
}

/** The smaller of two quotas, where 0 is none. */
static uint64_t
topology_quota_least(uint64_t a, uint64_t b)
{
    if (a == 0 || b == 0) {
        return MAX(a, b);
    }
    return MIN(a, b);
}

/** A quota of a period, both in microseconds, as thousandths of a CPU; 0 = none. */
static uint64_t
topology_quota_milli(int64_t quota_us, int64_t period_us)
{
    if (quota_us <= 0 || period_us <= 0 || quota_us > INT64_MAX / 1000) {
        return 0;
    }
    /* A quota below a thousandth of a CPU is a quota still, not the absence of one. */
    return MAX((uint64_t)(quota_us * 1000 / period_us), 1);
}

/** cgroup v2: "max 100000" or "150000 100000". */
static uint64_t
topology_quota_v2(const char *folder)
{
    char path[TOPOLOGY_PATH_SIZE];
    char text[128];
    char *end;
    int size = snprintf(path, sizeof(path), "%s/cpu.max", folder);
    if (size < 0 || (size_t)size >= sizeof(path) || !topology_file_read(path, text, sizeof(text))) {
        return 0;
    }
    int64_t quota_us = strtoll(text, &end, 10);
    return end == text ? 0 : topology_quota_milli(quota_us, strtoll(end, NULL, 10));
}

/** cgroup v1: two files, -1 for no quota. */
static uint64_t
topology_quota_v1(const char *folder)
{
    static const char *const names[] = {"cpu.cfs_quota_us", "cpu.cfs_period_us"};
    int64_t values[2] = {0, 0};
    for (uint32_t i = 0; i < 2; i++) {
        char path[TOPOLOGY_PATH_SIZE];
        char text[64];
        int size = snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        if (size < 0 || (size_t)size >= sizeof(path) ||
            !topology_file_read(path, text, sizeof(text))) {
            return 0;
        }
        values[i] = strtoll(text, NULL, 10);
    }
    return topology_quota_milli(values[0], values[1]);
}

/** The least quota from the group up to its mount: each parent bounds its children. */
static uint64_t
topology_quota_upwards(const char *mount, const char *group, uint64_t (*read_quota)(const char *))
{
    char path[TOPOLOGY_PATH_SIZE];
    int size = snprintf(path, sizeof(path), "%s%s", mount, group);
    if (size < 0 || (size_t)size >= sizeof(path)) {
        return 0;
    }
    size_t mount_size = strlen(mount);
    uint64_t quota = 0;
    for (;;) {
        quota = topology_quota_least(quota, read_quota(path));
        char *slash = strrchr(path, '/');
        if (slash == NULL || (size_t)(slash - path) < mount_size) {
            return quota;
        }
        *slash = '\0';
    }
}

/** Whether the comma-separated controllers of a line of /proc/self/cgroup have "cpu". */
static bool
topology_has_cpu(const char *controllers, size_t size)
{
    const char *end = controllers + size;
    while (controllers < end) {
        const char *comma = memchr(controllers, ',', (size_t)(end - controllers));
        size_t word_size = (size_t)((comma == NULL ? end : comma) - controllers);
        if (word_size == 3 && memcmp(controllers, "cpu", 3) == 0) {
            return true;
        }
        controllers += word_size + 1;
    }
    return false;
}

uint64_t
topology_quota_read(const char *root)
{
    char path[TOPOLOGY_PATH_SIZE];
    char text[TOPOLOGY_PATH_SIZE];
    char mount[TOPOLOGY_PATH_SIZE];
    uint64_t quota = 0;
    snprintf(path, sizeof(path), "%s/proc/self/cgroup", root);
    if (!topology_file_read(path, text, sizeof(text))) {
        return 0;
    }
    char *rest = text;
    for (char *line = strsep(&rest, "\n"); line != NULL; line = strsep(&rest, "\n")) {
        /* "4:cpu,cpuacct:/docker/abc", and "0::/user.slice" for version 2. */
        char *controllers = strchr(line, ':');
        char *group = controllers == NULL ? NULL : strchr(controllers + 1, ':');
        if (group == NULL) {
            continue;
        }
        controllers++;
        /* Seen from inside of a container the group may lie outside of the mount: then the mount is
         * ours. */
        const char *inner = strstr(group + 1, "/..") != NULL ? "" : group + 1;
        if (strncmp(line, "0::", 3) == 0) {
            snprintf(mount, sizeof(mount), "%s/sys/fs/cgroup", root);
            uint64_t found = topology_quota_upwards(mount, inner, topology_quota_v2);
            quota = topology_quota_least(quota, found);
        } else if (topology_has_cpu(controllers, (size_t)(group - controllers))) {
            snprintf(mount, sizeof(mount), "%s/sys/fs/cgroup/cpu", root);
            uint64_t found = topology_quota_upwards(mount, inner, topology_quota_v1);
            quota = topology_quota_least(quota, found);
        }
    }
    return quota;
}

int
topology_read(struct topology_input *input)
{
    *input = (struct topology_input){0};
    cpu_set_t *set = CPU_ALLOC(TOPOLOGY_CPU_COUNT_MAX);
    size_t set_size = CPU_ALLOC_SIZE(TOPOLOGY_CPU_COUNT_MAX);
    if (set == NULL) {
        return -ENOMEM;
    }
    int rc = sched_getaffinity(0, set_size, set) < 0 ? -errno : 0;
    for (uint32_t cpu = 0; rc == 0 && cpu < TOPOLOGY_CPU_COUNT_MAX; cpu++) {
        if (CPU_ISSET_S(cpu, set_size, set)) {
            input->cpus[input->cpu_count++] = (uint16_t)cpu;
        }
    }
    CPU_FREE(set);
    input->quota_milli_cpus = topology_quota_read("");
    return rc;
}

int
topology_pin(uint32_t cpu)
{
    ASSERT(cpu < TOPOLOGY_CPU_COUNT_MAX);
    cpu_set_t *set = CPU_ALLOC(TOPOLOGY_CPU_COUNT_MAX);
    size_t set_size = CPU_ALLOC_SIZE(TOPOLOGY_CPU_COUNT_MAX);
    if (set == NULL) {
        return -ENOMEM;
    }
    CPU_ZERO_S(set_size, set);
    CPU_SET_S(cpu, set_size, set);
    int rc = sched_setaffinity(0, set_size, set) < 0 ? -errno : 0;
    CPU_FREE(set);
    return rc;
}
