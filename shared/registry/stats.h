/* stats: what the programs count. One table: each counter's name in the Redis hash `stats`, and its
 * series in /api/metrics.
 *
 * Counters are added up in the process (any thread, lock-free) and flushed once a second by
 * registry_flush_stats(). No name, label or value says anything about a single user. */
#ifndef MOSTRO_STATS_H
#define MOSTRO_STATS_H

#include <stdatomic.h>
#include <stdint.h>

/* Those who push, a row each: B(X, NAME, name), where `name` is also that of the file and of the
 * value that listener/push/push_backend.h asks for. */
#define STATS_BACKENDS(B, X) \
    B(X, FCM, fcm)           \
    B(X, UNIFIEDPUSH, unifiedpush)

#define STATS_BACKEND_PLACE(X, NAME, name) STATS_BACKEND_##NAME,
enum { STATS_BACKENDS(STATS_BACKEND_PLACE, ) STATS_BACKEND_COUNT };

/* X(COUNTER, field, family, labels) */
#define STATS_EVENTS(X)                                                                          \
    X(EVENTS_RECEIVED, "events_received", "events_received_total", "")                           \
    X(EVENTS_STORED, "events_stored", "events_total", "outcome=\"stored\"")                      \
    X(EVENTS_REPEATED, "events_repeated", "events_total", "outcome=\"repeated\"")                \
    X(EVENTS_INVALID, "events_invalid", "events_total", "outcome=\"invalid\"")                   \
    X(EVENTS_UNADDRESSED, "events_unaddressed", "events_total", "outcome=\"unaddressed\"")       \
    X(EVENTS_EXPIRED, "events_expired", "events_total", "outcome=\"expired\"")                   \
    X(EVENTS_TAKEN, "events_taken", "events_total", "outcome=\"taken\"")                         \
    X(EVENTS_LOST_TO_REDIS, "events_lost_to_redis", "events_total", "outcome=\"lost_to_redis\"") \
    X(FRAMES_UNUSABLE, "frames_unusable", "frames_unusable_total", "")                           \
    X(CATCH_UP_PAGES, "catch_up_pages", "catch_up_pages_total", "")

#define STATS_BACKEND_WAKES(X, BACKEND, backend)                             \
    X(WAKES_DELIVERED_##BACKEND, "wakes_delivered_" #backend, "wakes_total", \
      "outcome=\"delivered\",backend=\"" #backend "\"")                      \
    X(WAKES_DEAD_##BACKEND, "wakes_dead_" #backend, "wakes_total",           \
      "outcome=\"dead\",backend=\"" #backend "\"")                           \
    X(WAKES_GIVEN_UP_##BACKEND, "wakes_given_up_" #backend, "wakes_total",   \
      "outcome=\"given_up\",backend=\"" #backend "\"")

#define STATS_WAKES(X)                                                                       \
    X(WAKES_QUEUED, "wakes_queued", "relay_wakes_total", "queued=\"now\"")                   \
    X(WAKES_DEFERRED, "wakes_deferred", "relay_wakes_total", "queued=\"deferred\"")          \
    X(WAKES_COVERED, "wakes_covered", "relay_wakes_total", "queued=\"covered\"")             \
    X(WAKES_MERGED, "wakes_merged", "wakes_total", "outcome=\"merged\",backend=\"any\"")     \
    X(WAKES_UNREGISTERED, "wakes_unregistered", "wakes_total",                               \
      "outcome=\"unregistered\",backend=\"none\"")                                           \
    X(WAKES_DROPPED, "wakes_dropped", "wakes_total", "outcome=\"dropped\",backend=\"none\"") \
    STATS_BACKENDS(STATS_BACKEND_WAKES, X)                                                   \
    X(PUSH_RETRIES, "push_retries", "push_retries_total", "")

#define STATS_TROUBLE(X)                                                                         \
    X(REFUSED_ADDRESS, "refused_address", "refusals_total", "limiter=\"address\"")               \
    X(REFUSED_PUBKEY, "refused_pubkey", "refusals_total", "limiter=\"pubkey\"")                  \
    X(REFUSED_NEW, "refused_new", "refusals_total", "limiter=\"new\"")                           \
    X(REFUSED_ADDRESSES_NOTIFY, "refused_addresses_notify", "refused_addresses_total",           \
      "limiter=\"notify\"")                                                                      \
    X(REFUSED_ADDRESSES_REGISTER, "refused_addresses_register", "refused_addresses_total",       \
      "limiter=\"register\"")                                                                    \
    X(REDIS_ERRORS, "redis_errors", "redis_errors_total", "")                                    \
    X(REGISTRATIONS_UNCONFIRMED, "registrations_unconfirmed", "registrations_unconfirmed_total", \
      "")                                                                                        \
    X(PRIMARY_CHANGES, "primary_changes", "primary_changes_total", "")

/* One counter a route and status. */
#define STATS_ROUTE(X, ROUTE, route)                                          \
    X(REQUESTS_##ROUTE##_200, "requests_" route "_200", "requests_total",     \
      "route=\"" route "\",status=\"200\"")                                   \
    X(REQUESTS_##ROUTE##_202, "requests_" route "_202", "requests_total",     \
      "route=\"" route "\",status=\"202\"")                                   \
    X(REQUESTS_##ROUTE##_400, "requests_" route "_400", "requests_total",     \
      "route=\"" route "\",status=\"400\"")                                   \
    X(REQUESTS_##ROUTE##_403, "requests_" route "_403", "requests_total",     \
      "route=\"" route "\",status=\"403\"")                                   \
    X(REQUESTS_##ROUTE##_404, "requests_" route "_404", "requests_total",     \
      "route=\"" route "\",status=\"404\"")                                   \
    X(REQUESTS_##ROUTE##_405, "requests_" route "_405", "requests_total",     \
      "route=\"" route "\",status=\"405\"")                                   \
    X(REQUESTS_##ROUTE##_413, "requests_" route "_413", "requests_total",     \
      "route=\"" route "\",status=\"413\"")                                   \
    X(REQUESTS_##ROUTE##_429, "requests_" route "_429", "requests_total",     \
      "route=\"" route "\",status=\"429\"")                                   \
    X(REQUESTS_##ROUTE##_500, "requests_" route "_500", "requests_total",     \
      "route=\"" route "\",status=\"500\"")                                   \
    X(REQUESTS_##ROUTE##_503, "requests_" route "_503", "requests_total",     \
      "route=\"" route "\",status=\"503\"")                                   \
    X(REQUESTS_##ROUTE##_OTHER, "requests_" route "_other", "requests_total", \
      "route=\"" route "\",status=\"other\"")

#define STATS_REQUESTS(X)                    \
    STATS_ROUTE(X, HEALTH, "health")         \
    STATS_ROUTE(X, INFO, "info")             \
    STATS_ROUTE(X, STATUS, "status")         \
    STATS_ROUTE(X, READY, "ready")           \
    STATS_ROUTE(X, METRICS, "metrics")       \
    STATS_ROUTE(X, REGISTER, "register")     \
    STATS_ROUTE(X, UNREGISTER, "unregister") \
    STATS_ROUTE(X, NOTIFY, "notify")         \
    STATS_ROUTE(X, OTHER, "other")

/* How long pushes took, from the request to its answer: pushes up to so many milliseconds and over
 * the bucket before (added up when they are shown), then the sum of milliseconds. */
#define STATS_PUSH_TIME(X, BACKEND, backend)                                               \
    X(PUSH_##BACKEND##_10, "push_" #backend "_10ms", "push_duration_seconds_bucket",       \
      "backend=\"" #backend "\",le=\"0.01\"")                                              \
    X(PUSH_##BACKEND##_25, "push_" #backend "_25ms", "push_duration_seconds_bucket",       \
      "backend=\"" #backend "\",le=\"0.025\"")                                             \
    X(PUSH_##BACKEND##_50, "push_" #backend "_50ms", "push_duration_seconds_bucket",       \
      "backend=\"" #backend "\",le=\"0.05\"")                                              \
    X(PUSH_##BACKEND##_100, "push_" #backend "_100ms", "push_duration_seconds_bucket",     \
      "backend=\"" #backend "\",le=\"0.1\"")                                               \
    X(PUSH_##BACKEND##_250, "push_" #backend "_250ms", "push_duration_seconds_bucket",     \
      "backend=\"" #backend "\",le=\"0.25\"")                                              \
    X(PUSH_##BACKEND##_500, "push_" #backend "_500ms", "push_duration_seconds_bucket",     \
      "backend=\"" #backend "\",le=\"0.5\"")                                               \
    X(PUSH_##BACKEND##_1000, "push_" #backend "_1000ms", "push_duration_seconds_bucket",   \
      "backend=\"" #backend "\",le=\"1\"")                                                 \
    X(PUSH_##BACKEND##_2500, "push_" #backend "_2500ms", "push_duration_seconds_bucket",   \
      "backend=\"" #backend "\",le=\"2.5\"")                                               \
    X(PUSH_##BACKEND##_5000, "push_" #backend "_5000ms", "push_duration_seconds_bucket",   \
      "backend=\"" #backend "\",le=\"5\"")                                                 \
    X(PUSH_##BACKEND##_LONGER, "push_" #backend "_longer", "push_duration_seconds_bucket", \
      "backend=\"" #backend "\",le=\"+Inf\"")                                              \
    X(PUSH_##BACKEND##_SUM, "push_" #backend "_ms", "push_duration_seconds_sum",           \
      "backend=\"" #backend "\"")

#define STATS_PUSH_TIMES(X) STATS_BACKENDS(STATS_PUSH_TIME, X)

/* How long phones waited, from when an event was in Redis, or its wake was due where that is later,
 * until the push service had taken the push: in the same way. */
#define STATS_EVENT_TO_PUSH(X, BACKEND, backend)                                                   \
    X(EVENT_TO_##BACKEND##_5, "event_to_" #backend "_5ms", "event_to_push_seconds_bucket",         \
      "backend=\"" #backend "\",le=\"0.005\"")                                                     \
    X(EVENT_TO_##BACKEND##_10, "event_to_" #backend "_10ms", "event_to_push_seconds_bucket",       \
      "backend=\"" #backend "\",le=\"0.01\"")                                                      \
    X(EVENT_TO_##BACKEND##_25, "event_to_" #backend "_25ms", "event_to_push_seconds_bucket",       \
      "backend=\"" #backend "\",le=\"0.025\"")                                                     \
    X(EVENT_TO_##BACKEND##_50, "event_to_" #backend "_50ms", "event_to_push_seconds_bucket",       \
      "backend=\"" #backend "\",le=\"0.05\"")                                                      \
    X(EVENT_TO_##BACKEND##_100, "event_to_" #backend "_100ms", "event_to_push_seconds_bucket",     \
      "backend=\"" #backend "\",le=\"0.1\"")                                                       \
    X(EVENT_TO_##BACKEND##_250, "event_to_" #backend "_250ms", "event_to_push_seconds_bucket",     \
      "backend=\"" #backend "\",le=\"0.25\"")                                                      \
    X(EVENT_TO_##BACKEND##_500, "event_to_" #backend "_500ms", "event_to_push_seconds_bucket",     \
      "backend=\"" #backend "\",le=\"0.5\"")                                                       \
    X(EVENT_TO_##BACKEND##_1000, "event_to_" #backend "_1000ms", "event_to_push_seconds_bucket",   \
      "backend=\"" #backend "\",le=\"1\"")                                                         \
    X(EVENT_TO_##BACKEND##_2500, "event_to_" #backend "_2500ms", "event_to_push_seconds_bucket",   \
      "backend=\"" #backend "\",le=\"2.5\"")                                                       \
    X(EVENT_TO_##BACKEND##_5000, "event_to_" #backend "_5000ms", "event_to_push_seconds_bucket",   \
      "backend=\"" #backend "\",le=\"5\"")                                                         \
    X(EVENT_TO_##BACKEND##_10000, "event_to_" #backend "_10000ms", "event_to_push_seconds_bucket", \
      "backend=\"" #backend "\",le=\"10\"")                                                        \
    X(EVENT_TO_##BACKEND##_60000, "event_to_" #backend "_60000ms", "event_to_push_seconds_bucket", \
      "backend=\"" #backend "\",le=\"60\"")                                                        \
    X(EVENT_TO_##BACKEND##_600000, "event_to_" #backend "_600000ms",                               \
      "event_to_push_seconds_bucket", "backend=\"" #backend "\",le=\"600\"")                       \
    X(EVENT_TO_##BACKEND##_LONGER, "event_to_" #backend "_longer", "event_to_push_seconds_bucket", \
      "backend=\"" #backend "\",le=\"+Inf\"")                                                      \
    X(EVENT_TO_##BACKEND##_SUM, "event_to_" #backend "_ms", "event_to_push_seconds_sum",           \
      "backend=\"" #backend "\"")

#define STATS_EVENTS_TO_PUSHES(X) STATS_BACKENDS(STATS_EVENT_TO_PUSH, X)

#define STATS_TABLE(X)  \
    STATS_REQUESTS(X)   \
    STATS_TROUBLE(X)    \
    STATS_EVENTS(X)     \
    STATS_WAKES(X)      \
    STATS_PUSH_TIMES(X) \
    STATS_EVENTS_TO_PUSHES(X)

enum stats_counter {
#define X(counter, field, family, labels) STAT_##counter,
    STATS_TABLE(X)
#undef X
        STAT_COUNT
};

struct stats {
    _Atomic uint64_t pending[STAT_COUNT];
    uint64_t flushed[STAT_COUNT];     /* in all; of the thread that flushes */
    _Atomic uint64_t primary_changes; /* of those that redis_primary.h counts, are counted here */
};

static inline void stats_add(struct stats *stats, enum stats_counter which, uint64_t n)
{
    atomic_fetch_add_explicit(&stats->pending[which], n, memory_order_relaxed);
}

/* What this process has counted since it began; by the thread that flushes. */
uint64_t stats_counted(const struct stats *stats, enum stats_counter which);

/* Counts one request; `route` is the first of the route's counters, STAT_REQUESTS_<ROUTE>_200. */
void stats_add_request(struct stats *stats, enum stats_counter route, int status);

/* Counts one push that took so long; `backend` is the first of its buckets, STAT_PUSH_<BACKEND>_10.
 */
void stats_add_push(struct stats *stats, enum stats_counter backend, int64_t ms);

/* Counts one push that was taken so long after the event that it tells of; `backend` is the first
 * of its buckets, STAT_EVENT_TO_<BACKEND>_5. */
void stats_add_event_to_push(struct stats *stats, enum stats_counter backend, int64_t ms);

/* One row of the table. `labels` is "" or `name="value",...`. */
struct stats_series {
    const char *field;
    const char *family;
    const char *labels;
};
const struct stats_series *stats_series(enum stats_counter which);

#endif
