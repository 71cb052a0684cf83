#include "redis_look.h"

#include <stdlib.h>
#include <string.h>

#include "base/findings.h"
#include "redis_primary.h"
#include "redis_priv.h"

#define VERSION_SIZE 32
#define OLDEST       7 /* Redis's first version that has Functions */

static const char what[] = "Redis";

/* A command of one line; NULL where it was not answered well. */
static redisReply *ask(struct redis *redis, int count, const char *const *words)
{
    const char *argv[8];
    size_t lens[8];
    redisReply *reply;

    for (int i = 0; i < count; i++) {
        argv[i] = words[i];
        lens[i] = strlen(words[i]);
    }
    return redis_call(redis, &reply, count, argv, lens) == REDIS_OK_REPLY ? reply : NULL;
}

/* ---- Which server it is ------------------------------------------------------------------------
 */

/* A line of INFO, "name:value"; "" where there is none. */
static void info_value(const redisReply *info, const char *name, char value[VERSION_SIZE])
{
    size_t len = strlen(name), used = 0;
    const char *at = info->str;

    value[0] = '\0';
    while (at != NULL && (strncmp(at, name, len) != 0 || at[len] != ':')) {
        at = strchr(at, '\n');
        at = at != NULL ? at + 1 : NULL;
    }
    if (at == NULL)
        return;
    for (at += len + 1; used + 1 < VERSION_SIZE && *at != '\r' && *at != '\n' && *at != '\0'; at++)
        value[used++] = *at;
    value[used] = '\0';
}

/* "Redis 7.0.15" or "Valkey 8.1.1"; *is_old: it lacks what the programs need. */
static void tell_version(struct redis *redis, char version[2 * VERSION_SIZE], bool *is_old)
{
    static const char *const info[] = {"INFO", "server"};
    redisReply *reply = ask(redis, 2, info);
    char redis_version[VERSION_SIZE] = "", valkey_version[VERSION_SIZE] = "";

    if (reply != NULL && reply->type == REDIS_REPLY_STRING) {
        info_value(reply, "redis_version", redis_version);
        info_value(reply, "valkey_version", valkey_version);
    }
    freeReplyObject(reply);
    *is_old = redis_version[0] != '\0' && atoi(redis_version) < OLDEST;
    if (valkey_version[0] != '\0')
        (void)snprintf(version, 2 * (size_t)VERSION_SIZE, "Valkey %s", valkey_version);
    else
        (void)snprintf(version, 2 * (size_t)VERSION_SIZE, "Redis %s",
                       redis_version[0] != '\0' ? redis_version : "of an unknown version");
}

static void tell_server(struct redis *redis, struct findings *findings)
{
    char version[2 * VERSION_SIZE], where[REDIS_WHERE_SIZE];
    bool is_old;

    redis_where(redis, where);
    tell_version(redis, version, &is_old);
    if (is_old)
        findings_bad(findings, what, "%s is %s: 7.0 or later is needed, or Valkey", where, version);
    else
        findings_good(findings, what, "%s is %s, a primary%s", where, version,
                      redis->allow_persistence ? "" : " that keeps nothing on disk");
}

/* ---- How it is configured ----------------------------------------------------------------------
 */

/* The value of a name; NULL where there is none, as of what only Valkey knows. */
static const char *value_of(const redisReply *config, const char *name)
{
    if (config == NULL || config->type != REDIS_REPLY_ARRAY)
        return NULL;
    for (size_t i = 0; i + 1 < config->elements; i += 2)
        if (config->element[i]->type == REDIS_REPLY_STRING &&
            config->element[i + 1]->type == REDIS_REPLY_STRING &&
            strcmp(config->element[i]->str, name) == 0)
            return config->element[i + 1]->str;
    return NULL;
}

static void tell_memory(struct redis *redis, const redisReply *config, struct findings *findings)
{
    const char *policy = value_of(config, "maxmemory-policy");
    const char *most = value_of(config, "maxmemory");

    if (policy != NULL && strcmp(policy, "noeviction") != 0)
        findings_bad(findings, "Redis's memory",
                     "it may evict registrations: set maxmemory-policy noeviction (it is %s)",
                     policy);
    else if (redis_is_full(redis))
        findings_bad(findings, "Redis's memory", "its maxmemory is reached: raise it");
    else if (policy != NULL)
        findings_good(findings, "Redis's memory", "nothing is evicted%s",
                      most != NULL && strcmp(most, "0") == 0 ? ", and it has no bound" : "");
}

/* Whether a log with this bound and this threshold keeps commands; a threshold of -1 is none. */
static bool keeps(const redisReply *config, const char *most, const char *from)
{
    const char *count = value_of(config, most), *threshold = value_of(config, from);

    return count != NULL && strcmp(count, "0") != 0 && threshold != NULL && threshold[0] != '-';
}

/* Commands hold trade keys and tokens. Valkey 8.1 and later keep the large ones in logs of their
 * own. */
static void tell_logs(const redisReply *config, struct findings *findings)
{
    bool slow = keeps(config, "slowlog-max-len", "slowlog-log-slower-than");
    bool requests =
        keeps(config, "commandlog-large-request-max-len", "commandlog-request-larger-than");
    bool replies = keeps(config, "commandlog-large-reply-max-len", "commandlog-reply-larger-than");

    if (slow)
        findings_bad(findings, "Redis's logs",
                     "its slow log keeps commands, with trade keys and tokens: set "
                     "slowlog-log-slower-than -1 and slowlog-max-len 0");
    if (requests || replies)
        findings_bad(findings, "Redis's logs",
                     "its COMMANDLOG keeps large commands, with trade keys and tokens: set "
                     "commandlog-large-request-max-len 0 and commandlog-large-reply-max-len 0");
    if (!slow && !requests && !replies && value_of(config, "slowlog-max-len") != NULL)
        findings_good(findings, "Redis's logs", "no command is kept");
}

bool redis_look(struct redis *redis, struct findings *findings)
{
    static const char *const get[] = {
        "CONFIG", "GET", "maxmemory*", "slowlog-*", "commandlog-*",
    };
    char where[REDIS_WHERE_SIZE];
    redisReply *config;

    if (!redis_connect(redis)) {
        redis_where(redis, where);
        findings_bad(findings, what, "%s cannot be used: %s", where, redis_down_reason(redis));
        return false;
    }
    tell_server(redis, findings);
    config = ask(redis, 5, get);
    tell_memory(redis, config, findings);
    tell_logs(config, findings);
    freeReplyObject(config);
    return true;
}
