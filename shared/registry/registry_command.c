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

void registry_add_bytes(struct registry_command *command, const void *bytes, size_t len)
{
    MUST(command->count < REGISTRY_COMMAND_WORDS);
    command->word[command->count] = bytes;
    command->len[command->count++] = len;
}

void registry_add(struct registry_command *command, const char *word)
{
    registry_add_bytes(command, word, strlen(word));
}

void registry_add_number(struct registry_command *command, int64_t number)
{
    char *text;

    MUST(command->numbers < REGISTRY_COMMAND_NUMBERS);
    text = command->number[command->numbers++];
    (void)snprintf(text, REGISTRY_NUMBER_SIZE, "%" PRId64, number);
    registry_add(command, text);
}

void registry_add_pair(struct registry_command *command, const char *name, int64_t value)
{
    registry_add(command, name);
    registry_add_number(command, value);
}

void registry_add_moment(struct registry_command *command, int64_t moment)
{
    if (moment == REGISTRY_NO_MOMENT)
        registry_add(command, "");
    else
        registry_add_number(command, moment);
}

void registry_add_pubkey(struct registry_command *command, const struct trade_pubkey *key)
{
    registry_add_bytes(command, key->hex, TRADE_PUBKEY_LEN);
}

void registry_add_pubkey_limit(struct registry_command *command, const struct registry_words *words)
{
    registry_add(command, words->notify_pubkey.interval);
    registry_add(command, words->notify_pubkey.burst);
}

void registry_begin(struct registry_command *command)
{
    command->count = 0;
    command->numbers = 0;
}

void registry_begin_function(struct registry_command *command, const struct registry_words *words,
                             const char *function)
{
    registry_begin(command);
    registry_add(command, "FCALL");
    registry_add(command, function);
    registry_add(command, "1");
    registry_add(command, words->prefix);
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
static void complain(const char *error)
{
    static struct log_pace pace;
    char text[LOG_REDACTED_SIZE];

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

enum registry_result registry_judge(struct stats *stats, enum redis_status status,
                                    const char *error)
{
    if (status != REDIS_OK_REPLY)
        stats_add(stats, STAT_REDIS_ERRORS, 1);
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
    complain(error);
    return REGISTRY_UNAVAILABLE;
}

enum registry_result registry_result_of(struct registry *registry, enum redis_status status)
{
    return registry_judge(registry->stats, status, redis_error(registry->redis));
}

void registry_library(const char *words[REGISTRY_LIBRARY_WORDS],
                      size_t lens[REGISTRY_LIBRARY_WORDS])
{
    static const char *const begin[] = {"FUNCTION", "LOAD", "REPLACE"};

    for (size_t i = 0; i < sizeof begin / sizeof begin[0]; i++) {
        words[i] = begin[i];
        lens[i] = strlen(begin[i]);
    }
    words[REGISTRY_LIBRARY_WORDS - 1] = (const char *)registry_lua;
    lens[REGISTRY_LIBRARY_WORDS - 1] = sizeof registry_lua;
}

enum redis_status registry_load_library(struct registry *registry)
{
    const char *words[REGISTRY_LIBRARY_WORDS];
    size_t lens[REGISTRY_LIBRARY_WORDS];
    redisReply *reply = NULL;
    enum redis_status status;

    registry_library(words, lens);
    status = redis_call(registry->redis, &reply, REGISTRY_LIBRARY_WORDS, words, lens);
    freeReplyObject(reply);
    registry->must_load = status == REDIS_DOWN && registry->must_load;
    return status;
}

bool registry_is_not_found(const char *error)
{
    static const char begins[] = "ERR Function not found";

    return strncmp(error, begins, sizeof begins - 1) == 0;
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
    if (status == REDIS_ERROR_REPLY && registry_is_not_found(redis_error(registry->redis))) {
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
