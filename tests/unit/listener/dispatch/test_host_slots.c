#include "dispatch/host_slots.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/expiring_set.h"
#include "unit.h"

#define SLOW 2

#define TARGETS (3 * HOST_SLOTS_MAX)
#define MORE    (3 * HOST_SLOTS_CALLED)

static struct host_slots *slots;
static struct wake_queue *queue;
static struct wake_target *targets[TARGETS];

static void setup(void)
{
    slots = host_slots_new(SLOW);
    queue = wake_queue_new(TARGETS + MORE, 2, NULL);
    for (unsigned i = 0; i < TARGETS; i++) {
        struct wake wake = {.via = WAKE_VIA_RELAY};
        unsigned merged;

        (void)snprintf(wake.id, sizeof wake.id, "%u-0", i);
        (void)snprintf(wake.key.hex, sizeof wake.key.hex, "%064x", i);
        ck_assert_int_eq(wake_queue_add(queue, &wake, 0, 0, &merged), WAKE_ADDED);
    }
    ck_assert_uint_eq(wake_queue_take(queue, WAKE_LANE_UNKNOWN, 0, targets, TARGETS), TARGETS);
}

static void teardown(void)
{
    host_slots_free(&slots);
    ck_assert_ptr_null(slots);
    wake_queue_free(&queue);
}

/* Has targets enter "a:443" until one has to wait; returns how many came in before it. */
static unsigned enter_all(unsigned *next)
{
    for (unsigned n = 0;; n++)
        if (host_slots_enter(slots, "a:443", targets[(*next)++], 0) == HOST_WAITS)
            return n;
}

static unsigned length(struct wake_list *list)
{
    unsigned n = 0;

    while (wake_list_shift(list) != NULL)
        n++;
    return n;
}

static unsigned leave_with(const char *host, const struct push_result *result, int64_t now)
{
    struct wake_list released = {0};

    host_slots_leave(slots, host, result, now, &released);
    return length(&released);
}

static unsigned leave_at(const char *host, bool takes_many, int64_t now)
{
    const struct push_result delivered = {
        .outcome = PUSH_DELIVERED, .answered = true, .takes_many = takes_many};

    return leave_with(host, &delivered, now);
}

static unsigned leave(const char *host, bool takes_many)
{
    return leave_at(host, takes_many, 0);
}

static enum host_entry enter(const char *host, unsigned i, int64_t now)
{
    return host_slots_enter(slots, host, targets[i], now);
}

/* One push to this host times out. */
static void time_out(const char *host, int64_t now)
{
    ck_assert_int_eq(enter(host, 0, now), HOST_ENTERED);
    host_slots_was_slow(slots, host, now);
    ck_assert_uint_eq(leave_at(host, false, now), 0);
}

START_TEST(a_host_has_as_many_slots_as_it_can_serve)
{
    unsigned next = 0;

    ck_assert_uint_eq(enter_all(&next), HOST_SLOTS_FIRST);
    ck_assert_int_eq(host_slots_enter(slots, "b:443", targets[0], 0), HOST_ENTERED);
    ck_assert_uint_eq(leave("b:443", true), 0);

    /* One for one, and no more, until it has answered. */
    ck_assert_uint_eq(leave("a:443", false), 1);
    ck_assert_uint_eq(enter_all(&next), 1);
    for (unsigned i = 0; i < HOST_SLOTS_MAX; i++)
        ck_assert_int_eq(host_slots_enter(slots, "a:443", targets[next++], 0), HOST_WAITS);
    ck_assert_uint_eq(leave("a:443", true), 1 + HOST_SLOTS_MAX - HOST_SLOTS_FIRST);
    ck_assert_uint_eq(enter_all(&next), 1 + HOST_SLOTS_MAX - HOST_SLOTS_FIRST);
    ck_assert_uint_eq(leave("a:443", true), 1);
}
END_TEST

START_TEST(a_name_has_a_length)
{
    char name[PUSH_HOST_MAX + 1];

    memset(name, 'a', sizeof name);
    name[sizeof name - 1] = '\0';
    ck_assert_int_eq(enter(name, 0, 0), HOST_NO_MEMORY);
    name[sizeof name - 2] = '\0';
    ck_assert_int_eq(enter(name, 0, 0), HOST_ENTERED);
    ck_assert_uint_eq(leave(name, false), 0);
}
END_TEST

/* Whoever is released may have gone elsewhere, so the last one out lets everybody in. */
START_TEST(the_last_to_leave_releases_all)
{
    unsigned next = 0;

    ck_assert_uint_eq(enter_all(&next), HOST_SLOTS_FIRST);
    while (next < TARGETS)
        ck_assert_int_eq(host_slots_enter(slots, "a:443", targets[next++], 0), HOST_WAITS);
    for (unsigned i = 1; i < HOST_SLOTS_FIRST; i++)
        ck_assert_uint_eq(leave("a:443", false), 1);
    ck_assert_uint_eq(leave("a:443", false), TARGETS - 2 * HOST_SLOTS_FIRST + 1);
}
END_TEST

START_TEST(an_endpoint_is_held_back_alone)
{
    char one[HOST_SLOTS_ENDPOINT_SIZE], other[HOST_SLOTS_ENDPOINT_SIZE];

    host_slots_endpoint(one, "https://push.example.org/up1");
    host_slots_endpoint(other, "https://push.example.org/up2");
    host_slots_hold(slots, one, 500, 0);
    ck_assert_int_eq(host_slots_held_until(slots, one, 499), 500);
    ck_assert_int_eq(host_slots_held_until(slots, other, 499), INT64_MIN);
    ck_assert_int_eq(host_slots_held_until(slots, one, 500), INT64_MIN);
    host_slots_hold(slots, one, 400, 0); /* never shortened */
    ck_assert_int_eq(host_slots_held_until(slots, one, 0), 500);
    host_slots_hold(slots, other, 900, 600);
    ck_assert_int_eq(host_slots_held_until(slots, one, 0), INT64_MIN); /* forgotten */
    ck_assert_int_eq(host_slots_held_until(slots, other, 600), 900);
}
END_TEST

/* ---- Slow hosts ------------------------------------------------------------------------------ */

START_TEST(slow_hosts_share_a_few_slots)
{
    const char *const hosts[] = {"a:443", "b:443", "c:443", "d:443"};
    unsigned next = 0;

    for (unsigned i = 0; i < 4; i++)
        time_out(hosts[i], 0);
    ck_assert_int_eq(enter("a:443", next++, 1), HOST_ENTERED);
    ck_assert_int_eq(enter("b:443", next++, 1), HOST_ENTERED);
    for (unsigned i = 0; i < 4; i++)
        ck_assert_int_eq(enter(hosts[i], next++, 1), HOST_WAITS);
    ck_assert_int_eq(enter("good:443", next++, 1), HOST_ENTERED);
    ck_assert_uint_eq(leave_at("good:443", true, 1), 0);
    ck_assert_uint_eq(leave_at("a:443", false, 2), 1);
    ck_assert_int_eq(enter("c:443", next++, 2), HOST_ENTERED);
    ck_assert_int_eq(enter("c:443", next++, 2), HOST_WAITS);
    /* Both slots are left unused by whoever was called, so the last one calls all. */
    ck_assert_uint_eq(leave_at("c:443", false, 3), 1);
    ck_assert_uint_eq(leave_at("b:443", false, 3), 3);
}
END_TEST

START_TEST(a_host_becomes_slow_with_all_it_has_in_flight)
{
    unsigned next = 0;

    time_out("b:443", 0);
    for (unsigned i = 0; i < HOST_SLOTS_FIRST; i++)
        ck_assert_int_eq(enter("a:443", next++, 0), HOST_ENTERED);
    host_slots_was_slow(slots, "a:443", 1);
    ck_assert_int_eq(enter("b:443", next++, 1), HOST_WAITS);
    for (unsigned i = HOST_SLOTS_FIRST; i > SLOW; i--)
        ck_assert_uint_eq(leave_at("a:443", false, 1), 0);
    ck_assert_int_eq(enter("a:443", next++, 1), HOST_WAITS);
    ck_assert_uint_eq(leave_at("a:443", false, 1), 1);
}
END_TEST

START_TEST(a_host_is_slow_for_five_minutes)
{
    unsigned next = 0;

    time_out("a:443", 0);
    time_out("b:443", 1000);
    ck_assert_int_eq(enter("b:443", next++, 2000), HOST_ENTERED);
    ck_assert_int_eq(enter("b:443", next++, 2000), HOST_ENTERED);
    ck_assert_int_eq(enter("a:443", next++, HOST_SLOTS_SLOW_MS - 1), HOST_WAITS);
    ck_assert_int_eq(enter("a:443", next++, HOST_SLOTS_SLOW_MS), HOST_ENTERED);
    /* One with pushes in flight all the time is let off, too, and calls who waited for it. */
    ck_assert_uint_eq(leave_at("b:443", false, HOST_SLOTS_SLOW_MS + 1000), 1);
    for (unsigned i = 1; i < HOST_SLOTS_FIRST; i++)
        ck_assert_int_eq(enter("b:443", next++, HOST_SLOTS_SLOW_MS + 1000), HOST_ENTERED);
    /* What it has in flight is no part of the slow ones' share. */
    time_out("c:443", HOST_SLOTS_SLOW_MS + 1000);
    ck_assert_int_eq(enter("c:443", next++, HOST_SLOTS_SLOW_MS + 1000), HOST_ENTERED);
    ck_assert_int_eq(enter("c:443", next++, HOST_SLOTS_SLOW_MS + 1000), HOST_ENTERED);
}
END_TEST

/* ---- Hosts that are held ----------------------------------------------------------------------
 */

static const struct push_result held_back = {
    .outcome = PUSH_HELD_BACK, .answered = true, .holds_host = true, .retry_after_ms = -1};

/* A push to "a:443" is answered that there are too many; returns for how long it waits. */
static int64_t refuse(int64_t now, unsigned *released)
{
    int64_t until = host_slots_hold_host(slots, "a:443", now);

    *released = leave_with("a:443", &held_back, now);
    return until - now;
}

/* Returns how many are called, and when there may be more. */
static unsigned run(int64_t now, int64_t *next)
{
    struct wake_list released = {0};

    *next = host_slots_run(slots, now, &released);
    return length(&released);
}

START_TEST(a_held_host_calls_nobody_before_its_time)
{
    unsigned next = 0, released;
    int64_t again;

    ck_assert_uint_eq(enter_all(&next), HOST_SLOTS_FIRST);
    for (unsigned i = 0; i < HOST_SLOTS_FIRST; i++) {
        ck_assert_int_eq(refuse(100 + i, &released), HOST_SLOTS_HOLD_LEAST_MS - i);
        ck_assert_uint_eq(released, 0);
    }
    for (unsigned i = 0; i < 20; i++)
        ck_assert_int_eq(enter("a:443", next++, 200), HOST_WAITS);
    ck_assert_int_eq(enter("b:443", next++, 200), HOST_ENTERED);
    ck_assert_uint_eq(leave("b:443", false), 0);
    ck_assert_uint_eq(run(99 + HOST_SLOTS_HOLD_LEAST_MS, &again), 0);
    ck_assert_int_eq(again, 100 + HOST_SLOTS_HOLD_LEAST_MS);
    ck_assert_uint_eq(run(again, &again), 21);
}
END_TEST

START_TEST(afterwards_it_shows_how_many_it_takes)
{
    unsigned next = 0, released;
    int64_t now = HOST_SLOTS_HOLD_LEAST_MS, again;

    ck_assert_int_eq(enter("a:443", next++, 0), HOST_ENTERED);
    (void)refuse(0, &released);
    for (unsigned allowed = 1; allowed < HOST_SLOTS_FIRST; allowed *= 2) {
        for (unsigned i = 0; i < allowed; i++)
            ck_assert_int_eq(enter("a:443", next++, now), HOST_ENTERED);
        for (unsigned i = 0; i < HOST_SLOTS_FIRST; i++)
            ck_assert_int_eq(enter("a:443", next++, now), HOST_WAITS);
        for (unsigned i = 1; i < allowed; i++)
            ck_assert_uint_eq(leave_with("a:443", NULL, now), 1);
        ck_assert_uint_gt(leave_at("a:443", false, now), 1);
        (void)run(now + HOST_SLOTS_CALL_AGAIN_MS, &again);
    }
    ck_assert_int_eq(enter("a:443", 0, now), HOST_ENTERED);
    next = 0;
    ck_assert_uint_eq(enter_all(&next), HOST_SLOTS_FIRST - 1);
}
END_TEST

START_TEST(a_host_that_says_nothing_else_is_held_for_longer)
{
    static const int64_t holds[] = {5000, 10000, 20000, 40000, 60000, 60000};
    int64_t now = 0, again;
    unsigned released;

    for (unsigned round = 0; round < 2; round++) {
        for (size_t i = 0; i < sizeof holds / sizeof holds[0]; i++) {
            ck_assert_int_eq(enter("a:443", 0, now), HOST_ENTERED);
            ck_assert_int_eq(refuse(now, &released), holds[i]);
            now += holds[i];
            ck_assert_uint_eq(run(now, &again), 0);
        }
        /* It takes one: from the beginning. */
        ck_assert_int_eq(enter("a:443", 0, now), HOST_ENTERED);
        ck_assert_uint_eq(leave_at("a:443", false, now), 0);
    }
}
END_TEST

START_TEST(a_failure_shows_nothing_of_how_many_it_takes)
{
    static const struct push_result failures[] = {
        {.outcome = PUSH_BACKEND_FAULT, .answered = true},
        {.outcome = PUSH_BACKEND_FAULT},
        {.outcome = PUSH_CANCELLED},
        {.outcome = PUSH_HELD_BACK, .answered = true, .retry_after_ms = 1000},
    };
    int64_t now = 5000;
    unsigned released;

    ck_assert_int_eq(enter("a:443", 0, 0), HOST_ENTERED);
    (void)refuse(0, &released);
    for (size_t i = 0; i < sizeof failures / sizeof failures[0]; i++) {
        ck_assert_int_eq(enter("a:443", 0, now), HOST_ENTERED);
        ck_assert_int_eq(enter("a:443", 1, now), HOST_WAITS);
        ck_assert_uint_eq(leave_with("a:443", &failures[i], now), 1);
    }
    ck_assert_int_eq(enter("a:443", 0, now), HOST_ENTERED);
    ck_assert_int_eq(refuse(now, &released), 10000);
}
END_TEST

/* What was under way when it was held is no news, whichever way it ends. */
START_TEST(what_was_under_way_lengthens_no_hold)
{
    unsigned released;

    for (unsigned i = 0; i < 3; i++)
        ck_assert_int_eq(enter("a:443", i, 0), HOST_ENTERED);
    ck_assert_int_eq(refuse(0, &released), 5000);
    ck_assert_uint_eq(leave_at("a:443", false, 1), 0);
    ck_assert_int_eq(refuse(4999, &released), 1);
    ck_assert_int_eq(enter("a:443", 0, 5000), HOST_ENTERED);
    ck_assert_int_eq(enter("a:443", 1, 5000), HOST_WAITS);
    ck_assert_int_eq(refuse(5000, &released), 10000);
}
END_TEST

/* Those that are called may have gone elsewhere, so the next are called without them. */
START_TEST(those_who_wait_are_called_until_one_enters)
{
    struct wake_target *many[MORE];
    int64_t now = 5000, again;
    unsigned released;

    for (unsigned i = 0; i < MORE; i++) {
        struct wake wake = {.via = WAKE_VIA_RELAY};
        unsigned merged;

        (void)snprintf(wake.id, sizeof wake.id, "%u-1", i);
        (void)snprintf(wake.key.hex, sizeof wake.key.hex, "%064x", 1000 + i);
        ck_assert_int_eq(wake_queue_add(queue, &wake, 0, 0, &merged), WAKE_ADDED);
    }
    ck_assert_uint_eq(wake_queue_take(queue, WAKE_LANE_UNKNOWN, 0, many, MORE), MORE);
    ck_assert_int_eq(enter("a:443", 0, 0), HOST_ENTERED);
    (void)refuse(0, &released);
    for (unsigned i = 0; i < MORE; i++)
        ck_assert_int_eq(host_slots_enter(slots, "a:443", many[i], 1), HOST_WAITS);
    ck_assert_uint_eq(run(now, &again), HOST_SLOTS_CALLED);
    ck_assert_int_eq(again, now + HOST_SLOTS_CALL_AGAIN_MS);
    ck_assert_uint_eq(run(again, &again), HOST_SLOTS_CALLED);
    now = again;
    ck_assert_int_eq(enter("a:443", 0, now), HOST_ENTERED);
    ck_assert_uint_eq(run(now + 1000000, &again), 0);
    ck_assert_int_eq(again, INT64_MAX);
    ck_assert_uint_eq(leave_at("a:443", false, now), HOST_SLOTS_CALLED);
    ck_assert_uint_eq(run(now + HOST_SLOTS_HOLD_KEPT_MS, &again), 0);
    ck_assert_int_eq(again, INT64_MAX);
}
END_TEST

/* Strangers choose the hosts. */
START_TEST(so_many_hosts_are_held_and_no_more)
{
    struct wake_list released = {0};
    char host[32];
    int64_t again;

    for (unsigned i = 0; i <= HOST_SLOTS_HELD_MAX; i++) {
        (void)snprintf(host, sizeof host, "h%u:443", i);
        ck_assert_int_eq(enter(host, 0, 0), HOST_ENTERED);
        ck_assert_int_eq(host_slots_hold_host(slots, host, 0), 5000);
        host_slots_leave(slots, host, &held_back, 0, &released);
    }
    ck_assert_int_eq(enter("h0:443", 0, 1), HOST_WAITS);
    ck_assert_int_eq(enter(host, 1, 1), HOST_ENTERED);
    ck_assert_uint_eq(leave_at(host, false, 1), 0);
    /* They are forgotten in time. */
    ck_assert_uint_eq(run(5000, &again), 1);
    ck_assert_uint_eq(run(5000 + HOST_SLOTS_HOLD_KEPT_MS, &again), 0);
    ck_assert_int_eq(again, INT64_MAX);
    ck_assert_int_eq(enter(host, 0, 100000), HOST_ENTERED);
    ck_assert_int_eq(host_slots_hold_host(slots, host, 100000), 105000);
    ck_assert_int_eq(enter(host, 1, 100001), HOST_WAITS);
}
END_TEST

/* Who takes as many as ever is no longer one of them. */
START_TEST(a_host_that_recovers_makes_room_for_another)
{
    int64_t now = 0;
    unsigned released;

    for (unsigned i = 0; i <= HOST_SLOTS_HELD_MAX; i++) {
        ck_assert_int_eq(enter("a:443", 0, now), HOST_ENTERED);
        ck_assert_int_eq(refuse(now, &released), HOST_SLOTS_HOLD_LEAST_MS);
        ck_assert_int_eq(enter("a:443", 0, now), HOST_WAITS);
        now += HOST_SLOTS_HOLD_LEAST_MS;
        for (unsigned allowed = 1; allowed < HOST_SLOTS_FIRST; allowed *= 2) {
            ck_assert_int_eq(enter("a:443", 0, now), HOST_ENTERED);
            (void)leave_at("a:443", false, now);
        }
    }
}
END_TEST

START_TEST(a_slow_host_can_be_held_as_well)
{
    unsigned released;
    int64_t again;

    time_out("b:443", 0);
    time_out("a:443", 0);
    ck_assert_int_eq(enter("a:443", 0, 1), HOST_ENTERED);
    ck_assert_int_eq(enter("a:443", 1, 1), HOST_ENTERED);
    ck_assert_int_eq(enter("b:443", 2, 1), HOST_WAITS);
    (void)refuse(1, &released);
    ck_assert_uint_eq(released, 1); /* the other one's */
    ck_assert_int_eq(enter("b:443", 2, 1), HOST_ENTERED);
    ck_assert_int_eq(enter("a:443", 3, 1), HOST_WAITS);
    (void)refuse(1, &released);
    ck_assert_uint_eq(released, 0);
    ck_assert_uint_eq(run(5001, &again), 1);
    ck_assert_int_eq(enter("a:443", 3, 5001), HOST_ENTERED);
    ck_assert_int_eq(enter("a:443", 4, 5001), HOST_WAITS);
    ck_assert_int_eq(enter("c:443", 5, 5001), HOST_ENTERED);
    host_slots_was_slow(slots, "c:443", 5001);
    ck_assert_int_eq(enter("b:443", 6, 5001), HOST_WAITS);
}
END_TEST

/* It is remembered after its hold, but not as a slow one any more. */
START_TEST(a_held_host_is_slow_for_five_minutes)
{
    const int64_t late = HOST_SLOTS_SLOW_MS - 1;
    unsigned released;

    time_out("a:443", 0);
    ck_assert_int_eq(enter("a:443", 0, late), HOST_ENTERED);
    (void)refuse(late, &released);
    time_out("b:443", late);
    ck_assert_int_eq(enter("b:443", 1, late), HOST_ENTERED);
    ck_assert_int_eq(enter("b:443", 2, late), HOST_ENTERED);
    ck_assert_int_eq(enter("a:443", 0, late + HOST_SLOTS_HOLD_LEAST_MS), HOST_ENTERED);
}
END_TEST

/* ---- marks ----------------------------------------------------------------------------------- */

START_TEST(marks_are_bounded_and_the_oldest_go_first)
{
    struct expiring_set *marks = expiring_set_new(3);

    expiring_set_set(marks, "a", 100, 0);
    expiring_set_set(marks, "b", 100, 0);
    expiring_set_set(marks, "c", 100, 0);
    expiring_set_set(marks, "a", 50, 0); /* not shortened, but the newest now */
    expiring_set_set(marks, "d", 200, 0);
    ck_assert_uint_eq(expiring_set_count(marks), 3);
    ck_assert_int_eq(expiring_set_until(marks, "a", 99), 100);
    ck_assert_int_eq(expiring_set_until(marks, "b", 99), INT64_MIN);
    ck_assert_int_eq(expiring_set_until(marks, "c", 100), INT64_MIN);
    expiring_set_set(marks, "e", 300, 100); /* a and c are over */
    ck_assert_uint_eq(expiring_set_count(marks), 2);
    ck_assert_int_eq(expiring_set_until(marks, "d", 199), 200);
    ck_assert_int_eq(expiring_set_until(marks, "e", 299), 300);
    expiring_set_free(&marks);
    ck_assert_ptr_null(marks);
}
END_TEST

/* ---- Broken promises ------------------------------------------------------------------------- */

static void leave_what_nobody_entered(void)
{
    struct wake_list released = {0};

    host_slots_leave(slots, "a:443", NULL, 0, &released);
}

static void leave_twice(void)
{
    (void)enter("a:443", 0, 0);
    (void)host_slots_hold_host(slots, "a:443", 0); /* so that it is remembered */
    leave_what_nobody_entered();
    leave_what_nobody_entered();
}

static void slow_without_a_push(void)
{
    host_slots_was_slow(slots, "a:443", 0);
}

static void held_without_a_push(void)
{
    (void)host_slots_hold_host(slots, "a:443", 0);
}

/* No such host, or none with a push in flight. */
START_TEST(a_host_that_nobody_is_in_ends_the_process)
{
    static void (*const misuses[])(void) = {leave_what_nobody_entered, leave_twice,
                                            slow_without_a_push, held_without_a_push};

    misuses[_i]();
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {a_host_has_as_many_slots_as_it_can_serve,
                                  a_name_has_a_length,
                                  the_last_to_leave_releases_all,
                                  an_endpoint_is_held_back_alone,
                                  slow_hosts_share_a_few_slots,
                                  a_host_becomes_slow_with_all_it_has_in_flight,
                                  a_host_is_slow_for_five_minutes,
                                  a_held_host_calls_nobody_before_its_time,
                                  afterwards_it_shows_how_many_it_takes,
                                  a_host_that_says_nothing_else_is_held_for_longer,
                                  a_failure_shows_nothing_of_how_many_it_takes,
                                  what_was_under_way_lengthens_no_hold,
                                  those_who_wait_are_called_until_one_enters,
                                  so_many_hosts_are_held_and_no_more,
                                  a_host_that_recovers_makes_room_for_another,
                                  a_slow_host_can_be_held_as_well,
                                  a_held_host_is_slow_for_five_minutes,
                                  marks_are_bounded_and_the_oldest_go_first};
    Suite *suite = suite_create("host_slots");
    TCase *tcase = tcase_create("host_slots");

    tcase_add_checked_fixture(tcase, setup, teardown);
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++)
        tcase_add_test(tcase, tests[i]);
    tcase_add_loop_test_raise_signal(tcase, a_host_that_nobody_is_in_ends_the_process, SIGABRT, 0,
                                     4);
    suite_add_tcase(suite, tcase);
    return unit_run(suite);
}
