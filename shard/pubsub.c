/*
 * pubsub.c: from a publisher to the subscribers of all cores.
 *
 *     PUBLISH c m ──▶ home of c: counts by core ──▶ core 0: its sessions' outputs
 *                       c:  core 0: 2, core 3: 1 ──▶ core 3: the same
 *                       a*: core 3: 5                    one block of bytes for all, one mail each
 *
 * The home knows the exact number of receivers without asking anybody, so PUBLISH is answered at
 * once. It publishes one message after the other and mail keeps its order: a channel has one total
 * order for all its subscribers. Patterns are counted at every shard, for they concern every
 * channel; so are the channels of keyspace events, which are published by the owners of the keys.
 *
 * One table holds both sides, what is counted here and whom of this core's sessions it concerns,
 * since a home often has subscribers of its own. The message is laid out once as it will be sent,
 * only its first byte and its first words differ by protocol and pattern:
 *
 *     "*3 message" | "$7 channel $5 hello"        copied if short, else lent to each output
 *
 * A core with many subscribers may be slower than its publishers, who do not wait for it. So that
 * the mail between them stays bounded, a shard counts what is under way to other cores; above a
 * limit nobody starts requests that might publish there (client.c, batch.c).
 *
 * Invariants: a topic exists while it has subscribers here or a count; counted_count is the sum of
 * core_counts. Rejected: answers of the subscribers' cores that the home adds up (a round trip more
 * for a number that is known already), one payload for each protocol (they differ in one byte).
 */
#include "shard/pubsub.h"

#include "core/glob.h"
#include "core/heap.h"
#include "core/keyslot.h"
#include "shard/lane.h"
#include "shard/pubsub_internal.h"
#include "shard/router_internal.h"
#include "shard/session.h"
#include "shard/subscriptions.h"

#include <stdatomic.h>
#include <stdio.h>

#define BUCKETS_MIN 16
/** A message for this core alone that is laid out on the stack. */
#define STACK_MESSAGE_SIZE_MAX 2048
/** Longer ones are not copied into one chunk of each output but as they fit. */
#define CONTIGUOUS_SIZE_MAX 1024
/** Subscribers whose memory is asked for ahead of their turn. */
#define PREFETCH_DISTANCE 8

/** A length in RESP: '$', digits, line end. */
#define LENGTH_SIZE_MAX 24

struct payload;

struct payload_mail {
    struct mail mail;
    struct payload *payload;
};

/** A published message under way, shared by mails and outputs. */
struct payload {
    struct output_pin pin;
    _Atomic uint32_t reference_count;
    enum topic_kind kind;
    uint16_t from; /* the shard that published it */
    uint64_t id;   /* its number there */
    uint64_t hash; /* of the channel */
    struct slice channel;
    struct slice body;        /* channel and message as they are sent */
    struct pubsub_flow *flow; /* of the publishing shard */
    struct payload_mail mails[];
};

/** A message on its way into the outputs of this core. */
struct delivery {
    struct slice header; /* in RESP2 */
    struct slice body;
    struct payload *payload; /* NULL: the body does not outlive the delivery */
    uint64_t id;
    uint32_t from;
};

/* ---- topics ---- */

struct pubsub *
pubsub_new(uint32_t shard_count)
{
    struct pubsub *pubsub = heap_alloc_lines(1, sizeof(*pubsub));
    pubsub->shard_count = shard_count;
    list_create(&pubsub->patterns);
    pubsub->is_wanted = heap_alloc(shard_count);
    memset(pubsub->is_wanted, 0, shard_count);
    return pubsub;
}

static void
topic_delete(struct topic *topic)
{
    ASSERT(topic->subscriber_count == 0);
    heap_free(topic->subscribers);
    heap_free(topic->core_counts);
    heap_free(topic->header);
    heap_free(topic);
}

void
pubsub_delete(struct pubsub *pubsub)
{
    for (uint32_t i = 0; i < pubsub->bucket_count; i++) {
        for (struct topic *topic = pubsub->buckets[i], *next; topic != NULL; topic = next) {
            next = topic->next;
            topic_delete(topic);
        }
    }
    heap_free(pubsub->buckets);
    heap_free(pubsub->is_wanted);
    heap_free(pubsub);
}

static inline uint32_t
topic_place(const struct pubsub *pubsub, enum topic_kind kind, uint64_t hash)
{
    return (uint32_t)((hash >> 8) + kind) & (pubsub->bucket_count - 1);
}

static void
pubsub_grow(struct pubsub *pubsub)
{
    if (pubsub->topic_count < pubsub->bucket_count) {
        return;
    }
    struct topic **old = pubsub->buckets;
    uint32_t old_count = pubsub->bucket_count;
    pubsub->bucket_count = MAX(old_count * 2, (uint32_t)BUCKETS_MIN);
    pubsub->buckets = heap_alloc(pubsub->bucket_count * sizeof(struct topic *));
    memset(pubsub->buckets, 0, pubsub->bucket_count * sizeof(struct topic *));
    for (uint32_t i = 0; i < old_count; i++) {
        for (struct topic *topic = old[i], *next; topic != NULL; topic = next) {
            next = topic->next;
            struct topic **place = &pubsub->buckets[topic_place(pubsub, topic->kind, topic->hash)];
            topic->next = *place;
            *place = topic;
        }
    }
    heap_free(old);
}

struct topic *
topic_find(const struct pubsub *pubsub, enum topic_kind kind, struct slice name, uint64_t hash)
{
    if (pubsub->topic_count == 0) {
        return NULL;
    }
    struct topic *topic = pubsub->buckets[topic_place(pubsub, kind, hash)];
    while (topic != NULL &&
           (topic->hash != hash || topic->kind != kind || !slice_equal(topic_name(topic), name))) {
        topic = topic->next;
    }
    return topic;
}

/** "*4 pmessage <pattern>", which comes with each of its messages. */
static void
pattern_header_create(struct topic *topic)
{
    char head[64];
    int size = snprintf(head, sizeof(head), "*4\r\n$8\r\npmessage\r\n$%zu\r\n", topic->size);
    ASSERT(size > 0 && (size_t)size < sizeof(head));
    topic->header_size = (size_t)size + topic->size + 2;
    topic->header = heap_alloc(topic->header_size);
    memcpy(topic->header, head, (size_t)size);
    memcpy(topic->header + size, topic->name, topic->size);
    memcpy(topic->header + size + topic->size, "\r\n", 2);
}

struct topic *
topic_get(struct shard *shard, enum topic_kind kind, struct slice name, uint64_t hash)
{
    struct pubsub *pubsub = shard->pubsub;
    struct topic *topic = topic_find(pubsub, kind, name, hash);
    if (topic != NULL) {
        return topic;
    }
    pubsub_grow(pubsub);
    topic = heap_alloc(sizeof(*topic) + name.size);
    *topic = (struct topic){.hash = hash, .kind = kind, .size = name.size};
    topic->is_home = shard->node->slot_owner[key_slot(name)] == shard->index;
    if (name.size > 0) {
        memcpy(topic->name, name.data, name.size);
    }
    list_node_create(&topic->pattern_link);
    if (kind == TOPIC_PATTERN) {
        pattern_header_create(topic);
        list_push_back(&pubsub->patterns, &topic->pattern_link);
    }
    struct topic **place = &pubsub->buckets[topic_place(pubsub, kind, hash)];
    topic->next = *place;
    *place = topic;
    pubsub->topic_count++;
    return topic;
}

void
topic_release(struct shard *shard, struct topic *topic)
{
    struct pubsub *pubsub = shard->pubsub;
    if (topic->subscriber_count > 0 || topic->counted_count > 0) {
        return;
    }
    struct topic **place = &pubsub->buckets[topic_place(pubsub, topic->kind, topic->hash)];
    while (*place != topic) {
        place = &(*place)->next;
    }
    *place = topic->next;
    list_remove(&topic->pattern_link);
    pubsub->topic_count--;
    topic_delete(topic);
}

/* ---- counts ---- */

static bool
is_event_channel(struct slice name)
{
    return name.size >= 11 &&
           (memcmp(name.data, "__keyspace@", 11) == 0 || memcmp(name.data, "__keyevent@", 11) == 0);
}

uint16_t
topic_home(const struct node *node, enum topic_kind kind, struct slice name)
{
    if (kind == TOPIC_PATTERN || kind == TOPIC_MONITOR ||
        (kind == TOPIC_CHANNEL && is_event_channel(name))) {
        return TOPIC_HOME_ALL;
    }
    return node->slot_owner[key_slot(name)];
}

void
topic_count(struct shard *shard, enum topic_kind kind, struct slice name, uint64_t hash,
            uint32_t core, int32_t delta)
{
    struct pubsub *pubsub = shard->pubsub;
    struct topic *topic = topic_get(shard, kind, name, hash);
    if (topic->core_counts == NULL) {
        size_t size = pubsub->shard_count * sizeof(*topic->core_counts);
        topic->core_counts = heap_alloc(size);
        memset(topic->core_counts, 0, size);
    }
    ASSERT(delta > 0 || topic->core_counts[core] > 0);
    bool was_counted = topic->counted_count > 0;
    topic->core_counts[core] += (uint32_t)delta;
    topic->counted_count += (uint64_t)(int64_t)delta;
    bool is_counted = topic->counted_count > 0;
    if (kind == TOPIC_MONITOR) {
        shard_hurdle_set(shard, HURDLE_MONITOR, is_counted);
    }
    if (is_counted != was_counted && (topic->is_home || kind == TOPIC_PATTERN)) {
        pubsub->channel_counts[kind] += is_counted ? 1 : UINT64_MAX;
    }
    topic_release(shard, topic);
}

uint64_t
pubsub_receiver_count(const struct shard *shard, enum topic_kind kind, struct slice channel,
                      uint64_t hash)
{
    const struct pubsub *pubsub = shard->pubsub;
    const struct topic *topic = topic_find(pubsub, kind, channel, hash);
    uint64_t count = topic == NULL ? 0 : topic->counted_count;
    if (kind != TOPIC_CHANNEL) {
        return count;
    }
    for (const struct list_node *node = list_first(&pubsub->patterns); node != NULL;
         node = list_next(&pubsub->patterns, node)) {
        const struct topic *pattern = container_of(node, struct topic, pattern_link);
        if (pattern->counted_count > 0 && glob_match(topic_name(pattern), channel, false)) {
            count += pattern->counted_count;
        }
    }
    return count;
}

uint64_t
pubsub_subscriber_count(const struct shard *shard, enum topic_kind kind, struct slice channel)
{
    uint64_t hash = keyspace_hash(&shard->keyspace, channel);
    const struct topic *topic = topic_find(shard->pubsub, kind, channel, hash);
    return topic == NULL ? 0 : topic->counted_count;
}

uint64_t
pubsub_pattern_count(const struct shard *shard)
{
    return shard->pubsub->channel_counts[TOPIC_PATTERN];
}

uint64_t
pubsub_channel_count(const struct shard *shard, enum topic_kind kind)
{
    return shard->pubsub->channel_counts[kind];
}

void
pubsub_each_channel(const struct shard *shard, enum topic_kind kind, struct slice pattern,
                    pubsub_channel_fn *visit, void *context)
{
    const struct pubsub *pubsub = shard->pubsub;
    for (uint32_t i = 0; i < pubsub->bucket_count; i++) {
        for (const struct topic *topic = pubsub->buckets[i]; topic != NULL; topic = topic->next) {
            if (topic->kind == kind && topic->is_home && topic->counted_count > 0 &&
                (pattern.data == NULL || glob_match(pattern, topic_name(topic), false))) {
                visit(context, topic_name(topic));
            }
        }
    }
}

/* ---- payloads ---- */

static void
payload_release(struct output_pin *pin)
{
    struct payload *payload = container_of(pin, struct payload, pin);
    /* The last one to leave must see what the others did with it: release with each, acquire here.
     */
    if (atomic_fetch_sub_explicit(&payload->reference_count, 1, memory_order_acq_rel) == 1) {
        heap_free(payload);
    }
}

static size_t
body_size_max(struct slice channel, struct slice message)
{
    return channel.size + message.size + 2 * (LENGTH_SIZE_MAX + 2);
}

static char *
bulk_write(char *out, struct slice bytes)
{
    out += snprintf(out, LENGTH_SIZE_MAX, "$%zu\r\n", bytes.size);
    if (bytes.size > 0) {
        memcpy(out, bytes.data, bytes.size);
    }
    out += bytes.size;
    *out++ = '\r';
    *out++ = '\n';
    return out;
}

/** Lay channel and message out as they are sent; monitors get the message alone. */
static struct slice
body_write(char *out, enum topic_kind kind, struct slice channel, struct slice message)
{
    if (kind == TOPIC_MONITOR) {
        memcpy(out, message.data, message.size);
        return slice_of(out, message.size);
    }
    char *end = bulk_write(bulk_write(out, channel), message);
    return slice_of(out, (size_t)(end - out));
}

static struct payload *
payload_new(enum topic_kind kind, struct slice channel, struct slice message, uint32_t mail_count)
{
    size_t head_size = sizeof(struct payload) + mail_count * sizeof(struct payload_mail);
    struct payload *payload = heap_alloc(head_size + body_size_max(channel, message));
    payload->pin.release = payload_release;
    atomic_init(&payload->reference_count, mail_count + 1);
    payload->kind = kind;
    char *bytes = (char *)payload + head_size;
    payload->body = body_write(bytes, kind, channel, message);
    /* The channel's bytes follow its length. */
    payload->channel = slice_of(bytes, 0);
    if (kind != TOPIC_MONITOR) {
        const char *name = (const char *)memchr(bytes, '\n', LENGTH_SIZE_MAX) + 1;
        payload->channel = slice_of(name, channel.size);
    }
    return payload;
}

/* ---- delivery ---- */

static inline void
output_push(struct output *output, const struct delivery *delivery, uint8_t protocol)
{
    struct slice header = delivery->header;
    struct slice body = delivery->body;
    size_t size = header.size + body.size;
    if (LIKELY(size <= CONTIGUOUS_SIZE_MAX)) {
        char *out = output_reserve(output, (uint32_t)size);
        memcpy(out + header.size, body.data, body.size);
        if (header.size > 0) {
            memcpy(out, header.data, header.size);
            out[0] = protocol == 3 ? '>' : '*';
        }
        output_commit(output, (uint32_t)size);
        return;
    }
    if (header.size > 0) {
        output_append(output, protocol == 3 ? ">" : "*", 1);
        output_append(output, header.data + 1, header.size - 1);
    }
    if (delivery->payload == NULL || body.size < OUTPUT_EXTERNAL_SIZE_MIN) {
        output_append(output, body.data, body.size);
        return;
    }
    atomic_fetch_add_explicit(&delivery->payload->reference_count, 1, memory_order_relaxed);
    output_append_external(output, body, &delivery->payload->pin);
}

static inline void
lane_deliver(struct lane *lane, const struct delivery *delivery)
{
    const struct session *session = lane->session;
    /* Its connection has ended, or ends: nothing more is said to it. */
    if (lane->output == NULL ||
        (session->flags & (SESSION_KILLED | SESSION_CLOSE_AFTER_REPLY)) != 0) {
        return;
    }
    /* The lane owes nothing but the confirmation of UNSUBSCRIBE: messages go in front of it. */
    bool is_leaving = UNLIKELY((session->flags & SESSION_LEAVING) != 0);
    output_push(is_leaving ? lane->output : lane_push_output(lane), delivery, session->protocol);
    lane_pushed(lane);
}

static void
topic_deliver(const struct topic *topic, const struct delivery *delivery)
{
    const struct topic_subscriber *subscribers = topic->subscribers;
    uint32_t count = topic->subscriber_count;
    for (uint32_t i = 0; i < count; i++) {
        if (i + PREFETCH_DISTANCE < count) {
            const struct lane *later = subscribers[i + PREFETCH_DISTANCE].lane;
            __builtin_prefetch(later);
            __builtin_prefetch(&later->session);
        }
        if (UNLIKELY(topic->changing_count > 0) &&
            !subscription_hears(subscribers[i].subscription, delivery->from, delivery->id)) {
            continue;
        }
        lane_deliver(subscribers[i].lane, delivery);
    }
}

static struct slice
kind_header(enum topic_kind kind)
{
    switch (kind) {
    case TOPIC_CHANNEL:
        return SLICE("*3\r\n$7\r\nmessage\r\n");
    case TOPIC_SHARD_CHANNEL:
        return SLICE("*3\r\n$8\r\nsmessage\r\n");
    case TOPIC_MONITOR:
        return (struct slice){0};
    case TOPIC_PATTERN:
    case TOPIC_KIND_COUNT:
        break;
    }
    ASSERT(false);
}

/** To all of this core's sessions that subscribe: to the channel first, then to patterns. */
static void
deliver(const struct shard *shard, enum topic_kind kind, struct slice channel, uint64_t hash,
        struct delivery *delivery)
{
    const struct pubsub *pubsub = shard->pubsub;
    const struct topic *topic = topic_find(pubsub, kind, channel, hash);
    if (topic != NULL) {
        delivery->header = kind_header(kind);
        topic_deliver(topic, delivery);
    }
    if (kind != TOPIC_CHANNEL) {
        return;
    }
    for (const struct list_node *node = list_first(&pubsub->patterns); node != NULL;
         node = list_next(&pubsub->patterns, node)) {
        const struct topic *pattern = container_of(node, struct topic, pattern_link);
        if (pattern->subscriber_count > 0 && glob_match(topic_name(pattern), channel, false)) {
            delivery->header = slice_of(pattern->header, pattern->header_size);
            topic_deliver(pattern, delivery);
        }
    }
}

static void
payload_deliver(const struct shard *shard, struct payload *payload)
{
    struct delivery delivery = {
        .body = payload->body, .payload = payload, .id = payload->id, .from = payload->from};
    deliver(shard, payload->kind, payload->channel, payload->hash, &delivery);
    payload_release(&payload->pin);
}

/** What one mail of a message counts in the publisher's flow. */
static inline uint64_t
payload_flow_size(const struct payload *payload)
{
    return sizeof(*payload) + payload->body.size;
}

void
pubsub_receive(struct shard *shard, struct mail *mail)
{
    struct payload *payload = container_of(mail, struct payload_mail, mail)->payload;
    /* A number that nothing hangs on but how soon publishers go on. */
    atomic_fetch_sub_explicit(&payload->flow->waiting_size, payload_flow_size(payload),
                              memory_order_relaxed);
    payload_deliver(shard, payload);
}

/* ---- publishing ---- */

/** Note the cores that a topic wants its messages on. Returns how many are new. */
static uint32_t
topic_want(struct pubsub *pubsub, const struct topic *topic)
{
    if (topic->counted_count == 0) {
        return 0;
    }
    uint32_t fresh_count = 0;
    for (uint32_t i = 0; i < pubsub->shard_count; i++) {
        if (topic->core_counts[i] > 0 && !pubsub->is_wanted[i]) {
            pubsub->is_wanted[i] = true;
            fresh_count++;
        }
    }
    return fresh_count;
}

/** Set is_wanted for all cores with receivers. Returns how many they are. */
static uint32_t
find_cores(struct pubsub *pubsub, enum topic_kind kind, struct slice channel, uint64_t hash)
{
    const struct topic *topic = topic_find(pubsub, kind, channel, hash);
    uint32_t count = topic == NULL ? 0 : topic_want(pubsub, topic);
    if (kind != TOPIC_CHANNEL) {
        return count;
    }
    for (const struct list_node *node = list_first(&pubsub->patterns); node != NULL;
         node = list_next(&pubsub->patterns, node)) {
        const struct topic *pattern = container_of(node, struct topic, pattern_link);
        if (pattern->counted_count > 0 && glob_match(topic_name(pattern), channel, false)) {
            count += topic_want(pubsub, pattern);
        }
    }
    return count;
}

static void
publish_here(struct shard *shard, enum topic_kind kind, struct slice channel, uint64_t hash,
             struct slice message)
{
    char bytes[STACK_MESSAGE_SIZE_MAX];
    ASSERT(body_size_max(channel, message) <= sizeof(bytes));
    struct delivery delivery = {.body = body_write(bytes, kind, channel, message),
                                .id = shard->pubsub->message_id,
                                .from = shard->index};
    deliver(shard, kind, channel, hash, &delivery);
}

void
pubsub_publish(struct shard *shard, enum topic_kind kind, struct slice channel,
               struct slice message)
{
    struct pubsub *pubsub = shard->pubsub;
    if (pubsub->topic_count == 0) {
        return;
    }
    uint64_t hash = keyspace_hash(&shard->keyspace, channel);
    uint32_t core_count = find_cores(pubsub, kind, channel, hash);
    if (core_count == 0) {
        return;
    }
    pubsub->message_id++;
    bool is_for_me = pubsub->is_wanted[shard->index];
    pubsub->is_wanted[shard->index] = false;
    core_count -= is_for_me;
    if (core_count == 0 && body_size_max(channel, message) <= STACK_MESSAGE_SIZE_MAX) {
        publish_here(shard, kind, channel, hash, message);
        return;
    }
    struct payload *payload = payload_new(kind, channel, message, core_count);
    payload->from = (uint16_t)shard->index;
    payload->id = pubsub->message_id;
    payload->hash = hash;
    payload->flow = &pubsub->flow;
    atomic_fetch_add_explicit(&pubsub->flow.waiting_size, core_count * payload_flow_size(payload),
                              memory_order_relaxed);
    uint32_t mail_count = 0;
    for (uint32_t i = 0; mail_count < core_count; i++) {
        if (pubsub->is_wanted[i]) {
            pubsub->is_wanted[i] = false;
            struct payload_mail *mail = &payload->mails[mail_count++];
            mail->payload = payload;
            router_post(shard->router, i, MAIL_PUBLISH, &mail->mail);
        }
    }
    if (is_for_me) {
        payload_deliver(shard, payload);
    } else {
        payload_release(&payload->pin);
    }
}
