#include "snapshot_play.h"

#include "shard/lock.h"
#include "shard/router_internal.h"
#include "shard/value/image.h"

#include <criterion/criterion.h>
#include <stdatomic.h>

/*
 * Snapshots of values that take many steps: who waits for them and who does not, what they take in
 * memory and on the disk, and how they end before their time.
 */

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
            argv[argc++] = play_format(play, "%lu", i);
            if (text_count > 0) {
                size_t at = i * 16 % (PLAY_FILLER_SIZE - text_size);
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
        struct slice argv[] = {SLICE("XADD"), SLICE("stream"), play_format(play, "%lu-1", i),
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

Test(snapshot_large, giants_take_their_place_first)
{
    struct play *play = play_new(2, play_seed());
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

Test(snapshot_large, who_borrows_a_large_value_waits)
{
    struct play *play = play_new(1, play_seed());
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

Test(snapshot_large, who_changes_a_large_value_of_his_own_does_not_wait)
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
    struct play *play = play_new(1, play_seed());
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

Test(snapshot_large, who_borrows_what_has_an_image_waits)
{
    struct play *play = play_new(1, play_seed());
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

Test(snapshot_large, whoever_has_the_shard_finds_no_image)
{
    struct play *play = play_new(1, play_seed());
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

Test(snapshot_large, waits_while_the_shard_is_somebodys)
{
    struct play *play = play_new(1, play_seed());
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

Test(snapshot_large, keeps_to_its_limit)
{
    struct play *play = play_new(1, play_seed());
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

Test(snapshot_large, a_core_that_ends_forgets_it)
{
    struct play *play = play_new(2, play_seed());
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

Test(snapshot_large, a_core_that_ends_forgets_what_changes)
{
    static const char *const lines[] = {"SADD set new", "DEL set",         "HDEL hash 5",
                                        "UNLINK hash",  "ZADD zset 1 new", "DEL zset",
                                        "LPOP list",    "LTRIM list 0 9",  "XADD stream * f new"};
    struct play *play = play_new(1, play_seed());
    struct snapshot_rig *rig = play->rig;
    struct shard *shard = rig->shards->shards[0];
    giants_make(play);
    snapshot_rig_cut(rig, SNAPSHOT_RDB);
    for (uint32_t i = 0; i < ARRAY_COUNT(lines); i++) {
        struct slice key = slice_of_string(strchr(lines[i], ' ') + 1);
        const char *end = memchr(key.data, ' ', key.size);
        key.size = end != NULL ? (size_t)(end - key.data) : key.size;
        cr_assert(
            lock_key_is_free(shard->locks, 0, key, keyspace_hash(&shard->keyspace, key), true));
        play_line(play, lines[i]);
        snapshot_step(shard, 0);
    }
    shard_collect(shard, 100000);
    while (snapshot_rig_complete(rig)) {
    }
    snapshot_abandon(shard);
    cr_assert(keyspace_check(&shard->keyspace));
    snapshot_rig_forget(rig);
    play_delete(play); /* counts what is left */
}
