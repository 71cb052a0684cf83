/* event: a NIP-01 event from a relay, which any stranger may have written.
 *
 * event_read() checks the form and borrows from the JSON value, which must outlive the event.
 * event_verify() recomputes the id and checks the signature. Until it returns EVENT_OK the id is
 * only a claim, and nothing may happen because of the event: a forged copy must not hide the true
 * one. Nothing here does I/O or reads a clock. */
#ifndef MOSTRO_EVENT_H
#define MOSTRO_EVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "device/trade_pubkey.h"

#define EVENT_ID_SIZE        32
#define EVENT_PUBKEY_SIZE    32
#define EVENT_SIGNATURE_SIZE 64

#define EVENT_DIRECT_MESSAGE \
    14                       /* the kind (NIP-17) whose author is the writer, not a one-time key */
#define EVENT_GIFT_WRAP 1059 /* the kind of NIP-59 */
#define EVENT_MAX_KIND  65535
#define EVENT_MAX_CREATED_AT \
    9007199254740991 /* the largest integer that every JSON parser can hold */
#define EVENT_MAX_TAGS 2000
#define EVENT_NEVER    INT64_MAX

enum event_result {
    EVENT_OK,
    EVENT_MALFORMED,       /* not of NIP-01's form, or over a limit */
    EVENT_WRONG_ID,        /* the id is not the hash of the event */
    EVENT_WRONG_SIGNATURE, /* not signed by its author, or the author is no public key */
    EVENT_UNADDRESSED      /* sound, but it has no `p` tag with a value, or the first such value is
                              no pubkey */
};

struct event {
    uint8_t id[EVENT_ID_SIZE];
    uint8_t pubkey[EVENT_PUBKEY_SIZE];
    uint8_t signature[EVENT_SIGNATURE_SIZE];
    int64_t created_at; /* Unix seconds as claimed; up to two days early in gift wraps (NIP-59) */
    uint32_t kind;
    const char *pubkey_hex; /* 64 characters */
    const char *content;    /* may hold NULs */
    size_t content_len;
    const json_t *tags;    /* or NULL, where event_scan() read it: */
    const char *tags_text; /* as JSON in NIP-01's canonical form, like all of the content then */
    size_t tags_text_len;
    int64_t expires_at; /* Unix seconds (NIP-40), or EVENT_NEVER */
    bool has_address;   /* a `p` tag has a value, which may be no pubkey */
    bool addressed;
    struct trade_pubkey trade_pubkey; /* set if addressed: the first `p` tag that has a value */
};

/* Whether Mostro's nodes and apps write to trade keys by this kind. */
static inline bool event_is_of_mostro(uint32_t kind)
{
    return kind == EVENT_GIFT_WRAP || kind == EVENT_DIRECT_MESSAGE;
}

/* EVENT_OK or EVENT_MALFORMED. `json` must have been loaded with duplicate keys refused. */
enum event_result event_read(struct event *event, const json_t *json)
    __attribute__((warn_unused_result));

/* What event_verify() needs: a digest and a secp256k1 context. One per thread. */
struct event_verifier;

/* NULL when out of memory. */
struct event_verifier *event_verifier_new(void);
void event_verifier_free(struct event_verifier **verifier);

/* Whether it has expired (NIP-40) and wakes no phone. */
bool event_has_expired(const struct event *event, int64_t unix_s);

/* Any result but EVENT_MALFORMED. */
enum event_result event_verify(struct event_verifier *verifier, const struct event *event)
    __attribute__((warn_unused_result));

#endif
