#include "listener.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/clock.h"
#include "base/random.h"
#include "dispatch/dispatcher.h"
#include "endpoints/endpoint_keeper.h"
#include "followed.h"
#include "log/log.h"
#include "registry/registry_endpoints.h"
#include "registry/registry_events.h"
#include "registry/registry_listener.h"
#include "registry/registry_stats.h"
#include "registry/stats.h"
#include "relay/relay.h"
#include "relay/taken_ids.h"
#include "settings/settings.h"
#include "tally.h"
#include "tracing.h"

#define INSTANCE_DIGITS    16
#define TAKEN_IDS_CAPACITY 131072 /* event ids, about 5 MB */
#define MS_PER_HOUR        INT64_C(3600000)
#define COUNT_EVERY_MS     60000

struct listener {
    const struct settings *settings;
    struct registry *registry; /* the main thread's own */
    struct stats stats;
    struct taken_ids *taken_ids;
    struct dispatcher *dispatcher;
    struct endpoint_keeper *keeper; /* NULL: there is no endpoint file */
    struct relay *relays[SETTINGS_MAX_RELAYS];
    size_t relay_count;
    char instance[INSTANCE_DIGITS + 1];
    bool beaten;   /* the name in Redis is this process's */
    size_t traced; /* pubkeys, as the log has told */
    int64_t trimmed_ms;
    struct tally tally;
    struct registry_data data;        /* as last seen */
    uint64_t registrations;           /* in it, COUNT_EVERY_MS ago at most */
    int64_t count_ms;                 /* when they are to be counted again */
    char sweep[REGISTRY_CURSOR_SIZE]; /* where sweeping the endpoints goes on */
};

static bool start_relays(struct listener *listener)
{
    struct followed followed;

    followed_fill(&followed, &listener->settings->relays);
    for (size_t i = 0; i < followed.count; i++) {
        const struct relay_options options = {.url = followed.relays[i].url,
                                              .settings = listener->settings,
                                              .taken_ids = listener->taken_ids,
                                              .stats = &listener->stats};

        listener->relays[listener->relay_count] = relay_start(&options);
        if (listener->relays[listener->relay_count] == NULL)
            return false;
        listener->relay_count++;
    }
    return true;
}

static bool start_keeper(struct listener *listener)
{
    if (endpoint_keeper_is_off(listener->settings))
        return true;
    listener->keeper =
        endpoint_keeper_start(listener->settings, listener->instance, &listener->stats);
    return listener->keeper != NULL;
}

struct listener *listener_start(const struct settings *settings)
{
    struct listener *listener = calloc(1, sizeof *listener);

    if (listener == NULL)
        return NULL;
    listener->settings = settings;
    listener->trimmed_ms = clock_monotonic_ms();
    tally_begin(&listener->tally, listener->trimmed_ms);
    memcpy(listener->sweep, "0", 2);
    random_hex(listener->instance, INSTANCE_DIGITS);
    json_object_seed(0); /* draws jansson's seed, which several threads must not do at once */
    listener->registry = registry_new(settings, &listener->stats);
    listener->taken_ids = taken_ids_new(TAKEN_IDS_CAPACITY);
    if (listener->registry == NULL || listener->taken_ids == NULL) {
        log_error("listener: out of memory");
        (void)listener_stop(&listener);
        return NULL;
    }
    (void)registry_check(listener->registry); /* Redis is waited for in any case */
    listener->dispatcher = dispatcher_start(settings, &listener->stats);
    /* The keeper stops last: a disk that hangs may leave its thread behind, which only main() can
     * end. */
    if (listener->dispatcher == NULL || !start_relays(listener) || !start_keeper(listener))
        (void)listener_stop(&listener);
    return listener;
}

/* The last event of all relays is the beat's, too. */
static void report_relays(const struct listener *listener, struct heartbeat *beat,
                          struct listener_report *report)
{
    int64_t unix_s = clock_unix_s();

    _Static_assert(SETTINGS_MAX_RELAYS == LISTENER_REPORT_RELAYS, "all of them have a place");
    beat->relays_configured = (unsigned)listener->relay_count;
    for (size_t i = 0; i < listener->relay_count; i++) {
        const struct relay *relay = listener->relays[i];
        struct report_relay *it = listener_report_add_relay(report, relay_name(relay));

        relay_report(relay, unix_s, it);
        beat->relays_connected += it->is_connected;
        beat->relays_may_hide_wraps += it->may_hide_wraps;
        if (beat->last_event_s < relay_last_event_s(relay))
            beat->last_event_s = relay_last_event_s(relay);
    }
}

static void report_pushes(const struct dispatcher_status *status, struct heartbeat *beat,
                          struct listener_report *report)
{
    beat->in_flight = status->in_flight;
    beat->backlog = status->backlog;
    beat->held_hosts = status->held_hosts;
    memcpy(report->backends, status->backends, sizeof report->backends);
    report->hosts_held = status->hosts_held;
}

/* The name in Redis is renewed, with what this listener tells of itself. */
static enum registry_result send_heartbeat(const struct listener *listener, struct heartbeat *beat,
                                           struct lease *lease)
{
    struct listener_report report = {.relay_count = 0};
    struct dispatcher_status status;
    enum registry_result result;
    char *text;

    dispatcher_status(listener->dispatcher, &status);
    *beat = (struct heartbeat){.instance = listener->instance, .first = !listener->beaten};
    report_relays(listener, beat, &report);
    report_pushes(&status, beat, &report);
    beat->report = text = listener_report_write(&report);
    result = registry_heartbeat(listener->registry, beat, lease);
    beat->report = beat->held_hosts = NULL;
    free(text);
    return result;
}

static void trim_if_due(struct listener *listener)
{
    int64_t now = clock_monotonic_ms();
    int64_t interval = listener->settings->cleanup_interval_hours * MS_PER_HOUR;
    int64_t trimmed;

    if (now - listener->trimmed_ms < interval)
        return;
    if (registry_trim(listener->registry, &trimmed) != REGISTRY_OK)
        return;
    if (trimmed == 0)
        listener->trimmed_ms = now;
    else
        log_debug("listener: the counts of registrations are being tidied");
}

static void tell_loss(const struct listener *listener)
{
    const struct registry_data *data = &listener->data;
    char registrations[64] = "an unknown number of registrations";

    if (data->lost_registrations > 0)
        (void)snprintf(registrations, sizeof registrations, "%" PRIu64 " registrations",
                       data->lost_registrations);
    log_error("listener: Redis has lost its data, %s among them: phones with FCM stay silent until "
              "their next trade, phones with UnifiedPush are woken from the endpoint file; see why "
              "(OPERATING, Upgrading Redis), then redis-cli DEL %slost",
              registrations, listener->settings->redis_prefix);
}

/* Whether Redis has lost its data since the last beat, or before an operator has seen to that; the
 * relays find out by themselves. */
static void look_for_loss(struct listener *listener)
{
    char candidate[REGISTRY_EPOCH_LEN + 1];
    struct registry_data before = listener->data, *now = &listener->data;

    random_hex(candidate, REGISTRY_EPOCH_LEN);
    if (registry_epoch(listener->registry, candidate, before.epoch, listener->registrations, now) !=
        REGISTRY_OK)
        return;
    if (strcmp(now->epoch, before.epoch) != 0) {
        listener->registrations = 0;
        listener->count_ms = INT64_MIN;
    }
    if (now->lost_s != 0 &&
        (now->lost_s != before.lost_s || now->lost_registrations != before.lost_registrations))
        tell_loss(listener);
    else if (now->is_new)
        log_warn("listener: Redis is empty (new, restarted or flushed): phones without an entry in "
                 "the endpoint file cannot be woken until they register again");
}

/* So that, when Redis loses them, somebody knows how many there were. */
static void count_if_due(struct listener *listener)
{
    int64_t now = clock_monotonic_ms();

    if (now >= listener->count_ms &&
        registry_count(listener->registry, &listener->registrations) == REGISTRY_OK)
        listener->count_ms = now + COUNT_EVERY_MS;
}

bool listener_beat(struct listener *listener)
{
    struct heartbeat beat;
    struct lease lease;
    enum registry_result result = send_heartbeat(listener, &beat, &lease);

    tally_tell(&listener->tally, &listener->stats, &beat, listener->registrations,
               clock_monotonic_ms());
    if (result == REGISTRY_NOT_FOUND) {
        log_error("listener: another listener has taken the name %s: stopping",
                  listener->settings->listener_name);
        return false;
    }
    if (result == REGISTRY_OK) {
        listener->beaten = true;
        dispatcher_hold(listener->dispatcher, &lease);
        look_for_loss(listener);
        count_if_due(listener);
        tracing_refresh(listener->registry, &listener->traced);
        (void)registry_flush_stats(listener->registry, &listener->stats);
        trim_if_due(listener);
        (void)registry_endpoints_sweep(listener->registry, listener->sweep);
    }
    return true;
}

bool listener_stop(struct listener **listener)
{
    struct listener *l = *listener;
    bool ended;

    if (l == NULL)
        return true;
    if (l->beaten)
        (void)registry_leave(l->registry, l->instance, false);
    for (size_t i = 0; i < l->relay_count; i++)
        relay_stop(l->relays[i]);
    if (l->dispatcher != NULL)
        dispatcher_stop(l->dispatcher);
    endpoint_keeper_stop(&l->keeper);
    for (size_t i = 0; i < l->relay_count; i++)
        relay_free(&l->relays[i]);
    dispatcher_free(&l->dispatcher);
    if (l->registry != NULL)
        (void)registry_flush_stats(l->registry, &l->stats);
    if (l->beaten)
        (void)registry_leave(l->registry, l->instance, true);
    taken_ids_free(&l->taken_ids);
    registry_free(&l->registry);
    ended = l->keeper == NULL;
    if (ended)
        free(l);
    *listener = NULL;
    return ended;
}
