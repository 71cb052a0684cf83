/* taken_ids: the ids of the events that Redis has taken, so that a copy from another relay or after
 * a reconnect costs one look-up.
 *
 * Holds the newest `capacity` ids, 40 to 48 bytes each, allocated once; the oldest is forgotten
 * first. Forgetting is harmless, since Redis decides in the end. A wrong entry is not: only ids of
 * events that were verified and taken may be added. Buckets are chosen with a random key, so that
 * strangers cannot make ids collide. All functions are thread-safe. */
#ifndef MOSTRO_TAKEN_IDS_H
#define MOSTRO_TAKEN_IDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TAKEN_IDS_ID_SIZE      32
#define TAKEN_IDS_MAX_CAPACITY (1u << 24)

struct taken_ids;

/* `capacity` is 1 to TAKEN_IDS_MAX_CAPACITY. NULL when out of memory. */
struct taken_ids *taken_ids_new(size_t capacity);
void taken_ids_free(struct taken_ids **ids);

bool taken_ids_has(struct taken_ids *ids, const uint8_t id[TAKEN_IDS_ID_SIZE]);

/* Adding an id that is there keeps its age. */
void taken_ids_add(struct taken_ids *ids, const uint8_t id[TAKEN_IDS_ID_SIZE]);

/* Forgets all of them. */
void taken_ids_clear(struct taken_ids *ids);

#endif
