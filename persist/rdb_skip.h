/*
 * rdb_skip.h: moving a reader on without looking at what it passes. Lengths are believed only as
 * far as there are bytes.
 */
#pragma once

#include "persist/rdb.h"

MUST_CHECK bool rdb_skip_bytes(struct rdb_reader *reader, uint64_t size);
MUST_CHECK bool rdb_skip_length(struct rdb_reader *reader);
/** A string in any form. What LZF has compressed is not unpacked. */
MUST_CHECK bool rdb_skip_string(struct rdb_reader *reader);
