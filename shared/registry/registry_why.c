#include "registry_why.h"

#include <stdlib.h>
#include <string.h>

#include "registry_listener.h"
#include "registry_priv.h"

_Static_assert(REGISTRY_COMMAND_WORDS >= 3 * REGISTRY_STEPS_MAX + 8, "three words for each step");
_Static_assert(REGISTRY_COMMAND_NUMBERS >= REGISTRY_STEPS_MAX, "and one of these a number");

/* ---- Parts of an answer ------------------------------------------------------------------------
 */

/* The array at `place`, with at least `least` elements; NULL where it is another. */
static const redisReply *array_at(const redisReply *reply, size_t place, size_t least)
{
    const redisReply *array;

    if (reply->type != REDIS_REPLY_ARRAY || place >= reply->elements)
        return NULL;
    array = reply->element[place];
    return array->type == REDIS_REPLY_ARRAY && array->elements >= least ? array : NULL;
}

static bool number_at(const redisReply *array, size_t place, int64_t *number)
{
    if (place >= array->elements || array->element[place]->type != REDIS_REPLY_INTEGER)
        return false;
    *number = array->element[place]->integer;
    return true;
}

static bool numbers_at(const redisReply *array, size_t place, int64_t *numbers, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!number_at(array, place + i, &numbers[i]))
            return false;
    return true;
}

/* Redis may hold anything, and this ends on a terminal. */
static void copy_printable(char *out, size_t size, const char *text, size_t len)
{
    size_t used = 0;

    for (; used < len && used + 1 < size; used++)
        out[used] = text[used] >= 0x20 && text[used] < 0x7f ? text[used] : '?';
    out[used] = '\0';
}

/* NULL where it is no string. */
static const redisReply *string_at(const redisReply *array, size_t place)
{
    const redisReply *text = place < array->elements ? array->element[place] : NULL;

    return text != NULL && text->type == REDIS_REPLY_STRING ? text : NULL;
}

static bool text_at(const redisReply *array, size_t place, char *out, size_t size)
{
    const redisReply *text = string_at(array, place);

    if (text == NULL)
        return false;
    copy_printable(out, size, text->str, text->len);
    return true;
}

/* ---- why ---------------------------------------------------------------------------------------
 */

static bool read_registration(const redisReply *array, struct registry_why *why)
{
    char platform[8];
    int64_t numbers[5];

    if (array == NULL)
        return false;
    why->is_registered = array->elements > 0;
    if (!why->is_registered)
        return true;
    if (!text_at(array, 0, platform, sizeof platform) || !numbers_at(array, 1, numbers, 5))
        return false;
    why->platform = strcmp(platform, "ios") == 0 ? PLATFORM_IOS : PLATFORM_ANDROID;
    why->has_token = numbers[0] != 0;
    why->is_endpoint = numbers[1] != 0;
    why->is_encrypted = numbers[2] != 0;
    why->since_s = numbers[3];
    why->until_ms = numbers[4];
    return true;
}

static bool read_limits(const redisReply *array, struct registry_why *why)
{
    int64_t numbers[5];

    if (array == NULL || !numbers_at(array, 0, numbers, 5))
        return false;
    why->limit_wait_ms = numbers[0];
    why->visible_wait_ms = numbers[1];
    why->deferred_wait_ms = numbers[2];
    why->events = (unsigned)numbers[3];
    why->event_ms = numbers[4];
    return true;
}

static bool read_wakes(const redisReply *array, struct registry_why *why)
{
    if (array == NULL)
        return false;
    for (size_t i = 0; i < array->elements && why->wake_count < REGISTRY_WHY_MAX; i += 4) {
        struct registry_why_wake *wake = &why->wakes[why->wake_count++];
        const redisReply *via = string_at(array, i + 2);
        int64_t is_alive;

        if (!text_at(array, i, wake->listener, sizeof wake->listener) ||
            !number_at(array, i + 1, &is_alive) || via == NULL ||
            !wake_via_parse(&wake->via, via->str, via->len) ||
            !number_at(array, i + 3, &wake->due_ms))
            return false;
        wake->is_alive = is_alive != 0;
    }
    return true;
}

static bool read_state(const redisReply *array, struct registry_why *why)
{
    int64_t numbers[4];

    if (array == NULL || !numbers_at(array, 0, numbers, 4))
        return false;
    why->inbox = (uint64_t)numbers[0];
    why->is_paused = numbers[1] != 0;
    why->lost_s = numbers[2];
    why->lost_registrations = (uint64_t)numbers[3];
    return true;
}

/* ---- Listeners ------------------------------------------------------------------------------- */

/* "" where nothing is registered, or no endpoint. */
static bool find_host(const redisReply *registration, const struct settings *settings,
                      registry_host_fn *host_of, char host[URL_AUTHORITY_SIZE])
{
    const redisReply *endpoint;

    host[0] = '\0';
    if (registration == NULL || registration->elements == 0)
        return registration != NULL;
    endpoint = string_at(registration, 6);
    if (endpoint != NULL && !host_of(settings, endpoint->str, host))
        host[0] = '\0';
    return endpoint != NULL;
}

/* An older listener's is empty. */
static void read_report(const redisReply *text, struct registry_why_listener *listener)
{
    struct listener_report report;

    if (!listener_report_read(&report, text->str, text->len))
        return;
    listener->has_report = true;
    memcpy(listener->backends, report.backends, sizeof listener->backends);
}

static bool is_among(const char *name, const char *names, size_t len)
{
    size_t name_len = strlen(name);
    const char *end = names + len, *blank;

    for (; name_len > 0 && (blank = memchr(names, ' ', (size_t)(end - names))) != NULL;
         names = blank + 1)
        if ((size_t)(blank - names) == name_len && memcmp(names, name, name_len) == 0)
            return true;
    return false;
}

static bool read_listener(const redisReply *array, size_t i, const char *host,
                          struct registry_why_listener *listener)
{
    const redisReply *report = string_at(array, i + 3), *held = string_at(array, i + 4);
    int64_t relays[2];

    if (!text_at(array, i, listener->name, sizeof listener->name) ||
        !numbers_at(array, i + 1, relays, 2) || report == NULL || held == NULL)
        return false;
    listener->relays_connected = (unsigned)relays[0];
    listener->relays_configured = (unsigned)relays[1];
    read_report(report, listener);
    listener->holds_host = is_among(host, held->str, held->len);
    listener->holds_unnamed =
        held->len >= strlen(HEARTBEAT_HELD_MORE) &&
        strcmp(held->str + held->len - strlen(HEARTBEAT_HELD_MORE), HEARTBEAT_HELD_MORE) == 0;
    return true;
}

static bool read_listeners(const redisReply *array, const char *host, struct registry_why *why)
{
    if (array == NULL)
        return false;
    for (size_t i = 0; i < array->elements && why->listener_count < REGISTRY_WHY_MAX; i += 5)
        if (!read_listener(array, i, host, &why->listeners[why->listener_count++]))
            return false;
    return true;
}

/* `<ms> <listener> <text>` */
static bool read_step(const redisReply *reply, struct registry_step *step)
{
    const char *name, *text, *end;

    if (reply->type != REDIS_REPLY_STRING)
        return false;
    end = reply->str + reply->len;
    name = memchr(reply->str, ' ', reply->len);
    text = name != NULL ? memchr(name + 1, ' ', (size_t)(end - name - 1)) : NULL;
    if (text == NULL)
        return false;
    step->at_ms = strtoll(reply->str, NULL, 10);
    copy_printable(step->listener, sizeof step->listener, name + 1, (size_t)(text - name - 1));
    copy_printable(step->text, sizeof step->text, text + 1, (size_t)(end - text - 1));
    return true;
}

static bool read_trace(const redisReply *array, struct registry_why *why)
{
    if (array == NULL || !text_at(array, 0, why->trace, sizeof why->trace) ||
        !number_at(array, 1, &why->traced_until_ms))
        return false;
    for (size_t i = 2; i < array->elements && why->step_count < REGISTRY_STEPS_MAX; i++)
        if (!read_step(array->element[i], &why->steps[why->step_count++]))
            return false;
    return true;
}

bool registry_why_read(const redisReply *reply, const struct settings *settings,
                       registry_host_fn *host_of, struct registry_why *why)
{
    const redisReply *registration = array_at(reply, 1, 0);
    char host[URL_AUTHORITY_SIZE];

    return reply->type == REDIS_REPLY_ARRAY && number_at(reply, 0, &why->now_ms) &&
           read_registration(registration, why) &&
           find_host(registration, settings, host_of, host) &&
           read_limits(array_at(reply, 2, 5), why) && read_wakes(array_at(reply, 3, 0), why) &&
           read_state(array_at(reply, 4, 4), why) &&
           read_listeners(array_at(reply, 5, 0), host, why) &&
           read_trace(array_at(reply, 6, 2), why);
}

enum registry_result registry_why(struct registry *registry, const struct trade_pubkey *key,
                                  registry_host_fn *host_of, struct registry_why *why)
{
    struct registry_command *command = &registry->command;
    redisReply *reply;
    enum registry_result result;
    bool is_read;

    *why = (struct registry_why){0};
    REGISTRY_BEGIN(registry, "why");
    registry_add_pubkey(command, key);
    registry_add_pubkey_limit(command, &registry->words);
    result = registry_send(registry, &reply);
    if (result != REGISTRY_OK)
        return result;
    is_read = registry_why_read(reply, registry->settings, host_of, why);
    if (reply->type == REDIS_REPLY_ARRAY && reply->elements > 1)
        registry_wipe_strings(reply->element[1]);
    if (!is_read)
        return registry_unexpected_reply(reply);
    freeReplyObject(reply);
    return REGISTRY_OK;
}

/* ---- Traces ------------------------------------------------------------------------------------
 */

enum registry_result registry_trace(struct registry *registry, const struct trade_pubkey *key,
                                    char name[REGISTRY_TRACE_NAME + 1], int64_t for_ms)
{
    struct registry_command *command = &registry->command;
    redisReply *reply;
    char held[REGISTRY_TRACE_NAME + 1];
    enum registry_result result;

    REGISTRY_BEGIN(registry, "trace");
    registry_add_pubkey(command, key);
    registry_add(command, name);
    registry_add_number(command, for_ms);
    result = registry_send(registry, &reply);
    if (result != REGISTRY_OK)
        return result;
    if (reply->type != REDIS_REPLY_ARRAY || !text_at(reply, 0, held, sizeof held))
        return registry_unexpected_reply(reply);
    freeReplyObject(reply);
    if (held[0] == '\0')
        return for_ms == 0 ? REGISTRY_NOT_FOUND : REGISTRY_FULL;
    memcpy(name, held, sizeof held);
    return REGISTRY_OK;
}

bool registry_traced_read(const redisReply *reply, struct registry_traced *traced, size_t *count)
{
    *count = 0;
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements % 3 != 0 ||
        reply->elements > 3 * (size_t)REGISTRY_TRACES_MAX)
        return false;
    for (size_t i = 0; i < reply->elements; i += 3) {
        struct registry_traced *one = &traced[i / 3];
        const redisReply *key = reply->element[i + 1];

        if (!text_at(reply, i, one->name, sizeof one->name) || key->type != REDIS_REPLY_STRING ||
            !trade_pubkey_parse(&one->key, key->str, key->len) ||
            !number_at(reply, i + 2, &one->for_ms))
            return false;
    }
    *count = reply->elements / 3;
    return true;
}

enum registry_result registry_traced(struct registry *registry,
                                     const struct registry_traced_step *steps, size_t n,
                                     struct registry_traced traced[REGISTRY_TRACES_MAX],
                                     size_t *count)
{
    struct registry_command *command = &registry->command;
    redisReply *reply;
    enum registry_result result;

    REGISTRY_BEGIN(registry, "traced");
    registry_add(command, registry->settings->listener_name);
    for (size_t i = 0; i < n; i++) {
        registry_add(command, steps[i].name);
        registry_add_number(command, steps[i].age_ms);
        registry_add(command, steps[i].text);
    }
    result = registry_send(registry, &reply);
    if (result != REGISTRY_OK)
        return result;
    if (!registry_traced_read(reply, traced, count))
        return registry_unexpected_reply(reply);
    registry_wipe_strings(reply);
    freeReplyObject(reply);
    return REGISTRY_OK;
}
