/*
 * aof_reader.h: walk the bytes of an AOF file: commands and annotation lines, one after the other.
 * Nobody vouches for the bytes; nothing is copied, and no memory is taken for a command.
 *
 * One thread at a time for each reader.
 */
#pragma once

#include "persist/aof_format.h"

enum aof_item_kind {
    AOF_COMMAND,
    AOF_NOTE,
    AOF_END,     /* of the bytes, where an item may end */
    AOF_TORN,    /* the bytes end inside an item, or between MULTI and EXEC */
    AOF_DAMAGED, /* this is no AOF, or a check line does not fit what is in front of it */
};

struct aof_item {
    enum aof_item_kind kind;
    uint32_t argc;            /* of a command, at least 1 */
    const struct slice *argv; /* the reader's, until the next item; they point into the bytes */
    uint64_t offset; /* where it begins; of AOF_TORN and AOF_DAMAGED: what cannot be read */
    uint64_t end;
    struct aof_note note; /* of AOF_NOTE, else untouched */
    const char *why;      /* of AOF_TORN and AOF_DAMAGED */
};

struct aof_reader {
    const char *base;
    const char *at;
    const char *end;
    struct slice *argv;
    uint32_t argv_capacity;
    /** Between MULTI and EXEC. */
    bool is_multi;
    /** Behind a part's line, in front of its command. */
    bool is_part;
    /** Look at check lines; fixed after creation. */
    bool is_checking;
    /** A closing line was the last thing of ours: what follows is somebody else's. */
    bool is_closed;
    /** Any line of ours was seen. */
    bool has_notes;
    uint64_t part_ticket;
    bool part_is_more;
    bool part_is_empty;
    /* ---- offsets; all of them are borders between groups, or 0 ---- */
    /** The end of the last whole group (command, MULTI with its EXEC, either with its part line) or
     * line. */
    uint64_t group_end;
    /** The end of the last check line (or closing line) that fits. Only while checking. */
    uint64_t check_end;
    /** What is vouched for: group_end at check_end. */
    uint64_t good_end;
    /** Largest offset known to be on disk, by a line that fits. */
    uint64_t synced;
};

/** Over bytes that outlive the reader, and begin where a file does (or behind its RDB). Check lines
 * are looked at; aof_reader_create_trusting() passes them by, for bytes that were walked before. */
void aof_reader_create(struct aof_reader *reader, struct slice bytes);
void aof_reader_create_trusting(struct aof_reader *reader, struct slice bytes);
void aof_reader_destroy(struct aof_reader *reader);

/** The next item. False: it is AOF_END, AOF_TORN or AOF_DAMAGED, and so is every further one. */
bool aof_reader_next(struct aof_reader *reader, struct aof_item *item);

/** Go on at an offset that is a border between groups and not behind the end. The reader is one
 * that trusts. */
void aof_reader_skip(struct aof_reader *reader, uint64_t offset);

/**
 * Behind damage: the largest offset that a check line (or closing line) at or behind `from` knows
 * to be on disk, of those lines that fit the bytes in front of them; 0: there is none. UINT64_MAX:
 * so many lines look like it that no end is in sight; believe the worst.
 */
uint64_t aof_search_synced(struct slice bytes, uint64_t from);
