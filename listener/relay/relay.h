/* relay: one relay, followed for ever in a thread of its own.
 *
 * The thread keeps one connection up (5 s doubling to 60 s between attempts), subscribes, verifies
 * what comes and hands it to Redis over a connection of its own, so that a relay that hangs or
 * floods delays no other. Failures are logged and never end the thread. */
#ifndef MOSTRO_RELAY_H
#define MOSTRO_RELAY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct settings;
struct stats;
struct taken_ids;

/* Everything pointed to must outlive the relay. */
struct relay_options {
    const char *url; /* one that relay_url_parse() takes */
    const struct settings *settings;
    struct taken_ids *taken_ids;
    struct stats *stats;
    _Atomic int64_t *last_event_s; /* set to the Unix time at which a verified event arrived */
};

struct relay;

/* NULL with a line in the log. To be called by one thread at a time. */
struct relay *relay_start(const struct relay_options *options);

/* Whether the WebSocket is up, every REQ has been answered or its time is over, and at least one
 * subscription is live. Any thread. */
bool relay_is_connected(const struct relay *relay);

/* Whether it may be keeping all gift wraps from us (see wrap_guard.h). Any thread. */
bool relay_may_hide_wraps(const struct relay *relay);

/* Asks the relay's thread to end. Any thread. */
void relay_stop(struct relay *relay);

/* Stops it, and waits for the thread, which may take as long as a few Redis commands. */
void relay_free(struct relay **relay);

#endif
