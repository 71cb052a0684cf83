#include "push/push_thread.h"

#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bell.h"
#include "base/clock.h"
#include "captured_log.h"
#include "push/http_client.h"
#include "push/push_backend.h"
#include "registry/registration.h"
#include "settings/settings.h"
#include "unit.h"

/* ---- A back end whose peer says nothing ------------------------------------------------------ */

#define TIMEOUT_MS 300

/* Of its members the thread reads those alone that are set before it starts, or atomically. */
static struct service {
    struct http_client *client;
    char url[64];
    int listening;
    http_address_fn *address_check;
    enum push_start starts;
    _Atomic unsigned runs, checks;
    _Atomic bool is_on, is_ready;
} service;

static bool open_service(const struct settings *settings, struct http_client *client, void **it)
{
    (void)settings;
    service.client = client;
    *it = service.is_on ? &service : NULL;
    return true;
}

static void close_service(void *it)
{
    ck_assert_ptr_eq(it, &service);
    service.client = NULL;
}

static int64_t run(void *it, int64_t now_ms, int64_t unix_s)
{
    ck_assert_ptr_eq(it, &service);
    ck_assert_int_gt(unix_s, 0);
    service.runs++;
    return now_ms + 10;
}

static bool ready(const void *it, int64_t now_ms)
{
    (void)now_ms;
    ck_assert_ptr_eq(it, &service);
    return service.is_ready;
}

struct push {
    push_done_fn *done;
    void *arg;
};

static void take_answer(const struct http_answer *answer, void *arg)
{
    struct push push = *(struct push *)arg;
    const struct push_result result = {.outcome = answer->result == HTTP_CANCELLED ? PUSH_CANCELLED
                                                                                   : PUSH_RETRY,
                                       .retry_after_ms = -1,
                                       .timed_out = answer->timed_out};

    free(arg);
    push.done(&result, push.arg);
}

static enum push_start push(void *it, const struct push_order *order, push_done_fn *done, void *arg)
{
    static const char *const headers[] = {"TTL: 1", NULL};
    const struct http_request request = {.url = service.url,
                                         .headers = headers,
                                         .body = order->registration->token,
                                         .body_len = strlen(order->registration->token),
                                         .connect_timeout_ms = TIMEOUT_MS,
                                         .timeout_ms = TIMEOUT_MS,
                                         .answer_limit = 64,
                                         .allow_http = true,
                                         .address_check = service.address_check};
    struct push *made;

    ck_assert_ptr_eq(it, &service);
    if (service.starts != PUSH_STARTED)
        return service.starts;
    made = malloc(sizeof *made);
    *made = (struct push){.done = done, .arg = arg};
    ck_assert(http_client_start(service.client, &request, take_answer, made));
    return PUSH_STARTED;
}

static const struct push_backend backend = {.name = "Silent",
                                            .host_connections = 20,
                                            .open = open_service,
                                            .close = close_service,
                                            .run = run,
                                            .ready = ready,
                                            .push = push};

/* ---- A thread -------------------------------------------------------------------------------- */

static const struct settings settings;
static struct registration registration = {.token = "token"};
static struct push_thread *thread;
static int bell;

static void setup(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t len = sizeof address;

    (void)signal(SIGPIPE, SIG_IGN);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    service.is_on = service.is_ready = true;
    service.listening = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(service.listening, (struct sockaddr *)&address, sizeof address), 0);
    ck_assert_int_eq(listen(service.listening, 16), 0);
    ck_assert_int_eq(getsockname(service.listening, (struct sockaddr *)&address, &len), 0);
    (void)snprintf(service.url, sizeof service.url, "http://127.0.0.1:%u/",
                   ntohs(address.sin_port));
    bell = bell_new();
    ck_assert_int_ge(bell, 0);
}

static void start(void)
{
    ck_assert(push_thread_start(&backend, &settings, bell, &thread));
    ck_assert_ptr_nonnull(thread);
}

static void teardown(void)
{
    push_thread_free(&thread);
    ck_assert_ptr_null(service.client);
    (void)close(service.listening);
    (void)close(bell);
}

static void order(struct push_job *job, int64_t ordered_ms)
{
    struct push_jobs jobs = STAILQ_HEAD_INITIALIZER(jobs);

    ck_assert(push_job_init(job, PUSH_SILENT, &registration, ordered_ms));
    STAILQ_INSERT_TAIL(&jobs, job, next);
    push_thread_order(thread, &jobs);
    ck_assert(STAILQ_EMPTY(&jobs));
}

static void wait_for_bell(int ms)
{
    struct pollfd fd = {.fd = bell, .events = POLLIN};

    if (poll(&fd, 1, ms) == 1)
        bell_hush(bell);
}

/* The next that comes back. */
static struct push_job *collect(void)
{
    struct push_jobs jobs = STAILQ_HEAD_INITIALIZER(jobs);

    for (;;) {
        push_thread_collect(thread, &jobs);
        if (!STAILQ_EMPTY(&jobs))
            break;
        push_thread_guard(thread, clock_monotonic_ms());
        wait_for_bell(50);
    }
    ck_assert_ptr_null(STAILQ_NEXT(STAILQ_FIRST(&jobs), next));
    return STAILQ_FIRST(&jobs);
}

static enum push_outcome outcome_of(int64_t ordered_ms)
{
    struct push_job job;

    order(&job, ordered_ms);
    ck_assert_ptr_eq(collect(), &job);
    ck_assert_ptr_null(job.registration);
    return job.result.outcome;
}

START_TEST(a_push_is_made_and_comes_back)
{
    int64_t begun_ms = clock_monotonic_ms();
    struct push_job job;

    start();
    order(&job, begun_ms);
    ck_assert_ptr_eq(collect(), &job);
    ck_assert_int_eq(job.result.outcome, PUSH_RETRY);
    ck_assert(job.result.timed_out);
    ck_assert_int_ge(job.ended_ms, begun_ms + TIMEOUT_MS);
    ck_assert_ptr_null(job.registration);
}
END_TEST

START_TEST(a_service_is_run_between_pushes)
{
    start();
    while (service.runs < 3)
        wait_for_bell(10);
}
END_TEST

START_TEST(a_back_end_that_is_off_has_no_thread)
{
    service.is_on = false;
    ck_assert(push_thread_start(&backend, &settings, bell, &thread));
    ck_assert_ptr_null(thread);
    service.client = NULL;
}
END_TEST

START_TEST(readiness_is_told)
{
    service.is_ready = false;
    start();
    ck_assert(!push_thread_is_ready(thread));
    ck_assert_int_eq(outcome_of(clock_monotonic_ms()), PUSH_UNBEGUN);
    service.is_ready = true;
    while (!push_thread_is_ready(thread))
        wait_for_bell(-1);
}
END_TEST

/* Its registration may be gone by now. */
START_TEST(a_push_that_has_waited_is_not_begun)
{
    start();
    ck_assert_int_eq(outcome_of(clock_monotonic_ms() - PUSH_THREAD_SOON_MS - 1), PUSH_UNBEGUN);
}
END_TEST

START_TEST(what_cannot_be_started_comes_back)
{
    service.starts = _i == 0 ? PUSH_NO_MEMORY : PUSH_BAD_REGISTRATION;
    start();
    ck_assert_int_eq(outcome_of(clock_monotonic_ms()), _i == 0 ? PUSH_NO_ROOM : PUSH_DAMAGED);
}
END_TEST

START_TEST(cancelled_pushes_come_back)
{
    struct push_job job;

    start();
    order(&job, clock_monotonic_ms());
    push_thread_cancel(thread);
    ck_assert_ptr_eq(collect(), &job);
    ck_assert_int_eq(job.result.outcome, PUSH_CANCELLED);
}
END_TEST

/* ---- A peer that keeps the thread ------------------------------------------------------------ */

/* Called for the address, and for the connection: then it stands for libcurl itself, which does not
 * come back before its connection has ended. */
static bool is_kept(const struct sockaddr *address, socklen_t len)
{
    char byte;
    int fd;

    (void)address;
    (void)len;
    if (service.checks++ == 0)
        return true;
    fd = accept(service.listening, NULL, NULL);
    (void)!recv(fd, &byte, 1, 0);
    (void)close(fd);
    return true;
}

START_TEST(a_connection_past_its_time_is_ended)
{
    int64_t begun_ms = clock_monotonic_ms();
    int log = capture_log();
    struct push_job job;

    service.address_check = is_kept;
    start();
    order(&job, begun_ms);
    ck_assert_ptr_eq(collect(), &job);
    ck_assert_int_eq(service.checks, 2);
    ck_assert_int_ge(job.ended_ms, begun_ms + TIMEOUT_MS + 1000);
    ck_assert_int_eq(job.result.outcome, PUSH_RETRY);
    ck_assert(job.result.timed_out);
    ck_assert_uint_eq(logged(log, "Silent was kept by a peer: 1 connections past"), 1);
    /* And the thread goes on. */
    service.address_check = NULL;
    ck_assert_int_eq(outcome_of(clock_monotonic_ms()), PUSH_RETRY);
}
END_TEST

START_TEST(a_thread_that_is_kept_can_be_stopped)
{
    struct push_job job;

    service.address_check = is_kept;
    start();
    order(&job, clock_monotonic_ms());
    while (service.checks < 2)
        wait_for_bell(10);
    push_thread_stop(thread);
    ck_assert_ptr_eq(collect(), &job);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        a_push_is_made_and_comes_back,        a_service_is_run_between_pushes,
        a_back_end_that_is_off_has_no_thread, readiness_is_told,
        a_push_that_has_waited_is_not_begun,  cancelled_pushes_come_back,
        a_connection_past_its_time_is_ended,  a_thread_that_is_kept_can_be_stopped};
    Suite *suite = suite_create("push_thread");
    TCase *tcase = tcase_create("push_thread");

    tcase_add_checked_fixture(tcase, setup, teardown);
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++)
        tcase_add_test(tcase, tests[i]);
    tcase_add_loop_test(tcase, what_cannot_be_started_comes_back, 0, 2);
    suite_add_tcase(suite, tcase);
    return unit_run(suite);
}
