#include "registry_wakes.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "log/log.h"
#include "registry_priv.h"

#define CONSUMER_GROUP "dispatch" /* the same as registry.lua's GROUP */

enum registry_result registry_wakes_prepare(struct registry *registry)
{
    redisReply *reply = NULL;
    struct registry_command *command = &registry->command;
    enum redis_status status;

    registry_begin(registry);
    registry_add(registry, "XGROUP");
    registry_add(registry, "CREATE");
    registry_add(registry, registry->wakes_key);
    registry_add(registry, CONSUMER_GROUP);
    registry_add(registry, "0");
    registry_add(registry, "MKSTREAM");
    status = redis_call(registry->redis, &reply, command->count, command->word, command->len);
    freeReplyObject(reply);
    /* A full Redis does not say whether there is a group; reading will. */
    if (status == REDIS_FULL ||
        (status == REDIS_ERROR_REPLY && registry_error_begins(registry, "BUSYGROUP")))
        return REGISTRY_OK;
    return registry_result_of(registry, status);
}

enum registry_result registry_wakes_ask(struct registry *registry, const char *after,
                                        unsigned count, unsigned block_ms)
{
    struct registry_command *command = &registry->command;

    registry_begin(registry);
    registry_add(registry, "XREADGROUP");
    registry_add(registry, "GROUP");
    registry_add(registry, CONSUMER_GROUP);
    registry_add(registry, registry->settings->listener_name);
    registry_add(registry, "COUNT");
    registry_add_number(registry, count);
    if (after == NULL) {
        registry_add(registry, "BLOCK");
        registry_add_number(registry, block_ms);
    }
    registry_add(registry, "STREAMS");
    registry_add(registry, registry->wakes_key);
    registry_add(registry, after != NULL ? after : ">");
    return registry_result_of(
        registry, redis_ask(registry->redis, command->count, command->word, command->len));
}

int registry_fd(const struct registry *registry)
{
    return redis_fd(registry->redis);
}

/* A stream id: milliseconds, a dash, a number. */
static bool read_id(const redisReply *reply, char id[WAKE_ID_SIZE], int64_t *ms)
{
    uint64_t time, number;
    int end = 0;

    if (reply->type != REDIS_REPLY_STRING || reply->len >= WAKE_ID_SIZE)
        return false;
    if (sscanf(reply->str, "%20" SCNu64 "-%20" SCNu64 "%n", &time, &number, &end) != 2 ||
        (size_t)end != reply->len || time > INT64_MAX)
        return false;
    memcpy(id, reply->str, reply->len + 1);
    *ms = (int64_t)time;
    return true;
}

static const redisReply *field(const redisReply *fields, const char *name)
{
    for (size_t i = 0; i + 1 < fields->elements; i += 2)
        if (fields->element[i]->type == REDIS_REPLY_STRING &&
            fields->element[i + 1]->type == REDIS_REPLY_STRING &&
            strcmp(fields->element[i]->str, name) == 0)
            return fields->element[i + 1];
    return NULL;
}

static bool read_wake(const redisReply *fields, struct wake *wake)
{
    const redisReply *pubkey, *via, *not_before;
    char *end;

    if (fields->type != REDIS_REPLY_ARRAY)
        return false;
    pubkey = field(fields, "pk");
    via = field(fields, "via");
    not_before = field(fields, "not_before");
    if (pubkey == NULL || via == NULL || not_before == NULL ||
        !trade_pubkey_parse(&wake->key, pubkey->str, pubkey->len))
        return false;
    if (strcmp(via->str, "relay") == 0)
        wake->via = WAKE_VIA_RELAY;
    else if (strcmp(via->str, "quiet") == 0)
        wake->via = WAKE_VIA_QUIET;
    else if (strcmp(via->str, "notify") == 0)
        wake->via = WAKE_VIA_NOTIFY;
    else
        return false;
    wake->not_before_ms = strtoll(not_before->str, &end, 10);
    return *end == '\0' && wake->not_before_ms >= 0;
}

/* The entries of { { key, { { id, { field, value ... } } ... } } }, or NULL. */
static const redisReply *entries_of(const redisReply *reply)
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 1)
        return NULL;
    reply = reply->element[0];
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 ||
        reply->element[1]->type != REDIS_REPLY_ARRAY)
        return NULL;
    return reply->element[1];
}

static bool read_entries(struct registry *registry, const redisReply *entries, struct wake *wakes,
                         size_t max, size_t *n, char *last_id)
{
    char foreign[REGISTRY_BATCH_MAX][WAKE_ID_SIZE];
    const char *foreign_ids[REGISTRY_BATCH_MAX];
    size_t foreigners = 0;

    if (entries == NULL || entries->elements > max || entries->elements > REGISTRY_BATCH_MAX)
        return false;
    for (size_t i = 0; i < entries->elements; i++) {
        const redisReply *entry = entries->element[i];
        struct wake *wake = &wakes[*n];

        if (entry->type != REDIS_REPLY_ARRAY || entry->elements != 2 ||
            !read_id(entry->element[0], wake->id, &wake->queued_ms))
            return false;
        memcpy(last_id, wake->id, WAKE_ID_SIZE);
        if (read_wake(entry->element[1], wake)) {
            ++*n;
        } else {
            memcpy(foreign[foreigners], wake->id, WAKE_ID_SIZE);
            foreign_ids[foreigners] = foreign[foreigners];
            foreigners++;
        }
    }
    if (foreigners > 0) {
        log_warn("registry: %zu entries of the queue are not wakes and are dropped", foreigners);
        (void)registry_wakes_done(registry, foreign_ids, foreigners);
    }
    return true;
}

enum registry_result registry_wakes_collect(struct registry *registry, struct wake *wakes,
                                            size_t max, size_t *n, char *last_id)
{
    redisReply *reply;
    enum redis_status status = redis_collect(registry->redis, &reply);

    *n = 0;
    if (status == REDIS_ERROR_REPLY && (registry_error_begins(registry, "NOGROUP") ||
                                        registry_error_begins(registry, "UNBLOCKED")))
        return REGISTRY_NOT_FOUND;
    if (status != REDIS_OK_REPLY)
        return registry_result_of(registry, status);
    if (reply == NULL)
        return REGISTRY_PENDING;
    if (reply->type != REDIS_REPLY_NIL &&
        !read_entries(registry, entries_of(reply), wakes, max, n, last_id)) {
        registry_disconnect(registry);
        return registry_unexpected_reply(reply);
    }
    freeReplyObject(reply);
    return REGISTRY_OK;
}

static bool copy_text(char *out, size_t size, const redisReply *reply)
{
    out[0] = '\0';
    if (reply->type == REDIS_REPLY_NIL)
        return true;
    if (reply->type != REDIS_REPLY_STRING || reply->len >= size)
        return false;
    memcpy(out, reply->str, reply->len + 1);
    return true;
}

/* False where there is none, or none that these programs have written. */
static bool read_registration(const redisReply *reply, struct registration *registration)
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 5 ||
        reply->element[0]->type != REDIS_REPLY_STRING ||
        reply->element[4]->type != REDIS_REPLY_INTEGER)
        return false;
    if (!copy_text(registration->token, sizeof registration->token, reply->element[0]) ||
        reply->element[1]->type != REDIS_REPLY_STRING ||
        !copy_text(registration->p256dh, sizeof registration->p256dh, reply->element[2]) ||
        !copy_text(registration->auth, sizeof registration->auth, reply->element[3]))
        return false;
    registration->expires_ms = reply->element[4]->integer;
    registration->platform =
        strcmp(reply->element[1]->str, "ios") == 0 ? PLATFORM_IOS : PLATFORM_ANDROID;
    return true;
}

enum registry_result registry_lookup(struct registry *registry, int64_t since_us,
                                     const struct trade_pubkey *keys, size_t n,
                                     struct registration *registrations, bool *found)
{
    redisReply *reply;
    enum registry_result result;

    REGISTRY_BEGIN(registry, "lookup");
    registry_add(registry, registry->settings->listener_name);
    registry_add_number(registry, since_us);
    for (size_t i = 0; i < n; i++)
        registry_add_pubkey(registry, &keys[i]);
    result = registry_send(registry, &reply);
    if (result != REGISTRY_OK)
        return result;
    if (reply->type == REDIS_REPLY_INTEGER && reply->integer == 0) {
        freeReplyObject(reply);
        return REGISTRY_LAPSED;
    }
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != n)
        return registry_unexpected_reply(reply);
    for (size_t i = 0; i < n; i++) {
        found[i] = read_registration(reply->element[i], &registrations[i]);
        registry_wipe_strings(reply->element[i]);
    }
    freeReplyObject(reply);
    return REGISTRY_OK;
}

enum registry_result registry_wakes_done(struct registry *registry, const char *const *ids,
                                         size_t n)
{
    int64_t ignored;

    REGISTRY_BEGIN(registry, "done");
    for (size_t i = 0; i < n; i++)
        registry_add(registry, ids[i]);
    return registry_call_for_integer(registry, &ignored);
}

enum registry_result registry_wakes_adopt(struct registry *registry, int64_t since_us,
                                          unsigned most, int64_t *adopted)
{
    enum registry_result result;

    *adopted = 0;
    REGISTRY_BEGIN(registry, "adopt");
    registry_add(registry, registry->settings->listener_name);
    registry_add_number(registry, since_us);
    registry_add_number(registry, most);
    result = registry_call_for_integer(registry, adopted);
    return result == REGISTRY_OK && *adopted < 0 ? REGISTRY_LAPSED : result;
}

enum registry_result registry_forget(struct registry *registry, const struct trade_pubkey *key,
                                     const char *token, int64_t expires_ms)
{
    int64_t removed = 0;
    enum registry_result result;

    REGISTRY_BEGIN(registry, "forget");
    registry_add_pubkey(registry, key);
    registry_add(registry, token);
    registry_add_number(registry, expires_ms);
    result = registry_call_for_integer(registry, &removed);
    return result == REGISTRY_OK && removed == 0 ? REGISTRY_NOT_FOUND : result;
}

enum registry_result registry_time(struct registry *registry, int64_t *unix_ms)
{
    redisReply *reply;
    enum registry_result result;

    registry_begin(registry);
    registry_add(registry, "TIME");
    result = registry_send(registry, &reply);
    if (result != REGISTRY_OK)
        return result;
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 ||
        reply->element[0]->type != REDIS_REPLY_STRING ||
        reply->element[1]->type != REDIS_REPLY_STRING)
        return registry_unexpected_reply(reply);
    *unix_ms = strtoll(reply->element[0]->str, NULL, 10) * 1000 +
               strtoll(reply->element[1]->str, NULL, 10) / 1000;
    freeReplyObject(reply);
    return REGISTRY_OK;
}
