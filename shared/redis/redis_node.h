/* redis_node: where a server listens that another one names: an address or a host name, and a port.
 * Pure. */
#ifndef MOSTRO_REDIS_NODE_H
#define MOSTRO_REDIS_NODE_H

#include <stdbool.h>
#include <stddef.h>

#define REDIS_NODE_HOST_SIZE 272 /* a URL's host, and with an IPv6 address a zone */
#define REDIS_NODE_TEXT_SIZE (REDIS_NODE_HOST_SIZE + sizeof "[]:65535")

/* Zero-initialised is none. */
struct redis_node {
    char host[REDIS_NODE_HOST_SIZE];
    int port;
};

/* Reads what a server says. False, and *node is unchanged, where that is no address or DNS host
 * name, or no port. */
bool redis_node_read(struct redis_node *node, const char *host, size_t host_len, const char *port,
                     size_t port_len) __attribute__((warn_unused_result));

/* Whether both are written alike; host names without regard to case. */
bool redis_node_is_same(const struct redis_node *one, const struct redis_node *other);

/* For the log: host:port, an IPv6 address in brackets. */
void redis_node_write(char text[REDIS_NODE_TEXT_SIZE], const struct redis_node *node);

#endif
