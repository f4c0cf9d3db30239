/*
 * recovery_file_test.c: what stands in a file and beside it after a repair, by both ways, for every
 * length that a file can be cut to; and what is left when something cannot be written.
 */
#include "persist/recovery_file.h"

#include "core/file.h"
#include "tests/unit/persist/aof_text.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <unistd.h>

#define RDB_SIZE 10
#define RDB_BYTES "any bytes."

static void
folder_enter(char *folder, size_t size)
{
    snprintf(folder, size, "/tmp/recovery_file_test_XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    cr_assert_eq(chdir(folder), 0);
}

static void
file_put(const char *path, struct slice bytes)
{
    int fd = file_open_new(path);
    cr_assert_geq(fd, 0);
    cr_assert_eq(file_write_all(fd, bytes.data, bytes.size), 0);
    close(fd);
}

static void
file_remove(const char *path)
{
    cr_assert_eq(file_unlink(path), 0);
}

/** A file with something in front of its log: singles, a part of a transaction, check lines. */
static void
text_make(struct aof_text *text)
{
    static const uint16_t both[] = {0, 1};
    struct aof_part part = {
        .ticket = 7, .policy = AOF_POLICY_ALWAYS, .participants = both, .participant_count = 2};
    aof_text_head(text, 2, 0, 3, NULL);
    aof_text_words(text, 2, "SELECT", "0");
    aof_text_words(text, 3, "SET", "a", "1");
    aof_text_check(text, 0);
    aof_text_words(text, 3, "SET", "b", "22");
    aof_text_part(text, &part);
    aof_text_words(text, 3, "SET", "c", "x");
    aof_text_words(text, 3, "SET", "d", "333");
    aof_text_check(text, 0);
    aof_text_words(text, 3, "SET", "e", "4444");
    aof_text_check(text, 0);
}

/** Commands of a log, one letter (the key's last) each. */
static void
letters_of(struct slice log, char *out)
{
    struct aof_reader reader;
    struct aof_item item;
    aof_reader_create_trusting(&reader, log);
    while (aof_reader_next(&reader, &item)) {
        if (item.kind == AOF_COMMAND && item.argc == 3) {
            *out++ = item.argv[1].data[0];
        }
    }
    aof_reader_destroy(&reader);
    *out = '\0';
}

/** Repair "log" as recovery decides when it is alone; what is in it then. */
static int
repair(struct slice bytes, bool may_cut, const char *aside, char *letters, uint64_t *cut_size)
{
    struct recovery_segment segment;
    struct recovery_verdict verdict;
    struct file_map map;
    file_put("log", bytes);
    cr_assert_eq(file_map("log", &map), 0);
    struct slice log = slice_of(map.bytes + RDB_SIZE, map.size - RDB_SIZE);
    recovery_scan(&segment, log);
    cr_assert_eq(recovery_decide(&segment, 1, true, &verdict), 0);
    struct recovery_file file = {"log", slice_of(map.bytes, map.size), RDB_SIZE, &segment,
                                 &verdict};
    int rc = recovery_file_repair(&file, aside, "temporary", may_cut, cut_size);
    file_unmap(&map);
    recovery_segment_destroy(&segment);
    recovery_verdicts_destroy(&verdict, 1);

    cr_assert_not(file_exists("temporary"));
    cr_assert_eq(file_map("log", &map), 0);
    cr_assert_eq(memcmp(map.bytes, RDB_BYTES, RDB_SIZE), 0);
    log = slice_of(map.bytes + RDB_SIZE, map.size - RDB_SIZE);
    letters_of(log, letters);
    recovery_scan(&segment, log);
    if (rc == 0) {
        cr_assert(log.size == 0 || (segment.is_whole && segment.closed_end == log.size));
    }
    recovery_segment_destroy(&segment);
    file_unmap(&map);
    return rc;
}

/** The file beside ends as the one before did, and begins where that was left as it is. */
static void
aside_is_right(struct slice before)
{
    struct file_map aside;
    struct file_map map;
    cr_assert_eq(file_map("log", &map), 0);
    if (!file_exists("aside")) {
        cr_assert(map.size >= before.size && memcmp(map.bytes, before.data, before.size) == 0);
        file_unmap(&map);
        return;
    }
    cr_assert_eq(file_map("aside", &aside), 0);
    size_t kept = before.size - aside.size;
    cr_assert(aside.size > 0 && aside.size <= before.size);
    cr_assert_eq(memcmp(aside.bytes, before.data + kept, aside.size), 0);
    cr_assert(map.size >= kept && memcmp(map.bytes, before.data, kept) == 0);
    file_unmap(&aside);
    file_unmap(&map);
    file_remove("aside");
}

Test(recovery_file, every_length_is_repaired_in_both_ways)
{
    char folder[64];
    folder_enter(folder, sizeof(folder));
    struct aof_text text = {0};
    text_make(&text);
    char *bytes = heap_alloc(RDB_SIZE + text.size);
    memcpy(bytes, RDB_BYTES, RDB_SIZE);
    memcpy(bytes + RDB_SIZE, text.bytes, text.size);
    bool has_cut_some = false;
    for (size_t size = 0; size <= text.size; size++) {
        char letters[2][16];
        uint64_t cut_sizes[2];
        for (uint32_t may_cut = 0; may_cut < 2; may_cut++) {
            struct slice before = slice_of(bytes, RDB_SIZE + size);
            cr_assert_eq(repair(before, may_cut, "aside", letters[may_cut], &cut_sizes[may_cut]),
                         0);
            aside_is_right(before);
            has_cut_some |= cut_sizes[may_cut] > 0;
        }
        cr_assert_str_eq(letters[0], letters[1]);
        cr_assert_eq(cut_sizes[0], cut_sizes[1]);
        /* The part of a transaction whose other half is nowhere never stays. */
        cr_assert_eq(strncmp(letters[0], "abde", strlen(letters[0])), 0, "%s", letters[0]);
    }
    cr_assert(has_cut_some);
    heap_free(bytes);
    aof_text_destroy(&text);
    file_remove("log");
    cr_assert_eq(rmdir(folder), 0);
}

Test(recovery_file, nothing_changes_when_nothing_can_be_kept)
{
    char folder[64];
    char letters[16];
    uint64_t cut_size;
    folder_enter(folder, sizeof(folder));
    struct aof_text text = {0};
    aof_text_add(&text, RDB_BYTES, RDB_SIZE);
    struct aof_text log = {0};
    text_make(&log);
    aof_text_add(&text, log.bytes, log.size - 3);
    for (uint32_t may_cut = 0; may_cut < 2; may_cut++) {
        struct file_map map;
        cr_assert_lt(repair(aof_text_slice(&text), may_cut, "nowhere/aside", letters, &cut_size),
                     0);
        cr_assert_eq(file_map("log", &map), 0);
        cr_assert(map.size == text.size && memcmp(map.bytes, text.bytes, text.size) == 0);
        file_unmap(&map);
    }
    aof_text_destroy(&text);
    aof_text_destroy(&log);
    file_remove("log");
    cr_assert_eq(rmdir(folder), 0);
}

Test(recovery_file, a_scan_of_everything_takes_nothing_to_be_complete)
{
    struct aof_text text = {0};
    struct recovery_segment segment;
    text_make(&text);
    aof_text_complete(&text, 100);
    aof_text_check(&text, 0);
    recovery_scan(&segment, aof_text_slice(&text));
    cr_assert_eq(segment.complete_below, 100);
    recovery_segment_destroy(&segment);
    recovery_scan_all(&segment, aof_text_slice(&text));
    cr_assert_eq(segment.complete_below, 0);
    cr_assert_eq(segment.part_count, 1);
    recovery_segment_destroy(&segment);
    aof_text_destroy(&text);
}
