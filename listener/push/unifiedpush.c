#include "unifiedpush.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/must.h"
#include "base/url.h"
#include "device/address_guard.h"
#include "device/endpoint_url.h"
#include "device/web_push_keys.h"
#include "log/log.h"
#include "push_answer.h"
#include "push_notices.h"
#include "registry/registration.h"
#include "settings/settings.h"
#include "vapid.h"
#include "web_push.h"

#define CONNECT_TIMEOUT_MS 2000
#define TIMEOUT_MS         5000
#define AGAIN_TIMEOUT_MS   1000 /* the least time for another form of the same push */
#define ANSWER_MAX         4096

struct unifiedpush {
    const struct settings *settings;
    struct http_client *client;
    struct web_push *web_push;
    struct vapid *vapid; /* NULL: there is no key */
    struct push_notices *notices;
};

/* What a push carries. */
struct content {
    uint8_t body[UNIFIEDPUSH_BODY_SIZE + WEB_PUSH_OVERHEAD];
    size_t len;
    bool is_encrypted;
};

/* A push under way. */
struct unifiedpush_push {
    struct unifiedpush *unifiedpush;
    push_done_fn *done;
    void *arg;
    int64_t begun_ms;
    int64_t unix_s;
    struct content content;
    bool is_signed;
    char url[];
};

bool unifiedpush_is_endpoint(const char *token)
{
    return strstr(token, ENDPOINT_URL_MARK) != NULL;
}

/* ---- The endpoint ---------------------------------------------------------------------------- */

bool unifiedpush_host(const char *url, const struct settings_regex *allowed, bool allow_private,
                      char host[PUSH_HOST_MAX])
{
    size_t len = strlen(url);
    struct url parts;

    if (!endpoint_url_is_admitted(url, len, allow_private,
                                  allowed->set ? &allowed->compiled : NULL))
        return false;
    MUST(endpoint_url_parse(&parts, url, len, allow_private));
    url_write_authority(host, &parts, true);
    return true;
}

bool unifiedpush_origin(const char *url, char origin[UNIFIEDPUSH_ORIGIN_MAX])
{
    struct url parts;
    bool is_https;

    if (url_parse(&parts, url, strlen(url), URL_USERINFO_OF_AUTHORITY) != URL_GOOD ||
        !url_is_for_http(&parts))
        return false;
    is_https = url_scheme_is(&parts, "https");
    (void)strcpy(origin, is_https ? "https://" : "http://");
    url_write_authority(origin + strlen(origin), &parts, !url_has_default_port(&parts));
    return true;
}

/* ---- The message and its answer -------------------------------------------------------------- */

size_t unifiedpush_message(char body[UNIFIEDPUSH_BODY_SIZE], int64_t unix_s)
{
    return (size_t)snprintf(body, UNIFIEDPUSH_BODY_SIZE,
                            "{\"type\":\"silent_wake\",\"timestamp\":%lld}", (long long)unix_s);
}

/* The first row that fits decides; any other status is given up. */
static const struct rule {
    int least, most;
    enum push_outcome outcome;
} rules[] = {
    {200, 299, PUSH_DELIVERED},     {404, 404, PUSH_DEAD_TOKEN}, {410, 410, PUSH_DEAD_TOKEN},
    {408, 408, PUSH_RETRY},         {425, 425, PUSH_RETRY},      {429, 429, PUSH_HELD_BACK},
    {500, 599, PUSH_BACKEND_FAULT},
};

struct push_result unifiedpush_classify(const struct http_answer *answer)
{
    struct push_result result = {.outcome = PUSH_GIVEN_UP,
                                 .retry_after_ms = -1,
                                 .answered = answer->result == HTTP_ANSWERED,
                                 .timed_out = answer->timed_out};

    memcpy(result.peer, answer->peer, sizeof result.peer);
    switch (answer->result) {
    case HTTP_ANSWERED:
        break;
    case HTTP_UNREACHABLE: /* it also looks so when our own network is lost */
    case HTTP_TIMED_OUT:   /* and where there was a connection before, this */
    case HTTP_BROKEN:
        result.outcome = PUSH_BACKEND_FAULT;
        return result;
    case HTTP_CANCELLED:
        result.outcome = PUSH_CANCELLED;
        return result;
    case HTTP_ADDRESS_REFUSED:
    case HTTP_INVALID:
        return result;
    }
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        if (answer->status >= rules[i].least && answer->status <= rules[i].most) {
            result.outcome = rules[i].outcome;
            break;
        }
    }
    if (result.outcome == PUSH_RETRY || result.outcome == PUSH_BACKEND_FAULT ||
        result.outcome == PUSH_HELD_BACK)
        result.retry_after_ms = answer->retry_after_ms;
    /* A distributor that limits an endpoint says for how long; one that does not counts all our
     * pushes (ntfy). */
    result.holds_host = result.outcome == PUSH_HELD_BACK && result.retry_after_ms < 0;
    return result;
}

/* A dead token is no failure: it is how devices leave. */
static void tell(struct unifiedpush *it, const char *url, const struct http_answer *answer,
                 enum push_outcome outcome)
{
    struct url parts;
    char host[URL_HOST_SIZE];

    if (outcome == PUSH_DELIVERED || outcome == PUSH_DEAD_TOKEN || outcome == PUSH_CANCELLED)
        return;
    if (!endpoint_url_parse(&parts, url, strlen(url), true))
        return;
    url_write_host(host, &parts);
    push_notices_failed(it->notices, host, answer, clock_monotonic_ms());
}

/* ---- Pushing --------------------------------------------------------------------------------- */

static void close_service(void *service)
{
    struct unifiedpush *it = service;

    web_push_free(&it->web_push);
    vapid_free(&it->vapid);
    push_notices_free(&it->notices);
    free(it);
}

static bool open_service(const struct settings *settings, struct http_client *client,
                         void **service)
{
    struct unifiedpush *it;

    *service = NULL;
    if (!settings->unifiedpush_enabled)
        return true;
    it = calloc(1, sizeof *it);
    if (it == NULL)
        return false;
    it->settings = settings;
    it->client = client;
    it->web_push = web_push_new();
    it->notices = push_notices_new();
    if (settings->vapid_key != NULL)
        it->vapid = vapid_new(settings->vapid_key, settings->vapid_subject);
    if (it->web_push == NULL || it->notices == NULL ||
        (settings->vapid_key != NULL && it->vapid == NULL)) {
        close_service(it);
        return false;
    }
    *service = it;
    return true;
}

static bool accepts(const struct registration *registration)
{
    return unifiedpush_is_endpoint(registration->token);
}

static bool find_host(const void *service, const struct registration *registration,
                      char host[PUSH_HOST_MAX])
{
    const struct settings *settings = ((const struct unifiedpush *)service)->settings;

    return registration->platform == PLATFORM_ANDROID &&
           unifiedpush_host(registration->token, &settings->unifiedpush_allowed_hosts,
                            settings->unifiedpush_allow_private, host);
}

/* Redis holds what a responder has checked, but others may write there. A device whose keys are
 * lost gets an empty message (RFC 8030), which needs no encryption. */
static enum push_start make_content(struct unifiedpush *it, const struct registration *registration,
                                    int64_t unix_s, struct content *content)
{
    char message[UNIFIEDPUSH_BODY_SIZE];
    size_t len = unifiedpush_message(message, unix_s);
    struct web_push_keys keys;
    enum web_push_result encrypted = WEB_PUSH_BAD_KEYS;

    *content = (struct content){.len = 0};
    if (strcmp(registration->p256dh, REGISTRY_KEYS_LOST) == 0)
        return PUSH_STARTED;
    content->is_encrypted = registration->p256dh[0] != '\0' || registration->auth[0] != '\0';
    if (!content->is_encrypted) {
        memcpy(content->body, message, len);
        content->len = len;
        return PUSH_STARTED;
    }
    if (web_push_keys_decode(&keys, registration->p256dh, strlen(registration->p256dh),
                             registration->auth, strlen(registration->auth)))
        encrypted = web_push_encrypt(it->web_push, &keys, message, len, content->body);
    OPENSSL_cleanse(&keys, sizeof keys);
    content->len = len + WEB_PUSH_OVERHEAD;
    if (encrypted == WEB_PUSH_BAD_KEYS)
        return PUSH_BAD_REGISTRATION;
    return encrypted == WEB_PUSH_OK ? PUSH_STARTED : PUSH_NO_MEMORY;
}

/* NULL: the push is not signed. */
static enum push_start make_signature(const struct unifiedpush_push *push,
                                      const char **authorization)
{
    char origin[UNIFIEDPUSH_ORIGIN_MAX];

    *authorization = NULL;
    if (!push->is_signed)
        return PUSH_STARTED;
    if (!unifiedpush_origin(push->url, origin))
        return PUSH_BAD_REGISTRATION;
    *authorization = vapid_header(push->unifiedpush->vapid, origin, push->unix_s);
    OPENSSL_cleanse(origin, sizeof origin);
    return *authorization != NULL ? PUSH_STARTED : PUSH_NO_MEMORY;
}

static void take_answer(const struct http_answer *answer, void *arg);

/* Sends the push in its present form. */
static enum push_start send_push(struct unifiedpush_push *push, long timeout_ms)
{
    const struct content *content = &push->content;
    bool allow_private = push->unifiedpush->settings->unifiedpush_allow_private;
    const char *headers[6] = {"TTL: 86400", "Urgency: high"}, *authorization;
    enum push_start result = make_signature(push, &authorization);
    size_t n = 2;
    struct http_request request = {
        .url = push->url,
        .headers = headers,
        .body = (const char *)content->body,
        .body_len = content->len,
        .connect_timeout_ms = CONNECT_TIMEOUT_MS,
        .timeout_ms = timeout_ms,
        .answer_limit = ANSWER_MAX,
        .allow_http = allow_private,
        .address_check = allow_private ? NULL : address_guard_is_public,
    };

    if (result != PUSH_STARTED)
        return result;
    if (content->is_encrypted) {
        headers[n++] = "Content-Type: application/octet-stream";
        headers[n++] = "Content-Encoding: aes128gcm";
    } else {
        /* libcurl would add a type of its own. */
        headers[n++] = content->len > 0 ? "Content-Type: application/json" : "Content-Type:";
    }
    if (authorization != NULL)
        headers[n++] = authorization;
    return http_client_start(push->unifiedpush->client, &request, take_answer, push)
               ? PUSH_STARTED
               : PUSH_NO_MEMORY;
}

static void push_free(struct unifiedpush_push *push)
{
    OPENSSL_cleanse(push, sizeof *push + strlen(push->url));
    free(push);
}

/* Leaves out the refused part of the form. False where something else was refused, or it has been
 * left out before. */
static bool simplify(struct unifiedpush_push *push, const struct http_answer *answer)
{
    struct content *content = &push->content;

    if (answer->result != HTTP_ANSWERED)
        return false;
    if (answer->status == 400 && !content->is_encrypted && content->len > 0) {
        content->len = 0;
        return true;
    }
    if (answer->status == 401 && push->is_signed) {
        push->is_signed = false;
        return true;
    }
    return false;
}

static void take_answer(const struct http_answer *answer, void *arg)
{
    struct unifiedpush_push *push = arg;
    struct push_result result = unifiedpush_classify(answer);

    if (simplify(push, answer)) {
        int64_t left_ms = push->begun_ms + TIMEOUT_MS - clock_monotonic_ms();

        if (send_push(push, left_ms > AGAIN_TIMEOUT_MS ? (long)left_ms : AGAIN_TIMEOUT_MS) ==
            PUSH_STARTED)
            return;
        result.outcome = PUSH_RETRY; /* for want of memory */
    }
    tell(push->unifiedpush, push->url, answer, result.outcome);
    if (log_is_debug())
        push_answer_describe(result.answer, answer);
    push->done(&result, push->arg);
    push_free(push);
}

static enum push_start push(void *service, const struct push_order *order, push_done_fn *done,
                            void *arg)
{
    struct unifiedpush *it = service;
    const struct registration *registration = order->registration;
    size_t size = strlen(registration->token) + 1;
    struct unifiedpush_push *made = calloc(1, sizeof *made + size);
    enum push_start result;

    if (made == NULL)
        return PUSH_NO_MEMORY;
    made->unifiedpush = it;
    made->done = done;
    made->arg = arg;
    made->begun_ms = clock_monotonic_ms();
    made->unix_s = order->unix_s;
    made->is_signed = it->vapid != NULL;
    memcpy(made->url, registration->token, size);
    result = make_content(it, registration, order->unix_s, &made->content);
    if (result == PUSH_STARTED)
        result = send_push(made, TIMEOUT_MS);
    if (result != PUSH_STARTED)
        push_free(made);
    return result;
}

static struct push_result classify(const void *service, const struct http_answer *answer)
{
    (void)service;
    return unifiedpush_classify(answer);
}

const struct push_backend unifiedpush_backend = {
    .name = "UnifiedPush",
    .host_connections = PUSH_HOST_CONNECTIONS,
    .counters = PUSH_COUNTERS(UNIFIEDPUSH),
    .accepts = accepts,
    .open = open_service,
    .close = close_service,
    .host = find_host,
    .push = push,
    .classify = classify,
};
