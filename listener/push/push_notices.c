#include "push_notices.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/expiring_set.h"
#include "log/log.h"

#define NAME_SIZE 300 /* a host and one of its troubles */
#define ERRNO_MAX 9999

struct push_notices {
    struct expiring_set *made;
    int64_t full_until_ms; /* when the line that there are too many may be written again */
};

struct push_notices *push_notices_new(void)
{
    struct push_notices *notices = calloc(1, sizeof *notices);

    if (notices == NULL)
        return NULL;
    notices->full_until_ms = INT64_MIN;
    notices->made = expiring_set_new(PUSH_NOTICES_MAX);
    if (notices->made == NULL)
        push_notices_free(&notices);
    return notices;
}

void push_notices_free(struct push_notices **notices)
{
    if (*notices == NULL)
        return;
    expiring_set_free(&(*notices)->made);
    free(*notices);
    *notices = NULL;
}

static void tell_that_it_is_full(struct push_notices *notices, int64_t now_ms)
{
    if (now_ms < notices->full_until_ms)
        return;
    notices->full_until_ms = now_ms + PUSH_NOTICES_EVERY_MS;
    log_warn("UnifiedPush: more than %d distributors are in trouble within an hour; further ones "
             "are not named",
             PUSH_NOTICES_MAX);
}

/* Whether to log this of the host now; counts it as logged. */
static bool is_due(struct push_notices *notices, const char *host, bool address_refused,
                   int64_t now_ms)
{
    char name[NAME_SIZE];

    (void)snprintf(name, sizeof name, "%s %s", address_refused ? "address" : "push", host);
    expiring_set_expire(notices->made, now_ms);
    if (expiring_set_until(notices->made, name, now_ms) != INT64_MIN)
        return false;
    if (expiring_set_count(notices->made) >= PUSH_NOTICES_MAX) {
        tell_that_it_is_full(notices, now_ms);
        return false;
    }
    expiring_set_set(notices->made, name, now_ms + PUSH_NOTICES_EVERY_MS, now_ms);
    return true;
}

int push_notices_errno(const struct http_answer *answer)
{
    json_t *root = json_loadb(answer->body, answer->body_len, 0, NULL);
    const json_t *number = json_object_get(root, "errno");
    json_int_t value = json_is_integer(number) ? json_integer_value(number) : -1;

    json_decref(root);
    return value >= 0 && value <= ERRNO_MAX ? (int)value : -1;
}

static void tell_status(const char *host, const struct http_answer *answer)
{
    int number = push_notices_errno(answer);

    if (number >= 0)
        log_warn("UnifiedPush: %s answers %d, errno %d", host, answer->status, number);
    else
        log_warn("UnifiedPush: %s answers %d", host, answer->status);
}

void push_notices_failed(struct push_notices *notices, const char *host,
                         const struct http_answer *answer, int64_t now_ms)
{
    char shown[LOG_REDACTED_SIZE];

    if (!is_due(notices, host, answer->result == HTTP_ADDRESS_REFUSED, now_ms))
        return;
    (void)log_redact(shown, host, strlen(host));
    switch (answer->result) {
    case HTTP_ANSWERED:
        tell_status(shown, answer);
        break;
    case HTTP_UNREACHABLE:
        log_warn("UnifiedPush: %s cannot be reached", shown);
        break;
    case HTTP_TIMED_OUT:
        log_warn("UnifiedPush: %s does not answer in time", shown);
        break;
    case HTTP_BROKEN:
        log_warn("UnifiedPush: %s breaks connections off, or does not speak HTTP", shown);
        break;
    case HTTP_ADDRESS_REFUSED:
        log_info("UnifiedPush: %s is at an address that is not public; nothing is sent there",
                 shown);
        break;
    case HTTP_INVALID:
    case HTTP_CANCELLED:
        break;
    }
}
