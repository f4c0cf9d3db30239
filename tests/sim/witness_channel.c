/*
 * witness_channel.c: what is published, and who hears it.
 *
 * Each message of a channel has a number, in the order in which the PUBLISHes ran. Whoever
 * subscribes hears an unbroken run of them:
 *
 *     published   1   2   3   4   5   6   7   8
 *     heard               3   4   5   6
 *                 ▲             ▲       ▲
 *                 asked         confirmed, at the latest      UNSUBSCRIBE asked: not before
 *
 * So all subscribers see one order, nothing is lost behind a confirmation, and in the end each
 * message was heard as often as its PUBLISH has promised. A PUBLISH that runs where its channel is
 * lent to comes before others when the channel is back at its home.
 */
#include "sim.h"

#include "shard/call.h"

#include <stdio.h>
#include <stdlib.h>

#define NOTHING_HEARD 0

void
sim_publish_run(struct sim_op *op, const struct call *call)
{
    op->is_lent = call->events != call->shard->events;
    if (!op->is_lent) {
        op->order = ++op->sim->channel_orders[op->channel];
    }
    op->promised_count = call->views[0]->receiver_count;
    op->sim->totals->publish_count++;
    sim_bytes_format(&op->expected, ":%llu\r\n", (unsigned long long)op->promised_count);
}

void
sim_publish_returned(struct sim *sim, uint64_t session_id, struct slice channel)
{
    const struct sim_conn *conn = &sim->conns[session_id - 1];
    const struct sim_op *exec = NULL;
    for (uint32_t i = 0; i < conn->op_count; i++) {
        struct sim_op *op = &conn->ops[i];
        if (op->verb != VERB_PUBLISH || !op->is_lent || op->order != 0 ||
            !slice_equal(slice_of_string(sim->keys[op->channel]), channel)) {
            continue;
        }
        if (exec != NULL && op->exec != exec) {
            return; /* the next transaction's */
        }
        exec = op->exec;
        op->order = ++sim->channel_orders[op->channel];
    }
}

void
sim_subscribe_start(struct sim_op *op)
{
    if (op->orders != NULL) {
        memcpy(op->orders, op->sim->channel_orders, sizeof(op->sim->channel_orders));
    }
}

static void
subscribed(struct sim_op *op, uint32_t topic)
{
    struct sim *sim = op->sim;
    struct sim_hearing *hearing = &op->conn->hearings[topic];
    if (hearing->is_on) {
        return;
    }
    hearing->is_on = true;
    for (uint32_t i = 0; i < sim->shape.key_count; i++) {
        hearing->asked[i] = op->orders[i];
        hearing->confirmed[i] = sim->channel_orders[i];
        hearing->last[i] = NOTHING_HEARD;
    }
}

/** Has it heard all up to `order`? */
static void
check_heard(struct sim_conn *conn, uint32_t topic, uint32_t channel, uint64_t order)
{
    const struct sim *sim = conn->sim;
    const struct sim_hearing *hearing = &conn->hearings[topic];
    uint64_t reached = hearing->last[channel] == NOTHING_HEARD ? hearing->confirmed[channel]
                                                               : hearing->last[channel];
    if (sim_topic_matches(sim, topic, channel) && reached < order) {
        sim_fail(conn->sim, "lost: c%u, which subscribes to %s, has not heard %llu of %s, but %llu",
                 conn->index, sim_topic_name(sim, topic), (unsigned long long)order,
                 sim->keys[channel], (unsigned long long)reached);
    }
}

static void
unsubscribed(struct sim_op *op, uint32_t topic)
{
    struct sim_hearing *hearing = &op->conn->hearings[topic];
    for (uint32_t i = 0; i < op->sim->shape.key_count && hearing->is_on; i++) {
        check_heard(op->conn, topic, i, op->orders[i]);
    }
    hearing->is_on = false;
}

void
sim_subscribe_confirmed(struct sim_op *op)
{
    for (uint32_t i = 0; i < op->topic_count; i++) {
        if (op->verb == VERB_SUBSCRIBE) {
            subscribed(op, op->topics[i]);
        } else {
            unsubscribed(op, op->topics[i]);
        }
    }
}

static struct slice
next_bulk(const char **text)
{
    char *bytes;
    unsigned long size = strtoul(*text + 1, &bytes, 10);
    *text = bytes + 2 + size + 2;
    return slice_of(bytes + 2, size);
}

static uint32_t
find_topic(const struct sim *sim, struct slice name, uint32_t from, uint32_t end)
{
    while (from < end && !slice_equal(slice_of_string(sim_topic_name(sim, from)), name)) {
        from++;
    }
    return from;
}

static void
hear(struct sim_conn *conn, uint32_t topic, struct sim_op *op)
{
    struct sim_hearing *hearing = &conn->hearings[topic];
    uint32_t channel = op->channel;
    uint64_t last = hearing->last[channel];
    bool is_first = last == NOTHING_HEARD;
    bool is_next = is_first ? op->order > hearing->asked[channel] &&
                                  op->order <= hearing->confirmed[channel] + 1
                            : op->order == last + 1;
    if (!hearing->is_on || op->order == 0 || !is_next) {
        sim_fail(conn->sim,
                 "heard: c%u by %s gets %llu of %s behind %llu (asked at %llu, confirmed "
                 "at %llu%s)",
                 conn->index, sim_topic_name(conn->sim, topic), (unsigned long long)op->order,
                 conn->sim->keys[channel], (unsigned long long)last,
                 (unsigned long long)hearing->asked[channel],
                 (unsigned long long)hearing->confirmed[channel], hearing->is_on ? "" : ", over");
    }
    hearing->last[channel] = op->order;
    op->heard_count++;
    conn->sim->totals->heard_count++;
}

bool
sim_message_take(struct sim_conn *conn, const char *text)
{
    struct sim *sim = conn->sim;
    uint32_t from;
    uint32_t index;
    if (sim->shape.theme != THEME_CHANNELS || (text[0] != '>' && text[0] != '*')) {
        return false;
    }
    const char *next = strchr(text, '\n') + 1;
    struct slice word = next[0] == '$' ? next_bulk(&next) : slice_of(NULL, 0);
    bool is_pattern = slice_equal(word, SLICE("pmessage"));
    if (!is_pattern && !slice_equal(word, SLICE("message"))) {
        return false;
    }
    struct slice topic_name = next_bulk(&next);
    struct slice channel = is_pattern ? next_bulk(&next) : topic_name;
    struct slice message = next_bulk(&next);
    uint32_t topic = is_pattern ? find_topic(sim, topic_name, SIM_KEYS_MAX, SIM_TOPICS)
                                : find_topic(sim, topic_name, 0, sim->shape.key_count);
    bool is_known = sscanf(message.data, "m%u.%u", &from, &index) == 2 &&
                    from < sim->shape.conn_count && index < sim->conns[from].op_count &&
                    topic < SIM_TOPICS;
    struct sim_op *op = is_known ? &sim->conns[from].ops[index] : NULL;
    if (!is_known || op->verb != VERB_PUBLISH ||
        !slice_equal(slice_of_string(sim->keys[op->channel]), channel)) {
        sim_fail(sim, "heard: c%u gets what nobody has sent: %.100s", conn->index, text);
        return true;
    }
    hear(conn, topic, op);
    return true;
}

void
sim_channels_check(struct sim *sim)
{
    bool is_abandoned = false;
    for (uint32_t i = 0; i < sim->shape.conn_count; i++) {
        struct sim_conn *conn = &sim->conns[i];
        is_abandoned |= conn->is_abandoned;
        for (uint32_t j = 0; j < SIM_TOPICS && !conn->is_abandoned; j++) {
            for (uint32_t k = 0; k < sim->shape.key_count && conn->hearings[j].is_on; k++) {
                check_heard(conn, j, k, sim->channel_orders[k]);
            }
        }
    }
    for (uint32_t i = 0; i < sim->shape.conn_count; i++) {
        for (uint32_t j = 0; j < sim->conns[i].op_count; j++) {
            const struct sim_op *op = &sim->conns[i].ops[j];
            /* Those who come or go between the loan of a channel and its return are not counted. */
            if (!op->is_lent && (op->promised_count < op->heard_count ||
                                 (!is_abandoned && op->promised_count != op->heard_count))) {
                sim_fail(sim, "count: m%u.%u was promised to %llu and heard by %llu", i, j,
                         (unsigned long long)op->promised_count,
                         (unsigned long long)op->heard_count);
            }
        }
    }
}
