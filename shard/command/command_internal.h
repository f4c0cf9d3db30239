/*
 * command_internal.h: what the files of COMMAND share.
 */
#pragma once

#include "shard/call.h"

/** A name and its bit. Lists end with {NULL, 0}, in the order in which replies have them. */
struct bit_name {
    const char *name;
    uint32_t bit;
};

extern const struct bit_name command_category_names[];
extern const struct bit_name command_key_flag_names[];

/** "config|get", or the plain name. Into `out`; returns the slice of it. */
#define COMMAND_FULL_NAME_SIZE 64
struct slice command_full_name(const struct command *command, char out[COMMAND_FULL_NAME_SIZE]);

/** The row of a full name in any case, "config|get" or "get"; NULL: there is none. */
const struct command *command_lookup(const struct command_table *table, struct slice full_name);

/** A set of simple strings for the bits that are set; `prefix` stands in front of each. */
void command_reply_bits(struct reply *reply, const struct bit_name *names, uint32_t bits,
                        const char *prefix);

/** COMMAND INFO and COMMAND without arguments. */
void command_info(struct call *call);
void command_info_all(struct call *call);
/** COMMAND DOCS. */
void command_docs(struct call *call);
