#include "dispatch/hosts.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "dispatch/slots.h"
#include "unit.h"

#define SLOTS        200 /* 100 for proven hosts */
#define TARGETS      300
#define WAITING      200
#define WAITING_EACH 150

static struct hosts *hosts;
static struct wake_queue *queue;
static struct wake_target *targets[TARGETS];
static unsigned next; /* target */
static struct hosts_moved moved;
static int64_t now;

static uint64_t most(uint64_t limit)
{
    return limit;
}

/* Every second wake is a relay's. */
static void setup(void)
{
    const struct hosts_limits limits = {
        .slots = SLOTS, .waiting = WAITING + 3 * HOSTS_WEIGHT, .waiting_each = WAITING_EACH};

    hosts = hosts_new(&limits, most);
    queue = wake_queue_new(TARGETS, 2, NULL);
    for (unsigned i = 0; i < TARGETS; i++) {
        struct wake wake = {.via = i % 2 == 0 ? WAKE_VIA_RELAY : WAKE_VIA_NOTIFY};
        unsigned merged;

        (void)snprintf(wake.id, sizeof wake.id, "%u-0", i);
        (void)snprintf(wake.key.hex, sizeof wake.key.hex, "%064x", i);
        ck_assert_int_eq(wake_queue_add(queue, &wake, 0, 0, &merged), WAKE_ADDED);
    }
    ck_assert_uint_eq(wake_queue_take(queue, WAKE_LANE_UNKNOWN, 0, targets, TARGETS), TARGETS);
}

static void teardown(void)
{
    hosts_free(&hosts);
    ck_assert_ptr_null(hosts);
    wake_queue_free(&queue);
}

static unsigned length(struct wake_list *list)
{
    unsigned n = 0;

    while (wake_list_shift(list) != NULL)
        n++;
    return n;
}

static unsigned called(void)
{
    return length(&moved.called);
}

static enum hosts_entry enter_by(const char *host, push_endpoint_id endpoint)
{
    enum hosts_entry entry = hosts_enter(hosts, host, endpoint, targets[next], now, &moved);

    next = (next + 1) % TARGETS;
    return entry;
}

static enum hosts_entry enter(const char *host)
{
    return enter_by(host, next);
}

/* Returns how many of so many enter; the others wait. */
static unsigned enter_many(const char *host, unsigned tries)
{
    unsigned n = 0;

    while (tries-- > 0)
        n += enter(host) == HOSTS_ENTERED;
    return n;
}

/* All that are called enter, each again; returns how many could. */
static unsigned enter_called(const char *host)
{
    struct wake_target *target;
    unsigned n = 0;

    while ((target = wake_list_shift(&moved.called)) != NULL) {
        struct hosts_moved none = {0};

        n += hosts_enter(hosts, host, 0, target, now, &none) == HOSTS_ENTERED;
    }
    return n;
}

static const struct push_result good = {
    .outcome = PUSH_DELIVERED, .answered = true, .retry_after_ms = -1, .peer = "192.0.2.1"};
static const struct push_result busy = {
    .outcome = PUSH_BACKEND_FAULT, .answered = true, .retry_after_ms = -1, .peer = "192.0.2.1"};
static const struct push_result away = {.outcome = PUSH_BACKEND_FAULT, .retry_after_ms = -1};
static const struct push_result silent = {
    .outcome = PUSH_BACKEND_FAULT, .timed_out = true, .retry_after_ms = -1, .peer = "192.0.2.1"};
static const struct push_result held_back = {.outcome = PUSH_HELD_BACK,
                                             .answered = true,
                                             .holds_host = true,
                                             .retry_after_ms = -1,
                                             .peer = "192.0.2.1"};

static struct hosts_verdict leave_by(const char *host, push_endpoint_id endpoint,
                                     const struct push_result *result, int64_t took_ms)
{
    const struct hosts_push push = {.endpoint = endpoint,
                                    .begun_ms = now - took_ms,
                                    .ended_ms = now,
                                    .failing_ms = now - took_ms};

    return hosts_leave(hosts, host, &push, result, now, &moved);
}

static struct hosts_verdict leave(const char *host, const struct push_result *result)
{
    return leave_by(host, 0, result, 0);
}

static void prove(const char *host)
{
    ck_assert_int_eq(enter(host), HOSTS_ENTERED);
    (void)leave(host, &good);
}

/* Returns when there is something to do next. */
static int64_t run(void)
{
    return hosts_run(hosts, now, &moved);
}

/* ---- Slots ----------------------------------------------------------------------------------- */

START_TEST(a_healthy_host_has_its_slots_from_its_second_push_on)
{
    ck_assert_uint_eq(enter_many("a.example:443", 30), 1);
    (void)leave("a.example:443", &good);
    ck_assert_uint_eq(enter_called("a.example:443"), HOSTS_SLOTS_MAX);
    for (unsigned waiting = 30 - 1 - HOSTS_SLOTS_MAX; waiting > 0; waiting--) {
        (void)leave("a.example:443", &good);
        ck_assert_uint_eq(called(), 1); /* one for one */
        ck_assert_int_eq(enter("a.example:443"), HOSTS_ENTERED);
    }
    (void)leave("a.example:443", &good);
    ck_assert_uint_eq(called(), 0);
}
END_TEST

START_TEST(a_name_has_a_length)
{
    char name[PUSH_HOST_MAX + 1];

    memset(name, 'a', sizeof name);
    name[sizeof name - 1] = '\0';
    ck_assert_int_eq(enter(name), HOSTS_NO_MEMORY);
    name[sizeof name - 2] = '\0';
    ck_assert_int_eq(enter(name), HOSTS_ENTERED);
    (void)leave(name, NULL);
}
END_TEST

/* A hundred new names a second, of one wildcard record. */
START_TEST(a_domain_of_new_names_has_four_slots)
{
    char name[32];

    prove("honest.example:443");
    for (unsigned i = 0; i < 100; i++) {
        (void)snprintf(name, sizeof name, "x%u.y%u.evil.example:443", i, i);
        ck_assert_int_eq(enter(name), i < SLOTS_GROUP_NEWCOMERS ? HOSTS_ENTERED : HOSTS_WAITS);
    }
    ck_assert_int_eq(enter("new.other.example:443"), HOSTS_ENTERED);
    ck_assert_uint_eq(enter_many("honest.example:443", HOSTS_SLOTS_MAX), HOSTS_SLOTS_MAX);
}
END_TEST

/* Who registers names there has nothing to do with the others who do. */
START_TEST(domains_below_a_country_s_suffix_share_no_slots)
{
    char name[32];

    for (unsigned i = 0; i < 9; i++) {
        (void)snprintf(name, sizeof name, "x%u.evil.co.uk:443", i);
        ck_assert_int_eq(enter(name), i < SLOTS_GROUP_NEWCOMERS ? HOSTS_ENTERED : HOSTS_WAITS);
    }
    ck_assert_int_eq(enter("push.honest.co.uk:443"), HOSTS_ENTERED);
}
END_TEST

/* Names of many domains that lead to one network are one party as soon as they are known. */
START_TEST(a_network_of_newcomers_has_four_slots)
{
    char name[32];
    unsigned n = 0;

    for (unsigned i = 0; i < 10; i++) {
        (void)snprintf(name, sizeof name, "evil%u.example:443", i);
        ck_assert_int_eq(enter(name), HOSTS_ENTERED);
        (void)leave_by(name, i, &silent, 5000);
    }
    for (unsigned i = 0; i < 10; i++) {
        (void)snprintf(name, sizeof name, "evil%u.example:443", i);
        n += enter(name) == HOSTS_ENTERED;
    }
    ck_assert_uint_eq(n, SLOTS_GROUP_NEWCOMERS);
    ck_assert_int_eq(enter("192.0.2.77:443"), HOSTS_WAITS); /* which says where it is */
    ck_assert_int_eq(enter("[2001:db8::1]:443"), HOSTS_ENTERED);
    ck_assert_int_eq(enter("192.0.3.77:443"), HOSTS_ENTERED);
}
END_TEST

START_TEST(a_host_that_is_slow_is_a_newcomer_until_it_answers_in_time)
{
    prove("a.example:443");
    ck_assert_uint_eq(enter_many("a.example:443", HOSTS_SLOTS_MAX), HOSTS_SLOTS_MAX);
    (void)leave_by("a.example:443", 0, &good, HOSTS_SLOW_MS);
    for (unsigned i = 1; i < HOSTS_SLOTS_MAX; i++)
        (void)leave_by("a.example:443", 0, NULL, 0);
    ck_assert_uint_eq(enter_many("a.example:443", 9), SLOTS_GROUP_NEWCOMERS);
    (void)leave_by("a.example:443", 0, &good, HOSTS_SLOW_MS - 1);
    ck_assert_uint_eq(enter_called("a.example:443"), 5);
    ck_assert_uint_eq(enter_many("a.example:443", 99), HOSTS_SLOTS_MAX - 8);
}
END_TEST

/* Hosts of as many networks, each of which has answered once. */
static void name_of(char name[32], unsigned network)
{
    (void)snprintf(name, 32, "198.51.%u.1:443", network);
}

static void leave_there(unsigned network, int64_t took_ms)
{
    struct push_result result = good;
    char name[32];

    name_of(name, network);
    (void)snprintf(result.peer, sizeof result.peer, "198.51.%u.1", network);
    (void)leave_by(name, network, &result, took_ms);
}

/* Returns how many of them have a push in flight to them, having tried so often each. */
static unsigned enter_all(unsigned networks, unsigned tries, unsigned entered[])
{
    char name[32];
    unsigned n = 0;

    while (tries-- > 0)
        for (unsigned i = 0; i < networks; i++) {
            name_of(name, i);
            entered[i] += enter(name) == HOSTS_ENTERED;
        }
    for (unsigned i = 0; i < networks; i++)
        n += entered[i] > 0;
    return n;
}

/* Which would do for all of the proven ones' slots. */
START_TEST(networks_that_keep_slots_for_long_delay_nobody)
{
    enum { NETWORKS = 20, TRIES = 8 };
    unsigned entered[NETWORKS] = {0}, once[NETWORKS] = {0};

    prove("honest.example:443");
    ck_assert_uint_eq(enter_all(NETWORKS, 1, once), NETWORKS);
    for (unsigned i = 0; i < NETWORKS; i++)
        leave_there(i, 0);
    ck_assert_uint_eq(enter_all(NETWORKS, TRIES, entered), NETWORKS);
    ck_assert_uint_ge(enter_many("honest.example:443", 2), 2);
    (void)leave("honest.example:443", &good);
    (void)leave("honest.example:443", &good);
    for (unsigned i = 0; i < NETWORKS; i++) /* it is known now how long they take */
        for (; entered[i] > 0; entered[i]--)
            leave_there(i, HOSTS_SLOW_MS - 1);
    (void)enter_all(NETWORKS, TRIES, entered);
    ck_assert_uint_ge(enter_many("honest.example:443", 8), 8);
}
END_TEST

START_TEST(a_slow_host_alone_has_its_slots)
{
    ck_assert_int_eq(enter("a.example:443"), HOSTS_ENTERED);
    (void)leave_by("a.example:443", 0, &good, HOSTS_SLOW_MS - 1);
    ck_assert_uint_eq(enter_many("a.example:443", 30), HOSTS_SLOTS_MAX);
}
END_TEST

/* While others have 60 of the 100 slots. */
static unsigned enter_among_others(const char *host)
{
    unsigned n = 0;

    while (n < HOSTS_SLOTS_MAX && enter(host) == HOSTS_ENTERED)
        n++;
    for (unsigned i = 0; i < n; i++)
        (void)leave(host, NULL);
    if (n < HOSTS_SLOTS_MAX) { /* one waits */
        ck_assert_uint_eq(enter_called(host), 1);
        (void)leave(host, NULL);
    }
    return n;
}

START_TEST(a_host_is_slow_until_it_has_answered_quickly_for_a_while)
{
    char name[32];

    for (unsigned i = 0; i < 3; i++) {
        name_of(name, i);
        ck_assert_int_eq(enter(name), HOSTS_ENTERED);
        leave_there(i, 0);
        ck_assert_uint_eq(enter_many(name, HOSTS_SLOTS_MAX), HOSTS_SLOTS_MAX);
    }
    prove("a.example:443");
    ck_assert_uint_eq(enter_among_others("a.example:443"), HOSTS_SLOTS_MAX);
    ck_assert_int_eq(enter("a.example:443"), HOSTS_ENTERED);
    (void)leave_by("a.example:443", 0, &good, HOSTS_SLOW_MS - 1);
    ck_assert_uint_eq(enter_among_others("a.example:443"), 8);
    prove("a.example:443");
    ck_assert_uint_eq(enter_among_others("a.example:443"), 8);
    for (unsigned i = 0; i < 10; i++)
        prove("a.example:443");
    ck_assert_uint_eq(enter_among_others("a.example:443"), HOSTS_SLOTS_MAX);
}
END_TEST

START_TEST(a_host_is_proven_for_a_day)
{
    prove("a.example:443");
    now = HOSTS_PROVEN_MS - 1;
    (void)run();
    ck_assert_uint_eq(enter_many("a.example:443", 9), 9);
    for (unsigned i = 0; i < 9; i++)
        (void)leave("a.example:443", NULL);
    now++;
    (void)run();
    ck_assert_uint_eq(enter_many("a.example:443", 9), SLOTS_GROUP_NEWCOMERS);
}
END_TEST

/* However many names a stranger has answer, others stay proven. */
START_TEST(strangers_names_push_no_proven_host_out)
{
    static const struct push_result elsewhere = {
        .outcome = PUSH_DELIVERED, .answered = true, .peer = "203.0.113.9"};
    char name[32];

    prove("honest.example:443");
    for (unsigned i = 0; i < HOSTS_KEPT_MOST + 1000; i++) {
        (void)snprintf(name, sizeof name, "x%u.evil.example:443", i);
        now++;
        ck_assert_int_eq(enter(name), HOSTS_ENTERED);
        (void)leave(name, &elsewhere);
    }
    ck_assert_uint_eq(enter_many("honest.example:443", 9), 9);
    ck_assert_uint_eq(enter_many("x0.evil.example:443", 9), 1); /* the eldest of theirs */
    ck_assert_uint_eq(enter_many(name, 9), 9);
}
END_TEST

/* Whoever was called may have gone elsewhere: then the next are. */
START_TEST(a_call_that_nobody_follows_is_made_anew)
{
    ck_assert_uint_eq(enter_many("a.example:443", 2 * HOSTS_CALLED + 2), 1);
    (void)leave("a.example:443", NULL);
    ck_assert_uint_eq(called(), HOSTS_CALLED);
    ck_assert_int_eq(run(), HOSTS_CALL_AGAIN_MS);
    ck_assert_uint_eq(called(), 0);
    now = HOSTS_CALL_AGAIN_MS;
    ck_assert_int_eq(run(), 2 * HOSTS_CALL_AGAIN_MS);
    ck_assert_uint_eq(called(), HOSTS_CALLED);
    now *= 2;
    (void)run();
    ck_assert_uint_eq(called(), 1);
    ck_assert_int_eq(enter("a.example:443"), HOSTS_ENTERED);
    ck_assert_int_eq(enter("a.example:443"), HOSTS_WAITS);
}
END_TEST

/* ---- Hosts that are down --------------------------------------------------------------------- */

/* So many pushes fail at "a.example:443", each another endpoint's. */
static void bring_down(const struct push_result *result)
{
    for (unsigned i = 1; i <= PUSH_HEALTH_FAULTS; i++) {
        ck_assert_int_eq(enter_by("a.example:443", i), HOSTS_ENTERED);
        ck_assert(leave_by("a.example:443", i, result, 0).waits == (i == PUSH_HEALTH_FAULTS));
    }
    ck_assert_uint_eq(called(), 0);
}

START_TEST(a_host_that_is_down_is_probed_by_one_at_a_time)
{
    bring_down(&busy);
    ck_assert_uint_eq(enter_many("a.example:443", 30), 0);
    ck_assert_int_eq(run(), PUSH_HEALTH_PROBE_LEAST_MS);
    ck_assert_uint_eq(called(), 0);
    now = PUSH_HEALTH_PROBE_LEAST_MS;
    (void)run();
    ck_assert_uint_eq(enter_called("a.example:443"), 1);
    ck_assert(leave_by("a.example:443", 9, &busy, 0).waits);
    ck_assert_uint_eq(called(), 0);
    now = run();
    ck_assert_int_eq(now, 2 * PUSH_HEALTH_PROBE_LEAST_MS);
    (void)run();
    ck_assert_uint_eq(enter_called("a.example:443"), 1);
    (void)leave_by("a.example:443", 10, &good, 0);
    /* It is back: all go out within its slots. */
    ck_assert_uint_eq(enter_called("a.example:443"), HOSTS_SLOTS_MAX);
}
END_TEST

/* A connection is all that shows that it is there. */
START_TEST(a_host_without_an_answer_is_down_whoever_asks)
{
    for (unsigned i = 0; i < PUSH_HEALTH_FAULTS; i++) {
        ck_assert_int_eq(enter_by("a.example:443", 7), HOSTS_ENTERED);
        (void)leave_by("a.example:443", 7, &away, 0);
    }
    ck_assert_int_eq(enter("a.example:443"), HOSTS_WAITS);
    ck_assert_int_eq(enter("b.example:443"), HOSTS_ENTERED);
}
END_TEST

START_TEST(one_endpoint_brings_no_host_down)
{
    for (unsigned i = 0; i < 100; i++) {
        ck_assert_int_eq(enter_by("a.example:443", 7), HOSTS_ENTERED);
        ck_assert(!leave_by("a.example:443", 7, &busy, 0).waits);
    }
    ck_assert_int_eq(enter("a.example:443"), HOSTS_ENTERED);
}
END_TEST

/* The next probe is one whose endpoint has not failed. */
START_TEST(a_bad_endpoint_does_not_keep_its_host_down)
{
    bring_down(&busy);
    ck_assert_int_eq(enter_by("a.example:443", 1), HOSTS_WAITS);
    ck_assert_int_eq(enter_by("a.example:443", 2), HOSTS_WAITS);
    ck_assert_int_eq(enter_by("a.example:443", 99), HOSTS_WAITS);
    now = PUSH_HEALTH_PROBE_LEAST_MS;
    (void)run();
    ck_assert_ptr_eq(wake_list_shift(&moved.called), targets[next - 1]);
}
END_TEST

START_TEST(what_fails_while_others_succeed_is_to_blame)
{
    prove("a.example:443");
    ck_assert_int_eq(enter_by("a.example:443", 7), HOSTS_ENTERED);
    ck_assert_int_eq(enter_by("a.example:443", 8), HOSTS_ENTERED);
    now = 100;
    (void)leave_by("a.example:443", 8, &good, 100);
    now = 200;
    ck_assert(leave_by("a.example:443", 7, &busy, 200).blamed);
    ck_assert_int_eq(enter_by("a.example:443", 7), HOSTS_ENTERED);
    ck_assert(!leave_by("a.example:443", 7, &busy, 0).blamed);
    /* Others elsewhere are no others. */
    prove("b.example:443");
    ck_assert_int_eq(enter_by("a.example:443", 7), HOSTS_ENTERED);
    ck_assert(!leave_by("a.example:443", 7, &busy, 0).blamed);
}
END_TEST

/* It spends no try, whoever has succeeded before it went down. */
START_TEST(nobody_is_to_blame_where_the_host_is_down)
{
    prove("a.example:443");
    for (unsigned i = 1; i <= 20; i++)
        ck_assert_int_eq(enter_by("a.example:443", i), HOSTS_ENTERED);
    for (unsigned i = 1; i <= 20; i++)
        ck_assert(leave_by("a.example:443", i, &away, 0).blamed == (i < PUSH_HEALTH_FAULTS));
}
END_TEST

/* ---- Hosts that are held --------------------------------------------------------------------- */

/* A push to "a.example:443" is answered that there are too many; returns for how long it waits. */
static int64_t refuse(void)
{
    struct hosts_verdict verdict = leave("a.example:443", &held_back);

    ck_assert(verdict.waits && !verdict.blamed);
    return verdict.until_ms - now;
}

START_TEST(a_held_host_calls_nobody_before_its_time)
{
    prove("a.example:443");
    ck_assert_uint_eq(enter_many("a.example:443", 30), HOSTS_SLOTS_MAX);
    for (unsigned i = 0; i < HOSTS_SLOTS_MAX; i++, now++)
        ck_assert_int_eq(refuse(), HOSTS_HOLD_LEAST_MS - i); /* and none lengthens it */
    ck_assert_int_eq(enter("a.example:443"), HOSTS_WAITS);
    ck_assert_int_eq(run(), HOSTS_HOLD_LEAST_MS);
    ck_assert_uint_eq(called(), 0);
    now = HOSTS_HOLD_LEAST_MS;
    (void)run();
    ck_assert_uint_eq(enter_called("a.example:443"), 1);
}
END_TEST

START_TEST(afterwards_it_shows_how_many_it_takes)
{
    prove("a.example:443");
    ck_assert_int_eq(enter("a.example:443"), HOSTS_ENTERED);
    (void)refuse();
    now = HOSTS_HOLD_LEAST_MS;
    ck_assert_uint_eq(enter_many("a.example:443", 60), 1);
    for (unsigned allowed = 1; allowed < HOSTS_SLOTS_MAX; allowed *= 2) {
        unsigned twice = 2 * allowed < HOSTS_SLOTS_MAX ? 2 * allowed : HOSTS_SLOTS_MAX;

        (void)leave("a.example:443", &good);
        ck_assert_uint_eq(enter_called("a.example:443"), twice - allowed + 1);
    }
}
END_TEST

START_TEST(a_host_that_says_nothing_else_is_held_for_longer)
{
    static const int64_t holds[] = {5000, 10000, 20000, 40000, 60000, 60000};

    for (unsigned round = 0; round < 2; round++) {
        for (size_t i = 0; i < sizeof holds / sizeof holds[0]; i++) {
            ck_assert_int_eq(enter("a.example:443"), HOSTS_ENTERED);
            ck_assert_int_eq(refuse(), holds[i]);
            now += holds[i];
        }
        prove("a.example:443"); /* it takes one: from the beginning */
    }
}
END_TEST

START_TEST(a_failure_shows_nothing_of_how_many_it_takes)
{
    static const struct push_result failures[] = {
        {.outcome = PUSH_BACKEND_FAULT, .answered = true},
        {.outcome = PUSH_CANCELLED},
        {.outcome = PUSH_HELD_BACK, .answered = true, .retry_after_ms = 1000},
    };

    prove("a.example:443");
    ck_assert_int_eq(enter("a.example:443"), HOSTS_ENTERED);
    (void)refuse();
    now = 5000;
    for (size_t i = 0; i < sizeof failures / sizeof failures[0]; i++) {
        ck_assert_int_eq(enter("a.example:443"), HOSTS_ENTERED);
        ck_assert_int_eq(enter("a.example:443"), HOSTS_WAITS);
        (void)leave("a.example:443", &failures[i]);
        ck_assert_uint_eq(called(), 1);
    }
    ck_assert_int_eq(enter("a.example:443"), HOSTS_ENTERED);
    ck_assert_int_eq(refuse(), 10000);
}
END_TEST

/* ---- Too many wait --------------------------------------------------------------------------- */

/* Of the network with the most, silent ones first; in order. */
START_TEST(where_too_many_wait_the_heaviest_network_loses_its_oldest_silent_ones)
{
    bring_down(&away);
    next = 0;
    ck_assert_int_eq(enter("lone.example:443"), HOSTS_ENTERED);
    ck_assert_int_eq(enter("lone.example:443"), HOSTS_WAITS);
    next = 10;
    ck_assert_uint_eq(enter_many("a.example:443", WAITING_EACH - 1), 0);
    ck_assert_uint_eq(enter_many("b.a.example:443", WAITING - WAITING_EACH + 1), 1);
    ck_assert_ptr_null(moved.dropped.first);
    next = 290;
    for (unsigned i = 0; i < 3; i++) {
        ck_assert_int_eq(enter("a.example:443"), HOSTS_WAITS);
        ck_assert_ptr_eq(wake_list_shift(&moved.dropped), targets[11 + 2 * i]);
        ck_assert_ptr_null(moved.dropped.first);
    }
    ck_assert_int_eq(enter("lone.example:443"), HOSTS_WAITS);
    ck_assert_ptr_eq(wake_list_shift(&moved.dropped), targets[17]);
}
END_TEST

/* Though it came first, and has silent ones where another has none. */
START_TEST(a_host_loses_nothing_for_neighbours_that_have_more)
{
    struct wake_target *target;
    bool visible = false;

    next = 0;
    ck_assert_uint_eq(enter_many("honest.evil.example:443", 10), 1);
    while (next != 0)
        (void)enter(next % 2 == 0 ? "relay.evil.example:443" : "notify.evil.example:443");
    ck_assert_ptr_nonnull(moved.dropped.first);
    while ((target = wake_list_shift(&moved.dropped)) != NULL)
        visible = visible || wake_target_kind(target) == PUSH_VISIBLE;
    ck_assert(visible);
    (void)leave("honest.evil.example:443", &good);
    ck_assert_uint_eq(called(), 9);
}
END_TEST

/* However few wait for each. */
START_TEST(hosts_of_one_wake_each_have_a_bound)
{
    unsigned waiting = 0;
    char name[32];

    ck_assert_int_eq(enter("x.evil.example:443"), HOSTS_ENTERED);
    for (unsigned i = 0; i < WAITING; i++) {
        (void)snprintf(name, sizeof name, "x%u.evil.example:443", i);
        waiting += enter(name) == HOSTS_WAITS;
    }
    ck_assert_uint_eq(waiting - length(&moved.dropped),
                      (WAITING + 3 * HOSTS_WEIGHT) / (1 + HOSTS_WEIGHT));
}
END_TEST

START_TEST(where_too_many_wait_for_a_host_it_loses_one)
{
    bring_down(&away);
    next = 10;
    ck_assert_uint_eq(enter_many("a.example:443", WAITING_EACH), 0);
    ck_assert_ptr_null(moved.dropped.first);
    ck_assert_int_eq(enter("a.example:443"), HOSTS_WAITS);
    ck_assert_ptr_eq(wake_list_shift(&moved.dropped), targets[11]);
}
END_TEST

/* ---- Endpoints that are held ------------------------------------------------------------------
 */

static const struct push_result in_a_second = {
    .outcome = PUSH_HELD_BACK, .answered = true, .retry_after_ms = 1000, .peer = "192.0.2.1"};

/* A push to endpoint 7 of a proven "a.example:443", whose host is another's, too, is refused. */
static void hold_endpoint(void)
{
    struct hosts_verdict verdict;

    prove("a.example:443");
    ck_assert_int_eq(enter_by("a.example:443", 7), HOSTS_ENTERED);
    verdict = leave_by("a.example:443", 7, &in_a_second, 0);
    ck_assert(verdict.waits && !verdict.blamed);
    ck_assert_int_eq(verdict.until_ms, now + 1000);
}

START_TEST(endpoints_have_names)
{
    ck_assert_uint_ne(hosts_endpoint("https://push.example.org/up1"),
                      hosts_endpoint("https://push.example.org/up2"));
}
END_TEST

START_TEST(a_held_endpoint_holds_nobody_else)
{
    hold_endpoint();
    ck_assert_int_eq(enter_by("a.example:443", 7), HOSTS_HELD);
    ck_assert_uint_eq(hosts_held(hosts), 0);
    ck_assert_uint_eq(enter_many("a.example:443", 30), HOSTS_SLOTS_MAX);
    ck_assert_int_eq(enter_by("b.example:443", 8), HOSTS_ENTERED);
}
END_TEST

/* Then one finds out for all. */
START_TEST(who_waits_for_an_endpoint_is_called_after_its_hold)
{
    hold_endpoint();
    for (unsigned i = 0; i < 30; i++)
        ck_assert_int_eq(enter_by("a.example:443", 7), HOSTS_HELD);
    ck_assert_int_eq(run(), 1000);
    ck_assert_uint_eq(called(), 0);
    now = 1000;
    (void)run();
    ck_assert_ptr_nonnull(moved.called.first);
    for (unsigned i = 0; i < 30; i++) {
        struct wake_target *target = wake_list_shift(&moved.called);

        ck_assert_ptr_nonnull(target); /* the host is idle: all at once */
        ck_assert_int_eq(hosts_enter(hosts, "a.example:443", 7, target, now, &moved),
                         i == 0 ? HOSTS_ENTERED : HOSTS_HELD);
    }
    ck_assert_uint_eq(called(), 0);
    (void)leave_by("a.example:443", 7, &good, 0);
    ck_assert_uint_eq(called(), HOSTS_CALLED < 29 ? HOSTS_CALLED : 29);
}
END_TEST

/* How many of those that are called wait for endpoint 7, which were the first to come. */
static unsigned called_for_endpoint(const struct wake_target *const *first, unsigned count)
{
    struct wake_target *target;
    unsigned n = 0;

    while ((target = wake_list_shift(&moved.called)) != NULL)
        for (unsigned i = 0; i < count; i++)
            n += target == first[i];
    return n;
}

/* Those who wait for a slot and those who wait for an endpoint are called in turn. */
START_TEST(a_held_endpoint_and_the_others_have_turns)
{
    const struct wake_target *const *first = (const struct wake_target *const *)&targets[2];

    hold_endpoint();
    for (unsigned i = 0; i < 10; i++)
        ck_assert_int_eq(enter_by("a.example:443", 7), HOSTS_HELD);
    next = 200;
    ck_assert_uint_eq(enter_many("a.example:443", HOSTS_SLOTS_MAX - 1), HOSTS_SLOTS_MAX - 1);
    now = 1000;
    ck_assert_int_eq(enter_by("a.example:443", 7), HOSTS_ENTERED);
    ck_assert_uint_eq(enter_many("a.example:443", 10), 0);
    (void)leave("a.example:443", &good);
    (void)leave("a.example:443", &good);
    ck_assert_uint_eq(called_for_endpoint(first, 10), 0); /* it is being tried */
    (void)leave_by("a.example:443", 7, &good, 0);
    for (unsigned i = 0; i < 3; i++)
        (void)leave("a.example:443", &good);
    ck_assert_uint_eq(called_for_endpoint(first, 10), 2);
}
END_TEST

/* Whoever is called, and finds that his endpoint is held anew, leaves the slot to the next. */
START_TEST(a_call_that_was_for_nothing_is_another_s)
{
    prove("a.example:443");
    ck_assert_int_eq(enter_by("a.example:443", 7), HOSTS_ENTERED);
    ck_assert_int_eq(enter_by("a.example:443", 7), HOSTS_ENTERED);
    (void)leave_by("a.example:443", 7, &in_a_second, 0);
    ck_assert_int_eq(enter_by("a.example:443", 7), HOSTS_HELD);
    now = 1000;
    (void)run();
    ck_assert_uint_eq(called(), 1);
    next = 200;
    ck_assert_uint_eq(enter_many("a.example:443", HOSTS_SLOTS_MAX), HOSTS_SLOTS_MAX - 1);
    ck_assert_uint_eq(enter_many("a.example:443", 2), 0);
    (void)leave("a.example:443", NULL);
    ck_assert_uint_eq(called(), 1);
    (void)leave_by("a.example:443", 7, &in_a_second, 1000);
    ck_assert_uint_eq(called(), 1);
    next = 3;
    ck_assert_int_eq(enter_by("a.example:443", 7), HOSTS_HELD);
    ck_assert_uint_eq(called(), 1);
    ck_assert_int_eq(enter_by("a.example:443", 7), HOSTS_HELD);
    ck_assert_uint_eq(called(), 0);
}
END_TEST

START_TEST(who_waits_for_an_endpoint_counts_in_his_host)
{
    hold_endpoint();
    next = 10;
    for (unsigned i = 0; i < WAITING_EACH; i++)
        ck_assert_int_eq(enter_by("a.example:443", 7), HOSTS_HELD);
    ck_assert_ptr_null(moved.dropped.first);
    ck_assert_int_eq(enter_by("a.example:443", 7), HOSTS_HELD);
    ck_assert_ptr_eq(wake_list_shift(&moved.dropped), targets[11]);
    ck_assert_ptr_null(moved.dropped.first);
}
END_TEST

/* Of silent ones, and then of visible ones. */
START_TEST(who_waits_for_an_endpoint_is_dropped_first)
{
    hold_endpoint();
    next = 200;
    ck_assert_uint_eq(enter_many("a.example:443", HOSTS_SLOTS_MAX), HOSTS_SLOTS_MAX);
    next = 30;
    ck_assert_int_eq(enter_by("a.example:443", 1), HOSTS_WAITS);
    ck_assert_int_eq(enter_by("a.example:443", 1), HOSTS_WAITS);
    ck_assert_int_eq(enter_by("a.example:443", 7), HOSTS_HELD);
    ck_assert_int_eq(enter_by("a.example:443", 7), HOSTS_HELD);
    next = 40;
    for (unsigned i = 4; i < WAITING_EACH; i++)
        ck_assert_int_eq(enter_by("a.example:443", 1), HOSTS_WAITS);
    ck_assert_int_eq(enter_by("a.example:443", 1), HOSTS_WAITS);
    ck_assert_ptr_eq(wake_list_shift(&moved.dropped), targets[33]);
    ck_assert_int_eq(enter_by("a.example:443", 1), HOSTS_WAITS);
    ck_assert_ptr_eq(wake_list_shift(&moved.dropped), targets[31]);
}
END_TEST

/* However few wait for each. */
START_TEST(endpoints_of_one_wake_each_have_a_bound)
{
    unsigned dropped = 0;

    prove("a.example:443");
    for (push_endpoint_id endpoint = 1; endpoint <= WAITING_EACH; endpoint++) {
        ck_assert_int_eq(enter_by("a.example:443", endpoint), HOSTS_ENTERED);
        (void)leave_by("a.example:443", endpoint, &in_a_second, 0);
        ck_assert_int_eq(enter_by("a.example:443", endpoint), HOSTS_HELD);
        dropped += length(&moved.dropped);
    }
    ck_assert_uint_eq(WAITING_EACH - dropped, (WAITING + 2 * HOSTS_WEIGHT) / (1 + HOSTS_WEIGHT));
}
END_TEST

/* ---- What metrics show ----------------------------------------------------------------------- */

START_TEST(those_that_are_down_or_held_are_counted)
{
    prove("b.example:443");
    ck_assert_uint_eq(hosts_held(hosts), 0);
    bring_down(&busy);
    ck_assert_uint_eq(hosts_held(hosts), 1);
    ck_assert_int_eq(enter("b.example:443"), HOSTS_ENTERED);
    (void)leave("b.example:443", &held_back);
    ck_assert_uint_eq(hosts_held(hosts), 2);
    /* A hold ends by itself, though nobody waits for it to. */
    now = HOSTS_HOLD_LEAST_MS;
    (void)run();
    ck_assert_uint_eq(hosts_held(hosts), 1);
    ck_assert_int_eq(enter("a.example:443"), HOSTS_ENTERED);
    (void)leave("a.example:443", &good);
    ck_assert_uint_eq(hosts_held(hosts), 0);
    /* And one that is down is forgotten in the end. */
    bring_down(&busy);
    ck_assert_uint_eq(hosts_held(hosts), 1);
    now += HOSTS_PROVEN_MS;
    (void)run();
    ck_assert_uint_eq(hosts_held(hosts), 0);
}
END_TEST

START_TEST(those_that_are_down_or_held_are_named)
{
    char text[64];
    uint64_t version = hosts_held_version(hosts);

    ck_assert_uint_eq(hosts_write_held(hosts, text, sizeof text), 0);
    ck_assert_str_eq(text, "");
    prove("b.example:443");
    ck_assert_uint_eq(hosts_held_version(hosts), version);
    bring_down(&busy);
    ck_assert_uint_ne(hosts_held_version(hosts), version);
    ck_assert_int_eq(enter("b.example:443"), HOSTS_ENTERED);
    (void)leave("b.example:443", &held_back);
    ck_assert_uint_eq(hosts_write_held(hosts, text, sizeof text), 28);
    ck_assert_str_eq(text, "a.example:443 b.example:443 ");
    /* There is always room to say that there are more. */
    ck_assert_uint_eq(hosts_write_held(hosts, text, 32), 28);
    ck_assert_uint_eq(hosts_write_held(hosts, text, 31), 17);
    ck_assert_str_eq(text, "a.example:443 " HEARTBEAT_HELD_MORE);
    ck_assert_uint_eq(hosts_write_held(hosts, text, 4), 3);
    ck_assert_str_eq(text, HEARTBEAT_HELD_MORE);
    version = hosts_held_version(hosts);
    now = HOSTS_HOLD_LEAST_MS;
    (void)run();
    ck_assert_uint_ne(hosts_held_version(hosts), version);
    (void)hosts_write_held(hosts, text, sizeof text);
    ck_assert_str_eq(text, "a.example:443 ");
}
END_TEST

/* ---- Broken promises ------------------------------------------------------------------------- */

START_TEST(a_host_that_nobody_is_in_ends_the_process)
{
    if (_i == 1)
        prove("a.example:443"); /* so that it is remembered */
    (void)leave("a.example:443", NULL);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        a_healthy_host_has_its_slots_from_its_second_push_on,
        a_name_has_a_length,
        a_domain_of_new_names_has_four_slots,
        domains_below_a_country_s_suffix_share_no_slots,
        a_network_of_newcomers_has_four_slots,
        a_host_that_is_slow_is_a_newcomer_until_it_answers_in_time,
        networks_that_keep_slots_for_long_delay_nobody,
        a_slow_host_alone_has_its_slots,
        a_host_is_slow_until_it_has_answered_quickly_for_a_while,
        a_host_is_proven_for_a_day,
        strangers_names_push_no_proven_host_out,
        a_call_that_nobody_follows_is_made_anew,
        a_host_that_is_down_is_probed_by_one_at_a_time,
        a_host_without_an_answer_is_down_whoever_asks,
        one_endpoint_brings_no_host_down,
        a_bad_endpoint_does_not_keep_its_host_down,
        what_fails_while_others_succeed_is_to_blame,
        nobody_is_to_blame_where_the_host_is_down,
        a_held_host_calls_nobody_before_its_time,
        afterwards_it_shows_how_many_it_takes,
        a_host_that_says_nothing_else_is_held_for_longer,
        a_failure_shows_nothing_of_how_many_it_takes,
        where_too_many_wait_the_heaviest_network_loses_its_oldest_silent_ones,
        a_host_loses_nothing_for_neighbours_that_have_more,
        hosts_of_one_wake_each_have_a_bound,
        where_too_many_wait_for_a_host_it_loses_one,
        endpoints_have_names,
        a_held_endpoint_holds_nobody_else,
        who_waits_for_an_endpoint_is_called_after_its_hold,
        a_held_endpoint_and_the_others_have_turns,
        a_call_that_was_for_nothing_is_another_s,
        who_waits_for_an_endpoint_counts_in_his_host,
        who_waits_for_an_endpoint_is_dropped_first,
        endpoints_of_one_wake_each_have_a_bound,
        those_that_are_down_or_held_are_counted,
        those_that_are_down_or_held_are_named,
    };
    Suite *suite = suite_create("hosts");
    TCase *tcase = tcase_create("hosts");

    tcase_add_checked_fixture(tcase, setup, teardown);
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++)
        tcase_add_test(tcase, tests[i]);
    tcase_add_loop_test_raise_signal(tcase, a_host_that_nobody_is_in_ends_the_process, SIGABRT, 0,
                                     2);
    suite_add_tcase(suite, tcase);
    return unit_run(suite);
}
