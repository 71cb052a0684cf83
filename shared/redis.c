#include "redis.h"

#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "log.h"

#define NUMBER_SIZE   20 /* digits of the largest size_t */
#define ERROR_MAX     200
#define URL_PART_MAX  512
#define PORT_DEFAULT  6379
#define DATABASES_MAX 1024

struct address {
    bool is_unix;
    char host[URL_PART_MAX]; /* or the socket's path */
    int port;
    int database;
    char user[URL_PART_MAX];
    char password[URL_PART_MAX];
};

struct redis {
    struct address address;
    bool allow_persistence;
    redisContext *context;
    uint64_t held_off_until; /* clock_monotonic_ms() */
    bool announced_down;
    bool refused;  /* redis_is_refused() */
    char *command; /* room for one as Redis reads it; wiped after use */
    size_t command_size;
    char error[ERROR_MAX + 1];
    char down_reason[ERROR_MAX + 1];
};

/* ---- The URL -----------------------------------------------------------------------------------
 */

static bool copy_part(char out[URL_PART_MAX], const char *text, size_t len)
{
    size_t used = 0;

    for (size_t i = 0; i < len; i++) {
        unsigned value = (unsigned char)text[i];

        if (text[i] == '%') {
            if (i + 2 >= len || !isxdigit((unsigned char)text[i + 1]) ||
                !isxdigit((unsigned char)text[i + 2]))
                return false;
            (void)sscanf(text + i + 1, "%2x", &value);
            i += 2;
        }
        if (used + 1 >= URL_PART_MAX || value == 0)
            return false;
        out[used++] = (char)value;
    }
    out[used] = '\0';
    return true;
}

static bool parse_digits(const char *text, size_t len, int most, int *number)
{
    int value = 0;

    if (len == 0 || len > 5)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (!isdigit((unsigned char)text[i]))
            return false;
        value = value * 10 + (text[i] - '0');
    }
    *number = value;
    return value <= most;
}

static bool parse_credentials(struct address *address, const char *text, size_t len)
{
    const char *colon = memchr(text, ':', len);

    if (colon == NULL)
        return false;
    return copy_part(address->user, text, (size_t)(colon - text)) &&
           copy_part(address->password, colon + 1, len - (size_t)(colon - text) - 1);
}

static bool parse_host(struct address *address, const char *text, size_t len)
{
    const char *bracket = len > 0 && text[0] == '[' ? memchr(text, ']', len) : NULL;
    const char *after = bracket != NULL ? bracket + 1 : text;
    const char *colon = memchr(after, ':', len - (size_t)(after - text));
    size_t host_len = colon != NULL ? (size_t)(colon - text) : len;

    if (colon != NULL &&
        (!parse_digits(colon + 1, len - host_len - 1, 65535, &address->port) || address->port == 0))
        return false;
    if (bracket != NULL)
        return after == text + host_len && copy_part(address->host, text + 1, host_len - 2);
    return host_len > 0 && copy_part(address->host, text, host_len);
}

static bool parse_url(struct address *address, const char *url)
{
    const char *rest, *at, *slash;

    memset(address, 0, sizeof *address);
    address->port = PORT_DEFAULT;
    if (strncmp(url, "unix://", 7) == 0) {
        address->is_unix = true;
        return url[7] == '/' && copy_part(address->host, url + 7, strlen(url + 7));
    }
    if (strncmp(url, "redis://", 8) != 0)
        return false;
    rest = url + 8;
    slash = strchr(rest, '/');
    if (slash != NULL && slash[1] != '\0' &&
        !parse_digits(slash + 1, strlen(slash + 1), DATABASES_MAX, &address->database))
        return false;
    if (slash == NULL)
        slash = rest + strlen(rest);
    at = memchr(rest, '@', (size_t)(slash - rest));
    if (at != NULL && !parse_credentials(address, rest, (size_t)(at - rest)))
        return false;
    if (at != NULL)
        rest = at + 1;
    return parse_host(address, rest, (size_t)(slash - rest));
}

bool redis_url_is_valid(const char *url)
{
    struct address address;
    bool valid = parse_url(&address, url);

    explicit_bzero(&address, sizeof address);
    return valid;
}

/* ---- Up and down -------------------------------------------------------------------------------
 */

struct redis *redis_new(const char *url, bool allow_persistence)
{
    struct redis *redis = calloc(1, sizeof *redis);

    if (redis == NULL)
        return NULL;
    redis->allow_persistence = allow_persistence;
    if (!parse_url(&redis->address, url))
        redis_free(&redis);
    return redis;
}

void redis_free(struct redis **redis)
{
    if (*redis == NULL)
        return;
    redis_close(*redis);
    free((*redis)->command);
    explicit_bzero(*redis, sizeof **redis);
    free(*redis);
    *redis = NULL;
}

void redis_close(struct redis *redis)
{
    if (redis->context != NULL)
        redisFree(redis->context);
    redis->context = NULL;
}

/* Closes, and lets nobody try again for a moment, so that a dead server costs callers little. */
static enum redis_status down(struct redis *redis, const char *reason)
{
    (void)snprintf(redis->down_reason, sizeof redis->down_reason, "%s", reason);
    if (!redis->announced_down)
        log_warn("redis: cannot be used: %s", redis->down_reason);
    redis->announced_down = true;
    redis_close(redis);
    redis->held_off_until = clock_monotonic_ms() + REDIS_HOLD_OFF_MS;
    return REDIS_DOWN;
}

static const char *why(const redisContext *context)
{
    if (context->err == REDIS_ERR_IO && (errno == EAGAIN || errno == EWOULDBLOCK))
        return "no answer in time";
    return context->errstr;
}

static bool is_error(const redisReply *reply, const char *prefix)
{
    return reply->type == REDIS_REPLY_ERROR && strncmp(reply->str, prefix, strlen(prefix)) == 0;
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
    else if (is_error(*reply, "LOADING") || is_error(*reply, "READONLY") ||
             is_error(*reply, "MASTERDOWN") || is_error(*reply, "BUSY ") ||
             is_error(*reply, "MISCONF") || is_error(*reply, "NOAUTH"))
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

static bool greeting(redisContext *c, const struct address *a, unsigned *count)
{
    int rc = REDIS_OK;

    *count = 0;
    if (a->password[0] != '\0') {
        rc |= a->user[0] != '\0' ? redisAppendCommand(c, "AUTH %s %s", a->user, a->password)
                                 : redisAppendCommand(c, "AUTH %s", a->password);
        ++*count;
    }
    if (a->database != 0) {
        rc |= redisAppendCommand(c, "SELECT %d", a->database);
        ++*count;
    }
    return rc == REDIS_OK;
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
    const char *problem = NULL;
    redisReply *reply;

    for (unsigned i = 0; i < count + 2; i++) {
        if (redisGetReply(redis->context, (void **)&reply) != REDIS_OK)
            return why(redis->context);
        if (problem == NULL && i < count && reply->type == REDIS_REPLY_ERROR) {
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

static redisContext *open_socket(const struct address *address)
{
    struct timeval timeout = {.tv_sec = REDIS_TIMEOUT_MS / 1000,
                              .tv_usec = (REDIS_TIMEOUT_MS % 1000) * 1000};
    redisContext *context = address->is_unix
                                ? redisConnectUnixWithTimeout(address->host, timeout)
                                : redisConnectWithTimeout(address->host, address->port, timeout);

    if (context != NULL && context->err == 0)
        (void)redisSetTimeout(context, timeout);
    return context;
}

static bool connect_anew(struct redis *redis)
{
    const char *problem = "out of memory";
    unsigned count;

    if (clock_monotonic_ms() < redis->held_off_until)
        return false;
    redis->refused = false;
    redis->context = open_socket(&redis->address);
    if (redis->context != NULL && redis->context->err != 0)
        problem = redis->context->errstr;
    else if (redis->context != NULL && greeting(redis->context, &redis->address, &count) &&
             redisAppendCommand(redis->context, "CONFIG GET save") == REDIS_OK &&
             redisAppendCommand(redis->context, "CONFIG GET appendonly") == REDIS_OK)
        problem = read_greeting(redis, count);
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

/* A server that closed the connection while it lay idle shows at once; a new one is made for it. */
static bool is_stale(const redisContext *context)
{
    struct pollfd fd = {.fd = context->fd, .events = POLLIN};

    return poll(&fd, 1, 0) != 0;
}

static bool ensure_connected(struct redis *redis)
{
    if (redis->context != NULL && is_stale(redis->context))
        redis_close(redis);
    return redis->context != NULL || connect_anew(redis);
}

/* Writes `prefix`, a number and the end of a line; returns the place behind it. */
static char *put_number(char *at, char prefix, size_t number)
{
    char digits[NUMBER_SIZE];
    size_t len = 0;

    *at++ = prefix;
    do
        digits[len++] = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    while (len > 0)
        *at++ = digits[--len];
    *at++ = '\r';
    *at++ = '\n';
    return at;
}

/* Puts the command into redis->command as the protocol wants it; its length, 0 without memory.
 * hiredis would do, but formats each word's length with printf: a fifth of all that a responder
 * computes for a request. */
static size_t write_command(struct redis *redis, int argc, const char **argv, const size_t *argvlen)
{
    size_t most = NUMBER_SIZE + 3;
    char *at;

    for (int i = 0; i < argc; i++)
        most += argvlen[i] + NUMBER_SIZE + 5;
    if (most > redis->command_size) {
        at = malloc(most);
        if (at == NULL)
            return 0;
        free(redis->command);
        redis->command = at;
        redis->command_size = most;
    }
    at = put_number(redis->command, '*', (size_t)argc);
    for (int i = 0; i < argc; i++) {
        at = put_number(at, '$', argvlen[i]);
        memcpy(at, argv[i], argvlen[i]);
        at += argvlen[i];
        *at++ = '\r';
        *at++ = '\n';
    }
    return (size_t)(at - redis->command);
}

static bool append(struct redis *redis, int argc, const char **argv, const size_t *argvlen)
{
    size_t len = write_command(redis, argc, argv, argvlen);
    bool good =
        len > 0 && redisAppendFormattedCommand(redis->context, redis->command, len) == REDIS_OK;

    if (len > 0)
        explicit_bzero(redis->command, len);
    return good;
}

enum redis_status redis_call(struct redis *redis, redisReply **reply, int argc, const char **argv,
                             const size_t *argvlen)
{
    void *answer = NULL;

    *reply = NULL;
    if (!ensure_connected(redis))
        return REDIS_DOWN;
    errno = 0;
    if (!append(redis, argc, argv, argvlen) || redisGetReply(redis->context, &answer) != REDIS_OK)
        return down(redis, why(redis->context));
    *reply = answer;
    return judge(redis, reply);
}

enum redis_status redis_ask(struct redis *redis, int argc, const char **argv, const size_t *argvlen)
{
    int done = 0;

    if (!ensure_connected(redis))
        return REDIS_DOWN;
    errno = 0;
    if (!append(redis, argc, argv, argvlen))
        return down(redis, why(redis->context));
    while (!done)
        if (redisBufferWrite(redis->context, &done) != REDIS_OK)
            return down(redis, why(redis->context));
    return REDIS_OK_REPLY;
}

enum redis_status redis_collect(struct redis *redis, redisReply **reply)
{
    void *answer = NULL;

    *reply = NULL;
    if (redis->context == NULL)
        return REDIS_DOWN;
    errno = 0;
    if (redisBufferRead(redis->context) != REDIS_OK)
        return down(redis, why(redis->context));
    if (redisReaderGetReply(redis->context->reader, &answer) != REDIS_OK)
        return down(redis, redis->context->reader->errstr);
    *reply = answer;
    return *reply != NULL ? judge(redis, reply) : REDIS_OK_REPLY;
}

bool redis_is_refused(const struct redis *redis)
{
    return redis->refused;
}

int redis_fd(const struct redis *redis)
{
    return redis->context != NULL ? redis->context->fd : -1;
}

const char *redis_error(const struct redis *redis)
{
    return redis->error;
}

const char *redis_down_reason(const struct redis *redis)
{
    return redis->down_reason;
}
