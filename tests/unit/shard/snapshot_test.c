#include "snapshot_play.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdatomic.h>

/*
 * Snapshots against a copy of everything that was made at the cut. Random commands of all families,
 * time, flushes and swaps run between the steps of the walk and the completions of its writes; then
 * the file is read back and must be that copy, each key once.
 */

static void
play_race(uint64_t seed)
{
    struct play *play = play_new(1 + (uint32_t)(seed % 3), seed);
    struct snapshot_rig *rig = play->rig;
    play_crowd(play, true);
    play_large(play);
    play_some(play, 3000);
    for (uint32_t i = 0; i < 6; i++) {
        static const uint32_t paces[] = {1, 4, 12, 40};
        bool is_given_up = i == 1 || i == 4;
        rig->pace = paces[play_below(play, 4)];
        snapshot_rig_cut(rig, i % 3 == 2 ? SNAPSHOT_COMMANDS : SNAPSHOT_RDB);
        play_some(play, (uint32_t)play_below(play, 400));
        rig->is_failing = i == 4;
        if (i == 1) {
            atomic_store(&rig->job->is_given_up, true);
        }
        play_some(play, (uint32_t)play_below(play, 100));
        snapshot_rig_drain(rig);
        rig->is_failing = false;
        snapshot_rig_check_bits(rig);
        if (is_given_up && (i == 1 || atomic_load(&rig->job->error) != 0)) {
            cr_assert(i == 1 || atomic_load(&rig->job->error) == -ENOSPC);
            snapshot_rig_forget(rig);
        } else {
            snapshot_rig_check_file(rig);
        }
        play_some(play, (uint32_t)play_below(play, 300));
    }
    play_delete(play);
}

Test(snapshot, races_a_model)
{
    uint64_t seed = play_seed();
    for (uint64_t i = 0; i < 8; i++) {
        play_race(seed + i);
    }
}
