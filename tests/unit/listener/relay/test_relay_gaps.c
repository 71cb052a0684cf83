#include <string.h>

#include "relay/relay_gaps_priv.h"
#include "unit.h"

#define A      "00000000000000aa"
#define B      "00000000000000bb"
#define CLOCK  INT64_C(1800000000000)
#define NOW    INT64_C(5000000) /* by our clock */
#define WRAPS  0
#define DIRECT 1

static const struct settings_kinds kinds = {.count = 2, .kind = {1059, 14}};
static struct relay_gaps *it;
static struct registry_cursor told[SETTINGS_MAX_KINDS]; /* by the last report */

static void set_up(void)
{
    relay_gaps_free(&it);
    it = relay_gaps_new(&kinds);
    ck_assert_ptr_nonnull(it);
}

/* Moments here are by our clock. */
static int64_t moment(int64_t redis_ms)
{
    return redis_ms == RELAY_GAPS_NONE ? redis_ms : redis_ms - CLOCK;
}

static bool learn_each(const char *epoch, int64_t wraps, int64_t direct, int64_t now)
{
    struct registry_now answer = {.now_ms = now + CLOCK};
    struct registry_cursor cursors[SETTINGS_MAX_KINDS] = {{.cursor_ms = wraps},
                                                          {.cursor_ms = direct}};

    for (int i = 0; i < 2; i++)
        if (cursors[i].cursor_ms != RELAY_GAPS_NONE)
            cursors[i].cursor_ms += CLOCK;
    strcpy(answer.epoch, epoch);
    return relay_gaps_learn(it, &answer, cursors, now);
}

static bool learn(const char *epoch, int64_t cursor, int64_t now)
{
    return learn_each(epoch, cursor, cursor, now);
}

static bool reports(size_t kind)
{
    relay_gaps_report(it, false, told);
    ck_assert((told[kind].from_ms == RELAY_GAPS_NONE) == (told[kind].to_ms == RELAY_GAPS_NONE));
    ck_assert_uint_eq(told[kind].kind, kinds.kind[kind]);
    return told[kind].to_ms != RELAY_GAPS_NONE;
}

/* The range that is reported as taken. */
static int64_t to(size_t kind)
{
    ck_assert(reports(kind));
    return moment(told[kind].to_ms);
}

static int64_t from(size_t kind)
{
    ck_assert(reports(kind));
    return moment(told[kind].from_ms);
}

static bool catches_up(size_t kind)
{
    return it->kind[kind].catch_up.state != CATCH_UP_IDLE;
}

/* How many seconds before a moment its pages begin. */
static int64_t since(size_t kind, int64_t before)
{
    return (before + CLOCK) / 1000 - it->kind[kind].catch_up.since_s;
}

/* The relay has answered all pages. */
static void finish(size_t kind)
{
    catch_up_cancel(&it->kind[kind].catch_up);
    ck_assert(!catches_up(kind));
}

static void live(int64_t now)
{
    relay_gaps_live(it, WRAPS, now);
    relay_gaps_live(it, DIRECT, now);
}

START_TEST(a_first_start_misses_nothing_old)
{
    ck_assert(!reports(WRAPS));
    ck_assert(!learn(A, RELAY_GAPS_NONE, NOW));
    ck_assert(!reports(WRAPS)); /* it has not been heard yet */
    relay_gaps_live(it, WRAPS, NOW + RELAY_GAPS_FIRST_MS - 1);
    ck_assert(!catches_up(WRAPS));
    ck_assert_int_eq(to(WRAPS), NOW + RELAY_GAPS_FIRST_MS - 1);
    ck_assert(!reports(DIRECT));
    relay_gaps_live(it, DIRECT, NOW + RELAY_GAPS_FIRST_MS);
    ck_assert(catches_up(DIRECT));
    ck_assert_int_eq(since(DIRECT, NOW), -1);
    ck_assert_int_eq(from(DIRECT), NOW);
    ck_assert_int_eq(to(DIRECT), NOW);
    finish(DIRECT);
    relay_gaps_taken(it, NOW + 6000);
    ck_assert_int_eq(to(DIRECT), NOW + 6000);
}
END_TEST

START_TEST(a_restart_misses_what_came_since_the_cursor)
{
    ck_assert(!learn_each(A, NOW - 60000, NOW - 30000, NOW));
    live(NOW + 10);
    ck_assert_int_eq(since(WRAPS, NOW - 60000), CATCH_UP_BACKDATE_S);
    ck_assert_int_eq(since(DIRECT, NOW - 30000), CATCH_UP_SLACK_S);
    relay_gaps_taken(it, NOW + 500);
    ck_assert_int_eq(from(WRAPS), NOW - 60000);
    ck_assert_int_eq(to(WRAPS), NOW - 60000); /* no further than the gap */
    ck_assert_int_eq(to(DIRECT), NOW - 30000);
    finish(WRAPS);
    relay_gaps_taken(it, NOW + 600);
    ck_assert_int_eq(to(WRAPS), NOW + 600);
    ck_assert_int_eq(from(WRAPS), NOW - 60000);
    ck_assert_int_eq(to(DIRECT), NOW - 30000);
}
END_TEST

/* Some events of the last page may still wait for Redis. */
START_TEST(a_gap_ends_when_all_of_it_is_taken)
{
    ck_assert(!learn(A, NOW - 60000, NOW));
    live(NOW + 10);
    finish(WRAPS);
    ck_assert_int_eq(to(WRAPS), NOW - 60000);
    relay_gaps_report(it, true, told);
    ck_assert_int_eq(told[WRAPS].to_ms, RELAY_GAPS_NONE);
    relay_gaps_lost(it, NOW + 100); /* it was among what was lost */
    ck_assert_int_eq(since(WRAPS, NOW - 60000), CATCH_UP_BACKDATE_S);
    ck_assert_int_eq(to(WRAPS), NOW - 60000);
    finish(WRAPS);
    relay_gaps_taken(it, NOW + 200);
    ck_assert_int_eq(to(WRAPS), NOW + 200);
}
END_TEST

START_TEST(live_before_the_cursor_is_known)
{
    live(NOW);
    relay_gaps_taken(it, NOW + 100);
    ck_assert(!reports(WRAPS));
    ck_assert(!catches_up(WRAPS));
    ck_assert(!learn(A, NOW - 5000, NOW + 200));
    ck_assert_int_eq(since(WRAPS, NOW - 5000), CATCH_UP_BACKDATE_S);
    ck_assert(catches_up(DIRECT));
}
END_TEST

START_TEST(live_before_it_is_known_that_there_is_no_cursor)
{
    live(NOW);
    relay_gaps_taken(it, NOW + 100);
    ck_assert(!learn(A, RELAY_GAPS_NONE, NOW + 200));
    ck_assert(!catches_up(WRAPS));
    ck_assert_int_eq(from(WRAPS), NOW + 200);
    ck_assert_int_eq(to(WRAPS), NOW + 200);
}
END_TEST

START_TEST(knows_nothing_before_there_is_an_epoch)
{
    live(NOW);
    ck_assert(!learn("", RELAY_GAPS_NONE, NOW));
    ck_assert(!it->known && !it->sure);
    ck_assert(!reports(WRAPS));
    ck_assert(!learn(A, RELAY_GAPS_NONE, NOW));
    ck_assert(it->sure);
    ck_assert(!learn("", RELAY_GAPS_NONE, NOW + 1000)); /* just lost */
    ck_assert(it->known && !it->sure);
    ck_assert(learn(B, RELAY_GAPS_NONE, NOW + 2000));
    ck_assert(it->sure);
    relay_gaps_unsure(it);
    ck_assert(!it->sure);
}
END_TEST

START_TEST(a_reconnect_misses_what_came_meanwhile)
{
    ck_assert(!learn(A, NOW, NOW));
    live(NOW);
    relay_gaps_taken(it, NOW + 1000);
    relay_gaps_down(it);
    relay_gaps_taken(it, NOW + 2000); /* nothing is received any more */
    ck_assert_int_eq(to(WRAPS), NOW + 1000);
    live(NOW + 9000);
    ck_assert_int_eq(since(WRAPS, NOW + 1000), CATCH_UP_BACKDATE_S);
    ck_assert_int_eq(to(WRAPS), NOW + 1000);
}
END_TEST

START_TEST(what_another_listener_had_is_not_missing)
{
    ck_assert(!learn(A, NOW, NOW));
    live(NOW);
    relay_gaps_taken(it, NOW + 1000);
    relay_gaps_down(it);
    ck_assert(!learn(A, NOW + 5000, NOW + 5500));
    live(NOW + 9000);
    ck_assert_int_eq(since(WRAPS, NOW + 5000), CATCH_UP_BACKDATE_S);
    ck_assert(!learn(A, NOW + 9000 + RELAY_GAPS_SURE_MS - 1, NOW + 12000));
    ck_assert(catches_up(WRAPS));
    ck_assert(!learn_each(A, NOW + 9000 + RELAY_GAPS_SURE_MS, NOW, NOW + 12000));
    ck_assert(!catches_up(WRAPS) && catches_up(DIRECT));
    ck_assert_int_eq(to(WRAPS), NOW + 9000);
}
END_TEST

/* Redis's clock is read once a second and never exactly: the beginning of our data must not move.
 */
START_TEST(joins_the_cursor_whatever_the_clocks_do)
{
    struct registry_now answer = {.epoch = A};
    struct registry_cursor cursors[SETTINGS_MAX_KINDS] = {{.cursor_ms = NOW + CLOCK - 60000},
                                                          {.cursor_ms = NOW + CLOCK - 60000}};

    ck_assert(!learn(A, NOW - 60000, NOW));
    live(NOW + 10);
    for (int drift = -3; drift <= 3; drift++) {
        answer.now_ms = NOW + CLOCK + 1000 + drift;
        ck_assert(!relay_gaps_learn(it, &answer, cursors, NOW + 1000));
        relay_gaps_taken(it, NOW + 1000);
        ck_assert_int_eq(from(WRAPS), NOW - 60000);
    }
}
END_TEST

/* Our clock stands still in a machine that sleeps. */
START_TEST(time_that_our_clock_did_not_count_is_a_gap)
{
    struct registry_now answer = {.epoch = A, .now_ms = NOW + CLOCK + 36000000};
    struct registry_cursor cursors[SETTINGS_MAX_KINDS] = {{.cursor_ms = NOW + CLOCK + 900},
                                                          {.cursor_ms = NOW + CLOCK + 900}};

    ck_assert(!learn(A, NOW, NOW));
    live(NOW);
    relay_gaps_taken(it, NOW + 1000);
    ck_assert(!relay_gaps_learn(it, &answer, cursors, NOW + 2000));
    ck_assert_int_eq(since(DIRECT, NOW + 1000), CATCH_UP_SLACK_S);
    ck_assert_int_eq(to(DIRECT), NOW + 1000);
}
END_TEST

START_TEST(another_clock_of_redis_is_a_gap)
{
    struct registry_now answer = {.epoch = A, .now_ms = NOW + CLOCK - 7200000};
    struct registry_cursor cursors[SETTINGS_MAX_KINDS] = {{.cursor_ms = RELAY_GAPS_NONE},
                                                          {.cursor_ms = RELAY_GAPS_NONE}};

    ck_assert(!learn(A, NOW, NOW));
    live(NOW);
    relay_gaps_taken(it, NOW + 1000);
    ck_assert(!relay_gaps_learn(it, &answer, cursors, NOW + 2000));
    ck_assert(catches_up(DIRECT));
    ck_assert_int_le(to(DIRECT), NOW + 1000 - 7200000);
}
END_TEST

START_TEST(what_was_lost_is_missing)
{
    ck_assert(!learn(A, NOW, NOW));
    live(NOW);
    relay_gaps_taken(it, NOW + 1000);
    ck_assert(!learn(A, NOW + 1000, NOW + 1100));
    relay_gaps_lost(it, NOW + 7000);
    ck_assert_int_eq(since(WRAPS, NOW + 1000), CATCH_UP_BACKDATE_S);
    relay_gaps_taken(it, NOW + 7000);
    ck_assert_int_eq(to(WRAPS), NOW + 1000);
    /* Our own earlier cursor is no reason to leave the gap out. */
    ck_assert(!learn(A, NOW + 1000, NOW + 7100));
    ck_assert(catches_up(WRAPS));
}
END_TEST

/* The lost events may be of answered pages. */
START_TEST(what_was_lost_of_pages_is_missing)
{
    char frame[CATCH_UP_FRAME_SIZE];
    struct catch_up *wraps = &it->kind[WRAPS].catch_up;

    ck_assert(!learn(A, NOW - 60000, NOW));
    live(NOW);
    ck_assert_uint_gt(catch_up_next_frame(wraps, NOW, CLOCK / 1000, 1, frame), 0);
    ck_assert(catch_up_on_event(wraps, wraps->since_s + 5, NOW));
    catch_up_on_eose(wraps, NOW);
    relay_gaps_lost(it, NOW + 7000);
    ck_assert(wraps->again);
    ck_assert_int_eq(wraps->again_since_s, wraps->since_s);
}
END_TEST

/* ---- Another primary ------------------------------------------------------------------------- */

/* Live for a long time, with a cursor that followed. */
static void run_for(int64_t ms)
{
    ck_assert(!learn(A, NOW, NOW));
    live(NOW);
    relay_gaps_taken(it, NOW + ms);
    ck_assert_int_eq(to(WRAPS), NOW + ms);
    ck_assert(!learn(A, NOW + ms, NOW + ms));
    ck_assert(!catches_up(WRAPS));
}

START_TEST(another_primary_may_be_without_the_last)
{
    run_for(500000);
    relay_gaps_doubt(it);
    relay_gaps_taken(it, NOW + 501000);
    ck_assert(!reports(WRAPS)); /* it may not be so */
    ck_assert(!learn(A, NOW + 499000, NOW + 501000));
    ck_assert_int_eq(since(DIRECT, NOW + 501000), CATCH_UP_SLACK_S + RELAY_GAPS_DOUBT_MS / 1000);
    ck_assert(catches_up(WRAPS));
    relay_gaps_taken(it, NOW + 502000);
    ck_assert_int_eq(to(WRAPS), NOW + 501000 - RELAY_GAPS_DOUBT_MS);
    /* The cursor that another listener has moved meanwhile is no reason to leave the gap out. */
    ck_assert(!learn(A, NOW + 501500, NOW + 502000));
    ck_assert(catches_up(WRAPS));
    finish(WRAPS);
    relay_gaps_taken(it, NOW + 503000);
    ck_assert_int_eq(to(WRAPS), NOW + 503000);
    ck_assert_int_le(from(WRAPS), NOW + 499000);
}
END_TEST

/* This process and the Redis before were cut off from all others for longer than that. */
START_TEST(another_primary_says_until_when_its_data_are)
{
    run_for(5000000);
    relay_gaps_doubt(it);
    ck_assert(!learn_each(A, NOW + 1000000, NOW + 2000000, NOW + 5000000));
    ck_assert_int_eq(since(DIRECT, NOW + 2000000), CATCH_UP_SLACK_S);
    relay_gaps_taken(it, NOW + 5001000);
    ck_assert_int_eq(to(WRAPS), NOW + 1000000);
    ck_assert_int_eq(to(DIRECT), NOW + 2000000);
}
END_TEST

/* Nothing from before our data began is asked for. */
START_TEST(another_primary_soon_after_a_first_start)
{
    ck_assert(!learn(A, RELAY_GAPS_NONE, NOW));
    relay_gaps_live(it, DIRECT, NOW + 1000);
    relay_gaps_doubt(it);
    ck_assert(!learn(A, RELAY_GAPS_NONE, NOW + 10000));
    ck_assert_int_eq(since(DIRECT, NOW), CATCH_UP_SLACK_S);
    ck_assert_int_eq(to(DIRECT), NOW);
    ck_assert(!reports(WRAPS)); /* which has not been heard */
}
END_TEST

/* Its pages are asked for once it is live again, even if the cursor says that there is no gap. */
START_TEST(another_primary_while_the_relay_is_away)
{
    run_for(500000);
    relay_gaps_down(it);
    relay_gaps_doubt(it);
    ck_assert(!learn(A, NOW + 500500, NOW + 501000));
    ck_assert(!catches_up(DIRECT));
    live(NOW + 502000);
    ck_assert_int_eq(since(DIRECT, NOW + 501000), CATCH_UP_SLACK_S + RELAY_GAPS_DOUBT_MS / 1000);
    relay_gaps_taken(it, NOW + 503000);
    ck_assert_int_eq(to(DIRECT), NOW + 501000 - RELAY_GAPS_DOUBT_MS);
}
END_TEST

/* What its pages brought may be lost, too, whether they have ended or not. */
START_TEST(another_primary_while_catching_up)
{
    char frame[CATCH_UP_FRAME_SIZE];
    struct catch_up *wraps = &it->kind[WRAPS].catch_up;

    ck_assert(!learn(A, NOW - 600000, NOW));
    live(NOW);
    ck_assert_uint_gt(catch_up_next_frame(wraps, NOW, CLOCK / 1000, 1, frame), 0);
    ck_assert(catch_up_on_event(wraps, wraps->since_s + 5, NOW));
    catch_up_on_eose(wraps, NOW);
    finish(DIRECT);
    relay_gaps_taken(it, NOW + 1000);
    relay_gaps_doubt(it);
    ck_assert(!learn(A, NOW - 600000, NOW + 2000));
    ck_assert(wraps->again);
    ck_assert_int_eq(wraps->again_since_s, wraps->since_s);
    ck_assert_int_eq(since(DIRECT, NOW - 600000), CATCH_UP_SLACK_S);
}
END_TEST

/* As another machine's may be. */
START_TEST(another_primary_whose_clock_is_behind)
{
    struct registry_cursor cursors[SETTINGS_MAX_KINDS] = {{.cursor_ms = NOW + CLOCK + 498000},
                                                          {.cursor_ms = NOW + CLOCK + 498000}};
    struct registry_now answer = {.epoch = A, .now_ms = NOW + CLOCK + 501000 - 100000};

    run_for(500000);
    relay_gaps_doubt(it);
    ck_assert(!relay_gaps_learn(it, &answer, cursors, NOW + 501000));
    ck_assert(catches_up(WRAPS));
    ck_assert_int_eq(to(WRAPS), NOW + 501000 - 100000 - RELAY_GAPS_DOUBT_MS);
}
END_TEST

START_TEST(another_primary_that_has_lost_its_data)
{
    run_for(500000);
    relay_gaps_doubt(it);
    ck_assert(learn(B, RELAY_GAPS_NONE, NOW + 501000));
    ck_assert(!catches_up(WRAPS));
    ck_assert_int_eq(to(WRAPS), NOW + 501000);
}
END_TEST

START_TEST(another_epoch_begins_anew)
{
    ck_assert(!learn(A, NOW - 60000, NOW));
    live(NOW);
    ck_assert(catches_up(WRAPS));
    relay_gaps_taken(it, NOW + 1000);
    ck_assert(learn(B, RELAY_GAPS_NONE, NOW + 2000));
    ck_assert(!catches_up(WRAPS) && !catches_up(DIRECT));
    ck_assert_int_eq(from(WRAPS), NOW + 2000);
    ck_assert_int_eq(to(WRAPS), NOW + 2000);
    ck_assert(!learn(B, NOW + 2000, NOW + 3000));
}
END_TEST

/* Events that came after the loss are missing; older dates are not, except for gift wraps. */
START_TEST(another_epoch_while_disconnected)
{
    ck_assert(!learn(A, NOW, NOW));
    live(NOW);
    relay_gaps_taken(it, NOW + 1000);
    relay_gaps_down(it);
    ck_assert(learn(B, RELAY_GAPS_NONE, NOW + 2000));
    ck_assert(!reports(WRAPS));
    live(NOW + 300000);
    ck_assert_int_eq(since(WRAPS, NOW + 2000), CATCH_UP_BACKDATE_S - 1);
    ck_assert_int_eq(since(DIRECT, NOW + 2000), -1);
    ck_assert_int_eq(from(WRAPS), NOW + 2000);
    ck_assert_int_eq(to(WRAPS), NOW + 2000);
}
END_TEST

START_TEST(a_kind_that_is_refused_holds_back_no_other)
{
    ck_assert(!learn(A, NOW, NOW));
    relay_gaps_live(it, WRAPS, NOW);
    relay_gaps_live(it, DIRECT, NOW);
    relay_gaps_closed(it, DIRECT);
    relay_gaps_taken(it, NOW + 5000);
    ck_assert_int_eq(to(WRAPS), NOW + 5000);
    ck_assert_int_eq(to(DIRECT), NOW);
    ck_assert(!learn_each(A, NOW + 5000, NOW, NOW + 5100));
    relay_gaps_live(it, DIRECT, NOW + 6000);
    ck_assert_int_eq(since(DIRECT, NOW), CATCH_UP_SLACK_S);
    ck_assert(!catches_up(WRAPS));
}
END_TEST

START_TEST(what_was_shown_before_we_were_known_does_not_count)
{
    ck_assert(!learn(A, NOW - 600000, NOW));
    live(NOW);
    finish(WRAPS); /* with nothing in it */
    relay_gaps_taken(it, NOW + 3000);
    ck_assert_int_eq(to(WRAPS), NOW + 3000);
    ck_assert(!learn_each(A, NOW + 3000, NOW - 600000, NOW + 4000));
    relay_gaps_was_not_live(it, WRAPS);
    relay_gaps_live(it, WRAPS, NOW + 5000);
    ck_assert_int_eq(since(WRAPS, NOW - 600000), CATCH_UP_BACKDATE_S);
    ck_assert_int_eq(to(WRAPS), NOW - 600000);
    ck_assert(!learn_each(A, NOW + 3000, NOW - 600000, NOW + 6000));
    ck_assert(catches_up(WRAPS));
}
END_TEST

/* On a first start, at a relay that wants authentication: nothing older is missing there, either.
 */
START_TEST(what_was_shown_before_we_were_known_is_no_beginning)
{
    ck_assert(!learn(A, RELAY_GAPS_NONE, NOW));
    live(NOW + 100);
    relay_gaps_was_not_live(it, WRAPS);
    relay_gaps_was_not_live(it, DIRECT);
    ck_assert(!reports(WRAPS));
    relay_gaps_live(it, WRAPS, NOW + RELAY_GAPS_FIRST_MS - 1);
    ck_assert(!catches_up(WRAPS));
    relay_gaps_live(it, DIRECT, NOW + RELAY_GAPS_FIRST_MS);
    ck_assert_int_eq(since(DIRECT, NOW), -1);
    ck_assert_int_eq(from(DIRECT), NOW);
}
END_TEST

START_TEST(asks_up_to_the_later_clock)
{
    ck_assert(!learn(A, RELAY_GAPS_NONE, NOW));
    ck_assert_int_eq(relay_gaps_latest_unix_s(it, NOW + 7000), (CLOCK + NOW) / 1000 + 7);
    relay_gaps_our_clock(it, CLOCK + NOW + 1200000, NOW);
    ck_assert_int_eq(relay_gaps_latest_unix_s(it, NOW + 7000), (CLOCK + NOW) / 1000 + 1207);
    relay_gaps_our_clock(it, CLOCK + NOW - 1200000, NOW);
    ck_assert_int_eq(relay_gaps_latest_unix_s(it, NOW + 7000), (CLOCK + NOW) / 1000 + 7);
}
END_TEST

START_TEST(asks_from_the_earlier_clock)
{
    relay_gaps_our_clock(it, CLOCK + NOW - 7200000, NOW);
    ck_assert(!learn(A, NOW - 60000, NOW));
    relay_gaps_live(it, DIRECT, NOW);
    ck_assert_int_eq(since(DIRECT, NOW - 60000), CATCH_UP_SLACK_S + 7200);
    relay_gaps_our_clock(it, CLOCK + NOW + 7200000, NOW);
    relay_gaps_live(it, WRAPS, NOW);
    ck_assert_int_eq(since(WRAPS, NOW - 60000), CATCH_UP_BACKDATE_S);
    ck_assert_int_eq(to(WRAPS), NOW - 60000); /* cursors are by Redis's clock, not ours */
    ck_assert_int_eq(to(DIRECT), NOW - 60000);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("relay_gaps");
    TCase *tcase = tcase_create("relay_gaps");

    tcase_add_checked_fixture(tcase, set_up, NULL);
    tcase_add_test(tcase, a_first_start_misses_nothing_old);
    tcase_add_test(tcase, a_restart_misses_what_came_since_the_cursor);
    tcase_add_test(tcase, a_gap_ends_when_all_of_it_is_taken);
    tcase_add_test(tcase, live_before_the_cursor_is_known);
    tcase_add_test(tcase, live_before_it_is_known_that_there_is_no_cursor);
    tcase_add_test(tcase, knows_nothing_before_there_is_an_epoch);
    tcase_add_test(tcase, a_reconnect_misses_what_came_meanwhile);
    tcase_add_test(tcase, what_another_listener_had_is_not_missing);
    tcase_add_test(tcase, joins_the_cursor_whatever_the_clocks_do);
    tcase_add_test(tcase, time_that_our_clock_did_not_count_is_a_gap);
    tcase_add_test(tcase, another_clock_of_redis_is_a_gap);
    tcase_add_test(tcase, what_was_lost_is_missing);
    tcase_add_test(tcase, what_was_lost_of_pages_is_missing);
    tcase_add_test(tcase, another_primary_may_be_without_the_last);
    tcase_add_test(tcase, another_primary_says_until_when_its_data_are);
    tcase_add_test(tcase, another_primary_soon_after_a_first_start);
    tcase_add_test(tcase, another_primary_while_the_relay_is_away);
    tcase_add_test(tcase, another_primary_while_catching_up);
    tcase_add_test(tcase, another_primary_whose_clock_is_behind);
    tcase_add_test(tcase, another_primary_that_has_lost_its_data);
    tcase_add_test(tcase, another_epoch_begins_anew);
    tcase_add_test(tcase, another_epoch_while_disconnected);
    tcase_add_test(tcase, a_kind_that_is_refused_holds_back_no_other);
    tcase_add_test(tcase, what_was_shown_before_we_were_known_does_not_count);
    tcase_add_test(tcase, what_was_shown_before_we_were_known_is_no_beginning);
    tcase_add_test(tcase, asks_up_to_the_later_clock);
    tcase_add_test(tcase, asks_from_the_earlier_clock);
    suite_add_tcase(suite, tcase);
    return unit_run(suite);
}
