/*
 * call.c: what handlers ask of their call: scratch memory, effects, the errors that all share.
 * Scratch is a stack of blocks, freed together when the call's views are committed: the commit is
 * the first to copy new values, and until then somebody has to hold their bytes.
 *
 *     call->scratch -> [ block, newest | used ... ] -> [ block ] -> NULL
 *
 * Invariant: scratch never moves. Most calls need none, so the first block comes with the first
 * need; an arena kept for each shard was rejected, for transactions hold theirs over many turns.
 */
#include "shard/call.h"

#include "core/heap.h"
#include "core/number.h"
#include "shard/effect.h"
#include "shard/notify.h"
#include "shard/value/codec.h"

#include <ctype.h>

/** Room for the small pieces of most commands at once. */
#define SCRATCH_BLOCK_SIZE 2048

/** As much of a client's word as error messages repeat. */
#define CALL_QUOTED_SIZE_MAX 128

struct scratch_block {
    struct scratch_block *next;
    size_t size;
    size_t used_size;
    alignas(16) char data[];
};

void *
call_scratch(struct call *call, size_t size)
{
    size = (MAX(size, (size_t)1) + 15) & ~(size_t)15;
    struct scratch_block *block = call->scratch;
    if (block == NULL || block->size - block->used_size < size) {
        size_t block_size = MAX(size, (size_t)SCRATCH_BLOCK_SIZE);
        block = heap_alloc(sizeof(*block) + block_size);
        block->next = call->scratch;
        block->size = block_size;
        block->used_size = 0;
        call->scratch = block;
    }
    void *memory = block->data + block->used_size;
    block->used_size += size;
    return memory;
}

void
call_scratch_free_blocks(struct call *call)
{
    struct scratch_block *block = call->scratch;
    while (block != NULL) {
        struct scratch_block *next = block->next;
        heap_free(block);
        block = next;
    }
    call->scratch = NULL;
}

void
call_miss(struct call *call, const struct view *view)
{
    call_event(call, view, NOTIFY_MISS, "keymiss");
}

/* ---- effects ---- */

void
call_effect(struct call *call, struct view *view, const struct slice *argv, uint32_t argc)
{
    if (call->effects != NULL) {
        effects_append(call->effects, view->db, view->slot, argv, argc);
    }
}

void
call_effect_same(struct call *call, struct view *view)
{
    call_effect(call, view, call->argv, call->argc);
}

void
call_effect_set(struct call *call, struct view *view)
{
    if (call->effects == NULL) {
        return;
    }
    char digits[24];
    char deadline[24];
    struct slice argv[5] = {SLICE("SET"), view->key, view_string(view, digits)};
    uint32_t argc = 3;
    if (view->deadline_ms != VIEW_NO_DEADLINE) {
        argv[argc++] = SLICE("PXAT");
        argv[argc++] = slice_of(deadline, number_format_i64(deadline, view->deadline_ms));
    }
    call_effect(call, view, argv, argc);
}

void
call_effect_value(struct call *call, struct view *view)
{
    if (call->effects == NULL) {
        return;
    }
    if (!view->value.is_object) {
        call_effect_set(call, view);
        return;
    }
    struct rdb_writer writer;
    rdb_writer_create(&writer, call->shard->config->rdbcompression);
    codec_write_payload(&writer, &view->value);
    char deadline[24];
    int64_t deadline_ms = view->deadline_ms == VIEW_NO_DEADLINE ? 0 : view->deadline_ms;
    struct slice argv[] = {
        SLICE("RESTORE"),
        view->key,
        slice_of(deadline, number_format_i64(deadline, deadline_ms)),
        rdb_writer_bytes(&writer),
        SLICE("REPLACE"),
        SLICE("ABSTTL"),
    };
    call_effect(call, view, argv, ARRAY_COUNT(argv));
    rdb_writer_destroy(&writer);
}

void
call_effect_delete(struct call *call, struct view *view)
{
    struct slice argv[] = {SLICE("DEL"), view->key};
    call_effect(call, view, argv, 2);
}

void
call_effect_deadline(struct call *call, struct view *view)
{
    if (call->effects == NULL) {
        return;
    }
    char deadline[24];
    struct slice argv[3] = {SLICE("PERSIST"), view->key};
    uint32_t argc = 2;
    if (view->deadline_ms != VIEW_NO_DEADLINE) {
        argv[0] = SLICE("PEXPIREAT");
        argv[argc++] = slice_of(deadline, number_format_i64(deadline, view->deadline_ms));
    }
    call_effect(call, view, argv, argc);
}

/* ---- errors ---- */

void
call_syntax_error(struct call *call)
{
    reply_error(call->reply, "ERR syntax error");
}

void
call_not_integer_error(struct call *call)
{
    reply_error(call->reply, "ERR value is not an integer or out of range");
}

void
call_wrong_type_error(struct call *call)
{
    reply_error(call->reply, "WRONGTYPE Operation against a key holding the wrong kind of value");
}

void
call_arity_error(struct call *call)
{
    const struct command *command = call->command;
    reply_error_format(call->reply, "ERR wrong number of arguments for '%s%s%s' command",
                       command->parent == NULL ? "" : command->parent,
                       command->parent == NULL ? "" : "|", command->name);
}

void
call_unknown_subcommand_error(struct call *call)
{
    const struct command *command = call->command;
    char container[32];
    size_t size = 0;
    const char *name = command->parent == NULL ? command->name : command->parent;
    for (; name[size] != '\0' && size < sizeof(container) - 1; size++) {
        container[size] = (char)toupper((unsigned char)name[size]);
    }
    container[size] = '\0';
    struct slice word = call->argc > 1 ? call->argv[1] : SLICE("");
    reply_error_format(call->reply, "ERR unknown subcommand '%.*s'. Try %s HELP.",
                       (int)MIN(word.size, (size_t)CALL_QUOTED_SIZE_MAX), word.data, container);
}

bool
call_integer(struct call *call, uint32_t index, int64_t *value, const char *error)
{
    ASSERT(index < call->argc);
    if (number_parse_i64(call->argv[index], value)) {
        return true;
    }
    if (error != NULL) {
        reply_error(call->reply, error);
    } else {
        call_not_integer_error(call);
    }
    return false;
}

bool
call_integer_in(struct call *call, uint32_t index, int64_t min, int64_t max, int64_t *value,
                const char *error)
{
    if (!call_integer(call, index, value, error)) {
        return false;
    }
    if (*value >= min && *value <= max) {
        return true;
    }
    if (error != NULL) {
        reply_error(call->reply, error);
    } else {
        reply_error_format(call->reply,
                           "ERR value is out of range, value must between %lld and %lld",
                           (long long)min, (long long)max);
    }
    return false;
}
