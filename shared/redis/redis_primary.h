/* redis_primary: which Redis is the primary, where REDIS_URL names Sentinels. Thread-safe. */
#ifndef MOSTRO_REDIS_PRIMARY_H
#define MOSTRO_REDIS_PRIMARY_H

#include <stdbool.h>
#include <stdint.h>

struct redis;

/* How many times this process has found that another node had become the primary; 0 without
 * Sentinels, and while the first one is the primary. Every connection to the one before has been
 * ended by then. */
uint64_t redis_primary_changes(void);

/* Whether REDIS_URL names Sentinels, and so a primary with replicas. */
bool redis_is_replicated(const struct redis *redis);

#endif
