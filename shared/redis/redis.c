#include "redis.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "log/log.h"
#include "redis_address.h"
#include "redis_url.h"
#include "redis_wire.h"

#define ERROR_MAX  200
#define RESOLVE_MS 100

struct redis {
    struct redis_url url;
    struct redis_address address;
    bool allow_persistence;
    struct redis_wire wire;
    uint64_t held_off_until; /* clock_monotonic_ms() */
    bool announced_down;
    bool refused; /* redis_is_refused() */
    char error[ERROR_MAX + 1];
    char down_reason[ERROR_MAX + 1];
};

/* ---- Up and down -------------------------------------------------------------------------------
 */

struct redis *redis_new(const char *url, bool allow_persistence)
{
    struct redis *redis = calloc(1, sizeof *redis);

    if (redis == NULL)
        return NULL;
    redis->allow_persistence = allow_persistence;
    redis_address_init(&redis->address);
    if (redis_url_parse(&redis->url, url) != NULL)
        redis_free(&redis);
    return redis;
}

void redis_free(struct redis **redis)
{
    if (*redis == NULL)
        return;
    redis_wire_free(&(*redis)->wire);
    redis_address_free(&(*redis)->address);
    explicit_bzero(*redis, sizeof **redis);
    free(*redis);
    *redis = NULL;
}

void redis_close(struct redis *redis)
{
    redis_wire_close(&redis->wire);
}

static void warn(const struct redis *redis)
{
    const struct redis_url *url = &redis->url;

    if (url->is_unix)
        log_warn("redis: %s cannot be used: %s", url->host, redis->down_reason);
    else
        log_warn("redis: %s:%d cannot be used: %s", url->host, url->port, redis->down_reason);
}

/* Closes, and lets nobody try again for a moment, so that a dead server costs callers little. */
static enum redis_status down(struct redis *redis, const char *reason)
{
    bool new_refusal = redis->refused && strcmp(redis->down_reason, reason) != 0;

    (void)snprintf(redis->down_reason, sizeof redis->down_reason, "%s", reason);
    if (!redis->announced_down || new_refusal)
        warn(redis);
    redis->announced_down = true;
    redis_close(redis);
    redis->held_off_until = clock_monotonic_ms() + REDIS_HOLD_OFF_MS;
    return REDIS_DOWN;
}

static bool is_error(const redisReply *reply, const char *prefix)
{
    return reply->type == REDIS_REPLY_ERROR && strncmp(reply->str, prefix, strlen(prefix)) == 0;
}

/* A state of the server that ends by itself. */
static bool is_passing(const redisReply *reply)
{
    return is_error(reply, "LOADING") || is_error(reply, "MASTERDOWN") ||
           is_error(reply, "BUSY ") || is_error(reply, "ERR max number of clients");
}

/* Takes an error reply and says what it means for the caller. */
static enum redis_status judge(struct redis *redis, redisReply **reply)
{
    enum redis_status status = REDIS_ERROR_REPLY;

    if ((*reply)->type != REDIS_REPLY_ERROR)
        return REDIS_OK_REPLY;
    (void)snprintf(redis->error, sizeof redis->error, "%s", (*reply)->str);
    if (is_error(*reply, "OOM "))
        status = REDIS_FULL;
    else if (is_passing(*reply) || is_error(*reply, "READONLY") || is_error(*reply, "MISCONF") ||
             is_error(*reply, "NOAUTH"))
        status = down(redis, redis->error);
    freeReplyObject(*reply);
    *reply = NULL;
    return status;
}

/* ---- A new connection --------------------------------------------------------------------------
 */

static bool is_empty_save(const redisReply *value)
{
    return value->len == 0;
}

static bool is_no(const redisReply *value)
{
    return strcmp(value->str, "no") == 0;
}

/* CONFIG GET answers a name and its value. */
static bool config_says(const redisReply *reply, bool (*accept)(const redisReply *))
{
    return reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 &&
           reply->element[1]->type == REDIS_REPLY_STRING && accept(reply->element[1]);
}

static const char *append(struct redis *redis, const char *first, const char *second,
                          const char *third)
{
    const char *words[] = {first, second, third};
    size_t lens[] = {strlen(first), strlen(second), third != NULL ? strlen(third) : 0};

    return redis_wire_append(&redis->wire, third != NULL ? 3 : 2, words, lens);
}

/* AUTH and SELECT where the URL asks for them, then the questions; *count is how many of the
 * former. */
static const char *send_greeting(struct redis *redis, unsigned *count)
{
    const struct redis_url *url = &redis->url;
    const char *problem = NULL;
    char database[12];

    *count = 0;
    if (url->password[0] != '\0') {
        problem = url->user[0] != '\0' ? append(redis, "AUTH", url->user, url->password)
                                       : append(redis, "AUTH", url->password, NULL);
        ++*count;
    }
    if (problem == NULL && url->database != 0) {
        (void)snprintf(database, sizeof database, "%d", url->database);
        problem = append(redis, "SELECT", database, NULL);
        ++*count;
    }
    if (problem == NULL)
        problem = append(redis, "CONFIG", "GET", "save");
    if (problem == NULL)
        problem = append(redis, "CONFIG", "GET", "appendonly");
    return problem != NULL ? problem : redis_wire_send(&redis->wire);
}

/* What is wrong with the answer to one of the two CONFIG GETs, or NULL. */
static const char *persistence_problem(const redisReply *reply, bool is_save)
{
    if (is_error(reply, "NOPERM"))
        return "its ACL hides whether it persists to disk: grant +config|get";
    if (reply->type == REDIS_REPLY_ERROR)
        return "it does not tell whether it persists to disk: is a password missing?";
    if (is_save && !config_says(reply, is_empty_save))
        return "it persists to disk: set save \"\"";
    if (!is_save && !config_says(reply, is_no))
        return "it persists to disk: set appendonly no";
    return NULL;
}

/* Reads the answers to AUTH and SELECT, then those that tell whether the server persists. */
static const char *read_greeting(struct redis *redis, unsigned count)
{
    uint64_t deadline = clock_monotonic_ms() + REDIS_TIMEOUT_MS, now;
    const char *problem = NULL, *broken;
    redisReply *reply;

    for (unsigned i = 0; i < count + 2; i++) {
        now = clock_monotonic_ms();
        broken =
            redis_wire_await(&redis->wire, &reply, deadline > now ? (unsigned)(deadline - now) : 0);
        if (broken != NULL) /* by then the server may have said why it closes */
            return problem != NULL ? problem : broken;
        if (problem == NULL && reply->type == REDIS_REPLY_ERROR &&
            (i < count || is_passing(reply))) {
            (void)snprintf(redis->error, sizeof redis->error, "%s", reply->str);
            problem = redis->error;
        } else if (problem == NULL && i >= count && !redis->allow_persistence) {
            problem = persistence_problem(reply, i == count);
            redis->refused = problem != NULL;
        }
        freeReplyObject(reply);
    }
    return problem;
}

/* Each address gets its part of the time, so that all of them get a turn. */
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

/* What is wrong with the server, or NULL: then there is a connection. */
static const char *connect_to(struct redis *redis)
{
    redisContext *context;
    const char *problem = open_socket(redis, &context);
    unsigned count;

    if (problem != NULL)
        return problem;
    redis_wire_open(&redis->wire, context);
    problem = send_greeting(redis, &count);
    return problem != NULL ? problem : read_greeting(redis, count);
}

static bool connect_anew(struct redis *redis)
{
    const char *problem;

    if (clock_monotonic_ms() < redis->held_off_until)
        return false;
    redis->refused = false;
    problem = connect_to(redis);
    if (problem != NULL) {
        (void)down(redis, problem);
        return false;
    }
    if (redis->announced_down)
        log_info("redis: in use again");
    redis->announced_down = false;
    return true;
}

/* ---- Commands ----------------------------------------------------------------------------------
 */

/* A server that closed the connection while it lay idle shows at once; a new one is made for it. So
 * is where something has come that nobody asked for: it would answer the wrong command. */
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
    return problem == NULL ? judge(redis, reply) : down(redis, problem);
}

enum redis_status redis_ask(struct redis *redis, int argc, const char **argv, const size_t *argvlen)
{
    const char *problem;

    if (!ensure_connected(redis))
        return REDIS_DOWN;
    problem = send_one(redis, argc, argv, argvlen);
    return problem == NULL ? REDIS_OK_REPLY : down(redis, problem);
}

enum redis_status redis_collect(struct redis *redis, redisReply **reply)
{
    const char *problem;

    *reply = NULL;
    if (redis->wire.context == NULL)
        return REDIS_DOWN;
    problem = redis_wire_read(&redis->wire, reply);
    if (problem != NULL)
        return down(redis, problem);
    return *reply != NULL ? judge(redis, reply) : REDIS_OK_REPLY;
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

const char *redis_down_reason(const struct redis *redis)
{
    return redis->down_reason;
}
