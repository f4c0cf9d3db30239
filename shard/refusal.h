/*
 * refusal.h: commands that the state of the server's files forbids for now: everything but a few
 * while files are loaded, writes while the disk does not take them.
 */
#pragma once

#include "shard/request.h"
#include "shard/shard.h"

struct lane;

/**
 * Why this command is refused: the error's text, in `text`; or NULL, it may run. The core that
 * holds the connection.
 */
#define REFUSAL_TEXT_SIZE 512
const char *refusal_of(const struct shard *shard, const struct lane *lane,
                       const struct request *request, char text[REFUSAL_TEXT_SIZE]);
