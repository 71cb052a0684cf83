#include "redis_url.h"

#include <ctype.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define PORT_DEFAULT  6379
#define DATABASES_MAX 1024

static bool copy_part(char out[REDIS_URL_PART_MAX], const char *text, size_t len)
{
    size_t used = 0;

    for (size_t i = 0; i < len; i++) {
        unsigned value = (unsigned char)text[i];

        if (text[i] == '%') {
            if (i + 2 >= len || !isxdigit((unsigned char)text[i + 1]) ||
                !isxdigit((unsigned char)text[i + 2]))
                return false;
            (void)sscanf(text + i + 1, "%2x", &value);
            i += 2;
        }
        if (used + 1 >= REDIS_URL_PART_MAX || value == 0)
            return false;
        out[used++] = (char)value;
    }
    out[used] = '\0';
    return true;
}

static bool parse_digits(const char *text, size_t len, int most, int *number)
{
    int value = 0;

    if (len == 0 || len > 5)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (!isdigit((unsigned char)text[i]))
            return false;
        value = value * 10 + (text[i] - '0');
    }
    *number = value;
    return value <= most;
}

static bool parse_credentials(struct redis_url *parsed, const char *text, size_t len)
{
    const char *colon = memchr(text, ':', len);

    if (colon == NULL)
        return false;
    return copy_part(parsed->user, text, (size_t)(colon - text)) &&
           copy_part(parsed->password, colon + 1, len - (size_t)(colon - text) - 1);
}

static bool parse_host(struct redis_url *parsed, const char *text, size_t len)
{
    const char *bracket = len > 0 && text[0] == '[' ? memchr(text, ']', len) : NULL;
    const char *after = bracket != NULL ? bracket + 1 : text;
    const char *colon = memchr(after, ':', len - (size_t)(after - text));
    size_t host_len = colon != NULL ? (size_t)(colon - text) : len;

    if (colon != NULL &&
        (!parse_digits(colon + 1, len - host_len - 1, 65535, &parsed->port) || parsed->port == 0))
        return false;
    if (bracket != NULL)
        return after == text + host_len && copy_part(parsed->host, text + 1, host_len - 2);
    return host_len > 0 && copy_part(parsed->host, text, host_len);
}

bool redis_url_parse(struct redis_url *parsed, const char *url)
{
    const char *rest, *at, *slash;

    memset(parsed, 0, sizeof *parsed);
    parsed->port = PORT_DEFAULT;
    if (strncmp(url, "unix://", 7) == 0) {
        parsed->is_unix = true;
        return url[7] == '/' && copy_part(parsed->host, url + 7, strlen(url + 7));
    }
    if (strncmp(url, "redis://", 8) != 0)
        return false;
    rest = url + 8;
    slash = strchr(rest, '/');
    if (slash != NULL && slash[1] != '\0' &&
        !parse_digits(slash + 1, strlen(slash + 1), DATABASES_MAX, &parsed->database))
        return false;
    if (slash == NULL)
        slash = rest + strlen(rest);
    at = memchr(rest, '@', (size_t)(slash - rest));
    if (at != NULL && !parse_credentials(parsed, rest, (size_t)(at - rest)))
        return false;
    if (at != NULL)
        rest = at + 1;
    return parse_host(parsed, rest, (size_t)(slash - rest));
}

bool redis_url_is_valid(const char *url)
{
    struct redis_url parsed;
    bool valid = redis_url_parse(&parsed, url);

    explicit_bzero(&parsed, sizeof parsed);
    return valid;
}
