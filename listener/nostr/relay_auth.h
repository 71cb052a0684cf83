/* relay_auth: answers a relay's challenge (NIP-42) with an event of kind 22242, signed with the
 * operator's key, or with a new one for each connection.
 *
 * Keeps the challenge and the key, knows no sockets and is given the time. A challenge is hostile
 * text. Not thread-safe: one per relay, in its thread. */
#ifndef MOSTRO_RELAY_AUTH_H
#define MOSTRO_RELAY_AUTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RELAY_AUTH_KEY_SIZE      32
#define RELAY_AUTH_MAX_URL       512  /* bytes, as of a relay in the settings */
#define RELAY_AUTH_MAX_CHALLENGE 512  /* bytes; each may become an escape of six in the answer */
#define RELAY_AUTH_FRAME_SIZE    4096 /* holds the longest answer */
#define RELAY_AUTH_REPEAT_S      10   /* a challenge is answered once in this time */
#define RELAY_AUTH_MAX_ANSWERS   1000 /* for a connection */

struct relay_auth;

/* Whether these bytes are a private key of secp256k1. */
bool relay_auth_is_key(const uint8_t key[RELAY_AUTH_KEY_SIZE]);

/* `key` is copied. It is one by relay_auth_is_key(), or NULL for a new key with every connection.
 * NULL when out of memory. The keys are wiped with it. */
struct relay_auth *relay_auth_new(const char *relay_url, const uint8_t *key);
void relay_auth_free(struct relay_auth **auth);

/* A new connection: forgets challenge and answer, and draws a key where none is configured. */
void relay_auth_begin(struct relay_auth *auth);

/* Takes the text of an AUTH in place of an earlier one. False if it cannot be answered: it is
 * empty, too long, not UTF-8, or one too many. */
bool relay_auth_challenge(struct relay_auth *auth, const char *text, size_t len);

/* Whether relay_auth_next_frame() may have something. */
bool relay_auth_is_due(const struct relay_auth *auth);

/* Writes the answer to a challenge that has none yet, at this Unix time. Returns its length, or 0
 * where there is none, as when a relay repeats a challenge that was answered just now. After this
 * none is due. */
size_t relay_auth_next_frame(struct relay_auth *auth, int64_t unix_s,
                             char out[RELAY_AUTH_FRAME_SIZE]);

/* Whether an OK with this event id is about the last answer on this connection. */
bool relay_auth_is_mine(const struct relay_auth *auth, const char *event_id, size_t len);

#endif
