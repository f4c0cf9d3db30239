#include "shard/command/scan_collection.h"

#include "core/glob.h"
#include "core/number.h"

/*
 * scan_collection.c: one call of SSCAN, HSCAN ...
 *
 * The reply begins with the next cursor, and that is known behind the last element. So the steps
 * are taken twice, first to see where they lead, then to reply; the second time finds everything in
 * the cache. Rejected: collecting slices in between (an array as long as COUNT says).
 *
 * COUNT is a wish: buckets are answered whole, and a table with long empty stretches is not walked
 * further than ten buckets for each element asked for.
 */

#define SCAN_COUNT_DEFAULT 10
#define SCAN_STEPS_PER_ELEMENT_MAX 10

bool
scan_cursor_parse(struct slice text, uint64_t *cursor)
{
    size_t size = text.size == 0 ? 0 : strnlen(text.data, text.size);
    size_t at = 0;
    bool is_negative = false;
    uint64_t value = 0;
    if (size > 0 && (text.data[0] == '-' || text.data[0] == '+')) {
        is_negative = text.data[0] == '-';
        at++;
    }
    if (at == size && size > 0) {
        return false;
    }
    for (; at < size; at++) {
        unsigned digit = (unsigned)(unsigned char)text.data[at] - '0';
        if (digit > 9 || __builtin_mul_overflow(value, UINT64_C(10), &value) ||
            __builtin_add_overflow(value, (uint64_t)digit, &value)) {
            return false;
        }
    }
    *cursor = is_negative ? 0 - value : value;
    return true;
}

bool
scan_cursor_read(struct call *call, struct scan_options *options)
{
    *options = (struct scan_options){.count = SCAN_COUNT_DEFAULT};
    if (!scan_cursor_parse(call->argv[2], &options->cursor)) {
        reply_error(call->reply, "ERR invalid cursor");
        return false;
    }
    return true;
}

bool
scan_options_read(struct call *call, bool allows_novalues, struct scan_options *options)
{
    for (uint32_t i = 3; i < call->argc; i++) {
        struct slice word = call->argv[i];
        if (allows_novalues && slice_is_word(word, "novalues")) {
            options->is_without_values = true;
            continue;
        }
        if (i + 1 == call->argc) {
            call_syntax_error(call);
            return false;
        }
        if (slice_is_word(word, "count")) {
            int64_t count;
            if (!call_integer(call, ++i, &count, NULL)) {
                return false;
            }
            if (count < 1) {
                call_syntax_error(call);
                return false;
            }
            options->count = (uint64_t)count;
        } else if (slice_is_word(word, "match")) {
            options->pattern = call->argv[++i];
            options->has_pattern = !glob_is_all(options->pattern);
        } else {
            call_syntax_error(call);
            return false;
        }
    }
    return true;
}

void
scan_empty_reply(struct call *call)
{
    reply_array(call->reply, 2);
    reply_bulk(call->reply, SLICE("0"));
    reply_array(call->reply, 0);
}

bool
scan_passes(const struct scan_options *options, struct slice text)
{
    return !options->has_pattern || glob_match(options->pattern, text, false);
}

void
scan_reply(struct call *call, const struct scan_options *options, bool is_whole, scan_step_fn *step,
           void *context, uint64_t *counted, uint64_t *replied)
{
    uint64_t next = 0;
    uint64_t step_count = 0;
    if (!is_whole) {
        uint64_t step_count_max;
        if (__builtin_mul_overflow(options->count, (uint64_t)SCAN_STEPS_PER_ELEMENT_MAX,
                                   &step_count_max)) {
            step_count_max = UINT64_MAX;
        }
        next = options->cursor;
        do {
            next = step(context, next, true);
            step_count++;
        } while (next != 0 && *counted < options->count && step_count < step_count_max);
    }
    char digits[NUMBER_I64_SIZE_MAX];
    reply_array(call->reply, 2);
    reply_bulk(call->reply, slice_of(digits, number_format_u64(digits, next)));
    struct reply_later later = reply_later(call->reply);
    uint64_t position = options->cursor;
    do {
        position = step(context, position, false);
    } while (position != next);
    reply_later_array(call->reply, later, *replied);
}
