#include "endpoints/endpoint_text.h"

#include <stdio.h>
#include <string.h>

#include "unit.h"

#define URL "https://push.example/up?id=1"
#define ID  "70a9b1e6a2b0c9a2b5b1b3a0a1b2c3d4" /* any; the one in the text does not count */

static struct registry_endpoint taken[8];
static size_t taken_count, take_most;
static size_t skipped;

static bool take(const struct registry_endpoint *endpoint, void *arg)
{
    ck_assert_ptr_eq(arg, &taken);
    ck_assert_uint_lt(taken_count, sizeof taken / sizeof taken[0]);
    taken[taken_count++] = *endpoint;
    return taken_count < take_most;
}

static enum endpoint_text_result read_len(const char *text, size_t len)
{
    /* A copy of its exact size, so that a sanitizer sees a read beyond it. */
    char *copy = malloc(len + (len == 0));
    enum endpoint_text_result result;

    memcpy(copy, text, len);
    taken_count = 0;
    take_most = sizeof taken / sizeof taken[0];
    result = endpoint_text_read(copy, len, false, take, &taken, &skipped);
    free(copy);
    return result;
}

static enum endpoint_text_result read_text(const char *text)
{
    return read_len(text, strlen(text));
}

static struct registry_endpoint endpoint_of(const char *url, int64_t registered_at)
{
    struct registry_endpoint endpoint = {.registered_at = registered_at};

    (void)snprintf(endpoint.url, sizeof endpoint.url, "%s", url);
    ck_assert(device_id_of(&endpoint.id, url));
    return endpoint;
}

/* ---- Reading --------------------------------------------------------------------------------- */

START_TEST(whole_files_are_read)
{
    ck_assert_int_eq(read_text("{}"), ENDPOINT_TEXT_OK);
    ck_assert_int_eq(read_text(" \r\n\t{ \n } \n"), ENDPOINT_TEXT_OK);
    ck_assert_uint_eq(taken_count, 0);
    ck_assert_int_eq(read_text("{\"" ID "\":{\"device_id\":\"" ID "\",\"endpoint_url\":\"" URL
                               "\",\"registered_at\":1700000000},\n"
                               " \"x\" : {\"registered_at\":\"2026-01-01T00:00:00Z\","
                               "\"endpoint_url\":\"https:\\/\\/push.example/2\",\"more\":[{}]}\n}"),
                     ENDPOINT_TEXT_OK);
    ck_assert_uint_eq(taken_count, 2);
    ck_assert_uint_eq(skipped, 0);
    ck_assert_str_eq(taken[0].url, URL);
    ck_assert_int_eq(taken[0].registered_at, 1700000000);
    ck_assert_str_eq(taken[0].id.hex, endpoint_of(URL, 0).id.hex);
    ck_assert_str_eq(taken[1].url, "https://push.example/2");
    ck_assert_int_eq(taken[1].registered_at, REGISTRY_NO_MOMENT);
}
END_TEST

START_TEST(damage_is_seen_wherever_it_is)
{
    static const char whole[] = "{\"a\":{\"endpoint_url\":\"" URL "\"},"
                                "\"b\":{\"endpoint_url\":\"" URL "2\",\"registered_at\":12}}";
    static const char *const damaged[] = {
        "",
        " ",
        "[]",
        "null",
        "\"x\"",
        "{\"a\":{}",
        "{\"a\":{},}",
        "{\"a\":{}}x",
        "{\"a\":{}}{}",
        "{,}",
        "{\"a\"}",
        "{\"a\" {}}",
        "{a:{}}",
        "{1:{}}",
        "{\"a\":{} \"b\":{}}",
        "{\"a\":{}]",
        "{\"a\":{\"b\":1,\"b\":2}}",
        "{\"a\":\"\\ud800\"}",
        "{\"\xff\":{}}",
    };

    ck_assert_int_eq(read_text(whole), ENDPOINT_TEXT_OK);
    ck_assert_uint_eq(taken_count, 2);
    for (size_t len = 0; len < sizeof whole - 1; len++)
        ck_assert_int_eq(read_len(whole, len), ENDPOINT_TEXT_DAMAGED);
    ck_assert_uint_eq(taken_count, 2); /* what came before the damage */
    ck_assert_int_eq(read_len("{}\0", 3), ENDPOINT_TEXT_DAMAGED);
    for (size_t i = 0; i < sizeof damaged / sizeof damaged[0]; i++)
        ck_assert_msg(read_text(damaged[i]) == ENDPOINT_TEXT_DAMAGED, "%s", damaged[i]);
}
END_TEST

START_TEST(members_that_are_no_endpoints_are_skipped)
{
    ck_assert_int_eq(read_text("{\"a\":1,\"b\":null,\"c\":[],\"d\":\"" URL "\",\"e\":{},"
                               "\"f\":{\"endpoint_url\":1},\"g\":{\"endpoint_url\":\"\"},"
                               "\"h\":{\"endpoint_url\":\"http://push.example/up\"},"
                               "\"i\":{\"endpoint_url\":\"https://127.0.0.1/up\"},"
                               "\"j\":{\"endpoint_url\":\"https://push.example/up here\"},"
                               "\"k\":{\"endpoint_url\":\"" URL "\",\"registered_at\":-1},"
                               "\"l\":{\"endpoint_url\":\"" URL "\",\"registered_at\":1e3}}"),
                     ENDPOINT_TEXT_OK);
    ck_assert_uint_eq(skipped, 10);
    ck_assert_uint_eq(taken_count, 2);
    ck_assert_int_eq(taken[0].registered_at, REGISTRY_NO_MOMENT);
    ck_assert_int_eq(taken[1].registered_at, REGISTRY_NO_MOMENT);
}
END_TEST

/* An endpoint of so many characters. */
static const char *url_of(size_t len)
{
    static char url[ENDPOINT_URL_MAX + 2];

    memset(url, 'u', len);
    memcpy(url, "https://push.example/", strlen("https://push.example/"));
    url[len] = '\0';
    return url;
}

static enum endpoint_text_result read_url(const char *url)
{
    static char text[ENDPOINT_URL_MAX + 100];

    (void)snprintf(text, sizeof text, "{\"a\":{\"endpoint_url\":\"%s\"}}", url);
    return read_text(text);
}

START_TEST(a_url_has_1024_bytes_at_most)
{
    ck_assert_int_eq(read_url(url_of(ENDPOINT_URL_MAX)), ENDPOINT_TEXT_OK);
    ck_assert_uint_eq(taken_count, 1);
    ck_assert_int_eq(read_url(url_of(ENDPOINT_URL_MAX + 1)), ENDPOINT_TEXT_OK);
    ck_assert_uint_eq(taken_count, 0);
    ck_assert_uint_eq(skipped, 1);
}
END_TEST

/* A member whose value takes so many bytes. */
static enum endpoint_text_result read_value(size_t len)
{
    char *text = malloc(len + 16);
    enum endpoint_text_result result;

    memcpy(text, "{\"a\":{\"x\":\"", 11);
    memset(text + 11, 'y', len);
    memcpy(text + 5 + len - 2, "\"}}", 4);
    result = read_text(text);
    free(text);
    return result;
}

START_TEST(a_value_is_bounded)
{
    ck_assert_int_eq(read_value(ENDPOINT_TEXT_VALUE_MAX), ENDPOINT_TEXT_OK);
    ck_assert_uint_eq(skipped, 1);
    ck_assert_int_eq(read_value(ENDPOINT_TEXT_VALUE_MAX + 1), ENDPOINT_TEXT_DAMAGED);
}
END_TEST

START_TEST(deep_nesting_is_damage)
{
    char text[8000] = "{\"a\":";

    memset(text + 5, '[', 3000);
    memset(text + 3005, ']', 3000);
    memcpy(text + 6005, "}", 2);
    ck_assert_int_eq(read_text(text), ENDPOINT_TEXT_DAMAGED);
}
END_TEST

START_TEST(the_taker_may_stop)
{
    static const char text[] = "{\"a\":{\"endpoint_url\":\"" URL "\"},"
                               "\"b\":{\"endpoint_url\":\"" URL "2\"}}";

    taken_count = 0;
    take_most = 1;
    ck_assert_int_eq(endpoint_text_read(text, sizeof text - 1, false, take, &taken, &skipped),
                     ENDPOINT_TEXT_STOPPED);
    ck_assert_uint_eq(taken_count, 1);
}
END_TEST

/* ---- Composing ------------------------------------------------------------------------------- */

START_TEST(what_is_composed_can_be_read)
{
    struct endpoint_text *text = endpoint_text_new(ENDPOINT_TEXT_MAX);
    struct registry_endpoint one = endpoint_of(URL, 1700000000);
    struct registry_endpoint two = endpoint_of(url_of(ENDPOINT_URL_MAX), 0);
    const char *whole;
    size_t len;

    two.encrypted = true;
    ck_assert_int_eq(endpoint_text_add(text, &one), ENDPOINT_TEXT_ADDED);
    ck_assert_int_eq(endpoint_text_add(text, &two), ENDPOINT_TEXT_ADDED);
    ck_assert_int_eq(endpoint_text_add(text, &one), ENDPOINT_TEXT_LEFT_OUT);
    whole = endpoint_text_end(text, &len);
    ck_assert_int_eq(read_len(whole, len), ENDPOINT_TEXT_OK);
    ck_assert_uint_eq(taken_count, 2);
    ck_assert_mem_eq(&taken[0].id, &one.id, sizeof one.id);
    ck_assert_str_eq(taken[0].url, one.url);
    ck_assert_int_eq(taken[0].registered_at, one.registered_at);
    ck_assert_str_eq(taken[1].url, two.url);
    ck_assert(!taken[0].encrypted && taken[1].encrypted);
    endpoint_text_free(&text);
    ck_assert_ptr_null(text);
}
END_TEST

START_TEST(no_endpoints_are_an_empty_object)
{
    struct endpoint_text *text = endpoint_text_new(ENDPOINT_TEXT_MAX);
    size_t len;
    const char *whole = endpoint_text_end(text, &len);

    ck_assert_int_eq(read_len(whole, len), ENDPOINT_TEXT_OK);
    ck_assert_uint_eq(taken_count, 0);
    endpoint_text_free(&text);
}
END_TEST

/* What these programs would not have registered must not break the file. */
START_TEST(what_would_have_to_be_escaped_is_left_out)
{
    struct endpoint_text *text = endpoint_text_new(ENDPOINT_TEXT_MAX);
    struct registry_endpoint quote = endpoint_of("https://push.example/\"", 1);

    ck_assert_int_eq(endpoint_text_add(text, &quote), ENDPOINT_TEXT_LEFT_OUT);
    endpoint_text_free(&text);
}
END_TEST

START_TEST(a_text_is_bounded)
{
    struct registry_endpoint one = endpoint_of(URL, 1);
    struct registry_endpoint two = endpoint_of("https://push.example/up?id=2", 1);
    struct endpoint_text *text = endpoint_text_new(ENDPOINT_TEXT_MAX);
    size_t len;

    ck_assert_int_eq(endpoint_text_add(text, &one), ENDPOINT_TEXT_ADDED);
    (void)endpoint_text_end(text, &len);
    endpoint_text_free(&text);
    text = endpoint_text_new(len);
    ck_assert_int_eq(endpoint_text_add(text, &one), ENDPOINT_TEXT_ADDED);
    ck_assert_uint_eq(endpoint_text_dropped(text), 0);
    ck_assert_int_eq(endpoint_text_add(text, &two), ENDPOINT_TEXT_ADDED);
    ck_assert_uint_eq(endpoint_text_dropped(text), 1);
    endpoint_text_free(&text);
    text = endpoint_text_new(len - 1);
    ck_assert_int_eq(endpoint_text_add(text, &one), ENDPOINT_TEXT_ADDED);
    ck_assert_uint_eq(endpoint_text_dropped(text), 1);
    ck_assert_str_eq(endpoint_text_end(text, &len), "{\n}\n");
    endpoint_text_free(&text);
}
END_TEST

/* Of one host the newest, and of each host as many. */
START_TEST(what_does_not_fit_is_left_out_fairly)
{
    struct registry_endpoint honest = endpoint_of("https://honest.example/up?id=1", 1);
    struct endpoint_text *text = endpoint_text_new(1000);
    const char *whole;
    char url[64];
    size_t len;

    ck_assert_int_eq(endpoint_text_add(text, &honest), ENDPOINT_TEXT_ADDED);
    for (int i = 0; i < 100; i++) {
        struct registry_endpoint one;

        (void)snprintf(url, sizeof url, "https://flood.test/up?id=%d", i);
        one = endpoint_of(url, 100 + i);
        ck_assert_int_eq(endpoint_text_add(text, &one), ENDPOINT_TEXT_ADDED);
    }
    whole = endpoint_text_end(text, &len);
    ck_assert_uint_eq(len, strlen(whole));
    ck_assert_uint_le(len, 1000);
    ck_assert_uint_ge(len, 1000 - 150);
    ck_assert_int_eq(read_len(whole, len), ENDPOINT_TEXT_OK);
    ck_assert_uint_eq(taken_count + endpoint_text_dropped(text), 101);
    ck_assert_str_eq(taken[0].url, honest.url);
    ck_assert_str_eq(taken[taken_count - 1].url, "https://flood.test/up?id=99");
    ck_assert_int_eq(taken[1].registered_at, 200 - (int64_t)(taken_count - 1));
    endpoint_text_free(&text);
}
END_TEST

UNIT_MAIN("endpoint_text", whole_files_are_read, damage_is_seen_wherever_it_is,
          members_that_are_no_endpoints_are_skipped, a_url_has_1024_bytes_at_most,
          a_value_is_bounded, deep_nesting_is_damage, the_taker_may_stop,
          what_is_composed_can_be_read, no_endpoints_are_an_empty_object,
          what_would_have_to_be_escaped_is_left_out, a_text_is_bounded,
          what_does_not_fit_is_left_out_fairly)
