#include "stop_signal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/thread.h"
#include "log/log.h"

/* Not closed: the next file that is opened would get its number, and be taken for it. */
static void give_up(int listen_fd)
{
    int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);

    if (nothing < 0)
        return; /* it goes with the process, then */
    (void)dup2(nothing, listen_fd);
    (void)close(nothing);
}

static void *wait_for_it(void *arg)
{
    struct stop_signal *stop = arg;
    int number;

    (void)sigwait(&stop->set, &number);
    atomic_store(&stop->seen, true);
    give_up(stop->listen_fd);
    return NULL;
}

bool stop_signal_begin(struct stop_signal *stop, int listen_fd)
{
    (void)sigemptyset(&stop->set);
    (void)sigaddset(&stop->set, SIGTERM);
    (void)sigaddset(&stop->set, SIGINT);
    (void)sigaddset(&stop->set, SIGUSR1);
    (void)pthread_sigmask(SIG_BLOCK, &stop->set, NULL);
    stop->listen_fd = listen_fd;
    atomic_init(&stop->seen, false);
    if (thread_start(&stop->thread, "stop signal", wait_for_it, stop))
        return true;
    log_error("worker: cannot start a thread: %s", strerror(errno));
    return false;
}

void stop_signal_end(struct stop_signal *stop)
{
    (void)pthread_kill(stop->thread, SIGTERM);
    (void)pthread_join(stop->thread, NULL);
}

bool stop_signal_seen(const struct stop_signal *stop)
{
    return atomic_load(&stop->seen);
}
