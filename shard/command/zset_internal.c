/*
 * zset_internal.c: what the files of sorted set commands share.
 */
#include "shard/command/zset_internal.h"

/** So many digits are a double exactly, and most scores are such. */
#define SCORE_INTEGER_SIZE_MAX 15

void
zset_to_view(struct call *call, struct view *view, const struct zset *zset)
{
    view_object_edit(call, view, VALUE_ZSET, zset->encoding, zset->object);
    if (zset_count(zset) == 0) {
        view_delete(call, view);
    }
}

/** A small set is told member by member. A tree goes whole: filled step by step it would begin as a
 * listpack, where a negative zero gets lost. */
static void
zset_store_effect(struct call *call, struct view *view, const struct zset *zset, bool was_there)
{
    if (!call_has_effects(call)) {
        return;
    }
    if (zset->encoding != ENCODING_LISTPACK) {
        call_effect_value(call, view);
        return;
    }
    if (was_there) {
        call_effect_delete(call, view);
    }
    struct zset_effect effect;
    struct zset_walk walk;
    struct ztree_item item;
    zset_effect_start(&effect, call, view, SLICE("ZADD"));
    zset_walk_start(&walk, zset, 0, false);
    while (zset_next(&walk, &item)) {
        zset_effect_add(&effect, &item, true);
    }
    zset_effect_end(&effect);
}

void
zset_store(struct call *call, struct view *view, struct zset *zset, const char *event)
{
    uint64_t count = zset_count(zset);
    bool was_there = view_exists(view);
    if (count == 0) {
        zset_delete(zset);
        if (was_there) {
            call_effect_delete(call, view);
            view_delete(call, view);
            call_event(call, view, NOTIFY_GENERIC, "del");
        }
        reply_i64(call->reply, 0);
        return;
    }
    view_object_set(call, view, VALUE_ZSET, zset->encoding, zset->object);
    view_deadline_set(call, view, VIEW_NO_DEADLINE);
    zset_store_effect(call, view, zset, was_there);
    call_event(call, view, NOTIFY_ZSET, event);
    reply_i64(call->reply, (int64_t)count);
}

bool
zset_score_read(struct call *call, uint32_t index, double *score, const char *error)
{
    struct slice text = call->argv[index];
    int64_t integer;
    if (text.size <= SCORE_INTEGER_SIZE_MAX && number_parse_i64(text, &integer)) {
        *score = (double)integer;
        return true;
    }
    if (number_parse_double(text, score)) {
        return true;
    }
    reply_error(call->reply, error != NULL ? error : "ERR value is not a valid float");
    return false;
}

void
zset_array_reply(struct call *call, uint64_t count, bool has_scores)
{
    bool is_flat = has_scores && call->reply->protocol == 2;
    reply_array(call->reply, is_flat ? 2 * count : count);
}

void
zset_item_reply(struct call *call, const struct ztree_item *item, bool has_scores)
{
    if (!has_scores) {
        reply_bulk(call->reply, item->member);
        return;
    }
    if (call->reply->protocol > 2) {
        reply_array(call->reply, 2);
    }
    reply_bulk(call->reply, item->member);
    reply_double(call->reply, item->score);
}

/* ---- effects ---- */

void
zset_effect_start(struct zset_effect *effect, struct call *call, struct view *view,
                  struct slice command)
{
    effect->call = call;
    effect->view = view;
    effect->argc = 2;
    effect->count = 0;
    effect->argv[0] = command;
    effect->argv[1] = view->key;
}

void
zset_effect_end(struct zset_effect *effect)
{
    if (effect->count > 0) {
        call_effect(effect->call, effect->view, effect->argv, effect->argc);
    }
    effect->argc = 2;
    effect->count = 0;
}

void
zset_effect_add(struct zset_effect *effect, const struct ztree_item *item, bool has_score)
{
    if (!call_has_effects(effect->call)) {
        return;
    }
    struct slice member = item->member;
    if (member.size <= LISTPACK_DIGITS_SIZE) {
        /* It may be the digits of an integer, in a buffer that is used again. */
        char *copy = effect->members[effect->count];
        if (member.size > 0) {
            memcpy(copy, member.data, member.size);
        }
        member.data = copy;
    }
    if (has_score) {
        char *digits = effect->scores[effect->count];
        effect->argv[effect->argc++] = slice_of(digits, number_format_double(digits, item->score));
    }
    effect->argv[effect->argc++] = member;
    effect->count++;
    if (effect->count == ZSET_EFFECT_COUNT) {
        zset_effect_end(effect);
    }
}
