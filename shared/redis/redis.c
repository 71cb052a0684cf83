#include "redis_priv.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "log/log.h"
#include "redis_address.h"
#include "redis_greeting.h"
#include "redis_primary.h"
#include "redis_report.h"
#include "redis_url.h"

#define RESOLVE_MS    100
#define TELL_EVERY_MS INT64_C(3600000) /* between warnings of eviction */

struct redis {
    struct redis_url url;
    struct redis_address address;
    char *prefix;
    bool allow_persistence;
    struct redis_wire wire;
    struct redis_greeting greeting; /* of the last connection */
    int64_t held_off_until;         /* clock_monotonic_ms() */
    bool refused;                   /* redis_is_refused() */
    char error[REDIS_ERROR_SIZE];
    char down_reason[REDIS_PROBLEM_SIZE];
};

/* ---- Up and down -------------------------------------------------------------------------------
 */

struct redis *redis_new(const char *url, const char *prefix, bool allow_persistence)
{
    struct redis *redis = calloc(1, sizeof *redis);

    if (redis == NULL)
        return NULL;
    redis->allow_persistence = allow_persistence;
    redis_address_init(&redis->address);
    redis->prefix = strdup(prefix);
    if (redis->prefix == NULL || redis_url_parse(&redis->url, url) != NULL)
        redis_free(&redis);
    return redis;
}

void redis_free(struct redis **redis)
{
    if (*redis == NULL)
        return;
    redis_wire_free(&(*redis)->wire);
    redis_address_free(&(*redis)->address);
    free((*redis)->prefix);
    explicit_bzero(*redis, sizeof **redis);
    free(*redis);
    *redis = NULL;
}

void redis_close(struct redis *redis)
{
    redis_wire_close(&redis->wire);
}

void redis_where(const struct redis *redis, char where[REDIS_WHERE_SIZE])
{
    const struct redis_url *url = &redis->url;

    if (url->is_unix)
        (void)snprintf(where, REDIS_WHERE_SIZE, "%s", url->host);
    else
        (void)snprintf(where, REDIS_WHERE_SIZE, "%s:%d", url->host, url->port);
}

/* Closes the connection and holds off new ones for a moment, so that a dead server costs callers
 * little. */
static enum redis_status down(struct redis *redis, const char *reason, bool refused)
{
    int64_t now = clock_monotonic_ms();
    char where[REDIS_WHERE_SIZE];

    (void)snprintf(redis->down_reason, sizeof redis->down_reason, "%s", reason);
    redis->refused = refused;
    redis_where(redis, where);
    redis_report_down(where, redis->down_reason, refused, now);
    redis_close(redis);
    redis->held_off_until = now + REDIS_HOLD_OFF_MS;
    return REDIS_DOWN;
}

static enum redis_status lost(struct redis *redis, const char *reason)
{
    return down(redis, reason, false);
}

enum redis_status redis_judge(redisReply **reply, char error[REDIS_ERROR_SIZE],
                              const struct redis_fault **fault)
{
    if ((*reply)->type != REDIS_REPLY_ERROR)
        return REDIS_OK_REPLY;
    (void)snprintf(error, REDIS_ERROR_SIZE, "%s", (*reply)->str);
    freeReplyObject(*reply);
    *reply = NULL;
    *fault = redis_fault_of(error);
    switch ((*fault)->kind) {
    case REDIS_FAULT_NONE:
        return REDIS_ERROR_REPLY;
    case REDIS_FAULT_FULL:
        return REDIS_FULL;
    case REDIS_FAULT_PASSING:
    case REDIS_FAULT_REFUSED:
        break;
    }
    return REDIS_DOWN;
}

static enum redis_status judge(struct redis *redis, redisReply **reply)
{
    const struct redis_fault *fault;
    enum redis_status status = redis_judge(reply, redis->error, &fault);

    return status == REDIS_DOWN ? down(redis, fault->what, fault->kind == REDIS_FAULT_REFUSED)
                                : status;
}

bool redis_hand_over(struct redis *redis, struct redis_wire *wire)
{
    if (redis->wire.context == NULL)
        return false;
    redis_wire_take_over(wire, &redis->wire);
    return true;
}

/* ---- A new connection --------------------------------------------------------------------------
 */

/* The addresses share the time, so that each gets a turn. */
static redisContext *connect_by_name(const struct redis *redis)
{
    const unsigned us = REDIS_TIMEOUT_MS * 1000 / (unsigned)redis->address.count;
    const struct timeval timeout = {.tv_sec = us / 1000000, .tv_usec = us % 1000000};
    redisContext *context = NULL;

    for (size_t i = 0; i < redis->address.count; i++) {
        redisFree(context);
        context = redisConnectWithTimeout(redis->address.text[i], redis->url.port, timeout);
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

    if (redis->url.is_unix) {
        *context = redisConnectUnixWithTimeout(redis->url.host, timeout);
    } else {
        problem = redis_address_find(&redis->address, redis->url.host, RESOLVE_MS);
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
                                                   .timeout_ms = REDIS_TIMEOUT_MS};

    redis_wire_open(&redis->wire, context);
    redis_greet(&redis->wire, &options, &redis->greeting);
}

static bool connect_anew(struct redis *redis)
{
    redisContext *context;
    const char *problem;

    if (clock_monotonic_ms() < redis->held_off_until)
        return false;
    problem = open_socket(redis, &context);
    if (problem != NULL) {
        (void)lost(redis, problem);
        return false;
    }
    greet(redis, context);
    if (redis->greeting.problem[0] != '\0') {
        (void)down(redis, redis->greeting.problem, redis->greeting.refused);
        return false;
    }
    redis->refused = false;
    redis_report_up();
    if (redis->greeting.may_evict)
        warn_of_eviction(clock_monotonic_ms());
    return true;
}

/* ---- Commands ----------------------------------------------------------------------------------
 */

/* Whether the idle connection must be replaced: the server has closed it, or has sent something
 * unasked, which would be taken for the answer to the next command. */
static bool is_stale(const struct redis_wire *wire)
{
    struct pollfd fd = {.fd = wire->context->fd, .events = POLLIN};

    return !redis_wire_is_clean(wire) || poll(&fd, 1, 0) != 0;
}

static bool ensure_connected(struct redis *redis)
{
    if (redis->wire.context != NULL && is_stale(&redis->wire))
        redis_close(redis);
    return redis->wire.context != NULL || connect_anew(redis);
}

/* What went wrong, or NULL. */
static const char *send_one(struct redis *redis, int argc, const char **argv, const size_t *argvlen)
{
    const char *problem = redis_wire_append(&redis->wire, argc, argv, argvlen);

    return problem != NULL ? problem : redis_wire_send(&redis->wire);
}

enum redis_status redis_call(struct redis *redis, redisReply **reply, int argc, const char **argv,
                             const size_t *argvlen)
{
    const char *problem;

    *reply = NULL;
    if (!ensure_connected(redis))
        return REDIS_DOWN;
    problem = send_one(redis, argc, argv, argvlen);
    if (problem == NULL)
        problem = redis_wire_await(&redis->wire, reply, REDIS_TIMEOUT_MS);
    return problem == NULL ? judge(redis, reply) : lost(redis, problem);
}

enum redis_status redis_ask(struct redis *redis, int argc, const char **argv, const size_t *argvlen)
{
    const char *problem;

    if (!ensure_connected(redis))
        return REDIS_DOWN;
    problem = send_one(redis, argc, argv, argvlen);
    return problem == NULL ? REDIS_OK_REPLY : lost(redis, problem);
}

enum redis_status redis_collect(struct redis *redis, redisReply **reply)
{
    const char *problem;

    *reply = NULL;
    if (redis->wire.context == NULL)
        return REDIS_DOWN;
    problem = redis_wire_read(&redis->wire);
    if (problem == NULL)
        problem = redis_wire_take(&redis->wire, reply);
    if (problem != NULL)
        return lost(redis, problem);
    return *reply != NULL ? judge(redis, reply) : REDIS_OK_REPLY;
}

bool redis_is_replicated(const struct redis *redis)
{
    (void)redis; /* no URL names Sentinels yet */
    return false;
}

int redis_fd(const struct redis *redis)
{
    return redis->wire.context != NULL ? redis->wire.context->fd : -1;
}

const char *redis_error(const struct redis *redis)
{
    return redis->error;
}

bool redis_is_refused(const struct redis *redis)
{
    return redis->refused;
}

bool redis_is_full(const struct redis *redis)
{
    return redis->greeting.full;
}

const char *redis_down_reason(const struct redis *redis)
{
    return redis->down_reason;
}
