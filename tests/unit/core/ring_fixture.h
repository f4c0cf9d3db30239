/*
 * ring_fixture.h: what the tests of the ring share: each way that a ring can run, streams of bytes
 * that are a function of a seed and their position, so that a loss, a repetition or a swap shows at
 * once, and sockets whose other side the test plays by hand, without blocking.
 */
#pragma once

#include "core/ring_internal.h"

/* Turns without an end that mean: it will never come. */
#define TURN_COUNT_MAX 2000000

static const struct ring_options options_default = {
    .entry_count = 256,
    .buffer_size = 4096,
    .buffer_count = 16,
    .buffer_count_max = 256,
};

/** A socket of the ring with its peer. */
struct end {
    struct ring *ring;
    struct ring_receiver receiver;
    struct ring_op op;
    int fd;
    int peer_fd;
    uint64_t seed;
    uint64_t received_size;
    uint64_t sent_size;
    uint64_t peer_written_size;
    uint64_t peer_read_size;
    int32_t receive_result; /* of the end */
    uint32_t receive_end_count;
    int32_t op_result;
    uint32_t op_done_count;
    bool holds_buffers;
    struct ring_buffer *held;
    uint64_t chance;
    uint32_t stop_count;
};

/** Run a test on a fresh ring of each variant. */
void variants_run(const struct ring_options *options,
                  void (*run)(struct ring *ring, uint64_t seed));

uint64_t mix(uint64_t value);

uint64_t draw(uint64_t *state, uint64_t bound);

void stream_fill(uint64_t seed, uint64_t position, char *data, size_t size);

void stream_check(uint64_t seed, uint64_t position, const char *data, size_t size);

/** Write up to `size` bytes of a stream without blocking; returns how many went out. */
size_t stream_write(int fd, uint64_t seed, uint64_t position, size_t size);

void end_received(struct ring_receiver *receiver, struct ring_buffer *buffer, int32_t result);

void end_done(struct ring_op *op, int32_t result);

void end_create(struct end *end, struct ring *ring, uint64_t seed);

void end_release(struct end *end);

void end_destroy(struct end *end);

void ring_turns(struct ring *ring, uint32_t count);

/** Turn until `*count` reaches `goal`. */
void ring_turn_until(struct ring *ring, const uint32_t *count, uint32_t goal);
