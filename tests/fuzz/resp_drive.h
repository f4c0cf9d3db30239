/*
 * resp_drive.h: feeds bytes to a parser in pieces, as a connection would, and writes down what
 * comes out as text, so that two ways of feeding can be compared. Every call gets the waiting bytes
 * in a fresh block of exactly their size: a read beyond them or of an old place is caught by a
 * sanitizer.
 */
#pragma once

#include "core/heap.h"
#include "net/output.h"
#include "net/resp.h"

#include <stdio.h>

struct drive {
    /* ---- how to feed ---- */
    size_t (*cut_next)(struct drive *drive, size_t left); /* size of the next piece, 1 .. left */
    uint64_t cut_state;
    uint32_t storage_count; /* 0: resp_parse() */
    bool takes_large;
    bool is_unauthenticated;
    uint64_t bulk_size_max;
    /* ---- what happened ---- */
    struct output text;
    uint32_t large_count;
    uint64_t large_size_total; /* of lent memory, to be freed with the request */
    char *larges[64];
};

static inline size_t
drive_cut_whole(struct drive *drive, size_t left)
{
    return left;
}

static inline size_t
drive_cut_bytes(struct drive *drive, size_t left)
{
    return 1;
}

/** Once at cut_state bytes. */
static inline size_t
drive_cut_once(struct drive *drive, size_t left)
{
    size_t cut = drive->cut_state;
    drive->cut_state = 0;
    return cut == 0 || cut > left ? left : cut;
}

static inline size_t
drive_cut_random(struct drive *drive, size_t left)
{
    drive->cut_state = drive->cut_state * 6364136223846793005ULL + 1442695040888963407ULL;
    uint32_t bits = (uint32_t)(drive->cut_state >> 33);
    size_t cut = 1 + (bits & 0xffff) % (1U << (bits >> 16 & 15));
    return MIN(cut, left);
}

static inline void
drive_note_request(struct drive *drive, const struct resp_parser *parser)
{
    char head[32];
    output_append(&drive->text, head,
                  (size_t)snprintf(head, sizeof(head), "request %u:", parser->argc));
    for (uint32_t i = 0; i < parser->argc; i++) {
        struct slice argument = parser->argv[i];
        output_append(&drive->text, head,
                      (size_t)snprintf(head, sizeof(head), " %zu:", argument.size));
        output_append(&drive->text, argument.data, argument.size);
    }
    output_append(&drive->text, "\n", 1);
}

static inline void
drive_free_larges(struct drive *drive)
{
    for (uint32_t i = 0; i < drive->large_count; i++) {
        heap_free(drive->larges[i]);
    }
    drive->large_count = 0;
}

/** The large argument's rest from the stream. Returns how many bytes of the stream it took; the
 * waiting bytes are cut to the kept ones. */
static inline size_t
drive_take_large(struct drive *drive, struct resp_parser *parser, const char *waiting,
                 size_t waiting_size, struct slice stream)
{
    ASSERT(parser->large_size >= RESP_LARGE_SIZE_MIN);
    ASSERT(parser->large_arrived < parser->large_size);
    ASSERT(parser->large_header_size + parser->large_arrived == waiting_size);
    char *memory = heap_alloc(parser->large_size);
    drive->larges[drive->large_count++] = memory;
    resp_large_begin(parser, memory);
    memcpy(memory, waiting + parser->large_header_size, parser->large_arrived);
    size_t rest = MIN(parser->large_size - parser->large_arrived, stream.size);
    memcpy(memory + parser->large_arrived, stream.data, rest);
    if (parser->large_arrived + rest == parser->large_size) {
        resp_large_done(parser);
    }
    return rest;
}

static inline struct resp_parser
drive_parser(const struct drive *drive)
{
    struct resp_parser parser;
    resp_parser_create(&parser, drive->bulk_size_max == 0 ? 512U << 20 : drive->bulk_size_max);
    if (drive->is_unauthenticated) {
        parser.bulk_size_max_now = RESP_UNAUTHENTICATED_BULK_SIZE_MAX;
        parser.argument_count_max = RESP_UNAUTHENTICATED_ARGUMENT_COUNT_MAX;
    }
    return parser;
}

/** Feed all of `stream`; the text is heap_free()'d by the caller. */
static inline struct slice
drive_run(struct drive *drive, struct slice stream)
{
    struct resp_parser parser = drive_parser(drive);
    struct slice *storage = heap_alloc((drive->storage_count + 1) * sizeof(*storage));
    char *waiting = heap_alloc(0);
    size_t waiting_size = 0;
    size_t at = 0;
    size_t size_min = 0; /* what the hint says that the request has at least */
    bool is_over = false;
    output_create(&drive->text);
    while (!is_over) {
        size_t consumed = 0;
        enum resp_result result = drive->storage_count == 0
                                      ? resp_parse(&parser, waiting, waiting_size, &consumed)
                                      : resp_parse_into(&parser, waiting, waiting_size, &consumed,
                                                        storage, drive->storage_count);
        ASSERT(consumed <= waiting_size);
        switch (result) {
        case RESP_ERROR:
            output_append(&drive->text, parser.error, strlen(parser.error));
            is_over = true;
            break;
        case RESP_REQUEST:
            ASSERT(consumed >= size_min);
            drive_note_request(drive, &parser);
            if (drive->storage_count != 0) {
                heap_free(parser.memory);
            }
            drive_free_larges(drive);
            break;
        case RESP_EMPTY:
            output_append(&drive->text, "empty\n", 6);
            break;
        case RESP_LARGE:
            if (drive->takes_large && drive->large_count < ARRAY_COUNT(drive->larges)) {
                struct slice rest = slice_of(stream.data + at, stream.size - at);
                at += drive_take_large(drive, &parser, waiting, waiting_size, rest);
                waiting_size = parser.large_header_size;
                is_over = parser.is_large_taken;
                continue;
            }
            break;
        case RESP_NEED_MORE:
            size_min = waiting_size + resp_size_hint(&parser, waiting_size);
            break;
        }
        if (result == RESP_REQUEST || result == RESP_EMPTY) {
            size_min = 0;
        }
        size_t more = 0;
        if (result == RESP_NEED_MORE || result == RESP_LARGE) {
            is_over = at == stream.size;
            more = is_over ? 0 : drive->cut_next(drive, stream.size - at);
        }
        char *fresh = heap_alloc(waiting_size - consumed + more);
        memcpy(fresh, waiting + consumed, waiting_size - consumed);
        memcpy(fresh + waiting_size - consumed, stream.data + at, more);
        heap_free(waiting);
        waiting = fresh;
        waiting_size += more - consumed;
        at += more;
    }
    drive_free_larges(drive);
    heap_free(waiting);
    heap_free(storage);
    resp_parser_destroy(&parser);
    struct slice text = slice_of(output_flatten(&drive->text), drive->text.byte_count);
    output_destroy(&drive->text);
    return text;
}
