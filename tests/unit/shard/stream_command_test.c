/*
 * stream_command_test.c: what commands about streams tell the journal, played to another shard,
 * makes the same streams, groups and pending entries there.
 */
#include "collection.h"

#include "core/config.h"
#include "core/random.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#define KEYS 3

/** @: one of few keys; #: a time that was not long ago; %: a small number; !: now. */
static const char *const command_forms[] = {
    "XADD s@ !-* f % g v",
    "XADD s@ !-* f %",
    "XADD s@ !-* f %",
    "XADD s@ MAXLEN ~ % !-* f %",
    "XADD s@ MAXLEN 1% !-* f %",
    "XADD s@ NOMKSTREAM MINID ~ # !-* f v",
    "XADD s@ * f v",
    "XDEL s@ #-0 #-0 #-1",
    "XTRIM s@ MAXLEN ~ %",
    "XTRIM s@ MINID #",
    "XSETID s@ !-7",
    "XSETID s@ !-7 ENTRIESADDED 500 MAXDELETEDID #",
    "XGROUP CREATE s@ g # MKSTREAM",
    "XGROUP CREATE s@ h $ MKSTREAM ENTRIESREAD %",
    "XGROUP CREATECONSUMER s@ g c%",
    "XGROUP DELCONSUMER s@ g c%",
    "XGROUP DELCONSUMER s@ g b",
    "XGROUP SETID s@ g #",
    "XGROUP DESTROY s@ h",
    "XREADGROUP GROUP g b COUNT 3 STREAMS s@ >",
    "XREADGROUP GROUP g a STREAMS s@ >",
    "XREADGROUP GROUP h a NOACK COUNT 2 STREAMS s@ >",
    "XREADGROUP GROUP h a COUNT 2 STREAMS s@ >",
    "XREADGROUP GROUP g a COUNT 4 STREAMS s@ 0",
    "XACK s@ g #-0 #-0 #-1",
    "XCLAIM s@ g c% 0 #-0 #-0 #-0",
    "XCLAIM s@ g a 50 #-0 #-0 RETRYCOUNT % JUSTID",
    "XCLAIM s@ h b 0 #-0 #-0 FORCE IDLE % LASTID #",
    "XAUTOCLAIM s@ g b 100 0 COUNT 3",
    "XAUTOCLAIM s@ g a 0 #",
    "XAUTOCLAIM s@ h a 0 0 JUSTID",
    "DEL s@",
};

static void
command_run(struct harness *harness, struct random *random, uint32_t now)
{
    char line[256];
    size_t size = 0;
    uint64_t index = random_below(random, ARRAY_COUNT(command_forms));
    /* The last one ends a history: rarely. */
    if (index + 1 == ARRAY_COUNT(command_forms) && random_below(random, 20) > 0) {
        index = 0;
    }
    for (const char *at = command_forms[index]; *at != '\0'; at++) {
        uint64_t number = *at == '@'   ? random_below(random, KEYS)
                          : *at == '#' ? now - random_below(random, MIN(now, 40U) + 1)
                          : *at == '%' ? random_below(random, 10)
                                       : now;
        if (strchr("@#%!", *at) != NULL) {
            size += (size_t)snprintf(line + size, sizeof(line) - size, "%u", (unsigned)number);
        } else {
            line[size++] = *at;
        }
    }
    line[size] = '\0';
    harness_line(harness, line);
}

static void
line_equal(struct harness *a, struct harness *b, const char *line)
{
    char *expected = strdup(harness_line(a, line));
    cr_assert_str_eq(harness_line(b, line), expected, "%s", line);
    free(expected);
}

/** All that a stream's readers see, but for when consumers were seen and how nodes are cut. */
static void
streams_equal(struct harness *a, struct harness *b)
{
    for (uint32_t i = 0; i < KEYS; i++) {
        char line[64];
        snprintf(line, sizeof(line), "XRANGE s%u - +", i);
        line_equal(a, b, line);
        snprintf(line, sizeof(line), "XINFO GROUPS s%u", i);
        line_equal(a, b, line);
        snprintf(line, sizeof(line), "XPENDING s%u g - + 100000", i);
        line_equal(a, b, line);
        snprintf(line, sizeof(line), "XPENDING s%u h - + 100000", i);
        line_equal(a, b, line);
        /* The next id, and what is known of the past. */
        snprintf(line, sizeof(line), "XADD s%u * last v", i);
        line_equal(a, b, line);
    }
}

/** As harness_replay(), but with a clock, since no delivery is later than now; and XGROUP's key is
 * behind its subcommand. */
static void
replay(struct harness *from, struct harness *to)
{
    struct effect_reader reader;
    struct effect effect;
    harness_advance(to, from->shard->now_ms - to->shard->now_ms);
    effect_reader_create(&reader, &from->journal);
    while (effect_read(&reader, &effect)) {
        uint32_t key_at = slice_equal(effect.argv[0], SLICE("XGROUP")) ? 2 : 1;
        cr_assert_eq(effect.slot, key_slot(effect.argv[key_at]));
        const char *reply = harness_run(to, effect.argv, effect.argc).data;
        cr_assert_neq(reply[0], '-', "%.*s: %s", (int)effect.argv[0].size, effect.argv[0].data,
                      reply);
    }
    effect_reader_destroy(&reader);
}

static void
effects_race(bool is_borrowed, int64_t node_count_max)
{
    struct random random;
    uint64_t seed = random_system_seed();
    fprintf(stderr, "stream effects: seed %llu\n", (unsigned long long)seed);
    random_create(&random, seed);
    for (uint32_t round = 0; round < 20; round++) {
        struct harness *harness = harness_new();
        struct harness *replica = harness_new();
        harness->is_borrowed = is_borrowed;
        harness->config->stream_node_max_entries = node_count_max;
        for (uint32_t step = 1; step < 600; step++) {
            if (step % 16 == 0) {
                harness_advance(harness, (int64_t)random_below(&random, 200));
            }
            command_run(harness, &random, step);
        }
        replay(harness, replica);
        streams_equal(harness, replica);
        harness_delete(replica);
        harness_delete(harness);
    }
}

Test(stream_command, effects_make_the_same_streams)
{
    effects_race(false, 100);
    effects_race(false, 3);
    effects_race(true, 3);
}
