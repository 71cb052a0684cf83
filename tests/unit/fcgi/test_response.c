#include "unit.h"

#include "base/random.h"
#include "response.h"
#include "routes.h"

static void draw_request_id(struct response *response)
{
    uint8_t random[RESPONSE_RANDOM_SIZE];

    random_bytes(random, sizeof random);
    response_set_request_id(response, random);
}

START_TEST(a_head_is_complete)
{
    struct response response = {0};
    char head[RESPONSE_HEAD_SIZE];

    response_json(&response, 200, "{\"status\":\"%s\"}", "ok");
    ck_assert_uint_eq(response_head(&response, head, sizeof head), strlen(head));
    ck_assert_str_eq(head, "Status: 200 OK\r\nContent-Type: application/json\r\n"
                           "Content-Length: 15\r\n\r\n");
    response_clear(&response);
    ck_assert_ptr_null(response.body);
}
END_TEST

START_TEST(a_head_with_everything_fits)
{
    struct response response = {0};
    char head[RESPONSE_HEAD_SIZE];

    response_error(&response, 405, "method not allowed");
    response.allow = "GET, HEAD";
    response.retry_after_s = 4294967295u;
    draw_request_id(&response);
    ck_assert_uint_gt(response_head(&response, head, sizeof head), 0);
    ck_assert_ptr_nonnull(strstr(head, "Allow: GET, HEAD\r\n"));
    ck_assert_ptr_nonnull(strstr(head, "Retry-After: 4294967295\r\n"));
    ck_assert_ptr_nonnull(strstr(head, "X-Request-Id: "));
    response_clear(&response);
}
END_TEST

START_TEST(what_came_in_is_escaped)
{
    struct response response = {0};

    response_error_about(&response, 400, "Invalid platform '", "a\"b\\c\n\x01\xc3\xbc", "' x");
    ck_assert_str_eq(response.body, "{\"success\":false,\"message\":"
                                    "\"Invalid platform 'a\\\"b\\\\c\\n\\u0001\xc3\xbc' x\"}");
    ck_assert_uint_eq(response.body_len, strlen(response.body));
    response_clear(&response);
}
END_TEST

START_TEST(request_ids_are_fresh_uuids)
{
    struct response one = {0}, two = {0};

    for (int i = 0; i < 100; i++) {
        draw_request_id(&one);
        draw_request_id(&two);
        ck_assert_uint_eq(strlen(one.request_id), 36);
        ck_assert_int_eq(one.request_id[14], '4');
        ck_assert_ptr_nonnull(strchr("89ab", one.request_id[19]));
        ck_assert_str_ne(one.request_id, two.request_id);
    }
}
END_TEST

START_TEST(routes_are_found_by_their_whole_path)
{
    ck_assert_str_eq(routes_find("/api/notify")->path, "/api/notify");
    ck_assert_str_eq(routes_find("/api/health?x=/api/notify")->path, "/api/health");
    ck_assert_ptr_null(routes_find("/api/notify/"));
    ck_assert_ptr_null(routes_find("/api/notif"));
    ck_assert_ptr_null(routes_find("/api/%6eotify"));
    ck_assert_ptr_null(routes_find("/API/notify"));
    ck_assert_ptr_null(routes_find(""));
    ck_assert_ptr_null(routes_find(NULL));
}
END_TEST

UNIT_MAIN("response", a_head_is_complete, a_head_with_everything_fits, what_came_in_is_escaped,
          request_ids_are_fresh_uuids, routes_are_found_by_their_whole_path)
