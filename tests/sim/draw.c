/*
 * draw.c: how a request is put together, and the words to speak of one.
 */
#include "draw.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

uint32_t
draw_below(struct draw *draw, uint32_t bound)
{
    return (uint32_t)random_below(draw->random, bound);
}

bool
draw_percent(struct draw *draw, uint32_t percent)
{
    return draw_below(draw, 100) < percent;
}

/* ---- arguments ---- */

struct slice
op_argument(struct sim_op *op, struct slice bytes)
{
    op->argv = realloc(op->argv, (op->argc + 1) * sizeof(*op->argv));
    ASSERT(op->argv != NULL);
    char *copy = malloc(bytes.size + 1);
    ASSERT(copy != NULL);
    if (bytes.size > 0) {
        memcpy(copy, bytes.data, bytes.size);
    }
    copy[bytes.size] = '\0';
    op->argv[op->argc] = slice_of(copy, bytes.size);
    return op->argv[op->argc++];
}

void
op_word(struct sim_op *op, const char *word)
{
    op_argument(op, slice_of_string(word));
}

void
op_number(struct sim_op *op, int64_t number)
{
    char text[24];
    snprintf(text, sizeof(text), "%" PRId64, number);
    op_word(op, text);
}

void
op_key(struct sim_op *op, uint32_t key)
{
    op->keys = realloc(op->keys, (op->key_count + 1) * sizeof(*op->keys));
    op->values = realloc(op->values, (op->key_count + 1) * sizeof(*op->values));
    ASSERT(op->keys != NULL && op->values != NULL);
    op->values[op->key_count] = slice_of(NULL, 0);
    op->keys[op->key_count++] = key;
}

uint32_t
draw_key(struct draw *draw)
{
    uint32_t key = draw_below(draw, draw->sim->shape.key_count);
    op_key(draw->op, key);
    op_word(draw->op, draw->sim->keys[key]);
    return key;
}

void
op_value(struct sim_op *op, struct slice bytes)
{
    if (op->key_count == 0) {
        op->values = malloc(sizeof(*op->values));
        ASSERT(op->values != NULL);
    }
    struct slice argument = op_argument(op, bytes);
    op->values[MAX(op->key_count, 1u) - 1] = argument;
}

/** For the last key. Now and then a number, so that INCR finds some. */
void
draw_value(struct draw *draw)
{
    struct sim_op *op = draw->op;
    char text[32];
    if (draw_percent(draw, 25)) {
        snprintf(text, sizeof(text), "%u", draw_below(draw, 1000));
    } else {
        snprintf(text, sizeof(text), "v%u.%u.%u", draw->conn->index, op->index, op->argc);
    }
    size_t size = strlen(text);
    if (draw->sim->shape.has_large_values && draw_percent(draw, 30)) {
        size_t large = draw_percent(draw, 25) ? SIM_LARGE_SIZE : 45 + draw_below(draw, 200);
        char *bytes = malloc(large);
        ASSERT(bytes != NULL);
        memset(bytes, '.', large);
        memcpy(bytes, text, size);
        op_value(op, slice_of(bytes, large));
        free(bytes);
        return;
    }
    op_value(op, slice_of(text, size));
}

int64_t
draw_lifetime(struct draw *draw)
{
    draw->op->number = 1 + (int64_t)draw_below(draw, draw_percent(draw, 80) ? 50 : 1000);
    return draw->op->number;
}

/* ---- words ---- */

void
sim_bytes_append(struct sim_bytes *bytes, const void *data, size_t size)
{
    if (bytes->capacity - bytes->size < size + 1) {
        bytes->capacity = MAX(bytes->capacity * 2, bytes->size + size + 64);
        bytes->data = realloc(bytes->data, bytes->capacity);
        ASSERT(bytes->data != NULL);
    }
    if (size > 0) {
        memcpy(bytes->data + bytes->size, data, size);
    }
    bytes->size += size;
    bytes->data[bytes->size] = '\0';
}

void
sim_bytes_format(struct sim_bytes *bytes, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (size >= (int)sizeof(text)) {
        char *long_text = malloc((size_t)size + 1);
        ASSERT(long_text != NULL);
        va_start(arguments, format);
        vsnprintf(long_text, (size_t)size + 1, format, arguments);
        va_end(arguments);
        sim_bytes_append(bytes, long_text, (size_t)size);
        free(long_text);
        return;
    }
    sim_bytes_append(bytes, text, (size_t)size);
}

void
sim_op_describe(const struct sim_op *op, char *out, size_t size)
{
    size_t used = (size_t)snprintf(out, size, "c%u.%u [db %u]", op->conn->index, op->index, op->db);
    for (uint32_t i = 0; i < op->argc && used < size; i++) {
        used += (size_t)snprintf(out + used, size - used, " %.*s",
                                 (int)MIN(op->argv[i].size, (size_t)24), op->argv[i].data);
    }
}
