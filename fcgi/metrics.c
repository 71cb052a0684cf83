/* metrics: counters and gauges for Prometheus (text exposition format 0.0.4), only where the web
 * server says that the request came by the operator's socket. Elsewhere there is no such page,
 * because counters next to one notify would tell whose pubkey is registered. */
#include "responder_priv.h"
#include "routes.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "metrics_listeners.h"
#include "metrics_page.h"

#define CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"
#define FAMILY_SIZE  64
#define BUCKET       "_bucket"
#define SUM          "_sum"

static bool ends_with(const char *name, const char *suffix)
{
    size_t len = strlen(name), suffix_len = strlen(suffix);

    return len >= suffix_len && strcmp(name + len - suffix_len, suffix) == 0;
}

/* The family of a series: a histogram's series have its name and a suffix. */
static void write_family(char family[FAMILY_SIZE], const char *series)
{
    size_t len = strlen(series);

    if (ends_with(series, BUCKET))
        len -= strlen(BUCKET);
    else if (ends_with(series, SUM))
        len -= strlen(SUM);
    (void)snprintf(family, FAMILY_SIZE, "%.*s", (int)len, series);
}

/* Of `labels`, `backend="...",le="..."`, the bucket is left out. */
static void print_count(FILE *out, const char *family, const char *labels, uint64_t count)
{
    char name[FAMILY_SIZE + sizeof "_count"], backend[FAMILY_SIZE];

    (void)snprintf(name, sizeof name, "%s_count", family);
    (void)snprintf(backend, sizeof backend, "%.*s", (int)strcspn(labels, ","), labels);
    metrics_page_written(out, name, backend, (double)count);
}

static void print_counters(FILE *out, const uint64_t counter[STAT_COUNT])
{
    char before[FAMILY_SIZE] = "", family[FAMILY_SIZE];
    uint64_t pushes = 0; /* in this bucket and those below */

    for (int i = 0; i < STAT_COUNT; i++) {
        const struct stats_series *series = stats_series((enum stats_counter)i);

        write_family(family, series->family);
        if (strcmp(family, before) != 0)
            metrics_page_family(out, family);
        (void)strcpy(before, family);
        if (ends_with(series->family, BUCKET)) {
            pushes += counter[i];
            metrics_page_written(out, series->family, series->labels, (double)pushes);
        } else if (ends_with(series->family, SUM)) {
            metrics_page_written(out, series->family, series->labels, (double)counter[i] / 1000);
            print_count(out, family, series->labels, pushes);
            pushes = 0;
        } else {
            metrics_page_written(out, series->family, series->labels, (double)counter[i]);
        }
    }
}

/* What makes requests answer 503 while everything runs. */
static void print_full(FILE *out, const struct registry_state *state)
{
    metrics_page_family(out, "full");
    metrics_page_written(out, "full", "what=\"redis\"", state->redis_full);
    metrics_page_written(out, "full", "what=\"memory\"", state->memory_short);
    metrics_page_written(out, "full", "what=\"registrations\"", state->registrations_full);
    metrics_page_written(out, "full", "what=\"queue\"", state->queue_half_full);
}

static void print_sums(FILE *out, const struct registry_listeners *listeners)
{
    metrics_page_single(out, "listeners", (double)listeners->alive);
    metrics_page_single(out, "relays_connected", (double)listeners->relays_connected);
    metrics_page_single(out, "relays_may_hide_wraps", (double)listeners->relays_may_hide_wraps);
    metrics_page_single(out, "relays_configured", (double)listeners->relays_configured);
    metrics_page_single(out, "pushes_in_flight", (double)listeners->in_flight);
    metrics_page_single(out, "wakes_held", (double)listeners->backlog);
}

static void print_gauges(FILE *out, const struct registry_state *state)
{
    metrics_page_family(out, "build_info");
    metrics_page_written(out, "build_info", "version=\"" PACKAGE_VERSION "\"", 1);
    metrics_page_family(out, "registrations");
    metrics_page_written(out, "registrations", "platform=\"android\"", (double)state->android);
    metrics_page_written(out, "registrations", "platform=\"ios\"", (double)state->ios);
    metrics_page_single(out, "lost", state->lost);
    metrics_page_single(out, "lost_registrations", (double)state->lost_registrations);
    metrics_page_single(out, "paused", state->paused);
    metrics_page_single(out, "wakes_queued", (double)state->queued);
    metrics_page_single(out, "wakes_inbox", (double)state->inbox);
    print_full(out, state);
    print_sums(out, &state->listeners);
}

static void print_watch(FILE *out, const struct registry_watch *watch)
{
    metrics_page_single(out, "oldest_wake_seconds", (double)watch->oldest_ms / 1000);
    metrics_page_single(out, "traced_pubkeys", (double)watch->traced);
    metrics_listeners(out, watch);
}

enum routes_step metrics_begin(struct responder *responder, struct exchange *exchange)
{
    (void)responder;
    exchange->with.question = (struct aide_question){.wants_metrics = true};
    return ROUTES_ASK_AIDE;
}

void metrics_finish(struct responder *responder, struct exchange *exchange)
{
    struct aide_question *question = &exchange->with.question;
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
        print_watch(out, question->metrics.watch);
        print_counters(out, question->metrics.counter);
        (void)fclose(out);
    }
    registry_watch_free(&question->metrics.watch);
    response_text(&exchange->response, 200, CONTENT_TYPE, text, len);
}
