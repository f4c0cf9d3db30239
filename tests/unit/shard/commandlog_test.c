#include "shard/commandlog.h"

#include "core/heap.h"
#include "core/number.h"
#include "core/random.h"
#include "shard/commandlog_words.h"
#include "shards.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/** As many arguments as a test sends. */
#define ARGUMENTS_MAX 40

static struct shards *
logs_new(uint32_t count)
{
    struct shards *shards = shards_new(count, 100);
    /* One tick is one nanosecond. */
    shards->node.clock_scale.ns_per_tick_q32 = UINT64_C(1) << 32;
    session_addresses_set(&shards->session, "10.0.0.1:5000", "10.0.0.9:6379");
    for (uint32_t i = 0; i < count; i++) {
        commandlog_configure(shards->shards[i]);
    }
    return shards;
}

static void
logs_delete(struct shards *shards)
{
    for (uint32_t i = 0; i < shards->count; i++) {
        commandlog_destroy(shards->shards[i]);
    }
    shards_delete(shards);
}

/** A command that ran on a shard for so long, and said so much. */
static void
ran(struct shards *shards, uint32_t index, const struct slice *argv, uint32_t argc, uint64_t us,
    const struct session *client, size_t reply_size)
{
    struct output output;
    struct reply reply;
    output_create(&output);
    output_append(&output, "+before\r\n", 9);
    reply_create(&reply, &output, 2);
    char *bytes = calloc(1, reply_size + 1);
    cr_assert_not_null(bytes);
    output_append(&output, bytes, reply_size);
    struct call call = {.command = command_resolve(shards->table, argv, argc),
                        .argv = argv,
                        .argc = argc,
                        .reply = &reply,
                        .shard = shards->shards[index],
                        .now_ms = SHARDS_START_MS,
                        .session = (struct session *)client,
                        .session_id = 1};
    cr_assert_not_null(call.command);
    commandlog_notice(&call, us * 1000);
    output_destroy(&output);
    free(bytes);
}

/** The same for words with blanks between them, of the client, on shard 0. */
static void
ran_line(struct shards *shards, const char *line, uint64_t us)
{
    struct slice argv[ARGUMENTS_MAX];
    uint32_t argc = 0;
    for (const char *at = line; *at != '\0';) {
        size_t size = strcspn(at, " ");
        argv[argc++] = slice_of(at, size);
        at += size + (at[size] == ' ');
    }
    ran(shards, 0, argv, argc, us, &shards->session, 0);
}

static bool
says(struct shards *shards, const char *line, const char *expected)
{
    const char *reply = shards_line(shards, line);
    if (strcmp(reply, expected) == 0) {
        return true;
    }
    fprintf(stderr, "%s\n  expected: %s\n  got:      %s\n", line, expected, reply);
    return false;
}

Test(commandlog, an_entry_has_all_that_clients_read)
{
    struct shards *shards = logs_new(3);
    cr_assert(says(shards, "SLOWLOG GET", "*0\r\n"));
    ran_line(shards, "GET fast", 9999);
    ran_line(shards, "GET slow", 10000);
    cr_assert(says(shards, "SLOWLOG LEN", ":1\r\n"));
    const char *entry =
        "*1\r\n*6\r\n:0\r\n:1700000000\r\n:10000\r\n*2\r\n$3\r\nGET\r\n$4\r\nslow\r\n"
        "$13\r\n10.0.0.1:5000\r\n$0\r\n\r\n";
    cr_assert(says(shards, "SLOWLOG GET", entry));
    cr_assert(says(shards, "COMMANDLOG GET 5 slow", entry));
    cr_assert(says(shards, "SLOWLOG GET 0", "*0\r\n"));
    cr_assert(says(shards, "COMMANDLOG LEN SLOW", ":1\r\n"));
    cr_assert(says(shards, "SLOWLOG RESET", "+OK\r\n"));
    cr_assert(says(shards, "SLOWLOG LEN", ":0\r\n"));
    session_name_set(&shards->session, SLICE("bob"));
    ran_line(shards, "PING", 20000);
    cr_assert(says(shards, "SLOWLOG GET -1",
                   "*1\r\n*6\r\n:1\r\n:1700000000\r\n:20000\r\n*1\r\n$4\r\nPING\r\n"
                   "$13\r\n10.0.0.1:5000\r\n$3\r\nbob\r\n"));
    logs_delete(shards);
}

Test(commandlog, errors)
{
    struct shards *shards = logs_new(2);
    const char *count_error = "-ERR count should be greater than or equal to -1\r\n";
    cr_assert(says(shards, "SLOWLOG GET -2", count_error));
    cr_assert(says(shards, "SLOWLOG GET x", count_error));
    cr_assert(says(shards, "COMMANDLOG GET x slow", count_error));
    cr_assert(says(shards, "SLOWLOG get 1 2",
                   "-ERR unknown subcommand or wrong number of arguments for 'get'. Try SLOWLOG "
                   "HELP.\r\n"));
    const char *type_error =
        "-ERR type should be one of the following: slow, large-request, large-reply\r\n";
    cr_assert(says(shards, "COMMANDLOG GET 1 fast", type_error));
    cr_assert(says(shards, "COMMANDLOG LEN slo", type_error));
    cr_assert(says(shards, "COMMANDLOG RESET slowly", type_error));
    logs_delete(shards);
}

Test(commandlog, requests_and_replies_are_measured_in_bytes)
{
    struct shards *shards = logs_new(1);
    shards->config->slowlog_log_slower_than_us = -1;
    shards->config->commandlog_request_larger_than = 30;
    shards->config->commandlog_reply_larger_than = 100;
    struct slice argv[] = {SLICE("SET"), SLICE("k"), SLICE("1234")};
    /* *3 $3 SET $1 k $4 1234 */
    ran(shards, 0, argv, 3, 0, &shards->session, 99);
    cr_assert(says(shards, "COMMANDLOG LEN large-request", ":1\r\n"));
    cr_assert(says(shards, "COMMANDLOG LEN large-reply", ":0\r\n"));
    argv[2] = SLICE("123");
    ran(shards, 0, argv, 3, 0, &shards->session, 100);
    cr_assert(says(shards, "COMMANDLOG LEN large-request", ":1\r\n"));
    cr_assert(says(shards, "COMMANDLOG GET -1 LARGE-REPLY",
                   "*1\r\n*6\r\n:0\r\n:1700000000\r\n:100\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n"
                   "$3\r\n123\r\n$13\r\n10.0.0.1:5000\r\n$0\r\n\r\n"));
    cr_assert(says(shards, "SLOWLOG LEN", ":0\r\n"));
    cr_assert(says(shards, "COMMANDLOG RESET large-reply", "+OK\r\n"));
    cr_assert(says(shards, "COMMANDLOG LEN large-reply", ":0\r\n"));
    cr_assert(says(shards, "COMMANDLOG LEN large-request", ":1\r\n"));
    logs_delete(shards);
}

/** The arguments of the newest slow command. */
static const char *
newest_arguments(struct shards *shards)
{
    const struct commandlog_entry *entry =
        shards->shards[0]->commandlog.lists[COMMANDLOG_SLOW].newest;
    static _Thread_local char text[8192];
    cr_assert(entry != NULL && entry->arguments_size < sizeof(text));
    memcpy(text, entry->arguments, entry->arguments_size);
    text[entry->arguments_size] = '\0';
    return text;
}

Test(commandlog, what_is_long_is_cut)
{
    struct shards *shards = logs_new(1);
    char value[200];
    memset(value, 'v', sizeof(value));
    struct slice argv[ARGUMENTS_MAX] = {SLICE("MSET"), SLICE("k"), slice_of(value, 128)};
    ran(shards, 0, argv, 3, 20000, &shards->session, 0);
    cr_assert_not_null(strstr(newest_arguments(shards), "$128\r\nvvv"));
    argv[2] = slice_of(value, 200);
    ran(shards, 0, argv, 3, 20000, &shards->session, 0);
    cr_assert_not_null(strstr(newest_arguments(shards), "vvv... (72 more bytes)\r\n"));
    for (uint32_t i = 1; i < ARGUMENTS_MAX; i++) {
        argv[i] = SLICE("x");
    }
    ran(shards, 0, argv, 32, 20000, &shards->session, 0);
    cr_assert_eq(strncmp(newest_arguments(shards), "*32\r\n", 5), 0);
    cr_assert_null(strstr(newest_arguments(shards), "more"));
    ran(shards, 0, argv, 40, 20000, &shards->session, 0);
    cr_assert_eq(strncmp(newest_arguments(shards), "*32\r\n", 5), 0);
    cr_assert_not_null(strstr(newest_arguments(shards), "... (9 more arguments)\r\n"));
    logs_delete(shards);
}

Test(commandlog, a_large_argument_that_is_gone_is_not_read)
{
    struct shards *shards = logs_new(1);
    size_t size = 100000;
    char *memory = malloc(size);
    memset(memory, 'v', size);
    struct view view = {.key = SLICE("k")};
    struct view *views[] = {&view};
    struct slice argv[] = {SLICE("SET"), SLICE("k"), slice_of(memory, size)};
    struct call call = {.argv = argv, .argc = 3, .shard = shards->shards[0]};
    call.command = command_resolve(shards->table, argv, 3);
    call.views = views;
    call.view_count = 1;
    view.value = value_string(argv[2], ENCODING_RAW);
    size_t shown_size;
    char *shown = commandlog_arguments(&call, &shown_size);
    cr_assert_not_null(memmem(shown, shown_size, "vvv... (99872 more bytes)", 25));
    heap_free(shown);
    free(memory);
    view.value = value_string(SLICE("other"), ENCODING_EMBSTR);
    shown = commandlog_arguments(&call, &shown_size);
    cr_assert_not_null(memmem(shown, shown_size, "\r\n... (100000 more bytes)", 25));
    heap_free(shown);
    logs_delete(shards);
}

Test(commandlog, secrets_stay_secret)
{
    static const struct {
        const char *line;
        const char *shown; /* '?' for what is hidden */
    } cases[] = {
        {"HELLO 3 AUTH a b", "HELLO 3 AUTH ? ?"},
        {"HELLO 3 SETNAME n AUTH a b", "HELLO 3 SETNAME n AUTH ? ?"},
        {"HELLO 3 SETNAME n", "HELLO 3 SETNAME n"},
        {"CONFIG SET requirepass a port 1", "CONFIG SET requirepass ? port 1"},
        {"config set port 1 MASTERAUTH a", "config set port 1 MASTERAUTH ?"},
        {"CONFIG GET requirepass", "CONFIG GET requirepass"},
        {"SET auth a", "SET auth a"},
    };
    struct shards *shards = logs_new(1);
    for (uint32_t i = 0; i < ARRAY_COUNT(cases); i++) {
        ran_line(shards, cases[i].line, 20000);
        char text[512] = "";
        const char *at = strchr(newest_arguments(shards), '\n') + 1;
        while (*at == '$') {
            at = strchr(at, '\n') + 1;
            size_t size = strcspn(at, "\r");
            bool is_hidden = size == 10 && memcmp(at, "(redacted)", 10) == 0;
            snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%.*s",
                     text[0] == '\0' ? "" : " ", is_hidden ? 1 : (int)size, is_hidden ? "?" : at);
            at += size + 2;
        }
        cr_expect_str_eq(text, cases[i].shown);
    }
    logs_delete(shards);
}

Test(commandlog, entries_of_other_cores_come_home)
{
    struct shards *shards = logs_new(2);
    struct slice argv[] = {SLICE("GET"), SLICE("far")};
    ran_line(shards, "GET before", 20000);
    ran(shards, 1, argv, 2, 20000, NULL, 0);
    struct commandlog_entry *batch = commandlog_take(shards->shards[1]);
    cr_assert_not_null(batch);
    cr_assert_null(commandlog_take(shards->shards[1]));
    argv[1] = SLICE("farther");
    ran(shards, 1, argv, 2, 20000, NULL, 0);
    batch = commandlog_join(commandlog_take(shards->shards[1]), batch);
    ran_line(shards, "GET after", 20000);
    cr_assert(says(shards, "SLOWLOG LEN", ":2\r\n"));
    commandlog_settle(shards->shards[0], batch, &shards->session);
    const char *reply = shards_line(shards, "SLOWLOG GET");
    const char *names[] = {"after", "farther", "far\r", "before"};
    for (uint32_t i = 0; i < ARRAY_COUNT(names); i++) {
        reply = strstr(reply, names[i]);
        cr_assert_not_null(reply, "%s is not in its place", names[i]);
        cr_assert_not_null(strstr(reply, "10.0.0.1:5000"));
    }
    logs_delete(shards);
}

Test(commandlog, an_entry_finds_its_client_or_has_none)
{
    struct shards *shards = logs_new(1);
    struct shard *shard = shards->shards[0];
    struct session other;
    session_create(&other, shard, 7, SHARDS_START_MS);
    session_addresses_set(&other, "10.0.0.7:7", "10.0.0.9:6379");
    struct slice argv[] = {SLICE("GET"), SLICE("k")};
    /* What runs while another's requests are started is not the other's. */
    shard->commandlog.client = &other;
    ran(shards, 0, argv, 2, 20000, NULL, 0);
    shard->commandlog.client = NULL;
    struct commandlog_entry *entries = commandlog_take(shard);
    cr_assert_not_null(entries);
    commandlog_settle(shard, entries, &other);
    cr_assert_not_null(strstr(shards_line(shards, "SLOWLOG GET 1"), "10.0.0.1:5000"));
    /* Nor is what came back when its client had gone. */
    ran(shards, 0, argv, 2, 20000, NULL, 0);
    entries = commandlog_take(shard);
    entries->session_id = 99;
    commandlog_settle(shard, entries, &other);
    cr_assert_not_null(strstr(shards_line(shards, "SLOWLOG GET 1"), "$1\r\nk\r\n$0\r\n\r\n$0\r\n"));
    session_destroy(&other);
    logs_delete(shards);
}

Test(commandlog, the_bound_lets_nothing_pass_unseen)
{
    struct shards *shards = logs_new(1);
    struct shard *shard = shards->shards[0];
    struct config *config = shards->config;
    /* A megabyte at 64 bytes a nanosecond. */
    cr_assert_eq(shard->commandlog.usual_ticks, (1 << 20) / 64);
    cr_assert(commandlog_wants(shard, 16384));
    cr_assert_not(commandlog_wants(shard, 16383));
    commandlog_arm(shard);
    cr_assert(commandlog_wants(shard, 0));
    commandlog_turn(shard);
    cr_assert_not(commandlog_wants(shard, 0));
    config->commandlog_request_larger_than = -1;
    config->commandlog_reply_larger_than = -1;
    commandlog_configure(shard);
    cr_assert_eq(shard->commandlog.usual_ticks, 10000000);
    config->latency_monitor_threshold_ms = 3;
    commandlog_configure(shard);
    cr_assert_eq(shard->commandlog.usual_ticks, 3000000);
    config->latency_monitor_threshold_ms = 0;
    config->slowlog_log_slower_than_us = -1;
    commandlog_configure(shard);
    cr_assert_eq(shard->commandlog.usual_ticks, UINT64_MAX);
    config->slowlog_log_slower_than_us = INT64_MAX;
    commandlog_configure(shard);
    cr_assert_eq(shard->commandlog.usual_ticks, UINT64_MAX);
    config->commandlog_reply_larger_than = 0;
    commandlog_configure(shard);
    cr_assert(commandlog_wants(shard, 0));
    logs_delete(shards);
}

/* ---- against a naive model: one list of numbers ---- */

#define MODEL_MAX 1000

struct model {
    uint64_t ids[MODEL_MAX]; /* oldest first */
    uint32_t count;
    uint64_t next;
};

static void
model_add(struct model *model, uint32_t max_len)
{
    model->ids[model->count++] = model->next++;
    uint32_t surplus = model->count > max_len ? model->count - max_len : 0;
    memmove(model->ids, model->ids + surplus, (model->count - surplus) * sizeof(model->ids[0]));
    model->count -= surplus;
}

static void
model_check(const struct model *model, struct shards *shards, uint32_t wanted, uint64_t seed)
{
    char line[64];
    snprintf(line, sizeof(line), ":%u\r\n", model->count);
    cr_assert(says(shards, "SLOWLOG LEN", line), "seed %" PRIu64, seed);
    snprintf(line, sizeof(line), "SLOWLOG GET %u", wanted);
    uint32_t count = MIN(wanted, model->count);
    const char *reply = shards_line(shards, line);
    cr_assert_eq(strtoul(reply + 1, NULL, 10), count, "seed %" PRIu64, seed);
    for (uint32_t i = 0; i < count; i++) {
        reply = strstr(reply, "*6\r\n:");
        cr_assert_not_null(reply, "seed %" PRIu64, seed);
        reply += 5;
        cr_assert_eq(strtoull(reply, NULL, 10), model->ids[model->count - 1 - i], "seed %" PRIu64,
                     seed);
    }
}

Test(commandlog, cores_together_are_one_log)
{
    uint64_t seed = random_system_seed();
    struct random random;
    random_create(&random, seed);
    for (uint32_t round = 0; round < 20; round++) {
        struct shards *shards = logs_new(1 + (uint32_t)random_below(&random, 5));
        struct model model = {.count = 0};
        uint32_t max_len = 128;
        struct slice argv[] = {SLICE("PING")};
        for (uint32_t step = 0; step < 600; step++) {
            uint64_t draw = random_below(&random, 100);
            uint32_t index = (uint32_t)random_below(&random, shards->count);
            if (draw < 80) {
                struct session *client = draw < 60 ? &shards->session : NULL;
                ran(shards, index, argv, 1, 10000, client, 0);
                model_add(&model, max_len);
                struct commandlog_entry *entries = commandlog_take(shards->shards[index]);
                commandlog_settle(shards->shards[0], entries, &shards->session);
            } else if (draw < 90) {
                max_len = (uint32_t)random_below(&random, 10) * (uint32_t)random_below(&random, 9);
                shards->config->slowlog_max_len = max_len;
            } else if (draw < 91) {
                shards_line(shards, "SLOWLOG RESET");
                model.count = 0;
            } else {
                model_check(&model, shards, (uint32_t)random_below(&random, 150), seed);
            }
        }
        logs_delete(shards);
    }
}
