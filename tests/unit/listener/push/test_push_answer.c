#include "push/push_answer.h"

#include <string.h>

#include "unit.h"

static void expect(enum http_result result, int status, const char *body, const char *said)
{
    struct http_answer answer = {
        .result = result, .status = status, .body = body, .body_len = strlen(body)};
    char text[PUSH_ANSWER_SIZE];

    push_answer_describe(text, &answer);
    ck_assert_str_eq(text, said);
}

START_TEST(a_status_is_told_with_what_the_answer_names)
{
    expect(HTTP_ANSWERED, 200, "{\"name\":\"projects/p/messages/1\"}", "200");
    expect(HTTP_ANSWERED, 404,
           "{\"error\":{\"code\":404,\"status\":\"NOT_FOUND\",\"details\":[{\"x\":1},"
           "{\"errorCode\":\"UNREGISTERED\"}]}}",
           "404 UNREGISTERED");
    expect(HTTP_ANSWERED, 403, "{\"error\":{\"status\":\"PERMISSION_DENIED\"}}",
           "403 PERMISSION_DENIED");
    expect(HTTP_ANSWERED, 410, "{\"code\":410,\"errno\":106,\"message\":\"secret\"}",
           "410, errno 106");
}
END_TEST

START_TEST(what_may_be_anything_is_not_told)
{
    static const char *const bodies[] = {
        "",
        "404 page not found",
        "[]",
        "{\"error\":7}",
        "{\"errno\":12345}",
        "{\"error\":{\"status\":\"https://planted.example\",\"details\":7}}",
        "{\"error\":{\"status\":\"\",\"details\":[7,{\"errorCode\":\"planted\"}]}}",
        "{\"error\":{\"status\":\"PLANTED\"}}"};

    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++)
        expect(HTTP_ANSWERED, 404, bodies[i], "404");
}
END_TEST

START_TEST(what_was_not_answered_says_how_it_ended)
{
    expect(HTTP_UNREACHABLE, 0, "", "no connection");
    expect(HTTP_TIMED_OUT, 0, "", "no answer in time");
    expect(HTTP_BROKEN, 0, "", "broken connection");
    expect(HTTP_ADDRESS_REFUSED, 0, "", "no public address");
    expect(HTTP_INVALID, 0, "", "no usable URL");
    expect(HTTP_CANCELLED, 0, "", "cancelled");
}
END_TEST

UNIT_MAIN("push_answer", a_status_is_told_with_what_the_answer_names,
          what_may_be_anything_is_not_told, what_was_not_answered_says_how_it_ended)
