/*
 * recovery_test.c: the table of decisions, every flipped byte and every length of a small file, and
 * what becomes of files that redis-server has written or appended to.
 */
#include "persist/recovery_internal.h"
#include "tests/unit/persist/aof_text.h"

#include <criterion/criterion.h>
#include <errno.h>

Test(recovery, each_finding_has_one_row)
{
    uint32_t row_count;
    const struct recovery_case *rows = recovery_cases(&row_count);
    uint32_t used = 0;
    for (uint32_t bits = 0; bits < RECOVERY_ORIGIN_COUNT * RECOVERY_FINISH_COUNT * 8; bits++) {
        struct recovery_finding finding = {
            .origin = (enum recovery_origin)(bits / 8 / RECOVERY_FINISH_COUNT),
            .finish = (enum recovery_finish)(bits / 8 % RECOVERY_FINISH_COUNT),
            .is_confirmed = (bits & 1) != 0,
            .is_last = (bits & 2) != 0,
            .is_load_truncated = (bits & 4) != 0,
        };
        uint32_t matches = 0;
        for (uint32_t i = 0; i < row_count; i++) {
            if (recovery_case_matches(&rows[i], &finding)) {
                matches++;
                used |= 1U << i;
                bool is_refused = rows[i].decision == RECOVERY_GIVE_UP;
                cr_expect_eq(is_refused, rows[i].advice != NULL);
                cr_expect_eq(rows[i].decision == RECOVERY_TAKE, rows[i].why == NULL);
            }
        }
        cr_expect_eq(matches, 1, "finding %u has %u rows", bits, matches);
    }
    cr_expect_eq(used, (1U << row_count) - 1, "rows that nothing matches");
}

/** A segment with singles, groups, parts, a mark and a closing line. */
static void
small_file(struct aof_text *text, bool is_closed)
{
    static const uint16_t alone[] = {0};
    struct aof_part part = {
        .ticket = 7, .policy = AOF_POLICY_EVERYSEC, .participants = alone, .participant_count = 1};
    aof_text_head(text, 1, 0, 3, NULL);
    aof_text_words(text, 2, "SELECT", "0");
    aof_text_words(text, 3, "SET", "a", "1");
    aof_text_check(text, 0);
    uint64_t synced = text->size;
    aof_text_words(text, 1, "MULTI");
    aof_text_words(text, 3, "SET", "b", "22");
    aof_text_words(text, 2, "DEL", "a");
    aof_text_words(text, 1, "EXEC");
    aof_text_part(text, &part);
    aof_text_words(text, 3, "SET", "c", "#tessera part ticket=9 policy=no shards=0\r\n");
    aof_text_check(text, synced);
    aof_text_complete(text, 8);
    aof_text_words(text, 3, "SET", "d", "");
    aof_text_check(text, synced);
    if (is_closed) {
        aof_text_closed(text);
    }
}

/** The commands up to `end`, as text. */
static void
commands_print(struct slice bytes, uint64_t end, struct aof_text *out)
{
    struct aof_reader reader;
    struct aof_item item;
    aof_reader_create_trusting(&reader, slice_of(bytes.data, end));
    while (aof_reader_next(&reader, &item)) {
        if (item.kind == AOF_COMMAND) {
            aof_text_add(out, bytes.data + item.offset, (size_t)(item.end - item.offset));
        }
    }
    cr_expect_eq(item.kind, AOF_END);
    aof_reader_destroy(&reader);
}

/** Refused, or the beginning of what was written. Returns whether it was refused. */
static bool
expect_prefix(struct slice bytes, const struct aof_text *all, bool is_load_truncated,
              const char *what, size_t where)
{
    struct recovery_segment segment;
    struct recovery_verdict verdict;
    recovery_scan(&segment, bytes);
    int rc = recovery_decide(&segment, 1, is_load_truncated, &verdict);
    cr_assert_eq(rc != 0, verdict.action == RECOVERY_REFUSE);
    if (rc == 0) {
        struct aof_text got = {0};
        commands_print(bytes, verdict.end, &got);
        cr_expect(got.size <= all->size &&
                      (got.size == 0 || memcmp(got.bytes, all->bytes, got.size) == 0),
                  "%s %zu invents:\n%.*s", what, where, (int)got.size, got.bytes);
        aof_text_destroy(&got);
    }
    recovery_verdicts_destroy(&verdict, 1);
    recovery_segment_destroy(&segment);
    return rc != 0;
}

Test(recovery, every_flip_and_every_length)
{
    for (int is_closed = 0; is_closed < 2; is_closed++) {
        struct aof_text text = {0};
        struct aof_text all = {0};
        uint32_t refused_count = 0;
        small_file(&text, is_closed);
        commands_print(aof_text_slice(&text), text.size, &all);
        for (size_t i = 0; i < text.size * 8; i++) {
            text.bytes[i / 8] ^= (char)(1 << i % 8);
            refused_count += expect_prefix(aof_text_slice(&text), &all, true, "bit", i);
            text.bytes[i / 8] ^= (char)(1 << i % 8);
        }
        cr_expect(refused_count > 0 && refused_count < text.size * 8);
        for (size_t size = 0; size <= text.size; size++) {
            /* In a block of its own, so that a sanitizer sees who reads beyond. */
            char *copy = heap_alloc(size);
            memcpy(copy, text.bytes, size);
            cr_expect(!expect_prefix(slice_of(copy, size), &all, true, "length", size));
            expect_prefix(slice_of(copy, size), &all, false, "length", size);
            heap_free(copy);
        }
        aof_text_destroy(&all);
        aof_text_destroy(&text);
    }
}

Test(recovery, damage_in_front_of_a_synced_mark_is_refused)
{
    struct aof_text text = {0};
    struct recovery_segment segment;
    struct recovery_verdict verdict;
    small_file(&text, true);
    for (size_t i = 0; i < text.check_end - AOF_CHECK_SIZE_MAX; i++) {
        text.bytes[i] ^= 1;
        recovery_scan(&segment, aof_text_slice(&text));
        cr_expect_eq(recovery_decide(&segment, 1, true, &verdict), -EBADMSG, "byte %zu", i);
        cr_expect_not_null(verdict.advice);
        recovery_verdicts_destroy(&verdict, 1);
        recovery_segment_destroy(&segment);
        text.bytes[i] ^= 1;
    }
    aof_text_destroy(&text);
}

Test(recovery, what_redis_server_appends_is_loaded)
{
    struct aof_text text = {0};
    struct recovery_segment segment;
    struct recovery_verdict verdict;
    small_file(&text, true);
    size_t closed_end = text.size;
    aof_text_words(&text, 2, "SELECT", "0");
    aof_text_words(&text, 3, "SET", "x", "y");
    size_t size = text.size;
    aof_text_words(&text, 3, "SET", "torn", "y");
    for (size_t left = closed_end; left < text.size; left++) {
        recovery_scan(&segment, slice_of(text.bytes, left));
        cr_expect_eq(recovery_decide(&segment, 1, true, &verdict), 0);
        if (left >= size) {
            cr_expect_eq(verdict.end, size);
        }
        cr_expect_eq(segment.is_appended, left > closed_end);
        recovery_verdicts_destroy(&verdict, 1);
        recovery_segment_destroy(&segment);
    }
    aof_text_destroy(&text);
}

Test(recovery, torn_files_of_redis_server)
{
    struct aof_text text = {0};
    struct recovery_segment segments[2];
    struct recovery_verdict verdicts[2];
    aof_text_words(&text, 2, "SELECT", "0");
    aof_text_words(&text, 3, "SET", "x", "y");
    size_t whole = text.size;
    aof_text_words(&text, 1, "MULTI");
    aof_text_words(&text, 3, "SET", "x", "z");
    for (int is_first = 0; is_first < 2; is_first++) {
        recovery_scan(&segments[is_first ? 0 : 1], aof_text_slice(&text));
        recovery_scan(&segments[is_first ? 1 : 0], slice_of(text.bytes, whole));
        int rc = recovery_decide(segments, 2, true, verdicts);
        cr_expect_eq(rc, is_first ? -EBADMSG : 0);
        cr_expect(is_first || verdicts[1].end == whole);
        recovery_verdicts_destroy(verdicts, 2);
        cr_expect_eq(recovery_decide(segments, 2, false, verdicts), -EBADMSG);
        recovery_verdicts_destroy(verdicts, 2);
        recovery_segment_destroy(&segments[0]);
        recovery_segment_destroy(&segments[1]);
    }
    aof_text_destroy(&text);
}
