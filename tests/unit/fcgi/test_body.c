#include "unit.h"

#include "body.h"

#define LIMIT 64

static char room[256];

/* A request with these bytes, which the test may not change. */
static struct request request_of(const char *bytes, size_t len, const char *type,
                                 const char *length)
{
    ck_assert_uint_le(len, sizeof room);
    memcpy(room, bytes, len);
    return (struct request){
        .content_type = type, .content_length = length, .body = room, .body_len = len};
}

static enum body_verdict check(const char *bytes, size_t len, const char *type, const char *length)
{
    const struct request request = request_of(bytes, len, type, length);

    return body_check(&request, LIMIT);
}

START_TEST(the_limit_holds_to_the_byte)
{
    char text[LIMIT + 2];

    memset(text, ' ', sizeof text);
    memcpy(text, "{}", 2);
    ck_assert_int_eq(check(text, LIMIT, "application/json", NULL), BODY_OK);
    ck_assert_int_eq(check(text, LIMIT + 1, "application/json", NULL), BODY_TOO_LARGE);
    ck_assert_int_eq(check(text, 2, "application/json", "65"), BODY_TOO_LARGE);
}
END_TEST

START_TEST(a_length_that_lies_is_malformed)
{
    ck_assert_int_eq(check("{}", 2, "application/json", "2"), BODY_OK);
    ck_assert_int_eq(check("{}", 2, "application/json", "3"), BODY_MALFORMED);
    ck_assert_int_eq(check("{} ", 3, "application/json", "2"), BODY_MALFORMED);
    ck_assert_int_eq(check("{}", 2, "application/json", ""), BODY_OK);
}
END_TEST

#define PUBKEY "00a1b2c3d4e5f60718293a4b5c6d7e8f00a1b2c3d4e5f60718293a4b5c6d7e8f"
#define UPPER  "00A1B2C3D4E5F60718293A4B5C6D7E8F00A1B2C3D4E5F60718293A4B5C6D7E8F"

static enum body_verdict read_pubkey(const char *text, struct trade_pubkey *key)
{
    const struct request request = request_of(text, strlen(text), "application/json", NULL);

    return body_read_pubkey(&request, sizeof room, key);
}

/* The form that the app sends takes a shorter way, which must lead to the same place. */
START_TEST(a_pubkey_is_read_from_any_form)
{
    static const char *const good[] = {
        "{\"trade_pubkey\":\"" PUBKEY "\"}",
        "{\"trade_pubkey\":\"" UPPER "\"}",
        " { \"trade_pubkey\" : \"" PUBKEY "\" } ",
        "{\"x\":[1],\"trade_pubkey\":\"" PUBKEY "\"}",
        "{\"trade_pubkey\":\"" PUBKEY "\",\"x\":[1e400,123456789012345678901,\"\\ud800\"]}",
        "{\"trade\\u005fpubkey\":\"\\u0030"
        "0a1b2c3d4e5f60718293a4b5c6d7e8f"
        "00a1b2c3d4e5f60718293a4b5c6d7e8f\"}",
    };
    struct trade_pubkey key;

    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        ck_assert_msg(read_pubkey(good[i], &key) == BODY_OK, "%s", good[i]);
        ck_assert_str_eq(key.hex, PUBKEY);
    }
}
END_TEST

START_TEST(what_is_wrong_with_a_pubkeys_body)
{
    static const struct {
        const char *text;
        enum body_verdict verdict;
    } cases[] = {
        {"{\"trade_pubkey\":\"" PUBKEY "\"", BODY_MALFORMED},
        {"{\"trade_pubkey\":\"" PUBKEY "\"}}", BODY_MALFORMED},
        {"{\"trade_pubkey\":1}", BODY_MALFORMED},
        {"{\"trade_pubkey\":\"" PUBKEY "\",\"x\":{\"y\":1,\"y\":2}}", BODY_MALFORMED},
        {"{\"trade_pubkey\":\"" PUBKEY "\",\"x\":\"\\u0000\"}", BODY_MALFORMED},
        {"{\"trade_pubkey\":\"" PUBKEY "\",\"trade_pubkey\":\"" PUBKEY "\"}", BODY_MALFORMED},
        {"{\"trade_pubkey\":\"g0a1b2c3d4e5f60718293a4b5c6d7e8f00a1b2c3d4e5f60718293a4b5c6d7e8f\"}",
         BODY_BAD_PUBKEY},
        {"{\"trade_pubkey\":\"\"}", BODY_BAD_PUBKEY},
        {"{}", BODY_BAD_PUBKEY},
        {"{\"trade_pubkex\":\"" PUBKEY "\"}", BODY_BAD_PUBKEY},
    };
    struct trade_pubkey key;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        ck_assert_msg(read_pubkey(cases[i].text, &key) == cases[i].verdict, "%s", cases[i].text);
}
END_TEST

START_TEST(no_body_is_malformed)
{
    ck_assert_int_eq(check("", 0, "application/json", NULL), BODY_MALFORMED);
    ck_assert_int_eq(check("", 0, "application/json", "0"), BODY_MALFORMED);
}
END_TEST

START_TEST(content_types)
{
    static const char *const good[] = {"application/json", "Application/JSON",
                                       "application/json; charset=utf-8", "application/json ;x"};
    static const char *const bad[] = {"", "text/plain", "application/jsonx",
                                      "application/json-patch+json", "application/x"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        ck_assert_int_eq(check("{}", 2, good[i], NULL), BODY_OK);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_int_eq(check("{}", 2, bad[i], NULL), BODY_MALFORMED);
    ck_assert_int_eq(check("{}", 2, NULL, NULL), BODY_MALFORMED);
}
END_TEST

UNIT_MAIN("body", the_limit_holds_to_the_byte, a_length_that_lies_is_malformed,
          a_pubkey_is_read_from_any_form, what_is_wrong_with_a_pubkeys_body, no_body_is_malformed,
          content_types)
