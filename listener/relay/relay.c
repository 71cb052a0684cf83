#include "relay.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/must.h"
#include "base/random.h"
#include "base/sha256.h"
#include "base/thread.h"
#include "intake.h"
#include "log/log.h"
#include "nostr/relay_auth.h"
#include "nostr/relay_backoff.h"
#include "nostr/relay_message.h"
#include "nostr/relay_url.h"
#include "registry/registry_events.h"
#include "registry/stats.h"
#include "relay_session.h"
#include "settings/settings.h"
#include "taken_ids.h"
#include "websocket.h"

#define NEVER                RELAY_SESSION_NEVER
#define CURSORS_EVERY_MS     1000
#define CURSORS_SOON_MS      100 /* at first, and until an epoch is drawn */
#define CURSOR_DIGEST_DIGITS 8
#define TELL_PAUSE_EVERY_MS  60000

_Static_assert(RELAY_SESSION_FRAME_SIZE <= WEBSOCKET_FRAME_SIZE, "a session's frames must fit");

struct relay {
    struct relay_url url;
    char cursor_name[sizeof(((struct relay_url *)0)->place) + 16];
    pthread_t thread;
    bool started;
    atomic_bool stop;
    atomic_bool connected;
    atomic_bool may_hide_wraps;
    _Atomic int64_t last_event_s;
    const struct settings_kinds *kinds;
    _Atomic int subscriptions[SETTINGS_MAX_KINDS]; /* an enum report_subscription each */
    struct websocket *websocket;
    struct registry *registry;
    struct event_verifier *verifier;
    struct intake *intake;
    struct relay_auth *auth;
    struct relay_session *session;
    bool open;
    bool wants_write; /* on_writable will come */
    int64_t open_since_ms;
    struct relay_backoff backoff;
    int64_t connect_ms; /* when to connect; NEVER while there is a connection or an attempt */
    int64_t retry_ms;   /* when to offer events again that Redis did not take */
    int64_t cursors_ms; /* when to move the cursors in Redis next */
    int64_t read_ms;    /* when to read the connection again; NEVER while it is read */
    uint64_t primary;   /* registry_primary_changes() when it was looked at last */
    struct log_pace pause_pace;
};

/* ---- Callbacks of the WebSocket, in the relay's thread --------------------------------------- */

static void on_open(void *arg)
{
    struct relay *relay = arg;

    relay->open = true;
    relay->wants_write = false;
    relay->open_since_ms = clock_monotonic_ms();
    log_info("relay %s: connected", relay->url.name);
    relay_session_begin(relay->session);
}

/* Leaves a relay unread for a while that has sent more events than it may. */
static void pause_if_over(struct relay *relay, int64_t now)
{
    int64_t pause = relay_session_pause_ms(relay->session, now);

    if (pause == 0)
        return;
    relay->read_ms = now + pause;
    websocket_pause(relay->websocket);
    if (log_is_due(&relay->pause_pace, now, TELL_PAUSE_EVERY_MS))
        log_warn("relay %s: has more events than RELAY_EVENTS_PER_SEC: it is read no faster",
                 relay->url.name);
}

static bool on_text(void *arg, const char *text, size_t len)
{
    struct relay *relay = arg;
    int64_t now = clock_monotonic_ms();
    bool good = relay_session_receive(relay->session, text, len, now, clock_unix_s());

    pause_if_over(relay, now);
    return good;
}

static bool on_unusable(void *arg, const char *what)
{
    struct relay *relay = arg;

    return relay_session_reject(relay->session, what, clock_monotonic_ms());
}

static size_t on_writable(void *arg, char *out)
{
    struct relay *relay = arg;

    relay->wants_write = false;
    return relay_session_next_frame(relay->session, clock_monotonic_ms(), clock_unix_s(), out);
}

static void on_close(void *arg, const char *why)
{
    struct relay *relay = arg;
    int64_t now = clock_monotonic_ms();
    int64_t held = relay->open ? now - relay->open_since_ms : 0;
    int64_t delay = relay_backoff_failed(&relay->backoff, held, random_up_to(UINT64_MAX));

    log_warn("relay %s: %s: %s; next attempt in %" PRId64 " s", relay->url.name,
             relay->open ? "disconnected" : "cannot connect", why, (delay + 500) / 1000);
    relay->open = false;
    relay->connect_ms = now + delay;
    relay->read_ms = NEVER;
    relay_session_end(relay->session);
}

static const struct websocket_callbacks callbacks = {
    .on_open = on_open,
    .on_text = on_text,
    .on_unusable = on_unusable,
    .on_writable = on_writable,
    .on_close = on_close,
};

/* ---- The thread ------------------------------------------------------------------------------ */

static enum registry_result take(void *arg, struct registry_relay_event *events, size_t n,
                                 size_t *taken)
{
    return registry_relay_events(arg, events, n, taken);
}

/* Offers received events to Redis. Those that Redis does not take are offered again a little later.
 */
static void flush(struct relay *relay, int64_t now)
{
    if (intake_held(relay->intake) == 0 ||
        (intake_is_stuck(relay->intake) && now < relay->retry_ms))
        return;
    relay->retry_ms = intake_flush(relay->intake) ? now : clock_monotonic_ms() + INTAKE_RETRY_MS;
}

/* Notices that another Redis has become the primary. Every relay sees to what its own thread has
 * had taken: what one of them has just had taken by the Redis before is forgotten when that one
 * looks. */
static void follow_primary(struct relay *relay, int64_t now)
{
    uint64_t changes = registry_primary_changes();

    if (changes == relay->primary)
        return;
    relay->primary = changes;
    relay->cursors_ms = now;
    relay_session_doubt(relay->session);
    log_info("relay %s: asking again for events that the new primary may not have",
             relay->url.name);
}

/* Tells Redis which events of this relay have been taken, and learns what other listeners have
 * taken. */
static void move_cursors(struct relay *relay, int64_t now)
{
    struct relay_report report;
    struct registry_now answer;
    bool answered;

    if (now < relay->cursors_ms)
        return;
    relay_session_report(relay->session, clock_unix_ms(), clock_monotonic_ms(), &report);
    relay->cursors_ms = now + (report.sure ? CURSORS_EVERY_MS : CURSORS_SOON_MS);
    answered = registry_cursors(relay->registry, relay->cursor_name, report.epoch, report.cursors,
                                report.count, &answer) == REGISTRY_OK &&
               registry_primary_changes() == relay->primary;
    if (relay_session_learn(relay->session, answered ? &answer : NULL, &report,
                            clock_monotonic_ms()))
        log_info("relay %s: Redis has lost its data: events from before now are not asked for",
                 relay->url.name);
}

/* When to ask the connection for room for a frame. */
static int64_t send_ms(struct relay *relay)
{
    return relay->open && !relay->wants_write ? relay_session_due_ms(relay->session) : NEVER;
}

/* For relay_report(). */
static void publish(struct relay *relay)
{
    atomic_store(&relay->connected, relay->open && relay_session_is_settled(relay->session));
    atomic_store(&relay->may_hide_wraps, relay_session_may_hide_wraps(relay->session));
    for (size_t i = 0; i < relay->kinds->count; i++)
        atomic_store(&relay->subscriptions[i],
                     relay->open ? (int)relay_session_subscription(relay->session, i)
                                 : REPORT_NOT_SUBSCRIBED);
}

/* Does what is due. */
static void tick(struct relay *relay)
{
    int64_t now = clock_monotonic_ms();

    flush(relay, now);
    follow_primary(relay, now);
    relay_session_settle(relay->session, websocket_heard_ms(relay->websocket), now);
    move_cursors(relay, now);
    if (now >= relay->connect_ms) {
        relay->connect_ms = NEVER;
        websocket_connect(relay->websocket);
    }
    if (now >= relay->read_ms) {
        relay->read_ms = NEVER;
        websocket_resume(relay->websocket);
    }
    if (now >= send_ms(relay)) {
        relay->wants_write = true;
        websocket_want_write(relay->websocket);
    }
    publish(relay);
}

/* Milliseconds until tick() has something to do. */
static int64_t wait_ms(struct relay *relay)
{
    int64_t now = clock_monotonic_ms();
    int64_t send = send_ms(relay), due = relay->connect_ms;

    if (relay->cursors_ms < due)
        due = relay->cursors_ms;
    if (relay->read_ms < due)
        due = relay->read_ms;
    if (send < due)
        due = send;
    if (intake_held(relay->intake) > 0 && relay->retry_ms < due)
        due = relay->retry_ms;
    return due > now ? due - now : 0;
}

static void *run(void *arg)
{
    struct relay *relay = arg;

    while (!atomic_load(&relay->stop)) {
        tick(relay);
        websocket_service(relay->websocket, wait_ms(relay));
    }
    atomic_store(&relay->connected, false);
    return NULL;
}

/* ---- Making and ending it -------------------------------------------------------------------- */

/* The place, and a digest of what that leaves out. */
static void name_cursors(struct relay *relay, const char *url)
{
    char digest[SHA256_HEX_LEN + 1] = "";
    bool known = strchr(relay->url.path, '?') != NULL && sha256_hex(digest, url);

    (void)snprintf(relay->cursor_name, sizeof relay->cursor_name, "%s%s%.*s", relay->url.place,
                   known ? "?" : "", CURSOR_DIGEST_DIGITS, digest);
}

static bool make_parts(struct relay *relay, const struct relay_options *options)
{
    struct intake_options intake = {.relay = relay->url.name,
                                    .taken_ids = options->taken_ids,
                                    .stats = options->stats,
                                    .take = take};
    struct relay_session_options session = {
        .name = relay->url.name,
        .kinds = &options->settings->event_kinds,
        .taken_ids = options->taken_ids,
        .stats = options->stats,
        .events_per_s = options->settings->relay_events_per_s,
        .last_event_s = &relay->last_event_s,
    };
    struct websocket_options websocket = {
        .url = &relay->url,
        .ca_file = options->settings->tls_ca_file,
        .max_message = RELAY_MESSAGE_MAX_SIZE,
        .callbacks = &callbacks,
        .arg = relay,
    };

    name_cursors(relay, options->url);
    intake.arg = relay->registry = registry_new(options->settings, options->stats);
    if (relay->registry == NULL)
        return false;
    session.intake = relay->intake = intake_new(&intake);
    session.verifier = relay->verifier = event_verifier_new();
    session.auth = relay->auth =
        relay_auth_new(options->url, options->settings->nostr_auth_private_key.set
                                         ? options->settings->nostr_auth_private_key.bytes
                                         : NULL);
    if (relay->intake == NULL || relay->verifier == NULL || relay->auth == NULL)
        return false;
    relay->session = relay_session_new(&session);
    relay->websocket = websocket_new(&websocket);
    return relay->session != NULL && relay->websocket != NULL;
}

static bool start_thread(struct relay *relay)
{
    relay->started = thread_start(&relay->thread, "relay", run, relay);
    return relay->started;
}

struct relay *relay_start(const struct relay_options *options)
{
    struct relay *relay = calloc(1, sizeof *relay);

    if (relay == NULL)
        return NULL;
    relay->read_ms = NEVER;
    relay->primary = registry_primary_changes();
    relay->kinds = &options->settings->event_kinds;
    MUST(relay_url_parse(&relay->url, options->url));
    if (make_parts(relay, options) && start_thread(relay))
        return relay;
    log_error("relay %s: cannot be started", relay->url.name);
    relay_free(&relay);
    return NULL;
}

const char *relay_name(const struct relay *relay)
{
    return relay->url.name;
}

int64_t relay_last_event_s(const struct relay *relay)
{
    return atomic_load(&relay->last_event_s);
}

void relay_report(const struct relay *relay, int64_t unix_s, struct report_relay *report)
{
    int64_t last_event_s = relay_last_event_s(relay);

    _Static_assert(SETTINGS_MAX_KINDS == LISTENER_REPORT_KINDS, "all of them have a place");
    report->is_connected = atomic_load(&relay->connected);
    report->may_hide_wraps = report->is_connected && atomic_load(&relay->may_hide_wraps);
    if (last_event_s > 0)
        report->event_age_s = unix_s > last_event_s ? unix_s - last_event_s : 0;
    report->kind_count = relay->kinds->count;
    for (size_t i = 0; i < relay->kinds->count; i++)
        report->kinds[i] = (struct report_kind){
            relay->kinds->kind[i], (enum report_subscription)atomic_load(&relay->subscriptions[i])};
}

void relay_stop(struct relay *relay)
{
    atomic_store(&relay->stop, true);
    websocket_wake(relay->websocket);
}

void relay_free(struct relay **relay)
{
    struct relay *it = *relay;

    if (it == NULL)
        return;
    *relay = NULL;
    if (it->started) {
        relay_stop(it);
        pthread_join(it->thread, NULL);
    }
    websocket_free(&it->websocket);
    relay_session_free(&it->session);
    relay_auth_free(&it->auth);
    event_verifier_free(&it->verifier);
    intake_free(&it->intake);
    registry_free(&it->registry);
    free(it);
}
