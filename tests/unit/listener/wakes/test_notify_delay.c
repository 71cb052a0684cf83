#include "wakes/notify_delay.h"

#include "base/random.h"
#include "unit.h"

static uint64_t least(uint64_t limit)
{
    (void)limit;
    return 0;
}

static uint64_t most(uint64_t limit)
{
    return limit;
}

START_TEST(it_is_from_20_to_500_ms)
{
    ck_assert_int_eq(notify_delay_ms(least), 20);
    ck_assert_int_eq(notify_delay_ms(most), 500);
}
END_TEST

/* So that no moment tells more than another: 481 milliseconds, in parts of 37, of which each has
 * its thirteenth of the draws, within 6 standard deviations. */
START_TEST(every_moment_is_as_likely)
{
    enum { PARTS = 13, EACH = 4000 };
    unsigned drawn[PARTS] = {0};

    for (int i = 0; i < PARTS * EACH; i++) {
        int64_t delay = notify_delay_ms(random_up_to);

        ck_assert_int_ge(delay, NOTIFY_DELAY_LEAST_MS);
        ck_assert_int_le(delay, NOTIFY_DELAY_MOST_MS);
        drawn[(delay - NOTIFY_DELAY_LEAST_MS) / 37]++;
    }
    for (int i = 0; i < PARTS; i++) {
        ck_assert_uint_ge(drawn[i], EACH - 6 * 61);
        ck_assert_uint_le(drawn[i], EACH + 6 * 61);
    }
}
END_TEST

UNIT_MAIN("notify_delay", it_is_from_20_to_500_ms, every_moment_is_as_likely)
