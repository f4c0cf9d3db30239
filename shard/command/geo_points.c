/*
 * geo_points.c: the members of a geo index that lie within a shape, and their order by distance.
 *
 * Finding walks the ranges of scores that may hold members of the shape and tests each one.
 *
 * Sorting has two ways, and which one is taken shows where distances are equal. When all points
 * are wanted, a merge sort leaves equal ones as they were found. When only the first few are (COUNT
 * 10 of a million), quicksort in the form of Bentley and McIlroy ("Engineering a Sort Function",
 * 1993) goes only into those parts that reach into the wanted ones:
 *
 *     | equal | less ->   ?   <- greater | equal |      then the equal ones change places with
 *     0       a       b       c          d              the middle, between less and greater
 *
 * A heap of the wanted ones would do the same work, but breaks ties otherwise than clients have
 * come to see them.
 */
#include "shard/command/geo_internal.h"

/* ---- finding ---- */

struct finding {
    struct call *call;
    struct geo_point *points;
    uint64_t count;
    uint64_t capacity;
};

static void
finding_add(struct finding *finding, const struct geo_point *point, const struct zset_walk *walk)
{
    if (finding->count == finding->capacity) {
        /* What is outgrown stays in scratch: less than what it grows to. */
        finding->capacity = MAX(2 * finding->capacity, 16);
        struct geo_point *points = call_scratch(finding->call, finding->capacity * sizeof(*points));
        if (finding->count > 0) {
            memcpy(points, finding->points, finding->count * sizeof(*points));
        }
        finding->points = points;
    }
    struct geo_point *added = &finding->points[finding->count++];
    *added = *point;
    if (point->member.data == walk->digits) {
        /* An integer's digits, in a buffer that is used again. */
        char *copy = call_scratch(finding->call, point->member.size);
        memcpy(copy, point->member.data, point->member.size);
        added->member.data = copy;
    }
}

uint64_t
geo_points_find(struct call *call, const struct zset *zset, const struct geohash_shape *shape,
                uint64_t count_max, struct geo_point **points)
{
    struct geohash_range ranges[GEOHASH_RANGES_MAX];
    uint32_t range_count = geohash_ranges(shape, ranges);
    struct finding finding = {.call = call};
    bool is_full = false;
    for (uint32_t i = 0; i < range_count && !is_full; i++) {
        uint64_t rank = zset_rank_of_score(zset, ranges[i].min, false);
        if (rank == zset_count(zset)) {
            continue;
        }
        struct zset_walk walk;
        struct ztree_item item;
        zset_walk_start(&walk, zset, rank, false);
        while (!is_full && zset_next(&walk, &item) && item.score < ranges[i].max) {
            struct geo_point point = {.member = item.member,
                                      .score = item.score,
                                      .place = geohash_place_of_score(item.score)};
            if (geohash_shape_has(shape, point.place, &point.distance_m)) {
                finding_add(&finding, &point, &walk);
                is_full = finding.count == count_max;
            }
        }
    }
    *points = finding.points;
    return finding.count;
}

/* ---- sorting ---- */

/** Below zero: `a` comes first. */
static int
point_compare(const struct geo_point *a, const struct geo_point *b, enum geo_order order)
{
    int nearer = (a->distance_m > b->distance_m) - (a->distance_m < b->distance_m);
    return order == GEO_NEAREST_FIRST ? nearer : -nearer;
}

static void
point_swap(struct geo_point *a, struct geo_point *b)
{
    struct geo_point kept = *a;
    *a = *b;
    *b = kept;
}

static void
insertion_sort(struct geo_point *points, uint64_t count, enum geo_order order)
{
    for (uint64_t i = 1; i < count; i++) {
        for (uint64_t j = i; j > 0 && point_compare(&points[j - 1], &points[j], order) > 0; j--) {
            point_swap(&points[j - 1], &points[j]);
        }
    }
}

/** Bottom up: sorted runs of twice the length at each round, to and fro between two arrays. */
static void
merge_sort(struct call *call, struct geo_point *points, uint64_t count, enum geo_order order)
{
    struct geo_point *from = points;
    struct geo_point *to = call_scratch(call, count * sizeof(*to));
    for (uint64_t run = 1; run < count; run *= 2) {
        for (uint64_t start = 0; start < count; start += 2 * run) {
            uint64_t left = start;
            uint64_t left_end = MIN(start + run, count);
            uint64_t right = left_end;
            uint64_t right_end = MIN(start + 2 * run, count);
            for (uint64_t at = start; at < right_end; at++) {
                bool is_left =
                    left < left_end &&
                    (right == right_end || point_compare(&from[left], &from[right], order) <= 0);
                to[at] = is_left ? from[left++] : from[right++];
            }
        }
        struct geo_point *kept = from;
        from = to;
        to = kept;
    }
    if (from != points) {
        memcpy(points, from, count * sizeof(*points));
    }
}

static uint64_t
median(const struct geo_point *points, uint64_t a, uint64_t b, uint64_t c, enum geo_order order)
{
    if (point_compare(&points[a], &points[b], order) < 0) {
        if (point_compare(&points[b], &points[c], order) < 0) {
            return b;
        }
        return point_compare(&points[a], &points[c], order) < 0 ? c : a;
    }
    if (point_compare(&points[b], &points[c], order) > 0) {
        return b;
    }
    return point_compare(&points[a], &points[c], order) < 0 ? a : c;
}

/** Where a value stands that probably halves the points: the middle one, the median of three, or of
 * three such medians, by how many there are. */
static uint64_t
pivot_find(const struct geo_point *points, uint64_t count, enum geo_order order)
{
    uint64_t first = 0;
    uint64_t middle = count / 2;
    uint64_t last = count - 1;
    if (count == 7) {
        return middle;
    }
    if (count > 40) {
        uint64_t step = count / 8;
        first = median(points, first, first + step, first + 2 * step, order);
        middle = median(points, middle - step, middle, middle + step, order);
        last = median(points, last - 2 * step, last - step, last, order);
    }
    return median(points, first, middle, last, order);
}

static void
points_swap(struct geo_point *a, struct geo_point *b, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        point_swap(&a[i], &b[i]);
    }
}

/** Part the points into less, equal and greater than one of them; says how many are less and
 * greater. */
static void
points_part(struct geo_point *points, uint64_t count, enum geo_order order, uint64_t *less_count,
            uint64_t *greater_count)
{
    point_swap(&points[0], &points[pivot_find(points, count, order)]);
    uint64_t a = 1;
    uint64_t b = 1;
    uint64_t c = count; /* one behind, and so is d */
    uint64_t d = count;
    for (;;) {
        int compared;
        for (; b < c && (compared = point_compare(&points[b], &points[0], order)) <= 0; b++) {
            if (compared == 0) {
                point_swap(&points[a++], &points[b]);
            }
        }
        for (; b < c && (compared = point_compare(&points[c - 1], &points[0], order)) >= 0; c--) {
            if (compared == 0) {
                point_swap(&points[c - 1], &points[--d]);
            }
        }
        if (b >= c) {
            break;
        }
        point_swap(&points[b++], &points[--c]);
    }
    *less_count = b - a;
    *greater_count = d - c;
    uint64_t moved = MIN(a, b - a);
    points_swap(points, &points[b - moved], moved);
    moved = MIN(d - c, count - d);
    points_swap(&points[b], &points[count - moved], moved);
}

/** Members can be placed so that every pivot is a bad one; beyond this depth, which a million
 * points in any usual order do not come near, the rest is merged. */
#define QUICKSORT_DEPTH_MAX 200

/** Order at least the first `wanted`. */
static void
quicksort(struct call *call, struct geo_point *points, uint64_t count, uint64_t wanted,
          enum geo_order order, uint32_t depth)
{
    while (count >= 7) {
        if (depth == QUICKSORT_DEPTH_MAX) {
            merge_sort(call, points, count, order);
            return;
        }
        uint64_t less_count;
        uint64_t greater_count;
        points_part(points, count, order, &less_count, &greater_count);
        if (less_count > 1) {
            quicksort(call, points, less_count, wanted, order, depth + 1);
        }
        uint64_t greater_start = count - greater_count;
        if (greater_count <= 1 || wanted <= greater_start) {
            return;
        }
        points += greater_start;
        wanted -= greater_start;
        count = greater_count;
        depth++;
    }
    insertion_sort(points, count, order);
}

void
geo_points_sort(struct call *call, struct geo_point *points, uint64_t count, uint64_t wanted,
                enum geo_order order)
{
    ASSERT(wanted <= count);
    if (order == GEO_UNORDERED || count < 2) {
        return;
    }
    if (wanted == count) {
        merge_sort(call, points, count, order);
    } else {
        quicksort(call, points, count, wanted, order, 0);
    }
}
