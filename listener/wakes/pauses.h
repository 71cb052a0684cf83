/* pauses: when an operator has held pushing, by the key `paused` in Redis.
 *
 * While the key is there no push begins, and the clock by which wakes are given up stands still; so
 * Redis keeps when it came and went, for a wake's whole life and whatever is restarted meanwhile.
 * Looked at once a second. Times are milliseconds of clock_monotonic_ms(). Not thread-safe. */
#ifndef MOSTRO_PAUSES_H
#define MOSTRO_PAUSES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "registry/registry_wakes.h"

#define PAUSES_EVERY_MS 1000

/* Zero-initialised nothing is known yet. */
struct pauses {
    bool held;      /* now */
    int64_t due_ms; /* when pauses_run() is to be called again */
    size_t count;
    struct registry_pause all[REGISTRY_PAUSES_MAX]; /* the end of one that lasts is INT64_MAX */
};

/* Looks, if it is time, and logs what has changed. */
enum registry_result pauses_run(struct pauses *pauses, struct registry *registry, int64_t now_ms);

/* For how long of this time pushing was held. */
static inline int64_t pauses_between(const struct pauses *pauses, int64_t from_ms, int64_t to_ms)
{
    int64_t sum = 0;

    for (size_t i = 0; i < pauses->count; i++) {
        const struct registry_pause *one = &pauses->all[i];
        int64_t from = one->from_ms > from_ms ? one->from_ms : from_ms;
        int64_t to = one->to_ms < to_ms ? one->to_ms : to_ms;

        sum += to > from ? to - from : 0;
    }
    return sum;
}

#endif
