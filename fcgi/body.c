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

/* Reads up to `limit` + 1 bytes; -1 if the body broke off. */
static ssize_t read_bytes(const struct request *request, size_t limit, char *buffer)
{
    size_t used = 0;

    while (used <= limit) {
        ssize_t n = request->read(request->read_arg, buffer + used, limit + 1 - used);

        if (n < 0)
            return -1;
        if (n == 0)
            break;
        used += (size_t)n;
    }
    return (ssize_t)used;
}

enum body_verdict body_read(const struct request *request, size_t limit, char *buffer,
                            json_t **json)
{
    long long declared = declared_length(request->content_length);
    ssize_t len;

    *json = NULL;
    if (declared > (long long)limit)
        return BODY_TOO_LARGE;
    len = read_bytes(request, limit, buffer);
    if (len > 0 && len <= (ssize_t)limit && (declared < 0 || len == declared) &&
        is_json(request->content_type))
        *json = json_loadb(buffer, (size_t)len, JSON_REJECT_DUPLICATES, NULL);
    if (len > 0)
        explicit_bzero(buffer, (size_t)len);
    if (json_is_object(*json))
        return BODY_OK;
    json_decref(*json);
    *json = NULL;
    return len > (ssize_t)limit ? BODY_TOO_LARGE : BODY_MALFORMED;
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
