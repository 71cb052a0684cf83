#include "body.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

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

/* CONTENT_LENGTH, or -1 where it is absent or no number: then the body's own end counts. */
static long long declared_length(const char *text)
{
    char *end;
    long long length;

    if (text == NULL || !isdigit((unsigned char)*text))
        return -1;
    length = strtoll(text, &end, 10);
    return *end == '\0' ? length : -1;
}

/* Reads up to `limit` + 1 bytes; false if the body broke off. *len is their number either way. */
static bool read_bytes(const struct request *request, size_t limit, char *buffer, size_t *len)
{
    *len = 0;
    while (*len <= limit) {
        ssize_t n = request->read(request->read_arg, buffer + *len, limit + 1 - *len);

        if (n < 0)
            return false;
        if (n == 0)
            break;
        *len += (size_t)n;
    }
    return true;
}

/* Reads the bytes of a body that may be JSON. *len is their number, whatever the verdict. */
static enum body_verdict read_checked(const struct request *request, size_t limit, char *buffer,
                                      size_t *len)
{
    long long declared = declared_length(request->content_length);

    *len = 0;
    if (declared > (long long)limit)
        return BODY_TOO_LARGE;
    if (!read_bytes(request, limit, buffer, len) || *len == 0)
        return BODY_MALFORMED;
    if (*len > limit)
        return BODY_TOO_LARGE;
    if ((declared >= 0 && (long long)*len != declared) || !is_json(request->content_type))
        return BODY_MALFORMED;
    return BODY_OK;
}

static json_t *parse_object(const char *text, size_t len)
{
    json_t *json = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);

    if (json_is_object(json))
        return json;
    json_decref(json);
    return NULL;
}

enum body_verdict body_read(const struct request *request, size_t limit, char *buffer,
                            json_t **json)
{
    size_t len;
    enum body_verdict verdict = read_checked(request, limit, buffer, &len);

    *json = verdict == BODY_OK ? parse_object(buffer, len) : NULL;
    explicit_bzero(buffer, len);
    return verdict == BODY_OK && *json == NULL ? BODY_MALFORMED : verdict;
}

/* The bytes that the app sends. Reading them costs a tenth of what a JSON parser does. */
static bool is_usual(const char *text, size_t len)
{
    static const char begin[] = "{\"trade_pubkey\":\"", end[] = "\"}";

    return len == sizeof begin - 1 + TRADE_PUBKEY_LEN + sizeof end - 1 &&
           memcmp(text, begin, sizeof begin - 1) == 0 &&
           memcmp(text + len - (sizeof end - 1), end, sizeof end - 1) == 0;
}

static enum body_verdict parse_pubkey(const char *text, size_t len, struct trade_pubkey *key)
{
    enum body_verdict verdict = BODY_MALFORMED;
    json_t *json;

    if (is_usual(text, len) && trade_pubkey_parse(key, strchr(text, ':') + 2, TRADE_PUBKEY_LEN))
        return BODY_OK;
    json = parse_object(text, len);
    if (json != NULL)
        verdict = body_text(json, "trade_pubkey", &text, &len);
    if (verdict == BODY_OK && !trade_pubkey_parse(key, text, len))
        verdict = BODY_BAD_PUBKEY;
    json_decref(json);
    return verdict;
}

enum body_verdict body_read_pubkey(const struct request *request, size_t limit, char *buffer,
                                   struct trade_pubkey *key)
{
    size_t len;
    enum body_verdict verdict = read_checked(request, limit, buffer, &len);

    if (verdict == BODY_OK)
        verdict = parse_pubkey(buffer, len, key);
    explicit_bzero(buffer, len);
    return verdict;
}

enum body_verdict body_text(const json_t *json, const char *name, const char **text, size_t *len)
{
    const json_t *member = json_object_get(json, name);

    *text = "";
    *len = 0;
    if (member == NULL || json_is_null(member))
        return BODY_OK;
    if (!json_is_string(member))
        return BODY_MALFORMED;
    *text = json_string_value(member);
    *len = json_string_length(member);
    return BODY_OK;
}
