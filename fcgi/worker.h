/* worker: one process's share of the API: accepts connections, and waits for all that they need. */
#ifndef MOSTRO_WORKER_H
#define MOSTRO_WORKER_H

#include <stdbool.h>

struct settings;

/* Whether the settings make a worker: the server's key, the whitelist. Says on stderr what is
 * wrong, or on stdout what they make. For who does not start one: worker_run() finds it out itself.
 */
bool worker_check(const struct settings *settings);

enum worker_end {
    WORKER_STOPPED,
    WORKER_FAILED,  /* an error was logged; another one may do better */
    WORKER_UNUSABLE /* it was told what is wrong with the settings or the socket */
};

/* Serves the listening socket `listen_fd` until SIGTERM, SIGINT or SIGUSR1; then gives that up at
 * once (where the keeper of the workers has died, his successor could not listen on an address that
 * is still in use), and finishes what is under way. To be called before any other thread is
 * started. */
enum worker_end worker_run(const struct settings *settings, int listen_fd);

#endif
