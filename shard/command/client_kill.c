/*
 * client_kill.c: CLIENT KILL in its two forms.
 *
 * The filters are parsed once, at the coordinator, and every core closes what they match among its
 * own connections. The asking connection is special: it is closed last, by the coordinator, when
 * the reply has been written, so that whoever kills itself still reads the answer. The old form (an
 * address alone) may hit the asker, the new one spares it unless SKIPME no.
 *
 * A connection that is killed is only marked here; its core takes it apart when what it had sent
 * has been answered or dropped. Marked ones do not match again, so two KILLs count each once.
 */
#include "core/heap.h"
#include "core/number.h"
#include "shard/command/client_internal.h"
#include "shard/session.h"
#include "shard/shard.h"

/** call->shared. Slices lie in the arguments; empty: any. */
struct client_filter {
    struct slice address;
    struct slice local_address;
    bool has_address;
    bool has_local_address;
    bool has_type;
    enum client_type type;
    uint64_t id; /* 0: any */
    int64_t age_min_s;
    bool is_sparing_asker;
    bool is_old_form;
};

/** One pair of the new form. False: the error has been replied. */
static bool
client_filter_add(struct call *call, struct client_filter *filter, struct slice name,
                  struct slice value)
{
    if (slice_is_word(name, "id")) {
        int64_t id;
        if (!number_parse_i64(value, &id) || id < 1) {
            reply_error(call->reply, "ERR client-id should be greater than 0");
            return false;
        }
        filter->id = (uint64_t)id;
    } else if (slice_is_word(name, "type")) {
        filter->has_type = true;
        return client_type_parse(call, value, &filter->type);
    } else if (slice_is_word(name, "addr")) {
        filter->has_address = true;
        filter->address = value;
    } else if (slice_is_word(name, "laddr")) {
        filter->has_local_address = true;
        filter->local_address = value;
    } else if (slice_is_word(name, "user")) {
        if (!slice_equal(value, SLICE("default"))) {
            reply_error_format(call->reply, "ERR No such user '%.*s'",
                               (int)MIN(value.size, (size_t)INT32_MAX), value.data);
            return false;
        }
    } else if (slice_is_word(name, "skipme") && slice_is_word(value, "yes")) {
        filter->is_sparing_asker = true;
    } else if (slice_is_word(name, "skipme") && slice_is_word(value, "no")) {
        filter->is_sparing_asker = false;
    } else if (slice_is_word(name, "maxage")) {
        if (!number_parse_i64(value, &filter->age_min_s)) {
            reply_error(call->reply, "ERR maxage is not an integer or out of range");
            return false;
        }
        if (filter->age_min_s < 1) {
            reply_error(call->reply, "ERR maxage should be greater than 0");
            return false;
        }
    } else {
        call_syntax_error(call);
        return false;
    }
    return true;
}

static bool
client_filter_parse(struct call *call, struct client_filter *filter)
{
    *filter = (struct client_filter){.is_sparing_asker = true};
    if (call->argc == 3) {
        filter->is_old_form = true;
        filter->is_sparing_asker = false;
        filter->has_address = true;
        filter->address = call->argv[2];
        return true;
    }
    for (uint32_t i = 2; i < call->argc; i += 2) {
        if (i + 1 == call->argc) {
            call_syntax_error(call);
            return false;
        }
        if (!client_filter_add(call, filter, call->argv[i], call->argv[i + 1])) {
            return false;
        }
    }
    return true;
}

bool
client_kill_check(struct call *call)
{
    struct client_filter filter;
    if (!client_filter_parse(call, &filter)) {
        return false;
    }
    struct client_filter *shared = heap_alloc(sizeof(*shared));
    *shared = filter;
    call->shared = shared;
    return true;
}

static bool
client_filter_matches(const struct client_filter *filter, const struct session *session,
                      int64_t now_ms)
{
    if ((session->flags & (SESSION_KILLED | SESSION_CLOSE_AFTER_REPLY)) != 0) {
        return false;
    }
    if (filter->id != 0 && filter->id != session->id) {
        return false;
    }
    if (filter->has_type && filter->type != client_type_of(session)) {
        return false;
    }
    if (filter->has_address &&
        !slice_equal(filter->address, slice_of_string(session_address(session)))) {
        return false;
    }
    if (filter->has_local_address &&
        !slice_equal(filter->local_address, slice_of_string(session_local_address(session)))) {
        return false;
    }
    return (now_ms - session->created_ms) / 1000 >= filter->age_min_s;
}

/** number: how many matched; number_2: the asker is one of them. */
void
client_kill_part(struct part *part)
{
    const struct client_filter *filter = part->shared;
    struct shard *shard = part->shard;
    struct list_node *next;
    for (struct list_node *node = list_first(&shard->sessions); node != NULL; node = next) {
        /* Closing may take the session out of the list. */
        next = list_next(&shard->sessions, node);
        struct session *session = container_of(node, struct session, shard_link);
        bool is_asker = session->id == part->session_id;
        if ((is_asker && filter->is_sparing_asker) ||
            !client_filter_matches(filter, session, shard->now_ms)) {
            continue;
        }
        part->number++;
        if (is_asker) {
            part->number_2 = 1;
        } else {
            session_close(session, false);
        }
    }
}

void
client_kill(struct call *call)
{
    struct client_filter *filter = call->shared;
    int64_t count = 0;
    bool is_asker_killed = false;
    for (uint32_t i = 0; i < call->part_count; i++) {
        count += call->parts[i].number;
        is_asker_killed |= call->parts[i].number_2 != 0;
    }
    if (!filter->is_old_form) {
        reply_i64(call->reply, count);
    } else if (count > 0) {
        reply_ok(call->reply);
    } else {
        reply_error(call->reply, "ERR No such client");
    }
    if (is_asker_killed) {
        session_close(call->session, true);
    }
    heap_free(filter);
    call->shared = NULL;
}
