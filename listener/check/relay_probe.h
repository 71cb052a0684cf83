/* relay_probe: a relay, looked at as the listener follows it: the same connection, the same REQs,
 * the same answers to challenges and the same checks of events (relay_session.h), but no Redis, and
 * one connection. Beside that it may publish events, and ask for stored ones.
 *
 * Belongs to one thread, once it is made; each is to be made while no other is being made. Times
 * are milliseconds of clock_monotonic_ms(). */
#ifndef MOSTRO_RELAY_PROBE_H
#define MOSTRO_RELAY_PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "log/log.h"
#include "nostr/event.h"
#include "registry/listener_report.h"
#include "relay/relay_session.h"
#include "settings/settings.h"

#define RELAY_PROBE_WORDS     LOG_REDACTED_SIZE
#define RELAY_PROBE_EVENTS    4    /* that are watched for */
#define RELAY_PROBE_FRAME_MAX 2048 /* of what is sent beside the session's frames */

/* What has become of one thing that was asked of the relay. */
enum relay_probe_answer { RELAY_PROBE_NO_ANSWER, RELAY_PROBE_YES, RELAY_PROBE_NO };

/* An event that is watched for, by its id. */
struct relay_probe_event {
    char id[2 * EVENT_ID_SIZE + 1];
    int64_t sent_ms;
    enum relay_probe_answer accepted; /* OK */
    int64_t accepted_ms;
    char words[RELAY_PROBE_WORDS]; /* with an OK */
    int64_t live_ms;               /* when a live subscription showed it; 0: not */
    int64_t stored_ms;             /* when it was shown as a stored one; 0: not */
    bool stored_ended;             /* EOSE, or CLOSED, of the REQ for it */
    bool wants_auth;               /* for that REQ, which is sent again after it */
};

struct relay_probe_state {
    enum { RELAY_PROBE_CONNECTING, RELAY_PROBE_OPEN, RELAY_PROBE_CLOSED } connection;
    int64_t began_ms, open_ms;
    char why[RELAY_PROBE_WORDS]; /* it could not be made, or ended */
    bool challenged;
    enum relay_probe_answer admitted;   /* our AUTH */
    char auth_words[RELAY_PROBE_WORDS]; /* with its refusal */
    char notice[RELAY_PROBE_WORDS];     /* the last one */
    int64_t changed_ms;                 /* when the relay last said anything new */
    size_t kind_count;
    struct {
        uint32_t kind;
        enum report_subscription access;
        int64_t live_ms; /* when it first was live; 0: never */
        bool was_refused;
        char words[RELAY_PROBE_WORDS]; /* with the last refusal */
    } kinds[SETTINGS_MAX_KINDS];
    size_t event_count;
    struct relay_probe_event events[RELAY_PROBE_EVENTS];
};

struct relay_probe_options {
    const char *url; /* one that relay_url_parse() takes */
    const struct settings *settings;
    const struct settings_kinds *kinds; /* to subscribe to */
    const uint8_t *auth_key;            /* NULL: a new one */
};

struct relay_probe;

/* NULL when out of memory. What the options point to must outlive it. */
struct relay_probe *relay_probe_new(const struct relay_probe_options *options);
void relay_probe_free(struct relay_probe **probe);

void relay_probe_connect(struct relay_probe *probe);

/* Sends, receives, and returns when something happened or after `wait_ms`. */
void relay_probe_step(struct relay_probe *probe, int64_t wait_ms);

const struct relay_probe_state *relay_probe_state(const struct relay_probe *probe);

/* The relay as the log names it. */
const char *relay_probe_name(const struct relay_probe *probe);

/* Watches for an event, which is the next of the state's: as a live one, and as the answer to what
 * relay_probe_publish() and relay_probe_ask() send. */
void relay_probe_watch(struct relay_probe *probe, const char id[2 * EVENT_ID_SIZE + 1]);

/* Sends a frame with the event of this place; a relay that wants authentication first gets it
 * again after that. */
void relay_probe_publish(struct relay_probe *probe, size_t place, const char *frame, size_t len);

/* Asks for the stored events of a kind with this date, of which the event should be one. */
void relay_probe_ask(struct relay_probe *probe, size_t place, uint32_t kind, int64_t created_at);

/* Every kind has had its answer, and a refusal has been followed by nothing for a while; or the
 * connection has ended. */
bool relay_probe_is_settled(const struct relay_probe *probe);

#endif
