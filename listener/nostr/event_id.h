/* event_id: the id of a NIP-01 event: the SHA-256 of [0,pubkey,created_at,kind,tags,content] as
 * JSON without whitespace. Knows no sockets and no clock. */
#ifndef MOSTRO_EVENT_ID_H
#define MOSTRO_EVENT_ID_H

#include <stdbool.h>
#include <stdint.h>

#include "event.h"

/* A digest to work with. One per thread. */
struct event_id_hasher;

/* NULL when out of memory. */
struct event_id_hasher *event_id_hasher_new(void);
void event_id_hasher_free(struct event_id_hasher **hasher);

/* The id that these members of the event make: pubkey_hex, created_at, kind, tags and content. Its
 * tags are arrays of strings. False if OpenSSL fails. */
bool event_id_compute(struct event_id_hasher *hasher, const struct event *event,
                      uint8_t id[EVENT_ID_SIZE]) __attribute__((warn_unused_result));

#endif
