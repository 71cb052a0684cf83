#include "relay_session_priv.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/random.h"
#include "log/log.h"
#include "nostr/event_scan.h"

#define LINES_WINDOW_MS 60000

_Static_assert(RELAY_SESSION_NEVER == SUBSCRIPTION_NEVER, "never is never");

struct relay_session *relay_session_new(const struct relay_session_options *options)
{
    struct relay_session *session = calloc(1, sizeof *session);

    if (session == NULL)
        return NULL;
    session->options = *options;
    session->count = options->kinds->count;
    event_budget_init(&session->budget, options->events_per_s);
    session->gaps = relay_gaps_new(options->kinds);
    if (session->gaps == NULL)
        relay_session_free(&session);
    for (size_t i = 0; session != NULL && i < session->count; i++)
        subscription_init(&session->subscriptions[i], options->kinds->kind[i]);
    return session;
}

void relay_session_free(struct relay_session **session)
{
    if (*session == NULL)
        return;
    relay_gaps_free(&(*session)->gaps);
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

int64_t relay_session_pause_ms(const struct relay_session *session, int64_t now_ms)
{
    return event_budget_pause_ms(&session->budget, now_ms);
}

void relay_session_end(struct relay_session *session)
{
    relay_gaps_down(session->gaps);
}

/* Warns at once where a REQ was refused until we had authenticated. */
static void warn_of_guard(struct relay_session *session, int64_t now_ms)
{
    for (size_t i = 0; session->authenticated && i < session->count; i++) {
        const struct subscription *it = &session->subscriptions[i];

        if (relay_session_kind(session, i) == WRAP_GUARD_KIND && subscription_is_live(it) &&
            wrap_guard_is_to_warn(&session->guard, now_ms - it->live_since_ms))
            log_warn("relay %s: wants authentication, and has shown no gift wrap (kind %d): it may "
                     "keep them from all but their addressees, without saying so",
                     session->options.name, WRAP_GUARD_KIND);
    }
}

void relay_session_settle(struct relay_session *session, int64_t heard_ms, int64_t now_ms)
{
    struct intake *intake = session->options.intake;

    warn_of_guard(session, now_ms);
    if (intake_held(intake) > 0)
        return;
    if (intake_has_lost(intake) && relay_gaps_is_sure(session->gaps)) {
        relay_gaps_lost(session->gaps, now_ms);
        intake_forget_loss(intake);
    }
    if (!intake_has_lost(intake))
        relay_gaps_taken(session->gaps, heard_ms);
}

void relay_session_report(struct relay_session *session, int64_t unix_ms, int64_t now_ms,
                          struct relay_report *report)
{
    const struct intake *intake = session->options.intake;

    relay_gaps_our_clock(session->gaps, unix_ms, now_ms);
    relay_gaps_report(session->gaps, intake_held(intake) > 0 || intake_has_lost(intake),
                      report->cursors);
    report->sure = relay_gaps_is_sure(session->gaps);
    report->epoch = relay_gaps_epoch(session->gaps);
    report->count = session->count;
}

bool relay_session_learn(struct relay_session *session, const struct registry_now *answer,
                         const struct relay_report *report, int64_t now_ms)
{
    if (answer != NULL)
        return relay_gaps_learn(session->gaps, answer, report->cursors, now_ms);
    relay_gaps_unsure(session->gaps);
    return false;
}

void relay_session_doubt(struct relay_session *session)
{
    taken_ids_clear(session->options.taken_ids);
    relay_gaps_doubt(session->gaps);
}

uint32_t relay_session_kind(const struct relay_session *session, size_t kind)
{
    return session->options.kinds->kind[kind];
}

bool relay_session_may_log(struct relay_session *session, int64_t now_ms)
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

void relay_session_count(struct relay_session *session, enum stats_counter which)
{
    stats_add(session->options.stats, which, 1);
}

/* From now on the subscription shows new events. `though` says what is odd about it, or is "". */
static void go_live(struct relay_session *session, size_t kind, const char *though, int64_t now_ms)
{
    struct subscription *subscription = &session->subscriptions[kind];

    if (!subscription_is_asked(subscription))
        return;
    subscription_on_eose(subscription, now_ms);
    relay_gaps_live(session->gaps, kind, now_ms);
    if (relay_session_may_log(session, now_ms))
        log_info("relay %s: subscribed to kind %" PRIu32 "%s%s", session->options.name,
                 relay_session_kind(session, kind), *though == '\0' ? "" : ", though ", though);
}

enum report_subscription relay_session_subscription(const struct relay_session *session,
                                                    size_t kind)
{
    const struct subscription *subscription = &session->subscriptions[kind];

    if (subscription_is_live(subscription))
        return REPORT_SUBSCRIBED;
    return subscription->state == SUBSCRIPTION_CLOSED ? REPORT_NOT_ADMITTED : REPORT_NOT_SUBSCRIBED;
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

size_t relay_session_next_frame(struct relay_session *session, int64_t now_ms, int64_t unix_s,
                                char out[RELAY_SESSION_FRAME_SIZE])
{
    size_t len = relay_session_next_auth_frame(session, now_ms, unix_s, out);

    if (len == 0)
        len = next_subscription_frame(session, now_ms, out);
    return len > 0 ? len : relay_session_next_page_frame(session, now_ms, out);
}

int64_t relay_session_due_ms(struct relay_session *session)
{
    int64_t due;

    if (relay_auth_is_due(session->options.auth))
        return 0;
    due = relay_session_page_due_ms(session);

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
        if (subscription_is_live(&session->subscriptions[i]))
            return true;
    return false;
}

bool relay_session_may_hide_wraps(const struct relay_session *session)
{
    return wrap_guard_may_hide(&session->guard);
}

bool relay_session_is_settled(const struct relay_session *session)
{
    bool shows_trades = false;

    for (size_t i = 0; i < session->count; i++) {
        const struct subscription *subscription = &session->subscriptions[i];

        if (!subscription_is_answered(subscription))
            return false;
        if (subscription_is_live(subscription))
            shows_trades |= event_is_of_mostro(relay_session_kind(session, i));
    }
    return shows_trades;
}

/* ---- Receiving ------------------------------------------------------------------------------- */

struct topic relay_session_find(const struct relay_session *session, const struct relay_text *id)
{
    for (size_t i = 0; i < session->count; i++) {
        enum subscription_match match =
            subscription_match(&session->subscriptions[i], id->text, id->len);

        if (match != SUBSCRIPTION_MATCH_NONE)
            return (struct topic){TOPIC_LIVE, i, match};
        if (catch_up_is(relay_gaps_catch_up(session->gaps, i), id->text, id->len))
            return (struct topic){TOPIC_PAGE, i, SUBSCRIPTION_MATCH_NONE};
    }
    return (struct topic){TOPIC_NONE, 0, SUBSCRIPTION_MATCH_NONE};
}

static void on_eose(struct relay_session *session, const struct relay_message *message,
                    int64_t now_ms)
{
    struct topic topic = relay_session_find(session, &message->subscription);

    if (topic.match == SUBSCRIPTION_MATCH_NOW)
        go_live(session, topic.kind, "", now_ms);
    else if (topic.is == TOPIC_PAGE)
        catch_up_on_eose(relay_gaps_catch_up(session->gaps, topic.kind), now_ms);
}

static void on_notice(struct relay_session *session, const struct relay_message *message,
                      int64_t now_ms)
{
    char notice[LOG_REDACTED_SIZE];

    if (relay_session_may_log(session, now_ms))
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
        relay_session_on_event(session, &subscription, &event, now_ms, unix_s);
        return true;
    }
    if (!relay_message_parse(&message, text, len))
        return relay_session_reject(session, "a frame that is no message to a client", now_ms);
    session->bad = 0;
    switch (message.type) {
    case RELAY_MESSAGE_EVENT:
        if (event_read(&event, message.event) == EVENT_OK)
            relay_session_on_event(session, &message.subscription, &event, now_ms, unix_s);
        else
            relay_session_on_malformed_event(session, &message.subscription, message.event, now_ms);
        break;
    case RELAY_MESSAGE_EOSE:
        on_eose(session, &message, now_ms);
        break;
    case RELAY_MESSAGE_CLOSED:
        relay_session_on_closed(session, &message, now_ms);
        break;
    case RELAY_MESSAGE_NOTICE:
        on_notice(session, &message, now_ms);
        break;
    case RELAY_MESSAGE_AUTH:
        relay_session_on_auth(session, &message, now_ms);
        break;
    case RELAY_MESSAGE_OK:
        relay_session_on_ok(session, &message, now_ms);
        break;
    }
    relay_message_clear(&message);
    return true;
}

/* A relay that serves us passes on what strangers wrote, and they must not be able to make us leave
 * it. */
bool relay_session_reject(struct relay_session *session, const char *what, int64_t now_ms)
{
    relay_session_count(session, STAT_FRAMES_UNUSABLE);
    for (size_t i = 0; i < session->count; i++) /* it may have been an event of the page */
        catch_up_on_unread(relay_gaps_catch_up(session->gaps, i), now_ms);
    if (relay_session_may_log(session, now_ms))
        log_warn("relay %s: sent %s", session->options.name, what);
    return ++session->bad < RELAY_SESSION_MAX_BAD || is_live(session);
}
