/* patience: register and unregister wait for a Redis that is away.
 *
 * The app takes their 503 as final, and asks again with its next trade only. So one that finds no
 * connection, or whose connection ends under way, waits up to PATIENCE_MS after it came, is asked
 * (again) as soon as there is a new connection, and answered 503 only then. Both do no harm when
 * they are done twice. It waits only where Redis may come back by itself: not where an operator
 * must act (aide_is_refused()), nor where Redis is full.
 *
 * One that Redis may have run already has spent its limits, and is asked again without them. What
 * Redis says the second time is the answer: an unregister that has run is then told that the token
 * "may have already been unregistered".
 *
 * Bounds, beyond which 503 comes at once as for every other request, so that these always find a
 * worker: `most` requests wait, which hold PATIENCE_BYTES_MAX together. Not thread-safe. */
#ifndef MOSTRO_PATIENCE_H
#define MOSTRO_PATIENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

#define PATIENCE_MS        2500
#define PATIENCE_BYTES_MAX (8 * 1024 * 1024)

struct exchange;

/* The responder's. */
struct patience {
    TAILQ_HEAD(patience_list, exchange) waiting; /* who came first is first */
    size_t count, bytes;
    size_t most;
};

void patience_init(struct patience *patience, size_t most);

/* For each request, when it comes. */
void patience_begin(struct exchange *exchange);

/* Whether a request waits from here on, now that its call was answered so. */
bool patience_keeps(struct exchange *exchange);

#endif
