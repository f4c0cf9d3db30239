/*
 * rdb_file_internal.h: how the tail of our files looks, for who writes it and who reads it.
 */
#pragma once

#include "persist/rdb_file.h"

#define RDB_SIGNATURE_SIZE 9

/**
 * The index: an AUX field of this name. Its value, all little-endian:
 *
 *     0, format: u8 each   flags: u16   chunks: u32
 *     offset, size, crc, keys: u64 each   shard: u16      for each chunk
 *
 * Values that are bytes begin with a zero: tools that print AUX fields print nothing then.
 */
#define RDB_INDEX_NAME "tessera-index"
#define RDB_INDEX_FORMAT 1
#define RDB_INDEX_HAS_CHECKSUMS 1
#define RDB_INDEX_HEAD_SIZE 8
#define RDB_INDEX_CHUNK_SIZE 34

/**
 * The locator: the last AUX field, of this name and always so long. Its value:
 *
 *     0, format: u8 each   0: u16   0: u32
 *     where the index's field begins, its size, its CRC-64: u64 each
 */
#define RDB_LOCATOR_NAME "tessera-locator"
#define RDB_LOCATOR_VALUE_SIZE 32
/** Opcode, two lengths, name and value. */
#define RDB_LOCATOR_SIZE (3 + sizeof(RDB_LOCATOR_NAME) - 1 + RDB_LOCATOR_VALUE_SIZE)
