/*
 * hash_random.c: fields that chance chooses: HRANDFIELD.
 * Distinct fields of a large hash are drawn one by one, and drawn again where one came up before; a
 * part of some size is chosen on one walk over the hash instead, each field with the chance that
 * leaves the right number: both are fair.
 */
#include "core/hash.h"
#include "core/heap.h"
#include "shard/command/families.h"
#include "shard/command/hash_internal.h"

/** From this part of the hash on, a walk costs less than drawing. */
#define WALK_PART_MIN 3

/** Pairs of two in RESP3, flat in RESP2. */
static void
pair_reply(struct call *call, const struct hash_pair *pair, bool has_values)
{
    if (has_values && call->reply->protocol > 2) {
        reply_array(call->reply, 2);
    }
    reply_bulk(call->reply, pair->field);
    if (has_values) {
        reply_bulk(call->reply, pair->value);
    }
}

static void
pairs_begin(struct call *call, uint64_t count, bool has_values)
{
    reply_array(call->reply, has_values && call->reply->protocol == 2 ? 2 * count : count);
}

/** `count` of the hash's fields, each with the same chance, in the order of a walk. */
static void
hrandfield_walk(struct call *call, const struct hash *hash, uint64_t count, bool has_values)
{
    struct hash_walk walk;
    struct hash_pair pair;
    uint64_t rest_count = hash_count_seen(hash);
    pairs_begin(call, count, has_values);
    hash_walk_start(&walk, hash);
    while (count > 0 && hash_next(&walk, &pair)) {
        if (count == rest_count || random_below(&call->shard->random, rest_count) < count) {
            pair_reply(call, &pair, has_values);
            count--;
        }
        rest_count--;
    }
    ASSERT(count == 0);
}

/** The same by drawing; the fields of a packed table are known by where they lie. */
static void
hrandfield_draw(struct call *call, const struct hash *hash, uint64_t count, bool has_values)
{
    struct hash_pair pair;
    uint64_t room = UINT64_C(4) << (63 - __builtin_clzll(count));
    uintptr_t *drawn = heap_alloc(room * sizeof(*drawn));
    memset(drawn, 0, room * sizeof(*drawn));
    pairs_begin(call, count, has_values);
    while (count > 0) {
        hash_random(hash, &call->shard->random, &pair);
        /* The empty field has no bytes of its own to be known by. */
        uintptr_t place = pair.field.size == 0 ? 1 : (uintptr_t)pair.field.data;
        uint64_t at = hash_u64(place) & (room - 1);
        while (drawn[at] != 0 && drawn[at] != place) {
            at = (at + 1) & (room - 1);
        }
        if (drawn[at] == 0) {
            drawn[at] = place;
            pair_reply(call, &pair, has_values);
            count--;
        }
    }
    heap_free(drawn);
}

static void
hrandfield_count(struct call *call, const struct hash *hash, int64_t count, bool has_values)
{
    uint64_t size = hash_count_seen(hash);
    if (count == 0 || size == 0) {
        reply_array(call->reply, 0);
    } else if (count < 0) {
        struct hash_pair pair;
        uint64_t draw_count = 0 - (uint64_t)count;
        pairs_begin(call, draw_count, has_values);
        for (uint64_t i = 0; i < draw_count; i++) {
            hash_random(hash, &call->shard->random, &pair);
            pair_reply(call, &pair, has_values);
        }
    } else if (hash->encoding != ENCODING_HASHTABLE || (uint64_t)count >= size / WALK_PART_MIN) {
        hrandfield_walk(call, hash, MIN((uint64_t)count, size), has_values);
    } else {
        hrandfield_draw(call, hash, (uint64_t)count, has_values);
    }
}

static void
hrandfield_run(struct call *call)
{
    struct view *view = call->views[0];
    int64_t count = 0;
    bool has_values = call->argc == 4;
    if (call->argc > 2 && !call_integer_in(call, 2, -INT64_MAX, INT64_MAX, &count, NULL)) {
        return;
    }
    if (call->argc > 4 || (has_values && !slice_is_word(call->argv[3], "withvalues"))) {
        call_syntax_error(call);
        return;
    }
    if (has_values && (count < -INT64_MAX / 2 || count > INT64_MAX / 2)) {
        reply_error(call->reply, "ERR value is out of range");
        return;
    }
    if (!view_check_type(call, view, VALUE_HASH)) {
        return;
    }
    struct hash hash = hash_of_view(call, view);
    if (call->argc > 2) {
        hrandfield_count(call, &hash, count, has_values);
        return;
    }
    struct hash_pair pair;
    if (hash_random(&hash, &call->shard->random, &pair)) {
        reply_bulk(call->reply, pair.field);
    } else {
        reply_null(call->reply);
    }
}

/* ---- documentation ---- */

static const char *const hrandfield_tips[] = {"nondeterministic_output", NULL};
static const struct command_argument hrandfield_options_arguments[] = {
    {.kind = ARGUMENT_INTEGER, .name = "count"},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "withvalues", .token = "WITHVALUES", .is_optional = true},
    {0},
};
static const struct command_argument hrandfield_arguments[] = {
    {.kind = ARGUMENT_KEY, .name = "key"},
    {.kind = ARGUMENT_BLOCK,
     .name = "options",
     .is_optional = true,
     .arguments = hrandfield_options_arguments},
    {0},
};

static const struct command hash_random_commands[] = {
    {.name = "hrandfield",
     .run = hrandfield_run,
     .flags = CMD_READONLY,
     .arity = -2,
     .key_specs = {KEYS_AT(1, KEY_RO | KEY_ACCESS)},
     .key_spec_count = 1,
     .group = GROUP_HASH,
     .since = "6.2.0",
     .complexity = "O(N) with N fields to answer.",
     .summary = "Answers any fields of a hash, with their values where wanted.",
     .tips = hrandfield_tips,
     .arguments = hrandfield_arguments},
};

const struct command_family hash_random_family = {hash_random_commands,
                                                  ARRAY_COUNT(hash_random_commands)};
