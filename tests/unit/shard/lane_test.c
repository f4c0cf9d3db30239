#include "core/heap.h"
#include "core/random.h"
#include "shard/lane.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/*
 * A lane against the order in which requests were given to it: replies that others make are done at
 * random, and what leaves is always a prefix of what was asked.
 */

#define ITEM_COUNT 400

struct asked {
    struct lane_item item;
    struct output output;
    bool is_retired;
};

struct fixture {
    struct lane lane;
    struct output output;
    struct asked asked[ITEM_COUNT];
    uint32_t asked_count;
    uint32_t retired_count;
    uint32_t resume_count;
    uint32_t ended_count;
    struct random random;
    char expected[ITEM_COUNT * 64];
    size_t expected_size;
};

static void
fixture_resume(struct lane *lane)
{
    container_of(lane, struct fixture, lane)->resume_count++;
}

static void
fixture_ended(struct lane *lane)
{
    container_of(lane, struct fixture, lane)->ended_count++;
}

static const struct lane_ops fixture_ops = {.resume = fixture_resume, .ended = fixture_ended};

static void
asked_retire(struct shard *shard, struct lane_item *item)
{
    struct asked *asked = container_of(item, struct asked, item);
    cr_assert_null(shard);
    cr_assert(!asked->is_retired);
    asked->is_retired = true;
    output_destroy(&asked->output);
}

static struct fixture *
fixture_new(uint64_t seed)
{
    struct fixture *fixture = heap_alloc(sizeof(*fixture));
    memset(fixture, 0, sizeof(*fixture));
    random_create(&fixture->random, seed);
    output_create(&fixture->output);
    lane_create(&fixture->lane, NULL, NULL, &fixture->output, &fixture_ops);
    return fixture;
}

static void
fixture_delete(struct fixture *fixture)
{
    output_destroy(&fixture->output);
    heap_free(fixture);
}

/** A reply of its own for each request, of any length. */
static uint32_t
reply_text(struct fixture *fixture, char text[64])
{
    uint32_t size = (uint32_t)snprintf(text, 64, "<%zu>", fixture->expected_size);
    uint32_t more = (uint32_t)random_below(&fixture->random, 30);
    memset(text + size, 'x', more);
    return size + more;
}

static void
expect(struct fixture *fixture, const char *text, uint32_t size)
{
    memcpy(fixture->expected + fixture->expected_size, text, size);
    fixture->expected_size += size;
}

static void
ask_local(struct fixture *fixture)
{
    char text[64];
    uint32_t size = reply_text(fixture, text);
    output_append(lane_output(&fixture->lane), text, size);
    expect(fixture, text, size);
}

static void
ask_other(struct fixture *fixture)
{
    struct asked *asked = &fixture->asked[fixture->asked_count++];
    char text[64];
    uint32_t size = reply_text(fixture, text);
    bool is_muted = random_below(&fixture->random, 8) == 0;
    output_create(&asked->output);
    asked->item = (struct lane_item){
        .source = &asked->output, .reply_size = size, .is_muted = is_muted, .retire = asked_retire};
    if (random_below(&fixture->random, 2) == 0) {
        asked->item.reply_size = LANE_REPLY_ALL;
    }
    output_append(&asked->output, text, size);
    if (!is_muted) {
        expect(fixture, text, size);
    }
    lane_push(&fixture->lane, &asked->item);
}

static void
finish_one(struct fixture *fixture)
{
    uint32_t start = (uint32_t)random_below(&fixture->random, fixture->asked_count);
    for (uint32_t i = start; i < fixture->asked_count; i++) {
        struct asked *asked = &fixture->asked[i];
        if (!asked->item.is_done) {
            lane_item_done(&fixture->lane, &asked->item);
            break;
        }
    }
    uint32_t before = fixture->resume_count;
    lane_emit(&fixture->lane);
    cr_assert_eq(fixture->resume_count, before + 1);
}

static void
check_prefix(struct fixture *fixture)
{
    cr_assert_leq(fixture->output.byte_count, fixture->expected_size);
    char *flat = output_flatten(&fixture->output);
    cr_assert_eq(memcmp(flat, fixture->expected, fixture->output.byte_count), 0);
    heap_free(flat);
}

Test(lane, replies_leave_in_the_order_of_requests)
{
    uint64_t first = (uint64_t)time(NULL);
    for (uint64_t seed = first; seed < first + 50; seed++) {
        struct fixture *fixture = fixture_new(seed);
        while (fixture->asked_count < ITEM_COUNT) {
            uint64_t kind = random_below(&fixture->random, 10);
            if (kind < 3 && fixture->expected_size < sizeof(fixture->expected) - 200 * 64) {
                ask_local(fixture);
            } else if (kind < 7 || fixture->asked_count == 0) {
                ask_other(fixture);
            } else {
                finish_one(fixture);
            }
        }
        check_prefix(fixture);
        while (fixture->lane.item_count > 0) {
            finish_one(fixture);
        }
        check_prefix(fixture);
        cr_assert_eq(fixture->output.byte_count, fixture->expected_size, "seed %llu",
                     (unsigned long long)seed);
        cr_assert_eq(lane_waiting_size(&fixture->lane), 0);
        for (uint32_t i = 0; i < ITEM_COUNT; i++) {
            cr_assert(fixture->asked[i].is_retired);
        }
        cr_assert(lane_is_idle(&fixture->lane));
        lane_abandon(&fixture->lane);
        cr_assert_eq(fixture->ended_count, 1);
        fixture_delete(fixture);
    }
}

Test(lane, bytes_behind_others_are_counted)
{
    struct fixture *fixture = fixture_new(1);
    ask_other(fixture);
    cr_assert_eq(lane_waiting_size(&fixture->lane), 0);
    output_append(lane_output(&fixture->lane), "0123456789", 10);
    cr_assert_eq(lane_waiting_size(&fixture->lane), 10);
    ask_other(fixture);
    cr_assert_eq(lane_waiting_size(&fixture->lane), 10);
    lane_item_done(&fixture->lane, &fixture->asked[1].item);
    uint64_t size = fixture->asked[1].output.byte_count;
    lane_emit(&fixture->lane);
    cr_assert_eq(lane_waiting_size(&fixture->lane), 10 + size);
    lane_item_done(&fixture->lane, &fixture->asked[0].item);
    lane_emit(&fixture->lane);
    cr_assert_eq(lane_waiting_size(&fixture->lane), 0);
    lane_abandon(&fixture->lane);
    fixture_delete(fixture);
}

Test(lane, an_abandoned_lane_ends_with_its_last_request)
{
    struct fixture *fixture = fixture_new(2);
    for (int i = 0; i < 5; i++) {
        ask_other(fixture);
        ask_local(fixture);
    }
    fixture->lane.single_count = 1;
    lane_abandon(&fixture->lane);
    cr_assert_eq(fixture->ended_count, 0);
    for (int i = 4; i >= 0; i--) {
        lane_item_done(&fixture->lane, &fixture->asked[i].item);
        if (i == 0) {
            fixture->lane.single_count = 0;
        }
        lane_emit(&fixture->lane);
        cr_assert_eq(fixture->ended_count, i == 0);
    }
    cr_assert_eq(fixture->output.byte_count, 0);
    cr_assert_eq(fixture->resume_count, 0);
    fixture_delete(fixture);
}
