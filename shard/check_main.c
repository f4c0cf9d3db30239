/*
 * check_main.c: the program tessera-check. Its words, and its exit code.
 */
#include "shard/check.h"

#include <string.h>

static const char usage[] =
    "Usage: tessera-check PATH [--fix | --give-up]\n"
    "\n"
    "PATH is a data folder, an AOF folder or its manifest, an RDB file, or a single AOF file. "
    "What\n"
    "is found in it is told, and what a server would make of it. No server may run on it.\n"
    "\n"
    "  --fix      cut AOF files where their last write is incomplete, all at one consistent "
    "point,\n"
    "             so that redis-server loads them too; what is cut off is kept in FILE.cut\n"
    "  --give-up  cut also where they are damaged: what stands behind the damage is lost\n"
    "  --version  which Tessera it belongs to\n"
    "\n"
    "Exit code: 0 good, 1 damaged (or a write is incomplete), 2 wrong usage or an unreadable "
    "file.\n";

int
main(int argc, char **argv)
{
    const char *path = NULL;
    enum check_mode mode = CHECK_LOOK;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--fix") == 0) {
            mode = MAX(mode, CHECK_FIX);
        } else if (strcmp(argv[i], "--give-up") == 0) {
            mode = CHECK_GIVE_UP;
        } else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            fputs(usage, stdout);
            return CHECK_GOOD;
        } else if (strcmp(argv[i], "--version") == 0) {
            printf("Tessera check v=%s\n", TESSERA_VERSION);
            return CHECK_GOOD;
        } else if (argv[i][0] == '-' || path != NULL) {
            fprintf(stderr, "What does '%s' mean here?\n%s", argv[i], usage);
            return CHECK_FAILED;
        } else {
            path = argv[i];
        }
    }
    if (path == NULL) {
        fputs(usage, stderr);
        return CHECK_FAILED;
    }
    return (int)check_run(path, mode, stdout);
}
