#include "wakes/pauses.h"

#include "base/clock.h"
#include "unit.h"

/* ---- A clock, and a Redis that has been paused ------------------------------------------------
 */

#define CLOCK_MS INT64_C(1700000000000) /* Redis's, when ours is 0 */

static int64_t now = 1000000;

int64_t clock_monotonic_ms(void)
{
    return now;
}

static struct redis_stub {
    enum registry_result result;
    bool held;
    struct registry_pause pauses[2];
    size_t count;
    unsigned calls;
} redis;

enum registry_result registry_pauses(struct registry *registry, int64_t *redis_ms, bool *held,
                                     struct registry_pause *pauses, size_t *n)
{
    (void)registry;
    redis.calls++;
    *redis_ms = now + CLOCK_MS;
    *held = redis.held;
    *n = redis.count;
    for (size_t i = 0; i < redis.count; i++)
        pauses[i] = redis.pauses[i];
    return redis.result;
}

static struct pauses pauses;

START_TEST(it_is_looked_at_once_a_second)
{
    for (int64_t end = now + 10000; now < end; now += 100)
        ck_assert_int_eq(pauses_run(&pauses, NULL, now), REGISTRY_OK);
    ck_assert_uint_eq(redis.calls, 10);
    ck_assert(!pauses.held);
    redis.held = true;
    now += PAUSES_EVERY_MS;
    ck_assert_int_eq(pauses_run(&pauses, NULL, now), REGISTRY_OK);
    ck_assert(pauses.held);
}
END_TEST

/* What one may do who cannot ask is what he did before. */
START_TEST(it_stays_as_it_was_while_redis_is_away)
{
    redis.held = true;
    (void)pauses_run(&pauses, NULL, now);
    redis.held = false;
    redis.result = REGISTRY_UNAVAILABLE;
    now += PAUSES_EVERY_MS;
    ck_assert_int_eq(pauses_run(&pauses, NULL, now), REGISTRY_UNAVAILABLE);
    ck_assert(pauses.held);
}
END_TEST

START_TEST(what_was_held_of_a_time_is_added_up)
{
    redis.pauses[0] = (struct registry_pause){now + CLOCK_MS - 5000, now + CLOCK_MS - 4000};
    redis.pauses[1] = (struct registry_pause){now + CLOCK_MS - 1000, INT64_MAX};
    redis.count = 2;
    (void)pauses_run(&pauses, NULL, now);
    ck_assert_int_eq(pauses_between(&pauses, now - 10000, now - 6000), 0);
    ck_assert_int_eq(pauses_between(&pauses, now - 10000, now), 2000);
    ck_assert_int_eq(pauses_between(&pauses, now - 4500, now - 500), 1000);
    ck_assert_int_eq(pauses_between(&pauses, now - 500, now + 500), 1000);
    ck_assert_int_eq(pauses_between(&pauses, now - 4700, now - 4600), 100);
}
END_TEST

UNIT_MAIN("pauses", it_is_looked_at_once_a_second, it_stays_as_it_was_while_redis_is_away,
          what_was_held_of_a_time_is_added_up)
