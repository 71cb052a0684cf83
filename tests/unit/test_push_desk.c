#include "push_desk.h"

#include <fcntl.h>
#include <jansson.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "unit.h"

/* ---- A clock, and an HTTP client, that do as they are told ----------------------------------- */

static int64_t now;

uint64_t clock_monotonic_ms(void)
{
    return (uint64_t)now;
}

int64_t clock_unix_ms(void)
{
    return now;
}

int64_t clock_unix_s(void)
{
    return now / 1000;
}

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
    (void)snprintf(requests[asked].url, sizeof requests[asked].url, "%s", request->url);
    if (sscanf(request->body, "{\"message\":{\"token\":\"%31[^\"]", requests[asked].token) != 1)
        requests[asked].token[0] = '\0';
    requests[asked].done = done;
    requests[asked++].arg = arg;
    return true;
}

void http_client_cancel_all(struct http_client *client)
{
    (void)client;
    while (asked > 0) {
        struct request request = requests[--asked];

        request.done(&(struct http_answer){.result = HTTP_CANCELLED}, request.arg);
    }
}

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
}

static const struct http_answer delivered = {
    .result = HTTP_ANSWERED, .status = 201, .body = "", .retry_after_ms = -1};
static const struct http_answer busy = {
    .result = HTTP_ANSWERED, .status = 503, .body = "", .retry_after_ms = -1};
static const struct http_answer later = {
    .result = HTTP_ANSWERED, .status = 429, .body = "", .retry_after_ms = -1};
static const struct http_answer gone = {
    .result = HTTP_ANSWERED, .status = 410, .body = "", .retry_after_ms = -1};
static const struct http_answer silence = {
    .result = HTTP_TIMED_OUT, .timed_out = true, .body = "", .retry_after_ms = -1};
static const struct http_answer refused = {
    .result = HTTP_UNREACHABLE, .body = "", .retry_after_ms = -1};
static const struct http_answer unroutable = {
    .result = HTTP_UNREACHABLE, .timed_out = true, .body = "", .retry_after_ms = -1};

/* ---- The desk -------------------------------------------------------------------------------- */

#define IN_FLIGHT 8

static struct settings settings;
static struct stats stats;
static struct wake_queue *queue;
static struct push_desk *desk;
static unsigned wakes;

static uint64_t most(uint64_t limit)
{
    return limit;
}

static void setup(void)
{
    settings.unifiedpush_enabled = true;
    settings.push_max_in_flight = IN_FLIGHT;
    queue = wake_queue_new(1000, most);
    desk = push_desk_new(&settings, NULL, queue, &stats);
    ck_assert_ptr_nonnull(desk);
}

static void teardown(void)
{
    push_desk_free(&desk);
    wake_queue_free(&queue);
}

/* A wake of pubkey number `who`. */
static void wake(unsigned who)
{
    struct wake entry = {.via = WAKE_VIA_RELAY};
    unsigned merged;

    (void)snprintf(entry.id, sizeof entry.id, "%u-0", ++wakes);
    (void)snprintf(entry.key.hex, sizeof entry.key.hex, "%064x", who);
    ck_assert_int_eq(wake_queue_add(queue, &entry, now, now, &merged), WAKE_ADDED);
}

/* What pubkey number n is registered with: an endpoint at host hn.example, or FCM's token fcm-n. */
static bool by_fcm;

static void make_token(char *token, unsigned long n)
{
    (void)snprintf(token, 64, by_fcm ? "fcm-%lu" : "https://h%lu.example/up", n);
}

/* Serves all whose turn it is. */
static void serve(void)
{
    struct registration registration = {.platform = PLATFORM_ANDROID};
    struct wake_target *target;

    for (int lane = 0; lane < WAKE_LANES; lane++) {
        while (push_desk_slots(desk, (enum wake_lane)lane, now) > 0 &&
               wake_queue_take(queue, (enum wake_lane)lane, now, &target, 1) == 1) {
            make_token(registration.token, strtoul(wake_target_key(target)->hex + 48, NULL, 16));
            push_desk_serve(desk, target, &registration, now);
        }
    }
}

static uint64_t count(enum stats_counter which)
{
    return stats.pending[which];
}

/* ---- Slow hosts ------------------------------------------------------------------------------ */

/* One wake for each of as many hosts as there are slots. */
static void wake_hosts(void)
{
    for (unsigned who = 1; who <= IN_FLIGHT; who++)
        wake(who);
    serve();
}

/* Strangers register endpoints at hosts of theirs that never answer. */
static void expect_others_unhindered(const struct http_answer *no_answer)
{
    for (unsigned who = 1; who <= IN_FLIGHT; who++)
        wake(who);
    serve();
    ck_assert_uint_eq(push_desk_in_flight(desk), IN_FLIGHT);
    now += 5000;
    for (unsigned who = 0; who < IN_FLIGHT; who++)
        answer(".example", no_answer);
    now += 60000;
    serve();
    ck_assert_uint_eq(push_desk_in_flight(desk), IN_FLIGHT / 4);
    wake(99);
    serve();
    answer("h99.example", &delivered);
    ck_assert_uint_eq(count(STAT_WAKES_DELIVERED_UNIFIEDPUSH), 1);
    /* And all of them have their turn in the end. */
    for (unsigned who = 1; who <= IN_FLIGHT; who++) {
        answer(".example", &delivered);
        serve();
    }
    ck_assert_uint_eq(count(STAT_WAKES_DELIVERED_UNIFIEDPUSH), 1 + IN_FLIGHT);
    ck_assert_uint_eq(wake_queue_backlog(queue), 0);
}

START_TEST(silent_hosts_share_a_quarter)
{
    expect_others_unhindered(&silence);
}
END_TEST

START_TEST(hosts_that_cannot_be_reached_in_time_share_a_quarter)
{
    expect_others_unhindered(&unroutable);
}
END_TEST

/* A host that begins an answer and does not end it is no better. */
START_TEST(hosts_that_trickle_share_a_quarter)
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

/* Nor is one that answers when its time is nearly over. */
START_TEST(hosts_that_answer_late_share_a_quarter)
{
    wake_hosts();
    now += 2000;
    for (unsigned who = 0; who < IN_FLIGHT; who++)
        answer(".example", &delivered);
    wake_hosts();
    ck_assert_uint_eq(push_desk_in_flight(desk), IN_FLIGHT / 4);
    wake(99);
    serve();
    answer("h99.example", &delivered);
    ck_assert_uint_eq(count(STAT_WAKES_DELIVERED_UNIFIEDPUSH), IN_FLIGHT + 1);
}
END_TEST

START_TEST(a_host_that_answers_in_time_is_not_slow)
{
    wake_hosts();
    now += 1999;
    for (unsigned who = 0; who < IN_FLIGHT; who++)
        answer(".example", &delivered);
    wake_hosts();
    ck_assert_uint_eq(push_desk_in_flight(desk), IN_FLIGHT);
}
END_TEST

START_TEST(a_host_that_refuses_at_once_is_not_slow)
{
    for (unsigned who = 1; who <= IN_FLIGHT; who++)
        wake(who);
    serve();
    for (unsigned who = 0; who < IN_FLIGHT; who++)
        answer(".example", &refused);
    now += 60000;
    serve();
    ck_assert_uint_eq(push_desk_in_flight(desk), IN_FLIGHT);
}
END_TEST

/* ---- Tries ----------------------------------------------------------------------------------- */

/* How often a push that ends like this is made, of ten, while each time another host's ends like
 * that. */
static unsigned tries(const struct http_answer *of_this, const struct http_answer *of_another)
{
    unsigned n = 0;

    wake(1);
    for (unsigned i = 0; i < 10; i++) {
        char other[16];

        wake(100 + i);
        serve();
        (void)snprintf(other, sizeof other, "h%u.", 100 + i);
        now += 100;
        answer(other, of_another);
        if (is_asked("h1.")) {
            answer("h1.", of_this);
            n++;
        }
        now += 60000;
    }
    return n;
}

START_TEST(a_host_alone_in_being_unreachable_is_given_up)
{
    ck_assert_uint_eq(tries(&refused, &delivered), WAKE_TRIES_MAX);
    ck_assert_uint_eq(count(STAT_WAKES_GIVEN_UP_UNIFIEDPUSH), 1);
}
END_TEST

START_TEST(a_host_alone_in_answering_5xx_is_given_up)
{
    ck_assert_uint_eq(tries(&busy, &later), WAKE_TRIES_MAX);
    ck_assert_uint_ge(count(STAT_WAKES_GIVEN_UP_UNIFIEDPUSH), 1);
}
END_TEST

/* It fails so soon that nothing else ends meanwhile: what counts is what ended between two tries.
 * The first of those, before which nothing is known, is not counted. */
START_TEST(a_host_that_fails_at_once_is_given_up)
{
    unsigned n = 0;

    wake(1);
    for (unsigned i = 0; i < 10; i++) {
        char other[16];

        serve();
        if (is_asked("h1.")) {
            answer("h1.", &busy);
            n++;
        }
        now += 100;
        wake(100 + i);
        serve();
        (void)snprintf(other, sizeof other, "h%u.", 100 + i);
        answer(other, &delivered);
        now += 60000;
    }
    ck_assert_uint_eq(n, WAKE_TRIES_MAX + 1);
    ck_assert_uint_eq(count(STAT_WAKES_GIVEN_UP_UNIFIEDPUSH), 1);
}
END_TEST

/* It is our own network that is away, as far as can be told. */
START_TEST(nobody_is_to_blame_while_nothing_is_answered)
{
    ck_assert_uint_eq(tries(&refused, &silence), 10);
}
END_TEST

START_TEST(a_newer_wake_has_all_its_tries)
{
    wake(1);
    for (unsigned i = 0; i < WAKE_TRIES_MAX; i++) {
        if (i == WAKE_TRIES_MAX - 1)
            wake(1);
        serve();
        answer("h1.", &later);
        now += 60000;
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
    const struct trade_pubkey *key;
    const char *token;

    wake(1);
    serve();
    answer("h1.", &gone);
    ck_assert(push_desk_first_dead(desk, &key, &token));
    ck_assert_str_eq(token, "https://h1.example/up");
    push_desk_forgotten(desk, true, now);
    ck_assert(!push_desk_first_dead(desk, &key, &token));
    serve();
    answer("h1.", &gone);
    push_desk_forgotten(desk, false, now);
    serve();
    ck_assert(!is_asked("h1."));
    ck_assert_uint_eq(count(STAT_WAKES_DEAD_UNIFIEDPUSH), 1);
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
        push_desk_serve(desk, target, &registration, now);
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
    const char *id;

    wake(1);
    serve();
    http_client_cancel_all(NULL);
    ck_assert_uint_eq(push_desk_in_flight(desk), 0);
    ck_assert_uint_eq(wake_queue_done(queue, &id, 1), 0);
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
        if (backend->pushes->status == 200 && (sscanf(request.token, "fcm-%u", &phone) == 1 ||
                                               sscanf(request.url, "https://h%u.", &phone) == 1))
            backend->delivered[phone]++;
        answer(request.url, backend->pushes);
    }
}

/* As the dispatcher does it; each phone is sent an event a minute. */
static void pass(struct backend *backend, int64_t ms, bool events)
{
    const char *ids[64];
    size_t n;

    for (int64_t end = now + ms; now < end; now += STEP_MS) {
        for (unsigned who = 0; events && now % 60000 == 0 && who < PHONES; who++)
            wake(who);
        (void)push_desk_run(desk, now);
        for (int lane = 0; lane < WAKE_LANES; lane++)
            wake_queue_stop_clock(queue, (enum wake_lane)lane,
                                  push_desk_is_down(desk, (enum wake_lane)lane, now), now);
        serve();
        answer_all(backend);
        while ((n = wake_queue_done(queue, ids, 64)) > 0)
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
    ck_assert_uint_lt(backend.asked, by_fcm ? 50 : 50 * PHONES);
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

/* It is gone for longer than a wake lives. */
START_TEST(two_days_without_fcm_lose_no_wake)
{
    struct backend backend = {.pushes = &refused, .oauth = &granted};

    wake(7);
    pass(&backend, INT64_C(48) * 3600 * 1000, false);
    backend.pushes = &granted;
    pass(&backend, 3 * 60000, false);
    ck_assert_uint_eq(backend.delivered[7], 1);
}
END_TEST

int main(void)
{
    const TTest *const outages[] = {
        half_an_hour_without_a_connection_loses_no_wake,
        half_an_hour_of_503_loses_no_wake,
        half_an_hour_of_silence_loses_no_wake,
        half_an_hour_without_an_access_token_loses_no_wake,
        half_an_hour_without_any_distributor_loses_no_wake,
        half_an_hour_of_503_from_all_distributors_loses_no_wake,
        two_days_without_fcm_lose_no_wake,
    };
    const TTest *const tests[] = {
        silent_hosts_share_a_quarter,
        hosts_that_cannot_be_reached_in_time_share_a_quarter,
        hosts_that_trickle_share_a_quarter,
        hosts_that_answer_late_share_a_quarter,
        a_host_that_answers_in_time_is_not_slow,
        a_host_that_refuses_at_once_is_not_slow,
        a_host_alone_in_being_unreachable_is_given_up,
        a_host_alone_in_answering_5xx_is_given_up,
        a_host_that_fails_at_once_is_given_up,
        nobody_is_to_blame_while_nothing_is_answered,
        a_newer_wake_has_all_its_tries,
        a_dead_token_that_was_replaced_meanwhile_costs_no_wake,
        stored_keys_that_are_none_are_given_up,
        what_is_in_flight_at_the_end_is_not_done_with,
    };
    Suite *suite = suite_create("push_desk");
    TCase *tcase = tcase_create("push_desk"), *outage = tcase_create("outage");

    tcase_add_checked_fixture(tcase, setup, teardown);
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++)
        tcase_add_test(tcase, tests[i]);
    suite_add_tcase(suite, tcase);
    tcase_add_checked_fixture(outage, setup_fcm, teardown_fcm);
    for (size_t i = 0; i < sizeof outages / sizeof outages[0]; i++)
        tcase_add_test(outage, outages[i]);
    suite_add_tcase(suite, outage);
    return unit_run(suite);
}
