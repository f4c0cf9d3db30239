/*
 * aof_writer_test.c: the writer against a disk that the test plays.
 * Operations end when the test says so, as it says: short, late, failed, torn. At any moment the
 * files are read as recovery reads them, as if the process or the machine had died: what the writer
 * had called written or synced must be there, in order and once. A sync that fails loses the pages.
 */
#include "aof_writer_rig.h"

/* ---- one thing after the other ---- */

Test(aof_writer, always_writes_then_syncs_and_gathers_meanwhile)
{
    struct rig *rig = rig_new(1);
    struct disk_file *file = rig_open(rig);
    rig_append(rig, 10);
    uint64_t first = rig->writer.appended_offset;
    cr_assert_null(rig->write, "nothing before the end of the turn");
    rig_flush(rig, AOF_POLICY_ALWAYS);
    cr_assert_not_null(rig->write);
    rig_append(rig, 20);
    rig_flush(rig, AOF_POLICY_ALWAYS);
    end_write_all(rig);
    cr_assert_null(rig->write);
    cr_assert_not_null(rig->sync);
    cr_assert(rig->writer.written_offset >= first);
    cr_assert_eq(rig->writer.synced_offset, 0);
    rig_append(rig, 30);
    uint64_t third = rig->writer.appended_offset;
    rig_flush(rig, AOF_POLICY_ALWAYS);
    cr_assert_null(rig->write, "the sync keeps it back");
    end_sync(rig, 0);
    cr_assert(rig->writer.synced_offset >= first);
    cr_assert(rig->writer.synced_offset < third);
    rig_flush(rig, AOF_POLICY_ALWAYS);
    end_write_all(rig);
    end_sync(rig, 0);
    cr_assert_eq(rig->writer.synced_offset, rig->writer.appended_offset);
    cr_assert_eq(rig->write_count, 2, "two items went together");
    cr_assert_eq(rig->sync_count, 2);
    cr_assert_eq(file->size, rig->writer.appended_offset);
    rig_check_all(rig);
    rig_delete(rig);
}

Test(aof_writer, a_flush_with_nothing_new_does_nothing)
{
    struct rig *rig = rig_new(2);
    rig_open(rig);
    static const enum aof_policy policies[] = {AOF_POLICY_ALWAYS, AOF_POLICY_EVERYSEC,
                                               AOF_POLICY_NO};
    for (uint32_t i = 0; i < ARRAY_COUNT(policies); i++) {
        rig_append(rig, 10);
        rig_flush(rig, policies[i]);
        end_write_all(rig);
        rig_flush(rig, policies[i]);
        if (rig->sync != NULL) {
            end_sync(rig, 0);
        }
        rig_flush(rig, policies[i]);
        cr_assert_eq(rig->writer.settled, aof_writer_settled_key(&rig->writer, policies[i]));
        uint64_t appended = rig->writer.appended_offset;
        uint32_t write_count = rig->write_count;
        uint32_t sync_count = rig->sync_count;
        rig->now_ms += 5000;
        rig_flush(rig, policies[i]);
        cr_assert_eq(rig->writer.appended_offset, appended);
        cr_assert_eq(rig->write_count, write_count);
        cr_assert_eq(rig->sync_count, sync_count);
    }
    rig_delete(rig);
}

Test(aof_writer, everysec_syncs_beside_writes_once_a_second)
{
    struct rig *rig = rig_new(3);
    rig_open(rig);
    rig->now_ms = 10000;
    cr_assert_eq(aof_writer_next_ms(&rig->writer), INT64_MAX);
    rig_append(rig, 10);
    rig_flush(rig, AOF_POLICY_EVERYSEC);
    end_write_all(rig);
    rig_flush(rig, AOF_POLICY_EVERYSEC);
    cr_assert_not_null(rig->sync, "the last one is long ago");
    cr_assert_eq(aof_writer_next_ms(&rig->writer), INT64_MAX);
    rig->now_ms = 10400;
    rig_append(rig, 10);
    rig_flush(rig, AOF_POLICY_EVERYSEC);
    cr_assert_not_null(rig->write, "beside the sync");
    end_write_all(rig);
    end_sync(rig, 0);
    cr_assert(rig->writer.synced_offset < rig->writer.written_offset);
    rig_flush(rig, AOF_POLICY_EVERYSEC);
    cr_assert_null(rig->sync);
    cr_assert_eq(aof_writer_next_ms(&rig->writer), 11000);
    rig->now_ms = 10999;
    rig_flush(rig, AOF_POLICY_EVERYSEC);
    cr_assert_null(rig->sync);
    rig->now_ms = 11000;
    rig_flush(rig, AOF_POLICY_EVERYSEC);
    end_sync(rig, 0);
    cr_assert_eq(rig->writer.synced_offset, rig->writer.appended_offset);
    cr_assert_eq(aof_writer_next_ms(&rig->writer), INT64_MAX);
    /* A clock that is set back by an hour does not put the next sync off by an hour. */
    rig->now_ms = 5000;
    rig_append(rig, 10);
    rig_flush(rig, AOF_POLICY_EVERYSEC);
    end_write_all(rig);
    cr_assert(aof_writer_next_ms(&rig->writer) <= 6000);
    rig_delete(rig);
}

Test(aof_writer, everysec_syncs_early_when_much_is_unsynced_and_then_frees_it)
{
    struct rig *rig = rig_new(4);
    struct disk_file *file = rig_open(rig);
    rig->now_ms = 1;
    rig_append(rig, 10);
    rig_flush(rig, AOF_POLICY_EVERYSEC);
    end_write_all(rig);
    rig_flush(rig, AOF_POLICY_EVERYSEC);
    end_sync(rig, 0);
    uint32_t sync_count = rig->sync_count;
    for (uint32_t i = 0; i < 66; i++) {
        rig_append(rig, 1 << 20);
        rig_flush(rig, AOF_POLICY_EVERYSEC);
        while (rig->write != NULL) {
            end_write_all(rig);
        }
        rig_flush(rig, AOF_POLICY_EVERYSEC);
        cr_assert_eq(rig->sync_count, sync_count + (i >= 63 ? 1 : 0));
        cr_assert(rig->writer.held_size >= (uint64_t)(i + 1) << 20);
    }
    end_sync(rig, 0);
    rig->now_ms = 1001;
    rig_flush(rig, AOF_POLICY_EVERYSEC);
    end_sync(rig, 0);
    cr_assert_eq(rig->writer.synced_offset, rig->writer.appended_offset);
    cr_assert(rig->writer.held_size < 4 << 20);
    cr_assert_eq(file->size, file->synced_size);
    rig_check_all(rig);
    rig_delete(rig);
}

Test(aof_writer, policy_no_forgets_what_is_written_and_later_policies_sync_it)
{
    struct rig *rig = rig_new(5);
    rig_open(rig);
    for (uint32_t i = 0; i < 1000; i++) {
        rig_append(rig, 10000);
        rig_flush(rig, AOF_POLICY_NO);
        end_write_all(rig);
        cr_assert(rig->writer.held_size < 2 << 20);
    }
    cr_assert_eq(rig->sync_count, 0);
    cr_assert_eq(rig->writer.synced_offset, 0);
    cr_assert_eq(aof_writer_next_ms(&rig->writer), INT64_MAX);
    rig_flush(rig, AOF_POLICY_NO);
    rig_flush(rig, AOF_POLICY_ALWAYS);
    cr_assert_not_null(rig->sync, "although nothing is new");
    end_sync(rig, 0);
    cr_assert_eq(rig->writer.synced_offset, rig->writer.appended_offset);
    rig_check_all(rig);
    rig_delete(rig);
}

Test(aof_writer, everysec_frees_at_once_when_the_policy_becomes_no)
{
    struct rig *rig = rig_new(6);
    rig_open(rig);
    rig->now_ms = 1;
    rig_append(rig, 10);
    rig_flush(rig, AOF_POLICY_EVERYSEC);
    end_write_all(rig);
    rig_flush(rig, AOF_POLICY_EVERYSEC);
    end_sync(rig, 0);
    rig_append(rig, 3 << 20);
    rig_flush(rig, AOF_POLICY_EVERYSEC);
    while (rig->write != NULL) {
        end_write_all(rig);
    }
    rig_flush(rig, AOF_POLICY_EVERYSEC);
    cr_assert(rig->writer.held_size > 3 << 20);
    rig_flush(rig, AOF_POLICY_NO);
    cr_assert(rig->writer.held_size < 2 << 20);
    rig_delete(rig);
}

Test(aof_writer, short_writes_go_on_and_count_when_the_check_line_is_there)
{
    struct rig *rig = rig_new(7);
    struct disk_file *file = rig_open_sized(rig, 20);
    rig_append(rig, 100);
    rig_flush(rig, AOF_POLICY_ALWAYS);
    uint64_t size = disk_write_size(rig);
    for (uint64_t i = 0; i + 1 < size; i++) {
        end_write(rig, i % 3 == 2 ? -EINTR : 1);
        i -= i % 3 == 2 ? 1 : 0;
        cr_assert_eq(rig->writer.written_offset, 0);
        cr_assert_null(rig->sync);
        if (file->size == 20 + size - 1) {
            break;
        }
        end_write(rig, 1);
        i++;
        if (file->size == 20 + size - 1) {
            break;
        }
    }
    cr_assert_eq(rig->advanced_count, 0);
    end_write(rig, 1);
    cr_assert_eq(rig->writer.written_offset, size);
    cr_assert_eq(file->size, 20 + size);
    end_sync(rig, 0);
    rig_check_all(rig);
    rig_delete(rig);
}

Test(aof_writer, several_cuts_wait_for_their_files)
{
    struct rig *rig = rig_new(8);
    rig_append(rig, 10);
    rig_flush(rig, AOF_POLICY_ALWAYS);
    rig_cut(rig);
    rig_append(rig, 20);
    uint64_t second = rig->writer.appended_offset;
    rig_cut(rig);
    rig_cut(rig);
    rig_append(rig, 30);
    rig_flush(rig, AOF_POLICY_ALWAYS);
    cr_assert_eq(aof_writer_waiting_count(&rig->writer), 4);
    cr_assert_null(rig->write);
    struct disk_file *files[4];
    files[0] = rig_open(rig);
    end_write_all(rig);
    end_sync(rig, 0);
    cr_assert_not(files[0]->is_open, "it has its end and is on disk");
    cr_assert(rig->writer.synced_offset < second);
    files[1] = rig_open(rig);
    end_write_all(rig);
    end_sync(rig, 0);
    cr_assert(rig->writer.synced_offset >= second);
    rig_flush(rig, AOF_POLICY_ALWAYS);
    cr_assert_null(rig->write);
    files[2] = rig_open(rig);
    cr_assert_not_null(rig->sync, "its head has to be on disk, too");
    files[3] = rig_open(rig);
    end_sync(rig, 0);
    rig_flush(rig, AOF_POLICY_ALWAYS);
    end_write_all(rig);
    end_sync(rig, 0);
    cr_assert_eq(rig->writer.synced_offset, rig->writer.appended_offset);
    cr_assert_eq(aof_writer_waiting_count(&rig->writer), 0);
    cr_assert_eq(files[2]->size, 0);
    cr_assert(files[3]->is_open);
    rig_check_all(rig);
    rig_delete(rig);
}

Test(aof_writer, a_cut_while_a_write_is_in_flight)
{
    struct rig *rig = rig_new(9);
    struct disk_file *first = rig_open(rig);
    rig_append(rig, 10);
    rig_flush(rig, AOF_POLICY_NO);
    rig_append(rig, 20);
    uint64_t before_cut = rig->writer.appended_offset;
    rig_cut(rig);
    rig_append(rig, 30);
    struct disk_file *second = rig_open(rig);
    rig_flush(rig, AOF_POLICY_NO);
    end_write_all(rig);
    cr_assert(rig->writer.written_offset < before_cut);
    end_write_all(rig);
    cr_assert(rig->writer.written_offset >= before_cut);
    cr_assert_not_null(rig->sync, "under any policy");
    rig_flush(rig, AOF_POLICY_NO);
    end_write_all(rig);
    end_sync(rig, 0);
    cr_assert_not(first->is_open);
    cr_assert(second->is_open);
    cr_assert_eq(first->size + second->size, rig->writer.written_offset);
    rig_delete(rig);
}

Test(aof_writer, a_full_disk_and_the_same_file_again)
{
    struct rig *rig = rig_new(10);
    rig_open(rig);
    rig_append(rig, 10);
    rig_flush(rig, AOF_POLICY_ALWAYS);
    end_write_all(rig);
    end_sync(rig, 0);
    uint64_t synced = rig->writer.synced_offset;
    rig_append(rig, 20);
    rig_flush(rig, AOF_POLICY_ALWAYS);
    end_write(rig, 7);
    end_write(rig, -ENOSPC);
    cr_assert_eq(rig->error, -ENOSPC);
    cr_assert_str_eq(rig->what, "write");
    cr_assert_eq(aof_writer_good_size(&rig->writer), synced);
    rig_append(rig, 30);
    rig_flush(rig, AOF_POLICY_ALWAYS);
    cr_assert_null(rig->write);
    rig_restart(rig, true);
    end_write(rig, -ENOSPC);
    cr_assert_eq(rig->failed_count, 2);
    rig_restart(rig, true);
    end_write_all(rig);
    end_sync(rig, 0);
    rig_flush(rig, AOF_POLICY_ALWAYS);
    end_write_all(rig);
    end_sync(rig, 0);
    rig_check_all(rig);
    rig_delete(rig);
}

Test(aof_writer, failure_is_told_when_nothing_is_in_flight)
{
    struct rig *rig = rig_new(11);
    rig_open(rig);
    rig_append(rig, 10);
    rig_flush(rig, AOF_POLICY_EVERYSEC);
    end_write_all(rig);
    rig_flush(rig, AOF_POLICY_EVERYSEC);
    rig_append(rig, 20);
    rig_flush(rig, AOF_POLICY_EVERYSEC);
    uint64_t written = rig->writer.written_offset;
    end_sync(rig, -EIO);
    cr_assert_eq(rig->failed_count, 0);
    end_write_all(rig);
    cr_assert_eq(rig->failed_count, 1);
    cr_assert_eq(rig->writer.written_offset, written, "the file is spoiled");
    cr_assert_eq(aof_writer_good_size(&rig->writer), 0);
    rig_restart(rig, false);
    end_write_all(rig);
    cr_assert_eq(rig->writer.written_offset, rig->writer.appended_offset);
    rig_delete(rig);
}

Test(aof_writer, what_has_failed_stays_in_memory_when_the_policy_becomes_no)
{
    struct rig *rig = rig_new(18);
    rig_open(rig);
    rig_append(rig, 10);
    rig_flush(rig, AOF_POLICY_ALWAYS);
    end_write_all(rig);
    end_sync(rig, -EIO);
    cr_assert_eq(aof_writer_good_size(&rig->writer), 0);
    rig_flush(rig, AOF_POLICY_NO);
    cr_assert_eq(aof_writer_good_size(&rig->writer), 0);
    rig_restart(rig, false);
    uint32_t advanced_count = rig->advanced_count;
    end_write_all(rig);
    cr_assert_eq(rig->advanced_count, advanced_count + 1, "recovered, though no offset moves");
    rig_flush(rig, AOF_POLICY_ALWAYS);
    end_sync(rig, 0);
    rig_check_all(rig);
    rig_delete(rig);
}

Test(aof_writer, the_former_file_fails_and_the_newer_one_stays)
{
    struct rig *rig = rig_new(12);
    rig_open(rig);
    rig_append(rig, 10);
    rig_flush(rig, AOF_POLICY_EVERYSEC);
    end_write_all(rig);
    rig_flush(rig, AOF_POLICY_EVERYSEC);
    end_sync(rig, 0);
    uint64_t good = rig->writer.synced_offset;
    rig_append(rig, 20);
    rig_flush(rig, AOF_POLICY_EVERYSEC);
    end_write_all(rig);
    rig_cut(rig);
    struct disk_file *newer = rig_open(rig);
    rig_append(rig, 30);
    rig_flush(rig, AOF_POLICY_EVERYSEC);
    end_write_all(rig);
    uint64_t newer_size = newer->size;
    end_sync(rig, -EIO);
    cr_assert_eq(rig->failed_count, 1);
    cr_assert_str_eq(rig->what, "fsync");
    cr_assert_eq(aof_writer_failed_file(&rig->writer), 0);
    cr_assert_eq(aof_writer_good_size(&rig->writer), good);
    rig_restart(rig, false);
    cr_assert_eq(rig->write->fd, 2);
    end_write_all(rig);
    cr_assert_null(rig->write, "the newer file has its bytes");
    cr_assert_eq(newer->size, newer_size);
    end_sync(rig, 0);
    cr_assert_not(rig->files[2].is_open);
    rig_flush(rig, AOF_POLICY_ALWAYS);
    end_sync(rig, 0);
    rig_check_all(rig);
    rig_delete(rig);
}

Test(aof_writer, two_spoiled_files_are_told_one_after_the_other)
{
    struct rig *rig = rig_new(13);
    rig_open(rig);
    rig_append(rig, 10);
    rig_flush(rig, AOF_POLICY_EVERYSEC);
    end_write_all(rig);
    rig_cut(rig);
    rig_open(rig);
    rig_append(rig, 30);
    rig_flush(rig, AOF_POLICY_EVERYSEC);
    end_write(rig, -ENOSPC);
    end_sync(rig, -EIO);
    cr_assert_eq(rig->error, -EIO);
    rig_restart(rig, false);
    cr_assert_eq(rig->error, -ENOSPC);
    cr_assert_eq(aof_writer_failed_file(&rig->writer), 1);
    cr_assert_null(rig->write);
    rig_restart(rig, false);
    end_write_all(rig);
    while (rig->write != NULL || rig->sync != NULL) {
        rig->sync != NULL ? end_sync(rig, 0) : end_write_all(rig);
    }
    rig_flush(rig, AOF_POLICY_ALWAYS);
    while (rig->write != NULL || rig->sync != NULL) {
        rig->sync != NULL ? end_sync(rig, 0) : end_write_all(rig);
    }
    rig_check_all(rig);
    rig_delete(rig);
}

Test(aof_writer, close_takes_what_is_in_flight_along)
{
    struct rig *rig = rig_new(14);
    rig_open(rig);
    rig_append(rig, 10);
    rig_flush(rig, AOF_POLICY_NO);
    rig_append(rig, 20);
    rig_cut(rig);
    rig_append(rig, 30);
    rig_cut(rig);
    aof_writer_close(&rig->writer);
    cr_assert_not(rig->is_closed);
    end_write_all(rig);
    end_write_all(rig);
    end_sync(rig, 0);
    cr_assert_null(rig->write);
    rig_open(rig);
    end_write_all(rig);
    end_sync(rig, 0);
    cr_assert_not(rig->is_closed);
    cr_assert_eq(rig->writer.synced_offset, rig->writer.appended_offset);
    uint64_t end = rig->files[1].size;
    end_write_all(rig);
    cr_assert(rig->is_closed);
    cr_assert(rig->files[1].size > end);
    rig_check_all(rig);
    rig_delete(rig);
}

Test(aof_writer, close_with_nothing_and_abandon_with_something)
{
    struct rig *rig = rig_new(15);
    rig_cut(rig);
    aof_writer_close(&rig->writer);
    cr_assert(rig->is_closed);
    rig_delete(rig);

    rig = rig_new(16);
    rig_open(rig);
    rig_append(rig, 10);
    rig_flush(rig, AOF_POLICY_ALWAYS);
    rig_append(rig, 10);
    aof_writer_abandon(&rig->writer);
    cr_assert_not(rig->is_closed);
    end_write(rig, 5);
    cr_assert(rig->is_closed);
    rig_delete(rig);

    rig = rig_new(17);
    rig_open(rig);
    rig_append(rig, 10);
    rig_flush(rig, AOF_POLICY_ALWAYS);
    end_write(rig, -EIO);
    aof_writer_close(&rig->writer);
    cr_assert_not(rig->is_closed);
    aof_writer_abandon(&rig->writer);
    cr_assert(rig->is_closed);
    rig_delete(rig);
}

/* ---- anything in any order ---- */

static size_t
draw_size(struct random *random)
{
    switch (random_below(random, 60)) {
    case 0:
        return random_below(random, 300000);
    case 1:
        return 65400 + random_below(random, 200);
    case 2:
        return random_below(random, 20000);
    default:
        return random_below(random, 200);
    }
}

static void
step_disk(struct rig *rig, uint32_t error_rarity)
{
    struct random *random = &rig->random;
    if (rig->write != NULL && random_below(random, 2) == 0) {
        uint64_t size = disk_write_size(rig);
        switch (random_below(random, 8)) {
        case 0:
            disk_land(rig, random_below(random, size + 1)); /* some of it, and nobody knows */
            break;
        case 1:
            end_write(rig, (int64_t)(1 + random_below(random, size)));
            break;
        case 2:
            end_write(rig, random_below(random, 2) == 0 ? -EINTR : -EAGAIN);
            break;
        case 3:
            if (random_below(random, error_rarity) == 0) {
                disk_land(rig, random_below(random, size + 1));
                end_write(rig, random_below(random, 3) == 0 ? 0 : -ENOSPC);
                break;
            }
            end_write_all(rig);
            break;
        default:
            end_write_all(rig);
        }
    }
    if (rig->sync != NULL && random_below(random, 4) == 0) {
        end_sync(rig, random_below(random, error_rarity) == 0 ? -EIO : 0);
    }
}

static void
step_owner(struct rig *rig, enum aof_policy policy)
{
    struct random *random = &rig->random;
    uint64_t count = random_below(random, 4);
    for (uint64_t i = 0; i < count && rig->item_count < ITEM_COUNT_MAX; i++) {
        rig_append(rig, draw_size(random));
    }
    if (random_below(random, 40) == 0 && rig->file_count < FILE_COUNT_MAX / 2) {
        rig_cut(rig);
    }
    if (aof_writer_waiting_count(&rig->writer) > 0 && random_below(random, 6) == 0) {
        rig_open_sized(rig, random_below(random, HEAD_SIZE_MAX - 1));
    }
    if (rig->error != 0 && random_below(random, 6) == 0) {
        rig_restart(rig, random_below(random, 2) == 0);
    }
    rig->now_ms += (int64_t)random_below(random, 200);
    if (random_below(random, 5) != 0) {
        rig_flush(rig, policy);
    }
}

/** What is left of a run: everything gets to disk in the end, whatever still fails. */
static void
run_out(struct rig *rig)
{
    aof_writer_close(&rig->writer);
    for (uint32_t step = 0; !rig->is_closed; step++) {
        cr_assert(step < 100000, "stuck");
        if (rig->error != 0) {
            rig_restart(rig, random_below(&rig->random, 2) == 0);
        } else if (aof_writer_waiting_count(&rig->writer) > 0) {
            rig_open(rig);
        }
        if (!rig->is_closed) {
            step_disk(rig, 30);
        }
    }
    rig_check_all(rig);
}

Test(aof_writer, races_a_model_of_disks_and_deaths)
{
    uint64_t first_seed = random_system_seed();
    const char *text = getenv("TESSERA_SEED");
    uint32_t round_count = 60;
    if (text != NULL) {
        first_seed = strtoull(text, NULL, 0);
        round_count = 1;
    }
    uint64_t counts[4] = {0};
    for (uint32_t round = 0; round < round_count; round++) {
        uint64_t seed = first_seed + round;
        printf("aof_writer: seed %" PRIu64 "\n", seed);
        struct rig *rig = rig_new(seed);
        struct random *random = &rig->random;
        enum aof_policy policy = (enum aof_policy)random_below(random, 3);
        bool is_changing = random_below(random, 2) == 0;
        uint32_t error_rarity = random_below(random, 3) == 0 ? 1000000 : 12;
        uint32_t step_count = 100 + (uint32_t)random_below(random, 400);
        for (uint32_t step = 0; step < step_count; step++) {
            if (is_changing && random_below(random, 20) == 0) {
                policy = (enum aof_policy)random_below(random, 3);
            }
            step_owner(rig, policy);
            step_disk(rig, error_rarity);
            if (random_below(random, 12) == 0) {
                rig_check_power_loss(rig);
                rig_check_kill(rig);
            }
        }
        counts[0] += rig->item_count;
        counts[1] += rig->cut_count;
        counts[2] += rig->failed_count;
        counts[3] += rig->write_count;
        run_out(rig);
        rig_delete(rig);
    }
    printf("aof_writer: %" PRIu64 " items, %" PRIu64 " cuts, %" PRIu64 " failures, %" PRIu64
           " writes\n",
           counts[0], counts[1], counts[2], counts[3]);
}
