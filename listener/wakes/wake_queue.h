/* wake_queue: the wakes that wait, and whose turn it is: what `waiting:<listener>` holds.
 *
 * A wake is of a pubkey and a kind, and a target is a pubkey with wakes: at most one entry a kind,
 * here as in Redis. What comes while another of its kind waits joins that, but for a deferred one
 * (due later): it is never covered by an earlier push, for until it is due, Redis lets it stand for
 * further ones (see due:<trade_pubkey>). All kinds of a target that are due become one push, the
 * visible kind winning; what comes while it is in flight causes another after it.
 *
 * An entry has a score, which grows whenever one more wake joins it in Redis. A push covers an
 * entry up to the score that it had when it began; wake_queue_done() tells of it, and Redis forgets
 * the entry unless its score has grown since. The entry stays here until
 * wake_queue_acknowledged(), so that reading Redis's set again adds nothing twice.
 *
 * At most so many wakes wait: beyond that the oldest silent ones are dropped. Pure but for memory
 * (under 300 bytes a wake): no sockets, no clock. Times are milliseconds of clock_monotonic_ms();
 * due times may be negative. Not thread-safe. */
#ifndef MOSTRO_WAKE_QUEUE_H
#define MOSTRO_WAKE_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/random.h"
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

/* Holds at most `max` wakes, in so many lanes. NULL when out of memory. */
struct wake_queue *wake_queue_new(size_t max, unsigned lanes, random_up_to_fn *random);
void wake_queue_free(struct wake_queue **queue);

/* The clock by which wakes are given up stands still while pushing is held. The pauses outlive the
 * queue. */
struct pauses;
void wake_queue_follow(struct wake_queue *queue, const struct pauses *pauses);

enum wake_added {
    WAKE_ADDED,
    WAKE_KNOWN,    /* it is here already */
    WAKE_NO_MEMORY /* it stays in Redis, to be restored later */
};

/* A wake that Redis has just put into its set. `*merged` gets the number of wakes that need not
 * wait because another stands for them. */
enum wake_added wake_queue_add(struct wake_queue *queue, const struct wake *wake, int64_t due_ms,
                               int64_t now_ms, unsigned *merged);

/* One that was read from Redis's set, and may be here. */
enum wake_added wake_queue_restore(struct wake_queue *queue, const struct wake *wake,
                                   int64_t due_ms, int64_t now_ms);

/* How many wakes have been dropped for want of room since this was asked last. */
unsigned wake_queue_dropped(struct wake_queue *queue);

/* Wakes that wait for an outcome, in flight or not: one a pubkey and kind. */
size_t wake_queue_backlog(const struct wake_queue *queue);

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

/* PUSH_VISIBLE where one of the wakes that wait, due or not, is to be seen. */
enum push_kind wake_target_kind(const struct wake_target *target);

/* Where it was last put. */
unsigned wake_target_lane(const struct wake_target *target);

/* When the begun target's push before this one began, if that failed; else when this one did. */
int64_t wake_target_failing_ms(const struct wake_target *target);

/* When the first event that the begun target's push tells of was due; INT64_MAX: it tells of none.
 * Of events of one kind that were due together the newest counts. */
int64_t wake_target_event_due_ms(const struct wake_target *target);

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

/* The same where the begun push was delivered, to this version of the registration. Redis is told
 * so with the first of its kinds that is done with; where more has come of each, their push tells.
 */
unsigned wake_queue_deliver(struct wake_queue *queue, struct wake_target *target, int64_t version);

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

/* The begun push was broken off with nothing known of it: its wakes stay in Redis. */
void wake_queue_abandon(struct wake_queue *queue, struct wake_target *target);

/* The wakes may be another listener's from now on, as far as they are not added or restored again.
 * They are forgotten: at once, or, in a push under way, when it ends without an outcome. */
void wake_queue_disown(struct wake_queue *queue);

/* Up to `max` entries that are done with, up to a score. The keys are valid until they are
 * acknowledged. */
size_t wake_queue_done(const struct wake_queue *queue, struct wake_done *done, size_t max);

/* Redis has been told of the first `n` of them; nothing was added since they were asked for. */
void wake_queue_acknowledged(struct wake_queue *queue, size_t n);

void wake_list_append(struct wake_list *list, struct wake_target *target);
struct wake_target *wake_list_shift(struct wake_list *list); /* NULL when empty */

#endif
