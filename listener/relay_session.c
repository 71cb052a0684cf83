#include "relay_session.h"

#include <inttypes.h>
#include <stdlib.h>

#include "log.h"
#include "random.h"
#include "relay_message.h"

#define LINES_WINDOW_MS 60000

struct relay_session {
    struct relay_session_options options;
    struct subscription subscriptions[SETTINGS_MAX_KINDS];
    size_t count;
    unsigned bad; /* frames in a row */
    unsigned lines;
    uint64_t lines_since_ms;
};

struct relay_session *relay_session_new(const struct relay_session_options *options)
{
    struct relay_session *session = calloc(1, sizeof *session);

    if (session == NULL)
        return NULL;
    session->options = *options;
    session->count = options->kinds->count;
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
    for (size_t i = 0; i < session->count; i++)
        subscription_reset(&session->subscriptions[i]);
}

static uint64_t draw(void)
{
    uint64_t random;

    random_bytes(&random, sizeof random);
    return random;
}

/* A relay must not be able to fill the log. */
static bool may_log(struct relay_session *session, uint64_t now_ms)
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

/* ---- Sending --------------------------------------------------------------------------------- */

size_t relay_session_next_frame(struct relay_session *session, uint64_t now_ms,
                                char out[RELAY_SESSION_FRAME_SIZE])
{
    for (size_t i = 0; i < session->count; i++) {
        struct subscription *subscription = &session->subscriptions[i];
        bool unanswered = subscription->state == SUBSCRIPTION_ASKED;
        size_t len = subscription_next_frame(subscription, now_ms, draw(), out);

        if (len > 0 && unanswered)
            log_warn("relay %s: no answer to the subscription for kind %" PRIu32
                     "; it will be asked again",
                     session->options.name, subscription->kind);
        if (len > 0)
            return len;
    }
    return 0;
}

uint64_t relay_session_due_ms(const struct relay_session *session)
{
    uint64_t due = SUBSCRIPTION_NEVER;

    for (size_t i = 0; i < session->count; i++) {
        uint64_t one = subscription_due_ms(&session->subscriptions[i]);

        if (one < due)
            due = one;
    }
    return due;
}

bool relay_session_is_settled(const struct relay_session *session)
{
    for (size_t i = 0; i < session->count; i++) {
        if (!session->subscriptions[i].answered)
            return false;
    }
    return true;
}

/* ---- Receiving ------------------------------------------------------------------------------- */

static struct subscription *find(struct relay_session *session, const struct relay_text *id)
{
    for (size_t i = 0; i < session->count; i++) {
        if (subscription_is(&session->subscriptions[i], id->text, id->len))
            return &session->subscriptions[i];
    }
    return NULL;
}

static void count(struct relay_session *session, enum stats_counter which)
{
    stats_add(session->options.stats, which, 1);
}

static void refuse_event(struct relay_session *session, const char *why, uint64_t now_ms)
{
    count(session, STAT_EVENTS_INVALID);
    if (may_log(session, now_ms))
        log_info("relay %s: an event was refused: %s", session->options.name, why);
}

static void verify_event(struct relay_session *session, const struct event *event, uint64_t now_ms,
                         int64_t unix_s)
{
    switch (event_verify(session->options.verifier, event)) {
    case EVENT_OK:
        atomic_store(session->options.last_event_s, unix_s);
        intake_event(session->options.intake, event, false);
        break;
    case EVENT_UNADDRESSED:
        atomic_store(session->options.last_event_s, unix_s);
        count(session, STAT_EVENTS_UNADDRESSED);
        break;
    case EVENT_WRONG_ID:
        refuse_event(session, "its id is wrong", now_ms);
        break;
    case EVENT_WRONG_SIGNATURE:
    case EVENT_MALFORMED:
        refuse_event(session, "its signature is wrong", now_ms);
        break;
    }
}

static void on_event(struct relay_session *session, const struct relay_message *message,
                     uint64_t now_ms, int64_t unix_s)
{
    const struct subscription *subscription = find(session, &message->subscription);
    struct event event;

    count(session, STAT_EVENTS_RECEIVED);
    if (subscription == NULL)
        return; /* an answer to a subscription that was closed meanwhile */
    if (event_read(&event, message->event) != EVENT_OK) {
        refuse_event(session, "it is malformed", now_ms);
        return;
    }
    if (event.kind != subscription->kind) {
        refuse_event(session, "it is of a kind that was not asked for", now_ms);
        return;
    }
    if (subscription->state != SUBSCRIPTION_LIVE) {
        count(session, STAT_EVENTS_STORED);
        return;
    }
    /* Only true events are in the set, so what claims such an id is a copy or worthless. */
    if (seen_has(session->options.seen, event.id)) {
        count(session, STAT_EVENTS_REPEATED);
        return;
    }
    verify_event(session, &event, now_ms, unix_s);
}

static void on_eose(struct relay_session *session, const struct relay_message *message,
                    uint64_t now_ms)
{
    struct subscription *subscription = find(session, &message->subscription);

    if (subscription == NULL || subscription->state != SUBSCRIPTION_ASKED)
        return;
    subscription_on_eose(subscription, now_ms);
    log_info("relay %s: subscribed to kind %" PRIu32, session->options.name, subscription->kind);
}

static void on_closed(struct relay_session *session, const struct relay_message *message,
                      uint64_t now_ms)
{
    static const char *const outlook[] = {
        [SUBSCRIPTION_REFUSED_OTHER] = "it will be asked again",
        [SUBSCRIPTION_REFUSED_AUTH_REQUIRED] =
            "the relay wants authentication, and until then will not show us those events",
        [SUBSCRIPTION_REFUSED_RESTRICTED] = "the relay will not show us those events",
    };
    struct subscription *subscription = find(session, &message->subscription);
    enum subscription_refusal refusal;
    char reason[LOG_REDACTED_SIZE];

    if (subscription == NULL)
        return;
    refusal =
        subscription_on_closed(subscription, message->text.text, message->text.len, now_ms, draw());
    log_warn("relay %s: the subscription for kind %" PRIu32 " was closed (%s); %s",
             session->options.name, subscription->kind,
             log_redact(reason, message->text.text, message->text.len), outlook[refusal]);
}

static void on_notice(struct relay_session *session, const struct relay_message *message,
                      uint64_t now_ms)
{
    char notice[LOG_REDACTED_SIZE];

    if (may_log(session, now_ms))
        log_info("relay %s: notice: %s", session->options.name,
                 log_redact(notice, message->text.text, message->text.len));
}

bool relay_session_receive(struct relay_session *session, const char *text, size_t len,
                           uint64_t now_ms, int64_t unix_s)
{
    struct relay_message message;

    if (!relay_message_parse(&message, text, len))
        return relay_session_reject(session, "a frame that is no message to a client", now_ms);
    session->bad = 0;
    switch (message.type) {
    case RELAY_MESSAGE_EVENT:
        on_event(session, &message, now_ms, unix_s);
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
    case RELAY_MESSAGE_AUTH: /* what it guards is refused with a CLOSED of its own */
    case RELAY_MESSAGE_OK:
        break;
    }
    relay_message_clear(&message);
    return true;
}

static bool is_live(const struct relay_session *session)
{
    for (size_t i = 0; i < session->count; i++)
        if (session->subscriptions[i].state == SUBSCRIPTION_LIVE)
            return true;
    return false;
}

/* A relay that serves us passes on what strangers wrote: they must not be able to cut us off. */
bool relay_session_reject(struct relay_session *session, const char *what, uint64_t now_ms)
{
    if (may_log(session, now_ms))
        log_warn("relay %s: sent %s", session->options.name, what);
    return ++session->bad < RELAY_SESSION_MAX_BAD || is_live(session);
}
