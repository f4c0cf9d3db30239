/*
 * recovery_repair.c: the bytes of a file that holds what recovery has left of it.
 *
 *     before   [ ... check ][ SET, part 812, SET, check ][ torn
 *     after    [ ... check ][ SET,           SET, check, closed ]
 *               keep_size -^ tail
 *
 * A check line vouches for all bytes up to the one before it. So where nothing but bytes behind the
 * last right check line go, the file is truncated and nothing else changes. Where a cut or a hole
 * lies between two check lines, the second one is wrong from then on: all behind the first is
 * written again, without what goes, and with a check line of its own.
 *
 * The closing line at the end says that redis-server may append, and that all in front of it is on
 * disk, which whoever writes it sees to.
 */
#include "persist/recovery.h"

#include "core/heap.h"

/** Where the first byte goes. */
static uint64_t
change_offset(const struct recovery_verdict *verdict)
{
    return verdict->hole_count > 0 ? MIN(verdict->holes[0].begin, verdict->end) : verdict->end;
}

/** The end of the last check line between groups in front of the first change. */
static uint64_t
keep_find(struct slice bytes, uint64_t change)
{
    struct aof_reader reader;
    struct aof_item item;
    uint64_t keep = 0;
    aof_reader_create_trusting(&reader, slice_of(bytes.data, change));
    while (aof_reader_next(&reader, &item)) {
        if (item.kind == AOF_NOTE && reader.group_end == item.end &&
            (item.note.kind == AOF_NOTE_CHECK || item.note.kind == AOF_NOTE_CLOSED)) {
            keep = item.end;
        }
    }
    aof_reader_destroy(&reader);
    return keep;
}

static bool
goes(const struct recovery_verdict *verdict, uint32_t *hole_index, const struct aof_item *item)
{
    while (*hole_index < verdict->hole_count && verdict->holes[*hole_index].end <= item->offset) {
        (*hole_index)++;
    }
    bool is_in_hole =
        *hole_index < verdict->hole_count && verdict->holes[*hole_index].begin <= item->offset;
    bool is_check = item->kind == AOF_NOTE &&
                    (item->note.kind == AOF_NOTE_CHECK || item->note.kind == AOF_NOTE_CLOSED);
    return is_in_hole || is_check;
}

/** What stays of the bytes between `keep` and the verdict's end, behind each other. */
static void
tail_copy(struct recovery_repair *repair, struct slice bytes,
          const struct recovery_verdict *verdict)
{
    struct aof_reader reader;
    struct aof_item item;
    uint32_t hole_index = 0;
    uint64_t keep = repair->keep_size;
    aof_reader_create_trusting(&reader, slice_of(bytes.data + keep, verdict->end - keep));
    while (aof_reader_next(&reader, &item)) {
        size_t size = (size_t)(item.end - item.offset);
        item.offset += keep;
        if (!goes(verdict, &hole_index, &item)) {
            memcpy(repair->tail + repair->tail_size, bytes.data + item.offset, size);
            repair->tail_size += size;
        }
    }
    aof_reader_destroy(&reader);
}

void
recovery_repair_create(struct recovery_repair *repair, struct slice bytes,
                       const struct recovery_segment *segment,
                       const struct recovery_verdict *verdict)
{
    ASSERT(verdict->action != RECOVERY_REFUSE && verdict->end <= bytes.size);
    *repair = (struct recovery_repair){.keep_size = verdict->end, .is_in_place = true};
    bool is_at_check = verdict->end == segment->check_end && verdict->hole_count == 0;
    if (!segment->is_ours || verdict->end == 0 ||
        (segment->is_appended && verdict->hole_count == 0 && verdict->end >= segment->closed_end)) {
        return;
    }
    if (!is_at_check) {
        repair->keep_size = keep_find(bytes, change_offset(verdict));
        repair->is_in_place = verdict->hole_count == 0 && repair->keep_size == verdict->end;
    }
    repair->tail = heap_alloc(verdict->end - repair->keep_size + 2 * (size_t)AOF_CHECK_SIZE_MAX);
    if (verdict->end > repair->keep_size) {
        tail_copy(repair, bytes, verdict);
    }
    if (repair->tail_size > 0) {
        uint64_t sum = aof_bytes_sum(slice_of(repair->tail, repair->tail_size));
        repair->tail_size +=
            aof_check_format(repair->tail + repair->tail_size, repair->tail_size, sum, 0);
    }
    repair->tail_size +=
        aof_closed_format(repair->tail + repair->tail_size, repair->keep_size + repair->tail_size);
}

void
recovery_repair_destroy(struct recovery_repair *repair)
{
    heap_free(repair->tail);
    *repair = (struct recovery_repair){0};
}
