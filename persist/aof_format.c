/*
 * aof_format.c: annotation lines, there and back.
 *
 * A line is a kind and fields in a fixed order, one space in front of each; whoever reads it takes
 * exactly what is written here, so that a flipped bit makes a wrong line rather than another right
 * one. Lists (slots, participants) are numbers and ranges with commas; they are cut where a line
 * gets too long, and go on in the next.
 *
 * The sum of a check line is the XXH3 of the bytes that it covers, XORed with a hash of its own
 * numbers. So a flip in `synced`, which decides between a torn tail and a refusal, is found like
 * one in the data. The XOR lets whoever writes bytes again, into another file, replace `synced`
 * without hashing them again.
 *
 * Rejected: a sum with a secret of the file in it. Whoever may write values can put a right check
 * line into one; it is never taken for one while the file is walked, since the walk knows where
 * values end. Only a search behind damage may find it, and the worst it does is a refusal in the
 * place of a cut.
 */
#include "persist/aof_format.h"

#include "core/number.h"

#include <stdio.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

/* What a list may fill of a line: the rest is for a head's fields, " more=1" and the line's end. */
#define LIST_LINE_SIZE_MAX 900
/* "65534-65535," */
#define LIST_RANGE_SIZE_MAX 12

/* Arbitrary, and different, so that no kind of line can stand for another. */
#define CHECK_SEED UINT64_C(0x7465737365726101)
#define CLOSED_SEED UINT64_C(0x7465737365726102)

/* ---- sums ---- */

uint64_t
aof_bytes_sum(struct slice bytes)
{
    return XXH3_64bits(bytes.data, bytes.size);
}

static uint64_t
check_mix(uint64_t size, uint64_t synced)
{
    uint64_t numbers[] = {size, synced};
    return XXH3_64bits_withSeed(numbers, sizeof(numbers), CHECK_SEED);
}

static uint64_t
closed_sum(uint64_t offset)
{
    return XXH3_64bits_withSeed(&offset, sizeof(offset), CLOSED_SEED);
}

bool
aof_check_is_right(const struct aof_note *note, uint64_t bytes_sum)
{
    return note->sum == (bytes_sum ^ check_mix(note->size, note->synced));
}

/* ---- writing ---- */

static char *
put_word(char *out, const char *word)
{
    size_t size = strlen(word);
    memcpy(out, word, size);
    return out + size;
}

static char *
put_field(char *out, const char *name, uint64_t number)
{
    out = put_word(out, name);
    return out + number_format_u64(out, number);
}

static char *
put_sum(char *out, uint64_t sum)
{
    out = put_word(out, " sum=");
    for (int shift = 60; shift >= 0; shift -= 4) {
        *out++ = "0123456789abcdef"[sum >> shift & 15];
    }
    return out;
}

/** A list that goes over as many lines as it needs. */
struct list_writer {
    char *out;
    char *line;
    /** What further lines begin with, and what those that are not the last end with. */
    struct slice head;
    const char *more;
    bool is_first;
};

static void
list_put(struct list_writer *list, uint32_t first, uint32_t last)
{
    if (list->out - list->line > LIST_LINE_SIZE_MAX) {
        list->out = put_word(put_word(list->out, list->more), "\r\n");
        list->line = list->out;
        memcpy(list->out, list->head.data, list->head.size);
        list->out += list->head.size;
        list->is_first = true;
    }
    list->out = put_field(list->out, list->is_first ? "" : ",", first);
    list->is_first = false;
    if (last > first) {
        list->out = put_field(list->out, "-", last);
    }
}

size_t
aof_segment_size_max(void)
{
    /* Every second slot. */
    size_t list_size = (size_t)SLOT_COUNT / 2 * LIST_RANGE_SIZE_MAX;
    return list_size + (list_size / LIST_LINE_SIZE_MAX + 2) * 128;
}

size_t
aof_segment_format(char *out, const struct aof_segment_head *head, const uint16_t *slot_owner)
{
    struct list_writer list = {
        .line = out, .head = SLICE("#tessera slots="), .more = "", .is_first = true};
    list.out = put_field(out, "#tessera segment v=1 shards=", head->shard_count);
    list.out = put_field(list.out, " shard=", head->shard);
    list.out = put_field(list.out, " gen=", head->generation);
    if (head->boot != 0) {
        list.out = put_field(list.out, " boot=", head->boot);
    }
    list.out = put_word(list.out, " slots=");
    for (uint32_t slot = 0; slot < SLOT_COUNT; slot++) {
        uint32_t first = slot;
        while (slot < SLOT_COUNT && (slot_owner == NULL || slot_owner[slot] == head->shard)) {
            slot++;
        }
        if (slot > first) {
            list_put(&list, first, slot - 1);
        }
    }
    return (size_t)(put_word(list.out, "\r\n") - out);
}

static const char *const policy_words[] = {
    [AOF_POLICY_ALWAYS] = "always",
    [AOF_POLICY_EVERYSEC] = "everysec",
    [AOF_POLICY_NO] = "no",
};

size_t
aof_part_size_max(const struct aof_part *part)
{
    size_t list_size = (size_t)part->participant_count * LIST_RANGE_SIZE_MAX;
    return list_size + (list_size / LIST_LINE_SIZE_MAX + 2) * 128;
}

size_t
aof_part_format(char *out, const struct aof_part *part)
{
    ASSERT(part->participant_count > 0);
    struct list_writer list = {.line = out, .more = " more=1", .is_first = true};
    list.out = put_word(out, part->is_empty ? "#tessera empty" : "#tessera part");
    list.out = put_field(list.out, " ticket=", part->ticket);
    list.out = put_word(put_word(list.out, " policy="), policy_words[part->policy]);
    list.out = put_word(list.out, " shards=");
    list.head = slice_of(out, (size_t)(list.out - out));
    for (uint32_t i = 0; i < part->participant_count; i++) {
        uint32_t first = part->participants[i];
        uint32_t last = first;
        while (i + 1 < part->participant_count && part->participants[i + 1] == last + 1) {
            last++;
            i++;
        }
        list_put(&list, first, last);
    }
    return (size_t)(put_word(list.out, "\r\n") - out);
}

size_t
aof_check_format(char *out, uint64_t size, uint64_t bytes_sum, uint64_t synced)
{
    char *at = put_field(out, "#tessera check size=", size);
    at = put_sum(at, bytes_sum ^ check_mix(size, synced));
    at = put_word(put_field(at, " synced=", synced), "\r\n");
    ASSERT(at - out < AOF_CHECK_SIZE_MAX);
    return (size_t)(at - out);
}

uint64_t
aof_check_forget_synced(char *line, size_t line_size)
{
    struct aof_note note;
    aof_note_parse(&note, slice_of(line, line_size));
    ASSERT(note.kind == AOF_NOTE_CHECK);
    char *end = line + line_size - 2;
    while (end[-1] != '=') {
        *--end = '0';
    }
    end -= strlen(" sum=0123456789abcdef synced=");
    put_sum(end, note.sum ^ check_mix(note.size, note.synced) ^ check_mix(note.size, 0));
    return note.size;
}

size_t
aof_closed_format(char *out, uint64_t offset)
{
    char *at = put_field(out, "#tessera closed at=", offset);
    at = put_word(put_sum(at, closed_sum(offset)), "\r\n");
    return (size_t)(at - out);
}

size_t
aof_complete_format(char *out, uint64_t ticket)
{
    char *at = put_field(out, "#tessera complete below=", ticket);
    return (size_t)(put_word(at, "\r\n") - out);
}

size_t
aof_stamp_format(char *out, int64_t now_s)
{
    char *at = put_word(out, "#TS:");
    at += number_format_i64(at, now_s);
    return (size_t)(put_word(at, "\r\n") - out);
}

/* ---- reading ---- */

static bool
take_word(struct slice *line, const char *word)
{
    size_t size = strlen(word);
    if (line->size < size || memcmp(line->data, word, size) != 0) {
        return false;
    }
    line->data += size;
    line->size -= size;
    return true;
}

/** Digits, with zeros in front or without. */
static bool
take_number(struct slice *line, uint64_t *number)
{
    uint64_t value = 0;
    size_t count = 0;
    for (; count < line->size; count++) {
        unsigned digit = (unsigned char)line->data[count] - (unsigned)'0';
        if (digit > 9) {
            break;
        }
        if (__builtin_mul_overflow(value, UINT64_C(10), &value) ||
            __builtin_add_overflow(value, (uint64_t)digit, &value)) {
            return false;
        }
    }
    line->data += count;
    line->size -= count;
    *number = value;
    return count > 0;
}

static bool
take_field(struct slice *line, const char *name, uint64_t *number)
{
    return take_word(line, name) && take_number(line, number);
}

static bool
take_small_field(struct slice *line, const char *name, uint32_t *number)
{
    uint64_t wide;
    if (!take_field(line, name, &wide) || wide > AOF_SHARD_COUNT_MAX) {
        return false;
    }
    *number = (uint32_t)wide;
    return true;
}

static bool
take_sum(struct slice *line, uint64_t *sum)
{
    if (!take_word(line, " sum=") || line->size < 16) {
        return false;
    }
    uint64_t value = 0;
    for (int i = 0; i < 16; i++) {
        unsigned char c = (unsigned char)line->data[i];
        if (c >= '0' && c <= '9') {
            value = value << 4 | (unsigned)(c - '0');
        } else if (c >= 'a' && c <= 'f') {
            value = value << 4 | (unsigned)(c - 'a' + 10);
        } else {
            return false;
        }
    }
    line->data += 16;
    line->size -= 16;
    *sum = value;
    return true;
}

bool
aof_list_next(struct slice *list, uint32_t *first, uint32_t *last)
{
    uint64_t number;
    if (!take_number(list, &number)) {
        return false;
    }
    *first = (uint32_t)number;
    *last = (uint32_t)number;
    if (take_field(list, "-", &number)) {
        *last = (uint32_t)number;
    }
    take_word(list, ",");
    return true;
}

/** A list up to a blank or the end of the line, of numbers below `limit`; perhaps an empty one. */
static bool
take_list(struct slice *line, uint32_t limit, struct slice *list)
{
    const char *start = line->data;
    uint64_t first;
    uint64_t last;
    *list = slice_of(start, 0);
    if (line->size == 0 || line->data[0] == ' ') {
        return true;
    }
    do {
        if (!take_number(line, &first)) {
            return false;
        }
        last = first;
        if (take_word(line, "-") && !take_number(line, &last)) {
            return false;
        }
        if (first > last || last >= limit) {
            return false;
        }
    } while (take_word(line, ","));
    list->size = (size_t)(line->data - start);
    return true;
}

static bool
take_policy(struct slice *line, enum aof_policy *policy)
{
    if (!take_word(line, " policy=")) {
        return false;
    }
    for (uint32_t i = 0; i < ARRAY_COUNT(policy_words); i++) {
        if (take_word(line, policy_words[i])) {
            *policy = (enum aof_policy)i;
            return true;
        }
    }
    return false;
}

/** It may be missing. */
static bool
read_boot(struct aof_note *note, struct slice *line)
{
    note->boot = 0;
    return !take_word(line, " boot=") || take_number(line, &note->boot);
}

static bool
read_segment(struct aof_note *note, struct slice line)
{
    note->kind = AOF_NOTE_SEGMENT;
    return take_word(&line, " v=1") && take_small_field(&line, " shards=", &note->shard_count) &&
           take_small_field(&line, " shard=", &note->shard) && note->shard < note->shard_count &&
           take_field(&line, " gen=", &note->generation) && read_boot(note, &line) &&
           take_word(&line, " slots=") && take_list(&line, SLOT_COUNT, &note->list) &&
           line.size == 0;
}

static bool
read_part(struct aof_note *note, struct slice line, enum aof_note_kind kind)
{
    note->kind = kind;
    bool is_right = take_field(&line, " ticket=", &note->ticket) &&
                    take_policy(&line, &note->policy) && take_word(&line, " shards=") &&
                    take_list(&line, AOF_SHARD_COUNT_MAX, &note->list) && note->list.size > 0;
    note->is_more = is_right && take_word(&line, " more=1");
    return is_right && line.size == 0;
}

static bool
read_check(struct aof_note *note, struct slice line)
{
    note->kind = AOF_NOTE_CHECK;
    return take_field(&line, " size=", &note->size) && take_sum(&line, &note->sum) &&
           take_field(&line, " synced=", &note->synced) && line.size == 0;
}

static bool
read_closed(struct aof_note *note, struct slice line)
{
    note->kind = AOF_NOTE_CLOSED;
    return take_field(&line, " at=", &note->synced) && take_sum(&line, &note->sum) &&
           line.size == 0 && note->sum == closed_sum(note->synced);
}

/** What follows "#tessera ", without the line's end. */
static bool
read_own(struct aof_note *note, struct slice line)
{
    if (take_word(&line, "check")) {
        return read_check(note, line);
    }
    if (take_word(&line, "part")) {
        return read_part(note, line, AOF_NOTE_PART);
    }
    if (take_word(&line, "empty")) {
        return read_part(note, line, AOF_NOTE_EMPTY);
    }
    if (take_word(&line, "segment")) {
        return read_segment(note, line);
    }
    if (take_word(&line, "slots=")) {
        note->kind = AOF_NOTE_SLOTS;
        return take_list(&line, SLOT_COUNT, &note->list) && line.size == 0;
    }
    if (take_word(&line, "complete")) {
        note->kind = AOF_NOTE_COMPLETE;
        return take_field(&line, " below=", &note->ticket) && line.size == 0;
    }
    if (take_word(&line, "closed")) {
        return read_closed(note, line);
    }
    return true;
}

void
aof_note_parse(struct aof_note *note, struct slice line)
{
    *note = (struct aof_note){.kind = AOF_NOTE_OTHER};
    uint64_t time_s;
    if (take_word(&line, "#TS:")) {
        if (take_number(&line, &time_s) && time_s <= INT64_MAX) {
            note->kind = AOF_NOTE_STAMP;
            note->time_s = (int64_t)time_s;
        }
    } else if (take_word(&line, "#tessera ")) {
        bool is_ended = line.size >= 2 && memcmp(line.data + line.size - 2, "\r\n", 2) == 0;
        line.size -= is_ended ? 2 : 0;
        if (!is_ended || !read_own(note, line)) {
            *note = (struct aof_note){.kind = AOF_NOTE_WRONG};
        }
    }
}
