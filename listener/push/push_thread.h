/* push_thread: a back end's service and its HTTP client, in a thread of their own.
 *
 * So whatever the peers of one back end do to libcurl, or to the processor, delays no other's push
 * and nothing of the dispatcher's. Jobs are handed over in whole lists, and come back in whole
 * lists when they have ended; in between they are the thread's.
 *
 * A push is to leave soon after its registration was looked up. A job that the thread comes to
 * later than PUSH_THREAD_SOON_MS after it was ordered (it was kept inside libcurl), or when its
 * back end is not ready any more, comes back as PUSH_UNBEGUN.
 *
 * All functions belong to one thread, the owner's, and none of them waits, but for
 * push_thread_stop(). Times are milliseconds of clock_monotonic_ms(). */
#ifndef MOSTRO_PUSH_THREAD_H
#define MOSTRO_PUSH_THREAD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "push.h"

#define PUSH_THREAD_SOON_MS  1000
#define PUSH_THREAD_GUARD_MS 1000 /* push_thread_guard() is to be called that often */

struct push_backend;
struct push_thread;
struct registration;
struct settings;

/* One push. Its memory is the owner's, who keeps it until it has come back. */
struct push_job {
    STAILQ_ENTRY(push_job) next;
    enum push_kind kind;
    struct registration *registration; /* the thread's: wiped, freed and NULL when it has begun */
    int64_t ordered_ms;
    struct push_result result; /* once it has come back, and when it ended */
    int64_t ended_ms;
    struct push_thread *thread; /* the thread's own */
};
STAILQ_HEAD(push_jobs, push_job);

/* Copies the registration into the job. False when out of memory. */
bool push_job_init(struct push_job *job, enum push_kind kind,
                   const struct registration *registration, int64_t now_ms);

/* Wipes and frees what of the registration is left. */
void push_job_clear(struct push_job *job);

/* Opens the back end's service; `*thread` NULL: it is off. The thread rings `bell` (see bell.h)
 * when jobs have come back, or the back end has become ready, or not ready. False, with an error
 * logged where there is more to say than that memory is out, where it cannot be started. The
 * arguments must outlive it. */
bool push_thread_start(const struct push_backend *backend, const struct settings *settings,
                       int bell, struct push_thread **thread) __attribute__((warn_unused_result));

/* For functions of the back end that only read it. */
const void *push_thread_service(const struct push_thread *thread);

/* Whether the back end was ready when the thread last looked. */
bool push_thread_is_ready(const struct push_thread *thread);

/* Takes all of `jobs` over, and leaves it empty. */
void push_thread_order(struct push_thread *thread, struct push_jobs *jobs);

/* Appends to `jobs` all that have come back. */
void push_thread_collect(struct push_thread *thread, struct push_jobs *jobs);

/* All that has been ordered and not ended ends as PUSH_CANCELLED, and comes back, soon. */
void push_thread_cancel(struct push_thread *thread);

/* The watchdog: where the thread does not come back from libcurl, ends connections that are past
 * their time (see http_client_guard()). */
void push_thread_guard(struct push_thread *thread, int64_t now_ms);

/* Cancels what is under way, and waits for the thread's end, breaking off all connections where it
 * does not come back from libcurl. All jobs can be collected then. */
void push_thread_stop(struct push_thread *thread);

/* Stops it first. Nothing may be left to collect. */
void push_thread_free(struct push_thread **thread);

#endif
