#include "push.h"

#define PROBE_LEAST_MS 1000

bool push_was_not_made(enum push_outcome outcome)
{
    return outcome == PUSH_UNBEGUN || outcome == PUSH_NO_ROOM || outcome == PUSH_DAMAGED;
}

void push_health_init(struct push_health *health)
{
    *health = (struct push_health){.last_good_ms = INT64_MIN};
}

bool push_health_is_down(const struct push_health *health)
{
    return health->faults >= PUSH_HEALTH_FAULTS;
}

bool push_health_good(struct push_health *health, int64_t now_ms)
{
    bool was_down = push_health_is_down(health);

    health->faults = 0;
    health->last_good_ms = now_ms;
    return was_down;
}

bool push_health_fault(struct push_health *health, int64_t now_ms)
{
    int64_t wait = PROBE_LEAST_MS;

    /* Those that were under way when the backend went down are no probes. */
    if (push_health_is_down(health) && now_ms < health->probe_at_ms)
        return false;
    health->faults++;
    for (unsigned i = PUSH_HEALTH_FAULTS; i < health->faults && wait < PUSH_HEALTH_PROBE_MAX_MS;
         i++)
        wait *= 2;
    health->probe_at_ms =
        now_ms + (wait < PUSH_HEALTH_PROBE_MAX_MS ? wait : PUSH_HEALTH_PROBE_MAX_MS);
    return health->faults == PUSH_HEALTH_FAULTS;
}

bool push_health_blames(const struct push_health *health, int64_t since_ms)
{
    return health->last_good_ms >= since_ms;
}

unsigned push_health_slots(const struct push_health *health, int64_t now_ms, unsigned in_flight,
                           unsigned most)
{
    if (push_health_is_down(health))
        return in_flight == 0 && now_ms >= health->probe_at_ms ? 1 : 0;
    return in_flight < most ? most - in_flight : 0;
}
