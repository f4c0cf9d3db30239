/*
 * rdb_file_read.h: whole RDB files, item by item, and the index of those that have one.
 *
 * Reads Redis's versions 1 to 12 and Valkey's 80. Believes nothing: whatever the bytes are, the
 * walk ends with RDB_ITEM_END or RDB_ITEM_DAMAGED. Bytes are mapped or in memory, and outlive the
 * reader. One thread at a time for each reader; several readers may walk the same bytes.
 */
#pragma once

#include "persist/rdb_file.h"

enum rdb_item_kind {
    RDB_ITEM_AUX,        /* name, value */
    RDB_ITEM_SELECT,     /* db */
    RDB_ITEM_RESIZE,     /* key_count, deadline_count */
    RDB_ITEM_KEY,        /* key; the reader stands at the value */
    RDB_ITEM_FUNCTION,   /* value: a library's code */
    RDB_ITEM_MODULE_AUX, /* name of the module; its data are passed by */
    RDB_ITEM_SLOT_INFO,  /* slot, key_count, deadline_count */
    RDB_ITEM_END,        /* reader->end_offset tells where the RDB ends; bytes may follow */
    RDB_ITEM_DAMAGED,    /* why, offset */
};

/** Slices are good until the next item. */
struct rdb_item {
    enum rdb_item_kind kind;
    /** In the file, where the item begins: of a key, where its deadline stands or its type. Of
     * damage, where the item begins that cannot be read. */
    uint64_t offset;
    /** Of damage: a sentence without its offset, for the log; lives as long as the reader. */
    const char *why;
    struct slice name;
    struct slice value;
    uint64_t db;
    uint64_t slot;
    uint64_t key_count;
    uint64_t deadline_count;
    struct rdb_key key;
    /** The key's bytes lie in the file's bytes, and so live as long as those. */
    bool is_key_mapped;
    /** A function of a release candidate: redis-server 7.0 itself refuses it. */
    bool is_old_function;
};

struct rdb_index;

struct rdb_file_reader {
    /** Stands at a key's value after RDB_ITEM_KEY: codec_read() or codec_skip() it. */
    struct rdb_reader reader;
    /** 0: the signature is none that we know. */
    uint16_t version;
    /** Keys handed out. */
    uint64_t key_count;
    /** After RDB_ITEM_END: the offset behind the last byte. */
    uint64_t end_offset;
    /** After RDB_ITEM_END: a checksum was there and was compared. */
    bool is_verified;

    /* ---- its own ---- */
    struct slice file;
    const struct rdb_chunk *chunk; /* NULL: a whole file */
    uint64_t base_offset;
    /** Up to here the checksum goes. */
    const unsigned char *summed;
    uint64_t crc;
    bool is_summing;
    bool is_started;
    bool is_over;
    /** What stood in front of the key that comes next, and where that begins. */
    bool has_next_key;
    struct rdb_key next_key;
    uint64_t next_key_offset;
    /** What was handed out last. */
    struct rdb_item last;
    struct rdb_text name;
    struct rdb_text value;
    char why[96];
};

/** Does it look like an RDB file, of whatever version? An AOF may begin with one. */
bool rdb_file_begins(struct slice file);

/** 0: it is none, or of a version that we do not know. */
uint16_t rdb_file_version(struct slice file);

/** From the signature on. The checksum at the end is compared if `is_summing`. */
void rdb_file_reader_create(struct rdb_file_reader *reader, struct slice file, bool is_summing);

/** One chunk of an index, which outlives the reader. RDB_ITEM_END comes where its last record ends;
 * its count of keys is compared, and its checksum if `is_summing`. */
void rdb_file_reader_create_chunk(struct rdb_file_reader *reader, struct slice file,
                                  const struct rdb_index *index, uint32_t chunk_index,
                                  bool is_summing);

void rdb_file_reader_destroy(struct rdb_file_reader *reader);

/**
 * The next item. False: it was RDB_ITEM_END or RDB_ITEM_DAMAGED, and is again at each further call.
 * After RDB_ITEM_KEY the caller has moved reader->reader behind the value; if that has failed, the
 * next item is RDB_ITEM_DAMAGED, with the key's offset.
 */
bool rdb_file_next(struct rdb_file_reader *reader, struct rdb_item *item);

/** Bytes of the file that are behind the reader: of a chunk, counted from the file's start. */
uint64_t rdb_file_offset(const struct rdb_file_reader *reader);

/** Where parts begin that may be read apart. */
struct rdb_index {
    uint16_t version;
    bool has_checksums;
    /** Signature, AUX fields and libraries of functions, up to the first chunk: read them with
     * rdb_file_reader_create(), until an item's offset is not below this. */
    uint64_t head_size;
    /** Where the last chunk ends. */
    uint64_t tail_offset;
    uint64_t key_count;
    struct rdb_chunk *chunks;
    uint32_t chunk_count;
};

/**
 * Finds the index at the end of a file that we have written, and checks all that can be without
 * reading the chunks: they fill the file without gaps or overlaps, and their checksums make up the
 * file's. False: there is none, or it does not fit the file, and nothing is left behind: the file
 * is read from the front then, which tells what is wrong with it.
 */
MUST_CHECK bool rdb_index_read(struct slice file, struct rdb_index *index);
void rdb_index_destroy(struct rdb_index *index);
