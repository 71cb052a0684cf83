#include "unifiedpush.h"

#include <curl/curl.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "address_guard.h"
#include "endpoint_url.h"

#define CONNECT_TIMEOUT_MS 2000
#define TIMEOUT_MS         5000
#define ANSWER_MAX         4096

struct unifiedpush_push {
    push_done_fn *done;
    void *arg;
};

bool unifiedpush_is_endpoint(const char *token)
{
    return strstr(token, ENDPOINT_URL_MARK) != NULL;
}

/* ---- The endpoint ---------------------------------------------------------------------------- */

static void lower(char *text)
{
    for (; *text != '\0'; text++) {
        if (*text >= 'A' && *text <= 'Z')
            *text = (char)(*text - 'A' + 'a');
    }
}

static void wipe_part(char *text)
{
    if (text != NULL)
        OPENSSL_cleanse(text, strlen(text));
    curl_free(text);
}

bool unifiedpush_host(const char *url, const struct settings_regex *allowed, bool allow_http,
                      char host[HOST_SLOTS_NAME_MAX])
{
    char *scheme = NULL, *name = NULL, *port = NULL;
    CURLU *parts = curl_url();
    bool ok = false;
    int len;

    if (parts == NULL || curl_url_set(parts, CURLUPART_URL, url, 0) != CURLUE_OK ||
        curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
        curl_url_get(parts, CURLUPART_HOST, &name, 0) != CURLUE_OK ||
        curl_url_get(parts, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) != CURLUE_OK)
        goto out;
    if (strcmp(scheme, "https") != 0 && !(allow_http && strcmp(scheme, "http") == 0))
        goto out;
    lower(name);
    if (allowed->set && regexec(&allowed->compiled, name, 0, NULL, 0) != 0)
        goto out;
    len = snprintf(host, HOST_SLOTS_NAME_MAX, "%s:%s", name, port);
    ok = len > 0 && len < HOST_SLOTS_NAME_MAX;

out:
    wipe_part(scheme);
    wipe_part(name);
    wipe_part(port);
    curl_url_cleanup(parts);
    return ok;
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
    {200, 299, PUSH_DELIVERED}, {404, 404, PUSH_DEAD_TOKEN}, {410, 410, PUSH_DEAD_TOKEN},
    {408, 408, PUSH_RETRY},     {425, 425, PUSH_RETRY},      {429, 429, PUSH_RETRY},
    {500, 599, PUSH_RETRY},
};

struct push_result unifiedpush_classify(const struct http_answer *answer)
{
    struct push_result result = {.outcome = PUSH_GIVEN_UP,
                                 .retry_after_ms = -1,
                                 .answered = answer->result == HTTP_ANSWERED,
                                 .timed_out = answer->timed_out,
                                 .multiplexed = answer->multiplexed};

    switch (answer->result) {
    case HTTP_ANSWERED:
        break;
    case HTTP_UNREACHABLE: /* that is what the loss of our own network looks like */
        result.outcome = PUSH_BACKEND_FAULT;
        return result;
    case HTTP_TIMED_OUT:
    case HTTP_BROKEN:
        result.outcome = PUSH_RETRY;
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
    if (result.outcome == PUSH_RETRY) {
        result.retry_after_ms = answer->retry_after_ms;
        result.hold_endpoint = answer->status == 429;
    }
    return result;
}

static void take_answer(const struct http_answer *answer, void *arg)
{
    struct unifiedpush_push push = *(struct unifiedpush_push *)arg;
    struct push_result result = unifiedpush_classify(answer);

    free(arg);
    push.done(&result, push.arg);
}

bool unifiedpush_push(const struct settings *settings, struct http_client *client,
                      const struct registration *registration, int64_t unix_s, push_done_fn *done,
                      void *arg)
{
    static const char *const headers[] = {"Content-Type: application/json", "TTL: 86400",
                                          "Urgency: high", NULL};
    bool allow_private = settings->unifiedpush_allow_private;
    struct unifiedpush_push *push = malloc(sizeof *push);
    char body[UNIFIEDPUSH_BODY_SIZE];
    struct http_request request = {
        .url = registration->token,
        .headers = headers,
        .body = body,
        .body_len = unifiedpush_message(body, unix_s),
        .connect_timeout_ms = CONNECT_TIMEOUT_MS,
        .timeout_ms = TIMEOUT_MS,
        .answer_limit = ANSWER_MAX,
        .allow_http = allow_private,
        .address_check = allow_private ? NULL : address_guard_is_public,
    };

    if (push == NULL)
        return false;
    *push = (struct unifiedpush_push){.done = done, .arg = arg};
    if (http_client_start(client, &request, take_answer, push))
        return true;
    free(push);
    return false;
}
