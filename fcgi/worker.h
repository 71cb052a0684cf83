/* worker: one process's share of the API: accepts connections, and waits for all that they need. */
#ifndef MOSTRO_WORKER_H
#define MOSTRO_WORKER_H

#include <stdbool.h>

struct settings;

/* Whether the settings make a worker: the server's key, the whitelist. Says on stderr what is
 * wrong.
 */
bool worker_check(const struct settings *settings);

/* Serves the listening socket `listen_fd` until SIGTERM, SIGINT or SIGUSR1; then gives that up at
 * once (where the keeper of the workers has died, his successor could not listen on an address that
 * is still in use), and finishes what is under way. False, with an error logged, where it cannot go
 * on. To be called before any other thread is started. */
bool worker_run(const struct settings *settings, int listen_fd);

#endif
