/* relay: one relay, followed for ever in a thread of its own.
 *
 * The thread keeps one connection up (5 s doubling to 60 s between attempts), subscribes, verifies
 * what comes and hands it to Redis over a connection of its own, so that a relay that hangs or
 * floods delays no other. Failures are logged and never end the thread. */
#ifndef MOSTRO_RELAY_H
#define MOSTRO_RELAY_H

#include <stdbool.h>
#include <stdint.h>

#include "registry/listener_report.h"

struct settings;
struct stats;
struct taken_ids;

/* Everything pointed to must outlive the relay. */
struct relay_options {
    const char *url; /* one that relay_url_parse() takes */
    const struct settings *settings;
    struct taken_ids *taken_ids;
    struct stats *stats;
};

struct relay;

/* NULL with a line in the log. To be called by one thread at a time. */
struct relay *relay_start(const struct relay_options *options);

/* Its name for the log: no path, which may be a secret. */
const char *relay_name(const struct relay *relay);

/* Fills all but the name: connected is a relay whose WebSocket is up, with every REQ answered or
 * its time over, and at least one subscription for kind 1059 or 14 live. Any thread. */
void relay_report(const struct relay *relay, int64_t unix_s, struct report_relay *report);

/* The Unix time at which its last verified event arrived; 0: none yet. Any thread. */
int64_t relay_last_event_s(const struct relay *relay);

/* Asks the relay's thread to end. Any thread. */
void relay_stop(struct relay *relay);

/* Stops it, and waits for the thread, which may take as long as a few Redis commands. */
void relay_free(struct relay **relay);

#endif
