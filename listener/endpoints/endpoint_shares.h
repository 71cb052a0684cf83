/* endpoint_shares: which endpoints go first where there is not room for all.
 *
 * Strangers may register as many endpoints as the limits allow, at any host, and must not push out
 * those of honest phones. So every owner of hosts has the same room, each of its hosts has the same
 * part of that, and within a host the newest stay: the first to go is the oldest endpoint of the
 * largest host of the largest owner. An owner that needs less than its share loses nothing.
 *
 * The owner of a host cannot be seen. Names below one domain, which its owner can make by a
 * wildcard record, count as one owner's; so do an IPv4 /24 and an IPv6 /48.
 *
 * Pure but for memory: at most 400 bytes an endpoint, where each is at a host of its own. Not
 * thread-safe. */
#ifndef MOSTRO_ENDPOINT_SHARES_H
#define MOSTRO_ENDPOINT_SHARES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/due_heap.h"
#include "base/url.h"

struct endpoint_shares;
struct endpoint_shares_host;

/* Embedded in what is kept, which owns itself. */
struct endpoint_shares_item {
    struct due_item age;
    struct endpoint_shares_host *host;
    size_t size;
};

/* NULL when out of memory. The items are to outlive it. */
struct endpoint_shares *endpoint_shares_new(void);
void endpoint_shares_free(struct endpoint_shares **shares);

/* `size` is its part of the room, `since` when it came, in any unit. False when out of memory. */
bool endpoint_shares_add(struct endpoint_shares *shares, struct endpoint_shares_item *item,
                         const struct url *url, size_t size, int64_t since)
    __attribute__((warn_unused_result));

/* Removes the item that is to go first. NULL when there is none. */
struct endpoint_shares_item *endpoint_shares_shift(struct endpoint_shares *shares);

/* The owner that a host counts for: the domain that somebody has registered, or the network of an
 * address. */
void endpoint_shares_owner(char out[URL_HOST_SIZE], const struct url *url);

#endif
