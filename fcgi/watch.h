/* watch: what is called when one of the descriptors that a worker waits for (epoll(7)) is ready.
 *
 * epoll_event.data.ptr of every descriptor is its watch, which must live until the events of the
 * current turn have been dealt with. */
#ifndef MOSTRO_WATCH_H
#define MOSTRO_WATCH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

struct watch {
    void (*ready)(struct watch *watch, uint32_t events);
};

/* `events` of epoll_ctl(2), level-triggered. False, with errno, where the system has no room. */
static inline bool watch_add(int epoll, int fd, struct watch *watch, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = watch};

    return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

static inline void watch_change(int epoll, int fd, struct watch *watch, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = watch};

    (void)epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &event);
}

static inline void watch_remove(int epoll, int fd)
{
    (void)epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL);
}

#endif
