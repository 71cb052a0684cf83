/* stats: what the programs count. One table; the same names in the Redis hash `stats`.
 *
 * Counters are added up in the process (any thread, lock-free) and flushed once a second by
 * registry_flush_stats(). No name and no value tells anything of one user. */
#ifndef MOSTRO_STATS_H
#define MOSTRO_STATS_H

#include <stdatomic.h>
#include <stdint.h>

#define STATS_TABLE(X)                                            \
    X(REQUESTS_REGISTER, "requests_register")                     \
    X(REQUESTS_UNREGISTER, "requests_unregister")                 \
    X(REQUESTS_NOTIFY, "requests_notify")                         \
    X(REQUESTS_OTHER, "requests_other")                           \
    X(REFUSED_ADDRESS, "refused_address")                         \
    X(REFUSED_PUBKEY, "refused_pubkey")                           \
    X(REQUESTS_FAILED, "requests_failed")                         \
    X(EVENTS_RECEIVED, "events_received")                         \
    X(EVENTS_STORED, "events_stored")                             \
    X(EVENTS_REPEATED, "events_repeated")                         \
    X(EVENTS_INVALID, "events_invalid")                           \
    X(EVENTS_UNADDRESSED, "events_unaddressed")                   \
    X(EVENTS_TAKEN, "events_taken")                               \
    X(EVENTS_LOST_TO_REDIS, "events_lost_to_redis")               \
    X(WAKES_QUEUED, "wakes_queued")                               \
    X(WAKES_DEFERRED, "wakes_deferred")                           \
    X(WAKES_MERGED, "wakes_merged")                               \
    X(WAKES_UNREGISTERED, "wakes_unregistered")                   \
    X(WAKES_DELIVERED_FCM, "wakes_delivered_fcm")                 \
    X(WAKES_DELIVERED_UNIFIEDPUSH, "wakes_delivered_unifiedpush") \
    X(WAKES_DEAD_FCM, "wakes_dead_fcm")                           \
    X(WAKES_DEAD_UNIFIEDPUSH, "wakes_dead_unifiedpush")           \
    X(WAKES_GIVEN_UP_FCM, "wakes_given_up_fcm")                   \
    X(WAKES_GIVEN_UP_UNIFIEDPUSH, "wakes_given_up_unifiedpush")   \
    X(PUSH_RETRIES, "push_retries")

enum stats_counter {
#define X(name, text) STAT_##name,
    STATS_TABLE(X)
#undef X
        STAT_COUNT
};

struct stats {
    _Atomic uint64_t pending[STAT_COUNT];
};

static inline void stats_add(struct stats *stats, enum stats_counter which, uint64_t n)
{
    atomic_fetch_add_explicit(&stats->pending[which], n, memory_order_relaxed);
}

/* The counter's name in Redis. */
const char *stats_name(enum stats_counter which);

#endif
