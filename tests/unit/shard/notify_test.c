/*
 * notify_test.c: which events commands record, of which key and in which order; tests/oracle asks
 * redis-server for many more. Each step is a command line and its events, "event key" by "event
 * key". All steps run on the owner's core and on one that has borrowed the keys: both must tell the
 * same.
 */
#include "shard/notify.h"

#include "harness.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define ALL_CLASSES UINT32_MAX

struct step {
    const char *line;
    const char *events;
};

/** Each event followed by a line's end, as harness_events() has it. */
static void
expect_steps(const struct step *steps, size_t count, uint32_t classes)
{
    for (int is_borrowed = 0; is_borrowed < 2; is_borrowed++) {
        struct harness *harness = harness_new();
        harness->is_borrowed = is_borrowed == 1;
        harness->shards[0]->notify_classes = classes;
        harness->shards[1]->notify_classes = classes;
        for (size_t i = 0; i < count; i++) {
            harness_line(harness, steps[i].line);
            cr_expect_str_eq(harness_events(harness), steps[i].events, "%s%s: %s", steps[i].line,
                             is_borrowed == 1 ? " (borrowed)" : "", harness->text);
        }
        harness_delete(harness);
    }
}

#define EXPECT_STEPS(classes, ...)                                                                 \
    expect_steps((const struct step[]){__VA_ARGS__},                                               \
                 ARRAY_COUNT(((const struct step[]){__VA_ARGS__})), (classes))

Test(notify, strings)
{
    EXPECT_STEPS(ALL_CLASSES, {"SET k v", "new k\nset k\n"}, {"SET k v", "set k\n"},
                 {"SETEX k 100 v", "set k\nexpire k\n"}, {"SET k v KEEPTTL", "set k\n"},
                 {"GETEX k PERSIST", "persist k\n"}, {"GETEX k PERSIST", ""},
                 {"GETEX k EX 10", "expire k\n"}, {"GETEX k PXAT 1", "del k\n"},
                 {"GETEX k FOO", ""}, {"GETEX k", "keymiss k\n"},
                 {"SET k v NX GET", "keymiss k\nnew k\nset k\n"},
                 {"MSET a 1 k 2 a 3", "new a\nset a\nset k\nset a\n"}, {"MSETNX a 1 b 2", ""},
                 {"INCR a", "incrby a\n"}, {"INCRBYFLOAT a 1.5", "incrbyfloat a\n"},
                 {"APPEND b x", "new b\nappend b\n"}, {"SETRANGE b 1 ''", ""},
                 {"SETRANGE b 1 x", "setrange b\n"}, {"GETDEL b", "del b\n"},
                 {"SET b v PXAT 1", "new b\nset b\nexpire b\nexpired b\n"});
}

Test(notify, bits)
{
    EXPECT_STEPS(ALL_CLASSES, {"SETBIT b 1 1", "new b\nsetbit b\n"}, {"SETBIT b 1 1", ""},
                 {"BITFIELD b INCRBY u8 0 0", ""}, {"BITFIELD b INCRBY u8 0 1", "setbit b\n"},
                 {"BITFIELD c OVERFLOW FAIL INCRBY u2 100 10", "new c\n"},
                 {"BITOP OR d b x", "keymiss x\nnew d\nset d\n"},
                 {"BITOP OR d x", "keymiss x\ndel d\n"}, {"PFADD h a", "new h\npfadd h\n"},
                 {"PFADD h a", ""}, {"PFMERGE g h", "keymiss g\nnew g\npfadd g\n"});
}

Test(notify, keys)
{
    EXPECT_STEPS(ALL_CLASSES, {"SET a 1", "new a\nset a\n"}, {"SET b 1", "new b\nset b\n"},
                 {"RENAME a b", "new b\nrename_from a\nrename_to b\n"}, {"RENAME b b", ""},
                 {"COPY b c", "new c\ncopy_to c\n"}, {"COPY b c REPLACE", "new c\ncopy_to c\n"},
                 {"COPY x c", "keymiss x\n"}, {"EXPIRE b 100", "expire b\n"},
                 {"EXPIRE b 50 GT", ""}, {"PERSIST b", "persist b\n"}, {"EXPIRE b -1", "del b\n"},
                 {"EXISTS b b", "keymiss b\nkeymiss b\n"}, {"OBJECT ENCODING b", ""},
                 {"RENAME b c", ""}, {"SET a 1", "new a\nset a\n"}, {"DEL a a b", "del a\n"});
}

Test(notify, collections)
{
    EXPECT_STEPS(ALL_CLASSES, {"LPUSH l a b", "new l\nlpush l\n"},
                 {"LMOVE l m LEFT RIGHT", "new m\nrpush m\nlpop l\n"},
                 {"RPOPLPUSH l m", "lpush m\nrpop l\ndel l\n"}, {"LPOP m 5", "lpop m\ndel m\n"},
                 {"SADD s a b", "new s\nsadd s\n"}, {"SADD s a", ""},
                 {"SMOVE s t a", "srem s\nnew t\nsadd t\n"}, {"SPOP s", "spop s\ndel s\n"},
                 {"SUNIONSTORE u t s", "keymiss s\nnew u\nsunionstore u\n"},
                 {"SINTERSTORE u t s", "keymiss s\ndel u\n"}, {"HSET h f 1", "new h\nhset h\n"},
                 {"HINCRBY h f 0", "hincrby h\n"}, {"HDEL h f", "hdel h\ndel h\n"},
                 {"ZADD z 1 a 2 b", "new z\nzadd z\n"}, {"ZADD z 1 a", ""},
                 {"ZINCRBY z 1 a", "zincr z\n"}, {"ZRANGESTORE y z 0 0", "new y\nzrangestore y\n"},
                 {"ZREMRANGEBYRANK z 0 0", "zremrangebyrank z\n"},
                 {"ZPOPMAX z", "zpopmax z\ndel z\n"}, {"GEOADD g 13 38 a", "new g\nzadd g\n"},
                 {"GEOSEARCHSTORE y g FROMLONLAT 0 0 BYRADIUS 1 m", "del y\n"});
}

Test(notify, wrong_arguments_have_not_looked)
{
    EXPECT_STEPS(ALL_CLASSES, {"GETRANGE x a 1", ""}, {"GETRANGE x 0 1", "keymiss x\n"},
                 {"SADD s a", "new s\nsadd s\n"}, {"SINTER x s", "keymiss x\n"}, {"GET s", ""},
                 {"SET v v", "new v\nset v\n"}, {"SINTER x v y", "keymiss x\n"},
                 {"SINTER v x", ""});
}

Test(notify, classes)
{
    EXPECT_STEPS(NOTIFY_LIST, {"SET k v", ""}, {"RPUSH l a", "rpush l\n"}, {"LPOP l", "lpop l\n"});
    EXPECT_STEPS(NOTIFY_GENERIC, {"SETEX k 10 v", "expire k\n"}, {"RPUSH l a", ""},
                 {"LPOP l", "del l\n"});
    EXPECT_STEPS(0, {"SET k v", ""}, {"GET x", ""}, {"DEL k", ""});
}

Test(notify, hits_and_misses)
{
    struct harness *harness = harness_new();
    struct shard *shard = harness->shard;
    harness_line(harness, "SET a 1");
    harness_line(harness, "GET a");
    harness_line(harness, "MGET a b b");
    harness_line(harness, "OBJECT ENCODING b");
    harness_line(harness, "GETRANGE a x y");
    cr_expect_eq(shard->counters.hit_count, 2);
    cr_expect_eq(shard->counters.miss_count, 3);
    harness_delete(harness);
}
