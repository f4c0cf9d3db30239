#include "snapshot_rig.h"

#include "core/heap.h"
#include "shard/lock.h"
#include "shard/router_internal.h"
#include "shard/value/image.h"
#include "shard/value/object.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * Snapshots against a copy of everything that was made at the cut. Random commands of all families,
 * time, flushes and swaps run between the steps of the walk and the completions of its writes; then
 * the file is read back and must be that copy, each key once.
 *
 * The tables below are command lines: K is a key, V a text, N a number, T a time in milliseconds; a
 * letter behind K picks one of some keys that hold mostly this type.
 */

#define LINES(name) static const char *const name[]

LINES(lines) = {
    "SET Ks V",
    "SET Ks V",
    "SET Ks N PX T",
    "SET Ks V KEEPTTL",
    "GET Ks",
    "GETEX Ks PX T",
    "GETDEL Ks",
    "GETSET Ks V",
    "APPEND Ks V",
    "SETRANGE Ks N V",
    "INCRBY Kn N",
    "INCRBYFLOAT Kn N",
    "SETBIT Ks N 1",
    "BITOP OR Ks Ks Ks",
    "PFADD Kp V V",
    "PFCOUNT Kp Kp",
    "PFMERGE Kp Kp",
    "MSET Ks V Ks V Ks N",
    "DEL Ks Kl Kh",
    "UNLINK Kz",
    "DEL K*",
    "PEXPIRE K* T",
    "PEXPIRE K* T",
    "PERSIST K*",
    "RENAME K* K*",
    "RENAMENX K* K*",
    "COPY K* K* REPLACE",
    "COPY K* K* DB 1",
    "MOVE K* 2",
    "TOUCH K*",
    "OBJECT ENCODING K*",
    "LPUSH Kl V V V",
    "RPUSH Kl V N V V V",
    "LPOP Kl",
    "RPOP Kl 3",
    "LSET Kl 0 V",
    "LINSERT Kl BEFORE V V",
    "LTRIM Kl 0 N",
    "LREM Kl 1 V",
    "LMOVE Kl Kl LEFT RIGHT",
    "LRANGE Kl 0 -1",
    "HSET Kh V V V V",
    "HSET Kh N V N V N V N V",
    "HDEL Kh N N V",
    "HINCRBY Kh N N",
    "HGETALL Kh",
    "HPEXPIRE Kh T FIELDS 2 N N",
    "HPERSIST Kh FIELDS 1 N",
    "HSETEX Kh PX T FIELDS 1 N V",
    "SADD Ke N N N N N",
    "SADD Ke V V",
    "SREM Ke N N",
    "SPOP Ke",
    "SPOP Ke 5",
    "SMOVE Ke Ke N",
    "SUNIONSTORE Ke Ke Ke",
    "SMEMBERS Ke",
    "ZADD Kz N V N V N N N N",
    "ZINCRBY Kz N V",
    "ZREM Kz N N",
    "ZPOPMIN Kz",
    "ZREMRANGEBYRANK Kz 0 1",
    "ZUNIONSTORE Kz 2 Kz Kz",
    "ZRANGE Kz 0 -1",
    "GEOADD Kg N 10 V",
    "XADD Kx * f V g N",
    "XADD Kx MAXLEN ~ 50 * f V",
    "XGROUP CREATE Kx g1 0",
    "XREADGROUP GROUP g1 c1 COUNT 2 STREAMS Kx >",
    "XTRIM Kx MAXLEN 20",
    "XDEL Kx 1-1",
    "SORT Kl ALPHA STORE Kl",
};

#define LINE_COUNT (sizeof(lines) / sizeof(lines[0]))
#define WORDS_MAX 64
#define TEXT_SIZE_MAX (700 << 10)

struct play {
    struct snapshot_rig *rig;
    char *texts; /* of the words */
    size_t used;
    char filler[TEXT_SIZE_MAX];
};

static uint64_t
below(struct play *play, uint64_t bound)
{
    return random_below(&play->rig->random, bound);
}

static struct slice
word_format(struct play *play, const char *format, uint64_t number)
{
    char *at = play->texts + play->used;
    int size = snprintf(at, 64, format, number);
    play->used += (size_t)size;
    return slice_of(at, (size_t)size);
}

static struct slice
word_key(struct play *play, char type)
{
    static const char types[] = "snplhezgx";
    if (type == '*') {
        type = types[below(play, sizeof(types) - 1)];
    }
    char format[32];
    uint64_t number = below(play, 40);
    /* Some lie in one slot with hundreds of others. */
    snprintf(format, sizeof(format), number < 4 ? "{tag}%c:%%lu" : "%c:%%lu", type);
    return word_format(play, format, number);
}

static struct slice
word_text(struct play *play)
{
    static const size_t sizes[] = {8, 40, 100, 700, 3000};
    size_t size = below(play, sizes[below(play, 40) == 0 ? 4 : below(play, 4)]);
    char *at = play->texts + play->used;
    uint64_t seed = below(play, 60);
    for (size_t i = 0; i < size; i++) {
        at[i] = (char)('a' + (seed * 7 + i * (1 + seed % 5)) % 26);
    }
    play->used += size;
    return slice_of(at, size);
}

static struct slice
word_of(struct play *play, struct slice word)
{
    if (word.size == 2 && word.data[0] == 'K') {
        return word_key(play, word.data[1]);
    }
    if (word.size != 1) {
        return word;
    }
    switch (word.data[0]) {
    case 'V':
        return word_text(play);
    case 'N':
        return word_format(play, "%lu", below(play, 300));
    case 'T':
        return word_format(play, "%lu", 1 + below(play, below(play, 2) == 0 ? 50 : 5000));
    default:
        return word;
    }
}

/** As whoever runs a command of his own asks for its keys; which words these are does not matter.
 */
static void
play_ask(struct play *play, const struct slice *argv, uint32_t argc)
{
    struct shards *shards = play->rig->shards;
    struct shard *shard = shards->shards[0];
    if (shards->count > 1 || below(play, 3) == 0) {
        return;
    }
    for (uint32_t i = 1; i < argc; i++) {
        (void)lock_key_is_free(shard->locks, shards->session.db, argv[i],
                               keyspace_hash(&shard->keyspace, argv[i]), true);
    }
}

static struct slice
play_line(struct play *play, const char *line)
{
    struct slice argv[WORDS_MAX];
    uint32_t argc = 0;
    play->used = 0;
    while (*line != '\0') {
        size_t size = strcspn(line, " ");
        argv[argc++] = word_of(play, slice_of(line, size));
        line += size;
        line += *line == ' ';
    }
    play_ask(play, argv, argc);
    struct slice reply = shards_run(play->rig->shards, argv, argc);
    effects_clear(&play->rig->shards->journal);
    return reply;
}

/** Many keys come into one slot, or go. */
static void
play_crowd(struct play *play, bool is_growing)
{
    uint64_t from = below(play, 2000);
    for (uint64_t i = from; i < from + 400; i++) {
        play->used = 0;
        struct slice argv[] = {is_growing ? SLICE("SET") : SLICE("DEL"),
                               word_format(play, "{tag}crowd:%lu", i), SLICE("text")};
        shards_run(play->rig->shards, argv, is_growing ? 3 : 2);
        if (i % 32 == 0) {
            snapshot_rig_play(play->rig);
        }
    }
    effects_clear(&play->rig->shards->journal);
}

/** A value that takes many steps. */
static void
play_large(struct play *play)
{
    static const char *const commands[] = {"SET", "RPUSH", "SADD", "HSET", "ZADD", "XADD"};
    uint32_t which = (uint32_t)below(play, 6);
    struct shards *shards = play->rig->shards;
    uint64_t number = below(play, 3);
    uint64_t piece_count = which == 0 ? 1 : 60 + below(play, 60);
    size_t size = which == 0 ? below(play, TEXT_SIZE_MAX) : 6000;
    for (uint64_t i = 0; i < piece_count; i++) {
        play->used = 0;
        struct slice text = slice_of(play->filler + below(play, TEXT_SIZE_MAX - size), size);
        struct slice key = word_format(play, "large:%lu", which * 8 + number);
        struct slice argv[6] = {slice_of_string(commands[which]), key};
        uint32_t argc = 2;
        if (which == 3 || which == 4) {
            argv[argc++] = word_format(play, "%lu", i);
        } else if (which == 5) {
            argv[argc++] = SLICE("*");
            argv[argc++] = SLICE("field");
        }
        argv[argc++] = text;
        shards_run(shards, argv, argc);
    }
    effects_clear(&shards->journal);
}

/** Somebody changes, reads or removes one. */
static void
play_at_large(struct play *play)
{
    static const char *const touches[] = {
        "APPEND L V",      "SETRANGE L N V",
        "RPUSH L V",       "LPOP L",
        "SADD L N",        "SPOP L",
        "HSET L N V",      "HDEL L N",
        "ZADD L N V",      "ZREM L N",
        "XADD L * f V",    "XTRIM L MAXLEN 30",
        "DEL L",           "UNLINK L",
        "GET L",           "RENAME L Ks",
        "PEXPIRE L T",     "COPY L Ks REPLACE",
        "LRANGE L 0 1",    "HPEXPIRE L T FIELDS 2 N N",
        "GETRANGE L 0 10",
    };
    char line[64];
    const char *touch = touches[below(play, sizeof(touches) / sizeof(touches[0]))];
    const char *mark = strstr(touch, " L");
    while (mark[2] != ' ' && mark[2] != '\0') {
        mark = strstr(mark + 1, " L");
    }
    mark++;
    snprintf(line, sizeof(line), "%.*slarge:%lu%s", (int)(mark - touch), touch, below(play, 48),
             mark + 1);
    play_line(play, line);
}

static void
play_whole(struct play *play)
{
    uint64_t choice = below(play, 30);
    if (choice < 14) {
        play_line(play, below(play, 2) == 0 ? "SWAPDB 0 1" : "SWAPDB 2 0");
    } else if (choice < 18) {
        play_line(play, "FLUSHDB");
    } else if (choice == 18) {
        play_line(play, "FLUSHALL");
    } else if (choice < 22) {
        play_crowd(play, true);
    } else if (choice < 26) {
        play_crowd(play, false);
    } else {
        play_large(play);
    }
}

static void
play_time(struct play *play)
{
    struct shards *shards = play->rig->shards;
    shards_advance(shards, (int64_t)below(play, 30));
    for (uint32_t i = 0; i < shards->count; i++) {
        shard_expire(shards->shards[i], 1 + (uint32_t)below(play, 50));
    }
    effects_clear(&shards->journal);
}

static void
play_some(struct play *play, uint32_t count)
{
    struct shards *shards = play->rig->shards;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t choice = below(play, 200);
        if (choice == 0) {
            play_whole(play);
        } else if (choice < 10) {
            play_at_large(play);
        } else if (choice < 20) {
            play_time(play);
        } else if (choice < 30) {
            shards->session.db = (uint16_t)below(play, 3);
        } else if (choice < 40) {
            shard_collect(shards->shards[below(play, shards->count)], (uint32_t)below(play, 100));
        } else {
            play_line(play, lines[below(play, LINE_COUNT)]);
        }
        snapshot_rig_play(play->rig);
    }
}

static struct play *
play_new(uint32_t shard_count, uint64_t seed)
{
    struct play *play = calloc(1, sizeof(*play));
    cr_assert_not_null(play);
    play->rig = snapshot_rig_new(shard_count, seed);
    play->texts = malloc(WORDS_MAX * 4096);
    uint64_t word = 0;
    for (size_t i = 0; i < TEXT_SIZE_MAX; i++) {
        word = i % 8 == 0 ? random_next(&play->rig->random) : word >> 8;
        play->filler[i] = (char)word;
    }
    return play;
}

static void
play_delete(struct play *play)
{
    snapshot_rig_delete(play->rig);
    free(play->texts);
    free(play);
}

static uint64_t
seed_of_test(void)
{
    const char *wanted = getenv("TESSERA_SEED");
    uint64_t seed = wanted != NULL ? strtoull(wanted, NULL, 10) : random_system_seed();
    fprintf(stderr, "seed %lu\n", seed);
    return seed;
}

static void
play_race(uint64_t seed)
{
    struct play *play = play_new(1 + (uint32_t)(seed % 3), seed);
    struct snapshot_rig *rig = play->rig;
    play_crowd(play, true);
    play_large(play);
    play_some(play, 3000);
    for (uint32_t i = 0; i < 6; i++) {
        static const uint32_t paces[] = {1, 4, 12, 40};
        bool is_given_up = i == 1 || i == 4;
        rig->pace = paces[below(play, 4)];
        snapshot_rig_cut(rig, i % 3 == 2 ? SNAPSHOT_COMMANDS : SNAPSHOT_RDB);
        play_some(play, (uint32_t)below(play, 400));
        rig->is_failing = i == 4;
        if (i == 1) {
            atomic_store(&rig->job->is_given_up, true);
        }
        play_some(play, (uint32_t)below(play, 100));
        snapshot_rig_drain(rig);
        rig->is_failing = false;
        snapshot_rig_check_bits(rig);
        if (is_given_up && (i == 1 || atomic_load(&rig->job->error) != 0)) {
            cr_assert(i == 1 || atomic_load(&rig->job->error) == -ENOSPC);
            snapshot_rig_forget(rig);
        } else {
            snapshot_rig_check_file(rig);
        }
        play_some(play, (uint32_t)below(play, 300));
    }
    play_delete(play);
}

Test(snapshot, races_a_model)
{
    uint64_t seed = seed_of_test();
    for (uint64_t i = 0; i < 8; i++) {
        play_race(seed + i);
    }
}

/* ---- large values ---- */

/** A collection of `count` elements that have numbers, and texts where `text_count` is not 0. */
static void
giant_make(struct play *play, const char *command, const char *key, uint32_t count,
           uint32_t text_count, size_t text_size)
{
    struct shards *shards = play->rig->shards;
    for (uint32_t i = 0; i < count;) {
        struct slice argv[128] = {slice_of_string(command), slice_of_string(key)};
        uint32_t argc = 2;
        play->used = 0;
        for (; i < count && argc + 4 < 60; i++) {
            argv[argc++] = word_format(play, "%lu", i);
            if (text_count > 0) {
                size_t at = i * 16 % (TEXT_SIZE_MAX - text_size);
                argv[argc++] = slice_of(play->filler + at, text_size);
            }
        }
        struct slice reply = shards_run(shards, argv, argc);
        cr_assert_neq(reply.data[0], '-', "%s", reply.data);
    }
    effects_clear(&shards->journal);
}

/** Entries 1-1, 2-1 ... */
static void
stream_make(struct play *play, uint32_t count)
{
    for (uint32_t i = 1; i <= count; i++) {
        play->used = 0;
        struct slice argv[] = {SLICE("XADD"), SLICE("stream"), word_format(play, "%lu-1", i),
                               SLICE("field"), slice_of(play->filler + i * 8, 3000)};
        shards_run(play->rig->shards, argv, 5);
    }
    effects_clear(&play->rig->shards->journal);
}

static void
giants_make(struct play *play)
{
    giant_make(play, "RPUSH", "list", 4000, 1, 3000);
    giant_make(play, "SADD", "set", 30000, 0, 0);
    giant_make(play, "HSET", "hash", 12000, 1, 800);
    giant_make(play, "ZADD", "zset", 20000, 1, 40);
    stream_make(play, 4000);
    play_line(play, "XGROUP CREATE stream group 0");
    play_line(play, "XREADGROUP GROUP group consumer COUNT 3000 STREAMS stream >");
    play_line(play, "HPEXPIRE hash 100000 FIELDS 2 1 2");
}

Test(snapshot, giants_take_their_place_first)
{
    struct play *play = play_new(2, seed_of_test());
    struct snapshot_rig *rig = play->rig;
    giants_make(play);
    for (uint32_t i = 0; i < 2; i++) {
        snapshot_rig_cut(rig, i == 1 ? SNAPSHOT_COMMANDS : SNAPSHOT_RDB);
        snapshot_rig_drain(rig);
        /* Memory is bounded: by what is gathered, and what a last step adds. */
        cr_assert(i == 1 || rig->write_peak <= 2 * 40, "%u", rig->write_peak);
        snapshot_rig_check_bits(rig);
        snapshot_rig_check_file(rig);
    }
    play_delete(play);
}

/** What asks for keys. */
struct party {
    struct lock_request request;
    bool is_held;
};

static void
party_ask(struct party *party, struct shard *shard, uint64_t ticket, struct slice key,
          bool is_exclusive, bool is_borrower)
{
    lock_request_create(&party->request, ticket,
                        is_exclusive ? LOCK_INTENT_EXCLUSIVE : LOCK_INTENT_SHARED, 1);
    party->request.is_borrower = is_borrower;
    lock_request_enter(shard->locks, &party->request);
    lock_request_add_key(shard->locks, &party->request, 0, key,
                         keyspace_hash(&shard->keyspace, key), is_exclusive);
    party->is_held = lock_request_try(shard->locks, &party->request);
}

/** Who has got what he waited for. */
static void
parties_serve(struct shard *shard)
{
    struct list_node *node;
    while ((node = list_pop_front(&shard->router->ready)) != NULL) {
        struct lock_request *request = container_of(node, struct lock_request, ready_link);
        container_of(request, struct party, request)->is_held = true;
    }
}

static void
party_leave(struct party *party, struct shard *shard)
{
    lock_request_leave(shard->locks, &party->request, &shard->router->ready);
    lock_request_destroy(&party->request);
    parties_serve(shard);
}

static struct entry *
entry_of(struct shard *shard, struct slice key)
{
    return keyspace_find(&shard->keyspace, 0, key_slot(key), key,
                         keyspace_hash(&shard->keyspace, key));
}

Test(snapshot, who_borrows_a_large_value_waits)
{
    struct play *play = play_new(1, seed_of_test());
    struct snapshot_rig *rig = play->rig;
    struct shard *shard = rig->shards->shards[0];
    shard->router->is_serving = true; /* the parties are served here */
    giant_make(play, "SADD", "set", 30000, 0, 0);
    giant_make(play, "ZADD", "zset", 20000, 1, 40);
    play_line(play, "SET string V");
    struct slice set = SLICE("set");
    struct slice zset = SLICE("zset");
    struct party early;
    struct party reader;
    struct party writer;
    struct party other;
    struct party small;
    /* Asked for before the cut: the whole shard is somebody's. */
    struct lock_request whole;
    lock_request_create(&whole, 1, LOCK_EXCLUSIVE, 0);
    lock_request_enter(shard->locks, &whole);
    cr_assert(lock_request_try(shard->locks, &whole));
    party_ask(&early, shard, 2, set, true, true);
    cr_assert(!early.is_held);
    snapshot_rig_cut(rig, SNAPSHOT_RDB);
    lock_request_leave(shard->locks, &whole, &shard->router->ready);
    lock_request_destroy(&whole);
    parties_serve(shard);
    cr_assert(!early.is_held);
    cr_assert(entry_is_lent(entry_of(shard, set)));
    cr_assert_eq(rig->job->parts[0].waited_count, 1);
    /* Behind whoever waits, as ever; who reads another one goes on. */
    party_ask(&reader, shard, 3, zset, false, true);
    cr_assert(reader.is_held);
    party_ask(&small, shard, 4, SLICE("string"), true, false);
    cr_assert(small.is_held);
    cr_assert(!lock_key_is_free(shard->locks, 0, set, keyspace_hash(&shard->keyspace, set), true));
    cr_assert(lock_table_is_valid(shard->locks));
    for (uint32_t i = 0; !early.is_held; i++) {
        cr_assert_lt(i, 10000);
        snapshot_step(shard, 0);
        snapshot_rig_complete(rig);
        parties_serve(shard);
    }
    cr_assert_eq(entry_snapshot_bit(entry_of(shard, set)), shard->keyspace.snapshot_bit);
    cr_assert(!entry_is_lent(entry_of(shard, set)));
    party_leave(&early, shard);
    party_leave(&small, shard);
    /* A reader has it: the writer waits for him first, then for the snapshot. */
    party_ask(&writer, shard, 5, zset, true, true);
    cr_assert(!writer.is_held);
    cr_assert_eq(rig->job->parts[0].waited_count, 1);
    party_leave(&reader, shard);
    cr_assert(!writer.is_held);
    cr_assert_eq(rig->job->parts[0].waited_count, 2);
    party_ask(&other, shard, 6, zset, false, true);
    cr_assert(!other.is_held); /* nobody overtakes the writer */
    snapshot_rig_drain(rig);
    parties_serve(shard);
    cr_assert(writer.is_held && !other.is_held);
    party_leave(&writer, shard);
    cr_assert(other.is_held);
    party_leave(&other, shard);
    snapshot_rig_check_bits(rig);
    snapshot_rig_check_file(rig);
    play_delete(play);
}

/** Is somebody writing what this key's value was, while it changes? */
static bool
has_image(struct shard *shard, struct slice key)
{
    struct value value;
    entry_value(entry_of(shard, key), &value);
    return object_image(value.object) != NULL;
}

Test(snapshot, who_changes_a_large_value_of_his_own_does_not_wait)
{
    static const struct {
        const char *command;
        const char *key;
        uint32_t text_count;
        const char *changes[8];
    } cases[] = {
        {"SADD",
         "set",
         0,
         {"SADD set new", "SREM set 17 18", "RENAME set moved", "SADD moved newer", "DEL moved"}},
        {"HSET",
         "hash",
         1,
         {"HSET hash 9 new", "HPEXPIRE hash 5000 FIELDS 1 3", "COPY hash copy", "HDEL hash 3 4",
          "HSET other x y", "RENAME other hash"}},
        {"ZADD",
         "zset",
         1,
         {"ZADD zset 1 new", "ZREMRANGEBYRANK zset 5 900", "COPY zset zcopy", "ZADD zcopy 5 x",
          "ZPOPMAX zset 20", "ZREMRANGEBYRANK zset 0 -3"}},
        {"RPUSH",
         "list",
         1,
         {"RPUSH list new", "LPUSH list new", "LINSERT list BEFORE 7000 seven", "LTRIM list 5 -1",
          "LREM list 0 8000", "LTRIM list 20000 20002", "LSET list 0 new", "DEL list"}},
        {"XADD",
         "stream",
         1,
         {"XADD stream * f new", "XGROUP CREATE stream g 0", "XTRIM stream MAXLEN 900",
          "XREADGROUP GROUP g c COUNT 20 STREAMS stream >", "XDEL stream 3995-1",
          "XTRIM stream MAXLEN 3", "XGROUP DESTROY stream g", "DEL stream"}},
    };
    struct play *play = play_new(1, seed_of_test());
    struct snapshot_rig *rig = play->rig;
    struct shard *shard = rig->shards->shards[0];
    shard->router->is_serving = true;
    for (uint32_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct slice key = slice_of_string(cases[i].key);
        if (slice_equal(key, SLICE("stream"))) {
            stream_make(play, 4000);
        } else {
            giant_make(play, cases[i].command, cases[i].key, 30000, cases[i].text_count, 40);
        }
        snapshot_rig_cut(rig, i % 2 == 1 ? SNAPSHOT_COMMANDS : SNAPSHOT_RDB);
        /* The walk has begun with it, and has locked it. */
        for (uint32_t j = 0; !entry_is_lent(entry_of(shard, key)); j++) {
            cr_assert_lt(j, 10000);
            snapshot_step(shard, 0);
            snapshot_rig_complete(rig);
        }
        snapshot_step(shard, 0);
        struct party party;
        party_ask(&party, shard, 3, key, true, false);
        cr_assert(party.is_held);
        cr_assert(!entry_is_lent(entry_of(shard, key)));
        cr_assert(has_image(shard, key));
        cr_assert(lock_table_is_valid(shard->locks));
        party_leave(&party, shard);
        for (uint32_t j = 0; j < 8 && cases[i].changes[j] != NULL; j++) {
            play_line(play, cases[i].changes[j]);
            cr_assert(keyspace_check(&shard->keyspace));
            snapshot_step(shard, 0);
            snapshot_rig_complete(rig);
        }
        snapshot_rig_drain(rig);
        cr_assert_eq(rig->job->parts[0].waited_count, 0);
        snapshot_rig_check_bits(rig);
        snapshot_rig_check_file(rig);
        cr_assert(keyspace_check(&shard->keyspace));
    }
    play_delete(play);
}

Test(snapshot, who_borrows_what_has_an_image_waits)
{
    struct play *play = play_new(1, seed_of_test());
    struct snapshot_rig *rig = play->rig;
    struct shard *shard = rig->shards->shards[0];
    shard->router->is_serving = true;
    giant_make(play, "SADD", "set", 30000, 0, 0);
    snapshot_rig_cut(rig, SNAPSHOT_RDB);
    struct slice set = SLICE("set");
    struct slice moved = SLICE("moved");
    struct party own;
    struct party borrower;
    struct party older;
    cr_assert(lock_key_is_free(shard->locks, 0, set, keyspace_hash(&shard->keyspace, set), true));
    cr_assert(has_image(shard, set));
    play_line(play, "RENAME set moved");
    cr_assert(has_image(shard, moved));
    party_ask(&borrower, shard, 9, moved, true, true);
    cr_assert(!borrower.is_held);
    cr_assert(entry_is_lent(entry_of(shard, moved)));
    cr_assert_eq(rig->job->parts[0].waited_count, 1);
    /* Behind the borrower everybody waits; in front of him only borrowers do. */
    party_ask(&own, shard, 10, moved, true, false);
    cr_assert(!own.is_held);
    party_ask(&older, shard, 8, moved, true, false);
    cr_assert(older.is_held);
    cr_assert(!entry_is_lent(entry_of(shard, moved)));
    play_line(play, "SADD moved new");
    party_leave(&older, shard);
    cr_assert(!borrower.is_held && !own.is_held);
    cr_assert(lock_table_is_valid(shard->locks));
    for (uint32_t i = 0; !borrower.is_held; i++) {
        cr_assert_lt(i, 10000);
        snapshot_step(shard, 0);
        snapshot_rig_complete(rig);
        parties_serve(shard);
    }
    cr_assert(!has_image(shard, moved));
    party_leave(&borrower, shard);
    cr_assert(own.is_held);
    party_leave(&own, shard);
    snapshot_rig_drain(rig);
    snapshot_rig_check_bits(rig);
    snapshot_rig_check_file(rig);
    play_delete(play);
}

Test(snapshot, whoever_has_the_shard_finds_no_image)
{
    struct play *play = play_new(1, seed_of_test());
    struct snapshot_rig *rig = play->rig;
    struct shard *shard = rig->shards->shards[0];
    shard->router->is_serving = true;
    giant_make(play, "SADD", "set", 30000, 0, 0);
    snapshot_rig_cut(rig, SNAPSHOT_RDB);
    struct slice set = SLICE("set");
    cr_assert(lock_key_is_free(shard->locks, 0, set, keyspace_hash(&shard->keyspace, set), true));
    play_line(play, "SADD set a");
    cr_assert(has_image(shard, set));
    struct lock_request whole;
    lock_request_create(&whole, 1, LOCK_EXCLUSIVE, 0);
    lock_request_enter(shard->locks, &whole);
    cr_assert(lock_request_try(shard->locks, &whole));
    play_line(play, "SISMEMBER set a");
    cr_assert(has_image(shard, set));
    play_line(play, "SADD set b");
    cr_assert(!has_image(shard, set));
    lock_request_leave(shard->locks, &whole, &shard->router->ready);
    lock_request_destroy(&whole);
    snapshot_rig_drain(rig);
    snapshot_rig_check_bits(rig);
    snapshot_rig_check_file(rig);
    play_delete(play);
}

Test(snapshot, waits_while_the_shard_is_somebodys)
{
    struct play *play = play_new(1, seed_of_test());
    struct snapshot_rig *rig = play->rig;
    struct shard *shard = rig->shards->shards[0];
    shard->router->is_serving = true;
    giant_make(play, "ZADD", "zset", 20000, 1, 40);
    snapshot_rig_cut(rig, SNAPSHOT_RDB);
    struct lock_request whole;
    lock_request_create(&whole, 1, LOCK_EXCLUSIVE, 0);
    lock_request_enter(shard->locks, &whole);
    cr_assert(lock_request_try(shard->locks, &whole));
    for (uint32_t i = 0; i < 5; i++) {
        cr_assert(!snapshot_step(shard, UINT64_MAX));
    }
    cr_assert_eq(snapshot_next_ms(shard), INT64_MAX);
    /* Whoever has it changes the value all the same: there is no waiting. */
    play_line(play, "ZADD zset 1 one");
    cr_assert_eq(entry_snapshot_bit(entry_of(shard, SLICE("zset"))), shard->keyspace.snapshot_bit);
    lock_request_leave(shard->locks, &whole, &shard->router->ready);
    lock_request_destroy(&whole);
    snapshot_rig_drain(rig);
    snapshot_rig_check_bits(rig);
    snapshot_rig_check_file(rig);
    play_delete(play);
}

Test(snapshot, keeps_to_its_limit)
{
    struct play *play = play_new(1, seed_of_test());
    struct snapshot_rig *rig = play->rig;
    struct shard *shard = rig->shards->shards[0];
    giant_make(play, "RPUSH", "list", 4000, 1, 3000);
    shard->now_ns = 1000;
    snapshot_rig_cut(rig, SNAPSHOT_RDB);
    rig->job->start_ns = shard->now_ns;
    rig->job->bytes_per_second_max = 1 << 20;
    while (snapshot_step(shard, 0)) {
        while (snapshot_rig_complete(rig)) {
        }
    }
    uint64_t taken = atomic_load(&rig->job->end_offset) - rig->job->start_offset;
    cr_assert_gt(snapshot_next_ms(shard), shard->now_ms);
    cr_assert_leq(snapshot_next_ms(shard), shard->now_ms + 2 + (int64_t)(taken * 1000 >> 20));
    shard->now_ns += taken * 1000000000 >> 20;
    shard->now_ns += 1000;
    cr_assert(snapshot_step(shard, 0));
    rig->job->bytes_per_second_max = 0;
    snapshot_rig_drain(rig);
    snapshot_rig_check_file(rig);
    play_delete(play);
}

Test(snapshot, a_core_that_ends_forgets_it)
{
    struct play *play = play_new(2, seed_of_test());
    struct snapshot_rig *rig = play->rig;
    giants_make(play);
    snapshot_rig_cut(rig, SNAPSHOT_RDB);
    play_line(play, "FLUSHALL");
    play_line(play, "SET Ks V");
    for (uint32_t i = 0; i < 8; i++) {
        for (uint32_t j = 0; j < 2; j++) {
            snapshot_step(rig->shards->shards[j], 0);
        }
    }
    while (snapshot_rig_complete(rig)) {
    }
    for (uint32_t j = 0; j < 2; j++) {
        snapshot_abandon(rig->shards->shards[j]);
    }
    snapshot_rig_forget(rig);
    play_delete(play);
}
