#include "nostr/relay_backoff.h"
#include "unit.h"

START_TEST(doubles_from_least_to_most)
{
    static const int64_t want[] = {5000, 10000, 20000, 40000, 60000, 60000};
    struct relay_backoff backoff = {0};

    for (size_t i = 0; i < sizeof want / sizeof *want; i++)
        ck_assert_int_eq(relay_backoff_failed(&backoff, 0, 0), want[i]);
}
END_TEST

START_TEST(is_jittered_by_up_to_a_quarter)
{
    for (uint64_t random = 0; random < 5000; random++) {
        struct relay_backoff backoff = {0};
        int64_t delay = relay_backoff_failed(&backoff, 0, random);

        ck_assert_int_ge(delay, 3750);
        ck_assert_int_le(delay, 5000);
    }
    struct relay_backoff low = {0}, high = {0};
    ck_assert_int_eq(relay_backoff_failed(&low, 0, 1250), 3750);
    ck_assert_int_eq(relay_backoff_failed(&high, 0, UINT64_MAX / 1251 * 1251), 5000);
}
END_TEST

START_TEST(starts_over_after_a_minute_of_health)
{
    struct relay_backoff backoff = {0};

    for (int i = 0; i < 4; i++)
        (void)relay_backoff_failed(&backoff, 0, 0);
    ck_assert_int_eq(relay_backoff_failed(&backoff, RELAY_BACKOFF_HEALTHY_MS - 1, 0), 60000);
    ck_assert_int_eq(relay_backoff_failed(&backoff, RELAY_BACKOFF_HEALTHY_MS, 0), 5000);
    ck_assert_int_eq(relay_backoff_failed(&backoff, 0, 0), 10000);
}
END_TEST

START_TEST(never_overflows)
{
    struct relay_backoff backoff = {0};

    for (int i = 0; i < 100000; i++)
        ck_assert_int_le(relay_backoff_failed(&backoff, 0, 0), RELAY_BACKOFF_MOST_MS);
}
END_TEST

UNIT_MAIN("relay_backoff", doubles_from_least_to_most, is_jittered_by_up_to_a_quarter,
          starts_over_after_a_minute_of_health, never_overflows)
