#include "rig.h"

#include "shard/persistence.h"
#include "shard/stats.h"

#include <stdio.h>
#include <stdlib.h>

static void
rig_session_close(void *core, struct session *session, bool after_reply)
{
    struct rig *rig = core;
    ASSERT(rig->closed_count < RIG_SESSIONS);
    rig->is_after_reply[rig->closed_count] = after_reply;
    rig->closed[rig->closed_count++] = session->id;
}

static void
rig_shutdown(void *core, uint32_t flags)
{
    struct rig *rig = core;
    rig->shutdown_flags = flags;
    rig->shutdown_count++;
}

static void
rig_session_traffic(void *core, struct session *session, struct session_traffic *traffic)
{
    struct rig *rig = core;
    (void)session;
    traffic->query_size = 26;
    rig->refresh_count++;
}

struct rig *
rig_new(void)
{
    struct rig *rig = calloc(1, sizeof(*rig));
    ASSERT(rig != NULL);
    rig->harness = harness_new();
    struct shard *shard = rig->harness->shard;
    shard->core = rig;
    shard->ops.session_close = rig_session_close;
    shard->ops.session_traffic = rig_session_traffic;
    shard->ops.shutdown = rig_shutdown;
    shard->node->start_ms = shard->now_ms;
    clock_scale_create(&shard->node->clock_scale);
    free(rig->harness->session);
    for (uint32_t i = 0; i < RIG_SESSIONS; i++) {
        struct session *session = calloc(1, sizeof(*session));
        ASSERT(session != NULL);
        session_create(session, shard, i + 1, shard->now_ms);
        session->fd = 8 + (int)i;
        char address[64];
        snprintf(address, sizeof(address), "10.0.0.%u:%u", i + 1, 5000 + i);
        session_addresses_set(session, address, "10.0.0.9:6379");
        rig->sessions[i] = session;
    }
    rig->harness->session = rig->sessions[0];
    shard->persistence = persistence_new(shard);
    return rig;
}

void
rig_delete(struct rig *rig)
{
    persistence_let_go(rig->harness->shard->persistence);
    persistence_delete(rig->harness->shard->persistence);
    rig->harness->shard->persistence = NULL;
    for (uint32_t i = 0; i < RIG_SESSIONS; i++) {
        session_destroy(rig->sessions[i]);
        if (i > 0) {
            free(rig->sessions[i]);
        }
    }
    ASSERT(rig->harness->shard->session_count == 0);
    rig->harness->session = rig->sessions[0];
    stats_destroy(rig->harness->shard);
    harness_delete(rig->harness);
    free(rig);
}

bool
rig_says(struct rig *rig, const char *line, const char *expected)
{
    const char *reply = harness_line(rig->harness, line);
    if (strcmp(reply, expected) != 0) {
        fprintf(stderr, "%s\n    said:     %s\n    expected: %s\n", line, reply, expected);
        return false;
    }
    return true;
}

bool
rig_shows(struct rig *rig, const char *line, const char *part)
{
    const char *reply = harness_line(rig->harness, line);
    if (strstr(reply, part) == NULL) {
        fprintf(stderr, "%s\n    said:    %s\n    without: %s\n", line, reply, part);
        return false;
    }
    return true;
}
