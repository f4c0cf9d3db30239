/*
 * arguments.h: arguments of requests that are not answered in the turn that read them.
 */
#pragma once

#include "shard/request.h"

/** Where the arguments of a request under way live. */
struct arguments {
    struct slice *argv;
    struct ring_buffer *buffer; /* referenced, or NULL */
    char *copies;               /* bytes that lay outside the buffer, or NULL */
};

/** Keep `request`'s arguments: slices of the buffer stay, others are copied (but for large_raw's).
 */
void arguments_keep(struct arguments *arguments, const struct request *request,
                    struct ring_buffer *buffer, struct slice *storage);
void arguments_release(struct arguments *arguments);
