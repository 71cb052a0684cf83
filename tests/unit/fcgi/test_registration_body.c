#include "unit.h"

#include <jansson.h>
#include <stdio.h>

#include "base/hex.h"
#include "device/token_crypto.h"
#include "registration_body.h"
#include "response.h"
#include "whitelist.h"

#define PUBKEY  "00a1b2c3d4e5f60718293a4b5c6d7e8f00a1b2c3d4e5f60718293a4b5c6d7e8f"
#define TRUSTED "11a1b2c3d4e5f60718293a4b5c6d7e8f00a1b2c3d4e5f60718293a4b5c6d7e8f"
#define UPPER   "11A1B2C3D4E5F60718293A4B5C6D7E8F00A1B2C3D4E5F60718293A4B5C6D7E8F"
#define KEY     "\"trade_pubkey\":\"" PUBKEY "\""
#define POINT \
    "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
#define SECRET "BTBZMqHH6r4Tts7J_aSIgg"
#define BTOA_POINT \
    "BCVxsr7N/eNgVRqvHtD0zTZsEc6+VV+JvLexhqUzORcxaOzi6+AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4="
#define BTOA_SECRET "BTBZMqHH6r4Tts7J/aSIgg=="
#define ENDPOINT    "\"token\":\"https://push.example.org/x\""

static struct registration registration;

/* The status of the answer, 0 if the body was taken; *message is the answer's body. */
static int check_body(const char *text, const struct registration_rules *rules, char **message)
{
    struct response response = {0};
    struct trade_pubkey key;
    char *copy = strdup(text);
    int status;

    memset(&registration, 0, sizeof registration);
    if (registration_body_check(copy, strlen(copy), rules, &key, &registration, &response))
        ck_assert_str_eq(key.hex, PUBKEY);
    status = response.status;
    *message = response.owned;
    free(copy);
    return status;
}

static void assert_taken(const char *text, const struct registration_rules *rules)
{
    char *message;

    ck_assert_msg(check_body(text, rules, &message) == 0, "%s: %s", text, message);
}

static void assert_refused(const char *text, const struct registration_rules *rules, int status,
                           const char *expected)
{
    char *message, body[512];

    (void)snprintf(body, sizeof body, "{\"success\":false,\"message\":\"%s\"}", expected);
    ck_assert_msg(check_body(text, rules, &message) == status, "%s", text);
    ck_assert_str_eq(message, body);
    ck_assert_str_eq(registration.token, "");
    free(message);
}

static const struct registration_rules plain = {.crypto = NULL};

START_TEST(good_bodies)
{
    assert_taken("{" KEY ",\"token\":\"t\",\"platform\":\"iOS\",\"unknown\":[1]}", &plain);
    ck_assert_str_eq(registration.token, "t");
    ck_assert_int_eq(registration.platform, PLATFORM_IOS);
    assert_taken("{" KEY "," ENDPOINT ",\"platform\":\"ANDROID\",\"p256dh\":\"" POINT
                 "\",\"auth\":\"" SECRET "\"}",
                 &plain);
    ck_assert_str_eq(registration.p256dh, POINT);
    ck_assert_str_eq(registration.auth, SECRET);
    /* Both are kept in one form. */
    assert_taken("{" KEY "," ENDPOINT ",\"platform\":\"android\",\"p256dh\":\"" BTOA_POINT
                 "\",\"auth\":\"" BTOA_SECRET "\"}",
                 &plain);
    ck_assert_str_eq(registration.p256dh, POINT);
    ck_assert_str_eq(registration.auth, SECRET);
    assert_taken("{" KEY "," ENDPOINT ",\"platform\":\"android\",\"p256dh\":\"" POINT
                 "=\",\"auth\":\"" SECRET "==\"}",
                 &plain);
    ck_assert_str_eq(registration.p256dh, POINT);
    assert_taken("{" KEY "," ENDPOINT ",\"platform\":\"android\",\"p256dh\":null,\"auth\":null,"
                 "\"encrypted_token\":null,\"mostro_pubkey\":\"nonsense\"}",
                 &plain);
    ck_assert_str_eq(registration.p256dh, "");
}
END_TEST

/* Also numbers that no parser could hold. */
START_TEST(unknown_members_do_not_matter)
{
    static const char *const values[] = {"1e400", "123456789012345678901234567890", "-1E-999",
                                         "\"\\ud800\"", "{\"\\udc00\":[[[[{}]]]]}"};
    char body[512];

    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        (void)snprintf(body, sizeof body,
                       "{\"x\":%s," KEY ",\"token\":\"t\",\"platform\":\"ios\",\"y\":%s}",
                       values[i], values[i]);
        assert_taken(body, &plain);
        ck_assert_str_eq(registration.token, "t");
    }
}
END_TEST

/* Whether the whitelist has asked for it or not. */
START_TEST(the_node_is_kept_where_it_is_named)
{
    static const char *const none[] = {
        "null", "\"\"", "\"nonsense\"", "\"" PUBKEY "0\"", "\"" PUBKEY " \"",
    };
    char body[512];

#define HAS_TOKEN KEY ",\"token\":\"t\",\"platform\":\"ios\""
    assert_taken("{" HAS_TOKEN ",\"mostro_pubkey\":\"" UPPER "\"}", &plain);
    ck_assert_str_eq(registration.mostro_pubkey, TRUSTED);
    assert_taken("{" HAS_TOKEN "}", &plain);
    ck_assert_str_eq(registration.mostro_pubkey, "");
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        (void)snprintf(body, sizeof body, "{" HAS_TOKEN ",\"mostro_pubkey\":%s}", none[i]);
        assert_taken(body, &plain);
        ck_assert_str_eq(registration.mostro_pubkey, "");
    }
}
END_TEST

START_TEST(an_empty_member_is_as_good_as_none)
{
    assert_taken("{" KEY "," ENDPOINT ",\"platform\":\"android\",\"p256dh\":\"\",\"auth\":\"\","
                 "\"encrypted_token\":\"\",\"mostro_pubkey\":\"\"}",
                 &plain);
    ck_assert_str_eq(registration.p256dh, "");
    ck_assert_str_eq(registration.auth, "");
    assert_taken("{" KEY ",\"token\":\"t\",\"platform\":\"ios\",\"p256dh\":\"\",\"auth\":null}",
                 &plain);
    /* An empty one counts as absent. */
    assert_refused("{" KEY ",\"token\":\"\",\"encrypted_token\":\"x\"}", &plain, 400,
                   "Failed to decrypt token");
    assert_refused("{" KEY ",\"token\":\"\",\"encrypted_token\":\"\"}", &plain, 400,
                   "Token cannot be empty");
}
END_TEST

START_TEST(rows_from_the_top)
{
    static const struct {
        const char *body, *message;
    } rows[] = {
        {"", "Invalid JSON body"},
        {"[]", "Invalid JSON body"},
        {"{" KEY ",\"x\":{\"y\":1,\"y\":1}}", "Invalid JSON body"},
        {"{" KEY "," KEY "}", "Invalid JSON body"},
        {"{\"trade_pubkey\":1}", "Invalid JSON body"},
        {"{" KEY ",\"token\":1}", "Invalid JSON body"},
        {"{" KEY ",\"token\":\"t\",\"encrypted_token\":\"t\"}", "Invalid JSON body"},
        {"{" KEY ",\"token\":\"t\",\"platform\":\"ios\",\"mostro_pubkey\":{}}",
         "Invalid JSON body"},
        {"{}", "Invalid trade_pubkey format (expected 64 hex characters)"},
        {"{\"trade_pubkey\":\"x\",\"token\":\"\"}",
         "Invalid trade_pubkey format (expected 64 hex characters)"},
        {"{" KEY ",\"platform\":\"x\"}", "Token cannot be empty"},
        {"{" KEY ",\"token\":null,\"platform\":\"ios\"}", "Token cannot be empty"},
        {"{" KEY ",\"token\":\"http://x\",\"platform\":\"x\"}",
         "Invalid platform 'x' (expected 'android' or 'ios')"},
        {"{" KEY ",\"token\":\"t\"}", "Invalid platform '' (expected 'android' or 'ios')"},
        {"{" KEY ",\"token\":\"http://x\",\"platform\":\"android\",\"auth\":\"x\"}",
         "Invalid UnifiedPush endpoint URL"},
        {"{" KEY "," ENDPOINT ",\"platform\":\"ios\"}", "Invalid UnifiedPush endpoint URL"},
        {"{" KEY "," ENDPOINT ",\"platform\":\"android\",\"auth\":\"" SECRET "\"}",
         "Invalid Web Push keys"},
        {"{" KEY "," ENDPOINT ",\"platform\":\"android\",\"p256dh\":\"" POINT "\"}",
         "Invalid Web Push keys"},
        {"{" KEY "," ENDPOINT ",\"platform\":\"android\",\"p256dh\":\"" POINT "\",\"auth\":\"\"}",
         "Invalid Web Push keys"},
        {"{" KEY ",\"token\":\"t\",\"platform\":\"android\",\"p256dh\":\"" POINT
         "\",\"auth\":\"" SECRET "\"}",
         "Invalid Web Push keys"},
        {"{" KEY ",\"encrypted_token\":\"x\"}", "Failed to decrypt token"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_refused(rows[i].body, &plain, 400, rows[i].message);
}
END_TEST

START_TEST(a_token_has_a_greatest_length)
{
    static char body[DEVICE_TOKEN_MAX + 256];

    (void)sprintf(body, "{" KEY ",\"platform\":\"ios\",\"token\":\"%0*d\"}", DEVICE_TOKEN_MAX, 1);
    assert_taken(body, &plain);
    ck_assert_uint_eq(strlen(registration.token), DEVICE_TOKEN_MAX);
    (void)sprintf(body, "{" KEY ",\"platform\":\"ios\",\"token\":\"%0*d\"}", DEVICE_TOKEN_MAX + 1,
                  1);
    assert_refused(body, &plain, 400, "Token too long (maximum 4096 bytes)");
}
END_TEST

START_TEST(the_whitelist_once_active)
{
    struct whitelist *whitelist = whitelist_parse("[\"" UPPER "\"]", 68, stderr);
    const struct registration_rules rules = {.whitelist = whitelist};

#define GOOD KEY ",\"token\":\"t\",\"platform\":\"ios\""
    ck_assert_ptr_nonnull(whitelist);
    assert_taken("{" GOOD ",\"mostro_pubkey\":\"" TRUSTED "\"}", &rules);
    assert_taken("{" GOOD ",\"mostro_pubkey\":\"" UPPER "\"}", &rules);
    ck_assert_str_eq(registration.mostro_pubkey, TRUSTED);
    assert_refused("{" GOOD "}", &rules, 403, "Mostro instance pubkey required");
    assert_refused("{" GOOD ",\"mostro_pubkey\":null}", &rules, 403,
                   "Mostro instance pubkey required");
    assert_refused("{" GOOD ",\"mostro_pubkey\":\"\"}", &rules, 403,
                   "Mostro instance pubkey required");
    assert_refused("{" GOOD ",\"mostro_pubkey\":\"x\"}", &rules, 400,
                   "Invalid mostro_pubkey format (expected 64 hex characters)");
    assert_refused("{" GOOD ",\"mostro_pubkey\":\"" PUBKEY "\"}", &rules, 403,
                   "Mostro instance not trusted");
    /* A token in the clear is looked at before the whitelist, an encrypted one after it. */
    assert_refused("{" KEY ",\"token\":\"\"}", &rules, 400, "Token cannot be empty");
    assert_refused("{" KEY ",\"encrypted_token\":\"x\"}", &rules, 403,
                   "Mostro instance pubkey required");
    whitelist_free(&whitelist);
}
END_TEST

START_TEST(whitelists_are_strict)
{
    static const char *const bad[] = {
        "", "{}", "[1]", "[\"x\"]", "[\"" PUBKEY "\",]", "[\"" PUBKEY "\"] x"};
    struct whitelist *whitelist;
    FILE *errors = tmpfile();

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_msg(whitelist_parse(bad[i], strlen(bad[i]), errors) == NULL, "%s", bad[i]);
    whitelist = whitelist_parse("[]", 2, errors);
    ck_assert_uint_eq(whitelist_count(whitelist), 0);
    whitelist_free(&whitelist);
    (void)fclose(errors);
}
END_TEST

START_TEST(five_instances_are_built_in)
{
    static const char *const pubkeys[] = {
        "00000235a3e904cfe1213a8a54d6f1ec1bef7cc6bfaabd6193e82931ccf1366a",
        "0000cc02101ec29eea9ce623258752b9d7da66c27845ed26846dd0b0fc736b40",
        "00000978acc594c506976c655b6decbf2d4af25ffdaa6680f2a9568b0a88441b",
        "00007cb3305fb972f5cc83f83a8fbca1e64e93c9d1369880a9fd62ef95d23f91",
        "82fa8cb978b43c79b2156585bac2c011176a21d2aead6d9f7c575c005be88390",
    };
    struct whitelist *whitelist = whitelist_read(NULL, stderr);

    ck_assert_ptr_nonnull(whitelist);
    for (size_t i = 0; i < sizeof pubkeys / sizeof pubkeys[0]; i++)
        ck_assert(whitelist_has(whitelist, pubkeys[i]));
    ck_assert(!whitelist_has(whitelist, PUBKEY));
    whitelist_free(&whitelist);
}
END_TEST

/* One of the vectors of test_token_crypto; its token is in the clear inside. */
START_TEST(an_encrypted_token_is_opened)
{
    json_t *vectors = json_load_file(TEST_DATA_DIR "/encrypted_tokens.json", 0, NULL);
    const json_t *vector = json_array_get(vectors, 1);
    struct registration_rules rules = plain;
    struct token_crypto *crypto;
    char body[1024];
    uint8_t key[32];

    ck_assert_ptr_nonnull(vector);
    ck_assert(
        hex_decode(key, 32, json_string_value(json_object_get(vector, "server_private_key")), 64));
    rules.crypto = crypto = token_crypto_new(key);
    (void)snprintf(body, sizeof body,
                   "{" KEY ",\"platform\":\"android\",\"encrypted_token\":\"%s\"}",
                   json_string_value(json_object_get(vector, "encrypted_token")));
    assert_taken(body, &rules);
    ck_assert_str_eq(registration.token, json_string_value(json_object_get(vector, "token")));
    ck_assert_int_eq(registration.platform, PLATFORM_IOS);
    assert_refused("{" KEY ",\"encrypted_token\":\"!\"}", &rules, 400,
                   "Invalid base64 encoding in encrypted_token");
    assert_refused("{" KEY ",\"encrypted_token\":\"QUJD\"}", &rules, 400,
                   "Invalid encrypted token size (expected 281 bytes, got 3)");
    token_crypto_free(&crypto);
    json_decref(vectors);
}
END_TEST

UNIT_MAIN("registration_body", good_bodies, the_node_is_kept_where_it_is_named,
          unknown_members_do_not_matter, an_empty_member_is_as_good_as_none, rows_from_the_top,
          a_token_has_a_greatest_length, the_whitelist_once_active, whitelists_are_strict,
          five_instances_are_built_in, an_encrypted_token_is_opened)
