/* redis_address: the addresses of Redis's host name, as DNS gives them now or gave them last. A
 * caller waits for DNS no longer than for Redis itself.
 *
 * Belongs to one connection and its thread. Times are milliseconds. */
#ifndef MOSTRO_REDIS_ADDRESS_H
#define MOSTRO_REDIS_ADDRESS_H

#include <semaphore.h>
#include <stddef.h>

#include "base/resolver.h"

struct redis_address {
    struct resolver *resolver; /* while a look-up is under way */
    sem_t done;
    size_t count;
    char text[RESOLVER_MAX_ADDRESSES][RESOLVER_ADDRESS_SIZE];
};

void redis_address_init(struct redis_address *address);
void redis_address_free(struct redis_address *address);

/* Looks the name up again, or goes on with a look-up that did not end in time, for at most
 * `wait_ms`. The addresses stay as they were where it brings none. NULL where there is an address;
 * else what is wrong, valid until the next call. */
const char *redis_address_find(struct redis_address *address, const char *host, unsigned wait_ms);

#endif
