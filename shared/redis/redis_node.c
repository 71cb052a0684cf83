#include "redis_node.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/url.h"

#define PORT_MAX 65535

static bool is_address(const char *host)
{
    struct in6_addr bytes;

    return inet_pton(AF_INET, host, &bytes) == 1 || inet_pton(AF_INET6, host, &bytes) == 1;
}

/* As in a URL: one place says what a host name is. */
static bool is_name(const char *host)
{
    char text[sizeof "redis://" + REDIS_NODE_HOST_SIZE];
    struct url url;

    (void)snprintf(text, sizeof text, "redis://%s", host);
    return url_parse(&url, text, strlen(text), URL_USERINFO_OF_AUTHORITY) == URL_GOOD &&
           url.host.len == strlen(host) && url.host_kind == URL_HOST_NAME &&
           url_host_is_dns_name(&url);
}

static int read_port(const char *text, size_t len)
{
    int port = 0;

    if (len == 0 || len > URL_PORT_DIGITS_MAX)
        return 0;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return 0;
        port = port * 10 + (text[i] - '0');
    }
    return port <= PORT_MAX ? port : 0;
}

bool redis_node_read(struct redis_node *node, const char *host, size_t host_len, const char *port,
                     size_t port_len)
{
    struct redis_node read = {.port = read_port(port, port_len)};

    if (read.port == 0 || host_len >= sizeof read.host)
        return false;
    memcpy(read.host, host, host_len);
    if (strlen(read.host) != host_len || (!is_address(read.host) && !is_name(read.host)))
        return false;
    *node = read;
    return true;
}

bool redis_node_is_same(const struct redis_node *one, const struct redis_node *other)
{
    return one->port == other->port && strcasecmp(one->host, other->host) == 0;
}

void redis_node_write(char text[REDIS_NODE_TEXT_SIZE], const struct redis_node *node)
{
    bool has_colon = strchr(node->host, ':') != NULL;

    (void)snprintf(text, REDIS_NODE_TEXT_SIZE, "%s%s%s:%d", has_colon ? "[" : "", node->host,
                   has_colon ? "]" : "", node->port);
}
