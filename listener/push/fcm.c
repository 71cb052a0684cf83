#include "fcm.h"

#include <jansson.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/wipe.h"
#include "device/endpoint_url.h"
#include "fcm_account.h"
#include "log/log.h"
#include "push_answer.h"
#include "registry/registration.h"
#include "settings/settings.h"

#define SOURCE             "mostro-push-server"
#define TITLE              "Mostro"
#define BODY               "You have an update on your trade"
#define TAG                "mostro-trade"
#define CHANNEL            "mostro_notifications"
#define COLLAPSE_KEY       "mostro-wake" /* without one FCM keeps up to 100 for a phone that is off */
#define DIGITS_MAX         20            /* of a 64-bit number, with its sign */
#define ANSWER_MAX         (16 * 1024)
#define CONNECT_TIMEOUT_MS 5000
#define TIMEOUT_MS         10000
#define CONNECTIONS        4 /* HTTP/2: requests share them */
#define COMPLAIN_EVERY_MS  60000
#define TOO_MANY_MS        60000 /* after a 429 that names no time, as Google's documentation has it */

struct fcm {
    struct http_client *client;
    struct oauth *oauth;
    char *url;
    bool proven;
    bool complained;
    int64_t complained_ms;
};

struct fcm_push {
    struct fcm *fcm;
    uint64_t generation; /* of the access token that it was sent with */
    push_done_fn *done;
    void *arg;
};

/* ---- The message ----------------------------------------------------------------------------- */

/* Writes the token as a JSON string, and the Unix time. */
static const char visible_message[] =
    "{\"message\":{\"token\":%s,"
    "\"notification\":{\"title\":\"" TITLE "\",\"body\":\"" BODY "\"},"
    "\"data\":{\"type\":\"trade_update\",\"source\":\"" SOURCE "\",\"timestamp\":\"%lld\"},"
    "\"android\":{\"priority\":\"high\",\"notification\":{\"tag\":\"" TAG "\","
    "\"channel_id\":\"" CHANNEL "\",\"default_vibrate_timings\":true}},"
    "\"apns\":{\"headers\":{\"apns-priority\":\"10\",\"apns-collapse-id\":\"" TAG "\"},"
    "\"payload\":{\"aps\":{\"alert\":{\"title\":\"" TITLE "\",\"body\":\"" BODY "\"},"
    "\"content-available\":1,\"mutable-content\":1,\"thread-id\":\"" TAG "\"}}}}}";

static const char silent_message[] =
    "{\"message\":{\"token\":%s,"
    "\"data\":{\"type\":\"chat_wake\",\"source\":\"" SOURCE "\",\"timestamp\":\"%lld\"},"
    "\"android\":{\"priority\":\"high\",\"collapse_key\":\"" COLLAPSE_KEY "\"},"
    "\"apns\":{\"headers\":{\"apns-priority\":\"5\",\"apns-push-type\":\"background\"},"
    "\"payload\":{\"aps\":{\"content-available\":1}}}}}";

_Static_assert(sizeof silent_message <= sizeof visible_message, "the longer one is taken");

/* Avoids asprintf(), which leaves copies of the token behind. */
char *fcm_message(enum push_kind kind, const char *token, int64_t unix_s)
{
    json_t *string = json_string(token);
    char *quoted = json_dumps(string, JSON_COMPACT | JSON_ENCODE_ANY), *text = NULL;
    const long long seconds = (long long)unix_s;
    size_t size;

    if (quoted != NULL) {
        size = sizeof visible_message + strlen(quoted) + DIGITS_MAX;
        text = malloc(size);
    }
    if (text != NULL && kind == PUSH_VISIBLE)
        (void)snprintf(text, size, visible_message, quoted, seconds);
    else if (text != NULL)
        (void)snprintf(text, size, silent_message, quoted, seconds);
    wipe_free(quoted);
    json_decref(string);
    return text;
}

/* ---- The answer ------------------------------------------------------------------------------ */

static bool is_text(const json_t *value, const char *text)
{
    return json_is_string(value) && strcmp(json_string_value(value), text) == 0;
}

/* google.firebase.fcm.v1.FcmError among the details. */
static bool has_error_code(const json_t *error, const char *code)
{
    const json_t *details = json_object_get(error, "details"), *detail;
    size_t i;

    json_array_foreach(details, i, detail)
    {
        if (is_text(json_object_get(detail, "errorCode"), code))
            return true;
    }
    return false;
}

/* Judges by google.rpc.BadRequest where FCM sends one, else by the message. */
static bool names_token(const json_t *error)
{
    const json_t *details = json_object_get(error, "details"), *detail, *violation;
    const char *message = json_string_value(json_object_get(error, "message"));
    bool any = false;
    size_t i, j;

    json_array_foreach(details, i, detail)
    {
        json_array_foreach(json_object_get(detail, "fieldViolations"), j, violation)
        {
            any = true;
            if (is_text(json_object_get(violation, "field"), "message.token"))
                return true;
        }
    }
    return !any && message != NULL &&
           (strcasestr(message, "registration token") != NULL ||
            strstr(message, "message.token") != NULL);
}

static bool is_invalid_token(const json_t *error)
{
    return (has_error_code(error, "INVALID_ARGUMENT") ||
            is_text(json_object_get(error, "status"), "INVALID_ARGUMENT")) &&
           names_token(error);
}

static bool is_unregistered(const json_t *error)
{
    return has_error_code(error, "UNREGISTERED");
}

static bool is_other_sender(const json_t *error)
{
    return has_error_code(error, "SENDER_ID_MISMATCH");
}

/* The console's APNs key is wrong: a new access token would not help, and phones that are reached
 * without Apple work. */
static bool is_third_party(const json_t *error)
{
    return has_error_code(error, "THIRD_PARTY_AUTH_ERROR");
}

/* The first row that fits decides. */
static const struct rule {
    int least, most;                    /* status */
    bool (*applies)(const json_t *err); /* NULL: whatever it says */
    bool if_proven;
    enum push_outcome outcome;
} rules[] = {
    {200, 299, NULL, false, PUSH_DELIVERED},
    {400, 400, is_invalid_token, false, PUSH_DEAD_TOKEN},
    {404, 404, is_unregistered, false, PUSH_DEAD_TOKEN},
    {403, 403, is_other_sender, true, PUSH_DEAD_TOKEN},
    {401, 401, is_third_party, false, PUSH_RETRY},
    {401, 401, NULL, false, PUSH_UNAUTHORIZED},
    {403, 404, NULL, false, PUSH_MISTAKE},
    {408, 408, NULL, false, PUSH_RETRY},
    {425, 425, NULL, false, PUSH_RETRY},
    {429, 429, NULL, false, PUSH_HELD_BACK},
    {500, 599, NULL, false, PUSH_BACKEND_FAULT},
};

enum push_outcome fcm_classify(const struct http_answer *answer, bool proven)
{
    enum push_outcome outcome = PUSH_GIVEN_UP;
    /* For these the body says what follows. */
    bool body_counts = answer->status >= 400 && answer->status <= 499;
    json_t *root = NULL;
    const json_t *error;

    if (answer->result == HTTP_INVALID || answer->result == HTTP_ADDRESS_REFUSED)
        return PUSH_GIVEN_UP;
    if (answer->result != HTTP_ANSWERED)
        return PUSH_BACKEND_FAULT;
    if (body_counts && answer->cut_short)
        return PUSH_RETRY;
    if (body_counts)
        root = json_loadb(answer->body, answer->body_len, 0, NULL);
    error = json_object_get(root, "error");
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        const struct rule *rule = &rules[i];

        if (answer->status >= rule->least && answer->status <= rule->most &&
            (rule->applies == NULL || rule->applies(error)) && (!rule->if_proven || proven)) {
            outcome = rule->outcome;
            break;
        }
    }
    json_decref(root);
    return outcome;
}

/* ---- The service ----------------------------------------------------------------------------- */

static void close_service(void *service)
{
    struct fcm *fcm = service;

    oauth_free(&fcm->oauth);
    free(fcm->url);
    free(fcm);
}

/* Takes the account over. */
static struct fcm *make(const struct settings *settings, struct http_client *client,
                        struct oauth_account *account, const char *project)
{
    struct fcm *fcm = calloc(1, sizeof *fcm);

    if (fcm == NULL) {
        oauth_account_free(&account);
        return NULL;
    }
    fcm->client = client;
    if (asprintf(&fcm->url, "%s/v1/projects/%s/messages:send", settings->fcm_endpoint, project) < 0)
        fcm->url = NULL;
    fcm->oauth = oauth_new(client, account);
    if (fcm->oauth == NULL || fcm->url == NULL) {
        close_service(fcm);
        return NULL;
    }
    return fcm;
}

/* NULL: off. */
static struct fcm *make_if_on(const struct settings *settings, struct http_client *client)
{
    struct fcm_account opened;

    fcm_account_open(&opened, settings);
    if (opened.account == NULL) {
        if (opened.is_wanted)
            log_warn("FCM: it is off: %s", opened.why_off);
        return NULL;
    }
    if (opened.warning[0] != '\0')
        log_warn("FCM: %s", opened.warning);
    return make(settings, client, opened.account, opened.project);
}

static bool open_service(const struct settings *settings, struct http_client *client,
                         void **service)
{
    *service = make_if_on(settings, client);
    return true;
}

/* Keeps the access token fresh. */
static int64_t run(void *service, int64_t now_ms, int64_t unix_s)
{
    return oauth_run(((struct fcm *)service)->oauth, now_ms, unix_s);
}

/* Whether there is an access token: without one nothing can be pushed. */
static bool ready(const void *service, int64_t now_ms)
{
    uint64_t generation;

    return oauth_token(((const struct fcm *)service)->oauth, now_ms, &generation) != NULL;
}

/* Whatever is no URL. */
static bool accepts(const struct registration *registration)
{
    return strstr(registration->token, ENDPOINT_URL_MARK) == NULL;
}

/* Loud, but not once a push. */
static void complain(struct fcm *fcm, int status, int64_t now_ms)
{
    if (fcm->complained && now_ms - fcm->complained_ms < COMPLAIN_EVERY_MS)
        return;
    fcm->complained = true;
    fcm->complained_ms = now_ms;
    log_error("FCM: it answers %d: check FIREBASE_PROJECT_ID, the service account's permissions%s",
              status, status == 401 ? " and the APNs key in the Firebase console" : "");
}

static struct push_result classify(const void *service, const struct http_answer *answer)
{
    const struct fcm *fcm = service;
    struct push_result result = {.outcome = PUSH_CANCELLED, .retry_after_ms = -1};

    if (answer->result == HTTP_CANCELLED)
        return result;
    result.outcome = fcm_classify(answer, fcm->proven);
    result.answered = answer->result == HTTP_ANSWERED;
    if (result.outcome == PUSH_RETRY || result.outcome == PUSH_BACKEND_FAULT ||
        result.outcome == PUSH_HELD_BACK)
        result.retry_after_ms = answer->retry_after_ms;
    if (result.outcome == PUSH_HELD_BACK && result.retry_after_ms < 0)
        result.retry_after_ms = TOO_MANY_MS;
    return result;
}

/* What the next pushes need to know of this one. */
static void learn(struct fcm *fcm, const struct http_answer *answer, enum push_outcome outcome,
                  uint64_t generation)
{
    int64_t now_ms = clock_monotonic_ms();

    if (outcome == PUSH_DELIVERED) {
        fcm->proven = true;
        oauth_accepted(fcm->oauth, generation);
    } else if (outcome == PUSH_UNAUTHORIZED) {
        oauth_refused(fcm->oauth, generation, now_ms);
    } else if (outcome == PUSH_MISTAKE || (outcome == PUSH_RETRY && answer->status == 401)) {
        complain(fcm, answer->status, now_ms);
    }
}

static void take_answer(const struct http_answer *answer, void *arg)
{
    struct fcm_push push = *(struct fcm_push *)arg;
    struct push_result result = classify(push.fcm, answer);

    free(arg);
    learn(push.fcm, answer, result.outcome, push.generation);
    if (log_is_debug())
        push_answer_describe(result.answer, answer);
    push.done(&result, push.arg);
}

static bool send_message(struct fcm *fcm, const char *authorization, const char *message,
                         struct fcm_push *push)
{
    const char *const headers[] = {authorization, "Content-Type: application/json; charset=UTF-8",
                                   "Accept: application/json", NULL};
    const struct http_request request = {
        .url = fcm->url,
        .headers = headers,
        .body = message,
        .body_len = strlen(message),
        .connect_timeout_ms = CONNECT_TIMEOUT_MS,
        .timeout_ms = TIMEOUT_MS,
        .answer_limit = ANSWER_MAX,
        .shares_connection = true,
    };

    return http_client_start(fcm->client, &request, take_answer, push);
}

static enum push_start push(void *service, const struct push_order *order, push_done_fn *done,
                            void *arg)
{
    char authorization[sizeof "Authorization: Bearer " + OAUTH_TOKEN_MAX];
    struct fcm *fcm = service;
    struct fcm_push *made = malloc(sizeof *made);
    char *message = fcm_message(order->kind, order->registration->token, order->unix_s);
    const char *access;
    uint64_t generation;
    bool started = false;

    access = oauth_token(fcm->oauth, order->now_ms, &generation);
    if (made != NULL && message != NULL && access != NULL) {
        *made = (struct fcm_push){.fcm = fcm, .generation = generation, .done = done, .arg = arg};
        (void)snprintf(authorization, sizeof authorization, "Authorization: Bearer %s", access);
        started = send_message(fcm, authorization, message, made);
        OPENSSL_cleanse(authorization, sizeof authorization);
    }
    wipe_free(message);
    if (!started)
        free(made);
    return started ? PUSH_STARTED : PUSH_NO_MEMORY;
}

const struct push_backend fcm_backend = {
    .name = "FCM",
    .host_connections = CONNECTIONS,
    .counters = PUSH_COUNTERS(FCM),
    .accepts = accepts,
    .open = open_service,
    .close = close_service,
    .run = run,
    .ready = ready,
    .push = push,
    .classify = classify,
};
