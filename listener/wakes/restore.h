/* restore: reads the wakes that wait in Redis into a wake_queue, a page at a time.
 *
 * That is to be done when a lease begins, since they are those of the process before this one, or
 * were read by it; when others have been taken over; and when an answer was lost that has had some
 * wait. Those that the queue knows are left as they are.
 *
 * Of each there is only its score: when the last of its wakes is due by Redis's clock. One that is
 * deferred must not be early, so all of them are late by as much as two clocks may differ; and none
 * is later than any deferral can be, in case Redis's clock was set back. Times are milliseconds of
 * clock_monotonic_ms(). Not thread-safe. */
#ifndef MOSTRO_RESTORE_H
#define MOSTRO_RESTORE_H

#include <stdbool.h>
#include <stdint.h>

#include "wake_queue.h"

#define RESTORE_LATE_MS     (WAKE_SOON_MS + 10)
#define RESTORE_NO_LATER_MS 61000 /* from now: the lowest rate is one a minute */
#define RESTORE_MEMORY_MS   10000 /* until it begins anew, where there was no memory */

/* Zero-initialised it has nothing to do. */
struct restore {
    int64_t since_us; /* 0: all is read */
    int64_t due_ms;   /* when restore_run() is to be called again */
    size_t restored;
    bool missed; /* something, for want of memory */
    char cursor[REGISTRY_CURSOR_SIZE];
};

/* From the beginning, under this lease. */
void restore_begin(struct restore *restore, int64_t since_us, int64_t now_ms);

/* Reads one page, if there is one to be read. Where the lease has lapsed there is none. */
enum registry_result restore_run(struct restore *restore, struct registry *registry,
                                 struct wake_queue *queue, int64_t now_ms);

/* Whether something is still to be read. */
static inline bool restore_is_on(const struct restore *restore)
{
    return restore->since_us != 0;
}

#endif
