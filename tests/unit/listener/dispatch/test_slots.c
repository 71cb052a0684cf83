#include "dispatch/slots.h"

#include <signal.h>
#include <stdio.h>

#include "unit.h"

#define MOST    32 /* 16 and 16 */
#define HALF    100
#define EACH    20 /* what one host would have */
#define PARTIES 200

static struct slots *slots;
static struct slots_party parties[PARTIES];

static void setup(void)
{
    slots = slots_new(MOST);
}

static void setup_many(void)
{
    slots = slots_new(2 * HALF);
}

static void teardown(void)
{
    for (unsigned i = 0; i < PARTIES; i++) {
        while (parties[i].taken > 0)
            slots_give(slots, &parties[i]);
        slots_part(slots, &parties[i]);
    }
    slots_free(&slots);
    ck_assert_ptr_null(slots);
}

static void join(unsigned i, enum slots_class in, const char *group)
{
    ck_assert(slots_join(slots, &parties[i], in, group));
}

/* Returns how many of `i`'s tries there was a slot for. */
static unsigned take(unsigned i, unsigned tries)
{
    unsigned n = 0;

    while (tries-- > 0)
        n += slots_take(slots, &parties[i]);
    return n;
}

START_TEST(a_group_of_newcomers_has_four)
{
    join(0, SLOTS_NEWCOMERS, "a");
    join(1, SLOTS_NEWCOMERS, "a");
    join(2, SLOTS_NEWCOMERS, "b");
    ck_assert_uint_eq(take(0, 3), 3);
    ck_assert_uint_eq(take(1, 3), 1);
    ck_assert_uint_eq(take(2, 9), 4);
    slots_give(slots, &parties[0]);
    ck_assert_uint_eq(take(1, 3), 1);
}
END_TEST

/* Each group has no more than it leaves. */
START_TEST(newcomers_have_half)
{
    static const unsigned parts[] = {4, 4, 4, 2, 1, 1, 0};
    char group[16];

    for (unsigned i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        (void)snprintf(group, sizeof group, "%u", i);
        join(i, SLOTS_NEWCOMERS, group);
        ck_assert_uint_eq(take(i, 4), parts[i]);
    }
    join(10, SLOTS_PROVEN, "0");
    ck_assert_uint_eq(take(10, 3), 3);
}
END_TEST

START_TEST(of_one_slot_all_have_their_turn)
{
    struct slots *one = slots_new(1);
    struct slots_party newcomer = {0}, proven = {0};

    ck_assert(slots_join(one, &newcomer, SLOTS_NEWCOMERS, "a"));
    ck_assert(slots_join(one, &proven, SLOTS_PROVEN, "b"));
    ck_assert(slots_take(one, &newcomer));
    ck_assert(!slots_take(one, &newcomer));
    ck_assert(slots_take(one, &proven));
    slots_give(one, &newcomer);
    slots_give(one, &proven);
    slots_part(one, &newcomer);
    slots_part(one, &proven);
    slots_free(&one);
}
END_TEST

static void expect_next(unsigned i)
{
    struct slots_party *next = slots_next(slots);

    ck_assert_ptr_eq(next, &parties[i]);
    ck_assert(!next->asks);
}

START_TEST(groups_have_their_turn_and_so_have_parties)
{
    for (unsigned i = 0; i < 6; i++)
        join(i, SLOTS_NEWCOMERS, i < 4 ? "many" : i == 4 ? "one" : "another");
    for (unsigned i = 0; i < 6; i++) {
        slots_ask(slots, &parties[i]);
        slots_ask(slots, &parties[i]); /* which is asking once */
    }
    expect_next(0);
    expect_next(4);
    expect_next(5);
    expect_next(1);
    slots_ask(slots, &parties[0]);
    expect_next(2);
    slots_ask_no_more(slots, &parties[3]);
    expect_next(0);
    ck_assert_ptr_null(slots_next(slots));
    slots_ask(slots, &parties[3]);
    ck_assert_ptr_null(slots_next(slots)); /* its group has four */
    slots_give(slots, &parties[1]);
    expect_next(3);
    ck_assert_ptr_null(slots_next(slots));
}
END_TEST

START_TEST(who_asks_waits_for_the_half_to_have_room)
{
    for (unsigned i = 0; i < 5; i++) {
        char group[16];

        (void)snprintf(group, sizeof group, "%u", i);
        join(i, SLOTS_NEWCOMERS, group);
        (void)take(i, 4);
    }
    join(6, SLOTS_NEWCOMERS, "6");
    ck_assert_uint_eq(take(6, 4), 1);
    slots_ask(slots, &parties[4]);
    join(5, SLOTS_PROVEN, "x");
    slots_ask(slots, &parties[5]);
    expect_next(5);
    ck_assert_ptr_null(slots_next(slots));
    slots_give(slots, &parties[0]);
    ck_assert_ptr_null(slots_next(slots)); /* it has as many as are free */
    slots_give(slots, &parties[1]);
    expect_next(4);
}
END_TEST

/* A host's network becomes known while pushes to it are in flight, or it has shown what it can. */
START_TEST(who_moves_takes_his_slots_along)
{
    join(0, SLOTS_NEWCOMERS, "domain:a.example");
    join(1, SLOTS_NEWCOMERS, "domain:a.example");
    join(2, SLOTS_NEWCOMERS, "4:7f0000");
    ck_assert_uint_eq(take(0, 3), 3);
    ck_assert_uint_eq(take(2, 3), 3);
    slots_ask(slots, &parties[0]);
    join(0, SLOTS_NEWCOMERS, "4:7f0000");
    ck_assert(!parties[0].asks);
    ck_assert_uint_eq(take(1, 9), 4);
    slots_ask(slots, &parties[2]);
    ck_assert_ptr_null(slots_next(slots)); /* six are there by now */
    join(0, SLOTS_PROVEN, "4:7f0000");
    expect_next(2);
    ck_assert_uint_eq(take(0, 9), MOST / 4 - 3);
}
END_TEST

/* ---- Proven hosts ---------------------------------------------------------------------------- */

/* A party of a group of its own, whose slots count so many times more. */
static void join_alone(unsigned i, unsigned slowness)
{
    char group[16];

    (void)snprintf(group, sizeof group, "%u", i);
    join(i, SLOTS_PROVEN, group);
    slots_slow(slots, &parties[i], slowness);
}

/* The first n parties take what they can, up to EACH, in turn. */
static void take_all(unsigned n)
{
    bool more = true;

    while (more) {
        more = false;
        for (unsigned i = 0; i < n; i++)
            if (parties[i].taken < EACH && slots_take(slots, &parties[i]))
                more = true;
    }
}

START_TEST(a_party_alone_has_all_it_may_have_however_slow)
{
    join_alone(0, _i == 0 ? 0 : 3);
    ck_assert_uint_eq(take(0, EACH), EACH);
}
END_TEST

/* Whoever comes after so many that take all they can get. */
START_TEST(there_is_a_slot_for_who_has_none)
{
    static const struct {
        unsigned groups, slowness, left; /* for one who comes at once, of EACH */
    } cases[] = {{5, 0, 8}, {5, 3, EACH}, {20, 0, 2}, {20, 3, 8}, {98, 0, 1}, {98, 3, 1}};
    unsigned groups = cases[_i].groups;

    for (unsigned i = 0; i < groups; i++)
        join_alone(i, cases[_i].slowness);
    take_all(groups);
    join_alone(groups, 0);
    ck_assert_uint_eq(take(groups, EACH), cases[_i].left);
}
END_TEST

/* It is not judged by its neighbours alone. */
START_TEST(there_is_one_for_who_has_none_in_a_group_that_has_many)
{
    for (unsigned i = 0; i < 6; i++) {
        join(i, SLOTS_PROVEN, "a");
        slots_slow(slots, &parties[i], 3);
    }
    take_all(5);
    slots_slow(slots, &parties[5], 0);
    ck_assert_uint_ge(take(5, EACH), 5);
}
END_TEST

START_TEST(a_slot_may_come_to_count_more_while_it_is_taken)
{
    join_alone(0, 0);
    join(1, SLOTS_PROVEN, "0");
    join_alone(2, 0);
    (void)take(0, EACH);
    slots_slow(slots, &parties[0], 7); /* EACH * 8 is twice what is free */
    ck_assert_uint_eq(take(1, 1), 0);
    ck_assert_uint_eq(take(2, 1), 1);
    slots_slow(slots, &parties[0], 0);
    ck_assert_uint_eq(take(1, 1), 1);
}
END_TEST

/* Where more groups ask than there are slots. */
START_TEST(who_has_least_comes_first_and_who_is_quick)
{
    for (unsigned i = 0; i < HALF; i++) {
        join_alone(i, 0);
        ck_assert_uint_eq(take(i, 1), 1);
    }
    slots_ask(slots, &parties[0]);
    for (unsigned i = HALF; i < HALF + 3; i++) {
        join_alone(i, i == HALF ? 1 : 0);
        slots_ask(slots, &parties[i]);
    }
    ck_assert_ptr_null(slots_next(slots));
    for (unsigned i = 1; i < 6; i++)
        slots_give(slots, &parties[i]);
    expect_next(HALF + 1);
    expect_next(HALF + 2);
    expect_next(HALF);
    expect_next(0);
    ck_assert_ptr_null(slots_next(slots));
}
END_TEST

/* Nobody waits for ever because he is slow. */
START_TEST(others_go_before_a_slow_one_a_bounded_number_of_times)
{
    join_alone(0, 0);
    join_alone(1, 1);
    slots_ask(slots, &parties[1]);
    for (unsigned i = 0; i < 4 * HALF - 1; i++) {
        slots_ask(slots, &parties[0]);
        expect_next(0);
        slots_give(slots, &parties[0]);
    }
    slots_ask(slots, &parties[0]);
    expect_next(1);
}
END_TEST

static void give_what_was_not_taken(void)
{
    join(0, SLOTS_PROVEN, "a");
    slots_give(slots, &parties[0]);
}

static void part_with_a_slot(void)
{
    join(0, SLOTS_PROVEN, "a");
    (void)take(0, 1);
    slots_part(slots, &parties[0]);
}

START_TEST(a_broken_promise_ends_the_process)
{
    static void (*const misuses[])(void) = {give_what_was_not_taken, part_with_a_slot};

    misuses[_i]();
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        a_group_of_newcomers_has_four,
        newcomers_have_half,
        of_one_slot_all_have_their_turn,
        groups_have_their_turn_and_so_have_parties,
        who_asks_waits_for_the_half_to_have_room,
        who_moves_takes_his_slots_along,
    };
    Suite *suite = suite_create("slots");
    TCase *tcase = tcase_create("slots");

    tcase_add_checked_fixture(tcase, setup, teardown);
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++)
        tcase_add_test(tcase, tests[i]);
    tcase_add_loop_test_raise_signal(tcase, a_broken_promise_ends_the_process, SIGABRT, 0, 2);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("proven hosts");
    tcase_add_checked_fixture(tcase, setup_many, teardown);
    tcase_add_loop_test(tcase, a_party_alone_has_all_it_may_have_however_slow, 0, 2);
    tcase_add_loop_test(tcase, there_is_a_slot_for_who_has_none, 0, 6);
    tcase_add_test(tcase, there_is_one_for_who_has_none_in_a_group_that_has_many);
    tcase_add_test(tcase, a_slot_may_come_to_count_more_while_it_is_taken);
    tcase_add_test(tcase, who_has_least_comes_first_and_who_is_quick);
    tcase_add_test(tcase, others_go_before_a_slow_one_a_bounded_number_of_times);
    suite_add_tcase(suite, tcase);
    return unit_run(suite);
}
