#include "dispatch/turns.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "push/http_client.h"
#include "push/push_backend.h"
#include "push/push_health.h"
#include "push_thread_stub.h"
#include "registry/registration.h"
#include "registry/stats.h"
#include "settings/settings.h"
#include "told_clock.h"
#include "unit.h"

/* ---- A back end that counts ------------------------------------------------------------------ */

#define PUSHES 8

/* All that a further back end is: it counts what it is asked, and each push ends as it is told. */
static struct counting {
    bool is_on, is_ready;
    unsigned opened, closed, pushes, visible;
    enum push_start starts;
    struct {
        push_done_fn *done;
        void *arg;
    } under_way[PUSHES];
    unsigned count;
} counting;

static bool accepts(const struct registration *registration)
{
    return strncmp(registration->token, "count:", 6) == 0;
}

static bool open_counting(const struct settings *settings, struct http_client *client,
                          void **service)
{
    (void)settings;
    (void)client;
    counting.opened++;
    *service = counting.is_on ? &counting : NULL;
    return true;
}

static void close_counting(void *service)
{
    ck_assert_ptr_eq(service, &counting);
    counting.closed++;
}

static bool ready(const void *service, int64_t now_ms)
{
    (void)service;
    (void)now_ms;
    return counting.is_ready;
}

static enum push_start push(void *service, const struct push_order *order, push_done_fn *done,
                            void *arg)
{
    ck_assert_ptr_eq(service, &counting);
    counting.pushes++;
    counting.visible += order->kind == PUSH_VISIBLE;
    if (counting.starts == PUSH_STARTED) {
        ck_assert_uint_lt(counting.count, PUSHES);
        counting.under_way[counting.count].done = done;
        counting.under_way[counting.count++].arg = arg;
    }
    return counting.starts;
}

static struct push_result classify(const void *service, const struct http_answer *answer)
{
    (void)service;
    return (struct push_result){.outcome = answer->status == 200 ? PUSH_DELIVERED : PUSH_GIVEN_UP,
                                .retry_after_ms = -1,
                                .answered = true};
}

/* Of the counters that there are it takes some that nobody else counts here. */
static const struct push_backend counting_backend = {
    .name = "Counting",
    .counters = {.delivered = STAT_EVENTS_TAKEN,
                 .dead = STAT_EVENTS_STORED,
                 .given_up = STAT_EVENTS_INVALID,
                 .time = STAT_PUSH_FCM_10,
                 .event_time = STAT_EVENT_TO_FCM_5},
    .accepts = accepts,
    .open = open_counting,
    .close = close_counting,
    .ready = ready,
    .push = push,
    .classify = classify,
};

/* Its row is all that there is to add. */
static const struct push_backend *const rows[] = {&counting_backend, &fcm_backend,
                                                  &unifiedpush_backend};
enum { LANE_COUNTING = 1, LANE_FCM, LANE_UNIFIEDPUSH, LANES };

bool http_client_start(struct http_client *client, const struct http_request *request,
                       http_done_fn *done, void *arg)
{
    (void)client;
    (void)request;
    (void)done;
    (void)arg;
    return false; /* the others are off */
}

void http_client_cancel_all(struct http_client *client)
{
    (void)client;
    while (counting.count > 0) {
        const struct push_result result = {.outcome = PUSH_CANCELLED, .retry_after_ms = -1};

        counting.count--;
        counting.under_way[counting.count].done(&result, counting.under_way[counting.count].arg);
    }
}

/* The last push that was started is answered. */
static void answer(int status)
{
    const struct http_answer answered = {.result = HTTP_ANSWERED, .status = status, .body = ""};
    struct push_result result = classify(&counting, &answered);

    counting.count--;
    counting.under_way[counting.count].done(&result, counting.under_way[counting.count].arg);
}

static void end(enum push_outcome outcome)
{
    const struct push_result result = {.outcome = outcome, .retry_after_ms = -1, .answered = true};

    counting.count--;
    counting.under_way[counting.count].done(&result, counting.under_way[counting.count].arg);
}

/* ---- Turns ----------------------------------------------------------------------------------- */

static struct settings settings = {.push_max_in_flight = PUSHES, .waiting_max = 1000};
static struct stats stats;
static struct turns turns;
static unsigned wakes;

static uint64_t most(uint64_t limit)
{
    return limit;
}

static void setup(void)
{
    now = 1000000;
    counting = (struct counting){.is_on = true, .is_ready = true};
    turns.stats = &stats;
    turns.desk = push_desk_new(rows, sizeof rows / sizeof rows[0], &settings, -1);
    ck_assert_ptr_nonnull(turns.desk);
    ck_assert_uint_eq(push_desk_lanes(turns.desk), LANES);
    turns.queue = wake_queue_new(100, LANES, most);
}

static void teardown(void)
{
    push_desk_free(&turns.desk);
    wake_queue_free(&turns.queue);
}

static uint64_t count(enum stats_counter which)
{
    return stats.pending[which];
}

static void wake_via(unsigned who, enum wake_via via)
{
    struct wake entry = {.via = via, .score_ms = ++wakes};
    unsigned merged;

    (void)snprintf(entry.key.hex, sizeof entry.key.hex, "%064x", who);
    ck_assert_int_eq(wake_queue_add(turns.queue, &entry, now, now, &merged), WAKE_ADDED);
}

static void wake(unsigned who)
{
    wake_via(who, WAKE_VIA_RELAY);
}

/* The next target of a lane has its turn, registered with this token. */
static void serve(unsigned lane, const char *token)
{
    struct registration registration = {.platform = PLATFORM_ANDROID, .version = 77};
    struct wake_target *target;

    ck_assert_uint_eq(wake_queue_take(turns.queue, lane, now, &target, 1), 1);
    (void)strcpy(registration.token, token);
    turns_serve(&turns, target, &registration, now);
    push_desk_hand_over(turns.desk);
}

START_TEST(a_third_back_end_is_pushed_to)
{
    wake(1);
    serve(WAKE_LANE_UNKNOWN, "count:1");
    ck_assert_uint_eq(counting.pushes, 1);
    ck_assert_uint_eq(counting.visible, 1);
    ck_assert_uint_eq(push_desk_in_flight(turns.desk), 1);
    now += 20;
    answer(200);
    ck_assert_uint_eq(push_desk_in_flight(turns.desk), 1); /* until it is settled */
    ck_assert_uint_eq(count(STAT_EVENTS_TAKEN), 0);
    ck_assert_ptr_null(turns_settle(&turns, now));
    ck_assert_uint_eq(push_desk_in_flight(turns.desk), 0);
    ck_assert_uint_eq(count(STAT_EVENTS_TAKEN), 1);
    ck_assert_uint_eq(count(STAT_PUSH_FCM_25), 1);
    ck_assert_uint_eq(wake_queue_backlog(turns.queue), 0);
}
END_TEST

START_TEST(a_third_back_end_has_what_is_its_own_alone)
{
    wake(1);
    serve(WAKE_LANE_UNKNOWN, "fcm-token"); /* both are off here */
    wake(1);
    serve(WAKE_LANE_UNKNOWN, "https://h.example/up");
    ck_assert_uint_eq(counting.pushes, 0);
    ck_assert_uint_eq(count(STAT_WAKES_GIVEN_UP_FCM), 1);
    ck_assert_uint_eq(count(STAT_WAKES_GIVEN_UP_UNIFIEDPUSH), 1);
}
END_TEST

START_TEST(a_third_back_end_is_opened_and_closed)
{
    ck_assert_uint_eq(counting.opened, 1);
    wake(1);
    serve(WAKE_LANE_UNKNOWN, "count:1");
    push_desk_free(&turns.desk); /* with a push under way */
    ck_assert_uint_eq(counting.closed, 1);
    ck_assert_uint_eq(counting.count, 0);
}
END_TEST

START_TEST(a_third_back_end_may_be_off)
{
    counting.is_on = false;
    push_desk_free(&turns.desk);
    turns.desk = push_desk_new(rows, sizeof rows / sizeof rows[0], &settings, -1);
    wake(1);
    serve(WAKE_LANE_UNKNOWN, "count:1");
    (void)turns_run(&turns, now);
    ck_assert_uint_eq(counting.pushes, 0);
    ck_assert_uint_eq(count(STAT_EVENTS_INVALID), 1);
}
END_TEST

START_TEST(what_is_not_ready_lines_up_in_a_lane_of_its_own)
{
    counting.is_ready = false;
    wake(1);
    serve(WAKE_LANE_UNKNOWN, "count:1");
    ck_assert_uint_eq(counting.pushes, 0);
    ck_assert(push_desk_is_down(turns.desk, LANE_COUNTING));
    ck_assert(!push_desk_is_down(turns.desk, LANE_UNIFIEDPUSH));
    ck_assert(wake_queue_waiting(turns.queue, LANE_COUNTING));
    counting.is_ready = true;
    serve(LANE_COUNTING, "count:1");
    ck_assert_uint_eq(counting.pushes, 1);
}
END_TEST

/* With one peer, its faults are the back end's. */
START_TEST(a_third_back_end_is_down_after_faults_in_a_row)
{
    for (unsigned i = 0; i < PUSH_HEALTH_FAULTS; i++) {
        char token[16];

        ck_assert(!push_desk_is_down(turns.desk, LANE_COUNTING));
        (void)snprintf(token, sizeof token, "count:%u", i);
        wake(1 + i);
        serve(WAKE_LANE_UNKNOWN, token);
        end(PUSH_BACKEND_FAULT);
        ck_assert_ptr_null(turns_settle(&turns, now));
    }
    ck_assert(push_desk_is_down(turns.desk, LANE_COUNTING));
    ck_assert_uint_eq(push_desk_slots(turns.desk, LANE_COUNTING, now), 0);
    ck_assert_uint_eq(wake_queue_backlog(turns.queue), PUSH_HEALTH_FAULTS);
}
END_TEST

/* From when it was due, whatever tries it took; by the older of two. */
START_TEST(how_long_an_event_took_is_counted)
{
    wake(1);
    serve(WAKE_LANE_UNKNOWN, "count:1");
    now += 20;
    end(PUSH_RETRY);
    ck_assert_ptr_null(turns_settle(&turns, now));
    ck_assert_uint_eq(count(STAT_EVENT_TO_FCM_SUM), 0);
    now += 1980;
    wake_via(1, WAKE_VIA_QUIET);
    serve(LANE_COUNTING, "count:1");
    now += 100;
    answer(200);
    ck_assert_ptr_null(turns_settle(&turns, now));
    ck_assert_uint_eq(count(STAT_EVENT_TO_FCM_2500), 1);
    ck_assert_uint_eq(count(STAT_EVENT_TO_FCM_SUM), 2100);
    wake_via(1, WAKE_VIA_QUIET);
    now += 200;
    wake(1);
    serve(WAKE_LANE_UNKNOWN, "count:1");
    answer(200);
    ck_assert_ptr_null(turns_settle(&turns, now));
    ck_assert_uint_eq(count(STAT_EVENT_TO_FCM_250), 1);
    ck_assert_uint_eq(count(STAT_EVENT_TO_FCM_SUM), 2300);
    /* A notify is none. */
    wake_via(2, WAKE_VIA_NOTIFY);
    serve(WAKE_LANE_UNKNOWN, "count:1");
    answer(200);
    ck_assert_ptr_null(turns_settle(&turns, now));
    wake(3);
    serve(WAKE_LANE_UNKNOWN, "count:1");
    answer(200);
    ck_assert_ptr_null(turns_settle(&turns, now));
    ck_assert_uint_eq(count(STAT_EVENT_TO_FCM_5), 1);
    wake(4);
    serve(WAKE_LANE_UNKNOWN, "count:1");
    now += 600001;
    answer(200);
    ck_assert_ptr_null(turns_settle(&turns, now));
    ck_assert_uint_eq(count(STAT_EVENT_TO_FCM_LONGER), 1);
    ck_assert_uint_eq(count(STAT_EVENT_TO_FCM_SUM), 2300 + 600001);
    ck_assert_uint_eq(count(STAT_EVENTS_TAKEN), 5);
}
END_TEST

START_TEST(dead_tokens_are_handed_out)
{
    struct push_ended *dead;

    wake(1);
    serve(WAKE_LANE_UNKNOWN, "count:dead");
    wake(2);
    serve(WAKE_LANE_UNKNOWN, "count:2");
    answer(200);
    end(PUSH_DEAD_TOKEN);
    dead = turns_settle(&turns, now);
    ck_assert_str_eq(dead->token, "count:dead");
    ck_assert_int_eq(dead->version, 77);
    ck_assert_ptr_null(turns_settle(&turns, now));
    ck_assert_uint_eq(wake_queue_backlog(turns.queue), 1);
    turns_settle_dead(&turns, &dead, false, now);
    ck_assert_ptr_null(dead);
    ck_assert_uint_eq(count(STAT_EVENTS_STORED), 1);
    ck_assert_uint_eq(wake_queue_backlog(turns.queue), 0);
}
END_TEST

START_TEST(what_could_not_be_started_holds_no_slot)
{
    counting.starts = PUSH_NO_MEMORY;
    wake(1);
    serve(WAKE_LANE_UNKNOWN, "count:1");
    ck_assert_ptr_null(turns_settle(&turns, now));
    ck_assert_uint_eq(push_desk_in_flight(turns.desk), 0);
    ck_assert_int_eq(wake_queue_next_ms(turns.queue), now + PUSH_DESK_NO_MEMORY_MS);
    now += PUSH_DESK_NO_MEMORY_MS;
    counting.starts = PUSH_BAD_REGISTRATION;
    serve(LANE_COUNTING, "count:1");
    ck_assert_ptr_null(turns_settle(&turns, now));
    ck_assert_uint_eq(push_desk_in_flight(turns.desk), 0);
    ck_assert_uint_eq(count(STAT_EVENTS_INVALID), 1);
    ck_assert_uint_eq(wake_queue_backlog(turns.queue), 0);
}
END_TEST

/* ---- The rows ---------------------------------------------------------------------------------
 */

/* The rows share all tokens out, and no two want the same. */
START_TEST(each_token_is_accepted_by_one_row)
{
    static const char *const tokens[] = {"dGVzdA:APA91b-x_y", "https://push.example.org/up?id=1",
                                         "http://h.example/", "x"};

    for (size_t i = 0; i < sizeof tokens / sizeof tokens[0]; i++) {
        struct registration registration = {.platform = PLATFORM_ANDROID};
        unsigned n = 0;

        (void)strcpy(registration.token, tokens[i]);
        for (unsigned row = 0; row < push_backends_count; row++)
            n += push_backends[row]->accepts(&registration);
        ck_assert_uint_eq(n, 1);
    }
}
END_TEST

/* ---- Broken promises ------------------------------------------------------------------------- */

/* Nothing is dead, or not this one. */
START_TEST(what_is_not_dead_is_not_settled_as_dead)
{
    struct push_ended *dead = NULL;

    if (_i == 1) {
        wake(1);
        serve(WAKE_LANE_UNKNOWN, "count:1");
        answer(200);
        push_desk_collect(turns.desk, now);
        dead = push_desk_take_ended(turns.desk);
    }
    turns_settle_dead(&turns, &dead, false, now);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {a_third_back_end_is_pushed_to,
                                  a_third_back_end_has_what_is_its_own_alone,
                                  a_third_back_end_is_opened_and_closed,
                                  a_third_back_end_may_be_off,
                                  what_is_not_ready_lines_up_in_a_lane_of_its_own,
                                  a_third_back_end_is_down_after_faults_in_a_row,
                                  how_long_an_event_took_is_counted,
                                  dead_tokens_are_handed_out,
                                  what_could_not_be_started_holds_no_slot,
                                  each_token_is_accepted_by_one_row};
    Suite *suite = suite_create("turns");
    TCase *tcase = tcase_create("turns");

    tcase_add_checked_fixture(tcase, setup, teardown);
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++)
        tcase_add_test(tcase, tests[i]);
    tcase_add_loop_test_raise_signal(tcase, what_is_not_dead_is_not_settled_as_dead, SIGABRT, 0, 2);
    suite_add_tcase(suite, tcase);
    return unit_run(suite);
}
