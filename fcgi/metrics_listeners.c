#include "metrics_listeners.h"

#include <inttypes.h>

#include "metrics_page.h"
#include "registry/registry_watch.h"

static void print_info(FILE *out, const struct registry_watch *watch)
{
    metrics_page_family(out, "listener_info");
    for (size_t i = 0; i < watch->count; i++) {
        const struct metrics_label labels[] = {{"listener", watch->listeners[i].name},
                                               {"version", watch->listeners[i].version}};

        metrics_page_sample(out, "listener_info", labels, 2, 1);
    }
}

/* ---- Relays ---------------------------------------------------------------------------------- */

/* Writes one sample of a relay, or one a kind, or none. */
typedef void print_relay_fn(FILE *out, const char *family, struct metrics_label labels[3],
                            const struct report_relay *relay);

static void print_connected(FILE *out, const char *family, struct metrics_label labels[3],
                            const struct report_relay *relay)
{
    metrics_page_sample(out, family, labels, 2, relay->is_connected);
}

static void print_hides(FILE *out, const char *family, struct metrics_label labels[3],
                        const struct report_relay *relay)
{
    metrics_page_sample(out, family, labels, 2, relay->may_hide_wraps);
}

static void print_age(FILE *out, const char *family, struct metrics_label labels[3],
                      const struct report_relay *relay)
{
    if (relay->event_age_s != LISTENER_REPORT_NO_EVENT)
        metrics_page_sample(out, family, labels, 2, (double)relay->event_age_s);
}

static void print_kinds(FILE *out, const char *family, struct metrics_label labels[3],
                        const struct report_relay *relay, enum report_subscription which)
{
    for (size_t i = 0; i < relay->kind_count; i++) {
        char kind[16];

        (void)snprintf(kind, sizeof kind, "%" PRIu32, relay->kinds[i].kind);
        labels[2] = (struct metrics_label){"kind", kind};
        metrics_page_sample(out, family, labels, 3, relay->kinds[i].subscription == which);
    }
}

static void print_subscribed(FILE *out, const char *family, struct metrics_label labels[3],
                             const struct report_relay *relay)
{
    print_kinds(out, family, labels, relay, REPORT_SUBSCRIBED);
}

static void print_refused(FILE *out, const char *family, struct metrics_label labels[3],
                          const struct report_relay *relay)
{
    print_kinds(out, family, labels, relay, REPORT_NOT_ADMITTED);
}

static void print_relays(FILE *out, const char *family, const struct registry_watch *watch,
                         print_relay_fn *print)
{
    metrics_page_family(out, family);
    for (size_t i = 0; i < watch->count; i++) {
        const struct registry_watched *listener = &watch->listeners[i];

        for (size_t j = 0; j < listener->report.relay_count; j++) {
            const struct report_relay *relay = &listener->report.relays[j];
            struct metrics_label labels[3] = {{"listener", listener->name}, {"relay", relay->name}};

            print(out, family, labels, relay);
        }
    }
}

/* ---- Pushes ---------------------------------------------------------------------------------- */

static void print_backend(FILE *out, const struct registry_watched *listener, size_t backend)
{
    for (int state = 0; state < REPORT_STATE_COUNT; state++) {
        const struct metrics_label labels[] = {
            {"listener", listener->name},
            {"backend", report_backend_name(backend)},
            {"state", report_state_name((enum report_state)state)}};

        metrics_page_sample(out, "backend_state", labels, 3,
                            (int)listener->report.backends[backend] == state);
    }
}

static void print_backends(FILE *out, const struct registry_watch *watch)
{
    metrics_page_family(out, "backend_state");
    for (size_t i = 0; i < watch->count; i++)
        for (size_t backend = 0; watch->listeners[i].has_report && backend < STATS_BACKEND_COUNT;
             backend++)
            print_backend(out, &watch->listeners[i], backend);
}

static void print_hosts(FILE *out, const struct registry_watch *watch)
{
    metrics_page_family(out, "unifiedpush_hosts_held");
    for (size_t i = 0; i < watch->count; i++) {
        const struct metrics_label label = {"listener", watch->listeners[i].name};

        if (watch->listeners[i].has_report)
            metrics_page_sample(out, "unifiedpush_hosts_held", &label, 1,
                                (double)watch->listeners[i].report.hosts_held);
    }
}

void metrics_listeners(FILE *out, const struct registry_watch *watch)
{
    print_info(out, watch);
    print_relays(out, "relay_connected", watch, print_connected);
    print_relays(out, "relay_subscribed", watch, print_subscribed);
    print_relays(out, "relay_refused", watch, print_refused);
    print_relays(out, "relay_last_event_age_seconds", watch, print_age);
    print_relays(out, "relay_may_hide_wraps", watch, print_hides);
    print_backends(out, watch);
    print_hosts(out, watch);
}
