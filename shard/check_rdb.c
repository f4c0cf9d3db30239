/*
 * check_rdb.c: an RDB, looked at more closely than a server does that loads it.
 *
 * 1. The whole file from the front: every record, every value built and dropped, the checksum.
 * 2. If something was wrong with a value: on behind it, by the lengths alone, so that all damaged
 *    keys are named and not only the first.
 * 3. The index, if there is one: each chunk by itself, as a server's cores would load it.
 * 4. Keys that are there twice (check_keys.c).
 *
 * A checksum that is wrong while every record can be read is damage all the same: some value is not
 * what it was.
 */
#include "core/heap.h"
#include "core/number.h"
#include "persist/rdb_file_read.h"
#include "shard/check_internal.h"
#include "shard/value/raw.h"

#include <inttypes.h>
#include <time.h>

#define DB_COUNT_MAX 64
#define TYPE_COUNT (VALUE_STREAM + 1)

/** What a walk has met. */
struct tally {
    uint64_t key_counts[TYPE_COUNT];
    uint64_t db_counts[DB_COUNT_MAX]; /* the last one: all above */
    uint64_t key_count;
    uint64_t deadline_count;
    uint64_t over_count;
    uint64_t module_count;
    uint64_t damaged_count;
    bool has_index_field;
    char server_version[48];
    char ctime[32];
};

struct walk {
    struct check *check;
    struct rdb_file_reader reader;
    struct codec_options options;
    struct check_keys keys;
    struct libraries *libraries;
    struct tally tally;
    uint64_t db;
    uint64_t damaged_offset; /* of the last damaged key */
};

/* ---- keys ---- */

static void
value_drop(struct check *check, const struct value *value)
{
    if (value->is_object) {
        value_object_delete(value);
    } else if (value->raw != NULL) {
        memory_adopt(&check->memory, raw_block_size(value->raw));
        raw_delete(&check->memory, value->raw);
    }
}

static void
key_meet(struct walk *walk, const struct rdb_item *item)
{
    struct tally *tally = &walk->tally;
    const struct rdb_key *key = &item->key;
    struct rdb_reader before = walk->reader.reader;
    struct value value;
    if (codec_read(&walk->reader.reader, key->type, &walk->options, &value)) {
        tally->key_counts[value.type]++;
        value_drop(walk->check, &value);
    } else {
        char shown[CHECK_SHOWN_SIZE];
        tally->damaged_count++;
        walk->damaged_offset = item->offset;
        check_problem(walk->check, item->offset,
                      "the value of the key '%s' of database %" PRIu64 " is damaged (type %u)",
                      check_show(shown, key->key), walk->db, key->type);
        /* The names of those behind it, if lengths lead there. */
        walk->reader.reader = before;
        if (!codec_skip(&walk->reader.reader, key->type)) {
            return;
        }
    }
    tally->key_count++;
    tally->db_counts[MIN(walk->db, DB_COUNT_MAX - 1)]++;
    tally->deadline_count += key->deadline_ms >= 0;
    tally->over_count += key->deadline_ms >= 0 && key->deadline_ms < walk->check->now_ms;
    check_keys_add(&walk->keys, walk->db, key->key);
}

/* ---- other records ---- */

static void
library_meet(struct walk *walk, const struct rdb_item *item)
{
    if (item->is_old_function) {
        check_problem(walk->check, item->offset,
                      "functions in the form of a release candidate of 7.0, which no server loads");
    } else if (!libraries_put(walk->libraries, item->value, false)) {
        char shown[CHECK_SHOWN_SIZE];
        check_problem(walk->check, item->offset,
                      "the library of functions '%s' is there twice, and servers refuse that",
                      check_show(shown, library_name(item->value)));
    }
}

static void
text_copy(char *out, size_t size, struct slice text)
{
    size_t length = MIN(text.size, size - 1);
    for (size_t i = 0; i < length; i++) {
        out[i] = text.data[i] >= ' ' && text.data[i] <= '~' ? text.data[i] : '?';
    }
    out[length] = '\0';
}

/** Unix time as people read it; what is none as it stands there. */
static void
time_show(char *out, size_t size, struct slice text)
{
    int64_t seconds;
    struct tm parts;
    text_copy(out, size, text);
    if (number_parse_i64(text, &seconds) && seconds > 0) {
        time_t when = (time_t)seconds;
        if (gmtime_r(&when, &parts) != NULL &&
            strftime(out, size, "%Y-%m-%d %H:%M:%S UTC", &parts) == 0) {
            text_copy(out, size, text);
        }
    }
}

static void
aux_meet(struct tally *tally, const struct rdb_item *item)
{
    if (slice_equal(item->name, SLICE("redis-ver")) ||
        slice_equal(item->name, SLICE("valkey-ver"))) {
        text_copy(tally->server_version, sizeof(tally->server_version), item->value);
    } else if (slice_equal(item->name, SLICE("ctime"))) {
        time_show(tally->ctime, sizeof(tally->ctime), item->value);
    } else if (slice_equal(item->name, SLICE("tessera-index"))) {
        tally->has_index_field = true;
    }
}

static void
item_meet(struct walk *walk, const struct rdb_item *item)
{
    struct tally *tally = &walk->tally;
    switch (item->kind) {
    case RDB_ITEM_KEY:
        key_meet(walk, item);
        break;
    case RDB_ITEM_AUX:
        aux_meet(tally, item);
        break;
    case RDB_ITEM_SELECT:
        walk->db = item->db;
        break;
    case RDB_ITEM_FUNCTION:
        library_meet(walk, item);
        break;
    case RDB_ITEM_MODULE_AUX:
        tally->module_count++;
        break;
    case RDB_ITEM_DAMAGED:
        check_problem(walk->check, item->offset, "%s",
                      item->offset == walk->damaged_offset && walk->tally.damaged_count > 0
                          ? "nothing behind that key can be read"
                          : item->why);
        break;
    case RDB_ITEM_RESIZE:
    case RDB_ITEM_SLOT_INFO:
    case RDB_ITEM_END:
        break;
    }
}

/* ---- walks ---- */

/** From the front to the end, or to where nothing can be read any more. */
static bool
walk_all(struct walk *walk, struct slice bytes)
{
    struct rdb_item item;
    rdb_file_reader_create(&walk->reader, bytes, true);
    walk->options =
        codec_options_of(walk->check->config, 0, &walk->check->memory, walk->check->text);
    walk->options.version = walk->reader.version;
    bool has_more;
    do {
        has_more = rdb_file_next(&walk->reader, &item);
        item_meet(walk, &item);
    } while (has_more);
    return item.kind == RDB_ITEM_END;
}

/** Who is there twice, by name. */
static void
tell_twins(struct walk *walk, struct slice bytes)
{
    struct rdb_file_reader reader;
    struct rdb_item item;
    uint64_t db = 0;
    check_keys_sort(&walk->keys);
    if (walk->keys.twin_count == 0) {
        return;
    }
    rdb_file_reader_create(&reader, bytes, false);
    while (rdb_file_next(&reader, &item)) {
        if (item.kind == RDB_ITEM_SELECT) {
            db = item.db;
        } else if (item.kind == RDB_ITEM_KEY) {
            if (check_keys_met_again(&walk->keys, db, item.key.key)) {
                char shown[CHECK_SHOWN_SIZE];
                check_problem(walk->check, item.offset,
                              "the key '%s' of database %" PRIu64
                              " is there twice, and servers refuse that",
                              check_show(shown, item.key.key), db);
            }
            if (!codec_skip(&reader.reader, item.key.type)) {
                break;
            }
        }
    }
    rdb_file_reader_destroy(&reader);
}

/** One chunk, as a core loads it. */
static bool
chunk_check(struct check *check, struct slice bytes, const struct rdb_index *index, uint32_t chunk)
{
    struct rdb_file_reader reader;
    struct rdb_item item;
    rdb_file_reader_create_chunk(&reader, bytes, index, chunk, index->has_checksums);
    while (rdb_file_next(&reader, &item)) {
        if (item.kind == RDB_ITEM_KEY && !codec_skip(&reader.reader, item.key.type)) {
            continue; /* the next item says so */
        }
    }
    bool is_good = item.kind == RDB_ITEM_END;
    if (!is_good) {
        check_problem(check, item.offset, "chunk %u of the index: %s", chunk, item.why);
    }
    rdb_file_reader_destroy(&reader);
    return is_good;
}

static void
index_check(struct walk *walk, struct slice bytes)
{
    struct check *check = walk->check;
    struct rdb_index index;
    if (!rdb_index_read(bytes, &index)) {
        if (walk->tally.has_index_field) {
            check_problem(check, UINT64_MAX,
                          "it has an index, which does not fit the file: servers load it without");
        }
        return;
    }
    uint32_t good_count = 0;
    uint32_t shard_last = 0;
    for (uint32_t i = 0; i < index.chunk_count; i++) {
        good_count += chunk_check(check, bytes, &index, i);
        shard_last = MAX(shard_last, index.chunks[i].shard);
    }
    if (index.key_count != walk->tally.key_count) {
        check_problem(check, UINT64_MAX,
                      "by its index it has %" PRIu64 " keys, and there are %" PRIu64,
                      index.key_count, walk->tally.key_count);
    }
    check_say(check, "  index: %u chunks of %u shards, %u of them good%s", index.chunk_count,
              index.chunk_count == 0 ? 0 : shard_last + 1, good_count,
              index.has_checksums ? "" : ", no checksums");
    rdb_index_destroy(&index);
}

/* ---- report ---- */

static void
tell_keys(struct check *check, const struct tally *tally)
{
    char types[256];
    char databases[512];
    size_t used = 0;
    types[0] = '\0';
    for (uint32_t i = 0; i < TYPE_COUNT; i++) {
        if (tally->key_counts[i] > 0 && used < sizeof(types)) {
            used += (size_t)snprintf(types + used, sizeof(types) - used, "%s%" PRIu64 " %s",
                                     used == 0 ? ": " : ", ", tally->key_counts[i],
                                     value_type_name((enum value_type)i));
        }
    }
    check_say(check, "  %" PRIu64 " keys%s; %" PRIu64 " with a deadline, %" PRIu64 " of them over",
              tally->key_count, types, tally->deadline_count, tally->over_count);
    used = 0;
    for (uint32_t i = 0; i < DB_COUNT_MAX; i++) {
        if (tally->db_counts[i] > 0 && used < sizeof(databases)) {
            used +=
                (size_t)snprintf(databases + used, sizeof(databases) - used, " %s%u: %" PRIu64 ",",
                                 i == DB_COUNT_MAX - 1 ? "from " : "", i, tally->db_counts[i]);
        }
    }
    if (used > 0 && used < sizeof(databases)) {
        databases[used - 1] = '\0';
        check_say(check, "  keys of databases%s", databases);
    }
    if (tally->module_count > 0) {
        check_say(check, "  data of %" PRIu64 " modules, which are passed by", tally->module_count);
    }
}

static void
tell_head(struct check *check, struct slice bytes, const struct walk *walk, bool is_whole)
{
    const struct tally *tally = &walk->tally;
    uint16_t version = rdb_file_version(bytes);
    if (version == 0) {
        return;
    }
    check_say(check, "  RDB version %u%s%s%s%s%s", version,
              tally->server_version[0] == '\0' ? "" : ", written by a server of version ",
              tally->server_version, tally->ctime[0] == '\0' ? "" : " at ", tally->ctime,
              is_whole && walk->reader.is_verified ? ", checksum right"
              : is_whole                           ? ", no checksum"
                                                   : "");
    if (version > RDB_VERSION) {
        check_say(check, "  redis-server 7.0 cannot read it: %s",
                  version == RDB_VERSION_VALKEY ? "it is of Valkey 9's version, for hashes whose "
                                                  "fields have deadlines"
                                                : "its version is 10");
    }
}

struct check_rdb
check_rdb(struct check *check, struct slice bytes, struct libraries *libraries)
{
    struct walk walk = {.check = check, .libraries = libraries};
    uint32_t problems_before = check->problem_count;
    bool is_whole = walk_all(&walk, bytes);
    tell_head(check, bytes, &walk, is_whole);
    if (is_whole && walk.tally.damaged_count == 0) {
        tell_twins(&walk, bytes);
        index_check(&walk, slice_of(bytes.data, walk.reader.end_offset));
    }
    tell_keys(check, &walk.tally);
    struct check_rdb result = {
        .is_good = check->problem_count == problems_before,
        .end_offset = walk.reader.end_offset,
        .key_count = walk.tally.key_count,
    };
    rdb_file_reader_destroy(&walk.reader);
    check_keys_destroy(&walk.keys);
    return result;
}
