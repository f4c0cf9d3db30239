/*
 * crc64.h: the checksum of files and DUMP payloads: CRC-64 by Jones' polynomial, bits reflected,
 * begun with 0 and not inverted at the end. Of "123456789" it is e9c6d914c4b8d9ca.
 * Pure functions without state: any thread may call them.
 */
#pragma once

#include "core/slice.h"

/** Go on with more bytes; `crc` is 0 at first. */
uint64_t crc64_update(uint64_t crc, struct slice bytes);

/** The checksum of A with B behind it, from that of A, that of B and the bytes of B. O(log n): so
 * that parts can be summed side by side. */
uint64_t crc64_combine(uint64_t crc_a, uint64_t crc_b, uint64_t size_b);
