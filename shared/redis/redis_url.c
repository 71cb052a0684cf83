#include "redis_url.h"

#include <ctype.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/url.h"

#define PORT_DEFAULT  6379
#define DATABASES_MAX 1024

/* sun_path (unix(7)) less its NUL; a longer one would be cut. */
#define SOCKET_PATH_MAX 107

static const char no_query[] = "there is no ? in it, and no query";

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

static bool parse_database(int *database, struct url_part path)
{
    int value = 0;

    if (path.len <= 1)
        return true; /* nothing, or the slash alone */
    if (path.len > 1 + 5)
        return false;
    for (size_t i = 1; i < path.len; i++) {
        if (!isdigit((unsigned char)path.text[i]))
            return false;
        value = value * 10 + (path.text[i] - '0');
    }
    *database = value;
    return value <= DATABASES_MAX;
}

static bool parse_credentials(struct redis_url *parsed, struct url_part userinfo)
{
    const char *text = userinfo.text, *colon = memchr(text, ':', userinfo.len);

    if (colon == NULL)
        return false;
    return copy_part(parsed->user, text, (size_t)(colon - text)) &&
           copy_part(parsed->password, colon + 1, userinfo.len - (size_t)(colon - text) - 1);
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

static const char *parse_server(struct redis_url *parsed, const struct url *url,
                                enum url_fault fault)
{
    if (url->userinfo.text != NULL && !parse_credentials(parsed, url->userinfo))
        return "before the @ come user:password or :password, and % begins an escape";
    if (fault == URL_BAD_HOST)
        return "the host is a name or an address (an IPv6 address in brackets)";
    if (fault == URL_BAD_PORT ||
        (fault == URL_GOOD && url->port.text != NULL && url->port.len == 0))
        return "a port is a number from 1 to 65535";
    if (url->query.text != NULL)
        return no_query;
    if (fault != URL_GOOD || url->fragment.text != NULL ||
        !parse_database(&parsed->database, url->path))
        return "after the host comes nothing but /NUMBER, of a database";
    (void)snprintf(parsed->host, sizeof parsed->host, "%.*s%s%.*s", (int)url->host.len,
                   url->host.text, url->zone.text != NULL ? "%" : "", (int)url->zone.len,
                   url->zone.text != NULL ? url->zone.text : "");
    if (url->port_number != 0)
        parsed->port = url->port_number;
    return NULL;
}

const char *redis_url_parse(struct redis_url *parsed, const char *text)
{
    struct url url;
    enum url_fault fault = url_parse(&url, text, strlen(text), URL_USERINFO_TO_LAST_AT);

    memset(parsed, 0, sizeof *parsed);
    parsed->port = PORT_DEFAULT;
    if (fault == URL_TOO_LONG)
        return "it is too long";
    if (strncmp(text, "unix://", 7) == 0)
        return parse_path(parsed, text + 7);
    if (text[0] == '/')
        return "a path is written unix:///run/redis/redis.sock";
    if (url_scheme_is(&url, "redis"))
        return parse_server(parsed, &url, fault);
    if (url_scheme_is(&url, "rediss"))
        return "TLS is not spoken: use stunnel or WireGuard";
    return "it begins with unix:// or redis://";
}

const char *redis_url_problem(const char *url)
{
    struct redis_url parsed;
    const char *problem = redis_url_parse(&parsed, url);

    explicit_bzero(&parsed, sizeof parsed);
    return problem;
}
