/*
 * pin.h: bytes of a stored string that a reply sends from where they lie.
 */
#pragma once

#include "net/output.h"
#include "shard/shard.h"

/**
 * A pin for output_append_external(), of a raw that is pinned already (or will be with the commit
 * of the view that it was seen through). `holder` is the shard whose core sends the reply and
 * releases the pin, `owner` the index of the one that the raw belongs to. Frees itself with its
 * release.
 */
struct output_pin *pin_new(struct shard *holder, uint32_t owner, struct raw *raw);
