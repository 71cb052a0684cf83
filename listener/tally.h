/* tally: one line in the log every ten minutes that says, in numbers alone, what a listener has
 * done meanwhile and how it is: for who reads the log and has no Prometheus, and so that a log in
 * which nothing else happens shows that the listener is alive.
 *
 * Pure but for the log. Times are milliseconds of clock_monotonic_ms(). */
#ifndef MOSTRO_TALLY_H
#define MOSTRO_TALLY_H

#include <stdbool.h>
#include <stdint.h>

#include "registry/registry_listener.h"
#include "registry/stats.h"

#define TALLY_EVERY_MS 600000

struct tally {
    uint64_t told[STAT_COUNT]; /* what had been counted by the last line */
    int64_t told_ms;
};

void tally_begin(struct tally *tally, int64_t now_ms);

/* Says it, if it is time. By the thread that flushes the counters. */
void tally_tell(struct tally *tally, const struct stats *stats, const struct heartbeat *beat,
                uint64_t registrations, int64_t now_ms);

#endif
