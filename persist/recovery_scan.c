/*
 * recovery_scan.c: one file, walked from end to end: how far it can be trusted, and which parts of
 * transactions stand in it.
 *
 * Parts are kept until a mark says that they are complete everywhere, so that the memory does not
 * grow with the file. What no check line vouches for is forgotten at the end of the walk: a part, a
 * mark or a ticket counts from the check line on that stands behind it.
 *
 * A part that is to be dropped is left out as a list of holes rather than one: a SELECT inside it
 * stays, for what follows counts on it.
 *
 * Where the walk ends early, or with bytes that nobody vouches for, a search goes on behind: a line
 * there that fits its bytes may know that they were on disk once. That is the difference between a
 * write that was cut short and a disk that has lost something.
 */
#include "persist/recovery.h"

#include "core/heap.h"

/* Parts that are kept before it is worth looking which of them are complete. */
#define PARTS_BEFORE_PRUNING 1024
#define CAPACITY_MIN 16

struct scan {
    struct recovery_segment *segment;
    struct aof_reader reader;
    /** Of what no check line has vouched for yet. */
    uint64_t complete_below;
    uint64_t ticket_last;
    uint32_t prune_at;
    /** The last of the segment's parts has not ended. */
    bool is_part_open;
    /** Where its next hole begins. */
    uint64_t hole_begin;
};

/* ---- arrays ---- */

/** Room for one more. */
static void *
array_grow(void *items, uint32_t count, uint32_t *capacity, size_t item_size)
{
    if (count < *capacity) {
        return items;
    }
    ASSERT(*capacity <= UINT32_MAX / 2);
    *capacity = MAX(*capacity * 2, (uint32_t)CAPACITY_MIN);
    return heap_realloc(items, *capacity * item_size);
}

static void
hole_add(struct recovery_segment *segment, uint64_t begin, uint64_t end)
{
    if (begin == end) {
        return;
    }
    segment->holes = array_grow(segment->holes, segment->hole_count, &segment->hole_capacity,
                                sizeof(*segment->holes));
    segment->holes[segment->hole_count++] = (struct recovery_hole){begin, end};
    segment->parts[segment->part_count - 1].hole_count++;
}

/** Forget all parts but those for which `keeps` says so, in place. */
static void
parts_filter(struct recovery_segment *segment, bool (*keeps)(const struct recovery_segment *segment,
                                                             const struct recovery_part *part))
{
    uint32_t part_count = 0;
    uint32_t participant_count = 0;
    uint32_t hole_count = 0;
    for (uint32_t i = 0; i < segment->part_count; i++) {
        struct recovery_part part = segment->parts[i];
        if (!keeps(segment, &part)) {
            continue;
        }
        memmove(segment->participants + participant_count,
                segment->participants + part.participant_index,
                part.participant_count * sizeof(*segment->participants));
        memmove(segment->holes + hole_count, segment->holes + part.hole_index,
                part.hole_count * sizeof(*segment->holes));
        part.participant_index = participant_count;
        part.hole_index = hole_count;
        participant_count += part.participant_count;
        hole_count += part.hole_count;
        segment->parts[part_count++] = part;
    }
    segment->part_count = part_count;
    segment->participant_count = participant_count;
    segment->hole_count = hole_count;
}

static bool
part_is_needed(const struct recovery_segment *segment, const struct recovery_part *part)
{
    return part->ticket >= segment->complete_below;
}

static bool
part_is_good(const struct recovery_segment *segment, const struct recovery_part *part)
{
    return part->end <= segment->good_end;
}

/* ---- notes ---- */

static void
slots_add(struct recovery_segment *segment, struct slice list)
{
    uint32_t first;
    uint32_t last;
    if (segment->slots == NULL) {
        segment->slots = heap_alloc_lines(SLOT_COUNT / 64, sizeof(*segment->slots));
    }
    while (aof_list_next(&list, &first, &last)) {
        for (uint32_t slot = first; slot <= last; slot++) {
            segment->slots[slot / 64] |= UINT64_C(1) << slot % 64;
        }
    }
}

static void
part_line(struct scan *scan, const struct aof_item *item)
{
    struct recovery_segment *segment = scan->segment;
    struct slice list = item->note.list;
    uint32_t first;
    uint32_t last;
    if (!scan->is_part_open) {
        segment->parts = array_grow(segment->parts, segment->part_count, &segment->part_capacity,
                                    sizeof(*segment->parts));
        segment->parts[segment->part_count++] = (struct recovery_part){
            .ticket = item->note.ticket,
            .begin = item->offset,
            .end = UINT64_MAX,
            .policy = item->note.policy,
            .participant_index = segment->participant_count,
            .hole_index = segment->hole_count,
        };
        scan->is_part_open = true;
        scan->hole_begin = item->offset;
        scan->ticket_last = MAX(scan->ticket_last, item->note.ticket);
    }
    struct recovery_part *part = &segment->parts[segment->part_count - 1];
    while (aof_list_next(&list, &first, &last)) {
        for (uint32_t shard = first; shard <= last; shard++) {
            if (part->participant_count == AOF_SHARD_COUNT_MAX) {
                return;
            }
            segment->participants =
                array_grow(segment->participants, segment->participant_count,
                           &segment->participant_capacity, sizeof(*segment->participants));
            segment->participants[segment->participant_count++] = (uint16_t)shard;
            part->participant_count++;
        }
    }
}

/** All up to here is vouched for. */
static void
vouch(struct scan *scan)
{
    struct recovery_segment *segment = scan->segment;
    segment->complete_below = MAX(segment->complete_below, scan->complete_below);
    segment->ticket_last = MAX(segment->ticket_last, scan->ticket_last);
    if (segment->part_count >= scan->prune_at && !scan->is_part_open) {
        parts_filter(segment, part_is_needed);
        scan->prune_at = MAX(segment->part_count * 2, (uint32_t)PARTS_BEFORE_PRUNING);
    }
}

/** An item has ended a part, or has not. */
static void
part_step(struct scan *scan, const struct aof_item *item)
{
    struct recovery_segment *segment = scan->segment;
    if (item->kind == AOF_COMMAND && item->argc == 2 && slice_is_word(item->argv[0], "select")) {
        hole_add(segment, scan->hole_begin, item->offset);
        scan->hole_begin = item->end;
    }
    if (scan->reader.group_end == item->end) {
        hole_add(segment, scan->hole_begin, item->end);
        segment->parts[segment->part_count - 1].end = item->end;
        scan->is_part_open = false;
    }
}

static void
note_step(struct scan *scan, const struct aof_item *item)
{
    struct recovery_segment *segment = scan->segment;
    switch (item->note.kind) {
    case AOF_NOTE_SEGMENT:
        segment->shard_count = item->note.shard_count;
        segment->shard = item->note.shard;
        segment->generation = item->note.generation;
        segment->boot = item->note.boot;
        slots_add(segment, item->note.list);
        break;
    case AOF_NOTE_SLOTS:
        slots_add(segment, item->note.list);
        break;
    case AOF_NOTE_PART:
    case AOF_NOTE_EMPTY:
        part_line(scan, item);
        break;
    case AOF_NOTE_COMPLETE:
        scan->complete_below = MAX(scan->complete_below, item->note.ticket);
        break;
    case AOF_NOTE_CHECK:
    case AOF_NOTE_CLOSED:
        vouch(scan);
        break;
    case AOF_NOTE_OTHER:
    case AOF_NOTE_WRONG:
    case AOF_NOTE_STAMP:
    default:
        break;
    }
}

/* ---- the file ---- */

static bool
begins_as_ours(struct slice bytes)
{
    struct slice word = SLICE("#tessera ");
    size_t size = MIN(bytes.size, word.size);
    return size > 0 && memcmp(bytes.data, word.data, size) == 0;
}

static bool
is_all_zero(struct slice bytes)
{
    return bytes.size > 0 && bytes.data[0] == 0 &&
           memcmp(bytes.data, bytes.data + 1, bytes.size - 1) == 0;
}

/** What the walk has come to. */
static void
segment_conclude(struct recovery_segment *segment, const struct aof_reader *reader,
                 struct slice bytes)
{
    segment->is_ours = reader->has_notes || begins_as_ours(bytes) || is_all_zero(bytes);
    segment->group_end = reader->group_end;
    segment->good_end = reader->good_end;
    segment->check_end = reader->check_end;
    segment->synced = reader->synced;
    segment->is_appended = reader->is_closed && reader->check_end < segment->size;
    segment->closed_end = reader->is_closed ? reader->check_end : 0;
    segment->is_whole = segment->kind == AOF_END && segment->good_end == segment->size;
    if (!segment->is_whole && !segment->is_appended &&
        (segment->is_ours || segment->kind != AOF_END)) {
        segment->synced = MAX(segment->synced, aof_search_synced(bytes, segment->check_end));
        segment->is_ours |= segment->synced > 0;
    }
    segment->has_head = segment->slots != NULL && segment->good_end > 0;
    parts_filter(segment, part_is_good);
}

static void
scan_bytes(struct recovery_segment *segment, struct slice bytes, uint32_t prune_at)
{
    struct scan scan = {.segment = segment, .prune_at = prune_at};
    struct aof_item item;
    *segment = (struct recovery_segment){.size = bytes.size};
    aof_reader_create(&scan.reader, bytes);
    while (LIKELY(aof_reader_next(&scan.reader, &item))) {
        if (UNLIKELY(item.kind == AOF_NOTE)) {
            note_step(&scan, &item);
        }
        if (UNLIKELY(scan.is_part_open)) {
            part_step(&scan, &item);
        }
    }
    segment->kind = item.kind;
    segment->offset = item.offset;
    segment->why = item.why;
    if (segment->part_count > 0 && scan.is_part_open) {
        segment->hole_count -= segment->parts[segment->part_count - 1].hole_count;
        segment->participant_count -= segment->parts[segment->part_count - 1].participant_count;
        segment->part_count--;
    }
    segment_conclude(segment, &scan.reader, bytes);
    aof_reader_destroy(&scan.reader);
}

void
recovery_scan(struct recovery_segment *segment, struct slice bytes)
{
    scan_bytes(segment, bytes, PARTS_BEFORE_PRUNING);
}

void
recovery_scan_all(struct recovery_segment *segment, struct slice bytes)
{
    scan_bytes(segment, bytes, UINT32_MAX);
    segment->complete_below = 0;
}

void
recovery_segment_destroy(struct recovery_segment *segment)
{
    heap_free(segment->slots);
    heap_free(segment->parts);
    heap_free(segment->participants);
    heap_free(segment->holes);
    *segment = (struct recovery_segment){0};
}
