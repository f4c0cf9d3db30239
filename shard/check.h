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

/**
 * Check `path` and tell about it on `out`, in lines of text:
 *
 *     an AOF folder or its manifest    all files of it, and what recovery makes of them together
 *     any other folder                 the RDB files in it and the AOF folders below it
 *     an RDB file, a single AOF file
 *
 * `is_fixing`: AOF files are cut where their last write is incomplete, all of a folder at one
 * consistent point, and what goes is kept beside. Nothing is changed where anything is wrong that
 * is not such a tail.
 */
enum check_result check_run(const char *path, bool is_fixing, FILE *out);
