/*
 * harness.c: what a core does around a handler, without the core.
 */
#include "harness.h"

#include "core/heap.h"
#include "core/mailbox.h"
#include "core/number.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#define HARNESS_SEED UINT64_C(0x7e55e2a)
#define HARNESS_WORDS_MAX 256

static void
harness_unpin(struct shard *from, uint32_t owner, struct raw *raw)
{
    raw_unpin(&from->node->shards[owner]->memory, raw);
}

static struct shard *
harness_shard_new(struct harness *harness, uint32_t index)
{
    struct shard *shard = calloc(1, sizeof(*shard));
    ASSERT(shard != NULL);
    struct shard_seed seed = {
        .hash_seed = HARNESS_SEED, .random_seed = HARNESS_SEED, .now_ms = HARNESS_START_MS};
    shard_create(shard, harness->node, index, harness->config, harness->exchange, &seed);
    shard->ops.raw_unpin = harness_unpin;
    harness->shards[index] = shard;
    return shard;
}

struct harness *
harness_new(void)
{
    struct harness *harness = calloc(1, sizeof(*harness));
    ASSERT(harness != NULL);
    harness->config = config_new();
    harness->node = calloc(1, sizeof(*harness->node));
    ASSERT(harness->node != NULL);
    harness->table = command_table_new();
    harness->node->commands = harness->table;
    harness->node->shard_count = 2; /* the shards know of each other; only the first is asked */
    harness->node->shards = harness->shards;
    harness->exchange = exchange_new(2);
    effects_create(&harness->journal);
    effects_create(&harness->events);
    harness->shard = harness_shard_new(harness, 0);
    harness_shard_new(harness, 1);
    harness->shard->journal = &harness->journal;
    harness->session = calloc(1, sizeof(*harness->session));
    ASSERT(harness->session != NULL);
    harness->session->shard = harness->shard;
    harness->session->protocol = 2;
    harness->is_checked = true;
    output_create(&harness->kept);
    return harness;
}

void
harness_delete(struct harness *harness)
{
    output_destroy(&harness->kept);
    for (uint32_t i = 0; i < 2; i++) {
        struct shard *shard = harness->shards[i];
        shard_clear(shard);
        ASSERT(shard->memory.used_size == 0);
        ASSERT(shard->memory.block_count == 0);
        memory_destroy(&shard->memory);
        free(shard);
    }
    effects_destroy(&harness->journal);
    effects_destroy(&harness->events);
    exchange_delete(harness->exchange);
    command_table_delete(harness->table);
    config_delete(harness->config);
    free(harness->session);
    free(harness->node);
    free(harness->text);
    free(harness);
}

void
harness_advance(struct harness *harness, int64_t ms)
{
    harness->shards[0]->now_ms += ms;
    harness->shards[1]->now_ms += ms;
}

static void
harness_due(void *context, uint32_t db, uint32_t slot, uint64_t hash, struct entry *entry)
{
    struct harness *harness = context;
    struct slice argv[] = {SLICE("DEL"), entry_key(entry)};
    effects_append(&harness->journal, (uint16_t)db, (uint16_t)slot, argv, 2);
    keyspace_remove(&harness->shard->keyspace, db, slot, hash, entry);
    harness->shard->counters.expired_count++;
}

void
harness_expire(struct harness *harness)
{
    keyspace_advance(&harness->shard->keyspace, harness->shard->now_ms, UINT32_MAX, harness_due,
                     harness);
}

/* ---- one command ---- */

struct harness_call {
    struct call call;
    struct reply reply;
    struct output output;
    struct view *views;  /* each key once */
    struct view **named; /* as the command names them */
    uint32_t view_count;
    uint32_t named_count;
};

static void
harness_views_create(struct harness *harness, struct harness_call *run)
{
    struct call *call = &run->call;
    int64_t count = command_keys(call->command, call->argv, call->argc, NULL, 0);
    if (count <= 0) {
        return;
    }
    struct command_key *keys = calloc((size_t)count, sizeof(*keys));
    run->views = calloc((size_t)count, sizeof(*run->views));
    run->named = calloc((size_t)count, sizeof(*run->named));
    ASSERT(keys != NULL && run->views != NULL && run->named != NULL);
    command_keys(call->command, call->argv, call->argc, keys, (uint32_t)count);
    for (uint32_t i = 0; i < count; i++) {
        struct slice key = call->argv[keys[i].index];
        uint32_t at = 0;
        while (at < run->view_count && !slice_equal(run->views[at].key, key)) {
            at++;
        }
        if (at == run->view_count) {
            run->views[run->view_count++] =
                (struct view){.key = key,
                              .hash = keyspace_hash(&harness->shard->keyspace, key),
                              .slot = key_slot(key),
                              .db = call->db,
                              .flags = view_flags(call->command->flags, false)};
        }
        run->named[i] = &run->views[at];
    }
    run->named_count = (uint32_t)count;
    free(keys);
}

static void
harness_run_keys(struct harness *harness, struct harness_call *run)
{
    struct call *call = &run->call;
    if (call->command->check != NULL && !call->command->check(call)) {
        return;
    }
    harness_views_create(harness, run);
    for (uint32_t i = 0; i < run->view_count; i++) {
        view_open(harness->shard, &run->views[i]);
    }
    call->views = run->named;
    call->view_count = run->named_count;
    call->session = NULL;
    if (harness->is_borrowed) {
        call->shard = harness->shards[1];
        call->coordinator = 1;
    }
    call_run(call);
    for (uint32_t i = 0; i < run->view_count; i++) {
        view_commit(harness->shard, &run->views[i]);
    }
}

/** SCOPE_ALL, CLOSED and WALK, of one shard. */
static void
harness_run_parts(struct harness *harness, struct harness_call *run)
{
    struct call *call = &run->call;
    const struct command *command = call->command;
    if (command->check != NULL && !command->check(call)) {
        return;
    }
    if (command->prepare != NULL && !command->prepare(call)) {
        return;
    }
    struct part part = {.command = command,
                        .argv = call->argv,
                        .argc = call->argc,
                        .db = call->db,
                        .session_id = harness->session->id,
                        .now_ms = call->now_ms,
                        .shard = harness->shard,
                        .shared = call->shared,
                        .next_shard = -1,
                        .effects = call->effects};
    output_create(&part.bytes);
    reply_create(&part.reply, &part.bytes, harness->session->protocol);
    if (command->part != NULL) {
        do {
            part.next_shard = -1;
            command->part(&part);
        } while (part.next_shard >= 0);
    }
    call->parts = &part;
    call->part_count = 1;
    call_run(call);
    output_destroy(&part.bytes);
    heap_free(part.data);
}

static struct raw *
harness_large_raw(struct harness *harness, struct slice *argument)
{
    struct memory *memory = &harness->shards[1]->memory;
    struct raw *raw = raw_new(memory, argument->size, argument->size);
    memory_disown(memory, raw_block_size(raw));
    memcpy(raw->data, argument->data, argument->size);
    *argument = raw_bytes(raw);
    return raw;
}

static void
harness_finish(struct harness *harness, struct harness_call *run)
{
    struct memory *memory = &harness->shard->memory;
    call_scratch_free(&run->call);
    if (run->call.large_raw != NULL) {
        memory_adopt(memory, raw_block_size(run->call.large_raw));
        raw_delete(memory, run->call.large_raw);
    }
    free(run->views);
    free(run->named);
    free(harness->text);
    harness->text_size = run->output.byte_count;
    char *bytes = output_flatten(&run->output);
    harness->text = malloc(harness->text_size + 1);
    ASSERT(harness->text != NULL);
    if (harness->text_size > 0) {
        memcpy(harness->text, bytes, harness->text_size);
    }
    harness->text[harness->text_size] = '\0';
    heap_free(bytes);
    if (harness->is_reply_kept) {
        output_splice(&harness->kept, &run->output);
    }
    output_destroy(&run->output);
    uint64_t count = harness->command_count++;
    bool is_due = count < HARNESS_CHECK_ALL || count % HARNESS_CHECK_INTERVAL == 0;
    if (harness->is_checked && is_due) {
        ASSERT(keyspace_check(&harness->shard->keyspace));
        ASSERT(harness->shards[1]->keyspace.databases[0].key_count == 0);
    }
}

struct slice
harness_run(struct harness *harness, const struct slice *argv, uint32_t argc)
{
    struct harness_call run = {0};
    struct call *call = &run.call;
    struct slice *copy = calloc(argc, sizeof(*copy));
    ASSERT(copy != NULL);
    memcpy(copy, argv, argc * sizeof(*copy));
    call->command = command_resolve(harness->table, copy, argc);
    ASSERT(call->command != NULL);
    ASSERT(command_arity_ok(call->command, argc));
    output_create(&run.output);
    reply_create(&run.reply, &run.output, harness->session->protocol);
    call->reply = &run.reply;
    call->shard = harness->shard;
    call->now_ms = harness->shard->now_ms;
    call->db = harness->session->db;
    call->session = harness->session;
    call->effects = harness->shard->journal;
    call->events = &harness->events;
    if (harness->large_index != 0) {
        ASSERT(harness->large_index < argc);
        call->large_raw = harness_large_raw(harness, &copy[harness->large_index]);
    }
    call->argv = copy;
    call->argc = argc;
    if (call->command->scope == SCOPE_KEYS) {
        harness_run_keys(harness, &run);
    } else if (call->command->scope == SCOPE_LOCAL) {
        if (call->command->check == NULL || call->command->check(call)) {
            call_run(call);
        }
    } else {
        harness_run_parts(harness, &run);
    }
    harness_finish(harness, &run);
    free(copy);
    return slice_of(harness->text, harness->text_size);
}

/* ---- command lines ---- */

static int
harness_hex(char c)
{
    return isdigit((unsigned char)c) ? c - '0' : tolower((unsigned char)c) - 'a' + 10;
}

/** One quoted or bare word from *in to *out; both move on. */
static void
harness_word(const char **in, char **out)
{
    char quote = **in == '"' || **in == '\'' ? *(*in)++ : '\0';
    while (**in != '\0' && (quote != '\0' ? **in != quote : **in != ' ')) {
        char c = *(*in)++;
        if (quote == '"' && c == '\\') {
            c = *(*in)++;
            if (c == 'x') {
                c = (char)(harness_hex((*in)[0]) * 16 + harness_hex((*in)[1]));
                *in += 2;
            } else {
                c = c == 'n' ? '\n' : c == 'r' ? '\r' : c == 't' ? '\t' : c;
            }
        }
        *(*out)++ = c;
    }
    if (quote != '\0') {
        ASSERT(**in == quote);
        (*in)++;
    }
}

const char *
harness_line(struct harness *harness, const char *line)
{
    struct slice argv[HARNESS_WORDS_MAX];
    uint32_t argc = 0;
    char *memory = malloc(strlen(line) + 1);
    ASSERT(memory != NULL);
    char *out = memory;
    for (;;) {
        while (*line == ' ') {
            line++;
        }
        if (*line == '\0') {
            break;
        }
        ASSERT(argc < HARNESS_WORDS_MAX);
        char *start = out;
        harness_word(&line, &out);
        argv[argc++] = slice_of(start, (size_t)(out - start));
    }
    harness_run(harness, argv, argc);
    free(memory);
    return harness->text;
}

/* ---- effects and comparison ---- */

void
harness_replay(struct harness *from, struct harness *to)
{
    struct effect_reader reader;
    struct effect effect;
    /* A deadline that has passed by now had not when its effect was made, and later effects may
     * stand on the key; those that did die say DEL. So who replays looks at no clock. */
    to->shards[0]->now_ms = 0;
    to->shards[1]->now_ms = 0;
    effect_reader_create(&reader, &from->journal);
    while (effect_read(&reader, &effect)) {
        ASSERT(effect.slot == key_slot(effect.argv[1]));
        to->session->db = effect.db;
        struct slice reply = harness_run(to, effect.argv, effect.argc);
        if (reply.data[0] == '-') {
            fprintf(stderr, "effect %.*s: %s\n", (int)effect.argv[0].size, effect.argv[0].data,
                    reply.data);
            ASSERT(reply.data[0] != '-');
        }
    }
    effect_reader_destroy(&reader);
    to->shards[0]->now_ms = from->shards[0]->now_ms;
    to->shards[1]->now_ms = from->shards[1]->now_ms;
}

struct harness_compare {
    struct harness *other;
    uint32_t db;
    uint64_t count;
    bool is_equal;
};

static void
harness_compare_entry(void *context, struct entry *entry)
{
    struct harness_compare *compare = context;
    struct shard *shard = compare->other->shard;
    struct slice key = entry_key(entry);
    struct entry *other = keyspace_find(&shard->keyspace, compare->db, key_slot(key), key,
                                        keyspace_hash(&shard->keyspace, key));
    struct view a = {0};
    struct view b = {0};
    entry_value(entry, &a.value);
    if (other != NULL) {
        entry_value(other, &b.value);
    }
    char digits[2][24];
    compare->count++;
    if (other == NULL || entry_deadline_ms(entry) != entry_deadline_ms(other) ||
        a.value.type != b.value.type ||
        (a.value.type == VALUE_STRING &&
         !slice_equal(view_string(&a, digits[0]), view_string(&b, digits[1])))) {
        fprintf(stderr, "database %u, key %.*s: %s\n", compare->db, (int)key.size, key.data,
                other == NULL ? "missing" : "different");
        compare->is_equal = false;
    }
}

bool
harness_equal(struct harness *a, struct harness *b)
{
    for (uint32_t db = 0; db < a->shard->keyspace.database_count; db++) {
        struct harness_compare compare = {.other = b, .db = db, .is_equal = true};
        const struct keyspace *keyspace = &a->shard->keyspace;
        for (uint32_t slot = keyspace_slot_next(keyspace, db, 0); slot < SLOT_COUNT;
             slot = keyspace_slot_next(keyspace, db, slot + 1)) {
            uint64_t position = 0;
            do {
                position =
                    keyspace_scan(keyspace, db, slot, position, harness_compare_entry, &compare);
            } while (position != 0);
        }
        if (!compare.is_equal || compare.count != b->shard->keyspace.databases[db].key_count) {
            fprintf(stderr, "database %u: %llu and %llu keys\n", db,
                    (unsigned long long)compare.count,
                    (unsigned long long)b->shard->keyspace.databases[db].key_count);
            return false;
        }
    }
    return true;
}

static struct entry *
harness_find(struct harness *harness, const char *name)
{
    struct slice key = slice_of_string(name);
    struct keyspace *keyspace = &harness->shard->keyspace;
    return keyspace_find(keyspace, harness->session->db, key_slot(key), key,
                         keyspace_hash(keyspace, key));
}

const char *
harness_encoding(struct harness *harness, const char *key)
{
    struct entry *entry = harness_find(harness, key);
    return entry == NULL ? "" : value_encoding_name(entry->encoding);
}

int64_t
harness_deadline_ms(struct harness *harness, const char *key)
{
    struct entry *entry = harness_find(harness, key);
    return entry == NULL ? -2 : entry_deadline_ms(entry);
}

static const char *
harness_records(struct harness *harness, struct effects *records)
{
    struct effect_reader reader;
    struct effect effect;
    free(harness->text);
    harness->text = malloc(records->size + 1);
    ASSERT(harness->text != NULL);
    char *out = harness->text;
    effect_reader_create(&reader, records);
    while (effect_read(&reader, &effect)) {
        for (uint32_t i = 0; i < effect.argc; i++) {
            memcpy(out, effect.argv[i].data, effect.argv[i].size);
            out += effect.argv[i].size;
            *out++ = i + 1 < effect.argc ? ' ' : '\n';
        }
    }
    *out = '\0';
    effect_reader_destroy(&reader);
    effects_clear(records);
    return harness->text;
}

const char *
harness_effects(struct harness *harness)
{
    return harness_records(harness, &harness->journal);
}

const char *
harness_events(struct harness *harness)
{
    return harness_records(harness, &harness->events);
}
