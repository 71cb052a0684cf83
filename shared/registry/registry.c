#include "registry.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "redis/redis_primary.h"
#include "registry_priv.h"

/* How many requests of an address, or wakes of a pubkey, are admitted at once after a quiet time.
 */
#define NOTIFY_ADDRESS_BURST   30
#define NOTIFY_PUBKEY_BURST    10
#define REGISTER_ADDRESS_BURST 100
#define REGISTER_NEW_BURST     500 /* or a day's, if that is less */

#define US_PER_MINUTE INT64_C(60000000)
#define US_PER_DAY    (24 * 60 * US_PER_MINUTE)
#define MS_PER_HOUR   INT64_C(3600000)

static void write_number(char text[REGISTRY_NUMBER_SIZE], int64_t number)
{
    (void)snprintf(text, REGISTRY_NUMBER_SIZE, "%" PRId64, number);
}

static void write_limit(struct registry_limit *limit, int64_t period_us, int64_t rate,
                        int64_t burst)
{
    write_number(limit->interval, period_us / (rate > 0 ? rate : 1));
    write_number(limit->burst, burst);
}

void registry_words_set(struct registry_words *words, const struct settings *settings)
{
    int64_t new_per_day = settings->register_new_per_address;

    words->prefix = settings->redis_prefix;
    words->limits_registers = settings->register_rate_per_address > 0;
    words->limits_new = new_per_day > 0;
    write_limit(&words->notify_address, US_PER_MINUTE, settings->notify_rate_per_address,
                NOTIFY_ADDRESS_BURST);
    write_limit(&words->notify_pubkey, US_PER_MINUTE, settings->notify_rate_per_pubkey,
                NOTIFY_PUBKEY_BURST);
    write_limit(&words->register_address, US_PER_MINUTE, settings->register_rate_per_address,
                REGISTER_ADDRESS_BURST);
    write_limit(&words->register_new, US_PER_DAY, new_per_day,
                new_per_day < REGISTER_NEW_BURST ? new_per_day : REGISTER_NEW_BURST);
    write_number(words->notify_wakes_max, settings->wakes_max / 2);
    write_number(words->event_wakes_max, settings->wakes_max);
    write_number(words->token_ttl_ms, settings->token_ttl_hours * MS_PER_HOUR);
    write_number(words->registrations_max, settings->max_registrations);
}

static struct redis *make_redis(const struct settings *settings)
{
    const struct redis_options options = {.url = settings->redis_url,
                                          .prefix = settings->redis_prefix,
                                          .sentinel_password = settings->redis_sentinel_password,
                                          .allow_persistence = settings->redis_allow_persistence};

    return redis_new(&options);
}

struct registry *registry_new(const struct settings *settings, struct stats *stats)
{
    struct registry *registry = calloc(1, sizeof *registry);

    if (registry == NULL)
        return NULL;
    registry->settings = settings;
    registry->stats = stats;
    registry_words_set(&registry->words, settings);
    registry->redis = make_redis(settings);
    /* The one key made outside registry.lua: a function cannot wait for entries. */
    if (registry->redis == NULL ||
        asprintf(&registry->wakes_key, "%swakes", settings->redis_prefix) < 0) {
        registry->wakes_key = NULL;
        registry_free(&registry);
    }
    return registry;
}

void registry_free(struct registry **registry)
{
    if (*registry == NULL)
        return;
    redis_free(&(*registry)->redis);
    free((*registry)->wakes_key);
    free(*registry);
    *registry = NULL;
}

const char *registry_down_reason(const struct registry *registry)
{
    return redis_down_reason(registry->redis);
}

bool registry_is_refused(const struct registry *registry)
{
    return redis_is_refused(registry->redis);
}

bool registry_is_replicated(const struct registry *registry)
{
    return redis_is_replicated(registry->redis);
}

bool registry_is_connected(const struct registry *registry)
{
    return redis_fd(registry->redis) >= 0;
}

uint64_t registry_primary_changes(void)
{
    return redis_primary_changes();
}

void registry_disconnect(struct registry *registry)
{
    redis_close(registry->redis);
}

enum registry_result registry_check(struct registry *registry)
{
    enum redis_status status;

    registry->must_load = true;
    status = registry_load_library(registry);
    return status == REDIS_FULL ? REGISTRY_OK : registry_result_of(registry, status);
}
