/*
 * view.h: what a command sees of one key.
 * A handler reads and changes the view only; the owner of the key carries the changes into its
 * keyspace afterwards (view_commit), at once for its own commands, with RETURN for a borrower. So a
 * handler is the same for both, and header, deadline, wheel place and table stay the owner's.
 */
#pragma once

#include "shard/command.h"
#include "shard/entry.h"
#include "shard/shard.h"
#include "shard/value/value.h"

struct call;

#define VIEW_VALUE (1u << 0)     /* the value was replaced or edited; VALUE_NONE: the key is gone */
#define VIEW_DEADLINE (1u << 1)  /* the deadline was changed */
#define VIEW_NO_TOUCH (1u << 2)  /* the access clock stays */
#define VIEW_EXCLUSIVE (1u << 3) /* may be changed */
#define VIEW_ACCESS                                                                                \
    (1u << 4) /* `access` replaces the entry's access clock (OBJECT, RESTORE, COPY) */
#define VIEW_EDITED (1u << 5) /* the owner's own command has changed the entry's bytes in place */
#define VIEW_PINNED (1u << 6) /* the entry's raw is being sent */
#define VIEW_TAKEN                                                                                 \
    (1u << 7) /* the entry's value was handed to another view: the commit lets go of it */
#define VIEW_QUIET (1u << 8)   /* the value was edited, but not for those who watch or cache it */
#define VIEW_WATCH (1u << 10)  /* the session that commands it watches the key from now on */
#define VIEW_WAITED (1u << 11) /* call_block(): the command waits for this key */
#define VIEW_HIDDEN (1u << 9)  /* CALL_WOKEN: not the key that woke it; looks absent */
#define VIEW_TRACK (1u << 12)  /* a session that tracks has read it, after any change */
#define VIEW_TRACK_BEFORE (1u << 13) /* ... before a command that may have changed it */

/** What says how to open a view; all else came later. */
#define VIEW_OPEN_FLAGS (VIEW_NO_TOUCH | VIEW_EXCLUSIVE)

#define VIEW_NO_DEADLINE ENTRY_NO_DEADLINE

/**
 * Databases of names that are no keys: a channel is asked for like a key by PUBLISH, so that it
 * takes its place among the keys of a transaction. Its view is always absent; `receiver_count` is
 * what PUBLISH replies. No command line can name such a database.
 */
#define VIEW_DB_CHANNEL UINT16_C(0xfffe)
#define VIEW_DB_SHARD_CHANNEL UINT16_C(0xffff)

/**
 * The runner sets key, hash, slot, owner, db and flags (view_flags()); view_open() all the rest.
 */
struct view {
    struct slice key; /* lies in the request's arguments */
    uint64_t hash;
    uint16_t slot;
    uint16_t owner; /* shard */
    uint16_t db;
    uint16_t flags;      /* VIEW_ */
    uint32_t access;     /* the entry's access clock when it was opened */
    uint32_t pin_count;  /* pins that a borrower took of the entry's raw; the commit applies them */
    struct entry *entry; /* the owner's; NULL: there was none. Handlers do not look into it. */
    struct value value;  /* what the key holds now, earlier changes of this transaction included */
    int64_t deadline_ms; /* VIEW_NO_DEADLINE: none */
    struct raw *fresh_raw;   /* an out-of-line string made by this view and not yet committed, or
                                NULL;   until the commit it is in nobody's account (memory_disown) */
    struct view *moved_from; /* view_value_move(): whose entry the raw still hangs on */
    union {
        uint64_t object_size;    /* of the entry's collection when it was opened: what the owner's
                                    account carries; 0: none */
        uint64_t receiver_count; /* of a channel: those who get what is published now */
    };
};

static inline bool
view_is_channel(const struct view *view)
{
    return view->db >= VIEW_DB_CHANNEL;
}

static inline bool
view_exists(const struct view *view)
{
    return view->value.type != VALUE_NONE;
}

/** Reply WRONGTYPE and return false unless the key is absent or holds a `type`. */
bool view_check_type(struct call *call, const struct view *view, enum value_type type);

/* ---- strings ---- */

/** The bytes of a string; of an integer: its digits, written into `digits`. Absent: empty. */
struct slice view_string(const struct view *view, char digits[24]);
size_t view_string_size(const struct view *view);
/** Replace whatever is there by a string, encoded as SET does (int, embstr, raw). The bytes are not
 * copied until the commit: they must be arguments, or memory from call_scratch(). Keeps the
 * deadline. */
void view_string_set(struct call *call, struct view *view, struct slice bytes);
/** The same for a number. */
void view_integer_set(struct call *call, struct view *view, int64_t value);
/** The same, but never as an integer: INCRBYFLOAT's results stay text. */
void view_text_set(struct call *call, struct view *view, struct slice bytes);
/** Reply the string as a bulk string, or null where the key is absent; large ones from where they
 * lie. */
void view_string_reply(struct call *call, struct view *view);
/** The string as writable memory of `size` bytes, out of line or in scratch: old bytes kept up to
 * `size`, new ones zero. The encoding becomes raw. For APPEND and SETRANGE. An absent key is
 * created. */
char *view_string_edit(struct call *call, struct view *view, size_t size);

/* ---- collections: shard/value/object.h tells how they are used ---- */

/** The collection, to read; to change it as well where the view is VIEW_EXCLUSIVE, and then
 * view_object_edit(). What it is follows from value.type and value.encoding. */
static inline void *
view_object(const struct view *view)
{
    ASSERT(view->value.is_object);
    return view->value.object;
}

/**
 * The view's collection was changed and is `object` now: itself, grown elsewhere, or converted (the
 * former shape is freed by whoever converted it). Where the key was absent, `object` is new. The
 * type is the same as before; the deadline stays. The view owns `object` from now on.
 */
void view_object_edit(struct call *call, struct view *view, enum value_type type,
                      enum value_encoding encoding, void *object);
/** The same for a change of an existing key that those who WATCH it, or keep it in a client-side
 * cache, do not hear of: what consumer groups have read, say. Those who block on it do. */
void view_object_edit_quiet(struct view *view, enum value_type type, enum value_encoding encoding,
                            void *object);
/** The key gets a new collection in place of whatever it held, which is freed. Keeps the deadline
 * (STORE commands remove it with view_deadline_set()). The view owns `object` from now on. */
void view_object_set(struct call *call, struct view *view, enum value_type type,
                     enum value_encoding encoding, void *object);

/* ---- any type ---- */

/** Take a value that was made for this key (a copy, a restored payload). Keeps the deadline. */
void view_value_set(struct call *call, struct view *view, const struct value *value);
/** Free a value that was made for some key, and that no view wants. */
void view_value_drop(struct call *call, struct value *value);
/** A deep copy of what `from` holds, ready for view_value_set() on another view, which is its only
 * use: a collection that nobody takes is lost. */
struct value view_value_copy(struct call *call, const struct view *from);
/** Let `to` hold what `from` held, without a copy where it is large, and delete `from` (RENAME,
 * MOVE). Takes deadline along. Different views, committed in any order, both before either is
 * opened again. */
void view_value_move(struct call *call, struct view *from, struct view *to);
/** Remove the key, its deadline too, and free its collection (a large one in the background). */
void view_delete(struct call *call, struct view *view);
/** Set or (VIEW_NO_DEADLINE) remove the deadline of an existing key. Handlers delete the key
 * themselves when the deadline has passed already. */
void view_deadline_set(struct call *call, struct view *view, int64_t deadline_ms);

/* ---- for the runner and the owner ---- */

/** The flags to open a view with, for a command with the flags `command_flags` (CMD_). */
static inline uint16_t
view_flags(uint32_t command_flags, bool is_no_touch_client)
{
    return (
        uint16_t)(((command_flags & CMD_WRITE) != 0 ? VIEW_EXCLUSIVE : 0) |
                  ((command_flags & CMD_NO_TOUCH) != 0 || is_no_touch_client ? VIEW_NO_TOUCH : 0));
}

/** Look the key up in the shard that owns it, removing it if its deadline has passed. Owner thread.
 */
void view_open(struct shard *shard, struct view *view);
/** The same for what is known to be a key, no channel. */
void view_open_key(struct shard *shard, struct view *view);
/** Instead of view_open(): the key looks absent, and its commit changes nothing. */
void view_hide(struct view *view);
/** view_commit() for a view with changes. */
void view_commit_changes(struct shard *shard, struct view *view);

static inline bool
view_is_lfu(const struct shard *shard)
{
    int32_t policy = shard->config->maxmemory_policy;
    return policy == CONFIG_MAXMEMORY_VOLATILE_LFU || policy == CONFIG_MAXMEMORY_ALLKEYS_LFU;
}

static inline bool
view_is_lru(const struct shard *shard)
{
    int32_t policy = shard->config->maxmemory_policy;
    return policy == CONFIG_MAXMEMORY_VOLATILE_LRU || policy == CONFIG_MAXMEMORY_ALLKEYS_LRU;
}

/** The access clock of LRU: seconds in 24 bits, which wrap after half a year. */
static inline uint32_t
view_access_clock_s(const struct shard *shard)
{
    return (uint32_t)((uint64_t)shard->now_ms / 1000) & 0xffffff;
}

/** The access clock that follows `access` when a key is used now, under an LFU policy. */
uint32_t view_access_next_lfu(struct shard *shard, uint32_t access);

/** Carry the changes into the keyspace and free what they replaced, or just note the access. Owner
 * thread. The view is finished with it. */
static inline void
view_commit(struct shard *shard, struct view *view)
{
    if ((view->flags & ~VIEW_OPEN_FLAGS) != 0 || UNLIKELY(view->pin_count != 0)) {
        view_commit_changes(shard, view);
        return;
    }
    if (view->entry == NULL) {
        return;
    }
    shard->keyspace.databases[view->db].slots[view->slot].read_count++;
    if (LIKELY((view->flags & VIEW_NO_TOUCH) == 0)) {
        uint32_t access = UNLIKELY(view_is_lfu(shard)) ? view_access_next_lfu(shard, view->access)
                                                       : view_access_clock_s(shard);
        /* Most reads find the clock of this second there already: leave the line clean then. */
        if (access != view->access) {
            entry_access_set(view->entry, access);
        }
    }
}

/** Before a command runs on a view that was opened in an earlier turn: if the key's deadline has
 * passed since then, let it look absent (a change to commit, with its effect). */
void view_expire(struct call *call, struct view *view);

/** Idle time and frequency as OBJECT answers them, from an access clock; by the maxmemory policy
 * only one of the two means something. */
uint64_t view_idle_s(const struct shard *shard, uint32_t access);
uint32_t view_frequency(const struct shard *shard, uint32_t access);
