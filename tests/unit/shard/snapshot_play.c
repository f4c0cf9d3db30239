#include "snapshot_play.h"

#include "shard/lock.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

/*
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
#define TEXT_SIZE_MAX PLAY_FILLER_SIZE

uint64_t
play_below(struct play *play, uint64_t bound)
{
    return random_below(&play->rig->random, bound);
}

struct slice
play_format(struct play *play, const char *format, uint64_t number)
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
        type = types[play_below(play, sizeof(types) - 1)];
    }
    char format[32];
    uint64_t number = play_below(play, 40);
    /* Some lie in one slot with hundreds of others. */
    snprintf(format, sizeof(format), number < 4 ? "{tag}%c:%%lu" : "%c:%%lu", type);
    return play_format(play, format, number);
}

static struct slice
word_text(struct play *play)
{
    static const size_t sizes[] = {8, 40, 100, 700, 3000};
    size_t size = play_below(play, sizes[play_below(play, 40) == 0 ? 4 : play_below(play, 4)]);
    char *at = play->texts + play->used;
    uint64_t seed = play_below(play, 60);
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
        return play_format(play, "%lu", play_below(play, 300));
    case 'T':
        return play_format(play, "%lu", 1 + play_below(play, play_below(play, 2) == 0 ? 50 : 5000));
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
    if (shards->count > 1 || play_below(play, 3) == 0) {
        return;
    }
    for (uint32_t i = 1; i < argc; i++) {
        (void)lock_key_is_free(shard->locks, shards->session.db, argv[i],
                               keyspace_hash(&shard->keyspace, argv[i]), true);
    }
}

struct slice
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
void
play_crowd(struct play *play, bool is_growing)
{
    uint64_t from = play_below(play, 2000);
    for (uint64_t i = from; i < from + 400; i++) {
        play->used = 0;
        struct slice argv[] = {is_growing ? SLICE("SET") : SLICE("DEL"),
                               play_format(play, "{tag}crowd:%lu", i), SLICE("text")};
        shards_run(play->rig->shards, argv, is_growing ? 3 : 2);
        if (i % 32 == 0) {
            snapshot_rig_play(play->rig);
        }
    }
    effects_clear(&play->rig->shards->journal);
}

/** A value that takes many steps. */
void
play_large(struct play *play)
{
    static const char *const commands[] = {"SET", "RPUSH", "SADD", "HSET", "ZADD", "XADD"};
    uint32_t which = (uint32_t)play_below(play, 6);
    struct shards *shards = play->rig->shards;
    uint64_t number = play_below(play, 3);
    uint64_t piece_count = which == 0 ? 1 : 60 + play_below(play, 60);
    size_t size = which == 0 ? play_below(play, TEXT_SIZE_MAX) : 6000;
    for (uint64_t i = 0; i < piece_count; i++) {
        play->used = 0;
        struct slice text = slice_of(play->filler + play_below(play, TEXT_SIZE_MAX - size), size);
        struct slice key = play_format(play, "large:%lu", which * 8 + number);
        struct slice argv[6] = {slice_of_string(commands[which]), key};
        uint32_t argc = 2;
        if (which == 3 || which == 4) {
            argv[argc++] = play_format(play, "%lu", i);
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
    const char *touch = touches[play_below(play, sizeof(touches) / sizeof(touches[0]))];
    const char *mark = strstr(touch, " L");
    while (mark[2] != ' ' && mark[2] != '\0') {
        mark = strstr(mark + 1, " L");
    }
    mark++;
    snprintf(line, sizeof(line), "%.*slarge:%lu%s", (int)(mark - touch), touch,
             play_below(play, 48), mark + 1);
    play_line(play, line);
}

static void
play_whole(struct play *play)
{
    uint64_t choice = play_below(play, 30);
    if (choice < 14) {
        play_line(play, play_below(play, 2) == 0 ? "SWAPDB 0 1" : "SWAPDB 2 0");
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
    shards_advance(shards, (int64_t)play_below(play, 30));
    for (uint32_t i = 0; i < shards->count; i++) {
        shard_expire(shards->shards[i], 1 + (uint32_t)play_below(play, 50));
    }
    effects_clear(&shards->journal);
}

void
play_some(struct play *play, uint32_t count)
{
    struct shards *shards = play->rig->shards;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t choice = play_below(play, 200);
        if (choice == 0) {
            play_whole(play);
        } else if (choice < 10) {
            play_at_large(play);
        } else if (choice < 20) {
            play_time(play);
        } else if (choice < 30) {
            shards->session.db = (uint16_t)play_below(play, 3);
        } else if (choice < 40) {
            shard_collect(shards->shards[play_below(play, shards->count)],
                          (uint32_t)play_below(play, 100));
        } else {
            play_line(play, lines[play_below(play, LINE_COUNT)]);
        }
        snapshot_rig_play(play->rig);
    }
}

struct play *
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

void
play_delete(struct play *play)
{
    snapshot_rig_delete(play->rig);
    free(play->texts);
    free(play);
}

uint64_t
play_seed(void)
{
    const char *wanted = getenv("TESSERA_SEED");
    uint64_t seed = wanted != NULL ? strtoull(wanted, NULL, 10) : random_system_seed();
    fprintf(stderr, "seed %lu\n", seed);
    return seed;
}
