/* turns: what becomes of a target whose turn it is, and of its wakes when its push has ended.
 *
 * The dispatcher's hand between the queue, which knows whose turn it is, and the desk, which knows
 * how to push; here alone an outcome becomes something that the queue does, and a counter. Speaks
 * to no Redis: registrations are handed in, and dead tokens handed out. Belongs to the dispatcher's
 * thread; times are milliseconds of clock_monotonic_ms(). */
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

/* Has the desk push to a taken target, or has it wait for its turn, or is done with its wakes.
 * `registration` NULL: it has none. */
void turns_serve(const struct turns *turns, struct wake_target *target,
                 const struct registration *registration, int64_t now_ms);

/* Settles what has ended, up to the first push whose token is dead: that one is the caller's, who
 * has the registration removed, if it is still the one with this token, and then says so to
 * turns_settle_dead(). NULL: all is settled. To be called whenever the bell has rung. */
struct push_ended *turns_settle(const struct turns *turns, int64_t now_ms)
    __attribute__((warn_unused_result));

/* The registration has been removed, or is (`renewed`) another by now. Frees `*dead`. */
void turns_settle_dead(const struct turns *turns, struct push_ended **dead, bool renewed,
                       int64_t now_ms);

#endif
