#include "metrics_page.h"

#include <stdbool.h>
#include <string.h>

#include "base/must.h"

#define PREFIX "mostro_"

/* Every family there is: what this server counts (stats.h), and what holds right now. */
static const struct family {
    const char *name, *type, *help;
} families[] = {
    {"requests_total", "counter", "HTTP requests by route and status."},
    {"refusals_total", "counter", "Requests over a limit, by the limiter that refused."},
    {"refused_addresses_total", "counter",
     "Times that a worker has begun to refuse an address by itself, by its limit."},
    {"redis_errors_total", "counter", "Commands that Redis did not answer or refused."},
    {"registrations_unconfirmed_total", "counter",
     "Registers and unregisters that no replica has confirmed in time."},
    {"primary_changes_total", "counter",
     "Times that a process found another Redis to be the primary (with Sentinels)."},
    {"events_received_total", "counter", "Events that relays sent."},
    {"events_total", "counter", "What became of them."},
    {"frames_unusable_total", "counter", "Frames of relays that make no sense."},
    {"catch_up_pages_total", "counter", "Pages of stored events asked for after a gap."},
    {"relay_wakes_total", "counter",
     "Wakes because of an event: queued, or covered by one that was."},
    {"wakes_total", "counter", "Wakes that are done with, by outcome and backend."},
    {"push_retries_total", "counter", "Pushes that failed and are tried again."},
    {"push_duration_seconds", "histogram", "From a push's request to its answer."},
    {"event_to_push_seconds", "histogram",
     "From when Redis has an event, or its wake is due, to when the push service has the push."},
    {"build_info", "gauge", "1; the version of the worker that answers."},
    {"registrations", "gauge", "Live registrations."},
    {"lost", "gauge",
     "1 when Redis has lost its data, until the key `lost` is removed, or for TOKEN_TTL_HOURS."},
    {"lost_registrations", "gauge", "With them, registrations; 0: unknown."},
    {"paused", "gauge", "1 while an operator holds pushing: the key `paused` is in Redis."},
    {"wakes_queued", "gauge", "Wakes that wait or are under way."},
    {"wakes_inbox", "gauge",
     "Of these, wakes that no listener has taken yet; WAKES_MAX bounds them."},
    {"oldest_wake_seconds", "gauge", "For how long the oldest wake has been due; 0: none is."},
    {"traced_pubkeys", "gauge",
     "Pubkeys whose wakes an operator has the listeners tell of step by step (--trace)."},
    {"full", "gauge",
     "1 while requests are answered 503 since this is full: Redis (its maxmemory), 70 % of it (for "
     "new registrations), the registrations (MAX_REGISTRATIONS), or half of the inbox of wakes "
     "(WAKES_MAX)."},
    {"listeners", "gauge", "Listeners with a fresh heartbeat."},
    {"relays_connected", "gauge",
     "Relays that listeners are connected to, and that show events of kind 1059 or 14."},
    {"relays_may_hide_wraps", "gauge",
     "Of these, relays that may keep gift wraps from all but their addressees."},
    {"relays_configured", "gauge", "Relays that listeners are to follow."},
    {"pushes_in_flight", "gauge", "Pushes under way."},
    {"wakes_held", "gauge", "Wakes that wait or are under way in listeners."},
    {"listener_info", "gauge", "1; the version of a listener with a fresh heartbeat."},
    {"relay_connected", "gauge",
     "1 while a relay is connected, and shows events of kind 1059 or 14."},
    {"relay_subscribed", "gauge", "1 while a relay shows events of this kind."},
    {"relay_refused", "gauge", "1 while a relay refuses the subscription for this kind."},
    {"relay_last_event_age_seconds", "gauge",
     "How long ago a relay has sent its last event; absent before the first."},
    {"relay_may_hide_wraps", "gauge",
     "1 while a relay may keep gift wraps from all but their addressees."},
    {"backend_state", "gauge",
     "1 for what holds of a back end: up, off by the settings, paused by an operator, without an "
     "access token, down, refused (an operator's mistake: see the log), or limited (429 in the "
     "last "
     "minute); 0 for the others."},
    {"unifiedpush_hosts_held", "gauge", "Distributors that are down, or take nothing for a while."},
};

static const struct family *find(const char *name)
{
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++)
        if (strcmp(families[i].name, name) == 0)
            return &families[i];
    return NULL;
}

void metrics_page_family(FILE *out, const char *name)
{
    const struct family *family = find(name);

    MUST(family != NULL);
    (void)fprintf(out, "# HELP " PREFIX "%s %s\n# TYPE " PREFIX "%s %s\n", name, family->help, name,
                  family->type);
}

void metrics_page_written(FILE *out, const char *name, const char *labels, double value)
{
    bool bare = labels[0] == '\0';

    (void)fprintf(out, PREFIX "%s%s%s%s %.15g\n", name, bare ? "" : "{", labels, bare ? "" : "}",
                  value);
}

/* Only these three cannot stand in a value. */
static void write_escaped(FILE *out, const char *value)
{
    for (; *value != '\0'; value++) {
        if (*value == '\\' || *value == '"')
            (void)fputc('\\', out);
        if (*value == '\n')
            (void)fputs("\\n", out);
        else
            (void)fputc(*value, out);
    }
}

void metrics_page_sample(FILE *out, const char *name, const struct metrics_label *labels,
                         size_t count, double value)
{
    (void)fprintf(out, PREFIX "%s{", name);
    for (size_t i = 0; i < count; i++) {
        (void)fprintf(out, "%s%s=\"", i > 0 ? "," : "", labels[i].name);
        write_escaped(out, labels[i].value);
        (void)fputc('"', out);
    }
    (void)fprintf(out, "} %.15g\n", value);
}

void metrics_page_single(FILE *out, const char *name, double value)
{
    metrics_page_family(out, name);
    metrics_page_written(out, name, "", value);
}
