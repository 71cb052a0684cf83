#include "push/push_notices.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "captured_log.h"
#include "log/log.h"
#include "unit.h"

static struct push_notices *notices;
static int captured;

static void setup(void)
{
    notices = push_notices_new();
    ck_assert_ptr_nonnull(notices);
    captured = capture_log();
    log_open("test", LOG_LEVEL_INFO, LOG_TARGET_STDERR);
}

static void teardown(void)
{
    push_notices_free(&notices);
    ck_assert_ptr_null(notices);
    (void)close(captured);
}

static struct http_answer answered(int status, const char *body)
{
    return (struct http_answer){.result = HTTP_ANSWERED,
                                .status = status,
                                .body = body,
                                .body_len = strlen(body),
                                .retry_after_ms = -1};
}

static void failed(const char *host, const struct http_answer *answer, int64_t now_ms)
{
    push_notices_failed(notices, host, answer, now_ms);
}

/* autopush 1.83, to a push in the clear. */
#define NO_ENCODING                                          \
    "{\"code\":400,\"errno\":110,\"error\":\"Bad Request\"," \
    "\"message\":\"Missing Content-Encoding header\","       \
    "\"more_info\":\"http://autopush.readthedocs.io/secret\"}"

START_TEST(a_status_is_told_with_its_errno)
{
    struct http_answer answer = answered(400, NO_ENCODING);

    failed("push.example.org", &answer, 0);
    ck_assert_uint_eq(
        logged(captured, "warn: UnifiedPush: push.example.org answers 400, errno 110\n"), 1);
    answer = answered(507, "");
    failed("ntfy.example.org", &answer, 0);
    ck_assert_uint_eq(logged(captured, "warn: UnifiedPush: ntfy.example.org answers 507\n"), 1);
}
END_TEST

START_TEST(an_errno_is_an_integer_and_no_large_one)
{
    static const struct {
        const char *body;
        int number;
    } cases[] = {
        {NO_ENCODING, 110},
        {"{\"errno\":0}", 0},
        {"{\"errno\":9999}", 9999},
        {"{\"errno\":10000}", -1},
        {"{\"errno\":-1}", -1},
        {"{\"errno\":1.5}", -1},
        {"{\"errno\":\"110\"}", -1},
        {"{\"errno\":null}", -1},
        {"{\"errno\":[110]}", -1},
        {"{\"errno\":99999999999999999999}", -1},
        {"{\"error\":{\"errno\":110}}", -1},
        {"[110]", -1},
        {"110", -1},
        {"{\"errno\":110", -1},
        {"errno 110", -1},
        {"", -1},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct http_answer answer = answered(400, cases[i].body);

        ck_assert_int_eq(push_notices_errno(&answer), cases[i].number);
    }
}
END_TEST

START_TEST(what_was_not_answered_is_told_too)
{
    static const struct {
        enum http_result result;
        const char *line;
    } cases[] = {
        {HTTP_UNREACHABLE, "warn: UnifiedPush: a.example cannot be reached\n"},
        {HTTP_TIMED_OUT, "warn: UnifiedPush: b.example does not answer in time\n"},
        {HTTP_BROKEN, "warn: UnifiedPush: c.example breaks connections off"},
        {HTTP_ADDRESS_REFUSED, "info: UnifiedPush: d.example is at an address that is not public"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct http_answer answer = {.result = cases[i].result, .body = "", .retry_after_ms = -1};
        char host[] = "a.example";

        host[0] = (char)(host[0] + (char)i);
        failed(host, &answer, 0);
        ck_assert_uint_eq(logged(captured, cases[i].line), 1);
    }
}
END_TEST

START_TEST(a_host_is_named_once_an_hour)
{
    struct http_answer answer = answered(400, ""), other = answered(503, "");
    struct http_answer refused = {.result = HTTP_ADDRESS_REFUSED, .body = "", .retry_after_ms = -1};

    failed("a.example", &answer, 0);
    failed("b.example", &answer, 1000);
    ck_assert_uint_eq(logged(captured, "UnifiedPush"), 2);
    failed("a.example", &answer, PUSH_NOTICES_EVERY_MS - 1);
    failed("a.example", &other, PUSH_NOTICES_EVERY_MS - 1);
    ck_assert_uint_eq(logged(captured, "UnifiedPush"), 0);
    /* Another trouble of the host is logged, and so is a host of a similar name. */
    failed("a.example", &refused, PUSH_NOTICES_EVERY_MS - 1);
    failed("a.example.", &answer, PUSH_NOTICES_EVERY_MS - 1);
    ck_assert_uint_eq(logged(captured, "UnifiedPush"), 2);
    failed("a.example", &other, PUSH_NOTICES_EVERY_MS);
    failed("b.example", &other, PUSH_NOTICES_EVERY_MS);
    ck_assert_uint_eq(logged(captured, "a.example answers 503"), 1);
}
END_TEST

/* Strangers choose the hosts: any number of names must not fill a disk. */
START_TEST(so_many_hosts_are_named_and_no_more)
{
    struct http_answer answer = answered(400, "");
    char host[32];
    unsigned lines = 0, full = 0;

    for (unsigned i = 0; i < 2 * PUSH_NOTICES_MAX; i++) {
        (void)snprintf(host, sizeof host, "h%u.example", i);
        failed(host, &answer, i);
        if (i < PUSH_NOTICES_MAX)
            lines += logged(captured, "answers 400");
        else
            full += logged(captured, "warn: UnifiedPush: more than 1000 distributors");
    }
    ck_assert_uint_eq(lines, PUSH_NOTICES_MAX);
    ck_assert_uint_eq(full, 1);
    failed("h1.example", &answer, 2 * PUSH_NOTICES_MAX);
    ck_assert_uint_eq(logged(captured, "UnifiedPush"), 0);
    failed("another.example", &answer, PUSH_NOTICES_EVERY_MS);
    ck_assert_uint_eq(logged(captured, "another.example answers 400"), 1);
}
END_TEST

/* Whoever runs it at home by its address, or has a name of its own for each device. */
START_TEST(a_name_is_shown_redacted)
{
    static const struct {
        const char *host, *line;
    } cases[] = {
        {"192.0.2.7", "UnifiedPush: [...] answers 400\n"},
        {"[2001:db8::7]", "UnifiedPush: [...] answers 400\n"},
        {"4f0c8a17d2b3e6954f0c8a17d2b3e695.example.org", "UnifiedPush: [...] answers 400\n"},
        {"a\nb.example", "UnifiedPush: a?b.example answers 400\n"},
        {"a%sb.example", "UnifiedPush: a%sb.example answers 400\n"},
    };
    struct http_answer answer = answered(400, "");

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        failed(cases[i].host, &answer, 0);
        ck_assert_uint_eq(logged(captured, cases[i].line), 1);
    }
}
END_TEST

UNIT_MAIN_WITH("push_notices", setup, teardown, a_status_is_told_with_its_errno,
               an_errno_is_an_integer_and_no_large_one, what_was_not_answered_is_told_too,
               a_host_is_named_once_an_hour, so_many_hosts_are_named_and_no_more,
               a_name_is_shown_redacted)
