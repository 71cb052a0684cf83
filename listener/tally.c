#include "tally.h"

#include <inttypes.h>

#include "log/log.h"

#define MS_PER_MINUTE 60000

void tally_begin(struct tally *tally, int64_t now_ms)
{
    *tally = (struct tally){.told_ms = now_ms};
}

/* Since the last line. */
static uint64_t take(struct tally *tally, const struct stats *stats, enum stats_counter which)
{
    uint64_t counted = stats_counted(stats, which), n = counted - tally->told[which];

    tally->told[which] = counted;
    return n;
}

#define B(X, BACKEND, backend) +take(tally, stats, STAT_WAKES_##X##_##BACKEND)
#define ALL_BACKENDS(OUTCOME)  (0 STATS_BACKENDS(B, OUTCOME))

void tally_tell(struct tally *tally, const struct stats *stats, const struct heartbeat *beat,
                uint64_t registrations, int64_t now_ms)
{
    int64_t minutes = (now_ms - tally->told_ms + MS_PER_MINUTE / 2) / MS_PER_MINUTE;
    uint64_t events, queued, delivered, retries, given_up, dead;

    if (now_ms - tally->told_ms < TALLY_EVERY_MS)
        return;
    tally->told_ms = now_ms;
    events = take(tally, stats, STAT_EVENTS_RECEIVED);
    queued = take(tally, stats, STAT_WAKES_QUEUED) + take(tally, stats, STAT_WAKES_DEFERRED);
    delivered = ALL_BACKENDS(DELIVERED);
    retries = take(tally, stats, STAT_PUSH_RETRIES);
    given_up = ALL_BACKENDS(GIVEN_UP) + take(tally, stats, STAT_WAKES_DROPPED);
    dead = ALL_BACKENDS(DEAD);
    log_info("listener: in %" PRId64 " min: %" PRIu64 " events came, %" PRIu64
             " wakes queued for them; %" PRIu64 " pushes delivered, %" PRIu64
             " to be tried again, %" PRIu64 " given up, %" PRIu64 " tokens dead; now %u of %u "
             "relays connected, %u wakes here, %u of them being pushed, %" PRIu64 " registrations",
             minutes, events, queued, delivered, retries, given_up, dead, beat->relays_connected,
             beat->relays_configured, beat->backlog, beat->in_flight, registrations);
}
