#include <stdlib.h>
#include <string.h>

#include "nostr/relay_message.h"
#include "unit.h"

static bool parses(struct relay_message *message, const char *text)
{
    return relay_message_parse(message, text, strlen(text));
}

static void assert_text(const struct relay_text *text, const char *want)
{
    ck_assert_uint_eq(text->len, strlen(want));
    ck_assert_mem_eq(text->text, want, text->len);
}

static void assert_garbage(const char *text)
{
    struct relay_message message;

    ck_assert_msg(!parses(&message, text), "taken: %s", text);
    ck_assert_ptr_null(message.frame);
}

START_TEST(reads_an_event)
{
    struct relay_message message;

    ck_assert(parses(&message, "[\"EVENT\",\"sub\",{\"id\":\"x\"}]"));
    ck_assert_int_eq(message.type, RELAY_MESSAGE_EVENT);
    assert_text(&message.subscription, "sub");
    assert_text(&message.event_id, "");
    ck_assert_str_eq(json_string_value(json_object_get(message.event, "id")), "x");
    relay_message_clear(&message);
    relay_message_clear(&message);
}
END_TEST

START_TEST(reads_eose_and_closed)
{
    struct relay_message message;

    ck_assert(parses(&message, " [ \"EOSE\" , \"sub\" ] "));
    ck_assert_int_eq(message.type, RELAY_MESSAGE_EOSE);
    assert_text(&message.subscription, "sub");
    relay_message_clear(&message);
    ck_assert(parses(&message, "[\"CLOSED\",\"sub\",\"restricted: no\"]"));
    ck_assert_int_eq(message.type, RELAY_MESSAGE_CLOSED);
    assert_text(&message.subscription, "sub");
    assert_text(&message.text, "restricted: no");
    relay_message_clear(&message);
    ck_assert(parses(&message, "[\"CLOSED\",\"sub\"]"));
    assert_text(&message.text, "");
    relay_message_clear(&message);
}
END_TEST

START_TEST(reads_notice_auth_and_ok)
{
    struct relay_message message;

    ck_assert(parses(&message, "[\"NOTICE\",\"hello\"]"));
    ck_assert_int_eq(message.type, RELAY_MESSAGE_NOTICE);
    assert_text(&message.text, "hello");
    relay_message_clear(&message);
    ck_assert(parses(&message, "[\"AUTH\",\"challenge\"]"));
    ck_assert_int_eq(message.type, RELAY_MESSAGE_AUTH);
    assert_text(&message.text, "challenge");
    relay_message_clear(&message);
    ck_assert(parses(&message, "[\"OK\",\"00\",false,\"blocked: no\"]"));
    ck_assert_int_eq(message.type, RELAY_MESSAGE_OK);
    ck_assert(!message.accepted);
    assert_text(&message.event_id, "00");
    assert_text(&message.text, "blocked: no");
    relay_message_clear(&message);
    ck_assert(parses(&message, "[\"OK\",\"0\\u00000\",true,\"\"]"));
    ck_assert(message.accepted);
    ck_assert_uint_eq(message.event_id.len, 3);
    relay_message_clear(&message);
    ck_assert(parses(&message, "[\"OK\",\"\",true]"));
    assert_text(&message.event_id, "");
    assert_text(&message.text, "");
    relay_message_clear(&message);
}
END_TEST

/* strfry's. */
START_TEST(looks_past_a_word_before_the_reason)
{
    struct relay_message message;

    ck_assert(parses(&message, "[\"CLOSED\",\"sub\",\"ERROR: auth-required: who?\"]"));
    assert_text(&message.text, "auth-required: who?");
    relay_message_clear(&message);
    ck_assert(parses(&message, "[\"OK\",\"00\",false,\"ERROR: restricted: no\"]"));
    assert_text(&message.text, "restricted: no");
    relay_message_clear(&message);
    ck_assert(parses(&message, "[\"NOTICE\",\"ERROR: \"]"));
    assert_text(&message.text, "");
    relay_message_clear(&message);
    ck_assert(parses(&message, "[\"NOTICE\",\"ERROR:\"]"));
    assert_text(&message.text, "ERROR:");
    relay_message_clear(&message);
    ck_assert(parses(&message, "[\"AUTH\",\"ERROR: x\"]"));
    assert_text(&message.text, "ERROR: x");
    relay_message_clear(&message);
}
END_TEST

START_TEST(ignores_elements_beyond_the_named_ones)
{
    struct relay_message message;

    ck_assert(parses(&message, "[\"EOSE\",\"sub\",{\"more\":[1]},null]"));
    relay_message_clear(&message);
}
END_TEST

START_TEST(keeps_nuls_in_texts)
{
    struct relay_message message;

    ck_assert(parses(&message, "[\"NOTICE\",\"a\\u0000b\"]"));
    ck_assert_uint_eq(message.text.len, 3);
    ck_assert_mem_eq(message.text.text, "a\0b", 3);
    relay_message_clear(&message);
}
END_TEST

START_TEST(refuses_garbage)
{
    static const char *const garbage[] = {
        "",
        " ",
        "hello",
        "null",
        "{}",
        "[]",
        "[[]]",
        "[1,\"sub\"]",
        "[\"EVENT\"]",
        "[\"EVENT\",\"sub\"]",
        "[\"EVENT\",\"sub\",[]]",
        "[\"EVENT\",\"sub\",\"x\"]",
        "[\"EVENT\",5,{}]",
        "[\"EVENT\",{}]",
        "[\"event\",\"sub\",{}]",
        "[\"EVENTS\",\"sub\",{}]",
        "[\"EVENT\\u0000\",\"sub\",{}]",
        "[\"EOSE\"]",
        "[\"EOSE\",null]",
        "[\"CLOSED\"]",
        "[\"CLOSED\",{},\"x\"]",
        "[\"NOTICE\"]",
        "[\"NOTICE\",7]",
        "[\"AUTH\"]",
        "[\"OK\",\"00\"]",
        "[\"OK\",\"00\",\"true\",\"\"]",
        "[\"OK\",true,true,\"\"]",
        "[\"REQ\",\"sub\",{}]",
        "[\"EOSE\",\"sub\"",
        "[\"EOSE\",\"sub\"]]",
        "[\"EOSE\",\"sub\"] x",
        "[\"EOSE\",\"\xff\"]",
        "[\"EOSE\",\"\\ud800\"]",
        "[\"NOTICE\",123456789012345678901234567890]",
    };

    for (size_t i = 0; i < sizeof garbage / sizeof *garbage; i++)
        assert_garbage(garbage[i]);
}
END_TEST

START_TEST(refuses_a_raw_nul)
{
    struct relay_message message;

    ck_assert(!relay_message_parse(&message, "[\"EOSE\",\"sub\"]\0", 15));
    ck_assert(!relay_message_parse(&message, "[\"EOSE\",\"s\0b\"]", 14));
}
END_TEST

START_TEST(refuses_duplicate_keys)
{
    assert_garbage("[\"EVENT\",\"sub\",{\"id\":\"a\",\"id\":\"b\"}]");
    assert_garbage("[\"EVENT\",\"sub\",{\"x\":{\"k\":1,\"k\":1}}]");
}
END_TEST

/* `depth` brackets in all, the outermost being the message's. */
static bool parses_at_depth(int depth)
{
    struct relay_message message;
    char text[256] = "[\"EOSE\",\"[[[[[[[[[[[[[[[[[[[[[[\\\"[[[[\",";
    bool parsed;

    for (int i = 1; i < depth; i++)
        strcat(text, i % 2 ? "[" : "{\"k\":");
    strcat(text, "0");
    for (int i = depth - 1; i > 0; i--)
        strcat(text, i % 2 ? "]" : "}");
    strcat(text, "]");
    parsed = parses(&message, text);
    if (parsed)
        relay_message_clear(&message);
    return parsed;
}

START_TEST(bounds_depth)
{
    ck_assert(parses_at_depth(RELAY_MESSAGE_MAX_DEPTH));
    ck_assert(!parses_at_depth(RELAY_MESSAGE_MAX_DEPTH + 1));
}
END_TEST

START_TEST(bounds_size)
{
    struct relay_message message;
    size_t size = RELAY_MESSAGE_MAX_SIZE + 1;
    char *text = malloc(size);

    memset(text, ' ', size);
    memcpy(text, "[\"EOSE\",\"sub\"]", 14);
    ck_assert(relay_message_parse(&message, text, size - 1));
    relay_message_clear(&message);
    ck_assert(!relay_message_parse(&message, text, size));
    free(text);
}
END_TEST

START_TEST(reads_no_further_than_it_may)
{
    static const char frame[] = "[\"EVENT\",\"sub\",{\"k\":[\"\\\"v\\\\\"]}]";
    struct relay_message message;

    for (size_t len = 0; len < sizeof frame - 1; len++) {
        char *copy = malloc(len + 1); /* of exactly this size, for the address sanitizer */

        memcpy(copy, frame, len);
        ck_assert(!relay_message_parse(&message, copy, len));
        free(copy);
    }
}
END_TEST

UNIT_MAIN("relay_message", reads_an_event, reads_eose_and_closed, reads_notice_auth_and_ok,
          ignores_elements_beyond_the_named_ones, looks_past_a_word_before_the_reason,
          keeps_nuls_in_texts, refuses_garbage, refuses_a_raw_nul, refuses_duplicate_keys,
          bounds_depth, bounds_size, reads_no_further_than_it_may)
