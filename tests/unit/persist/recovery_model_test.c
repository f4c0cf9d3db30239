/*
 * recovery_model_test.c: histories of several shards, a crash of the machine, and what recovery
 * makes of the files, against a model that knows events instead of bytes.
 *
 * Each shard writes events into its files; a file ends and the next begins anywhere. Events of a
 * transaction stand at several shards. At the crash each file loses what it likes of what was not
 * synced: its end, or a bit of it.
 */
#include "persist/recovery.h"
#include "tests/unit/persist/aof_text.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#define SHARDS_MAX 4
#define FILES_MAX 4
#define EVENTS_MAX 80
#define FILE_COUNT_MAX (SHARDS_MAX * FILES_MAX)
#define NO_TICKET UINT64_MAX

struct event {
    uint32_t id;
    uint64_t ticket;
    uint32_t db;
    uint32_t command_count; /* 0: its keys were only read */
    uint32_t file;
    uint64_t check_end; /* of the check line behind it; 0: none came */
};

struct stream {
    struct event events[EVENTS_MAX];
    uint32_t event_count;
    struct aof_text files[FILES_MAX];
    uint32_t file; /* the newest */
    uint32_t db;
    uint32_t unchecked; /* events before it have a check line behind them */
    uint32_t synced_file;
    uint64_t synced;
    uint32_t synced_events;
    /** What is left of each file, and the bit that has flipped (SIZE_MAX: none). */
    uint64_t left[FILES_MAX];
    uint64_t flipped[FILES_MAX];
    /** The model's answer: so many events are loaded. */
    uint32_t kept;
};

struct transaction {
    uint64_t ticket;
    enum aof_policy policy;
    uint16_t shards[SHARDS_MAX];
    uint32_t shard_count;
    uint32_t at[SHARDS_MAX]; /* the event at each shard */
    bool is_dropped;
};

struct history {
    struct random random;
    uint32_t shard_count;
    uint32_t file_count;
    uint16_t owners[SLOT_COUNT];
    struct stream streams[SHARDS_MAX];
    struct transaction transactions[EVENTS_MAX];
    uint32_t transaction_count;
    uint32_t next_id;
};

static uint32_t
below(struct history *history, uint32_t bound)
{
    return (uint32_t)random_below(&history->random, bound);
}

/* ---- writing ---- */

/** A check line, behind so many whole events. */
static void
stream_check_events(struct stream *stream, uint32_t event_count)
{
    struct aof_text *file = &stream->files[stream->file];
    if (file->size == file->check_end) {
        return;
    }
    uint64_t synced = stream->synced_file == stream->file ? stream->synced : 0;
    aof_text_check(file, synced);
    for (; stream->unchecked < event_count; stream->unchecked++) {
        stream->events[stream->unchecked].check_end = file->check_end;
    }
}

static void
stream_check(struct stream *stream)
{
    stream_check_events(stream, stream->event_count);
}

static void
stream_sync(struct stream *stream)
{
    stream_check(stream);
    stream->synced_file = stream->file;
    stream->synced = stream->files[stream->file].check_end;
    stream->synced_events = stream->event_count;
}

static void
stream_event(struct history *history, uint32_t shard, const struct transaction *transaction)
{
    struct stream *stream = &history->streams[shard];
    struct aof_text *file = &stream->files[stream->file];
    struct event *event = &stream->events[stream->event_count++];
    *event = (struct event){
        .id = history->next_id++,
        .ticket = transaction == NULL ? NO_TICKET : transaction->ticket,
        .db = below(history, 2),
        .command_count = 1 + below(history, 3) % 2,
        .file = stream->file,
    };
    if (transaction != NULL) {
        event->command_count = below(history, 3);
        struct aof_part part = {
            .ticket = transaction->ticket,
            .policy = transaction->policy,
            .participants = transaction->shards,
            .participant_count = transaction->shard_count,
            .is_empty = event->command_count == 0,
        };
        aof_text_part(file, &part);
    }
    bool is_late = event->command_count > 1 && below(history, 2) == 0;
    for (uint32_t i = 0; i < event->command_count; i++) {
        char word[2][24];
        if (is_late && i == 0) {
            aof_text_words(file, 1, "MULTI");
        }
        if (event->db != stream->db) {
            aof_text_words(file, 2, "SELECT", event->db == 0 ? "0" : "1");
            stream->db = event->db;
        }
        if (!is_late && i == 0 && event->command_count > 1) {
            aof_text_words(file, 1, "MULTI");
        }
        snprintf(word[0], sizeof(word[0]), "k%u", event->id);
        snprintf(word[1], sizeof(word[1]), "%u", i);
        aof_text_words(file, 3, "SET", word[0], word[1]);
        if (event->command_count > 1 && below(history, 8) == 0) {
            stream_check_events(stream, stream->event_count - 1);
        }
    }
    if (event->command_count > 1) {
        aof_text_words(file, 1, "EXEC");
    }
}

static void
history_transaction(struct history *history)
{
    struct transaction *transaction = &history->transactions[history->transaction_count++];
    static const enum aof_policy policies[] = {AOF_POLICY_ALWAYS, AOF_POLICY_EVERYSEC,
                                               AOF_POLICY_NO};
    *transaction = (struct transaction){
        .ticket = history->transaction_count * 3,
        .policy = policies[below(history, 3)],
    };
    for (uint32_t shard = 0; shard < history->shard_count; shard++) {
        if (below(history, 2) == 0) {
            transaction->shards[transaction->shard_count++] = (uint16_t)shard;
        }
    }
    if (transaction->shard_count == 0) {
        history->transaction_count--;
        return;
    }
    for (uint32_t i = 0; i < transaction->shard_count; i++) {
        transaction->at[i] = history->streams[transaction->shards[i]].event_count;
        stream_event(history, transaction->shards[i], transaction);
    }
}

/** The next file of every shard, or the first. */
static void
history_cut(struct history *history)
{
    for (uint32_t shard = 0; shard < history->shard_count; shard++) {
        struct stream *stream = &history->streams[shard];
        if (history->file_count > 0) {
            stream_check(stream);
            stream->file++;
            if (stream->synced_file == stream->file - 1 &&
                stream->synced == stream->files[stream->file - 1].size && below(history, 2) == 0) {
                stream->synced_file = stream->file;
                stream->synced = 0;
            }
        }
        stream->db = 0;
        aof_text_head(&stream->files[stream->file], history->shard_count, shard,
                      history->file_count, history->owners);
    }
    history->file_count++;
}

/** A mark, true as of now: tickets whose parts are synced at all shards. */
static void
history_mark(struct history *history)
{
    uint64_t ticket = history->transaction_count * 3 + 1;
    for (uint32_t i = history->transaction_count; i-- > 0;) {
        const struct transaction *transaction = &history->transactions[i];
        for (uint32_t k = 0; k < transaction->shard_count; k++) {
            const struct stream *stream = &history->streams[transaction->shards[k]];
            if (transaction->at[k] >= stream->synced_events) {
                ticket = transaction->ticket;
            }
        }
    }
    struct stream *stream = &history->streams[below(history, history->shard_count)];
    aof_text_complete(&stream->files[stream->file], ticket);
}

static void
history_create(struct history *history, uint64_t seed)
{
    memset(history, 0, sizeof(*history));
    random_create(&history->random, seed);
    history->shard_count = 1 + below(history, SHARDS_MAX);
    for (uint32_t slot = 0; slot < SLOT_COUNT; slot++) {
        history->owners[slot] = (uint16_t)(slot * history->shard_count / SLOT_COUNT);
    }
    history_cut(history);
    uint32_t event_count = below(history, EVENTS_MAX);
    for (uint32_t i = 0; i < event_count; i++) {
        uint32_t shard = below(history, history->shard_count);
        switch (below(history, 12)) {
        case 0:
        case 1:
        case 2:
            history_transaction(history);
            break;
        case 3:
        case 4:
        case 5:
            stream_event(history, shard, NULL);
            break;
        case 6:
            stream_sync(&history->streams[shard]);
            break;
        case 7:
            if (history->file_count < FILES_MAX && below(history, 4) == 0) {
                history_cut(history);
            }
            break;
        case 8:
            history_mark(history);
            break;
        default:
            stream_check(&history->streams[shard]);
            break;
        }
    }
}

static void
history_destroy(struct history *history)
{
    for (uint32_t shard = 0; shard < SHARDS_MAX; shard++) {
        for (uint32_t file = 0; file < FILES_MAX; file++) {
            aof_text_destroy(&history->streams[shard].files[file]);
        }
    }
}

/* ---- the crash ---- */

/** Would nobody see that it has lost its end? */
static bool
looks_whole(struct slice bytes)
{
    struct recovery_segment segment;
    recovery_scan(&segment, bytes);
    bool is_whole = segment.size == 0 || segment.is_whole;
    recovery_segment_destroy(&segment);
    return is_whole;
}

/** A file that was cut short at the end of a check line looks whole; so the writer begins the next
 * one only when it is on disk, and here none has anything behind it. */
static void
stream_crash(struct history *history, struct stream *stream)
{
    bool is_kill = below(history, 4) == 0;
    bool is_empty = false;
    for (uint32_t f = 0; f < history->file_count; f++) {
        struct aof_text *file = &stream->files[f];
        uint64_t safe = f < stream->synced_file    ? file->size
                        : f == stream->synced_file ? stream->synced
                                                   : 0;
        stream->left[f] = file->size;
        stream->flipped[f] = UINT64_MAX;
        if (is_empty) {
            stream->left[f] = 0;
        }
        if (is_kill || is_empty || safe == file->size) {
            continue;
        }
        if (below(history, 2) == 0) {
            stream->left[f] = safe + below(history, (uint32_t)(file->size - safe) + 1);
        }
        if (stream->left[f] > safe && below(history, 4) == 0) {
            stream->flipped[f] = safe + below(history, (uint32_t)(stream->left[f] - safe));
            file->bytes[stream->flipped[f]] ^= (char)(1 << below(history, 8));
        }
        is_empty =
            stream->left[f] < file->size && looks_whole(slice_of(file->bytes, stream->left[f]));
    }
}

/* ---- the model ---- */

/** Events up to the first that has lost a byte, or the check line behind it. */
static uint32_t
model_readable(const struct history *history, const struct stream *stream)
{
    uint32_t kept = 0;
    bool is_lost = false;
    for (uint32_t f = 0; f < history->file_count && !is_lost; f++) {
        for (; kept < stream->event_count && stream->events[kept].file == f; kept++) {
            uint64_t check_end = stream->events[kept].check_end;
            if (check_end == 0 || check_end > stream->left[f] || check_end > stream->flipped[f]) {
                return kept;
            }
        }
        is_lost = stream->left[f] != stream->files[f].size || stream->flipped[f] != UINT64_MAX ||
                  stream->files[f].check_end != stream->files[f].size;
    }
    return kept;
}

static void
model_decide(struct history *history)
{
    for (uint32_t shard = 0; shard < history->shard_count; shard++) {
        history->streams[shard].kept = model_readable(history, &history->streams[shard]);
    }
    bool is_changed = true;
    while (is_changed) {
        is_changed = false;
        for (uint32_t i = 0; i < history->transaction_count; i++) {
            struct transaction *transaction = &history->transactions[i];
            bool is_whole = true;
            for (uint32_t k = 0; k < transaction->shard_count; k++) {
                is_whole &= transaction->at[k] < history->streams[transaction->shards[k]].kept;
            }
            if (is_whole) {
                continue;
            }
            transaction->is_dropped = true;
            for (uint32_t k = 0; k < transaction->shard_count; k++) {
                struct stream *stream = &history->streams[transaction->shards[k]];
                if (transaction->policy != AOF_POLICY_ALWAYS && stream->kept > transaction->at[k]) {
                    stream->kept = transaction->at[k];
                    is_changed = true;
                }
            }
        }
    }
}

/** What is played of a shard, as text. */
static void
model_print(const struct history *history, const struct stream *stream, struct aof_text *out)
{
    for (uint32_t i = 0; i < stream->kept; i++) {
        const struct event *event = &stream->events[i];
        bool is_dropped =
            event->ticket != NO_TICKET && history->transactions[event->ticket / 3 - 1].is_dropped;
        for (uint32_t k = 0; k < event->command_count && !is_dropped; k++) {
            char line[64];
            aof_text_add(
                out, line,
                (size_t)snprintf(line, sizeof(line), "%u k%u %u\n", event->db, event->id, k));
        }
    }
}

/* ---- what recovery says ---- */

static void
verdict_print(struct slice bytes, const struct recovery_verdict *verdict, struct aof_text *out)
{
    struct aof_reader reader;
    struct aof_item item;
    uint32_t hole = 0;
    char db = '0';
    aof_reader_create_trusting(&reader, slice_of(bytes.data, verdict->end));
    while (aof_reader_next(&reader, &item)) {
        while (hole < verdict->hole_count && verdict->holes[hole].end <= item.offset) {
            hole++;
        }
        bool is_in_hole = hole < verdict->hole_count && verdict->holes[hole].begin <= item.offset;
        if (item.kind != AOF_COMMAND || is_in_hole) {
            continue;
        }
        if (item.argc == 2) {
            db = item.argv[1].data[0];
        } else if (item.argc == 3) {
            char line[64];
            int size = snprintf(line, sizeof(line), "%c %.*s %.*s\n", db, (int)item.argv[1].size,
                                item.argv[1].data, (int)item.argv[2].size, item.argv[2].data);
            aof_text_add(out, line, (size_t)size);
        }
    }
    cr_assert_eq(item.kind, AOF_END, "a verdict ends inside a group: %s", item.why);
    aof_reader_destroy(&reader);
}

struct files {
    struct slice bytes[FILE_COUNT_MAX];
    struct recovery_segment segments[FILE_COUNT_MAX];
    struct recovery_verdict verdicts[FILE_COUNT_MAX];
    uint32_t shards[FILE_COUNT_MAX];
    uint32_t count;
};

static void
files_decide(struct files *files, const struct history *history, uint64_t seed)
{
    for (uint32_t i = 0; i < files->count; i++) {
        recovery_scan(&files->segments[i], files->bytes[i]);
        recovery_place(&files->segments[i], i / history->shard_count, files->shards[i]);
    }
    int rc = recovery_decide(files->segments, files->count, true, files->verdicts);
    for (uint32_t i = 0; i < files->count; i++) {
        cr_assert(files->verdicts[i].action != RECOVERY_REFUSE, "seed %llu, file %u: %s, at %llu",
                  (unsigned long long)seed, i, files->verdicts[i].why,
                  (unsigned long long)files->verdicts[i].offset);
    }
    cr_assert_eq(rc, 0);
}

static void
files_compare(const struct files *files, const struct history *history, uint64_t seed)
{
    for (uint32_t shard = 0; shard < history->shard_count; shard++) {
        struct aof_text expected = {0};
        struct aof_text got = {0};
        model_print(history, &history->streams[shard], &expected);
        for (uint32_t i = 0; i < files->count; i++) {
            if (files->shards[i] == shard) {
                verdict_print(files->bytes[i], &files->verdicts[i], &got);
            }
        }
        cr_assert(slice_equal(aof_text_slice(&expected), aof_text_slice(&got)),
                  "seed %llu, shard %u:\n%.*s\nbut\n%.*s", (unsigned long long)seed, shard,
                  (int)expected.size, expected.bytes, (int)got.size, got.bytes);
        aof_text_destroy(&expected);
        aof_text_destroy(&got);
    }
}

/** Put the repaired files in the place of the others: they are whole, and say the same. */
static void
files_repair(struct files *files, const struct history *history, uint64_t seed)
{
    struct aof_text repaired[FILE_COUNT_MAX] = {{0}};
    for (uint32_t i = 0; i < files->count; i++) {
        struct recovery_repair repair;
        recovery_repair_create(&repair, files->bytes[i], &files->segments[i], &files->verdicts[i]);
        cr_assert(!repair.is_in_place || repair.keep_size == files->verdicts[i].end);
        aof_text_add(&repaired[i], files->bytes[i].data, repair.keep_size);
        if (repair.tail_size > 0) {
            aof_text_add(&repaired[i], repair.tail, repair.tail_size);
        }
        recovery_repair_destroy(&repair);
        recovery_segment_destroy(&files->segments[i]);
        files->bytes[i] = aof_text_slice(&repaired[i]);
    }
    recovery_verdicts_destroy(files->verdicts, files->count);
    files_decide(files, history, seed);
    for (uint32_t i = 0; i < files->count; i++) {
        cr_assert(files->segments[i].size == 0 || files->segments[i].is_whole, "seed %llu file %u",
                  (unsigned long long)seed, i);
        cr_assert_eq(files->verdicts[i].end, files->segments[i].size);
        cr_assert_eq(files->verdicts[i].hole_count, 0);
    }
    files_compare(files, history, seed);
    for (uint32_t i = 0; i < files->count; i++) {
        recovery_segment_destroy(&files->segments[i]);
        aof_text_destroy(&repaired[i]);
    }
    recovery_verdicts_destroy(files->verdicts, files->count);
}

static void
history_try(struct history *history, uint64_t seed)
{
    struct files files = {.count = 0};
    history_create(history, seed);
    for (uint32_t shard = 0; shard < history->shard_count; shard++) {
        stream_crash(history, &history->streams[shard]);
    }
    model_decide(history);
    for (uint32_t f = 0; f < history->file_count; f++) {
        for (uint32_t shard = 0; shard < history->shard_count; shard++) {
            const struct stream *stream = &history->streams[shard];
            files.shards[files.count] = shard;
            files.bytes[files.count++] = slice_of(stream->files[f].bytes, stream->left[f]);
        }
    }
    files_decide(&files, history, seed);
    files_compare(&files, history, seed);
    files_repair(&files, history, seed);
    history_destroy(history);
}

Test(recovery_model, crashes_of_random_histories)
{
    const char *given = getenv("RECOVERY_SEED");
    uint64_t first = given != NULL ? strtoull(given, NULL, 10) : 1;
    uint64_t last = given != NULL ? first : 5000;
    struct history *history = heap_alloc(sizeof(*history));
    for (uint64_t seed = first; seed <= last; seed++) {
        history_try(history, seed);
    }
    heap_free(history);
}
