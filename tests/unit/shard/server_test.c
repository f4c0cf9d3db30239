#include "rig.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

Test(server, time_is_now)
{
    struct rig *rig = rig_new();
    int64_t before_s = clock_unix_us() / 1000000;
    const char *reply = harness_line(rig->harness, "TIME");
    cr_assert(strncmp(reply, "*2\r\n$10\r\n", 9) == 0);
    int64_t said_s = strtoll(reply + 9, NULL, 10);
    cr_assert(said_s >= before_s && said_s <= before_s + 5);
    rig_delete(rig);
}

Test(server, shutdown_reads_its_options)
{
    static const char *const wrong[] = {
        "SHUTDOWN foo",
        "SHUTDOWN save nosave",
        "SHUTDOWN abort now",
        "SHUTDOWN now abort",
    };
    struct rig *rig = rig_new();
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++) {
        cr_assert(rig_says(rig, wrong[i], "-ERR syntax error\r\n"));
    }
    cr_assert(rig_says(rig, "SHUTDOWN ABORT", "-ERR No shutdown in progress.\r\n"));
    cr_assert_eq(rig->shutdown_count, 0);
    rig_delete(rig);
}

Test(server, lolwut_draws_and_tells_the_version)
{
    struct rig *rig = rig_new();
    char first[8192];
    snprintf(first, sizeof(first), "%s", harness_line(rig->harness, "LOLWUT"));
    cr_assert_not_null(strstr(first, "Tessera ver. "));
    cr_assert_not_null(strstr(first, "Redis ver. 7.0.15\n\r\n"));
    cr_assert_str_neq(first, harness_line(rig->harness, "LOLWUT VERSION 5"));
    cr_assert(
        rig_says(rig, "LOLWUT VERSION x", "-ERR value is not an integer or out of range\r\n"));
    rig_delete(rig);
}

Test(server, cluster_is_disabled_but_slots_exist)
{
    struct rig *rig = rig_new();
    const char *disabled = "-ERR This instance has cluster support disabled\r\n";
    cr_assert(rig_says(rig, "CLUSTER INFO", disabled));
    cr_assert(rig_says(rig, "CLUSTER NODES", disabled));
    cr_assert(rig_says(rig, "CLUSTER HELP", disabled));
    cr_assert(rig_says(rig, "CLUSTER KEYSLOT somekey", ":11058\r\n"));
    cr_assert(rig_says(rig, "CLUSTER KEYSLOT foo{hash_tag}", ":2515\r\n"));
    rig_delete(rig);
}
