/*
 * check.h: what tessera-check does: looks at files of data, tells what is in them and what is wrong
 * with them, and mends what a crash can leave behind. No server runs on them meanwhile.
 */
#pragma once

#include "core/base.h"

#include <stdio.h>

/** The program's exit codes. The worst one wins. */
enum check_result {
    CHECK_GOOD = 0,
    CHECK_DAMAGED = 1, /* also a torn tail that a server would cut by itself */
    CHECK_FAILED = 2,  /* something could not be read or written, so nobody knows */
};

enum check_mode {
    CHECK_LOOK,
    CHECK_FIX,     /* cut AOF files where their last write is incomplete */
    CHECK_GIVE_UP, /* and where they are damaged: what stands behind is lost */
};

/**
 * Check `path` and tell about it on `out`, in lines of text:
 *
 *     an AOF folder or its manifest    all files of it, and what recovery makes of them together
 *     any other folder                 the RDB and AOF files in it, and the AOF folders below it
 *     an RDB file, a single AOF file
 *
 * All files of a folder are cut at one consistent point, and what goes is kept beside. CHECK_FIX
 * changes nothing where anything is wrong that is not an unfinished write, CHECK_GIVE_UP where it
 * is not in the logs.
 */
enum check_result check_run(const char *path, enum check_mode mode, FILE *out);
