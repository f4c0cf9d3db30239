/*
 * zset_test.c: sorted sets as commands: each run as the owner's own and as a borrower's, and its
 * effects on an empty shard.
 */
#include "collection.h"
#include "core/random.h"
#include "shard/value/zset.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define WRONG_TYPE "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"
#define SYNTAX "-ERR syntax error\r\n"
#define NOT_INTEGER "-ERR value is not an integer or out of range\r\n"
#define NOT_FLOAT "-ERR value is not a valid float\r\n"
#define NOT_POSITIVE "-ERR value is out of range, must be positive\r\n"
#define NOT_SCORES "-ERR min or max is not a float\r\n"
#define NOT_STRINGS "-ERR min or max not valid string range item\r\n"
#define CONDITIONS "-ERR GT, LT, and/or NX options at the same time are not compatible\r\n"

Test(zset, zadd)
{
    steps_run((const struct step[]){
        {"ZADD z 2 b 1 a 3 c", ":3\r\n"},
        {"ZADD z 2 b 5 a", ":0\r\n"},
        {"ZADD z CH 2 b 1 a 9 d", ":2\r\n"},
        {"ZRANGE z 0 -1", "*4\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n$1\r\nd\r\n"},
        {"ZADD z NX 7 a 7 e", ":1\r\n"},
        {"ZADD z XX 7 a 7 f", ":0\r\n"},
        {"ZSCORE z a", "$1\r\n7\r\n"},
        {"ZSCORE z f", "$-1\r\n"},
        {"ZADD z GT CH 6 a 8 b 1 g", ":2\r\n"},
        {"ZADD z LT CH 6 a 9 b", ":1\r\n"},
        {"ZMSCORE z a b g x", "*4\r\n$1\r\n6\r\n$1\r\n8\r\n$1\r\n1\r\n$-1\r\n"},
        {"ZADD z INCR 1.5 a", "$3\r\n7.5\r\n"},
        {"ZADD z XX INCR 1 none", "$-1\r\n"},
        {"ZADD z NX INCR 1 a", "$-1\r\n"},
        {"ZADD z GT INCR -1 a", "$-1\r\n"},
        {"ZADD z LT INCR -1 a", "$3\r\n6.5\r\n"},
        {"ZINCRBY z inf a", "$3\r\ninf\r\n"},
        {"ZINCRBY z -inf a", "-ERR resulting score is not a number (NaN)\r\n"},
        {"ZINCRBY z 3 new", "$1\r\n3\r\n"},
        {"ZINCRBY z x new", NOT_FLOAT},
        {"ZADD z nan a", NOT_FLOAT},
        {"ZADD z 1 a x b", NOT_FLOAT},
        {"ZADD z 1 a 2", SYNTAX},
        {"ZADD z NX XX", SYNTAX},
        {"ZADD z NX XX 1 a", "-ERR XX and NX options at the same time are not compatible\r\n"},
        {"ZADD z NX GT 1 a", CONDITIONS},
        {"ZADD z LT GT 1 a", CONDITIONS},
        {"ZADD z INCR 1 a 2 b", "-ERR INCR option supports a single increment-element pair\r\n"},
        {"ZADD none XX 1 a", ":0\r\n"},
        {"EXISTS none", ":0\r\n"},
        {"ZCARD z", ":7\r\n"},
        {"ZREM z a b x a", ":2\r\n"},
        {"PEXPIREAT z 9999999999999", ":1\r\n"},
        {"ZADD z 1 q", ":1\r\n"},
        {"PEXPIRETIME z", ":9999999999999\r\n"},
        {"ZREM z c d e g new q", ":6\r\n"},
        {"EXISTS z", ":0\r\n"},
        {"ZREM z a", ":0\r\n"},
        {NULL, NULL},
    });
}

Test(zset, scores_as_they_are_spelled)
{
    steps_run((const struct step[]){
        {"ZADD z -0 a 1e17 b 0.1 c -inf d 5e-324 e 3.0 f", ":6\r\n"},
        {"ZSCORE z a", "$1\r\n0\r\n"},
        {"ZSCORE z b", "$5\r\n1e+17\r\n"},
        {"ZSCORE z c", "$19\r\n0.10000000000000001\r\n"},
        {"ZSCORE z d", "$4\r\n-inf\r\n"},
        {"ZSCORE z e", "$23\r\n4.9406564584124654e-324\r\n"},
        {"ZSCORE z f", "$1\r\n3\r\n"},
        {"ZSCAN z 0 MATCH b", "*2\r\n$1\r\n0\r\n*2\r\n$1\r\nb\r\n$18\r\n100000000000000000\r\n"},
        {"ZADD z 1 0123456789012345678901234567890123456789012345678901234567890123456789",
         ":1\r\n"},
        {"ZADD z -0 g", ":1\r\n"},
        {"ZSCORE z g", "$2\r\n-0\r\n"},
        {"ZADD z CH 0 g", ":0\r\n"},
        {"OBJECT ENCODING z", "$8\r\nskiplist\r\n"},
        {"ZSCAN z 0 MATCH b", "*2\r\n$1\r\n0\r\n*2\r\n$1\r\nb\r\n$5\r\n1e+17\r\n"},
        {NULL, NULL},
    });
}

Test(zset, rank)
{
    steps_run((const struct step[]){
        {"ZADD z 1 a 2 b 2 c", ":3\r\n"},
        {"ZRANK z a", ":0\r\n"},
        {"ZRANK z c", ":2\r\n"},
        {"ZREVRANK z c", ":0\r\n"},
        {"ZRANK z x", "$-1\r\n"},
        {"ZRANK z b WITHSCORE", "*2\r\n:1\r\n$1\r\n2\r\n"},
        {"ZREVRANK z a withscore", "*2\r\n:2\r\n$1\r\n1\r\n"},
        {"ZRANK z x WITHSCORE", "*-1\r\n"},
        {"ZRANK none x WITHSCORE", "*-1\r\n"},
        {"ZRANK z a WITHSCORES", SYNTAX},
        {"ZRANK z a WITHSCORE x", "-ERR wrong number of arguments for 'zrank' command\r\n"},
        {NULL, NULL},
    });
}

Test(zset, ranges)
{
    steps_run((const struct step[]){
        {"ZADD z 1 a 2 b 3 c 4 d", ":4\r\n"},
        {"ZRANGE z 1 2", "*2\r\n$1\r\nb\r\n$1\r\nc\r\n"},
        {"ZRANGE z -2 -1 REV WITHSCORES", "*4\r\n$1\r\nb\r\n$1\r\n2\r\n$1\r\na\r\n$1\r\n1\r\n"},
        {"ZREVRANGE z 0 0", "*1\r\n$1\r\nd\r\n"},
        {"ZRANGE z 3 1", "*0\r\n"},
        {"ZRANGE z (1 3 BYSCORE", "*2\r\n$1\r\nb\r\n$1\r\nc\r\n"},
        {"ZRANGE z 3 (1 BYSCORE REV", "*2\r\n$1\r\nc\r\n$1\r\nb\r\n"},
        {"ZRANGE z -inf +inf BYSCORE LIMIT 1 2", "*2\r\n$1\r\nb\r\n$1\r\nc\r\n"},
        {"ZRANGE z -inf +inf BYSCORE LIMIT -1 2", "*0\r\n"},
        {"ZRANGE z -inf +inf BYSCORE LIMIT 2 -1", "*2\r\n$1\r\nc\r\n$1\r\nd\r\n"},
        {"ZREVRANGEBYSCORE z 4 2 LIMIT 1 1 WITHSCORES", "*2\r\n$1\r\nc\r\n$1\r\n3\r\n"},
        {"ZRANGEBYSCORE z '' 1", "*1\r\n$1\r\na\r\n"},
        {"ZRANGEBYSCORE z x 1", NOT_SCORES},
        {"ZRANGEBYSCORE z nan 1", NOT_SCORES},
        {"ZRANGE z a 1", NOT_INTEGER},
        {"ZRANGE z 0 1 LIMIT 0 1",
         "-ERR syntax error, LIMIT is only supported in combination with either BYSCORE or "
         "BYLEX\r\n"},
        {"ZRANGE z - + BYLEX WITHSCORES",
         "-ERR syntax error, WITHSCORES not supported in combination with BYLEX\r\n"},
        {"ZRANGEBYSCORE z 0 1 REV", SYNTAX},
        {"ZRANGE z 0 1 BYSCORE BYSCORE", SYNTAX},
        {"ZCOUNT z (1 +inf", ":3\r\n"},
        {"ZCOUNT z 3 2", ":0\r\n"},
        {"ZADD l 0 a 0 b 0 c 0 d", ":4\r\n"},
        {"ZRANGEBYLEX l [b (d", "*2\r\n$1\r\nb\r\n$1\r\nc\r\n"},
        {"ZREVRANGEBYLEX l + (b LIMIT 0 1", "*1\r\n$1\r\nd\r\n"},
        {"ZRANGEBYLEX l + -", "*0\r\n"},
        {"ZRANGEBYLEX l b c", NOT_STRINGS},
        {"ZLEXCOUNT l - [b", ":2\r\n"},
        {"ZREMRANGEBYLEX l (a (c", ":1\r\n"},
        {"ZREMRANGEBYRANK z -1 -1", ":1\r\n"},
        {"ZREMRANGEBYSCORE z -inf (2", ":1\r\n"},
        {"ZRANGE z 0 -1", "*2\r\n$1\r\nb\r\n$1\r\nc\r\n"},
        {"ZREMRANGEBYRANK z 0 -1", ":2\r\n"},
        {"EXISTS z", ":0\r\n"},
        {NULL, NULL},
    });
}

Test(zset, pops)
{
    steps_run((const struct step[]){
        {"ZADD z 1 a 2 b 3 c 4 d 5 e", ":5\r\n"},
        {"ZPOPMIN z", "*2\r\n$1\r\na\r\n$1\r\n1\r\n"},
        {"ZPOPMAX z 2", "*4\r\n$1\r\ne\r\n$1\r\n5\r\n$1\r\nd\r\n$1\r\n4\r\n"},
        {"ZPOPMAX z 0", "*0\r\n"},
        {"ZPOPMAX z -1", NOT_POSITIVE},
        {"ZPOPMAX z x", NOT_POSITIVE},
        {"ZPOPMAX z 1 2", SYNTAX},
        {"ZMPOP 2 none z MAX COUNT 5",
         "*2\r\n$1\r\nz\r\n*2\r\n*2\r\n$1\r\nc\r\n$1\r\n3\r\n*2\r\n$1\r\nb\r\n$1\r\n2\r\n"},
        {"EXISTS z", ":0\r\n"},
        {"ZMPOP 1 z MIN", "*-1\r\n"},
        {"ZPOPMIN z 3", "*0\r\n"},
        {"ZMPOP 0 z MIN", "-ERR numkeys should be greater than 0\r\n"},
        {"ZMPOP 1 z MID", SYNTAX},
        {"ZMPOP 2 z MIN", SYNTAX},
        {"ZMPOP 1 z MIN COUNT 0", "-ERR count should be greater than 0\r\n"},
        {"ZMPOP 1 z MIN COUNT 1 COUNT 1", SYNTAX},
        {"ZRANDMEMBER z", "$-1\r\n"},
        {"ZRANDMEMBER z 2", "*0\r\n"},
        {"ZADD z 1 a", ":1\r\n"},
        {"ZRANDMEMBER z 2 WITHSCORES", "*2\r\n$1\r\na\r\n$1\r\n1\r\n"},
        {"ZRANDMEMBER z -2", "*2\r\n$1\r\na\r\n$1\r\na\r\n"},
        {"ZRANDMEMBER z x", NOT_INTEGER},
        {"ZRANDMEMBER z 1 x", SYNTAX},
        {NULL, NULL},
    });
}

Test(zset, algebra)
{
    steps_run((const struct step[]){
        {"ZADD a 1 x 2 y", ":2\r\n"},
        {"ZADD b 10 y 20 z", ":2\r\n"},
        {"SADD s x z", ":2\r\n"},
        {"ZUNION 2 a b WITHSCORES",
         "*6\r\n$1\r\nx\r\n$1\r\n1\r\n$1\r\ny\r\n$2\r\n12\r\n$1\r\nz\r\n$2\r\n20\r\n"},
        {"ZUNION 2 a s WEIGHTS 2 5 AGGREGATE MAX WITHSCORES",
         "*6\r\n$1\r\ny\r\n$1\r\n4\r\n$1\r\nx\r\n$1\r\n5\r\n$1\r\nz\r\n$1\r\n5\r\n"},
        {"ZINTER 2 a b AGGREGATE MIN WITHSCORES", "*2\r\n$1\r\ny\r\n$1\r\n2\r\n"},
        {"ZINTER 2 a none", "*0\r\n"},
        {"ZDIFF 2 a s WITHSCORES", "*2\r\n$1\r\ny\r\n$1\r\n2\r\n"},
        {"ZINTERCARD 2 a b", ":1\r\n"},
        {"ZINTERCARD 2 b s LIMIT 1", ":1\r\n"},
        {"ZINTERCARD 1 a LIMIT -1", "-ERR LIMIT can't be negative\r\n"},
        {"PEXPIREAT a 9999999999999", ":1\r\n"},
        {"ZUNIONSTORE a 2 a b", ":3\r\n"},
        {"PEXPIRETIME a", ":-1\r\n"},
        {"ZRANGE a 0 -1", "*3\r\n$1\r\nx\r\n$1\r\ny\r\n$1\r\nz\r\n"},
        {"ZINTERSTORE s 2 a s", ":2\r\n"},
        {"TYPE s", "+zset\r\n"},
        {"ZDIFFSTORE s 2 a a", ":0\r\n"},
        {"EXISTS s", ":0\r\n"},
        {"SET d v", "+OK\r\n"},
        {"ZRANGESTORE d a 0 1", ":2\r\n"},
        {"ZRANGE d 0 -1", "*2\r\n$1\r\nx\r\n$1\r\ny\r\n"},
        {"ZRANGESTORE d none 0 1", ":0\r\n"},
        {"EXISTS d", ":0\r\n"},
        {"ZRANGESTORE d a 0 1 WITHSCORES", SYNTAX},
        {"ZUNION 0 a", "-ERR at least 1 input key is needed for 'zunion' command\r\n"},
        {"ZUNIONSTORE d x a", NOT_INTEGER},
        {"ZUNION 2 a", SYNTAX},
        {"ZUNION 1 a WEIGHTS x", "-ERR weight value is not a float\r\n"},
        {"ZUNION 1 a WEIGHTS", SYNTAX},
        {"ZUNION 1 a AGGREGATE AVG", SYNTAX},
        {"ZDIFF 1 a WEIGHTS 1", SYNTAX},
        {"ZUNIONSTORE d 1 a WITHSCORES", SYNTAX},
        {NULL, NULL},
    });
}

Test(zset, other_types_are_refused)
{
    static const char *const lines[] = {
        "ZADD k 1 a",
        "ZINCRBY k 1 a",
        "ZREM k a",
        "ZCARD k",
        "ZSCORE k a",
        "ZMSCORE k a",
        "ZRANK k a",
        "ZREVRANK k a",
        "ZRANGE k 0 1",
        "ZRANGESTORE d k 0 1",
        "ZRANGEBYSCORE k 0 1",
        "ZREVRANGEBYSCORE k 0 1",
        "ZRANGEBYLEX k - +",
        "ZREVRANGEBYLEX k - +",
        "ZREVRANGE k 0 1",
        "ZCOUNT k 0 1",
        "ZLEXCOUNT k - +",
        "ZREMRANGEBYRANK k 0 1",
        "ZREMRANGEBYSCORE k 0 1",
        "ZREMRANGEBYLEX k - +",
        "ZPOPMIN k",
        "ZPOPMAX k 0",
        "ZMPOP 2 none k MIN",
        "ZRANDMEMBER k",
        "ZUNION 2 z k",
        "ZINTER 2 none k",
        "ZDIFF 2 none k",
        "ZUNIONSTORE d 2 z k",
        "ZINTERSTORE d 1 k",
        "ZDIFFSTORE d 1 k",
        "ZINTERCARD 1 k",
        "ZSCAN k 0",
        "GET z",
        "INCR z",
        "APPEND z x",
        "SADD z a",
        "HSET z f v",
        "SINTER z",
    };
    struct harness *harness = harness_new();
    harness_line(harness, "SET k v");
    harness_line(harness, "ZADD z 1 a");
    for (uint32_t i = 0; i < ARRAY_COUNT(lines); i++) {
        const char *reply = harness_line(harness, lines[i]);
        cr_expect_str_eq(reply, WRONG_TYPE, "%s: %s", lines[i], reply);
    }
    cr_expect_str_eq(harness_line(harness, "EXISTS d"), ":0\r\n");
    cr_expect_str_eq(harness_line(harness, "SET z v"), "+OK\r\n");
    harness_delete(harness);
}

Test(zset, resp3)
{
    struct harness *harness = harness_new();
    static const struct step steps[] = {
        {"ZADD z 1 a 2.5 b", ":2\r\n"},
        {"ZADD z INCR 1 a", ",2\r\n"},
        {"ZSCORE z b", ",2.5\r\n"},
        {"ZSCORE z x", "_\r\n"},
        {"ZRANK z b WITHSCORE", "*2\r\n:1\r\n,2.5\r\n"},
        {"ZRANK z x WITHSCORE", "_\r\n"},
        {"ZRANGE z 0 0 WITHSCORES", "*1\r\n*2\r\n$1\r\na\r\n,2\r\n"},
        {"ZUNION 1 z WITHSCORES", "*2\r\n*2\r\n$1\r\na\r\n,2\r\n*2\r\n$1\r\nb\r\n,2.5\r\n"},
        {"ZSCAN z 0 MATCH b", "*2\r\n$1\r\n0\r\n*2\r\n$1\r\nb\r\n$3\r\n2.5\r\n"},
        {"ZRANDMEMBER z 5 WITHSCORES", "*2\r\n*2\r\n$1\r\na\r\n,2\r\n*2\r\n$1\r\nb\r\n,2.5\r\n"},
        {"ZPOPMIN z", "*2\r\n$1\r\na\r\n,2\r\n"},
        {"ZPOPMAX z 3", "*1\r\n*2\r\n$1\r\nb\r\n,2.5\r\n"},
        {"ZMPOP 1 z MIN", "_\r\n"},
    };
    harness->session->protocol = 3;
    for (uint32_t i = 0; i < ARRAY_COUNT(steps); i++) {
        const char *reply = harness_line(harness, steps[i].line);
        cr_expect_str_eq(reply, steps[i].reply, "%s: %s", steps[i].line, reply);
    }
    harness_delete(harness);
}

/* ---- encodings ---- */

static void
add_range(struct harness *harness, const char *key, int from, int to)
{
    for (int i = from; i < to; i++) {
        harness_format(harness, "ZADD %s %d m%d", key, i, i);
    }
}

Test(zset, encodings_grow_with_their_members)
{
    struct harness *harness = harness_new();
    add_range(harness, "z", 0, 128);
    cr_expect_str_eq(harness_encoding(harness, "z"), "listpack");
    harness_line(harness, "ZADD z 500 m5");
    cr_expect_str_eq(harness_encoding(harness, "z"), "listpack");
    add_range(harness, "z", 128, 129);
    cr_expect_str_eq(harness_encoding(harness, "z"), "skiplist");
    harness_line(harness, "ZREMRANGEBYRANK z 0 100");
    cr_expect_str_eq(harness_encoding(harness, "z"), "skiplist");
    harness_line(harness, "ZUNIONSTORE z 1 z");
    cr_expect_str_eq(harness_encoding(harness, "z"), "listpack");
    harness_format(harness, "ZADD a 1 %064d", 1);
    cr_expect_str_eq(harness_encoding(harness, "a"), "listpack");
    harness_format(harness, "ZADD a 1 %065d", 1);
    cr_expect_str_eq(harness_encoding(harness, "a"), "skiplist");
    harness_line(harness, "ZRANGESTORE b a 0 0");
    cr_expect(strcmp(harness_encoding(harness, "b"), "skiplist") == 0);
    harness_delete(harness);
}

/* ---- effects ---- */

Test(zset, effects_say_what_chance_and_sums_came_to)
{
    struct harness *harness = harness_new();
    harness_line(harness, "ZADD z 1 a 2 b 3 c");
    harness_line(harness, "ZADD z 1 a");
    harness_line(harness, "ZINCRBY z 0.5 a");
    harness_line(harness, "ZADD z GT INCR -1 a");
    harness_line(harness, "ZADD z INCR 1 b");
    harness_line(harness, "ZPOPMAX z 2");
    harness_line(harness, "ZREM z x");
    harness_line(harness, "ZUNIONSTORE d 2 z z WEIGHTS 2 1");
    harness_line(harness, "ZRANGESTORE d z 0 -1");
    harness_line(harness, "ZDIFFSTORE d 2 z z");
    harness_line(harness, "ZREMRANGEBYRANK z 5 9");
    harness_line(harness, "ZREMRANGEBYRANK z 0 0");
    cr_expect_str_eq(harness_effects(harness), "ZADD z 1 a 2 b 3 c\n"
                                               "ZADD z 1.5 a\n"
                                               "ZADD z 3 b\n"
                                               "ZREM z c b\n"
                                               "ZADD d 4.5 a\n"
                                               "DEL d\n"
                                               "ZADD d 1.5 a\n"
                                               "DEL d\n"
                                               "ZREMRANGEBYRANK z 0 0\n");
    harness_delete(harness);
}

static void
random_command(struct harness *harness, struct random *random)
{
    unsigned key = (unsigned)random_below(random, 4);
    unsigned other = (unsigned)random_below(random, 4);
    unsigned member = (unsigned)random_below(random, 400);
    int score = (int)random_below(random, 200) - 100;
    switch (random_below(random, 300)) {
    case 0:
        harness_format(harness, "ZUNIONSTORE %u 2 %u %u WEIGHTS 0.1 -3", key, other, member % 4);
        break;
    case 1:
        harness_format(harness, "ZRANGESTORE %u %u %d 100 BYSCORE", key, other, score);
        break;
    case 2:
        harness_format(harness, "ZDIFFSTORE %u 2 %u %u", key, other, member % 4);
        break;
    case 3:
        harness_format(harness, "ZREMRANGEBYSCORE %u %d %d", key, score, score + 20);
        break;
    case 4:
        harness_format(harness, "ZMPOP 2 %u %u MAX COUNT 70", key, other);
        break;
    default:
        switch (member % 5) {
        case 0:
            harness_format(harness, "ZINCRBY %u %d.3 m%u", key, score, member);
            break;
        case 1:
            harness_format(harness, "ZREM %u m%u m%u", key, member, member / 2);
            break;
        case 2:
            harness_format(harness, "ZPOPMIN %u", key);
            break;
        default:
            harness_format(harness, "ZADD %u %d m%u %d.25 m%u %d m%u", key, score, member, score,
                           member / 2, score + 1, member + 1);
            break;
        }
        break;
    }
}

/** An owner and a borrower do the same; whoever replays their effects has the same. */
Test(zset, race_of_owner_borrower_and_replica)
{
    uint64_t seed = random_system_seed();
    printf("zset race: seed %llu\n", (unsigned long long)seed);
    struct harness *harnesses[2];
    for (uint32_t i = 0; i < 2; i++) {
        struct random random;
        random_create(&random, seed);
        harnesses[i] = harness_new();
        harnesses[i]->is_borrowed = i == 1;
        for (uint32_t step = 0; step < 6000; step++) {
            harnesses[i]->is_checked = step % 100 == 0;
            random_command(harnesses[i], &random);
        }
        harnesses[i]->is_checked = true;
    }
    struct harness *replica = harness_new();
    harness_replay(harnesses[1], replica);
    cr_expect(collections_equal(harnesses[0], harnesses[1]));
    cr_expect(collections_equal(harnesses[0], replica));
    harness_delete(replica);
    harness_delete(harnesses[0]);
    harness_delete(harnesses[1]);
}

/** Listpack and tree must answer alike: one set below its limits, and one that is always a tree. */
Test(zset, both_forms_answer_alike)
{
    uint64_t seed = random_system_seed();
    printf("zset forms: seed %llu\n", (unsigned long long)seed);
    struct random random;
    random_create(&random, seed);
    struct zset_limits limits[2] = {{.listpack_count = 1000, .listpack_member_size = 64},
                                    {.seed = seed}};
    struct zset sets[2] = {{.encoding = ENCODING_LISTPACK}, {.encoding = ENCODING_LISTPACK}};
    for (uint32_t step = 0; step < 20000; step++) {
        char buffer[24];
        int size = snprintf(buffer, sizeof(buffer), "%s%u", random_below(&random, 2) ? "m" : "",
                            (unsigned)random_below(&random, 60));
        struct slice member = slice_of(buffer, (size_t)size);
        double score = (double)random_below(&random, 20) / 4 - 2;
        uint64_t draw = random_below(&random, 100);
        uint64_t answers[2];
        for (uint32_t i = 0; i < 2; i++) {
            struct zset *set = &sets[i];
            uint64_t rank = 0;
            double found = 0;
            if (draw < 50) {
                answers[i] = zset_put(set, &limits[i], member, score);
            } else if (draw < 80) {
                answers[i] = zset_remove(set, member);
            } else if (draw < 85) {
                answers[i] = zset_rank(set, member, &rank, &found) ? rank : UINT64_MAX;
                answers[i] += (uint64_t)(found * 4 + 100) * 1000;
            } else if (draw < 99) {
                answers[i] = zset_rank_of_score(set, score, draw % 2 == 0);
            } else {
                zset_remove_ranks(set, draw % 10, draw % 10 + 20);
                answers[i] = zset_count(set);
            }
        }
        cr_assert_eq(answers[0], answers[1], "step %u", step);
        struct zset_walk walks[2];
        struct ztree_item items[2];
        bool is_backward = step % 2 == 0;
        uint64_t count = zset_count(&sets[0]);
        for (uint32_t i = 0; i < 2; i++) {
            zset_walk_start(&walks[i], &sets[i], is_backward ? count - 1 : 0, is_backward);
        }
        for (; step % 20 < 2 && count > 0; count--) {
            cr_assert(zset_next(&walks[0], &items[0]) && zset_next(&walks[1], &items[1]));
            cr_assert(slice_equal(items[0].member, items[1].member));
            cr_assert_eq(items[0].score, items[1].score);
        }
    }
    zset_delete(&sets[0]);
    zset_delete(&sets[1]);
}
