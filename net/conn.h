/*
 * conn.h: one client's socket: bytes in, requests out; replies in, bytes out.
 * A connection belongs to the core whose ring reads it. What its owner (shard/client) wants to know
 * it is told through conn_ops; calls come from ring_wait() only, and only note what has happened.
 */
#pragma once

#include "core/list.h"
#include "core/ring.h"
#include "net/output.h"
#include "net/resp.h"

struct conn;
struct conn_direct;

struct conn_ops {
    /** Bytes have come, or the peer has ended its side: requests may be had by conn_parse(). */
    void (*readable)(struct conn *conn);
    /** Everything that waited has been sent. */
    void (*sent)(struct conn *conn);
    /** Less waits to be sent than the mark that had stopped reading. */
    void (*drained)(struct conn *conn);
    /** The connection is over, its descriptor closed: the last call; the owner may free it. */
    void (*closed)(struct conn *conn);
    /** Memory for a large argument that will be `size` bytes long; NULL: none wanted, it is
     * assembled. */
    void *(*large_new)(struct conn *conn, uint64_t size);
    /** The connection ended before a large argument was complete. */
    void (*large_drop)(struct conn *conn, void *memory);
};

/** A connection stops reading while so much of its input waits to be executed ... */
#define CONN_INPUT_SIZE_MAX (256u << 10)
/** ... or so much of its output to be sent. */
#define CONN_OUTPUT_SIZE_MAX (4u << 20)
/** Of a large argument that misses more than this, the rest is received straight into its memory.
 */
#define CONN_DIRECT_SIZE_MIN (64u << 10)

#define CONN_VECTOR_MAX 64

/** Why conn_parse() gave no request. */
enum conn_state {
    CONN_REQUEST,
    CONN_WAITING,        /* more bytes are needed */
    CONN_ENDED,          /* the peer sends no more, and nothing is left to parse */
    CONN_PROTOCOL_ERROR, /* conn->parser.error: answer it and close */
    CONN_TOO_LARGE,      /* the request in the making exceeds the query buffer's limit: close */
};

struct conn {
    struct ring *ring;
    const struct conn_ops *ops;
    int fd;
    /* ---- input ---- */
    struct ring_receiver receiver;
    struct resp_parser parser;
    struct ring_buffer
        *input; /* being parsed; the ring's, or heap memory of an assembled request */
    struct ring_buffer *input_last; /* chained by `next`: came while `input` was not yet parsed */
    uint32_t input_offset;          /* of the first unparsed byte in `input` */
    uint32_t request_offset;        /* where the last parsed request began in `input` */
    uint64_t input_size;            /* unparsed bytes in all */
    uint64_t input_size_max;        /* client-query-buffer-limit */
    char *large_memory;             /* a large argument being received, or NULL */
    uint64_t large_size;
    uint64_t large_arrived;
    struct conn_direct *direct; /* a receive straight into large_memory is under way, or NULL */
    /* ---- output ---- */
    struct output output;
    uint64_t send_limit; /* of sent_size, set by the owner: what lies behind must not leave yet */
    struct ring_op send_op;
    struct iovec inline_vector;
    struct iovec *vector;        /* of the send under way: inline_vector, or heap */
    struct list_node dirty_link; /* the owner's list of connections to flush */
    /* ---- state ---- */
    bool is_receiving;
    bool is_stopping; /* receive_stop() is under way */
    bool is_reading_wanted;
    bool is_sending;
    bool is_ended; /* the peer sends no more, or the socket failed */
    bool is_failed;
    bool is_closing;
    bool is_closing_after_output;
    bool is_output_high;
    uint32_t send_count; /* sends that moved bytes, since the owner last took them off */
    /* ---- counted ---- */
    uint64_t received_size;
    uint64_t sent_size;
};

/** Begin to read `fd` (non-blocking), which the connection owns from now on. */
void conn_create(struct conn *conn, struct ring *ring, int fd, const struct conn_ops *ops,
                 uint64_t bulk_size_max, uint64_t input_size_max);

/**
 * The next request: argv in `storage` or in parser.memory (see resp_parse_into()), its bytes in
 * *buffer, which the caller references if it keeps them. Its bytes stay until the next call with
 * `is_first`. Without it only requests that lie whole in the same buffer as the first are given, so
 * that a batch of them can be parsed before any is executed, and rewound.
 */
enum conn_state conn_parse(struct conn *conn, bool is_first, struct slice *storage,
                           uint32_t storage_count, struct ring_buffer **buffer);

/** Where the request that was parsed last begins, to come back to: one that may not start yet is
 * parsed again. Not one with a large argument, whose bytes have left the stream. */
struct conn_position {
    struct ring_buffer *input;
    uint32_t offset;
};
struct conn_position conn_position(const struct conn *conn);
/** Only while no later conn_parse() with `is_first` was called. */
void conn_rewind(struct conn *conn, struct conn_position position);

/** Is there anything that conn_parse() has not looked at? */
static inline bool
conn_has_input(const struct conn *conn)
{
    return conn->input_size > 0;
}

/** Send what waits in conn->output. */
void conn_flush(struct conn *conn);

/** The unparsed input will wait for a while: copy it out of the ring's buffers, which others need.
 * Not between the conn_parse() calls of a batch. */
void conn_park(struct conn *conn);

/** As conn_create() takes them. Between two batches. */
void conn_limits_set(struct conn *conn, uint64_t bulk_size_max, uint64_t input_size_max);

/** Read on or stop reading, by how much waits. After parsing or sending. */
void conn_balance(struct conn *conn);

/** End it now: what is not sent is dropped. ops->closed() follows from ring_wait(). */
void conn_close(struct conn *conn);
/** End it when everything in the output has been sent; nothing more is read. */
void conn_close_after_output(struct conn *conn);

/** Give back what an idle connection does not need. */
void conn_trim(struct conn *conn);
