/*
 * history_channel.c: channels, and those who subscribe to them. Channels are called as keys are.
 * What a connection subscribes to follows from its own requests alone, so its confirmations are
 * known when they are drawn. In RESP2, who subscribes may do nothing else.
 */
#include "draw.h"

#include <stdio.h>
#include <stdlib.h>

const char *
sim_topic_name(const struct sim *sim, uint32_t topic)
{
    static const char *const patterns[SIM_PATTERNS] = {"*", "k*", "{*"};
    return topic < SIM_KEYS_MAX ? sim->keys[topic] : patterns[topic - SIM_KEYS_MAX];
}

bool
sim_topic_matches(const struct sim *sim, uint32_t topic, uint32_t channel)
{
    if (topic < SIM_KEYS_MAX) {
        return topic == channel;
    }
    const char *pattern = sim_topic_name(sim, topic);
    return pattern[0] == '*' || pattern[0] == sim->keys[channel][0];
}

static uint32_t
draw_topic(struct draw *draw, bool is_pattern)
{
    return is_pattern ? SIM_KEYS_MAX + draw_below(draw, SIM_PATTERNS)
                      : draw_below(draw, draw->sim->shape.key_count);
}

static void
draw_subscribe(struct draw *draw)
{
    struct sim_op *op = draw->op;
    bool is_pattern = draw_percent(draw, 35);
    bool is_removal = draw->topic_count > 0 && draw_percent(draw, 45);
    static const struct {
        enum sim_verb verb;
        const char *word;
        const char *confirmed;
    } rows[] = {{VERB_SUBSCRIBE, "SUBSCRIBE", "subscribe"},
                {VERB_SUBSCRIBE, "PSUBSCRIBE", "psubscribe"},
                {VERB_UNSUBSCRIBE, "UNSUBSCRIBE", "unsubscribe"},
                {VERB_UNSUBSCRIBE, "PUNSUBSCRIBE", "punsubscribe"}};
    uint32_t row = (uint32_t)is_pattern + 2 * (uint32_t)is_removal;
    op->verb = rows[row].verb;
    op_word(op, rows[row].word);
    op->topic_count = 1 + draw_below(draw, 2);
    op->topics = calloc(op->topic_count, sizeof(*op->topics));
    op->orders = calloc(SIM_KEYS_MAX, sizeof(*op->orders));
    ASSERT(op->topics != NULL && op->orders != NULL);
    for (uint32_t i = 0; i < op->topic_count; i++) {
        uint32_t topic = draw_topic(draw, is_pattern);
        const char *name = sim_topic_name(draw->sim, topic);
        op->topics[i] = topic;
        op_word(op, name);
        if (draw->has_topic[topic] == is_removal) {
            draw->has_topic[topic] = !is_removal;
            draw->topic_count += is_removal ? UINT32_MAX : 1;
        }
        sim_bytes_format(&op->expected, "%c3\r\n$%zu\r\n%s\r\n$%zu\r\n%s\r\n:%u\r\n",
                         draw->conn->protocol == 3 ? '>' : '*', strlen(rows[row].confirmed),
                         rows[row].confirmed, strlen(name), name, draw->topic_count);
    }
}

static void
draw_publish(struct draw *draw)
{
    char text[32];
    struct sim_op *op = draw->op;
    op->verb = VERB_PUBLISH;
    op->channel = draw_topic(draw, false);
    op_word(op, "PUBLISH");
    op_word(op, draw->sim->keys[op->channel]);
    snprintf(text, sizeof(text), "m%u.%u", draw->conn->index, op->index);
    op_word(op, text);
}

bool
draw_channel(struct draw *draw)
{
    bool is_limited = draw->conn->protocol == 2 && draw->topic_count > 0;
    if (is_limited || (!draw->is_in_multi && draw->conn->hears && draw_percent(draw, 50))) {
        draw_subscribe(draw);
        return true;
    }
    if (draw_percent(draw, 50)) {
        draw_publish(draw);
        return true;
    }
    return false;
}
