#include "response.h"

#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hex.h"
#include "random.h"

#define ERROR_FORMAT "{\"success\":false,\"message\":\"%s%s%s\"}"

void response_clear(struct response *response)
{
    free(response->body);
    memset(response, 0, sizeof *response);
}

static void set_body(struct response *response, int status, char *body, int len)
{
    free(response->body);
    response->status = len >= 0 ? status : 500;
    response->body = len >= 0 ? body : NULL;
    response->body_len = len >= 0 ? (size_t)len : 0;
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

void response_draw_request_id(struct response *response)
{
    uint8_t bytes[16];
    char hex[33];

    random_bytes(bytes, sizeof bytes);
    bytes[6] = (uint8_t)((bytes[6] & 0x0f) | 0x40);
    bytes[8] = (uint8_t)((bytes[8] & 0x3f) | 0x80);
    hex_encode(hex, bytes, sizeof bytes);
    (void)snprintf(response->request_id, sizeof response->request_id, "%.8s-%.4s-%.4s-%.4s-%.12s",
                   hex, hex + 8, hex + 12, hex + 16, hex + 20);
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

size_t response_head(const struct response *response, char *out, size_t size)
{
    char allow[64] = "", retry_after[40] = "", request_id[64] = "";
    int len;

    if (response->allow != NULL)
        (void)snprintf(allow, sizeof allow, "Allow: %s\r\n", response->allow);
    if (response->retry_after_s > 0)
        (void)snprintf(retry_after, sizeof retry_after, "Retry-After: %u\r\n",
                       response->retry_after_s);
    if (response->request_id[0] != '\0')
        (void)snprintf(request_id, sizeof request_id, "X-Request-Id: %s\r\n", response->request_id);
    len = snprintf(out, size,
                   "Status: %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
                   "%s%s%s\r\n",
                   response->status, reason(response->status),
                   response->content_type != NULL ? response->content_type : "application/json",
                   response->body_len, allow, retry_after, request_id);
    return len > 0 && (size_t)len < size ? (size_t)len : 0;
}
