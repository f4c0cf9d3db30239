#include "loading.h"

#include "core/random.h"
#include "persist/aof_format.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct loader_result
load_aof(struct shards *shards, const char *lines)
{
    size_t size;
    char *text = loading_aof(lines, &size);
    struct folder folder = folder_new();
    folder_write(&folder, "appendonly.aof", text, size);
    struct loader_result result =
        loading_run(shards, LOADER_AOF_FILE, folder_file(&folder, "appendonly.aof"));
    free(text);
    folder_delete(&folder);
    return result;
}

static void
says(struct shards *shards, const char *line, const char *expected)
{
    const char *reply = shards_line(shards, line);
    cr_assert_str_eq(reply, expected, "%s: %s instead of %s", line, reply, expected);
}

static char *
digest_of(struct shards *shards)
{
    return strdup(shards_line(shards, "DEBUG DIGEST"));
}

static uint64_t
key_count(const struct shards *shards)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < shards->count; i++) {
        count += shards->shards[i]->keyspace.databases[0].key_count;
    }
    return count;
}

/* ---- AOF ---- */

Test(loader, plays_commands_of_every_kind)
{
    for (uint32_t count = 1; count <= 5; count += 2) {
        struct shards *shards = shards_new(count, 1);
        struct loader_result result = load_aof(shards, "SELECT 0\n"
                                                       "SET a 1\n"
                                                       "SET b 2\n"
                                                       "MSET a 3 c 4 d 5 e 6\n"
                                                       "RPUSH list x y z\n"
                                                       "MULTI\n"
                                                       "INCR a\n"
                                                       "RENAME b f\n"
                                                       "EXEC\n"
                                                       "SET f 7\n"
                                                       "DEL c d\n"
                                                       "COPY a g\n"
                                                       "INCR g\n"
                                                       "SELECT 1\n"
                                                       "SET other 1\n"
                                                       "SWAPDB 0 1\n"
                                                       "SET more 1\n"
                                                       "SWAPDB 0 1\n"
                                                       "SELECT 0\n"
                                                       "INCR e\n");
        cr_assert(result.error == 0, "%s", result.text);
        cr_assert(result.error_count == 0);
        says(shards, "GET a", "$1\r\n4\r\n");
        says(shards, "GET b", "$-1\r\n");
        says(shards, "GET c", "$-1\r\n");
        says(shards, "GET e", "$1\r\n7\r\n");
        says(shards, "GET f", "$1\r\n7\r\n");
        says(shards, "GET g", "$1\r\n5\r\n");
        says(shards, "LLEN list", ":3\r\n");
        says(shards, "GET more", "$1\r\n1\r\n");
        cr_assert(key_count(shards) == 6);
        says(shards, "SELECT 1", "+OK\r\n");
        says(shards, "GET other", "$1\r\n1\r\n");
        shards_delete(shards);
    }
}

Test(loader, keeps_what_is_over_until_the_end)
{
    struct shards *shards = shards_new(2, 1);
    struct loader_result result = load_aof(shards, "SET a 1\n"
                                                   "PEXPIREAT a 1000\n"
                                                   "INCR a\n"
                                                   "PERSIST a\n"
                                                   "SET b 1 PXAT 1000\n");
    cr_assert(result.error == 0 && result.error_count == 0);
    says(shards, "GET a", "$1\r\n2\r\n");
    says(shards, "GET b", "$-1\r\n");
    shards_delete(shards);
}

Test(loader, counts_relative_times_from_now)
{
    struct shards *shards = shards_new(2, 1);
    struct loader_result result = load_aof(shards, "SET a 1 EX 100\n"
                                                   "SETEX b 200 1\n"
                                                   "SET c ex\n"
                                                   "EXPIRE c 300\n");
    cr_assert(result.error == 0 && result.error_count == 0);
    says(shards, "TTL a", ":100\r\n");
    says(shards, "TTL b", ":200\r\n");
    says(shards, "TTL c", ":300\r\n");
    shards_delete(shards);
}

Test(loader, counts_errors_of_foreign_files)
{
    struct shards *shards = shards_new(3, 1);
    struct loader_result result = load_aof(shards, "SET a x\n"
                                                   "INCR a\n"
                                                   "RENAME nothing b\n"
                                                   "GET a\n"
                                                   "SET c 1\n");
    cr_assert(result.error == 0);
    cr_assert(result.error_count == 2);
    cr_assert(key_count(shards) == 2);
    shards_delete(shards);
}

Test(loader, refuses_unknown_commands_and_databases)
{
    struct shards *shards = shards_new(2, 1);
    struct loader_result result = load_aof(shards, "SET a x\nNOSUCH x 0\n");
    cr_assert(result.error == -ENOTSUP, "%d %s", result.error, result.text);
    cr_assert_not_null(strstr(result.text, "offset 27: the command 'NOSUCH' is not known"));
    /* What code has changed, nobody can say. */
    static const char *const scripts[] = {"EVAL x 0", "EVALSHA x 1 a", "fcall x 2 a b"};
    for (size_t i = 0; i < ARRAY_COUNT(scripts); i++) {
        char lines[64];
        snprintf(lines, sizeof(lines), "SET b%zu x\n%s\n", i, scripts[i]);
        result = load_aof(shards, lines);
        cr_assert(result.error == -ENOTSUP, "%s: %d", scripts[i], result.error);
        cr_assert_not_null(strstr(result.text, "offset 28: the command '"), "%s", result.text);
    }
    result = load_aof(shards, "SET b x\nSELECT 16\n");
    cr_assert(result.error == -ERANGE);
    cr_assert_not_null(strstr(result.text, "database '16'"));
    shards_delete(shards);
}

/** A line of a history over a few keys of each type, single ones and joint ones. */
static void
draw_line(struct random *random, FILE *out)
{
    /* clang-format off */
    static const char *const lines[] = {
        "SET s%u %u", "INCR n%u", "APPEND s%u %u", "DEL s%u l%u e%u", "MSET s%u 1 s%u 2",
        "RENAME s%u s%u", "COPY s%u s%u DB 1", "SADD e%u %u", "SMOVE e%u e%u %u",
        "SUNIONSTORE e%u e%u e%u", "RPUSH l%u %u", "LMOVE l%u l%u LEFT RIGHT", "LPOP l%u",
        "ZADD z%u 1 %u", "ZUNIONSTORE z%u 2 z%u z%u", "SELECT %u", "MOVE s%u 1",
        "UNLINK z%u e%u", "PEXPIREAT s%u 1000", "PERSIST s%u", "SORT l%u STORE l%u",
        "SWAPDB 0 1", "FLUSHDB", "MULTI\nINCR n%u\nRENAME l%u l%u\nEXEC",
    };
    /* clang-format on */
    uint32_t index = (uint32_t)random_below(random, ARRAY_COUNT(lines));
    if (strcmp(lines[index], "FLUSHDB") == 0 && random_below(random, 8) != 0) {
        return;
    }
    uint32_t limit = strcmp(lines[index], "SELECT %u") == 0 ? 2 : 6;
    uint32_t a = (uint32_t)random_below(random, limit);
    uint32_t b = (uint32_t)random_below(random, limit);
    uint32_t c = (uint32_t)random_below(random, limit);
    fprintf(out, lines[index], a, b, c);
    fprintf(out, "\n");
}

Test(loader, any_number_of_cores_comes_to_the_same_end)
{
    for (uint32_t round = 0; round < 40; round++) {
        struct random random;
        random_create(&random, round);
        char *lines = NULL;
        size_t size;
        FILE *out = open_memstream(&lines, &size);
        for (int i = 0; i < 400; i++) {
            draw_line(&random, out);
        }
        fclose(out);
        char *expected = NULL;
        uint64_t error_count = 0;
        for (uint32_t count = 1; count <= 4; count++) {
            struct shards *shards = shards_new(count, 1);
            struct loader_result result = load_aof(shards, lines);
            cr_assert(result.error == 0, "seed %u: %s", round, result.text);
            char *digest = digest_of(shards);
            if (count == 1) {
                expected = strdup(digest);
                error_count = result.error_count;
            }
            cr_assert_str_eq(digest, expected, "seed %u, %u cores", round, count);
            cr_assert(result.error_count == error_count, "seed %u", round);
            free(digest);
            shards_delete(shards);
        }
        free(expected);
        free(lines);
    }
}

/* ---- folders ---- */

struct aof_folder {
    struct folder folder;
    char manifest[1024];
    size_t manifest_size;
};

static struct aof_folder
aof_folder_new(void)
{
    return (struct aof_folder){.folder = folder_new()};
}

/** `line` is its end in the manifest, behind the name. */
static void
aof_folder_add(struct aof_folder *aof, const char *name, const char *line, const char *bytes,
               size_t size)
{
    folder_write(&aof->folder, name, bytes, size);
    aof->manifest_size +=
        (size_t)snprintf(aof->manifest + aof->manifest_size,
                         sizeof(aof->manifest) - aof->manifest_size, "file %s %s\n", name, line);
}

static struct loader_result
aof_folder_load(struct aof_folder *aof, struct shards *shards)
{
    folder_write(&aof->folder, "aof.manifest", aof->manifest, aof->manifest_size);
    return loading_run(shards, LOADER_AOF_MANIFEST, folder_file(&aof->folder, "aof.manifest"));
}

/** A segment of ours: head, commands, a check line. */
static char *
segment_of(const struct shards *shards, uint32_t shard, const char *lines, size_t *size)
{
    size_t text_size;
    char *text = loading_aof(lines, &text_size);
    char *bytes = malloc(aof_segment_size_max() + text_size + AOF_CHECK_SIZE_MAX);
    cr_assert_not_null(bytes);
    struct aof_segment_head head = {.shard_count = shards->count, .shard = shard, .generation = 1};
    *size = aof_segment_format(bytes, &head, shards->node.slot_owner);
    memcpy(bytes + *size, text, text_size);
    *size += text_size;
    *size += aof_check_format(bytes + *size, *size, aof_bytes_sum(slice_of(bytes, *size)), 0);
    free(text);
    return bytes;
}

/** A key of each shard: name, then a digit. */
static void
key_of(const struct shards *shards, uint32_t shard, char key[16])
{
    for (uint32_t i = 0;; i++) {
        int size = snprintf(key, 16, "k%u", i);
        if (shards->node.slot_owner[key_slot(slice_of(key, (size_t)size))] == shard) {
            return;
        }
    }
}

Test(loader, plays_segments_with_any_number_of_cores)
{
    for (uint32_t count = 1; count <= 4; count++) {
        struct shards *writer = shards_new(2, 1);
        struct aof_folder aof = aof_folder_new();
        char lines[2][256];
        char keys[2][16];
        for (uint32_t i = 0; i < 2; i++) {
            size_t size;
            key_of(writer, i, keys[i]);
            snprintf(lines[i], sizeof(lines[i]), "SELECT 0\nSET %s 1\nINCR %s\nRENAME %s %s{%s}\n",
                     keys[i], keys[i], keys[i], "new", keys[i]);
            char *bytes = segment_of(writer, i, lines[i], &size);
            aof_folder_add(&aof, i == 0 ? "a.1.incr.aof" : "a.2.incr.aof",
                           i == 0 ? "seq 1 type i gen 1 shard 0" : "seq 2 type i gen 1 shard 1",
                           bytes, size);
            free(bytes);
        }
        struct shards *shards = shards_new(count, 3);
        struct loader_result result = aof_folder_load(&aof, shards);
        cr_assert(result.error == 0, "%s", result.text);
        cr_assert(result.error_count == 0 && key_count(shards) == 2);
        char line[64];
        snprintf(line, sizeof(line), "GET new{%s}", keys[1]);
        says(shards, line, "$1\r\n2\r\n");
        folder_delete(&aof.folder);
        shards_delete(shards);
        shards_delete(writer);
    }
}

Test(loader, drops_half_of_a_transaction_and_keeps_it_aside)
{
    struct shards *shards = shards_new(2, 1);
    struct aof_folder aof = aof_folder_new();
    char keys[2][16];
    char lines[256];
    size_t size;
    for (uint32_t i = 0; i < 2; i++) {
        key_of(shards, i, keys[i]);
    }
    snprintf(lines, sizeof(lines),
             "SELECT 0\nSET %s 1\n#tessera part ticket=9 policy=always shards=0,1\nSET %s 2\n"
             "APPEND %s 3\n",
             keys[0], keys[0], keys[0]);
    char *bytes = segment_of(shards, 0, lines, &size);
    aof_folder_add(&aof, "a.1.incr.aof", "seq 1 type i gen 1 shard 0", bytes, size);
    free(bytes);
    snprintf(lines, sizeof(lines), "SELECT 0\nSET %s 1\n", keys[1]);
    bytes = segment_of(shards, 1, lines, &size);
    aof_folder_add(&aof, "a.2.incr.aof", "seq 2 type i gen 1 shard 1", bytes, size);
    free(bytes);
    for (int round = 0; round < 2; round++) {
        /* The second time the files hold what was loaded the first time. */
        struct shards *loaded = shards_new(2, 1);
        struct loader_result result = aof_folder_load(&aof, loaded);
        cr_assert(result.error == 0, "%s", result.text);
        cr_assert((result.cut_size > 0) == (round == 0));
        snprintf(lines, sizeof(lines), "GET %s", keys[0]);
        says(loaded, lines, "$2\r\n13\r\n");
        shards_delete(loaded);
    }
    folder_delete(&aof.folder);
    shards_delete(shards);
}

Test(loader, cuts_a_torn_tail_or_refuses_it)
{
    static const char text[] = "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n"
                               "*1\r\n$5\r\nMULTI\r\n*2\r\n$4\r\nINCR\r\n$1\r\na\r\n";
    for (int truncated = 0; truncated < 2; truncated++) {
        struct shards *shards = shards_new(2, 1);
        struct aof_folder aof = aof_folder_new();
        shards->config->aof_load_truncated = truncated != 0;
        aof_folder_add(&aof, "a.1.incr.aof", "seq 1 type i", text, sizeof(text) - 1);
        struct loader_result result = aof_folder_load(&aof, shards);
        cr_assert((result.error == 0) == (truncated != 0), "%s", result.text);
        if (truncated != 0) {
            says(shards, "GET a", "$1\r\n1\r\n");
            cr_assert(result.cut_size == 36, "%llu", (unsigned long long)result.cut_size);
            FILE *file = fopen(folder_file(&aof.folder, "a.1.incr.aof"), "r");
            cr_assert_not_null(file);
            fseek(file, 0, SEEK_END);
            cr_assert(ftell(file) == 27);
            fclose(file);
        }
        folder_delete(&aof.folder);
        shards_delete(shards);
    }
}

/* ---- RDB ---- */

static struct loader_result
load_rdb(struct shards *shards, const char *bytes, size_t size)
{
    struct folder folder = folder_new();
    folder_write(&folder, "dump.rdb", bytes, size);
    struct loader_result result = loading_run(shards, LOADER_RDB, folder_file(&folder, "dump.rdb"));
    folder_delete(&folder);
    return result;
}

Test(loader, reads_rdb_files_of_any_number_of_shards)
{
    static const uint32_t counts[] = {1, 2, 3, 5};
    for (uint32_t from = 0; from < 4; from++) {
        struct shards *source = loading_filled(counts[from], 1);
        char *expected = digest_of(source);
        for (uint32_t to = 0; to < 8; to++) {
            size_t size;
            bool has_index = to % 2 == 0;
            char *bytes = loading_rdb(source, has_index, &size);
            struct shards *shards = shards_new(counts[to / 2], to == 2 ? 7 : 1);
            struct loader_result result = load_rdb(shards, bytes, size);
            cr_assert(result.error == 0, "%s", result.text);
            cr_assert(result.key_count == 601, "%llu", (unsigned long long)result.key_count);
            char *digest = digest_of(shards);
            cr_assert_str_eq(digest, expected);
            free(digest);
            free(bytes);
            shards_delete(shards);
        }
        free(expected);
        shards_delete(source);
    }
}

Test(loader, leaves_out_what_is_over_of_an_rdb)
{
    struct shards *source = loading_filled(2, 1);
    size_t size;
    char *bytes = loading_rdb(source, true, &size);
    struct shards *shards = shards_new(2, 1);
    shards_advance(shards, 2000000);
    struct loader_result result = load_rdb(shards, bytes, size);
    cr_assert(result.error == 0);
    cr_assert(result.expired_count == 86, "%llu", (unsigned long long)result.expired_count);
    cr_assert(result.key_count == 601 - 86);
    shards_delete(shards);
    shards_delete(source);
    free(bytes);
}

Test(loader, refuses_a_key_twice)
{
    struct shards *source = loading_filled(1, 1);
    struct shards *shards = shards_new(2, 1);
    size_t size;
    char *bytes = loading_rdb(source, true, &size);
    cr_assert(load_rdb(shards, bytes, size).error == 0);
    struct loader_result result = load_rdb(shards, bytes, size);
    cr_assert(result.error == -EBADMSG);
    cr_assert_not_null(strstr(result.text, "is there twice"));
    shards_delete(shards);
    shards_delete(source);
    free(bytes);
}

Test(loader, refuses_or_loads_rdb_files_with_any_byte_changed)
{
    struct shards *source = shards_new(2, 1);
    shards_line(source, "SET a 1");
    shards_line(source, "RPUSH b x y z");
    shards_line(source, "SADD c x y z");
    shards_line(source, "HSET d x y");
    char *expected = digest_of(source);
    size_t size;
    char *bytes = loading_rdb(source, true, &size);
    for (size_t at = 0; at < size; at++) {
        char before = bytes[at];
        bytes[at] ^= (char)(1 << at % 8);
        struct shards *shards = shards_new(2, 1);
        struct loader_result result = load_rdb(shards, bytes, size);
        char *digest = digest_of(shards);
        cr_assert(result.error == 0 ? strcmp(digest, expected) == 0 : result.text[0] != '\0',
                  "byte %zu", at);
        free(digest);
        shards_delete(shards);
        bytes[at] = before;
    }
    for (size_t length = 0; length < size; length++) {
        struct shards *shards = shards_new(2, 1);
        cr_assert(load_rdb(shards, bytes, length).error == -EBADMSG, "length %zu", length);
        shards_delete(shards);
    }
    free(bytes);
    free(expected);
    shards_delete(source);
}

Test(loader, reads_an_aof_that_begins_with_an_rdb)
{
    struct shards *source = loading_filled(2, 1);
    size_t rdb_size;
    size_t size;
    char *rdb = loading_rdb(source, false, &rdb_size);
    char *text = loading_aof("SELECT 0\nSET big small\nSET key:1 1\nMSET x 1 y 2\n", &size);
    for (uint32_t count = 1; count <= 3; count++) {
        struct folder folder = folder_new();
        char *bytes = malloc(rdb_size + size);
        cr_assert_not_null(bytes);
        memcpy(bytes, rdb, rdb_size);
        memcpy(bytes + rdb_size, text, size);
        folder_write(&folder, "appendonly.aof", bytes, rdb_size + size);
        struct shards *shards = shards_new(count, 1);
        struct loader_result result =
            loading_run(shards, LOADER_AOF_FILE, folder_file(&folder, "appendonly.aof"));
        cr_assert(result.error == 0, "%s", result.text);
        says(shards, "GET big", "$5\r\nsmall\r\n");
        says(shards, "GET key:1", "$1\r\n1\r\n");
        says(shards, "GET y", "$1\r\n2\r\n");
        free(bytes);
        shards_delete(shards);
        folder_delete(&folder);
    }
    free(rdb);
    free(text);
    shards_delete(source);
}

/** Keys that the damaged folder's load may leave: what was set, or nothing. */
static void
check_prefix(struct shards *shards, char keys[2][16], size_t at)
{
    char line[64];
    for (uint32_t i = 0; i < 2; i++) {
        snprintf(line, sizeof(line), "GET %s", keys[i]);
        const char *reply = shards_line(shards, line);
        bool is_known = strcmp(reply, "$-1\r\n") == 0 || strcmp(reply, "$1\r\n1\r\n") == 0 ||
                        strcmp(reply, "$2\r\n12\r\n") == 0;
        cr_assert(is_known, "byte %zu, key %u", at, i);
    }
}

Test(loader, refuses_or_cuts_segments_with_any_byte_changed)
{
    struct shards *writer = shards_new(2, SLOT_COUNT / 2); /* heads of one line */
    char keys[2][16];
    char lines[256];
    size_t sizes[2];
    char *bytes[2];
    for (uint32_t i = 0; i < 2; i++) {
        key_of(writer, i, keys[i]);
        snprintf(
            lines, sizeof(lines),
            "SELECT 0\nSET %s 1\n#tessera part ticket=3 policy=always shards=0,1\nAPPEND %s 2\n",
            keys[i], keys[i]);
        bytes[i] = segment_of(writer, i, lines, &sizes[i]);
    }
    for (size_t at = 0; at < sizes[0]; at++) {
        struct aof_folder aof = aof_folder_new();
        struct shards *shards = shards_new(2, SLOT_COUNT / 2);
        char before = bytes[0][at];
        bytes[0][at] ^= (char)(1 << at % 8);
        aof_folder_add(&aof, "a.1.incr.aof", "seq 1 type i gen 1 shard 0", bytes[0], sizes[0]);
        aof_folder_add(&aof, "a.2.incr.aof", "seq 2 type i gen 1 shard 1", bytes[1], sizes[1]);
        struct loader_result result = aof_folder_load(&aof, shards);
        cr_assert(result.error == 0 || result.text[0] != '\0');
        if (result.error == 0) {
            check_prefix(shards, keys, at);
        }
        bytes[0][at] = before;
        folder_delete(&aof.folder);
        shards_delete(shards);
    }
    free(bytes[0]);
    free(bytes[1]);
    shards_delete(writer);
}
