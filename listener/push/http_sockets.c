#include "http_sockets.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/must.h"

#define NEVER INT64_MAX

/* By descriptor. */
struct open_socket {
    int64_t until_ms; /* NEVER: none, or it has been broken off */
    dev_t device;
    ino_t inode;
};

struct http_sockets {
    _Atomic int64_t inside_since_ms; /* NEVER: the thread is not inside libcurl */
    pthread_mutex_t lock;            /* of what follows */
    struct open_socket *open;
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
    (void)pthread_mutex_destroy(&it->lock);
    free(it->open);
    free(it);
    *sockets = NULL;
}

static bool make_room(struct http_sockets *sockets, size_t size)
{
    struct open_socket *larger;

    if (size <= sockets->size)
        return true;
    size = size < 2 * sockets->size ? 2 * sockets->size : size;
    larger = reallocarray(sockets->open, size, sizeof *larger);
    if (larger == NULL)
        return false;
    sockets->open = larger;
    while (sockets->size < size)
        larger[sockets->size++].until_ms = NEVER;
    return true;
}

static bool take_down(struct http_sockets *sockets, int fd, int64_t until_ms)
{
    struct stat is;

    if (fstat(fd, &is) != 0 || !make_room(sockets, (size_t)fd + 1))
        return false;
    sockets->open[fd] =
        (struct open_socket){.until_ms = until_ms, .device = is.st_dev, .inode = is.st_ino};
    return true;
}

int http_sockets_open(struct http_sockets *sockets, int family, int type, int protocol,
                      int64_t until_ms)
{
    int fd = socket(family, type | SOCK_CLOEXEC, protocol);

    if (fd < 0)
        return -1;
    (void)pthread_mutex_lock(&sockets->lock);
    if (!take_down(sockets, fd, until_ms)) {
        (void)close(fd);
        fd = -1;
    }
    (void)pthread_mutex_unlock(&sockets->lock);
    return fd;
}

void http_sockets_use(struct http_sockets *sockets, int fd, int64_t until_ms)
{
    (void)pthread_mutex_lock(&sockets->lock);
    MUST(fd >= 0 && (size_t)fd < sockets->size);
    if (sockets->open[fd].until_ms != NEVER && sockets->open[fd].until_ms < until_ms)
        sockets->open[fd].until_ms = until_ms;
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

/* A copy of the descriptor is this thread's own: it is the same socket from the look to the end. */
static bool break_off(const struct open_socket *it, int fd)
{
    struct stat is;
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    bool same;

    if (copy < 0)
        return false;
    same = fstat(copy, &is) == 0 && is.st_dev == it->device && is.st_ino == it->inode;
    if (same)
        (void)shutdown(copy, SHUT_RDWR);
    (void)close(copy);
    return same;
}

unsigned http_sockets_break_off(struct http_sockets *sockets, int64_t now_ms)
{
    const int64_t before_ms = now_ms - HTTP_SOCKETS_KEPT_MS;
    unsigned n = 0;

    if (atomic_load(&sockets->inside_since_ms) > before_ms)
        return 0;
    (void)pthread_mutex_lock(&sockets->lock);
    for (size_t fd = 0; fd < sockets->size; fd++) {
        if (sockets->open[fd].until_ms > before_ms)
            continue;
        n += break_off(&sockets->open[fd], (int)fd);
        sockets->open[fd].until_ms = NEVER;
    }
    (void)pthread_mutex_unlock(&sockets->lock);
    return n;
}
