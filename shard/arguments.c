/*
 * arguments.c: arguments of requests that are not answered in the turn that read them.
 * Slices of a receive buffer stay where they are, and the buffer is held; what lies elsewhere
 * (inline commands, unquoted by the parser) is copied together into one block. A large value in
 * memory of its own belongs to the request and needs neither.
 */
#include "shard/arguments.h"

#include "core/heap.h"
#include "core/ring.h"
#include "shard/value/raw.h"

static bool
lies_in(struct slice slice, const char *start, size_t size)
{
    uintptr_t data = (uintptr_t)slice.data;
    return data >= (uintptr_t)start && data + slice.size <= (uintptr_t)start + size;
}

void
arguments_keep(struct arguments *arguments, const struct request *request,
               struct ring_buffer *buffer, struct slice *storage)
{
    arguments->argv = storage;
    arguments->buffer = NULL;
    arguments->copies = NULL;
    const struct raw *large = request->large_raw;
    size_t copy_size = 0;
    for (uint32_t i = 0; i < request->argc; i++) {
        struct slice argument = request->argv[i];
        storage[i] = argument;
        if (buffer != NULL && lies_in(argument, buffer->data, buffer->capacity)) {
            arguments->buffer = buffer;
        } else if (large == NULL || !lies_in(argument, large->data, large->size)) {
            copy_size += argument.size;
        }
    }
    if (arguments->buffer != NULL) {
        ring_buffer_ref(arguments->buffer);
    }
    if (copy_size == 0) {
        return;
    }
    arguments->copies = heap_alloc(copy_size);
    char *end = arguments->copies;
    for (uint32_t i = 0; i < request->argc; i++) {
        struct slice argument = storage[i];
        bool is_kept = (buffer != NULL && lies_in(argument, buffer->data, buffer->capacity)) ||
                       (large != NULL && lies_in(argument, large->data, large->size));
        if (!is_kept && argument.size > 0) {
            memcpy(end, argument.data, argument.size);
            storage[i].data = end;
            end += argument.size;
        }
    }
}

void
arguments_release(struct arguments *arguments)
{
    if (arguments->buffer != NULL) {
        ring_buffer_unref(arguments->buffer);
    }
    heap_free(arguments->copies);
}
