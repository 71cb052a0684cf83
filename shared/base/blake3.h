/* blake3: the keyed hash of a message of at most one block (64 bytes), first 32 bytes of output.
 *
 * That is all this project hashes with it: 64 characters of a pubkey, or a client address. Longer
 * messages need BLAKE3's tree, which is left out on purpose. Pure, thread-safe. */
#ifndef MOSTRO_BLAKE3_H
#define MOSTRO_BLAKE3_H

#include <stddef.h>
#include <stdint.h>

#define BLAKE3_KEY_SIZE 32
#define BLAKE3_OUT_SIZE 32
#define BLAKE3_MAX_LEN  64

/* `len` over BLAKE3_MAX_LEN is a bug of the caller and ends the process. */
void blake3_keyed(uint8_t out[BLAKE3_OUT_SIZE], const uint8_t key[BLAKE3_KEY_SIZE],
                  const void *message, size_t len);

#endif
