/*
 * journal.c: groups of effects, handed on once a turn.
 *
 *     effects: [SET a 1][DEL b][RPUSH l x][LPOP m]   | open: [INCR n]
 *     groups:  [1      ][2                ][1, part 0]
 *
 * Invariant: the effects of the groups fill the first `closed_size` bytes; what lies behind them
 * belongs to a command that has not ended. Each turn ends with journal_read(), and then only the
 * open part stays.
 *
 * Rejected: a chain of blocks that is kept until the slowest reader has passed it. The readers need
 * other forms than this one (RESP with checksums for files, RESP with SELECT for replicas), and
 * must keep theirs for other times (until the sync, until the acknowledgement): one more copy that
 * waits for all of them would be the largest of all. A reader that falls behind is seen at its own
 * buffer: the file makes writers wait (aof_is_clogged()), a replica is cut off.
 */
#include "shard/journal.h"

#include "core/heap.h"
#include "shard/durable.h"

#define GROUPS_MIN 256
/** Bytes of effects that a journal keeps room for between turns. */
#define JOURNAL_ROOM_MAX (UINT64_C(1) << 20)

struct journal *
journal_new(void)
{
    struct journal *journal = heap_alloc(sizeof(*journal));
    *journal = (struct journal){0};
    effects_create(&journal->effects);
    return journal;
}

static void
parts_clear(struct journal *journal)
{
    for (uint32_t i = 0; i < journal->part_count; i++) {
        heap_free((void *)(uintptr_t)journal->parts[i].participants);
    }
    journal->part_count = 0;
}

void
journal_delete(struct journal *journal)
{
    ASSERT(journal->readers == NULL);
    parts_clear(journal);
    effects_destroy(&journal->effects);
    heap_free(journal->groups);
    heap_free(journal->parts);
    heap_free(journal);
}

void
journal_reader_add(struct shard *shard, struct journal_reader *reader)
{
    struct journal *journal = shard->journal_room;
    reader->next = journal->readers;
    journal->readers = reader;
    shard->journal = &journal->effects;
}

void
journal_reader_remove(struct shard *shard, struct journal_reader *reader)
{
    struct journal *journal = shard->journal_room;
    struct journal_reader **at = &journal->readers;
    while (*at != reader) {
        ASSERT(*at != NULL);
        at = &(*at)->next;
    }
    *at = reader->next;
    if (journal->readers == NULL) {
        ASSERT(journal->group_count == 0);
        shard->journal = NULL;
    }
}

/** Keep the part with a copy of its participants. */
static uint32_t
part_keep(struct journal *journal, const struct journal_part *part)
{
    if (journal->part_count == journal->part_capacity) {
        journal->part_capacity = MAX(journal->part_capacity * 2, 16U);
        journal->parts =
            heap_realloc(journal->parts, journal->part_capacity * sizeof(*journal->parts));
    }
    size_t size = part->participant_count * sizeof(*part->participants);
    uint16_t *participants = heap_alloc(size);
    memcpy(participants, part->participants, size);
    journal->parts[journal->part_count] = (struct journal_part){
        .ticket = part->ticket,
        .participant_count = part->participant_count,
        .participants = participants,
    };
    return journal->part_count++;
}

/** Under `always`, who looks at these slots waits. */
static void
mark_slots(struct shard *shard)
{
    struct journal *journal = shard->journal_room;
    struct durable *durable = &shard->durable;
    struct effect_reader reader;
    struct effect effect;
    effect_reader_create(&reader, &journal->effects);
    reader.offset = journal->closed_size;
    while (effect_read(&reader, &effect)) {
        durable->slot_marks[effect.slot] = durable->next_mark;
    }
    effect_reader_destroy(&reader);
    durable->slot_marks[SLOT_COUNT] = durable->next_mark;
}

void
journal_close_group(struct shard *shard, const struct journal_part *part)
{
    struct journal *journal = shard->journal_room;
    if (shard->journal != &journal->effects) {
        return; /* somebody listens by himself */
    }
    uint64_t count = journal->effects.count - journal->closed_effect_count;
    if ((count == 0 && part == NULL) || journal->is_kept_open) {
        return;
    }
    if (journal->group_count == journal->group_capacity) {
        journal->group_capacity = MAX(journal->group_capacity * 2, (uint32_t)GROUPS_MIN);
        journal->groups =
            heap_realloc(journal->groups, journal->group_capacity * sizeof(*journal->groups));
    }
    if (UNLIKELY(shard->durable.slot_marks != NULL)) {
        mark_slots(shard);
    }
    journal->groups[journal->group_count++] = (struct journal_group){
        .effect_count = (uint32_t)count,
        .part_index = part == NULL ? JOURNAL_NO_PART : part_keep(journal, part),
    };
    journal->closed_effect_count = journal->effects.count;
    journal->closed_size = journal->effects.size;
    durable_changed(&shard->durable);
}

/** The groups have been read: only the open one stays. */
static void
forget_groups(struct journal *journal)
{
    struct effects *effects = &journal->effects;
    size_t open_size = effects->size - journal->closed_size;
    journal->read_size += journal->closed_size;
    if (open_size > 0) {
        memmove(effects->bytes, effects->bytes + journal->closed_size, open_size);
    }
    effects->size = open_size;
    effects->count -= journal->closed_effect_count;
    if (open_size == 0 && effects->capacity > JOURNAL_ROOM_MAX) {
        ASSERT(effects->count == 0);
        effects_destroy(effects);
    }
    journal->closed_effect_count = 0;
    journal->closed_size = 0;
    journal->group_count = 0;
    parts_clear(journal);
}

void
journal_read(struct shard *shard)
{
    struct journal *journal = shard->journal_room;
    if (journal->group_count == 0) {
        return;
    }
    for (struct journal_reader *reader = journal->readers; reader != NULL; reader = reader->next) {
        reader->read(reader, journal);
    }
    forget_groups(journal);
}

void
journal_cut(struct shard *shard, const struct effects *barrier)
{
    if (shard->journal != NULL && shard->journal != &shard->journal_room->effects) {
        if (barrier != NULL) {
            effects_copy(shard->journal, barrier);
        }
        return; /* somebody listens by himself (tests) */
    }
    journal_read(shard);
    for (struct journal_reader *reader = shard->journal_room->readers; reader != NULL;
         reader = reader->next) {
        reader->cut(reader, barrier);
    }
}

void
journal_suspend(struct shard *shard, bool is_suspended)
{
    struct journal *journal = shard->journal_room;
    journal_read(shard);
    shard->journal = is_suspended || journal->readers == NULL ? NULL : &journal->effects;
}
