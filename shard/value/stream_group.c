#include "shard/value/stream_internal.h"

/*
 * stream_group.c: groups of consumers, and what was delivered to whom and not acknowledged yet.
 *
 *     stream -> groups [ "a" | "b" ]                               sorted by name
 *                         |
 *                         +-> pending:   1-0 {when, how often, who}     by id, for the group
 *                         |              2-0 {when, how often, who}
 *                         +-> consumers [ "ann" | "bob" ]          sorted by name
 *                                           |
 *                                           +-> pending: 1-0       by id, for the consumer
 *
 * An entry is pending in two orders: the group's tree has all that is known of it, the consumer's
 * only its id. So nothing is allocated for each pending entry, and what is looked up by consumer is
 * found in the group's tree.
 *
 * How far a group has come (read_count) is kept where it can be: it counts along as entries are
 * delivered, and where somebody set the group's last id it is known only for the stream's first and
 * last entries, and while nothing was deleted on the way. The rules are redis-server's, for the
 * numbers show in XINFO and travel in files.
 *
 * Invariants: a consumer's pending ids are in the group's pending entries with this consumer, and
 * the other way round; but while a stream is loaded, entries may have no consumer yet.
 *
 * Rejected: trees for groups and consumers (an array of pointers takes a few microseconds to insert
 * into at 10,000 names, and hardly anybody has ten).
 */

/* ---- arrays of pointers, sorted by name ---- */

/** Room for one more pointer. */
static void *
array_grow(struct stream *stream, void *array, uint32_t count, uint32_t *capacity)
{
    if (count < *capacity) {
        return array;
    }
    uint32_t grown = *capacity == 0 ? 1 : *capacity * 2;
    array =
        object_realloc(&stream->object, array, *capacity * sizeof(void *), grown * sizeof(void *));
    *capacity = grown;
    return array;
}

/** Where a group of this name is, or would be. */
static uint32_t
group_search(const struct stream *stream, struct slice name, bool *is_there)
{
    uint32_t low = 0;
    uint32_t high = stream->group_count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        int order = slice_compare(stream_group_name(stream->groups[middle]), name);
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    *is_there =
        low < stream->group_count && slice_equal(stream_group_name(stream->groups[low]), name);
    return low;
}

static uint32_t
consumer_search(const struct stream_group *group, struct slice name, bool *is_there)
{
    uint32_t low = 0;
    uint32_t high = group->consumer_count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        int order = slice_compare(stream_consumer_name(group->consumers[middle]), name);
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    *is_there = low < group->consumer_count &&
                slice_equal(stream_consumer_name(group->consumers[low]), name);
    return low;
}

/* ---- groups ---- */

static inline size_t
group_block_size(const struct stream_group *group)
{
    return sizeof(*group) + group->name_size;
}

static inline size_t
consumer_block_size(const struct stream_consumer *consumer)
{
    return sizeof(*consumer) + consumer->name_size;
}

/** With all that is in it. */
static uint64_t
group_size(const struct stream_group *group)
{
    uint64_t size = memory_class_size(group_block_size(group)) + group->pending.size;
    if (group->consumers != NULL) {
        size += memory_class_size(group->consumer_capacity * sizeof(void *));
    }
    for (uint32_t i = 0; i < group->consumer_count; i++) {
        const struct stream_consumer *consumer = group->consumers[i];
        size += memory_class_size(consumer_block_size(consumer)) + consumer->pending.size;
    }
    return size;
}

struct stream_group *
stream_group_find(const struct stream *stream, struct slice name)
{
    bool is_there;
    uint32_t index = group_search(stream, name, &is_there);
    return is_there ? stream->groups[index] : NULL;
}

static void
group_insert(struct stream *stream, uint32_t index, struct stream_group *group)
{
    stream->groups =
        array_grow(stream, stream->groups, stream->group_count, &stream->group_capacity);
    memmove(stream->groups + index + 1, stream->groups + index,
            (stream->group_count - index) * sizeof(group));
    stream->groups[index] = group;
    stream->group_count++;
}

struct stream_group *
stream_group_create(struct stream *stream, struct slice name, struct stream_id last_id,
                    int64_t read_count)
{
    bool is_there;
    uint32_t index = group_search(stream, name, &is_there);
    if (is_there) {
        return NULL;
    }
    ASSERT(name.size <= UINT32_MAX);
    struct stream_group *group = object_alloc(&stream->object, sizeof(*group) + name.size);
    *group = (struct stream_group){
        .last_id = last_id, .read_count = read_count, .name_size = (uint32_t)name.size};
    stream_tree_create(&group->pending, sizeof(struct stream_pending));
    if (name.size > 0) {
        memcpy(group->name, name.data, name.size);
    }
    group_insert(stream, index, group);
    return group;
}

struct stream *
stream_group_take(struct stream *stream, struct stream_group *group)
{
    bool is_there;
    uint32_t index = group_search(stream, stream_group_name(group), &is_there);
    ASSERT(is_there && stream->groups[index] == group);
    stream->group_count--;
    memmove(stream->groups + index, stream->groups + index + 1,
            (stream->group_count - index) * sizeof(group));
    uint64_t size = group_size(group);
    struct stream *rest = stream_new();
    group_insert(rest, 0, group);
    rest->object.size += size;
    stream->object.size -= size;
    return rest;
}

static void
consumer_free(struct stream *stream, struct stream_consumer *consumer)
{
    ASSERT(consumer->pending.root == NULL);
    object_free(&stream->object, consumer, consumer_block_size(consumer));
}

bool
stream_group_free_steps(struct stream *stream, struct stream_group *group, uint32_t step_count_max)
{
    ASSERT(step_count_max > 0);
    if (group->pending.root != NULL) {
        /* The next step goes on: one tree at a time. */
        stream_tree_free_steps(&stream->object, &group->pending, step_count_max);
        return false;
    }
    for (; group->consumer_count > 0 && step_count_max > 0; step_count_max--) {
        struct stream_consumer *consumer = group->consumers[group->consumer_count - 1];
        if (consumer->pending.root != NULL) {
            stream_tree_free_steps(&stream->object, &consumer->pending, step_count_max);
            return false;
        }
        consumer_free(stream, consumer);
        group->consumer_count--;
    }
    if (group->consumer_count > 0) {
        return false;
    }
    object_free(&stream->object, group->consumers, group->consumer_capacity * sizeof(void *));
    object_free(&stream->object, group, group_block_size(group));
    return true;
}

static void
consumer_copy(struct stream *stream, struct stream_group *group, const struct stream_consumer *from)
{
    struct stream_consumer *consumer =
        stream_consumer_create(stream, group, stream_consumer_name(from), from->seen_ms);
    for (struct stream_place at = stream_tree_first(&from->pending); at.leaf != NULL;
         at = stream_place_next(at)) {
        bool is_assigned = stream_pending_assign(stream, group, stream_place_id(at), consumer);
        ASSERT(is_assigned);
    }
}

void
stream_groups_copy(struct stream *stream, const struct stream *from)
{
    for (uint32_t i = 0; i < from->group_count; i++) {
        const struct stream_group *group_from = from->groups[i];
        struct stream_group *group = stream_group_create(
            stream, stream_group_name(group_from), group_from->last_id, group_from->read_count);
        for (struct stream_place at = stream_tree_first(&group_from->pending); at.leaf != NULL;
             at = stream_place_next(at)) {
            const struct stream_pending *pending_from = stream_pending_at(at);
            struct stream_pending *pending =
                stream_pending_add(stream, group, stream_place_id(at), NULL);
            pending->delivery_ms = pending_from->delivery_ms;
            pending->delivery_count = pending_from->delivery_count;
        }
        for (uint32_t j = 0; j < group_from->consumer_count; j++) {
            consumer_copy(stream, group, group_from->consumers[j]);
        }
    }
}

/* ---- consumers ---- */

struct stream_consumer *
stream_consumer_find(const struct stream_group *group, struct slice name)
{
    bool is_there;
    uint32_t index = consumer_search(group, name, &is_there);
    return is_there ? group->consumers[index] : NULL;
}

struct stream_consumer *
stream_consumer_create(struct stream *stream, struct stream_group *group, struct slice name,
                       int64_t seen_ms)
{
    bool is_there;
    uint32_t index = consumer_search(group, name, &is_there);
    if (is_there) {
        return NULL;
    }
    ASSERT(name.size <= UINT32_MAX);
    struct stream_consumer *consumer = object_alloc(&stream->object, sizeof(*consumer) + name.size);
    *consumer = (struct stream_consumer){.seen_ms = seen_ms, .name_size = (uint32_t)name.size};
    stream_tree_create(&consumer->pending, 0);
    if (name.size > 0) {
        memcpy(consumer->name, name.data, name.size);
    }
    group->consumers =
        array_grow(stream, group->consumers, group->consumer_count, &group->consumer_capacity);
    memmove(group->consumers + index + 1, group->consumers + index,
            (group->consumer_count - index) * sizeof(consumer));
    group->consumers[index] = consumer;
    group->consumer_count++;
    return consumer;
}

/** All that is pending is this consumer's: both trees go to a group of their own. */
static struct stream *
pending_take(struct stream *stream, struct stream_group *group, struct stream_consumer *consumer)
{
    struct stream *rest = stream_new();
    struct stream_group *gone = stream_group_create(rest, SLICE(""), STREAM_ID_MIN, 0);
    struct stream_consumer *who = stream_consumer_create(rest, gone, SLICE(""), 0);
    stream_tree_move(&rest->object, &gone->pending, &stream->object, &group->pending);
    stream_tree_move(&rest->object, &who->pending, &stream->object, &consumer->pending);
    return rest;
}

void
stream_consumer_remove(struct stream *stream, struct stream_group *group,
                       struct stream_consumer *consumer, struct stream **rest)
{
    *rest = NULL;
    if (consumer->pending.count == group->pending.count && consumer->pending.count > 0) {
        *rest = pending_take(stream, group, consumer);
    }
    while (consumer->pending.count > 0) {
        stream_pending_remove(stream, group, stream_place_id(stream_tree_last(&consumer->pending)));
    }
    bool is_there;
    uint32_t index = consumer_search(group, stream_consumer_name(consumer), &is_there);
    ASSERT(is_there && group->consumers[index] == consumer);
    group->consumer_count--;
    memmove(group->consumers + index, group->consumers + index + 1,
            (group->consumer_count - index) * sizeof(consumer));
    consumer_free(stream, consumer);
}

/* ---- how far a group has come ---- */

/** Was an entry behind `id` deleted that a count of what follows would miss? */
static bool
has_gap_behind(const struct stream *stream, struct stream_id id)
{
    if (stream->count == 0 || stream_id_is_zero(stream->deleted_id_max) ||
        stream_id_compare(stream->first_id, stream->deleted_id_max) > 0) {
        return false;
    }
    return stream_id_compare(id, stream->deleted_id_max) <= 0;
}

int64_t
stream_read_count_at(const struct stream *stream, struct stream_id id)
{
    if (stream->added_count == 0) {
        return 0;
    }
    int last_order = stream_id_compare(id, stream->last_id);
    if (stream->count == 0 && last_order < 0) {
        return (int64_t)stream->added_count;
    }
    if (last_order == 0) {
        return (int64_t)stream->added_count;
    }
    if (last_order > 0) {
        return STREAM_READ_COUNT_UNKNOWN;
    }
    if (stream_id_is_zero(stream->deleted_id_max) ||
        stream_id_compare(stream->deleted_id_max, stream->first_id) < 0) {
        int first_order = stream_id_compare(id, stream->first_id);
        if (first_order <= 0) {
            return (int64_t)(stream->added_count - stream->count) + (first_order == 0 ? 1 : 0);
        }
    }
    return STREAM_READ_COUNT_UNKNOWN;
}

bool
stream_group_lag(const struct stream *stream, const struct stream_group *group, int64_t *lag)
{
    *lag = 0;
    if (stream->added_count == 0) {
        return true;
    }
    int64_t read_count = group->read_count;
    if (read_count == STREAM_READ_COUNT_UNKNOWN || has_gap_behind(stream, group->last_id)) {
        read_count = stream_read_count_at(stream, group->last_id);
        if (read_count == STREAM_READ_COUNT_UNKNOWN) {
            return false;
        }
    }
    *lag = (int64_t)(stream->added_count - (uint64_t)read_count);
    return true;
}

void
stream_group_advance(const struct stream *stream, struct stream_group *group, struct stream_id id)
{
    if (group->read_count != STREAM_READ_COUNT_UNKNOWN && !has_gap_behind(stream, id)) {
        group->read_count++;
    } else if (stream->added_count > 0) {
        group->read_count = stream_read_count_at(stream, id);
    }
    group->last_id = id;
}

/* ---- pending entries ---- */

struct stream_pending *
stream_pending_find(const struct stream_group *group, struct stream_id id)
{
    struct stream_place place = stream_tree_find(&group->pending, id);
    return place.leaf != NULL ? stream_pending_at(place) : NULL;
}

static void
consumer_pending_add(struct stream *stream, struct stream_consumer *consumer, struct stream_id id)
{
    bool is_new;
    stream_tree_insert(&stream->object, &consumer->pending, id, &is_new);
    ASSERT(is_new);
}

struct stream_pending *
stream_pending_add(struct stream *stream, struct stream_group *group, struct stream_id id,
                   struct stream_consumer *consumer)
{
    bool is_new;
    struct stream_place place = stream_tree_insert(&stream->object, &group->pending, id, &is_new);
    if (!is_new) {
        return NULL;
    }
    struct stream_pending *pending = stream_pending_at(place);
    pending->consumer = consumer;
    if (consumer != NULL) {
        consumer_pending_add(stream, consumer, id);
    }
    return pending;
}

void
stream_pending_give(struct stream *stream, struct stream_group *group, struct stream_id id,
                    struct stream_consumer *consumer)
{
    struct stream_pending *pending = stream_pending_find(group, id);
    ASSERT(pending != NULL);
    if (pending->consumer == consumer) {
        return;
    }
    bool was_there = stream_tree_remove(&stream->object, &pending->consumer->pending, id);
    ASSERT(was_there);
    pending->consumer = consumer;
    consumer_pending_add(stream, consumer, id);
}

bool
stream_pending_remove(struct stream *stream, struct stream_group *group, struct stream_id id)
{
    struct stream_pending *pending = stream_pending_find(group, id);
    if (pending == NULL) {
        return false;
    }
    bool was_there = stream_tree_remove(&stream->object, &pending->consumer->pending, id);
    ASSERT(was_there);
    stream_tree_remove(&stream->object, &group->pending, id);
    return true;
}

bool
stream_pending_assign(struct stream *stream, struct stream_group *group, struct stream_id id,
                      struct stream_consumer *consumer)
{
    struct stream_pending *pending = stream_pending_find(group, id);
    if (pending == NULL || pending->consumer != NULL) {
        return false;
    }
    pending->consumer = consumer;
    consumer_pending_add(stream, consumer, id);
    return true;
}

/* ---- for tests ---- */

static bool
group_check(const struct stream_group *group)
{
    uint64_t count = 0;
    bool is_good = stream_tree_check(&group->pending);
    for (uint32_t i = 0; is_good && i < group->consumer_count; i++) {
        const struct stream_consumer *consumer = group->consumers[i];
        is_good = stream_tree_check(&consumer->pending) &&
                  (i == 0 || slice_compare(stream_consumer_name(group->consumers[i - 1]),
                                           stream_consumer_name(consumer)) < 0);
        for (struct stream_place at = stream_tree_first(&consumer->pending);
             is_good && at.leaf != NULL; at = stream_place_next(at)) {
            const struct stream_pending *pending = stream_pending_find(group, stream_place_id(at));
            is_good = pending != NULL && pending->consumer == consumer;
        }
        count += consumer->pending.count;
    }
    return is_good && count == group->pending.count;
}

bool
stream_groups_check(const struct stream *stream)
{
    uint64_t size = memory_class_size(sizeof(*stream)) + stream->nodes.size + stream->listpack_size;
    if (stream->groups != NULL) {
        size += memory_class_size(stream->group_capacity * sizeof(void *));
    }
    for (uint32_t i = 0; i < stream->group_count; i++) {
        const struct stream_group *group = stream->groups[i];
        size += group_size(group);
        if (!group_check(group) || (i > 0 && slice_compare(stream_group_name(stream->groups[i - 1]),
                                                           stream_group_name(group)) >= 0)) {
            return false;
        }
    }
    return size == stream->object.size;
}
