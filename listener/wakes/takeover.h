/* takeover: makes the unacknowledged wakes of listeners that died this one's own.
 *
 * Looked for every few seconds, a page at a time. A lease begins with as long a pause: when Redis
 * was away for longer than heartbeats live, everybody looks dead until his next one. Times are
 * milliseconds of clock_monotonic_ms(). Not thread-safe. */
#ifndef MOSTRO_TAKEOVER_H
#define MOSTRO_TAKEOVER_H

#include <stdbool.h>
#include <stdint.h>

#include "registry/registry_wakes.h"

#define TAKEOVER_EVERY_MS 5000
#define TAKEOVER_PAGE     128

struct takeover {
    int64_t since_us; /* 0: no lease has begun */
    int64_t due_ms;   /* when takeover_run() is to be called again */
    int64_t adopted;  /* in the pages so far */
};

/* A lease begins, this listener's first or another. */
void takeover_begin(struct takeover *takeover, int64_t since_us, int64_t now_ms);

/* Takes one page over, if it is time. *adopted is how many wakes there were in all pages once that
 * was the last one, else 0: this listener's own wakes are then to be read again. Not REGISTRY_OK:
 * call again. */
enum registry_result takeover_run(struct takeover *takeover, struct registry *registry,
                                  int64_t now_ms, int64_t *adopted);

#endif
