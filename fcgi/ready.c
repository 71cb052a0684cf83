/* ready: whether this server can do its work: Redis may be used, and a listener is subscribed on a
 * relay to what wakes trades. For load balancers, and for operators, who alone are told what is
 * wrong and what needs their attention while the rest works. */
#include "responder_priv.h"
#include "routes.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"

/* Any client may ask, and every check costs a new connection to Redis. */
#define KEEP_MS 1000

/* What is wrong, or NULL. */
static const char *problem_of(const struct registry_listeners *listeners)
{
    if (listeners->alive == 0)
        return "no listener has a fresh heartbeat";
    if (listeners->relays_connected == 0)
        return "no relay shows a listener events of kind 1059 or 14";
    return NULL;
}

/* What needs the operator's attention while the server is ready, or "". */
static const char *warning_of(const struct registry_state *state)
{
    const struct registry_listeners *listeners = &state->listeners;

    if (state->paused)
        return "an operator holds pushing: the key `paused` is in Redis";
    if (state->redis_full)
        return "Redis is full: raise its maxmemory";
    if (state->memory_short)
        return "Redis is over 70 % full, so that new registrations are refused: raise its "
               "maxmemory";
    if (state->registrations_full)
        return "MAX_REGISTRATIONS is reached";
    if (state->queue_half_full)
        return "the inbox of wakes is half full: does a listener keep up?";
    if (state->lost)
        return "Redis has lost its data: phones with FCM stay silent until their next trade; when "
               "you know why, DEL the key `lost`";
    if (listeners->relays_may_hide_wraps >= listeners->relays_connected)
        return "every relay may keep gift wraps back: see the listener's log";
    return "";
}

static void set(struct readiness *readiness, bool is_ready, const char *before, const char *reason)
{
    readiness->is_ready = is_ready;
    (void)snprintf(readiness->reason, sizeof readiness->reason, "%s%s", before, reason);
}

static void learn(struct readiness *readiness, const struct aide_question *question)
{
    const struct registry_state *state = &question->metrics.state;
    const char *problem;

    if (question->result != REGISTRY_OK) {
        if (question->is_refused)
            set(readiness, false, "Redis may not be used: ", question->reason);
        else
            set(readiness, false, "Redis cannot be reached", "");
        return;
    }
    problem = problem_of(&state->listeners);
    set(readiness, problem == NULL, "", problem != NULL ? problem : warning_of(state));
}

static void answer_operator(const struct readiness *readiness, struct response *response)
{
    json_t *json = json_pack("{s:s, s:s}", "status", readiness->is_ready ? "ready" : "not ready",
                             "reason", readiness->reason);
    char *text = json != NULL ? json_dumps(json, JSON_COMPACT) : NULL;

    json_decref(json);
    response_text(response, readiness->is_ready ? 200 : 503, NULL, text,
                  text != NULL ? strlen(text) : 0);
}

static void answer(const struct readiness *readiness, struct exchange *exchange)
{
    struct response *response = &exchange->response;

    if (exchange->request.is_private && readiness->reason[0] != '\0')
        answer_operator(readiness, response);
    else if (readiness->is_ready)
        response_constant(response, 200, "{\"status\":\"ready\"}");
    else
        response_constant(response, 503, "{\"status\":\"not ready\"}");
}

enum routes_step ready_begin(struct responder *responder, struct exchange *exchange)
{
    const struct readiness *readiness = &responder->readiness;

    if (readiness->asked && clock_monotonic_ms() - readiness->asked_ms < KEEP_MS) {
        answer(readiness, exchange);
        return ROUTES_ANSWERED;
    }
    exchange->with.question = (struct aide_question){.wants_metrics = false};
    return ROUTES_ASK_AIDE;
}

void ready_finish(struct responder *responder, struct exchange *exchange)
{
    struct readiness *readiness = &responder->readiness;

    learn(readiness, &exchange->with.question);
    readiness->asked = true;
    readiness->asked_ms = clock_monotonic_ms();
    answer(readiness, exchange);
}
