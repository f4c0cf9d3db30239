/*
 * effect.h: what commands changed, as deterministic commands of redis 7.0 in the order in which the
 * shard made them. The seam of the journal: AOF, replicas and slot moves will read it.
 * A record: u64 size of the whole, u16 db, u16 slot, u32 argc, then argc times u64 size and bytes.
 */
#pragma once

#include "core/slice.h"

struct effects {
    char *bytes;
    size_t size;
    size_t capacity;
    uint64_t count;
};

void effects_create(struct effects *effects);
void effects_destroy(struct effects *effects);
/** Copy one effect to the end. */
void effects_append(struct effects *effects, uint16_t db, uint16_t slot, const struct slice *argv,
                    uint32_t argc);
/** Move all records of `from` to the end. */
void effects_splice(struct effects *effects, struct effects *from);
/** Copy all records of `from` to the end. */
void effects_copy(struct effects *effects, const struct effects *from);
void effects_clear(struct effects *effects);

struct effect {
    uint16_t db;
    uint16_t slot;
    uint32_t argc;
    const struct slice *argv; /* in `storage`; valid until the next call */
};

/** Read the record at *offset and move on. False at the end. */
struct effect_reader {
    const struct effects *effects;
    size_t offset;
    struct slice *storage;
    uint32_t storage_count;
};
void effect_reader_create(struct effect_reader *reader, const struct effects *effects);
void effect_reader_destroy(struct effect_reader *reader);
bool effect_read(struct effect_reader *reader, struct effect *effect);
