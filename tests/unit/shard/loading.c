/*
 * loading.c: loads of tests, in which the cores take turns, and the files that they load.
 */
#include "loading.h"

#include "core/log.h"
#include "core/mailbox.h"
#include "persist/crc64.h"
#include "persist/rdb_file.h"
#include "shard/router.h"
#include "shard/value/codec.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/** Turns of all cores that a load of a few keys takes, at the most. */
#define TURNS_MAX 200000

struct loading {
    struct shards *shards;
    struct loader_result result;
    bool is_done;
};

static void
take_mail(void *context, struct mail *mail)
{
    struct shard *shard = context;
    if (!router_receive(shard, mail)) {
        cr_assert(mail->kind == MAIL_LOADER);
        loader_receive(shard, mail);
    }
}

static void
note_done(void *context, const struct loader_result *result)
{
    struct loading *loading = context;
    cr_assert(!loading->is_done);
    loading->result = *result;
    loading->is_done = true;
}

struct loader_result
loading_run_with(struct shards *shards, enum loader_source source, const char *path,
                 struct libraries *libraries)
{
    struct loading loading = {.shards = shards};
    struct log *log = log_new();
    cr_assert(log_open(log, "/dev/null") == 0);
    shards->node.log = log;
    for (uint32_t i = 0; i < shards->count; i++) {
        shards->shards[i]->journal = NULL;
        shards->shards[i]->clock_mask = 0;
    }
    loader_start(shards->shards[0], source, path, libraries, note_done, &loading);
    for (uint32_t turn = 0; turn < TURNS_MAX && !loading.is_done; turn++) {
        struct shard *shard = shards->shards[turn % shards->count];
        mail_receive(shards->exchange, shard->index, UINT32_MAX, take_mail, shard);
        if (shard->loader != NULL) {
            loader_step(shard, 0);
        }
        mail_flush(shards->exchange, shard->index);
    }
    cr_assert(loading.is_done, "the load does not end");
    for (uint32_t i = 0; i < shards->count; i++) {
        cr_assert_null(shards->shards[i]->loader);
        shards->shards[i]->clock_mask = -1;
        cr_assert(keyspace_check(&shards->shards[i]->keyspace));
    }
    log_delete(log);
    return loading.result;
}

struct loader_result
loading_run(struct shards *shards, enum loader_source source, const char *path)
{
    struct libraries libraries = {0};
    struct loader_result result = loading_run_with(shards, source, path, &libraries);
    libraries_clear(&libraries);
    return result;
}

/* ---- files ---- */

struct folder
folder_new(void)
{
    struct folder folder = {.path = "/tmp/tessera-loader-XXXXXX"};
    cr_assert_not_null(mkdtemp(folder.path));
    return folder;
}

const char *
folder_file(struct folder *folder, const char *name)
{
    snprintf(folder->file, sizeof(folder->file), "%s/%s", folder->path, name);
    return folder->file;
}

void
folder_write(struct folder *folder, const char *name, const void *bytes, size_t size)
{
    FILE *file = fopen(folder_file(folder, name), "w");
    cr_assert_not_null(file);
    cr_assert(fwrite(bytes, 1, size, file) == size);
    fclose(file);
}

void
folder_delete(struct folder *folder)
{
    char command[128];
    snprintf(command, sizeof(command), "rm -r %s", folder->path);
    cr_assert(system(command) == 0);
}

char *
loading_aof(const char *lines, size_t *size)
{
    char *text = NULL;
    FILE *out = open_memstream(&text, size);
    cr_assert_not_null(out);
    while (*lines != '\0') {
        size_t line_size = strcspn(lines, "\n");
        if (*lines == '#') {
            fprintf(out, "%.*s\r\n", (int)line_size, lines);
        } else {
            uint32_t count = 1;
            for (size_t i = 0; i < line_size; i++) {
                count += lines[i] == ' ';
            }
            fprintf(out, "*%u\r\n", count);
            for (size_t at = 0; at <= line_size;) {
                size_t end = at + strcspn(lines + at, " \n");
                fprintf(out, "$%zu\r\n%.*s\r\n", end - at, (int)(end - at), lines + at);
                at = end + 1;
            }
        }
        lines += line_size + (lines[line_size] == '\n');
    }
    fclose(out);
    return text;
}

/* ---- RDB ---- */

/** A file of all keys of some shards, one chunk or more for each shard. */
struct made_file {
    struct rdb_writer head;
    struct rdb_writer body;
    struct rdb_writer tail;
    struct rdb_chunk chunks[64];
    uint32_t chunk_count;
    uint16_t db;
    uint16_t shard;
};

static void
made_key(void *context, struct entry *entry)
{
    struct made_file *file = context;
    struct value value;
    entry_value(entry, &value);
    struct rdb_key key = {.key = entry_key(entry),
                          .deadline_ms = entry_deadline_ms(entry),
                          .idle_s = -1,
                          .frequency = -1,
                          .type = (uint8_t)codec_type(&value)};
    rdb_write_key(&file->body, &key);
    codec_write(&file->body, &value);
    file->chunks[file->chunk_count].key_count++;
}

static void
made_shard(struct made_file *file, struct shard *shard, uint32_t db)
{
    struct rdb_chunk *chunk = &file->chunks[file->chunk_count];
    *chunk = (struct rdb_chunk){.offset = file->head.size + file->body.size,
                                .shard = (uint16_t)shard->index};
    rdb_write_select(&file->body, db);
    for (uint32_t slot = keyspace_slot_next(&shard->keyspace, db, 0); slot < SLOT_COUNT;
         slot = keyspace_slot_next(&shard->keyspace, db, slot + 1)) {
        uint64_t position = 0;
        do {
            position = keyspace_scan(&shard->keyspace, db, slot, position, made_key, file);
        } while (position != 0);
    }
    size_t start = chunk->offset - file->head.size;
    chunk->size = file->body.size - start;
    chunk->crc = crc64_update(0, slice_of(file->body.bytes + start, chunk->size));
    file->chunk_count++;
}

char *
loading_rdb_with(struct shards *shards, bool has_index, const struct libraries *libraries,
                 size_t *size)
{
    struct made_file file = {.chunk_count = 0};
    struct rdb_head head = {.version = RDB_VERSION, .server_version = "7.0.15", .now_s = 1};
    rdb_writer_create(&file.head, true);
    rdb_writer_create(&file.body, true);
    rdb_writer_create(&file.tail, true);
    rdb_write_head(&file.head, &head);
    libraries_write_records(libraries, &file.head);
    for (uint32_t i = 0; i < shards->count; i++) {
        made_shard(&file, shards->shards[i], 0);
        made_shard(&file, shards->shards[i], 3);
    }
    rdb_write_tail(&file.tail, file.chunks, file.chunk_count, rdb_writer_bytes(&file.head),
                   file.head.size + file.body.size, true);
    if (!has_index) {
        /* Another end: nobody finds the index then. */
        uint64_t crc = crc64_update(0, rdb_writer_bytes(&file.head));
        crc = crc64_update(crc, rdb_writer_bytes(&file.body));
        rdb_writer_clear(&file.tail);
        rdb_write_u8(&file.tail, RDB_OPCODE_END);
        crc = crc64_update(crc, rdb_writer_bytes(&file.tail));
        rdb_write_u64(&file.tail, crc);
    }
    *size = file.head.size + file.body.size + file.tail.size;
    char *bytes = malloc(*size);
    cr_assert_not_null(bytes);
    memcpy(bytes, file.head.bytes, file.head.size);
    memcpy(bytes + file.head.size, file.body.bytes, file.body.size);
    memcpy(bytes + file.head.size + file.body.size, file.tail.bytes, file.tail.size);
    rdb_writer_destroy(&file.head);
    rdb_writer_destroy(&file.body);
    rdb_writer_destroy(&file.tail);
    return bytes;
}

char *
loading_rdb(struct shards *shards, bool has_index, size_t *size)
{
    return loading_rdb_with(shards, has_index, &(struct libraries){0}, size);
}

struct shards *
loading_filled(uint32_t count, uint32_t run_size)
{
    struct shards *shards = shards_new(count, run_size);
    char line[256];
    shards->is_checked = false;
    for (int i = 0; i < 600; i++) {
        shards->session.db = i % 5 == 0 ? 3 : 0;
        switch (i % 7) {
        case 0:
            snprintf(line, sizeof(line), "SET key:%d %d", i, i);
            break;
        case 1:
            snprintf(line, sizeof(line), "SET key:%d value-%0*d PX 1000000", i, i % 200, i);
            break;
        case 2:
            snprintf(line, sizeof(line), "RPUSH key:%d a %d %d", i, i, i + 1);
            break;
        case 3:
            snprintf(line, sizeof(line), "SADD key:%d a %d %d", i, i, i + 1);
            break;
        case 4:
            snprintf(line, sizeof(line), "HSET key:%d a %d b %d", i, i, i + 1);
            break;
        case 5:
            snprintf(line, sizeof(line), "ZADD key:%d 1 %d 2 %d", i, i, i + 1);
            break;
        default:
            snprintf(line, sizeof(line), "XADD key:%d %d-1 a %d", i, i + 1, i);
            break;
        }
        cr_assert(shards_line(shards, line)[0] != '-', "%s", line);
    }
    shards->session.db = 0;
    char big[3000];
    memset(big, 'x', sizeof(big));
    struct slice argv[] = {SLICE("SET"), SLICE("big"), slice_of(big, sizeof(big))};
    shards_run(shards, argv, 3);
    return shards;
}
