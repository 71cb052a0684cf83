#include "push/oauth.h"

#include <jansson.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base64url.h"
#include "captured_log.h"
#include "log/log.h"
#include "told_clock.h"
#include "unit.h"

/* ---- An HTTP client that does as it is told -------------------------------------------------- */

static unsigned asked; /* so often */
static http_done_fn *done;
static void *done_arg;

bool http_client_start(struct http_client *client, const struct http_request *request,
                       http_done_fn *fn, void *arg)
{
    (void)client;
    ck_assert_str_eq(request->url, "https://oauth.example/token");
    ck_assert_msg(done == NULL, "asked twice at once");
    done = fn;
    done_arg = arg;
    asked++;
    return true;
}

/* The request under way gets this answer. */
static void answer(int status, const char *body)
{
    http_done_fn *fn = done;
    const struct http_answer given = {
        .result = HTTP_ANSWERED, .status = status, .body = body, .body_len = strlen(body)};

    ck_assert(fn != NULL);
    done = NULL;
    fn(&given, done_arg);
}

/* ---- Accounts -------------------------------------------------------------------------------- */

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

/* The account with one field replaced (or, with NULL, removed) is refused, with the reason. */
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
    static const char apps[] =
        "{\"project_info\":{\"project_id\":\"p\"},\"client\":[],\"configuration_version\":\"1\"}";
    EVP_PKEY *elliptic = EVP_EC_gen("P-256");
    char *pem = pem_of(elliptic);
    const char *why = NULL;

    expect_refused("client_email", NULL, "client_email");
    expect_refused("client_email", json_string(""), "client_email");
    expect_refused("client_email", json_integer(3), "client_email");
    expect_refused("token_uri", NULL, "token_uri");
    expect_refused("token_uri", json_string("file:///etc/passwd"), "token_uri");
    expect_refused("token_uri", json_string("http://oauth.example/token"), "token_uri");
    expect_refused("token_uri", json_string("https://u:p@oauth.example/token"), "token_uri");
    expect_refused("token_uri", json_string("https://oauth.example:x/token"), "token_uri");
    expect_refused("private_key", NULL, "private_key");
    expect_refused("private_key", json_string("-----BEGIN"), "PEM");
    expect_refused("private_key", json_string(pem), "RSA");
    ck_assert_ptr_null(oauth_account_parse("[]", 2, &why));
    ck_assert_str_eq(why, "it is not a JSON object");
    ck_assert_ptr_null(oauth_account_parse("", 0, &why));
    ck_assert_ptr_null(oauth_account_parse(apps, sizeof apps - 1, &why));
    ck_assert_str_eq(why,
                     "that is the app's file (google-services.json), not a service account's key");
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
    ck_assert_str_eq(why, "it is a directory");
    free(text);
}
END_TEST

START_TEST(a_file_that_all_can_read_is_known)
{
    static const struct {
        mode_t mode;
        bool is_open;
    } cases[] = {{0644, true}, {0604, true}, {0640, false} /* for a group */, {0600, false}};
    char *text = account_text(key);
    const char *why = NULL;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct oauth_account *account;

        write_file(text, strlen(text), 0, cases[i].mode);
        account = oauth_account_read(path, &why);
        ck_assert_ptr_nonnull(account);
        ck_assert(oauth_account_is_open(account) == cases[i].is_open);
        oauth_account_free(&account);
    }
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

/* The account's text with this project, which may be no string. */
static struct oauth_account *account_of(json_t *project)
{
    char *text = account_text(key), *changed;
    json_t *root = json_loads(text, 0, NULL);
    struct oauth_account *account;
    const char *why = NULL;

    json_object_set_new(root, "project_id", project);
    changed = json_dumps(root, 0);
    account = oauth_account_parse(changed, strlen(changed), &why);
    ck_assert_msg(account != NULL, "%s", why);
    json_decref(root);
    free(changed);
    free(text);
    return account;
}

START_TEST(an_account_may_name_its_project)
{
    struct oauth_account *account = account_of(json_string("mostro-1"));

    ck_assert_str_eq(oauth_account_project(account), "mostro-1");
    oauth_account_free(&account);
    account = account_of(json_integer(1));
    ck_assert_ptr_null(oauth_account_project(account));
    oauth_account_free(&account);
}
END_TEST

/* RFC 6749, section 5.2. A word from outside is logged as a word or not at all. */
START_TEST(an_error_is_a_word)
{
    static const char *const none[] = {"",
                                       "[]",
                                       "{}",
                                       "invalid_grant",
                                       "{\"error\":\"\"}",
                                       "{\"error\":7}",
                                       "{\"error\":{\"status\":\"x\"}}",
                                       "{\"error\":\"a b\"}",
                                       "{\"error\":\"a\\nb\"}",
                                       "{\"error\":\"a\\u0000b\"}",
                                       "{\"error\":\"https://x.example\"}",
                                       "{\"error\":\"\\u00e4\"}"};
    char word[OAUTH_ERROR_SIZE], text[128];

    ck_assert(oauth_parse_error("{\"error\":\"invalid_grant\"}", 25, word));
    ck_assert_str_eq(word, "invalid_grant");
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        ck_assert_msg(!oauth_parse_error(none[i], strlen(none[i]), word), "%s", none[i]);
        ck_assert_str_eq(word, "");
    }
    for (int len = OAUTH_ERROR_SIZE - 1; len <= OAUTH_ERROR_SIZE; len++) {
        (void)snprintf(text, sizeof text, "{\"error\":\"%0*d\"}", len, 1);
        ck_assert(oauth_parse_error(text, strlen(text), word) == (len < OAUTH_ERROR_SIZE));
    }
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

/* ---- The token ------------------------------------------------------------------------------- */

#define GRANT(token) "{\"access_token\":\"" token "\",\"expires_in\":3600}"
#define LIFE_MS      INT64_C(3600000)
#define RENEW_MS     INT64_C(3300000) /* then it is renewed */

static struct oauth *oauth;
static int log_fd;

static void setup(void)
{
    char *text = account_text(key);
    const char *why = NULL;

    now = 1000000;
    oauth = oauth_new(NULL, oauth_account_parse(text, strlen(text), &why));
    ck_assert_ptr_nonnull(oauth);
    free(text);
    log_fd = capture_log();
    log_open("test", LOG_LEVEL_INFO, LOG_TARGET_STDERR);
}

static void teardown(void)
{
    oauth_free(&oauth);
    ck_assert_ptr_null(oauth);
    (void)close(log_fd);
}

static const char *token(void)
{
    uint64_t generation;
    const char *text = oauth_token(oauth, now, &generation);

    return text != NULL ? text : "";
}

static uint64_t generation(void)
{
    uint64_t number;

    (void)oauth_token(oauth, now, &number);
    return number;
}

/* In how many milliseconds it will ask again; 0: it has asked. */
static int64_t asks_in(void)
{
    unsigned before = asked;
    int64_t at = oauth_run(oauth, now, clock_unix_s());

    return asked > before ? 0 : at - now;
}

/* Waits until it asks; it does not ask before. */
static void until_asked(void)
{
    int64_t wait = asks_in();

    if (wait > 0) {
        now += wait - 1;
        ck_assert_int_eq(oauth_run(oauth, now, clock_unix_s()), now + 1);
        now++;
        (void)oauth_run(oauth, now, clock_unix_s());
    }
    ck_assert(done != NULL);
}

START_TEST(one_request_at_a_time)
{
    ck_assert_str_eq(token(), "");
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(oauth_run(oauth, now += 3600000, clock_unix_s()), INT64_MAX);
    ck_assert_uint_eq(asked, 1);
    answer(200, GRANT("a"));
    ck_assert_str_eq(token(), "a");
    ck_assert_int_eq(asks_in(), RENEW_MS);
    until_asked();
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(oauth_run(oauth, now, clock_unix_s()), INT64_MAX);
    ck_assert_uint_eq(asked, 2);
    ck_assert_str_eq(token(), "a"); /* in the background */
    answer(200, GRANT("b"));
    ck_assert_str_eq(token(), "b");
}
END_TEST

START_TEST(a_token_is_used_until_it_expires)
{
    int64_t expires = now + LIFE_MS;

    until_asked();
    answer(200, GRANT("a"));
    while (now + asks_in() < expires) {
        until_asked();
        ck_assert_str_eq(token(), "a");
        answer(500, "");
        ck_assert_str_eq(token(), "a");
    }
    now = expires - 1;
    ck_assert_str_eq(token(), "a");
    now = expires;
    ck_assert_str_eq(token(), "");
    until_asked();
    ck_assert_str_eq(token(), "");
    answer(200, GRANT("b"));
    ck_assert_str_eq(token(), "b");
}
END_TEST

/* 1 s doubling to 60 s, less up to half. */
START_TEST(failures_are_tried_again_ever_more_slowly)
{
    static const char *const failures[] = {"", "{\"error\":\"x\"}", "<html>", "{\"access_token\":"};
    int64_t least = INT64_MAX, most = 0;

    for (int round = 0; round < 2; round++) {
        int64_t bound = 1000;

        until_asked();
        for (unsigned i = 0; i < 200; i++) {
            int64_t wait;

            answer(i % 2 ? 200 : 503, failures[i % 4]);
            wait = asks_in();
            ck_assert_int_ge(wait, bound / 2);
            ck_assert_int_le(wait, bound);
            if (bound == 60000) {
                least = wait < least ? wait : least;
                most = wait > most ? wait : most;
            }
            bound = bound < 32000 ? 2 * bound : 60000;
            until_asked();
        }
        ck_assert_int_lt(least, 40000);
        ck_assert_int_gt(most, 50000);
        ck_assert_uint_eq(logged(log_fd, "error: FCM: the token endpoint answered"), 1);
        /* It works; the next failure begins with the least wait. */
        answer(200, GRANT("a"));
        ck_assert_uint_eq(logged(log_fd, "info: FCM: an access token is at hand"), 1);
    }
}
END_TEST

/* How many such lines are in the log after a request was refused so. */
static unsigned told(int status, const char *error, const char *line)
{
    char body[128];

    until_asked();
    (void)snprintf(body, sizeof body, "{\"error\":\"%s\",\"error_description\":\"x\"}", error);
    answer(status, body);
    return logged(log_fd, line);
}

/* Logged once, however often it is repeated; a refusal that follows an outage is news. */
START_TEST(the_error_word_is_told)
{
    static const char grant[] = "error: FCM: the token endpoint answered 400, invalid_grant: this "
                                "host's clock is wrong, or ";

    until_asked();
    answer(503, "");
    ck_assert_uint_eq(told(400, "invalid_grant", grant), 1);
    ck_assert_uint_eq(told(400, "invalid_grant", "error:"), 0);
    ck_assert_uint_eq(
        told(401, "unauthorized_client", "answered 401, unauthorized_client: the account may not "),
        1);
    ck_assert_uint_eq(told(403, "no_such_word", "answered 403, no_such_word; trying"), 1);
    ck_assert_uint_eq(told(400, "two words", "error:"), 0);
    until_asked();
    answer(200, GRANT("a"));
    ck_assert_uint_eq(told(400, "invalid_grant", grant), 1);
}
END_TEST

START_TEST(a_token_in_another_answer_than_200_is_none)
{
    static const int statuses[] = {201, 302, 400, 500};

    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
        until_asked();
        answer(statuses[i], GRANT("a"));
        ck_assert_str_eq(token(), "");
    }
}
END_TEST

START_TEST(a_refused_token_is_replaced_at_once)
{
    uint64_t first;

    until_asked();
    answer(200, GRANT("a"));
    first = generation();
    oauth_refused(oauth, first, now);
    ck_assert_str_eq(token(), "");
    ck_assert_int_eq(asks_in(), 0);
    oauth_refused(oauth, first, now); /* by the others in flight */
    answer(200, GRANT("b"));
    oauth_refused(oauth, first, now);
    ck_assert_str_eq(token(), "b");
    ck_assert_int_eq(asks_in(), RENEW_MS);
}
END_TEST

/* Otherwise it would be asked for as fast as Google can refuse. */
START_TEST(one_refused_token_after_the_other_backs_off)
{
    uint64_t first;
    int64_t bound = 2000;

    until_asked();
    answer(200, GRANT("a"));
    first = generation();
    oauth_accepted(oauth, first);
    oauth_refused(oauth, first, now);
    ck_assert_int_eq(asks_in(), 0);
    for (unsigned i = 0; i < 10; i++) {
        int64_t wait;

        answer(200, GRANT("b"));
        oauth_accepted(oauth, first); /* late, and about another one */
        oauth_refused(oauth, generation(), now);
        wait = asks_in();
        ck_assert_int_ge(wait, bound / 2);
        ck_assert_int_le(wait, bound);
        bound = bound < 32000 ? 2 * bound : 60000;
        until_asked();
    }
    answer(200, GRANT("c"));
    oauth_accepted(oauth, generation());
    oauth_refused(oauth, generation(), now);
    ck_assert_int_eq(asks_in(), 0);
}
END_TEST

int main(void)
{
    TCase *state = tcase_create("token");
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
    tcase_add_test(tcase, a_file_that_all_can_read_is_known);
    tcase_add_test(tcase, tokens_that_could_not_be_sent_are_refused);
    tcase_add_test(tcase, an_account_may_name_its_project);
    tcase_add_test(tcase, an_error_is_a_word);
    tcase_add_test(tcase, a_token_is_renewed_before_it_expires);
    suite_add_tcase(suite, tcase);
    tcase_add_checked_fixture(state, setup, teardown);
    tcase_add_test(state, one_request_at_a_time);
    tcase_add_test(state, a_token_is_used_until_it_expires);
    tcase_add_test(state, failures_are_tried_again_ever_more_slowly);
    tcase_add_test(state, the_error_word_is_told);
    tcase_add_test(state, a_token_in_another_answer_than_200_is_none);
    tcase_add_test(state, a_refused_token_is_replaced_at_once);
    tcase_add_test(state, one_refused_token_after_the_other_backs_off);
    suite_add_tcase(suite, state);
    status = unit_run(suite);
    EVP_PKEY_free(key);
    (void)rmdir(folder);
    return status;
}
