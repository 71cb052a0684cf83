#include "body.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "json_members.h"

static bool is_json(const char *content_type)
{
    static const char json[] = "application/json";
    const size_t len = sizeof json - 1;

    if (content_type == NULL || strncasecmp(content_type, json, len) != 0)
        return false;
    content_type += len;
    content_type += strspn(content_type, " \t");
    return *content_type == '\0' || *content_type == ';';
}

/* CONTENT_LENGTH, or -1 where it is absent or no number: then the body ends where its stream does.
 */
static long long declared_length(const char *text)
{
    char *end;
    long long length;

    if (text == NULL || !isdigit((unsigned char)*text))
        return -1;
    length = strtoll(text, &end, 10);
    return *end == '\0' ? length : -1;
}

/* Reads up to `limit` + 1 bytes; false if the body broke off. */
static bool read_bytes(struct body *body, const struct request *request, size_t limit)
{
    body->len = 0;
    while (body->len <= limit) {
        ssize_t n = request->read(request->read_arg, body->text + body->len, limit + 1 - body->len);

        if (n < 0)
            return false;
        if (n == 0)
            break;
        body->len += (size_t)n;
    }
    return true;
}

static enum body_verdict read_checked(struct body *body, const struct request *request,
                                      size_t limit)
{
    long long declared = declared_length(request->content_length);

    body->len = 0;
    if (declared > (long long)limit)
        return BODY_TOO_LARGE;
    if (!read_bytes(body, request, limit) || body->len == 0)
        return BODY_MALFORMED;
    if (body->len > limit)
        return BODY_TOO_LARGE;
    if ((declared >= 0 && (long long)body->len != declared) || !is_json(request->content_type))
        return BODY_MALFORMED;
    return BODY_OK;
}

enum body_verdict body_read(struct body *body, const struct request *request, size_t limit)
{
    enum body_verdict verdict = read_checked(body, request, limit);

    if (verdict != BODY_OK)
        body_wipe(body);
    return verdict;
}

void body_wipe(struct body *body)
{
    explicit_bzero(body->text, body->len);
    body->len = 0;
}

/* The bytes that the app sends. */
static bool is_usual(const char *text, size_t len)
{
    static const char begin[] = "{\"trade_pubkey\":\"", end[] = "\"}";

    return len == sizeof begin - 1 + TRADE_PUBKEY_LEN + sizeof end - 1 &&
           memcmp(text, begin, sizeof begin - 1) == 0 &&
           memcmp(text + len - (sizeof end - 1), end, sizeof end - 1) == 0;
}

static enum body_verdict parse_pubkey(char *text, size_t len, struct trade_pubkey *key)
{
    struct json_text pubkey;
    const struct json_member member = {"trade_pubkey", &pubkey};

    if (is_usual(text, len) && trade_pubkey_parse(key, strchr(text, ':') + 2, TRADE_PUBKEY_LEN))
        return BODY_OK;
    if (!json_members_read(text, len, &member, 1))
        return BODY_MALFORMED;
    return trade_pubkey_parse(key, pubkey.text, pubkey.len) ? BODY_OK : BODY_BAD_PUBKEY;
}

enum body_verdict body_read_pubkey(struct body *body, const struct request *request, size_t limit,
                                   struct trade_pubkey *key)
{
    enum body_verdict verdict = body_read(body, request, limit);

    if (verdict == BODY_OK)
        verdict = parse_pubkey(body->text, body->len, key);
    body_wipe(body);
    return verdict;
}
