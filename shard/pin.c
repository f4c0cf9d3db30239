/*
 * pin.c: bytes of a stored string that a reply sends from where they lie.
 * A large value is not copied into the reply: the reply points at it, and the raw counts who does,
 * so that a change makes a new raw and a deletion waits. The count belongs to the raw's owner, who
 * may be another core than the one that sends:
 *
 *     owner: raw_pin ... reply mailed ->  holder: sent -> ops.raw_unpin -> mail -> owner: raw_unpin
 *
 * Invariant: one pin object for each count. Not an atomic count in the raw: every GET would pay for
 * it, and the last one out would free another core's memory.
 */
#include "shard/pin.h"

#include "core/heap.h"

struct pin {
    struct output_pin base;
    struct shard *holder;
    struct raw *raw;
    uint32_t owner;
};

static void
pin_release(struct output_pin *base)
{
    struct pin *pin = container_of(base, struct pin, base);
    struct shard *holder = pin->holder;
    struct raw *raw = pin->raw;
    uint32_t owner = pin->owner;
    heap_free(pin);
    if (holder->index == owner) {
        raw_unpin(&holder->memory, raw);
    } else {
        holder->ops.raw_unpin(holder, owner, raw);
    }
}

struct output_pin *
pin_new(struct shard *holder, uint32_t owner, struct raw *raw)
{
    struct pin *pin = heap_alloc(sizeof(*pin));
    *pin = (struct pin){
        .base = {.release = pin_release}, .holder = holder, .raw = raw, .owner = owner};
    return &pin->base;
}
