#include "dispatch/slots.h"

#include <signal.h>
#include <stdio.h>

#include "unit.h"

#define MOST         32 /* 16 and 16 */
#define LEAST_PROVEN 6
#define PARTIES      40

static struct slots *slots;
static struct slots_party parties[PARTIES];

static void setup(void)
{
    slots = slots_new(MOST, LEAST_PROVEN);
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

START_TEST(newcomers_have_half)
{
    char group[8];

    for (unsigned i = 0; i < 10; i++) {
        (void)snprintf(group, sizeof group, "%u", i);
        join(i, SLOTS_NEWCOMERS, group);
        ck_assert_uint_eq(take(i, 4), i < 4 ? 4 : 0);
    }
    join(10, SLOTS_PROVEN, "0");
    ck_assert_uint_eq(take(10, 3), 3);
}
END_TEST

START_TEST(a_group_of_proven_hosts_has_a_quarter_or_what_one_host_may_have)
{
    struct slots *many = slots_new(200, LEAST_PROVEN);
    struct slots_party party = {0};

    join(0, SLOTS_PROVEN, "a");
    ck_assert_uint_eq(take(0, 99), LEAST_PROVEN);
    ck_assert(slots_join(many, &party, SLOTS_PROVEN, "a"));
    for (unsigned i = 0; i < 25; i++)
        ck_assert(slots_take(many, &party));
    ck_assert(!slots_take(many, &party));
    while (party.taken > 0)
        slots_give(many, &party);
    slots_part(many, &party);
    slots_free(&many);
}
END_TEST

START_TEST(of_one_slot_all_have_their_turn)
{
    struct slots *one = slots_new(1, LEAST_PROVEN);
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
        char group[8];

        (void)snprintf(group, sizeof group, "%u", i);
        join(i, SLOTS_NEWCOMERS, group);
        (void)take(i, 4);
    }
    slots_ask(slots, &parties[4]);
    join(5, SLOTS_PROVEN, "x");
    slots_ask(slots, &parties[5]);
    expect_next(5);
    ck_assert_ptr_null(slots_next(slots));
    slots_give(slots, &parties[0]);
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
    ck_assert_uint_eq(take(0, 9), LEAST_PROVEN - 3);
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
        a_group_of_proven_hosts_has_a_quarter_or_what_one_host_may_have,
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
    return unit_run(suite);
}
