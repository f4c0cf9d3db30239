/*
 * view.c: what a command sees of one key, and how that becomes the key's new state.
 * A view is filled once by the key's owner, then read and changed by the handlers of a command or a
 * whole transaction, on whatever core they run, then carried into the keyspace by the owner again:
 *
 *     owner: view_open      any core: handlers                 owner: view_commit
 *     entry ---value--->  [ value, deadline, flags ]  ---changes--->  keyspace_put, _remove ...
 *
 * Invariants. Until the commit, `value` points to memory that is there all the time: the entry
 * (nobody else changes it while it is lent), arguments, scratch, or a raw. A raw that a view made
 * hangs on `fresh_raw` and counts in nobody's memory account: whoever ends its life or commits it
 * adopts it first, so that a raw made on one core and stored by another is counted once, by the
 * right one.
 *
 * A collection is no copy of anything: while the view is open it belongs to the view, and handlers
 * change, free or hand it on where they run. The entry keeps its old address meanwhile, which
 * nobody follows, and the owner's account its old size (`object_size`); the commit puts both right.
 * A view that still holds the collection when it is overwritten frees it.
 *
 * One thing is done before the commit: when the core that runs the command owns the key, APPEND and
 * SETRANGE change the entry's own bytes at once. Otherwise each append to a large string would copy
 * it. A borrower copies: it can know neither the owner's heap nor its pins.
 *
 * Rejected: a change list that the commit replays (a handler would have to read through it), and
 * counting references in values (an atomic for each GET, to serve the rare ones that cross cores).
 */
#include "shard/view.h"

#include "core/number.h"
#include "shard/call.h"
#include "shard/change.h"
#include "shard/commandlog.h"
#include "shard/durable.h"
#include "shard/effect.h"
#include "shard/lock.h"
#include "shard/notify.h"
#include "shard/pin.h"
#include "shard/pubsub.h"
#include "shard/snapshot.h"
#include "shard/tracking.h"
#include "shard/value/object.h"
#include "shard/watch.h"

/** Longest string with the encoding embstr: what redis-server fits in one 64-byte block. */
#define VIEW_EMBSTR_SIZE_MAX 44

/** No integer is longer. */
#define VIEW_INTEGER_SIZE_MAX 20

/** Redis's start for a new key: above what one access brings, so that it survives its first
 * minutes. */
#define VIEW_LFU_START 5

/* ---- access clocks ---- */

static uint32_t
view_lfu_minutes(const struct shard *shard)
{
    return (uint32_t)((uint64_t)shard->now_ms / 60000) & 0xffff;
}

/** The counter after the decay that is due: one less for each lfu-decay-time minutes of rest. */
uint32_t
view_frequency(const struct shard *shard, uint32_t access)
{
    uint32_t counter = access & 0xff;
    uint32_t minutes_passed = (view_lfu_minutes(shard) - (access >> 8)) & 0xffff;
    int64_t decay_time_min = shard->config->lfu_decay_time_min;
    uint64_t decay = decay_time_min <= 0 ? 0 : minutes_passed / (uint64_t)decay_time_min;
    return decay > counter ? 0 : counter - (uint32_t)decay;
}

uint64_t
view_idle_s(const struct shard *shard, uint32_t access)
{
    return (view_access_clock_s(shard) - access) & 0xffffff;
}

uint32_t
view_access_next_lfu(struct shard *shard, uint32_t access)
{
    uint32_t counter = view_frequency(shard, access);
    if (counter < 255) {
        double base = counter <= VIEW_LFU_START ? 0.0 : (double)(counter - VIEW_LFU_START);
        double bound = base * (double)shard->config->lfu_log_factor + 1.0;
        /* A number below 1 from 53 random bits. */
        double chance = (double)(random_next(&shard->random) >> 11) * 0x1p-53;
        if (chance * bound < 1.0) {
            counter++;
        }
    }
    return view_lfu_minutes(shard) << 8 | counter;
}

static uint32_t
view_access_next(struct shard *shard, uint32_t access)
{
    return view_is_lfu(shard) ? view_access_next_lfu(shard, access) : view_access_clock_s(shard);
}

static uint32_t
view_access_initial(const struct shard *shard)
{
    return view_is_lfu(shard) ? view_lfu_minutes(shard) << 8 | VIEW_LFU_START
                              : view_access_clock_s(shard);
}

/* ---- the owner ---- */

static void
view_set_absent(struct view *view)
{
    view->value.type = VALUE_NONE;
    view->value.is_object = false;
    view->value.raw = NULL;
    view->deadline_ms = VIEW_NO_DEADLINE;
}

/** The key's time is over: out with it, unless others are reading it right now (then its end comes
 * with theirs), or it would take a snapshot long to write it first. */
static __attribute__((noinline)) void
view_open_expired(struct shard *shard, struct view *view)
{
    struct entry *entry = view->entry;
    view->entry = NULL;
    view_set_absent(view);
    if (entry_is_lent(entry)) {
        ASSERT((view->flags & VIEW_EXCLUSIVE) == 0);
        return;
    }
    if (UNLIKELY(shard->snapshot != NULL) && (view->flags & VIEW_EXCLUSIVE) == 0 &&
        snapshot_puts_off(shard, view->db, entry)) {
        return;
    }
    shard_key_expired(shard, view->db, view->slot, view->hash, entry);
}

void
view_hide(struct view *view)
{
    view->fresh_raw = NULL;
    view->moved_from = NULL;
    view->pin_count = 0;
    view->object_size = 0;
    view->entry = NULL;
    view_set_absent(view);
}

/** A name that is no key: who would get what is published on it now. */
static void
view_open_channel(struct shard *shard, struct view *view)
{
    view_hide(view);
    view->receiver_count =
        pubsub_receiver_count(shard, pubsub_view_kind(view->db), view->key, view->hash);
}

void
view_open(struct shard *shard, struct view *view)
{
    if (UNLIKELY(view_is_channel(view))) {
        view_open_channel(shard, view);
    } else {
        view_open_key(shard, view);
    }
}

void
view_open_key(struct shard *shard, struct view *view)
{
    ASSERT(view->owner == shard->index && !view_is_channel(view));
    view->fresh_raw = NULL;
    view->moved_from = NULL;
    view->pin_count = 0;
    view->object_size = 0;
    durable_seen(&shard->durable, view->slot);
    struct entry *entry =
        keyspace_find(&shard->keyspace, view->db, view->slot, view->key, view->hash);
    view->entry = entry;
    if (entry == NULL) {
        view_set_absent(view);
        return;
    }
    view->deadline_ms = entry_deadline_ms(entry);
    if (UNLIKELY(view->deadline_ms != VIEW_NO_DEADLINE &&
                 view->deadline_ms <= shard_deadline_now(shard))) {
        view_open_expired(shard, view);
        return;
    }
    if (UNLIKELY(shard->snapshot != NULL) && (view->flags & VIEW_EXCLUSIVE) != 0) {
        snapshot_before_change(shard, view->db, entry);
        if (UNLIKELY(lock_shard_is_lent(shard->locks))) {
            snapshot_finish_image(shard, entry);
        }
    }
    view->access = entry_access(entry);
    entry_value(entry, &view->value);
    if (view->value.is_object) {
        view->object_size = object_size(view->value.object);
        return;
    }
    if (UNLIKELY(view->value.raw != NULL && view->value.raw->pin_count > 0)) {
        view->flags |= VIEW_PINNED;
    }
}

/** Take the entry out of the keyspace without what another view has got of it. */
static void
view_commit_taken(struct shard *shard, struct view *view)
{
    struct value taken;
    keyspace_take(&shard->keyspace, view->db, view->slot, view->hash, view->entry, &taken);
    if (taken.raw != NULL) {
        memory_disown(&shard->memory, raw_block_size(taken.raw));
    }
    view->entry = NULL;
}

/** The entry had a collection. What has become of that, the handlers have seen to. True: the new
 * value is a collection, too, and all is done. */
static bool
view_commit_object(struct shard *shard, struct view *view)
{
    struct keyspace *keyspace = &shard->keyspace;
    uint64_t old_size = view->object_size;
    view->object_size = 0;
    if (!view->value.is_object) {
        keyspace_object_release(keyspace, view->db, view->slot, view->entry, old_size);
        return false;
    }
    view->entry = keyspace_object_set(keyspace, view->db, view->slot, view->hash, view->entry,
                                      &view->value, old_size);
    if (entry_deadline_ms(view->entry) != view->deadline_ms) {
        view->entry = keyspace_deadline_set(keyspace, view->db, view->slot, view->hash, view->entry,
                                            view->deadline_ms);
    }
    return true;
}

static void
view_commit_value(struct shard *shard, struct view *view)
{
    struct keyspace *keyspace = &shard->keyspace;
    if (view->object_size != 0 && view_commit_object(shard, view)) {
        return;
    }
    if (view->value.type == VALUE_NONE) {
        ASSERT(view->fresh_raw == NULL && view->moved_from == NULL);
        if (view->entry != NULL) {
            keyspace_remove(keyspace, view->db, view->slot, view->hash, view->entry);
            view->entry = NULL;
        }
        return;
    }
    if (view->value.raw != NULL && (view->fresh_raw != NULL || view->moved_from != NULL)) {
        memory_adopt(&shard->memory, raw_block_size(view->value.raw));
    }
    view->fresh_raw = NULL;
    view->moved_from = NULL;
    bool is_new = view->entry == NULL;
    view->entry = keyspace_put(keyspace, view->db, view->slot, view->hash, view->key, view->entry,
                               &view->value, view->deadline_ms);
    if (is_new) {
        entry_access_set(view->entry, view_access_initial(shard));
    }
}

static void
view_tell_change(struct shard *shard, const struct view *view, bool was_there)
{
    struct change change = {
        .key = view->key,
        .hash = view->hash,
        .db = view->db,
        .slot = view->slot,
        .type = view->entry == NULL ? VALUE_NONE : view->value.type,
        .session_id = shard->actor_id,
        .is_quiet = (view->flags & (VIEW_VALUE | VIEW_DEADLINE | VIEW_EDITED)) == 0,
    };
    if (was_there || view->entry != NULL) {
        change_tell(shard, &change);
    } else if ((shard->interest & INTEREST_TRACKING) != 0) {
        /* It came and went in one transaction, which may have read it meanwhile. */
        tracking_key_changed(shard, &change);
    }
}

/** What the session that commands it wants to hear of from before its own change on. */
static __attribute__((noinline)) void
view_commit_session(struct shard *shard, const struct view *view)
{
    if ((view->flags & VIEW_WATCH) != 0) {
        watch_add(shard, shard->actor_id, view->db, view->key, view->hash);
    }
    if ((view->flags & VIEW_TRACK_BEFORE) != 0) {
        tracking_read(shard, view);
    }
}

void
view_commit_changes(struct shard *shard, struct view *view)
{
    ASSERT(view->owner == shard->index);
    uint16_t flags = view->flags;
    bool was_there = view->entry != NULL;
    if (view->pin_count > 0) {
        struct value value;
        entry_value(view->entry, &value);
        ASSERT(value.raw != NULL);
        value.raw->pin_count += view->pin_count;
        view->pin_count = 0;
    }
    if ((flags & VIEW_TAKEN) != 0) {
        view_commit_taken(shard, view);
    }
    if (UNLIKELY((flags & (VIEW_WATCH | VIEW_TRACK_BEFORE)) != 0)) {
        view_commit_session(shard, view);
    }
    if ((flags & (VIEW_VALUE | VIEW_QUIET)) != 0) {
        view_commit_value(shard, view);
    } else if ((flags & VIEW_DEADLINE) != 0) {
        view->entry = keyspace_deadline_set(&shard->keyspace, view->db, view->slot, view->hash,
                                            view->entry, view->deadline_ms);
    }
    struct slot *slot = keyspace_slot(&shard->keyspace, view->db, view->slot);
    bool is_changed = (flags & (VIEW_VALUE | VIEW_DEADLINE | VIEW_EDITED | VIEW_QUIET)) != 0;
    if (slot != NULL) {
        slot->write_count += is_changed;
        slot->read_count += !is_changed;
    }
    shard->change_count += is_changed;
    if (UNLIKELY(shard->interest != 0) && is_changed) {
        view_tell_change(shard, view, was_there);
    }
    if (UNLIKELY((flags & VIEW_TRACK) != 0)) {
        tracking_read(shard, view);
    }
    if (view->entry == NULL) {
        return;
    }
    if ((flags & VIEW_ACCESS) != 0) {
        entry_access_set(view->entry, view->access);
    } else if (was_there && (flags & VIEW_NO_TOUCH) == 0) {
        entry_access_set(view->entry, view_access_next(shard, view->access));
    }
}

/* ---- handlers: any type ---- */

/** The view's own new value, or its collection, is not wanted any more. */
static void
view_drop(struct call *call, struct view *view)
{
    if (view->fresh_raw != NULL) {
        memory_adopt(&call->shard->memory, raw_block_size(view->fresh_raw));
        raw_delete(&call->shard->memory, view->fresh_raw);
        view->fresh_raw = NULL;
    }
    if (view->moved_from != NULL) {
        /* Its entry still holds it, and now frees it. */
        view->moved_from->flags &= (uint16_t)~VIEW_TAKEN;
        view->moved_from = NULL;
    }
    if (view->value.is_object) {
        keyspace_object_drop(&call->shard->keyspace, &view->value);
        view->value.is_object = false;
    }
}

static inline void
view_change(struct call *call, struct view *view)
{
    ASSERT((view->flags & VIEW_EXCLUSIVE) != 0);
    if (UNLIKELY(view->fresh_raw != NULL || view->moved_from != NULL || view->value.is_object)) {
        view_drop(call, view);
    }
    view->flags |= VIEW_VALUE;
}

/** view_change() to a value. A key that comes into being says so before its command does. */
static inline void
view_replace(struct call *call, struct view *view)
{
    if (!view_exists(view)) {
        call_event(call, view, NOTIFY_NEW, "new");
    }
    view_change(call, view);
}

void
view_delete(struct call *call, struct view *view)
{
    view_change(call, view);
    view_set_absent(view);
}

void
view_deadline_set(struct call *call, struct view *view, int64_t deadline_ms)
{
    ASSERT((view->flags & VIEW_EXCLUSIVE) != 0);
    ASSERT(view_exists(view));
    if (view->deadline_ms != deadline_ms) {
        view->deadline_ms = deadline_ms;
        view->flags |= VIEW_DEADLINE;
    }
}

void
view_expire(struct call *call, struct view *view)
{
    if (!view_exists(view) || view->deadline_ms == VIEW_NO_DEADLINE ||
        view->deadline_ms > call->now_ms) {
        return;
    }
    if ((view->flags & VIEW_EXCLUSIVE) != 0) {
        view_delete(call, view);
        call->shard->counters.expired_count++;
        call_effect_delete(call, view);
        call_event(call, view, NOTIFY_EXPIRED, "expired");
    } else {
        /* Read together with others: nobody may change it, so its owner removes it when it is back.
         */
        view_set_absent(view);
    }
}

bool
view_check_type(struct call *call, const struct view *view, enum value_type type)
{
    if (LIKELY(view->value.type == type || view->value.type == VALUE_NONE)) {
        return true;
    }
    call_wrong_type_error(call);
    return false;
}

static void
view_value_take(struct call *call, struct view *view, const struct value *value)
{
    ASSERT(value->type != VALUE_NONE);
    view_change(call, view);
    view->value = *value;
    view->fresh_raw = value->raw;
}

void
view_value_set(struct call *call, struct view *view, const struct value *value)
{
    if (!view_exists(view)) {
        call_event(call, view, NOTIFY_NEW, "new");
    }
    view_value_take(call, view, value);
}

void
view_value_drop(struct call *call, struct value *value)
{
    if (value->raw != NULL && !value->is_object) {
        memory_adopt(&call->shard->memory, raw_block_size(value->raw));
        raw_delete(&call->shard->memory, value->raw);
    }
    if (value->is_object) {
        keyspace_object_drop(&call->shard->keyspace, value);
    }
    *value = (struct value){.type = VALUE_NONE};
}

struct value
view_value_copy(struct call *call, const struct view *from)
{
    const struct value *value = &from->value;
    if (value->is_object) {
        return value_object_copy(value);
    }
    ASSERT(value->type == VALUE_STRING);
    if (value->encoding == ENCODING_INT) {
        return *value;
    }
    size_t size = value->bytes.size;
    struct value copy = value_string(value->bytes, value->encoding);
    if (size <= ENTRY_INLINE_SIZE_MAX) {
        char *bytes = call_scratch(call, size);
        if (size > 0) {
            memcpy(bytes, value->bytes.data, size);
        }
        copy.bytes = slice_of(bytes, size);
        return copy;
    }
    copy.raw = raw_new(&call->shard->memory, size, size);
    memory_disown(&call->shard->memory, raw_block_size(copy.raw));
    memcpy(copy.raw->data, value->bytes.data, size);
    copy.bytes = raw_bytes(copy.raw);
    return copy;
}

/** Can the raw of `from` go to `to` as it is? */
static bool
view_is_movable(const struct view *from, const struct view *to)
{
    if (from->value.raw == NULL) {
        return false;
    }
    if (from->fresh_raw != NULL) {
        return true;
    }
    /* Who pinned it will unpin it at its old owner. */
    const struct view *source = from->moved_from != NULL ? from->moved_from : from;
    return source->owner == to->owner ||
           ((source->flags & VIEW_PINNED) == 0 && source->pin_count == 0);
}

void
view_value_move(struct call *call, struct view *from, struct view *to)
{
    ASSERT(from != to && view_exists(from));
    int64_t deadline_ms = from->deadline_ms;
    /* A key that it replaces counts as another one. */
    call_event(call, to, NOTIFY_NEW, "new");
    if (from->value.is_object) {
        struct value value = from->value;
        view_value_take(call, to, &value);
        /* Else view_delete() would free it. */
        from->value.is_object = false;
    } else if (view_is_movable(from, to)) {
        struct value value = from->value;
        view_change(call, to);
        to->value = value;
        if (from->fresh_raw != NULL) {
            to->fresh_raw = from->fresh_raw;
            from->fresh_raw = NULL;
        } else if (from->moved_from != NULL) {
            to->moved_from = from->moved_from;
            from->moved_from = NULL;
        } else {
            from->flags |= VIEW_TAKEN;
            to->moved_from = from;
        }
    } else {
        struct value value = view_value_copy(call, from);
        view_value_take(call, to, &value);
    }
    to->deadline_ms = deadline_ms;
    to->access = view_access_next(call->shard, from->access);
    to->flags |= VIEW_DEADLINE | VIEW_ACCESS;
    view_delete(call, from);
}

/* ---- handlers: collections ---- */

void
view_object_edit(struct call *call, struct view *view, enum value_type type,
                 enum value_encoding encoding, void *object)
{
    ASSERT((view->flags & VIEW_EXCLUSIVE) != 0);
    ASSERT(view->value.type == (uint8_t)type || view->value.type == VALUE_NONE);
    ASSERT(view->fresh_raw == NULL && view->moved_from == NULL);
    if (!view_exists(view)) {
        call_event(call, view, NOTIFY_NEW, "new");
    }
    view->value = value_object(type, encoding, object);
    view->flags |= VIEW_VALUE;
}

void
view_object_edit_quiet(struct view *view, enum value_type type, enum value_encoding encoding,
                       void *object)
{
    ASSERT((view->flags & VIEW_EXCLUSIVE) != 0);
    ASSERT(view->value.is_object && view->value.type == (uint8_t)type);
    view->value = value_object(type, encoding, object);
    view->flags |= VIEW_QUIET;
}

void
view_object_set(struct call *call, struct view *view, enum value_type type,
                enum value_encoding encoding, void *object)
{
    ASSERT(!view->value.is_object || view->value.object != object);
    view_replace(call, view);
    view->value = value_object(type, encoding, object);
}

/* ---- handlers: strings ---- */

struct slice
view_string(const struct view *view, char digits[24])
{
    if (view->value.type == VALUE_NONE) {
        return (struct slice){.data = digits, .size = 0};
    }
    ASSERT(view->value.type == VALUE_STRING);
    if (view->value.encoding == ENCODING_INT) {
        return slice_of(digits, number_format_i64(digits, view->value.integer));
    }
    return view->value.bytes;
}

size_t
view_string_size(const struct view *view)
{
    char digits[24];
    return view_string(view, digits).size;
}

void
view_text_set(struct call *call, struct view *view, struct slice bytes)
{
    /* Before the old raw is dropped: the bytes may be in it. */
    struct raw *dropped = view->fresh_raw;
    ASSERT(dropped == NULL || bytes.data < dropped->data ||
           bytes.data >= dropped->data + dropped->capacity);
    view_replace(call, view);
    view->value =
        value_string(bytes, bytes.size <= VIEW_EMBSTR_SIZE_MAX ? ENCODING_EMBSTR : ENCODING_RAW);
    struct raw *large = call->large_raw;
    if (UNLIKELY(large != NULL && large->data == bytes.data && large->size == bytes.size)) {
        commandlog_arm(call->shard);
        call->large_raw = NULL;
        view->fresh_raw = large;
        view->value.raw = large;
    }
}

void
view_integer_set(struct call *call, struct view *view, int64_t value)
{
    view_replace(call, view);
    view->value = value_integer(value);
}

void
view_string_set(struct call *call, struct view *view, struct slice bytes)
{
    int64_t integer;
    if (bytes.size <= VIEW_INTEGER_SIZE_MAX && number_parse_i64(bytes, &integer)) {
        view_integer_set(call, view, integer);
    } else {
        view_text_set(call, view, bytes);
    }
}

void
view_string_reply(struct call *call, struct view *view)
{
    const struct value *value = &view->value;
    if (value->type == VALUE_NONE) {
        reply_null(call->reply);
        return;
    }
    ASSERT(value->type == VALUE_STRING);
    if (value->encoding == ENCODING_INT) {
        reply_bulk_i64(call->reply, value->integer);
        return;
    }
    if (LIKELY(value->bytes.size < OUTPUT_EXTERNAL_SIZE_MIN || value->raw == NULL) ||
        view->fresh_raw != NULL || view->moved_from != NULL || call->reply->is_muted) {
        reply_bulk(call->reply, value->bytes);
        return;
    }
    commandlog_arm(call->shard);
    if (view->owner == call->shard->index) {
        raw_pin(value->raw);
        view->flags |= VIEW_PINNED;
    } else {
        view->pin_count++;
    }
    struct shard *holder = call->shard->node->shards[call->coordinator];
    reply_bulk_external(call->reply, value->bytes, pin_new(holder, view->owner, value->raw));
}

/** A copy of the string in new memory that will be the view's value. */
static char *
view_string_renew(struct call *call, struct view *view, size_t size)
{
    char digits[24];
    struct slice old = view_string(view, digits);
    size_t kept_size = MIN(old.size, size);
    struct memory *memory = &call->shard->memory;
    char *data;
    struct raw *raw = NULL;
    if (view->fresh_raw != NULL) {
        raw = view->fresh_raw;
        memory_adopt(memory, raw_block_size(raw));
        raw = raw_writable(memory, raw);
        if (size > raw->capacity) {
            raw = raw_grow(memory, raw, size);
        }
        view->fresh_raw = NULL;
        raw->size = size;
        data = raw->data;
    } else if (size <= ENTRY_INLINE_SIZE_MAX) {
        data = call_scratch(call, size);
        memcpy(data, old.data, kept_size);
    } else {
        raw = raw_new(memory, size, size);
        data = raw->data;
        memcpy(data, old.data, kept_size);
    }
    memset(data + kept_size, 0, size - kept_size);
    view_replace(call, view);
    view->value = value_string(slice_of(data, size), ENCODING_RAW);
    if (raw != NULL) {
        memory_disown(memory, raw_block_size(raw));
        view->value.raw = raw;
        view->fresh_raw = raw;
    }
    return data;
}

char *
view_string_edit(struct call *call, struct view *view, size_t size)
{
    ASSERT((view->flags & VIEW_EXCLUSIVE) != 0);
    bool is_in_place = view->owner == call->shard->index && view->entry != NULL &&
                       (view->flags & VIEW_VALUE) == 0 && view->value.encoding != ENCODING_INT;
    if (!is_in_place) {
        return view_string_renew(call, view, size);
    }
    char *data;
    view->entry = keyspace_string_resize(&call->shard->keyspace, view->db, view->slot, view->hash,
                                         view->entry, ENCODING_RAW, size, &data);
    view->flags |= VIEW_EDITED;
    entry_value(view->entry, &view->value);
    return data;
}
