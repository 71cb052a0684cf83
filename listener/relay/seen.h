/* seen: the ids of the events that Redis has taken, so that a copy from another relay or after a
 * reconnect costs one look-up.
 *
 * Holds the newest `capacity` ids, 40 to 48 bytes each, allocated once; the oldest is forgotten
 * first. Forgetting is harmless (Redis decides in the end), a wrong entry is not: only an id that
 * was verified and taken may be added. Buckets are chosen with a key drawn at random, so nobody
 * can make ids that collide. All functions are thread-safe. */
#ifndef MOSTRO_SEEN_H
#define MOSTRO_SEEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SEEN_ID_SIZE      32
#define SEEN_MAX_CAPACITY (1u << 24)

struct seen;

/* `capacity` is 1 to SEEN_MAX_CAPACITY. NULL when out of memory. */
struct seen *seen_new(size_t capacity);
void seen_free(struct seen **seen);

bool seen_has(struct seen *seen, const uint8_t id[SEEN_ID_SIZE]);

/* Adding an id that is there keeps its age. */
void seen_add(struct seen *seen, const uint8_t id[SEEN_ID_SIZE]);

#endif
