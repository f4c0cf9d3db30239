/*
 * ring_fixture.c: rings of every variant, streams, and sockets with a peer.
 */
#include "ring_fixture.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct variant {
    const char *name;
    bool is_epoll;
    struct ring_uring_tuning tuning;
};

static const struct variant variants[] = {
    {.name = "epoll", .is_epoll = true},
    {.name = "io_uring"},
    {.name = "io_uring, single-shot", .tuning.is_single_shot = true},
    {.name = "io_uring, direct sends", .tuning.is_send_direct = true},
    {.name = "io_uring, plain task work", .tuning.is_plain = true},
};

static struct ring *
variant_ring_new(const struct variant *variant, const struct ring_options *options)
{
    int error = 0;
    const char *step = "";
    if (variant->is_epoll) {
        struct ring *ring = ring_epoll_new(options, &error, &step);
        cr_assert_not_null(ring, "epoll: %s: %s", step, strerror(-error));
        return ring;
    }
    struct ring *ring = ring_uring_new(options, &variant->tuning, &error, &step);
    if (ring == NULL) {
        cr_log_warn("%s left out: %s: %s", variant->name, step, strerror(-error));
    }
    return ring;
}

void
variants_run(const struct ring_options *options, void (*run)(struct ring *ring, uint64_t seed))
{
    const char *given = getenv("RING_TEST_SEED");
    uint64_t seed = given != NULL ? strtoull(given, NULL, 0) : (uint64_t)time(NULL);
    for (size_t i = 0; i < ARRAY_COUNT(variants); i++) {
        struct ring *ring = variant_ring_new(&variants[i], options);
        if (ring == NULL) {
            continue;
        }
        fprintf(stderr, "%s, RING_TEST_SEED=%llu\n", variants[i].name, (unsigned long long)seed);
        run(ring, seed);
        ring_delete(ring);
    }
}

/* ---- chance and streams ---- */

uint64_t
mix(uint64_t value)
{
    value += 0x9e3779b97f4a7c15u;
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
    value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
    return value ^ (value >> 31);
}

uint64_t
draw(uint64_t *state, uint64_t bound)
{
    *state += 1;
    return mix(*state) % bound;
}

static char
stream_byte(uint64_t seed, uint64_t position)
{
    return (char)mix(seed ^ (position * 2654435761u));
}

void
stream_fill(uint64_t seed, uint64_t position, char *data, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        data[i] = stream_byte(seed, position + i);
    }
}

void
stream_check(uint64_t seed, uint64_t position, const char *data, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        cr_assert_eq(data[i], stream_byte(seed, position + i), "byte %llu",
                     (unsigned long long)(position + i));
    }
}

size_t
stream_write(int fd, uint64_t seed, uint64_t position, size_t size)
{
    char data[8192];
    size = MIN(size, sizeof(data));
    stream_fill(seed, position, data, size);
    ssize_t rc = send(fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    cr_assert(rc >= 0 || errno == EAGAIN, "%s", strerror(errno));
    return rc < 0 ? 0 : (size_t)rc;
}

/* ---- ends: a socket of the ring with its peer ---- */

void
end_received(struct ring_receiver *receiver, struct ring_buffer *buffer, int32_t result)
{
    struct end *end = container_of(receiver, struct end, receiver);
    if (result <= 0) {
        cr_assert_null(buffer);
        end->receive_result = result;
        end->receive_end_count++;
        return;
    }
    cr_assert_eq(buffer->size, (uint32_t)result);
    cr_assert_eq(buffer->ref_count, 1);
    stream_check(end->seed, end->received_size, buffer->data, buffer->size);
    end->received_size += buffer->size;
    if (end->holds_buffers) {
        buffer->next = end->held;
        end->held = buffer;
    } else {
        ring_buffer_unref(buffer);
    }
}

void
end_done(struct ring_op *op, int32_t result)
{
    struct end *end = container_of(op, struct end, op);
    end->op_result = result;
    end->op_done_count++;
}

void
end_create(struct end *end, struct ring *ring, uint64_t seed)
{
    int pair[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    *end = (struct end){
        .ring = ring,
        .receiver.received = end_received,
        .op.done = end_done,
        .fd = pair[0],
        .peer_fd = pair[1],
        .seed = seed,
        .chance = mix(seed),
        .receive_result = 1,
        .op_result = 1,
    };
}

void
end_release(struct end *end)
{
    while (end->held != NULL) {
        struct ring_buffer *buffer = end->held;
        end->held = buffer->next;
        ring_buffer_unref(buffer);
    }
}

void
ring_turns(struct ring *ring, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        (void)ring_wait(ring, 0);
    }
}

void
ring_turn_until(struct ring *ring, const uint32_t *count, uint32_t goal)
{
    for (uint32_t i = 0; *count < goal; i++) {
        cr_assert_lt(i, 5000, "still at %u", *count);
        (void)ring_wait(ring, 1000000);
    }
    cr_assert_eq(*count, goal);
}

void
end_destroy(struct end *end)
{
    end_release(end);
    if (end->receiver.op.is_active) {
        uint32_t goal = end->receive_end_count + 1;
        ring_receive_stop(end->ring, &end->receiver);
        ring_turn_until(end->ring, &end->receive_end_count, goal);
    }
    if (end->op.is_active) {
        uint32_t goal = end->op_done_count + 1;
        ring_cancel(end->ring, &end->op);
        ring_turn_until(end->ring, &end->op_done_count, goal);
    }
    ring_close(end->ring, end->fd);
    if (end->peer_fd >= 0) {
        close(end->peer_fd);
    }
}
