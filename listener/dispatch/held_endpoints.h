/* held_endpoints: endpoints that have asked to be left alone for a while, and who waits for them.
 *
 * An endpoint is held for as long as it asks, and for twice as long each further time, up to
 * HELD_ENDPOINTS_MOST_MS. After its hold one push finds out whether it takes more; if that is
 * delivered, all others may go. While it refuses, targets wait here, with their host: they are part
 * of what waits for it, and are called when it has a slot for them.
 *
 * Pure but for memory: no sockets, no clock; times are milliseconds of clock_monotonic_ms(). Not
 * thread-safe. */
#ifndef MOSTRO_HELD_ENDPOINTS_H
#define MOSTRO_HELD_ENDPOINTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "push/push.h"
#include "push/push_health.h"
#include "wakes/wake_queue.h"

#define HELD_ENDPOINTS_LEAST_MS 1000 /* whatever they ask for */
#define HELD_ENDPOINTS_MOST_MS  WAKE_RETRY_AFTER_MAX_MS
#define HELD_ENDPOINTS_KEPT_MS  600000 /* after its hold, one that nobody waits for */
#define HELD_ENDPOINTS_KEPT     10000  /* of those; the oldest are forgotten first */

/* When nobody who was called has come by then, the next are called. */
#define HELD_ENDPOINTS_CALL_AGAIN_MS 1000

struct held_endpoints;
struct held_endpoint;
TAILQ_HEAD(held_list, held_endpoint);

/* Those of one host that targets wait for; embedded in its owner's record. */
struct held_waits {
    struct held_list ready, others; /* whether somebody may be called */
    struct held_endpoint *last;     /* that somebody came to wait for; NULL: none, or gone */
    size_t endpoints, targets;
};

/* NULL when out of memory. */
struct held_endpoints *held_endpoints_new(void);

/* Targets that still wait stay their queue's. */
void held_endpoints_free(struct held_endpoints **held);

void held_waits_init(struct held_waits *waits);

/* What is known of an endpoint of the host that `waits` belongs to; NULL: it is not held. Valid
 * until something is held, called, dropped or left. */
struct held_endpoint *held_endpoints_find(struct held_endpoints *held, struct held_waits *waits,
                                          push_endpoint_id id, int64_t now_ms);

/* Whether a push to it may begin, which held_endpoint_begin() tells of then. */
bool held_endpoint_admits(const struct held_endpoint *endpoint, int64_t now_ms);
void held_endpoint_begin(struct held_endpoint *endpoint, int64_t now_ms);

/* Whether somebody was called for it, and has not come yet: the caller is taken for him. */
bool held_endpoint_was_called(struct held_endpoint *endpoint);

/* A target is to wait for it. */
void held_endpoint_wait(struct held_endpoints *held, struct held_endpoint *endpoint,
                        struct held_waits *waits, struct wake_target *target, int64_t now_ms);

/* A push to an endpoint has ended with this result; NULL: none was made. True where that has held
 * it back, until `*until_ms`. */
bool held_endpoints_leave(struct held_endpoints *held, struct held_waits *waits,
                          push_endpoint_id id, int64_t begun_ms, const struct push_result *result,
                          int64_t now_ms, int64_t *until_ms);

/* Calls up to `max` targets of the ready endpoint whose turn it is, visible ones first. Returns how
 * many. */
size_t held_endpoints_call(struct held_endpoints *held, struct held_waits *waits, size_t max,
                           int64_t now_ms, struct wake_list *called);

/* The oldest that waits for the endpoint that somebody came to wait for last; NULL: none of this
 * kind does. */
struct wake_target *held_endpoints_drop(struct held_endpoints *held, struct held_waits *waits,
                                        enum push_kind kind);

/* The waits of a host, one of whose endpoints has become ready by the passing of time; NULL: none
 * has. */
struct held_waits *held_endpoints_due(struct held_endpoints *held, int64_t now_ms);

/* When to ask for that again; INT64_MAX: not before something else happens. */
int64_t held_endpoints_next_ms(const struct held_endpoints *held);

#endif
