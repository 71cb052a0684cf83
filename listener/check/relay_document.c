#include "relay_document.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "log/log.h"
#include "nostr/relay_url.h"
#include "push/http_client.h"

#define TIMEOUT_MS 5000
#define STEP_MS    50

struct words {
    char *text;
    size_t used;
};

static void add(struct words *words, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* What does not fit is left out. */
static void add(struct words *words, const char *format, ...)
{
    size_t room = RELAY_DOCUMENT_SIZE - words->used;
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(words->text + words->used, room, format, args);
    va_end(args);
    if (n > 0 && (size_t)n < room)
        words->used += (size_t)n;
    else
        words->text[words->used] = '\0';
}

/* Of a URL, as software is named by one, its end. */
static void add_text(struct words *words, const json_t *document, const char *name)
{
    const char *value = json_string_value(json_object_get(document, name));
    const char *slash = value != NULL ? strrchr(value, '/') : NULL;
    char redacted[LOG_REDACTED_SIZE];

    if (slash != NULL)
        value = slash + 1;
    if (value != NULL)
        add(words, "%s%s", words->used > 0 ? " " : "", log_redact(redacted, value, strlen(value)));
}

static void add_limit(struct words *words, const json_t *limits, const char *name)
{
    const json_t *value = json_object_get(limits, name);

    if (json_is_true(value))
        add(words, "; %s", name);
    else if (json_is_integer(value))
        add(words, "; %s %lld", name, (long long)json_integer_value(value));
}

bool relay_document_read(const char *json, size_t len, char text[RELAY_DOCUMENT_SIZE])
{
    static const char *const limits[] = {
        "auth_required",      "payment_required",   "restricted_writes",
        "max_message_length", "max_subscriptions",  "max_limit",
        "max_content_length", "min_pow_difficulty", "created_at_lower_limit"};
    json_t *document = json_loadb(json, len, JSON_REJECT_DUPLICATES, NULL);
    struct words words = {.text = text};
    bool good = json_is_object(document);

    text[0] = '\0';
    add_text(&words, document, "software");
    add_text(&words, document, "version");
    if (good && words.used == 0)
        add(&words, "it does not say what it is");
    for (size_t i = 0; good && i < sizeof limits / sizeof limits[0]; i++)
        add_limit(&words, json_object_get(document, "limitation"), limits[i]);
    json_decref(document);
    return good;
}

struct fetch {
    char *words;
    bool is_done, is_good;
};

static void take_answer(const struct http_answer *answer, void *arg)
{
    struct fetch *fetch = arg;

    fetch->is_done = true;
    if (answer->result != HTTP_ANSWERED)
        (void)snprintf(fetch->words, RELAY_DOCUMENT_SIZE, "no answer");
    else if (answer->status != 200)
        (void)snprintf(fetch->words, RELAY_DOCUMENT_SIZE, "status %d", answer->status);
    else if (relay_document_read(answer->body, answer->body_len, fetch->words))
        fetch->is_good = true;
    else
        (void)snprintf(fetch->words, RELAY_DOCUMENT_SIZE, "what comes is none");
}

bool relay_document_fetch(const struct relay_url *url, const char *ca_file,
                          char words[RELAY_DOCUMENT_SIZE])
{
    static const char *const headers[] = {"Accept: application/nostr+json", NULL};
    const struct http_client_options options = {.ca_file = ca_file, .host_connections = 1};
    struct http_client *client = http_client_new(&options);
    struct http_request request = {.headers = headers,
                                   .is_get = true,
                                   .connect_timeout_ms = TIMEOUT_MS,
                                   .timeout_ms = TIMEOUT_MS,
                                   .answer_limit = HTTP_CLIENT_ANSWER_MAX,
                                   .allow_http = !url->tls};
    struct fetch fetch = {.words = words};
    char *address = NULL;

    (void)snprintf(words, RELAY_DOCUMENT_SIZE, "out of memory");
    if (client != NULL &&
        asprintf(&address, "http%s://%s%s", url->tls ? "s" : "", url->authority, url->path) < 0)
        address = NULL;
    request.url = address;
    if (address != NULL && http_client_start(client, &request, take_answer, &fetch))
        while (!fetch.is_done)
            http_client_wait(client, STEP_MS);
    free(address);
    http_client_free(&client);
    return fetch.is_good;
}
