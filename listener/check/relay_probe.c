#include "relay_probe.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hex.h"
#include "base/must.h"
#include "nostr/relay_auth.h"
#include "nostr/relay_message.h"
#include "nostr/relay_url.h"
#include "registry/stats.h"
#include "relay/intake.h"
#include "relay/taken_ids.h"
#include "relay/websocket.h"

#define TAKEN_IDS 1024
#define OUTBOX    8
#define QUIET_MS  2000 /* after a refusal, for what follows on it */
#define STORED_ID "stored-%zu"

struct frame {
    char text[RELAY_PROBE_FRAME_MAX];
    size_t len;
};

struct relay_probe {
    struct relay_probe_options options;
    struct relay_url url;
    struct websocket *websocket;
    struct taken_ids *taken_ids;
    struct event_verifier *verifier;
    struct intake *intake;
    struct relay_auth *auth;
    struct relay_session *session;
    struct stats stats;
    _Atomic int64_t last_event_s;
    struct relay_probe_state state;
    struct frame events[RELAY_PROBE_EVENTS]; /* as they were published, */
    struct frame asks[RELAY_PROBE_EVENTS];   /* and asked for */
    struct frame outbox[OUTBOX];
    size_t outbox_count;
    bool wants_write;
};

/* ---- What the relay says -----------------------------------------------------------------------
 */

static struct relay_probe_event *event_of(struct relay_probe *probe, const char *id, size_t len)
{
    for (size_t i = 0; i < probe->state.event_count; i++)
        if (len == strlen(probe->state.events[i].id) &&
            memcmp(probe->state.events[i].id, id, len) == 0)
            return &probe->state.events[i];
    return NULL;
}

/* The session hands over what it has verified, and would have had taken by Redis. */
static enum registry_result take(void *arg, struct registry_relay_event *events, size_t n,
                                 size_t *taken)
{
    struct relay_probe *probe = arg;
    char id[2 * EVENT_ID_SIZE + 1];

    for (size_t i = 0; i < n; i++) {
        struct relay_probe_event *event;

        hex_encode(id, events[i].id, sizeof events[i].id);
        event = event_of(probe, id, strlen(id));
        if (event != NULL && event->live_ms == 0)
            event->live_ms = clock_monotonic_ms();
        events[i].outcome = REGISTRY_EVENT_UNREGISTERED;
    }
    *taken = n;
    return REGISTRY_OK;
}

static void send_again(struct relay_probe *probe, const struct frame *frame)
{
    if (frame->len > 0 && probe->outbox_count < OUTBOX)
        probe->outbox[probe->outbox_count++] = *frame;
}

static bool wants_auth(const char *words, size_t len)
{
    return len >= 13 && memcmp(words, "auth-required", 13) == 0;
}

/* What was refused before we had authenticated is sent again. */
static void go_on(struct relay_probe *probe)
{
    for (size_t i = 0; i < probe->state.event_count; i++) {
        struct relay_probe_event *event = &probe->state.events[i];

        if (event->accepted == RELAY_PROBE_NO && wants_auth(event->words, strlen(event->words))) {
            event->accepted = RELAY_PROBE_NO_ANSWER;
            send_again(probe, &probe->events[i]);
        }
        if (event->wants_auth) {
            event->wants_auth = event->stored_ended = false;
            send_again(probe, &probe->asks[i]);
        }
    }
}

static void on_ok(struct relay_probe *probe, const struct relay_message *message)
{
    enum relay_probe_answer answer = message->accepted ? RELAY_PROBE_YES : RELAY_PROBE_NO;
    struct relay_probe_event *event;

    if (relay_auth_is_mine(probe->auth, message->event_id.text, message->event_id.len)) {
        probe->state.admitted = answer;
        (void)log_redact(probe->state.auth_words, message->text.text, message->text.len);
        if (message->accepted)
            go_on(probe);
        return;
    }
    event = event_of(probe, message->event_id.text, message->event_id.len);
    if (event == NULL || event->accepted == RELAY_PROBE_YES)
        return;
    event->accepted = answer;
    event->accepted_ms = clock_monotonic_ms();
    (void)log_redact(event->words, message->text.text, message->text.len);
}

/* The event whose stored copy this subscription has asked for. */
static struct relay_probe_event *asked_for(struct relay_probe *probe,
                                           const struct relay_text *subscription)
{
    char id[32];

    for (size_t i = 0; i < probe->state.event_count; i++) {
        int len = snprintf(id, sizeof id, STORED_ID, i);

        if (subscription->len == (size_t)len && memcmp(id, subscription->text, (size_t)len) == 0)
            return &probe->state.events[i];
    }
    return NULL;
}

static void on_stored(struct relay_probe_event *event, const json_t *json)
{
    const char *id = json_string_value(json_object_get(json, "id"));

    if (id != NULL && strcmp(id, event->id) == 0)
        event->stored_ms = clock_monotonic_ms();
}

/* Notes what the message says beside what the session makes of it. */
static void note(struct relay_probe *probe, const struct relay_message *message)
{
    struct relay_probe_event *asked = asked_for(probe, &message->subscription);

    switch (message->type) {
    case RELAY_MESSAGE_AUTH:
        probe->state.challenged = true;
        break;
    case RELAY_MESSAGE_OK:
        on_ok(probe, message);
        break;
    case RELAY_MESSAGE_NOTICE:
        (void)log_redact(probe->state.notice, message->text.text, message->text.len);
        break;
    case RELAY_MESSAGE_EVENT:
        if (asked != NULL)
            on_stored(asked, message->event);
        return; /* is nothing new */
    case RELAY_MESSAGE_CLOSED:
        if (asked != NULL && probe->state.admitted != RELAY_PROBE_YES)
            asked->wants_auth = wants_auth(message->text.text, message->text.len);
        if (asked != NULL)
            asked->stored_ended = true;
        break;
    case RELAY_MESSAGE_EOSE:
        if (asked != NULL)
            asked->stored_ended = true;
        break;
    }
    probe->state.changed_ms = clock_monotonic_ms();
}

/* What the session has concluded from a message, or from its end. */
static void note_access(struct relay_probe *probe, const struct relay_message *message)
{
    for (size_t i = 0; i < probe->state.kind_count; i++) {
        enum report_subscription access = relay_session_subscription(probe->session, i);

        if (access == REPORT_NOT_ADMITTED && probe->state.kinds[i].access != REPORT_NOT_ADMITTED) {
            probe->state.kinds[i].was_refused = true;
            (void)log_redact(probe->state.kinds[i].words, message->text.text, message->text.len);
        }
        if (access == REPORT_SUBSCRIBED && probe->state.kinds[i].live_ms == 0)
            probe->state.kinds[i].live_ms = clock_monotonic_ms();
        probe->state.kinds[i].access = access;
    }
}

/* ---- Callbacks of the WebSocket ----------------------------------------------------------------
 */

static void on_open(void *arg)
{
    struct relay_probe *probe = arg;

    probe->state.connection = RELAY_PROBE_OPEN;
    probe->state.open_ms = probe->state.changed_ms = clock_monotonic_ms();
    relay_session_begin(probe->session);
}

static bool on_text(void *arg, const char *text, size_t len)
{
    struct relay_probe *probe = arg;
    struct relay_message message = {.frame = NULL};
    bool is_message = relay_message_parse(&message, text, len), good;

    if (is_message)
        note(probe, &message);
    good = relay_session_receive(probe->session, text, len, clock_monotonic_ms(), clock_unix_s());
    note_access(probe, &message);
    if (is_message)
        relay_message_clear(&message);
    return good;
}

static bool on_unusable(void *arg, const char *what)
{
    struct relay_probe *probe = arg;

    return relay_session_reject(probe->session, what, clock_monotonic_ms());
}

static size_t on_writable(void *arg, char *out)
{
    struct relay_probe *probe = arg;
    size_t len;

    probe->wants_write = false;
    if (probe->outbox_count > 0) {
        len = probe->outbox[0].len;
        memcpy(out, probe->outbox[0].text, len);
        probe->outbox_count--;
        memmove(&probe->outbox[0], &probe->outbox[1],
                probe->outbox_count * sizeof probe->outbox[0]);
        return len;
    }
    return relay_session_next_frame(probe->session, clock_monotonic_ms(), clock_unix_s(), out);
}

static void on_close(void *arg, const char *why)
{
    struct relay_probe *probe = arg;

    probe->state.connection = RELAY_PROBE_CLOSED;
    (void)snprintf(probe->state.why, sizeof probe->state.why, "%s", why);
    relay_session_end(probe->session);
}

static const struct websocket_callbacks callbacks = {
    .on_open = on_open,
    .on_text = on_text,
    .on_unusable = on_unusable,
    .on_writable = on_writable,
    .on_close = on_close,
};

/* ---- Its life ----------------------------------------------------------------------------------
 */

static bool make_parts(struct relay_probe *probe)
{
    const struct relay_probe_options *options = &probe->options;
    struct intake_options intake = {.stats = &probe->stats, .take = take, .arg = probe};
    struct relay_session_options session = {.name = probe->url.name,
                                            .kinds = options->kinds,
                                            .stats = &probe->stats,
                                            .events_per_s = options->settings->relay_events_per_s,
                                            .last_event_s = &probe->last_event_s};
    const struct websocket_options websocket = {.url = &probe->url,
                                                .ca_file = options->settings->tls_ca_file,
                                                .max_message = RELAY_MESSAGE_MAX_SIZE,
                                                .callbacks = &callbacks,
                                                .arg = probe};

    session.taken_ids = intake.taken_ids = probe->taken_ids = taken_ids_new(TAKEN_IDS);
    session.verifier = probe->verifier = event_verifier_new();
    session.auth = probe->auth = relay_auth_new(options->url, options->auth_key);
    session.intake = probe->intake = probe->taken_ids != NULL ? intake_new(&intake) : NULL;
    if (probe->verifier == NULL || probe->auth == NULL || probe->intake == NULL)
        return false;
    probe->session = relay_session_new(&session);
    probe->websocket = websocket_new(&websocket);
    return probe->session != NULL && probe->websocket != NULL;
}

struct relay_probe *relay_probe_new(const struct relay_probe_options *options)
{
    struct relay_probe *probe = calloc(1, sizeof *probe);

    if (probe == NULL)
        return NULL;
    probe->options = *options;
    MUST(relay_url_parse(&probe->url, options->url));
    probe->state.kind_count = options->kinds->count;
    for (size_t i = 0; i < options->kinds->count; i++)
        probe->state.kinds[i].kind = options->kinds->kind[i];
    if (!make_parts(probe))
        relay_probe_free(&probe);
    return probe;
}

void relay_probe_free(struct relay_probe **probe)
{
    struct relay_probe *it = *probe;

    if (it == NULL)
        return;
    *probe = NULL;
    websocket_free(&it->websocket);
    relay_session_free(&it->session);
    relay_auth_free(&it->auth);
    intake_free(&it->intake);
    event_verifier_free(&it->verifier);
    taken_ids_free(&it->taken_ids);
    free(it);
}

void relay_probe_connect(struct relay_probe *probe)
{
    probe->state.connection = RELAY_PROBE_CONNECTING;
    probe->state.began_ms = clock_monotonic_ms();
    websocket_connect(probe->websocket);
}

void relay_probe_step(struct relay_probe *probe, int64_t wait_ms)
{
    int64_t now = clock_monotonic_ms(), due;

    if (probe->state.connection == RELAY_PROBE_OPEN && !probe->wants_write) {
        due = probe->outbox_count > 0 ? now : relay_session_due_ms(probe->session);
        if (due <= now) {
            probe->wants_write = true;
            websocket_want_write(probe->websocket);
        } else if (due - now < wait_ms) {
            wait_ms = due - now;
        }
    }
    websocket_service(probe->websocket, wait_ms);
    (void)intake_flush(probe->intake);
}

const struct relay_probe_state *relay_probe_state(const struct relay_probe *probe)
{
    return &probe->state;
}

const char *relay_probe_name(const struct relay_probe *probe)
{
    return probe->url.name;
}

bool relay_probe_is_settled(const struct relay_probe *probe)
{
    bool is_refused = false;

    if (probe->state.connection != RELAY_PROBE_OPEN)
        return probe->state.connection == RELAY_PROBE_CLOSED;
    for (size_t i = 0; i < probe->state.kind_count; i++) {
        if (probe->state.kinds[i].access == REPORT_NOT_SUBSCRIBED)
            return false;
        is_refused |= probe->state.kinds[i].access == REPORT_NOT_ADMITTED;
    }
    return !is_refused || clock_monotonic_ms() - probe->state.changed_ms >= QUIET_MS;
}

/* ---- Beside the session ------------------------------------------------------------------------
 */

void relay_probe_watch(struct relay_probe *probe, const char id[2 * EVENT_ID_SIZE + 1])
{
    MUST(probe->state.event_count < RELAY_PROBE_EVENTS);
    (void)snprintf(probe->state.events[probe->state.event_count++].id, 2 * EVENT_ID_SIZE + 1, "%s",
                   id);
}

void relay_probe_publish(struct relay_probe *probe, size_t place, const char *frame, size_t len)
{
    MUST(place < probe->state.event_count && len <= RELAY_PROBE_FRAME_MAX);
    memcpy(probe->events[place].text, frame, len);
    probe->events[place].len = len;
    probe->state.events[place].sent_ms = clock_monotonic_ms();
    send_again(probe, &probe->events[place]);
}

void relay_probe_ask(struct relay_probe *probe, size_t place, uint32_t kind, int64_t created_at)
{
    struct frame *frame = &probe->asks[place];

    MUST(place < probe->state.event_count);
    frame->len = (size_t)snprintf(frame->text, sizeof frame->text,
                                  "[\"REQ\",\"" STORED_ID "\",{\"kinds\":[%" PRIu32 "],"
                                  "\"since\":%" PRId64 ",\"until\":%" PRId64 ",\"limit\":500}]",
                                  place, kind, created_at, created_at + 1);
    send_again(probe, frame);
}
