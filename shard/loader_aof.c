/*
 * loader_aof.c: the commands of an AOF file, by all cores at once.
 *
 * Each core walks the file and plays what is its own, in the order of the file:
 *
 *     file       SET a   SET b   MSET a.. b..   RENAME a b        SET b
 *     owner      0       1       0 and 1        0 with 1          1
 *     core 0     plays           its half       waits, plays it
 *     core 1             plays   its half       waits             plays
 *
 * Nobody looks at the keys meanwhile, so that a group needs no more than to be whole: MULTI and
 * EXEC are passed by, and MSET, DEL and UNLINK fall apart into what each core has of them. Any
 * other command whose keys belong to several cores is a joint one. Who owns its first key runs it,
 * as a transaction that borrows all of them, as soon as all who own one of its keys stand in
 * front of it; they go on when he is behind it. Cores that it does not concern do not wait.
 *
 * Commands are gathered and their keys prefetched before the first of them runs, as client.c does
 * with a pipeline. Arguments are slices of the map: nothing is copied but what is stored.
 *
 * Invariant: whatever a core waits for stands at a lower position than what it waits with.
 */
#include "core/heap.h"
#include "core/log.h"
#include "core/number.h"
#include "shard/grown_keys.h"
#include "shard/loader_internal.h"
#include "shard/router_internal.h"
#include "shard/view_set.h"

/** Items between two looks at the clock: some ten microseconds. */
#define ITEMS_BETWEEN_LOOKS 128

static uint64_t
position_of(struct loader *loader, uint64_t offset)
{
    return loader_file(loader)->base + loader->aof_start + offset;
}

/* ---- running ---- */

/** A command has replied an error, which lies in `output`. True: the load goes on. */
static bool
command_failed(struct loader *loader, const struct request *request, uint64_t offset,
               struct output *output)
{
    struct load_file *file = loader_file(loader);
    struct load *load = loader->load;
    char *text = output_flatten(output);
    int size = (int)MIN(output->byte_count, 200);
    while (size > 0 && (text[size - 1] == '\n' || text[size - 1] == '\r')) {
        size--;
    }
    int name_size = (int)MIN(request->argv[0].size, 32);
    const char *name = request->argv[0].data;
    bool goes_on = true;
    loader->error_count++;
    if (file->segment.is_ours && offset < file->segment.good_end) {
        goes_on = load_fail(load, -EBADMSG, file, loader->aof_start + offset,
                            "the command '%.*s' cannot be carried out, though it once was: %.*s",
                            name_size, name, size, text);
    } else if (!atomic_exchange_explicit(&load->has_told_error, true, memory_order_relaxed)) {
        log_write(load->home->node->log, LOG_WARNING_LEVEL,
                  "%.300s, at offset %llu: the command '%.*s' was answered with an error: %.*s. "
                  "More of them are only counted",
                  file->path, (unsigned long long)(loader->aof_start + offset), name_size, name,
                  size, text);
    }
    heap_free(text);
    output_consume(output, output->byte_count);
    return goes_on;
}

static bool
run(struct loader *loader, const struct request *request, uint64_t offset)
{
    loader->command_count++;
    return LIKELY(loader_run(loader, request)) ||
           command_failed(loader, request, offset, &loader->output);
}

/** Run what was gathered. */
static bool
batch_run(struct loader *loader)
{
    uint32_t count = loader->request_count;
    bool is_good = true;
    if (count > 1) {
        router_prefetch(loader->shard, loader->requests, count);
    }
    for (uint32_t i = 0; i < count && is_good; i++) {
        is_good = run(loader, &loader->requests[i], loader->offsets[i]);
    }
    loader->request_count = 0;
    loader->storage_used = 0;
    return is_good;
}

/** Room for so many arguments, until the batch has run. NULL: more than fit, or a failure. */
static struct slice *
batch_reserve(struct loader *loader, uint32_t argc)
{
    if (argc > LOADER_ARGUMENTS_MAX) {
        return NULL;
    }
    bool is_full = loader->request_count == LOADER_BATCH_MAX ||
                   loader->storage_used + argc > LOADER_ARGUMENTS_MAX;
    if (is_full && !batch_run(loader)) {
        return NULL;
    }
    return loader->storage + loader->storage_used;
}

static void
batch_commit(struct loader *loader, const struct request *request, uint64_t offset)
{
    loader->requests[loader->request_count] = *request;
    loader->offsets[loader->request_count] = offset;
    loader->request_count++;
    loader->storage_used += request->argc;
}

/** A command of this core's own. */
static bool
play_own(struct loader *loader, const struct aof_item *item, struct request *request)
{
    struct slice *storage = batch_reserve(loader, item->argc);
    if (LIKELY(storage != NULL)) {
        memcpy(storage, item->argv, item->argc * sizeof(*storage));
        request->argv = storage;
        batch_commit(loader, request, item->offset);
        return true;
    }
    return !load_has_failed(loader->load) && batch_run(loader) &&
           run(loader, request, item->offset);
}

/** MSET, DEL, UNLINK: what this core has of it. `step` arguments belong to each key. */
static bool
play_share(struct loader *loader, const struct aof_item *item, struct request *request,
           uint32_t step)
{
    struct shard *shard = loader->shard;
    struct slice *storage = batch_reserve(loader, item->argc);
    struct slice *argv = storage;
    if (storage == NULL) {
        if (load_has_failed(loader->load) || !batch_run(loader)) {
            return false;
        }
        argv = heap_alloc(item->argc * sizeof(*argv));
    }
    uint32_t argc = 1;
    argv[0] = item->argv[0];
    for (uint32_t i = 1; i < item->argc; i += step) {
        if (shard->node->slot_owner[key_slot(item->argv[i])] == shard->index) {
            memcpy(argv + argc, item->argv + i, step * sizeof(*argv));
            argc += step;
        }
    }
    request->argv = argv;
    request->argc = argc;
    bool is_good = true;
    if (argc > 1 && storage != NULL) {
        batch_commit(loader, request, item->offset);
    } else if (argc > 1) {
        is_good = run(loader, request, item->offset);
    }
    if (storage == NULL) {
        heap_free(argv);
    }
    return is_good;
}

/* ---- joint commands ---- */

static bool
is_joint_owner(const struct loader *loader, uint32_t core)
{
    return loader->is_joint_for_all || (loader->joint_owners[core / 64] >> core % 64 & 1) != 0;
}

/** It concerns several cores: those of `set`, or (NULL) all. */
static bool
joint_begin(struct loader *loader, const struct aof_item *item, const struct request *request,
            const struct view_set *set)
{
    uint32_t count = loader->load->core_count;
    loader->is_joint_for_all = set == NULL;
    loader->joint_runner = (uint16_t)loader->load->home->index;
    if (set != NULL) {
        memset(loader->joint_owners, 0, (count + 63) / 64 * sizeof(uint64_t));
        for (uint32_t i = 0; i < set->count; i++) {
            uint32_t owner = set->views[i].owner;
            loader->joint_owners[owner / 64] |= UINT64_C(1) << owner % 64;
        }
        loader->joint_runner = set->views[0].owner;
    }
    if (!is_joint_owner(loader, loader->shard->index)) {
        return true;
    }
    if (!batch_run(loader)) {
        return false;
    }
    loader->is_joint = true;
    loader->is_joint_started = false;
    loader->joint = *request;
    loader->joint_begin = position_of(loader, item->offset);
    loader->joint_end = position_of(loader, item->end);
    loader->joint_offset = item->offset;
    loader_pass(loader, loader->joint_begin);
    return true;
}

/** Are all that it concerns in front of it? */
static bool
joint_is_ready(const struct loader *loader)
{
    const struct load *load = loader->load;
    for (uint32_t i = 0; i < load->core_count; i++) {
        if (is_joint_owner(loader, i) &&
            atomic_load_explicit(&load->cores[i].position, memory_order_acquire) <
                loader->joint_begin) {
            return false;
        }
    }
    return true;
}

/** The row's check(), as the router asks it. False: it has replied why the command ends here. */
static bool
joint_passes_check(struct loader *loader, void **shared)
{
    const struct request *request = &loader->joint;
    struct reply reply;
    struct call call;
    *shared = NULL;
    reply_create(&reply, &loader->lane_output, request->protocol);
    call_prepare(&call, loader->shard, request, &reply, &loader->session);
    if (!command_arity_ok(request->command, request->argc)) {
        call_arity_error(&call);
    } else if (request->command->check == NULL || request->command->check(&call)) {
        *shared = call.shared;
        return true;
    }
    call_release(&call);
    return false;
}

/** As the router starts such a command, but for what it asks of clients: neither a pause nor
 * -LOADING is meant for files, and no monitor sees them. The lane is idle. */
static void
joint_start(struct loader *loader)
{
    struct router *router = loader->shard->router;
    struct lane *lane = &loader->lane;
    const struct request *request = &loader->joint;
    const struct command *command = request->command;
    void *shared;
    if (!joint_passes_check(loader, &shared)) {
        return;
    }
    if (command->scope == SCOPE_CLOSED) {
        transaction_start_closed(router, lane, request, NULL, shared);
    } else if (command->scope != SCOPE_KEYS) {
        gather_start(router, lane, request, NULL, shared);
    } else if (loader->is_joint_for_all) {
        struct grown_keys grown;
        grown_keys_create(&grown);
        transaction_start_grown(router, lane, request, &grown, 0);
    } else {
        struct view_set set;
        bool has_keys = view_set_create(&set, loader->shard, request);
        ASSERT(has_keys && !set.is_one_owner);
        transaction_start_keys(router, lane, request, &set, NULL);
        view_set_destroy(&set);
    }
}

/** This core runs it. True: it is done. */
static bool
joint_run(struct loader *loader)
{
    struct shard *shard = loader->shard;
    struct lane *lane = &loader->lane;
    if (!loader->is_joint_started) {
        if (!joint_is_ready(loader)) {
            return false;
        }
        joint_start(loader);
        loader->is_joint_started = true;
    }
    /* The keys are back with their owners when no transaction is under way any more; clients that
     * wait for a key, or for the load to end, may be. */
    if (!lane_is_idle(lane) || lane->barrier_count > 0 || shard->router->transaction_count > 0) {
        return false;
    }
    loader->command_count++;
    char *reply = output_flatten(&loader->lane_output);
    bool is_error = loader->lane_output.byte_count > 0 && reply[0] == '-';
    heap_free(reply);
    if (is_error) {
        command_failed(loader, &loader->joint, loader->joint_offset, &loader->lane_output);
    }
    output_consume(&loader->lane_output, loader->lane_output.byte_count);
    return true;
}

/** True: it is done, here or elsewhere. */
static bool
joint_step(struct loader *loader)
{
    if (loader->joint_runner == loader->shard->index) {
        if (!joint_run(loader)) {
            return false;
        }
    } else if (atomic_load_explicit(&loader->load->cores[loader->joint_runner].position,
                                    memory_order_acquire) < loader->joint_end) {
        return false;
    }
    loader->is_joint = false;
    loader->wait_count = 0;
    loader_pass(loader, loader->joint_end);
    return true;
}

/* ---- commands ---- */

/** FUNCTION, which this server does not carry out: the home core keeps the libraries. */
static bool
meet_function(struct loader *loader, const struct aof_item *item)
{
    if (!loader_is_home(loader)) {
        return true;
    }
    const char *error = libraries_apply(loader->load->libraries, item->argv, item->argc);
    loader->command_count++;
    if (error == NULL) {
        return true;
    }
    struct request request = {.argv = item->argv, .argc = item->argc};
    struct reply reply;
    reply_create(&reply, &loader->output, 2);
    reply_error(&reply, error);
    return command_failed(loader, &request, item->offset, &loader->output);
}

/** A command that is not carried out here, known (EVAL and the like) or not. */
static bool
meet_foreign(struct loader *loader, const struct aof_item *item, const struct command *command)
{
    if (slice_is_word(item->argv[0], "function")) {
        return meet_function(loader, item);
    }
    return load_fail(loader->load, -ENOTSUP, loader_file(loader), loader->aof_start + item->offset,
                     "the command '%.*s' %s, and so what it changed is not known either",
                     (int)MIN(item->argv[0].size, 64), item->argv[0].data,
                     command == NULL ? "is not known here" : "runs code, which is not done here");
}

static bool
meet_select(struct loader *loader, const struct aof_item *item)
{
    int64_t db = -1;
    uint32_t count = loader->shard->keyspace.database_count;
    if (item->argc == 2 && number_parse_i64(item->argv[1], &db) && db >= 0 && db < count) {
        loader->db = (uint16_t)db;
        return true;
    }
    return load_fail(loader->load, -ERANGE, loader_file(loader), loader->aof_start + item->offset,
                     "it selects database '%.*s', and there are %u databases here: start with a "
                     "larger 'databases'",
                     item->argc == 2 ? (int)MIN(item->argv[1].size, 24) : 0,
                     item->argc == 2 ? item->argv[1].data : "", count);
}

/** Keys at places that only the arguments tell. */
static bool
meet_many_keys(struct loader *loader, const struct aof_item *item, struct request *request)
{
    const struct load *load = loader->load;
    struct shard *shard = loader->shard;
    const struct command *command = request->command;
    bool is_mset = command == load->mset;
    if ((is_mset && item->argc >= 3 && item->argc % 2 == 1) ||
        ((command == load->del || command == load->unlink) && item->argc >= 2)) {
        return play_share(loader, item, request, is_mset ? 2 : 1);
    }
    struct view_set set;
    bool has_keys = view_set_create(&set, shard, request);
    bool is_good = true;
    if (!has_keys) {
        is_good = !loader_is_home(loader) || play_own(loader, item, request);
    } else if (command->grows != NULL && command->grows(item->argv, item->argc)) {
        is_good = joint_begin(loader, item, request, NULL);
    } else if (!set.is_one_owner && (command->flags & CMD_BLOCKING) != 0) {
        is_good = load_fail(
            loader->load, -EBADMSG, loader_file(loader), loader->aof_start + item->offset,
            "the command '%s' waits for others, and so is no effect of anything", command->name);
    } else if (!set.is_one_owner) {
        is_good = joint_begin(loader, item, request, &set);
    } else if (set.owner == shard->index) {
        is_good = play_own(loader, item, request);
    }
    view_set_destroy(&set);
    return is_good;
}

/** DEL k, UNLINK k and MSET k v are commands of one key, whatever else they can be. */
static void
resolve_one_key(const struct loader *loader, const struct aof_item *item, struct request *request)
{
    const struct load *load = loader->load;
    struct shard *shard = loader->shard;
    const struct command *command = request->command;
    if (((command == load->del || command == load->unlink) && item->argc == 2) ||
        (command == load->mset && item->argc == 3)) {
        struct slice key = item->argv[1];
        request->key_index = 1;
        request->hash = keyspace_hash(&shard->keyspace, key);
        request->slot = key_slot(key);
        request->owner = shard->node->slot_owner[request->slot];
    }
}

/** Also PFCOUNT, which reads and keeps the count in the key: redis-server logs that. */
static bool
is_changing(const struct command *command)
{
    return (command->flags & CMD_WRITE) != 0 ||
           (command->key_spec_count > 0 && (command->key_specs[0].flags & KEY_RW) != 0);
}

static bool
meet_command(struct loader *loader, const struct aof_item *item)
{
    const struct load *load = loader->load;
    struct shard *shard = loader->shard;
    struct request request;
    request.argv = item->argv;
    request.argc = item->argc;
    request.db = loader->db;
    request.protocol = 2;
    request.flags = 0;
    request.large_raw = NULL;
    request.session_id = 0;
    router_resolve(shard, &request);
    const struct command *command = request.command;
    if (LIKELY(request.key_index != REQUEST_KEYS_MANY)) {
        return request.owner != shard->index || !is_changing(command) ||
               play_own(loader, item, &request);
    }
    if (UNLIKELY(command == NULL || command->group == GROUP_SCRIPTING)) {
        return meet_foreign(loader, item, command);
    }
    if (command == load->select) {
        return meet_select(loader, item);
    }
    if (!is_changing(command) || command->run == NULL) {
        /* MULTI and EXEC; and what changes nothing. */
        return true;
    }
    switch (command->scope) {
    case SCOPE_KEYS:
        resolve_one_key(loader, item, &request);
        if (request.key_index != REQUEST_KEYS_MANY) {
            return request.owner != shard->index || play_own(loader, item, &request);
        }
        return meet_many_keys(loader, item, &request);
    case SCOPE_ALL:
    case SCOPE_CLOSED:
    case SCOPE_WALK:
        return joint_begin(loader, item, &request, NULL);
    case SCOPE_LOCAL:
    case SCOPE_EXEC:
        return true;
    }
    ASSERT(false);
}

/* ---- the walk ---- */

void
loader_aof_open(struct loader *loader, uint64_t begin)
{
    struct load_file *file = loader_file(loader);
    /* What was scanned is vouched for, whole groups up to its end. */
    ASSERT(file->is_scanned && begin == file->rdb_size && file->size >= begin);
    loader->stage = STAGE_AOF;
    loader->db = 0;
    loader->aof_start = begin;
    loader->hole_index = 0;
    loader->is_joint = false;
    aof_reader_create_trusting(&loader->aof, slice_of(file->map.bytes + begin, file->size - begin));
    loader->is_aof_open = true;
}

void
loader_aof_close(struct loader *loader)
{
    if (loader->is_aof_open) {
        aof_reader_destroy(&loader->aof);
        loader->is_aof_open = false;
    }
    loader->request_count = 0;
    loader->storage_used = 0;
    loader->is_joint = false;
}

/** Does it belong to a transaction that recovery has dropped? Holes stand in the file's order. */
static bool
is_in_hole(struct loader *loader, uint64_t offset)
{
    const struct recovery_verdict *verdict = &loader_file(loader)->verdict;
    while (loader->hole_index < verdict->hole_count &&
           verdict->holes[loader->hole_index].end <= offset) {
        loader->hole_index++;
    }
    return loader->hole_index < verdict->hole_count &&
           verdict->holes[loader->hole_index].begin <= offset;
}

/** The end of the file, or of what can be read of it. False always. */
static bool
meet_end(struct loader *loader, const struct aof_item *item)
{
    struct load_file *file = loader_file(loader);
    uint64_t offset = loader->aof_start + item->offset;
    if (UNLIKELY(item->kind != AOF_END)) {
        return load_fail(loader->load, -EBADMSG, file, offset, "%s", item->why);
    }
    if (!batch_run(loader)) {
        return false;
    }
    loader_pass(loader, file->base + file->map.size);
    loader_aof_close(loader);
    loader->file_index++;
    loader->stage = STAGE_OPEN;
    return false;
}

/** Up to here this core has played what is its own. */
static uint64_t
played_offset(const struct loader *loader, const struct aof_item *last)
{
    return loader->request_count > 0 ? loader->offsets[0] : last->end;
}

bool
loader_aof_step(struct loader *loader, uint64_t until_ns)
{
    struct aof_item item;
    for (;;) {
        for (uint32_t i = 0; i < ITEMS_BETWEEN_LOOKS; i++) {
            if (UNLIKELY(loader->is_joint) && !joint_step(loader)) {
                loader_wait(loader);
                return true;
            }
            if (!aof_reader_next(&loader->aof, &item)) {
                return meet_end(loader, &item);
            }
            if (item.kind == AOF_COMMAND &&
                (LIKELY(loader_file(loader)->verdict.hole_count == 0) ||
                 !is_in_hole(loader, item.offset)) &&
                !meet_command(loader, &item)) {
                return false;
            }
        }
        if (!loader->is_joint) {
            loader_pass(loader, position_of(loader, played_offset(loader, &item)));
        }
        if (load_has_failed(loader->load)) {
            return false;
        }
        if (clock_monotonic_ns() >= until_ns) {
            return true;
        }
    }
}
