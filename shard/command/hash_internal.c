/*
 * hash_internal.c: what commands on fields with deadlines have in common: the fields whose time is
 * over, the numbers behind FIELDS, the effect that names what was changed.
 *
 * Reading passes by a field whose time is over; writing on it removes it first, as an effect of its
 * own (HDEL). So no effect depends on the clock of the one who replays it, and the others of the
 * hash wait for the wheel.
 */
#include "shard/command/hash_internal.h"

#include "core/number.h"

struct hash
hash_purge(struct call *call, struct view *view, uint32_t first, uint32_t step)
{
    struct hash hash = hash_of_view(call, view);
    struct hash_effect effect = hash_effect_new(call, view, SLICE("HDEL"), call->argc);
    for (uint32_t i = first; i < call->argc; i += step) {
        if (hash_remove_due(&hash, call->argv[i])) {
            hash_effect_add_field(&effect, call->argv[i]);
        }
    }
    if (effect.field_count == 0) {
        return hash;
    }
    hash_to_view(call, view, &hash);
    hash_effect_say(call, view, &effect);
    call->shard->counters.expired_field_count += effect.field_count;
    hash_removed_event(call, view, "hexpired");
    return hash_of_view(call, view);
}

struct hash_effect
hash_effect_new(struct call *call, struct view *view, struct slice name, uint32_t word_max)
{
    struct hash_effect effect = {0};
    if (call_has_effects(call)) {
        effect.argv = call_scratch(call, (2 + (size_t)word_max) * sizeof(*effect.argv));
    }
    hash_effect_add(&effect, name);
    hash_effect_add(&effect, view->key);
    return effect;
}

void
hash_effect_add_number(struct call *call, struct hash_effect *effect, int64_t number)
{
    if (effect->argv != NULL) {
        char *digits = call_scratch(call, NUMBER_I64_SIZE_MAX);
        hash_effect_add(effect, slice_of(digits, number_format_i64(digits, number)));
    }
}

void
hash_effect_add_fields(struct hash_effect *effect)
{
    hash_effect_add(effect, SLICE("FIELDS"));
    effect->count_index = effect->argc;
    hash_effect_add(effect, SLICE(""));
}

void
hash_effect_say(struct call *call, struct view *view, struct hash_effect *effect)
{
    if (effect->argv == NULL || effect->field_count == 0) {
        return;
    }
    char digits[NUMBER_I64_SIZE_MAX];
    if (effect->count_index != 0) {
        effect->argv[effect->count_index] =
            slice_of(digits, number_format_u64(digits, effect->field_count));
    }
    call_effect(call, view, effect->argv, effect->argc);
}

uint32_t
hash_fields_find(const struct call *call, uint32_t from)
{
    for (uint32_t i = from; i + 1 < call->argc; i++) {
        if (slice_is_word(call->argv[i], "fields")) {
            return i;
        }
    }
    return call->argc;
}

bool
hash_deadline_parse(struct call *call, uint32_t index, int64_t unit_ms, bool is_relative,
                    int64_t *deadline_ms)
{
    int64_t amount;
    if (!call_integer(call, index, &amount, NULL)) {
        return false;
    }
    if (amount < 0 || __builtin_mul_overflow(amount, unit_ms, &amount) ||
        __builtin_add_overflow(amount, is_relative ? call->now_ms : 0, deadline_ms)) {
        reply_error_format(call->reply, "ERR invalid expire time in '%s' command",
                           call->command->name);
        return false;
    }
    return true;
}

bool
hash_fields_parse(struct call *call, uint32_t index, uint32_t width, const char *error)
{
    int64_t count = 0;
    uint32_t word_count = index < call->argc ? call->argc - index - 1 : 0;
    if (index < call->argc && !call_integer(call, index, &count, NULL)) {
        return false;
    }
    if (count > 0 && count <= word_count && (uint64_t)count * width == word_count) {
        return true;
    }
    reply_error(call->reply, error != NULL ? error
                                           : "ERR numfields should be greater than 0 and match the "
                                             "provided number of fields");
    return false;
}
