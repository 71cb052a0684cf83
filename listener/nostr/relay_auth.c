#include "relay_auth.h"

#include <stdlib.h>
#include <string.h>

#include <jansson.h>
#include <openssl/crypto.h>
#include <secp256k1.h>
#include <secp256k1_extrakeys.h>
#include <secp256k1_schnorrsig.h>

#include "base/hex.h"
#include "base/random.h"
#include "event_id.h"

#define KIND_CLIENT_AUTH 22242

struct relay_auth {
    secp256k1_context *secp256k1;
    struct event_id_hasher *hasher;
    char *url;
    bool configured; /* the key is the operator's */
    secp256k1_keypair keypair;
    char pubkey[2 * EVENT_PUBKEY_SIZE + 1];
    char challenge[RELAY_AUTH_MAX_CHALLENGE];
    size_t challenge_len;
    bool due;
    bool answered;                  /* this challenge, */
    int64_t answered_s;             /* at this Unix time */
    unsigned answers;               /* on this connection */
    char id[2 * EVENT_ID_SIZE + 1]; /* of the last answer; empty before the first */
};

/* ---- Keys ------------------------------------------------------------------------------------ */

bool relay_auth_is_key(const uint8_t key[RELAY_AUTH_KEY_SIZE])
{
    return secp256k1_ec_seckey_verify(secp256k1_context_static, key) == 1;
}

static bool use_key(struct relay_auth *auth, const uint8_t key[RELAY_AUTH_KEY_SIZE])
{
    secp256k1_xonly_pubkey pubkey;
    uint8_t bytes[EVENT_PUBKEY_SIZE];

    if (secp256k1_keypair_create(auth->secp256k1, &auth->keypair, key) != 1 ||
        secp256k1_keypair_xonly_pub(auth->secp256k1, &pubkey, NULL, &auth->keypair) != 1)
        return false;
    (void)secp256k1_xonly_pubkey_serialize(auth->secp256k1, bytes, &pubkey);
    hex_encode(auth->pubkey, bytes, sizeof bytes);
    return true;
}

/* One draw in 2^128 is not a valid key. */
static void draw_key(struct relay_auth *auth)
{
    uint8_t key[RELAY_AUTH_KEY_SIZE];

    do
        random_bytes(key, sizeof key);
    while (!use_key(auth, key));
    OPENSSL_cleanse(key, sizeof key);
}

/* ---- Life ------------------------------------------------------------------------------------ */

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

struct relay_auth *relay_auth_new(const char *relay_url, const uint8_t *key)
{
    struct relay_auth *auth = calloc(1, sizeof *auth);

    if (auth == NULL)
        return NULL;
    auth->secp256k1 = new_context();
    auth->hasher = event_id_hasher_new();
    auth->url = strdup(relay_url);
    auth->configured = key != NULL;
    if (auth->secp256k1 == NULL || auth->hasher == NULL || auth->url == NULL ||
        (key != NULL && !use_key(auth, key)))
        relay_auth_free(&auth);
    else
        relay_auth_begin(auth);
    return auth;
}

void relay_auth_free(struct relay_auth **auth)
{
    if (*auth == NULL)
        return;
    if ((*auth)->secp256k1 != NULL)
        secp256k1_context_destroy((*auth)->secp256k1);
    event_id_hasher_free(&(*auth)->hasher);
    free((*auth)->url);
    OPENSSL_cleanse(*auth, sizeof **auth);
    free(*auth);
    *auth = NULL;
}

void relay_auth_begin(struct relay_auth *auth)
{
    auth->challenge_len = 0;
    auth->due = auth->answered = false;
    auth->answers = 0;
    auth->id[0] = '\0';
    if (!auth->configured)
        draw_key(auth);
}

/* ---- Challenges ------------------------------------------------------------------------------ */

static bool is_utf8(const char *text, size_t len)
{
    json_t *string = json_stringn(text, len);
    bool is = string != NULL;

    json_decref(string);
    return is;
}

bool relay_auth_challenge(struct relay_auth *auth, const char *text, size_t len)
{
    if (len == 0 || len > sizeof auth->challenge || auth->answers >= RELAY_AUTH_MAX_ANSWERS ||
        !is_utf8(text, len))
        return false;
    if (len != auth->challenge_len || memcmp(text, auth->challenge, len) != 0)
        auth->answered = false;
    memcpy(auth->challenge, text, len);
    auth->challenge_len = len;
    auth->due = true;
    return true;
}

bool relay_auth_is_due(const struct relay_auth *auth)
{
    return auth->due;
}

/* ---- Answers --------------------------------------------------------------------------------- */

/* Signs the id by BIP-340, with fresh randomness beside the key. */
static bool sign(struct relay_auth *auth, const struct event *event,
                 char signature[2 * EVENT_SIGNATURE_SIZE + 1])
{
    uint8_t bytes[EVENT_SIGNATURE_SIZE], aux[32];
    bool good;

    random_bytes(aux, sizeof aux);
    good = secp256k1_schnorrsig_sign32(auth->secp256k1, bytes, event->id, &auth->keypair, aux) == 1;
    OPENSSL_cleanse(aux, sizeof aux);
    hex_encode(signature, bytes, sizeof bytes);
    return good;
}

static size_t write_frame(struct relay_auth *auth, struct event *event, json_t *tags,
                          char out[RELAY_AUTH_FRAME_SIZE])
{
    char signature[2 * EVENT_SIGNATURE_SIZE + 1];
    json_t *frame;
    size_t len;

    if (!event_id_compute(auth->hasher, event, event->id) || !sign(auth, event, signature))
        return 0;
    hex_encode(auth->id, event->id, sizeof event->id);
    frame = json_pack("[s{s:s,s:s,s:I,s:i,s:O,s:s,s:s}]", "AUTH", "id", auth->id, "pubkey",
                      auth->pubkey, "created_at", (json_int_t)event->created_at, "kind",
                      (int)event->kind, "tags", tags, "content", event->content, "sig", signature);
    if (frame == NULL)
        return 0;
    len = json_dumpb(frame, out, RELAY_AUTH_FRAME_SIZE, JSON_COMPACT);
    json_decref(frame);
    return len <= RELAY_AUTH_FRAME_SIZE ? len : 0;
}

size_t relay_auth_next_frame(struct relay_auth *auth, int64_t unix_s,
                             char out[RELAY_AUTH_FRAME_SIZE])
{
    struct event event = {.created_at = unix_s, .kind = KIND_CLIENT_AUTH, .content = ""};
    bool repeated = auth->answered && llabs(unix_s - auth->answered_s) < RELAY_AUTH_REPEAT_S;
    json_t *tags;
    size_t len;

    if (!auth->due)
        return 0;
    auth->due = false;
    if (repeated)
        return 0;
    tags = json_pack("[[ss][ss%]]", "relay", auth->url, "challenge", auth->challenge,
                     auth->challenge_len);
    if (tags == NULL)
        return 0;
    event.tags = tags;
    event.pubkey_hex = auth->pubkey;
    len = write_frame(auth, &event, tags, out);
    json_decref(tags);
    if (len == 0)
        return 0;
    auth->answered = true;
    auth->answered_s = unix_s;
    auth->answers++;
    return len;
}

bool relay_auth_is_mine(const struct relay_auth *auth, const char *event_id, size_t len)
{
    return auth->id[0] != '\0' && len == strlen(auth->id) && memcmp(event_id, auth->id, len) == 0;
}
