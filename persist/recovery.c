/*
 * recovery.c: what is loaded of each file.
 *
 * 1. Each file by itself: recovery_table says whether what it looks like is a write that was cut
 *    short (cut), damage (refuse), or nothing at all. A file of ours is believed up to its last
 *    right check line; what is behind may go, unless a mark says that it has been on disk: in this
 *    file, or in a later one that stands on it, since a shard's files reach the disk in their
 * order.
 *
 * 2. A file that follows another one for some slot stands on all of it. Where the other is cut it
 *    is left out as a whole:
 *
 *        shard 0    [======== gen 3 ========]  [=== gen 5 ===]
 *        shard 1    [===== gen 3 ===x.......]  [ left out    ]      x: torn
 *
 *    Marks do not hinder that in step 3, where files of other shards are the reason.
 *
 * 3. Transactions over several shards. One of whose parts any is missing is incomplete. Written
 *    under `always` it is left out alone: its keys were lent until it was complete, so nothing was
 *    built on it. Otherwise the segment ends in front of it, since others may have seen what it
 * did; so may further transactions become incomplete, until nothing changes any more. Ends only
 * fall, hence there is one result, whatever the order.
 *
 * Tickets below any file's mark `complete` are whole without being looked for: their parts were on
 * disk everywhere when it was written, so that whatever misses them now is damage that step 1 sees.
 *
 * Rejected: repairing what is damaged in the middle by leaving it out. The commands behind it were
 * carried out on data that would not be there.
 */
#include "persist/recovery.h"

#include "core/heap.h"
#include "persist/recovery_internal.h"

#include <errno.h>
#include <stdlib.h>

#define BIT(number) (1U << (number))
#define OURS BIT(RECOVERY_OURS)
#define THEIRS (BIT(RECOVERY_APPENDED) | BIT(RECOVERY_FOREIGN))
#define WHOLE BIT(RECOVERY_WHOLE)
#define UNVOUCHED BIT(RECOVERY_UNVOUCHED)
#define TORN BIT(RECOVERY_TORN)
#define DAMAGED BIT(RECOVERY_DAMAGED)

#define ADVICE_BACKUP                                                                              \
    "the disk has lost or changed what was safely on it: restore the folder from a backup, or "    \
    "copy it and run tessera-check --give-up, which cuts off what stands behind the damage"
#define ADVICE_FIX                                                                                 \
    "copy the folder and run tessera-check --fix, which cuts it there, or set "                    \
    "aof-load-truncated to yes"
#define ADVICE_FOREIGN                                                                             \
    "copy the folder and run tessera-check --give-up, which cuts off what stands behind the "      \
    "damage"

static const struct recovery_case recovery_table[] = {
    {OURS | THEIRS, WHOLE, TRI_ANY, TRI_ANY, TRI_ANY, RECOVERY_TAKE, NULL, NULL},
    {THEIRS, UNVOUCHED, TRI_ANY, TRI_ANY, TRI_ANY, RECOVERY_TAKE, NULL, NULL},
    {OURS, UNVOUCHED | TORN | DAMAGED, TRI_YES, TRI_ANY, TRI_ANY, RECOVERY_GIVE_UP,
     "it is damaged in front of what is known to have been on disk", ADVICE_BACKUP},
    {OURS, UNVOUCHED | TORN | DAMAGED, TRI_NO, TRI_ANY, TRI_NO, RECOVERY_GIVE_UP,
     "its last write is incomplete, and aof-load-truncated is no", ADVICE_FIX},
    {OURS, UNVOUCHED | TORN | DAMAGED, TRI_NO, TRI_ANY, TRI_YES, RECOVERY_CUT_GOOD,
     "its last write is incomplete", NULL},
    {THEIRS, DAMAGED, TRI_ANY, TRI_ANY, TRI_ANY, RECOVERY_GIVE_UP,
     "it is damaged where redis-server has written it", ADVICE_FOREIGN},
    {THEIRS, TORN, TRI_ANY, TRI_NO, TRI_ANY, RECOVERY_GIVE_UP,
     "it ends too early, and is not the last file", ADVICE_FOREIGN},
    {THEIRS, TORN, TRI_ANY, TRI_YES, TRI_NO, RECOVERY_GIVE_UP,
     "it ends too early, and aof-load-truncated is no", ADVICE_FIX},
    {THEIRS, TORN, TRI_ANY, TRI_YES, TRI_YES, RECOVERY_CUT_GROUP, "it ends too early", NULL},
};

static const char why_behind[] = "it stands behind what another file has lost";
static const char why_incomplete[] = "a transaction in it is not in all of its files";

const struct recovery_case *
recovery_cases(uint32_t *count)
{
    *count = ARRAY_COUNT(recovery_table);
    return recovery_table;
}

static bool
tri_matches(enum recovery_tri tri, bool is_so)
{
    return tri == TRI_ANY || (tri == TRI_YES) == is_so;
}

bool
recovery_case_matches(const struct recovery_case *row, const struct recovery_finding *finding)
{
    return (row->origins & BIT(finding->origin)) != 0 &&
           (row->finishes & BIT(finding->finish)) != 0 &&
           tri_matches(row->confirmed, finding->is_confirmed) &&
           tri_matches(row->last, finding->is_last) &&
           tri_matches(row->load_truncated, finding->is_load_truncated);
}

static const struct recovery_case *
case_find(const struct recovery_finding *finding)
{
    for (uint32_t i = 0; i < ARRAY_COUNT(recovery_table); i++) {
        if (recovery_case_matches(&recovery_table[i], finding)) {
            return &recovery_table[i];
        }
    }
    ASSERT(false);
    return NULL;
}

/* ---- which file stands on which ---- */

/** A part, where it is. */
struct part_place {
    uint64_t ticket;
    uint32_t segment;
    uint32_t part;
};

struct decider {
    const struct recovery_segment *segments;
    struct recovery_verdict *verdicts;
    uint32_t count;
    bool is_load_truncated;
    /** Files with the same slots as far as others can tell: that of a file without a head is
     * another one of its shard; NULL: all slots. */
    const uint64_t **slots;
    /** All parts by ticket. */
    struct part_place *places;
    uint32_t place_count;
    uint64_t complete_below;
};

static bool
slots_meet(const uint64_t *a, const uint64_t *b)
{
    for (uint32_t i = 0; i < SLOT_COUNT / 64; i++) {
        uint64_t word_a = a == NULL ? UINT64_MAX : a[i];
        uint64_t word_b = b == NULL ? UINT64_MAX : b[i];
        if ((word_a & word_b) != 0) {
            return true;
        }
    }
    return false;
}

static bool
slots_are_all(const uint64_t *slots)
{
    for (uint32_t i = 0; slots != NULL && i < SLOT_COUNT / 64; i++) {
        if (slots[i] != UINT64_MAX) {
            return false;
        }
    }
    return slots != NULL;
}

/** Does the later file hold keys that the earlier one may hold too? */
static bool
stands_on(const struct decider *decider, uint32_t later, uint32_t earlier)
{
    const struct recovery_segment *a = &decider->segments[earlier];
    const struct recovery_segment *b = &decider->segments[later];
    bool are_placed = (a->has_head || a->has_place) && (b->has_head || b->has_place);
    if (are_placed && a->generation == b->generation && a->shard != b->shard) {
        return false;
    }
    const uint64_t *slots_a = decider->slots[earlier];
    const uint64_t *slots_b = decider->slots[later];
    if (are_placed && a->shard != b->shard && (slots_a == NULL || slots_b == NULL)) {
        /* One has no head, so nothing of it can be read, and no other file of its shard has one:
         * only what concerns all shards (a flush) stands on it or under it. */
        return slots_are_all(slots_a) || slots_are_all(slots_b);
    }
    return slots_meet(slots_a, slots_b);
}

static const uint64_t *
slots_guess(const struct decider *decider, uint32_t index)
{
    const struct recovery_segment *segment = &decider->segments[index];
    if (segment->has_head || !segment->has_place) {
        return segment->has_head ? segment->slots : NULL;
    }
    /* The nearest one in front, else the first one behind. */
    const uint64_t *slots = NULL;
    for (uint32_t i = 0; i < decider->count && (i < index || slots == NULL); i++) {
        const struct recovery_segment *other = &decider->segments[i];
        if (other->has_head && other->shard == segment->shard) {
            slots = other->slots;
        }
    }
    return slots;
}

/** Leave out what stands on a file that is not loaded to its end. Returns whether anything was
 * left out. */
static bool
leave_out_behind(struct decider *decider)
{
    bool is_changed = false;
    for (uint32_t i = 0; i < decider->count; i++) {
        if (decider->verdicts[i].end == decider->segments[i].size) {
            continue;
        }
        for (uint32_t j = i + 1; j < decider->count; j++) {
            struct recovery_verdict *verdict = &decider->verdicts[j];
            if (verdict->end > 0 && stands_on(decider, j, i)) {
                verdict->end = 0;
                verdict->offset = 0;
                verdict->why = why_behind;
                is_changed = true;
            }
        }
    }
    return is_changed;
}

/* ---- step 1 ---- */

static struct recovery_finding
finding_of(const struct decider *decider, uint32_t index, const bool *is_confirmed)
{
    const struct recovery_segment *segment = &decider->segments[index];
    struct recovery_finding finding = {
        .origin = segment->is_appended ? RECOVERY_APPENDED
                  : segment->is_ours   ? RECOVERY_OURS
                                       : RECOVERY_FOREIGN,
        .finish = RECOVERY_WHOLE,
        .is_confirmed = is_confirmed[index] || segment->synced > segment->good_end,
        .is_last = index + 1 == decider->count,
        .is_load_truncated = decider->is_load_truncated,
    };
    if (segment->kind == AOF_TORN) {
        finding.finish = RECOVERY_TORN;
    } else if (segment->kind == AOF_DAMAGED) {
        finding.finish = RECOVERY_DAMAGED;
    } else if (!segment->is_whole && segment->size > 0) {
        finding.finish = RECOVERY_UNVOUCHED;
    }
    return finding;
}

/** Files that were wholly on disk, since a later one that stands on them has a mark. */
static bool *
confirmed_find(const struct decider *decider)
{
    bool *is_confirmed = heap_alloc(MAX(decider->count, 1) * sizeof(*is_confirmed));
    for (uint32_t i = decider->count; i-- > 0;) {
        is_confirmed[i] = false;
        for (uint32_t j = i + 1; j < decider->count && !is_confirmed[i]; j++) {
            bool has_mark = is_confirmed[j] || decider->segments[j].synced > 0;
            is_confirmed[i] = has_mark && stands_on(decider, j, i);
        }
    }
    return is_confirmed;
}

static void
judge_file(struct decider *decider, uint32_t index, const bool *is_confirmed)
{
    const struct recovery_segment *segment = &decider->segments[index];
    struct recovery_verdict *verdict = &decider->verdicts[index];
    struct recovery_finding finding = finding_of(decider, index, is_confirmed);
    const struct recovery_case *row = case_find(&finding);
    *verdict = (struct recovery_verdict){
        .action = RECOVERY_LOAD,
        .end = segment->size,
        .offset = segment->good_end,
        .why = row->why,
        .advice = row->advice,
    };
    if (row->decision == RECOVERY_CUT_GOOD) {
        verdict->end = segment->good_end;
    } else if (row->decision == RECOVERY_CUT_GROUP) {
        verdict->end = segment->group_end;
        verdict->offset = segment->offset;
    } else if (row->decision == RECOVERY_GIVE_UP) {
        verdict->action = RECOVERY_REFUSE;
        verdict->offset = segment->offset;
    }
}

/* ---- step 3 ---- */

static int
place_compare(const void *left, const void *right)
{
    const struct part_place *a = left;
    const struct part_place *b = right;
    if (a->ticket != b->ticket) {
        return a->ticket < b->ticket ? -1 : 1;
    }
    if (a->segment != b->segment) {
        return a->segment < b->segment ? -1 : 1;
    }
    return (a->part > b->part) - (a->part < b->part);
}

static void
places_collect(struct decider *decider)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < decider->count; i++) {
        decider->complete_below = MAX(decider->complete_below, decider->segments[i].complete_below);
        count += decider->segments[i].part_count;
    }
    decider->places = heap_alloc(MAX(count, 1) * sizeof(*decider->places));
    for (uint32_t i = 0; i < decider->count; i++) {
        const struct recovery_segment *segment = &decider->segments[i];
        for (uint32_t k = 0; k < segment->part_count; k++) {
            if (segment->parts[k].ticket >= decider->complete_below) {
                decider->places[decider->place_count++] =
                    (struct part_place){segment->parts[k].ticket, i, k};
            }
        }
    }
    qsort(decider->places, decider->place_count, sizeof(*decider->places), place_compare);
}

static const struct recovery_part *
part_of(const struct decider *decider, const struct part_place *place)
{
    return &decider->segments[place->segment].parts[place->part];
}

static bool
part_is_there(const struct decider *decider, const struct part_place *place)
{
    return part_of(decider, place)->end <= decider->verdicts[place->segment].end;
}

/** Is there a part of the transaction in a file of this shard? */
static bool
shard_has_part(const struct decider *decider, const struct part_place *places, uint32_t count,
               uint16_t shard)
{
    for (uint32_t i = 0; i < count; i++) {
        if (decider->segments[places[i].segment].shard == shard &&
            part_is_there(decider, &places[i])) {
            return true;
        }
    }
    return false;
}

static bool
transaction_is_complete(const struct decider *decider, const struct part_place *places,
                        uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct recovery_segment *segment = &decider->segments[places[i].segment];
        const struct recovery_part *part = part_of(decider, &places[i]);
        for (uint32_t k = 0; k < part->participant_count; k++) {
            uint16_t shard = segment->participants[part->participant_index + k];
            if (!shard_has_part(decider, places, count, shard)) {
                return false;
            }
        }
    }
    return true;
}

static bool
transaction_is_alone(const struct decider *decider, const struct part_place *places, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (part_of(decider, &places[i])->policy != AOF_POLICY_ALWAYS) {
            return false;
        }
    }
    return true;
}

/** How many parts the transaction that begins at places[index] has. */
static uint32_t
place_run(const struct decider *decider, uint32_t index)
{
    uint32_t end = index + 1;
    while (end < decider->place_count &&
           decider->places[end].ticket == decider->places[index].ticket) {
        end++;
    }
    return end - index;
}

/** End the files in front of parts of incomplete transactions. Returns whether any end moved. */
static bool
cut_incomplete(struct decider *decider)
{
    bool is_changed = false;
    uint32_t count;
    for (uint32_t at = 0; at < decider->place_count; at += count) {
        const struct part_place *places = &decider->places[at];
        count = place_run(decider, at);
        if (transaction_is_complete(decider, places, count) ||
            transaction_is_alone(decider, places, count)) {
            continue;
        }
        for (uint32_t i = 0; i < count; i++) {
            struct recovery_verdict *verdict = &decider->verdicts[places[i].segment];
            const struct recovery_part *part = part_of(decider, &places[i]);
            if (part->begin < verdict->end) {
                verdict->end = part->begin;
                verdict->offset = part->begin;
                verdict->why = why_incomplete;
                is_changed = true;
            }
        }
    }
    return is_changed;
}

static void
part_leave_out(struct decider *decider, const struct part_place *place)
{
    const struct recovery_segment *segment = &decider->segments[place->segment];
    struct recovery_verdict *verdict = &decider->verdicts[place->segment];
    const struct recovery_part *part = part_of(decider, place);
    size_t size = (verdict->hole_count + part->hole_count) * sizeof(*verdict->holes);
    verdict->holes = heap_realloc(verdict->holes, MAX(size, sizeof(*verdict->holes)));
    memcpy(verdict->holes + verdict->hole_count, segment->holes + part->hole_index,
           part->hole_count * sizeof(*verdict->holes));
    verdict->hole_count += part->hole_count;
    if (verdict->why == NULL) {
        verdict->why = why_incomplete;
        verdict->offset = part->begin;
    }
}

static int
hole_compare(const void *left, const void *right)
{
    const struct recovery_hole *a = left;
    const struct recovery_hole *b = right;
    return (a->begin > b->begin) - (a->begin < b->begin);
}

/** All ends are known: leave out what is incomplete in front of them, and count. */
static void
drop_incomplete(struct decider *decider)
{
    uint32_t count;
    for (uint32_t at = 0; at < decider->place_count; at += count) {
        const struct part_place *places = &decider->places[at];
        count = place_run(decider, at);
        bool is_complete = transaction_is_complete(decider, places, count);
        for (uint32_t i = 0; i < count; i++) {
            bool is_there = part_is_there(decider, &places[i]);
            decider->verdicts[places[i].segment].dropped_count += !is_complete || !is_there;
            if (is_there && !is_complete) {
                part_leave_out(decider, &places[i]);
            }
        }
    }
    for (uint32_t i = 0; i < decider->count; i++) {
        struct recovery_verdict *verdict = &decider->verdicts[i];
        if (verdict->hole_count > 1) {
            qsort(verdict->holes, verdict->hole_count, sizeof(*verdict->holes), hole_compare);
        }
        if (verdict->end < decider->segments[i].size) {
            verdict->action = RECOVERY_CUT;
        }
    }
}

/* ---- all ---- */

int
recovery_decide(const struct recovery_segment *segments, uint32_t count, bool is_load_truncated,
                struct recovery_verdict *verdicts)
{
    struct decider decider = {
        .segments = segments,
        .verdicts = verdicts,
        .count = count,
        .is_load_truncated = is_load_truncated,
        .slots = heap_alloc(MAX(count, 1) * sizeof(*decider.slots)),
    };
    for (uint32_t i = 0; i < count; i++) {
        decider.slots[i] = slots_guess(&decider, i);
    }
    bool *is_confirmed = confirmed_find(&decider);
    bool is_refused = false;
    for (uint32_t i = 0; i < count; i++) {
        judge_file(&decider, i, is_confirmed);
        is_refused |= verdicts[i].action == RECOVERY_REFUSE;
    }
    if (!is_refused) {
        places_collect(&decider);
        bool is_changed;
        do {
            is_changed = leave_out_behind(&decider);
            is_changed |= cut_incomplete(&decider);
        } while (is_changed);
        drop_incomplete(&decider);
    }
    heap_free(is_confirmed);
    heap_free(decider.places);
    heap_free(decider.slots);
    return is_refused ? -EBADMSG : 0;
}

void
recovery_verdicts_destroy(struct recovery_verdict *verdicts, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        heap_free(verdicts[i].holes);
        verdicts[i].holes = NULL;
        verdicts[i].hole_count = 0;
    }
}
