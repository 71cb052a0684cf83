#include <string.h>

#include "base/clock.h"
#include "log/log.h"
#include "redis_primary.h"
#include "redis_priv.h"
#include "redis_report.h"
#include "redis_sentinel.h"

#define RESOLVE_MS    100
#define TELL_EVERY_MS INT64_C(3600000) /* between warnings of eviction */

/* The addresses share the time, so that each gets a turn. */
static redisContext *connect_by_name(const struct redis *redis)
{
    const unsigned us = REDIS_TIMEOUT_MS * 1000 / (unsigned)redis->address.count;
    const struct timeval timeout = {.tv_sec = us / 1000000, .tv_usec = us % 1000000};
    redisContext *context = NULL;

    for (size_t i = 0; i < redis->address.count; i++) {
        redisFree(context);
        context = redisConnectWithTimeout(redis->address.text[i], redis->node.port, timeout);
        if (context == NULL || context->err == 0)
            break;
    }
    return context;
}

/* What is wrong, or NULL. */
static const char *open_socket(struct redis *redis, redisContext **context)
{
    const struct timeval timeout = {.tv_sec = REDIS_TIMEOUT_MS / 1000,
                                    .tv_usec = (REDIS_TIMEOUT_MS % 1000) * 1000};
    const char *problem;

    if (redis->url.path[0] != '\0') {
        *context = redisConnectUnixWithTimeout(redis->url.path, timeout);
    } else {
        problem = redis_address_find(&redis->address, redis->node.host, RESOLVE_MS);
        if (problem != NULL)
            return problem;
        *context = connect_by_name(redis);
    }
    if (*context == NULL)
        return "out of memory";
    if ((*context)->err == 0) {
        (void)redisSetTimeout(*context, timeout);
        return NULL;
    }
    (void)snprintf(redis->error, sizeof redis->error, "%s", (*context)->errstr);
    redisFree(*context);
    return redis->error;
}

static void warn_of_eviction(int64_t now)
{
    static struct log_pace pace;

    if (log_is_due(&pace, now, TELL_EVERY_MS))
        log_warn("redis: it may evict registrations: set maxmemory-policy noeviction");
}

static void greet(struct redis *redis, redisContext *context)
{
    const struct redis_greeting_options options = {.url = &redis->url,
                                                   .prefix = redis->prefix,
                                                   .allow_persistence = redis->allow_persistence,
                                                   .has_sentinels = redis_is_replicated(redis),
                                                   .timeout_ms = REDIS_TIMEOUT_MS};

    redis_wire_open(&redis->wire, context);
    redis_greet(&redis->wire, &options, &redis->greeting);
}

/* False: redis_down() was called, or, where the server is a replica and Sentinels have named it, it
 * is connected to all the same. */
static bool connect_to_node(struct redis *redis)
{
    redisContext *context;
    const char *problem = open_socket(redis, &context);

    if (problem != NULL) {
        (void)redis_lost(redis, problem);
        return false;
    }
    greet(redis, context);
    if (redis->greeting.problem[0] == '\0')
        return true;
    if (redis->greeting.replica_of.port == 0)
        (void)redis_down(redis, redis->greeting.problem, redis->greeting.refused);
    return false;
}

static void go_to(struct redis *redis, const struct redis_node *node)
{
    redis_close(redis);
    if (redis_node_is_same(&redis->node, node))
        return;
    redis_address_free(&redis->address);
    redis_address_init(&redis->address);
    redis->node = *node;
}

/* Goes on to the primary of the replica that it is connected to. */
static bool hop(struct redis *redis)
{
    const struct redis_node to = redis->greeting.replica_of;

    if (redis_primary_may_hop(redis->primary, &redis->node, &to)) {
        go_to(redis, &to);
        if (connect_to_node(redis))
            return true;
    }
    if (redis->wire.context != NULL)
        (void)redis_down(redis, redis->greeting.problem, redis->greeting.refused);
    return false;
}

static bool connect_to_primary(struct redis *redis)
{
    struct redis_sentinel_trouble trouble;
    struct redis_node named;
    bool has_hopped = false;

    if (!redis_primary_find(redis->primary, redis->has_failed, &named, &trouble)) {
        memset(&redis->node, 0, sizeof redis->node);
        (void)redis_down(redis, trouble.what, trouble.refused);
        return false;
    }
    go_to(redis, &named);
    redis->has_failed = !redis->has_failed;
    if (!connect_to_node(redis)) {
        has_hopped = redis->wire.context != NULL && hop(redis);
        if (!has_hopped)
            return false;
    }
    redis->wire.membership =
        redis_primary_settle(redis->primary, &redis->node, has_hopped ? &named : NULL,
                             redis->wire.context->fd, &trouble);
    if (redis->wire.membership == NULL) {
        (void)redis_down(redis, trouble.what, trouble.refused);
        return false;
    }
    redis->has_failed = false;
    return true;
}

bool redis_connect_anew(struct redis *redis)
{
    if (clock_monotonic_ms() < redis->held_off_until)
        return false;
    if (!(redis->primary != NULL ? connect_to_primary(redis) : connect_to_node(redis)))
        return false;
    redis->refused = false;
    redis_report_up();
    if (redis->greeting.may_evict)
        warn_of_eviction(clock_monotonic_ms());
    return true;
}
