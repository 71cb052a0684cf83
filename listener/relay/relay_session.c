#include "relay_session_priv.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/random.h"
#include "log/log.h"
#include "nostr/event_scan.h"
#include "nostr/relay_message.h"
#include "nostr/subscription.h"
#include "wrap_guard.h"

#define LINES_WINDOW_MS 60000

_Static_assert(RELAY_SESSION_NEVER == SUBSCRIPTION_NEVER, "never is never");

/* How a relay has refused a kind's subscription, or its pages, in this connection. */
struct refusals {
    enum subscription_refusal last;
    bool may_be_late; /* we asked before we were let in, and have had no answer */
    bool asked_again; /* at once, as a refusal may have been on its way when we were let in */
};

struct relay_session {
    struct relay_session_options options;
    struct subscription subscriptions[SETTINGS_MAX_KINDS];
    struct relay_gaps gaps; /* kinds have the same index in both */
    struct refusals subscription_refusals[SETTINGS_MAX_KINDS], page_refusals[SETTINGS_MAX_KINDS];
    size_t count;
    bool authenticated;
    bool asked_before[SETTINGS_MAX_KINDS]; /* our answer to a challenge was sent */
    int64_t verdict_ms; /* until then a verdict on that answer is waited for; 0: on none */
    size_t turn;        /* the kind whose page is asked for next, if it wants one */
    int64_t page_ms;    /* not before then */
    struct wrap_guard guard;
    unsigned bad; /* frames in a row */
    unsigned lines;
    int64_t lines_since_ms;
};

struct relay_session *relay_session_new(const struct relay_session_options *options)
{
    struct relay_session *session = calloc(1, sizeof *session);

    if (session == NULL)
        return NULL;
    session->options = *options;
    session->count = options->kinds->count;
    relay_gaps_init(&session->gaps, options->kinds);
    for (size_t i = 0; i < session->count; i++)
        subscription_init(&session->subscriptions[i], options->kinds->kind[i]);
    return session;
}

void relay_session_free(struct relay_session **session)
{
    free(*session);
    *session = NULL;
}

void relay_session_begin(struct relay_session *session)
{
    session->bad = 0;
    session->authenticated = false;
    session->verdict_ms = 0;
    relay_auth_begin(session->options.auth);
    for (size_t i = 0; i < session->count; i++) {
        session->subscription_refusals[i] = session->page_refusals[i] = (struct refusals){0};
        subscription_reset(&session->subscriptions[i]);
    }
}

void relay_session_end(struct relay_session *session)
{
    relay_gaps_down(&session->gaps);
}

/* Said at once where a REQ was refused until we had authenticated. */
static void warn_of_guard(struct relay_session *session, int64_t now_ms)
{
    for (size_t i = 0; session->authenticated && i < session->count; i++) {
        const struct subscription *it = &session->subscriptions[i];

        if (it->kind == WRAP_GUARD_KIND && it->state == SUBSCRIPTION_LIVE &&
            wrap_guard_is_to_warn(&session->guard, now_ms - it->live_since_ms))
            log_warn("relay %s: wants authentication, and has shown no gift wrap (kind %d): it may "
                     "keep them from all but their addressees, and says so to nobody",
                     session->options.name, WRAP_GUARD_KIND);
    }
}

void relay_session_settle(struct relay_session *session, int64_t heard_ms, int64_t now_ms)
{
    struct intake *intake = session->options.intake;

    warn_of_guard(session, now_ms);
    if (intake_held(intake) > 0)
        return;
    if (intake_has_lost(intake) && session->gaps.sure) {
        relay_gaps_lost(&session->gaps, now_ms);
        intake_forget_loss(intake);
    }
    if (!intake_has_lost(intake))
        relay_gaps_taken(&session->gaps, heard_ms);
}

void relay_session_report(struct relay_session *session, int64_t unix_ms, int64_t now_ms,
                          struct relay_report *report)
{
    const struct intake *intake = session->options.intake;

    relay_gaps_our_clock(&session->gaps, unix_ms, now_ms);
    relay_gaps_report(&session->gaps, intake_held(intake) > 0 || intake_has_lost(intake),
                      report->cursors);
    report->sure = session->gaps.sure;
    report->epoch = session->gaps.epoch;
    report->count = session->gaps.count;
}

bool relay_session_learn(struct relay_session *session, const struct registry_now *answer,
                         const struct relay_report *report, int64_t now_ms)
{
    if (answer != NULL)
        return relay_gaps_learn(&session->gaps, answer, report->cursors, now_ms);
    relay_gaps_unsure(&session->gaps);
    return false;
}

struct relay_gaps *relay_session_gaps(struct relay_session *session)
{
    return &session->gaps;
}

/* A relay must not be able to fill the log. */
static bool may_log(struct relay_session *session, int64_t now_ms)
{
    if (session->lines == 0 || now_ms - session->lines_since_ms >= LINES_WINDOW_MS) {
        session->lines = 0;
        session->lines_since_ms = now_ms;
    }
    if (session->lines >= RELAY_SESSION_MAX_LINES)
        return false;
    session->lines++;
    return true;
}

/* What the subscription shows from now on is new. `though` says what is odd about it, or nothing.
 */
static void go_live(struct relay_session *session, size_t kind, const char *though, int64_t now_ms)
{
    struct subscription *subscription = &session->subscriptions[kind];

    if (subscription->state != SUBSCRIPTION_ASKED)
        return;
    subscription_on_eose(subscription, now_ms);
    relay_gaps_live(&session->gaps, kind, now_ms);
    if (may_log(session, now_ms))
        log_info("relay %s: subscribed to kind %" PRIu32 "%s%s", session->options.name,
                 subscription->kind, *though == '\0' ? "" : ", though ", though);
}

/* ---- Sending --------------------------------------------------------------------------------- */

static size_t next_subscription_frame(struct relay_session *session, int64_t now_ms, char *out)
{
    for (size_t i = 0; i < session->count; i++) {
        struct subscription *subscription = &session->subscriptions[i];
        size_t len;

        if (subscription_is_late(subscription, now_ms))
            go_live(session, i, "its stored events have not ended in time", now_ms);
        len = subscription_next_frame(subscription, now_ms, random_up_to(UINT64_MAX), out);
        if (len > 0)
            return len;
    }
    return 0;
}

/* The kind whose page is outstanding, or else whose turn it is to ask for one; NULL for none. What
 * Redis does not take now, or of data that it may have lost, is not asked for. */
static struct catch_up *current_page(struct relay_session *session)
{
    struct relay_gaps_kind *kinds = session->gaps.kind;
    struct catch_up *next = NULL;

    for (size_t i = 0; i < session->count; i++) {
        struct relay_gaps_kind *kind = &kinds[(session->turn + i) % session->count];

        if (catch_up_is_busy(&kind->catch_up))
            return &kind->catch_up;
        if (!kind->live || kind->catch_up.state == CATCH_UP_IDLE)
            continue;
        if (next == NULL || catch_up_due_ms(&kind->catch_up) < catch_up_due_ms(next))
            next = &kind->catch_up;
    }
    return session->gaps.sure && intake_held(session->options.intake) == 0 ? next : NULL;
}

/* When there is something to send for current_page(). */
static int64_t page_due_ms(const struct relay_session *session, const struct catch_up *page)
{
    int64_t due;

    if (page == NULL)
        return SUBSCRIPTION_NEVER;
    due = catch_up_due_ms(page);
    if (catch_up_is_busy(page))
        return due;
    if (due < session->verdict_ms) /* a relay may hide events until it has accepted our AUTH */
        due = session->verdict_ms;
    return due < session->page_ms ? session->page_ms : due;
}

static void tell_end(const struct relay_session *session, const struct catch_up *page)
{
    if (page->state == CATCH_UP_IDLE)
        log_info("relay %s: caught up on kind %" PRIu32, session->options.name, page->kind);
}

static size_t next_page_frame(struct relay_session *session, int64_t now_ms, char *out)
{
    struct catch_up *page = current_page(session);
    size_t len;

    if (page_due_ms(session, page) > now_ms)
        return 0;
    len = catch_up_next_frame(page, now_ms, relay_gaps_latest_unix_s(&session->gaps, now_ms),
                              random_up_to(UINT64_MAX), out);
    if (page->state == CATCH_UP_ASKED) {
        session->page_ms = now_ms + RELAY_SESSION_PAGE_MS;
        session->turn = (session->turn + 1) % session->count;
        stats_add(session->options.stats, STAT_CATCH_UP_PAGES, 1);
    }
    tell_end(session, page);
    return len;
}

static size_t next_auth_frame(struct relay_session *session, int64_t now_ms, int64_t unix_s,
                              char *out)
{
    size_t len = relay_auth_next_frame(session->options.auth, unix_s, out);

    if (len == 0)
        return 0;
    session->verdict_ms = now_ms + SUBSCRIPTION_ANSWER_MS;
    for (size_t i = 0; i < session->count; i++)
        session->asked_before[i] = session->subscriptions[i].state != SUBSCRIPTION_UNASKED;
    return len;
}

size_t relay_session_next_frame(struct relay_session *session, int64_t now_ms, int64_t unix_s,
                                char out[RELAY_SESSION_FRAME_SIZE])
{
    size_t len = next_auth_frame(session, now_ms, unix_s, out);

    if (len == 0)
        len = next_subscription_frame(session, now_ms, out);
    return len > 0 ? len : next_page_frame(session, now_ms, out);
}

int64_t relay_session_due_ms(struct relay_session *session)
{
    int64_t due;

    if (relay_auth_is_due(session->options.auth))
        return 0;
    due = page_due_ms(session, current_page(session));

    for (size_t i = 0; i < session->count; i++) {
        int64_t one = subscription_due_ms(&session->subscriptions[i]);

        if (one < due)
            due = one;
    }
    return due;
}

static bool is_live(const struct relay_session *session)
{
    for (size_t i = 0; i < session->count; i++)
        if (session->subscriptions[i].state == SUBSCRIPTION_LIVE)
            return true;
    return false;
}

bool relay_session_may_hide_wraps(const struct relay_session *session)
{
    return wrap_guard_may_hide(&session->guard);
}

bool relay_session_is_settled(const struct relay_session *session)
{
    for (size_t i = 0; i < session->count; i++) {
        if (!session->subscriptions[i].answered)
            return false;
    }
    return is_live(session);
}

/* ---- Receiving ------------------------------------------------------------------------------- */

/* What a message is about: the live subscription or the page of a kind, or nothing any more. */
struct topic {
    enum { TOPIC_NONE, TOPIC_LIVE, TOPIC_PAGE } is;
    size_t kind; /* its index */
    enum subscription_match match;
};

static struct topic find(const struct relay_session *session, const struct relay_text *id)
{
    for (size_t i = 0; i < session->count; i++) {
        enum subscription_match match =
            subscription_match(&session->subscriptions[i], id->text, id->len);

        if (match != SUBSCRIPTION_MATCH_NONE)
            return (struct topic){TOPIC_LIVE, i, match};
        if (catch_up_is(&session->gaps.kind[i].catch_up, id->text, id->len))
            return (struct topic){TOPIC_PAGE, i, SUBSCRIPTION_MATCH_NONE};
    }
    return (struct topic){TOPIC_NONE, 0, SUBSCRIPTION_MATCH_NONE};
}

static void count(struct relay_session *session, enum stats_counter which)
{
    stats_add(session->options.stats, which, 1);
}

/* For the debug log. Until it is verified an event only claims to be for this pubkey. */
static void tell_event(const struct relay_session *session, const struct event *event,
                       const char *what)
{
    if (event->addressed)
        log_debug("relay %s: %s is named by an event %s", session->options.name,
                  log_debug_name(&event->trade_pubkey).text, what);
}

static void refuse_event(struct relay_session *session, const char *why, int64_t now_ms)
{
    count(session, STAT_EVENTS_INVALID);
    if (may_log(session, now_ms))
        log_info("relay %s: an event was refused: %s", session->options.name, why);
}

/* By this machine's clock, for Redis's need not be known yet. */
static void take_event(struct relay_session *session, const struct event *event, struct topic topic,
                       int64_t unix_s)
{
    atomic_store(session->options.last_event_s, unix_s);
    if (event->kind == WRAP_GUARD_KIND)
        wrap_guard_shown(&session->guard);
    if (event_has_expired(event, unix_s)) {
        count(session, STAT_EVENTS_EXPIRED);
        tell_event(session, event, "that has expired");
    } else if (topic.is == TOPIC_PAGE)
        intake_stored(session->options.intake, event, session->gaps.kind[topic.kind].live_ms);
    else
        intake_live(session->options.intake, event);
}

static void verify_event(struct relay_session *session, const struct event *event,
                         struct topic topic, int64_t now_ms, int64_t unix_s)
{
    switch (event_verify(session->options.verifier, event)) {
    case EVENT_OK:
        take_event(session, event, topic, unix_s);
        break;
    case EVENT_UNADDRESSED:
        atomic_store(session->options.last_event_s, unix_s);
        count(session, STAT_EVENTS_UNADDRESSED);
        break;
    case EVENT_WRONG_ID:
        tell_event(session, event, "that is refused: its id is wrong");
        refuse_event(session, "its id is wrong", now_ms);
        break;
    case EVENT_WRONG_SIGNATURE:
    case EVENT_MALFORMED:
        tell_event(session, event, "that is refused: its signature is wrong");
        refuse_event(session, "its signature is wrong", now_ms);
        break;
    }
}

/* Whether the event is of this answer's time: what it claims suffices, since a page that asks in
 * vain costs nobody anything. */
static bool belongs(struct relay_session *session, struct topic topic, const struct event *event,
                    int64_t now_ms)
{
    if (topic.is == TOPIC_PAGE)
        return catch_up_on_event(&session->gaps.kind[topic.kind].catch_up, event->created_at,
                                 now_ms);
    return subscription_shows_live(&session->subscriptions[topic.kind], topic.match);
}

/* An event that cannot be read takes its place in a page all the same, by its date if it has one.
 */
static void on_malformed_event(struct relay_session *session, struct topic topic,
                               const json_t *json, int64_t now_ms)
{
    const json_t *created_at = json_object_get(json, "created_at");
    struct catch_up *page = &session->gaps.kind[topic.kind].catch_up;

    refuse_event(session, "it is malformed", now_ms);
    if (topic.is == TOPIC_PAGE &&
        !(json_is_integer(created_at) &&
          catch_up_on_event(page, json_integer_value(created_at), now_ms)))
        catch_up_on_unread(page, now_ms);
}

static void on_event(struct relay_session *session, const struct relay_text *subscription,
                     const struct event *event, int64_t now_ms, int64_t unix_s)
{
    struct topic topic = find(session, subscription);

    count(session, STAT_EVENTS_RECEIVED);
    if (topic.is == TOPIC_NONE)
        return; /* an answer to a subscription that was closed meanwhile */
    if (event->kind != session->subscriptions[topic.kind].kind) {
        tell_event(session, event, "that is refused: its kind was not asked for");
        refuse_event(session, "it is of a kind that was not asked for", now_ms);
        return;
    }
    if (!belongs(session, topic, event, now_ms)) {
        tell_event(session, event, "from before this subscription: catching up asks for it");
        count(session, STAT_EVENTS_STORED);
        return;
    }
    /* Only true events are in the set, so what claims such an id is a copy or worthless. */
    if (taken_ids_has(session->options.taken_ids, event->id)) {
        tell_event(session, event, "that is repeated: it has been taken before");
        count(session, STAT_EVENTS_REPEATED);
        return;
    }
    verify_event(session, event, topic, now_ms, unix_s);
}

static void on_eose(struct relay_session *session, const struct relay_message *message,
                    int64_t now_ms)
{
    struct topic topic = find(session, &message->subscription);

    if (topic.match == SUBSCRIPTION_MATCH_NOW)
        go_live(session, topic.kind, "", now_ms);
    else if (topic.is == TOPIC_PAGE)
        catch_up_on_eose(&session->gaps.kind[topic.kind].catch_up, now_ms);
}

static void tell_refusal(struct relay_session *session, struct topic topic, bool is_first,
                         enum subscription_refusal refusal, const struct relay_text *why)
{
    static const char *const outlook[] = {
        [SUBSCRIPTION_REFUSED_OTHER] = "it will be asked again",
        [SUBSCRIPTION_REFUSED_AUTH_REQUIRED] = "we have not authenticated, or not to its liking",
        [SUBSCRIPTION_REFUSED_RESTRICTED] = "this relay will not show us those events",
    };
    const char *what =
        topic.is == TOPIC_PAGE ? "asking for stored events of" : "the subscription for";
    const char *name = session->options.name;
    uint32_t kind = session->subscriptions[topic.kind].kind;
    char reason[LOG_REDACTED_SIZE];

    (void)log_redact(reason, why->text, why->len);
    if (refusal == SUBSCRIPTION_REFUSED_AUTH_REQUIRED && is_first)
        log_info("relay %s: %s kind %" PRIu32 " needs authentication (%s)", name, what, kind,
                 reason);
    else
        log_warn("relay %s: %s kind %" PRIu32 " was closed (%s); %s", name, what, kind, reason,
                 outlook[refusal]);
}

/* What was refused is asked for at once, not after its back-off. */
static void ask_at_once(struct relay_session *session, size_t kind)
{
    if (session->subscriptions[kind].state == SUBSCRIPTION_CLOSED)
        subscription_reset(&session->subscriptions[kind]);
    catch_up_hurry(&session->gaps.kind[kind].catch_up);
}

/* The last refusal is of before we were let in, or may be: `restricted` is said to who is known. */
static bool refuses_a_stranger(const struct refusals *refusals)
{
    return refusals->last == SUBSCRIPTION_REFUSED_AUTH_REQUIRED ||
           (refusals->may_be_late && refusals->last != SUBSCRIPTION_REFUSED_RESTRICTED);
}

/* A refusal may be on its way still when our answer has been taken: then we ask once more at once,
 * and otherwise when it has been taken. */
static void on_refusal(struct relay_session *session, struct topic topic,
                       const struct relay_text *why, int64_t now_ms)
{
    struct refusals *refusals = topic.is == TOPIC_PAGE
                                    ? &session->page_refusals[topic.kind]
                                    : &session->subscription_refusals[topic.kind];
    enum subscription_refusal refusal = subscription_refusal(why->text, why->len);

    if (may_log(session, now_ms))
        tell_refusal(session, topic, refusals->last != refusal, refusal, why);
    refusals->last = refusal;
    if (session->subscriptions[topic.kind].kind == WRAP_GUARD_KIND)
        wrap_guard_refused(&session->guard, refusal);
    if (topic.is == TOPIC_PAGE) {
        catch_up_on_closed(&session->gaps.kind[topic.kind].catch_up, now_ms,
                           random_up_to(UINT64_MAX));
    } else {
        subscription_on_closed(&session->subscriptions[topic.kind], now_ms,
                               random_up_to(UINT64_MAX));
        relay_gaps_closed(&session->gaps, topic.kind);
    }
    if (session->authenticated && !refusals->asked_again && refuses_a_stranger(refusals)) {
        refusals->asked_again = true;
        ask_at_once(session, topic.kind);
    }
}

static void on_closed(struct relay_session *session, const struct relay_message *message,
                      int64_t now_ms)
{
    struct topic topic = find(session, &message->subscription);

    if (topic.match == SUBSCRIPTION_MATCH_OLD)
        subscription_old_closed(&session->subscriptions[topic.kind]);
    else if (topic.is != TOPIC_NONE)
        on_refusal(session, topic, &message->text, now_ms);
}

static void on_auth(struct relay_session *session, const struct relay_message *message,
                    int64_t now_ms)
{
    if (!relay_auth_challenge(session->options.auth, message->text.text, message->text.len) &&
        may_log(session, now_ms))
        log_warn("relay %s: sent a challenge that cannot be answered", session->options.name);
}

/* Whatever a relay refused, and in whatever words: it knows us now. Some leave out, without a word,
 * what they show only to who has authenticated: what was asked for before is asked for anew. */
static void ask_as_authenticated(struct relay_session *session)
{
    for (size_t i = 0; i < session->count; i++) {
        ask_at_once(session, i);
        if (!session->asked_before[i]) {
            session->subscription_refusals[i].may_be_late =
                session->subscriptions[i].state == SUBSCRIPTION_ASKED;
            continue;
        }
        subscription_renew(&session->subscriptions[i]);
        relay_gaps_was_not_live(&session->gaps, i);
    }
}

static void on_ok(struct relay_session *session, const struct relay_message *message,
                  int64_t now_ms)
{
    char reason[LOG_REDACTED_SIZE];
    bool is_first;

    if (!relay_auth_is_mine(session->options.auth, message->event_id.text, message->event_id.len))
        return;
    is_first = message->accepted && !session->authenticated;
    session->verdict_ms = 0;
    session->authenticated |= message->accepted;
    if (!message->accepted && may_log(session, now_ms))
        log_warn("relay %s: rejected our AUTH (%s)", session->options.name,
                 log_redact(reason, message->text.text, message->text.len));
    if (is_first && may_log(session, now_ms))
        log_info("relay %s: authenticated", session->options.name);
    if (is_first)
        ask_as_authenticated(session);
}

static void on_notice(struct relay_session *session, const struct relay_message *message,
                      int64_t now_ms)
{
    char notice[LOG_REDACTED_SIZE];

    if (may_log(session, now_ms))
        log_info("relay %s: notice: %s", session->options.name,
                 log_redact(notice, message->text.text, message->text.len));
}

bool relay_session_receive(struct relay_session *session, const char *text, size_t len,
                           int64_t now_ms, int64_t unix_s)
{
    struct relay_message message;
    struct relay_text subscription;
    struct event event;

    if (event_scan(&event, &subscription, text, len)) {
        session->bad = 0;
        on_event(session, &subscription, &event, now_ms, unix_s);
        return true;
    }
    if (!relay_message_parse(&message, text, len))
        return relay_session_reject(session, "a frame that is no message to a client", now_ms);
    session->bad = 0;
    switch (message.type) {
    case RELAY_MESSAGE_EVENT:
        if (event_read(&event, message.event) == EVENT_OK) {
            on_event(session, &message.subscription, &event, now_ms, unix_s);
        } else {
            count(session, STAT_EVENTS_RECEIVED);
            on_malformed_event(session, find(session, &message.subscription), message.event,
                               now_ms);
        }
        break;
    case RELAY_MESSAGE_EOSE:
        on_eose(session, &message, now_ms);
        break;
    case RELAY_MESSAGE_CLOSED:
        on_closed(session, &message, now_ms);
        break;
    case RELAY_MESSAGE_NOTICE:
        on_notice(session, &message, now_ms);
        break;
    case RELAY_MESSAGE_AUTH:
        on_auth(session, &message, now_ms);
        break;
    case RELAY_MESSAGE_OK:
        on_ok(session, &message, now_ms);
        break;
    }
    relay_message_clear(&message);
    return true;
}

/* A relay that serves us passes on what strangers wrote: they must not be able to cut us off. */
bool relay_session_reject(struct relay_session *session, const char *what, int64_t now_ms)
{
    count(session, STAT_FRAMES_UNUSABLE);
    for (size_t i = 0; i < session->count; i++) /* it may have been an event of the page */
        catch_up_on_unread(&session->gaps.kind[i].catch_up, now_ms);
    if (may_log(session, now_ms))
        log_warn("relay %s: sent %s", session->options.name, what);
    return ++session->bad < RELAY_SESSION_MAX_BAD || is_live(session);
}
