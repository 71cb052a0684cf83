/* intake: where a verified event becomes Redis's business.
 *
 * An event that Redis takes enters the seen set and is forgotten here. While Redis cannot take
 * events they are held, in order of arrival and at most INTAKE_MAX_HELD of them; the owner calls
 * intake_retry() every INTAKE_RETRY_MS. Beyond the bound the newest is lost and counted, with one
 * warning an outage. What is held when the process ends is lost, as after a disconnect.
 *
 * Not thread-safe: one per relay, in its thread. Stats and the seen set are shared. */
#ifndef MOSTRO_INTAKE_H
#define MOSTRO_INTAKE_H

#include <stdbool.h>
#include <stddef.h>

#include "event.h"
#include "registry.h"
#include "seen.h"
#include "stats.h"

#define INTAKE_MAX_HELD    10000
#define INTAKE_RETRY_MS    250
#define INTAKE_RETRY_BATCH 500 /* so that a full hold does not keep its thread for seconds */

/* Offers one event to Redis: registry_relay_event() in the program. */
typedef enum registry_result intake_take_fn(void *arg, const char *event_id,
                                            const struct trade_pubkey *key, bool stored,
                                            enum registry_event *outcome);

struct intake_options {
    struct seen *seen;
    struct stats *stats;
    intake_take_fn *take;
    void *arg;
    size_t max_held; /* 0: INTAKE_MAX_HELD */
};

struct intake;

/* What the options point to must outlive the intake. NULL when out of memory. */
struct intake *intake_new(const struct intake_options *options);
void intake_free(struct intake **intake);

/* `event` must have been verified and addressed. `stored`: it is from before this subscription. */
void intake_event(struct intake *intake, const struct event *event, bool stored);

/* Offers what is held again, up to a batch of it, and stops at the first that is not taken. True
 * if that ended because the batch was full, and it is worth going on at once. */
bool intake_retry(struct intake *intake);

size_t intake_held(const struct intake *intake);

#endif
