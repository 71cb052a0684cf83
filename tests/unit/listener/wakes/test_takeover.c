#include "wakes/takeover.h"

#include "unit.h"

/* ---- A Redis with so many wakes of listeners that are gone ----------------------------------- */

static struct redis_stub {
    int64_t abandoned;
    enum registry_result result;
    unsigned calls;
    int64_t since_us; /* as it was told */
} redis;

enum registry_result registry_wakes_adopt(struct registry *registry, int64_t since_us,
                                          unsigned most, int64_t *adopted)
{
    (void)registry;
    redis.calls++;
    redis.since_us = since_us;
    *adopted = 0;
    if (redis.result != REGISTRY_OK)
        return redis.result;
    *adopted = redis.abandoned < (int64_t)most ? redis.abandoned : (int64_t)most;
    redis.abandoned -= *adopted;
    return REGISTRY_OK;
}

/* ---- Takeovers ------------------------------------------------------------------------------- */

static struct takeover takeover;

static int64_t run(int64_t now_ms)
{
    const unsigned before = redis.calls;
    int64_t adopted;
    enum registry_result result = takeover_run(&takeover, NULL, now_ms, &adopted);

    ck_assert_int_eq(result, redis.calls > before ? redis.result : REGISTRY_OK);
    return adopted;
}

START_TEST(nothing_is_taken_over_without_a_tenure)
{
    redis.abandoned = 1;
    ck_assert_int_eq(run(1000000), 0);
    ck_assert_uint_eq(redis.calls, 0);
}
END_TEST

START_TEST(every_tenure_begins_with_a_pause)
{
    redis.abandoned = 1;
    takeover_begin(&takeover, 7, 1000);
    ck_assert_int_eq(run(1000 + TAKEOVER_EVERY_MS - 1), 0);
    takeover_begin(&takeover, 8, 2000);
    ck_assert_int_eq(takeover.due_ms, 2000 + TAKEOVER_EVERY_MS);
    ck_assert_int_eq(run(2000 + TAKEOVER_EVERY_MS - 1), 0);
    ck_assert_uint_eq(redis.calls, 0);
    ck_assert_int_eq(run(2000 + TAKEOVER_EVERY_MS), 1);
    ck_assert_int_eq(redis.since_us, 8);
}
END_TEST

START_TEST(it_looks_every_few_seconds)
{
    takeover_begin(&takeover, 7, 0);
    for (int64_t now = 0; now <= 60000; now += 100)
        ck_assert_int_eq(run(now), 0);
    ck_assert_uint_eq(redis.calls, 60000 / TAKEOVER_EVERY_MS);
}
END_TEST

START_TEST(many_come_in_pages_one_at_once_after_the_other)
{
    const int64_t now = TAKEOVER_EVERY_MS;

    redis.abandoned = 3 * TAKEOVER_PAGE + 5;
    takeover_begin(&takeover, 7, 0);
    for (unsigned page = 1; page <= 3; page++) {
        ck_assert_int_eq(run(now), 0);
        ck_assert_uint_eq(redis.calls, page);
        ck_assert_int_le(takeover.due_ms, now);
    }
    ck_assert_int_eq(run(now), 3 * TAKEOVER_PAGE + 5);
    ck_assert_int_eq(takeover.due_ms, now + TAKEOVER_EVERY_MS);
    ck_assert_int_eq(run(now + TAKEOVER_EVERY_MS), 0);
}
END_TEST

START_TEST(a_failure_between_pages_forgets_none)
{
    const int64_t now = TAKEOVER_EVERY_MS;

    redis.abandoned = TAKEOVER_PAGE + 1;
    takeover_begin(&takeover, 7, 0);
    ck_assert_int_eq(run(now), 0);
    redis.result = REGISTRY_UNAVAILABLE;
    ck_assert_int_eq(run(now), 0);
    redis.result = REGISTRY_OK;
    ck_assert_int_eq(run(now + TAKEOVER_EVERY_MS), TAKEOVER_PAGE + 1);
}
END_TEST

/* It may fail for good, and everything else has to go on. */
START_TEST(a_failure_is_not_repeated_at_once)
{
    redis.result = REGISTRY_UNAVAILABLE;
    takeover_begin(&takeover, 7, 0);
    for (int64_t now = 0; now <= 60000; now += 100)
        ck_assert_int_eq(run(now), 0);
    ck_assert_uint_eq(redis.calls, 60000 / TAKEOVER_EVERY_MS);
}
END_TEST

UNIT_MAIN("takeover", nothing_is_taken_over_without_a_tenure, every_tenure_begins_with_a_pause,
          it_looks_every_few_seconds, many_come_in_pages_one_at_once_after_the_other,
          a_failure_between_pages_forgets_none, a_failure_is_not_repeated_at_once)
