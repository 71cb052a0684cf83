/* intake: where a verified event becomes Redis's business.
 *
 * Events wait here, in order of arrival, until they are offered to Redis, many in one command:
 * intake_flush() is called whenever the relay pauses, and intake_live() and intake_stored() call it
 * when a command's worth waits. An event that Redis takes enters the taken ids and is forgotten
 * here. While Redis takes none, at most INTAKE_MAX_HELD wait; the owner flushes again every
 * INTAKE_RETRY_MS. Beyond the bound the newest is dropped, with one warning an outage, and
 * intake_has_lost() says so: the owner has then a gap to catch up on. What waits when the process
 * ends is in such a gap, too.
 *
 * Not thread-safe: one per relay, in its thread. Stats and the taken ids are shared. */
#ifndef MOSTRO_INTAKE_H
#define MOSTRO_INTAKE_H

#include <stdbool.h>
#include <stddef.h>

#include "nostr/event.h"
#include "registry/registry_events.h"
#include "registry/stats.h"
#include "taken_ids.h"

#define INTAKE_MAX_HELD  10000
#define INTAKE_RETRY_MS  250
#define INTAKE_FLUSH_MAX 512 /* so that a full hold does not keep its thread for long */

/* Offers events to Redis: registry_relay_events() in the program. */
typedef enum registry_result intake_take_fn(void *arg, struct registry_relay_event *events,
                                            size_t n, size_t *taken);

struct intake_options {
    const char *relay; /* for the log */
    struct taken_ids *taken_ids;
    struct stats *stats;
    intake_take_fn *take;
    void *arg;
    size_t max_held; /* 0: INTAKE_MAX_HELD */
};

struct intake;

/* What the options point to must outlive the intake. NULL when out of memory. */
struct intake *intake_new(const struct intake_options *options);
void intake_free(struct intake **intake);

/* `event` must have been verified and addressed. It is live, or was stored: with its relay by
 * `by_ms`, in Unix milliseconds of Redis's clock. */
void intake_live(struct intake *intake, const struct event *event);
void intake_stored(struct intake *intake, const struct event *event, int64_t by_ms);

/* Offers what waits, up to INTAKE_FLUSH_MAX, and stops where Redis takes no more. True if it is
 * worth going on at once. */
bool intake_flush(struct intake *intake);

size_t intake_held(const struct intake *intake);

/* The last offer failed: offering again is for later. */
bool intake_is_stuck(const struct intake *intake);

/* Whether any was lost since intake_forget_loss(). */
bool intake_has_lost(const struct intake *intake);
void intake_forget_loss(struct intake *intake);

#endif
