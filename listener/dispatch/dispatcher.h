/* dispatcher: takes wakes from Redis and wakes the phones they are for.
 *
 * One thread waits for the inbox, the pushes and the clock at once; only commands to Redis block
 * it (see redis.h for how long they may take). Pushes are made in other threads, one a back end
 * (see push_thread.h). A wake waits in Redis, too, until its push has an outcome, so that a process
 * that dies loses none. */
#ifndef MOSTRO_DISPATCHER_H
#define MOSTRO_DISPATCHER_H

#include <stdbool.h>

#include "registry/listener_report.h"
#include "registry/registry_listener.h"

struct dispatcher;
struct settings;
struct stats;

struct dispatcher_status {
    unsigned in_flight; /* pushes */
    unsigned backlog;   /* wakes held, including those in flight */
    enum report_state backends[STATS_BACKEND_COUNT];
    unsigned hosts_held;                  /* that are down or held */
    char held_hosts[HEARTBEAT_HELD_SIZE]; /* their names: see hosts_write_held() */
};

/* Both arguments must outlive the dispatcher. NULL, with an error logged, where it cannot be
 * started; it starts without Redis and without back ends. The thread has all signals blocked. */
struct dispatcher *dispatcher_start(const struct settings *settings, struct stats *stats)
    __attribute__((warn_unused_result));

/* From any thread, after each heartbeat: the name is held. Until then no wake is read. When a new
 * lease begins, wakes in memory that are not in flight are forgotten, and those that are still this
 * listener's own are read again. */
void dispatcher_hold(struct dispatcher *dispatcher, const struct lease *lease);

/* From any thread. */
void dispatcher_status(struct dispatcher *dispatcher, struct dispatcher_status *out);

/* From any thread; returns at once. No more wakes are read and no push begins. Pushes in flight
 * have 10 s to end, and Redis 1 s to be told; the rest stays there for the next process of this
 * name. */
void dispatcher_stop(struct dispatcher *dispatcher);

/* Stops it, and waits for its end. */
void dispatcher_free(struct dispatcher **dispatcher);

#endif
