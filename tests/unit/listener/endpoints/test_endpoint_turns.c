#include "endpoints/endpoint_turns.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "unit.h"

enum { MOST = 100100 };

static struct endpoint_turns *turns;
static size_t count;

static void setup(void)
{
    count = 0;
    turns = endpoint_turns_new();
    ck_assert_ptr_nonnull(turns);
}

static void teardown(void)
{
    endpoint_turns_free(&turns);
    ck_assert_ptr_null(turns);
}

static void add(const char *host, int64_t registered_at)
{
    static struct registry_endpoint endpoint;

    endpoint.registered_at = registered_at;
    (void)snprintf(endpoint.url, sizeof endpoint.url, "https://%s/%zu", host, count++);
    if (!endpoint_turns_add(turns, &endpoint))
        ck_abort_msg("no memory");
}

/* Whose turn the nth is, by the order of adding. */
static const size_t *draw(void)
{
    static size_t by_turn[MOST];
    static bool told[MOST];
    int64_t turn;

    memset(told, 0, sizeof told);
    endpoint_turns_draw(turns);
    for (size_t i = 0; i < count; i++) {
        turn = endpoint_turns_next(turns);
        if (turn < 0 || turn >= (int64_t)count || told[turn])
            ck_abort_msg("turn %" PRId64 " of %zu", turn, count);
        told[turn] = true;
        by_turn[turn] = i;
    }
    ck_assert_int_eq(endpoint_turns_next(turns), -1);
    return by_turn;
}

START_TEST(the_newest_of_a_host_comes_first)
{
    const size_t *drawn;

    add("push.example", 10);
    add("push.example", REGISTRY_NO_MOMENT);
    add("push.example", 30);
    add("push.example", 20);
    drawn = draw();
    ck_assert_uint_eq(drawn[0], 2);
    ck_assert_uint_eq(drawn[1], 3);
    ck_assert_uint_eq(drawn[2], 0);
    ck_assert_uint_eq(drawn[3], 1);
}
END_TEST

/* A hundred phones of one distributor are all woken among the first two hundred, whatever an owner
 * of another domain has registered, and when, and under which names. */
START_TEST(a_flood_of_one_owner_delays_nobody_else)
{
    const size_t *drawn;
    char name[32];
    size_t found = 0;

    for (int i = 0; i < 50000; i++) {
        (void)snprintf(name, sizeof name, "r%d.flood.test", i);
        add(name, 1000 + i);
    }
    for (int i = 0; i < 100; i++)
        add("ntfy.example", i);
    for (int i = 0; i < 50000; i++)
        add("one.flood.test", 500 + i);
    drawn = draw();
    for (size_t i = 0; i < 200; i++)
        found += drawn[i] >= 50000 && drawn[i] < 50100;
    ck_assert_uint_eq(found, 100);
}
END_TEST

START_TEST(hosts_of_one_owner_share_his_turns)
{
    const size_t *drawn;
    size_t found = 0;

    for (int i = 0; i < 1000; i++)
        add("flood.ddns.test", 1000 + i);
    for (int i = 0; i < 10; i++)
        add("honest.ddns.test", i);
    for (int i = 0; i < 10; i++)
        add("ntfy.example", i);
    drawn = draw();
    for (size_t i = 0; i < 30; i++)
        found += drawn[i] >= 1000;
    ck_assert_uint_eq(found, 20);
}
END_TEST

/* As when Redis goes away while they are told. */
START_TEST(what_was_not_told_is_freed)
{
    add("push.example", 1);
    add("push.test", 1);
    add("push.test", 2);
    endpoint_turns_draw(turns);
    ck_assert_int_ge(endpoint_turns_next(turns), 0);
    endpoint_turns_free(&turns);
    turns = endpoint_turns_new();
    add("push.example", 1);
    add("push.test", 1); /* and nobody has drawn */
}
END_TEST

UNIT_MAIN_WITH("endpoint_turns", setup, teardown, the_newest_of_a_host_comes_first,
               a_flood_of_one_owner_delays_nobody_else, hosts_of_one_owner_share_his_turns,
               what_was_not_told_is_freed)
