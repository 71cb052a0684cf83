#include "registry_listener.h"

#include "registry_priv.h"

enum registry_result registry_heartbeat(struct registry *registry, const struct heartbeat *beat,
                                        struct lease *lease)
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
    registry_add_pair(registry, "relays_connected", beat->relays_connected);
    registry_add_pair(registry, "relays_configured", beat->relays_configured);
    registry_add_pair(registry, "relays_may_hide_wraps", beat->relays_may_hide_wraps);
    registry_add_pair(registry, "in_flight", beat->in_flight);
    registry_add_pair(registry, "backlog", beat->backlog);
    registry_add_pair(registry, "last_event", beat->last_event_s);
    result = registry_send(registry, &reply);
    if (result == REGISTRY_OK)
        result = registry_read_numbers(reply, held, 2);
    if (result != REGISTRY_OK)
        return result;
    lease->since_us = (int64_t)held[0];
    lease->alone = held[1] == 0;
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

enum registry_result registry_trim(struct registry *registry, int64_t *trimmed)
{
    *trimmed = 0;
    REGISTRY_BEGIN(registry, "trim");
    return registry_call_for_integer(registry, trimmed);
}
