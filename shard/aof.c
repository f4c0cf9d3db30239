/*
 * aof.c: from effects to the text of a file.
 *
 * Once a turn the journal's groups are written behind each other as commands: a group of several
 * effects between MULTI and EXEC, a part of a transaction over several shards behind a line that
 * names ticket and participants, SELECT where the database changes.
 *
 *     journal     [SET a 1] [DEL b, RPUSH l x]          [part of 812: SET c 2]
 *     file        SET a 1   MULTI DEL b RPUSH l x EXEC  #tessera part ticket=812 ... SET c 2
 *                 └───────────────────────── one portion, one mark ─────────────────────────┘
 *
 * The turn's bytes are a portion: when the writer has them where `appendfsync` wants them, the mark
 * is safe and the answers go (shard/durable.h).
 *
 * A cut (a rewrite's, a flush's) ends the file between two portions. Behind it the stream goes on
 * with the next file's first line, whether that file is there or not: its bytes wait in memory, and
 * so do the answers, until the manifest names it.
 */
#include "shard/aof.h"

#include "core/heap.h"
#include "core/number.h"
#include "persist/aof_format.h"
#include "shard/block.h"
#include "shard/durable.h"
#include "shard/persistence.h"
#include "shard/router_internal.h"

#include <stdatomic.h>

#define AOF_NO_DATABASE UINT32_MAX
#define PORTIONS_MIN 64
/** How long a sync waits for more commands to share it: about what a fast disk takes for one. */
#define AOF_GATHER_NS 100000

/* ---- text ---- */

static char *
put_number(char *out, char kind, uint64_t number)
{
    *out++ = kind;
    out += number_format_u64(out, number);
    *out++ = '\r';
    *out++ = '\n';
    return out;
}

/** More than number and line end take. */
#define NUMBER_LINE_SIZE_MAX (NUMBER_I64_SIZE_MAX + 3)

static size_t
command_size_max(const struct slice *argv, uint32_t argc)
{
    size_t size = NUMBER_LINE_SIZE_MAX;
    for (uint32_t i = 0; i < argc; i++) {
        size += NUMBER_LINE_SIZE_MAX + argv[i].size + 2;
    }
    return size;
}

size_t
aof_command_format(char *bytes, const struct slice *argv, uint32_t argc)
{
    if (bytes == NULL) {
        return command_size_max(argv, argc);
    }
    char *out = put_number(bytes, '*', argc);
    for (uint32_t i = 0; i < argc; i++) {
        out = put_number(out, '$', argv[i].size);
        if (argv[i].size > 0) {
            memcpy(out, argv[i].data, argv[i].size);
            out += argv[i].size;
        }
        *out++ = '\r';
        *out++ = '\n';
    }
    return (size_t)(out - bytes);
}

static void
append_command(struct aof *aof, const struct slice *argv, uint32_t argc)
{
    char *bytes = aof_writer_reserve(&aof->writer, command_size_max(argv, argc));
    aof_writer_commit(&aof->writer, aof_command_format(bytes, argv, argc));
}

static void
append_word(struct aof *aof, struct slice word)
{
    append_command(aof, &word, 1);
}

static void
append_select(struct aof *aof, uint32_t db)
{
    char digits[NUMBER_I64_SIZE_MAX];
    struct slice argv[] = {SLICE("SELECT"), slice_of(digits, number_format_u64(digits, db))};
    append_command(aof, argv, ARRAY_COUNT(argv));
    aof->db = db;
}

/** no-appendfsync-on-rewrite: while a file with all keys is being written, the log is not synced.
 */
static bool
is_sync_put_off(const struct shard *shard)
{
    return UNLIKELY(shard->config->no_appendfsync_on_rewrite) &&
           atomic_load_explicit(&shard->node->is_saving, memory_order_relaxed);
}

static enum aof_policy
policy_of(const struct shard *shard)
{
    static const enum aof_policy policies[] = {
        [CONFIG_APPENDFSYNC_ALWAYS] = AOF_POLICY_ALWAYS,
        [CONFIG_APPENDFSYNC_EVERYSEC] = AOF_POLICY_EVERYSEC,
        [CONFIG_APPENDFSYNC_NO] = AOF_POLICY_NO,
    };
    return is_sync_put_off(shard) ? AOF_POLICY_NO : policies[shard->config->appendfsync];
}

static void
append_part(struct aof *aof, const struct journal_part *part, bool is_empty)
{
    struct aof_part line = {
        .ticket = part->ticket,
        .policy = policy_of(aof->shard),
        .participants = part->participants,
        .participant_count = part->participant_count,
        .is_empty = is_empty,
    };
    aof->has_parts = true;
    char *bytes = aof_writer_reserve(&aof->writer, aof_part_size_max(&line));
    aof_writer_commit(&aof->writer, aof_part_format(bytes, &line));
}

/** The time, where the configuration wants it, once a second. */
static void
append_stamp(struct aof *aof)
{
    int64_t now_s = aof->shard->now_ms / 1000;
    if (LIKELY(!aof->shard->config->aof_timestamp_enabled) || aof->stamp_s == now_s) {
        return;
    }
    aof->stamp_s = now_s;
    char *bytes = aof_writer_reserve(&aof->writer, AOF_LINE_SIZE_MAX);
    aof_writer_commit(&aof->writer, aof_stamp_format(bytes, now_s));
}

/** What every file begins with. */
static void
append_head(struct aof *aof)
{
    struct shard *shard = aof->shard;
    struct aof_segment_head head = {
        .shard_count = shard->node->shard_count,
        .shard = shard->index,
        .generation = aof->generation,
        .boot = shard->node->boot_id,
    };
    size_t size = aof_segment_size_max();
    char *bytes = aof_writer_reserve(&aof->writer, size);
    aof_writer_commit(&aof->writer, aof_segment_format(bytes, &head, shard->node->slot_owner));
    aof->db = AOF_NO_DATABASE;
    aof->stamp_s = 0;
}

/* ---- the journal's reader ---- */

static void
append_group(struct aof *aof, struct effect_reader *effects, uint32_t effect_count)
{
    struct effect effect;
    bool is_multi = effect_count > 1;
    for (uint32_t i = 0; i < effect_count; i++) {
        bool is_there = effect_read(effects, &effect);
        ASSERT(is_there);
        if (UNLIKELY(effect.db != aof->db)) {
            append_select(aof, effect.db);
        }
        if (UNLIKELY(is_multi) && i == 0) {
            append_word(aof, SLICE("MULTI"));
        }
        append_command(aof, effect.argv, effect.argc);
    }
    if (UNLIKELY(is_multi)) {
        append_word(aof, SLICE("EXEC"));
    }
}

static void
aof_read(struct journal_reader *reader, const struct journal *journal)
{
    struct aof *aof = container_of(reader, struct aof, reader);
    struct effect_reader effects;
    append_stamp(aof);
    if (aof->gathered_count == 0) {
        aof->gather_start_ns = aof->shard->now_ns;
    }
    aof->gathered_count += journal->group_count;
    effect_reader_create(&effects, &journal->effects);
    for (uint32_t i = 0; i < journal->group_count; i++) {
        const struct journal_group *group = &journal->groups[i];
        if (UNLIKELY(group->part_index != JOURNAL_NO_PART)) {
            append_part(aof, &journal->parts[group->part_index], group->effect_count == 0);
        }
        append_group(aof, &effects, group->effect_count);
    }
    effect_reader_destroy(&effects);
}

/** A file of its own with what concerns all shards. heap_free() it. */
static char *
barrier_format(const struct aof *aof, const struct effects *barrier, size_t *size)
{
    struct effect_reader reader;
    struct effect effect;
    uint64_t slots_size = aof_segment_size_max();
    size_t size_max = slots_size + AOF_CHECK_SIZE_MAX * 2 + 64;
    effect_reader_create(&reader, barrier);
    while (effect_read(&reader, &effect)) {
        size_max += command_size_max(effect.argv, effect.argc) + 2 * NUMBER_LINE_SIZE_MAX + 64;
    }
    effect_reader_destroy(&reader);
    char *bytes = heap_alloc(size_max);
    struct aof_segment_head head = {.shard_count = 1, .generation = aof->generation - 1};
    char *out = bytes + aof_segment_format(bytes, &head, NULL);
    bool is_multi = barrier->count > 1;
    uint32_t db = 0;
    struct slice multi = SLICE("MULTI");
    struct slice exec = SLICE("EXEC");
    out += is_multi ? aof_command_format(out, &multi, 1) : 0;
    effect_reader_create(&reader, barrier);
    while (effect_read(&reader, &effect)) {
        if (effect.db != db) {
            char digits[NUMBER_I64_SIZE_MAX];
            struct slice argv[] = {SLICE("SELECT"),
                                   slice_of(digits, number_format_u64(digits, effect.db))};
            out += aof_command_format(out, argv, ARRAY_COUNT(argv));
            db = effect.db;
        }
        out += aof_command_format(out, effect.argv, effect.argc);
    }
    effect_reader_destroy(&reader);
    out += is_multi ? aof_command_format(out, &exec, 1) : 0;
    uint64_t covered = (uint64_t)(out - bytes);
    out += aof_check_format(out, covered, aof_bytes_sum(slice_of(bytes, covered)), 0);
    *size = (size_t)(out - bytes);
    ASSERT(*size <= size_max);
    return bytes;
}

static void
aof_cut(struct journal_reader *reader, const struct effects *barrier)
{
    struct aof *aof = container_of(reader, struct aof, reader);
    struct shard *shard = aof->shard;
    aof_writer_cut(&aof->writer);
    aof->cut_offsets =
        heap_realloc(aof->cut_offsets, (aof->cut_count + 1) * sizeof(*aof->cut_offsets));
    aof->cut_offsets[aof->cut_count++] = aof->writer.appended_offset;
    /* The one between may hold what concerns all shards. */
    aof->generation += 2;
    if (shard->index == 0) {
        char *bytes = NULL;
        size_t size = 0;
        if (barrier != NULL) {
            bytes = barrier_format(aof, barrier, &size);
        }
        persistence_log_cut(shard->persistence, aof->generation, bytes, size, true);
    }
    append_head(aof);
    /* Who is answered behind the cut waits for the file behind it; who looks at what a flush has
     * emptied, too. */
    struct durable *durable = &shard->durable;
    durable_changed(durable);
    for (uint32_t slot = 0; barrier != NULL && durable->slot_marks != NULL && slot <= SLOT_COUNT;
         slot++) {
        durable->slot_marks[slot] = durable->next_mark;
    }
    if (UNLIKELY(aof->early != NULL)) {
        struct aof_mail *early = aof->early;
        aof->early = NULL;
        aof_writer_open(&aof->writer, early->fd, early->size);
        heap_free(early);
    }
}

/* ---- portions ---- */

static void
portion_add(struct aof *aof, uint64_t mark, uint64_t offset)
{
    if (aof->portion_count == aof->portion_capacity) {
        uint32_t capacity = MAX(aof->portion_capacity * 2, (uint32_t)PORTIONS_MIN);
        struct aof_portion *portions = heap_alloc(capacity * sizeof(*portions));
        for (uint32_t i = 0; i < aof->portion_count; i++) {
            portions[i] = aof->portions[(aof->portion_first + i) % aof->portion_capacity];
        }
        heap_free(aof->portions);
        aof->portions = portions;
        aof->portion_first = 0;
        aof->portion_capacity = capacity;
    }
    uint32_t at = (aof->portion_first + aof->portion_count++) % aof->portion_capacity;
    aof->portions[at] = (struct aof_portion){.mark = mark, .offset = offset};
}

/** Let go who waits for what is where it has to be. */
static void
settle(struct aof *aof)
{
    struct shard *shard = aof->shard;
    uint64_t offset = policy_of(shard) == AOF_POLICY_ALWAYS ? aof->writer.synced_offset
                                                            : aof->writer.written_offset;
    uint64_t mark = 0;
    while (aof->portion_count > 0 && aof->portions[aof->portion_first].offset <= offset) {
        mark = aof->portions[aof->portion_first].mark;
        aof->portion_first = (aof->portion_first + 1) % aof->portion_capacity;
        aof->portion_count--;
    }
    if (mark > 0) {
        durable_written(shard, mark);
    }
}

/**
 * Clients whose answers left with one sync come back one after the other: whoever syncs for the
 * first of them lets all others wait for the next sync. So a sync waits, for no longer than it
 * takes itself, until most of those that shared the last one are there.
 */
static bool
gathers(struct aof *aof)
{
    const struct shard *shard = aof->shard;
    aof->is_gathering = policy_of(shard) == AOF_POLICY_ALWAYS && aof->gathered_count > 0 &&
                        !aof_writer_is_busy(&aof->writer) && aof->cut_count == 0 &&
                        aof->gathered_count * 10 < aof->expected_count * 9 &&
                        shard->now_ns - aof->gather_start_ns < AOF_GATHER_NS;
    if (!aof->is_gathering && !aof_writer_is_busy(&aof->writer) && aof->gathered_count > 0) {
        aof->expected_count = aof->gathered_count;
        aof->gathered_count = 0;
    }
    return aof->is_gathering;
}

static void cuts_settle(struct aof *aof);

void
aof_tell(struct shard *shard)
{
    struct shard_told *told = &shard->told;
    const struct aof_writer *writer = &shard->aof->writer;
    atomic_store_explicit(&told->aof_size, writer->appended_offset, memory_order_release);
    atomic_store_explicit(&told->aof_written_size, writer->written_offset, memory_order_relaxed);
    atomic_store_explicit(&told->aof_synced_size, writer->synced_offset, memory_order_release);
}

void
aof_flush(struct shard *shard)
{
    struct aof *aof = shard->aof;
    journal_read(shard);
    /* Before the answers to what was read can leave: whoever has one knows of this size. */
    aof_tell(shard);
    if (gathers(aof)) {
        return;
    }
    if (aof->writer.appended_offset != aof->portion_offset) {
        aof_writer_flush(&aof->writer, policy_of(shard), shard->now_ms);
        aof->portion_offset = aof->writer.appended_offset;
        portion_add(aof, durable_portion(&shard->durable), aof->portion_offset);
    } else {
        aof_writer_flush(&aof->writer, policy_of(shard), shard->now_ms);
    }
    if (UNLIKELY(aof->cut_count > 0)) {
        cuts_settle(aof); /* there may have been nothing to sync */
    }
    if (shard->index == 0) {
        if (UNLIKELY(shard->now_ms >= aof->mark.next_ms)) {
            aof_mark_begin(aof);
        }
        aof_mark_advance(aof);
    }
}

int64_t
aof_next_ms(const struct shard *shard)
{
    return shard->aof == NULL ? INT64_MAX : aof_writer_next_ms(&shard->aof->writer);
}

/* ---- points ---- */

struct aof_point *
aof_point_new(struct shard *shard)
{
    const struct node *node = shard->node;
    if (LIKELY(shard->aof != NULL)) {
        journal_read(shard);
        aof_tell(shard);
    }
    struct aof_point *point =
        heap_alloc(sizeof(*point) + node->shard_count * sizeof(point->offsets[0]));
    point->shard_count = node->shard_count;
    for (uint32_t i = 0; i < node->shard_count; i++) {
        uint64_t size = atomic_load_explicit(&node->shards[i]->told.aof_size, memory_order_acquire);
        /* A log that is about to begin has its first byte on disk when its base is. */
        point->offsets[i] = MAX(size, UINT64_C(1));
    }
    return point;
}

bool
aof_point_is_synced(const struct shard *shard, const struct aof_point *point)
{
    for (uint32_t i = 0; i < point->shard_count; i++) {
        const struct shard_told *told = &shard->node->shards[i]->told;
        if (atomic_load_explicit(&told->aof_synced_size, memory_order_acquire) <
            point->offsets[i]) {
            return false;
        }
    }
    return true;
}

/* ---- the writer ---- */

static void
mail_home(struct aof *aof, struct aof_mail *mail)
{
    mail->shard = (uint16_t)aof->shard->index;
    router_post(aof->shard->router, 0, MAIL_AOF, &mail->mail);
}

/** Tell core 0 of each cut before which all is on disk: only then may what comes behind it be
 * named. */
static void
cuts_settle(struct aof *aof)
{
    while (aof->cut_count > 0 && aof->cut_offsets[0] <= aof->writer.synced_offset) {
        aof->cut_count--;
        memmove(aof->cut_offsets, aof->cut_offsets + 1, aof->cut_count * sizeof(*aof->cut_offsets));
        struct aof_mail *mail = heap_alloc(sizeof(*mail));
        *mail = (struct aof_mail){.kind = AOF_MAIL_CUT};
        mail_home(aof, mail);
    }
}

static void
aof_advanced(void *owner)
{
    struct aof *aof = owner;
    aof_tell(aof->shard);
    cuts_settle(aof);
    if (UNLIKELY(aof->is_recovering)) {
        aof->is_recovering = false;
        struct aof_mail *mail = heap_alloc(sizeof(*mail));
        *mail = (struct aof_mail){.kind = AOF_MAIL_RECOVERED};
        mail_home(aof, mail);
    }
    settle(aof);
}

static void
aof_failed(void *owner, int error, const char *what)
{
    struct aof *aof = owner;
    struct aof_mail *mail = heap_alloc(sizeof(*mail));
    *mail = (struct aof_mail){
        .kind = AOF_MAIL_FAILED,
        .error = error,
        .size = aof_writer_good_size(&aof->writer),
        .file_number = aof_writer_failed_file(&aof->writer),
    };
    strncpy(mail->what, what, sizeof(mail->what) - 1);
    mail_home(aof, mail);
}

static void
aof_closed(void *owner)
{
    struct aof *aof = owner;
    struct shard *shard = aof->shard;
    settle(aof);
    durable_written(shard, UINT64_MAX);
    aof_writer_destroy(&aof->writer);
    heap_free(aof->portions);
    heap_free(aof->cut_offsets);
    heap_free(aof->mark.point);
    shard->aof = NULL;
    atomic_store_explicit(&shard->told.aof_size, 0, memory_order_relaxed);
    atomic_store_explicit(&shard->told.aof_written_size, 0, memory_order_relaxed);
    atomic_store_explicit(&shard->told.aof_synced_size, 0, memory_order_relaxed);
    struct aof_mail *mail = heap_alloc(sizeof(*mail));
    *mail = (struct aof_mail){.kind = AOF_MAIL_CLOSED};
    mail_home(aof, mail);
    heap_free(aof);
}

static const struct aof_writer_ops aof_writer_table = {
    .advanced = aof_advanced,
    .failed = aof_failed,
    .closed = aof_closed,
};

void
aof_receive(struct shard *shard, struct aof_mail *mail)
{
    struct aof *aof = shard->aof;
    ASSERT(aof != NULL);
    if (mail->kind == AOF_MAIL_OPEN && !aof->is_closing &&
        aof_writer_waiting_count(&aof->writer) == 0) {
        /* The cut was told by the core that ran the flush, the file comes from core 0: either may
         * be first. No further cut can come before this one. */
        ASSERT(aof->early == NULL);
        aof->early = mail;
        return;
    }
    if (mail->kind == AOF_MAIL_OPEN) {
        aof_writer_open(&aof->writer, mail->fd, mail->size);
    } else {
        ASSERT(mail->kind == AOF_MAIL_RESTART);
        aof->is_recovering = true;
        aof_writer_restart(&aof->writer, mail->fd, mail->size);
    }
    heap_free(mail);
}

/* ---- life ---- */

void
aof_configure(struct shard *shard)
{
    struct durable *durable = &shard->durable;
    bool is_always = shard->aof != NULL && shard->config->appendfsync == CONFIG_APPENDFSYNC_ALWAYS;
    if (is_always == (durable->slot_marks != NULL)) {
        return;
    }
    if (!is_always) {
        heap_free(durable->slot_marks);
        durable->slot_marks = NULL;
        return;
    }
    /* The last place is that of all slots. */
    size_t size = (SLOT_COUNT + 1) * sizeof(*durable->slot_marks);
    durable->slot_marks = heap_alloc(size);
    memset(durable->slot_marks, 0, size);
}

void
aof_start(struct shard *shard, uint64_t generation)
{
    ASSERT(shard->aof == NULL);
    struct aof *aof = heap_alloc(sizeof(*aof));
    *aof = (struct aof){
        .shard = shard,
        .generation = generation,
        .reader = {.read = aof_read, .cut = aof_cut},
    };
    aof_writer_create(&aof->writer, shard->ring, &aof_writer_table, aof);
    shard->aof = aof;
    append_head(aof);
    aof_tell(shard);
    if (shard->index == 0) {
        persistence_log_cut(shard->persistence, generation, NULL, 0, false);
    }
    journal_reader_add(shard, &aof->reader);
    aof_configure(shard);
}

void
aof_stop(struct shard *shard)
{
    struct aof *aof = shard->aof;
    ASSERT(!aof->is_closing);
    aof->is_closing = true;
    block_end_log_waits(shard);
    journal_read(shard);
    journal_reader_remove(shard, &aof->reader);
    aof_flush(shard);
    aof_writer_close(&aof->writer);
}
