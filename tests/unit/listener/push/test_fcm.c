#include "push/fcm.h"

#include <jansson.h>
#include <string.h>

#include "unit.h"

#define DETAIL(code)                                                     \
    "{\"error\":{\"code\":0,\"message\":\"x\",\"status\":\"NOT_FOUND\"," \
    "\"details\":[{\"@type\":\"type.googleapis.com/"                     \
    "google.firebase.fcm.v1.FcmError\",\"errorCode\":\"" code "\"}]}}"

/* The contract's text, typed once more. */
static const char visible[] =
    "{'message':{'token':'T','notification':{'title':'Mostro','body':'You have an update on your "
    "trade'},'data':{'type':'trade_update','source':'mostro-push-server','timestamp':'1700000000'},"
    "'android':{'priority':'high','notification':{'tag':'mostro-trade','channel_id':"
    "'mostro_notifications','default_vibrate_timings':true}},'apns':{'headers':{'apns-priority':"
    "'10','apns-collapse-id':'mostro-trade'},'payload':{'aps':{'alert':{'title':'Mostro','body':"
    "'You have an update on your trade'},'content-available':1,'mutable-content':1,'thread-id':"
    "'mostro-trade'}}}}}";
static const char silent[] =
    "{'message':{'token':'T','data':{'type':'chat_wake','source':'mostro-push-server','timestamp':"
    "'1700000000'},'android':{'priority':'high','collapse_key':'mostro-wake'},'apns':{'headers':{"
    "'apns-priority':'5','apns-push-type':'background'},'payload':{'aps':{'content-available':1}}}}"
    "}";

static void expect_message(enum push_kind kind, const char *expected)
{
    char *text = fcm_message(kind, "T", 1700000000), *quoted = strdup(expected);
    json_t *is, *should;

    for (char *at = quoted; *at != '\0'; at++)
        *at = *at == '\'' ? '"' : *at;
    is = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    should = json_loads(quoted, 0, NULL);
    ck_assert_ptr_nonnull(should);
    ck_assert_msg(json_equal(is, should), "%s", text);
    json_decref(is);
    json_decref(should);
    free(text);
    free(quoted);
}

START_TEST(messages_are_those_of_the_contract)
{
    expect_message(PUSH_VISIBLE, visible);
    expect_message(PUSH_SILENT, silent);
}
END_TEST

START_TEST(a_token_is_only_ever_a_string)
{
    char *text = fcm_message(PUSH_SILENT, "a\",\"x\":\"b", 1);
    json_t *root = json_loads(text, 0, NULL);

    ck_assert_str_eq(json_string_value(json_object_get(json_object_get(root, "message"), "token")),
                     "a\",\"x\":\"b");
    json_decref(root);
    free(text);
}
END_TEST

static const struct answer_case {
    int status;
    const char *body;
    bool proven;
    enum push_outcome outcome;
} cases[] = {
    {200, "{\"name\":\"projects/p/messages/1\"}", false, PUSH_DELIVERED},
    {200, "", false, PUSH_DELIVERED},
    {404, DETAIL("UNREGISTERED"), false, PUSH_DEAD_TOKEN},
    {404, DETAIL("UNREGISTERED"), true, PUSH_DEAD_TOKEN},
    {404, "{\"error\":{\"status\":\"NOT_FOUND\"}}", true, PUSH_MISTAKE},
    {404, "<html>UNREGISTERED</html>", true, PUSH_MISTAKE},
    {404, "", true, PUSH_MISTAKE},
    {404, DETAIL("SENDER_ID_MISMATCH"), true, PUSH_MISTAKE},
    {403, DETAIL("SENDER_ID_MISMATCH"), false, PUSH_MISTAKE},
    {403, DETAIL("SENDER_ID_MISMATCH"), true, PUSH_DEAD_TOKEN},
    {403, "{\"error\":{\"status\":\"PERMISSION_DENIED\"}}", true, PUSH_MISTAKE},
    {403, DETAIL("UNREGISTERED"), true, PUSH_MISTAKE},
    {400, DETAIL("UNREGISTERED"), true, PUSH_GIVEN_UP},
    {400, DETAIL("INVALID_ARGUMENT"), true, PUSH_GIVEN_UP},
    {400,
     "{\"error\":{\"status\":\"INVALID_ARGUMENT\",\"message\":\"The registration token is not a "
     "valid FCM registration token\"}}",
     false, PUSH_DEAD_TOKEN},
    {400,
     "{\"error\":{\"status\":\"INVALID_ARGUMENT\",\"message\":\"Request contains an invalid "
     "argument.\",\"details\":[{\"errorCode\":\"INVALID_ARGUMENT\"},{\"fieldViolations\":[{"
     "\"field\":\"message.token\",\"description\":\"Invalid registration token\"}]}]}}",
     false, PUSH_DEAD_TOKEN},
    {400,
     "{\"error\":{\"status\":\"INVALID_ARGUMENT\",\"message\":\"registration token\",\"details\":[{"
     "\"fieldViolations\":[{\"field\":\"message.android.ttl\"}]}]}}",
     true, PUSH_GIVEN_UP},
    {400,
     "{\"error\":{\"status\":\"INVALID_ARGUMENT\",\"message\":\"Invalid Registration Token\"}}",
     false, PUSH_DEAD_TOKEN},
    {400,
     "{\"error\":{\"details\":[{\"errorCode\":\"INVALID_ARGUMENT\"},{\"fieldViolations\":[{"
     "\"field\":\"message.token\"}]}]}}",
     false, PUSH_DEAD_TOKEN},
    {400, "{\"error\":{\"status\":\"FAILED_PRECONDITION\",\"message\":\"registration token\"}}",
     true, PUSH_GIVEN_UP},
    {400, "{\"error\":{\"status\":[],\"message\":{},\"details\":[1,null,{\"errorCode\":3}]}}", true,
     PUSH_GIVEN_UP},
    {401, "", false, PUSH_UNAUTHORIZED},
    {401, DETAIL("UNAUTHENTICATED"), true, PUSH_UNAUTHORIZED},
    {401, DETAIL("THIRD_PARTY_AUTH_ERROR"), true, PUSH_RETRY},
    {408, "", true, PUSH_RETRY},
    {425, "", true, PUSH_RETRY},
    {429, DETAIL("QUOTA_EXCEEDED"), true, PUSH_HELD_BACK},
    {500, DETAIL("INTERNAL"), true, PUSH_BACKEND_FAULT},
    {503, DETAIL("UNREGISTERED"), true, PUSH_BACKEND_FAULT},
    {507, "", true, PUSH_BACKEND_FAULT},
    {599, "", true, PUSH_BACKEND_FAULT},
    {301, "", true, PUSH_GIVEN_UP},
    {402, "", true, PUSH_GIVEN_UP},
    {405, "", true, PUSH_GIVEN_UP},
    {410, DETAIL("UNREGISTERED"), true, PUSH_GIVEN_UP},
    {413, "", true, PUSH_GIVEN_UP},
};

START_TEST(answers_are_classified)
{
    const struct answer_case *c = &cases[_i];
    struct http_answer answer = {
        .result = HTTP_ANSWERED, .status = c->status, .body = c->body, .body_len = strlen(c->body)};

    ck_assert_msg(fcm_classify(&answer, c->proven) == c->outcome, "%d %s", c->status, c->body);
}
END_TEST

/* What was to tell a dead token from an operator's mistake may have been in the rest. */
START_TEST(an_error_that_did_not_arrive_whole_is_tried_again)
{
    struct http_answer answer = {.result = HTTP_ANSWERED,
                                 .cut_short = true,
                                 .body = "{\"error\":{\"code\":404,\"mess",
                                 .body_len = 27};

    for (answer.status = 400; answer.status < 500; answer.status++)
        ck_assert_int_eq(fcm_classify(&answer, true), PUSH_RETRY);
    answer.status = 200;
    ck_assert_int_eq(fcm_classify(&answer, true), PUSH_DELIVERED);
    answer.status = 503;
    ck_assert_int_eq(fcm_classify(&answer, true), PUSH_BACKEND_FAULT);
}
END_TEST

START_TEST(no_answer_is_a_fault)
{
    struct http_answer answer = {.result = HTTP_UNREACHABLE, .body = ""};

    ck_assert_int_eq(fcm_classify(&answer, true), PUSH_BACKEND_FAULT);
    answer.result = HTTP_TIMED_OUT;
    ck_assert_int_eq(fcm_classify(&answer, true), PUSH_BACKEND_FAULT);
    answer.result = HTTP_BROKEN;
    ck_assert_int_eq(fcm_classify(&answer, true), PUSH_BACKEND_FAULT);
    answer.result = HTTP_INVALID;
    ck_assert_int_eq(fcm_classify(&answer, true), PUSH_GIVEN_UP);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("fcm");
    TCase *tcase = tcase_create("fcm");

    tcase_add_test(tcase, messages_are_those_of_the_contract);
    tcase_add_test(tcase, a_token_is_only_ever_a_string);
    tcase_add_loop_test(tcase, answers_are_classified, 0, (int)(sizeof cases / sizeof cases[0]));
    tcase_add_test(tcase, an_error_that_did_not_arrive_whole_is_tried_again);
    tcase_add_test(tcase, no_answer_is_a_fault);
    suite_add_tcase(suite, tcase);
    return unit_run(suite);
}
