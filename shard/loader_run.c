/*
 * loader_run.c: one command of a file, on the core that owns all its keys.
 *
 * As execute.c does it, without what belongs to a client: no statistics, no slow log, no monitors,
 * no loans to look for, since while files are loaded nobody else has commands under way. What a
 * command replies is dropped at once, unless it is an error.
 */
#include "core/heap.h"
#include "shard/execute.h"
#include "shard/loader_internal.h"
#include "shard/view_set.h"

static uint16_t
open_flags(const struct request *request)
{
    uint32_t key_flags = request->command->key_specs[0].flags;
    uint16_t mode = (key_flags & (KEY_RW | KEY_OW | KEY_RM)) != 0 ? VIEW_EXCLUSIVE : 0;
    return mode | view_flags(request->command->flags, false);
}

static void
run_one_key(struct shard *shard, const struct request *request, struct call *call)
{
    struct view view;
    struct view *views[1] = {&view};
    view_prepare(&view, request->argv[request->key_index], request->hash, request->slot,
                 (uint16_t)shard->index, request->db, open_flags(request));
    view_open_key(shard, &view);
    call->views = views;
    call->view_count = 1;
    call_run(call);
    execute_commit(shard, request, call, &view, 1);
}

static void
run_many_keys(struct shard *shard, const struct request *request, struct call *call)
{
    struct view_set set;
    if (!view_set_create(&set, shard, request)) {
        set.declared_count = 0; /* the handler says what is wrong with its arguments */
    }
    struct view *on_stack[VIEW_SET_INLINE_COUNT];
    struct view **views = on_stack;
    if (set.declared_count > VIEW_SET_INLINE_COUNT) {
        views = heap_alloc(set.declared_count * sizeof(struct view *));
    }
    for (uint32_t i = 0; i < set.count; i++) {
        keyspace_prefetch_bucket(&shard->keyspace, set.views[i].db, set.views[i].slot,
                                 set.views[i].hash);
    }
    for (uint32_t i = 0; i < set.count; i++) {
        keyspace_prefetch_entry(&shard->keyspace, set.views[i].db, set.views[i].slot,
                                set.views[i].hash);
    }
    for (uint32_t i = 0; i < set.count; i++) {
        view_open(shard, &set.views[i]);
    }
    for (uint32_t i = 0; i < set.declared_count; i++) {
        views[i] = &set.views[set.declared[i]];
    }
    if (set.declared_count > 0) {
        call->views = views;
        call->view_count = set.declared_count;
    }
    call_run(call);
    execute_commit(shard, request, call, set.views, set.count);
    if (views != on_stack) {
        heap_free(views);
    }
    view_set_destroy(&set);
}

/** Does it count its time from now? Everything else is compared with a clock that stands at 0. */
static bool
is_relative(const struct load *load, const struct request *request)
{
    uint32_t at = 0;
    while (at < LOADER_TIMED_MAX && load->timed[at].command != request->command) {
        at++;
    }
    if (LIKELY(at == LOADER_TIMED_MAX)) {
        return false;
    }
    const struct load_timed *timed = &load->timed[at];
    bool is_found = timed->words[0] == NULL;
    uint32_t first = timed->command == load->timed[0].command ? 3 : 2; /* SET's value is no word */
    for (uint32_t i = first; i < request->argc && !is_found; i++) {
        is_found = slice_is_word(request->argv[i], timed->words[0]) ||
                   slice_is_word(request->argv[i], timed->words[1]);
    }
    return is_found;
}

bool
loader_run(struct loader *loader, const struct request *request)
{
    struct shard *shard = loader->shard;
    struct reply reply;
    struct call call;
    ASSERT_SLOW(output_is_empty(&loader->output));
    reply_create(&reply, &loader->output, request->protocol);
    call_prepare(&call, shard, request, &reply, NULL);
    if (UNLIKELY(is_relative(loader->load, request))) {
        call.now_ms = shard->now_ms;
    }
    if (UNLIKELY(!command_arity_ok(request->command, request->argc))) {
        call_arity_error(&call);
    } else if (LIKELY(request->key_index != REQUEST_KEYS_MANY)) {
        run_one_key(shard, request, &call);
    } else {
        run_many_keys(shard, request, &call);
    }
    call_release(&call);
    if (UNLIKELY(reply.is_error)) {
        return false;
    }
    output_consume(&loader->output, loader->output.byte_count);
    return true;
}
