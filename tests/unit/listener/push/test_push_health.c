#include "push/push_health.h"

#include "push/push.h"
#include "unit.h"

static struct push_health health;

static void setup(void)
{
    push_health_init(&health);
}

static uint64_t most(uint64_t limit)
{
    return limit;
}

static uint64_t least(uint64_t limit)
{
    (void)limit;
    return 0;
}

/* A push that took no time is answered a fault. */
static bool fault(push_endpoint_id endpoint, int64_t now)
{
    return push_health_fault(&health, endpoint, true, now, now, most);
}

static void bring_down(int64_t now)
{
    for (unsigned i = 1; i < PUSH_HEALTH_FAULTS; i++)
        ck_assert(!fault(i, now));
    ck_assert(fault(PUSH_HEALTH_FAULTS, now));
    ck_assert(push_health_is_down(&health));
}

START_TEST(it_is_in_a_row_that_faults_count)
{
    ck_assert_uint_eq(push_health_slots(&health, 0, 3, 10), 7);
    ck_assert(!fault(1, 0));
    ck_assert(!fault(2, 0));
    ck_assert(!push_health_good(&health, 3, 0));
    ck_assert(!fault(1, 0));
    ck_assert(!fault(2, 0));
    ck_assert(!push_health_is_down(&health));
    ck_assert(fault(3, 0));
    ck_assert(push_health_is_down(&health));
    ck_assert(!fault(4, 0)); /* it was before */
    ck_assert(push_health_good(&health, 4, 0));
    ck_assert(!push_health_good(&health, 4, 0));
    ck_assert_uint_eq(push_health_slots(&health, 0, 0, 10), 10);
}
END_TEST

/* Somebody's topic that is always answered 500 is no outage of those that share its host. */
START_TEST(an_endpoints_answers_count_once)
{
    for (int64_t now = 0; now < 100; now++) {
        ck_assert(!fault(1, now));
        ck_assert(!fault(2, now));
    }
    ck_assert(fault(3, 100));
}
END_TEST

/* Who does not answer is away, whichever endpoint it was asked for. */
START_TEST(silence_counts_each_time)
{
    ck_assert(!push_health_fault(&health, 1, false, 0, 0, most));
    ck_assert(!push_health_fault(&health, 1, false, 0, 0, most));
    ck_assert(push_health_fault(&health, 1, false, 0, 0, most));
}
END_TEST

/* At most 60 s apart, and an eighth of the outage: after a minute it is asked every few seconds. */
START_TEST(a_probe_at_a_time_asks_ever_more_rarely)
{
    int64_t now = 0, wait = 0;

    bring_down(now);
    for (int i = 0; i < 100; i++) {
        wait = health.probe_at_ms - now;
        ck_assert_int_ge(wait, PUSH_HEALTH_PROBE_LEAST_MS);
        ck_assert_int_le(wait, PUSH_HEALTH_PROBE_MOST_MS);
        ck_assert(wait == PUSH_HEALTH_PROBE_LEAST_MS || wait <= now / 8);
        ck_assert(i >= 6 || wait <= PUSH_HEALTH_PROBE_LEAST_MS << i);
        ck_assert_uint_eq(push_health_slots(&health, now + wait - 1, 0, 10), 0);
        now += wait;
        ck_assert_uint_eq(push_health_slots(&health, now, 0, 10), 1);
        ck_assert_uint_eq(push_health_slots(&health, now, 1, 10), 0);
        ck_assert(!fault(1, now));
    }
    ck_assert_int_eq(wait, PUSH_HEALTH_PROBE_MOST_MS);
    /* From the beginning, the next time. */
    ck_assert(push_health_good(&health, 1, now));
    bring_down(now);
    ck_assert_int_eq(health.probe_at_ms, now + PUSH_HEALTH_PROBE_LEAST_MS);
}
END_TEST

START_TEST(jitter_is_full)
{
    for (unsigned i = 1; i <= PUSH_HEALTH_FAULTS; i++)
        (void)push_health_fault(&health, i, true, 7, 7, least);
    ck_assert_int_eq(health.probe_at_ms, 7);
}
END_TEST

START_TEST(what_was_under_way_is_no_probe)
{
    bring_down(0);
    for (int64_t now = 0; now < 5000; now += 100)
        ck_assert(!push_health_fault(&health, 9, false, 0, now, most));
    ck_assert_int_eq(health.probe_at_ms, PUSH_HEALTH_PROBE_LEAST_MS);
    ck_assert(!push_health_fault(&health, 9, false, 1000, 6000, most));
    ck_assert_int_gt(health.probe_at_ms, 6000);
}
END_TEST

START_TEST(a_push_is_to_blame_while_others_succeed)
{
    ck_assert(!push_health_blames(&health, 1, INT64_MIN + 1));
    (void)push_health_good(&health, 1, 10);
    ck_assert(!push_health_blames(&health, 1, 0)); /* that was itself */
    ck_assert(push_health_blames(&health, 2, 10));
    ck_assert(!push_health_blames(&health, 2, 11));
    (void)push_health_good(&health, 2, 20);
    ck_assert(push_health_blames(&health, 1, 20));
    ck_assert(push_health_blames(&health, 2, 10));
    ck_assert(!push_health_blames(&health, 2, 11));
    (void)push_health_good(&health, 2, 30);
    ck_assert(push_health_blames(&health, 2, 10));
    ck_assert(push_health_blames(&health, 3, 30));
}
END_TEST

START_TEST(the_last_that_have_failed_are_suspects)
{
    for (unsigned i = 1; i <= PUSH_HEALTH_FAULTS + 1; i++)
        (void)fault(i, 0);
    ck_assert(!push_health_suspects(&health, 1));
    for (unsigned i = 2; i <= PUSH_HEALTH_FAULTS + 1; i++)
        ck_assert(push_health_suspects(&health, i));
    (void)push_health_good(&health, 2, 0);
    ck_assert(!push_health_suspects(&health, 3));
}
END_TEST

START_TEST(retries_come_after_the_times_that_the_contract_names)
{
    static const int64_t waits[] = {0, 1000, 5000, 25000, 120000, 300000, 300000};

    for (unsigned i = 0; i < sizeof waits / sizeof waits[0]; i++)
        ck_assert_int_eq(push_retry_most_ms(i), waits[i]);
    ck_assert_uint_eq(PUSH_TRIES_MAX, 6);
}
END_TEST

UNIT_MAIN_WITH("push_health", setup, NULL, it_is_in_a_row_that_faults_count,
               an_endpoints_answers_count_once, silence_counts_each_time,
               a_probe_at_a_time_asks_ever_more_rarely, jitter_is_full,
               what_was_under_way_is_no_probe, a_push_is_to_blame_while_others_succeed,
               the_last_that_have_failed_are_suspects,
               retries_come_after_the_times_that_the_contract_names)
