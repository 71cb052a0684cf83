#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nostr/catch_up.h"
#include "unit.h"

#define KIND   1059
#define UNIX_S INT64_C(1800000000)
#define NOW_MS INT64_C(5000000)
#define HOUR_S 3600
#define MANY   4000

static struct catch_up it;

/* A relay's store: created_at of each event, newest first; and how often each was given. */
static int64_t store[MANY];
static unsigned given[MANY];
static size_t stored;
static size_t cap;         /* events an answer */
static bool ignores_limit; /* and gives all of the time that was asked for */
static bool is_exclusive;  /* of `until` */
static unsigned pages;
static int64_t last_until;

static void set_up(void)
{
    catch_up_init(&it, KIND);
    memset(given, 0, sizeof given);
    stored = 0;
    cap = CATCH_UP_LIMIT;
    ignores_limit = is_exclusive = false;
    pages = 0;
    last_until = INT64_MAX;
}

static int newest_first(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;

    return (*x < *y) - (*x > *y);
}

static void keep(int64_t created_at)
{
    store[stored++] = created_at;
    qsort(store, stored, sizeof store[0], newest_first);
}

static void read_req(const char *frame, char id[17], int64_t *since, int64_t *until)
{
    unsigned kind, limit;

    ck_assert_int_eq(sscanf(frame,
                            "[\"REQ\",\"%16[0-9a-f]\",{\"kinds\":[%u],\"since\":%" SCNd64
                            ",\"until\":%" SCNd64 ",\"limit\":%u}]",
                            id, &kind, since, until, &limit),
                     5);
    ck_assert_uint_eq(kind, KIND);
    ck_assert_uint_eq(limit, CATCH_UP_LIMIT);
}

/* Asks for one page and answers it as a relay does; false where none is asked for. */
static bool ask(char *out, int64_t now_ms)
{
    size_t len = catch_up_next_frame(&it, now_ms, UNIX_S, pages + 1, out);

    out[len] = '\0';
    return len > 0;
}

static void answer(const char *frame, int64_t now_ms)
{
    int64_t since, until;
    size_t sent = 0;
    char id[17], close[CATCH_UP_FRAME_SIZE];

    read_req(frame, id, &since, &until);
    ck_assert_int_lt(until, last_until);
    last_until = until;
    pages++;
    ck_assert(catch_up_is(&it, id, strlen(id)));
    for (size_t i = 0; i < stored && (ignores_limit || sent < cap); i++) {
        if (store[i] < since || store[i] > until - is_exclusive)
            continue;
        ck_assert(catch_up_on_event(&it, store[i], now_ms));
        given[i]++;
        sent++;
    }
    catch_up_on_eose(&it, now_ms);
    ck_assert(!catch_up_is(&it, id, strlen(id)));
    ck_assert(catch_up_is_busy(&it)); /* until the subscription is closed */
    ck_assert(ask(close, now_ms));
    ck_assert_int_eq(strncmp(close, "[\"CLOSE\",\"", 10), 0);
    ck_assert_int_eq(strncmp(close + 10, id, 16), 0);
    ck_assert(!catch_up_is_busy(&it));
}

static void run(void)
{
    char frame[CATCH_UP_FRAME_SIZE];

    while (ask(frame, NOW_MS))
        answer(frame, NOW_MS);
    ck_assert_int_eq(it.state, CATCH_UP_IDLE);
}

static void gap(int64_t ago_s)
{
    catch_up_add_gap(&it, UNIX_S - ago_s, UNIX_S);
}

static void all_were_given_since(int64_t since_s)
{
    for (size_t i = 0; i < stored; i++)
        if (store[i] >= since_s && store[i] <= UNIX_S + CATCH_UP_AHEAD_S)
            ck_assert_msg(given[i] > 0, "%zu of %zu", i, stored);
}

START_TEST(asks_for_nothing_without_a_gap)
{
    char frame[CATCH_UP_FRAME_SIZE];

    ck_assert(!ask(frame, NOW_MS));
    ck_assert_int_eq(catch_up_due_ms(&it), SUBSCRIPTION_NEVER);
    ck_assert(!catch_up_is_busy(&it));
}
END_TEST

START_TEST(asks_back_to_where_wraps_may_be_dated)
{
    char frame[CATCH_UP_FRAME_SIZE], id[17];
    int64_t since, until;

    gap(60);
    ck_assert(ask(frame, NOW_MS));
    read_req(frame, id, &since, &until);
    ck_assert_int_eq(since, UNIX_S - 60 - 2 * 24 * HOUR_S);
    ck_assert_int_eq(until, UNIX_S + 15 * 60);
}
END_TEST

START_TEST(asks_for_other_kinds_one_hour_back)
{
    gap(60);
    ck_assert_int_eq(it.since_s, UNIX_S - 60 - 2 * 24 * HOUR_S);
    catch_up_init(&it, 14);
    gap(60);
    ck_assert_int_eq(it.since_s, UNIX_S - 60 - HOUR_S);
}
END_TEST

START_TEST(reaches_back_two_days_at_most)
{
    gap(30 * 24 * HOUR_S);
    ck_assert_int_eq(it.since_s, UNIX_S - 4 * 24 * HOUR_S);
}
END_TEST

START_TEST(pages_through_a_relay_that_caps)
{
    static const size_t caps[] = {1, 2, 100, 500};

    for (size_t c = 0; c < sizeof caps / sizeof caps[0]; c++) {
        set_up();
        cap = caps[c];
        for (int i = 0; i < 700; i++)
            keep(UNIX_S - i * 7);
        gap(60);
        run();
        all_were_given_since(0);
        ck_assert_uint_le(pages, 2 * stored / cap + 4 + (cap == 1 ? stored : 0));
    }
}
END_TEST

START_TEST(gets_the_ties_of_one_second)
{
    cap = 100;
    for (int i = 0; i < 300; i++)
        keep(UNIX_S - 1000 - i / 60); /* pages end in the middle of a second */
    gap(60);
    run();
    all_were_given_since(0);
}
END_TEST

START_TEST(gets_the_ties_of_a_relay_whose_until_is_exclusive)
{
    is_exclusive = true;
    for (int i = 0; i < 900; i++)
        keep(UNIX_S - 1000 - i / 7);
    gap(60);
    run();
    all_were_given_since(0);
    ck_assert_uint_le(pages, 5);
}
END_TEST

/* While a page is under way a relay may add what is new to it, and that may be dated back. */
START_TEST(is_not_misled_by_a_live_event_in_a_page)
{
    static const int at[] = {0, 1, 250, 498, 499}; /* it comes after so many others */
    char frame[CATCH_UP_FRAME_SIZE];

    for (size_t n = 0; n < sizeof at / sizeof at[0]; n++) {
        set_up();
        gap(60);
        ck_assert(ask(frame, NOW_MS));
        for (int i = 0; i < 499; i++) {
            if (i == at[n])
                ck_assert(catch_up_on_event(&it, UNIX_S - 24 * HOUR_S, NOW_MS));
            ck_assert(catch_up_on_event(&it, UNIX_S - i, NOW_MS));
        }
        if (at[n] == 499)
            ck_assert(catch_up_on_event(&it, UNIX_S - 24 * HOUR_S, NOW_MS));
        catch_up_on_eose(&it, NOW_MS);
        ck_assert_int_ge(it.until_s, UNIX_S - 498);
        ck_assert_int_le(it.until_s, UNIX_S - 496);
    }
}
END_TEST

/* NIP-01 has events come newest first. */
START_TEST(gets_on_with_a_relay_of_another_order)
{
    char frame[CATCH_UP_FRAME_SIZE];

    gap(60);
    for (int n = 0; n < 2; n++) {
        ck_assert(ask(frame, NOW_MS));
        for (int i = 0; i < 500; i++)
            ck_assert(catch_up_on_event(&it, UNIX_S - 500 + i, NOW_MS));
        catch_up_on_eose(&it, NOW_MS);
        ck_assert(ask(frame, NOW_MS)); /* CLOSE */
    }
    ck_assert_int_eq(it.until_s, UNIX_S - 499);
}
END_TEST

/* A relay that gives fewer events at once than one second has: the rest of that second cannot be
 * had. */
START_TEST(goes_on_below_a_second_that_fills_a_page)
{
    cap = 100;
    for (int i = 0; i < 250; i++)
        keep(UNIX_S - 1000);
    keep(UNIX_S - 1001);
    keep(UNIX_S - 1002);
    gap(60);
    run();
    ck_assert_uint_gt(given[250], 0);
    ck_assert_uint_gt(given[251], 0);
    ck_assert_uint_lt(pages, 8);
}
END_TEST

START_TEST(ends_with_a_relay_that_ignores_the_limit)
{
    ignores_limit = true;
    for (int i = 0; i < MANY; i++)
        keep(UNIX_S - i);
    gap(60);
    run();
    all_were_given_since(0);
    ck_assert_uint_le(pages, 4);
}
END_TEST

START_TEST(ends_with_a_relay_that_ignores_the_time)
{
    char frame[CATCH_UP_FRAME_SIZE];

    gap(60);
    ck_assert(ask(frame, NOW_MS));
    ck_assert(!catch_up_on_event(&it, UNIX_S + CATCH_UP_AHEAD_S + 1, NOW_MS));
    ck_assert(!catch_up_on_event(&it, it.since_s - 1, NOW_MS));
    ck_assert(!catch_up_on_event(&it, INT64_MIN, NOW_MS));
    ck_assert(catch_up_on_event(&it, it.since_s, NOW_MS));
    catch_up_on_eose(&it, NOW_MS);
    ck_assert(ask(frame, NOW_MS)); /* CLOSE */
    ck_assert(ask(frame, NOW_MS));
    ck_assert(!catch_up_on_event(&it, UNIX_S, NOW_MS));
    catch_up_on_eose(&it, NOW_MS);
    ck_assert(ask(frame, NOW_MS));
    ck_assert_int_eq(it.state, CATCH_UP_IDLE);
}
END_TEST

START_TEST(ends_a_page_that_does_not_end)
{
    char frame[CATCH_UP_FRAME_SIZE];

    gap(60);
    ck_assert(ask(frame, NOW_MS));
    for (int i = 0; i < CATCH_UP_PAGE_MAX; i++) {
        ck_assert(it.state == CATCH_UP_ASKED);
        ck_assert(catch_up_on_event(&it, UNIX_S - 5, NOW_MS));
    }
    ck_assert(ask(frame, NOW_MS));
    ck_assert_int_eq(strncmp(frame, "[\"CLOSE\"", 8), 0);
    ck_assert_int_eq(it.until_s, UNIX_S - 4);
}
END_TEST

START_TEST(asks_again_for_a_page_that_was_cut_off)
{
    char first[CATCH_UP_FRAME_SIZE], second[CATCH_UP_FRAME_SIZE], id[17];
    int64_t since, until[2];

    keep(UNIX_S - 10);
    keep(UNIX_S - 20);
    gap(60);
    ck_assert(ask(first, NOW_MS));
    answer(first, NOW_MS);
    ck_assert(ask(first, NOW_MS));
    catch_up_interrupt(&it);
    ck_assert(!catch_up_is_busy(&it));
    ck_assert(ask(second, NOW_MS));
    read_req(first, id, &since, &until[0]);
    read_req(second, id, &since, &until[1]);
    ck_assert_int_eq(until[0], UNIX_S - 19);
    ck_assert_int_eq(until[1], UNIX_S - 19);
}
END_TEST

START_TEST(is_at_its_end_though_the_last_close_was_cut_off)
{
    char frame[CATCH_UP_FRAME_SIZE];

    gap(60);
    ck_assert(ask(frame, NOW_MS));
    catch_up_on_eose(&it, NOW_MS);
    catch_up_interrupt(&it);
    ck_assert(!ask(frame, NOW_MS));
    ck_assert_int_eq(it.state, CATCH_UP_IDLE);
}
END_TEST

START_TEST(backs_off_from_a_relay_that_refuses_pages)
{
    char frame[CATCH_UP_FRAME_SIZE];
    int64_t waits[3], now = NOW_MS;

    gap(60);
    for (int i = 0; i < 3; i++) {
        ck_assert(ask(frame, now));
        catch_up_on_closed(&it, now, 0);
        ck_assert(!ask(frame, now));
        waits[i] = catch_up_due_ms(&it) - now;
        now = catch_up_due_ms(&it);
    }
    ck_assert_int_eq(waits[0], 5000);
    ck_assert_int_eq(waits[1], 10000);
    ck_assert_int_eq(waits[2], 20000);
    ck_assert(ask(frame, now));
    answer(frame, now);
    ck_assert_uint_eq(it.backoff.failures, 0);
}
END_TEST

START_TEST(gives_a_silent_relay_its_time_and_asks_again)
{
    char frame[CATCH_UP_FRAME_SIZE];

    gap(60);
    ck_assert(ask(frame, NOW_MS));
    for (int64_t asked = NOW_MS, patience = 20000, i = 0; i < 3; i++) {
        ck_assert(!ask(frame, asked + patience - 1));
        ck_assert(ask(frame, asked + patience));
        ck_assert_int_eq(strncmp(frame, "[\"CLOSE\"", 8), 0);
        asked = catch_up_due_ms(&it);
        ck_assert(!ask(frame, asked - 1));
        ck_assert(ask(frame, asked));
        ck_assert_int_eq(strncmp(frame, "[\"REQ\"", 6), 0);
        patience = i == 0 ? 40000 : 80000;
    }
}
END_TEST

/* Events that came are not asked for again and again. */
START_TEST(goes_on_where_a_page_is_not_ended)
{
    char frame[CATCH_UP_FRAME_SIZE];

    gap(60);
    ck_assert(ask(frame, NOW_MS));
    ck_assert(catch_up_on_event(&it, UNIX_S, NOW_MS + 19999));
    ck_assert(catch_up_on_event(&it, UNIX_S - 5, NOW_MS + 19999));
    ck_assert(catch_up_on_event(&it, UNIX_S - 6, NOW_MS + 19999));
    ck_assert(!ask(frame, NOW_MS + 39998));
    ck_assert(ask(frame, NOW_MS + 39999));
    ck_assert_int_eq(strncmp(frame, "[\"CLOSE\"", 8), 0);
    ck_assert(ask(frame, NOW_MS + 39999));
    ck_assert_int_eq(strncmp(frame, "[\"REQ\"", 6), 0);
    ck_assert_int_eq(it.until_s, UNIX_S - 5);
}
END_TEST

/* Live events keep coming into the page. */
START_TEST(ends_a_page_that_goes_on_for_minutes)
{
    char frame[CATCH_UP_FRAME_SIZE];
    int64_t now;

    gap(60);
    ck_assert(ask(frame, NOW_MS));
    for (now = NOW_MS; now < NOW_MS + CATCH_UP_PAGE_MS; now += 1000) {
        ck_assert(!ask(frame, now));
        ck_assert(catch_up_on_event(&it, UNIX_S - 5, now));
    }
    ck_assert(ask(frame, now));
    ck_assert_int_eq(strncmp(frame, "[\"CLOSE\"", 8), 0);
}
END_TEST

/* Events of the second gap may be dated above or below the point that the first pass has reached.
 */
START_TEST(covers_a_gap_found_on_the_way)
{
    char frame[CATCH_UP_FRAME_SIZE];
    size_t high, low;

    cap = 100;
    for (int i = 0; i < 400; i++)
        keep(UNIX_S - 10 * i);
    gap(60);
    for (int i = 0; i < 2; i++) {
        ck_assert(ask(frame, NOW_MS));
        answer(frame, NOW_MS);
    }
    catch_up_interrupt(&it);
    keep(UNIX_S - 5);
    keep(UNIX_S - 3995);
    keep(UNIX_S - 24 * HOUR_S);
    memset(given, 0, sizeof given);
    gap(30);
    while (ask(frame, NOW_MS)) {
        if (strstr(frame, "REQ") != NULL && it.again == false)
            last_until = INT64_MAX; /* the second pass begins at the top */
        answer(frame, NOW_MS);
    }
    high = 1;
    low = stored - 1;
    ck_assert_int_eq(store[high], UNIX_S - 5);
    ck_assert_int_eq(store[low], UNIX_S - 24 * HOUR_S);
    all_were_given_since(0);
    ck_assert_int_eq(it.state, CATCH_UP_IDLE);
}
END_TEST

START_TEST(keeps_the_earliest_beginning)
{
    gap(60);
    gap(600);
    ck_assert_int_eq(it.since_s, UNIX_S - 600 - CATCH_UP_BACKDATE_S);
    ck_assert(!it.again); /* it had not begun */
    gap(30);
    ck_assert_int_eq(it.since_s, UNIX_S - 600 - CATCH_UP_BACKDATE_S);
    run();
    gap(30);
    ck_assert_int_eq(it.since_s, UNIX_S - 30 - CATCH_UP_BACKDATE_S);
}
END_TEST

START_TEST(asks_for_nothing_older_where_data_begin)
{
    catch_up_init(&it, 14);
    catch_up_add_first_gap(&it, UNIX_S - 60, UNIX_S);
    ck_assert_int_eq(it.since_s, UNIX_S - 60);
    gap(30);
    ck_assert_int_eq(it.since_s, UNIX_S - 30 - CATCH_UP_SLACK_S);
}
END_TEST

/* A gift wrap may be dated before the gap and have come after its beginning. */
START_TEST(asks_for_wraps_that_may_be_older_where_data_begin)
{
    catch_up_add_first_gap(&it, UNIX_S - 60, UNIX_S);
    ck_assert_int_eq(it.since_s, UNIX_S - 60 - CATCH_UP_BACKDATE_S);
}
END_TEST

/* Otherwise a stranger who publishes enough unreadable events would hide all older ones. */
START_TEST(goes_past_a_page_that_cannot_be_read)
{
    char frame[CATCH_UP_FRAME_SIZE];
    int64_t until;

    gap(60);
    ck_assert(ask(frame, NOW_MS));
    until = it.until_s;
    for (int i = 0; i < 500; i++)
        catch_up_on_unread(&it, NOW_MS);
    catch_up_on_eose(&it, NOW_MS);
    ck_assert(ask(frame, NOW_MS)); /* CLOSE */
    ck_assert(ask(frame, NOW_MS));
    ck_assert_int_eq(it.until_s, until - CATCH_UP_STEP_S);
    /* A readable event tells how far the page went. */
    catch_up_on_unread(&it, NOW_MS);
    ck_assert(catch_up_on_event(&it, UNIX_S - 4000, NOW_MS));
    catch_up_on_unread(&it, NOW_MS);
    catch_up_on_eose(&it, NOW_MS);
    ck_assert_int_eq(it.until_s, UNIX_S - 3999);
    /* Events that come while no page is asked for count for nothing. */
    catch_up_on_unread(&it, NOW_MS);
    ck_assert(ask(frame, NOW_MS));
    ck_assert(ask(frame, NOW_MS));
    ck_assert_uint_eq(it.in_page, 0);
}
END_TEST

START_TEST(a_reconnect_does_not_shorten_a_back_off)
{
    char frame[CATCH_UP_FRAME_SIZE];

    gap(60);
    ck_assert(ask(frame, NOW_MS));
    catch_up_on_closed(&it, NOW_MS, 0);
    catch_up_interrupt(&it);
    ck_assert(!ask(frame, NOW_MS + 4999));
    catch_up_hurry(&it);
    ck_assert(ask(frame, NOW_MS + 4999));
    catch_up_hurry(&it);
    ck_assert(!ask(frame, NOW_MS + 5000));
}
END_TEST

START_TEST(goes_through_all_again_when_some_was_lost)
{
    char frame[CATCH_UP_FRAME_SIZE];

    catch_up_repeat(&it);
    ck_assert_int_eq(it.state, CATCH_UP_IDLE);
    for (int i = 0; i < 40; i++)
        keep(UNIX_S - 10 * i);
    cap = 10;
    gap(60);
    for (int i = 0; i < 2; i++) {
        ck_assert(ask(frame, NOW_MS));
        answer(frame, NOW_MS);
    }
    memset(given, 0, sizeof given);
    catch_up_repeat(&it);
    while (ask(frame, NOW_MS)) {
        if (!it.again)
            last_until = INT64_MAX;
        answer(frame, NOW_MS);
    }
    all_were_given_since(0);
}
END_TEST

START_TEST(can_be_cancelled_at_any_point)
{
    char frame[CATCH_UP_FRAME_SIZE];

    gap(60);
    catch_up_cancel(&it);
    ck_assert(!ask(frame, NOW_MS));
    gap(60);
    ck_assert(ask(frame, NOW_MS));
    gap(30);
    catch_up_cancel(&it);
    ck_assert(!catch_up_on_event(&it, UNIX_S, NOW_MS));
    catch_up_repeat(&it);
    catch_up_on_eose(&it, NOW_MS);
    ck_assert(ask(frame, NOW_MS));
    ck_assert_int_eq(strncmp(frame, "[\"CLOSE\"", 8), 0);
    ck_assert_int_eq(it.state, CATCH_UP_IDLE);
    gap(60);
    ck_assert_int_eq(it.since_s, UNIX_S - 60 - CATCH_UP_BACKDATE_S);
}
END_TEST

/* Nothing is left to ask for then, even if the outstanding page fails. */
START_TEST(a_cancelled_page_is_not_asked_for_again)
{
    char frame[CATCH_UP_FRAME_SIZE];

    gap(60);
    ck_assert(ask(frame, NOW_MS));
    catch_up_cancel(&it);
    catch_up_on_closed(&it, NOW_MS, 0);
    ck_assert_int_eq(it.state, CATCH_UP_IDLE);
    gap(60);
    ck_assert(ask(frame, NOW_MS));
    catch_up_cancel(&it);
    catch_up_interrupt(&it);
    ck_assert_int_eq(it.state, CATCH_UP_IDLE);
    gap(60);
    ck_assert(ask(frame, NOW_MS));
    catch_up_cancel(&it);
    gap(30);
    catch_up_on_closed(&it, NOW_MS, 0);
    ck_assert_int_eq(it.state, CATCH_UP_WAITING);
    ck_assert_int_eq(it.since_s, UNIX_S - 30 - CATCH_UP_BACKDATE_S);
}
END_TEST

START_TEST(is_not_fooled_by_the_first_second_of_time)
{
    catch_up_add_gap(&it, 0, 1);
    ck_assert_int_eq(it.since_s, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("catch_up");
    TCase *tcase = tcase_create("catch_up");

    tcase_add_checked_fixture(tcase, set_up, NULL);
    tcase_add_test(tcase, asks_for_nothing_without_a_gap);
    tcase_add_test(tcase, asks_back_to_where_wraps_may_be_dated);
    tcase_add_test(tcase, asks_for_other_kinds_one_hour_back);
    tcase_add_test(tcase, reaches_back_two_days_at_most);
    tcase_add_test(tcase, pages_through_a_relay_that_caps);
    tcase_add_test(tcase, gets_the_ties_of_one_second);
    tcase_add_test(tcase, goes_on_below_a_second_that_fills_a_page);
    tcase_add_test(tcase, ends_with_a_relay_that_ignores_the_limit);
    tcase_add_test(tcase, ends_with_a_relay_that_ignores_the_time);
    tcase_add_test(tcase, ends_a_page_that_does_not_end);
    tcase_add_test(tcase, asks_again_for_a_page_that_was_cut_off);
    tcase_add_test(tcase, is_at_its_end_though_the_last_close_was_cut_off);
    tcase_add_test(tcase, backs_off_from_a_relay_that_refuses_pages);
    tcase_add_test(tcase, gives_a_silent_relay_its_time_and_asks_again);
    tcase_add_test(tcase, covers_a_gap_found_on_the_way);
    tcase_add_test(tcase, keeps_the_earliest_beginning);
    tcase_add_test(tcase, asks_for_nothing_older_where_data_begin);
    tcase_add_test(tcase, asks_for_wraps_that_may_be_older_where_data_begin);
    tcase_add_test(tcase, gets_the_ties_of_a_relay_whose_until_is_exclusive);
    tcase_add_test(tcase, is_not_misled_by_a_live_event_in_a_page);
    tcase_add_test(tcase, gets_on_with_a_relay_of_another_order);
    tcase_add_test(tcase, goes_on_where_a_page_is_not_ended);
    tcase_add_test(tcase, ends_a_page_that_goes_on_for_minutes);
    tcase_add_test(tcase, goes_past_a_page_that_cannot_be_read);
    tcase_add_test(tcase, a_reconnect_does_not_shorten_a_back_off);
    tcase_add_test(tcase, goes_through_all_again_when_some_was_lost);
    tcase_add_test(tcase, can_be_cancelled_at_any_point);
    tcase_add_test(tcase, a_cancelled_page_is_not_asked_for_again);
    tcase_add_test(tcase, is_not_fooled_by_the_first_second_of_time);
    suite_add_tcase(suite, tcase);
    return unit_run(suite);
}
