#include "check/relay_document.h"

#include <string.h>

#include "unit.h"

static char words[RELAY_DOCUMENT_SIZE];

static bool read_text(const char *json)
{
    return relay_document_read(json, strlen(json), words);
}

START_TEST(software_and_limits)
{
    ck_assert(read_text("{\"software\":\"strfry\",\"version\":\"1.0\",\"limitation\":{"
                        "\"auth_required\":true,\"restricted_writes\":false,\"max_limit\":500}}"));
    ck_assert_str_eq(words, "strfry 1.0; auth_required; max_limit 500");
}
END_TEST

START_TEST(little_or_nothing)
{
    ck_assert(read_text("{}"));
    ck_assert_str_eq(words, "it does not say what it is");
    ck_assert(read_text("{\"software\":\"git+https://example.org/strfry.git\"}"));
    ck_assert_str_eq(words, "strfry.git");
    ck_assert(read_text("{\"software\":1,\"limitation\":[1]}"));
    ck_assert_str_eq(words, "it does not say what it is");
    ck_assert(!read_text("[]"));
    ck_assert(!read_text(""));
    ck_assert(!read_text("{\"a\":1,\"a\":2}"));
    ck_assert(!relay_document_read("{\"a\":1}", 6, words));
}
END_TEST

START_TEST(a_strangers_text_is_redacted_and_cut)
{
    char json[5000];

    memset(json, 'x', sizeof json);
    memcpy(json, "{\"software\":\"", 13);
    memcpy(json + sizeof json - 3, "\"}", 3);
    ck_assert(read_text(json));
    ck_assert_uint_lt(strlen(words), 200);
    ck_assert(read_text("{\"version\":\"npub1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq\"}"));
    ck_assert_str_eq(words, "[...]");
}
END_TEST

UNIT_MAIN("relay_document", software_and_limits, little_or_nothing,
          a_strangers_text_is_redacted_and_cut)
