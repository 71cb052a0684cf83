#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/must.h"
#include "log/log.h"
#include "redis/redis_fault.h"
#include "registry_lua.h"
#include "registry_priv.h"

#define COMPLAIN_EVERY_MS 10000

void registry_add_bytes(struct registry *registry, const void *bytes, size_t len)
{
    struct registry_command *command = &registry->command;

    MUST(command->count < REGISTRY_COMMAND_WORDS);
    command->word[command->count] = bytes;
    command->len[command->count++] = len;
}

void registry_add(struct registry *registry, const char *word)
{
    registry_add_bytes(registry, word, strlen(word));
}

void registry_add_number(struct registry *registry, int64_t number)
{
    struct registry_command *command = &registry->command;
    char *text;

    MUST(command->numbers < REGISTRY_COMMAND_NUMBERS);
    text = command->number[command->numbers++];
    (void)snprintf(text, REGISTRY_NUMBER_SIZE, "%" PRId64, number);
    registry_add(registry, text);
}

void registry_add_pair(struct registry *registry, const char *name, int64_t value)
{
    registry_add(registry, name);
    registry_add_number(registry, value);
}

void registry_add_moment(struct registry *registry, int64_t moment)
{
    if (moment == REGISTRY_NO_MOMENT)
        registry_add(registry, "");
    else
        registry_add_number(registry, moment);
}

void registry_add_pubkey(struct registry *registry, const struct trade_pubkey *key)
{
    registry_add_bytes(registry, key->hex, TRADE_PUBKEY_LEN);
}

void registry_add_pubkey_limit(struct registry *registry)
{
    registry_add(registry, registry->notify_pubkey.interval);
    registry_add(registry, registry->notify_pubkey.burst);
}

void registry_begin(struct registry *registry)
{
    registry->command.count = 0;
    registry->command.numbers = 0;
}

void registry_begin_function(struct registry *registry, const char *function)
{
    registry_begin(registry);
    registry_add(registry, "FCALL");
    registry_add(registry, function);
    registry_add(registry, "1");
    registry_add(registry, registry->settings->redis_prefix);
}

static const char *hint_of(const char *error)
{
    switch (redis_denial_of(error)) {
    case REDIS_DENIAL_COMMAND:
        return " (its ACL lacks one; compare users.acl.example)";
    case REDIS_DENIAL_KEY:
        return " (its ACL lacks the keys of REDIS_PREFIX; compare users.acl.example)";
    case REDIS_DENIAL_NONE:
        break;
    }
    return "";
}

/* Redis refuses such a command every time, and any client can cause thousands of them, so the log
 * is told once in a while. */
static void complain(const struct registry *registry)
{
    static struct log_pace pace;
    char text[LOG_REDACTED_SIZE];
    const char *error = redis_error(registry->redis);

    if (log_is_due(&pace, clock_monotonic_ms(), COMPLAIN_EVERY_MS))
        log_error("registry: Redis refused a command%s: %s", hint_of(error),
                  log_redact(text, error, strlen(error)));
}

void registry_tell_full(enum registry_shortage shortage)
{
    static struct log_pace paces[REGISTRY_SHORTAGES];
    static const char *const texts[REGISTRY_SHORTAGES] = {
        [REGISTRY_SHORT_MEMORY] = "Redis is full, so that requests are answered 503 and events "
                                  "wait: raise its maxmemory, or lower MAX_REGISTRATIONS",
        [REGISTRY_SHORT_ROOM] = "over 70 % of Redis's maxmemory is used, so that new registrations "
                                "are answered 503 and the rest keeps room: raise maxmemory, or "
                                "lower MAX_REGISTRATIONS or TOKEN_TTL_HOURS",
        [REGISTRY_SHORT_REGISTRATIONS] = "MAX_REGISTRATIONS is reached, so that new registrations "
                                         "are answered 503: raise it if Redis has the memory",
        [REGISTRY_SHORT_HALF_QUEUE] =
            "the inbox of wakes is half full, so that notifies are answered 503: see that a "
            "listener runs, and keeps up, or raise WAKES_MAX",
        [REGISTRY_SHORT_QUEUE] = "the inbox of wakes is full, so that events wait: see that a "
                                 "listener runs, and keeps up, or raise WAKES_MAX",
    };

    if (log_is_due(&paces[shortage], clock_monotonic_ms(), COMPLAIN_EVERY_MS))
        log_error("registry: %s", texts[shortage]);
}

enum registry_result registry_result_of(struct registry *registry, enum redis_status status)
{
    if (status != REDIS_OK_REPLY)
        stats_add(registry->stats, STAT_REDIS_ERRORS, 1);
    switch (status) {
    case REDIS_OK_REPLY:
        return REGISTRY_OK;
    case REDIS_FULL:
        registry_tell_full(REGISTRY_SHORT_MEMORY);
        return REGISTRY_FULL;
    case REDIS_DOWN:
        return REGISTRY_UNAVAILABLE;
    case REDIS_ERROR_REPLY:
        break;
    }
    complain(registry);
    return REGISTRY_UNAVAILABLE;
}

enum redis_status registry_load_library(struct registry *registry)
{
    const char *words[] = {"FUNCTION", "LOAD", "REPLACE", (const char *)registry_lua};
    const size_t lens[] = {8, 4, 7, sizeof registry_lua};
    redisReply *reply = NULL;
    enum redis_status status = redis_call(registry->redis, &reply, 4, words, lens);

    freeReplyObject(reply);
    registry->must_load = status == REDIS_DOWN && registry->must_load;
    return status;
}

bool registry_error_begins(const struct registry *registry, const char *prefix)
{
    return strncmp(redis_error(registry->redis), prefix, strlen(prefix)) == 0;
}

enum registry_result registry_send(struct registry *registry, redisReply **reply)
{
    struct registry_command *command = &registry->command;
    enum redis_status status;

    if (registry->must_load)
        (void)registry_load_library(registry);
    status = redis_call(registry->redis, reply, command->count, command->word, command->len);
    if (status == REDIS_ERROR_REPLY && registry_error_begins(registry, "ERR Function not found")) {
        status = registry_load_library(registry);
        if (status == REDIS_OK_REPLY)
            status =
                redis_call(registry->redis, reply, command->count, command->word, command->len);
    }
    return registry_result_of(registry, status);
}

enum registry_result registry_unexpected_reply(redisReply *reply)
{
    log_error("registry: Redis gave an answer that is not registry.lua's");
    freeReplyObject(reply);
    return REGISTRY_UNAVAILABLE;
}

void registry_wipe_strings(redisReply *array)
{
    for (size_t i = 0; array->type == REDIS_REPLY_ARRAY && i < array->elements; i++)
        if (array->element[i]->type == REDIS_REPLY_STRING)
            explicit_bzero(array->element[i]->str, array->element[i]->len);
}

/* The answer of register and unregister: { word, microseconds to wait }. */
static enum registry_result outcome_of(struct registry *registry, redisReply *reply)
{
    static const struct {
        const char *word;
        enum registry_result result;
        enum registry_shortage shortage; /* of REGISTRY_FULL */
    } words[] = {
        {"ok", REGISTRY_OK, REGISTRY_SHORTAGES},
        {"absent", REGISTRY_NOT_FOUND, REGISTRY_SHORTAGES},
        {"address", REGISTRY_REFUSED_ADDRESS, REGISTRY_SHORTAGES},
        {"new", REGISTRY_REFUSED_NEW, REGISTRY_SHORTAGES},
        {"full", REGISTRY_FULL, REGISTRY_SHORT_REGISTRATIONS},
        {"memory", REGISTRY_FULL, REGISTRY_SHORT_ROOM},
    };

    if (reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 &&
        reply->element[0]->type == REDIS_REPLY_STRING &&
        reply->element[1]->type == REDIS_REPLY_INTEGER)
        for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
            if (strcmp(reply->element[0]->str, words[i].word) == 0) {
                registry->refused_for_us = reply->element[1]->integer;
                if (words[i].result == REGISTRY_FULL)
                    registry_tell_full(words[i].shortage);
                freeReplyObject(reply);
                return words[i].result;
            }
    return registry_unexpected_reply(reply);
}

enum registry_result registry_call_for_outcome(struct registry *registry)
{
    redisReply *reply;
    enum registry_result result = registry_send(registry, &reply);

    return result == REGISTRY_OK ? outcome_of(registry, reply) : result;
}

enum registry_result registry_call_for_integer(struct registry *registry, int64_t *integer)
{
    redisReply *reply;
    enum registry_result result = registry_send(registry, &reply);

    if (result != REGISTRY_OK)
        return result;
    if (reply->type != REDIS_REPLY_INTEGER)
        return registry_unexpected_reply(reply);
    *integer = reply->integer;
    freeReplyObject(reply);
    return REGISTRY_OK;
}

enum registry_result registry_read_numbers(redisReply *reply, uint64_t *numbers, size_t n)
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != n)
        return registry_unexpected_reply(reply);
    for (size_t i = 0; i < n; i++) {
        const redisReply *element = reply->element[i];

        if (element->type != REDIS_REPLY_INTEGER || element->integer < 0)
            return registry_unexpected_reply(reply);
        numbers[i] = (uint64_t)element->integer;
    }
    freeReplyObject(reply);
    return REGISTRY_OK;
}
