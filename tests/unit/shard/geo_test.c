/*
 * geo_test.c: geohashes against known answers and brute force; geo commands, each run as the
 * owner's own and as a borrower's.
 */
#include "collection.h"
#include "core/random.h"
#include "shard/value/geohash.h"
#include "shards.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define WRONG_TYPE "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"
#define SYNTAX "-ERR syntax error\r\n"
#define NOT_FLOAT "-ERR value is not a valid float\r\n"
#define BAD_UNIT "-ERR unsupported unit provided. please use M, KM, FT, MI\r\n"

static const struct geohash_place palermo = {13.361389, 38.115556};
static const struct geohash_place catania = {15.087269, 37.502669};

/* ---- geohashes ---- */

Test(geohash, known_answers)
{
    cr_expect_eq(geohash_score(palermo), 3479099956230698.0);
    cr_expect_eq(geohash_score(catania), 3479447370796909.0);
    cr_expect_eq(geohash_score((struct geohash_place){-180, -GEOHASH_LATITUDE_MAX}), 0.0);
    struct geohash_place place = geohash_place_of_score(3479099956230698.0);
    cr_expect_eq(place.longitude, 13.36138933897018433);
    cr_expect_eq(place.latitude, 38.11555639549629859);
    char text[GEOHASH_TEXT_SIZE];
    geohash_text(place, text);
    cr_expect_arr_eq(text, "sqc8b49rny0", sizeof(text));
    place = geohash_place_of_score(-INFINITY);
    cr_expect(geohash_place_is_valid(place));
    place = geohash_place_of_score(INFINITY);
    cr_expect(geohash_place_is_valid(place));
    cr_expect_float_eq(geohash_distance_m(palermo, catania), 166274.26, 0.05);
    cr_expect_eq(geohash_distance_m(palermo, palermo), 0.0);
    cr_expect_not(geohash_place_is_valid((struct geohash_place){180.0001, 0}));
    cr_expect_not(geohash_place_is_valid((struct geohash_place){0, -85.06}));
    cr_expect_not(geohash_place_is_valid((struct geohash_place){(double)NAN, 0}));
}

static double
drawn(struct random *random, double limit)
{
    return ((double)random_next(random) / 18446744073709551616.0 * 2 - 1) * limit;
}

Test(geohash, a_place_stays_in_its_cell)
{
    struct random random;
    random_create(&random, 7);
    for (uint32_t i = 0; i < 20000; i++) {
        struct geohash_place place = {drawn(&random, 180), drawn(&random, GEOHASH_LATITUDE_MAX)};
        double score = geohash_score(place);
        struct geohash_place middle = geohash_place_of_score(score);
        cr_assert_eq(geohash_score(middle), score);
        cr_assert_leq(fabs(middle.longitude - place.longitude), 360.0 / (1 << 26));
        cr_assert_leq(fabs(middle.latitude - place.latitude), 171.0 / (1 << 26));
    }
}

/** Ranges hold what brute force finds. Shapes keep away from the edges of the square, beyond which
 * a search does not look in every case. */
Test(geohash, ranges_hold_all_of_a_shape)
{
    struct random random;
    random_create(&random, 11);
    uint32_t found_count = 0;
    for (uint32_t round = 0; round < 2000; round++) {
        double reach_m = exp(drawn(&random, 4.5)) * 8000; /* 90 m to 720 km */
        struct geohash_shape shape = {
            .center = {drawn(&random, 140), drawn(&random, 60)},
            .is_box = round % 2 == 1,
            .unit_m = 1,
            .radius = reach_m,
            .width = reach_m * 2,
            .height = reach_m * exp(drawn(&random, 1)),
        };
        struct geohash_range ranges[GEOHASH_RANGES_MAX];
        uint32_t range_count = geohash_ranges(&shape, ranges);
        cr_assert(range_count >= 1 && range_count <= GEOHASH_RANGES_MAX);
        for (uint32_t i = 0; i < 50; i++) {
            double spread = reach_m / 60000;
            struct geohash_place place = {shape.center.longitude + drawn(&random, spread),
                                          shape.center.latitude + drawn(&random, spread)};
            double distance_m;
            double score = geohash_score(place);
            if (!geohash_shape_has(&shape, geohash_place_of_score(score), &distance_m)) {
                continue;
            }
            uint32_t holding_count = 0;
            for (uint32_t j = 0; j < range_count; j++) {
                holding_count += score >= ranges[j].min && score < ranges[j].max;
            }
            cr_assert_eq(holding_count, 1, "round %u: %u ranges hold %f,%f", round, holding_count,
                         place.longitude, place.latitude);
            found_count++;
        }
    }
    cr_expect_gt(found_count, 20000);
}

/* ---- commands ---- */

#define SICILY "GEOADD s 13.361389 38.115556 Palermo 15.087269 37.502669 Catania"

Test(geo, members_by_name)
{
    steps_run((const struct step[]){
        {SICILY, ":2\r\n"},
        {SICILY, ":0\r\n"},
        {"ZSCORE s Palermo", "$16\r\n3479099956230698\r\n"},
        {"GEOADD s nx ch 0 0 Palermo 0 0 x", ":1\r\n"},
        {"GEOADD s XX CH 1 1 x 1 1 y", ":1\r\n"},
        {"GEOADD s XX 2 2 x", ":0\r\n"},
        {"GEOADD s CH 3 3 x 3 3 y", ":2\r\n"},
        {"ZCARD s", ":4\r\n"},
        {"GEODIST s Palermo Catania", "$11\r\n166274.1516\r\n"},
        {"GEODIST s Palermo Catania KM", "$8\r\n166.2742\r\n"},
        {"GEODIST s Palermo Catania ft", "$11\r\n545518.8700\r\n"},
        {"GEODIST s Palermo Catania mi", "$8\r\n103.3182\r\n"},
        {"GEODIST s Palermo none", "$-1\r\n"},
        {"GEODIST none a b", "$-1\r\n"},
        {"GEODIST s x y cm", BAD_UNIT},
        {"GEODIST s x y km z", SYNTAX},
        {"GEOHASH s Palermo none", "*2\r\n$11\r\nsqc8b49rny0\r\n$-1\r\n"},
        {"GEOHASH none a", "*1\r\n$-1\r\n"},
        {"GEOPOS s none Palermo",
         "*2\r\n*-1\r\n*2\r\n$20\r\n13.36138933897018433\r\n$20\r\n38.11555639549629859\r\n"},
        {"GEOPOS s", "*0\r\n"},
        {"GEOADD s NX XX 1 1 x", SYNTAX},
        {"GEOADD s 1 1 x 2", SYNTAX},
        {"GEOADD s nx ch xx", SYNTAX},
        {"GEOADD s x 1 m", NOT_FLOAT},
        {"GEOADD s 1 nan m", NOT_FLOAT},
        {"GEOADD s 1 1 m 181 1 n", "-ERR invalid longitude,latitude pair 181.000000,1.000000\r\n"},
        {"ZSCORE s m", "$-1\r\n"},
        {"SET k v", "+OK\r\n"},
        {"GEOADD k 1 1 m", WRONG_TYPE},
        {"GEOADD k 1 91 m", "-ERR invalid longitude,latitude pair 1.000000,91.000000\r\n"},
        {"GEOPOS k m", WRONG_TYPE},
        {"GEOHASH k m", WRONG_TYPE},
        {"GEODIST k m n", WRONG_TYPE},
        {NULL, NULL},
    });
}

Test(geo, search)
{
    steps_run((const struct step[]){
        {SICILY, ":2\r\n"},
        {"GEOSEARCH s FROMLONLAT 15 37 BYRADIUS 200 km ASC",
         "*2\r\n$7\r\nCatania\r\n$7\r\nPalermo\r\n"},
        {"GEOSEARCH s DESC FROMLONLAT 15 37 BYBOX 400 400 km WITHDIST",
         "*2\r\n*2\r\n$7\r\nPalermo\r\n$8\r\n190.4424\r\n*2\r\n$7\r\nCatania\r\n$7\r\n56.4413\r\n"},
        {"GEOSEARCH s FROMMEMBER Palermo BYRADIUS 100 km WITHHASH",
         "*1\r\n*2\r\n$7\r\nPalermo\r\n:3479099956230698\r\n"},
        {"GEOSEARCH s FROMMEMBER Palermo BYRADIUS 0 m", "*1\r\n$7\r\nPalermo\r\n"},
        {"GEOSEARCH s FROMLONLAT 15 37 BYRADIUS 200 km COUNT 1", "*1\r\n$7\r\nCatania\r\n"},
        {"GEOSEARCH s FROMLONLAT 15 37 BYRADIUS inf km DESC COUNT 1", "*1\r\n$7\r\nPalermo\r\n"},
        {"GEORADIUS s 15 37 100 km WITHCOORD",
         "*1\r\n*2\r\n$7\r\nCatania\r\n*2\r\n$20\r\n15.08726745843887329\r\n$20\r\n"
         "37.50266842333162032\r\n"},
        {"GEORADIUS_RO s 15 37 100 km", "*1\r\n$7\r\nCatania\r\n"},
        {"GEORADIUSBYMEMBER s Catania 100 KM", "*1\r\n$7\r\nCatania\r\n"},
        {"GEORADIUSBYMEMBER_RO s Catania 100 mi", "*1\r\n$7\r\nCatania\r\n"},
        {"GEORADIUSBYMEMBER_RO none Catania nothing cm", "*0\r\n"},
        {NULL, NULL},
    });
}

Test(geo, errors)
{
    steps_run((const struct step[]){
        {SICILY, ":2\r\n"},
        {"SET k v", "+OK\r\n"},
        {"GEOSEARCH k FROMLONLAT x 37 BYRADIUS 200 km", WRONG_TYPE},
        {"GEORADIUS k x 37 200 km", WRONG_TYPE},
        {"GEOSEARCHSTORE d k FROMLONLAT 15 37 BYRADIUS 200 km", WRONG_TYPE},
        {"GEOSEARCH s FROMLONLAT 15 37 ASC DESC COUNT 1",
         "-ERR exactly one of BYRADIUS and BYBOX can be specified for GEOSEARCH\r\n"},
        {"geosearch s BYRADIUS 1 km ASC DESC",
         "-ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for geosearch\r\n"},
        {"GEOSEARCH s FROMMEMBER none BYRADIUS 1 km",
         "-ERR could not decode requested zset member\r\n"},
        {"GEOSEARCH none FROMMEMBER none BYRADIUS 1 km", "*0\r\n"},
        {"GEOSEARCH none FROMMEMBER none BYRADIUS 1 cm", BAD_UNIT},
        {"GEOSEARCH s FROMMEMBER Palermo FROMLONLAT 1 1 BYRADIUS 1 km", SYNTAX},
        {"GEOSEARCH s FROMMEMBER Palermo BYBOX 1 1 km BYRADIUS 1 km", SYNTAX},
        {"GEOSEARCH s FROMLONLAT 1 1 BYRADIUS x km", "-ERR need numeric radius\r\n"},
        {"GEOSEARCH s FROMLONLAT 1 1 BYRADIUS -1 km", "-ERR radius cannot be negative\r\n"},
        {"GEOSEARCH s FROMLONLAT 1 1 BYBOX x 1 km", "-ERR need numeric width\r\n"},
        {"GEOSEARCH s FROMLONLAT 1 1 BYBOX 1 x km", "-ERR need numeric height\r\n"},
        {"GEOSEARCH s FROMLONLAT 1 1 BYBOX 1 -1 km", "-ERR height or width cannot be negative\r\n"},
        {"GEOSEARCH s FROMLONLAT 1 1 BYRADIUS 1 km COUNT 0", "-ERR COUNT must be > 0\r\n"},
        {"GEOSEARCH s FROMLONLAT 1 1 BYRADIUS 1 km ANY",
         "-ERR the ANY argument requires COUNT argument\r\n"},
        {"GEOSEARCH s FROMLONLAT 1 1 BYRADIUS 1 km STOREDIST", SYNTAX},
        {"GEORADIUS_RO s 1 1 1 km STORE d", SYNTAX},
        {"GEORADIUS s 1 1 1 km STORE", SYNTAX},
        {"GEORADIUS s 1 1 1 km STORE d WITHDIST",
         "-ERR STORE option in GEORADIUS is not compatible with WITHDIST, WITHHASH and WITHCOORD "
         "options\r\n"},
        {"GEOSEARCHSTORE d s FROMLONLAT 1 1 BYRADIUS 1 km WITHHASH",
         "-ERR GEOSEARCHSTORE is not compatible with WITHDIST, WITHHASH and WITHCOORD options\r\n"},
        {"EXISTS d", ":0\r\n"},
        {NULL, NULL},
    });
}

Test(geo, stores)
{
    steps_run((const struct step[]){
        {SICILY, ":2\r\n"},
        {"SET d v", "+OK\r\n"},
        {"GEOSEARCHSTORE d s FROMLONLAT 15 37 BYRADIUS 200 km", ":2\r\n"},
        {"ZSCORE d Palermo", "$16\r\n3479099956230698\r\n"},
        {"PEXPIREAT d 9999999999999", ":1\r\n"},
        {"GEOSEARCHSTORE d s FROMLONLAT 15 37 BYRADIUS 200 km COUNT 1 STOREDIST", ":1\r\n"},
        {"ZRANGE d 0 -1 WITHSCORES", "*2\r\n$7\r\nCatania\r\n$18\r\n56.441257870158204\r\n"},
        {"PEXPIRETIME d", ":-1\r\n"},
        {"GEOSEARCHSTORE s s FROMMEMBER Palermo BYRADIUS 1 m", ":1\r\n"},
        {"ZRANGE s 0 -1", "*1\r\n$7\r\nPalermo\r\n"},
        {"GEOSEARCHSTORE d none FROMMEMBER x BYBOX 1 1 m", ":0\r\n"},
        {"EXISTS d", ":0\r\n"},
        {NULL, NULL},
    });
}

Test(geo, stores_on_another_shard)
{
    struct shards *shards = shards_new(3, 1);
    shards_line(shards, SICILY);
    for (int i = 0; i < 20; i++) {
        char line[100];
        snprintf(line, sizeof(line), "GEOSEARCHSTORE d%d s FROMLONLAT 15 37 BYRADIUS 200 km", i);
        cr_expect_str_eq(shards_line(shards, line), ":2\r\n");
        snprintf(line, sizeof(line), "GEORADIUS s 15 37 100 km STORE x STOREDIST d%d", i);
        cr_expect_str_eq(shards_line(shards, line), ":1\r\n");
        snprintf(line, sizeof(line), "ZRANGE d%d 0 -1", i);
        cr_expect_str_eq(shards_line(shards, line), "*1\r\n$7\r\nCatania\r\n");
    }
    cr_expect_str_eq(shards_line(shards, "EXISTS x"), ":0\r\n");
    cr_expect_str_eq(shards_line(shards, "GEORADIUS s 80 0 1 m STORE d0"), ":0\r\n");
    cr_expect_str_eq(shards_line(shards, "GEORADIUS none 80 0 1 m STORE d1"), ":0\r\n");
    cr_expect_str_eq(shards_line(shards, "EXISTS d0 d1"), ":0\r\n");
    cr_expect_str_eq(shards_line(shards, "GEORADIUSBYMEMBER s Palermo 1 m STORE s"), ":1\r\n");
    cr_expect_str_eq(shards_line(shards, "ZRANGE s 0 -1"), "*1\r\n$7\r\nPalermo\r\n");
    shards_delete(shards);
}

Test(geo, effects_are_those_of_sorted_sets)
{
    struct harness *harness = harness_new();
    harness_line(harness, "GEOADD s 0 0 a 1 1 b");
    harness_line(harness, "GEOADD s 0 0 a");
    harness_line(harness, "GEOADD s NX CH 5 5 a 2 2 c");
    harness_line(harness, "GEOSEARCHSTORE d s FROMMEMBER a BYRADIUS 1 m");
    harness_line(harness, "GEOSEARCHSTORE d s FROMLONLAT 80 0 BYRADIUS 1 m");
    cr_expect_str_eq(harness_effects(harness), "ZADD s 3377699720527872 a 3377822707026402 b\n"
                                               "ZADD s NX 3379881761160527 a 3378191666521995 c\n"
                                               "ZADD d 3377699720527872 a\n"
                                               "DEL d\n");
    harness_delete(harness);
}

Test(geo, resp3)
{
    struct harness *harness = harness_new();
    harness->session->protocol = 3;
    harness_line(harness, SICILY);
    cr_expect_str_eq(harness_line(harness, "GEOPOS s none Palermo"),
                     "*2\r\n_\r\n*2\r\n,13.36138933897018433\r\n,38.11555639549629859\r\n");
    cr_expect_str_eq(harness_line(harness, "GEODIST s Palermo Catania"), "$11\r\n166274.1516\r\n");
    cr_expect_str_eq(harness_line(harness, "GEODIST s Palermo none"), "_\r\n");
    harness_delete(harness);
}

/* ---- order ---- */

/** The digits of a member, which do not end with a NUL. */
static long
member_number(struct slice member)
{
    long number = 0;
    for (size_t i = 0; i < member.size && member.data[i] >= '0' && member.data[i] <= '9'; i++) {
        number = number * 10 + (member.data[i] - '0');
    }
    return number;
}

/** Members on a line, in random order, many at the same place: "m17" is 17 steps away. COUNT takes
 * another way of sorting than the whole, with the same distances in front. */
Test(geo, nearest_and_farthest_come_first)
{
    struct random random;
    random_create(&random, 5);
    for (uint32_t size = 1; size < 600; size = size * 3 / 2 + 1) {
        struct harness *harness = harness_new();
        for (uint32_t i = 0; i < size; i++) {
            uint32_t step = (uint32_t)(random_next(&random) % (size / 2 + 1));
            harness_format(harness, "GEOADD k 0.%03u 0 %u:%u", step, step, i);
        }
        for (uint32_t wanted = 1; wanted <= size; wanted = wanted * 2 + 1) {
            for (uint32_t is_far = 0; is_far < 2; is_far++) {
                static struct slice bulks[600];
                struct slice reply = harness_format(harness, "GEORADIUS k 0 0 1000 km COUNT %u %s",
                                                    wanted, is_far != 0 ? "DESC" : "ASC");
                char *kept = malloc(reply.size);
                memcpy(kept, reply.data, reply.size);
                cr_assert_eq(reply_bulks(slice_of(kept, reply.size), bulks, 600), wanted);
                static struct slice all[600];
                reply = harness_format(harness, "GEORADIUS k 0 0 1000 km %s",
                                       is_far != 0 ? "DESC" : "ASC");
                cr_assert_eq(reply_bulks(reply, all, 600), size);
                for (uint32_t i = 0; i < wanted; i++) {
                    long step = member_number(bulks[i]);
                    cr_assert_eq(step, member_number(all[i]), "%u of %u", i, size);
                    long before = i == 0 ? step : member_number(all[i - 1]);
                    cr_assert(is_far != 0 ? step <= before : step >= before);
                }
                free(kept);
            }
        }
        harness_delete(harness);
    }
}
