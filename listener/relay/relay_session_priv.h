/* relay_session_priv: the inside of a session, for its own files and tests. */
#ifndef MOSTRO_RELAY_SESSION_PRIV_H
#define MOSTRO_RELAY_SESSION_PRIV_H

#include "event_budget.h"
#include "nostr/relay_message.h"
#include "nostr/subscription.h"
#include "registry/stats.h"
#include "relay_gaps.h"
#include "relay_session.h"
#include "wrap_guard.h"

/* How a relay has refused a kind's subscription, or its pages, in this connection. */
struct refusals {
    enum subscription_refusal last;
    bool may_be_late; /* we asked before we were let in, and the relay has not answered */
    bool asked_again; /* at once, once: the refusal may have been sent before we were let in */
};

struct relay_session {
    struct relay_session_options options;
    struct subscription subscriptions[SETTINGS_MAX_KINDS];
    struct relay_gaps *gaps; /* kinds have the same index in both */
    struct refusals subscription_refusals[SETTINGS_MAX_KINDS], page_refusals[SETTINGS_MAX_KINDS];
    size_t count;
    bool authenticated;
    bool asked_before[SETTINGS_MAX_KINDS]; /* the REQ was sent before our last AUTH */
    int64_t verdict_ms; /* the relay's verdict on our AUTH is awaited until then; 0: none is */
    size_t turn;        /* the kind whose page is asked for next, if it wants one */
    int64_t page_ms;    /* not before then */
    struct wrap_guard guard;
    struct event_budget budget;
    unsigned bad; /* frames in a row */
    unsigned lines;
    int64_t lines_since_ms;
};

/* What a message is about: the live subscription or the page of a kind, or neither. */
struct topic {
    enum { TOPIC_NONE, TOPIC_LIVE, TOPIC_PAGE } is;
    size_t kind; /* its index */
    enum subscription_match match;
};

/* ---- relay_session.c ------------------------------------------------------------------------- */

uint32_t relay_session_kind(const struct relay_session *session, size_t kind);

/* What a frame with this subscription id is about. */
struct topic relay_session_find(const struct relay_session *session, const struct relay_text *id);

/* Whether one more line may be logged about this relay, which must not be able to fill the log. */
bool relay_session_may_log(struct relay_session *session, int64_t now_ms);

void relay_session_count(struct relay_session *session, enum stats_counter which);

/* ---- relay_session_pages.c: the pages of stored events ----------------------------------------
 */

/* When relay_session_next_page_frame() will have something. */
int64_t relay_session_page_due_ms(const struct relay_session *session);
size_t relay_session_next_page_frame(struct relay_session *session, int64_t now_ms, char *out);

/* ---- relay_session_access.c: whether the relay lets us in -------------------------------------
 */

size_t relay_session_next_auth_frame(struct relay_session *session, int64_t now_ms, int64_t unix_s,
                                     char *out);
void relay_session_on_auth(struct relay_session *session, const struct relay_message *message,
                           int64_t now_ms);
void relay_session_on_ok(struct relay_session *session, const struct relay_message *message,
                         int64_t now_ms);
void relay_session_on_closed(struct relay_session *session, const struct relay_message *message,
                             int64_t now_ms);

/* ---- relay_session_events.c: what becomes of an event -----------------------------------------
 */

void relay_session_on_event(struct relay_session *session, const struct relay_text *subscription,
                            const struct event *event, int64_t now_ms, int64_t unix_s);

/* Takes an event that cannot be read; `json` is what there is of it. */
void relay_session_on_malformed_event(struct relay_session *session,
                                      const struct relay_text *subscription, const json_t *json,
                                      int64_t now_ms);

#endif
