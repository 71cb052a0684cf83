/* push_desk: has each push made by the back end whose registration it is, and tells how it ended.
 *
 * Each back end that is on has a thread of its own (see push_thread.h); nothing here waits for one.
 * Knows slots, hosts, and whether a back end works; of wakes and their queue nothing: targets are
 * handed in, and come back with the outcome, as a value. Knows no back end by name, and speaks to
 * no Redis. Belongs to the dispatcher's thread; times are milliseconds of clock_monotonic_ms().
 *
 * A lane is WAKE_LANE_UNKNOWN or the row of a back end, counted from 1. */
#ifndef MOSTRO_PUSH_DESK_H
#define MOSTRO_PUSH_DESK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "push/push.h"
#include "registry/listener_report.h"
#include "wakes/wake_queue.h"

#define PUSH_DESK_NO_MEMORY_MS 1000 /* what there is no memory for waits so long */

struct push_backend;
struct push_desk;
struct registration;
struct settings;

/* With `count` back ends, whose threads ring `bell` (see bell.h) when there is something to collect
 * or a slot may have become free. The arguments must outlive the desk. NULL, with an error logged
 * where there is more to say, when out of memory or threads. */
struct push_desk *push_desk_new(const struct push_backend *const *backends, unsigned count,
                                const struct settings *settings, int bell);

/* Cancels what is in flight; nobody is told of those that end by that, nor of those that have ended
 * and were not asked for. */
void push_desk_free(struct push_desk **desk);

/* One more than there are back ends. */
unsigned push_desk_lanes(const struct push_desk *desk);

/* Of a lane that is not WAKE_LANE_UNKNOWN. */
const struct push_backend *push_desk_backend(const struct push_desk *desk, unsigned lane);

/* Ends connections by which a peer keeps a back end's thread busy, and calls targets whose host was
 * held. Returns when to be called again. */
int64_t push_desk_run(struct push_desk *desk, int64_t now_ms);

/* How many targets of a lane may be served now, and when that may be more than none without a push
 * ending first (`now_ms` where it is, INT64_MAX where it never will be). */
size_t push_desk_slots(const struct push_desk *desk, unsigned lane, int64_t now_ms);
int64_t push_desk_next_slot_ms(const struct push_desk *desk, unsigned lane, int64_t now_ms);

/* Whether nothing can be pushed in this lane at all, for now. */
bool push_desk_is_down(const struct push_desk *desk, unsigned lane);

/* The same, and why, for metrics; whether an operator holds pushing is not known here. */
enum report_state push_desk_state(const struct push_desk *desk, unsigned lane, int64_t now_ms);

/* How many hosts that strangers have chosen are down, or held. */
size_t push_desk_hosts_held(const struct push_desk *desk);

/* Their names, as hosts_write_held() and hosts_held_version() have them. */
void push_desk_write_held(const struct push_desk *desk, char *out, size_t size);
uint64_t push_desk_held_version(const struct push_desk *desk);

unsigned push_desk_in_flight(const struct push_desk *desk);

/* Warns, once in ten seconds, of a lane that has had no slot for ten seconds though others wait. To
 * be called after each turn of a lane. */
void push_desk_look_busy(struct push_desk *desk, unsigned lane, bool others_wait, int64_t now_ms);

/* ---- Beginning ------------------------------------------------------------------------------- */

/* The lane of a registration; WAKE_LANE_UNKNOWN where no back end accepts it. */
unsigned push_desk_lane_of(const struct push_desk *desk, const struct registration *registration);

/* Whether a target may be pushed to now. */
enum push_desk_entry {
    PUSH_DESK_ENTERED, /* it has a slot: push_desk_push() or push_desk_leave() comes next */
    PUSH_DESK_NO_SLOT, /* it is to line up in its lane */
    PUSH_DESK_WAITS,   /* its host takes no more: it is kept here until it is called */
    PUSH_DESK_HELD,    /* so it is, for its endpoint takes nothing yet */
    PUSH_DESK_NO_MEMORY,
    PUSH_DESK_OFF,         /* never: its back end is off */
    PUSH_DESK_NOT_ADMITTED /* never: its endpoint is none that may be pushed to */
};

/* A slot that is taken, and the push in it. */
struct push_flight;

enum push_desk_entry push_desk_enter(struct push_desk *desk, unsigned lane,
                                     struct wake_target *target,
                                     const struct registration *registration, int64_t now_ms,
                                     struct push_flight **flight);

/* Since `failing_ms` the target is pushed to without success (see wake_target_failing_ms()). The
 * push begins after push_desk_hand_over(), and ends with an outcome however it goes. */
void push_desk_push(struct push_desk *desk, struct push_flight *flight,
                    const struct registration *registration, enum push_kind kind,
                    int64_t failing_ms, int64_t now_ms);

/* Hands all such pushes to the back ends' threads, at once. */
void push_desk_hand_over(struct push_desk *desk);

/* There was nothing to push. */
void push_desk_leave(struct push_desk *desk, struct push_flight *flight, int64_t now_ms);

/* The next of the targets that were kept and are to be looked at again, in this lane; NULL: no
 * more. They come of push_desk_run(), and of pushes that end. */
struct wake_target *push_desk_called(struct push_desk *desk, unsigned *lane);

/* The next target that is kept no longer, because too many were; NULL: no more. */
struct wake_target *push_desk_dropped(struct push_desk *desk, unsigned *lane);

/* ---- Ending ---------------------------------------------------------------------------------- */

/* How a push that was started ended. */
struct push_ended {
    STAILQ_ENTRY(push_ended) next; /* its owner's */
    struct wake_target *target;
    unsigned lane;
    struct push_result result;
    int64_t took_ms;
    bool blamed; /* it has failed, and others of its peer have succeeded meanwhile */
    bool waits;  /* its peer is down, or that or its endpoint takes no more; not before this: */
    int64_t until_ms;
    char *token; /* that it was made with, and the registration's version */
    int64_t version;
};
STAILQ_HEAD(push_ended_list, push_ended);

/* Has everything in flight end soon, as PUSH_CANCELLED. */
void push_desk_cancel(struct push_desk *desk);

/* Takes in what the threads have handed back: slots become free. */
void push_desk_collect(struct push_desk *desk, int64_t now_ms);

/* The first that has been collected and was not asked for; the caller's from now on. NULL: none. */
struct push_ended *push_desk_take_ended(struct push_desk *desk);
void push_ended_free(struct push_ended **ended);

#endif
