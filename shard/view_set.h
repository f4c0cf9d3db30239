/*
 * view_set.h: the keys of one command line, each once, and who owns them.
 */
#pragma once

#include "shard/request.h"
#include "shard/view.h"

struct shard;

#define VIEW_SET_INLINE_COUNT 16

struct view_set {
    uint32_t declared_count; /* keys as the command line names them */
    uint32_t count;          /* different ones */
    uint16_t owner;          /* of all of them, when is_one_owner */
    bool is_one_owner;
    bool is_exclusive;  /* some key may be changed */
    struct view *views; /* [count]; not opened */
    uint32_t *declared; /* [declared_count]: index into views */
    struct view inline_views[VIEW_SET_INLINE_COUNT];
    uint32_t inline_declared[VIEW_SET_INLINE_COUNT];
};

/** Find the keys. False: the arguments do not name keys as the command wants (the handler will say
 * what is wrong with them: run it without views). view_set_destroy() in either case. */
bool view_set_create(struct view_set *set, const struct shard *shard,
                     const struct request *request);
/** The same, and behind the keys that the command line names, as declared ones, `extra`, which are
 * read only. */
bool view_set_create_grown(struct view_set *set, const struct shard *shard,
                           const struct request *request, const struct slice *extra,
                           uint32_t extra_count);
/** The same for queued commands [from, to), and the keys under WATCH behind them; notes in each
 * item where its keys are. False: there are no keys at all. */
bool view_set_create_multi(struct view_set *set, const struct shard *shard, struct multi *multi,
                           uint32_t from, uint32_t to);
void view_set_destroy(struct view_set *set);

/** What view_open() wants to find. */
static inline void
view_prepare(struct view *view, struct slice key, uint64_t hash, uint16_t slot, uint16_t owner,
             uint16_t db, uint16_t flags)
{
    view->key = key;
    view->hash = hash;
    view->slot = slot;
    view->owner = owner;
    view->db = db;
    view->flags = flags;
}
