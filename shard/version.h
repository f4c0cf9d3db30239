/*
 * version.h: what we call ourselves. Clients look at the version of Redis to decide which commands
 * they may use, so HELLO and INFO name the one that we behave as.
 */
#pragma once

/** The Redis version whose commands, replies and errors are ours. */
#define TESSERA_REDIS_VERSION "7.0.15"

#ifndef TESSERA_VERSION
#error "the build defines TESSERA_VERSION"
#endif
