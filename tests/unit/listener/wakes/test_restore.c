#include "wakes/restore.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "unit.h"

/* ---- A clock, and a Redis with pages of waiting wakes -----------------------------------------
 */

#define CLOCK_MS INT64_C(1700000000000) /* Redis's, when ours is 0 */
#define SINCE    7
#define PAGE     4

static int64_t now = 1000000;

int64_t clock_monotonic_ms(void)
{
    return now;
}

static struct redis_stub {
    enum registry_result result;
    struct wake waiting[16];
    unsigned count;
    unsigned calls;
} redis;

enum registry_result registry_wakes_waiting(struct registry *registry, int64_t since_us,
                                            char cursor[REGISTRY_CURSOR_SIZE],
                                            registry_waiting_fn *wake, void *arg)
{
    unsigned from = (unsigned)strtoul(cursor, NULL, 10), to = from + PAGE;

    (void)registry;
    ck_assert_int_eq(since_us, SINCE);
    redis.calls++;
    if (redis.result != REGISTRY_OK)
        return redis.result;
    for (unsigned i = from; i < to && i < redis.count; i++)
        wake(&redis.waiting[i], now + CLOCK_MS, arg);
    (void)snprintf(cursor, REGISTRY_CURSOR_SIZE, "%u", to < redis.count ? to : 0);
    return REGISTRY_OK;
}

/* ---- Restoring ------------------------------------------------------------------------------- */

static struct wake_queue *queue;
static struct restore restore;

static uint64_t most(uint64_t limit)
{
    return limit;
}

static void setup(void)
{
    queue = wake_queue_new(100, 2, most);
}

static void teardown(void)
{
    wake_queue_free(&queue);
}

/* One whose last wake is due after `wait`. */
static void wait_in_redis(int64_t wait)
{
    struct wake *wake = &redis.waiting[redis.count];

    *wake = (struct wake){.via = WAKE_VIA_RELAY, .score_ms = now + CLOCK_MS + wait};
    (void)snprintf(wake->key.hex, sizeof wake->key.hex, "%064x", ++redis.count);
}

static enum registry_result run(void)
{
    return restore_run(&restore, NULL, queue, now);
}

START_TEST(nothing_is_read_without_a_reason)
{
    wait_in_redis(0);
    ck_assert_int_eq(run(), REGISTRY_OK);
    ck_assert_uint_eq(redis.calls, 0);
    ck_assert(!restore_is_on(&restore));
}
END_TEST

START_TEST(all_pages_are_read_one_at_a_time)
{
    for (unsigned i = 0; i < 2 * PAGE + 1; i++)
        wait_in_redis(0);
    restore_begin(&restore, SINCE, now);
    for (unsigned page = 1; page <= 3; page++) {
        ck_assert(restore_is_on(&restore));
        ck_assert_int_le(restore.due_ms, now);
        ck_assert_int_eq(run(), REGISTRY_OK);
        ck_assert_uint_eq(redis.calls, page);
    }
    ck_assert(!restore_is_on(&restore));
    ck_assert_uint_eq(wake_queue_backlog(queue), 2 * PAGE + 1);
    restore_begin(&restore, SINCE, now); /* they are known */
    while (restore_is_on(&restore))
        ck_assert_int_eq(run(), REGISTRY_OK);
    ck_assert_uint_eq(wake_queue_backlog(queue), 2 * PAGE + 1);
}
END_TEST

START_TEST(a_page_that_failed_is_read_again)
{
    for (unsigned i = 0; i < PAGE + 1; i++)
        wait_in_redis(0);
    restore_begin(&restore, SINCE, now);
    ck_assert_int_eq(run(), REGISTRY_OK);
    redis.result = REGISTRY_UNAVAILABLE;
    ck_assert_int_eq(run(), REGISTRY_UNAVAILABLE);
    ck_assert(restore_is_on(&restore));
    redis.result = REGISTRY_OK;
    ck_assert_int_eq(run(), REGISTRY_OK);
    ck_assert(!restore_is_on(&restore));
    ck_assert_uint_eq(wake_queue_backlog(queue), PAGE + 1);
}
END_TEST

START_TEST(nothing_is_read_of_a_lease_that_has_lapsed)
{
    wait_in_redis(0);
    restore_begin(&restore, SINCE, now);
    redis.result = REGISTRY_LAPSED;
    ck_assert_int_eq(run(), REGISTRY_LAPSED);
    ck_assert(!restore_is_on(&restore));
}
END_TEST

/* What comes until then is covered by it. */
START_TEST(a_deferred_wake_is_not_early)
{
    wait_in_redis(2000);
    restore_begin(&restore, SINCE, now);
    (void)run();
    ck_assert_int_gt(wake_queue_next_ms(queue), now + 2000 + WAKE_SOON_MS);
    ck_assert_int_le(wake_queue_next_ms(queue), now + 2100);
}
END_TEST

START_TEST(what_was_due_is_due)
{
    wait_in_redis(-5000);
    restore_begin(&restore, SINCE, now);
    (void)run();
    ck_assert_int_le(wake_queue_next_ms(queue), now);
}
END_TEST

START_TEST(a_clock_that_was_set_back_delays_none_for_long)
{
    wait_in_redis(3600000);
    restore_begin(&restore, SINCE, now);
    (void)run();
    ck_assert_int_le(wake_queue_next_ms(queue), now + RESTORE_NO_LATER_MS);
}
END_TEST

UNIT_MAIN_WITH("restore", setup, teardown, nothing_is_read_without_a_reason,
               all_pages_are_read_one_at_a_time, a_page_that_failed_is_read_again,
               nothing_is_read_of_a_lease_that_has_lapsed, a_deferred_wake_is_not_early,
               what_was_due_is_due, a_clock_that_was_set_back_delays_none_for_long)
