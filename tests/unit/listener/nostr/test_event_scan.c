#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nostr/event_id.h"
#include "nostr/event_scan.h"
#include "unit.h"

#define ID     "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define PUBKEY "11112222333344445555666677778888999900001111222233334444555566aa"
#define OTHER  "22222222333344445555666677778888999900001111222233334444555566bb"
#define SIG    ID OTHER

#define BEGIN    "[\"EVENT\",\"sub\",{"
#define END      "}]"
#define M_ID     "\"id\":\"" ID "\""
#define M_PUBKEY "\"pubkey\":\"" PUBKEY "\""
#define M_TIME   "\"created_at\":1785600000"
#define M_KIND   "\"kind\":1059"
#define M_TAGS   "\"tags\":[[\"p\",\"" OTHER "\",\"wss://x\"],[\"e\",\"y\"]]"
#define M_TEXT   "\"content\":\"text\""
#define M_SIG    "\"sig\":\"" SIG "\""
#define HEAD     M_ID "," M_PUBKEY "," M_TIME "," M_KIND ","
#define TAIL     "," M_TEXT "," M_SIG

static struct event event;
static struct relay_text subscription;

static bool scan(const char *text)
{
    size_t len = strlen(text);
    char *exact = malloc(len); /* so that a sanitizer sees a read beyond it */
    bool ok;

    memcpy(exact, text, len);
    ok = event_scan(&event, &subscription, exact, len);
    free(exact);
    return ok;
}

/* Whether the parser that builds a tree takes it. */
static bool parses(const char *text)
{
    struct relay_message message;
    struct event read;
    bool ok = relay_message_parse(&message, text, strlen(text));

    ok = ok && event_read(&read, message.event) == EVENT_OK;
    relay_message_clear(&message);
    return ok;
}

START_TEST(reads_the_usual_form)
{
    static const char text[] = BEGIN HEAD M_TAGS TAIL END;

    ck_assert(event_scan(&event, &subscription, text, strlen(text)));
    ck_assert_uint_eq(subscription.len, 3);
    ck_assert_int_eq(memcmp(subscription.text, "sub", 3), 0);
    ck_assert_uint_eq(event.id[1], 0x11);
    ck_assert_uint_eq(event.pubkey[31], 0xaa);
    ck_assert_uint_eq(event.signature[63], 0xbb);
    ck_assert_int_eq(memcmp(event.pubkey_hex, PUBKEY, 64), 0);
    ck_assert_int_eq(event.created_at, 1785600000);
    ck_assert_uint_eq(event.kind, 1059);
    ck_assert_uint_eq(event.content_len, 4);
    ck_assert(event.addressed);
    ck_assert_str_eq(event.trade_pubkey.hex, OTHER);
}
END_TEST

START_TEST(reads_the_members_in_any_order)
{
    ck_assert(
        scan(BEGIN M_SIG "," M_TEXT "," M_TAGS "," M_KIND "," M_TIME "," M_PUBKEY "," M_ID END));
    ck_assert(
        scan(BEGIN M_KIND "," M_ID "," M_SIG "," M_TIME "," M_TEXT "," M_TAGS "," M_PUBKEY END));
}
END_TEST

/* Both parsers agree; the answer of the one that builds a tree counts. */
START_TEST(leaves_what_is_unusual_to_the_other_parser)
{
    static const struct {
        const char *text;
        bool is_event;
    } rows[] = {
        {BEGIN HEAD M_TAGS "," M_SIG ",\"content\":\"a\\nb\"" END, true},
        {BEGIN HEAD M_TAGS "," M_SIG ",\"content\":\"\xc3\xa9\"" END, true},
        {BEGIN HEAD M_TAGS "," M_SIG ",\"content\":\"\x7f\"" END, true},
        {BEGIN HEAD M_TAGS TAIL ",\"more\":1" END, true},
        {BEGIN " " HEAD M_TAGS TAIL END, true},
        {BEGIN HEAD "\"tags\":[[\"t\", \"x\"]]" TAIL END, true},
        {BEGIN HEAD M_TAGS TAIL END " ", true},
        {BEGIN HEAD M_TAGS TAIL END "x", false},
        {BEGIN HEAD M_TAGS TAIL "}", false},
        {BEGIN HEAD M_TAGS TAIL "," END, false},
        {BEGIN "," HEAD M_TAGS TAIL END, false},
        {BEGIN HEAD M_TAGS TAIL "," M_KIND END, false},
        {BEGIN HEAD M_TAGS "," M_TEXT END, false},
        {BEGIN END, false},
        {BEGIN HEAD "\"tags\":[[[]]]" TAIL END, false},
        {BEGIN HEAD "\"tags\":[[,]]" TAIL END, false},
        {BEGIN HEAD "\"tags\":[[1]]" TAIL END, false},
        {BEGIN HEAD "\"tags\":[[\"t\",]]" TAIL END, false},
        {BEGIN HEAD "\"tags\":[[\"t\"],]" TAIL END, false},
        {BEGIN HEAD "\"tags\":[\"t\"]" TAIL END, false},
        {BEGIN HEAD "\"tags\":{}" TAIL END, false},
        {BEGIN HEAD "\"tags\":[" TAIL END, false},
        {"", false},
        {"[", false},
        {"[\"EVENT\",\"sub\"", false},
        {"[\"EVENT\",1,{" HEAD M_TAGS TAIL END, false},
        {"[\"EVENU\",\"sub\",{" HEAD M_TAGS TAIL END, false},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        ck_assert_msg(!scan(rows[i].text), "%zu", i);
        ck_assert_msg(parses(rows[i].text) == rows[i].is_event, "%zu", i);
    }
}
END_TEST

START_TEST(reads_integers_as_the_other_parser)
{
    static const struct {
        const char *number;
        bool usual, is_event;
    } rows[] = {
        {"0", true, true},
        {"9007199254740991", true, true},
        {"9007199254740992", false, false},
        {"99999999999999999999", false, false},
        {"-1", false, false},
        {"01", false, false},
        {"1.0", false, false},
        {"1e3", false, false},
        {"\"1\"", false, false},
        {"", false, false},
    };
    char text[2000];

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        (void)snprintf(text, sizeof text, "%s%s,%s,\"created_at\":%s,%s,%s%s%s", BEGIN, M_ID,
                       M_PUBKEY, rows[i].number, M_KIND, M_TAGS, TAIL, END);
        ck_assert_msg(scan(text) == rows[i].usual, "%s", rows[i].number);
        ck_assert_msg(parses(text) == rows[i].is_event, "%s", rows[i].number);
    }
    ck_assert(scan(BEGIN M_ID "," M_PUBKEY "," M_TIME ",\"kind\":65535," M_TAGS TAIL END));
    ck_assert(!scan(BEGIN M_ID "," M_PUBKEY "," M_TIME ",\"kind\":65536," M_TAGS TAIL END));
}
END_TEST

START_TEST(the_first_p_tag_that_has_a_value_counts)
{
    ck_assert(scan(BEGIN HEAD "\"tags\":[]" TAIL END));
    ck_assert(!event.addressed);
    ck_assert(scan(BEGIN HEAD "\"tags\":[[\"p\"],[\"p\",\"\"],[\"p\",\"" OTHER "\"]]" TAIL END));
    ck_assert(event.addressed);
    ck_assert(scan(BEGIN HEAD "\"tags\":[[],[\"p\",\"" OTHER "\"],[]]" TAIL END));
    ck_assert(event.addressed);
    ck_assert(scan(BEGIN HEAD "\"tags\":[[\"p\",\"x\"],[\"p\",\"" OTHER "\"]]" TAIL END));
    ck_assert(!event.addressed);
    ck_assert(scan(BEGIN HEAD "\"tags\":[[\"pp\",\"x\"],[\"p\",\"" OTHER "\"]]" TAIL END));
    ck_assert(event.addressed);
}
END_TEST

START_TEST(the_expiration_is_read)
{
    ck_assert(scan(BEGIN HEAD M_TAGS TAIL END));
    ck_assert_int_eq(event.expires_at, EVENT_NEVER);
    ck_assert(scan(BEGIN HEAD "\"tags\":[[\"expiration\",\"1785600001\"]]" TAIL END));
    ck_assert_int_eq(event.expires_at, 1785600001);
    ck_assert(scan(BEGIN HEAD "\"tags\":[[\"expiration\",\"soon\"]]" TAIL END));
    ck_assert_int_eq(event.expires_at, EVENT_NEVER);
    ck_assert(scan(BEGIN HEAD "\"tags\":[[\"expiration\"]]" TAIL END));
    ck_assert_int_eq(event.expires_at, EVENT_NEVER);
}
END_TEST

/* Every event of the corpus in the usual form gets the id that the tree gives it. Most are in
 * another form, which is their purpose. */
START_TEST(agrees_on_the_corpus)
{
    static char frame[300000];
    struct event_verifier *verifier = event_verifier_new();
    FILE *file = fopen(TEST_DATA_DIR "/events.jsonl", "r");
    char *line = NULL;
    size_t size = 0, usual = 0;

    ck_assert_ptr_nonnull(file);
    while (getline(&line, &size, file) > 0) {
        json_t *one = json_loads(line, JSON_ALLOW_NUL, NULL);
        char *text = json_dumps(json_object_get(one, "event"), JSON_COMPACT);
        struct event read;

        (void)snprintf(frame, sizeof frame, "[\"EVENT\",\"sub\",%s]", text);
        if (event_scan(&event, &subscription, frame, strlen(frame))) {
            usual++;
            ck_assert_int_eq(event_read(&read, json_object_get(one, "event")), EVENT_OK);
            ck_assert_int_eq(event_verify(verifier, &event), event_verify(verifier, &read));
            ck_assert_int_eq(event.expires_at, read.expires_at);
        }
        free(text);
        json_decref(one);
    }
    ck_assert_uint_gt(usual, 20);
    free(line);
    (void)fclose(file);
    event_verifier_free(&verifier);
}
END_TEST

START_TEST(is_bounded)
{
    size_t len = RELAY_MESSAGE_MAX_SIZE + 1;
    char *text = malloc(len + 1), *at;
    const char *tail = "\"," M_SIG END;

    at = text + sprintf(text, "%s", BEGIN HEAD M_TAGS ",\"content\":\"");
    memset(at, 'x', len - (size_t)(at - text));
    memcpy(text + len - strlen(tail), tail, strlen(tail));
    ck_assert(!event_scan(&event, &subscription, text, len));
    memmove(text + len - strlen(tail) - 1, text + len - strlen(tail), strlen(tail));
    ck_assert(event_scan(&event, &subscription, text, len - 1));
    free(text);
}
END_TEST

START_TEST(takes_as_many_tags_as_the_other_parser)
{
    char *text = malloc(30000);

    for (int n = EVENT_MAX_TAGS; n <= EVENT_MAX_TAGS + 1; n++) {
        char *at = text + sprintf(text, "%s", BEGIN HEAD "\"tags\":[");

        for (int i = 0; i < n; i++)
            at += sprintf(at, "%s[\"t\"]", i > 0 ? "," : "");
        (void)sprintf(at, "%s", "]" TAIL END);
        ck_assert(scan(text) == (n == EVENT_MAX_TAGS));
        ck_assert(parses(text) == (n == EVENT_MAX_TAGS));
    }
    free(text);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("event_scan");
    TCase *tcase = tcase_create("event_scan");

    tcase_add_test(tcase, reads_the_usual_form);
    tcase_add_test(tcase, reads_the_members_in_any_order);
    tcase_add_test(tcase, leaves_what_is_unusual_to_the_other_parser);
    tcase_add_test(tcase, reads_integers_as_the_other_parser);
    tcase_add_test(tcase, the_first_p_tag_that_has_a_value_counts);
    tcase_add_test(tcase, the_expiration_is_read);
    tcase_add_test(tcase, agrees_on_the_corpus);
    tcase_add_test(tcase, is_bounded);
    tcase_add_test(tcase, takes_as_many_tags_as_the_other_parser);
    suite_add_tcase(suite, tcase);
    return unit_run(suite);
}
