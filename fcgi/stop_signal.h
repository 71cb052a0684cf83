/* stop_signal: has a worker stop taking requests when it is told to end (SIGTERM, SIGINT, SIGUSR1).
 *
 * The signals interrupt nothing, since libfcgi takes an interrupted read for the end of a
 * connection: a thread waits for them. It gives up the listening socket at once, though a request
 * may still be under way for seconds: where the keeper of the workers has died, his successor could
 * not listen on an address that is still in use. */
#ifndef MOSTRO_STOP_SIGNAL_H
#define MOSTRO_STOP_SIGNAL_H

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>

struct stop_signal {
    sigset_t set;
    int listen_fd;
    atomic_bool seen;
    pthread_t thread;
};

/* Before any other thread is started. After a signal `listen_fd` is a file on which accept(2)
 * fails. False, with an error logged, where it cannot be done. */
bool stop_signal_begin(struct stop_signal *stop, int listen_fd) __attribute__((warn_unused_result));
void stop_signal_end(struct stop_signal *stop);

bool stop_signal_seen(const struct stop_signal *stop);

#endif
