/* relay_session: the conversation with one relay, without the connection.
 *
 * Told that a connection was made, it says which frames to send and when. Given the frames that
 * arrive, it keeps the subscriptions, answers challenges (NIP-42), verifies events and hands new
 * ones to the intake. After a gap (see relay_gaps.h) it asks for stored events, page by page, one
 * page at a time and at most two a second.
 *
 * Events that a live subscription sends before EOSE, or before the time for it is over, are
 * dropped: `limit:1` asks for one, and a relay that ignores the limit sends more. Pages ask for
 * those that are missing. A live event is taken whatever its created_at.
 *
 * Not thread-safe: one per relay, in its thread. Milliseconds are of clock_monotonic_ms(). */
#ifndef MOSTRO_RELAY_SESSION_H
#define MOSTRO_RELAY_SESSION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "intake.h"
#include "nostr/event.h"
#include "nostr/relay_auth.h"
#include "registry/listener_report.h"
#include "registry/registry_events.h"
#include "settings/settings.h"

#define RELAY_SESSION_FRAME_SIZE RELAY_AUTH_FRAME_SIZE
#define RELAY_SESSION_PAGE_MS    500 /* at least, from one page to the next */
#define RELAY_SESSION_MAX_BAD \
    100 /* senseless frames in a row, from a relay without a live subscription */
#define RELAY_SESSION_MAX_LINES 20 /* log lines a minute for what a relay says */
#define RELAY_SESSION_NEVER     INT64_MAX

struct relay_session_options {
    const char *name; /* of the relay, for the log */
    const struct settings_kinds *kinds;
    struct taken_ids *taken_ids;
    struct stats *stats;
    struct intake *intake;
    struct event_verifier *verifier;
    struct relay_auth *auth;
    int64_t events_per_s;          /* see event_budget.h */
    _Atomic int64_t *last_event_s; /* set to the Unix time of each verified event */
};

struct relay_session;

/* What the options point to must outlive the session. NULL when out of memory. */
struct relay_session *relay_session_new(const struct relay_session_options *options);
void relay_session_free(struct relay_session **session);

/* A connection was made, and has ended. */
void relay_session_begin(struct relay_session *session);
void relay_session_end(struct relay_session *session);

/* Everything that had arrived at `heard_ms` has been received. Sends nothing to Redis: the intake's
 * owner offers its events. */
void relay_session_settle(struct relay_session *session, int64_t heard_ms, int64_t now_ms);

/* Which events of this relay are in Redis: arguments of registry_cursors(). */
struct relay_report {
    bool sure;         /* else report again soon: too little is known to ask for anything */
    const char *epoch; /* the session's: valid until it learns another */
    struct registry_cursor cursors[SETTINGS_MAX_KINDS];
    size_t count;
};

/* Makes the report, for Redis, about once a second. `unix_ms` is of our clock. */
void relay_session_report(struct relay_session *session, int64_t unix_ms, int64_t now_ms,
                          struct relay_report *report);

/* Takes Redis's answer to the last report (`answer`, NULL for none, and the cursors in `report`);
 * `now_ms` is read after it. True: Redis had lost its data, and events from before now are not
 * asked for. */
bool relay_session_learn(struct relay_session *session, const struct registry_now *answer,
                         const struct relay_report *report, int64_t now_ms);

/* Another Redis has become the primary, and may be without the last that was taken. No id counts as
 * taken any more, for the whole process: Redis decides. What is missing is asked for after the next
 * report. */
void relay_session_doubt(struct relay_session *session);

/* The next frame to send, if one is due: its length, or 0. */
size_t relay_session_next_frame(struct relay_session *session, int64_t now_ms, int64_t unix_s,
                                char out[RELAY_SESSION_FRAME_SIZE]);

/* When relay_session_next_frame() will have something; RELAY_SESSION_NEVER if it will not. */
int64_t relay_session_due_ms(struct relay_session *session);

/* One whole text frame arrived. False: the relay makes no sense, drop the connection. */
bool relay_session_receive(struct relay_session *session, const char *text, size_t len,
                           int64_t now_ms, int64_t unix_s) __attribute__((warn_unused_result));

/* A frame arrived that cannot be read; `what` names it. False as above. */
bool relay_session_reject(struct relay_session *session, const char *what, int64_t now_ms)
    __attribute__((warn_unused_result));

/* For how many milliseconds the relay is not to be read, since it has sent more events than it may;
 * 0: it may be read. */
int64_t relay_session_pause_ms(const struct relay_session *session, int64_t now_ms);

/* Whether the relay may be keeping all gift wraps from us (see wrap_guard.h). */
bool relay_session_may_hide_wraps(const struct relay_session *session);

/* What a connection's subscription for a kind, by its index, has come to. */
enum report_subscription relay_session_subscription(const struct relay_session *session,
                                                    size_t kind);

/* Whether every REQ of this connection has had its answer, or the time for it is over, and at least
 * one is live that is for kind 1059 or 14. */
bool relay_session_is_settled(const struct relay_session *session);

#endif
