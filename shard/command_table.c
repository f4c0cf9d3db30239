/*
 * command_table.c: from the first word of a request to its row, and from a row to its number.
 *
 * Asked for with every request, so it is one hash, one comparison and usually one cache line.
 *
 *     "GET" -> three words, size in the last byte -> names[hash]: [words | row] -> row
 *
 * A name of up to NAME_SIZE_MAX bytes becomes three 64-bit words: loaded without a copy, compared
 * as words. Clients write names in upper or in lower case, so both stand in the table; only what is
 * neither is folded, eight letters at a time, and looked up once more. Nothing is allocated and no
 * byte is looked at alone. What is longer than any name cannot be a command and is not hashed at
 * all.
 *
 * The families' rows are constants. The table holds copies of them in one array, commands first and
 * subcommands behind them, with what follows from a row and is asked for with every request written
 * down (only_key, view_flags). A row's number is its place.
 *
 * Invariant: the names are at most a quarter full, and nothing changes after command_table_new(),
 * so that all cores read without a word to each other.
 *
 * Rejected: a perfect hash made by a generator (one more tool for a probe that is nearly always the
 * first anyway); a trie (a miss for each letter).
 */
#include "shard/command.h"

#include "core/heap.h"
#include "shard/command/families.h"
#include "shard/view.h"

#include <assert.h>

#define FAMILY_POINTER(family) &family,
static const struct command_family *const command_families[] = {COMMAND_FAMILIES(FAMILY_POINTER)};

/** The longest names that redis-server has are 20 bytes; the last byte of the words holds the size.
 */
#define NAME_SIZE_MAX 23
#define NAME_WORDS 3

/** Unused bytes are zero. */
struct name_key {
    uint64_t words[NAME_WORDS];
};

struct name_cell {
    struct name_key key;
    const struct command *command; /* NULL: free */
};
static_assert(sizeof(struct name_cell) == 32, "a cell does not straddle cache lines");

struct command_table {
    struct name_cell *names;
    struct command *rows;
    uint32_t name_mask;
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
    key->words[0] = word_load(name.data, MIN(name.size, 8));
    key->words[1] = 0;
    key->words[2] = 0;
    if (name.size > 8) {
        key->words[1] = word_load(name.data + 8, MIN(name.size - 8, 8));
    }
    if (name.size > 16) {
        key->words[2] = word_load(name.data + 16, name.size - 16);
    }
    /* "get" and "get\0" differ. The size is no letter: it stays what it is in any case. */
    key->words[2] |= (uint64_t)name.size << 56;
    return true;
}

static inline struct name_key
name_key_lower(const struct name_key *key)
{
    struct name_key lower;
    for (uint32_t i = 0; i < NAME_WORDS; i++) {
        lower.words[i] = word_lower(key->words[i]);
    }
    return lower;
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

static void
name_insert(struct command_table *table, const struct name_key *key, const struct command *command)
{
    uint32_t at = name_key_hash(key) & table->name_mask;
    while (table->names[at].command != NULL) {
        ASSERT(!name_key_equal(&table->names[at].key, key)); /* two rows of one name */
        at = (at + 1) & table->name_mask;
    }
    table->names[at] = (struct name_cell){.key = *key, .command = command};
}

/** Its name as it stands in the row, and in upper case. */
static void
names_insert(struct command_table *table, const struct command *command)
{
    struct slice name = slice_of_string(command->name);
    char upper[NAME_SIZE_MAX];
    struct name_key key;
    bool is_name = name_key_make(name, &key);
    ASSERT(is_name);
    name_insert(table, &key, command);
    for (size_t i = 0; i < name.size; i++) {
        bool is_letter = name.data[i] >= 'a' && name.data[i] <= 'z';
        upper[i] = (char)(is_letter ? name.data[i] - 'a' + 'A' : name.data[i]);
    }
    is_name = name_key_make(slice_of(upper, name.size), &key);
    ASSERT(is_name);
    name_insert(table, &key, command);
}

/** The argument that is the command's only key, where that follows from the row. */
static uint32_t
only_key_of(const struct command *command)
{
    const struct key_spec *spec = &command->key_specs[0];
    if (command->scope == SCOPE_KEYS && command->key_spec_count == 1 &&
        spec->begin == KEYS_BEGIN_INDEX && spec->find == KEYS_FIND_RANGE && spec->last == 0 &&
        command->views == NULL && (spec->flags & KEY_NOT_KEY) == 0) {
        return (uint32_t)spec->begin_index;
    }
    return COMMAND_KEYS_MANY;
}

static void
row_copy(struct command_table *table, const struct command *command)
{
    struct command *row = &table->rows[table->row_count++];
    *row = *command;
    /* PFCOUNT is read-only for its callers and yet keeps what it has counted in its key. */
    bool is_changing = (command->key_specs[0].flags & (KEY_RW | KEY_OW | KEY_RM)) != 0;
    row->only_key = only_key_of(command);
    row->view_flags =
        (uint16_t)((is_changing ? VIEW_EXCLUSIVE : 0) | view_flags(command->flags, false));
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
    struct command_table *table = heap_alloc(sizeof(*table));
    uint32_t row_count;
    *table = (struct command_table){0};
    rows_count(&table->count, &row_count);
    uint32_t name_bits = cell_count_bits(table->count * 2);
    size_t names_size = sizeof(*table->names) << name_bits;
    table->name_mask = (UINT32_C(1) << name_bits) - 1;
    table->names = heap_alloc(names_size);
    memset(table->names, 0, names_size);
    table->rows = heap_alloc(sizeof(*table->rows) * MAX(row_count, 1U));
    for (size_t f = 0; f < ARRAY_COUNT(command_families); f++) {
        const struct command_family *family = command_families[f];
        for (uint32_t i = 0; i < family->count; i++) {
            row_copy(table, &family->commands[i]);
        }
    }
    ASSERT(table->row_count == table->count);
    for (uint32_t i = 0; i < table->count; i++) {
        struct command *command = &table->rows[i];
        const struct command *subcommands = command->subcommands;
        command->subcommands = &table->rows[table->row_count];
        for (uint32_t s = 0; s < command->subcommand_count; s++) {
            row_copy(table, &subcommands[s]);
        }
        names_insert(table, command);
    }
    ASSERT(table->row_count == row_count);
    return table;
}

void
command_table_delete(struct command_table *table)
{
    heap_free(table->names);
    heap_free(table->rows);
    heap_free(table);
}

static inline const struct command *
name_find(const struct command_table *table, const struct name_key *key)
{
    uint32_t at = name_key_hash(key) & table->name_mask;
    for (;;) {
        const struct name_cell *cell = &table->names[at];
        if (cell->command == NULL || LIKELY(name_key_equal(&cell->key, key))) {
            return cell->command;
        }
        at = (at + 1) & table->name_mask;
    }
}

const struct command *
command_find(const struct command_table *table, struct slice name)
{
    struct name_key key;
    if (!name_key_make(name, &key)) {
        return NULL;
    }
    const struct command *command = name_find(table, &key);
    if (UNLIKELY(command == NULL)) {
        key = name_key_lower(&key);
        command = name_find(table, &key);
    }
    return command;
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
    return &table->rows[index];
}

uint32_t
command_index(const struct command_table *table, const struct command *command)
{
    ASSERT(command >= table->rows && command < table->rows + table->row_count);
    return (uint32_t)(command - table->rows);
}
