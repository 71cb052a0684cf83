#include "redis_url.h"

#include <ctype.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/url.h"

#define PORT_DEFAULT          6379
#define SENTINEL_PORT_DEFAULT 26379
#define DATABASES_MAX         1024

/* sun_path (unix(7)) less its NUL; a longer one would be cut. */
#define SOCKET_PATH_MAX 107

static const char no_query[] = "there is no ? in it, and no query";
static const char bad_credentials[] =
    "before the @ come user:password or :password, and % begins an escape";

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

static void take_node(struct redis_node *node, const struct url *url, int port)
{
    bool has_zone = url->zone.text != NULL;

    (void)snprintf(node->host, sizeof node->host, "%.*s%s%.*s", (int)url->host.len, url->host.text,
                   has_zone ? "%" : "", (int)url->zone.len, has_zone ? url->zone.text : "");
    node->port = url->port_number != 0 ? url->port_number : port;
}

static const char *parse_path(struct redis_url *parsed, const char *path)
{
    if (path[0] != '/')
        return "a path needs three slashes (unix:///run/redis/redis.sock)";
    if (strchr(path, '?') != NULL)
        return no_query;
    if (!copy_part(parsed->path, path, strlen(path)) || strlen(parsed->path) > SOCKET_PATH_MAX)
        return "a socket's path has at most 107 characters, and % begins an escape";
    return NULL;
}

static const char *parse_server(struct redis_url *parsed, const struct url *url,
                                enum url_fault fault)
{
    if (url->userinfo.text != NULL && !parse_credentials(parsed, url->userinfo))
        return bad_credentials;
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
    take_node(&parsed->node, url, PORT_DEFAULT);
    return NULL;
}

/* ---- Sentinels ---------------------------------------------------------------------------------
 */

static const char *add_sentinel(struct redis_url *parsed, const char *item, size_t len)
{
    char text[sizeof "redis://" + REDIS_NODE_HOST_SIZE + URL_PORT_DIGITS_MAX];
    enum url_fault fault = URL_BAD_HOST;
    struct url url;

    if (parsed->sentinel_count == REDIS_URL_SENTINELS_MAX)
        return "it names at most 16 Sentinels";
    if (len > 0 && len < sizeof text - sizeof "redis://") {
        (void)snprintf(text, sizeof text, "redis://%.*s", (int)len, item);
        fault = url_parse(&url, text, strlen(text), URL_USERINFO_OF_AUTHORITY);
    }
    if (fault == URL_BAD_PORT || (fault == URL_GOOD && url.port.text != NULL && url.port.len == 0))
        return "a Sentinel's port is a number from 1 to 65535";
    if (fault != URL_GOOD || url.query.text != NULL || url.fragment.text != NULL)
        return "a Sentinel is a name or an address (an IPv6 address in brackets), and the next one "
               "comes after a comma";
    take_node(&parsed->sentinels[parsed->sentinel_count++], &url, SENTINEL_PORT_DEFAULT);
    return NULL;
}

/* The characters that Sentinel takes for a name. */
static bool parse_service(struct redis_url *parsed, struct url_part text)
{
    char service[REDIS_URL_PART_MAX];

    if (!copy_part(service, text.text, text.len) || service[0] == '\0' ||
        strlen(service) > REDIS_URL_SERVICE_MAX)
        return false;
    for (const char *c = service; *c != '\0'; c++)
        if (!isalnum((unsigned char)*c) && strchr(".-_", *c) == NULL)
            return false;
    memcpy(parsed->service, service, strlen(service) + 1);
    return true;
}

/* `text` is what comes after the user and the password. */
static const char *parse_sentinels(struct redis_url *parsed, const char *text)
{
    size_t len = strcspn(text, "/"), item;
    struct url_part service, database;
    const char *problem;

    if (strchr(text, '?') != NULL)
        return no_query;
    for (size_t at = 0;; at += item + 1) {
        item = strcspn(text + at, ",/");
        problem = add_sentinel(parsed, text + at, item);
        if (problem != NULL)
            return problem;
        if (at + item == len)
            break;
    }
    if (text[len] == '\0')
        return "after the Sentinels comes /SERVICE, the name of what they watch";
    service = (struct url_part){.text = text + len + 1, .len = strcspn(text + len + 1, "/")};
    if (!parse_service(parsed, service))
        return "a service's name has at most 128 letters, digits, `.`, `-` and `_`";
    database.text = service.text + service.len;
    database.len = strlen(database.text);
    return parse_database(&parsed->database, database)
               ? NULL
               : "after the service comes nothing but /NUMBER, of a database";
}

static const char *parse_service_url(struct redis_url *parsed, const struct url *url,
                                     const char *text)
{
    if (url->userinfo.text != NULL) {
        if (!parse_credentials(parsed, url->userinfo))
            return bad_credentials;
        text = url->userinfo.text + url->userinfo.len + 1;
    } else {
        text += sizeof "redis+sentinel://" - 1;
    }
    return parse_sentinels(parsed, text);
}

const char *redis_url_parse(struct redis_url *parsed, const char *text)
{
    struct url url;
    enum url_fault fault = url_parse(&url, text, strlen(text), URL_USERINFO_TO_LAST_AT);

    memset(parsed, 0, sizeof *parsed);
    if (fault == URL_TOO_LONG)
        return "it is too long";
    if (strncmp(text, "unix://", 7) == 0)
        return parse_path(parsed, text + 7);
    if (text[0] == '/')
        return "a path is written unix:///run/redis/redis.sock";
    if (url_scheme_is(&url, "redis"))
        return parse_server(parsed, &url, fault);
    if (url_scheme_is(&url, "redis+sentinel"))
        return parse_service_url(parsed, &url, text);
    if (url_scheme_is(&url, "rediss"))
        return "TLS is not spoken: use stunnel or WireGuard";
    if (url_scheme_is(&url, "sentinel") || url_scheme_is(&url, "redis-sentinel"))
        return "Sentinels are named by redis+sentinel://host:port,host:port/service";
    return "it begins with unix://, redis:// or redis+sentinel://";
}

const char *redis_url_problem(const char *url)
{
    struct redis_url parsed;
    const char *problem = redis_url_parse(&parsed, url);

    explicit_bzero(&parsed, sizeof parsed);
    return problem;
}
