/*
 * subscriptions.h: what one session subscribes to. Owner: the core that holds the connection.
 */
#pragma once

#include "shard/pubsub.h"

#include <stdatomic.h>

struct lane;
struct mail;
struct command;
struct reply;
struct session;
struct subscription;
struct subscriptions;

/** A SUBSCRIBE or UNSUBSCRIBE that tells the shards that count: call->shared of the command. */
struct subscription_change {
    struct subscriptions *owner;
    enum topic_kind kind;
    bool is_removal;
    uint32_t count;
    uint32_t count_before; /* subscriptions of the kind that confirmations count, before it */
    struct subscription **items;
    uint16_t *homes; /* of the items */
    /** The last message of each shard that was published before the shard counted the change;
     * UINT64_MAX: it has not yet. Written by the shard's part. */
    _Atomic uint64_t counted_after_ids[];
};

/** Subscribe the session to what is new to it among the names. Its messages come from now on, in
 * the session's lane behind whatever is owed now. */
struct subscription_change *subscriptions_add(struct session *session, enum topic_kind kind,
                                              const struct slice *names, uint32_t count);
/** Prepare to take off what it has of the names; `count` 0: all of the kind. */
struct subscription_change *subscriptions_remove(struct session *session, enum topic_kind kind,
                                                 const struct slice *names, uint32_t count);
/** Can this core count it alone? Then subscription_change_count() and -_end() may follow at once.
 */
bool subscription_change_is_local(const struct shard *shard,
                                  const struct subscription_change *change);
/** On each shard: count what is to be counted there. `core` is the session's. */
void subscription_change_count(struct shard *shard, struct subscription_change *change,
                               uint32_t core);
/** All shards have counted: removals take place. */
void subscription_change_end(struct subscription_change *change);
void subscription_change_delete(struct subscription_change *change);
struct slice subscription_change_name(const struct subscription_change *change, uint32_t index);

/** May a session that subscribes, or monitors, say this? */
bool subscriptions_allow(const struct session *session, const struct command *command);
/** If not: replies the error, and returns true. */
bool subscriptions_refuse(const struct session *session, const struct command *command,
                          struct reply *reply);

/** Channels and patterns, or shard channels: the number in confirmations of this kind. */
uint32_t subscriptions_count(const struct session *session, enum topic_kind kind);
/** Of one kind. */
uint32_t subscriptions_kind_count(const struct session *session, enum topic_kind kind);
uint64_t subscriptions_memory_size(const struct session *session);

/** Take everything back, at the other shards by mail. */
void subscriptions_end(struct session *session);
/** MAIL_UNSUBSCRIBE. */
void subscriptions_receive(struct shard *shard, struct mail *mail);

/** Does a message with this id, published at `from`, reach a subscriber whose change is under way?
 */
bool subscription_hears(const struct subscription *subscription, uint32_t from, uint64_t id);
