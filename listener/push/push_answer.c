#include "push_answer.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "push_notices.h"

/* FCM's codes and Google's statuses, as documented. No other word is shown, because it could be
 * anything. */
static const char *const codes[] = {
    "UNSPECIFIED_ERROR",   "INVALID_ARGUMENT",  "UNREGISTERED",    "SENDER_ID_MISMATCH",
    "QUOTA_EXCEEDED",      "UNAVAILABLE",       "INTERNAL",        "THIRD_PARTY_AUTH_ERROR",
    "NOT_FOUND",           "PERMISSION_DENIED", "UNAUTHENTICATED", "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION", "DEADLINE_EXCEEDED", "ABORTED",
};

static const char *known(const json_t *word)
{
    const char *text = json_string_value(word);

    for (size_t i = 0; text != NULL && i < sizeof codes / sizeof codes[0]; i++)
        if (strcmp(text, codes[i]) == 0)
            return codes[i];
    return NULL;
}

/* FCM's errorCode, or, where it gives none, the status of its error. NULL: none. */
static const char *code_of(const json_t *root)
{
    const json_t *error = json_object_get(root, "error"), *detail;
    const char *code;
    size_t i;

    json_array_foreach(json_object_get(error, "details"), i, detail)
    {
        code = known(json_object_get(detail, "errorCode"));
        if (code != NULL)
            return code;
    }
    return known(json_object_get(error, "status"));
}

static void describe_status(char out[PUSH_ANSWER_SIZE], const struct http_answer *answer)
{
    json_t *root = json_loadb(answer->body, answer->body_len, 0, NULL);
    const char *code = code_of(root);
    int number = push_notices_errno(answer);

    if (code != NULL)
        (void)snprintf(out, PUSH_ANSWER_SIZE, "%d %s", answer->status, code);
    else if (number >= 0)
        (void)snprintf(out, PUSH_ANSWER_SIZE, "%d, errno %d", answer->status, number);
    else
        (void)snprintf(out, PUSH_ANSWER_SIZE, "%d", answer->status);
    json_decref(root);
}

void push_answer_describe(char out[PUSH_ANSWER_SIZE], const struct http_answer *answer)
{
    static const char *const words[] = {
        [HTTP_ANSWERED] = "",
        [HTTP_UNREACHABLE] = "no connection",
        [HTTP_TIMED_OUT] = "no answer in time",
        [HTTP_BROKEN] = "broken connection",
        [HTTP_ADDRESS_REFUSED] = "no public address",
        [HTTP_INVALID] = "no usable URL",
        [HTTP_CANCELLED] = "cancelled",
    };

    if (answer->result == HTTP_ANSWERED)
        describe_status(out, answer);
    else
        (void)snprintf(out, PUSH_ANSWER_SIZE, "%s", words[answer->result]);
}
