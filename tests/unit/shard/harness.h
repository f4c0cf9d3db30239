/*
 * harness.h: one shard without threads, sockets or mail, for tests of commands: a command line in,
 * RESP bytes out. A second shard owns nothing; it stands for another core that has borrowed keys.
 */
#pragma once

#include "shard/call.h"
#include "shard/effect.h"
#include "shard/session.h"
#include "shard/shard.h"

struct harness {
    struct shard *shards[2]; /* 0 owns all keys; 1 borrows */
    struct shard *shard;     /* shards[0] */
    struct node *node;
    struct exchange *exchange; /* nobody receives its mail */
    struct config *config;
    struct effects journal; /* what commands said that they changed */
    struct effects events;  /* what they told to keyspace notifications */
    struct session *session;
    struct command_table *table;
    /** Run handlers on shards[1], on views that shards[0] opens and commits. */
    bool is_borrowed;
    /** Give this argument to the command as a raw of its own; 0: none. */
    uint32_t large_index;
    /** Keep replies with their pins instead of dropping them after each command. */
    bool is_reply_kept;
    struct output kept;
    /** Recount the whole keyspace after each command; not always with a sanitizer, see below. */
    bool is_checked;
    uint64_t command_count;
    char *text; /* the last reply */
    size_t text_size;
};

/**
 * A recount looks at 16384 slots, and with a sanitizer a test of many thousand commands would spend
 * nearly all its time in recounts. There one follows each of the first HARNESS_CHECK_ALL commands,
 * then every HARNESS_CHECK_INTERVAL'th; the debug build does them all.
 */
#define HARNESS_CHECK_ALL 100
#if defined(RUNNER_SANITIZED)
#define HARNESS_CHECK_INTERVAL 32
#else
#define HARNESS_CHECK_INTERVAL 1
#endif

/** Its time begins at HARNESS_START_MS. */
#define HARNESS_START_MS INT64_C(1700000000000)

struct harness *harness_new(void);
/** Asserts that every byte was given back. */
void harness_delete(struct harness *harness);

/** The clock moves on; keys that it kills stay until somebody looks at them or harness_expire(). */
void harness_advance(struct harness *harness, int64_t ms);
/** Remove keys whose deadline has passed, as the wheel does. */
void harness_expire(struct harness *harness);

/**
 * Execute one command. Returns the RESP bytes of its reply, NUL-terminated for convenience, good
 * until the next command. An unknown command and a wrong number of arguments fail the test's
 * assertion.
 */
struct slice harness_run(struct harness *harness, const struct slice *argv, uint32_t argc);
/** The same for words with blanks between them; "..." with \n \r \t \\ \" \xHH and '...' quote. */
const char *harness_line(struct harness *harness, const char *line);

/** Run all effects of `from` on `to`, whose clock is from's afterwards. */
void harness_replay(struct harness *from, struct harness *to);
/** Do both hold the same keys, strings and deadlines? Prints the first difference. */
bool harness_equal(struct harness *a, struct harness *b);
/** OBJECT ENCODING's word, "" where the key is absent. */
const char *harness_encoding(struct harness *harness, const char *key);
/** Milliseconds, ENTRY_NO_DEADLINE, or -2 where the key is absent. */
int64_t harness_deadline_ms(struct harness *harness, const char *key);
/** The commands in the journal, one for each line: "SET k v\n". For text without blanks. */
const char *harness_effects(struct harness *harness);
/** The events, one for each line, in their order, and none any more: "set k\n". */
const char *harness_events(struct harness *harness);
