/*
 * aof_reader.c: what stands in an AOF file, item by item.
 *
 *     #segment.. *3 SET.. #part.. *1 MULTI *3.. *1 EXEC #check.. *3 SET.. <torn
 *               ^        ^                             ^        ^
 *               group_end moves to each of these       |        group_end
 *                                                      good_end = check_end
 *
 * A group is what is played wholly or not at all: a command, MULTI up to its EXEC, either with the
 * part line in front. group_end is where the last whole one ends, good_end the last such border
 * that a check line vouches for. A check line covers all from the end of the one before it to its
 * own start; it may stand inside a group (a long one that took several writes), and then vouches
 * for the bytes, but good_end stays in front of the group.
 *
 * The walk believes nothing: lengths are compared with what is left before anything is skipped, and
 * the array of arguments grows with arguments that were read, not with the number that is
 * announced. Where the bytes end before an item does, it is torn, even if it is a flipped length
 * that reaches beyond the end: who calls can tell the two apart only by what check lines behind it
 * say, which is what aof_search_synced() is for.
 *
 * Files are walked twice, over gigabytes: once to look (checking), once to play (trusting). So a
 * command costs its digits and nothing else; commands are looked at by name only where they have
 * the argument count and length of MULTI, EXEC or SELECT.
 *
 * Rejected: net/resp.h's parser, which waits for more bytes at any place, copies what spans buffers
 * and takes inline commands, none of which a mapped file has.
 */
#include "persist/aof_reader.h"

#include "core/heap.h"

#define ARGV_CAPACITY_MIN 64
/* More digits than any length in a file has, fewer than overflow. */
#define LENGTH_DIGITS_MAX 18
/* What a search may hash: each right line's bytes once, and hostile ones that overlap. */
#define SEARCH_HASH_FACTOR 8
#define SEARCH_HASH_SIZE_MIN (UINT64_C(64) << 20)

static void
reader_create(struct aof_reader *reader, struct slice bytes, bool is_checking)
{
    *reader = (struct aof_reader){
        .base = bytes.data,
        .at = bytes.data,
        .end = bytes.size == 0 ? bytes.data : bytes.data + bytes.size,
        .argv = heap_alloc(ARGV_CAPACITY_MIN * sizeof(struct slice)),
        .argv_capacity = ARGV_CAPACITY_MIN,
        .is_checking = is_checking,
    };
}

void
aof_reader_create(struct aof_reader *reader, struct slice bytes)
{
    reader_create(reader, bytes, true);
}

void
aof_reader_create_trusting(struct aof_reader *reader, struct slice bytes)
{
    reader_create(reader, bytes, false);
}

void
aof_reader_destroy(struct aof_reader *reader)
{
    heap_free(reader->argv);
    reader->argv = NULL;
}

void
aof_reader_skip(struct aof_reader *reader, uint64_t offset)
{
    ASSERT(!reader->is_checking);
    ASSERT(offset <= (uint64_t)(reader->end - reader->base));
    reader->at = reader->base + offset;
    reader->is_multi = false;
    reader->is_part = false;
    reader->part_is_more = false;
    reader->group_end = offset;
}

static uint64_t
offset_of(const struct aof_reader *reader, const char *at)
{
    return (uint64_t)(at - reader->base);
}

/* ---- ends ---- */

static bool
end_at(const struct aof_reader *reader, struct aof_item *item, enum aof_item_kind kind,
       const char *why)
{
    item->kind = kind;
    item->offset = offset_of(reader, reader->at);
    item->end = item->offset;
    item->argc = 0;
    item->why = why;
    return false;
}

static __attribute__((noinline)) bool
end_torn(const struct aof_reader *reader, struct aof_item *item)
{
    return end_at(reader, item, AOF_TORN, "the file ends inside a command or line");
}

static __attribute__((noinline)) bool
end_damaged(const struct aof_reader *reader, struct aof_item *item, const char *why)
{
    return end_at(reader, item, AOF_DAMAGED, why);
}

static bool
end_of_bytes(struct aof_reader *reader, struct aof_item *item)
{
    if (reader->is_multi) {
        return end_at(reader, item, AOF_TORN, "the file ends between MULTI and EXEC");
    }
    if (reader->is_part) {
        return end_at(reader, item, AOF_TORN, "the file ends inside a part of a transaction");
    }
    return end_at(reader, item, AOF_END, NULL);
}

/* ---- commands ---- */

enum length_kind {
    LENGTH_READ,
    LENGTH_TORN,
    LENGTH_WRONG,
};

/** Mark, digits, line end. */
static inline __attribute__((always_inline)) enum length_kind
length_read(const char **at, const char *end, char mark, uint64_t *length)
{
    const char *from = *at;
    uint64_t value = 0;
    if (UNLIKELY(from == end)) {
        return LENGTH_TORN;
    }
    if (UNLIKELY(*from++ != mark)) {
        return LENGTH_WRONG;
    }
    const char *digits = from;
    for (; LIKELY(from < end); from++) {
        unsigned digit = (unsigned char)*from - (unsigned)'0';
        if (digit > 9) {
            break;
        }
        value = value * 10 + digit;
    }
    if (UNLIKELY(from - digits > LENGTH_DIGITS_MAX)) {
        return LENGTH_WRONG;
    }
    if (UNLIKELY(end - from < 2)) {
        return from == end || (*from == '\r' && from > digits) ? LENGTH_TORN : LENGTH_WRONG;
    }
    if (UNLIKELY(from == digits || from[0] != '\r' || from[1] != '\n')) {
        return LENGTH_WRONG;
    }
    *at = from + 2;
    *length = value;
    return LENGTH_READ;
}

static __attribute__((noinline)) void
argv_grow(struct aof_reader *reader)
{
    ASSERT(reader->argv_capacity <= UINT32_MAX / 2);
    reader->argv_capacity *= 2;
    reader->argv = heap_realloc(reader->argv, reader->argv_capacity * sizeof(struct slice));
}

static __attribute__((noinline)) bool
end_at_length(const struct aof_reader *reader, struct aof_item *item, enum length_kind kind)
{
    return kind == LENGTH_TORN ? end_torn(reader, item)
                               : end_damaged(reader, item, "this is neither a command nor a line");
}

/** MULTI, EXEC, SELECT: what a group is. False: the file is damaged. */
static __attribute__((noinline)) bool
group_special(struct aof_reader *reader, struct aof_item *item, const char *at)
{
    struct slice name = reader->argv[0];
    if (item->argc == 1 && slice_is_word(name, "multi")) {
        if (reader->is_multi) {
            return end_damaged(reader, item, "MULTI inside MULTI");
        }
        reader->is_multi = true;
    } else if (item->argc == 1 && slice_is_word(name, "exec")) {
        if (!reader->is_multi) {
            return end_damaged(reader, item, "EXEC without MULTI");
        }
        reader->is_multi = false;
        reader->is_part = false;
        reader->group_end = offset_of(reader, at);
    } else if (!reader->is_multi && !(reader->is_part && slice_is_word(name, "select"))) {
        reader->is_part = false;
        reader->group_end = offset_of(reader, at);
    }
    reader->at = at;
    return true;
}

static inline __attribute__((always_inline)) bool
command_next(struct aof_reader *reader, struct aof_item *item)
{
    const char *at = reader->at;
    const char *end = reader->end;
    uint64_t count;
    uint64_t size;
    enum length_kind kind = length_read(&at, end, '*', &count);
    if (UNLIKELY(kind != LENGTH_READ)) {
        return end_at_length(reader, item, kind);
    }
    if (UNLIKELY(count == 0 || count > INT32_MAX)) {
        return end_damaged(reader, item, "a command with no argument, or with too many");
    }
    if (UNLIKELY(reader->part_is_more)) {
        return end_damaged(reader, item, "a command inside the lines of a part");
    }
    for (uint32_t i = 0; i < (uint32_t)count; i++) {
        kind = length_read(&at, end, '$', &size);
        if (UNLIKELY(kind != LENGTH_READ)) {
            return end_at_length(reader, item, kind);
        }
        if (UNLIKELY((uint64_t)(end - at) < size + 2)) {
            return end_torn(reader, item);
        }
        if (UNLIKELY(i == reader->argv_capacity)) {
            argv_grow(reader);
        }
        reader->argv[i] = slice_of(at, size);
        at += size;
        if (UNLIKELY(at[0] != '\r' || at[1] != '\n')) {
            return end_damaged(reader, item, "an argument is longer than its length says");
        }
        at += 2;
    }
    item->kind = AOF_COMMAND;
    item->argc = (uint32_t)count;
    item->argv = reader->argv;
    item->offset = offset_of(reader, reader->at);
    item->end = offset_of(reader, at);
    item->why = NULL;
    if (UNLIKELY(reader->is_multi || reader->is_part || count == 1)) {
        return group_special(reader, item, at);
    }
    reader->group_end = item->end;
    reader->at = at;
    return true;
}

/* ---- lines ---- */

/** NULL: it fits. */
static const char *
check_wrong(const struct aof_reader *reader, const struct aof_note *note, uint64_t offset)
{
    if (note->size != offset - reader->check_end || note->synced > reader->check_end) {
        return "a check line is not about the bytes in front of it";
    }
    struct slice covered = slice_of(reader->base + reader->check_end, note->size);
    if (!aof_check_is_right(note, aof_bytes_sum(covered))) {
        return "a checksum is wrong";
    }
    return NULL;
}

static const char *
closed_wrong(const struct aof_reader *reader, const struct aof_note *note, uint64_t offset)
{
    bool is_right = note->synced == offset && reader->check_end == offset && !reader->is_multi &&
                    !reader->is_part;
    return is_right ? NULL : "a closing line is not at the end";
}

static const char *
part_wrong(const struct aof_reader *reader, const struct aof_note *note)
{
    bool is_empty = note->kind == AOF_NOTE_EMPTY;
    if (reader->is_multi) {
        return "a part of a transaction inside MULTI";
    }
    if (reader->part_is_more
            ? reader->part_ticket != note->ticket || reader->part_is_empty != is_empty
            : reader->is_part) {
        return "a part of a transaction without its command";
    }
    return NULL;
}

/** NULL: the line may stand here. */
static const char *
note_wrong(const struct aof_reader *reader, const struct aof_note *note, uint64_t offset)
{
    bool is_part = note->kind == AOF_NOTE_PART || note->kind == AOF_NOTE_EMPTY;
    if (reader->part_is_more && !is_part) {
        return "the lines of a part are not together";
    }
    switch (note->kind) {
    case AOF_NOTE_WRONG:
        return "a line of Tessera's that cannot be read";
    case AOF_NOTE_PART:
    case AOF_NOTE_EMPTY:
        return part_wrong(reader, note);
    case AOF_NOTE_CHECK:
        return reader->is_checking ? check_wrong(reader, note, offset) : NULL;
    case AOF_NOTE_CLOSED:
        return reader->is_checking ? closed_wrong(reader, note, offset) : NULL;
    case AOF_NOTE_SEGMENT:
        return offset != 0 ? "a segment begins inside a file" : NULL;
    case AOF_NOTE_SLOTS:
    case AOF_NOTE_OTHER:
    case AOF_NOTE_COMPLETE:
    case AOF_NOTE_STAMP:
    default:
        return NULL;
    }
}

/** A line that may stand here: what the reader knows now. */
static void
note_take(struct aof_reader *reader, const struct aof_note *note, uint64_t end)
{
    bool is_foreign = note->kind == AOF_NOTE_OTHER || note->kind == AOF_NOTE_STAMP;
    reader->has_notes |= !is_foreign;
    if (note->kind == AOF_NOTE_PART || note->kind == AOF_NOTE_EMPTY) {
        reader->part_ticket = note->ticket;
        reader->part_is_empty = note->kind == AOF_NOTE_EMPTY;
        reader->part_is_more = note->is_more;
        reader->is_part = note->is_more || !reader->part_is_empty;
    }
    if (!reader->is_multi && !reader->is_part) {
        reader->group_end = end;
    }
    bool is_check = note->kind == AOF_NOTE_CHECK || note->kind == AOF_NOTE_CLOSED;
    if (is_check && reader->is_checking) {
        reader->check_end = end;
        reader->good_end = reader->group_end;
        reader->synced = MAX(reader->synced, note->synced);
        reader->is_closed = note->kind == AOF_NOTE_CLOSED;
    }
}

static __attribute__((noinline)) bool
note_next(struct aof_reader *reader, struct aof_item *item)
{
    size_t left = (size_t)(reader->end - reader->at);
    const char *newline = memchr(reader->at, '\n', MIN(left, (size_t)AOF_FOREIGN_LINE_SIZE_MAX));
    if (newline == NULL) {
        return left < AOF_FOREIGN_LINE_SIZE_MAX ? end_torn(reader, item)
                                                : end_damaged(reader, item, "a line is too long");
    }
    size_t size = (size_t)(newline - reader->at) + 1;
    uint64_t offset = offset_of(reader, reader->at);
    aof_note_parse(&item->note, slice_of(reader->at, size));
    const char *why = note_wrong(reader, &item->note, offset);
    if (why != NULL) {
        reader->has_notes |= item->note.kind != AOF_NOTE_OTHER;
        return end_damaged(reader, item, why);
    }
    note_take(reader, &item->note, offset + size);
    item->kind = AOF_NOTE;
    item->argc = 0;
    item->argv = NULL;
    item->offset = offset;
    item->end = offset + size;
    item->why = NULL;
    reader->at += size;
    return true;
}

bool
aof_reader_next(struct aof_reader *reader, struct aof_item *item)
{
    if (UNLIKELY(reader->at == reader->end)) {
        return end_of_bytes(reader, item);
    }
    if (UNLIKELY(*reader->at == '#')) {
        return note_next(reader, item);
    }
    return command_next(reader, item);
}

/* ---- behind damage ---- */

/** What the line at `offset` knows to be on disk; 0 if it is none of ours or does not fit. Adds
 * what was hashed. */
static uint64_t
line_synced(struct slice bytes, uint64_t offset, uint64_t *hashed_size)
{
    size_t left = MIN(bytes.size - offset, (size_t)AOF_CHECK_SIZE_MAX);
    const char *line = bytes.data + offset;
    const char *newline = memchr(line, '\n', left);
    struct aof_note note;
    if (newline == NULL) {
        return 0;
    }
    aof_note_parse(&note, slice_of(line, (size_t)(newline - line) + 1));
    if (note.kind == AOF_NOTE_CLOSED) {
        return note.synced == offset ? offset : 0;
    }
    if (note.kind != AOF_NOTE_CHECK || note.size > offset || note.synced > offset - note.size) {
        return 0;
    }
    *hashed_size += note.size;
    struct slice covered = slice_of(line - note.size, note.size);
    return aof_check_is_right(&note, aof_bytes_sum(covered)) ? note.synced : 0;
}

uint64_t
aof_search_synced(struct slice bytes, uint64_t from)
{
    static const char word[] = "#tessera c";
    uint64_t hashed_size = 0;
    uint64_t hashed_size_max = MAX(bytes.size, SEARCH_HASH_SIZE_MIN) * SEARCH_HASH_FACTOR;
    uint64_t synced = 0;
    while (from < bytes.size) {
        const char *line = memmem(bytes.data + from, bytes.size - from, word, sizeof(word) - 1);
        if (line == NULL) {
            break;
        }
        uint64_t offset = (uint64_t)(line - bytes.data);
        synced = MAX(synced, line_synced(bytes, offset, &hashed_size));
        if (hashed_size > hashed_size_max) {
            return UINT64_MAX;
        }
        from = offset + 1;
    }
    return synced;
}
