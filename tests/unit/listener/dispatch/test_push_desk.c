#include "dispatch/turns.h"

#include <jansson.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "captured_log.h"
#include "dispatch/hosts.h"
#include "push/http_client.h"
#include "push/push_backend.h"
#include "push_thread_stub.h"
#include "registry/registration.h"
#include "registry/stats.h"
#include "settings/settings.h"
#include "told_clock.h"
#include "unit.h"

/* ---- An HTTP client that does as it is told -------------------------------------------------- */

#define REQUESTS 64

/* What has been asked and not been answered. */
static struct request {
    char url[64];
    char token[32]; /* of a message to FCM */
    http_done_fn *done;
    void *arg;
} requests[REQUESTS];
static size_t asked;

bool http_client_start(struct http_client *client, const struct http_request *request,
                       http_done_fn *done, void *arg)
{
    (void)client;
    ck_assert_uint_lt(asked, REQUESTS);
    if (strstr(request->url, "fcm.example") != NULL) {
        /* One that hangs has a slot for so long; an error's every detail is read. */
        ck_assert_int_eq(request->timeout_ms, 10000);
        ck_assert_uint_eq(request->answer_limit, 16 * 1024);
        ck_assert(request->shares_connection && !request->allow_http);
    }
    (void)snprintf(requests[asked].url, sizeof requests[asked].url, "%s", request->url);
    if (sscanf(request->body, "{\"message\":{\"token\":\"%31[^\"]", requests[asked].token) != 1)
        requests[asked].token[0] = '\0';
    requests[asked].done = done;
    requests[asked++].arg = arg;
    return true;
}

static void cancel_all(void)
{
    while (asked > 0) {
        struct request request = requests[--asked];

        request.done(&(struct http_answer){.result = HTTP_CANCELLED}, request.arg);
    }
}

void http_client_cancel_all(struct http_client *client)
{
    (void)client;
    cancel_all();
}

static void settle(void);

/* The oldest request that has `host` in its URL, or how many there are. */
static size_t find(const char *host)
{
    size_t i = 0;

    while (i < asked && strstr(requests[i].url, host) == NULL)
        i++;
    return i;
}

static bool is_asked(const char *host)
{
    return find(host) < asked;
}

static void answer(const char *host, const struct http_answer *with)
{
    struct request request;
    size_t i = find(host);

    ck_assert_msg(i < asked, "nothing is asked of %s", host);
    request = requests[i];
    memmove(&requests[i], &requests[i + 1], (--asked - i) * sizeof requests[0]);
    request.done(with, request.arg);
    settle();
}

static const struct http_answer delivered = {
    .result = HTTP_ANSWERED, .status = 201, .body = "", .retry_after_ms = -1};
static const struct http_answer busy = {
    .result = HTTP_ANSWERED, .status = 503, .body = "", .retry_after_ms = -1};
static const struct http_answer later = {
    .result = HTTP_ANSWERED, .status = 429, .body = "", .retry_after_ms = -1};
static const struct http_answer too_slow = {
    .result = HTTP_ANSWERED, .status = 408, .body = "", .retry_after_ms = -1};
static const struct http_answer gone = {
    .result = HTTP_ANSWERED, .status = 410, .body = "", .retry_after_ms = -1};
static const struct http_answer silence = {
    .result = HTTP_TIMED_OUT, .timed_out = true, .body = "", .retry_after_ms = -1};
static const struct http_answer refused = {
    .result = HTTP_UNREACHABLE, .body = "", .retry_after_ms = -1};
static const struct http_answer forbidden = {
    .result = HTTP_ADDRESS_REFUSED, .body = "", .retry_after_ms = -1};
static const struct http_answer unroutable = {
    .result = HTTP_UNREACHABLE, .timed_out = true, .body = "", .retry_after_ms = -1};

/* ---- The desk -------------------------------------------------------------------------------- */

#define IN_FLIGHT 12 /* a quarter of which is not a third of anything near */

static struct settings settings;
static struct stats stats;
static struct wake_queue *queue;
static struct push_desk *desk;
static struct turns turns;
static struct push_ended_list dead = STAILQ_HEAD_INITIALIZER(dead);
static unsigned wakes;

static uint64_t most(uint64_t limit)
{
    return limit;
}

/* Their lanes, in the order of the rows. */
enum { WAKE_LANE_FCM = 1, WAKE_LANE_UNIFIEDPUSH };

static void make_desk(void)
{
    desk = push_desk_new(push_backends, push_backends_count, &settings, -1);
    ck_assert_ptr_nonnull(desk);
    turns = (struct turns){.queue = queue, .desk = desk, .stats = &stats};
}

static void setup(void)
{
    settings.unifiedpush_enabled = true;
    settings.push_max_in_flight = IN_FLIGHT;
    settings.waiting_max = 1000;
    queue = wake_queue_new(1000, push_backends_count + 1, most);
    make_desk();
}

static void settle(void)
{
    struct push_ended *ended;

    while ((ended = turns_settle(&turns, now)) != NULL)
        STAILQ_INSERT_TAIL(&dead, ended, next);
}

static int64_t run_all(void)
{
    int64_t threads_ms = push_threads_run(now), turns_ms = turns_run(&turns, now);

    return threads_ms < turns_ms ? threads_ms : turns_ms;
}

/* The registry has removed the first of those whose token is dead, or another has replaced it. */
static void forgotten(bool renewed)
{
    struct push_ended *first = STAILQ_FIRST(&dead);

    STAILQ_REMOVE_HEAD(&dead, next);
    turns_settle_dead(&turns, &first, renewed, now);
}

static void teardown(void)
{
    while (!STAILQ_EMPTY(&dead))
        forgotten(true);
    push_desk_free(&desk);
    wake_queue_free(&queue);
}

/* A wake of pubkey number `who`. */
static void wake(unsigned who)
{
    struct wake entry = {.via = WAKE_VIA_RELAY, .score_ms = ++wakes};
    unsigned merged;

    (void)snprintf(entry.key.hex, sizeof entry.key.hex, "%064x", who);
    ck_assert_int_eq(wake_queue_add(queue, &entry, now, now, &merged), WAKE_ADDED);
}

/* What pubkey number n is registered with: an endpoint at host hn.example, or, below `at_ntfy`, at
 * ntfy.example; or FCM's token fcm-n. Or all are the first's. */
static bool by_fcm, is_one_phone;
static unsigned at_ntfy;

static void make_token(char *token, unsigned long n)
{
    if (is_one_phone)
        n = 1;
    if (by_fcm)
        (void)snprintf(token, 64, "fcm-%lu", n);
    else if (n < at_ntfy)
        (void)snprintf(token, 64, "https://ntfy.example/up%lu/", n);
    else
        (void)snprintf(token, 64, "https://h%lu.example/up", n);
}

#define EXPIRES_MS INT64_C(1700000000123)

static unsigned looked_up; /* targets */

/* Serves all whose turn it is. */
static void serve(void)
{
    struct registration registration = {.platform = PLATFORM_ANDROID, .version = EXPIRES_MS};
    struct wake_target *target;

    for (unsigned lane = 0; lane < push_desk_lanes(desk); lane++) {
        while (push_desk_slots(desk, lane, now) > 0 &&
               wake_queue_take(queue, lane, now, &target, 1) == 1) {
            looked_up++;
            make_token(registration.token, strtoul(wake_target_key(target)->hex + 48, NULL, 16));
            turns_serve(&turns, target, &registration, now);
            push_desk_hand_over(desk);
        }
    }
}

static uint64_t count(enum stats_counter which)
{
    return stats.pending[which];
}

/* ---- Newcomers ------------------------------------------------------------------------------- */

/* One wake for each of as many hosts as there are slots. */
static void wake_hosts(void)
{
    for (unsigned who = 1; who <= IN_FLIGHT; who++)
        wake(who);
    serve();
}

/* A push to this phone, which is delivered. */
static void deliver(unsigned who, const char *host)
{
    wake(who);
    serve();
    answer(host, &delivered);
}

/* Strangers register endpoints at hosts of theirs that never answer. */
static void expect_others_unhindered(const struct http_answer *no_answer)
{
    deliver(99, "h99.example");
    wake_hosts();
    ck_assert_uint_eq(push_desk_in_flight(desk), IN_FLIGHT / 2);
    deliver(99, "h99.example");
    now += 5000;
    for (unsigned who = 0; who < IN_FLIGHT; who++) {
        answer(".example", no_answer);
        serve();
    }
    now += 60000;
    serve();
    ck_assert_uint_eq(push_desk_in_flight(desk), IN_FLIGHT / 2);
    deliver(99, "h99.example");
    ck_assert_uint_eq(count(STAT_WAKES_DELIVERED_UNIFIEDPUSH), 3);
    /* And all of them have their turn in the end. */
    for (unsigned who = 1; who <= IN_FLIGHT; who++) {
        answer(".example", &delivered);
        serve();
    }
    ck_assert_uint_eq(count(STAT_WAKES_DELIVERED_UNIFIEDPUSH), 3 + IN_FLIGHT);
    ck_assert_uint_eq(wake_queue_backlog(queue), 0);
}

START_TEST(silent_hosts_share_half)
{
    expect_others_unhindered(&silence);
}
END_TEST

START_TEST(hosts_that_cannot_be_reached_in_time_share_half)
{
    expect_others_unhindered(&unroutable);
}
END_TEST

/* A host that begins an answer and does not end it is no better. */
START_TEST(hosts_that_trickle_share_half)
{
    static const struct http_answer trickle = {.result = HTTP_ANSWERED,
                                               .status = 503,
                                               .cut_short = true,
                                               .timed_out = true,
                                               .body = "",
                                               .retry_after_ms = -1};

    expect_others_unhindered(&trickle);
}
END_TEST

/* So many of the hosts that are woken answer after so long; then all are woken. */
static unsigned in_flight_after(int64_t ms)
{
    for (unsigned who = 1; who <= IN_FLIGHT / 2; who++)
        wake(who);
    serve();
    now += ms;
    for (unsigned who = 1; who <= IN_FLIGHT / 2; who++)
        answer(".example", &delivered);
    wake_hosts();
    return push_desk_in_flight(desk);
}

/* Nor is one that answers when its time is nearly over. */
START_TEST(hosts_that_answer_late_share_half)
{
    ck_assert_uint_eq(in_flight_after(2000), IN_FLIGHT / 2);
}
END_TEST

START_TEST(a_host_that_answers_in_time_is_proven)
{
    ck_assert_uint_eq(in_flight_after(1999), IN_FLIGHT);
}
END_TEST

/* ---- Tries ----------------------------------------------------------------------------------- */

/* How often a push that ends like this is made, of ten, while each time another one at the same
 * host ends like that. */
static unsigned tries(const struct http_answer *of_this, const struct http_answer *of_another)
{
    unsigned n = 0;

    at_ntfy = 1000;
    deliver(99, "ntfy.example");
    wake(1);
    for (unsigned i = 0; i < 10; i++) {
        char other[16];

        wake(100 + i);
        (void)run_all();
        serve();
        (void)snprintf(other, sizeof other, "/up%u/", 100 + i);
        now += 100;
        answer(other, of_another);
        if (is_asked("/up1/")) {
            answer("/up1/", of_this);
            n++;
        }
        now += 300000;
    }
    return n;
}

START_TEST(an_endpoint_alone_without_an_answer_is_given_up)
{
    ck_assert_uint_eq(tries(&refused, &delivered), PUSH_TRIES_MAX);
    ck_assert_uint_eq(count(STAT_WAKES_GIVEN_UP_UNIFIEDPUSH), 1);
}
END_TEST

START_TEST(an_endpoint_alone_in_answering_5xx_is_given_up)
{
    ck_assert_uint_eq(tries(&busy, &gone), PUSH_TRIES_MAX);
    ck_assert_uint_eq(count(STAT_WAKES_GIVEN_UP_UNIFIEDPUSH), 1);
}
END_TEST

/* It fails so soon that nothing else ends meanwhile: what counts is what ended between two tries.
 * The first of those, before which nothing is known, is not counted. */
START_TEST(an_endpoint_that_fails_at_once_is_given_up)
{
    unsigned n = 0;

    at_ntfy = 1000;
    deliver(99, "ntfy.example");
    now += 1;
    wake(1);
    for (unsigned i = 0; i < 10; i++) {
        serve();
        if (is_asked("/up1/")) {
            answer("/up1/", &busy);
            n++;
        }
        now += 100;
        deliver(100 + i, "ntfy.example");
        now += 300000;
    }
    ck_assert_uint_eq(n, PUSH_TRIES_MAX + 1);
    ck_assert_uint_eq(count(STAT_WAKES_GIVEN_UP_UNIFIEDPUSH), 1);
}
END_TEST

/* Nothing is wrong with a push that is to wait. */
START_TEST(an_endpoint_that_asks_for_patience_is_not_given_up)
{
    struct http_answer soon = later;

    soon.retry_after_ms = 1000;
    ck_assert_uint_eq(tries(&soon, &delivered), 10);
    ck_assert_uint_eq(count(STAT_WAKES_GIVEN_UP_UNIFIEDPUSH), 0);
}
END_TEST

/* What others there are answered is no success, or nobody was asked: the host itself is down. */
static void expect_patience(const struct http_answer *of_another, unsigned given_up)
{
    (void)tries(&refused, of_another);
    ck_assert_uint_eq(count(STAT_WAKES_GIVEN_UP_UNIFIEDPUSH), given_up);
    (void)run_all();
    serve();
    while (asked > 0) {
        answer("ntfy.example", &delivered);
        serve();
    }
    ck_assert_uint_eq(wake_queue_backlog(queue), 0);
    ck_assert_uint_eq(count(STAT_WAKES_DELIVERED_UNIFIEDPUSH), 12 - given_up);
}

START_TEST(a_push_that_was_not_made_blames_nobody)
{
    expect_patience(&forbidden, 10);
}
END_TEST

/* What has succeeded before a push was begun says nothing of the network now. */
START_TEST(an_earlier_success_blames_nobody)
{
    wake(1);
    serve();
    answer("h1.", &delivered);
    for (unsigned i = 0; i < 2 * PUSH_TRIES_MAX; i++) {
        now += 60000;
        if (i == 0)
            wake(1);
        serve();
        answer("h1.", &refused);
    }
    ck_assert_uint_eq(wake_queue_backlog(queue), 1);
    ck_assert_uint_eq(count(STAT_PUSH_RETRIES), 2 * PUSH_TRIES_MAX);
}
END_TEST

START_TEST(a_newer_wake_has_all_its_tries)
{
    wake(1);
    for (unsigned i = 0; i < PUSH_TRIES_MAX; i++) {
        if (i == PUSH_TRIES_MAX - 1)
            wake(1);
        serve();
        answer("h1.", &too_slow);
        now += 300000;
    }
    serve();
    answer("h1.", &delivered);
    ck_assert_uint_eq(count(STAT_WAKES_DELIVERED_UNIFIEDPUSH), 1);
    ck_assert_uint_eq(wake_queue_backlog(queue), 0);
}
END_TEST

/* ---- Dead tokens ----------------------------------------------------------------------------- */

START_TEST(a_dead_token_that_was_replaced_meanwhile_costs_no_wake)
{
    wake(1);
    serve();
    answer("h1.", &gone);
    ck_assert(!STAILQ_EMPTY(&dead));
    ck_assert_str_eq(STAILQ_FIRST(&dead)->token, "https://h1.example/up");
    ck_assert_int_eq(STAILQ_FIRST(&dead)->version, EXPIRES_MS);
    forgotten(true);
    ck_assert(STAILQ_EMPTY(&dead));
    serve();
    answer("h1.", &gone);
    forgotten(false);
    serve();
    ck_assert(!is_asked("h1."));
    ck_assert_uint_eq(count(STAT_WAKES_DEAD_UNIFIEDPUSH), 1);
    ck_assert_uint_eq(wake_queue_backlog(queue), 0);
}
END_TEST

/* ---- What is not pushed -----------------------------------------------------------------------
 */

/* A wake of pubkey number `who`, which is registered with this. */
static void push_to(unsigned who, const char *token, enum platform platform)
{
    struct registration registration = {.platform = platform};
    struct wake_target *target;

    wake(who);
    ck_assert_uint_eq(wake_queue_take(queue, WAKE_LANE_UNKNOWN, now, &target, 1), 1);
    (void)strcpy(registration.token, token);
    turns_serve(&turns, target, &registration, now);
    push_desk_hand_over(desk);
}

static void expect_given_up(enum stats_counter which, unsigned n)
{
    ck_assert_uint_eq(asked, 0);
    ck_assert_uint_eq(count(which), n);
    ck_assert_uint_eq(push_desk_in_flight(desk), 0);
    ck_assert_uint_eq(wake_queue_backlog(queue), 0);
}

START_TEST(endpoints_of_other_platforms_and_schemes_are_given_up)
{
    push_to(1, "https://h1.example/up", PLATFORM_IOS);
    expect_given_up(STAT_WAKES_GIVEN_UP_UNIFIEDPUSH, 1);
    push_to(1, "http://h1.example/up", PLATFORM_ANDROID);
    expect_given_up(STAT_WAKES_GIVEN_UP_UNIFIEDPUSH, 2);
}
END_TEST

/* A token never goes to the backend it is not for. */
START_TEST(what_is_off_is_given_up)
{
    push_to(1, "fcm-1", PLATFORM_ANDROID);
    expect_given_up(STAT_WAKES_GIVEN_UP_FCM, 1);
    settings.unifiedpush_enabled = false;
    push_desk_free(&desk);
    make_desk();
    push_to(1, "https://h1.example/up", PLATFORM_ANDROID);
    expect_given_up(STAT_WAKES_GIVEN_UP_UNIFIEDPUSH, 1);
}
END_TEST

/* And holds no slot. */
START_TEST(what_is_too_old_is_given_up)
{
    for (unsigned i = 1; i <= 3 * HOSTS_SLOTS_MAX; i++) {
        wake(1);
        now += WAKE_LIFE_RELAY_MS + 1;
        serve();
        expect_given_up(STAT_WAKES_GIVEN_UP_UNIFIEDPUSH, i);
    }
}
END_TEST

/* But not for ever. */
START_TEST(what_only_waits_is_given_up_at_the_end_of_its_life)
{
    wake(1);
    for (int64_t end = now + WAKE_LIFE_RELAY_MS; now <= end; now += 60000) {
        serve();
        if (is_asked("h1."))
            answer("h1.", &later);
    }
    ck_assert_uint_eq(count(STAT_WAKES_GIVEN_UP_UNIFIEDPUSH), 0);
    now += 60000;
    serve();
    expect_given_up(STAT_WAKES_GIVEN_UP_UNIFIEDPUSH, 1);
}
END_TEST

/* ---- Endpoints that are held back ------------------------------------------------------------ */

#define CROWD 100

static struct http_answer later_by(int64_t retry_after_ms)
{
    struct http_answer answered = later;

    answered.retry_after_ms = retry_after_ms;
    return answered;
}

/* What happens until the one phone is asked again; returns after how long it is. */
static int64_t until_asked(void)
{
    int64_t began = now, next_ms;

    for (;;) {
        next_ms = run_all();
        serve();
        if (is_asked("h1."))
            return now - began;
        if (wake_queue_next_ms(queue) < next_ms)
            next_ms = wake_queue_next_ms(queue);
        ck_assert_int_gt(next_ms, now);
        ck_assert_int_ne(next_ms, INT64_MAX);
        now = next_ms;
    }
}

/* One of two trade keys of a phone is answered 429; when are both pushed to again? */
static int64_t held_for_ms(int64_t retry_after_ms)
{
    struct http_answer answered = later_by(retry_after_ms);
    int64_t held_ms;

    is_one_phone = true;
    wake(1);
    serve();
    answer("h1.", &answered);
    wake(2);
    serve();
    ck_assert(!is_asked("h1."));
    held_ms = until_asked();
    ck_assert_uint_eq(asked, 1);
    answer("h1.", &delivered);
    ck_assert_int_eq(until_asked(), 0);
    answer("h1.", &delivered);
    ck_assert_uint_eq(wake_queue_backlog(queue), 0);
    return held_ms;
}

START_TEST(an_endpoint_is_held_back_as_long_as_it_asks_up_to_five_minutes)
{
    ck_assert_int_eq(held_for_ms(7000), 7000);
}
END_TEST

START_TEST(an_endpoint_is_held_back_for_five_minutes_at_most)
{
    ck_assert_int_eq(held_for_ms(86400000), 300000);
}
END_TEST

START_TEST(an_endpoint_is_held_back_for_a_second_at_least)
{
    ck_assert_int_eq(held_for_ms(0), 1000);
}
END_TEST

/* However many trade keys it has, one push at a time finds out, and none is looked up meanwhile. */
START_TEST(an_endpoint_that_goes_on_refusing_is_asked_ever_more_rarely)
{
    static const int64_t holds[] = {1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300};
    struct http_answer answered = later_by(1000);

    is_one_phone = true;
    for (unsigned who = 1; who <= CROWD; who++)
        wake(who);
    serve();
    answer("h1.", &answered); /* it has one slot as yet */
    serve();
    while (is_asked("h1."))
        answer("h1.", &answered);
    looked_up = 0;
    for (size_t i = 0; i < sizeof holds / sizeof holds[0]; i++) {
        int64_t held_ms = until_asked();

        ck_assert_int_eq(held_ms, holds[i] * 1000);
        ck_assert_uint_eq(asked, 1);
        answer("h1.", &answered);
    }
    /* Of those that were called at once most had to go on waiting. */
    ck_assert_uint_le(looked_up, (HOSTS_CALLED + 5) * sizeof holds / sizeof holds[0]);
    ck_assert_int_eq(until_asked(), 300000);
    for (unsigned who = 1; who <= CROWD; who++) {
        ck_assert_int_eq(until_asked(), 0);
        answer("h1.", &delivered);
    }
    ck_assert_uint_eq(wake_queue_backlog(queue), 0);
    ck_assert_uint_eq(count(STAT_WAKES_GIVEN_UP_UNIFIEDPUSH), 0);
}
END_TEST

/* ---- Hosts that are held ----------------------------------------------------------------------
 */

/* ntfy with its default limits: 60 requests of one sender, then one more every 5 s. */
struct ntfy {
    unsigned room;
    int64_t filled_ms;
    unsigned delivered, refused;
};

static void answer_as_ntfy(struct ntfy *ntfy)
{
    for (; now - ntfy->filled_ms >= 5000; ntfy->filled_ms += 5000)
        ntfy->room += ntfy->room < 60;
    while (is_asked("ntfy.example")) {
        answer("ntfy.example", ntfy->room > 0 ? &delivered : &later);
        ntfy->delivered += ntfy->room > 0;
        ntfy->refused += ntfy->room == 0;
        ntfy->room -= ntfy->room > 0;
    }
}

/* As the dispatcher does it. */
static void step(struct ntfy *ntfy)
{
    (void)run_all();
    serve();
    answer_as_ntfy(ntfy);
    now += 100;
}

START_TEST(a_crowd_at_an_ntfy_is_woken_to_the_last)
{
    struct ntfy ntfy = {.room = 60, .filled_ms = now};
    int64_t began = now;

    at_ntfy = CROWD;
    for (unsigned who = 0; who < CROWD; who++)
        wake(who);
    while (wake_queue_backlog(queue) > 0 && now - began < 600000)
        step(&ntfy);
    ck_assert_uint_eq(ntfy.delivered, CROWD);
    ck_assert_uint_eq(count(STAT_WAKES_DELIVERED_UNIFIEDPUSH), CROWD);
    ck_assert_uint_eq(count(STAT_WAKES_GIVEN_UP_UNIFIEDPUSH), 0);
    /* As fast as it may be, within a tenth; asked little more often than that, and with no spin. */
    ck_assert_int_lt(now - began, (CROWD - 60) * 5000 * 11 / 10);
    ck_assert_uint_lt(ntfy.refused, 3 * (CROWD - 60));
    ck_assert_uint_lt(looked_up, CROWD + 3 * (CROWD - 60) * (CROWD - 60));
}
END_TEST

START_TEST(a_host_that_is_held_holds_up_no_other)
{
    struct ntfy ntfy = {.filled_ms = now};

    at_ntfy = CROWD;
    for (unsigned who = 0; who < CROWD; who++)
        wake(who);
    for (unsigned i = 0; i < 100; i++) {
        if (i == 50)
            looked_up = 0;
        step(&ntfy);
        wake(CROWD + i);
        serve();
        answer(".example", &delivered);
        ck_assert_uint_eq(count(STAT_WAKES_DELIVERED_UNIFIEDPUSH), ntfy.delivered + i + 1);
    }
    ck_assert_uint_eq(push_desk_in_flight(desk), 0);
    /* Whoever waits there is looked at when its time comes, which was once. */
    ck_assert_uint_le(looked_up, 50 + 3 * HOSTS_CALLED);
}
END_TEST

/* A wake that comes meanwhile waits as well. */
START_TEST(a_held_host_is_asked_nothing)
{
    at_ntfy = 3;
    wake(1);
    serve();
    answer("ntfy.example", &later);
    wake(2);
    for (int64_t end = now + HOSTS_HOLD_LEAST_MS; now < end; now += 100) {
        serve();
        ck_assert_int_le(run_all(), end);
        ck_assert(!is_asked("ntfy.example"));
    }
    ck_assert_uint_eq(count(STAT_PUSH_RETRIES), 1);
    (void)run_all();
    serve();
    answer("ntfy.example", &delivered);
    (void)run_all();
    serve();
    answer("ntfy.example", &delivered);
    ck_assert_uint_eq(wake_queue_backlog(queue), 0);
}
END_TEST

/* ---- Few slots ------------------------------------------------------------------------------- */

/* Slow hosts have one all the same, or those behind them would never be woken. */
START_TEST(of_few_slots_one_is_for_slow_hosts)
{
    settings.push_max_in_flight = 3;
    push_desk_free(&desk);
    make_desk();
    wake(1);
    serve();
    answer("h1.", &silence);
    now += 60000;
    serve();
    answer("h1.", &delivered);
    ck_assert_uint_eq(wake_queue_backlog(queue), 0);
}
END_TEST

/* ---- Keys ------------------------------------------------------------------------------------ */

/* Redis holds nonsense: that costs this wake, and no slot. */
START_TEST(stored_keys_that_are_none_are_given_up)
{
    struct registration registration = {.platform = PLATFORM_ANDROID, .auth = "nonsense"};
    struct wake_target *target;

    (void)strcpy(registration.token, "https://h1.example/up");
    for (unsigned i = 1; i <= 3 * IN_FLIGHT; i++) {
        wake(1);
        ck_assert_uint_eq(wake_queue_take(queue, WAKE_LANE_UNKNOWN, now, &target, 1), 1);
        turns_serve(&turns, target, &registration, now);
        push_desk_hand_over(desk);
        settle();
        ck_assert_uint_eq(count(STAT_WAKES_GIVEN_UP_UNIFIEDPUSH), i);
    }
    ck_assert_uint_eq(asked, 0);
    ck_assert_uint_eq(push_desk_in_flight(desk), 0);
    ck_assert_uint_eq(wake_queue_backlog(queue), 0);
}
END_TEST

/* ---- The end --------------------------------------------------------------------------------- */

START_TEST(what_is_in_flight_at_the_end_is_not_done_with)
{
    struct wake_done done;

    wake(1);
    serve();
    cancel_all();
    settle();
    ck_assert_uint_eq(push_desk_in_flight(desk), 0);
    ck_assert_uint_eq(wake_queue_done(queue, &done, 1), 0);
    ck_assert_uint_eq(wake_queue_backlog(queue), 1);
}
END_TEST

/* ---- A backend is away for half an hour ------------------------------------------------------ */

#define PHONES  20
#define STEP_MS 250

static char account_path[] = "/tmp/test_push_desk.XXXXXX";

static void write_account(void)
{
    EVP_PKEY *key = EVP_RSA_gen(2048);
    BIO *bio = BIO_new(BIO_s_mem());
    int fd = mkstemp(account_path);
    json_t *root;
    char *pem;
    long len;

    ck_assert(fd >= 0);
    ck_assert_int_eq(PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL), 1);
    len = BIO_get_mem_data(bio, &pem);
    root = json_pack("{s:s, s:s, s:s%}", "client_email", "push@p.example", "token_uri",
                     "https://oauth.example/token", "private_key", pem, (size_t)len);
    ck_assert_int_eq(json_dumpfd(root, fd, 0), 0);
    json_decref(root);
    (void)close(fd);
    BIO_free(bio);
    EVP_PKEY_free(key);
}

static void setup_fcm(void)
{
    static char endpoint[] = "https://fcm.example", project[] = "p";

    write_account();
    by_fcm = true;
    settings.fcm_enabled = true;
    settings.fcm_endpoint = endpoint;
    settings.firebase_project_id = project;
    settings.firebase_service_account_path = account_path;
    setup();
}

static void teardown_fcm(void)
{
    teardown();
    (void)unlink(account_path);
}

/* How the backend (and, for FCM, the token endpoint) answers, and what has come of it. */
struct backend {
    const struct http_answer *pushes, *oauth;
    unsigned asked;             /* pushes */
    unsigned delivered[PHONES]; /* by phone */
};

#define GRANT "{\"access_token\":\"t\",\"expires_in\":3599}"
static const struct http_answer granted = {.result = HTTP_ANSWERED,
                                           .status = 200,
                                           .body = GRANT,
                                           .body_len = sizeof GRANT - 1,
                                           .retry_after_ms = -1};

static void answer_all(struct backend *backend)
{
    while (asked > 0) {
        struct request request = requests[0];
        unsigned phone;

        if (strstr(request.url, "oauth.example") != NULL) {
            answer("oauth.example", backend->oauth);
            continue;
        }
        backend->asked++;
        if (backend->pushes->status == 200 &&
            (sscanf(request.token, "fcm-%u", &phone) == 1 ||
             sscanf(request.url, "https://h%u.", &phone) == 1 ||
             sscanf(request.url, "https://ntfy.example/up%u", &phone) == 1))
            backend->delivered[phone]++;
        answer(request.url, backend->pushes);
    }
}

/* As the dispatcher does it; each phone is sent an event a minute. */
static void pass(struct backend *backend, int64_t ms, bool events)
{
    struct wake_done done[64];
    size_t n;

    for (int64_t end = now + ms; now < end; now += STEP_MS) {
        for (unsigned who = 0; events && now % 60000 == 0 && who < PHONES; who++)
            wake(who);
        (void)run_all();
        serve();
        answer_all(backend);
        while ((n = wake_queue_done(queue, done, 64)) > 0)
            wake_queue_acknowledged(queue, n);
    }
}

static void expect_one_push_each_afterwards(const struct http_answer *pushes,
                                            const struct http_answer *oauth)
{
    struct backend backend = {.pushes = pushes, .oauth = oauth};

    pass(&backend, 30 * 60000, true);
    ck_assert_uint_eq(wake_queue_backlog(queue), PHONES);
    /* FCM is probed; of distributors each is one of its own. */
    ck_assert_uint_lt(backend.asked, by_fcm ? 200 : 200 * PHONES);
    backend.pushes = backend.oauth = &granted;
    pass(&backend, 3 * 60000, false);
    for (unsigned who = 0; who < PHONES; who++)
        ck_assert_uint_eq(backend.delivered[who], 1);
    ck_assert_uint_eq(wake_queue_backlog(queue), 0);
    ck_assert_uint_eq(count(STAT_WAKES_GIVEN_UP_FCM) + count(STAT_WAKES_GIVEN_UP_UNIFIEDPUSH), 0);
}

START_TEST(half_an_hour_without_a_connection_loses_no_wake)
{
    expect_one_push_each_afterwards(&refused, &granted);
}
END_TEST

START_TEST(half_an_hour_of_503_loses_no_wake)
{
    expect_one_push_each_afterwards(&busy, &granted);
}
END_TEST

START_TEST(half_an_hour_of_silence_loses_no_wake)
{
    expect_one_push_each_afterwards(&silence, &granted);
}
END_TEST

START_TEST(half_an_hour_without_an_access_token_loses_no_wake)
{
    expect_one_push_each_afterwards(&granted, &busy);
}
END_TEST

START_TEST(half_an_hour_without_any_distributor_loses_no_wake)
{
    by_fcm = false;
    expect_one_push_each_afterwards(&refused, &granted);
}
END_TEST

START_TEST(half_an_hour_of_503_from_all_distributors_loses_no_wake)
{
    by_fcm = false;
    expect_one_push_each_afterwards(&busy, &granted);
}
END_TEST

/* However few wait, and so have been the probes again and again. */
static void expect_all_soon_after_an_outage(void)
{
    struct backend backend = {.pushes = &refused, .oauth = &granted};

    for (unsigned who = 0; who < 3; who++)
        wake(who);
    pass(&backend, 40000, false);
    backend.pushes = &granted;
    pass(&backend, 10000, false);
    ck_assert_uint_eq(wake_queue_backlog(queue), 0);
    for (unsigned who = 0; who < 3; who++)
        ck_assert_uint_eq(backend.delivered[who], 1);
}

START_TEST(forty_seconds_without_fcm_are_over_within_ten_seconds)
{
    expect_all_soon_after_an_outage();
}
END_TEST

START_TEST(forty_seconds_without_a_distributor_are_over_within_ten_seconds)
{
    by_fcm = false;
    at_ntfy = 3;
    expect_all_soon_after_an_outage();
}
END_TEST

/* It is gone for so long. */
static void expect_afterwards(const struct http_answer *pushes, const struct http_answer *oauth,
                              int64_t hours, unsigned expected)
{
    struct backend backend = {.pushes = pushes, .oauth = oauth};

    wake(7);
    pass(&backend, hours * 3600 * 1000, false);
    backend.pushes = backend.oauth = &granted;
    pass(&backend, 3 * 60000, false);
    ck_assert_uint_eq(backend.delivered[7], expected);
    ck_assert_uint_eq(wake_queue_backlog(queue), 0);
}

START_TEST(most_of_a_day_without_fcm_loses_no_wake)
{
    expect_afterwards(&refused, &granted, 23, 1);
}
END_TEST

START_TEST(most_of_a_day_without_an_access_token_loses_no_wake)
{
    expect_afterwards(&granted, &busy, 23, 1);
}
END_TEST

START_TEST(no_wake_is_pushed_after_more_than_a_day)
{
    expect_afterwards(&refused, &granted, 25, 0);
    ck_assert_uint_eq(count(STAT_WAKES_GIVEN_UP_FCM), 1);
}
END_TEST

/* ---- FCM ------------------------------------------------------------------------------------- */

static void grant_access(void)
{
    (void)run_all();
    answer("oauth.example", &granted);
}

START_TEST(without_an_access_token_nothing_begins)
{
    ck_assert_uint_eq(push_desk_slots(desk, WAKE_LANE_FCM, now), 0);
    ck_assert(push_desk_is_down(desk, WAKE_LANE_FCM));
    (void)run_all();
    ck_assert_uint_eq(push_desk_slots(desk, WAKE_LANE_FCM, now), 0);
    answer("oauth.example", &granted);
    ck_assert_uint_eq(push_desk_slots(desk, WAKE_LANE_FCM, now), IN_FLIGHT);
    ck_assert(!push_desk_is_down(desk, WAKE_LANE_FCM));
}
END_TEST

START_TEST(each_backend_has_slots_of_its_own)
{
    grant_access();
    for (unsigned who = 0; who < IN_FLIGHT; who++)
        wake(who);
    serve();
    ck_assert_uint_eq(push_desk_slots(desk, WAKE_LANE_FCM, now), 0);
    ck_assert_uint_eq(push_desk_slots(desk, WAKE_LANE_UNIFIEDPUSH, now), IN_FLIGHT);
    by_fcm = false;
    for (unsigned who = 0; who < IN_FLIGHT; who++)
        wake(100 + who);
    serve();
    ck_assert_uint_eq(push_desk_in_flight(desk), IN_FLIGHT + IN_FLIGHT / 2); /* newcomers */
    ck_assert_uint_eq(push_desk_slots(desk, WAKE_LANE_UNIFIEDPUSH, now), IN_FLIGHT / 2);
    answer("fcm.example", &granted);
    ck_assert_uint_eq(push_desk_slots(desk, WAKE_LANE_FCM, now), 1);
    ck_assert_uint_eq(push_desk_slots(desk, WAKE_LANE_UNIFIEDPUSH, now), IN_FLIGHT / 2);
}
END_TEST

/* One push to FCM, whose access token is at hand, and what it is answered. */
static void push_by_fcm(unsigned who, const struct http_answer *answered)
{
    wake(who);
    serve();
    answer("fcm.example", answered);
}

static const struct http_answer no_permission = {
    .result = HTTP_ANSWERED, .status = 403, .body = "", .retry_after_ms = -1};

/* Loud, but not once a push. */
START_TEST(an_operators_mistake_is_told_once_a_minute)
{
    struct backend backend = {.pushes = &no_permission, .oauth = &granted};
    int log = capture_log();

    now = 960000;
    for (unsigned minute = 0; minute < 3; minute++) {
        pass(&backend, 60000, true);
        ck_assert_uint_eq(logged(log, "error: FCM: it answers 403: check FIREBASE_PROJECT_ID"), 1);
    }
    (void)close(log);
}
END_TEST

START_TEST(half_an_hour_of_an_operators_mistake_loses_no_wake)
{
    int log = capture_log();

    expect_one_push_each_afterwards(&no_permission, &granted);
    ck_assert_uint_eq(logged(log, "error: push: FCM is down (it refuses us"), 1);
    (void)close(log);
}
END_TEST

#define ERROR(code)                                                                        \
    {                                                                                      \
        .result = HTTP_ANSWERED,                                                           \
        .body = "{\"error\":{\"details\":[{\"errorCode\":\"" code "\"}]}}",                \
        .body_len = sizeof "{\"error\":{\"details\":[{\"errorCode\":\"" code "\"}]}}" - 1, \
        .retry_after_ms = -1                                                               \
    }

/* Neither a refusal of another sort nor a push of UnifiedPush's shows that the credentials are
 * those of this project's. */
START_TEST(a_sender_mismatch_is_believed_after_a_success_alone)
{
    struct http_answer mismatch = ERROR("SENDER_ID_MISMATCH"),
                       others[] = {
                           ERROR("UNREGISTERED"),   ERROR("INVALID_ARGUMENT"),
                           ERROR("NOT_FOUND"),      ERROR("PERMISSION_DENIED"),
                           ERROR("QUOTA_EXCEEDED"), ERROR("UNAVAILABLE"),
                       };
    const int statuses[] = {404, 400, 404, 403, 429, 503};

    mismatch.status = 403;
    grant_access();
    for (unsigned i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
        others[i].status = statuses[i];
        push_by_fcm(10 + i, &others[i]);
        if (!STAILQ_EMPTY(&dead))
            forgotten(false);
    }
    by_fcm = false;
    wake(20);
    serve();
    answer("h20.", &delivered);
    by_fcm = true;
    push_by_fcm(1, &mismatch);
    ck_assert(STAILQ_EMPTY(&dead));
    push_by_fcm(2, &granted);
    push_by_fcm(3, &mismatch);
    ck_assert(!STAILQ_EMPTY(&dead));
    ck_assert_str_eq(STAILQ_FIRST(&dead)->token, "fcm-3");
}
END_TEST

/* As long as new ones are accepted in between. */
START_TEST(every_refused_access_token_is_replaced_at_once)
{
    static const struct http_answer unauthorized = {
        .result = HTTP_ANSWERED, .status = 401, .body = "", .retry_after_ms = -1};

    for (unsigned i = 0; i < 3; i++) {
        grant_access();
        push_by_fcm(1, &granted);
        push_by_fcm(1, &unauthorized);
        (void)run_all();
        ck_assert(is_asked("oauth.example"));
        answer("oauth.example", &granted);
        serve();
        answer("fcm.example", &granted);
        push_by_fcm(1, &unauthorized);
    }
    ck_assert_uint_eq(count(STAT_WAKES_DELIVERED_FCM), 6);
    ck_assert_uint_eq(count(STAT_WAKES_GIVEN_UP_FCM), 0);
}
END_TEST

START_TEST(fcm_has_too_many)
{
    grant_access();
    push_by_fcm(1, &later);
    ck_assert_int_eq(wake_queue_next_ms(queue), now + 60000);
}
END_TEST

START_TEST(fcm_says_when)
{
    struct http_answer in_a_minute = busy;

    grant_access();
    in_a_minute.retry_after_ms = 60000;
    push_by_fcm(1, &in_a_minute);
    ck_assert_int_eq(wake_queue_next_ms(queue), now + 60000);
    in_a_minute.status = 429;
    push_by_fcm(2, &in_a_minute);
    now += 59999;
    ck_assert_int_eq(wake_queue_next_ms(queue), now + 1);
    serve();
    ck_assert_uint_eq(push_desk_in_flight(desk), 0);
    now++;
    serve();
    ck_assert_uint_eq(push_desk_in_flight(desk), 2);
}
END_TEST

static enum report_state fcm_state(void)
{
    return push_desk_state(desk, WAKE_LANE_FCM, now);
}

/* As the dispatcher does after each turn. */
static unsigned told_busy(int log)
{
    push_desk_look_busy(desk, WAKE_LANE_FCM, wake_queue_waiting(queue, WAKE_LANE_FCM), now);
    return logged(log, "warn: push: 12 pushes are in flight by FCM, and others have waited for 1");
}

START_TEST(a_back_end_that_stays_busy_is_told_of_once_in_ten_seconds)
{
    int log = capture_log();

    grant_access();
    for (unsigned who = 0; who < IN_FLIGHT; who++)
        wake(who);
    serve();
    ck_assert_uint_eq(told_busy(log), 0);
    now += 10000; /* nobody waits */
    ck_assert_uint_eq(told_busy(log), 0);
    wake(IN_FLIGHT);
    serve();
    ck_assert(wake_queue_waiting(queue, WAKE_LANE_FCM));
    ck_assert_uint_eq(told_busy(log), 0);
    now += 9999;
    ck_assert_uint_eq(told_busy(log), 0);
    now++;
    ck_assert_uint_eq(told_busy(log), 1);
    now += 9999;
    ck_assert_uint_eq(told_busy(log), 0);
    answer("fcm.example", &granted); /* for a moment it is not */
    ck_assert_uint_eq(told_busy(log), 0);
    serve();
    now++;
    wake(IN_FLIGHT + 1);
    serve();
    ck_assert_uint_eq(told_busy(log), 0);
    (void)close(log);
}
END_TEST

/* For metrics. */
START_TEST(a_state_says_why_nothing_is_pushed)
{
    ck_assert_int_eq(push_desk_state(desk, WAKE_LANE_UNIFIEDPUSH, now), REPORT_UP);
    ck_assert_int_eq(fcm_state(), REPORT_NO_ACCESS_TOKEN);
    grant_access();
    ck_assert_int_eq(fcm_state(), REPORT_UP);
    push_by_fcm(1, &later);
    ck_assert_int_eq(fcm_state(), REPORT_LIMITED);
    now += 59999;
    ck_assert_int_eq(fcm_state(), REPORT_LIMITED);
    now++;
    ck_assert_int_eq(fcm_state(), REPORT_UP);
    for (unsigned who = 11; who < 11 + PUSH_HEALTH_FAULTS; who++) {
        ck_assert_int_eq(fcm_state(), REPORT_UP);
        push_by_fcm(who, &no_permission);
    }
    ck_assert_int_eq(fcm_state(), REPORT_REFUSED);
    now += PUSH_HEALTH_PROBE_LEAST_MS;
    serve();
    answer("fcm.example", &busy);
    ck_assert_int_eq(fcm_state(), REPORT_DOWN);
    settings.fcm_enabled = false;
    teardown();
    setup();
    ck_assert_int_eq(fcm_state(), REPORT_OFF);
}
END_TEST

/* ---- What all back ends have in common ------------------------------------------------------- */

/* Whoever is asked: so much of an answer means the same. */
START_TEST(answers_mean_the_same_to_all_rows)
{
    static const struct {
        enum http_result result;
        int status;
        enum push_outcome outcome;
    } cases[] = {
        {HTTP_ANSWERED, 200, PUSH_DELIVERED},      {HTTP_ANSWERED, 408, PUSH_RETRY},
        {HTTP_ANSWERED, 425, PUSH_RETRY},          {HTTP_ANSWERED, 500, PUSH_BACKEND_FAULT},
        {HTTP_ANSWERED, 503, PUSH_BACKEND_FAULT},  {HTTP_ANSWERED, 413, PUSH_GIVEN_UP},
        {HTTP_UNREACHABLE, 0, PUSH_BACKEND_FAULT}, {HTTP_TIMED_OUT, 0, PUSH_BACKEND_FAULT},
        {HTTP_BROKEN, 0, PUSH_BACKEND_FAULT},      {HTTP_INVALID, 0, PUSH_GIVEN_UP},
        {HTTP_CANCELLED, 0, PUSH_CANCELLED},
    };
    const struct push_backend *row = push_backends[_i];
    void *service;

    ck_assert(row->open(&settings, NULL, &service));
    ck_assert_ptr_nonnull(service);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct http_answer answered = {.result = cases[i].result,
                                             .status = cases[i].status,
                                             .body = "",
                                             .retry_after_ms = 5000};
        struct push_result result = row->classify(service, &answered);
        bool comes_again = result.outcome == PUSH_RETRY || result.outcome == PUSH_BACKEND_FAULT;

        ck_assert_int_eq(result.outcome, cases[i].outcome);
        ck_assert(result.answered == (cases[i].result == HTTP_ANSWERED));
        if (result.answered)
            ck_assert_int_eq(result.retry_after_ms, comes_again ? 5000 : -1);
    }
    row->close(service);
}
END_TEST

/* ---- FCM is off ------------------------------------------------------------------------------ */

static void expect_off(const char *why, unsigned warnings)
{
    int log = capture_log();

    push_desk_free(&desk);
    make_desk();
    ck_assert_uint_eq(logged(log, why), warnings);
    ck_assert_uint_eq(push_desk_slots(desk, WAKE_LANE_FCM, now), SIZE_MAX);
    ck_assert_int_eq(run_all(), INT64_MAX);
    (void)close(log);
}

START_TEST(without_a_project_or_an_account_fcm_is_off)
{
    static char bad[][16] = {"", "a/../b", "a b", "a?", "a#b", "a\r\nb"},
                nowhere[] = "/nonexistent";
    char *project = settings.firebase_project_id;

    settings.firebase_project_id = NULL;
    expect_off("warn: FCM: it is off: FIREBASE_PROJECT_ID is not set", 1);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        settings.firebase_project_id = bad[i];
        expect_off("is no project id", 1);
    }
    settings.firebase_project_id = project;
    settings.firebase_service_account_path = NULL;
    expect_off("warn: FCM: it is off: FIREBASE_SERVICE_ACCOUNT_PATH is not set", 1);
    settings.firebase_service_account_path = nowhere;
    expect_off("FIREBASE_SERVICE_ACCOUNT_PATH=/nonexistent: there is no such file", 1);
    settings.firebase_service_account_path = account_path;
    settings.fcm_enabled = false;
    expect_off("FCM", 0);
}
END_TEST

int main(void)
{
    const TTest *const outages[] = {
        half_an_hour_without_a_connection_loses_no_wake,
        half_an_hour_of_503_loses_no_wake,
        half_an_hour_of_silence_loses_no_wake,
        half_an_hour_of_an_operators_mistake_loses_no_wake,
        half_an_hour_without_an_access_token_loses_no_wake,
        half_an_hour_without_any_distributor_loses_no_wake,
        half_an_hour_of_503_from_all_distributors_loses_no_wake,
        forty_seconds_without_fcm_are_over_within_ten_seconds,
        forty_seconds_without_a_distributor_are_over_within_ten_seconds,
        most_of_a_day_without_fcm_loses_no_wake,
        most_of_a_day_without_an_access_token_loses_no_wake,
        no_wake_is_pushed_after_more_than_a_day,
        without_an_access_token_nothing_begins,
        each_backend_has_slots_of_its_own,
        every_refused_access_token_is_replaced_at_once,
        fcm_has_too_many,
        fcm_says_when,
        a_back_end_that_stays_busy_is_told_of_once_in_ten_seconds,
        a_state_says_why_nothing_is_pushed,
        an_operators_mistake_is_told_once_a_minute,
        a_sender_mismatch_is_believed_after_a_success_alone,
        without_a_project_or_an_account_fcm_is_off,
    };
    const TTest *const tests[] = {
        silent_hosts_share_half,
        hosts_that_cannot_be_reached_in_time_share_half,
        hosts_that_trickle_share_half,
        hosts_that_answer_late_share_half,
        a_host_that_answers_in_time_is_proven,
        an_endpoint_alone_without_an_answer_is_given_up,
        an_endpoint_alone_in_answering_5xx_is_given_up,
        an_endpoint_that_fails_at_once_is_given_up,
        an_endpoint_that_asks_for_patience_is_not_given_up,
        what_only_waits_is_given_up_at_the_end_of_its_life,
        a_push_that_was_not_made_blames_nobody,
        an_earlier_success_blames_nobody,
        a_newer_wake_has_all_its_tries,
        a_dead_token_that_was_replaced_meanwhile_costs_no_wake,
        endpoints_of_other_platforms_and_schemes_are_given_up,
        what_is_off_is_given_up,
        what_is_too_old_is_given_up,
        an_endpoint_is_held_back_as_long_as_it_asks_up_to_five_minutes,
        an_endpoint_is_held_back_for_five_minutes_at_most,
        an_endpoint_is_held_back_for_a_second_at_least,
        an_endpoint_that_goes_on_refusing_is_asked_ever_more_rarely,
        a_crowd_at_an_ntfy_is_woken_to_the_last,
        a_host_that_is_held_holds_up_no_other,
        a_held_host_is_asked_nothing,
        of_few_slots_one_is_for_slow_hosts,
        stored_keys_that_are_none_are_given_up,
        what_is_in_flight_at_the_end_is_not_done_with,
    };
    Suite *suite = suite_create("push_desk");
    TCase *tcase = tcase_create("push_desk"), *outage = tcase_create("outage");

    tcase_add_checked_fixture(tcase, setup, teardown);
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++)
        tcase_add_test(tcase, tests[i]);
    suite_add_tcase(suite, tcase);
    tcase_set_timeout(outage, 120); /* one of them signs thousands of JWTs */
    tcase_add_checked_fixture(outage, setup_fcm, teardown_fcm);
    for (size_t i = 0; i < sizeof outages / sizeof outages[0]; i++)
        tcase_add_test(outage, outages[i]);
    tcase_add_loop_test(outage, answers_mean_the_same_to_all_rows, 0, (int)push_backends_count);
    suite_add_tcase(suite, outage);
    return unit_run(suite);
}
