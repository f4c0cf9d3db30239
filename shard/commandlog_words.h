/*
 * commandlog_words.h: a command line as the logs show it.
 */
#pragma once

#include "shard/call.h"

/**
 * The arguments of the call as a RESP array: at most COMMANDLOG_ARGUMENTS_MAX of them, long ones
 * cut, secrets hidden. A block for heap_free() of *size bytes. After the commit, before the end of
 * the call.
 */
char *commandlog_arguments(const struct call *call, size_t *size);

/** The bytes of the call's request as an array of bulk strings. */
uint64_t commandlog_request_size(const struct call *call);

/** Is the argument a password, or what a log must not tell in any case? */
bool commandlog_is_secret(const struct command *command, const struct slice *argv, uint32_t argc,
                          uint32_t index);

#define COMMANDLOG_ARGUMENTS_MAX 32
#define COMMANDLOG_ARGUMENT_SIZE_MAX 128
