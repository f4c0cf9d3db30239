/*
 * keyslot.h: which of the 16384 slots a key belongs to, by the rules of Redis Cluster.
 * Pure functions without state: any thread may call them.
 */
#pragma once

#include "core/slice.h"

/** Fixed by the cluster protocol; a power of two. */
#define SLOT_COUNT 16384

/** CRC16 of the XMODEM kind: polynomial 0x1021, start 0, nothing reflected, nothing inverted. */
uint16_t crc16(const char *data, size_t size);

/**
 * The slot of a key, < SLOT_COUNT. Where the key has a '{' with a '}' somewhere behind it and at
 * least one byte between the first '{' and the first '}' after it, those bytes alone are hashed, so
 * that keys can be kept together.
 */
uint16_t key_slot(struct slice key);
