#include "wakes/wake_queue.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "unit.h"
#include "wakes/pauses.h"

#define MAX 100

/* Of two back ends. */
enum { WAKE_LANE_FCM = 1, WAKE_LANE_UNIFIEDPUSH, LANES };

static uint64_t most(uint64_t limit)
{
    return limit;
}

static struct wake_queue *queue;
static unsigned merged; /* by the last add_at() */

static struct wake make(unsigned score, unsigned who, enum wake_via via)
{
    struct wake wake = {.via = via, .score_ms = score};

    (void)snprintf(wake.key.hex, sizeof wake.key.hex, "%064x", who);
    return wake;
}

/* A wake of pubkey number `who`, whose score Redis says is this by now; deferred where it is due
 * later. */
static enum wake_added add_at(unsigned score, unsigned who, enum wake_via via, int64_t due,
                              int64_t now)
{
    struct wake wake = make(score, who, via);

    wake.not_before_ms = due - now;
    return wake_queue_add(queue, &wake, due, now, &merged);
}

/* One that is not due when it comes, unless `due` is 0. */
static enum wake_added add(unsigned score, unsigned who, enum wake_via via, int64_t due)
{
    return add_at(score, who, via, due, 0);
}

/* One that is read from Redis, and due. */
static enum wake_added restore(unsigned score, unsigned who, enum wake_via via)
{
    struct wake wake = make(score, who, via);

    return wake_queue_restore(queue, &wake, 0, 0);
}

static struct wake_target *take(unsigned lane, int64_t now)
{
    struct wake_target *target = NULL;

    return wake_queue_take(queue, lane, now, &target, 1) == 1 ? target : NULL;
}

static struct wake_target *begin(unsigned from, int64_t now, enum push_kind *kind)
{
    struct wake_target *target = take(from, now);
    unsigned expired;

    ck_assert_ptr_nonnull(target);
    ck_assert(wake_queue_begin(queue, target, WAKE_LANE_FCM, now, kind, &expired));
    ck_assert_uint_eq(expired, 0);
    return target;
}

/* The begun push fails; returns whether it is to be tried again. */
static bool retry(struct wake_target *target, int64_t now, bool spends_try, int64_t retry_after)
{
    unsigned given_up;
    bool again = wake_queue_retry(queue, target, now, spends_try, retry_after, &given_up);

    ck_assert(again == (given_up == 0));
    return again;
}

static struct wake_done done_with[MAX];

static size_t done(void)
{
    return wake_queue_done(queue, done_with, MAX);
}

/* Redis is told of all that is done with. */
static void acknowledge(void)
{
    wake_queue_acknowledged(queue, done());
    ck_assert_uint_eq(done(), 0);
}

static void setup(void)
{
    queue = wake_queue_new(MAX, LANES, most);
}

static void teardown(void)
{
    wake_queue_free(&queue);
    ck_assert_ptr_null(queue);
}

START_TEST(wakes_of_one_pubkey_become_one_visible_push)
{
    enum push_kind kind;
    struct wake_target *target;

    ck_assert_int_eq(add(1, 7, WAKE_VIA_NOTIFY, 110), WAKE_ADDED);
    ck_assert_int_eq(add(2, 7, WAKE_VIA_RELAY, 111), WAKE_ADDED);
    ck_assert_int_eq(add(3, 7, WAKE_VIA_NOTIFY, 112), WAKE_ADDED);
    ck_assert_uint_eq(merged, 0);
    ck_assert_uint_eq(wake_queue_backlog(queue), 2); /* one a kind */
    ck_assert_int_eq(wake_queue_next_ms(queue), 110);
    target = begin(WAKE_LANE_UNKNOWN, 112, &kind);
    ck_assert_int_eq(kind, PUSH_VISIBLE);
    ck_assert_ptr_null(take(WAKE_LANE_UNKNOWN, 1000));
    ck_assert_uint_eq(done(), 0);
    ck_assert_uint_eq(wake_queue_finish(queue, target, 113), 3);
    ck_assert_uint_eq(done(), 2);
    ck_assert_int_eq(done_with[0].via, WAKE_VIA_NOTIFY);
    ck_assert_int_eq(done_with[0].score_ms, 3);
    ck_assert_int_eq(done_with[1].via, WAKE_VIA_RELAY);
    ck_assert_int_eq(done_with[1].score_ms, 2);
    ck_assert_str_eq(done_with[1].key->hex + 63, "7");
    ck_assert_uint_eq(wake_queue_backlog(queue), 0);
    acknowledge();
}
END_TEST

/* Redis is told once that a push was delivered, however many kinds it covered. */
START_TEST(a_delivered_push_is_told_once)
{
    enum push_kind kind;

    add(1, 7, WAKE_VIA_NOTIFY, 0);
    add(2, 7, WAKE_VIA_RELAY, 0);
    ck_assert_uint_eq(wake_queue_deliver(queue, begin(WAKE_LANE_UNKNOWN, 0, &kind), 55), 2);
    ck_assert_uint_eq(done(), 2);
    ck_assert_int_eq(done_with[0].delivered, 55);
    ck_assert_int_eq(done_with[1].delivered, WAKE_NOT_DELIVERED);
    acknowledge();
    add(1, 7, WAKE_VIA_NOTIFY, 1000);
    ck_assert_uint_eq(wake_queue_finish(queue, begin(WAKE_LANE_UNKNOWN, 1000, &kind), 1000), 1);
    ck_assert_uint_eq(done(), 1);
    ck_assert_int_eq(done_with[0].delivered, WAKE_NOT_DELIVERED);
}
END_TEST

/* With what is done with: one kind has more to come here, and then that one's push tells, too. */
START_TEST(a_delivered_push_is_told_with_what_is_done_with)
{
    enum push_kind kind;
    struct wake_target *target;

    add(1, 7, WAKE_VIA_NOTIFY, 0);
    add(2, 7, WAKE_VIA_RELAY, 0);
    target = begin(WAKE_LANE_UNKNOWN, 0, &kind);
    add(3, 7, WAKE_VIA_NOTIFY, 1000);
    ck_assert_uint_eq(wake_queue_deliver(queue, target, 55), 2);
    ck_assert_uint_eq(done(), 1);
    ck_assert_int_eq(done_with[0].via, WAKE_VIA_RELAY);
    ck_assert_int_eq(done_with[0].delivered, 55);
    acknowledge();
    (void)wake_queue_deliver(queue, begin(WAKE_LANE_FCM, 1000, &kind), 56);
    ck_assert_uint_eq(done(), 1);
    ck_assert_int_eq(done_with[0].delivered, 56);
}
END_TEST

/* A notify's wake waits a moment for its answer to be out: a push before that covers it. */
START_TEST(what_is_due_soon_counts_as_due)
{
    enum push_kind kind;

    add(1, 7, WAKE_VIA_RELAY, 0);
    add(2, 7, WAKE_VIA_NOTIFY, WAKE_SOON_MS);
    ck_assert_uint_eq(wake_queue_finish(queue, begin(WAKE_LANE_UNKNOWN, 0, &kind), 0), 2);
    acknowledge();
    add(1, 7, WAKE_VIA_RELAY, 0);
    add(2, 7, WAKE_VIA_NOTIFY, WAKE_SOON_MS + 1);
    ck_assert_uint_eq(wake_queue_finish(queue, begin(WAKE_LANE_UNKNOWN, 0, &kind), 0), 1);
    ck_assert_int_eq(wake_queue_next_ms(queue), WAKE_SOON_MS + 1);
}
END_TEST

/* One that only waits its delay, so that its push does not show. */
START_TEST(notifies_that_wait_their_delay_are_merged)
{
    struct wake wake = make(1, 7, WAKE_VIA_NOTIFY);

    ck_assert_int_eq(wake_queue_add(queue, &wake, 300, 0, &merged), WAKE_ADDED);
    wake.score_ms = 2;
    ck_assert_int_eq(wake_queue_add(queue, &wake, 20, 0, &merged), WAKE_ADDED);
    ck_assert_uint_eq(merged, 1);
    wake.score_ms = 3;
    ck_assert_int_eq(wake_queue_add(queue, &wake, 500, 0, &merged), WAKE_ADDED);
    ck_assert_uint_eq(merged, 1);
    ck_assert_int_eq(wake_queue_next_ms(queue), 500);
    ck_assert_uint_eq(wake_queue_backlog(queue), 1);
}
END_TEST

START_TEST(notify_alone_is_silent)
{
    enum push_kind kind;

    add(1, 7, WAKE_VIA_NOTIFY, 10);
    (void)begin(WAKE_LANE_UNKNOWN, 10, &kind);
    ck_assert_int_eq(kind, PUSH_SILENT);
}
END_TEST

/* An event that is not to be seen: as silent as a notify, but not given up after an hour. */
START_TEST(a_quiet_wake_is_silent_and_lives_a_day)
{
    enum push_kind kind;
    unsigned expired;
    struct wake_target *target;

    add(1, 7, WAKE_VIA_NOTIFY, 0);
    add(2, 7, WAKE_VIA_QUIET, 0);
    target = take(WAKE_LANE_UNKNOWN, WAKE_LIFE_RELAY_MS);
    ck_assert(wake_queue_begin(queue, target, WAKE_LANE_FCM, WAKE_LIFE_RELAY_MS, &kind, &expired));
    ck_assert_uint_eq(expired, 1);
    ck_assert_int_eq(kind, PUSH_SILENT);
    ck_assert_uint_eq(wake_queue_finish(queue, target, WAKE_LIFE_RELAY_MS), 1);
    acknowledge();
    add(3, 7, WAKE_VIA_QUIET, 0);
    add(4, 7, WAKE_VIA_RELAY, 0);
    (void)begin(WAKE_LANE_UNKNOWN, 0, &kind);
    ck_assert_int_eq(kind, PUSH_VISIBLE);
}
END_TEST

START_TEST(a_wake_during_a_push_causes_exactly_one_more)
{
    enum push_kind kind;
    struct wake_target *target;

    add(1, 7, WAKE_VIA_RELAY, 110);
    target = begin(WAKE_LANE_UNKNOWN, 110, &kind);
    add_at(2, 7, WAKE_VIA_NOTIFY, 111, 111);
    add_at(3, 7, WAKE_VIA_NOTIFY, 112, 112);
    ck_assert_ptr_null(take(WAKE_LANE_UNKNOWN, 120));
    ck_assert_ptr_null(take(WAKE_LANE_FCM, 120));
    ck_assert_uint_eq(merged, 1);
    ck_assert_uint_eq(wake_queue_finish(queue, target, 120), 1);
    target = begin(WAKE_LANE_FCM, 120, &kind);
    ck_assert_int_eq(kind, PUSH_SILENT);
    ck_assert_uint_eq(wake_queue_finish(queue, target, 121), 1);
    ck_assert_int_eq(wake_queue_next_ms(queue), INT64_MAX);
    ck_assert_uint_eq(done(), 2);
}
END_TEST

START_TEST(a_deferred_wake_is_not_covered_by_an_earlier_push)
{
    enum push_kind kind;
    struct wake_target *target;

    add(1, 7, WAKE_VIA_RELAY, 500);
    ck_assert_ptr_null(take(WAKE_LANE_UNKNOWN, 499));
    add(2, 7, WAKE_VIA_NOTIFY, 10);
    ck_assert_int_eq(wake_queue_next_ms(queue), 10);
    target = begin(WAKE_LANE_UNKNOWN, 100, &kind);
    ck_assert_int_eq(kind, PUSH_SILENT);
    ck_assert_uint_eq(wake_queue_finish(queue, target, 101), 1);
    ck_assert_int_eq(wake_queue_next_ms(queue), 500);
    (void)begin(WAKE_LANE_FCM, 500, &kind);
    ck_assert_int_eq(kind, PUSH_VISIBLE);
}
END_TEST

/* Of the same kind, too: and the score that it had says what the push has covered. */
START_TEST(what_comes_during_a_push_is_not_done_with_by_it)
{
    enum push_kind kind;
    struct wake_target *target;

    add(1, 7, WAKE_VIA_RELAY, 110);
    target = begin(WAKE_LANE_UNKNOWN, 110, &kind);
    add_at(2, 7, WAKE_VIA_RELAY, 111, 111);
    ck_assert_uint_eq(merged, 0);
    ck_assert_uint_eq(wake_queue_backlog(queue), 1);
    ck_assert_uint_eq(wake_queue_finish(queue, target, 112), 1);
    ck_assert_uint_eq(done(), 0);
    target = begin(WAKE_LANE_FCM, 112, &kind);
    ck_assert_uint_eq(wake_queue_finish(queue, target, 113), 1);
    ck_assert_uint_eq(done(), 1);
    ck_assert_int_eq(done_with[0].score_ms, 2);
}
END_TEST

/* Of the same kind: what is due goes at once, what is deferred not early. */
START_TEST(a_deferred_wake_of_its_kind_holds_none_up)
{
    enum push_kind kind;
    struct wake_target *target;

    add(1, 7, WAKE_VIA_NOTIFY, 5000);
    add_at(2, 7, WAKE_VIA_NOTIFY, 100, 100);
    ck_assert_uint_eq(merged, 0);
    target = begin(WAKE_LANE_UNKNOWN, 100, &kind);
    ck_assert_uint_eq(wake_queue_finish(queue, target, 101), 1);
    ck_assert_uint_eq(done(), 0); /* in Redis they are one */
    ck_assert_int_eq(wake_queue_next_ms(queue), 5000);
    add_at(3, 7, WAKE_VIA_NOTIFY, 200, 200); /* the other way round */
    ck_assert_uint_eq(merged, 0);
    target = take(WAKE_LANE_FCM, 200);
    wake_queue_put_back(queue, target, WAKE_LANE_FCM);
    add_at(4, 7, WAKE_VIA_NOTIFY, 6000, 210);
    ck_assert_uint_eq(merged, 1); /* of two that are deferred the later */
    target = begin(WAKE_LANE_FCM, 5000, &kind);
    ck_assert_uint_eq(wake_queue_finish(queue, target, 5001), 1);
    ck_assert_int_eq(wake_queue_next_ms(queue), 6000);
    target = begin(WAKE_LANE_FCM, 6000, &kind);
    ck_assert_uint_eq(wake_queue_finish(queue, target, 6001), 1);
    ck_assert_uint_eq(done(), 1);
    ck_assert_int_eq(done_with[0].score_ms, 4);
}
END_TEST

START_TEST(wakes_that_wait_do_not_pile_up)
{
    enum push_kind kind;
    struct wake_target *target;

    add(1, 7, WAKE_VIA_NOTIFY, 0);
    wake_queue_put_back(queue, take(WAKE_LANE_UNKNOWN, 0), WAKE_LANE_FCM);
    for (unsigned i = 2; i < 10 * MAX; i++) {
        ck_assert_int_eq(add_at(i, 7, WAKE_VIA_NOTIFY, i, i), WAKE_ADDED);
        ck_assert_uint_eq(merged, 1);
        ck_assert_uint_eq(wake_queue_backlog(queue), 1);
    }
    target = begin(WAKE_LANE_FCM, 6000, &kind);
    ck_assert_uint_eq(wake_queue_finish(queue, target, 6000), 1);
    ck_assert_uint_eq(done(), 1);
    ck_assert_int_eq(done_with[0].score_ms, 10 * MAX - 1);
}
END_TEST

/* The newest of those that are due, as it would be pushed for longest. */
START_TEST(of_those_that_are_due_the_newest_stands_for_all)
{
    enum push_kind kind;
    unsigned expired;
    struct wake_target *target;

    add(1, 7, WAKE_VIA_NOTIFY, 0);
    add_at(2, 7, WAKE_VIA_NOTIFY, 1000, 1000);
    target = take(WAKE_LANE_UNKNOWN, 1000 + WAKE_LIFE_NOTIFY_MS);
    ck_assert(wake_queue_begin(queue, target, WAKE_LANE_FCM, 1000 + WAKE_LIFE_NOTIFY_MS, &kind,
                               &expired));
    ck_assert_uint_eq(expired, 0);
}
END_TEST

START_TEST(what_is_read_again_is_known_until_it_is_acknowledged)
{
    enum push_kind kind;
    struct wake_target *target;

    add(5, 7, WAKE_VIA_RELAY, 0);
    ck_assert_int_eq(restore(5, 7, WAKE_VIA_RELAY), WAKE_KNOWN);
    ck_assert_int_eq(restore(5, 7, WAKE_VIA_NOTIFY), WAKE_ADDED);
    target = begin(WAKE_LANE_UNKNOWN, 0, &kind);
    ck_assert_int_eq(restore(5, 7, WAKE_VIA_RELAY), WAKE_KNOWN);
    ck_assert_uint_eq(wake_queue_finish(queue, target, 10), 2);
    ck_assert_int_eq(restore(5, 7, WAKE_VIA_RELAY), WAKE_KNOWN);
    ck_assert_uint_eq(wake_queue_backlog(queue), 0);
    ck_assert_uint_eq(done(), 2);
    acknowledge();
    ck_assert_int_eq(restore(5, 7, WAKE_VIA_RELAY), WAKE_ADDED);
}
END_TEST

/* Its answer was lost, say, so that this process has not heard of it. */
START_TEST(what_redis_has_more_is_added)
{
    enum push_kind kind;
    struct wake_target *target;

    add(5, 7, WAKE_VIA_RELAY, 0);
    target = begin(WAKE_LANE_UNKNOWN, 0, &kind);
    ck_assert_int_eq(restore(6, 7, WAKE_VIA_RELAY), WAKE_ADDED);
    ck_assert_uint_eq(wake_queue_finish(queue, target, 0), 1);
    ck_assert_uint_eq(done(), 0);
    target = begin(WAKE_LANE_FCM, 0, &kind);
    ck_assert_uint_eq(wake_queue_finish(queue, target, 0), 1);
    ck_assert_int_eq(restore(7, 7, WAKE_VIA_RELAY), WAKE_ADDED); /* nor what was done with then */
    ck_assert_uint_eq(done(), 0);
    ck_assert_uint_eq(wake_queue_backlog(queue), 1);
}
END_TEST

/* ---- No more than so many -------------------------------------------------------------------- */

/* Silent ones first, those of a notify before those of an event; of each the oldest. */
START_TEST(beyond_its_bound_the_least_missed_are_dropped)
{
    for (unsigned i = 0; i < MAX; i++) {
        enum wake_via via = i < 2 ? WAKE_VIA_QUIET : i < 4 ? WAKE_VIA_NOTIFY : WAKE_VIA_RELAY;

        ck_assert_int_eq(add(i + 1, i, via, 0), WAKE_ADDED);
    }
    ck_assert_uint_eq(wake_queue_dropped(queue), 0);
    for (unsigned i = 0; i < 6; i++) {
        static const unsigned in_order[] = {2, 3, 0, 1, 4, 5};

        ck_assert_int_eq(add(1000 + i, MAX + i, WAKE_VIA_RELAY, 0), WAKE_ADDED);
        ck_assert_uint_eq(wake_queue_backlog(queue), MAX);
        ck_assert_uint_eq(wake_queue_dropped(queue), 1);
        ck_assert_uint_eq(done(), i + 1);
        ck_assert_uint_eq(strtoul(done_with[i].key->hex + 48, NULL, 16), in_order[i]);
        ck_assert_int_eq(done_with[i].score_ms, in_order[i] + 1);
    }
    ck_assert_uint_eq(wake_queue_dropped(queue), 0);
    /* A silent one finds no room. */
    ck_assert_int_eq(add(2000, 2 * MAX, WAKE_VIA_NOTIFY, 0), WAKE_ADDED);
    ck_assert_uint_eq(done(), 7);
    ck_assert_int_eq(done_with[6].score_ms, 2000);
}
END_TEST

/* Wherever its target is; and the target is gone with the last of its wakes. */
START_TEST(what_is_dropped_leaves_its_place)
{
    struct wake_target *target;

    wake_queue_free(&queue);
    queue = wake_queue_new(1, LANES, most);
    add(1, 1, WAKE_VIA_NOTIFY, 5000); /* in the heap */
    add(2, 2, WAKE_VIA_NOTIFY, 0);
    ck_assert_int_eq(wake_queue_next_ms(queue), 0);
    wake_queue_put_back(queue, take(WAKE_LANE_UNKNOWN, 0), WAKE_LANE_FCM);
    add(3, 3, WAKE_VIA_NOTIFY, 0);
    ck_assert(!wake_queue_waiting(queue, WAKE_LANE_FCM));
    target = take(WAKE_LANE_UNKNOWN, 0); /* elsewhere: it comes back */
    add(4, 4, WAKE_VIA_NOTIFY, 5000);
    acknowledge();
    wake_queue_put_back(queue, target, WAKE_LANE_FCM);
    ck_assert(!wake_queue_waiting(queue, WAKE_LANE_FCM));
    ck_assert_int_eq(wake_queue_next_ms(queue), 5000);
    ck_assert_uint_eq(wake_queue_backlog(queue), 1);
}
END_TEST

START_TEST(what_is_in_flight_is_not_dropped)
{
    enum push_kind kind;
    struct wake_target *target;

    wake_queue_free(&queue);
    queue = wake_queue_new(1, LANES, most);
    add(1, 1, WAKE_VIA_NOTIFY, 0);
    target = begin(WAKE_LANE_UNKNOWN, 0, &kind);
    add(2, 2, WAKE_VIA_NOTIFY, 0);
    ck_assert_uint_eq(wake_queue_dropped(queue), 1);
    ck_assert_uint_eq(wake_queue_finish(queue, target, 0), 1);
}
END_TEST

/* And those of one moment in the order in which they came. */
START_TEST(turns_come_in_the_order_they_become_due)
{
    uint32_t random = 1;
    unsigned id = 0;

    for (unsigned n = 1; n <= MAX; n++) {
        int64_t due, due_of[MAX], last_due = 0;
        unsigned last_who = 0, taken = 0;

        for (unsigned who = 0; who < n; who++) {
            random = random * 1664525 + 1013904223;
            due_of[who] = 1000 + (random >> 16) % 40;
            ck_assert_int_eq(add(++id, who, WAKE_VIA_RELAY, due_of[who]), WAKE_ADDED);
        }
        while ((due = wake_queue_next_ms(queue)) != INT64_MAX) {
            struct wake_target *target;

            while ((target = take(WAKE_LANE_UNKNOWN, due)) != NULL) {
                unsigned who = (unsigned)strtoul(wake_target_key(target)->hex + 48, NULL, 16);

                ck_assert_int_eq(due, due_of[who]);
                ck_assert(due > last_due || (due == last_due && who > last_who));
                last_due = due;
                last_who = who;
                taken += wake_queue_finish(queue, target, due);
            }
        }
        ck_assert_uint_eq(taken, n);
        acknowledge();
    }
}
END_TEST

START_TEST(a_push_is_tried_again_after_the_times_of_the_contract)
{
    static const int64_t waits[] = {1000, 5000, 25000, 120000, 300000};
    enum push_kind kind;
    struct wake_target *target;
    int64_t now = 10;

    add(1, 7, WAKE_VIA_RELAY, now);
    target = begin(WAKE_LANE_UNKNOWN, now, &kind);
    for (unsigned i = 0; i < sizeof waits / sizeof waits[0]; i++) {
        ck_assert(retry(target, now, true, -1));
        ck_assert_int_eq(wake_queue_next_ms(queue), now + waits[i]);
        ck_assert_ptr_null(take(WAKE_LANE_FCM, now + waits[i] - 1));
        now += waits[i];
        target = begin(WAKE_LANE_FCM, now, &kind);
    }
    add(2, 7, WAKE_VIA_RELAY, now);
    ck_assert(!retry(target, now, true, -1));
    ck_assert_uint_eq(done(), 0);
    /* The one that came meanwhile has all its tries. */
    target = begin(WAKE_LANE_FCM, now, &kind);
    ck_assert(retry(target, now, true, -1));
    ck_assert_int_eq(wake_queue_next_ms(queue), now + 1000);
}
END_TEST

static uint64_t least(uint64_t limit)
{
    (void)limit;
    return 0;
}

/* All of it is drawn: of many that failed at once, some may come back at once. */
START_TEST(jitter_is_full)
{
    enum push_kind kind;
    struct wake_target *target;

    wake_queue_free(&queue);
    queue = wake_queue_new(MAX, LANES, least);
    add(1, 7, WAKE_VIA_RELAY, 10);
    target = begin(WAKE_LANE_UNKNOWN, 10, &kind);
    for (int i = 0; i < 3; i++) {
        ck_assert(retry(target, 10, true, -1));
        ck_assert_int_eq(wake_queue_next_ms(queue), 10);
        target = begin(WAKE_LANE_FCM, 10, &kind);
    }
    ck_assert(retry(target, 10, true, 500)); /* but not before they may */
    ck_assert_int_eq(wake_queue_next_ms(queue), 510);
}
END_TEST

/* Not even where it comes while the older one waits for its last. */
START_TEST(a_wake_does_not_inherit_the_tries_of_older_ones)
{
    enum push_kind kind;
    struct wake_target *target;
    unsigned given_up;
    int64_t now = 0;

    add(1, 7, WAKE_VIA_RELAY, 0);
    for (int spent = 1; spent < PUSH_TRIES_MAX; spent++) {
        target = begin(spent == 1 ? WAKE_LANE_UNKNOWN : WAKE_LANE_FCM, now, &kind);
        ck_assert(retry(target, now, true, -1));
        now = wake_queue_next_ms(queue);
    }
    ck_assert_int_eq(add_at(2, 7, WAKE_VIA_NOTIFY, now, now), WAKE_ADDED);
    ck_assert_uint_eq(merged, 0);
    target = begin(WAKE_LANE_FCM, now, &kind);
    ck_assert(wake_queue_retry(queue, target, now, true, -1, &given_up));
    ck_assert_uint_eq(given_up, 1);
    for (int spent = 2; spent < PUSH_TRIES_MAX; spent++) {
        now = wake_queue_next_ms(queue);
        target = begin(WAKE_LANE_FCM, now, &kind);
        ck_assert_int_eq(kind, PUSH_SILENT);
        ck_assert(retry(target, now, true, -1));
    }
    now = wake_queue_next_ms(queue);
    ck_assert(!retry(begin(WAKE_LANE_FCM, now, &kind), now, true, -1));
    ck_assert_uint_eq(done(), 2);
}
END_TEST

START_TEST(a_fault_of_the_backend_spends_no_try)
{
    enum push_kind kind;
    struct wake_target *target;
    int64_t now = 10;

    add(1, 7, WAKE_VIA_RELAY, now);
    target = begin(WAKE_LANE_UNKNOWN, now, &kind);
    for (int i = 0; i < 20; i++) {
        ck_assert(retry(target, now, false, -1));
        ck_assert_int_le(wake_queue_next_ms(queue), now + WAKE_RETRY_MOST_MS);
        now = wake_queue_next_ms(queue);
        target = begin(WAKE_LANE_FCM, now, &kind);
    }
}
END_TEST

START_TEST(a_peer_may_ask_for_five_minutes)
{
    enum push_kind kind;
    struct wake_target *target;

    add(1, 7, WAKE_VIA_RELAY, 0);
    target = begin(WAKE_LANE_UNKNOWN, 0, &kind);
    ck_assert(retry(target, 0, true, 30000));
    ck_assert_int_eq(wake_queue_next_ms(queue), 30000);
    add(2, 7, WAKE_VIA_RELAY, 1); /* does not cut it short */
    ck_assert_int_eq(wake_queue_next_ms(queue), 30000);
    target = begin(WAKE_LANE_FCM, 30000, &kind);
    ck_assert(retry(target, 30000, true, INT64_C(3600000)));
    ck_assert_int_eq(wake_queue_next_ms(queue), 330000);
    target = begin(WAKE_LANE_FCM, 330000, &kind);
    ck_assert(retry(target, 330000, true, 3999)); /* nor may he have less than is usual */
    ck_assert_int_eq(wake_queue_next_ms(queue), 335000);
}
END_TEST

/* Nothing is wrong with it: however often, it has its tries, and waits no longer than it has to. */
START_TEST(what_is_held_back_loses_nothing)
{
    enum push_kind kind;
    struct wake_target *target;
    int64_t now = 110;

    add(1, 7, WAKE_VIA_RELAY, now);
    target = begin(WAKE_LANE_UNKNOWN, now, &kind);
    for (unsigned i = 0; i < 3 * PUSH_TRIES_MAX; i++) {
        wake_queue_hold_back(queue, target, now + 5000);
        ck_assert_int_eq(wake_queue_next_ms(queue), now + 5000);
        ck_assert_ptr_null(take(WAKE_LANE_FCM, now + 4999));
        now += 5000;
        target = begin(WAKE_LANE_FCM, now, &kind);
        ck_assert_int_eq(kind, PUSH_VISIBLE);
    }
    for (unsigned i = 1; i < PUSH_TRIES_MAX; i++) {
        ck_assert(retry(target, now, true, -1));
        ck_assert_int_eq(wake_queue_next_ms(queue), now + push_retry_most_ms(i));
        now = wake_queue_next_ms(queue);
        target = begin(WAKE_LANE_FCM, now, &kind);
    }
    ck_assert(!retry(target, now, true, -1));
}
END_TEST

START_TEST(once_more_is_once)
{
    enum push_kind kind;
    struct wake_target *target;

    add(1, 7, WAKE_VIA_RELAY, 0);
    target = begin(WAKE_LANE_UNKNOWN, 0, &kind);
    ck_assert(wake_queue_once_more(queue, target, 5));
    target = begin(WAKE_LANE_FCM, 5, &kind);
    ck_assert(!wake_queue_once_more(queue, target, 6));
    ck_assert_uint_eq(wake_queue_finish(queue, target, 6), 1);
}
END_TEST

/* The next push of the same target has a once more of its own. */
START_TEST(once_more_is_once_a_push)
{
    enum push_kind kind;
    struct wake_target *target;

    add(1, 7, WAKE_VIA_RELAY, 0);
    target = begin(WAKE_LANE_UNKNOWN, 0, &kind);
    ck_assert(wake_queue_once_more(queue, target, 5));
    target = begin(WAKE_LANE_FCM, 5, &kind);
    add_at(2, 7, WAKE_VIA_RELAY, 6, 6);
    ck_assert_uint_eq(wake_queue_finish(queue, target, 7), 1);
    target = begin(WAKE_LANE_FCM, 7, &kind);
    ck_assert(wake_queue_once_more(queue, target, 8));
}
END_TEST

/* What tells whose fault it is: others that succeed between the two. */
START_TEST(a_push_fails_since_the_one_before_it)
{
    enum push_kind kind;
    struct wake_target *target;
    int64_t now = 100;

    add(1, 7, WAKE_VIA_RELAY, now);
    target = begin(WAKE_LANE_UNKNOWN, now, &kind);
    ck_assert_int_eq(wake_target_failing_ms(target), 100);
    ck_assert(retry(target, now, true, -1));
    now = wake_queue_next_ms(queue);
    target = begin(WAKE_LANE_FCM, now, &kind);
    ck_assert_int_eq(wake_target_failing_ms(target), 100);
    add_at(2, 7, WAKE_VIA_RELAY, now, now);
    ck_assert_uint_eq(wake_queue_finish(queue, target, now), 1);
    now += 10;
    ck_assert_int_eq(wake_target_failing_ms(begin(WAKE_LANE_FCM, now, &kind)), now);
}
END_TEST

START_TEST(old_wakes_are_given_up)
{
    enum push_kind kind;
    struct wake_target *target;
    unsigned expired;

    ck_assert_int_eq(WAKE_LIFE_RELAY_MS, 24 * 3600 * 1000);
    ck_assert_int_eq(WAKE_LIFE_NOTIFY_MS, 3600 * 1000);
    add(1, 7, WAKE_VIA_NOTIFY, 0);
    add(2, 7, WAKE_VIA_RELAY, 0);
    target = take(WAKE_LANE_UNKNOWN, WAKE_LIFE_NOTIFY_MS);
    ck_assert(wake_queue_begin(queue, target, WAKE_LANE_FCM, WAKE_LIFE_NOTIFY_MS, &kind, &expired));
    ck_assert_uint_eq(expired, 0);
    ck_assert(retry(target, WAKE_LIFE_NOTIFY_MS, false, -1));
    target = take(WAKE_LANE_FCM, WAKE_LIFE_RELAY_MS);
    ck_assert(wake_queue_begin(queue, target, WAKE_LANE_FCM, WAKE_LIFE_RELAY_MS, &kind, &expired));
    ck_assert_uint_eq(expired, 1);
    ck_assert_int_eq(kind, PUSH_VISIBLE);
    ck_assert(retry(target, WAKE_LIFE_RELAY_MS - 5000, false, -1));
    target = take(WAKE_LANE_FCM, WAKE_LIFE_RELAY_MS + 1);
    ck_assert(
        !wake_queue_begin(queue, target, WAKE_LANE_FCM, WAKE_LIFE_RELAY_MS + 1, &kind, &expired));
    ck_assert_uint_eq(expired, 1);
    ck_assert_uint_eq(done(), 2);
    ck_assert_uint_eq(wake_queue_backlog(queue), 0);
}
END_TEST

/* A push is of the kind of the wakes that it is made for. */
START_TEST(old_wakes_do_not_show)
{
    enum push_kind kind;
    struct wake_target *target;
    unsigned expired;
    int64_t now = WAKE_LIFE_RELAY_MS + 1;

    add(1, 7, WAKE_VIA_RELAY, 0);
    add(2, 7, WAKE_VIA_NOTIFY, now);
    target = take(WAKE_LANE_UNKNOWN, now);
    ck_assert(wake_queue_begin(queue, target, WAKE_LANE_FCM, now, &kind, &expired));
    ck_assert_uint_eq(expired, 1);
    ck_assert_int_eq(kind, PUSH_SILENT);
}
END_TEST

/* By as long as pushing was held while the wake was there. */
START_TEST(a_pause_is_not_counted)
{
    const struct pauses pauses = {
        .all = {{-5000, -1000}, {100, 500}, {1000, INT64_C(100) * WAKE_LIFE_NOTIFY_MS}},
        .count = 3};
    const int64_t end =
        INT64_C(100) * WAKE_LIFE_NOTIFY_MS + WAKE_LIFE_NOTIFY_MS - 1000 + (500 - 100);
    enum push_kind kind;
    struct wake_target *target;
    unsigned expired;

    wake_queue_follow(queue, &pauses);
    add(1, 7, WAKE_VIA_NOTIFY, 0);
    target = take(WAKE_LANE_UNKNOWN, end);
    ck_assert(wake_queue_begin(queue, target, WAKE_LANE_FCM, end, &kind, &expired));
    wake_queue_abandon(queue, target);
    target = take(WAKE_LANE_FCM, end + 1);
    ck_assert(!wake_queue_begin(queue, target, WAKE_LANE_FCM, end + 1, &kind, &expired));
    ck_assert_uint_eq(expired, 1);
}
END_TEST

START_TEST(lanes_do_not_hold_each_other_up)
{
    struct wake_target *target;

    add(1, 1, WAKE_VIA_RELAY, 0);
    add(2, 2, WAKE_VIA_RELAY, 0);
    wake_queue_put_back(queue, take(WAKE_LANE_UNKNOWN, 0), WAKE_LANE_FCM);
    target = take(WAKE_LANE_UNKNOWN, 0);
    ck_assert_str_eq(wake_target_key(target)->hex + 63, "2");
    ck_assert(wake_queue_waiting(queue, WAKE_LANE_FCM));
    ck_assert(!wake_queue_waiting(queue, WAKE_LANE_UNKNOWN));
    wake_queue_postpone(queue, target, WAKE_LANE_UNIFIEDPUSH, 700);
    ck_assert_int_eq(wake_queue_next_ms(queue), 700);
    ck_assert_str_eq(wake_target_key(take(WAKE_LANE_FCM, 0))->hex + 63, "1");
}
END_TEST

START_TEST(an_abandoned_push_leaves_its_wakes_waiting)
{
    enum push_kind kind;

    add(1, 1, WAKE_VIA_RELAY, 0);
    wake_queue_abandon(queue, begin(WAKE_LANE_UNKNOWN, 0, &kind));
    ck_assert_uint_eq(done(), 0);
    ck_assert_uint_eq(wake_queue_backlog(queue), 1);
}
END_TEST

/* ---- Another listener may have them ---------------------------------------------------------- */

static bool fails(struct wake_target *target)
{
    unsigned given_up;

    return wake_queue_retry(queue, target, 0, true, -1, &given_up);
}

START_TEST(disowned_wakes_are_forgotten)
{
    enum push_kind kind;
    struct wake_target *flying;

    add(1, 1, WAKE_VIA_RELAY, 0);
    flying = begin(WAKE_LANE_UNKNOWN, 0, &kind);
    add(2, 1, WAKE_VIA_RELAY, 0); /* after the push */
    add(3, 2, WAKE_VIA_RELAY, 5000);
    add(4, 3, WAKE_VIA_RELAY, 0);
    wake_queue_put_back(queue, take(WAKE_LANE_UNKNOWN, 0), WAKE_LANE_FCM);
    wake_queue_disown(queue);
    ck_assert_int_eq(wake_queue_next_ms(queue), INT64_MAX);
    ck_assert(!wake_queue_waiting(queue, WAKE_LANE_FCM));
    ck_assert(!fails(flying));
    ck_assert_uint_eq(wake_queue_backlog(queue), 0);
    ck_assert_uint_eq(done(), 0);
    /* They may all come back. */
    for (unsigned who = 1; who <= 4; who++)
        ck_assert_int_eq(restore(who, who, WAKE_VIA_RELAY), WAKE_ADDED);
}
END_TEST

START_TEST(what_is_in_flight_keeps_its_outcome)
{
    enum push_kind kind;
    struct wake_target *flying;

    add(1, 1, WAKE_VIA_RELAY, 0);
    flying = begin(WAKE_LANE_UNKNOWN, 0, &kind);
    add(2, 1, WAKE_VIA_RELAY, 0); /* forgotten */
    wake_queue_disown(queue);
    ck_assert_uint_eq(wake_queue_finish(queue, flying, 0), 1);
    ck_assert_uint_eq(done(), 1);
    ck_assert_int_eq(done_with[0].score_ms, 1);
}
END_TEST

START_TEST(what_is_read_again_in_flight_is_tried_again)
{
    enum push_kind kind;
    struct wake_target *flying;

    add(1, 1, WAKE_VIA_RELAY, 0);
    flying = begin(WAKE_LANE_UNKNOWN, 0, &kind);
    wake_queue_disown(queue);
    ck_assert_int_eq(restore(1, 1, WAKE_VIA_RELAY), WAKE_KNOWN);
    ck_assert(fails(flying));
    ck_assert_uint_eq(wake_queue_backlog(queue), 1);
}
END_TEST

/* What had come since the push began was forgotten, so that its score is not known any more. */
START_TEST(what_is_read_again_beyond_a_push_is_pushed_after_it)
{
    enum push_kind kind;
    struct wake_target *flying;

    add(1, 1, WAKE_VIA_RELAY, 0);
    flying = begin(WAKE_LANE_UNKNOWN, 0, &kind);
    add(2, 1, WAKE_VIA_RELAY, 0);
    wake_queue_disown(queue);
    add(1, 1, WAKE_VIA_NOTIFY, 0);
    ck_assert_int_eq(restore(2, 1, WAKE_VIA_RELAY), WAKE_ADDED);
    ck_assert_uint_eq(wake_queue_finish(queue, flying, 0), 1);
    ck_assert_uint_eq(wake_queue_finish(queue, begin(WAKE_LANE_FCM, 0, &kind), 0), 2);
    ck_assert_int_eq(kind, PUSH_VISIBLE);
    ck_assert_uint_eq(done(), 2);
}
END_TEST

START_TEST(a_push_of_disowned_wakes_is_not_repeated)
{
    enum push_kind kind;
    struct wake_target *flying;

    add(1, 1, WAKE_VIA_RELAY, 0);
    flying = begin(WAKE_LANE_UNKNOWN, 0, &kind);
    wake_queue_disown(queue);
    ck_assert(wake_queue_once_more(queue, flying, 0));
    ck_assert_uint_eq(wake_queue_backlog(queue), 0);
    add(2, 2, WAKE_VIA_RELAY, 0);
    flying = begin(WAKE_LANE_UNKNOWN, 0, &kind);
    wake_queue_disown(queue);
    wake_queue_abandon(queue, flying);
    ck_assert_uint_eq(wake_queue_backlog(queue), 0);
    ck_assert_ptr_null(take(WAKE_LANE_FCM, 1000000));
}
END_TEST

/* It may be waiting for its host's turn. */
START_TEST(no_push_begins_for_a_taken_target_that_was_disowned)
{
    enum push_kind kind;
    unsigned expired;
    struct wake_target *taken;

    add(1, 1, WAKE_VIA_RELAY, 0);
    taken = take(WAKE_LANE_UNKNOWN, 0);
    wake_queue_disown(queue);
    ck_assert(!wake_queue_begin(queue, taken, WAKE_LANE_FCM, 0, &kind, &expired));
    ck_assert_uint_eq(expired, 0);
    ck_assert_uint_eq(wake_queue_backlog(queue), 0);
    ck_assert_uint_eq(done(), 0);
}
END_TEST

START_TEST(a_disowned_wake_is_not_pushed_with_another)
{
    enum push_kind kind;
    struct wake_target *taken;

    add(1, 1, WAKE_VIA_RELAY, 0);
    taken = take(WAKE_LANE_UNKNOWN, 0);
    wake_queue_disown(queue);
    add(2, 1, WAKE_VIA_NOTIFY, 0);
    wake_queue_put_back(queue, taken, WAKE_LANE_UNKNOWN);
    taken = begin(WAKE_LANE_UNKNOWN, 0, &kind);
    ck_assert_int_eq(kind, PUSH_SILENT);
    ck_assert_uint_eq(wake_queue_finish(queue, taken, 0), 1);
    ck_assert_uint_eq(done(), 1);
    ck_assert_int_eq(done_with[0].via, WAKE_VIA_NOTIFY);
}
END_TEST

/* What is still to be told of holds, whoever reads it. */
START_TEST(what_is_done_with_is_not_disowned)
{
    enum push_kind kind;

    add(1, 1, WAKE_VIA_RELAY, 0);
    (void)wake_queue_finish(queue, begin(WAKE_LANE_UNKNOWN, 0, &kind), 0);
    wake_queue_disown(queue);
    ck_assert_int_eq(restore(1, 1, WAKE_VIA_RELAY), WAKE_KNOWN);
    ck_assert_uint_eq(done(), 1);
}
END_TEST

/* ---- Broken promises ------------------------------------------------------------------------- */

static void retry_it(struct wake_target *target)
{
    (void)retry(target, 0, true, -1);
}

static void hold_it_back(struct wake_target *target)
{
    wake_queue_hold_back(queue, target, 0);
}

static void once_more(struct wake_target *target)
{
    ck_assert(wake_queue_once_more(queue, target, 0));
}

static void abandon_it(struct wake_target *target)
{
    wake_queue_abandon(queue, target);
}

static void since_when(struct wake_target *target)
{
    (void)wake_target_failing_ms(target);
}

static void finish_it_while_it_is_lined_up(struct wake_target *target)
{
    wake_queue_put_back(queue, target, WAKE_LANE_FCM);
    (void)wake_queue_finish(queue, target, 0);
}

static void put_it_back_twice(struct wake_target *target)
{
    wake_queue_put_back(queue, target, WAKE_LANE_FCM);
    wake_queue_put_back(queue, target, WAKE_LANE_FCM);
}

static void postpone_it_twice(struct wake_target *target)
{
    wake_queue_postpone(queue, target, WAKE_LANE_FCM, 10);
    wake_queue_postpone(queue, target, WAKE_LANE_FCM, 20);
}

static void put_it_nowhere(struct wake_target *target)
{
    wake_queue_put_back(queue, target, LANES);
}

static void acknowledge_more_than_is_done(struct wake_target *target)
{
    wake_queue_acknowledged(queue, wake_queue_finish(queue, target, 0) + 1);
}

static void deliver_it(struct wake_target *target)
{
    (void)wake_queue_deliver(queue, target, 1);
}

static void (*const of_a_taken_one[])(struct wake_target *) = {
    deliver_it,
    retry_it,
    hold_it_back,
    once_more,
    abandon_it,
    since_when,
    finish_it_while_it_is_lined_up,
    put_it_back_twice,
    postpone_it_twice,
    put_it_nowhere,
    acknowledge_more_than_is_done,
};

START_TEST(what_a_taken_target_is_not_ends_the_process)
{
    (void)add(1, 1, WAKE_VIA_RELAY, 0);
    of_a_taken_one[_i](take(WAKE_LANE_UNKNOWN, 0));
}
END_TEST

static void begin_it(struct wake_target *target)
{
    enum push_kind kind;
    unsigned expired;

    (void)wake_queue_begin(queue, target, WAKE_LANE_FCM, 0, &kind, &expired);
}

static void put_it_back(struct wake_target *target)
{
    wake_queue_put_back(queue, target, WAKE_LANE_FCM);
}

static void postpone_it(struct wake_target *target)
{
    wake_queue_postpone(queue, target, WAKE_LANE_FCM, 10);
}

static void (*const of_a_begun_one[])(struct wake_target *) = {begin_it, put_it_back, postpone_it};

START_TEST(what_a_begun_target_is_not_ends_the_process)
{
    enum push_kind kind;

    (void)add(1, 1, WAKE_VIA_RELAY, 0);
    of_a_begun_one[_i](begin(WAKE_LANE_UNKNOWN, 0, &kind));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("wake_queue");
    TCase *tcase = tcase_create("wake_queue");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, wakes_of_one_pubkey_become_one_visible_push);
    tcase_add_test(tcase, a_delivered_push_is_told_once);
    tcase_add_test(tcase, a_delivered_push_is_told_with_what_is_done_with);
    tcase_add_test(tcase, what_is_due_soon_counts_as_due);
    tcase_add_test(tcase, notifies_that_wait_their_delay_are_merged);
    tcase_add_test(tcase, notify_alone_is_silent);
    tcase_add_test(tcase, a_quiet_wake_is_silent_and_lives_a_day);
    tcase_add_test(tcase, a_wake_during_a_push_causes_exactly_one_more);
    tcase_add_test(tcase, a_deferred_wake_is_not_covered_by_an_earlier_push);
    tcase_add_test(tcase, what_comes_during_a_push_is_not_done_with_by_it);
    tcase_add_test(tcase, a_deferred_wake_of_its_kind_holds_none_up);
    tcase_add_test(tcase, wakes_that_wait_do_not_pile_up);
    tcase_add_test(tcase, of_those_that_are_due_the_newest_stands_for_all);
    tcase_add_test(tcase, what_is_read_again_is_known_until_it_is_acknowledged);
    tcase_add_test(tcase, what_redis_has_more_is_added);
    tcase_add_test(tcase, beyond_its_bound_the_least_missed_are_dropped);
    tcase_add_test(tcase, what_is_dropped_leaves_its_place);
    tcase_add_test(tcase, what_is_in_flight_is_not_dropped);
    tcase_add_test(tcase, turns_come_in_the_order_they_become_due);
    tcase_add_test(tcase, a_push_is_tried_again_after_the_times_of_the_contract);
    tcase_add_test(tcase, jitter_is_full);
    tcase_add_test(tcase, a_wake_does_not_inherit_the_tries_of_older_ones);
    tcase_add_test(tcase, a_fault_of_the_backend_spends_no_try);
    tcase_add_test(tcase, a_peer_may_ask_for_five_minutes);
    tcase_add_test(tcase, what_is_held_back_loses_nothing);
    tcase_add_test(tcase, once_more_is_once);
    tcase_add_test(tcase, once_more_is_once_a_push);
    tcase_add_test(tcase, a_push_fails_since_the_one_before_it);
    tcase_add_test(tcase, old_wakes_are_given_up);
    tcase_add_test(tcase, old_wakes_do_not_show);
    tcase_add_test(tcase, a_pause_is_not_counted);
    tcase_add_test(tcase, lanes_do_not_hold_each_other_up);
    tcase_add_test(tcase, an_abandoned_push_leaves_its_wakes_waiting);
    tcase_add_test(tcase, disowned_wakes_are_forgotten);
    tcase_add_test(tcase, what_is_in_flight_keeps_its_outcome);
    tcase_add_test(tcase, what_is_read_again_in_flight_is_tried_again);
    tcase_add_test(tcase, what_is_read_again_beyond_a_push_is_pushed_after_it);
    tcase_add_test(tcase, a_push_of_disowned_wakes_is_not_repeated);
    tcase_add_test(tcase, no_push_begins_for_a_taken_target_that_was_disowned);
    tcase_add_test(tcase, a_disowned_wake_is_not_pushed_with_another);
    tcase_add_test(tcase, what_is_done_with_is_not_disowned);
    tcase_add_loop_test_raise_signal(tcase, what_a_taken_target_is_not_ends_the_process, SIGABRT, 0,
                                     (int)(sizeof of_a_taken_one / sizeof of_a_taken_one[0]));
    tcase_add_loop_test_raise_signal(tcase, what_a_begun_target_is_not_ends_the_process, SIGABRT, 0,
                                     (int)(sizeof of_a_begun_one / sizeof of_a_begun_one[0]));
    suite_add_tcase(suite, tcase);
    return unit_run(suite);
}
