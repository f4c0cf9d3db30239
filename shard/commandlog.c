/*
 * commandlog.c: what the logs remember, and how a core notices it for next to nothing.
 *
 * Behind each command stands one comparison of its ticks with `notice_ticks`. What passes is looked
 * at exactly, here: its microseconds, the bytes of its request and of its reply. The bound is the
 * lowest time at which something can be worth an entry:
 *
 *     slowlog-log-slower-than, latency-monitor-threshold     as they are
 *     bytes of a request or a reply                          what copying them takes at the least
 *
 * No core moves more than COPY_SIZE_PER_NS, so a megabyte that was parsed or written cannot hide
 * below 16 us. Bytes that nobody copies (a value received into its final memory, a string sent from
 * where it lies) are the exception: whoever spares the copy calls commandlog_arm(), and the next
 * command is looked at in any case. Commands that fail are looked at, too.
 *
 * The log is kept where the client is, since only that core knows the client's address and name. A
 * forwarded command is noticed by its owner: the entry gets its number and its arguments there,
 * travels home in the batch of its request, and is settled with the client and entered there.
 * Rejected: a log at the owner, which would need the client's name copied into every request.
 *
 *     owner:  notice ─▶ unsettled ─▶ batch ═══▶ coordinator: settle ─▶ lists[type]
 *
 * Numbers are the node's and have no gaps, so the newest `max_len` of all cores together are those
 * from `id_first` on; each core forgets its older ones when it next looks. Invariant: a list is
 * ordered by id, newest first.
 */
#include "shard/commandlog.h"

#include "core/heap.h"
#include "core/number.h"
#include "shard/commandlog_words.h"
#include "shard/latency.h"
#include "shard/session.h"

/** No memory is faster than that: DDR5 gives a core half of it, a first-level cache some more. */
#define COPY_SIZE_PER_NS 64

struct commandlog_limit {
    int64_t threshold; /* negative: off */
    uint64_t max_len;
};

static struct commandlog_limit
commandlog_limit(const struct config *config, enum commandlog_type type)
{
    switch (type) {
    case COMMANDLOG_SLOW:
        return (struct commandlog_limit){config->slowlog_log_slower_than_us,
                                         (uint64_t)config->slowlog_max_len};
    case COMMANDLOG_LARGE_REQUEST:
        return (struct commandlog_limit){config->commandlog_request_larger_than,
                                         (uint64_t)config->commandlog_large_request_max_len};
    case COMMANDLOG_LARGE_REPLY:
        return (struct commandlog_limit){config->commandlog_reply_larger_than,
                                         (uint64_t)config->commandlog_large_reply_max_len};
    case COMMANDLOG_TYPE_COUNT:
        break;
    }
    ASSERT(false);
}

/* ---- the bound ---- */

/** The most ticks that are surely no longer than `ns`. */
static uint64_t
ticks_of_ns(const struct clock_scale *scale, unsigned __int128 ns)
{
    if (scale->ns_per_tick_q32 == 0) {
        return 0; /* a clock that stands still */
    }
    unsigned __int128 ticks = (ns << 32) / scale->ns_per_tick_q32;
    return ticks > UINT64_MAX ? UINT64_MAX : (uint64_t)ticks;
}

void
commandlog_configure(struct shard *shard)
{
    const struct config *config = shard->config;
    const struct clock_scale *scale = &shard->node->clock_scale;
    uint64_t bound = UINT64_MAX;
    for (uint32_t i = 0; i < COMMANDLOG_TYPE_COUNT; i++) {
        struct commandlog_limit limit = commandlog_limit(config, (enum commandlog_type)i);
        if (limit.threshold >= 0) {
            unsigned __int128 ns = (unsigned __int128)limit.threshold;
            ns = i == COMMANDLOG_SLOW ? ns * 1000 : ns / COPY_SIZE_PER_NS;
            bound = MIN(bound, ticks_of_ns(scale, ns));
        }
    }
    if (config->latency_monitor_threshold_ms > 0) {
        unsigned __int128 ns =
            (unsigned __int128)config->latency_monitor_threshold_ms * UINT64_C(1000000);
        bound = MIN(bound, ticks_of_ns(scale, ns));
    }
    shard->commandlog.usual_ticks = bound;
    shard->commandlog.notice_ticks = bound;
}

/* ---- entries ---- */

static void
log_entry_delete(struct commandlog_entry *entry)
{
    heap_free(entry->arguments);
    heap_free(entry->client);
    heap_free(entry);
}

static struct commandlog_entry *
log_entry_new(struct call *call, enum commandlog_type type, uint64_t id, uint64_t value)
{
    struct commandlog_entry *entry = heap_alloc(sizeof(*entry));
    *entry = (struct commandlog_entry){
        .type = type,
        .id = id,
        .session_id = call->session_id,
        .unix_s = call->shard->now_ms / 1000,
        .value = value,
    };
    entry->arguments = commandlog_arguments(call, &entry->arguments_size);
    return entry;
}

/** Say whose command it was; NULL: of somebody who has gone. */
static void
log_entry_settle(struct commandlog_entry *entry, const struct session *client)
{
    ASSERT(entry->client == NULL);
    static const struct session gone = {.addresses = NULL};
    client = client == NULL ? &gone : client;
    struct output output;
    struct reply reply;
    output_create(&output);
    reply_create(&reply, &output, 2);
    reply_bulk_string(&reply, session_address(client));
    reply_bulk_string(&reply, client->name == NULL ? "" : client->name);
    entry->client_size = output.byte_count;
    entry->client = output_flatten(&output);
    output_destroy(&output);
}

/** The newest comes last, nearly always: those of other cores were under way for a while. */
static void
log_list_enter(struct commandlog_list *list, struct commandlog_entry *entry)
{
    struct commandlog_entry *newer = NULL;
    struct commandlog_entry *older = list->newest;
    while (older != NULL && older->id > entry->id) {
        newer = older;
        older = older->older;
    }
    entry->newer = newer;
    entry->older = older;
    *(newer == NULL ? &list->newest : &newer->older) = entry;
    *(older == NULL ? &list->oldest : &older->newer) = entry;
    list->count++;
}

static void
log_list_drop_oldest(struct commandlog_list *list)
{
    struct commandlog_entry *entry = list->oldest;
    list->oldest = entry->newer;
    *(entry->newer == NULL ? &list->newest : &entry->newer->older) = NULL;
    list->count--;
    log_entry_delete(entry);
}

static void
log_entry_enter(struct shard *shard, struct commandlog_entry *entry, const struct session *client)
{
    log_entry_settle(entry, client);
    log_list_enter(&shard->commandlog.lists[entry->type], entry);
    commandlog_trim(shard, entry->type);
}

/** The next number of a log; what it pushes out of `max_len` is known at once to all cores. */
static uint64_t
log_number_draw(struct commandlog_numbers *numbers, uint64_t max_len)
{
    uint64_t id = atomic_fetch_add_explicit(&numbers->id_next, 1, memory_order_relaxed);
    uint64_t first = id + 1 - MIN(id + 1, max_len);
    uint64_t known = atomic_load_explicit(&numbers->id_first, memory_order_relaxed);
    while (known < first &&
           !atomic_compare_exchange_weak_explicit(&numbers->id_first, &known, first,
                                                  memory_order_relaxed, memory_order_relaxed)) {
    }
    return id;
}

/* ---- noticing ---- */

static void
commandlog_enter(struct call *call, enum commandlog_type type, uint64_t value)
{
    struct shard *shard = call->shard;
    struct commandlog_limit limit = commandlog_limit(shard->config, type);
    if (limit.threshold < 0 || value < (uint64_t)limit.threshold) {
        return;
    }
    uint64_t id = log_number_draw(&shard->node->commandlogs[type], limit.max_len);
    if (limit.max_len == 0) {
        commandlog_trim(shard, type);
        return;
    }
    struct commandlog_entry *entry = log_entry_new(call, type, id, value);
    const struct session *client = call->session != NULL ? call->session : shard->commandlog.client;
    if (client != NULL && client->id == entry->session_id) {
        log_entry_enter(shard, entry, client);
    } else {
        entry->older = shard->commandlog.unsettled;
        shard->commandlog.unsettled = entry;
    }
}

void
commandlog_notice(struct call *call, uint64_t ticks)
{
    struct shard *shard = call->shard;
    const struct reply *reply = call->reply;
    uint32_t flags = call->command->flags;
    commandlog_turn(shard);
    uint64_t us = clock_ticks_to_ns(&shard->node->clock_scale, ticks) / 1000;
    latency_note(shard, (flags & CMD_FAST) != 0 ? LATENCY_FAST_COMMAND : LATENCY_COMMAND,
                 us / 1000);
    if ((flags & CMD_SKIP_SLOWLOG) != 0) {
        return;
    }
    commandlog_enter(call, COMMANDLOG_SLOW, us);
    commandlog_enter(call, COMMANDLOG_LARGE_REQUEST, commandlog_request_size(call));
    commandlog_enter(call, COMMANDLOG_LARGE_REPLY, reply->output->byte_count - reply->start_size);
}

static const struct session *
log_client_find(const struct shard *shard, uint64_t id)
{
    for (struct list_node *node = list_first(&shard->sessions); node != NULL;
         node = list_next(&shard->sessions, node)) {
        const struct session *session = container_of(node, struct session, shard_link);
        if (session->id == id) {
            return session;
        }
    }
    return NULL;
}

struct commandlog_entry *
commandlog_join(struct commandlog_entry *entries, struct commandlog_entry *others)
{
    struct commandlog_entry *last = entries;
    while (last->older != NULL) {
        last = last->older;
    }
    last->older = others;
    return entries;
}

void
commandlog_settle(struct shard *shard, struct commandlog_entry *entries,
                  const struct session *client)
{
    while (entries != NULL) {
        struct commandlog_entry *entry = entries;
        entries = entry->older;
        bool is_its = client->id == entry->session_id;
        log_entry_enter(shard, entry, is_its ? client : log_client_find(shard, entry->session_id));
    }
}

/* ---- forgetting ---- */

uint64_t
commandlog_trim(struct shard *shard, enum commandlog_type type)
{
    struct commandlog_list *list = &shard->commandlog.lists[type];
    uint64_t first =
        atomic_load_explicit(&shard->node->commandlogs[type].id_first, memory_order_relaxed);
    while (list->oldest != NULL && list->oldest->id < first) {
        log_list_drop_oldest(list);
    }
    return list->count;
}

void
commandlog_clear(struct shard *shard, enum commandlog_type type)
{
    struct commandlog_list *list = &shard->commandlog.lists[type];
    while (list->oldest != NULL) {
        log_list_drop_oldest(list);
    }
}

void
commandlog_destroy(struct shard *shard)
{
    for (uint32_t i = 0; i < COMMANDLOG_TYPE_COUNT; i++) {
        commandlog_clear(shard, (enum commandlog_type)i);
    }
    struct commandlog_entry *entries = commandlog_take(shard);
    while (entries != NULL) {
        struct commandlog_entry *entry = entries;
        entries = entry->older;
        log_entry_delete(entry);
    }
}
