/*
 * geohash.c: places as numbers, so that an ordered set of numbers is an index of places.
 *
 * Each coordinate is a fraction of its range with 26 bits; the bits of both take turns, longitude
 * first. A cell of the grid with fewer steps is a prefix, and so one range of the numbers:
 *
 *     +----+----+        steps 1          a cell 10 at step 1 is the range
 *     | 01 | 11 |   latitude is the       10 0000...  up to  11 0000...
 *     +----+----+   lower bit of each     of the 52-bit numbers
 *     | 00 | 10 |   pair
 *     +----+----+
 *
 * A search takes the finest grid in which the shape cannot reach beyond the eight neighbours of the
 * cell with the centre, leaves out neighbours that the shape's bounds do not touch, and asks for at
 * most nine ranges. The order of the ranges is part of what clients see (results without an order
 * come as they are found): centre, north, south, east, west, north-east, north-west, south-east,
 * south-west. The grid wraps round in both directions; where it is so coarse that two neighbours in
 * this order are the same cell, the second is left out.
 *
 * The arithmetic is that of doubles in a fixed order of operations: distances are stored and shown,
 * and must not depend on the compiler's mood. So no operation is fused or reordered here, and a
 * table of distances per step, which would be quicker, is not used.
 *
 * Invariant: geohash_place_of_score(geohash_score(place)) lies in the same smallest cell as
 * `place`.
 */
#include "shard/value/geohash.h"

#include <math.h>

/* Mean radius and half the circumference of the earth that distances and grids go by. */
#define EARTH_RADIUS_M 6372797.560856
#define MERCATOR_MAX_M 20037726.37
#define RADIANS_PER_DEGREE (M_PI / 180.0)

/** A cell of the grid with 2^steps columns and rows. Coordinates on the upper edge of the square
 * have a column or row beyond the last. */
struct cell {
    uint32_t column;
    uint32_t row;
    uint32_t steps;
};

struct bounds {
    double longitude_min;
    double longitude_max;
    double latitude_min;
    double latitude_max;
};

static double
radians(double degrees)
{
    return degrees * RADIANS_PER_DEGREE;
}

static double
degrees(double angle_radians)
{
    return angle_radians / RADIANS_PER_DEGREE;
}

/* ---- bits ---- */

/** The bits of `word` at even places. */
static uint64_t
bits_spread(uint32_t word)
{
    static const uint64_t masks[] = {0x0000ffff0000ffff, 0x00ff00ff00ff00ff, 0x0f0f0f0f0f0f0f0f,
                                     0x3333333333333333, 0x5555555555555555};
    uint64_t bits = word;
    uint32_t shift = 16;
    for (uint32_t i = 0; i < ARRAY_COUNT(masks); i++, shift /= 2) {
        bits = (bits | bits << shift) & masks[i];
    }
    return bits;
}

/** The other way: what stands at even places. */
static uint32_t
bits_gather(uint64_t bits)
{
    static const uint64_t masks[] = {0x3333333333333333, 0x0f0f0f0f0f0f0f0f, 0x00ff00ff00ff00ff,
                                     0x0000ffff0000ffff, 0x00000000ffffffff};
    bits &= 0x5555555555555555;
    uint32_t shift = 1;
    for (uint32_t i = 0; i < ARRAY_COUNT(masks); i++, shift *= 2) {
        bits = (bits | bits >> shift) & masks[i];
    }
    return (uint32_t)bits;
}

static uint64_t
cell_bits(struct cell cell)
{
    return bits_spread(cell.row) | bits_spread(cell.column) << 1;
}

/** `bits` of a cell with so many steps, as a number of 52 bits. */
static double
bits_score(uint64_t bits, uint32_t steps)
{
    return (double)(bits << 2 * (GEOHASH_STEPS_MAX - steps));
}

/** A score as 64 bits. Scores outside of 0 .. 2^64 come out as x86-64 has always converted them. */
static uint64_t
score_bits(double score)
{
    const double half = 9223372036854775808.0; /* 2^63 */
    if (score >= half) {
        return score >= 2 * half ? 0 : (uint64_t)score;
    }
    return score < -half ? UINT64_C(1) << 63 : (uint64_t)(int64_t)score;
}

/* ---- cells ---- */

static uint32_t
coordinate_index(double value, double limit, uint32_t steps)
{
    double fraction = (value + limit) / (limit + limit);
    return (uint32_t)(fraction * (double)(UINT64_C(1) << steps));
}

static struct cell
cell_of(struct geohash_place place, double latitude_limit, uint32_t steps)
{
    return (struct cell){
        .column = coordinate_index(place.longitude, GEOHASH_LONGITUDE_MAX, steps),
        .row = coordinate_index(place.latitude, latitude_limit, steps),
        .steps = steps,
    };
}

/** Where a column or row begins; the index of the next one tells where it ends. */
static double
coordinate_edge(uint64_t index, double limit, uint32_t steps)
{
    return -limit + (double)index / (double)(UINT64_C(1) << steps) * (limit + limit);
}

static struct bounds
cell_bounds(struct cell cell)
{
    const uint64_t column = cell.column;
    const uint64_t row = cell.row;
    return (struct bounds){
        .longitude_min = coordinate_edge(column, GEOHASH_LONGITUDE_MAX, cell.steps),
        .longitude_max = coordinate_edge(column + 1, GEOHASH_LONGITUDE_MAX, cell.steps),
        .latitude_min = coordinate_edge(row, GEOHASH_LATITUDE_MAX, cell.steps),
        .latitude_max = coordinate_edge(row + 1, GEOHASH_LATITUDE_MAX, cell.steps),
    };
}

/** The neighbour so many columns and rows away, -1 to 1, round the edges. */
static struct cell
cell_neighbour(struct cell cell, int east, int north)
{
    uint32_t mask = (UINT32_C(1) << cell.steps) - 1;
    if (east != 0) {
        cell.column = (cell.column + (uint32_t)east) & mask;
    }
    if (north != 0) {
        cell.row = (cell.row + (uint32_t)north) & mask;
    }
    return cell;
}

/* ---- places ---- */

bool
geohash_place_is_valid(struct geohash_place place)
{
    return fabs(place.longitude) <= GEOHASH_LONGITUDE_MAX &&
           fabs(place.latitude) <= GEOHASH_LATITUDE_MAX;
}

double
geohash_score(struct geohash_place place)
{
    ASSERT(geohash_place_is_valid(place));
    return bits_score(cell_bits(cell_of(place, GEOHASH_LATITUDE_MAX, GEOHASH_STEPS_MAX)),
                      GEOHASH_STEPS_MAX);
}

static double
clamp(double value, double limit)
{
    return value > limit ? limit : value < -limit ? -limit : value;
}

struct geohash_place
geohash_place_of_score(double score)
{
    uint64_t bits = score_bits(score);
    struct bounds bounds = cell_bounds((struct cell){
        .column = bits_gather(bits >> 1),
        .row = bits_gather(bits),
        .steps = GEOHASH_STEPS_MAX,
    });
    return (struct geohash_place){
        .longitude =
            clamp((bounds.longitude_min + bounds.longitude_max) / 2, GEOHASH_LONGITUDE_MAX),
        .latitude = clamp((bounds.latitude_min + bounds.latitude_max) / 2, GEOHASH_LATITUDE_MAX),
    };
}

void
geohash_text(struct geohash_place place, char text[static GEOHASH_TEXT_SIZE])
{
    static const char alphabet[] = "0123456789bcdefghjkmnpqrstuvwxyz";
    uint64_t bits = cell_bits(cell_of(place, 90.0, GEOHASH_STEPS_MAX));
    /* Ten letters of five bits; the last has only two of the 52 left, and is shown as zero. */
    for (uint32_t i = 0; i < GEOHASH_TEXT_SIZE - 1; i++) {
        text[i] = alphabet[bits >> (2 * GEOHASH_STEPS_MAX - 5 * (i + 1)) & 31];
    }
    text[GEOHASH_TEXT_SIZE - 1] = alphabet[0];
}

/* ---- distances ---- */

static double
latitude_distance_m(double a, double b)
{
    return EARTH_RADIUS_M * fabs(radians(b) - radians(a));
}

double
geohash_distance_m(struct geohash_place a, struct geohash_place b)
{
    /* Haversines: https://en.wikipedia.org/wiki/Haversine_formula */
    double v = sin((radians(b.longitude) - radians(a.longitude)) / 2);
    if (v == 0.0) {
        return latitude_distance_m(a.latitude, b.latitude);
    }
    double a_latitude = radians(a.latitude);
    double b_latitude = radians(b.latitude);
    double u = sin((b_latitude - a_latitude) / 2);
    double haversine = u * u + cos(a_latitude) * cos(b_latitude) * v * v;
    return 2.0 * EARTH_RADIUS_M * asin(sqrt(haversine));
}

bool
geohash_shape_has(const struct geohash_shape *shape, struct geohash_place place, double *distance_m)
{
    if (!shape->is_box) {
        *distance_m = geohash_distance_m(shape->center, place);
        return !(*distance_m > shape->radius * shape->unit_m);
    }
    double width_m = shape->width * shape->unit_m;
    double height_m = shape->height * shape->unit_m;
    if (latitude_distance_m(place.latitude, shape->center.latitude) > height_m / 2) {
        return false;
    }
    struct geohash_place same_latitude = {shape->center.longitude, place.latitude};
    if (geohash_distance_m(place, same_latitude) > width_m / 2) {
        return false;
    }
    *distance_m = geohash_distance_m(shape->center, place);
    return true;
}

/* ---- ranges ---- */

/** The shape in degrees, a little more than it is; not cut off at the edges of the square. */
static struct bounds
shape_bounds(const struct geohash_shape *shape)
{
    struct geohash_place center = shape->center;
    double height_m = shape->unit_m * (shape->is_box ? shape->height / 2 : shape->radius);
    double width_m = shape->unit_m * (shape->is_box ? shape->width / 2 : shape->radius);
    double north = degrees(height_m / EARTH_RADIUS_M);
    /* A parallel is shortest, and spans most degrees, on the side that is nearer to the pole. */
    double nearer = center.latitude < 0 ? center.latitude - north : center.latitude + north;
    double east = degrees(width_m / EARTH_RADIUS_M / cos(radians(nearer)));
    return (struct bounds){
        .longitude_min = center.longitude - east,
        .longitude_max = center.longitude + east,
        .latitude_min = center.latitude - north,
        .latitude_max = center.latitude + north,
    };
}

/** In a grid with so many steps two cells are probably as wide as the radius. */
static uint32_t
shape_steps(const struct geohash_shape *shape)
{
    double radius_m = shape->radius;
    if (shape->is_box) {
        radius_m = sqrt((shape->width / 2) * (shape->width / 2) +
                        (shape->height / 2) * (shape->height / 2));
    }
    radius_m *= shape->unit_m;
    if (radius_m == 0) {
        return GEOHASH_STEPS_MAX;
    }
    int steps = -1;
    /* Bounded: even the smallest double gets there by some 1,100 doublings. */
    for (; radius_m < MERCATOR_MAX_M; radius_m *= 2) {
        steps++;
    }
    /* Towards the poles cells get narrower. */
    double latitude = fabs(shape->center.latitude);
    steps -= (latitude > 66) + (latitude > 80);
    return (uint32_t)(steps < 1 ? 1 : MIN(steps, GEOHASH_STEPS_MAX));
}

/** Do the neighbours of the cell reach as far as the bounds? */
static bool
cell_reaches(struct cell cell, const struct bounds *bounds)
{
    return !(cell_bounds(cell_neighbour(cell, 0, 1)).latitude_max < bounds->latitude_max ||
             cell_bounds(cell_neighbour(cell, 0, -1)).latitude_min > bounds->latitude_min ||
             cell_bounds(cell_neighbour(cell, 1, 0)).longitude_max < bounds->longitude_max ||
             cell_bounds(cell_neighbour(cell, -1, 0)).longitude_min > bounds->longitude_min);
}

/** Is there anything of the bounds on that side of the cell? */
static bool
side_is_needed(const struct bounds *cell, const struct bounds *bounds, int east, int north)
{
    return !((north < 0 && cell->latitude_min < bounds->latitude_min) ||
             (north > 0 && cell->latitude_max > bounds->latitude_max) ||
             (east < 0 && cell->longitude_min < bounds->longitude_min) ||
             (east > 0 && cell->longitude_max > bounds->longitude_max));
}

uint32_t
geohash_ranges(const struct geohash_shape *shape,
               struct geohash_range ranges[static GEOHASH_RANGES_MAX])
{
    static const struct {
        int east;
        int north;
    } order[GEOHASH_RANGES_MAX] = {{0, 0}, {0, 1},  {0, -1}, {1, 0},  {-1, 0},
                                   {1, 1}, {-1, 1}, {1, -1}, {-1, -1}};
    ASSERT(geohash_place_is_valid(shape->center));
    struct bounds bounds = shape_bounds(shape);
    uint32_t steps = shape_steps(shape);
    struct cell cell = cell_of(shape->center, GEOHASH_LATITUDE_MAX, steps);
    if (steps > 1 && !cell_reaches(cell, &bounds)) {
        steps--;
        cell = cell_of(shape->center, GEOHASH_LATITUDE_MAX, steps);
    }
    struct bounds middle = cell_bounds(cell);
    uint32_t count = 0;
    uint64_t last_bits = 0;
    for (uint32_t i = 0; i < GEOHASH_RANGES_MAX; i++) {
        /* In the grid of two by two any neighbour may hold what lies beyond an edge. */
        if (steps >= 2 && !side_is_needed(&middle, &bounds, order[i].east, order[i].north)) {
            continue;
        }
        uint64_t bits = cell_bits(cell_neighbour(cell, order[i].east, order[i].north));
        if (count > 0 && bits == last_bits) {
            continue;
        }
        last_bits = bits;
        ranges[count++] =
            (struct geohash_range){bits_score(bits, steps), bits_score(bits + 1, steps)};
    }
    return count;
}
