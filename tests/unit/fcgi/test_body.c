#include "unit.h"

#include <stdbool.h>

#include "body.h"

#define LIMIT 64

/* A body that comes in pieces of `piece` bytes and, where `broken`, never ends. */
struct source {
    const char *text;
    size_t left, piece;
    bool broken;
};

static ssize_t read_source(void *arg, char *buffer, size_t size)
{
    struct source *source = arg;
    size_t take = source->left < source->piece ? source->left : source->piece;

    if (take == 0)
        return source->broken ? -1 : 0;
    ck_assert_uint_gt(size, 0);
    take = take < size ? take : size;
    memcpy(buffer, source->text, take);
    source->text += take;
    source->left -= take;
    return (ssize_t)take;
}

static enum body_verdict read_bytes(const char *bytes, size_t len, const char *type,
                                    const char *length, json_t **json)
{
    static char buffer[LIMIT + 1];
    struct source source = {.text = bytes, .left = len, .piece = 7};
    struct request request = {
        .content_type = type, .content_length = length, .read = read_source, .read_arg = &source};
    enum body_verdict verdict = body_read(&request, LIMIT, buffer, json);

    for (size_t i = 0; i < sizeof buffer; i++)
        ck_assert_int_eq(buffer[i], 0);
    ck_assert_int_eq(verdict == BODY_OK, *json != NULL);
    return verdict;
}

static enum body_verdict verdict_on(const char *text)
{
    json_t *json;
    enum body_verdict verdict = read_bytes(text, strlen(text), "application/json", NULL, &json);

    json_decref(json);
    return verdict;
}

START_TEST(an_object_is_read)
{
    static const char text[] = "{\"a\":\"x\",\"b\":null,\"c\":1}";
    const char *value;
    size_t len;
    json_t *json;

    ck_assert_int_eq(read_bytes(text, strlen(text), "application/json", NULL, &json), BODY_OK);
    ck_assert_int_eq(body_text(json, "a", &value, &len), BODY_OK);
    ck_assert_str_eq(value, "x");
    ck_assert_uint_eq(len, 1);
    ck_assert_int_eq(body_text(json, "b", &value, &len), BODY_OK);
    ck_assert_str_eq(value, "");
    ck_assert_int_eq(body_text(json, "absent", &value, &len), BODY_OK);
    ck_assert_str_eq(value, "");
    ck_assert_int_eq(body_text(json, "c", &value, &len), BODY_MALFORMED);
    json_decref(json);
}
END_TEST

START_TEST(what_is_not_strict_json_is_malformed)
{
    static const char *const texts[] = {
        "",
        " ",
        "[]",
        "\"x\"",
        "null",
        "{",
        "{}x",
        "{} {}",
        "{\"a\":1,\"a\":2}",
        "{'a':1}",
        "{\"a\":1,}",
        "{\"a\":\"\\u0000\"}",
        "{\"a\":\"\xff\"}",
        "{\"a\":\"\xc0\xaf\"}",
        "{\"a\":\"\xed\xa0\x80\"}",
        "\xef\xbb\xbf{}",
        "{\"a\":\"\t\"}",
        "// c\n{}",
    };

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        ck_assert_msg(verdict_on(texts[i]) == BODY_MALFORMED, "%s", texts[i]);
    ck_assert_int_eq(verdict_on(" {\"a\":1} \n"), BODY_OK);
}
END_TEST

START_TEST(a_nul_is_malformed_wherever_it_stands)
{
    json_t *json;

    ck_assert_int_eq(read_bytes("{\"a\":1}\0", 8, "application/json", NULL, &json), BODY_MALFORMED);
    ck_assert_int_eq(read_bytes("{\"a\0\":1}", 8, "application/json", NULL, &json), BODY_MALFORMED);
}
END_TEST

START_TEST(the_limit_holds_to_the_byte)
{
    char text[LIMIT + 2];
    json_t *json;

    memset(text, ' ', sizeof text);
    memcpy(text, "{}", 2);
    ck_assert_int_eq(read_bytes(text, LIMIT, "application/json", NULL, &json), BODY_OK);
    json_decref(json);
    ck_assert_int_eq(read_bytes(text, LIMIT + 1, "application/json", NULL, &json), BODY_TOO_LARGE);
    ck_assert_int_eq(read_bytes(text, 2, "application/json", "65", &json), BODY_TOO_LARGE);
}
END_TEST

START_TEST(a_length_that_lies_is_malformed)
{
    json_t *json;

    ck_assert_int_eq(read_bytes("{}", 2, "application/json", "2", &json), BODY_OK);
    json_decref(json);
    ck_assert_int_eq(read_bytes("{}", 2, "application/json", "3", &json), BODY_MALFORMED);
    ck_assert_int_eq(read_bytes("{} ", 3, "application/json", "2", &json), BODY_MALFORMED);
    ck_assert_int_eq(read_bytes("{}", 2, "application/json", "", &json), BODY_OK);
    json_decref(json);
}
END_TEST

#define PUBKEY "00a1b2c3d4e5f60718293a4b5c6d7e8f00a1b2c3d4e5f60718293a4b5c6d7e8f"
#define UPPER  "00A1B2C3D4E5F60718293A4B5C6D7E8F00A1B2C3D4E5F60718293A4B5C6D7E8F"
#define ROOM   256

static enum body_verdict read_pubkey(const char *text, struct trade_pubkey *key)
{
    static char buffer[ROOM + 1];
    struct source source = {.text = text, .left = strlen(text), .piece = 7};
    struct request request = {
        .content_type = "application/json", .read = read_source, .read_arg = &source};
    enum body_verdict verdict = body_read_pubkey(&request, ROOM, buffer, key);

    for (size_t i = 0; i < sizeof buffer; i++)
        ck_assert_int_eq(buffer[i], 0);
    return verdict;
}

/* The form that the app sends takes a shorter way, which must lead to the same place. */
START_TEST(a_pubkey_is_read_from_any_form)
{
    static const char *const good[] = {
        "{\"trade_pubkey\":\"" PUBKEY "\"}",
        "{\"trade_pubkey\":\"" UPPER "\"}",
        " { \"trade_pubkey\" : \"" PUBKEY "\" } ",
        "{\"x\":[1],\"trade_pubkey\":\"" PUBKEY "\"}",
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

START_TEST(a_body_that_breaks_off_is_malformed)
{
    char buffer[LIMIT + 1] = {0};
    struct source source = {.text = "{}", .left = 2, .piece = 2, .broken = true};
    struct request request = {
        .content_type = "application/json", .read = read_source, .read_arg = &source};
    json_t *json;

    ck_assert_int_eq(body_read(&request, LIMIT, buffer, &json), BODY_MALFORMED);
    ck_assert_ptr_null(json);
    for (size_t i = 0; i < sizeof buffer; i++)
        ck_assert_int_eq(buffer[i], 0);
}
END_TEST

START_TEST(content_types)
{
    static const char *const good[] = {"application/json", "Application/JSON",
                                       "application/json; charset=utf-8", "application/json ;x"};
    static const char *const bad[] = {"", "text/plain", "application/jsonx",
                                      "application/json-patch+json", "application/x"};
    json_t *json;

    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        ck_assert_int_eq(read_bytes("{}", 2, good[i], NULL, &json), BODY_OK);
        json_decref(json);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_int_eq(read_bytes("{}", 2, bad[i], NULL, &json), BODY_MALFORMED);
    ck_assert_int_eq(read_bytes("{}", 2, NULL, NULL, &json), BODY_MALFORMED);
}
END_TEST

UNIT_MAIN("body", an_object_is_read, what_is_not_strict_json_is_malformed,
          a_nul_is_malformed_wherever_it_stands, the_limit_holds_to_the_byte,
          a_length_that_lies_is_malformed, a_pubkey_is_read_from_any_form,
          what_is_wrong_with_a_pubkeys_body, a_body_that_breaks_off_is_malformed, content_types)
