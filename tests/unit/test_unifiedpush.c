#include "unifiedpush.h"

#include <string.h>

#include "unit.h"

static const struct settings_regex any;

static const char *host_of(const char *url, bool allow_http)
{
    static char host[HOST_SLOTS_NAME_MAX];

    return unifiedpush_host(url, &any, allow_http, host) ? host : "";
}

START_TEST(endpoints_are_known_by_their_scheme)
{
    ck_assert(unifiedpush_is_endpoint("https://push.example.org/up?id=1"));
    ck_assert(!unifiedpush_is_endpoint("dGVzdA:APA91b-x_y"));
}
END_TEST

START_TEST(hosts_are_found)
{
    ck_assert_str_eq(host_of("https://push.example.org/up1", false), "push.example.org:443");
    ck_assert_str_eq(host_of("https://PUSH.Example.org:8443/up1", false), "push.example.org:8443");
    ck_assert_str_eq(host_of("https://[2606:4700::1]/x", false), "[2606:4700::1]:443");
    ck_assert_str_eq(host_of("http://127.0.0.1:9000/x", true), "127.0.0.1:9000");
    ck_assert_str_eq(host_of("http://push.example.org/x", false), "");
    ck_assert_str_eq(host_of("ftp://push.example.org/x", true), "");
    ck_assert_str_eq(host_of("file:///etc/passwd", true), "");
    ck_assert_str_eq(host_of("https://", true), "");
    ck_assert_str_eq(host_of("://x", true), "");
}
END_TEST

START_TEST(hosts_can_be_narrowed)
{
    struct settings_regex allowed = {.set = true};
    char host[HOST_SLOTS_NAME_MAX];

    ck_assert_int_eq(
        regcomp(&allowed.compiled, "^(.*\\.)?example\\.org$", REG_EXTENDED | REG_NOSUB), 0);
    ck_assert(unifiedpush_host("https://Push.Example.ORG/x", &allowed, false, host));
    ck_assert(!unifiedpush_host("https://push.example.net/example.org", &allowed, false, host));
    ck_assert(!unifiedpush_host("https://notexample.org/x", &allowed, false, host));
    ck_assert(!unifiedpush_host("https://example.org@evil.test/", &allowed, false, host));
    ck_assert(!unifiedpush_host("https://example.org.evil.test/", &allowed, false, host));
    regfree(&allowed.compiled);
}
END_TEST

START_TEST(the_message_is_the_contracts)
{
    char body[UNIFIEDPUSH_BODY_SIZE];

    ck_assert_uint_eq(unifiedpush_message(body, 1700000000), strlen(body));
    ck_assert_str_eq(body, "{\"type\":\"silent_wake\",\"timestamp\":1700000000}");
}
END_TEST

static enum push_outcome outcome_of(int status)
{
    struct http_answer answer = {
        .result = HTTP_ANSWERED, .status = status, .body = "", .retry_after_ms = -1};

    return unifiedpush_classify(&answer).outcome;
}

START_TEST(statuses_are_classified)
{
    for (int status = 200; status < 600; status++) {
        enum push_outcome expected = PUSH_GIVEN_UP;

        if (status < 300)
            expected = PUSH_DELIVERED;
        else if (status == 404 || status == 410)
            expected = PUSH_DEAD_TOKEN;
        else if (status == 408 || status == 425 || status == 429 || status >= 500)
            expected = PUSH_RETRY;
        ck_assert_msg(outcome_of(status) == expected, "%d", status);
    }
}
END_TEST

START_TEST(a_429_holds_its_endpoint_back)
{
    struct http_answer answer = {
        .result = HTTP_ANSWERED, .status = 429, .body = "", .retry_after_ms = 7000};
    struct push_result result = unifiedpush_classify(&answer);

    ck_assert(result.answered);
    ck_assert(result.hold_endpoint);
    ck_assert_int_eq(result.retry_after_ms, 7000);
    answer.status = 503;
    result = unifiedpush_classify(&answer);
    ck_assert(!result.hold_endpoint);
    ck_assert_int_eq(result.retry_after_ms, 7000);
}
END_TEST

START_TEST(failures_are_classified)
{
    static const struct {
        enum http_result result;
        enum push_outcome outcome;
    } cases[] = {
        {HTTP_UNREACHABLE, PUSH_BACKEND_FAULT},
        {HTTP_TIMED_OUT, PUSH_RETRY},
        {HTTP_BROKEN, PUSH_RETRY},
        {HTTP_ADDRESS_REFUSED, PUSH_GIVEN_UP},
        {HTTP_INVALID, PUSH_GIVEN_UP},
        {HTTP_CANCELLED, PUSH_CANCELLED},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct http_answer answer = {.result = cases[i].result, .body = "", .retry_after_ms = -1};

        ck_assert_int_eq(unifiedpush_classify(&answer).outcome, cases[i].outcome);
        ck_assert(!unifiedpush_classify(&answer).answered);
        ck_assert(!unifiedpush_classify(&answer).timed_out);
        answer.timed_out = true;
        ck_assert(unifiedpush_classify(&answer).timed_out);
    }
}
END_TEST

UNIT_MAIN("unifiedpush", endpoints_are_known_by_their_scheme, hosts_are_found,
          hosts_can_be_narrowed, the_message_is_the_contracts, statuses_are_classified,
          a_429_holds_its_endpoint_back, failures_are_classified)
