/*
 * mailbox.h: how cores talk. A message (`struct mail`) is embedded in what it is about and belongs
 * to whoever received it last, so that mail allocates nothing and needs no locks.
 *
 * An exchange holds one SPSC ring for each ordered pair of cores, and for each core a set of
 * doorbell bits, one for each sender. Posting never blocks and never fails: what does not fit the
 * ring waits in the sender's own queue, in order. Mail to oneself goes through a plain list.
 */
#pragma once

#include "core/base.h"

#define MAIL_CORE_COUNT_MAX 1024

struct mail {
    struct mail *next; /* the sender's queue, or free for whoever holds the mail */
    uint8_t kind;      /* a closed set that the user of the exchange declares */
    uint16_t from;
    uint16_t to;
};

struct exchange;

/** Mailboxes between `core_count` cores. */
struct exchange *exchange_new(uint32_t core_count);
/** All threads have ended; mail that is still inside is not freed. */
void exchange_delete(struct exchange *exchange);

/** How to wake a parked core; called by other cores. NULL: nobody parks (simulator). */
typedef void exchange_wake_fn(void *context, uint32_t core);
void exchange_wake_set(struct exchange *exchange, exchange_wake_fn *wake, void *context);

/** Send `mail`, whose kind is set, from the calling core. It travels at the next mail_flush() at
 * the latest; order from one core to another is kept. */
void mail_post(struct exchange *exchange, uint32_t from, uint32_t to, struct mail *mail);

/** May a new request be posted, or should its connection wait? Answers need not ask. */
bool mail_has_room(struct exchange *exchange, uint32_t from, uint32_t to);

/** Ring the doorbells of all cores with new mail from `from` and wake the parked ones. Once a turn.
 */
void mail_flush(struct exchange *exchange, uint32_t from);

typedef void mail_fn(void *context, struct mail *mail);

/** Take at most `count_max` messages for core `to` from all senders that rang. Returns their count.
 */
uint32_t mail_receive(struct exchange *exchange, uint32_t to, uint32_t count_max, mail_fn *receive,
                      void *context);
/** The same from one sender, whether it rang or not (simulator: any order of senders). */
uint32_t mail_receive_from(struct exchange *exchange, uint32_t to, uint32_t from,
                           uint32_t count_max, mail_fn *receive, void *context);
/** Is there something to receive now? One load when there is not. */
bool mail_is_waiting(const struct exchange *exchange, uint32_t to);

/** About to sleep: from now on senders wake this core. False: mail has come, do not sleep. */
MUST_CHECK bool mail_park(struct exchange *exchange, uint32_t core);
void mail_unpark(struct exchange *exchange, uint32_t core);
