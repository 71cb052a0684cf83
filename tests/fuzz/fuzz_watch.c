/* What Redis answers to `watch`, with the reports of listeners in it, which may be anything. What
 * is taken of it makes labels that differ, of printable characters, and a report that is written
 * again reads the same. */
#include <ctype.h>
#include <fcntl.h>

#include "fuzz_input.h"
#include "redis/redis_wire.h"
#include "registry/registry_watch.h"

static void require(bool condition)
{
    if (!condition)
        abort();
}

static void check_kinds(const struct report_relay *relay)
{
    for (size_t i = 0; i < relay->kind_count; i++)
        for (size_t j = 0; j < i; j++)
            require(relay->kinds[i].kind != relay->kinds[j].kind);
}

static void check_report(const struct listener_report *report)
{
    require(report->relay_count <= LISTENER_REPORT_RELAYS);
    for (size_t i = 0; i < report->relay_count; i++) {
        const struct report_relay *relay = &report->relays[i];

        require(relay->name[0] != '\0' && relay->event_age_s >= LISTENER_REPORT_NO_EVENT);
        for (const char *c = relay->name; *c != '\0'; c++)
            require(isprint((unsigned char)*c));
        for (size_t j = 0; j < i; j++)
            require(strcmp(relay->name, report->relays[j].name) != 0);
        check_kinds(relay);
    }
    for (size_t i = 0; i < STATS_BACKEND_COUNT; i++)
        require(report_state_name(report->backends[i]) != NULL);
}

static void check_again(const struct listener_report *report)
{
    static struct listener_report again;
    char *text = listener_report_write(report), *second;

    require(text != NULL && listener_report_read(&again, text, strlen(text)));
    second = listener_report_write(&again);
    require(second != NULL && strcmp(text, second) == 0);
    free(text);
    free(second);
}

static void check_watch(const struct registry_watch *watch)
{
    require(watch->users == 1 && watch->count <= REGISTRY_WATCHED_MAX);
    for (size_t i = 0; i < watch->count; i++) {
        require(watch->listeners[i].name[0] != '\0' && watch->listeners[i].version[0] != '\0');
        for (size_t j = 0; j < i; j++)
            require(strcmp(watch->listeners[i].name, watch->listeners[j].name) != 0);
        check_report(&watch->listeners[i].report);
        check_again(&watch->listeners[i].report);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct redis_wire wire = {.context = NULL};
    struct registry_watch *watch;
    redisReply *reply = NULL;

    redis_wire_open(&wire, redisConnectFd(open("/dev/null", O_RDWR | O_CLOEXEC)));
    if (size > 0 && redisReaderFeed(wire.context->reader, (const char *)data, size) == REDIS_OK)
        while (redis_wire_take(&wire, &reply) == NULL && reply != NULL) {
            watch = registry_watch_read(reply);
            if (watch != NULL)
                check_watch(watch);
            registry_watch_free(&watch);
            freeReplyObject(reply);
        }
    redis_wire_free(&wire);
    return 0;
}
