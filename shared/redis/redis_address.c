#include "redis_address.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

void redis_address_init(struct redis_address *address)
{
    *address = (struct redis_address){.count = 0};
    (void)sem_init(&address->done, 0, 0);
}

void redis_address_free(struct redis_address *address)
{
    resolver_free(&address->resolver); /* from here on it posts no more */
    (void)sem_destroy(&address->done);
}

static bool is_literal(const char *host)
{
    struct in6_addr bytes;

    return inet_pton(AF_INET, host, &bytes) == 1 || inet_pton(AF_INET6, host, &bytes) == 1;
}

static void on_done(void *arg)
{
    (void)sem_post(arg);
}

static bool begin(struct redis_address *address, const char *host)
{
    if (address->resolver != NULL)
        return true;
    while (sem_trywait(&address->done) == 0)
        continue; /* left over from a look-up that was given up */
    address->resolver = resolver_start(host, on_done, &address->done);
    return address->resolver != NULL;
}

static void await(struct redis_address *address, unsigned wait_ms)
{
    struct timespec until;

    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += (long)(wait_ms % 1000) * 1000000;
    until.tv_sec += (time_t)(wait_ms / 1000) + until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    while (!resolver_is_done(address->resolver) &&
           sem_clockwait(&address->done, CLOCK_MONOTONIC, &until) == 0)
        continue;
}

/* What is wrong with the look-up's answer, or NULL. */
static const char *take(struct redis_address *address)
{
    const char *text, *problem = NULL;
    size_t count = 0;

    for (; (text = resolver_address(address->resolver, count)) != NULL; count++)
        memcpy(address->text[count], text, strlen(text) + 1);
    if (count > 0)
        address->count = count;
    else
        problem = resolver_error(address->resolver);
    resolver_free(&address->resolver);
    return problem;
}

const char *redis_address_find(struct redis_address *address, const char *host, unsigned wait_ms)
{
    const char *problem = "its name is not resolved in time";

    if (is_literal(host)) {
        memcpy(address->text[0], host, strlen(host) + 1);
        address->count = 1;
        return NULL;
    }
    if (!begin(address, host))
        problem = "out of memory";
    else
        await(address, wait_ms);
    if (address->resolver != NULL && resolver_is_done(address->resolver))
        problem = take(address);
    return address->count > 0 ? NULL : problem;
}
