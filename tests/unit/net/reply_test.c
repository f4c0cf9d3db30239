/*
 * reply_test.c: the bytes of each kind of reply in both protocols, as redis-server 7.0.15 sends
 * them.
 */
#include "net/reply.h"

#include "core/heap.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>

struct fixture {
    struct output output;
    struct reply reply;
};

static struct fixture *
fixture_new(uint8_t protocol)
{
    struct fixture *fixture = heap_alloc(sizeof(*fixture));
    output_create(&fixture->output);
    reply_create(&fixture->reply, &fixture->output, protocol);
    return fixture;
}

static void
fixture_delete(struct fixture *fixture)
{
    output_destroy(&fixture->output);
    heap_free(fixture);
}

/** What was written since the last call is `expected`. */
static void
expect_slice(struct fixture *fixture, struct slice expected)
{
    size_t size = fixture->output.byte_count;
    char *flat = output_flatten(&fixture->output);
    cr_assert(slice_equal(slice_of(flat, size), expected), "\n%.*s\nnot\n%.*s", (int)size, flat,
              (int)expected.size, expected.data);
    heap_free(flat);
    output_consume(&fixture->output, size);
}

static void
expect(struct fixture *fixture, const char *expected)
{
    expect_slice(fixture, slice_of_string(expected));
}

/** All kinds that depend on the protocol, one behind the other. */
static void
write_kinds(struct reply *reply)
{
    reply_null(reply);
    reply_null_array(reply);
    reply_map(reply, 1);
    reply_set(reply, 12);
    reply_push(reply, 2);
    reply_bool(reply, true);
    reply_bool(reply, false);
    reply_double(reply, 3.141);
    reply_double(reply, 0.1);
    reply_double(reply, 1);
    reply_double(reply, 1e300);
    reply_double(reply, (double)INFINITY);
    reply_double(reply, -(double)INFINITY);
    reply_verbatim(reply, SLICE("This is a verbatim\nstring"), "txt");
    reply_bulk_long_double(reply, 10.5L);
    reply_verbatim(reply, SLICE(""), "mkd");
    struct reply_later map = reply_later(reply);
    struct reply_later set = reply_later(reply);
    reply_later_set(reply, set, 0);
    reply_later_map(reply, map, 1);
}

Test(reply, kinds_in_resp2)
{
    struct fixture *fixture = fixture_new(2);
    write_kinds(&fixture->reply);
    expect(fixture, "$-1\r\n*-1\r\n*2\r\n*12\r\n*2\r\n:1\r\n:0\r\n$5\r\n3.141\r\n"
                    "$19\r\n0.10000000000000001\r\n$1\r\n1\r\n$23\r\n1.0000000000000001e+300\r\n"
                    "$3\r\ninf\r\n$4\r\n-inf\r\n$25\r\nThis is a verbatim\nstring\r\n"
                    "$4\r\n10.5\r\n$0\r\n\r\n*2\r\n*0\r\n");
    fixture_delete(fixture);
}

Test(reply, kinds_in_resp3)
{
    struct fixture *fixture = fixture_new(3);
    write_kinds(&fixture->reply);
    expect(fixture, "_\r\n_\r\n%1\r\n~12\r\n>2\r\n#t\r\n#f\r\n,3.141\r\n"
                    ",0.10000000000000001\r\n,1\r\n,1.0000000000000001e+300\r\n"
                    ",inf\r\n,-inf\r\n=29\r\ntxt:This is a verbatim\nstring\r\n"
                    "$4\r\n10.5\r\n=4\r\nmkd:\r\n%1\r\n~0\r\n");
    reply_attribute(&fixture->reply, 1);
    expect(fixture, "|1\r\n");
    fixture_delete(fixture);
}

Test(reply, plain_kinds)
{
    struct fixture *fixture = fixture_new(2);
    struct reply *reply = &fixture->reply;
    reply_ok(reply);
    reply_simple(reply, "QUEUED");
    reply_array(reply, 100);
    reply_raw(reply, SLICE("+raw\r\n"));
    reply_bulk_string(reply, "word");
    reply_bulk_i64(reply, INT64_MIN);
    expect(fixture, "+OK\r\n+QUEUED\r\n*100\r\n+raw\r\n$4\r\nword\r\n"
                    "$20\r\n-9223372036854775808\r\n");
    fixture_delete(fixture);
}

Test(reply, integers_of_every_length)
{
    struct fixture *fixture = fixture_new(3);
    char expected[64];
    int64_t value = 1;
    for (uint32_t digits = 1; digits <= 18; digits++, value *= 10) {
        const int64_t near[] = {value - 1, value, value + 1, value * 9, -value, 1 - value};
        for (uint32_t i = 0; i < ARRAY_COUNT(near); i++) {
            reply_i64(&fixture->reply, near[i]);
            snprintf(expected, sizeof(expected), ":%ld\r\n", (long)near[i]);
            expect(fixture, expected);
        }
    }
    for (int64_t small = -200; small <= 1100; small++) {
        reply_i64(&fixture->reply, small);
        snprintf(expected, sizeof(expected), ":%ld\r\n", (long)small);
        expect(fixture, expected);
    }
    reply_i64(&fixture->reply, INT64_MIN);
    expect(fixture, ":-9223372036854775808\r\n");
    reply_i64(&fixture->reply, INT64_MAX);
    expect(fixture, ":9223372036854775807\r\n");
    fixture_delete(fixture);
}

/** At each fill of a chunk, so that header, body and line end fall on every border. */
Test(reply, bulks_of_every_length)
{
    struct fixture *fixture = fixture_new(2);
    char body[20000];
    memset(body, 'b', sizeof(body));
    char *expected = heap_alloc(sizeof(body) + 32);
    for (size_t size = 0; size < 1200; size++) {
        int head = snprintf(expected, 32, "$%zu\r\n", size);
        memcpy(expected + head, body, size);
        memcpy(expected + head + size, "\r\n", 2);
        reply_bulk(&fixture->reply, slice_of(body, size));
        reply_bulk(&fixture->reply, slice_of(body, size));
        output_consume(&fixture->output, fixture->output.byte_count / 2);
        expect_slice(fixture, slice_of(expected, (size_t)head + size + 2));
    }
    reply_bulk(&fixture->reply, slice_of(body, sizeof(body)));
    cr_assert_eq(fixture->output.byte_count, 8 + sizeof(body) + 2);
    heap_free(expected);
    fixture_delete(fixture);
}

Test(reply, errors_are_cleaned_and_counted)
{
    struct fixture *fixture = fixture_new(2);
    struct reply *reply = &fixture->reply;
    reply_error(reply, "WRONGTYPE Operation");
    expect(fixture, "-WRONGTYPE Operation\r\n");
    cr_assert_str_eq(reply->error_code, "WRONGTYPE");
    cr_assert(reply->is_error);
    reply_error_slice(reply, SLICE("My err\r\nx\n\r\n"));
    expect(fixture, "-My err  x\r\n");
    cr_assert_str_eq(reply->error_code, "My");
    reply_error_slice(reply, SLICE("nospace"));
    expect(fixture, "-nospace\r\n");
    cr_assert_str_eq(reply->error_code, "ERR");
    reply_error_format(reply, "ERR unknown command '%s', with args beginning with: ", "a\nb");
    expect(fixture, "-ERR unknown command 'a b', with args beginning with: \r\n");
    cr_assert_eq(reply->error_count, 4);
    char longer[2000];
    memset(longer, 'l', sizeof(longer));
    reply_error_format(reply, "%.*s", (int)sizeof(longer), longer);
    cr_assert_eq(fixture->output.byte_count, sizeof(longer) + 3);
    reply_error(reply, "AVERYLONGCODEOFTHIRTYBYTESXYZ x");
    cr_assert_str_eq(reply->error_code, "AVERYLONGCODEOFTHIRTYBY");
    fixture_delete(fixture);
}

Test(reply, lengths_that_are_known_later)
{
    struct fixture *fixture = fixture_new(3);
    struct reply *reply = &fixture->reply;
    reply_ok(reply);
    struct reply_later outer = reply_later(reply);
    reply_i64(reply, 1);
    struct reply_later inner = reply_later(reply);
    reply_i64(reply, 2);
    reply_i64(reply, 3);
    reply_later_array(reply, inner, 2);
    reply_later_map(reply, outer, 1);
    reply_ok(reply);
    expect(fixture, "+OK\r\n%1\r\n:1\r\n*2\r\n:2\r\n:3\r\n+OK\r\n");
    fixture_delete(fixture);
}

static void
pin_release(struct output_pin *pin)
{
    pin->release = NULL;
}

Test(reply, lent_values)
{
    struct fixture *fixture = fixture_new(2);
    struct output_pin pin = {.release = pin_release};
    reply_bulk_external(&fixture->reply, SLICE("lent"), &pin);
    cr_assert_not_null(pin.release);
    expect(fixture, "$4\r\nlent\r\n");
    cr_assert_null(pin.release);
    fixture_delete(fixture);
}

Test(reply, muted_replies_write_nothing_and_still_release_and_count)
{
    static const char *const lines[] = {NULL};
    struct fixture *fixture = fixture_new(3);
    struct reply *reply = &fixture->reply;
    struct output_pin pin = {.release = pin_release};
    reply->is_muted = true;
    write_kinds(reply);
    reply_ok(reply);
    reply_simple(reply, "x");
    reply_i64(reply, 1);
    reply_bulk(reply, SLICE("x"));
    reply_array(reply, 1);
    reply_attribute(reply, 1);
    reply_raw(reply, SLICE("x"));
    reply_help(reply, "x", lines);
    reply_bulk_external(reply, SLICE("lent"), &pin);
    reply_error(reply, "ERR x");
    expect(fixture, "");
    cr_assert_null(pin.release);
    cr_assert_eq(reply->error_count, 1);
    fixture_delete(fixture);
}

Test(reply, help_is_framed_as_redis_does)
{
    static const char *const lines[] = {
        "REFCOUNT <key>",
        "    Return the number of references of the value associated with the specified",
        "    <key>.",
        NULL,
    };
    struct fixture *fixture = fixture_new(3);
    reply_help(&fixture->reply, "object", lines);
    expect(fixture,
           "*6\r\n+OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:\r\n"
           "+REFCOUNT <key>\r\n"
           "+    Return the number of references of the value associated with the specified\r\n"
           "+    <key>.\r\n+HELP\r\n+    Prints this help.\r\n");
    fixture_delete(fixture);
}
