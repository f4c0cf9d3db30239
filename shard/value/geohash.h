/*
 * geohash.h: places on the earth as 52-bit numbers, and areas as ranges of them.
 * Pure functions without state: any thread. Angles are degrees, lengths metres.
 */
#pragma once

#include "core/base.h"

/** Bits for each of the two coordinates of a place that is stored: 52 in all, which a double holds
 * exactly. */
#define GEOHASH_STEPS_MAX 26

/** What can be stored: the square of the web Mercator projection. */
#define GEOHASH_LONGITUDE_MAX 180.0
#define GEOHASH_LATITUDE_MAX 85.05112878

#define GEOHASH_TEXT_SIZE 11

struct geohash_place {
    double longitude;
    double latitude;
};

bool geohash_place_is_valid(struct geohash_place place);
/** The score of a valid place. */
double geohash_score(struct geohash_place place);
/** The middle of the smallest cell that a score means. Any score but NaN means one: what was never
 * made by geohash_score() comes out somewhere within the square. */
struct geohash_place geohash_place_of_score(double score);
/** The usual spelling of geohashes (https://en.wikipedia.org/wiki/Geohash), which has latitudes up
 * to 90. */
void geohash_text(struct geohash_place place, char text[static GEOHASH_TEXT_SIZE]);

/** Along the great circle. */
double geohash_distance_m(struct geohash_place a, struct geohash_place b);

/** What a search looks for: a circle, or a box whose sides follow the meridians and parallels. */
struct geohash_shape {
    struct geohash_place center;
    bool is_box;
    double unit_m; /* one unit of the lengths below */
    double radius; /* of a circle */
    double width;  /* of a box */
    double height;
};

/** Does the place lie within? Then *distance_m is how far it is from the centre. */
bool geohash_shape_has(const struct geohash_shape *shape, struct geohash_place place,
                       double *distance_m);

/** Scores from `min` up to, not including, `max`. */
struct geohash_range {
    double min;
    double max;
};

#define GEOHASH_RANGES_MAX 9

/** Ranges that hold all scores of a shape and others besides, each once, in the order in which they
 * are to be searched. The centre is valid. Returns how many. */
uint32_t geohash_ranges(const struct geohash_shape *shape,
                        struct geohash_range ranges[static GEOHASH_RANGES_MAX]);
