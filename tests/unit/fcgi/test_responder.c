#include "unit.h"

#include <stdio.h>

#include "registry_stub.h"
#include "responder_priv.h"

#define ACCEPTED "{\"accepted\":true}"
#define BODY \
    "{\"trade_pubkey\":\"00a1b2c3d4e5f60718293a4b5c6d7e8f00a1b2c3d4e5f60718293a4b5c6d7e8f\"}"

static struct settings *settings;
static struct responder *responder;
static struct stats stats;
static struct exchange exchange;
static unsigned answers;
static struct response *const response = &exchange.response;

static const char *nothing(const char *name, void *arg)
{
    (void)name;
    (void)arg;
    return NULL;
}

static void setup(void)
{
    struct responder_parts parts = {.stats = &stats};

    parts.settings = settings =
        settings_read(SETTINGS_FCGI, nothing, NULL, &(const struct settings_tell){stderr, stderr});
    responder = responder_new(&parts, stderr);
    ck_assert_ptr_nonnull(responder);
}

static void teardown(void)
{
    registry_stub_state = (struct registry_state){.android = 0};
    response_clear(response);
    responder_free(&responder);
    settings_free(&settings);
}

static void answered(struct exchange *of)
{
    ck_assert_ptr_eq(of, &exchange);
    answers++;
}

/* Has one request answered; `result` is what Redis answers, as a digit of registry_stub. */
static void ask(struct request request, const char *result)
{
    registry_stub_answer(result);
    response_clear(response);
    exchange.request = request;
    exchange.answered = answered;
    answers = 0;
    responder_answer(responder, &exchange);
    ck_assert_uint_eq(answers, 1);
}

static void notify(const char *method, const char *remote_addr, const char *body,
                   const char *result)
{
    char room[256];

    memcpy(room, body, strlen(body));
    ask((struct request){.method = method,
                         .path = "/api/notify",
                         .content_type = "application/json",
                         .remote_addr = remote_addr,
                         .body = room,
                         .body_len = strlen(body)},
        result);
}

static char result_of(enum registry_result result)
{
    return (char)('0' + result);
}

START_TEST(every_answer_to_notify_carries_an_id_of_its_own)
{
    static const struct {
        const char *method, *remote_addr, *body;
        enum registry_result result;
        int status;
    } cases[] = {
        {"POST", "192.0.2.1", BODY, REGISTRY_OK, 202},
        {"POST", "192.0.2.1", "{}", REGISTRY_OK, 400},
        {"GET", "192.0.2.1", "", REGISTRY_OK, 405},
        {"POST", "192.0.2.1", BODY, REGISTRY_REFUSED_ADDRESS, 429},
        {"POST", "192.0.2.1", BODY, REGISTRY_REFUSED_PUBKEY, 429},
        {"POST", "192.0.2.1", BODY, REGISTRY_QUEUE_FULL, 503},
        {"POST", "192.0.2.1", BODY, REGISTRY_UNAVAILABLE, 503},
        {"POST", NULL, BODY, REGISTRY_OK, 500},
    };
    char before[RESPONSE_REQUEST_ID_SIZE] = "";

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char result[2] = {result_of(cases[i].result), '\0'};

        notify(cases[i].method, cases[i].remote_addr, cases[i].body, result);
        ck_assert_int_eq(response->status, cases[i].status);
        ck_assert_uint_eq(strlen(response->request_id), 36);
        ck_assert_str_ne(response->request_id, before);
        memcpy(before, response->request_id, sizeof before);
    }
}
END_TEST

/* Clients without an address never share one bucket. */
START_TEST(no_client_address_is_an_error_of_ours)
{
    notify("POST", NULL, BODY, "0");
    ck_assert_int_eq(response->status, 500);
    ck_assert_str_eq(response->body, "{\"success\":false,\"message\":\"internal error\"}");
    notify("POST", "192.0.2.1", BODY, "0");
    ck_assert_str_eq(response->body, ACCEPTED);
}
END_TEST

START_TEST(a_refusal_overrides_what_is_wrong_with_the_body)
{
    const char refused[2] = {result_of(REGISTRY_REFUSED_ADDRESS), '\0'};

    notify("POST", "192.0.2.1", "nonsense", refused);
    ck_assert_int_eq(response->status, 429);
    ck_assert_uint_eq(response->retry_after_s, 2);
}
END_TEST

static void ask_ready(bool is_private, enum registry_result result)
{
    const char digit[2] = {result_of(result), '\0'};

    responder->readiness.asked = false;
    ask((struct request){.method = "GET", .path = "/api/ready", .is_private = is_private}, digit);
}

static const char *body_text(void)
{
    static char text[512];

    ck_assert_uint_lt(response->body_len, sizeof text);
    memcpy(text, response->body, response->body_len);
    text[response->body_len] = '\0';
    return text;
}

/* Any reason becomes a JSON string. */
START_TEST(operators_alone_are_told_why_it_is_not_ready)
{
    ask_ready(true, REGISTRY_OK);
    ck_assert_int_eq(response->status, 200);
    ck_assert_str_eq(body_text(), "{\"status\":\"ready\"}");
    ask_ready(true, REGISTRY_UNAVAILABLE);
    ck_assert_int_eq(response->status, 503);
    ck_assert_str_eq(body_text(),
                     "{\"status\":\"not ready\","
                     "\"reason\":\"Redis may not be used: it is \\\"out of order\\\"\"}");
    ask_ready(false, REGISTRY_UNAVAILABLE);
    ck_assert_int_eq(response->status, 503);
    ck_assert_str_eq(body_text(), "{\"status\":\"not ready\"}");
}
END_TEST

/* Still ready: the operator must deal with what is full. */
START_TEST(operators_are_told_what_is_full)
{
    static const struct {
        struct registry_state state;
        const char *says;
    } cases[] = {
        {{.redis_full = true, .memory_short = true}, "Redis is full"},
        {{.memory_short = true, .registrations_full = true}, "Redis is over 70 % full"},
        {{.registrations_full = true, .queue_half_full = true}, "MAX_REGISTRATIONS"},
        {{.queue_half_full = true}, "half full"},
        {{.listeners.relays_may_hide_wraps = 1}, "gift wraps"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        registry_stub_state = cases[i].state;
        ask_ready(true, REGISTRY_OK);
        ck_assert_int_eq(response->status, 200);
        ck_assert_ptr_nonnull(strstr(body_text(), "{\"status\":\"ready\",\"reason\":\""));
        ck_assert_msg(strstr(body_text(), cases[i].says) != NULL, "%s", body_text());
        ask_ready(false, REGISTRY_OK);
        ck_assert_int_eq(response->status, 200);
        ck_assert_str_eq(body_text(), "{\"status\":\"ready\"}");
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("responder");
    TCase *tcase = tcase_create("responder");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, every_answer_to_notify_carries_an_id_of_its_own);
    tcase_add_test(tcase, no_client_address_is_an_error_of_ours);
    tcase_add_test(tcase, a_refusal_overrides_what_is_wrong_with_the_body);
    tcase_add_test(tcase, operators_alone_are_told_why_it_is_not_ready);
    tcase_add_test(tcase, operators_are_told_what_is_full);
    suite_add_tcase(suite, tcase);
    return unit_run(suite);
}
