#include "redis/redis_sentinel_link.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "played_redis.h"
#include "redis/redis_wire.h"

#define EPOCH    "*4\r\n$4\r\nname\r\n$6\r\nmostro\r\n$12\r\nconfig-epoch\r\n$1\r\n7\r\n"
#define ADDRESS  "*2\r\n$8\r\n10.0.0.1\r\n$4\r\n6379\r\n"
#define REPLICAS "*1\r\n*4\r\n$2\r\nip\r\n$8\r\n10.0.0.2\r\n$4\r\nport\r\n$4\r\n6379\r\n"
#define ALL      EPOCH ADDRESS REPLICAS

#define SUBSCRIBED(channel) "*3\r\n$9\r\nsubscribe\r\n" channel "\r\n:1\r\n"
#define SWITCHING           "$34\r\n+failover-state-send-slaveof-noone"
#define SWITCHED            "$14\r\n+switch-master"
#define MESSAGE(channel)    "*3\r\n$7\r\nmessage\r\n" channel "\r\n"
#define OF_OURS             "$39\r\nmostro 10.0.0.1 6379 10.0.0.2 6379 more\r\n"
#define OF_ANOTHER          "$40\r\nmostro2 10.0.0.1 6379 10.0.0.2 6379 more\r\n"

static const char nobody[] = "none of its Sentinels answers";
static const char confused[] = "a Sentinel answers what none would";

static struct played_redis sentinel;
static struct redis_node node;
static struct redis_sentinel_link *tested;
static int64_t now;

/* ---- Both ends --------------------------------------------------------------------------------
 */

static void setup(void)
{
    node = (struct redis_node){.host = "127.0.0.1"};
    node.port = played_redis_bind_a_port(&sentinel);
    ck_assert_int_eq(listen(sentinel.listening, 8), 0);
    now = 1000000;
}

static void make(enum redis_sentinel_link_kind kind, const char *password)
{
    const struct redis_sentinel_link_options options = {
        .kind = kind, .node = &node, .password = password, .service = "mostro"};

    redis_sentinel_link_free(&tested);
    tested = redis_sentinel_link_new(&options);
    ck_assert_ptr_nonnull(tested);
}

static void teardown(void)
{
    redis_sentinel_link_free(&tested);
    redis_sentinel_link_free(&tested);
    played_redis_hang_up(&sentinel);
    (void)close(sentinel.listening);
}

static bool is_open(void)
{
    return redis_sentinel_link_pollfd(tested).fd >= 0;
}

static int64_t run(uint64_t question)
{
    return redis_sentinel_link_run(tested, question, now);
}

/* Until it has said all. */
static void say_all(uint64_t question)
{
    struct pollfd fd;

    for (;;) {
        (void)run(question);
        fd = redis_sentinel_link_pollfd(tested);
        if (fd.fd < 0 || (fd.events & POLLOUT) == 0)
            return;
        ck_assert_int_eq(poll(&fd, 1, 20000), 1);
    }
}

static void connect_it(uint64_t question)
{
    say_all(question);
    ck_assert(is_open());
    played_redis_accept(&sentinel);
}

static void expect(const char *command)
{
    ck_assert_str_eq(played_redis_read(&sentinel), command);
}

static void expect_question(void)
{
    expect("SENTINEL MASTER mostro");
    expect("SENTINEL GET-MASTER-ADDR-BY-NAME mostro");
    expect("SENTINEL REPLICAS mostro");
}

static void expect_subscription(void)
{
    expect("SUBSCRIBE +failover-state-send-slaveof-noone +switch-master");
}

/* Has it read something that has come. Returns when it wants to be called again. */
static int64_t take(uint64_t question)
{
    struct pollfd fd = redis_sentinel_link_pollfd(tested);

    fd.events = POLLIN;
    ck_assert_int_eq(poll(&fd, 1, 20000), 1);
    return run(question);
}

static void send_bytes(const char *bytes, size_t len)
{
    ck_assert_int_eq(send(sentinel.fd, bytes, len, MSG_NOSIGNAL), (ssize_t)len);
}

static int64_t answer(const char *bytes, uint64_t question)
{
    send_bytes(bytes, strlen(bytes));
    return take(question);
}

/* It has closed the connection, will make another one in half a second, and says why. */
static void expect_closed(const char *why, bool refused)
{
    ck_assert(!is_open());
    ck_assert_ptr_null(redis_sentinel_link_answer(tested));
    ck_assert_str_eq(redis_sentinel_link_trouble(tested).what, why);
    ck_assert_int_eq(redis_sentinel_link_trouble(tested).refused, refused);
    now += 499;
    ck_assert_int_eq(run(1), now + 1);
    ck_assert(!is_open());
    now++;
}

/* A new connection, with the question asked on it. */
static void begin(void)
{
    make(REDIS_SENTINEL_ASKS, "");
    connect_it(1);
    expect_question();
}

static void begin_to_hear(void)
{
    make(REDIS_SENTINEL_HEARS, "");
    connect_it(0);
    expect_subscription();
}

/* ---- One that asks ----------------------------------------------------------------------------
 */

START_TEST(asks_whom_a_sentinel_names_and_again_after_half_a_second)
{
    const struct redis_sentinel_answer *said;

    begin();
    ck_assert(redis_sentinel_link_is_awaited(tested, 1, now));
    now += 7;
    ck_assert_int_eq(answer(ALL, 1), now + 500 - 7);
    said = redis_sentinel_link_answer(tested);
    ck_assert_ptr_nonnull(said);
    ck_assert_uint_eq(said->epoch, 7);
    ck_assert_str_eq(said->primary.host, "10.0.0.1");
    ck_assert_uint_eq(said->replica_count, 1);
    ck_assert_uint_eq(redis_sentinel_link_answered(tested), 1);
    ck_assert(!redis_sentinel_link_is_awaited(tested, 1, now));
    ck_assert_ptr_null(redis_sentinel_link_trouble(tested).what);
    now += 493;
    say_all(1);
    expect_question();
}
END_TEST

START_TEST(asks_at_once_what_is_new)
{
    begin();
    (void)answer(ALL, 1);
    say_all(2);
    expect_question();
    ck_assert_uint_eq(redis_sentinel_link_answered(tested), 1);
    ck_assert(redis_sentinel_link_is_awaited(tested, 2, now));
    /* One that comes meanwhile is asked when this one is answered. */
    ck_assert_int_eq(answer(ALL, 3), now);
    ck_assert_uint_eq(redis_sentinel_link_answered(tested), 2);
    say_all(3);
    expect_question();
}
END_TEST

START_TEST(logs_in_first)
{
    make(REDIS_SENTINEL_ASKS, "secret");
    connect_it(1);
    expect("AUTH secret");
    expect_question();
    (void)answer("+OK\r\n" ALL, 1);
    ck_assert_ptr_nonnull(redis_sentinel_link_answer(tested));
    make(REDIS_SENTINEL_HEARS, "secret");
    connect_it(0);
    expect("AUTH secret");
    expect_subscription();
    (void)answer("-WRONGPASS invalid username-password pair or user is disabled.\r\n", 0);
    expect_closed("its Sentinels do not take REDIS_SENTINEL_PASSWORD", true);
}
END_TEST

START_TEST(takes_an_answer_byte_by_byte)
{
    begin();
    for (const char *at = ALL; *at != '\0'; at++) {
        ck_assert_ptr_null(redis_sentinel_link_answer(tested));
        send_bytes(at, 1);
        (void)take(1);
    }
    ck_assert_ptr_nonnull(redis_sentinel_link_answer(tested));
}
END_TEST

START_TEST(gives_up_an_answer_that_ends_at_any_byte)
{
    for (size_t len = 0; len < strlen(ALL); len++) {
        begin();
        send_bytes(ALL, len);
        played_redis_hang_up(&sentinel);
        while (is_open())
            (void)take(1);
        expect_closed(nobody, false);
        connect_it(1);
        expect_question();
        (void)answer(ALL, 1);
        ck_assert_ptr_nonnull(redis_sentinel_link_answer(tested));
    }
}
END_TEST

/* What it has said before holds meanwhile, but not on the next connection. */
START_TEST(gives_up_on_silence_after_three_seconds)
{
    begin();
    now += 249;
    ck_assert(redis_sentinel_link_is_awaited(tested, 1, now));
    ck_assert_int_eq(run(1), now + 1);
    now++;
    ck_assert(!redis_sentinel_link_is_awaited(tested, 1, now));
    ck_assert_int_eq(run(1), now + 2750);
    now += 2749;
    (void)run(1);
    ck_assert(is_open());
    now++;
    (void)run(1);
    expect_closed(nobody, false);

    connect_it(1);
    expect_question();
    now += 10;
    (void)answer(ALL, 1);
    say_all(2);
    expect_question();
    now += 2 * 10 + 49;
    ck_assert(redis_sentinel_link_is_awaited(tested, 2, now));
    now++;
    ck_assert(!redis_sentinel_link_is_awaited(tested, 2, now));
    now += 3000 - 71;
    (void)run(2);
    ck_assert_ptr_nonnull(redis_sentinel_link_answer(tested));
    now++;
    (void)run(2);
    expect_closed(nobody, false);
}
END_TEST

START_TEST(leaves_one_that_answers_what_none_would)
{
    static const char *const bad[] = {
        "+OK\r\n",
        ":7\r\n",
        "$-1\r\n",
        "*0\r\n",
        "*2\r\n$12\r\nconfig-epoch\r\n:7\r\n",
        "*2\r\n$12\r\nconfig-epoch\r\n$2\r\n-7\r\n",
        "*2\r\n$12\r\nconfig-epoch\r\n*1\r\n$1\r\n7\r\n",
        ADDRESS,
        EPOCH EPOCH,
        EPOCH "*2\r\n$8\r\n10.0.0.1\r\n:6379\r\n",
        EPOCH "*2\r\n$9\r\n../../etc\r\n$4\r\n6379\r\n",
        EPOCH "*2\r\n$8\r\n10.0.0.1\r\n$5\r\n65536\r\n",
        EPOCH "*2\r\n*1\r\n$8\r\n10.0.0.1\r\n$4\r\n6379\r\n",
        EPOCH ADDRESS "$1\r\nx\r\n",
        EPOCH ADDRESS ":1\r\n",
        ALL ":1\r\n",
        ALL ALL,
    };

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        begin();
        (void)answer(bad[i], 1);
        expect_closed(confused, false);
    }
    begin();
    (void)answer(
        EPOCH ADDRESS "*3\r\n:1\r\n*0\r\n*4\r\n$2\r\nip\r\n:1\r\n$4\r\nport\r\n$1\r\n1\r\n", 1);
    ck_assert_uint_eq(redis_sentinel_link_answer(tested)->replica_count, 0);
}
END_TEST

START_TEST(leaves_one_whose_answer_is_no_answer_or_too_large)
{
    static const char *const bad[] = {
        "HTTP/1.1 400 Bad Request\r\n",
        "*65537\r\n",
        "*4294967296\r\n",
        "*-2\r\n",
        "*2\r\n*65536\r\n",
        "$-2\r\n",
        "$x\r\n",
        "\r\n\r\n",
        "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n"};

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        begin();
        (void)answer(bad[i], 1);
        ck_assert_msg(!is_open(), "%s", bad[i]);
        expect_closed(nobody, false);
    }
}
END_TEST

START_TEST(leaves_one_whose_answer_does_not_end)
{
    static char much[65536];
    size_t sent = 0;

    memset(much, 'x', sizeof much);
    begin();
    (void)answer("$500000000\r\n", 1);
    while (is_open() && sent < 5 * REDIS_WIRE_ANSWER_MAX) {
        ssize_t n = send(sentinel.fd, much, sizeof much, MSG_NOSIGNAL | MSG_DONTWAIT);

        sent += n > 0 ? (size_t)n : 0;
        (void)take(1);
    }
    ck_assert_uint_lt(sent, 4 * REDIS_WIRE_ANSWER_MAX); /* most of which the sockets hold */
    expect_closed(nobody, false);
}
END_TEST

START_TEST(tells_what_an_operator_must_mend)
{
    static const struct {
        const char *said, *why;
    } cases[] = {
        {"-NOAUTH Authentication required.\r\n",
         "its Sentinels want a password: set REDIS_SENTINEL_PASSWORD"},
        {"-ERR No such master with that name\r\n",
         "its Sentinels watch no service of this name: see REDIS_URL"},
        {EPOCH "*-1\r\n", "its Sentinels watch no service of this name: see REDIS_URL"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        begin();
        (void)answer(cases[i].said, 1);
        expect_closed(cases[i].why, true);
    }
    begin();
    (void)answer("-BUSY for now\r\n", 1);
    expect_closed("a Sentinel answers with an error", false);
}
END_TEST

/* A port that nobody listens at, and then somebody does. */
START_TEST(goes_on_trying)
{
    teardown();
    node.port = played_redis_bind_a_port(&sentinel);
    make(REDIS_SENTINEL_ASKS, "");
    for (int i = 0; i < 3; i++) {
        do
            (void)run(1);
        while (is_open());
        expect_closed(nobody, false);
    }
    ck_assert_int_eq(listen(sentinel.listening, 8), 0);
    connect_it(1);
    expect_question();
}
END_TEST

/* ---- One that hears ---------------------------------------------------------------------------
 */

START_TEST(hears_of_its_own_service_alone)
{
    begin_to_hear();
    (void)answer(SUBSCRIBED(SWITCHING) SUBSCRIBED(SWITCHED), 0);
    (void)answer(MESSAGE(SWITCHED) OF_ANOTHER, 0);
    (void)answer(MESSAGE(SWITCHING) OF_OURS, 0); /* whose form is another one's */
    (void)answer("*3\r\n$7\r\nmessage\r\n$5\r\n+sdow\r\n" OF_OURS, 0);
    (void)answer("*3\r\n$7\r\nmessage\r\n" SWITCHED "\r\n*1\r\n" OF_OURS, 0);
    (void)answer("*3\r\n$8\r\npmessage\r\n" SWITCHED "\r\n" OF_OURS, 0);
    ck_assert_int_eq(redis_sentinel_link_heard(tested), REDIS_SENTINEL_NO_NEWS);
    (void)answer(MESSAGE(SWITCHING) "$50\r\nslave 10.0.0.2:6379 10.0.0.2 6379 @ mostro2 a 6379\r\n",
                 0);
    ck_assert_int_eq(redis_sentinel_link_heard(tested), REDIS_SENTINEL_NO_NEWS);
    (void)answer(MESSAGE(SWITCHING) "$49\r\nslave 10.0.0.2:6379 10.0.0.2 6379 @ mostro a 6379\r\n",
                 0);
    ck_assert_int_eq(redis_sentinel_link_heard(tested), REDIS_SENTINEL_SWITCHES);
    (void)answer(MESSAGE(SWITCHED) OF_OURS, 0);
    ck_assert_int_eq(redis_sentinel_link_heard(tested), REDIS_SENTINEL_SWITCHED);
    ck_assert_int_eq(redis_sentinel_link_heard(tested), REDIS_SENTINEL_NO_NEWS);
    ck_assert(is_open());
}
END_TEST

START_TEST(hears_byte_by_byte_and_once)
{
    static const char message[] = MESSAGE(SWITCHED) OF_OURS;

    begin_to_hear();
    (void)answer(SUBSCRIBED(SWITCHING) SUBSCRIBED(SWITCHED), 0);
    for (const char *at = message; *at != '\0'; at++) {
        ck_assert_int_eq(redis_sentinel_link_heard(tested), REDIS_SENTINEL_NO_NEWS);
        send_bytes(at, 1);
        (void)take(0);
    }
    ck_assert_int_eq(redis_sentinel_link_heard(tested), REDIS_SENTINEL_SWITCHED);
}
END_TEST

START_TEST(hears_nothing_in_a_message_that_ends_at_any_byte)
{
    static const char message[] = MESSAGE(SWITCHED) OF_OURS;

    for (size_t len = 0; len < strlen(message); len++) {
        begin_to_hear();
        send_bytes(message, len);
        played_redis_hang_up(&sentinel);
        while (is_open())
            (void)take(0);
        ck_assert_int_eq(redis_sentinel_link_heard(tested), REDIS_SENTINEL_NO_NEWS);
        expect_closed(nobody, false);
    }
}
END_TEST

START_TEST(pings_and_gives_up_on_silence)
{
    begin_to_hear();
    ck_assert_int_eq(answer(SUBSCRIBED(SWITCHING) SUBSCRIBED(SWITCHED), 0), now + 1000);
    for (int i = 0; i < 2; i++) {
        now += 1000;
        say_all(0);
        expect("PING");
        ck_assert_int_eq(answer("*2\r\n$4\r\npong\r\n$0\r\n\r\n", 0), now + 1000);
    }
    now += 1000;
    say_all(0);
    expect("PING");
    now += 2999;
    (void)run(0);
    ck_assert(is_open());
    now++;
    (void)run(0);
    expect_closed(nobody, false);
}
END_TEST

START_TEST(leaves_one_that_says_what_none_would)
{
    static const char *const bad[] = {":1\r\n", "+PONG\r\n", "*1\r\n$7\r\nmessage\r\n", "$-1\r\n",
                                      "*0\r\n"};

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        begin_to_hear();
        (void)answer(bad[i], 0);
        expect_closed(confused, false);
    }
    begin_to_hear();
    (void)answer("-NOPERM this user has no permissions to access one of the channels\r\n", 0);
    expect_closed("its Sentinels' ACL grants too little (compare users.acl.example)", true);
}
END_TEST

UNIT_MAIN_WITH("redis_sentinel_link", setup, teardown,
               asks_whom_a_sentinel_names_and_again_after_half_a_second, asks_at_once_what_is_new,
               logs_in_first, takes_an_answer_byte_by_byte,
               gives_up_an_answer_that_ends_at_any_byte, gives_up_on_silence_after_three_seconds,
               leaves_one_that_answers_what_none_would,
               leaves_one_whose_answer_is_no_answer_or_too_large,
               leaves_one_whose_answer_does_not_end, tells_what_an_operator_must_mend,
               goes_on_trying, hears_of_its_own_service_alone, hears_byte_by_byte_and_once,
               hears_nothing_in_a_message_that_ends_at_any_byte, pings_and_gives_up_on_silence,
               leaves_one_that_says_what_none_would)
