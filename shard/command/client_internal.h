/*
 * client_internal.h: what the files of the CLIENT family share.
 */
#pragma once

#include "shard/call.h"

struct session;

/** The classes that TYPE filters by. All clients are normal ones as long as nobody subscribes or
 * replicates. */
enum client_type {
    CLIENT_TYPE_NORMAL,
    CLIENT_TYPE_REPLICA,
    CLIENT_TYPE_PUBSUB,
    CLIENT_TYPE_MASTER,
};

/** False, with the error replied, for a word that is no type. */
bool client_type_parse(struct call *call, struct slice word, enum client_type *type);
enum client_type client_type_of(const struct session *session);

bool client_list_check(struct call *call);
void client_list_part(struct part *part);
void client_list(struct call *call);
void client_info(struct call *call);

bool client_tracking_check(struct call *call);
void client_tracking_part(struct part *part);
void client_tracking(struct call *call);
void client_caching(struct call *call);
void client_getredir(struct call *call);
void client_trackinginfo(struct call *call);
extern const struct command_argument client_tracking_arguments[];
extern const struct command_argument client_caching_arguments[];

bool client_unblock_check(struct call *call);
void client_unblock_part(struct part *part);
void client_unblock(struct call *call);

bool client_kill_check(struct call *call);
void client_kill_part(struct part *part);
void client_kill(struct call *call);
