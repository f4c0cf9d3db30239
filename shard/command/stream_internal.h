/*
 * stream_internal.h: what the files of stream commands share: ids among the arguments, entries in
 * replies, a stream as a view has it.
 */
#pragma once

#include "shard/call.h"
#include "shard/notify.h"
#include "shard/shard.h"
#include "shard/value/stream.h"

/** When something is delivered or seen. Deadlines wait while files are loaded (call->now_ms is 0
 * then); this goes on. */
static inline int64_t
stream_now_ms(const struct call *call)
{
    return LIKELY(call->now_ms != 0) ? call->now_ms : call->shard->now_ms;
}

/** What the view holds, a stream; NULL where the key is absent. */
static inline struct stream *
stream_of_view(const struct view *view)
{
    return view_exists(view) ? view_object(view) : NULL;
}

/** The view's stream was changed. An empty one stays. */
static inline void
stream_to_view(struct call *call, struct view *view, struct stream *stream)
{
    view_object_edit(call, view, VALUE_STREAM, ENCODING_STREAM, stream);
}

/** The view's stream has the same entries as before, but its groups or what it knows of its past
 * were changed: nobody who watches it hears of that. */
static inline void
stream_to_view_quiet(struct view *view, struct stream *stream)
{
    view_object_edit_quiet(view, VALUE_STREAM, ENCODING_STREAM, stream);
}

static inline struct stream_limits
stream_limits_of(const struct call *call)
{
    const struct config *config = call->shard->config;
    return (struct stream_limits){.size_max = (uint64_t)config->stream_node_max_bytes,
                                  .count_max = (uint64_t)config->stream_node_max_entries};
}

/** What was cut off and is long to free; NULL: nothing was. */
void stream_drop(struct call *call, struct stream *rest);

/* ---- ids ---- */

/**
 * "ms" or "ms-sequence"; where only ms is given, `sequence` is taken. `has_sequence`, where it is
 * not NULL, allows "ms-*" and tells it. Unless `is_strict`, "-" and "+" are the first and the last
 * id of all. False: it is none of these.
 */
bool stream_id_parse(struct slice text, uint64_t sequence, bool is_strict, bool *has_sequence,
                     struct stream_id *id);
/** argv[index] as a strict id; else false, and the error is replied. */
bool stream_id_argument(struct call *call, uint32_t index, struct stream_id *id);
/** argv[index] as the lower or upper bound of a range: an id, or "(" and an id that is left out, or
 * "-" or "+". False, and an error is replied: it is none. */
bool stream_bound_argument(struct call *call, uint32_t index, bool is_upper, struct stream_id *id);
bool stream_text_is(struct slice text, char character);

struct slice stream_id_text(char text[STREAM_ID_TEXT_SIZE], struct stream_id id);
void stream_id_reply(struct reply *reply, struct stream_id id);

/* ---- entries ---- */

/** Where the walk stands: [id, [field, value ...]]. */
void stream_entry_reply(struct reply *reply, struct stream_walk *walk, struct stream_id id,
                        uint32_t pair_count);
/** The entry with this id in the same form. False: it is not there, nothing is replied. */
bool stream_one_reply(struct reply *reply, const struct stream *stream, struct stream_id id);
/** An array of all entries of the range, at most `count_max` (0: no limit). Returns how many. */
uint64_t stream_range_reply(struct reply *reply, const struct stream *stream, struct stream_id from,
                            struct stream_id to, bool is_backward, uint64_t count_max);

/* ---- groups ---- */

/** The group of an existing stream; NULL, and NOGROUP is replied: there is none, or no stream. */
struct stream_group *stream_group_argument(struct call *call, struct view *view, struct slice name);

/** Who takes part in a delivery. */
struct stream_reader {
    struct call *call;
    struct view *view;
    struct stream *stream;
    struct stream_group *group;
    struct stream_consumer *consumer;
};

/** reader->consumer becomes the group's consumer of this name, who is seen now; created where there
 * is none. */
void stream_consumer_visit(struct stream_reader *reader, struct slice name);
/** XCLAIM of one entry with all that is known of it, for `consumer`. */
void stream_effect_claim(const struct stream_reader *reader, struct stream_id id,
                         const struct stream_pending *pending,
                         const struct stream_consumer *consumer);
/** XGROUP SETID of what the group has read. */
void stream_effect_group(const struct stream_reader *reader);

/* ---- blocking ---- */

/**
 * The command line of a blocked XREAD or XREADGROUP, as it is to be run again: "$" becomes the last
 * id of the stream at that time. Returns `argv` where nothing has to change, else a copy in
 * call_scratch() whose new texts lie there too. Called by the runner that lets the call block, with
 * the views of the first run still open.
 */
const struct slice *stream_read_resolve(struct call *call);
