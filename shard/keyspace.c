#include "shard/keyspace.h"

#include "shard/value/object.h"

#include <sys/mman.h>

/*
 * keyspace.c: the books of a shard.
 *
 *     databases[db] -> slots[slot] -> table -> entry
 *          ^                                    | spare: id of its database
 *     numbers[id] <------------- wheel ---------'
 *
 * Every change of an entry passes here, so that table, wheel, and the counts of slot and database
 * change together. An entry that comes out of the wheel knows its database by an id that belongs to
 * the contents: SWAPDB exchanges contents and two numbers, and entries stay as they are. A flush
 * gives the contents away, id and all, to the garbage, where the id has no number: nodes of dead
 * entries that come up in the wheel are recognised by that and dropped, until the collector has
 * freed them. An id is used again only after that. Contents that a snapshot holds stay whole in the
 * garbage until it has looked through them.
 *
 * A database's slots are an anonymous mapping: pages that no key ever touched cost nothing, so a
 * shard that owns every second slot, or a database with three keys, pays for what it uses.
 *
 * Collections count by themselves, at the moment their change is committed: while a key is lent,
 * its collection is another core's, and neither its size nor its address in the entry may be looked
 * at. So functions that only touch the entry (deadlines) never do.
 *
 * Invariants: slot.byte_count is the sum of entry_size() of its entries and of the sizes of their
 * collections as last committed, a database's counts are
 * the sums over its slots; an entry has a node in the wheel if and only if it has a deadline, or
 * its collection's elements have any as last committed, but
 * while the callee of keyspace_advance() has it. keyspace_check() recounts all of it.
 *
 * Rejected: counting when asked (16384 slots, and INFO is asked every second), a list of keys for
 * each database.
 */

#define KEYSPACE_SLOTS_SIZE (SLOT_COUNT * sizeof(struct slot) + SLOT_COUNT / 8)

/** Tries of keyspace_random() to hit a slot before it counts through all of them. */
#define KEYSPACE_RANDOM_TRIES 128
/** A database with fewer keys is counted through at once. */
#define KEYSPACE_SPARSE_COUNT 2048

/** Into an empty database: its slots, and behind them the bits of those that hold keys. */
static void
slots_create(struct keyspace *keyspace, struct database *database)
{
    void *block =
        mmap(NULL, KEYSPACE_SLOTS_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT(block != MAP_FAILED);
    memory_adopt(keyspace->memory, KEYSPACE_SLOTS_SIZE);
    database->slots = block;
    database->occupied = (uint64_t *)(void *)(database->slots + SLOT_COUNT);
}

static void
slots_destroy(struct keyspace *keyspace, struct database *database)
{
    ASSERT(munmap(database->slots, KEYSPACE_SLOTS_SIZE) == 0);
    memory_disown(keyspace->memory, KEYSPACE_SLOTS_SIZE);
    database->slots = NULL;
    database->occupied = NULL;
}

/** An unused id, from now on of database `db`. */
static uint32_t
id_new(struct keyspace *keyspace, uint32_t db)
{
    uint32_t capacity = keyspace->number_capacity;
    for (uint32_t id = 0; id < capacity; id++) {
        if (keyspace->numbers[id] == KEYSPACE_ID_FREE) {
            keyspace->numbers[id] = db;
            return id;
        }
    }
    uint32_t new_capacity = MAX(capacity * 2, 16U);
    keyspace->numbers =
        memory_realloc(keyspace->memory, keyspace->numbers, capacity * sizeof(uint32_t),
                       new_capacity * sizeof(uint32_t));
    for (uint32_t id = capacity; id < new_capacity; id++) {
        keyspace->numbers[id] = KEYSPACE_ID_FREE;
    }
    keyspace->number_capacity = new_capacity;
    keyspace->numbers[capacity] = db;
    return capacity;
}

void
keyspace_create(struct keyspace *keyspace, struct memory *memory, uint32_t database_count,
                uint64_t hash_seed, int64_t now_ms)
{
    ASSERT(database_count > 0);
    ASSERT(database_count < KEYSPACE_ID_FREE);
    *keyspace = (struct keyspace){
        .memory = memory, .database_count = database_count, .hash_seed = hash_seed};
    wheel_create(&keyspace->wheel, memory, now_ms);
    keyspace->databases = memory_alloc_zero(memory, database_count * sizeof(struct database));
    for (uint32_t db = 0; db < database_count; db++) {
        keyspace->databases[db].id = id_new(keyspace, db);
    }
}

void
keyspace_destroy(struct keyspace *keyspace)
{
    keyspace_flush_all(keyspace);
    for (struct keyspace_garbage *it = keyspace->garbage; it != NULL; it = it->next) {
        it->database.is_held = false;
    }
    while (!keyspace_collect(keyspace, UINT32_MAX)) {
    }
    struct memory *memory = keyspace->memory;
    memory_free(memory, keyspace->databases, keyspace->database_count * sizeof(struct database));
    memory_free(memory, keyspace->numbers, keyspace->number_capacity * sizeof(uint32_t));
    wheel_destroy(&keyspace->wheel);
    *keyspace = (struct keyspace){.memory = NULL};
}

/* ---- books ---- */

/** What the books have to know of an entry before and after a change. */
struct keyspace_mark {
    size_t size;
    int64_t deadline_ms;
};

static inline struct keyspace_mark
mark_of(const struct entry *entry)
{
    return (struct keyspace_mark){.size = entry_size(entry),
                                  .deadline_ms = entry_deadline_ms(entry)};
}

static void
books_add(struct database *database, struct slot *slot, struct keyspace_mark mark)
{
    slot->byte_count += mark.size;
    database->byte_count += mark.size;
    if (mark.deadline_ms != ENTRY_NO_DEADLINE) {
        database->deadline_count++;
        database->deadline_sum_ms += (unsigned __int128)mark.deadline_ms;
    }
}

static void
books_subtract(struct database *database, struct slot *slot, struct keyspace_mark mark)
{
    ASSERT(slot->byte_count >= mark.size);
    slot->byte_count -= mark.size;
    database->byte_count -= mark.size;
    if (mark.deadline_ms != ENTRY_NO_DEADLINE) {
        database->deadline_count--;
        database->deadline_sum_ms -= (unsigned __int128)mark.deadline_ms;
    }
}

/** An entry was changed, and maybe moved. */
static struct entry *
books_change(struct database *database, struct slot *slot, uint64_t hash,
             struct keyspace_mark before, const struct entry *old, struct entry *entry)
{
    if (entry != old) {
        table_replace(&slot->table, old, entry, hash);
    }
    books_subtract(database, slot, before);
    books_add(database, slot, mark_of(entry));
    return entry;
}

static void
object_count_delta(struct keyspace *keyspace, struct database *database, struct slot *slot,
                   int64_t size_delta)
{
    slot->byte_count += (uint64_t)size_delta;
    database->byte_count += (uint64_t)size_delta;
    object_charge(keyspace->memory, size_delta);
}

/* ---- collections ---- */

/** The entry holds this collection from now on: it hangs in the wheel by its elements' first
 * deadline. Returns the entry, which may have moved. */
static struct entry *
elements_settle(struct keyspace *keyspace, uint32_t db, struct slot *slot, uint64_t hash,
                struct entry *entry, const struct value *value)
{
    struct database *database = &keyspace->databases[db];
    int64_t deadline_ms = value_object_deadline_ms(value);
    if (LIKELY(deadline_ms == ENTRY_NO_DEADLINE && !entry_has_element_deadline(entry))) {
        return entry;
    }
    struct keyspace_mark before = mark_of(entry);
    struct entry *fresh = entry_element_deadline_set(keyspace->memory, &keyspace->wheel, entry,
                                                     deadline_ms, database->id);
    return books_change(database, slot, hash, before, entry, fresh);
}

struct entry *
keyspace_object_set(struct keyspace *keyspace, uint32_t db, uint32_t slot_index, uint64_t hash,
                    struct entry *entry, const struct value *value, uint64_t old_size)
{
    struct database *database = &keyspace->databases[db];
    struct slot *slot = &database->slots[slot_index];
    ASSERT(slot->byte_count >= old_size);
    entry_object_set(entry, value);
    object_count_delta(keyspace, database, slot, (int64_t)(object_size(value->object) - old_size));
    return elements_settle(keyspace, db, slot, hash, entry, value);
}

void
keyspace_object_release(struct keyspace *keyspace, uint32_t db, uint32_t slot_index,
                        struct entry *entry, uint64_t old_size)
{
    struct database *database = &keyspace->databases[db];
    struct slot *slot = &database->slots[slot_index];
    ASSERT(entry_has_object(entry));
    ASSERT(slot->byte_count >= old_size);
    struct value gone;
    entry_value_take(entry, &gone);
    object_count_delta(keyspace, database, slot, -(int64_t)old_size);
}

void
keyspace_object_drop(struct keyspace *keyspace, const struct value *value)
{
    uint64_t size = object_size(value->object);
    if (size <= KEYSPACE_OBJECT_SIZE_LARGE) {
        value_object_delete(value);
        return;
    }
    struct keyspace_garbage *garbage = memory_alloc(keyspace->memory, sizeof(*garbage));
    *garbage = (struct keyspace_garbage){.value = *value, .next = keyspace->garbage};
    keyspace->garbage = garbage;
    /* No new peak: what the owner's account still carries for it goes with the commit. */
    keyspace->memory->used_size += size;
}

/** An entry's collection, which is all there and as the account has it, goes. */
static void
object_remove(struct keyspace *keyspace, uint32_t db, uint32_t slot_index, struct entry *entry)
{
    struct value value;
    entry_value(entry, &value);
    keyspace_object_release(keyspace, db, slot_index, entry, object_size(value.object));
    keyspace_object_drop(keyspace, &value);
}

/* ---- changes ---- */

struct entry *
keyspace_put(struct keyspace *keyspace, uint32_t db, uint32_t slot_index, uint64_t hash,
             struct slice key, struct entry *entry, const struct value *value, int64_t deadline_ms)
{
    ASSERT(db < keyspace->database_count);
    ASSERT(slot_index < SLOT_COUNT);
    if (entry != NULL && deadline_ms == ENTRY_NO_DEADLINE && entry_overwrite(entry, value)) {
        return entry;
    }
    struct database *database = &keyspace->databases[db];
    if (UNLIKELY(database->slots == NULL)) {
        slots_create(keyspace, database);
    }
    struct slot *slot = &database->slots[slot_index];
    if (entry != NULL && entry_has_object(entry)) {
        object_remove(keyspace, db, slot_index, entry);
    }
    if (value->is_object) {
        object_count_delta(keyspace, database, slot, (int64_t)object_size(value->object));
    }
    if (entry != NULL) {
        struct keyspace_mark before = mark_of(entry);
        struct entry *fresh = entry_assign(keyspace->memory, &keyspace->wheel, entry, value,
                                           deadline_ms, database->id);
        fresh = books_change(database, slot, hash, before, entry, fresh);
        return value->is_object ? elements_settle(keyspace, db, slot, hash, fresh, value) : fresh;
    }
    ASSERT_SLOW(table_find(&slot->table, key, hash) == NULL);
    entry = entry_new(keyspace->memory, &keyspace->wheel, key, value, deadline_ms, database->id);
    entry->flags |= (uint8_t)(keyspace->snapshot_bit * ENTRY_SNAPSHOT_BIT);
    table_insert(keyspace->memory, &slot->table, entry, hash, keyspace->hash_seed);
    if (table_count(&slot->table) == 1) {
        database->occupied[slot_index / 64] |= UINT64_C(1) << (slot_index % 64);
    }
    database->key_count++;
    books_add(database, slot, mark_of(entry));
    return value->is_object ? elements_settle(keyspace, db, slot, hash, entry, value) : entry;
}

struct entry *
keyspace_string_resize(struct keyspace *keyspace, uint32_t db, uint32_t slot_index, uint64_t hash,
                       struct entry *entry, enum value_encoding encoding, size_t size, char **data)
{
    struct database *database = &keyspace->databases[db];
    struct keyspace_mark before = mark_of(entry);
    struct entry *fresh =
        entry_string_resize(keyspace->memory, &keyspace->wheel, entry, encoding, size, data);
    return books_change(database, &database->slots[slot_index], hash, before, entry, fresh);
}

struct entry *
keyspace_deadline_set(struct keyspace *keyspace, uint32_t db, uint32_t slot_index, uint64_t hash,
                      struct entry *entry, int64_t deadline_ms)
{
    struct database *database = &keyspace->databases[db];
    struct keyspace_mark before = mark_of(entry);
    struct entry *fresh =
        entry_deadline_set(keyspace->memory, &keyspace->wheel, entry, deadline_ms, database->id);
    return books_change(database, &database->slots[slot_index], hash, before, entry, fresh);
}

void
keyspace_remove(struct keyspace *keyspace, uint32_t db, uint32_t slot_index, uint64_t hash,
                struct entry *entry)
{
    struct database *database = &keyspace->databases[db];
    struct slot *slot = &database->slots[slot_index];
    if (entry_has_object(entry)) {
        object_remove(keyspace, db, slot_index, entry);
    }
    table_remove(keyspace->memory, &slot->table, entry, hash, keyspace->hash_seed);
    if (table_count(&slot->table) == 0) {
        database->occupied[slot_index / 64] &= ~(UINT64_C(1) << (slot_index % 64));
    }
    database->key_count--;
    books_subtract(database, slot, mark_of(entry));
    entry_delete(keyspace->memory, &keyspace->wheel, entry);
}

void
keyspace_take(struct keyspace *keyspace, uint32_t db, uint32_t slot_index, uint64_t hash,
              struct entry *entry, struct value *out)
{
    struct database *database = &keyspace->databases[db];
    if (entry_has_object(entry)) {
        entry_value(entry, out);
        keyspace_object_release(keyspace, db, slot_index, entry, object_size(out->object));
        keyspace_remove(keyspace, db, slot_index, hash, entry);
        return;
    }
    books_subtract(database, &database->slots[slot_index], mark_of(entry));
    entry_value_take(entry, out);
    books_add(database, &database->slots[slot_index], mark_of(entry));
    if (out->raw == NULL && out->encoding != ENCODING_INT) {
        out->bytes = slice_of(NULL, 0);
    }
    keyspace_remove(keyspace, db, slot_index, hash, entry);
}

/* ---- whole databases ---- */

void
keyspace_swap(struct keyspace *keyspace, uint32_t db_a, uint32_t db_b)
{
    struct database *a = &keyspace->databases[db_a];
    struct database *b = &keyspace->databases[db_b];
    struct database database = *a;
    *a = *b;
    *b = database;
    keyspace->numbers[a->id] = db_a;
    keyspace->numbers[b->id] = db_b;
}

void
keyspace_flush(struct keyspace *keyspace, uint32_t db)
{
    struct database *database = &keyspace->databases[db];
    if (database->slots == NULL) {
        return;
    }
    struct keyspace_garbage *garbage = memory_alloc(keyspace->memory, sizeof(*garbage));
    *garbage = (struct keyspace_garbage){.database = *database, .next = keyspace->garbage};
    keyspace->garbage = garbage;
    keyspace->numbers[database->id] = KEYSPACE_NO_DATABASE;
    *database = (struct database){.id = id_new(keyspace, db)};
}

void
keyspace_flush_all(struct keyspace *keyspace)
{
    for (uint32_t db = 0; db < keyspace->database_count; db++) {
        keyspace_flush(keyspace, db);
    }
}

/** Blocks of collections are seldom smaller. */
#define COLLECT_BLOCK_SIZE 128

struct keyspace_collector {
    struct keyspace *keyspace;
    struct database *database; /* whose keys are freed */
    uint64_t step_count;
};

static void
collect_visit(void *context, struct entry *entry)
{
    struct keyspace_collector *collector = context;
    struct keyspace *keyspace = collector->keyspace;
    bool is_large = false;
    if (entry_has_object(entry)) {
        struct value value;
        entry_value_take(entry, &value);
        size_t size = object_size(value.object);
        object_charge(keyspace->memory, -(int64_t)size);
        keyspace_object_drop(keyspace, &value);
        /* What is not large is freed at once, in as many blocks as that may be. */
        collector->step_count += MIN(size, KEYSPACE_OBJECT_SIZE_LARGE) / COLLECT_BLOCK_SIZE;
        is_large = size > KEYSPACE_OBJECT_SIZE_LARGE;
    }
    entry_delete(keyspace->memory, &keyspace->wheel, entry);
    collector->step_count++;
    collector->database->key_count--;
    keyspace->collected_count += !is_large; /* a large one counts when it is freed itself */
}

/** A piece of garbage is gone. `place` is what points to it. */
static void
collect_end(struct keyspace *keyspace, struct keyspace_garbage **place)
{
    struct keyspace_garbage *garbage = *place;
    *place = garbage->next;
    memory_free(keyspace->memory, garbage, sizeof(*garbage));
}

/** A piece of garbage is a collection. */
static void
collect_object(struct keyspace *keyspace, struct keyspace_garbage **place, uint32_t step_count_max)
{
    struct keyspace_garbage *garbage = *place;
    struct object *object = garbage->value.object;
    uint64_t old_size = object_size(object);
    bool is_done =
        object_free_steps(&object, garbage->value.type, garbage->value.encoding, step_count_max);
    object_charge(keyspace->memory, -(int64_t)(old_size - (is_done ? 0 : object_size(object))));
    if (is_done) {
        collect_end(keyspace, place);
        keyspace->collected_count++;
    }
}

/** What points to the first piece that may be freed; NULL: there is none. */
static struct keyspace_garbage **
collect_next(struct keyspace *keyspace)
{
    struct keyspace_garbage **place = &keyspace->garbage;
    while (*place != NULL && (*place)->database.is_held) {
        place = &(*place)->next;
    }
    return *place == NULL ? NULL : place;
}

uint64_t
keyspace_garbage_count(const struct keyspace *keyspace)
{
    uint64_t count = 0;
    for (const struct keyspace_garbage *it = keyspace->garbage; it != NULL; it = it->next) {
        count += it->value.is_object ? 1 : it->database.key_count;
    }
    return count;
}

bool
keyspace_collect(struct keyspace *keyspace, uint32_t step_count_max)
{
    struct keyspace_collector collector = {.keyspace = keyspace};
    struct keyspace_garbage **place = NULL;
    while (collector.step_count < step_count_max && (place = collect_next(keyspace)) != NULL) {
        struct keyspace_garbage *garbage = *place;
        if (garbage->value.is_object) {
            collect_object(keyspace, place, step_count_max - (uint32_t)collector.step_count);
            break;
        }
        if (garbage->slot_index == SLOT_COUNT) {
            keyspace->numbers[garbage->database.id] = KEYSPACE_ID_FREE;
            slots_destroy(keyspace, &garbage->database);
            collect_end(keyspace, place);
            continue;
        }
        struct table *table = &garbage->database.slots[garbage->slot_index].table;
        collector.step_count++;
        collector.database = &garbage->database;
        if (table_drain(keyspace->memory, table, collect_visit, &collector)) {
            garbage->slot_index++;
        }
    }
    return collect_next(keyspace) == NULL;
}

struct database *
keyspace_held_next(struct keyspace *keyspace)
{
    for (struct keyspace_garbage *it = keyspace->garbage; it != NULL; it = it->next) {
        if (it->database.is_held) {
            return &it->database;
        }
    }
    for (uint32_t db = 0; db < keyspace->database_count; db++) {
        if (keyspace->databases[db].is_held) {
            return &keyspace->databases[db];
        }
    }
    return NULL;
}

struct database *
keyspace_contents(struct keyspace *keyspace, uint32_t id)
{
    ASSERT(id < keyspace->number_capacity && keyspace->numbers[id] != KEYSPACE_ID_FREE);
    if (keyspace->numbers[id] != KEYSPACE_NO_DATABASE) {
        return &keyspace->databases[keyspace->numbers[id]];
    }
    struct keyspace_garbage *garbage = keyspace->garbage;
    while (garbage->value.is_object || garbage->database.id != id) {
        garbage = garbage->next;
    }
    return &garbage->database;
}

/* ---- time ---- */

struct keyspace_due {
    struct keyspace *keyspace;
    keyspace_due_fn *due;
    void *context;
};

static void
keyspace_node_due(void *context, struct wheel_node *node)
{
    const struct keyspace_due *call = context;
    const struct keyspace *keyspace = call->keyspace;
    ASSERT(node->spare < keyspace->number_capacity);
    uint32_t db = keyspace->numbers[node->spare];
    ASSERT(db != KEYSPACE_ID_FREE);
    if (db == KEYSPACE_NO_DATABASE) {
        return;
    }
    struct entry *entry = entry_of_node(node);
    struct slice key = entry_key(entry);
    call->due(call->context, db, key_slot(key), keyspace_hash(keyspace, key), entry);
}

uint32_t
keyspace_advance(struct keyspace *keyspace, int64_t now_ms, uint32_t step_count_max,
                 keyspace_due_fn *due, void *context)
{
    struct keyspace_due call = {.keyspace = keyspace, .due = due, .context = context};
    return wheel_advance(&keyspace->wheel, now_ms, step_count_max, keyspace_node_due, &call);
}

void
keyspace_put_off(struct keyspace *keyspace, struct entry *entry)
{
    entry_rehang(&keyspace->wheel, entry);
}

/* ---- looking around ---- */

/** The slot of the key with this rank, counting the keys slot by slot. */
static uint32_t
slot_of_rank(const struct keyspace *keyspace, uint32_t db, uint64_t rank)
{
    const struct slot *slots = keyspace->databases[db].slots;
    uint32_t slot = keyspace_slot_next(keyspace, db, 0);
    while (rank >= table_count(&slots[slot].table)) {
        rank -= table_count(&slots[slot].table);
        slot = keyspace_slot_next(keyspace, db, slot + 1);
    }
    return slot;
}

struct entry *
keyspace_random(const struct keyspace *keyspace, uint32_t db, struct random *random)
{
    const struct database *database = &keyspace->databases[db];
    if (database->key_count == 0) {
        return NULL;
    }
    /* Weigh slots by their keys: accept one in proportion to a cap of twice the average. Where few
     * slots are in use that finds none, and counting is short. */
    uint64_t cap = 2 * (database->key_count / SLOT_COUNT) + 8;
    bool is_sparse = database->key_count < KEYSPACE_SPARSE_COUNT;
    for (unsigned i = 0; i < KEYSPACE_RANDOM_TRIES && !is_sparse; i++) {
        uint32_t slot = (uint32_t)random_below(random, SLOT_COUNT);
        if ((database->occupied[slot / 64] >> (slot % 64) & 1) != 0 &&
            random_below(random, cap) < table_count(&database->slots[slot].table)) {
            return table_random(&database->slots[slot].table, random);
        }
    }
    uint32_t slot = slot_of_rank(keyspace, db, random_below(random, database->key_count));
    return table_random(&database->slots[slot].table, random);
}

uint64_t
keyspace_scan(const struct keyspace *keyspace, uint32_t db, uint32_t slot_index, uint64_t position,
              table_visit_fn *visit, void *context)
{
    const struct slot *slot = keyspace_slot(keyspace, db, slot_index);
    return slot == NULL ? 0 : table_scan(&slot->table, position, visit, context);
}

uint32_t
keyspace_slot_next(const struct keyspace *keyspace, uint32_t db, uint32_t slot_index)
{
    return database_slot_next(&keyspace->databases[db], slot_index);
}

uint32_t
database_slot_next(const struct database *database, uint32_t slot_index)
{
    const uint64_t *occupied = database->occupied;
    if (occupied == NULL || slot_index >= SLOT_COUNT) {
        return SLOT_COUNT;
    }
    uint64_t word = occupied[slot_index / 64] & ~UINT64_C(0) << (slot_index % 64);
    uint32_t i = slot_index / 64;
    while (word == 0) {
        if (++i == SLOT_COUNT / 64) {
            return SLOT_COUNT;
        }
        word = occupied[i];
    }
    return i * 64 + (uint32_t)__builtin_ctzll(word);
}

size_t
keyspace_slot_size(const struct keyspace *keyspace, uint32_t db, uint32_t slot_index)
{
    const struct slot *slot = keyspace_slot(keyspace, db, slot_index);
    return slot == NULL ? 0 : slot->byte_count + table_size(&slot->table);
}

struct keyspace_recount {
    uint64_t key_count;
    uint64_t byte_count;
    uint64_t deadline_count;
    uint64_t node_count;
    uint32_t id;
    uint32_t slot_index;
    bool has_lent_object;
    bool is_good;
};

static void
recount_entry(void *context, struct entry *entry)
{
    struct keyspace_recount *recount = context;
    recount->key_count++;
    recount->byte_count += entry_size(entry);
    if (entry_has_object(entry) && entry_is_lent(entry)) {
        recount->has_lent_object = true;
    } else if (entry_has_object(entry)) {
        struct value value;
        entry_value(entry, &value);
        recount->byte_count += object_size(value.object);
        int64_t element_ms = value_object_deadline_ms(&value);
        int64_t key_ms = entry_deadline_ms(entry);
        /* As unsigned numbers: none is behind all others. */
        uint64_t first_ms = MIN((uint64_t)element_ms, (uint64_t)key_ms);
        recount->is_good =
            recount->is_good &&
            entry_has_element_deadline(entry) == (element_ms != ENTRY_NO_DEADLINE) &&
            (!entry_has_node(entry) || (uint64_t)entry_node(entry)->deadline_ms == first_ms);
    }
    recount->deadline_count += entry_has_deadline(entry);
    if (entry_has_node(entry)) {
        recount->node_count++;
        recount->is_good = recount->is_good && entry_node(entry)->place != WHEEL_NOWHERE &&
                           entry_node(entry)->spare == recount->id;
    }
    recount->is_good = recount->is_good && key_slot(entry_key(entry)) == recount->slot_index;
}

/** Adds the nodes of its entries to *node_count. */
static bool
database_check(const struct keyspace *keyspace, uint32_t db, uint64_t *node_count)
{
    const struct database *database = &keyspace->databases[db];
    struct keyspace_recount all = {.id = database->id, .is_good = true};
    if (keyspace->numbers[database->id] != db) {
        return false;
    }
    for (uint32_t i = 0; database->slots != NULL && i < SLOT_COUNT; i++) {
        const struct slot *slot = &database->slots[i];
        bool is_occupied = (database->occupied[i / 64] >> (i % 64) & 1) != 0;
        if (is_occupied != (table_count(&slot->table) > 0)) {
            return false;
        }
        if (!is_occupied && slot->byte_count == 0 && slot->table.root == NULL &&
            slot->table.bucket_count == 0) {
            continue; /* nearly all of them, in tests that check after each command */
        }
        struct keyspace_recount recount = {.id = database->id, .slot_index = i, .is_good = true};
        uint64_t position = 0;
        do {
            position = table_scan(&slot->table, position, recount_entry, &recount);
        } while (position != 0);
        if (!recount.is_good || recount.key_count != table_count(&slot->table) ||
            (recount.byte_count != slot->byte_count && !recount.has_lent_object) ||
            !table_check(&slot->table, keyspace->hash_seed)) {
            return false;
        }
        all.key_count += recount.key_count;
        all.byte_count += slot->byte_count;
        all.deadline_count += recount.deadline_count;
        *node_count += recount.node_count;
    }
    return all.key_count == database->key_count && all.byte_count == database->byte_count &&
           all.deadline_count == database->deadline_count;
}

bool
keyspace_check(const struct keyspace *keyspace)
{
    uint64_t node_count = 0;
    for (uint32_t db = 0; db < keyspace->database_count; db++) {
        if (!database_check(keyspace, db, &node_count)) {
            return false;
        }
    }
    /* Garbage may still have nodes there. */
    return keyspace->garbage != NULL ? keyspace->wheel.count >= node_count
                                     : keyspace->wheel.count == node_count;
}
