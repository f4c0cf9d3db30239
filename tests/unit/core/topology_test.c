/* topology_test.c: how many cores and where, as a table; quotas from made-up trees. */
#include "core/topology.h"

#include <criterion/criterion.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct {
    uint32_t cpu_count;
    uint64_t quota_milli_cpus;
    uint32_t wanted;
    uint32_t shard_count;
    bool pinned;
    bool oversubscribed;
    const char *reason;
} cases[] = {
    {4, 0, 0, 4, true, false, "4 shards on 4 CPUs, each pinned to its own"},
    {1, 0, 0, 1, true, false, "1 shard on 1 CPU, each pinned to its own"},
    {4, 0, 2, 2, true, false, "2 shards on 4 CPUs, each pinned to its own"},
    {4, 0, 4, 4, true, false, "4 shards on 4 CPUs, each pinned to its own"},
    {4, 0, 5, 5, false, true, "5 shards on 4 CPUs, not pinned: more shards than CPUs"},
    {1, 0, 2, 2, false, true, "2 shards on 1 CPU, not pinned: more shards than CPUs"},
    {8, 2500, 0, 3, false, false,
     "3 shards on 8 CPUs, quota 2.500 CPUs, not pinned: the cgroup's quota is less than the CPUs "
     "of the mask"},
    {8, 2000, 0, 2, false, false,
     "2 shards on 8 CPUs, quota 2.000 CPUs, not pinned: the cgroup's quota is less than the CPUs "
     "of the mask"},
    {8, 2000, 4, 4, false, true,
     "4 shards on 8 CPUs, quota 2.000 CPUs, not pinned: the cgroup's quota is less than the CPUs "
     "of the mask"},
    {8, 50, 0, 1, false, false,
     "1 shard on 8 CPUs, quota 0.050 CPUs, not pinned: the cgroup's quota is less than the CPUs "
     "of the mask"},
    {2, 2000, 0, 2, true, false, "2 shards on 2 CPUs, quota 2.000 CPUs, each pinned to its own"},
    {2, 16000, 0, 2, true, false, "2 shards on 2 CPUs, quota 16.000 CPUs, each pinned to its own"},
    {2, 1, 3, 3, false, true,
     "3 shards on 2 CPUs, quota 0.001 CPUs, not pinned: more shards than CPUs"},
    {0, 0, 0, 1, false, false, "1 shard on 0 CPUs, not pinned: the affinity mask is unknown"},
    {2000, 0, 0, 1024, true, false, "1024 shards on 2000 CPUs, each pinned to its own"},
    {4096, 0, 1024, 1024, true, false, "1024 shards on 4096 CPUs, each pinned to its own"},
};

Test(topology, the_plan_is_a_table)
{
    struct topology_input *input = calloc(1, sizeof(*input));
    struct topology *topology = calloc(1, sizeof(*topology));
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        input->cpu_count = cases[i].cpu_count;
        input->quota_milli_cpus = cases[i].quota_milli_cpus;
        for (uint32_t cpu = 0; cpu < input->cpu_count; cpu++) {
            /* A mask with gaps. */
            input->cpus[cpu] = (uint16_t)(cpu * 3 + 1);
        }
        topology_plan(topology, cases[i].wanted, input);
        cr_assert_eq(topology->shard_count, cases[i].shard_count, "row %zu", i);
        cr_assert_eq(topology->pinned, cases[i].pinned, "row %zu", i);
        cr_assert_eq(topology->oversubscribed, cases[i].oversubscribed, "row %zu", i);
        cr_assert_str_eq(topology->reason, cases[i].reason, "%s", topology->reason);
        for (uint32_t shard = 0; topology->pinned && shard < topology->shard_count; shard++) {
            cr_assert_eq(topology->cpus[shard], shard * 3 + 1);
        }
    }
    free(topology);
    free(input);
}

static void
tree_write(const char *root, const char *path, const char *text)
{
    char full[256];
    snprintf(full, sizeof(full), "%s%s", root, path);
    for (char *slash = strchr(full + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(full, 0755);
        *slash = '/';
    }
    FILE *file = fopen(full, "w");
    cr_assert_not_null(file, "%s", full);
    fputs(text, file);
    fclose(file);
}

static void
tree_delete(const char *root)
{
    char command[128];
    snprintf(command, sizeof(command), "rm -r '%s'", root);
    cr_assert_eq(system(command), 0);
}

#define TREE_FILE_COUNT 6

Test(topology, quotas_of_both_cgroup_versions)
{
    static const struct {
        const char *files[TREE_FILE_COUNT][2];
        uint64_t quota_milli_cpus;
    } trees[] = {
        {{{"/empty", ""}}, 0},
        {{{"/proc/self/cgroup", "0::/\n"}, {"/sys/fs/cgroup/cpu.max", "150000 100000\n"}}, 1500},
        {{{"/proc/self/cgroup", "0::/\n"}, {"/sys/fs/cgroup/cpu.max", "max 100000\n"}}, 0},
        {{{"/proc/self/cgroup", "0::/a/b\n"},
          {"/sys/fs/cgroup/a/b/cpu.max", "max 100000\n"},
          {"/sys/fs/cgroup/a/cpu.max", "200000 100000\n"}},
         2000},
        {{{"/proc/self/cgroup", "0::/a/b\n"},
          {"/sys/fs/cgroup/a/b/cpu.max", "50000 100000\n"},
          {"/sys/fs/cgroup/a/cpu.max", "200000 100000\n"}},
         500},
        /* The group lies outside of what the container sees: the mount itself is its group. */
        {{{"/proc/self/cgroup", "0::/../../x\n"}, {"/sys/fs/cgroup/cpu.max", "300000 100000\n"}},
         3000},
        {{{"/proc/self/cgroup", "9:name=systemd:/\n4:cpuset:/x\n3:cpu,cpuacct:/docker/1\n0::/\n"},
          {"/sys/fs/cgroup/cpu/docker/1/cpu.cfs_quota_us", "250000\n"},
          {"/sys/fs/cgroup/cpu/docker/1/cpu.cfs_period_us", "100000\n"},
          {"/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n"},
          {"/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"}},
         2500},
        {{{"/proc/self/cgroup", "3:cpuacct,cpu:/docker/1\n"},
          {"/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "100000\n"},
          {"/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"}},
         1000},
        {{{"/proc/self/cgroup", "4:cpuset:/\n2:cpuacct:/\n"},
          {"/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "100000\n"},
          {"/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"}},
         0},
        {{{"/proc/self/cgroup", "0::/\nnonsense\n:\n::\n"},
          {"/sys/fs/cgroup/cpu.max", "nonsense\n"}},
         0},
        {{{"/proc/self/cgroup", "0::/\n"}, {"/sys/fs/cgroup/cpu.max", "10 100000\n"}}, 1},
        {{{"/proc/self/cgroup", "0::/\n"}, {"/sys/fs/cgroup/cpu.max", "100000\n"}}, 0},
    };
    for (size_t i = 0; i < ARRAY_COUNT(trees); i++) {
        char root[] = "/tmp/tessera-topology-XXXXXX";
        cr_assert_not_null(mkdtemp(root));
        for (size_t j = 0; j < TREE_FILE_COUNT && trees[i].files[j][0] != NULL; j++) {
            tree_write(root, trees[i].files[j][0], trees[i].files[j][1]);
        }
        cr_assert_eq(topology_quota_read(root), trees[i].quota_milli_cpus, "tree %zu", i);
        tree_delete(root);
    }
}

Test(topology, this_machine)
{
    struct topology_input *input = calloc(1, sizeof(*input));
    cr_assert_eq(topology_read(input), 0);
    cr_assert_geq(input->cpu_count, 1);
    cr_assert_eq(topology_pin(input->cpus[input->cpu_count - 1]), 0);
    cr_assert_eq(sched_getcpu(), input->cpus[input->cpu_count - 1]);
    /* Now the mask is that one CPU. */
    cr_assert_eq(topology_read(input), 0);
    cr_assert_eq(input->cpu_count, 1);
    cr_assert_lt(topology_pin(TOPOLOGY_CPU_COUNT_MAX - 1), 0);
    free(input);
}
