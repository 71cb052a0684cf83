#include "registry_endpoints.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "registry_priv.h"

static void add_process(struct registry *registry, const char *instance)
{
    struct registry_command *command = &registry->command;

    registry_add(command, registry->settings->listener_name);
    registry_add(command, instance);
}

enum registry_result registry_endpoints_state(struct registry *registry, const char *instance,
                                              struct registry_endpoints_state *state)
{
    uint64_t numbers[3];
    redisReply *reply;
    enum registry_result result;

    REGISTRY_BEGIN(registry, "endpoints_state");
    add_process(registry, instance);
    result = registry_send(registry, &reply);
    if (result == REGISTRY_OK)
        result = registry_read_numbers(reply, numbers, 3);
    if (result == REGISTRY_OK)
        *state = (struct registry_endpoints_state){
            .is_writer = numbers[0] != 0, .loaded = numbers[1], .changes = numbers[2]};
    return result;
}

static bool read_cursor(const redisReply *reply, char cursor[REGISTRY_CURSOR_SIZE])
{
    if (reply->type != REDIS_REPLY_STRING || reply->len == 0 || reply->len >= REGISTRY_CURSOR_SIZE)
        return false;
    memcpy(cursor, reply->str, reply->len + 1);
    return true;
}

#define ENCRYPTED " encrypted"

/* A record is the time of registration, a space, the URL, and ENCRYPTED where it is. */
static bool read_endpoint(const redisReply *id, const redisReply *record,
                          struct registry_endpoint *endpoint)
{
    int64_t registered_at;
    size_t len, mark = strlen(ENCRYPTED);
    int url = 0;

    if (id->type != REDIS_REPLY_STRING || id->len != DEVICE_ID_LEN ||
        record->type != REDIS_REPLY_STRING ||
        sscanf(record->str, "%" SCNd64 " %n", &registered_at, &url) != 1 || url == 0)
        return false;
    len = record->len - (size_t)url;
    endpoint->encrypted =
        len >= mark && memcmp(record->str + record->len - mark, ENCRYPTED, mark) == 0;
    len -= endpoint->encrypted ? mark : 0;
    if (len >= sizeof endpoint->url)
        return false;
    memcpy(endpoint->id.hex, id->str, sizeof endpoint->id.hex);
    memcpy(endpoint->url, record->str + url, len);
    endpoint->url[len] = '\0';
    endpoint->registered_at = registered_at;
    return true;
}

/* The cursor, then ids and records in turns. A record that is not one of ours is left out: it must
 * not keep the others from the file. */
static bool read_page(const redisReply *reply, char cursor[REGISTRY_CURSOR_SIZE],
                      registry_endpoint_fn *take, void *arg)
{
    struct registry_endpoint endpoint;
    bool good = reply->type == REDIS_REPLY_ARRAY && reply->elements % 2 == 1 &&
                read_cursor(reply->element[0], cursor);

    for (size_t i = 1; good && i < reply->elements; i += 2) {
        if (read_endpoint(reply->element[i], reply->element[i + 1], &endpoint) &&
            !take(&endpoint, arg))
            break;
    }
    explicit_bzero(&endpoint, sizeof endpoint);
    return good;
}

enum registry_result registry_endpoints_read(struct registry *registry,
                                             char cursor[REGISTRY_CURSOR_SIZE],
                                             registry_endpoint_fn *take, void *arg)
{
    struct registry_command *command = &registry->command;
    redisReply *reply;
    enum registry_result result;
    bool good;

    REGISTRY_BEGIN(registry, "endpoints_read");
    registry_add(command, cursor);
    result = registry_send(registry, &reply);
    if (result != REGISTRY_OK)
        return result;
    good = read_page(reply, cursor, take, arg);
    registry_wipe_strings(reply);
    if (!good)
        return registry_unexpected_reply(reply);
    freeReplyObject(reply);
    return REGISTRY_OK;
}

enum registry_result registry_endpoints_sweep(struct registry *registry,
                                              char cursor[REGISTRY_CURSOR_SIZE])
{
    struct registry_command *command = &registry->command;
    redisReply *reply;
    enum registry_result result;

    REGISTRY_BEGIN(registry, "endpoints_sweep");
    registry_add(command, cursor);
    result = registry_send(registry, &reply);
    if (result != REGISTRY_OK)
        return result;
    if (!read_cursor(reply, cursor))
        return registry_unexpected_reply(reply);
    freeReplyObject(reply);
    return REGISTRY_OK;
}

/* For functions that answer 0 where this listener does not look after the file, or has to begin
 * anew. */
static enum registry_result call_as_writer(struct registry *registry)
{
    int64_t is_writer = 0;
    enum registry_result result = registry_call_for_integer(registry, &is_writer);

    return result == REGISTRY_OK && is_writer == 0 ? REGISTRY_NOT_FOUND : result;
}

enum registry_result registry_endpoints_begin(struct registry *registry, const char *instance)
{
    REGISTRY_BEGIN(registry, "endpoints_begin");
    add_process(registry, instance);
    return call_as_writer(registry);
}

enum registry_result registry_endpoints_load(struct registry *registry, const char *instance,
                                             const struct registry_endpoint *endpoints, size_t n)
{
    struct registry_command *command = &registry->command;

    REGISTRY_BEGIN(registry, "endpoints_load");
    add_process(registry, instance);
    registry_add(command, registry->words.token_ttl_ms);
    for (size_t i = 0; i < n; i++) {
        registry_add(command, endpoints[i].id.hex);
        registry_add(command, endpoints[i].url);
        registry_add_moment(command, endpoints[i].registered_at);
        registry_add(command, endpoints[i].encrypted ? "encrypted" : "");
        registry_add_number(command, endpoints[i].turn);
    }
    return call_as_writer(registry);
}

enum registry_result registry_endpoints_loaded(struct registry *registry, const char *instance)
{
    REGISTRY_BEGIN(registry, "endpoints_loaded");
    add_process(registry, instance);
    return call_as_writer(registry);
}

enum registry_result registry_endpoints_wake(struct registry *registry, const char *instance)
{
    struct registry_command *command = &registry->command;
    int64_t ignored;

    REGISTRY_BEGIN(registry, "endpoints_wake");
    add_process(registry, instance);
    registry_add(command, registry->words.event_wakes_max);
    return registry_call_for_integer(registry, &ignored);
}
