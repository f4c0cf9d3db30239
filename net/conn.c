/*
 * conn.c: a socket's two directions.
 *
 * Input arrives in the ring's buffers and is parsed where it lies:
 *
 *     input ─▶ [....parsed|unparsed] ─▶ [buffer] ─▶ [buffer]      the tail only while requests have
 * to wait
 *
 * A request that spans buffers is put together in a heap block that takes the place of its first
 * buffer; while it is incomplete, each new buffer is appended to that block and goes back to the
 * ring at once. So an idle connection holds nothing. Blocks and buffers are counted: requests under
 * way elsewhere hold the one that their arguments lie in, and a block that somebody holds is never
 * moved: what is left of it is copied to a new one.
 *
 * A large argument goes into memory of its own, which its owner made for it; only the request's
 * other bytes are assembled. While much of it is missing the receiver is stopped and the kernel
 * writes there itself.
 *
 * Invariants: input_size is the unparsed bytes of all blocks in the chain. The descriptor is closed
 * when neither receive nor send is under way.
 */
#include "net/conn.h"

#include "core/heap.h"

#include <errno.h>
#include <string.h>

/** Room that an assembled request gets beyond what has arrived, at the least. */
#define BLOCK_SLACK_SIZE 1024
/** And at the most, before its bytes really come. */
#define BLOCK_SLACK_SIZE_MAX (1u << 20)
/** Input that waits is kept in blocks of about this size, so that it is given back as it is parsed.
 */
#define BLOCK_PARK_SIZE (32u << 10)
/** What a block can count: a request that has to be assembled is smaller, whatever the limit says.
 */
#define INPUT_SIZE_MAX (1u << 31)

/** A receive straight into a large argument's memory. */
struct conn_direct {
    struct ring_op op;
    struct conn *conn;
};

/* ---- blocks ---- */

static struct ring_buffer *
block_new(uint64_t capacity)
{
    ASSERT(capacity <= UINT32_MAX);
    struct ring_buffer *block = heap_alloc(sizeof(*block) + capacity);
    *block = (struct ring_buffer){
        .data = (char *)(block + 1), .capacity = (uint32_t)capacity, .ref_count = 1};
    return block;
}

/** A block that takes the unparsed rest of `input` and has room for `more`. */
static void
assemble(struct conn *conn, uint64_t more)
{
    struct ring_buffer *old = conn->input;
    uint32_t rest = old->size - conn->input_offset;
    struct ring_buffer *block = block_new(rest + MAX(more, BLOCK_SLACK_SIZE));
    memcpy(block->data, old->data + conn->input_offset, rest);
    block->size = rest;
    block->next = old->next;
    if (conn->input_last == old) {
        conn->input_last = block;
    }
    conn->input = block;
    conn->input_offset = 0;
    ring_buffer_unref(old);
}

/** Append the next buffer of the chain to the block being assembled. */
static void
append_next(struct conn *conn)
{
    struct ring_buffer *block = conn->input;
    struct ring_buffer *next = block->next;
    uint64_t hint = resp_size_hint(&conn->parser, block->size - conn->input_offset);
    bool is_shared = block->ref_count > 1 || block->ring != NULL;
    if (is_shared || block->capacity - block->size < next->size) {
        uint64_t grown = (uint64_t)block->size - conn->input_offset;
        /* Twice what has really come, so that a long request is not copied over and over. */
        uint64_t more = MAX(MAX(MIN(hint, BLOCK_SLACK_SIZE_MAX), grown), next->size);
        more = MAX(MIN(more, INPUT_SIZE_MAX - BLOCK_SLACK_SIZE_MAX), next->size);
        assemble(conn, more);
        block = conn->input;
    }
    memcpy(block->data + block->size, next->data, next->size);
    block->size += next->size;
    block->next = next->next;
    if (conn->input_last == next) {
        conn->input_last = block;
    }
    ring_buffer_unref(next);
}

/** Everything in `input` is parsed: on to the next buffer. */
static void
leave_input(struct conn *conn)
{
    struct ring_buffer *old = conn->input;
    conn->input = old->next;
    if (conn->input == NULL) {
        conn->input_last = NULL;
    }
    conn->input_offset = 0;
    ring_buffer_unref(old);
}

static void
drop_input(struct conn *conn)
{
    while (conn->input != NULL) {
        leave_input(conn);
    }
    conn->input_size = 0;
    if (conn->large_memory != NULL) {
        conn->ops->large_drop(conn, conn->large_memory);
        conn->large_memory = NULL;
    }
}

/* ---- closing ---- */

static void
finish_close(struct conn *conn)
{
    if (!conn->is_closing || conn->is_receiving || conn->is_sending || conn->direct != NULL) {
        return;
    }
    drop_input(conn);
    output_destroy(&conn->output);
    resp_parser_destroy(&conn->parser);
    ring_close(conn->ring, conn->fd);
    conn->fd = -1;
    conn->ops->closed(conn);
}

void
conn_close(struct conn *conn)
{
    if (conn->is_closing) {
        return;
    }
    conn->is_closing = true;
    if (conn->is_receiving && !conn->is_stopping) {
        conn->is_stopping = true;
        ring_receive_stop(conn->ring, &conn->receiver);
    }
    if (conn->direct != NULL) {
        ring_cancel(conn->ring, &conn->direct->op);
    }
    if (conn->is_sending) {
        ring_cancel(conn->ring, &conn->send_op);
    }
    finish_close(conn);
}

void
conn_close_after_output(struct conn *conn)
{
    conn->is_closing_after_output = true;
    if (output_is_empty(&conn->output) && !conn->is_sending) {
        conn_close(conn);
    }
}

/* ---- receiving ---- */

static void
large_taken(struct conn *conn, uint64_t size)
{
    conn->large_arrived += size;
    if (conn->large_arrived == conn->large_size) {
        resp_large_done(&conn->parser);
        conn->large_memory = NULL;
    }
}

static void
take_large(struct conn *conn, struct ring_buffer *buffer)
{
    uint64_t missing = conn->large_size - conn->large_arrived;
    uint32_t taken = (uint32_t)MIN(missing, buffer->size);
    memcpy(conn->large_memory + conn->large_arrived, buffer->data, taken);
    conn->input_size -= taken;
    large_taken(conn, taken);
    buffer->size -= taken;
    memmove(buffer->data, buffer->data + taken, buffer->size);
}

static void
conn_received(struct ring_receiver *receiver, struct ring_buffer *buffer, int32_t result)
{
    struct conn *conn = container_of(receiver, struct conn, receiver);
    if (result <= 0) {
        conn->is_receiving = false;
        conn->is_stopping = false;
        if (result != -ECANCELED) {
            conn->is_ended = true;
            conn->is_failed |= result < 0;
        }
        if (conn->is_closing) {
            finish_close(conn);
            return;
        }
        if (result == -ECANCELED) {
            conn_balance(conn);
            return;
        }
        conn->ops->readable(conn);
        return;
    }
    if (conn->is_closing || conn->is_closing_after_output) {
        ring_buffer_unref(buffer);
        return;
    }
    conn->received_size += (uint32_t)result;
    conn->input_size += buffer->size;
    if (conn->large_memory != NULL) {
        take_large(conn, buffer);
    }
    if (buffer->size == 0) {
        ring_buffer_unref(buffer);
    } else {
        buffer->next = NULL;
        if (conn->input == NULL) {
            conn->input = buffer;
            conn->input_offset = 0;
        } else {
            conn->input_last->next = buffer;
        }
        conn->input_last = buffer;
    }
    conn->ops->readable(conn);
}

static void
conn_direct_received(struct ring_op *op, int32_t result)
{
    struct conn_direct *direct = container_of(op, struct conn_direct, op);
    struct conn *conn = direct->conn;
    conn->direct = NULL;
    heap_free(direct);
    if (conn->is_closing) {
        finish_close(conn);
        return;
    }
    if (result > 0) {
        conn->received_size += (uint32_t)result;
        large_taken(conn, (uint32_t)result);
    } else if (result != -EAGAIN && result != -EINTR) {
        conn->is_ended = true;
        conn->is_failed |= result < 0;
    }
    conn_balance(conn);
    conn->ops->readable(conn);
}

/** Is so much missing of a large argument that the ring's buffers are a detour? */
static inline bool
wants_direct(const struct conn *conn)
{
    return conn->large_memory != NULL &&
           conn->large_size - conn->large_arrived >= CONN_DIRECT_SIZE_MIN;
}

static void
receive_direct(struct conn *conn)
{
    struct conn_direct *direct = heap_alloc(sizeof(*direct));
    *direct = (struct conn_direct){.op = {.done = conn_direct_received}, .conn = conn};
    conn->direct = direct;
    ring_receive_into(conn->ring, &direct->op, conn->fd, conn->large_memory + conn->large_arrived,
                      conn->large_size - conn->large_arrived);
}

void
conn_balance(struct conn *conn)
{
    if (conn->is_closing || conn->is_ended || conn->is_closing_after_output ||
        conn->direct != NULL) {
        return;
    }
    bool is_blocked = conn->output.byte_count > CONN_OUTPUT_SIZE_MAX;
    conn->is_output_high = is_blocked;
    bool is_full =
        conn->input != NULL && conn->input->next != NULL && conn->input_size > CONN_INPUT_SIZE_MAX;
    bool is_direct = wants_direct(conn);
    if (is_blocked || is_full || is_direct) {
        if (conn->is_receiving && !conn->is_stopping) {
            conn->is_stopping = true;
            ring_receive_stop(conn->ring, &conn->receiver);
        } else if (is_direct && !conn->is_receiving) {
            receive_direct(conn);
        }
    } else if (!conn->is_receiving) {
        conn->is_receiving = true;
        ring_receive_start(conn->ring, &conn->receiver, conn->fd);
    }
}

/* ---- parsing ---- */

/** A large argument's header has been read: give it memory of its own. False: none wanted. */
static bool
begin_large(struct conn *conn)
{
    struct resp_parser *parser = &conn->parser;
    char *memory = conn->ops->large_new(conn, parser->large_size);
    if (memory == NULL) {
        return false;
    }
    resp_large_begin(parser, memory);
    struct ring_buffer *input = conn->input;
    uint32_t header_end = conn->input_offset + (uint32_t)parser->large_header_size;
    uint32_t arrived = (uint32_t)parser->large_arrived;
    ASSERT(header_end + arrived == input->size);
    memcpy(memory, input->data + header_end, arrived);
    conn->large_memory = memory;
    conn->large_size = parser->large_size;
    conn->large_arrived = arrived;
    conn->input_size -= arrived;
    /* The header stays, in a block of its own; what came behind it is the argument's. */
    input->size = header_end;
    struct ring_buffer *chain = input->next;
    assemble(conn, BLOCK_SLACK_SIZE);
    conn->input->next = NULL;
    conn->input_last = conn->input;
    while (chain != NULL) {
        struct ring_buffer *next = chain->next;
        if (conn->large_memory != NULL) {
            take_large(conn, chain);
        }
        if (chain->size == 0) {
            ring_buffer_unref(chain);
        } else {
            chain->next = NULL;
            conn->input_last->next = chain;
            conn->input_last = chain;
        }
        chain = next;
    }
    return true;
}

static enum conn_state
parse_incomplete(struct conn *conn)
{
    return conn->is_ended && conn->input->next == NULL ? CONN_ENDED : CONN_WAITING;
}

enum conn_state
conn_parse(struct conn *conn, bool is_first, struct slice *storage, uint32_t storage_count,
           struct ring_buffer **buffer)
{
    for (;;) {
        if (conn->input != NULL && conn->input_offset == conn->input->size &&
            conn->large_memory == NULL) {
            if (!is_first) {
                return CONN_WAITING;
            }
            leave_input(conn);
            continue;
        }
        if (conn->input == NULL) {
            return conn->is_ended ? CONN_ENDED : CONN_WAITING;
        }
        if (conn->large_memory != NULL) {
            bool is_too_large = conn->input_size + conn->large_arrived > conn->input_size_max;
            return is_too_large ? CONN_TOO_LARGE : parse_incomplete(conn);
        }
        struct ring_buffer *input = conn->input;
        size_t consumed;
        enum resp_result result =
            resp_parse_into(&conn->parser, input->data + conn->input_offset,
                            input->size - conn->input_offset, &consumed, storage, storage_count);
        switch (result) {
        case RESP_REQUEST:
            conn->request_offset = conn->input_offset;
            conn->input_offset += (uint32_t)consumed;
            conn->input_size -= consumed;
            *buffer = input;
            return CONN_REQUEST;
        case RESP_EMPTY:
            conn->input_offset += (uint32_t)consumed;
            conn->input_size -= consumed;
            continue;
        case RESP_ERROR:
            return CONN_PROTOCOL_ERROR;
        case RESP_LARGE:
        case RESP_NEED_MORE:
            if (!is_first) {
                resp_parser_restart(&conn->parser);
                return CONN_WAITING;
            }
            if (conn->input_size > conn->input_size_max) {
                return CONN_TOO_LARGE;
            }
            if (result == RESP_LARGE && begin_large(conn)) {
                continue;
            }
            if (input->next != NULL) {
                append_next(conn);
                continue;
            }
            if (input->ring != NULL) {
                assemble(conn, MIN(resp_size_hint(&conn->parser, input->size - conn->input_offset),
                                   BLOCK_SLACK_SIZE_MAX));
            }
            return parse_incomplete(conn);
        }
        ASSERT(false);
    }
}

/** Append the buffer's unparsed bytes to the last block of what is parked. */
static void
park_bytes(struct conn *conn, const char *data, uint32_t size)
{
    struct ring_buffer *last = conn->input_last;
    bool has_room = last != NULL && last->ring == NULL && last->ref_count == 1 &&
                    last->capacity <= 2 * BLOCK_PARK_SIZE && last->capacity - last->size >= size;
    if (!has_room) {
        struct ring_buffer *block = block_new(MAX(size, BLOCK_PARK_SIZE));
        block->next = NULL;
        if (last == NULL) {
            conn->input = block;
        } else {
            last->next = block;
        }
        conn->input_last = last = block;
    }
    memcpy(last->data + last->size, data, size);
    last->size += size;
}

void
conn_park(struct conn *conn)
{
    struct ring_buffer *chain = conn->input;
    uint32_t offset = conn->input_offset;
    if (chain == NULL || conn->large_memory != NULL) {
        return;
    }
    if (chain->ring != NULL) {
        conn->input = NULL;
        conn->input_last = NULL;
        conn->input_offset = 0;
    } else {
        struct ring_buffer *first = chain;
        chain = first->next;
        first->next = NULL;
        conn->input_last = first;
        offset = 0;
    }
    while (chain != NULL) {
        struct ring_buffer *next = chain->next;
        if (chain->ring == NULL) {
            chain->next = NULL;
            conn->input_last->next = chain;
            conn->input_last = chain;
        } else {
            park_bytes(conn, chain->data + offset, chain->size - offset);
            ring_buffer_unref(chain);
        }
        offset = 0;
        chain = next;
    }
}

void
conn_limits_set(struct conn *conn, uint64_t bulk_size_max, uint64_t input_size_max)
{
    conn->parser.bulk_size_max = bulk_size_max;
    conn->parser.bulk_size_max_now = bulk_size_max;
    conn->input_size_max = MIN(input_size_max, INPUT_SIZE_MAX / 2);
}

struct conn_position
conn_position(const struct conn *conn)
{
    return (struct conn_position){.input = conn->input, .offset = conn->request_offset};
}

void
conn_rewind(struct conn *conn, struct conn_position position)
{
    ASSERT(conn->input == position.input);
    resp_parser_restart(&conn->parser);
    conn->input_size += conn->input_offset - position.offset;
    conn->input_offset = position.offset;
}

/* ---- sending ---- */

static void
vector_free(struct conn *conn)
{
    if (conn->vector != &conn->inline_vector) {
        heap_free(conn->vector);
    }
    conn->vector = NULL;
}

static void
conn_sent(struct ring_op *op, int32_t result)
{
    struct conn *conn = container_of(op, struct conn, send_op);
    conn->is_sending = false;
    vector_free(conn);
    if (conn->is_closing) {
        finish_close(conn);
        return;
    }
    if (result < 0 && result != -EAGAIN && result != -EINTR) {
        conn->is_failed = true;
        conn->is_ended = true;
        conn_close(conn);
        return;
    }
    if (result > 0) {
        conn->sent_size += (uint32_t)result;
        conn->send_count++;
        output_consume(&conn->output, (uint64_t)result);
    }
    if (!output_is_empty(&conn->output)) {
        conn_flush(conn);
        if (conn->is_output_high && conn->output.byte_count <= CONN_OUTPUT_SIZE_MAX) {
            conn->ops->drained(conn);
        }
        return;
    }
    if (conn->is_closing_after_output) {
        conn_close(conn);
        return;
    }
    /* The chunk goes on to the next connection that answers, still in the cache. */
    output_trim(&conn->output);
    if (conn->is_output_high) {
        conn->ops->drained(conn);
    } else {
        conn->ops->sent(conn);
    }
}

/** Only the first `size` bytes. Returns the new count. */
static uint32_t
vector_limit(struct iovec *vector, uint32_t count, uint64_t size)
{
    uint32_t i = 0;
    while (i < count && size > 0) {
        vector[i].iov_len = MIN(vector[i].iov_len, size);
        size -= vector[i].iov_len;
        i++;
    }
    return i;
}

void
conn_flush(struct conn *conn)
{
    if (conn->is_sending || conn->is_closing || output_is_empty(&conn->output) ||
        UNLIKELY(conn->sent_size >= conn->send_limit)) {
        return;
    }
    bool is_one = conn->output.first->next == NULL;
    conn->vector =
        is_one ? &conn->inline_vector : heap_alloc(CONN_VECTOR_MAX * sizeof(struct iovec));
    uint32_t count = output_vector(&conn->output, conn->vector, is_one ? 1 : CONN_VECTOR_MAX);
    if (UNLIKELY(conn->send_limit != UINT64_MAX)) {
        count = vector_limit(conn->vector, count, conn->send_limit - conn->sent_size);
    }
    conn->is_sending = true;
    ring_send(conn->ring, &conn->send_op, conn->fd, conn->vector, count);
}

/* ---- life ---- */

void
conn_create(struct conn *conn, struct ring *ring, int fd, const struct conn_ops *ops,
            uint64_t bulk_size_max, uint64_t input_size_max)
{
    memset(conn, 0, sizeof(*conn));
    conn->ring = ring;
    conn->fd = fd;
    conn->ops = ops;
    conn->receiver.received = conn_received;
    conn->send_op.done = conn_sent;
    conn->send_limit = UINT64_MAX;
    resp_parser_create(&conn->parser, bulk_size_max);
    conn_limits_set(conn, bulk_size_max, input_size_max);
    output_create(&conn->output);
    list_node_create(&conn->dirty_link);
    conn->is_receiving = true;
    ring_receive_start(ring, &conn->receiver, fd);
}

void
conn_trim(struct conn *conn)
{
    if (conn->input == NULL && output_is_empty(&conn->output) && !conn->is_sending) {
        output_trim(&conn->output);
        resp_parser_trim(&conn->parser);
    }
}
