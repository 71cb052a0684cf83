#include "registry_listener.h"

#include "registry_priv.h"

enum registry_result registry_heartbeat(struct registry *registry, const struct heartbeat *beat,
                                        struct lease *lease)
{
    struct registry_command *command = &registry->command;
    uint64_t held[2];
    redisReply *reply;
    enum registry_result result;

    REGISTRY_BEGIN(registry, "heartbeat");
    registry_add(command, registry->settings->listener_name);
    registry_add(command, beat->instance);
    registry_add(command, beat->first ? "first" : "again");
    registry_add(command, "version");
    registry_add(command, PACKAGE_VERSION);
    registry_add_pair(command, "relays_connected", beat->relays_connected);
    registry_add_pair(command, "relays_configured", beat->relays_configured);
    registry_add_pair(command, "relays_may_hide_wraps", beat->relays_may_hide_wraps);
    registry_add_pair(command, "in_flight", beat->in_flight);
    registry_add_pair(command, "backlog", beat->backlog);
    registry_add_pair(command, "last_event", beat->last_event_s);
    registry_add(command, "report");
    registry_add(command, beat->report != NULL ? beat->report : "");
    registry_add(command, "held_hosts");
    registry_add(command, beat->held_hosts != NULL ? beat->held_hosts : "");
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
    struct registry_command *command = &registry->command;
    int64_t ignored;

    REGISTRY_BEGIN(registry, "leave");
    registry_add(command, registry->settings->listener_name);
    registry_add(command, instance);
    registry_add(command, ended ? "ends" : "begins");
    return registry_call_for_integer(registry, &ignored);
}

enum registry_result registry_count(struct registry *registry, uint64_t *registrations)
{
    uint64_t counts[2]; /* of each platform */
    redisReply *reply;
    enum registry_result result;

    REGISTRY_BEGIN(registry, "count");
    result = registry_send(registry, &reply);
    if (result == REGISTRY_OK)
        result = registry_read_numbers(reply, counts, 2);
    if (result == REGISTRY_OK)
        *registrations = counts[0] + counts[1];
    return result;
}

enum registry_result registry_trim(struct registry *registry, int64_t *trimmed)
{
    *trimmed = 0;
    REGISTRY_BEGIN(registry, "trim");
    return registry_call_for_integer(registry, trimmed);
}
