#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "base/hex.h"
#include "nostr/event.h"
#include "unit.h"

/* events.jsonl: one case a line, {name, trade_pubkey, event}, the events made and signed by
 * nostr-tools (tests/interop/make-events.cjs). trade_pubkey is null where the event is sound but
 * addressed to nobody. */
#define CORPUS TEST_DATA_DIR "/events.jsonl"
#define CASES  384

#define LOAD_FLAGS (JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL)

static struct event_verifier *verifier;

static void set_up(void)
{
    verifier = event_verifier_new();
    ck_assert_ptr_nonnull(verifier);
}

static void tear_down(void)
{
    event_verifier_free(&verifier);
    ck_assert_ptr_null(verifier);
    event_verifier_free(&verifier);
}

static enum event_result check(const json_t *json, struct event *event)
{
    enum event_result result = event_read(event, json);

    return result == EVENT_OK ? event_verify(verifier, event) : result;
}

/* Calls `use` with each case, and returns how many there were. */
static size_t for_each_case(void (*use)(const char *name, json_t *one))
{
    FILE *file = fopen(CORPUS, "r");
    char *line = NULL;
    size_t size = 0, n = 0;
    ssize_t len;

    ck_assert_ptr_nonnull(file);
    while ((len = getline(&line, &size, file)) > 0) {
        json_t *one = json_loadb(line, (size_t)len, LOAD_FLAGS, NULL);

        ck_assert_ptr_nonnull(one);
        use(json_string_value(json_object_get(one, "name")), one);
        json_decref(one);
        n++;
    }
    free(line);
    (void)fclose(file);
    return n;
}

static void accept_case(const char *name, json_t *one)
{
    const char *want = json_string_value(json_object_get(one, "trade_pubkey"));
    struct event event;
    enum event_result result = check(json_object_get(one, "event"), &event);

    ck_assert_msg(result == (want == NULL ? EVENT_UNADDRESSED : EVENT_OK), "%s: %d", name, result);
    if (want != NULL)
        ck_assert_msg(strcmp(event.trade_pubkey.hex, want) == 0, "%s: wrong address", name);
}

START_TEST(agrees_with_nostr_tools)
{
    ck_assert_uint_eq(for_each_case(accept_case), CASES);
}
END_TEST

/* Changing any bit of what is signed makes the event invalid. */
static void spoil_case(const char *name, json_t *one)
{
    struct event event, other;

    ck_assert_int_eq(event_read(&event, json_object_get(one, "event")), EVENT_OK);
    for (size_t i = 0; i < EVENT_SIGNATURE_SIZE; i += 3) {
        other = event;
        other.signature[i] ^= 0x40;
        ck_assert_msg(event_verify(verifier, &other) == EVENT_WRONG_SIGNATURE, "%s", name);
    }
    other = event;
    other.id[31] ^= 1;
    ck_assert_msg(event_verify(verifier, &other) == EVENT_WRONG_ID, "%s", name);
    other = event;
    other.created_at++;
    ck_assert_msg(event_verify(verifier, &other) == EVENT_WRONG_ID, "%s", name);
    other = event;
    other.kind ^= 1;
    ck_assert_msg(event_verify(verifier, &other) == EVENT_WRONG_ID, "%s", name);
    if (event.content_len > 0) {
        other = event;
        other.content_len--;
        ck_assert_msg(event_verify(verifier, &other) == EVENT_WRONG_ID, "%s", name);
    }
}

START_TEST(notices_any_change)
{
    ck_assert_uint_eq(for_each_case(spoil_case), CASES);
}
END_TEST

/* An event of ASCII without anything to escape, with its right id and any author and signature. */
static json_t *make_event(const char *pubkey, const char *tags)
{
    static const char signature[] = "00000000000000000000000000000000"
                                    "00000000000000000000000000000000"
                                    "00000000000000000000000000000000"
                                    "00000000000000000000000000000000";
    char canonical[1024], text[2048], hex[65];
    uint8_t id[32];
    json_t *json;

    (void)snprintf(canonical, sizeof canonical, "[0,\"%s\",1785600000,1059,%s,\"x\"]", pubkey,
                   tags);
    ck_assert_int_eq(EVP_Digest(canonical, strlen(canonical), id, NULL, EVP_sha256(), NULL), 1);
    hex_encode(hex, id, sizeof id);
    (void)snprintf(text, sizeof text,
                   "{\"id\":\"%s\",\"pubkey\":\"%s\",\"sig\":\"%s\",\"created_at\":1785600000,"
                   "\"kind\":1059,\"content\":\"x\",\"tags\":%s}",
                   hex, pubkey, signature, tags);
    json = json_loads(text, LOAD_FLAGS, NULL);
    ck_assert_ptr_nonnull(json);
    return json;
}

/* The author of BIP-340's test vector 5 is not on the curve; that of vector 14 exceeds the field.
 */
START_TEST(refuses_an_author_that_is_no_public_key)
{
    static const char *const authors[] = {
        "eefdea4cdb677750a420fee807eacf21eb9898ae79b9768766e4faa04a2d4a34",
        "fffffffffffffffffffffffffffffffffffffffffffffffffffffffefffffc30",
        "0000000000000000000000000000000000000000000000000000000000000000",
    };

    for (size_t i = 0; i < sizeof authors / sizeof *authors; i++) {
        json_t *json = make_event(authors[i], "[]");
        struct event event;

        ck_assert_int_eq(check(json, &event), EVENT_WRONG_SIGNATURE);
        json_decref(json);
    }
}
END_TEST

#define AUTHOR "d69c3509bb99e412e68b0fe8544e72837dfa30746d8be2aa65975f29d22dc7b9"

static bool address_of(const char *tags, struct event *event)
{
    json_t *json = make_event(AUTHOR, tags);
    bool addressed;

    ck_assert_int_eq(event_read(event, json), EVENT_OK);
    addressed = event->addressed;
    json_decref(json);
    return addressed;
}

START_TEST(is_addressed_by_the_first_p_tag_that_has_a_value)
{
    struct event event;

    ck_assert(address_of("[[\"e\",\"x\"],[\"p\",\"" AUTHOR "\"],[\"p\",\"y\"]]", &event));
    ck_assert_str_eq(event.trade_pubkey.hex, AUTHOR);
    ck_assert(!address_of("[]", &event));
    ck_assert(!address_of("[[\"P\",\"" AUTHOR "\"]]", &event));
    ck_assert(address_of("[[\"p\"],[\"p\",\"" AUTHOR "\"]]", &event));
    ck_assert(address_of("[[\"p\",\"\"],[\"p\",\"" AUTHOR "\"],[\"p\",\"y\"]]", &event));
    ck_assert_str_eq(event.trade_pubkey.hex, AUTHOR);
    ck_assert(!address_of("[[\"p\"],[\"p\",\"\"]]", &event));
    ck_assert(!address_of("[[\"p\",\"y\"],[\"p\",\"" AUTHOR "\"]]", &event));
    ck_assert(!address_of("[[\"p\",\"" AUTHOR "0\"]]", &event));
    ck_assert(!address_of("[[\"p\\u0000\",\"" AUTHOR "\"]]", &event));
    ck_assert(!address_of("[[\"p\",\"" AUTHOR "\\u0000\"]]", &event));
}
END_TEST

START_TEST(an_empty_tag_says_nothing)
{
    struct event event;

    ck_assert(address_of("[[],[\"p\",\"" AUTHOR "\"],[]]", &event));
    ck_assert(!address_of("[[]]", &event));
}
END_TEST

static int64_t expiry_of(const char *tags)
{
    struct event event;

    (void)address_of(tags, &event);
    return event.expires_at;
}

START_TEST(expires_as_its_tag_says)
{
    static const char *const none[] = {
        "[]",
        "[[\"expiration\"]]",
        "[[\"expiration\",\"\"]]",
        "[[\"expiration\",\"-1\"]]",
        "[[\"expiration\",\"1785600000.5\"]]",
        "[[\"expiration\",\" 1785600000\"]]",
        "[[\"expiration\",\"1785600000\\u0000\"]]",
        "[[\"expiration\",\"0x1\"]]",
        "[[\"expiration\",\"soon\"]]",
        "[[\"expiration\",\"1000000000000000000\"]]", /* 19 digits */
        "[[\"expiration\",\"99999999999999999999999\"]]",
        "[[\"Expiration\",\"1785600000\"]]",
        "[[\"expirations\",\"1785600000\"]]",
        "[[\"e\",\"1785600000\"]]",
    };

    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        ck_assert_msg(expiry_of(none[i]) == EVENT_NEVER, "%s", none[i]);
    ck_assert_int_eq(expiry_of("[[\"expiration\",\"0\"]]"), 0);
    ck_assert_int_eq(expiry_of("[[\"expiration\",\"1785600000\",\"x\"]]"), 1785600000);
    ck_assert_int_eq(expiry_of("[[\"expiration\",\"999999999999999999\"]]"), 999999999999999999);
    /* An unreadable one counts as absent; of the others the first counts. */
    ck_assert_int_eq(expiry_of("[[\"expiration\",\"x\"],[\"expiration\",\"7\"],"
                               "[\"expiration\",\"5\"]]"),
                     7);
}
END_TEST

START_TEST(has_expired_from_that_second_on)
{
    struct event event = {.expires_at = 1785600000};

    ck_assert(!event_has_expired(&event, 1785599999));
    ck_assert(event_has_expired(&event, 1785600000));
    event.expires_at = EVENT_NEVER;
    ck_assert(!event_has_expired(&event, 1785600000));
}
END_TEST

/* Applies one change to a sound event and checks that its form is refused. */
static void assert_malformed_with(const char *field, const char *value)
{
    json_t *json = make_event(AUTHOR, "[]");
    struct event event;

    if (value == NULL) {
        json_object_del(json, field);
    } else {
        json_t *new = json_loads(value, LOAD_FLAGS | JSON_DECODE_ANY, NULL);

        ck_assert_msg(new != NULL, "%s", value);
        json_object_set_new(json, field, new);
    }
    ck_assert_msg(event_read(&event, json) == EVENT_MALFORMED, "%s = %s was taken", field,
                  value == NULL ? "(absent)" : value);
    json_decref(json);
}

#define HEX64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

START_TEST(refuses_what_is_not_of_the_form)
{
    static const char *const fields[] = {"id",   "pubkey", "sig",    "created_at",
                                         "kind", "tags",   "content"};
    static const char *const bad_for_all[] = {"null", "true", "{}", "1.5"};

    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        assert_malformed_with(fields[i], NULL);
        for (size_t j = 0; j < sizeof bad_for_all / sizeof *bad_for_all; j++)
            assert_malformed_with(fields[i], bad_for_all[j]);
    }
    assert_malformed_with("id", "\"\"");
    assert_malformed_with("id", "\"" HEX64 "0\"");
    assert_malformed_with("id",
                          "\"0123456789abcdeF0123456789abcdef0123456789abcdef0123456789abcdef\"");
    assert_malformed_with("id",
                          "\"0123456789abcdeg0123456789abcdef0123456789abcdef0123456789abcdef\"");
    assert_malformed_with("pubkey",
                          "\"A123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"");
    assert_malformed_with("pubkey", "\"" HEX64 HEX64 "\"");
    assert_malformed_with("sig", "\"" HEX64 "\"");
    assert_malformed_with("sig", "\"" HEX64 HEX64 "00\"");
    assert_malformed_with("created_at", "-1");
    assert_malformed_with("created_at", "9007199254740992");
    assert_malformed_with("created_at", "1785600000.0");
    assert_malformed_with("created_at", "1785600000e0");
    assert_malformed_with("created_at", "\"1785600000\"");
    assert_malformed_with("kind", "-1");
    assert_malformed_with("kind", "65536");
    assert_malformed_with("content", "5");
    assert_malformed_with("tags", "\"\"");
    assert_malformed_with("tags", "[\"p\"]");
    assert_malformed_with("tags", "[[[]]]");
    assert_malformed_with("tags", "[[\"p\",5]]");
    assert_malformed_with("tags", "[[\"p\",null]]");
    assert_malformed_with("tags", "[[\"p\"],[[\"p\"]]]");
    assert_malformed_with("tags", "[{\"p\":\"x\"}]");
}
END_TEST

START_TEST(refuses_what_is_no_object)
{
    struct event event;
    json_t *array = json_array();

    ck_assert_int_eq(event_read(&event, NULL), EVENT_MALFORMED);
    ck_assert_int_eq(event_read(&event, array), EVENT_MALFORMED);
    json_decref(array);
}
END_TEST

START_TEST(bounds_the_number_of_tags)
{
    json_t *json = make_event(AUTHOR, "[]");
    json_t *tags = json_object_get(json, "tags");
    struct event event;

    while (json_array_size(tags) < EVENT_MAX_TAGS)
        json_array_append_new(tags, json_pack("[s]", "t"));
    ck_assert_int_eq(event_read(&event, json), EVENT_OK);
    json_array_append_new(tags, json_pack("[s]", "t"));
    ck_assert_int_eq(event_read(&event, json), EVENT_MALFORMED);
    json_decref(json);
}
END_TEST

/* A relay may send a frame of half that; this test does not depend on it. */
START_TEST(hashes_a_content_of_1_mb)
{
    static const char before[] = "[0,\"" AUTHOR "\",1785600000,1059,[],\"", after[] = "\"]";
    const size_t size = 1 << 20;
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    json_t *json = make_event(AUTHOR, "[]");
    struct event event;
    char *content = malloc(size);

    memset(content, 'x', size);
    json_object_set_new(json, "content", json_stringn(content, size));
    ck_assert_int_eq(check(json, &event), EVENT_WRONG_ID);
    ck_assert_int_eq(EVP_DigestInit_ex(digest, EVP_sha256(), NULL), 1);
    ck_assert_int_eq(EVP_DigestUpdate(digest, before, sizeof before - 1), 1);
    ck_assert_int_eq(EVP_DigestUpdate(digest, content, size), 1);
    ck_assert_int_eq(EVP_DigestUpdate(digest, after, sizeof after - 1), 1);
    ck_assert_int_eq(EVP_DigestFinal_ex(digest, event.id, NULL), 1);
    ck_assert_int_eq(event_verify(verifier, &event), EVENT_WRONG_SIGNATURE);
    EVP_MD_CTX_free(digest);
    json_decref(json);
    free(content);
}
END_TEST

START_TEST(ignores_fields_it_does_not_know)
{
    json_t *json = make_event(AUTHOR, "[]");
    struct event event;

    json_object_set_new(json, "seen_on", json_pack("[s]", "x"));
    ck_assert_int_eq(event_read(&event, json), EVENT_OK);
    json_decref(json);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("event");
    TCase *tcase = tcase_create("event");

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, agrees_with_nostr_tools);
    tcase_add_test(tcase, notices_any_change);
    tcase_add_test(tcase, refuses_an_author_that_is_no_public_key);
    tcase_add_test(tcase, is_addressed_by_the_first_p_tag_that_has_a_value);
    tcase_add_test(tcase, an_empty_tag_says_nothing);
    tcase_add_test(tcase, expires_as_its_tag_says);
    tcase_add_test(tcase, has_expired_from_that_second_on);
    tcase_add_test(tcase, refuses_what_is_not_of_the_form);
    tcase_add_test(tcase, refuses_what_is_no_object);
    tcase_add_test(tcase, bounds_the_number_of_tags);
    tcase_add_test(tcase, hashes_a_content_of_1_mb);
    tcase_add_test(tcase, ignores_fields_it_does_not_know);
    suite_add_tcase(suite, tcase);
    return unit_run(suite);
}
