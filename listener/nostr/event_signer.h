/* event_signer: makes and signs NIP-01 events with one key, for a message to a relay. Knows no
 * sockets and no clock. Not thread-safe. */
#ifndef MOSTRO_EVENT_SIGNER_H
#define MOSTRO_EVENT_SIGNER_H

#include <stddef.h>
#include <stdint.h>

#include "event.h"

#define EVENT_SIGNER_KEY_SIZE 32

struct event_signer;

/* `key` is copied. It is a private key of secp256k1, or NULL for a new one. NULL when out of
 * memory. The key is wiped with it. */
struct event_signer *event_signer_new(const uint8_t *key);
void event_signer_free(struct event_signer **signer);

/* Takes a new key in the place of the one before. */
void event_signer_draw(struct event_signer *signer);

/* In hexadecimal, until another is drawn. */
const char *event_signer_pubkey(const struct event_signer *signer);

/* Writes ["TYPE",{...}] of the event's kind, date, tags and content; its author and id are set.
 * `id` gets the id in hexadecimal. Returns the length, or 0 where it does not fit or memory is out.
 */
size_t event_signer_write(struct event_signer *signer, const char *type, struct event *event,
                          char *out, size_t size, char id[2 * EVENT_ID_SIZE + 1]);

#endif
