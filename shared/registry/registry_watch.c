#include "registry_watch.h"

#include <hiredis/hiredis.h>
#include <stdlib.h>
#include <string.h>

/* Copies a word of letters, digits and a few signs, as a listener's name and version are. False: it
 * is none, or too long. */
static bool read_word(char *out, size_t size, const redisReply *reply)
{
    static const char signs[] = ".-_+~";

    if (reply->type != REDIS_REPLY_STRING || reply->len == 0 || reply->len >= size)
        return false;
    for (size_t i = 0; i < reply->len; i++) {
        char c = reply->str[i];

        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
            memchr(signs, c, sizeof signs - 1) == NULL)
            return false;
        out[i] = c;
    }
    out[reply->len] = '\0';
    return true;
}

static bool has_listener(const struct registry_watch *watch, const char *name)
{
    for (size_t i = 0; i < watch->count; i++)
        if (strcmp(watch->listeners[i].name, name) == 0)
            return true;
    return false;
}

/* { name, version, report }. What is none is left out. */
static void read_listener(struct registry_watch *watch, const redisReply *reply)
{
    struct registry_watched *listener = &watch->listeners[watch->count];
    char name[REGISTRY_NAME_SIZE];

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements < 3 ||
        !read_word(name, sizeof name, reply->element[0]) || has_listener(watch, name))
        return;
    memcpy(listener->name, name, sizeof name);
    if (!read_word(listener->version, sizeof listener->version, reply->element[1]))
        (void)strcpy(listener->version, "unknown");
    listener->has_report =
        reply->element[2]->type == REDIS_REPLY_STRING &&
        listener_report_read(&listener->report, reply->element[2]->str, reply->element[2]->len);
    watch->count++;
}

/* Names and numbers, of which some may be a later version's. */
static void read_numbers(struct registry_watch *watch, const redisReply *reply)
{
    for (size_t i = 0; i + 1 < reply->elements; i += 2) {
        const redisReply *name = reply->element[i], *number = reply->element[i + 1];

        if (name->type != REDIS_REPLY_STRING || number->type != REDIS_REPLY_INTEGER ||
            number->integer < 0)
            continue;
        if (strcmp(name->str, "oldest_ms") == 0)
            watch->oldest_ms = (uint64_t)number->integer;
        else if (strcmp(name->str, "traced") == 0)
            watch->traced = (uint64_t)number->integer;
    }
}

struct registry_watch *registry_watch_read(const redisReply *reply)
{
    struct registry_watch *watch;
    size_t listeners;

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements == 0 ||
        reply->elements > REGISTRY_WATCHED_MAX + 1 || reply->element[0]->type != REDIS_REPLY_ARRAY)
        return NULL;
    listeners = reply->elements - 1;
    watch = calloc(1, sizeof *watch + listeners * sizeof watch->listeners[0]);
    if (watch == NULL)
        return NULL;
    watch->users = 1;
    read_numbers(watch, reply->element[0]);
    for (size_t i = 1; i <= listeners; i++)
        read_listener(watch, reply->element[i]);
    return watch;
}

void registry_watch_free(struct registry_watch **watch)
{
    if (*watch != NULL && --(*watch)->users == 0)
        free(*watch);
    *watch = NULL;
}
