/* metrics: counters and gauges for Prometheus (text exposition format 0.0.4), only where the web
 * server says that the request came by the operator's socket. Elsewhere there is no such page,
 * because counters next to one notify would tell whose pubkey is registered. */
#include "responder_priv.h"
#include "routes.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"
#define PREFIX       "mostro_"
#define BUCKETS      "push_duration_seconds_bucket"
#define SUM          "push_duration_seconds_sum"

static const struct family {
    const char *name, *type, *help;
} families[] = {
    {"requests_total", "counter", "HTTP requests by route and status."},
    {"refusals_total", "counter", "Requests over a limit, by the limiter that refused."},
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
};

/* The help of a series' family, when it begins; a histogram's series have the name and a suffix. */
static void begin_family(FILE *out, const char *series, const char *before)
{
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++) {
        size_t len = strlen(families[i].name);

        if (strncmp(series, families[i].name, len) == 0 && strncmp(before, series, len) != 0)
            (void)fprintf(out, "# HELP " PREFIX "%s %s\n# TYPE " PREFIX "%s %s\n", families[i].name,
                          families[i].help, families[i].name, families[i].type);
    }
}

static void print_series(FILE *out, const char *name, const char *labels, double value)
{
    bool bare = labels[0] == '\0';

    (void)fprintf(out, PREFIX "%s%s%s%s %.15g\n", name, bare ? "" : "{", labels, bare ? "" : "}",
                  value);
}

/* `backend="...",le="..."` without the bucket. */
static void print_count(FILE *out, const char *labels, double count)
{
    (void)fprintf(out, PREFIX "push_duration_seconds_count{%.*s} %.15g\n",
                  (int)strcspn(labels, ","), labels, count);
}

static void print_counters(FILE *out, const uint64_t counter[STAT_COUNT])
{
    const char *before = "";
    uint64_t pushes = 0; /* in this bucket and those below */

    for (int i = 0; i < STAT_COUNT; i++) {
        const struct stats_series *series = stats_series((enum stats_counter)i);

        begin_family(out, series->family, before);
        before = series->family;
        if (strcmp(series->family, BUCKETS) == 0) {
            pushes += counter[i];
            print_series(out, series->family, series->labels, (double)pushes);
        } else if (strcmp(series->family, SUM) == 0) {
            print_series(out, series->family, series->labels, (double)counter[i] / 1000);
            print_count(out, series->labels, (double)pushes);
            pushes = 0;
        } else {
            print_series(out, series->family, series->labels, (double)counter[i]);
        }
    }
}

static void print_gauge(FILE *out, const char *name, const char *help, uint64_t value)
{
    (void)fprintf(out, "# HELP " PREFIX "%s %s\n# TYPE " PREFIX "%s gauge\n", name, help, name);
    print_series(out, name, "", (double)value);
}

/* What makes requests answer 503 while everything runs. */
static void print_full(FILE *out, const struct registry_state *state)
{
    (void)fputs("# HELP " PREFIX "full 1 while requests are answered 503 since this is full: Redis "
                "(its maxmemory), 70 % of it (for new registrations), the registrations "
                "(MAX_REGISTRATIONS), or half of the inbox of wakes (WAKES_MAX).\n"
                "# TYPE " PREFIX "full gauge\n",
                out);
    print_series(out, "full", "what=\"redis\"", state->redis_full);
    print_series(out, "full", "what=\"memory\"", state->memory_short);
    print_series(out, "full", "what=\"registrations\"", state->registrations_full);
    print_series(out, "full", "what=\"queue\"", state->queue_half_full);
}

static void print_gauges(FILE *out, const struct registry_state *state)
{
    const struct registry_listeners *listeners = &state->listeners;

    (void)fputs("# HELP " PREFIX "registrations Live registrations.\n"
                "# TYPE " PREFIX "registrations gauge\n",
                out);
    print_series(out, "registrations", "platform=\"android\"", (double)state->android);
    print_series(out, "registrations", "platform=\"ios\"", (double)state->ios);
    print_gauge(out, "lost",
                "1 when Redis has lost its data, until the key `lost` is removed, or for "
                "TOKEN_TTL_HOURS.",
                state->lost);
    print_gauge(out, "lost_registrations", "With them, registrations; 0: unknown.",
                state->lost_registrations);
    print_gauge(out, "wakes_queued", "Wakes that wait or are under way.", state->queued);
    print_gauge(out, "wakes_inbox",
                "Of these, wakes that no listener has taken yet; WAKES_MAX bounds them.",
                state->inbox);
    print_full(out, state);
    print_gauge(out, "listeners", "Listeners with a fresh heartbeat.", listeners->alive);
    print_gauge(out, "relays_connected", "Relays that listeners are connected to.",
                listeners->relays_connected);
    print_gauge(out, "relays_may_hide_wraps",
                "Of these, relays that may keep gift wraps from all but their addressees.",
                listeners->relays_may_hide_wraps);
    print_gauge(out, "relays_configured", "Relays that listeners are to follow.",
                listeners->relays_configured);
    print_gauge(out, "pushes_in_flight", "Pushes under way.", listeners->in_flight);
    print_gauge(out, "wakes_held", "Wakes that wait or are under way in listeners.",
                listeners->backlog);
}

enum routes_step metrics_begin(struct responder *responder, struct exchange *exchange)
{
    (void)responder;
    exchange->with.question = (struct aide_question){.wants_metrics = true};
    return ROUTES_ASK_AIDE;
}

void metrics_finish(struct responder *responder, struct exchange *exchange)
{
    const struct aide_question *question = &exchange->with.question;
    char *text = NULL;
    size_t len = 0;
    FILE *out;

    if (question->result != REGISTRY_OK) {
        exchange->call.result = question->result;
        responder_refuse(responder, exchange);
        return;
    }
    out = open_memstream(&text, &len);
    if (out != NULL) {
        print_gauges(out, &question->metrics.state);
        print_counters(out, question->metrics.counter);
        (void)fclose(out);
    }
    response_text(&exchange->response, 200, CONTENT_TYPE, text, len);
}
