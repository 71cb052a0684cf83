#include <string.h>

#include "coverage.h"
#include "unit.h"

#define CLOCK  INT64_C(1800000000000)
#define NOW    INT64_C(5000000)
#define A      "00000000000000aa"
#define B      "00000000000000bb"
#define WRAPS  0
#define DIRECT 1

static const struct settings_kinds kinds = {.count = 2, .kind = {1059, 14}};
static struct coverage it;
static int64_t from, to; /* of the last report */

static void set_up(void)
{
    coverage_init(&it, &kinds);
}

static bool learn(const char *epoch, int64_t cursor, int64_t now)
{
    struct registry_cursor answer = {.now_ms = now + CLOCK,
                                     .cursor_ms = cursor == COVERAGE_NONE ? REGISTRY_NO_MOMENT
                                                                          : cursor + CLOCK};

    strcpy(answer.epoch, epoch);
    return coverage_learn(&it, &answer, now);
}

static bool reports(void)
{
    coverage_report(&it, &from, &to);
    ck_assert((from == REGISTRY_NO_MOMENT) == (to == REGISTRY_NO_MOMENT));
    if (to == REGISTRY_NO_MOMENT)
        return false;
    from -= CLOCK;
    to -= CLOCK;
    return true;
}

static bool catches_up(size_t kind)
{
    return it.kind[kind].catch_up.state != CATCH_UP_IDLE;
}

static void finish(size_t kind)
{
    catch_up_cancel(&it.kind[kind].catch_up);
}

static void live(int64_t now)
{
    coverage_live(&it, WRAPS, now);
    coverage_live(&it, DIRECT, now);
}

START_TEST(a_first_start_misses_nothing)
{
    ck_assert(!reports());
    ck_assert(!learn(A, COVERAGE_NONE, NOW));
    ck_assert(!reports());
    coverage_live(&it, WRAPS, NOW + 10);
    ck_assert(!reports()); /* one kind of two */
    coverage_live(&it, DIRECT, NOW + 20);
    ck_assert(!catches_up(WRAPS) && !catches_up(DIRECT));
    ck_assert(reports());
    ck_assert_int_eq(from, NOW + 10);
    ck_assert_int_eq(to, NOW + 10);
    coverage_taken(&it, NOW + 500);
    ck_assert(reports());
    ck_assert_int_eq(to, NOW + 500);
}
END_TEST

START_TEST(a_restart_misses_what_came_since_the_cursor)
{
    ck_assert(!learn(A, NOW - 60000, NOW));
    live(NOW + 10);
    ck_assert(catches_up(WRAPS) && catches_up(DIRECT));
    ck_assert_int_eq(it.kind[WRAPS].catch_up.from_ms, NOW - 60000);
    coverage_taken(&it, NOW + 500);
    ck_assert(reports()); /* no further than the gap */
    ck_assert_int_eq(from, NOW - 60000);
    ck_assert_int_eq(to, NOW - 60000);
    finish(WRAPS);
    ck_assert(reports());
    ck_assert_int_eq(to, NOW - 60000);
    finish(DIRECT);
    ck_assert(reports());
    ck_assert_int_eq(from, NOW - 60000);
    ck_assert_int_eq(to, NOW + 500);
}
END_TEST

/* Redis's clock is read once a second, never to the millisecond: where we began is not to move. */
START_TEST(joins_the_cursor_whatever_the_clocks_do)
{
    struct registry_cursor answer = {
        .epoch = A, .now_ms = NOW + CLOCK, .cursor_ms = NOW + CLOCK - 60000};

    ck_assert(!coverage_learn(&it, &answer, NOW));
    live(NOW + 10);
    finish(WRAPS);
    finish(DIRECT);
    for (int drift = -3; drift <= 3; drift++) {
        answer.now_ms = NOW + CLOCK + 1000 + drift;
        ck_assert(!coverage_learn(&it, &answer, NOW + 1000));
        coverage_taken(&it, NOW + 1000);
        ck_assert(reports());
        ck_assert_int_eq(from + CLOCK, answer.cursor_ms);
    }
}
END_TEST

START_TEST(live_before_the_cursor_is_known)
{
    live(NOW);
    coverage_taken(&it, NOW + 100);
    ck_assert(!reports());
    ck_assert(!catches_up(WRAPS));
    ck_assert(!learn(A, NOW - 5000, NOW + 200));
    ck_assert(catches_up(WRAPS) && catches_up(DIRECT));
    ck_assert_int_eq(it.kind[WRAPS].catch_up.from_ms, NOW - 5000);
    ck_assert_int_eq(it.kind[WRAPS].to_ms, NOW + 100);
}
END_TEST

START_TEST(live_before_it_is_known_that_there_is_no_cursor)
{
    live(NOW);
    coverage_taken(&it, NOW + 100);
    ck_assert(!learn(A, COVERAGE_NONE, NOW + 200));
    ck_assert(!catches_up(WRAPS));
    ck_assert(reports());
    ck_assert_int_eq(from, NOW);
    ck_assert_int_eq(to, NOW + 100);
}
END_TEST

START_TEST(knows_nothing_before_there_is_an_epoch)
{
    live(NOW);
    ck_assert(!learn("", COVERAGE_NONE, NOW));
    ck_assert(!it.known);
    ck_assert(!reports());
}
END_TEST

START_TEST(a_reconnect_misses_what_came_meanwhile)
{
    ck_assert(!learn(A, COVERAGE_NONE, NOW));
    live(NOW);
    coverage_taken(&it, NOW + 1000);
    coverage_down(&it);
    coverage_taken(&it, NOW + 2000); /* nothing is received any more */
    ck_assert(reports());
    ck_assert_int_eq(to, NOW + 1000);
    live(NOW + 9000);
    ck_assert_int_eq(it.kind[WRAPS].catch_up.from_ms, NOW + 1000);
    ck_assert_int_eq(it.kind[DIRECT].catch_up.from_ms, NOW + 1000);
    ck_assert(reports());
    ck_assert_int_eq(to, NOW + 1000);
}
END_TEST

START_TEST(what_another_listener_had_is_not_missing)
{
    ck_assert(!learn(A, COVERAGE_NONE, NOW));
    live(NOW);
    coverage_taken(&it, NOW + 1000);
    coverage_down(&it);
    ck_assert(!learn(A, NOW + 5000, NOW + 5500));
    live(NOW + 9000);
    ck_assert_int_eq(it.kind[WRAPS].catch_up.from_ms, NOW + 5000);
    ck_assert(!learn(A, NOW + 8999, NOW + 9500));
    ck_assert(catches_up(WRAPS));
    ck_assert(!learn(A, NOW + 9000, NOW + 9600));
    ck_assert(!catches_up(WRAPS) && !catches_up(DIRECT));
}
END_TEST

START_TEST(what_was_lost_is_missing)
{
    ck_assert(!learn(A, COVERAGE_NONE, NOW));
    live(NOW);
    coverage_taken(&it, NOW + 1000);
    ck_assert(!learn(A, NOW + 1000, NOW + 1100));
    coverage_lost(&it, NOW + 7000);
    ck_assert_int_eq(it.kind[WRAPS].catch_up.from_ms, NOW + 1000);
    coverage_taken(&it, NOW + 7000);
    ck_assert(reports());
    ck_assert_int_eq(to, NOW + 1000);
    /* Our own cursor from before is no reason to leave it out. */
    ck_assert(!learn(A, NOW + 1000, NOW + 7100));
    ck_assert(catches_up(WRAPS));
}
END_TEST

START_TEST(another_epoch_begins_anew)
{
    ck_assert(!learn(A, NOW - 60000, NOW));
    live(NOW);
    ck_assert(catches_up(WRAPS));
    coverage_taken(&it, NOW + 1000);
    ck_assert(learn(B, COVERAGE_NONE, NOW + 2000));
    ck_assert(!catches_up(WRAPS) && !catches_up(DIRECT));
    ck_assert(reports());
    ck_assert_int_eq(from, NOW + 2000);
    ck_assert_int_eq(to, NOW + 2000);
    ck_assert(!learn(B, NOW + 2000, NOW + 3000));
}
END_TEST

START_TEST(another_epoch_while_disconnected)
{
    ck_assert(!learn(A, COVERAGE_NONE, NOW));
    live(NOW);
    coverage_taken(&it, NOW + 1000);
    coverage_down(&it);
    ck_assert(learn(B, COVERAGE_NONE, NOW + 2000));
    ck_assert(!reports());
    live(NOW + 9000);
    ck_assert(!catches_up(WRAPS));
    ck_assert(reports());
    ck_assert_int_eq(from, NOW + 9000);
}
END_TEST

START_TEST(a_refused_kind_does_not_hold_the_cursor)
{
    ck_assert(!learn(A, COVERAGE_NONE, NOW));
    live(NOW);
    coverage_taken(&it, NOW + 1000);
    coverage_closed(&it, WRAPS, true);
    coverage_taken(&it, NOW + 5000);
    ck_assert(reports());
    ck_assert_int_eq(to, NOW + 5000);
    ck_assert(!learn(A, NOW + 5000, NOW + 5100));
    coverage_live(&it, WRAPS, NOW + 6000); /* the cursor says nothing of this kind */
    ck_assert(!learn(A, NOW + 5000, NOW + 6100));
    ck_assert_int_eq(it.kind[WRAPS].catch_up.from_ms, NOW + 1000);
    ck_assert(!catches_up(DIRECT));
    coverage_closed(&it, WRAPS, true);
    coverage_closed(&it, DIRECT, true);
    ck_assert(!reports());
}
END_TEST

START_TEST(a_closed_kind_holds_the_cursor)
{
    ck_assert(!learn(A, COVERAGE_NONE, NOW));
    live(NOW);
    coverage_closed(&it, WRAPS, false);
    coverage_taken(&it, NOW + 5000);
    ck_assert(reports());
    ck_assert_int_eq(to, NOW);
}
END_TEST

START_TEST(keeps_time_by_redis)
{
    ck_assert(!learn(A, COVERAGE_NONE, NOW));
    ck_assert_int_eq(coverage_unix_s(&it, NOW + 7000), (CLOCK + NOW) / 1000 + 7);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("coverage");
    TCase *tcase = tcase_create("coverage");

    tcase_add_checked_fixture(tcase, set_up, NULL);
    tcase_add_test(tcase, a_first_start_misses_nothing);
    tcase_add_test(tcase, a_restart_misses_what_came_since_the_cursor);
    tcase_add_test(tcase, joins_the_cursor_whatever_the_clocks_do);
    tcase_add_test(tcase, live_before_the_cursor_is_known);
    tcase_add_test(tcase, live_before_it_is_known_that_there_is_no_cursor);
    tcase_add_test(tcase, knows_nothing_before_there_is_an_epoch);
    tcase_add_test(tcase, a_reconnect_misses_what_came_meanwhile);
    tcase_add_test(tcase, what_another_listener_had_is_not_missing);
    tcase_add_test(tcase, what_was_lost_is_missing);
    tcase_add_test(tcase, another_epoch_begins_anew);
    tcase_add_test(tcase, another_epoch_while_disconnected);
    tcase_add_test(tcase, a_refused_kind_does_not_hold_the_cursor);
    tcase_add_test(tcase, a_closed_kind_holds_the_cursor);
    tcase_add_test(tcase, keeps_time_by_redis);
    suite_add_tcase(suite, tcase);
    return unit_run(suite);
}
