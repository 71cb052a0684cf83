/* subscription: what one connection asks of its relay for one event kind.
 *
 * Each kind has a REQ of its own, without authors and `#p`, because a relay must not learn who is
 * registered. It has `limit:1` and no `since`, because gift wraps are dated up to two days back
 * (NIP-59); nostr-rs-relay never ends its answer to `limit:0`. EOSE tells stored events from live
 * ones, even where a relay ignores the limit; without an EOSE, events are live when the time for it
 * is over. A refused REQ (CLOSED) is asked again after a back-off, under a new id, so that late
 * answers to the old REQ are not taken for answers to the new one.
 *
 * Pure: milliseconds of a monotonic clock and randomness are given. */
#ifndef MOSTRO_SUBSCRIPTION_H
#define MOSTRO_SUBSCRIPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "relay_backoff.h"

#define SUBSCRIPTION_ID_LEN     16
#define SUBSCRIPTION_FRAME_SIZE 96
#define SUBSCRIPTION_ANSWER_MS  20000 /* the time for a relay to send its stored events */
#define SUBSCRIPTION_NEVER      INT64_MAX

enum subscription_state {
    SUBSCRIPTION_UNASKED,
    SUBSCRIPTION_ASKED, /* events are stored ones */
    SUBSCRIPTION_LIVE,  /* after EOSE or its time: events are new */
    SUBSCRIPTION_CLOSED /* refused */
};

/* Why a relay closed a subscription, by how its reason begins (NIP-01, NIP-42). */
enum subscription_refusal {
    SUBSCRIPTION_REFUSED_NOT,
    SUBSCRIPTION_REFUSED_OTHER,
    SUBSCRIPTION_REFUSED_AUTH_REQUIRED,
    SUBSCRIPTION_REFUSED_RESTRICTED
};

struct subscription {
    uint32_t kind;
    enum subscription_state state;
    bool answered; /* see subscription_is_answered() */
    char id[SUBSCRIPTION_ID_LEN + 1];
    char old_id[SUBSCRIPTION_ID_LEN +
                1]; /* of the renewed one, which is open until the new one is live; or "" */
    bool old_is_live;
    int64_t due_ms;        /* when there is something to send */
    int64_t live_since_ms; /* if it is live */
    struct relay_backoff backoff;
};

void subscription_init(struct subscription *subscription, uint32_t kind);

/* A new connection: the REQ is to be sent again, at once. */
void subscription_reset(struct subscription *subscription);

/* The relay's answer may have changed: a REQ that was sent is sent again. A live subscription stays
 * open until the new one is live, so that nothing is missed in between. */
void subscription_renew(struct subscription *subscription);

/* Lets a refused REQ be sent again at once. */
void subscription_hurry(struct subscription *subscription);

/* Whether it has been asked for in this connection. */
bool subscription_was_asked(const struct subscription *subscription);

/* Whether its stored events are still to end. */
bool subscription_is_asked(const struct subscription *subscription);
bool subscription_is_live(const struct subscription *subscription);

/* Whether this connection has had an answer: EOSE, CLOSED, or the time for it is over. */
bool subscription_is_answered(const struct subscription *subscription);

/* Writes the next frame to send, if one is due: a REQ, or the CLOSE of one that was renewed.
 * Returns its length, or 0. */
size_t subscription_next_frame(struct subscription *subscription, int64_t now_ms, uint64_t random,
                               char out[SUBSCRIPTION_FRAME_SIZE]);

/* Writes the CLOSE of a subscription with this id; returns its length. */
size_t subscription_close_frame(const char *id, char out[SUBSCRIPTION_FRAME_SIZE]);

/* When subscription_next_frame() will have something, or subscription_is_late() will be true:
 * SUBSCRIPTION_NEVER while live. */
int64_t subscription_due_ms(const struct subscription *subscription);

/* What a message with this subscription id is about. */
enum subscription_match {
    SUBSCRIPTION_MATCH_NONE,
    SUBSCRIPTION_MATCH_NOW,
    SUBSCRIPTION_MATCH_OLD /* the one that was renewed */
};
enum subscription_match subscription_match(const struct subscription *subscription, const char *id,
                                           size_t len);

/* Whether an event that matches so is a new one, and not from before. */
bool subscription_shows_live(const struct subscription *subscription,
                             enum subscription_match match);

/* Whether it has been asked for, and the time for its stored events is over. */
bool subscription_is_late(const struct subscription *subscription, int64_t now_ms);

/* The relay has sent all stored events, or the time for that is over. */
void subscription_on_eose(struct subscription *subscription, int64_t now_ms);

/* The relay has closed the one that was renewed. */
void subscription_old_closed(struct subscription *subscription);

/* The relay has closed the one asked for or live. */
void subscription_on_closed(struct subscription *subscription, int64_t now_ms, uint64_t random);

/* `reason` is the relay's text. */
enum subscription_refusal subscription_refusal(const char *reason, size_t len);

#endif
