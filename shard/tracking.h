/*
 * tracking.h: client-side caching: who has read which keys of this shard, and telling them when
 * those are not what they were.
 * The owner of a key knows its readers, and the prefixes that sessions of any core want to hear
 * about; each core knows its own sessions. Owner thread only.
 */
#pragma once

#include "shard/shard.h"

struct call;
struct change;
struct command;
struct mail;
struct session;
struct view;

/* How a session tracks. */
#define TRACKING_ON (1u << 0)
#define TRACKING_BCAST (1u << 1)
#define TRACKING_OPTIN (1u << 2)
#define TRACKING_OPTOUT (1u << 3)
#define TRACKING_NOLOOP (1u << 4)
#define TRACKING_BROKEN (1u << 5) /* the session that it redirects to is gone */

/** shard->tracking. */
struct tracking;
struct tracking *tracking_new(uint32_t shard_count);
/** No session of the shard tracks any more; keys and prefixes of other cores' may be left. */
void tracking_delete(struct tracking *tracking);

/* ---- the owner of keys ---- */

/** A command of a tracking session has read its views: their commit registers it. `is_writer`: it
 * has not, but may change what was read before it in the same transaction. Where it runs. */
void tracking_mark(struct call *call, bool is_writer);
/** The view's commit: the session shard->actor_id of core shard->actor_core has read the key. */
void tracking_read(struct shard *shard, const struct view *view);
/** Who reads the key, or wants to hear of such keys, is told. */
void tracking_key_changed(struct shard *shard, const struct change *change);
/** A database, or all, are emptied: this core's sessions that track are told to drop everything,
 * and nothing is known of them any more. */
void tracking_flushed(struct shard *shard);
/** Free what FLUSHALL has left, and keep to tracking-table-max-keys. True: all is done. */
bool tracking_collect(struct shard *shard, uint32_t step_count_max);

/** A session of `core` wants to hear of keys that begin so (+1), or does not any more (-1). At each
 * shard. */
void tracking_prefix_count(struct shard *shard, struct slice prefix, uint32_t core, int32_t delta);

/** MAIL_TRACKING. */
void tracking_receive(struct shard *shard, struct mail *mail);

/* For INFO. Of the shard, but that each shard knows all prefixes. */
uint64_t tracking_key_count(const struct shard *shard);
uint64_t tracking_item_count(const struct shard *shard);
uint64_t tracking_prefix_total(const struct shard *shard);
uint64_t tracking_session_count(const struct shard *shard);

/* ---- sessions: on the core that holds the connection ---- */

/** Begin, or go on in another way: options with TRACKING_ON. The prefixes are new to it and counted
 * at all shards, here too. `redirect_id` 0: it is told itself. */
void tracking_start(struct session *session, uint32_t options, uint64_t redirect_id,
                    uint32_t redirect_core, const struct slice *prefixes, uint32_t prefix_count);
/** Tracking ends; at other shards by mail. */
void tracking_stop(struct session *session);
/** The session ends. */
void tracking_session_end(struct session *session);
/** TRACKING_ bits; 0: off. */
uint32_t tracking_options(const struct session *session);
/** Whom it redirects to; 0: nobody, -1: it does not track. */
int64_t tracking_redirect_id(const struct session *session);
uint32_t tracking_session_prefix_count(const struct session *session);
/** In ascending order. */
struct slice tracking_session_prefix(const struct session *session, uint32_t index);
/** The session sends a command (NULL: unknown): is what it reads to be tracked? Uses CLIENT CACHING
 * up. */
bool tracking_adopt(struct session *session, const struct command *command);
/** Is what the session's running command reads to be tracked? */
bool tracking_wants(const struct session *session);
/** CLIENT REDIRECT: is this a session of this core? It will be found when it is told something. */
bool tracking_redirect_find(struct shard *shard, uint64_t session_id);
/** The prefixes were counted at all shards in vain. */
void tracking_prefixes_take_back(struct shard *shard, const struct slice *prefixes, uint32_t count);
uint64_t tracking_memory_size(const struct session *session);
