/*
 * client_tracking.c: CLIENT TRACKING, CACHING, TRACKINGINFO, GETREDIR.
 *
 * TRACKING without REDIRECT and BCAST is an affair of this core and answered at once. REDIRECT
 * names a session that any core may have, so all are asked; in the same round every shard counts
 * new prefixes. Only then is the session told OK: from that reply on it misses no change. If the
 * other session turns out not to exist, the prefixes are taken back by mail.
 *
 * What is wrong with the arguments is found in redis-server's order, in which a REDIRECT to nobody
 * comes before all mistakes behind it: an error is kept until the cores have answered.
 */
#include "core/heap.h"
#include "core/number.h"
#include "shard/command/client_internal.h"
#include "shard/session.h"
#include "shard/tracking.h"

#include <stdarg.h>
#include <stdio.h>

#define SYNTAX_ERROR "ERR syntax error"

/** What the arguments ask for: call->shared. */
struct tracking_plan {
    bool is_on;
    bool has_new_empty; /* BCAST without prefixes: the empty one, which is new to the session */
    uint32_t options;
    int64_t redirect_id; /* 0: none */
    char *error;         /* heap; NULL: none */
    uint32_t prefix_count;
    uint32_t prefixes[]; /* indexes of arguments */
};

static void
plan_delete(struct tracking_plan *plan)
{
    heap_free(plan->error);
    heap_free(plan);
}

static void PRINTF_LIKE(2, 3) plan_fail(struct tracking_plan *plan, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    ASSERT(size >= 0 && plan->error == NULL);
    plan->error = heap_alloc((size_t)size + 1);
    va_start(arguments, format);
    vsnprintf(plan->error, (size_t)size + 1, format, arguments);
    va_end(arguments);
}

/** REDIRECT <id>. */
static void
plan_redirect(struct tracking_plan *plan, struct slice argument)
{
    int64_t id;
    if (plan->redirect_id != 0) {
        plan_fail(plan, "ERR A client can only redirect to a single other client");
    } else if (!number_parse_i64(argument, &id)) {
        plan_fail(plan, "ERR value is not an integer or out of range");
    } else if (id <= 0) {
        plan_fail(plan, "ERR The client ID you want redirect to does not exist");
    } else {
        plan->redirect_id = id;
    }
}

/** The words behind ON or OFF. */
static void
plan_options(struct tracking_plan *plan, const struct call *call)
{
    for (uint32_t i = 3; i < call->argc && plan->error == NULL; i++) {
        struct slice word = call->argv[i];
        bool has_more = i + 1 < call->argc;
        if (slice_is_word(word, "redirect") && has_more) {
            plan_redirect(plan, call->argv[++i]);
        } else if (slice_is_word(word, "bcast")) {
            plan->options |= TRACKING_BCAST;
        } else if (slice_is_word(word, "optin")) {
            plan->options |= TRACKING_OPTIN;
        } else if (slice_is_word(word, "optout")) {
            plan->options |= TRACKING_OPTOUT;
        } else if (slice_is_word(word, "noloop")) {
            plan->options |= TRACKING_NOLOOP;
        } else if (slice_is_word(word, "prefix") && has_more) {
            plan->prefixes[plan->prefix_count++] = ++i;
        } else {
            plan_fail(plan, SYNTAX_ERROR);
        }
    }
}

/** Do they go together, and with how the session tracks already? */
static void
plan_check_options(struct tracking_plan *plan, const struct session *session)
{
    uint32_t options = plan->options;
    uint32_t before = tracking_options(session);
    uint32_t both = TRACKING_OPTIN | TRACKING_OPTOUT;
    if ((options & TRACKING_BCAST) == 0 && plan->prefix_count > 0) {
        plan_fail(plan, "ERR PREFIX option requires BCAST mode to be enabled");
    } else if ((before & TRACKING_ON) != 0 && ((before ^ options) & TRACKING_BCAST) != 0) {
        plan_fail(plan, "ERR You can't switch BCAST mode on/off before disabling tracking for this "
                        "client, and then re-enabling it with a different mode.");
    } else if ((options & TRACKING_BCAST) != 0 && (options & both) != 0) {
        plan_fail(plan, "ERR OPTIN and OPTOUT are not compatible with BCAST");
    } else if ((options & both) == both) {
        plan_fail(plan, "ERR You can't specify both OPTIN mode and OPTOUT mode");
    } else if ((options & both) != 0 && (before & both) != 0 && ((options ^ before) & both) != 0) {
        plan_fail(plan, "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this "
                        "client, and then re-enabling it with a different mode.");
    }
}

/** Does one begin with the other? */
static bool
is_overlap(struct slice a, struct slice b)
{
    size_t size = MIN(a.size, b.size);
    return size == 0 || memcmp(a.data, b.data, size) == 0;
}

static void
plan_fail_overlap(struct tracking_plan *plan, struct slice prefix, const char *what,
                  struct slice other)
{
    plan_fail(plan,
              "ERR Prefix '%.*s' overlaps with %s prefix '%.*s'. Prefixes for a single client "
              "must not overlap.",
              (int)MIN(prefix.size, (size_t)INT32_MAX), prefix.data, what,
              (int)MIN(other.size, (size_t)INT32_MAX), other.data);
}

static void
plan_check_prefixes(struct tracking_plan *plan, const struct call *call)
{
    const struct session *session = call->session;
    uint32_t known_count = tracking_session_prefix_count(session);
    plan->has_new_empty = plan->prefix_count == 0 &&
                          (known_count == 0 || tracking_session_prefix(session, 0).size > 0);
    for (uint32_t i = 0; i < plan->prefix_count; i++) {
        struct slice prefix = call->argv[plan->prefixes[i]];
        for (uint32_t j = 0; j < known_count; j++) {
            struct slice known = tracking_session_prefix(session, j);
            if (is_overlap(prefix, known)) {
                plan_fail_overlap(plan, prefix, "an existing", known);
                return;
            }
        }
        for (uint32_t j = i + 1; j < plan->prefix_count; j++) {
            struct slice other = call->argv[plan->prefixes[j]];
            if (is_overlap(prefix, other)) {
                plan_fail_overlap(plan, prefix, "another provided", other);
                return;
            }
        }
    }
}

static struct tracking_plan *
plan_new(const struct call *call)
{
    struct tracking_plan *plan = heap_alloc(sizeof(*plan) + call->argc * sizeof(plan->prefixes[0]));
    memset(plan, 0, sizeof(*plan));
    plan_options(plan, call);
    plan->is_on = slice_is_word(call->argv[2], "on");
    if (plan->error == NULL && plan->is_on) {
        plan_check_options(plan, call->session);
    } else if (plan->error == NULL && !slice_is_word(call->argv[2], "off")) {
        plan_fail(plan, SYNTAX_ERROR);
    }
    if (plan->error == NULL && plan->is_on && (plan->options & TRACKING_BCAST) != 0) {
        plan_check_prefixes(plan, call);
    }
    if (plan->error != NULL || !plan->is_on) {
        plan->prefix_count = 0;
        plan->has_new_empty = false;
    }
    return plan;
}

/** The prefixes that are new to the session: in an array for heap_free(). */
static struct slice *
plan_prefixes(const struct tracking_plan *plan, const struct slice *argv, uint32_t *count)
{
    *count = plan->prefix_count + plan->has_new_empty;
    struct slice *prefixes = heap_alloc(*count * sizeof(*prefixes));
    for (uint32_t i = 0; i < plan->prefix_count; i++) {
        prefixes[i] = argv[plan->prefixes[i]];
    }
    if (plan->has_new_empty) {
        prefixes[plan->prefix_count] = SLICE("");
    }
    return prefixes;
}

/** All cores have been asked: do it. `redirect_core` UINT32_MAX: there is no such session. */
static void
plan_finish(struct tracking_plan *plan, struct call *call, uint32_t redirect_core)
{
    uint32_t count;
    struct slice *prefixes = plan_prefixes(plan, call->argv, &count);
    if (plan->redirect_id != 0 && redirect_core == UINT32_MAX) {
        tracking_prefixes_take_back(call->shard, prefixes, count);
        reply_error(call->reply, "ERR The client ID you want redirect to does not exist");
    } else if (plan->error != NULL) {
        reply_error(call->reply, plan->error);
    } else {
        if (plan->is_on) {
            tracking_start(call->session, plan->options | TRACKING_ON, (uint64_t)plan->redirect_id,
                           redirect_core, prefixes, count);
        } else {
            tracking_stop(call->session);
        }
        reply_ok(call->reply);
    }
    heap_free(prefixes);
    plan_delete(plan);
}

bool
client_tracking_check(struct call *call)
{
    struct tracking_plan *plan = plan_new(call);
    uint32_t redirect_core = UINT32_MAX;
    if (plan->redirect_id != 0 &&
        tracking_redirect_find(call->shard, (uint64_t)plan->redirect_id)) {
        redirect_core = call->shard->index;
    }
    bool is_local = (plan->redirect_id == 0 || redirect_core != UINT32_MAX) &&
                    plan->prefix_count == 0 && !plan->has_new_empty;
    if (!is_local) {
        call->shared = plan;
        return true;
    }
    plan_finish(plan, call, redirect_core);
    return false;
}

void
client_tracking_part(struct part *part)
{
    const struct tracking_plan *plan = part->shared;
    part->number =
        plan->redirect_id != 0 && tracking_redirect_find(part->shard, (uint64_t)plan->redirect_id);
    uint32_t count;
    struct slice *prefixes = plan_prefixes(plan, part->argv, &count);
    for (uint32_t i = 0; i < count; i++) {
        tracking_prefix_count(part->shard, prefixes[i], part->coordinator, 1);
    }
    heap_free(prefixes);
}

void
client_tracking(struct call *call)
{
    uint32_t redirect_core = UINT32_MAX;
    for (uint32_t i = 0; i < call->part_count; i++) {
        if (call->parts[i].number != 0) {
            redirect_core = call->parts[i].shard->index;
        }
    }
    struct tracking_plan *plan = call->shared;
    call->shared = NULL;
    plan_finish(plan, call, redirect_core);
}

void
client_caching(struct call *call)
{
    struct session *session = call->session;
    uint32_t options = tracking_options(session);
    bool is_yes = slice_is_word(call->argv[2], "yes");
    if ((options & TRACKING_ON) == 0) {
        reply_error(call->reply, "ERR CLIENT CACHING can be called only when the client is in "
                                 "tracking mode with OPTIN or OPTOUT mode enabled");
    } else if (!is_yes && !slice_is_word(call->argv[2], "no")) {
        reply_error(call->reply, SYNTAX_ERROR);
    } else if (is_yes && (options & TRACKING_OPTIN) == 0) {
        reply_error(call->reply, "ERR CLIENT CACHING YES is only valid when tracking is enabled in "
                                 "OPTIN mode.");
    } else if (!is_yes && (options & TRACKING_OPTOUT) == 0) {
        reply_error(call->reply, "ERR CLIENT CACHING NO is only valid when tracking is enabled in "
                                 "OPTOUT mode.");
    } else {
        session->flags |= SESSION_CACHING;
        if ((call->flags & CALL_IN_MULTI) != 0) {
            session->flags |= SESSION_CACHING_USED; /* EXEC is the command that uses it up */
        }
        reply_ok(call->reply);
    }
}

void
client_getredir(struct call *call)
{
    reply_i64(call->reply, tracking_redirect_id(call->session));
}

void
client_trackinginfo(struct call *call)
{
    const struct session *session = call->session;
    struct reply *reply = call->reply;
    uint32_t options = tracking_options(session);
    bool is_said = (session->flags & SESSION_CACHING) != 0;
    const struct {
        bool is_shown;
        const char *word;
    } flags[] = {
        {(options & TRACKING_ON) == 0, "off"},
        {(options & TRACKING_ON) != 0, "on"},
        {(options & TRACKING_BCAST) != 0, "bcast"},
        {(options & TRACKING_OPTIN) != 0, "optin"},
        {(options & TRACKING_OPTIN) != 0 && is_said, "caching-yes"},
        {(options & TRACKING_OPTOUT) != 0, "optout"},
        {(options & TRACKING_OPTOUT) != 0 && is_said, "caching-no"},
        {(options & TRACKING_NOLOOP) != 0, "noloop"},
        {(options & TRACKING_BROKEN) != 0, "broken_redirect"},
    };
    reply_map(reply, 3);
    reply_bulk_string(reply, "flags");
    uint32_t shown_count = 0;
    for (uint32_t i = 0; i < ARRAY_COUNT(flags); i++) {
        shown_count += flags[i].is_shown;
    }
    reply_set(reply, shown_count);
    for (uint32_t i = 0; i < ARRAY_COUNT(flags); i++) {
        if (flags[i].is_shown) {
            reply_bulk_string(reply, flags[i].word);
        }
    }
    reply_bulk_string(reply, "redirect");
    reply_i64(reply, tracking_redirect_id(session));
    reply_bulk_string(reply, "prefixes");
    uint32_t prefix_count = tracking_session_prefix_count(session);
    reply_array(reply, prefix_count);
    for (uint32_t i = 0; i < prefix_count; i++) {
        reply_bulk(reply, tracking_session_prefix(session, i));
    }
}

/* ---- what the rows in client.c say of the arguments ---- */

static const struct command_argument tracking_status_arguments[] = {
    {.kind = ARGUMENT_PURE_TOKEN, .name = "on", .token = "ON"},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "off", .token = "OFF"},
    {.kind = ARGUMENT_END},
};

const struct command_argument client_tracking_arguments[] = {
    {.kind = ARGUMENT_ONEOF, .name = "status", .arguments = tracking_status_arguments},
    {.kind = ARGUMENT_INTEGER, .name = "client-id", .token = "REDIRECT", .is_optional = true},
    {.kind = ARGUMENT_STRING,
     .name = "prefix",
     .token = "PREFIX",
     .is_optional = true,
     .is_multiple = true,
     .is_multiple_token = true},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "bcast", .token = "BCAST", .is_optional = true},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "optin", .token = "OPTIN", .is_optional = true},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "optout", .token = "OPTOUT", .is_optional = true},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "noloop", .token = "NOLOOP", .is_optional = true},
    {.kind = ARGUMENT_END},
};

static const struct command_argument caching_mode_arguments[] = {
    {.kind = ARGUMENT_PURE_TOKEN, .name = "yes", .token = "YES"},
    {.kind = ARGUMENT_PURE_TOKEN, .name = "no", .token = "NO"},
    {.kind = ARGUMENT_END},
};

const struct command_argument client_caching_arguments[] = {
    {.kind = ARGUMENT_ONEOF, .name = "mode", .arguments = caching_mode_arguments},
    {.kind = ARGUMENT_END},
};
