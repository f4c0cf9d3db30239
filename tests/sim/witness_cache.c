/*
 * witness_cache.c: clients that keep what they have read: never longer than they may.
 *
 * A client's cache is filled from its replies and emptied by the invalidations among them, in the
 * order in which they arrive:
 *
 *     replies     a = 1    b = 2    invalidate a    QUEUED ... EXEC: a = 3
 *     cache       a: 1     a: 1, b: 2      b: 2                  a: 3, b: 2
 *
 * Whenever no mail is under way and a connection is owed nothing, whatever it keeps must be what
 * the model holds: an invalidation that was never sent (the read was registered too late), or that
 * arrived before the reply which it is about (it passed a held-back one), leaves a value behind
 * that nobody will ever call back, and the next look finds it. That is the promise that a cache
 * lives by: wrong for as long as a message travels, and no longer.
 *
 * Who tracks with NOLOOP is not told of his own writes; he forgets what they name when they are
 * answered. Deadlines: between a key's last moment and its removal both are right; in the end all
 * that is over is removed, and then nobody may keep it.
 */
#include "sim.h"

#include <stdio.h>
#include <stdlib.h>

static void
forget(struct sim_cache *cache, uint32_t key)
{
    struct sim_kept *kept = &cache->kept[key];
    kept->is_kept = false;
    free(kept->value);
    kept->value = NULL;
    kept->size = 0;
}

static void
forget_all(struct sim_cache *cache)
{
    for (uint32_t i = 0; i < SIM_KEYS_MAX; i++) {
        forget(cache, i);
    }
}

void
sim_cache_destroy(struct sim_cache *cache)
{
    forget_all(cache);
}

/** One bulk string or null, at *text. */
static void
keep(struct sim_conn *conn, uint32_t key, const char **text)
{
    struct sim_kept *kept = &conn->cache.kept[key];
    forget(&conn->cache, key);
    kept->is_kept = true;
    conn->sim->totals->kept_count++;
    bool is_null = (*text)[0] == '_' || (*text)[1] == '-';
    char *bytes = strchr(*text, '\n') + 1;
    if (!is_null) {
        kept->size = strtoul(*text + 1, NULL, 10);
        kept->value = malloc(kept->size + 1);
        ASSERT(kept->value != NULL);
        memcpy(kept->value, bytes, kept->size);
        bytes += kept->size + 2;
    }
    *text = bytes;
}

/** Who tracks with prefixes is told of what begins so, and keeps nothing else. */
static bool
is_covered(const struct sim_conn *conn, uint32_t key)
{
    const char *prefix = conn->cache.options.prefix;
    return conn->cache.options.mode != CACHE_BCAST ||
           strncmp(conn->sim->keys[key], prefix, strlen(prefix)) == 0;
}

static void
answered_read(struct sim_op *op, const char *text)
{
    struct sim_conn *conn = op->conn;
    if (op->verb == VERB_MGET) {
        text = strchr(text, '\n') + 1;
    }
    for (uint32_t i = 0; i < op->key_count; i++) {
        const char *next = text;
        keep(conn, op->keys[i], &text);
        if (!is_covered(conn, op->keys[i])) {
            forget(&conn->cache, op->keys[i]);
        }
        ASSERT(text > next);
    }
}

/** A request of a connection is answered, by itself or in its EXEC's reply. `text` NULL: it is
 * muted. */
static void
answered(struct sim_op *op, const char *text)
{
    struct sim_cache *cache = &op->conn->cache;
    if (op->verb == VERB_TRACKING) {
        forget_all(cache);
        cache->options = op->cache;
    } else if (op->is_kept && text != NULL) {
        answered_read(op, text);
    } else if (cache->options.is_noloop && (op->real->flags & CMD_WRITE) != 0) {
        for (uint32_t i = 0; i < op->key_count; i++) {
            forget(cache, op->keys[i]);
        }
    }
}

void
sim_cache_answered(struct sim_op *op, const char *text, size_t size)
{
    if (op->sim->shape.theme != THEME_CACHE || op->exec != NULL) {
        return;
    }
    if (op->verb != VERB_EXEC) {
        answered(op, text);
        return;
    }
    if (op->is_refused || text == NULL || text[0] != '*' || text[1] == '-') {
        return;
    }
    const char *end = text + size;
    text = strchr(text, '\n') + 1;
    for (uint32_t i = op->queue_first; i < op->index; i++) {
        if (op->conn->ops[i].exec == op) {
            answered(&op->conn->ops[i], text);
            text += sim_reply_size(text, (size_t)(end - text));
        }
    }
}

bool
sim_invalidation_take(struct sim_conn *conn, const char *text)
{
    static const char head[] = ">2\r\n$10\r\ninvalidate\r\n";
    struct sim *sim = conn->sim;
    if (sim->shape.theme != THEME_CACHE || strncmp(text, head, sizeof(head) - 1) != 0) {
        return false;
    }
    text += sizeof(head) - 1;
    sim->totals->invalidated_count++;
    if (text[0] == '_') {
        sim_say(sim, "c%u is told to forget all", conn->index);
        forget_all(&conn->cache);
        return true;
    }
    ASSERT(strncmp(text, "*1\r\n$", 5) == 0);
    char *bytes;
    size_t size = strtoul(text + 5, &bytes, 10);
    for (uint32_t i = 0; i < sim->shape.key_count; i++) {
        if (slice_equal(slice_of_string(sim->keys[i]), slice_of(bytes + 2, size))) {
            sim_say(sim, "c%u is told to forget %s", conn->index, sim->keys[i]);
            forget(&conn->cache, i);
            return true;
        }
    }
    sim_fail(sim, "cache: c%u is told to forget what does not exist: %.80s", conn->index, text);
    return true;
}

static void
check_kept(struct sim_conn *conn, uint32_t key, bool is_end)
{
    struct sim *sim = conn->sim;
    const struct sim_kept *kept = &conn->cache.kept[key];
    const struct sim_cell *cell = &sim->model.cells[0][key];
    if (!kept->is_kept || cell->pending != NULL) {
        return;
    }
    bool is_over = cell->exists && (cell->is_over || cell->deadline_ms <= sim->now_ms);
    if (is_over && !is_end) {
        return;
    }
    bool is_there = cell->exists && !is_over;
    bool is_right = is_there == (kept->value != NULL) &&
                    (!is_there || (kept->size == cell->size &&
                                   memcmp(kept->value, cell->value, cell->size) == 0));
    if (!is_right) {
        sim_fail(sim, "cache: c%u keeps %s as '%.*s', which is '%.*s'%s", conn->index,
                 sim->keys[key], kept->value == NULL ? 0 : (int)MIN(kept->size, (size_t)40),
                 kept->value, is_there ? (int)MIN(cell->size, (size_t)40) : 0, cell->value,
                 is_end ? ", in the end" : "");
    }
}

void
sim_cache_check(struct sim *sim, bool is_end)
{
    for (uint32_t i = 0; i < sim->shape.conn_count && sim->exec == NULL; i++) {
        struct sim_conn *conn = &sim->conns[i];
        bool is_owed = conn->answered_count < conn->started_count;
        for (uint32_t key = 0; key < sim->shape.key_count; key++) {
            if (!conn->is_abandoned && !is_owed) {
                check_kept(conn, key, is_end);
            }
        }
    }
}
