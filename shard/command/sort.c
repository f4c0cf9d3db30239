/*
 * sort.c: SORT and SORT_RO: the elements of a list, a set or a sorted set in an order of their own.
 *
 * Each element has a weight: itself, or what the BY pattern finds with the element in place of its
 * first star. GET says what is replied instead of the element, by patterns as well.
 *
 *     SORT ids BY weight_* GET name_* GET card_*->no LIMIT 0 2
 *
 *     ids: 3, 7, 5  ──▶ weight_3, weight_7, weight_5 ──▶ sorted ──▶ first two ──▶ name_7, card_7
 * ...
 *
 * Keys that patterns name may be any core's, and are known only when the elements are: call_key().
 * The handler runs up to three times: with the elements, with their weights, and with what GET
 * names for those within LIMIT, which is asked for only when it is known who they are.
 *
 * Elements are copied before anything is replied or stored: they may lie packed or as numbers, and
 * STORE may replace the key that they come from. Order among equals is that in which they lie.
 */
#include "shard/command/families.h"
#include "shard/command/hash_internal.h"
#include "shard/command/list_internal.h"
#include "shard/command/set_internal.h"
#include "shard/command/zset_internal.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#define ARENA_BLOCK_SIZE 16384
#define SORT_KEY_FLAGS (KEY_RO | KEY_ACCESS)
#define SORT_STORE_FLAGS (KEY_OW | KEY_UPDATE)

struct sort_pattern {
    bool is_element; /* "#" */
    bool has_star;
    bool has_field;
    struct slice prefix;
    struct slice postfix; /* of the key, between star and field */
    struct slice field;
};

struct sort_item {
    struct slice element;
    struct slice weight; /* of ALPHA with BY */
    double score;
    uint32_t index; /* how they lie */
    bool has_weight;
};

struct sort {
    struct call *call;
    bool is_descending;
    bool is_alpha;
    bool is_unsorted; /* BY without a star */
    bool has_by;
    bool has_store;
    bool is_growing; /* some keys are not here yet */
    int64_t limit_start;
    int64_t limit_count;
    struct sort_pattern by;
    struct sort_pattern *gets;
    uint32_t get_count;
    struct sort_item *items;
    uint64_t item_count;
    uint64_t start; /* of items: those that are wanted */
    uint64_t end;
    struct view **looked; /* keys that patterns named, in the order of the looks */
    uint64_t looked_count;
    char *arena;
    size_t arena_size;
};

/* ---- memory ---- */

static char *
arena_take(struct sort *sort, size_t size)
{
    if (size > sort->arena_size) {
        if (size > ARENA_BLOCK_SIZE / 4) {
            return call_scratch(sort->call, size);
        }
        sort->arena = call_scratch(sort->call, ARENA_BLOCK_SIZE);
        sort->arena_size = ARENA_BLOCK_SIZE;
    }
    char *memory = sort->arena;
    sort->arena += size;
    sort->arena_size -= size;
    return memory;
}

/** A copy, with a NUL byte behind it. */
static struct slice
keep(struct sort *sort, struct slice text)
{
    char *copy = arena_take(sort, text.size + 1);
    if (text.size > 0) {
        memcpy(copy, text.data, text.size);
    }
    copy[text.size] = '\0';
    return slice_of(copy, text.size);
}

/* ---- patterns ---- */

/** Up to the first NUL byte, as redis-server looks for stars and arrows. */
static struct slice
until_nul(struct slice text)
{
    const char *nul = text.size == 0 ? NULL : memchr(text.data, '\0', text.size);
    return nul == NULL ? text : slice_of(text.data, (size_t)(nul - text.data));
}

static struct sort_pattern
pattern_parse(struct slice text)
{
    struct sort_pattern pattern = {.is_element = slice_equal(text, SLICE("#"))};
    struct slice shown = until_nul(text);
    const char *star = shown.size == 0 ? NULL : memchr(shown.data, '*', shown.size);
    if (star == NULL) {
        return pattern;
    }
    pattern.has_star = true;
    pattern.prefix = slice_of(text.data, (size_t)(star - text.data));
    const char *text_end = text.data + text.size;
    const char *behind = star + 1;
    const char *key_end = text_end;
    for (const char *at = behind; at + 2 < shown.data + shown.size; at++) {
        if (at[0] == '-' && at[1] == '>') {
            pattern.has_field = true;
            pattern.field = slice_of(at + 2, (size_t)(text_end - (at + 2)));
            key_end = at;
            break;
        }
    }
    pattern.postfix = slice_of(behind, (size_t)(key_end - behind));
    return pattern;
}

/** The key that the pattern means for an element; NULL: it is not borrowed yet. */
static struct view *
pattern_view(struct sort *sort, const struct sort_pattern *pattern, struct slice element)
{
    char on_stack[256];
    size_t size = pattern->prefix.size + element.size + pattern->postfix.size;
    char *name = size <= sizeof(on_stack) ? on_stack : call_scratch(sort->call, size);
    const struct slice pieces[] = {pattern->prefix, element, pattern->postfix};
    char *end = name;
    for (uint32_t i = 0; i < ARRAY_COUNT(pieces); i++) {
        if (pieces[i].size > 0) {
            memcpy(end, pieces[i].data, pieces[i].size);
            end += pieces[i].size;
        }
    }
    struct view *view = call_key(sort->call, slice_of(name, size));
    sort->is_growing |= view == NULL;
    if (view != NULL) {
        sort->looked[sort->looked_count++] = view;
    }
    return view;
}

/** What a pattern finds in its key; false: nothing. `digits` is room for a number's. */
static bool
pattern_text(struct sort *sort, const struct sort_pattern *pattern, const struct view *view,
             char digits[HASH_DIGITS_SIZE], struct slice *text)
{
    if (!view_exists(view)) {
        return false;
    }
    if (!pattern->has_field) {
        if (view->value.type != VALUE_STRING) {
            return false;
        }
        *text = view_string(view, digits);
        return true;
    }
    if (view->value.type != VALUE_HASH) {
        return false;
    }
    struct hash hash = hash_of_view(sort->call, view);
    return hash_get(&hash, pattern->field, text, digits);
}

/* ---- arguments ---- */

static bool
limit_read(struct sort *sort, uint32_t index)
{
    return call_integer(sort->call, index, &sort->limit_start, NULL) &&
           call_integer(sort->call, index + 1, &sort->limit_count, NULL);
}

/** One option; returns how many arguments it takes, or 0: the error has been replied. */
static uint32_t
option_read(struct sort *sort, uint32_t index)
{
    struct call *call = sort->call;
    struct slice word = call->argv[index];
    uint32_t left_count = call->argc - index - 1;
    if (slice_is_word(word, "asc")) {
        sort->is_descending = false;
        return 1;
    }
    if (slice_is_word(word, "desc")) {
        sort->is_descending = true;
        return 1;
    }
    if (slice_is_word(word, "alpha")) {
        sort->is_alpha = true;
        return 1;
    }
    if (slice_is_word(word, "limit") && left_count >= 2) {
        return limit_read(sort, index + 1) ? 3 : 0;
    }
    if (slice_is_word(word, "store") && left_count >= 1 &&
        (call->command->flags & CMD_WRITE) != 0) {
        sort->has_store = true;
        return 2;
    }
    if (slice_is_word(word, "by") && left_count >= 1) {
        sort->by = pattern_parse(call->argv[index + 1]);
        sort->has_by = true;
        /* Once said, it stays said. */
        sort->is_unsorted |= !sort->by.has_star;
        return 2;
    }
    if (slice_is_word(word, "get") && left_count >= 1) {
        sort->gets[sort->get_count++] = pattern_parse(call->argv[index + 1]);
        return 2;
    }
    call_syntax_error(call);
    return 0;
}

static bool
options_read(struct sort *sort)
{
    struct call *call = sort->call;
    sort->limit_count = -1;
    sort->gets = call_scratch(call, (call->argc / 2 + 1) * sizeof(*sort->gets));
    for (uint32_t i = 2; i < call->argc;) {
        uint32_t count = option_read(sort, i);
        if (count == 0) {
            return false;
        }
        i += count;
    }
    return true;
}

/* ---- elements ---- */

static void
item_add(struct sort *sort, struct slice element)
{
    sort->items[sort->item_count] =
        (struct sort_item){.element = keep(sort, element), .index = (uint32_t)sort->item_count};
    sort->item_count++;
}

static uint64_t
source_count(const struct view *view)
{
    return view_exists(view)
               ? object_count((enum value_type)view->value.type,
                              (enum value_encoding)view->value.encoding, view_object(view))
               : 0;
}

/** `count` elements of a list from `first` on. */
static void
load_list(struct sort *sort, const struct view *view, uint64_t first, uint64_t count,
          bool is_backward)
{
    struct list_value list = list_of_view(view);
    struct list_value_walk walk = list_value_walk(&list, first, is_backward);
    struct listpack_item item;
    char digits[NUMBER_I64_SIZE_MAX];
    while (sort->item_count < count && list_value_next(&walk, &item)) {
        if (item.is_integer) {
            item.bytes = slice_of(digits, number_format_i64(digits, item.integer));
        }
        item_add(sort, item.bytes);
    }
    list_value_walk_end(&walk);
}

static void
load_set(struct sort *sort, const struct view *view)
{
    struct set set = set_of_view(view);
    struct set_walk walk;
    struct slice member;
    set_walk_start(&walk, &set);
    while (set_next(&walk, &member)) {
        item_add(sort, member);
    }
}

static void
load_zset(struct sort *sort, const struct view *view, uint64_t first, uint64_t count,
          bool is_backward)
{
    struct zset zset = zset_of_view(view);
    struct zset_walk walk;
    struct ztree_item item;
    zset_walk_start(&walk, &zset, first, is_backward);
    while (sort->item_count < count && zset_next(&walk, &item)) {
        item_add(sort, item.member);
    }
}

/** Read the elements: of what keeps an order of its own only those that are wanted, if that order
 * is the one. */
static void
load(struct sort *sort, const struct view *view)
{
    int64_t total = (int64_t)source_count(view);
    int64_t start = MIN(MAX(sort->limit_start, 0), total);
    int64_t count = MIN(MAX(sort->limit_count, -1), total);
    count = count < 0 || count > total - start ? total - start : count;
    sort->start = (uint64_t)start;
    sort->end = (uint64_t)(start + count);
    bool is_window = sort->is_unsorted && view->value.type != VALUE_SET;
    bool is_backward = sort->is_unsorted && sort->is_descending;
    uint64_t first = is_window ? sort->start : 0;
    uint64_t loaded_count = is_window ? (uint64_t)count : (uint64_t)total;
    if (is_window) {
        sort->end -= sort->start;
        sort->start = 0;
    }
    sort->items = call_scratch(sort->call, MAX(loaded_count, 1U) * sizeof(*sort->items));
    if (loaded_count == 0) {
        return;
    }
    if (is_backward) {
        first = (uint64_t)total - 1 - first;
    }
    if (view->value.type == VALUE_LIST) {
        load_list(sort, view, first, loaded_count, is_backward);
    } else if (view->value.type == VALUE_ZSET) {
        /* Ranks of a backward walk count from the first, too. */
        load_zset(sort, view, first, loaded_count, is_backward);
    } else {
        load_set(sort, view);
    }
    ASSERT(sort->item_count == loaded_count);
}

/* ---- weights ---- */

/** As strtod() has it: blanks in front, hexadecimal, infinities, and nothing at all is 0. */
static bool
score_parse(struct sort *sort, struct slice text, double *score)
{
    char on_stack[64];
    char *copy = on_stack;
    if (text.size >= sizeof(on_stack)) {
        copy = call_scratch(sort->call, text.size + 1);
    }
    if (text.size > 0) {
        memcpy(copy, text.data, text.size);
    }
    copy[text.size] = '\0';
    char *end;
    errno = 0;
    *score = strtod(copy, &end);
    return *end == '\0' && errno != ERANGE && !isnan(*score);
}

/** False: some are no numbers. */
static bool
weigh(struct sort *sort)
{
    bool is_good = true;
    for (uint64_t i = 0; i < sort->item_count; i++) {
        struct sort_item *item = &sort->items[i];
        struct slice weight = item->element;
        char digits[HASH_DIGITS_SIZE];
        if (sort->has_by) {
            const struct view *view = pattern_view(sort, &sort->by, item->element);
            if (view == NULL || !pattern_text(sort, &sort->by, view, digits, &weight)) {
                continue;
            }
        }
        if (sort->is_alpha) {
            item->has_weight = true;
            item->weight = sort->has_by ? keep(sort, weight) : weight;
        } else {
            is_good &= score_parse(sort, weight, &item->score);
        }
    }
    return is_good;
}

/* ---- order ---- */

/** Replies are ordered as strcoll() has it, up to a NUL byte; what is stored by all bytes. */
static int
compare_texts(const struct sort *sort, struct slice a, struct slice b)
{
    return sort->has_store ? slice_compare(a, b) : slice_compare(until_nul(a), until_nul(b));
}

static int
compare_weights(const struct sort *sort, const struct sort_item *a, const struct sort_item *b)
{
    if (!sort->is_alpha) {
        int order = (a->score > b->score) - (a->score < b->score);
        return order != 0 ? order : slice_compare(a->element, b->element);
    }
    if (!a->has_weight || !b->has_weight) {
        return a->has_weight - b->has_weight;
    }
    return compare_texts(sort, a->weight, b->weight);
}

static int
compare_items(const void *first, const void *second, void *context)
{
    const struct sort *sort = context;
    const struct sort_item *a = first;
    const struct sort_item *b = second;
    int order = compare_weights(sort, a, b);
    if (order == 0) {
        return (a->index > b->index) - (a->index < b->index);
    }
    return sort->is_descending ? -order : order;
}

/* ---- results ---- */

/** Ask for all keys that the results need. False: some are not here yet. */
static bool
results_ask(struct sort *sort)
{
    uint64_t looked_count = sort->looked_count;
    for (uint64_t i = sort->start; i < sort->end; i++) {
        for (uint32_t j = 0; j < sort->get_count; j++) {
            if (sort->gets[j].has_star) {
                pattern_view(sort, &sort->gets[j], sort->items[i].element);
            }
        }
    }
    sort->looked_count = looked_count;
    return !sort->is_growing;
}

/** What a GET says of an element; false: nothing. */
static bool
result_text(struct sort *sort, const struct sort_item *item, const struct sort_pattern *get,
            char digits[HASH_DIGITS_SIZE], struct slice *text)
{
    if (get->is_element) {
        *text = item->element;
        return true;
    }
    if (!get->has_star) {
        return false;
    }
    const struct view *view = pattern_view(sort, get, item->element);
    return pattern_text(sort, get, view, digits, text);
}

static void
results_reply(struct sort *sort)
{
    struct reply *reply = sort->call->reply;
    uint64_t count = sort->end - sort->start;
    reply_array(reply, count * MAX(sort->get_count, 1U));
    for (uint64_t i = sort->start; i < sort->end; i++) {
        const struct sort_item *item = &sort->items[i];
        if (sort->get_count == 0) {
            reply_bulk(reply, item->element);
        }
        for (uint32_t j = 0; j < sort->get_count; j++) {
            char digits[HASH_DIGITS_SIZE];
            struct slice text;
            if (result_text(sort, item, &sort->gets[j], digits, &text)) {
                reply_bulk(reply, text);
            } else {
                reply_null(reply);
            }
        }
    }
}

static void
list_add(struct list_value *list, const struct quicklist_limits *limits, struct slice text)
{
    list_value_grow(list, limits, &text, 1);
    list_value_push_last(list, limits, text);
}

/** Hits and misses, of the run that replies. */
static void
count_looks(struct sort *sort)
{
    call_count(sort->call, sort->call->views[0]);
    for (uint64_t i = 0; i < sort->looked_count; i++) {
        call_count(sort->call, sort->looked[i]);
    }
}

static void
results_store(struct sort *sort)
{
    struct call *call = sort->call;
    struct view *view = call->views[1];
    uint64_t count = (sort->end - sort->start) * MAX(sort->get_count, 1U);
    if (count == 0) {
        count_looks(sort);
        if (view_exists(view)) {
            view_delete(call, view);
            call_effect_delete(call, view);
            call_event(call, view, NOTIFY_GENERIC, "del");
        }
        reply_i64(call->reply, 0);
        return;
    }
    struct quicklist_limits limits = list_limits_of(call);
    struct list_value list = list_value_new();
    for (uint64_t i = sort->start; i < sort->end; i++) {
        const struct sort_item *item = &sort->items[i];
        if (sort->get_count == 0) {
            list_add(&list, &limits, item->element);
        }
        for (uint32_t j = 0; j < sort->get_count; j++) {
            char digits[HASH_DIGITS_SIZE];
            struct slice text;
            if (!result_text(sort, item, &sort->gets[j], digits, &text)) {
                text = SLICE("");
            }
            list_add(&list, &limits, text);
        }
    }
    view_object_set(call, view, VALUE_LIST, list.encoding, list.object);
    view_deadline_set(call, view, VIEW_NO_DEADLINE);
    call_effect_value(call, view);
    count_looks(sort);
    call_event(call, view, NOTIFY_LIST, "sortstore");
    reply_i64(call->reply, (int64_t)count);
}

/** Room for a note of each look at a key that a pattern names. */
static void
looks_prepare(struct sort *sort)
{
    uint64_t count = sort->has_by && !sort->is_unsorted ? sort->item_count : 0;
    count += (sort->end - sort->start) * sort->get_count;
    sort->looked = call_scratch(sort->call, MAX(count, 1U) * sizeof(struct view *));
}

static bool
source_check(struct call *call)
{
    const struct view *view = call->views[0];
    if (view_exists(view) && view->value.type != VALUE_LIST && view->value.type != VALUE_SET &&
        view->value.type != VALUE_ZSET) {
        call_count(call, view);
        call_wrong_type_error(call);
        return false;
    }
    return true;
}

static void
sort_run(struct call *call)
{
    struct sort sort = {.call = call};
    if (!options_read(&sort) || !source_check(call)) {
        return;
    }
    if (sort.is_unsorted && sort.has_store && call->views[0]->value.type == VALUE_SET) {
        /* A set's own order is nobody's business: what is stored must not depend on it. */
        sort.is_unsorted = false;
        sort.is_alpha = true;
        sort.has_by = false;
    }
    load(&sort, call->views[0]);
    looks_prepare(&sort);
    if (!sort.is_unsorted) {
        bool is_good = weigh(&sort);
        if (sort.is_growing) {
            return;
        }
        if (!is_good) {
            count_looks(&sort);
            reply_error(call->reply, "ERR One or more scores can't be converted into double");
            return;
        }
        qsort_r(sort.items, sort.item_count, sizeof(*sort.items), compare_items, &sort);
    }
    if (!results_ask(&sort)) {
        return;
    }
    if (sort.has_store) {
        results_store(&sort);
    } else {
        results_reply(&sort);
        count_looks(&sort);
    }
}

/* ---- what the router asks ---- */

/** How many arguments belong to the option at `index`, as far as keys are concerned. */
static uint32_t
option_size(struct slice word)
{
    if (slice_is_word(word, "limit")) {
        return 3;
    }
    return slice_is_word(word, "by") || slice_is_word(word, "get") ? 2 : 1;
}

static int64_t
sort_views(const struct slice *argv, uint32_t argc, uint16_t selected_db, uint32_t database_count,
           struct command_view *out, uint32_t views_max)
{
    (void)database_count;
    if (argc < 2) {
        return -1;
    }
    uint32_t store_index = 0;
    for (uint32_t i = 2; i < argc; i += option_size(argv[i])) {
        if (slice_is_word(argv[i], "store") && i + 1 < argc) {
            store_index = ++i;
        }
    }
    if (views_max > 0) {
        out[0] = (struct command_view){.index = 1, .db = selected_db, .flags = SORT_KEY_FLAGS};
    }
    if (store_index > 0 && views_max > 1) {
        out[1] = (struct command_view){
            .index = store_index, .db = selected_db, .flags = SORT_STORE_FLAGS};
    }
    return store_index > 0 ? 2 : 1;
}

static bool
sort_grows(const struct slice *argv, uint32_t argc)
{
    for (uint32_t i = 2; i + 1 < argc; i += option_size(argv[i])) {
        if (slice_is_word(argv[i], "store")) {
            i++;
        } else if ((slice_is_word(argv[i], "by") || slice_is_word(argv[i], "get")) &&
                   pattern_parse(argv[i + 1]).has_star) {
            return true;
        }
    }
    return false;
}

/* ---- rows ---- */

static const struct command_argument limit_arguments[] = {
    {.kind = ARGUMENT_INTEGER, .name = "offset"},
    {.kind = ARGUMENT_INTEGER, .name = "count"},
    {.kind = ARGUMENT_END},
};
static const struct command_argument order_arguments[] = {
    {.kind = ARGUMENT_PURE_TOKEN, .name = "asc", .token = "ASC"},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "desc", .token = "DESC"},
    {.kind = ARGUMENT_END},
};

#define SORT_ARGUMENTS                                                                             \
    {.kind = ARGUMENT_KEY, .name = "key"},                                                         \
        {.kind = ARGUMENT_PATTERN,                                                                 \
         .name = "pattern",                                                                        \
         .token = "BY",                                                                            \
         .is_optional = true,                                                                      \
         .key_spec_index = 1},                                                                     \
        {.kind = ARGUMENT_BLOCK,                                                                   \
         .name = "offset_count",                                                                   \
         .token = "LIMIT",                                                                         \
         .is_optional = true,                                                                      \
         .arguments = limit_arguments},                                                            \
        {.kind = ARGUMENT_PATTERN,                                                                 \
         .name = "pattern",                                                                        \
         .token = "GET",                                                                           \
         .is_optional = true,                                                                      \
         .is_multiple = true,                                                                      \
         .is_multiple_token = true,                                                                \
         .key_spec_index = 1},                                                                     \
        {.kind = ARGUMENT_ONEOF,                                                                   \
         .name = "order",                                                                          \
         .is_optional = true,                                                                      \
         .arguments = order_arguments},                                                            \
    {                                                                                              \
        .kind = ARGUMENT_PURE_TOKEN, .name = "sorting", .token = "ALPHA", .is_optional = true      \
    }

static const struct command_argument sort_arguments[] = {
    SORT_ARGUMENTS,
    {.kind = ARGUMENT_KEY,
     .name = "destination",
     .token = "STORE",
     .is_optional = true,
     .key_spec_index = 2},
    {.kind = ARGUMENT_END},
};
static const struct command_argument sort_ro_arguments[] = {
    SORT_ARGUMENTS,
    {.kind = ARGUMENT_END},
};

#define PATTERN_KEYS                                                                               \
    {                                                                                              \
        .flags = SORT_KEY_FLAGS,                                                                   \
        .notes = "What BY and GET name follows from the elements of the key.",                     \
        .begin = KEYS_BEGIN_UNKNOWN, .find = KEYS_FIND_UNKNOWN                                     \
    }
#define STORE_KEYS                                                                                 \
    {                                                                                              \
        .flags = SORT_STORE_FLAGS, .notes = "STORE may stand anywhere behind the key.",            \
        .begin = KEYS_BEGIN_UNKNOWN, .find = KEYS_FIND_UNKNOWN                                     \
    }
#define SORT_COMPLEXITY                                                                            \
    "O(N+M*log(M)) for N elements of which M are returned; O(N) where nothing is sorted."

static const struct command sort_commands[] = {
    {.name = "sort",
     .run = sort_run,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_MOVABLE_KEYS | CMD_NO_COUNT,
     .arity = -2,
     .scope = SCOPE_KEYS,
     .key_specs = {KEYS_AT(1, SORT_KEY_FLAGS), PATTERN_KEYS, STORE_KEYS},
     .key_spec_count = 3,
     .views = sort_views,
     .grows = sort_grows,
     .group = GROUP_GENERIC,
     .categories = ACL_SET | ACL_SORTEDSET | ACL_LIST | ACL_DANGEROUS,
     .since = "1.0.0",
     .complexity = SORT_COMPLEXITY,
     .summary = "Sorts the elements of a list, a set or a sorted set, and replies or stores them.",
     .arguments = sort_arguments},
    {.name = "sort_ro",
     .run = sort_run,
     .flags = CMD_READONLY | CMD_MOVABLE_KEYS | CMD_NO_COUNT,
     .arity = -2,
     .scope = SCOPE_KEYS,
     .key_specs = {KEYS_AT(1, SORT_KEY_FLAGS), PATTERN_KEYS},
     .key_spec_count = 2,
     .grows = sort_grows,
     .group = GROUP_GENERIC,
     .categories = ACL_SET | ACL_SORTEDSET | ACL_LIST | ACL_DANGEROUS,
     .since = "7.0.0",
     .complexity = SORT_COMPLEXITY,
     .summary = "Sorts the elements of a list, a set or a sorted set, and replies them.",
     .arguments = sort_ro_arguments},
};

const struct command_family sort_family = {sort_commands, ARRAY_COUNT(sort_commands)};
