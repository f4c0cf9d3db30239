/*
 * pubsub.h: who hears what is published. A channel's home shard (by its slot) counts its
 * subscribers on each core; each core knows which of its own sessions they are. Patterns, monitors
 * and the channels of keyspace events are counted at every shard. Owner thread only.
 */
#pragma once

#include "shard/shard.h"
#include "shard/view.h"

#include <stdatomic.h>

struct call;
struct mail;

/** What can be subscribed to. */
enum topic_kind {
    TOPIC_CHANNEL,
    TOPIC_SHARD_CHANNEL,
    TOPIC_PATTERN,
    TOPIC_MONITOR, /* one, without a name: the command lines of all cores */
    TOPIC_KIND_COUNT,
};

/** Messages of a shard that other cores have not taken yet, in bytes; the first part of
 * shard->pubsub. Added to by the shard's core, taken off by those who receive, read by all. */
struct pubsub_flow {
    _Alignas(CACHE_LINE_SIZE) _Atomic uint64_t waiting_size;
};

/** From here on those who might publish wait until the other cores have caught up. */
#define PUBSUB_WAITING_SIZE_MAX (UINT64_C(8) << 20)

/** Do other cores lag behind what the shard publishes? Then nobody starts what may publish there.
 * Any thread. */
static inline bool
pubsub_is_clogged(const struct shard *shard)
{
    const struct pubsub_flow *flow = (const struct pubsub_flow *)(const void *)shard->pubsub;
    return UNLIKELY(atomic_load_explicit(&flow->waiting_size, memory_order_relaxed) >
                    PUBSUB_WAITING_SIZE_MAX);
}

/** shard->pubsub. */
struct pubsub;
struct pubsub *pubsub_new(uint32_t shard_count);
/** No session of the shard subscribes any more; counts for other cores may be left. */
void pubsub_delete(struct pubsub *pubsub);

static inline enum topic_kind
pubsub_view_kind(uint16_t db)
{
    return db == VIEW_DB_CHANNEL ? TOPIC_CHANNEL : TOPIC_SHARD_CHANNEL;
}

/** Who receives what is published on a channel now: subscribers, and sessions with matching
 * patterns as often as they match. At the channel's home; `hash` is a key's. */
uint64_t pubsub_receiver_count(const struct shard *shard, enum topic_kind kind,
                               struct slice channel, uint64_t hash);

/** Send the message to all receivers: local ones get it at once, other cores by mail. The bytes are
 * copied. At the channel's home; of keyspace events at the key's owner; of monitors anywhere
 * (`channel` is empty and `message` the bytes as they leave). */
void pubsub_publish(struct shard *shard, enum topic_kind kind, struct slice channel,
                    struct slice message);

/** MAIL_PUBLISH: another shard's message for this core's sessions. */
void pubsub_receive(struct shard *shard, struct mail *mail);

/** Subscribers of a channel, those through patterns not counted. At its home. */
uint64_t pubsub_subscriber_count(const struct shard *shard, enum topic_kind kind,
                                 struct slice channel);
/** Patterns with subscribers on any core. */
uint64_t pubsub_pattern_count(const struct shard *shard);
/** Channels whose home is here, with subscribers on any core. */
uint64_t pubsub_channel_count(const struct shard *shard, enum topic_kind kind);

typedef void pubsub_channel_fn(void *context, struct slice channel);
/** Visit the channels of pubsub_channel_count() that match; an empty pattern with data NULL: all.
 */
void pubsub_each_channel(const struct shard *shard, enum topic_kind kind, struct slice pattern,
                         pubsub_channel_fn *visit, void *context);
