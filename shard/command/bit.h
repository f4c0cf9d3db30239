/*
 * bit.h: what the files of bit commands share.
 */
#pragma once

#include "shard/call.h"

/**
 * Parse argv[index] as the offset of a bit, or reply the error and return false. `width` above 0
 * allows "#n": n times that many bits.
 */
bool bit_offset_read(struct call *call, uint32_t index, uint32_t width, uint64_t *offset);
