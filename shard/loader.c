/*
 * loader.c: the life of a load.
 *
 *     home core    open files ─┬─▶ decide ─┬─▶ cut ─┬─▶ done()
 *     all cores           scan ┘      play ┘  leave ┘
 *
 * The home core gives each phase to all cores by mail (its own among them) and goes on when all
 * have sent that mail back. Between, a core works in its turns' background.
 *
 * In the playing phase there is no leader. Every core walks all files in the same order and takes
 * what is its own: keys of its slots, commands on them. That needs no mail, no copies and no
 * queues, and each key sees its commands in the order of the file. To pass by a foreign command
 * costs a fraction of what playing it does, and segments that were written by as many shards are
 * read by one core each. A command whose keys belong to several cores is where they meet:
 * loader_aof.c.
 *
 * Invariant: `position` of a core only rises, and what stands before it has been done, as far as it
 * is that core's. So the core with the lowest one never waits for anybody.
 * Rejected: one core that parses and sends (the slowest part stays serial, and each command is
 * copied and answered), and cutting a file into parts (commands would overtake each other).
 */
#include "shard/loader.h"

#include "core/heap.h"
#include "shard/command.h"
#include "shard/loader_internal.h"
#include "shard/router_internal.h"

#include <sched.h>

/** Databases that the progress counts: a look at them each turn. */
#define TOLD_DATABASES_MAX 1024

/** Turns that a core that waits for another one spends before it lets others have its CPU: some ten
 * microseconds, which is what a joint command takes where each core has its own. */
#define WAITS_BEFORE_YIELD 32

/* ---- a core's part ---- */

static void
loader_resume(struct lane *lane)
{
    (void)lane; /* loader_step() looks at it anyway */
}

static void
loader_ended(struct lane *lane)
{
    (void)lane; /* it is never abandoned */
}

static const struct lane_ops loader_lane_ops = {.resume = loader_resume, .ended = loader_ended};

static void
loader_create(struct loader *loader, struct load *load, struct shard *shard)
{
    uint32_t owner_words = (load->core_count + 63) / 64;
    loader->load = load;
    loader->shard = shard;
    loader->keys = heap_alloc(LOADER_BATCH_MAX * sizeof(*loader->keys));
    loader->requests = heap_alloc(LOADER_BATCH_MAX * sizeof(*loader->requests));
    loader->offsets = heap_alloc(LOADER_BATCH_MAX * sizeof(*loader->offsets));
    loader->storage = heap_alloc(LOADER_ARGUMENTS_MAX * sizeof(*loader->storage));
    loader->joint_owners = heap_alloc(owner_words * sizeof(uint64_t));
    output_create(&loader->output);
    output_create(&loader->lane_output);
    /* In no list of sessions: nobody is connected. */
    loader->session =
        (struct session){.shard = shard, .protocol = 2, .fd = -1, .flags = SESSION_NO_EVICT};
    lane_create(&loader->lane, shard, &loader->session, &loader->lane_output, &loader_lane_ops);
}

static void
loader_destroy(struct loader *loader)
{
    output_destroy(&loader->output);
    output_destroy(&loader->lane_output);
    heap_free(loader->keys);
    heap_free(loader->requests);
    heap_free(loader->offsets);
    heap_free(loader->storage);
    heap_free(loader->joint_owners);
}

static void
phase_begin(struct loader *loader)
{
    struct shard *shard = loader->shard;
    shard->loader = loader;
    switch (loader->load->phase) {
    case LOAD_SCAN:
        loader->is_active = true;
        break;
    case LOAD_PLAY:
        loader->stage = STAGE_OPEN;
        loader->file_index = 0;
        loader->is_active = true;
        break;
    case LOAD_LEAVE:
        shard->loader = NULL;
        break;
    }
}

static void
phase_end(struct loader *loader)
{
    struct shard *shard = loader->shard;
    loader->is_active = false;
    loader->mail.kind = MAIL_LOADER;
    mail_post(shard->router->exchange, shard->index, loader->load->home->index, &loader->mail);
}

void
loader_wait(struct loader *loader)
{
    if (++loader->wait_count > WAITS_BEFORE_YIELD) {
        (void)sched_yield();
    }
}

/** Begin with the current file, or the end. */
static void
file_open(struct loader *loader)
{
    struct load *load = loader->load;
    while (loader->file_index < load->file_count) {
        struct load_file *file = loader_file(loader);
        loader_pass(loader, file->base);
        if (!loader_wants(loader, file)) {
            loader->file_index++;
            continue;
        }
        if (file->is_rdb) {
            loader_rdb_open(loader);
        } else {
            loader_aof_open(loader, 0);
        }
        return;
    }
    loader_pass(loader, load->size);
    loader->stage = STAGE_END;
}

/** Work on the files. False: they are at their end here, or the load has failed. */
static bool
play(struct loader *loader, uint64_t until_ns)
{
    while (!load_has_failed(loader->load)) {
        bool is_over = false;
        switch (loader->stage) {
        case STAGE_OPEN:
            file_open(loader);
            break;
        case STAGE_RDB_OWN:
        case STAGE_RDB_WAIT:
        case STAGE_RDB_OTHERS:
        case STAGE_RDB_WHOLE:
            is_over = loader_rdb_step(loader, until_ns);
            break;
        case STAGE_AOF:
            is_over = loader_aof_step(loader, until_ns);
            break;
        case STAGE_END:
            return false;
        }
        if (is_over) {
            return true;
        }
    }
    /* What was sent comes home first, even if it does not matter any more. */
    return !lane_is_idle(&loader->lane);
}

/** For those who want to see the progress. */
static void
tell_held_count(struct loader *loader)
{
    const struct keyspace *keyspace = &loader->shard->keyspace;
    uint32_t count = MIN(keyspace->database_count, TOLD_DATABASES_MAX);
    uint64_t held_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        held_count += keyspace->databases[i].key_count;
    }
    atomic_store_explicit(&loader->held_count, held_count, memory_order_relaxed);
}

bool
loader_step(struct shard *shard, uint64_t until_ns)
{
    struct loader *loader = shard->loader;
    if (loader == NULL || !loader->is_active) {
        return false;
    }
    struct load *load = loader->load;
    uint64_t now_ns = clock_monotonic_ns();
    if (load->phase == LOAD_SCAN) {
        load_files_scan(loader);
        phase_end(loader);
        return false;
    }
    if (shard == load->home) {
        load_log_progress(load, now_ns);
    }
    bool has_more = play(loader, MAX(until_ns, now_ns + LOADER_TURN_NS));
    tell_held_count(loader);
    if (has_more) {
        return true;
    }
    loader_rdb_close(loader);
    loader_aof_close(loader);
    phase_end(loader);
    return false;
}

/* ---- the home core ---- */

static void
phase_start(struct load *load, enum load_phase phase)
{
    load->phase = phase;
    load->waiting_count = load->core_count;
    for (uint32_t i = 0; i < load->core_count; i++) {
        struct loader *core = &load->cores[i];
        core->mail.kind = MAIL_LOADER;
        mail_post(load->home->router->exchange, load->home->index, i, &core->mail);
    }
}

static void
result_sum(struct load *load)
{
    struct loader_result *result = &load->result;
    for (uint32_t i = 0; i < load->core_count; i++) {
        const struct loader *core = &load->cores[i];
        result->key_count += core->key_count;
        result->expired_count += core->expired_count;
        result->command_count += core->command_count;
        result->error_count += core->error_count;
    }
    result->size = load->size;
    result->spent_ns = clock_monotonic_ns() - load->start_ns;
}

static void
load_delete(struct load *load)
{
    load_files_close(load);
    for (uint32_t i = 0; i < load->core_count; i++) {
        loader_destroy(&load->cores[i]);
    }
    heap_free(load->cores);
    heap_free(load);
}

/** All cores have ended the phase. */
static void
phase_over(struct load *load)
{
    switch (load->phase) {
    case LOAD_SCAN:
        if (!load_has_failed(load) && load_files_decide(load)) {
            load->play_ns = clock_monotonic_ns();
            load->report_ns = load->play_ns;
            phase_start(load, LOAD_PLAY);
            return;
        }
        phase_start(load, LOAD_LEAVE);
        return;
    case LOAD_PLAY:
        result_sum(load);
        if (!load_has_failed(load) && load_files_cut(load)) {
            struct node *node = load->home->node;
            uint64_t next = atomic_load_explicit(&node->ticket_next, memory_order_relaxed);
            load->result.ticket_next = load->ticket_next;
            atomic_store_explicit(&node->ticket_next, MAX(next, load->ticket_next),
                                  memory_order_relaxed);
            load_log_end(load);
        }
        phase_start(load, LOAD_LEAVE);
        return;
    case LOAD_LEAVE:
        load_files_close(load);
        load->done(load->context, &load->result);
        load_delete(load);
        return;
    }
}

void
loader_receive(struct shard *shard, struct mail *mail)
{
    struct loader *loader = container_of(mail, struct loader, mail);
    struct load *load = loader->load;
    if (loader->shard == shard && !loader->is_homeward) {
        loader->is_homeward = true;
        phase_begin(loader);
        if (!loader->is_active) {
            phase_end(loader);
        }
        return;
    }
    ASSERT(shard == load->home && load->waiting_count > 0);
    loader->is_homeward = false;
    if (--load->waiting_count == 0) {
        phase_over(load);
    }
}

static const struct command *
find_row(const struct node *node, struct slice name)
{
    const struct command *command = command_find(node->commands, name);
    ASSERT(command != NULL);
    return command;
}

static void
find_timed_rows(struct load *load, const struct command_table *commands)
{
    static const struct {
        const char *name;
        const char *word; /* that makes its time relative; NULL: none is needed */
        const char *word_2;
    } rows[LOADER_TIMED_MAX] = {
        {"set", "ex", "px"},     {"getex", "ex", "px"},    {"expire", NULL, NULL},
        {"pexpire", NULL, NULL}, {"setex", NULL, NULL},    {"psetex", NULL, NULL},
        {"hexpire", NULL, NULL}, {"hpexpire", NULL, NULL},
    };
    for (uint32_t i = 0; i < LOADER_TIMED_MAX; i++) {
        load->timed[i] = (struct load_timed){
            .command = command_find(commands, slice_of_string(rows[i].name)),
            .words = {rows[i].word, rows[i].word_2},
        };
    }
}

void
loader_start(struct shard *home, enum loader_source source, const char *path,
             struct libraries *libraries, loader_done_fn *done, void *context)
{
    struct node *node = home->node;
    struct load *load = heap_alloc_lines(1, sizeof(*load));
    load->home = home;
    load->is_merge = source == LOADER_RDB_MERGE;
    load->source = load->is_merge ? LOADER_RDB : source;
    load->libraries = libraries;
    load->done = done;
    load->context = context;
    load->core_count = node->shard_count;
    load->start_ms = home->now_ms;
    load->start_ns = clock_monotonic_ns();
    load->ticket_next = 1;
    load->mset = find_row(node, SLICE("mset"));
    load->del = find_row(node, SLICE("del"));
    load->unlink = find_row(node, SLICE("unlink"));
    load->select = find_row(node, SLICE("select"));
    find_timed_rows(load, node->commands);
    load->cores = heap_alloc_lines(load->core_count, sizeof(*load->cores));
    for (uint32_t i = 0; i < load->core_count; i++) {
        loader_create(&load->cores[i], load, node->shards[i]);
    }
    if (load_files_open(load, path)) {
        load_log_begin(load);
        phase_start(load, LOAD_SCAN);
    } else {
        phase_start(load, LOAD_LEAVE);
    }
}

void
loader_cancel(struct shard *home)
{
    if (home->loader != NULL) {
        load_fail(home->loader->load, -ECANCELED, NULL, UINT64_MAX, "It was told to end");
    }
}
