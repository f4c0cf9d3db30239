/*
 * answers.c: the replies, compared with what the model has said of them.
 * What asks all shards is compared with what each of them might say; EXEC's reply with those of its
 * commands, one by one.
 */
#include "sim.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- answers ---- */

size_t
sim_reply_size(const char *text, size_t size)
{
    const char *end = memchr(text, '\n', size);
    if (end == NULL) {
        return 0;
    }
    size_t head = (size_t)(end - text) + 1;
    long number = strtol(text + 1, NULL, 10);
    if (text[0] == '$' && number >= 0) {
        head += (size_t)number + 2;
    } else if (text[0] == '*' || text[0] == '>') {
        for (long i = 0; i < number; i++) {
            size_t element = head < size ? sim_reply_size(text + head, size - head) : 0;
            if (element == 0) {
                return 0;
            }
            head += element;
        }
    }
    return head <= size ? head : 0;
}

/** The bits of the keys in a run of bulk strings. False: something else is among them. */
static bool
reply_keys(const struct sim *sim, const char *text, const char *end, uint32_t *bits)
{
    *bits = 0;
    while (text < end) {
        char *bytes;
        unsigned long size = strtoul(text + 1, &bytes, 10);
        bytes += 2;
        uint32_t key = 0;
        while (key < sim->shape.key_count &&
               !slice_equal(slice_of_string(sim->keys[key]), slice_of(bytes, size))) {
            key++;
        }
        if (text[0] != '$' || key == sim->shape.key_count || (*bits & UINT32_C(1) << key) != 0) {
            return false;
        }
        *bits |= UINT32_C(1) << key;
        text = bytes + size + 2;
    }
    return true;
}

static bool
gather_answer_is_right(const struct sim_op *op, const char *text, size_t size)
{
    const char *end = text + size;
    uint32_t bits = 0;
    if (op->verb == VERB_DBSIZE) {
        long count = strtol(text + 1, NULL, 10);
        return text[0] == ':' && count >= (long)op->count_min && count <= (long)op->count_max;
    }
    if (op->verb == VERB_RANDOMKEY) {
        if (text[0] == '_' || text[1] == '-') {
            return op->keys_certain == 0;
        }
        return reply_keys(op->sim, text, end, &bits) && (bits & ~op->keys_possible) == 0;
    }
    if (op->verb == VERB_SCAN) {
        static const char head[] = "*2\r\n$1\r\n0\r\n";
        if (size < sizeof(head) || memcmp(text, head, sizeof(head) - 1) != 0) {
            return false;
        }
        text += sizeof(head) - 1;
    }
    const char *first = memchr(text, '\n', (size_t)(end - text));
    return text[0] == '*' && reply_keys(op->sim, first + 1, end, &bits) &&
           (bits & ~op->keys_possible) == 0 && (op->keys_certain & ~bits) == 0;
}

/** What the command itself replies. */
static bool
command_answer_is_right(struct sim_op *op, const char *text, size_t size)
{
    if (op->sim->shape.theme == THEME_BANK && !sim_bank_answer_is_right(op, text, size)) {
        return false;
    }
    if (op->kind == KIND_GATHER && op->verb < VERB_SUBSCRIBE) {
        return op->is_executed && gather_answer_is_right(op, text, size);
    }
    return op->is_executed && op->expected.size == size &&
           memcmp(op->expected.data, text, size) == 0;
}

static bool
is_text(const char *text, size_t size, const char *wanted)
{
    return size == strlen(wanted) && memcmp(text, wanted, size) == 0;
}

static bool
exec_answer_is_right(struct sim_op *exec, const char *text, size_t size)
{
    struct sim_op *ops = exec->conn->ops;
    char head[32];
    if (is_text(text, size, exec->conn->protocol == 3 ? "_\r\n" : "*-1\r\n")) {
        bool is_right = exec->queue_run_count == 0 && sim_exec_may_run_nothing(exec);
        sim_exec_skipped(exec);
        return is_right;
    }
    size_t used = (size_t)snprintf(head, sizeof(head), "*%u\r\n", exec->queue_count);
    if (size < used || memcmp(text, head, used) != 0) {
        return false;
    }
    for (uint32_t i = exec->queue_first; i < exec->index; i++) {
        if (ops[i].exec == exec) {
            size_t element = sim_reply_size(text + used, size - used);
            if (!command_answer_is_right(&ops[i], text + used, element)) {
                sim_op_describe(&ops[i], exec->sim->wrong, sizeof(exec->sim->wrong));
                return false;
            }
            used += element;
        }
    }
    exec->is_executed = true; /* also when there was nothing to run */
    return true;
}

static void
check_answer(struct sim_op *op, const char *text, size_t size)
{
    char line[200];
    bool is_right;
    if (op->exec != NULL) {
        is_right = is_text(text, size, "+QUEUED\r\n");
    } else if (op->verb == VERB_EXEC && !op->is_refused) {
        is_right = exec_answer_is_right(op, text, size);
    } else if (op->conn->waiting == op) {
        is_right = sim_wait_answer_is_right(op, text, size);
    } else {
        is_right = command_answer_is_right(op, text, size);
    }
    op->is_answered = true;
    if (!is_right) {
        sim_op_describe(op, line, sizeof(line));
        sim_fail(
            op->sim,
            "answer: %s %s\n    got      %.*s\n    expected %.300s (keys %x of %x, count %u..%u)%s",
            line, op->sim->wrong, (int)MIN(size, (size_t)300), text,
            op->expected.size > 0 ? op->expected.data : "", op->keys_certain, op->keys_possible,
            op->count_min, op->count_max, op->is_executed ? "" : "; it has not run");
    }
}

/** SUBSCRIBE is answered once for each name; 0: not all there. */
static size_t
confirmations_size(const struct sim_op *op, const char *text, size_t left, size_t first_size)
{
    size_t size = first_size;
    for (uint32_t i = 1; i < op->topic_count; i++) {
        size_t more = size < left ? sim_reply_size(text + size, left - size) : 0;
        if (more == 0) {
            return 0;
        }
        size += more;
    }
    return size;
}

void
sim_witness_answers(struct sim_conn *conn)
{
    struct output *output = &conn->wire->output;
    sim_conn_release(conn);
    uint64_t open_size = conn->wire->send_limit - conn->wire->taken_size;
    uint64_t taken_size = MIN(output->byte_count, open_size);
    if (taken_size > 0) {
        char *bytes = output_flatten(output);
        sim_bytes_append(&conn->text, bytes, taken_size);
        heap_free(bytes);
        output_consume(output, taken_size);
        conn->wire->taken_size += taken_size;
    }
    struct sim *sim = conn->sim;
    for (;;) {
        while (conn->answered_count < conn->started_count &&
               conn->ops[conn->answered_count].is_muted) {
            struct sim_op *op = &conn->ops[conn->answered_count++];
            op->is_answered = true;
            sim_cache_answered(op, NULL, 0);
        }
        const char *text = conn->text.data + conn->text_offset;
        size_t left = conn->text.size - conn->text_offset;
        size_t size = left == 0 ? 0 : sim_reply_size(text, left);
        if (size > 0 && (sim_message_take(conn, text) || sim_invalidation_take(conn, text))) {
            conn->text_offset += size;
            continue;
        }
        if (size > 0 && conn->answered_count < conn->started_count) {
            size = confirmations_size(&conn->ops[conn->answered_count], text, left, size);
        }
        if (size == 0 || sim->has_failed) {
            break;
        }
        if (conn->answered_count == conn->started_count) {
            sim_fail(sim, "answer: c%u gets more than it asked for", conn->index);
            return;
        }
        struct sim_op *op = &conn->ops[conn->answered_count++];
        check_answer(op, text, size);
        sim_subscribe_confirmed(op);
        if (!sim->has_failed) {
            sim_cache_answered(op, text, size);
        }
        conn->text_offset += size;
    }
}
