#include "shard/value/codec.h"

#include "shard/value/digest.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Collections that change while they are written, against a copy that was made when the image was.
 * A walk takes small steps, random changes run between them (the population swings, so that parts
 * split and merge), some values are freed half-way; then the bytes are read back and must be the
 * copy, element by element. What the image took for its own must leave the account as it was.
 */

#define TEXT_SIZE_MAX 3000

enum kind {
    KIND_SET,
    KIND_HASH,
    KIND_HASH_TIMED, /* when the image is made */
    KIND_ZSET,
    KIND_LIST,
    KIND_LIST_PACKED, /* with nodes that are compressed */
    KIND_STREAM,
    KIND_COUNT,
};

static const char *const kind_names[] = {"set",  "hash",        "timed hash", "zset",
                                         "list", "packed list", "stream"};

struct race {
    enum kind kind;
    struct random random;
    struct value value; /* VALUE_NONE: it is gone */
    struct value copy;
    struct memory memory;
    struct rdb_writer writer;
    struct codec_writer codec;
    uint32_t element_max;
    uint32_t growth; /* of 100 changes, so many add something */
    bool is_writing;
    char text[TEXT_SIZE_MAX];
    char other[TEXT_SIZE_MAX];
    char read[CODEC_TEXT_SIZE];
};

static uint32_t
below(struct race *race, uint32_t bound)
{
    return (uint32_t)random_below(&race->random, bound);
}

/** Bytes that follow from a number; some are long, most are not. */
static struct slice
text_of(char *buffer, uint32_t number)
{
    uint32_t mixed = number * 2654435761U >> 9;
    size_t size = mixed % 60 == 0 ? 150 + mixed % 1500 : 4 + mixed % 30;
    size_t start = (size_t)snprintf(buffer, 32, "%u:", number);
    for (size_t i = start; i < size; i++) {
        buffer[i] = (char)(mixed + i * 31);
    }
    return slice_of(buffer, MAX(size, start));
}

static struct slice
any_element(struct race *race)
{
    return text_of(race->text, below(race, race->element_max));
}

/* ---- changes ---- */

static const struct set_limits set_limits = {.seed = 5};
static const struct hash_limits hash_limits = {.seed = 6};

static void
change_set(struct race *race)
{
    struct set set = {.encoding = (enum value_encoding)race->value.encoding,
                      .object = race->value.object};
    struct slice member = any_element(race);
    if (below(race, 100) < race->growth) {
        set_add(&set, &set_limits, member);
    } else {
        set_remove(&set, member);
    }
    race->value = value_object(VALUE_SET, set.encoding, set.object);
}

static void
change_hash(struct race *race, bool is_timed)
{
    struct hash hash = {.encoding = (enum value_encoding)race->value.encoding,
                        .object = race->value.object};
    struct slice field = any_element(race);
    struct slice value = text_of(race->other, below(race, 100000));
    int64_t deadline_ms = 1000 + below(race, 100000);
    uint32_t choice = below(race, 100);
    if (hash.object == NULL) {
        hash_set_timed(&hash, &hash_limits, field, value,
                       is_timed ? deadline_ms : HASH_NO_DEADLINE);
    } else if (choice >= race->growth) {
        hash_remove(&hash, field);
    } else if (is_timed && choice % 4 == 0) {
        hash_set_timed(&hash, &hash_limits, field, value, deadline_ms);
    } else if (is_timed && choice % 4 == 1) {
        hash_deadline_set(&hash, &hash_limits, field,
                          choice % 8 == 1 ? deadline_ms : HASH_NO_DEADLINE);
    } else if (is_timed && choice % 8 == 2) {
        int64_t first_ms = packed_first_ms(hash.object);
        packed_expire(hash.object, first_ms == PACKED_NO_DEADLINE ? 0 : first_ms + 10, NULL, NULL);
    } else {
        hash_set(&hash, &hash_limits, field, value);
    }
    race->value = value_object(VALUE_HASH, hash.encoding, hash.object);
}

static void
change_zset(struct race *race)
{
    static const struct zset_limits limits = {.seed = 7};
    struct zset zset = {.encoding = (enum value_encoding)race->value.encoding,
                        .object = race->value.object};
    struct slice member = any_element(race);
    uint32_t choice = below(race, 100);
    if (choice < race->growth) {
        /* Some go far, some stay near, many are equal. */
        double score = choice % 3 == 0 ? below(race, 5) : below(race, 1000) / 7.0;
        double old_score;
        if (choice % 4 == 1 && zset_find(&zset, member, &old_score)) {
            score = old_score + (below(race, 100) - 50.0) / 1000.0;
        }
        zset_put(&zset, &limits, member, score);
    } else if (choice % 16 == 0 && zset_count(&zset) > 0) {
        uint64_t from = below(race, (uint32_t)zset_count(&zset));
        zset_remove_ranks(&zset, from, from + below(race, choice % 32 == 0 ? 2000 : 60));
    } else {
        zset_remove(&zset, member);
    }
    race->value = value_object(VALUE_ZSET, zset.encoding, zset.object);
}

/** Cut a part out, which goes, or which stays. Nodes travel from list to list. */
static struct quicklist *
list_cut(struct race *race, struct quicklist *list, const struct quicklist_limits *limits)
{
    uint64_t from = below(race, (uint32_t)list->count);
    uint64_t count = 1 + below(race, (uint32_t)MIN(list->count - from, UINT64_C(200)));
    bool is_kept = below(race, 8) == 0;
    if (is_kept && below(race, 2) == 0) {
        /* A node as it is. */
        uint32_t index_in_node;
        count = quicklist_find(list, from, &index_in_node)->count;
        from -= index_in_node;
    }
    struct object *lost;
    if (is_kept) {
        struct quicklist *kept = quicklist_take(list, limits, from, count);
        lost = &list->object;
        list = kept;
    } else {
        lost = &quicklist_take(list, limits, from, count)->object;
    }
    while (!object_free_steps(&lost, VALUE_LIST, ENCODING_QUICKLIST, 2)) {
    }
    return list;
}

static void
list_shrink(struct race *race, struct quicklist *list, const struct quicklist_limits *limits)
{
    uint32_t choice = below(race, 16);
    uint64_t index = below(race, (uint32_t)list->count);
    if (choice == 0) {
        quicklist_remove_equal(list, limits, any_element(race), 1 + below(race, 3),
                               below(race, 2) == 0);
    } else if (choice < 6) {
        quicklist_remove(list, limits, 0, 1);
    } else if (choice < 10) {
        quicklist_remove(list, limits, list->count - 1, 1);
    } else {
        quicklist_remove(list, limits, index, MIN(list->count - index, UINT64_C(1) << choice % 6));
    }
}

static void
change_list(struct race *race, uint32_t compress_depth)
{
    const struct quicklist_limits limits = {
        .size_max = 700, .count_max = UINT32_MAX, .compress_depth = compress_depth};
    struct quicklist *list = race->value.object;
    struct slice text = any_element(race);
    uint32_t choice = below(race, 100);
    if (list == NULL) {
        list = quicklist_new(listpack_new(0));
    }
    if (list->count == 0 || (choice < race->growth && choice % 5 < 2)) {
        quicklist_push_last(list, &limits, text);
    } else if (choice < race->growth && choice % 5 == 2) {
        quicklist_push_first(list, &limits, text);
    } else if (choice < race->growth) {
        struct quicklist_place place = quicklist_seek(list, below(race, (uint32_t)list->count));
        if (choice % 2 == 0) {
            quicklist_insert(list, &limits, place, text);
        } else {
            quicklist_replace(list, &limits, place, text);
        }
    } else if (below(race, 40) == 0) {
        list = list_cut(race, list, &limits);
    } else {
        list_shrink(race, list, &limits);
    }
    if (list->node_count < 2 && list->compressed_count == 0) {
        list = quicklist_new(quicklist_unwrap(list));
    }
    race->value = value_object(VALUE_LIST, ENCODING_QUICKLIST, list);
}

static void
drop_rest(struct stream *stream)
{
    struct object *rest = stream == NULL ? NULL : &stream->object;
    while (rest != NULL && !object_free_steps(&rest, VALUE_STREAM, ENCODING_STREAM, 2)) {
    }
}

/** Some entry's, or one's that is gone. */
static struct stream_id
any_id(struct race *race, const struct stream *stream)
{
    return (struct stream_id){.ms = 1 + below(race, (uint32_t)stream->last_id.ms + 1)};
}

static void
change_group(struct race *race, struct stream *stream)
{
    struct slice name = below(race, 2) == 0 ? SLICE("g1") : SLICE("g2");
    struct slice who = below(race, 2) == 0 ? SLICE("c1") : SLICE("c2");
    struct stream_group *group = stream_group_find(stream, name);
    if (group == NULL) {
        stream_group_create(stream, name, stream->last_id, 3);
        return;
    }
    struct stream_consumer *consumer = stream_consumer_find(group, who);
    uint32_t choice = below(race, 100);
    struct stream *rest = NULL;
    if (choice == 0) {
        drop_rest(stream_group_take(stream, group));
    } else if (consumer == NULL) {
        stream_consumer_create(stream, group, who, 1700 + choice);
    } else if (choice == 1) {
        stream_consumer_remove(stream, group, consumer, &rest);
        drop_rest(rest);
    } else if (choice < 60) {
        struct stream_pending *pending =
            stream_pending_add(stream, group, any_id(race, stream), consumer);
        if (pending != NULL) {
            pending->delivery_ms = choice;
        }
    } else {
        stream_pending_remove(stream, group, any_id(race, stream));
    }
}

static void
change_stream(struct race *race)
{
    const struct stream_limits limits = {.size_max = 600, .count_max = 12};
    struct stream *stream = race->value.object;
    uint32_t choice = below(race, 100);
    if (stream == NULL) {
        stream = stream_new();
    }
    if (choice < race->growth) {
        struct slice texts[2] = {SLICE("field"), any_element(race)};
        struct stream_id id = {.ms = stream->last_id.ms + 1 + choice % 2};
        if (choice % 8 == 0) {
            texts[0] = text_of(race->other, choice);
        }
        stream_append(stream, &limits, id, texts, 1);
    } else if (below(race, 30) == 0 && stream->count > 0) {
        struct stream_trim trim = {
            .is_by_id = choice % 2 == 0,
            .is_approximate = choice % 3 == 0,
            .count_max = below(race, 4) == 0 ? below(race, (uint32_t)stream->count)
                                             : stream->count - below(race, 40) % stream->count,
            .id = any_id(race, stream),
            .removed_max = choice % 5 == 0 ? 20 : 0,
        };
        struct stream *rest;
        stream_trim(stream, &trim, &rest);
        drop_rest(rest);
    } else {
        stream_remove(stream, any_id(race, stream));
    }
    if (choice % 4 == 0) {
        change_group(race, stream);
    }
    race->value = value_object(VALUE_STREAM, ENCODING_STREAM, stream);
}

static void
change(struct race *race)
{
    switch (race->kind) {
    case KIND_SET:
        change_set(race);
        break;
    case KIND_HASH:
        /* The table knows of deadlines from some moment on. */
        change_hash(race, race->is_writing && race->growth % 2 == 0);
        break;
    case KIND_HASH_TIMED:
        change_hash(race, true);
        break;
    case KIND_ZSET:
        change_zset(race);
        break;
    case KIND_LIST:
        change_list(race, 0);
        break;
    case KIND_LIST_PACKED:
        change_list(race, 1 + race->growth % 2);
        break;
    case KIND_STREAM:
        change_stream(race);
        break;
    case KIND_COUNT:
        break;
    }
}

static bool
value_check(const struct value *value)
{
    if (value->type == VALUE_ZSET) {
        return ztree_is_valid(value->object);
    }
    if (value->type == VALUE_LIST) {
        return quicklist_check(value->object);
    }
    if (value->type == VALUE_STREAM) {
        return stream_check(value->object);
    }
    return packed_check(value->object);
}

/* ---- what was read ---- */

static bool
hashes_equal(const struct value *a, const struct value *b)
{
    struct hash first = {.encoding = (enum value_encoding)a->encoding, .object = a->object};
    struct hash second = {.encoding = (enum value_encoding)b->encoding, .object = b->object};
    struct hash_walk walk;
    struct hash_pair pair;
    hash_walk_start(&walk, &first);
    while (hash_next(&walk, &pair)) {
        struct hash_pair found;
        if (!hash_find(&second, pair.field, &found) || !slice_equal(found.value, pair.value) ||
            found.deadline_ms != pair.deadline_ms) {
            return false;
        }
    }
    return hash_count(&first) == hash_count(&second);
}

/** With their groups. */
static bool
streams_equal(const struct value *a, const struct value *b)
{
    struct rdb_writer first;
    struct rdb_writer second;
    rdb_writer_create(&first, false);
    rdb_writer_create(&second, false);
    codec_write(&first, a);
    codec_write(&second, b);
    bool is_equal = slice_equal(rdb_writer_bytes(&first), rdb_writer_bytes(&second));
    rdb_writer_destroy(&first);
    rdb_writer_destroy(&second);
    return is_equal;
}

static bool
values_equal(const struct value *a, const struct value *b)
{
    if (a->type == VALUE_HASH) {
        return hashes_equal(a, b);
    }
    if (a->type == VALUE_STREAM) {
        return streams_equal(a, b);
    }
    struct digest first = {0};
    struct digest second = {0};
    digest_mix_value(&first, a, false);
    digest_mix_value(&second, b, false);
    return memcmp(&first, &second, sizeof(first)) == 0;
}

static void
read_back(struct race *race, uint8_t type, uint64_t seed)
{
    struct codec_options options = {.hash = hash_limits,
                                    .set = set_limits,
                                    .zset = {.seed = 7},
                                    .list = quicklist_limits_of(-2),
                                    .memory = &race->memory,
                                    .text = race->read,
                                    .version = RDB_VERSION_VALKEY};
    struct rdb_reader reader;
    struct value loaded;
    rdb_reader_create(&reader, rdb_writer_bytes(&race->writer));
    cr_assert(codec_read(&reader, type, &options, &loaded), "%s, seed %lu", kind_names[race->kind],
              seed);
    cr_assert(rdb_reader_is_at_end(&reader), "seed %lu", seed);
    cr_assert(values_equal(&race->copy, &loaded), "%s, seed %lu", kind_names[race->kind], seed);
    value_object_delete(&loaded);
    rdb_reader_destroy(&reader);
}

/* ---- the race ---- */

static void
room(void *context)
{
    struct race *race = context;
    cr_assert(race->is_writing);
}

static void
drop(void *context, const struct value *value)
{
    (void)context;
    cr_assert_null(object_image(value->object));
    value_object_delete(value);
}

/** Returns the record's type. */
static uint8_t
race_image(struct race *race)
{
    uint8_t type = (uint8_t)codec_type(&race->value);
    rdb_writer_create(&race->writer, below(race, 2) == 0);
    codec_writer_create(&race->codec, &race->writer, &race->value);
    uint32_t step_count = below(race, 3) == 0 ? 0 : below(race, 60);
    for (uint32_t i = 0; i < step_count; i++) {
        if (codec_write_step(&race->codec, 1 + below(race, 300))) {
            return type;
        }
    }
    cr_assert(codec_has_image(&race->value));
    struct image *image = codec_writer_image(&race->codec);
    image->room = room;
    image->context = race;
    image->memory = &race->memory;
    race->is_writing = true;
    return type;
}

static void
race_changes(struct race *race, uint64_t seed)
{
    uint32_t pace = 1 + below(race, below(race, 2) == 0 ? 40 : 200);
    uint32_t stride = below(race, 2) == 0 ? 30 : 500;
    bool is_freed = below(race, 4) == 0;
    bool is_dropped = below(race, 10) == 0;
    for (uint32_t i = 0; !codec_write_step(&race->codec, 1 + below(race, stride)); i++) {
        if (is_dropped && i == 5) {
            return;
        }
        if (is_freed && race->value.type != VALUE_NONE && below(race, 60) == 0) {
            struct object *object = race->value.object;
            while (!object_free_steps(&object, (enum value_type)race->value.type,
                                      (enum value_encoding)race->value.encoding, 3)) {
            }
            race->value.type = VALUE_NONE;
        }
        for (uint32_t j = below(race, pace); j > 0 && race->value.type != VALUE_NONE; j--) {
            change(race);
        }
        if (below(race, 200) == 0) {
            race->growth = 5 + below(race, 90);
        }
        if (below(race, 500) == 0 && race->value.type != VALUE_NONE) {
            cr_assert(value_check(&race->value), "seed %lu", seed);
        }
    }
}

static void
race_round(struct race *race, uint64_t seed)
{
    race->growth = 5 + below(race, 90);
    for (uint32_t i = below(race, 3) == 0 ? below(race, 3 * race->element_max) : 0; i > 0; i--) {
        change(race);
    }
    race->growth = 5 + below(race, 90);
    while (object_count((enum value_type)race->value.type,
                        (enum value_encoding)race->value.encoding, race->value.object) == 0) {
        change(race); /* no key holds nothing */
    }
    race->copy = value_object_copy(&race->value);
    uint8_t type = race_image(race);
    struct image *image = race->codec.image;
    if (image != NULL) {
        race_changes(race, seed);
        bool is_whole = codec_write_step(&race->codec, 1);
        race->is_writing = false;
        image_delete(image, drop, NULL);
        if (is_whole) {
            read_back(race, type, seed);
        }
    }
    const char *name = kind_names[race->kind];
    cr_assert_eq(race->memory.used_size, 0, "%s, seed %lu", name, seed);
    if (race->value.type != VALUE_NONE) {
        cr_assert_null(object_image(race->value.object));
        cr_assert(value_check(&race->value), "%s, seed %lu", name, seed);
    }
    value_object_delete(&race->copy);
    codec_writer_destroy(&race->codec);
    rdb_writer_destroy(&race->writer);
}

static void
race_run(enum kind kind, uint64_t seed)
{
    struct race *race = calloc(1, sizeof(*race));
    cr_assert_not_null(race);
    race->kind = kind;
    random_create(&race->random, seed);
    race->element_max = below(race, 3) == 0 ? 40 : 400 + below(race, 8000);
    race->growth = 100;
    for (uint32_t i = 0; i < 2 * race->element_max; i++) {
        change(race);
    }
    for (uint32_t i = 0; i < 3 && race->value.type != VALUE_NONE; i++) {
        race_round(race, seed);
    }
    if (race->value.type != VALUE_NONE) {
        value_object_delete(&race->value);
    }
    free(race);
}

static uint64_t
seed_of_test(void)
{
    const char *wanted = getenv("TESSERA_SEED");
    uint64_t seed = wanted != NULL ? strtoull(wanted, NULL, 10) : random_system_seed();
    fprintf(stderr, "seed %lu\n", seed);
    return seed;
}

#define RACE_COUNT 40

static void
races_run(enum kind kind)
{
    uint64_t seed = seed_of_test();
    for (uint64_t i = 0; i < RACE_COUNT; i++) {
        race_run(kind, seed + i);
    }
}

Test(image, of_a_set_races_a_copy)
{
    races_run(KIND_SET);
}

Test(image, of_a_hash_races_a_copy)
{
    races_run(KIND_HASH);
}

Test(image, of_a_hash_with_deadlines_races_a_copy)
{
    races_run(KIND_HASH_TIMED);
}

Test(image, of_a_sorted_set_races_a_copy)
{
    races_run(KIND_ZSET);
}

Test(image, of_a_list_races_a_copy)
{
    races_run(KIND_LIST);
}

Test(image, of_a_compressed_list_races_a_copy)
{
    races_run(KIND_LIST_PACKED);
}

Test(image, of_a_stream_races_a_copy)
{
    races_run(KIND_STREAM);
}
