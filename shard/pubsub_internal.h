/*
 * pubsub_internal.h: the tables that publishing (pubsub.c) and subscribing (subscriptions.c) share.
 */
#pragma once

#include "core/hash.h"
#include "core/list.h"
#include "shard/pubsub.h"

struct lane;
struct subscription;

/** One of this core's sessions that hear a topic. The lane stands here since it is what each
 * message needs. */
struct topic_subscriber {
    struct lane *lane;
    struct subscription *subscription;
};

/** Something that somebody subscribes to: on this core, or (where it is counted here) anywhere. */
struct topic {
    struct topic *next;
    uint64_t hash; /* of the name, as a key's */
    struct topic_subscriber *subscribers;
    uint32_t subscriber_count;
    uint32_t subscriber_capacity;
    uint32_t changing_count; /* subscribers whose (un)subscribing is under way */
    uint32_t *core_counts;   /* [shard_count]: subscribers on each core; NULL: not counted here */
    uint64_t counted_count;  /* their sum */
    struct list_node pattern_link; /* in pubsub->patterns */
    char *header;                  /* of a pattern: how its messages begin, in RESP2 */
    size_t header_size;
    enum topic_kind kind;
    bool is_home; /* its slot is this shard's */
    size_t size;
    char name[];
};

static inline struct slice
topic_name(const struct topic *topic)
{
    return slice_of(topic->name, topic->size);
}

struct pubsub {
    struct pubsub_flow flow;
    struct topic **buckets;
    uint32_t bucket_count; /* 0, or a power of two */
    uint32_t topic_count;
    uint32_t shard_count;
    struct list patterns;
    uint64_t message_id;                       /* of the last message that was published here */
    uint64_t channel_counts[TOPIC_KIND_COUNT]; /* topics of this home with subscribers */
    uint8_t *is_wanted;                        /* [shard_count], scratch of pubsub_publish() */
};

/** Where a topic's subscribers are counted, if not at one home. */
#define TOPIC_HOME_ALL UINT16_MAX

/** The shard that counts, or TOPIC_HOME_ALL. Any thread. */
uint16_t topic_home(const struct node *node, enum topic_kind kind, struct slice name);

/** NULL: nobody here has anything to do with it. */
struct topic *topic_find(const struct pubsub *pubsub, enum topic_kind kind, struct slice name,
                         uint64_t hash);
/** The topic, made where it is new. */
struct topic *topic_get(struct shard *shard, enum topic_kind kind, struct slice name,
                        uint64_t hash);
/** Forget it if nobody needs it. */
void topic_release(struct shard *shard, struct topic *topic);

/** A session of `core` subscribes (+1) or does not any more (-1). At a shard that counts it. */
void topic_count(struct shard *shard, enum topic_kind kind, struct slice name, uint64_t hash,
                 uint32_t core, int32_t delta);
