#include "why_text.h"

#include <inttypes.h>
#include <time.h>

#define LATE_MS       5000 /* a wake that has been due for so long is held up */
#define DURATION_SIZE 48

#define SECOND_MS INT64_C(1000)
#define MINUTE_MS (60 * SECOND_MS)
#define HOUR_MS   (60 * MINUTE_MS)
#define DAY_MS    (24 * HOUR_MS)

const char *why_text_moment(char out[WHY_TEXT_MOMENT_SIZE], int64_t unix_ms)
{
    time_t seconds = (time_t)(unix_ms / 1000);
    struct tm utc;

    if (gmtime_r(&seconds, &utc) == NULL ||
        strftime(out, WHY_TEXT_MOMENT_SIZE, "%Y-%m-%d %H:%M:%S UTC", &utc) == 0)
        out[0] = '\0';
    return out;
}

/* In the largest unit that fits, and the next; rounded up, so that what lies ahead is not 0. */
static const char *duration(char out[DURATION_SIZE], int64_t ms)
{
    int64_t s = ((ms < 0 ? 0 : ms) + 999) / 1000 * SECOND_MS;

    if (s >= DAY_MS)
        (void)snprintf(out, DURATION_SIZE, "%" PRId64 " d %" PRId64 " h", s / DAY_MS,
                       s % DAY_MS / HOUR_MS);
    else if (s >= HOUR_MS)
        (void)snprintf(out, DURATION_SIZE, "%" PRId64 " h %" PRId64 " min", s / HOUR_MS,
                       s % HOUR_MS / MINUTE_MS);
    else if (s >= MINUTE_MS)
        (void)snprintf(out, DURATION_SIZE, "%" PRId64 " min %" PRId64 " s", s / MINUTE_MS,
                       s % MINUTE_MS / SECOND_MS);
    else
        (void)snprintf(out, DURATION_SIZE, "%" PRId64 " s", s / SECOND_MS);
    return out;
}

static void write_loss(FILE *out, const struct registry_why *why)
{
    char moment[WHY_TEXT_MOMENT_SIZE];

    if (why->lost_s == 0)
        return;
    (void)fprintf(out, "lost data:      Redis lost its data before %s, ",
                  why_text_moment(moment, why->lost_s * 1000));
    if (why->lost_registrations > 0)
        (void)fprintf(out, "%" PRIu64 " registrations among them\n", why->lost_registrations);
    else
        (void)fputs("an unknown number of registrations among them\n", out);
}

static void write_registration(FILE *out, const struct registry_why *why,
                               const struct settings *settings)
{
    char since[WHY_TEXT_MOMENT_SIZE], until[WHY_TEXT_MOMENT_SIZE], left[DURATION_SIZE];
    bool is_on = why->is_endpoint ? settings->unifiedpush_enabled : settings->fcm_enabled;

    if (!why->is_registered) {
        (void)fputs("registration:   none, so nothing wakes it: its phone has not registered it "
                    "here, has unregistered it, or its time was over or its token dead\n",
                    out);
        write_loss(out, why);
        return;
    }
    (void)fprintf(out, "registration:   by %s (%s) since %s, until %s (%s more)\n",
                  !why->is_endpoint   ? "FCM"
                  : why->is_encrypted ? "UnifiedPush, encrypted"
                                      : "UnifiedPush, not encrypted",
                  why->platform == PLATFORM_IOS ? "ios" : "android",
                  why_text_moment(since, why->since_s * 1000),
                  why_text_moment(until, why->until_ms),
                  duration(left, why->until_ms - why->now_ms));
    if (!why->has_token)
        (void)fputs("endpoint:       its record is gone, so it cannot be pushed to until its phone "
                    "registers anew\n",
                    out);
    if (!is_on)
        (void)fprintf(out,
                      "back end:       off by these settings (%s=false): its wakes are given up\n",
                      why->is_endpoint ? "UNIFIEDPUSH_ENABLED" : "FCM_ENABLED");
}

static void write_limits(FILE *out, const struct registry_why *why)
{
    char wait[DURATION_SIZE];

    if (why->limit_wait_ms == 0)
        (void)fputs("limit:          within it\n", out);
    else
        (void)fprintf(out, "limit:          over it: one more wake is admitted in %s\n",
                      duration(wait, why->limit_wait_ms));
    if (why->deferred_wait_ms > 0)
        (void)fprintf(out, "deferred wake:  due in %s; it covers all that comes before\n",
                      duration(wait, why->deferred_wait_ms));
    if (why->visible_wait_ms == 0)
        (void)fputs("visible wakes:  within their limit\n", out);
    else
        (void)fprintf(out, "visible wakes:  over their limit: wakes are silent for %s\n",
                      duration(wait, why->visible_wait_ms));
}

static void write_events(FILE *out, const struct registry_why *why)
{
    char moment[WHY_TEXT_MOMENT_SIZE];

    if (!why->is_registered)
        return;
    if (why->events == 0)
        (void)fputs("events:         none that came from a relay has woken it in four days\n", out);
    else
        (void)fprintf(out, "events:         %u%s from relays in four days, the last at %s\n",
                      why->events, why->events >= 64 ? " or more" : "",
                      why_text_moment(moment, why->event_ms));
}

static void write_wake(FILE *out, const struct registry_why_wake *wake, int64_t now_ms)
{
    static const char *const kinds[] = {
        [WAKE_VIA_NOTIFY] = "a notify's wake",
        [WAKE_VIA_QUIET] = "an event's silent wake",
        [WAKE_VIA_RELAY] = "an event's wake",
    };
    int64_t late_ms = now_ms - wake->due_ms;
    char span[DURATION_SIZE];

    (void)fprintf(out, "waiting:        %s, with listener %s%s, ", kinds[wake->via], wake->listener,
                  wake->is_alive ? ""
                                 : " (which is gone: another takes it over, or it does itself "
                                   "when it is back)");
    if (late_ms < 0)
        (void)fprintf(out, "due in %s\n", duration(span, -late_ms));
    else
        (void)fprintf(out, "due since %s%s\n", duration(span, late_ms),
                      late_ms < LATE_MS ? ""
                                        : ": pushing is held, or its back end, host or "
                                          "endpoint is down or takes nothing yet");
}

static void write_waiting(FILE *out, const struct registry_why *why)
{
    if (why->wake_count == 0)
        (void)fputs("waiting:        nothing\n", out);
    for (size_t i = 0; i < why->wake_count; i++)
        write_wake(out, &why->wakes[i], why->now_ms);
    if (why->inbox > 0)
        (void)fprintf(
            out, "inbox:          %" PRIu64 " wakes of anybody that no listener has taken yet\n",
            why->inbox);
}

/* What one listener has seen of the back end that wakes go to; NULL where nothing holds them. */
static const char *hold_of(const struct registry_why_listener *listener, bool is_endpoint)
{
    static const char *const fcm[REPORT_STATE_COUNT] = {
        [REPORT_NO_ACCESS_TOKEN] = "there is no access token for FCM",
        [REPORT_DOWN] = "FCM is down (unreachable, or only 5xx)",
        [REPORT_REFUSED] = "FCM refuses us, for what the listener's log says",
        [REPORT_LIMITED] = "FCM has lately taken no more (429)",
    };

    if (!is_endpoint)
        return listener->has_report ? fcm[listener->backends[STATS_BACKEND_FCM]] : NULL;
    if (listener->holds_host)
        return "its distributor is down, or takes nothing for a while";
    return listener->holds_unnamed ? "so many distributors are down that its own may be" : NULL;
}

static void write_off(FILE *out, const struct registry_why_listener *listener, bool is_endpoint)
{
    size_t backend = is_endpoint ? STATS_BACKEND_UNIFIEDPUSH : STATS_BACKEND_FCM;

    if (listener->has_report && listener->backends[backend] == REPORT_OFF)
        (void)fprintf(out,
                      "back end:       off at %s, whose log says why: its wakes are given up\n",
                      listener->name);
}

static void write_holds(FILE *out, const struct registry_why *why)
{
    for (size_t i = 0; i < why->listener_count && why->is_registered; i++) {
        const char *hold = hold_of(&why->listeners[i], why->is_endpoint);

        write_off(out, &why->listeners[i], why->is_endpoint);
        if (hold != NULL)
            (void)fprintf(out, "held:           %s, as %s sees it: its wakes wait there\n", hold,
                          why->listeners[i].name);
    }
}

static void write_server(FILE *out, const struct registry_why *why, const struct settings *settings)
{
    if (why->is_paused)
        (void)fprintf(out,
                      "pushing:        held by an operator: redis-cli DEL %spaused lets it go on\n",
                      settings->redis_prefix);
    else
        (void)fputs("pushing:        not held\n", out);
    if (why->listener_count == 0)
        (void)fputs(
            "listeners:      none has a heartbeat: no event is seen and nothing is pushed\n", out);
    for (size_t i = 0; i < why->listener_count; i++)
        (void)fprintf(out, "listeners:      %s is connected to %u of %u relays\n",
                      why->listeners[i].name, why->listeners[i].relays_connected,
                      why->listeners[i].relays_configured);
}

static void write_trace(FILE *out, const struct registry_why *why)
{
    char moment[WHY_TEXT_MOMENT_SIZE];

    if (why->trace[0] == '\0') {
        (void)fputs("trace:          none\n", out);
        return;
    }
    (void)fprintf(out, "trace:          as %s until %s%s\n", why->trace,
                  why_text_moment(moment, why->traced_until_ms),
                  why->step_count == 0 ? ": no step yet" : "");
    for (size_t i = 0; i < why->step_count; i++)
        (void)fprintf(out, "  %s %s: %s\n", why_text_moment(moment, why->steps[i].at_ms),
                      why->steps[i].listener, why->steps[i].text);
}

void why_text_write(FILE *out, const struct registry_why *why, const struct settings *settings)
{
    write_registration(out, why, settings);
    write_limits(out, why);
    write_events(out, why);
    write_waiting(out, why);
    write_holds(out, why);
    write_server(out, why, settings);
    write_trace(out, why);
}
