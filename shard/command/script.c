/*
 * script.c: scripts and functions, as far as a server can answer for them that runs none: EVAL and
 * its kin, SCRIPT, FCALL, FUNCTION.
 *
 * There is no interpreter. What only says what there is, or takes it away, has a true answer all
 * the same, and gives redis-server's: no script is cached (SCRIPT EXISTS, EVALSHA), none runs
 * (KILL), there is nothing to flush. What would have to run or compile code is refused with
 * not_supported, never with the error of an unknown command: clients take that as another version.
 *
 * Libraries of functions do exist: those that files brought are kept as texts, to be written again
 * (persist/libraries.h). They lie on shard 0, so each FUNCTION that concerns them asks all shards,
 * and the others' parts do nothing:
 *
 *     LIST, DUMP, STATS            shard 0: [text][text]  ->  reply
 *     FLUSH, DELETE, RESTORE       shard 0: changes them, and tells its log of it
 *
 * LIST knows a library's name and engine, which its first line says, but no function of it: they
 * come from running it. RESTORE takes a payload without libraries, which is what a server without
 * any dumps.
 *
 * None of this runs for a log that is loaded: the load carries out FUNCTION with the texts alone,
 * also what is refused here, and refuses EVAL and its kin (shard/loader_aof.c).
 *
 * Invariant: what changes the libraries is an effect in shard 0's journal, once.
 */
#include "core/glob.h"
#include "core/heap.h"
#include "persist/crc64.h"
#include "persist/libraries.h"
#include "shard/call.h"
#include "shard/command/families.h"
#include "shard/effect.h"
#include "shard/persistence_internal.h"

#define NAME_SHOWN_MAX 128
/** Hexadecimal digits of SHA-1: nothing else names a script. */
#define SCRIPT_NAME_SIZE 40
#define ENGINE_SIZE_MAX 32

static const char *const not_supported = "ERR scripts and functions are not supported yet";
static const char *const none_runs = "NOTBUSY No scripts in execution right now.";

/** A subcommand that is there, with more arguments than it takes. */
static void
subcommand_arity_error(struct call *call, const char *container)
{
    struct slice name = call->argv[1];
    reply_error_format(call->reply,
                       "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try %s "
                       "HELP.",
                       (int)MIN(name.size, (size_t)NAME_SHOWN_MAX), name.data, container);
}

static bool
is_flush_mode(struct slice word)
{
    return slice_is_word(word, "sync") || slice_is_word(word, "async");
}

static void
unsupported_run(struct call *call)
{
    reply_error(call->reply, not_supported);
}

static void
kill_run(struct call *call)
{
    reply_error(call->reply, none_runs);
}

/* ---- EVAL, EVALSHA, FCALL ---- */

/** The number of keys, as EVAL looks at it before it looks at the script. Replies the error. */
static bool
eval_check_keys(struct call *call)
{
    int64_t key_count;
    if (!call_integer(call, 2, &key_count, NULL)) {
        return false;
    }
    if (key_count > (int64_t)call->argc - 3) {
        reply_error(call->reply, "ERR Number of keys can't be greater than number of args");
        return false;
    }
    if (key_count < 0) {
        reply_error(call->reply, "ERR Number of keys can't be negative");
        return false;
    }
    return true;
}

static void
eval_run(struct call *call)
{
    if (eval_check_keys(call)) {
        unsupported_run(call);
    }
}

static void
evalsha_run(struct call *call)
{
    if (call->argv[1].size != SCRIPT_NAME_SIZE || eval_check_keys(call)) {
        reply_error(call->reply, "NOSCRIPT No matching script. Please use EVAL.");
    }
}

/** Also of a function in a library that is kept: nobody knows which ones those have. */
static void
fcall_run(struct call *call)
{
    reply_error(call->reply, "ERR Function not found");
}

/* ---- SCRIPT ---- */

static void
script_flush_run(struct call *call)
{
    if (call->argc == 2 || (call->argc == 3 && is_flush_mode(call->argv[2]))) {
        reply_ok(call->reply);
    } else {
        reply_error(call->reply, "ERR SCRIPT FLUSH only support SYNC|ASYNC option");
    }
}

static void
script_exists_run(struct call *call)
{
    reply_array(call->reply, call->argc - 2);
    for (uint32_t i = 2; i < call->argc; i++) {
        reply_i64(call->reply, 0);
    }
}

static void
script_debug_run(struct call *call)
{
    struct slice mode = call->argv[2];
    if (slice_is_word(mode, "no")) {
        reply_ok(call->reply);
    } else if (slice_is_word(mode, "yes") || slice_is_word(mode, "sync")) {
        unsupported_run(call);
    } else {
        reply_error(call->reply, "ERR Use SCRIPT DEBUG YES/SYNC/NO");
    }
}

static void
script_help_run(struct call *call)
{
    static const char *const lines[] = {
        "DEBUG <YES|SYNC|NO>",
        "    There is no debugger: NO is accepted.",
        "EXISTS <sha1> [<sha1> ...]",
        "    Whether scripts are cached: none is.",
        "FLUSH [ASYNC|SYNC]",
        "    Forget all cached scripts.",
        "KILL",
        "    End the script that runs: none does.",
        "LOAD <script>",
        "    Not supported yet.",
        NULL,
    };
    reply_help(call->reply, "SCRIPT", lines);
}

/* ---- libraries, on shard 0 ---- */

/** NULL: not this shard's affair, or there is nobody who keeps any. */
static struct libraries *
kept_libraries(const struct shard *shard)
{
    return shard->persistence == NULL ? NULL : &shard->persistence->libraries;
}

static void
part_fail(struct part *part, const char *error)
{
    part->data = heap_alloc(strlen(error) + 1);
    memcpy(part->data, error, strlen(error) + 1);
}

/** A file that is being begun has taken the libraries, and begins at a point of the log that is
 * still to come: a change now would be in neither. */
static bool
is_file_begun(const struct shard *shard)
{
    return shard->persistence != NULL && shard->persistence->save.state == SAVE_CUTTING;
}

/** FLUSH, DELETE, RESTORE. */
static void
change_part(struct part *part)
{
    struct shard *shard = part->shard;
    struct libraries none = {0};
    struct libraries *libraries = kept_libraries(shard);
    if (shard->index != 0) {
        return;
    }
    libraries = libraries == NULL ? &none : libraries;
    uint32_t count = libraries->count;
    if (count > 0 && is_file_begun(shard)) {
        part_fail(part, "ERR a snapshot is just being begun: try again");
        return;
    }
    const char *error = libraries_apply(libraries, part->argv, part->argc);
    if (error != NULL) {
        part_fail(part, error);
    } else if (libraries->count != count) {
        shard->change_count++;
        if (part->effects != NULL) {
            effects_append(part->effects, part->db, 0, part->argv, part->argc);
        }
    }
    libraries_clear(&none);
}

static void
change_run(struct call *call)
{
    for (uint32_t i = 0; i < call->part_count; i++) {
        if (call->parts[i].data != NULL) {
            reply_error(call->reply, call->parts[i].data);
            return;
        }
    }
    reply_ok(call->reply);
}

/** How many there are. */
static void
count_part(struct part *part)
{
    const struct libraries *libraries = kept_libraries(part->shard);
    part->number = libraries == NULL ? 0 : libraries->count;
}

/* ---- FUNCTION ---- */

static void
function_load_run(struct call *call)
{
    bool is_replacing = slice_is_word(call->argv[2], "replace");
    if (call->argc > 4 || (call->argc == 4 && !is_replacing)) {
        struct slice word = is_replacing ? call->argv[3] : call->argv[2];
        reply_error_format(call->reply, "ERR Unknown option given: %.*s",
                           (int)MIN(word.size, (size_t)NAME_SHOWN_MAX), word.data);
    } else {
        unsupported_run(call);
    }
}

static bool
function_flush_check(struct call *call)
{
    if (call->argc > 3) {
        subcommand_arity_error(call, "FUNCTION");
        return false;
    }
    if (call->argc == 3 && !is_flush_mode(call->argv[2])) {
        reply_error(call->reply, "ERR FUNCTION FLUSH only supports SYNC|ASYNC option");
        return false;
    }
    return true;
}

static bool
function_restore_check(struct call *call)
{
    if (call->argc > 4) {
        subcommand_arity_error(call, "FUNCTION");
        return false;
    }
    if (call->argc == 4 && !slice_is_word(call->argv[3], "flush") &&
        !slice_is_word(call->argv[3], "append") && !slice_is_word(call->argv[3], "replace")) {
        reply_error(call->reply, "ERR Wrong restore policy given, value should be either FLUSH, "
                                 "APPEND or REPLACE.");
        return false;
    }
    struct libraries found = {0};
    const char *error = libraries_apply(&found, call->argv, call->argc);
    if (error == NULL && found.count > 0) {
        error = not_supported;
    }
    libraries_clear(&found);
    if (error != NULL) {
        reply_error(call->reply, error);
    }
    return error == NULL;
}

/** FUNCTION DUMP: records, version, checksum. */
static void
function_dump_part(struct part *part)
{
    const struct libraries *libraries = kept_libraries(part->shard);
    struct rdb_writer writer;
    if (part->shard->index != 0) {
        return;
    }
    rdb_writer_create(&writer, part->shard->config->rdbcompression);
    if (libraries != NULL) {
        libraries_write_records(libraries, &writer);
    }
    rdb_write_u16(&writer, RDB_VERSION);
    rdb_write_u64(&writer, crc64_update(0, rdb_writer_bytes(&writer)));
    reply_bulk(&part->reply, rdb_writer_bytes(&writer));
    rdb_writer_destroy(&writer);
}

/** What shard 0's part has written is the reply. */
static void
part_reply_run(struct call *call)
{
    const struct output *bytes = &call->parts[0].bytes;
    char *text = output_flatten(bytes);
    reply_raw(call->reply, slice_of(text, bytes->byte_count));
    heap_free(text);
}

/* ---- FUNCTION LIST ---- */

struct list_options {
    struct slice pattern;
    bool has_pattern;
    bool is_with_code;
};

/** Of arguments that are wrong it returns the first one's place, else argc. */
static uint32_t
list_parse(const struct slice *argv, uint32_t argc, struct list_options *options)
{
    *options = (struct list_options){0};
    for (uint32_t i = 2; i < argc; i++) {
        if (!options->is_with_code && slice_is_word(argv[i], "withcode")) {
            options->is_with_code = true;
        } else if (!options->has_pattern && slice_is_word(argv[i], "libraryname") && i + 1 < argc) {
            options->pattern = argv[++i];
            options->has_pattern = true;
        } else {
            return i;
        }
    }
    return argc;
}

static bool
function_list_check(struct call *call)
{
    struct list_options options;
    uint32_t at = list_parse(call->argv, call->argc, &options);
    if (at == call->argc) {
        return true;
    }
    struct slice word = call->argv[at];
    if (!options.has_pattern && slice_is_word(word, "libraryname")) {
        reply_error(call->reply, "ERR library name argument was not given");
    } else {
        reply_error_format(call->reply, "ERR Unknown argument %.*s",
                           (int)MIN(word.size, (size_t)NAME_SHOWN_MAX), word.data);
    }
    return false;
}

/** The word behind "#!", in capitals as redis-server knows its engines. */
static struct slice
library_engine(struct slice code, char name[ENGINE_SIZE_MAX])
{
    size_t size = 0;
    if (code.size < 2 || memcmp(code.data, "#!", 2) != 0) {
        return SLICE("");
    }
    while (size < ENGINE_SIZE_MAX && size + 2 < code.size && code.data[size + 2] > ' ') {
        char c = code.data[size + 2];
        name[size++] = c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
    }
    return slice_of(name, size);
}

static void
function_list_part(struct part *part)
{
    const struct libraries *libraries = kept_libraries(part->shard);
    struct list_options options;
    struct reply *reply = &part->reply;
    if (part->shard->index != 0) {
        return;
    }
    uint32_t at = list_parse(part->argv, part->argc, &options);
    ASSERT(at == part->argc); /* function_list_check() */
    struct reply_later later = reply_later(reply);
    uint64_t count = 0;
    for (uint32_t i = 0; libraries != NULL && i < libraries->count; i++) {
        const struct library *library = &libraries->items[i];
        char engine[ENGINE_SIZE_MAX];
        if (options.has_pattern && !glob_match(options.pattern, library->name, true)) {
            continue;
        }
        count++;
        reply_map(reply, options.is_with_code ? 4 : 3);
        reply_bulk_string(reply, "library_name");
        reply_bulk(reply, library->name);
        reply_bulk_string(reply, "engine");
        reply_bulk(reply, library_engine(library->code, engine));
        reply_bulk_string(reply, "functions");
        reply_array(reply, 0);
        if (options.is_with_code) {
            reply_bulk_string(reply, "library_code");
            reply_bulk(reply, library->code);
        }
    }
    reply_later_array(reply, later, count);
}

/* ---- FUNCTION STATS, HELP ---- */

static void
function_stats_run(struct call *call)
{
    struct reply *reply = call->reply;
    reply_map(reply, 2);
    reply_bulk_string(reply, "running_script");
    reply_null(reply);
    reply_bulk_string(reply, "engines");
    reply_map(reply, 1);
    reply_bulk_string(reply, "LUA");
    reply_map(reply, 2);
    reply_bulk_string(reply, "libraries_count");
    reply_i64(reply, call->parts[0].number);
    reply_bulk_string(reply, "functions_count");
    reply_i64(reply, 0);
}

static void
function_help_run(struct call *call)
{
    static const char *const lines[] = {
        "DELETE <library name>",
        "    Forget a library that a file brought.",
        "DUMP",
        "    All libraries as bytes, for FUNCTION RESTORE of a server that runs them.",
        "FLUSH [ASYNC|SYNC]",
        "    Forget all libraries.",
        "KILL",
        "    End the function that runs: none does.",
        "LIST [LIBRARYNAME <pattern>] [WITHCODE]",
        "    The libraries that files brought. They are kept but not run, so that their functions",
        "    are not known.",
        "LOAD [REPLACE] <code>",
        "    Not supported yet.",
        "RESTORE <payload> [FLUSH|APPEND|REPLACE]",
        "    Not supported yet, but for a payload without libraries.",
        "STATS",
        "    How many libraries there are; no function runs.",
        NULL,
    };
    reply_help(call->reply, "FUNCTION", lines);
}

/* ---- rows ---- */

#define EVAL_NOTES_RW "A script may do anything with its keys: they count as read and changed."
#define EVAL_NOTES_RO "A script may read any of its keys."

#define EVAL_ARGUMENTS(what)                                                                       \
    {.kind = ARGUMENT_STRING, .name = (what)}, {.kind = ARGUMENT_INTEGER, .name = "numkeys"},      \
        {.kind = ARGUMENT_KEY, .name = "key", .is_optional = true, .is_multiple = true},           \
        {.kind = ARGUMENT_STRING, .name = "arg", .is_optional = true, .is_multiple = true},        \
    {                                                                                              \
        .kind = ARGUMENT_END                                                                       \
    }

static const struct command_argument eval_arguments[] = {EVAL_ARGUMENTS("script")};
static const struct command_argument evalsha_arguments[] = {EVAL_ARGUMENTS("sha1")};
static const struct command_argument fcall_arguments[] = {EVAL_ARGUMENTS("function")};

static const struct command_argument mode_arguments[] = {
    {.kind = ARGUMENT_PURE_TOKEN, .name = "async", .token = "ASYNC"},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "sync", .token = "SYNC"},
    {.kind = ARGUMENT_END},
};
static const struct command_argument function_flush_arguments[] = {
    {.kind = ARGUMENT_ONEOF, .name = "async", .is_optional = true, .arguments = mode_arguments},
    {.kind = ARGUMENT_END},
};
static const struct command_argument script_flush_arguments[] = {
    {.kind = ARGUMENT_ONEOF,
     .name = "async",
     .since = "6.2.0",
     .is_optional = true,
     .arguments = mode_arguments},
    {.kind = ARGUMENT_END},
};
static const struct command_history script_flush_history[] = {
    {"6.2.0", "Takes `ASYNC` and `SYNC`."},
    {NULL, NULL},
};
static const struct command_argument script_exists_arguments[] = {
    {.kind = ARGUMENT_STRING, .name = "sha1", .is_multiple = true},
    {.kind = ARGUMENT_END},
};
static const struct command_argument script_load_arguments[] = {
    {.kind = ARGUMENT_STRING, .name = "script"},
    {.kind = ARGUMENT_END},
};
static const struct command_argument debug_mode_arguments[] = {
    {.kind = ARGUMENT_PURE_TOKEN, .name = "yes", .token = "YES"},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "sync", .token = "SYNC"},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "no", .token = "NO"},
    {.kind = ARGUMENT_END},
};
static const struct command_argument script_debug_arguments[] = {
    {.kind = ARGUMENT_ONEOF, .name = "mode", .arguments = debug_mode_arguments},
    {.kind = ARGUMENT_END},
};
static const struct command_argument function_load_arguments[] = {
    {.kind = ARGUMENT_PURE_TOKEN, .name = "replace", .token = "REPLACE", .is_optional = true},
    {.kind = ARGUMENT_STRING, .name = "function-code"},
    {.kind = ARGUMENT_END},
};
static const struct command_argument function_delete_arguments[] = {
    {.kind = ARGUMENT_STRING, .name = "library-name"},
    {.kind = ARGUMENT_END},
};
static const struct command_argument function_list_arguments[] = {
    {.kind = ARGUMENT_STRING,
     .name = "library-name-pattern",
     .token = "LIBRARYNAME",
     .is_optional = true},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "withcode", .token = "WITHCODE", .is_optional = true},
    {.kind = ARGUMENT_END},
};
static const struct command_argument policy_arguments[] = {
    {.kind = ARGUMENT_PURE_TOKEN, .name = "flush", .token = "FLUSH"},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "append", .token = "APPEND"},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "replace", .token = "REPLACE"},
    {.kind = ARGUMENT_END},
};
static const struct command_argument function_restore_arguments[] = {
    {.kind = ARGUMENT_STRING, .name = "serialized-value"},
    {.kind = ARGUMENT_ONEOF, .name = "policy", .is_optional = true, .arguments = policy_arguments},
    {.kind = ARGUMENT_END},
};

static const char *const all_shards_tips[] = {"request_policy:all_shards",
                                              "response_policy:all_succeeded", NULL};
static const char *const all_nodes_tips[] = {"request_policy:all_nodes",
                                             "response_policy:all_succeeded", NULL};
static const char *const kill_tips[] = {"request_policy:all_shards",
                                        "response_policy:one_succeeded", NULL};
static const char *const exists_tips[] = {"request_policy:all_shards",
                                          "response_policy:agg_logical_and", NULL};
static const char *const list_tips[] = {"nondeterministic_output_order", NULL};
static const char *const stats_tips[] = {"nondeterministic_output", "request_policy:all_shards",
                                         "response_policy:special", NULL};

#define EVAL_FLAGS                                                                                 \
    (CMD_NOSCRIPT | CMD_STALE | CMD_SKIP_MONITOR | CMD_NO_MANDATORY_KEYS | CMD_MOVABLE_KEYS)
#define EVAL_RW (KEY_RW | KEY_ACCESS | KEY_UPDATE)
#define EVAL_RO (KEY_RO | KEY_ACCESS)

#define EVAL_KEYS(key_flags, key_notes)                                                            \
    .key_specs = {{.flags = (key_flags),                                                           \
                   .notes = (key_notes),                                                           \
                   .begin = KEYS_BEGIN_INDEX,                                                      \
                   .begin_index = 2,                                                               \
                   .find = KEYS_FIND_KEYNUM,                                                       \
                   .step = 1,                                                                      \
                   .keynum_first = 1}},                                                            \
    .key_spec_count = 1

#define EVAL_ROW(name_, run_, since_, arguments_, summary_)                                        \
    .name = (name_), .run = (run_), .arity = -3, .scope = SCOPE_KEYS, .group = GROUP_SCRIPTING,    \
    .since = (since_), .complexity = "O(1), as nothing runs", .summary = (summary_),               \
    .arguments = (arguments_)

#define SCRIPT_ROW(name_, run_, arity_, flags_, since_, complexity_, summary_)                     \
    .name = (name_), .parent = "script", .run = (run_), .arity = (arity_), .flags = (flags_),      \
    .scope = SCOPE_LOCAL, .group = GROUP_SCRIPTING, .since = (since_),                             \
    .complexity = (complexity_), .summary = (summary_)

static const struct command script_subcommands[] = {
    {SCRIPT_ROW("debug", script_debug_run, 3, CMD_NOSCRIPT, "3.2.0", "O(1)",
                "Takes NO: there is no debugger."),
     .arguments = script_debug_arguments},
    {SCRIPT_ROW("exists", script_exists_run, -3, CMD_NOSCRIPT, "2.6.0", "O(N) with N scripts",
                "Tells which scripts are cached: none is."),
     .tips = exists_tips, .arguments = script_exists_arguments},
    {SCRIPT_ROW("flush", script_flush_run, -2, CMD_NOSCRIPT, "2.6.0", "O(1)",
                "Forgets all cached scripts."),
     .history = script_flush_history, .tips = all_nodes_tips, .arguments = script_flush_arguments},
    {SCRIPT_ROW("help", script_help_run, 2, CMD_LOADING | CMD_STALE, "5.0.0", "O(1)",
                "Lists what SCRIPT can do.")},
    {SCRIPT_ROW("kill", kill_run, 2, CMD_NOSCRIPT | CMD_ALLOW_BUSY, "2.6.0", "O(1)",
                "Ends the script that runs: none does."),
     .tips = kill_tips},
    {SCRIPT_ROW("load", unsupported_run, 3, CMD_NOSCRIPT | CMD_STALE, "2.6.0", "O(1)",
                "Caches a script: not supported yet."),
     .tips = all_nodes_tips, .arguments = script_load_arguments},
};

#define FUNCTION_ROW(name_, run_, arity_, flags_, complexity_, summary_)                           \
    .name = (name_), .parent = "function", .run = (run_), .arity = (arity_), .flags = (flags_),    \
    .group = GROUP_SCRIPTING, .since = "7.0.0", .complexity = (complexity_), .summary = (summary_)

#define FUNCTION_CHANGE (CMD_WRITE | CMD_NOSCRIPT)

static const struct command function_subcommands[] = {
    {FUNCTION_ROW("delete", change_run, 3, FUNCTION_CHANGE, "O(N) with N libraries",
                  "Forgets a library."),
     .scope = SCOPE_ALL, .part = change_part, .tips = all_shards_tips,
     .arguments = function_delete_arguments},
    {FUNCTION_ROW("dump", part_reply_run, 2, CMD_NOSCRIPT, "O(N) with N libraries",
                  "Answers all libraries as bytes."),
     .scope = SCOPE_ALL, .part = function_dump_part},
    {FUNCTION_ROW("flush", change_run, -2, FUNCTION_CHANGE, "O(N) with N libraries",
                  "Forgets all libraries."),
     .scope = SCOPE_ALL, .part = change_part, .check = function_flush_check,
     .tips = all_shards_tips, .arguments = function_flush_arguments},
    {FUNCTION_ROW("help", function_help_run, 2, CMD_LOADING | CMD_STALE, "O(1)",
                  "Lists what FUNCTION can do."),
     .scope = SCOPE_LOCAL},
    {FUNCTION_ROW("kill", kill_run, 2, CMD_NOSCRIPT | CMD_ALLOW_BUSY, "O(1)",
                  "Ends the function that runs: none does."),
     .scope = SCOPE_LOCAL, .tips = kill_tips},
    {FUNCTION_ROW("list", part_reply_run, -2, CMD_NOSCRIPT, "O(N) with N libraries",
                  "Lists the libraries, which are kept but do not run."),
     .scope = SCOPE_ALL, .part = function_list_part, .check = function_list_check,
     .tips = list_tips, .arguments = function_list_arguments},
    {FUNCTION_ROW("load", function_load_run, -3, FUNCTION_CHANGE | CMD_DENYOOM, "O(1)",
                  "Makes a library of functions: not supported yet."),
     .scope = SCOPE_LOCAL, .tips = all_shards_tips, .arguments = function_load_arguments},
    {FUNCTION_ROW("restore", change_run, -3, FUNCTION_CHANGE | CMD_DENYOOM, "O(1)",
                  "Takes what FUNCTION DUMP answered, if there is no library in it."),
     .scope = SCOPE_ALL, .part = change_part, .check = function_restore_check,
     .tips = all_shards_tips, .arguments = function_restore_arguments},
    {FUNCTION_ROW("stats", function_stats_run, 2, CMD_NOSCRIPT | CMD_ALLOW_BUSY, "O(1)",
                  "Tells how many libraries there are, and that no function runs."),
     .scope = SCOPE_ALL, .part = count_part, .tips = stats_tips},
};

static const struct command script_commands[] = {
    {EVAL_ROW("eval", eval_run, "2.6.0", eval_arguments, "Runs a script: not supported yet."),
     .flags = EVAL_FLAGS, EVAL_KEYS(EVAL_RW, EVAL_NOTES_RW)},
    {EVAL_ROW("eval_ro", eval_run, "7.0.0", eval_arguments,
              "Runs a script that only reads: not supported yet."),
     .flags = EVAL_FLAGS | CMD_READONLY, EVAL_KEYS(EVAL_RO, EVAL_NOTES_RO)},
    {EVAL_ROW("evalsha", evalsha_run, "2.6.0", evalsha_arguments,
              "Runs a cached script: there is none."),
     .flags = EVAL_FLAGS, EVAL_KEYS(EVAL_RW, NULL)},
    {EVAL_ROW("evalsha_ro", evalsha_run, "7.0.0", evalsha_arguments,
              "Runs a cached script that only reads: there is none."),
     .flags = EVAL_FLAGS | CMD_READONLY, EVAL_KEYS(EVAL_RO, NULL)},
    {EVAL_ROW("fcall", fcall_run, "7.0.0", fcall_arguments, "Calls a function: not supported yet."),
     .flags = EVAL_FLAGS, EVAL_KEYS(EVAL_RW, EVAL_NOTES_RW)},
    {EVAL_ROW("fcall_ro", fcall_run, "7.0.0", fcall_arguments,
              "Calls a function that only reads: not supported yet."),
     .flags = EVAL_FLAGS | CMD_READONLY, EVAL_KEYS(EVAL_RO, EVAL_NOTES_RO)},
    {
        .name = "function",
        .run = call_unknown_subcommand_error,
        .arity = -2,
        .scope = SCOPE_LOCAL,
        .group = GROUP_SCRIPTING,
        .since = "7.0.0",
        .complexity = "Depends on the subcommand.",
        .summary = "Holds the commands about libraries of functions.",
        .subcommands = function_subcommands,
        .subcommand_count = ARRAY_COUNT(function_subcommands),
    },
    {
        .name = "script",
        .run = call_unknown_subcommand_error,
        .arity = -2,
        .scope = SCOPE_LOCAL,
        .group = GROUP_SCRIPTING,
        .since = "2.6.0",
        .complexity = "Depends on the subcommand.",
        .summary = "Holds the commands about cached scripts.",
        .subcommands = script_subcommands,
        .subcommand_count = ARRAY_COUNT(script_subcommands),
    },
};

const struct command_family script_family = {
    .commands = script_commands,
    .count = ARRAY_COUNT(script_commands),
};
