/*
 * geo.c: members of one geo index by name: GEOADD GEOPOS GEODIST GEOHASH.
 *
 * A geo index is no type of its own: it is a sorted set, and what GEOADD does is what ZADD with the
 * places' geohashes as scores would do, errors and effects included. So all commands of sorted sets
 * work on it, and any sorted set may be read as an index.
 */
#include <stdio.h>

#include "shard/command/families.h"
#include "shard/command/geo_internal.h"

/* ---- arguments and replies that the families share ---- */

bool
geo_unit_read(struct call *call, uint32_t index, double *unit_m)
{
    static const struct {
        const char *word;
        double unit_m;
    } units[] = {{"m", 1}, {"km", 1000}, {"ft", 0.3048}, {"mi", 1609.34}};
    for (uint32_t i = 0; i < ARRAY_COUNT(units); i++) {
        if (slice_is_word(call->argv[index], units[i].word)) {
            *unit_m = units[i].unit_m;
            return true;
        }
    }
    reply_error(call->reply, "ERR unsupported unit provided. please use M, KM, FT, MI");
    return false;
}

bool
geo_place_read(struct call *call, uint32_t index, struct geohash_place *place)
{
    if (!zset_score_read(call, index, &place->longitude, NULL) ||
        !zset_score_read(call, index + 1, &place->latitude, NULL)) {
        return false;
    }
    if (!geohash_place_is_valid(*place)) {
        reply_error_format(call->reply, "ERR invalid longitude,latitude pair %f,%f",
                           place->longitude, place->latitude);
        return false;
    }
    return true;
}

bool
geo_radius_read(struct call *call, uint32_t index, struct geohash_shape *shape)
{
    shape->is_box = false;
    if (!zset_score_read(call, index, &shape->radius, "ERR need numeric radius")) {
        return false;
    }
    if (shape->radius < 0) {
        reply_error(call->reply, "ERR radius cannot be negative");
        return false;
    }
    return geo_unit_read(call, index + 1, &shape->unit_m);
}

bool
geo_box_read(struct call *call, uint32_t index, struct geohash_shape *shape)
{
    shape->is_box = true;
    if (!zset_score_read(call, index, &shape->width, "ERR need numeric width") ||
        !zset_score_read(call, index + 1, &shape->height, "ERR need numeric height")) {
        return false;
    }
    if (shape->width < 0 || shape->height < 0) {
        reply_error(call->reply, "ERR height or width cannot be negative");
        return false;
    }
    return geo_unit_read(call, index + 2, &shape->unit_m);
}

static void
coordinate_reply(struct call *call, double value)
{
    if (call->reply->protocol == 2) {
        reply_bulk_long_double(call->reply, value);
        return;
    }
    char text[NUMBER_LONG_DOUBLE_SIZE_MAX + 3];
    size_t size = number_format_long_double(text + 1, value);
    text[0] = ',';
    text[size + 1] = '\r';
    text[size + 2] = '\n';
    reply_raw(call->reply, slice_of(text, size + 3));
}

void
geo_place_reply(struct call *call, struct geohash_place place)
{
    reply_array(call->reply, 2);
    coordinate_reply(call, place.longitude);
    coordinate_reply(call, place.latitude);
}

void
geo_distance_reply(struct call *call, double distance)
{
    char text[64]; /* distances on the earth; in feet they have eight digits */
    int size = snprintf(text, sizeof(text), "%.4f", distance);
    ASSERT(size > 0 && (size_t)size < sizeof(text));
    reply_bulk(call->reply, slice_of(text, (size_t)size));
}

/* ---- GEOADD ---- */

#define GEOADD_NX (1U << 0)
#define GEOADD_XX (1U << 1)
#define GEOADD_CH (1U << 2)

struct geoadd {
    uint32_t flags;
    uint32_t first; /* the first longitude's argument */
    uint32_t count; /* of places */
    double *scores;
};

static uint32_t
geoadd_flag(struct slice word)
{
    return slice_is_word(word, "nx")   ? GEOADD_NX
           : slice_is_word(word, "xx") ? GEOADD_XX
           : slice_is_word(word, "ch") ? GEOADD_CH
                                       : 0;
}

static bool
geoadd_read(struct call *call, struct geoadd *geoadd)
{
    geoadd->first = 2;
    for (; geoadd->first < call->argc; geoadd->first++) {
        uint32_t flag = geoadd_flag(call->argv[geoadd->first]);
        if (flag == 0) {
            break;
        }
        geoadd->flags |= flag;
    }
    uint32_t rest = call->argc - geoadd->first;
    bool is_contrary = (geoadd->flags & GEOADD_NX) != 0 && (geoadd->flags & GEOADD_XX) != 0;
    if (rest == 0 || rest % 3 != 0 || is_contrary) {
        call_syntax_error(call);
        return false;
    }
    geoadd->count = rest / 3;
    geoadd->scores = call_scratch(call, geoadd->count * sizeof(double));
    for (uint32_t i = 0; i < geoadd->count; i++) {
        struct geohash_place place;
        if (!geo_place_read(call, geoadd->first + 3 * i, &place)) {
            return false;
        }
        geoadd->scores[i] = geohash_score(place);
    }
    return true;
}

/** ZADD of all places, under the same condition. */
static void
geoadd_effect(struct call *call, const struct geoadd *geoadd, struct view *view)
{
    if (!call_has_effects(call)) {
        return;
    }
    struct slice *argv = call_scratch(call, (3 + 2 * (size_t)geoadd->count) * sizeof(*argv));
    uint32_t argc = 0;
    argv[argc++] = SLICE("ZADD");
    argv[argc++] = view->key;
    if ((geoadd->flags & (GEOADD_NX | GEOADD_XX)) != 0) {
        argv[argc++] = (geoadd->flags & GEOADD_NX) != 0 ? SLICE("NX") : SLICE("XX");
    }
    char *digits = call_scratch(call, (size_t)geoadd->count * NUMBER_I64_SIZE_MAX);
    for (uint32_t i = 0; i < geoadd->count; i++) {
        size_t size = number_format_i64(digits, (int64_t)geoadd->scores[i]);
        argv[argc++] = slice_of(digits, size);
        argv[argc++] = call->argv[geoadd->first + 3 * i + 2];
        digits += size;
    }
    call_effect(call, view, argv, argc);
}

static void
geoadd_run(struct call *call)
{
    struct geoadd geoadd = {0};
    struct view *view = call->views[0];
    if (!geoadd_read(call, &geoadd) || !view_check_type(call, view, VALUE_ZSET)) {
        return;
    }
    struct zset zset = zset_of_view(view);
    struct zset_limits limits = zset_limits_of(call);
    int64_t new_count = 0;
    int64_t updated_count = 0;
    for (uint32_t i = 0; i < geoadd.count; i++) {
        struct slice member = call->argv[geoadd.first + 3 * i + 2];
        if ((geoadd.flags & (GEOADD_NX | GEOADD_XX)) != 0 &&
            zset_find(&zset, member, NULL) != ((geoadd.flags & GEOADD_XX) != 0)) {
            continue;
        }
        enum ztree_put outcome = zset_put(&zset, &limits, member, geoadd.scores[i]);
        new_count += outcome == ZTREE_ADDED;
        updated_count += outcome == ZTREE_MOVED;
    }
    if (new_count + updated_count > 0) {
        zset_to_view(call, view, &zset);
        geoadd_effect(call, &geoadd, view);
        call_event(call, view, NOTIFY_ZSET, "zadd");
    }
    reply_i64(call->reply, new_count + ((geoadd.flags & GEOADD_CH) != 0 ? updated_count : 0));
}

/* ---- GEOPOS, GEOHASH, GEODIST ---- */

static void
geopos_run(struct call *call)
{
    struct view *view = call->views[0];
    if (!view_check_type(call, view, VALUE_ZSET)) {
        return;
    }
    struct zset zset = zset_of_view(view);
    reply_array(call->reply, call->argc - 2);
    for (uint32_t i = 2; i < call->argc; i++) {
        double score;
        if (zset_find(&zset, call->argv[i], &score)) {
            geo_place_reply(call, geohash_place_of_score(score));
        } else {
            reply_null_array(call->reply);
        }
    }
}

static void
geohash_run(struct call *call)
{
    struct view *view = call->views[0];
    if (!view_check_type(call, view, VALUE_ZSET)) {
        return;
    }
    struct zset zset = zset_of_view(view);
    reply_array(call->reply, call->argc - 2);
    for (uint32_t i = 2; i < call->argc; i++) {
        double score;
        if (zset_find(&zset, call->argv[i], &score)) {
            char text[GEOHASH_TEXT_SIZE];
            geohash_text(geohash_place_of_score(score), text);
            reply_bulk(call->reply, slice_of(text, sizeof(text)));
        } else {
            reply_null(call->reply);
        }
    }
}

static void
geodist_run(struct call *call)
{
    double unit_m = 1;
    if (call->argc > 5) {
        call_syntax_error(call);
        return;
    }
    if (call->argc == 5 && !geo_unit_read(call, 4, &unit_m)) {
        return;
    }
    struct view *view = call->views[0];
    if (!view_check_type(call, view, VALUE_ZSET)) {
        return;
    }
    struct zset zset = zset_of_view(view);
    double first;
    double second;
    if (!zset_find(&zset, call->argv[2], &first) || !zset_find(&zset, call->argv[3], &second)) {
        reply_null(call->reply);
        return;
    }
    geo_distance_reply(
        call,
        geohash_distance_m(geohash_place_of_score(first), geohash_place_of_score(second)) / unit_m);
}

/* ---- documentation ---- */

const struct command_argument geo_arguments_unit[] = {
    {.kind = ARGUMENT_PURE_TOKEN, .name = "m", .token = "M"},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "km", .token = "KM"},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "ft", .token = "FT"},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "mi", .token = "MI"},
    {0},
};
static const struct command_argument geoadd_arguments_condition[] = {
    {.kind = ARGUMENT_PURE_TOKEN, .name = "nx", .token = "NX"},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "xx", .token = "XX"},
    {0},
};
static const struct command_argument geoadd_arguments_place[] = {
    {.kind = ARGUMENT_DOUBLE, .name = "longitude"},
    {.kind = ARGUMENT_DOUBLE, .name = "latitude"},
    {.kind = ARGUMENT_STRING, .name = "member"},
    {0},
};
static const struct command_argument geoadd_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "key"},
    {.kind = ARGUMENT_ONEOF,
     .name = "condition",
     .since = "6.2.0",
     .is_optional = true,
     .arguments = geoadd_arguments_condition},
    {.kind = ARGUMENT_PURE_TOKEN,
     .name = "change",
     .token = "CH",
     .since = "6.2.0",
     .is_optional = true},
    {.kind = ARGUMENT_BLOCK,
     .name = "longitude_latitude_member",
     .is_multiple = true,
     .arguments = geoadd_arguments_place},
    {0},
};
static const struct command_history geoadd_history[] = {
    {"6.2.0", "Takes CH, NX and XX."},
    {NULL, NULL},
};
static const struct command_argument geopos_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "key"},
    {.kind = ARGUMENT_STRING, .name = "member", .is_multiple = true},
    {0},
};
static const struct command_argument geodist_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "key"},
    {.kind = ARGUMENT_STRING, .name = "member1"},
    {.kind = ARGUMENT_STRING, .name = "member2"},
    {.kind = ARGUMENT_ONEOF, .name = "unit", .is_optional = true, .arguments = geo_arguments_unit},
    {0},
};

static const struct command geo_commands[] = {
    {.name = "geoadd",
     .run = geoadd_run,
     .flags = CMD_WRITE | CMD_DENYOOM,
     .arity = -5,
     .key_specs = {KEYS_AT(1, KEY_RW | KEY_UPDATE)},
     .key_spec_count = 1,
     .group = GROUP_GEO,
     .since = "3.2.0",
     .complexity = "O(log N) for each place, where N is the size of the index.",
     .summary = "Adds members with their places to a geo index, or gives members other places.",
     .history = geoadd_history,
     .arguments = geoadd_arguments},
    {.name = "geopos",
     .run = geopos_run,
     .flags = CMD_READONLY,
     .arity = -2,
     .key_specs = {KEYS_AT(1, KEY_RO | KEY_ACCESS)},
     .key_spec_count = 1,
     .group = GROUP_GEO,
     .since = "3.2.0",
     .complexity = "O(M) where M is the number of members asked for.",
     .summary = "Answers the places of members as longitude and latitude.",
     .arguments = geopos_arguments},
    {.name = "geohash",
     .run = geohash_run,
     .flags = CMD_READONLY,
     .arity = -2,
     .key_specs = {KEYS_AT(1, KEY_RO | KEY_ACCESS)},
     .key_spec_count = 1,
     .group = GROUP_GEO,
     .since = "3.2.0",
     .complexity = "O(M) where M is the number of members asked for.",
     .summary = "Answers the places of members as geohash strings.",
     .arguments = geopos_arguments},
    {.name = "geodist",
     .run = geodist_run,
     .flags = CMD_READONLY,
     .arity = -4,
     .key_specs = {KEYS_AT(1, KEY_RO | KEY_ACCESS)},
     .key_spec_count = 1,
     .group = GROUP_GEO,
     .since = "3.2.0",
     .complexity = "O(1)",
     .summary = "Answers how far two members are from each other.",
     .arguments = geodist_arguments},
};

const struct command_family geo_family = {geo_commands, ARRAY_COUNT(geo_commands)};
