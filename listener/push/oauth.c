#include "oauth.h"

#include <errno.h>
#include <jansson.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/backoff.h"
#include "base/base64url.h"
#include "base/clock.h"
#include "base/random.h"
#include "base/small_file.h"
#include "base/url.h"
#include "base/wipe.h"
#include "log/log.h"

#define SCOPE              "https://www.googleapis.com/auth/firebase.messaging"
#define GRANT              "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion="
#define JWT_LIFE_S         3600
#define ANSWER_MAX         (16 * 1024)
#define CONNECT_TIMEOUT_MS 5000
#define TIMEOUT_MS         10000
#define OAUTH_TROUBLE_SIZE 200
#define RETRY_LEAST_MS     1000
#define RETRY_MOST_MS      60000
#define LIFETIME_DEFAULT_S 3600
#define LIFETIME_MAX_S     86400
#define RENEW_EARLY_MS     300000

struct oauth_account {
    char *email;
    char *token_uri;
    char *key_id;  /* NULL where the file has none */
    char *project; /* the same */
    EVP_PKEY *key;
    bool is_open;
};

struct oauth {
    struct http_client *client;
    struct oauth_account *account;
    char *token;
    uint64_t generation;
    int64_t expires_ms;
    int64_t ask_ms;    /* when to ask for the next */
    unsigned failures; /* of the token endpoint, in a row */
    unsigned refusals; /* of its tokens by FCM, in a row */
    char trouble[OAUTH_TROUBLE_SIZE];
    char told[OAUTH_ERROR_SIZE]; /* the token endpoint's last error word in the log */
    bool asking;
};

/* ---- The service account --------------------------------------------------------------------- */

static int no_password(char *out, int size, int writing, void *arg)
{
    (void)out, (void)size, (void)writing, (void)arg;
    return -1; /* OpenSSL's default would ask at the terminal */
}

static EVP_PKEY *read_key(const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    EVP_PKEY *key = bio != NULL ? PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL) : NULL;

    BIO_free(bio);
    ERR_clear_error();
    if (key != NULL && EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA) {
        EVP_PKEY_free(key);
        key = NULL;
    }
    return key;
}

static const char *take_fields(struct oauth_account *account, const json_t *root)
{
    const char *email = json_string_value(json_object_get(root, "client_email"));
    const char *uri = json_string_value(json_object_get(root, "token_uri"));
    const char *pem = json_string_value(json_object_get(root, "private_key"));
    const char *key_id = json_string_value(json_object_get(root, "private_key_id"));
    const char *project = json_string_value(json_object_get(root, "project_id"));
    struct url url;

    if ((email == NULL || *email == '\0') && json_object_get(root, "project_info") != NULL)
        return "that is the app's file (google-services.json), not a service account's key";
    if (email == NULL || *email == '\0')
        return "it has no client_email";
    if (uri == NULL || !url_parse_https(&url, uri))
        return "its token_uri is missing or no https URL";
    if (pem == NULL)
        return "it has no private_key";
    if ((account->key = read_key(pem)) == NULL)
        return "its private_key is not an RSA key in PEM";
    account->email = strdup(email);
    account->token_uri = strdup(uri);
    account->key_id = key_id != NULL ? strdup(key_id) : NULL;
    account->project = project != NULL ? strdup(project) : NULL;
    if (account->email == NULL || account->token_uri == NULL ||
        (key_id != NULL && account->key_id == NULL) ||
        (project != NULL && account->project == NULL))
        return "memory is out";
    return NULL;
}

struct oauth_account *oauth_account_parse(const char *json, size_t len, const char **why)
{
    json_t *root = json_loadb(json, len, JSON_REJECT_DUPLICATES, NULL);
    struct oauth_account *account = calloc(1, sizeof *account);
    json_t *pem = json_object_get(root, "private_key");

    if (!json_is_object(root))
        *why = "it is not a JSON object";
    else
        *why = account != NULL ? take_fields(account, root) : "memory is out";
    if (json_is_string(pem)) /* jansson keeps the key in memory of its own */
        OPENSSL_cleanse((char *)json_string_value(pem), json_string_length(pem));
    json_decref(root);
    if (*why != NULL)
        oauth_account_free(&account);
    return account;
}

/* Of a file that could not be read whole; errno is small_file_read()'s. */
static const char *what_is_wrong(enum small_file_result result)
{
    if (result == SMALL_FILE_TOO_LARGE)
        return "it is too large";
    if (result == SMALL_FILE_NOT_REGULAR)
        return errno == EISDIR ? "it is a directory" : "it is not a regular file";
    if (errno == ENOENT)
        return "there is no such file";
    if (errno == EACCES)
        return "Permission denied: chown it to the user that runs this";
    return "it cannot be read";
}

struct oauth_account *oauth_account_read(const char *path, const char **why)
{
    struct oauth_account *account = NULL;
    struct small_file file;
    enum small_file_result result =
        small_file_read(&file, path, SMALL_FILE_REGULAR, OAUTH_ACCOUNT_MAX_SIZE);

    if (result == SMALL_FILE_OK)
        account = oauth_account_parse(file.text, file.len, why);
    else
        *why = what_is_wrong(result);
    if (account != NULL)
        account->is_open = (file.mode & S_IROTH) != 0;
    small_file_wipe(&file);
    return account;
}

void oauth_account_free(struct oauth_account **account)
{
    if (*account == NULL)
        return;
    free((*account)->email);
    free((*account)->token_uri);
    free((*account)->key_id);
    free((*account)->project);
    EVP_PKEY_free((*account)->key); /* wipes it */
    free(*account);
    *account = NULL;
}

const char *oauth_account_project(const struct oauth_account *account)
{
    return account->project;
}

bool oauth_account_is_open(const struct oauth_account *account)
{
    return account->is_open;
}

/* ---- The JWT --------------------------------------------------------------------------------- */

/* Appends the base64url of `json`, which it consumes, and returns where the text ends. */
static char *append_json(char *at, const char *end, json_t *json)
{
    char *text = json != NULL ? json_dumps(json, JSON_COMPACT) : NULL;

    json_decref(json);
    if (text == NULL || BASE64URL_SIZE(strlen(text)) > (size_t)(end - at))
        at = NULL;
    else
        at += base64url_encode(at, text, strlen(text));
    free(text);
    return at;
}

static bool sign(const struct oauth_account *account, const char *text, size_t len,
                 uint8_t *signature, size_t *signature_len)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool ok = context != NULL &&
              EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, account->key) == 1 &&
              EVP_DigestSign(context, signature, signature_len, (const uint8_t *)text, len) == 1;

    EVP_MD_CTX_free(context);
    return ok;
}

char *oauth_account_jwt(const struct oauth_account *account, int64_t unix_s)
{
    size_t signature_len = (size_t)EVP_PKEY_get_size(account->key);
    /* In JSON a byte of a claim becomes at most six (\u0000); base64 adds a third. */
    size_t key_id_len = account->key_id != NULL ? strlen(account->key_id) : 0;
    size_t size = 1024 + 8 * (strlen(account->email) + strlen(account->token_uri) + key_id_len) +
                  2 * signature_len;
    char *jwt = malloc(size), *at = jwt;
    const char *end;
    uint8_t *signature = malloc(signature_len);
    bool ok = false;

    if (jwt == NULL || signature == NULL)
        goto out;
    end = jwt + size;
    at = append_json(
        at, end,
        json_pack("{s:s, s:s, s:s*}", "alg", "RS256", "typ", "JWT", "kid", account->key_id));
    if (at == NULL)
        goto out;
    *at++ = '.';
    at = append_json(at, end,
                     json_pack("{s:s, s:s, s:s, s:I, s:I}", "iss", account->email, "scope", SCOPE,
                               "aud", account->token_uri, "iat", (json_int_t)unix_s, "exp",
                               (json_int_t)unix_s + JWT_LIFE_S));
    if (at == NULL || !sign(account, jwt, (size_t)(at - jwt), signature, &signature_len))
        goto out;
    *at++ = '.';
    (void)base64url_encode(at, signature, signature_len);
    ok = true;

out:
    free(signature);
    if (!ok) {
        free(jwt);
        jwt = NULL;
    }
    return jwt;
}

/* ---- The answer ------------------------------------------------------------------------------ */

bool oauth_parse_answer(const char *body, size_t len, char **token, int64_t *lifetime_ms)
{
    json_t *root = json_loadb(body, len, 0, NULL);
    json_t *access = json_object_get(root, "access_token");
    json_int_t seconds = json_integer_value(json_object_get(root, "expires_in"));
    const char *text = json_string_value(access);

    *token = NULL;
    if (text != NULL && *text != '\0' && strlen(text) <= OAUTH_TOKEN_MAX) {
        size_t good = 0;

        while (text[good] > ' ' && text[good] < 0x7f)
            good++;
        if (text[good] == '\0')
            *token = strdup(text);
        OPENSSL_cleanse((char *)text, strlen(text));
    }
    json_decref(root);
    if (seconds < 1)
        seconds = LIFETIME_DEFAULT_S;
    *lifetime_ms = (seconds < LIFETIME_MAX_S ? seconds : LIFETIME_MAX_S) * 1000;
    return *token != NULL;
}

bool oauth_parse_error(const char *body, size_t len, char word[OAUTH_ERROR_SIZE])
{
    static const char good[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_";
    json_t *root = json_loadb(body, len, 0, NULL);
    const char *text = json_string_value(json_object_get(root, "error"));
    size_t text_len = text != NULL ? strlen(text) : 0;

    *word = '\0';
    if (text_len > 0 && text_len < OAUTH_ERROR_SIZE && strspn(text, good) == text_len)
        memcpy(word, text, text_len + 1);
    json_decref(root);
    return *word != '\0';
}

int64_t oauth_renew_in_ms(int64_t lifetime_ms)
{
    int64_t early = lifetime_ms / 2;

    if (early > RENEW_EARLY_MS)
        early = RENEW_EARLY_MS;
    return lifetime_ms - early > RETRY_LEAST_MS ? lifetime_ms - early : RETRY_LEAST_MS;
}

/* ---- The token ------------------------------------------------------------------------------- */

struct oauth *oauth_new(struct http_client *client, struct oauth_account *account)
{
    struct oauth *oauth = calloc(1, sizeof *oauth);

    if (oauth == NULL) {
        oauth_account_free(&account);
        return NULL;
    }
    oauth->client = client;
    oauth->account = account;
    oauth->ask_ms = INT64_MIN;
    return oauth;
}

void oauth_free(struct oauth **oauth)
{
    if (*oauth == NULL)
        return;
    wipe_free((*oauth)->token);
    oauth_account_free(&(*oauth)->account);
    free(*oauth);
    *oauth = NULL;
}

static void back_off(struct oauth *oauth, int64_t now_ms)
{
    static const struct backoff rule = {RETRY_LEAST_MS, RETRY_MOST_MS, .jitter = 2};

    oauth->ask_ms =
        now_ms + backoff_ms(&rule, oauth->failures + oauth->refusals, random_up_to(UINT64_MAX));
}

/* What an operator can mend when Google's endpoint says a known word. */
static const char *error_hint(const char *word)
{
    static const struct {
        const char *word, *hint;
    } hints[] = {
        {"invalid_grant",
         ": this host's clock is wrong, or the account or its key no longer exists"},
        {"invalid_client", ": the account or its key no longer exists"},
        {"unauthorized_client", ": the account may not ask for access tokens"},
        {"invalid_scope", ": the account may not send messages"},
    };

    for (size_t i = 0; i < sizeof hints / sizeof hints[0]; i++)
        if (strcmp(hints[i].word, word) == 0)
            return hints[i].hint;
    return "";
}

static void describe(const struct http_answer *answer, const char *word,
                     char trouble[OAUTH_TROUBLE_SIZE])
{
    if (word[0] != '\0')
        (void)snprintf(trouble, OAUTH_TROUBLE_SIZE, "the token endpoint answered %d, %s%s",
                       answer->status, word, error_hint(word));
    else if (answer->result == HTTP_ANSWERED)
        (void)snprintf(trouble, OAUTH_TROUBLE_SIZE,
                       "the token endpoint answered %d without an access token", answer->status);
    else
        (void)snprintf(trouble, OAUTH_TROUBLE_SIZE, "the token endpoint cannot be reached");
}

/* Logs one line when it begins to fail, one for each other error, one when it works again. */
static void failed(struct oauth *oauth, const struct http_answer *answer, int64_t now_ms)
{
    bool begins = oauth->failures++ == 0;
    char word[OAUTH_ERROR_SIZE] = "";

    back_off(oauth, now_ms);
    if (answer->result == HTTP_ANSWERED && answer->status != 200)
        (void)oauth_parse_error(answer->body, answer->body_len, word);
    describe(answer, word, oauth->trouble);
    if (begins || (word[0] != '\0' && strcmp(word, oauth->told) != 0))
        log_error("FCM: %s; trying again in the background", oauth->trouble);
    if (word[0] != '\0')
        memcpy(oauth->told, word, sizeof word);
}

const char *oauth_trouble(const struct oauth *oauth)
{
    return oauth->trouble;
}

static void take_answer(const struct http_answer *answer, void *arg)
{
    struct oauth *oauth = arg;
    int64_t now_ms = clock_monotonic_ms(), lifetime_ms = 0;
    char *token = NULL;

    oauth->asking = false;
    if (answer->result == HTTP_CANCELLED)
        return;
    if (answer->result != HTTP_ANSWERED || answer->status != 200 ||
        !oauth_parse_answer(answer->body, answer->body_len, &token, &lifetime_ms)) {
        failed(oauth, answer, now_ms);
        return;
    }
    if (oauth->failures > 0 || oauth->generation == 0)
        log_info("FCM: an access token is at hand");
    wipe_free(oauth->token);
    oauth->token = token;
    oauth->generation++;
    oauth->failures = 0;
    oauth->told[0] = oauth->trouble[0] = '\0';
    oauth->expires_ms = now_ms + lifetime_ms;
    oauth->ask_ms = now_ms + oauth_renew_in_ms(lifetime_ms);
}

static bool ask(struct oauth *oauth, int64_t unix_s)
{
    static const char *const headers[] = {"Content-Type: application/x-www-form-urlencoded",
                                          "Accept: application/json", NULL};
    char *jwt = oauth_account_jwt(oauth->account, unix_s), *body = NULL;
    bool started = false;

    if (jwt != NULL && asprintf(&body, "%s%s", GRANT, jwt) >= 0) {
        const struct http_request request = {
            .url = oauth->account->token_uri,
            .headers = headers,
            .body = body,
            .body_len = strlen(body),
            .connect_timeout_ms = CONNECT_TIMEOUT_MS,
            .timeout_ms = TIMEOUT_MS,
            .answer_limit = ANSWER_MAX,
        };

        started = http_client_start(oauth->client, &request, take_answer, oauth);
        wipe_free(body);
    }
    wipe_free(jwt);
    return started;
}

int64_t oauth_run(struct oauth *oauth, int64_t now_ms, int64_t unix_s)
{
    if (oauth->token != NULL && now_ms >= oauth->expires_ms) {
        wipe_free(oauth->token);
        oauth->token = NULL;
    }
    if (!oauth->asking && now_ms >= oauth->ask_ms) {
        oauth->asking = ask(oauth, unix_s);
        if (!oauth->asking)
            failed(oauth, &(struct http_answer){.result = HTTP_UNREACHABLE}, now_ms);
    }
    return oauth->asking ? INT64_MAX : oauth->ask_ms;
}

const char *oauth_token(const struct oauth *oauth, int64_t now_ms, uint64_t *generation)
{
    *generation = oauth->generation;
    return oauth->token != NULL && now_ms < oauth->expires_ms ? oauth->token : NULL;
}

void oauth_accepted(struct oauth *oauth, uint64_t generation)
{
    if (generation == oauth->generation)
        oauth->refusals = 0;
}

void oauth_refused(struct oauth *oauth, uint64_t generation, int64_t now_ms)
{
    if (generation != oauth->generation || oauth->token == NULL)
        return;
    wipe_free(oauth->token);
    oauth->token = NULL;
    if (oauth->refusals++ == 0)
        oauth->ask_ms = now_ms;
    else
        back_off(oauth, now_ms);
}
