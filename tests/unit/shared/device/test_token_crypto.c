#include "unit.h"

#include <jansson.h>
#include <stdio.h>

#include "base/hex.h"
#include "device/token_crypto.h"

static const char *member(const json_t *vector, const char *name)
{
    return json_string_value(json_object_get(vector, name));
}

static struct token_crypto *crypto_of(const json_t *vector)
{
    uint8_t key[TOKEN_CRYPTO_KEY_SIZE];
    struct token_crypto *crypto;

    ck_assert(hex_decode(key, sizeof key, member(vector, "server_private_key"), 64));
    crypto = token_crypto_new(key);
    ck_assert_ptr_nonnull(crypto);
    return crypto;
}

static json_t *load_vectors(void)
{
    json_t *vectors = json_load_file(TEST_DATA_DIR "/encrypted_tokens.json", 0, NULL);

    ck_assert_uint_eq(json_array_size(vectors), 3);
    return vectors;
}

static enum token_crypto_result open_text(const struct token_crypto *crypto, const char *text,
                                          struct token_crypto_token *token)
{
    size_t size;

    return token_crypto_open(crypto, text, strlen(text), token, &size);
}

START_TEST(vectors_open)
{
    json_t *vectors = load_vectors(), *vector;
    size_t i;

    json_array_foreach(vectors, i, vector)
    {
        struct token_crypto *crypto = crypto_of(vector);
        struct token_crypto_token token;

        ck_assert_str_eq(token_crypto_pubkey(crypto), member(vector, "server_pubkey"));
        ck_assert_int_eq(open_text(crypto, member(vector, "encrypted_token"), &token),
                         TOKEN_CRYPTO_OK);
        ck_assert_str_eq(token.text, member(vector, "token"));
        ck_assert_uint_eq(token.len, strlen(token.text));
        ck_assert_int_eq(token.is_ios, strcmp(member(vector, "platform"), "ios") == 0);
        token_crypto_free(&crypto);
        ck_assert_ptr_null(crypto);
    }
    json_decref(vectors);
}
END_TEST

START_TEST(any_changed_character_is_refused)
{
    json_t *vectors = load_vectors();
    const json_t *vector = json_array_get(vectors, 0);
    struct token_crypto *crypto = crypto_of(vector);
    struct token_crypto_token token;
    char *text = strdup(member(vector, "encrypted_token"));

    ck_assert_uint_eq(strlen(text), 376);
    for (size_t i = 0; i < 376; i++) {
        char saved = text[i];

        text[i] = saved == 'A' ? 'B' : 'A';
        ck_assert_msg(open_text(crypto, text, &token) != TOKEN_CRYPTO_OK, "character %zu", i);
        text[i] = saved;
    }
    ck_assert_int_eq(open_text(crypto, text, &token), TOKEN_CRYPTO_OK);
    free(text);
    token_crypto_free(&crypto);
    json_decref(vectors);
}
END_TEST

START_TEST(another_servers_token_is_refused)
{
    json_t *vectors = load_vectors();
    struct token_crypto *crypto = crypto_of(json_array_get(vectors, 0));
    struct token_crypto_token token;

    ck_assert_int_eq(
        open_text(crypto, member(json_array_get(vectors, 1), "encrypted_token"), &token),
        TOKEN_CRYPTO_FAILED);
    token_crypto_free(&crypto);
    json_decref(vectors);
}
END_TEST

START_TEST(what_is_not_padded_base64_of_281_bytes)
{
    static const struct {
        const char *text;
        enum token_crypto_result result;
        size_t size;
    } cases[] = {
        {"", TOKEN_CRYPTO_BAD_SIZE, 0},       {"QUJD", TOKEN_CRYPTO_BAD_SIZE, 3},
        {"QUI=", TOKEN_CRYPTO_BAD_SIZE, 2},   {"QQ==", TOKEN_CRYPTO_BAD_SIZE, 1},
        {"QUJ", TOKEN_CRYPTO_BAD_BASE64, 0},  {"QU-_", TOKEN_CRYPTO_BAD_BASE64, 0},
        {"Q===", TOKEN_CRYPTO_BAD_BASE64, 0}, {"QUJD\n", TOKEN_CRYPTO_BAD_BASE64, 0},
        {" QUJ", TOKEN_CRYPTO_BAD_BASE64, 0}, {"Q=JD", TOKEN_CRYPTO_BAD_BASE64, 0},
    };
    json_t *vectors = load_vectors();
    struct token_crypto *crypto = crypto_of(json_array_get(vectors, 0));
    struct token_crypto_token token;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t size = 0;

        ck_assert_int_eq(
            token_crypto_open(crypto, cases[i].text, strlen(cases[i].text), &token, &size),
            cases[i].result);
        ck_assert_uint_eq(size, cases[i].size);
    }
    token_crypto_free(&crypto);
    json_decref(vectors);
}
END_TEST

/* The last digit before the padding carries two bits that mean nothing. */
START_TEST(one_message_has_one_text)
{
    json_t *vectors = load_vectors();
    struct token_crypto *crypto = crypto_of(json_array_get(vectors, 0));
    struct token_crypto_token token;
    char *text = strdup(member(json_array_get(vectors, 0), "encrypted_token"));

    ck_assert_int_eq(text[375], '=');
    text[374]++;
    ck_assert_int_eq(open_text(crypto, text, &token), TOKEN_CRYPTO_BAD_BASE64);
    free(text);
    token_crypto_free(&crypto);
    json_decref(vectors);
}
END_TEST

START_TEST(keys_out_of_range_are_refused)
{
    static const uint8_t zero[32] = {0};
    uint8_t order[32];

    ck_assert(hex_decode(order, 32,
                         "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141", 64));
    ck_assert_ptr_null(token_crypto_new(zero));
    ck_assert_ptr_null(token_crypto_new(order));
}
END_TEST

UNIT_MAIN("token_crypto", vectors_open, any_changed_character_is_refused,
          another_servers_token_is_refused, what_is_not_padded_base64_of_281_bytes,
          one_message_has_one_text, keys_out_of_range_are_refused)
