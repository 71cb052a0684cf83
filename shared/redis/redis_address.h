/* redis_address: the addresses of a Redis that a host name stands for, as DNS has them now or had
 * them last: nobody waits for DNS for longer than for Redis itself.
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

/* Looks the name up anew, or goes on with a look-up that did not end in time, for at most
 * `wait_ms`; the addresses stay as they were where it brings none. Returns what is wrong if there
 * is none (until the next call), else NULL. */
const char *redis_address_find(struct redis_address *address, const char *host, unsigned wait_ms);

#endif
