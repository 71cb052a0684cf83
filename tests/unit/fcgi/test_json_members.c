#include "unit.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "json_members.h"

#define LARGE (128 * 1024)

static struct json_text a, key;
static const struct json_member members[] = {{"a", &a}, {"trade_pubkey", &key}};

/* In a copy of its own length, so that a sanitizer sees a step beyond. */
static bool reads(const char *text, size_t len)
{
    static char *copy;
    bool ok;

    free(copy); /* what the last values pointed into */
    copy = malloc(len > 0 ? len : 1);
    ck_assert_ptr_nonnull(copy);
    memcpy(copy, text, len);
    ok = json_members_read(copy, len, members, 2);
    if (!ok) {
        ck_assert_str_eq(a.text, "");
        ck_assert_str_eq(key.text, "");
    }
    ck_assert_uint_eq(strlen(a.text), a.len);
    return ok;
}

static void assert_reads(const char *text, const char *expected)
{
    ck_assert_msg(reads(text, strlen(text)), "%s", text);
    ck_assert_str_eq(a.text, expected);
}

START_TEST(known_members_are_found)
{
    assert_reads("{}", "");
    assert_reads("{\"a\":\"x\"}", "x");
    assert_reads(" { \"b\" : [ 1 , 2 ] ,\n\t\"a\" : \"x\" }\r\n", "x");
    assert_reads("{\"a\":null}", "");
    assert_reads("{\"a\":\"\"}", "");
    assert_reads("{\"\\u0061\":\"x\"}", "x");
    assert_reads("{\"A\":1,\"a \":2,\"aa\":3,\"\":4}", "");
    assert_reads("{\"a\":\"x\",\"trade_pubkey\":\"y\"}", "x");
    ck_assert_str_eq(key.text, "y");
    assert_reads("{\"b\":{\"a\":1},\"c\":[{\"a\":2}],\"a\":\"x\"}", "x");
    assert_reads("{\"b\":{\"a\":\"y\"}}", "");
}
END_TEST

START_TEST(escapes_are_decoded)
{
    assert_reads("{\"a\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"}", "\"\\/\b\f\n\r\t");
    assert_reads("{\"a\":\"\\u0001\\u007f\\u0080\\u07FF\\u0800\\uffff\"}",
                 "\x01\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf");
    assert_reads("{\"a\":\"x\\ud83d\\ude00\\uD800\\uDC00\\udbff\\udfffy\"}",
                 "x\xf0\x9f\x98\x80\xf0\x90\x80\x80\xf4\x8f\xbf\xbfy");
    assert_reads("{\"a\":\"\xc2\x80\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xf0\x90\x80\x80"
                 "\xf4\x8f\xbf\xbf\"}",
                 "\xc2\x80\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xf0\x90\x80\x80"
                 "\xf4\x8f\xbf\xbf");
}
END_TEST

/* Unknown members may hold any JSON. */
START_TEST(unknown_members_do_not_matter)
{
    static const char *const values[] = {
        "123456789012345678901234567890",
        "-9223372036854775809",
        "18446744073709551616",
        "1e400",
        "-1E+400",
        "1e-400",
        "0.1",
        "-0",
        "0e0",
        "\"\\ud800\"",
        "\"\\udc00\\ud800\"",
        "\"\\ud800\\u0061\"",
        "{\"\\ud800\":1,\"\\ud801\":2}",
        "true",
        "false",
        "null",
        "[]",
        "{}",
        "[[],[{}],{\"b\":[]}]",
        "[1,\"x\",null,{\"a\":1e999}]",
        "{\"a\":1,\"b\":{\"a\":1,\"b\":2}}",
        "[{\"a\":1},{\"a\":1}]",
    };
    char text[256];

    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        (void)snprintf(text, sizeof text, "{\"x\":%s,\"a\":\"y\"}", values[i]);
        assert_reads(text, "y");
        (void)snprintf(text, sizeof text, "{\"a\":\"y\",\"x\":%s}", values[i]);
        assert_reads(text, "y");
    }
    assert_reads("{\"\\ud800\":1,\"\\ud800\\udc00\":2,\"\\udc00\":3,\"a\":\"y\"}", "y");
}
END_TEST

START_TEST(known_members_are_strings_of_whole_characters)
{
    static const char *const values[] = {
        "1",
        "1e400",
        "true",
        "false",
        "[]",
        "{}",
        "[1]",
        "nul",
        "\"\\ud800\"",
        "\"\\udc00\"",
        "nil",
        "",
        "\"\\ud800x\"",
        "\"\\ud800\\u0020\"",
        "{\"a\":\"x\"}",
    };
    char text[64];

    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        (void)snprintf(text, sizeof text, "{\"a\":%s}", values[i]);
        ck_assert_msg(!reads(text, strlen(text)), "%s", text);
    }
}
END_TEST

START_TEST(malformed)
{
    static const char *const texts[] = {
        "",
        " ",
        "[]",
        "\"x\"",
        "null",
        "1",
        "{",
        "}",
        "{]",
        "{}x",
        "{} {}",
        "{},",
        "{}}",
        "{}]",
        "{'a':1}",
        "{a:1}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"b\" 1}",
        "{\"b\":1,}",
        "{,\"b\":1}",
        "{\"b\":1 \"c\":2}",
        "{\"b\":1,,\"c\":2}",
        "{\"b\":[1,]}",
        "{\"b\":[,1]}",
        "{\"b\":[1 2]}",
        "{\"b\":[1}",
        "{\"b\":{]}",
        "{\"b\":[}]",
        "{\"b\":01}",
        "{\"b\":+1}",
        "{\"b\":-}",
        "{\"b\":.5}",
        "{\"b\":1.}",
        "{\"b\":1.e1}",
        "{\"b\":1e}",
        "{\"b\":1e+}",
        "{\"b\":0x1}",
        "{\"b\":--1}",
        "{\"b\":1-1}",
        "{\"b\":NaN}",
        "{\"b\":Infinity}",
        "{\"b\":True}",
        "{\"b\":tru}",
        "{\"b\":truex}",
        "{\"b\":nulL}",
        "{\"b\":\"x}",
        "{\"b\":\"\\x\"}",
        "{\"b\":\"\\",
        "{\"b\":\"\\\"}",
        "{\"b\":\"\\u12\"}",
        "{\"b\":\"\\u12g4\"}",
        "{\"b\":\"\\U0041\"}",
        "{\"b\":\"\t\"}",
        "{\"b\":\"\n\"}",
        "{\"b\":\"\x1f\"}",
        "\xef\xbb\xbf{}",
        "// c\n{}",
        "{/**/}",
        "{\v}",
        "{\xa0}",
        "{\"b\":1;}",
        "{1:2}",
        "{null:1}",
        "{\"b\":\"\xff\"}",
        "{\"b\":\"\x80\"}",
        "{\"b\":\"\xc0\xaf\"}",
        "{\"b\":\"\xc1\xbf\"}",
        "{\"b\":\"\xe0\x9f\xbf\"}",
        "{\"b\":\"\xed\xa0\x80\"}",
        "{\"b\":\"\xf0\x8f\xbf\xbf\"}",
        "{\"b\":\"\xf4\x90\x80\x80\"}",
        "{\"b\":\"\xf5\x80\x80\x80\"}",
        "{\"b\":\"\xc2\"}",
        "{\"b\":\"\xe2\x82\"}",
        "{\"b\":\"\xf0\x9f\x98\"}",
        "{\"b\":\"\xc2",
        "{\"b\":\"\xf0\x9f",
        "{\"\xff\":1}",
    };

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        ck_assert_msg(!reads(texts[i], strlen(texts[i])), "%s", texts[i]);
}
END_TEST

/* Every beginning of a good text that is not all of it. */
START_TEST(whatever_breaks_off)
{
    static const char text[] = "{\"x\":[{\"b\":-1.5e+3},\"\\ud83d\\ude00\xf0\x9f\x98\x80\",true,"
                               "false,null],\"a\":\"y\",\"trade_pubkey\":null}";

    for (size_t len = 0; len < strlen(text); len++)
        ck_assert_msg(!reads(text, len), "%.*s", (int)len, text);
    assert_reads(text, "y");
}
END_TEST

START_TEST(no_name_twice_in_one_object)
{
    static const char *const texts[] = {
        "{\"a\":\"x\",\"a\":\"x\"}",
        "{\"a\":null,\"a\":\"x\"}",
        "{\"a\":\"x\",\"\\u0061\":\"x\"}",
        "{\"b\":1,\"c\":2,\"b\":3}",
        "{\"\":1,\"\":2}",
        "{\"b\":1,\"c\":{\"d\":[{}]},\"b\":2}",
        "{\"c\":{\"b\":1,\"b\":2}}",
        "{\"c\":[[{\"b\":1,\"d\":{},\"b\":2}]]}",
        "{\"\\ud83d\\ude00\":1,\"\xf0\x9f\x98\x80\":2}",
        "{\"\\ud800\":1,\"\\uD800\":2}",
    };

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        ck_assert_msg(!reads(texts[i], strlen(texts[i])), "%s", texts[i]);
    assert_reads("{\"b\":1,\"bb\":2,\"bbb\":3,\"B\":4,\"c\":{\"b\":5}}", "");
}
END_TEST

START_TEST(no_nul_anywhere)
{
    ck_assert(!reads("{}\0", 3));
    ck_assert(!reads("\0{}", 3));
    ck_assert(!reads("{\0}", 3));
    ck_assert(!reads("{\"b\":\"\0\"}", 9));
    ck_assert(!reads("{\"a\0\":1}", 8));
    ck_assert(!reads("{\"b\":1\0}", 8));
    ck_assert(!reads("{\"a\":\"\\u0000\"}", 14));
    ck_assert(!reads("{\"b\":\"\\u0000\"}", 14));
    ck_assert(!reads("{\"b\":[\"x\\u0000\"]}", 17));
    ck_assert(!reads("{\"\\u0000\":1}", 12));
}
END_TEST

static char large[LARGE + 1];

/* `open` and `close` as often as there is room, around `middle`. */
static void nest(const char *begin, const char *open, const char *middle, const char *close)
{
    size_t room = LARGE - strlen(begin) - strlen(middle) - 1;
    size_t depth = room / (strlen(open) + strlen(close)), len = strlen(begin);

    memcpy(large, begin, len);
    for (size_t i = 0; i < depth; i++, len += strlen(open))
        memcpy(large + len, open, strlen(open));
    memcpy(large + len, middle, strlen(middle));
    len += strlen(middle);
    for (size_t i = 0; i < depth; i++, len += strlen(close))
        memcpy(large + len, close, strlen(close));
    memcpy(large + len, "}", 2);
}

START_TEST(depth_up_to_the_texts_length)
{
    nest("{\"x\":", "[", "", "]");
    assert_reads(large, "");
    large[strlen(large) - 2] = '}';
    ck_assert(!reads(large, strlen(large)));
    nest("{\"a\":\"y\",\"x\":", "{\"\":", "0", "}");
    assert_reads(large, "y");
    memset(large, '[', LARGE);
    memcpy(large, "{\"x\":", 5);
    ck_assert(!reads(large, LARGE));
}
END_TEST

/* An object with as many names as fit: they are still told apart. */
START_TEST(many_names)
{
    size_t len = (size_t)sprintf(large, "{\"a\":\"y\""), last = 0;

    for (unsigned i = 0; len < LARGE - 16; i++) {
        last = len;
        len += (size_t)sprintf(large + len, ",\"%05x\":0", i * 40503u & 0xfffff);
    }
    (void)sprintf(large + len, "}");
    assert_reads(large, "y");
    memcpy(large + last, ",\"00000", 7); /* the first again */
    ck_assert(!reads(large, strlen(large)));
}
END_TEST

START_TEST(a_text_that_is_too_long)
{
    char *text = malloc(JSON_MEMBERS_TEXT_MAX + 1);

    ck_assert_ptr_nonnull(text);
    memset(text, ' ', JSON_MEMBERS_TEXT_MAX + 1);
    memcpy(text, "{}", 2);
    ck_assert(json_members_read(text, JSON_MEMBERS_TEXT_MAX, members, 2));
    ck_assert(!json_members_read(text, JSON_MEMBERS_TEXT_MAX + 1, members, 2));
    free(text);
}
END_TEST

UNIT_MAIN("json_members", known_members_are_found, escapes_are_decoded,
          unknown_members_do_not_matter, known_members_are_strings_of_whole_characters, malformed,
          whatever_breaks_off, no_name_twice_in_one_object, no_nul_anywhere,
          depth_up_to_the_texts_length, many_names, a_text_that_is_too_long)
