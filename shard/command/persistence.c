/*
 * persistence.c: SAVE, BGSAVE, LASTSAVE, BGREWRITEAOF, SHUTDOWN, and what DEBUG reloads.
 * All of them are shard 0's affair; the other shards' parts do nothing.
 */
#include "shard/command/persistence.h"

#include "core/heap.h"
#include "shard/call.h"
#include "shard/command/families.h"
#include "shard/persistence.h"

#include <string.h>

/** What shard 0 answers: part->data an error's text, or part->number. */
enum answer {
    ANSWER_OK,
    ANSWER_SCHEDULED,
};

static void
part_fail(struct part *part, const char *error)
{
    if (error != NULL) {
        part->data = heap_alloc(strlen(error) + 1);
        memcpy(part->data, error, strlen(error) + 1);
    }
}

/** The part is answered later, unless there is an error now. */
static void
part_wait(struct part *part, const char *error)
{
    part_fail(part, error);
    part->is_put_off = error == NULL;
}

/** The error of shard 0's part has been replied. */
static bool
has_error(struct call *call)
{
    const char *error = call->parts[0].data;
    if (error != NULL) {
        reply_error(call->reply, error);
    }
    return error != NULL;
}

/** In MULTI redis-server puts off what it would fork for, and says so. */
static bool
is_put_off(const struct call *call)
{
    return call->parts[0].number == ANSWER_SCHEDULED || (call->flags & CALL_IN_MULTI) != 0;
}

static void
ok_run(struct call *call)
{
    if (!has_error(call)) {
        reply_ok(call->reply);
    }
}

/* ---- SAVE, BGSAVE, LASTSAVE ---- */

static void
save_part(struct part *part)
{
    if (part->shard->persistence != NULL) {
        part_wait(part, persistence_save(part->shard->persistence, part));
    }
}

static bool
bgsave_check(struct call *call)
{
    if (call->argc == 1 || (call->argc == 2 && slice_is_word(call->argv[1], "schedule"))) {
        return true;
    }
    call_syntax_error(call);
    return false;
}

static void
bgsave_part(struct part *part)
{
    bool is_scheduled = false;
    if (part->shard->persistence != NULL) {
        part_fail(part, persistence_background_save(part->shard->persistence, part->argc > 1,
                                                    &is_scheduled));
        part->number = is_scheduled ? ANSWER_SCHEDULED : ANSWER_OK;
    }
}

static void
bgsave_run(struct call *call)
{
    if (has_error(call)) {
        return;
    }
    bool is_scheduled = is_put_off(call);
    reply_simple(call->reply,
                 is_scheduled ? "Background saving scheduled" : "Background saving started");
}

static void
lastsave_part(struct part *part)
{
    if (part->shard->persistence != NULL) {
        part->number = persistence_last_save_s(part->shard->persistence);
    }
}

static void
lastsave_run(struct call *call)
{
    reply_i64(call->reply, call->parts[0].number);
}

/* ---- BGREWRITEAOF ---- */

static void
bgrewriteaof_part(struct part *part)
{
    bool is_scheduled = false;
    if (part->shard->persistence != NULL) {
        part_fail(part, persistence_rewrite(part->shard->persistence, &is_scheduled));
        part->number = is_scheduled ? ANSWER_SCHEDULED : ANSWER_OK;
    }
}

static void
bgrewriteaof_run(struct call *call)
{
    if (has_error(call)) {
        return;
    }
    bool is_scheduled = is_put_off(call);
    reply_simple(call->reply, is_scheduled ? "Background append only file rewriting scheduled"
                                           : "Background append only file rewriting started");
}

/* ---- SHUTDOWN ---- */

/** The options as flags. False: they contradict each other, or one is unknown. */
static bool
shutdown_parse(const struct slice *argv, uint32_t argc, uint32_t *flags, bool *is_abort)
{
    *flags = 0;
    *is_abort = false;
    for (uint32_t i = 1; i < argc; i++) {
        if (slice_is_word(argv[i], "nosave")) {
            *flags |= SHUTDOWN_NOSAVE;
        } else if (slice_is_word(argv[i], "save")) {
            *flags |= SHUTDOWN_SAVE;
        } else if (slice_is_word(argv[i], "now")) {
            *flags |= SHUTDOWN_NOW;
        } else if (slice_is_word(argv[i], "force")) {
            *flags |= SHUTDOWN_FORCE;
        } else if (slice_is_word(argv[i], "abort")) {
            *is_abort = true;
        } else {
            return false;
        }
    }
    bool is_both = (*flags & SHUTDOWN_NOSAVE) != 0 && (*flags & SHUTDOWN_SAVE) != 0;
    return !is_both && !(*is_abort && *flags != 0);
}

static bool
shutdown_check(struct call *call)
{
    uint32_t flags;
    bool is_abort;
    if (!shutdown_parse(call->argv, call->argc, &flags, &is_abort)) {
        call_syntax_error(call);
        return false;
    }
    return true;
}

static void
shutdown_part(struct part *part)
{
    uint32_t flags;
    bool is_abort;
    struct persistence *persistence = part->shard->persistence;
    if (persistence == NULL || !shutdown_parse(part->argv, part->argc, &flags, &is_abort)) {
        return;
    }
    if (is_abort) {
        part_fail(part, persistence_shutdown_abort(persistence));
    } else {
        part_wait(part, persistence_shutdown_part(persistence, part, flags));
    }
}

/* ---- DEBUG RELOAD, DEBUG LOADAOF ---- */

static bool
reload_option(struct slice word, const char *name, bool *is_set)
{
    if (slice_is_word(word, name)) {
        *is_set = true;
        return true;
    }
    return false;
}

bool
debug_reload_check(struct call *call)
{
    bool is_set;
    for (uint32_t i = 2; i < call->argc; i++) {
        if (!reload_option(call->argv[i], "merge", &is_set) &&
            !reload_option(call->argv[i], "noflush", &is_set) &&
            !reload_option(call->argv[i], "nosave", &is_set)) {
            reply_error(call->reply, "ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE "
                                     "options.");
            return false;
        }
    }
    return true;
}

void
debug_reload_part(struct part *part)
{
    bool is_merge = false;
    bool is_kept = false;
    bool is_unsaved = false;
    for (uint32_t i = 2; i < part->argc; i++) {
        (void)(reload_option(part->argv[i], "merge", &is_merge) ||
               reload_option(part->argv[i], "noflush", &is_kept) ||
               reload_option(part->argv[i], "nosave", &is_unsaved));
    }
    if (part->shard->persistence != NULL) {
        part_wait(part, persistence_reload(part->shard->persistence, part, !is_unsaved, !is_kept,
                                           is_merge));
    }
}

void
debug_loadaof_part(struct part *part)
{
    if (part->shard->persistence != NULL) {
        part_wait(part, persistence_load_log(part->shard->persistence, part));
    }
}

void
debug_reload_run(struct call *call)
{
    ok_run(call);
}

/* ---- rows ---- */

static const struct command_argument shutdown_arguments_nosave_save[] = {
    {.kind = ARGUMENT_PURE_TOKEN, .name = "nosave", .token = "NOSAVE"},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "save", .token = "SAVE"},
    {.kind = ARGUMENT_END},
};

static const struct command_argument shutdown_arguments[] = {
    {.kind = ARGUMENT_ONEOF,
     .name = "nosave_save",
     .is_optional = true,
     .arguments = shutdown_arguments_nosave_save},
    {.kind = ARGUMENT_PURE_TOKEN,
     .name = "now",
     .token = "NOW",
     .since = "7.0.0",
     .is_optional = true},
    {.kind = ARGUMENT_PURE_TOKEN,
     .name = "force",
     .token = "FORCE",
     .since = "7.0.0",
     .is_optional = true},
    {.kind = ARGUMENT_PURE_TOKEN,
     .name = "abort",
     .token = "ABORT",
     .since = "7.0.0",
     .is_optional = true},
    {.kind = ARGUMENT_END},
};

static const struct command_history shutdown_history[] = {
    {"7.0.0", "Takes `NOW`, `FORCE` and `ABORT`."},
    {NULL, NULL},
};

static const struct command_argument bgsave_arguments[] = {
    {.kind = ARGUMENT_PURE_TOKEN,
     .name = "schedule",
     .token = "SCHEDULE",
     .since = "3.2.2",
     .is_optional = true},
    {.kind = ARGUMENT_END},
};

static const struct command_history bgsave_history[] = {
    {"3.2.2", "Takes `SCHEDULE`."},
    {NULL, NULL},
};

static const char *const lastsave_tips[] = {"nondeterministic_output", NULL};

static const struct command persistence_commands[] = {
    {
        .name = "save",
        .run = ok_run,
        .part = save_part,
        .scope = SCOPE_ALL,
        .flags = CMD_ADMIN | CMD_NOSCRIPT | CMD_NO_ASYNC_LOADING | CMD_NO_MULTI,
        .arity = 1,
        .group = GROUP_SERVER,
        .since = "1.0.0",
        .complexity = "O(N) with N keys",
        .summary = "Writes a snapshot and answers when it is on disk; others go on meanwhile.",
    },
    {
        .name = "bgsave",
        .run = bgsave_run,
        .part = bgsave_part,
        .check = bgsave_check,
        .scope = SCOPE_ALL,
        .flags = CMD_ADMIN | CMD_NOSCRIPT | CMD_NO_ASYNC_LOADING,
        .arity = -1,
        .group = GROUP_SERVER,
        .since = "1.0.0",
        .complexity = "O(1)",
        .summary = "Begins to write a snapshot.",
        .history = bgsave_history,
        .arguments = bgsave_arguments,
    },
    {
        .name = "lastsave",
        .run = lastsave_run,
        .part = lastsave_part,
        .scope = SCOPE_ALL,
        .flags = CMD_LOADING | CMD_STALE | CMD_FAST,
        .arity = 1,
        .group = GROUP_SERVER,
        .categories = ACL_ADMIN | ACL_DANGEROUS,
        .since = "1.0.0",
        .complexity = "O(1)",
        .summary = "Tells when the last good snapshot was written.",
        .tips = lastsave_tips,
    },
    {
        .name = "bgrewriteaof",
        .run = bgrewriteaof_run,
        .part = bgrewriteaof_part,
        .scope = SCOPE_ALL,
        .flags = CMD_ADMIN | CMD_NOSCRIPT | CMD_NO_ASYNC_LOADING,
        .arity = 1,
        .group = GROUP_SERVER,
        .since = "1.0.0",
        .complexity = "O(1)",
        .summary = "Begins to write the append-only file anew, as short as it can be.",
    },
    {
        .name = "shutdown",
        .run = ok_run,
        .part = shutdown_part,
        .check = shutdown_check,
        .scope = SCOPE_ALL,
        .flags = CMD_ADMIN | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE | CMD_NO_MULTI | CMD_ALLOW_BUSY,
        .arity = -1,
        .group = GROUP_SERVER,
        .since = "1.0.0",
        .complexity = "O(N) with N keys when it saves, else O(1)",
        .summary = "Ends the server.",
        .history = shutdown_history,
        .arguments = shutdown_arguments,
    },
};

const struct command_family persistence_family = {
    .commands = persistence_commands,
    .count = ARRAY_COUNT(persistence_commands),
};
