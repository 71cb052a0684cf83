/* Heartbeats, and housekeeping: counters, what has expired. */
#include "registry_priv.h"

static void add_pair(struct registry *registry, const char *name, int64_t value)
{
    registry_add(registry, name);
    registry_add_number(registry, value);
}

enum registry_result registry_heartbeat(struct registry *registry, const struct heartbeat *beat,
                                        struct tenure *tenure)
{
    uint64_t held[2];
    redisReply *reply;
    enum registry_result result;

    REGISTRY_BEGIN(registry, "heartbeat");
    registry_add(registry, registry->settings->listener_name);
    registry_add(registry, beat->instance);
    registry_add(registry, beat->first ? "first" : "again");
    registry_add(registry, "version");
    registry_add(registry, PACKAGE_VERSION);
    add_pair(registry, "relays_connected", beat->relays_connected);
    add_pair(registry, "relays_configured", beat->relays_configured);
    add_pair(registry, "in_flight", beat->in_flight);
    add_pair(registry, "backlog", beat->backlog);
    add_pair(registry, "last_event", beat->last_event_s);
    result = registry_send(registry, &reply);
    if (result == REGISTRY_OK)
        result = registry_read_numbers(reply, held, 2);
    if (result != REGISTRY_OK)
        return result;
    tenure->since_us = (int64_t)held[0];
    tenure->alone = held[1] == 0;
    return held[0] == 0 ? REGISTRY_NOT_FOUND : REGISTRY_OK;
}

enum registry_result registry_leave(struct registry *registry, const char *instance, bool ended)
{
    int64_t ignored;

    REGISTRY_BEGIN(registry, "leave");
    registry_add(registry, registry->settings->listener_name);
    registry_add(registry, instance);
    registry_add(registry, ended ? "ends" : "begins");
    return registry_call_for_integer(registry, &ignored);
}

enum registry_result registry_flush_stats(struct registry *registry, struct stats *stats)
{
    uint64_t taken[STAT_COUNT];
    enum registry_result result = REGISTRY_OK;
    int64_t ignored;
    bool any = false;

    REGISTRY_BEGIN(registry, "add");
    for (int i = 0; i < STAT_COUNT; i++) {
        taken[i] = atomic_exchange_explicit(&stats->pending[i], 0, memory_order_relaxed);
        if (taken[i] > 0)
            add_pair(registry, stats_series((enum stats_counter)i)->field, (int64_t)taken[i]);
        any |= taken[i] > 0;
    }
    if (any)
        result = registry_call_for_integer(registry, &ignored);
    for (int i = 0; result != REGISTRY_OK && i < STAT_COUNT; i++)
        stats_add(stats, (enum stats_counter)i, taken[i]);
    return result;
}

enum registry_result registry_trim(struct registry *registry, int64_t *trimmed)
{
    *trimmed = 0;
    REGISTRY_BEGIN(registry, "trim");
    return registry_call_for_integer(registry, trimmed);
}
