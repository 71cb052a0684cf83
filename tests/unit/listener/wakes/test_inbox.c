#include "wakes/inbox.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "registry/stats.h"
#include "settings/settings.h"
#include "unit.h"

/* ---- A clock, and a Redis, that do as they are told ------------------------------------------ */

static int64_t now = 1000000;

int64_t clock_monotonic_ms(void)
{
    return now;
}

int64_t clock_unix_ms(void)
{
    return 7; /* nobody is to take this for Redis's */
}

int64_t clock_unix_s(void)
{
    return 7;
}

#define SINCE 7

static struct redis_stub {
    bool away, clock_away;
    int64_t clock_ms;      /* less ours */
    unsigned connections;  /* made */
    unsigned clock_reads;  /* on all of them */
    unsigned own_reads;    /* from the start */
    bool asked, asked_own; /* and not answered yet */
    enum registry_result take_result;
    bool none_registered;
    size_t at_once; /* registrations that come with wakes */
    unsigned takes;
    int64_t score;
    struct wake own[8], fresh[8];
    size_t own_count, fresh_count;
    int fd[2]; /* [0] is readable when there is an answer */
} redis;

struct registry *registry_new(const struct settings *settings, struct stats *stats)
{
    (void)settings, (void)stats;
    return (struct registry *)&redis;
}

void registry_free(struct registry **registry)
{
    *registry = NULL;
}

void registry_disconnect(struct registry *registry)
{
    (void)registry;
    redis.asked = false;
    (void)close(redis.fd[0]);
    (void)close(redis.fd[1]);
    ck_assert_int_eq(pipe(redis.fd), 0);
}

int registry_fd(const struct registry *registry)
{
    (void)registry;
    return redis.fd[0];
}

enum registry_result registry_wakes_prepare(struct registry *registry)
{
    (void)registry;
    if (redis.away)
        return REGISTRY_UNAVAILABLE;
    redis.connections++;
    return REGISTRY_OK;
}

enum registry_result registry_time(struct registry *registry, int64_t *unix_ms)
{
    (void)registry;
    if (redis.away || redis.clock_away)
        return REGISTRY_UNAVAILABLE;
    redis.clock_reads++;
    *unix_ms = now + redis.clock_ms;
    return REGISTRY_OK;
}

enum registry_result registry_wakes_ask(struct registry *registry, const char *after,
                                        unsigned count, unsigned block_ms)
{
    (void)registry, (void)count, (void)block_ms;
    ck_assert(!redis.asked);
    if (redis.away)
        return REGISTRY_UNAVAILABLE;
    redis.asked = true;
    redis.asked_own = after != NULL;
    redis.own_reads += after != NULL && strcmp(after, "0") == 0;
    return REGISTRY_OK;
}

enum registry_result registry_wakes_collect(struct registry *registry, struct wake *wakes,
                                            size_t max, size_t *n, char *last_id)
{
    size_t *count = redis.asked_own ? &redis.own_count : &redis.fresh_count;
    char byte;

    (void)registry, (void)max;
    ck_assert_int_eq(read(redis.fd[0], &byte, 1), 1);
    redis.asked = false;
    memcpy(wakes, redis.asked_own ? redis.own : redis.fresh, *count * sizeof *wakes);
    if (*count > 0)
        memcpy(last_id, wakes[*count - 1].id, WAKE_ID_SIZE);
    *n = *count;
    *count = 0;
    return REGISTRY_OK;
}

enum registry_result registry_wakes_take(struct registry *registry, int64_t since_us,
                                         struct wake *taken, size_t n, bool *waits,
                                         struct registry_at_once *at_once)
{
    (void)registry;
    redis.takes++;
    at_once->n = 0;
    ck_assert_int_eq(since_us, SINCE);
    ck_assert(!redis.asked);
    if (redis.take_result != REGISTRY_OK)
        return redis.take_result;
    for (size_t i = 0; i < n; i++) {
        waits[i] = !redis.none_registered;
        taken[i].score_ms = ++redis.score;
        if (at_once->n < redis.at_once) {
            struct registration *registration = &at_once->registrations[at_once->n];

            (void)snprintf(registration->token, sizeof registration->token, "token-%zu", i);
            at_once->keys[at_once->n++] = taken[i].key;
        }
    }
    return REGISTRY_OK;
}

/* ---- The inbox ------------------------------------------------------------------------------ */

#define CLOCK_MS INT64_C(1700000000000)

static struct settings settings;
static struct stats stats;
static struct wake_queue *queue;
static struct inbox *inbox;
static unsigned wakes;

static uint64_t most(uint64_t limit)
{
    return limit;
}

static void restart(bool own)
{
    inbox_restart(inbox, SINCE, own);
}

static void setup(void)
{
    redis.clock_ms = CLOCK_MS;
    ck_assert_int_eq(pipe(redis.fd), 0);
    queue = wake_queue_new(100, 2, most);
    inbox = inbox_new(&settings, &stats);
    ck_assert_ptr_nonnull(inbox);
    restart(true);
}

static void teardown(void)
{
    inbox_free(&inbox);
    wake_queue_free(&queue);
}

static void run(void)
{
    (void)inbox_run(inbox, queue, now);
}

/* Redis answers what it was asked. */
static void answer(void)
{
    ck_assert(redis.asked);
    ck_assert_int_eq(write(redis.fd[1], "x", 1), 1);
    run();
}

/* A wake of pubkey number `who` that Redis has queued at `queued` and that is due after `wait`. */
static struct wake make(unsigned who, int64_t queued, int64_t wait)
{
    struct wake wake = {.via = WAKE_VIA_RELAY, .queued_ms = queued, .not_before_ms = queued + wait};

    (void)snprintf(wake.id, sizeof wake.id, "%u-0", ++wakes);
    (void)snprintf(wake.key.hex, sizeof wake.key.hex, "%064x", who);
    return wake;
}

static void start(void)
{
    run();
    answer(); /* our own: none */
    ck_assert(redis.asked && !redis.asked_own);
}

/* Redis hands out one new wake. */
static void hand_out(struct wake wake)
{
    redis.fresh[redis.fresh_count++] = wake;
    answer();
}

static void end_connection(void)
{
    redis.away = true;
    now += 10000; /* no answer in time */
    run();
    ck_assert(!redis.asked);
    redis.away = false;
    now += 10000;
    run();
    ck_assert(redis.asked);
}

START_TEST(our_own_are_read_first)
{
    redis.own[redis.own_count++] = make(1, CLOCK_MS, 0);
    run();
    ck_assert(redis.asked && redis.asked_own);
    answer();
    ck_assert_uint_eq(wake_queue_backlog(queue), 1);
    answer(); /* no more */
    ck_assert(redis.asked && !redis.asked_own);
    ck_assert_uint_eq(redis.own_reads, 1);
}
END_TEST

/* ---- Whose they are -------------------------------------------------------------------------- */

START_TEST(nothing_is_read_before_the_name_is_held)
{
    inbox_free(&inbox);
    inbox = inbox_new(&settings, &stats);
    ck_assert_int_eq(inbox_run(inbox, queue, now), INT64_MAX);
    ck_assert_uint_eq(redis.connections, 0);
    ck_assert(!redis.asked);
}
END_TEST

/* They are another process's as long as it lives. */
START_TEST(our_own_can_be_left_alone)
{
    redis.own[redis.own_count++] = make(1, CLOCK_MS, 0);
    restart(false);
    run();
    for (int i = 0; i < 5; i++) {
        ck_assert(redis.asked && !redis.asked_own);
        now += 2000;
        answer();
    }
    end_connection();
    ck_assert(redis.asked && !redis.asked_own);
    restart(true);
    run();
    ck_assert(redis.asked && redis.asked_own);
    answer();
    ck_assert_uint_eq(wake_queue_backlog(queue), 1);
    ck_assert_uint_eq(redis.own_reads, 1);
}
END_TEST

/* Nor what waits in Redis. */
START_TEST(what_waits_is_wanted_once_a_connection_if_it_is_ours)
{
    restart(false);
    run();
    ck_assert(!inbox_wants_restore(inbox));
    restart(true);
    ck_assert(!inbox_wants_restore(inbox));
    run();
    ck_assert(inbox_wants_restore(inbox));
    ck_assert(!inbox_wants_restore(inbox));
    answer();
    end_connection();
    ck_assert(inbox_wants_restore(inbox));
}
END_TEST

/* ---- Taking ---------------------------------------------------------------------------------- */

START_TEST(who_is_not_registered_waits_nowhere)
{
    start();
    redis.none_registered = true;
    hand_out(make(1, now + redis.clock_ms, 0));
    ck_assert_uint_eq(wake_queue_backlog(queue), 0);
    ck_assert_uint_eq(stats.pending[STAT_WAKES_UNREGISTERED], 1);
    ck_assert(redis.asked);
}
END_TEST

/* Until there is another lease they may be another listener's. */
START_TEST(nothing_is_read_when_the_lease_has_lapsed)
{
    start();
    redis.take_result = REGISTRY_LAPSED;
    hand_out(make(1, now + redis.clock_ms, 0));
    ck_assert_uint_eq(wake_queue_backlog(queue), 0);
    now += 60000;
    ck_assert_int_eq(inbox_run(inbox, queue, now), INT64_MAX);
    ck_assert(!redis.asked);
    redis.take_result = REGISTRY_OK;
    restart(true);
    run();
    ck_assert(redis.asked && redis.asked_own);
}
END_TEST

/* They may have been taken all the same, and wait; or are still to be taken. */
START_TEST(what_was_lost_with_an_answer_is_looked_for)
{
    start();
    ck_assert(inbox_wants_restore(inbox));
    redis.take_result = REGISTRY_UNAVAILABLE;
    hand_out(make(1, now + redis.clock_ms, 0));
    ck_assert(!inbox_wants_restore(inbox));
    redis.take_result = REGISTRY_OK;
    redis.own[redis.own_count++] = make(1, now + redis.clock_ms, 0);
    now += 1000;
    run();
    ck_assert(redis.asked && redis.asked_own);
    ck_assert(inbox_wants_restore(inbox));
    answer();
    ck_assert_uint_eq(wake_queue_backlog(queue), 1);
}
END_TEST

/* It was given before, and may be another's since. */
START_TEST(an_answer_to_the_connection_before_is_not_taken)
{
    start();
    redis.fresh[redis.fresh_count++] = make(1, now + redis.clock_ms, 0);
    ck_assert_int_eq(write(redis.fd[1], "x", 1), 1);
    restart(true);
    run();
    ck_assert_uint_eq(redis.connections, 2);
    ck_assert(redis.asked && redis.asked_own);
    ck_assert_uint_eq(wake_queue_backlog(queue), 0);
}
END_TEST

static const char *token_of(const struct wake *wake)
{
    const struct registration *registration = inbox_registration(inbox, &wake->key);

    return registration != NULL ? registration->token : "none";
}

/* In whatever order they are asked for. */
START_TEST(registrations_that_come_with_wakes_are_known_until_they_are_forgotten)
{
    struct wake each[3];

    start();
    redis.at_once = 2;
    for (unsigned i = 0; i < 3; i++)
        redis.fresh[redis.fresh_count++] = each[i] = make(i, now + redis.clock_ms, 0);
    answer();
    for (int twice = 0; twice < 2; twice++) {
        ck_assert_str_eq(token_of(&each[1]), "token-1");
        ck_assert_str_eq(token_of(&each[2]), "none");
        ck_assert_str_eq(token_of(&each[0]), "token-0");
    }
    inbox_forget_registrations(inbox);
    for (unsigned i = 0; i < 3; i++)
        ck_assert_str_eq(token_of(&each[i]), "none");
}
END_TEST

/* ---- Redis's clock --------------------------------------------------------------------------- */

START_TEST(no_wake_is_taken_before_the_clock_is_known)
{
    redis.clock_away = true;
    run();
    ck_assert(!redis.asked);
    redis.clock_away = false;
    now += 1000;
    run();
    ck_assert(redis.asked);
    ck_assert_uint_eq(redis.clock_reads, 1);
}
END_TEST

START_TEST(the_clock_is_read_anew_on_every_connection)
{
    start();
    redis.clock_ms += 3600000; /* another Redis has taken over */
    end_connection();
    answer();
    hand_out(make(1, now + redis.clock_ms, 2000));
    ck_assert_int_ge(wake_queue_next_ms(queue), now + 2000);
    ck_assert_int_le(wake_queue_next_ms(queue), now + 2100);
}
END_TEST

/* The server may hang up on us between two commands; the next may be to another. */
START_TEST(a_connection_that_ended_before_taking_is_a_new_one)
{
    start();
    redis.clock_ms += 3600000;
    redis.fresh[redis.fresh_count++] = make(1, now + redis.clock_ms, 0);
    ck_assert_int_eq(write(redis.fd[1], "xx", 2), 2);
    run();
    ck_assert_uint_eq(redis.takes, 0);
    now += 1000;
    run();
    ck_assert_uint_eq(redis.connections, 2);
    ck_assert_uint_eq(redis.clock_reads, 2);
    ck_assert(redis.asked && redis.asked_own);
}
END_TEST

START_TEST(the_clock_is_read_once_a_minute)
{
    start();
    for (int i = 0; i < 100; i++) {
        now += 2000;
        answer();
    }
    ck_assert_uint_ge(redis.clock_reads, 1 + 3);
    ck_assert_uint_le(redis.clock_reads, 1 + 4);
}
END_TEST

START_TEST(a_deferred_wake_is_not_taken_early)
{
    start();
    redis.clock_ms -= 40; /* ours is fast since they were compared */
    hand_out(make(1, now + redis.clock_ms, 2000));
    ck_assert_int_ge(wake_queue_next_ms(queue), now + 2000);
    ck_assert_int_le(wake_queue_next_ms(queue), now + 2100);
}
END_TEST

START_TEST(a_wake_that_is_not_deferred_is_due_at_once)
{
    start();
    redis.clock_ms += 40;
    hand_out(make(1, now + redis.clock_ms, 1));
    ck_assert_int_le(wake_queue_next_ms(queue), now);
}
END_TEST

/* Within the bounds of notify_delay.h, and not at one moment. */
START_TEST(the_wake_of_a_notify_is_due_at_a_moment_nobody_knows)
{
    enum { NOTIFIES = 60 };
    struct wake_target *target;
    int64_t first, last = 0;

    start();
    for (unsigned i = 0; i < NOTIFIES; i++) {
        struct wake wake = make(i, now + redis.clock_ms, 0);

        wake.via = WAKE_VIA_NOTIFY;
        hand_out(wake);
    }
    first = wake_queue_next_ms(queue);
    ck_assert_int_ge(first, now + 20);
    for (int64_t due = first; due != INT64_MAX; due = wake_queue_next_ms(queue)) {
        last = due;
        while (wake_queue_take(queue, WAKE_LANE_UNKNOWN, due, &target, 1) > 0)
            ;
    }
    ck_assert_int_le(last, now + 500);
    ck_assert_int_gt(last - first, 100);
}
END_TEST

/* Ids never go back, so they are ahead of a clock that was. */
START_TEST(a_clock_that_was_set_back_delays_no_wake)
{
    start();
    hand_out(make(1, now + redis.clock_ms + 3600000, -3600000));
    ck_assert_int_le(wake_queue_next_ms(queue), now + 100);
    answer();
    hand_out(make(2, now + redis.clock_ms + 3600000, -3600000 + 2000));
    (void)wake_queue_take(queue, WAKE_LANE_UNKNOWN, now + 100, &(struct wake_target *){NULL}, 1);
    ck_assert_int_ge(wake_queue_next_ms(queue), now + 2000);
    ck_assert_int_le(wake_queue_next_ms(queue), now + 2100);
}
END_TEST

/* ---- Our own once more ----------------------------------------------------------------------- */

/* A connection whose end Redis has not seen is still given entries until its question ends. */
START_TEST(our_own_are_read_again_when_no_old_connection_can_be_given_any)
{
    int64_t connected;

    start();
    end_connection();
    connected = now;
    answer();
    ck_assert_uint_eq(redis.own_reads, 2);
    redis.own[redis.own_count++] = make(1, now + redis.clock_ms, 0); /* given to the old one */
    while (redis.own_reads == 2) {
        now += 500;
        answer();
        ck_assert_int_le(now, connected + 5000);
    }
    ck_assert_int_ge(now, connected + 3000);
    answer();
    ck_assert_uint_eq(wake_queue_backlog(queue), 1);
    /* That is all. */
    for (int i = 0; i < 20; i++) {
        now += 2000;
        answer();
    }
    ck_assert_uint_eq(redis.own_reads, 3);
    ck_assert(inbox_wants_restore(inbox));
}
END_TEST

/* ---- Merging --------------------------------------------------------------------------------- */

START_TEST(wakes_that_need_not_wait_are_counted)
{
    start();
    hand_out(make(1, now + redis.clock_ms, 0));
    hand_out(make(1, now + redis.clock_ms, 1));
    ck_assert_uint_eq(stats.pending[STAT_WAKES_MERGED], 1);
    ck_assert_uint_eq(wake_queue_backlog(queue), 1);
}
END_TEST

UNIT_MAIN_WITH(
    "inbox", setup, teardown, our_own_are_read_first, nothing_is_read_before_the_name_is_held,
    our_own_can_be_left_alone, what_waits_is_wanted_once_a_connection_if_it_is_ours,
    who_is_not_registered_waits_nowhere, nothing_is_read_when_the_lease_has_lapsed,
    registrations_that_come_with_wakes_are_known_until_they_are_forgotten,
    what_was_lost_with_an_answer_is_looked_for, an_answer_to_the_connection_before_is_not_taken,
    no_wake_is_taken_before_the_clock_is_known, the_clock_is_read_anew_on_every_connection,
    a_connection_that_ended_before_taking_is_a_new_one, the_clock_is_read_once_a_minute,
    a_deferred_wake_is_not_taken_early, a_wake_that_is_not_deferred_is_due_at_once,
    the_wake_of_a_notify_is_due_at_a_moment_nobody_knows, a_clock_that_was_set_back_delays_no_wake,
    our_own_are_read_again_when_no_old_connection_can_be_given_any,
    wakes_that_need_not_wait_are_counted)
