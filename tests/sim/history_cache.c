/*
 * history_cache.c: clients that keep what they have read until they are told otherwise.
 * Some connections begin to track in one of the modes, read, stop, and begin in another mode; all
 * of them write. What a reply may be kept for follows from the connection's own requests alone, as
 * a client would know it: in OPTIN mode what CLIENT CACHING has announced, else everything, with
 * BCAST what begins with its prefix (witness_cache.c looks at that).
 *
 *     [TRACKING ON OPTIN] [GET a] [CACHING YES] [MGET a b] [CACHING YES] [MULTI] [GET c] [EXEC]
 *                          not kept              kept                             kept
 */
#include "draw.h"

/** The shared part of drawing: what this connection's next reads are. */
static bool
is_kept_now(const struct draw *draw)
{
    return draw->cache_mode != CACHE_OFF && (draw->cache_mode != CACHE_OPTIN || draw->is_announced);
}

static void
draw_tracking(struct draw *draw)
{
    static const char *const prefixes[] = {"", "k", "{"};
    struct sim_op *op = draw->op;
    op->verb = VERB_TRACKING;
    op_word(op, "CLIENT");
    op_word(op, "TRACKING");
    sim_bytes_format(&op->expected, "+OK\r\n");
    if (draw->cache_mode != CACHE_OFF) {
        draw->cache_mode = CACHE_OFF;
        op_word(op, "OFF");
        return;
    }
    op_word(op, "ON");
    op->cache.mode = CACHE_DEFAULT + draw_below(draw, CACHE_MODES - CACHE_DEFAULT);
    op->cache.is_noloop = draw_percent(draw, 35);
    draw->cache_mode = op->cache.mode;
    if (op->cache.is_noloop) {
        op_word(op, "NOLOOP");
    }
    if (op->cache.mode == CACHE_OPTIN) {
        op_word(op, "OPTIN");
    }
    if (op->cache.mode == CACHE_BCAST) {
        op->cache.prefix = prefixes[draw_below(draw, ARRAY_COUNT(prefixes))];
        op_word(op, "BCAST");
        op_word(op, "PREFIX");
        op_word(op, op->cache.prefix);
    }
}

static void
draw_read(struct draw *draw)
{
    bool is_one = draw_percent(draw, 65);
    draw->op->verb = is_one ? VERB_GET : VERB_MGET;
    op_word(draw->op, is_one ? "GET" : "MGET");
    uint32_t count = is_one ? 1 : 1 + draw_below(draw, draw->sim->shape.key_span_max);
    for (uint32_t i = 0; i < count; i++) {
        draw_key(draw);
    }
}

bool
draw_cache(struct draw *draw)
{
    bool is_first = draw->op->index == 0;
    if (draw->conn->hears && !draw->is_in_multi && (is_first || draw_percent(draw, 6))) {
        draw_tracking(draw);
        return true;
    }
    if (draw->cache_mode == CACHE_OPTIN && !draw->is_in_multi && draw_percent(draw, 30)) {
        draw->op->verb = VERB_CACHING;
        op_word(draw->op, "CLIENT");
        op_word(draw->op, "CACHING");
        op_word(draw->op, "YES");
        sim_bytes_format(&draw->op->expected, "+OK\r\n");
        return true;
    }
    if (draw_percent(draw, 45)) {
        draw_read(draw);
        return true;
    }
    return false;
}

void
draw_cache_note(struct draw *draw)
{
    struct sim_op *op = draw->op;
    op->is_kept = (op->verb == VERB_GET || op->verb == VERB_MGET) && !op->is_refused &&
                  !op->is_muted && is_kept_now(draw);
    if (op->verb == VERB_CACHING) {
        draw->is_announced = true;
    } else if (op->verb == VERB_TRACKING ? draw->cache_mode == CACHE_OFF : !draw->is_in_multi) {
        /* Used up by any command but CLIENT's own; by MULTI's EXEC or DISCARD. */
        draw->is_announced = false;
    }
}
