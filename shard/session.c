/*
 * session.c: the life of a session, and the line that CLIENT LIST shows of it.
 *
 * The line is an interface: monitoring tools cut it at blanks and look fields up by name. It has
 * redis-server 7.0's fields in redis-server's order, and behind them 7.2's for the library; what we
 * do not have (a reply buffer of fixed size, subscriptions, transactions) is shown as the 0 or -1
 * that redis-server shows for a client without them. `core` is ours and stands last, so that
 * whoever counts fields is not disturbed.
 *
 * Names are checked against blanks and control bytes because they stand in that line.
 * Invariant: a session is in its shard's list from session_create() to session_destroy(), and the
 * shard's session_count is the list's length.
 */
#include "shard/session.h"

#include "core/heap.h"
#include "shard/command.h"
#include "shard/multi.h"
#include "shard/shard.h"
#include "shard/subscriptions.h"
#include "shard/tracking.h"

#include <stdio.h>

/** All fields but the name: some 30 words with numbers of at most 20 digits, and two addresses. */
#define SESSION_LINE_SIZE_MAX 1024

void
session_create(struct session *session, struct shard *shard, uint64_t id, int64_t now_ms)
{
    *session = (struct session){
        .id = id,
        .shard = shard,
        .protocol = 2,
        .created_ms = now_ms,
        .last_command_ms = now_ms,
        .fd = -1,
    };
    list_push_back(&shard->sessions, &session->shard_link);
    shard->session_count++;
}

void
session_destroy(struct session *session)
{
    ASSERT(session->shard->session_count > 0);
    subscriptions_end(session);
    tracking_session_end(session);
    list_remove(&session->shard_link);
    session->shard->session_count--;
    heap_free(session->addresses);
    heap_free(session->name);
    heap_free(session->library);
    *session = (struct session){0};
}

/** Two texts in one block, each with its NUL. */
static char *
text_pair(struct slice first, struct slice second)
{
    char *pair = heap_alloc(first.size + second.size + 2);
    memcpy(pair, first.data, first.size);
    pair[first.size] = '\0';
    memcpy(pair + first.size + 1, second.data, second.size);
    pair[first.size + 1 + second.size] = '\0';
    return pair;
}

void
session_addresses_set(struct session *session, const char *peer, const char *local)
{
    heap_free(session->addresses);
    session->addresses = text_pair(slice_of_string(peer), slice_of_string(local));
}

void
session_reset(struct session *session)
{
    multi_discard(session);
    subscriptions_end(session);
    tracking_stop(session);
    session->db = 0;
    session->protocol = 2;
    session->flags &= ~(SESSION_REPLY_OFF | SESSION_REPLY_SKIP_NEXT | SESSION_REPLY_SKIP |
                        SESSION_NO_EVICT | SESSION_NO_TOUCH);
    heap_free(session->name);
    session->name = NULL;
}

void
session_close(struct session *session, bool after_reply)
{
    struct shard *shard = session->shard;
    session->flags |= after_reply ? SESSION_CLOSE_AFTER_REPLY : SESSION_KILLED;
    if (shard->ops.session_close != NULL) {
        shard->ops.session_close(shard->core, session, after_reply);
    }
}

bool
session_name_is_valid(struct slice name)
{
    for (size_t i = 0; i < name.size; i++) {
        if (name.data[i] < '!' || name.data[i] > '~') {
            return false;
        }
    }
    return true;
}

static bool
session_text_set(char **field, struct slice text)
{
    if (!session_name_is_valid(text)) {
        return false;
    }
    heap_free(*field);
    *field = NULL;
    if (text.size > 0) {
        *field = heap_alloc(text.size + 1);
        memcpy(*field, text.data, text.size);
        (*field)[text.size] = '\0';
    }
    return true;
}

bool
session_name_set(struct session *session, struct slice name)
{
    return session_text_set(&session->name, name);
}

static struct slice
session_library_name(const struct session *session)
{
    return slice_of_string(session->library == NULL ? "" : session->library);
}

static struct slice
session_library_version(const struct session *session)
{
    struct slice name = session_library_name(session);
    return session->library == NULL ? name : slice_of_string(name.data + name.size + 1);
}

static bool
session_library_set(struct session *session, struct slice name, struct slice version)
{
    if (!session_name_is_valid(name) || !session_name_is_valid(version)) {
        return false;
    }
    char *library = name.size + version.size > 0 ? text_pair(name, version) : NULL;
    heap_free(session->library);
    session->library = library;
    return true;
}

bool
session_library_name_set(struct session *session, struct slice name)
{
    return session_library_set(session, name, session_library_version(session));
}

bool
session_library_version_set(struct session *session, struct slice version)
{
    return session_library_set(session, session_library_name(session), version);
}

bool
session_is_local(const struct session *session)
{
    const char *address = session_address(session);
    return (session->flags & SESSION_UNIX_SOCKET) != 0 || strncmp(address, "127.0.0.1:", 10) == 0 ||
           strncmp(address, "[::1]:", 6) == 0;
}

struct session_traffic
session_traffic(struct session *session)
{
    struct session_traffic traffic = {0};
    const struct shard *shard = session->shard;
    if (shard->ops.session_traffic != NULL) {
        shard->ops.session_traffic(shard->core, session, &traffic);
    }
    return traffic;
}

uint64_t
session_memory_size(const struct session *session, const struct session_traffic *traffic)
{
    return sizeof(*session) + traffic->query_size + traffic->query_free_size +
           traffic->output_memory_size + subscriptions_memory_size(session) +
           tracking_memory_size(session) + (session->name == NULL ? 0 : strlen(session->name) + 1);
}

/** One letter for each property, "N" for none. */
static void
session_flag_letters(const struct session *session, char letters[16])
{
    uint32_t count = 0;
    if ((session->flags & SESSION_MONITOR) != 0) {
        letters[count++] = 'O';
    }
    if ((session->flags & SESSION_PUBSUB) != 0) {
        letters[count++] = 'P';
    }
    uint32_t tracking = tracking_options(session);
    if ((tracking & TRACKING_ON) != 0) {
        letters[count++] = 't';
    }
    if ((tracking & TRACKING_BROKEN) != 0) {
        letters[count++] = 'R';
    }
    if ((tracking & TRACKING_BCAST) != 0) {
        letters[count++] = 'B';
    }
    if ((session->flags & SESSION_MULTI) != 0) {
        letters[count++] = 'x';
    }
    if (session->blocker != NULL) {
        letters[count++] = 'b';
    }
    if ((session->flags & SESSION_CLOSE_AFTER_REPLY) != 0) {
        letters[count++] = 'c';
    }
    if ((session->flags & SESSION_KILLED) != 0) {
        letters[count++] = 'A';
    }
    if ((session->flags & SESSION_UNIX_SOCKET) != 0) {
        letters[count++] = 'U';
    }
    if ((session->flags & SESSION_NO_EVICT) != 0) {
        letters[count++] = 'e';
    }
    if ((session->flags & SESSION_NO_TOUCH) != 0) {
        letters[count++] = 'T';
    }
    if (count == 0) {
        letters[count++] = 'N';
    }
    letters[count] = '\0';
}

void
session_describe(struct session *session, int64_t now_ms, struct output *output)
{
    struct session_traffic traffic = session_traffic(session);
    const struct multi *multi = session->multi;
    char line[SESSION_LINE_SIZE_MAX];
    char letters[16];
    session_flag_letters(session, letters);
    const struct command *command = session->last_command;
    bool has_parent = command != NULL && command->parent != NULL;
    int size = snprintf(line, sizeof(line),
                        "id=%llu addr=%s laddr=%s fd=%d name=", (unsigned long long)session->id,
                        session_address(session), session_local_address(session), session->fd);
    ASSERT(size > 0 && (size_t)size < sizeof(line));
    output_append(output, line, (size_t)size);
    if (session->name != NULL) {
        output_append(output, session->name, strlen(session->name));
    }
    size = snprintf(
        line, sizeof(line),
        " age=%lld idle=%lld flags=%s db=%u sub=%u psub=%u ssub=%u multi=%d qbuf=%llu "
        "qbuf-free=%llu"
        " argv-mem=0 multi-mem=%llu rbs=0 rbp=0 obl=%llu oll=0 omem=%llu tot-mem=%llu events=%s"
        " cmd=%s%s%s user=default redir=%lld resp=%u lib-name=",
        (long long)(MAX(now_ms - session->created_ms, 0) / 1000),
        (long long)(MAX(now_ms - session->last_command_ms, 0) / 1000), letters, session->db,
        subscriptions_kind_count(session, TOPIC_CHANNEL),
        subscriptions_kind_count(session, TOPIC_PATTERN),
        subscriptions_kind_count(session, TOPIC_SHARD_CHANNEL),
        multi == NULL ? -1 : (int)multi->count, (unsigned long long)traffic.query_size,
        (unsigned long long)traffic.query_free_size,
        (unsigned long long)(multi == NULL ? 0 : multi->memory_size),
        (unsigned long long)traffic.output_size, (unsigned long long)traffic.output_memory_size,
        (unsigned long long)session_memory_size(session, &traffic),
        traffic.output_size > 0 ? "rw" : "r",
        command == NULL ? "NULL"
        : has_parent    ? command->parent
                        : command->name,
        has_parent ? "|" : "", has_parent ? command->name : "",
        (long long)tracking_redirect_id(session), session->protocol);
    ASSERT(size > 0 && (size_t)size < sizeof(line));
    output_append(output, line, (size_t)size);
    struct slice name = session_library_name(session);
    struct slice version = session_library_version(session);
    output_append(output, name.data, name.size);
    output_append(output, " lib-ver=", strlen(" lib-ver="));
    output_append(output, version.data, version.size);
    size = snprintf(line, sizeof(line), " core=%u\n", session->shard->index);
    output_append(output, line, (size_t)size);
}
