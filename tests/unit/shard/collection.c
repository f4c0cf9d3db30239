#include "collection.h"

#include "core/heap.h"

#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * collection.c: what tests of commands on collections share. Sets and hashes have no order, so
 * their replies are sorted before they are compared.
 */

#define BULKS_MAX 200000

uint32_t
reply_bulks(struct slice reply, struct slice *bulks, uint32_t max)
{
    uint32_t count = 0;
    const char *at = reply.data;
    const char *end = reply.data + reply.size;
    while (at < end) {
        const char *line_end = memchr(at, '\n', (size_t)(end - at));
        cr_assert_not_null(line_end);
        if (at[0] == '$' && at[1] != '-') {
            size_t size = strtoul(at + 1, NULL, 10);
            if (count < max) {
                bulks[count] = slice_of(line_end + 1, size);
            }
            count++;
            line_end += size + 2;
        }
        at = line_end + 1;
    }
    return count;
}

struct group {
    const struct slice *bulks;
    uint32_t size;
};

static int
group_compare(const void *a, const void *b)
{
    const struct group *left = a;
    const struct group *right = b;
    for (uint32_t i = 0; i < left->size; i++) {
        int order = slice_compare(left->bulks[i], right->bulks[i]);
        if (order != 0) {
            return order;
        }
    }
    return 0;
}

const char *
reply_sorted(struct slice reply, uint32_t group_size, char *text, size_t text_size)
{
    struct slice *bulks = heap_alloc(BULKS_MAX * sizeof(*bulks));
    uint32_t count = reply_bulks(reply, bulks, BULKS_MAX);
    cr_assert_leq(count, BULKS_MAX);
    cr_assert_eq(count % group_size, 0);
    struct group *groups = heap_alloc((count + 1) * sizeof(*groups));
    for (uint32_t i = 0; i < count / group_size; i++) {
        groups[i] = (struct group){.bulks = bulks + i * group_size, .size = group_size};
    }
    qsort(groups, count / group_size, sizeof(*groups), group_compare);
    size_t used = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct slice bulk = groups[i / group_size].bulks[i % group_size];
        cr_assert_lt(used + bulk.size + 1, text_size);
        if (bulk.size > 0) {
            memcpy(text + used, bulk.data, bulk.size);
        }
        used += bulk.size;
        text[used++] = ' ';
    }
    text[used] = '\0';
    heap_free(groups);
    heap_free(bulks);
    return text;
}

struct slice
harness_format(struct harness *harness, const char *format, ...)
{
    char line[1024];
    struct slice argv[64];
    uint32_t argc = 0;
    va_list list;
    va_start(list, format);
    int size = vsnprintf(line, sizeof(line), format, list);
    va_end(list);
    cr_assert(size > 0 && size < (int)sizeof(line));
    for (char *word = line; *word != '\0';) {
        size_t length = strcspn(word, " ");
        if (length > 0) {
            cr_assert_lt(argc, ARRAY_COUNT(argv));
            argv[argc++] = slice_of(word, length);
        }
        word += length + strspn(word + length, " ");
    }
    return harness_run(harness, argv, argc);
}

/* ---- all data ---- */

/** How to read the whole of a value. */
static uint32_t
read_command(const char *type, struct slice key, struct slice argv[5], uint32_t *group_size)
{
    *group_size = 0;
    argv[1] = key;
    if (strcmp(type, "+set\r\n") == 0) {
        argv[0] = SLICE("SMEMBERS");
        *group_size = 1;
        return 2;
    }
    if (strcmp(type, "+hash\r\n") == 0) {
        argv[0] = SLICE("HGETALL");
        *group_size = 2;
        return 2;
    }
    if (strcmp(type, "+string\r\n") == 0) {
        argv[0] = SLICE("GET");
        return 2;
    }
    bool is_list = strcmp(type, "+list\r\n") == 0;
    argv[0] = is_list ? SLICE("LRANGE") : SLICE("ZRANGE");
    argv[2] = SLICE("0");
    argv[3] = SLICE("-1");
    argv[4] = SLICE("WITHSCORES");
    return is_list ? 4 : 5;
}

static char *
text_copy(struct slice slice)
{
    char *text = heap_alloc(slice.size + 1);
    memcpy(text, slice.data, slice.size);
    text[slice.size] = '\0';
    return text;
}

static char *
value_text(struct harness *harness, struct slice key)
{
    struct slice argv[5] = {SLICE("TYPE"), key};
    uint32_t group_size;
    char *type = text_copy(harness_run(harness, argv, 2));
    uint32_t argc = read_command(type, key, argv, &group_size);
    struct slice reply = harness_run(harness, argv, argc);
    char *text = heap_alloc(2 * reply.size + 64);
    int used = snprintf(text, 32, "%s", type);
    heap_free(type);
    if (group_size > 0) {
        reply_sorted(reply, group_size, text + used, 2 * reply.size + 32);
    } else {
        memcpy(text + used, reply.data, reply.size);
        text[(size_t)used + reply.size] = '\0';
    }
    return text;
}

bool
collections_equal(struct harness *a, struct harness *b)
{
    struct slice keys_command[] = {SLICE("KEYS"), SLICE("*")};
    char *theirs = text_copy(harness_run(b, keys_command, 2));
    char *ours = text_copy(harness_run(a, keys_command, 2));
    struct slice keys[1000];
    uint32_t count = reply_bulks(slice_of_string(ours), keys, ARRAY_COUNT(keys));
    bool is_equal = count == reply_bulks(slice_of_string(theirs), keys, 0);
    if (!is_equal) {
        fprintf(stderr, "keys differ: %s\n%s\n", ours, theirs);
    }
    for (uint32_t i = 0; is_equal && i < count; i++) {
        char *left = value_text(a, keys[i]);
        char *right = value_text(b, keys[i]);
        struct slice argv[] = {SLICE("PEXPIRETIME"), keys[i]};
        char *deadline = text_copy(harness_run(a, argv, 2));
        is_equal = strcmp(left, right) == 0 &&
                   slice_equal(harness_run(b, argv, 2), slice_of_string(deadline));
        if (!is_equal) {
            fprintf(stderr, "%.*s: %.300s\n%.300s\n", (int)keys[i].size, keys[i].data, left, right);
        }
        heap_free(deadline);
        heap_free(left);
        heap_free(right);
    }
    heap_free(ours);
    heap_free(theirs);
    return is_equal;
}

static void
steps_run_as(const struct step *steps, bool is_borrowed)
{
    struct harness *harness = harness_new();
    harness->is_borrowed = is_borrowed;
    harness->is_checked = true;
    for (; steps->line != NULL; steps++) {
        const char *reply = harness_line(harness, steps->line);
        cr_expect_str_eq(reply, steps->reply, "%s: %s instead of %s", steps->line, reply,
                         steps->reply);
    }
    struct harness *replica = harness_new();
    harness_replay(harness, replica);
    cr_expect(collections_equal(harness, replica));
    harness_delete(replica);
    harness_delete(harness);
}

void
steps_run(const struct step *steps)
{
    steps_run_as(steps, false);
    steps_run_as(steps, true);
}
