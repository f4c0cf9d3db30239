/*
 * tracking_session.c: the sessions of one core that track, and what they are told.
 *
 *     invalidation ─▶ session by id ─▶ its own lane                         RESP3
 *                                   ─▶ the session that it redirects to     RESP3, or RESP2 with
 *                                        here, or by mail to its core        a subscription
 *
 * A push goes where the next reply would go, behind all that is owed: replies that the owner of the
 * key has sent before the invalidation are in front of it then, those that it has not may follow
 * it. So whoever keeps what he has read until he is told otherwise never keeps what was changed.
 *
 * Whoever redirects does not know when the other session ends; he finds out with the next
 * invalidation, and is told so with each from then on, as by redis-server. Unlike there, the null
 * that FLUSHALL sends has the protocol of the connection that it is sent to.
 *
 * Invariants: a tracking_session is in its core's table from its making to its session's end; in
 * `active` while it has TRACKING_ON; SESSION_TRACKING is set while it tracks what it reads.
 */
#include "core/heap.h"
#include "core/list.h"
#include "shard/command.h"
#include "shard/lane.h"
#include "shard/router_internal.h"
#include "shard/session.h"
#include "shard/tracking_internal.h"

#define BUCKETS_MIN 16

/* ---- the table ---- */

static inline struct tracking_session **
session_bucket(const struct tracking *tracking, uint64_t id)
{
    uint64_t mixed = id * UINT64_C(0x9e3779b97f4a7c15);
    return &tracking->sessions[(uint32_t)(mixed >> 32) & (tracking->session_bucket_count - 1)];
}

static struct tracking_session *
session_find(const struct tracking *tracking, uint64_t id)
{
    if (tracking->session_count == 0) {
        return NULL;
    }
    struct tracking_session *tracker = *session_bucket(tracking, id);
    while (tracker != NULL && tracker->session->id != id) {
        tracker = tracker->next;
    }
    return tracker;
}

static void
sessions_grow(struct tracking *tracking)
{
    if (tracking->session_count < tracking->session_bucket_count) {
        return;
    }
    struct tracking_session **old = tracking->sessions;
    uint32_t old_count = tracking->session_bucket_count;
    uint32_t count = MAX(old_count * 2, (uint32_t)BUCKETS_MIN);
    tracking->sessions = heap_alloc(count * sizeof(struct tracking_session *));
    memset(tracking->sessions, 0, count * sizeof(struct tracking_session *));
    tracking->session_bucket_count = count;
    for (uint32_t i = 0; i < old_count; i++) {
        for (struct tracking_session *tracker = old[i], *next; tracker != NULL; tracker = next) {
            next = tracker->next;
            struct tracking_session **bucket = session_bucket(tracking, tracker->session->id);
            tracker->next = *bucket;
            *bucket = tracker;
        }
    }
    heap_free(old);
}

static struct tracking_session *
session_get(struct session *session)
{
    if (session->tracking == NULL) {
        struct tracking *tracking = session->shard->tracking;
        sessions_grow(tracking);
        struct tracking_session *tracker = heap_alloc(sizeof(*tracker));
        *tracker = (struct tracking_session){.session = session};
        list_node_create(&tracker->link);
        struct tracking_session **bucket = session_bucket(tracking, session->id);
        tracker->next = *bucket;
        *bucket = tracker;
        tracking->session_count++;
        session->tracking = tracker;
    }
    return session->tracking;
}

bool
tracking_redirect_find(struct shard *shard, uint64_t session_id)
{
    if (session_find(shard->tracking, session_id) != NULL) {
        return true;
    }
    for (struct list_node *node = list_first(&shard->sessions); node != NULL;
         node = list_next(&shard->sessions, node)) {
        struct session *session = container_of(node, struct session, shard_link);
        if (session->id == session_id) {
            session_get(session);
            return true;
        }
    }
    return false;
}

/* ---- beginning and end ---- */

static void
prefix_add(struct tracking_session *tracker, struct slice bytes)
{
    struct tracking_prefix *prefix = tracking_prefix_find(tracker->session->shard, bytes);
    ASSERT(prefix != NULL);
    tracking_prefix_join(prefix, tracker);
    if (tracker->prefix_count == tracker->prefix_capacity) {
        tracker->prefix_capacity = MAX(tracker->prefix_capacity * 2, 2U);
        tracker->prefixes =
            heap_realloc(tracker->prefixes, tracker->prefix_capacity * sizeof(*tracker->prefixes));
    }
    uint32_t at = tracker->prefix_count++;
    while (at > 0 && slice_compare(prefix_bytes(tracker->prefixes[at - 1]), bytes) > 0) {
        tracker->prefixes[at] = tracker->prefixes[at - 1];
        at--;
    }
    tracker->prefixes[at] = prefix;
}

void
tracking_start(struct session *session, uint32_t options, uint64_t redirect_id,
               uint32_t redirect_core, const struct slice *prefixes, uint32_t prefix_count)
{
    ASSERT((options & TRACKING_ON) != 0);
    struct tracking *tracking = session->shard->tracking;
    struct tracking_session *tracker = session_get(session);
    if ((tracker->options & TRACKING_ON) == 0) {
        list_push_back(&tracking->active, &tracker->link);
        tracking->active_count++;
    }
    tracker->options = options;
    tracker->redirect_id = redirect_id;
    tracker->redirect_core = (uint16_t)redirect_core;
    for (uint32_t i = 0; i < prefix_count; i++) {
        prefix_add(tracker, prefixes[i]);
    }
    session->flags &= ~SESSION_TRACKING;
    session->flags |= (options & TRACKING_BCAST) == 0 ? SESSION_TRACKING : 0;
}

void
tracking_prefixes_take_back(struct shard *shard, const struct slice *prefixes, uint32_t count)
{
    size_t size = count * sizeof(size_t);
    for (uint32_t i = 0; i < count; i++) {
        size += prefixes[i].size;
    }
    for (uint32_t core = 0; count > 0 && core < shard->node->shard_count; core++) {
        if (core == shard->index) {
            continue;
        }
        struct tracking_message *message = tracking_message_new(TRACKING_UNTRACK, 0, size);
        char *out = tracking_message_bytes(message);
        for (uint32_t i = 0; i < count; i++) {
            memcpy(out, &prefixes[i].size, sizeof(size_t));
            out += sizeof(size_t);
            if (prefixes[i].size > 0) {
                memcpy(out, prefixes[i].data, prefixes[i].size);
            }
            out += prefixes[i].size;
        }
        router_post(shard->router, core, MAIL_TRACKING, &message->mail);
    }
    /* Last: the bytes may be the prefixes' own. */
    for (uint32_t i = 0; i < count; i++) {
        tracking_prefix_count(shard, prefixes[i], shard->index, -1);
    }
}

void
tracking_stop(struct session *session)
{
    struct tracking_session *tracker = session->tracking;
    session->flags &= ~(SESSION_TRACKING | SESSION_CACHING | SESSION_CACHING_USED);
    if (tracker == NULL || (tracker->options & TRACKING_ON) == 0) {
        return;
    }
    struct tracking *tracking = session->shard->tracking;
    tracker->options = 0;
    tracker->redirect_id = 0;
    list_remove(&tracker->link);
    tracking->active_count--;
    if (tracker->prefix_count > 0) {
        struct slice *names = heap_alloc(tracker->prefix_count * sizeof(*names));
        for (uint32_t i = 0; i < tracker->prefix_count; i++) {
            tracking_prefix_leave(tracker->prefixes[i], tracker);
            names[i] = prefix_bytes(tracker->prefixes[i]);
        }
        tracking_prefixes_take_back(session->shard, names, tracker->prefix_count);
        heap_free(names);
        tracker->prefix_count = 0;
    }
}

void
tracking_session_end(struct session *session)
{
    struct tracking_session *tracker = session->tracking;
    if (tracker == NULL) {
        return;
    }
    tracking_stop(session);
    struct tracking *tracking = session->shard->tracking;
    struct tracking_session **place = session_bucket(tracking, session->id);
    while (*place != tracker) {
        place = &(*place)->next;
    }
    *place = tracker->next;
    tracking->session_count--;
    session->tracking = NULL;
    heap_free(tracker->prefixes);
    heap_free(tracker);
}

/* ---- questions ---- */

uint32_t
tracking_options(const struct session *session)
{
    return session->tracking == NULL ? 0 : session->tracking->options;
}

int64_t
tracking_redirect_id(const struct session *session)
{
    if ((tracking_options(session) & TRACKING_ON) == 0) {
        return -1;
    }
    return (int64_t)session->tracking->redirect_id;
}

uint32_t
tracking_session_prefix_count(const struct session *session)
{
    return session->tracking == NULL ? 0 : session->tracking->prefix_count;
}

struct slice
tracking_session_prefix(const struct session *session, uint32_t index)
{
    ASSERT(index < session->tracking->prefix_count);
    return prefix_bytes(session->tracking->prefixes[index]);
}

bool
tracking_wants(const struct session *session)
{
    if ((session->flags & SESSION_TRACKING) == 0) {
        return false;
    }
    uint32_t options = session->tracking->options;
    bool is_said = (session->flags & SESSION_CACHING) != 0;
    return ((options & TRACKING_OPTIN) == 0 || is_said) &&
           ((options & TRACKING_OPTOUT) == 0 || !is_said);
}

/** CLIENT CACHING holds for the next command that is none of CLIENT's, and if that is MULTI, for
 * the transaction. */
static bool
uses_caching(const struct session *session, const struct command *command)
{
    if (command == NULL) {
        return (session->flags & SESSION_MULTI) == 0;
    }
    if (command->parent != NULL && strcmp(command->parent, "client") == 0) {
        return false;
    }
    if ((session->flags & SESSION_MULTI) != 0) {
        return command->scope == SCOPE_EXEC || strcmp(command->name, "discard") == 0;
    }
    return strcmp(command->name, "multi") != 0;
}

bool
tracking_adopt(struct session *session, const struct command *command)
{
    if ((session->flags & SESSION_CACHING_USED) != 0) {
        session->flags &= ~(SESSION_CACHING | SESSION_CACHING_USED);
    }
    bool reads =
        command != NULL && ((command->flags & CMD_READONLY) != 0 || command->scope == SCOPE_EXEC);
    bool is_tracked = reads && tracking_wants(session);
    if ((session->flags & SESSION_CACHING) != 0 && uses_caching(session, command)) {
        session->flags |= SESSION_CACHING_USED;
    }
    return is_tracked;
}

uint64_t
tracking_memory_size(const struct session *session)
{
    const struct tracking_session *tracker = session->tracking;
    return tracker == NULL
               ? 0
               : sizeof(*tracker) + tracker->prefix_capacity * sizeof(struct tracking_prefix *);
}

/* ---- pushes ---- */

/** Its connection has ended, or ends: nothing more is said to it. */
static bool
is_deaf(const struct session *session)
{
    return session->lane == NULL || session->lane->output == NULL ||
           (session->flags & (SESSION_KILLED | SESSION_CLOSE_AFTER_REPLY)) != 0;
}

/** Where what is pushed is to be written. */
static struct output *
push_output(struct lane *lane)
{
    bool is_early = router_fault_hit(lane->shard->router, ROUTER_FAULT_EARLY_PUSH);
    return is_early ? lane->output : lane_push_output(lane);
}

static void
push_invalidation(struct session *session, bool is_redirected, struct slice name, bool is_flush)
{
    if (is_deaf(session)) {
        return;
    }
    struct lane *lane = session->lane;
    struct reply push;
    if (session->protocol == 3) {
        reply_create(&push, push_output(lane), 3);
        reply_push(&push, 2);
        reply_bulk_string(&push, "invalidate");
    } else if (is_redirected && (session->flags & SESSION_PUBSUB) != 0) {
        reply_create(&push, push_output(lane), 2);
        reply_array(&push, 3);
        reply_bulk_string(&push, "message");
        reply_bulk_string(&push, "__redis__:invalidate");
    } else {
        return; /* RESP2 has no way to say it */
    }
    if (is_flush) {
        reply_null(&push);
    } else {
        reply_array(&push, 1);
        reply_bulk(&push, name);
    }
    lane_pushed(lane);
}

static void
tracker_redirect_broken(struct tracking_session *tracker)
{
    struct session *session = tracker->session;
    tracker->options |= TRACKING_BROKEN;
    if (session->protocol != 3 || is_deaf(session)) {
        return;
    }
    struct reply push;
    reply_create(&push, lane_push_output(session->lane), 3);
    reply_push(&push, 2);
    reply_bulk_string(&push, "tracking-redir-broken");
    reply_i64(&push, (int64_t)tracker->redirect_id);
    lane_pushed(session->lane);
}

static struct session *
find_target(const struct shard *shard, uint64_t id)
{
    const struct tracking_session *target = session_find(shard->tracking, id);
    bool is_there =
        target != NULL && target->session->lane != NULL && target->session->lane->output != NULL;
    return is_there ? target->session : NULL;
}

static void
tell(struct shard *shard, struct tracking_session *tracker, struct slice name, bool is_flush)
{
    if (tracker->redirect_id == 0) {
        push_invalidation(tracker->session, false, name, is_flush);
        return;
    }
    if (tracker->redirect_core != shard->index) {
        struct tracking_message *message = tracking_message_new(TRACKING_REDIRECT, 0, name.size);
        message->session_id = tracker->session->id;
        message->target_id = tracker->redirect_id;
        message->is_flush = is_flush;
        if (name.size > 0) {
            memcpy(tracking_message_bytes(message), name.data, name.size);
        }
        router_post(shard->router, tracker->redirect_core, MAIL_TRACKING, &message->mail);
        return;
    }
    struct session *target = find_target(shard, tracker->redirect_id);
    if (target == NULL) {
        tracker_redirect_broken(tracker);
    } else {
        push_invalidation(target, true, name, is_flush);
    }
}

void
tracking_tell_flush(struct shard *shard, struct tracking_session *tracker)
{
    tell(shard, tracker, (struct slice){0}, true);
}

struct broadcast {
    struct shard *shard;
    struct slice name;
    uint64_t actor_id;
};

static inline bool
is_loop(const struct tracking_session *tracker, uint64_t actor_id)
{
    return (tracker->options & TRACKING_NOLOOP) != 0 && tracker->session->id == actor_id;
}

static void
tell_members(void *context, struct tracking_prefix *prefix)
{
    const struct broadcast *broadcast = context;
    for (uint32_t i = 0; i < prefix->member_count; i++) {
        struct tracking_session *member = prefix->members[i];
        if (!is_loop(member, broadcast->actor_id)) {
            tell(broadcast->shard, member, broadcast->name, false);
        }
    }
}

void
tracking_deliver(struct shard *shard, struct tracking_message *message)
{
    struct slice name = slice_of(tracking_message_bytes(message), message->size);
    for (uint32_t i = 0; i < message->id_count; i++) {
        struct tracking_session *tracker = session_find(shard->tracking, message->ids[i]);
        /* What it read before it went over to BCAST is not its business any more. */
        bool is_told = tracker != NULL && (tracker->options & TRACKING_ON) != 0 &&
                       (tracker->options & TRACKING_BCAST) == 0;
        if (is_told && !is_loop(tracker, message->session_id)) {
            tell(shard, tracker, name, false);
        }
    }
    if (message->is_broadcast) {
        struct broadcast broadcast = {
            .shard = shard, .name = name, .actor_id = message->session_id};
        tracking_prefix_each(shard, name, tell_members, &broadcast);
    }
}

void
tracking_redirected(struct shard *shard, struct tracking_message *message, uint32_t from)
{
    struct session *target = find_target(shard, message->target_id);
    if (target != NULL) {
        struct slice name = slice_of(tracking_message_bytes(message), message->size);
        push_invalidation(target, true, name, message->is_flush);
        return;
    }
    struct tracking_message *gone = tracking_message_new(TRACKING_GONE, 0, 0);
    gone->session_id = message->session_id;
    gone->target_id = message->target_id;
    router_post(shard->router, from, MAIL_TRACKING, &gone->mail);
}

void
tracking_gone(struct shard *shard, uint64_t session_id, uint64_t target_id)
{
    struct tracking_session *tracker = session_find(shard->tracking, session_id);
    if (tracker != NULL && (tracker->options & TRACKING_ON) != 0 &&
        tracker->redirect_id == target_id) {
        tracker_redirect_broken(tracker);
    }
}
