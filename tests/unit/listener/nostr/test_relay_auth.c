#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "nostr/event.h"
#include "nostr/relay_auth.h"
#include "nostr/relay_message.h"
#include "unit.h"

/* auth_events.jsonl: one case a line, {name, key, relay, challenge, event}, the events made by
 * nostr-tools' makeAuthEvent() and signed with the key (tests/interop/make-events.cjs). */
#define ANSWERS TEST_DATA_DIR "/auth_events.jsonl"
#define CASES   12

#define LOAD_FLAGS (JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL)
#define URL        "wss://relay.example"
#define NOW        1785600000

static const uint8_t key[RELAY_AUTH_KEY_SIZE] = {[31] = 3};

static char frame[RELAY_AUTH_FRAME_SIZE];
static struct relay_auth *auth;

static void set_up(void)
{
    auth = relay_auth_new(URL, key);
    ck_assert_ptr_nonnull(auth);
}

static void tear_down(void)
{
    relay_auth_free(&auth);
    ck_assert_ptr_null(auth);
    relay_auth_free(&auth);
}

static bool challenge(const char *text)
{
    return relay_auth_challenge(auth, text, strlen(text));
}

/* The event of the answer that is due, its id and signature verified; NULL if there is none. */
static json_t *answer(struct relay_auth *from, int64_t unix_s)
{
    size_t len = relay_auth_next_frame(from, unix_s, frame);
    struct event_verifier *verifier = event_verifier_new();
    struct event event;
    json_t *json, *signed_event;

    if (len > 0) {
        json = json_loadb(frame, len, LOAD_FLAGS, NULL);
        ck_assert_msg(json_array_size(json) == 2, "%.*s", (int)len, frame);
        ck_assert_str_eq(json_string_value(json_array_get(json, 0)), "AUTH");
        signed_event = json_incref(json_array_get(json, 1));
        json_decref(json);
        ck_assert_int_eq(event_read(&event, signed_event), EVENT_OK);
        ck_assert_int_eq(event_verify(verifier, &event), EVENT_UNADDRESSED);
    }
    event_verifier_free(&verifier);
    return len > 0 ? signed_event : NULL;
}

static const char *text_of(const json_t *json, const char *name)
{
    return json_string_value(json_object_get(json, name));
}

static bool is_answer_to(const json_t *event, const char *text)
{
    const json_t *tag = json_array_get(json_object_get(event, "tags"), 1);

    ck_assert_ptr_nonnull(event);
    return strcmp(json_string_value(json_array_get(tag, 1)), text) == 0;
}

/* ---- Answers --------------------------------------------------------------------------------- */

/* The events have the same members, but for a signature that is drawn anew each time. */
static void compare(const json_t *one)
{
    json_t *want = json_object_get(one, "event"), *text = json_object_get(one, "challenge"), *got;
    uint8_t secret[RELAY_AUTH_KEY_SIZE];
    struct relay_auth *own;

    ck_assert(hex_decode(secret, sizeof secret, text_of(one, "key"), 64));
    own = relay_auth_new(text_of(one, "relay"), secret);
    ck_assert(relay_auth_challenge(own, json_string_value(text), json_string_length(text)));
    got = answer(own, json_integer_value(json_object_get(want, "created_at")));
    ck_assert_msg(got != NULL, "%s", text_of(one, "name"));
    ck_assert_str_ne(text_of(got, "sig"), text_of(want, "sig"));
    (void)json_object_del(got, "sig");
    (void)json_object_del(want, "sig");
    ck_assert_msg(json_equal(got, want), "%s", text_of(one, "name"));
    json_decref(got);
    relay_auth_free(&own);
}

START_TEST(answers_as_nostr_tools_does)
{
    FILE *file = fopen(ANSWERS, "r");
    json_t *one;
    size_t n = 0;

    ck_assert_ptr_nonnull(file);
    while ((one = json_loadf(file, LOAD_FLAGS | JSON_DISABLE_EOF_CHECK, NULL)) != NULL) {
        compare(one);
        json_decref(one);
        n++;
    }
    ck_assert_uint_eq(n, CASES);
    (void)fclose(file);
}
END_TEST

START_TEST(an_answer_is_due_once)
{
    json_t *event;

    ck_assert(!relay_auth_is_due(auth));
    ck_assert_uint_eq(relay_auth_next_frame(auth, NOW, frame), 0);
    ck_assert(challenge("one"));
    ck_assert(relay_auth_is_due(auth));
    event = answer(auth, NOW);
    ck_assert(is_answer_to(event, "one"));
    ck_assert(!relay_auth_is_due(auth));
    ck_assert_ptr_null(answer(auth, NOW));
    json_decref(event);
}
END_TEST

START_TEST(the_last_challenge_counts)
{
    json_t *event;

    ck_assert(challenge("one") && challenge("two"));
    event = answer(auth, NOW);
    ck_assert(is_answer_to(event, "two"));
    json_decref(event);
    ck_assert(challenge("one"));
    event = answer(auth, NOW);
    ck_assert(is_answer_to(event, "one"));
    json_decref(event);
}
END_TEST

/* Like a relay that sends its challenge along with every refusal. */
START_TEST(a_challenge_repeated_at_once_is_not_answered_again)
{
    json_t *event;

    ck_assert(challenge("one"));
    json_decref(answer(auth, NOW));
    ck_assert(challenge("one"));
    ck_assert_ptr_null(answer(auth, NOW + RELAY_AUTH_REPEAT_S - 1));
    ck_assert(!relay_auth_is_due(auth));
    ck_assert(challenge("one"));
    event = answer(auth, NOW + RELAY_AUTH_REPEAT_S);
    ck_assert(is_answer_to(event, "one"));
    json_decref(event);
    /* The clock was set back. */
    ck_assert(challenge("one"));
    event = answer(auth, NOW - RELAY_AUTH_REPEAT_S);
    ck_assert_ptr_nonnull(event);
    json_decref(event);
}
END_TEST

START_TEST(knows_what_is_about_its_answer)
{
    json_t *first, *second;
    const char *id;

    ck_assert(!relay_auth_is_mine(auth, "", 0));
    ck_assert(challenge("one"));
    first = answer(auth, NOW);
    id = text_of(first, "id");
    ck_assert(relay_auth_is_mine(auth, id, 64));
    ck_assert(!relay_auth_is_mine(auth, id, 63));
    ck_assert(!relay_auth_is_mine(auth, "", 0));
    ck_assert(challenge("two"));
    ck_assert(relay_auth_is_mine(auth, id, 64));
    second = answer(auth, NOW);
    ck_assert(!relay_auth_is_mine(auth, id, 64));
    ck_assert(relay_auth_is_mine(auth, text_of(second, "id"), 64));
    relay_auth_begin(auth);
    ck_assert(!relay_auth_is_mine(auth, text_of(second, "id"), 64));
    json_decref(first);
    json_decref(second);
}
END_TEST

/* ---- Hostile challenges ---------------------------------------------------------------------- */

START_TEST(refuses_what_cannot_be_answered)
{
    static const struct {
        const char *text;
        size_t len;
    } bad[] = {
        {"", 0},         {"\xff", 1},
        {"a\xc3", 2},    {"\xed\xa0\x80", 3},
        {"\xc0\x80", 2}, {"\xf4\x90\x80\x80", 4},
    };

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert(!relay_auth_challenge(auth, bad[i].text, bad[i].len));
    ck_assert(!relay_auth_is_due(auth));
    /* An earlier challenge stays. */
    ck_assert(challenge("one"));
    ck_assert(!relay_auth_challenge(auth, "\xff", 1));
    ck_assert(relay_auth_is_due(auth));
}
END_TEST

START_TEST(bounds_the_challenge)
{
    char text[RELAY_AUTH_MAX_CHALLENGE + 1];
    json_t *event;

    memset(text, 'x', sizeof text);
    ck_assert(!relay_auth_challenge(auth, text, sizeof text));
    ck_assert(relay_auth_challenge(auth, text, sizeof text - 1));
    event = answer(auth, NOW);
    ck_assert_ptr_nonnull(event);
    json_decref(event);
}
END_TEST

/* Every number at its longest, and every byte of the challenge an escape of six. */
START_TEST(the_longest_answer_fits)
{
    char url[RELAY_AUTH_MAX_URL + 1], text[RELAY_AUTH_MAX_CHALLENGE];
    struct relay_auth *own;
    json_t *event;

    memset(url, 'x', sizeof url - 1);
    url[sizeof url - 1] = '\0';
    memset(text, 0, sizeof text);
    own = relay_auth_new(url, NULL);
    ck_assert(relay_auth_challenge(own, text, sizeof text));
    event = answer(own, EVENT_MAX_CREATED_AT);
    ck_assert_ptr_nonnull(event);
    json_decref(event);
    relay_auth_free(&own);
}
END_TEST

START_TEST(a_flood_of_challenges_ends)
{
    char text[16];

    for (int i = 0; i < RELAY_AUTH_MAX_ANSWERS; i++) {
        (void)snprintf(text, sizeof text, "%d", i);
        ck_assert(challenge(text));
        ck_assert_uint_gt(relay_auth_next_frame(auth, NOW, frame), 0);
    }
    ck_assert(!challenge("one more"));
    ck_assert(!relay_auth_is_due(auth));
    relay_auth_begin(auth);
    ck_assert(challenge("one more"));
}
END_TEST

/* ---- Keys ------------------------------------------------------------------------------------ */

/* The pubkey that it authenticates with on a new connection. */
static char *pubkey_of(struct relay_auth *from)
{
    json_t *event;
    char *pubkey;

    relay_auth_begin(from);
    ck_assert(relay_auth_challenge(from, "x", 1));
    event = answer(from, NOW);
    pubkey = strdup(text_of(event, "pubkey"));
    json_decref(event);
    return pubkey;
}

START_TEST(a_configured_key_stays)
{
    char *first = pubkey_of(auth), *second = pubkey_of(auth);

    ck_assert_str_eq(first, second);
    /* Of three times the generator (BIP-340's test vector 0). */
    ck_assert_str_eq(first, "f9308a019258c31049344f85f89d5229b531c845836f99b08601f113bce036f9");
    free(first);
    free(second);
}
END_TEST

START_TEST(without_one_each_connection_has_its_own)
{
    struct relay_auth *own = relay_auth_new(URL, NULL);
    char *first = pubkey_of(own), *second = pubkey_of(own);

    ck_assert_str_ne(first, second);
    free(first);
    free(second);
    relay_auth_free(&own);
}
END_TEST

START_TEST(a_new_connection_forgets_the_challenge)
{
    ck_assert(challenge("one"));
    relay_auth_begin(auth);
    ck_assert(!relay_auth_is_due(auth));
    ck_assert_ptr_null(answer(auth, NOW));
    ck_assert(challenge("one"));
    json_decref(answer(auth, NOW));
    relay_auth_begin(auth);
    ck_assert(challenge("one"));
    ck_assert_uint_gt(relay_auth_next_frame(auth, NOW, frame), 0);
}
END_TEST

START_TEST(knows_a_key)
{
    static const struct {
        const char *hex;
        bool good;
    } cases[] = {
        {"0000000000000000000000000000000000000000000000000000000000000000", false},
        {"0000000000000000000000000000000000000000000000000000000000000001", true},
        /* The order of the group, and one less. */
        {"fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141", false},
        {"fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364140", true},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t bytes[RELAY_AUTH_KEY_SIZE];
        struct relay_auth *own;

        ck_assert(hex_decode(bytes, sizeof bytes, cases[i].hex, 64));
        ck_assert(relay_auth_is_key(bytes) == cases[i].good);
        own = relay_auth_new(URL, bytes);
        ck_assert((own != NULL) == cases[i].good);
        relay_auth_free(&own);
    }
}
END_TEST

UNIT_MAIN_WITH("relay_auth", set_up, tear_down, answers_as_nostr_tools_does, an_answer_is_due_once,
               the_last_challenge_counts, a_challenge_repeated_at_once_is_not_answered_again,
               knows_what_is_about_its_answer, refuses_what_cannot_be_answered,
               bounds_the_challenge, the_longest_answer_fits, a_flood_of_challenges_ends,
               a_configured_key_stays, without_one_each_connection_has_its_own,
               a_new_connection_forgets_the_challenge, knows_a_key)
