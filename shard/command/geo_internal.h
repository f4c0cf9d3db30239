/*
 * geo_internal.h: what the files of geo commands share. A geo index is a sorted set whose scores
 * are geohashes.
 */
#pragma once

#include "shard/command/zset_internal.h"
#include "shard/value/geohash.h"

/** "m", "km", "ft", "mi" at argv[index], as metres; or the error and false. */
bool geo_unit_read(struct call *call, uint32_t index, double *unit_m);
/** Longitude and latitude at argv[index] and the next, within what can be stored; or the error and
 * false. */
bool geo_place_read(struct call *call, uint32_t index, struct geohash_place *place);
/** A length and its unit, from argv[index] on; or the error and false. */
bool geo_radius_read(struct call *call, uint32_t index, struct geohash_shape *shape);
/** Width, height and their unit, from argv[index] on; or the error and false. */
bool geo_box_read(struct call *call, uint32_t index, struct geohash_shape *shape);

/** Longitude and latitude. */
void geo_place_reply(struct call *call, struct geohash_place place);
/** A length with four decimals. */
void geo_distance_reply(struct call *call, double distance);

/** "M", "KM", "FT", "MI", for COMMAND DOCS. */
extern const struct command_argument geo_arguments_unit[];

/* ---- geo_points.c ---- */

/** A member that was found. */
struct geo_point {
    struct slice member;
    double score;
    struct geohash_place place;
    double distance_m; /* from the centre */
};

enum geo_order { GEO_UNORDERED, GEO_NEAREST_FIRST, GEO_FARTHEST_FIRST };

/** All members within the shape in the order of geohash_ranges(), at most `count_max` (0: all), in
 * scratch. Good until the set changes. Returns how many. */
uint64_t geo_points_find(struct call *call, const struct zset *zset,
                         const struct geohash_shape *shape, uint64_t count_max,
                         struct geo_point **points);
/** Bring the first `wanted` of them into order; the rest comes somewhere behind. */
void geo_points_sort(struct call *call, struct geo_point *points, uint64_t count, uint64_t wanted,
                     enum geo_order order);
