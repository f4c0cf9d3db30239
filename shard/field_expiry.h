/*
 * field_expiry.h: fields of a hash that have reached their deadline, as the wheel tells. Owner
 * thread only.
 */
#pragma once

#include "shard/shard.h"

/**
 * An entry that is not lent has come out of the wheel for its fields' sake: remove some that are
 * due, one bucket's, with their effect, and hang it up again; with its last field the key goes.
 * What is left is due at once, so that the wheel hands the entry out again.
 */
void field_expiry_step(struct shard *shard, uint16_t db, uint16_t slot, uint64_t hash,
                       struct entry *entry);
