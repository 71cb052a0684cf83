#include "base/backoff.h"

#include <limits.h>

#include "unit.h"

START_TEST(doubles_from_least_to_most)
{
    static const struct backoff plain = {1000, 60000, .jitter = 0};
    static const int64_t want[] = {1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000};

    for (unsigned i = 0; i < sizeof want / sizeof *want; i++)
        ck_assert_int_eq(backoff_ms(&plain, i + 1, UINT64_MAX), want[i]);
    ck_assert_int_eq(backoff_ms(&plain, UINT_MAX, UINT64_MAX), 60000);
}
END_TEST

START_TEST(least_may_be_most)
{
    static const struct backoff same = {700, 700, .jitter = 0};

    ck_assert_int_eq(backoff_ms(&same, 1, 0), 700);
    ck_assert_int_eq(backoff_ms(&same, 9, 0), 700);
}
END_TEST

/* Takes off any amount from nothing to the whole part. */
START_TEST(a_part_is_taken_off)
{
    for (unsigned part = 1; part <= 4; part++) {
        const struct backoff rule = {1000, 8000, .jitter = part};

        ck_assert_int_eq(backoff_ms(&rule, 2, 0), 2000);
        ck_assert_int_eq(backoff_ms(&rule, 2, 2000 / part), 2000 - 2000 / (int64_t)part);
        ck_assert_int_eq(backoff_ms(&rule, 2, 2000 / part + 1), 2000);
    }
}
END_TEST

UNIT_MAIN("backoff", doubles_from_least_to_most, least_may_be_most, a_part_is_taken_off)
