/*
 * notify.c: events from the handler that causes them to the owner that publishes them.
 *
 *     handler: call_event()      own command: at its commit
 *     record {db, slot, [event, key]}  ──▶  borrowed key: with RETURN  ──▶  owner: notify_publish()
 *
 * A record is kept in the form of an effect, so that it travels as effects do. What PUBLISH sends
 * is recorded in the same row where it cannot be sent at once, so that messages and events of one
 * transaction leave in the order of its commands: {VIEW_DB_CHANNEL, slot, [channel, message]}.
 *
 * A shard publishes its keys' events itself and asks no home: every shard knows who subscribes to
 * these channels and to patterns.
 */
#include "shard/notify.h"

#include "shard/change.h"

#include "core/heap.h"
#include "shard/effect.h"
#include "shard/pubsub.h"

#include <stdio.h>

/** The part of a channel's name in front of the key or event. */
#define CHANNEL_PREFIX_SIZE_MAX 40
#define CHANNEL_SIZE_ON_STACK 512

static const struct {
    char letter;
    uint32_t event_class;
} notify_letters[] = {
    {'g', NOTIFY_GENERIC},  {'$', NOTIFY_STRING},   {'l', NOTIFY_LIST},    {'s', NOTIFY_SET},
    {'h', NOTIFY_HASH},     {'z', NOTIFY_ZSET},     {'x', NOTIFY_EXPIRED}, {'e', NOTIFY_EVICTED},
    {'t', NOTIFY_STREAM},   {'d', NOTIFY_MODULE},   {'n', NOTIFY_NEW},     {'m', NOTIFY_MISS},
    {'K', NOTIFY_KEYSPACE}, {'E', NOTIFY_KEYEVENT},
};

#define NOTIFY_ALL                                                                                 \
    (NOTIFY_GENERIC | NOTIFY_STRING | NOTIFY_LIST | NOTIFY_SET | NOTIFY_HASH | NOTIFY_ZSET |       \
     NOTIFY_EXPIRED | NOTIFY_EVICTED | NOTIFY_STREAM | NOTIFY_MODULE)

void
notify_configure(struct shard *shard)
{
    uint32_t classes = 0;
    for (const char *at = shard->config->notify_keyspace_events; *at != '\0'; at++) {
        classes |= *at == 'A' ? NOTIFY_ALL : 0;
        for (uint32_t i = 0; i < ARRAY_COUNT(notify_letters); i++) {
            classes |= *at == notify_letters[i].letter ? notify_letters[i].event_class : 0;
        }
    }
    /* Without a channel to publish it on no class is worth a record. */
    bool has_channel = (classes & (NOTIFY_KEYSPACE | NOTIFY_KEYEVENT)) != 0;
    shard->notify_classes = has_channel ? classes : 0;
}

void
notify_record(struct call *call, const struct view *view, const char *event)
{
    struct slice argv[] = {slice_of(event, strlen(event)), view->key};
    effects_append(call->events, view->db, view->slot, argv, 2);
    call->shard->interest |= INTEREST_EVENTS;
}

void
call_publish(struct call *call, const struct view *view, struct slice message)
{
    /* Outside of a transaction nothing is before it, and nothing has to be undone: no copy. */
    if (call->events == call->shard->events && call->events->count == 0 &&
        (call->flags & CALL_IN_MULTI) == 0) {
        pubsub_publish(call->shard, pubsub_view_kind(view->db), view->key, message);
        return;
    }
    struct slice argv[] = {view->key, message};
    effects_append(call->events, view->db, view->slot, argv, 2);
    call->shard->interest |= INTEREST_EVENTS;
}

/** Publish `message` on "<prefix><db>__:<rest>". */
static void
publish_on(struct shard *shard, const char *prefix, uint16_t db, struct slice rest,
           struct slice message)
{
    char on_stack[CHANNEL_SIZE_ON_STACK];
    size_t size_max = CHANNEL_PREFIX_SIZE_MAX + rest.size;
    char *channel = size_max <= sizeof(on_stack) ? on_stack : heap_alloc(size_max);
    int size = snprintf(channel, CHANNEL_PREFIX_SIZE_MAX, "%s%u__:", prefix, db);
    ASSERT(size > 0 && size < CHANNEL_PREFIX_SIZE_MAX);
    if (rest.size > 0) {
        memcpy(channel + size, rest.data, rest.size);
    }
    pubsub_publish(shard, TOPIC_CHANNEL, slice_of(channel, (size_t)size + rest.size), message);
    if (channel != on_stack) {
        heap_free(channel);
    }
}

static void
publish_event(struct shard *shard, uint16_t db, struct slice key, struct slice event)
{
    if ((shard->notify_classes & NOTIFY_KEYSPACE) != 0) {
        publish_on(shard, "__keyspace@", db, key, event);
    }
    if ((shard->notify_classes & NOTIFY_KEYEVENT) != 0) {
        publish_on(shard, "__keyevent@", db, event, key);
    }
}

void
notify_key(struct shard *shard, uint16_t db, struct slice key, uint32_t event_class,
           const char *event)
{
    if ((shard->notify_classes & event_class) != 0) {
        publish_event(shard, db, key, slice_of_string(event));
    }
}

void
notify_publish(struct shard *shard, struct effects *events)
{
    struct effect_reader reader;
    struct effect record;
    effect_reader_create(&reader, events);
    while (effect_read(&reader, &record)) {
        ASSERT(record.argc == 2);
        if (record.db >= VIEW_DB_CHANNEL) {
            pubsub_publish(shard, pubsub_view_kind(record.db), record.argv[0], record.argv[1]);
        } else {
            publish_event(shard, record.db, record.argv[1], record.argv[0]);
        }
    }
    effect_reader_destroy(&reader);
    effects_clear(events);
}
