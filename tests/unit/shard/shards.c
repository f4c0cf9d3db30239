/*
 * shards.c: what the router and the reactors do around handlers, reduced to plain calls.
 */
#include "shards.h"

#include "core/heap.h"
#include "core/mailbox.h"

#include <stdlib.h>

#define SHARDS_SEED UINT64_C(0x51a2d5)
#define SHARDS_WORDS_MAX 256

static void
shards_unpin(struct shard *from, uint32_t owner, struct raw *raw)
{
    raw_unpin(&from->node->shards[owner]->memory, raw);
}

struct shards *
shards_new(uint32_t count, uint32_t run_size)
{
    ASSERT(count <= SHARDS_MAX);
    struct shards *shards = calloc(1, sizeof(*shards));
    ASSERT(shards != NULL);
    shards->count = count;
    shards->is_checked = true;
    shards->config = config_new();
    shards->table = command_table_new();
    shards->node.commands = shards->table;
    shards->node.shard_count = count;
    shards->node.shards = shards->shards;
    shards->exchange = exchange_new(count);
    effects_create(&shards->journal);
    for (uint32_t i = 0; i < SLOT_COUNT; i++) {
        shards->node.slot_owner[i] = (uint16_t)(i / run_size % count);
    }
    for (uint32_t i = 0; i < count; i++) {
        struct shard *shard = calloc(1, sizeof(*shard));
        ASSERT(shard != NULL);
        struct shard_seed seed = {
            .hash_seed = SHARDS_SEED, .random_seed = SHARDS_SEED, .now_ms = SHARDS_START_MS};
        shard_create(shard, &shards->node, i, shards->config, shards->exchange, &seed);
        shard->journal = &shards->journal;
        shard->ops.raw_unpin = shards_unpin;
        shards->shards[i] = shard;
    }
    session_create(&shards->session, shards->shards[0], 1, SHARDS_START_MS);
    shards->session.protocol = 2;
    return shards;
}

void
shards_delete(struct shards *shards)
{
    session_destroy(&shards->session);
    for (uint32_t i = 0; i < shards->count; i++) {
        struct shard *shard = shards->shards[i];
        shard_clear(shard);
        ASSERT(shard->memory.used_size == 0);
        ASSERT(shard->memory.block_count == 0);
        memory_destroy(&shard->memory);
        free(shard);
    }
    effects_destroy(&shards->journal);
    exchange_delete(shards->exchange);
    command_table_delete(shards->table);
    config_delete(shards->config);
    free(shards->text);
    free(shards);
}

void
shards_advance(struct shards *shards, int64_t ms)
{
    for (uint32_t i = 0; i < shards->count; i++) {
        shards->shards[i]->now_ms += ms;
    }
}

/* ---- keys ---- */

static uint32_t
view_find(struct view *views, uint32_t count, struct slice key, uint16_t db)
{
    uint32_t at = 0;
    while (at < count && (views[at].db != db || !slice_equal(views[at].key, key))) {
        at++;
    }
    return at;
}

static void
run_keys(struct shards *shards, struct call *call)
{
    uint32_t database_count = shards->shards[0]->keyspace.database_count;
    int64_t count =
        command_views(call->command, call->argv, call->argc, call->db, database_count, NULL, 0);
    size_t room = (size_t)MAX(count, 1);
    struct command_view *keys = calloc(room, sizeof(*keys));
    struct view *views = calloc(room, sizeof(*views));
    struct view **named = calloc(room, sizeof(struct view *));
    ASSERT(keys != NULL && views != NULL && named != NULL);
    uint32_t view_count = 0;
    if (count > 0) {
        command_views(call->command, call->argv, call->argc, call->db, database_count, keys,
                      (uint32_t)count);
    }
    for (int64_t i = 0; i < count; i++) {
        struct slice key = call->argv[keys[i].index];
        uint32_t at = view_find(views, view_count, key, keys[i].db);
        if (at == view_count) {
            views[view_count++] = (struct view){.key = key,
                                                .hash = keyspace_hash(&call->shard->keyspace, key),
                                                .slot = key_slot(key),
                                                .owner = shards->node.slot_owner[key_slot(key)],
                                                .db = keys[i].db,
                                                .flags = view_flags(call->command->flags, false)};
            view_open(shards->shards[views[at].owner], &views[at]);
        }
        named[i] = &views[at];
    }
    call->views = named;
    call->view_count = count > 0 ? (uint32_t)count : 0;
    call->session = NULL;
    call_run(call);
    for (uint32_t i = 0; i < view_count; i++) {
        view_commit(shards->shards[views[i].owner], &views[i]);
    }
    call_scratch_free(call);
    free(keys);
    free(views);
    free(named);
}

/* ---- parts ---- */

static void
run_part(struct shards *shards, struct part *part, uint32_t index)
{
    part->shard = shards->shards[index];
    part->next_shard = -1;
    part->command->part(part);
    shards->turn_count++;
}

static void
run_parts(struct shards *shards, struct call *call)
{
    const struct command *command = call->command;
    if (command->prepare != NULL && !command->prepare(call)) {
        return;
    }
    struct part parts[SHARDS_MAX];
    call->parts = parts;
    call->part_count = command->scope == SCOPE_WALK ? 1 : shards->count;
    for (uint32_t i = 0; i < call->part_count; i++) {
        struct part *part = &parts[i];
        *part = (struct part){.command = command,
                              .argv = call->argv,
                              .argc = call->argc,
                              .db = call->db,
                              .session_id = 1,
                              .now_ms = call->now_ms,
                              .shared = call->shared,
                              .effects = &shards->journal};
        output_create(&part->bytes);
        reply_create(&part->reply, &part->bytes, shards->session.protocol);
        run_part(shards, part, i);
        while (command->scope == SCOPE_WALK && part->next_shard >= 0) {
            run_part(shards, part, (uint32_t)part->next_shard);
        }
    }
    call_run(call);
    for (uint32_t i = 0; i < call->part_count; i++) {
        output_destroy(&parts[i].bytes);
        heap_free(parts[i].data);
    }
}

/* ---- one command ---- */

static void
run_command(struct shards *shards, struct call *call)
{
    const struct command *command = call->command;
    if (command == NULL) {
        reply_error(call->reply, "ERR unknown command");
        return;
    }
    if (command->run == NULL) {
        call_unknown_subcommand_error(call);
        return;
    }
    if (!command_arity_ok(command, call->argc)) {
        call_arity_error(call);
        return;
    }
    if (command->check != NULL && !command->check(call)) {
        return;
    }
    switch (command->scope) {
    case SCOPE_KEYS:
        run_keys(shards, call);
        break;
    case SCOPE_LOCAL:
    case SCOPE_EXEC:
        call_run(call);
        break;
    case SCOPE_ALL:
    case SCOPE_CLOSED:
    case SCOPE_WALK:
        run_parts(shards, call);
        break;
    }
}

struct slice
shards_run(struct shards *shards, const struct slice *argv, uint32_t argc)
{
    struct output output;
    struct reply reply;
    output_create(&output);
    reply_create(&reply, &output, shards->session.protocol);
    struct call call = {.command = command_resolve(shards->table, argv, argc),
                        .argv = argv,
                        .argc = argc,
                        .db = shards->session.db,
                        .reply = &reply,
                        .shard = shards->shards[0],
                        .now_ms = shards->shards[0]->now_ms,
                        .session = &shards->session,
                        .effects = &shards->journal};
    shards->turn_count = 0;
    run_command(shards, &call);
    if (call.command != NULL && (call.command->flags & CMD_WRITE) != 0 && shards->is_checked) {
        for (uint32_t i = 0; i < shards->count; i++) {
            ASSERT(keyspace_check(&shards->shards[i]->keyspace));
        }
    }
    free(shards->text);
    shards->text_size = output.byte_count;
    shards->text = malloc(shards->text_size + 1);
    ASSERT(shards->text != NULL);
    char *bytes = output_flatten(&output);
    if (shards->text_size > 0) {
        memcpy(shards->text, bytes, shards->text_size);
    }
    shards->text[shards->text_size] = '\0';
    heap_free(bytes);
    output_destroy(&output);
    return slice_of(shards->text, shards->text_size);
}

const char *
shards_line(struct shards *shards, const char *line)
{
    struct slice argv[SHARDS_WORDS_MAX];
    uint32_t argc = 0;
    while (*line != '\0') {
        ASSERT(argc < SHARDS_WORDS_MAX);
        size_t size = strcspn(line, " ");
        argv[argc] = slice_of(line, size);
        if (slice_equal(argv[argc], SLICE("''"))) {
            argv[argc].size = 0;
        }
        argc++;
        line += size;
        line += *line == ' ';
    }
    return shards_run(shards, argv, argc).data;
}

/* ---- effects ---- */

void
shards_replay(struct shards *from, struct shards *to)
{
    struct effect_reader reader;
    struct effect effect;
    shards_advance(to, from->shards[0]->now_ms - to->shards[0]->now_ms);
    effect_reader_create(&reader, &from->journal);
    while (effect_read(&reader, &effect)) {
        to->session.db = effect.db;
        struct slice reply = shards_run(to, effect.argv, effect.argc);
        ASSERT(reply.data[0] != '-');
    }
    effect_reader_destroy(&reader);
    to->session.db = 0;
}

const char *
shards_effects(struct shards *shards)
{
    struct output output;
    struct effect_reader reader;
    struct effect effect;
    output_create(&output);
    effect_reader_create(&reader, &shards->journal);
    while (effect_read(&reader, &effect)) {
        char digit = (char)('0' + effect.db % 10);
        output_append(&output, &digit, 1);
        for (uint32_t i = 0; i < effect.argc; i++) {
            output_append(&output, " ", 1);
            output_append(&output, effect.argv[i].data, effect.argv[i].size);
        }
        output_append(&output, "\n", 1);
    }
    effect_reader_destroy(&reader);
    free(shards->text);
    shards->text_size = output.byte_count;
    shards->text = malloc(shards->text_size + 1);
    ASSERT(shards->text != NULL);
    char *bytes = output_flatten(&output);
    if (shards->text_size > 0) {
        memcpy(shards->text, bytes, shards->text_size);
    }
    shards->text[shards->text_size] = '\0';
    heap_free(bytes);
    output_destroy(&output);
    return shards->text;
}
