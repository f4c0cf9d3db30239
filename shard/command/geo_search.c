/*
 * geo_search.c: members of a geo index by place: GEOSEARCH GEOSEARCHSTORE, and GEORADIUS
 * GEORADIUSBYMEMBER with their _RO forms.
 *
 * All are one search: a centre, a shape around it, an order, a count, and then a reply or another
 * sorted set. They differ in how the arguments say so. The arguments are read left to right with
 * the index at hand, for the first thing that is wrong decides the error, and a centre that is not
 * a member is such a thing. Where there is no index the rest is still read.
 *
 * GEORADIUS may name its destination among the options, even several times: the last one counts.
 * The key specifications know the first only, so radius_views() reads the options as the command
 * does.
 */
#include "shard/command/families.h"
#include "shard/command/geo_internal.h"

/** Where the options begin. */
#define GEORADIUS_OPTIONS 6
#define GEORADIUSBYMEMBER_OPTIONS 5

enum search_form { SEARCH_FORM_OPTIONS, SEARCH_FORM_PLACE, SEARCH_FORM_MEMBER };

#define SEARCH_STORE (1U << 0)      /* there is a destination */
#define SEARCH_STORE_DIST (1U << 1) /* its scores are distances */
#define SEARCH_WITH_DIST (1U << 2)
#define SEARCH_WITH_HASH (1U << 3)
#define SEARCH_WITH_COORD (1U << 4)
#define SEARCH_ANY (1U << 5)
#define SEARCH_FROM_MEMBER (1U << 6)
#define SEARCH_FROM_PLACE (1U << 7)
#define SEARCH_BY_RADIUS (1U << 8)
#define SEARCH_BY_BOX (1U << 9)

#define SEARCH_WITH (SEARCH_WITH_DIST | SEARCH_WITH_HASH | SEARCH_WITH_COORD)

struct search {
    enum search_form form;
    bool is_store_command; /* GEOSEARCHSTORE */
    bool may_store;        /* GEORADIUS, GEORADIUSBYMEMBER */
    struct view *source;
    struct zset zset;
    struct geohash_shape shape;
    uint32_t flags; /* SEARCH_ */
    enum geo_order order;
    int64_t count; /* 0: all */
};

/* ---- reading ---- */

/** The centre is a member's place. Without an index there is nothing to look for. */
static bool
member_read(struct call *call, struct search *search, uint32_t index)
{
    double score;
    if (!view_exists(search->source)) {
        return true;
    }
    if (!zset_find(&search->zset, call->argv[index], &score)) {
        reply_error(call->reply, "ERR could not decode requested zset member");
        return false;
    }
    search->shape.center = geohash_place_of_score(score);
    return true;
}

/** A word that stands alone: its flag, 0: it is none. */
static uint32_t
search_flag(const struct search *search, struct slice word)
{
    if (slice_is_word(word, "withdist")) {
        return SEARCH_WITH_DIST;
    }
    if (slice_is_word(word, "withhash")) {
        return SEARCH_WITH_HASH;
    }
    if (slice_is_word(word, "withcoord")) {
        return SEARCH_WITH_COORD;
    }
    if (slice_is_word(word, "any")) {
        return SEARCH_ANY;
    }
    if (search->is_store_command && slice_is_word(word, "storedist")) {
        return SEARCH_STORE_DIST;
    }
    return 0;
}

static bool
count_read(struct call *call, struct search *search, uint32_t index)
{
    if (!call_integer(call, index, &search->count, NULL)) {
        return false;
    }
    if (search->count <= 0) {
        reply_error(call->reply, "ERR COUNT must be > 0");
        return false;
    }
    return true;
}

/** FROMMEMBER, FROMLONLAT, BYRADIUS or BYBOX at argv[index]. Returns how many words it took, 0: it
 * is none of them, -1: it was wrong and the error is replied. */
static int32_t
geosearch_option_read(struct call *call, struct search *search, uint32_t index)
{
    struct slice word = call->argv[index];
    uint32_t behind = call->argc - index - 1;
    if (behind >= 1 && (search->flags & SEARCH_FROM_PLACE) == 0 &&
        slice_is_word(word, "frommember")) {
        search->flags |= SEARCH_FROM_MEMBER;
        return member_read(call, search, index + 1) ? 2 : -1;
    }
    if (behind >= 2 && (search->flags & SEARCH_FROM_MEMBER) == 0 &&
        slice_is_word(word, "fromlonlat")) {
        search->flags |= SEARCH_FROM_PLACE;
        return geo_place_read(call, index + 1, &search->shape.center) ? 3 : -1;
    }
    if (behind >= 2 && (search->flags & SEARCH_BY_BOX) == 0 && slice_is_word(word, "byradius")) {
        search->flags |= SEARCH_BY_RADIUS;
        return geo_radius_read(call, index + 1, &search->shape) ? 3 : -1;
    }
    if (behind >= 3 && (search->flags & SEARCH_BY_RADIUS) == 0 && slice_is_word(word, "bybox")) {
        search->flags |= SEARCH_BY_BOX;
        return geo_box_read(call, index + 1, &search->shape) ? 4 : -1;
    }
    return 0;
}

/** STORE or STOREDIST with a key behind it: SEARCH_STORE_DIST tells which. */
static bool
is_store_option(const struct slice *argv, uint32_t argc, uint32_t index, uint32_t *store_dist)
{
    bool is_dist = slice_is_word(argv[index], "storedist");
    *store_dist = is_dist ? SEARCH_STORE_DIST : 0;
    return index + 1 < argc && (is_dist || slice_is_word(argv[index], "store"));
}

/** One option at argv[index], as geosearch_option_read(). */
static int32_t
option_read(struct call *call, struct search *search, uint32_t index)
{
    struct slice word = call->argv[index];
    uint32_t flag = search_flag(search, word);
    if (flag != 0) {
        search->flags |= flag;
        return 1;
    }
    if (slice_is_word(word, "asc") || slice_is_word(word, "desc")) {
        search->order = slice_is_word(word, "asc") ? GEO_NEAREST_FIRST : GEO_FARTHEST_FIRST;
        return 1;
    }
    if (slice_is_word(word, "count") && index + 1 < call->argc) {
        return count_read(call, search, index + 1) ? 2 : -1;
    }
    if (search->form == SEARCH_FORM_OPTIONS) {
        return geosearch_option_read(call, search, index);
    }
    uint32_t store_dist;
    if (search->may_store && is_store_option(call->argv, call->argc, index, &store_dist)) {
        search->flags = (search->flags & ~SEARCH_STORE_DIST) | SEARCH_STORE | store_dist;
        return 2;
    }
    return 0;
}

/** What stands before the options. Replies the error and returns 0, else where they begin. */
static uint32_t
search_head_read(struct call *call, struct search *search)
{
    switch (search->form) {
    case SEARCH_FORM_PLACE:
        return geo_place_read(call, 2, &search->shape.center) &&
                       geo_radius_read(call, 4, &search->shape)
                   ? GEORADIUS_OPTIONS
                   : 0;
    case SEARCH_FORM_MEMBER:
        /* Without an index the radius is not looked at. */
        return !view_exists(search->source) ||
                       (member_read(call, search, 2) && geo_radius_read(call, 3, &search->shape))
                   ? GEORADIUSBYMEMBER_OPTIONS
                   : 0;
    case SEARCH_FORM_OPTIONS:
        break;
    }
    return search->is_store_command ? 3 : 2;
}

/** Do the options go together? Replies the error and returns false. */
static bool
search_check(struct call *call, const struct search *search)
{
    uint32_t flags = search->flags;
    bool is_search = search->form == SEARCH_FORM_OPTIONS;
    int name_size = (int)call->argv[0].size;
    const char *name = call->argv[0].data;
    if ((flags & SEARCH_STORE) != 0 && (flags & SEARCH_WITH) != 0) {
        reply_error_format(
            call->reply, "ERR %s is not compatible with WITHDIST, WITHHASH and WITHCOORD options",
            search->is_store_command ? "GEOSEARCHSTORE" : "STORE option in GEORADIUS");
        return false;
    }
    if (is_search && (flags & (SEARCH_FROM_MEMBER | SEARCH_FROM_PLACE)) == 0) {
        reply_error_format(call->reply,
                           "ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for %.*s",
                           name_size, name);
        return false;
    }
    if (is_search && (flags & (SEARCH_BY_RADIUS | SEARCH_BY_BOX)) == 0) {
        reply_error_format(call->reply,
                           "ERR exactly one of BYRADIUS and BYBOX can be specified for %.*s",
                           name_size, name);
        return false;
    }
    if ((flags & SEARCH_ANY) != 0 && search->count == 0) {
        reply_error(call->reply, "ERR the ANY argument requires COUNT argument");
        return false;
    }
    return true;
}

static bool
search_read(struct call *call, struct search *search)
{
    uint32_t index = search_head_read(call, search);
    if (index == 0) {
        return false;
    }
    while (index < call->argc) {
        int32_t taken = option_read(call, search, index);
        if (taken <= 0) {
            if (taken == 0) {
                call_syntax_error(call);
            }
            return false;
        }
        index += (uint32_t)taken;
    }
    /* The nearest ones are wanted unless said otherwise. */
    if (search->count != 0 && search->order == GEO_UNORDERED && (search->flags & SEARCH_ANY) == 0) {
        search->order = GEO_NEAREST_FIRST;
    }
    return search_check(call, search);
}

/* ---- answering ---- */

static void
points_reply(struct call *call, const struct search *search, const struct geo_point *points,
             uint64_t count)
{
    uint32_t with = search->flags & SEARCH_WITH;
    reply_array(call->reply, count);
    for (uint64_t i = 0; i < count; i++) {
        const struct geo_point *point = &points[i];
        if (with != 0) {
            reply_array(call->reply, 1 + (uint32_t)__builtin_popcount(with));
        }
        reply_bulk(call->reply, point->member);
        if ((with & SEARCH_WITH_DIST) != 0) {
            geo_distance_reply(call, point->distance_m / search->shape.unit_m);
        }
        if ((with & SEARCH_WITH_HASH) != 0) {
            reply_i64(call->reply, (int64_t)point->score);
        }
        if ((with & SEARCH_WITH_COORD) != 0) {
            geo_place_reply(call, point->place);
        }
    }
}

static void
points_store(struct call *call, const struct search *search, struct view *target,
             const struct geo_point *points, uint64_t count)
{
    struct zset result = {.encoding = ENCODING_LISTPACK};
    struct zset_limits limits = zset_limits_of(call);
    bool is_dist = (search->flags & SEARCH_STORE_DIST) != 0;
    for (uint64_t i = 0; i < count; i++) {
        const struct geo_point *point = &points[i];
        zset_put(&result, &limits, point->member,
                 is_dist ? point->distance_m / search->shape.unit_m : point->score);
    }
    zset_store(call, target, &result,
               search->is_store_command ? "geosearchstore" : "georadiusstore");
}

/** `source` is views[0], or views[1] behind GEOSEARCHSTORE's destination. */
static void
search_run(struct call *call, struct search *search)
{
    search->source = call->views[search->is_store_command ? 1 : 0];
    if ((call->command->flags & CMD_WRITE) != 0) {
        call_count(call, search->source);
    }
    if (!view_check_type(call, search->source, VALUE_ZSET)) {
        return;
    }
    search->zset = zset_of_view(search->source);
    if (!search_read(call, search)) {
        return;
    }
    struct geo_point *points = NULL;
    uint64_t count = 0;
    uint64_t wanted = 0;
    if (view_exists(search->source)) {
        bool is_any = (search->flags & SEARCH_ANY) != 0;
        wanted = (uint64_t)search->count;
        count = geo_points_find(call, &search->zset, &search->shape, is_any ? wanted : 0, &points);
        wanted = wanted == 0 ? count : MIN(wanted, count);
        geo_points_sort(call, points, count, wanted, search->order);
    }
    if ((search->flags & SEARCH_STORE) != 0) {
        ASSERT(call->view_count == 2);
        struct view *target = call->views[search->is_store_command ? 0 : 1];
        points_store(call, search, target, points, wanted);
    } else {
        points_reply(call, search, points, wanted);
    }
}

static void
geosearch_run(struct call *call)
{
    search_run(call, &(struct search){.form = SEARCH_FORM_OPTIONS});
}

static void
geosearchstore_run(struct call *call)
{
    search_run(call, &(struct search){.form = SEARCH_FORM_OPTIONS,
                                      .is_store_command = true,
                                      .flags = SEARCH_STORE});
}

static void
georadius_run(struct call *call)
{
    search_run(call, &(struct search){.form = SEARCH_FORM_PLACE, .may_store = true});
}

static void
georadius_ro_run(struct call *call)
{
    search_run(call, &(struct search){.form = SEARCH_FORM_PLACE});
}

static void
georadiusbymember_run(struct call *call)
{
    search_run(call, &(struct search){.form = SEARCH_FORM_MEMBER, .may_store = true});
}

static void
georadiusbymember_ro_run(struct call *call)
{
    search_run(call, &(struct search){.form = SEARCH_FORM_MEMBER});
}

/* ---- keys ---- */

/** The index, and the last destination if there is one. */
static int64_t
radius_views(const struct slice *argv, uint32_t argc, uint32_t options, uint16_t db,
             struct command_view *out, uint32_t views_max)
{
    uint32_t target = 0;
    for (uint32_t i = options; i < argc; i++) {
        uint32_t store_dist;
        if (is_store_option(argv, argc, i, &store_dist)) {
            target = ++i;
        } else if (slice_is_word(argv[i], "count")) {
            i++;
        }
    }
    if (views_max > 0) {
        out[0] = (struct command_view){.index = 1, .db = db, .flags = KEY_RO | KEY_ACCESS};
    }
    if (target == 0) {
        return 1;
    }
    if (views_max > 1) {
        out[1] = (struct command_view){.index = target, .db = db, .flags = KEY_OW | KEY_UPDATE};
    }
    return 2;
}

static int64_t
georadius_views(const struct slice *argv, uint32_t argc, uint16_t selected_db,
                uint32_t database_count, struct command_view *out, uint32_t views_max)
{
    (void)database_count;
    return radius_views(argv, argc, GEORADIUS_OPTIONS, selected_db, out, views_max);
}

static int64_t
georadiusbymember_views(const struct slice *argv, uint32_t argc, uint16_t selected_db,
                        uint32_t database_count, struct command_view *out, uint32_t views_max)
{
    (void)database_count;
    return radius_views(argv, argc, GEORADIUSBYMEMBER_OPTIONS, selected_db, out, views_max);
}

/* ---- documentation ---- */

static const struct command_argument search_arguments_place[] = {
    {.kind = ARGUMENT_DOUBLE, .name = "longitude"},
    {.kind = ARGUMENT_DOUBLE, .name = "latitude"},
    {0},
};
static const struct command_argument search_arguments_from[] = {
    {.kind = ARGUMENT_STRING, .name = "member", .token = "FROMMEMBER"},
    {.kind = ARGUMENT_BLOCK,
     .name = "longitude_latitude",
     .token = "FROMLONLAT",
     .arguments = search_arguments_place},
    {0},
};
static const struct command_argument search_arguments_circle[] = {
    {.kind = ARGUMENT_DOUBLE, .name = "radius", .token = "BYRADIUS"},
    {.kind = ARGUMENT_ONEOF, .name = "unit", .arguments = geo_arguments_unit},
    {0},
};
static const struct command_argument search_arguments_box[] = {
    {.kind = ARGUMENT_DOUBLE, .name = "width", .token = "BYBOX"},
    {.kind = ARGUMENT_DOUBLE, .name = "height"},
    {.kind = ARGUMENT_ONEOF, .name = "unit", .arguments = geo_arguments_unit},
    {0},
};
static const struct command_argument search_arguments_by[] = {
    {.kind = ARGUMENT_BLOCK, .name = "circle", .arguments = search_arguments_circle},
    {.kind = ARGUMENT_BLOCK, .name = "box", .arguments = search_arguments_box},
    {0},
};
static const struct command_argument search_arguments_order[] = {
    {.kind = ARGUMENT_PURE_TOKEN, .name = "asc", .token = "ASC"},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "desc", .token = "DESC"},
    {0},
};
static const struct command_argument search_arguments_count[] = {
    {.kind = ARGUMENT_INTEGER, .name = "count", .token = "COUNT"},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "any", .token = "ANY", .is_optional = true},
    {0},
};
static const struct command_argument radius_arguments_count[] = {
    {.kind = ARGUMENT_INTEGER, .name = "count", .token = "COUNT"},
    {.kind = ARGUMENT_PURE_TOKEN,
     .name = "any",
     .token = "ANY",
     .since = "6.2.0",
     .is_optional = true},
    {0},
};
static const struct command_argument geosearch_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "key"},
    {.kind = ARGUMENT_ONEOF, .name = "from", .arguments = search_arguments_from},
    {.kind = ARGUMENT_ONEOF, .name = "by", .arguments = search_arguments_by},
    {.kind = ARGUMENT_ONEOF,
     .name = "order",
     .is_optional = true,
     .arguments = search_arguments_order},
    {.kind = ARGUMENT_BLOCK,
     .name = "count",
     .is_optional = true,
     .arguments = search_arguments_count},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "withcoord", .token = "WITHCOORD", .is_optional = true},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "withdist", .token = "WITHDIST", .is_optional = true},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "withhash", .token = "WITHHASH", .is_optional = true},
    {0},
};
static const struct command_argument geosearchstore_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "destination"},
    {.kind = ARGUMENT_KEY, .name = "source", .key_spec_index = 1},
    {.kind = ARGUMENT_ONEOF, .name = "from", .arguments = search_arguments_from},
    {.kind = ARGUMENT_ONEOF, .name = "by", .arguments = search_arguments_by},
    {.kind = ARGUMENT_ONEOF,
     .name = "order",
     .is_optional = true,
     .arguments = search_arguments_order},
    {.kind = ARGUMENT_BLOCK,
     .name = "count",
     .is_optional = true,
     .arguments = search_arguments_count},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "storedist", .token = "STOREDIST", .is_optional = true},
    {0},
};
static const struct command_argument georadius_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "key"},
    {.kind = ARGUMENT_DOUBLE, .name = "longitude"},
    {.kind = ARGUMENT_DOUBLE, .name = "latitude"},
    {.kind = ARGUMENT_DOUBLE, .name = "radius"},
    {.kind = ARGUMENT_ONEOF, .name = "unit", .arguments = geo_arguments_unit},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "withcoord", .token = "WITHCOORD", .is_optional = true},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "withdist", .token = "WITHDIST", .is_optional = true},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "withhash", .token = "WITHHASH", .is_optional = true},
    {.kind = ARGUMENT_BLOCK,
     .name = "count",
     .is_optional = true,
     .arguments = radius_arguments_count},
    {.kind = ARGUMENT_ONEOF,
     .name = "order",
     .is_optional = true,
     .arguments = search_arguments_order},
    {.kind = ARGUMENT_KEY,
     .name = "key",
     .token = "STORE",
     .key_spec_index = 1,
     .is_optional = true},
    {.kind = ARGUMENT_KEY,
     .name = "key",
     .token = "STOREDIST",
     .key_spec_index = 2,
     .is_optional = true},
    {0},
};
static const struct command_argument georadius_ro_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "key"},
    {.kind = ARGUMENT_DOUBLE, .name = "longitude"},
    {.kind = ARGUMENT_DOUBLE, .name = "latitude"},
    {.kind = ARGUMENT_DOUBLE, .name = "radius"},
    {.kind = ARGUMENT_ONEOF, .name = "unit", .arguments = geo_arguments_unit},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "withcoord", .token = "WITHCOORD", .is_optional = true},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "withdist", .token = "WITHDIST", .is_optional = true},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "withhash", .token = "WITHHASH", .is_optional = true},
    {.kind = ARGUMENT_BLOCK,
     .name = "count",
     .is_optional = true,
     .arguments = radius_arguments_count},
    {.kind = ARGUMENT_ONEOF,
     .name = "order",
     .is_optional = true,
     .arguments = search_arguments_order},
    {0},
};
static const struct command_argument georadiusbymember_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "key"},
    {.kind = ARGUMENT_STRING, .name = "member"},
    {.kind = ARGUMENT_DOUBLE, .name = "radius"},
    {.kind = ARGUMENT_ONEOF, .name = "unit", .arguments = geo_arguments_unit},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "withcoord", .token = "WITHCOORD", .is_optional = true},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "withdist", .token = "WITHDIST", .is_optional = true},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "withhash", .token = "WITHHASH", .is_optional = true},
    {.kind = ARGUMENT_BLOCK,
     .name = "count",
     .is_optional = true,
     .arguments = search_arguments_count},
    {.kind = ARGUMENT_ONEOF,
     .name = "order",
     .is_optional = true,
     .arguments = search_arguments_order},
    {.kind = ARGUMENT_KEY,
     .name = "key",
     .token = "STORE",
     .key_spec_index = 1,
     .is_optional = true},
    {.kind = ARGUMENT_KEY,
     .name = "key",
     .token = "STOREDIST",
     .key_spec_index = 2,
     .is_optional = true},
    {0},
};
static const struct command_argument georadiusbymember_ro_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "key"},
    {.kind = ARGUMENT_STRING, .name = "member"},
    {.kind = ARGUMENT_DOUBLE, .name = "radius"},
    {.kind = ARGUMENT_ONEOF, .name = "unit", .arguments = geo_arguments_unit},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "withcoord", .token = "WITHCOORD", .is_optional = true},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "withdist", .token = "WITHDIST", .is_optional = true},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "withhash", .token = "WITHHASH", .is_optional = true},
    {.kind = ARGUMENT_BLOCK,
     .name = "count",
     .is_optional = true,
     .arguments = search_arguments_count},
    {.kind = ARGUMENT_ONEOF,
     .name = "order",
     .is_optional = true,
     .arguments = search_arguments_order},
    {0},
};
static const struct command_history unit_history[] = {
    {"7.0.0", "Takes units in upper case."},
    {NULL, NULL},
};
static const struct command_history georadius_history[] = {
    {"6.2.0", "Takes ANY behind COUNT."},
    {"7.0.0", "Takes units in upper case."},
    {NULL, NULL},
};
static const struct command_history georadius_ro_history[] = {
    {"6.2.0", "Takes ANY behind COUNT."},
    {NULL, NULL},
};

/** The keys behind STORE and STOREDIST, which are looked for from `options` on. */
#define KEYS_STORED(keyword, options)                                                              \
    {                                                                                              \
        .flags = KEY_OW | KEY_UPDATE, .begin = KEYS_BEGIN_KEYWORD, .begin_index = (options),       \
        .begin_keyword = (keyword), .find = KEYS_FIND_RANGE, .last = 0, .step = 1                  \
    }

static const struct command geo_search_commands[] = {
    {.name = "geosearch",
     .run = geosearch_run,
     .flags = CMD_READONLY,
     .arity = -7,
     .key_specs = {KEYS_AT(1, KEY_RO | KEY_ACCESS)},
     .key_spec_count = 1,
     .group = GROUP_GEO,
     .since = "6.2.0",
     .complexity = "O(N + log M) where N members lie in the grid cells around the shape and M is "
                   "the size of the index.",
     .summary = "Answers the members of a geo index that lie within a circle or a box.",
     .history = unit_history,
     .arguments = geosearch_arguments},
    {.name = "geosearchstore",
     .run = geosearchstore_run,
     .flags = CMD_WRITE | CMD_DENYOOM,
     .arity = -8,
     .key_specs = {KEYS_AT(1, KEY_OW | KEY_UPDATE), KEYS_AT(2, KEY_RO | KEY_ACCESS)},
     .key_spec_count = 2,
     .group = GROUP_GEO,
     .since = "6.2.0",
     .complexity = "O(N + log M) where N members lie in the grid cells around the shape and M is "
                   "the size of the index.",
     .summary =
         "Stores the members of a geo index that lie within a circle or a box as another one.",
     .history = unit_history,
     .arguments = geosearchstore_arguments},
    {.name = "georadius",
     .run = georadius_run,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_MOVABLE_KEYS,
     .arity = -6,
     .key_specs = {KEYS_AT(1, KEY_RO | KEY_ACCESS), KEYS_STORED("STORE", GEORADIUS_OPTIONS),
                   KEYS_STORED("STOREDIST", GEORADIUS_OPTIONS)},
     .key_spec_count = 3,
     .views = georadius_views,
     .group = GROUP_GEO,
     .since = "3.2.0",
     .complexity = "O(N + log M) where N members lie in the grid cells around the shape and M is "
                   "the size of the index.",
     .summary = "Answers or stores the members of a geo index that are near a place.",
     .deprecated_since = "6.2.0",
     .replaced_by = "`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` argument",
     .history = georadius_history,
     .arguments = georadius_arguments},
    {.name = "georadius_ro",
     .run = georadius_ro_run,
     .flags = CMD_READONLY,
     .arity = -6,
     .key_specs = {KEYS_AT(1, KEY_RO | KEY_ACCESS)},
     .key_spec_count = 1,
     .group = GROUP_GEO,
     .since = "3.2.10",
     .complexity = "O(N + log M) where N members lie in the grid cells around the shape and M is "
                   "the size of the index.",
     .summary = "Answers the members of a geo index that are near a place.",
     .deprecated_since = "6.2.0",
     .replaced_by = "`GEOSEARCH` with the `BYRADIUS` argument",
     .history = georadius_ro_history,
     .arguments = georadius_ro_arguments},
    {.name = "georadiusbymember",
     .run = georadiusbymember_run,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_MOVABLE_KEYS,
     .arity = -5,
     .key_specs = {KEYS_AT(1, KEY_RO | KEY_ACCESS), KEYS_STORED("STORE", GEORADIUSBYMEMBER_OPTIONS),
                   KEYS_STORED("STOREDIST", GEORADIUSBYMEMBER_OPTIONS)},
     .key_spec_count = 3,
     .views = georadiusbymember_views,
     .group = GROUP_GEO,
     .since = "3.2.0",
     .complexity = "O(N + log M) where N members lie in the grid cells around the shape and M is "
                   "the size of the index.",
     .summary = "Answers or stores the members of a geo index that are near one of them.",
     .deprecated_since = "6.2.0",
     .replaced_by =
         "`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` and `FROMMEMBER` arguments",
     .history = unit_history,
     .arguments = georadiusbymember_arguments},
    {.name = "georadiusbymember_ro",
     .run = georadiusbymember_ro_run,
     .flags = CMD_READONLY,
     .arity = -5,
     .key_specs = {KEYS_AT(1, KEY_RO | KEY_ACCESS)},
     .key_spec_count = 1,
     .group = GROUP_GEO,
     .since = "3.2.10",
     .complexity = "O(N + log M) where N members lie in the grid cells around the shape and M is "
                   "the size of the index.",
     .summary = "Answers the members of a geo index that are near one of them.",
     .deprecated_since = "6.2.0",
     .replaced_by = "`GEOSEARCH` with the `BYRADIUS` and `FROMMEMBER` arguments",
     .arguments = georadiusbymember_ro_arguments},
};

const struct command_family geo_search_family = {geo_search_commands,
                                                 ARRAY_COUNT(geo_search_commands)};
