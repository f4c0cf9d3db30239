/*
 * command_table.c: from the first word of a request to its row, and from a row to its number.
 *
 * Both are asked for with every request, so both are one hash, one comparison and usually one cache
 * line.
 *
 *     "GeT" -> three words, lower case, size in the last byte -> names[hash]: [words | row] -> row
 *     row   -> its address, multiplied                        -> indexes[hash]: [row | index]
 *
 * A name of up to NAME_SIZE_MAX bytes becomes three 64-bit words: loaded without a copy, folded to
 * lower case eight letters at a time, compared as words. Nothing is allocated and no byte is looked
 * at alone. What is longer than any name cannot be a command and is not hashed at all.
 *
 * Invariant: both tables are at most a quarter full and never change after command_table_new(), so
 * that all cores read them without a word to each other. Rows stand in command_at() with the
 * commands first, subcommands behind them, so that one array indexed by command_index() holds a
 * number for each.
 *
 * Rejected: a perfect hash made by a generator (one more tool for a probe that is nearly always the
 * first anyway); a trie (a miss for each letter); an index field in the row (rows are constants).
 */
#include "shard/command.h"

#include "core/heap.h"
#include "shard/command/families.h"

#include <assert.h>

#define FAMILY_POINTER(family) &family,
static const struct command_family *const command_families[] = {COMMAND_FAMILIES(FAMILY_POINTER)};

/** The longest names that redis-server has are 20 bytes; the last byte of the words holds the size.
 */
#define NAME_SIZE_MAX 23
#define NAME_WORDS 3

/** Folded to lower case; unused bytes are zero. */
struct name_key {
    uint64_t words[NAME_WORDS];
};

struct name_cell {
    struct name_key key;
    const struct command *command; /* NULL: free */
};
static_assert(sizeof(struct name_cell) == 32, "a cell does not straddle cache lines");

struct index_cell {
    const struct command *command; /* NULL: free */
    uint32_t index;
};

struct command_table {
    struct name_cell *names;
    struct index_cell *indexes;
    const struct command **rows;
    uint32_t name_mask;
    uint32_t index_shift;
    uint32_t index_mask;
    uint32_t count;
    uint32_t row_count;
};

/* Bytes 'A'..'Z' get bit 5; all others, those above 127 too, stay. */
static inline uint64_t
word_lower(uint64_t word)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    uint64_t low = word & (ones * 0x7f);
    uint64_t from_a = low + ones * (0x80 - 'A');
    uint64_t above_z = low + ones * (0x7f - 'Z');
    uint64_t upper = ~word & (from_a ^ above_z) & (ones * 0x80);
    return word | (upper >> 2);
}

/* The first `size` bytes (1..8), the others zero; reads no byte behind them. */
static inline uint64_t
word_load(const char *data, size_t size)
{
    uint64_t word = 0;
    if (size >= 8) {
        memcpy(&word, data, 8);
        return word;
    }
    if (size >= 4) {
        uint32_t first;
        uint32_t last;
        memcpy(&first, data, 4);
        memcpy(&last, data + size - 4, 4);
        /* They overlap in equal bytes. */
        return first | (uint64_t)last << ((size - 4) * 8);
    }
    const unsigned char *bytes = (const unsigned char *)data;
    word = bytes[0];
    word |= (uint64_t)bytes[size / 2] << (size / 2 * 8);
    word |= (uint64_t)bytes[size - 1] << ((size - 1) * 8);
    return word;
}
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "word_load() puts bytes together");

static inline bool
name_key_make(struct slice name, struct name_key *key)
{
    if (UNLIKELY(name.size == 0 || name.size > NAME_SIZE_MAX)) {
        return false;
    }
    key->words[0] = word_lower(word_load(name.data, MIN(name.size, 8)));
    key->words[1] = 0;
    key->words[2] = 0;
    if (name.size > 8) {
        key->words[1] = word_lower(word_load(name.data + 8, MIN(name.size - 8, 8)));
    }
    if (name.size > 16) {
        key->words[2] = word_lower(word_load(name.data + 16, name.size - 16));
    }
    /* "get" and "get\0" differ. */
    key->words[2] |= (uint64_t)name.size << 56;
    return true;
}

static inline uint32_t
name_key_hash(const struct name_key *key)
{
    uint64_t hash = key->words[0] * UINT64_C(0x9e3779b97f4a7c15);
    hash ^=
        (key->words[1] ^ (key->words[2] << 3 | key->words[2] >> 61)) * UINT64_C(0xc2b2ae3d27d4eb4f);
    return (uint32_t)(hash >> 40);
}

static inline bool
name_key_equal(const struct name_key *a, const struct name_key *b)
{
    return ((a->words[0] ^ b->words[0]) | (a->words[1] ^ b->words[1]) |
            (a->words[2] ^ b->words[2])) == 0;
}

static inline uint32_t
row_hash(const struct command_table *table, const struct command *command)
{
    return (uint32_t)(((uint64_t)(uintptr_t)command * UINT64_C(0x9e3779b97f4a7c15)) >>
                      table->index_shift);
}

static void
name_insert(struct command_table *table, const struct command *command)
{
    struct name_key key;
    bool is_name = name_key_make(slice_of_string(command->name), &key);
    ASSERT(is_name);
    uint32_t at = name_key_hash(&key) & table->name_mask;
    while (table->names[at].command != NULL) {
        ASSERT(!name_key_equal(&table->names[at].key, &key)); /* two rows of one name */
        at = (at + 1) & table->name_mask;
    }
    table->names[at] = (struct name_cell){.key = key, .command = command};
}

static void
row_insert(struct command_table *table, const struct command *command)
{
    uint32_t at = row_hash(table, command);
    while (table->indexes[at].command != NULL) {
        at = (at + 1) & table->index_mask;
    }
    table->indexes[at] = (struct index_cell){.command = command, .index = table->row_count};
    table->rows[table->row_count++] = command;
}

/* A table of this many cells is at most a quarter full. */
static uint32_t
cell_count_bits(uint32_t count)
{
    uint32_t bits = 4;
    while ((UINT32_C(1) << bits) < count * 4) {
        bits++;
    }
    return bits;
}

static void *
alloc_zero(size_t size)
{
    void *memory = heap_alloc(size);
    memset(memory, 0, size);
    return memory;
}

static void
rows_count(uint32_t *count, uint32_t *row_count)
{
    *count = 0;
    *row_count = 0;
    for (size_t f = 0; f < ARRAY_COUNT(command_families); f++) {
        const struct command_family *family = command_families[f];
        for (uint32_t i = 0; i < family->count; i++) {
            *count += 1;
            *row_count += 1 + family->commands[i].subcommand_count;
        }
    }
}

struct command_table *
command_table_new(void)
{
    struct command_table *table = alloc_zero(sizeof(*table));
    uint32_t row_count;
    rows_count(&table->count, &row_count);
    uint32_t name_bits = cell_count_bits(table->count);
    uint32_t index_bits = cell_count_bits(row_count);
    table->name_mask = (UINT32_C(1) << name_bits) - 1;
    table->index_mask = (UINT32_C(1) << index_bits) - 1;
    table->index_shift = 64 - index_bits;
    table->names = alloc_zero(sizeof(*table->names) << name_bits);
    table->indexes = alloc_zero(sizeof(*table->indexes) << index_bits);
    table->rows = alloc_zero(sizeof(*table->rows) * MAX(row_count, 1));
    for (size_t f = 0; f < ARRAY_COUNT(command_families); f++) {
        const struct command_family *family = command_families[f];
        for (uint32_t i = 0; i < family->count; i++) {
            name_insert(table, &family->commands[i]);
            row_insert(table, &family->commands[i]);
        }
    }
    ASSERT(table->row_count == table->count);
    for (uint32_t i = 0; i < table->count; i++) {
        const struct command *command = table->rows[i];
        for (uint32_t s = 0; s < command->subcommand_count; s++) {
            row_insert(table, &command->subcommands[s]);
        }
    }
    ASSERT(table->row_count == row_count);
    return table;
}

void
command_table_delete(struct command_table *table)
{
    heap_free(table->names);
    heap_free(table->indexes);
    heap_free(table->rows);
    heap_free(table);
}

const struct command *
command_find(const struct command_table *table, struct slice name)
{
    struct name_key key;
    if (!name_key_make(name, &key)) {
        return NULL;
    }
    uint32_t at = name_key_hash(&key) & table->name_mask;
    for (;;) {
        const struct name_cell *cell = &table->names[at];
        if (cell->command == NULL || LIKELY(name_key_equal(&cell->key, &key))) {
            return cell->command;
        }
        at = (at + 1) & table->name_mask;
    }
}

const struct command *
command_resolve(const struct command_table *table, const struct slice *argv, uint32_t argc)
{
    if (argc == 0) {
        return NULL;
    }
    const struct command *command = command_find(table, argv[0]);
    if (command == NULL || LIKELY(command->subcommand_count == 0) || argc == 1) {
        return command;
    }
    for (uint32_t i = 0; i < command->subcommand_count; i++) {
        if (slice_is_word(argv[1], command->subcommands[i].name)) {
            return &command->subcommands[i];
        }
    }
    return command;
}

uint32_t
command_count(const struct command_table *table)
{
    return table->count;
}

uint32_t
command_row_count(const struct command_table *table)
{
    return table->row_count;
}

const struct command *
command_at(const struct command_table *table, uint32_t index)
{
    ASSERT(index < table->row_count);
    return table->rows[index];
}

uint32_t
command_index(const struct command_table *table, const struct command *command)
{
    uint32_t at = row_hash(table, command);
    while (table->indexes[at].command != command) {
        ASSERT(table->indexes[at].command != NULL);
        at = (at + 1) & table->index_mask;
    }
    return table->indexes[at].index;
}
