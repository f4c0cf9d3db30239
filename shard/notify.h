/*
 * notify.h: keyspace notifications: what happened to which key, as messages on two channels,
 * __keyspace@<db>__:<key> and __keyevent@<db>__:<event>.
 * Handlers say call_event(); where nobody wants the class it costs one comparison. Events are
 * records in the order of the handlers' calls and are published by the key's owner, for a lent key
 * when it is back (LOANS: exact order for each key, none promised between keys of different cores).
 */
#pragma once

#include "shard/call.h"

/* Classes, with the letters of notify-keyspace-events. */
#define NOTIFY_KEYSPACE (1u << 0) /* K */
#define NOTIFY_KEYEVENT (1u << 1) /* E */
#define NOTIFY_GENERIC (1u << 2)  /* g */
#define NOTIFY_STRING (1u << 3)   /* $ */
#define NOTIFY_LIST (1u << 4)     /* l */
#define NOTIFY_SET (1u << 5)      /* s */
#define NOTIFY_HASH (1u << 6)     /* h */
#define NOTIFY_ZSET (1u << 7)     /* z */
#define NOTIFY_EXPIRED (1u << 8)  /* x */
#define NOTIFY_EVICTED (1u << 9)  /* e */
#define NOTIFY_STREAM (1u << 10)  /* t */
#define NOTIFY_MISS (1u << 11)    /* m; not in A */
#define NOTIFY_MODULE (1u << 12)  /* d */
#define NOTIFY_NEW (1u << 13)     /* n; not in A */

/** Keep the event for the owner to publish. */
void notify_record(struct call *call, const struct view *view, const char *event);

/** `event` ("lpush", "del" ...) happened to the view's key. After the change. */
static inline void
call_event(struct call *call, const struct view *view, uint32_t event_class, const char *event)
{
    if (UNLIKELY((call->shard->notify_classes & event_class) != 0)) {
        notify_record(call, view, event);
    }
}

/** The same for a command that has taken something out: then "del", if that was the last of it. */
static inline void
call_event_removal(struct call *call, const struct view *view, uint32_t event_class,
                   const char *event)
{
    call_event(call, view, event_class, event);
    if (!view_exists(view)) {
        call_event(call, view, NOTIFY_GENERIC, "del");
    }
}

/** The same where no handler runs (expiry, eviction): published at once. Owner thread. */
void notify_key(struct shard *shard, uint16_t db, struct slice key, uint32_t event_class,
                const char *event);

/** PUBLISH: send the message to those who receive from the view's channel, at once or when the
 * command's changes are carried out. */
void call_publish(struct call *call, const struct view *view, struct slice message);

/** notify-keyspace-events may have changed: at the start, and in each shard's part of CONFIG SET.
 */
void notify_configure(struct shard *shard);

/** Publish what call_event() and call_publish() have recorded for keys of this shard, in order, and
 * empty it. Owner thread. */
void notify_publish(struct shard *shard, struct effects *events);
