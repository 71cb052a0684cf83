/* listener: starts and stops the daemon's parts: one thread for each relay, one dispatcher, and the
 * heartbeat that shows operators and other listeners that this one runs.
 *
 * All functions are called by the main thread. */
#ifndef MOSTRO_LISTENER_H
#define MOSTRO_LISTENER_H

#include <stdbool.h>

struct settings;

/* How often listener_beat() is to be called. */
#define LISTENER_BEAT_MS 1000

struct listener;

/* Starts every thread. NULL, with the reason in the log, where one cannot start. A Redis that is
 * away or may not be used is waited for. */
struct listener *listener_start(const struct settings *settings);

/* Renews the heartbeat, flushes the counters, trims when it is time. False when another process has
 * taken this listener's name: this one must end. */
bool listener_beat(struct listener *listener);

/* Stops reading, finishes the pushes that are under way (at most 10 s), ends every thread. False
 * where a thread had to be left behind: it still uses the settings, and the process has to end at
 * once. */
bool listener_stop(struct listener **listener);

#endif
