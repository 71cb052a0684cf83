#include "relay_auth.h"

#include <stdlib.h>
#include <string.h>

#include <jansson.h>
#include <secp256k1.h>

#include "event_signer.h"

#define KIND_CLIENT_AUTH 22242

struct relay_auth {
    struct event_signer *signer;
    char *url;
    bool configured; /* the key is the operator's */
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

/* ---- Life ------------------------------------------------------------------------------------ */

struct relay_auth *relay_auth_new(const char *relay_url, const uint8_t *key)
{
    struct relay_auth *auth = calloc(1, sizeof *auth);

    if (auth == NULL)
        return NULL;
    auth->signer = event_signer_new(key);
    auth->url = strdup(relay_url);
    auth->configured = key != NULL;
    if (auth->signer == NULL || auth->url == NULL)
        relay_auth_free(&auth);
    else
        relay_auth_begin(auth);
    return auth;
}

void relay_auth_free(struct relay_auth **auth)
{
    if (*auth == NULL)
        return;
    event_signer_free(&(*auth)->signer);
    free((*auth)->url);
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
        event_signer_draw(auth->signer);
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
    len = event_signer_write(auth->signer, "AUTH", &event, out, RELAY_AUTH_FRAME_SIZE, auth->id);
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
