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

enum body_verdict body_check(const struct request *request, size_t limit)
{
    long long declared = declared_length(request->content_length);

    if (request->body_len > limit || declared > (long long)limit)
        return BODY_TOO_LARGE;
    if (request->body_len == 0 || (declared >= 0 && (long long)request->body_len != declared) ||
        !is_json(request->content_type))
        return BODY_MALFORMED;
    return BODY_OK;
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

enum body_verdict body_read_pubkey(const struct request *request, size_t limit,
                                   struct trade_pubkey *key)
{
    enum body_verdict verdict = body_check(request, limit);

    return verdict == BODY_OK ? parse_pubkey(request->body, request->body_len, key) : verdict;
}
