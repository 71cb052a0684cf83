/* turns: serves the targets whose turn it is, and settles their wakes when their pushes have ended.
 *
 * Stands between the queue, which knows whose turn it is, and the desk, which knows how to push.
 * Only here does an outcome become an action of the queue, and a counter. Speaks to no Redis:
 * registrations are handed in, and dead tokens handed out. Belongs to the dispatcher's thread;
 * times are milliseconds of clock_monotonic_ms(). */
#ifndef MOSTRO_TURNS_H
#define MOSTRO_TURNS_H

#include <stdbool.h>
#include <stdint.h>

#include "push_desk.h"
#include "wakes/wake_queue.h"

struct registration;
struct stats;

struct turns {
    struct wake_queue *queue;
    struct push_desk *desk;
    struct stats *stats;
};

/* Runs the desk (see push_desk_run()); returns when to be called again. */
int64_t turns_run(const struct turns *turns, int64_t now_ms);

/* Gives a taken target to the desk, which pushes or keeps it until its turn, or drops its wakes
 * where `registration` is NULL: there is none. */
void turns_serve(const struct turns *turns, struct wake_target *target,
                 const struct registration *registration, int64_t now_ms);

/* Settles ended pushes, up to the first with a dead token. That one is returned: the caller has the
 * registration removed, if it still has this token, and then calls turns_settle_dead(). NULL: all
 * is settled. Call it whenever the bell has rung. */
struct push_ended *turns_settle(const struct turns *turns, int64_t now_ms)
    __attribute__((warn_unused_result));

/* The registration has been removed, or (`renewed`) replaced by another. Frees `*dead`. */
void turns_settle_dead(const struct turns *turns, struct push_ended **dead, bool renewed,
                       int64_t now_ms);

#endif
