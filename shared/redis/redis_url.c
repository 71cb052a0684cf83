#include "redis_url.h"

#include <ctype.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define PORT_DEFAULT  6379
#define DATABASES_MAX 1024

/* sun_path (unix(7)) less its NUL; a longer one would be cut. */
#define SOCKET_PATH_MAX 107

static const char no_query[] = "there is no ? in it, and no query";
static const char no_host[] = "the host is a name or an address (an IPv6 address in brackets)";

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

/* A name, an IPv4 address, or, from between brackets, an IPv6 address with its zone. */
static bool is_host(const char *host, bool in_brackets)
{
    const char *marks = in_brackets ? ".:%-_" : ".-_";

    for (const char *c = host; *c != '\0'; c++)
        if (!isalnum((unsigned char)*c) && strchr(marks, *c) == NULL)
            return false;
    return host[0] != '\0';
}

/* host or [address], then :port or nothing. */
static const char *parse_host(struct redis_url *parsed, const char *text, size_t len)
{
    const char *bracket = len > 0 && text[0] == '[' ? memchr(text, ']', len) : NULL;
    const char *after = bracket != NULL ? bracket + 1 : text;
    const char *colon = memchr(after, ':', len - (size_t)(after - text));
    size_t host_len = colon != NULL ? (size_t)(colon - text) : len;

    if (len > 0 && text[0] == '[' && bracket == NULL)
        return no_host;
    if (colon != NULL &&
        (!parse_digits(colon + 1, len - host_len - 1, 65535, &parsed->port) || parsed->port == 0))
        return "a port is a number from 1 to 65535";
    if (bracket != NULL && after != text + host_len)
        return no_host;
    if (!copy_part(parsed->host, text + (bracket != NULL), host_len - (bracket != NULL ? 2 : 0)) ||
        !is_host(parsed->host, bracket != NULL))
        return no_host;
    return NULL;
}

static const char *parse_path(struct redis_url *parsed, const char *path)
{
    if (path[0] != '/')
        return "a path needs three slashes (unix:///run/redis/redis.sock)";
    if (strchr(path, '?') != NULL)
        return no_query;
    parsed->is_unix = true;
    if (!copy_part(parsed->host, path, strlen(path)) || strlen(parsed->host) > SOCKET_PATH_MAX)
        return "a socket's path has at most 107 characters, and % begins an escape";
    return NULL;
}

static const char *parse_server(struct redis_url *parsed, const char *rest)
{
    const char *at = strrchr(rest, '@'), *slash;

    if (at != NULL && !parse_credentials(parsed, rest, (size_t)(at - rest)))
        return "before the @ come user:password or :password, and % begins an escape";
    if (at != NULL)
        rest = at + 1;
    if (strchr(rest, '?') != NULL)
        return no_query;
    slash = rest + strcspn(rest, "/");
    if (slash[0] == '/' && slash[1] != '\0' &&
        !parse_digits(slash + 1, strlen(slash + 1), DATABASES_MAX, &parsed->database))
        return "after the host comes nothing but /NUMBER, of a database";
    return parse_host(parsed, rest, (size_t)(slash - rest));
}

const char *redis_url_parse(struct redis_url *parsed, const char *url)
{
    memset(parsed, 0, sizeof *parsed);
    parsed->port = PORT_DEFAULT;
    if (strncmp(url, "unix://", 7) == 0)
        return parse_path(parsed, url + 7);
    if (strncmp(url, "redis://", 8) == 0)
        return parse_server(parsed, url + 8);
    if (strncmp(url, "rediss://", 9) == 0)
        return "TLS is not spoken: use stunnel or WireGuard";
    if (url[0] == '/')
        return "a path is written unix:///run/redis/redis.sock";
    return "it begins with unix:// or redis://";
}

const char *redis_url_problem(const char *url)
{
    struct redis_url parsed;
    const char *problem = redis_url_parse(&parsed, url);

    explicit_bzero(&parsed, sizeof parsed);
    return problem;
}
