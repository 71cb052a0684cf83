#include "redis/redis_primary.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "captured_log.h"
#include "played_sentinel.h"
#include "redis/redis.h"
#include "redis/redis_primary_priv.h"

#define SENTINELS 3
#define A         "10.0.0.1"
#define B         "10.0.0.2"
#define C         "10.0.0.3"
#define PORT      6379

#define SWITCHED REDIS_SENTINEL_SWITCHED_CHANNEL
#define SWITCHES REDIS_SENTINEL_SWITCHES_CHANNEL

static const char nobody[] = "none of its Sentinels answers";

static struct played_sentinel sentinels[SENTINELS];
static char text[256];
static struct redis_primary *primary;
static struct redis_sentinel_trouble trouble;
static int ends[2]; /* of the connection that is a member */
static struct redis_membership *member;
static int log_end;

/* ---- Both ends --------------------------------------------------------------------------------
 */

static void setup(void)
{
    log_end = capture_log();
    for (int i = 0; i < SENTINELS; i++) {
        played_sentinel_begin(&sentinels[i]);
        played_sentinel_name(&sentinels[i], 5, A, PORT, B);
    }
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
}

static void teardown(void)
{
    redis_membership_end(&member);
    redis_primary_leave(&primary);
    redis_primary_leave(&primary);
    for (int i = 0; i < SENTINELS; i++)
        played_sentinel_end(&sentinels[i]);
    (void)close(ends[0]);
    (void)close(ends[1]);
    (void)close(log_end);
}

/* What a process does whose REDIS_URL names the first so many of them. */
static void join(int count)
{
    struct redis_url url;
    int len = snprintf(text, sizeof text, "redis+sentinel://");

    for (int i = 0; i < count; i++)
        len += snprintf(text + len, sizeof text - (size_t)len, "%s127.0.0.1:%d", i > 0 ? "," : "",
                        sentinels[i].port);
    (void)snprintf(text + len, sizeof text - (size_t)len, "/mostro");
    ck_assert_ptr_null(redis_url_parse(&url, text));
    primary = redis_primary_join(&url, "");
    ck_assert_ptr_nonnull(primary);
}

static struct redis_node node_of(const char *host)
{
    struct redis_node node = {.port = PORT};

    (void)snprintf(node.host, sizeof node.host, "%s", host);
    return node;
}

static bool finds(const char *host)
{
    struct redis_node node;

    return redis_primary_find(primary, false, &node, &trouble) && node.port == PORT &&
           strcmp(node.host, host) == 0;
}

/* A busy machine may need longer than a caller waits. */
static void wait_until_found(const char *host)
{
    const int64_t until = clock_monotonic_ms() + 20000;

    while (!finds(host)) {
        ck_assert_int_lt(clock_monotonic_ms(), until);
        (void)usleep(1000);
    }
}

/* A busy machine may need longer than a caller waits, so this asks again where that is all. */
static bool settles(const char *host, const char *from)
{
    const struct redis_node node = node_of(host), before = node_of(from != NULL ? from : "");
    const int64_t until = clock_monotonic_ms() + 20000;

    redis_membership_end(&member);
    do
        member =
            redis_primary_settle(primary, &node, from != NULL ? &before : NULL, ends[0], &trouble);
    while (member == NULL && strcmp(trouble.what, nobody) == 0 && clock_monotonic_ms() < until);
    return member != NULL;
}

/* Connected to A, whom all name. */
static void use(int count)
{
    join(count);
    wait_until_found(A);
    ck_assert_msg(settles(A, NULL), "%s", trouble.what);
}

/* The connection ends without anybody's asking. */
static void wait_until_ended(void)
{
    struct pollfd other = {.fd = ends[1], .events = POLLIN};
    char byte;

    ck_assert_int_eq(poll(&other, 1, 20000), 1);
    ck_assert_int_eq(read(ends[1], &byte, 1), 0);
    ck_assert(redis_membership_has_ended(member));
}

static bool still_stands(void)
{
    struct pollfd other = {.fd = ends[1], .events = POLLIN};

    return poll(&other, 1, 0) == 0 && !redis_membership_has_ended(member);
}

/* ---- Whom to connect to -----------------------------------------------------------------------
 */

START_TEST(is_whom_the_sentinels_name_before_and_after)
{
    use(SENTINELS);
    ck_assert(still_stands());
    ck_assert_uint_eq(redis_primary_changes(), 0);
    ck_assert(!settles(B, NULL));
    ck_assert_str_eq(trouble.what, "the Sentinels name another one now");
    ck_assert(!trouble.refused);
}
END_TEST

START_TEST(is_another_one_as_soon_as_they_say_so)
{
    use(SENTINELS);
    for (int i = 0; i < SENTINELS; i++)
        played_sentinel_name(&sentinels[i], 6, B, PORT, A);
    played_sentinel_publish(&sentinels[1], SWITCHED, "mostro " A " 6379 " B " 6379");
    wait_until_ended();
    ck_assert(finds(B));
    ck_assert_uint_eq(redis_primary_changes(), 1);
    ck_assert(!settles(A, NULL));
    ck_assert(settles(B, NULL));
    ck_assert_uint_eq(logged(log_end, "the primary is " B ":6379 now, and no longer " A), 1);
}
END_TEST

/* It is asked for twice a second all the same, but not for each of these. */
START_TEST(is_not_asked_for_because_of_another_service)
{
    int64_t began;
    unsigned asked;

    use(1);
    began = clock_monotonic_ms();
    asked = played_sentinel_asked(&sentinels[0]);
    for (int i = 0; i < 100; i++) {
        played_sentinel_publish(&sentinels[0], SWITCHED, "mostro2 a 6379 b 6379");
        played_sentinel_publish(&sentinels[0], SWITCHES, "slave a:1 a 1 @ mostro2 b 1");
        (void)usleep(1000);
    }
    played_sentinel_await(&sentinels[0]);
    asked = played_sentinel_asked(&sentinels[0]) - asked;
    ck_assert_int_le(asked, 2 + (clock_monotonic_ms() - began) / 500);
    ck_assert(still_stands());
    ck_assert(finds(A));
}
END_TEST

START_TEST(is_nobody_between_two)
{
    use(SENTINELS);
    played_sentinel_publish(&sentinels[2], SWITCHES,
                            "slave " B ":6379 " B " 6379 @ mostro " A " 1");
    wait_until_ended();
    ck_assert(!finds(A));
    ck_assert_str_eq(trouble.what, "its Sentinels are making another one the primary");
    ck_assert(!settles(A, NULL));
    ck_assert_uint_eq(redis_primary_changes(), 0);
    redis_primary_suspend(primary, clock_monotonic_ms() + 60000); /* however long it would be */
    for (int i = 0; i < SENTINELS; i++)
        played_sentinel_name(&sentinels[i], 6, B, PORT, A);
    wait_until_found(B);
    ck_assert(settles(B, NULL));
}
END_TEST

START_TEST(is_the_old_one_again_where_nobody_follows)
{
    use(1);
    redis_primary_suspend(primary, clock_monotonic_ms() - REDIS_PRIMARY_SUSPENDED_MS + 60000);
    wait_until_ended();
    ck_assert(!finds(A));
    redis_primary_suspend(primary, clock_monotonic_ms() - REDIS_PRIMARY_SUSPENDED_MS);
    wait_until_found(A);
    ck_assert(settles(A, NULL));
}
END_TEST

START_TEST(may_be_a_hop_away)
{
    const struct redis_node a = node_of(A), b = node_of(B), c = node_of(C);

    use(SENTINELS);
    ck_assert(redis_primary_may_hop(primary, &a, &b));
    ck_assert(!redis_primary_may_hop(primary, &a, &c)); /* whom they do not know */
    ck_assert(!redis_primary_may_hop(primary, &c, &b));
    ck_assert(settles(B, A));
    ck_assert_uint_eq(redis_primary_changes(), 1);
    ck_assert(finds(B));
    ck_assert(!settles(C, A));
}
END_TEST

/* ---- What is not believed ---------------------------------------------------------------------
 */

START_TEST(is_not_an_older_one_unless_most_say_so)
{
    use(SENTINELS);
    played_sentinel_name(&sentinels[0], 4, B, PORT, A);
    played_sentinel_await(&sentinels[0]);
    ck_assert(finds(A));
    played_sentinel_end(&sentinels[1]);
    played_sentinel_end(&sentinels[2]);
    played_sentinel_await(&sentinels[0]);
    ck_assert(!finds(A) && !finds(B));
    ck_assert_str_eq(trouble.what, "only Sentinels answer that have missed a fail-over");
    ck_assert(!settles(B, NULL));
    ck_assert_uint_eq(redis_primary_changes(), 0);
}
END_TEST

START_TEST(is_an_older_one_where_most_say_so)
{
    use(SENTINELS);
    for (int i = 0; i < SENTINELS; i++)
        played_sentinel_name(&sentinels[i], 4, B, PORT, A);
    wait_until_ended();
    ck_assert(finds(B));
}
END_TEST

/* One of them says nonsense, of the highest epoch. */
START_TEST(is_not_what_is_no_address)
{
    static const char *const bad[] = {"*2\r\n$10\r\n10.0.0.2/8\r\n$4\r\n6379\r\n", "*65537\r\n"};

    use(2);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        played_sentinel_set(&sentinels[0], "*2\r\n$12\r\nconfig-epoch\r\n$1\r\n9\r\n", bad[i],
                            "*0\r\n");
        played_sentinel_await(&sentinels[0]);
        ck_assert(finds(A));
        ck_assert(still_stands());
    }
}
END_TEST

START_TEST(is_refused_where_it_is_the_sentinel_itself)
{
    const struct redis_options options = {.url = text, .prefix = "mostro:"};
    struct redis_node found;
    struct redis *redis;

    for (int i = 0; i < SENTINELS; i++)
        played_sentinel_name(&sentinels[i], 5, "127.0.0.1", sentinels[0].port, B);
    join(SENTINELS);
    while (!redis_primary_find(primary, false, &found, &trouble))
        (void)usleep(1000);
    ck_assert_int_eq(found.port, sentinels[0].port);
    redis = redis_new(&options);
    ck_assert_ptr_nonnull(redis);
    ck_assert(!redis_connect(redis));
    ck_assert_str_eq(redis_down_reason(redis), "it is a Sentinel: point REDIS_URL at the primary");
    ck_assert(redis_is_refused(redis));
    redis_free(&redis);
}
END_TEST

/* ---- Silence ----------------------------------------------------------------------------------
 */

START_TEST(is_nobody_where_nobody_answers)
{
    int64_t began;

    for (int i = 0; i < SENTINELS; i++)
        played_sentinel_be_silent(&sentinels[i]);
    join(SENTINELS);
    began = clock_monotonic_ms();
    ck_assert(!finds(A));
    ck_assert_int_le(clock_monotonic_ms() - began, 5 * REDIS_PRIMARY_ASK_MS);
    ck_assert_str_eq(trouble.what, nobody);
    ck_assert(!trouble.refused);
}
END_TEST

/* What stands is used further, and no new connection is made. */
START_TEST(stays_for_who_is_connected_where_nobody_answers)
{
    use(SENTINELS);
    for (int i = 0; i < SENTINELS; i++)
        played_sentinel_end(&sentinels[i]);
    while (finds(A))
        (void)usleep(1000);
    ck_assert_str_eq(trouble.what, nobody);
    ck_assert(still_stands());
    ck_assert_uint_eq(redis_primary_changes(), 0);
}
END_TEST

START_TEST(needs_one_that_answers)
{
    played_sentinel_be_silent(&sentinels[0]);
    played_sentinel_end(&sentinels[1]);
    use(SENTINELS);
    ck_assert(still_stands());
}
END_TEST

START_TEST(tells_of_one_that_an_operator_must_mend)
{
    played_sentinel_set(&sentinels[0], "-ERR No such master with that name\r\n", "", "");
    use(2);
    played_sentinel_await(&sentinels[1]);
    ck_assert_uint_eq(logged(log_end,
                             "a Sentinel of service mostro is of no use: its Sentinels watch "
                             "no service of this name"),
                      1);
}
END_TEST

UNIT_MAIN_WITH("redis_primary", setup, teardown, is_whom_the_sentinels_name_before_and_after,
               is_another_one_as_soon_as_they_say_so, is_not_asked_for_because_of_another_service,
               is_nobody_between_two, is_the_old_one_again_where_nobody_follows, may_be_a_hop_away,
               is_not_an_older_one_unless_most_say_so, is_an_older_one_where_most_say_so,
               is_not_what_is_no_address, is_refused_where_it_is_the_sentinel_itself,
               is_nobody_where_nobody_answers, stays_for_who_is_connected_where_nobody_answers,
               needs_one_that_answers, tells_of_one_that_an_operator_must_mend)
