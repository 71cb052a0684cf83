#include "unit.h"

#include "captured_log.h"
#include "log/log.h"
#include "redis/redis_report.h"

#define T0 INT64_C(1000)

static int lines;

static void setup(void)
{
    log_open("test", LOG_LEVEL_INFO, LOG_TARGET_STDERR);
    lines = capture_log();
}

static void teardown(void)
{
    (void)close(lines);
}

/* How many lines that begin with this come of one report. */
static unsigned down(const char *why, bool refused, int64_t now_ms)
{
    redis_report_down("/run/redis.sock", why, refused, now_ms);
    return logged(lines, refused ? "error: redis: /run/redis.sock cannot be used: "
                                 : "warn: redis: /run/redis.sock cannot be used: ");
}

static unsigned up(void)
{
    redis_report_up();
    return logged(lines, "info: redis: in use again");
}

/* One line, no matter how many connections find it away and for how long. */
START_TEST(an_outage_is_told_once)
{
    ck_assert_uint_eq(up(), 0);
    redis_report_down("/run/redis.sock", "Connection refused", false, T0);
    ck_assert_uint_eq(logged(lines, "Connection refused; waiting for it"), 1);
    ck_assert_uint_eq(down("Connection refused", false, T0 + 1), 0);
    ck_assert_uint_eq(down("no answer in time", false, T0 + 5000), 0);
    ck_assert_uint_eq(down("no answer in time", false, T0 + 3600000), 0);
    ck_assert_uint_eq(up(), 1);
    ck_assert_uint_eq(up(), 0);
    ck_assert_uint_eq(down("no answer in time", false, T0 + 3700000), 1);
}
END_TEST

START_TEST(what_an_operator_has_to_mend_is_told_once_a_minute)
{
    ck_assert_uint_eq(down("it persists", true, T0), 1);
    for (int64_t ms = 0; ms < 60000; ms += 250)
        ck_assert_uint_eq(down("it persists", true, T0 + ms), 0);
    ck_assert_uint_eq(down("it persists", true, T0 + 60000), 1);
    ck_assert_uint_eq(down("it persists", true, T0 + 60001), 0);
    /* That it was away in between is no news. */
    ck_assert_uint_eq(down("Connection refused", false, T0 + 61000), 0);
    ck_assert_uint_eq(down("it persists", true, T0 + 62000), 0);
    ck_assert_uint_eq(up(), 1);
}
END_TEST

START_TEST(the_reason_that_holds_now_is_told)
{
    ck_assert_uint_eq(down("Connection refused", false, T0), 1);
    ck_assert_uint_eq(down("it persists", true, T0 + 1), 1);
    ck_assert_uint_eq(down("it is a replica", true, T0 + 2000), 1);
    ck_assert_uint_eq(down("it is a replica", true, T0 + 2001), 0);
}
END_TEST

/* A server that takes a connection and then no command, for example. */
START_TEST(one_that_comes_and_goes_does_not_fill_the_log)
{
    unsigned told = 0;

    for (int64_t ms = 0; ms < 60000; ms += 250) {
        told += down("no answer in time", false, T0 + ms);
        told += up();
        told += down("it persists", true, T0 + ms + 1);
        told += up();
    }
    ck_assert_uint_le(told, 250);
    told = 0;
    for (int64_t ms = 100000; ms < 160000; ms += 250) {
        told += down("no answer in time", false, T0 + ms);
        told += up();
    }
    ck_assert_uint_le(told, 12);
    ck_assert_uint_ge(told, 2);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("redis_report");
    TCase *tcase = tcase_create("redis_report");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, an_outage_is_told_once);
    tcase_add_test(tcase, what_an_operator_has_to_mend_is_told_once_a_minute);
    tcase_add_test(tcase, the_reason_that_holds_now_is_told);
    tcase_add_test(tcase, one_that_comes_and_goes_does_not_fill_the_log);
    suite_add_tcase(suite, tcase);
    return unit_run(suite);
}
