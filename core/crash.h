/*
 * crash.h: a last word in the log when the process dies of a fault.
 */
#pragma once

#include "core/base.h"

/** Report the signal and the stack of the thread that raised it, from now on or not any more; then
 * die as before. `crash-log-enabled`. Any thread. */
void crash_report_set(bool is_enabled);
