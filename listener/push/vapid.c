#include "vapid.h"

#include <openssl/crypto.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64url.h"
#include "base/wipe.h"

#define JWT_HEADER "{\"typ\":\"JWT\",\"alg\":\"ES256\"}"

struct entry {
    char *origin; /* NULL: unused */
    char *header;
    int64_t made_s;
    uint64_t used; /* the vapid's count of uses at the last one */
};

struct vapid {
    const struct vapid_key *key;
    const char *subject;
    uint64_t uses;
    struct entry entries[VAPID_ORIGINS_MAX];
};

struct vapid *vapid_new(const struct vapid_key *key, const char *subject)
{
    struct vapid *vapid = calloc(1, sizeof *vapid);

    if (vapid == NULL)
        return NULL;
    vapid->key = key;
    vapid->subject = subject;
    return vapid;
}

static void clear(struct entry *entry)
{
    wipe_free(entry->origin);
    wipe_free(entry->header);
    *entry = (struct entry){.origin = NULL};
}

void vapid_free(struct vapid **vapid)
{
    if (*vapid == NULL)
        return;
    for (size_t i = 0; i < VAPID_ORIGINS_MAX; i++)
        clear(&(*vapid)->entries[i]);
    free(*vapid);
    *vapid = NULL;
}

/* ---- The header ------------------------------------------------------------------------------ */

static char *make_claims(const struct vapid *vapid, const char *origin, int64_t now_s)
{
    const char *subject = vapid->subject;
    char *claims = NULL;
    int len = asprintf(&claims, "{\"aud\":\"%s\",\"exp\":%lld%s%s%s}", origin,
                       (long long)(now_s + VAPID_LIFE_S), subject != NULL ? ",\"sub\":\"" : "",
                       subject != NULL ? subject : "", subject != NULL ? "\"" : "");

    return len >= 0 ? claims : NULL;
}

static char *make_header(const struct vapid *vapid, const char *origin, int64_t now_s)
{
    static const char before[] = "Authorization: vapid t=", between[] = ", k=";
    uint8_t signature[VAPID_KEY_SIGNATURE_SIZE];
    char *claims = make_claims(vapid, origin, now_s), *header = NULL, *at, *jwt;

    if (claims != NULL)
        header = malloc(sizeof before + BASE64URL_SIZE(sizeof JWT_HEADER) +
                        BASE64URL_SIZE(strlen(claims)) + BASE64URL_SIZE(sizeof signature) +
                        sizeof between + VAPID_KEY_PUBLIC_SIZE);
    if (header == NULL)
        goto out;
    memcpy(header, before, sizeof before);
    at = jwt = header + sizeof before - 1;
    at += base64url_encode(at, JWT_HEADER, sizeof JWT_HEADER - 1);
    *at++ = '.';
    at += base64url_encode(at, claims, strlen(claims));
    if (!vapid_key_sign(vapid->key, jwt, (size_t)(at - jwt), signature)) {
        *at = '\0';
        wipe_free(header);
        header = NULL;
        goto out;
    }
    *at++ = '.';
    at += base64url_encode(at, signature, sizeof signature);
    memcpy(at, between, sizeof between);
    memcpy(at + sizeof between - 1, vapid_key_public(vapid->key), VAPID_KEY_PUBLIC_SIZE);

out:
    wipe_free(claims);
    return header;
}

/* ---- The origins ----------------------------------------------------------------------------- */

static bool is_good(const struct entry *entry, int64_t now_s)
{
    return entry->header != NULL && now_s >= entry->made_s && now_s - entry->made_s < VAPID_REUSE_S;
}

/* The origin's entry, or else the one that makes room for it. */
static struct entry *find(struct vapid *vapid, const char *origin)
{
    struct entry *oldest = &vapid->entries[0];

    for (size_t i = 0; i < VAPID_ORIGINS_MAX; i++) {
        struct entry *entry = &vapid->entries[i];

        if (entry->origin != NULL && strcmp(entry->origin, origin) == 0)
            return entry;
        if (entry->used < oldest->used)
            oldest = entry;
    }
    clear(oldest);
    return oldest;
}

const char *vapid_header(struct vapid *vapid, const char *origin, int64_t now_s)
{
    struct entry *entry = find(vapid, origin);

    if (!is_good(entry, now_s)) {
        clear(entry);
        entry->origin = strdup(origin);
        entry->header = entry->origin != NULL ? make_header(vapid, origin, now_s) : NULL;
        entry->made_s = now_s;
        if (entry->header == NULL) {
            clear(entry);
            return NULL;
        }
    }
    entry->used = ++vapid->uses;
    return entry->header;
}
