/*
 * resp.h: requests out of bytes. RESP arrays of bulk strings, and inline commands.
 * Protocol: https://redis.io/docs/latest/develop/reference/protocol-spec/
 * A parser belongs to one connection and is used by one thread at a time.
 */
#pragma once

#include "core/slice.h"

/** From this size on a bulk string that has not arrived whole is received straight into its own
 * memory. */
#define RESP_LARGE_SIZE_MIN 32768
/** Longest inline request, and longest header line, as in redis-server. */
#define RESP_INLINE_SIZE_MAX 65536
/** Most arguments of a request, as in redis-server: what an int holds. */
#define RESP_ARGUMENT_COUNT_MAX INT32_MAX
/** The limits of a client that has yet to authenticate, as in redis-server. */
#define RESP_UNAUTHENTICATED_ARGUMENT_COUNT_MAX 10
#define RESP_UNAUTHENTICATED_BULK_SIZE_MAX 16384

enum resp_result {
    RESP_REQUEST,   /* one whole request: argv[0..argc) */
    RESP_NEED_MORE, /* the bytes end in the middle of a request */
    RESP_EMPTY,     /* an empty line or array: nothing to answer, go on parsing */
    RESP_LARGE,     /* argument `large_index` of `large_size` bytes may have memory of its own */
    RESP_ERROR,     /* protocol error: `error` says which; answer it and close */
};

/**
 * The state of one connection's parser. Between calls that end in RESP_NEED_MORE it remembers how
 * far it came, relative to the request's first byte, so that a request that trickles in is not
 * parsed again from its start.
 */
struct resp_parser {
    /* ---- limits, set by the owner at any time between two requests ---- */
    uint64_t bulk_size_max;      /* proto-max-bulk-len */
    uint64_t bulk_size_max_now;  /* RESP_UNAUTHENTICATED_..., else bulk_size_max */
    uint32_t argument_count_max; /* RESP_UNAUTHENTICATED_..., else RESP_ARGUMENT_COUNT_MAX */
    /* ---- the last result ---- */
    uint32_t argc;
    struct slice *argv; /* slices of the bytes given last, of large memory, or of `memory` */
    /** After RESP_REQUEST from resp_parse_into(): a block that argv or some arguments lie in. It is
     * the caller's now: heap_free() it with the request. NULL for nearly every request. */
    void *memory;
    const char *error; /* "ERR Protocol error: ...", as reply_error() takes it */
    uint32_t large_index;
    uint64_t large_size;
    uint64_t large_header_size; /* bytes of the request before the large argument's first byte */
    uint64_t large_arrived;     /* bytes of the large argument among those given: < large_size */
    /* ---- private ---- */
    struct slice
        *pending; /* arguments of an unfinished request; data is an offset, not a pointer */
    uint32_t pending_count;   /* of `pending`'s places */
    uint32_t wanted_count;    /* arguments of the request being parsed; 0: not yet known */
    uint32_t done_count;      /* of them complete */
    bool is_large_taken;      /* between resp_large_begin() and resp_large_done() */
    bool is_large_offered;    /* the argument being parsed was offered; not again */
    char *error_text;         /* heap: the one error that quotes a byte; NULL: there was none */
    uint64_t offset;          /* of the next byte to parse, from the request's first byte */
    uint64_t scanned;         /* bytes from `offset` on known to hold no end of line */
    int64_t bulk_size;        /* of the argument being parsed; -1: its header is still to come */
    const char *large_memory; /* where the argument being parsed lies, if not in the bytes */
    struct slice *own_argv;   /* resp_parse()'s argv */
    void *own_memory;         /* resp_parse()'s last `memory` */
};

void resp_parser_create(struct resp_parser *parser, uint64_t bulk_size_max);
void resp_parser_destroy(struct resp_parser *parser);
/** Give back what was kept for the next request, when a connection becomes idle. The last argv of
 * resp_parse() is gone then. An unfinished request stays. */
void resp_parser_trim(struct resp_parser *parser);

/** Forget how far an unfinished request was parsed: it will be given again from its first byte. */
void resp_parser_restart(struct resp_parser *parser);

/**
 * Parse one request from the `size` bytes at `data`, which begin with the request's first byte
 * (also when earlier calls said RESP_NEED_MORE: the caller keeps or moves the bytes; slices are
 * made when the request is whole). RESP_REQUEST and RESP_EMPTY: *consumed says how many bytes it
 * took; else *consumed is 0. argv is good until the next call. The same bytes give the same
 * requests and the same error wherever they are cut.
 */
enum resp_result resp_parse(struct resp_parser *parser, const char *data, size_t size,
                            size_t *consumed);

/**
 * As resp_parse(), for callers that parse a batch of requests before they execute the first: argv
 * is put into `storage` where its `storage_count` places suffice, and parser->memory is NULL then
 * (but for inline requests with quotes). Else argv lies in parser->memory, which is the caller's to
 * free with heap_free(). Either way the request depends no more on the parser, only on `data`,
 * `storage`, `memory` and the memory of its large arguments.
 *
 *     struct slice *place = batch->slices, *end = place + ARRAY_COUNT(batch->slices);
 *     while (end - place >= 8 && resp_parse_into(parser, data, size, &consumed, place,
 *                                                (uint32_t)(end - place)) == RESP_REQUEST) {
 *         batch_add(batch, parser->argc, parser->argv, parser->memory);
 *         place += parser->argv == place ? parser->argc : 0;
 *         data += consumed, size -= consumed;
 *     }
 *
 * A batch must end at a request that may change the limits (AUTH, HELLO, RESET): what follows it is
 * to be parsed with the new ones.
 */
enum resp_result resp_parse_into(struct resp_parser *parser, const char *data, size_t size,
                                 size_t *consumed, struct slice *storage, uint32_t storage_count);

/**
 * Large arguments. RESP_LARGE says that the header of argument large_index has been read, that it
 * has large_size >= RESP_LARGE_SIZE_MIN bytes, and that only the first large_arrived of them are
 * there, at data + large_header_size. The caller either
 *
 *  - parses again with more bytes behind the same ones, as after RESP_NEED_MORE: the argument is
 *    then assembled like any other and not offered again; or
 *  - calls resp_large_begin() with a place for large_size bytes, which stays the caller's. It then
 *    copies the large_arrived bytes there, keeps the first large_header_size bytes of the request,
 *    receives the rest of the argument, and nothing but it, into its place, and calls
 *    resp_large_done(). For the parser the argument is cut out of the stream: what it is given next
 *    is the kept bytes followed by whatever arrives behind the argument, its CRLF first. The
 *    finished request's argv[large_index] is {memory, large_size}. A request may have several.
 *
 *     "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$40000\r\nvvv"   -> RESP_LARGE: index 2, header 29, arrived 3
 *     resp_large_begin(parser, memory);
 *     memcpy(memory, data + 29, 3);                  keep data[0..29), receive 39997 more bytes
 *     resp_large_done(parser);
 *     "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$40000\r\n" "\r\n" "next..."   -> RESP_REQUEST, consumed 31
 *
 * A connection that ends in between frees the memory itself; the parser never does.
 */
void resp_large_begin(struct resp_parser *parser, const char *memory);
void resp_large_done(struct resp_parser *parser);

/** An argument of the unfinished request that is complete, e.g. the command's name after
 * RESP_LARGE. `data` as given to the last call; index < parser->done_count. */
struct slice resp_argument(const struct resp_parser *parser, const char *data, uint32_t index);

/** Arguments that are complete after RESP_NEED_MORE or RESP_LARGE. */
static inline uint32_t
resp_argument_count(const struct resp_parser *parser)
{
    return parser->done_count;
}

/** After RESP_NEED_MORE with `size` bytes: at the least so many more are needed for the argument
 * that is being read, for sizing the assembly buffer. Never 0; up to bulk_size_max, since a client
 * says what it likes: a caller that reserves memory puts its own bound on it. */
size_t resp_size_hint(const struct resp_parser *parser, size_t size);
