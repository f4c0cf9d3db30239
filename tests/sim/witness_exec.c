/*
 * witness_exec.c: that EXEC is one moment, and that it depends on what is WATCHed.
 *
 * The model counts the changes of each key. WATCH notes the counts when it runs; when the first
 * command of EXEC runs they must be the same:
 *
 *     WATCH k: 7    ...    SET k by another: 8    ...    EXEC: 8, must answer null
 *
 * From its first command to its last nobody else's command may run on any key. Whether a key whose
 * deadline is near was there is for its owner's clock to say: then EXEC may do either.
 */
#include "sim.h"

enum dirt {
    DIRT_NONE,
    DIRT_POSSIBLE,
    DIRT_CERTAIN,
};

void
sim_watch_run(struct sim_op *watch)
{
    const struct sim_model *model = &watch->sim->model;
    for (uint32_t i = 0; i < watch->key_count; i++) {
        const struct sim_cell *cell = &model->cells[watch->db][watch->keys[i]];
        watch->seen[i] = model->marks[watch->db][watch->keys[i]];
        watch->seen[i].deadline_ms = cell->exists ? cell->deadline_ms : INT64_MAX;
    }
}

static enum dirt
watch_dirt(const struct sim_op *watch)
{
    const struct sim *sim = watch->sim;
    enum dirt dirt = DIRT_NONE;
    for (uint32_t i = 0; i < watch->key_count; i++) {
        const struct sim_mark *mark = &sim->model.marks[watch->db][watch->keys[i]];
        const struct sim_mark *seen = &watch->seen[i];
        if (mark->changed != seen->changed) {
            return DIRT_CERTAIN;
        }
        if (mark->perhaps != seen->perhaps || seen->deadline_ms <= sim->now_ms) {
            dirt = DIRT_POSSIBLE;
        }
    }
    return dirt;
}

/** Of all keys that the session watches at its EXEC. */
static enum dirt
exec_dirt(const struct sim_op *exec)
{
    const struct sim_op *ops = exec->conn->ops;
    enum dirt dirt = DIRT_NONE;
    for (uint32_t i = exec->watch_first; i < exec->index; i++) {
        if (ops[i].verb == VERB_WATCH && !ops[i].is_refused && ops[i].is_executed) {
            dirt = MAX(dirt, watch_dirt(&ops[i]));
        }
    }
    return dirt;
}

bool
sim_exec_may_run_nothing(const struct sim_op *exec)
{
    return exec->verb == VERB_EXEC && (exec->queue_count == 0 || exec_dirt(exec) != DIRT_NONE);
}

void
sim_exec_skipped(struct sim_op *exec)
{
    if (exec_dirt(exec) == DIRT_NONE) {
        sim_fail(exec->sim, "watch: an EXEC does not run, though nothing was changed");
    }
    exec->is_executed = true;
    exec->sim->totals->dirty_count++;
}

void
sim_exec_begin(struct sim_op *exec)
{
    struct sim *sim = exec->sim;
    char text[200];
    sim->exec = exec;
    sim_op_describe(exec, text, sizeof(text));
    if (exec->verb != VERB_EXEC || exec->is_refused || exec->is_executed) {
        sim_fail(sim, "%s runs what it should not", text);
        return;
    }
    sim_op_begin(exec);
    for (uint32_t i = exec->watch_first; i < exec->index; i++) {
        const struct sim_op *op = &exec->conn->ops[i];
        if (op->verb == VERB_WATCH && !op->is_executed) {
            sim_fail(sim, "order: %s runs before its WATCH", text);
        }
    }
    if (exec_dirt(exec) == DIRT_CERTAIN) {
        sim_fail(sim, "watch: %s runs, though a key that it watches was changed", text);
    }
    for (uint32_t db = 0; db < SIM_DATABASES; db++) {
        for (uint32_t key = 0; key < SIM_KEYS_MAX; key++) {
            sim->exec_existed[db][key] = sim->model.cells[db][key].exists;
            sim->exec_marks[db][key] = sim->model.marks[db][key];
        }
    }
}

/** A key that was made and removed again was not changed, to those who look from outside. */
static void
forgive_round_trips(struct sim *sim)
{
    for (uint32_t db = 0; db < SIM_DATABASES; db++) {
        for (uint32_t key = 0; key < SIM_KEYS_MAX; key++) {
            struct sim_mark *mark = &sim->model.marks[db][key];
            const struct sim_mark *before = &sim->exec_marks[db][key];
            if (!sim->exec_existed[db][key] && !sim->model.cells[db][key].exists &&
                mark->changed != before->changed) {
                mark->changed = before->changed;
                mark->perhaps++;
            }
        }
    }
}

void
sim_exec_step(struct sim_op *exec)
{
    struct sim *sim = exec->sim;
    if (++exec->queue_run_count < exec->queue_count) {
        return;
    }
    forgive_round_trips(sim);
    sim->exec = NULL;
    sim->totals->exec_count++;
    sim_op_executed(exec, "has run:");
}
