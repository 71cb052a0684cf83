#include "registry_events.h"

#include <string.h>

#include "base/hex.h"
#include "registry_priv.h"

_Static_assert(5 * REGISTRY_EVENTS_MAX + 8 <= REGISTRY_COMMAND_WORDS &&
                   2 * REGISTRY_EVENTS_MAX <= REGISTRY_COMMAND_NUMBERS,
               "a command must hold that many events");

/* ---- Events ---------------------------------------------------------------------------------- */

static bool event_outcome(const redisReply *word, enum registry_event *outcome)
{
    static const char *const words[] = {
        [REGISTRY_EVENT_UNREGISTERED] = "unregistered", [REGISTRY_EVENT_QUEUED] = "queued",
        [REGISTRY_EVENT_DEFERRED] = "deferred",         [REGISTRY_EVENT_COVERED] = "covered",
        [REGISTRY_EVENT_REPEATED] = "repeated",
    };

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (word->type == REDIS_REPLY_STRING && strcmp(word->str, words[i]) == 0) {
            *outcome = (enum registry_event)i;
            return true;
        }
    return false;
}

/* Reads the outcomes up to the first that says that the queue is full. */
static enum registry_result
read_outcomes(const redisReply *reply, struct registry_relay_event *events, size_t n, size_t *taken)
{
    for (*taken = 0; *taken < n && *taken < reply->elements; ++*taken) {
        const redisReply *word = reply->element[*taken];

        if (word->type == REDIS_REPLY_STRING && strcmp(word->str, "full") == 0)
            return REGISTRY_QUEUE_FULL;
        if (!event_outcome(word, &events[*taken].outcome))
            return REGISTRY_UNAVAILABLE;
    }
    return *taken == n ? REGISTRY_OK : REGISTRY_UNAVAILABLE;
}

enum registry_result registry_relay_events(struct registry *registry,
                                           struct registry_relay_event *events, size_t n,
                                           size_t *taken)
{
    struct registry_command *command = &registry->command;
    char ids[REGISTRY_EVENTS_MAX][2 * REGISTRY_EVENT_ID_SIZE + 1];
    char authors[REGISTRY_EVENTS_MAX][2 * REGISTRY_AUTHOR_SIZE + 1];
    redisReply *reply;
    enum registry_result result;

    *taken = 0;
    REGISTRY_BEGIN(registry, "events");
    registry_add_pubkey_limit(command, &registry->words);
    registry_add(command, registry->words.event_wakes_max);
    for (size_t i = 0; i < n; i++) {
        hex_encode(ids[i], events[i].id, sizeof events[i].id);
        registry_add(command, ids[i]);
        registry_add_pubkey(command, &events[i].key);
        hex_encode(authors[i], events[i].author, sizeof events[i].author);
        registry_add(command, events[i].has_author ? authors[i] : "");
        registry_add_moment(command,
                            events[i].stored ? events[i].stored_by_ms : REGISTRY_NO_MOMENT);
        registry_add_moment(command, events[i].stored ? events[i].sent_by_ms : REGISTRY_NO_MOMENT);
    }
    result = registry_send(registry, &reply);
    if (result != REGISTRY_OK)
        return result;
    if (reply->type != REDIS_REPLY_ARRAY)
        return registry_unexpected_reply(reply);
    result = read_outcomes(reply, events, n, taken);
    if (result == REGISTRY_UNAVAILABLE)
        return registry_unexpected_reply(reply);
    freeReplyObject(reply);
    if (result == REGISTRY_QUEUE_FULL)
        registry_tell_full(REGISTRY_SHORT_QUEUE);
    return result;
}

/* ---- Epoch and cursors ----------------------------------------------------------------------- */

/* { 1 where it is new, epoch, when data were lost, how many registrations } */
static bool read_data(const redisReply *reply, struct registry_data *data)
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 4 ||
        reply->element[0]->type != REDIS_REPLY_INTEGER ||
        reply->element[1]->type != REDIS_REPLY_STRING ||
        reply->element[1]->len != REGISTRY_EPOCH_LEN ||
        reply->element[2]->type != REDIS_REPLY_INTEGER || reply->element[2]->integer < 0 ||
        reply->element[3]->type != REDIS_REPLY_INTEGER || reply->element[3]->integer < 0)
        return false;
    data->is_new = reply->element[0]->integer == 1;
    memcpy(data->epoch, reply->element[1]->str, sizeof data->epoch);
    data->lost_s = reply->element[2]->integer;
    data->lost_registrations = (uint64_t)reply->element[3]->integer;
    return true;
}

enum registry_result registry_epoch(struct registry *registry, const char *candidate,
                                    const char *known, uint64_t counted, struct registry_data *data)
{
    struct registry_command *command = &registry->command;
    redisReply *reply;
    enum registry_result result;

    REGISTRY_BEGIN(registry, "epoch");
    registry_add(command, candidate);
    registry_add(command, known);
    registry_add_number(command, (int64_t)counted);
    registry_add(command, registry->words.token_ttl_ms);
    result = registry_send(registry, &reply);
    if (result != REGISTRY_OK)
        return result;
    if (!read_data(reply, data))
        return registry_unexpected_reply(reply);
    freeReplyObject(reply);
    return REGISTRY_OK;
}

/* Nil and an empty string are no moment. */
static bool read_moment(const redisReply *reply, int64_t *moment_ms)
{
    *moment_ms = REGISTRY_NO_MOMENT;
    if (reply->type == REDIS_REPLY_STRING && reply->len == 0)
        return true;
    *moment_ms = reply->integer;
    return reply->type == REDIS_REPLY_INTEGER && reply->integer >= 0;
}

static bool read_cursors(const redisReply *reply, struct registry_cursor *cursors, size_t n,
                         struct registry_now *now)
{
    const redisReply *epoch;

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != n + 2)
        return false;
    epoch = reply->element[0];
    if (epoch->type != REDIS_REPLY_STRING || (epoch->len != 0 && epoch->len != REGISTRY_EPOCH_LEN))
        return false;
    memcpy(now->epoch, epoch->str, epoch->len + 1);
    for (size_t i = 0; i < n; i++)
        if (!read_moment(reply->element[i + 2], &cursors[i].cursor_ms))
            return false;
    return read_moment(reply->element[1], &now->now_ms) && now->now_ms != REGISTRY_NO_MOMENT;
}

enum registry_result registry_cursors(struct registry *registry, const char *relay,
                                      const char *epoch, struct registry_cursor *cursors, size_t n,
                                      struct registry_now *now)
{
    struct registry_command *command = &registry->command;
    redisReply *reply;
    enum registry_result result;

    REGISTRY_BEGIN(registry, "cursors");
    registry_add(command, relay);
    registry_add(command, epoch);
    for (size_t i = 0; i < n; i++) {
        registry_add_number(command, cursors[i].kind);
        registry_add_moment(command, cursors[i].from_ms);
        registry_add_moment(command, cursors[i].to_ms);
    }
    result = registry_send(registry, &reply);
    if (result != REGISTRY_OK)
        return result;
    if (!read_cursors(reply, cursors, n, now))
        return registry_unexpected_reply(reply);
    freeReplyObject(reply);
    return REGISTRY_OK;
}
