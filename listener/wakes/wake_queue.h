/* wake_queue: the wakes this process has read and not yet acknowledged, and whose turn it is.
 *
 * A wake is one entry of the stream `wakes`; a target is one pubkey with wakes. The wakes of a
 * target that are due together become one push, the visible kind winning; one that comes while a
 * push is in flight causes another after it. A deferred wake (due later) is never covered by an
 * earlier push: until it is due, Redis lets it stand for further ones (see due:<trade_pubkey>).
 * So that wakes do not pile up while their backend is away, a due one that stands for another (it
 * shows as much, for as long, with as many tries left) lets it go at once.
 *
 * An entry stays here, known by its id, from wake_queue_add() until wake_queue_acknowledged(), so
 * that reading the stream again adds nothing twice. Pure but for memory: no sockets, no clock.
 * Times are milliseconds of clock_monotonic_ms(); due times may be negative. Not thread-safe. */
#ifndef MOSTRO_WAKE_QUEUE_H
#define MOSTRO_WAKE_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "device/trade_pubkey.h"
#include "push/push.h"
#include "registry/registry_wakes.h"

#define WAKE_SOON_MS            20   /* due so soon, a wake counts as due where wakes are merged */
#define WAKE_RETRY_LEAST_MS     1000 /* of pushes that spend no try */
#define WAKE_RETRY_MOST_MS      60000
#define WAKE_RETRY_AFTER_MAX_MS 300000 /* what a peer may ask for */
#define WAKE_LIFE_RELAY_MS      INT64_C(86400000)
#define WAKE_LIFE_NOTIFY_MS     INT64_C(3600000)

/* Lanes are numbers: this one is of targets of which it is not known yet by which back end they are
 * pushed, and each back end has one of its own after it. */
#define WAKE_LANE_UNKNOWN 0

struct wake_queue;
struct wake_target;

/* First in, first out; a target is in at most one. Zero-initialised is empty. */
struct wake_list {
    struct wake_target *first, *last;
};

/* An evenly drawn number from 0 to `limit`. */
typedef uint64_t wake_random_fn(uint64_t limit);

/* Holds at most `max` wakes, in so many lanes. NULL when out of memory. */
struct wake_queue *wake_queue_new(size_t max, unsigned lanes, wake_random_fn *random);
void wake_queue_free(struct wake_queue **queue);

enum wake_added {
    WAKE_ADDED,
    WAKE_KNOWN, /* it is here already */
    WAKE_FULL   /* or out of memory: it stays unacknowledged in Redis */
};

/* `*merged` gets the number of wakes (this one perhaps) that are done with because another of the
 * same target stands for them. */
enum wake_added wake_queue_add(struct wake_queue *queue, const struct wake *wake, int64_t due_ms,
                               int64_t now_ms, unsigned *merged);

size_t wake_queue_room(const struct wake_queue *queue);

/* Wakes that wait for an outcome, in flight or not. */
size_t wake_queue_backlog(const struct wake_queue *queue);

/* While a lane is stopped the clock by which its wakes are given up stands still. */
void wake_queue_stop_clock(struct wake_queue *queue, unsigned lane, bool stopped, int64_t now_ms);

/* When the next target becomes due; INT64_MAX where none will. Targets that are due already and
 * wait in a lane do not count: wake_queue_waiting() tells of them. */
int64_t wake_queue_next_ms(const struct wake_queue *queue);
bool wake_queue_waiting(const struct wake_queue *queue, unsigned lane);

/* Takes up to `max` due targets of a lane, in the order they became due. Each is the caller's until
 * he gives it to exactly one of the functions below, which end the process (see must.h) where they
 * are given another: one that was not taken, or, where they say so, not begun. */
size_t wake_queue_take(struct wake_queue *queue, unsigned lane, int64_t now_ms,
                       struct wake_target **targets, size_t max);

const struct trade_pubkey *wake_target_key(const struct wake_target *target);

/* Visible where one of its wakes that wait is. */
enum push_kind wake_target_kind(const struct wake_target *target);

/* Where it was last put. */
unsigned wake_target_lane(const struct wake_target *target);

/* When the begun target's push before this one began, if that failed; else when this one did. */
int64_t wake_target_failing_ms(const struct wake_target *target);

/* Not now: it waits in this lane for its turn. */
void wake_queue_put_back(struct wake_queue *queue, struct wake_target *target, unsigned lane);

/* Not before `until_ms`. */
void wake_queue_postpone(struct wake_queue *queue, struct wake_target *target, unsigned lane,
                         int64_t until_ms);

/* A push begins and covers all wakes of the target that are due. `*expired` gets the number of
 * those that were too old and are done with. False: nothing was left to push, the target is no
 * longer the caller's. */
bool wake_queue_begin(struct wake_queue *queue, struct wake_target *target, unsigned lane,
                      int64_t now_ms, enum push_kind *kind, unsigned *expired);

/* The taken or begun target's wakes (those that were due) have their outcome; returns how many. */
unsigned wake_queue_finish(struct wake_queue *queue, struct wake_target *target, int64_t now_ms);

/* The begun push failed and may be tried again, with full jitter: by PUSH_TRIES_MAX and
 * push_retry_most_ms() where it spends a try, each wake its own; else after 1 s, doubling; at least
 * `retry_after_ms` (-1: nothing asked for) from now. `*given_up` gets the number of its wakes that
 * had their last try and are done with. False: that were all, the target is no longer the
 * caller's. */
bool wake_queue_retry(struct wake_queue *queue, struct wake_target *target, int64_t now_ms,
                      bool spends_try, int64_t retry_after_ms, unsigned *given_up);

/* The begun push was not taken, and nothing is wrong with it: its wakes wait until `until_ms`,
 * spend no try, and their back-off grows no longer. */
void wake_queue_hold_back(struct wake_queue *queue, struct wake_target *target, int64_t until_ms);

/* Once more at once, without spending a try; false if that has been done for this push before, and
 * the target is still the caller's. */
bool wake_queue_once_more(struct wake_queue *queue, struct wake_target *target, int64_t now_ms)
    __attribute__((warn_unused_result));

/* The begun push was broken off with nothing known of it: its wakes stay unacknowledged. */
void wake_queue_abandon(struct wake_queue *queue, struct wake_target *target);

/* The wakes may be another listener's from now on, as far as they are not added again. They are
 * forgotten: at once, or, in a push under way, when it ends without an outcome. */
void wake_queue_disown(struct wake_queue *queue);

/* The ids of up to `max` wakes that are done with; they live until they are acknowledged. */
size_t wake_queue_done(const struct wake_queue *queue, const char **ids, size_t max);

/* Redis has taken the first `n` of them. */
void wake_queue_acknowledged(struct wake_queue *queue, size_t n);

void wake_list_append(struct wake_list *list, struct wake_target *target);
struct wake_target *wake_list_shift(struct wake_list *list); /* NULL when empty */

#endif
