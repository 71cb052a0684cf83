#include "registry_api.h"

#include <string.h>

#include "base/hex.h"
#include "device/device_id.h"
#include "device/endpoint_url.h"
#include "registry_priv.h"

#define LONGEST_WAIT_US INT64_C(60000000) /* a minute: the lowest rate is one a minute */

/* What registry.lua's `notify` answers beside 0 and a time to wait. */
#define NOTIFY_REFUSED_PUBKEY -1
#define NOTIFY_QUEUE_FULL     -2

#define LISTENER_SUMS 6                   /* of registry.lua's sum_listeners() */
#define STATE_VALUES  (6 + LISTENER_SUMS) /* of `state`, and before the counters in `metrics` */

const char *platform_name(enum platform platform)
{
    return platform == PLATFORM_IOS ? "ios" : "android";
}

/* Hash, interval and burst, as registry.lua's spend_address() takes them; no limit is no hash. */
static void add_address(struct registry *registry, enum registry_bucket bucket,
                        const struct address_hash *address)
{
    bool is_notify = bucket == REGISTRY_BUCKET_NOTIFY;
    const struct registry_limit *limit =
        is_notify ? &registry->notify_address : &registry->register_address;

    registry_add(registry,
                 address != NULL && (is_notify || registry->limits_registers) ? address->hex : "");
    registry_add(registry, limit->interval);
    registry_add(registry, limit->burst);
}

enum registry_result registry_address_key(struct registry *registry, uint8_t key[ADDRESS_KEY_SIZE])
{
    char candidate[2 * ADDRESS_KEY_SIZE + 1];
    enum registry_result result;
    redisReply *reply;

    hex_encode(candidate, key, ADDRESS_KEY_SIZE);
    REGISTRY_BEGIN(registry, "address_key");
    registry_add(registry, candidate);
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

enum registry_result registry_spend(struct registry *registry, enum registry_bucket bucket,
                                    const struct address_hash *address)
{
    int64_t wait = 0;
    enum registry_result result;

    REGISTRY_BEGIN(registry, "spend");
    registry_add(registry, bucket == REGISTRY_BUCKET_NOTIFY ? "notify" : "register");
    add_address(registry, bucket, address);
    result = registry_call_for_integer(registry, &wait);
    registry->refused_for_us = wait;
    return result == REGISTRY_OK && wait > 0 ? REGISTRY_REFUSED_ADDRESS : result;
}

unsigned registry_refused_for_ms(const struct registry *registry)
{
    int64_t ms = registry->refused_for_us / 1000;

    return ms > 0 && ms < LONGEST_WAIT_US / 1000 ? (unsigned)ms : 0;
}

/* What became of the one notify of a call. */
static enum registry_result notify_result(struct registry *registry, int64_t answer)
{
    registry->refused_for_us = answer;
    if (answer == NOTIFY_REFUSED_PUBKEY)
        return REGISTRY_REFUSED_PUBKEY;
    if (answer == NOTIFY_QUEUE_FULL) {
        registry_tell_full(REGISTRY_SHORT_HALF_QUEUE);
        return REGISTRY_QUEUE_FULL;
    }
    if (answer < 0 || answer > LONGEST_WAIT_US)
        return registry_unexpected_reply(NULL);
    return answer > 0 ? REGISTRY_REFUSED_ADDRESS : REGISTRY_OK;
}

enum registry_result registry_notify(struct registry *registry, const struct address_hash *address,
                                     const struct trade_pubkey *key)
{
    redisReply *reply;
    enum registry_result result;
    int64_t answer;

    REGISTRY_BEGIN(registry, "notify");
    registry_add(registry, registry->notify_address.interval);
    registry_add(registry, registry->notify_address.burst);
    registry_add_pubkey_limit(registry);
    registry_add(registry, registry->notify_wakes_max);
    registry_add(registry, address != NULL ? address->hex : "");
    registry_add_pubkey(registry, key);
    result = registry_send(registry, &reply);
    if (result != REGISTRY_OK)
        return result == REGISTRY_FULL ? REGISTRY_QUEUE_FULL : result;
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 1 ||
        reply->element[0]->type != REDIS_REPLY_INTEGER)
        return registry_unexpected_reply(reply);
    answer = reply->element[0]->integer;
    freeReplyObject(reply);
    return notify_result(registry, answer);
}

static void add_new_limit(struct registry *registry, const struct address_hash *address,
                          const struct address_hash *site)
{
    registry_add(registry, registry->register_new.interval);
    registry_add(registry, registry->register_new.burst);
    registry_add(registry, registry->limits_new && address != NULL ? address->hex : "");
    registry_add(registry, registry->limits_new && site != NULL ? site->hex : "");
}

enum registry_result registry_register(struct registry *registry,
                                       const struct address_hash *address,
                                       const struct address_hash *site,
                                       const struct trade_pubkey *key,
                                       const struct registration *registration)
{
    struct device_id device_id = {.hex = ""};

    REGISTRY_BEGIN(registry, "register");
    add_address(registry, REGISTRY_BUCKET_REGISTER, address);
    registry_add_pubkey(registry, key);
    registry_add(registry, registry->token_ttl_ms);
    registry_add(registry, registry->registrations_max);
    registry_add(registry, platform_name(registration->platform));
    registry_add(registry, registration->token);
    registry_add(registry, registration->p256dh);
    registry_add(registry, registration->auth);
    if (strstr(registration->token, ENDPOINT_URL_MARK) != NULL &&
        !device_id_of(&device_id, registration->token))
        return REGISTRY_UNAVAILABLE;
    registry_add(registry, device_id.hex);
    registry_add(registry, registration->mostro_pubkey);
    add_new_limit(registry, address, site);
    return registry_call_for_outcome(registry);
}

enum registry_result registry_unregister(struct registry *registry,
                                         const struct address_hash *address,
                                         const struct trade_pubkey *key)
{
    REGISTRY_BEGIN(registry, "unregister");
    add_address(registry, REGISTRY_BUCKET_REGISTER, address);
    registry_add_pubkey(registry, key);
    return registry_call_for_outcome(registry);
}

enum registry_result registry_count(struct registry *registry, uint64_t *android, uint64_t *ios)
{
    uint64_t counts[2] = {0, 0};
    redisReply *reply;
    enum registry_result result;

    REGISTRY_BEGIN(registry, "count");
    result = registry_send(registry, &reply);
    if (result == REGISTRY_OK)
        result = registry_read_numbers(reply, counts, 2);
    *android = counts[0];
    *ios = counts[1];
    return result;
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
        .listeners = listeners_of(values + 6),
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

enum registry_result registry_metrics(struct registry *registry, struct registry_metrics *metrics)
{
    uint64_t values[STATE_VALUES + STAT_COUNT];
    redisReply *reply;
    enum registry_result result;

    registry_disconnect(registry);
    REGISTRY_BEGIN(registry, "metrics");
    for (int i = 0; i < STAT_COUNT; i++)
        registry_add(registry, stats_series((enum stats_counter)i)->field);
    result = registry_send(registry, &reply);
    if (result == REGISTRY_OK)
        result = registry_read_numbers(reply, values, STATE_VALUES + STAT_COUNT);
    if (result != REGISTRY_OK)
        return result;
    set_state(registry, &metrics->state, values);
    memcpy(metrics->counter, values + STATE_VALUES, sizeof metrics->counter);
    return REGISTRY_OK;
}
