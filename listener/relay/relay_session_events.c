/* An event is verified and handed to the intake, or dropped. */
#include "relay_session_priv.h"

#include "log/log.h"

/* For traces and the debug log. Until it is verified an event only claims to be for this pubkey. */
static void tell_event(const struct relay_session *session, const struct event *event,
                       const char *what)
{
    struct log_name name;

    if (!event->addressed)
        return;
    name = log_step_name(&event->trade_pubkey);
    log_step(&name, "relay %s: %s is named by an event %s", session->options.name, name.text, what);
}

static void refuse_event(struct relay_session *session, const char *why, int64_t now_ms)
{
    relay_session_count(session, STAT_EVENTS_INVALID);
    if (relay_session_may_log(session, now_ms))
        log_info("relay %s: an event was refused: %s", session->options.name, why);
}

/* Uses this machine's clock, because Redis's need not be known yet. */
static void take_event(struct relay_session *session, const struct event *event, struct topic topic,
                       int64_t now_ms, int64_t unix_s)
{
    atomic_store(session->options.last_event_s, unix_s);
    if (event->kind == WRAP_GUARD_KIND)
        wrap_guard_shown(&session->guard);
    if (event_has_expired(event, unix_s)) {
        relay_session_count(session, STAT_EVENTS_EXPIRED);
        tell_event(session, event, "that has expired");
        return;
    }
    event_budget_spend(&session->budget, now_ms);
    if (topic.is == TOPIC_PAGE)
        intake_stored(session->options.intake, event,
                      relay_gaps_live_since_ms(session->gaps, topic.kind));
    else
        intake_live(session->options.intake, event);
}

static void verify_event(struct relay_session *session, const struct event *event,
                         struct topic topic, int64_t now_ms, int64_t unix_s)
{
    switch (event_verify(session->options.verifier, event)) {
    case EVENT_OK:
        take_event(session, event, topic, now_ms, unix_s);
        break;
    case EVENT_UNADDRESSED:
        atomic_store(session->options.last_event_s, unix_s);
        relay_session_count(session, STAT_EVENTS_UNADDRESSED);
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

/* Whether the event's date fits what was asked for. Its unverified date suffices: a page that asks
 * in vain costs little. */
static bool belongs(struct relay_session *session, struct topic topic, const struct event *event,
                    int64_t now_ms)
{
    if (topic.is == TOPIC_PAGE)
        return catch_up_on_event(relay_gaps_catch_up(session->gaps, topic.kind), event->created_at,
                                 now_ms);
    return subscription_shows_live(&session->subscriptions[topic.kind], topic.match);
}

/* An unreadable event counts as one of its page, by its date if it has one. */
void relay_session_on_malformed_event(struct relay_session *session,
                                      const struct relay_text *subscription, const json_t *json,
                                      int64_t now_ms)
{
    struct topic topic = relay_session_find(session, subscription);
    struct catch_up *page = relay_gaps_catch_up(session->gaps, topic.kind);
    const json_t *created_at = json_object_get(json, "created_at");

    relay_session_count(session, STAT_EVENTS_RECEIVED);
    refuse_event(session, "it is malformed", now_ms);
    if (topic.is == TOPIC_PAGE &&
        !(json_is_integer(created_at) &&
          catch_up_on_event(page, json_integer_value(created_at), now_ms)))
        catch_up_on_unread(page, now_ms);
}

void relay_session_on_event(struct relay_session *session, const struct relay_text *subscription,
                            const struct event *event, int64_t now_ms, int64_t unix_s)
{
    struct topic topic = relay_session_find(session, subscription);

    relay_session_count(session, STAT_EVENTS_RECEIVED);
    if (topic.is == TOPIC_NONE)
        return; /* an answer to a subscription that has been closed */
    if (event->kind != relay_session_kind(session, topic.kind)) {
        tell_event(session, event, "that is refused: its kind was not asked for");
        refuse_event(session, "it is of a kind that was not asked for", now_ms);
        return;
    }
    if (!belongs(session, topic, event, now_ms)) {
        tell_event(session, event, "from before this subscription: catching up asks for it");
        relay_session_count(session, STAT_EVENTS_STORED);
        return;
    }
    /* The set holds only true events, so another event with such an id is a copy or worthless. */
    if (taken_ids_has(session->options.taken_ids, event->id)) {
        tell_event(session, event, "that is repeated: it has been taken before");
        relay_session_count(session, STAT_EVENTS_REPEATED);
        return;
    }
    verify_event(session, event, topic, now_ms, unix_s);
}
