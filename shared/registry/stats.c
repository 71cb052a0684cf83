#include "stats.h"

#include <stddef.h>

uint64_t stats_counted(const struct stats *stats, enum stats_counter which)
{
    return stats->flushed[which] +
           atomic_load_explicit(&stats->pending[which], memory_order_relaxed);
}

void stats_add_request(struct stats *stats, enum stats_counter route, int status)
{
    static const int statuses[] = {200, 202, 400, 403, 404, 405, 413, 429, 500, 503};
    size_t i = 0;

    _Static_assert(sizeof statuses / sizeof statuses[0] ==
                       STAT_REQUESTS_OTHER_OTHER - STAT_REQUESTS_OTHER_200,
                   "a route has a counter for each status, and one more");
    while (i < sizeof statuses / sizeof statuses[0] && statuses[i] != status)
        i++;
    stats_add(stats, (enum stats_counter)(route + i), 1);
}

/* Into the bucket that is the n-th from `first`, or the one after the last; the sum comes after it.
 */
static void add_time(struct stats *stats, enum stats_counter first, const int64_t *buckets,
                     size_t n, int64_t ms)
{
    size_t i = 0;

    while (i < n && ms > buckets[i])
        i++;
    stats_add(stats, (enum stats_counter)(first + i), 1);
    stats_add(stats, (enum stats_counter)(first + n + 1), (uint64_t)ms);
}

void stats_add_push(struct stats *stats, enum stats_counter backend, int64_t ms)
{
    static const int64_t buckets[] = {10, 25, 50, 100, 250, 500, 1000, 2500, 5000};
    const size_t n = sizeof buckets / sizeof buckets[0];

    _Static_assert(sizeof buckets / sizeof buckets[0] == STAT_PUSH_FCM_LONGER - STAT_PUSH_FCM_10 &&
                       STAT_PUSH_FCM_SUM == STAT_PUSH_FCM_LONGER + 1,
                   "a back end has a counter for each bucket, one more, and then the sum");
    add_time(stats, backend, buckets, n, ms);
}

void stats_add_event_to_push(struct stats *stats, enum stats_counter backend, int64_t ms)
{
    static const int64_t buckets[] = {5,    10,   25,   50,    100,   250,   500,
                                      1000, 2500, 5000, 10000, 60000, 600000};
    const size_t n = sizeof buckets / sizeof buckets[0];

    _Static_assert(sizeof buckets / sizeof buckets[0] ==
                           STAT_EVENT_TO_FCM_LONGER - STAT_EVENT_TO_FCM_5 &&
                       STAT_EVENT_TO_FCM_SUM == STAT_EVENT_TO_FCM_LONGER + 1,
                   "as above");
    add_time(stats, backend, buckets, n, ms);
}

const struct stats_series *stats_series(enum stats_counter which)
{
    static const struct stats_series table[STAT_COUNT] = {
#define X(counter, field, family, labels) {field, family, labels},
        STATS_TABLE(X)
#undef X
    };

    return &table[which];
}
