/* endpoint_turns: in which order the phones of the endpoint file are woken when Redis has lost its
 * data.
 *
 * That goes slowly, and strangers may have registered far more endpoints than phones have. So the
 * owners of hosts (endpoint_shares_owner()) have turns, the hosts of an owner share his, and of a
 * host the newest endpoint comes first: whose endpoints are few, waits for few of anybody's.
 *
 * Pure but for memory: what endpoint_shares takes, and at most 100 bytes an endpoint. Not
 * thread-safe. */
#ifndef MOSTRO_ENDPOINT_TURNS_H
#define MOSTRO_ENDPOINT_TURNS_H

#include <stdbool.h>
#include <stdint.h>

#include "registry/registry_endpoints.h"

struct endpoint_turns;

/* NULL when out of memory. */
struct endpoint_turns *endpoint_turns_new(void);
void endpoint_turns_free(struct endpoint_turns **turns);

/* False when out of memory. */
bool endpoint_turns_add(struct endpoint_turns *turns, const struct registry_endpoint *endpoint)
    __attribute__((warn_unused_result));

/* To be called once, when all have been added. */
void endpoint_turns_draw(struct endpoint_turns *turns);

/* Then the turn of each, in the order in which they were added: from 0, none twice. -1 when all
 * have been told. */
int64_t endpoint_turns_next(struct endpoint_turns *turns);

#endif
