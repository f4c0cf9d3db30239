/*
 * reply.h: what a command answers, as RESP2 or RESP3 bytes.
 * Protocol: https://redis.io/docs/latest/develop/reference/protocol-spec/
 */
#pragma once

#include "net/output.h"

struct reply {
    struct output *output;
    uint8_t protocol; /* 2 or 3 */
    bool is_error;    /* the last command replied an error (statistics) */
    bool is_muted;    /* CLIENT REPLY OFF/SKIP: nothing is written */
    uint32_t error_count;
    uint64_t start_size; /* of the output when the reply began */
    char error_code[24]; /* first word of the last error, NUL-terminated ("ERR", "WRONGTYPE") */
};

void reply_create(struct reply *reply, struct output *output, uint8_t protocol);

void reply_ok(struct reply *reply);
/** "+text\r\n"; a literal without line ends. */
void reply_simple(struct reply *reply, const char *text);
/** "-text\r\n"; `text` begins with its code ("ERR ..."). Line ends inside become spaces, those at
 * its end go. Counted when muted, too. */
void reply_error(struct reply *reply, const char *text);
void reply_error_format(struct reply *reply, const char *format, ...) PRINTF_LIKE(2, 3);
void reply_error_slice(struct reply *reply, struct slice text);
void reply_i64(struct reply *reply, int64_t value);
void reply_bulk(struct reply *reply, struct slice bytes);
void reply_bulk_string(struct reply *reply, const char *text);
void reply_bulk_i64(struct reply *reply, int64_t value);
/** A bulk string whose bytes stay where they are until pin->release() (at once when muted). */
void reply_bulk_external(struct reply *reply, struct slice bytes, struct output_pin *pin);
/** "$-1" in RESP2, "_" in RESP3. */
void reply_null(struct reply *reply);
/** "*-1" in RESP2, "_" in RESP3. */
void reply_null_array(struct reply *reply);
void reply_array(struct reply *reply, uint64_t count);
/** `count` pairs: a flat array in RESP2. */
void reply_map(struct reply *reply, uint64_t count);
/** An array in RESP2. */
void reply_set(struct reply *reply, uint64_t count);
/** An array in RESP2; ">" in RESP3. */
void reply_push(struct reply *reply, uint64_t count);
/** "|" in RESP3; callers send it under protocol 3 only. */
void reply_attribute(struct reply *reply, uint64_t count);
/** RESP3 ",": else a bulk string of the same digits. */
void reply_double(struct reply *reply, double value);
/** A long double in INCRBYFLOAT's form, as a bulk string. */
void reply_bulk_long_double(struct reply *reply, long double value);
/** RESP3 "#t"/"#f", else 1/0. */
void reply_bool(struct reply *reply, bool value);
/** RESP3 "=txt:", else a bulk string; `extension` has 3 letters. */
void reply_verbatim(struct reply *reply, struct slice text, const char *extension);
/** Bytes that are RESP already. */
void reply_raw(struct reply *reply, struct slice bytes);

/** An array, map or set whose length is known later. Nested ones end in reverse order. */
struct reply_later {
    struct output_mark mark;
};
struct reply_later reply_later(struct reply *reply);
void reply_later_array(struct reply *reply, struct reply_later later, uint64_t count);
void reply_later_map(struct reply *reply, struct reply_later later, uint64_t count);
void reply_later_set(struct reply *reply, struct reply_later later, uint64_t count);

/** The lines of a HELP subcommand (NULL behind the last) as redis-server frames them: a first line
 * that names the command, in capitals, and two last ones about HELP itself. */
void reply_help(struct reply *reply, const char *command, const char *const *lines);
