/* Authentication (NIP-42), and what a relay refuses without it. */
#include "relay_session_priv.h"

#include <inttypes.h>

#include "base/random.h"
#include "log/log.h"

size_t relay_session_next_auth_frame(struct relay_session *session, int64_t now_ms, int64_t unix_s,
                                     char *out)
{
    size_t len = relay_auth_next_frame(session->options.auth, unix_s, out);

    if (len == 0)
        return 0;
    session->verdict_ms = now_ms + SUBSCRIPTION_ANSWER_MS;
    for (size_t i = 0; i < session->count; i++)
        session->asked_before[i] = subscription_was_asked(&session->subscriptions[i]);
    return len;
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
    uint32_t kind = relay_session_kind(session, topic.kind);
    char reason[LOG_REDACTED_SIZE];

    (void)log_redact(reason, why->text, why->len);
    if (refusal == SUBSCRIPTION_REFUSED_AUTH_REQUIRED && is_first)
        log_info("relay %s: %s kind %" PRIu32 " needs authentication (%s)", name, what, kind,
                 reason);
    else
        log_warn("relay %s: %s kind %" PRIu32 " was closed (%s); %s", name, what, kind, reason,
                 outlook[refusal]);
}

/* Asks for what was refused at once, without its back-off. */
static void ask_at_once(struct relay_session *session, size_t kind)
{
    subscription_hurry(&session->subscriptions[kind]);
    catch_up_hurry(relay_gaps_catch_up(session->gaps, kind));
}

/* Whether the last refusal was, or may have been, sent before we were let in. `restricted` is said
 * to a known client. */
static bool refuses_a_stranger(const struct refusals *refusals)
{
    return refusals->last == SUBSCRIPTION_REFUSED_AUTH_REQUIRED ||
           (refusals->may_be_late && refusals->last != SUBSCRIPTION_REFUSED_RESTRICTED);
}

/* A refusal may still be on its way when our AUTH has been accepted. Then we ask once more at once;
 * any other refusal is asked again when our AUTH is accepted. */
static void on_refusal(struct relay_session *session, struct topic topic,
                       const struct relay_text *why, int64_t now_ms)
{
    struct refusals *refusals = topic.is == TOPIC_PAGE
                                    ? &session->page_refusals[topic.kind]
                                    : &session->subscription_refusals[topic.kind];
    enum subscription_refusal refusal = subscription_refusal(why->text, why->len);

    if (relay_session_may_log(session, now_ms))
        tell_refusal(session, topic, refusals->last != refusal, refusal, why);
    refusals->last = refusal;
    if (relay_session_kind(session, topic.kind) == WRAP_GUARD_KIND)
        wrap_guard_refused(&session->guard, refusal);
    if (topic.is == TOPIC_PAGE) {
        catch_up_on_closed(relay_gaps_catch_up(session->gaps, topic.kind), now_ms,
                           random_up_to(UINT64_MAX));
    } else {
        subscription_on_closed(&session->subscriptions[topic.kind], now_ms,
                               random_up_to(UINT64_MAX));
        relay_gaps_closed(session->gaps, topic.kind);
    }
    if (session->authenticated && !refusals->asked_again && refuses_a_stranger(refusals)) {
        refusals->asked_again = true;
        ask_at_once(session, topic.kind);
    }
}

void relay_session_on_closed(struct relay_session *session, const struct relay_message *message,
                             int64_t now_ms)
{
    struct topic topic = relay_session_find(session, &message->subscription);

    if (topic.match == SUBSCRIPTION_MATCH_OLD)
        subscription_old_closed(&session->subscriptions[topic.kind]);
    else if (topic.is != TOPIC_NONE)
        on_refusal(session, topic, &message->text, now_ms);
}

void relay_session_on_auth(struct relay_session *session, const struct relay_message *message,
                           int64_t now_ms)
{
    if (!relay_auth_challenge(session->options.auth, message->text.text, message->text.len) &&
        relay_session_may_log(session, now_ms))
        log_warn("relay %s: sent a challenge that cannot be answered", session->options.name);
}

/* The relay knows us now, so everything that it refused is asked for again, whatever its words
 * were. Some relays leave out, without a word, what they show only to authenticated clients: what
 * was asked for before is asked for again, too. */
static void ask_as_authenticated(struct relay_session *session)
{
    for (size_t i = 0; i < session->count; i++) {
        ask_at_once(session, i);
        if (!session->asked_before[i]) {
            session->subscription_refusals[i].may_be_late =
                subscription_is_asked(&session->subscriptions[i]);
            continue;
        }
        subscription_renew(&session->subscriptions[i]);
        relay_gaps_was_not_live(session->gaps, i);
    }
}

void relay_session_on_ok(struct relay_session *session, const struct relay_message *message,
                         int64_t now_ms)
{
    char reason[LOG_REDACTED_SIZE];
    bool is_first;

    if (!relay_auth_is_mine(session->options.auth, message->event_id.text, message->event_id.len))
        return;
    is_first = message->accepted && !session->authenticated;
    session->verdict_ms = 0;
    session->authenticated |= message->accepted;
    if (!message->accepted && relay_session_may_log(session, now_ms))
        log_warn("relay %s: rejected our AUTH (%s)", session->options.name,
                 log_redact(reason, message->text.text, message->text.len));
    if (is_first && relay_session_may_log(session, now_ms))
        log_info("relay %s: authenticated", session->options.name);
    if (is_first)
        ask_as_authenticated(session);
}
