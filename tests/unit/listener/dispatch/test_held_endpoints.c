#include "dispatch/held_endpoints.h"

#include <stdio.h>

#include "unit.h"

#define TARGETS 40
#define ONE     UINT64_C(0xabc)
#define OTHER   UINT64_C(0xdef)

static struct held_endpoints *held;
static struct held_waits waits, elsewhere;
static struct wake_queue *queue;
static struct wake_target *targets[TARGETS];
static unsigned next; /* target */
static struct wake_list called;
static int64_t now;

/* Every second wake is a relay's. */
static void setup(void)
{
    held = held_endpoints_new();
    held_waits_init(&waits);
    held_waits_init(&elsewhere);
    queue = wake_queue_new(TARGETS, 1, NULL);
    for (unsigned i = 0; i < TARGETS; i++) {
        struct wake wake = {.via = i % 2 == 0 ? WAKE_VIA_RELAY : WAKE_VIA_NOTIFY};
        unsigned merged;

        (void)snprintf(wake.key.hex, sizeof wake.key.hex, "%064x", i);
        ck_assert_int_eq(wake_queue_add(queue, &wake, 0, 0, &merged), WAKE_ADDED);
    }
    ck_assert_uint_eq(wake_queue_take(queue, WAKE_LANE_UNKNOWN, 0, targets, TARGETS), TARGETS);
    now = 5000;
}

static void teardown(void)
{
    held_endpoints_free(&held);
    ck_assert_ptr_null(held);
    wake_queue_free(&queue);
}

static struct held_endpoint *find(push_endpoint_id id)
{
    return held_endpoints_find(held, &waits, id, now);
}

static bool admits(push_endpoint_id id)
{
    return find(id) == NULL || held_endpoint_admits(find(id), now);
}

/* Begins a push; returns when that was. */
static int64_t begin(push_endpoint_id id)
{
    ck_assert(admits(id));
    if (find(id) != NULL)
        held_endpoint_begin(find(id), now);
    return now;
}

static struct push_result asking(int64_t ms)
{
    return (struct push_result){.outcome = PUSH_HELD_BACK, .answered = true, .retry_after_ms = ms};
}

/* A push that began then is answered that; returns for how long the endpoint is held. */
static int64_t refused(push_endpoint_id id, int64_t begun_ms, int64_t asked_ms)
{
    struct push_result result = asking(asked_ms);
    int64_t until_ms = 0;

    ck_assert(held_endpoints_leave(held, &waits, id, begun_ms, &result, now, &until_ms));
    return until_ms - now;
}

static void ended(push_endpoint_id id, int64_t begun_ms, enum push_outcome outcome)
{
    const struct push_result result = {
        .outcome = outcome, .answered = true, .holds_host = true, .retry_after_ms = -1};
    int64_t until_ms = 0;

    ck_assert(!held_endpoints_leave(held, &waits, id, begun_ms, &result, now, &until_ms));
    ck_assert_int_eq(until_ms, 0);
}

static void wait_for(push_endpoint_id id)
{
    ck_assert_ptr_nonnull(find(id));
    held_endpoint_wait(held, find(id), &waits, targets[next++], now);
}

static size_t call(size_t max)
{
    called = (struct wake_list){.first = NULL};
    while (held_endpoints_due(held, now) != NULL)
        continue;
    return held_endpoints_call(held, &waits, max, now, &called);
}

/* ---- How long -------------------------------------------------------------------------------- */

START_TEST(an_endpoint_is_held_alone_for_as_long_as_it_asks)
{
    ck_assert_int_eq(refused(ONE, begin(ONE), 7000), 7000);
    ck_assert(!admits(ONE));
    ck_assert(admits(OTHER));
    now += 6999;
    ck_assert(!admits(ONE));
    now++;
    ck_assert(admits(ONE));
}
END_TEST

START_TEST(a_hold_has_a_least_and_a_most)
{
    ck_assert_int_eq(refused(ONE, begin(ONE), 0), HELD_ENDPOINTS_LEAST_MS);
    ck_assert_int_eq(refused(OTHER, begin(OTHER), 86400000), HELD_ENDPOINTS_MOST_MS);
}
END_TEST

START_TEST(a_hold_doubles_until_something_is_delivered)
{
    static const int64_t seconds[] = {1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300};

    for (unsigned round = 0; round < 2; round++) {
        for (size_t i = 0; i < sizeof seconds / sizeof seconds[0]; i++) {
            ck_assert_int_eq(refused(ONE, begin(ONE), 1000), seconds[i] * 1000);
            now += seconds[i] * 1000;
        }
        ended(ONE, begin(ONE), PUSH_DELIVERED);
        ck_assert_ptr_null(find(ONE));
    }
}
END_TEST

/* Each that asks again asks for what is doubled; and a longer one is honoured. */
START_TEST(what_is_asked_for_counts_each_time)
{
    ck_assert_int_eq(refused(ONE, begin(ONE), 1000), 1000);
    now += 1000;
    ck_assert_int_eq(refused(ONE, begin(ONE), 200000), 300000);
}
END_TEST

START_TEST(nothing_else_ends_it)
{
    static const enum push_outcome others[] = {PUSH_BACKEND_FAULT, PUSH_RETRY, PUSH_DEAD_TOKEN,
                                               PUSH_HELD_BACK, PUSH_GIVEN_UP};
    int64_t until_ms;

    ck_assert_int_eq(refused(ONE, begin(ONE), 1000), 1000);
    now += 1000;
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        int64_t begun = begin(ONE);

        ck_assert(!admits(ONE)); /* one at a time */
        ended(ONE, begun, others[i]);
    }
    ck_assert(!held_endpoints_leave(held, &waits, ONE, begin(ONE), NULL, now, &until_ms));
    ck_assert_int_eq(refused(ONE, begin(ONE), 1000), 2000);
}
END_TEST

/* They say nothing of whether it goes on refusing, but one may ask for longer. */
START_TEST(pushes_that_began_before_double_nothing)
{
    int64_t begun = begin(ONE), tried;

    ck_assert_int_eq(refused(ONE, begun, 2000), 2000);
    ck_assert_int_eq(refused(ONE, begun, 1000), 2000);
    ck_assert_int_eq(refused(ONE, begun, 3000), 3000);
    ended(ONE, begun, PUSH_DELIVERED);
    ck_assert(!admits(ONE));
    now += 3000;
    tried = begin(ONE);
    now++;
    ck_assert_int_eq(refused(ONE, begun, 1000), 1000);
    now += 1000;
    ck_assert(!admits(ONE)); /* while it is being tried */
    ck_assert_int_eq(refused(ONE, tried, 1000), 2000);
}
END_TEST

START_TEST(a_hold_is_remembered_for_a_while)
{
    ck_assert_int_eq(refused(ONE, begin(ONE), 1000), 1000);
    now += 1000 + HELD_ENDPOINTS_KEPT_MS - 1;
    ck_assert_int_eq(refused(ONE, begin(ONE), 1000), 2000);
    now += 2000 + HELD_ENDPOINTS_KEPT_MS;
    ck_assert_int_eq(refused(ONE, begin(ONE), 1000), 1000);
}
END_TEST

/* But not those that somebody waits for. */
START_TEST(where_there_are_too_many_the_oldest_are_forgotten)
{
    (void)refused(ONE, begin(ONE), 1000);
    (void)refused(OTHER, begin(OTHER), 1000);
    (void)refused(1, begin(1), 1000);
    wait_for(OTHER);
    (void)refused(ONE, now, 1000); /* the newest now */
    for (push_endpoint_id id = 2; id <= HELD_ENDPOINTS_KEPT; id++)
        (void)refused(id + 0x1000, now, 1000);
    ck_assert_ptr_null(find(1));
    ck_assert_ptr_nonnull(find(ONE));
    (void)refused(0x1001, now, 1000);
    ck_assert_ptr_null(find(ONE));
    ck_assert_ptr_nonnull(find(OTHER));
}
END_TEST

/* ---- Who waits ------------------------------------------------------------------------------- */

START_TEST(who_waits_is_called_after_the_hold_visible_ones_first)
{
    (void)refused(ONE, begin(ONE), 1000);
    for (unsigned i = 0; i < 4; i++)
        wait_for(ONE);
    ck_assert_uint_eq(waits.targets, 4);
    ck_assert_uint_eq(waits.endpoints, 1);
    ck_assert_uint_eq(call(9), 0);
    ck_assert_int_eq(held_endpoints_next_ms(held), now + 1000);
    now += 1000;
    ck_assert_uint_eq(call(3), 3);
    ck_assert_ptr_eq(wake_list_shift(&called), targets[0]);
    ck_assert_ptr_eq(wake_list_shift(&called), targets[2]);
    ck_assert_ptr_eq(wake_list_shift(&called), targets[1]);
    ck_assert_uint_eq(waits.targets, 1);
    /* Whoever was called may have gone elsewhere: then the next is. */
    ck_assert_uint_eq(call(9), 0);
    now += HELD_ENDPOINTS_CALL_AGAIN_MS;
    ck_assert_uint_eq(call(9), 1);
    ck_assert_uint_eq(waits.targets, 0);
    ck_assert_uint_eq(waits.endpoints, 0);
    ck_assert(admits(ONE));
}
END_TEST

START_TEST(the_next_is_called_when_a_push_has_ended)
{
    int64_t begun;

    (void)refused(ONE, begin(ONE), 1000);
    for (unsigned i = 0; i < 9; i++)
        wait_for(ONE);
    now += 1000;
    ck_assert_uint_eq(call(1), 1);
    begun = begin(ONE);
    now += 60000;
    ck_assert_uint_eq(call(9), 0);
    ck_assert_int_eq(held_endpoints_next_ms(held), INT64_MAX);
    ended(ONE, begun, PUSH_BACKEND_FAULT);
    ck_assert_uint_eq(call(1), 1); /* at once */
    (void)refused(ONE, begin(ONE), 1000);
    ck_assert_uint_eq(call(9), 0);
    now += 2000;
    ck_assert_uint_eq(call(1), 1);
    ended(ONE, begin(ONE), PUSH_DELIVERED);
    ck_assert_uint_eq(call(4), 4); /* and all others may go */
    ck_assert(admits(ONE));
    ck_assert_uint_eq(call(4), 2);
}
END_TEST

START_TEST(endpoints_have_turns)
{
    (void)refused(ONE, begin(ONE), 1000);
    (void)refused(OTHER, begin(OTHER), 1000);
    for (unsigned i = 0; i < 4; i++)
        wait_for(i < 3 ? ONE : OTHER);
    now += 1000;
    ended(ONE, begin(ONE), PUSH_DELIVERED);
    ended(OTHER, begin(OTHER), PUSH_DELIVERED);
    ck_assert_uint_eq(call(1), 1);
    ck_assert_uint_eq(call(1), 1);
    ck_assert_uint_eq(waits.endpoints, 1); /* the other has had its turn */
    ck_assert_uint_eq(call(9), 2);
}
END_TEST

/* Out of memory, all endpoints have one name. */
START_TEST(an_endpoint_is_of_one_host)
{
    (void)refused(ONE, begin(ONE), 1000);
    wait_for(ONE);
    ck_assert_ptr_null(held_endpoints_find(held, &elsewhere, ONE, now));
}
END_TEST

START_TEST(a_call_is_one_s)
{
    (void)refused(ONE, begin(ONE), 1000);
    wait_for(ONE);
    wait_for(ONE);
    ck_assert(!held_endpoint_was_called(find(ONE)));
    now += 1000;
    ck_assert_uint_eq(call(2), 2);
    ck_assert(held_endpoint_was_called(find(ONE)));
    ck_assert(!held_endpoint_was_called(find(ONE)));
}
END_TEST

START_TEST(dropped_are_the_oldest_of_the_endpoint_that_was_come_to_last)
{
    (void)refused(ONE, begin(ONE), 1000);
    (void)refused(OTHER, begin(OTHER), 1000);
    ck_assert_ptr_null(held_endpoints_drop(held, &waits, PUSH_SILENT));
    for (unsigned i = 0; i < 8; i++)
        wait_for(i < 4 ? ONE : OTHER);
    ck_assert_ptr_eq(held_endpoints_drop(held, &waits, PUSH_SILENT), targets[5]);
    ck_assert_ptr_eq(held_endpoints_drop(held, &waits, PUSH_SILENT), targets[7]);
    ck_assert_ptr_null(held_endpoints_drop(held, &waits, PUSH_SILENT));
    ck_assert_ptr_eq(held_endpoints_drop(held, &waits, PUSH_VISIBLE), targets[4]);
    ck_assert_ptr_eq(held_endpoints_drop(held, &waits, PUSH_VISIBLE), targets[6]);
    ck_assert_uint_eq(waits.endpoints, 1);
    ck_assert_ptr_eq(held_endpoints_drop(held, &waits, PUSH_SILENT), targets[1]);
    ck_assert_uint_eq(waits.targets, 3);
}
END_TEST

UNIT_MAIN_WITH("held_endpoints", setup, teardown, an_endpoint_is_held_alone_for_as_long_as_it_asks,
               a_hold_has_a_least_and_a_most, a_hold_doubles_until_something_is_delivered,
               what_is_asked_for_counts_each_time, nothing_else_ends_it,
               pushes_that_began_before_double_nothing, a_hold_is_remembered_for_a_while,
               where_there_are_too_many_the_oldest_are_forgotten,
               who_waits_is_called_after_the_hold_visible_ones_first,
               the_next_is_called_when_a_push_has_ended, endpoints_have_turns,
               an_endpoint_is_of_one_host, a_call_is_one_s,
               dropped_are_the_oldest_of_the_endpoint_that_was_come_to_last)
