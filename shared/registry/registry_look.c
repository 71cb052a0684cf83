#include "registry_look.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/findings.h"
#include "redis/redis.h"
#include "redis/redis_fault.h"
#include "redis/redis_look.h"
#include "settings/settings.h"

#define WORDS_MAX  8
#define LACKS_SIZE 500
#define TIMEOUT_MS 10000
#define KEY        "\1" /* stands for a key of ours that nobody else uses */
#define PREFIX     "\2" /* for the key that every function is called with */

/* What the programs and their functions do in Redis, one a row (tests/static/tables compares them
 * with registry.lua and users.acl.example), as a command that changes nothing: its key does not
 * exist, or its arguments make no sense, which Redis sees after the ACL. */
static const struct right {
    const char *grant; /* as an ACL has it */
    const char *words[WORDS_MAX];
} rights[] = {
    {"+role", {"ROLE"}},
    {"+config|get", {"CONFIG", "GET", "save"}},
    {"+info", {"INFO", "memory"}},
    {"+function|load", {"FUNCTION", "LOAD", "none"}},
    {"+fcall", {"FCALL", "none", "1", PREFIX}},
    {"+xgroup|create", {"XGROUP", "CREATE", KEY, "g", "0"}},
    {"+xgroup|delconsumer", {"XGROUP", "DELCONSUMER", KEY, "g", "c"}},
    {"+xinfo|consumers", {"XINFO", "CONSUMERS", KEY, "g"}},
    {"+xinfo|stream", {"XINFO", "STREAM", KEY}},
    {"+xreadgroup", {"XREADGROUP", "GROUP", "g", "c", "STREAMS", KEY, ">"}},
    {"+time", {"TIME"}},
    {"+wait", {"WAIT", "0", "0"}},
    {"+get", {"GET", KEY}},
    {"+set", {"SET", KEY, "1", "XX"}},
    {"+del", {"DEL", KEY}},
    {"+exists", {"EXISTS", KEY}},
    {"+hset", {"HSET", KEY, "f", "v", "f"}},
    {"+hget", {"HGET", KEY, "f"}},
    {"+hdel", {"HDEL", KEY, "f"}},
    {"+hmget", {"HMGET", KEY, "f"}},
    {"+hincrby", {"HINCRBY", KEY, "f", "x"}},
    {"+hscan", {"HSCAN", KEY, "0"}},
    {"+expire", {"EXPIRE", KEY, "1"}},
    {"+pexpire", {"PEXPIRE", KEY, "1"}},
    {"+pexpireat", {"PEXPIREAT", KEY, "1"}},
    {"+pexpiretime", {"PEXPIRETIME", KEY}},
    {"+pttl", {"PTTL", KEY}},
    {"+zadd", {"ZADD", KEY, "x", "m"}},
    {"+zrange", {"ZRANGE", KEY, "0", "0"}},
    {"+zrem", {"ZREM", KEY, "m"}},
    {"+zcard", {"ZCARD", KEY}},
    {"+zscan", {"ZSCAN", KEY, "0"}},
    {"+zscore", {"ZSCORE", KEY, "m"}},
    {"+zremrangebyrank", {"ZREMRANGEBYRANK", KEY, "0", "0"}},
    {"+zremrangebyscore", {"ZREMRANGEBYSCORE", KEY, "0", "0"}},
    {"+xadd", {"XADD", KEY, "NOMKSTREAM", "*", "f", "v"}},
    {"+xlen", {"XLEN", KEY}},
    {"+xack", {"XACK", KEY, "g", "0-1"}},
    {"+xdel", {"XDEL", KEY, "0-1"}},
    {"+xpending", {"XPENDING", KEY, "g"}},
    {"+xclaim", {"XCLAIM", KEY, "g", "c", "0", "0-1"}},
};

/* INCR has no form that changes nothing: it is given a text, which is gone a second later. */
static const struct right incr_text = {"+set", {"SET", KEY, "text", "PX", "1000"}};
static const struct right incr = {"+incr", {"INCR", KEY}};
static const struct right incr_end = {"+del", {"DEL", KEY}};

struct look {
    struct redis *redis;
    const char *prefix;
    char *key;
    char lacks[LACKS_SIZE];
    size_t used;
    bool lacks_keys;
};

static void note(struct look *look, const char *grant)
{
    int n = snprintf(look->lacks + look->used, sizeof look->lacks - look->used, " %s", grant);

    if (n > 0 && (size_t)n < sizeof look->lacks - look->used)
        look->used += (size_t)n;
}

static const char *word_of(const struct look *look, const char *word)
{
    if (strcmp(word, KEY) == 0)
        return look->key;
    return strcmp(word, PREFIX) == 0 ? look->prefix : word;
}

/* False: Redis is away. */
static bool try_right(struct look *look, const struct right *right)
{
    const char *argv[WORDS_MAX];
    size_t lens[WORDS_MAX];
    enum redis_status status;
    redisReply *reply;
    int count = 0;

    for (; count < WORDS_MAX && right->words[count] != NULL; count++) {
        argv[count] = word_of(look, right->words[count]);
        lens[count] = strlen(argv[count]);
    }
    status = redis_call(look->redis, &reply, count, argv, lens);
    if (status == REDIS_OK_REPLY)
        freeReplyObject(reply);
    if (status != REDIS_ERROR_REPLY)
        return status != REDIS_DOWN;
    if (redis_denial_of(redis_error(look->redis)) == REDIS_DENIAL_COMMAND)
        note(look, right->grant);
    else if (redis_denial_of(redis_error(look->redis)) == REDIS_DENIAL_KEY)
        look->lacks_keys = true;
    return true;
}

/* False: Redis is away, or slow. */
static bool try_all(struct look *look)
{
    int64_t until = clock_monotonic_ms() + TIMEOUT_MS;

    for (size_t i = 0; i < sizeof rights / sizeof rights[0]; i++)
        if (clock_monotonic_ms() >= until || !try_right(look, &rights[i]))
            return false;
    if (look->used > 0)
        return true;
    return try_right(look, &incr_text) && try_right(look, &incr) && try_right(look, &incr_end);
}

static void tell_rights(struct look *look, struct findings *findings)
{
    static const char what[] = "Redis's ACL";

    if (!try_all(look))
        findings_bad(findings, what, "Redis went away, or is too slow to be asked: %s",
                     redis_down_reason(look->redis));
    else if (look->lacks_keys)
        findings_bad(findings, what, "it lacks ~%s*: compare users.acl.example", look->prefix);
    else if (look->used > 0)
        findings_bad(findings, what, "it lacks%s: compare users.acl.example", look->lacks);
    else
        findings_good(findings, what, "it grants all that the programs do");
}

void registry_look(const struct settings *settings, struct findings *findings)
{
    const struct redis_options options = {.url = settings->redis_url,
                                          .prefix = settings->redis_prefix,
                                          .sentinel_password = settings->redis_sentinel_password,
                                          .allow_persistence = settings->redis_allow_persistence};
    struct look look = {.prefix = settings->redis_prefix};

    redis_look_at_sentinels(&options, findings);
    look.redis = redis_new(&options);
    if (asprintf(&look.key, "%sprobe", settings->redis_prefix) < 0)
        look.key = NULL;
    if (look.redis == NULL || look.key == NULL)
        findings_bad(findings, "Redis", "out of memory");
    else if (redis_look(look.redis, findings))
        tell_rights(&look, findings);
    redis_free(&look.redis);
    free(look.key);
}
