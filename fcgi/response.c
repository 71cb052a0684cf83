#include "response.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"

#define ERROR_FORMAT "{\"success\":false,\"message\":\"%s%s%s\"}"

void response_clear(struct response *response)
{
    free(response->owned);
    memset(response, 0, sizeof *response);
}

static void set_body(struct response *response, int status, char *body, int len)
{
    free(response->owned);
    response->status = len >= 0 ? status : 500;
    response->owned = len >= 0 ? body : NULL;
    response->body = response->owned;
    response->body_len = len >= 0 ? (size_t)len : 0;
}

void response_constant(struct response *response, int status, const char *body)
{
    set_body(response, status, NULL, 0);
    response->body = body;
    response->body_len = strlen(body);
}

void response_json(struct response *response, int status, const char *format, ...)
{
    char *body = NULL;
    va_list args;
    int len;

    va_start(args, format);
    len = vasprintf(&body, format, args);
    va_end(args);
    set_body(response, status, body, len);
}

void response_text(struct response *response, int status, const char *content_type, char *body,
                   size_t len)
{
    response->content_type = content_type;
    set_body(response, status, body, body != NULL && len <= INT_MAX ? (int)len : -1);
}

void response_error(struct response *response, int status, const char *message)
{
    response_json(response, status, ERROR_FORMAT, message, "", "");
}

/* The short escape of RFC 8259, section 7, or '\0'. */
static char short_escape(char c)
{
    static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
    const char *at = c != '\0' ? strchr(from, c) : NULL;

    return at != NULL ? to[at - from] : '\0';
}

static void escape(char *out, const char *text)
{
    for (; *text != '\0'; text++) {
        char mnemonic = short_escape(*text);

        if (mnemonic != '\0') {
            *out++ = '\\';
            *out++ = mnemonic;
        } else if ((unsigned char)*text < 0x20) {
            out += sprintf(out, "\\u%04x", (unsigned char)*text);
        } else {
            *out++ = *text;
        }
    }
    *out = '\0';
}

void response_error_about(struct response *response, int status, const char *before,
                          const char *text, const char *after)
{
    char *escaped = malloc(6 * strlen(text) + 1);

    if (escaped == NULL) {
        set_body(response, status, NULL, -1);
        return;
    }
    escape(escaped, text);
    response_json(response, status, ERROR_FORMAT, before, escaped, after);
    free(escaped);
}

void response_set_request_id(struct response *response, const uint8_t random[RESPONSE_RANDOM_SIZE])
{
    uint8_t bytes[RESPONSE_RANDOM_SIZE];
    char hex[33], *out = response->request_id;

    memcpy(bytes, random, sizeof bytes);
    bytes[6] = (uint8_t)((bytes[6] & 0x0f) | 0x40);
    bytes[8] = (uint8_t)((bytes[8] & 0x3f) | 0x80);
    hex_encode(hex, bytes, sizeof bytes);
    for (size_t i = 0; hex[i] != '\0'; i++) {
        if (i == 8 || i == 12 || i == 16 || i == 20)
            *out++ = '-';
        *out++ = hex[i];
    }
    *out = '\0';
}

static const char *reason(int status)
{
    static const struct {
        int status;
        const char *reason;
    } reasons[] = {
        {200, "OK"},
        {202, "Accepted"},
        {400, "Bad Request"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {413, "Content Too Large"},
        {429, "Too Many Requests"},
        {500, "Internal Server Error"},
        {503, "Service Unavailable"},
    };

    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++)
        if (reasons[i].status == status)
            return reasons[i].reason;
    return "Unknown";
}

/* A head that is being written; what does not fit is left out. */
struct head {
    char *out;
    size_t size, used;
};

static void put(struct head *head, const char *text)
{
    size_t len = strlen(text);

    if (len < head->size - head->used) {
        memcpy(head->out + head->used, text, len + 1);
        head->used += len;
    }
}

static void put_number(struct head *head, size_t number)
{
    char digits[24];
    char *at = digits + sizeof digits - 1;

    *at = '\0';
    do
        *--at = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    put(head, at);
}

static void put_field(struct head *head, const char *name, const char *value)
{
    put(head, name);
    put(head, value);
    put(head, "\r\n");
}

static void put_number_field(struct head *head, const char *name, size_t number)
{
    put(head, name);
    put_number(head, number);
    put(head, "\r\n");
}

size_t response_head(const struct response *response, char *out, size_t size)
{
    struct head head = {.out = out, .size = size};

    put(&head, "Status: ");
    put_number(&head, (size_t)response->status);
    put_field(&head, " ", reason(response->status));
    put_field(&head, "Content-Type: ",
              response->content_type != NULL ? response->content_type : "application/json");
    put_number_field(&head, "Content-Length: ", response->body_len);
    if (response->allow != NULL)
        put_field(&head, "Allow: ", response->allow);
    if (response->retry_after_s > 0)
        put_number_field(&head, "Retry-After: ", response->retry_after_s);
    if (response->request_id[0] != '\0')
        put_field(&head, "X-Request-Id: ", response->request_id);
    put(&head, "\r\n");
    return head.used;
}
