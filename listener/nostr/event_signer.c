#include "event_signer.h"

#include <stdlib.h>

#include <jansson.h>
#include <openssl/crypto.h>
#include <secp256k1.h>
#include <secp256k1_extrakeys.h>
#include <secp256k1_schnorrsig.h>

#include "base/hex.h"
#include "base/random.h"
#include "event_id.h"

struct event_signer {
    secp256k1_context *secp256k1;
    struct event_id_hasher *hasher;
    secp256k1_keypair keypair;
    char pubkey[2 * EVENT_PUBKEY_SIZE + 1];
};

static bool use_key(struct event_signer *signer, const uint8_t key[EVENT_SIGNER_KEY_SIZE])
{
    secp256k1_xonly_pubkey pubkey;
    uint8_t bytes[EVENT_PUBKEY_SIZE];

    if (secp256k1_keypair_create(signer->secp256k1, &signer->keypair, key) != 1 ||
        secp256k1_keypair_xonly_pub(signer->secp256k1, &pubkey, NULL, &signer->keypair) != 1)
        return false;
    (void)secp256k1_xonly_pubkey_serialize(signer->secp256k1, bytes, &pubkey);
    hex_encode(signer->pubkey, bytes, sizeof bytes);
    return true;
}

/* One draw in 2^128 is not a valid key. */
void event_signer_draw(struct event_signer *signer)
{
    uint8_t key[EVENT_SIGNER_KEY_SIZE];

    do
        random_bytes(key, sizeof key);
    while (!use_key(signer, key));
    OPENSSL_cleanse(key, sizeof key);
}

/* Blinds the context at random, libsecp256k1's protection against side channels. */
static secp256k1_context *new_context(void)
{
    secp256k1_context *context = secp256k1_context_create(SECP256K1_CONTEXT_NONE);
    uint8_t seed[32];

    random_bytes(seed, sizeof seed);
    if (context != NULL && secp256k1_context_randomize(context, seed) != 1) {
        secp256k1_context_destroy(context);
        context = NULL;
    }
    OPENSSL_cleanse(seed, sizeof seed);
    return context;
}

struct event_signer *event_signer_new(const uint8_t *key)
{
    struct event_signer *signer = calloc(1, sizeof *signer);

    if (signer == NULL)
        return NULL;
    signer->secp256k1 = new_context();
    signer->hasher = event_id_hasher_new();
    if (signer->secp256k1 == NULL || signer->hasher == NULL ||
        (key != NULL && !use_key(signer, key)))
        event_signer_free(&signer);
    else if (key == NULL)
        event_signer_draw(signer);
    return signer;
}

void event_signer_free(struct event_signer **signer)
{
    if (*signer == NULL)
        return;
    if ((*signer)->secp256k1 != NULL)
        secp256k1_context_destroy((*signer)->secp256k1);
    event_id_hasher_free(&(*signer)->hasher);
    OPENSSL_cleanse(*signer, sizeof **signer);
    free(*signer);
    *signer = NULL;
}

const char *event_signer_pubkey(const struct event_signer *signer)
{
    return signer->pubkey;
}

/* Signs the id by BIP-340, with fresh randomness beside the key. */
static bool sign(struct event_signer *signer, const struct event *event,
                 char signature[2 * EVENT_SIGNATURE_SIZE + 1])
{
    uint8_t bytes[EVENT_SIGNATURE_SIZE], aux[32];
    bool good;

    random_bytes(aux, sizeof aux);
    good = secp256k1_schnorrsig_sign32(signer->secp256k1, bytes, event->id, &signer->keypair,
                                       aux) == 1;
    OPENSSL_cleanse(aux, sizeof aux);
    hex_encode(signature, bytes, sizeof bytes);
    return good;
}

size_t event_signer_write(struct event_signer *signer, const char *type, struct event *event,
                          char *out, size_t size, char id[2 * EVENT_ID_SIZE + 1])
{
    char signature[2 * EVENT_SIGNATURE_SIZE + 1];
    json_t *frame;
    size_t len;

    event->pubkey_hex = signer->pubkey;
    if (!event_id_compute(signer->hasher, event, event->id) || !sign(signer, event, signature))
        return 0;
    hex_encode(id, event->id, sizeof event->id);
    frame = json_pack("[s{s:s,s:s,s:I,s:i,s:O,s:s,s:s}]", type, "id", id, "pubkey", signer->pubkey,
                      "created_at", (json_int_t)event->created_at, "kind", (int)event->kind, "tags",
                      event->tags, "content", event->content, "sig", signature);
    if (frame == NULL)
        return 0;
    len = json_dumpb(frame, out, size, JSON_COMPACT);
    json_decref(frame);
    return len <= size ? len : 0;
}
