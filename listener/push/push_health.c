#include "push_health.h"

#include "base/backoff.h"

#define OUTAGE_SHARE 8 /* of the outage so far a probe waits for one in so many parts */

void push_health_init(struct push_health *health)
{
    *health = (struct push_health){.good.ms = INT64_MIN, .other.ms = INT64_MIN};
}

bool push_health_is_down(const struct push_health *health)
{
    return health->faults >= PUSH_HEALTH_FAULTS;
}

bool push_health_good(struct push_health *health, push_endpoint_id endpoint, int64_t now_ms)
{
    bool was_down = push_health_is_down(health);

    if (health->good.endpoint != endpoint)
        health->other = health->good;
    health->good.endpoint = endpoint;
    health->good.ms = now_ms;
    health->faults = health->suspected = health->probes = 0;
    return was_down;
}

bool push_health_suspects(const struct push_health *health, push_endpoint_id endpoint)
{
    for (unsigned i = 0; i < health->suspected; i++)
        if (health->suspects[i] == endpoint)
            return true;
    return false;
}

/* The oldest makes room. */
static void suspect(struct push_health *health, push_endpoint_id endpoint)
{
    if (health->suspected == PUSH_HEALTH_FAULTS) {
        for (unsigned i = 1; i < PUSH_HEALTH_FAULTS; i++)
            health->suspects[i - 1] = health->suspects[i];
        health->suspected--;
    }
    health->suspects[health->suspected++] = endpoint;
}

static void plan_probe(struct push_health *health, int64_t now_ms, random_up_to_fn *random)
{
    static const struct backoff probes = {PUSH_HEALTH_PROBE_LEAST_MS, PUSH_HEALTH_PROBE_MOST_MS, 0};
    int64_t share = (now_ms - health->down_ms) / OUTAGE_SHARE;
    int64_t most = backoff_ms(&probes, health->probes + 1, 0);

    if (most > share)
        most = share;
    if (most < PUSH_HEALTH_PROBE_LEAST_MS)
        most = PUSH_HEALTH_PROBE_LEAST_MS;
    health->probe_at_ms = now_ms + (int64_t)random((uint64_t)most);
}

bool push_health_fault(struct push_health *health, push_endpoint_id endpoint, bool answered,
                       int64_t begun_ms, int64_t now_ms, random_up_to_fn *random)
{
    bool was_suspect = push_health_suspects(health, endpoint);

    if (!was_suspect)
        suspect(health, endpoint);
    if (push_health_is_down(health)) {
        /* What was under way when the peer went down is no probe. */
        if (begun_ms >= health->probe_at_ms) {
            health->probes++;
            plan_probe(health, now_ms, random);
        }
        return false;
    }
    if (answered && was_suspect)
        return false;
    if (++health->faults < PUSH_HEALTH_FAULTS)
        return false;
    health->down_ms = now_ms;
    health->probes = 0;
    plan_probe(health, now_ms, random);
    return true;
}

bool push_health_blames(const struct push_health *health, push_endpoint_id endpoint,
                        int64_t since_ms)
{
    return (health->good.endpoint != endpoint ? health->good.ms : health->other.ms) >= since_ms;
}

unsigned push_health_slots(const struct push_health *health, int64_t now_ms, unsigned in_flight,
                           unsigned most)
{
    if (push_health_is_down(health))
        return in_flight == 0 && now_ms >= health->probe_at_ms ? 1 : 0;
    return in_flight < most ? most - in_flight : 0;
}
