#include "redis_priv.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "redis_primary.h"
#include "redis_report.h"

#define BYTES_A_MS 256

/* ---- Up and down -------------------------------------------------------------------------------
 */

/* Whom the URL names: the Redis itself, or Sentinels. */
static bool take_url(struct redis *redis, const struct redis_options *options)
{
    const char *password = options->sentinel_password;

    if (redis_url_parse(&redis->url, options->url) != NULL)
        return false;
    if (redis->url.sentinel_count > 0) {
        redis->primary = redis_primary_join(&redis->url, password != NULL ? password : "");
        return redis->primary != NULL;
    }
    redis->node = redis->url.node;
    return true;
}

struct redis *redis_new(const struct redis_options *options)
{
    struct redis *redis = calloc(1, sizeof *redis);

    if (redis == NULL)
        return NULL;
    redis->allow_persistence = options->allow_persistence;
    redis_address_init(&redis->address);
    redis->prefix = strdup(options->prefix);
    if (redis->prefix == NULL || !take_url(redis, options))
        redis_free(&redis);
    return redis;
}

void redis_free(struct redis **redis)
{
    if (*redis == NULL)
        return;
    redis_wire_free(&(*redis)->wire);
    redis_primary_leave(&(*redis)->primary);
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
    if (redis->url.path[0] != '\0')
        (void)snprintf(where, REDIS_WHERE_SIZE, "%s", redis->url.path);
    else if (redis->node.port != 0)
        redis_node_write(where, &redis->node);
    else
        (void)snprintf(where, REDIS_WHERE_SIZE, "the service %s", redis->url.service);
}

enum redis_status redis_down(struct redis *redis, const char *reason, bool refused)
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

enum redis_status redis_lost(struct redis *redis, const char *reason)
{
    return redis_down(
        redis, redis_membership_has_ended(redis->wire.membership) ? REDIS_LEFT : reason, false);
}

enum redis_status redis_judge(redisReply **reply, bool has_sentinels, char error[REDIS_ERROR_SIZE],
                              const struct redis_fault **fault)
{
    if ((*reply)->type != REDIS_REPLY_ERROR)
        return REDIS_OK_REPLY;
    (void)snprintf(error, REDIS_ERROR_SIZE, "%s", (*reply)->str);
    freeReplyObject(*reply);
    *reply = NULL;
    *fault = redis_fault_of(error, has_sentinels);
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
    enum redis_status status = redis_judge(reply, redis_is_replicated(redis), redis->error, &fault);

    return status == REDIS_DOWN ? redis_down(redis, fault->what, fault->kind == REDIS_FAULT_REFUSED)
                                : status;
}

bool redis_hand_over(struct redis *redis, struct redis_wire *wire)
{
    if (redis->wire.context == NULL)
        return false;
    redis_wire_take_over(wire, &redis->wire);
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
    return redis->wire.context != NULL || redis_connect_anew(redis);
}

bool redis_connect(struct redis *redis)
{
    return ensure_connected(redis);
}

/* What went wrong, or NULL. */
static const char *send_one(struct redis *redis, int argc, const char **argv, const size_t *argvlen)
{
    const char *problem = redis_wire_append(&redis->wire, argc, argv, argvlen);

    return problem != NULL ? problem : redis_wire_send(&redis->wire);
}

/* Where an answer takes 100 ms to come, so does each doubling of what is sent without one. */
static unsigned time_for(int argc, const size_t *argvlen)
{
    size_t bytes = 0;

    for (int i = 0; i < argc; i++)
        bytes += argvlen[i];
    return REDIS_TIMEOUT_MS + (unsigned)(bytes / BYTES_A_MS);
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
        problem = redis_wire_await(&redis->wire, reply, time_for(argc, argvlen));
    return problem == NULL ? judge(redis, reply) : redis_lost(redis, problem);
}

enum redis_status redis_ask(struct redis *redis, int argc, const char **argv, const size_t *argvlen)
{
    const char *problem;

    if (!ensure_connected(redis))
        return REDIS_DOWN;
    problem = send_one(redis, argc, argv, argvlen);
    return problem == NULL ? REDIS_OK_REPLY : redis_lost(redis, problem);
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
        return redis_lost(redis, problem);
    return *reply != NULL ? judge(redis, reply) : REDIS_OK_REPLY;
}

bool redis_is_replicated(const struct redis *redis)
{
    return redis->primary != NULL;
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
