/*
 * recovery_internal.h: the table of decisions, for recovery.c and its test.
 */
#pragma once

#include "persist/recovery.h"

enum recovery_origin {
    RECOVERY_OURS,
    RECOVERY_APPENDED, /* ours, closed, and redis-server has appended */
    RECOVERY_FOREIGN,
    RECOVERY_ORIGIN_COUNT,
};

enum recovery_finish {
    RECOVERY_WHOLE,
    RECOVERY_UNVOUCHED, /* whole groups to the end, but the last ones have no check line */
    RECOVERY_TORN,
    RECOVERY_DAMAGED,
    RECOVERY_FINISH_COUNT,
};

enum recovery_tri {
    TRI_NO,
    TRI_YES,
    TRI_ANY,
};

/** What is known of a file by itself. */
struct recovery_finding {
    enum recovery_origin origin;
    enum recovery_finish finish;
    /** Something that cannot be read has been on disk. */
    bool is_confirmed;
    /** The manifest's last. */
    bool is_last;
    bool is_load_truncated;
};

enum recovery_decision {
    RECOVERY_TAKE,      /* load it */
    RECOVERY_CUT_GOOD,  /* up to the last thing that is vouched for */
    RECOVERY_CUT_GROUP, /* up to the last whole group */
    RECOVERY_GIVE_UP,
};

/** Sets of origins and finishes as bits, so that a row is one line. */
struct recovery_case {
    uint8_t origins;
    uint8_t finishes;
    enum recovery_tri confirmed;
    enum recovery_tri last;
    enum recovery_tri load_truncated;
    enum recovery_decision decision;
    const char *why;
    const char *advice;
};

/** The rows; each finding has exactly one. */
const struct recovery_case *recovery_cases(uint32_t *count);

bool recovery_case_matches(const struct recovery_case *row, const struct recovery_finding *finding);
