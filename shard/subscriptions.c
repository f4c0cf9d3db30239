/*
 * subscriptions.c: what a session subscribes to, and how that becomes known where it is counted.
 *
 *     session ─▶ subscription ─▶ topic "a" of this core ─▶ all its subscribers
 *             ─▶ subscription ─▶ topic "b*"
 *
 * SUBSCRIBE enters the session at its core at once, then the homes count it, then it is confirmed.
 * A message that is published in between reaches exactly those whom its publisher's number
 * includes: each shard numbers its messages, and notes the last number before it counted the change
 * in the command's memory. A subscriber whose change is under way compares:
 *
 *     home:      message 7 │ counts +1 │ message 8          subscriber hears 8, not 7
 *
 * UNSUBSCRIBE is the same the other way round, and its confirmation is the last that the client
 * hears of the channel: what comes before it is counted goes in front of it, past the place in the
 * lane that is kept for the confirmation (nothing else is owed then). When a session ends nobody
 * waits for the counts: they are taken back by mail.
 *
 * Invariants: a subscription is in its session's table and at `place` in its topic's array;
 * `changing_count` of a topic is the number of its subscriptions with a change.
 */
#include "shard/subscriptions.h"

#include "core/heap.h"
#include "shard/effect.h"
#include "shard/lane.h"
#include "shard/pubsub_internal.h"
#include "shard/router_internal.h"
#include "shard/session.h"

#define BUCKETS_MIN 4

struct subscription {
    struct subscription *next; /* in the session's bucket */
    struct topic *topic;
    struct subscription_change *change; /* under way; NULL: none */
    uint32_t place;                     /* in topic->subscribers */
};

struct subscriptions {
    struct session *session;
    struct subscription **buckets;
    uint32_t bucket_count; /* a power of two */
    uint32_t count;
    uint32_t kind_counts[TOPIC_KIND_COUNT];
};

/** Names that a session leaves at one shard when it ends. */
struct unsubscribe_mail {
    struct mail mail;
    struct effects names; /* db: the kind */
};

/* ---- the session's table ---- */

static struct subscriptions *
subscriptions_get(struct session *session)
{
    if (session->subscriptions == NULL) {
        struct subscriptions *owner = heap_alloc(sizeof(*owner));
        *owner = (struct subscriptions){.session = session, .bucket_count = BUCKETS_MIN};
        owner->buckets = heap_alloc(BUCKETS_MIN * sizeof(struct subscription *));
        memset(owner->buckets, 0, BUCKETS_MIN * sizeof(struct subscription *));
        session->subscriptions = owner;
    }
    return session->subscriptions;
}

static inline struct subscription **
subscription_bucket(const struct subscriptions *owner, const struct topic *topic)
{
    return &owner->buckets[(uint32_t)(topic->hash >> 16) & (owner->bucket_count - 1)];
}

static void
subscriptions_grow(struct subscriptions *owner)
{
    if (owner->count < owner->bucket_count) {
        return;
    }
    struct subscription **old = owner->buckets;
    uint32_t old_count = owner->bucket_count;
    owner->bucket_count = old_count * 2;
    owner->buckets = heap_alloc(owner->bucket_count * sizeof(struct subscription *));
    memset(owner->buckets, 0, owner->bucket_count * sizeof(struct subscription *));
    for (uint32_t i = 0; i < old_count; i++) {
        for (struct subscription *item = old[i], *next; item != NULL; item = next) {
            next = item->next;
            struct subscription **place = subscription_bucket(owner, item->topic);
            item->next = *place;
            *place = item;
        }
    }
    heap_free(old);
}

static struct subscription *
subscription_find(const struct subscriptions *owner, const struct topic *topic)
{
    struct subscription *item = *subscription_bucket(owner, topic);
    while (item != NULL && item->topic != topic) {
        item = item->next;
    }
    return item;
}

/** What the session is says its flags. */
static void
session_mark(struct session *session)
{
    const struct subscriptions *owner = session->subscriptions;
    session->flags &= ~(SESSION_PUBSUB | SESSION_MONITOR | SESSION_LEAVING);
    if (owner == NULL) {
        return;
    }
    uint32_t monitor_count = owner->kind_counts[TOPIC_MONITOR];
    session->flags |= owner->count > monitor_count ? SESSION_PUBSUB : 0;
    session->flags |= monitor_count > 0 ? SESSION_MONITOR : 0;
}

static struct subscription *
subscription_new(struct subscriptions *owner, struct topic *topic)
{
    subscriptions_grow(owner);
    struct subscription *item = heap_alloc(sizeof(*item));
    *item = (struct subscription){.topic = topic, .place = topic->subscriber_count};
    if (topic->subscriber_count == topic->subscriber_capacity) {
        topic->subscriber_capacity = MAX(topic->subscriber_capacity * 2, 2U);
        topic->subscribers = heap_realloc(topic->subscribers,
                                          topic->subscriber_capacity * sizeof(*topic->subscribers));
    }
    topic->subscribers[topic->subscriber_count++] =
        (struct topic_subscriber){.lane = owner->session->lane, .subscription = item};
    struct subscription **bucket = subscription_bucket(owner, topic);
    item->next = *bucket;
    *bucket = item;
    owner->count++;
    owner->kind_counts[topic->kind]++;
    return item;
}

static void
subscription_delete(struct subscriptions *owner, struct subscription *item)
{
    struct topic *topic = item->topic;
    struct topic_subscriber *last = &topic->subscribers[--topic->subscriber_count];
    topic->subscribers[item->place] = *last;
    last->subscription->place = item->place;
    struct subscription **place = subscription_bucket(owner, topic);
    while (*place != item) {
        place = &(*place)->next;
    }
    *place = item->next;
    owner->count--;
    owner->kind_counts[topic->kind]--;
    topic->changing_count -= item->change != NULL;
    heap_free(item);
    topic_release(owner->session->shard, topic);
}

static void
subscriptions_delete(struct subscriptions *owner)
{
    ASSERT(owner->count == 0);
    owner->session->subscriptions = NULL;
    heap_free(owner->buckets);
    heap_free(owner);
}

/* ---- changes ---- */

static struct subscription_change *
change_new(struct session *session, enum topic_kind kind, bool is_removal, uint32_t count_max)
{
    uint32_t shard_count = session->shard->node->shard_count;
    struct subscription_change *change =
        heap_alloc(sizeof(*change) + shard_count * sizeof(change->counted_after_ids[0]));
    change->owner = subscriptions_get(session);
    change->kind = kind;
    change->is_removal = is_removal;
    change->count = 0;
    change->count_before = subscriptions_count(session, kind);
    change->items = heap_alloc(count_max * sizeof(struct subscription *));
    change->homes = heap_alloc(count_max * sizeof(*change->homes));
    for (uint32_t i = 0; i < shard_count; i++) {
        atomic_init(&change->counted_after_ids[i], UINT64_MAX);
    }
    return change;
}

static void
change_add(struct subscription_change *change, struct subscription *item)
{
    struct topic *topic = item->topic;
    ASSERT(item->change == NULL);
    item->change = change;
    topic->changing_count++;
    change->items[change->count] = item;
    change->homes[change->count] =
        topic_home(change->owner->session->shard->node, topic->kind, topic_name(topic));
    change->count++;
}

struct subscription_change *
subscriptions_add(struct session *session, enum topic_kind kind, const struct slice *names,
                  uint32_t count)
{
    struct shard *shard = session->shard;
    struct subscription_change *change = change_new(session, kind, false, count);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t hash = keyspace_hash(&shard->keyspace, names[i]);
        struct topic *topic = topic_get(shard, kind, names[i], hash);
        if (subscription_find(change->owner, topic) == NULL) {
            change_add(change, subscription_new(change->owner, topic));
        }
    }
    session_mark(session);
    return change;
}

static void
change_add_all(struct subscription_change *change)
{
    const struct subscriptions *owner = change->owner;
    for (uint32_t i = 0; i < owner->bucket_count; i++) {
        for (struct subscription *item = owner->buckets[i]; item != NULL; item = item->next) {
            if (item->topic->kind == change->kind) {
                change_add(change, item);
            }
        }
    }
}

struct subscription_change *
subscriptions_remove(struct session *session, enum topic_kind kind, const struct slice *names,
                     uint32_t count)
{
    struct shard *shard = session->shard;
    uint32_t count_max = count == 0 ? subscriptions_kind_count(session, kind) : count;
    session->flags |= SESSION_LEAVING;
    struct subscription_change *change = change_new(session, kind, true, count_max);
    if (count == 0) {
        change_add_all(change);
    }
    for (uint32_t i = 0; i < count; i++) {
        uint64_t hash = keyspace_hash(&shard->keyspace, names[i]);
        struct topic *topic = topic_find(shard->pubsub, kind, names[i], hash);
        struct subscription *item = topic == NULL ? NULL : subscription_find(change->owner, topic);
        if (item != NULL && item->change == NULL) {
            change_add(change, item);
        }
    }
    return change;
}

bool
subscription_change_is_local(const struct shard *shard, const struct subscription_change *change)
{
    for (uint32_t i = 0; i < change->count && shard->node->shard_count > 1; i++) {
        if (change->homes[i] != shard->index) {
            return false;
        }
    }
    return true;
}

void
subscription_change_count(struct shard *shard, struct subscription_change *change, uint32_t core)
{
    for (uint32_t i = 0; i < change->count; i++) {
        if (change->homes[i] == shard->index || change->homes[i] == TOPIC_HOME_ALL) {
            const struct topic *topic = change->items[i]->topic;
            topic_count(shard, topic->kind, topic_name(topic), topic->hash, core,
                        change->is_removal ? -1 : 1);
        }
    }
    /* Read by the session's core when a message of this shard has come there: what is mailed later
     * finds it, and what was mailed earlier may find either value, for both say the same of it. */
    atomic_store_explicit(&change->counted_after_ids[shard->index], shard->pubsub->message_id,
                          memory_order_relaxed);
}

void
subscription_change_end(struct subscription_change *change)
{
    for (uint32_t i = 0; i < change->count; i++) {
        struct subscription *item = change->items[i];
        item->topic->changing_count--;
        item->change = NULL;
    }
}

void
subscription_change_delete(struct subscription_change *change)
{
    struct subscriptions *owner = change->owner;
    struct session *session = owner->session;
    for (uint32_t i = 0; i < change->count && change->is_removal; i++) {
        subscription_delete(owner, change->items[i]);
    }
    if (owner->count == 0) {
        subscriptions_delete(owner);
    }
    session_mark(session);
    heap_free(change->items);
    heap_free(change->homes);
    heap_free(change);
}

struct slice
subscription_change_name(const struct subscription_change *change, uint32_t index)
{
    ASSERT(index < change->count);
    return topic_name(change->items[index]->topic);
}

bool
subscription_hears(const struct subscription *subscription, uint32_t from, uint64_t id)
{
    const struct subscription_change *change = subscription->change;
    if (change == NULL) {
        return true;
    }
    uint64_t counted_after_id =
        atomic_load_explicit(&change->counted_after_ids[from], memory_order_relaxed);
    return change->is_removal ? id <= counted_after_id : id > counted_after_id;
}

/* ---- what they forbid ---- */

/** In RESP2 replies could not be told from messages. */
static bool
is_for_subscribers(const struct session *session, const struct command *command)
{
    return (session->flags & SESSION_PUBSUB) == 0 || session->protocol != 2 ||
           (command->flags & CMD_WHILE_SUBSCRIBED) != 0;
}

/** redis-server takes a monitor for a kind of replica. */
static bool
is_for_monitors(const struct session *session, const struct command *command)
{
    return (session->flags & SESSION_MONITOR) == 0 ||
           (command->flags & (CMD_WRITE | CMD_READONLY | CMD_MAY_REPLICATE)) == 0;
}

bool
subscriptions_allow(const struct session *session, const struct command *command)
{
    return is_for_subscribers(session, command) && is_for_monitors(session, command);
}

bool
subscriptions_refuse(const struct session *session, const struct command *command,
                     struct reply *reply)
{
    if (!is_for_subscribers(session, command)) {
        bool has_parent = command->parent != NULL;
        reply_error_format(
            reply,
            "%sCan't execute '%s%s%s': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / "
            "RESET are allowed in this context",
            command->scope == SCOPE_EXEC ? "EXECABORT Transaction discarded because of: " : "ERR ",
            has_parent ? command->parent : "", has_parent ? "|" : "", command->name);
        return true;
    }
    if (!is_for_monitors(session, command)) {
        reply_error(reply, "ERR Replica can't interact with the keyspace");
        return true;
    }
    return false;
}

/* ---- numbers ---- */

uint32_t
subscriptions_kind_count(const struct session *session, enum topic_kind kind)
{
    return session->subscriptions == NULL ? 0 : session->subscriptions->kind_counts[kind];
}

uint32_t
subscriptions_count(const struct session *session, enum topic_kind kind)
{
    if (kind == TOPIC_SHARD_CHANNEL) {
        return subscriptions_kind_count(session, kind);
    }
    return subscriptions_kind_count(session, TOPIC_CHANNEL) +
           subscriptions_kind_count(session, TOPIC_PATTERN);
}

uint64_t
subscriptions_memory_size(const struct session *session)
{
    const struct subscriptions *owner = session->subscriptions;
    return owner == NULL ? 0
                         : sizeof(*owner) + owner->bucket_count * sizeof(struct subscription *) +
                               owner->count * sizeof(struct subscription);
}

/* ---- the end ---- */

static void
names_take_back(struct shard *shard, const struct effects *names, uint32_t core)
{
    struct effect_reader reader;
    struct effect record;
    effect_reader_create(&reader, names);
    while (effect_read(&reader, &record)) {
        topic_count(shard, (enum topic_kind)record.db, record.argv[0],
                    keyspace_hash(&shard->keyspace, record.argv[0]), core, -1);
    }
    effect_reader_destroy(&reader);
}

void
subscriptions_receive(struct shard *shard, struct mail *mail)
{
    struct unsubscribe_mail *unsubscribe = container_of(mail, struct unsubscribe_mail, mail);
    names_take_back(shard, &unsubscribe->names, mail->from);
    effects_destroy(&unsubscribe->names);
    heap_free(unsubscribe);
}

static void
name_leave(struct shard *shard, struct unsubscribe_mail **mails, uint32_t home,
           const struct topic *topic)
{
    struct slice name = topic_name(topic);
    if (home == shard->index) {
        topic_count(shard, topic->kind, name, topic->hash, shard->index, -1);
        return;
    }
    if (mails[home] == NULL) {
        mails[home] = heap_alloc(sizeof(**mails));
        effects_create(&mails[home]->names);
    }
    effects_append(&mails[home]->names, (uint16_t)topic->kind, 0, &name, 1);
}

void
subscriptions_end(struct session *session)
{
    struct subscriptions *owner = session->subscriptions;
    if (owner == NULL) {
        return;
    }
    struct shard *shard = session->shard;
    uint32_t shard_count = shard->node->shard_count;
    struct unsubscribe_mail **mails = heap_alloc(shard_count * sizeof(struct unsubscribe_mail *));
    memset(mails, 0, shard_count * sizeof(struct unsubscribe_mail *));
    for (uint32_t i = 0; i < owner->bucket_count; i++) {
        while (owner->buckets[i] != NULL) {
            struct subscription *item = owner->buckets[i];
            const struct topic *topic = item->topic;
            ASSERT(item->change == NULL);
            uint16_t home = topic_home(shard->node, topic->kind, topic_name(topic));
            uint32_t first = home == TOPIC_HOME_ALL ? 0 : home;
            uint32_t end = home == TOPIC_HOME_ALL ? shard_count : home + 1U;
            for (uint32_t j = first; j < end; j++) {
                name_leave(shard, mails, j, topic);
            }
            subscription_delete(owner, item);
        }
    }
    for (uint32_t i = 0; i < shard_count; i++) {
        if (mails[i] != NULL) {
            router_post(shard->router, i, MAIL_UNSUBSCRIBE, &mails[i]->mail);
        }
    }
    heap_free(mails);
    subscriptions_delete(owner);
    session_mark(session);
}
