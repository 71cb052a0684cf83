/* push_desk: sends each target by the backend its registration asks for, and settles the outcome.
 *
 * Between the wake_queue, which knows whose turn it is, and the backends, which know how to push:
 * slots, hosts, whether a backend works, and what an outcome means for a wake. Speaks to no Redis:
 * registrations are handed in, dead tokens are asked for. Belongs to the dispatcher's thread; times
 * are milliseconds of clock_monotonic_ms(). */
#ifndef MOSTRO_PUSH_DESK_H
#define MOSTRO_PUSH_DESK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wakes/wake_queue.h"

struct http_client;
struct push_desk;
struct registration;
struct settings;
struct stats;

/* The arguments must outlive the desk. NULL when out of memory. */
struct push_desk *push_desk_new(const struct settings *settings, struct http_client *client,
                                struct wake_queue *queue, struct stats *stats);

/* Cancels the client's requests: pushes in flight are abandoned. */
void push_desk_free(struct push_desk **desk);

/* Keeps the backends ready, and calls those whose distributor was held; returns when to be called
 * again. */
int64_t push_desk_run(struct push_desk *desk, int64_t now_ms);

/* How many targets of a lane may be served now, and when that may be more than none without a push
 * ending first (`now_ms` where it is, INT64_MAX where it never will be). */
size_t push_desk_slots(const struct push_desk *desk, enum wake_lane lane, int64_t now_ms);
int64_t push_desk_next_slot_ms(const struct push_desk *desk, enum wake_lane lane, int64_t now_ms);

/* Whether nothing can be pushed in this lane at all. */
bool push_desk_is_down(const struct push_desk *desk, enum wake_lane lane, int64_t now_ms);

/* Pushes to a taken target, or has it wait for its turn. `registration` NULL: it has none. */
void push_desk_serve(struct push_desk *desk, struct wake_target *target,
                     const struct registration *registration, int64_t now_ms);

unsigned push_desk_in_flight(const struct push_desk *desk);

/* A registration that is to be removed, if it is still this one, because its token is dead. */
struct push_desk_dead {
    const struct trade_pubkey *key;
    const char *token;
    int64_t expires_ms;
};

/* The first of them, until the desk is told that it has been removed, or (`renewed`) that it is
 * another by now; false where there is none. */
bool push_desk_first_dead(const struct push_desk *desk, struct push_desk_dead *dead);
void push_desk_forgotten(struct push_desk *desk, bool renewed, int64_t now_ms);

#endif
