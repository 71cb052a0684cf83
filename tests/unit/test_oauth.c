#include "oauth.h"

#include <fcntl.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base64url.h"
#include "unit.h"

static EVP_PKEY *key;
static char folder[] = "/tmp/test_oauth.XXXXXX";
static char path[64];

static char *pem_of(EVP_PKEY *pkey)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *data, *text;
    long len;

    ck_assert_int_eq(PEM_write_bio_PrivateKey(bio, pkey, NULL, NULL, 0, NULL, NULL), 1);
    len = BIO_get_mem_data(bio, &data);
    text = strndup(data, (size_t)len);
    BIO_free(bio);
    return text;
}

/* The text of a service account with this key; freed by the caller. */
static char *account_text(EVP_PKEY *pkey)
{
    char *pem = pem_of(pkey), *text;
    json_t *root = json_pack("{s:s, s:s, s:s, s:s, s:s}", "type", "service_account", "client_email",
                             "push@p.example", "token_uri", "https://oauth.example/token",
                             "private_key_id", "kid1", "private_key", pem);

    text = json_dumps(root, 0);
    json_decref(root);
    free(pem);
    return text;
}

static json_t *decode_part(const char *text, size_t len)
{
    uint8_t bytes[1024];
    size_t size = len * 3 / 4;

    ck_assert_uint_le(size, sizeof bytes);
    ck_assert(base64url_decode(bytes, size, text, len));
    return json_loadb((const char *)bytes, size, 0, NULL);
}

static bool verifies(const char *jwt, size_t signed_len)
{
    const char *text = jwt + signed_len + 1;
    uint8_t signature[256];
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool ok;

    ok = base64url_decode(signature, sizeof signature, text, strlen(text)) &&
         EVP_DigestVerifyInit(context, NULL, EVP_sha256(), NULL, key) == 1 &&
         EVP_DigestVerify(context, signature, sizeof signature, (const uint8_t *)jwt, signed_len) ==
             1;
    EVP_MD_CTX_free(context);
    return ok;
}

START_TEST(the_jwt_is_signed_and_says_what_google_asks_for)
{
    char *text = account_text(key), *jwt;
    const char *why = NULL, *dot, *second;
    struct oauth_account *account = oauth_account_parse(text, strlen(text), &why);
    json_t *header, *claims, *expected;

    ck_assert_msg(account != NULL, "%s", why);
    jwt = oauth_account_jwt(account, 1700000000);
    ck_assert_ptr_nonnull(jwt);
    dot = strchr(jwt, '.');
    second = strchr(dot + 1, '.');
    ck_assert_ptr_null(strchr(second + 1, '.'));
    ck_assert(verifies(jwt, (size_t)(second - jwt)));
    jwt[3] ^= 1;
    ck_assert(!verifies(jwt, (size_t)(second - jwt)));
    jwt[3] ^= 1;

    header = decode_part(jwt, (size_t)(dot - jwt));
    expected = json_pack("{s:s, s:s, s:s}", "alg", "RS256", "typ", "JWT", "kid", "kid1");
    ck_assert(json_equal(header, expected));
    json_decref(expected);
    claims = decode_part(dot + 1, (size_t)(second - dot - 1));
    expected = json_pack("{s:s, s:s, s:s, s:i, s:i}", "iss", "push@p.example", "scope",
                         "https://www.googleapis.com/auth/firebase.messaging", "aud",
                         "https://oauth.example/token", "iat", 1700000000, "exp", 1700003600);
    ck_assert(json_equal(claims, expected));
    json_decref(expected);
    json_decref(claims);
    json_decref(header);
    free(jwt);
    oauth_account_free(&account);
    ck_assert_ptr_null(account);
    free(text);
}
END_TEST

/* The account with one field replaced (or, with NULL, removed) is refused and told why. */
static void expect_refused(const char *field, json_t *value, const char *reason)
{
    char *text = account_text(key), *changed;
    json_t *root = json_loads(text, 0, NULL);
    const char *why = NULL;

    if (value != NULL)
        json_object_set_new(root, field, value);
    else
        json_object_del(root, field);
    changed = json_dumps(root, 0);
    ck_assert_ptr_null(oauth_account_parse(changed, strlen(changed), &why));
    ck_assert_msg(strstr(why, reason) != NULL, "%s", why);
    json_decref(root);
    free(changed);
    free(text);
}

START_TEST(bad_accounts_are_refused)
{
    EVP_PKEY *elliptic = EVP_EC_gen("P-256");
    char *pem = pem_of(elliptic);
    const char *why = NULL;

    expect_refused("client_email", NULL, "client_email");
    expect_refused("client_email", json_string(""), "client_email");
    expect_refused("client_email", json_integer(3), "client_email");
    expect_refused("token_uri", NULL, "token_uri");
    expect_refused("token_uri", json_string("file:///etc/passwd"), "token_uri");
    expect_refused("token_uri", json_string("http://oauth.example/token"), "token_uri");
    expect_refused("private_key", NULL, "private_key");
    expect_refused("private_key", json_string("-----BEGIN"), "PEM");
    expect_refused("private_key", json_string(pem), "RSA");
    ck_assert_ptr_null(oauth_account_parse("[]", 2, &why));
    ck_assert_str_eq(why, "it is not a JSON object");
    ck_assert_ptr_null(oauth_account_parse("", 0, &why));
    EVP_PKEY_free(elliptic);
    free(pem);
}
END_TEST

/* An encrypted key must not make the server ask for a password. */
START_TEST(an_encrypted_key_is_refused_without_a_question)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *data, *pem;
    long len;

    ck_assert_int_eq(PEM_write_bio_PrivateKey(bio, key, EVP_aes_128_cbc(),
                                              (const unsigned char *)"pass", 4, NULL, NULL),
                     1);
    len = BIO_get_mem_data(bio, &data);
    pem = strndup(data, (size_t)len);
    expect_refused("private_key", json_string(pem), "PEM");
    free(pem);
    BIO_free(bio);
}
END_TEST

static void write_file(const char *text, size_t len, size_t padding, mode_t mode)
{
    FILE *file = fopen(path, "w");

    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(text, 1, len, file), len);
    for (size_t i = 0; i < padding; i++)
        (void)fputc(' ', file);
    ck_assert_int_eq(fclose(file), 0);
    ck_assert_int_eq(chmod(path, mode), 0);
}

START_TEST(files_are_bounded)
{
    char *text = account_text(key);
    size_t len = strlen(text);
    struct oauth_account *account;
    const char *why = NULL;

    write_file(text, len, OAUTH_ACCOUNT_MAX_SIZE - len, 0600);
    account = oauth_account_read(path, &why);
    ck_assert_msg(account != NULL, "%s", why);
    oauth_account_free(&account);
    write_file(text, len, OAUTH_ACCOUNT_MAX_SIZE - len + 1, 0600);
    ck_assert_ptr_null(oauth_account_read(path, &why));
    ck_assert_str_eq(why, "it is too large");
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_ptr_null(oauth_account_read(path, &why));
    ck_assert_str_eq(why, "there is no such file");
    ck_assert_ptr_null(oauth_account_read(folder, &why));
    ck_assert_str_eq(why, "it cannot be read");
    free(text);
}
END_TEST

START_TEST(a_file_that_all_can_read_is_warned_about)
{
    char *text = account_text(key), log[512] = "";
    struct oauth_account *account;
    const char *why = NULL;
    int ends[2], kept = dup(STDERR_FILENO);

    ck_assert_int_eq(pipe2(ends, O_NONBLOCK), 0);
    (void)dup2(ends[1], STDERR_FILENO);
    write_file(text, strlen(text), 0, 0644);
    account = oauth_account_read(path, &why);
    (void)dup2(kept, STDERR_FILENO);
    ck_assert_ptr_nonnull(account);
    ck_assert_int_gt(read(ends[0], log, sizeof log - 1), 0);
    ck_assert_ptr_nonnull(strstr(log, "read by every user"));
    oauth_account_free(&account);
    (void)unlink(path);
    free(text);
}
END_TEST

static bool answer_is_good(const char *body, int64_t *lifetime)
{
    char *token;
    bool ok = oauth_parse_answer(body, strlen(body), &token, lifetime);

    ck_assert(ok == (token != NULL));
    free(token);
    return ok;
}

START_TEST(tokens_that_could_not_be_sent_are_refused)
{
    static const char good[] = "{\"access_token\":\"ya29.a-b_c\",\"expires_in\":3599}";
    char *token;
    int64_t lifetime;

    ck_assert(oauth_parse_answer(good, strlen(good), &token, &lifetime));
    ck_assert_str_eq(token, "ya29.a-b_c");
    ck_assert_int_eq(lifetime, 3599000);
    free(token);
    ck_assert(answer_is_good("{\"access_token\":\"a\"}", &lifetime));
    ck_assert_int_eq(lifetime, 3600000);
    ck_assert(answer_is_good("{\"access_token\":\"a\",\"expires_in\":99999999999}", &lifetime));
    ck_assert_int_eq(lifetime, 86400000);
    ck_assert(!answer_is_good("{\"access_token\":\"a\\r\\nX: y\"}", &lifetime));
    ck_assert(!answer_is_good("{\"access_token\":\"\"}", &lifetime));
    ck_assert(!answer_is_good("{\"access_token\":7}", &lifetime));
    ck_assert(!answer_is_good("{\"error\":\"invalid_grant\"}", &lifetime));
    ck_assert(!answer_is_good("", &lifetime));
}
END_TEST

START_TEST(a_token_is_renewed_before_it_expires)
{
    ck_assert_int_eq(oauth_renew_in_ms(3600000), 3300000);
    ck_assert_int_eq(oauth_renew_in_ms(400000), 200000);
    ck_assert_int_eq(oauth_renew_in_ms(121000), 60500);
    ck_assert_int_eq(oauth_renew_in_ms(60000), 30000);
    ck_assert_int_eq(oauth_renew_in_ms(1000), 1000);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("oauth");
    TCase *tcase = tcase_create("oauth");
    int status;

    key = EVP_RSA_gen(2048);
    if (key == NULL || mkdtemp(folder) == NULL)
        return EXIT_FAILURE;
    (void)snprintf(path, sizeof path, "%s/account.json", folder);
    tcase_add_test(tcase, the_jwt_is_signed_and_says_what_google_asks_for);
    tcase_add_test(tcase, bad_accounts_are_refused);
    tcase_add_test(tcase, an_encrypted_key_is_refused_without_a_question);
    tcase_add_test(tcase, files_are_bounded);
    tcase_add_test(tcase, a_file_that_all_can_read_is_warned_about);
    tcase_add_test(tcase, tokens_that_could_not_be_sent_are_refused);
    tcase_add_test(tcase, a_token_is_renewed_before_it_expires);
    suite_add_tcase(suite, tcase);
    status = unit_run(suite);
    EVP_PKEY_free(key);
    (void)rmdir(folder);
    return status;
}
