#include "relay/event_budget.h"
#include "unit.h"

#define T0 INT64_C(5000000)

static struct event_budget budget;

/* Events that are taken at once, until the first pause. */
static unsigned take_all(int64_t now_ms)
{
    unsigned n = 0;

    while (event_budget_pause_ms(&budget, now_ms) == 0 && n < 100000) {
        event_budget_spend(&budget, now_ms);
        n++;
    }
    return n;
}

START_TEST(ten_seconds_worth_at_once_and_then_so_many_a_second)
{
    int64_t now = T0;
    unsigned taken = 0;

    event_budget_init(&budget, 500);
    ck_assert_uint_eq(take_all(now), 5000);
    while (now < T0 + 10000) {
        now += event_budget_pause_ms(&budget, now);
        taken += take_all(now);
    }
    ck_assert_uint_eq(taken, 5000);
    ck_assert_uint_eq(take_all(now + 20000), 5000);
}
END_TEST

START_TEST(pauses_are_not_for_each_event)
{
    event_budget_init(&budget, 500);
    (void)take_all(T0);
    ck_assert_int_eq(event_budget_pause_ms(&budget, T0), EVENT_BUDGET_PAUSE_MS);
    ck_assert_uint_eq(take_all(T0 + EVENT_BUDGET_PAUSE_MS), 50);
    event_budget_init(&budget, 1);
    ck_assert_uint_eq(take_all(T0), 10);
    ck_assert_int_eq(event_budget_pause_ms(&budget, T0), 1000);
    ck_assert_uint_eq(take_all(T0 + 999), 0);
    ck_assert_uint_eq(take_all(T0 + 1000), 1);
}
END_TEST

START_TEST(none_is_no_limit)
{
    event_budget_init(&budget, 0);
    ck_assert_uint_eq(take_all(T0), 100000);
}
END_TEST

UNIT_MAIN("event_budget", ten_seconds_worth_at_once_and_then_so_many_a_second,
          pauses_are_not_for_each_event, none_is_no_limit)
