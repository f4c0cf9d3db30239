/*
 * aof_format_test.c: lines there and back, lines that do not fit, manifests with their errors, and
 * borders of groups as the reader sees them.
 */
#include "persist/aof_format.h"
#include "persist/aof_manifest.h"
#include "persist/aof_reader.h"
#include "tests/unit/persist/aof_text.h"

#include <criterion/criterion.h>
#include <errno.h>

/** Lines of a text: all short enough; returns their number. */
static uint32_t
lines_count(const char *text, size_t size)
{
    uint32_t count = 0;
    while (size > 0) {
        const char *newline = memchr(text, '\n', size);
        cr_assert_not_null(newline);
        size_t line_size = (size_t)(newline - text) + 1;
        cr_expect_lt(line_size, AOF_LINE_SIZE_MAX);
        text += line_size;
        size -= line_size;
        count++;
    }
    return count;
}

Test(aof_format, slots_and_participants_over_many_lines)
{
    uint16_t owners[SLOT_COUNT];
    uint16_t participants[500];
    struct aof_text text = {0};
    struct aof_reader reader;
    struct aof_item item;
    uint32_t slot_count = 0;
    uint32_t participant_count = 0;
    for (uint32_t i = 0; i < SLOT_COUNT; i++) {
        owners[i] = i % 2;
    }
    for (uint16_t i = 0; i < 500; i++) {
        participants[i] = (uint16_t)(i * 2);
    }
    struct aof_part part = {.ticket = UINT64_MAX,
                            .policy = AOF_POLICY_EVERYSEC,
                            .participants = participants,
                            .participant_count = 500,
                            .is_empty = true};
    aof_text_head(&text, 2, 1, UINT64_MAX, owners);
    aof_text_part(&text, &part);
    cr_expect_lt(text.size, aof_segment_size_max() + aof_part_size_max(&part));
    cr_expect_gt(lines_count(text.bytes, text.size), 40);
    aof_reader_create(&reader, aof_text_slice(&text));
    while (aof_reader_next(&reader, &item)) {
        struct slice list = item.note.list;
        uint32_t first;
        uint32_t last;
        bool is_part = item.note.kind == AOF_NOTE_EMPTY;
        cr_expect(!is_part || item.note.ticket == UINT64_MAX);
        while (aof_list_next(&list, &first, &last)) {
            cr_expect_eq(first, last);
            if (is_part) {
                cr_expect_eq(first, participants[participant_count++]);
            } else {
                cr_expect_eq(first, slot_count++ * 2 + 1);
            }
        }
    }
    cr_expect_eq(item.kind, AOF_END);
    cr_expect_eq(slot_count, SLOT_COUNT / 2);
    cr_expect_eq(participant_count, 500);
    aof_reader_destroy(&reader);
    aof_text_destroy(&text);
}

Test(aof_format, a_check_line_forgets)
{
    char line[AOF_CHECK_SIZE_MAX];
    struct aof_note note;
    size_t size = aof_check_format(line, 17, 0x123456789abcdef0, 9876543210);
    aof_note_parse(&note, slice_of(line, size));
    cr_expect(note.kind == AOF_NOTE_CHECK && note.size == 17 && note.synced == 9876543210);
    cr_expect(aof_check_is_right(&note, 0x123456789abcdef0));
    cr_expect_eq(aof_check_forget_synced(line, size), 17);
    aof_note_parse(&note, slice_of(line, size));
    cr_expect(note.kind == AOF_NOTE_CHECK && note.size == 17 && note.synced == 0);
    cr_expect(aof_check_is_right(&note, 0x123456789abcdef0));
    note.synced = 1;
    cr_expect(!aof_check_is_right(&note, 0x123456789abcdef0));
}

Test(aof_manifest, there_and_back)
{
    struct aof_manifest manifest;
    char error[200];
    static const char text[] =
        "file b.rdb seq 4 type b\n"
        "file \"a \\\"\\x41\\n.aof\" seq 1 type i gen 18446744073709551615 shard 7\n"
        "# a comment\n"
        "file c seq 9 type i other 1\nfile h seq 2 type h\n";
    cr_assert_eq(aof_manifest_parse(&manifest, SLICE(text), error, sizeof(error)), 0, "%s", error);
    cr_expect_eq(manifest.count, 4);
    cr_expect_eq(manifest.seq_last, 9);
    cr_expect_eq(manifest.base_seq_last, 4);
    cr_expect_eq(manifest.generation_last, UINT64_MAX);
    cr_expect_str_eq(manifest.files[1].name, "a \"A\n.aof");
    cr_expect_eq(manifest.files[1].shard, 7);
    aof_manifest_retire(&manifest, 1);
    cr_expect_null(aof_manifest_base(&manifest));
    cr_expect_str_eq(manifest.files[0].name, "c");
    aof_manifest_add(&manifest, &(struct aof_file){.name = "n b", .seq = 5, .type = 'b'});
    aof_manifest_remove_history(&manifest);
    size_t size;
    char *out = aof_manifest_format(&manifest, &size);
    cr_expect(slice_equal(slice_of(out, size),
                          SLICE("file \"n b\" seq 5 type b\nfile c seq 9 type i\n")));
    heap_free(out);
    aof_manifest_destroy(&manifest);
}

Test(aof_manifest, errors_name_the_line)
{
    static const struct {
        const char *text;
        const char *error;
    } cases[] = {
        {"", "Found an empty AOF manifest"},
        {"file a seq 1 type i\nfile b seq 1 type i\n", "line 2: Found a non-monotonic"},
        {"file a seq 1 type b\nfile b seq 2 type b\n", "line 2: Found duplicate base"},
        {"file a seq 1 type x\n", "line 1: Unknown AOF file type"},
        {"file a/b seq 1 type i\n", "line 1: File can't be a path"},
        {"file a seq 1\n", "line 1: Invalid AOF manifest file format"},
        {"\n", "line 1: Invalid AOF manifest file format"},
        {"file \"a seq 1 type i\n", "line 1: Invalid AOF manifest file format"},
        {"file a seq 1 type i", "line 1"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct aof_manifest manifest;
        char error[200];
        int rc =
            aof_manifest_parse(&manifest, slice_of_string(cases[i].text), error, sizeof(error));
        cr_expect_eq(rc, -EBADMSG, "%s", cases[i].text);
        cr_expect_not_null(strstr(error, cases[i].error), "%s", error);
    }
}
