/*
 * module.c: MODULE on a server without modules.
 *
 * Programs list what is loaded to learn what a server can do: LIST says so, and is empty. LOAD and
 * UNLOAD answer as redis-server does where a library cannot be loaded or is not there; before that
 * comes enable-module-command, which keeps them from whoever may not.
 */
#include "core/config.h"
#include "core/log.h"
#include "shard/call.h"
#include "shard/command/families.h"
#include "shard/session.h"
#include "shard/shard.h"

#define MODULE_SHUT_TEXT                                                                           \
    "ERR MODULE command not allowed. If the enable-module-command option is set to \"local\", "    \
    "you can run it from a local connection, otherwise you need to set this option in the "        \
    "configuration file, and then restart the server."

/** False: the error has been replied. */
static bool
module_is_open(const struct call *call)
{
    enum config_protected_access access =
        (enum config_protected_access)call->shard->config->enable_module_command;
    bool is_local = call->session != NULL && session_is_local(call->session);
    bool is_open = access == CONFIG_ACCESS_YES || (access == CONFIG_ACCESS_LOCAL && is_local);
    if (!is_open) {
        reply_error(call->reply, MODULE_SHUT_TEXT);
    }
    return is_open;
}

static void
module_list(struct call *call)
{
    reply_array(call->reply, 0);
}

static void
module_load(struct call *call)
{
    if (module_is_open(call)) {
        struct slice path = call->argv[2];
        log_write(call->shard->node->log, LOG_WARNING_LEVEL,
                  "Module %.*s failed to load: this server has no modules",
                  (int)MIN(path.size, (size_t)256), path.data);
        reply_error(call->reply, "ERR Error loading the extension. Please check the server logs.");
    }
}

static void
module_unload(struct call *call)
{
    if (module_is_open(call)) {
        reply_error(call->reply, "ERR Error unloading module: no such module with that name");
    }
}

static void
module_help(struct call *call)
{
    static const char *const lines[] = {
        "LIST",
        "    The modules that are loaded: none, ever.",
        "LOAD <path> [<argument> ...]",
        "    Fails: there are no modules.",
        "LOADEX <path> [CONFIG <name> <value> ...] [ARGS <argument> ...]",
        "    Fails as well.",
        "UNLOAD <name>",
        "    Fails as well.",
        NULL,
    };
    reply_help(call->reply, "MODULE", lines);
}

/* ---- rows ---- */

static const struct command_argument load_arguments[] = {
    {.kind = ARGUMENT_STRING, .name = "path"},
    {.kind = ARGUMENT_STRING, .name = "arg", .is_optional = true, .is_multiple = true},
    {.kind = ARGUMENT_END},
};
static const struct command_argument loadex_config_arguments[] = {
    {.kind = ARGUMENT_STRING, .name = "name"},
    {.kind = ARGUMENT_STRING, .name = "value"},
    {.kind = ARGUMENT_END},
};
static const struct command_argument loadex_args_arguments[] = {
    {.kind = ARGUMENT_STRING, .name = "arg"},
    {.kind = ARGUMENT_END},
};
static const struct command_argument loadex_arguments[] = {
    {.kind = ARGUMENT_STRING, .name = "path"},
    {.kind = ARGUMENT_BLOCK,
     .name = "configs",
     .token = "CONFIG",
     .is_optional = true,
     .is_multiple = true,
     .is_multiple_token = true,
     .arguments = loadex_config_arguments},
    {.kind = ARGUMENT_BLOCK,
     .name = "args",
     .token = "ARGS",
     .is_optional = true,
     .is_multiple = true,
     .arguments = loadex_args_arguments},
    {.kind = ARGUMENT_END},
};
static const struct command_argument unload_arguments[] = {
    {.kind = ARGUMENT_STRING, .name = "name"},
    {.kind = ARGUMENT_END},
};
static const char *const list_tips[] = {"nondeterministic_output_order", NULL};

#define MODULE_ROW(row_name, row_run, row_flags, row_arity, row_since, row_summary)                \
    .name = (row_name), .parent = "module", .run = (row_run), .flags = (row_flags),                \
    .arity = (row_arity), .scope = SCOPE_LOCAL, .group = GROUP_SERVER, .since = (row_since),       \
    .complexity = "O(1)", .summary = (row_summary)

#define MODULE_CHANGE (CMD_ADMIN | CMD_NOSCRIPT | CMD_NO_ASYNC_LOADING)

static const struct command module_subcommands[] = {
    {MODULE_ROW("help", module_help, CMD_LOADING | CMD_STALE, 2, "5.0.0",
                "Lists what MODULE can do.")},
    {MODULE_ROW("list", module_list, CMD_ADMIN | CMD_NOSCRIPT, 2, "4.0.0",
                "Lists the modules that are loaded: none."),
     .tips = list_tips},
    {MODULE_ROW("load", module_load, MODULE_CHANGE, -3, "4.0.0",
                "Would load a module: there are none."),
     .arguments = load_arguments},
    {MODULE_ROW("loadex", module_load, MODULE_CHANGE, -3, "7.0.0",
                "Would load a module with directives of its own: there are none."),
     .arguments = loadex_arguments},
    {MODULE_ROW("unload", module_unload, MODULE_CHANGE, 3, "4.0.0",
                "Would unload a module: there are none."),
     .arguments = unload_arguments},
};

static const struct command module_commands[] = {
    {
        .name = "module",
        .run = call_unknown_subcommand_error,
        .arity = -2,
        .scope = SCOPE_LOCAL,
        .group = GROUP_SERVER,
        .since = "4.0.0",
        .complexity = "Depends on subcommand.",
        .summary = "Holds the commands about modules, which there are none of.",
        .subcommands = module_subcommands,
        .subcommand_count = ARRAY_COUNT(module_subcommands),
    },
};

const struct command_family module_family = {
    .commands = module_commands,
    .count = ARRAY_COUNT(module_commands),
};
