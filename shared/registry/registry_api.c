#include "registry_api.h"

#include <string.h>

#include "base/hex.h"
#include "registry_priv.h"

#define LISTENER_SUMS 6                   /* of registry.lua's sum_listeners() */
#define STATE_VALUES  (8 + LISTENER_SUMS) /* of `state`, and before the counters in `metrics` */

const char *platform_name(enum platform platform)
{
    return platform == PLATFORM_IOS ? "ios" : "android";
}

enum registry_result registry_address_key(struct registry *registry, uint8_t key[ADDRESS_KEY_SIZE])
{
    char candidate[2 * ADDRESS_KEY_SIZE + 1];
    enum registry_result result;
    redisReply *reply;

    hex_encode(candidate, key, ADDRESS_KEY_SIZE);
    REGISTRY_BEGIN(registry, "address_key");
    registry_add(&registry->command, candidate);
    result = registry_send(registry, &reply);
    explicit_bzero(candidate, sizeof candidate);
    if (result != REGISTRY_OK)
        return result;
    if (reply->type != REDIS_REPLY_STRING ||
        !hex_decode(key, ADDRESS_KEY_SIZE, reply->str, reply->len))
        return registry_unexpected_reply(reply);
    explicit_bzero(reply->str, reply->len);
    freeReplyObject(reply);
    return REGISTRY_OK;
}

static struct registry_listeners listeners_of(const uint64_t sums[LISTENER_SUMS])
{
    return (struct registry_listeners){.alive = sums[0],
                                       .relays_connected = sums[1],
                                       .relays_configured = sums[2],
                                       .in_flight = sums[3],
                                       .backlog = sums[4],
                                       .relays_may_hide_wraps = sums[5]};
}

static void set_state(const struct registry *registry, struct registry_state *state,
                      const uint64_t values[STATE_VALUES])
{
    const struct settings *settings = registry->settings;

    *state = (struct registry_state){
        .android = values[0],
        .ios = values[1],
        .inbox = values[2],
        .queued = values[2] + values[3],
        .memory_short = values[4] != 0,
        .paused = values[5] != 0,
        .lost = values[6] != 0,
        .lost_registrations = values[7],
        .listeners = listeners_of(values + 8),
        .redis_full = redis_is_full(registry->redis),
        .registrations_full = values[0] + values[1] >= (uint64_t)settings->max_registrations,
        .queue_half_full = values[2] >= (uint64_t)settings->wakes_max / 2};
}

enum registry_result registry_state(struct registry *registry, struct registry_state *state)
{
    uint64_t values[STATE_VALUES];
    redisReply *reply;
    enum registry_result result;

    registry_disconnect(registry);
    REGISTRY_BEGIN(registry, "state");
    result = registry_send(registry, &reply);
    if (result == REGISTRY_OK)
        result = registry_read_numbers(reply, values, STATE_VALUES);
    if (result == REGISTRY_OK)
        set_state(registry, state, values);
    return result;
}

static enum registry_result ask_watch(struct registry *registry, struct registry_watch **watch)
{
    redisReply *reply;
    enum registry_result result;

    REGISTRY_BEGIN(registry, "watch");
    result = registry_send(registry, &reply);
    if (result != REGISTRY_OK)
        return result;
    *watch = registry_watch_read(reply);
    if (*watch == NULL)
        return registry_unexpected_reply(reply);
    freeReplyObject(reply);
    return REGISTRY_OK;
}

enum registry_result registry_metrics(struct registry *registry, struct registry_metrics *metrics)
{
    uint64_t values[STATE_VALUES + STAT_COUNT];
    redisReply *reply;
    enum registry_result result;

    metrics->watch = NULL;
    registry_disconnect(registry);
    REGISTRY_BEGIN(registry, "metrics");
    for (int i = 0; i < STAT_COUNT; i++)
        registry_add(&registry->command, stats_series((enum stats_counter)i)->field);
    result = registry_send(registry, &reply);
    if (result == REGISTRY_OK)
        result = registry_read_numbers(reply, values, STATE_VALUES + STAT_COUNT);
    if (result != REGISTRY_OK)
        return result;
    set_state(registry, &metrics->state, values);
    memcpy(metrics->counter, values + STATE_VALUES, sizeof metrics->counter);
    return ask_watch(registry, &metrics->watch);
}
