#include "http_sockets.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/must.h"

#define NEVER INT64_MAX

struct http_sockets {
    _Atomic int64_t inside_since_ms; /* NEVER: the thread is not inside libcurl */
    pthread_mutex_t lock;            /* of what follows */
    int64_t *until_ms;               /* by descriptor; NEVER: not ours, or broken off */
    size_t size;
};

struct http_sockets *http_sockets_new(void)
{
    struct http_sockets *sockets = calloc(1, sizeof *sockets);

    if (sockets == NULL)
        return NULL;
    atomic_store(&sockets->inside_since_ms, NEVER);
    (void)pthread_mutex_init(&sockets->lock, NULL);
    return sockets;
}

void http_sockets_free(struct http_sockets **sockets)
{
    struct http_sockets *it = *sockets;

    if (it == NULL)
        return;
    for (size_t fd = 0; fd < it->size; fd++)
        MUST(it->until_ms[fd] == NEVER);
    (void)pthread_mutex_destroy(&it->lock);
    free(it->until_ms);
    free(it);
    *sockets = NULL;
}

static bool make_room(struct http_sockets *sockets, size_t size)
{
    int64_t *larger;

    if (size <= sockets->size)
        return true;
    size = size < 2 * sockets->size ? 2 * sockets->size : size;
    larger = reallocarray(sockets->until_ms, size, sizeof *larger);
    if (larger == NULL)
        return false;
    sockets->until_ms = larger;
    while (sockets->size < size)
        larger[sockets->size++] = NEVER;
    return true;
}

int http_sockets_open(struct http_sockets *sockets, int family, int type, int protocol,
                      int64_t until_ms)
{
    int fd;

    (void)pthread_mutex_lock(&sockets->lock);
    fd = socket(family, type | SOCK_CLOEXEC, protocol);
    if (fd >= 0 && !make_room(sockets, (size_t)fd + 1)) {
        (void)close(fd);
        fd = -1;
    }
    if (fd >= 0)
        sockets->until_ms[fd] = until_ms;
    (void)pthread_mutex_unlock(&sockets->lock);
    return fd;
}

void http_sockets_use(struct http_sockets *sockets, int fd, int64_t until_ms)
{
    (void)pthread_mutex_lock(&sockets->lock);
    MUST(fd >= 0 && (size_t)fd < sockets->size);
    if (sockets->until_ms[fd] != NEVER && sockets->until_ms[fd] < until_ms)
        sockets->until_ms[fd] = until_ms;
    (void)pthread_mutex_unlock(&sockets->lock);
}

void http_sockets_close(struct http_sockets *sockets, int fd)
{
    (void)pthread_mutex_lock(&sockets->lock);
    MUST(fd >= 0 && (size_t)fd < sockets->size);
    sockets->until_ms[fd] = NEVER;
    (void)close(fd);
    (void)pthread_mutex_unlock(&sockets->lock);
}

void http_sockets_enter(struct http_sockets *sockets, int64_t now_ms)
{
    atomic_store(&sockets->inside_since_ms, now_ms);
}

void http_sockets_leave(struct http_sockets *sockets)
{
    atomic_store(&sockets->inside_since_ms, NEVER);
}

unsigned http_sockets_break_off(struct http_sockets *sockets, int64_t now_ms)
{
    const int64_t before_ms = now_ms - HTTP_SOCKETS_KEPT_MS;
    unsigned n = 0;

    if (atomic_load(&sockets->inside_since_ms) > before_ms)
        return 0;
    (void)pthread_mutex_lock(&sockets->lock);
    for (size_t fd = 0; fd < sockets->size; fd++) {
        if (sockets->until_ms[fd] > before_ms)
            continue;
        (void)shutdown((int)fd, SHUT_RDWR);
        sockets->until_ms[fd] = NEVER;
        n++;
    }
    (void)pthread_mutex_unlock(&sockets->lock);
    return n;
}
