/*
 * config_args.c: redis-server's command line.
 *
 *     tessera-server [file] [-] [--directive value...]... [-]
 *
 * File, standard input and options become one text, in this order, and are loaded as one: an option
 * is a line behind the file, so it wins, and it is wrong in the same words as the line would be. An
 * argument with "--" begins a directive, unless the directive before it has no value yet: then it
 * is the value (`--requirepass --secret`). Only --save may go without one, which means `save ""`.
 *
 * Rejected: getopt. Directives take several values, and values may begin with a dash.
 */
#include "core/config_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static bool
config_is_option(const char *argument)
{
    return argument[0] == '-' && argument[1] == '-';
}

/** Options as the lines of a file. */
static void
config_options_append(struct config_text *text, int count, char **arguments)
{
    bool has_value = true;
    for (int i = 0; i < count; i++) {
        if (has_value && config_is_option(arguments[i])) {
            config_text_format(text, "\n%s", arguments[i] + 2);
            has_value = false;
            bool is_bare = i + 1 == count || config_is_option(arguments[i + 1]);
            if (is_bare && strcmp(arguments[i], "--save") == 0) {
                config_text_format(text, " \"\"");
                has_value = true;
            }
        } else {
            config_text_format(text, i == 0 ? "\n" : " ");
            config_text_append_quoted(text, slice_of_string(arguments[i]));
            has_value = true;
        }
    }
}

/** The path that CONFIG REWRITE uses wherever the working directory has moved to; a pipe has none
 * and stays. */
static char *
config_path_absolute(const char *path)
{
    char *absolute = realpath(path, NULL);
    return absolute != NULL ? absolute : config_string_copy(slice_of_string(path));
}

int
config_load(struct config *config, int argc, char **argv, char *error, size_t error_size)
{
    if (argc >= 2 && (strcmp(argv[1], "-v") == 0 || strcmp(argv[1], "--version") == 0)) {
        return CONFIG_REQUEST_VERSION;
    }
    if (argc >= 2 && (strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "--help") == 0)) {
        return CONFIG_REQUEST_HELP;
    }
    struct config_text text = {0};
    int next = 1;
    int rc = 0;
    const char *path = NULL;
    if (next < argc && argv[next][0] != '-') {
        path = argv[next++];
        rc = config_file_read(&text, path);
    }
    bool is_first = next < argc && strcmp(argv[next], "-") == 0;
    bool is_last = !is_first && next < argc && strcmp(argv[argc - 1], "-") == 0;
    next += is_first;
    argc -= is_last;
    if (rc == 0 && (is_first || is_last)) {
        if (text.size > 0) {
            config_text_append(&text, SLICE("\n"));
        }
        rc = config_file_read(&text, "-");
    }
    if (rc < 0) {
        snprintf(error, error_size, "Fatal error, can't open config file '%s': %s",
                 path == NULL ? "-" : path, strerror(-rc));
    } else {
        config_options_append(&text, argc - next, argv + next);
        if (path != NULL) {
            free(config->file_path);
            config->file_path = config_path_absolute(path);
        }
        rc = config_load_text(config, config_text_slice(&text), error, error_size);
    }
    config_text_destroy(&text);
    return rc;
}
