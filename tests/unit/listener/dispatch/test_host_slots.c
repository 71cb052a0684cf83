#include "dispatch/host_slots.h"

#include <stdio.h>
#include <string.h>

#include "base/expiring_set.h"
#include "unit.h"

#define SLOW 2

#define TARGETS (3 * HOST_SLOTS_MAX)

static struct host_slots *slots;
static struct wake_queue *queue;
static struct wake_target *targets[TARGETS];

static void setup(void)
{
    slots = host_slots_new(SLOW);
    queue = wake_queue_new(TARGETS, NULL);
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

static unsigned leave_at(const char *host, bool multiplexed, int64_t now)
{
    struct wake_list released = {0};
    unsigned n = 0;

    host_slots_leave(slots, host, multiplexed, now, &released);
    while (wake_list_shift(&released) != NULL)
        n++;
    return n;
}

static unsigned leave(const char *host, bool multiplexed)
{
    return leave_at(host, multiplexed, 0);
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

    /* One for one, and no more, until it shows that it speaks HTTP/2. */
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
    char name[UNIFIEDPUSH_HOST_MAX + 1];

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

UNIT_MAIN_WITH("host_slots", setup, teardown, a_host_has_as_many_slots_as_it_can_serve,
               a_name_has_a_length, the_last_to_leave_releases_all, an_endpoint_is_held_back_alone,
               slow_hosts_share_a_few_slots, a_host_becomes_slow_with_all_it_has_in_flight,
               a_host_is_slow_for_five_minutes, marks_are_bounded_and_the_oldest_go_first)
