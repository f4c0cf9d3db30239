/*
 * effect.c: a row of changes, as commands.
 * One growing block of records, each telling its own size, so that a reader goes from one to the
 * next and a splice is one memcpy:
 *
 *     | size | db slot argc | size bytes | size bytes | ...  | size | db slot argc | ...
 *
 * Invariant: `size` is the end of a whole record. Numbers are in the machine's order and unaligned:
 * a record never leaves the process in this form. Not a list of records: effects are made with
 * every write, and an allocation each would cost more than the write.
 */
#include "shard/effect.h"

#include "core/heap.h"

struct effect_header {
    uint64_t size;
    uint16_t db;
    uint16_t slot;
    uint32_t argc;
};
_Static_assert(sizeof(struct effect_header) == 16, "no padding in records");

/** Room for the effects of a usual turn, so that the block rarely grows. */
#define EFFECTS_CAPACITY_MIN 4096

void
effects_create(struct effects *effects)
{
    *effects = (struct effects){0};
}

void
effects_destroy(struct effects *effects)
{
    heap_free(effects->bytes);
    *effects = (struct effects){0};
}

static char *
effects_reserve(struct effects *effects, size_t size)
{
    if (UNLIKELY(effects->capacity - effects->size < size)) {
        size_t capacity = MAX(effects->capacity * 2, (size_t)EFFECTS_CAPACITY_MIN);
        capacity = MAX(capacity, effects->size + size);
        effects->bytes = heap_realloc(effects->bytes, capacity);
        effects->capacity = capacity;
    }
    return effects->bytes + effects->size;
}

void
effects_append(struct effects *effects, uint16_t db, uint16_t slot, const struct slice *argv,
               uint32_t argc)
{
    struct effect_header header = {.size = sizeof(header), .db = db, .slot = slot, .argc = argc};
    ASSERT(argc > 0);
    for (uint32_t i = 0; i < argc; i++) {
        header.size += sizeof(uint64_t) + argv[i].size;
    }
    char *out = effects_reserve(effects, header.size);
    memcpy(out, &header, sizeof(header));
    out += sizeof(header);
    for (uint32_t i = 0; i < argc; i++) {
        uint64_t size = argv[i].size;
        memcpy(out, &size, sizeof(size));
        out += sizeof(size);
        if (size > 0) {
            memcpy(out, argv[i].data, size);
            out += size;
        }
    }
    effects->size += header.size;
    effects->count++;
}

void
effects_splice(struct effects *effects, struct effects *from)
{
    ASSERT(effects != from);
    if (from->size == 0) {
        return;
    }
    if (effects->size == 0) {
        struct effects swap = *effects;
        *effects = *from;
        *from = swap;
        return;
    }
    effects_copy(effects, from);
    effects_clear(from);
}

void
effects_copy(struct effects *effects, const struct effects *from)
{
    if (from->size > 0) {
        memcpy(effects_reserve(effects, from->size), from->bytes, from->size);
        effects->size += from->size;
        effects->count += from->count;
    }
}

void
effects_clear(struct effects *effects)
{
    effects->size = 0;
    effects->count = 0;
}

void
effect_reader_create(struct effect_reader *reader, const struct effects *effects)
{
    *reader = (struct effect_reader){.effects = effects};
}

void
effect_reader_destroy(struct effect_reader *reader)
{
    heap_free(reader->storage);
    *reader = (struct effect_reader){0};
}

bool
effect_read(struct effect_reader *reader, struct effect *effect)
{
    const struct effects *effects = reader->effects;
    ASSERT(reader->offset <= effects->size);
    if (reader->offset == effects->size) {
        return false;
    }
    const char *at = effects->bytes + reader->offset;
    struct effect_header header;
    memcpy(&header, at, sizeof(header));
    ASSERT(header.size <= effects->size - reader->offset);
    if (header.argc > reader->storage_count) {
        reader->storage = heap_realloc(reader->storage, header.argc * sizeof(*reader->storage));
        reader->storage_count = header.argc;
    }
    const char *end = at + header.size;
    at += sizeof(header);
    for (uint32_t i = 0; i < header.argc; i++) {
        uint64_t size;
        memcpy(&size, at, sizeof(size));
        at += sizeof(size);
        reader->storage[i] = slice_of(at, size);
        at += size;
    }
    ASSERT(at == end);
    reader->offset += header.size;
    *effect = (struct effect){
        .db = header.db, .slot = header.slot, .argc = header.argc, .argv = reader->storage};
    return true;
}
